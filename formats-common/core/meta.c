// SPDX-License-Identifier: GPL-2.0-only
/*
 * The metadata cache.
 *
 * A block is in exactly one place at a time:
 *
 *	cached	on a hash chain and on the clock list, holds valid bytes
 *	spare	has memory, holds nothing
 *	bare	a descriptor without memory
 *	in hand	a reader took it and is filling it; on no list
 *
 * @lock guards all lists and counters and is never held across I/O or an
 * allocation. Since readers copy under it, a cached block can be taken away at
 * any moment, and nothing is ever pinned.
 *
 * The first blocks are owned from creation on. When memory is short a reader
 * evicts; when every owned block is in other readers' hands it reads its few
 * bytes past the cache. So a look-up never fails for want of memory.
 */
#include "vdisk/checked.h"
#include "vdisk/extent.h"
#include "vdisk/meta.h"

#define META_MAX_ENTRY 64U
#define META_CHAIN 4U /* blocks on a hash chain when the cache is full */
#define META_MIN_BUCKETS 16U
/* Steps of the clock's hand for one eviction: bounds the time under the lock. */
#define META_CLOCK_STEPS 64U

/**
 * struct meta_block - one block of a file
 * @clock: position on the clock list when cached
 * @next: hash chain when cached, else the spare or bare list
 * @file: whose bytes these are
 * @block: position in the file, in blocks
 * @len: valid bytes, less than a block only at the file's end
 * @hot: used since the hand passed
 * @data: VD_META_BLOCK bytes; NULL when bare
 */
struct meta_block {
	struct list_head clock;
	struct meta_block *next;
	const struct vd_file *file;
	u64 block;
	u32 len;
	bool hot;
	u8 *data;
};

/* Descriptors come by the page, so that they need no larger allocation than data. */
struct meta_slab {
	struct meta_slab *next;
	struct meta_block blocks[(VD_META_BLOCK - sizeof(void *)) / sizeof(struct meta_block)];
};

static_assert(sizeof(struct meta_slab) <= VD_META_BLOCK, "a slab is one block of memory");

/**
 * struct vd_meta - the cache of one chain
 * @lock: guards all the rest
 * @max: blocks that may be owned at once
 * @reserve: blocks that stay owned until the end
 * @owned: cached + spare + in hand
 * @cached: blocks on the clock list
 * @clock: cached blocks, next to be looked at first
 * @spare: blocks that have memory
 * @bare: descriptors without
 * @slabs: where descriptors come from, freed at the end
 * @nr_buckets: a power of two
 * @buckets: hash chains
 */
struct vd_meta {
	struct vd_spinlock lock;
	u32 max;
	u32 reserve;
	u32 owned;
	u32 cached;
	struct list_head clock;
	struct meta_block *spare;
	struct meta_block *bare;
	struct meta_slab *slabs;
	u32 nr_buckets;
	struct meta_block *buckets[];
};

static void list_push(struct meta_block **list, struct meta_block *block)
{
	block->next = *list;
	*list = block;
}

static struct meta_block *list_pop(struct meta_block **list)
{
	struct meta_block *block = *list;

	if (block)
		*list = block->next;
	return block;
}

/*
 * An image chooses where its tables lie, so the hash must not be one whose
 * collisions can be computed: mix in the file's address, which it cannot know,
 * before a step that is not linear.
 */
static struct meta_block **cache_bucket(struct vd_meta *meta, const struct vd_file *file, u64 block)
{
	u64 h = block ^ (u64)(unsigned long)file;

	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdULL;
	h ^= h >> 33;
	h *= 0xc4ceb9fe1a85ec53ULL;
	h ^= h >> 33;
	return &meta->buckets[(u32)h & (meta->nr_buckets - 1)];
}

static struct meta_block *cache_lookup(struct vd_meta *meta, const struct vd_file *file, u64 block)
{
	struct meta_block *b;

	for (b = *cache_bucket(meta, file, block); b; b = b->next) {
		if (b->block == block && b->file == file)
			return b;
	}
	return NULL;
}

static void cache_insert(struct vd_meta *meta, struct meta_block *block)
{
	list_push(cache_bucket(meta, block->file, block->block), block);
	list_add_tail(&block->clock, &meta->clock);
	meta->cached++;
}

static void cache_remove(struct vd_meta *meta, struct meta_block *block)
{
	struct meta_block **link = cache_bucket(meta, block->file, block->block);

	while (*link != block)
		link = &(*link)->next;
	*link = block->next;
	list_del(&block->clock);
	meta->cached--;
}

