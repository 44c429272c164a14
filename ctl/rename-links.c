// SPDX-License-Identifier: GPL-2.0-only
/*
 * The renaming itself, where a file can have two names:
 *
 *	1. every file gets its new name beside the old one
 *	2. the text: inside of the image, or in a new file that is complete and durable
 *	   before it gets the new name
 *	3. snapshots get to know the new name, if that was asked for
 *	4. the image's old name goes, then those of the other files
 *
 * Each step is durable before the next. Up to 3 the image is whole under its old name,
 * from 2 on under the new one, and all files are the same under both; so whatever stops
 * this, one of the names opens. An error or a signal before 4 undoes what was done.
 * The same command again finds the files that have both names, and goes on.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "rename.h"

int rename_sync_dir(const struct rename_dir *dir)
{
	int ret = dir_sync(dir->fd);

	return ret ? ctl_errno(-ret, dir->path, "cannot write the directory") : 0;
}

int rename_sync(const struct rename *r)
{
	int ret = rename_sync_dir(&r->to);

	if (!ret && (r->from.dev != r->to.dev || r->from.ino != r->to.ino))
		ret = rename_sync_dir(&r->from);
	return ret;
}

static int cannot_name(const struct rename *r, const char *name, int err)
{
	char *path = rename_path(&r->to, name);
	int ret;

	ret = err == EEXIST ? rename_exists(path) : ctl_errno(err, path, "cannot give that name");
	free(path);
	return ret;
}

/* --- 1 --- */

/* One name alone cannot be given by link(2): the file system, or the file, forbids it. */
static bool no_links(int err)
{
	return err == EPERM || err == EOPNOTSUPP || err == ENOSYS || err == EMLINK;
}

/* 0, an exit code, or -1: here no file can have two names. */
static int link_file(const struct rename *r, struct rename_file *f)
{
	int ret;

	if (f->there)
		return 0;
	ret = stop_asked();
	if (ret)
		return ret;
	if (linkat(r->from.fd, f->from, r->to.fd, f->to, 0))
		return no_links(errno) ? -1 : cannot_name(r, f->to, errno);
	f->made = true;
	return 0;
}

static int link_all(struct rename *r)
{
	u32 i;
	int ret = 0;

	if (!rename_writes_self(r))
		ret = link_file(r, &r->self);
	for (i = 0; i < r->nr_files && !ret; i++)
		ret = link_file(r, &r->files[i]);
	return ret;
}

/* --- 2 --- */

/* A name in that directory goes to another one, and replaces nothing. */
int rename_move(const struct rename_dir *from, const char *name, const struct rename_dir *to,
		const char *new_name)
{
	struct stat st;

	if (!renameat2(from->fd, name, to->fd, new_name, RENAME_NOREPLACE))
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	/* NFS and some others have no word for that, but links. */
	if (!linkat(from->fd, name, to->fd, new_name, 0)) {
		unlinkat(from->fd, name, 0);
		return 0;
	}
	if (errno == EEXIST || !fstatat(to->fd, new_name, &st, AT_SYMLINK_NOFOLLOW))
		return -EEXIST;
	return renameat(from->fd, name, to->fd, new_name) ? -errno : 0;
}

/* What an earlier run has put there may be older than the text is now. */
static int publish_self(struct rename *r)
{
	int ret = 0;

	if (!r->self.there)
		ret = rename_move(&r->to, r->temp, &r->to, r->to_name);
	else if (renameat(r->to.fd, r->temp, r->to.fd, r->to_name))
		ret = -errno;
	if (ret) {
		unlinkat(r->to.fd, r->temp, 0);
		return cannot_name(r, r->to_name, -ret);
	}
	r->self.made = true;
	return 0;
}

static int write_self(struct rename *r)
{
	int ret;

	if (r->keep_new)
		return 0;
	if (r->new_fd >= 0)
		close(r->new_fd);
	r->new_fd = -1;
	ret = rename_write_temp(&r->to, r->temp, r->text.fd, r->text.new, r->text.new_len,
				&r->new_fd);
	return ret ? ret : publish_self(r);
}

static int change_text(struct rename *r)
{
	const struct rename_text *t = &r->text;
	int ret;

	ret = stop_asked();
	if (ret)
		return ret;
	if (rename_writes_self(r))
		return write_self(r);
	/* An earlier run may have stopped in the middle of that. */
	if (!rename_text_changes(t) && !(t->old && r->self.there))
		return 0;
	r->text_tried = true;
	return rename_put_inside(t, r->old_path, t->new, t->new_len);
}

/* --- undo --- */

static void unlink_made(const struct rename *r, struct rename_file *f)
{
	if (f->made && unlinkat(r->to.fd, f->to, 0))
		ctl_hint("%s has two names now, %s is the new one", f->from, f->to);
	f->made = false;
}

static void undo(struct rename *r)
{
	u32 i;

	rename_untell_children(r);
	if (r->text_tried && rename_put_inside(&r->text, r->old_path, r->text.old, r->text.old_len))
		ctl_hint("the text inside %s may have the new name", r->old_path);
	unlink_made(r, &r->self);
	for (i = 0; i < r->nr_files; i++)
		unlink_made(r, &r->files[i]);
	fsync(r->to.fd);
}

/* --- 4 --- */

static int unlink_old(const struct rename *r, const char *name)
{
	char *path;
	int ret;

	if (!unlinkat(r->from.fd, name, 0) || errno == ENOENT)
		return 0;
	path = rename_path(&r->from, name);
	ret = ctl_errno(errno, path, "the old name cannot be removed");
	free(path);
	return ret;
}

int rename_drop_old(struct rename *r)
{
	u32 i;
	int ret = 0, one;

	for (i = 0; i < r->nr_files; i++) {
		one = unlink_old(r, r->files[i].from);
		ret = ret ? ret : one;
	}
	return ret ? ret : rename_sync(r);
}

/* Here nothing can be undone any more. */
static int finish(struct rename *r)
{
	char *command;
	int ret;

	ret = rename_sync(r);
	if (!ret)
		ret = rename_drop_old(r);
	if (!ret)
		return 0;
	command = ctl_command_with(NULL, NULL);
	ctl_hint("the image is complete as %s; to remove what is left of the old names: %s",
		 r->new_full, command);
	free(command);
	return ret;
}

static int apply(struct rename *r)
{
	int ret;

	ret = rename_remove_stale(&r->to, r->temp);
	if (!ret)
		ret = link_all(r);
	if (ret)
		return ret;
	ret = rename_sync(r);
	if (!ret)
		ret = change_text(r);
	if (!ret)
		ret = rename_sync(r);
	if (!ret)
		ret = rename_tell_children(r);
	return ret ? ret : stop_asked();
}

int rename_apply(struct rename *r)
{
	int ret;

	stop_catch();
	ret = apply(r);
	if (!ret)
		ret = unlink_old(r, r->from_name);
	if (ret) {
		undo(r);
		if (ret < 0)
			ret = rename_apply_journaled(r);
	} else {
		ret = finish(r);
	}
	stop_release();
	return ret;
}
