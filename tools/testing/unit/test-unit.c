// SPDX-License-Identifier: GPL-2.0-only
/* Packed units: what the loader makes of a backend's answers; sizes of raw files. */
#include <zlib.h>
#include "ut.h"

#define UNIT	4096U
#define ROOM	8192U

/* A backend that packs: what its map and unpack answer is set by the test. */
static struct vd_payload payload;
static int unpack_ret;
static u32 packed_len;
static u64 packed_at;
static struct vd_format packer;

static int packer_map(struct vd_segment *seg, u64 pos, u64 len, unsigned int flags,
		      struct vd_extent *ext)
{
	ext->type = VD_EXT_PACKED;
	ext->unit_pos = pos / UNIT * UNIT;
	ext->len = min_t(u64, len, UNIT - pos % UNIT);
	ext->file = seg->file;
	ext->file_pos = packed_at;
	ext->unit_len = UNIT;
	ext->packed_len = packed_len;
	return 0;
}

static int packer_unpack(struct vd_segment *seg, const struct vd_extent *ext, const void *raw,
			 u32 len, struct vd_payload *out)
{
	*out = payload;
	return unpack_ret;
}

struct fixture {
	struct ut_set set;
	struct vd_chain *chain;
	const struct vd_format *was;
	u8 plain[UNIT];
	u8 file[ROOM];
	u32 zlen;
};

/* The file: a zlib stream of one unit at 100, stored bytes at 5000. */
static void setup(struct fixture *f)
{
	uLongf room = 4000;

	memset(f, 0, sizeof(*f));
	ut_pattern(f->plain, UNIT / 2, 0, 5);
	assert_int_equal(compress2(f->file + 100, &room, f->plain, UNIT, 9), Z_OK);
	f->zlen = (u32)room;
	ut_pattern(f->file + 5000, 3000, 0, 6);
	ut_set_mem(&f->set, f->file, ROOM, false);
	ut_set_image(&f->set, VDISK_FORMAT_RAW, ROOM);
	ut_set_seg(&f->set, VDISK_SEG_RAW, 0, 0, ROOM, 0);
	f->chain = ut_open(&f->set);
	f->was = f->chain->segs[0].format;
	packer = *f->was;
	packer.map = packer_map;
	packer.unpack = packer_unpack;
	f->chain->segs[0].format = &packer;
	f->chain->segs[0].packed = true;
	f->chain->segs[0].max_unit = UNIT;
	f->chain->max_unit = UNIT;
	packed_at = 0;
	packed_len = ROOM;
	unpack_ret = 0;
	payload = (struct vd_payload){ .offset = 100, .len = f->zlen };
}

static void teardown(struct fixture *f)
{
	f->chain->segs[0].format = f->was;
	vd_chain_close(f->chain);
	ut_set_free(&f->set);
}

static int read_fresh(struct fixture *f, u8 *buf)
{
	struct vd_unit unit = { 0 };
	int ret;

	assert_int_equal(vd_unit_prepare(&unit, UNIT), 0);
	memset(buf, 0x77, UNIT);
	ret = vd_read(f->chain, &unit, 0, buf, UNIT);
	vd_unit_release(&unit);
	return ret;
}

static void inflates_and_copies(void **state)
{
	struct fixture f;
	u8 buf[UNIT];

	setup(&f);
	assert_int_equal(read_fresh(&f, buf), 0);
	assert_memory_equal(buf, f.plain, UNIT);
	payload = (struct vd_payload){ .offset = 5000, .len = 1000, .stored = true };
	assert_int_equal(read_fresh(&f, buf), 0);
	assert_memory_equal(buf, f.file + 5000, 1000);
	assert_true(ut_all_zero(buf + 1000, UNIT - 1000));
	payload = (struct vd_payload){ .offset = 2000, .len = UNIT, .stored = true };
	assert_int_equal(read_fresh(&f, buf), 0);
	assert_memory_equal(buf, f.file + 2000, UNIT);
	teardown(&f);
}

