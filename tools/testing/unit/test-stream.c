// SPDX-License-Identifier: GPL-2.0-only
/* streamOptimized: where the directory may lie, what markers must say. */
#include "img-sparse.h"

#define GRAIN	(64 * UT_KIB)

static void set_of(struct ut_set *set, const struct ut_buf *b, u64 size)
{
	memset(set, 0, sizeof(*set));
	ut_set_buf(set, b);
	ut_set_image(set, VDISK_FORMAT_VMDK, size);
	ut_set_seg(set, VDISK_SEG_VMDK_SPARSE, 0, 0, size, 0);
}

static void check_image(struct img_stream *st, const struct ut_disk *d)
{
	struct vd_chain *chain;
	struct ut_set set;

	img_stream_write(st, d);
	set_of(&set, &st->s.buf, d->size);
	chain = ut_open(&set);
	assert_true(chain->max_unit >= d->grain && chain->max_unit <= VD_CAP_UNIT_BYTES);
	ut_check(chain, d->data, d->size);
	vd_chain_close(chain);
	ut_set_free(&set);
	ut_buf_free(&st->s.buf);
}

/* Half of each grain compresses, half does not. */
static struct ut_disk *disk(u64 size, u64 grain, u64 seed)
{
	struct ut_disk *d = ut_disk_random(size, grain, seed, false);
	u64 g;

	for (g = 0; g < d->nr; g++) {
		if (d->state[g] == UT_DATA && g % 3)
			memset(d->data + g * grain, (int)g, ut_grain_len(d, g) / 2);
	}
	return d;
}

static void variants(void **state)
{
	static const struct img_stream v[] = {
		{ .footer = true, .level = 6 },
		{ .footer = true, .level = 6, .s.seed = 3 },	/* any order of grains */
		{ .footer = true, .level = 0 },			/* stored blocks */
		{ .footer = true, .level = 9, .full_last = true },
		{ .footer = true, .level = 1, .keep_empty = true },
		{ .tail_dir = true, .level = 6 },
		{ .level = 6 },					/* directory in front */
		{ .level = 6, .s.flags = IMG_F_RGD },
		{ .level = 6, .s.seed = 9, .keep_empty = true },
		{ .level = 6, .no_markers = true },
		{ .footer = true, .level = 6, .s.version = 1 },
		{ .footer = true, .level = 6, .s.descriptor = "# a comment first\nversion=1 \n" },
		{ .footer = true, .level = 6, .s.extra_capacity = 1024 },
	};
	struct ut_disk *d = disk(5 * UT_MIB + 36864, GRAIN, 31);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(v); i++) {
		struct img_stream st = v[i];

		check_image(&st, d);
	}
	ut_disk_free(d);
}

static void grain_sizes(void **state)
{
	static const u64 grain[] = { 4096, 8192, 128 * UT_KIB, 1 * UT_MIB };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(grain); i++) {
		struct img_stream st = { .footer = true, .level = 6 };
		struct ut_disk *d = disk(3 * UT_MIB + 512, grain[i], 5 + i);

		check_image(&st, d);
		ut_disk_free(d);
	}
}

/* Tables without a grain are left out; several tables with gaps between. */
static void many_tables(void **state)
{
	struct ut_disk *d = ut_disk_new(10 * UT_MIB, 4096);
	struct img_stream footer = { .footer = true, .level = 6 }, front = { .level = 6 };
	u64 g;

	for (g = 0; g < d->nr; g++) {
		if (g / 512 % 2 && g % 5 == 0)
			ut_disk_set(d, g, UT_DATA, 8);
	}
	check_image(&footer, d);
	check_image(&front, d);
	ut_disk_free(d);
}

static void empty(void **state)
{
	struct ut_disk *d = ut_disk_new(2 * UT_MIB, GRAIN);
	struct img_stream st = { .footer = true, .level = 6 };

	check_image(&st, d);
	ut_disk_free(d);
}

