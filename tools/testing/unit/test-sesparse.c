// SPDX-License-Identifier: GPL-2.0-only
/* SESparse extents: nibbles, split indexes, areas, and headers that lie. */
#include "img-esx.h"

#define GRAIN 4096ULL

static void set_of(struct ut_set *set, const struct ut_buf *b, u64 size)
{
	memset(set, 0, sizeof(*set));
	ut_set_buf(set, b);
	ut_set_image(set, VDISK_FORMAT_VMDK, size);
	ut_set_seg(set, VDISK_SEG_VMDK_SESPARSE, 0, 0, size, 0);
}

static void check_image(struct img_sesparse *s, const struct ut_disk *d)
{
	struct vd_chain *chain;
	struct ut_set set;

	img_sesparse_write(s, d);
	set_of(&set, &s->buf, d->size);
	chain = ut_open(&set);
	ut_check(chain, d->data, d->size);
	vd_chain_close(chain);
	ut_set_free(&set);
}

static void content(void **state)
{
	static const u64 size[] = { 512, GRAIN, 1 * UT_MIB + 512, 20 * UT_MIB, 33 * UT_MIB };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(size); i++) {
		struct ut_disk *d = ut_disk_random(size[i], GRAIN, i + 1, true);
		struct img_sesparse s = { .seed = i }, later = { .seed = i, .first_slot = 3 };

		check_image(&s, d);
		ut_buf_free(&s.buf);
		check_image(&later, d);
		ut_buf_free(&later.buf);
		ut_disk_free(d);
	}
}

/* Tables that are not there: 16 MiB each of nothing, between and behind others. */
static void absent_tables(void **state)
{
	struct ut_disk *d = ut_disk_new(60 * UT_MIB, GRAIN);
	struct img_sesparse s = { 0 };
	u64 g;

	for (g = 0; g < d->nr; g += 7) {
		if (g / 4096 == 1 || (g / 4096 == 2 && g % 2))
			ut_disk_set(d, g, g % 3 ? UT_DATA : UT_ZERO, 8);
	}
	check_image(&s, d);
	ut_buf_free(&s.buf);
	ut_disk_free(d);
}

/* Slots past 4095: the low twelve bits of the index stand above the others. */
static void split_index(void **state)
{
	struct ut_disk *d = ut_disk_new(1 * UT_MIB, GRAIN);
	struct img_sesparse s = { .first_slot = 4090 };
	u64 g;

	for (g = 0; g < 20; g++)
		ut_disk_set(d, g * 3, UT_DATA, 3);
	assert_true(img_se_gte(4095) == 0x3fff000000000000ULL);
	assert_true(img_se_gte(4096) == 0x3000000000000001ULL);
	assert_true(img_se_gte(4097) == 0x3001000000000001ULL);
	check_image(&s, d);
	ut_buf_free(&s.buf);
	ut_disk_free(d);
}

static void over_a_parent(void **state)
{
	struct ut_disk *top = ut_disk_random(17 * UT_MIB, GRAIN, 7, true);
	struct ut_disk *base = ut_disk_random(18 * UT_MIB, GRAIN, 8, false);
	struct ut_disk *disks[2] = { top, base };
	struct img_sesparse s = { .seed = 1 };
	struct vd_extent ext;
	struct vd_chain *chain;
	struct ut_set set;
	u8 *want = ut_flatten(disks, 2);
	u64 g;

	img_sesparse_write(&s, top);
	set_of(&set, &s.buf, top->size);
	ut_set_mem(&set, base->data, base->size, false);
	ut_set_image(&set, VDISK_FORMAT_VMDK, base->size);
	ut_set_seg(&set, VDISK_SEG_RAW, 1, 0, base->size, 0);
	chain = ut_open(&set);
	ut_check(chain, want, top->size);
	/* "Unmapped" and "zero" both hide the parent. */
	for (g = 0; g < top->nr; g++) {
		if (top->state[g] != UT_ZERO)
			continue;
		assert_int_equal(vd_map(chain, g * GRAIN, GRAIN, 0, &ext), 0);
		assert_int_equal(ext.type, VD_EXT_ZERO);
	}
	vd_chain_close(chain);
	ut_set_free(&set);
	ut_buf_free(&s.buf);
	free(want);
	ut_disk_free(top);
	ut_disk_free(base);
}

enum place { CONST_HDR, VOLATILE_HDR };

