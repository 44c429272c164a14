// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files of a new image: made under names of no meaning in the image's own
 * directory, and given their names when all are complete and durable, the image
 * itself last. A file that is replaced is kept aside until then, so that what
 * fails on the way, or a signal, leaves the directory as it was.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include "create.h"
#include "vdisk/ufile.h"

/* --- names --- */

static int free_name(const char *path, char *name, size_t len)
{
	u64 n;

	if (getrandom(&n, sizeof(n), 0) != sizeof(n))
		return ctl_errno(errno, path, "no random numbers");
	snprintf(name, len, ".vdctl-%016llx", (unsigned long long)n);
	return 0;
}

int new_files_begin(struct new_files *set, const char *image, bool force)
{
	char *dir = path_dir(image);
	int ret = 0;

	memset(set, 0, sizeof(*set));
	set->force = force;
	set->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (set->dirfd >= 0)
		set->dir = realpath(dir, NULL);
	if (!set->dir)
		ret = ctl_errno(errno, dir, "cannot open the directory");
	free(dir);
	return ret;
}

static int name_taken(const struct new_file *f)
{
	char *command = ctl_command_with("--force", NULL);

	ctl_error(CTL_BUSY, "exists", f->path, "exists already");
	ctl_hint("to replace it: %s", command);
	free(command);
	return CTL_BUSY;
}

/* May the file @st give way to @f? If so it is locked until all is done. */
static int check_replaced(struct new_file *f, const struct stat *st, const struct image_set *parent)
{
	struct opened file;
	int ret;

	if (!S_ISREG(st->st_mode))
		return ctl_error(CTL_FAIL, "not_an_image", f->path,
				 "is no regular file; --force replaces nothing else");
	if (parent && set_find_member(parent, st->st_dev, st->st_ino, false) >= 0)
		return ctl_error(CTL_USAGE, "usage", f->path,
				 "belongs to the parent, and cannot be replaced by its child");
	if (vmware_locked(f->path)) {
		ctl_error(CTL_BUSY, "locked", f->path, "VMware has it open, says %s.lck", f->name);
		ctl_hint("if that is stale, remove the directory %s.lck", f->path);
		return CTL_BUSY;
	}
	ret = open_named(f->path, true, &file);
	if (ret)
		return ret;
	free(file.path);
	f->old_fd = file.fd;
	return lock_file(file.fd, f->path, true, false);
}

