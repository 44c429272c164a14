// SPDX-License-Identifier: GPL-2.0-only
/*
 * Check and repair of hosted sparse extents: every kind of fault on its own,
 * what it is called, what a repair writes and in which order, and what a guest
 * reads afterwards.
 */
#include "ut-check.h"

#define RGD	IMG_F_RGD
#define ZEROED	(IMG_F_RGD | IMG_F_ZERO_GTE)
#define PAST	0x7fffff00U	/* sector past the end of every file here */

/* --- faults: each spoils the extent and says in the shadow what will be left --- */

static void lose(struct ck *k, u64 g)
{
	ut_disk_set(k->d, g, UT_ABSENT, 0);
}

static void spoil_mark(struct ck *k)
{
	ut_put8(&k->buf, IMG_H_UNCLEAN, 1);
}

static void spoil_absent_first(struct ck *k)
{
	ck_put(k, 0, ck_nth(k, UT_DATA, 5), 0);
}

static void spoil_absent_second(struct ck *k)
{
	ck_put(k, 1, ck_nth(k, UT_DATA, 150), 0);
}

static void spoil_zero_first(struct ck *k)
{
	u64 g = ck_nth(k, UT_DATA, 20);

	ck_put(k, 0, g, 1);
	ut_disk_set(k->d, g, UT_ZERO, 0);
}

static void spoil_zero_second(struct ck *k)
{
	u64 g = ck_nth(k, UT_DATA, 21);

	ck_put(k, 1, g, 1);
	ut_disk_set(k->d, g, UT_ZERO, 0);
}

static void spoil_zero_absent(struct ck *k)
{
	ck_put(k, 1, ck_nth(k, UT_ABSENT, 3), 1);
	ck_put(k, 0, ck_nth(k, UT_ZERO, 3), 0);
}

/* Many at once, in both tables and both directions, and the mark. */
static void spoil_many(struct ck *k)
{
	u64 n;

	for (n = 0; n < 200; n += 3) {
		ck_put(k, n % 2, ck_nth(k, UT_DATA, n), 0);
		ck_put(k, 1, ck_nth(k, UT_ZERO, n / 3), 0);
	}
	spoil_mark(k);
}

/* A grain's slot behind the last one. */
static u32 append_slot(struct ck *k)
{
	u64 at = k->buf.len;

	ut_buf_size(&k->buf, at + CK_GRAIN);
	memset(k->buf.data + at, 0xee, CK_GRAIN);
	return (u32)(at / VD_SECTOR);
}

static void spoil_two_grains(struct ck *k)
{
	ck_put(k, 1, ck_nth(k, UT_DATA, 8), append_slot(k));
}

static void spoil_second_far(struct ck *k)
{
	ck_put(k, 1, ck_nth(k, UT_DATA, 9), PAST);
}

static void spoil_first_far(struct ck *k)
{
	ck_put(k, 0, ck_nth(k, UT_DATA, 10), PAST);
}

static void spoil_both_far(struct ck *k)
{
	u64 g = ck_nth(k, UT_DATA, 11);

	ck_put(k, 0, g, PAST);
	ck_put(k, 1, g, PAST + 2);
	lose(k, g);
}

static void spoil_agreed_far(struct ck *k)
{
	u64 g = ck_nth(k, UT_DATA, 12);

	ck_put_both(k, g, PAST);
	lose(k, g);
}

static void spoil_far_zero(struct ck *k)
{
	ck_put(k, 0, ck_nth(k, UT_ZERO, 4), PAST);
}

static void spoil_far_absent(struct ck *k)
{
	ck_put(k, 1, ck_nth(k, UT_ABSENT, 4), PAST);
}

static void spoil_in_header(struct ck *k)
{
	u64 g = ck_nth(k, UT_DATA, 13), h = ck_nth(k, UT_DATA, 14);

	ck_put_both(k, g, 2);
	ck_put_both(k, h, (u32)(k->gd / VD_SECTOR));
	lose(k, g);
	lose(k, h);
}

