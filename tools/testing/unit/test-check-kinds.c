// SPDX-License-Identifier: GPL-2.0-only
/*
 * Check of the other kinds of extents (COWD, compressed, SESparse, flat), of
 * sizes that lie, and of extents that were damaged by chance.
 */
#include "ut-check.h"

#define PAST	0x7fffff00U

/* --- COWD --- */

static void cowd_clean(void **state)
{
	struct vd_check c;
	struct ck k;

	ck_cowd(&k);
	assert_int_equal(ck_run(&k, 0, &c, NULL), 0);
	ck_expect(&c, "cowd", 0, 0, 0);
	assert_true(c.units == k.d->nr && c.end == k.buf.len);
	/* By its magic, whatever the descriptor calls it. */
	k.kind = VDISK_SEG_VMDK_SPARSE;
	assert_int_equal(ck_run(&k, 0, &c, NULL), 0);
	ck_expect(&c, "cowd as sparse", 0, 0, 0);
	ck_free(&k);
}

static void cowd_lose_table(struct ck *k, u64 t)
{
	u64 g;

	for (g = t * k->gtes; g < min_t(u64, k->d->nr, (t + 1) * k->gtes); g++)
		ut_disk_set(k->d, g, UT_ABSENT, 0);
}

static void cowd_mark(struct ck *k)
{
	ut_put32(&k->buf, 1648, 1);
}

static void cowd_cursor(struct ck *k)
{
	ut_put32(&k->buf, 28, (u32)(k->buf.len / VD_SECTOR) - 1);
}

static void cowd_both(struct ck *k)
{
	cowd_mark(k);
	ut_put32(&k->buf, 28, 8);
}

static void cowd_far(struct ck *k)
{
	u64 g = ck_nth(k, UT_DATA, 5);

	ck_put(k, 0, g, PAST);
	ut_disk_set(k->d, g, UT_ABSENT, 0);
}

static void cowd_twice(struct ck *k)
{
	u64 g = ck_nth(k, UT_DATA, 5), h = ck_nth(k, UT_DATA, 9);

	ck_put(k, 0, h, ck_get(k, 0, g));
	ck_show(k, h);
}

static void cowd_in_table(struct ck *k)
{
	u64 g = ck_nth(k, UT_DATA, 7);

	ck_put(k, 0, g, (u32)ut_get_le(&k->buf, ck_gde(k, 0, g), 4) + 1);
	ut_disk_set(k->d, g, UT_ABSENT, 0);
}

static void cowd_gde_far(struct ck *k)
{
	ut_put32(&k->buf, ck_gde(k, 0, 4096), PAST);
	cowd_lose_table(k, 1);
}

/* The second user of a table has none, and reads nothing of the first's. */
static void cowd_gde_twice(struct ck *k)
{
	ut_put32(&k->buf, ck_gde(k, 0, 4096), (u32)ut_get_le(&k->buf, ck_gde(k, 0, 0), 4));
	cowd_lose_table(k, 1);
}

static const struct {
	const char *name;
	void (*spoil)(struct ck *k);
	u64 unclean, corrupt;
} cowd_faults[] = {
	{ "mark", cowd_mark, 1, 0 },
	{ "cursor", cowd_cursor, 1, 0 },
	{ "mark and cursor", cowd_both, 2, 0 },
	{ "grain past the end", cowd_far, 0, 1 },
	{ "grain twice", cowd_twice, 0, 1 },
	{ "grain in a table", cowd_in_table, 0, 1 },
	{ "table past the end", cowd_gde_far, 0, 1 },
	{ "table twice", cowd_gde_twice, 0, 1 },
};

