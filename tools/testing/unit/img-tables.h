/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What an extent must look like at any time, after the format's description and
 * without a line of the library's: the tests of writing must not believe the
 * writer's idea of it.
 */
#ifndef IMG_TABLES_H
#define IMG_TABLES_H

#include "img-vdi.h"
#include "img-write.h"

#define IMG_ROOM	(3U << 20)	/* no file of a test grows beyond */
#define IMG_RULE	200		/* bytes of a sentence about what is wrong */
#define IMG_SECTORS	(IMG_ROOM / VD_SECTOR)

#define IMG_GTE_ABSENT	0
#define IMG_GTE_ZERO	1

/**
 * struct img_tables - what a look at one extent tells
 * @marked: the mark of an unfinished writer is set
 * @same: both copies say the same, or there is only one
 * @hash: over all tables
 * @end: highest byte referred to
 */
struct img_tables {
	bool marked;
	bool same;
	u64 hash;
	u64 end;
};

/* The first sentence stays in @rule. Returns false. */
static inline bool __printf(2, 3) img_bad(char *rule, const char *fmt, ...)
{
	va_list args;

	if (rule[0])
		return false;
	va_start(args, fmt);
	vsnprintf(rule, IMG_RULE, fmt, args);
	va_end(args);
	return false;
}

enum img_owner { IMG_NOBODY, IMG_HEADER, IMG_TABLE, IMG_GRAIN };

/* One extent under examination. @owner: for each sector of the file, what has it. */
struct img_look {
	const u8 *file;
	u64 file_len;
	struct img_tables *out;
	char *rule;
	u64 grain;		/* sectors, as all below */
	u64 grains;
	u64 entries;		/* of a table */
	u64 gd, rgd;
	u64 tables;
	bool zero_entries;
	u8 owner[IMG_SECTORS];
};

static inline u32 img_word(const struct img_look *l, u64 pos)
{
	return pos + 4 <= l->file_len ? get_unaligned_le32(l->file + pos) : 0;
}

static inline bool img_claim(struct img_look *l, u64 sector, u64 nr, enum img_owner owner,
			     const char *what)
{
	u64 i;

	if (sector + nr > IMG_SECTORS)
		return img_bad(l->rule, "%s at sector %llu is far away", what, sector);
	for (i = sector; i < sector + nr; i++) {
		if (l->owner[i])
			return img_bad(l->rule, "%s at sector %llu overlaps something", what,
				       sector);
		l->owner[i] = (u8)owner;
	}
	l->out->end = max_t(u64, l->out->end, (sector + nr) * VD_SECTOR);
	return true;
}

/* A table or directory: all of it in the file. */
static inline bool img_claim_table(struct img_look *l, u64 sector, u64 bytes, const char *what)
{
	if (sector * VD_SECTOR + bytes > l->file_len)
		return img_bad(l->rule, "%s at sector %llu ends behind the file's end %llu",
			       what, sector, l->file_len);
	return img_claim(l, sector, img_div_up(bytes, VD_SECTOR), IMG_TABLE, what);
}

static inline bool img_claim_grain(struct img_look *l, u64 g, u32 entry)
{
	if (entry == IMG_GTE_ABSENT || (entry == IMG_GTE_ZERO && l->zero_entries))
		return true;
	if (entry * 512ULL >= l->file_len)
		return img_bad(l->rule, "grain %llu at sector %u, but the file ends at %llu", g,
			       entry, l->file_len);
	return img_claim(l, entry, l->grain, IMG_GRAIN, "a grain");
}

/*
 * Two copies of an entry. Both are written after what they show is durable, so
 * one may be behind, but never do they show two places.
 */
static inline bool img_look_entry(struct img_look *l, u64 g, u32 one, u32 two)
{
	u32 none = l->zero_entries ? IMG_GTE_ZERO : IMG_GTE_ABSENT;

	l->out->hash = ut_mix(l->out->hash ^ one ^ (u64)two << 32);
	if (one == two)
		return img_claim_grain(l, g, one);
	l->out->same = false;
	if (one > none && two > none)
		return img_bad(l->rule, "grain %llu is at %u and at %u", g, one, two);
	return img_claim_grain(l, g, max(one, two));
}

/* Table @t: where its copies are, then what is in them. */
static inline bool img_look_table(struct img_look *l, u64 t)
{
	u32 gt = img_word(l, l->gd * VD_SECTOR + t * 4);
	u32 rgt = l->rgd ? img_word(l, l->rgd * VD_SECTOR + t * 4) : gt;
	u64 g, end = min_t(u64, l->grains, (t + 1) * l->entries);

	l->out->hash = ut_mix(l->out->hash ^ gt ^ (u64)rgt << 32);
	if (!gt != !rgt)
		l->out->same = false;
	if (gt && !img_claim_table(l, gt, l->entries * 4, "a table"))
		return false;
	if (l->rgd && rgt && !img_claim_table(l, rgt, l->entries * 4, "a second table"))
		return false;
	for (g = t * l->entries; g < end; g++) {
		u64 at = g % l->entries * 4;
		u32 one = gt ? img_word(l, gt * 512ULL + at) : 0;
		u32 two = rgt ? img_word(l, rgt * 512ULL + at) : 0;

		/* What only one directory shows, only one copy can say. */
		if (!img_look_entry(l, g, gt ? one : two, rgt ? two : one))
			return false;
	}
	return true;
}

static inline bool img_look_tables(struct img_look *l)
{
	u64 t;

	if (!img_claim_table(l, l->gd, l->tables * 4, "the directory"))
		return false;
	if (l->rgd && !img_claim_table(l, l->rgd, l->tables * 4, "the second directory"))
		return false;
	for (t = 0; t < l->tables; t++) {
		if (!img_look_table(l, t))
			return false;
	}
	if (!l->out->same && !l->out->marked)
		return img_bad(l->rule, "the copies of a table differ, but the mark is clear");
	return true;
}

