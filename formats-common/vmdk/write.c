// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writing hosted sparse extents (formats/vmdk: write algorithm).
 *
 * A grain gets its place past everything that the tables refer to, and its two
 * table entries when its data is complete. Both copies have one rank: either
 * may reach the disk first, as data is durable before any of them.
 *
 *	unclean flag	durable before the first allocation, cleared at the end
 *	data		flushed by the commit before
 *	GD and RGD	rank 1: a new table is durable zeros before that. A crash
 *			between the two leaves one that has no grain yet
 *	GT and RGT	rank 2
 *
 * A grain that lost its place gets another one only when the loss is durable:
 * else a crash could leave the old place in one copy and the new in the other.
 */
#include "vdisk/caps.h"
#include "vdisk/checked.h"
#include "vdisk/format.h"
#include "vmdk.h"

#define VMDK_RANK_DIRS		1
#define VMDK_RANK_TABLES	2

/**
 * struct vmdk_run - neighbouring entries in the tables
 * @grain: index of the first
 * @n: how many; they lie in one cache block in each copy
 * @pos: file byte of the first entry, in each copy
 */
struct vmdk_run {
	u64 grain;
	u32 n;
	u64 pos[2];
};

static bool vmdk_has_parent(const struct vd_segment *seg)
{
	return seg->chain->nr_images > 1;
}

/* --- begin and end --- */

static int vmdk_scan_dir(struct vmdk_scan *scan, const struct vmdk_sparse *v, u32 dir)
{
	struct vd_segment *seg = scan->seg;
	u64 i, pos;
	u32 gde;
	int ret;

	for (i = 0; i < v->header.nr_gts; i++) {
		ret = vd_table_get32(&v->dirs[dir], i, 0, &gde);
		if (ret)
			return ret;
		if (!gde)
			continue;
		pos = (u64)gde << VD_SECTOR_SHIFT;
		if (!vmdk_table_ok(seg, v, pos))
			return vd_corrupt(seg, "entry %llu of grain directory %u is sector %u, where no grain table can be: the image cannot be written",
					  i, dir, gde);
		ret = vmdk_scan_table(scan, pos, VMDK_GT_BYTES);
		if (ret)
			return ret;
	}
	return 0;
}

static int vmdk_mark_unclean(struct vd_segment *seg, bool unclean)
{
	u8 flag = unclean;

	return vd_mark(seg->chain, seg->file, offsetof(struct vmdk_disk_header, unclean_shutdown),
		       &flag, sizeof(flag));
}

int vmdk_sparse_begin(struct vd_segment *seg)
{
	struct vmdk_sparse *v = seg->priv;
	struct vmdk_scan scan;
	int ret;
	u32 i;

	ret = vmdk_scan_begin(&scan, seg, max(v->header.data_pos, v->taken_end));
	if (ret)
		return ret;
	for (i = 0; !ret && i < v->nr_dirs; i++)
		ret = vmdk_scan_dir(&scan, v, i);
	ret = vmdk_scan_end(&scan, ret);
	if (!ret)
		ret = vmdk_mark_unclean(seg, true);
	if (ret)
		return ret;
	/* A second session keeps what the first one learned: ranges to use again. */
	if (!v->space.file)
		vd_space_init(seg->chain, &v->space, seg->file, scan.end, VMDK_FILE_LIMIT);
	return 0;
}

int vmdk_sparse_end(struct vd_segment *seg)
{
	const struct vmdk_sparse *v = seg->priv;

	/* What somebody else left behind is still there. */
	return v->header.unclean ? 0 : vmdk_mark_unclean(seg, false);
}

/* --- tables --- */

/* Both copies of table @index; 0 each if there is none. */
static int vmdk_tables(struct vd_segment *seg, const struct vmdk_sparse *v, u64 index, u64 *pos)
{
	u32 dir, gde;
	int ret;

	pos[0] = 0;
	pos[1] = 0;
	for (dir = 0; dir < v->nr_dirs; dir++) {
		ret = vd_table_get32(&v->dirs[dir], index, 0, &gde);
		if (ret)
			return ret;
		pos[dir] = (u64)gde << VD_SECTOR_SHIFT;
		if (gde && !vmdk_table_ok(seg, v, pos[dir]))
			return vd_corrupt(seg, "entry %llu of grain directory %u is sector %u, where no grain table can be",
					  index, dir, gde);
	}
	if (v->nr_dirs == 2 && (!pos[0] != !pos[1] || (pos[0] && pos[0] == pos[1])))
		return vd_corrupt(seg, "the grain directories disagree about table %llu (bytes %llu and %llu)",
				  index, pos[0], pos[1]);
	return 0;
}

