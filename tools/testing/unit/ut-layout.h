/* SPDX-License-Identifier: GPL-2.0-only */
/* Descriptors that must parse, and a layout that must be well-formed. */
#ifndef UT_LAYOUT_H
#define UT_LAYOUT_H

#include "ut.h"

/* What the backend says of these bytes, good or bad. */
static inline int ut_layout(const void *data, size_t len, struct vd_layout **l,
			    struct vd_error *err)
{
	struct vd_file *file = vd_ufile_mem(data, len, false);
	int ret;

	assert_non_null(file);
	*l = NULL;
	memset(err, 0, sizeof(*err));
	ret = vd_format_vmdk.user->layout(file, l, err);
	vd_ufile_free(file);
	return ret;
}

static inline struct vd_layout *ut_parse_bytes(const void *data, size_t len)
{
	struct vd_layout *l;
	struct vd_error err;
	int ret = ut_layout(data, len, &l, &err);

	if (ret)
		fail_msg("layout: %d %s", ret, err.text);
	assert_non_null(l);
	assert_int_equal(vd_layout_check(l, l->total, &err), 0);
	assert_int_equal(l->magic, VD_LAYOUT_MAGIC);
	assert_int_equal(l->format, VDISK_FORMAT_VMDK);
	return l;
}

static inline struct vd_layout *ut_parse(const char *text)
{
	return ut_parse_bytes(text, strlen(text));
}

#endif /* UT_LAYOUT_H */
