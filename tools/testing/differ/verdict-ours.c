// SPDX-License-Identifier: GPL-2.0-only
/* What we refuse and QEMU opens: is it so, and who is right? */
#include "verdict.h"

const struct df_rule df_our_rules[] = {
	{ DF_WE_REFUSE, "\1", NULL, "" },
};

const u32 df_nr_our_rules = ARRAY_SIZE(df_our_rules);
