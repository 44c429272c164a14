// SPDX-License-Identifier: GPL-2.0-only
/*
 * The anomaly loop: for every kind of image, fail or shorten the i-th read, or
 * fail the i-th allocation, once or for good, for i = 1, 2, ... until the fault
 * is no longer reached by open + read everything + close.
 *
 * Each call either fails cleanly or gives exactly the right data. After a fault
 * that is over, the very same call succeeds. ASan watches over leaks.
 */
#include "img-esx.h"
#include "img-vdi.h"
#include "vdisk/alloc.h"

#define PIECE (32 * UT_KIB)

struct subject {
	const char *name;
	struct ut_set set;
	struct vd_fault fault;
	u8 *want;
	u64 size;
};

enum what { FAIL_READ, SHORT_READ, FAIL_ALLOC };

static unsigned long runs;

/* --- subjects --- */

static void add_sparse(struct subject *s, const struct ut_disk *d, struct img_sparse form)
{
	img_sparse_write(&form, d);
	ut_set_buf(&s->set, &form.buf);
	ut_buf_free(&form.buf);
}

static void add_stream(struct subject *s, const struct ut_disk *d, struct img_stream form)
{
	img_stream_write(&form, d);
	ut_set_buf(&s->set, &form.s.buf);
	ut_buf_free(&form.s.buf);
}

static void one_image(struct subject *s, const struct ut_disk *d, u32 kind)
{
	ut_set_image(&s->set, VDISK_SEG_FORMAT(kind), d->size);
	ut_set_seg(&s->set, kind, s->set.nr_files - 1, 0, d->size, 0);
}

static void finish(struct subject *s, const char *name, struct ut_disk **disks, unsigned int nr)
{
	unsigned int i;

	s->name = name;
	s->size = disks[0]->size;
	s->want = ut_flatten(disks, nr);
	s->fault.countdown = -1;
	ut_set_fault(&s->set, &s->fault);
	for (i = 0; i < nr; i++)
		ut_disk_free(disks[i]);
}

static void sparse(struct subject *s)
{
	struct ut_disk *d = ut_disk_random(300 * UT_KIB, 4096, 1, true);

	add_sparse(s, d, (struct img_sparse){ .seed = 1, .version = 2,
					      .flags = IMG_F_RGD | IMG_F_ZERO_GTE });
	one_image(s, d, VDISK_SEG_VMDK_SPARSE);
	finish(s, "sparse", &d, 1);
}

static void sparse_cut(struct subject *s)
{
	struct ut_disk *d = ut_disk_random(300 * UT_KIB + 512, 8192, 2, false);

	ut_disk_set(d, d->nr - 1, UT_DATA, 2);
	add_sparse(s, d, (struct img_sparse){ .cut_last = true });
	one_image(s, d, VDISK_SEG_VMDK_SPARSE);
	finish(s, "sparse, cut in the last grain", &d, 1);
}

static void stream(struct subject *s)
{
	struct ut_disk *d = ut_disk_random(400 * UT_KIB, 16384, 3, false);

	add_stream(s, d, (struct img_stream){ .footer = true, .level = 6, .s.seed = 3 });
	one_image(s, d, VDISK_SEG_VMDK_SPARSE);
	finish(s, "stream with footer", &d, 1);
}

static void stream_front(struct subject *s)
{
	struct ut_disk *d = ut_disk_random(400 * UT_KIB, 16384, 4, false);

	add_stream(s, d, (struct img_stream){ .level = 6, .s.flags = IMG_F_RGD });
	one_image(s, d, VDISK_SEG_VMDK_SPARSE);
	finish(s, "stream, directory in front", &d, 1);
}

static void cowd(struct subject *s)
{
	struct ut_disk *d = ut_disk_random(300 * UT_KIB, 1024, 5, false);
	struct img_cowd c = { .seed = 5 };

	img_cowd_write(&c, d);
	ut_set_buf(&s->set, &c.buf);
	ut_buf_free(&c.buf);
	one_image(s, d, VDISK_SEG_VMDK_COWD);
	finish(s, "cowd", &d, 1);
}

static void sesparse(struct subject *s)
{
	struct ut_disk *d = ut_disk_random(300 * UT_KIB, 4096, 6, true);
	struct img_sesparse c = { .seed = 6 };

	img_sesparse_write(&c, d);
	ut_set_buf(&s->set, &c.buf);
	ut_buf_free(&c.buf);
	one_image(s, d, VDISK_SEG_VMDK_SESPARSE);
	finish(s, "sesparse", &d, 1);
}

