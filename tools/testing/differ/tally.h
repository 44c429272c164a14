/* SPDX-License-Identifier: GPL-2.0-only */
/* Counting what came out, and telling it. */
#ifndef DIFFER_TALLY_H
#define DIFFER_TALLY_H

#include "differ.h"

#define DF_JOBS		16
#define DF_VERDICTS	128

/**
 * struct df_tally - of one job; shared with the process that started it
 * @next: image to look at next; @now: the one that is being looked at
 * @mutated: images that are no longer what the writer made
 * @verdicts: images with that verdict
 */
struct df_tally {
	u64 next, now;
	u64 images, mutated, unexplained, ours_broken, shown;
	u64 classes[DF_CLASSES];
	u64 verdicts[DF_VERDICTS];
	char dir[64];
};

const char *df_class_name(enum df_class class);
void df_count(struct df_tally *t, const struct df_found *found);
void df_tally_add(struct df_tally *to, const struct df_tally *from);
void df_print_verdicts(const struct df_found *found);
void df_report(const struct df_tally *t, u64 seed, u64 seconds);

#endif /* DIFFER_TALLY_H */
