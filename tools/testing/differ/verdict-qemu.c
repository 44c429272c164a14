// SPDX-License-Identifier: GPL-2.0-only
/* What QEMU refuses and we open. */
#include "verdict.h"

const struct df_rule df_qemu_rules[] = {
	{ DF_QEMU_REFUSES, "\1", NULL, "" },
};

const u32 df_nr_qemu_rules = ARRAY_SIZE(df_qemu_rules);
