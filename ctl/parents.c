// SPDX-License-Identifier: GPL-2.0-only
/*
 * The chain below the top: finding each parent, and making sure that it is the
 * right one, unchanged since the child was made.
 *
 * Order: the hint as written, its last component beside the child, the parent
 * UUID beside the child, --parent. The first that opens and fits wins.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include "image-set.h"

#define MAX_DIR_ENTRIES 1024
#define MAX_TRIED 4

/* What was looked at for one parent, for the message. */
struct search {
	const char *hint;
	char *tried[MAX_TRIED];
	int nr_tried;
};

static void note_tried(struct search *s, char *path)
{
	if (s->nr_tried < MAX_TRIED)
		s->tried[s->nr_tried++] = path;
	else
		free(path);
}

static void search_free(struct search *s)
{
	while (s->nr_tried)
		free(s->tried[--s->nr_tried]);
}

/* Wrong parent: an error, or with --ignore-cid a warning. */
static int wrong_parent(struct image_set *set, const char *path, const char *text)
{
	char *command;

	if (set->opts->ignore_cid) {
		ctl_warn(path, "%s; going on because of --ignore-cid", text);
		set->wrong_parent = true;
		return 0;
	}
	ctl_error(CTL_IMAGE, "parent_changed", path, "%s", text);
	command = ctl_command_with("--ignore-cid", NULL);
	ctl_hint("the parent was changed after this image was made, or is another disk; to read it anyway: %s",
		 command);
	free(command);
	return CTL_IMAGE;
}

static int compare_uuids(struct image_set *set, const struct set_image *child,
			 const struct set_image *parent, const char *what, const u8 *want,
			 const u8 *have)
{
	char w[37], h[37];
	char *text;
	int ret;

	if (uuid_is_zero(want) || uuid_is_zero(have) || !memcmp(want, have, 16))
		return 0;
	format_uuid(want, w);
	format_uuid(have, h);
	text = xasprintf("wants a parent with %s %s, but %s has %s", what, w, parent->path, h);
	ret = wrong_parent(set, child->path, text);
	free(text);
	return ret;
}

/* VirtualBox writes "no parent" there, and means its UUIDs. */
bool layout_names_cid(const struct vd_layout *child)
{
	return (child->flags & VD_LAYOUT_HAVE_CID) &&
	       (child->parent_cid != 0xffffffff || !(child->flags & VD_LAYOUT_HAVE_PARENT_UUID));
}

static int check_parent(struct image_set *set, const struct set_image *child,
			const struct set_image *parent)
{
	const struct vd_layout *c = child->layout, *p = parent->layout;
	char *text = NULL;
	int ret = 0;

	if (!p)
		text = xasprintf("its parent %s is in no format that vdctl recognises",
				 parent->path);
	else if (layout_names_cid(c) && (p->flags & VD_LAYOUT_HAVE_CID) && c->parent_cid != p->cid)
		text = xasprintf("wants a parent with CID %08x, but %s has CID %08x",
				 c->parent_cid, parent->path, p->cid);
	if (text)
		ret = wrong_parent(set, child->path, text);
	free(text);
	if (ret || !p)
		return ret;
	if ((c->flags & VD_LAYOUT_HAVE_PARENT_UUID) && (p->flags & VD_LAYOUT_HAVE_UUID))
		ret = compare_uuids(set, child, parent, "UUID", c->parent_uuid, p->uuid);
	if (!ret && (c->flags & VD_LAYOUT_HAVE_PARENT_MOD_UUID) &&
	    (p->flags & VD_LAYOUT_HAVE_MOD_UUID))
		ret = compare_uuids(set, child, parent, "modification UUID", c->parent_mod_uuid,
				    p->mod_uuid);
	return ret;
}

static int check_loop(const struct image_set *set, const struct opened *file, const char *child)
{
	struct stat st;
	u32 i;

	if (fstat(file->fd, &st))
		return ctl_errno(errno, file->path, NULL);
	for (i = 0; i < set->nr_images; i++) {
		const struct set_member *m = &set->members[set->images[i].member];

		if (!m->block && m->dev == st.st_dev && m->ino == st.st_ino)
			return ctl_error(CTL_IMAGE, "chain_loops", child,
					 "its parent %s is already in the chain: the chain is a loop",
					 file->path);
	}
	return 0;
}

/* @file becomes the next image of the chain if it fits; taken over. */
static int take_parent(struct image_set *set, u32 child, struct opened *file)
{
	u32 members = set->nr_members;
	int ret;

	ret = check_loop(set, file, set->images[child].path);
	if (ret) {
		close(file->fd);
		free(file->path);
		return ret;
	}
	ret = set_open_image(set, file, NULL);
	if (!ret && !set->images[child + 1].layout)
		ret = set_describe_raw(set, child + 1);
	if (!ret)
		ret = check_parent(set, &set->images[child], &set->images[child + 1]);
	if (ret)
		set_pop_images(set, child + 1, members);
	return ret;
}

static bool there(const struct set_image *child, const char *name)
{
	struct stat st;

	return !fstatat(child->dirfd, name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT);
}

/*
 * 0 taken, -1 not there (go on), else the exit code. A name that policy
 * refuses counts as not there when nothing is there.
 */
