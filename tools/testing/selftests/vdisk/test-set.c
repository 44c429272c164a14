// SPDX-License-Identifier: GPL-2.0-only
/*
 * "vdctl set" and "vdctl rename" of images that are really attached: refused, whatever
 * the locks say, and not a byte of a file changes; after the detach both do it, and the
 * disk is what was written to it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blk.h"
#include "sha256.h"
#include "shadow.h"
#include "tap.h"

#define SIZE	(8 * MIB)
#define PIECE	(64 * KIB)
#define PIECES	24

static struct nl nl;
static struct nl_reply reply;
static struct run r;

/**
 * struct row - a kind of images
 * @format: as -f says it; all files are called after it
 * @option: of create, or NULL
 * @extent: a file beside it that is a part of it, or NULL
 * @base: it is made over another image, which is made first
 * @props: it has a place for a comment and a UUID, and tables to be checked
 */
struct row {
	const char *name;
	const char *format;
	const char *option[2];
	const char *extent;
	bool base;
	bool props;
};

static const struct row rows[] = {
	{ .name = "raw", .format = "raw" },
	{ .name = "monolithicSparse", .format = "vmdk", .props = true },
	{ .name = "split", .format = "vmdk", .option = { "--type=split", "--split-size=3M" },
	  .extent = "disk-s002.vmdk", .props = true },
	{ .name = "VMDK delta", .format = "vmdk", .base = true, .props = true },
	{ .name = "VDI", .format = "vdi", .props = true },
};

/* How it is attached. @lock NULL: as by default; else nothing but the module tells. */
static const struct mode {
	const char *name;
	const char *lock;
	bool ro;
} modes[] = {
	{ .name = "RW" },
	{ .name = "RO", .ro = true },
	{ .name = "RW without locks", .lock = "--lock=no" },
};

/**
 * struct disk - an image of a kind, in a directory of its own
 * @top, @base: paths; @base "" if there is none
 * @s: what the disk holds
 * @nth: writes so far, each with content of its own
 */
struct disk {
	const struct row *row;
	const char *dir;
	char top[160];
	char base[160];
	struct shadow s;
	unsigned int nth;
};

/* ------------------------------------------------------------------- vdctl */

static void say_failed(void)
{
	diag("status %d: %s%s", r.status, r.out, r.err);
}

/* vdctl VERB -f FORMAT and up to four arguments; NULL: left out. */
static int vdctl(const struct disk *d, const char *verb, const char *const args[4])
{
	const char *argv[12] = { "vdctl", verb, "-f", d->row->format };
	unsigned int i, n = 4;

	for (i = 0; i < 4; i++)
		if (args[i])
			argv[n++] = args[i];
	return run_argv(&r, argv);
}

#define VDCTL(d, verb, ...) vdctl(d, verb, (const char *const[4]) { __VA_ARGS__ })

static void make_name(char path[160], const struct disk *d, const char *name)
{
	snprintf(path, 160, "%s/%s.%s", d->dir, name, d->row->format);
}

static bool attach(const struct disk *d, const char *path, const struct mode *m, struct vdev *dev,
		   const char *name)
{
	memset(dev, 0, sizeof(*dev));
	VDCTL(d, "attach", "--no-partscan", m->ro ? "-r" : NULL, m->lock, path);
	if (!ok(!r.status && sscanf(r.out, "/dev/vdisk%u", &dev->id) == 1, "%s: attach", name)) {
		say_failed();
		return false;
	}
	snprintf(dev->path, sizeof(dev->path), "/dev/vdisk%u", dev->id);
	return true;
}

static void detach(const struct vdev *dev, const char *name)
{
	if (!is_err(vdev_detach(&nl, dev->id, VDISK_DETACH_PLAIN, &reply), 0, "%s: detach", name))
		diag("%s", reply.text);
}

static int open_disk(const struct vdev *dev, bool ro)
{
	int fd = vdev_open(dev, (ro ? O_RDONLY : O_RDWR) | O_DIRECT);

	if (fd < 0)
		bail("%s: %s", dev->path, err_name(-fd));
	return fd;
}

