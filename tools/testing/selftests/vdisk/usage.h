/* SPDX-License-Identifier: GPL-2.0-only */
/* What of the machine is in use, before and after something that must give all back. */
#ifndef VDT_USAGE_H
#define VDT_USAGE_H

/**
 * struct usage - resources, in KiB unless they are counted
 * @slab_kib: objects in use, of all caches but those of names and inodes
 * @unreclaimable_kib: whole slabs of the kind that no shrinker empties
 * @used_kib: pages that no other line accounts for
 * @refs: of the module vdisk
 * @fds: open in this process
 * @threads: of the kernel, that have our name
 */
struct usage {
	long slab_kib;
	long unreclaimable_kib;
	long used_kib;
	long vmalloc_kib;
	long percpu_kib;
	long stacks_kib;
	int refs;
	unsigned int fds;
	unsigned int threads;
};

void usage_measure(struct usage *u);
void usage_show(const char *when, const struct usage *u);
/* A result for each: no memory grew by @slack_kib, all else is as it was. */
void usage_compare(const struct usage *before, const struct usage *after, long slack_kib);

/* Objects in use alone, as @slab_kib of a measurement. */
long usage_slab_kib(void);

/* How many threads of the kernel serve a device. */
unsigned int count_kernel_threads(void);

#endif /* VDT_USAGE_H */
