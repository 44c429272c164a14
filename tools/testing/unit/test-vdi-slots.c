// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writing to VDI: which slot a block gets and when, what the counter says meanwhile, and
 * what becomes of blocks that are given up.
 */
#include "ut-vdi.h"

/* --- which slot --- */

/* Behind the highest in use, whatever the counter says; at the end it says what is. */
static void wrong_counter(void **state)
{
	static const s32 lies[] = { 0, -1, -8, 1, 5, 72, 100, 0x7fffff00 };
	struct vs s;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(lies); i++) {
		VS_MAKE(&s, .lie = lies[i]);
		vs_open(&s);
		vs_fill(&s, 20, 5);
		vs_fill(&s, 10, 6);
		assert_int_equal(vd_flush(s.chain), 0);
		assert_int_equal(vs_entry(&s, 20), 8);
		assert_int_equal(vs_entry(&s, 10), 9);
		assert_true(vs_counter(&s) >= 10);
		vs_content(&s);
		assert_int_equal(vd_end_write(s.chain), 0);
		assert_int_equal(vs_counter(&s), 10);
		assert_true(vs_length(&s) == s.v.data_pos + 10 * VS_GRAIN);
		vs_done(&s);
	}
}

/* Written in place: nobody has asked for the counter. */
static void in_place(void **state)
{
	struct vs s;

	VS_MAKE(&s, .lie = 3);
	vs_open(&s);
	vs_fill(&s, 3, 5);
	assert_int_equal(vd_end_write(s.chain), 0);
	assert_int_equal(vs_counter(&s), 11);
	assert_int_equal(s.changes, 1);
	assert_int_equal(vs_entry(&s, 3), 3);
	vs_content(&s);
	vs_done(&s);
}

/* It goes ahead by 32, but not past the number of blocks without need. */
static void counter_ahead(void **state)
{
	struct vs s;
	u32 i;

	VS_MAKE(&s, .seed = 0);
	vs_open(&s);
	for (i = 0; i < 33; i++) {
		vs_fill(&s, 10 + i, i);
		assert_int_equal(vd_flush(s.chain), 0);
		assert_int_equal(vs_counter(&s), 9 + 32);
	}
	vs_fill(&s, 10 + i, i);
	assert_int_equal(vd_flush(s.chain), 0);
	assert_int_equal(vs_counter(&s), 42 + 32);
	for (i = 34; i < 70; i++)
		vs_fill(&s, 10 + i, i);
	assert_int_equal(vd_flush(s.chain), 0);
	assert_int_equal(vs_counter(&s), VS_BLOCKS);
	vs_content(&s);
	assert_int_equal(vd_end_write(s.chain), 0);
	assert_int_equal(vs_counter(&s), 78);
	vs_done(&s);
}

/* With holes that are lost, slots may have higher numbers than there are blocks. */
static void above_the_blocks(void **state)
{
	struct vs s;

	VS_MAKE(&s, .seed = 0);
	img_vdi_set(&s.v, 7, VS_BLOCKS - 1);
	ut_disk_set(s.d, 7, UT_ZERO, 0);
	ut_buf_size(&s.v.buf, img_vdi_slot(&s.v, VS_BLOCKS));
	vs_open(&s);
	vs_fill(&s, 20, 5);
	/* What was told of the file's free slots is gone: as if there were none. */
	vd_space_forget(s.chain, s.seg->format->space(s.seg), img_vdi_slot(&s.v, VS_BLOCKS));
	vs_fill(&s, 21, 5);
	assert_int_equal(vd_flush(s.chain), 0);
	assert_int_equal(vs_entry(&s, 21), VS_BLOCKS);
	assert_int_equal(vs_counter(&s), VS_BLOCKS + 1);
	vs_content(&s);
	vs_done(&s);
}

