// SPDX-License-Identifier: GPL-2.0-only
/*
 * Raw images, read and written: random I/O against a shadow model, on every
 * kind of place a file can be, and afterwards the file itself, read by plain
 * read(), equals the shadow and is untouched outside of the disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "blk.h"
#include "shadow.h"
#include "tap.h"

#define MAX_PARTS 3

/* One part of a split image: bytes [offset, offset + len) of a file. */
struct part {
	const char *path;
	int fd;
	u64 offset;
	u64 len;
	u64 file_size;
	u8 *before;		/* what the file held at first */
};

/**
 * struct place - one arrangement of files to be tested
 * @name: for the result lines
 * @sector: logical block size
 * @flags: of ATTACH
 * @ops: operations of each thread
 */
struct place {
	const char *name;
	struct part parts[MAX_PARTS];
	unsigned int nr_parts;
	u32 sector;
	u32 flags;
	unsigned int ops;
};

static struct nl nl;
static struct nl_reply reply;
static u64 seed;

/* ------------------------------------------------------------- attachment */

static u64 place_size(const struct place *p)
{
	u64 size = 0;
	unsigned int i;

	for (i = 0; i < p->nr_parts; i++)
		size += p->parts[i].len;
	return size;
}

static void open_parts(struct place *p)
{
	struct stat st;
	unsigned int i;

	for (i = 0; i < p->nr_parts; i++) {
		struct part *part = &p->parts[i];

		if (!stat(part->path, &st) && S_ISBLK(st.st_mode)) {
			part->fd = xopen(part->path, O_RDWR | O_EXCL);
			part->file_size = part->offset + part->len;
		} else {
			part->fd = make_random_file(part->path, part->file_size, seed + i);
		}
		part->before = xalloc(part->file_size);
		if (!pread_all(part->fd, part->before, part->file_size, 0))
			bail("%s: %s", part->path, err_name(errno));
	}
}

/* Our own descriptors are closed, as vdctl's are when it has exited. */
static int attach_place(struct place *p, struct vdev *dev)
{
	struct nl_req req;
	u64 start = 0;
	unsigned int i;
	int ret;

	nl_begin(&req, VDISK_CMD_ATTACH);
	attach_flags(&req, p->flags);
	if (p->sector != SECTOR)
		nl_put_u32(&req, VDISK_A_SECTOR_SIZE, p->sector);
	attach_image(&req, VDISK_FORMAT_RAW, place_size(p));
	for (i = 0; i < p->nr_parts; i++) {
		attach_member(&req, p->parts[i].fd, VDISK_MEMBER_RW);
		attach_segment(&req, VDISK_SEG_RAW, i, start, p->parts[i].len,
			       p->parts[i].offset);
		start += p->parts[i].len;
	}
	ret = attach_send(&nl, &req, dev, &reply);
	for (i = 0; i < p->nr_parts; i++)
		close(p->parts[i].fd);
	return ret;
}

static void load_shadow(const struct place *p, struct shadow *s)
{
	u64 start = 0;
	unsigned int i;

	shadow_init(s, place_size(p));
	for (i = 0; i < p->nr_parts; i++) {
		memcpy(s->data + start, p->parts[i].before + p->parts[i].offset, p->parts[i].len);
		start += p->parts[i].len;
	}
}

/* After detach: the disk's bytes are the shadow's, all others as before. */
static void check_files(const struct place *p, const struct shadow *s)
{
	bool inside = true, outside = true;
	u64 start = 0, end;
	unsigned int i;
	int fd;

	for (i = 0; i < p->nr_parts; i++) {
		const struct part *part = &p->parts[i];

		fd = xopen(part->path, O_RDONLY);
		end = part->offset + part->len;
		inside &= shadow_equals(s, fd, start, part->len, part->offset);
		outside &= same_content(fd, part->before, part->offset, 0);
		outside &= same_content(fd, part->before + end, part->file_size - end, end);
		start += part->len;
		close(fd);
	}
	ok(inside, "%s: the file holds what was written", p->name);
	ok(outside, "%s: bytes outside of the disk are untouched", p->name);
}

static void free_parts(struct place *p)
{
	struct stat st;
	unsigned int i;

	for (i = 0; i < p->nr_parts; i++) {
		free(p->parts[i].before);
		if (!stat(p->parts[i].path, &st) && S_ISREG(st.st_mode))
			unlink(p->parts[i].path);
	}
}

/* ------------------------------------------------------------------ storms */