/* A header that leaves the size to its footer. */
static void capacity_in_the_footer_only(void **state)
{
	struct img_stream st = { .footer = true, .level = 6 };
	struct ut_disk *d = disk(2 * UT_MIB, GRAIN, 40);
	struct vd_chain *chain;
	struct ut_set set;

	img_stream_write(&st, d);
	ut_put64(&st.s.buf, IMG_H_CAPACITY, 0);
	set_of(&set, &st.s.buf, d->size);
	chain = ut_open(&set);
	ut_check(chain, d->data, d->size);
	vd_chain_close(chain);
	ut_set_free(&set);
	ut_buf_free(&st.s.buf);
	ut_disk_free(d);
}

struct spoil {
	const char *what;
	long off;	/* from the end if negative */
	u32 bytes;
	u64 value;
};

/* A footer that is not one is refused: the directory's place is unknown. */
static void bad_footers(void **state)
{
	static const struct spoil bad[] = {
		{ "no end marker", -512, 8, 77 },
		{ "end marker of another type", -512 + 12, 4, 1 },
		{ "footer's magic", -1024, 4, 0 },
		{ "footer's version", -1024 + IMG_H_VERSION, 4, 9 },
		{ "footer's version is another", -1024 + IMG_H_VERSION, 4, 1 },
		{ "footer's flags are others", -1024 + IMG_H_FLAGS, 4,
		  IMG_F_NEWLINE | IMG_F_COMPRESSED | IMG_F_MARKERS | IMG_F_ZERO_GTE },
		{ "footer's grain size is another", -1024 + IMG_H_GRAIN, 8, 64 },
		{ "footer is not compressed", -1024 + IMG_H_COMPRESS, 2, 0 },
		{ "footer's directory at the end again", -1024 + IMG_H_GD, 8, IMG_GD_AT_END },
		{ "footer's directory 0", -1024 + IMG_H_GD, 8, 0 },
		{ "footer's directory past the end", -1024 + IMG_H_GD, 8, 1ULL << 30 },
		{ "footer's directory wraps", -1024 + IMG_H_GD, 8, 1ULL << 55 },
		{ "footer's grain size", -1024 + IMG_H_GRAIN, 8, 0 },
		{ "footer's entries", -1024 + IMG_H_GTES, 4, 0 },
		{ "footer's capacity", -1024 + IMG_H_CAPACITY, 8, 0 },
		{ "marker of another type", -1536 + 12, 4, 2 },
		{ "marker of another length", -1536, 8, 2 },
	};
	struct img_stream st = { .footer = true, .level = 6 };
	struct ut_disk *d = disk(2 * UT_MIB, GRAIN, 41);
	struct vd_error err;
	unsigned int wrong = 0;
	struct ut_set set;
	size_t i;

	img_stream_write(&st, d);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		u64 at = (u64)((long)st.s.buf.len + bad[i].off);
		u64 was = ut_get_le(&st.s.buf, at, bad[i].bytes);
		int ret;

		ut_put_le(&st.s.buf, at, bad[i].value, bad[i].bytes);
		set_of(&set, &st.s.buf, d->size);
		ret = ut_try_open(&set, &err);
		if (ret != -EUCLEAN && ret != -EOPNOTSUPP) {
			print_error("%s: open returned %d \"%s\"\n", bad[i].what, ret, err.text);
			wrong++;
		}
		ut_set_free(&set);
		ut_put_le(&st.s.buf, at, was, bad[i].bytes);
	}
	assert_int_equal(wrong, 0);
	/* A truncated download has no footer where one must be. */
	st.s.buf.len -= 512;
	set_of(&set, &st.s.buf, d->size);
	ut_assert_refused(&set, "truncated");
	ut_set_free(&set);
	ut_buf_free(&st.s.buf);
	ut_disk_free(d);
}

