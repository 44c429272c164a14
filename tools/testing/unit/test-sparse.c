// SPDX-License-Identifier: GPL-2.0-only
/* Hosted sparse extents: content against what was written, entry by entry. */
#include "img-sparse.h"

static void set_of(struct ut_set *set, const struct ut_buf *b, u64 size)
{
	memset(set, 0, sizeof(*set));
	ut_set_buf(set, b);
	ut_set_image(set, VDISK_FORMAT_VMDK, size);
	ut_set_seg(set, VDISK_SEG_VMDK_SPARSE, 0, 0, size, 0);
}

static void check_image(struct img_sparse *s, const struct ut_disk *d)
{
	struct vd_chain *chain;
	struct ut_set set;

	img_sparse_write(s, d);
	set_of(&set, &s->buf, d->size);
	chain = ut_open(&set);
	assert_int_equal(chain->unit, d->grain);
	ut_check(chain, d->data, d->size);
	vd_chain_close(chain);
	ut_set_free(&set);
	ut_buf_free(&s->buf);
}

/* Every grain size, sizes that end inside a grain, all kinds of entries. */
static void all_grain_sizes(void **state)
{
	u64 grain, size;

	for (grain = 512; grain <= 1 * UT_MIB; grain *= 2) {
		size = min_t(u64, 600 * grain, 6 * UT_MIB) + (grain > 512 ? 512 : 0);
		struct img_sparse s = { .seed = grain, .flags = IMG_F_RGD | IMG_F_ZERO_GTE,
					.version = 2 };
		struct ut_disk *d = ut_disk_random(size, grain, grain + 1, true);

		check_image(&s, d);
		ut_disk_free(d);
	}
}

