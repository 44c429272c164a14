// SPDX-License-Identifier: GPL-2.0-only
/* The metadata cache: bounded, never wrong, never remembers a failed read. */
#include "ut.h"

#define FILE_LEN (2 * UT_MIB + 1000)

struct fixture {
	u8 *data;
	struct vd_file *low;
	struct ut_count count;
	struct vd_file *file;
};

static void setup(struct fixture *f, u64 len)
{
	memset(f, 0, sizeof(*f));
	f->data = ut_xalloc(len);
	ut_pattern(f->data, len, 0, 11);
	f->low = vd_ufile_mem(f->data, len, true);
	f->file = vd_ufile_record(f->low, ut_count_fn, &f->count);
	assert_non_null(f->file);
}

static void teardown(struct fixture *f)
{
	vd_ufile_free(f->file);
	vd_ufile_free(f->low);
	free(f->data);
}

static void hit_and_miss(void **state)
{
	struct vd_meta *meta = vd_meta_create(16);
	struct fixture f;
	u8 buf[64];

	setup(&f, FILE_LEN);
	assert_non_null(meta);
	assert_int_equal(vd_meta_count(meta), 0);
	assert_int_equal(vd_meta_read(meta, f.file, 8000, buf, 64, VD_MAP_NOWAIT), -EAGAIN);
	assert_true(f.count.reads == 0);
	assert_int_equal(vd_meta_read(meta, f.file, 8000, buf, 64, 0), 0);
	assert_memory_equal(buf, f.data + 8000, 64);
	assert_true(f.count.reads >= 1);
	assert_int_equal(vd_meta_count(meta), 1);
	f.count.reads = 0;
	memset(buf, 0, sizeof(buf));
	assert_int_equal(vd_meta_read(meta, f.file, 4096, buf, 4, VD_MAP_NOWAIT), 0);
	assert_memory_equal(buf, f.data + 4096, 4);
	assert_true(f.count.reads == 0);
	assert_int_equal(vd_meta_read(meta, f.file, 8192, buf, 1, VD_MAP_NOWAIT), -EAGAIN);
	vd_meta_destroy(meta);
	teardown(&f);
}

static void bounded_and_evicts(void **state)
{
	struct vd_meta *meta = vd_meta_create(16);
	struct ut_rng rng = { 5 };
	struct fixture f;
	u64 pos, len;
	u8 buf[64];
	int i;

	setup(&f, FILE_LEN);
	ut_alloc_start(-1, false);
	for (i = 0; i < 20000; i++) {
		len = 1 + ut_below(&rng, 64);
		pos = ut_below(&rng, FILE_LEN - len);
		if (pos / 4096 != (pos + len - 1) / 4096)
			len = 1;
		assert_int_equal(vd_meta_read(meta, f.file, pos, buf, (u32)len, 0), 0);
		assert_memory_equal(buf, f.data + pos, len);
		assert_true(vd_meta_count(meta) <= 16);
	}
	ut_alloc_stop();
	assert_true(vd_meta_count(meta) > 0);
	assert_true(f.count.reads > 16);
	vd_meta_destroy(meta);
	teardown(&f);
}

/* A working set that fits is read once. */
static void keeps_what_fits(void **state)
{
	struct vd_meta *meta = vd_meta_create(64);
	struct fixture f;
	u8 buf[8];
	int i;

	setup(&f, FILE_LEN);
	for (i = 0; i < 32 * 50; i++)
		assert_int_equal(vd_meta_read(meta, f.file, (u64)(i % 32) * 4096, buf, 8, 0), 0);
	assert_true(f.count.read_bytes <= 32 * 4096);
	vd_meta_destroy(meta);
	teardown(&f);
}

