/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VDISK_EXTENT_H
#define VDISK_EXTENT_H

#include "vd_port.h"

struct vd_file;
struct vd_segment;

enum vd_extent_type {
	VD_EXT_HOLE,	/* this image does not have it; no image: zeros */
	VD_EXT_ZERO,	/* reads zeros, hides the parent */
	VD_EXT_DATA,	/* bytes at file_pos */
	VD_EXT_PACKED,	/* inside a compressed unit */
};

/* Flags of a map call. */
#define VD_MAP_NOWAIT	(1U << 0)	/* -EAGAIN instead of reading metadata */
#define VD_MAP_WRITE	(1U << 1)	/* top image only, DATA must be overwritable */

/**
 * struct vd_extent - one answer of the map
 * @pos: guest byte asked for (disk-absolute)
 * @len: bytes that this answer covers, > 0, a multiple of 512
 * @type: enum vd_extent_type
 * @seg: segment that answered; NULL for a hole in every image
 * @file: DATA, PACKED
 * @file_pos: DATA: byte of @pos in @file; PACKED: where the unit's bytes start
 * @unit_pos: PACKED: guest byte (disk-absolute) where the unit starts
 * @unit_len: PACKED: unpacked bytes of the unit
 * @packed_len: PACKED: upper bound of the unit's bytes in the file
 *
 * Filled by value, owns nothing; valid while the chain is open.
 */
struct vd_extent {
	u64 pos;
	u64 len;
	enum vd_extent_type type;
	struct vd_segment *seg;
	struct vd_file *file;
	u64 file_pos;
	u64 unit_pos;
	u32 unit_len;
	u32 packed_len;
};

#endif /* VDISK_EXTENT_H */
