// SPDX-License-Identifier: GPL-2.0-only
/*
 * Allocating writes to VDI against a shadow: random requests to every kind that can be
 * written, alone and over parents, with what the file must look like afterwards.
 */
#include "img-vdi.h"
#include "vdisk/alloc.h"

#define ROUNDS	400
#define MAX_REQ	120	/* sectors */

/**
 * struct subject - a chain to write to
 * @v: how its top was made, and the bytes that it had
 * @disks: what its images hold at first, the top first
 * @device: the file cannot grow
 */
struct subject {
	struct ut_set set;
	struct img_vdi v;
	struct ut_disk *disks[3];
	unsigned int nr_disks;
	u8 *shadow;
	u64 size;
	struct vd_chain *chain;
	u32 meta_blocks;
	bool device;
};

static void top(struct subject *s, struct ut_disk *d, struct img_vdi v)
{
	memset(s, 0, sizeof(*s));
	img_vdi_write(&v, d);
	s->v = v;
	s->disks[s->nr_disks++] = d;
	img_vdi_add(&s->set, &s->v, d->size, true);
}

static void below(struct subject *s, struct ut_disk *d, struct img_vdi v)
{
	img_vdi_write(&v, d);
	img_vdi_add(&s->set, &v, d->size, false);
	ut_buf_free(&v.buf);
	s->disks[s->nr_disks++] = d;
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
	s->set.files[0]->fixed = s->device;
	desc = ut_set_desc(&s->set);
	desc.meta_blocks = s->meta_blocks;
	desc.grow_chunk = 65536;
	if (vd_chain_open(&desc, &s->chain, &err))
		fail_msg("open: %s", err.text);
}

/* Nothing but the counter, the map and slots has changed; @ended: and all is in order. */
static struct img_vdi_look look(struct subject *s, bool ended)
{
	const struct img_vdi *v = &s->v;
	struct img_vdi_look l;
	const u8 *file;
	size_t len;
	u64 end;

	file = vd_ufile_mem_data(s->set.files[0], &len);
	l = img_vdi_look(v, file, len);
	ut_same(file, v->buf.data, 0, IMG_VDI_COUNT, "header");
	ut_same(file + IMG_VDI_COUNT + 4, v->buf.data + IMG_VDI_COUNT + 4, IMG_VDI_COUNT + 4,
		v->map_pos - IMG_VDI_COUNT - 4, "header behind the counter");
	end = v->map_pos + 4 * v->blocks;
	ut_same(file + end, v->buf.data + end, end, v->data_pos - end, "behind the map");
	if (!ended)
		return l;
	end = v->data_pos + l.high * v->slot;
	assert_true(l.counter == l.high);
	if (s->device)
		assert_true(len == v->buf.len);
	else if (v->cut_last)
		assert_true(len <= end && len > end - v->slot);
	else
		assert_true(len == end);
	return l;
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

/* On a device freed slots come back with a commit: until then it may be full. */
static int retry(struct subject *s, int ret)
{
	if (ret != -ENOSPC || !s->device)
		assert_int_equal(ret, 0);
	if (ret)
		assert_int_equal(vd_flush(s->chain), 0);
	return ret;
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
		if (retry(s, vd_write_zeroes(s->chain, pos, len, unmap)))
			assert_int_equal(vd_write_zeroes(s->chain, pos, len, unmap), 0);
		break;
	case 2:
		assert_int_equal(vd_flush(s->chain), 0);
		look(s, false);
		break;
	case 3:
		if (!ut_below(rng, 8))
			assert_int_equal(vd_end_write(s->chain), 0);
		break;
	default:
		ut_pattern(buf, len, pos, 1000 + i);
		memcpy(s->shadow + pos, buf, len);
		if (retry(s, vd_write(s->chain, pos, buf, (u32)len)))
			assert_int_equal(vd_write(s->chain, pos, buf, (u32)len), 0);
	}
	assert_int_equal(vd_read(s->chain, NULL, pos, buf, (u32)len), 0);
	ut_same(buf, s->shadow + pos, pos, len, "read after a change");
}

static void finish(struct subject *s)
{
	u32 i;

	assert_int_equal(vd_end_write(s->chain), 0);
	ut_check(s->chain, s->shadow, s->size);
	reopen(s);
	ut_check(s->chain, s->shadow, s->size);
	vd_chain_close(s->chain);
	for (i = 0; i < s->nr_disks; i++)
		ut_disk_free(s->disks[i]);
	ut_set_free(&s->set);
	ut_buf_free(&s->v.buf);
	free(s->shadow);
}

static void work(struct subject *s, u64 seed, u32 meta_blocks)
{
	struct ut_rng rng = { seed };
	u8 *buf = ut_xalloc(MAX_REQ * 512);
	u64 i;

	s->size = s->disks[0]->size;
	s->shadow = ut_flatten(s->disks, s->nr_disks);
	s->meta_blocks = meta_blocks;
	reopen(s);
	for (i = 0; i < ROUNDS; i++) {
		one_round(s, &rng, buf, i);
		if (i % 100 == 99)
			ut_check_reads(s->chain, s->shadow, 20, i);
		if (i % 130 == 129) {
			assert_int_equal(vd_end_write(s->chain), 0);
			look(s, true);
			reopen(s);
		}
	}
	free(buf);
	finish(s);
}