static void flat(struct subject *s)
{
	struct ut_disk *d = ut_disk_new(200 * UT_KIB, 4096);
	u64 g;

	for (g = 0; g < d->nr; g++)
		ut_disk_set(d, g, UT_DATA, 7);
	ut_set_mem(&s->set, d->data, d->size, false);
	one_image(s, d, VDISK_SEG_RAW);
	finish(s, "flat", &d, 1);
}

/* raw, zero, sparse and stream extents side by side */
static void split(struct subject *s)
{
	struct ut_disk *d = ut_disk_random(4 * 96 * UT_KIB, 8192, 8, false), *part[4];
	u64 len = 96 * UT_KIB;
	u32 i;

	for (i = 12; i < 24; i++)
		ut_disk_set(d, i, UT_ZERO, 0);
	for (i = 0; i < 4; i++)
		part[i] = ut_disk_slice(d, i * len, len);
	ut_set_mem(&s->set, part[0]->data, len, false);
	add_sparse(s, part[2], (struct img_sparse){ .seed = 8 });
	add_stream(s, part[3], (struct img_stream){ .footer = true, .level = 6 });
	ut_set_image(&s->set, VDISK_FORMAT_VMDK, 4 * len);
	ut_set_seg(&s->set, VDISK_SEG_RAW, 0, 0, len, 0);
	ut_set_seg(&s->set, VDISK_SEG_ZERO, VDISK_NO_MEMBER, len, len, 0);
	ut_set_seg(&s->set, VDISK_SEG_VMDK_SPARSE, 1, 2 * len, len, 0);
	ut_set_seg(&s->set, VDISK_SEG_VMDK_SPARSE, 2, 3 * len, len, 0);
	for (i = 0; i < 4; i++)
		ut_disk_free(part[i]);
	finish(s, "split", &d, 1);
}

/* sparse over cowd over stream over a raw parent that ends early */
static void chain(struct subject *s)
{
	struct ut_disk *d[4];
	struct img_cowd c = { .seed = 9 };

	d[0] = ut_disk_random(256 * UT_KIB, 4096, 9, true);
	d[1] = ut_disk_random(256 * UT_KIB, 2048, 10, false);
	d[2] = ut_disk_random(256 * UT_KIB, 16384, 11, false);
	d[3] = ut_disk_random(200 * UT_KIB, 4096, 12, false);
	memset(d[3]->state, UT_DATA, d[3]->nr);
	add_sparse(s, d[0], (struct img_sparse){ .version = 2, .flags = IMG_F_ZERO_GTE });
	one_image(s, d[0], VDISK_SEG_VMDK_SPARSE);
	img_cowd_write(&c, d[1]);
	ut_set_buf(&s->set, &c.buf);
	ut_buf_free(&c.buf);
	one_image(s, d[1], VDISK_SEG_VMDK_COWD);
	add_stream(s, d[2], (struct img_stream){ .footer = true, .level = 6 });
	one_image(s, d[2], VDISK_SEG_VMDK_SPARSE);
	ut_set_mem(&s->set, d[3]->data, d[3]->size, false);
	one_image(s, d[3], VDISK_SEG_RAW);
	finish(s, "chain of four", d, 4);
}

static void add_vdi(struct subject *s, const struct ut_disk *d, struct img_vdi form)
{
	img_vdi_write(&form, d);
	img_vdi_add(&s->set, &form, d->size, false);
	ut_buf_free(&form.buf);
}

static void vdi(struct subject *s)
{
	struct ut_disk *d = ut_disk_random(300 * UT_KIB, 4096, 13, true);

	add_vdi(s, d, (struct img_vdi){ .seed = 13, .holes = 3 });
	finish(s, "vdi", &d, 1);
}

/* Version 0.2, cut in its last slot */
static void vdi_old(struct subject *s)
{
	struct ut_disk *d = ut_disk_random(300 * UT_KIB + 512, 8192, 14, true);

	ut_disk_set(d, d->nr - 1, UT_DATA, 14);
	add_vdi(s, d, (struct img_vdi){ .version = IMG_VDI_0_2, .cut_last = true });
	finish(s, "vdi 0.2", &d, 1);
}

/* vdi over a fixed one that ends early */
static void vdi_chain(struct subject *s)
{
	struct ut_disk *d[2];

	d[0] = ut_disk_random(256 * UT_KIB, 4096, 15, true);
	d[1] = ut_disk_random(200 * UT_KIB, 16384, 16, true);
	add_vdi(s, d[0], (struct img_vdi){ .type = IMG_VDI_DIFF, .seed = 15 });
	add_vdi(s, d[1], (struct img_vdi){ .type = IMG_VDI_FIXED });
	finish(s, "vdi chain", d, 2);
}

