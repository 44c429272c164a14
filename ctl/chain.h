/* SPDX-License-Identifier: GPL-2.0-only */
/* Children and parents: what the verbs and the search for parents share. */
#ifndef VDCTL_CHAIN_H
#define VDCTL_CHAIN_H

#include "forest.h"
#include "image-set.h"

/* chain-ids.c */
/* @l NULL: nothing is known. */
void layout_ids(const struct vd_layout *l, struct chain_ids *out);
/* Does the name end as those of images do that can say who they are? */
bool name_is_image(const char *name);
/* As those of raw images? */
bool name_is_raw(const char *name);
/* Does the file begin as such images do? @data has VD_MAGIC_END bytes. */
bool begins_as_image(const u8 *data, size_t len);
/* What follows the last separator, of Windows too. */
const char *hint_base(const char *hint);
/*
 * Why @parent, found at @path, is not the one that the child was made of, as a
 * sentence about the child for the caller to free. NULL: nothing is against it.
 */
char *ids_misfit(const struct chain_ids *child, const struct chain_ids *parent, const char *path);

/* chain-beside.c */
/*
 * Images beside the child, by policy its to use, or in the directory above (@above), which
 * policy is still to be asked about, that have that UUID. The number; the first two of @names
 * are names in that directory, which the set keeps.
 */
int beside_find(struct image_set *set, u32 child, bool above, const u8 uuid[16],
		const char *names[2]);
void beside_free(struct beside *list);

#endif /* VDCTL_CHAIN_H */
