// SPDX-License-Identifier: GPL-2.0-only
/*
 * Allocating writes against a shadow: every kind that can be written, alone and
 * over parents, random requests, with what the files must look like afterwards.
 */
#include "img-esx.h"
#include "vdisk/alloc.h"

#define ROUNDS 500
#define MAX_REQ 120	/* sectors */

/**
 * struct subject - a chain to write to
 * @disks: what its images hold at first, the top first
 */
struct subject {
	struct ut_set set;
	struct ut_disk *disks[4];
	unsigned int nr_disks;
	u8 *shadow;
	u64 size;
	struct vd_chain *chain;
	u32 meta_blocks;
};

static void add_sparse(struct subject *s, const struct ut_disk *d, struct img_sparse form, bool rw)
{
	img_sparse_write(&form, d);
	ut_set_mem(&s->set, form.buf.data, form.buf.len, rw);
	ut_buf_free(&form.buf);
}

static void add_cowd(struct subject *s, const struct ut_disk *d, bool rw)
{
	struct img_cowd c = { .seed = 3 };

	img_cowd_write(&c, d);
	ut_set_mem(&s->set, c.buf.data, c.buf.len, rw);
	ut_buf_free(&c.buf);
}

static void one_image(struct subject *s, const struct ut_disk *d, u32 kind)
{
	ut_set_image(&s->set, VDISK_FORMAT_VMDK, d->size);
	ut_set_seg(&s->set, kind, s->set.nr_files - 1, 0, d->size, 0);
	s->disks[s->nr_disks++] = (struct ut_disk *)(uintptr_t)d;
}

static void reopen(struct subject *s)
{
	struct vd_chain_desc desc;
	struct vd_error err = { 0 };
	u32 i;

	if (s->chain)
		vd_chain_close(s->chain);
	for (i = 0; i < s->set.nr_files; i++)
		assert_int_equal(s->set.files[i]->ops->size(s->set.files[i],
							    &s->set.files[i]->size), 0);
	desc = ut_set_desc(&s->set);
	desc.meta_blocks = s->meta_blocks;
	desc.grow_chunk = 65536;
	if (vd_chain_open(&desc, &s->chain, &err))
		fail_msg("open: %s", err.text);
}

static void start(struct subject *s, u32 meta_blocks)
{
	s->size = s->disks[0]->size;
	s->shadow = ut_flatten(s->disks, s->nr_disks);
	s->meta_blocks = meta_blocks;
	s->chain = NULL;
	reopen(s);
}

/* Both copies of all tables of a hosted extent say the same. */
static void check_copies(const struct vd_file *file)
{
	struct ut_buf b = { 0 };
	u64 gd, rgd, nr, i, e;

	b.data = (u8 *)(uintptr_t)vd_ufile_mem_data(file, &b.len);
	if (memcmp(b.data, "KDMV", 4) || !(ut_get_le(&b, IMG_H_FLAGS, 4) & IMG_F_RGD))
		return;
	gd = ut_get_le(&b, IMG_H_GD, 8) * 512;
	rgd = ut_get_le(&b, IMG_H_RGD, 8) * 512;
	nr = img_div_up(ut_get_le(&b, IMG_H_CAPACITY, 8),
			ut_get_le(&b, IMG_H_GRAIN, 8) * IMG_GTES);
	for (i = 0; i < nr; i++) {
		u64 gt = ut_get_le(&b, gd + 4 * i, 4) * 512;
		u64 rgt = ut_get_le(&b, rgd + 4 * i, 4) * 512;

		assert_true(!gt == !rgt);
		for (e = 0; gt && e < IMG_GTES; e++)
			assert_true(ut_get_le(&b, gt + 4 * e, 4) ==
				    ut_get_le(&b, rgt + 4 * e, 4));
	}
}

static void finish(struct subject *s)
{
	u32 i;

	assert_int_equal(vd_end_write(s->chain), 0);
	for (i = 0; i < s->set.nr_files; i++)
		check_copies(s->set.files[i]);
	ut_check(s->chain, s->shadow, s->size);
	reopen(s);
	ut_check(s->chain, s->shadow, s->size);
	vd_chain_close(s->chain);
	for (i = 0; i < s->nr_disks; i++)
		ut_disk_free(s->disks[i]);
	ut_set_free(&s->set);
	free(s->shadow);
	memset(s, 0, sizeof(*s));
}

