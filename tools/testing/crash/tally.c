// SPDX-License-Identifier: GPL-2.0-only
/*
 * Count what is wrong instead of ending with the first: for writers that are
 * compared with ours. Not asked is what only our own writer promises: a mark, a
 * way to go on.
 */
#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crash.h"

#define ASK_EVERY	64	/* states: qemu-img takes a thousand times as long as we do */

/* Numbers differ from state to state; the sentence around them is the class. */
static void name_class(const char *rule, char *name)
{
	size_t n = 0;

	for (; *rule && n < CRASH_CLASS - 1; rule++) {
		if (!isdigit((unsigned char)*rule))
			name[n++] = *rule;
		else if (!n || name[n - 1] != '#')
			name[n++] = '#';
	}
	name[n] = '\0';
}

static void count(struct crash_tally *tally, const char *rule)
{
	char name[CRASH_CLASS];
	u32 i;

	name_class(rule, name);
	for (i = 0; i < tally->nr && strcmp(tally->class[i].name, name); i++)
		;
	if (i == CRASH_CLASSES) {
		fprintf(stderr, "more sorts of faults than there is room for\n");
		abort();
	}
	if (i == tally->nr) {
		memcpy(tally->class[i].name, name, sizeof(name));
		tally->nr++;
	}
	tally->class[i].states++;
}

/* What a test found, if it did; the next one starts with a blank sheet. */
static bool heed(struct crash_walk *w, bool good)
{
	if (!good)
		count(w->tally, w->rule);
	w->rule[0] = '\0';
	return !good;
}

static bool look_at_tables(struct crash_walk *w)
{
	const struct vdisk_segment_desc *seg = w->s->c.set.segs;
	struct img_tables now;
	bool found = false;
	u32 i;

	w->marked = 0;
	for (i = 0; i < w->s->c.set.nr_segs && !seg[i].image && !found; i++) {
		found = heed(w, crash_set_look(&w->st.set, i, &now, w->rule));
		if (!found && w->settled && !now.same)
			found = heed(w, img_bad(w->rule, "a copy is behind after a flush"));
		w->marked += !found && now.marked;
	}
	return found;
}

/* What qemu-img check says of it: leaks are fine, exit status 3. */
static bool qemu_objects(struct crash_walk *w)
{
	char image[PATH_MAX];
	char *const argv[] = { "qemu-img", "check", "-q", "-f", "vmdk", image, NULL };
	posix_spawn_file_actions_t quiet;
	int status = -1;
	pid_t pid;

	crash_write_files(&w->st.set, w->tally->dir);
	snprintf(image, sizeof(image), "%s/image0.vmdk", w->tally->dir);
	if (posix_spawn_file_actions_init(&quiet) ||
	    posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0) ||
	    posix_spawn_file_actions_adddup2(&quiet, 1, 2) ||
	    posix_spawnp(&pid, argv[0], &quiet, NULL, argv, environ) ||
	    waitpid(pid, &status, 0) < 0 || !WIFEXITED(status)) {
		fprintf(stderr, "qemu-img check does not run\n");
		abort();
	}
	posix_spawn_file_actions_destroy(&quiet);
	return WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 3;
}

/* One finding in a state makes it bad; each sort of finding is counted once in it. */
bool crash_tally_state(struct crash_walk *w)
{
	bool tables, content, check;

	w->rule[0] = '\0';
	tables = look_at_tables(w);
	content = heed(w, crash_judge_content(w));
	check = heed(w, crash_judge_check(w));
	w->tally->tables += tables;
	w->tally->content += content;
	w->tally->bad += tables || content || check;
	if (!ut_below(&w->rng, ASK_EVERY)) {
		w->tally->asked++;
		w->tally->objected += qemu_objects(w);
	}
	return true;
}

void crash_tally_print(const struct crash_tally *tally, const char *writer,
		       const struct crash_stats *stats)
{
	u32 i;

	printf("%-5s states %llu changes %llu flushes %llu bad %llu tables %llu content %llu asked %llu objected %llu\n",
	       writer, stats->states, stats->ops, stats->flushes, tally->bad, tally->tables,
	       tally->content, tally->asked, tally->objected);
	for (i = 0; i < tally->nr; i++)
		printf("%-5s   %llu: %s\n", writer, tally->class[i].states, tally->class[i].name);
}
