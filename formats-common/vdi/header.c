// SPDX-License-Identifier: GPL-2.0-only
/*
 * The header of a VDI: reading it, and what must hold before anybody computes
 * with its numbers (formats/vdi: header, hostile images).
 */
#include "vdi.h"

#define VDI_BLOCK_MAX		(256U << 20)
/* More than that moves too much for one sector's sake. */
#define VDI_BLOCK_MAX_WRITE	(64U << 20)
/* The largest power of two that the field can say: with a block it is no more than 32 bits. */
#define VDI_EXTRA_MAX		(1U << 31)
/* 1 GiB of map: what is looked through before the first write. */
#define VDI_BLOCKS_MAX_WRITE	(1U << 28)

static void geometry_decode(const struct vdi_disk_geometry *disk, u32 *out, u32 *sector)
{
	out[0] = get_unaligned_le32(&disk->cylinders);
	out[1] = get_unaligned_le32(&disk->heads);
	out[2] = get_unaligned_le32(&disk->sectors);
	*sector = get_unaligned_le32(&disk->sector_bytes);
}

static void decode_v0(const struct vdi_disk_v0 *disk, struct vdi_header *h)
{
	h->header_bytes = sizeof(*disk) - sizeof(disk->pre);
	h->type = get_unaligned_le32(&disk->type);
	h->flags = get_unaligned_le32(&disk->flags);
	geometry_decode(&disk->geometry, h->legacy, &h->old_sector);
	h->disk_bytes = get_unaligned_le64(&disk->disk_bytes);
	h->block = get_unaligned_le32(&disk->block_bytes);
	h->blocks = get_unaligned_le32(&disk->blocks);
	h->allocated = get_unaligned_le32(&disk->allocated);
	h->map_pos = sizeof(*disk);
	h->data_pos = h->map_pos + 4 * (u64)h->blocks;
	vd_uuid_from_guid(h->uuid, disk->uuid);
	vd_uuid_from_guid(h->mod_uuid, disk->mod_uuid);
	vd_uuid_from_guid(h->parent_uuid, disk->parent_uuid);
}

static void decode_v1(const struct vdi_disk_v1 *disk, struct vdi_header *h)
{
	u32 sector;

	h->header_bytes = get_unaligned_le32(&disk->header_bytes);
	h->type = get_unaligned_le32(&disk->type);
	h->flags = get_unaligned_le32(&disk->flags);
	h->map_pos = get_unaligned_le32(&disk->map_pos);
	h->data_pos = get_unaligned_le32(&disk->data_pos);
	geometry_decode(&disk->geometry, h->legacy, &h->old_sector);
	h->disk_bytes = get_unaligned_le64(&disk->disk_bytes);
	h->block = get_unaligned_le32(&disk->block_bytes);
	h->extra = get_unaligned_le32(&disk->extra_bytes);
	h->blocks = get_unaligned_le32(&disk->blocks);
	h->allocated = get_unaligned_le32(&disk->allocated);
	vd_uuid_from_guid(h->uuid, disk->uuid);
	vd_uuid_from_guid(h->mod_uuid, disk->mod_uuid);
	vd_uuid_from_guid(h->parent_uuid, disk->parent_uuid);
	vd_uuid_from_guid(h->parent_mod_uuid, disk->parent_mod_uuid);
	if (!vdi_has_lchs(h))
		return;
	geometry_decode(&disk->lchs, h->lchs, &sector);
	/* With another size of sectors it means nothing. */
	if (sector != VD_SECTOR)
		memset(h->lchs, 0, sizeof(h->lchs));
}

static int check_version(u32 version, struct vd_error *err)
{
	if (version == VDI_VERSION_0_2 || VDI_MAJOR(version) == 1)
		return 0;
	return vd_fail(err, -EOPNOTSUPP, "header: version at byte 68 is %u.%u, legal are 0.2 and 1.x",
		       VDI_MAJOR(version), version & 0xffff);
}

