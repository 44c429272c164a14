/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Allocations that fail on demand, on kernels with fault injection: the n-th of a
 * thread (fail-nth), or some of all (failslab, fail_page_alloc). In both cases the
 * kernel looks at the call stack of the allocation first.
 */
#ifndef VDT_INJECT_H
#define VDT_INJECT_H

#include "util.h"

/* Addresses of code. */
struct inject_text {
	u64 start;
	u64 end;
};

/* Of our core module, which is in the stack of all that we do; bails. */
struct inject_text inject_module(void);
/* Of a function of the kernel itself; bails. */
struct inject_text inject_function(const char *name);

/**
 * enum inject_where - which allocations are counted and fail
 * @INJECT_ANYWHERE: all
 * @INJECT_INSIDE: with the text in the call stack: also what others allocate for it
 * @INJECT_OUTSIDE: without
 * @INJECT_OWN: with the text among the few innermost callers: what it allocates itself
 */
enum inject_where { INJECT_ANYWHERE, INJECT_INSIDE, INJECT_OUTSIDE, INJECT_OWN };

/* Nothing fails yet, and nothing does after the program's end. Bails without the knobs. */
void inject_init(void);
/* The kernel logs the stack of each allocation that fails. */
void inject_verbose(bool yes);
void inject_filter(enum inject_where where, const struct inject_text *text);

/* -------------------------------------------------------------- the n-th one */

/* Of this thread, from here on. */
void nth_arm(unsigned int n);
bool nth_disarm(void);			/* true: it was reached */
/* Of each worker of unbound work queues that there is now. */
void nth_arm_workers(unsigned int n);
bool nth_disarm_workers(void);		/* true: by one of them at least */

/* ------------------------------------------------------------------- at random */

enum inject_kind { INJECT_SLAB, INJECT_PAGES };

/* Of each @interval allocations, @percent of a hundred. */
void inject_start(enum inject_kind kind, unsigned int percent, unsigned int interval);
/* How many failed so far. */
unsigned int inject_hits(enum inject_kind kind);
unsigned int inject_stop(enum inject_kind kind);

#endif /* VDT_INJECT_H */
