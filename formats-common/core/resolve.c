// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table of resolved extents; resolve.h says what keeps it true.
 *
 * The disk is cut into windows. A window leads to one set, by a hash, so that
 * strides of a guest's file system do not meet in few sets. An answer is clipped to
 * its window, and neighbours that continue each other become one: a window of a
 * base that lies in one piece takes one entry, however small its units.
 */
#include "resolve.h"
#include "writer.h"

#define RESOLVE_WAYS		7U
#define RESOLVE_MIN_SHIFT	16	/* windows of 64 KiB */
#define RESOLVE_MAX_SHIFT	22
/* A window has so many units (as a shift): few enough that all of them fit, if they must. */
#define RESOLVE_UNITS		2

/**
 * struct vd_resolve_set - entries for the windows that lead here
 * @lock: guards all else, but for a look at @gen and @used; nothing is taken under it
 * @gen: how often something was dropped
 * @used: the ways from there on are free
 * @next: who goes when there is no room
 * @way: len 0: free
 */
struct vd_resolve_set {
	struct vd_spinlock lock;
	unsigned long gen;
	u32 used;
	u32 next;
	struct vd_extent way[RESOLVE_WAYS];
};

/**
 * struct vd_resolve - the table; but for what the sets hold, constant
 * @shift: of a window's size
 * @unit: of the smallest unit's, but at most a window's
 * @down: 64 less the bits of a set's number
 * @nr_sets: a power of two, at least two
 * @sets: the sets
 */
struct vd_resolve {
	u32 shift;
	u32 unit;
	u32 down;
	u32 nr_sets;
	struct vd_resolve_set sets[];
};

static struct vd_resolve_set *set_of(struct vd_resolve *table, u64 window)
{
	return &table->sets[(window * 0x9e3779b97f4a7c15ULL) >> table->down];
}

/* --- life --- */

static u32 unit_shift(const struct vd_chain *chain)
{
	u32 i, unit, shift = RESOLVE_MAX_SHIFT;

	for (i = 0; i < chain->nr_segs; i++) {
		unit = chain->segs[i].unit;
		if (unit >= VD_SECTOR)
			shift = min_t(u32, shift, (u32)ilog2(unit));
	}
	return shift;
}

static u32 window_shift(u32 unit)
{
	u32 shift = max_t(u32, unit + RESOLVE_UNITS, RESOLVE_MIN_SHIFT);

	return min_t(u32, shift, RESOLVE_MAX_SHIFT);
}

/* One set for each window of a small disk, and at least two. */
static u32 set_bits(u64 windows, u32 sets)
{
	u64 most = (VD_RESOLVE_BYTES - sizeof(struct vd_resolve)) / sizeof(struct vd_resolve_set);
	u32 bits = 1;

	if (sets)
		return max_t(u32, (u32)ilog2(sets), 1);
	while (2ULL << bits <= most && 1ULL << bits < windows)
		bits++;
	return bits;
}

struct vd_resolve *vd_resolve_create(const struct vd_chain *chain, u32 sets)
{
	u32 unit = unit_shift(chain), shift = window_shift(unit), i;
	u32 bits = set_bits(vd_ceil_shift(chain->size, shift), sets);
	struct vd_resolve *table;

	table = vd_zalloc(sizeof(*table) + (sizeof(*table->sets) << bits));
	if (!table)
		return NULL;
	table->shift = shift;
	table->unit = unit;
	table->down = 64 - bits;
	table->nr_sets = 1U << bits;
	for (i = 0; i < table->nr_sets; i++)
		vd_spin_init(&table->sets[i].lock);
	return table;
}

void vd_resolve_destroy(struct vd_resolve *table)
{
	u32 i;

	for (i = 0; table && i < table->nr_sets; i++)
		vd_spin_destroy(&table->sets[i].lock);
	vd_free(table);
}

/* --- look --- */

u64 vd_resolve_end(const struct vd_resolve *table, u64 pos, u64 size)
{
	return min(((pos >> table->shift) + 1) << table->shift, size);
}

