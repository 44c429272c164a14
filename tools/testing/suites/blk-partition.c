// SPDX-License-Identifier: GPL-2.0-only
/* Partitions: by ioctl, by scan, in use, in a race. Each event once. */
#include <errno.h>
#include <fcntl.h>
#include <linux/blkpg.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "suite.h"

#define DISK	(16 * MIB)
#define ODD	(63 * SECTOR)	/* a start that no unit begins at */

static int blkpg(int fd, int op, int nr, u64 start, u64 len)
{
	struct blkpg_partition part = { .start = start, .length = len, .pno = nr };
	struct blkpg_ioctl_arg arg = { .op = op, .datalen = sizeof(part), .data = &part };

	return ioctl(fd, BLKPG, &arg) ? -errno : 0;
}

static int part_open(const struct subject *s, unsigned int nr, int flags)
{
	char node[48];
	int fd;

	snprintf(node, sizeof(node), "%sp%u", s->dev.path, nr);
	fd = open(node, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static u64 part_sysfs(const struct subject *s, unsigned int nr, const char *attr)
{
	char path[64];

	snprintf(path, sizeof(path), "%sp%u/%s", disk_name(&s->dev), nr, attr);
	return strtoull(vdev_sysfs(&s->dev, path), NULL, 10);
}

static void by_ioctl(void)
{
	struct subject s;
	struct tale t;
	int fd, pfd;

	subject_make(&s, SUBJECT_VMDK, DISK, 0);
	tale_read(&t, &s.dev);
	fd = vdev_open(&s.dev, O_RDWR);
	is_err(blkpg(fd, BLKPG_ADD_PARTITION, 1, MIB, 4 * MIB), 0, "a partition is added");
	is_err(blkpg(fd, BLKPG_ADD_PARTITION, 2, 4 * MIB, MIB), -EBUSY, "one that overlaps is not");
	is_err(blkpg(fd, BLKPG_ADD_PARTITION, 1, 8 * MIB, MIB), -EBUSY, "nor the same number");
	is_err(blkpg(fd, BLKPG_ADD_PARTITION, 2, DISK, MIB), -EINVAL, "nor one past the end");
	is_err(blkpg(fd, BLKPG_ADD_PARTITION, 2, MIB + 100, MIB), -EINVAL, "nor an odd start");
	tale_read(&t, &s.dev);
	is_num(t.part_add, 1, "one ADD");
	is_num(t.part_remove + t.part_change + t.disk_add + t.disk_remove, 0, "and no other event");

	is_num(part_sysfs(&s, 1, "start"), MIB / SECTOR, "its start in sysfs");
	is_num(part_sysfs(&s, 1, "size"), 4 * MIB / SECTOR, "its size");
	is_err(blkpg(fd, BLKPG_RESIZE_PARTITION, 1, MIB, 6 * MIB), 0, "it grows");
	is_num(part_sysfs(&s, 1, "size"), 6 * MIB / SECTOR, "sysfs knows");
	pfd = part_open(&s, 1, O_RDWR);
	is_num(bdev_size(pfd), 6 * MIB, "BLKGETSIZE64 knows");
	is_err(blkpg(fd, BLKPG_DEL_PARTITION, 1, 0, 0), -EBUSY, "open, it is not deleted");
	close(pfd);
	tale_read(&t, &s.dev);
	is_err(blkpg(fd, BLKPG_DEL_PARTITION, 1, 0, 0), 0, "closed, it is");
	tale_read(&t, &s.dev);
	is_num(t.part_remove, 1, "one REMOVE");
	is_num(t.part_add, 0, "and no ADD");
	close(fd);
	subject_end(&s);
}

static bool write_table(const struct subject *s, const char *table)
{
	return works("sh", "-c", "echo \"$0\" | sfdisk -q --no-reread --no-tell-kernel \"$1\"",
		     table, s->dev.path, NULL);
}

/* sfdisk as people use it, and BLKRRPART alone. */
static void by_scan(void)
{
	struct subject s;
	struct tale t;
	int fd, pfd;

	subject_make(&s, SUBJECT_VDI, DISK, 0);
	tale_read(&t, &s.dev);
	ok(works("sh", "-c", "printf 'label: gpt\\nsize=2048\\nsize=4096\\n' | sfdisk -q \"$0\"",
		 s.dev.path, NULL), "sfdisk writes a table");
	tale_read(&t, &s.dev);
	is_num(t.part_add, 2 + t.part_remove, "two partitions are there");
	ok(vdev_has_partition(&s.dev, 2) && !vdev_has_partition(&s.dev, 3), "those of the table");

	fd = vdev_open(&s.dev, O_RDWR);
	is_err(ioctl(fd, BLKRRPART, 0) ? -errno : 0, 0, "BLKRRPART");
	tale_read(&t, &s.dev);
	is_num(t.part_remove, 2, "each goes once");
	is_num(t.part_add, 2, "and comes once");
	is_num(t.disk_add + t.disk_remove, 0, "the disk stays");

	pfd = part_open(&s, 2, O_RDONLY);
	is_err(ioctl(fd, BLKRRPART, 0) ? -errno : 0, -EBUSY, "a partition is open: EBUSY");
	tale_read(&t, &s.dev);
	is_num(t.part_remove + t.part_add, 0, "and none went");
	is_err(vdev_detach(&nl, s.dev.id, VDISK_DETACH_PLAIN, &reply), -EBUSY, "nor does the disk");
	close(pfd);
	ok(write_table(&s, "label: dos"), "an empty table");
	is_err(ioctl(fd, BLKRRPART, 0) ? -errno : 0, 0, "BLKRRPART");
	tale_read(&t, &s.dev);
	is_num(t.part_remove, 2, "both go");
	is_num(t.part_add, 0, "none comes");
	close(fd);
	subject_end(&s);
}

/* Bytes of a partition are where its start says, and nowhere else. */
static void offsets(void)
{
	u64 len = 2 * MIB + SECTOR, where;
	struct shadow shadow;
	struct subject s;
	u8 *buf = xalloc(len);
	int fd, pfd;

	subject_make(&s, SUBJECT_VMDK, DISK, 0);
	shadow_init(&shadow, DISK);
	fd = vdev_open(&s.dev, O_RDWR | O_DIRECT);
	is_err(blkpg(fd, BLKPG_ADD_PARTITION, 1, ODD, len), 0, "a partition at sector 63");
	pfd = part_open(&s, 1, O_RDWR | O_DIRECT);
	put_pattern(fd, 0, 4 * MIB, 5);
	pattern(buf, len, 0, 6);
	ok(pwrite_all(pfd, buf, len, 0), "it is filled");
	ok(pwrite(pfd, buf, SECTOR, len) < 0 && errno == ENOSPC, "it ends where it ends");
	ok(has_pattern(fd, 0, ODD, 5), "before it, the disk is as it was");
	ok(has_pattern(fd, ODD + len, 4 * MIB - ODD - len, 5), "and behind it");
	is_err(bdev_discard(pfd, 0, len), 0, "all of it is discarded");
	ok(has_pattern(fd, 0, ODD, 5) && has_pattern(fd, ODD + len, 4 * MIB - ODD - len, 5),
	   "the disk around it stays");
	pread_all(fd, shadow.data, 4 * MIB, 0);
	pread_all(pfd, buf, len, 0);
	ok(shadow_check(&shadow, ODD, buf, len, &where), "disk and partition read the same");
	close(pfd);
	is_err(blkpg(fd, BLKPG_DEL_PARTITION, 1, 0, 0), 0, "it goes");
	close(fd);
	subject_detach(&s);
	ok(chain_equals(&s.chain, &shadow), "and the image has it all");
	chain_remove(&s.chain);
	shadow_free(&shadow);
	free(buf);
}

/* ---------------------------------------------------------------------- races */

struct racer {
	pthread_t thread;
	const struct subject *s;
	unsigned int role;
	atomic_bool *stop;
	atomic_uint done, bad;
};

/* Where the partition of @size bytes begins: each has a size of its own. */
static u64 starts_at(u64 size)
{
	return size == 2 * MIB ? 2 * MIB : size == MIB ? 4 * MIB : 8 * MIB;
}

static void use_partition(struct racer *r, u8 *buf)
{
	int fd = part_open(r->s, 1 + r->role % 2, O_RDONLY | O_DIRECT);
	u64 size = 0;

	if (fd < 0)
		return;
	/*
	 * A partition that is deleted under an opener may fail, but never lie. It need not be
	 * the one of the name: between looking that up and opening what it stands for, the
	 * number may have gone to another partition. The size tells which.
	 */
	if (!ioctl(fd, BLKGETSIZE64, &size) && pread(fd, buf, 4096, 0) == 4096) {
		r->bad += !is_pattern(buf, 4096, starts_at(size), 7);
		r->done++;
	}
	close(fd);
	/* Or nobody would ever find them all closed. */
	nap();
}

static void *race_thread(void *arg)
{
	struct racer *r = arg;
	u8 *buf = xalloc(4096);
	int fd;

	while (!*r->stop) {
		if (r->role) {
			use_partition(r, buf);
			continue;
		}
		fd = vdev_open(&r->s->dev, O_RDWR);
		if (fd >= 0 && !ioctl(fd, BLKRRPART, 0))
			r->done++;
		close(fd);
	}
	free(buf);
	return NULL;
}

/* Scans against opens and reads of what is scanned, and BLKPG against both. */
static void race(void)
{
	unsigned int i, cycles = full_run() ? 2000 : scaled(150), added = 0;
	struct racer racers[4] = { 0 };
	atomic_bool stop = false;
	struct subject s;
	struct tale t;
	int fd;

	subject_make(&s, SUBJECT_RAW, DISK, 0);
	fd = vdev_open(&s.dev, O_RDWR);
	put_pattern(fd, 0, 10 * MIB, 7);
	fsync(fd);
	write_table(&s, "label: dos\nstart=4096,size=4096\nstart=8192,size=2048");
	ioctl(fd, BLKRRPART, 0);
	ok(vdev_has_partition(&s.dev, 2), "two partitions");
	tale_read(&t, &s.dev);
	for (i = 0; i < ARRAY_SIZE(racers); i++) {
		racers[i] = (struct racer) { .s = &s, .role = i, .stop = &stop };
		pthread_create(&racers[i].thread, NULL, race_thread, &racers[i]);
	}
	for (i = 0; i < cycles; i++) {
		added += !blkpg(fd, BLKPG_ADD_PARTITION, 9, 8 * MIB, MIB / 2);
		blkpg(fd, BLKPG_DEL_PARTITION, 9, 0, 0);
	}
	wait_until(racers[0].done > 9 && racers[1].done && racers[2].done, 20000);
	stop = true;
	for (i = 0; i < ARRAY_SIZE(racers); i++)
		pthread_join(racers[i].thread, NULL);
	diag("%u scans, %u reads of p1, %u of p2, p9 added %u times", racers[0].done,
	     racers[1].done + racers[3].done, racers[2].done, added);
	ok(racers[0].done && racers[1].done && racers[2].done && added, "everybody got something");
	is_num(racers[1].bad + racers[2].bad + racers[3].bad, 0, "nobody read what is not there");
	blkpg(fd, BLKPG_DEL_PARTITION, 9, 0, 0);
	is_err(ioctl(fd, BLKRRPART, 0) ? -errno : 0, 0, "a last scan");
	tale_read(&t, &s.dev);
	is_num(t.part_add, t.part_remove, "as many came as went");
	ok(vdev_has_partition(&s.dev, 2) && !vdev_has_partition(&s.dev, 9), "the table's are there");
	close(fd);
	subject_end(&s);
}

/* Pulled out under a writer to a partition. */
static void forced(void)
{
	u8 *buf = xalloc(4096);
	struct subject s;
	struct tale t;
	int fd, pfd;

	subject_make(&s, SUBJECT_VMDK, DISK, 0);
	fd = vdev_open(&s.dev, O_RDWR);
	blkpg(fd, BLKPG_ADD_PARTITION, 1, MIB, 4 * MIB);
	close(fd);
	pfd = part_open(&s, 1, O_RDWR | O_DIRECT);
	ok(pwrite_all(pfd, buf, 4096, 0) && !fsync(pfd), "a partition is in use");
	tale_read(&t, &s.dev);
	is_err(vdev_detach(&nl, s.dev.id, VDISK_DETACH_FORCE, &reply), 0, "detach by force");
	ok(pwrite(pfd, buf, 4096, 4096) < 0, "its writer gets an error");
	ok(pread(pfd, buf, 4096, 0) <= 0, "its reader, too");
	ok(part_open(&s, 1, O_RDONLY) < 0, "nobody opens it again");
	ok(wait_until(vdev_gone(&nl, s.dev.id), 20000), "the disk is gone");
	tale_read(&t, &s.dev);
	is_num(t.part_remove, 1, "one REMOVE of the partition");
	is_num(t.disk_remove, 1, "one REMOVE of the disk");
	close(pfd);
	subject_attach(&s, 0);
	ok(!vdev_has_partition(&s.dev, 1), "attached again, it has no partition");
	fd = vdev_open(&s.dev, O_RDONLY);
	memset(buf, 0, 4096);
	ok(same_content(fd, buf, 4096, MIB), "what was synced is there");
	close(fd);
	subject_end(&s);
	free(buf);
}

static const struct contract contracts[] = {
	{ "ioctl", by_ioctl },
	{ "scan", by_scan },
	{ "offsets", offsets },
	{ "race", race },
	{ "forced-detach", forced },
};

int main(int argc, char **argv)
{
	return suite_main(argc, argv, "partition", contracts, ARRAY_SIZE(contracts));
}
