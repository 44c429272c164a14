// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the check says of each thing that is wrong, word by word: two rules may
 * find the same image bad, and only one of them says why.
 */
#include "../../../formats-common/vmdk/check-space.h"
#include "ck-spoil.h"
#include "ut-far.h"

#define TEXTS	24

static struct {
	char text[TEXTS][VD_ERROR_TEXT];
	u32 nr;
} said;

static void listen(void *ctx, enum vd_finding kind, const char *text)
{
	ck_sentence(ctx, kind, text);
	if (said.nr < TEXTS)
		snprintf(said.text[said.nr++], VD_ERROR_TEXT, "%s", text);
}

static void heard(const char *text)
{
	u32 i;

	for (i = 0; i < said.nr; i++)
		if (strstr(said.text[i], text))
			return;
	fail_msg("nothing says \"%s\", but \"%s\"", text, said.nr ? said.text[0] : "nothing");
}

static int check_file(struct vd_file *file, u32 kind, u64 len, u32 flags, struct vd_check *c,
		      struct vd_error *err)
{
	memset(&said, 0, sizeof(said));
	memset(err, 0, sizeof(*err));
	memset(c, 0xa5, sizeof(*c));
	c->flags = flags;
	c->report = listen;
	c->progress = NULL;
	c->changed = NULL;
	return vd_format_vmdk.user->check(file, kind, len, c, err);
}

/* A dry run over the bytes. */
static void check_buf(const struct ut_buf *b, u32 kind, u64 len, struct vd_check *c)
{
	struct vd_file *file = vd_ufile_mem(b->data, b->len, false);
	struct vd_error err;

	if (check_file(file, kind, len, 0, c, &err))
		fail_msg("check: %s", err.text);
	vd_ufile_free(file);
}

static void wrong_kind(void **state)
{
	static const u32 kinds[] = {
		VDISK_SEG_RAW, VDISK_SEG_ZERO, VDISK_SEG_NOACCESS, VDISK_SEG_VMDK_SPARSE + 0x80,
	};
	struct vd_file *file = vd_ufile_mem(NULL, 65536, false);
	struct vd_error err;
	struct vd_check c;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		assert_int_equal(check_file(file, kinds[i], 65536, 0, &c, &err), -EINVAL);
		assert_non_null(strstr(err.text, "vmdk has no segment kind"));
	}
	vd_ufile_free(file);
}

/* --- memory --- */

/* Each allocation fails in turn: that is said, and nothing else happens. */
static void no_memory_for(struct ck *k, u32 flags, u32 least)
{
	struct vd_error err;
	struct vd_check c;
	long n;
	int ret;

	for (n = 1;; n++) {
		struct vd_file *file = vd_ufile_mem(k->buf.data, k->buf.len, true);

		ut_alloc_start(n, false);
		ret = check_file(file, k->kind, k->d->size, flags, &c, &err);
		ut_alloc_stop();
		vd_ufile_free(file);
		if (!ut_alloc.failed)
			break;
		/* The file in memory has no space then. */
		assert_true(ret == -ENOMEM || ret == -ENOSPC);
		ut_assert_sentence(&err, ret);
	}
	assert_int_equal(ret, 0);
	assert_true(n > least);
}

static void no_memory(void **state)
{
	struct img_sesparse ses = { .seed = 3 };
	struct ck k;

	ck_hosted(&k, RGD);
	spoil_twice(&k);
	no_memory_for(&k, VD_CHECK_REPAIR, 4);
	no_memory_for(&k, 0, 2);
	ck_free(&k);

	memset(&k, 0, sizeof(k));
	k.d = ut_disk_random(UT_MIB, 4096, 5, true);
	img_sesparse_write(&ses, k.d);
	k.buf = ses.buf;
	k.kind = VDISK_SEG_VMDK_SESPARSE;
	no_memory_for(&k, 0, 1);
	ck_free(&k);
}

/* The list of chunks, and then each chunk, must fit what a check may take. */
static void space_budget(void **state)
{
	struct vmdk_space s;
	u64 i, taken = 0;
	int ret = 1;

	ut_alloc_start(-1, false);
	assert_int_equal(vmdk_space_init(&s, 1ULL << 60, 0), -ENOMEM);
	assert_true(ut_alloc.bytes == 0);
	vmdk_space_release(&s);

	assert_int_equal(vmdk_space_init(&s, 1ULL << 34, 0), 0);
	for (i = 0; i < s.nr_chunks && ret == 1; i++) {
		ret = vmdk_space_claim(&s, i << s.chunk_shift);
		taken += ret == 1;
	}
	ut_alloc_stop();
	assert_int_equal(ret, -ENOMEM);
	assert_true(ut_alloc.bytes <= VMDK_CAP_CHECK_BYTES);
	assert_true(ut_alloc.bytes + 2 * s.chunk_bytes > VMDK_CAP_CHECK_BYTES);
	assert_true(vmdk_space_taken(&s, 0) && !vmdk_space_taken(&s, i << s.chunk_shift));
	vmdk_space_release(&s);
}

