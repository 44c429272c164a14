// SPDX-License-Identifier: GPL-2.0-only
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inject.h"
#include "tap.h"

#define DEBUGFS		"/sys/kernel/debug/"

/* The kernel saves no more of a stack. */
#define DEPTH_ALL	32
/*
 * The injection, the allocator and at most two layers of convenience above it: no
 * file system that we call gets to its own allocations with so few.
 */
#define DEPTH_OWN	6
/* Counted down by each failure. */
#define BUDGET		1000000000U

static const char *const kinds[] = { "failslab", "fail_page_alloc" };

static void set_knob(const char *kind, const char *knob, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), DEBUGFS "%s/%s", kind, knob);
	if (!write_text(path, value))
		bail("no fault injection here: cannot write %s: %s", path, err_name(errno));
}

static void set_number(const char *kind, const char *knob, u64 value)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	set_knob(kind, knob, text);
}

static void quiet(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		set_knob(kinds[i], "probability", "0");
}

void inject_init(void)
{
	size_t i;

	if (!exists("/proc/self/fail-nth"))
		bail("no fault injection here: no /proc/self/fail-nth");
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		set_knob(kinds[i], "probability", "0");
		set_knob(kinds[i], "task-filter", "N");
		set_knob(kinds[i], "verbose", "0");
		set_knob(kinds[i], "space", "0");
		/* Those that could wait for memory, too. */
		set_knob(kinds[i], "ignore-gfp-wait", "N");
		set_number(kinds[i], "times", BUDGET);
	}
	set_knob("failslab", "cache-filter", "N");
	set_knob("fail_page_alloc", "ignore-gfp-highmem", "N");
	set_knob("fail_page_alloc", "min-order", "0");
	/* Copies to and from a program are no allocations, but fail-nth would count them. */
	set_knob("fail_usercopy", "stacktrace-depth", "0");
	set_knob("fail_usercopy", "require-start", "1");
	atexit(quiet);
}

void inject_verbose(bool yes)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		set_knob(kinds[i], "verbose", yes ? "2" : "0");
}

/* --------------------------------------------------------------------- texts */

struct symbols {
	u64 address;
	char type;
	char name[128];
	char module[64];
};

static bool next_symbol(FILE *f, struct symbols *s)
{
	unsigned long long address;
	char line[512];

	if (!fgets(line, sizeof(line), f))
		return false;
	s->module[0] = 0;
	if (sscanf(line, "%llx %c %127s [%63[^]]", &address, &s->type, s->name, s->module) < 3)
		return false;
	s->address = address;
	return true;
}

static FILE *open_symbols(void)
{
	FILE *f = fopen("/proc/kallsyms", "re");

	if (!f)
		bail("cannot read /proc/kallsyms");
	return f;
}

/* A module's text has pages of its own. */
struct inject_text inject_module(void)
{
	struct inject_text text = { .start = ~0ULL };
	FILE *f = open_symbols();
	struct symbols s;

	while (next_symbol(f, &s)) {
		if (strcmp(s.module, "vdisk") || tolower(s.type) != 't')
			continue;
		if (s.address < text.start)
			text.start = s.address;
		if (s.address > text.end)
			text.end = s.address;
	}
	fclose(f);
	if (!text.end)
		bail("no symbols of the module in /proc/kallsyms");
	text.start = text.start / 4096 * 4096;
	text.end = (text.end / 4096 + 1) * 4096;
	return text;
}

/* Up to the next symbol. */
struct inject_text inject_function(const char *name)
{
	struct inject_text text = { 0 };
	FILE *f = open_symbols();
	struct symbols s;

	while (!text.end && next_symbol(f, &s)) {
		if (s.module[0])
			break;
		if (text.start && s.address > text.start)
			text.end = s.address;
		else if (!text.start && !strcmp(s.name, name))
			text.start = s.address;
	}
	fclose(f);
	if (!text.end)
		bail("no %s in /proc/kallsyms", name);
	return text;
}