static inline bool img_look_sparse(struct img_look *l, u64 len)
{
	const u8 *h = l->file;
	u32 flags;

	if (l->file_len < VD_SECTOR || memcmp(h, "KDMV", 4))
		return img_bad(l->rule, "the header is gone");
	flags = get_unaligned_le32(h + IMG_H_FLAGS);
	l->out->marked = h[IMG_H_UNCLEAN];
	if (h[IMG_H_UNCLEAN] > 1)
		return img_bad(l->rule, "the mark is %u", h[IMG_H_UNCLEAN]);
	l->zero_entries = flags & IMG_F_ZERO_GTE;
	l->grain = get_unaligned_le64(h + IMG_H_GRAIN);
	l->grains = img_div_up(len / VD_SECTOR, l->grain);
	l->entries = IMG_GTES;
	l->gd = get_unaligned_le64(h + IMG_H_GD);
	l->rgd = flags & IMG_F_RGD ? get_unaligned_le64(h + IMG_H_RGD) : 0;
	l->tables = img_div_up(img_div_up(get_unaligned_le64(h + IMG_H_CAPACITY), l->grain),
			       l->entries);
	return img_claim(l, 0, 1 + get_unaligned_le64(h + IMG_H_DESC_SIZE), IMG_HEADER,
			 "the header") &&
	       img_look_tables(l);
}

static inline bool img_look_cowd(struct img_look *l, u64 len)
{
	const u8 *h = l->file;
	u32 mark, free_sector;

	if (l->file_len < 4 * VD_SECTOR || memcmp(h, "COWD", 4))
		return img_bad(l->rule, "the header is gone");
	mark = get_unaligned_le32(h + 1648);
	if (mark > 1)
		return img_bad(l->rule, "the mark is %u", mark);
	l->out->marked = mark;
	l->grain = get_unaligned_le32(h + 16);
	l->grains = img_div_up(len / VD_SECTOR, l->grain);
	l->entries = IMG_COWD_GTES;
	l->gd = get_unaligned_le32(h + 20);
	l->tables = get_unaligned_le32(h + 24);
	if (!img_claim(l, 0, 4, IMG_HEADER, "the header") || !img_look_tables(l))
		return false;
	/* Others allocate there. */
	free_sector = get_unaligned_le32(h + 28);
	if (!mark && free_sector * 512ULL < l->out->end)
		return img_bad(l->rule, "free sector %u, used up to %llu, and no mark",
			       free_sector, l->out->end / VD_SECTOR);
	return true;
}

/* Whoever appends where the counter says must hit nothing. */
static inline bool img_look_counter(struct img_look *l, u32 high)
{
	u32 counter = img_word(l, IMG_VDI_COUNT);

	if (counter < high)
		return img_bad(l->rule, "the header counts %u slots, but %u are in use", counter,
			       high);
	return true;
}

/* Map and slots begin at sectors. */
static inline bool img_look_vdi(struct img_look *l)
{
	u64 map = img_word(l, IMG_VDI_MAP), data = img_word(l, IMG_VDI_DATA), b;
	u32 blocks = img_word(l, IMG_VDI_BLOCKS), slot, high = 0;

	if (l->file_len < VD_SECTOR || img_word(l, IMG_VDI_SIGN) != IMG_VDI_SIGNATURE)
		return img_bad(l->rule, "the header is gone");
	l->grain = img_word(l, IMG_VDI_BLOCK) / VD_SECTOR;
	if (!img_claim(l, 0, 1, IMG_HEADER, "the header") ||
	    !img_claim_table(l, map / VD_SECTOR, 4 * (u64)blocks, "the map"))
		return false;
	for (b = 0; b < blocks; b++) {
		slot = img_word(l, map + 4 * b);
		l->out->hash = ut_mix(l->out->hash ^ slot);
		if (slot >= IMG_VDI_ZERO)
			continue;
		if (!img_claim_grain(l, b, (u32)(data / VD_SECTOR + slot * l->grain)))
			return false;
		high = max(high, slot + 1);
	}
	return img_look_counter(l, high);
}

static inline bool img_look_at(struct img_look *l, const u8 *file, u64 file_len, u32 kind, u64 len)
{
	l->file = file;
	l->file_len = file_len;
	if (kind == VDISK_SEG_VDI)
		return img_look_vdi(l);
	return kind == VDISK_SEG_VMDK_COWD ? img_look_cowd(l, len) : img_look_sparse(l, len);
}

/* False and a sentence in @rule: the extent breaks a rule. */
static inline bool img_tables_look(const u8 *file, u64 file_len, u32 kind, u64 len,
				   struct img_tables *out, char *rule)
{
	static struct img_look l;

	memset(out, 0, sizeof(*out));
	out->same = true;
	if (kind == VDISK_SEG_RAW)
		return true;
	memset(&l, 0, sizeof(l));
	l.out = out;
	l.rule = rule;
	return img_look_at(&l, file, file_len, kind, len);
}

/* Who has this byte of an extent that breaks no rule? */
static inline enum img_owner img_tables_owner(const u8 *file, u64 file_len, u32 kind, u64 len,
					      u64 pos)
{
	static struct img_look l;
	struct img_tables out = { .same = true };
	char rule[IMG_RULE] = "";

	if (kind == VDISK_SEG_RAW)
		return IMG_GRAIN;
	memset(&l, 0, sizeof(l));
	l.out = &out;
	l.rule = rule;
	img_look_at(&l, file, file_len, kind, len);
	return (enum img_owner)l.owner[pos / VD_SECTOR];
}

#endif /* IMG_TABLES_H */