/* Old or zeros, sector by sector; the shadow becomes what it is. */
static void check_discarded(struct subject *s, u64 pos, u64 len, u8 *buf)
{
	u64 i;

	assert_int_equal(vd_read(s->chain, NULL, pos, buf, (u32)len), 0);
	for (i = 0; i < len; i += 512)
		if (!ut_all_zero(buf + i, 512))
			ut_same(buf + i, s->shadow + pos + i, pos + i, 512, "discarded");
	memcpy(s->shadow + pos, buf, len);
}

static void one_round(struct subject *s, struct ut_rng *rng, u8 *buf, u64 i)
{
	u64 sectors = s->size / 512, pos = ut_below(rng, sectors) * 512, len;
	bool unmap = ut_below(rng, 2);

	len = (1 + ut_below(rng, min_t(u64, MAX_REQ, sectors - pos / 512))) * 512;
	switch (ut_below(rng, 8)) {
	case 0:
		assert_int_equal(vd_discard(s->chain, pos, len), 0);
		check_discarded(s, pos, len, buf);
		break;
	case 1:
		memset(s->shadow + pos, 0, len);
		assert_int_equal(vd_write_zeroes(s->chain, pos, len, unmap), 0);
		break;
	case 2:
		assert_int_equal(vd_flush(s->chain), 0);
		break;
	case 3:
		if (!ut_below(rng, 8))
			assert_int_equal(vd_end_write(s->chain), 0);
		break;
	default:
		ut_pattern(buf, len, pos, 1000 + i);
		memcpy(s->shadow + pos, buf, len);
		assert_int_equal(vd_write(s->chain, pos, buf, (u32)len), 0);
	}
	assert_int_equal(vd_read(s->chain, NULL, pos, buf, (u32)len), 0);
	ut_same(buf, s->shadow + pos, pos, len, "read after a change");
}

static void work(struct subject *s, u64 seed, u32 meta_blocks)
{
	struct ut_rng rng = { seed };
	u8 *buf = ut_xalloc(MAX_REQ * 512);
	u64 i;

	start(s, meta_blocks);
	for (i = 0; i < ROUNDS; i++) {
		one_round(s, &rng, buf, i);
		if (i % 100 == 99)
			ut_check_reads(s->chain, s->shadow, 20, i);
		if (i % 170 == 169) {
			assert_int_equal(vd_end_write(s->chain), 0);
			reopen(s);
		}
	}
	free(buf);
	finish(s);
}

#define SPARSE(flags_, holes_) \
	((struct img_sparse){ .version = (flags_) & IMG_F_ZERO_GTE ? 2 : 1, \
			      .flags = IMG_F_NEWLINE | (flags_), .seed = seed, .holes = holes_ })

static void sparse(void **state)
{
	static const u32 flags[] = { IMG_F_RGD, 0, IMG_F_RGD | IMG_F_ZERO_GTE };
	struct subject s = { 0 };
	u64 seed;

	for (seed = 1; seed <= 12; seed++) {
		u32 f = flags[seed % 3];
		u64 size = 900 * UT_KIB + (seed % 2) * 1536;
		struct ut_disk *d = ut_disk_random(size, 4096 << seed % 3,
						   seed, f & IMG_F_ZERO_GTE);

		add_sparse(&s, d, SPARSE(f, false), true);
		one_image(&s, d, VDISK_SEG_VMDK_SPARSE);
		work(&s, seed, seed % 2 ? 48 : 0);
	}
}

/* More than one table, some of them missing. */
static void missing_tables(void **state)
{
	struct subject s = { 0 };
	u64 seed, g;

	for (seed = 20; seed < 26; seed++) {
		struct ut_disk *d = ut_disk_random(3 * 512 * 1024, 1024, seed, false);

		for (g = 512; g < d->nr; g++)
			ut_disk_set(d, g, UT_ABSENT, 0);
		add_sparse(&s, d, SPARSE(seed % 2 ? IMG_F_RGD : 0, true), true);
		one_image(&s, d, VDISK_SEG_VMDK_SPARSE);
		work(&s, seed, 0);
	}
}