/* The counter is durable before an entry names a slot that it does not count. */
static void count_first(struct vs *s, enum vd_file_op op, u64 pos, u64 len, const void *data)
{
	u32 high = 0, b;

	if (op != VD_OP_WRITE || pos < s->v.map_pos || pos >= s->v.data_pos)
		return;
	for (b = 0; b < VS_BLOCKS; b++) {
		u64 at = img_vdi_entry(&s->v, b);
		u32 slot = at >= pos && at < pos + len ?
			   get_unaligned_le32((const u8 *)data + (at - pos)) : vs_entry(s, b);

		if (slot < IMG_VDI_ZERO)
			high = max(high, slot + 1);
	}
	assert_true(vs_counter(s) >= high);
}

static void counted_first(void **state)
{
	struct vs s;
	u32 i, b;

	for (i = 0; i < 2; i++) {
		VS_MAKE(&s, .lie = i ? -8 : 0, .map_pos = i ? 8192 : 0);
		vs_open(&s);
		s.hook = count_first;
		for (b = 10; b < VS_BLOCKS; b += 3) {
			vs_fill(&s, b, b);
			if (b % 2)
				assert_int_equal(vd_flush(s.chain), 0);
		}
		assert_int_equal(vd_end_write(s.chain), 0);
		vs_done(&s);
	}
}

/* Lowest first, and the file does not grow. */
static void holes_again(void **state)
{
	struct vs s;
	u32 slot[8], i, n = 0;
	bool taken[14] = { 0 };

	VS_MAKE(&s, .seed = 9, .holes = 5);
	for (i = 0; i < 8; i++)
		taken[img_vdi_get(&s.v, i)] = true;
	for (i = 0; i < 13; i++)
		if (!taken[i])
			slot[n++] = i;
	assert_int_equal(n, 5);
	slot[5] = 13;
	vs_open(&s);
	for (i = 0; i < 6; i++)
		vs_fill(&s, 20 + i, i);
	assert_int_equal(vd_flush(s.chain), 0);
	for (i = 0; i < 6; i++)
		assert_int_equal(vs_entry(&s, 20 + i), slot[i]);
	vs_content(&s);
	assert_int_equal(vd_end_write(s.chain), 0);
	assert_int_equal(vs_counter(&s), 14);
	vs_done(&s);
}

/* A slot that the map on disk still shows belongs to nobody else. */
static void reuse(void **state)
{
	struct vs s;
	u64 b;

	VS_MAKE(&s, .seed = 0);
	vs_open(&s);
	assert_int_equal(vd_discard(s.chain, 2 * VS_GRAIN, VS_GRAIN), 0);
	ut_disk_set(s.d, 2, UT_ZERO, 0);
	vs_fill(&s, 20, 1);
	assert_int_equal(vs_entry(&s, 2), 2);
	assert_int_equal(vd_flush(s.chain), 0);
	assert_int_equal(vs_entry(&s, 20), 8);
	assert_int_equal(vs_entry(&s, 2), IMG_VDI_ZERO);
	/* Space went back at once: it reads as zeros. */
	b = img_vdi_slot(&s.v, 2);
	assert_true(ut_all_zero(vs_at(&s, b), VS_GRAIN));
	vs_fill(&s, 21, 2);
	assert_int_equal(vd_flush(s.chain), 0);
	assert_int_equal(vs_entry(&s, 21), 2);
	vs_content(&s);
	vs_done(&s);
}

/* Whoever entered before the slot was freed may be about to read it. */
static void reuse_after_readers(void **state)
{
	struct vs s;
	unsigned int cookie;

	VS_MAKE(&s, .seed = 0);
	vs_open(&s);
	vs_fill(&s, 19, 1);
	cookie = vd_io_enter(s.chain);
	assert_int_equal(vd_discard(s.chain, 2 * VS_GRAIN, VS_GRAIN), 0);
	ut_disk_set(s.d, 2, UT_ZERO, 0);
	assert_int_equal(vd_flush(s.chain), 0);
	vs_fill(&s, 20, 1);
	assert_int_equal(vd_flush(s.chain), 0);
	vs_fill(&s, 21, 1);
	assert_int_equal(vd_flush(s.chain), 0);
	assert_int_equal(vs_entry(&s, 20), 9);
	assert_int_equal(vs_entry(&s, 21), 10);
	vd_io_leave(s.chain, cookie);
	assert_int_equal(vd_flush(s.chain), 0);
	vs_fill(&s, 22, 1);
	assert_int_equal(vd_flush(s.chain), 0);
	assert_int_equal(vs_entry(&s, 22), 2);
	vs_content(&s);
	vs_done(&s);
}