/* --- places that tables cannot name --- */

/* A copy would go behind 2 TiB. */
static void no_name(void **state)
{
	struct vd_error err;
	struct vd_check c;
	struct ut_far far;
	struct ck k;
	u64 size = 1ULL << 41;

	ck_hosted(&k, RGD);
	spoil_twice(&k);
	ut_far_open(&far, &k.buf, size - 65536, size);
	assert_int_equal(check_file(&far.file, k.kind, k.d->size, VD_CHECK_REPAIR, &c, &err),
			 -EFBIG);
	assert_non_null(strstr(err.text, "tables cannot name it"));
	ut_buf_free(&far.high);

	/* The last place that they can name. */
	size -= 2 * CK_GRAIN;
	ut_far_open(&far, &k.buf, size - 65536, size);
	assert_int_equal(check_file(&far.file, k.kind, k.d->size, VD_CHECK_REPAIR, &c, &err), 0);
	assert_true(far.size == size + CK_GRAIN);
	assert_int_equal(c.repaired[VD_FINDING_CORRUPT], 1);
	assert_int_equal(check_file(&far.file, k.kind, k.d->size, 0, &c, &err), 0);
	assert_int_equal(c.found[VD_FINDING_CORRUPT], 0);
	ut_buf_free(&far.high);
	ck_free(&k);
}

/*
 * A copy of a table that must be written anew, all bytes of which are the same, but
 * not 0: entries past the disk's end say anything, and the only one before names a
 * sector of the same bytes.
 */
static void table_of_ones(void **state)
{
	struct img_sparse form = { .flags = RGD, .version = 1 };
	u64 sector = 0x01010101, pos = sector * VD_SECTOR, gt, rgt;
	struct vd_error err;
	struct vd_check c;
	struct ut_far far;
	struct ck k = { .kind = VDISK_SEG_VMDK_SPARSE };

	k.d = ut_disk_new((IMG_GTES + 1) * CK_GRAIN, CK_GRAIN);
	ut_disk_set(k.d, 0, UT_DATA, 1);
	img_sparse_write(&form, k.d);
	k.buf = form.buf;
	gt = ut_get_le(&k.buf, form.gd * VD_SECTOR + 4, 4) * VD_SECTOR;
	memset(k.buf.data + gt, 1, 4 * IMG_GTES);
	ut_put32(&k.buf, form.rgd * VD_SECTOR + 4, 0);
	ut_far_open(&far, &k.buf, pos, pos + CK_GRAIN);
	assert_int_equal(check_file(&far.file, k.kind, k.d->size, VD_CHECK_REPAIR, &c, &err), 0);
	rgt = ut_get_le(&k.buf, form.rgd * VD_SECTOR + 4, 4) * VD_SECTOR;
	assert_true(rgt >= pos + CK_GRAIN);
	assert_true(ut_get_le(&far.high, rgt - pos, 4) == sector);
	ut_buf_free(&far.high);
	ck_free(&k);
}

/* --- two copies --- */

/* One says zeros and the other nonsense: zeros it is, not a hole that shows a parent. */
static void zero_or_nonsense(void **state)
{
	struct vd_check c;
	struct ck k;
	u64 g, h;

	ck_hosted(&k, ZEROED);
	g = ck_nth(&k, UT_ZERO, 4);
	h = ck_nth(&k, UT_ZERO, 5);
	ck_put(&k, 0, g, PAST);
	ck_put(&k, 1, h, PAST);
	assert_int_equal(ck_run(&k, VD_CHECK_REPAIR, &c, NULL), 0);
	ck_expect(&c, "zero or nonsense", 0, 0, 2);
	assert_int_equal(ck_get(&k, 0, g), 1);
	assert_int_equal(ck_get(&k, 1, g), 1);
	assert_int_equal(ck_get(&k, 0, h), 1);
	assert_int_equal(ck_get(&k, 1, h), 1);
	ck_free(&k);
}