static void cowd_repair(void **state)
{
	struct ck_log log;
	struct vd_check c;
	struct ck k;
	long nth;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(cowd_faults); i++) {
		ck_cowd(&k);
		cowd_faults[i].spoil(&k);
		assert_int_equal(ck_run(&k, 0, &c, NULL), 0);
		assert_true(c.found[VD_FINDING_UNCLEAN] == cowd_faults[i].unclean);
		assert_true(c.found[VD_FINDING_CORRUPT] == cowd_faults[i].corrupt);
		for (nth = 1; ck_interrupted(&k, VD_CHECK_REPAIR, nth); nth++)
			;
		assert_int_equal(ck_run(&k, VD_CHECK_REPAIR, &c, &log), 0);
		assert_true(log.writes > 0);
		ck_content(&k);
		assert_int_equal(ck_run(&k, VD_CHECK_REPAIR, &c, &log), 0);
		assert_true(!c.found[VD_FINDING_UNCLEAN] && !c.found[VD_FINDING_CORRUPT]);
		assert_int_equal(log.writes + log.flushes, 0);
		ck_free(&k);
	}
}

/* The cursor is for a new place on a device, not for its end. */
static void cowd_device(void **state)
{
	struct vd_file *mem;
	struct vd_check c;
	const void *data;
	struct ck k;
	u64 end;

	ck_cowd(&k);
	end = k.buf.len;
	ut_buf_size(&k.buf, end + UT_MIB);
	ut_put32(&k.buf, 28, 8);
	mem = vd_ufile_mem(k.buf.data, k.buf.len, true);
	mem->fixed = true;
	assert_int_equal(ck_run_file(mem, k.kind, k.d->size, VD_CHECK_REPAIR, &c), 0);
	data = vd_ufile_mem_data(mem, NULL);
	assert_true(get_unaligned_le32((const u8 *)data + 28) == end / VD_SECTOR);
	vd_ufile_free(mem);
	ck_free(&k);
}

/* --- compressed --- */

static void stream_make(struct ck *k, struct img_stream *st, u64 size)
{
	memset(k, 0, sizeof(*k));
	k->d = ut_disk_random(size, 4096, 5, false);
	img_stream_write(st, k->d);
	k->buf = st->s.buf;
	k->kind = VDISK_SEG_VMDK_SPARSE;
	k->gd = st->s.gd * VD_SECTOR;
	k->rgd = st->s.rgd * VD_SECTOR;
	k->gtes = IMG_GTES;
}

static void stream_clean(void **state)
{
	const struct img_stream variants[] = {
		{ .footer = true, .level = 6 }, { .tail_dir = true }, { .level = 1 },
		{ .s.flags = IMG_F_RGD, .keep_empty = true }, { .no_markers = true },
		{ .full_last = true, .s.seed = 3, .footer = true, .level = 9 },
	};
	struct vd_check c;
	struct ck k;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(variants); i++) {
		struct img_stream st = variants[i];

		stream_make(&k, &st, 3 * UT_MIB + VD_SECTOR);
		assert_int_equal(ck_run(&k, 0, &c, NULL), 0);
		ck_expect(&c, "stream", 0, 0, 0);
		assert_true(c.used_units == ck_used(&k) && c.end <= k.buf.len);
		ck_free(&k);
	}
}

/* Faults are found, and whatever the caller asks for, nothing is written. */
static void stream_expect(struct ck *k, u64 unclean, u64 corrupt)
{
	struct ck_log log;
	struct vd_check c;

	assert_int_equal(ck_run(k, VD_CHECK_REPAIR, &c, &log), 0);
	ck_expect(&c, "stream", 0, unclean, corrupt);
	assert_int_equal(c.repaired[VD_FINDING_CORRUPT] + c.repaired[VD_FINDING_UNCLEAN], 0);
	assert_int_equal(log.writes + log.flushes, 0);
	ck_free(k);
}

