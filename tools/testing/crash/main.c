// SPDX-License-Identifier: GPL-2.0-only
/* Options, jobs, sums, and the controls: mistakes that must be found. */
#include <getopt.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "crash.h"

#define MAX_JOBS	64
#define CONTROL_STATES	500000	/* no mistake may stay unseen for longer */
#define MAX_BAD		3	/* of one kind, then the next */

enum { SOME, NEVER, ALWAYS };

static const char *const woven_option[] = { "", " --woven never", " --woven always" };

static struct {
	u64 states;
	u64 seed;
	const char *image;
	u32 jobs;
	long trial;
	bool controls;
	const char *compare;
	const char *shim;
	unsigned int woven, asked;	/* SOME, NEVER, ALWAYS */
	const char *dump;
	u32 dump_max;
	/* of a control */
	bool deaf;
	bool swap;
	bool lenient;
	bool forgetful;
	bool quiet;
} opt = { .states = 100000, .seed = 1, .jobs = 1, .trial = -1, .dump_max = 40 };

static char last_rule[IMG_RULE];

static u64 now_usec(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (u64)ts.tv_sec * 1000000 + (u64)ts.tv_nsec / 1000;
}

/* --- one trial --- */

/* Does the write leave every byte as it is that no patch is to change? */
static bool only_patches(const struct crash_session *s, const struct crash_op *op, const u8 *old)
{
	u64 i;
	u32 k;

	for (i = 0; i < op->len; i++) {
		if (old[op->pos + i] == op->data[i])
			continue;
		for (k = 0; k < s->c.nr_patches; k++) {
			const struct vdisk_patch *p = &s->c.patches[k];

			if (op->file == p->member && op->pos + i - p->offset < p->len)
				break;
		}
		if (k == s->c.nr_patches)
			return false;
	}
	return true;
}

/* A patch may come as the write of a whole sector: tell by what it changes. */
static void mark_patches(struct crash_session *s, struct crash_set *scratch)
{
	struct crash_file *f;
	struct crash_op *op;
	u32 i;

	for (i = 0; i < scratch->nr; i++)
		crash_file_copy(&scratch->file[i], &s->start.file[i]);
	for (i = 0; s->c.nr_patches && i < s->log.nr; i++) {
		op = &s->log.op[i];
		if (op->what != CRASH_WRITE)
			continue;
		f = &scratch->file[op->file];
		if (i >= s->repair_end)
			op->patch = only_patches(s, op, f->data);
		memcpy(f->data + op->pos, op->data, op->len);
		f->len = max(f->len, op->pos + op->len);
	}
}

static bool live_bad(struct crash_walk *w, const char *rule)
{
	const struct crash_log *log = &w->s->log;
	u32 i;

	w->stats->bad++;
	memcpy(w->rule, rule, IMG_RULE);
	if (w->quiet)
		return false;
	printf("# bad: %s\n", rule);
	for (i = log->nr > 40 ? log->nr - 40 : 0; i < log->nr; i++)
		crash_op_print(&log->op[i], i);
	return false;
}

/* Requests at once, and scarce memory: each one time in four. Scripts have an order. */
static void choose_manner(struct crash_session *s, u64 dice, bool directed)
{
	u32 i;

	s->woven = opt.woven == SOME ? !directed && !(dice % 4) : opt.woven == ALWAYS;
	/* A device has no room for places that are lost. */
	s->forgetful = opt.forgetful || !(dice >> 32 & 3);
	for (i = 0; i < s->c.nr_top; i++)
		s->forgetful &= !s->c.set.files[i]->fixed;
}

/* Up to three sessions, each but the first after a crash of the one before. */
static bool run_sessions(struct crash_session *s, struct crash_walk *w, u64 seed, u32 trial)
{
	char rule[IMG_RULE] = "";
	u32 session, script;

	for (session = 0; session < 3 && w->stats->states < w->limit; session++) {
		if (session && !crash_session_from(s, &w->next, rule))
			return live_bad(w, rule);
		script = session ? U32_MAX : trial % 8;
		choose_manner(s, ut_mix(seed + 77 * session), script < CRASH_SCRIPTS);
		if (!crash_work_run(s, seed + session, script, rule))
			return live_bad(w, rule);
		mark_patches(s, &w->copy);
		if (opt.swap)
			crash_log_swap_ranks(&s->log);
		if (!crash_walk_log(w, seed ^ session))
			return false;
		if (!w->next_seen)
			break;
	}
	return true;
}

static bool run_trial(const struct img_kind *kind, u32 trial, u64 limit, u32 *dump_left,
		      struct crash_stats *stats)
{
	u64 seed = ut_mix(opt.seed * 1000003 + trial);
	char name[3000];
	struct crash_session s;
	struct crash_walk w;
	bool good;

