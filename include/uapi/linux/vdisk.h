/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * vdisk: control interface, generic netlink family "vdisk".
 *
 * Documentation/netlink/specs/vdisk.yaml describes the same thing for
 * generators; a test keeps the two equal.
 *
 * The kernel never sees a path or a descriptor's text. A caller opens every
 * file of an image set, works out which guest range lives where, and passes
 * file descriptors plus the numeric tables below. The kernel checks each
 * number again.
 */
#ifndef _UAPI_LINUX_VDISK_H
#define _UAPI_LINUX_VDISK_H

#include <linux/types.h>

#define VDISK_GENL_NAME		"vdisk"
#define VDISK_GENL_VERSION	1
#define VDISK_GENL_MCGRP	"events"

/* Caps that hold for every format; the kernel refuses what exceeds them. */
#define VDISK_MAX_IMAGES	64
#define VDISK_MAX_SEGMENTS	4096
#define VDISK_MAX_MEMBERS	4096
#define VDISK_MAX_NAME		4096
#define VDISK_MAX_PATCHES	8
#define VDISK_PATCH_BYTES	64

enum vdisk_format {
	VDISK_FORMAT_UNSPEC,
	VDISK_FORMAT_RAW,
	VDISK_FORMAT_VMDK,
	VDISK_FORMAT_VDI,
	__VDISK_FORMAT_END,
};

/* Kind of a segment: the format that reads it, and which of its layouts. */
#define VDISK_SEG(format, n)	((format) << 8 | (n))
#define VDISK_SEG_FORMAT(kind)	((kind) >> 8)

enum vdisk_segment_kind {
	VDISK_SEG_ZERO		= 0,	/* no file: reads zeros */
	VDISK_SEG_NOACCESS	= 1,	/* no file: reads fail */
	VDISK_SEG_RAW		= VDISK_SEG(VDISK_FORMAT_RAW, 0),
	VDISK_SEG_VMDK_SPARSE	= VDISK_SEG(VDISK_FORMAT_VMDK, 0),
	VDISK_SEG_VMDK_COWD	= VDISK_SEG(VDISK_FORMAT_VMDK, 1),
	VDISK_SEG_VMDK_SESPARSE	= VDISK_SEG(VDISK_FORMAT_VMDK, 2),
	VDISK_SEG_VDI		= VDISK_SEG(VDISK_FORMAT_VDI, 0),
};

#define VDISK_NO_MEMBER		0xffffffffU

/**
 * struct vdisk_member - one open file of the set
 * @fd: descriptor in the sender's table; regular file or block device.
 *	Locks taken on it stay until the device is detached.
 * @flags: VDISK_MEMBER_*
 */
struct vdisk_member {
	__s32 fd;
	__u32 flags;
};
#define VDISK_MEMBER_RW		(1U << 0)	/* may be written (top image only) */
#define VDISK_MEMBER_FLAGS	VDISK_MEMBER_RW

/**
 * struct vdisk_image_desc - one image of the chain; the first is the top
 * @format: enum vdisk_format
 * @flags: none defined, must be 0
 * @size: virtual size in bytes, a multiple of 512
 */
struct vdisk_image_desc {
	__u32 format;
	__u32 flags;
	__u64 size;
};

/**
 * struct vdisk_segment_desc - guest bytes [start, start + len) of an image
 * @image: index of the image; segments come sorted by (image, start) and
 *	cover each image without gap or overlap
 * @kind: enum vdisk_segment_kind
 * @member: index into the members, or VDISK_NO_MEMBER
 * @flags: VDISK_SEGF_*
 * @start: guest byte, multiple of 512
 * @len: bytes, multiple of 512, > 0
 * @offset: byte offset in the file where a raw segment begins, else 0
 */
struct vdisk_segment_desc {
	__u32 image;
	__u32 kind;
	__u32 member;
	__u32 flags;
	__u64 start;
	__u64 len;
	__u64 offset;
};
#define VDISK_SEGF_RDONLY	(1U << 0)
#define VDISK_SEGF_FLAGS	VDISK_SEGF_RDONLY

/**
 * struct vdisk_patch - bytes to be replaced, durably, before the first change
 * @member: a writable member; it may be one that no segment names (a
 *	descriptor file)
 * @len: 1 to VDISK_PATCH_BYTES
 * @offset: byte in the file; the range lies inside the file and outside data
 * @bytes: the new content, zeros after @len
 */
struct vdisk_patch {
	__u32 member;
	__u32 len;
	__u64 offset;
	__u8 bytes[VDISK_PATCH_BYTES];
};

