/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What an image's text says, as numbers and checked strings. User space only.
 *
 * A backend's layout op reads the descriptor of one image from an open file
 * (never by path, never following a reference) and answers with one
 * contiguous block without pointers, so that it can be made in a confined
 * child process and sent through a pipe. The receiver calls vd_layout_check()
 * before it looks inside.
 */
#ifndef VDISK_LAYOUT_H
#define VDISK_LAYOUT_H

#include <linux/vdisk.h>
#include "vd_port.h"
#include "vdisk/error.h"
#include "vdisk/check.h"
#include "vdisk/file.h"
#include "vdisk/props.h"

#define VD_LAYOUT_MAGIC		0x59414c56	/* "VLAY" */
#define VD_LAYOUT_MAX		(24U << 20)	/* bytes of one block */

/* struct vd_layout_seg.flags */
#define VD_LSEG_SELF		(1U << 0)	/* this very file, whatever name says */
#define VD_LSEG_RDONLY		(1U << 1)
#define VD_LSEG_DEVICE		(1U << 2)	/* names a device; policy decides */

/**
 * struct vd_layout_seg - one extent, in guest address order
 * @start: guest byte; @len: bytes, multiple of 512
 * @offset: byte in the file (flat extents)
 * @kind: enum vdisk_segment_kind
 * @name: file as written, relative to the descriptor's directory; none for
 *	ZERO, NOACCESS and SELF
 */
struct vd_layout_seg {
	u64 start;
	u64 len;
	u64 offset;
	u32 kind;
	u32 flags;
	vd_str name;
	u32 pad;
};

/* struct vd_layout.flags */
#define VD_LAYOUT_PARENT	(1U << 0)	/* has a parent */
#define VD_LAYOUT_RDONLY	(1U << 1)	/* must not be written: ro_reason says why */
#define VD_LAYOUT_HAVE_CID	(1U << 2)
#define VD_LAYOUT_CBT		(1U << 3)	/* change tracking is on */
#define VD_LAYOUT_UNCLEAN	(1U << 4)
#define VD_LAYOUT_WARNING	(1U << 5)	/* warning says what is odd */
#define VD_LAYOUT_ONLY_CBT	(1U << 6)	/* RDONLY for change tracking alone */

/**
 * struct vd_layout - header of the block; then segs[nr_segs], then the pool
 * @total: bytes of the whole block
 * @props: what the image says of itself; strings are in the pool
 * @subformat: createType or the like, as written
 * @cid, @parent_cid: VMDK content ids
 * @cid_pos, @cid_len: where in the image's own file the digits of the CID
 *	stand; @cid_len 0: nowhere
 * @long_cid_pos, @long_cid_len: the same for ddb.longContentID; all 32 digits or
 *	none
 * @mod_uuid_pos, @mod_uuid_len: the same for the modification UUID: all 36
 *	characters of a text, or the 16 bytes of vd_uuid_to_guid(), or none
 * @version_pos: the same for the digit of the descriptor's version; 0: none
 * @cbt_pos, @cbt_len: the same for the whole line that turns change tracking on,
 *	with its line end; @cbt_len 0: none
 * @cbt_note_len: bytes of the comment line directly before that one, or 0
 * @cbt_name: the log of changes, as written
 * @parent_format: name of the format that the parent has; none: its content tells
 */
struct vd_layout {
	u32 magic;
	u32 total;
	u32 format;
	u32 nr_segs;
	u32 pool_len;
	u32 flags;
	struct vd_props props;
	u32 cid;
	u32 parent_cid;
	vd_str subformat;
	vd_str adapter;
	vd_str encoding;
	vd_str ro_reason;
	vd_str warning;
	u32 cid_len;
	u64 cid_pos;
	u64 long_cid_pos;
	u32 long_cid_len;
	u32 mod_uuid_len;
	u64 mod_uuid_pos;
	u64 version_pos;
	u64 cbt_pos;
	u32 cbt_len;
	u32 cbt_note_len;
	vd_str cbt_name;
	vd_str parent_format;
};

static inline const struct vd_layout_seg *vd_layout_segs(const struct vd_layout *l)
{
	return (const struct vd_layout_seg *)(const void *)(l + 1);
}

/* NULL for "none". */
static inline const char *vd_layout_str(const struct vd_layout *l, vd_str s)
{
	return s ? (const char *)(vd_layout_segs(l) + l->nr_segs) + s : NULL;
}

/*
 * 0 if @len bytes at @l are a well-formed block: sizes fit, strings lie in the
 * pool and end there, properties are some, segments are sorted, gap-free, sum up
 * to the size.
 */
