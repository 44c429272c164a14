/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What an image says of itself beside its content: one struct for all formats,
 * whose mask tells which of it this image has. User space only.
 *
 * A layout carries it, so the layout op is the "get"; vd_format_user.set_props is
 * the "set".
 */
#ifndef VDISK_PROPS_H
#define VDISK_PROPS_H

#include "vd_port.h"
#include "vdisk/error.h"
#include "vdisk/uuid.h"

/* A string in a pool: byte offset from the pool's start; 0 is "none". */
typedef u32 vd_str;

/* struct vd_props.mask */
#define VD_PROP_VERSION		(1U << 0)
#define VD_PROP_SIZE		(1U << 1)
#define VD_PROP_FILE_SIZE	(1U << 2)
#define VD_PROP_FLAGS		(1U << 3)
#define VD_PROP_PCHS		(1U << 4)
#define VD_PROP_LCHS		(1U << 5)
#define VD_PROP_COMMENT		(1U << 6)
#define VD_PROP_UUID		(1U << 7)
#define VD_PROP_MOD_UUID	(1U << 8)
#define VD_PROP_PARENT_UUID	(1U << 9)
#define VD_PROP_PARENT_MOD_UUID	(1U << 10)
#define VD_PROP_PARENT_NAME	(1U << 11)
#define VD_PROP_TIME		(1U << 12)
#define VD_PROP_PARENT_TIME	(1U << 13)

#define VD_PROP_ALL		((VD_PROP_PARENT_TIME << 1) - 1)

/* struct vd_props.flags: what kind of image it is */
#define VD_IMAGE_FIXED		(1U << 0)	/* all of its space is there from the start */
#define VD_IMAGE_DIFF		(1U << 1)	/* has a parent */
#define VD_IMAGE_SPLIT		(1U << 2)	/* in files of at most 2 GiB */
#define VD_IMAGE_STREAM		(1U << 3)	/* written once, from front to back */
#define VD_IMAGE_ESX		(1U << 4)	/* of the kinds that ESX makes */
#define VD_IMAGE_UNDO		(1U << 5)	/* a parent's undo log */
#define VD_IMAGE_ZERO_EXPAND	(1U << 6)	/* fixed, but what was never written is not there */

#define VD_IMAGE_ALL		((VD_IMAGE_ZERO_EXPAND << 1) - 1)

/* Cylinders, heads and sectors; C 0: the image leaves it to its reader. */
struct vd_chs {
	u32 c;
	u32 h;
	u32 s;
};

/**
 * struct vd_props - the properties of one image
 * @mask: VD_PROP_*; what is not in it is 0
 * @version: of the format, in its own way of counting: a number, or major << 16 | minor
 * @size: virtual size in bytes
 * @file_size: bytes of the image's own file; those that it names have their own
 * @flags: VD_IMAGE_*
 * @comment: UTF-8 in most formats; may have lines
 * @parent_name: the hint, as written
 * @pchs, @lchs: geometry of the disk, and the one that its BIOS shows
 * @uuid ...: in the order of the text form; never all zeros
 * @time: seconds since 1970 that the format itself notes of the last change
 * @parent_time: the same of the parent, when this image was made
 */
struct vd_props {
	u32 mask;
	u32 version;
	u64 size;
	u64 file_size;
	u32 flags;
	vd_str comment;
	vd_str parent_name;
	struct vd_chs pchs;
	struct vd_chs lchs;
	u8 uuid[VD_UUID_BYTES];
	u8 mod_uuid[VD_UUID_BYTES];
	u8 parent_uuid[VD_UUID_BYTES];
	u8 parent_mod_uuid[VD_UUID_BYTES];
	u32 pad;
	s64 time;
	s64 parent_time;
};

/*
 * For backends, one property @which a call. A value that stands for "none" (0, no
 * string, no cylinders, zeros) leaves it unset.
 */
void vd_props_put(struct vd_props *p, u32 which, u64 value);
void vd_props_put_text(struct vd_props *p, u32 which, vd_str text);
void vd_props_put_chs(struct vd_props *p, u32 which, u32 c, u32 h, u32 s);
void vd_props_put_uuid(struct vd_props *p, u32 which, const u8 uuid[VD_UUID_BYTES]);

/* --- the other way: what somebody wants an image to say --- */

/* Most cylinders, heads and sectors that BIOSes and ATA disks have. */
#define VD_PCHS_MAX	((struct vd_chs) { 16383, 16, 63 })
#define VD_LCHS_MAX	((struct vd_chs) { 1024, 255, 63 })

/* -EOPNOTSUPP: images of @format have no place for the first of @mask. */
int vd_props_refuse(const char *format, u32 mask, struct vd_error *err);
/*
 * -EINVAL, with a sentence, if what @want->mask says is no value: a geometry past
 * @pchs or @lchs, UUIDs of zeros, a comment that is no UTF-8. C 0, and a comment that
 * is 0, stand for "none any more". Strings are at their offsets in @pool.
 */
int vd_props_check_want(const struct vd_props *want, const char *pool, const struct vd_chs *pchs,
			const struct vd_chs *lchs, struct vd_error *err);
/* Of that, what is about a comment. */
int vd_props_check_comment(const char *comment, struct vd_error *err);

/* Is what is set something, and what is not set nothing? Strings are the layout's. */
bool vd_props_ok(const struct vd_props *p);

#endif /* VDISK_PROPS_H */
