// SPDX-License-Identifier: GPL-2.0-only
/* File systems through the life of a disk: pulled out, frozen, trimmed, full, read-only. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/wait.h>
#include <unistd.h>

#include "suite-fs.h"

#define NR_FILES	24

static const char *file_name(unsigned int i)
{
	static char names[4][16];
	static unsigned int next;
	char *name = names[next++ % ARRAY_SIZE(names)];

	snprintf(name, sizeof(names[0]), "f%u", i);
	return name;
}

static u64 file_len(unsigned int i)
{
	return 1000 + i * 7777;
}

/* ------------------------------------------------------------------ log replay */

/* Every other file is synced; the disk goes while the last one is written. */
static void pulled_out(struct fs *fs)
{
	unsigned int i, lost = 0, wrong = 0;

	for (i = 0; i < NR_FILES; i++)
		wrong += !fs_write(fs, file_name(i), file_len(i), i + 1, i % 2);
	is_num(wrong, 0, "%s: files are written, half of them synced", fs->what);
	is_err(vdev_detach(&nl, fs->s.dev.id, VDISK_DETACH_FORCE, &reply), 0, "%s: detach by force",
	       fs->what);
	ok(!fs_write(fs, "late", MIB, 1, true), "%s: nothing is synced any more", fs->what);
	/* What it cannot write any more is no news. */
	if (umount(fs->root))
		umount2(fs->root, MNT_DETACH);
	ok(wait_until(vdev_gone(&nl, fs->s.dev.id), 20000), "%s: the disk is gone", fs->what);
	fs->mounted = false;

	subject_attach(&fs->s, VDISK_F_NO_PARTSCAN);
	if (!fs_mount(fs, 0, NULL))
		return;
	for (i = 1; i < NR_FILES; i += 2)
		lost += !fs_same(fs, file_name(i), file_len(i), i + 1);
	is_num(lost, 0, "%s: its log replayed, every synced file is there", fs->what);
	ok(fs_write(fs, "after", MIB, 3, true), "%s: and it can be written to", fs->what);
}

static void log_replay(void)
{
	fs_each(pulled_out, NULL, 2);
}

/* --------------------------------------------------------------------- freeze */

struct late {
	pthread_t thread;
	const struct fs *fs;
	atomic_bool begun, done;
};

static void *write_late(void *arg)
{
	struct late *late = arg;

	late->begun = true;
	fs_write(late->fs, "late", 64 * KIB, 5, true);
	late->done = true;
	return NULL;
}

/* A copy of a frozen disk's file is a whole disk; XFS leaves its log to be replayed. */
static void check_copy(struct fs *fs)
{
	struct image *image = &fs->s.chain.images[0];
	struct fs copy = *fs;

	snprintf(copy.s.chain.images[0].path, sizeof(image->path), "%s/copy", place_ext4());
	strcpy(copy.s.chain.images[0].extents[0].path, copy.s.chain.images[0].path);
	copy_file(image->path, copy.s.chain.images[0].path);
	subject_attach(&copy.s, VDISK_F_NO_PARTSCAN);
	snprintf(copy.root, sizeof(copy.root), "%s/copy", scratch_dir());
	mkdir(copy.root, 0755);
	/* It is another's twin. */
	if (fs_mount(&copy, 0, copy.type == FS_XFS ? "nouuid" : NULL)) {
		ok(fs_same(&copy, "early", MIB, 4), "%s: its copy has what was written", fs->what);
		fs_umount(&copy);
	}
	fs_check(&copy);
	subject_detach(&copy.s);
	unlink(copy.s.chain.images[0].path);
	rmdir(copy.root);
}

