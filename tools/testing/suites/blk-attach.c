// SPDX-License-Identifier: GPL-2.0-only
/* What loop devices promise of coming and going, asked of ours. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "suite.h"

#define DISK	(8 * MIB)
#define FIXED	55		/* a number, so that the node's name is known before */

static int part_file(const char *name, unsigned int parts)
{
	static const char *const tables[] = {
		"label: dos\n", "label: dos\nsize=2048\nsize=2048\n",
		"label: dos\nsize=2048\nsize=2048\nsize=4096\nsize=1024\n",
	};
	const char *path = path_in(place_ext4(), name), *table = path_in(scratch_dir(), "table");
	int fd = make_file(path, DISK), tfd = xopen(table, O_RDWR | O_CREAT | O_TRUNC);

	pwrite_all(tfd, tables[parts / 2], strlen(tables[parts / 2]), 0);
	close(tfd);
	if (!works("sh", "-c", "sfdisk -q --no-reread --no-tell-kernel \"$0\" <\"$1\"", path, table,
		   NULL))
		bail("no partition table");
	return fd;
}

static int attach_fixed(int fd, u32 flags, struct vdev *dev)
{
	struct nl_req req;

	nl_begin(&req, VDISK_CMD_ATTACH);
	attach_flags(&req, flags);
	attach_member(&req, fd, VDISK_MEMBER_RW);
	attach_image(&req, VDISK_FORMAT_RAW, DISK);
	attach_segment(&req, VDISK_SEG_RAW, 0, 0, DISK, 0);
	nl_put_u32(&req, VDISK_A_ID, FIXED);
	return attach_send(&nl, &req, dev, &reply);
}

/* ------------------------------------------------- who scans at the same time */

/**
 * struct scanner - a thread that opens the disk and scans it, all the time
 * @polite: it holds @turn then, and so knows of no disk before its attach has answered
 */
struct scanner {
	pthread_t thread;
	pthread_mutex_t turn;
	atomic_bool stop, polite;
	atomic_uint opened, scanned;
};

static void scan_once(struct scanner *s)
{
	const struct vdev dev = { .path = "/dev/vdisk55" };
	int fd = vdev_open(&dev, O_RDONLY);

	if (fd < 0)
		return;
	s->opened++;
	s->scanned += !ioctl(fd, BLKRRPART, 0);
	close(fd);
}

static void *scan_thread(void *arg)
{
	struct scanner *s = arg;

	while (!s->stop) {
		if (s->polite) {
			pthread_mutex_lock(&s->turn);
			scan_once(s);
			pthread_mutex_unlock(&s->turn);
		} else {
			scan_once(s);
		}
	}
	return NULL;
}

/*
 * Whatever a scanner adds anew it removes first: in the end as many go as came. But if it
 * opens a disk by a guessed name, before anybody was told of it, the kernel removes partitions
 * that it has not announced, and announces some twice; the disk comes and goes once even so.
 */
static bool is_even(const struct tale *t, bool polite)
{
	if (t->disk_add != 1 || t->disk_remove != 1)
		return false;
	return !polite || (t->part_add == t->part_remove && t->part_add >= 4);
}

static bool scan_cycle(struct scanner *s, int fd, struct tale *t)
{
	unsigned int before = s->opened;
	struct vdev dev;
	int ret;

	pthread_mutex_lock(&s->turn);
	ret = attach_fixed(fd, 0, &dev);
	pthread_mutex_unlock(&s->turn);
	if (ret)
		return false;
	wait_until(s->opened > before, 2000);
	if (!wait_until(!vdev_detach(&nl, FIXED, VDISK_DETACH_PLAIN, &reply), 20000))
		return false;
	tale_read(t, &dev);
	return true;
}

static void scan_race(bool polite)
{
	unsigned int i, cycles = full_run() ? 200 : scaled(12), odd = 0, adds = 0, removes = 0;
	struct scanner s = { .polite = polite, .turn = PTHREAD_MUTEX_INITIALIZER };
	const char *who = polite ? "somebody" : "somebody who does not wait for its name";
	int fd = part_file("scan", 4);
	struct tale t;

	pthread_create(&s.thread, NULL, scan_thread, &s);
	for (i = 0; i < cycles && scan_cycle(&s, fd, &t); i++) {
		adds += t.part_add;
		removes += t.part_remove;
		if (is_even(&t, polite))
			continue;
		odd++;
		diag("cycle %u: disk +%u -%u, partitions +%u -%u", i, t.disk_add, t.disk_remove,
		     t.part_add, t.part_remove);
	}
	s.stop = true;
	pthread_join(s.thread, NULL);
	if (!is_num(i, cycles, "attached and detached while %s scans", who))
		diag("%s", reply.text);
	is_num(odd, 0, "each disk comes and goes once%s",
	       polite ? ", partitions as often as they came" : "");
	ok(s.scanned > 0, "the scanner did scan");
	diag("%u opens, %u scans; %u partitions added, %u removed", s.opened, s.scanned, adds,
	     removes);
	close(fd);
	unlink(path_in(place_ext4(), "scan"));
}