int vd_layout_check(const struct vd_layout *l, size_t len, struct vd_error *err);

#define VD_REASON_TEXT	128

/**
 * struct vd_extent_state - what the header of one extent says about writing
 * @flags: VD_LAYOUT_RDONLY, _ONLY_CBT, _UNCLEAN
 * @ro_reason: with RDONLY; printable
 */
struct vd_extent_state {
	u32 flags;
	char ro_reason[VD_REASON_TEXT];
};

/* struct vd_support.can */
#define VD_CAN_READ	(1U << 0)
#define VD_CAN_WRITE	(1U << 1)
#define VD_CAN_CREATE	(1U << 2)
#define VD_CAN_CHECK	(1U << 3)
#define VD_CAN_REPAIR	(1U << 4)

/**
 * struct vd_support - one kind of image, and what can be done with it
 * @image: for people: a row of the tables in README and Documentation/formats.rst
 * @subformats: what vdctl info calls it, separated by spaces; NULL: it is not told by that
 * @can: VD_CAN_*
 * @note: NULL: nothing to add
 */
struct vd_support {
	const char *image;
	const char *subformats;
	u32 can;
	const char *note;
};

/* Bytes that files of a format have at a fixed place; @len 0 ends a list. */
struct vd_magic {
	u32 pos;
	u32 len;
	const char *bytes;
};

#define VD_MAGIC_END	72	/* all lie before that byte */

/* Of a whole file: from vd_zalloc(), or NULL. */
struct vd_content {
	void *data;
	u32 len;
};

struct vd_new_names;

/**
 * struct vd_format_user - what a backend does in user space only
 * @layout: read the description of the image in @file. *out is one block of
 *	memory from vd_zalloc(), freed by the caller with vd_free().
 * @extent: read the header of a file that holds a segment of @kind
 * @check: see check.h
 * @support: the kinds of images, up to one without a name
 * @magic: for a first look at many files: what has none of these is no image of the
 *	format, unless its name says so; what has one may be one. NULL: only names say.
 * @set_props: what is in @want->mask shall be as @want has it; strings are at their
 *	offsets in @pool, UUIDs and geometries as vd_props_check_want() wants them.
 *	@file is writable, used by nobody else, @now what layout says of it. On success
 *	either all is done and durable, or *@out has what the file shall hold from then
 *	on, for the caller to put it there as a whole. -EOPNOTSUPP: the image has no
 *	place for it.
 * @renamed: the text of the image in @file, with other names in it (rename.h). *text
 *	is @len bytes and a NUL from vd_zalloc(), freed by the caller; NULL: it has
 *	none. The op is NULL where no file names another or itself
 * @put_text: replace the text inside of the image's own file; whatever stops that, the
 *	old one or the new one is in force. -E2BIG, -ENOSPC: there is no room for it,
 *	and nothing was changed
 */
struct vd_format_user {
	const struct vd_support *support;

	int (*layout)(struct vd_file *file, struct vd_layout **out, struct vd_error *err);
	int (*extent)(struct vd_file *file, u32 kind, struct vd_extent_state *out,
		      struct vd_error *err);
	int (*check)(struct vd_file *file, u32 kind, u64 len, struct vd_check *check,
		     struct vd_error *err);
	const struct vd_magic *magic;
	int (*set_props)(struct vd_file *file, const struct vd_layout *now,
			 const struct vd_props *want, const char *pool, struct vd_content *out,
			 struct vd_error *err);
	int (*renamed)(struct vd_file *file, const struct vd_new_names *names, char **text,
		       u32 *len, struct vd_error *err);
	int (*put_text)(struct vd_file *file, const char *text, u32 len, struct vd_error *err);
};

/* Builder, for backends. Strings are copied; errors are remembered until finish. */
struct vd_layout_builder;
struct vd_layout_builder *vd_layout_begin(u32 format);
/* The header, for its fields to be filled in; strings are added first. */
struct vd_layout *vd_layout_head(struct vd_layout_builder *b);
vd_str vd_layout_add_str(struct vd_layout_builder *b, const char *s, size_t len);
/* Appends at the current end of the disk and advances the size by @len. */
int vd_layout_add_seg(struct vd_layout_builder *b, u64 len, u32 kind, u32 flags, vd_str name,
		      u64 offset);
/* Sets VD_IMAGE_DIFF if there is VD_LAYOUT_PARENT. Ends the life of @b. */
int vd_layout_finish(struct vd_layout_builder *b, struct vd_layout **out, struct vd_error *err);
void vd_layout_abort(struct vd_layout_builder *b);	/* NULL is fine */

#endif /* VDISK_LAYOUT_H */
