// SPDX-License-Identifier: GPL-2.0-only
/*
 * Snapshots get to know the new name of their parent: the hint in their text, and
 * nothing else. All of them are locked and their new texts made before the first is
 * written, while the parent has both names, so each is valid at any moment.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "chain.h"
#include "rename.h"

void rename_child_free(struct rename_child *c)
{
	rename_text_free(&c->text);
	rename_dir_close(&c->dir);
	if (c->text.fd >= 0)
		close(c->text.fd);
	free(c->name);
	free(c->path);
}

/* As seen from the child: a name if the directory stays, else a path. */
static char *new_hint(const struct rename *r, const struct rename_child *c, bool *is_path)
{
	const struct rename_dir *dir = r->backwards ? &r->from : &r->to;
	const char *name = r->backwards ? r->from_name : r->to_name;
	const char *below;
	char *path, *hint;

	*is_path = r->from.dev != r->to.dev || r->from.ino != r->to.ino;
	if (!*is_path)
		return xstrdup(name);
	path = rename_path(dir, name);
	below = path_below(path, c->dir.path);
	if (!below)
		return path;
	hint = xstrdup(below);
	free(path);
	return hint;
}

static int lock_child(const struct rename_child *c)
{
	if (vmware_locked(c->path)) {
		ctl_error(CTL_BUSY, "locked", c->path, "VMware has it open, says %s.lck", c->name);
		ctl_hint("if that is stale, remove the directory %s.lck", c->path);
		return CTL_BUSY;
	}
	return lock_file(c->text.fd, c->path, true, false);
}

static int read_child(struct rename *r, struct rename_child *c)
{
	struct vd_new_names names = { 0 };
	struct parsed parsed = { 0 };
	struct vd_layout *layout;
	char *hint;
	int ret;

	hint = new_hint(r, c, &names.parent_path);
	names.parent = hint;
	ret = rename_read_text(&c->text, c->path, &names);
	free(hint);
	if (ret || !c->text.old)
		return ret;
	ret = parse_confined(c->text.fd, c->path, vd_format_name(c->text.format), true, &parsed);
	if (ret)
		return ret;
	c->text.inside = vd_layout_segs(parsed.layout)[0].flags & VD_LSEG_SELF;
	vd_free(parsed.layout);
	ret = rename_parse(c->text.new, c->text.new_len, c->text.format, c->path, &layout);
	vd_free(layout);
	return ret;
}

static int refuse(const struct rename *r, const struct rename_child *c)
{
	char *update = ctl_command_with("--update-children", NULL);
	char *ignore = ctl_command_with("--ignore-children", NULL);

	ctl_error(CTL_IMAGE, "has_children", r->old_path,
		  "%s is a snapshot on top of it, and would no longer find it", c->path);
	ctl_hint("to tell all snapshots of it the new name: %s", update);
	ctl_hint("to leave them as they are: %s", ignore);
	free(update);
	free(ignore);
	return CTL_IMAGE;
}

static bool is_dir(const struct rename_dir *dir, int fd)
{
	struct stat st;

	return !fstat(fd, &st) && st.st_dev == dir->dev && st.st_ino == dir->ino;
}

/*
 * There is nothing to tell it: it looks for its parent beside itself, among what is
 * called as images are. If it would find none there any more, that cannot be helped.
 */
static int take_unhinted(const struct rename *r, const struct child_found *found)
{
	bool now = is_dir(&r->from, found->dirfd) && name_is_image(r->from_name);
	bool then = is_dir(&r->to, found->dirfd) && name_is_image(r->to_name);
	char *ignore;

	if (!now || then || r->backwards)
		return 0;
	ctl_error(CTL_IMAGE, "has_children", r->old_path,
		  "%s/%s is a snapshot on top of it, names it by UUID alone, and would not find it there",
		  found->dir, found->name);
	ignore = ctl_command_with("--ignore-children", NULL);
	if (r->update_children)
		ctl_hint("--ignore-children in the place of --update-children renames it all the same");
	else
		ctl_hint("to rename it all the same: %s", ignore);
	ctl_hint("to open the snapshot then takes --parent");
	free(ignore);
	return CTL_IMAGE;
}