/* Four threads, each on its quarter, each in another way. */
static bool storm_place(const struct place *p, const struct vdev *dev, struct shadow *s,
			bool modify)
{
	u64 quarter = s->size / 4 / (64 * KIB) * (64 * KIB);
	struct storm storms[4] = {
		{ .mixed = true, .depth = 1 },
		{ .direct = true, .depth = 1 },
		{ .direct = true, .depth = 8 },
		{ .direct = true, .depth = 16 },
	};
	unsigned int i;
	bool good;

	for (i = 0; i < ARRAY_SIZE(storms); i++) {
		storms[i].path = dev->path;
		storms[i].shadow = s;
		storms[i].pos = i * quarter;
		storms[i].len = i < 3 ? quarter : s->size - 3 * quarter;
		storms[i].seed = seed * 100 + i + modify * 50;
		storms[i].ops = storms[i].depth > 1 ? p->ops * 2 : p->ops;
		storms[i].modify = modify;
		storms[i].align = p->sector;
	}
	good = storm_run(storms, ARRAY_SIZE(storms));
	if (modify)
		diag("%s: thread 0 did %u reads, %u writes, %u discards, %u zeroes, %u flushes",
		     p->name, storms[0].reads, storms[0].writes, storms[0].discards,
		     storms[0].zeroes, storms[0].flushes);
	return good;
}

/* A write that must be on the medium when it returns. */
static void check_sync_write(const struct place *p, const struct vdev *dev, struct shadow *s)
{
	int fd = vdev_open(dev, O_RDWR | O_DIRECT | O_DSYNC);
	u8 *buf = xalloc(64 * KIB);

	memset(buf, 0xd5, 64 * KIB);
	ok(pwrite_all(fd, buf, 64 * KIB, 128 * KIB), "%s: O_DSYNC write", p->name);
	shadow_write(s, 128 * KIB, buf, 64 * KIB);
	close(fd);
	free(buf);
}

/* Requests of every length around a border, in one vector of odd pieces. */
static void check_borders(const struct place *p, const struct vdev *dev, struct shadow *s)
{
	int fd = vdev_open(dev, O_RDWR | O_DIRECT);
	u8 *buf = xalloc(64 * KIB);
	struct iovec iov[3];
	u64 border = 0, pos, where;
	bool good = true;
	unsigned int i;
	u32 cut;

	for (i = 0; i + 1 < p->nr_parts; i++) {
		border += p->parts[i].len;
		for (cut = p->sector; cut <= 4 * p->sector; cut += p->sector) {
			pos = border / p->sector * p->sector - cut;
			memset(buf, (int)(0x11 * cut / p->sector + i), 8 * p->sector);
			iov[0] = (struct iovec) { buf, p->sector };
			iov[1] = (struct iovec) { buf + 8 * KIB, 5 * p->sector };
			memset(buf + 8 * KIB, 0x77, 5 * p->sector);
			good &= pwritev(fd, iov, 2, pos) == 6 * p->sector;
			shadow_write(s, pos, buf, p->sector);
			shadow_write(s, pos + p->sector, buf + 8 * KIB, 5 * p->sector);
			good &= pread_all(fd, buf + 32 * KIB, 8 * p->sector, pos - p->sector) &&
				shadow_check(s, pos - p->sector, buf + 32 * KIB, 8 * p->sector,
					     &where);
		}
	}
	ok(good, "%s: requests across the borders of its parts", p->name);
	free(buf);
	close(fd);
}

/* The last sectors; and nothing beyond. */
static void check_end(const struct place *p, const struct vdev *dev, struct shadow *s)
{
	int fd = vdev_open(dev, O_RDWR | O_DIRECT);
	u8 *buf = xalloc(16 * KIB);

	memset(buf, 0xe7, 4096);
	ok(pwrite_all(fd, buf, 4096, s->size - 4096), "%s: write to the last sectors", p->name);
	shadow_write(s, s->size - 4096, buf, 4096);
	ok(pwrite(fd, buf, 4096, s->size) <= 0, "%s: no write past the end", p->name);
	ok(pread(fd, buf, 8192, s->size - 4096) == 4096, "%s: a read stops at the end", p->name);
	free(buf);
	close(fd);
}

