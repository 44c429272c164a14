// SPDX-License-Identifier: GPL-2.0-only
/* The parent of a new image, whatever formats the two have. */
#include <stdlib.h>
#include "chain.h"
#include "create.h"

/* A damaged image looks like a raw one; a name may be enough to tell. */
static int check_format(const struct set_image *parent)
{
	char *command;

	if (!parent->guessed || name_is_raw(parent->path))
		return 0;
	ctl_error(CTL_USAGE, "format_not_said", parent->path,
		  "is in no format that vdctl recognises");
	command = ctl_command_with("-F", "raw");
	ctl_hint("if it is a raw image: %s", command);
	free(command);
	return CTL_USAGE;
}

static void choose_size(const struct create *c, const struct set_image *parent, u64 *size)
{
	*size = c->have_size ? c->size : parent->size;
	if (*size == parent->size)
		return;
	ctl_warn(c->path, "has %llu bytes, its parent %llu; %s", (unsigned long long)*size,
		 (unsigned long long)parent->size, *size > parent->size ?
		 "what is beyond reads as zeros" : "what is beyond cannot be seen");
}

int create_parent_open(const struct create *c, struct image_set *set, u64 *size)
{
	char *path = (char *)(uintptr_t)c->backing;
	int ret;

	ret = set_open(set, &c->parent, &path, 1);
	if (ret)
		return ret;
	ret = check_format(&set->images[0]);
	if (!ret)
		choose_size(c, &set->images[0], size);
	return ret;
}

int create_parent_room(const struct create *c, const struct image_set *set, u32 nr_files,
		       u32 nr_segs)
{
	if (set->nr_images < VDISK_MAX_IMAGES && set->nr_members + nr_files <= VDISK_MAX_MEMBERS &&
	    set->nr_segs + nr_segs <= VDISK_MAX_SEGMENTS)
		return 0;
	return ctl_error(CTL_USAGE, "too_large", c->path,
			 "with its parents it would be more than the %u images or %u files that can be opened",
			 VDISK_MAX_IMAGES, VDISK_MAX_MEMBERS);
}

void create_parent_warn(const struct create *c, const struct image_set *set, const char *id)
{
	const char *child = path_base(c->path), *parent = set->images[0].path;

	if (id)
		ctl_warn(parent, "must not be written to from now on: a change gives it another %s, and %s no longer fits it",
			 id, child);
	else
		ctl_warn(parent, "must not be written to from now on: it has no id that a change would renew, and %s would be spoilt without a sign",
			 child);
}
