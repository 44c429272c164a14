// SPDX-License-Identifier: GPL-2.0-only
/* Options, jobs, sums, and the controls: mistakes that must be found. */
#include <getopt.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "crash.h"

#define MAX_JOBS	64
#define CONTROL_STATES	1500000	/* no mistake may stay unseen for longer */
#define CONTROL_TRIAL	5000	/* of these in one trial */
#define BRIEF_TRIAL	20	/* where requests, not states, show it */
#define MAX_BAD		3	/* of one kind, then the next */
#define MAX_DUMPED	1000	/* trials without states, if there is little to dump */

enum { SOME, NEVER, ALWAYS };

static const char *const woven_option[] = { "", " --woven never", " --woven always" };

static struct {
	u64 states;
	u64 seed;
	const char *format;
	const char *image;
	u32 jobs;
	long trial;
	bool controls;
	const char *control;
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

#define MAX_ENTRIES	128

/* An image to begin with, and how much of its format's states it gets. */
struct entry {
	const struct crash_format *fmt;
	const struct img_kind *kind;
	u32 share;
	u32 of;
};

static struct entry entries[MAX_ENTRIES];
static u32 nr_entries;
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
	bool repair, good;

	for (session = 0; session < 3 && w->stats->states < w->limit; session++) {
		repair = s->fmt->marks || ut_mix(seed - session) & 1;
		if (session && !crash_session_from(s, &w->next, repair, rule))
			return live_bad(w, rule);
		script = session ? U32_MAX : trial % 8;
		choose_manner(s, ut_mix(seed + 77 * session), script < CRASH_SCRIPTS);
		good = crash_work_run(s, seed + session, script, rule);
		/* A mistake on purpose is to be seen by what it leaves. */
		if (!good && !w->quiet)
			return live_bad(w, rule);
		mark_patches(s, &w->copy);
		if (opt.swap)
			crash_log_swap_ranks(&s->log);
		if (!crash_walk_log(w, seed ^ session))
			return false;
		if (!good)
			return live_bad(w, rule);
		if (!w->next_seen)
			break;
	}
	return true;
}

static bool run_trial(const struct entry *entry, u32 trial, u64 limit, u32 *dump_left,
		      struct crash_stats *stats)
{
	const struct img_kind *kind = entry->kind;
	u64 seed = ut_mix(opt.seed * 1000003 + trial);
	char name[3000];
	struct crash_session s;
	struct crash_walk w;
	bool good;