/* Entry 1 says zeros only where the header says so. */
static void spoil_one(struct ck *k)
{
	u64 g = ck_nth(k, UT_DATA, 15);

	ck_put_both(k, g, 1);
	lose(k, g);
}

static void spoil_twice(struct ck *k)
{
	u64 g = ck_nth(k, UT_DATA, 30), h = ck_nth(k, UT_DATA, 31);

	ck_put_both(k, h, ck_get(k, 0, g));
	ck_show(k, h);
}

/* Nobody knows whose the place was: the one in the other's table, three at once. */
static void spoil_thrice(struct ck *k)
{
	u64 g = ck_nth(k, UT_DATA, 320), n;

	for (n = 0; n < 3; n++) {
		u64 h = ck_nth(k, UT_DATA, n);

		ck_put_both(k, h, ck_get(k, 0, g));
		ck_show(k, h);
	}
}

/* Half of it is past the end of the file, where a repair appends. */
static void spoil_twice_at_end(struct ck *k)
{
	u64 h = ck_nth(k, UT_DATA, 33);

	ck_put_both(k, h, (u32)(k->buf.len / VD_SECTOR) - 1);
	ck_show(k, h);
}

/* Both copies name a place that is another's. */
static void spoil_twice_both(struct ck *k)
{
	u64 g = ck_nth(k, UT_DATA, 34), h = ck_nth(k, UT_DATA, 35);

	ck_put(k, 1, h, ck_get(k, 0, ck_nth(k, UT_DATA, 36)));
	ck_put(k, 0, h, ck_get(k, 0, g));
	ck_show(k, h);
}

static void spoil_taken_absent(struct ck *k)
{
	u64 g = ck_nth(k, UT_DATA, 37), h = ck_nth(k, UT_ABSENT, 7);

	ck_put(k, 0, h, ck_get(k, 0, g));
	ck_show(k, h);
}

static void spoil_taken_far(struct ck *k)
{
	u64 g = ck_nth(k, UT_DATA, 38), h = ck_nth(k, UT_ABSENT, 8);

	ck_put(k, 0, h, ck_get(k, 0, g));
	ck_put(k, 1, h, PAST);
	ck_show(k, h);
}

/* One to be cleared, which must not come to lead into what another one appends. */
static void spoil_far_and_twice(struct ck *k)
{
	u64 f = ck_nth(k, UT_DATA, 39);

	ck_put_both(k, f, (u32)(k->buf.len / VD_SECTOR) + 1);
	lose(k, f);
	spoil_twice(k);
}

static void spoil_overlap(struct ck *k)
{
	u64 g = ck_nth(k, UT_DATA, 40), h = ck_nth(k, UT_DATA, 41);

	ck_put_both(k, h, ck_get(k, 0, g) + 1);
	ck_show(k, h);
}

/* The first copy is taken, but the second is good. */
static void spoil_twice_first(struct ck *k)
{
	u64 g = ck_nth(k, UT_DATA, 50), h = ck_nth(k, UT_DATA, 45);

	ck_put(k, 0, h, ck_get(k, 0, g));
}

static void spoil_absent_taken(struct ck *k)
{
	u64 g = ck_nth(k, UT_DATA, 60), h = ck_nth(k, UT_ABSENT, 6);

	ck_put(k, 1, h, ck_get(k, 0, g));
}

static void spoil_zero_taken(struct ck *k)
{
	u64 g = ck_nth(k, UT_DATA, 61), h = ck_nth(k, UT_ZERO, 6);

	ck_put(k, 0, h, ck_get(k, 0, g));
}

static void spoil_gde_absent(struct ck *k)
{
	ut_put32(&k->buf, ck_gde(k, 0, 0), 0);
}

static void spoil_rgde_absent(struct ck *k)
{
	ut_put32(&k->buf, ck_gde(k, 1, 600), 0);
}

/* Of an empty table, whose only entry leads nowhere: no crash leaves that. */
static void spoil_gde_lone_far(struct ck *k)
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
static void spoil_gde_lone_twice(struct ck *k)
{
	spoil_gde_lone_far(k);
	ut_put32(&k->buf, ck_gde(k, 1, 600), (u32)ut_get_le(&k->buf, ck_gde(k, 1, 0), 4));
}