/* All blocks have slots, and so many are what VirtualBox takes. */
static void make_full(struct vs *s, u64 blocks)
{
	u64 b;

	VS_MAKE(s, .seed = 0);
	vs_open(s);
	for (b = 8; b < blocks; b++)
		vs_fill(s, b, 1);
	assert_int_equal(vd_flush(s->chain), 0);
}

static u32 highest(struct vs *s)
{
	u32 b, high = 0;

	for (b = 0; b < VS_BLOCKS; b++)
		if (vs_entry(s, b) < IMG_VDI_ZERO)
			high = max(high, vs_entry(s, b));
	return high;
}

/* Given up and written again, one or many at a time, it stays within its slots. */
static void reuse_on_a_full_disk(void **state)
{
	static const u64 runs[] = { 1, 3, 11, VS_BLOCKS };
	struct vs s;
	u64 i, b;

	make_full(&s, VS_BLOCKS);
	for (i = 0; i < ARRAY_SIZE(runs); i++) {
		assert_int_equal(vd_discard(s.chain, 0, runs[i] * VS_GRAIN), 0);
		for (b = 0; b < runs[i]; b++)
			ut_disk_set(s.d, b, UT_DATA, 100 + i);
		assert_int_equal(vd_write(s.chain, 0, s.d->data, (u32)(runs[i] * VS_GRAIN)), 0);
		assert_int_equal(vd_flush(s.chain), 0);
		assert_int_equal(highest(&s), VS_BLOCKS - 1);
		vs_content(&s);
	}
	assert_int_equal(vd_end_write(s.chain), 0);
	assert_int_equal(vs_counter(&s), VS_BLOCKS);
	vs_done(&s);
}

/* Nor does a run begin within them and end outside. */
static void reuse_on_a_nearly_full_disk(void **state)
{
	u64 b = VS_BLOCKS - 2;
	struct vs s;

	make_full(&s, VS_BLOCKS - 1);
	assert_int_equal(vd_discard(s.chain, b * VS_GRAIN, VS_GRAIN), 0);
	ut_disk_set(s.d, b, UT_DATA, 7);
	ut_disk_set(s.d, b + 1, UT_DATA, 7);
	assert_int_equal(vd_write(s.chain, b * VS_GRAIN, s.d->data + b * VS_GRAIN, 2 * VS_GRAIN),
			 0);
	assert_int_equal(vd_flush(s.chain), 0);
	assert_int_equal(vs_entry(&s, (u32)b), b + 1);
	assert_int_equal(vs_entry(&s, (u32)b + 1), b);
	vs_content(&s);
	vs_done(&s);
}

/* But nobody waits for a reader that goes on and on. */
static void full_with_readers(void **state)
{
	unsigned int cookie;
	struct vs s;

	make_full(&s, VS_BLOCKS);
	cookie = vd_io_enter(s.chain);
	assert_int_equal(vd_discard(s.chain, 5 * VS_GRAIN, VS_GRAIN), 0);
	vs_fill(&s, 5, 9);
	assert_int_equal(vd_flush(s.chain), 0);
	assert_int_equal(vs_entry(&s, 5), VS_BLOCKS);
	vs_content(&s);
	vd_io_leave(s.chain, cookie);
	vs_done(&s);
}

/* --- zeros --- */

static struct ut_disk *full_disk(u64 seed)
{
	struct ut_disk *d = ut_disk_new(VS_BLOCKS * VS_GRAIN, VS_GRAIN);
	u64 g;

	for (g = 0; g < d->nr; g++)
		ut_disk_set(d, g, UT_DATA, seed);
	return d;
}

