/* SPDX-License-Identifier: GPL-2.0-only */
/* Which backend takes a file, as vdctl chooses it; for programs without vdctl's code. */
#ifndef UT_PROBE_H
#define UT_PROBE_H

#include "vdisk/format.h"

/* NULL: none. */
static inline const struct vd_format *ut_probe(struct vd_file *file)
{
	const struct vd_format *const *f, *best = NULL;
	int score = 0;

	for (f = vd_formats(); *f; f++) {
		struct vd_probe found = { 0 };

		if ((*f)->caps & VD_CAP_PROBE && !(*f)->probe(file, &found) &&
		    found.score > score) {
			score = found.score;
			best = *f;
		}
	}
	return best;
}

#endif /* UT_PROBE_H */
