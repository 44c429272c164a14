// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a repair of hosted sparse extents writes: where it appends, what it says
 * that it changes, in which order, and when it writes nothing.
 */
#include "ck-spoil.h"

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
		cmocka_unit_test(on_a_device),
		cmocka_unit_test(changes),
		cmocka_unit_test(lone_tables),
		cmocka_unit_test(mark_goes_last),
		cmocka_unit_test(only_if_marked),
		cmocka_unit_test(read_only_file),
		cmocka_unit_test(stopped),
	};

	return cmocka_run_group_tests_name("check-repair", tests, NULL, NULL);
}