/* One bad record: reads of its grain fail, all others are right. */
static void bad_grains(void **state)
{
	static const struct spoil bad[] = {
		{ "another grain's address", 0, 8, 128 * 7 },
		{ "address 0 for grain 2", 0, 8, 0 },
		{ "address with the top bit", 0, 8, 1ULL << 63 | 256 },
		{ "length 0", 8, 4, 0 },
		{ "length 1", 8, 4, 1 },
		{ "length without the last byte", 8, 4, 0 },	/* set below */
		{ "length of two grains", 8, 4, 2 * GRAIN },
		{ "length huge", 8, 4, 0xffffffff },
		{ "no zlib header", 12, 2, 0 },
		{ "a preset dictionary", 12, 2, 0xbb78 },
		{ "damaged data", 40, 8, 0x0123456789abcdefULL },
	};
	struct ut_disk *d = ut_disk_new(4 * GRAIN, GRAIN);
	struct img_stream st = { .footer = true, .level = 6 };
	struct vd_unit unit = { 0 };
	u8 *buf = ut_xalloc(GRAIN);
	struct vd_chain *chain;
	struct ut_set set;
	u64 g, pos, len;
	size_t i;

	for (g = 0; g < 4; g++) {
		ut_disk_set(d, g, UT_DATA, 4);
		memset(d->data + g * GRAIN, (int)g, GRAIN / 2);
	}
	img_stream_write(&st, d);
	pos = st.first_grain * 512;
	for (g = 0; g < 2; g++) {
		len = 12 + ut_get_le(&st.s.buf, pos + 8, 4);
		pos += (len + 511) / 512 * 512;
	}
	assert_true(ut_get_le(&st.s.buf, pos, 8) == 2 * GRAIN / 512);
	len = ut_get_le(&st.s.buf, pos + 8, 4);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		u64 at = pos + (u64)bad[i].off;
		u64 was = ut_get_le(&st.s.buf, at, bad[i].bytes);
		u64 value = i == 5 ? len - 1 : bad[i].value;
		int ret;

		ut_put_le(&st.s.buf, at, value, bad[i].bytes);
		set_of(&set, &st.s.buf, d->size);
		chain = ut_open(&set);
		assert_int_equal(vd_unit_prepare(&unit, chain->max_unit), 0);
		for (g = 0; g < 4; g++) {
			ret = vd_read(chain, &unit, g * GRAIN, buf, GRAIN);
			if (g == 2) {
				if (ret != -EUCLEAN && ret != -EIO)
					fail_msg("%s: read returned %d", bad[i].what, ret);
				/* Nor may a second try be served from a half-filled unit. */
				ret = vd_read(chain, &unit, g * GRAIN + 1024, buf, 512);
				assert_true(ret == -EUCLEAN || ret == -EIO);
				continue;
			}
			assert_int_equal(ret, 0);
			ut_same(buf, d->data + g * GRAIN, g * GRAIN, GRAIN, bad[i].what);
		}
		vd_unit_release(&unit);
		vd_chain_close(chain);
		ut_set_free(&set);
		ut_put_le(&st.s.buf, at, was, bad[i].bytes);
	}
	free(buf);
	ut_buf_free(&st.s.buf);
	ut_disk_free(d);
}

/* Too short for a footer, at every length. */
static void tiny_files(void **state)
{
	struct img_sparse s = { .version = 3, .flags = IMG_F_NEWLINE | IMG_F_COMPRESSED |
							IMG_F_MARKERS };
	struct ut_set set;
	size_t len;

	img_header(&s.buf, 0, &s, 128, 128, IMG_GD_AT_END);
	for (len = 512; len <= 2048; len += 128) {
		ut_buf_size(&s.buf, len);
		set_of(&set, &s.buf, 65536);
		ut_assert_refused(&set, "no room for a footer");
		ut_set_free(&set);
	}
	ut_buf_free(&s.buf);
}

/*
 * The file ends inside the last record. The buffer still holds the same record
 * from a whole file: what is not there now must not come from then.
 */