static void stream_faults(void **state)
{
	struct img_stream st;
	struct ck k;
	u64 at, g;
	u32 i;

	for (i = 0; i < 8; i++) {
		st = (struct img_stream) { .footer = i % 2, .level = 6 };
		stream_make(&k, &st, 3 * UT_MIB + VD_SECTOR);
		g = ck_nth(&k, UT_DATA, 8 + i);
		at = (u64)ck_get(&k, 0, g) * VD_SECTOR;
		switch (i / 2) {
		case 0:
			ut_put64(&k.buf, at, g * 8 + 8);
			break;
		case 1:
			ut_put32(&k.buf, at + 8, 0);
			break;
		case 2:
			ut_put32(&k.buf, at + 8, 0x40000000);
			break;
		case 3:
			ck_put(&k, 0, g, ck_get(&k, 0, ck_nth(&k, UT_DATA, 9 + i)));
			break;
		}
		stream_expect(&k, 0, 1);
	}
	/* A size that is legal, but reaches into the next grain. */
	st = (struct img_stream) { .footer = true, .level = 6 };
	stream_make(&k, &st, 3 * UT_MIB + VD_SECTOR);
	at = (u64)ck_get(&k, 0, ck_nth(&k, UT_DATA, 30)) * VD_SECTOR;
	ut_put32(&k.buf, at + 8, (u32)ut_get_le(&k.buf, at + 8, 4) + VD_SECTOR);
	stream_expect(&k, 0, 1);
}

static void stream_tables(void **state)
{
	struct img_stream st = { .s.flags = IMG_F_RGD, .keep_empty = true, .level = 6 };
	struct ck k;

	stream_make(&k, &st, 3 * UT_MIB + VD_SECTOR);
	ck_put(&k, 0, ck_nth(&k, UT_DATA, 3), PAST);
	ck_put(&k, 1, ck_nth(&k, UT_DATA, 4), PAST);
	ut_put32(&k.buf, ck_gde(&k, 1, 600), 0);
	stream_expect(&k, 1, 2);
}

/* --- SESparse --- */

static void ses_make(struct ck *k, struct img_sesparse *s)
{
	memset(s, 0, sizeof(*s));
	memset(k, 0, sizeof(*k));
	k->d = ut_disk_random(20 * UT_MIB, 4096, 6, true);
	img_sesparse_write(s, k->d);
	k->buf = s->buf;
	k->kind = VDISK_SEG_VMDK_SESPARSE;
}

static u64 ses_gte(struct ck *k, const struct img_sesparse *s, u64 g)
{
	u64 table = ut_get_le(&k->buf, s->gd * VD_SECTOR + g / IMG_SE_GTES * 8, 8) & 0xffffffff;

	return (s->gt + table * IMG_SE_GT) * VD_SECTOR + g % IMG_SE_GTES * 8;
}

static void ses_faults(void **state)
{
	struct img_sesparse s;
	struct ck_log log;
	struct vd_check c;
	struct ck k;
	u64 g, h, gd;
	u32 i;

	for (i = 0; i < 9; i++) {
		ses_make(&k, &s);
		g = ck_nth(&k, UT_DATA, 10);
		h = ck_nth(&k, UT_DATA, 11);
		gd = s.gd * VD_SECTOR;
		switch (i) {
		case 1:
			ut_put64(&k.buf, ses_gte(&k, &s, g), 3ULL << 60 | 0xffffff);
			break;
		case 2:
			ut_put64(&k.buf, ses_gte(&k, &s, g), 5ULL << 60);
			break;
		case 3:
			ut_put64(&k.buf, ses_gte(&k, &s, g), 4096);
			break;
		case 4:
			ut_put64(&k.buf, ses_gte(&k, &s, g),
				 ut_get_le(&k.buf, ses_gte(&k, &s, h), 8));
			break;
		case 5:
			ut_put64(&k.buf, gd, 0x20000000ULL << 32);
			break;
		case 6:
			ut_put64(&k.buf, gd, 0x10000000ULL << 32 | 99);
			break;
		case 7:
			ut_put64(&k.buf, gd + 8, ut_get_le(&k.buf, gd, 8));
			break;
		case 8:
			k.d->size += 4096;
			break;
		}
		assert_int_equal(ck_run(&k, VD_CHECK_REPAIR, &c, &log), 0);
		ck_expect(&c, "sesparse", 0, 0, i ? 1 : 0);
		assert_int_equal(log.writes + log.flushes, 0);
		k.d->size -= i == 8 ? 4096 : 0;
		ck_free(&k);
	}
}

/* --- flat --- */

