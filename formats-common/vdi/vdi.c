// SPDX-License-Identifier: GPL-2.0-only
/*
 * VDI, the format of VirtualBox: one file with a header, one flat map and slots
 * of one size. No text, no journal, no mark of use, no name of a parent.
 */
#include "vdi.h"

static int vdi_open(struct vd_segment *seg, struct vd_error *err)
{
	struct vdi *v;
	int ret;

	if (seg->kind != VDISK_SEG_VDI)
		return vd_fail(err, -EINVAL, "vdi has no segment kind 0x%x", seg->kind);
	v = vd_zalloc(sizeof(*v));
	if (!v)
		return vd_fail(err, -ENOMEM, "out of memory");
	ret = vdi_header_read(seg->file, &v->header, err);
	if (ret)
		goto out_free;
	if (seg->len > v->header.size) {
		ret = vd_fail(err, -EUCLEAN, "header: the disk has %llu bytes, but the segment covers %llu",
			      v->header.size, seg->len);
		goto out_free;
	}
	v->slot = (u64)v->header.block + v->header.extra;
	v->counted = v->header.allocated;
	v->map = (struct vd_table) { seg->meta, seg->file, v->header.map_pos, v->header.blocks };
	seg->unit = v->header.block;
	/* Version 0.2, extra data, strange writers: data may begin anywhere. */
	seg->unaligned = (v->header.data_pos | v->header.extra) & (VD_SECTOR - 1);
	seg->writable = !vdi_header_reason(&v->header);
	seg->priv = v;
	return 0;

out_free:
	vd_free(v);
	return ret;
}

static void vdi_close(struct vd_segment *seg)
{
	struct vdi *v = seg->priv;

	vd_space_release(&v->space);
	vd_free(v);
	seg->priv = NULL;
}

static struct vd_space *vdi_space(struct vd_segment *seg)
{
	return &((struct vdi *)seg->priv)->space;
}

static const char *const vdi_extensions[] = { "vdi", NULL };

const struct vd_format vd_format_vdi = {
	.name		= "vdi",
	.id		= VDISK_FORMAT_VDI,
	.caps		= VD_CAP_WRITE | VD_CAP_ALLOC | VD_CAP_DISCARD | VD_CAP_ZERO |
			  VD_CAP_DIFF | VD_CAP_PROBE,
	.extensions	= vdi_extensions,
	.host_align	= VD_SECTOR,
	.probe		= VD_USER_OPS(vdi_probe),
	.open		= vdi_open,
	.close		= vdi_close,
	.map		= vdi_map,
	.begin_write	= vdi_begin_write,
	.begin_alloc	= vdi_begin_alloc,
	.reserve	= vdi_reserve,
	.publish	= vdi_publish,
	.discard	= vdi_discard,
	.end_write	= vdi_end_write,
	.fill_holes	= vdi_fill_holes,
	.space		= vdi_space,
	.user		= VD_USER_OPS(vdi_user),
	.owner		= VD_THIS_MODULE,
};
