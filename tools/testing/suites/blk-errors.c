// SPDX-License-Identifier: GPL-2.0-only
/*
 * A disk whose image lies on bad sectors: an error for exactly the requests that
 * touch them, once, and for nobody else.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "suite.h"

#define DISK	(16 * MIB)
#define NODE	"/dev/mapper/vdt-bad"

/* Bad bytes of the disk: a sector alone, and eight at a page's border. */
static const struct bad {
	u64 pos, len;
} bads[] = {
	{ 1 * MIB + 3 * SECTOR, SECTOR },
	{ 4 * MIB, 8 * SECTOR },
};

static bool is_bad(u64 pos, u64 len)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bads); i++) {
		if (pos < bads[i].pos + bads[i].len && bads[i].pos < pos + len)
			return true;
	}
	return false;
}

/* Sectors as dmsetup wants them; @broken: with the bad ones. */
static void table(char *text, size_t len, bool broken)
{
	const char *bdev = place_bdev();
	u64 pos = 0;
	size_t i, n = 0;

	for (i = 0; broken && i < ARRAY_SIZE(bads); i++) {
		n += snprintf(text + n, len - n, "%llu %llu linear %s %llu\n%llu %llu error\n",
			      (unsigned long long)pos / SECTOR,
			      (unsigned long long)(bads[i].pos - pos) / SECTOR, bdev,
			      (unsigned long long)pos / SECTOR,
			      (unsigned long long)bads[i].pos / SECTOR,
			      (unsigned long long)bads[i].len / SECTOR);
		pos = bads[i].pos + bads[i].len;
	}
	snprintf(text + n, len - n, "%llu %llu linear %s %llu\n", (unsigned long long)pos / SECTOR,
		 (unsigned long long)(DISK - pos) / SECTOR, bdev, (unsigned long long)pos / SECTOR);
}

static void set_broken(bool broken)
{
	char text[1024];

	table(text, sizeof(text), broken);
	if (!works("dmsetup", "reload", "vdt-bad", "--table", text, NULL) ||
	    !works("dmsetup", "resume", "vdt-bad", NULL))
		bail("no dm device");
}

/* Filled with a pattern, then broken; attached as a raw image. */
static void make_bad(struct vdev *dev)
{
	char text[1024];
	int fd;

	table(text, sizeof(text), false);
	if (!works("dmsetup", "create", "vdt-bad", "--table", text, NULL))
		bail("no dm device");
	fd = xopen(NODE, O_RDWR | O_EXCL);
	if (!put_pattern(fd, 0, DISK, 2) || fsync(fd))
		bail("cannot fill it");
	set_broken(true);
	if (attach_raw(&nl, fd, DISK, VDISK_F_NO_PARTSCAN, dev, &reply))
		bail("attach: %s", reply.text);
	close(fd);
}

static void end_bad(const struct vdev *dev)
{
	is_err(vdev_detach(&nl, dev->id, VDISK_DETACH_PLAIN, &reply), 0, "detach");
	ok(works("dmsetup", "remove", "vdt-bad", NULL), "and the image's device is free");
}

/* Requests to the device below, so far. */
static u64 below(void)
{
	char disk[16];
	struct blk_stat s;
	struct stat st;

	if (stat(NODE, &st))
		bail("%s: %s", NODE, err_name(errno));
	snprintf(disk, sizeof(disk), "dm-%u", minor(st.st_rdev));
	s = blk_stat(disk);
	return s.reads + s.writes;
}

/* ---------------------------------------------------------------- one by one */

static bool read_as_expected(int fd, u8 *buf, u64 pos, u64 len)
{
	ssize_t n = pread(fd, buf, len, pos);

	if (is_bad(pos, len))
		return n < 0 && errno == EIO;
	return n == (ssize_t)len && is_pattern(buf, len, pos, 2);
}

static void exact(void)
{
	static const u64 lens[] = { SECTOR, 4 * SECTOR, 4096, 64 * KIB };
	u8 *buf = xalloc(64 * KIB);
	unsigned int wrong, failed;
	struct vdev dev;
	u64 pos, errors = 0;
	size_t i;
	int fd;

	make_bad(&dev);
	fd = vdev_open(&dev, O_RDWR | O_DIRECT);
	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		wrong = failed = 0;
		for (pos = MIB - 64 * KIB; pos < MIB + 64 * KIB; pos += lens[i]) {
			wrong += !read_as_expected(fd, buf, pos, lens[i]);
			failed += is_bad(pos, lens[i]);
		}
		for (pos = 4 * MIB - 64 * KIB; pos < 4 * MIB + 64 * KIB; pos += lens[i]) {
			wrong += !read_as_expected(fd, buf, pos, lens[i]);
			failed += is_bad(pos, lens[i]);
		}
		is_num(wrong, 0, "reads of %llu bytes: %u fail, and only these",
		       (unsigned long long)lens[i], failed);
		errors += failed;
	}
	is_num(disk_get(disk_name(&dev), "vdisk/errors"), errors, "as many are counted");
	close(fd);
	end_bad(&dev);
	free(buf);
}