enum vdisk_cmd {
	VDISK_CMD_UNSPEC,
	VDISK_CMD_ATTACH,
	VDISK_CMD_DETACH,
	VDISK_CMD_SET,		/* EINPROGRESS: files are still written, ask again */
	VDISK_CMD_GET,
	VDISK_CMD_EVENT,
	__VDISK_CMD_MAX,
};
#define VDISK_CMD_MAX (__VDISK_CMD_MAX - 1)

enum vdisk_attr {
	VDISK_A_UNSPEC,
	VDISK_A_PAD,
	VDISK_A_ID,		/* u32: N of /dev/vdiskN */
	VDISK_A_FLAGS,		/* u32: VDISK_F_* wanted (ATTACH, SET) or in force (GET) */
	VDISK_A_FLAGS_MASK,	/* u32: which bits of FLAGS a SET changes */
	VDISK_A_MEMBER,		/* struct vdisk_member, repeated (ATTACH) */
	VDISK_A_IMAGE,		/* struct vdisk_image_desc, repeated (ATTACH, GET) */
	VDISK_A_SEGMENT,	/* struct vdisk_segment_desc, repeated (ATTACH) */
	VDISK_A_SECTOR_SIZE,	/* u32: logical block size, 512 or 4096 */
	VDISK_A_CAPACITY,	/* u64: bytes (GET) */
	VDISK_A_DISKSEQ,	/* u64 (GET) */
	VDISK_A_MAJOR,		/* u32 (GET) */
	VDISK_A_MINOR,		/* u32 (GET) */
	VDISK_A_OPENERS,	/* u32 (GET) */
	VDISK_A_STATE,		/* u32: enum vdisk_state (GET, EVENT) */
	VDISK_A_MODE,		/* u32: enum vdisk_detach_mode (DETACH) */
	VDISK_A_INFLIGHT,	/* u32: requests inside files (GET, DETACH reply) */
	VDISK_A_NAME,		/* string: stable name the user gave */
	VDISK_A_UUID,		/* string: image UUID for udev, canonical form */
	VDISK_A_PATH,		/* string, repeated, display only: one for each image */
	VDISK_A_EVENT,		/* u32: enum vdisk_event */
	VDISK_A_QUEUES,		/* u32: hardware queues, 0 = default (ATTACH, GET) */
	VDISK_A_ERRORS,		/* u64: failed requests (GET) */
	VDISK_A_PATCH,		/* struct vdisk_patch, repeated (ATTACH) */
	__VDISK_A_MAX,
};
#define VDISK_A_MAX (__VDISK_A_MAX - 1)

/* VDISK_A_FLAGS */
#define VDISK_F_RDONLY		(1U << 0)	/* device refuses writes */
#define VDISK_F_HARD_RDONLY	(1U << 1)	/* attached -r: SET cannot lift it */
#define VDISK_F_AUTOCLEAR	(1U << 2)	/* detach at last close, once held O_EXCL */
#define VDISK_F_NO_PARTSCAN	(1U << 3)	/* ATTACH only */
#define VDISK_F_ISOLATE		(1U << 4)	/* host must not activate what is on it */
#define VDISK_F_NO_DISCARD	(1U << 5)	/* DISCARD completes without doing anything */
#define VDISK_F_NO_FLUSH	(1U << 6)	/* FLUSH and FUA do nothing */
#define VDISK_F_BUFFERED	(1U << 7)	/* never O_DIRECT; GET: some file is so */
#define VDISK_F_SETTABLE	(VDISK_F_RDONLY | VDISK_F_AUTOCLEAR | VDISK_F_NO_DISCARD | \
				 VDISK_F_NO_FLUSH | VDISK_F_ISOLATE)
#define VDISK_F_FORCE		(1U << 31)	/* SET: RW to RO although open for writing */

enum vdisk_state {
	VDISK_STATE_NEW,	/* not there yet, or any more */
	VDISK_STATE_LIVE,
	VDISK_STATE_DYING,	/* detach runs, or waits for requests inside a file */
};

enum vdisk_detach_mode {
	VDISK_DETACH_PLAIN,	/* refused while open */
	VDISK_DETACH_LAZY,	/* at last close */
	VDISK_DETACH_FORCE,	/* now: fails what no file has yet */
};

enum vdisk_event {
	VDISK_EVENT_UNSPEC,
	VDISK_EVENT_ATTACH,
	VDISK_EVENT_DETACH,
	VDISK_EVENT_CHANGE,
	VDISK_EVENT_ERROR,
};

#endif /* _UAPI_LINUX_VDISK_H */
