/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Faults of hosted sparse extents: each spoils the extent and says in the shadow
 * what will be left.
 */
#ifndef CK_SPOIL_H
#define CK_SPOIL_H

#include "ut-check.h"

#define RGD	IMG_F_RGD
#define ZEROED	(IMG_F_RGD | IMG_F_ZERO_GTE)
#define PAST	0x7fffff00U	/* sector past the end of every file here */

static inline void lose(struct ck *k, u64 g)
{
	ut_disk_set(k->d, g, UT_ABSENT, 0);
}

static inline void spoil_mark(struct ck *k)
{
	ut_put8(&k->buf, IMG_H_UNCLEAN, 1);
}

static inline void spoil_absent_first(struct ck *k)
{
	ck_put(k, 0, ck_nth(k, UT_DATA, 5), 0);
}

static inline void spoil_absent_second(struct ck *k)
{
	ck_put(k, 1, ck_nth(k, UT_DATA, 150), 0);
}

static inline void spoil_zero_first(struct ck *k)
{
	u64 g = ck_nth(k, UT_DATA, 20);

	ck_put(k, 0, g, 1);
	ut_disk_set(k->d, g, UT_ZERO, 0);
}

static inline void spoil_zero_second(struct ck *k)
{
	u64 g = ck_nth(k, UT_DATA, 21);

	ck_put(k, 1, g, 1);
	ut_disk_set(k->d, g, UT_ZERO, 0);
}

static inline void spoil_zero_absent(struct ck *k)
{
	ck_put(k, 1, ck_nth(k, UT_ABSENT, 3), 1);
	ck_put(k, 0, ck_nth(k, UT_ZERO, 3), 0);
}

/* Many at once, in both tables and both directions, and the mark. */
static inline void spoil_many(struct ck *k)
{
	u64 n;

	for (n = 0; n < 200; n += 3) {
		ck_put(k, n % 2, ck_nth(k, UT_DATA, n), 0);
		ck_put(k, 1, ck_nth(k, UT_ZERO, n / 3), 0);
	}
	spoil_mark(k);
}

/* A grain's slot behind the last one. */
static inline u32 append_slot(struct ck *k)
{
	u64 at = k->buf.len;

	ut_buf_size(&k->buf, at + CK_GRAIN);
	memset(k->buf.data + at, 0xee, CK_GRAIN);
	return (u32)(at / VD_SECTOR);
}

static inline void spoil_two_grains(struct ck *k)
{
	ck_put(k, 1, ck_nth(k, UT_DATA, 8), append_slot(k));
}

static inline void spoil_second_far(struct ck *k)
{
	ck_put(k, 1, ck_nth(k, UT_DATA, 9), PAST);
}

static inline void spoil_first_far(struct ck *k)
{
	ck_put(k, 0, ck_nth(k, UT_DATA, 10), PAST);
}

static inline void spoil_both_far(struct ck *k)
{
	u64 g = ck_nth(k, UT_DATA, 11);

	ck_put(k, 0, g, PAST);
	ck_put(k, 1, g, PAST + 2);
	lose(k, g);
}

static inline void spoil_agreed_far(struct ck *k)
{
	u64 g = ck_nth(k, UT_DATA, 12);

	ck_put_both(k, g, PAST);
	lose(k, g);
}

static inline void spoil_far_zero(struct ck *k)
{
	ck_put(k, 0, ck_nth(k, UT_ZERO, 4), PAST);
}

static inline void spoil_far_absent(struct ck *k)
{
	ck_put(k, 1, ck_nth(k, UT_ABSENT, 4), PAST);
}

static inline void spoil_in_header(struct ck *k)
{
	u64 g = ck_nth(k, UT_DATA, 13), h = ck_nth(k, UT_DATA, 14);

	ck_put_both(k, g, 2);
	ck_put_both(k, h, (u32)(k->gd / VD_SECTOR));
	lose(k, g);
	lose(k, h);
}

/* Entry 1 says zeros only where the header says so. */
static inline void spoil_one(struct ck *k)
{
	u64 g = ck_nth(k, UT_DATA, 15);

	ck_put_both(k, g, 1);
	lose(k, g);
}

static inline void spoil_twice(struct ck *k)
{
	u64 g = ck_nth(k, UT_DATA, 30), h = ck_nth(k, UT_DATA, 31);

	ck_put_both(k, h, ck_get(k, 0, g));
	ck_show(k, h);
}

/* Nobody knows whose the place was: the one in the other's table, three at once. */
static inline void spoil_thrice(struct ck *k)
{
	u64 g = ck_nth(k, UT_DATA, 320), n;

	for (n = 0; n < 3; n++) {
		u64 h = ck_nth(k, UT_DATA, n);

		ck_put_both(k, h, ck_get(k, 0, g));
		ck_show(k, h);
	}
}

/* Half of it is past the end of the file, where a repair appends. */
static inline void spoil_twice_at_end(struct ck *k)
{
	u64 h = ck_nth(k, UT_DATA, 33);

	ck_put_both(k, h, (u32)(k->buf.len / VD_SECTOR) - 1);
	ck_show(k, h);
}

/* Both copies name a place that is another's. */
static inline void spoil_twice_both(struct ck *k)
{
	u64 g = ck_nth(k, UT_DATA, 34), h = ck_nth(k, UT_DATA, 35);

	ck_put(k, 1, h, ck_get(k, 0, ck_nth(k, UT_DATA, 36)));
	ck_put(k, 0, h, ck_get(k, 0, g));
	ck_show(k, h);
}

