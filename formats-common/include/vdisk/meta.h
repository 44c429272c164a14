/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The metadata cache: format tables are read and written through it and
 * nowhere else.
 *
 * Blocks of 4 KiB keyed by file and offset. Bounded, second-chance eviction. A
 * reader copies an entry out under a spinlock, so it never holds a pointer into
 * a block and never waits for another reader's I/O. A block enters the cache
 * only after it was read whole.
 *
 * Writing goes in two steps, because the second must not fail: vd_meta_pin()
 * makes sure that the block is there and will find its way to the file, and
 * vd_meta_set() changes it. What was changed is dirty, by granules of 512 bytes,
 * each with a rank; readers see it at once. A commit takes a snapshot of all
 * that is dirty, writes it rank by rank, and never sees later changes. A write
 * covers exactly the dirty granules, never a neighbour.
 */
#ifndef VDISK_META_H
#define VDISK_META_H

#include "vd_port.h"
#include "vdisk/file.h"

struct vd_meta;
struct vd_meta_block;

#define VD_META_RANKS	5	/* 0 to 4; a format says what each means */

/* At most @max_blocks blocks (0: VD_META_MAX_BLOCKS). May sleep. NULL: no memory. */
struct vd_meta *vd_meta_create(u32 max_blocks);
/* Forgets what is dirty. */
void vd_meta_destroy(struct vd_meta *meta);

/*
 * Drop up to @blocks clean blocks, returns how many went. Any context that may
 * take a spinlock; for a shrinker.
 */
u32 vd_meta_shrink(struct vd_meta *meta, u32 blocks);
/* Blocks that could go. */
u32 vd_meta_count(const struct vd_meta *meta);

/**
 * vd_meta_read() - copy a table entry
 * @pos: byte offset in @file
 * @len: 1 to 64 bytes that do not cross a multiple of 4096
 * @flags: VD_MAP_NOWAIT: -EAGAIN when the block is not cached
 *
 * 0 or -errno; a range past the end of the file is -EIO. May sleep without
 * NOWAIT.
 */
int vd_meta_read(struct vd_meta *meta, struct vd_file *file, u64 pos, void *buf, u32 len,
		 unsigned int flags);

/**
 * struct vd_meta_pin - the right to change a range
 * @block: stays in the cache while it is pinned; NULL: no pin
 * @pos, @len: bytes of the file; do not cross a multiple of 4096
 * @rank: what the changes will have
 *
 * Owned by whoever pinned it; ends with vd_meta_unpin().
 */
struct vd_meta_pin {
	struct vd_meta_block *block;
	u64 pos;
	u32 len;
	u32 rank;
};

/**
 * vd_meta_pin() - prepare changes to [pos, pos + len) of @file
 *
 * May sleep: reads the block, secures its place in the file. 0; -EAGAIN: only a
 * commit makes room for more dirty blocks, or the range waits to be written
 * with another rank; -ENOMEM; -ENOSPC; or what reading gave.
 */
int vd_meta_pin(struct vd_meta *meta, struct vd_file *file, u64 pos, u32 len, u32 rank,
		struct vd_meta_pin *pin);
/* Change bytes of a pinned range. Never sleeps, never fails; takes one spinlock. */
void vd_meta_set(struct vd_meta *meta, const struct vd_meta_pin *pin, u64 pos, const void *buf,
		 u32 len);
void vd_meta_set32(struct vd_meta *meta, const struct vd_meta_pin *pin, u64 pos, u32 value);
/* NULL @block is fine. Never sleeps. */
void vd_meta_unpin(struct vd_meta *meta, struct vd_meta_pin *pin);

/* Anything dirty, or a commit not ended? Any context. */
bool vd_meta_clean(const struct vd_meta *meta);
/* Is it time for a commit that nobody asked for? Any context. */
bool vd_meta_pressed(const struct vd_meta *meta);

/*
 * The parts of a commit; the caller makes sure that one runs at a time. All of
 * a commit's writes may sleep. @rank counts from 0 to VD_META_RANKS - 1.
 */
void vd_meta_snapshot(struct vd_meta *meta);
bool vd_meta_committing(const struct vd_meta *meta);	/* a snapshot is not yet durable */
bool vd_meta_has_rank(const struct vd_meta *meta, u32 rank);
int vd_meta_write_rank(struct vd_meta *meta, u32 rank);	/* marks the files dirty */
/* Durable: the snapshot's blocks are clean. Without it they stay as they are. */
void vd_meta_committed(struct vd_meta *meta);

/*
 * Change bytes in cache and file at once, at most 64 in one block, not yet
 * durable. Never during a commit, nor where something is dirty (-EBUSY). After
 * an error the file's bytes may be old, new or torn, and the cache asks it again.
 */
int vd_meta_write_through(struct vd_meta *meta, struct vd_file *file, u64 pos, const void *buf,
			  u32 len);

/* @file has grown from @old_size: bytes past it read as zeros. */
void vd_meta_grown(struct vd_meta *meta, const struct vd_file *file, u64 old_size);
/* Clean blocks in the range are forgotten: its bytes get another use. */
void vd_meta_drop(struct vd_meta *meta, const struct vd_file *file, u64 pos, u64 len);

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
