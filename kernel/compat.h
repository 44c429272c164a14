/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Differences between kernels. Code elsewhere is written for the newest; each
 * shim is switched by a token that Kbuild finds in the target's headers and
 * says when it can go.
 */
#ifndef VDISK_COMPAT_H
#define VDISK_COMPAT_H

#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/sched.h>
#include <linux/shrinker.h>

/* 6.14 dropped the flag: merging is always on. Goes when 6.12 goes. */
#ifdef VD_HAVE_SHOULD_MERGE
#define VDISK_TAG_FLAGS	(BLK_MQ_F_STACKING | BLK_MQ_F_NO_SCHED_BY_DEFAULT | BLK_MQ_F_SHOULD_MERGE)
#else
#define VDISK_TAG_FLAGS	(BLK_MQ_F_STACKING | BLK_MQ_F_NO_SCHED_BY_DEFAULT)
#endif

/* fail-nth counts one task's allocations: what it asks for is to be done in it. */
static inline bool vdisk_counts_failures(void)
{
#ifdef CONFIG_FAULT_INJECTION
	return current->fail_nth;
#else
	return false;
#endif
}

/* 6.5 gave open and release the gendisk. Goes with 6.1. */
#ifdef VD_HAVE_BLK_MODE
#define VDISK_OPEN_ARGS			struct gendisk *disk, blk_mode_t mode
#define VDISK_RELEASE_ARGS		struct gendisk *disk
#define VDISK_OPEN_DISK			disk
#define VDISK_MODE_WRITES(mode)		(!!((mode) & BLK_OPEN_WRITE))
#define VDISK_MODE_EXCL(mode)		(!!((mode) & BLK_OPEN_EXCL))
#else
#define VDISK_OPEN_ARGS			struct block_device *bdev, fmode_t mode
#define VDISK_RELEASE_ARGS		struct gendisk *disk, fmode_t mode
#define VDISK_OPEN_DISK			(bdev->bd_disk)
#define VDISK_MODE_WRITES(mode)		(!!((mode) & FMODE_WRITE))
#define VDISK_MODE_EXCL(mode)		(!!((mode) & FMODE_EXCL))
#endif

/* 6.9 made limits an argument of the disk's allocation. Goes with 6.1. */
struct vdisk_limits {
	unsigned int logical_block_size;
	unsigned int physical_block_size;
	unsigned int io_opt;
	unsigned int dma_alignment;
	unsigned int discard_granularity;	/* 0: no discard */
	unsigned int max_discard_sectors;
	unsigned int max_write_zeroes_sectors;
	bool write_cache;
	bool stable_writes;
};

#define VDISK_RQ_SECTORS	8192U
#define VDISK_RQ_SEGMENTS	256U

#ifdef VD_HAVE_QUEUE_LIMITS
static inline struct gendisk *vdisk_alloc_disk(struct blk_mq_tag_set *set,
					       const struct vdisk_limits *l, void *data)
{
	struct queue_limits lim = {
		.logical_block_size = l->logical_block_size,
		.physical_block_size = l->physical_block_size,
		.io_min = l->physical_block_size,
		.io_opt = l->io_opt,
		.max_hw_sectors = VDISK_RQ_SECTORS,
		.max_segments = VDISK_RQ_SEGMENTS,
		.max_segment_size = UINT_MAX,
		.dma_alignment = l->dma_alignment,
		.discard_granularity = l->discard_granularity,
		.max_hw_discard_sectors = l->max_discard_sectors,
		.max_write_zeroes_sectors = l->max_write_zeroes_sectors,
	};

	if (l->write_cache)
		lim.features |= BLK_FEAT_WRITE_CACHE | BLK_FEAT_FUA;
	if (l->stable_writes)
		lim.features |= BLK_FEAT_STABLE_WRITES;
	return blk_mq_alloc_disk(set, &lim, data);
}
#else
static inline struct gendisk *vdisk_alloc_disk(struct blk_mq_tag_set *set,
					       const struct vdisk_limits *l, void *data)
{
	struct gendisk *disk = blk_mq_alloc_disk(set, data);
	struct request_queue *q;

	if (IS_ERR(disk))
		return disk;
	q = disk->queue;
	blk_queue_logical_block_size(q, l->logical_block_size);
	blk_queue_physical_block_size(q, l->physical_block_size);
	blk_queue_io_min(q, l->physical_block_size);
	blk_queue_io_opt(q, l->io_opt);
	blk_queue_max_hw_sectors(q, VDISK_RQ_SECTORS);
	blk_queue_max_segments(q, VDISK_RQ_SEGMENTS);
	blk_queue_max_segment_size(q, UINT_MAX);
	blk_queue_dma_alignment(q, l->dma_alignment);
	q->limits.discard_granularity = l->discard_granularity;
	blk_queue_max_discard_sectors(q, l->max_discard_sectors);
	blk_queue_max_write_zeroes_sectors(q, l->max_write_zeroes_sectors);
	blk_queue_write_cache(q, l->write_cache, l->write_cache);
	if (l->stable_writes)
		blk_queue_flag_set(QUEUE_FLAG_STABLE_WRITES, q);
	blk_queue_flag_set(QUEUE_FLAG_NONROT, q);
	return disk;
}
#endif

/* 6.7 allocates shrinkers, with room for our pointer. Goes with 6.1. */
#ifdef VD_HAVE_SHRINKER_ALLOC
static inline struct shrinker *vdisk_shrinker_new(void *data)
{
	struct shrinker *s = shrinker_alloc(0, "vdisk-meta");

	if (s)
		s->private_data = data;
	return s;
}

static inline void *vdisk_shrinker_data(struct shrinker *s)
{
	return s->private_data;
}

static inline int vdisk_shrinker_register(struct shrinker *s)
{
	shrinker_register(s);
	return 0;
}

static inline void vdisk_shrinker_free(struct shrinker *s, bool registered)
{
	shrinker_free(s);
}
#else
struct vdisk_shrinker {
	struct shrinker s;
	void *data;
};

static inline struct shrinker *vdisk_shrinker_new(void *data)
{
	struct vdisk_shrinker *v = kzalloc(sizeof(*v), GFP_KERNEL);

	if (!v)
		return NULL;
	v->data = data;
	return &v->s;
}

static inline void *vdisk_shrinker_data(struct shrinker *s)
{
	return container_of(s, struct vdisk_shrinker, s)->data;
}

static inline int vdisk_shrinker_register(struct shrinker *s)
{
	return register_shrinker(s, "vdisk-meta");
}

static inline void vdisk_shrinker_free(struct shrinker *s, bool registered)
{
	if (registered)
		unregister_shrinker(s);
	kfree(container_of(s, struct vdisk_shrinker, s));
}
#endif

#endif /* VDISK_COMPAT_H */