/* How the numbers of the disk fit each other. */
static int check_sizes(struct vdi_header *h, struct vd_error *err)
{
	if (!h->type || h->type > VDI_TYPE_DIFF)
		return vd_fail(err, -EUCLEAN, "header: image type is %u, legal are 1 to 4",
			       h->type);
	if (h->disk_bytes < VD_SECTOR)
		return vd_fail(err, -EUCLEAN, "header: the disk has %llu bytes, legal are 512 and more",
			       h->disk_bytes);
	if (h->disk_bytes > VD_CAP_DISK_BYTES)
		return vd_fail(err, -EOPNOTSUPP, "header: the disk has %llu bytes, more than 64 TiB",
			       h->disk_bytes);
	h->size = h->disk_bytes & ~(u64)(VD_SECTOR - 1);
	if (!is_power_of_2(h->block) || h->block & (VD_SECTOR - 1))
		return vd_fail(err, -EUCLEAN,
			       "header: blocks of %u bytes, legal are powers of two from 512",
			       h->block);
	if (h->block > VDI_BLOCK_MAX)
		return vd_fail(err, -EOPNOTSUPP, "header: blocks of %u bytes, more than 256 MiB",
			       h->block);
	h->block_shift = (u32)ilog2(h->block);
	if (h->extra && (!is_power_of_2(h->extra) || h->extra > VDI_EXTRA_MAX))
		return vd_fail(err, -EUCLEAN,
			       "header: %u extra bytes a block, legal are 0 and powers of two",
			       h->extra);
	if (h->blocks < vd_ceil_shift(h->disk_bytes, h->block_shift))
		return vd_fail(err, -EUCLEAN,
			       "header: %u blocks of %u bytes are less than the disk's %llu bytes",
			       h->blocks, h->block, h->disk_bytes);
	return 0;
}

/* Where things lie. Positions have 32 bits, and so have counts: nothing can wrap. */
static int check_places(const struct vdi_header *h, u64 file_size, struct vd_error *err)
{
	/* There is no header between the two lengths: a bit more means the shorter one. */
	bool v1_short = h->version != VDI_VERSION_0_2 &&
			h->header_bytes < VDI_HEADER_BYTES_LCHS;
	u64 header_end = sizeof(struct vdi_disk_pre) +
			 (u64)(v1_short ? VDI_HEADER_BYTES : h->header_bytes);
	u64 map_len = 4 * (u64)h->blocks;

	if (h->header_bytes < sizeof(struct vdi_disk_v0) - sizeof(struct vdi_disk_pre) ||
	    (h->version != VDI_VERSION_0_2 && h->header_bytes < VDI_HEADER_BYTES))
		return vd_fail(err, -EUCLEAN, "header: cbHeader is %u, legal are 384 and more",
			       h->header_bytes);
	if (h->map_pos < header_end)
		return vd_fail(err, -EUCLEAN,
			       "header: the map begins at byte %llu, inside the header, which ends at %llu",
			       h->map_pos, header_end);
	if (h->map_pos & 3)
		return vd_fail(err, -EOPNOTSUPP,
			       "header: the map begins at byte %llu, which is no multiple of 4",
			       h->map_pos);
	if (h->data_pos < h->map_pos + map_len)
		return vd_fail(err, -EUCLEAN,
			       "header: data begins at byte %llu, inside the map, which ends at %llu",
			       h->data_pos, h->map_pos + map_len);
	if (!vd_inside(h->map_pos, map_len, file_size))
		return vd_fail(err, -EUCLEAN,
			       "header: the map ends at byte %llu, past the file's %llu bytes: is it cut short?",
			       h->map_pos + map_len, file_size);
	return 0;
}

static int read_version(struct vd_file *file, u32 *version, struct vd_error *err)
{
	struct vdi_disk_pre pre;
	int ret;

	if (file->size < sizeof(pre))
		return vd_fail(err, -EUCLEAN, "header: the file has %llu bytes, a header needs more",
			       file->size);
	ret = vd_file_read(file, 0, &pre, sizeof(pre));
	if (ret)
		return vd_fail(err, ret, "header: cannot be read");
	if (get_unaligned_le32(&pre.signature) != VDI_SIGNATURE)
		return vd_fail(err, -EUCLEAN, "header: signature at byte 64 is 0x%x, not 0x%x",
			       get_unaligned_le32(&pre.signature), VDI_SIGNATURE);
	*version = get_unaligned_le32(&pre.version);
	return check_version(*version, err);
}