static void spoil_gde_far(struct ck *k)
{
	ut_put32(&k->buf, ck_gde(k, 0, 600), PAST);
}

static void spoil_gde_header(struct ck *k)
{
	ut_put32(&k->buf, ck_gde(k, 0, 0), 0xffffffff);
	ut_put32(&k->buf, ck_gde(k, 1, 600), (u32)(k->gd / VD_SECTOR));
}

static void spoil_gde_is_rgde(struct ck *k)
{
	ut_put32(&k->buf, ck_gde(k, 1, 0), (u32)ut_get_le(&k->buf, ck_gde(k, 0, 0), 4));
}

static void spoil_gde_twice(struct ck *k)
{
	ut_put32(&k->buf, ck_gde(k, 0, 600), (u32)ut_get_le(&k->buf, ck_gde(k, 0, 0), 4));
}

static void spoil_gde_overlap(struct ck *k)
{
	ut_put32(&k->buf, ck_gde(k, 0, 600), (u32)ut_get_le(&k->buf, ck_gde(k, 0, 0), 4) + 1);
}

static void spoil_gde_both(struct ck *k)
{
	u64 g;

	ut_put32(&k->buf, ck_gde(k, 0, 600), PAST);
	ut_put32(&k->buf, ck_gde(k, 1, 600), 0);
	for (g = IMG_GTES; g < k->d->nr; g++)
		lose(k, g);
}

static void spoil_cut(struct ck *k)
{
	u64 g = ck_last_data(k);

	ut_buf_size(&k->buf, ck_get(k, 0, g) * (u64)VD_SECTOR);
	lose(k, g);
}

/* A good table in the data area, and a grain that says it is there too. */
static void spoil_grain_in_table(struct ck *k)
{
	u64 g = ck_nth(k, UT_DATA, 70), old = ck_gte(k, 0, 0), at = k->buf.len;

	ut_buf_size(&k->buf, at + IMG_GTES * 4);
	memcpy(k->buf.data + at, k->buf.data + old, IMG_GTES * 4);
	ut_put32(&k->buf, ck_gde(k, 0, 0), (u32)(at / VD_SECTOR));
	ck_put_both(k, g, (u32)(at / VD_SECTOR) + 2);
	lose(k, g);
}