static void run_place(struct place *p)
{
	struct shadow s;
	struct vdev dev;
	int fd;

	open_parts(p);
	load_shadow(p, &s);
	if (!is_err(attach_place(p, &dev), 0, "%s: attach", p->name)) {
		diag("%s", reply.text);
		goto out;
	}
	diag("%s: %s, dio %s", p->name, dev.path, vdev_sysfs(&dev, "vdisk/dio"));
	fd = vdev_open(&dev, O_RDONLY | O_DIRECT);
	is_num(bdev_size(fd), s.size, "%s: size", p->name);
	ok(shadow_equals(&s, fd, 0, s.size, 0), "%s: reads what the files hold", p->name);
	close(fd);

	ok(storm_place(p, &dev, &s, true), "%s: storm of reads and writes", p->name);
	check_sync_write(p, &dev, &s);
	if (p->nr_parts > 1)
		check_borders(p, &dev, &s);
	check_end(p, &dev, &s);
	ok(storm_place(p, &dev, &s, false), "%s: storm of reads", p->name);
	is_str(vdev_sysfs(&dev, "vdisk/errors"), "0", "%s: no failed request", p->name);

	if (!is_err(vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply), 0, "%s: detach", p->name))
		diag("%s", reply.text);
	check_files(p, &s);
out:
	free_parts(p);
	shadow_free(&s);
	seed++;
}

/* ------------------------------------------------------------------ places */

static void whole_file(const char *name, const char *dir, u64 size, u32 flags, u32 sector)
{
	struct place p = {
		.name = name,
		.parts = { { .path = path_in(dir, "whole"), .len = size, .file_size = size } },
		.nr_parts = 1,
		.sector = sector,
		.flags = flags,
		.ops = 150,
	};

	run_place(&p);
}

static void window(const char *name, const char *dir, u64 offset, u64 size)
{
	struct place p = {
		.name = name,
		.parts = { { .path = path_in(dir, "window"), .offset = offset, .len = size,
			     .file_size = offset + size + 70000 } },
		.nr_parts = 1,
		.sector = SECTOR,
		.ops = 100,
	};

	run_place(&p);
}

static void split(const char *name, const char *dir, const char *other)
{
	struct place p = {
		.name = name,
		.parts = {
			{ .path = path_in(dir, "s1"), .len = 3 * MIB + 512,
			  .file_size = 3 * MIB + 512 },
			{ .path = path_in(other, "s2"), .offset = 1536, .len = 2 * MIB - 1024,
			  .file_size = 2 * MIB + 4096 },
			{ .path = path_in(dir, "s3"), .len = 3 * MIB + 512,
			  .file_size = 3 * MIB + 1024 },
		},
		.nr_parts = 3,
		.sector = SECTOR,
		.ops = 100,
	};

	run_place(&p);
}

static void block_device(void)
{
	struct place p = {
		.name = "block device",
		.parts = { { .path = place_bdev(), .offset = 4 * MIB, .len = 12 * MIB } },
		.nr_parts = 1,
		.sector = SECTOR,
		.ops = 150,
	};

	if (!p.parts[0].path) {
		skip("VDT_BDEV is not set", "raw on a block device");
		return;
	}
	run_place(&p);
}

/* ---------------------------------------------- what must fail, and how */

/* Would the checks above notice a single wrong byte? */
static void test_oracle(const char *dir)
{
	const char *path = path_in(dir, "oracle");
	int fd = make_random_file(path, MIB, 3);
	struct shadow s;
	u64 where = 0;
	u8 byte;

	shadow_init(&s, MIB);
	shadow_load(&s, fd, 0);
	byte = s.data[777777] ^ 1;
	ok(shadow_check(&s, 0, s.data, MIB, &where), "the oracle accepts what is right");
	pwrite_all(fd, &byte, 1, 777777);
	ok(!shadow_equals(&s, fd, 0, MIB, 0), "the oracle sees one wrong byte");
	shadow_free(&s);
	close(fd);
	unlink(path);
}

/* The first failed request is told to whoever listens. */
static void expect_error_event(struct nl *ev, const struct vdev *dev)
{
	struct nl_reply event;
	u32 kind = 0, id = ~0U;

	while (!nl_event(ev, &event, 5000)) {
		nl_get_u32(&event, VDISK_A_EVENT, &kind);
		nl_get_u32(&event, VDISK_A_ID, &id);
		if (kind == VDISK_EVENT_ERROR)
			break;
	}
	ok(kind == VDISK_EVENT_ERROR && id == dev->id, "and an event says so");
}