/* Second chance: the hand passes a hot block once, then takes it. */
static struct meta_block *cache_evict(struct vd_meta *meta)
{
	struct meta_block *block;
	u32 steps;

	if (list_empty(&meta->clock))
		return NULL;

	for (steps = 0;; steps++) {
		block = list_entry(meta->clock.next, struct meta_block, clock);
		if (!block->hot || steps == META_CLOCK_STEPS)
			break;
		block->hot = false;
		list_move_tail(&block->clock, &meta->clock);
	}
	cache_remove(meta, block);
	return block;
}

/* Adds a page of bare descriptors and returns one more. Called without the lock. */
static struct meta_block *new_descriptor(struct vd_meta *meta)
{
	struct meta_slab *slab = vd_alloc_io();
	size_t i;

	if (!slab)
		return NULL;

	memset(slab, 0, sizeof(*slab));
	vd_spin_lock(&meta->lock);
	slab->next = meta->slabs;
	meta->slabs = slab;
	for (i = 1; i < ARRAY_SIZE(slab->blocks); i++)
		list_push(&meta->bare, &slab->blocks[i]);
	vd_spin_unlock(&meta->lock);
	return &slab->blocks[0];
}

/*
 * Turn the claim that the caller made in @owned into a block, or give it up.
 * @block: a bare descriptor or NULL.
 */
static struct meta_block *claim_memory(struct vd_meta *meta, struct meta_block *block)
{
	if (!block)
		block = new_descriptor(meta);
	if (block) {
		block->data = vd_alloc_io();
		if (block->data)
			return block;
	}

	vd_spin_lock(&meta->lock);
	meta->owned--;
	if (block)
		list_push(&meta->bare, block);
	vd_spin_unlock(&meta->lock);
	return NULL;
}

/* A block to read into, or NULL when all that exist are in other hands. */
static struct meta_block *take_block(struct vd_meta *meta)
{
	struct meta_block *block;

	vd_spin_lock(&meta->lock);
	block = list_pop(&meta->spare);
	if (!block && meta->owned < meta->max) {
		meta->owned++;
		block = list_pop(&meta->bare);
		vd_spin_unlock(&meta->lock);

		block = claim_memory(meta, block);
		if (block)
			return block;
		vd_spin_lock(&meta->lock);
		block = list_pop(&meta->spare);
	}
	if (!block)
		block = cache_evict(meta);
	vd_spin_unlock(&meta->lock);
	return block;
}

static void give_back(struct vd_meta *meta, struct meta_block *block)
{
	vd_spin_lock(&meta->lock);
	list_push(&meta->spare, block);
	vd_spin_unlock(&meta->lock);
}

/* Read the block around @pos, cache it, and copy out @len bytes of it. */
static int read_miss(struct vd_meta *meta, struct vd_file *file, u64 pos, void *buf, u32 len)
{
	u32 offset = (u32)(pos & (VD_META_BLOCK - 1));
	struct meta_block *block = take_block(meta);
	int ret;

	if (!block)
		return vd_file_read(file, pos, buf, len);

	block->file = file;
	block->block = pos >> VD_META_SHIFT;
	block->len = (u32)min_t(u64, VD_META_BLOCK, file->size - (pos - offset));
	block->hot = false;
	ret = vd_file_read(file, pos - offset, block->data, block->len);
	if (ret) {
		give_back(meta, block);
		return ret;
	}
	memcpy(buf, block->data + offset, len);

	vd_spin_lock(&meta->lock);
	/* Another reader may have missed at the same time: the first copy stays. */
	if (cache_lookup(meta, file, block->block))
		list_push(&meta->spare, block);
	else
		cache_insert(meta, block);
	vd_spin_unlock(&meta->lock);
	return 0;
}

int vd_meta_read(struct vd_meta *meta, struct vd_file *file, u64 pos, void *buf, u32 len,
		 unsigned int flags)
{
	u32 offset = (u32)(pos & (VD_META_BLOCK - 1));
	struct meta_block *block;

	if (!len || len > META_MAX_ENTRY || len > VD_META_BLOCK - offset)
		return -EINVAL;
	if (!vd_inside(pos, len, file->size))
		return -EIO;

	vd_spin_lock(&meta->lock);
	block = cache_lookup(meta, file, pos >> VD_META_SHIFT);
	if (block) {
		/* Cached blocks end where the file ended at open, so the range is inside. */
		memcpy(buf, block->data + offset, len);
		block->hot = true;
	}
	vd_spin_unlock(&meta->lock);

	if (block)
		return 0;
	if (flags & VD_MAP_NOWAIT)
		return -EAGAIN;
	return read_miss(meta, file, pos, buf, len);
}
VD_EXPORT(vd_meta_read);

