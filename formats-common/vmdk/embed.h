/* SPDX-License-Identifier: GPL-2.0-only */
/* The descriptor inside a hosted sparse extent: read, and replaced. User space only. */
#ifndef VMDK_EMBED_H
#define VMDK_EMBED_H

#include "vdisk/error.h"
#include "vdisk/file.h"

/*
 * The text as it stands, up to its NUL, with one behind it. Freed with vd_free().
 * -EUCLEAN and the like: no such extent; -EOPNOTSUPP: it has no descriptor.
 */
int vmdk_embed_read(struct vd_file *file, char **text, u32 *len, struct vd_error *err);

/*
 * Replace the whole text by @len bytes at @text, which have to be a descriptor.
 * Whatever stops this, a reader finds the old text or the new one, and the next call
 * brings the file back into order. Durable when it returns 0; on an error either text
 * may be in force.
 *
 * @file is a whole hosted sparse extent with a descriptor inside, writable, and nobody
 * else uses it. -E2BIG: there is no room for so long a text; -ENOSPC: nor for a second
 * one beside it, which a change of more than one sector needs (a compressed extent
 * must not grow for that); in both cases nothing was changed.
 */
int vmdk_embed_replace(struct vd_file *file, const char *text, u32 len, struct vd_error *err);

#endif /* VMDK_EMBED_H */