	crash_session_init(&s, entry->fmt, kind, seed);
	crash_walk_init(&w, &s, stats);
	s.log.deaf = opt.deaf;
	w.limit = limit;
	w.skip = !opt.states;
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

static void run_kind(const struct entry *entry, u32 job, u64 limit, struct crash_stats *stats)
{
	u64 begin = now_usec();
	u32 trial, dump_left = opt.dump_max;

	for (trial = job; stats->bad < MAX_BAD; trial += opt.jobs) {
		if (opt.states ? stats->states >= limit : !dump_left || trial >= MAX_DUMPED)
			break;
		if (opt.trial >= 0)
			trial = (u32)opt.trial;
		run_trial(entry, trial, limit, &dump_left, stats);
		if (opt.trial >= 0)
			break;
	}
	stats->usec = now_usec() - begin;
}

static bool wanted(const struct crash_format *fmt, const struct img_kind *kind)
{
	return (!opt.format || !strcmp(opt.format, fmt->name)) &&
	       (!opt.image || !strcmp(opt.image, kind->name));
}

static void add_format(const struct crash_format *fmt)
{
	u32 i, first = nr_entries, all = 0;

	for (i = 0; i < fmt->nr; i++) {
		if (!wanted(fmt, &fmt->kind[i]))
			continue;
		assert_true(nr_entries < MAX_ENTRIES);
		entries[nr_entries] = (struct entry){ .fmt = fmt, .kind = &fmt->kind[i] };
		entries[nr_entries].share = fmt->share ? fmt->share[i] : 1;
		all += entries[nr_entries++].share;
	}
	for (i = first; i < nr_entries; i++)
		entries[i].of = all;
}

static void choose_entries(void)
{
	u32 i;

	for (i = 0; i < crash_nr_formats; i++)
		add_format(crash_formats[i]);
}

static void run_job(u32 job, struct crash_stats *stats)
{
	u32 i;

	for (i = 0; i < nr_entries; i++) {
		run_kind(&entries[i], job,
			 opt.states * entries[i].share / entries[i].of / opt.jobs + 1, &stats[i]);
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

/* Each format has a sum of its own. */
static bool print_all(const struct crash_stats *stats)
{
	struct crash_stats kind, all = { 0 };
	bool good = true;
	char name[32];
	u32 i, job;

	for (i = 0; i < nr_entries; i++) {
		memset(&kind, 0, sizeof(kind));
		for (job = 0; job < opt.jobs; job++)
			add(&kind, &stats[job * MAX_ENTRIES + i]);
		print_stats(entries[i].kind->name, &kind);
		add(&all, &kind);
		if (i + 1 < nr_entries && entries[i + 1].fmt == entries[i].fmt)
			continue;
		snprintf(name, sizeof(name), "all %s", entries[i].fmt->name);
		print_stats(name, &all);
		good &= !all.bad;
		memset(&all, 0, sizeof(all));
	}
	return good;
}

static bool run_all(void)
{
	size_t len = sizeof(struct crash_stats) * MAX_JOBS * MAX_ENTRIES;
	struct crash_stats *stats;
	bool died = false;
	int status;
	u32 job;

	stats = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (stats == MAP_FAILED)
		abort();
	fflush(stdout);
	for (job = 0; job < opt.jobs; job++) {
		if (!fork()) {
			run_job(job, &stats[job * MAX_ENTRIES]);
			exit(0);
		}
	}
	for (job = 0; job < opt.jobs; job++) {
		if (wait(&status) < 0 || !WIFEXITED(status) || WEXITSTATUS(status))
			died = true;
	}
	if (died)
		printf("a job died\n");
	return print_all(stats) && !died;
}

/* --- controls --- */

/*
 * Some show only where requests are under way at once, some only where memory fails, or
 * units move.
 */
struct control {
	const char *name;
	unsigned int bugs;
	unsigned int woven;
	bool deaf;
	bool swap;
	bool forgetful;
	bool packs;
	bool brief;
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
	{ "late-counter", .bugs = VD_BUG_LATE_COUNTER },
	{ "free-entry", .bugs = VD_BUG_FREE_ENTRY },
	{ "early-move", .bugs = VD_BUG_EARLY_MOVE },
	{ "early-punch", .bugs = VD_BUG_EARLY_PUNCH },
	{ "forget-readers", .bugs = VD_BUG_FORGET, .woven = ALWAYS, .forgetful = true,
	  .packs = true, .brief = true },
};

#define SLOW	8	/* a share that is smaller than the largest by this factor */

/* Is that a mistake there? */
static bool applies(const struct control *control, const struct crash_format *fmt)
{
	u32 i;

	if (control->packs)
		return crash_packs(fmt);
	if (control->bugs & fmt->bugs)
		return true;
	for (i = 0; i < crash_nr_formats; i++) {
		if (control->bugs & crash_formats[i]->bugs)
			return false;
	}
	return true;
}

/* Large images would take most of the time. */
static u32 largest_share(const struct crash_format *fmt)
{
	u32 i, share = 0;

	for (i = 0; i < nr_entries; i++) {
		if (entries[i].fmt == fmt)
			share = max(share, entries[i].share);
	}
	return share;
}

static void set_control(const struct control *control)
{
	vd_bugs = control->bugs;
	opt.deaf = control->deaf;
	opt.swap = control->swap;
	/* The one whose states are all good: what is promised is not kept. */
	opt.lenient = control->bugs != VD_BUG_NO_GROW_FLUSH;
	opt.quiet = true;
	opt.woven = opt.asked ? opt.asked : control->woven;
	opt.forgetful = control->forgetful;
}

static bool run_control(const struct control *control, const struct crash_format *fmt)
{
	u32 trial, i, none = 0, share = largest_share(fmt);
	u64 step = control->brief ? BRIEF_TRIAL : CONTROL_TRIAL;
	struct crash_stats stats = { 0 };
	bool good = true;

	set_control(control);
	for (trial = 0; share && stats.states < CONTROL_STATES; trial++) {
		for (i = 0; good && i < nr_entries; i++) {
			if (entries[i].fmt != fmt || entries[i].share * SLOW < share)
				continue;
			good = run_trial(&entries[i], trial, stats.states + step, &none, &stats);
			if (!good)
				printf("control %s %s: caught after %llu states by %s: %s\n",
				       fmt->name, control->name, stats.states,
				       entries[i].kind->name, last_rule);
		}
		if (!good)
			return true;
	}
	printf("control %s %s: not caught within %llu states\n", fmt->name, control->name,
	       stats.states);
	return false;
}

static bool run_controls(void)
{
	bool good = true;
	u32 i, k;

	for (i = 0; i < crash_nr_formats; i++) {
		for (k = 0; largest_share(crash_formats[i]) && k < ARRAY_SIZE(controls); k++) {
			if (applies(&controls[k], crash_formats[i]) &&
			    (!opt.control || !strcmp(opt.control, controls[k].name)))
				good &= run_control(&controls[k], crash_formats[i]);
			fflush(stdout);
		}
	}
	return good;
}

static bool run_compare(void)
{
	struct crash_compare how = {
		.states = opt.states, .seed = opt.seed, .dir = opt.compare, .shim = opt.shim,
	};
	bool good = true;
	u32 i;

	if (!opt.shim) {
		fprintf(stderr, "crash: --compare needs --shim\n");
		return false;
	}
	for (i = 0; i < crash_nr_formats; i++) {
		how.fmt = crash_formats[i];
		assert_true(how.fmt->nr <= CRASH_KINDS);
		if (!opt.format || !strcmp(opt.format, how.fmt->name))
			good &= crash_compare(&how);
	}
	return good;
}

/* --- options --- */

static void usage(FILE *to)
{
	fprintf(to, "usage: crash [--states N] [--seed S] [--format FORMAT] [--image KIND] [--jobs N]\n"
		    "             [--trial T] [-v] [--woven always|never] [--dump DIR [--dump-max N]]\n"
		    "       crash --compare DIR --shim FILE [--states N] [--seed S] [--format FORMAT]\n"
		    "       crash --controls[=NAME] [--format FORMAT]\n"
		    "       crash --list\n"
		    "The states are those of each format; with none, images are only dumped.\n");
}

static void list_kinds(void)
{
	u32 i, k;

	for (i = 0; i < crash_nr_formats; i++) {
		for (k = 0; k < crash_formats[i]->nr; k++)
			printf("%s %s\n", crash_formats[i]->name, crash_formats[i]->kind[k].name);
	}
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
		{ "format", required_argument, NULL, 'f' },
		{ "image", required_argument, NULL, 'i' },
		{ "jobs", required_argument, NULL, 'j' },
		{ "trial", required_argument, NULL, 't' },
		{ "woven", required_argument, NULL, 'w' },
		{ "dump", required_argument, NULL, 'd' },
		{ "dump-max", required_argument, NULL, 'm' },
		{ "compare", required_argument, NULL, 'q' },
		{ "shim", required_argument, NULL, 'p' },
		{ "controls", optional_argument, NULL, 'c' },
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
		case 'f':
			opt.format = optarg;
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
			opt.control = optarg;
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
	choose_entries();
	if (!nr_entries || !opt.jobs || opt.jobs > MAX_JOBS || optind < argc) {
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