static void variants(void **state)
{
	struct ut_disk *d = ut_disk_random(3 * UT_MIB + 1536, 2048, 12, false);
	static const struct img_sparse v[] = {
		{ .seed = 0 },				/* in order, one directory */
		{ .seed = 1, .flags = IMG_F_RGD },
		{ .seed = 2, .holes = true },		/* tables left out */
		{ .seed = 3, .holes = true, .flags = IMG_F_RGD },
		{ .seed = 4, .cut_last = true },	/* ends inside the last grain */
		{ .seed = 0, .cut_last = true },
		{ .seed = 5, .extra_capacity = 128 * 3 },	/* capacity beyond the disk */
		{ .seed = 6, .version = 2 },
		{ .seed = 7, .version = 3 },
		{ .seed = 8, .descriptor = "# Disk DescriptorFile\n" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(v); i++) {
		struct img_sparse s = v[i];

		check_image(&s, d);
	}
	ut_disk_free(d);
}

static void empty_and_full(void **state)
{
	struct ut_disk *d = ut_disk_new(UT_MIB, 4096);
	struct img_sparse empty = { .flags = IMG_F_RGD }, full = { .flags = IMG_F_RGD };
	u64 g;

	check_image(&empty, d);
	for (g = 0; g < d->nr; g++)
		ut_disk_set(d, g, UT_DATA, 2);
	check_image(&full, d);
	ut_disk_free(d);
}

static void one_sector(void **state)
{
	struct ut_disk *d = ut_disk_new(512, 65536);
	struct img_sparse s = { .cut_last = true };

	ut_disk_set(d, 0, UT_DATA, 2);
	check_image(&s, d);
	ut_disk_free(d);
}

/* The file ends inside the last grain: the rest of it was never written. */
static void short_last_grain(void **state)
{
	struct ut_disk *d = ut_disk_new(4 * 65536, 65536);
	struct img_sparse s = { 0 };
	struct vd_chain *chain;
	struct ut_set set;
	u64 g;

	for (g = 0; g < 4; g++)
		ut_disk_set(d, g, UT_DATA, 3);
	img_sparse_write(&s, d);
	ut_buf_size(&s.buf, s.buf.len - 65536 + 1536);
	memset(d->data + 3 * 65536 + 1536, 0, 65536 - 1536);
	set_of(&set, &s.buf, d->size);
	chain = ut_open(&set);
	ut_check(chain, d->data, d->size);
	vd_chain_close(chain);
	ut_set_free(&set);
	ut_buf_free(&s.buf);
	ut_disk_free(d);
}

/* A grain that lies wholly past the end of the file is damage, not zeros. */
static void lost_grain(void **state)
{
	struct ut_disk *d = ut_disk_new(4 * 65536, 65536);
	struct img_sparse s = { 0 };
	struct vd_chain *chain;
	struct ut_set set;
	u8 buf[512], *whole = ut_xalloc(65536);
	u64 g;
	int ret;

	for (g = 0; g < 4; g++)
		ut_disk_set(d, g, UT_DATA, 3);
	img_sparse_write(&s, d);
	ut_buf_size(&s.buf, s.buf.len - 65536);
	set_of(&set, &s.buf, d->size);
	chain = ut_open(&set);
	ret = vd_read(chain, NULL, 3 * 65536, buf, 512);
	assert_true(ret == -EUCLEAN || ret == -EIO);
	ret = vd_read(chain, NULL, 4 * 65536 - 512, buf, 512);
	assert_true(ret == -EUCLEAN || ret == -EIO);
	for (g = 0; g < 3; g++) {
		assert_int_equal(vd_read(chain, NULL, g * 65536, whole, 65536), 0);
		ut_same(whole, d->data + g * 65536, g * 65536, 65536, "grain in the file");
	}
	free(whole);
	vd_chain_close(chain);
	ut_set_free(&set);
	ut_buf_free(&s.buf);
	ut_disk_free(d);
}

/* One wrong table entry: its grain fails, every other grain still reads right. */
static void one_bad_entry(const struct ut_buf *b, const struct ut_disk *d, u64 victim,
			  const char *what)
{
	u8 *buf = ut_xalloc(d->grain);
	struct vd_chain *chain;
	struct vd_extent ext;
	struct ut_set set;
	u64 g;
	int ret;

	set_of(&set, b, d->size);
	chain = ut_open(&set);
	ret = vd_map(chain, victim * d->grain, d->grain, 0, &ext);
	if (ret != -EUCLEAN && ret != -EIO)
		fail_msg("entry %s: map returned %d", what, ret);
	ret = vd_read(chain, NULL, victim * d->grain + 512, buf, 512);
	assert_true(ret == -EUCLEAN || ret == -EIO);
	for (g = 0; g < d->nr; g++) {
		if (g == victim)
			continue;
		ret = vd_read(chain, NULL, g * d->grain, buf, (u32)d->grain);
		if (ret)
			fail_msg("entry %s: grain %d fails too", what, (int)g);
		ut_same(buf, d->data + g * d->grain, g * d->grain, d->grain, what);
	}
	/* The walk before it ends in front of it. */
	assert_int_equal(vd_map(chain, 0, d->size, 0, &ext), 0);
	assert_true(ext.len == victim * d->grain);
	vd_chain_close(chain);
	ut_set_free(&set);
	free(buf);
}

static void bad_grain_entries(void **state)
{
	struct ut_disk *d = ut_disk_new(2 * UT_MIB, 4096);
	struct img_sparse s = { .flags = IMG_F_RGD, .descriptor = "# Disk DescriptorFile\n" };
	u64 g, gt, end, victim = 77;
	size_t i;

	for (g = 0; g < d->nr; g++)
		ut_disk_set(d, g, UT_DATA, 6);
	img_sparse_write(&s, d);
	gt = ut_get_le(&s.buf, s.gd * 512, 4);
	end = s.buf.len / 512;
	const struct {
		const char *what;
		u64 value;
		bool whatever_overhead;	/* caught even if overHead says that grains begin at 0 */
	} bad[] = {
		{ "1 without the zero flag", 1, true },
		{ "inside the descriptor", 9, true },
		{ "inside the redundant directory", s.rgd, true },
		{ "inside the directory", s.gd, true },
		{ "across the directory's end", s.gd - 4, true },
		{ "inside a table", gt + 1, false },
		{ "just below the first grain", s.overhead - 1, false },
		{ "at the end of the file", end, true },
		{ "past the end of the file", end + 8, true },
		{ "the highest number", 0xffffffffULL, true },
		{ "the highest bit", 0x80000000ULL, true },
	};

	for (i = 0; i < 2 * ARRAY_SIZE(bad); i++) {
		size_t j = i / 2;

		if (i % 2 && !bad[j].whatever_overhead)
			continue;
		ut_put64(&s.buf, IMG_H_OVERHEAD, i % 2 ? 0 : s.overhead);
		ut_put32(&s.buf, gt * 512 + victim * 4, (u32)bad[j].value);
		one_bad_entry(&s.buf, d, victim, bad[j].what);
	}
	ut_buf_free(&s.buf);
	ut_disk_free(d);
}

/* The primary directory is damaged: the redundant one serves. */
static void redundant_directory(void **state)
{
	static const u64 bad[] = { 0xffffffff, 0x7fffffff, 1 };
	struct ut_disk *d = ut_disk_random(3 * UT_MIB, 2048, 14, false);
	struct img_sparse s = { .seed = 3, .flags = IMG_F_RGD };
	struct vd_chain *chain;
	struct ut_set set;
	size_t i;

	img_sparse_write(&s, d);
	assert_true(s.nr_gt == 3);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		ut_put32(&s.buf, s.gd * 512 + 4, (u32)bad[i]);
		set_of(&set, &s.buf, d->size);
		chain = ut_open(&set);
		ut_check_reads(chain, d->data, 100, 3);
		vd_chain_close(chain);
		ut_set_free(&set);
	}
	ut_buf_free(&s.buf);
	ut_disk_free(d);
}

