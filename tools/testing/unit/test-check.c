// SPDX-License-Identifier: GPL-2.0-only
/*
 * Check and repair of hosted sparse extents: every kind of fault on its own,
 * what it is called, and what a guest reads after its repair.
 */
#include "ck-spoil.h"

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
	};

	return cmocka_run_group_tests_name("check", tests, NULL, NULL);
}
