/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Allocating writes: a place for guest data that the top image does not have
 * yet, from reservation to publication.
 *
 *	vd_reserve()	finds a place and keeps it; nothing is visible
 *	vd_fill()	writes what the new unit holds around the caller's bytes
 *	(the caller writes its bytes)
 *	vd_publish()	the map says so now; durable with the next commit
 *
 * A *token* (struct vd_alloc) covers a run of units while that goes on. Who
 * wants one of them meanwhile is told -EBUSY, and called when the token has
 * ended; everything else goes on beside it.
 *
 * Lock order, outermost first: the chain's alloc_lock (reservation, discard,
 * begin, end), commit_lock (one commit), flush_lock (one file flush), the
 * spinlock of spaces and tokens, the metadata cache's. The spinlocks of resolved
 * extents (core/resolve.h) are the innermost, and one is held at a time.
 *
 * What the map says of a range changes only under a token that covers it: the end
 * of the token is where answers that were remembered are dropped.
 */
#ifndef VDISK_ALLOC_H
#define VDISK_ALLOC_H

#include "vdisk/image.h"

#define VD_ALLOC_PINS	2

/* struct vd_alloc.flags */
#define VD_ALLOC_ZEROED	(1U << 0)	/* the reserved range reads as zeros */
#define VD_ALLOC_CHOOSY	(1U << 1)	/* to the backend: vd_try_reserve() */

/* Somebody to be called, without sleeping, when a token has ended. */
struct vd_waiter {
	struct list_head node;
	void (*wake)(struct vd_waiter *waiter);
};

/**
 * struct vd_alloc - a token
 * @pos, @len: guest run, disk-absolute, from a unit's start to a unit's or the
 *	segment's end
 * @room: bytes of the place: @len, or more where the segment ends in a unit
 * @file, @file_pos: the place
 * @pin: the map's words that publish will change
 * @priv: the backend's
 * @node, @waiters: the core's, under its spinlock
 */
struct vd_alloc {
	u64 pos;
	u64 len;
	u64 room;
	struct vd_segment *seg;
	struct vd_file *file;
	u64 file_pos;
	unsigned int flags;
	struct vd_meta_pin pin[VD_ALLOC_PINS];
	u64 priv[2];
	struct list_head node;
	struct list_head waiters;
};

/*
 * The first change of the disk since it was opened: patches are applied and made
 * durable. 0 at once when that is done. May sleep. Every write, discard and zero
 * comes after it.
 */
int vd_begin_write(struct vd_chain *chain);
bool vd_begun(const struct vd_chain *chain);	/* any context */

/**
 * vd_reserve() - a token for a prefix of [pos, pos + len)
 * @waiter: called when -EBUSY is over; NULL: nobody waits
 *
 * For a range whose map for writing said -ENODATA. May sleep. 0; -EAGAIN: has a
 * place by now, map again; -EBUSY: under another token; -ENOSPC, -EDQUOT:
 * nothing has changed; -ENOMEM; -EUCLEAN; -EIO: also after a failed commit.
 */
int vd_reserve(struct vd_chain *chain, u64 pos, u64 len, struct vd_alloc *alloc,
	       struct vd_waiter *waiter);
/*
 * As vd_reserve(), but -EXFULL where there is only a place that others frown at, and a
 * better one is coming: vd_make_room(), then vd_reserve(), which takes what there is.
 */
int vd_try_reserve(struct vd_chain *chain, u64 pos, u64 len, struct vd_alloc *alloc,
		   struct vd_waiter *waiter);
/*
 * After @error -ENOSPC and the like or -EXFULL: what was freed lately may be room, once a
 * commit has unmapped it and nobody uses it. True if it is worth another try. The
 * caller has left (vd_io_leave()), or would be whom it waits for. May sleep.
 */
bool vd_make_room(struct vd_chain *chain, int error);
/*
 * Write what the place must hold outside of [pos, pos + len): what the disk
 * reads there now. @buf has @size bytes, a multiple of 4096 (direct I/O wants it
 * aligned so). @unit: for packed parents, may be NULL without any. May sleep.
 */
int vd_fill(struct vd_chain *chain, struct vd_alloc *alloc, u64 pos, u64 len, void *buf,
	    u32 size, struct vd_unit *unit);
