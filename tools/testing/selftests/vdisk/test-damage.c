// SPDX-License-Identifier: GPL-2.0-only
/*
 * Somebody destroys the files of a disk while it is in use. That costs errors, but no
 * request hangs and nothing is made up; detach works, nothing is repaired in silence,
 * and the next attach is as good as the files are.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blk.h"
#include "chain.h"
#include "hammer.h"
#include "sha256.h"
#include "shadow.h"
#include "store.h"
#include "tap.h"
#include "victim.h"

static struct nl nl;
static struct nl_reply reply;

/* A valid image of the victim's kind, and of another size. */
static char other_path[160];

static void forget_caches(void)
{
	if (!write_text("/proc/sys/vm/drop_caches", "3"))
		bail("drop_caches: %s", err_name(errno));
}

/* --------------------------------------------------------- what destroys it */

#define TABLES	(192 * KIB)	/* header and tables of these images are below */

static int write_random(struct victim *v, u64 from, u64 to, int flags)
{
	int fd = open(v->path, O_WRONLY | O_CLOEXEC | flags), ret = 0;
	u8 *buf = xalloc(to - from);
	struct rng rng;

	if (fd < 0)
		return -errno;
	rng_seed(&rng, to);
	rng_fill(&rng, buf, to - from);
	if (!pwrite_all(fd, buf, to - from, from))
		ret = -errno;
	free(buf);
	close(fd);
	return ret;
}

static int random_header(struct victim *v)
{
	return write_random(v, 0, 4096, 0);
}

static int random_tables(struct victim *v)
{
	return write_random(v, SECTOR, TABLES, 0);
}

static int random_all(struct victim *v)
{
	return write_random(v, 0, v->size, O_TRUNC);
}

static int cut_off(struct victim *v)
{
	return act_result(truncate(v->path, 0));
}

static int cut_in_half(struct victim *v)
{
	return act_result(truncate(v->path, v->size / 2 + 77));
}

static int shrink_and_grow(struct victim *v)
{
	int ret = act_result(truncate(v->path, 100));

	return ret ? ret : act_result(truncate(v->path, v->size));
}

static int change_space(struct victim *v, int mode, u64 pos, u64 len)
{
	int fd = open(v->path, O_RDWR | O_CLOEXEC), ret;

	if (fd < 0)
		return -errno;
	ret = act_result(fallocate(fd, mode, pos, len));
	close(fd);
	return ret;
}

static int punch_tables(struct victim *v)
{
	return change_space(v, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, TABLES);
}

static int punch_all(struct victim *v)
{
	return change_space(v, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, v->size);
}

static int collapse(struct victim *v)
{
	return change_space(v, FALLOC_FL_COLLAPSE_RANGE, 4096, 64 * KIB);
}

static int insert(struct victim *v)
{
	return change_space(v, FALLOC_FL_INSERT_RANGE, 4096, 64 * KIB);
}

