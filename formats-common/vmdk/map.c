// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hosted sparse: guest address -> directory entry -> table entry -> grain.
 *
 *	grain = pos / grainSize
 *	GD[grain / 512]		sector of a grain table; 0: no table, 512 absent grains
 *	GT[grain % 512]		0 absent, 1 zeros (if flagged), else the grain's sector
 *
 * The redundant directory leads to a second copy of every table, which answers
 * where the first cannot.
 */
#include "vdisk/caps.h"
#include "vdisk/checked.h"
#include "vdisk/format.h"
#include "vmdk.h"

/* Does [pos, pos + len) keep clear of header, descriptor and directories? */
static bool vmdk_clear(const struct vmdk_sparse *v, u64 pos, u64 len)
{
	u32 i;

	/* Nearly always all of them are at the file's start. */
	if (pos >= v->taken_end)
		return true;
	for (i = 0; i < VMDK_RANGES; i++)
		if (vd_overlap(v->taken[i].pos, v->taken[i].len, pos, len))
			return false;
	return true;
}

bool vmdk_table_ok(const struct vd_segment *seg, const struct vmdk_sparse *v, u64 pos)
{
	return vd_inside(pos, VMDK_GT_BYTES, READ_ONCE(seg->file->size)) &&
	       vmdk_clear(v, pos, VMDK_GT_BYTES);
}

/*
 * Ask one of the directories. 1: *@gte is the table entry; 0: there is no
 * table; or -errno.
 */
static int vmdk_ask(struct vd_segment *seg, const struct vmdk_sparse *v, u32 dir, u64 grain,
		    unsigned int flags, u32 *gte)
{
	struct vd_table gt = { .meta = seg->meta, .file = seg->file, .count = VMDK_GTES };
	u64 index = grain >> VMDK_GTES_SHIFT;
	u32 gde;
	int ret;

	ret = vd_table_get32(&v->dirs[dir], index, flags, &gde);
	if (ret || !gde)
		return ret;
	gt.pos = (u64)gde << VD_SECTOR_SHIFT;
	if (!vmdk_table_ok(seg, v, gt.pos))
		return vd_corrupt(seg, "entry %llu of grain directory %u is sector %u, where no grain table can be",
				  index, dir, gde);
	ret = vd_table_get32(&gt, grain & (VMDK_GTES - 1), flags, gte);
	return ret ? ret : 1;
}

/*
 * The table entry of @grain: 1, or 0 if no directory has a table for it. The
 * second directory is asked when the first fails or knows nothing.
 */
static int vmdk_find(struct vd_segment *seg, const struct vmdk_sparse *v, u64 grain,
		     unsigned int flags, u32 *gte)
{
	int ret, second;

	ret = vmdk_ask(seg, v, 0, grain, flags, gte);
	if (ret > 0 || ret == -EAGAIN || ret == -ENOMEM || v->nr_dirs < 2)
		return ret;
	second = vmdk_ask(seg, v, 1, grain, flags, gte);
	if (second > 0 || second == -EAGAIN || second == -ENOMEM)
		return second;
	/* The second may know better: that it cannot be read is no damage, and no hole. */
	if (second < 0 && second != -EUCLEAN && (!ret || ret == -EUCLEAN))
		return second;
	return ret;
}

bool vmdk_grain_ok(const struct vd_segment *seg, const struct vmdk_sparse *v, u64 file_pos)
{
	u64 len = seg->packed ? VD_SECTOR : v->header.grain;

	return file_pos >= v->header.data_pos && file_pos < READ_ONCE(seg->file->size) &&
	       vmdk_clear(v, file_pos, len);
}

static int vmdk_extent_packed(const struct vd_segment *seg, const struct vmdk_sparse *v,
			      u64 grain_pos, u64 file_pos, u64 len, struct vd_extent *ext)
{
	ext->type = VD_EXT_PACKED;
	ext->len = len;
	ext->file = seg->file;
	ext->file_pos = file_pos;
	ext->unit_pos = grain_pos;
	ext->unit_len = v->header.grain;
	ext->packed_len = (u32)min_t(u64, v->max_packed, seg->file->size - file_pos);
	return 0;
}

int vmdk_sparse_map(struct vd_segment *seg, u64 pos, u64 len, unsigned int flags,
		    struct vd_extent *ext)
{
	const struct vmdk_sparse *v = seg->priv;
	u64 grain = pos >> v->header.grain_shift;
	u64 in_grain = pos & (v->header.grain - 1);
	u64 covered = (u64)v->header.grain << VMDK_GTES_SHIFT;
	u64 file_pos;
	u32 gte;
	int ret;

	ret = vmdk_find(seg, v, grain, flags, &gte);
	if (ret < 0)
		return ret;
	if (!ret)
		return vd_extent_hole(ext, min(len, covered - (pos & (covered - 1))));

	len = min(len, v->header.grain - in_grain);
	if (gte == VMDK_GTE_ABSENT)
		return vd_extent_hole(ext, len);
	if (gte == VMDK_GTE_ZERO && v->header.flags & VMDK_FLAG_ZEROED)
		return vd_extent_zero(ext, len);

	file_pos = (u64)gte << VD_SECTOR_SHIFT;
	if (gte == VMDK_GTE_ZERO || !vmdk_grain_ok(seg, v, file_pos))
		return vd_corrupt(seg, "grain %llu is at sector %u, where no grain can be (first is %llu, file ends at byte %llu)",
				  grain, gte, v->header.data_pos >> VD_SECTOR_SHIFT,
				  seg->file->size);
	if (seg->packed)
		return vmdk_extent_packed(seg, v, pos - in_grain, file_pos, len, ext);
	return vd_extent_unit(seg, file_pos, in_grain, len, ext);
}
