// SPDX-License-Identifier: GPL-2.0-only
/* Counting what came out, and telling it. */
#include <stdio.h>
#include "tally.h"

static const char *const class_names[DF_CLASSES] = {
	[DF_SAME] = "same size, content and map",
	[DF_BOTH_REFUSE] = "both refuse",
	[DF_WE_REFUSE] = "we refuse, QEMU opens",
	[DF_QEMU_REFUSES] = "QEMU refuses, we open",
	[DF_CONTENT] = "content or size differs",
	[DF_MAP] = "map differs",
	[DF_QEMU_BROKEN] = "QEMU crashed, hung or hit a limit",
};

const char *df_class_name(enum df_class class)
{
	return class_names[class];
}

static bool has(const struct df_found *found, u32 i)
{
	return found->verdicts[i / 64] & 1ULL << i % 64;
}

void df_count(struct df_tally *t, const struct df_found *found)
{
	u32 i;

	t->images++;
	t->classes[found->class]++;
	if (found->unexplained[0])
		t->unexplained++;
	for (i = 0; i < df_nr_verdicts(); i++)
		t->verdicts[i] += has(found, i);
}

void df_tally_add(struct df_tally *to, const struct df_tally *from)
{
	u32 i;

	to->images += from->images;
	to->mutated += from->mutated;
	to->unexplained += from->unexplained;
	to->ours_broken += from->ours_broken;
	for (i = 0; i < DF_CLASSES; i++)
		to->classes[i] += from->classes[i];
	for (i = 0; i < DF_VERDICTS; i++)
		to->verdicts[i] += from->verdicts[i];
}

void df_print_verdicts(const struct df_found *found)
{
	u32 i;

	for (i = 0; i < df_nr_verdicts(); i++)
		if (has(found, i))
			printf("#   verdict: %s\n", df_verdict_text(i));
}

void df_report(const struct df_tally *t, u64 seed, u64 seconds)
{
	u32 i;

	for (i = 0; i < DF_CLASSES; i++)
		printf("class %8llu %s\n", t->classes[i], df_class_name((enum df_class)i));
	for (i = 0; i < df_nr_verdicts(); i++)
		if (t->verdicts[i])
			printf("verdict %8llu %s: %s\n", t->verdicts[i],
			       df_class_name(df_verdict_class(i)), df_verdict_text(i));
	printf("images %llu mutated %llu unexplained %llu crashed %llu seed %llu seconds %llu\n",
	       t->images, t->mutated, t->unexplained, t->ours_broken, seed, seconds);
}