/* Another image, valid and of another size, as cp does it. */
static int copy_over(struct victim *v)
{
	u8 *buf = xalloc(MIB);
	int from = xopen(other_path, O_RDONLY), to = open(v->path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	ssize_t n = 0;

	while (to >= 0 && (n = read(from, buf, MIB)) > 0)
		n = write(to, buf, n) == n ? 0 : -1;
	free(buf);
	close(from);
	if (to < 0 || n < 0)
		return -errno;
	close(to);
	return 0;
}

static int reflink_over(struct victim *v)
{
	int from = xopen(other_path, O_RDONLY), to = open(v->path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	int ret = act_result(to < 0 || ioctl(to, FICLONE, from) ? -1 : 0);

	close(from);
	close(to);
	return ret;
}

static int set_immutable(const char *path, bool yes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), flags, ret;

	if (fd < 0)
		return -errno;
	ret = act_result(ioctl(fd, FS_IOC_GETFLAGS, &flags));
	if (!ret && !!(flags & FS_IMMUTABLE_FL) != yes) {
		flags ^= FS_IMMUTABLE_FL;
		ret = act_result(ioctl(fd, FS_IOC_SETFLAGS, &flags));
	}
	close(fd);
	return ret;
}

static int immutable(struct victim *v)
{
	return set_immutable(v->path, true);
}

static const struct act harmful[] = {
	{ "random header", true, random_header },
	{ "cut off", true, cut_off },
	{ "random tables", true, random_tables },
	{ "cut in half", true, cut_in_half },
	{ "random bytes", true, random_all },
	{ "shrunk and grown", true, shrink_and_grow },
	{ "punched tables", true, punch_tables },
	{ "punched", true, punch_all },
	{ "collapsed", true, collapse },
	{ "inserted", true, insert },
	{ "another image", true, copy_over },
	{ "immutable", true, immutable },
	{ "another image, reflinked", true, reflink_over },
};

/* Not on the file system of the tests, which has no reflinks. */
#define NR_ANYWHERE	(ARRAY_SIZE(harmful) - 1)

static void make_other(struct victim *v, struct chain *other)
{
	*other = v->c;
	other->nr = 1;
	other->images[0].name = "other";
	other->images[0].size = other->images[0].extents[0].len = 2 * VICTIM_DISK;
	other->images[0].extents[0].path[0] = 0;
	chain_make(other, 12);
	snprintf(other_path, sizeof(other_path), "%s", other->images[0].extents[0].path);
}

/* The files as they are now: refused, or attached and read, with errors or without. */
static void try_what_is_left(struct victim *v)
{
	u8 *buf = xalloc(64 * KIB);
	struct vdev dev;
	u64 pos;
	int fd;

	if (!chain_attach(&nl, &v->c, VDISK_F_NO_PARTSCAN, &dev, &reply)) {
		fd = vdev_open(&dev, O_RDONLY | O_DIRECT);
		for (pos = 0; pos < VICTIM_DISK; pos += 64 * KIB)
			pread_all(fd, buf, 64 * KIB, pos);
		close(fd);
		vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply);
		ok(wait_until(vdev_gone(&nl, dev.id), 20000), "%s: attached as it is", v->name);
	} else {
		ok(reply.text[0], "%s: refused as it is: %s", v->name, reply.text);
	}
	free(buf);
}

/* The same files, as they were made. */
static void check_intact(struct victim *v)
{
	int fd;

	chain_remove(&v->c);
	chain_make(&v->c, 11);
	chain_must_attach(&nl, &v->c, v->flags, &v->dev, &reply);
	fd = vdev_open(&v->dev, O_RDWR | O_DIRECT);
	ok(shadow_equals(&v->s, fd, 0, VICTIM_DISK, 0) && pwrite_all(fd, v->s.data, 64 * KIB, MIB),
	   "%s: an intact one in its place is read and written", v->name);
	shadow_write(&v->s, MIB, v->s.data, 64 * KIB);
	close(fd);
	is_err(victim_detach(v), 0, "%s: well", v->name);
	ok(chain_sound(&v->c, 0) && chain_equals(&v->c, &v->s), "%s: sound, clean and right",
	   v->name);
}

static void test_harmful(const struct subject *sub, const char *dir, const struct act *act)
{
	struct hammering h;
	struct chain other;
	struct victim v;

	victim_start(&v, sub, dir, 0, act->name);
	make_other(&v, &other);
	hammer_start(&h, &v.dev, VICTIM_DISK, 5, true);
	ok(hammer_goes_on(&h, 4), "%s: I/O runs", v.name);
	is_err(act->fn(&v), 0, "%s: it is done", v.name);
	ok(hammer_goes_on(&h, scaled(24)), "%s: all requests end", v.name);
	if (!hammer_stop(&h))
		bail("%s: a request hangs", v.name);
	is_num(hammer_stale(&h), 0, "%s: no read makes up data", v.name);
	diag("%s: %u requests failed; detach: %s", v.name, hammer_failed(&h),
	     err_name(victim_detach(&v)));
	set_immutable(v.path, false);
	try_what_is_left(&v);
	check_intact(&v);
	chain_remove(&other);
	victim_end(&v);
}