static void scan_races(void)
{
	scan_race(true);
	scan_race(false);
}

/* No scan by somebody else: each event once, in each cycle. */
static void events_once(void)
{
	static const unsigned int parts[] = { 0, 2, 4 };
	unsigned int i, k, wrong, cycles = full_run() ? 50 : scaled(4);
	struct vdev dev;
	struct tale t;
	int fd;

	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		fd = part_file("once", parts[i]);
		for (k = wrong = 0; k < cycles; k++) {
			if (attach_fixed(fd, 0, &dev) ||
			    vdev_detach(&nl, FIXED, VDISK_DETACH_PLAIN, &reply) ||
			    !wait_until(vdev_gone(&nl, FIXED), 20000))
				wrong++;
			tale_read(&t, &dev);
			if (t.disk_add != 1 || t.disk_remove != 1 || t.disk_change ||
			    t.part_add != parts[i] || t.part_remove != parts[i] || t.part_change)
				wrong++;
		}
		is_num(wrong, 0, "%u partitions: one event of each kind, each time", parts[i]);
		close(fd);
	}
	unlink(path_in(place_ext4(), "once"));
}

/* ------------------------------------------------------------------ read-only */

static int set_ro(const char *node, int ro)
{
	int fd = open(node, O_RDONLY | O_CLOEXEC), ret;

	if (fd < 0)
		return -errno;
	ret = ioctl(fd, BLKROSET, &ro) ? -errno : 0;
	close(fd);
	return ret;
}

/* Of an open for writing, or of the write. */
static int write_error(const char *node)
{
	int fd = open(node, O_RDWR | O_DIRECT | O_CLOEXEC), ret;
	u8 *buf;

	if (fd < 0)
		return -errno;
	buf = xalloc(4096);
	ret = pwrite(fd, buf, 4096, 4096) == 4096 ? 0 : -errno;
	close(fd);
	free(buf);
	return ret;
}

static void ro_ioctl(void)
{
	int fd = part_file("ro", 2), held;
	u8 *buf = xalloc(4096);
	struct vdev dev;

	if (attach_fixed(fd, 0, &dev))
		bail("attach: %s", reply.text);
	held = vdev_open(&dev, O_RDWR | O_DIRECT);
	is_err(set_ro(dev.path, 1), 0, "BLKROSET");
	is_str(vdev_sysfs(&dev, "ro"), "1", "sysfs says so");
	is_num(bdev_is_ro(held), 1, "and the ioctl, to who has it open");
	is_err(write_error(dev.path), -EPERM, "nobody can write to it");
	is_err(set_ro(dev.path, 0), 0, "BLKROSET back");
	is_err(write_error(dev.path), 0, "everybody can");
	ok(pwrite_all(held, buf, 4096, DISK - 4096), "who had it open, too");
	close(held);

	is_err(set_ro("/dev/vdisk55p1", 1), 0, "BLKROSET of a partition");
	is_err(write_error("/dev/vdisk55p1"), -EPERM, "it cannot be written to");
	is_err(write_error("/dev/vdisk55p2"), 0, "its neighbour can");
	is_err(write_error(dev.path), 0, "and the disk");
	is_err(vdev_detach(&nl, FIXED, VDISK_DETACH_PLAIN, &reply), 0, "detach");

	if (attach_fixed(fd, VDISK_F_RDONLY, &dev))
		bail("attach: %s", reply.text);
	is_err(set_ro(dev.path, 0), -EACCES, "attached read-only: BLKROSET does not lift it");
	is_err(write_error(dev.path), -EROFS, "who would write cannot open it");
	set_ro("/dev/vdisk55p1", 0);
	is_err(write_error("/dev/vdisk55p1"), -EROFS, "nor by way of a partition");
	is_err(vdev_detach(&nl, FIXED, VDISK_DETACH_PLAIN, &reply), 0, "detach");
	free(buf);
	close(fd);
	unlink(path_in(place_ext4(), "ro"));
}

/* ------------------------------------------------------------------- capacity */

static void check_size(int fd, u64 size)
{
	u8 *buf = xalloc(4096);
	struct vdev dev;
	int dfd;

	if (attach_raw(&nl, fd, size, 0, &dev, &reply))
		bail("attach: %s", reply.text);
	dfd = vdev_open(&dev, O_RDWR | O_DIRECT);
	is_num(bdev_size(dfd), size, "BLKGETSIZE64 of %llu", (unsigned long long)size);
	is_num(disk_get(disk_name(&dev), "size") * SECTOR, size, "and sysfs");
	is_num(lseek(dfd, 0, SEEK_END), size, "and lseek");
	ok(pwrite(dfd, buf, SECTOR, size - SECTOR) == SECTOR &&
	   pread(dfd, buf, SECTOR, size - SECTOR) == SECTOR, "the last sector can be used");
	ok(pread(dfd, buf, SECTOR, size) == 0, "there is none after it");
	ok(pwrite(dfd, buf, SECTOR, size) < 0 && errno == ENOSPC, "ENOSPC for who writes there");
	close(dfd);
	is_err(vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply), 0, "detach");
}