/* --- kinds --- */

#define V(...) ((struct img_vdi){ .seed = seed, __VA_ARGS__ })

static void dynamic(void **state)
{
	struct subject s;
	u64 seed;

	for (seed = 1; seed <= 12; seed++) {
		u64 size = 900 * UT_KIB + (seed % 2) * 1536;
		u64 grain = 512 << seed % 6;

		top(&s, ut_disk_random(size, grain, seed, true), V(.map_pos = 512));
		work(&s, seed, seed % 2 ? 48 : 0);
		top(&s, ut_disk_random(size, grain, seed, true),
		    V(.header_bytes = 384, .map_pos = 65536, .data_pos = 131072));
		work(&s, seed + 100, 0);
	}
}

/* Slots that are nobody's hold old data: none of it comes to light. */
static void holes(void **state)
{
	struct subject s;
	u64 seed;

	for (seed = 20; seed < 28; seed++) {
		top(&s, ut_disk_random(500 * UT_KIB + 512, 4096 << seed % 3, seed, true),
		    V(.holes = 1 + seed % 7));
		work(&s, seed, 0);
	}
}

static void counters(void **state)
{
	static const s32 lies[] = { -1, -20, 1, 1000, 0x7fffff00 };
	struct subject s;
	u64 seed;

	for (seed = 30; seed < 35; seed++) {
		top(&s, ut_disk_random(500 * UT_KIB, 8192, seed, true),
		    V(.holes = seed % 2, .lie = lies[seed - 30]));
		work(&s, seed, 0);
	}
}

static void cut_slot(void **state)
{
	struct ut_disk *d;
	struct subject s;
	u64 seed;

	for (seed = 40; seed < 44; seed++) {
		d = ut_disk_random(300 * UT_KIB + 512, 8192, seed, false);
		ut_disk_set(d, d->nr - 1, UT_DATA, 2);
		top(&s, d, (struct img_vdi){ .cut_last = true });
		work(&s, seed, 0);
	}
}

/* What is fixed stays so: whoever has a slot keeps it. */
static void fixed(void **state)
{
	struct subject s;
	u64 seed, b;

	for (seed = 50; seed < 54; seed++) {
		top(&s, ut_disk_random(500 * UT_KIB, 8192, seed, seed % 2),
		    V(.type = IMG_VDI_FIXED));
		work(&s, seed, 0);
		top(&s, ut_disk_random(500 * UT_KIB, 8192, seed, seed % 2),
		    V(.type = IMG_VDI_FIXED));
		s.size = s.disks[0]->size;
		s.shadow = ut_xalloc(s.size);
		reopen(&s);
		assert_int_equal(vd_discard(s.chain, 0, s.size), 0);
		assert_int_equal(vd_write_zeroes(s.chain, 0, s.size, true), 0);
		assert_int_equal(vd_end_write(s.chain), 0);
		for (b = 0; b < s.v.blocks; b++) {
			const u8 *file;
			size_t len;

			file = vd_ufile_mem_data(s.set.files[0], &len);
			assert_true(len == s.v.buf.len);
			assert_int_equal(get_unaligned_le32(file + img_vdi_entry(&s.v, b)),
					 img_vdi_get(&s.v, b));
		}
		finish(&s);
	}
}

/* Never grows, and what is free holds somebody's old data. */
static void device(void **state)
{
	struct subject s;
	u64 seed, used;

	for (seed = 60; seed < 64; seed++) {
		struct ut_disk *d = ut_disk_random(300 * UT_KIB, 4096, seed, true);
		struct img_vdi v = V(.holes = 2);

		memset(&s, 0, sizeof(s));
		img_vdi_write(&v, d);
		used = v.buf.len;
		ut_buf_size(&v.buf, v.data_pos + (d->nr + 3) * 4096 + 512);
		ut_pattern(v.buf.data + used, v.buf.len - used, 2, seed);
		s.v = v;
		s.device = true;
		s.disks[s.nr_disks++] = d;
		img_vdi_add(&s.set, &v, d->size, true);
		work(&s, seed, 0);
	}
}

/* A differencing image over one, over a fixed one; parents end early or late. */
static void chains(void **state)
{
	struct subject s;
	u64 seed;

	for (seed = 70; seed < 82; seed++) {
		u64 size = 500 * UT_KIB + seed % 2 * 512;
		u64 parent = seed % 3 ? size : seed % 2 ? size / 1024 * 512 : size + 8192;

		top(&s, ut_disk_random(size, 8192, seed, true),
		    V(.type = IMG_VDI_DIFF, .holes = seed % 4));
		below(&s, ut_disk_random(parent, 2048, seed + 1, true), V(.type = IMG_VDI_DIFF));
		below(&s, ut_disk_random(size, 65536, seed + 2, true), V(.type = IMG_VDI_FIXED));
		work(&s, seed, seed % 2 ? 48 : 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dynamic),
		cmocka_unit_test(holes),
		cmocka_unit_test(counters),
		cmocka_unit_test(cut_slot),
		cmocka_unit_test(fixed),
		cmocka_unit_test(device),
		cmocka_unit_test(chains),
	};

	return cmocka_run_group_tests_name("vdi-write", tests, NULL, NULL);
}