static void lies(void **state)
{
	static const struct { const char *what; enum place in; u32 off; u64 value; } bad[] = {
		{ "magic", CONST_HDR, 0, 0xcafebabf },
		{ "version 2.0", CONST_HDR, 8, 0x200000000 },
		{ "version 3.1", CONST_HDR, 8, 0x300000001 },
		{ "capacity 0", CONST_HDR, 16, 0 },
		{ "capacity below the extent", CONST_HDR, 16, 20 * 2048 - 1 },
		{ "capacity beyond the directory", CONST_HDR, 16, 1ULL << 40 },
		{ "capacity wraps", CONST_HDR, 16, 1ULL << 55 },
		{ "grain size 0", CONST_HDR, 24, 0 },
		{ "grain size 16", CONST_HDR, 24, 16 },
		{ "table size 0", CONST_HDR, 32, 0 },
		{ "table size 32", CONST_HDR, 32, 32 },
		{ "flags", CONST_HDR, 40, 1 },
		{ "reserved", CONST_HDR, 48, 1 },
		{ "volatile header past the file", CONST_HDR, 80, 1ULL << 40 },
		{ "volatile header wraps", CONST_HDR, 80, (1ULL << 55) + 8 },
		{ "directory past the file", CONST_HDR, 128, 1ULL << 40 },
		{ "directory wraps", CONST_HDR, 128, UINT64_MAX - 7 },
		{ "directory not aligned", CONST_HDR, 128, 81 },
		{ "directory empty", CONST_HDR, 136, 0 },
		{ "directory too long", CONST_HDR, 136, 1ULL << 50 },
		{ "tables past the file", CONST_HDR, 144, 1ULL << 40 },
		{ "tables in the header", CONST_HDR, 144, 0 },
		{ "tables over the directory", CONST_HDR, 144, 80 },
		{ "tables too long", CONST_HDR, 152, 1ULL << 55 },
		{ "grains not aligned", CONST_HDR, 192, 12345677 },
		{ "grains in the header", CONST_HDR, 192, 0 },
		{ "grains too long", CONST_HDR, 200, UINT64_MAX },
		{ "volatile magic", VOLATILE_HDR, 0, 0xcafecaff },
		{ "a journal to replay", VOLATILE_HDR, 24, 1 },
	};
	struct ut_disk *d = ut_disk_random(20 * UT_MIB, GRAIN, 5, true);
	struct img_sesparse s = { 0 };
	struct ut_count count;
	struct vd_error err;
	struct ut_set set;
	unsigned int wrong = 0;
	size_t i;

	img_sesparse_write(&s, d);
	assert_true(s.gd == 88);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		u64 at = bad[i].off + (bad[i].in == VOLATILE_HDR ? s.volatile_hdr * 512 : 0);
		u64 was = ut_get_le(&s.buf, at, 8);
		int ret;

		ut_put64(&s.buf, at, bad[i].value);
		set_of(&set, &s.buf, d->size);
		memset(&count, 0, sizeof(count));
		ut_set_count(&set, &count);
		ut_alloc_start(-1, false);
		ret = ut_try_open(&set, &err);
		ut_alloc_stop();
		if (ret != -EUCLEAN && ret != -EOPNOTSUPP) {
			print_error("%s: open returned %d \"%s\"\n", bad[i].what, ret, err.text);
			wrong++;
		} else {
			ut_assert_sentence(&err, ret);
		}
		assert_true(count.reads <= 16 && ut_alloc.bytes <= 512 * UT_KIB);
		ut_set_free(&set);
		ut_put64(&s.buf, at, was);
	}
	assert_int_equal(wrong, 0);
	ut_buf_free(&s.buf);
	ut_disk_free(d);
}