static void cut_record_and_stale_buffer(void **state)
{
	static const u32 keep[] = { 1, 3, 4, 5, 11, 12, 13, 100, 400 };
	struct ut_disk *d = ut_disk_new(2 * GRAIN, GRAIN);
	struct vd_unit unit = { 0 };
	struct vd_chain *whole, *cut;
	struct ut_set set, cut_set;
	u8 buf[512];
	size_t i;
	int bare;

	ut_disk_set(d, 0, UT_DATA, 1);
	ut_disk_set(d, 1, UT_DATA, 1);
	for (bare = 0; bare < 2; bare++) {
		struct img_stream st = { .level = 6, .no_markers = bare };
		u64 gt, last;

		img_stream_write(&st, d);
		gt = ut_get_le(&st.s.buf, st.s.gd * 512, 4);
		last = ut_get_le(&st.s.buf, gt * 512 + 4, 4) * 512;
		set_of(&set, &st.s.buf, d->size);
		whole = ut_open(&set);
		assert_int_equal(vd_unit_prepare(&unit, whole->max_unit), 0);
		for (i = 0; i < ARRAY_SIZE(keep); i++) {
			struct ut_buf part = { .data = st.s.buf.data, .len = last + keep[i] };
			int ret;

			assert_int_equal(vd_read(whole, &unit, GRAIN, buf, 512), 0);
			assert_memory_equal(buf, d->data + GRAIN, 512);
			set_of(&cut_set, &part, d->size);
			cut = ut_open(&cut_set);
			ret = vd_read(cut, &unit, GRAIN, buf, 512);
			if (ret != -EUCLEAN && ret != -EIO)
				fail_msg("%u bytes of the record: read returned %d", keep[i], ret);
			vd_chain_close(cut);
			ut_set_free(&cut_set);
			/* The chain that the unit was of is gone: start afresh. */
			vd_unit_release(&unit);
			assert_int_equal(vd_unit_prepare(&unit, whole->max_unit), 0);
		}
		vd_unit_release(&unit);
		vd_chain_close(whole);
		ut_set_free(&set);
		ut_buf_free(&st.s.buf);
	}
	ut_disk_free(d);
}

/* Put @len bytes, inflated from a stream of @plain bytes, where grain 0 was. */
static void odd_output(u64 plain, int want_ok)
{
	struct ut_disk *d = ut_disk_new(2 * GRAIN, GRAIN);
	struct img_stream st = { .level = 6 };
	u8 *in = ut_xalloc(4 * GRAIN), *packed = ut_xalloc(5 * GRAIN), *buf = ut_xalloc(GRAIN);
	struct vd_unit unit = { 0 };
	uLongf packed_len = 5 * GRAIN;
	struct vd_chain *chain;
	struct ut_set set;
	u64 pos;
	int ret;

	ut_disk_set(d, 0, UT_DATA, 1);
	ut_disk_set(d, 1, UT_DATA, 1);
	img_stream_write(&st, d);
	memset(in, 0x5c, 4 * GRAIN);
	assert_int_equal(compress2(packed, &packed_len, in, plain, 9), Z_OK);
	pos = st.first_grain * 512;
	ut_put32(&st.s.buf, pos + 8, (u32)packed_len);
	ut_put(&st.s.buf, pos + 12, packed, packed_len);
	set_of(&set, &st.s.buf, d->size);
	chain = ut_open(&set);
	assert_int_equal(vd_unit_prepare(&unit, chain->max_unit), 0);
	ret = vd_read(chain, &unit, 0, buf, GRAIN);
	if (want_ok) {
		assert_int_equal(ret, 0);
		assert_memory_equal(buf, in, plain);
		assert_true(ut_all_zero(buf + plain, GRAIN - plain));
	} else if (ret != -EUCLEAN && ret != -EIO) {
		fail_msg("%d bytes in a grain: read returned %d", (int)plain, ret);
	}
	assert_int_equal(vd_read(chain, &unit, GRAIN, buf, GRAIN), 0);
	ut_same(buf, d->data + GRAIN, GRAIN, GRAIN, "the next grain");
	vd_unit_release(&unit);
	vd_chain_close(chain);
	ut_set_free(&set);
	ut_buf_free(&st.s.buf);
	ut_disk_free(d);
	free(in);
	free(packed);
	free(buf);
}

