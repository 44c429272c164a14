// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two answers side by side. Where they differ, the model is asked twice: by the
 * rules it must see what we see, with QEMU's quirks what QEMU sees. The quirks
 * without which QEMU's answer would be another are the verdict.
 */
#include <stdarg.h>
#include <stdio.h>
#include "verdict.h"

/* Models of one image; each is opened when it is first needed. */
struct models {
	const struct df_image *img;
	struct dm_model strict, full;
	struct dm_model without[DM_QUIRKS], only[DM_QUIRKS];
	bool have_without[DM_QUIRKS], have_only[DM_QUIRKS];
	bool strict_good, full_good;
	bool good_without[DM_QUIRKS], good_only[DM_QUIRKS];
};

static struct models models;	/* one image at a time, and too large for a stack */

static void __printf(2, 3) unexplained(struct df_found *found, const char *fmt, ...)
{
	va_list args;

	if (found->unexplained[0])
		return;
	va_start(args, fmt);
	vsnprintf(found->unexplained, sizeof(found->unexplained), fmt, args);
	va_end(args);
}

static void verdict(struct df_found *found, u32 i)
{
	found->verdicts[i / 64] |= 1ULL << i % 64;
}

static void class(struct df_found *found, enum df_class class)
{
	if (found->class < class)
		found->class = class;
}

/* False: by that reading, there is no such sector. */
static bool look(const struct dm_model *m, bool good, u64 sector, struct dm_hit *hit)
{
	if (!good || sector >= dm_sectors(m))
		return false;
	dm_sector(m, sector, hit);
	return true;
}

static bool look_without(u32 q, u64 sector, struct dm_hit *hit)
{
	if (!models.have_without[q])
		models.good_without[q] = dm_open(&models.without[q], models.img,
						 DM_ALL & ~(1U << q));
	models.have_without[q] = true;
	return look(&models.without[q], models.good_without[q], sector, hit);
}

static bool look_only(u32 q, u64 sector, struct dm_hit *hit)
{
	if (!models.have_only[q])
		models.good_only[q] = dm_open(&models.only[q], models.img, 1U << q);
	models.have_only[q] = true;
	return look(&models.only[q], models.good_only[q], sector, hit);
}

