// SPDX-License-Identifier: GPL-2.0-only
/*
 * The metadata cache.
 *
 * A block is in exactly one place at a time:
 *
 *	cached	on a hash chain, holds valid bytes; on the clock list too, unless
 *		it is held: pinned, dirty, or part of a commit
 *	spare	has memory, holds nothing
 *	bare	a descriptor without memory
 *	in hand	a reader took it and is filling it; on no list
 *
 * @lock guards all lists and counters and is never held across I/O or an
 * allocation. Since readers copy under it, a block that is not held can be taken
 * away at any moment.
 *
 * The first blocks are owned from creation on. When memory is short a reader
 * evicts; when every owned block is in other readers' hands it reads its few
 * bytes past the cache. So a look-up never fails for want of memory.
 *
 * A held block may have a shadow, a second piece of memory that its pin brought
 * along: the first change after a snapshot copies the block there, and the
 * commit writes the copy. So a commit never sees what came after its snapshot,
 * and a change never waits for a commit.
 */
#include "vdisk/extent.h"
#include "meta-block.h"

#define META_MAX_ENTRY 64U
#define META_CHAIN 4U /* blocks on a hash chain when the cache is full */
#define META_MIN_BUCKETS 16U
/* Steps of the clock's hand for one eviction: bounds the time under the lock. */
#define META_CLOCK_STEPS 64U

/*
 * An image chooses where its tables lie, so the hash must not be one whose
 * collisions can be computed: mix in the file's address, which it cannot know,
 * before a step that is not linear.
 */
static struct vd_meta_block **cache_bucket(struct vd_meta *meta, const struct vd_file *file,
					    u64 block)
{
	u64 h = block ^ (u64)(unsigned long)file;

	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdULL;
	h ^= h >> 33;
	h *= 0xc4ceb9fe1a85ec53ULL;
	h ^= h >> 33;
	return &meta->buckets[(u32)h & (meta->nr_buckets - 1)];
}

struct vd_meta_block *meta_lookup(struct vd_meta *meta, const struct vd_file *file, u64 block)
{
	struct vd_meta_block *b;

	for (b = *cache_bucket(meta, file, block); b; b = b->next) {
		if (b->block == block && b->file == file)
			return b;
	}
	return NULL;
}

static void cache_insert(struct vd_meta *meta, struct vd_meta_block *block)
{
	meta_push(cache_bucket(meta, block->file, block->block), block);
	list_add_tail(&block->clock, &meta->clock);
	WRITE_ONCE(meta->cached, meta->cached + 1);
}

/* @block is not held. */
static void cache_remove(struct vd_meta *meta, struct vd_meta_block *block)
{
	struct vd_meta_block **link = cache_bucket(meta, block->file, block->block);

	while (*link != block)
		link = &(*link)->next;
	*link = block->next;
	list_del(&block->clock);
	WRITE_ONCE(meta->cached, meta->cached - 1);
	if (block->changed)
		WRITE_ONCE(meta->gen, meta->gen + 1);
}

/* From the clock list, where any reader may take it, to its holder. */
void meta_hold(struct vd_meta *meta, struct vd_meta_block *block)
{
	list_del(&block->clock);
	WRITE_ONCE(meta->cached, meta->cached - 1);
	WRITE_ONCE(meta->held, meta->held + 1);
}

void meta_unhold(struct vd_meta *meta, struct vd_meta_block *block)
{
	block->hot = true;
	list_add_tail(&block->clock, &meta->clock);
	WRITE_ONCE(meta->cached, meta->cached + 1);
	WRITE_ONCE(meta->held, meta->held - 1);
}

/* @block is not held. */
void meta_forget(struct vd_meta *meta, struct vd_meta_block *block)
{
	cache_remove(meta, block);
	meta_push(&meta->spare, block);
}

/* Second chance: the hand passes a hot block once, then takes it. */
static struct vd_meta_block *cache_evict(struct vd_meta *meta)
{
	struct vd_meta_block *block;
	u32 steps;

	if (list_empty(&meta->clock))
		return NULL;

	for (steps = 0;; steps++) {
		block = list_entry(meta->clock.next, struct vd_meta_block, clock);
		if (!block->hot || steps == META_CLOCK_STEPS)
			break;
		block->hot = false;
		list_move_tail(&block->clock, &meta->clock);
	}
	cache_remove(meta, block);
	return block;
}

