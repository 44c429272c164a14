/* SPDX-License-Identifier: GPL-2.0-only */
/* Writers of ESX delta extents: COWD and SESparse. */
#ifndef IMG_ESX_H
#define IMG_ESX_H

#include "img-sparse.h"

/**
 * struct img_cowd - a COWD extent
 * @seed: not 0: grains (and with them tables) in random order
 * @cut_last: file ends with the last grain's content
 */
struct img_cowd {
	u64 seed;
	bool cut_last;
	u64 nr_gd;
	u64 gd;		/* sector */
	struct ut_buf buf;
};

#define IMG_COWD_GTES	4096U

static inline void img_cowd_write(struct img_cowd *c, const struct ut_disk *d)
{
	u64 grain = d->grain / VD_SECTOR, sectors = d->size / VD_SECTOR;
	u64 nr, i, free_sector, *order = img_order(d, c->seed, &nr);
	struct ut_buf *b = &c->buf;

	c->nr_gd = img_div_up(sectors, IMG_COWD_GTES * grain);
	c->gd = 4;
	ut_put(b, 0, "COWD", 4);
	ut_put32(b, 4, 1);
	ut_put32(b, 8, 3);
	ut_put32(b, 12, (u32)sectors);
	ut_put32(b, 16, (u32)grain);
	ut_put32(b, 20, (u32)c->gd);
	ut_put32(b, 24, (u32)c->nr_gd);
	ut_put32(b, 32, 1);	/* geometry of a root disk */
	ut_put32(b, 36, 64);
	ut_put32(b, 40, 32);
	free_sector = c->gd + img_div_up(c->nr_gd * 4, VD_SECTOR);
	ut_buf_size(b, free_sector * VD_SECTOR);
	for (i = 0; i < nr; i++) {
		u64 g = order[i], t = g / IMG_COWD_GTES;
		u64 gt = ut_get_le(b, c->gd * VD_SECTOR + t * 4, 4);

		if (!gt) {
			gt = free_sector;
			free_sector += IMG_COWD_GTES * 4 / VD_SECTOR;
			ut_buf_size(b, free_sector * VD_SECTOR);
			ut_put32(b, c->gd * VD_SECTOR + t * 4, (u32)gt);
		}
		ut_put32(b, gt * VD_SECTOR + (g % IMG_COWD_GTES) * 4, (u32)free_sector);
		ut_put(b, free_sector * VD_SECTOR, d->data + g * d->grain, ut_grain_len(d, g));
		free_sector += grain;
		if (!c->cut_last || i + 1 < nr)
			ut_buf_size(b, free_sector * VD_SECTOR);
	}
	ut_put32(b, 28, (u32)free_sector);
	free(order);
}

/**
 * struct img_sesparse - an SESparse extent
 * @seed: not 0: grains in random order
 * @first_slot: grain slots before it stay unused
 * @flip: alternate the two kinds of zero entry
 */
struct img_sesparse {
	u64 seed;
	u64 first_slot;
	u64 gd, gt, gt_sectors, grains, grains_sectors;	/* sectors */
	u64 volatile_hdr;
	struct ut_buf buf;
};

#define IMG_SE_GTES	4096U
#define IMG_SE_GRAIN	8U		/* sectors */
#define IMG_SE_GT	64U		/* sectors */

static inline u64 img_se_gte(u64 slot)
{
	return 3ULL << 60 | (slot & 0xfff) << 48 | slot >> 12;
}

static inline void img_se_pair(struct ut_buf *b, u64 at, u64 off, u64 len)
{
	ut_put64(b, at, off);
	ut_put64(b, at + 8, len);
}

static inline u64 img_se_area(u64 *at, u64 sectors)
{
	u64 off = *at;

	*at += img_div_up(sectors, IMG_SE_GRAIN) * IMG_SE_GRAIN;
	return off;
}

