// SPDX-License-Identifier: GPL-2.0-only
/*
 * Places in a file: what is written to one that was reserved has its space,
 * however the place came to be free, and a place whose loss could not be
 * remembered is waited for.
 */
#include "img-write.h"
#include "vdisk/alloc.h"

#define SPACE_SECTORS	(4 * UT_MIB / VD_SECTOR)
#define UNITS		32U

/**
 * struct subject - an image with a model of its file's space
 * @hole: sectors that a write would have to find space for
 * @flushes, @punched, @secured: counted
 * @into_hole: first byte written where there was none, or ~0
 * @watch: unit of which @pending tells, at each flush, whether it must wait
 */
struct subject {
	struct img_case c;
	struct vd_chain *chain;
	u8 *hole;
	u8 *shadow;
	u32 flushes;
	u32 punched;
	u32 secured;
	u64 into_hole;
	u64 watch;
	bool pending;
};

static bool unit_pending(struct subject *s, u64 pos)
{
	struct vd_segment *seg = &s->chain->images[0].segs[0];

	return vd_space_pending(s->chain, seg->format->space(seg), pos, s->c.unit);
}

static void note(void *ctx, enum vd_file_op op, u64 pos, u64 len, const void *data)
{
	struct subject *s = ctx;
	u64 at;

	if (op == VD_OP_FLUSH) {
		s->flushes++;
		s->pending |= s->chain && unit_pending(s, s->watch);
	}
	s->punched += op == VD_OP_PUNCH;
	for (at = pos / VD_SECTOR; at < (pos + len) / VD_SECTOR; at++) {
		assert_true(at < SPACE_SECTORS || op == VD_OP_READ);
		if (op == VD_OP_PUNCH) {
			s->hole[at] = 1;
		} else if (op == VD_OP_ALLOCATE) {
			s->secured += s->hole[at];
			s->hole[at] = 0;
		} else if (op == VD_OP_WRITE && s->hole[at] && s->into_hole == U64_MAX) {
			s->into_hole = at * VD_SECTOR;
		}
	}
}

static void open_chain(struct subject *s, u64 chunk)
{
	struct vd_chain_desc desc = img_case_desc(&s->c);
	struct vd_error err = { 0 };
	struct vd_file *file = s->c.set.files[0];

	assert_int_equal(file->ops->size(file, &file->size), 0);
	desc.grow_chunk = (u32)chunk;
	if (vd_chain_open(&desc, &s->chain, &err))
		fail_msg("open: %s", err.text);
}

static void begin(struct subject *s, u64 chunk)
{
	static const struct img_kind kind = { "sparse-rgd", img_w_rgd };
	struct ut_set *set;

	memset(s, 0, sizeof(*s));
	s->into_hole = U64_MAX;
	s->hole = ut_xalloc(SPACE_SECTORS);
	img_case_make(&s->c, &kind, 1);
	set = &s->c.set;
	assert_true(s->c.size == UNITS * s->c.unit && set->nr_files == 1);
	set->lower[0] = set->files[0];
	set->files[0] = vd_ufile_record(set->lower[0], note, s);
	set->files[0]->index = 0;
	s->shadow = img_case_want(&s->c);
	open_chain(s, chunk);
}

static void end(struct subject *s)
{
	u8 *buf = ut_xalloc(s->c.size);

	assert_int_equal(vd_end_write(s->chain), 0);
	assert_int_equal(vd_read(s->chain, NULL, 0, buf, (u32)s->c.size), 0);
	ut_same(buf, s->shadow, 0, s->c.size, "at the end");
	vd_chain_close(s->chain);
	free(buf);
	free(s->hole);
	free(s->shadow);
	img_case_free(&s->c);
}

static void write_unit(struct subject *s, u64 unit, u64 tag)
{
	u64 pos = unit * s->c.unit;

	ut_pattern(s->shadow + pos, s->c.unit, pos, tag);
	assert_int_equal(vd_write(s->chain, pos, s->shadow + pos, (u32)s->c.unit), 0);
	if (s->into_hole != U64_MAX)
		fail_msg("byte %llu was written, which had no space", s->into_hole);
}