static void flat(void **state)
{
	struct vd_file *mem = vd_ufile_mem(NULL, 1000, false);
	struct vd_check c = { .report = ck_sentence };
	struct vd_error err = { 0 };

	assert_int_equal(vd_format_raw.user->check(mem, VDISK_SEG_RAW, 1024, &c, &err), 0);
	ck_expect(&c, "flat", 0, 0, 0);
	assert_int_equal(vd_format_raw.user->check(mem, VDISK_SEG_RAW, 1536, &c, &err), 0);
	ck_expect(&c, "flat", 0, 0, 1);
	assert_int_equal(c.repaired[VD_FINDING_CORRUPT], 0);
	vd_ufile_free(mem);
}

/* --- overlaps --- */

/* Places at random, taken in order by who comes first: the simple way to count them. */
static u64 take_in_order(struct ck *k, struct ut_rng *rng, u64 grain, u64 sectors)
{
	u32 *taken = ut_xalloc(k->d->nr * sizeof(*taken));
	u64 g, i, n = 0;
	u32 at;

	for (g = 0; g < k->d->nr; g++) {
		at = (u32)(k->data / VD_SECTOR + ut_below(rng, sectors));
		ck_put_both(k, g, at);
		for (i = 0; i < n; i++) {
			if (at < taken[i] + grain && taken[i] < at + grain)
				break;
		}
		if (i == n)
			taken[n++] = at;
	}
	free(taken);
	return n;
}

static void overlaps(void **state)
{
	static const u64 grains[] = { 1, 2, 8, 128, 256, 1024 };
	struct ut_rng rng = { 99 };
	struct vd_check c;
	u64 want, sectors;
	u32 i, round;

	for (i = 0; i < ARRAY_SIZE(grains); i++) {
		struct img_sparse s = { .flags = IMG_F_RGD };
		struct ck k = { .kind = VDISK_SEG_VMDK_SPARSE, .gtes = IMG_GTES };

		k.d = ut_disk_new(24 * grains[i] * VD_SECTOR, grains[i] * VD_SECTOR);
		img_sparse_write(&s, k.d);
		k.buf = s.buf;
		k.gd = s.gd * VD_SECTOR;
		k.rgd = s.rgd * VD_SECTOR;
		k.data = s.overhead * VD_SECTOR;
		sectors = 40 * grains[i];
		ut_buf_size(&k.buf, k.data + sectors * VD_SECTOR);
		for (round = 0; round < 100; round++) {
			want = take_in_order(&k, &rng, grains[i], sectors);
			assert_int_equal(ck_run(&k, 0, &c, NULL), 0);
			assert_true(c.used_units == want);
			assert_true(c.found[VD_FINDING_CORRUPT] == k.d->nr - want);
		}
		ck_free(&k);
	}
}

/* --- sizes that lie --- */

/* A file of which only the first bytes are there; the rest reads as a pattern. */
struct huge {
	struct vd_file file;
	const struct ut_buf *head;
	u8 rest;
};

static s64 huge_read(struct vd_file *file, u64 pos, void *buf, u32 len)
{
	struct huge *h = container_of(file, struct huge, file);

	memset(buf, h->rest, len);
	if (pos < h->head->len)
		memcpy(buf, h->head->data + pos, min_t(u64, len, h->head->len - pos));
	return len;
}

static int huge_size(struct vd_file *file, u64 *size)
{
	*size = file->size;
	return 0;
}

static const struct vd_file_ops huge_ops = { .read = huge_read, .size = huge_size };

