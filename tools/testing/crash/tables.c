// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an extent must look like at any time, after the format's description and
 * without a line of the library's: the tests of writing must not believe the
 * writer's idea of it.
 */
#include "crash.h"

#define GTE_ABSENT	0
#define GTE_ZERO	1
#define PAGES		(CRASH_ROOM / VD_SECTOR)

/* One extent under examination. @owner: for each sector of the file, what has it. */
struct look {
	const struct crash_file *f;
	struct crash_tables *out;
	char *rule;
	u64 grain;		/* sectors, as all below */
	u64 grains;
	u64 entries;		/* of a table */
	u64 gd, rgd;
	u64 tables;
	bool zero_entries;
	u8 owner[PAGES];
};

static u32 word(const struct look *l, u64 pos)
{
	return pos + 4 <= l->f->len ? get_unaligned_le32(l->f->data + pos) : 0;
}

static bool claim(struct look *l, u64 sector, u64 nr, const char *what)
{
	u64 i;

	if (sector + nr > PAGES)
		return crash_bad(l->rule, "%s at sector %llu is far away", what, sector);
	for (i = sector; i < sector + nr; i++) {
		if (l->owner[i])
			return crash_bad(l->rule, "%s at sector %llu overlaps something", what,
					 sector);
		l->owner[i] = 1;
	}
	l->out->end = max_t(u64, l->out->end, (sector + nr) * VD_SECTOR);
	return true;
}

/* A table or directory: all of it in the file. */
static bool claim_table(struct look *l, u64 sector, u64 bytes, const char *what)
{
	if (sector * VD_SECTOR + bytes > l->f->len)
		return crash_bad(l->rule, "%s at sector %llu ends behind the file's end %llu",
				 what, sector, l->f->len);
	return claim(l, sector, img_div_up(bytes, VD_SECTOR), what);
}

static bool claim_grain(struct look *l, u64 g, u32 entry)
{
	if (entry == GTE_ABSENT || (entry == GTE_ZERO && l->zero_entries))
		return true;
	if (entry * 512ULL >= l->f->len)
		return crash_bad(l->rule, "grain %llu at sector %u, but the file ends at %llu", g,
				 entry, l->f->len);
	return claim(l, entry, l->grain, "a grain");
}

/*
 * Two copies of an entry. Both are written after what they show is durable, so
 * one may be behind, but never do they show two places.
 */
static bool look_entry(struct look *l, u64 g, u32 one, u32 two)
{
	bool zero = l->zero_entries;

	l->out->hash = ut_mix(l->out->hash ^ one ^ (u64)two << 32);
	if (one == two)
		return claim_grain(l, g, one);
	l->out->same = false;
	if (one > (zero ? GTE_ZERO : GTE_ABSENT) && two > (zero ? GTE_ZERO : GTE_ABSENT))
		return crash_bad(l->rule, "grain %llu is at %u and at %u", g, one, two);
	return claim_grain(l, g, max(one, two));
}

/* Table @t: where its copies are, then what is in them. */
static bool look_table(struct look *l, u64 t)
{
	u32 gt = word(l, l->gd * VD_SECTOR + t * 4);
	u32 rgt = l->rgd ? word(l, l->rgd * VD_SECTOR + t * 4) : gt;
	u64 g, end = min_t(u64, l->grains, (t + 1) * l->entries);

	l->out->hash = ut_mix(l->out->hash ^ gt ^ (u64)rgt << 32);
	if (!gt != !rgt)
		l->out->same = false;
	if (gt && !claim_table(l, gt, l->entries * 4, "a table"))
		return false;
	if (l->rgd && rgt && !claim_table(l, rgt, l->entries * 4, "a second table"))
		return false;
	for (g = t * l->entries; g < end; g++) {
		u64 at = g % l->entries * 4;
		u32 one = gt ? word(l, gt * 512ULL + at) : 0;
		u32 two = rgt ? word(l, rgt * 512ULL + at) : 0;

		/* What only one directory shows, only one copy can say. */
		if (!look_entry(l, g, gt ? one : two, rgt ? two : one))
			return false;
	}
	return true;
}

static bool look_tables(struct look *l)
{
	u64 t;

	if (!claim_table(l, l->gd, l->tables * 4, "the directory"))
		return false;
	if (l->rgd && !claim_table(l, l->rgd, l->tables * 4, "the second directory"))
		return false;
	for (t = 0; t < l->tables; t++) {
		if (!look_table(l, t))
			return false;
	}
	if (!l->out->same && !l->out->marked)
		return crash_bad(l->rule, "the copies of a table differ, but the mark is clear");
	return true;
}

static bool look_sparse(struct look *l, u64 len)
{
	const u8 *h = l->f->data;
	u32 flags;

	if (l->f->len < VD_SECTOR || memcmp(h, "KDMV", 4))
		return crash_bad(l->rule, "the header is gone");
	flags = get_unaligned_le32(h + IMG_H_FLAGS);
	l->out->marked = h[IMG_H_UNCLEAN];
	if (h[IMG_H_UNCLEAN] > 1)
		return crash_bad(l->rule, "the mark is %u", h[IMG_H_UNCLEAN]);
	l->zero_entries = flags & IMG_F_ZERO_GTE;
	l->grain = get_unaligned_le64(h + IMG_H_GRAIN);
	l->grains = img_div_up(len / VD_SECTOR, l->grain);
	l->entries = IMG_GTES;
	l->gd = get_unaligned_le64(h + IMG_H_GD);
	l->rgd = flags & IMG_F_RGD ? get_unaligned_le64(h + IMG_H_RGD) : 0;
	l->tables = img_div_up(img_div_up(get_unaligned_le64(h + IMG_H_CAPACITY), l->grain),
			       l->entries);
	return claim(l, 0, 1 + get_unaligned_le64(h + IMG_H_DESC_SIZE), "the header") &&
	       look_tables(l);
}

static bool look_cowd(struct look *l, u64 len)
{
	const u8 *h = l->f->data;
	u32 mark, free_sector;

	if (l->f->len < 4 * VD_SECTOR || memcmp(h, "COWD", 4))
		return crash_bad(l->rule, "the header is gone");
	mark = get_unaligned_le32(h + 1648);
	if (mark > 1)
		return crash_bad(l->rule, "the mark is %u", mark);
	l->out->marked = mark;
	l->grain = get_unaligned_le32(h + 16);
	l->grains = img_div_up(len / VD_SECTOR, l->grain);
	l->entries = IMG_COWD_GTES;
	l->gd = get_unaligned_le32(h + 20);
	l->tables = get_unaligned_le32(h + 24);
	if (!claim(l, 0, 4, "the header") || !look_tables(l))
		return false;
	/* Others allocate there. */
	free_sector = get_unaligned_le32(h + 28);
	if (!mark && free_sector * 512ULL < l->out->end)
		return crash_bad(l->rule, "free sector %u, used up to %llu, and no mark",
				 free_sector, l->out->end / VD_SECTOR);
	return true;
}

bool crash_tables_look(const struct crash_file *f, u32 kind, u64 len, struct crash_tables *out,
		       char *rule)
{
	static struct look l;

	memset(out, 0, sizeof(*out));
	out->same = true;
	if (kind == VDISK_SEG_RAW)
		return true;
	memset(&l, 0, sizeof(l));
	l.f = f;
	l.out = out;
	l.rule = rule;
	return kind == VDISK_SEG_VMDK_COWD ? look_cowd(&l, len) : look_sparse(&l, len);
}