static void frozen(struct fs *fs)
{
	struct late late = { .fs = fs };
	int fd = open(fs->root, O_RDONLY | O_CLOEXEC);
	struct blk_stat a, b;

	ok(fs_write(fs, "early", MIB, 4, false), "%s: written, not synced", fs->what);
	is_err(ioctl(fd, FIFREEZE, 0) ? -errno : 0, 0, "%s: FIFREEZE", fs->what);
	a = blk_rest(&fs->s.dev);
	pthread_create(&late.thread, NULL, write_late, &late);
	wait_until(late.begun, 5000);
	is_err(vdev_detach(&nl, fs->s.dev.id, VDISK_DETACH_PLAIN, &reply), -EBUSY,
	       "%s: frozen, the disk is held", fs->what);
	check_copy(fs);
	b = blk_rest(&fs->s.dev);
	is_num(b.writes + b.discards, a.writes + a.discards, "%s: frozen, nothing is written",
	       fs->what);
	ok(!late.done, "%s: who writes waits", fs->what);
	is_err(ioctl(fd, FITHAW, 0) ? -errno : 0, 0, "%s: FITHAW", fs->what);
	pthread_join(late.thread, NULL);
	close(fd);
	ok(fs_same(fs, "late", 64 * KIB, 5), "%s: thawed, it is written", fs->what);
}

static void freeze(void)
{
	fs_each(frozen, NULL, 1);
}

/* -------------------------------------------------------------------- discard */

#define BULK	(16 * MIB)

/* What is deleted gives its space back by itself. */
static void online(struct fs *fs)
{
	u64 before, full;

	before = subject_space(&fs->s);
	ok(fs_write(fs, "bulk", BULK, 6, true), "%s: a large file", fs->what);
	ok(wait_until((full = subject_space(&fs->s)) >= before + BULK * 3 / 4, 5000),
	   "%s: takes space", fs->what);
	is_err(unlink(fs_path(fs, "bulk")) ? -errno : 0, 0, "%s: is deleted", fs->what);
	/* The file systems discard after the transaction that frees. */
	ok(wait_until((sync(), subject_space(&fs->s) + BULK * 3 / 4 <= full), 20000),
	   "%s: the space is free", fs->what);
	diag("%s: %llu KiB, %llu, %llu", fs->what, (unsigned long long)before / KIB,
	     (unsigned long long)full / KIB, (unsigned long long)subject_space(&fs->s) / KIB);
}

static void discard_mount(void)
{
	fs_each(online, "discard", 1);
}

/* -------------------------------------------------------------------- ENOSPC */

static void filled(struct fs *fs)
{
	unsigned int i, wrong = 0;
	int err = 0;

	for (i = 0; !err && i < 100; i++) {
		if (!fs_write(fs, file_name(i), MIB, i + 1, false))
			err = -errno;
	}
	ok(i < 100, "%s: it is full after %u MiB", fs->what, i);
	sync();
	fs_umount(fs);
	fs_check(fs);
	fs_mount(fs, 0, NULL);
	while (i-- > 1)
		wrong += !fs_same(fs, file_name(i - 1), MIB, i);
	is_num(wrong, 0, "%s: all that fitted is there", fs->what);
	is_num(disk_get(disk_name(&fs->s.dev), "vdisk/errors"), 0, "%s: no request failed",
	       fs->what);
}

static void full_fs(void)
{
	struct fs fs;

	fs_make(&fs, SUBJECT_VDI, FS_EXT4, NULL);
	filled(&fs);
	fs_end(&fs);
	if (!full_run())
		return;
	fs_make(&fs, SUBJECT_VMDK, FS_XFS, NULL);
	filled(&fs);
	fs_end(&fs);
}

/* ------------------------------------------------------------------ read-only */

/* Quicker than a hash where the processor is emulated. */
static u64 file_sum(const char *path)
{
	int fd = xopen(path, O_RDONLY);
	u64 *buf = xalloc(MIB), sum = 0;
	ssize_t n, i;

	while ((n = read(fd, buf, MIB)) > 0) {
		for (i = 0; i < n / 8; i++)
			sum = (sum ^ buf[i]) * 0x9e3779b97f4a7c15ULL + (sum >> 32);
	}
	close(fd);
	free(buf);
	return sum;
}

