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
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include "image-set.h"

#define MAX_CANDIDATES	256

/**
 * struct search - one directory that is looked through
 * @parent: whose children are looked for
 * @dirfd: the directory
 * @prefix: what leads there from the image's own directory, with a slash; ""
 *	stands for that one
 */
struct search {
	const struct image_set *set;
	const struct set_image *parent;
	int dirfd;
	const char *prefix;
};

static bool is_vmdk(const char *name)
{
	size_t len = strlen(name);

	return len > 5 && !strcasecmp(name + len - 5, ".vmdk");
}

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

static bool is_child(const struct search *s, const struct vd_layout *child)
{
	const struct vd_layout *top = s->parent->layout;
	const char *hint = vd_layout_str(child, child->parent_name);
	bool by_uuid, by_cid;

	if (!(child->flags & VD_LAYOUT_PARENT))
		return false;
	by_uuid = (child->flags & VD_LAYOUT_HAVE_PARENT_UUID) &&
		  (top->flags & VD_LAYOUT_HAVE_UUID) &&
		  !memcmp(child->parent_uuid, top->uuid, sizeof(top->uuid));
	if (!by_uuid && !(hint && hint_fits(s, hint)))
		return false;
	/* One that does not fit any more has nothing to lose. */
	by_cid = layout_names_cid(child) && (top->flags & VD_LAYOUT_HAVE_CID);
	return !by_cid || child->parent_cid == top->cid;
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
	if (!strcmp(ctl.verb, "attach"))
		ctl_hint("-r reads it; the newest snapshot is the disk to write to");
	ctl_hint("if the snapshot is no longer wanted: %s", command);
	free(command);
	return CTL_IMAGE;
}

static int look_at(const struct search *s, const char *name, int fd)
{
	struct parsed parsed;
	bool yes;

	yes = !parse_confined(fd, name, NULL, true, &parsed) && parsed.layout &&
	      is_child(s, parsed.layout);
	/* What cannot be read is nobody's child. */
	ctl_drop();
	vd_free(parsed.layout);
	close(fd);
	return yes ? refuse(s->parent, s->prefix, name) : 0;
}

static int look_through(const struct search *s, DIR *dir)
{
	struct dirent *entry;
	int fd, seen = 0, ret = 0;

	while (!ret && (entry = readdir(dir))) {
		fd = is_vmdk(entry->d_name) ? open_candidate(s, entry->d_name) : -1;
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
static int search_dir(const struct image_set *set, u32 image, const char *name, const char *prefix)
{
	const struct set_image *parent = &set->images[image];
	struct search s = { set, parent, -1, prefix };
	int fd, ret = 0;
	DIR *dir;

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

int set_check_children(const struct image_set *set, u32 image)
{
	int ret;

	if (set->opts->ignore_children || set->images[image].dirfd < 0)
		return 0;
	/* Its own child is open already. */
	if (image)
		return refuse(&set->images[image], "", path_base(set->images[image - 1].path));
	ret = search_dir(set, image, ".", "");
	if (!ret)
		ret = search_dir(set, image, "Snapshots", "Snapshots/");
	return ret ? ret : search_dir(set, image, "..", "../");
}

/* A set of nothing but the file's text: what that names may be gone. */
static int open_text(struct image_set *set, const char *path)
{
	struct set_image *image = &set->images[0];
	struct opened file;
	struct parsed parsed;
	int ret;

	image->dirfd = -1;
	ret = open_named(path, false, &file);
	if (ret)
		return ret;
	image->path = xstrdup(file.path);
	set->nr_images = 1;
	ret = set_add_member(set, &file, 0, &image->member);
	if (!ret)
		ret = parse_confined(set->members[image->member].fd, path, NULL, true, &parsed);
	if (ret)
		return ret;
	image->layout = parsed.layout;
	return image->layout ? image_set_dir(image, set->members[image->member].fd, path) : 0;
}

int path_check_children(const char *path, bool ignore)
{
	const struct set_options opts = { .lock = SET_LOCK_NO, .ignore_children = ignore };
	struct image_set set = { .opts = &opts };
	int ret = 0;

	/* What is no image has no children. */
	if (open_text(&set, path))
		ctl_drop();
	else
		ret = set_check_children(&set, 0);
	set_close(&set);
	return ret;
}
