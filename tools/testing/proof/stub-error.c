// SPDX-License-Identifier: GPL-2.0-only
/* Sentences about what went wrong, without the sentences: error.c has a proof of its own. */
#include "any.h"
#include "vdisk/error.h"
#include "vdisk/format.h"

int vd_fail(struct vd_error *err, int code, const char *fmt, ...)
{
	if (err && !err->code) {
		err->code = code;
		Frama_C_make_unknown(err->text, sizeof(err->text));
		err->text[sizeof(err->text) - 1] = '\0';
	}
	return code;
}

int vd_vfail(struct vd_error *err, int code, const char *fmt, va_list args)
{
	return vd_fail(err, code, "any");
}

int vd_corrupt(const struct vd_segment *seg, const char *fmt, ...)
{
	return -EUCLEAN;
}
