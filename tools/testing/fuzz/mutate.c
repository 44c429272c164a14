// SPDX-License-Identifier: GPL-2.0-only
/* Which field changes, and to what. */
#include <stdarg.h>
#include <stdio.h>
#include "vdisk/caps.h"
#include "mutate.h"

/* Fields that were drawn from all those listed: by kind, each with the same chance. */
struct draw {
	struct fz_sink sink;
	struct ut_rng *rng;
	u32 empty;	/* table entries that lead nowhere */
	u32 seen[FZ_KINDS];
	struct fz_field one[FZ_KINDS];
	struct fz_field two[FZ_KINDS];	/* another draw; may be the same */
};

static _Thread_local char said[FZ_SAID];

void fz_say(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(said, sizeof(said), fmt, args);
	va_end(args);
}

const char *fz_said(void)
{
	return said;
}

static void draw_put(struct fz_sink *sink, const struct fz_field *field)
{
	struct draw *d = container_of(sink, struct draw, sink);
	u64 dice;
	u32 n;

	/* Most of a table is empty, and what is there is more worth breaking. */
	if (field->empty && d->empty++ % 16)
		return;
	dice = ut_rand(d->rng);
	n = ++d->seen[field->kind];
	if ((u32)dice % n == 0)
		d->one[field->kind] = *field;
	if ((u32)(dice >> 32) % n == 0)
		d->two[field->kind] = *field;
}

static bool draw_kind(const struct draw *d, struct ut_rng *rng, u32 *kind)
{
	u32 i;

	*kind = (u32)ut_below(rng, FZ_KINDS);
	for (i = 0; i < FZ_KINDS && !d->seen[*kind]; i++)
		*kind = (*kind + 1) % FZ_KINDS;
	return i < FZ_KINDS;
}

static u64 pick(struct ut_rng *rng, const u64 *list, u32 nr)
{
	return list[ut_below(rng, nr)];
}

static u64 near(struct ut_rng *rng, u64 value)
{
	return value + ut_below(rng, 3) - 1;
}

/* The edges of every limit, in the units that fields have. */
static u64 cap_edge(struct ut_rng *rng)
{
	static const u64 edges[] = {
		0, 1, VD_CAP_DISK_BYTES, VD_CAP_DISK_BYTES / VD_SECTOR, VD_CAP_FILE_BYTES,
		VD_CAP_FILE_BYTES / VD_SECTOR, VD_CAP_UNIT_BYTES, VD_CAP_PACKED_BYTES,
		VMDK_CAP_DESCRIPTOR, VMDK_CAP_DESCRIPTOR / VD_SECTOR, VMDK_CAP_LINES,
		VMDK_CAP_LINE, VMDK_CAP_DESC_SECTORS, VMDK_CAP_GRAIN_SECTORS,
		VMDK_CAP_GD_ENTRIES, VMDK_CAP_GD_ENTRIES * 512ULL, VD_META_BLOCK, 512,
		~0ULL / VD_SECTOR, ~0U, ~0ULL, VDISK_MAX_SEGMENTS,
	};

	return near(rng, pick(rng, edges, ARRAY_SIZE(edges)));
}

static u64 file_edge(const struct fz_view *v, struct ut_rng *rng)
{
	u64 len = v->nr ? v->file[ut_below(rng, v->nr)].len : 0;

	if (ut_below(rng, 2))
		len /= VD_SECTOR;
	return len + ut_below(rng, 9) - 4;
}

u64 fz_odd_number(const struct fz_view *v, struct ut_rng *rng)
{
	switch (ut_below(rng, 4)) {
	case 0:
		return cap_edge(rng);
	case 1:
		return file_edge(v, rng);
	case 2:
		return ut_below(rng, 64);
	default:
		return near(rng, 1ULL << ut_below(rng, 64));
	}
}

static void set(struct fz_view *v, const struct fz_field *f, u64 value, const char *how)
{
	u64 old = fz_get(v, f);

	fz_set(v, f, value);
	/* What changes nothing is no mutation. */
	if (fz_get(v, f) == old)
		fz_set(v, f, old ^ 1);
	fz_say("file %u byte %llu: field of %u bytes 0x%llx becomes 0x%llx (%s)", f->file, f->pos,
	       f->width, old, fz_get(v, f), how);
}

/* Values that mean something in fields that are no numbers. */
static u64 known_value(struct ut_rng *rng, u8 kind)
{
	static const u64 magics[] = {
		0x564d444b, 0x766d646b, 0x44574f43, 0xcafebabe, 0xcafecafe, 0x0a0d200a, 0xbeda107f,
		0,
	};
	static const u64 versions[] = { 0, 1, 2, 3, 4, 0x200000001, 0x200000002, 0x100000001,
					0x10000, 0x10001, 0x20000 };
	static const u64 entries[] = { 0, 1, 2, 0xffffffff, 0xfffffffe, 0xfffffffd };
	static const u64 ids[] = { 0, ~0ULL };

	switch (kind) {
	case FZ_MAGIC:
		return pick(rng, magics, ARRAY_SIZE(magics));
	case FZ_ENTRY:
		return pick(rng, entries, ARRAY_SIZE(entries));
	case FZ_ID:
		return pick(rng, ids, ARRAY_SIZE(ids));
	default:
		return pick(rng, versions, ARRAY_SIZE(versions));
	}
}

