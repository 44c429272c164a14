/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside of the write path; alloc.h says what it does and in which order it locks. */
#ifndef CORE_WRITER_H
#define CORE_WRITER_H

#include "vdisk/alloc.h"
#include "vdisk/checked.h"

/*
 * A range of a file on its way from one use to the next. @guest: what it was the
 * place of; @zeroed: it reads so.
 */
struct vd_freed {
	struct list_head node;
	struct vd_space *space;
	u64 pos;
	u64 len;
	u64 guest;
	bool zeroed;
};

/**
 * struct vd_writer - what writing to a chain needs
 * @alloc_lock, @commit_lock, @flush_lock: see alloc.h
 * @lock: guards @tokens, the lists of ranges and spaces' free lists
 * @files, @nr_files: the chain's writable members
 * @patches, @nr_patches: not yet applied while !@begun
 * @begun: patches are durable
 * @failed: for good
 * @allocates: some segment of the top may need places
 * @tokens: in flight
 * @freed: since the last snapshot; @unmapping: the running commit unmaps them;
 *	@limbo: unmapped, somebody may still use them; @draining: those who may
 *	have entered before @epoch changed
 * @forgot: a range was freed without memory to remember it, since the last
 *	snapshot; @forgot_unmapping, @forgot_limbo, @forgot_draining: it would be on
 *	that list
 * @started, @done: commits, counted; @result: of the last one
 * @ended: vd_end_write() was the last change: free ranges stay as they are
 * @epoch, @active: see vd_io_enter()
 * @chunk: what spaces begin to grow by
 */
struct vd_writer {
	struct vd_mutex alloc_lock;
	struct vd_mutex commit_lock;
	struct vd_mutex flush_lock;
	struct vd_spinlock lock;
	struct vd_file **files;
	u32 nr_files;
	struct vdisk_patch *patches;
	u32 nr_patches;
	bool begun;
	bool failed;
	bool allocates;
	struct list_head tokens;
	struct list_head freed;
	struct list_head unmapping;
	struct list_head limbo;
	struct list_head draining;
	bool forgot;
	bool forgot_unmapping;
	bool forgot_limbo;
	bool forgot_draining;
	unsigned int started;
	unsigned int done;
	int result;
	bool ended;
	unsigned int epoch;
	vd_atomic active[2];
	u32 chunk;
};

/* writer.c */
int vd_writer_create(struct vd_chain *chain, const struct vd_chain_desc *desc,
		     struct vd_error *err);
void vd_writer_destroy(struct vd_chain *chain);	/* no writer is fine */
/* Record a failure that must never be forgotten; returns @error. */
int vd_writer_fail(struct vd_chain *chain, int error, const char *what);

/* commit.c */
/* One flush of one file at a time: who finds it clean knows that it is durable. */
int vd_writer_flush(struct vd_chain *chain, struct vd_file *file);

/* space.c, under the chain's alloc_lock but for the first two */
void vd_space_unmapped(struct vd_chain *chain);	/* a commit has ended */
void vd_space_snapshot(struct vd_chain *chain);	/* a commit begins */
/* Cut the file to what is in use. */
int vd_space_trim(struct vd_chain *chain, struct vd_space *space);
/* Give back what was made ahead, and make less from now on. Was there any? */
bool vd_space_relent(struct vd_chain *chain, struct vd_space *space);

/* read.c: sectors, inside the disk? */
int vd_check_range(const struct vd_chain *chain, u64 pos, u64 len);

/* map.c */
struct vd_segment *vd_find_segment(const struct vd_image *image, u64 pos);
/* Are @ext and @next, behind it, one piece? */
bool vd_extent_continues(const struct vd_extent *ext, const struct vd_extent *next);
/* Make @ext begin at @pos, which it holds, and have at most @len bytes. */
void vd_extent_slice(struct vd_extent *ext, u64 pos, u64 len);
int vd_check_writable(const struct vd_segment *seg);

/* alloc.c: a token over units that have no place to come; NULL @waiter: as vd_reserve() */
int vd_token_begin(struct vd_chain *chain, struct vd_alloc *alloc, struct vd_waiter *waiter);
void vd_token_end(struct vd_chain *chain, struct vd_alloc *alloc);
/* begin_alloc of @seg, once; under alloc_lock. */
int vd_begin_alloc(struct vd_segment *seg);

#endif /* CORE_WRITER_H */