static void inflated_size(void **state)
{
	odd_output(GRAIN, 1);
	odd_output(GRAIN - 512, 1);	/* what is missing is zeros */
	odd_output(36864, 1);
	odd_output(1, 1);
	odd_output(GRAIN + 1, 0);
	odd_output(4 * GRAIN, 0);
}

/* A bomb: one record that every entry points at. The marker's address stops it. */
static void aliased_grains(void **state)
{
	struct ut_disk *d = ut_disk_new(512 * GRAIN, GRAIN);
	struct img_stream st = { .level = 9, .keep_empty = true };
	struct vd_unit unit = { 0 };
	struct vd_chain *chain;
	struct ut_set set;
	u8 buf[512];
	u64 gt, g;
	int ret;

	ut_disk_set(d, 0, UT_DATA, 1);
	memset(d->data, 'b', GRAIN);
	img_stream_write(&st, d);
	gt = ut_get_le(&st.s.buf, st.s.gd * 512, 4);
	for (g = 1; g < 512; g++)
		ut_put32(&st.s.buf, gt * 512 + g * 4, (u32)st.first_grain);
	set_of(&set, &st.s.buf, d->size);
	chain = ut_open(&set);
	assert_int_equal(vd_unit_prepare(&unit, chain->max_unit), 0);
	assert_int_equal(vd_read(chain, &unit, 512, buf, 512), 0);
	assert_int_equal(buf[0], 'b');
	for (g = 1; g < 512; g += 51) {
		ret = vd_read(chain, &unit, g * GRAIN, buf, 512);
		assert_true(ret == -EUCLEAN || ret == -EIO);
	}
	vd_unit_release(&unit);
	vd_chain_close(chain);
	ut_set_free(&set);
	ut_buf_free(&st.s.buf);
	ut_disk_free(d);
}

/* Reading forwards inflates each unit once; so does reading in small steps. */
static void sequential_reads_inflate_once(void **state)
{
	struct img_stream st = { .footer = true, .level = 6 };
	struct ut_disk *d = ut_disk_new(8 * GRAIN, GRAIN);
	struct ut_count count = { 0 };
	struct vd_unit unit = { 0 };
	struct vd_chain *chain;
	struct ut_set set;
	u8 buf[512];
	u64 pos, before, g;

	for (g = 0; g < 8; g++)
		ut_disk_set(d, g, UT_DATA, 1);
	img_stream_write(&st, d);
	set_of(&set, &st.s.buf, d->size);
	ut_set_count(&set, &count);
	chain = ut_open(&set);
	assert_int_equal(vd_unit_prepare(&unit, chain->max_unit), 0);
	assert_int_equal(vd_read(chain, &unit, 0, buf, 512), 0);
	/* Without somewhere to put a unit there is nothing to read from. */
	assert_true(vd_read(chain, NULL, 0, buf, 512) < 0);
	assert_int_equal(vd_read(chain, &unit, 0, buf, 512), 0);
	before = count.read_bytes;
	for (pos = 512; pos < d->size; pos += 512) {
		assert_int_equal(vd_read(chain, &unit, pos, buf, 512), 0);
		assert_memory_equal(buf, d->data + pos, 512);
	}
	/* 7 more units of incompressible data, not 1023 of them. */
	assert_true(count.read_bytes - before < 16 * (GRAIN + 4096));
	vd_unit_release(&unit);
	vd_chain_close(chain);
	ut_set_free(&set);
	ut_buf_free(&st.s.buf);
	ut_disk_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(variants),
		cmocka_unit_test(grain_sizes),
		cmocka_unit_test(many_tables),
		cmocka_unit_test(empty),
		cmocka_unit_test(capacity_in_the_footer_only),
		cmocka_unit_test(bad_footers),
		cmocka_unit_test(tiny_files),
		cmocka_unit_test(bad_grains),
		cmocka_unit_test(cut_record_and_stale_buffer),
		cmocka_unit_test(inflated_size),
		cmocka_unit_test(aliased_grains),
		cmocka_unit_test(sequential_reads_inflate_once),
	};

	return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
