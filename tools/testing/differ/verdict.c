// SPDX-License-Identifier: GPL-2.0-only
/* All verdicts in a row: quirks, then the tables of rules. */
#include "verdict.h"

static const char *const quirks[DM_QUIRKS] = {
	[DM_SKIP_LINES] = "QEMU passes over extent lines that are not \"RW\", and ZERO: what follows moves down and the disk shrinks",
	[DM_SCANF] = "QEMU's scanf() passes over line ends: an extent line after an empty line is taken twice",
	[DM_CAPACITY] = "QEMU takes an extent's length from its header, not from its line",
	[DM_EMBEDDED] = "QEMU takes a sparse file for the whole disk and does not read the extent lines inside",
	[DM_OVER_END] = "QEMU takes an extent's last grain as a whole, also where the extent ends in its middle: the begin of the next extent is lost",
	[DM_ONE_DIR] = "QEMU does not ask the redundant directory where the first has no valid table",
	[DM_ANY_TABLE] = "QEMU reads a grain table where none can be: in headers or directories, past the end of the file",
	[DM_ANY_GRAIN] = "QEMU reads a grain where none can be: in front of the data, in tables, past the end of the file",
	[DM_TAIL_PLACE] = "QEMU maps the tail of a grain past the end of the file as data; it reads zeros all the same",
	[DM_NO_LBA] = "QEMU does not look whether a compressed grain is the one asked for",
	[DM_SHORT] = "QEMU cannot read what a compressed grain leaves out at its end; the rules: zeros",
	[DM_TRAILING] = "QEMU ignores bytes behind the end of a packed stream; to us the stated length is wrong, so the grain is damaged",
	[DM_PACK_ROOM] = "QEMU takes up to twice a grain as packed, also past the end of the file",
	[DM_NO_PREFIX] = "QEMU does not know the length in front of compressed grains without markers",
	[DM_SE_ANY] = "QEMU does not hold SESparse tables and grains to their areas",
	[DM_PARENT_CID] = "QEMU takes the first \"CID=\" for a parent's CID; without a line of that name it is parentCID, and nothing of the parent can be read",
	[DM_NO_PARENT] = "QEMU looks for an embedded descriptor in sector 1 only",
};

static const struct {
	enum df_class class;
	const struct df_rule *rules;
} tables[] = {
	{ DF_WE_REFUSE, df_header_rules },
	{ DF_WE_REFUSE, df_text_rules },
	{ DF_WE_REFUSE, df_file_rules },
	{ DF_QEMU_REFUSES, df_qemu_rules },
	{ DF_QEMU_BROKEN, df_broken_rules },
};

/* Rule number @i of all, or NULL behind the last. */
static const struct df_rule *rule(u32 i, enum df_class *class)
{
	const struct df_rule *r;
	u32 t;

	for (t = 0; t < ARRAY_SIZE(tables); t++) {
		*class = tables[t].class;
		for (r = tables[t].rules; r->says; r++)
			if (!i--)
				return r;
	}
	return NULL;
}

u32 df_nr_verdicts(void)
{
	static u32 nr;
	enum df_class class;

	while (rule(nr, &class))
		nr++;
	return DM_QUIRKS + nr;
}

const char *df_verdict_text(u32 i)
{
	enum df_class class;

	return i < DM_QUIRKS ? quirks[i] : rule(i - DM_QUIRKS, &class)->verdict;
}

enum df_class df_verdict_class(u32 i)
{
	enum df_class class = DF_CONTENT;

	if (i >= DM_QUIRKS)
		rule(i - DM_QUIRKS, &class);
	return class;
}

int df_rule_verdict(const struct df_image *img, enum df_class class, const char *text)
{
	const struct df_rule *r;
	enum df_class its;
	u32 i;

	for (i = 0; (r = rule(i, &its)); i++)
		if (its == class && strstr(text, r->says) && r->holds(img, text))
			return (int)(DM_QUIRKS + i);
	return -1;
}
