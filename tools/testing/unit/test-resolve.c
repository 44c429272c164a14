// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is remembered of a chain's depth is never wrong: the map's answers are those
 * of the same chain without a memory, whatever is written, and nobody who reads
 * after a write has completed finds the old. Each test is done again with a mistake
 * in the library, and must then fail.
 *
 * Built with the address and, again, with the thread sanitizer.
 */
#include <pthread.h>
#include <sched.h>

#include "img-write.h"
#include "vdisk/alloc.h"

#define SEEDS		16
#define OPS		120
#define MAX_DISK	(1 * UT_MIB)

/* --- chains --- */

static void add_packed(struct img_case *c, struct ut_disk *part)
{
	struct img_stream form = { .footer = true, .level = 1 };

	img_stream_write(&form, part);
	img_member(c, form.s.buf.data, form.s.buf.len);
	img_segment(c, VDISK_SEG_VMDK_SPARSE, part, 0, 0);
	ut_buf_free(&form.s.buf);
	ut_disk_free(part);
}

static void add_parent(struct img_case *c, struct ut_rng *rng, u64 seed)
{
	static const u64 grains[] = { 512, 4096, 16384, 65536 };
	u64 size = (1 + ut_below(rng, MAX_DISK / VD_SECTOR)) * VD_SECTOR;
	u64 grain = grains[ut_below(rng, ARRAY_SIZE(grains))];

	if (ut_below(rng, 2))
		size = c->size;
	img_image(c, VDISK_FORMAT_VMDK, size);
	switch (ut_below(rng, 5)) {
	case 0:
		img_add_flat(c, img_full(size, seed), 0, 0);
		break;
	case 1:
		img_add_cowd(c, img_thin(size, grain, seed, false), seed);
		break;
	case 2:
		add_packed(c, ut_disk_random(size, max_t(u64, grain, 4096), seed, false));
		break;
	default:
		img_add_sparse(c, ut_disk_random(size, grain, seed, true), 0,
			       IMG_V2(.flags = IMG_F_ZERO_GTE, .seed = seed & 3));
	}
}

/* A top that can be written, in one or two extents, over one to three parents. */
static void random_case(struct img_case *c, u64 seed)
{
	struct ut_rng rng = { seed };
	u64 size = (2 + ut_below(&rng, MAX_DISK / VD_SECTOR - 1)) * VD_SECTOR;
	u64 first = (1 + ut_below(&rng, size / VD_SECTOR - 1)) * VD_SECTOR;
	u64 parents = 1 + ut_below(&rng, IMG_PARTS - 1), i;

	memset(c, 0, sizeof(*c));
	img_image(c, VDISK_FORMAT_VMDK, size);
	/* Without tables, holes are long. */
	if (seed % 5 == 0) {
		img_add_sparse(c, ut_disk_new(size, 4096), 0,
			       IMG_V2(.flags = IMG_F_RGD | IMG_F_ZERO_GTE, .holes = true));
	} else if (seed % 5 == 1) {
		img_add_cowd(c, img_thin(size, 1024, seed, false), seed);
	} else if (seed % 5 == 2) {
		img_add_sparse(c, img_thin(first, 4096, seed, true), 0,
			       IMG_V2(.flags = IMG_F_RGD | IMG_F_ZERO_GTE));
		img_add_sparse(c, img_thin(size - first, 2048, seed, false), first, IMG_V1(0));
	} else {
		img_add_sparse(c, img_thin(size, 4096, seed, true), 0,
			       IMG_V2(.flags = IMG_F_RGD | IMG_F_ZERO_GTE, .seed = seed));
	}
	for (i = 0; i < parents; i++)
		add_parent(c, &rng, seed * 8 + i + 1);
}

static struct vd_chain *open_case(const struct img_case *c, u32 sets)
{
	struct vd_chain_desc desc = img_case_desc(c);
	struct vd_error err = { 0 };
	struct vd_chain *chain;

	desc.meta_blocks = 0;
	desc.resolve_sets = sets;
	if (vd_chain_open(&desc, &chain, &err))
		fail_msg("open: %s", err.text);
	return chain;
}

/* --- the same answers --- */

static int map_afresh(struct vd_chain *chain, u64 pos, u64 len, unsigned int flags,
		      struct vd_extent *ext)
{
	struct vd_resolve *table = chain->resolve;
	int ret;

