// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mutated images, read by vdisk and by qemu-img: see differ.h. Every image is
 * made of a seed and a number, so each can be had again.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "tally.h"

#define OUR_SECONDS	20	/* of processor time for one image */

static struct {
	u64 first, images, seed, one;
	bool only_one;
	u32 mask, jobs, show;	/* @show: unexplained images that each job prints */
	const char *keep;
} opt = { .images = 2000, .seed = 1, .mask = ~0U, .jobs = 1, .show = 20 };

static struct df_image image;
static struct df_answer ours, qemu;

/* --- one image --- */

/* Mutation @i is made if its bit is in @mask, so that fewer can be tried. */
static u32 make(u64 n, u32 mask, bool say)
{
	struct ut_rng rng = { ut_mix(opt.seed * 0x10001 + n) };
	const struct df_kind *kind = &df_kinds[ut_below(&rng, df_nr_kinds())];
	u32 nr, i;

	df_image_reset(&image);
	kind->make(&image, &rng);
	/* A few are left as they are: they must be the same to both. */
	nr = ut_below(&rng, 16) ? 1 + (u32)ut_below(&rng, DF_MUTATIONS) : 0;
	if (say)
		printf("# image %llu: %s, %u mutations\n", n, kind->name, nr);
	for (i = 0; i < nr; i++) {
		struct ut_rng own = { ut_mix(rng.state + i) };

		if (!(mask & 1U << i))
			continue;
		fz_mutate(&image.view, &own);
		if (say)
			printf("#   %u: %s\n", i, fz_said());
	}
	return nr;
}

static void write_file(const char *name, const u8 *data, u64 len)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, data, len) != (ssize_t)len || close(fd)) {
		perror(name);
		exit(2);
	}
}

static void write_image(void)
{
	static char old[FZ_FILES][DF_NAME];
	u32 i;

	for (i = 0; i < FZ_FILES; i++)
		if (old[i][0])
			unlink(old[i]);
	memset(old, 0, sizeof(old));
	for (i = 0; i < image.view.nr; i++) {
		write_file(image.name[i], image.view.file[i].data, image.view.file[i].len);
		memcpy(old[i], image.name[i], DF_NAME);
	}
}

static void limit_time(u32 seconds)
{
	struct itimerval t = { .it_value.tv_sec = seconds };

	setitimer(ITIMER_VIRTUAL, &t, NULL);
}

static void judge(struct df_found *found)
{
	write_image();
	limit_time(OUR_SECONDS);
	df_ours(&image, &ours);
	limit_time(0);
	df_qemu(&image, &ours, &qemu);
	df_compare(&image, &ours, &qemu, found);
}

/* Fewer mutations that are unexplained too; returns the mask. */
static u32 minimise(u64 n, u32 nr, u32 mask)
{
	struct df_found found;
	u32 i;

	for (i = 0; i < nr; i++) {
		make(n, mask & ~(1U << i), false);
		judge(&found);
		if (found.unexplained[0])
			mask &= ~(1U << i);
	}
	return mask;
}

static void show_answer(const char *who, const struct df_answer *a)
{
	printf("#   %s: %s, %llu bytes%s%s\n", who, a->opened ? "opens it" : "refuses", a->size,
	       a->text[0] ? ": " : "", a->text);
}

static void show(u64 n, u32 mask)
{
	struct df_found found;

	make(n, mask, true);
	judge(&found);
	show_answer("vdisk", &ours);
	show_answer("QEMU", &qemu);
	printf("#   class: %s\n", df_class_name(found.class));
	df_print_verdicts(&found);
	if (found.unexplained[0])
		printf("#   unexplained: %s\n", found.unexplained);
	printf("#   again: differ --seed %llu --image %llu --mutations 0x%x\n", opt.seed, n, mask);
	fflush(stdout);
}

static void keep(u64 n)
{
	char path[512];
	u32 i;

	if (!opt.keep)
		return;
	snprintf(path, sizeof(path), "%s/%llu-%llu", opt.keep, opt.seed, n);
	if (mkdir(path, 0700) && errno != EEXIST)
		return;
	for (i = 0; i < image.view.nr; i++) {
		snprintf(path, sizeof(path), "%s/%llu-%llu/%s", opt.keep, opt.seed, n,
			 image.name[i]);
		write_file(path, image.view.file[i].data, image.view.file[i].len);
	}
}

static void one(u64 n, struct df_tally *tally)
{
	struct df_found found;
	u32 nr = make(n, ~0U, false);

	judge(&found);
	df_count(tally, &found);
	tally->mutated += nr > 0;
	if (!found.unexplained[0] || ++tally->shown > opt.show)
		return;
	show(n, minimise(n, nr, (1U << nr) - 1));
	keep(n);
}

/* --- jobs --- */

static void enter_scratch(char *dir)
{
	const char *base = access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm";

	snprintf(dir, 64, "%s/differ." "XX" "XX" "XX", base);
	if (!mkdtemp(dir) || chdir(dir)) {
		perror(dir);
		exit(2);
	}
}

#define CANNOT_BEGIN 2	/* exit status; a sanitizer exits with 1 */

