// SPDX-License-Identifier: GPL-2.0-only
/* The table of formats, numbers in files, and what lists of fields are made of. */
#include "fields.h"

/* Guest data from end to end: nothing to tell. */
static bool raw_list(const struct fz_walk *w)
{
	return true;
}

const struct fz_format fz_formats[] = {
	{ "vmdk", fz_vmdk_list, NULL },
	{ "vdi", fz_vdi_list, NULL },
	{ "raw", raw_list, NULL },
	{ NULL, NULL, NULL },
};

static const struct fz_format *list_file(const struct fz_walk *w)
{
	const struct fz_format *format = fz_formats;

	while (!format->list(w))
		format++;
	return format;
}

void fz_list(const struct fz_view *v, struct fz_sink *sink)
{
	struct fz_walk w = { .v = v, .sink = sink };

	sink->left = FZ_VISITS;
	for (w.file = 0; w.file < v->nr; w.file++)
		list_file(&w);
}

static void ignore(struct fz_sink *sink, const struct fz_field *field)
{
}

void fz_fix(struct fz_view *v)
{
	struct fz_sink sink = { .put = ignore };
	struct fz_walk w = { .v = v, .sink = &sink };
	const struct fz_format *format;

	for (w.file = 0; w.file < v->nr; w.file++) {
		format = list_file(&w);
		if (format->fix)
			format->fix(v, w.file);
	}
}

static bool inside(const struct fz_view *v, const struct fz_field *f)
{
	u64 len = f->width ? f->width : f->len;

	return f->file < v->nr && f->pos <= v->file[f->file].len &&
	       len <= v->file[f->file].len - f->pos;
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

/* --- for list functions --- */

static void put(const struct fz_walk *w, struct fz_field field)
{
	if (!w->sink->left || !inside(w->v, &field))
		return;
	w->sink->left--;
	w->sink->put(w->sink, &field);
}

void fz_put(const struct fz_walk *w, u64 pos, u8 width, enum fz_kind kind)
{
	put(w, (struct fz_field) {
		.file = w->file, .pos = pos, .width = width, .kind = (u8)kind });
}

void fz_put_parts(const struct fz_walk *w, u64 base, const struct fz_part *parts, u32 nr)
{
	u32 i;

	for (i = 0; i < nr; i++)
		fz_put(w, base + parts[i].off, parts[i].width, (enum fz_kind)parts[i].kind);
}

void fz_put_bytes(const struct fz_walk *w, u64 pos, u64 len, enum fz_kind kind)
{
	u64 end = w->v->file[w->file].len;

	if (pos < end)
		put(w, (struct fz_field) {
			.file = w->file, .pos = pos, .len = (u32)min(len, end - pos),
			.kind = (u8)kind });
}

void fz_put_text(const struct fz_walk *w, u64 pos, u64 room)
{
	const struct fz_view_file *f = &w->v->file[w->file];
	u64 len = 0;

	if (pos >= f->len)
		return;
	room = min(room, f->len - pos);
	while (len < room && f->data[pos + len])
		len++;
	if (len)
		fz_put_bytes(w, pos, len, FZ_TEXT);
}

u64 fz_put_entry(const struct fz_walk *w, u64 pos, u8 width, bool (*empty)(u64 value))
{
	u64 value = fz_number(w, pos, width);

	put(w, (struct fz_field) {
		.file = w->file, .pos = pos, .width = width, .kind = FZ_ENTRY,
		.empty = empty(value) });
	return value;
}

u64 fz_number(const struct fz_walk *w, u64 pos, u8 width)
{
	struct fz_field f = { .file = w->file, .pos = pos, .width = width };

	return fz_get(w->v, &f);
}