static int vmdk_pin(struct vd_segment *seg, u64 pos, u32 len, u32 rank, struct vd_meta_pin *pin)
{
	int ret = vd_meta_pin(seg->meta, seg->file, pos, len, rank, pin);

	return ret == -EAGAIN ? -EBUSY : ret;
}

static void vmdk_unpin(struct vd_segment *seg, struct vd_meta_pin *pin)
{
	vd_meta_unpin(seg->meta, &pin[0]);
	vd_meta_unpin(seg->meta, &pin[1]);
}

/* Pin @len bytes at @pos[0] and, where there is a second copy, at @pos[1]. */
static int vmdk_pin_both(struct vd_segment *seg, const u64 *pos, u32 len, u32 rank,
			 struct vd_meta_pin *pin)
{
	int ret;

	memset(pin, 0, 2 * sizeof(*pin));
	ret = vmdk_pin(seg, pos[0], len, rank, &pin[0]);
	if (!ret && pos[1])
		ret = vmdk_pin(seg, pos[1], len, rank, &pin[1]);
	if (ret)
		vmdk_unpin(seg, pin);
	return ret;
}

/*
 * Entry @i of a pinned run, in both copies. The one that map asks comes last: who
 * has the answer and changes the grain can count on a commit that writes both.
 */
static void vmdk_set(struct vd_segment *seg, const struct vd_meta_pin *pin, u32 i, u32 gte)
{
	if (pin[1].block && !vd_bug(VD_BUG_ONE_COPY))
		vd_meta_set32(seg->meta, &pin[1], pin[1].pos + 4 * (u64)i, gte);
	vd_meta_set32(seg->meta, &pin[0], pin[0].pos + 4 * (u64)i, gte);
}

/*
 * A table for 512 grains, or one in each copy, and the directories say so. It is
 * zeros and durable before anything refers to it, so it may stay whatever
 * becomes of the grain that asked for it. A whole block of the cache: no other
 * table's entries are in it.
 */
static int vmdk_new_tables(struct vd_segment *seg, struct vmdk_sparse *v, u64 index, u64 *pos)
{
	u64 gde_pos[2] = { v->dirs[0].pos + 4 * index, 0 };
	u64 at, len = VD_META_BLOCK;
	struct vd_meta_pin pin[2];
	bool zeroed = false;
	int ret;

	if (v->nr_dirs == 2)
		gde_pos[1] = v->dirs[1].pos + 4 * index;
	ret = vmdk_pin_both(seg, gde_pos, 4, VMDK_RANK_DIRS, pin);
	if (ret)
		return ret;
	ret = vd_space_take(seg->chain, &v->space, len, VD_META_BLOCK, &at, &len, &zeroed);
	if (ret)
		goto unpin;
	if (!zeroed)
		ret = vd_file_zero(seg->file, at, len, false);
	if (ret) {
		vd_space_return(seg->chain, &v->space, at, len);
		goto unpin;
	}
	vd_meta_drop(seg->meta, seg->file, at, len);
	pos[0] = at;
	pos[1] = v->nr_dirs == 2 ? at + VMDK_GT_BYTES : 0;
	vd_meta_set32(seg->meta, &pin[0], pin[0].pos, (u32)(pos[0] >> VD_SECTOR_SHIFT));
	if (pin[1].block)
		vd_meta_set32(seg->meta, &pin[1], pin[1].pos, (u32)(pos[1] >> VD_SECTOR_SHIFT));
unpin:
	vmdk_unpin(seg, pin);
	return ret;
}

/* The run of entries for [pos, pos + len) as far as one block of each copy has them. */
static void vmdk_run_at(const struct vmdk_sparse *v, u64 pos, u64 len, const u64 *tables,
			struct vmdk_run *run)
{
	u64 n = vd_ceil_shift(len, v->header.grain_shift);
	u32 index;