int vdi_header_read(struct vd_file *file, struct vdi_header *out, struct vd_error *err)
{
	union {
		struct vdi_disk_v0 v0;
		struct vdi_disk_v1 v1;
	} disk;
	u32 need;
	int ret;

	memset(out, 0, sizeof(*out));
	memset(&disk, 0, sizeof(disk));
	ret = read_version(file, &out->version, err);
	if (ret)
		return ret;
	/* A header that ends before its sector does: what follows is not asked for. */
	need = out->version == VDI_VERSION_0_2 ? sizeof(disk.v0) :
	       sizeof(struct vdi_disk_pre) + VDI_HEADER_BYTES;
	if (file->size < need)
		return vd_fail(err, -EUCLEAN, "header: the file has %llu bytes, a header needs %u",
			       file->size, need);
	ret = vd_file_read(file, 0, &disk, (u32)min_t(u64, file->size, sizeof(disk)));
	if (ret)
		return vd_fail(err, ret, "header: cannot be read");
	if (out->version == VDI_VERSION_0_2)
		decode_v0(&disk.v0, out);
	else
		decode_v1(&disk.v1, out);
	ret = check_sizes(out, err);
	return ret ? ret : check_places(out, file->size, err);
}

bool vdi_has_parent(const struct vdi_header *h)
{
	return h->type == VDI_TYPE_DIFF || !vd_uuid_is_none(h->parent_uuid);
}

u32 vdi_slots_in(const struct vdi_header *h, u64 size)
{
	u64 before = h->data_pos + h->extra, slots;
	u32 rest;

	if (size <= before)
		return 0;
	slots = div_u64_rem(size - before, h->block + h->extra, &rest);
	return (u32)min_t(u64, slots + !!rest, VDI_ZERO);
}

/* Tables are written by whole sectors, which must be nobody else's. */
static bool shares_sectors(const struct vdi_header *h)
{
	u64 map_end = h->map_pos + 4 * (u64)h->blocks;

	return vd_ceil_shift(map_end, VD_SECTOR_SHIFT) << VD_SECTOR_SHIFT > h->data_pos ||
	       h->data_pos & (VD_SECTOR - 1);
}

const char *vdi_header_reason(const struct vdi_header *h)
{
	bool odd_parent = h->type != VDI_TYPE_DIFF && !vd_uuid_is_none(h->parent_uuid);

	if (h->version == VDI_VERSION_0_2)
		return "its header is of version 0.2, which is only read";
	if (h->type == VDI_TYPE_UNDO)
		return "it is an undo image, which is only read";
	if (odd_parent)
		return "its type says that it has no parent, its header names one";
	if (h->type != VDI_TYPE_DIFF && h->flags & VDI_FLAG_DIFF)
		return "its type says that it has no parent, its flags that it has one";
	if (h->type == VDI_TYPE_DIFF && h->flags & VDI_FLAG_FIXED)
		return "its flags say that it is fixed, and a differencing image cannot be that";
	if (h->flags & ~VDI_FLAGS)
		return "its header has flags that are unknown";
	if (h->extra)
		return "its blocks carry extra data, whose meaning is unknown";
	if (vd_uuid_is_none(h->uuid) || vd_uuid_is_none(h->mod_uuid))
		return "its UUID or modification UUID is missing; vdctl check --repair makes one";
	if (h->block > VDI_BLOCK_MAX_WRITE)
		return "its blocks are larger than 64 MiB";
	if (h->blocks > VDI_BLOCKS_MAX_WRITE)
		return "its map has more than 268435456 blocks";
	if (shares_sectors(h))
		return "its data does not begin at a sector of its own";
	return NULL;
}