static void cut_grain(void **state)
{
	struct subject s = { 0 };
	u64 seed;

	for (seed = 30; seed < 34; seed++) {
		struct ut_disk *d = ut_disk_random(300 * UT_KIB + 512, 8192, seed, false);
		struct img_sparse form = SPARSE(IMG_F_RGD, false);

		ut_disk_set(d, d->nr - 1, UT_DATA, 2);
		form.cut_last = true;
		form.seed = 0;
		add_sparse(&s, d, form, true);
		one_image(&s, d, VDISK_SEG_VMDK_SPARSE);
		work(&s, seed, 0);
	}
}

static void cowd(void **state)
{
	struct subject s = { 0 };
	u64 seed;

	for (seed = 40; seed < 48; seed++) {
		struct ut_disk *d = ut_disk_random(5 * UT_MIB + 1536, 512 << seed % 4, seed, false);

		add_cowd(&s, d, true);
		one_image(&s, d, VDISK_SEG_VMDK_COWD);
		work(&s, seed, 0);
	}
}

/* A delta over a delta over a flat parent that ends early. */
static void deltas(void **state)
{
	struct subject s = { 0 };
	struct ut_disk *d[3];
	u64 seed;

	for (seed = 50; seed < 60; seed++) {
		bool zeros = seed % 2 && seed % 3;	/* COWD knows none */
		u32 f = IMG_F_RGD | (zeros ? IMG_F_ZERO_GTE : 0);

		d[0] = ut_disk_random(700 * UT_KIB, 8192, seed, zeros);
		d[1] = ut_disk_random(700 * UT_KIB, 2048, seed + 1, false);
		d[2] = ut_disk_random(512 * UT_KIB, 4096, seed + 2, false);
		memset(d[2]->state, UT_DATA, d[2]->nr);
		if (seed % 3)
			add_sparse(&s, d[0], SPARSE(f, false), true);
		else
			add_cowd(&s, d[0], true);
		one_image(&s, d[0], seed % 3 ? VDISK_SEG_VMDK_SPARSE : VDISK_SEG_VMDK_COWD);
		add_cowd(&s, d[1], false);
		one_image(&s, d[1], VDISK_SEG_VMDK_COWD);
		ut_set_mem(&s.set, d[2]->data, d[2]->size, false);
		one_image(&s, d[2], VDISK_SEG_RAW);
		work(&s, seed, 0);
	}
}

/* Sparse, flat and sparse side by side, over a parent in one piece. */
static void split(void **state)
{
	struct subject s = { 0 };
	u64 seed, len = 160 * UT_KIB + 512;
	struct ut_disk *d[2], *part;
	u32 i;

	for (seed = 70; seed < 76; seed++) {
		d[0] = ut_disk_new(3 * len, 512);
		d[1] = ut_disk_random(3 * len, 4096, seed + 1, false);
		for (i = 0; i < 3; i++) {
			u64 g, first = i * len / 512;

			part = ut_disk_random(len, 4096, seed * 3 + i, false);
			if (i == 1) {
				memset(part->state, UT_DATA, part->nr);
				ut_set_mem(&s.set, part->data, len, true);
			} else {
				add_sparse(&s, part, SPARSE(IMG_F_RGD, false), true);
			}
			memcpy(d[0]->data + i * len, part->data, len);
			for (g = 0; g < len / 512; g++)
				d[0]->state[first + g] = part->state[g * 512 / 4096];
			ut_disk_free(part);
		}
		ut_set_image(&s.set, VDISK_FORMAT_VMDK, 3 * len);
		for (i = 0; i < 3; i++)
			ut_set_seg(&s.set, i == 1 ? VDISK_SEG_RAW : VDISK_SEG_VMDK_SPARSE, i,
				   i * len, len, 0);
		s.disks[s.nr_disks++] = d[0];
		add_sparse(&s, d[1], SPARSE(IMG_F_RGD, false), false);
		one_image(&s, d[1], VDISK_SEG_VMDK_SPARSE);
		work(&s, seed, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sparse),
		cmocka_unit_test(missing_tables),
		cmocka_unit_test(cut_grain),
		cmocka_unit_test(cowd),
		cmocka_unit_test(deltas),
		cmocka_unit_test(split),
	};

	return cmocka_run_group_tests_name("write", tests, NULL, NULL);
}
