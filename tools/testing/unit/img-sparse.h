/* SPDX-License-Identifier: GPL-2.0-only */
/* Writers of hosted sparse extents: plain, and compressed (streamOptimized). */
#ifndef IMG_SPARSE_H
#define IMG_SPARSE_H

#include <zlib.h>
#include "ut.h"

#define IMG_GTES		512U
#define IMG_GD_AT_END		0xffffffffffffffffULL
#define IMG_F_NEWLINE		(1U << 0)
#define IMG_F_RGD		(1U << 1)
#define IMG_F_ZERO_GTE		(1U << 2)
#define IMG_F_COMPRESSED	(1U << 16)
#define IMG_F_MARKERS		(1U << 17)

/* Field offsets in the header sector. */
enum img_hdr {
	IMG_H_MAGIC = 0, IMG_H_VERSION = 4, IMG_H_FLAGS = 8, IMG_H_CAPACITY = 12,
	IMG_H_GRAIN = 20, IMG_H_DESC = 28, IMG_H_DESC_SIZE = 36, IMG_H_GTES = 44,
	IMG_H_RGD = 48, IMG_H_GD = 56, IMG_H_OVERHEAD = 64, IMG_H_UNCLEAN = 72,
	IMG_H_NEWLINE = 73, IMG_H_COMPRESS = 77,
};

/**
 * struct img_sparse - how to write, and afterwards where things went
 * @version, @flags: header fields
 * @seed: not 0: grains in random order in the file
 * @holes: leave out grain tables without a grain in use
 * @cut_last: the file ends with the last grain's content, not with its slot
 * @extra_capacity: header capacity beyond the disk, in sectors
 * @descriptor: text to embed, or NULL
 */
struct img_sparse {
	u32 version;
	u32 flags;
	u64 seed;
	bool holes;
	bool cut_last;
	u64 extra_capacity;
	const char *descriptor;

	u64 desc, desc_sectors;
	u64 rgd, gd, overhead;	/* sectors */
	u64 nr_gt;
	struct ut_buf buf;
};

static inline void img_header(struct ut_buf *b, u64 at, const struct img_sparse *s, u64 capacity,
			      u64 grain, u64 gd)
{
	static const u8 newline[4] = { '\n', ' ', '\r', '\n' };

	ut_put(b, at + IMG_H_MAGIC, "KDMV", 4);
	ut_put32(b, at + IMG_H_VERSION, s->version);
	ut_put32(b, at + IMG_H_FLAGS, s->flags);
	ut_put64(b, at + IMG_H_CAPACITY, capacity);
	ut_put64(b, at + IMG_H_GRAIN, grain);
	ut_put64(b, at + IMG_H_DESC, s->desc_sectors ? s->desc : 0);
	ut_put64(b, at + IMG_H_DESC_SIZE, s->desc_sectors);
	ut_put32(b, at + IMG_H_GTES, IMG_GTES);
	ut_put64(b, at + IMG_H_RGD, s->rgd);
	ut_put64(b, at + IMG_H_GD, gd);
	ut_put64(b, at + IMG_H_OVERHEAD, s->overhead);
	ut_put(b, at + IMG_H_NEWLINE, newline, 4);
	ut_put16(b, at + IMG_H_COMPRESS, s->flags & IMG_F_COMPRESSED ? 1 : 0);
	ut_put8(b, at + 511, 0);
}

static inline u64 img_div_up(u64 n, u64 d)
{
	return (n + d - 1) / d;
}

/* File order of the grains in use. Caller frees. */
static inline u64 *img_order(const struct ut_disk *d, u64 seed, u64 *nr)
{
	u64 *order = ut_xalloc(d->nr * sizeof(*order));
	struct ut_rng rng = { seed };
	u64 g, n = 0, i, j, tmp;

	for (g = 0; g < d->nr; g++) {
		if (d->state[g] == UT_DATA)
			order[n++] = g;
	}
	for (i = n; seed && i > 1; i--) {
		j = ut_below(&rng, i);
		tmp = order[i - 1];
		order[i - 1] = order[j];
		order[j] = tmp;
	}
	*nr = n;
	return order;
}

static inline bool img_gt_used(const struct ut_disk *d, u64 t, bool zeros)
{
	u64 g;

	for (g = t * IMG_GTES; g < min_t(u64, d->nr, (t + 1) * IMG_GTES); g++) {
		if (d->state[g] == UT_DATA || (zeros && d->state[g] == UT_ZERO))
			return true;
	}
	return false;
}

