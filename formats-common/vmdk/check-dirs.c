// SPDX-License-Identifier: GPL-2.0-only
/*
 * Directories of an extent under check: every entry must lead to a table of
 * its own, and one that is absent in one copy must be absent in the other.
 */
#include "vdisk/caps.h"
#include "vdisk/checked.h"
#include "check.h"

/* --- places of metadata, sorted --- */

static void sift(u64 *a, u64 at, u64 n)
{
	u64 child, tmp;

	while ((child = 2 * at + 1) < n) {
		if (child + 1 < n && a[child + 1] > a[child])
			child++;
		if (a[at] >= a[child])
			return;
		tmp = a[at];
		a[at] = a[child];
		a[child] = tmp;
		at = child;
	}
}

static void heap_sort(u64 *a, u64 n)
{
	u64 i, tmp;

	for (i = n / 2; i; i--)
		sift(a, i - 1, n);
	for (i = n; i > 1; i--) {
		tmp = a[0];
		a[0] = a[i - 1];
		a[i - 1] = tmp;
		sift(a, 0, i - 1);
	}
}

void vmdk_meta_range(const struct vmdk_check *c, u64 index, struct vmdk_range *out)
{
	u32 id = (u32)c->meta[index];

	if (id & VMDK_META_TAKEN) {
		*out = c->taken[id & ~VMDK_META_TAKEN];
		return;
	}
	out->pos = c->meta[index] >> 32 << VD_SECTOR_SHIFT;
	out->len = c->gt_bytes;
}

