/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside of the metadata cache: meta.c finds blocks, meta-write.c changes them. */
#ifndef CORE_META_BLOCK_H
#define CORE_META_BLOCK_H

#include "vdisk/checked.h"
#include "vdisk/meta.h"

#define META_GRANULES (VD_META_BLOCK / VD_SECTOR)
/* Attempts to find a block still there after it was read. */
#define META_TRIES 16

/**
 * struct vd_meta_block - one block of a file
 * @clock: position on the clock list when cached and not held
 * @dirty: on the list of dirty blocks, or empty
 * @commit: on the list of the commit's blocks, or empty
 * @next: hash chain when cached, else the spare or bare list
 * @file: whose bytes these are
 * @block: position in the file, in blocks
 * @len: valid bytes, less than a block only at the file's end
 * @pins: how many
 * @hot: used since the hand passed
 * @changed: since it was read
 * @secured: its place in the file has space
 * @shadowed: @shadow holds what the commit is to write
 * @want: rank + 1 that pins will write each granule with, 0 none
 * @rank: rank + 1 of what is dirty since the snapshot, 0 clean
 * @crank: rank + 1 of what the commit has not ended with
 * @data: VD_META_BLOCK bytes; NULL when bare
 * @shadow: a block in hand whose memory is for what the commit is to write, or
 *	NULL
 */
struct vd_meta_block {
	struct list_head clock;
	struct list_head dirty;
	struct list_head commit;
	struct vd_meta_block *next;
	struct vd_file *file;
	u64 block;
	u32 len;
	u32 pins;
	bool hot;
	bool changed;
	bool secured;
	bool shadowed;
	u8 want[META_GRANULES];
	u8 rank[META_GRANULES];
	u8 crank[META_GRANULES];
	u8 *data;
	struct vd_meta_block *shadow;
};

#define META_SLAB_BLOCKS \
	((VD_META_BLOCK - sizeof(void *)) / sizeof(struct vd_meta_block))

/* Descriptors come by the page, so that they need no larger allocation than data. */
struct meta_slab {
	struct meta_slab *next;
	struct vd_meta_block blocks[META_SLAB_BLOCKS];
};

static_assert(sizeof(struct meta_slab) <= VD_META_BLOCK, "a slab is one block of memory");

/**
 * struct vd_meta - the cache of one chain
 * @lock: guards all the rest
 * @max: blocks that may be owned at once
 * @reserve: blocks that stay owned until the end
 * @owned: pieces of memory: cached + spare + in hand + shadows
 * @cached: blocks on the clock list
 * @held: cached blocks that are not on it; @max_held: how many pins may make
 * @ranks: granules in the running commit, for each rank
 * @committing: between snapshot and end
 * @gen: counts blocks that left the cache after they had been changed: who was
 *	reading meanwhile may have older bytes
 * @clock: cached blocks, next to be looked at first
 * @dirty, @commit: see struct vd_meta_block
 * @bounce: what is being written, by the commit or by write-through
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
	u32 held;
	u32 max_held;
	u32 ranks[VD_META_RANKS];
	bool committing;
	u32 gen;
	struct list_head clock;
	struct list_head dirty;
	struct list_head commit;
	u8 *bounce;
	struct vd_meta_block *spare;
	struct vd_meta_block *bare;
	struct meta_slab *slabs;
	u32 nr_buckets;
	struct vd_meta_block *buckets[];
};

static inline void meta_push(struct vd_meta_block **list, struct vd_meta_block *block)
{
	block->next = *list;
	*list = block;
}

static inline struct vd_meta_block *meta_pop(struct vd_meta_block **list)
{
	struct vd_meta_block *block = *list;

	if (block)
		*list = block->next;
	return block;
}

/*
 * meta.c. @meta->lock is held, but for meta_take() and meta_load(). A block that
 * is held is on no clock list.
 */
struct vd_meta_block *meta_lookup(struct vd_meta *meta, const struct vd_file *file, u64 block);
void meta_hold(struct vd_meta *meta, struct vd_meta_block *block);
void meta_unhold(struct vd_meta *meta, struct vd_meta_block *block);
void meta_forget(struct vd_meta *meta, struct vd_meta_block *block);
/* Memory for a block, in hand, or NULL. May sleep. */
struct vd_meta_block *meta_take(struct vd_meta *meta);
/* The block at @pos gets into the cache, if it is not there. May sleep. */
int meta_load(struct vd_meta *meta, struct vd_file *file, u64 pos);

#endif /* CORE_META_BLOCK_H */
