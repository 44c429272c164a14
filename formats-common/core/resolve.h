/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Resolved extents: what the map found below the top of a chain, so that the next
 * one who asks need not walk down again. A cache and nothing else: with or without
 * it the map's answers are the same.
 *
 * Parents do not change while they are open. An answer from below the top, or from
 * no image at all, can become wrong in one way only: the top gets an entry for the
 * range, which happens under a token (alloc.h). So:
 *
 *	reader	G  note the set's generation (acquire); look: nothing there
 *		   walk down the chain
 *		P  lock the set; same generation? remember the answer; unlock
 *	writer	W  change the map's words
 *		D  lock each set that the token's range touches; next generation
 *		   (release); drop what overlaps; unlock
 *		   the token ends, the command completes
 *
 * If P comes before D, D drops what P put there. If D comes before P and G saw the
 * generation before D, P is told. If G saw the one that D made, then W came before
 * the walk, which finds the new words. So after D nothing old is there, and nothing
 * old can come. W must be before D: a walk between D and W would find the old words,
 * and nobody would drop them. Between W and D one may still get the old answer, as
 * may anybody who reads while a write is under way.
 *
 * What a set holds does not reach past the windows that lead to the set, or D
 * could miss it.
 */
#ifndef CORE_RESOLVE_H
#define CORE_RESOLVE_H

#include "vdisk/image.h"

struct vd_resolve;
struct vd_resolve_set;

/* Where a walk began, for vd_resolve_put(). */
struct vd_resolve_walk {
	struct vd_resolve_set *set;
	unsigned long gen;
};

/* For @chain, whose segments are open. @sets: 0: as many as are worth it. NULL: no memory. */
struct vd_resolve *vd_resolve_create(const struct vd_chain *chain, u32 sets);
void vd_resolve_destroy(struct vd_resolve *table);	/* NULL is fine */

/* From where to look for what @pos is part of: where its unit begins, most likely. */
u64 vd_resolve_begin(const struct vd_resolve *table, u64 pos);
/* Up to where an answer for @pos can be remembered; not past @size. */
u64 vd_resolve_end(const struct vd_resolve *table, u64 pos, u64 size);
/* All below: any context that may take a spinlock. False: not there, and *@walk begins. */
bool vd_resolve_get(struct vd_resolve *table, u64 pos, u64 len, struct vd_extent *ext,
		    struct vd_resolve_walk *walk);
/* Remember what the walk found, unless something changed meanwhile. */
void vd_resolve_put(struct vd_resolve *table, const struct vd_resolve_walk *walk,
		    const struct vd_extent *ext);
/* The top says something else about [pos, pos + len) now. NULL @table is fine. */
void vd_resolve_drop(struct vd_resolve *table, u64 pos, u64 len);

#endif /* CORE_RESOLVE_H */