/* ----------------------------------------------------------------- the files */

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* Names, inodes and content of all files in the directory, and that there is no other. */
static void hash_files(const struct disk *d, char hex[SHA256_HEX])
{
	char line[SHA256_HEX + 320], content[SHA256_HEX];
	struct dirent **names;
	struct sha256 ctx;
	struct stat st;
	int i, n;

	n = scandir(d->dir, &names, NULL, by_name);
	if (n < 0)
		bail("%s: %s", d->dir, err_name(errno));
	sha256_init(&ctx);
	for (i = 0; i < n; i++) {
		const char *path = path_in(d->dir, names[i]->d_name);

		if (stat(path, &st))
			bail("%s: %s", path, err_name(errno));
		if (S_ISREG(st.st_mode) && !sha256_file(path, content))
			bail("cannot hash %s", path);
		snprintf(line, sizeof(line), "%s %llu %s\n", names[i]->d_name,
			 (unsigned long long)st.st_ino, S_ISREG(st.st_mode) ? content : "");
		sha256_update(&ctx, line, strlen(line));
		free(names[i]);
	}
	free(names);
	sha256_final(&ctx, hex);
}

/* Pieces all over the disk, so that each extent gets some. */
static void write_pieces(struct disk *d, int fd, unsigned int nr)
{
	u8 *buf = xalloc(PIECE);
	struct rng rng;
	unsigned int i;
	u64 pos;

	rng_seed(&rng, 4711 + d->nth++);
	for (i = 0; i < nr; i++) {
		pos = (i * (SIZE / nr) + rng_below(&rng, SIZE / nr - PIECE)) / SECTOR * SECTOR;
		rng_fill(&rng, buf, PIECE);
		if (!pwrite_all(fd, buf, PIECE, pos))
			bail("cannot write the disk: %s", err_name(errno));
		shadow_write(&d->s, pos, buf, PIECE);
	}
	if (fsync(fd))
		bail("cannot flush the disk: %s", err_name(errno));
	free(buf);
}

static void fill(struct disk *d, const char *path, const char *name)
{
	struct vdev dev;
	int fd;

	if (!attach(d, path, &modes[0], &dev, name))
		bail("%s: no disk to be looked at", name);
	fd = open_disk(&dev, false);
	write_pieces(d, fd, PIECES);
	close(fd);
	detach(&dev, name);
}

static void create(struct disk *d, const struct row *row, const char *dir)
{
	char option[180];

	*d = (struct disk) { .row = row, .dir = dir };
	if (mkdir(dir, 0700))
		bail("%s: %s", dir, err_name(errno));
	shadow_init(&d->s, SIZE);
	make_name(d->top, d, "disk");
	if (row->base) {
		make_name(d->base, d, "base");
		VDCTL(d, "create", "-q", d->base, "8M");
		if (r.status)
			bail("create: %s", r.err);
		fill(d, d->base, "base");
	}
	snprintf(option, sizeof(option), "--backing=%s", d->base);
	VDCTL(d, "create", row->base ? option : row->option[0], row->option[1], d->top, "8M");
	if (r.status)
		bail("create: %s", r.err);
	fill(d, d->top, row->name);
}

static void remove_all(struct disk *d)
{
	run(&r, "rm", "-r", d->dir, NULL);
	if (r.status)
		bail("%s: %s", d->dir, r.err);
	shadow_free(&d->s);
}

/* ------------------------------------------------------------------ attached */

/* What the message must say first: the kernel itself forbids writing to what is only read. */
static void expect(char *want, size_t len, const struct disk *d, const struct mode *m,
		   const struct vdev *dev, bool writes, const char *path)
{
	if (writes && (m->ro || path == d->base))
		snprintf(want, len, ": must not be written now: it is attached read-only");
	else if (!m->lock)
		snprintf(want, len, ": is locked by another program");
	else
		snprintf(want, len, "%s: is attached as vdisk%u", strrchr(path, '/'), dev->id);
}

