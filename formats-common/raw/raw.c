// SPDX-License-Identifier: GPL-2.0-only
/*
 * Raw: guest byte n of the segment is byte file_off + n of the file. Serves
 * plain images, split images and the flat extents of other formats.
 */
#include "vdisk/caps.h"
#include "vdisk/checked.h"
#include "vdisk/format.h"
#include "raw.h"

static int raw_open(struct vd_segment *seg, struct vd_error *err)
{
	u64 size = vd_ceil_shift(seg->file->size, VD_SECTOR_SHIFT) << VD_SECTOR_SHIFT;

	if (seg->kind != VDISK_SEG_RAW)
		return vd_fail(err, -EINVAL, "raw has no segment kind 0x%x", seg->kind);
	/* Only a last sector that the file holds in part may be missing. */
	if (!vd_inside(seg->file_off, seg->len, size))
		return vd_fail(err, -EUCLEAN,
			       "flat extent needs %llu bytes at byte %llu, but the file ends at %llu",
			       seg->len, seg->file_off, seg->file->size);
	seg->writable = true;
	return 0;
}

static void raw_close(struct vd_segment *seg)
{
}

static int raw_map(struct vd_segment *seg, u64 pos, u64 len, unsigned int flags,
		   struct vd_extent *ext)
{
	return vd_extent_data(ext, seg->file, seg->file_off + pos, len);
}

static const char *const raw_extensions[] = { "img", "raw", "dd", "bin", "iso", NULL };

const struct vd_format vd_format_raw = {
	.name		= "raw",
	.id		= VDISK_FORMAT_RAW,
	.caps		= VD_CAP_WRITE | VD_CAP_DISCARD | VD_CAP_ZERO,
	.extensions	= raw_extensions,
	.host_align	= VD_SECTOR,
	.probe		= VD_USER_OPS(raw_probe),
	.open		= raw_open,
	.close		= raw_close,
	.map		= raw_map,
	.user		= VD_USER_OPS(raw_user),
	.owner		= VD_THIS_MODULE,
};
