// SPDX-License-Identifier: GPL-2.0-only
/* What a VDI says about itself: all of it stands in the header. User space only. */
#include "vdisk/layout.h"
#include "vdi.h"
#include "vdi-user.h"

static const char *const type_names[] = { NULL, "dynamic", "fixed", "undo", "differencing" };

const char *vdi_type_name(u32 type)
{
	return type < ARRAY_SIZE(type_names) ? type_names[type] : NULL;
}

/* At most 255 bytes: the last one of the field is a NUL, whatever the file has. */
static int read_comment(struct vd_file *file, const struct vdi_header *h, char *out, u32 *len)
{
	u64 pos = h->version == VDI_VERSION_0_2 ? offsetof(struct vdi_disk_v0, comment) :
		  offsetof(struct vdi_disk_v1, comment);
	int ret;

	ret = vd_file_read(file, pos, out, VDI_COMMENT_BYTES);
	if (!ret)
		*len = (u32)strnlen(out, VDI_COMMENT_BYTES - 1);
	return ret;
}

static void add_ids(struct vd_props *p, const struct vdi_header *h)
{
	vd_props_put_uuid(p, VD_PROP_UUID, h->uuid);
	vd_props_put_uuid(p, VD_PROP_MOD_UUID, h->mod_uuid);
	if (!vdi_has_parent(h))
		return;
	vd_props_put_uuid(p, VD_PROP_PARENT_UUID, h->parent_uuid);
	vd_props_put_uuid(p, VD_PROP_PARENT_MOD_UUID, h->parent_mod_uuid);
}

/* Old programs kept the disk's own geometry in a place where newer ones keep none. */
static void add_geometry(struct vd_props *p, const struct vdi_header *h)
{
	vd_props_put_chs(p, VD_PROP_PCHS, h->legacy[0], h->legacy[1], h->legacy[2]);
	vd_props_put_chs(p, VD_PROP_LCHS, h->lchs[0], h->lchs[1], h->lchs[2]);
}

static void add_flags(struct vd_props *p, const struct vdi_header *h)
{
	u32 flags = 0;

	if (h->type == VDI_TYPE_FIXED)
		flags |= VD_IMAGE_FIXED;
	if (h->type == VDI_TYPE_UNDO)
		flags |= VD_IMAGE_UNDO;
	if (h->flags & VDI_FLAG_ZERO_EXPAND)
		flags |= VD_IMAGE_ZERO_EXPAND;
	vd_props_put(p, VD_PROP_FLAGS, flags);
}

static void add_reason(struct vd_layout_builder *b, const char *reason)
{
	struct vd_layout *l = vd_layout_head(b);

	if (!reason)
		return;
	l->flags |= VD_LAYOUT_RDONLY;
	l->ro_reason = vd_layout_add_str(b, reason, strlen(reason));
}

/* Who changes the disk renews it; only where there is one, in a header that we write. */
static void add_places(struct vd_layout *l, const struct vdi_header *h)
{
	if (h->version == VDI_VERSION_0_2 || vd_uuid_is_none(h->mod_uuid))
		return;
	l->mod_uuid_pos = offsetof(struct vdi_disk_v1, mod_uuid);
	l->mod_uuid_len = VD_UUID_BYTES;
}

static int build(struct vd_file *file, const struct vdi_header *h, struct vd_layout_builder *b)
{
	struct vd_layout *l = vd_layout_head(b);
	const char *name = vdi_type_name(h->type);
	char comment[VDI_COMMENT_BYTES];
	u32 len;
	int ret;

	ret = read_comment(file, h, comment, &len);
	if (ret)
		return ret;
	l->subformat = vd_layout_add_str(b, name, strlen(name));
	vd_props_put(&l->props, VD_PROP_VERSION, h->version);
	vd_props_put(&l->props, VD_PROP_FILE_SIZE, file->size);
	vd_props_put_text(&l->props, VD_PROP_COMMENT, vd_layout_add_str(b, comment, len));
	add_ids(&l->props, h);
	add_geometry(&l->props, h);
	add_flags(&l->props, h);
	add_places(l, h);
	if (vdi_has_parent(h))
		l->flags |= VD_LAYOUT_PARENT;
	add_reason(b, vdi_header_reason(h));
	vd_layout_add_seg(b, h->size, VDISK_SEG_VDI, VD_LSEG_SELF, 0, 0);
	return 0;
}

static int vdi_layout(struct vd_file *file, struct vd_layout **out, struct vd_error *err)
{
	struct vd_layout_builder *b;
	struct vdi_header h;
	int ret;

	*out = NULL;
	ret = vdi_header_read(file, &h, err);
	if (ret)
		return ret;
	b = vd_layout_begin(VDISK_FORMAT_VDI);
	if (!b)
		return vd_fail(err, -ENOMEM, "out of memory");
	ret = build(file, &h, b);
	if (ret) {
		vd_layout_abort(b);
		return vd_fail(err, ret, "header: cannot be read");
	}
	return vd_layout_finish(b, out, err);
}

/* Before somebody writes: does each block have a place of its own? */
static int vdi_extent(struct vd_file *file, u32 kind, struct vd_extent_state *out,
		      struct vd_error *err)
{
	struct vd_error why = { 0 };
	struct vdi_header h;
	struct vdi_scan scan = { .file = file, .header = &h };
	const char *reason;
	int ret;

	memset(out, 0, sizeof(*out));
	ret = vdi_header_read(file, &h, err);
	if (ret)
		return ret;
	reason = vdi_header_reason(&h);
	if (reason) {
		vd_fail(&why, -EROFS, "%s", reason);
	} else {
		ret = vdi_scan(&scan);
		if (ret)
			return vd_fail(err, ret, "the map cannot be read");
		vdi_scan_verdict(&scan, &why);
	}
	if (!why.code)
		return 0;
	out->flags = VD_LAYOUT_RDONLY;
	memcpy(out->ro_reason, why.text, sizeof(out->ro_reason) - 1);
	return 0;
}

#define ALL (VD_CAN_READ | VD_CAN_WRITE | VD_CAN_CREATE | VD_CAN_CHECK | VD_CAN_REPAIR)

static const struct vd_support vdi_support[] = {
	{ "VDI dynamic", "dynamic", ALL, NULL },
	{ "VDI fixed", "fixed", ALL, NULL },
	{ "VDI differencing", "differencing", ALL, "its parent is found by UUID" },
	{ "VDI undo", "undo", VD_CAN_READ | VD_CAN_CHECK | VD_CAN_REPAIR, NULL },
	{ "VDI with a header of version 0.2", NULL, VD_CAN_READ | VD_CAN_CHECK, NULL },
	{ "VDI with extra data in its blocks", NULL, VD_CAN_READ | VD_CAN_CHECK | VD_CAN_REPAIR,
	  "no writer of such images is known" },
	{ NULL },
};

static const struct vd_magic vdi_magic[] = {
	{ offsetof(struct vdi_disk_pre, signature), 4, "\x7f\x10\xda\xbe" },
	{ 0, 0, NULL }
};

const struct vd_format_user vdi_user = {
	.support = vdi_support,
	.layout = vdi_layout,
	.extent = vdi_extent,
	.check = vdi_check,
	.magic = vdi_magic,
	.set_props = vdi_set_props,
};
