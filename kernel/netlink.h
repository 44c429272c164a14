/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the commands' handlers share. They run in their caller's task, in parallel,
 * with generic netlink's lock held for reading: they may sleep, but not for ever.
 */
#ifndef VDISK_NETLINK_H
#define VDISK_NETLINK_H

#include <net/genetlink.h>

#include "vdisk.h"

extern struct genl_family vdisk_family;

/* netlink.c */

/* -EPERM, with a text, unless the caller may do everything. */
int vdisk_may(struct sk_buff *skb, struct genl_info *info);
/* The text of @err, if any, goes into the acknowledgement that netlink will send. */
void vdisk_extack(struct genl_info *info, const struct vd_error *err);
/* Number, sequence, major, minor, state; 0 or -EMSGSIZE. */
int vdisk_put_ids(struct sk_buff *msg, struct vdisk_device *dev);
struct sk_buff *vdisk_new_reply(struct vd_error *err);	/* NULL: no memory, @err says it */

/* nl-attach.c */
int vdisk_nl_attach(struct sk_buff *skb, struct genl_info *info);

#endif /* VDISK_NETLINK_H */