static void discard_unit(struct subject *s, u64 unit)
{
	memset(s->shadow + unit * s->c.unit, 0, s->c.unit);
	assert_int_equal(vd_discard(s->chain, unit * s->c.unit, s->c.unit), 0);
}

/* --- space --- */

/* Freed, given back, taken again: it must be there again before anything is written. */
static void reused(void **state)
{
	struct subject s;
	u64 i;

	begin(&s, 16 * UT_KIB);
	for (i = 0; i < 8; i++)
		write_unit(&s, i, 1);
	discard_unit(&s, 3);
	discard_unit(&s, 5);
	assert_int_equal(vd_flush(s.chain), 0);
	assert_int_equal(s.punched, 2);
	s.secured = 0;
	write_unit(&s, 5, 2);
	write_unit(&s, 3, 2);
	assert_int_equal(s.secured, 2 * s.c.unit / VD_SECTOR);
	end(&s);
}

/* The file does not become shorter than it was at first: its end is a hole then. */
static void kept_end(void **state)
{
	struct subject s;
	size_t before, after;
	u64 i;

	begin(&s, 16 * UT_KIB);
	vd_ufile_mem_data(s.c.set.lower[0], &before);
	for (i = 0; i < UNITS; i++)
		discard_unit(&s, i);
	assert_int_equal(vd_end_write(s.chain), 0);
	vd_ufile_mem_data(s.c.set.lower[0], &after);
	assert_true(s.punched && before == after);
	s.secured = 0;
	for (i = 0; i < UNITS; i++)
		write_unit(&s, i, 3);
	assert_true(s.secured);
	end(&s);
}

/* What lies behind all that is in use when the image is opened may be a hole. */
static void found_end(void **state)
{
	struct subject s;
	u64 size, i;

	begin(&s, 16 * UT_KIB);
	assert_int_equal(vd_end_write(s.chain), 0);
	vd_chain_close(s.chain);
	size = s.c.set.files[0]->size;
	assert_int_equal(vd_file_truncate(s.c.set.files[0], size + 8 * s.c.unit), 0);
	for (i = 0; i < 8 * s.c.unit / VD_SECTOR; i++)
		s.hole[size / VD_SECTOR + i] = 1;
	open_chain(&s, 16 * UT_KIB);
	for (i = 0; i < UNITS; i++)
		write_unit(&s, i, 4);
	assert_true(s.secured);
	end(&s);
}

static int no_truncate(struct vd_file *file, u64 size)
{
	return -EIO;
}

static int no_punch(struct vd_file *file, u64 pos, u64 len)
{
	return -EOPNOTSUPP;
}

/* The end was to go, and did not: it holds what it held, or holes. */
static void end_stays(void **state)
{
	bool holes = *state;
	const struct vd_file_ops *whole;
	struct vd_file_ops ops;
	struct subject s;
	u64 i;

	begin(&s, 1 * UT_MIB);
	whole = s.c.set.files[0]->ops;
	ops = *whole;
	ops.truncate = no_truncate;
	if (!holes)
		ops.punch = no_punch;
	s.c.set.files[0]->ops = &ops;
	for (i = 0; i < UNITS; i++)
		write_unit(&s, i, 12);
	for (i = 0; i < UNITS; i++)
		discard_unit(&s, i);
	assert_int_equal(vd_end_write(s.chain), -EIO);
	s.secured = 0;
	for (i = 0; i < UNITS; i++) {
		ut_pattern(s.shadow + i * s.c.unit, VD_SECTOR, i, 13);
		assert_int_equal(vd_write(s.chain, i * s.c.unit, s.shadow + i * s.c.unit,
					  VD_SECTOR), 0);
	}
	assert_true(s.into_hole == U64_MAX && !s.secured == !holes);
	s.c.set.files[0]->ops = whole;
	end(&s);
}

static const struct vd_file_ops *late_whole;

