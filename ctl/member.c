// SPDX-License-Identifier: GPL-2.0-only
/* Files of an image set: opening without side effects, identity, size. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "image-set.h"

static const char *kind_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR: return "a directory";
	case S_IFCHR: return "a character device";
	case S_IFIFO: return "a pipe";
	case S_IFSOCK: return "a socket";
	default: return "no regular file";
	}
}

/* O_NOATIME is for owners; everybody else reads all the same. */
static int open_via(const char *path, int flags)
{
	int fd = open(path, flags | O_NOATIME);

	if (fd < 0 && errno == EPERM)
		fd = open(path, flags);
	return fd;
}

/*
 * @path_fd is O_PATH: looking at its type first keeps us from opening a tape,
 * a pipe or a socket. The open itself goes through the descriptor, so nobody
 * can swap the file in between.
 */
int reopen_checked(int path_fd, const char *path, bool rw, int *fd)
{
	int flags = O_CLOEXEC | O_NOCTTY | (rw ? O_RDWR : O_RDONLY);
	char via[32];
	struct stat st;
	int err;

	if (fstat(path_fd, &st))
		return ctl_errno(errno, path, NULL);
	if (S_ISBLK(st.st_mode))
		flags |= rw ? O_EXCL : 0;
	else if (S_ISREG(st.st_mode))
		flags |= O_NONBLOCK;
	else
		return ctl_error(CTL_FAIL, "not_an_image", path,
				 "is %s; an image is a regular file or a block device",
				 kind_of(st.st_mode));

	snprintf(via, sizeof(via), "/proc/self/fd/%d", path_fd);
	*fd = open_via(via, flags);
	if (*fd >= 0)
		return 0;
	err = errno;
	if (err == EBUSY && S_ISBLK(st.st_mode)) {
		ctl_error(CTL_BUSY, "busy", path,
			  "the block device is in use (mounted, or part of another device)");
		ctl_hint("lsblk %s", path);
		return CTL_BUSY;
	}
	if (err == ETXTBSY) {
		ctl_error(CTL_BUSY, "busy", path,
			  "must not be written now: it is attached read-only, or a program that runs");
		hint_lock_holders(path_fd);
		if (ctl_attaches())
			ctl_hint("-r reads it beside that");
		return CTL_BUSY;
	}
	return ctl_errno(err, path, rw ? "cannot open for writing" : "cannot open");
}

static char *real_name(int fd, const char *fallback)
{
	char via[32], name[PATH_MAX];
	ssize_t n;

	snprintf(via, sizeof(via), "/proc/self/fd/%d", fd);
	n = readlink(via, name, sizeof(name) - 1);
	if (n <= 0)
		return xstrdup(fallback);
	name[n] = 0;
	return xstrdup(name);
}

int open_named(const char *path, bool rw, struct opened *out)
{
	int path_fd, ret;

	path_fd = open(path, O_PATH | O_CLOEXEC);
	if (path_fd < 0)
		return ctl_errno(errno, path, NULL);
	ret = reopen_checked(path_fd, path, rw, &out->fd);
	close(path_fd);
	if (ret)
		return ret;
	out->writable = rw;
	out->path = real_name(out->fd, path);
	return 0;
}

/* The directory that references are relative to: where the file really is. */
int image_set_dir(struct set_image *image, int fd, const char *path)
{
	char *real = real_name(fd, path);

	image->dir = path_dir(real);
	free(real);
	image->dirfd = open(image->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (image->dirfd < 0)
		return ctl_errno(errno, image->dir, "cannot open the image's directory");
	return 0;
}

int set_find_member(const struct image_set *set, dev_t dev, ino_t ino, bool block)
{
	u32 i;

	for (i = 0; i < set->nr_members; i++) {
		const struct set_member *m = &set->members[i];

		if (m->dev == dev && m->ino == ino && m->block == block)
			return (int)i;
	}
	return -1;
}

static int fill_member(struct set_member *m, const struct opened *file)
{
	struct stat st;
	u64 bytes;

	if (fstat(file->fd, &st))
		return ctl_errno(errno, file->path, NULL);
	m->fd = file->fd;
	m->path = file->path;
	m->writable = file->writable;
	m->uid = st.st_uid;
	m->allocated = (u64)st.st_blocks * 512;
	m->block = S_ISBLK(st.st_mode);
	m->dev = m->block ? st.st_rdev : st.st_dev;
	m->ino = m->block ? 0 : st.st_ino;
	m->size = (u64)st.st_size;
	if (!m->block)
		return 0;
	if (ioctl(file->fd, BLKGETSIZE64, &bytes))
		return ctl_errno(errno, file->path, "cannot ask for its size");
	m->size = bytes;
	m->allocated = bytes;
	return 0;
}

/* Locks speak of files, names of what is found: both must be the same. */
int member_check_there(const struct set_member *m)
{
	struct stat st;

	if (m->block || (!fstat(m->fd, &st) && st.st_nlink))
		return 0;
	return ctl_error(CTL_BUSY, "busy", m->path, "somebody else has just replaced it");
}

/* Takes over @file, also when it fails. */
int set_add_member(struct image_set *set, struct opened *file, u32 image, u32 *member)
{
	struct set_member m = { .image = image };
	int ret, twin;

	ret = fill_member(&m, file);
	if (ret)
		goto err;
	twin = set_find_member(set, m.dev, m.ino, m.block);
	if (twin >= 0) {
		ret = ctl_error(CTL_IMAGE, "used_twice", file->path,
				"the same file is used twice in this image set (also as %s)",
				set->members[twin].path);
		goto err;
	}
	if (set->nr_members == VDISK_MAX_MEMBERS) {
		ret = ctl_error(CTL_IMAGE, "unsupported", file->path,
				"the image set has more than %u files", VDISK_MAX_MEMBERS);
		goto err;
	}
	if (set->opts->lock == SET_LOCK_YES) {
		ret = lock_file(m.fd, m.path, m.writable, m.block);
		if (!ret && m.writable)
			ret = member_check_there(&m);
		if (ret)
			goto err;
	}
	set->members = xrealloc(set->members, set->nr_members + 1, sizeof(m));
	set->members[set->nr_members] = m;
	*member = set->nr_members++;
	return 0;
err:
	close(file->fd);
	free(file->path);
	return ret;
}

void set_pop_members(struct image_set *set, u32 keep)
{
	while (set->nr_members > keep) {
		struct set_member *m = &set->members[--set->nr_members];

		close(m->fd);	/* its locks go with it */
		free(m->path);
	}
}
