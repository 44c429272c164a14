// SPDX-License-Identifier: GPL-2.0-only
/*
 * New images, laid out as VirtualBox does it today: map and data begin at a multiple of
 * 1 MiB each, which QEMU opens as well. User space only.
 */
#include "vdi-user.h"

#define ALIGN_SHIFT	20
#define MAP_POS		(1U << ALIGN_SHIFT)
/* QEMU opens no more. */
#define BLOCKS_MAX	0x1fffff80U
#define MAP_STEP	65536U

static const char banner[] = "<<< Oracle VM VirtualBox Disk Image >>>\n";

static u64 blocks_of(const struct vdi_new *new)
{
	return vd_ceil_shift(new->size, (u32)ilog2(new->block));
}

static u64 data_pos(const struct vdi_new *new)
{
	return vd_ceil_shift(MAP_POS + 4 * blocks_of(new), ALIGN_SHIFT) << ALIGN_SHIFT;
}

bool vdi_new_fits(const struct vdi_new *new)
{
	/* VirtualBox adds place in block and start of data in 32 bits. */
	return blocks_of(new) <= BLOCKS_MAX && data_pos(new) + new->block <= U32_MAX;
}

u64 vdi_new_file_size(const struct vdi_new *new)
{
	return data_pos(new) + (new->type == VDI_TYPE_FIXED ? blocks_of(new) * new->block : 0);
}

static int write_map(struct vd_file *file, const struct vdi_new *new, struct vd_error *err)
{
	u64 blocks = blocks_of(new), i, n;
	bool fixed = new->type == VDI_TYPE_FIXED;
	u8 *buf;
	u32 j;
	int ret = 0;

	buf = vd_zalloc(MAP_STEP);
	if (!buf)
		return vd_fail(err, -ENOMEM, "out of memory");
	for (i = 0; !ret && i < blocks; i += n) {
		n = min_t(u64, blocks - i, MAP_STEP / 4);
		for (j = 0; j < n; j++)
			put_unaligned_le32(fixed ? (u32)(i + j) : VDI_FREE, buf + 4 * (u64)j);
		ret = vd_file_write(file, MAP_POS + 4 * i, buf, (u32)n * 4);
	}
	vd_free(buf);
	return ret ? vd_fail(err, ret, "the map of %llu blocks cannot be written", blocks) : 0;
}

static void fill_header(const struct vdi_new *new, struct vdi_disk_v1 *disk)
{
	u32 blocks = (u32)blocks_of(new);

	memset(disk, 0, sizeof(*disk));
	memcpy(disk->pre.banner, banner, sizeof(banner) - 1);
	put_unaligned_le32(VDI_SIGNATURE, &disk->pre.signature);
	put_unaligned_le32(VDI_VERSION_1_1, &disk->pre.version);
	put_unaligned_le32(VDI_HEADER_BYTES_LCHS, &disk->header_bytes);
	put_unaligned_le32(new->type, &disk->type);
	if (new->comment)
		memcpy(disk->comment, new->comment,
		       min_t(size_t, strlen(new->comment), VDI_COMMENT_BYTES - 1));
	put_unaligned_le32(MAP_POS, &disk->map_pos);
	put_unaligned_le32((u32)data_pos(new), &disk->data_pos);
	put_unaligned_le32(VD_SECTOR, &disk->geometry.sector_bytes);
	put_unaligned_le64(new->size, &disk->disk_bytes);
	put_unaligned_le32(new->block, &disk->block_bytes);
	put_unaligned_le32(blocks, &disk->blocks);
	put_unaligned_le32(new->type == VDI_TYPE_FIXED ? blocks : 0, &disk->allocated);
	vd_uuid_to_guid(disk->uuid, new->uuid);
	vd_uuid_to_guid(disk->mod_uuid, new->mod_uuid);
	vd_uuid_to_guid(disk->parent_uuid, new->parent_uuid);
	vd_uuid_to_guid(disk->parent_mod_uuid, new->parent_mod_uuid);
	put_unaligned_le32(VD_SECTOR, &disk->lchs.sector_bytes);
}

int vdi_new_write(struct vd_file *file, const struct vdi_new *new, struct vd_error *err)
{
	struct vdi_disk_v1 disk;
	int ret;

	fill_header(new, &disk);
	ret = write_map(file, new, err);
	if (!ret && file->size < vdi_new_file_size(new))
		ret = vd_file_truncate(file, vdi_new_file_size(new));
	if (!ret)
		ret = vd_file_write(file, 0, &disk, sizeof(disk));
	return ret ? vd_fail(err, ret, "header cannot be written") : 0;
}