static void swap_fields(struct fz_view *v, const struct fz_field *a, const struct fz_field *b)
{
	u64 one = fz_get(v, a), two = fz_get(v, b);

	if (one == two)
		return set(v, a, one + 1, "one more");
	fz_set(v, a, two);
	fz_set(v, b, one);
	fz_say("file %u byte %llu and file %u byte %llu: 0x%llx and 0x%llx change places",
	       a->file, a->pos, b->file, b->pos, one, two);
}

static void mutate_number(struct fz_view *v, const struct draw *d, u8 kind, struct ut_rng *rng)
{
	const struct fz_field *f = &d->one[kind];
	u64 old = fz_get(v, f);
	u32 other;

	switch (ut_below(rng, 10)) {
	case 0:
		return set(v, f, cap_edge(rng), "a limit");
	case 1:
		return set(v, f, near(rng, 1ULL << ut_below(rng, f->width * 8U)), "power of two");
	case 2:
		draw_kind(d, rng, &other);
		return set(v, f, fz_get(v, &d->two[other]), "another field's");
	case 3:
		return set(v, f, file_edge(v, rng), "length of a file");
	case 4:
		return set(v, f, ut_below(rng, 2) ? -old : old ^ 1ULL << (f->width * 8 - 1),
			   "sign");
	case 5:
		return set(v, f, old ^ 1ULL << ut_below(rng, f->width * 8U), "a bit");
	case 6:
		return swap_fields(v, f, &d->two[kind]);
	case 7:
		return set(v, f, fz_get(v, &d->two[kind]), "another of its kind");
	case 8:
		return set(v, f, old + ut_below(rng, 33) - 16, "a little");
	default:
		return set(v, f, known_value(rng, kind), "known");
	}
}

/* --- whole blocks --- */

static void grow(struct fz_view_file *f, u64 len)
{
	len = min(len, f->room);
	if (len < f->len)
		memset(f->data + len, 0, f->len - len);
	f->len = len;
}

static void resize(struct fz_view *v, u32 file, struct ut_rng *rng)
{
	struct fz_view_file *f = &v->file[file];
	u64 old = f->len, by = 1 + ut_below(rng, 4096);

	if (ut_below(rng, 2))
		by = by / 64 * VD_SECTOR + (by % 2 ? 1 : 0);
	if (!ut_below(rng, 8))
		grow(f, ut_below(rng, f->len + 1));
	else if (ut_below(rng, 4))
		grow(f, f->len - min(by, f->len));
	else
		grow(f, f->len + by);
	fz_say("file %u: %llu bytes become %llu", file, old, f->len);
}

/* Sectors mostly, at places where sectors begin mostly. */
static void copy_block(struct fz_view *v, u32 file, struct ut_rng *rng)
{
	struct fz_view_file *f = &v->file[file];
	u64 unit = ut_below(rng, 8) ? VD_SECTOR : 4;
	u64 nr = f->len / unit, len = 1 + ut_below(rng, 8), from, to;

	if (nr <= len)
		return;
	from = ut_below(rng, nr - len) * unit;
	to = ut_below(rng, nr - len) * unit;
	if (ut_below(rng, 4)) {
		memmove(f->data + to, f->data + from, len * unit);
		fz_say("file %u: %llu bytes at %llu are copied to %llu", file, len * unit, from,
		       to);
	} else {
		memset(f->data + to, 0, len * unit);
		fz_say("file %u: %llu bytes at %llu become zeros", file, len * unit, to);
	}
}

static void mutate_block(struct fz_view *v, struct ut_rng *rng)
{
	u32 file;

	if (!v->nr)
		return;
	file = (u32)ut_below(rng, v->nr);
	if (ut_below(rng, 2))
		resize(v, file, rng);
	else
		copy_block(v, file, rng);
}

void fz_mutate(struct fz_view *v, struct ut_rng *rng)
{
	struct draw d = { .sink = { .put = draw_put }, .rng = rng };
	u32 kind;

	fz_list(v, &d.sink);
	said[0] = '\0';
	if (!ut_below(rng, 8) || !draw_kind(&d, rng, &kind))
		mutate_block(v, rng);
	else if (kind == FZ_TEXT)
		fz_mutate_text(v, &d.one[kind], rng);
	else if (kind == FZ_PACKED)
		fz_mutate_packed(v, &d.one[kind], rng);
	else
		mutate_number(v, &d, (u8)kind, rng);
	/* Now and then a wrong checksum is what is wanted. */
	if (ut_below(rng, 8))
		fz_fix(v);
}
