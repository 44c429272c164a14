// SPDX-License-Identifier: GPL-2.0-only
/* The table of formats, and numbers in files. */
#include "fields.h"

/* Guest data from end to end: nothing to tell. */
static bool raw_list(const struct fz_view *v, struct fz_sink *sink)
{
	return true;
}

const struct fz_format fz_formats[] = {
	{ "vmdk", fz_vmdk_list, NULL },
	{ "raw", raw_list, NULL },
	{ NULL, NULL, NULL },
};

const struct fz_format *fz_list(const struct fz_view *v, struct fz_sink *sink)
{
	const struct fz_format *format;

	sink->left = FZ_VISITS;
	for (format = fz_formats; format->name; format++)
		if (format->list(v, sink))
			return format;
	return NULL;
}

static bool inside(const struct fz_view *v, const struct fz_field *f)
{
	u64 len = f->width ? f->width : f->len;

	return f->file < v->nr && f->pos <= v->file[f->file].len &&
	       len <= v->file[f->file].len - f->pos;
}

void fz_put(const struct fz_view *v, struct fz_sink *sink, struct fz_field field)
{
	if (!sink->left || !inside(v, &field))
		return;
	sink->left--;
	sink->put(sink, &field);
}

u64 fz_get(const struct fz_view *v, const struct fz_field *field)
{
	const u8 *p;
	u64 value = 0;
	u32 i;

	if (!inside(v, field))
		return 0;
	p = v->file[field->file].data + field->pos;
	for (i = 0; i < field->width; i++)
		value |= (u64)p[i] << 8 * (field->big ? field->width - 1U - i : i);
	return value;
}

void fz_set(struct fz_view *v, const struct fz_field *field, u64 value)
{
	u8 *p;
	u32 i;

	if (!inside(v, field))
		return;
	p = v->file[field->file].data + field->pos;
	for (i = 0; i < field->width; i++)
		p[i] = (u8)(value >> 8 * (field->big ? field->width - 1U - i : i));
}
