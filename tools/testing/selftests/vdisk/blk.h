/* SPDX-License-Identifier: GPL-2.0-only */
/* Attaching over raw netlink, and what a block device can be asked. */
#ifndef VDT_BLK_H
#define VDT_BLK_H

#include <linux/vdisk.h>

#include "nl.h"
#include "util.h"

/* /dev/vdiskN as ATTACH answered. */
struct vdev {
	u32 id;
	u64 diskseq;
	u32 major;
	u32 minor;
	char path[32];
};

/* Building ATTACH by hand: nl_begin(), any number of these, attach_send(). */
void attach_flags(struct nl_req *req, u32 flags);
void attach_member(struct nl_req *req, int fd, u32 flags);
void attach_image(struct nl_req *req, u32 format, u64 size);
void attach_segment(struct nl_req *req, u32 kind, u32 member, u64 start, u64 len, u64 offset);
/* Sends and frees @req. 0 and *@dev, or a negative errno and reply->text. */
int attach_send(struct nl *nl, struct nl_req *req, struct vdev *dev, struct nl_reply *reply);

/* One raw file, all of it: the usual case. */
int attach_raw(struct nl *nl, int fd, u64 size, u32 flags, struct vdev *dev,
	       struct nl_reply *reply);
/* A chain of one VMDK sparse extent. */
int attach_sparse(struct nl *nl, int fd, u64 size, struct vdev *dev, struct nl_reply *reply);

int vdev_detach(struct nl *nl, u32 id, u32 mode, struct nl_reply *reply);
int vdev_set(struct nl *nl, u32 id, u32 flags, u32 mask, struct nl_reply *reply);
/*
 * Did the last of either take so long that there may have been no time to fill all
 * holes? The answer comes before that time is over.
 */
bool vdev_end_late(void);
int vdev_get(struct nl *nl, u32 id, struct nl_reply *reply);
/* Flags in force, ~0 if there is no such device. */
u32 vdev_flags(struct nl *nl, u32 id);
bool vdev_gone(struct nl *nl, u32 id);
/* How many devices there are; -errno. */
int vdev_count(struct nl *nl);
/* Detach whatever an earlier part left behind, by force if need be. */
void vdev_detach_all(struct nl *nl);

/* Open the node, -errno on failure. */
int vdev_open(const struct vdev *dev, int flags);
/* One value of /sys/block/vdiskN/; "" if there is none. */
const char *vdev_sysfs(const struct vdev *dev, const char *attr);
bool vdev_has_partition(const struct vdev *dev, unsigned int n);

u64 bdev_size(int fd);
int bdev_is_ro(int fd);
int bdev_discard(int fd, u64 pos, u64 len);	/* 0 or -errno */
int bdev_zeroout(int fd, u64 pos, u64 len);

/* First byte where they differ, or @len. */
u64 first_difference(const void *a, const void *b, u64 len);
/* Does @fd hold exactly @want from @pos on? Says where not. */
bool same_content(int fd, const void *want, u64 len, u64 pos);

#endif /* VDT_BLK_H */
