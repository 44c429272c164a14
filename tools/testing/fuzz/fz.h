/* SPDX-License-Identifier: GPL-2.0-only */
/* What the targets share: one run over one input, and what must always be true. */
#ifndef FZ_H
#define FZ_H

#include "fz-file.h"
#include "vdisk/check.h"
#include "vdisk/image.h"

struct fz_rng {
	u64 state;
};

u64 fz_rand(struct fz_rng *rng);
u64 fz_below(struct fz_rng *rng, u64 n);	/* 0 <= result < n */

/**
 * struct fz_once - one run
 * @in, @io: the input, and its files
 * @mark: what was allocated when it began
 */
struct fz_once {
	struct fz_input in;
	struct fz_io io;
	long mark;
};

#define FZ_TAKEN 8U

struct fz_range {
	u64 pos;
	u64 len;
};

/* Was a change of a file's description stopped half-way? The next one finishes it first. */
enum fz_pending {
	FZ_SETTLED,
	FZ_PENDING,
	FZ_LYING,	/* it says so, but no change that was stopped has left that */
};

/**
 * struct fz_backend - what the fuzzers know of a format; one line each
 * @kinds: of segments; ends with VDISK_NO_MEMBER
 * @taken: ranges of the file that no answer of the map may touch, as the segment's
 *	own headers say; returns how many (up to FZ_TAKEN). May be NULL
 * @walk: bytes of tables that are read from end to end before a write and by a check,
 *	whatever is in them, as the file at hand says; NULL: none
 * @renews: what a crash leaves needs no repair before a write
 * @any_comment: one may hold quotes and control characters
 * @pending: of a format that finishes changes of its description. May be NULL
 */
struct fz_backend {
	const struct vd_format *format;
	const u32 *kinds;
	u32 (*taken)(const struct vd_segment *seg, struct fz_range *out);
	u64 (*walk)(struct fz_io *io, u32 file);
	bool renews;
	bool any_comment;
	enum fz_pending (*pending)(struct fz_io *io, u32 file);
};

extern const struct fz_backend fz_backends[];	/* ends with a NULL format */
const struct fz_backend *fz_backend(const struct vd_format *format);
const struct fz_backend *fz_backend_of(u32 kind);	/* NULL: a kind of no format */

/*
 * File operations that walking the tables of file @file may take, as a segment of
 * @kind. Tables that take longer than an input is worth: FZ_TOO_LONG.
 */
#define FZ_TOO_LONG (1ULL << 32)
u64 fz_walk_cap(struct fz_once *once, u32 file, u32 kind);

/* The @n-th kind of segment, modulo their number, that has a file, over all formats. */
u32 fz_kind(u32 n);

/* Parse and make the files; NULL: nothing to do. One run at a time. */
struct fz_once *fz_begin(const u8 *data, size_t size);
/* All memory must be back. */
void fz_end(struct fz_once *once);

/*
 * Open what the input says, within the memory and the reads that an attach may
 * take; nothing may be written. NULL when it was refused.
 */
struct vd_chain *fz_open(struct fz_once *once);
void fz_close(struct vd_chain *chain);

/* File operations that one look-up may need. */
u64 fz_map_cap(const struct vd_chain *chain);
/* The same for reading @len bytes. */
u64 fz_read_cap(const struct vd_chain *chain, u64 len);
/* For any change of so many; FZ_TOO_LONG and more: leave that. */
u64 fz_write_cap(struct fz_once *once, const struct vd_chain *chain, u64 len);

/* vd_map() with everything that its answer promises. */
int fz_map(struct fz_once *once, struct vd_chain *chain, u64 pos, u64 len, unsigned int flags,
	   struct vd_extent *ext);
/* Ends the process unless the answer is one that an engine may use. */
void fz_check_extent(const struct vd_chain *chain, u64 pos, u64 len, unsigned int flags,
		     const struct vd_extent *ext);

/* Near the ends of segments, where answers are clipped, or anywhere: a sector of the disk. */
u64 fz_some_pos(const struct vd_chain *chain, struct fz_rng *rng);

/*
 * The check of the format that @kind belongs to; -EOPNOTSUPP if it has none. @out:
 * flags and callbacks are the caller's. Nothing is written unless it is to repair.
 */
int fz_check(struct fz_once *once, u32 file, u32 kind, u64 len, struct vd_check *out);

/* An error has a sentence: bounded, printable. */
void fz_check_error(const char *what, int ret, const struct vd_error *err);

/* What the code under test may allocate from now on; 0: no limit. */
void fz_memory_limit(const char *what, u64 bytes);
/* The allocation that fails, counted from now on; 0: none. */
void fz_memory_fail(u64 at);
u64 fz_memory_used(void);	/* since then */
long fz_memory_live(void);	/* allocations that have not been freed, of this thread */

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

#endif /* FZ_H */
