// SPDX-License-Identifier: GPL-2.0-only
/*
 * Texts that name files: made by the backend in the cage, parsed there before they are
 * written, and written so that a crash leaves the old one or the new one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "rename.h"
#include "vdisk/ufile.h"

const struct vd_new_names rename_no_names;

/* Bytes of @name without what its format puts at the end. */
static u32 stem_of(const char *name, u32 format)
{
	const struct vd_format *fmt = vd_format_get(format);
	const char *dot = strrchr(name, '.');
	u32 len = (u32)strlen(name), i;

	for (i = 0; dot && dot > name && fmt && fmt->extensions && fmt->extensions[i]; i++)
		if (!strcasecmp(dot + 1, fmt->extensions[i]))
			len = (u32)(dot - name);
	if (fmt)
		vd_format_put(fmt);
	return len;
}

void rename_names(struct vd_new_names *names, u32 format, const char *from, const char *to)
{
	names->from = from;
	names->to = to;
	names->from_stem = stem_of(from, format);
	names->to_stem = stem_of(to, format);
	names->parent = NULL;
}

int rename_read_text(struct rename_text *t, const char *path, const struct vd_new_names *names)
{
	int ret;

	ret = renamed_confined(t->fd, path, t->format, &rename_no_names, &t->old, &t->old_len);
	if (!ret)
		ret = renamed_confined(t->fd, path, t->format, names, &t->new, &t->new_len);
	return ret;
}

void rename_text_free(struct rename_text *t)
{
	vd_free(t->old);
	vd_free(t->new);
	t->old = NULL;
	t->new = NULL;
}

bool rename_text_changes(const struct rename_text *t)
{
	return t->old && (t->old_len != t->new_len || memcmp(t->old, t->new, t->old_len));
}

int rename_parse(const char *text, u32 len, u32 format, const char *path, struct vd_layout **out)
{
	struct parsed parsed = { 0 };
	int fd, ret = 0;

	*out = NULL;
	fd = memfd_create("text", MFD_CLOEXEC);
	if (fd < 0 || write(fd, text, len) != (ssize_t)len)
		ret = ctl_errno(errno, path, "a copy of its text");
	if (!ret)
		ret = parse_confined(fd, path, vd_format_name(format), true, &parsed);
	if (fd >= 0)
		close(fd);
	*out = parsed.layout;
	return ret;
}

/* Nothing was changed, and nobody needs it. */
static int forgive(const char *path)
{
	char *why = ctl_pending_text();

	ctl_drop();
	ctl_note(path, "the text inside keeps the old name, which no reader minds: %s", why);
	free(why);
	return 0;
}

int rename_put_inside(const struct rename_text *t, const char *path, const char *text, u32 len)
{
	const struct vd_format *fmt = vd_format_get(t->format);
	struct vd_error err = { 0 };
	struct vd_file *file;
	int fd, ret;

	ret = reopen_checked(t->fd, path, true, &fd);
	if (ret)
		return t->optional && ret == CTL_PERM ? forgive(path) : ret;
	file = vd_ufile_fd(fd, true, &err);
	if (!file || fmt->user->put_text(file, text, len, &err))
		ret = ctl_vd_error(&err, path);
	vd_ufile_free(file);
	close(fd);
	if (ret && t->optional && (err.code == -E2BIG || err.code == -ENOSPC))
		return forgive(path);
	return ret;
}

/* --- a file of its own --- */

char *rename_temp_name(const char *name)
{
	return xasprintf(".%.200s.vdctl-new", name);
}

static int temp_error(const struct rename_dir *dir, const char *what)
{
	return ctl_errno(errno, dir->path, what);
}

/* Who died while he wrote it holds no lock on it. */
int rename_remove_stale(const struct rename_dir *dir, const char *temp)
{
	char *path = rename_path(dir, temp);
	int fd, ret;

	fd = openat(dir->fd, temp, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0) {
		ret = errno == ENOENT ? 0 : ctl_errno(errno, path, NULL);
		free(path);
		return ret;
	}
	ret = lock_file(fd, path, true, false);
	if (!ret && unlinkat(dir->fd, temp, 0))
		ret = ctl_errno(errno, path, "cannot remove what an earlier run left");
	close(fd);
	free(path);
	return ret;
}

static int same_rights(int fd, int like, const char *path)
{
	struct stat st, new;

	if (fstat(like, &st) || fstat(fd, &new) ||
	    ((st.st_uid != new.st_uid || st.st_gid != new.st_gid) &&
	     fchown(fd, st.st_uid, st.st_gid)) ||
	    ((st.st_mode ^ new.st_mode) & 07777 && fchmod(fd, st.st_mode & 07777)))
		return ctl_errno(errno, path, "owner and mode of the new file");
	copy_xattrs(like, fd, path);
	return 0;
}

static bool is_named(const struct rename_dir *dir, const char *name, int fd)
{
	struct stat a, b;

	return !fstat(fd, &a) && !fstatat(dir->fd, name, &b, AT_SYMLINK_NOFOLLOW) &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static int fill_temp(const struct rename_dir *dir, const char *temp, int fd, int like,
		     const char *text, u32 len)
{
	int ret;

	ret = lock_file(fd, dir->path, true, false);
	if (!ret && !is_named(dir, temp, fd))
		ret = ctl_error(CTL_BUSY, "busy", dir->path, "somebody else renames something there");
	if (!ret)
		ret = same_rights(fd, like, dir->path);
	if (!ret && pwrite(fd, text, len, 0) != (ssize_t)len)
		ret = temp_error(dir, "cannot write a new file");
	if (!ret && fsync(fd))
		ret = temp_error(dir, "cannot write a new file");
	return ret;
}

int rename_write_temp(const struct rename_dir *dir, const char *temp, int like, const char *text,
		      u32 len, int *out)
{
	int fd, ret;

	ret = rename_remove_stale(dir, temp);
	if (ret)
		return ret;
	fd = openat(dir->fd, temp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return temp_error(dir, "cannot create a new file");
	ret = fill_temp(dir, temp, fd, like, text, len);
	if (ret) {
		unlinkat(dir->fd, temp, 0);
		close(fd);
		return ret;
	}
	*out = fd;
	return 0;
}
