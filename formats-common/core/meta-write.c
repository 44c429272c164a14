// SPDX-License-Identifier: GPL-2.0-only
/*
 * The writing half of the metadata cache: pins, changes, and the parts of a
 * commit. meta.h says what they promise, meta.c what a block is.
 */
#include "meta-block.h"
#include "vdisk/alloc.h"

static u32 first_granule(u64 pos)
{
	return (u32)(pos & (VD_META_BLOCK - 1)) >> VD_SECTOR_SHIFT;
}

static u32 last_granule(u64 pos, u32 len)
{
	return first_granule(pos + len - 1);
}

static bool is_held(const struct vd_meta_block *block)
{
	return block->pins || !list_empty(&block->dirty) || !list_empty(&block->commit);
}

/* Does another rank own a granule of the range? */
static bool rank_conflicts(const struct vd_meta_block *block, u64 pos, u32 len, u32 rank)
{
	u32 g;

	for (g = first_granule(pos); g <= last_granule(pos, len); g++) {
		if (block->rank[g] && block->rank[g] != rank + 1)
			return true;
		if (block->want[g] && block->want[g] != rank + 1)
			return true;
	}
	return false;
}

static void drop_shadow(struct vd_meta *meta, struct vd_meta_block *block)
{
	if (!block->shadow)
		return;
	meta_push(&meta->spare, block->shadow);
	block->shadow = NULL;
}

static void release_if_free(struct vd_meta *meta, struct vd_meta_block *block)
{
	if (is_held(block))
		return;
	drop_shadow(meta, block);
	block->shadowed = false;
	meta_unhold(meta, block);
}

/* Under the lock. -ENOENT: not cached; *@spare is used up when it was needed. */
static int pin_cached(struct vd_meta *meta, struct vd_file *file, struct vd_meta_pin *pin,
		      struct vd_meta_block **spare)
{
	u32 end = (u32)(pin->pos & (VD_META_BLOCK - 1)) + pin->len;
	struct vd_meta_block *block = meta_lookup(meta, file, pin->pos >> VD_META_SHIFT);
	u32 g;

	if (!block || block->len < end)
		return -ENOENT;
	if (rank_conflicts(block, pin->pos, pin->len, pin->rank))
		return -EAGAIN;
	if (!is_held(block)) {
		if (meta->held >= meta->max_held)
			return -EAGAIN;
		meta_hold(meta, block);
	}
	if (!block->shadow) {
		block->shadow = *spare;
		*spare = NULL;
	}
	block->pins++;
	for (g = first_granule(pin->pos); g <= last_granule(pin->pos, pin->len); g++)
		block->want[g] = (u8)(pin->rank + 1);
	pin->block = block;
	return 0;
}

/* Space for what the commit will write there: a table may lie in a hole. */
static int secure(struct vd_meta *meta, struct vd_file *file, struct vd_meta_pin *pin)
{
	u64 base = pin->pos & ~(u64)(VD_META_BLOCK - 1);
	u32 len = pin->block->len;
	int ret = 0;

	if (READ_ONCE(pin->block->secured))
		return 0;
	if (!file->fixed)
		ret = vd_file_allocate(file, base, len);
	if (ret == -EOPNOTSUPP)
		ret = 0;
	if (!ret)
		WRITE_ONCE(pin->block->secured, true);
	return ret;
}

static bool range_is_sane(const struct vd_file *file, u64 pos, u32 len)
{
	return len && len <= VD_META_BLOCK - (pos & (VD_META_BLOCK - 1)) &&
	       vd_inside(pos, len, READ_ONCE(file->size));
}

/* Find or load the block and pin it. */
static int pin_block(struct vd_meta *meta, struct vd_file *file, struct vd_meta_pin *pin,
		     struct vd_meta_block **spare)
{
	int tries, ret;

	for (tries = 0; tries < META_TRIES; tries++) {
		if (!*spare)
			*spare = meta_take(meta);
		if (!*spare)
			return -ENOMEM;
		vd_spin_lock(&meta->lock);
		ret = pin_cached(meta, file, pin, spare);
		vd_spin_unlock(&meta->lock);
		if (ret != -ENOENT)
			return ret;
		ret = meta_load(meta, file, pin->pos);
		if (ret)
			return ret;
	}
	return -ENOMEM;
}

int vd_meta_pin(struct vd_meta *meta, struct vd_file *file, u64 pos, u32 len, u32 rank,
		struct vd_meta_pin *pin)
{
	struct vd_meta_block *spare = NULL;
	int ret;

	memset(pin, 0, sizeof(*pin));
	if (rank >= VD_META_RANKS || !range_is_sane(file, pos, len))
		return -EIO;
	pin->pos = pos;
	pin->len = len;
	pin->rank = rank;
	ret = pin_block(meta, file, pin, &spare);
	if (spare) {
		vd_spin_lock(&meta->lock);
		meta_push(&meta->spare, spare);
		vd_spin_unlock(&meta->lock);
	}
	if (ret)
		return ret;
	ret = secure(meta, file, pin);
	if (ret)
		vd_meta_unpin(meta, pin);
	return ret;
}
VD_EXPORT(vd_meta_pin);