/* Would it write anything? */
bool vd_fill_needed(const struct vd_chain *chain, const struct vd_alloc *alloc, u64 pos, u64 len);
/* All bytes are written: make the map say so. Never sleeps, never fails. */
void vd_publish(struct vd_chain *chain, struct vd_alloc *alloc);
/* The place goes back; what was written there is garbage. May sleep. */
void vd_abandon(struct vd_chain *chain, struct vd_alloc *alloc);
/* Call everybody who waits for a token, though it has not ended. Never sleeps. */
void vd_wake_all(struct vd_chain *chain);
/* Can a write to the top need a place? Constant. */
bool vd_allocates(const struct vd_chain *chain);

/* Flags of vd_clear(). */
#define VD_CLEAR_ZERO	(1U << 0)	/* must read zeros; without: a discard, advice */
#define VD_CLEAR_KEEP	(1U << 1)	/* with ZERO: keep the space */

/**
 * vd_clear() - discard or zero a prefix of [pos, pos + len)
 * @done: bytes that are done with, > 0 unless an error is returned
 *
 * @buf, @size, @unit: as for vd_fill(). Whole units may lose their place in the
 * file. A discard of part of a unit does nothing. After 0 the range reads zeros,
 * or (discard) zeros or what it was. Errors as vd_reserve(); may sleep.
 */
int vd_clear(struct vd_chain *chain, u64 pos, u64 len, unsigned int flags, void *buf, u32 size,
	     struct vd_unit *unit, struct vd_waiter *waiter, u64 *done);

/**
 * vd_commit() - everything that was completed before the call is durable
 *
 * May sleep. Calls that arrive while a commit runs share the next one. 0, or
 * -errno: then, and for ever after, changes and commits fail at once.
 */
int vd_commit(struct vd_chain *chain);
/*
 * Nothing waits for a commit: a write that is durable in its file is durable on
 * the disk. Any context. Ask after mapping.
 */
bool vd_clean(const struct vd_chain *chain);
/* Has a commit or flush failed? Any context. */
bool vd_failed(const struct vd_chain *chain);
/* An engine's own flush or durable write failed. Any context. */
void vd_set_failed(struct vd_chain *chain);

/*
 * No more writes for now: commit, give back space at the files' ends, clear
 * marks of use. May be followed by vd_begin_write() again. May sleep. -EBUSY: a
 * token is in flight, so it is only a commit.
 */
int vd_end_write(struct vd_chain *chain);

/**
 * struct vd_pack - moving units into free space, so that a file can end earlier
 * @go_on: called now and then with units moved and to be moved; false stops it soon.
 *	NULL: go on
 * @buf, @size: for copies, a multiple of 4096 bytes, aligned for direct I/O
 * @memory: bytes that it may take for itself; a larger image is left alone
 * @always: also if nothing was allocated or freed since the image was opened
 * @moved: units that have moved
 * @left: it has stopped before its end, and can be called again
 *
 * All but the last two are the caller's.
 */
struct vd_pack {
	bool (*go_on)(void *ctx, u64 moved, u64 total);
	void *ctx;
	void *buf;
	u32 size;
	u64 memory;
	bool always;
	u64 moved;
	bool left;
};

/*
 * Fill what discards have left free in files of formats that want none of it. Nobody
 * writes meanwhile, but there may be readers; vd_end_write() then makes the file shorter.
 * May sleep. 0 or -errno; wherever it ends, nothing is lost.
 */
int vd_fill_holes(struct vd_chain *chain, struct vd_pack *pack);

/*
 * Every transfer to or from a file enters before it maps and leaves when it has
 * ended; what it may have seen in the map is not used for anything else before.
 * Any context.
 */
unsigned int vd_io_enter(struct vd_chain *chain);
void vd_io_leave(struct vd_chain *chain, unsigned int cookie);

/* --- for backends --- */

/**
 * struct vd_space - where new things go in a file that grows
 * @file: borrowed
 * @base: places are aligned relative to this byte; 0 unless the backend sets it
 * @end: first byte that nothing refers to or has reserved
 * @limit: first byte that the format cannot refer to
 * @zeroed: bytes from here on have not been written since the file grew, and have space
 * @floor: size that the file had when it was opened: never cut below
 * @chunk: what it grows by next
 * @free, @nr_free: ranges below @end to be used again, sorted
 *
 * In the segment, under the chain's alloc_lock; @free and @nr_free also under
 * its spinlock.
 */
struct vd_space {
	struct vd_file *file;
	u64 base;
	u64 end;
	u64 limit;
	u64 zeroed;
	u64 floor;
	u64 chunk;
	struct list_head free;
	u32 nr_free;
};