static int take(void *ctx, struct child_found *found)
{
	struct rename *r = ctx;
	struct rename_child *c;
	int ret;

	if (!found->hinted)
		return take_unhinted(r, found);
	r->children = xrealloc(r->children, r->nr_children + 1, sizeof(*c));
	c = &r->children[r->nr_children++];
	memset(c, 0, sizeof(*c));
	c->dir.fd = -1;
	c->text.fd = found->fd;
	c->text.format = found->format;
	found->fd = -1;
	c->name = xstrdup(found->name);
	ret = rename_dir_open(&c->dir, found->dir);
	if (ret)
		return ret;
	c->path = rename_path(&c->dir, c->name);
	if (!r->update_children)
		return refuse(r, c);
	ret = lock_child(c);
	if (!ret)
		ret = read_child(r, c);
	/* One that knows already and is complete. */
	if (!ret && !rename_text_changes(&c->text) && !(c->text.inside && r->self.there))
		rename_child_free(&r->children[--r->nr_children]);
	return ret;
}

static bool taken(const struct rename *r, const struct child_found *found)
{
	struct stat a, b;
	u32 i;

	for (i = 0; i < r->nr_children; i++)
		if (!fstat(r->children[i].text.fd, &a) && !fstat(found->fd, &b) &&
		    a.st_dev == b.st_dev && a.st_ino == b.st_ino)
			return true;
	return false;
}

static int take_new(void *ctx, struct child_found *found)
{
	return taken(ctx, found) ? 0 : take(ctx, found);
}

int rename_find_children(struct rename *r)
{
	char *path = r->set.images[0].path;
	int ret;

	ret = set_find_children(&r->set, 0, take, r);
	if (ret || !r->self.there)
		return ret;
	/* Those that an earlier run has told name it as it is to be. */
	r->set.images[0].path = rename_path(&r->to, r->to_name);
	ret = set_find_children(&r->set, 0, take_new, r);
	free(r->set.images[0].path);
	r->set.images[0].path = path;
	return ret;
}

/* --- written --- */

static int still_named(const struct rename_child *c)
{
	struct stat a, b;

	if (!fstat(c->text.fd, &a) && !fstatat(c->dir.fd, c->name, &b, AT_SYMLINK_NOFOLLOW) &&
	    a.st_dev == b.st_dev && a.st_ino == b.st_ino)
		return 0;
	return ctl_error(CTL_BUSY, "busy", c->path, "somebody else has just replaced it");
}

/* The child's descriptor is a file: a new one, in the place of the old. */
static int replace_file(struct rename_child *c, const char *text, u32 len)
{
	char *temp = rename_temp_name(c->name);
	int fd = -1, ret;

	ret = still_named(c);
	if (!ret)
		ret = rename_write_temp(&c->dir, temp, c->text.fd, text, len, &fd);
	if (!ret && renameat(c->dir.fd, temp, c->dir.fd, c->name)) {
		ret = ctl_errno(errno, c->path, "cannot be replaced");
		unlinkat(c->dir.fd, temp, 0);
		close(fd);
	} else if (!ret) {
		close(c->text.fd);
		c->text.fd = fd;
		c->done = true;
		ret = rename_sync_dir(&c->dir);
	}
	free(temp);
	return ret;
}

static int tell_child(struct rename_child *c)
{
	const struct rename_text *t = &c->text;

	if (!t->inside)
		return replace_file(c, t->new, t->new_len);
	/* An error says nothing about which of the texts is in force. */
	c->done = true;
	return rename_put_inside(t, c->path, t->new, t->new_len);
}

int rename_tell_children(struct rename *r)
{
	u32 i;
	int ret = 0;

	for (i = 0; i < r->nr_children && !ret; i++) {
		ret = stop_asked();
		if (!ret)
			ret = tell_child(&r->children[i]);
	}
	return ret;
}

/* There is an error already; another one here would only be a second. */
bool rename_untell_children(struct rename *r)
{
	bool good = true;
	u32 i;

	for (i = 0; i < r->nr_children; i++) {
		struct rename_child *c = &r->children[i];
		const struct rename_text *t = &c->text;
		int ret;

		if (!c->done)
			continue;
		ret = t->inside ? rename_put_inside(t, c->path, t->old, t->old_len) :
				  replace_file(c, t->old, t->old_len);
		if (!ret)
			continue;
		ctl_hint("%s may still name its parent as %s", c->path, r->new_full);
		good = false;
	}
	return good;
}