/* The hint names the disk by the file that it was attached by. */
static void check_sentence(const struct disk *d, const struct mode *m, const struct vdev *dev,
			   const char *verb, const char *path, const char *name)
{
	char want[80], hint[80] = "no process holds it: an attached disk (vdctl list)";

	expect(want, sizeof(want), d, m, dev, !strcmp(verb, "set"), path);
	if (strstr(want, "is attached as vdisk"))
		hint[0] = 0;
	else if (path == d->top)
		snprintf(hint, sizeof(hint), "hint: it is attached as %s\n", dev->path);
	ok(strstr(r.err, want) && strstr(r.err, hint), "%s: the message has '%s'", name, want);
	if (!strstr(r.err, want) || !strstr(r.err, hint))
		diag("%s", r.err);
	ok(!strstr(r.err, "hint: -"), "%s: no hint at an option that there is not", name);
}

/* @busy: else it is refused as a part of something. */
static void refused(const struct disk *d, const struct mode *m, const struct vdev *dev, bool busy,
		    const char *verb, const char *path, const char *option, const char *to)
{
	char before[SHA256_HEX], after[SHA256_HEX], name[160];

	snprintf(name, sizeof(name), "%s, %s: %s %s %s", d->row->name, m->name, verb,
		 option ? option : "", strrchr(path, '/') + 1);
	hash_files(d, before);
	VDCTL(d, verb, option, path, to);
	if (!is_num(r.status, busy ? 4 : 1, "%s: refused", name))
		say_failed();
	if (busy)
		check_sentence(d, m, dev, verb, path, name);
	else
		ok(strstr(r.err, ": is a part of the image "), "%s: it is a part", name);
	hash_files(d, after);
	is_str(after, before, "%s: the files are as before", name);
}

static void refused_all(const struct disk *d, const struct mode *m, const struct vdev *dev)
{
	char other[160];

	make_name(other, d, "other");
	refused(d, m, dev, true, "set", d->top, "--comment=a word", NULL);
	if (!m->lock && !m->ro)
		refused(d, m, dev, true, "set", d->top, "--uuid=new", NULL);
	refused(d, m, dev, true, "rename", d->top, NULL, other);
	if (d->base[0]) {
		refused(d, m, dev, true, "set", d->base, "--comment=a word", NULL);
		refused(d, m, dev, true, "rename", d->base, "--update-children", other);
	}
}

/* A part of it, as if it were all: the lock is on each file, the module tells the first. */
static void refused_extent(const struct disk *d, const struct mode *m, const struct vdev *dev)
{
	static const struct row raw = { .name = "an extent", .format = "raw" };
	const struct disk part = { .row = &raw, .dir = d->dir };
	char path[160], other[160];

	snprintf(path, sizeof(path), "%s/%s", d->dir, d->row->extent);
	make_name(other, d, "other");
	refused(&part, m, dev, !m->lock, "rename", path, NULL, other);
}

static void test_attached(struct disk *d, const struct mode *m)
{
	char name[96];
	struct vdev dev;
	int fd;

	snprintf(name, sizeof(name), "%s, %s", d->row->name, m->name);
	if (!attach(d, d->top, m, &dev, name))
		return;
	fd = open_disk(&dev, m->ro);
	if (!m->ro)
		write_pieces(d, fd, 3);
	refused_all(d, m, &dev);
	if (d->row->extent)
		refused_extent(d, m, &dev);
	if (!m->ro)
		write_pieces(d, fd, 3);
	ok(shadow_equals(&d->s, fd, 0, SIZE, 0), "%s: the disk holds what was written", name);
	close(fd);
	detach(&dev, name);
}

/* ------------------------------------------------------------------ detached */

/* What vdctl info says under @key, "" if nothing. */
static void get_prop(const struct disk *d, const char *key, char *buf, size_t len)
{
	char want[64];
	const char *at;

	buf[0] = 0;
	VDCTL(d, "info", "-J", d->top);
	snprintf(want, sizeof(want), "\n  \"%s\": \"", key);
	at = strstr(r.out, want);
	if (r.status)
		say_failed();
	else if (at)
		snprintf(buf, len, "%.*s", (int)strcspn(at + strlen(want), "\""),
			 at + strlen(want));
}

