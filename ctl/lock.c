// SPDX-License-Identifier: GPL-2.0-only
/*
 * Locks on every file of a set, on the descriptors that the kernel gets: they
 * stay until the device is detached, also when vdctl is long gone.
 *
 * QEMU's protocol: one-byte OFD read locks. Byte 100 + i says "I use
 * permission i", 200 + i "I do not share permission i"; i is 0 consistent
 * read, 1 write, 3 resize. Own bytes first, then the test of the others': two
 * starters may both fail, but never both succeed. flock(2) beside it, for
 * everybody who is not QEMU.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <libmount.h>
#include <unistd.h>
#include "image-set.h"

struct lock_byte {
	short at;
	bool write_only;	/* taken or tested by writers only */
	const char *means;
};

static const struct lock_byte held[] = {
	{ 100, false, NULL }, { 101, true, NULL }, { 103, true, NULL },
	{ 201, false, NULL }, { 203, false, NULL },
};

static const struct lock_byte tested[] = {
	{ 200, false, "its user does not share reading" },
	{ 201, true, "its user does not share writing" },
	{ 203, true, "its user does not share resizing" },
	{ 101, false, "it is open for writing" },
	{ 103, false, "it is open for resizing" },
};

static int lock_op(int fd, int op, short type, short at, short *answer)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1 };
	int ret;

	do {
		ret = fcntl(fd, op, &lock);
	} while (ret && errno == EINTR);
	if (answer)
		*answer = lock.l_type;
	return ret ? -errno : 0;
}

/* A file system without OFD locks: go on without, as QEMU does. */
static bool unsupported(int err)
{
	return err == -EINVAL || err == -ENOLCK || err == -EOPNOTSUPP || err == -ENOSYS;
}

/* What somebody holds against us, or NULL. */
static const char *conflict(int fd, bool rw, int *err)
{
	size_t i;
	short type;

	*err = 0;
	for (i = 0; i < ARRAY_SIZE(tested); i++) {
		if (tested[i].write_only && !rw)
			continue;
		*err = lock_op(fd, F_OFD_GETLK, F_WRLCK, tested[i].at, &type);
		if (*err)
			return NULL;
		if (type != F_UNLCK)
			return tested[i].means;
	}
	return NULL;
}

static int in_use(int fd, const char *path, bool rw, const char *means)
{
	bool attach = ctl_attaches();
	int err;

	ctl_error(CTL_BUSY, "locked", path, "is locked by another program: %s", means);
	hint_lock_holders(fd);
	if (rw && attach && !conflict(fd, false, &err))
		ctl_hint("-r reads it beside that program");
	else if (attach)
		ctl_hint("-r --lock=no reads it all the same, while it may be changing");
	else if (!rw)
		ctl_hint("-U reads it all the same");
	return CTL_BUSY;
}

static int take_bytes(int fd, const char *path, bool rw)
{
	size_t i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(held); i++) {
		if (held[i].write_only && !rw)
			continue;
		ret = lock_op(fd, F_OFD_SETLK, F_RDLCK, held[i].at, NULL);
		if (ret == -EAGAIN || ret == -EACCES)
			return in_use(fd, path, rw, "it holds an exclusive lock");
		if (unsupported(ret)) {
			ctl_note(path, "the file system has no byte locks: not locked");
			return 0;
		}
		if (ret)
			return ctl_errno(ret, path, "cannot lock");
	}
	return 0;
}

static int test_bytes(int fd, const char *path, bool rw)
{
	const char *means;
	int ret;

	means = conflict(fd, rw, &ret);
	if (means)
		return in_use(fd, path, rw, means);
	if (ret && !unsupported(ret))
		return ctl_errno(ret, path, "cannot test its lock");
	return 0;
}

/*
 * flock(2) of these is a byte lock of the whole file (see its manual page): it
 * would lie over the bytes that say something, and every byte would say it.
 */
static bool flock_is_bytes(int fd)
{
	static const char *const types[] = { "nfs", "nfs4", "9p", "cifs", "smb3", "afs" };
	struct libmnt_table *table;
	struct libmnt_fs *fs;
	const char *type;
	bool yes = false;
	struct stat st;
	size_t i;

	/* Not by statfs(2): 9p answers for the file system of the server. */
	if (fstat(fd, &st))
		return false;
	table = mnt_new_table_from_file("/proc/self/mountinfo");
	fs = table ? mnt_table_find_devno(table, st.st_dev, MNT_ITER_BACKWARD) : NULL;
	type = fs ? mnt_fs_get_fstype(fs) : NULL;
	for (i = 0; type && i < ARRAY_SIZE(types); i++)
		yes |= !strcmp(type, types[i]);
	mnt_unref_table(table);
	return yes;
}

/*
 * On the node of a block device flock is how udev and partitioning tools agree
 * on a moment's peace; holding it for good would stop udev. A writer has O_EXCL
 * there.
 */
static int take_flock(int fd, const char *path, bool rw, bool block)
{
	if (block || flock_is_bytes(fd))
		return 0;
	if (flock(fd, (rw ? LOCK_EX : LOCK_SH) | LOCK_NB)) {
		if (errno == EWOULDBLOCK)
			return in_use(fd, path, rw, "it holds flock(2)");
		ctl_note(path, "no flock: %s", strerror(errno));
	}
	return 0;
}

int lock_file(int fd, const char *path, bool rw, bool block)
{
	int ret;

	ret = take_bytes(fd, path, rw);
	if (!ret)
		ret = test_bytes(fd, path, rw);
	return ret ? ret : take_flock(fd, path, rw, block);
}

void lock_downgrade(int fd, bool block)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(held); i++)
		if (held[i].write_only)
			lock_op(fd, F_OFD_SETLK, F_UNLCK, held[i].at, NULL);
	if (!block && !flock_is_bytes(fd))
		flock(fd, LOCK_SH | LOCK_NB);
}

/*
 * No byte is free for a moment: all are read locks, so both descriptors can
 * have them. flock is not so.
 */
int lock_move(int from, int to, const char *path, bool block)
{
	int ret;

	ret = take_bytes(to, path, true);
	close(from);
	return ret ? ret : take_flock(to, path, true, block);
}

bool vmware_locked(const char *path)
{
	char *name = xasprintf("%s.lck", path);
	DIR *dir = opendir(name);
	struct dirent *entry;
	bool yes = false;

	free(name);
	if (!dir)
		return false;
	while (!yes && (entry = readdir(dir)))
		yes = entry->d_name[0] != '.';
	closedir(dir);
	return yes;
}

int vmware_lock_check(const struct image_set *set, bool rw)
{
	u32 i;

	if (set->opts->ignore_vmware_lock)
		return 0;
	for (i = 0; i < set->nr_members; i++) {
		const struct set_member *m = &set->members[i];

		if (m->block || !vmware_locked(m->path))
			continue;
		if (!rw || m->image) {
			ctl_warn(m->path, "VMware has it open, says %s.lck; it may change",
				 path_base(m->path));
			continue;
		}
		ctl_error(CTL_BUSY, "locked", m->path, "VMware has it open, says %s.lck",
			  path_base(m->path));
		ctl_hint("if that is stale: --ignore-vmware-lock%s",
			 ctl_attaches() ? "; -r reads it all the same" : "");
		return CTL_BUSY;
	}
	return 0;
}