static const struct fault {
	const char *name;
	u32 flags;
	void (*spoil)(struct ck *k);
	u64 leaks, unclean, corrupt;	/* at first */
	u64 left;			/* leaks after the repair */
} faults[] = {
	{ "mark of a writer", RGD, spoil_mark, 0, 1, 0, 0 },
	{ "0 and a grain", RGD, spoil_absent_first, 0, 1, 0, 0 },
	{ "a grain and 0", ZEROED, spoil_absent_second, 0, 1, 0, 0 },
	{ "1 and a grain", ZEROED, spoil_zero_first, 1, 1, 0, 1 },
	{ "a grain and 1", ZEROED, spoil_zero_second, 1, 1, 0, 1 },
	{ "0 and 1, 1 and 0", ZEROED, spoil_zero_absent, 0, 2, 0, 0 },
	{ "many", ZEROED, spoil_many, 0, 135, 0, 0 },
	{ "two grains", RGD, spoil_two_grains, 0, 0, 1, 0 },
	{ "second past the end", RGD, spoil_second_far, 0, 0, 1, 0 },
	{ "first past the end", RGD, spoil_first_far, 0, 0, 1, 0 },
	{ "both past the end", RGD, spoil_both_far, 1, 0, 1, 1 },
	{ "agreed, past the end", RGD, spoil_agreed_far, 1, 0, 1, 1 },
	{ "past the end and 1", ZEROED, spoil_far_zero, 0, 0, 1, 0 },
	{ "0 and past the end", ZEROED, spoil_far_absent, 0, 0, 1, 0 },
	{ "in metadata", RGD, spoil_in_header, 1, 0, 2, 1 },
	{ "1 without its flag", RGD, spoil_one, 1, 0, 1, 1 },
	{ "a grain twice", RGD, spoil_twice, 1, 0, 1, 1 },
	{ "a grain four times", RGD, spoil_thrice, 1, 0, 3, 1 },
	{ "a grain twice, behind the end", RGD, spoil_twice_at_end, 1, 0, 1, 1 },
	{ "both copies are others'", RGD, spoil_twice_both, 1, 0, 1, 1 },
	{ "another's and 0", RGD, spoil_taken_absent, 0, 0, 1, 0 },
	{ "another's and past the end", RGD, spoil_taken_far, 0, 0, 1, 0 },
	{ "past the end, and a grain twice", RGD, spoil_far_and_twice, 2, 0, 2, 2 },
	{ "overlapping grains", RGD, spoil_overlap, 1, 0, 1, 1 },
	{ "first copy is another's", RGD, spoil_twice_first, 0, 0, 1, 0 },
	{ "0 and another's", RGD, spoil_absent_taken, 0, 0, 1, 0 },
	{ "another's and 1", ZEROED, spoil_zero_taken, 0, 0, 1, 0 },
	{ "directory: absent", RGD, spoil_gde_absent, 0, 1, 0, 0 },
	{ "redundant directory: absent", RGD, spoil_rgde_absent, 0, 1, 0, 0 },
	{ "absent, and not a table", RGD, spoil_gde_lone_far, 0, 0, 2, 0 },
	{ "absent, and another's table", RGD, spoil_gde_lone_twice, 0, 0, 2, 0 },
	{ "directory: past the end", RGD, spoil_gde_far, 0, 0, 1, 0 },
	{ "directory: in a directory", RGD, spoil_gde_header, 0, 0, 2, 0 },
	{ "both directories: one table", RGD, spoil_gde_is_rgde, 0, 0, 1, 0 },
	{ "directory: a table twice", RGD, spoil_gde_twice, 0, 0, 1, 0 },
	{ "directory: overlapping tables", RGD, spoil_gde_overlap, 0, 0, 1, 0 },
	{ "both directories: no table", RGD, spoil_gde_both, 0, 0, 2, 1 },
	{ "cut short by a grain", RGD, spoil_cut, 0, 0, 1, 0 },
	{ "a grain in a table", RGD, spoil_grain_in_table, 1, 0, 1, 1 },
};

static bool mergeable(const struct fault *f)
{
	return f->unclean && !f->corrupt;
}

static void look(struct ck *k, const struct fault *f)
{
	u64 all = f->unclean + f->corrupt;
	struct vd_check c;

	assert_int_equal(ck_run(k, 0, &c, NULL), 0);
	ck_expect(&c, f->name, f->leaks, f->unclean, f->corrupt);
	assert_true(c.repaired[VD_FINDING_UNCLEAN] + c.repaired[VD_FINDING_CORRUPT] == all);
	assert_int_equal(ck_run(k, VD_CHECK_MERGE, &c, NULL), 0);
	ck_expect(&c, f->name, f->leaks, f->unclean, f->corrupt);
	assert_true(!c.repaired[VD_FINDING_CORRUPT]);
	assert_true(!mergeable(f) || c.repaired[VD_FINDING_UNCLEAN] == all);
}

/* Repaired, it is clean, a guest reads what it should, and nothing is left to write. */
static void mend(struct ck *k, const struct fault *f, u32 flags)
{
	struct ck_log log;
	struct vd_check c;
	long nth;

	for (nth = 1; ck_interrupted(k, flags, nth); nth += 1 + nth / 24)
		;
	assert_int_equal(ck_run(k, flags, &c, &log), 0);
	ck_expect(&c, f->name, f->leaks, f->unclean, f->corrupt);
	assert_true(log.writes > 0);
	assert_true(log.flushes > 1);
	ck_content(k);
	assert_int_equal(ck_run(k, 0, &c, NULL), 0);
	ck_expect(&c, f->name, f->left, 0, 0);
	assert_int_equal(ck_run(k, flags, &c, &log), 0);
	assert_int_equal(log.writes + log.flushes, 0);
}

