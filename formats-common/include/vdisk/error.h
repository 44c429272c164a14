/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VDISK_ERROR_H
#define VDISK_ERROR_H

#include "vd_port.h"

#define VD_ERROR_TEXT 256

/**
 * struct vd_error - why a call failed, for a human
 * @code: negative errno, 0 if nothing was recorded
 * @text: one sentence without final stop: file, structure, offset, the value
 *	found and the legal range. Bounded; never holds bytes of an image
 *	other than numbers and checked printable names.
 *
 * Owned by the caller on its stack; no locking. -EUCLEAN is a damaged image,
 * -EOPNOTSUPP one that is well-formed but not for us, -EIO a failed transfer.
 */
struct vd_error {
	int code;
	char text[VD_ERROR_TEXT];
};

/*
 * Record the first error and return @code; later ones (unwinding) keep the
 * first text. @err may be NULL.
 */
int vd_fail(struct vd_error *err, int code, const char *fmt, ...) __printf(3, 4);
int vd_vfail(struct vd_error *err, int code, const char *fmt, va_list args) __printf(3, 0);

#endif /* VDISK_ERROR_H */
