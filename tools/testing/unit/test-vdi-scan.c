// SPDX-License-Identifier: GPL-2.0-only
/* The look at a whole map of a VDI: what it counts, what it tells, where it can be stopped. */
#include "img-vdi.h"
#include "../../../formats-common/vdi/vdi.h"

#define ENTRIES	200000U

/**
 * struct look - one scan, and what it has told
 * @stop: the question that is answered no; 0: none
 * @holes: slots that no entry names; @next: the first that the next hole may have
 */
struct look {
	struct vdi_header header;
	struct vdi_scan scan;
	struct img_vdi v;
	struct ut_disk *d;
	struct vd_file *file;
	u64 calls, stop;
	u32 holes, next, runs;
};

static bool go_on(void *ctx, u64 done, u64 total)
{
	struct look *l = ctx;

	assert_true(done <= total && total == l->scan.total);
	return ++l->calls != l->stop;
}

static int hole(void *ctx, u32 slot, u32 n)
{
	struct look *l = ctx;

	assert_true(n && slot >= l->next);
	l->next = slot + n + 1;
	l->holes += n;
	l->runs++;
	return 0;
}

static void make(struct look *l)
{
	u64 b;

	memset(l, 0, sizeof(*l));
	l->d = ut_disk_new(40 * 512, 512);
	for (b = 0; b < 40; b += 2)
		ut_disk_set(l->d, b, UT_DATA, 3);
	l->v = (struct img_vdi){ .seed = 5, .holes = 30, .blocks = ENTRIES };
	img_vdi_write(&l->v, l->d);
}

static void open_it(struct look *l)
{
	struct vd_error err = { 0 };

	l->file = vd_ufile_mem(l->v.buf.data, l->v.buf.len, false);
	assert_int_equal(vdi_header_read(l->file, &l->header, &err), 0);
	l->scan.file = l->file;
	l->scan.header = &l->header;
	l->scan.ctx = l;
	l->scan.go_on = go_on;
	l->scan.hole = hole;
}

static void done(struct look *l)
{
	vd_ufile_free(l->file);
	ut_buf_free(&l->v.buf);
	ut_disk_free(l->d);
}

static void counts(void **state)
{
	struct look l;

	make(&l);
	img_vdi_set(&l.v, 70000, 1000);
	img_vdi_set(&l.v, 199999, 50);
	img_vdi_set(&l.v, 199998, img_vdi_get(&l.v, 0));
	img_vdi_set(&l.v, 199997, img_vdi_get(&l.v, 2));
	open_it(&l);
	assert_int_equal(vdi_scan(&l.scan), 0);
	assert_true(l.scan.used == 22 && l.scan.high == 50);
	assert_true(l.scan.outside == 2 && l.scan.outside_block == 70000);
	assert_true(l.scan.shared == 2 && l.scan.shared_block == 199997);
	assert_int_equal(l.holes, 30);
	assert_true(l.scan.done == l.scan.total && l.scan.total == 2 * ENTRIES);
	assert_true(l.calls == 2 * ENTRIES / 65536);
	done(&l);
}

/* Without a slot there is nothing to look for a second time. */
static void empty(void **state)
{
	struct look l;
	u64 b;

	make(&l);
	for (b = 0; b < 40; b++)
		img_vdi_set(&l.v, b, b % 3 ? IMG_VDI_ZERO : IMG_VDI_FREE);
	open_it(&l);
	assert_int_equal(vdi_scan(&l.scan), 0);
	assert_true(!l.scan.used && !l.scan.high && !l.scan.shared && !l.scan.outside && !l.holes);
	assert_true(l.scan.done == ENTRIES);
	done(&l);
}

static void stopped(void **state)
{
	struct look l;
	u64 stop;

	for (stop = 1; stop <= 2 * ENTRIES / 65536; stop++) {
		make(&l);
		open_it(&l);
		l.stop = stop;
		assert_int_equal(vdi_scan(&l.scan), -EINTR);
		assert_true(l.calls == stop && !l.holes);
		done(&l);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts),
		cmocka_unit_test(empty),
		cmocka_unit_test(stopped),
	};

	return cmocka_run_group_tests_name("vdi-scan", tests, NULL, NULL);
}