static void every_fault(void **state)
{
	struct ck k, other;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(faults); i++) {
		const struct fault *f = &faults[i];

		ck_hosted(&k, f->flags);
		f->spoil(&k);
		look(&k, f);
		ck_copy(&other, &k);
		mend(&other, f, VD_CHECK_REPAIR);
		ut_buf_free(&other.buf);
		if (mergeable(f)) {
			ck_copy(&other, &k);
			mend(&other, f, VD_CHECK_REPAIR | VD_CHECK_MERGE);
			ut_buf_free(&other.buf);
		}
		ck_free(&k);
	}
}

/* Damage is not MERGE's business: not a byte of it changes, and the mark stays. */
static void merge_leaves_damage(void **state)
{
	struct vd_check c;
	struct ck k, was;
	struct ck_log log;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(faults); i++) {
		if (!faults[i].corrupt)
			continue;
		ck_hosted(&k, faults[i].flags);
		faults[i].spoil(&k);
		spoil_mark(&k);
		ck_copy(&was, &k);
		assert_int_equal(ck_run(&k, VD_CHECK_REPAIR | VD_CHECK_MERGE, &c, &log), 0);
		assert_true(!log.writes);
		assert_true(k.buf.len == was.buf.len &&
			    !memcmp(k.buf.data, was.buf.data, was.buf.len));
		assert_int_equal(c.repaired[VD_FINDING_UNCLEAN], 0);
		ut_buf_free(&was.buf);
		ck_free(&k);
	}
}

/* An entry past the end must not come to lead into a table that is added there. */
static void merge_does_not_grow_over_damage(void **state)
{
	struct vd_check c;
	struct ck k;
	u64 len, g;

	ck_hosted(&k, RGD);
	g = ck_nth(&k, UT_DATA, 39);
	ck_put_both(&k, g, (u32)(k.buf.len / VD_SECTOR) + 1);
	spoil_gde_absent(&k);
	spoil_mark(&k);
	len = k.buf.len;
	assert_int_equal(ck_run(&k, VD_CHECK_REPAIR | VD_CHECK_MERGE, &c, NULL), 0);
	assert_true(k.buf.len == len);
	assert_int_equal(ck_run(&k, VD_CHECK_REPAIR, &c, NULL), 0);
	lose(&k, g);
	ck_content(&k);
	assert_int_equal(ck_run(&k, 0, &c, NULL), 0);
	ck_expect(&c, "merge, then all", 1, 0, 0);
	ck_free(&k);
}

/* --- sound extents --- */

static void clean(void **state)
{
	static const u32 flags[] = { 0, RGD, ZEROED };
	struct vd_check c;
	struct ck k;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		ck_hosted(&k, flags[i]);
		assert_int_equal(ck_run(&k, 0, &c, NULL), 0);
		ck_expect(&c, "clean", 0, 0, 0);
		assert_true(c.units == k.d->nr && c.used_units == ck_used(&k));
		assert_true(c.unit == CK_GRAIN);
		assert_true(c.end == k.buf.len && !c.leaked);
		assert_int_equal(c.found[VD_FINDING_NOTE], 0);
		ck_free(&k);
	}
}

static void clean_variants(void **state)
{
	struct img_sparse variants[] = {
		{ .flags = RGD, .seed = 5 }, { .flags = RGD, .cut_last = true },
		{ .flags = RGD, .holes = true }, { .flags = RGD, .extra_capacity = 3 },
		{ .flags = RGD, .descriptor = "# Disk DescriptorFile\n" },
		{ .flags = RGD, .version = 3 },
	};
	u64 grain;
	u32 i;

	for (grain = VD_SECTOR; grain <= UT_MIB; grain *= 4) {
		struct ut_disk *d = ut_disk_random(2 * UT_MIB + VD_SECTOR, grain, grain, false);

		for (i = 0; i < ARRAY_SIZE(variants); i++) {
			struct img_sparse s = variants[i];
			struct ck k = { .kind = VDISK_SEG_VMDK_SPARSE, .d = d };
			struct vd_check c;

			img_sparse_write(&s, d);
			k.buf = s.buf;
			assert_int_equal(ck_run(&k, 0, &c, NULL), 0);
			ck_expect(&c, "variant", 0, 0, 0);
			ut_buf_free(&k.buf);
		}
		ut_disk_free(d);
	}
}