/* --- compressed grains --- */

static void stream(struct img_stream *st, struct ck *k)
{
	memset(k, 0, sizeof(*k));
	st->level = 6;
	k->d = ut_disk_new(8 * 65536, 65536);
	ut_disk_set(k->d, 0, UT_DATA, 1);
	ut_disk_set(k->d, 2, UT_DATA, 1);
	img_stream_write(st, k->d);
	k->buf = st->s.buf;
	k->kind = VDISK_SEG_VMDK_SPARSE;
	k->gd = st->s.gd * VD_SECTOR;
	k->gtes = IMG_GTES;
}

static void packed(void **state)
{
	struct img_stream front = { 0 }, back = { .tail_dir = true };
	struct vd_check c;
	struct ck k;
	u64 at;

	/* The file ends inside the last grain, which counts as none. */
	stream(&front, &k);
	ut_buf_size(&k.buf, k.buf.len - VD_SECTOR);
	check_buf(&k.buf, k.kind, k.d->size, &c);
	ck_expect(&c, "cut", 0, 0, 1);
	heard("ends past the file's");
	assert_int_equal(c.used_units, 1);
	ck_free(&k);

	/* No bytes, or too many. */
	front = (struct img_stream) { 0 };
	stream(&front, &k);
	at = (u64)ck_get(&k, 0, 2) * VD_SECTOR;
	ut_put32(&k.buf, at + 8, 0);
	check_buf(&k.buf, k.kind, k.d->size, &c);
	heard("has 0 bytes, legal is 1 to");
	assert_int_equal(c.used_units, 1);
	ck_free(&k);

	/* The last grain says that it goes on where the table is. */
	stream(&back, &k);
	at = (u64)ck_get(&k, 0, 2) * VD_SECTOR;
	ut_put32(&k.buf, at + 8, (u32)(ut_get_le(&k.buf, k.gd, 4) * VD_SECTOR - at));
	check_buf(&k.buf, k.kind, k.d->size, &c);
	ck_expect(&c, "grain over a table", 0, 0, 1);
	heard("where another grain is");
	assert_int_equal(c.used_units, 1);
	ck_free(&k);
}

/* --- SESparse --- */

struct ses {
	struct img_sesparse form;
	struct ut_disk *d;
	u64 gd, gt;
};

static void sesparse(struct ses *s)
{
	memset(s, 0, sizeof(*s));
	s->d = ut_disk_new(16 * 4096, 4096);
	ut_disk_set(s->d, 0, UT_DATA, 1);
	ut_disk_set(s->d, 2, UT_DATA, 1);
	img_sesparse_write(&s->form, s->d);
	s->gd = s->form.gd * VD_SECTOR;
	s->gt = s->form.gt * VD_SECTOR;
}

static void ses_check(struct ses *s, u64 used, const char *text)
{
	struct vd_check c;

	check_buf(&s->form.buf, VDISK_SEG_VMDK_SESPARSE, s->d->size, &c);
	ck_expect(&c, "sesparse", 0, 0, 1);
	heard(text);
	assert_int_equal(c.used_units, used);
	ut_buf_free(&s->form.buf);
	ut_disk_free(s->d);
}

static void sesparse_entries(void **state)
{
	struct ses s;

	/* The area has only two, numbers 0 and 1. */
	sesparse(&s);
	ut_put64(&s.form.buf, s.gt + 16, img_se_gte(2));
	ses_check(&s, 1, "is number 2 in the file, legal is below 2");
	/* It ends past the file. */
	sesparse(&s);
	ut_buf_size(&s.form.buf, s.form.buf.len - 4096);
	ses_check(&s, 1, "is number 1 in the file, legal is below 2 (file ends");
	/* A directory entry of another kind, and one past the tables. */
	sesparse(&s);
	ut_put64(&s.form.buf, s.gd, 0x20000000ULL << 32);
	ses_check(&s, 0, "legal is 0 or 0x10000000 and a table below 1");
	sesparse(&s);
	ut_put64(&s.form.buf, s.gd, 0x10000000ULL << 32 | 1);
	ses_check(&s, 0, "legal is 0 or 0x10000000 and a table below 1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_kind),
		cmocka_unit_test(no_memory),
		cmocka_unit_test(space_budget),
		cmocka_unit_test(no_name),
		cmocka_unit_test(table_of_ones),
		cmocka_unit_test(zero_or_nonsense),
		cmocka_unit_test(packed),
		cmocka_unit_test(sesparse_entries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
