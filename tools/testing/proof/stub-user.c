// SPDX-License-Identifier: GPL-2.0-only
/*
 * What layout, check and repair call and is not analysed with them. Files take what is
 * written to them, or fail after some of it; the bytes are any bytes all the time, so
 * that what was written has to be nowhere.
 */
#include "any.h"
#include "vdisk/check.h"
#include "vdisk/layout.h"

struct vd_layout_builder {
	struct vd_layout head;
};

/* --- files --- */

int vd_file_read_tail(struct vd_file *file, u64 pos, void *buf, u32 len)
{
	return vd_file_read(file, pos, buf, len);
}

/*@ requires \valid_read((u8 *)buf + (0 .. len - 1)); */
int vd_file_write(struct vd_file *file, u64 pos, const void *buf, u32 len)
{
	return maybe() ? any_errno() : 0;
}

int vd_file_allocate(struct vd_file *file, u64 pos, u64 len)
{
	return maybe() ? any_errno() : 0;
}

int vd_file_truncate(struct vd_file *file, u64 size)
{
	return maybe() ? any_errno() : 0;
}

int vd_file_flush(struct vd_file *file)
{
	return maybe() ? any_errno() : 0;
}

/* --- layouts: a builder that only looks at what it is given --- */

struct vd_layout_builder *vd_layout_begin(u32 format)
{
	return vd_zalloc(sizeof(struct vd_layout_builder));
}

/*@ requires \valid(b); */
struct vd_layout *vd_layout_head(struct vd_layout_builder *b)
{
	return &b->head;
}

/*@ requires \valid(b) && (len == 0 || \valid_read(s + (0 .. len - 1)) || valid_read_string(s)); */
vd_str vd_layout_add_str(struct vd_layout_builder *b, const char *s, size_t len)
{
	return maybe() ? any_u32() : 0;
}

/*@ requires \valid(b); */
int vd_layout_add_seg(struct vd_layout_builder *b, u64 len, u32 kind, u32 flags, vd_str name,
		      u64 offset)
{
	return maybe() ? any_errno() : 0;
}

/*@ requires \valid(b); */
void vd_layout_abort(struct vd_layout_builder *b)
{
	vd_free(b);
}

/*@ requires \valid(b); */
int vd_layout_finish(struct vd_layout_builder *b, struct vd_layout **out, struct vd_error *err)
{
	vd_free(b);
	*out = vd_zalloc(sizeof(struct vd_layout));
	return *out ? 0 : vd_fail(err, any_errno(), "any");
}