static void bad_payloads(void **state)
{
	struct fixture f;
	u8 buf[UNIT];

	setup(&f);
	const struct vd_payload bad[] = {
		{ .offset = 100, .len = 0 },
		{ .offset = 2000, .len = UNIT + 1, .stored = true },
		{ .offset = UNIT + 1, .len = UNIT, .stored = true },
		{ .offset = UINT32_MAX, .len = 1 },
		{ .offset = UINT32_MAX, .len = UINT32_MAX },
		{ .offset = 0, .len = UINT32_MAX, .stored = true },
		{ .offset = ROOM, .len = 1, .stored = true },
		{ .offset = 100, .len = f.zlen - 1 },
		{ .offset = 101, .len = f.zlen - 1 },
		{ .offset = 5000, .len = 3000 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		payload = bad[i];
		if (read_fresh(&f, buf) >= 0)
			fail_msg("payload %zu was accepted", i);
	}
	payload = (struct vd_payload){ .offset = 100, .len = f.zlen };
	unpack_ret = -EUCLEAN;
	assert_int_equal(read_fresh(&f, buf), -EUCLEAN);
	unpack_ret = 1;
	assert_true(read_fresh(&f, buf) < 0);
	teardown(&f);
}

static void bad_places(void **state)
{
	struct fixture f;
	u8 buf[UNIT];

	setup(&f);
	packed_at = ROOM;
	assert_true(read_fresh(&f, buf) < 0);
	packed_at = 1ULL << 40;
	assert_true(read_fresh(&f, buf) < 0);
	/* What the bound leaves out is not payload, and the file's end is no matter. */
	packed_at = 0;
	packed_len = 100 + f.zlen;
	assert_int_equal(read_fresh(&f, buf), 0);
	assert_memory_equal(buf, f.plain, UNIT);
	packed_len = 100 + f.zlen - 1;
	assert_true(read_fresh(&f, buf) < 0);
	packed_len = VD_CAP_PACKED_BYTES;
	assert_int_equal(read_fresh(&f, buf), 0);
	assert_memory_equal(buf, f.plain, UNIT);
	teardown(&f);
}

static void sizes_of_units(void **state)
{
	struct vd_unit unit = { 0 };

	assert_true(vd_unit_prepare(&unit, 0) < 0);
	assert_true(vd_unit_prepare(&unit, VD_CAP_UNIT_BYTES + 1) < 0);
	assert_true(vd_unit_prepare(&unit, UINT32_MAX) < 0);
	assert_int_equal(vd_unit_prepare(&unit, VD_CAP_UNIT_BYTES), 0);
	assert_int_equal(vd_unit_prepare(&unit, 512), 0);	/* again: no leak */
	vd_unit_release(&unit);
	vd_unit_release(&unit);
}

/* A unit that is too big for its buffers, or no unit at all. */
static void not_for_this_buffer(void **state)
{
	struct vd_unit unit = { 0 };
	struct vd_extent ext;
	struct fixture f;

	setup(&f);
	assert_int_equal(vd_map(f.chain, 0, UNIT, 0, &ext), 0);
	assert_int_equal(vd_unit_prepare(&unit, UNIT), 0);
	assert_int_equal(vd_unit_load(&unit, &ext), 0);
	ext.pos = ext.unit_pos = UNIT;
	ext.unit_len = UNIT + 512;
	assert_true(vd_unit_load(&unit, &ext) < 0);
	ext.unit_len = 0;
	assert_true(vd_unit_load(&unit, &ext) < 0);
	ext.unit_len = UNIT;
	ext.type = VD_EXT_DATA;
	assert_true(vd_unit_load(&unit, &ext) < 0);
	/* What was in the buffer before a failure is not served afterwards. */
	ext.type = VD_EXT_PACKED;
	ext.pos = ext.unit_pos = 0;
	unpack_ret = -EUCLEAN;
	assert_int_equal(vd_unit_load(&unit, &ext), -EUCLEAN);
	vd_unit_release(&unit);
	teardown(&f);
}

static s64 no_read(struct vd_file *file, u64 pos, void *buf, u32 len)
{
	return 0;
}

/* Raw files by their size alone. */
static void raw_sizes(void **state)
{
	static const struct vd_file_ops ops = { .read = no_read };
	static const struct { u64 file, disk; } sizes[] = {
		{ 0, 0 }, { 1, 512 }, { 512, 512 }, { 513, 1024 },
		{ VD_CAP_DISK_BYTES - 1, VD_CAP_DISK_BYTES },
		{ VD_CAP_DISK_BYTES, VD_CAP_DISK_BYTES },
		{ VD_CAP_DISK_BYTES + 1, 0 }, { UINT64_MAX, 0 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct vd_file file = { .ops = &ops, .size = sizes[i].file };
		struct vd_error err = { 0 };
		struct vd_layout *l = NULL;
		int ret = vd_format_raw.user->layout(&file, &l, &err);

		if (!sizes[i].disk) {
			assert_true(ut_is_refusal(ret));
			ut_assert_sentence(&err, ret);
			continue;
		}
		assert_int_equal(ret, 0);
		assert_true(l->props.size == sizes[i].disk);
		vd_free(l);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(inflates_and_copies),
		cmocka_unit_test(bad_payloads),
		cmocka_unit_test(bad_places),
		cmocka_unit_test(sizes_of_units),
		cmocka_unit_test(not_for_this_buffer),
		cmocka_unit_test(raw_sizes),
	};

	return cmocka_run_group_tests_name("unit", tests, NULL, NULL);
}