/* A hole in the middle is a leak, space behind the last grain is only noted. */
static void leaks(void **state)
{
	struct vd_check c;
	struct ck k;
	u64 g, h;

	ck_hosted(&k, RGD);
	g = ck_nth(&k, UT_DATA, 100);
	ck_put_both(&k, g, 0);
	h = ck_nth(&k, UT_DATA, 200);
	ck_put_both(&k, h, 0);
	ck_put_both(&k, ck_nth(&k, UT_DATA, 201), 0);
	assert_int_equal(ck_run(&k, VD_CHECK_REPAIR, &c, NULL), 0);
	ck_expect(&c, "leaks", 2, 0, 0);
	assert_true(c.leaked == 3 * CK_GRAIN);
	ck_free(&k);

	ck_hosted(&k, RGD);
	ck_put_both(&k, ck_last_data(&k), 0);
	ut_buf_size(&k.buf, k.buf.len + 10);
	assert_int_equal(ck_run(&k, VD_CHECK_REPAIR, &c, NULL), 0);
	ck_expect(&c, "trailing space", 0, 0, 0);
	assert_int_equal(c.found[VD_FINDING_NOTE], 1);
	assert_true(c.end == k.buf.len - 10 - CK_GRAIN && !c.leaked);
	ck_free(&k);
}

static void surplus(void **state)
{
	struct vd_check c;
	struct ck k;

	ck_hosted(&k, RGD);
	ck_put(&k, 1, k.d->nr, PAST);
	assert_int_equal(ck_run(&k, VD_CHECK_REPAIR, &c, NULL), 0);
	ck_expect(&c, "surplus", 0, 0, 0);
	assert_int_equal(c.found[VD_FINDING_NOTE], 1);
	ck_free(&k);
}

static void too_small_for_its_line(void **state)
{
	struct vd_check c;
	struct ck k;

	ck_hosted(&k, RGD);
	spoil_mark(&k);
	k.d->size += CK_GRAIN * 4;
	assert_int_equal(ck_run(&k, VD_CHECK_REPAIR, &c, NULL), 0);
	ck_expect(&c, "capacity", 0, 1, 1);
	assert_int_equal(c.repaired[VD_FINDING_CORRUPT], 0);
	assert_int_equal(c.repaired[VD_FINDING_UNCLEAN], 0);
	assert_int_equal(ut_get_le(&k.buf, IMG_H_UNCLEAN, 1), 1);
	k.d->size -= CK_GRAIN * 4;
	ck_free(&k);
}

/* --- what a repair appends, and what it changes --- */

/* On a block device: behind the last place in use, not behind the device's end. */
static int mend_device(struct ck *k, u64 room, struct vd_check *c)
{
	struct vd_file *mem;
	const void *data;
	u64 end = k->buf.len;
	size_t len;
	int ret;

	ut_buf_size(&k->buf, end + room);
	memset(k->buf.data + end, 0x5a, room);
	mem = vd_ufile_mem(k->buf.data, k->buf.len, true);
	mem->fixed = true;
	ret = ck_run_file(mem, k->kind, k->d->size, VD_CHECK_REPAIR, c);
	data = vd_ufile_mem_data(mem, &len);
	assert_true(len == k->buf.len);
	ut_put(&k->buf, 0, data, len);
	vd_ufile_free(mem);
	return ret;
}

