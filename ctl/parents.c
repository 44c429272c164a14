// SPDX-License-Identifier: GPL-2.0-only
/*
 * The chain below the top: finding each parent, and making sure that it is the
 * right one, unchanged since the child was made. Formats mix: what counts is what
 * child and parent say of themselves.
 *
 * Order: the hint as written, its last component beside the child, the parent
 * UUID beside the child, --parent. The first that opens and fits wins; only where
 * nothing fits, --force-parent takes the first that opens.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "chain.h"

#define MAX_TRIED 4

/**
 * struct search - for one parent
 * @tried: what was looked at, for the message
 * @ids: of the child
 * @misfit: something was there, but not the right one
 * @lenient: take what does not fit
 * @given: which --parent was tried, or -1
 */
struct search {
	const char *hint;
	char *tried[MAX_TRIED];
	int nr_tried;
	struct chain_ids ids;
	bool misfit;
	bool lenient;
	int given;
};

static void note_tried(struct search *s, char *path)
{
	if (s->nr_tried < MAX_TRIED && !s->lenient)
		s->tried[s->nr_tried++] = path;
	else
		free(path);
}

static void search_free(struct search *s)
{
	while (s->nr_tried)
		free(s->tried[--s->nr_tried]);
}

/* --- is it the one? --- */

/* Wrong parent: an error, or with --force-parent a warning. @text is taken over. */
static int wrong_parent(struct image_set *set, const struct set_image *child,
			struct set_image *parent, struct search *s, char *text)
{
	char *command;

	s->misfit = true;
	if (s->lenient) {
		if (set->opts->force_parent)
			ctl_warn(child->path, "%s; going on because of --force-parent", text);
		set->wrong_parent = true;
		parent->misfit = text;
		return 0;
	}
	ctl_error(CTL_IMAGE, "parent_changed", child->path, "%s", text);
	free(text);
	command = ctl_command_with("--force-parent", NULL);
	ctl_hint("the parent was changed after this image was made, or is another disk; to read it anyway: %s",
		 command);
	free(command);
	return CTL_IMAGE;
}

/* The child's format has a way to name its parent; nothing in it says that it is this one. */
static bool format_said(const struct set_image *child, const struct set_image *parent)
{
	const char *said = vd_layout_str(child->layout, child->layout->parent_format);

	return said && !strcmp(said, vd_format_name(parent->format));
}

/*
 * A parent of another format with which the child shares no id at all. A damaged
 * image looks like a raw one, so a name that is one of images does not do either.
 */
static char *unknown_parent(const struct set_image *child, const struct set_image *parent)
{
	bool given = parent->found == FOUND_GIVEN;

	if (parent->format == child->format || format_said(child, parent))
		return NULL;
	if (parent->guessed && (!given || name_is_image(parent->path)))
		return xasprintf("its parent %s is in no format that vdctl recognises",
				 parent->path);
	if (given)
		return NULL;
	return xasprintf("names %s as its parent, which is %s, and nothing in it shows that it is",
			 parent->path, vd_format_name(parent->format));
}

static int check_parent(struct image_set *set, const struct set_image *child,
			struct set_image *parent, struct search *s)
{
	struct chain_ids ids;
	struct chain_link link;
	char *text;

	layout_ids(parent->layout, &ids);
	link = chain_compare(&s->ids, &ids);
	text = ids_misfit(&s->ids, &ids, parent->path);
	if (!text && !link.same)
		text = unknown_parent(child, parent);
	parent->link = link.same;
	return text ? wrong_parent(set, child, parent, s, text) : 0;
}

static int chain_loops(const char *child, const char *parent)
{
	return ctl_error(CTL_IMAGE, "chain_loops", child,
			 "its parent %s is already in the chain: the chain is a loop", parent);
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
			return chain_loops(child, file->path);
	}
	return 0;
}

/*
 * A copy of an image above. Only where UUIDs make the chain: VMware gives a disk and
 * its snapshots one and the same.
 */
static int check_uuid_loop(const struct image_set *set, u32 child)
{
	const struct set_image *parent = &set->images[child + 1];
	struct chain_ids ids, above;
	u32 i;

	if (!(parent->link & LINK_UUID))
		return 0;
	layout_ids(parent->layout, &ids);
	for (i = 0; i <= child; i++) {
		layout_ids(set->images[i].layout, &above);
		if (!memcmp(above.uuid, ids.uuid, sizeof(ids.uuid)))
			return chain_loops(set->images[child].path, parent->path);
	}
	return 0;
}