static void files_do_not_mix(void **state)
{
	struct vd_meta *meta = vd_meta_create(64);
	u8 a[8192], b[8192], buf[16];
	struct vd_file *fa, *fb;

	ut_pattern(a, sizeof(a), 0, 1);
	ut_pattern(b, sizeof(b), 0, 2);
	fa = vd_ufile_mem(a, sizeof(a), false);
	fb = vd_ufile_mem(b, sizeof(b), false);
	fa->index = 0;
	fb->index = 1;
	assert_int_equal(vd_meta_read(meta, fa, 4096, buf, 16, 0), 0);
	assert_memory_equal(buf, a + 4096, 16);
	assert_int_equal(vd_meta_read(meta, fb, 4096, buf, 16, VD_MAP_NOWAIT), -EAGAIN);
	assert_int_equal(vd_meta_read(meta, fb, 4096, buf, 16, 0), 0);
	assert_memory_equal(buf, b + 4096, 16);
	assert_int_equal(vd_meta_read(meta, fa, 4096, buf, 16, VD_MAP_NOWAIT), 0);
	assert_memory_equal(buf, a + 4096, 16);
	vd_meta_destroy(meta);
	vd_ufile_free(fa);
	vd_ufile_free(fb);
}

static void end_of_file(void **state)
{
	struct vd_meta *meta = vd_meta_create(16);
	struct fixture f;
	u8 buf[64];

	setup(&f, 4096 + 100);
	assert_int_equal(vd_meta_read(meta, f.file, 4096, buf, 64, 0), 0);
	assert_memory_equal(buf, f.data + 4096, 64);
	assert_int_equal(vd_meta_read(meta, f.file, 4096 + 36, buf, 64, 0), 0);
	assert_int_equal(vd_meta_read(meta, f.file, 4096 + 37, buf, 64, 0), -EIO);
	assert_int_equal(vd_meta_read(meta, f.file, 4096 + 100, buf, 1, 0), -EIO);
	assert_int_equal(vd_meta_read(meta, f.file, 1ULL << 40, buf, 8, 0), -EIO);
	assert_int_equal(vd_meta_read(meta, f.file, UINT64_MAX - 7, buf, 8, 0), -EIO);
	/* Cached or not: past the end stays an error with NOWAIT too. */
	assert_int_equal(vd_meta_read(meta, f.file, 4096 + 64, buf, 64, VD_MAP_NOWAIT), -EIO);
	vd_meta_destroy(meta);
	teardown(&f);
}

/* Entries only: nothing, too much or across two blocks is a caller's mistake, not a crash. */
static void bad_lengths(void **state)
{
	struct vd_meta *meta = vd_meta_create(16);
	struct fixture f;
	u8 buf[128];

	setup(&f, 3 * 4096);
	assert_true(vd_meta_read(meta, f.file, 0, buf, 0, 0) < 0);
	assert_true(vd_meta_read(meta, f.file, 0, buf, 65, 0) < 0);
	assert_true(vd_meta_read(meta, f.file, 4095, buf, 2, 0) < 0);
	assert_true(vd_meta_read(meta, f.file, 4096 - 63, buf, 64, 0) < 0);
	assert_int_equal(vd_meta_read(meta, f.file, 4096 - 64, buf, 64, 0), 0);
	assert_memory_equal(buf, f.data + 4096 - 64, 64);
	vd_meta_destroy(meta);
	teardown(&f);
}

static void shrunk_file(void **state)
{
	struct vd_meta *meta = vd_meta_create(16);
	struct fixture f;
	u8 buf[64];

	setup(&f, 3 * 4096);
	assert_int_equal(f.low->ops->truncate(f.low, 4096 + 10), 0);
	assert_int_equal(vd_meta_read(meta, f.file, 0, buf, 64, 0), 0);
	assert_int_equal(vd_meta_read(meta, f.file, 4096 + 64, buf, 64, 0), -EIO);
	assert_int_equal(vd_meta_read(meta, f.file, 2 * 4096, buf, 64, 0), -EIO);
	assert_int_equal(vd_meta_read(meta, f.file, 2 * 4096, buf, 64, VD_MAP_NOWAIT), -EAGAIN);
	vd_meta_destroy(meta);
	teardown(&f);
}

