// SPDX-License-Identifier: GPL-2.0-only
/*
 * Open and read with faults. Each call gives what it gives without them, or the
 * fault's own error; asked again once the fault is over, it gives the former.
 */
#include "again.h"

#define PIECES	12
#define PIECE	(8 * 1024U)

/* @map, @read: 0 or -errno; @type, @place: where the first byte lies */
struct answer {
	u64 pos;
	u32 len;
	int map;
	enum vd_extent_type type;
	const struct vd_file *file;
	u64 place;
	int read;
	u8 data[PIECE];
};

struct answers {
	int open;
	u64 size;
	struct answer piece[PIECES];
};

static void choose_pieces(struct answers *all, u64 size)
{
	struct ut_rng rng = { size };
	u32 i;

	all->size = size;
	for (i = 0; i < PIECES; i++) {
		struct answer *p = &all->piece[i];

		if (i < 4)
			p->pos = min_t(u64, i * PIECE, size - VD_SECTOR);
		else if (i == 4)
			p->pos = size > PIECE ? size - PIECE : 0;
		else
			p->pos = ut_below(&rng, size / VD_SECTOR) * VD_SECTOR;
		p->len = (u32)min_t(u64, PIECE, size - p->pos);
	}
}

static void ask_map(struct vd_chain *chain, struct answer *p)
{
	struct vd_extent ext = { 0 };

	p->map = vd_map(chain, p->pos, p->len, 0, &ext);
	p->type = p->map ? VD_EXT_HOLE : ext.type;
	p->file = NULL;
	p->place = 0;
	if (p->map || (ext.type != VD_EXT_DATA && ext.type != VD_EXT_PACKED))
		return;
	p->file = ext.file;
	p->place = ext.file_pos;
}

static void ask_read(struct vd_chain *chain, struct vd_unit *unit, struct answer *p)
{
	memset(p->data, 0x5a, p->len);
	p->read = vd_read(chain, unit, p->pos, p->data, p->len);
	if (p->read)
		memset(p->data, 0, p->len);
}

static void ask_all(struct again *a, struct answers *all)
{
	struct vd_unit unit = { 0 };
	struct vd_chain *chain;
	struct vd_error err;
	u32 i;

	memset(all, 0, sizeof(*all));
	all->open = again_open(a, &chain, &err);
	if (all->open)
		return;
	choose_pieces(all, chain->size);
	if (chain->max_unit)
		assert_int_equal(vd_unit_prepare(&unit, chain->max_unit), 0);
	for (i = 0; i < PIECES; i++) {
		ask_map(chain, &all->piece[i]);
		ask_read(chain, &unit, &all->piece[i]);
	}
	vd_unit_release(&unit);
	vd_chain_close(chain);
}

static bool is_fault(int ret, int error)
{
	return ret && (ret == -error || ret == -EIO || ret == -ENOMEM);
}

static bool same_map(const struct answer *x, const struct answer *y)
{
	return x->map == y->map && x->type == y->type && x->file == y->file &&
	       x->place == y->place;
}

static bool same_read(const struct answer *x, const struct answer *y)
{
	return x->read == y->read && !memcmp(x->data, y->data, x->len);
}

static void wrong(const struct answer *got, const struct answer *want, const char *when)
{
	fail_msg("%s, at %llu: map %d type %d place %llu, read %d, where without faults they are map %d type %d place %llu, read %d",
		 when, (unsigned long long)want->pos, got->map, (int)got->type,
		 (unsigned long long)got->place, got->read, want->map, (int)want->type,
		 (unsigned long long)want->place, want->read);
}

static void ask_twice(struct again *a, struct vd_chain *chain, struct vd_unit *unit,
		      const struct answer *want, int error)
{
	struct answer got = { .pos = want->pos, .len = want->len };

	ask_map(chain, &got);
	if (!same_map(&got, want)) {
		if (!is_fault(got.map, error))
			wrong(&got, want, "a map with a fault");
		a->fault.sticky = false;
		vd_alloc_hook = NULL;
		ask_map(chain, &got);
		if (!same_map(&got, want))
			wrong(&got, want, "a map after a fault");
	}
	ask_read(chain, unit, &got);
	if (same_read(&got, want))
		return;
	if (!is_fault(got.read, error))
		wrong(&got, want, "a read with a fault");
	a->fault.sticky = false;
	vd_alloc_hook = NULL;
	ask_read(chain, unit, &got);
	if (!same_read(&got, want))
		wrong(&got, want, "a read after a fault");
}

/* Open with a fault; if that fails for it, a second time without. */
static struct vd_chain *open_twice(struct again *a, const struct answers *want, int error)
{
	struct vd_chain *chain;
	struct vd_error err;
	int ret = again_open(a, &chain, &err);

	if (ret == want->open)
		return chain;
	if (!is_fault(ret, error))
		fail_msg("open with a fault: %d %s, without %d", ret, err.text, want->open);
	ut_assert_sentence(&err, ret);
	assert_null(chain);
	a->fault.sticky = false;
	vd_alloc_hook = NULL;
	ret = again_open(a, &chain, &err);
	if (ret != want->open)
		fail_msg("open after a fault: %d %s, before %d", ret, err.text, want->open);
	return chain;
}

/* Only what the library does with @unit is to fail. */
static void prepare_unit(struct vd_chain *chain, struct vd_unit *unit)
{
	bool (*hook)(size_t size) = vd_alloc_hook;

	vd_alloc_hook = NULL;
	if (chain->max_unit)
		assert_int_equal(vd_unit_prepare(unit, chain->max_unit), 0);
	vd_alloc_hook = hook;
}

static bool run(struct again *a, const struct answers *want, enum again_fault what, long i,
		bool sticky)
{
	int error = what == AGAIN_EINTR ? EINTR : EIO;
	struct vd_unit unit = { 0 };
	struct vd_chain *chain;
	u32 k;

	again_arm(a, what, i, sticky, error);
	chain = open_twice(a, want, error);
	if (chain) {
		assert_true(chain->size == want->size);
		prepare_unit(chain, &unit);
		for (k = 0; k < PIECES; k++)
			ask_twice(a, chain, &unit, &want->piece[k], error);
		vd_unit_release(&unit);
		vd_chain_close(chain);
	}
	return again_disarm(a);
}

void again_read(struct again *a)
{
	struct answers *want = ut_xalloc(sizeof(*want));
	int what, sticky;
	long i;

	a->fault.countdown = -1;
	again_copy(a);
	ask_all(a, want);
	for (what = 0; what < AGAIN_FAULTS; what++) {
		for (sticky = 0; sticky < 2; sticky++) {
			for (i = 1; run(a, want, (enum again_fault)what, i, sticky);)
				i = again_next(i);
		}
	}
	again_drop_copies(a);
	free(want);
}
