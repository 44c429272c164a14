/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One operation, again and again: the first time its first allocation fails, then the
 * second, until none is left to fail.
 */
#ifndef VDT_SITES_H
#define VDT_SITES_H

#include "inject.h"

/**
 * enum side - which allocations of an operation fail
 * @SIDE_INSIDE: in the caller, for our module
 * @SIDE_OWN: of these, what our modules allocate themselves
 * @SIDE_AROUND: in the caller, all others: netlink's own, the file's of a node
 * @SIDE_WORKERS: in workers, for our module
 */
enum side { SIDE_INSIDE, SIDE_OWN, SIDE_AROUND, SIDE_WORKERS };

/**
 * struct operation - what is tried
 * @name: for people
 * @text: whose allocations are inside
 * @prepare: before each try
 * @act: allocations fail in here; 0 or -errno
 * @settle: what it did, or did not, is as it should be; and nothing is left of it
 * @ctx: of the test
 */
struct operation {
	const char *name;
	const struct inject_text *text;
	void (*prepare)(void *ctx);
	int (*act)(void *ctx);
	bool (*settle)(void *ctx, int ret, enum side side);
	void *ctx;
};

/* Says how many sites there were; there must be @least. */
void sites_run(const struct operation *op, enum side side, unsigned int least);

#endif /* VDT_SITES_H */
