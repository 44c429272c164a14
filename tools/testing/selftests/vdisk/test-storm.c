// SPDX-License-Identifier: GPL-2.0-only
/*
 * Eight threads, up to 64 images, no order: attach, open, read, write, mount, scan, set,
 * list, and detach in each way, whatever the others do to the same device. Every
 * answer is one that is allowed then, every byte is of the image that the disk's
 * sequence number belongs to, and at the end the machine is as it was.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "uproar.h"
#include "usage.h"

#define WARM_UP		160U
#define CYCLES_FULL	20000U
#define CYCLES_DEBUG	600U	/* of a full run where all is many times slower */
#define CYCLES_SMOKE	400U
#define IMAGES_SMOKE	24U	/* to make one takes longer than a few cycles */
#define SLACK_KIB	1024

static struct worker workers[THREADS];
static struct nl nl;
static struct nl_reply reply;
static unsigned int wanted;

/* ---------------------------------------------------------------- the storm */

static const struct op {
	const char *name;
	unsigned int weight;
	uproar_op *run;
} ops[] = {
	{ "detach", 14, op_detach },
	{ "lazy detach", 8, op_lazy },
	{ "forced detach", 8, op_force },
	{ "second attach", 3, op_attach },
	{ "I/O", 16, op_io },
	{ "open to hold", 5, op_hold },
	{ "I/O on what is held", 8, op_held },
	{ "exclusive open", 4, op_excl },
	{ "opens in a row", 3, op_burst },
	{ "scan of partitions", 4, op_scan },
	{ "mount", 6, op_mount },
	{ "set", 9, op_set },
	{ "get", 5, op_get },
	{ "list", 4, op_list },
};

static const struct op *choose_op(struct worker *w)
{
	unsigned int i, sum = 0, dice;

	for (i = 0; i < ARRAY_SIZE(ops); i++)
		sum += ops[i].weight;
	dice = rng_below(&w->rng, sum);
	for (i = 0; dice >= ops[i].weight; i++)
		dice -= ops[i].weight;
	return &ops[i];
}

static void step(struct worker *w)
{
	/* Half of the time among a few that are more its own. */
	u32 own = w->me.nr * (nr_targets / THREADS) + rng_below(&w->rng, nr_targets / THREADS);
	struct target *t = &targets[rng_below(&w->rng, 2) ? own : rng_below(&w->rng, nr_targets)];
	const struct op *op = choose_op(w);
	struct life l;

	if (target_life(t, &l)) {
		crew_step(&w->me, op->name);
		op->run(w, t, &l);
	} else {
		crew_step(&w->me, "attach");
		op_attach(w, t, NULL);
	}
}

static void storm(struct crew_member *me)
{
	struct worker *w = (struct worker *)me;

	while (!crew_stopped() && counts.cycles < wanted)
		step(w);
	drop_held(w);
}

static bool run_storm(unsigned int count)
{
	wanted = counts.cycles + count;
	return crew_run(workers, sizeof(workers[0]), THREADS);
}

/* ---------------------------------------------------------- before and after */

static void prepare(u64 seed)
{
	unsigned int i, j;

	for (i = 0; i < THREADS; i++) {
		struct worker *w = &workers[i];

		w->me.run = storm;
		w->buf = xalloc(PIECE);
		rng_seed(&w->rng, seed + i);
		for (j = 0; j < HELD; j++)
			w->held[j].fd = -1;
		snprintf(w->mnt, sizeof(w->mnt), "%s/mnt%u", scratch_dir(), i);
		if (nl_open(&w->nl) || mkdir(w->mnt, 0700))
			bail("thread %u cannot be set up", i);
	}
	targets_make(&nl, full_run() ? IMAGES : IMAGES_SMOKE, workers[0].mnt);
}

static bool life_is_over(const struct life *l)
{
	u64 diskseq = 0;

	/* Its number may be another one's by now. */
	return vdev_get(&nl, l->id, &reply) || !nl_get_u64(&reply, VDISK_A_DISKSEQ, &diskseq) ||
	       diskseq != l->diskseq;
}