/* An I/O error in the primary tables only. */
struct flaky {
	struct vd_file file;
	struct vd_file *low;
	u64 from, to;
};

static s64 flaky_read(struct vd_file *file, u64 pos, void *buf, u32 len)
{
	struct flaky *f = container_of(file, struct flaky, file);

	if (pos < f->to && pos + len > f->from)
		return -EIO;
	return f->low->ops->read(f->low, pos, buf, len);
}

static int flaky_size(struct vd_file *file, u64 *size)
{
	struct flaky *f = container_of(file, struct flaky, file);

	return f->low->ops->size(f->low, size);
}

static const struct vd_file_ops flaky_ops = { .read = flaky_read, .size = flaky_size };

static void redundant_tables_on_io_error(void **state)
{
	/* Big enough that primary and redundant copies do not share a block of 4 KiB. */
	struct ut_disk *d = ut_disk_random(12 * UT_MIB, 2048, 15, false);
	struct img_sparse s = { .seed = 3, .flags = IMG_F_RGD };
	struct ut_set set = { 0 };
	struct flaky f = { .file = { .ops = &flaky_ops } };
	struct vd_chain *chain;
	u64 gt, gt0;

	img_sparse_write(&s, d);
	gt0 = ut_get_le(&s.buf, s.gd * 512, 4);
	gt = ut_get_le(&s.buf, s.gd * 512 + 6 * 4, 4);
	f.low = vd_ufile_mem(s.buf.data, s.buf.len, false);
	f.file.size = s.buf.len;
	/* one whole block of primary tables */
	f.from = gt * 512 / 4096 * 4096;
	f.to = f.from + 4096;
	assert_true(f.from > gt0 * 512);
	set.files[0] = &f.file;
	set.nr_files = 1;
	ut_set_image(&set, VDISK_FORMAT_VMDK, d->size);
	ut_set_seg(&set, VDISK_SEG_VMDK_SPARSE, 0, 0, d->size, 0);
	chain = ut_open(&set);
	ut_check_reads(chain, d->data, 100, 5);
	vd_chain_close(chain);
	vd_ufile_free(f.low);
	ut_buf_free(&s.buf);
	ut_disk_free(d);
}

/*
 * What only the second directory knows, and cannot tell: neither a hole, where the
 * first has no table, nor damage, where its entry is bad.
 */
static void second_directory_unreadable(void **state)
{
	static const u32 first[] = { 0, 0xffffffff };
	struct ut_disk *d = ut_disk_random(12 * UT_MIB, 2048, 15, false);
	struct img_sparse s = { .seed = 3, .flags = IMG_F_RGD };
	struct ut_set set = { 0 };
	struct flaky f = { .file = { .ops = &flaky_ops } };
	struct vd_chain *chain;
	u8 buf[VD_SECTOR];
	size_t i;

	img_sparse_write(&s, d);
	f.from = ut_get_le(&s.buf, s.rgd * 512 + 6 * 4, 4) * 512;
	f.to = f.from + IMG_GTES * 4;
	f.file.size = s.buf.len;
	set.files[0] = &f.file;
	set.nr_files = 1;
	ut_set_image(&set, VDISK_FORMAT_VMDK, d->size);
	ut_set_seg(&set, VDISK_SEG_VMDK_SPARSE, 0, 0, d->size, 0);
	for (i = 0; i < ARRAY_SIZE(first); i++) {
		ut_put32(&s.buf, s.gd * 512 + 6 * 4, first[i]);
		f.low = vd_ufile_mem(s.buf.data, s.buf.len, false);
		chain = ut_open(&set);
		assert_int_equal(vd_read(chain, NULL, 6 * UT_MIB + 4096, buf, VD_SECTOR), -EIO);
		vd_chain_close(chain);
		vd_ufile_free(f.low);
	}
	ut_buf_free(&s.buf);
	ut_disk_free(d);
}

