// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writes with faults, to fresh copies each time. A request that fails is issued
 * again once the fault is over; the disk then holds exactly what was asked for,
 * unless a flush failed, which is for good: then each sector holds one of the
 * contents that it had on the way. No other sector changes, and no fault may make an
 * image worse in the eyes of its check.
 */
#include "again.h"
#include "vdisk/alloc.h"
#include "vdisk/check.h"

#define PLACES	3
#define PLACE	(16 * 1024U)
#define STEPS	9
#define BIG	(1U << 20)	/* bytes of files: each run copies them all */
#define BIG_ONES	12	/* of these one in so many */

enum step_what { WRITE, ZERO, DISCARD, FLUSH, END };

/* On place @place: sectors [first, first + nr). */
struct step {
	enum step_what what;
	u32 place;
	u32 first;
	u32 nr;
};

static const struct step steps[STEPS] = {
	{ WRITE, 0, 1, 3 },
	{ WRITE, 2, 20, 12 },
	{ FLUSH, 0, 0, 0 },
	{ ZERO, 1, 5, 17 },
	{ WRITE, 1, 9, 2 },
	{ DISCARD, 2, 0, 32 },
	{ FLUSH, 0, 0, 0 },
	{ WRITE, 2, 3, 21 },
	{ END, 0, 0, 0 },
};

/**
 * struct disk - what the places hold
 * @before: at first; @now: after the last step that ended well
 * @corrupt: what the check finds at first
 */
struct disk {
	u64 size;
	u64 pos[PLACES];
	u32 len[PLACES];
	u8 before[PLACES][PLACE];
	u8 now[PLACES][PLACE];
	u8 got[PLACE];
	u64 corrupt;
};

static u64 count_corrupt(struct again *a)
{
	const struct vdisk_segment_desc *seg = a->desc.segments;
	u64 corrupt = 0;
	u32 i;

	for (i = 0; i < a->desc.nr_segments && !seg[i].image; i++) {
		struct vd_check check = { 0 };
		struct vd_error err = { 0 };
		struct vd_file *file;
		size_t len;

		if (seg[i].kind == VDISK_SEG_RAW || seg[i].kind == VDISK_SEG_ZERO ||
		    seg[i].kind == VDISK_SEG_NOACCESS)
			continue;
		file = a->plain[seg[i].member];
		vd_ufile_mem_data(file, &len);
		file->size = len;
		if (ut_user_of(seg[i].kind)->check(file, seg[i].kind, seg[i].len, &check, &err))
			return U64_MAX;
		corrupt += check.found[VD_FINDING_CORRUPT];
	}
	return corrupt;
}

static bool read_places(struct vd_chain *chain, struct disk *d)
{
	u64 half = chain->size / 2 / VD_SECTOR * VD_SECTOR;
	u32 i;

	d->size = chain->size;
	d->pos[1] = half;
	d->pos[2] = chain->size - PLACE;
	for (i = 0; i < PLACES; i++) {
		d->len[i] = PLACE;
		if (vd_read(chain, NULL, d->pos[i], d->before[i], PLACE))
			return false;
	}
	return true;
}

/* Can this set be written, and is it whole as far as we will look? */
static bool suits(struct again *a, struct disk *d)
{
	struct vd_chain *chain;
	struct vd_error err;
	bool good;
	u32 i;

	again_copy(a);
	good = !again_open(a, &chain, &err);
	if (good) {
		/* Three places that do not touch, the steps' sectors inside them. */
		good = chain->writer && !chain->max_unit && chain->size >= 4 * PLACE &&
		       read_places(chain, d);
		for (i = 0; good && i < chain->nr_segs && !chain->segs[i].image; i++)
			good = chain->segs[i].writable;
		vd_chain_close(chain);
	}
	if (good)
		d->corrupt = count_corrupt(a);
	again_drop_copies(a);
	return good && d->corrupt != U64_MAX;
}

static u8 *bytes(struct disk *d, const struct step *step)
{
	return d->now[step->place] + step->first * VD_SECTOR;
}

/* A discard may do nothing, sector by sector. */
static int take_discard(struct vd_chain *chain, struct disk *d, const struct step *step)
{
	u32 i;
	int ret = vd_read(chain, NULL, d->pos[step->place], d->got, PLACE);

	for (i = 0; !ret && i < PLACE; i += VD_SECTOR) {
		if (ut_all_zero(d->got + i, VD_SECTOR))
			memset(d->now[step->place] + i, 0, VD_SECTOR);
	}
	return ret;
}

static int issue(struct vd_chain *chain, struct disk *d, u32 n)
{
	const struct step *step = &steps[n];
	u64 pos = d->pos[step->place] + step->first * VD_SECTOR;
	u32 len = step->nr * VD_SECTOR;
	int ret;

	switch (step->what) {
	case WRITE:
		ut_pattern(bytes(d, step), len, pos, n + 1);
		return vd_write(chain, pos, bytes(d, step), len);
	case ZERO:
		memset(bytes(d, step), 0, len);
		return vd_write_zeroes(chain, pos, len, n & 1);
	case DISCARD:
		ret = vd_discard(chain, pos, len);
		return ret ? ret : take_discard(chain, d, step);
	case FLUSH:
		return vd_flush(chain);
	case END:
		return vd_end_write(chain);
	}
	return -EINVAL;
}

