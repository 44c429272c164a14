// SPDX-License-Identifier: GPL-2.0-only
/* A reader of VMDK extents, and what a sound one is. */
#include <stdlib.h>
#include <string.h>

#include "kinds.h"
#include "vmdk-disk.h"

/**
 * struct tables - what the header says
 * @gd, @rgd: byte of each directory; @rgd 0: none
 * @gtes: entries of a table
 * @data: no grain lies before it
 * @zeroed: entry 1 is no place
 */
struct tables {
	u64 gd;
	u64 rgd;
	u64 gtes;
	u64 data;
	bool zeroed;
};

static struct tables *tables_of(const struct view *v)
{
	return v->priv;
}

static bool open_hosted(struct view *v)
{
	struct tables *t = xalloc(sizeof(*t));
	struct vmdk_hosted h;

	v->priv = t;
	view_get(v, &h, sizeof(h), 0);
	if (h.magic != VMDK_MAGIC || h.gtes != VMDK_GTES || h.grain_size * SECTOR != v->e->unit)
		return extent_wrong(v->e, "no header as it was");
	t->gd = h.gd * SECTOR;
	t->rgd = h.flags & 2 ? h.rgd * SECTOR : 0;
	t->gtes = VMDK_GTES;
	t->data = h.overhead * SECTOR;
	t->zeroed = h.flags & 4;
	return true;
}

static bool open_cowd(struct view *v)
{
	struct tables *t = xalloc(sizeof(*t));
	struct vmdk_cowd_header h;

	v->priv = t;
	view_get(v, &h, sizeof(h), 0);
	if (h.magic != VMDK_COWD_MAGIC || h.grain_size * SECTOR != v->e->unit)
		return extent_wrong(v->e, "no header as it was");
	t->gd = h.gd * SECTOR;
	t->gtes = VMDK_COWD_GTES;
	t->data = t->gd + h.nr_gd * 4;
	return true;
}

/* Byte of the table for grain @g according to the directory at @gd; 0: none. */
static u64 table_of(struct view *v, u64 gd, u64 g)
{
	return (u64)view_get32(v, gd + g / tables_of(v)->gtes * 4) * SECTOR;
}

static u32 entry_of(struct view *v, u64 gd, u64 g)
{
	u64 table = table_of(v, gd, g);

	return table ? view_get32(v, table + g % tables_of(v)->gtes * 4) : 0;
}

static bool is_data(const struct view *v, u32 gte)
{
	return gte > VMDK_GTE_ZERO || (gte && !tables_of(v)->zeroed);
}

static u64 read_grains(struct view *v, u64 pos, u8 *buf, u64 len, bool *hit)
{
	u64 in_grain = pos % v->e->unit;
	u32 gte = entry_of(v, tables_of(v)->gd, pos / v->e->unit);

	if (len > v->e->unit - in_grain)
		len = v->e->unit - in_grain;
	*hit = gte != 0;
	memset(buf, 0, len);
	if (is_data(v, gte))
		view_get(v, buf, len, (u64)gte * SECTOR + in_grain);
	return len;
}

static bool is_used(struct view *v, u64 g)
{
	return is_data(v, entry_of(v, tables_of(v)->gd, g));
}

static u64 entry_pos(struct view *v, u64 g)
{
	u64 table = table_of(v, tables_of(v)->gd, g);

	return table ? table + g % tables_of(v)->gtes * 4 : 0;
}

/* --------------------------------------------------------------- soundness */

/* A range of the file that something refers to. */
struct range {
	u64 pos;
	u64 len;
	u64 grain;	/* ~0: no grain, a table */
};

struct ranges {
	struct range *r;
	u64 nr;
};

static void add_range(struct ranges *all, u64 pos, u64 len, u64 grain)
{
	all->r[all->nr++] = (struct range) { pos, len, grain };
}

static int by_pos(const void *a, const void *b)
{
	const struct range *p = a, *q = b;

	return p->pos < q->pos ? -1 : p->pos > q->pos;
}

/* The tables of one directory, and the directory itself. */
static void add_tables(struct view *v, struct ranges *all, u64 gd)
{
	u64 gtes = tables_of(v)->gtes, t, nr = (v->nr + gtes - 1) / gtes, pos;

	add_range(all, gd, nr * 4, ~0ULL);
	for (t = 0; t < nr; t++) {
		pos = table_of(v, gd, t * gtes);
		if (pos)
			add_range(all, pos, gtes * 4, ~0ULL);
	}
}

