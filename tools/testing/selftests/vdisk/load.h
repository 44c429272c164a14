/* SPDX-License-Identifier: GPL-2.0-only */
/* A thread that writes while a test does something else to the disk or its image. */
#ifndef VDT_LOAD_H
#define VDT_LOAD_H

#include <pthread.h>
#include <stdatomic.h>

#include "chain.h"


#define LOAD_PIECE	(4 * KIB)

/**
 * struct load - writes new pieces of a disk, one after another
 * @pieces: of LOAD_PIECE bytes, that the disk has
 * @stride: in pieces; the order visits each piece once
 * @done: pieces written, in that order
 * @synced: of these, how many an fsync has covered
 * @errors: requests that failed; @last_errno says why
 */
struct load {
	pthread_t thread;
	int fd;
	u64 pieces;
	u64 stride;
	u64 seed;
	atomic_bool stop;
	atomic_uint done, synced, errors;
	atomic_int last_errno;
};

void load_init(struct load *l, u64 size, u64 seed);
/* Write the piece that comes as number @i; @buf has LOAD_PIECE bytes. */
bool load_piece(struct load *l, int fd, u64 i, u8 *buf);

/* Direct writes, an fsync after each eight; a failed one is tried again. */
void load_start(struct load *l, const struct vdev *dev, u64 size, u64 seed);
bool load_goes_on(struct load *l, unsigned int more);
bool load_over(const struct load *l);		/* nothing is left to be written */
void load_stop(struct load *l);

/* The first @sure pieces are in the shadow. */
void load_apply(const struct load *l, struct shadow *s, unsigned int sure);
/*
 * Of the pieces after @sure each sector in the files is old or new; the shadow
 * gets what it is.
 */
bool load_settle(const struct load *l, const struct chain *c, struct shadow *s,
		 unsigned int sure);

#endif /* VDT_LOAD_H */