	crash_session_init(&s, kind, seed);
	crash_walk_init(&w, &s, stats);
	s.log.deaf = opt.deaf;
	w.limit = limit;
	w.lenient = opt.lenient;
	w.quiet = opt.quiet;
	if (opt.dump) {
		snprintf(name, sizeof(name), "%s/%s.%u", opt.dump, kind->name, trial);
		w.dump = name;
		w.dump_left = dump_left;
	}
	good = run_sessions(&s, &w, seed, trial);
	if (!good && !opt.quiet)
		printf("# again with: crash --image %s --seed %llu --trial %u%s\n", kind->name,
		       opt.seed, trial, woven_option[opt.woven]);
	if (!good)
		memcpy(last_rule, w.rule, sizeof(last_rule));
	stats->trials++;
	crash_walk_free(&w);
	crash_session_free(&s);
	return good;
}

/* --- all of a kind, in several processes --- */

static void run_kind(const struct img_kind *kind, u32 job, u64 limit, struct crash_stats *stats)
{
	u64 begin = now_usec();
	u32 trial, dump_left = opt.dump_max;

	for (trial = job; stats->states < limit && stats->bad < MAX_BAD; trial += opt.jobs) {
		if (opt.trial >= 0)
			trial = (u32)opt.trial;
		run_trial(kind, trial, limit, &dump_left, stats);
		if (opt.trial >= 0)
			break;
	}
	stats->usec = now_usec() - begin;
}

static bool wanted(const struct img_kind *kind)
{
	return !opt.image || !strcmp(opt.image, kind->name);
}

static u32 count_wanted(void)
{
	u32 i, n = 0;

	for (i = 0; i < ARRAY_SIZE(img_kinds); i++)
		n += wanted(&img_kinds[i]);
	return n;
}

static void run_job(u32 job, struct crash_stats *stats)
{
	u64 limit = opt.states / count_wanted() / opt.jobs + 1;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(img_kinds); i++) {
		if (wanted(&img_kinds[i]))
			run_kind(&img_kinds[i], job, limit, &stats[i]);
		fflush(stdout);
	}
}

static void add(struct crash_stats *to, const struct crash_stats *from)
{
	to->trials += from->trials;
	to->states += from->states;
	to->woven += from->woven;
	to->ops += from->ops;
	to->flushes += from->flushes;
	to->again += from->again;
	to->bad += from->bad;
	to->usec += from->usec;
}

static void print_stats(const char *name, const struct crash_stats *s)
{
	printf("%-14s trials %llu states %llu woven %llu ops %llu flushes %llu again %llu bad %llu rate %llu\n",
	       name, s->trials, s->states, s->woven, s->ops, s->flushes, s->again, s->bad,
	       s->states * 1000000 / max(s->usec, 1ULL));
}

static bool run_all(void)
{
	size_t len = sizeof(struct crash_stats) * MAX_JOBS * ARRAY_SIZE(img_kinds);
	struct crash_stats *stats, kind, all = { 0 };
	bool died = false;
	int status;
	u32 i, job;

	stats = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (stats == MAP_FAILED)
		abort();
	fflush(stdout);
	for (job = 0; job < opt.jobs; job++) {
		if (!fork()) {
			run_job(job, &stats[job * ARRAY_SIZE(img_kinds)]);
			exit(0);
		}
	}
	for (job = 0; job < opt.jobs; job++) {
		if (wait(&status) < 0 || !WIFEXITED(status) || WEXITSTATUS(status))
			died = true;
	}
	for (i = 0; i < ARRAY_SIZE(img_kinds); i++) {
		memset(&kind, 0, sizeof(kind));
		for (job = 0; job < opt.jobs; job++)
			add(&kind, &stats[job * ARRAY_SIZE(img_kinds) + i]);
		if (wanted(&img_kinds[i]))
			print_stats(img_kinds[i].name, &kind);
		add(&all, &kind);
	}
	print_stats("all", &all);
	if (died)
		printf("a job died\n");
	return !died && !all.bad;
}

/* --- controls --- */

/* Some show only where requests are under way at once, one only where memory fails. */
struct control {
	const char *name;
	unsigned int bugs;
	unsigned int woven;
	bool deaf;
	bool swap;
	bool forgetful;
};

static const struct control controls[] = {
	{ "no-barrier", .bugs = VD_BUG_NO_BARRIER },
	{ "early-publish", .bugs = VD_BUG_EARLY_PUBLISH },
	{ "early-reuse", .bugs = VD_BUG_EARLY_REUSE },
	{ "no-wait", .bugs = VD_BUG_NO_WAIT },
	{ "one-copy", .bugs = VD_BUG_ONE_COPY },
	{ "no-grow-flush", .bugs = VD_BUG_NO_GROW_FLUSH },
	{ "no-fill", .bugs = VD_BUG_NO_FILL },
	{ "no-begin", .bugs = VD_BUG_NO_BEGIN },
	{ "deaf-flush", .deaf = true },
	/* What is swapped is within one flush; several at once have no such order. */
	{ "swapped-ranks", .swap = true, .woven = NEVER },
	{ "forget", .bugs = VD_BUG_FORGET, .forgetful = true },
	{ "no-shadow", .bugs = VD_BUG_NO_SHADOW, .woven = ALWAYS },
	{ "late-clean", .bugs = VD_BUG_LATE_CLEAN, .woven = ALWAYS },
	{ "share-running", .bugs = VD_BUG_SHARE_RUNNING, .woven = ALWAYS },
	{ "late-freed", .bugs = VD_BUG_LATE_FREED, .woven = ALWAYS },
	{ "no-drain", .bugs = VD_BUG_NO_DRAIN, .woven = ALWAYS },
	{ "no-token", .bugs = VD_BUG_NO_TOKEN, .woven = ALWAYS },
};