u64 vmdk_meta_after(const struct vmdk_check *c, u64 pos)
{
	u64 low = 0, high = c->nr_meta, mid;
	struct vmdk_range r;

	while (low < high) {
		mid = low + (high - low) / 2;
		vmdk_meta_range(c, mid, &r);
		if (r.pos + r.len > pos)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

bool vmdk_meta_clear(const struct vmdk_check *c, u64 pos, u64 len)
{
	struct vmdk_range r;
	u64 next;

	if (pos >= c->meta_end)
		return true;
	next = vmdk_meta_after(c, pos);
	vmdk_meta_range(c, next, &r);
	return !vd_overlap(r.pos, r.len, pos, len);
}

/* What lies past the reach of a 32-bit sector number meets no table and no grain. */
static void add_taken(struct vmdk_check *c)
{
	u32 i;

	for (i = 0; i < VMDK_RANGES; i++) {
		if (!c->taken[i].len)
			continue;
		vmdk_check_end(c->out, min(c->taken[i].pos + c->taken[i].len, c->file->size));
		if (c->taken[i].pos >> VD_SECTOR_SHIFT > U32_MAX)
			continue;
		c->meta[c->nr_meta++] = c->taken[i].pos >> VD_SECTOR_SHIFT << 32 |
					VMDK_META_TAKEN | i;
	}
}

/* --- judging --- */

static void bad_entry(struct vmdk_check *c, u32 d, u64 t, const char *why)
{
	u64 bytes = (u64)c->grain << c->gt_shift;

	c->state[t] |= VMDK_DIR_BAD(d);
	vd_check_found(c->out, VD_FINDING_CORRUPT, !c->packed,
		   "entry %llu of the %s%sdirectory (bytes %llu to %llu of the extent) is sector %u, %s",
		   t, c->what, d ? "redundant grain " : "grain ", t * bytes,
		   min(c->capacity, (t + 1) * bytes) - 1, c->dir[d][t], why);
}

static const char *place_of_table(const struct vmdk_check *c, u32 sector)
{
	u64 pos = (u64)sector << VD_SECTOR_SHIFT;
	u32 i;

	if (!vd_inside(pos, c->gt_bytes, c->file->size))
		return "whose table would end past the file";
	for (i = 0; i < VMDK_RANGES; i++)
		if (vd_overlap(c->taken[i].pos, c->taken[i].len, pos, c->gt_bytes))
			return "where header, descriptor or a directory are";
	return NULL;
}

static void judge_places(struct vmdk_check *c, u64 t)
{
	const char *why;
	u32 d;

	for (d = 0; d < c->nr_dirs; d++) {
		if (!c->dir[d][t])
			continue;
		why = place_of_table(c, c->dir[d][t]);
		if (why)
			bad_entry(c, d, t, why);
		else
			c->meta[c->nr_meta++] = (u64)c->dir[d][t] << 32 |
						(d ? VMDK_META_COPY : 0) | (u32)t;
	}
}

/* Of tables that share a sector the first keeps its place. */
static void judge_overlaps(struct vmdk_check *c)
{
	u64 i, kept = 0, end = 0;
	struct vmdk_range r;
	u32 id;

	heap_sort(c->meta, c->nr_meta);
	for (i = 0; i < c->nr_meta; i++) {
		vmdk_meta_range(c, i, &r);
		id = (u32)c->meta[i];
		if (r.pos < end && !(id & VMDK_META_TAKEN)) {
			bad_entry(c, id >> 31, id & ~VMDK_META_COPY,
				  "where another table is");
			continue;
		}
		end = max(end, r.pos + r.len);
		c->meta[kept++] = c->meta[i];
	}
	c->nr_meta = kept;
	c->meta_end = end;
	vmdk_check_end(c->out, min(end, c->file->size));
}

/*
 * What a writer leaves that died while it made a table, if the one table is
 * one: so this comes after the places and the overlaps.
 */
static void judge_absent(struct vmdk_check *c, u64 t)
{
	u32 d;

	if (c->nr_dirs < 2 || !c->dir[0][t] == !c->dir[1][t])
		return;
	d = c->dir[0][t] ? 1 : 0;
	if (c->state[t] & VMDK_DIR_BAD(!d)) {
		bad_entry(c, d, t, "which is none, but the other directory has one");
		return;
	}
	c->state[t] |= VMDK_DIR_BAD(d) | VMDK_DIR_LONE;
	c->out->lone++;
	vd_check_found(c->out, VD_FINDING_UNCLEAN, !c->packed,
		   "entry %llu of the %sdirectory is missing, the other directory has it (sector %u)",
		   t, d ? "redundant grain " : "grain ", c->dir[!d][t]);
}

/*
 * Readers follow the first directory, and the second where the first leads
 * nowhere. So a new table shows something else if the old one was another's, or
 * if the second directory has none to copy.
 */
static void judge_change(struct vmdk_check *c, u64 t)
{
	if (!(c->state[t] & VMDK_DIR_BAD(0)) || c->state[t] & VMDK_DIR_LONE || !vmdk_may_fix(c))
		return;
	if (!place_of_table(c, c->dir[0][t]) || !vmdk_has_table(c, 1, t))
		vmdk_changed(c, VD_CHANGE_ALTERED, t << c->gt_shift, 1ULL << c->gt_shift);
}

/* Is it this run's business to give copy @d a table @t? */
static bool to_rebuild(const struct vmdk_check *c, u32 d, u64 t)
{
	if (!(c->state[t] & VMDK_DIR_BAD(d)) || c->packed)
		return false;
	return vmdk_may_fix(c) || c->state[t] & VMDK_DIR_LONE;
}

/* @meta first, as it is the most strictly aligned; then entries, tables, states. */
static int alloc_arena(struct vmdk_check *c)
{
	u64 nr_meta = c->nr_gts * c->nr_dirs + VMDK_RANGES;
	u64 words = c->nr_gts * c->nr_dirs;
	u8 *at;
	u32 d;

	at = vd_zalloc((size_t)(nr_meta * 8 + words * 4 + c->gt_bytes * c->nr_dirs + c->nr_gts));
	if (!at)
		return vd_fail(c->err, -ENOMEM, "out of memory");
	c->arena = at;
	c->meta = c->arena;
	at += nr_meta * 8;
	for (d = 0; d < c->nr_dirs; d++) {
		c->dir[d] = (u32 *)(void *)at;
		at += c->nr_gts * 4;
	}
	for (d = 0; d < c->nr_dirs; d++) {
		c->table[d] = at;
		at += c->gt_bytes;
	}
	c->state = at;
	return 0;
}

static int read_dirs(struct vmdk_check *c)
{
	u64 t;
	u32 d;
	int ret;

	for (d = 0; d < c->nr_dirs; d++) {
		ret = vd_file_read(c->file, c->dir_pos[d], c->dir[d], (u32)c->nr_gts * 4);
		if (ret)
			return vd_fail(c->err, ret, "%sgrain directory at byte %llu cannot be read",
				       c->what, c->dir_pos[d]);
		for (t = 0; t < c->nr_gts; t++)
			c->dir[d][t] = get_unaligned_le32(&c->dir[d][t]);
	}
	return 0;
}

int vmdk_check_dirs(struct vmdk_check *c)
{
	u64 t;
	int ret;

	ret = alloc_arena(c);
	if (!ret)
		ret = read_dirs(c);
	if (ret)
		return ret;
	vmdk_check_end(c->out, c->data_pos);
	add_taken(c);
	for (t = 0; t < c->nr_gts; t++)
		judge_places(c, t);
	judge_overlaps(c);
	for (t = 0; t < c->nr_gts; t++) {
		judge_absent(c, t);
		judge_change(c, t);
	}
	return 0;
}

/* --- repair --- */

/* What the other copy has, or no grain at all. */
static int load_other(struct vmdk_check *c, u32 d, u64 t)
{
	int ret;

	memset(c->table[0], 0, c->gt_bytes);
	if (!vmdk_has_table(c, !d, t))
		return 0;
	ret = vd_file_read(c->file, (u64)c->dir[!d][t] << VD_SECTOR_SHIFT, c->table[0],
			   c->gt_bytes);
	if (ret)
		return vd_fail(c->err, ret, "grain table at sector %u cannot be read",
			       c->dir[!d][t]);
	return 0;
}

static bool table_is_empty(const struct vmdk_check *c)
{
	return !c->table[0][0] && !memcmp(c->table[0], c->table[0] + 1, c->gt_bytes - 1);
}

/* A table behind everything. An empty one is what a file has there when it grows. */
static int append_table(struct vmdk_check *c, u32 d, u64 t)
{
	u64 pos;
	int ret;

	ret = vmdk_check_room(c, c->gt_bytes, VD_SECTOR_SHIFT, "a grain table", &pos);
	if (!ret)
		ret = load_other(c, d, t);
	if (ret)
		return ret;
	if (table_is_empty(c) && !c->file->fixed) {
		if (!c->zero_end)
			c->zero_pos = pos;
		c->zero_end = pos + c->gt_bytes;
	} else {
		ret = vmdk_check_write(c, pos, c->table[0], c->gt_bytes);
	}
	if (ret)
		return ret;
	c->dir[d][t] = (u32)(pos >> VD_SECTOR_SHIFT);
	vmdk_check_end(c->out, pos + c->gt_bytes);
	return 0;
}

static int append_tables(struct vmdk_check *c)
{
	u64 t;
	u32 d;
	int ret;

	/* The file is about to grow: see the top of check.c. */
	ret = vd_fix_flush(&c->fix);
	for (t = 0; !ret && t < c->nr_gts; t++) {
		for (d = 0; !ret && d < c->nr_dirs; d++)
			if (to_rebuild(c, d, t))
				ret = append_table(c, d, t);
		if (!ret && !(t % 64))
			ret = vd_check_progress(c->out, c->err, t, c->nr_gts);
	}
	if (!ret && c->zero_end)
		ret = vd_fix_allocate(&c->fix, c->zero_pos, c->zero_end);
	/* Tables are whole before an entry leads to them. */
	return ret ? ret : vd_fix_flush(&c->fix);
}

/* COWD tables come on demand, so no table at all is the repair there. */
static void drop_tables(struct vmdk_check *c)
{
	u64 t;

	for (t = 0; t < c->nr_gts; t++)
		if (to_rebuild(c, 0, t))
			c->dir[0][t] = 0;
}

static int write_entry(struct vmdk_check *c, u32 d, u64 t)
{
	u8 raw[4];

	if (!to_rebuild(c, d, t))
		return 0;
	put_unaligned_le32(c->dir[d][t], raw);
	return vmdk_check_patch(c, c->dir_pos[d] + t * 4, raw, sizeof(raw));
}

int vmdk_rebuild_dirs(struct vmdk_check *c)
{
	u64 t;
	u32 d;
	int ret = 0;

	/* What MERGE leaves as it is might lead into what is appended here: nothing is. */
	if (c->out->flags & VD_CHECK_MERGE && c->out->found[VD_FINDING_CORRUPT]) {
		if (!c->packed)
			c->out->repaired[VD_FINDING_UNCLEAN] -= c->out->lone;
		return 0;
	}
	if (!(c->out->flags & VD_CHECK_REPAIR))
		return 0;
	if (c->cowd)
		drop_tables(c);
	else
		ret = append_tables(c);
	for (t = 0; !ret && t < c->nr_gts; t++)
		for (d = 0; !ret && d < c->nr_dirs; d++)
			ret = write_entry(c, d, t);
	return ret;
}
