// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sites.h"
#include "tap.h"

#define MOST_SITES	5000
#define MOST_SHOWN	5
/* Another worker than those that were armed may have done it. */
#define WORKER_TRIES	3

static const char *const side_names[] = { "inside", "own", "around", "workers" };
static const enum inject_where wheres[] = {
	INJECT_INSIDE, INJECT_OWN, INJECT_OUTSIDE, INJECT_INSIDE
};

static bool is_memory(int ret)
{
	return ret == -ENOMEM || ret == -ENOBUFS;
}

/* One try; true if the failure took place. */
static bool try_site(const struct operation *op, enum side side, unsigned int n, int *ret)
{
	op->prepare(op->ctx);
	if (side == SIDE_WORKERS) {
		nth_arm_workers(n);
		*ret = op->act(op->ctx);
		return nth_disarm_workers();
	}
	nth_arm(n);
	*ret = op->act(op->ctx);
	return nth_disarm();
}

/* What an operation may answer: memory alone makes it fail, and only when it failed. */
static bool judge(const struct operation *op, enum side side, unsigned int n, int ret, bool hit)
{
	bool good = !ret || (hit && is_memory(ret));

	if (!good)
		diag("%s, %s, site %u%s: %s", op->name, side_names[side], n,
		     hit ? "" : " (not reached)", err_name(ret));
	if (op->settle(op->ctx, ret, side))
		return good;
	diag("%s, %s, site %u: %s, and what it left is wrong", op->name, side_names[side], n,
	     err_name(ret));
	return false;
}

/* The same once more, with the allocation's stack in the kernel log. */
static void show_site(const struct operation *op, enum side side, unsigned int n)
{
	int ret;

	inject_verbose(true);
	try_site(op, side, n, &ret);
	inject_verbose(false);
	op->settle(op->ctx, ret, side);
}

void sites_run(const struct operation *op, enum side side, unsigned int least)
{
	unsigned int n, failed = 0, bad = 0, misses = 0;
	const char *only = getenv("VDT_ONLY");	/* by hand: part of a name */
	u64 start = now_ms();
	bool hit;
	int ret;

	inject_filter(wheres[side], op->text);
	if (only && !strstr(op->name, only))
		return;
	for (n = 1; n < MOST_SITES; n += hit) {
		hit = try_site(op, side, n, &ret);
		failed += ret != 0;
		if (!judge(op, side, n, ret, hit) && bad++ < MOST_SHOWN)
			show_site(op, side, n);
		misses = hit ? 0 : misses + 1;
		if (misses == (side == SIDE_WORKERS ? WORKER_TRIES : 1))
			break;
	}
	diag("fail-nth: %s, %s: %u sites, of which %u made it fail; %llu ms", op->name,
	     side_names[side], n - 1, failed, (unsigned long long)(now_ms() - start));
	ok(!bad && n < MOST_SITES && n > least,
	   "%s, %s: each of at least %u allocations may fail", op->name, side_names[side], least);
}