	chain->resolve = NULL;
	ret = vd_map(chain, pos, len, flags, ext);
	chain->resolve = table;
	return ret;
}

static bool same_answer(struct vd_chain *chain, u64 pos, u64 len, unsigned int flags)
{
	struct vd_extent a, b;
	int ret_a, ret_b;

	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	ret_b = map_afresh(chain, pos, len, flags, &b);
	ret_a = vd_map(chain, pos, len, flags, &a);
	if (ret_a != ret_b)
		return false;
	return ret_a || (a.pos == b.pos && a.len == b.len && a.type == b.type && a.seg == b.seg &&
			 a.file == b.file && a.file_pos == b.file_pos &&
			 a.unit_pos == b.unit_pos && a.unit_len == b.unit_len &&
			 a.packed_len == b.packed_len);
}

/* How many of some answers in and around [pos, pos + len) are not what they must be. */
static u64 wrong_answers(struct vd_chain *chain, struct ut_rng *rng, u64 pos, u64 len)
{
	u64 sectors = chain->size / VD_SECTOR, wrong = 0, at, want;
	u32 i;

	for (i = 0; i < 24; i++) {
		at = i & 1 ? pos + ut_below(rng, len / VD_SECTOR) * VD_SECTOR :
			     ut_below(rng, sectors) * VD_SECTOR;
		want = (1 + ut_below(rng, i & 2 ? 8 : sectors)) * VD_SECTOR;
		wrong += !same_answer(chain, at, want, i & 4 ? VD_MAP_NOWAIT : 0);
	}
	return wrong;
}

/* All tables are in memory from here on: how far an answer goes does not depend on it. */
static void warm(struct vd_chain *chain)
{
	struct vd_extent ext;
	u64 pos;

	for (pos = 0; pos < chain->size; pos += VD_SECTOR)
		assert_int_equal(map_afresh(chain, pos, VD_SECTOR, 0, &ext), 0);
}

static void same_answers(void **state)
{
	static const u32 sets[] = { 2, 0 };
	struct vd_chain *chain;
	struct img_case c;
	struct ut_rng rng = { 3 };
	u64 seed;
	u32 i, j;

	for (seed = 0; seed < SEEDS; seed++) {
		u8 *want;

		random_case(&c, seed);
		want = img_case_want(&c);
		for (i = 0; i < ARRAY_SIZE(sets); i++) {
			chain = open_case(&c, sets[i]);
			assert_non_null(chain->resolve);
			warm(chain);
			for (j = 0; j < 40; j++)
				assert_true(!wrong_answers(chain, &rng, 0, chain->size));
			ut_check(chain, want, chain->size);
			vd_chain_close(chain);
		}
		free(want);
		img_case_free(&c);
	}
}

/* --- writes --- */

enum { WRITE, DISCARD, ZERO, UNMAP };

/**
 * struct play - a chain that is written to
 * @shadow: what it must hold
 * @wrong: answers and bytes that were not so
 */
struct play {
	struct vd_chain *chain;
	struct ut_rng rng;
	u8 *shadow;
	u8 *buf;
	u64 wrong;
};

static void read_back(struct play *p, u64 pos, u64 len)
{
	struct vd_unit unit = { 0 };

	assert_int_equal(vd_read(p->chain, &unit, pos, p->buf, (u32)len), 0);
	vd_unit_release(&unit);
}

/* A discard may have left each sector as it was. */
static void settle(struct play *p, u64 pos, u64 len)
{
	struct vd_resolve *table = p->chain->resolve;
	u64 at;

	p->chain->resolve = NULL;
	read_back(p, pos, len);
	p->chain->resolve = table;
	for (at = 0; at < len; at += VD_SECTOR)
		if (ut_all_zero(p->buf + at, VD_SECTOR))
			memset(p->shadow + pos + at, 0, VD_SECTOR);
}

static void change(struct play *p, u32 what, u64 pos, u64 len, u64 tag)
{
	int ret;

	switch (what) {
	case WRITE:
		ut_pattern(p->shadow + pos, len, pos, tag);
		ret = vd_write(p->chain, pos, p->shadow + pos, (u32)len);
		break;
	case DISCARD:
		ret = vd_discard(p->chain, pos, len);
		if (!ret)
			settle(p, pos, len);
		break;
	default:
		memset(p->shadow + pos, 0, len);
		ret = vd_write_zeroes(p->chain, pos, len, what == UNMAP);
	}
	assert_int_equal(ret, 0);
}

