// SPDX-License-Identifier: GPL-2.0-only
/* Ways to read and write a disk: fio's engines, odd vectors, flags, control groups. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "suite.h"

#define DISK	(16 * MIB)

/* ------------------------------------------------------------------------ fio */

static const char *fio_size(void)
{
	return full_run() ? "--size=12m" : scale() > 1 ? "--size=256k" : "--size=1m";
}

/* Without its mmap: of a block device, it punches out what it has mapped. */
static const struct fio_job {
	const char *engine, *direct, *more;
} fio_jobs[] = {
	{ "psync", "--direct=0", "--fsync=32" },
	{ "io_uring", "--direct=1", "--fixedbufs=1" },
	{ "libaio", "--direct=1", "--fdatasync=16" },
	{ "io_uring", "--direct=0", "--registerfiles=1" },
	{ "pvsync2", "--direct=1", "--sync=dsync" },
};

/* Writes random blocks by one engine, reads them by it, and knows what they must be. */
static void fio_run(const struct subject *s, const struct fio_job *job)
{
	char file[64], engine[80];

	snprintf(file, sizeof(file), "--filename=%s", s->dev.path);
	snprintf(engine, sizeof(engine), "--ioengine=%s", job->engine);
	ok(works("fio", "--name=job", "--thread", file, engine, job->direct, job->more, fio_size(),
		 "--rw=randrw", "--bsrange=512-64k", "--verify=crc32c", "--verify_fatal=1",
		 "--iodepth=8", "--randseed=7", "--minimal", NULL),
	   "%s: %s, %s, %s", s->what, job->engine, job->direct, job->more);
}

static void engines(void)
{
	struct subject s;
	unsigned int i, k;

	for (i = 0; i < SUBJECT_KINDS; i++) {
		subject_make(&s, i, DISK, VDISK_F_NO_PARTSCAN);
		/* In a smoke test, one for each. */
		for (k = 0; k < ARRAY_SIZE(fio_jobs); k++) {
			if (full_run() || k == i)
				fio_run(&s, &fio_jobs[k]);
		}
		ok(blk_idle(&s.dev), "%s: nothing is under way", s.what);
		subject_end(&s);
	}
}

/* ---------------------------------------------------------------------- flags */

/* At once or not at all, and never something else than the data. */
static void check_flag(struct subject *s, int fd, int flag, const char *name)
{
	unsigned int again = 0, good = 0, refused = 0, wrong = 0, i;
	u8 *buf = xalloc(4096);
	struct iovec iov = { buf, 4096 };
	ssize_t n;

	for (i = 0; i < 64; i++) {
		memset(buf, 0xee, 4096);
		n = preadv2(fd, &iov, 1, i * 64 * KIB, flag);
		if (n == 4096 && is_pattern(buf, 4096, i * 64 * KIB, 3))
			good++;
		else if (n < 0 && errno == EAGAIN)
			again++;
		else if (n < 0 && errno == EOPNOTSUPP)
			refused++;
		else
			wrong++;
	}
	is_num(wrong, 0, "%s: %s: data, EAGAIN or EOPNOTSUPP", s->what, name);
	diag("%s: %s: %u read, %u EAGAIN, %u EOPNOTSUPP", s->what, name, good, again, refused);
	/* All that it would have waited for is there if it is asked to wait. */
	ok(has_pattern(fd, 0, 64 * KIB, 3), "%s: %s: waiting, it is read", s->what, name);
	pattern(buf, 4096, 0, 4);
	n = pwritev2(fd, &iov, 1, 0, flag);
	ok(n == 4096 ? has_pattern(fd, 0, 4096, 4) :
	   n < 0 && (errno == EAGAIN || errno == EOPNOTSUPP) && has_pattern(fd, 0, 4096, 3),
	   "%s: %s: a write is done or not", s->what, name);
	put_pattern(fd, 0, 4096, 3);
	free(buf);
}

static void flags(void)
{
	struct subject s;
	unsigned int i;
	int fd;

	for (i = 0; i < SUBJECT_KINDS; i++) {
		subject_make(&s, i, DISK, VDISK_F_NO_PARTSCAN);
		fd = vdev_open(&s.dev, O_RDWR | O_DIRECT);
		put_pattern(fd, 0, 8 * MIB, 3);
		check_flag(&s, fd, RWF_NOWAIT, "RWF_NOWAIT");
		check_flag(&s, fd, RWF_HIPRI, "RWF_HIPRI");
		close(fd);
		ok(blk_idle(&s.dev), "%s: nothing is under way", s.what);
		subject_end(&s);
	}
}

/* -------------------------------------------------------------------- vectors */

