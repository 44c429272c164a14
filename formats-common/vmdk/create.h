/* SPDX-License-Identifier: GPL-2.0-only */
/* New extents of VMDK that hold nothing yet. User space only. */
#ifndef VMDK_CREATE_H
#define VMDK_CREATE_H

#include "vdisk/error.h"
#include "vdisk/file.h"

/*
 * Which format a parent has that is no VMDK. A key of this project: without it, what
 * the guest wrote to the start of a raw parent would decide.
 */
#define VMDK_PARENT_FORMAT	"ddb.vdisk.parentFormat"

#define VMDK_NEW_DESC_SECTORS	20U	/* what VMware gives an embedded descriptor */

/**
 * struct vmdk_new - what a new extent is to be
 * @capacity: guest bytes, a multiple of 512
 * @grain: bytes, a power of two from 512 to 1 MiB
 * @text, @text_len: descriptor to embed; @text NULL: the extent has none
 * @zeroed: hosted sparse: grains of zeros without a place (version 2)
 * @allocate: the space of header and tables is taken now, no later write to
 *	them fails for want of it
 */
struct vmdk_new {
	u64 capacity;
	u32 grain;
	u32 text_len;
	const char *text;
	bool zeroed;
	bool allocate;
};

/*
 * Does it stay below 2 TiB when every grain is written? Table entries count
 * sectors in 32 bits.
 */
bool vmdk_new_fits(const struct vmdk_new *new);
bool cowd_new_fits(const struct vmdk_new *new);

/* props.c: -EINVAL, with a sentence: no descriptor in UTF-8 can have that. */
int vmdk_check_comment(const char *comment, struct vd_error *err);

/* Lay it out in the empty @file. The header comes last. 0 or -errno. */
int vmdk_new_write(struct vd_file *file, const struct vmdk_new *new, struct vd_error *err);
int cowd_new_write(struct vd_file *file, const struct vmdk_new *new, struct vd_error *err);

#endif /* VMDK_CREATE_H */