static void on_a_device(void **state)
{
	static void (*const spoil[])(struct ck *k) = {
		spoil_twice, spoil_thrice, spoil_gde_far, spoil_gde_both,
	};
	struct vd_check c;
	struct ck k;
	u64 end;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(spoil); i++) {
		ck_hosted(&k, RGD);
		spoil[i](&k);
		end = k.buf.len;
		assert_int_equal(mend_device(&k, 64 * UT_KIB, &c), 0);
		assert_true(c.end <= end + 8 * UT_KIB);
		ck_content(&k);
		assert_int_equal(ck_run(&k, 0, &c, NULL), 0);
		assert_true(!c.found[VD_FINDING_CORRUPT] && !c.found[VD_FINDING_UNCLEAN]);
		ck_free(&k);

		ck_hosted(&k, RGD);
		spoil[i](&k);
		/* What a lost table leaves is room enough for another. */
		assert_int_equal(mend_device(&k, VD_SECTOR, &c),
				 spoil[i] == spoil_gde_both ? 0 : -ENOSPC);
		ck_free(&k);
	}
}

struct changes {
	u64 copied, altered;
	u64 pos, len;		/* the last one */
};

static void note_change(void *ctx, enum vd_change how, u64 pos, u64 len)
{
	struct changes *n = ctx;

	n->copied += how == VD_CHANGE_COPIED;
	n->altered += how == VD_CHANGE_ALTERED;
	n->pos = pos;
	n->len = len;
}

static void changes(void **state)
{
	static const struct {
		void (*spoil)(struct ck *k);
		u64 copied, altered;
		u64 grain;	/* nth with data */
	} cases[] = {
		{ spoil_twice, 1, 0, 31 }, { spoil_agreed_far, 0, 1, 12 },
		{ spoil_first_far, 0, 1, 10 }, { spoil_second_far, 0, 0, 0 },
		{ spoil_twice_first, 0, 1, 45 }, { spoil_absent_first, 0, 0, 0 },
		{ spoil_two_grains, 0, 0, 0 }, { spoil_gde_far, 0, 0, 0 },
		{ spoil_twice_both, 1, 0, 35 },
	};
	struct vd_error err = { 0 };
	struct changes n;
	struct ck k;
	u32 i, pass;

	for (i = 0; i < 2 * ARRAY_SIZE(cases); i++) {
		struct vd_check c = { .changed = note_change, .ctx = &n };
		struct vd_file *mem;
		u64 grain;

		pass = i % 2;
		ck_hosted(&k, RGD);
		grain = ck_nth(&k, UT_DATA, cases[i / 2].grain);
		cases[i / 2].spoil(&k);
		memset(&n, 0, sizeof(n));
		c.flags = pass ? VD_CHECK_REPAIR : 0;
		mem = vd_ufile_mem(k.buf.data, k.buf.len, true);
		assert_int_equal(vd_format_vmdk.user->check(mem, k.kind, k.d->size, &c, &err), 0);
		assert_true(n.altered == cases[i / 2].altered && c.altered == n.altered);
		assert_true(n.copied == cases[i / 2].copied);
		if (n.altered + n.copied)
			assert_true(n.pos == grain * CK_GRAIN && n.len == CK_GRAIN);
		vd_ufile_free(mem);
		ck_free(&k);
	}
}

/* Thousands of empty tables of which one copy is missing are one change of size. */
static void lone_tables(void **state)
{
	struct img_sparse s = { .flags = RGD, .version = 1 };
	struct ck k = { .kind = VDISK_SEG_VMDK_SPARSE };
	struct ck_log log;
	struct vd_check c;
	u64 t, nr = 3000, len;

	k.d = ut_disk_new(nr * IMG_GTES * VD_SECTOR, VD_SECTOR);
	img_sparse_write(&s, k.d);
	k.buf = s.buf;
	for (t = 0; t < nr; t++)
		ut_put32(&k.buf, s.rgd * VD_SECTOR + t * 4, 0);
	spoil_mark(&k);
	assert_int_equal(ck_run(&k, VD_CHECK_MERGE, &c, NULL), 0);
	ck_expect(&c, "lone tables", 0, nr + 1, 0);
	assert_true(c.lone == nr);
	len = k.buf.len;
	assert_int_equal(ck_run(&k, VD_CHECK_MERGE | VD_CHECK_REPAIR, &c, &log), 0);
	/* The growth, an entry each, and the mark. */
	assert_true(log.writes == nr + 2);
	assert_true(k.buf.len == len + nr * IMG_GTES * 4);
	assert_int_equal(ck_run(&k, 0, &c, NULL), 0);
	ck_expect(&c, "lone tables, merged", 0, 0, 0);
	assert_true(!c.lone);
	ck_free(&k);
}