	run->grain = pos >> v->header.grain_shift;
	index = (u32)(run->grain & (VMDK_GTES - 1));
	run->n = (u32)min_t(u64, n, VMDK_GTES - index);
	run->pos[0] = tables[0] + 4 * index;
	run->pos[1] = tables[1] ? tables[1] + 4 * index : 0;
	run->n = vmdk_clip_run(run->pos[0], run->n);
	if (run->pos[1])
		run->n = vmdk_clip_run(run->pos[1], run->n);
}

static int vmdk_entry(struct vd_segment *seg, const struct vmdk_run *run, u32 i, u32 *gte)
{
	u8 raw[4];
	int ret = vd_meta_read(seg->meta, seg->file, run->pos[0] + 4 * (u64)i, raw, sizeof(raw), 0);

	if (!ret)
		*gte = get_unaligned_le32(raw);
	return ret;
}

/* Has a grain with this entry a place? */
static bool vmdk_is_data(const struct vmdk_sparse *v, u32 gte)
{
	return gte > VMDK_GTE_ZERO || (gte && !(v->header.flags & VMDK_FLAG_ZEROED));
}

/* --- reserve and publish --- */

/* A writer may have cut the file's last grain: now it becomes whole. */
static int vmdk_complete(struct vd_segment *seg, struct vmdk_sparse *v, u32 gte)
{
	u64 pos = (u64)gte << VD_SECTOR_SHIFT;
	int ret;

	if (gte == VMDK_GTE_ZERO || !vmdk_grain_ok(seg, v, pos))
		return vd_corrupt(seg, "a grain is at sector %u, where none can be", gte);
	ret = vd_space_cover(seg->chain, &v->space, pos + v->header.grain);
	return ret ? ret : -EAGAIN;
}

/* @run ends where a grain has a place already. */
static int vmdk_clip_free(struct vd_segment *seg, struct vmdk_sparse *v, struct vmdk_run *run)
{
	u32 i, gte = 0;
	int ret;

	for (i = 0; i < run->n; i++) {
		ret = vmdk_entry(seg, run, i, &gte);
		if (ret)
			return ret;
		if (vmdk_is_data(v, gte))
			break;
	}
	if (!i)
		return vmdk_complete(seg, v, gte);
	run->n = i;
	return 0;
}

int vmdk_sparse_reserve(struct vd_segment *seg, u64 pos, u64 len, struct vd_alloc *alloc)
{
	struct vmdk_sparse *v = seg->priv;
	u32 shift = v->header.grain_shift;
	struct vmdk_run run;
	bool zeroed = false;
	u64 tables[2];
	int ret;

	ret = vmdk_tables(seg, v, pos >> (shift + VMDK_GTES_SHIFT), tables);
	if (!ret && !tables[0])
		ret = vmdk_new_tables(seg, v, pos >> (shift + VMDK_GTES_SHIFT), tables);
	if (ret)
		return ret;
	vmdk_run_at(v, pos, len, tables, &run);
	ret = vmdk_clip_free(seg, v, &run);
	if (!ret && run.pos[1] &&
	    vd_space_pending(seg->chain, &v->space, pos, (u64)run.n << shift))
		ret = -EBUSY;
	if (!ret)
		ret = vmdk_pin_both(seg, run.pos, 4 * run.n, VMDK_RANK_TABLES, alloc->pin);
	if (ret)
		return ret;
	alloc->room = (u64)run.n << shift;
	ret = vd_space_take(seg->chain, &v->space, v->header.grain, v->header.grain,
			    &alloc->file_pos, &alloc->room, &zeroed);
	if (ret) {
		vmdk_unpin(seg, alloc->pin);
		return ret;
	}
	alloc->file = seg->file;
	alloc->flags = zeroed ? VD_ALLOC_ZEROED : 0;
	return 0;
}