/* --- faults --- */

static void arm(struct subject *s, enum what what, long i, bool sticky)
{
	s->fault = (struct vd_fault){ .countdown = -1, .error = EIO };
	if (what == FAIL_ALLOC) {
		ut_alloc_start(i, sticky);
		return;
	}
	s->fault.countdown = i;
	s->fault.sticky = sticky;
	s->fault.short_read = what == SHORT_READ;
}

static bool reached(const struct subject *s, enum what what)
{
	return what == FAIL_ALLOC ? ut_alloc.failed > 0 : s->fault.fired > 0;
}

static void disarm(struct subject *s)
{
	s->fault.countdown = -1;
	s->fault.sticky = false;
	ut_alloc_stop();
}

/* The error is the injected one: a failed transfer is not reported as a damaged image. */
static void clean(enum what what, int ret, const char *where)
{
	if (ret != (what == FAIL_ALLOC ? -ENOMEM : -EIO))
		fail_msg("%s: error %d", where, ret);
}

static struct vd_chain *open_it(struct subject *s, enum what what, bool sticky)
{
	struct vd_chain_desc desc = ut_set_desc(&s->set);
	struct vd_chain *c = NULL;
	struct vd_error err = { 0 };
	int ret = vd_chain_open(&desc, &c, &err);

	if (!ret)
		return c;
	clean(what, ret, "open");
	ut_assert_sentence(&err, ret);
	assert_null(c);
	if (sticky)
		disarm(s);
	memset(&err, 0, sizeof(err));
	ret = vd_chain_open(&desc, &c, &err);
	if (ret)
		fail_msg("%s: second open: %d %s", s->name, ret, err.text);
	return c;
}

static void prepare(struct subject *s, struct vd_chain *c, struct vd_unit *unit, bool sticky)
{
	int ret;

	if (!c->max_unit)
		return;
	ret = vd_unit_prepare(unit, c->max_unit);
	if (!ret)
		return;
	assert_int_equal(ret, -ENOMEM);
	vd_unit_release(unit);
	memset(unit, 0, sizeof(*unit));
	if (sticky)
		disarm(s);
	assert_int_equal(vd_unit_prepare(unit, c->max_unit), 0);
}

static void run(struct subject *s, enum what what, bool sticky, u8 *buf)
{
	struct vd_unit unit = { 0 };
	struct vd_chain *c = open_it(s, what, sticky);
	u64 pos, len;
	int ret;

	prepare(s, c, &unit, sticky);
	for (pos = 0; pos < s->size; pos += len) {
		len = min_t(u64, PIECE, s->size - pos);
		memset(buf, 0x5a, len);
		ret = vd_read(c, &unit, pos, buf, (u32)len);
		if (ret) {
			clean(what, ret, "read");
			if (sticky)
				disarm(s);
			memset(buf, 0x5a, len);
			ret = vd_read(c, &unit, pos, buf, (u32)len);
			if (ret)
				fail_msg("%s: second read at %llu: %d", s->name,
					 (unsigned long long)pos, ret);
		}
		ut_same(buf, s->want + pos, pos, len, s->name);
	}
	vd_unit_release(&unit);
	vd_chain_close(c);
}

static void loop(void (*make)(struct subject *s))
{
	u8 *buf = ut_xalloc(PIECE);
	struct subject s;
	int what, sticky;
	long i;

	memset(&s, 0, sizeof(s));
	make(&s);
	for (what = FAIL_READ; what <= FAIL_ALLOC; what++) {
		for (sticky = 0; sticky < 2; sticky++) {
			bool hit = true;

			for (i = 1; hit; i++) {
				arm(&s, (enum what)what, i, sticky);
				run(&s, (enum what)what, sticky, buf);
				hit = reached(&s, (enum what)what);
				disarm(&s);
				runs++;
			}
			/* It opened files and used memory, so something was there to fail. */
			assert_true(i > 2);
		}
	}
	ut_set_free(&s.set);
	free(s.want);
	free(buf);
}

#define SUBJECT(name) static void loop_##name(void **state) { loop(name); }
SUBJECT(sparse)
SUBJECT(sparse_cut)
SUBJECT(stream)
SUBJECT(stream_front)
SUBJECT(cowd)
SUBJECT(sesparse)
SUBJECT(flat)
SUBJECT(split)
SUBJECT(chain)
SUBJECT(vdi)
SUBJECT(vdi_old)
SUBJECT(vdi_chain)

/* --- raw, written: a failed request leaves each sector old or new, all others alone --- */

