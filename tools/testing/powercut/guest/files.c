// SPDX-License-Identifier: GPL-2.0-only
/*
 * In the virtual machine: threads make files on a file system, each durable before the
 * next, with a mark on a disk beside it for each.
 *
 *	powercut-files DIR MARKS STEPS SEED
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../selftests/vdisk/tap.h"
#include "model.h"

static const char *dir;
static int marks;
static unsigned int steps;

struct worker {
	pthread_t thread;
	struct model m;
	struct pc_mark *mark;
	u8 *buf;
	int dir, junk;
};

static void sync_fd(int fd, const char *what)
{
	if (fsync(fd))
		bail("fsync of %s: %s", what, err_name(errno));
}

static void write_file(struct worker *w, const struct model_step *step, const char *path)
{
	int fd = xopen(path, O_WRONLY | O_CREAT | O_TRUNC);

	model_content(&w->m, step, w->buf);
	if (!pwrite_all(fd, w->buf, step->len, 0))
		bail("%s: %s", path, err_name(errno));
	sync_fd(fd, path);
	close(fd);
}

static void do_step(struct worker *w, const struct model_step *step)
{
	const char *path = model_path(&w->m, dir, step->name, "");
	const char *other = model_path(&w->m, dir, step->name, ".new");

	switch (step->kind) {
	case MODEL_CREATE:
		write_file(w, step, path);
		break;
	case MODEL_REPLACE:
		write_file(w, step, other);
		if (rename(other, path))
			bail("%s: %s", path, err_name(errno));
		break;
	case MODEL_REMOVE:
		if (unlink(path))
			bail("%s: %s", path, err_name(errno));
	}
	sync_fd(w->dir, dir);
	model_do(&w->m, step);
}

static void put_mark(struct worker *w)
{
	w->mark->magic = PC_MARK;
	w->mark->op = w->m.done;
	w->mark->seed = w->m.seed;
	w->mark->thread = w->m.thread;
	if (!pwrite_all(marks, w->mark, sizeof(*w->mark), w->m.thread * PC_SECTOR))
		bail("mark: %s", err_name(errno));
}

/* Something that nobody waits for. */
static void append_junk(struct worker *w)
{
	if (write(w->junk, w->buf, 3000) != 3000)
		bail("junk: %s", err_name(errno));
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct model_step step;

	while (w->m.done < steps) {
		step = model_next(&w->m);
		do_step(w, &step);
		put_mark(w);
		append_junk(w);
	}
	return NULL;
}

static void begin(struct worker *w, u64 seed, unsigned int thread)
{
	char path[256];

	model_init(&w->m, seed, thread);
	snprintf(path, sizeof(path), "%s/%u", dir, thread);
	if (mkdir(path, 0700))
		bail("%s: %s", path, err_name(errno));
	w->dir = xopen(path, O_RDONLY | O_DIRECTORY);
	w->junk = xopen(model_path(&w->m, dir, MODEL_NAMES, ".junk"),
			O_WRONLY | O_CREAT | O_APPEND);
	w->mark = xalloc(sizeof(*w->mark));
	w->buf = xalloc(MODEL_LONGEST);
}

int main(int argc, char **argv)
{
	struct worker w[MODEL_THREADS];
	unsigned int i;
	int top;

	if (argc != 5)
		bail("usage: %s DIR MARKS STEPS SEED", argv[0]);
	dir = argv[1];
	marks = xopen(argv[2], O_WRONLY | O_DIRECT);
	steps = (unsigned int)strtoul(argv[3], NULL, 0);
	for (i = 0; i < MODEL_THREADS; i++)
		begin(&w[i], strtoull(argv[4], NULL, 0), i);
	top = xopen(dir, O_RDONLY | O_DIRECTORY);
	if (syncfs(top))
		bail("%s: %s", dir, err_name(errno));
	/* From now on there is something to be found. */
	for (i = 0; i < MODEL_THREADS; i++)
		put_mark(&w[i]);
	for (i = 0; i < MODEL_THREADS; i++) {
		if (pthread_create(&w[i].thread, NULL, work, &w[i]))
			bail("no thread");
	}
	for (i = 0; i < MODEL_THREADS; i++)
		pthread_join(w[i].thread, NULL);
	return 0;
}