void vmdk_sparse_publish(struct vd_segment *seg, struct vd_alloc *alloc)
{
	const struct vmdk_sparse *v = seg->priv;
	u32 n = (u32)(alloc->room >> v->header.grain_shift);
	u32 sectors = v->header.grain >> VD_SECTOR_SHIFT;
	u32 i, gte = (u32)(alloc->file_pos >> VD_SECTOR_SHIFT);

	for (i = 0; i < n; i++, gte += sectors)
		vmdk_set(seg, alloc->pin, i, gte);
}

/* --- discard --- */

/*
 * What entry @gte becomes, or itself. Without a parent an absent grain reads
 * zeros; with one only the entry for zeros hides what the parent has.
 */
static u32 vmdk_cleared(const struct vd_segment *seg, const struct vmdk_sparse *v, u32 gte,
			unsigned int flags)
{
	u32 cleared = vmdk_has_parent(seg) ? VMDK_GTE_ZERO : VMDK_GTE_ABSENT;

	if (vmdk_is_data(v, gte))
		return cleared;
	return flags & VD_CLEAR_ZERO && gte == VMDK_GTE_ABSENT ? cleared : gte;
}

static int vmdk_clear_entry(struct vd_segment *seg, struct vmdk_sparse *v,
			    const struct vmdk_run *run, const struct vd_meta_pin *pin, u32 i,
			    unsigned int flags)
{
	u64 pos;
	u32 gte, cleared;
	int ret;

	ret = vmdk_entry(seg, run, i, &gte);
	if (ret)
		return ret;
	cleared = vmdk_cleared(seg, v, gte, flags);
	if (cleared == gte)
		return 0;
	pos = (u64)gte << VD_SECTOR_SHIFT;
	if (vmdk_is_data(v, gte) && (gte == VMDK_GTE_ZERO || !vmdk_grain_ok(seg, v, pos)))
		return vd_corrupt(seg, "grain %llu is at sector %u, where no grain can be",
				  run->grain + i, gte);
	vmdk_set(seg, pin, i, cleared);
	if (vmdk_is_data(v, gte))
		vd_space_free(seg->chain, &v->space, pos, v->header.grain,
			      (run->grain + i) << v->header.grain_shift);
	return 0;
}

/* A run that has nothing to clear costs no write, and no space for its tables. */
static int vmdk_has_work(struct vd_segment *seg, const struct vmdk_sparse *v,
			 const struct vmdk_run *run, unsigned int flags)
{
	u32 i, gte;
	int ret;

	for (i = 0; i < run->n; i++) {
		ret = vmdk_entry(seg, run, i, &gte);
		if (ret)
			return ret;
		if (vmdk_cleared(seg, v, gte, flags) != gte)
			return 1;
	}
	return 0;
}

int vmdk_sparse_discard(struct vd_segment *seg, u64 pos, u64 len, unsigned int flags, u64 *done)
{
	struct vmdk_sparse *v = seg->priv;
	u32 shift = v->header.grain_shift, i;
	u64 covered = (u64)v->header.grain << VMDK_GTES_SHIFT;
	struct vd_meta_pin pin[2];
	struct vmdk_run run;
	u64 tables[2];
	int ret;

	if (vmdk_has_parent(seg) && !(v->header.flags & VMDK_FLAG_ZEROED))
		return -EOPNOTSUPP;
	ret = vmdk_tables(seg, v, pos >> (shift + VMDK_GTES_SHIFT), tables);
	if (!ret && !tables[0] && (!vmdk_has_parent(seg) || !(flags & VD_CLEAR_ZERO))) {
		*done = min(len, covered - (pos & (covered - 1)));
		return 0;
	}
	if (!ret && !tables[0])
		ret = vmdk_new_tables(seg, v, pos >> (shift + VMDK_GTES_SHIFT), tables);
	if (ret)
		return ret;
	vmdk_run_at(v, pos, len, tables, &run);
	*done = min(len, (u64)run.n << shift);
	ret = vmdk_has_work(seg, v, &run, flags);
	if (ret <= 0)
		return ret;
	ret = vmdk_pin_both(seg, run.pos, 4 * run.n, VMDK_RANK_TABLES, pin);
	if (ret)
		return ret;
	for (i = 0; !ret && i < run.n; i++)
		ret = vmdk_clear_entry(seg, v, &run, pin, i, flags);
	vmdk_unpin(seg, pin);
	return ret;
}
