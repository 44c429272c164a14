/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The metadata cache: format tables are read through it and nowhere else.
 *
 * Blocks of 4 KiB keyed by file and offset. Bounded, second-chance eviction,
 * nothing pinned: an entry is copied out under a spinlock, so a reader never
 * holds a pointer into a block and never waits for another reader's I/O. A
 * block enters the cache only after it was read whole.
 */
#ifndef VDISK_META_H
#define VDISK_META_H

#include "vd_port.h"
#include "vdisk/file.h"

struct vd_meta;

/* At most @max_blocks blocks (0: VD_META_MAX_BLOCKS). May sleep. NULL: no memory. */
struct vd_meta *vd_meta_create(u32 max_blocks);
void vd_meta_destroy(struct vd_meta *meta);

/*
 * Drop up to @blocks clean blocks, returns how many went. Any context that may
 * take a spinlock; for a shrinker.
 */
u32 vd_meta_shrink(struct vd_meta *meta, u32 blocks);
u32 vd_meta_count(const struct vd_meta *meta);

/**
 * vd_meta_read() - copy a table entry
 * @pos: byte offset in @file
 * @len: 1 to 64 bytes that do not cross a multiple of 4096
 * @flags: VD_MAP_NOWAIT: -EAGAIN when the block is not cached
 *
 * 0 or -errno; a range past the end that the file had at open is -EIO. May
 * sleep without NOWAIT.
 */
int vd_meta_read(struct vd_meta *meta, struct vd_file *file, u64 pos, void *buf, u32 len,
		 unsigned int flags);

/**
 * struct vd_table - an on-disk array of little-endian words
 * @pos: byte offset of entry 0
 * @count: entries; an index outside is -EIO, whatever the caller believed
 */
struct vd_table {
	struct vd_meta *meta;
	struct vd_file *file;
	u64 pos;
	u64 count;
};

int vd_table_get32(const struct vd_table *table, u64 index, unsigned int flags, u32 *value);
int vd_table_get64(const struct vd_table *table, u64 index, unsigned int flags, u64 *value);

#endif /* VDISK_META_H */
