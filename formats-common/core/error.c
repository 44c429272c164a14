// SPDX-License-Identifier: GPL-2.0-only
/* Sentences about what went wrong. */
#include "vdisk/error.h"
#include "vdisk/format.h"

int vd_vfail(struct vd_error *err, int code, const char *fmt, va_list args)
{
	if (err && !err->code) {
		err->code = code;
		vd_vsnprintf(err->text, sizeof(err->text), fmt, args);
	}
	return code;
}
VD_EXPORT(vd_vfail);

int vd_fail(struct vd_error *err, int code, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vd_vfail(err, code, fmt, args);
	va_end(args);
	return code;
}
VD_EXPORT(vd_fail);

/*
 * A segment does not know its number, but its first byte names it as well; the
 * prefix goes through a struct vd_error because that is the one bounded printer
 * with variable arguments.
 */
int vd_corrupt(const struct vd_segment *seg, const char *fmt, ...)
{
	struct vd_error text = { 0 };
	va_list args;
	size_t used;

	vd_fail(&text, -EUCLEAN, "image %u, segment at byte %llu: ", seg->image, seg->start);
	used = strlen(text.text);
	va_start(args, fmt);
	vd_vsnprintf(text.text + used, sizeof(text.text) - used, fmt, args);
	va_end(args);
	vd_log(text.text);
	return -EUCLEAN;
}
VD_EXPORT(vd_corrupt);