enum { RAW_SIZE = 64 * 1024, REQ_POS = 7 * 512, REQ_LEN = 100 * 512 };

static void write_run(struct ut_set *set, struct vd_fault *fault, int op, bool sticky, long i,
		      bool *hit)
{
	u8 *old = ut_xalloc(RAW_SIZE), *new = ut_xalloc(REQ_LEN), *buf = ut_xalloc(RAW_SIZE);
	struct vd_chain *c;
	u64 pos;
	int ret, at;

	*fault = (struct vd_fault){ .countdown = -1, .error = EIO };
	c = ut_open(set);
	ut_pattern(old, RAW_SIZE, 0, (u64)i);
	assert_int_equal(vd_write(c, 0, old, RAW_SIZE), 0);
	if (!op)
		ut_pattern(new, REQ_LEN, REQ_POS, 77);
	fault->countdown = i;
	fault->sticky = sticky;
	for (at = 0; at < 2; at++) {
		ret = op == 0 ? vd_write(c, REQ_POS, new, REQ_LEN) :
		      op == 1 ? vd_discard(c, REQ_POS, REQ_LEN) :
				vd_write_zeroes(c, REQ_POS, REQ_LEN, false);
		if (!ret)
			ret = vd_flush(c);
		if (!ret)
			break;
		assert_int_equal(ret, -EIO);
		/* A flush that failed may have lost what was acknowledged: for good. */
		if (vd_failed(c))
			break;
		*fault = (struct vd_fault){ .countdown = -1, .fired = fault->fired };
		assert_int_equal(vd_read(c, NULL, 0, buf, RAW_SIZE), 0);
		for (pos = 0; pos < RAW_SIZE; pos += 512) {
			bool in = pos >= REQ_POS && pos < REQ_POS + REQ_LEN;

			if (memcmp(buf + pos, old + pos, 512) &&
			    !(in && !memcmp(buf + pos, new + pos - REQ_POS, 512)))
				fail_msg("op %d, fault %ld: third content at %d", op, i, (int)pos);
		}
	}
	*hit = fault->fired > 0;
	*fault = (struct vd_fault){ .countdown = -1 };
	if (vd_failed(c)) {
		assert_true(*hit);
		assert_int_equal(vd_write(c, REQ_POS, new, REQ_LEN), -EIO);
		assert_int_equal(vd_flush(c), -EIO);
	} else {
		assert_int_equal(ret, 0);
	}
	memcpy(old + REQ_POS, new, REQ_LEN);
	assert_int_equal(vd_read(c, NULL, 0, buf, RAW_SIZE), 0);
	ut_same(buf, old, 0, RAW_SIZE, "after the second try");
	vd_chain_close(c);
	free(old);
	free(new);
	free(buf);
	runs++;
}

static void loop_raw_writes(void **state)
{
	struct vd_fault fault = { .countdown = -1 };
	u8 *zeros = ut_xalloc(RAW_SIZE);
	struct ut_set set = { 0 };
	int op, sticky, part;
	bool hit;
	long i;

	ut_set_image(&set, VDISK_FORMAT_RAW, RAW_SIZE);
	for (part = 0; part < 4; part++) {
		ut_set_mem(&set, zeros, RAW_SIZE / 4, true);
		ut_set_seg(&set, VDISK_SEG_RAW, (u32)part, (u64)part * RAW_SIZE / 4, RAW_SIZE / 4,
			   0);
	}
	ut_set_fault(&set, &fault);
	for (op = 0; op < 3; op++) {
		for (sticky = 0; sticky < 2; sticky++) {
			for (i = 1, hit = true; hit; i++)
				write_run(&set, &fault, op, sticky, i, &hit);
			assert_true(i > 3);
		}
	}
	ut_set_free(&set);
	free(zeros);
}

static int report(void **state)
{
	print_message("# anomaly: %lu runs\n", runs);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loop_sparse),
		cmocka_unit_test(loop_sparse_cut),
		cmocka_unit_test(loop_stream),
		cmocka_unit_test(loop_stream_front),
		cmocka_unit_test(loop_cowd),
		cmocka_unit_test(loop_sesparse),
		cmocka_unit_test(loop_flat),
		cmocka_unit_test(loop_split),
		cmocka_unit_test(loop_chain),
		cmocka_unit_test(loop_vdi),
		cmocka_unit_test(loop_vdi_old),
		cmocka_unit_test(loop_vdi_chain),
		cmocka_unit_test(loop_raw_writes),
	};

	return cmocka_run_group_tests_name("anomaly", tests, NULL, report);
}
