// SPDX-License-Identifier: GPL-2.0-only
/*
 * Snapshots of an image that is to be changed. A child is made of the content
 * that its parent had at that moment; when the parent changes, the child is
 * lost. This looks where they usually lie: beside the image, in "Snapshots"
 * below it (VirtualBox), and in the directory above.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "chain.h"

#define MAX_CANDIDATES	256

/**
 * struct search - one directory that is looked through
 * @parent: whose children are looked for
 * @dirfd: the directory
 * @prefix: what leads there from the image's own directory, with a slash; ""
 *	stands for that one
 * @fn, @ctx: who is told; NULL: a child is a reason to refuse
 * @users: not children are looked for, but images that have it as an extent
 */
struct search {
	const struct image_set *set;
	const struct set_image *parent;
	int dirfd;
	const char *prefix;
	int (*fn)(void *ctx, struct child_found *child);
	void *ctx;
	bool users;
};

static bool is_parent(const struct search *s, const char *name)
{
	const struct set_member *m = &s->set->members[s->parent->member];
	struct stat st;

	return !fstatat(s->dirfd, name, &st, AT_NO_AUTOMOUNT) && st.st_dev == m->dev &&
	       st.st_ino == m->ino;
}

/* Does a hint in that directory lead to the parent, as parents.c would follow it? */
static bool hint_fits(const struct search *s, const char *hint)
{
	const char *base = hint_base(hint);

	/* Beside it the name alone will do, whatever machine wrote the rest. */
	if (!*s->prefix && !strcmp(base, path_base(s->parent->path)))
		return true;
	return is_parent(s, hint) || is_parent(s, base);
}

/*
 * A modification UUID that differs says as much as a CID that does, but VirtualBox,
 * which writes it, opens the child all the same.
 */
static bool is_child(const struct search *s, const struct vd_layout *child)
{
	const char *hint = vd_layout_str(child, child->props.parent_name);
	struct chain_ids c, p;
	struct chain_link link;

	layout_ids(child, &c);
	if (!c.parent)
		return false;
	layout_ids(s->parent->layout, &p);
	link = chain_compare(&c, &p);
	if (!(link.same & LINK_UUID) && !(hint && hint_fits(s, hint)))
		return false;
	/* One that does not fit any more has nothing to lose. */
	return !(link.differs & LINK_CID);
}

static bool is_user(const struct search *s, const struct vd_layout *l)
{
	u32 i;

	for (i = 0; i < l->nr_segs; i++) {
		const char *name = vd_layout_str(l, vd_layout_segs(l)[i].name);

		if (name && is_parent(s, name))
			return true;
	}
	return false;
}

