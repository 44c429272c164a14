/* SPDX-License-Identifier: GPL-2.0-only */
/* What makes seeds, and the formats that have some of their own. */
#ifndef TOOL_SEEDS_H
#define TOOL_SEEDS_H

#include "fz-input.h"

/* The input in the making. */
extern struct fz_input seed_in;

void seed_begin(u32 seed);
/* As set/@name. The runs' bytes are still there. */
void seed_save(const char *name);

/* Adds a format: one line in seed_formats[]. */
void seeds_vdi(void);
void seeds_inside(void);

#endif /* TOOL_SEEDS_H */
