/* SPDX-License-Identifier: GPL-2.0-only */
/* Changes of what an image says of itself: what was asked for, all of it, nothing else. */
#ifndef FZ_JUDGE_H
#define FZ_JUDGE_H

#include "fz.h"
#include "vdisk/layout.h"
#include "vdisk/rename.h"

#define FZ_POOL 1200U

/**
 * struct fz_change - what is asked for
 * @want, @pool: properties
 * @wrong: some of it is no value, and has to be refused
 * @names: other names; NULL: none
 */
struct fz_change {
	struct vd_props want;
	char pool[FZ_POOL];
	bool wrong;
	const struct vd_new_names *names;
};

/* Properties by @rng, for an image that says @now; @b NULL: a VMDK. */
void fz_choose(struct fz_change *c, const struct fz_backend *b, const struct vd_layout *now,
	       struct fz_rng *rng);

/* NULL if @after is @before with the change made; else a reason, valid until the next call. */
const char *fz_judge(const struct fz_change *c, const struct vd_layout *before,
		     const struct vd_layout *after);
/* All of the change has been made, or none of it. */
bool fz_old_or_new(const struct fz_change *c, const struct vd_layout *before,
		   const struct vd_layout *after);

/* What @name, as a text has it, is called after the change; in @buf of FZ_NAME bytes. */
#define FZ_NAME 2048U
const char *fz_new_name(const struct vd_new_names *n, const char *name, char *buf);

#endif /* FZ_JUDGE_H */
