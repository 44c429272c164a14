// SPDX-License-Identifier: GPL-2.0-only
/*
 * Properties of a VDI are fields of its header, and all of them lie in the first sector
 * of the file: setting any number of them is one write, which is done whole or not at
 * all. User space only.
 */
#include "vdisk/layout.h"
#include "vdi.h"
#include "vdi-user.h"

#define SETTABLE	(VD_PROP_PCHS | VD_PROP_LCHS | VD_PROP_COMMENT | VD_PROP_UUID | \
			 VD_PROP_MOD_UUID | VD_PROP_PARENT_UUID | VD_PROP_PARENT_MOD_UUID)
#define OF_PARENT	(VD_PROP_PARENT_UUID | VD_PROP_PARENT_MOD_UUID)

int vdi_check_comment(const char *comment, struct vd_error *err)
{
	u64 len = strlen(comment);
	int ret = vd_props_check_comment(comment, err);

	if (!ret && len >= VDI_COMMENT_BYTES)
		ret = vd_fail(err, -EINVAL, "comment: %llu bytes, a VDI has room for %u", len,
			      VDI_COMMENT_BYTES - 1);
	return ret;
}

static int check_want(const struct vdi_header *h, const struct vd_props *want, const char *pool,
		      struct vd_error *err)
{
	static const struct vd_chs pchs = VD_PCHS_MAX, lchs = VD_LCHS_MAX;
	u32 no_place = ~SETTABLE;
	int ret;

	if (h->version == VDI_VERSION_0_2)
		return vd_fail(err, -EOPNOTSUPP,
			       "a VDI with a header of version 0.2 is only read: its properties stay");
	if (!vdi_has_parent(h))
		no_place |= OF_PARENT;
	if (!vdi_has_lchs(h))
		no_place |= VD_PROP_LCHS;
	if (want->mask & no_place)
		return vd_props_refuse("vdi", want->mask & no_place, err);
	ret = vd_props_check_want(want, pool, &pchs, &lchs, err);
	if (!ret && want->mask & VD_PROP_COMMENT && want->comment)
		ret = vdi_check_comment(pool + want->comment, err);
	return ret;
}

static void put_chs(struct vdi_disk_geometry *to, const struct vd_chs *chs)
{
	put_unaligned_le32(chs->c, &to->cylinders);
	put_unaligned_le32(chs->c ? chs->h : 0, &to->heads);
	put_unaligned_le32(chs->c ? chs->s : 0, &to->sectors);
	/* Readers want that of a header, whether or not there is a geometry. */
	put_unaligned_le32(VD_SECTOR, &to->sector_bytes);
}

static void put_comment(struct vdi_disk_v1 *disk, const char *comment)
{
	memset(disk->comment, 0, sizeof(disk->comment));
	if (comment)
		memcpy(disk->comment, comment, strlen(comment));
}

static void put_want(struct vdi_disk_v1 *disk, const struct vd_props *want, const char *pool)
{
	if (want->mask & VD_PROP_COMMENT)
		put_comment(disk, want->comment ? pool + want->comment : NULL);
	if (want->mask & VD_PROP_PCHS)
		put_chs(&disk->geometry, &want->pchs);
	if (want->mask & VD_PROP_LCHS)
		put_chs(&disk->lchs, &want->lchs);
	if (want->mask & VD_PROP_UUID)
		vd_uuid_to_guid(disk->uuid, want->uuid);
	if (want->mask & VD_PROP_MOD_UUID)
		vd_uuid_to_guid(disk->mod_uuid, want->mod_uuid);
	if (want->mask & VD_PROP_PARENT_UUID)
		vd_uuid_to_guid(disk->parent_uuid, want->parent_uuid);
	if (want->mask & VD_PROP_PARENT_MOD_UUID)
		vd_uuid_to_guid(disk->parent_mod_uuid, want->parent_mod_uuid);
}

/* @disk: as it is, @len bytes of it in the file; and room for as much. */
static int change_header(struct vd_file *file, struct vdi_disk_v1 *disk, u32 len,
			 const struct vd_props *want, const char *pool, struct vd_error *err)
{
	struct vdi_disk_v1 *new = disk + 1;
	int ret;

	*new = *disk;
	put_want(new, want, pool);
	if (!memcmp(new, disk, sizeof(*disk)))
		return 0;
	ret = vd_file_write(file, 0, new, len);
	if (!ret)
		ret = vd_file_flush(file);
	return ret ? vd_fail(err, ret, "header: cannot be written") : 0;
}

static int set_header(struct vd_file *file, const struct vd_props *want, const char *pool,
		      struct vd_error *err)
{
	/* A disk of one block that nobody has written ends before the sector does. */
	u32 len = (u32)min_t(u64, file->size, sizeof(struct vdi_disk_v1));
	struct vdi_disk_v1 *disk = vd_zalloc(2 * sizeof(*disk));
	int ret;

	if (!disk)
		return vd_fail(err, -ENOMEM, "out of memory");
	ret = vd_file_read(file, 0, disk, len);
	if (ret)
		vd_fail(err, ret, "header: cannot be read");
	else
		ret = change_header(file, disk, len, want, pool, err);
	vd_free(disk);
	return ret;
}

int vdi_set_props(struct vd_file *file, const struct vd_layout *now, const struct vd_props *want,
		  const char *pool, struct vd_content *out, struct vd_error *err)
{
	struct vdi_header h;
	int ret;

	*out = (struct vd_content) { NULL, 0 };
	ret = vdi_header_read(file, &h, err);
	if (!ret)
		ret = check_want(&h, want, pool, err);
	return ret ? ret : set_header(file, want, pool, err);
}
