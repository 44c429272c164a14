// SPDX-License-Identifier: GPL-2.0-only
/*
 * Descriptions of every kind of file, read while the i-th allocation fails, the
 * i-th read fails or is short: the injected error, or the same answer as without.
 */
#include "img-esx.h"

#define TEXT "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n"

struct subject {
	const char *name;
	const struct vd_format *format;
	struct ut_buf buf;
};

/* Long enough for several reads; the last line counts. */
static void long_text(struct subject *s)
{
	static const char first[] = TEXT "createType=\"custom\"\nRW 8 FLAT \"a\" 0\n";
	static const char last[] = "RW 8 FLAT \"b\" 0\nddb.comment=\"x\"\n";
	char line[1001];

	memset(line, '#', sizeof(line));
	line[1000] = '\n';
	ut_put(&s->buf, 0, first, strlen(first));
	while (s->buf.len < 590 * UT_KIB)
		ut_put(&s->buf, s->buf.len, line, sizeof(line));
	ut_put(&s->buf, s->buf.len, last, strlen(last));
}

static void embedded(struct subject *s)
{
	struct ut_disk *d = ut_disk_random(UT_MIB, 65536, 1, false);
	struct img_sparse form = { .flags = IMG_F_RGD, .descriptor = TEXT
		"createType=\"monolithicSparse\"\nRW 2048 SPARSE \"x\"\n" };

	img_sparse_write(&form, d);
	s->buf = form.buf;
	ut_disk_free(d);
}

static void stream(struct subject *s)
{
	struct ut_disk *d = ut_disk_random(UT_MIB, 65536, 1, false);
	struct img_stream form = { .footer = true, .level = 6, .s.descriptor = TEXT
		"createType=\"streamOptimized\"\nRDONLY 2048 SPARSE \"x\"\n" };

	img_stream_write(&form, d);
	s->buf = form.s.buf;
	ut_disk_free(d);
}

static void cowd(struct subject *s)
{
	struct ut_disk *d = ut_disk_random(UT_MIB, 512, 1, false);
	struct img_cowd form = { 0 };

	img_cowd_write(&form, d);
	s->buf = form.buf;
	ut_disk_free(d);
}

static void sesparse(struct subject *s)
{
	struct ut_disk *d = ut_disk_random(UT_MIB, 4096, 1, true);
	struct img_sesparse form = { 0 };

	img_sesparse_write(&form, d);
	s->buf = form.buf;
	ut_disk_free(d);
}

static void raw(struct subject *s)
{
	s->format = &vd_format_raw;
	ut_buf_size(&s->buf, 12345);
}

static void (*const makers[])(struct subject *s) = {
	long_text, embedded, stream, cowd, sesparse, raw,
};

static struct vd_layout *good_answer(const struct subject *s, struct vd_file *file)
{
	struct vd_layout *l = NULL;
	struct vd_error err = { 0 };

	assert_int_equal(s->format->user->layout(file, &l, &err), 0);
	assert_int_equal(vd_layout_check(l, l->total, &err), 0);
	return l;
}

/* One try under a fault: the same answer, or @error alone. */
static void attempt(const struct subject *s, struct vd_file *file, const struct vd_layout *want,
		    int error)
{
	struct vd_layout *l = NULL;
	struct vd_error err = { 0 };
	int ret = s->format->user->layout(file, &l, &err);

	if (!ret) {
		assert_int_equal(l->total, want->total);
		assert_memory_equal(l, want, want->total);
		vd_free(l);
		return;
	}
	assert_int_equal(ret, error);
	assert_null(l);
	ut_assert_sentence(&err, ret);
}

static void faults(void **state)
{
	struct vd_fault fault;
	size_t m;
	int kind;
	long i;

	for (m = 0; m < ARRAY_SIZE(makers); m++) {
		struct subject s = { .format = &vd_format_vmdk };
		struct vd_file *low, *file;
		struct vd_layout *want;

		makers[m](&s);
		low = vd_ufile_mem(s.buf.data, s.buf.len, false);
		file = vd_ufile_fault(low, &fault);
		fault = (struct vd_fault){ .countdown = -1 };
		want = good_answer(&s, file);
		for (kind = 0; kind < 2; kind++) {
			for (i = 1;; i++) {
				fault = (struct vd_fault){ .countdown = i, .error = EIO,
							   .short_read = kind };
				attempt(&s, file, want, -EIO);
				if (!fault.fired)
					break;
			}
		}
		fault = (struct vd_fault){ .countdown = -1 };
		for (i = 1;; i++) {
			ut_alloc_start(i, false);
			attempt(&s, file, want, -ENOMEM);
			ut_alloc_stop();
			if (!ut_alloc.failed)
				break;
		}
		assert_true(i > 1);
		vd_free(want);
		vd_ufile_free(file);
		vd_ufile_free(low);
		ut_buf_free(&s.buf);
	}
}

/* What a bare ESX extent is taken for: itself, read-only, with a warning. */
static void bare_extents(void **state)
{
	static const u32 kinds[] = { VDISK_SEG_VMDK_COWD, VDISK_SEG_VMDK_SESPARSE };
	size_t m;

	for (m = 0; m < 2; m++) {
		struct subject s = { .format = &vd_format_vmdk };
		struct vd_layout *l;
		struct vd_file *file;

		makers[3 + m](&s);
		file = vd_ufile_mem(s.buf.data, s.buf.len, false);
		l = good_answer(&s, file);
		assert_true(l->props.size == UT_MIB);
		assert_int_equal(l->nr_segs, 1);
		assert_int_equal(vd_layout_segs(l)[0].kind, kinds[m]);
		assert_int_equal(vd_layout_segs(l)[0].flags & VD_LSEG_SELF, VD_LSEG_SELF);
		assert_true(l->flags & VD_LAYOUT_RDONLY);
		assert_true(l->flags & VD_LAYOUT_WARNING);
		assert_false(l->flags & VD_LAYOUT_PARENT);
		vd_free(l);
		vd_ufile_free(file);
		ut_buf_free(&s.buf);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(faults),
		cmocka_unit_test(bare_extents),
	};

	return cmocka_run_group_tests_name("layout-faults", tests, NULL, NULL);
}
