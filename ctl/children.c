// SPDX-License-Identifier: GPL-2.0-only
/*
 * Snapshots of the image that is to be written. A child is made of the content
 * that its parent had at that moment; when the parent changes, the child is
 * lost. They lie beside each other as a rule, so this looks there.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include "image-set.h"

#define MAX_CANDIDATES	256

static bool is_vmdk(const char *name)
{
	size_t len = strlen(name);

	return len > 5 && !strcasecmp(name + len - 5, ".vmdk");
}

/* Does a hint lead to the top image, by its name or through the file system? */
static bool hint_is_top(const struct image_set *set, const char *hint)
{
	const struct set_image *top = &set->images[0];
	const struct set_member *m = &set->members[top->member];
	struct stat st;

	if (!strcmp(hint_base(hint), path_base(top->path)))
		return true;
	return !fstatat(top->dirfd, hint, &st, AT_NO_AUTOMOUNT) && st.st_dev == m->dev &&
	       st.st_ino == m->ino;
}

static bool is_child(const struct image_set *set, const struct vd_layout *child)
{
	const struct vd_layout *top = set->images[0].layout;
	const char *hint = vd_layout_str(child, child->parent_name);
	bool by_uuid, by_cid;

	if (!(child->flags & VD_LAYOUT_PARENT))
		return false;
	by_uuid = (child->flags & VD_LAYOUT_HAVE_PARENT_UUID) &&
		  (top->flags & VD_LAYOUT_HAVE_UUID) &&
		  !memcmp(child->parent_uuid, top->uuid, sizeof(top->uuid));
	if (!by_uuid && !(hint && hint_is_top(set, hint)))
		return false;
	/* One that does not fit any more has nothing to lose. */
	by_cid = layout_names_cid(child) && (top->flags & VD_LAYOUT_HAVE_CID);
	return !by_cid || child->parent_cid == top->cid;
}

/* The open candidate, or -1: no regular file, or one of our own. */
static int open_candidate(const struct image_set *set, const char *name)
{
	int dirfd = set->images[0].dirfd;
	struct stat st;
	int path_fd, fd = -1;

	path_fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (path_fd < 0)
		return -1;
	if (!fstat(path_fd, &st) && S_ISREG(st.st_mode) && st.st_size &&
	    set_find_member(set, st.st_dev, st.st_ino, false) < 0 &&
	    reopen_checked(path_fd, name, false, &fd))
		fd = -1;
	close(path_fd);
	ctl_drop();
	return fd;
}

static int refuse(const struct image_set *set, const char *name)
{
	char *command = ctl_command_with("--ignore-children", NULL);

	ctl_error(CTL_IMAGE, "has_children", set->images[0].path,
		  "%s is a snapshot on top of it, and any change here would spoil that one", name);
	ctl_hint("-r reads it; the newest snapshot is the disk to write to");
	ctl_hint("if the snapshot is no longer wanted: %s", command);
	free(command);
	return CTL_IMAGE;
}

static int look_at(const struct image_set *set, const char *name, int fd)
{
	struct parsed parsed;
	bool yes;

	yes = !parse_confined(fd, name, NULL, true, &parsed) && parsed.layout &&
	      is_child(set, parsed.layout);
	/* What cannot be read is nobody's child. */
	ctl_drop();
	vd_free(parsed.layout);
	close(fd);
	return yes ? refuse(set, name) : 0;
}

int set_check_children(struct image_set *set)
{
	struct dirent *entry;
	int fd, seen = 0, ret = 0;
	DIR *dir;

	if (set->opts->ignore_children || set->images[0].dirfd < 0)
		return 0;
	fd = openat(set->images[0].dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		if (fd >= 0)
			close(fd);
		ctl_warn(set->images[0].path, "cannot look for snapshots of it in %s",
			 set->images[0].dir);
		return 0;
	}
	while (!ret && (entry = readdir(dir))) {
		fd = is_vmdk(entry->d_name) ? open_candidate(set, entry->d_name) : -1;
		if (fd < 0)
			continue;
		if (seen++ == MAX_CANDIDATES) {
			close(fd);
			ctl_warn(set->images[0].path,
				 "looked at %d other images in %s for snapshots of it; there are more",
				 MAX_CANDIDATES, set->images[0].dir);
			break;
		}
		ret = look_at(set, entry->d_name, fd);
	}
	closedir(dir);
	return ret;
}