/* As much directory as the caps allow, in files of exabytes, with noise for tables. */
static void memory_is_bounded(void **state)
{
	static const u64 grains[] = { 1, 2, 8, 128, 2048 };
	static const u8 rests[] = { 0, 0x11, 0xff };
	struct huge h = { .file.ops = &huge_ops };
	struct vd_error err;
	struct vd_check c;
	struct ut_buf b;
	u32 i, j;

	for (i = 0; i < ARRAY_SIZE(grains); i++) {
		struct img_sparse s = { .version = 1, .flags = 3, .rgd = 4096, .gd = 65536,
					.overhead = 1 << 20 };

		memset(&b, 0, sizeof(b));
		img_header(&b, 0, &s, min_t(u64, 1ULL << 37, grains[i] * 512 * 4096), grains[i],
			   s.gd);
		for (j = 0; j < ARRAY_SIZE(rests); j++) {
			h.head = &b;
			h.rest = rests[j];
			h.file.size = 1ULL << 61;
			memset(&err, 0, sizeof(err));
			memset(&c, 0, sizeof(c));
			ut_alloc_start(-1, false);
			vd_format_vmdk.user->check(&h.file, VDISK_SEG_VMDK_SPARSE, 0, &c, &err);
			ut_alloc_stop();
			assert_true(ut_alloc.bytes < 64 * UT_MIB);
		}
		ut_buf_free(&b);
	}
}

/* Each allocation that fails ends the check, and nothing else. */
static void no_memory(void **state)
{
	struct vd_check c;
	struct ck k;
	long n;
	int ret;

	ck_hosted(&k, IMG_F_RGD);
	for (n = 1, ret = -ENOMEM; ret; n++) {
		struct vd_file *mem = vd_ufile_mem(k.buf.data, k.buf.len, true);

		ut_alloc_start(n, true);
		ret = ck_run_file(mem, k.kind, k.d->size, VD_CHECK_REPAIR, &c);
		ut_alloc_stop();
		assert_true(!ret || ret == -ENOMEM);
		vd_ufile_free(mem);
	}
	/* Two allocations, and the one that did not fail. */
	assert_true(n <= 5);
	ck_free(&k);
}

/* --- chance --- */

static void damage(struct ck *k, struct ut_rng *rng, u64 meta)
{
	u64 n = 1 + ut_below(rng, 3), at;

	while (n--) {
		at = ut_below(rng, meta) & ~3ULL;
		switch (ut_below(rng, 4)) {
		case 0:
			ut_put32(&k->buf, at, (u32)ut_rand(rng));
			break;
		case 1:
			ut_put32(&k->buf, at, (u32)ut_below(rng, k->buf.len / VD_SECTOR + 4));
			break;
		case 2:
			ut_put32(&k->buf, at, 0);
			break;
		case 3:
			k->buf.data[at] ^= (u8)(1 << ut_below(rng, 8));
			break;
		}
	}
}

/* Reads everything: true if nothing fails; then, with @same, it is the shadow. */
static void read_all(const struct ck *k, bool same)
{
	struct vd_chain *chain;
	struct ut_set set;
	struct vd_error err;
	u8 *buf = ut_xalloc(k->d->size);

	memset(&set, 0, sizeof(set));
	ut_set_buf(&set, &k->buf);
	ut_set_image(&set, VDISK_FORMAT_VMDK, k->d->size);
	ut_set_seg(&set, k->kind, 0, 0, k->d->size, 0);
	assert_int_equal(ut_try_open(&set, &err), 0);
	chain = ut_open(&set);
	assert_int_equal(vd_read(chain, NULL, 0, buf, (u32)k->d->size), 0);
	if (same)
		ut_same(buf, k->d->data, 0, k->d->size, "clean after damage");
	vd_chain_close(chain);
	ut_set_free(&set);
	free(buf);
}

static bool sound(const struct vd_check *c)
{
	return !c->found[VD_FINDING_UNCLEAN] && !c->found[VD_FINDING_CORRUPT];
}

/*
 * @same: redundancy is enough for a clean verdict to mean the old content.
 * Returns how many of @rounds were found clean.
 */
