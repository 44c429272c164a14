/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Changes of what an image says of itself, one file at a time: what is done around the
 * call, and what has to be afterwards as it was before.
 */
#ifndef FZ_KEEP_H
#define FZ_KEEP_H

#include "fz-judge.h"

#define FZ_SAMPLES 32U

/* A sector of the disk that the input's tables make of its files. */
struct fz_sample {
	u64 pos;
	int ret;
	u8 data[VD_SECTOR];
};

/**
 * struct fz_keep - one file, as it was
 * @what: the call, for messages
 * @layout: what the file says
 * @writable: whether the input says so; the call may write it in any case
 * @pending: if not FZ_SETTLED, the file may change although it was refused to
 * @digests, @sizes: of all files
 * @opened, @samples: what a guest reads; @opened false: nothing
 * @check: 0 if @found says what the check of the file has found
 */
struct fz_keep {
	struct fz_once *once;
	const struct fz_backend *b;
	u32 file;
	const char *what;
	struct vd_layout *layout;
	bool writable;
	enum fz_pending pending;
	u64 digests[FZ_MAX_FILES];
	u64 sizes[FZ_MAX_FILES];
	bool opened;
	struct fz_sample samples[FZ_SAMPLES];
	u32 nr_samples;
	int check;
	u64 found[VD_FINDING_CORRUPT + 1];
};

/* False: @b makes nothing of that file. From here on nothing disturbs. */
bool fz_keep_begin(struct fz_keep *k, struct fz_once *once, u32 file, const struct fz_backend *b,
		   const char *what);
void fz_keep_end(struct fz_keep *k);

/* The code under test is called between these two, with all that the input has in store. */
void fz_keep_disturb(struct fz_keep *k);
void fz_keep_calm(struct fz_keep *k);

/* It has failed: the files are as they were, or, after a fault, old or new. */
void fz_keep_refused(struct fz_keep *k, const struct fz_change *c);
/* It has succeeded: @c is made, and nothing else has changed. */
void fz_keep_changed(struct fz_keep *k, const struct fz_change *c);
/* Whatever its files say now was no lie of the input's. */
bool fz_keep_honest(const struct fz_keep *k);

/* A target: @fn for each file of the input and each backend that @can do it. */
int fz_keep_each(const u8 *data, size_t size, bool (*can)(const struct vd_format_user *user),
		 void (*fn)(struct fz_once *once, u32 file, const struct fz_backend *b));

#endif /* FZ_KEEP_H */