void inject_filter(enum inject_where where, const struct inject_text *text)
{
	bool within = where == INJECT_INSIDE || where == INJECT_OWN;
	bool without = where == INJECT_OUTSIDE;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		set_number(kinds[i], "stacktrace-depth",
			   where == INJECT_OWN ? DEPTH_OWN : DEPTH_ALL);
		set_number(kinds[i], "require-start", within ? text->start : 0);
		set_number(kinds[i], "require-end", within ? text->end : ~0ULL);
		set_number(kinds[i], "reject-start", without ? text->start : 0);
		set_number(kinds[i], "reject-end", without ? text->end : 0);
	}
}

/* -------------------------------------------------------------- the n-th one */

static int nth_fd = -1;

static void write_nth(int fd, unsigned int n)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", n);

	if (pwrite(fd, text, len, 0) != len)
		bail("cannot write fail-nth: %s", err_name(errno));
}

/* 0: the failure has happened. */
static unsigned int read_nth(int fd)
{
	char text[16] = "";

	if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
		bail("cannot read fail-nth: %s", err_name(errno));
	return (unsigned int)strtoul(text, NULL, 10);
}

void nth_arm(unsigned int n)
{
	if (nth_fd < 0)
		nth_fd = xopen("/proc/thread-self/fail-nth", O_RDWR);
	write_nth(nth_fd, n);
}

bool nth_disarm(void)
{
	bool reached = !read_nth(nth_fd);

	write_nth(nth_fd, 0);
	return reached;
}

static int worker_fds[256];
static unsigned int nr_workers;

static bool is_unbound_worker(const char *pid)
{
	char path[300], name[64];

	if (!isdigit((unsigned char)pid[0]))
		return false;
	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	return read_text(path, name, sizeof(name)) && !strncmp(name, "kworker/u", 9);
}

/* One that has ended meanwhile is none of them. */
static void arm_worker(const char *pid, unsigned int n)
{
	char path[300], text[16];
	int len = snprintf(text, sizeof(text), "%u", n), fd;

	snprintf(path, sizeof(path), "/proc/%s/fail-nth", pid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	if (nr_workers < ARRAY_SIZE(worker_fds) && pwrite(fd, text, len, 0) == len)
		worker_fds[nr_workers++] = fd;
	else
		close(fd);
}

void nth_arm_workers(unsigned int n)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (is_unbound_worker(entry->d_name))
			arm_worker(entry->d_name, n);
	if (dir)
		closedir(dir);
	if (!nr_workers)
		bail("no workers");
}

bool nth_disarm_workers(void)
{
	bool reached = false;
	char text[16];
	int fd;

	while (nr_workers) {
		fd = worker_fds[--nr_workers];
		memset(text, 0, sizeof(text));
		if (pread(fd, text, sizeof(text) - 1, 0) > 0 && !strtoul(text, NULL, 10))
			reached = true;
		if (pwrite(fd, "0", 1, 0) != 1 && errno != ESRCH)
			bail("cannot disarm a worker: %s", err_name(errno));
		close(fd);
	}
	return reached;
}

/* ------------------------------------------------------------------- at random */

void inject_start(enum inject_kind kind, unsigned int percent, unsigned int interval)
{
	set_number(kinds[kind], "times", BUDGET);
	set_number(kinds[kind], "interval", interval);
	set_number(kinds[kind], "probability", percent);
}

unsigned int inject_hits(enum inject_kind kind)
{
	char path[128], text[32];

	snprintf(path, sizeof(path), DEBUGFS "%s/times", kinds[kind]);
	if (!read_text(path, text, sizeof(text)))
		bail("cannot read %s", path);
	return BUDGET - (unsigned int)strtoul(text, NULL, 10);
}

/* The program's own calls may fail until this has been written. */
unsigned int inject_stop(enum inject_kind kind)
{
	char path[128];

	snprintf(path, sizeof(path), DEBUGFS "%s/probability", kinds[kind]);
	while (!write_text(path, "0"))
		nap();
	return inject_hits(kind);
}
