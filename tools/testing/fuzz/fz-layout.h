/* SPDX-License-Identifier: GPL-2.0-only */
/* What is true of every layout that user space makes of a file. */
#ifndef FZ_LAYOUT_H
#define FZ_LAYOUT_H

#include "fz.h"
#include "vdisk/layout.h"

#define FZ_TEXT_MAX	(1U << 18)

/* Probe file @file and lay it out, in every format; judge what comes of it. */
void fz_layouts(struct fz_once *once, u32 file);
/* Look at everything in a layout that passed vd_layout_check(). */
void fz_layout_walk(const struct vd_layout *l);

#endif /* FZ_LAYOUT_H */