static void look(struct play *p, u64 pos, u64 len)
{
	p->wrong += wrong_answers(p->chain, &p->rng, pos, len);
	read_back(p, pos, len);
	p->wrong += !!memcmp(p->buf, p->shadow + pos, len);
}

/* Mostly short; now and then a large part of the disk. */
static void choose(struct play *p, u64 *pos, u64 *len)
{
	u64 sectors = p->chain->size / VD_SECTOR;
	u64 most = ut_below(&p->rng, 16) ? 64 : sectors;
	u64 at = ut_below(&p->rng, sectors);

	*pos = at * VD_SECTOR;
	*len = (1 + ut_below(&p->rng, min(sectors - at, most))) * VD_SECTOR;
}

/* How often something was wrong, with @bugs made on purpose. */
static u64 play(u64 seed, u32 sets, unsigned int bugs)
{
	struct play p = { .rng = { seed } };
	struct img_case c;
	u64 pos, len;
	u32 i;

	random_case(&c, seed);
	p.shadow = img_case_want(&c);
	p.buf = ut_xalloc(c.size);
	p.chain = open_case(&c, sets);
	vd_bugs = bugs;
	warm(p.chain);
	for (i = 0; i < OPS; i++) {
		choose(&p, &pos, &len);
		look(&p, pos, len);
		change(&p, (u32)ut_below(&p.rng, UNMAP + 1), pos, len, seed * OPS + i);
		look(&p, pos, len);
		if (i % 16 == 15)
			assert_int_equal(vd_flush(p.chain), 0);
	}
	look(&p, 0, c.size);
	assert_int_equal(vd_end_write(p.chain), 0);
	vd_bugs = 0;
	vd_chain_close(p.chain);
	free(p.shadow);
	free(p.buf);
	img_case_free(&c);
	return p.wrong;
}

static void writes(void **state)
{
	u64 seed;

	for (seed = 0; seed < SEEDS; seed++) {
		assert_true(!play(seed, 2, 0));
		assert_true(!play(seed, 0, 0));
	}
}

static void writes_notice_what_is_stale(void **state)
{
	u64 seed, small = 0, usual = 0;

	for (seed = 0; seed < SEEDS; seed++) {
		small += play(seed, 2, VD_BUG_STALE_EXTENT);
		usual += play(seed, 0, VD_BUG_STALE_EXTENT);
	}
	assert_true(small && usual);
}

/* --- while somebody walks --- */

#define UNIT	4096U

/* A full base under @empty images without a grain; @size a multiple of the unit. */
static void deep_case(struct img_case *c, u64 size, u32 empty)
{
	u32 i;

	memset(c, 0, sizeof(*c));
	img_image(c, VDISK_FORMAT_VMDK, size);
	for (i = 0; i < empty; i++) {
		if (i)
			img_image(c, VDISK_FORMAT_VMDK, size);
		img_add_sparse(c, ut_disk_new(size, UNIT), 0,
			       IMG_V2(.flags = IMG_F_RGD | IMG_F_ZERO_GTE));
	}
	img_image(c, VDISK_FORMAT_VMDK, size);
	img_add_flat(c, img_full(size, 1), 0, 0);
}

/* Who changes the top when a walk has reached the base. */
static struct {
	struct vd_chain *chain;
	struct vd_alloc *publish;
	u64 zero;
	u32 calls;
} meanwhile;

static int slow_map(struct vd_segment *seg, u64 pos, u64 len, unsigned int flags,
		    struct vd_extent *ext)
{
	struct vd_chain *chain = meanwhile.chain;

	if (chain) {
		meanwhile.chain = NULL;
		meanwhile.calls++;
		if (meanwhile.publish)
			vd_publish(chain, meanwhile.publish);
		else
			assert_int_equal(vd_write_zeroes(chain, meanwhile.zero, UNIT, true), 0);
	}
	return vd_format_raw.map(seg, pos, len, flags, ext);
}

