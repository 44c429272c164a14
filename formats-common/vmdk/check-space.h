/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who takes what of a file, for a check that must see every overlap and yet
 * not keep a list of all places. User space only.
 *
 * The file is cut into windows of one unit. Units that do not overlap never
 * begin in the same window, so a small number a window, where in it a unit
 * begins, says everything: one bit for units of a sector, one byte up to 64
 * KiB, two bytes beyond. Memory comes in chunks as windows are used.
 */
#ifndef VMDK_CHECK_SPACE_H
#define VMDK_CHECK_SPACE_H

#include "vd_port.h"

/**
 * struct vmdk_space - owned by one check, no locking
 * @slots: windows
 * @budget: bytes that may still be allocated
 * @unit_shift: logarithm of a unit's sectors
 * @width_shift: logarithm of the bits of a window: 0, 3 or 4
 * @chunk_shift: logarithm of the windows of a chunk
 * @chunks: NULL where nothing is taken; &@only when there is but one
 */
struct vmdk_space {
	u64 slots;
	u64 budget;
	u32 unit_shift;
	u32 width_shift;
	u32 chunk_shift;
	u32 chunk_bytes;
	u64 nr_chunks;
	u8 **chunks;
	u8 *only;
};

/* For a file of @sectors. 0 or -ENOMEM. */
int vmdk_space_init(struct vmdk_space *s, u64 sectors, u32 unit_shift);
void vmdk_space_release(struct vmdk_space *s);

/* Does another unit have a part of the one at @sector (inside the file)? */
bool vmdk_space_taken(const struct vmdk_space *s, u64 sector);
/* 1: it is taken now; 0: it was before, in part or whole; -ENOMEM. */
int vmdk_space_claim(struct vmdk_space *s, u64 sector);

/*
 * The first unit whose window is *@slot or later: its first sector is in
 * *@sector and *@slot the next window. False: there is none.
 */
bool vmdk_space_next(const struct vmdk_space *s, u64 *slot, u64 *sector);

#endif /* VMDK_CHECK_SPACE_H */