static inline void img_sesparse_header(struct img_sesparse *s, u64 capacity, u64 nr_gt, u64 slots)
{
	struct ut_buf *b = &s->buf;
	u64 at = 8, gd_sectors, journal_hdr, journal, bitmap, backmap;

	s->volatile_hdr = img_se_area(&at, 1);
	journal_hdr = img_se_area(&at, 8);
	journal = img_se_area(&at, 64);
	gd_sectors = img_div_up(img_div_up(nr_gt * 8, VD_SECTOR), IMG_SE_GRAIN) * IMG_SE_GRAIN;
	s->gd = img_se_area(&at, gd_sectors);
	s->gt_sectors = nr_gt * IMG_SE_GT;
	s->gt = img_se_area(&at, s->gt_sectors);
	bitmap = img_se_area(&at, 8);
	backmap = img_se_area(&at, 8 * img_div_up(slots * 8, 4096));
	s->grains = at;
	s->grains_sectors = slots * IMG_SE_GRAIN;

	ut_put64(b, 0, 0xcafebabeULL);
	ut_put64(b, 8, 0x200000001ULL);
	ut_put64(b, 16, capacity);
	ut_put64(b, 24, IMG_SE_GRAIN);
	ut_put64(b, 32, IMG_SE_GT);
	img_se_pair(b, 80, s->volatile_hdr, 1);
	img_se_pair(b, 96, journal_hdr, 8);
	img_se_pair(b, 112, journal, 64);
	img_se_pair(b, 128, s->gd, gd_sectors);
	img_se_pair(b, 144, s->gt, s->gt_sectors);
	img_se_pair(b, 160, bitmap, 8);
	img_se_pair(b, 176, backmap, 8 * img_div_up(slots * 8, 4096));
	img_se_pair(b, 192, s->grains, s->grains_sectors);
	ut_put64(b, s->volatile_hdr * VD_SECTOR, 0xcafecafeULL);
	ut_put64(b, s->volatile_hdr * VD_SECTOR + 8, nr_gt);
	ut_put64(b, s->volatile_hdr * VD_SECTOR + 16, 1);
	ut_buf_size(b, (s->grains + s->grains_sectors) * VD_SECTOR);
}

/* The disk's grain must be 4096 bytes. GT indexes run backwards, to tell them from GD indexes. */
static inline void img_sesparse_write(struct img_sesparse *s, const struct ut_disk *d)
{
	u64 nr, i, g, nr_gt, next = 0, *order = img_order(d, s->seed, &nr);
	u64 *gt_index = ut_xalloc((d->nr / IMG_SE_GTES + 1) * sizeof(*gt_index));
	struct ut_buf *b = &s->buf;

	assert_true(d->grain == IMG_SE_GRAIN * VD_SECTOR);
	nr_gt = img_div_up(d->nr, IMG_SE_GTES);
	img_sesparse_header(s, d->size / VD_SECTOR, nr_gt, s->first_slot + nr);
	next = nr_gt;
	for (g = 0; g < d->nr; g++) {
		u64 t = g / IMG_SE_GTES, entry = 0;

		if (d->state[g] == UT_ABSENT)
			continue;
		if (!gt_index[t]) {
			gt_index[t] = next--;
			ut_put64(b, s->gd * VD_SECTOR + t * 8,
				 0x10000000ULL << 32 | (gt_index[t] - 1));
		}
		if (d->state[g] == UT_ZERO)
			entry = g & 1 ? 1ULL << 60 : 2ULL << 60;
		ut_put64(b, (s->gt + (gt_index[t] - 1) * IMG_SE_GT) * VD_SECTOR +
			 (g % IMG_SE_GTES) * 8, entry);
	}
	for (i = 0; i < nr; i++) {
		u64 slot = s->first_slot + i;

		g = order[i];
		ut_put64(b, (s->gt + (gt_index[g / IMG_SE_GTES] - 1) * IMG_SE_GT) * VD_SECTOR +
			 (g % IMG_SE_GTES) * 8, img_se_gte(slot));
		ut_put(b, (s->grains + slot * IMG_SE_GRAIN) * VD_SECTOR, d->data + g * d->grain,
		       ut_grain_len(d, g));
	}
	free(gt_index);
	free(order);
}

#endif /* IMG_ESX_H */