/* ------------------------------------------------------------ nothing is written */

/* Of a disk that may be written, but is not: no byte changes, however wrong it is. */
static void test_idle(const struct subject *sub, const char *dir)
{
	char before[SHA256_HEX], after[SHA256_HEX];
	struct hammering h;
	struct victim v;

	victim_start(&v, sub, dir, 0, "only read");
	hammer_start(&h, &v.dev, VICTIM_DISK, 6, false);
	ok(hammer_goes_on(&h, 4), "%s: reads run", v.name);
	is_err(random_tables(&v), 0, "%s: random tables", v.name);
	is_err(random_header(&v), 0, "%s: and a random header", v.name);
	if (!sha256_file(v.path, before))
		bail("%s: %s", v.path, err_name(errno));
	forget_caches();
	ok(hammer_goes_on(&h, scaled(24)), "%s: all reads end", v.name);
	if (!hammer_stop(&h))
		bail("%s: a read hangs", v.name);
	is_num(hammer_stale(&h), 0, "%s: no read makes up data", v.name);
	is_err(victim_detach(&v), 0, "%s: well", v.name);
	sha256_file(v.path, after);
	is_str(after, before, "%s: the file is as it was left", v.name);
	if (victim_file(&v, 0)->unit)
		ok(chain_attach(&nl, &v.c, v.flags, &v.dev, &reply), "%s: and refused: %s",
		   v.name, reply.text);
	victim_end(&v);
}

/* ------------------------------------------------------- damage that is noticed */

/* Messages from here on. */
static int open_log(void)
{
	int fd = xopen("/dev/kmsg", O_RDONLY | O_NONBLOCK);

	lseek(fd, 0, SEEK_END);
	return fd;
}

static bool log_says(int fd, const char *text)
{
	char line[2048];
	ssize_t n;

	while ((n = read(fd, line, sizeof(line) - 1)) > 0) {
		line[n] = 0;
		if (strstr(line, text))
			return true;
	}
	return false;
}

static bool heard_of_error(struct nl *events, u32 id)
{
	u32 event, of;

	while (!nl_event(events, &reply, 2000)) {
		if (nl_get_u32(&reply, VDISK_A_EVENT, &event) && event == VDISK_EVENT_ERROR &&
		    nl_get_u32(&reply, VDISK_A_ID, &of) && of == id)
			return true;
	}
	return false;
}

static void put_entry(struct victim *v, u64 pos, u32 value)
{
	int fd = xopen(v->path, O_RDWR);

	if (!pwrite_all(fd, &value, sizeof(value), pos) || fsync(fd))
		bail("%s: %s", v->path, err_name(errno));
	close(fd);
	forget_caches();
}

static u32 get_entry(struct victim *v, u64 pos)
{
	int fd = xopen(v->path, O_RDONLY);
	u32 value;

	if (!pread_all(fd, &value, sizeof(value), pos))
		bail("%s: %s", v->path, err_name(errno));
	close(fd);
	return value;
}

/* The last unit that has a place; nobody has looked at its table yet, only at the first. */
static u64 last_unit(struct victim *v)
{
	const struct extent *e = victim_file(v, 0);
	u64 n = e->len / e->unit - 1;

	while (!extent_is_used(e, n))
		n--;
	if (extent_entry(e, n) / 4096 == extent_entry(e, 0) / 4096)
		bail("%s: all entries are in one block", e->path);
	return n;
}

/* All but the unit at @bad can be read, and is right. */
static bool rest_is_right(struct victim *v, int fd, u64 bad)
{
	u64 after = bad + victim_file(v, 0)->unit;

	return shadow_equals(&v->s, fd, 0, bad, 0) &&
	       shadow_equals(&v->s, fd, after, v->s.size - after, after);
}