/* Fills @all; false if an entry is none or the copies differ. */
static bool add_grains(struct view *v, struct ranges *all, unsigned int flags)
{
	const struct tables *t = tables_of(v);
	bool good = true;
	u32 gte, copy;
	u64 g;

	for (g = 0; good && g < v->nr; g++) {
		gte = entry_of(v, t->gd, g);
		copy = t->rgd ? entry_of(v, t->rgd, g) : gte;
		if (copy != gte && !(flags & CHAIN_MAY_LEAK && (!copy || !gte)))
			good = extent_wrong(v->e, "grain %llu: %u in one table, %u in the other",
					    ULL(g), gte, copy);
		if (t->rgd && !table_of(v, t->gd, g) != !table_of(v, t->rgd, g))
			good = extent_wrong(v->e, "grain %llu: one table of two", ULL(g));
		if (!is_data(v, gte))
			continue;
		if (gte == VMDK_GTE_ZERO || (u64)gte * SECTOR < t->data)
			good = extent_wrong(v->e, "grain %llu: at sector %u", ULL(g), gte);
		add_range(all, (u64)gte * SECTOR, v->e->unit, g);
	}
	return good;
}

static bool check_ranges(const struct view *v, struct ranges *all, unsigned int flags)
{
	u64 i, end = 0, limit;

	qsort(all->r, all->nr, sizeof(*all->r), by_pos);
	for (i = 0; i < all->nr; i++) {
		const struct range *r = &all->r[i];

		if (r->pos < end)
			return extent_wrong(v->e, "byte %llu is in use twice (grain %lld)",
					    ULL(r->pos), (long long)r->grain);
		end = r->pos + r->len;
	}
	/* What was cut off a last grain when the image was made may still be missing. */
	if (end > v->size)
		return extent_wrong(v->e, "in use up to byte %llu, but has %llu", ULL(end),
				    ULL(v->size));
	/* New tables come in whole blocks of 4096 bytes. */
	limit = (end + 4095) / 4096 * 4096;
	if (limit < v->e->size)
		limit = v->e->size;
	if (v->size > limit && !(flags & CHAIN_MAY_LEAK))
		return extent_wrong(v->e, "has %llu bytes, in use are %llu, it had %llu",
				    ULL(v->size), ULL(end), ULL(v->e->size));
	return true;
}

static bool hosted_unclean(struct view *v)
{
	return view_get32(v, __builtin_offsetof(struct vmdk_hosted, unclean)) & 0xff;
}

static bool cowd_unclean(struct view *v)
{
	return view_get32(v, __builtin_offsetof(struct vmdk_cowd_header, unclean));
}

static bool grains_sound(struct view *v, unsigned int flags)
{
	struct ranges all = { .r = xalloc((3 * v->nr + 8) * sizeof(*all.r)) };
	const struct tables *t = tables_of(v);
	bool good;

	add_tables(v, &all, t->gd);
	if (t->rgd)
		add_tables(v, &all, t->rgd);
	good = add_grains(v, &all, flags) && check_ranges(v, &all, flags);
	if (v->e->kind->unclean(v) && !(flags & CHAIN_MAY_LEAK))
		good = extent_wrong(v->e, "is marked unclean");
	free(all.r);
	return good;
}

/* ------------------------------------------------------------------- kinds */

/* Its driver finds a parent of the same kind only. */
static bool qemu_opens(const struct chain *c)
{
	unsigned int i;

	for (i = 1; i < c->nr; i++) {
		if (c->images[i].extents[0].kind->format != c->images[0].extents[0].kind->format)
			return false;
	}
	return true;
}

static const struct format vmdk = {
	.id = VDISK_FORMAT_VMDK,
	.name = "vmdk",
	.type = vmdk_type,
	.make = vmdk_make,
	.qemu_opens = qemu_opens,
};

static const struct kind hosted_kind = {
	.segment = VDISK_SEG_VMDK_SPARSE,
	.format = &vmdk,
	.open = open_hosted,
	.read = read_grains,
	.sound = grains_sound,
	.unclean = hosted_unclean,
	.is_used = is_used,
	.entry = entry_pos,
};

static const struct kind cowd_kind = {
	.segment = VDISK_SEG_VMDK_COWD,
	.format = &vmdk,
	.open = open_cowd,
	.read = read_grains,
	.sound = grains_sound,
	.unclean = cowd_unclean,
	.is_used = is_used,
	.entry = entry_pos,
};

static const struct kind flat_kind = {
	.segment = VDISK_SEG_RAW,
	.format = &vmdk,
	.open = flat_open,
	.read = flat_read,
	.sound = flat_sound,
};

struct extent vmdk_sparse(u64 len, u64 grain, u32 flags, unsigned int used)
{
	return (struct extent) { .kind = &hosted_kind, .len = len, .unit = grain, .flags = flags,
				 .used = used };
}

struct extent vmdk_cowd(u64 len, u64 grain, unsigned int used)
{
	return (struct extent) { .kind = &cowd_kind, .len = len, .unit = grain, .used = used };
}

struct extent vmdk_flat(u64 len)
{
	return (struct extent) { .kind = &flat_kind, .len = len, .used = 60 };
}
