/* SPDX-License-Identifier: GPL-2.0-only */
/* Common part of user space's files. */
#ifndef VD_PORT_UFILE_H
#define VD_PORT_UFILE_H

#include "vdisk/ufile.h"

/* First member of each kind of file, vd_file first in it; @release frees what the kind owns. */
struct vd_ufile {
	struct vd_file file;
	void (*release)(struct vd_ufile *u);
};

static inline struct vd_ufile *to_ufile(const struct vd_file *file)
{
	return (struct vd_ufile *)(uintptr_t)file;
}

#endif /* VD_PORT_UFILE_H */
