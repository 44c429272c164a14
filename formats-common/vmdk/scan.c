// SPDX-License-Identifier: GPL-2.0-only
/*
 * What do the tables refer to? Asked once, before the first allocation: a new
 * grain goes past all of it. Neither a counter in a header nor the file's size
 * says that: the one may be old, the other hold what a crash left.
 *
 * Tables mostly lie in a row, so they are read in larger pieces, past the cache:
 * nothing is dirty yet, and they would only push out what is useful.
 */
#include "vdisk/caps.h"
#include "vdisk/checked.h"
#include "vdisk/format.h"
#include "vmdk.h"

int vmdk_scan_begin(struct vmdk_scan *scan, struct vd_segment *seg, u64 end)
{
	memset(scan, 0, sizeof(*scan));
	scan->seg = seg;
	scan->end = end;
	scan->buf = vd_zalloc(VMDK_SCAN_BYTES);
	return scan->buf ? 0 : -ENOMEM;
}

static bool scan_grain_ok(const struct vd_segment *seg, u32 gte, u32 *grain)
{
	u64 pos = (u64)gte << VD_SECTOR_SHIFT;

	if (*(const enum vmdk_reader *)seg->priv == VMDK_READER_COWD) {
		const struct cowd *c = seg->priv;

		*grain = c->grain;
		return cowd_grain_ok(seg, c, pos);
	} else {
		const struct vmdk_sparse *v = seg->priv;

		*grain = v->header.grain;
		if (gte == VMDK_GTE_ZERO && v->header.flags & VMDK_FLAG_ZEROED) {
			*grain = 0;
			return true;
		}
		return gte != VMDK_GTE_ZERO && vmdk_grain_ok(seg, v, pos);
	}
}

static int scan_entries(struct vmdk_scan *scan)
{
	struct vd_segment *seg = scan->seg;
	u32 i, gte, grain = 0;

	for (i = 0; i < scan->pending_len; i += 4) {
		gte = get_unaligned_le32(scan->buf + i);
		if (!gte)
			continue;
		if (!scan_grain_ok(seg, gte, &grain))
			return vd_corrupt(seg, "the table entry at file byte %llu is sector %u, where no grain can be: the image cannot be written",
					  scan->pending + i, gte);
		if (grain)
			scan->end = max(scan->end, ((u64)gte << VD_SECTOR_SHIFT) + grain);
	}
	return 0;
}

static int scan_pending(struct vmdk_scan *scan)
{
	int ret;

	if (!scan->pending_len)
		return 0;
	ret = vd_file_read(scan->seg->file, scan->pending, scan->buf, scan->pending_len);
	if (!ret)
		ret = scan_entries(scan);
	scan->end = max(scan->end, scan->pending + scan->pending_len);
	scan->pending_len = 0;
	return ret;
}

int vmdk_scan_table(struct vmdk_scan *scan, u64 pos, u32 len)
{
	int ret;

	/* A small file whose directory names one table a million times is no work for hours. */
	scan->tables += len;
	if (scan->tables > READ_ONCE(scan->seg->file->size))
		return vd_corrupt(scan->seg, "the directories name more tables than the file has room for: the image cannot be written");
	if (pos == scan->pending + scan->pending_len &&
	    scan->pending_len + len <= VMDK_SCAN_BYTES) {
		scan->pending_len += len;
		return 0;
	}
	ret = scan_pending(scan);
	scan->pending = pos;
	scan->pending_len = len;
	return ret;
}

int vmdk_scan_end(struct vmdk_scan *scan, int error)
{
	if (!error)
		error = scan_pending(scan);
	vd_free(scan->buf);
	return error;
}
