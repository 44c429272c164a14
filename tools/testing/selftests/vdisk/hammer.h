/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Random I/O on a disk whose image is being destroyed: each request may fail, but each
 * ends, and none returns memory that nobody has read anything into.
 */
#ifndef VDT_HAMMER_H
#define VDT_HAMMER_H

#include <pthread.h>
#include <stdatomic.h>

#include "blk.h"

#define HAMMERS	4

/* One thread: half of them direct, half through the page cache. */
struct hammer {
	pthread_t thread;
	const struct hammering *all;
	unsigned int nr;
	int fd;
	atomic_uint done, failed, stale;
	atomic_bool ended;
};

/**
 * struct hammering - all threads on one disk
 * @write: they write, discard, zero and flush, too
 * @size: of the disk
 */
struct hammering {
	struct hammer threads[HAMMERS];
	u64 size;
	u64 seed;
	bool write;
	atomic_bool stop;
};

void hammer_start(struct hammering *h, const struct vdev *dev, u64 size, u64 seed, bool write);
/* Each of them has done @more requests since it was called. */
bool hammer_goes_on(struct hammering *h, unsigned int more);
/* false: one hangs. Closes the disk. */
bool hammer_stop(struct hammering *h);
unsigned int hammer_failed(const struct hammering *h);
/* Reads that were said to have succeeded, and left the buffer as it was. */
unsigned int hammer_stale(const struct hammering *h);

#endif /* VDT_HAMMER_H */