/* All steps, each again if it failed. False: a flush failed. */
static bool write_all(struct again *a, struct vd_chain *chain, struct disk *d)
{
	u32 n;
	int ret;

	memcpy(d->now, d->before, sizeof(d->now));
	for (n = 0; n < STEPS; n++) {
		ret = issue(chain, d, n);
		if (!ret)
			continue;
		if (ret == -EUCLEAN)
			fail_msg("step %u: a fault is taken for damage", n);
		if (vd_failed(chain))
			return false;
		a->fault.sticky = false;
		vd_alloc_hook = NULL;
		ret = issue(chain, d, n);
		if (vd_failed(chain))
			return false;
		if (ret)
			fail_msg("step %u, again: %d", n, ret);
	}
	return true;
}

/* Anything that this sector held on the way. */
static bool had(struct disk *d, u32 place, u32 at)
{
	u8 want[PLACE];
	u32 n;

	if (!memcmp(d->got + at, d->before[place] + at, VD_SECTOR) ||
	    ut_all_zero(d->got + at, VD_SECTOR))
		return true;
	for (n = 0; n < STEPS; n++) {
		const struct step *step = &steps[n];
		u32 first = step->first * VD_SECTOR, len = step->nr * VD_SECTOR;

		if (step->what != WRITE || step->place != place || at < first || at >= first + len)
			continue;
		ut_pattern(want, len, d->pos[place] + first, n + 1);
		if (!memcmp(d->got + at, want + (at - first), VD_SECTOR))
			return true;
	}
	return false;
}

static void verify(struct vd_chain *chain, struct disk *d, bool exact)
{
	u32 i, at;
	int ret;

	for (i = 0; i < PLACES; i++) {
		ret = vd_read(chain, NULL, d->pos[i], d->got, PLACE);
		if (ret)
			fail_msg("a read of what was written: %d", ret);
		if (exact)
			ut_same(d->got, d->now[i], d->pos[i], PLACE, "written with a fault");
		for (at = 0; !exact && at < PLACE; at += VD_SECTOR) {
			if (!had(d, i, at))
				fail_msg("sector %llu holds what nobody wrote",
					 (unsigned long long)((d->pos[i] + at) / VD_SECTOR));
		}
	}
}

/* As if attached the next day. */
static void reopen(struct again *a, struct disk *d, bool exact)
{
	struct vd_file *file;
	struct vd_chain *chain;
	struct vd_error err;
	size_t len;
	u64 corrupt;
	u32 i;

	for (i = 0; i < a->nr; i++) {
		file = a->faulty[i];
		vd_ufile_mem_data(a->plain[i], &len);
		if (file->writable)
			file->size = len;
	}
	corrupt = count_corrupt(a);
	if (corrupt > d->corrupt)
		fail_msg("the check finds %llu things wrong, before %llu",
			 (unsigned long long)corrupt, (unsigned long long)d->corrupt);
	assert_int_equal(again_open(a, &chain, &err), 0);
	verify(chain, d, exact);
	vd_chain_close(chain);
}

static bool run(struct again *a, struct disk *d, enum again_fault what, long i, bool sticky,
		int error)
{
	struct vd_chain *chain;
	struct vd_error err;
	bool exact, hit;
	int ret;

	again_copy(a);
	again_arm(a, AGAIN_FAIL, -1, false, 0);
	ret = again_open(a, &chain, &err);
	assert_int_equal(ret, 0);
	again_arm(a, what, i, sticky, error);
	exact = write_all(a, chain, d);
	hit = again_disarm(a);
	if (exact)
		verify(chain, d, true);
	vd_chain_close(chain);
	reopen(a, d, exact);
	again_drop_copies(a);
	return hit;
}

/* Without any fault. Damage may forbid writing, where reading finds none; a device may be full. */
static bool can_be_written(struct again *a, struct disk *d)
{
	struct vd_chain *chain;
	struct vd_error err;
	u32 n;
	int ret = 0;

	again_copy(a);
	again_arm(a, AGAIN_FAIL, -1, false, 0);
	assert_int_equal(again_open(a, &chain, &err), 0);
	memcpy(d->now, d->before, sizeof(d->now));
	for (n = 0; n < STEPS && !ret; n++)
		ret = issue(chain, d, n);
	again_disarm(a);
	vd_chain_close(chain);
	again_drop_copies(a);
	assert_true(!ret || ret == -EUCLEAN || (ret == -ENOSPC && a->like[0]->fixed));
	return !ret;
}

static bool too_much(const struct again *a)
{
	static unsigned int big;
	size_t total = 0;
	u32 i;

	for (i = 0; i < a->nr; i++)
		total += a->len[i];
	return total > BIG && big++ % BIG_ONES && !again_all();
}

void again_write(struct again *a)
{
	static const struct {
		enum again_fault what;
		int error;
	} faults[] = {
		{ AGAIN_FAIL, EIO }, { AGAIN_FAIL, ENOSPC }, { AGAIN_EINTR, EINTR },
		{ AGAIN_SHORT, EIO }, { AGAIN_NOMEM, ENOMEM },
	};
	struct disk *d = ut_xalloc(sizeof(*d));
	u32 f, sticky;
	bool good;
	long i;

	/* What files grow by is copied each time. */
	if (!a->desc.grow_chunk)
		a->desc.grow_chunk = 64 * 1024;
	good = !too_much(a) && suits(a, d) && can_be_written(a, d);
	for (f = 0; f < ARRAY_SIZE(faults) && good; f++) {
		for (sticky = 0; sticky < 2; sticky++) {
			for (i = 1; run(a, d, faults[f].what, i, sticky, faults[f].error);)
				i = again_next(i);
		}
	}
	free(d);
}
