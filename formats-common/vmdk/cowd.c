// SPDX-License-Identifier: GPL-2.0-only
/*
 * COWD (vmfsSparse): the delta disk of ESX on VMFS5. As hosted sparse, with
 * tables of 4096 entries that appear on demand, no second copy, no entry for
 * zeros, and grains as small as one sector.
 */
#include "vdisk/caps.h"
#include "vdisk/checked.h"
#include "vdisk/format.h"
#include "vmdk.h"

static int cowd_field_bad(struct vd_error *err, int code, const char *field, u32 off, u64 found,
			  const char *legal)
{
	return vd_fail(err, code, "COWD header: %s at byte %u is %llu, legal is %s", field, off,
		       found, legal);
}

/* The directory: enough entries for the disk, after the header, inside the file. */
static int cowd_check_dir(const struct cowd_disk_header *disk, struct cowd *c, u64 file_size,
			  struct vd_error *err)
{
	u32 entries = get_unaligned_le32(&disk->num_gd_entries);
	u32 sector = get_unaligned_le32(&disk->gd_offset);
	u64 need = vd_ceil_shift(c->capacity, c->grain_shift + COWD_GTES_SHIFT);

	if (entries < need || entries > VMDK_CAP_GD_ENTRIES)
		return vd_fail(err, -EUCLEAN,
			       "COWD header: numGDEntries at byte 24 is %u, legal is %llu to %u",
			       entries, need, VMDK_CAP_GD_ENTRIES);
	if (sector < COWD_HEADER_SECTORS)
		return cowd_field_bad(err, -EUCLEAN, "gdOffset", 20, sector, "4 and more");
	c->dir.pos = (u64)sector << VD_SECTOR_SHIFT;
	c->dir.count = need;
	if (!vd_inside(c->dir.pos, (u64)entries * 4, file_size))
		return vd_fail(err, -EUCLEAN,
			       "COWD header: grain directory of %u entries at sector %u ends past the file's %llu bytes",
			       entries, sector, file_size);
	c->data_pos = (sector + vd_ceil_shift((u64)entries * 4, VD_SECTOR_SHIFT))
		      << VD_SECTOR_SHIFT;
	return 0;
}

static int cowd_check(const struct cowd_disk_header *disk, struct cowd *c, u64 file_size,
		      struct vd_error *err)
{
	u32 version = get_unaligned_le32(&disk->version);
	u32 flags = get_unaligned_le32(&disk->flags);
	u32 sectors = get_unaligned_le32(&disk->num_sectors);
	u32 grain = get_unaligned_le32(&disk->grain_size);

	if (get_unaligned_le32(&disk->magic) != COWD_MAGIC)
		return vd_fail(err, -EUCLEAN, "COWD header: no magic at byte 0");
	if (version != COWD_VERSION)
		return cowd_field_bad(err, -EOPNOTSUPP, "version", 4, version, "1");
	if (flags & ~COWD_FLAGS)
		return cowd_field_bad(err, -EOPNOTSUPP, "flags", 8, flags, "0 to 3");
	if (!sectors)
		return cowd_field_bad(err, -EUCLEAN, "numSectors", 12, sectors, "1 and more");
	if (!is_power_of_2(grain) || grain > VMDK_CAP_GRAIN_SECTORS)
		return cowd_field_bad(err, -EUCLEAN, "grainSize", 16, grain,
				      "a power of two from 1 to 2048");
	c->capacity = (u64)sectors << VD_SECTOR_SHIFT;
	c->grain = grain << VD_SECTOR_SHIFT;
	c->grain_shift = (u32)ilog2(c->grain);
	c->unclean = get_unaligned_le32(&disk->unclean_shutdown);
	c->free = get_unaligned_le32(&disk->free_sector);
	return cowd_check_dir(disk, c, file_size, err);
}

