/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Content that says whose it is: each sector names its image and place, and was
 * written as generation 1, 2, ... by one thread.
 */
#ifndef VDT_MARKED_H
#define VDT_MARKED_H

#include "util.h"

#define PIECE	4096U

/**
 * struct piece - what one thread knows of the bytes that only it writes
 * @sure: the last generation of which a write has succeeded
 * @tried: the last one that was begun
 */
struct piece {
	u64 sure;
	u64 tried;
};

/* The PIECE bytes of generation @gen. */
void piece_fill(u8 *buf, u32 image, u32 place, u64 gen);
/* Is it this piece, each sector in a generation that @p allows? NULL, or what is wrong. */
const char *piece_wrong(const u8 *buf, u32 image, u32 place, const struct piece *p);
/* The same for somebody else's: it is being written meanwhile, but names do not change. */
const char *piece_foreign(const u8 *buf, u32 image, u32 place);

/* Whose it is, ~0: nobody's. */
u32 piece_image(const u8 *buf);

#endif /* VDT_MARKED_H */
