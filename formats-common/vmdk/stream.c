// SPDX-License-Identifier: GPL-2.0-only
/*
 * streamOptimized: written in one go, so the directory follows the data and
 * the real header (footer) stands at the end; every grain is a deflate stream
 * behind a marker that says which grain it is.
 *
 *	... | footer marker | footer | end-of-stream marker	(512 bytes each)
 */
#include "vdisk/caps.h"
#include "vdisk/checked.h"
#include "vdisk/format.h"
#include "vmdk.h"

static int vmdk_marker_check(struct vd_file *file, u64 pos, u64 val, u32 type, const char *name,
			     struct vd_error *err)
{
	struct vmdk_disk_marker disk;
	u64 found;
	u32 size, kind;
	int ret;

	ret = vd_file_read(file, pos, &disk, sizeof(disk));
	if (ret)
		return vd_fail(err, ret, "%s marker at byte %llu cannot be read", name, pos);
	found = get_unaligned_le64(&disk.val);
	size = get_unaligned_le32(&disk.size);
	kind = get_unaligned_le32(&disk.type);
	if (found != val || size || kind != type)
		return vd_fail(err, -EUCLEAN,
			       "no %s marker at byte %llu (type %u, size %u, value %llu): the stream is cut short or has something behind it",
			       name, pos, kind, size, found);
	return 0;
}

/* What header and footer both say must be the same; the capacity is the footer's to say. */
static int vmdk_footer_same(const struct vmdk_fields *header, const struct vmdk_fields *footer,
			    struct vd_error *err)
{
	if (footer->version != header->version || footer->flags != header->flags ||
	    footer->grain != header->grain || footer->compress != header->compress)
		return vd_fail(err, -EUCLEAN,
			       "footer at byte %llu (version %u, flags 0x%x, grainSize %llu) contradicts the header (%u, 0x%x, %llu)",
			       footer->base, footer->version, footer->flags, footer->grain,
			       header->version, header->flags, header->grain);
	if (footer->gd == VMDK_GD_AT_END)
		return vd_fail(err, -EUCLEAN, "footer at byte %llu does not know the directory either",
			       footer->base);
	return 0;
}

int vmdk_footer_read(struct vd_file *file, const struct vmdk_fields *header,
		     struct vmdk_fields *footer, struct vd_error *err)
{
	u64 end = file->size & ~(u64)(VD_SECTOR - 1);
	struct vmdk_disk_header disk;
	int ret;

	if (end < 4 * VD_SECTOR)
		return vd_fail(err, -EUCLEAN, "the file has %llu bytes, too few for a stream footer",
			       file->size);
	ret = vmdk_marker_check(file, end - 3 * VD_SECTOR, 1, VMDK_MARKER_FOOTER, "footer", err);
	if (!ret)
		ret = vmdk_marker_check(file, end - VD_SECTOR, 0, VMDK_MARKER_EOS, "end-of-stream",
					err);
	if (ret)
		return ret;
	footer->base = end - 2 * VD_SECTOR;
	ret = vd_file_read(file, footer->base, &disk, sizeof(disk));
	if (ret)
		return vd_fail(err, ret, "footer at byte %llu cannot be read", footer->base);
	vmdk_fields_decode(&disk, footer);
	ret = vmdk_fields_check(footer, err);
	if (ret)
		return ret;
	return vmdk_footer_same(header, footer, err);
}

int vmdk_unpack(struct vd_segment *seg, const struct vd_extent *ext, const void *raw, u32 len,
		struct vd_payload *out)
{
	const struct vmdk_sparse *v = seg->priv;
	const struct vmdk_disk_marker *marker = raw;
	bool marked = v->header.flags & VMDK_FLAG_MARKERS;
	u64 lba = (ext->unit_pos - seg->start) >> VD_SECTOR_SHIFT;
	u32 skip = marked ? VMDK_GRAIN_MARKER_BYTES : VMDK_GRAIN_SIZE_BYTES;
	u32 size;

	if (len < skip)
		return vd_corrupt(seg, "compressed grain of sector %llu begins %u bytes before the file's end",
				  lba, len);
	if (marked && get_unaligned_le64(&marker->val) != lba)
		return vd_corrupt(seg, "compressed grain at byte %llu is of sector %llu, not %llu",
				  ext->file_pos, get_unaligned_le64(&marker->val), lba);
	size = marked ? get_unaligned_le32(&marker->size) : get_unaligned_le32(raw);
	if (!size || size > v->max_packed - skip)
		return vd_corrupt(seg, "compressed grain at byte %llu has %u bytes, legal is 1 to %u",
				  ext->file_pos, size, v->max_packed - skip);
	if (size > len - skip)
		return vd_corrupt(seg, "compressed grain at byte %llu has %u bytes, the file only %u",
				  ext->file_pos, size, len - skip);
	out->offset = skip;
	out->len = size;
	out->stored = false;
	return 0;
}