/* Where header, descriptor, directories and tables of a plain extent lie. */
static inline void img_sparse_place(struct img_sparse *s, const struct ut_disk *d, u64 *gt0,
				    u64 *rgt0)
{
	u64 grain = d->grain / VD_SECTOR;
	u64 gd_sectors = img_div_up(s->nr_gt * 4, VD_SECTOR);
	u64 at = 1;

	s->desc = at;
	s->desc_sectors = s->descriptor ? 20 : 0;
	at += s->desc_sectors;
	s->rgd = 0;
	*rgt0 = 0;
	if (s->flags & IMG_F_RGD) {
		s->rgd = at;
		*rgt0 = at + gd_sectors;
		at = *rgt0 + s->nr_gt * 4;
	}
	s->gd = at;
	*gt0 = at + gd_sectors;
	at = *gt0 + s->nr_gt * 4;
	s->overhead = img_div_up(at, grain) * grain;
}

static inline void img_sparse_tables(struct img_sparse *s, const struct ut_disk *d, u64 gd, u64 gt0,
				     const u32 *gte)
{
	u64 t, g;

	if (!gd)
		return;
	for (t = 0; t < s->nr_gt; t++) {
		if (s->holes && !img_gt_used(d, t, true))
			continue;
		ut_put32(&s->buf, gd * VD_SECTOR + t * 4, (u32)(gt0 + t * 4));
		for (g = t * IMG_GTES; g < min_t(u64, d->nr, (t + 1) * IMG_GTES); g++)
			ut_put32(&s->buf, (gt0 + t * 4) * VD_SECTOR + (g % IMG_GTES) * 4, gte[g]);
	}
}

/* UT_ZERO needs IMG_F_ZERO_GTE and version 2. */
static inline void img_sparse_write(struct img_sparse *s, const struct ut_disk *d)
{
	u64 grain = d->grain / VD_SECTOR, capacity = d->size / VD_SECTOR + s->extra_capacity;
	u64 gt0, rgt0, nr, i, at, *order = img_order(d, s->seed, &nr);
	u32 *gte = ut_xalloc(d->nr * sizeof(*gte));

	if (!s->version)
		s->version = 1;
	s->flags |= IMG_F_NEWLINE;
	s->nr_gt = img_div_up(img_div_up(capacity, grain), IMG_GTES);
	img_sparse_place(s, d, &gt0, &rgt0);
	img_header(&s->buf, 0, s, capacity, grain, s->gd);
	if (s->descriptor)
		ut_put(&s->buf, s->desc * VD_SECTOR, s->descriptor, strlen(s->descriptor));
	ut_buf_size(&s->buf, s->overhead * VD_SECTOR);
	for (i = 0; i < d->nr; i++) {
		if (d->state[i] == UT_ZERO) {
			assert_true(s->flags & IMG_F_ZERO_GTE);
			gte[i] = 1;
		}
	}
	at = s->overhead;
	for (i = 0; i < nr; i++, at += grain) {
		u64 g = order[i], len = ut_grain_len(d, g);

		gte[g] = (u32)at;
		ut_put(&s->buf, at * VD_SECTOR, d->data + g * d->grain, len);
		if (!s->cut_last || i + 1 < nr)
			ut_buf_size(&s->buf, (at + grain) * VD_SECTOR);
	}
	img_sparse_tables(s, d, s->rgd, rgt0, gte);
	img_sparse_tables(s, d, s->gd, gt0, gte);
	free(gte);
	free(order);
}

/**
 * struct img_stream - a compressed extent
 * @footer: header says "at the end"; tables and footer follow the data
 * @tail_dir: no footer, but the directory lies behind the data all the same
 * @no_markers: only a length in front of each grain (flag b17 clear)
 * @keep_empty: write grain tables without a grain in use too
 * @full_last: the last grain is packed in full, zero-filled
 * @level: of zlib; 0 stores
 */
struct img_stream {
	struct img_sparse s;
	bool footer;
	bool tail_dir;
	bool no_markers;
	bool keep_empty;
	bool full_last;
	int level;
	u64 first_grain;	/* sector of the first grain's marker */
};

static inline u64 img_sector_end(struct ut_buf *b)
{
	ut_buf_size(b, img_div_up(b->len, VD_SECTOR) * VD_SECTOR);
	return b->len / VD_SECTOR;
}

static inline u64 img_marker(struct ut_buf *b, u64 val, u32 type)
{
	u64 at = img_sector_end(b);

	ut_put64(b, at * VD_SECTOR, val);
	ut_put32(b, at * VD_SECTOR + 8, 0);
	ut_put32(b, at * VD_SECTOR + 12, type);
	ut_put8(b, at * VD_SECTOR + 511, 0);
	return at + 1;
}