/* It is done, and fails for all that. */
static int late_truncate(struct vd_file *file, u64 size)
{
	assert_int_equal(late_whole->truncate(file, size), 0);
	return -ENOMEM;
}

/* Who tries again finds a file as short as he made it, not one that somebody cut. */
static void end_fails_late(void **state)
{
	struct vd_file_ops ops;
	struct subject s;

	begin(&s, 1 * UT_MIB);
	late_whole = s.c.set.files[0]->ops;
	ops = *late_whole;
	ops.truncate = late_truncate;
	s.c.set.files[0]->ops = &ops;
	write_unit(&s, 2, 12);
	discard_unit(&s, 3);
	assert_int_equal(vd_end_write(s.chain), -ENOMEM);
	write_unit(&s, 2, 13);
	assert_int_equal(vd_flush(s.chain), 0);
	s.c.set.files[0]->ops = late_whole;
	assert_false(vd_failed(s.chain));
	end(&s);
}

/* Somebody else has made the file shorter: that is the last flush that is tried. */
static void cut(void **state)
{
	struct vd_file *file;
	struct subject s;
	u8 buf[VD_SECTOR] = { 1 };
	u64 size, now;

	begin(&s, 16 * UT_KIB);
	file = s.c.set.files[0];
	write_unit(&s, 2, 12);
	assert_int_equal(vd_flush(s.chain), 0);
	size = file->size - s.c.unit;
	assert_int_equal(file->ops->truncate(file, size), 0);
	assert_int_equal(vd_flush(s.chain), -EIO);
	assert_true(vd_failed(s.chain));
	assert_int_equal(vd_write(s.chain, 0, buf, sizeof(buf)), -EIO);
	assert_int_equal(vd_end_write(s.chain), -EIO);
	assert_int_equal(file->ops->size(file, &now), 0);
	assert_true(now == size);
	vd_chain_close(s.chain);
	free(s.hole);
	free(s.shadow);
	img_case_free(&s.c);
}

static void random_places(void **state)
{
	struct ut_rng rng = { 11 };
	struct subject s;
	u32 i;

	begin(&s, 16 * UT_KIB);
	for (i = 0; i < 4000; i++) {
		u64 unit = ut_below(&rng, UNITS), dice = ut_below(&rng, 16);

		if (dice < 7)
			write_unit(&s, unit, i);
		else if (dice < 13)
			discard_unit(&s, unit);
		else if (dice < 15)
			assert_int_equal(vd_flush(s.chain), 0);
		else
			assert_int_equal(vd_end_write(s.chain), 0);
	}
	assert_true(s.secured > 1000);
	end(&s);
}

/* --- what could not be remembered --- */

/* Memory for what is as small as the note of a freed place. */
static bool no_small(size_t size)
{
	return size > 128;
}

static void discard_forgotten(struct subject *s, u64 unit)
{
	vd_alloc_hook = no_small;
	discard_unit(s, unit);
	vd_alloc_hook = NULL;
}

/*
 * Nobody knows any more which unit it was: all wait for the commit, then none. A
 * commit is two flushes, and the file has grown before.
 */
static void forgotten(void **state)
{
	struct subject s;
	u64 i;

	begin(&s, 1 * UT_MIB);
	for (i = 0; i < 12; i++)
		write_unit(&s, i, 5);
	assert_int_equal(vd_flush(s.chain), 0);
	s.flushes = 0;
	/* Remembered: only the same unit waits. */
	discard_unit(&s, 1);
	assert_true(unit_pending(&s, 1 * s.c.unit) && !unit_pending(&s, 2 * s.c.unit));
	write_unit(&s, 20, 6);
	assert_int_equal(s.flushes, 0);
	write_unit(&s, 1, 6);
	assert_int_equal(s.flushes, 2);
	/* Forgotten: all wait, once. */
	discard_forgotten(&s, 2);
	assert_true(unit_pending(&s, 2 * s.c.unit) && unit_pending(&s, 3 * s.c.unit));
	write_unit(&s, 2, 7);
	assert_int_equal(s.flushes, 4);
	discard_forgotten(&s, 4);
	discard_unit(&s, 6);
	write_unit(&s, 6, 8);
	assert_int_equal(s.flushes, 6);
	assert_false(unit_pending(&s, 4 * s.c.unit));
	discard_unit(&s, 7);
	write_unit(&s, 6, 9);
	assert_int_equal(s.flushes, 6);
	end(&s);
}

