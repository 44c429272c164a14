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
	struct crash_tables now;
	bool found = false;
	u32 i;

	w->marked = 0;
	for (i = 0; i < crash_nr_extents(&w->st.set) && !found; i++) {
		found = heed(w, crash_set_look(&w->st.set, i, &now, w->rule));
		if (!found && w->settled && !now.same)
			found = heed(w, img_bad(w->rule, "a copy is behind after a flush"));
		if (!found)
			found = heed(w, crash_judge_worn(w, i, &now));
		w->marked += !found && now.marked;
	}
	return found;
}

static bool is_excused(const struct crash_format *fmt, const char *line)
{
	const char *const *word;

	for (word = fmt->excused; *word; word++) {
		if (strstr(line, *word))
			return true;
	}
	return false;
}

/* Of what it printed, is everything that it calls an error excused? */
static bool all_excused(const struct crash_format *fmt, const char *path)
{
	FILE *f = fopen(path, "r");
	char line[1024];
	u32 errors = 0, excused = 0;

	if (!f) {
		perror(path);
		abort();
	}
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, "ERROR:", 6))
			continue;
		errors++;
		excused += is_excused(fmt, line);
	}
	fclose(f);
	return errors && errors == excused;
}

static int spawn_check(const struct crash_format *fmt, char *image, const char *output)
{
	char *const argv[] = { "qemu-img", "check", "-f", (char *)(uintptr_t)fmt->qemu, image,
			       NULL };
	posix_spawn_file_actions_t to;
	int status = -1;
	pid_t pid;

	if (posix_spawn_file_actions_init(&to) ||
	    posix_spawn_file_actions_addopen(&to, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0666) ||
	    posix_spawn_file_actions_adddup2(&to, 1, 2) ||
	    posix_spawnp(&pid, argv[0], &to, NULL, argv, environ) ||
	    waitpid(pid, &status, 0) < 0 || !WIFEXITED(status)) {
		fprintf(stderr, "qemu-img check does not run\n");
		abort();
	}
	posix_spawn_file_actions_destroy(&to);
	return WEXITSTATUS(status);
}

/* What qemu-img check says of it: leaks are fine, exit status 3. */
static bool qemu_objects(struct crash_walk *w)
{
	const struct crash_format *fmt = w->s->fmt;
	char image[PATH_MAX], output[PATH_MAX];
	int status;

	crash_write_files(&w->st.set, w->tally->dir);
	snprintf(image, sizeof(image), "%s/%s", w->tally->dir, fmt->image);
	snprintf(output, sizeof(output), "%s/check", w->tally->dir);
	status = spawn_check(fmt, image, output);
	return status && status != 3 && (status != 2 || !all_excused(fmt, output));
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