/* Returns the sector of the record that a GTE names. */
static inline u64 img_stream_grain(struct img_stream *st, const struct ut_disk *d, u64 g)
{
	struct ut_buf *b = &st->s.buf;
	u64 at = img_sector_end(b), pos = at * VD_SECTOR, len = ut_grain_len(d, g);
	uLongf room = compressBound(d->grain);
	u8 *full = ut_xalloc(d->grain), *packed = ut_xalloc(room);

	memcpy(full, d->data + g * d->grain, len);
	assert_int_equal(compress2(packed, &room, full, st->full_last ? d->grain : len, st->level),
			 Z_OK);
	if (st->no_markers) {
		ut_put32(b, pos, (u32)room);
		ut_put(b, pos + 4, packed, room);
	} else {
		ut_put64(b, pos, g * (d->grain / VD_SECTOR));
		ut_put32(b, pos + 8, (u32)room);
		ut_put(b, pos + 12, packed, room);
	}
	free(full);
	free(packed);
	img_sector_end(b);
	return at;
}

/* Tables and directory after the data; returns the directory's sector. */
static inline u64 img_stream_tail(struct img_stream *st, const struct ut_disk *d, const u32 *gte)
{
	struct ut_buf *b = &st->s.buf;
	u32 *gde = ut_xalloc(st->s.nr_gt * sizeof(*gde));
	u64 t, g, at;

	for (t = 0; t < st->s.nr_gt; t++) {
		if (!st->keep_empty && !img_gt_used(d, t, false))
			continue;
		at = img_marker(b, 4, 1);
		gde[t] = (u32)at;
		ut_buf_size(b, (at + 4) * VD_SECTOR);
		for (g = t * IMG_GTES; g < min_t(u64, d->nr, (t + 1) * IMG_GTES); g++)
			ut_put32(b, at * VD_SECTOR + (g % IMG_GTES) * 4, gte[g]);
	}
	at = img_marker(b, img_div_up(st->s.nr_gt * 4, VD_SECTOR), 2);
	for (t = 0; t < st->s.nr_gt; t++)
		ut_put32(b, at * VD_SECTOR + t * 4, gde[t]);
	free(gde);
	img_sector_end(b);
	return at;
}

static inline void img_stream_write(struct img_stream *st, const struct ut_disk *d)
{
	struct img_sparse *s = &st->s;
	u64 grain = d->grain / VD_SECTOR, capacity = d->size / VD_SECTOR + s->extra_capacity;
	u64 gt0 = 0, rgt0 = 0, nr, i, at, *order = img_order(d, s->seed, &nr);
	u32 *gte = ut_xalloc(d->nr * sizeof(*gte));
	bool tail = st->footer || st->tail_dir;

	if (!s->version)
		s->version = 3;
	s->flags |= IMG_F_NEWLINE | IMG_F_COMPRESSED | (st->no_markers ? 0 : IMG_F_MARKERS);
	s->nr_gt = img_div_up(img_div_up(capacity, grain), IMG_GTES);
	s->holes = !st->keep_empty;
	if (tail) {
		s->desc = 1;
		s->desc_sectors = s->descriptor ? 20 : 0;
		s->overhead = img_div_up(1 + s->desc_sectors, grain) * grain;
		s->rgd = 0;
	} else {
		img_sparse_place(s, d, &gt0, &rgt0);
	}
	img_header(&s->buf, 0, s, capacity, grain, st->footer ? IMG_GD_AT_END : s->gd);
	if (s->descriptor)
		ut_put(&s->buf, s->desc * VD_SECTOR, s->descriptor, strlen(s->descriptor));
	ut_buf_size(&s->buf, s->overhead * VD_SECTOR);
	for (i = 0; i < nr; i++) {
		at = img_stream_grain(st, d, order[i]);
		gte[order[i]] = (u32)at;
		if (!st->first_grain)
			st->first_grain = at;
	}
	if (tail) {
		s->gd = img_stream_tail(st, d, gte);
		if (st->tail_dir)
			ut_put64(&s->buf, IMG_H_GD, s->gd);
	} else {
		img_sparse_tables(s, d, s->rgd, rgt0, gte);
		img_sparse_tables(s, d, s->gd, gt0, gte);
	}
	if (st->footer) {
		at = img_marker(&s->buf, 1, 3);
		img_header(&s->buf, at * VD_SECTOR, s, capacity, grain, s->gd);
		img_marker(&s->buf, 0, 0);
	}
	free(gte);
	free(order);
}

#endif /* IMG_SPARSE_H */