/* The open candidate, or -1: no regular file, or one of our own. */
static int open_candidate(const struct search *s, const char *name)
{
	struct stat st;
	int path_fd, fd = -1;

	path_fd = openat(s->dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (path_fd < 0)
		return -1;
	if (!fstat(path_fd, &st) && S_ISREG(st.st_mode) && st.st_size &&
	    set_find_member(s->set, st.st_dev, st.st_ino, false) < 0 &&
	    reopen_checked(path_fd, name, false, &fd))
		fd = -1;
	close(path_fd);
	ctl_drop();
	return fd;
}

static int refuse(const struct set_image *parent, const char *prefix, const char *name)
{
	char *command = ctl_command_with("--ignore-children", NULL);

	ctl_error(CTL_IMAGE, "has_children", parent->path,
		  "%s%s is a snapshot on top of it, and any change here would spoil that one",
		  prefix, name);
	if (ctl_attaches())
		ctl_hint("-r reads it; the newest snapshot is the disk to write to");
	ctl_hint("if the snapshot is no longer wanted: %s", command);
	free(command);
	return CTL_IMAGE;
}

static int tell(const struct search *s, const char *name, const struct parsed *parsed, int *fd)
{
	struct child_found child = {
		.dirfd = s->dirfd, .name = name, .format = parsed->format, .fd = *fd,
		.hinted = parsed->layout->props.mask & VD_PROP_PARENT_NAME,
	};
	int ret;

	child.dir = *s->prefix ? xasprintf("%s/%.*s", s->parent->dir,
					   (int)strlen(s->prefix) - 1, s->prefix) :
				 xstrdup(s->parent->dir);
	ret = s->fn(s->ctx, &child);
	free(child.dir);
	*fd = child.fd;
	return ret;
}

static int look_at(const struct search *s, const char *name, int fd)
{
	struct parsed parsed;
	int ret = 0;
	bool yes;

	yes = !parse_confined(fd, name, NULL, true, &parsed) && parsed.layout &&
	      (s->users ? is_user(s, parsed.layout) : is_child(s, parsed.layout));
	/* What cannot be read is nobody's child. */
	ctl_drop();
	if (yes)
		ret = s->fn ? tell(s, name, &parsed, &fd) : refuse(s->parent, s->prefix, name);
	vd_free(parsed.layout);
	if (fd >= 0)
		close(fd);
	return ret;
}

static int look_through(const struct search *s, DIR *dir)
{
	struct dirent *entry;
	int fd, seen = 0, ret = 0;

	while (!ret && (entry = readdir(dir))) {
		fd = name_is_image(entry->d_name) ? open_candidate(s, entry->d_name) : -1;
		if (fd < 0)
			continue;
		if (seen++ == MAX_CANDIDATES) {
			close(fd);
			ctl_warn(s->parent->path,
				 "looked at %d other images in %s/%s for snapshots of it; there are more",
				 MAX_CANDIDATES, s->parent->dir, s->prefix);
			break;
		}
		ret = look_at(s, entry->d_name, fd);
	}
	return ret;
}

/* The root's parent is the root. */
static bool same_file(int a, int b)
{
	struct stat x, y;

	return !fstat(a, &x) && !fstat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* @name: of the directory, as seen from the image's own. */
static int search_dir(struct search s, const char *name, const char *prefix)
{
	const struct set_image *parent = s.parent;
	int fd, ret = 0;
	DIR *dir;

	s.prefix = prefix;
	fd = openat(parent->dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	dir = fd < 0 || (*prefix && same_file(fd, parent->dirfd)) ? NULL : fdopendir(fd);
	if (!dir) {
		if (fd >= 0)
			close(fd);
		if (!*prefix)
			ctl_warn(parent->path, "cannot look for snapshots of it in %s",
				 parent->dir);
		return 0;
	}
	s.dirfd = dirfd(dir);
	ret = look_through(&s, dir);
	closedir(dir);
	return ret;
}

static int search_all(const struct search *s)
{
	int ret;

	ret = search_dir(*s, ".", "");
	if (!ret)
		ret = search_dir(*s, SNAPSHOTS_DIR, SNAPSHOTS_DIR "/");
	return ret ? ret : search_dir(*s, "..", "../");
}

int set_find_children(const struct image_set *set, u32 image,
		      int (*fn)(void *ctx, struct child_found *child), void *ctx)
{
	struct search s = { .set = set, .parent = &set->images[image], .fn = fn, .ctx = ctx };

	return s.parent->dirfd >= 0 ? search_all(&s) : 0;
}

int set_find_users(const struct image_set *set, u32 image,
		   int (*fn)(void *ctx, struct child_found *user), void *ctx)
{
	struct search s = {
		.set = set, .parent = &set->images[image], .fn = fn, .ctx = ctx, .users = true,
	};

	return s.parent->dirfd >= 0 ? search_dir(s, ".", "") : 0;
}

int set_check_children(const struct image_set *set, u32 image)
{
	struct search s = { .set = set, .parent = &set->images[image] };

	if (set->opts->ignore_children || set->images[image].dirfd < 0)
		return 0;
	/* Its own child is open already. */
	if (image)
		return refuse(&set->images[image], "", path_base(set->images[image - 1].path));
	return search_all(&s);
}

int path_check_children(const char *path, bool ignore)
{
	const struct set_options opts = { .lock = SET_LOCK_NO, .ignore_children = ignore };
	struct image_set set = { .opts = &opts };
	int ret = 0;

	/* What is no image has no children. */
	if (set_open_own(&set, path, false))
		ctl_drop();
	else
		ret = set_check_children(&set, 0);
	set_close(&set);
	return ret;
}