/* Unit 5 changes while [@pos, @pos + UNIT) is looked up. Is what comes later right? */
static bool overtaken(u64 pos, bool publish, unsigned int bugs)
{
	struct vd_format fake = vd_format_raw;
	const struct vd_format *was;
	struct vd_segment *base;
	struct vd_chain *chain;
	struct vd_extent ext;
	struct vd_alloc alloc;
	struct img_case c;
	bool right;

	deep_case(&c, 256 * UT_KIB, 2);
	chain = open_case(&c, 0);
	base = &chain->segs[chain->nr_segs - 1];
	was = base->format;
	fake.map = slow_map;
	base->format = &fake;
	vd_bugs = bugs;
	if (publish)
		assert_int_equal(vd_reserve(chain, 5 * UNIT, UNIT, &alloc, NULL), 0);
	meanwhile.chain = chain;
	meanwhile.publish = publish ? &alloc : NULL;
	meanwhile.zero = 5 * UNIT;
	meanwhile.calls = 0;
	assert_int_equal(vd_map(chain, pos, UNIT, 0, &ext), 0);
	assert_int_equal(meanwhile.calls, 1);
	right = same_answer(chain, 5 * UNIT, UNIT, 0) && same_answer(chain, pos, 8 * UNIT, 0);
	assert_int_equal(vd_end_write(chain), 0);
	vd_bugs = 0;
	base->format = was;
	vd_chain_close(chain);
	img_case_free(&c);
	return right;
}

static void a_change_overtakes_a_walk(void **state)
{
	assert_true(overtaken(5 * UNIT, true, 0));
	assert_true(overtaken(5 * UNIT, false, 0));
	assert_true(overtaken(4 * UNIT, true, 0));
	assert_true(overtaken(6 * UNIT, false, 0));
	assert_false(overtaken(5 * UNIT, true, VD_BUG_STALE_WALK));
	assert_false(overtaken(5 * UNIT, false, VD_BUG_STALE_WALK));
}

/* --- at once --- */

#define READERS		3U
#define RACE_UNITS	1024U
#define ROUNDS		3U
#define WAIT_EVERY	16U	/* units: those of one window */

/**
 * struct race - units of the top that get an entry, one by one
 * @next: the one that is changing, with __atomic; those before it are done with
 * @looks: how often anybody looked, with __atomic
 * @stale: how often a reader found in the base what the top had, with __atomic
 */
struct race {
	struct vd_chain *chain;
	u32 next;
	u64 looks;
	u64 stale;
};

static void *read_along(void *arg)
{
	static u32 ids;
	struct ut_rng rng = { __atomic_add_fetch(&ids, 1, __ATOMIC_RELAXED) };
	struct race *r = arg;
	struct vd_extent ext;
	u32 done, unit;

	for (;;) {
		/* Mostly what changes now and comes next; those that are known to be done. */
		done = __atomic_load_n(&r->next, __ATOMIC_ACQUIRE);
		if (done >= RACE_UNITS)
			return NULL;
		unit = done + 2 - (u32)ut_below(&rng, min_t(u64, done + 2, 8));
		if (unit >= RACE_UNITS)
			continue;
		assert_int_equal(vd_map(r->chain, (u64)unit * UNIT, UNIT, VD_MAP_NOWAIT, &ext), 0);
		if (unit < done && (!ext.seg || ext.seg->image))
			__atomic_add_fetch(&r->stale, 1, __ATOMIC_RELAXED);
		__atomic_add_fetch(&r->looks, 1, __ATOMIC_RELAXED);
	}
}

/* Readers have been at the next unit, as far as can be told, and still are. */
static void wait_for_looks(struct race *r)
{
	u64 from = __atomic_load_n(&r->looks, __ATOMIC_RELAXED);

	while (__atomic_load_n(&r->looks, __ATOMIC_RELAXED) < from + 16)
		sched_yield();
}

/* A place, or zeros, in turn. Nothing else is written: the files stand still. */
static void change_units(struct race *r)
{
	struct vd_alloc alloc;
	u32 unit;

	for (unit = 1; unit < RACE_UNITS; unit++) {
		u64 pos = (u64)unit * UNIT;

		if (unit % WAIT_EVERY == 1)
			wait_for_looks(r);
		if (unit % 2) {
			assert_int_equal(vd_reserve(r->chain, pos, UNIT, &alloc, NULL), 0);
			vd_publish(r->chain, &alloc);
		} else {
			assert_int_equal(vd_write_zeroes(r->chain, pos, UNIT, true), 0);
		}
		__atomic_store_n(&r->next, unit + 1, __ATOMIC_RELEASE);
	}
}

