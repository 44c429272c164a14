/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef CRASH_FLOW_H
#define CRASH_FLOW_H

#include <ucontext.h>

#include "crash.h"

/**
 * struct crash_flow - an operation with a stack of its own
 * @live: has begun and not ended
 * @parked: waits to be told to go on
 * @inside: a call of the library has not returned
 * @still: keeps its turn
 * @fake: a sanitizer's
 */
struct crash_flow {
	ucontext_t context;
	void (*run)(struct crash_flow *flow);
	struct ut_rng *rng;
	void *stack;
	bool live;
	bool parked;
	bool inside;
	bool still;
	void *fake;
};

void crash_flow_init(struct crash_flow *flow, struct ut_rng *rng);
void crash_flow_free(struct crash_flow *flow);
/* It makes no step yet. */
void crash_flow_begin(struct crash_flow *flow, void (*run)(struct crash_flow *flow));
/* The scheduler's: let it go on until it gives its turn away or ends. */
void crash_flow_run(struct crash_flow *flow);
/* The flow's own: give the turn away between two steps; and until it is not parked. */
void crash_flow_step(struct crash_flow *flow);
void crash_flow_park(struct crash_flow *flow);
/* A lock is held by another flow. */
void crash_flow_wait(void);

#endif /* CRASH_FLOW_H */