/* Nobody has anything open: what a lazy detach has left goes by itself, the rest when told. */
static void detach_rest(const char *when)
{
	unsigned int i, lazy = 0, went = 0, good = 0, left = 0;
	struct life l;

	for (i = 0; i < nr_targets; i++) {
		if (!target_life(&targets[i], &l) || life_is_over(&l))
			continue;
		if (targets[i].lazy == l.diskseq) {
			lazy++;
			went += wait_until(life_is_over(&l), 10000);
		} else {
			left++;
			doing_begin(l.id, DOING_DETACH);
			good += !vdev_detach(&nl, l.id, VDISK_DETACH_PLAIN, &reply) ||
				wait_until(life_is_over(&l), 10000);
			doing_end(l.id, DOING_DETACH);
		}
	}
	for (i = 0; i < nr_targets; i++)
		targets[i].attached = false;
	is_num(went, lazy, "%s: %u go by themselves after a lazy detach", when, lazy);
	is_num(good, left, "%s: %u are detached", when, left);
	ok(wait_until(!vdev_count(&nl), 10000), "%s: nothing is attached", when);
}

static unsigned int count_named(const char *dir)
{
	unsigned int i, count = 0;
	char name[32];

	for (i = 0; i < LIVES_IDS; i++) {
		snprintf(name, sizeof(name), "vdisk%u", i);
		count += exists(path_in(dir, name));
	}
	return count;
}

static void finish(void)
{
	unsigned int i;

	is_num(count_named("/dev"), 0, "no node is left in /dev");
	is_num(count_named("/sys/block"), 0, "nor a directory in /sys/block");
	ok(exists("/sys/kernel/debug/block"), "debugfs can be looked at");
	is_num(count_named("/sys/kernel/debug/block"), 0, "and has nothing of ours");
	is_num(targets_sound(), nr_targets,
	       "every image can be opened, locked, and has what was written");
	for (i = 0; i < THREADS; i++) {
		nl_close(&workers[i].nl);
		rmdir(workers[i].mnt);
	}
	targets_remove();
}

static void show_counts(u64 ms)
{
	diag("%u cycles in %llu ms; %u attaches, %u refusals, %u mounts, %u transfers",
	     counts.cycles, (unsigned long long)ms, counts.attaches, counts.refused,
	     counts.mounts, counts.ios);
	diag("detach said: gone %u, live %u, dying %u; %u opens found another disk",
	     counts.said[VDISK_STATE_NEW], counts.said[VDISK_STATE_LIVE],
	     counts.said[VDISK_STATE_DYING], counts.strays);
}

int main(void)
{
	unsigned int count = scaled(CYCLES_SMOKE), warm = scaled(WARM_UP);
	const char *text = getenv("VDT_SEED");
	u64 seed = text ? strtoull(text, NULL, 0) : now_ms(), start;
	struct usage before, after;
	int ret = nl_open(&nl);

	if (ret)
		bail("no vdisk family: %s", err_name(ret));
	if (full_run())
		count = scale() > 1 ? CYCLES_DEBUG : CYCLES_FULL;
	diag("seed %llu", (unsigned long long)seed);
	prepare(seed);
	ok(run_storm(warm), "%u cycles to warm up: every answer and every byte is as it should be",
	   warm);
	detach_rest("warmed up");
	usage_measure(&before);
	usage_show("before", &before);

	start = now_ms();
	counts.cycles = 0;
	ok(run_storm(count) && counts.cycles >= count,
	   "%u cycles by %u threads over %u images: the same", count, THREADS, nr_targets);
	show_counts(now_ms() - start);
	detach_rest("afterwards");
	ok(wait_until(module_refs("vdisk") == before.refs, 10000), "the module is as free as before");
	usage_measure(&after);
	usage_show("after", &after);
	usage_compare(&before, &after, SLACK_KIB);
	finish();
	nl_close(&nl);
	return tap_done();
}