/* @file becomes the next image of the chain if it fits; taken over. */
static int take_parent(struct image_set *set, u32 child, struct opened *file, enum set_found found,
		       struct search *s)
{
	const struct vd_layout *layout = set->images[child].layout;
	u32 members = set->nr_members;
	struct set_image *parent;
	int ret;

	ret = check_loop(set, file, set->images[child].path);
	if (ret) {
		close(file->fd);
		free(file->path);
		return ret;
	}
	ret = set_open_image(set, file, vd_layout_str(layout, layout->parent_format));
	parent = &set->images[child + 1];
	if (!ret && !parent->layout)
		ret = set_describe_raw(set, child + 1);
	if (!ret) {
		parent->found = found;
		ret = check_parent(set, &set->images[child], parent, s);
	}
	if (!ret)
		ret = check_uuid_loop(set, child);
	if (ret)
		set_pop_images(set, child + 1, members);
	return ret;
}

/* --- where it may be --- */

static bool there(const struct set_image *child, const char *name)
{
	struct stat st;

	return !fstatat(child->dirfd, name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT);
}

/*
 * 0 taken, -1 not there (go on), else the exit code. A name that policy
 * refuses counts as not there when nothing is there.
 */
static int try_name(struct image_set *set, u32 index, const char *name, enum set_found found,
		    struct search *s)
{
	struct set_image *child = &set->images[index];
	struct opened file;