/* @end: highest byte referred to. */
void vd_space_init(struct vd_chain *chain, struct vd_space *space, struct vd_file *file, u64 end,
		   u64 limit);
/* Forget the free list; before the memory of @space goes. */
void vd_space_release(struct vd_space *space);
/*
 * A place of up to @len bytes, a multiple of @unit, at a multiple of @align past the
 * space's base; *@len says how much it became. The file has grown durably, and has the
 * space. May sleep. 0, -ENOSPC and the like.
 */
int vd_space_take(struct vd_chain *chain, struct vd_space *space, u64 unit, u64 align, u64 *pos,
		  u64 *len, bool *zeroed);
/* A place that no map ever showed. */
void vd_space_return(struct vd_chain *chain, struct vd_space *space, u64 pos, u64 len);
/*
 * A place that the map, as it is on disk, may still show for @guest, a byte of the
 * segment: it can be used again after the next commit, and after those who may
 * have seen it.
 */
void vd_space_free(struct vd_chain *chain, struct vd_space *space, u64 pos, u64 len, u64 guest);
/*
 * May the map on disk still show a place for [guest, guest + len) that was freed?
 * Another place must not be published before that is over: a crash between two
 * copies of a table would leave both, and nobody could tell which is right.
 */
bool vd_space_pending(struct vd_chain *chain, const struct vd_space *space, u64 guest, u64 len);
/* Is any place on its way from one use to the next? */
bool vd_space_coming(struct vd_chain *chain);
/*
 * Nothing is free any more, and @end is what it says; before the backend tells anew. Only
 * while nothing that was freed is on its way.
 */
void vd_space_forget(struct vd_chain *chain, struct vd_space *space, u64 end);
/* The file ends at @end at least, durably, with space up to there. */
int vd_space_cover(struct vd_chain *chain, struct vd_space *space, u64 end);

/* Is it want of space? */
bool vd_no_space(int error);

/* Write a few bytes of a header and make them durable. */
int vd_mark(struct vd_chain *chain, struct vd_file *file, u64 pos, const void *buf, u32 len);

/* Mistakes that tests make on purpose: bits of vd_bugs. */
#define VD_BUG_NO_BARRIER	(1U << 0)	/* maps are written before data is durable */
#define VD_BUG_EARLY_PUBLISH	(1U << 1)	/* sync engine: map first, then data */
#define VD_BUG_EARLY_REUSE	(1U << 2)	/* freed ranges can be taken at once */
#define VD_BUG_NO_WAIT		(1U << 3)	/* a flush does not wait for maps */
#define VD_BUG_ONE_COPY		(1U << 4)	/* redundant tables are not written */
#define VD_BUG_NO_GROW_FLUSH	(1U << 5)	/* growth is not durable before use */
#define VD_BUG_NO_FILL		(1U << 6)	/* units are not completed */
#define VD_BUG_NO_BEGIN		(1U << 7)	/* marks and patches come late: not flushed */
/* Those that take several operations at once to show. */
#define VD_BUG_NO_SHADOW	(1U << 8)	/* a commit writes what came after its snapshot */
#define VD_BUG_LATE_CLEAN	(1U << 9)	/* what comes during a flush counts as flushed */
#define VD_BUG_SHARE_RUNNING	(1U << 10)	/* a flush takes a commit that had begun */
#define VD_BUG_LATE_FREED	(1U << 11)	/* ranges freed during a commit count as unmapped */
#define VD_BUG_NO_DRAIN		(1U << 12)	/* freed ranges do not wait for transfers */
#define VD_BUG_NO_TOKEN		(1U << 13)	/* nobody is told of others' tokens */
/* Those that take a failing allocation. */
#define VD_BUG_FORGET		(1U << 14)	/* what could not be remembered is not waited for */
/* Those that take parents. */
#define VD_BUG_STALE_EXTENT	(1U << 15)	/* a token's end drops no resolved extent */
#define VD_BUG_STALE_WALK	(1U << 16)	/* what a walk found is remembered, come what may */
/* Those of formats that count places, or move them. */
#define VD_BUG_LATE_COUNTER	(1U << 17)	/* the counter comes after the map */
#define VD_BUG_FREE_ENTRY	(1U << 18)	/* what is discarded shows the parent */
#define VD_BUG_EARLY_MOVE	(1U << 19)	/* a map shows the copy before it is made */
#define VD_BUG_EARLY_PUNCH	(1U << 20)	/* what was copied is punched at once */

#endif /* VDISK_ALLOC_H */