/* Where is entry @index of @width bytes? */
static int entry_pos(const struct vd_table *table, u64 index, u32 width, u64 *pos)
{
	u64 offset;

	if (index >= table->count || !vd_mul(index, width, &offset) ||
	    !vd_add(table->pos, offset, pos))
		return -EIO;
	return 0;
}

int vd_table_get32(const struct vd_table *table, u64 index, unsigned int flags, u32 *value)
{
	u8 raw[sizeof(u32)];
	u64 pos;
	int ret;

	ret = entry_pos(table, index, sizeof(raw), &pos);
	if (!ret)
		ret = vd_meta_read(table->meta, table->file, pos, raw, sizeof(raw), flags);
	if (!ret)
		*value = get_unaligned_le32(raw);
	return ret;
}
VD_EXPORT(vd_table_get32);

int vd_table_get64(const struct vd_table *table, u64 index, unsigned int flags, u64 *value)
{
	u8 raw[sizeof(u64)];
	u64 pos;
	int ret;

	ret = entry_pos(table, index, sizeof(raw), &pos);
	if (!ret)
		ret = vd_meta_read(table->meta, table->file, pos, raw, sizeof(raw), flags);
	if (!ret)
		*value = get_unaligned_le64(raw);
	return ret;
}
VD_EXPORT(vd_table_get64);

/* Move the memory of @block to @pages, a list linked through its first word. */
static void strip_block(struct vd_meta *meta, struct meta_block *block, void **pages)
{
	void *page = block->data;

	memcpy(page, pages, sizeof(*pages));
	*pages = page;
	block->data = NULL;
	list_push(&meta->bare, block);
	meta->owned--;
}

static void drop_pages(void *pages)
{
	while (pages) {
		void *page = pages;

		memcpy(&pages, page, sizeof(pages));
		vd_free_io(page);
	}
}

u32 vd_meta_shrink(struct vd_meta *meta, u32 blocks)
{
	struct meta_block *block;
	void *pages = NULL;
	u32 gone = 0;

	vd_spin_lock(&meta->lock);
	while (gone < blocks) {
		block = cache_evict(meta);
		if (!block)
			break;
		list_push(&meta->spare, block);
		gone++;
	}
	while (meta->owned > meta->reserve) {
		block = list_pop(&meta->spare);
		if (!block)
			break;
		strip_block(meta, block, &pages);
	}
	vd_spin_unlock(&meta->lock);

	drop_pages(pages);
	return gone;
}

u32 vd_meta_count(const struct vd_meta *meta)
{
	return READ_ONCE(meta->cached);
}

static int fill_reserve(struct vd_meta *meta)
{
	struct meta_block *block;

	while (meta->owned < meta->reserve) {
		meta->owned++;
		block = claim_memory(meta, list_pop(&meta->bare));
		if (!block)
			return -ENOMEM;
		list_push(&meta->spare, block);
	}
	return 0;
}

struct vd_meta *vd_meta_create(u32 max_blocks)
{
	struct vd_meta *meta;
	u32 max, buckets;

	max = max_blocks ? min_t(u32, max_blocks, VD_META_MAX_BLOCKS) : VD_META_MAX_BLOCKS;
	for (buckets = META_MIN_BUCKETS; buckets < max / META_CHAIN; buckets *= 2)
		;

	meta = vd_zalloc(sizeof(*meta) + buckets * sizeof(meta->buckets[0]));
	if (!meta)
		return NULL;
	vd_spin_init(&meta->lock);
	INIT_LIST_HEAD(&meta->clock);
	meta->max = max;
	meta->reserve = min_t(u32, VD_META_RESERVE, max);
	meta->nr_buckets = buckets;
	if (fill_reserve(meta)) {
		vd_meta_destroy(meta);
		return NULL;
	}
	return meta;
}

void vd_meta_destroy(struct vd_meta *meta)
{
	struct meta_block *block;
	struct meta_slab *slab;

	if (!meta)
		return;

	while ((block = cache_evict(meta)))
		list_push(&meta->spare, block);
	while ((block = list_pop(&meta->spare)))
		vd_free_io(block->data);
	while ((slab = meta->slabs)) {
		meta->slabs = slab->next;
		vd_free_io(slab);
	}
	vd_spin_destroy(&meta->lock);
	vd_free(meta);
}
