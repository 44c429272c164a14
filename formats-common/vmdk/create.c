// SPDX-License-Identifier: GPL-2.0-only
/*
 * New extents: hosted sparse with all its grain tables in both copies (VMware
 * and QEMU do not add missing ones), and COWD, whose tables come with the data.
 * User space only.
 */
#include "vdisk/caps.h"
#include "vdisk/checked.h"
#include "create.h"
#include "vmdk-disk.h"

#define FILE_SECTORS	(1ULL << 32)
#define GT_SECTORS	(VMDK_GT_BYTES / VD_SECTOR)

/**
 * struct places - parts of a hosted sparse extent, in sectors
 * @dir: length of a directory; its tables follow it
 */
struct places {
	u64 nr_gts;
	u64 dir;
	u64 rgd;
	u64 gd;
	u64 over_head;
};

static u32 grain_sectors(const struct vmdk_new *new)
{
	return new->grain >> VD_SECTOR_SHIFT;
}

static void vmdk_place(const struct vmdk_new *new, struct places *p)
{
	u32 grain = grain_sectors(new);
	u64 end;

	p->nr_gts = vd_ceil_shift(new->capacity, (u32)ilog2(new->grain) + VMDK_GTES_SHIFT);
	p->dir = vd_ceil_shift(p->nr_gts * 4, VD_SECTOR_SHIFT);
	p->rgd = 1 + (new->text ? VMDK_NEW_DESC_SECTORS : 0);
	p->gd = p->rgd + p->dir + p->nr_gts * GT_SECTORS;
	end = p->gd + p->dir + p->nr_gts * GT_SECTORS;
	p->over_head = vd_ceil_shift(end, (u32)ilog2(grain)) * grain;
}

/* Sectors that @capacity takes in whole grains. */
static u64 data_sectors(const struct vmdk_new *new)
{
	return vd_ceil_shift(new->capacity, (u32)ilog2(new->grain)) * grain_sectors(new);
}

bool vmdk_new_fits(const struct vmdk_new *new)
{
	struct places p;

	vmdk_place(new, &p);
	return p.over_head + data_sectors(new) < FILE_SECTORS;
}

/* Sets the size; a hole reads as the zeros that empty tables are. */
static int make_room(struct vd_file *file, u64 bytes, bool allocate, struct vd_error *err)
{
	int ret;

	ret = vd_file_truncate(file, bytes);
	if (!ret && allocate)
		ret = vd_file_zero(file, 0, bytes, false);
	return ret ? vd_fail(err, ret, "no room for %llu bytes of header and tables", bytes) : 0;
}

/* One directory, at sector @at; its tables stand right behind it. */
static int write_dir(struct vd_file *file, const struct places *p, u64 at, struct vd_error *err)
{
	u64 first = at + p->dir, i, n;
	u8 *block;
	int ret = 0;

	block = vd_zalloc(VD_META_BLOCK);
	if (!block)
		return vd_fail(err, -ENOMEM, "out of memory");
	for (i = 0; !ret && i < p->nr_gts; i += n) {
		u32 j;

		n = min_t(u64, p->nr_gts - i, VD_META_BLOCK / 4);
		for (j = 0; j < n; j++)
			put_unaligned_le32((u32)(first + (i + j) * GT_SECTORS), block + 4 * j);
		ret = vd_file_write(file, (at << VD_SECTOR_SHIFT) + 4 * i, block, (u32)n * 4);
	}
	vd_free(block);
	return ret ? vd_fail(err, ret, "grain directory at sector %llu cannot be written", at) : 0;
}

static int write_header(struct vd_file *file, const struct vmdk_new *new, const struct places *p,
			struct vd_error *err)
{
	static const u8 newline[4] = { '\n', ' ', '\r', '\n' };
	struct vmdk_disk_header disk;
	u32 flags = VMDK_FLAG_NEWLINE | VMDK_FLAG_REDUNDANT;
	int ret;

