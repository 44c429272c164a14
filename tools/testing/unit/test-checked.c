// SPDX-License-Identifier: GPL-2.0-only
/* Checked arithmetic, and the caps that other headers promise. */
#include "ut.h"

static void add_and_mul(void **state)
{
	static const u64 edge[] = {
		0, 1, 2, 511, 512, 513, 0x7fffffffULL, 0xffffffffULL, 0x100000000ULL,
		1ULL << 53, 1ULL << 55, (1ULL << 55) + 1, 1ULL << 62, 0x7fffffffffffffffULL,
		0x8000000000000000ULL, UINT64_MAX - 512, UINT64_MAX - 1, UINT64_MAX,
	};
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(edge); i++) {
		for (j = 0; j < ARRAY_SIZE(edge); j++) {
			__extension__ unsigned __int128 wide = (unsigned __int128)edge[i] + edge[j];
			u64 out = 0;

			assert_int_equal(vd_add(edge[i], edge[j], &out), wide <= UINT64_MAX);
			if (wide <= UINT64_MAX)
				assert_true(out == (u64)wide);
			wide = (unsigned __int128)edge[i] * edge[j];
			out = 0;
			assert_int_equal(vd_mul(edge[i], edge[j], &out), wide <= UINT64_MAX);
			if (wide <= UINT64_MAX)
				assert_true(out == (u64)wide);
		}
	}
}

static void sectors_to_bytes(void **state)
{
	u64 out = 7;

	assert_true(vd_sectors(0, &out));
	assert_true(out == 0);
	assert_true(vd_sectors((1ULL << 55) - 1, &out));
	assert_true(out == UINT64_MAX - 511);
	assert_false(vd_sectors(1ULL << 55, &out));
	assert_false(vd_sectors(UINT64_MAX, &out));
}

static void inside(void **state)
{
	assert_true(vd_inside(0, 0, 0));
	assert_true(vd_inside(512, 0, 512));
	assert_false(vd_inside(513, 0, 512));
	assert_true(vd_inside(0, 512, 512));
	assert_false(vd_inside(1, 512, 512));
	assert_false(vd_inside(0, 513, 512));
	assert_false(vd_inside(UINT64_MAX, 1, UINT64_MAX));
	assert_false(vd_inside(UINT64_MAX - 1, 2, UINT64_MAX));
	assert_true(vd_inside(UINT64_MAX - 1, 1, UINT64_MAX));
	assert_false(vd_inside(1, UINT64_MAX, 512));
	assert_true(vd_inside(0, UINT64_MAX, UINT64_MAX));
}

static void overlap(void **state)
{
	assert_false(vd_overlap(0, 512, 512, 512));
	assert_true(vd_overlap(0, 513, 512, 512));
	assert_true(vd_overlap(512, 1, 0, 1024));
	assert_false(vd_overlap(100, 0, 0, 1024));
	assert_false(vd_overlap(0, 1024, 100, 0));
	assert_true(vd_overlap(5, 1, 5, 1));
	assert_false(vd_overlap(6, 1, 5, 1));
}

static void ceil_shift(void **state)
{
	assert_true(vd_ceil_shift(0, 9) == 0);
	assert_true(vd_ceil_shift(1, 9) == 1);
	assert_true(vd_ceil_shift(512, 9) == 1);
	assert_true(vd_ceil_shift(513, 9) == 2);
	assert_true(vd_ceil_shift(UINT64_MAX, 9) == 1ULL << 55);
	assert_true(vd_ceil_shift(UINT64_MAX, 0) == UINT64_MAX);
}

/* Caps that depend on each other must not drift apart. */
static void caps(void **state)
{
	assert_int_equal(VD_SECTOR, 1U << VD_SECTOR_SHIFT);
	assert_int_equal(VD_META_BLOCK, 1U << VD_META_SHIFT);
	assert_true((u64)VD_META_MAX_BLOCKS * VD_META_BLOCK == 32 * UT_MIB);
	assert_true(VD_META_RESERVE < VD_META_MAX_BLOCKS);
	assert_true(VD_CAP_DISK_BYTES == 64ULL << 40);
	assert_true(VD_CAP_DISK_BYTES % VD_SECTOR == 0);
	/* One grain fits a packed unit, with room for stored blocks. */
	assert_true((u64)VMDK_CAP_GRAIN_SECTORS * VD_SECTOR <= VD_CAP_UNIT_BYTES);
	assert_true(VD_CAP_PACKED_BYTES > VD_CAP_UNIT_BYTES);
	/* The directory cap still allows the promised 32 TiB at 64 KiB grains. */
	assert_true((u64)VMDK_CAP_GD_ENTRIES * 512 * 64 * UT_KIB == 32ULL << 40);
	/* Attach memory: the reserve alone must stay far below the budget. */
	assert_true((u64)VD_META_RESERVE * VD_META_BLOCK <= 256 * UT_KIB);
}

static void errors(void **state)
{
	char long_text[2 * VD_ERROR_TEXT];
	struct vd_error err = { 0 };

	assert_int_equal(vd_fail(NULL, -EIO, "nobody listens %d", 1), -EIO);
	assert_int_equal(vd_fail(&err, -EUCLEAN, "first %u", 1U), -EUCLEAN);
	assert_int_equal(err.code, -EUCLEAN);
	assert_string_equal(err.text, "first 1");
	/* Unwinding must not hide the cause. */
	vd_fail(&err, -EIO, "second");
	assert_string_equal(err.text, "first 1");
	assert_int_equal(err.code, -EUCLEAN);

	memset(&err, 0, sizeof(err));
	memset(long_text, 'x', sizeof(long_text));
	long_text[sizeof(long_text) - 1] = 0;
	assert_int_equal(vd_fail(&err, -EINVAL, "%s", long_text), -EINVAL);
	assert_true(strnlen(err.text, sizeof(err.text)) < sizeof(err.text));
}

static void registry(void **state)
{
	const struct vd_format *const *all = vd_formats();
	const struct vd_format *fmt;
	size_t i;

	for (i = 0; all[i]; i++) {
		assert_non_null(all[i]->name);
		assert_string_equal(vd_format_name(all[i]->id), all[i]->name);
		fmt = vd_format_get(all[i]->id);
		assert_ptr_equal(fmt, all[i]);
		assert_non_null(fmt->map);
		assert_non_null(fmt->open);
		vd_format_put(fmt);
	}
	assert_true(i >= 2);
	assert_null(vd_format_get(VDISK_FORMAT_UNSPEC));
	assert_null(vd_format_get(12345));
	assert_null(vd_format_get(UINT32_MAX));
	assert_null(vd_format_name(12345));
	assert_string_equal(vd_format_name(VDISK_FORMAT_RAW), "raw");
	assert_string_equal(vd_format_name(VDISK_FORMAT_VMDK), "vmdk");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(add_and_mul),
		cmocka_unit_test(sectors_to_bytes),
		cmocka_unit_test(inside),
		cmocka_unit_test(overlap),
		cmocka_unit_test(ceil_shift),
		cmocka_unit_test(caps),
		cmocka_unit_test(errors),
		cmocka_unit_test(registry),
	};

	return cmocka_run_group_tests_name("checked", tests, NULL, NULL);
}
