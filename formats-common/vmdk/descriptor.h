/* SPDX-License-Identifier: GPL-2.0-only */
/* What a VMDK descriptor says, line by line. User space only. */
#ifndef VMDK_DESCRIPTOR_H
#define VMDK_DESCRIPTOR_H

#include "vdisk/error.h"
#include "text.h"

enum vmdk_access { VMDK_RW, VMDK_RDONLY, VMDK_NOACCESS };

/**
 * struct vmdk_line - one extent line
 * @kind: enum vdisk_segment_kind that its TYPE stands for
 * @offset: sectors into the file
 * @name: as written; empty for ZERO
 */
struct vmdk_line {
	u64 sectors;
	u64 offset;
	u32 kind;
	enum vmdk_access access;
	u32 number;
	struct vmdk_text name;
};

/* struct vmdk_descriptor.have */
#define VMDK_HAVE_VERSION	(1U << 0)
#define VMDK_HAVE_CID		(1U << 1)
#define VMDK_HAVE_PARENT_CID	(1U << 2)
#define VMDK_HAVE_UUID		(1U << 3)	/* ddb.uuid */
#define VMDK_HAVE_IMAGE_UUID	(1U << 4)
#define VMDK_HAVE_MOD_UUID	(1U << 5)
#define VMDK_HAVE_PARENT_UUID	(1U << 6)
#define VMDK_HAVE_PARENT_MOD_UUID (1U << 7)
#define VMDK_HAVE_CONTENT_ID	(1U << 8)

#define VMDK_WARNING_TEXT 384

/**
 * struct vmdk_descriptor - everything that is understood
 * @bits: VMDK_HAVE_*
 * @geometry, @bios: cylinders, heads, sectors; of the disk, and what its BIOS shows
 * @lines, @nr_lines: extent lines in guest address order
 * @version_at, @cid_at, @content_id_at, @mod_uuid_at: the digits themselves
 * @track_line: the line of changeTrackPath, with its end
 * @track_note: the comment line directly before it, with its end
 * @doubled: one of those keys is there twice
 * @warning: oddities that do not hinder, one text
 *
 * Texts point into the buffer that was parsed. Freed with
 * vmdk_descriptor_free().
 */
struct vmdk_descriptor {
	u32 have;
	u32 version;
	u32 cid;
	u32 parent_cid;
	u32 geometry[3];
	u32 bios[3];
	u32 sector_size;
	u8 uuid[16];
	u8 image_uuid[16];
	u8 mod_uuid[16];
	u8 parent_uuid[16];
	u8 parent_mod_uuid[16];
	u8 content_id[16];
	struct vmdk_text create_type;
	struct vmdk_text parent_hint;
	struct vmdk_text parent_format;
	struct vmdk_text encoding;
	struct vmdk_text ddb_encoding;
	struct vmdk_text change_track;
	struct vmdk_text adapter;
	struct vmdk_text comment;
	struct vmdk_text filters;
	struct vmdk_text sidecars;
	struct vmdk_text version_at;
	struct vmdk_text cid_at;
	struct vmdk_text content_id_at;
	struct vmdk_text mod_uuid_at;
	struct vmdk_text track_line;
	struct vmdk_text track_note;
	bool doubled;
	struct vmdk_line *lines;
	u32 nr_lines;
	u32 max_lines;
	char warning[VMDK_WARNING_TEXT];
};

/* Does @text begin as a descriptor of its own does? @len may be a part of it. */
bool vmdk_descriptor_signature(const char *text, size_t len);

/*
 * Parse @len bytes up to the first NUL. On error @out is to be freed just the
 * same.
 */
int vmdk_descriptor_parse(const char *text, size_t len, struct vmdk_descriptor *out,
			  struct vd_error *err);
/*
 * Is it a line with a key, of a text that parses? @line is without its LF. The
 * value is as it stands there, with quotes if it has some.
 */
bool vmdk_descriptor_key(struct vmdk_text line, struct vmdk_text *key, struct vmdk_text *value);
void vmdk_descriptor_free(struct vmdk_descriptor *d);
void vmdk_descriptor_warn(struct vmdk_descriptor *d, const char *fmt, ...) __printf(2, 3);

/* The sentence for every kind of encryption, -EOPNOTSUPP. */
int vmdk_encrypted(struct vd_error *err);

#endif /* VMDK_DESCRIPTOR_H */