static void may(const struct disk *d, const char *verb, const char *const args[4], int want)
{
	if (!is_num(vdctl(d, verb, args), want, "%s, detached: %s %s", d->row->name, verb,
		    args[0]))
		say_failed();
}

#define MAY(d, want, verb, ...) may(d, verb, (const char *const[4]) { __VA_ARGS__ }, want)

static void test_props(const struct disk *d)
{
	const char *name = d->row->name;
	char was[64], now[64];

	get_prop(d, "uuid", was, sizeof(was));
	if (!d->row->props) {
		MAY(d, 5, "set", "--comment=a word", d->top);
		MAY(d, 5, "set", "--uuid=new", d->top);
		return;
	}
	MAY(d, 0, "set", "--comment=a word", d->top);
	get_prop(d, "comment", now, sizeof(now));
	is_str(now, "a word", "%s: the comment is there", name);
	MAY(d, 0, "set", "--uuid=new", d->top);
	get_prop(d, "uuid", now, sizeof(now));
	ok(strlen(now) == 36 && strcmp(now, was), "%s: another UUID: %s", name, now);
	MAY(d, 0, "set", "--uuid=0a1b2c3d-4e5f-4071-8293-a4b5c6d7e8f9", d->top);
	get_prop(d, "uuid", now, sizeof(now));
	is_str(now, "0a1b2c3d-4e5f-4071-8293-a4b5c6d7e8f9", "%s: the UUID that was asked for",
	       name);
}

/* The base gets a comment, and the name that its delta is told. */
static void test_base(struct disk *d)
{
	char to[160];

	make_name(to, d, "ground");
	MAY(d, 0, "set", "--comment=the ground", d->base);
	MAY(d, 5, "set", "--uuid=new", d->base);
	MAY(d, 5, "rename", d->base, to);
	ok(exists(d->base) && !exists(to), "%s: the base has its name still", d->row->name);
	MAY(d, 0, "rename", "--update-children", d->base, to);
	ok(!exists(d->base) && exists(to), "%s: the base has another name", d->row->name);
	memcpy(d->base, to, sizeof(to));
}

static void test_rename(struct disk *d)
{
	char to[160];

	make_name(to, d, "other");
	MAY(d, 0, "rename", d->top, to);
	ok(!exists(d->top) && exists(to), "%s: it has another name", d->row->name);
	if (d->row->extent)
		ok(!exists(path_in(d->dir, d->row->extent)), "%s: its extents, too",
		   d->row->name);
	memcpy(d->top, to, sizeof(to));
}

static void test_detached(struct disk *d)
{
	char name[96];
	struct vdev dev;
	int fd;

	test_props(d);
	test_rename(d);
	if (d->base[0])
		test_base(d);
	snprintf(name, sizeof(name), "%s, changed", d->row->name);
	if (!attach(d, d->top, &modes[0], &dev, name))
		return;
	fd = open_disk(&dev, false);
	ok(shadow_equals(&d->s, fd, 0, SIZE, 0), "%s: the disk holds what was written", name);
	write_pieces(d, fd, 3);
	close(fd);
	detach(&dev, name);
	if (d->row->props)
		MAY(d, 0, "check", d->top);
}

/* In a brief run, in one mode. */
static void test_row(const struct row *row, const char *place, size_t mode)
{
	struct disk d;
	char dir[96];
	size_t i;

	snprintf(dir, sizeof(dir), "%s/set", place);
	create(&d, row, dir);
	for (i = 0; i < ARRAY_SIZE(modes); i++)
		if (!brief_run() || i == mode % ARRAY_SIZE(modes))
			test_attached(&d, &modes[i]);
	test_detached(&d);
	remove_all(&d);
}

int main(void)
{
	const char *places[2] = { place_ext4(), place_xfs() };
	size_t i;
	int ret;

	ret = nl_open(&nl);
	if (ret)
		bail("no vdisk family: %s", err_name(ret));
	if (!places[0] || !places[1])
		bail("VDT_EXT4 and VDT_XFS are not set");
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		test_row(&rows[i], places[i % 2], i);
	is_num(vdev_count(&nl), 0, "nothing is left attached");
	vdev_detach_all(&nl);
	nl_close(&nl);
	return tap_done();
}