static inline void spoil_taken_absent(struct ck *k)
{
	u64 g = ck_nth(k, UT_DATA, 37), h = ck_nth(k, UT_ABSENT, 7);

	ck_put(k, 0, h, ck_get(k, 0, g));
	ck_show(k, h);
}

static inline void spoil_taken_far(struct ck *k)
{
	u64 g = ck_nth(k, UT_DATA, 38), h = ck_nth(k, UT_ABSENT, 8);

	ck_put(k, 0, h, ck_get(k, 0, g));
	ck_put(k, 1, h, PAST);
	ck_show(k, h);
}

/* One to be cleared, which must not come to lead into what another one appends. */
static inline void spoil_far_and_twice(struct ck *k)
{
	u64 f = ck_nth(k, UT_DATA, 39);

	ck_put_both(k, f, (u32)(k->buf.len / VD_SECTOR) + 1);
	lose(k, f);
	spoil_twice(k);
}

static inline void spoil_overlap(struct ck *k)
{
	u64 g = ck_nth(k, UT_DATA, 40), h = ck_nth(k, UT_DATA, 41);

	ck_put_both(k, h, ck_get(k, 0, g) + 1);
	ck_show(k, h);
}

/* The first copy is taken, but the second is good. */
static inline void spoil_twice_first(struct ck *k)
{
	u64 g = ck_nth(k, UT_DATA, 50), h = ck_nth(k, UT_DATA, 45);

	ck_put(k, 0, h, ck_get(k, 0, g));
}

static inline void spoil_absent_taken(struct ck *k)
{
	u64 g = ck_nth(k, UT_DATA, 60), h = ck_nth(k, UT_ABSENT, 6);

	ck_put(k, 1, h, ck_get(k, 0, g));
}

static inline void spoil_zero_taken(struct ck *k)
{
	u64 g = ck_nth(k, UT_DATA, 61), h = ck_nth(k, UT_ZERO, 6);

	ck_put(k, 0, h, ck_get(k, 0, g));
}

static inline void spoil_gde_absent(struct ck *k)
{
	ut_put32(&k->buf, ck_gde(k, 0, 0), 0);
}

static inline void spoil_rgde_absent(struct ck *k)
{
	ut_put32(&k->buf, ck_gde(k, 1, 600), 0);
}

/* Of an empty table, whose only entry leads nowhere: no crash leaves that. */
static inline void spoil_gde_lone_far(struct ck *k)
{
	u64 g;

	for (g = IMG_GTES; g < k->d->nr; g++) {
		ck_put_both(k, g, 0);
		lose(k, g);
	}
	ut_put32(&k->buf, ck_gde(k, 0, 600), 0);
	ut_put32(&k->buf, ck_gde(k, 1, 600), PAST);
	ut_buf_size(&k->buf, k->data + CK_GRAIN * ck_used(k));
}

/* The only entry of a table that is another's: the same. */
static inline void spoil_gde_lone_twice(struct ck *k)
{
	spoil_gde_lone_far(k);
	ut_put32(&k->buf, ck_gde(k, 1, 600), (u32)ut_get_le(&k->buf, ck_gde(k, 1, 0), 4));
}

static inline void spoil_gde_far(struct ck *k)
{
	ut_put32(&k->buf, ck_gde(k, 0, 600), PAST);
}

static inline void spoil_gde_header(struct ck *k)
{
	ut_put32(&k->buf, ck_gde(k, 0, 0), 0xffffffff);
	ut_put32(&k->buf, ck_gde(k, 1, 600), (u32)(k->gd / VD_SECTOR));
}

static inline void spoil_gde_is_rgde(struct ck *k)
{
	ut_put32(&k->buf, ck_gde(k, 1, 0), (u32)ut_get_le(&k->buf, ck_gde(k, 0, 0), 4));
}

static inline void spoil_gde_twice(struct ck *k)
{
	ut_put32(&k->buf, ck_gde(k, 0, 600), (u32)ut_get_le(&k->buf, ck_gde(k, 0, 0), 4));
}

static inline void spoil_gde_overlap(struct ck *k)
{
	ut_put32(&k->buf, ck_gde(k, 0, 600), (u32)ut_get_le(&k->buf, ck_gde(k, 0, 0), 4) + 1);
}

static inline void spoil_gde_both(struct ck *k)
{
	u64 g;

	ut_put32(&k->buf, ck_gde(k, 0, 600), PAST);
	ut_put32(&k->buf, ck_gde(k, 1, 600), 0);
	for (g = IMG_GTES; g < k->d->nr; g++)
		lose(k, g);
}

static inline void spoil_cut(struct ck *k)
{
	u64 g = ck_last_data(k);

	ut_buf_size(&k->buf, ck_get(k, 0, g) * (u64)VD_SECTOR);
	lose(k, g);
}

/* A good table in the data area, and a grain that says it is there too. */
static inline void spoil_grain_in_table(struct ck *k)
{
	u64 g = ck_nth(k, UT_DATA, 70), old = ck_gte(k, 0, 0), at = k->buf.len;

	ut_buf_size(&k->buf, at + IMG_GTES * 4);
	memcpy(k->buf.data + at, k->buf.data + old, IMG_GTES * 4);
	ut_put32(&k->buf, ck_gde(k, 0, 0), (u32)(at / VD_SECTOR));
	ck_put_both(k, g, (u32)(at / VD_SECTOR) + 2);
	lose(k, g);
}

#endif /* CK_SPOIL_H */
