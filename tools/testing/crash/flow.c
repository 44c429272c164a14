// SPDX-License-Identifier: GPL-2.0-only
/*
 * Flows: several operations of one trial under way at once, in one thread. Each
 * has a stack of its own and runs until it gives its turn away: between its own
 * steps, in an operation of a file, before a lock that another one holds. Who
 * goes on then is one random number, so a trial is the same each time.
 */
#include <sys/mman.h>

#include "flow.h"

/* The address sanitizer wants to know of each change of stacks. */
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#define leave_stack	__sanitizer_start_switch_fiber
#define enter_stack	__sanitizer_finish_switch_fiber
#else
static void leave_stack(void **fake, const void *bottom, size_t size)
{
}

static void enter_stack(void *fake, const void **bottom, size_t *size)
{
}
#endif

#define STACK_BYTES	(256 * 1024U)

/* Who runs; NULL: the scheduler. */
static struct crash_flow *current;
/* The scheduler's own. */
static const void *main_stack;
static size_t main_size;
static ucontext_t main_context;

static void to_main(struct crash_flow *flow)
{
	current = NULL;
	leave_stack(&flow->fake, main_stack, main_size);
	swapcontext(&flow->context, &main_context);
	enter_stack(flow->fake, NULL, NULL);
}

static void run_flow(void)
{
	struct crash_flow *flow = current;

	enter_stack(NULL, &main_stack, &main_size);
	flow->run(flow);
	flow->live = false;
	current = NULL;
	/* For ever: what belongs to this stack can go. */
	leave_stack(NULL, main_stack, main_size);
}

void crash_flow_init(struct crash_flow *flow, struct ut_rng *rng)
{
	memset(flow, 0, sizeof(*flow));
	flow->rng = rng;
	flow->stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (flow->stack == MAP_FAILED)
		abort();
}

void crash_flow_free(struct crash_flow *flow)
{
	munmap(flow->stack, STACK_BYTES);
}

void crash_flow_begin(struct crash_flow *flow, void (*run)(struct crash_flow *flow))
{
	if (getcontext(&flow->context))
		abort();
	flow->context.uc_stack.ss_sp = flow->stack;
	flow->context.uc_stack.ss_size = STACK_BYTES;
	flow->context.uc_link = &main_context;
	flow->run = run;
	flow->live = true;
	flow->parked = false;
	flow->inside = false;
	makecontext(&flow->context, run_flow, 0);
}

void crash_flow_run(struct crash_flow *flow)
{
	void *fake = NULL;

	current = flow;
	leave_stack(&fake, flow->stack, STACK_BYTES);
	swapcontext(&main_context, &flow->context);
	enter_stack(fake, NULL, NULL);
}

void crash_flow_step(struct crash_flow *flow)
{
	flow->inside = false;
	to_main(flow);
	flow->inside = true;
}

void crash_flow_park(struct crash_flow *flow)
{
	while (flow->parked)
		crash_flow_step(flow);
}

void crash_flow_turn(u32 one_in)
{
	struct crash_flow *flow = current;

	if (flow && !flow->still && !ut_below(flow->rng, one_in))
		to_main(flow);
}

void crash_flow_wait(void)
{
	if (!current || current->still) {
		fprintf(stderr, "a lock is held where nobody can give it back\n");
		abort();
	}
	to_main(current);
}