/* The commit still needs what is there now. */
static void keep_for_commit(struct vd_meta_block *block)
{
	if (list_empty(&block->commit) || block->shadowed || vd_bug(VD_BUG_NO_SHADOW))
		return;
	memcpy(block->shadow->data, block->data, VD_META_BLOCK);
	block->shadowed = true;
}

void vd_meta_set(struct vd_meta *meta, const struct vd_meta_pin *pin, u64 pos, const void *buf,
		 u32 len)
{
	struct vd_meta_block *block = pin->block;
	u32 g;

	vd_spin_lock(&meta->lock);
	keep_for_commit(block);
	memcpy(block->data + (pos & (VD_META_BLOCK - 1)), buf, len);
	block->changed = true;
	for (g = first_granule(pos); g <= last_granule(pos, len); g++)
		block->rank[g] = (u8)(pin->rank + 1);
	if (list_empty(&block->dirty))
		list_add_tail(&block->dirty, &meta->dirty);
	vd_spin_unlock(&meta->lock);
}
VD_EXPORT(vd_meta_set);

void vd_meta_set32(struct vd_meta *meta, const struct vd_meta_pin *pin, u64 pos, u32 value)
{
	u8 raw[sizeof(value)];

	put_unaligned_le32(value, raw);
	vd_meta_set(meta, pin, pos, raw, sizeof(raw));
}
VD_EXPORT(vd_meta_set32);

void vd_meta_unpin(struct vd_meta *meta, struct vd_meta_pin *pin)
{
	struct vd_meta_block *block = pin->block;

	if (!block)
		return;
	pin->block = NULL;
	vd_spin_lock(&meta->lock);
	if (!--block->pins) {
		memset(block->want, 0, sizeof(block->want));
		release_if_free(meta, block);
	}
	vd_spin_unlock(&meta->lock);
}
VD_EXPORT(vd_meta_unpin);

bool vd_meta_clean(const struct vd_meta *meta)
{
	/* What is dirty moves to the commit under the lock, flag first. */
	if (READ_ONCE(meta->dirty.next) != &meta->dirty)
		return false;
	vd_mb();
	return !READ_ONCE(meta->committing);
}

bool vd_meta_committing(const struct vd_meta *meta)
{
	return READ_ONCE(meta->committing);
}

bool vd_meta_pressed(const struct vd_meta *meta)
{
	return READ_ONCE(meta->held) > meta->max_held / 2;
}

/* --- commit --- */

void vd_meta_snapshot(struct vd_meta *meta)
{
	struct vd_meta_block *block;
	u32 g;

	vd_spin_lock(&meta->lock);
	WRITE_ONCE(meta->committing, true);
	/* Who finds nothing dirty must see this; pairs with vd_meta_clean(). */
	vd_mb();
	memset(meta->ranks, 0, sizeof(meta->ranks));
	while (!list_empty(&meta->dirty)) {
		block = list_entry(meta->dirty.next, struct vd_meta_block, dirty);
		for (g = 0; g < META_GRANULES; g++) {
			if (block->rank[g])
				meta->ranks[block->rank[g] - 1]++;
			block->crank[g] = block->rank[g];
			block->rank[g] = 0;
		}
		list_add_tail(&block->commit, &meta->commit);
		list_del_init(&block->dirty);
	}
	vd_spin_unlock(&meta->lock);
}

bool vd_meta_has_rank(const struct vd_meta *meta, u32 rank)
{
	return meta->ranks[rank];
}

/* What the commit writes of @block, at rest in the bounce buffer. */
static void take_snapshot(struct vd_meta *meta, const struct vd_meta_block *block)
{
	vd_spin_lock(&meta->lock);
	memcpy(meta->bounce, block->shadowed ? block->shadow->data : block->data, VD_META_BLOCK);
	vd_spin_unlock(&meta->lock);
}

static int write_granules(struct vd_meta *meta, struct vd_meta_block *block, u32 first, u32 end)
{
	u64 base = block->block << VD_META_SHIFT;
	u32 from = first << VD_SECTOR_SHIFT;
	u32 to = min_t(u32, end << VD_SECTOR_SHIFT, block->len);

	return vd_file_write(block->file, base + from, meta->bounce + from, to - from);
}

/* Runs of granules of one rank. */
static int write_block(struct vd_meta *meta, struct vd_meta_block *block, u32 rank)
{
	bool ready = false;
	u32 g = 0, first;
	int ret;

	while (g < META_GRANULES) {
		if (block->crank[g] != rank + 1) {
			g++;
			continue;
		}
		for (first = g; g < META_GRANULES && block->crank[g] == rank + 1; g++)
			;
		if (!ready)
			take_snapshot(meta, block);
		ready = true;
		ret = write_granules(meta, block, first, g);
		if (ret)
			return ret;
	}
	return 0;
}

