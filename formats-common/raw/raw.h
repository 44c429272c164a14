/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef RAW_H
#define RAW_H

#include "vdisk/format.h"

/* layout.c, user space only: the kernel never guesses what a file is. */
int raw_probe(struct vd_file *file, struct vd_probe *out);
extern const struct vd_format_user raw_user;

#endif /* RAW_H */