static void clear(struct vs *s, u32 what, u64 block)
{
	int ret = what == 0 ? vd_discard(s->chain, block * VS_GRAIN, VS_GRAIN) :
		  vd_write_zeroes(s->chain, block * VS_GRAIN, VS_GRAIN, what == 1);

	assert_int_equal(ret, 0);
}

/* @what: a discard, zeros without their space, zeros with it; of a slot, ZERO and FREE. */
static void clear_alone(u32 what)
{
	struct vs s;

	VS_MAKE(&s, .seed = 0);
	vs_open(&s);
	clear(&s, what, 1);
	clear(&s, what, 8);
	clear(&s, what, 9);
	ut_disk_set(s.d, 1, UT_ZERO, 0);
	assert_int_equal(vd_flush(s.chain), 0);
	vs_content(&s);
	assert_int_equal(vs_entry(&s, 1), what < 2 ? IMG_VDI_ZERO : 1);
	assert_int_equal(vs_entry(&s, 8), IMG_VDI_ZERO);
	assert_int_equal(vs_entry(&s, 9), IMG_VDI_FREE);
	vs_done(&s);
}

static void clear_child(u32 what)
{
	struct vs s;

	VS_MAKE(&s, .type = IMG_VDI_DIFF);
	s.parent = full_disk(77);
	vs_open(&s);
	clear(&s, what, 1);
	clear(&s, what, 8);
	clear(&s, what, 9);
	ut_disk_set(s.d, 1, UT_ZERO, 0);
	if (what)
		ut_disk_set(s.d, 9, UT_ZERO, 0);
	assert_int_equal(vd_flush(s.chain), 0);
	vs_content(&s);
	assert_int_equal(vs_entry(&s, 1), what < 2 ? IMG_VDI_ZERO : 1);
	assert_int_equal(vs_entry(&s, 8), IMG_VDI_ZERO);
	assert_int_equal(vs_entry(&s, 9), what == 0 ? IMG_VDI_FREE : what == 1 ? IMG_VDI_ZERO : 8);
	vs_done(&s);
}

/* Opened without its parent, it is some parent's child all the same. */
static void clear_orphan(void)
{
	struct vs s;

	VS_MAKE(&s, .type = IMG_VDI_DIFF);
	vs_open(&s);
	clear(&s, 1, 1);
	clear(&s, 1, 9);
	clear(&s, 0, 10);
	ut_disk_set(s.d, 1, UT_ZERO, 0);
	assert_int_equal(vd_flush(s.chain), 0);
	vs_content(&s);
	assert_int_equal(vs_entry(&s, 1), IMG_VDI_ZERO);
	assert_int_equal(vs_entry(&s, 9), IMG_VDI_ZERO);
	assert_int_equal(vs_entry(&s, 10), IMG_VDI_FREE);
	vs_done(&s);
}

static void clears(void **state)
{
	u32 what;

	clear_orphan();

	for (what = 0; what < 3; what++) {
		clear_alone(what);
		clear_child(what);
	}
}

/* In a run with a slot in it each entry becomes what it would alone. */
static void runs(void **state)
{
	struct vs s;
	u32 child, zero, b;
	int ret;

	for (child = 0; child < 2; child++) {
		for (zero = 0; zero < 2; zero++) {
			VS_MAKE(&s, .type = child ? IMG_VDI_DIFF : IMG_VDI_DYNAMIC);
			s.parent = child ? full_disk(77) : NULL;
			vs_open(&s);
			ret = zero ? vd_write_zeroes(s.chain, 6 * VS_GRAIN, 6 * VS_GRAIN, true) :
			      vd_discard(s.chain, 6 * VS_GRAIN, 6 * VS_GRAIN);
			assert_int_equal(ret, 0);
			for (b = 6; b < 12; b++)
				if (b < 9 || zero)
					ut_disk_set(s.d, b, UT_ZERO, 0);
			assert_int_equal(vd_flush(s.chain), 0);
			vs_content(&s);
			for (b = 6; b < 12; b++)
				assert_int_equal(vs_entry(&s, b), b < 9 || (child && zero) ?
						 IMG_VDI_ZERO : IMG_VDI_FREE);
			vs_done(&s);
		}
	}
}