/* The log takes ten sentences of ours in five seconds, and there were others before. */
static bool read_logs(int fd, u64 bad, int log)
{
	static u8 buf[4096] __attribute__((aligned(4096)));

	return pread(fd, buf, sizeof(buf), bad) < 0 && log_says(log, "image 0, segment at byte 0");
}

static void check_told(struct victim *v, struct nl *events, int fd, u64 bad, int log)
{
	ok(wait_until(read_logs(fd, bad, log), 12000), "%s: the log says why", v->name);
	ok(heard_of_error(events, v->dev.id), "%s: an event tells of it", v->name);
	ok(strtoul(vdev_sysfs(&v->dev, "vdisk/errors"), NULL, 10) >= 2, "%s: errors are counted",
	   v->name);
}

/* Nobody has repaired it; once its owner has, all is there. */
static void check_mended(struct victim *v, u64 entry, u32 value, u32 mended)
{
	int fd;

	is_num(get_entry(v, entry), value, "%s: nothing was repaired", v->name);
	put_entry(v, entry, mended);
	ok(chain_sound(&v->c, CHAIN_MAY_LEAK) && chain_equals(&v->c, &v->s),
	   "%s: mended, sound and right", v->name);
	chain_must_attach(&nl, &v->c, v->flags, &v->dev, &reply);
	fd = vdev_open(&v->dev, O_RDWR | O_DIRECT);
	ok(shadow_equals(&v->s, fd, 0, v->s.size, 0) && pwrite_all(fd, v->s.data, 4096, 0) &&
	   !fsync(fd), "%s: and attached again, read and written", v->name);
	close(fd);
	is_err(victim_detach(v), 0, "%s: well", v->name);
}

/*
 * An entry that leads nowhere. Its unit fails and no other; @begun: writing had begun. If
 * not, all tables are looked at first, and none is changed.
 */
static void test_noticed(const struct subject *sub, const char *dir, bool begun, u32 value,
			 const char *name)
{
	char before[SHA256_HEX], after[SHA256_HEX];
	u8 *buf = xalloc(4096);
	struct nl events;
	struct victim v;
	u64 bad, entry;
	int fd, log;
	u32 old;

	if (nl_open(&events) || nl_subscribe(&events))
		bail("no events");
	victim_start(&v, sub, dir, 0, name);
	fd = vdev_open(&v.dev, O_RDWR | O_DIRECT);
	bad = last_unit(&v);
	entry = extent_entry(victim_file(&v, 0), bad);
	bad *= victim_file(&v, 0)->unit;
	old = get_entry(&v, entry);
	if (begun)
		ok(pwrite_all(fd, v.s.data, 4096, 0) && !fsync(fd), "%s: a write and a flush",
		   v.name);
	log = open_log();
	put_entry(&v, entry, value);
	sha256_file(v.path, before);
	ok(!pread_all(fd, buf, 4096, bad) && errno == EIO, "%s: reading there fails", v.name);
	ok(!pwrite_all(fd, buf, 4096, bad) && errno == EIO, "%s: so does writing", v.name);
	ok(rest_is_right(&v, fd, bad), "%s: the rest is read and right", v.name);
	check_told(&v, &events, fd, bad, log);
	ok(pwrite_all(fd, v.s.data, 4096, 0) == begun, "%s: writes elsewhere %s", v.name,
	   begun ? "go on" : "are refused");
	fsync(fd);
	close(fd);
	victim_detach(&v);
	sha256_file(v.path, after);
	if (!begun)
		is_str(after, before, "%s: no byte was changed", v.name);
	check_mended(&v, entry, value, old);
	close(log);
	nl_close(&events);
	victim_end(&v);
	free(buf);
}