/* Adds a page of bare descriptors and returns one more. Called without the lock. */
static struct vd_meta_block *new_descriptor(struct vd_meta *meta)
{
	struct meta_slab *slab = vd_alloc_io();
	size_t i;

	if (!slab)
		return NULL;

	memset(slab, 0, sizeof(*slab));
	for (i = 0; i < ARRAY_SIZE(slab->blocks); i++) {
		INIT_LIST_HEAD(&slab->blocks[i].dirty);
		INIT_LIST_HEAD(&slab->blocks[i].commit);
	}
	vd_spin_lock(&meta->lock);
	slab->next = meta->slabs;
	meta->slabs = slab;
	for (i = 1; i < ARRAY_SIZE(slab->blocks); i++)
		meta_push(&meta->bare, &slab->blocks[i]);
	vd_spin_unlock(&meta->lock);
	return &slab->blocks[0];
}

/*
 * Turn the claim that the caller made in @owned into a block, or give it up.
 * @block: a bare descriptor or NULL.
 */
static struct vd_meta_block *claim_memory(struct vd_meta *meta, struct vd_meta_block *block)
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
		meta_push(&meta->bare, block);
	vd_spin_unlock(&meta->lock);
	return NULL;
}

/* A block to read into, or NULL when all that exist are in other hands. */
struct vd_meta_block *meta_take(struct vd_meta *meta)
{
	struct vd_meta_block *block;

	vd_spin_lock(&meta->lock);
	block = meta_pop(&meta->spare);
	if (!block && meta->owned < meta->max) {
		meta->owned++;
		block = meta_pop(&meta->bare);
		vd_spin_unlock(&meta->lock);

		block = claim_memory(meta, block);
		if (block)
			return block;
		vd_spin_lock(&meta->lock);
		block = meta_pop(&meta->spare);
	}
	if (!block)
		block = cache_evict(meta);
	vd_spin_unlock(&meta->lock);
	return block;
}

static void give_back(struct vd_meta *meta, struct vd_meta_block *block)
{
	vd_spin_lock(&meta->lock);
	meta_push(&meta->spare, block);
	vd_spin_unlock(&meta->lock);
}

/* In which file and where @block begins; it holds what the file has there. */
static int read_block(struct vd_meta_block *block, struct vd_file *file, u64 pos)
{
	u64 base = pos & ~(u64)(VD_META_BLOCK - 1);

	block->file = file;
	block->block = pos >> VD_META_SHIFT;
	block->len = (u32)min_t(u64, VD_META_BLOCK, READ_ONCE(file->size) - base);
	block->hot = false;
	block->changed = false;
	block->secured = false;
	return vd_file_read(file, base, block->data, block->len);
}

/*
 * Put @block, just read, into the cache, under the lock. Another reader may have
 * been first, and what he has may have been changed since: his copy stays, but
 * for what the file has grown by. @gen: as it was before the read.
 *
 * NULL, and the memory is spare: the bytes may be older than the cache was.
 */
static struct vd_meta_block *adopt_block(struct vd_meta *meta, struct vd_meta_block *block, u32 gen)
{
	struct vd_meta_block *other = meta_lookup(meta, block->file, block->block);

	if (!other && meta->gen == gen) {
		cache_insert(meta, block);
		return block;
	}
	if (other && other->len < block->len) {
		memcpy(other->data + other->len, block->data + other->len,
		       block->len - other->len);
		other->len = block->len;
	}
	meta_push(&meta->spare, block);
	return other;
}

/* Read the block around @pos, cache it, and copy out @len bytes of it. */
static int read_miss(struct vd_meta *meta, struct vd_file *file, u64 pos, void *buf, u32 len)
{
	u32 offset = (u32)(pos & (VD_META_BLOCK - 1));
	struct vd_meta_block *block = meta_take(meta), *now;
	u32 gen = READ_ONCE(meta->gen);
	int ret;

	if (!block)
		return vd_file_read(file, pos, buf, len);

	ret = read_block(block, file, pos);
	if (ret) {
		give_back(meta, block);
		return ret;
	}
	/* Good enough for who asked while it was changed: he came before the change. */
	memcpy(buf, block->data + offset, len);
	vd_spin_lock(&meta->lock);
	now = adopt_block(meta, block, gen);
	if (now)
		memcpy(buf, now->data + offset, len);
	vd_spin_unlock(&meta->lock);
	return 0;
}