static void failed_read_is_not_kept(void **state)
{
	struct vd_fault fault = { .countdown = 1, .error = EIO };
	struct vd_meta *meta = vd_meta_create(16);
	struct vd_file *file;
	struct fixture f;
	u8 buf[64];

	setup(&f, FILE_LEN);
	file = vd_ufile_fault(f.low, &fault);
	assert_int_equal(vd_meta_read(meta, file, 4096, buf, 64, 0), -EIO);
	assert_int_equal(vd_meta_read(meta, file, 4096, buf, 64, VD_MAP_NOWAIT), -EAGAIN);
	assert_int_equal(vd_meta_read(meta, file, 4096, buf, 64, 0), 0);
	assert_memory_equal(buf, f.data + 4096, 64);

	/* Half a block must never be served as a block. */
	fault = (struct vd_fault){ .countdown = 1, .error = EIO, .short_read = true };
	memset(buf, 0, sizeof(buf));
	if (!vd_meta_read(meta, file, 3 * 4096 - 64, buf, 64, 0))
		assert_memory_equal(buf, f.data + 3 * 4096 - 64, 64);
	assert_int_equal(fault.fired, 1);
	assert_int_equal(vd_meta_read(meta, file, 3 * 4096 - 64, buf, 64, 0), 0);
	assert_memory_equal(buf, f.data + 3 * 4096 - 64, 64);
	vd_ufile_free(file);
	vd_meta_destroy(meta);
	teardown(&f);
}

/* Without memory the reserve still makes progress. */
static void no_memory(void **state)
{
	struct vd_meta *meta = vd_meta_create(64);
	struct fixture f;
	u8 buf[64];
	u64 i;

	setup(&f, FILE_LEN);
	ut_alloc_start(1, true);
	for (i = 0; i < 200; i++) {
		int ret = vd_meta_read(meta, f.file, (i * 7 % 500) * 4096, buf, 64, 0);

		assert_int_equal(ret, 0);
		assert_memory_equal(buf, f.data + (i * 7 % 500) * 4096, 64);
	}
	ut_alloc_stop();
	vd_meta_destroy(meta);

	ut_alloc_start(1, true);
	assert_null(vd_meta_create(64));
	ut_alloc_stop();
	teardown(&f);
}

static void shrinks(void **state)
{
	struct vd_meta *meta = vd_meta_create(128);
	struct fixture f;
	u32 before, gone;
	u8 buf[8];
	u64 i;

	setup(&f, FILE_LEN);
	for (i = 0; i < 100; i++)
		assert_int_equal(vd_meta_read(meta, f.file, i * 4096, buf, 8, 0), 0);
	before = vd_meta_count(meta);
	assert_int_equal(before, 100);
	gone = vd_meta_shrink(meta, 30);
	assert_true(gone <= 30);
	assert_int_equal(vd_meta_count(meta), before - gone);
	assert_true(gone > 0);
	vd_meta_shrink(meta, 1000);
	assert_true(vd_meta_count(meta) <= VD_META_RESERVE);
	for (i = 0; i < 100; i++) {
		assert_int_equal(vd_meta_read(meta, f.file, i * 4096 + 8, buf, 8, 0), 0);
		assert_memory_equal(buf, f.data + i * 4096 + 8, 8);
	}
	vd_meta_destroy(meta);
	teardown(&f);
}