static u32 by_chance(const struct ck *k, u64 meta, u32 rounds, bool same)
{
	struct ut_rng rng = { 4711 };
	u32 i, clean = 0;
	struct vd_check c;
	struct ck hurt;

	ck_copy(&hurt, k);
	for (i = 0; i < rounds; i++) {
		ut_put(&hurt.buf, 0, k->buf.data, k->buf.len);
		ut_buf_size(&hurt.buf, k->buf.len);
		damage(&hurt, &rng, meta);
		if (ck_run(&hurt, 0, &c, NULL))
			continue;
		if (sound(&c) && !c.found[VD_FINDING_LEAK]) {
			read_all(&hurt, same);
			clean++;
		}
		if (ck_run(&hurt, VD_CHECK_REPAIR, &c, NULL))
			continue;
		assert_int_equal(ck_run(&hurt, 0, &c, NULL), 0);
		assert_true(!c.repaired[VD_FINDING_UNCLEAN] && !c.repaired[VD_FINDING_CORRUPT]);
		if (sound(&c))
			read_all(&hurt, false);
	}
	ut_buf_free(&hurt.buf);
	return clean;
}

static struct ut_disk *small_disk(u64 size, u64 grain, bool zeros)
{
	return ut_disk_random(size, grain, 12, zeros);
}

static void chance_hosted(void **state)
{
	struct img_sparse s = { .flags = IMG_F_RGD | IMG_F_ZERO_GTE, .version = 2 };
	struct ck k = { .kind = VDISK_SEG_VMDK_SPARSE };
	u32 clean;

	k.d = small_disk(100 * UT_KIB, VD_SECTOR, true);
	img_sparse_write(&s, k.d);
	k.buf = s.buf;
	/* Padding and entries behind the disk's end may be hit: no harm. */
	clean = by_chance(&k, s.overhead * VD_SECTOR, 10000, true);
	assert_true(clean > 100 && clean < 8000);
	ck_free(&k);
}

static void chance_others(void **state)
{
	struct img_sparse one = { .flags = 0 };
	struct img_cowd cowd = { 0 };
	struct ck k = { .kind = VDISK_SEG_VMDK_SPARSE };

	k.d = small_disk(64 * UT_KIB, 1024, false);
	img_sparse_write(&one, k.d);
	k.buf = one.buf;
	by_chance(&k, one.overhead * VD_SECTOR, 2000, false);
	ut_buf_free(&k.buf);

	img_cowd_write(&cowd, k.d);
	k.buf = cowd.buf;
	k.kind = VDISK_SEG_VMDK_COWD;
	by_chance(&k, 20 * UT_KIB, 2000, false);
	ck_free(&k);
}

/* No promise about content here: that it ends, in order, is all. */
static void chance_packed(void **state)
{
	struct img_stream st = { .footer = true, .level = 1 };
	struct img_sesparse se = { 0 };
	struct ut_rng rng = { 3 };
	struct vd_check c;
	struct ck k, hurt;
	u32 i;

	stream_make(&k, &st, 64 * UT_KIB);
	ck_copy(&hurt, &k);
	for (i = 0; i < 1000; i++) {
		ut_put(&hurt.buf, 0, k.buf.data, k.buf.len);
		damage(&hurt, &rng, i % 2 ? k.buf.len : 512);
		damage(&hurt, &rng, k.buf.len);
		ck_run(&hurt, VD_CHECK_REPAIR, &c, NULL);
	}
	ut_buf_free(&hurt.buf);
	ck_free(&k);

	memset(&k, 0, sizeof(k));
	k.d = small_disk(64 * UT_KIB, 4096, true);
	img_sesparse_write(&se, k.d);
	k.buf = se.buf;
	k.kind = VDISK_SEG_VMDK_SESPARSE;
	by_chance(&k, (se.grains - 8) * VD_SECTOR, 500, false);
	ck_free(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cowd_clean),
		cmocka_unit_test(cowd_repair),
		cmocka_unit_test(cowd_device),
		cmocka_unit_test(stream_clean),
		cmocka_unit_test(stream_faults),
		cmocka_unit_test(stream_tables),
		cmocka_unit_test(ses_faults),
		cmocka_unit_test(flat),
		cmocka_unit_test(overlaps),
		cmocka_unit_test(memory_is_bounded),
		cmocka_unit_test(no_memory),
		cmocka_unit_test(chance_hosted),
		cmocka_unit_test(chance_others),
		cmocka_unit_test(chance_packed),
	};

	return cmocka_run_group_tests_name("check-kinds", tests, NULL, NULL);
}