static bool run_control(const struct control *control)
{
	struct crash_stats stats = { 0 };
	u32 trial, i, none = 0;
	bool good = true;

	vd_bugs = control->bugs;
	opt.deaf = control->deaf;
	opt.swap = control->swap;
	/* The one whose states are all good: what is promised is not kept. */
	opt.lenient = control->bugs != VD_BUG_NO_GROW_FLUSH;
	opt.quiet = true;
	opt.woven = opt.asked ? opt.asked : control->woven;
	opt.forgetful = control->forgetful;
	for (trial = 0; stats.states < CONTROL_STATES; trial++) {
		for (i = 0; good && i < ARRAY_SIZE(img_kinds); i++) {
			if (!wanted(&img_kinds[i]))
				continue;
			good = run_trial(&img_kinds[i], trial, stats.states + 5000, &none, &stats);
			if (!good)
				printf("control %s: caught after %llu states by %s: %s\n",
				       control->name, stats.states, img_kinds[i].name, last_rule);
		}
		if (!good)
			return true;
	}
	printf("control %s: not caught within %llu states\n", control->name, stats.states);
	return false;
}

static bool run_controls(void)
{
	bool good = true;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(controls); i++)
		good &= run_control(&controls[i]);
	return good;
}

static bool run_compare(void)
{
	struct crash_compare how = {
		.kind = img_kinds, .nr = ARRAY_SIZE(img_kinds), .states = opt.states,
		.seed = opt.seed, .dir = opt.compare, .shim = opt.shim,
	};

	static_assert(ARRAY_SIZE(img_kinds) <= CRASH_KINDS, "room for all");
	if (opt.shim)
		return crash_compare(&how);
	fprintf(stderr, "crash: --compare needs --shim\n");
	return false;
}

/* --- options --- */

static void usage(FILE *to)
{
	fprintf(to, "usage: crash [--states N] [--seed S] [--image KIND] [--jobs N] [--trial T] [-v]\n"
		    "             [--woven always|never] [--dump DIR [--dump-max N]]\n"
		    "       crash --compare DIR --shim FILE [--states N] [--seed S]\n"
		    "       crash --controls | --list\n");
}

static void list_kinds(void)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(img_kinds); i++)
		printf("%s\n", img_kinds[i].name);
}

static void show_log(const char *text)
{
	printf("# %s\n", text);
}

static unsigned int parse_woven(const char *text)
{
	if (!strcmp(text, "always"))
		return ALWAYS;
	if (!strcmp(text, "never"))
		return NEVER;
	usage(stderr);
	exit(2);
}

static void parse(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "states", required_argument, NULL, 'n' },
		{ "seed", required_argument, NULL, 's' },
		{ "image", required_argument, NULL, 'i' },
		{ "jobs", required_argument, NULL, 'j' },
		{ "trial", required_argument, NULL, 't' },
		{ "woven", required_argument, NULL, 'w' },
		{ "dump", required_argument, NULL, 'd' },
		{ "dump-max", required_argument, NULL, 'm' },
		{ "compare", required_argument, NULL, 'q' },
		{ "shim", required_argument, NULL, 'p' },
		{ "controls", no_argument, NULL, 'c' },
		{ "list", no_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "vh", longs, NULL)) >= 0) {
		switch (c) {
		case 'n':
			opt.states = strtoull(optarg, NULL, 0);
			break;
		case 's':
			opt.seed = strtoull(optarg, NULL, 0);
			break;
		case 'i':
			opt.image = optarg;
			break;
		case 'j':
			opt.jobs = (u32)strtoul(optarg, NULL, 0);
			break;
		case 't':
			opt.trial = strtol(optarg, NULL, 0);
			break;
		case 'w':
			opt.woven = opt.asked = parse_woven(optarg);
			break;
		case 'd':
			opt.dump = optarg;
			break;
		case 'm':
			opt.dump_max = (u32)strtoul(optarg, NULL, 0);
			break;
		case 'q':
			opt.compare = optarg;
			break;
		case 'p':
			opt.shim = optarg;
			break;
		case 'c':
			opt.controls = true;
			break;
		case 'v':
			vd_log_hook = show_log;
			break;
		case 'l':
			list_kinds();
			exit(0);
		case 'h':
			usage(stdout);
			exit(0);
		default:
			usage(stderr);
			exit(2);
		}
	}
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	if (!count_wanted() || !opt.jobs || opt.jobs > MAX_JOBS || optind < argc) {
		usage(stderr);
		return 2;
	}
	if (opt.trial >= 0)
		opt.jobs = 1;
	if (opt.compare)
		return run_compare() ? 0 : 1;
	if (opt.controls)
		return run_controls() ? 0 : 1;
	return run_all() ? 0 : 1;
}