/* A log that wants to be replayed is not, and the image stays as it is. */
static void dirty_log(struct fs *fs)
{
	u64 before;
	const char *path = fs->s.chain.images[0].path;

	fs_write(fs, "synced", 100 * KIB, 7, true);
	vdev_detach(&nl, fs->s.dev.id, VDISK_DETACH_FORCE, &reply);
	if (umount(fs->root))
		umount2(fs->root, MNT_DETACH);
	fs->mounted = false;
	ok(wait_until(vdev_gone(&nl, fs->s.dev.id), 20000), "%s: pulled out", fs->what);
	before = file_sum(path);

	subject_attach(&fs->s, VDISK_F_RDONLY | VDISK_F_HARD_RDONLY | VDISK_F_NO_PARTSCAN);
	ok(mount(fs->s.dev.path, fs->root, fs->type == FS_XFS ? "xfs" : "ext4", MS_RDONLY, NULL),
	   "%s: read-only, a dirty log is no mount", fs->what);
	if (fs_mount(fs, MS_RDONLY, fs->type == FS_XFS ? "norecovery" : "noload"))
		fs_umount(fs);
	subject_detach(&fs->s);
	is_num(file_sum(path), before, "%s: the image is as before", fs->what);

	subject_attach(&fs->s, VDISK_F_NO_PARTSCAN);
	fs_mount(fs, 0, NULL);
	ok(fs_same(fs, "synced", 100 * KIB, 7), "%s: writable, it is replayed", fs->what);
}

static void read_only(void)
{
	fs_each(dirty_log, NULL, 1);
}

/* ----------------------------------------------------------------------- swap */

#define GROUP		"/sys/fs/cgroup/vdt-swap"
#define TOUCHED		(16 * MIB)

/* More memory than it may have, twice written and compared. */
static void touch_memory(void)
{
	u8 *mem = mmap(NULL, TOUCHED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned int round, bad = 0;
	u64 pos;

	if (mem == MAP_FAILED || !write_text(GROUP "/cgroup.procs", "0"))
		_exit(9);
	for (round = 1; round <= 2; round++) {
		for (pos = 0; pos < TOUCHED; pos += 4096)
			pattern(mem + pos, SECTOR, pos, round);
		for (pos = 0; pos < TOUCHED; pos += 4096)
			bad += !is_pattern(mem + pos, SECTOR, pos, round);
	}
	_exit(bad ? 1 : 0);
}

static void swap_file(void)
{
	const char *path;
	struct blk_stat a, b;
	int fd, status;
	struct fs fs;
	pid_t pid;

	write_text("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	mkdir(GROUP, 0755);
	/* Held back, but not killed: reclaim may be slower than who writes. */
	if (!write_text(GROUP "/memory.high", "8388608")) {
		skip("no memory controller", "swap file");
		return;
	}
	fs_make(&fs, SUBJECT_VMDK, FS_EXT4, NULL);
	path = fs_path(&fs, "swap");
	fd = xopen(path, O_RDWR | O_CREAT);
	write_swap_header(fd, 24 * MIB);
	close(fd);
	is_err(swapon(path, 0) ? -errno : 0, 0, "%s: swapon of a file", fs.what);
	a = blk_rest(&fs.s.dev);
	pid = fork();
	if (!pid)
		touch_memory();
	waitpid(pid, &status, 0);
	b = blk_rest(&fs.s.dev);
	is_num(status, 0, "%s: memory that was swapped out comes back right", fs.what);
	ok(b.write_sectors - a.write_sectors > 4 * MIB / SECTOR &&
	   b.read_sectors - a.read_sectors > 4 * MIB / SECTOR, "%s: it did go through the disk",
	   fs.what);
	is_err(vdev_detach(&nl, fs.s.dev.id, VDISK_DETACH_PLAIN, &reply), -EBUSY,
	       "%s: the disk is held", fs.what);
	is_err(swapoff(path) ? -errno : 0, 0, "%s: swapoff", fs.what);
	rmdir(GROUP);
	fs_end(&fs);
}

static const struct contract contracts[] = {
	{ "log-replay", log_replay },
	{ "freeze", freeze },
	{ "discard", discard_mount },
	{ "full", full_fs },
	{ "read-only", read_only },
	{ "swap-file", swap_file },
};

int main(int argc, char **argv)
{
	return suite_main(argc, argv, "mount", contracts, ARRAY_SIZE(contracts));
}