int new_files_add(struct new_files *set, const char *name, const struct image_set *parent)
{
	struct new_file *f;
	struct stat st;

	set->files = xrealloc(set->files, set->nr + 1, sizeof(*f));
	f = &set->files[set->nr++];
	memset(f, 0, sizeof(*f));
	f->fd = -1;
	f->old_fd = -1;
	f->path = xasprintf("%s/%s", strcmp(set->dir, "/") ? set->dir : "", name);
	f->name = path_base(f->path);
	if (fstatat(set->dirfd, f->name, &st, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? 0 : ctl_errno(errno, f->path, NULL);
	if (!set->force)
		return name_taken(f);
	if (set->nr == 1) {
		set->have_owner = true;
		set->uid = st.st_uid;
		set->gid = st.st_gid;
		set->mode = st.st_mode & 0777;
	}
	return check_replaced(f, &st, parent);
}

/* --- content --- */

int new_file_open(struct new_files *set, u32 index)
{
	struct new_file *f = &set->files[index];
	struct vd_error err = { 0 };
	int ret;

	ret = stop_asked();
	if (!ret)
		ret = free_name(f->path, f->temp, sizeof(f->temp));
	if (ret)
		return ret;
	f->fd = openat(set->dirfd, f->temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (f->fd < 0) {
		ret = ctl_errno(errno, f->path, "cannot create");
		f->temp[0] = 0;
		return ret;
	}
	/* Root that replaces somebody's image; all others are the owner already. */
	if (set->have_owner && !fchown(f->fd, set->uid, set->gid) && fchmod(f->fd, set->mode))
		return ctl_errno(errno, f->path, "cannot set its mode");
	f->file = vd_ufile_fd(f->fd, true, &err);
	return f->file ? 0 : ctl_vd_error(&err, f->path);
}

int new_file_reopen(struct new_files *set, u32 index)
{
	struct new_file *f = &set->files[index];
	struct vd_error err = { 0 };

	f->fd = openat(set->dirfd, f->temp, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (f->fd < 0)
		return ctl_errno(errno, f->path, "cannot open it again");
	f->file = vd_ufile_fd(f->fd, true, &err);
	return f->file ? 0 : ctl_vd_error(&err, f->path);
}

static void close_new(struct new_file *f)
{
	vd_ufile_free(f->file);
	f->file = NULL;
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

int new_file_done(struct new_file *f)
{
	int ret;

	ret = vd_file_flush(f->file);
	close_new(f);
	return ret ? ctl_errno(ret, f->path, "cannot write") : 0;
}

/* --- giving the names --- */

/*
 * A second name keeps the old file; where there are no hard links it has to
 * leave its place a moment early.
 */
static int set_aside(struct new_files *set, struct new_file *f)
{
	int ret;

	ret = free_name(f->path, f->aside, sizeof(f->aside));
	if (ret)
		return ret;
	if (!linkat(set->dirfd, f->name, set->dirfd, f->aside, 0) ||
	    !renameat(set->dirfd, f->name, set->dirfd, f->aside))
		return 0;
	ret = ctl_errno(errno, f->path, "cannot be replaced");
	f->aside[0] = 0;
	return ret;
}

/* The name is taken by an empty file, and that is replaced. */
static int rename_over_own(struct new_files *set, const struct new_file *f)
{
	int fd, err;

	fd = openat(set->dirfd, f->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	close(fd);
	if (!renameat(set->dirfd, f->temp, set->dirfd, f->name))
		return 0;
	err = -errno;
	unlinkat(set->dirfd, f->name, 0);
	return err;
}

/*
 * Rename that replaces nothing, also where the file system has no word for that
 * (NFS) and no second names (FAT, many network and FUSE file systems).
 */
static int rename_new(struct new_files *set, const struct new_file *f)
{
	if (!renameat2(set->dirfd, f->temp, set->dirfd, f->name, RENAME_NOREPLACE))
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (!linkat(set->dirfd, f->temp, set->dirfd, f->name, 0)) {
		unlinkat(set->dirfd, f->temp, 0);
		return 0;
	}
	return errno == EEXIST ? -EEXIST : rename_over_own(set, f);
}

static int publish(struct new_files *set, struct new_file *f)
{
	int ret;

	ret = stop_asked();
	if (ret)
		return ret;
	if (f->old_fd >= 0) {
		ret = set_aside(set, f);
		if (ret)
			return ret;
		if (renameat(set->dirfd, f->temp, set->dirfd, f->name))
			ret = -errno;
	} else {
		ret = rename_new(set, f);
		if (ret == -EEXIST)
			return name_taken(f);
	}
	if (ret)
		return ctl_errno(ret, f->path, "cannot give it its name");
	f->temp[0] = 0;
	f->published = true;
	return 0;
}

static void withdraw(struct new_files *set, struct new_file *f)
{
	if (f->aside[0]) {
		if (renameat(set->dirfd, f->aside, set->dirfd, f->name))
			ctl_hint("what was %s is now %s/%s", f->path, set->dir, f->aside);
		else	/* rename leaves two names of one file alone */
			unlinkat(set->dirfd, f->aside, 0);
	} else if (f->published) {
		unlinkat(set->dirfd, f->name, 0);
	}
	f->aside[0] = 0;
	f->published = false;
}

static int sync_dir(const struct new_files *set)
{
	int ret = dir_sync(set->dirfd);

	return ret ? ctl_errno(-ret, set->dir, "cannot write the directory") : 0;
}

int new_file_failed(const struct new_file *f, int ret, const struct vd_error *err)
{
	/* What the system says is to the point. */
	if (ret == -ENOSPC || ret == -EFBIG || ret == -EIO)
		return ctl_errno(ret, f->path, err->text);
	return ctl_vd_error(err, f->path);
}

int new_files_commit(struct new_files *set)
{
	int ret = 0;
	u32 i;

	for (i = 1; !ret && i < set->nr; i++)
		ret = publish(set, &set->files[i]);
	if (!ret)
		ret = publish(set, &set->files[0]);
	if (!ret)
		ret = sync_dir(set);
	for (i = 0; i < set->nr; i++) {
		struct new_file *f = &set->files[i];

		if (ret)
			withdraw(set, f);
		else if (f->aside[0])
			unlinkat(set->dirfd, f->aside, 0);
	}
	return ret;
}

void new_files_end(struct new_files *set)
{
	u32 i;

	for (i = 0; i < set->nr; i++) {
		struct new_file *f = &set->files[i];

		close_new(f);
		if (f->temp[0])
			unlinkat(set->dirfd, f->temp, 0);
		if (f->old_fd >= 0)
			close(f->old_fd);
		free(f->path);
	}
	free(set->files);
	free(set->dir);
	if (set->dirfd >= 0)
		close(set->dirfd);
}
