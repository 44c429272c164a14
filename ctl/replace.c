// SPDX-License-Identifier: GPL-2.0-only
/*
 * Other content for an image's own file: a new file that takes the old one's name,
 * so that whatever stops this leaves one of the two. Owner, mode and extended
 * attributes go over, and the locks; other hard links keep the old content.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "image-set.h"

/**
 * struct replacement - a file that is to take another's place
 * @old: the member
 * @fd, @name: the new one, beside it
 * @doing: what this is part of, for messages
 */
struct replacement {
	const struct set_image *image;
	const struct set_member *old;
	int fd;
	char *name;
	const char *doing;
};

static int failed(const struct replacement *r, const char *what)
{
	char *text = xasprintf("%s: %s", r->doing, what);
	int ret = ctl_errno(errno, r->old->path, text);

	free(text);
	return ret;
}

static int open_new(struct replacement *r)
{
	unsigned int tag;

	if (getrandom(&tag, sizeof(tag), 0) != sizeof(tag))
		tag = (unsigned int)getpid();
	r->name = xasprintf(".%.200s.vdctl-%08x", path_base(r->image->path), tag);
	r->fd = openat(r->image->dirfd, r->name,
		       O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return r->fd < 0 ? failed(r, "a new file beside it") : 0;
}

/* What the file system or our rights do not let go over is said and left. */
static void copy_xattr(int from, int to, const char *name, const char *path)
{
	char value[4096], now[4096];
	ssize_t len = fgetxattr(from, name, value, sizeof(value));

	/* Labels are often there already, and not for us to set. */
	if (len >= 0 && fgetxattr(to, name, now, sizeof(now)) == len &&
	    !memcmp(now, value, (size_t)len))
		return;
	if (len < 0 || fsetxattr(to, name, value, (size_t)len, 0))
		ctl_warn(path, "its attribute %s is lost: %s", name, strerror(errno));
}

void copy_xattrs(int from, int to, const char *path)
{
	char names[4096], *name;
	ssize_t len = flistxattr(from, names, sizeof(names));

	for (name = names; len > 0 && name < names + len; name += strlen(name) + 1)
		copy_xattr(from, to, name, path);
}

static int same_rights(const struct replacement *r)
{
	struct stat st;

	if (fstat(r->old->fd, &st) || fchown(r->fd, st.st_uid, st.st_gid) ||
	    fchmod(r->fd, st.st_mode & 07777))
		return failed(r, "owner and mode");
	if (st.st_nlink > 1)
		ctl_warn(r->old->path, "it has %llu names; the others keep the old content",
			 (unsigned long long)st.st_nlink);
	copy_xattrs(r->old->fd, r->fd, r->old->path);
	return 0;
}

static int write_new(const struct replacement *r, const void *data, size_t len)
{
	ssize_t n = pwrite(r->fd, data, len, 0);

	if (n != (ssize_t)len) {
		errno = n < 0 ? errno : ENOSPC;
		return failed(r, "writing a new file");
	}
	return fsync(r->fd) ? failed(r, "fsync") : 0;
}

/* Still the file that was opened? Then the new one becomes it. */
static int put_in_place(const struct replacement *r)
{
	const char *base = path_base(r->image->path);
	struct stat st;
	int dir, ret;

	if (fstatat(r->image->dirfd, base, &st, AT_SYMLINK_NOFOLLOW) ||
	    st.st_dev != r->old->dev || st.st_ino != r->old->ino)
		return ctl_error(CTL_BUSY, "busy", r->old->path,
				 "somebody else has just replaced it");
	if (renameat(r->image->dirfd, r->name, r->image->dirfd, base))
		return failed(r, "rename");
	dir = openat(r->image->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return failed(r, "its directory");
	ret = dir_sync(dir);
	if (ret) {
		errno = -ret;
		ret = failed(r, "fsync of its directory");
	}
	close(dir);
	return ret;
}

static void take_new(struct set_member *m, int fd)
{
	struct stat st;

	close(m->fd);
	m->fd = fd;
	if (fstat(fd, &st))
		return;
	m->dev = st.st_dev;
	m->ino = st.st_ino;
	m->size = (u64)st.st_size;
	m->allocated = (u64)st.st_blocks * 512;
}

int set_replace_own(struct image_set *set, const void *data, size_t len, const char *doing)
{
	const struct set_image *image = &set->images[0];
	struct set_member *m = &set->members[image->member];
	struct replacement r = { .image = image, .old = m, .fd = -1, .doing = doing };
	int ret;

	ret = open_new(&r);
	if (!ret)
		ret = same_rights(&r);
	if (!ret)
		ret = write_new(&r, data, len);
	if (!ret && set->opts->lock == SET_LOCK_YES)
		ret = lock_file(r.fd, m->path, true, false);
	if (!ret)
		ret = put_in_place(&r);
	if (!ret) {
		take_new(m, r.fd);
	} else if (r.fd >= 0) {
		unlinkat(image->dirfd, r.name, 0);
		close(r.fd);
	}
	free(r.name);
	return ret;
}