	switch (reference_open(set, child, set->members[child->member].uid, "parent", name, false,
			       &file)) {
	case REF_OK:
		return take_parent(set, index, &file, found, s);
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

static int two_parents(const struct set_image *child, const struct search *s, bool above,
		       const char *const names[2])
{
	char *command = ctl_command_with("--parent", "PATH");
	char uuid[37];

	format_uuid(s->ids.parent_uuid, uuid);
	ctl_error(CTL_IMAGE, "parent_ambiguous", child->path,
		  "two images %s have the UUID %s of its parent: %s and %s",
		  above ? "in the directory above" : "beside it", uuid, names[0], names[1]);
	ctl_hint("say which: %s", command);
	free(command);
	return CTL_IMAGE;
}

static int try_directory(struct image_set *set, u32 index, bool above, struct search *s)
{
	struct set_image *child = &set->images[index];
	const char *names[2];
	char *name;
	int nr, ret;

	nr = beside_find(set, index, above, s->ids.parent_uuid, names);
	if (nr > 1)
		return two_parents(child, s, above, names);
	if (nr) {
		name = xasprintf("%s%s", above ? "../" : "", names[0]);
		ret = try_name(set, index, name, FOUND_UUID, s);
		free(name);
		return ret;
	}
	note_tried(s, xasprintf("images in %s%s with the UUID of the parent", child->dir,
				above ? "/.." : ""));
	return -1;
}

static bool among_snapshots(const struct set_image *child)
{
	const char *slash = strrchr(child->dir, '/');

	return !strcmp(slash ? slash + 1 : child->dir, SNAPSHOTS_DIR);
}

/* VirtualBox names parents by UUID; look at the other disks beside the child. */
static int try_uuid(struct image_set *set, u32 index, struct search *s)
{
	int ret;

	if (uuid_is_zero(s->ids.parent_uuid) || set->opts->no_references)
		return -1;
	ret = try_directory(set, index, false, s);
	if (ret < 0 && among_snapshots(&set->images[index]))
		ret = try_directory(set, index, true, s);
	return ret;
}

static int try_hint(struct image_set *set, u32 index, struct search *s)
{
	const char *base;
	int ret;

	if (!s->hint)
		return -1;
	ret = try_name(set, index, s->hint, FOUND_NAME, s);
	base = hint_base(s->hint);
	if (!ret || base == s->hint || set->opts->no_references)
		return ret;
	/* What is beside the child beats a name that policy refuses. */
	if (ret == CTL_PERM && there(&set->images[index], base)) {
		ctl_drop();
		ret = -1;
	}
	return ret < 0 ? try_name(set, index, base, FOUND_NAME, s) : ret;
}

/* Another disk may have taken the parent's name. */
static int find_parent(struct image_set *set, u32 index, struct search *s)
{
	int ret = try_hint(set, index, s);

	if (ret == CTL_IMAGE && s->misfit && !uuid_is_zero(s->ids.parent_uuid)) {
		ctl_drop();
		ret = try_uuid(set, index, s);
		/* Then what is wrong with the first one is the news. */
		return ret < 0 ? try_hint(set, index, s) : ret;
	}
	return ret < 0 ? try_uuid(set, index, s) : ret;
}

bool set_in_chain(const struct image_set *set, const char *path)
{
	struct stat st;
	u32 i;

	if (stat(path, &st))
		return false;
	for (i = 1; i < set->nr_images; i++) {
		const struct set_member *m = &set->members[set->images[i].member];

		if (!m->block && m->dev == st.st_dev && m->ino == st.st_ino)
			return true;
	}
	return false;
}

/* Those that their children's names found need no place in the order. */
static bool next_given(struct image_set *set)
{
	const struct set_options *opts = set->opts;

	while (set->parents_used < opts->nr_parents &&
	       set_in_chain(set, opts->parents[set->parents_used]))
		set->parents_used++;
	return set->parents_used < opts->nr_parents;
}

static int use_given(struct image_set *set, u32 index, struct search *s)
{
	struct opened file;
	int ret;

	ret = open_named(set->opts->parents[s->given], false, &file);
	return ret ? ret : take_parent(set, index, &file, FOUND_GIVEN, s);
}

static char *all_tried(const struct search *s)
{
	char *all = xstrdup("");
	int i;

	for (i = 0; i < s->nr_tried; i++) {
		char *more = xasprintf("%s%s%s", all, i ? ", " : "", s->tried[i]);

		free(all);
		all = more;
	}
	return all;
}

static char *search_command(const struct set_image *child)
{
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	if (!to)
		return xstrdup("vdctl chain --search");
	fputs("vdctl chain --search ", to);
	if (among_snapshots(child)) {
		char *above = xasprintf("%s/..", child->dir);

		shell_quote(to, above);
		free(above);
	} else {
		shell_quote(to, child->dir);
	}
	fputc(' ', to);
	shell_quote(to, child->path);
	fclose(to);
	return text;
}

static int missing_parent(const struct set_image *child, const struct search *s)
{
	char *command = ctl_command_with("--parent", "PATH"), *search = search_command(child);
	char *tried = all_tried(s);
	char uuid[37] = "";
	int ret;

	if (!uuid_is_zero(s->ids.parent_uuid))
		format_uuid(s->ids.parent_uuid, uuid);
	if (!s->hint && !*uuid)
		ret = ctl_error(CTL_NOTFOUND, "parent_missing", child->path,
				"has a parent, but names neither its file nor its UUID");
	else if (s->hint)
		ret = ctl_error(CTL_NOTFOUND, "parent_missing", child->path,
				"parent '%s'%s%s not found (tried: %s)", s->hint,
				*uuid ? " with UUID " : "", uuid, tried);
	else
		ret = ctl_error(CTL_NOTFOUND, "parent_missing", child->path,
				"parent with UUID %s not found (tried: %s)", uuid, tried);
	ctl_hint("if it is elsewhere: %s", command);
	ctl_hint("to look for it in a directory and those below: %s", search);
	free(tried);
	free(search);
	free(command);
	return ret;
}

static int search(struct image_set *set, u32 index, struct search *s)
{
	int ret;

	if (s->lenient && s->given >= 0)
		return use_given(set, index, s);
	ret = find_parent(set, index, s);
	if (ret && ret != CTL_BUSY && !s->lenient && next_given(set)) {
		ctl_drop();
		s->given = set->parents_used++;
		ret = use_given(set, index, s);
	}
	return ret;
}

static int open_parent(struct image_set *set, u32 index)
{
	struct set_image *child = &set->images[index];
	struct search s = {
		.hint = vd_layout_str(child->layout, child->layout->props.parent_name),
		.given = -1,
	};
	int ret;

	layout_ids(child->layout, &s.ids);
	ret = search(set, index, &s);
	if (ret == CTL_IMAGE && s.misfit && (set->opts->force_parent || set->opts->show_parents)) {
		ctl_drop();
		s.lenient = true;
		ret = search(set, index, &s);
	}
	if (ret < 0)
		ret = missing_parent(child, &s);
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
