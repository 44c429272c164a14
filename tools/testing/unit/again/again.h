/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Linked to every unit test: with VD_ANOMALIES set, what a test opens is first opened,
 * read and written again on copies, with operations failing in turn. With "all" these
 * are all images and each operation; with anything else all of the first ones, and
 * fewer of the rest (again.c), and of large images that can be written one in so many
 * (again-write.c).
 */
#ifndef UT_AGAIN_H
#define UT_AGAIN_H

#include "ut-set.h"

#define AGAIN_FILES	96
#define AGAIN_ROOM	(8U << 20)	/* bytes of all files of a set */

/**
 * struct again - one set of files, as a test is about to open it
 * @desc: the tables; its files are those of @faulty, or of @plain
 * @data, @len: contents at that time
 * @plain: copies; @faulty: the same, that fail when @fault says so
 */
struct again {
	struct vd_chain_desc desc;
	u32 nr;
	const struct vd_file *like[AGAIN_FILES];
	u8 *data[AGAIN_FILES];
	size_t len[AGAIN_FILES];
	struct vd_file *plain[AGAIN_FILES];
	struct vd_file *faulty[AGAIN_FILES];
	struct vd_fault fault;
};

enum again_fault { AGAIN_FAIL, AGAIN_SHORT, AGAIN_EINTR, AGAIN_NOMEM, AGAIN_FAULTS };

extern unsigned long again_runs;

void again_copy(struct again *a);
void again_drop_copies(struct again *a);
/* Let operation @i fail, and if @sticky all later ones. */
void again_arm(struct again *a, enum again_fault what, long i, bool sticky, int error);
/* No more faults; was there one? */
bool again_disarm(struct again *a);
/* Nothing is to be left out. */
bool again_all(void);
/* The next operation to fail: each of the first ones, then fewer. */
long again_next(long i);
/* Opening as the library does it, without going in circles. */
int again_open(struct again *a, struct vd_chain **chain, struct vd_error *err);

/* Each stops the test with a message if something is wrong. */
void again_read(struct again *a);	/* again-read.c */
void again_write(struct again *a);	/* again-write.c */

#endif /* UT_AGAIN_H */