u64 vd_resolve_begin(const struct vd_resolve *table, u64 pos)
{
	return (pos >> table->unit) << table->unit;
}

bool vd_resolve_get(struct vd_resolve *table, u64 pos, u64 len, struct vd_extent *ext,
		    struct vd_resolve_walk *walk)
{
	struct vd_resolve_set *set = set_of(table, pos >> table->shift);
	bool found;
	u32 i;

	walk->set = set;
	walk->gen = vd_load_acquire(&set->gen);
	/* Where the top has everything, nobody remembers anything: ask no further. */
	if (!READ_ONCE(set->used))
		return false;
	vd_spin_lock(&set->lock);
	for (i = 0; i < set->used; i++)
		if (pos - set->way[i].pos < set->way[i].len)
			break;
	found = i < set->used;
	if (found)
		*ext = set->way[i];
	vd_spin_unlock(&set->lock);
	if (found)
		vd_extent_slice(ext, pos, len);
	return found;
}

/* --- remember --- */

static void count_used(struct vd_resolve_set *set)
{
	u32 used = RESOLVE_WAYS;

	while (used && !set->way[used - 1].len)
		used--;
	WRITE_ONCE(set->used, used);
}

/*
 * @new takes over what @old says, if that is part of it or a neighbour of the same
 * piece. What overlaps otherwise says the same, and may stay. Two windows that lead
 * to one set may meet in one entry: whoever looks for either comes here.
 */
static bool absorb(struct vd_extent *new, const struct vd_extent *old)
{
	if (old->pos >= new->pos && old->pos + old->len <= new->pos + new->len)
		return true;
	if (old->seg != new->seg)
		return false;
	if (old->pos + old->len == new->pos && vd_extent_continues(old, new)) {
		new->pos = old->pos;
		new->file_pos = old->file_pos;
		new->len += old->len;
		return true;
	}
	if (new->pos + new->len == old->pos && vd_extent_continues(new, old)) {
		new->len += old->len;
		return true;
	}
	return false;
}

static void insert(struct vd_resolve_set *set, struct vd_extent *new)
{
	u32 i, to = RESOLVE_WAYS;

	for (i = 0; i < RESOLVE_WAYS; i++) {
		if (set->way[i].len && !absorb(new, &set->way[i]))
			continue;
		set->way[i].len = 0;
		/* The first that is free: who looks finds it sooner. */
		to = min(to, i);
	}
	if (to == RESOLVE_WAYS) {
		to = set->next;
		set->next = (to + 1) % RESOLVE_WAYS;
	}
	set->way[to] = *new;
	count_used(set);
}

void vd_resolve_put(struct vd_resolve *table, const struct vd_resolve_walk *walk,
		    const struct vd_extent *ext)
{
	struct vd_extent new = *ext;

	vd_extent_slice(&new, new.pos, vd_resolve_end(table, new.pos, U64_MAX) - new.pos);
	vd_spin_lock(&walk->set->lock);
	if (walk->set->gen == walk->gen || vd_bug(VD_BUG_STALE_WALK))
		insert(walk->set, &new);
	vd_spin_unlock(&walk->set->lock);
}

/* --- forget --- */

static void drop_from(struct vd_resolve_set *set, u64 pos, u64 len)
{
	u32 i;

	vd_spin_lock(&set->lock);
	vd_store_release(&set->gen, set->gen + 1);
	for (i = 0; i < set->used; i++)
		if (vd_overlap(set->way[i].pos, set->way[i].len, pos, len))
			set->way[i].len = 0;
	count_used(set);
	vd_spin_unlock(&set->lock);
}

void vd_resolve_drop(struct vd_resolve *table, u64 pos, u64 len)
{
	u64 first, last;
	u32 i;

	if (!table || !len || vd_bug(VD_BUG_STALE_EXTENT))
		return;
	first = pos >> table->shift;
	last = (pos + len - 1) >> table->shift;
	if (last - first >= table->nr_sets) {
		for (i = 0; i < table->nr_sets; i++)
			drop_from(&table->sets[i], pos, len);
		return;
	}
	for (; first <= last; first++)
		drop_from(set_of(table, first), pos, len);
}