/* A file that became shorter: reads of what is gone fail, all else goes on. */
static void test_shrunk_file(const char *dir)
{
	const char *path = path_in(dir, "shrunk");
	int fd = make_random_file(path, 4 * MIB, 7), dfd;
	u8 *want = xalloc(MIB), *buf = xalloc(MIB);
	struct vdev dev;
	struct nl ev;

	if (nl_open(&ev) || nl_subscribe(&ev))
		bail("no events");
	if (!pread_all(fd, want, MIB, 0))
		bail("%s: %s", path, err_name(errno));
	if (attach_raw(&nl, fd, 4 * MIB, VDISK_F_NO_PARTSCAN, &dev, &reply))
		bail("cannot attach: %s", reply.text);
	close(fd);
	if (truncate(path, MIB + 4096))
		bail("truncate: %s", err_name(errno));
	dfd = vdev_open(&dev, O_RDWR | O_DIRECT);
	ok(pread_all(dfd, buf, MIB, 0) && !memcmp(buf, want, MIB),
	   "a file that shrank: what is left can be read");
	ok(pread(dfd, buf, 64 * KIB, 2 * MIB) < 0 && errno == EIO,
	   "a file that shrank: what is gone gives EIO");
	expect_error_event(&ev, &dev);
	nl_close(&ev);
	ok(pread(dfd, buf, 64 * KIB, 3 * MIB) < 0 && errno == EIO, "and again");
	close(dfd);
	is_err(vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply), 0,
	       "a file that shrank: detach");
	unlink(path);
	free(want);
	free(buf);
}

/* Read-only: for the disk, for the ioctl, for whoever insists. */
static void test_read_only(const char *dir)
{
	const char *path = path_in(dir, "readonly");
	u8 *want = xalloc(MIB);
	int fd, dfd;
	struct vdev dev;

	close(make_random_file(path, MIB, 9));
	fd = xopen(path, O_RDONLY);
	if (!pread_all(fd, want, MIB, 0))
		bail("%s: %s", path, err_name(errno));
	if (attach_raw(&nl, fd, MIB, VDISK_F_RDONLY | VDISK_F_HARD_RDONLY, &dev, &reply))
		bail("cannot attach: %s", reply.text);
	close(fd);
	is_str(vdev_sysfs(&dev, "ro"), "1", "read-only: sysfs says so");
	dfd = vdev_open(&dev, O_RDONLY);
	is_num(bdev_is_ro(dfd), 1, "read-only: the ioctl says so");
	ok(same_content(dfd, want, MIB, 0), "read-only: content");
	ok(bdev_discard(dfd, 0, 4096) < 0, "read-only: no discard");
	ok(bdev_zeroout(dfd, 0, 4096) < 0, "read-only: no zeroing");
	close(dfd);
	ok(vdev_open(&dev, O_RDWR) < 0, "read-only: cannot be opened for writing");
	is_err(vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply), 0, "read-only: detach");
	fd = xopen(path, O_RDONLY);
	ok(same_content(fd, want, MIB, 0), "read-only: the file is as before");
	close(fd);
	unlink(path);
	free(want);
}

int main(void)
{
	const char *tmp = scratch_dir();
	const char *ext4 = place_ext4(), *xfs = place_xfs();
	int ret;

	ret = nl_open(&nl);
	if (ret)
		bail("no vdisk family: %s", err_name(ret));
	seed = getenv("VDT_SEED") ? strtoull(getenv("VDT_SEED"), NULL, 10) : now_ms();
	diag("first seed %llu", (unsigned long long)seed);

	test_oracle(tmp);
	whole_file("tmpfs", tmp, 8 * MIB, 0, SECTOR);
	whole_file("tmpfs, buffered", tmp, 6 * MIB + 512, VDISK_F_BUFFERED, SECTOR);
	window("window on tmpfs", tmp, 1536, 4 * MIB + 1024);
	if (ext4 && xfs) {
		whole_file("ext4", ext4, 12 * MIB, 0, SECTOR);
		whole_file("ext4, buffered", ext4, 8 * MIB, VDISK_F_BUFFERED, SECTOR);
		whole_file("ext4, 4096-byte sectors", ext4, 8 * MIB, 0, 4096);
		whole_file("xfs", xfs, 12 * MIB, 0, SECTOR);
		window("window on xfs", xfs, MIB + 512, 6 * MIB + 512);
		split("split over ext4 and xfs", ext4, xfs);
		split("split over xfs and tmpfs", xfs, tmp);
		test_shrunk_file(xfs);
		test_read_only(ext4);
	} else {
		skip("VDT_EXT4 and VDT_XFS are not set", "raw on disk file systems");
	}
	block_device();
	test_shrunk_file(tmp);
	test_read_only(tmp);
	is_num(vdev_count(&nl), 0, "nothing is left attached");
	nl_close(&nl);
	return tap_done();
}
