// SPDX-License-Identifier: GPL-2.0-only
/* What checks of all formats do with what they find. User space only. */
#include "vdisk/check.h"

void vd_check_begin(struct vd_check *check)
{
	memset(check->found, 0, sizeof(check->found));
	memset(check->repaired, 0, sizeof(check->repaired));
	check->units = 0;
	check->used_units = 0;
	check->end = 0;
	check->leaked = 0;
	check->altered = 0;
	check->lone = 0;
	check->unit = 0;
}

void vd_check_found(struct vd_check *check, enum vd_finding kind, bool fixable,
		    const char *fmt, ...)
{
	struct vd_error text;
	va_list args;

	check->found[kind]++;
	if (fixable && (kind != VD_FINDING_CORRUPT || !(check->flags & VD_CHECK_MERGE)))
		check->repaired[kind]++;
	if (!check->report || check->found[kind] > VD_CHECK_REPORTS)
		return;
	text.code = 0;
	va_start(args, fmt);
	vd_vfail(&text, -EUCLEAN, fmt, args);
	va_end(args);
	check->report(check->ctx, kind, text.text);
}

int vd_check_progress(struct vd_check *check, struct vd_error *err, u64 done, u64 total)
{
	if (!check->progress || check->progress(check->ctx, done, total))
		return 0;
	return vd_fail(err, -EINTR, "the check was stopped");
}