static bool same_hit(const struct dm_hit *a, const struct dm_hit *b)
{
	return a->what == b->what && a->depth == b->depth && a->pos == b->pos &&
	       !memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

/* The quirks that matter for @sector, as bits; @full: what the model sees with all. */
static u32 quirks_of(u64 sector, const struct dm_hit *full)
{
	struct dm_hit hit;
	u32 q, bits = 0;

	for (q = 0; q < DM_QUIRKS; q++)
		if (!look_without(q, sector, &hit) || !same_hit(&hit, full))
			bits |= 1U << q;
	/* Two of them may do the same each on its own. */
	for (q = 0; !bits && q < DM_QUIRKS; q++)
		if (look_only(q, sector, &hit) && same_hit(&hit, full))
			bits |= 1U << q;
	return bits;
}

static bool is_answer(const struct dm_hit *hit, const u8 *data, bool bad)
{
	if (bad || hit->what == DM_BAD)
		return bad == (hit->what == DM_BAD);
	return !memcmp(hit->bytes, data, DF_SECTOR);
}

static void judge(struct df_found *found, u64 sector, const struct dm_hit *strict,
		  const struct dm_hit *full)
{
	u32 bits = same_hit(strict, full) ? 0 : quirks_of(sector, full), q;

	if (!bits)
		unexplained(found, "sector %llu: QEMU differs, and no known quirk does that",
			    sector);
	for (q = 0; q < DM_QUIRKS; q++)
		if (bits & 1U << q)
			verdict(found, q);
}

static void differing_sector(struct df_found *found, u64 sector, const struct df_piece *qemu,
			     u64 i)
{
	struct dm_hit strict, full;

	class(found, DF_CONTENT);
	if (!look(&models.strict, models.strict_good, sector, &strict) ||
	    !look(&models.full, models.full_good, sector, &full))
		return unexplained(found, "sector %llu: not in the model's disk", sector);
	if (!is_answer(&full, qemu->data + i * DF_SECTOR, qemu->bad[i]))
		return unexplained(found, "sector %llu: QEMU's content (%s) is not the model's (%d)",
				   sector, qemu->bad[i] ? "unreadable" : "bytes", full.what);
	judge(found, sector, &strict, &full);
}

static void check_piece(struct df_found *found, const struct df_piece *p)
{
	struct dm_hit hit;
	u64 i, sector;

	for (i = 0; i < p->len / DF_SECTOR; i++) {
		sector = p->pos / DF_SECTOR + i;
		if (!look(&models.strict, models.strict_good, sector, &hit))
			return unexplained(found, "sector %llu of ours is not in the model's disk",
					   sector);
		if (!is_answer(&hit, p->data + i * DF_SECTOR, p->bad[i]))
			return unexplained(found,
					   "sector %llu: ours (%s) is not what the rules say (%d at byte %llu)",
					   sector, p->bad[i] ? "unreadable" : "bytes", hit.what,
					   hit.pos);
	}
}

/* By the rules of the format, is ours right? Asked for every sector. */
static void check_ours(struct df_found *found, const struct df_answer *ours)
{
	u64 size = models.strict_good ? dm_sectors(&models.strict) * DF_SECTOR : 0;
	u32 i;

	if (size != ours->size)
		unexplained(found, "size: ours is %llu, by the rules it is %llu", ours->size,
			    size);
	for (i = 0; i < ours->nr_pieces; i++)
		check_piece(found, &ours->pieces[i]);
}

static void compare_piece(struct df_found *found, const struct df_piece *ours,
			  const struct df_piece *qemu)
{
	u64 nr = min(ours->len, qemu->len) / DF_SECTOR, i;

	if (ours->pos != qemu->pos)
		return;		/* the tails of disks of different sizes */
	for (i = 0; i < nr; i++) {
		if (ours->bad[i] == qemu->bad[i] &&
		    (ours->bad[i] || !memcmp(ours->data + i * DF_SECTOR,
					     qemu->data + i * DF_SECTOR, DF_SECTOR)))
			continue;
		differing_sector(found, ours->pos / DF_SECTOR + i, qemu, i);
	}
}

/* Sizes are made of extents: only four quirks can change them. */
static void compare_size(struct df_found *found, const struct df_answer *ours,
			 const struct df_answer *qemu)
{
	static const u32 of_size[] = {
		DM_SKIP_LINES, DM_SCANF, DM_CAPACITY, DM_EMBEDDED,
	};
	struct dm_hit hit;
	bool any = false;
	u32 i;

	if (ours->size == qemu->size)
		return;
	class(found, DF_CONTENT);
	if (!models.full_good || dm_sectors(&models.full) * DF_SECTOR != qemu->size)
		return unexplained(found, "size: QEMU's is %llu, the model's %llu, ours %llu",
				   qemu->size, dm_sectors(&models.full) * DF_SECTOR, ours->size);
	for (i = 0; i < ARRAY_SIZE(of_size); i++) {
		u32 q = of_size[i];

		look_without(q, 0, &hit);
		look_only(q, 0, &hit);
		if ((models.good_without[q] &&
		     dm_sectors(&models.without[q]) == dm_sectors(&models.full)) &&
		    !(models.good_only[q] && dm_sectors(&models.only[q]) ==
					     dm_sectors(&models.full)))
			continue;
		verdict(found, q);
		any = true;
	}
	if (!any)
		unexplained(found, "size: QEMU's is %llu, ours %llu", qemu->size, ours->size);
}

/* --- maps --- */

static bool all_zero(const struct df_piece *p, u64 pos, u64 len)
{
	const u8 *d = p->data + pos;

	return !d[0] && !memcmp(d, d + 1, len - 1);
}

/*
 * QEMU looks into the file too: what lies in a hole of the file is zeros to it,
 * but still has its place.
 */
static bool same_range(const struct df_range *o, const struct df_range *q, u64 pos, u64 len,
		       const struct df_piece *p)
{
	u64 ours = o->offset + (pos - o->start), theirs = q->offset + (pos - q->start);

	if (!o->data)
		return !q->data && q->zero;
	if (!q->data && (!q->zero || !all_zero(p, pos, len)))
		return false;
	if (q->data && o->depth != q->depth)
		return false;
	if (q->has_offset && o->has_offset)
		return ours == theirs;
	return !q->data || q->has_offset == o->has_offset;
}

/* Is QEMU's line what the model sees with all quirks? */
static bool modelled(const struct dm_hit *hit, const struct df_range *q, u64 pos)
{
	u64 theirs = q->offset + (pos - q->start);

	switch (hit->what) {
	case DM_HOLE:
	case DM_ZEROS:
		return !q->data && q->zero;
	case DM_PLACE:
		return (!q->has_offset || theirs == hit->pos) && (q->data || q->zero);
	case DM_PACKED:
	case DM_BAD:
		return q->data && !q->has_offset;
	}
	return false;
}

static void differing_range(struct df_found *found, const struct df_range *q, u64 pos, u64 len)
{
	struct dm_hit strict, full;
	u64 end = pos + len;

	class(found, DF_MAP);
	/* QEMU's lines can begin in the middle of a sector: where a file ends there. */
	pos -= pos % DF_SECTOR;
	for (; pos < end; pos += DF_SECTOR) {
		if (!look(&models.strict, models.strict_good, pos / DF_SECTOR, &strict) ||
		    !look(&models.full, models.full_good, pos / DF_SECTOR, &full))
			return unexplained(found, "map at %llu: not in the model's disk", pos);
		if (!modelled(&full, q, pos))
			return unexplained(found,
					   "map at %llu: QEMU's (data %d, zero %d, offset %llu) is not the model's (%d at %llu)",
					   pos, q->data, q->zero,
					   q->has_offset ? q->offset + (pos - q->start) : 0,
					   full.what, full.pos);
		judge(found, pos / DF_SECTOR, &strict, &full);
	}
}

static bool any_bad(const struct df_piece *p, u64 pos, u64 len)
{
	u64 i;

	for (i = pos / DF_SECTOR; i < (pos + len) / DF_SECTOR; i++)
		if (p->bad[i])
			return true;
	return false;
}

static void compare_maps(struct df_found *found, const struct df_answer *ours,
			 const struct df_answer *qemu)
{
	u64 end = min(ours->pieces[0].len, qemu->pieces[0].len), pos, next;
	u32 i = 0, j = 0;

	while (i < ours->nr_map && j < qemu->nr_map) {
		const struct df_range *o = &ours->map[i], *q = &qemu->map[j];

		pos = max(o->start, q->start);
		next = min(min(o->start + o->len, q->start + q->len), end);
		if (pos < next && !any_bad(&ours->pieces[0], pos, next - pos) &&
		    !same_range(o, q, pos, next - pos, &ours->pieces[0]))
			differing_range(found, q, pos, next - pos);
		if (o->start + o->len <= next)
			i++;
		if (q->start + q->len <= next)
			j++;
		if (next == end)
			break;
	}
}

/* A map that ends early: where it ends, a sector must be unreadable. */
static void check_map_end(struct df_found *found, const struct df_answer *qemu)
{
	const struct df_range *last = qemu->nr_map ? &qemu->map[qemu->nr_map - 1] : NULL;
	u64 pos = last ? last->start + last->len : 0;

	if (!qemu->map_failed || pos >= qemu->pieces[0].len)
		return;
	if (!any_bad(&qemu->pieces[0], pos, qemu->pieces[0].len - pos))
		unexplained(found, "map ends at %llu (%s), but all can be read", pos,
			    qemu->map_text);
}

/* --- all of it --- */

static void open_models(const struct df_image *img)
{
	dm_new_image();
	models.img = img;
	models.strict_good = dm_open(&models.strict, img, 0);
	models.full_good = dm_open(&models.full, img, DM_ALL);
	memset(models.have_without, 0, sizeof(models.have_without));
	memset(models.have_only, 0, sizeof(models.have_only));
}

static void compare_disks(struct df_found *found, const struct df_answer *ours,
			  const struct df_answer *qemu)
{
	u32 i;

	compare_size(found, ours, qemu);
	for (i = 0; i < min(ours->nr_pieces, qemu->nr_pieces); i++)
		compare_piece(found, &ours->pieces[i], &qemu->pieces[i]);
	compare_maps(found, ours, qemu);
	check_map_end(found, qemu);
}

/* One reader has no disk: there must be a rule about that. */
static void by_rule(struct df_found *found, enum df_class class, const char *who, const char *text)
{
	int i = df_rule_verdict(models.img, class, text);

	found->class = class;
	if (i >= 0)
		verdict(found, (u32)i);
	else
		unexplained(found, "%s: %s", who, text);
}

void df_compare(const struct df_image *img, const struct df_answer *ours,
		const struct df_answer *qemu, struct df_found *found)
{
	memset(found, 0, sizeof(*found));
	open_models(img);
	if (ours->opened)
		check_ours(found, ours);
	if (qemu->broken)
		by_rule(found, DF_QEMU_BROKEN, "QEMU breaks", qemu->text);
	else if (!ours->opened && !qemu->opened)
		found->class = DF_BOTH_REFUSE;
	else if (!ours->opened)
		by_rule(found, DF_WE_REFUSE, "vdisk refuses", ours->text);
	else if (!qemu->opened)
		by_rule(found, DF_QEMU_REFUSES, "QEMU refuses", qemu->text);
	else
		compare_disks(found, ours, qemu);
}