/* Without a redundant copy a bad directory entry fails its range and no other. */
static void bad_directory_entry(void **state)
{
	struct ut_disk *d = ut_disk_random(3 * UT_MIB, 2048, 16, false);
	struct img_sparse s = { .seed = 4 };
	u64 bad[] = { 0xffffffff, 1, 0x80000000, 0, 0 };
	u8 *buf = ut_xalloc(UT_MIB);
	struct vd_chain *chain;
	struct vd_error err;
	struct ut_set set;
	size_t i;
	int ret;

	img_sparse_write(&s, d);
	bad[3] = s.buf.len / 512;
	bad[4] = s.buf.len / 512 - 3;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		ut_put32(&s.buf, s.gd * 512 + 4, (u32)bad[i]);
		set_of(&set, &s.buf, d->size);
		ret = ut_try_open(&set, &err);
		if (ret) {	/* refusing the image as a whole is as good */
			assert_int_equal(ret, -EUCLEAN);
			ut_set_free(&set);
			continue;
		}
		chain = ut_open(&set);
		ret = vd_read(chain, NULL, UT_MIB + 4096, buf, 512);
		assert_true(ret == -EUCLEAN || ret == -EIO);
		assert_int_equal(vd_read(chain, NULL, 0, buf, UT_MIB), 0);
		ut_same(buf, d->data, 0, UT_MIB, "before the bad table");
		assert_int_equal(vd_read(chain, NULL, 2 * UT_MIB, buf, UT_MIB), 0);
		ut_same(buf, d->data + 2 * UT_MIB, 2 * UT_MIB, UT_MIB, "behind the bad table");
		vd_chain_close(chain);
		ut_set_free(&set);
	}
	free(buf);
	ut_buf_free(&s.buf);
	ut_disk_free(d);
}

/* Entry 1 means zeros with the flag, over a parent that has data. */
static void zero_entry_needs_its_flag(void **state)
{
	struct ut_disk *d = ut_disk_new(8 * 4096, 4096);
	struct img_sparse s = { .flags = IMG_F_ZERO_GTE, .version = 2 };
	struct vd_chain *chain;
	struct vd_extent ext;
	struct ut_set set;

	ut_disk_set(d, 0, UT_DATA, 1);
	ut_disk_set(d, 3, UT_ZERO, 1);
	img_sparse_write(&s, d);
	set_of(&set, &s.buf, d->size);
	chain = ut_open(&set);
	assert_int_equal(vd_map(chain, 3 * 4096, 4096, 0, &ext), 0);
	assert_int_equal(ext.type, VD_EXT_ZERO);
	assert_int_equal(vd_map(chain, 4096, 4096, 0, &ext), 0);
	assert_int_equal(ext.type, VD_EXT_HOLE);
	ut_check(chain, d->data, d->size);
	vd_chain_close(chain);
	ut_set_free(&set);

	ut_put32(&s.buf, IMG_H_FLAGS, IMG_F_NEWLINE);
	set_of(&set, &s.buf, d->size);
	chain = ut_open(&set);
	assert_true(vd_map(chain, 3 * 4096, 4096, 0, &ext) < 0);
	vd_chain_close(chain);
	ut_set_free(&set);
	ut_buf_free(&s.buf);
	ut_disk_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_grain_sizes),
		cmocka_unit_test(variants),
		cmocka_unit_test(empty_and_full),
		cmocka_unit_test(one_sector),
		cmocka_unit_test(short_last_grain),
		cmocka_unit_test(lost_grain),
		cmocka_unit_test(bad_grain_entries),
		cmocka_unit_test(redundant_directory),
		cmocka_unit_test(redundant_tables_on_io_error),
		cmocka_unit_test(second_directory_unreadable),
		cmocka_unit_test(bad_directory_entry),
		cmocka_unit_test(zero_entry_needs_its_flag),
	};

	return cmocka_run_group_tests_name("sparse", tests, NULL, NULL);
}
