/* SPDX-License-Identifier: GPL-2.0-only */
/* What is true of every layout that user space makes of a file. */
#ifndef FZ_LAYOUT_H
#define FZ_LAYOUT_H

#include "fz.h"
#include "vdisk/layout.h"

#define FZ_TEXT_MAX	(1U << 18)

/* Probe file @file and lay it out, in every format; judge what comes of it. */
void fz_layouts(struct fz_once *once, u32 file);
/* What @format makes of file @file, judged; 0 and @out, or an error that has a sentence. */
int fz_lay_out(struct fz_once *once, u32 file, const struct vd_format *format,
	       struct vd_layout **out, struct vd_error *err);
/* Look at everything in a layout that passed vd_layout_check(). */
void fz_layout_walk(const struct vd_layout *l);

/* The text of @file with other names in it. @l: what the old one says, or NULL. */
void fz_renamed(struct fz_once *once, u32 file, const struct vd_format *format,
		const struct vd_layout *l);

#endif /* FZ_LAYOUT_H */