static void capacity(void)
{
	static const u64 sizes[] = { SECTOR, 4096 - SECTOR, MIB + SECTOR, 5 * MIB };
	int fd = make_file(path_in(place_ext4(), "size"), DISK);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		check_size(fd, sizes[i]);
	close(fd);
	unlink(path_in(place_ext4(), "size"));
}

/* The size is what ATTACH said: a file that grows is none of the disk's business. */
static void file_grows(void)
{
	const char *path = path_in(place_ext4(), "grows");
	int fd = make_file(path, MIB), dfd;
	struct vdev dev;
	struct tale t;

	if (attach_raw(&nl, fd, MIB, 0, &dev, &reply))
		bail("attach: %s", reply.text);
	close(fd);
	tale_read(&t, &dev);
	is_err(truncate(path, 2 * MIB) ? -errno : 0, 0, "the file grows");
	dfd = vdev_open(&dev, O_RDWR);
	ioctl(dfd, BLKRRPART, 0);
	is_num(bdev_size(dfd), MIB, "the disk does not");
	close(dfd);
	tale_read(&t, &dev);
	is_num(t.resize, 0, "and nobody is told that it did");
	is_err(vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply), 0, "detach");
	unlink(path);
}

/* ---------------------------------------------------------------- block sizes */

static void sectors_4k(void)
{
	int fd = make_file(path_in(place_ext4(), "4k"), DISK), dfd, size = 0;
	u8 *buf = xalloc(8192);
	struct nl_req req;
	struct vdev dev;

	nl_begin(&req, VDISK_CMD_ATTACH);
	attach_member(&req, fd, VDISK_MEMBER_RW);
	nl_put_u32(&req, VDISK_A_SECTOR_SIZE, 4096);
	attach_image(&req, VDISK_FORMAT_RAW, DISK);
	attach_segment(&req, VDISK_SEG_RAW, 0, 0, DISK, 0);
	if (attach_send(&nl, &req, &dev, &reply))
		bail("attach: %s", reply.text);
	dfd = vdev_open(&dev, O_RDWR | O_DIRECT);
	ioctl(dfd, BLKSSZGET, &size);
	is_num(size, 4096, "BLKSSZGET");
	ok(pread(dfd, buf, SECTOR, 0) < 0 && errno == EINVAL, "512 bytes: EINVAL");
	ok(pread(dfd, buf, 4096, SECTOR) < 0 && errno == EINVAL, "at byte 512: EINVAL");
	ok(put_pattern(dfd, 4096, 8192, 1) && has_pattern(dfd, 4096, 8192, 1), "4096 bytes work");
	is_err(bdev_discard(dfd, SECTOR, 4096), -EINVAL, "a discard at byte 512: EINVAL");
	close(dfd);
	dfd = vdev_open(&dev, O_RDWR);
	memset(buf, 0x5a, 7);
	ok(pwrite(dfd, buf, 7, 8190) == 7 && !fsync(dfd), "buffered: any bytes");
	close(dfd);
	is_err(vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply), 0, "detach");
	ok(pread_all(fd, buf, 16, 8186) && !memcmp(buf + 4, "ZZZZZZZ", 7),
	   "they are in the file");
	ok(is_pattern(buf + 11, 5, 8197, 1), "beside what was there");
	free(buf);
	close(fd);
	unlink(path_in(place_ext4(), "4k"));
}

/* --------------------------------------------------------------- many at once */

static void many(void)
{
	unsigned int i, count = full_run() ? 64 : 16, good = 0, own = 0;
	struct vdev devs[64];
	int fds[64], dfd;

	for (i = 0; i < count; i++) {
		fds[i] = memfd_create("many", MFD_CLOEXEC);
		if (ftruncate(fds[i], MIB) || attach_raw(&nl, fds[i], MIB, 0, &devs[i], &reply))
			break;
		dfd = vdev_open(&devs[i], O_RDWR);
		good += put_pattern(dfd, 0, 4096, i + 1) && !fsync(dfd);
		close(dfd);
	}
	is_num(good, count, "%u disks at once, each written to", count);
	while (i--) {
		vdev_detach(&nl, devs[i].id, VDISK_DETACH_PLAIN, &reply);
		own += has_pattern(fds[i], 0, 4096, i + 1);
		close(fds[i]);
	}
	is_num(own, count, "each file has what its disk got");
}

static const struct contract contracts[] = {
	{ "scan-race", scan_races },
	{ "events-once", events_once },
	{ "read-only", ro_ioctl },
	{ "capacity", capacity },
	{ "file-grows", file_grows },
	{ "sectors-4k", sectors_4k },
	{ "many", many },
};

int main(int argc, char **argv)
{
	return suite_main(argc, argv, "attach", contracts, ARRAY_SIZE(contracts));
}
