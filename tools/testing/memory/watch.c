// SPDX-License-Identifier: GPL-2.0-only
/*
 * watch DISK SECONDS COMMAND...: runs the command and looks at the disk's count of
 * completed requests. If that stands still for so many seconds, the kernel's log gets
 * the stacks of whoever waits, and the watch ends with status 99; otherwise with
 * the command's. It says which was the longest stretch without progress.
 *
 * Seconds are counted in looks, of which one takes half a second or more: a
 * machine that stood still as a whole is not taken for one that hangs. While it
 * looks it takes no memory, as there may be none.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOOKS_A_SECOND	2
#define STALLED		99

/* Of /sys/block/DISK/stat: reads, writes, discards and flushes that ended. */
static const int completed_fields[] = { 0, 4, 11, 15 };

struct watch {
	const char *disk;
	int stat_fd;
	int limit;		/* looks */
	int still;		/* looks since the last progress */
	int longest;
	unsigned long long first, completed;
};

static void die(const char *what)
{
	fprintf(stderr, "watch: %s: %s\n", what, strerror(errno));
	exit(2);
}

static int completed(int fd, unsigned long long *sum)
{
	char text[512], *at = text;
	ssize_t len = pread(fd, text, sizeof(text) - 1, 0);
	unsigned long long value;
	size_t next = 0;
	int field;

	if (len <= 0)
		return -1;
	text[len] = '\0';
	*sum = 0;
	for (field = 0; next < sizeof(completed_fields) / sizeof(int); field++) {
		char *end;

		value = strtoull(at, &end, 10);
		if (end == at)
			return -1;
		at = end;
		if (field == completed_fields[next]) {
			*sum += value;
			next++;
		}
	}
	return 0;
}

/* Neither swapped out, nor killed for want of memory, nor kept from a processor. */
static void hold_on(void)
{
	struct sched_param param = { .sched_priority = 1 };
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "-1000", 5) != 5)
		die("oom_score_adj");
	close(fd);
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		die("mlockall");
	if (sched_setscheduler(0, SCHED_RR, &param))
		die("sched_setscheduler");
}

static pid_t start(char **command)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid)
		return pid;
	execvp(command[0], command);
	die(command[0]);
	return -1;
}

static void trigger(const char *key)
{
	int fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, key, 1) != 1)
		fprintf(stderr, "watch: sysrq-%s: %s\n", key, strerror(errno));
	if (fd >= 0)
		close(fd);
}

/* Whoever waits, what the processors do, where the memory is. */
static void show_stacks(void)
{
	trigger("w");
	trigger("l");
	trigger("m");
}

/* Returns false when it has stood still for too long. */
static int look(struct watch *w)
{
	unsigned long long now;

	/* Gone: the command has detached it. */
	if (completed(w->stat_fd, &now))
		now = w->completed + 1;
	if (now != w->completed) {
		w->completed = now;
		w->still = 0;
		return 1;
	}
	w->still++;
	if (w->still > w->longest)
		w->longest = w->still;
	return w->still < w->limit;
}

static int watch(struct watch *w, pid_t pid)
{
	const struct timespec rest = { .tv_nsec = 1000000000 / LOOKS_A_SECOND };
	int status;

	for (;;) {
		pid_t gone = waitpid(pid, &status, WNOHANG);

		if (gone < 0)
			die("waitpid");
		if (gone)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		if (!look(w)) {
			show_stacks();
			return STALLED;
		}
		nanosleep(&rest, NULL);
	}
}

int main(int argc, char **argv)
{
	struct watch w = { 0 };
	char path[64];
	pid_t pid;
	int status;

	if (argc < 4) {
		fprintf(stderr, "usage: watch DISK SECONDS COMMAND...\n");
		return 2;
	}
	w.disk = argv[1];
	w.limit = atoi(argv[2]) * LOOKS_A_SECOND;
	snprintf(path, sizeof(path), "/sys/block/%s/stat", w.disk);
	w.stat_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (w.stat_fd < 0 || completed(w.stat_fd, &w.completed))
		die(path);
	w.first = w.completed;
	pid = start(argv + 3);
	hold_on();
	status = watch(&w, pid);
	printf("# %s: %llu requests; the longest time without one's end: %d.%d s%s\n", w.disk,
	       w.completed - w.first, w.longest / LOOKS_A_SECOND,
	       w.longest % LOOKS_A_SECOND * 10 / LOOKS_A_SECOND,
	       status == STALLED ? ", stalled" : "");
	return status;
}