static struct chain small_grains(const char *dir)
{
	return chain_single(dir, "g", vmdk_sparse(2 * VICTIM_DISK, 4096, 0, 40));
}

static struct chain small_blocks(const char *dir)
{
	return chain_single(dir, "s", vdi_blocks(2 * VICTIM_DISK, 4096, VDI_VIRTUALBOX, 40));
}

static void test_entries(const char *ext4, const char *xfs)
{
	static const struct subject grains = { "VMDK", small_grains, 0 };
	static const struct subject cached = { "VMDK, buffered", small_grains, VDISK_F_BUFFERED };
	static const struct subject blocks = { "VDI", small_blocks, 0 };

	test_noticed(&grains, ext4, true, 0x7ffffff0, "a grain past the end");
	test_noticed(&cached, xfs, true, 3, "a grain over the header");
	test_noticed(&blocks, xfs, true, 0xffffff, "a slot past the end");
	test_noticed(&cached, ext4, false, 0x7ffffff0, "a grain past the end, at first");
	test_noticed(&grains, xfs, false, 3, "a grain over the header, at first");
	test_noticed(&blocks, ext4, false, 0xffffff, "a slot past the end, at first");
}

/*
 * A file that was cut: its tables are in memory still, and would soon say of data that is
 * gone that it is there. Nothing more is promised, and the file stays as short as it is.
 */
static void test_cut(const struct subject *sub, const char *dir, bool first)
{
	u8 *buf = xalloc(4096);
	struct victim v;
	int fd, log, ret;
	struct stat st;
	u64 left;

	victim_start(&v, sub, dir, 0, "cut, then flushed");
	left = v.size / 2 + 77;
	fd = vdev_open(&v.dev, O_RDWR | O_DIRECT);
	ok(pwrite_all(fd, v.s.data, 4096, 0) && !fsync(fd), "%s: a write and a flush", v.name);
	log = open_log();
	is_err(cut_in_half(&v), 0, "%s: it is done", v.name);
	ok(fsync(fd) && errno == EIO, "%s: the next flush fails", v.name);
	/* Later ones may be too many for it. */
	if (first)
		ok(log_says(log, "a file was cut"), "%s: the log says why", v.name);
	ok(!pwrite_all(fd, buf, 4096, VICTIM_DISK - 4096) || fsync(fd), "%s: no write is kept",
	   v.name);
	close(fd);
	ret = victim_detach(&v);
	ok(ret == -EIO || vdev_end_late(), "%s: detach says so, too", v.name);
	ok(!stat(v.path, &st) && (u64)st.st_size == left, "%s: the file is as it was left", v.name);
	close(log);
	victim_end(&v);
	free(buf);
}

/* --------------------------------------------------------------------- main */

static void test_subject(unsigned int i, const char *ext4, const char *xfs)
{
	unsigned int k;

	test_idle(&subjects[i], i % 2 ? ext4 : xfs);
	for (k = 0; k < ARRAY_SIZE(harmful); k++) {
		if (!full_run() && (i + k) % SUBJECTS)
			continue;
		test_harmful(&subjects[i], k < NR_ANYWHERE && i % 2 ? ext4 : xfs, &harmful[k]);
	}
}

int main(void)
{
	unsigned int rounds = full_run() ? scaled(5) : 1, i, k;
	const char *ext4, *xfs;
	struct store st;

	chain_begin(&nl, &ext4, &xfs);
	store_make(&st, "xfs", NULL);
	for (k = 0; k < SUBJECTS; k++)
		test_cut(&subjects[k], k % 2 ? ext4 : st.dir, !k);
	test_entries(ext4, st.dir);
	for (i = 0; i < rounds; i++)
		for (k = 0; k < SUBJECTS; k++)
			test_subject(k, ext4, st.dir);
	store_end(&st);
	is_num(vdev_count(&nl), 0, "nothing is left attached");
	nl_close(&nl);
	return tap_done();
}