	if (new->zeroed)
		flags |= VMDK_FLAG_ZEROED;
	memset(&disk, 0, sizeof(disk));
	put_unaligned_le32(VMDK_MAGIC, &disk.magic);
	put_unaligned_le32(new->zeroed ? 2 : 1, &disk.version);
	put_unaligned_le32(flags, &disk.flags);
	put_unaligned_le64(new->capacity >> VD_SECTOR_SHIFT, &disk.capacity);
	put_unaligned_le64(grain_sectors(new), &disk.grain_size);
	if (new->text) {
		put_unaligned_le64(1, &disk.descriptor_offset);
		put_unaligned_le64(VMDK_NEW_DESC_SECTORS, &disk.descriptor_size);
	}
	put_unaligned_le32(VMDK_GTES, &disk.num_gtes_per_gt);
	put_unaligned_le64(p->rgd, &disk.rgd_offset);
	put_unaligned_le64(p->gd, &disk.gd_offset);
	put_unaligned_le64(p->over_head, &disk.over_head);
	memcpy(disk.newline, newline, sizeof(newline));
	ret = vd_file_write(file, 0, &disk, sizeof(disk));
	return ret ? vd_fail(err, ret, "header cannot be written") : 0;
}

int vmdk_new_write(struct vd_file *file, const struct vmdk_new *new, struct vd_error *err)
{
	struct places p;
	int ret;

	if (new->text_len > VMDK_NEW_DESC_SECTORS * VD_SECTOR)
		return vd_fail(err, -E2BIG,
			       "the descriptor has %u bytes, there is room for %u inside an extent",
			       new->text_len, VMDK_NEW_DESC_SECTORS * VD_SECTOR);
	vmdk_place(new, &p);
	ret = make_room(file, p.over_head << VD_SECTOR_SHIFT, new->allocate, err);
	if (!ret)
		ret = write_dir(file, &p, p.rgd, err);
	if (!ret)
		ret = write_dir(file, &p, p.gd, err);
	if (ret)
		return ret;
	if (new->text_len) {
		ret = vd_file_write(file, VD_SECTOR, new->text, new->text_len);
		if (ret)
			return vd_fail(err, ret, "descriptor cannot be written");
	}
	return write_header(file, new, &p, err);
}

static u64 cowd_entries(const struct vmdk_new *new)
{
	return vd_ceil_shift(new->capacity, (u32)ilog2(new->grain) + COWD_GTES_SHIFT);
}

/* First sector after the directory. */
static u64 cowd_first(const struct vmdk_new *new)
{
	return COWD_HEADER_SECTORS + vd_ceil_shift(cowd_entries(new) * 4, VD_SECTOR_SHIFT);
}

bool cowd_new_fits(const struct vmdk_new *new)
{
	u64 tables = cowd_entries(new) * (COWD_GT_BYTES / VD_SECTOR);

	return cowd_first(new) + tables + data_sectors(new) < FILE_SECTORS;
}

int cowd_new_write(struct vd_file *file, const struct vmdk_new *new, struct vd_error *err)
{
	struct cowd_disk_header *disk;
	u64 first = cowd_first(new);
	int ret;

	disk = vd_zalloc(sizeof(*disk));
	if (!disk)
		return vd_fail(err, -ENOMEM, "out of memory");
	put_unaligned_le32(COWD_MAGIC, &disk->magic);
	put_unaligned_le32(COWD_VERSION, &disk->version);
	put_unaligned_le32(COWD_FLAGS, &disk->flags);
	put_unaligned_le32((u32)(new->capacity >> VD_SECTOR_SHIFT), &disk->num_sectors);
	put_unaligned_le32(grain_sectors(new), &disk->grain_size);
	put_unaligned_le32(COWD_HEADER_SECTORS, &disk->gd_offset);
	put_unaligned_le32((u32)cowd_entries(new), &disk->num_gd_entries);
	put_unaligned_le32((u32)first, &disk->free_sector);
	ret = make_room(file, first << VD_SECTOR_SHIFT, new->allocate, err);
	if (!ret) {
		ret = vd_file_write(file, 0, disk, sizeof(*disk));
		if (ret)
			vd_fail(err, ret, "COWD header cannot be written");
	}
	vd_free(disk);
	return ret;
}