int meta_load(struct vd_meta *meta, struct vd_file *file, u64 pos)
{
	struct vd_meta_block *block = meta_take(meta);
	u32 gen = READ_ONCE(meta->gen);
	int ret;

	if (!block)
		return -ENOMEM;
	ret = read_block(block, file, pos);
	if (ret) {
		give_back(meta, block);
		return ret;
	}
	vd_spin_lock(&meta->lock);
	adopt_block(meta, block, gen);
	vd_spin_unlock(&meta->lock);
	return 0;
}

static bool entry_is_sane(const struct vd_file *file, u64 pos, u32 len, int *error)
{
	u32 offset = (u32)(pos & (VD_META_BLOCK - 1));

	*error = 0;
	if (!len || len > VD_META_BLOCK - offset)
		*error = -EINVAL;
	else if (!vd_inside(pos, len, READ_ONCE(file->size)))
		*error = -EIO;
	return !*error;
}

int vd_meta_read(struct vd_meta *meta, struct vd_file *file, u64 pos, void *buf, u32 len,
		 unsigned int flags)
{
	u32 offset = (u32)(pos & (VD_META_BLOCK - 1));
	struct vd_meta_block *block;
	int ret;

	if (len > META_MAX_ENTRY)
		return -EINVAL;
	if (!entry_is_sane(file, pos, len, &ret))
		return ret;

	vd_spin_lock(&meta->lock);
	block = meta_lookup(meta, file, pos >> VD_META_SHIFT);
	if (block && offset + len > block->len)
		block = NULL;	/* the file has grown since it was read */
	if (block) {
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

/* Move the memory of @block to @pages, a list linked through its first word. */
static void strip_block(struct vd_meta *meta, struct vd_meta_block *block, void **pages)
{
	void *page = block->data;

	memcpy(page, pages, sizeof(*pages));
	*pages = page;
	block->data = NULL;
	meta_push(&meta->bare, block);
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
	struct vd_meta_block *block;
	void *pages = NULL;
	u32 gone = 0;

	vd_spin_lock(&meta->lock);
	while (gone < blocks) {
		block = cache_evict(meta);
		if (!block)
			break;
		meta_push(&meta->spare, block);
		gone++;
	}
	while (meta->owned > meta->reserve) {
		block = meta_pop(&meta->spare);
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
	struct vd_meta_block *block;

	while (meta->owned < meta->reserve) {
		meta->owned++;
		block = claim_memory(meta, meta_pop(&meta->bare));
		if (!block)
			return -ENOMEM;
		meta_push(&meta->spare, block);
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
	INIT_LIST_HEAD(&meta->dirty);
	INIT_LIST_HEAD(&meta->commit);
	meta->max = max;
	/* A held block has up to two pieces of memory, and readers need some. */
	meta->max_held = max_t(u32, max / 4, 1);
	meta->reserve = min_t(u32, VD_META_RESERVE, max);
	meta->nr_buckets = buckets;
	meta->bounce = vd_alloc_io();
	if (!meta->bounce || fill_reserve(meta)) {
		vd_meta_destroy(meta);
		return NULL;
	}
	return meta;
}

/* Held blocks of a cache that ends after a failure. */
static void drop_held(struct vd_meta *meta)
{
	struct vd_meta_block *block;
	u32 i;

	for (i = 0; i < meta->nr_buckets; i++) {
		while ((block = meta_pop(&meta->buckets[i]))) {
			if (block->shadow)
				meta_push(&meta->spare, block->shadow);
			meta_push(&meta->spare, block);
		}
	}
}

void vd_meta_destroy(struct vd_meta *meta)
{
	struct vd_meta_block *block;
	struct meta_slab *slab;

	if (!meta)
		return;

	while ((block = cache_evict(meta)))
		meta_push(&meta->spare, block);
	drop_held(meta);
	while ((block = meta_pop(&meta->spare)))
		vd_free_io(block->data);
	while ((slab = meta->slabs)) {
		meta->slabs = slab->next;
		vd_free_io(slab);
	}
	if (meta->bounce)
		vd_free_io(meta->bounce);
	vd_spin_destroy(&meta->lock);
	vd_free(meta);
}