static void writes(void)
{
	u8 *buf = xalloc(4096);
	unsigned int wrong = 0;
	struct vdev dev;
	u64 pos;
	int fd;

	make_bad(&dev);
	fd = vdev_open(&dev, O_RDWR | O_DIRECT);
	for (pos = MIB - 16 * KIB; pos < MIB + 16 * KIB; pos += SECTOR) {
		pattern(buf, SECTOR, pos, 6);
		if (is_bad(pos, SECTOR))
			wrong += pwrite(fd, buf, SECTOR, pos) >= 0 || errno != EIO;
		else
			wrong += pwrite(fd, buf, SECTOR, pos) != SECTOR;
	}
	is_num(wrong, 0, "writes fail where it is bad, and only there");
	is_err(fsync(fd) ? -errno : 0, 0, "who was told needs no error of the flush");
	set_broken(false);
	for (pos = MIB - 16 * KIB; pos < MIB + 16 * KIB; pos += SECTOR)
		wrong += !has_pattern(fd, pos, SECTOR, is_bad(pos, SECTOR) ? 2 : 6);
	is_num(wrong, 0, "all others arrived, the failed one did not");
	ok(put_pattern(fd, MIB, 4096, 8) && has_pattern(fd, MIB, 4096, 8),
	   "the sector is good again: so is the disk");
	close(fd);
	end_bad(&dev);
	free(buf);
}

/* No request is tried for ever: a failed one is given to the device below once. */
static void no_retry(void)
{
	u8 *buf = xalloc(4096);
	struct blk_stat before, after;
	struct vdev dev;
	unsigned int i;
	u64 first;
	int fd;

	make_bad(&dev);
	fd = vdev_open(&dev, O_RDWR | O_DIRECT);
	before = blk_rest(&dev);
	first = below();
	for (i = 0; i < 20; i++) {
		ok(pread(fd, buf, 4096, 4 * MIB) < 0, "read %u fails", i);
		ok(pwrite(fd, buf, 4096, 4 * MIB) < 0, "write %u fails", i);
	}
	after = blk_rest(&dev);
	is_num(after.reads - before.reads + after.writes - before.writes, 40,
	       "40 requests of ours");
	ok(below() - first <= 40, "made %llu of the device below",
	   (unsigned long long)(below() - first));
	ok(blk_idle(&dev), "none is under way");
	close(fd);
	end_bad(&dev);
	free(buf);
}

/* ------------------------------------------------------------------- together */

struct reader {
	pthread_t thread;
	int fd;
	u64 pos, len;
	unsigned int count, good, failed, wrong;
};

static void *read_thread(void *arg)
{
	struct reader *r = arg;
	u8 *buf = xalloc(r->len);
	unsigned int i;

	for (i = 0; i < r->count; i++) {
		if (pread(r->fd, buf, r->len, r->pos) != (ssize_t)r->len)
			r->failed++;
		else if (is_pattern(buf, r->len, r->pos, 2))
			r->good++;
		else
			r->wrong++;
	}
	free(buf);
	return NULL;
}

/* Requests that are under way with a failing one do not fail with it. */
static void neighbours(void)
{
	struct reader r[4] = {
		{ .pos = 4 * MIB, .len = 4096 }, { .pos = 4 * MIB + 4096, .len = 4096 },
		{ .pos = 4 * MIB - 4096, .len = 4096 }, { .pos = 2 * MIB, .len = 64 * KIB },
	};
	unsigned int count = full_run() ? 2000 : scaled(200), i;
	struct vdev dev;

	make_bad(&dev);
	for (i = 0; i < ARRAY_SIZE(r); i++) {
		r[i].count = count;
		r[i].fd = vdev_open(&dev, O_RDONLY | O_DIRECT);
		pthread_create(&r[i].thread, NULL, read_thread, &r[i]);
	}
	for (i = 0; i < ARRAY_SIZE(r); i++) {
		pthread_join(r[i].thread, NULL);
		close(r[i].fd);
		is_num(r[i].failed, i ? 0 : count, "reader %u: its failures", i);
		is_num(r[i].good, i ? count : 0, "reader %u: its data", i);
	}
	end_bad(&dev);
}

/* Through the page cache: an error for the page, and for who syncs it. */
static void buffered(void)
{
	u8 *buf = xalloc(4096);
	unsigned int wrong = 0;
	struct vdev dev;
	u64 pos;
	int fd;

	make_bad(&dev);
	fd = vdev_open(&dev, O_RDWR);
	for (pos = 4 * MIB - 64 * KIB; pos < 4 * MIB + 64 * KIB; pos += 4096)
		wrong += !read_as_expected(fd, buf, pos, 4096);
	is_num(wrong, 0, "reads fail on the bad page, read ahead or not");
	ok(pwrite(fd, buf, 4096, 4 * MIB) == 4096, "a page over it is taken");
	is_err(fsync(fd) ? -errno : 0, -EIO, "fsync says that it did not get there");
	ok(pwrite(fd, buf, 4096, 5 * MIB) == 4096 && !fsync(fd), "the next fsync is not its victim");
	set_broken(false);
	ok(pwrite(fd, buf, 4096, 4 * MIB) == 4096 && !fsync(fd), "mended, it gets there");
	close(fd);
	end_bad(&dev);
	free(buf);
}

static const struct contract contracts[] = {
	{ "exact", exact },
	{ "writes", writes },
	{ "no-retry", no_retry },
	{ "neighbours", neighbours },
	{ "buffered", buffered },
};

int main(int argc, char **argv)
{
	if (argc != 2 && !place_bdev())
		bail("VDT_BDEV is not set");
	return suite_main(argc, argv, "errors", contracts, ARRAY_SIZE(contracts));
}