/* Part of a block that only the parent has: the rest is copied. */
static void part_of_a_block(void **state)
{
	struct vs s;
	u8 sector[VD_SECTOR] = { 1 };
	u32 i;

	for (i = 0; i < 2; i++) {
		VS_MAKE(&s, .type = i ? IMG_VDI_DIFF : IMG_VDI_DYNAMIC);
		s.parent = i ? full_disk(77) : NULL;
		vs_open(&s);
		ut_disk_set(s.d, 30, UT_DATA, 0);
		if (i)
			memcpy(s.d->data + 30 * VS_GRAIN, s.parent->data + 30 * VS_GRAIN, VS_GRAIN);
		else
			memset(s.d->data + 30 * VS_GRAIN, 0, VS_GRAIN);
		memcpy(s.d->data + 30 * VS_GRAIN + 1024, sector, sizeof(sector));
		assert_int_equal(vd_write(s.chain, 30 * VS_GRAIN + 1024, sector, 512), 0);
		vs_content(&s);
		/* Zeros in a part of it, and of what is free. */
		memset(s.d->data + 30 * VS_GRAIN + 2048, 0, 512);
		assert_int_equal(vd_write_zeroes(s.chain, 30 * VS_GRAIN + 2048, 512, true), 0);
		assert_int_equal(vd_write_zeroes(s.chain, 40 * VS_GRAIN + 2048, 512, true), 0);
		if (i) {
			ut_disk_set(s.d, 40, UT_DATA, 0);
			memcpy(s.d->data + 40 * VS_GRAIN, s.parent->data + 40 * VS_GRAIN, VS_GRAIN);
			memset(s.d->data + 40 * VS_GRAIN + 2048, 0, 512);
		}
		assert_int_equal(vd_flush(s.chain), 0);
		vs_content(&s);
		assert_int_equal(vs_entry(&s, 30), 8);
		assert_int_equal(vs_entry(&s, 40), i ? 9 : IMG_VDI_FREE);
		vs_done(&s);
	}
}

/* What has nothing to clear costs no write and pins nothing. */
static void no_work(void **state)
{
	struct vd_meta_pin pin;
	struct vs s;
	u64 got;

	VS_MAKE(&s, .map_pos = 8192);
	vs_open(&s);
	assert_int_equal(s.seg->format->begin_write(s.seg), 0);
	s.seg->begun = true;
	assert_int_equal(s.seg->format->discard(s.seg, 8 * VS_GRAIN, 10 * VS_GRAIN, 0, &got), 0);
	assert_true(got == 10 * VS_GRAIN);
	assert_int_equal(s.seg->format->discard(s.seg, 8 * VS_GRAIN, 10 * VS_GRAIN, VD_CLEAR_ZERO,
						&got), 0);
	assert_int_equal(vd_flush(s.chain), 0);
	assert_int_equal(s.changes, 0);
	/* Had it been pinned, its place would have been secured by then. */
	assert_int_equal(vd_meta_pin(s.chain->meta, s.set.files[0], 8192, 4, 1, &pin), 0);
	assert_int_equal(s.changes, 1);
	vd_meta_unpin(s.chain->meta, &pin);
	vs_done(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_counter),
		cmocka_unit_test(in_place),
		cmocka_unit_test(counter_ahead),
		cmocka_unit_test(above_the_blocks),
		cmocka_unit_test(counted_first),
		cmocka_unit_test(holes_again),
		cmocka_unit_test(reuse),
		cmocka_unit_test(reuse_after_readers), cmocka_unit_test(reuse_on_a_full_disk),
		cmocka_unit_test(reuse_on_a_nearly_full_disk), cmocka_unit_test(full_with_readers),
		cmocka_unit_test(clears),
		cmocka_unit_test(runs),
		cmocka_unit_test(part_of_a_block),
		cmocka_unit_test(no_work),
	};

	return cmocka_run_group_tests_name("vdi-slots", tests, NULL, NULL);
}
