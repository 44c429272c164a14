/* SPDX-License-Identifier: GPL-2.0-only */
/* vdctl info: how the properties of an image are shown. */
#ifndef VDCTL_INFO_H
#define VDCTL_INFO_H

#include "image-set.h"
#include "netlink.h"

/*
 * Of the whole image: its size on the disk is that of all its files, and where the
 * format notes no time, the newest of them says when it was changed.
 */
void info_props(const struct image_set *set, u32 index, struct vd_props *p);

void json_sizes(struct json_object *o, const struct vd_props *p);
void json_props(struct json_object *o, const struct vd_props *p, const char *comment);

void print_text(const char *key, const char *value);
void print_size(const char *key, u64 bytes);
void print_sizes(const struct vd_props *p);
void print_props(const struct vd_props *p, const char *comment);

#endif /* VDCTL_INFO_H */
