// SPDX-License-Identifier: GPL-2.0-only
/* One image: parse it in the cage, open the files that its extents name. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "image-set.h"

int set_add_segment(struct image_set *set, u32 image, const struct vdisk_segment_desc *seg)
{
	if (set->nr_segs == VDISK_MAX_SEGMENTS)
		return ctl_error(CTL_IMAGE, "unsupported", set->images[image].path,
				 "the disk has more than %u extents", VDISK_MAX_SEGMENTS);
	set->segs = xrealloc(set->segs, set->nr_segs + 1, sizeof(*seg));
	set->segs[set->nr_segs] = *seg;
	set->segs[set->nr_segs].image = image;
	set->nr_segs++;
	set->images[image].nr_segs++;
	return 0;
}

static void hint_separator(const char *name)
{
	if (strchr(name, '\\'))
		ctl_hint("the name has backslashes: edit the descriptor to say it with '/'");
}

static int missing_extent(const struct set_image *image, const char *name)
{
	int ret;

	ret = ctl_error(CTL_NOTFOUND, "extent_missing", image->path, "extent '%s' not found", name);
	ctl_hint("looked for %s%s%s", name[0] == '/' ? "" : image->dir, name[0] == '/' ? "" : "/",
		 name);
	hint_separator(name);
	return ret;
}

/*
 * Several flat extents of one image may lie in one file; they share a member.
 * Any other second use of a file is refused by set_add_member().
 */
static bool shared_flat(struct image_set *set, u32 index, const struct opened *file, u32 kind,
			u32 *member)
{
	struct stat st;
	int twin;
	u32 i;

	if (kind != VDISK_SEG_RAW || fstat(file->fd, &st))
		return false;
	twin = set_find_member(set, st.st_dev, st.st_ino, false);
	if (twin < 0 || set->members[twin].image != index ||
	    (u32)twin == set->images[index].member)
		return false;
	for (i = 0; i < set->nr_segs; i++)
		if (set->segs[i].member == (u32)twin && set->segs[i].kind != VDISK_SEG_RAW)
			return false;
	*member = (u32)twin;
	return true;
}

static int open_extent(struct image_set *set, u32 index, const char *name, u32 kind, u32 *member)
{
	struct set_image *image = &set->images[index];
	struct opened file;

	switch (reference_open(set, image, set->members[image->member].uid, "extent", name, false,
			       &file)) {
	case REF_OK:
		break;
	case REF_MISSING:
		return missing_extent(image, name);
	default:
		hint_separator(name);
		return ctl_error(CTL_FAIL, "failed", image->path, "cannot open extent '%s'", name);
	}
	if (shared_flat(set, index, &file, kind, member)) {
		close(file.fd);
		free(file.path);
		return 0;
	}
	return set_add_member(set, &file, index, member);
}

static int add_extent(struct image_set *set, u32 index, const struct vd_layout_seg *from)
{
	const struct set_image *image = &set->images[index];
	const char *name = vd_layout_str(image->layout, from->name);
	struct vdisk_segment_desc seg = {
		.kind = from->kind,
		.member = VDISK_NO_MEMBER,
		.flags = from->flags & VD_LSEG_RDONLY ? VDISK_SEGF_RDONLY : 0,
		.start = from->start,
		.len = from->len,
		.offset = from->offset,
	};
	int ret;

	if (from->flags & VD_LSEG_DEVICE)
		return ctl_error(CTL_IMAGE, "unsupported", image->path,
				 "extent '%s' is a device of the host; such images are not supported",
				 name ? name : "");
	if (from->kind == VDISK_SEG_ZERO || from->kind == VDISK_SEG_NOACCESS)
		return set_add_segment(set, index, &seg);
	if (from->flags & VD_LSEG_SELF) {
		seg.member = image->member;
		return set_add_segment(set, index, &seg);
	}
	if (!name)
		return ctl_error(CTL_IMAGE, "image_damaged", image->path,
				 "the extent at byte %llu names no file",
				 (unsigned long long)from->start);
	ret = open_extent(set, index, name, from->kind, &seg.member);
	return ret ? ret : set_add_segment(set, index, &seg);
}

int set_add_extents(struct image_set *set, u32 index)
{
	struct set_image *image = &set->images[index];
	const struct vd_layout *layout = image->layout;
	u32 i;
	int ret;

	image->first_seg = set->nr_segs;
	for (i = 0; i < layout->nr_segs; i++) {
		ret = add_extent(set, index, &vd_layout_segs(layout)[i]);
		if (ret)
			return ret;
	}
	return 0;
}

static void say_oddities(const struct set_image *image)
{
	const char *warning = NULL;

	if (image->layout->flags & VD_LAYOUT_WARNING)
		warning = vd_layout_str(image->layout, image->layout->warning);
	if (warning)
		ctl_warn(image->path, "%s", warning);
	if (image->layout->flags & VD_LAYOUT_UNCLEAN)
		ctl_note(image->path, "was not closed cleanly by its last writer");
}

/*
 * Appends the image in @file (taken over) to the chain, without its parent.
 * On error the caller closes the set, or pops what was added.
 */
int set_open_image(struct image_set *set, struct opened *file, const char *format)
{
	struct set_image *image;
	struct parsed parsed;
	u32 index = set->nr_images;
	int ret;

	if (index == VDISK_MAX_IMAGES) {
		ret = ctl_error(CTL_IMAGE, "unsupported", file->path,
				"the chain is deeper than %u images", VDISK_MAX_IMAGES);
		close(file->fd);
		free(file->path);
		return ret;
	}
	image = &set->images[set->nr_images++];
	memset(image, 0, sizeof(*image));
	image->dirfd = -1;
	image->path = xstrdup(file->path);
	image->first_seg = set->nr_segs;
	ret = set_add_member(set, file, index, &image->member);
	if (ret)
		return ret;
	ret = parse_confined(set->members[image->member].fd, image->path, format, true, &parsed);
	if (ret)
		return ret;
	image->format = parsed.format;
	image->layout = parsed.layout;
	if (!image->layout) {
		image->guessed = !format;
		return 0;	/* raw: the caller gives it its segment */
	}
	image->size = image->layout->props.size;
	say_oddities(image);
	ret = image_set_dir(image, set->members[image->member].fd, image->path);
	return ret ? ret : set_add_extents(set, index);
}