/* The file grows and gets its table before there is anybody else. */
static struct vd_chain *open_race(const struct img_case *c, u32 sets)
{
	struct vd_chain_desc desc = img_case_desc(c);
	struct vd_error err = { 0 };
	struct vd_chain *chain;
	u8 *buf = ut_xalloc(UNIT);

	desc.meta_blocks = 0;
	desc.grow_chunk = 2 * RACE_UNITS * UNIT;
	desc.resolve_sets = sets;
	if (vd_chain_open(&desc, &chain, &err))
		fail_msg("open: %s", err.text);
	assert_int_equal(vd_write(chain, 0, buf, UNIT), 0);
	free(buf);
	warm(chain);
	return chain;
}

static u64 race(u32 sets, unsigned int bugs)
{
	struct race r = { .next = 1 };
	pthread_t reader[READERS];
	struct img_case c;
	u32 round, i;

	for (round = 0; round < ROUNDS; round++) {
		deep_case(&c, RACE_UNITS * UNIT, 3);
		r.chain = open_race(&c, sets);
		r.next = 1;
		vd_bugs = bugs;
		for (i = 0; i < READERS; i++)
			assert_int_equal(pthread_create(&reader[i], NULL, read_along, &r), 0);
		change_units(&r);
		for (i = 0; i < READERS; i++)
			pthread_join(reader[i], NULL);
		vd_bugs = 0;
		for (i = 0; !bugs && i < RACE_UNITS; i++)
			assert_true(same_answer(r.chain, (u64)i * UNIT, UNIT, 0));
		vd_chain_close(r.chain);
		img_case_free(&c);
	}
	return r.stale;
}

static void nobody_reads_the_old(void **state)
{
	assert_true(!race(2, 0));
	assert_true(!race(0, 0));
}

static void readers_notice_what_is_stale(void **state)
{
	assert_true(race(2, VD_BUG_STALE_EXTENT) > 0);
	assert_true(race(0, VD_BUG_STALE_EXTENT) > 0);
}

/* --- what it costs --- */

static u64 open_bytes(u64 size, u32 images, u32 sets)
{
	struct ut_set set = { 0 };
	struct vd_chain_desc desc;
	struct vd_error err = { 0 };
	struct vd_chain *chain;
	u32 i;

	for (i = 0; i < images; i++) {
		ut_set_image(&set, VDISK_FORMAT_VMDK, size);
		ut_set_seg(&set, VDISK_SEG_ZERO, VDISK_NO_MEMBER, 0, size, 0);
	}
	desc = ut_set_desc(&set);
	desc.resolve_sets = sets;
	ut_alloc_start(-1, false);
	assert_int_equal(vd_chain_open(&desc, &chain, &err), 0);
	ut_alloc_stop();
	assert_true(!chain->resolve == (images == 1 || sets == VD_RESOLVE_NONE));
	vd_chain_close(chain);
	return ut_alloc.bytes;
}

static u64 table_bytes(u64 size, u32 images)
{
	return open_bytes(size, images, 0) - open_bytes(size, images, VD_RESOLVE_NONE);
}

static void memory(void **state)
{
	assert_true(table_bytes(VD_CAP_DISK_BYTES, 1) == 0);
	assert_true(table_bytes(VD_CAP_DISK_BYTES, 2) <= VD_RESOLVE_BYTES);
	assert_true(table_bytes(VD_CAP_DISK_BYTES, VDISK_MAX_IMAGES) <= VD_RESOLVE_BYTES);
	/* All of it is used. */
	assert_true(table_bytes(VD_CAP_DISK_BYTES, 2) > VD_RESOLVE_BYTES / 2);
	assert_true(table_bytes(VD_SECTOR, VDISK_MAX_IMAGES) <= 2 * UT_KIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_answers),
		cmocka_unit_test(writes),
		cmocka_unit_test(writes_notice_what_is_stale),
		cmocka_unit_test(a_change_overtakes_a_walk),
		cmocka_unit_test(nobody_reads_the_old),
		cmocka_unit_test(readers_notice_what_is_stale),
		cmocka_unit_test(memory),
	};

	return cmocka_run_group_tests_name("resolve", tests, NULL, NULL);
}