/* Neighbours in the file, but not on the disk: each waits for itself, none between. */
static void neighbours(void **state)
{
	struct subject s;
	u64 i;

	begin(&s, 1 * UT_MIB);
	for (i = 0; i < UNITS; i++)
		discard_unit(&s, i);
	assert_int_equal(vd_end_write(s.chain), 0);
	write_unit(&s, 1, 14);
	write_unit(&s, 9, 14);
	assert_int_equal(vd_flush(s.chain), 0);
	discard_unit(&s, 1);
	discard_unit(&s, 9);
	assert_true(unit_pending(&s, 1 * s.c.unit) && unit_pending(&s, 9 * s.c.unit));
	assert_false(unit_pending(&s, 2 * s.c.unit) || unit_pending(&s, 10 * s.c.unit));
	end(&s);
}

/* While the commit runs that unmaps it, too. */
static void forgotten_in_commit(void **state)
{
	struct subject s;
	u64 i;

	begin(&s, 1 * UT_MIB);
	for (i = 0; i < 4; i++)
		write_unit(&s, i, 10);
	assert_int_equal(vd_flush(s.chain), 0);
	s.watch = 1 * s.c.unit;
	discard_forgotten(&s, 1);
	s.pending = false;
	assert_int_equal(vd_flush(s.chain), 0);
	assert_true(s.pending);
	s.pending = unit_pending(&s, s.watch);
	assert_false(s.pending);
	end(&s);
}

/* A device is full; what was freed is room as soon as a commit has unmapped it. */
static void full_device(void **state)
{
	struct subject s;
	u64 size, i, pos;
	int ret = 0;

	begin(&s, 16 * UT_KIB);
	for (i = 0; i < UNITS; i++)
		discard_unit(&s, i);
	assert_int_equal(vd_end_write(s.chain), 0);
	vd_chain_close(s.chain);
	size = s.c.set.files[0]->size + 4 * s.c.unit;
	assert_int_equal(vd_file_truncate(s.c.set.files[0], size), 0);
	memset(s.hole, 0, SPACE_SECTORS);
	s.c.set.files[0]->fixed = true;
	open_chain(&s, 16 * UT_KIB);
	for (i = 0; i < UNITS && !ret; i++) {
		pos = i * s.c.unit;
		ut_pattern(s.shadow + pos, s.c.unit, pos, 14);
		ret = vd_write(s.chain, pos, s.shadow + pos, (u32)s.c.unit);
	}
	assert_true(ret == -ENOSPC && i > 4 && i < UNITS);
	memset(s.shadow + pos, 0, s.c.unit);
	assert_int_equal(vd_flush(s.chain), 0);
	for (i = 0; i < 3; i++) {
		discard_unit(&s, i);
		pos = (UNITS - 1 - i) * s.c.unit;
		ut_pattern(s.shadow + pos, s.c.unit, pos, 15);
		assert_int_equal(vd_write(s.chain, pos, s.shadow + pos, (u32)s.c.unit), 0);
	}
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reused),
		cmocka_unit_test(kept_end),
		cmocka_unit_test(found_end),
		{ "end_stays, holes", end_stays, NULL, NULL, (void *)1 },
		{ "end_stays, old bytes", end_stays, NULL, NULL, NULL },
		cmocka_unit_test(end_fails_late),
		cmocka_unit_test(cut),
		cmocka_unit_test(random_places),
		cmocka_unit_test(neighbours),
		cmocka_unit_test(forgotten),
		cmocka_unit_test(forgotten_in_commit),
		cmocka_unit_test(full_device),
	};

	return cmocka_run_group_tests_name("space", tests, NULL, NULL);
}