/* Only the commit changes its list, so it walks it without the lock. */
int vd_meta_write_rank(struct vd_meta *meta, u32 rank)
{
	struct vd_meta_block *block;
	int ret = 0;

	if (!meta->ranks[rank])
		return 0;
	list_for_each_entry(block, &meta->commit, commit) {
		ret = write_block(meta, block, rank);
		if (ret)
			break;
	}
	return ret;
}

void vd_meta_committed(struct vd_meta *meta)
{
	struct vd_meta_block *block;

	vd_spin_lock(&meta->lock);
	while (!list_empty(&meta->commit)) {
		block = list_entry(meta->commit.next, struct vd_meta_block, commit);
		list_del_init(&block->commit);
		memset(block->crank, 0, sizeof(block->crank));
		block->shadowed = false;
		release_if_free(meta, block);
	}
	WRITE_ONCE(meta->committing, false);
	vd_spin_unlock(&meta->lock);
}

/* --- around commits --- */

/* Put the bytes into the cached block and what its granules hold now into the bounce buffer. */
static int change_cached(struct vd_meta *meta, struct vd_file *file, u64 pos, const void *buf,
			 u32 len)
{
	u32 offset = (u32)(pos & (VD_META_BLOCK - 1));
	struct vd_meta_block *block = meta_lookup(meta, file, pos >> VD_META_SHIFT);
	u32 g;

	if (!block || block->len < offset + len)
		return -ENOENT;
	if (!list_empty(&block->commit))
		return -EBUSY;
	for (g = first_granule(pos); g <= last_granule(pos, len); g++)
		if (block->rank[g])
			return -EBUSY;
	memcpy(block->data + offset, buf, len);
	block->changed = true;
	memcpy(meta->bounce, block->data, VD_META_BLOCK);
	return 0;
}

/* The cache may not say what the file perhaps does not. */
static void forget_change(struct vd_meta *meta, struct vd_file *file, u64 pos)
{
	struct vd_meta_block *block;

	vd_spin_lock(&meta->lock);
	block = meta_lookup(meta, file, pos >> VD_META_SHIFT);
	if (block && !is_held(block))
		meta_forget(meta, block);
	vd_spin_unlock(&meta->lock);
}

int vd_meta_write_through(struct vd_meta *meta, struct vd_file *file, u64 pos, const void *buf,
			  u32 len)
{
	u64 base = pos & ~(u64)(VD_META_BLOCK - 1);
	u32 from = first_granule(pos) << VD_SECTOR_SHIFT;
	u32 to = (last_granule(pos, len) + 1) << VD_SECTOR_SHIFT;
	int tries, ret = -ENOENT;

	if (!range_is_sane(file, pos, len))
		return -EIO;
	for (tries = 0; ret == -ENOENT && tries < META_TRIES; tries++) {
		vd_spin_lock(&meta->lock);
		ret = change_cached(meta, file, pos, buf, len);
		vd_spin_unlock(&meta->lock);
		if (ret == -ENOENT) {
			ret = meta_load(meta, file, pos);
			ret = ret ? ret : -ENOENT;
		}
	}
	if (ret)
		return ret == -ENOENT ? -ENOMEM : ret;
	to = (u32)min_t(u64, to, READ_ONCE(file->size) - base);
	ret = vd_file_write(file, base + from, meta->bounce + from, to - from);
	if (ret)
		forget_change(meta, file, pos);
	/* The block may have gone meanwhile, and who reads it again may have the old bytes. */
	vd_spin_lock(&meta->lock);
	WRITE_ONCE(meta->gen, meta->gen + 1);
	vd_spin_unlock(&meta->lock);
	return ret;
}

void vd_meta_grown(struct vd_meta *meta, const struct vd_file *file, u64 old_size)
{
	u64 base = old_size & ~(u64)(VD_META_BLOCK - 1);
	struct vd_meta_block *block;
	u32 len;

	if (base == old_size)
		return;
	vd_spin_lock(&meta->lock);
	block = meta_lookup(meta, file, base >> VD_META_SHIFT);
	len = (u32)min_t(u64, VD_META_BLOCK, READ_ONCE(file->size) - base);
	if (block && block->len < len) {
		memset(block->data + block->len, 0, len - block->len);
		block->len = len;
		block->secured = false;
	}
	vd_spin_unlock(&meta->lock);
}

void vd_meta_drop(struct vd_meta *meta, const struct vd_file *file, u64 pos, u64 len)
{
	u64 end = (pos + len + VD_META_BLOCK - 1) >> VD_META_SHIFT;
	struct vd_meta_block *block;
	u64 b;

	for (b = pos >> VD_META_SHIFT; b < end; b++) {
		vd_spin_lock(&meta->lock);
		block = meta_lookup(meta, file, b);
		if (block && !is_held(block))
			meta_forget(meta, block);
		WRITE_ONCE(meta->gen, meta->gen + 1);
		vd_spin_unlock(&meta->lock);
	}
}
VD_EXPORT(vd_meta_drop);