/* --- order --- */

/* What hangs on the mark is durable when it goes, and it goes durably. */
static void mark_goes_last(void **state)
{
	struct ck_log log;
	struct vd_check c;
	struct ck k;

	ck_hosted(&k, ZEROED);
	spoil_many(&k);
	assert_int_equal(ck_run(&k, VD_CHECK_REPAIR | VD_CHECK_MERGE, &c, &log), 0);
	assert_true(log.last_write == 0);
	assert_true(log.writes > 3);
	/* Before the first write, after the tables; then after the mark. */
	assert_int_equal(log.flushes_at_last, 2);
	assert_int_equal(log.flushes, 3);
	ck_free(&k);
}

static void only_if_marked(void **state)
{
	struct ut_count count = { 0 };
	struct vd_file *mem, *file;
	struct vd_check c;
	struct ck k;

	ck_hosted(&k, RGD);
	spoil_twice(&k);
	mem = vd_ufile_mem(k.buf.data, k.buf.len, false);
	file = vd_ufile_record(mem, ut_count_fn, &count);
	assert_int_equal(ck_run_file(file, k.kind, k.d->size, VD_CHECK_IF_MARKED, &c), 0);
	ck_expect(&c, "not marked", 0, 0, 0);
	assert_true(count.reads <= 2 && count.read_bytes <= 1024);
	vd_ufile_free(file);
	vd_ufile_free(mem);
	spoil_mark(&k);
	assert_int_equal(ck_run(&k, VD_CHECK_IF_MARKED, &c, NULL), 0);
	ck_expect(&c, "marked", 1, 1, 1);
	ck_free(&k);
}

static void read_only_file(void **state)
{
	struct vd_file *mem;
	struct vd_check c;
	struct ck k;

	ck_hosted(&k, RGD);
	mem = vd_ufile_mem(k.buf.data, k.buf.len, false);
	assert_int_equal(ck_run_file(mem, k.kind, k.d->size, VD_CHECK_REPAIR, &c), -EROFS);
	vd_ufile_free(mem);
	ck_free(&k);
}

static bool stop_at_once(void *ctx, u64 done, u64 total)
{
	return false;
}

static void stopped(void **state)
{
	struct vd_error err = { 0 };
	struct vd_check c = { .flags = VD_CHECK_REPAIR, .progress = stop_at_once };
	struct vd_file *mem;
	struct ck k;

	ck_hosted(&k, ZEROED);
	spoil_many(&k);
	mem = vd_ufile_mem(k.buf.data, k.buf.len, true);
	assert_int_equal(vd_format_vmdk.user->check(mem, k.kind, k.d->size, &c, &err), -EINTR);
	ut_assert_sentence(&err, -EINTR);
	assert_int_equal(*((const u8 *)vd_ufile_mem_data(mem, NULL) + IMG_H_UNCLEAN), 1);
	vd_ufile_free(mem);
	ck_free(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_fault),
		cmocka_unit_test(merge_leaves_damage),
		cmocka_unit_test(merge_does_not_grow_over_damage),
		cmocka_unit_test(clean),
		cmocka_unit_test(clean_variants),
		cmocka_unit_test(leaks),
		cmocka_unit_test(surplus),
		cmocka_unit_test(too_small_for_its_line),
		cmocka_unit_test(on_a_device),
		cmocka_unit_test(changes),
		cmocka_unit_test(lone_tables),
		cmocka_unit_test(mark_goes_last),
		cmocka_unit_test(only_if_marked),
		cmocka_unit_test(read_only_file),
		cmocka_unit_test(stopped),
	};

	return cmocka_run_group_tests_name("check", tests, NULL, NULL);
}