static void __attribute__((noreturn)) work(u32 job, struct df_tally *tally)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (chdir(tally->dir) || !df_no_network() || !df_qemu_bases()) {
		fprintf(stderr, "differ: cannot begin: no seccomp, or no qemu-img\n");
		_exit(CANNOT_BEGIN);
	}
	while (tally->next < opt.first + opt.images) {
		u64 n = tally->next;

		tally->next += opt.jobs;
		tally->now = n;
		one(n, tally);
		if (!(tally->images % 1000))
			fprintf(stderr, "differ: job %u: %llu images\n", job, tally->images);
	}
	fflush(stdout);
	_exit(0);
}

static const char *how_it_ended(int status)
{
	if (!WIFSIGNALED(status))
		return "is stopped by a sanitizer";
	return WTERMSIG(status) == SIGVTALRM ? "hangs" : "crashes";
}

/* False when the job is done, true if it died and can go on with the next image. */
static bool job_died(struct df_tally *t, int status)
{
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return false;
	if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT_BEGIN)
		exit(CANNOT_BEGIN);
	printf("# image %llu: vdisk %s\n#   again: differ --seed %llu --image %llu\n", t->now,
	       how_it_ended(status), opt.seed, t->now);
	t->images++;
	t->ours_broken++;
	return true;
}

static void start(u32 job, struct df_tally *t, pid_t *pid)
{
	fflush(stdout);
	*pid = fork();
	if (!*pid)
		work(job, t);
}

static void run_jobs(struct df_tally *tallies)
{
	pid_t pids[DF_JOBS], pid;
	u32 left = opt.jobs, j;
	int status;

	for (j = 0; j < opt.jobs; j++) {
		tallies[j].next = opt.first + j;
		enter_scratch(tallies[j].dir);
		start(j, &tallies[j], &pids[j]);
	}
	while (left && (pid = wait(&status)) > 0) {
		for (j = 0; j < opt.jobs && pids[j] != pid; j++)
			;
		if (j == opt.jobs)
			continue;
		if (job_died(&tallies[j], status))
			start(j, &tallies[j], &pids[j]);
		else
			left--;
	}
}

static void remove_scratch(const char *dir)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	if (chdir("/") || system(command))
		perror(dir);
}

static int show_one(void)
{
	char dir[64];
	struct df_found found;

	enter_scratch(dir);
	if (!df_no_network() || !df_qemu_bases())
		return 2;
	show(opt.one, opt.mask);
	keep(opt.one);
	make(opt.one, opt.mask, false);
	judge(&found);
	remove_scratch(dir);
	return found.unexplained[0] ? 1 : 0;
}

static const struct option options[] = {
	{ "first", 1, NULL, 'f' }, { "images", 1, NULL, 'n' }, { "seed", 1, NULL, 's' },
	{ "image", 1, NULL, 'i' }, { "mutations", 1, NULL, 'm' }, { "jobs", 1, NULL, 'j' },
	{ "keep", 1, NULL, 'k' }, { "show", 1, NULL, 'h' }, { "wrong", 1, NULL, 'w' },
	{ NULL, 0, NULL, 0 },
};

static int usage(void)
{
	fprintf(stderr,
		"usage: differ [--first F] [--images N] [--seed S] [--jobs J] [--keep DIR] [--show N] [--wrong W]\n"
		"       differ --seed S --image N [--mutations MASK] [--keep DIR]\n"
		"--wrong: a reader that is wrong on purpose: content, map, refusal, crash\n");
	return 2;
}

static bool parse_wrong(const char *what)
{
	static const char *const names[] = { "", "content", "map", "refusal", "crash" };
	u32 i;

	for (i = 1; i < ARRAY_SIZE(names); i++)
		if (!strcmp(what, names[i]))
			df_ours_wrong = (enum df_wrong)i;
	return df_ours_wrong != DF_RIGHT;
}

static bool parse(int argc, char **argv)
{
	bool good = true;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'n': opt.images = strtoull(optarg, NULL, 0); break;
		case 'f': opt.first = strtoull(optarg, NULL, 0); break;
		case 's': opt.seed = strtoull(optarg, NULL, 0); break;
		case 'i': opt.one = strtoull(optarg, NULL, 0); opt.only_one = true; break;
		case 'm': opt.mask = (u32)strtoul(optarg, NULL, 0); break;
		case 'j': opt.jobs = (u32)strtoul(optarg, NULL, 0); break;
		case 'k': opt.keep = realpath(optarg, NULL); break;
		case 'h': opt.show = (u32)strtoul(optarg, NULL, 0); break;
		case 'w': good = parse_wrong(optarg); break;
		default: return false;
		}
	}
	return good && optind == argc && opt.jobs && opt.jobs <= DF_JOBS;
}

int main(int argc, char **argv)
{
	struct df_tally *tallies;
	time_t begin = time(NULL);
	u32 j;

	if (!parse(argc, argv))
		return usage();
	if (opt.only_one)
		return show_one();
	tallies = mmap(NULL, DF_JOBS * sizeof(*tallies), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (tallies == MAP_FAILED)
		return 2;
	run_jobs(tallies);
	for (j = 0; j < opt.jobs; j++)
		remove_scratch(tallies[j].dir);
	for (j = 1; j < opt.jobs; j++)
		df_tally_add(&tallies[0], &tallies[j]);
	df_report(&tallies[0], opt.seed, (u64)(time(NULL) - begin));
	return tallies[0].unexplained || tallies[0].ours_broken ||
	       tallies[0].images != opt.images;
}