/* More pieces than a request has, of odd lengths, more bytes than it has. */
static void vectors(void)
{
	enum { PIECES = 1000 };
	struct iovec *iov = xalloc(PIECES * sizeof(*iov));
	u8 *pool = xalloc(PIECES * 8192), *want = xalloc(DISK);
	u64 len, total;
	struct subject s;
	struct rng rng;
	unsigned int i, k;
	int fd;

	for (k = 0; k < SUBJECT_KINDS; k++) {
		subject_make(&s, k, DISK, VDISK_F_NO_PARTSCAN);
		fd = vdev_open(&s.dev, O_RDWR | O_DIRECT);
		rng_seed(&rng, k + 1);
		pattern(want, DISK, 0, 5);
		for (i = 0, total = 0; i < PIECES; i++, total += len) {
			len = (1 + rng_below(&rng, 7)) * SECTOR;
			/* Memory at any sector, never merged with its neighbour. */
			iov[i].iov_base = pool + i * 8192 + rng_below(&rng, 8) * SECTOR;
			iov[i].iov_len = len;
			memcpy(iov[i].iov_base, want + SECTOR + total, len);
		}
		ok(pwritev(fd, iov, PIECES, SECTOR) == (ssize_t)total,
		   "%s: %u pieces, %llu bytes are written", s.what, PIECES,
		   (unsigned long long)total);
		ok(has_pattern(fd, SECTOR, total, 5), "%s: they are there", s.what);
		memset(pool, 0, PIECES * 8192);
		ok(preadv(fd, iov, PIECES, SECTOR) == (ssize_t)total, "%s: and read in pieces",
		   s.what);
		for (i = 0, total = 0, len = 0; i < PIECES; total += iov[i++].iov_len)
			len += !!memcmp(iov[i].iov_base, want + SECTOR + total, iov[i].iov_len);
		is_num(len, 0, "%s: wrong pieces", s.what);
		close(fd);
		subject_end(&s);
	}
	free(iov);
	free(pool);
	free(want);
}

/* One call larger than any request: as few requests as the limits allow. */
static void split(void)
{
	struct blk_stat a, b;
	struct subject s;
	u64 kb;
	int fd;

	subject_make(&s, SUBJECT_VMDK, DISK, VDISK_F_NO_PARTSCAN);
	fd = vdev_open(&s.dev, O_RDWR | O_DIRECT);
	is_err(disk_set(disk_name(&s.dev), "queue/max_sectors_kb", "256"), 0, "256 KiB a request");
	kb = disk_get(disk_name(&s.dev), "queue/max_sectors_kb");
	a = blk_rest(&s.dev);
	ok(put_pattern(fd, 0, 8 * MIB, 6), "8 MiB in one call");
	b = blk_rest(&s.dev);
	ok(b.writes - a.writes >= 8 * MIB / KIB / kb, "%llu requests",
	   (unsigned long long)(b.writes - a.writes));
	is_num(b.write_sectors - a.write_sectors, 8 * MIB / SECTOR, "which are 8 MiB");
	/* Refused or cut off, as the kernel's version has it. */
	disk_set(disk_name(&s.dev), "queue/max_sectors_kb", "100000");
	ok(disk_get(disk_name(&s.dev), "queue/max_sectors_kb") <=
	   disk_get(disk_name(&s.dev), "queue/max_hw_sectors_kb"), "never more than the driver takes");
	ok(has_pattern(fd, 0, 8 * MIB, 6), "it reads the same");
	close(fd);
	subject_end(&s);
}

static void misaligned(void)
{
	u8 *buf = xalloc(8192);
	struct subject s;
	unsigned int mask;
	int fd;

	subject_make(&s, SUBJECT_RAW, DISK, VDISK_F_NO_PARTSCAN);
	fd = vdev_open(&s.dev, O_RDWR | O_DIRECT);
	mask = disk_get(disk_name(&s.dev), "queue/dma_alignment");
	is_num(mask, SECTOR - 1, "dma_alignment");
	ok(pread(fd, buf, SECTOR, 1) < 0 && errno == EINVAL, "at byte 1: EINVAL");
	ok(pread(fd, buf, 100, 0) < 0 && errno == EINVAL, "100 bytes: EINVAL");
	ok(pread(fd, buf + 1, SECTOR, 0) < 0 && errno == EINVAL, "memory at byte 1: EINVAL");
	ok(pread(fd, buf + SECTOR, SECTOR, SECTOR) == SECTOR, "memory at a sector: data");
	ok(pread(fd, buf, 0, 0) == 0, "0 bytes are 0 bytes");
	close(fd);
	subject_end(&s);
	free(buf);
}

