/* SPDX-License-Identifier: GPL-2.0-only */
/* VDI: what exists in user space only. */
#ifndef VDI_USER_H
#define VDI_USER_H

#include "vdisk/layout.h"
#include "vdi.h"

/* layout.c: NULL: no such type */
const char *vdi_type_name(u32 type);

/* check.c */
int vdi_check(struct vd_file *file, u32 kind, u64 len, struct vd_check *check,
	      struct vd_error *err);

/* props.c */
/* -EINVAL, with a sentence: no VDI can have that. */
int vdi_check_comment(const char *comment, struct vd_error *err);
int vdi_set_props(struct vd_file *file, const struct vd_layout *now, const struct vd_props *want,
		  const char *pool, struct vd_content *out, struct vd_error *err);

/**
 * struct vdi_new - what a new image is to be
 * @size: bytes of the disk, a multiple of 512
 * @block: bytes, a power of two from 4 KiB to 64 MiB
 * @type: VDI_TYPE_DYNAMIC, _FIXED, _DIFF
 * @comment: NULL: none
 * @uuid, ...: in the order of the text form; parents' for _DIFF, else zeros
 */
struct vdi_new {
	u64 size;
	u32 block;
	u32 type;
	const char *comment;
	u8 uuid[VD_UUID_BYTES];
	u8 mod_uuid[VD_UUID_BYTES];
	u8 parent_uuid[VD_UUID_BYTES];
	u8 parent_mod_uuid[VD_UUID_BYTES];
};

/* create.c */

/* Do the positions of such an image fit its header? */
bool vdi_new_fits(const struct vdi_new *new);
/* Size of the file: all of its slots, or none. */
u64 vdi_new_file_size(const struct vdi_new *new);
/*
 * Lay it out in @file, which reads as zeros: of a fixed image whoever calls gives the slots
 * their space. The header comes last. 0 or -errno.
 */
int vdi_new_write(struct vd_file *file, const struct vdi_new *new, struct vd_error *err);

#endif /* VDI_USER_H */