static void bad_entries(void **state)
{
	struct ut_disk *d = ut_disk_new(33 * UT_MIB, GRAIN);
	struct img_sesparse s = { 0 };
	u8 *buf = ut_xalloc(UT_MIB);
	struct vd_chain *chain;
	struct ut_set set;
	u64 g, gt, slots;
	size_t i;
	int ret;

	for (g = 0; g < d->nr; g += 50)
		ut_disk_set(d, g, UT_DATA, 6);
	img_sesparse_write(&s, d);
	slots = s.grains_sectors / 8;
	gt = s.gt + (ut_get_le(&s.buf, s.gd * 512 + 8, 8) & 0xffffffff) * 64;
	const struct { const char *what; bool dir; u64 value; } bad[] = {
		{ "absent with other bits", false, 1 },
		{ "absent with high bits", false, 0x0fff000000000000ULL },
		{ "nibble 4", false, 4ULL << 60 },
		{ "nibble 15", false, 15ULL << 60 },
		{ "slot past the last", false, img_se_gte(slots) },
		{ "slot far past the last", false, img_se_gte(1ULL << 40) },
		{ "the highest slot", false, 0x3fffffffffffffffULL },
		{ "directory without its mark", true, 1 },
		{ "directory with another mark", true, 0x20000000ULL << 32 },
		{ "table past the last", true, 0x10000000ULL << 32 | 3 },
		{ "the highest table", true, 0x10000000ULL << 32 | 0xffffffff },
		{ "directory all ones", true, UINT64_MAX },
	};

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		/* grain 4096 + 4 = 50 * 82 */
		u64 victim = 4100, at = bad[i].dir ? s.gd * 512 + 8 : gt * 512 + 4 * 8;
		u64 was = ut_get_le(&s.buf, at, 8);

		ut_put64(&s.buf, at, bad[i].value);
		set_of(&set, &s.buf, d->size);
		chain = ut_open(&set);
		ret = vd_read(chain, NULL, victim * GRAIN, buf, 512);
		if (ret != -EUCLEAN && ret != -EIO && ret != -EOPNOTSUPP)
			fail_msg("%s: read returned %d", bad[i].what, ret);
		assert_int_equal(vd_read(chain, NULL, 0, buf, UT_MIB), 0);
		ut_same(buf, d->data, 0, UT_MIB, "another table");
		assert_int_equal(vd_read(chain, NULL, 32 * UT_MIB, buf, UT_MIB), 0);
		ut_same(buf, d->data + 32 * UT_MIB, 32 * UT_MIB, UT_MIB, "another table");
		if (!bad[i].dir) {
			assert_int_equal(vd_read(chain, NULL, (victim + 50) * GRAIN, buf, 4096), 0);
			ut_same(buf, d->data + (victim + 50) * GRAIN, 0, 4096, "another grain");
		}
		vd_chain_close(chain);
		ut_set_free(&set);
		ut_put64(&s.buf, at, was);
	}
	free(buf);
	ut_buf_free(&s.buf);
	ut_disk_free(d);
}

/* The grain area is room to grow into: it may begin and end past the file, its grains not. */
static void grain_area_is_room(void **state)
{
	static const struct { u32 off; u64 value; bool readable; } room[] = {
		{ 200, 1ULL << 30, true },
		{ 192, 1ULL << 30, false },
	};
	struct ut_disk *d = ut_disk_random(1 * UT_MIB, GRAIN, 5, true);
	struct img_sesparse s = { 0 };
	struct vd_chain *chain;
	struct ut_set set;
	u8 buf[512];
	size_t i;
	u64 g;

	img_sesparse_write(&s, d);
	for (i = 0; i < ARRAY_SIZE(room); i++) {
		u64 was = ut_get_le(&s.buf, room[i].off, 8);

		ut_put64(&s.buf, room[i].off, room[i].value);
		set_of(&set, &s.buf, d->size);
		chain = ut_open(&set);
		for (g = 0; g < d->nr; g++) {
			int ret = vd_read(chain, NULL, g * GRAIN, buf, 512);

			if (room[i].readable || d->state[g] != UT_DATA) {
				assert_int_equal(ret, 0);
				assert_memory_equal(buf, d->data + g * GRAIN, 512);
			} else {
				assert_true(ret == -EUCLEAN || ret == -EIO);
			}
		}
		vd_chain_close(chain);
		ut_set_free(&set);
		ut_put64(&s.buf, room[i].off, was);
	}
	ut_buf_free(&s.buf);
	ut_disk_free(d);
}

static void truncated(void **state)
{
	struct ut_disk *d = ut_disk_random(1 * UT_MIB, GRAIN, 5, true);
	struct img_sesparse s = { 0 };
	struct vd_error err;
	struct ut_set set;
	size_t full, len;

	img_sesparse_write(&s, d);
	full = s.buf.len;
	for (len = 0; len < full; len += len < 1024 ? 61 : 9999) {
		s.buf.len = len;
		set_of(&set, &s.buf, d->size);
		if (len < s.gt * 512)
			ut_assert_refused(&set, "cut");
		else
			ut_try_open(&set, &err);
		ut_set_free(&set);
	}
	s.buf.len = full;
	ut_buf_free(&s.buf);
	ut_disk_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(content),
		cmocka_unit_test(absent_tables),
		cmocka_unit_test(split_index),
		cmocka_unit_test(over_a_parent),
		cmocka_unit_test(lies),
		cmocka_unit_test(bad_entries),
		cmocka_unit_test(grain_area_is_room),
		cmocka_unit_test(truncated),
	};

	return cmocka_run_group_tests_name("sesparse", tests, NULL, NULL);
}