int cowd_header_read(struct vd_file *file, struct cowd *out, struct vd_error *err)
{
	struct cowd_disk_header *disk;
	int ret;

	memset(out, 0, sizeof(*out));
	out->dir.file = file;
	if (file->size < sizeof(*disk))
		return vd_fail(err, -EUCLEAN,
			       "COWD header: the file has %llu bytes, a header needs 2048",
			       file->size);
	disk = vd_zalloc(sizeof(*disk));
	if (!disk)
		return vd_fail(err, -ENOMEM, "out of memory");
	ret = vd_file_read(file, 0, disk, sizeof(*disk));
	if (ret)
		vd_fail(err, ret, "COWD header: cannot be read");
	else
		ret = cowd_check(disk, out, file->size, err);
	vd_free(disk);
	return ret;
}

int cowd_open(struct vd_segment *seg, struct vd_error *err)
{
	struct cowd *c;
	int ret;

	c = vd_zalloc(sizeof(*c));
	if (!c)
		return vd_fail(err, -ENOMEM, "out of memory");
	ret = cowd_header_read(seg->file, c, err);
	if (!ret && c->capacity < seg->len)
		ret = vd_fail(err, -EUCLEAN,
			      "COWD header: numSectors is %llu bytes, but the extent covers %llu",
			      c->capacity, seg->len);
	if (ret) {
		vd_free(c);
		return ret;
	}
	c->reader = VMDK_READER_COWD;
	c->dir.meta = seg->meta;
	seg->unit = c->grain;
	seg->writable = true;
	seg->priv = c;
	return 0;
}

/* Not in header or directory: [@pos, @pos + @len) of the file. */
static bool cowd_clear(const struct cowd *c, u64 pos, u64 len)
{
	return pos >= COWD_HEADER_SECTORS * VD_SECTOR &&
	       !vd_overlap(pos, len, c->dir.pos, c->data_pos - c->dir.pos);
}

bool cowd_table_ok(const struct vd_segment *seg, const struct cowd *c, u64 pos)
{
	return vd_inside(pos, COWD_GT_BYTES, READ_ONCE(seg->file->size)) &&
	       cowd_clear(c, pos, COWD_GT_BYTES);
}

bool cowd_grain_ok(const struct vd_segment *seg, const struct cowd *c, u64 file_pos)
{
	return file_pos < READ_ONCE(seg->file->size) && cowd_clear(c, file_pos, c->grain);
}

int cowd_map(struct vd_segment *seg, u64 pos, u64 len, unsigned int flags, struct vd_extent *ext)
{
	const struct cowd *c = seg->priv;
	struct vd_table gt = { .meta = seg->meta, .file = seg->file, .count = COWD_GTES };
	u64 grain = pos >> c->grain_shift;
	u64 in_grain = pos & (c->grain - 1);
	u64 covered = (u64)c->grain << COWD_GTES_SHIFT;
	u64 file_pos;
	u32 gde, gte;
	int ret;

	ret = vd_table_get32(&c->dir, grain >> COWD_GTES_SHIFT, flags, &gde);
	if (ret)
		return ret;
	if (!gde)
		return vd_extent_hole(ext, min(len, covered - (pos & (covered - 1))));
	gt.pos = (u64)gde << VD_SECTOR_SHIFT;
	if (!cowd_table_ok(seg, c, gt.pos))
		return vd_corrupt(seg, "entry %llu of the COWD directory is sector %u, where no grain table can be",
				  grain >> COWD_GTES_SHIFT, gde);
	ret = vd_table_get32(&gt, grain & (COWD_GTES - 1), flags, &gte);
	if (ret)
		return ret;

	len = min(len, c->grain - in_grain);
	if (!gte)
		return vd_extent_hole(ext, len);
	file_pos = (u64)gte << VD_SECTOR_SHIFT;
	if (!cowd_grain_ok(seg, c, file_pos) ||
	    vd_overlap(file_pos, c->grain, gt.pos, COWD_GT_BYTES))
		return vd_corrupt(seg, "COWD grain %llu is at sector %u, where no grain can be (file ends at byte %llu)",
				  grain, gte, seg->file->size);
	return vd_extent_unit(seg, file_pos, in_grain, len, ext);
}