static int try_name(struct image_set *set, u32 index, const char *name, struct search *s)
{
	struct set_image *child = &set->images[index];
	struct opened file;

	switch (reference_open(set, child, set->members[child->member].uid, "parent", name, false,
			       &file)) {
	case REF_OK:
		return take_parent(set, index, &file);
	case REF_REFUSED:
		if (!set->opts->no_references && !there(child, name)) {
			ctl_drop();
			break;
		}
		return ctl_error(CTL_PERM, "reference_refused", child->path, "parent refused");
	case REF_FAILED:
		return ctl_error(CTL_FAIL, "failed", child->path, "cannot open parent '%s'", name);
	case REF_MISSING:
		break;
	}
	note_tried(s, name[0] == '/' ? xstrdup(name) : xasprintf("%s/%s", child->dir, name));
	return -1;
}

const char *hint_base(const char *hint)
{
	const char *p, *last = hint;

	for (p = hint; *p; p++)
		if ((*p == '/' || *p == '\\') && p[1])
			last = p + 1;
	return last;
}

static bool has_uuid(const struct image_set *set, const struct set_image *child, const char *name)
{
	struct parsed parsed;
	struct opened file;
	bool yes;

	if (reference_open(set, child, set->members[child->member].uid, "parent", name, false,
			   &file) != REF_OK) {
		ctl_drop();
		return false;
	}
	yes = !parse_confined(file.fd, file.path, NULL, true, &parsed) && parsed.layout &&
	      (parsed.layout->flags & VD_LAYOUT_HAVE_UUID) &&
	      !memcmp(parsed.layout->uuid, child->layout->parent_uuid, 16);
	ctl_drop();
	vd_free(parsed.layout);
	close(file.fd);
	free(file.path);
	return yes;
}

/* VirtualBox names parents by UUID; look at the other disks beside the child. */
static int try_uuid(struct image_set *set, u32 index, struct search *s)
{
	struct set_image *child = &set->images[index];
	struct dirent *entry;
	int fd, seen = 0, ret = -1;
	DIR *dir;

	if (!(child->layout->flags & VD_LAYOUT_HAVE_PARENT_UUID) ||
	    uuid_is_zero(child->layout->parent_uuid))
		return -1;
	fd = openat(child->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	while (ret < 0 && seen++ < MAX_DIR_ENTRIES && (entry = readdir(dir))) {
		size_t len = strlen(entry->d_name);

		if (len > 5 && !strcasecmp(entry->d_name + len - 5, ".vmdk") &&
		    has_uuid(set, child, entry->d_name))
			ret = try_name(set, index, entry->d_name, s);
	}
	closedir(dir);
	if (ret < 0)
		note_tried(s, xasprintf("%s/*.vmdk with the UUID of the parent", child->dir));
	return ret;
}

static int find_parent(struct image_set *set, u32 index, struct search *s)
{
	const char *base;
	int ret = -1;

	if (s->hint) {
		ret = try_name(set, index, s->hint, s);
		base = hint_base(s->hint);
		if (ret && base != s->hint && !set->opts->no_references) {
			/* What is beside the child beats a name that policy refuses. */
			if (ret == CTL_PERM && there(&set->images[index], base)) {
				ctl_drop();
				ret = -1;
			}
			if (ret < 0)
				ret = try_name(set, index, base, s);
		}
	}
	if (ret < 0)
		ret = try_uuid(set, index, s);
	return ret;
}

static int use_given(struct image_set *set, u32 index)
{
	struct opened file;
	int ret;

	ret = open_named(set->opts->parents[set->parents_used++], false, &file);
	return ret ? ret : take_parent(set, index, &file);
}

static int missing_parent(const struct set_image *child, const struct search *s)
{
	char *command = ctl_command_with("--parent", "PATH");
	char *tried = xstrdup("");
	int i, ret;

	for (i = 0; i < s->nr_tried; i++) {
		char *more = xasprintf("%s%s%s", tried, i ? ", " : "", s->tried[i]);

		free(tried);
		tried = more;
	}
	ret = ctl_error(CTL_NOTFOUND, "parent_missing", child->path,
			"parent '%s' not found (tried: %s)", s->hint ? s->hint : "", tried);
	ctl_hint("if it is elsewhere: %s", command);
	free(tried);
	free(command);
	return ret;
}

static int open_parent(struct image_set *set, u32 index)
{
	struct set_image *child = &set->images[index];
	struct search s = { .hint = vd_layout_str(child->layout, child->layout->parent_name) };
	int ret;

	ret = find_parent(set, index, &s);
	if (ret && ret != CTL_BUSY && set->parents_used < set->opts->nr_parents) {
		ctl_drop();
		ret = use_given(set, index);
	} else if (ret < 0) {
		ret = missing_parent(child, &s);
	}
	search_free(&s);
	return ret;
}

int set_open_parents(struct image_set *set)
{
	u32 at = 0;
	int ret;

	while (set->images[at].layout && (set->images[at].layout->flags & VD_LAYOUT_PARENT)) {
		ret = open_parent(set, at);
		if (ret)
			return ret;
		if (set->images[at + 1].size != set->images[at].size)
			ctl_note(set->images[at].path, "its parent %s has another size (%llu, not %llu bytes)",
				 set->images[at + 1].path,
				 (unsigned long long)set->images[at + 1].size,
				 (unsigned long long)set->images[at].size);
		at++;
	}
	return 0;
}
