/* SPDX-License-Identifier: GPL-2.0-only */
/* New names for the files of an image, where one of them names the others. User space only. */
#ifndef VDISK_RENAME_H
#define VDISK_RENAME_H

#include "vd_port.h"

/**
 * struct vd_new_names - what is called otherwise from now on
 * @from, @to: an image's own file, without directory; NULL: keeps its name
 * @from_stem, @to_stem: how many bytes of that are without the format's extension
 * @parent: what the image shall call its parent; NULL: as before
 * @parent_path: that is all of it; else a name, in the directory of the old one
 *
 * Files that the image names beside itself follow if their name is its stem and
 * something after a dash or a dot; all others keep theirs.
 */
struct vd_new_names {
	const char *from;
	const char *to;
	u32 from_stem;
	u32 to_stem;
	const char *parent;
	bool parent_path;
};

#endif /* VDISK_RENAME_H */