static void tables(void **state)
{
	struct vd_meta *meta = vd_meta_create(16);
	struct vd_table t32, t64;
	struct ut_buf b = { 0 };
	struct vd_file *file;
	u32 v32;
	u64 i, v64;

	for (i = 0; i < 3000; i++) {
		ut_put32(&b, 4096 - 512 + i * 4, (u32)(0xa0000000 + i));
		ut_put64(&b, 20480 + i * 8, 0xb000000000000000ULL + i);
	}
	file = vd_ufile_mem(b.data, b.len, false);
	t32 = (struct vd_table){ .meta = meta, .file = file, .pos = 4096 - 512, .count = 3000 };
	t64 = (struct vd_table){ .meta = meta, .file = file, .pos = 20480, .count = 3000 };
	for (i = 0; i < 3000; i++) {
		assert_int_equal(vd_table_get32(&t32, i, 0, &v32), 0);
		assert_int_equal(v32, 0xa0000000 + i);
		assert_int_equal(vd_table_get64(&t64, i, 0, &v64), 0);
		assert_true(v64 == 0xb000000000000000ULL + i);
	}
	assert_int_equal(vd_table_get32(&t32, 3000, 0, &v32), -EIO);
	assert_int_equal(vd_table_get64(&t64, 3000, 0, &v64), -EIO);
	assert_int_equal(vd_table_get32(&t32, UINT64_MAX, 0, &v32), -EIO);
	assert_int_equal(vd_table_get64(&t64, UINT64_MAX / 8 + 1, 0, &v64), -EIO);
	assert_int_equal(vd_table_get64(&t64, 1ULL << 61, VD_MAP_NOWAIT, &v64), -EIO);
	/* A table that claims more than the file has. */
	t64.count = UINT64_MAX;
	assert_int_equal(vd_table_get64(&t64, 3000, 0, &v64), -EIO);
	assert_int_equal(vd_table_get64(&t64, UINT64_MAX - 1, 0, &v64), -EIO);
	assert_int_equal(vd_table_get64(&t64, 1ULL << 61, 0, &v64), -EIO);
	vd_meta_destroy(meta);
	vd_ufile_free(file);
	ut_buf_free(&b);
}

struct worker {
	struct vd_meta *meta;
	struct fixture *f;
	u64 seed;
	bool bad;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	struct ut_rng rng = { w->seed };
	u8 buf[64];
	int i;

	for (i = 0; i < 20000 && !w->bad; i++) {
		u64 pos = ut_below(&rng, 300) * 4096 + ut_below(&rng, 64) * 64;
		unsigned int flags = ut_below(&rng, 4) ? 0 : VD_MAP_NOWAIT;
		int ret;

		if (!ut_below(&rng, 500))
			vd_meta_shrink(w->meta, 8);
		ret = vd_meta_read(w->meta, w->f->file, pos, buf, 64, flags);
		if (ret == -EAGAIN && flags)
			continue;
		if (ret || memcmp(buf, w->f->data + pos, 64))
			w->bad = true;
	}
	return NULL;
}

static void threads(void **state)
{
	struct vd_meta *meta = vd_meta_create(64);
	struct worker workers[4];
	pthread_t id[4];
	struct fixture f;
	size_t i;

	setup(&f, FILE_LEN);
	for (i = 0; i < ARRAY_SIZE(workers); i++) {
		workers[i] = (struct worker){ .meta = meta, .f = &f, .seed = i + 1 };
		assert_int_equal(pthread_create(&id[i], NULL, work, &workers[i]), 0);
	}
	for (i = 0; i < ARRAY_SIZE(workers); i++) {
		pthread_join(id[i], NULL);
		assert_false(workers[i].bad);
	}
	assert_true(vd_meta_count(meta) <= 64);
	vd_meta_destroy(meta);
	teardown(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hit_and_miss),
		cmocka_unit_test(bounded_and_evicts),
		cmocka_unit_test(keeps_what_fits),
		cmocka_unit_test(files_do_not_mix),
		cmocka_unit_test(end_of_file),
		cmocka_unit_test(bad_lengths),
		cmocka_unit_test(shrunk_file),
		cmocka_unit_test(failed_read_is_not_kept),
		cmocka_unit_test(no_memory),
		cmocka_unit_test(shrinks),
		cmocka_unit_test(tables),
		cmocka_unit_test(threads),
	};

	return cmocka_run_group_tests_name("meta", tests, NULL, NULL);
}
