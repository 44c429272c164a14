/* SPDX-License-Identifier: GPL-2.0-only */
/* vdctl set FILE: other properties for an image that nobody uses. */
#ifndef VDCTL_SET_PROPS_H
#define VDCTL_SET_PROPS_H

#include "image-set.h"

/**
 * struct props_args - what was asked for
 * @want: but for the comment
 * @comment: "" removes it
 * @option: a property that was named, for messages; NULL: none
 * @only: an option that says something about setting properties; NULL: none
 */
struct props_args {
	struct vd_props want;
	const char *comment;
	const char *format;
	const char *option;
	const char *only;
	bool ignore_children;
	bool ignore_vmware_lock;
};

extern const struct ctl_opt props_opts[];
/* Takes @id if it is an option of this. 0, an exit code, or -1: not one. */
int props_opt(struct props_args *args, int id, const char *arg);
int props_set(const struct props_args *args, const char *path);

#endif /* VDCTL_SET_PROPS_H */