/* Stores to a mapping of the node; what other ways of reading make of them. */
static void mapped(void)
{
	struct subject s;
	unsigned int i;
	int fd, direct;
	u8 *map;

	for (i = 0; i < SUBJECT_KINDS; i++) {
		subject_make(&s, i, DISK, VDISK_F_NO_PARTSCAN);
		fd = vdev_open(&s.dev, O_RDWR);
		direct = vdev_open(&s.dev, O_RDWR | O_DIRECT);
		put_pattern(direct, 4 * MIB, MIB, 8);
		map = mmap(NULL, DISK, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		ok(map != MAP_FAILED && is_pattern(map + 4 * MIB, MIB, 4 * MIB, 8),
		   "%s: a mapping has what was written", s.what);
		pattern(map + 5 * MIB, MIB, 5 * MIB, 8);
		is_err(msync(map, DISK, MS_SYNC) ? -errno : 0, 0, "%s: msync", s.what);
		ok(has_pattern(direct, 5 * MIB, MIB, 8), "%s: what is stored is on the disk",
		   s.what);
		/* The page cache gives way to a direct write. */
		put_pattern(direct, 5 * MIB, MIB, 9);
		ok(is_pattern(map + 5 * MIB, MIB, 5 * MIB, 9), "%s: it follows direct writes",
		   s.what);
		munmap(map, DISK);
		close(direct);
		close(fd);
		subject_end(&s);
	}
}

/* ------------------------------------------------------------- control groups */

#define GROUP	"/sys/fs/cgroup/vdt"

/* Bytes that io.stat has of a device for @what: rbytes=, wbytes=. */
static u64 group_stat(const struct vdev *dev, const char *what)
{
	char text[4096], key[32];
	const char *line, *value;

	snprintf(key, sizeof(key), "%u:%u ", dev->major, dev->minor);
	if (!read_text(GROUP "/io.stat", text, sizeof(text)))
		return 0;
	line = strstr(text, key);
	value = line ? strstr(line, what) : NULL;
	return value ? strtoull(value + strlen(what), NULL, 10) : 0;
}

static bool group_make(void)
{
	write_text("/sys/fs/cgroup/cgroup.subtree_control", "+io");
	mkdir(GROUP, 0755);
	return exists(GROUP "/io.max");
}

/* In the group: @count direct reads of 64 KiB; the exit status is that of the last. */
static pid_t group_reader(const struct vdev *dev, unsigned int count)
{
	pid_t pid = fork();
	u8 *buf;
	int fd;

	if (pid)
		return pid;
	if (!write_text(GROUP "/cgroup.procs", "0"))
		_exit(9);
	fd = vdev_open(dev, O_RDONLY | O_DIRECT);
	buf = xalloc(64 * KIB);
	while (count && pread(fd, buf, 64 * KIB, (u64)--count * 64 * KIB) == 64 * KIB)
		;
	_exit(count ? 1 : 0);
}

static bool group_limit(const struct vdev *dev, const char *reads)
{
	char limit[64];

	snprintf(limit, sizeof(limit), "%u:%u riops=%s", dev->major, dev->minor, reads);
	return write_text(GROUP "/io.max", limit);
}

/*
 * 6.1 locks up a processor when a disk goes whose I/O it holds back for a group: null_blk
 * with the same limit, power switched off, is enough. Later kernels look whether the group
 * is queued already, before they queue it to cancel what it has.
 */
static bool kernel_lets_go(void)
{
	struct utsname uts;

	return !uname(&uts) && strncmp(uts.release, "6.1.", 4);
}

static void cgroup(void)
{
	struct subject s;
	int status, fd;
	pid_t pid;

	if (!group_make()) {
		skip("no io controller", "control groups");
		return;
	}
	subject_make(&s, SUBJECT_VMDK, DISK, VDISK_F_NO_PARTSCAN);
	fd = vdev_open(&s.dev, O_RDWR | O_DIRECT);
	put_pattern(fd, 0, 4 * MIB, 1);
	close(fd);
	waitpid(group_reader(&s.dev, 32), &status, 0);
	is_num(status, 0, "a group reads");
	is_num(group_stat(&s.dev, "rbytes="), 2 * MIB, "its bytes are counted as its own");

	if (!kernel_lets_go()) {
		skip("6.1 would lock up, with any disk", "a disk goes while its group waits");
		subject_end(&s);
		ok(wait_until(!rmdir(GROUP), 5000), "the group goes");
		return;
	}
	/* Two reads a second, so that some are held back when the disk goes. */
	ok(group_limit(&s.dev, "2"), "it gets two reads a second");
	pid = group_reader(&s.dev, 32);
	wait_until(group_stat(&s.dev, "rbytes=") > 2 * MIB, 5000);
	is_num(waitpid(pid, &status, WNOHANG), 0, "it waits");
	is_err(vdev_detach(&nl, s.dev.id, VDISK_DETACH_FORCE, &reply), 0, "detach by force");
	ok(wait_until(waitpid(pid, &status, WNOHANG) == pid, 20000), "it waits no more");
	is_num(WEXITSTATUS(status), 1, "it got an error");
	ok(wait_until(vdev_gone(&nl, s.dev.id), 5000), "the disk is gone");
	/* If it was not so: neither reader nor disk may stay behind. */
	group_limit(&s.dev, "max");
	wait_until(vdev_gone(&nl, s.dev.id), 20000);
	ok(wait_until(!rmdir(GROUP), 5000), "and the group");
	subject_attach(&s, 0);
	subject_end(&s);
}

static const struct contract contracts[] = {
	{ "engines", engines },
	{ "flags", flags },
	{ "vectors", vectors },
	{ "split", split },
	{ "misaligned", misaligned },
	{ "mapped", mapped },
	{ "cgroup", cgroup },
};

int main(int argc, char **argv)
{
	return suite_main(argc, argv, "io", contracts, ARRAY_SIZE(contracts));
}
