// SPDX-License-Identifier: GPL-2.0-only
/*
 * powercut: rebuild what a power cut can leave of a disk, and judge it.
 *
 *	powercut [OPTION...] NAME
 *
 * with the files NAME.base (the disk at first), NAME.disk (at the end), NAME.log (QEMU's)
 * and, of a disk that is an image, NAME.list (the guest's requests).
 * With --export FILE the states are not judged here.
 */
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "powercut.h"

void pc_die(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fputs("powercut: ", stderr);
	vfprintf(stderr, fmt, args);
	fputc('\n', stderr);
	va_end(args);
	exit(2);
}

void *pc_alloc(size_t len)
{
	void *p = calloc(1, len);

	if (!p)
		pc_die("no memory");
	return p;
}

void *pc_map_file(const char *path, bool writable, u64 *len)
{
	int fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	struct stat st;
	void *p;

	if (fd < 0 || fstat(fd, &st))
		pc_die("%s cannot be opened", path);
	*len = st.st_size;
	p = mmap(NULL, st.st_size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd,
		 0);
	if (p == MAP_FAILED)
		pc_die("%s cannot be mapped", path);
	close(fd);
	return p;
}

bool pc_bad(char *rule, const char *fmt, ...)
{
	va_list args;

	if (rule[0])
		return false;
	va_start(args, fmt);
	vsnprintf(rule, PC_RULE, fmt, args);
	va_end(args);
	return false;
}

static const char *with(const char *name, const char *end)
{
	char *path = pc_alloc(strlen(name) + strlen(end) + 2);

	sprintf(path, "%s.%s", name, end);
	return path;
}

/* All requests one after the other make the disk that QEMU left: nothing was missed. */
static void compare_end(struct pc_walk *w, const char *name)
{
	u64 len, i, pos = w->disk.image.start * PC_SECTOR;
	const u8 *disk = pc_map_file(with(name, "disk"), false, &len);

	for (i = 0; i < w->ev.nr; i++) {
		const struct pc_event *e = &w->ev.event[i];

		if (e->ended && e->req->what != PC_R_FLUSH)
			pc_disk_apply(&w->disk, e->req, PC_WHOLE);
	}
	for (i = 0; i < w->disk.len && disk[pos + i] == w->disk.data[i]; i++)
		;
	if (i < w->disk.len)
		pc_die("the log does not make the disk, from byte %llu on", i);
	pc_disk_undo(&w->disk, 0);
}

static void load(struct pc_walk *w, const char *name)
{
	struct pc_trace *trace = pc_alloc(sizeof(*trace));

	pc_trace_read(trace, w->trace);
	pc_events_read(&w->ev, trace, with(name, "log"));
	pc_disk_init(&w->disk, with(name, "base"), w->path);
	compare_end(w, name);
	if (w->export.out)
		return;
	pc_oracle_read(&w->oracle, with(name, "list"));
	w->buf = pc_alloc(pc_zones_len(w->oracle.sectors));
	w->shadow = pc_alloc(pc_zones_len(w->oracle.sectors));
}

static void print(const struct pc_walk *w)
{
	const struct pc_stats *s = &w->stats;

	printf("states %llu flushes %llu marks %llu bad %llu", s->states, s->flushes,
	       s->marks, s->bad);
	printf(" torn %llu most %llu writes %u qemu-checks %llu qemu-reads %llu again %llu\n",
	       s->torn, s->most, w->ev.writes, s->checks, s->reads, s->again);
}

static enum pc_control control(const char *name)
{
	if (!strcmp(name, "loses-flushed"))
		return PC_LOSES_FLUSHED;
	if (!strcmp(name, "data-late"))
		return PC_DATA_LATE;
	pc_die("no control %s", name);
}

static FILE *open_export(const char *path)
{
	FILE *f = fopen(path, "we");

	if (!f)
		pc_die("%s cannot be written", path);
	return f;
}

static const struct option options[] = {
	{ "states", required_argument, NULL, 's' },
	{ "seed", required_argument, NULL, 'S' },
	{ "trace", required_argument, NULL, 't' },
	{ "format", required_argument, NULL, 'f' },
	{ "work", required_argument, NULL, 'w' },
	{ "check-every", required_argument, NULL, 'c' },
	{ "read-every", required_argument, NULL, 'r' },
	{ "again-every", required_argument, NULL, 'a' },
	{ "control", required_argument, NULL, 'C' },
	{ "excused", required_argument, NULL, 'e' },
	{ "keep", required_argument, NULL, 'k' },
	{ "export", required_argument, NULL, 'x' },
	{ "no-signs", no_argument, NULL, 'n' },
	{ "detached", no_argument, NULL, 'd' },
	{ }
};

static void set_option(struct pc_walk *w, int c, const char *arg)
{
	switch (c) {
	case 's': w->want = strtoull(arg, NULL, 0); break;
	case 'S': w->rng.state = strtoull(arg, NULL, 0); break;
	case 't': w->trace = arg; break;
	case 'f': w->format = arg; break;
	case 'w': w->path = with(arg, "image"); w->scratch = with(arg, "raw"); break;
	case 'c': w->check_every = (u32)strtoul(arg, NULL, 0); break;
	case 'r': w->read_every = (u32)strtoul(arg, NULL, 0); break;
	case 'a': w->again_every = (u32)strtoul(arg, NULL, 0); break;
	case 'C': w->control = control(arg); break;
	case 'e': w->excused = arg; break;
	case 'k': w->keep = arg; break;
	case 'x': w->export.out = open_export(arg); break;
	case 'n': w->no_signs = true; break;
	case 'd': w->detached = true; break;
	default: pc_die("usage: powercut [OPTION...] NAME");
	}
}

int main(int argc, char **argv)
{
	static struct pc_walk w = { .want = 1000, .rng.state = 1 };
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		set_option(&w, c, optarg);
	if (optind + 1 != argc || !w.path || !w.trace || !w.format)
		pc_die("usage: powercut --trace FILE --format FORMAT --work NAME [OPTION...] NAME");
	load(&w, argv[optind]);
	pc_walk_run(&w);
	print(&w);
	if (w.export.out && fclose(w.export.out))
		pc_die("the states cannot be written");
	return !!w.stats.bad;
}
