// SPDX-License-Identifier: GPL-2.0-only
/*
 * Filling the holes of a VDI: blocks move down until the file can end after as many slots
 * as are in use. Wherever it stops, every block is where the map says, and who looks at
 * the file after a power cut finds it so, too.
 */
#include "ut-vdi.h"

#define BUF_BYTES	8192U

/**
 * struct run - one vd_fill_holes(), and who watches
 * @stop: the call of go_on() that says no; 0: none
 * @calls: of go_on(); @last: what it was told last
 * @map: as a power cut would leave it; @unflushed: slots were written since
 * @flushes: of the file; @writes: to slots
 */
struct run {
	struct vs s;
	struct vd_pack pack;
	u64 stop;
	u64 calls;
	u64 last_moved, last_total;
	u32 *map;
	bool unflushed;
	u64 flushes;
	u64 writes;
	u64 zeroed;
	void (*poke)(struct run *r);
};

static struct run *run_of(struct vs *s)
{
	return container_of(s, struct run, s);
}

static bool go_on(void *ctx, u64 moved, u64 total)
{
	struct run *r = ctx;

	r->calls++;
	assert_true(moved <= total && moved >= r->last_moved);
	r->last_moved = moved;
	r->last_total = total;
	if (r->poke && total)
		r->poke(r);
	return r->calls != r->stop;
}

/* What the disk remembers of the map. */
static void remember(struct run *r)
{
	u32 b;

	for (b = 0; b < r->s.v.blocks; b++)
		r->map[b] = vs_entry(&r->s, b);
	r->unflushed = false;
	r->flushes++;
}

/* No slot that a power cut would show may change; what an entry shows is durable before it. */
static void watch(struct vs *s, enum vd_file_op op, u64 pos, u64 len, const void *data)
{
	struct run *r = run_of(s);
	u64 from, to, b;

	if (op == VD_OP_READ || op == VD_OP_TRUNCATE || op == VD_OP_ALLOCATE || !r->map)
		return;
	if (op == VD_OP_FLUSH) {
		remember(r);
		return;
	}
	if (pos < s->v.data_pos) {
		assert_int_equal(op, VD_OP_WRITE);
		assert_true(pos < s->v.map_pos || !r->unflushed);
		return;
	}
	from = (pos - s->v.data_pos) / s->v.slot;
	to = (pos + len - 1 - s->v.data_pos) / s->v.slot;
	for (b = 0; b < s->v.blocks; b++)
		if (r->map[b] >= from && r->map[b] <= to)
			fail_msg("slot %u changes, but block %llu is in it", r->map[b], b);
	r->unflushed = true;
	r->writes += op == VD_OP_WRITE;
	r->zeroed += op != VD_OP_WRITE;
}

static void prepare(struct run *r)
{
	memset(&r->pack, 0, sizeof(r->pack));
	r->pack.go_on = go_on;
	r->pack.ctx = r;
	r->pack.buf = aligned_alloc(4096, BUF_BYTES);
	r->pack.size = BUF_BYTES;
	r->pack.memory = 1 << 20;
	r->pack.always = true;
	r->map = ut_xalloc(r->s.v.blocks * 4ULL);
	remember(r);
	r->flushes = 0;
	r->s.hook = watch;
}

static void finish(struct run *r)
{
	free(r->pack.buf);
	free(r->map);
	vs_done(&r->s);
}

/* A disk of @nr blocks of @grain bytes, whose slots have @holes between them. */
static void make(struct run *r, struct ut_disk *d, struct img_vdi v)
{
	memset(r, 0, sizeof(*r));
	r->s.d = d;
	r->s.v = v;
	img_vdi_write(&r->s.v, d);
	vs_open(&r->s);
	prepare(r);
}

/* Blocks in slots that there will not be. */
static u64 to_move(struct run *r)
{
	u32 used = vs_look(&r->s).used, b;
	u64 n = 0;

	for (b = 0; b < r->s.v.blocks; b++) {
		u32 slot = vs_entry(&r->s, b);

		n += slot < IMG_VDI_ZERO && slot >= used;
	}
	return n;
}

/* Complete: no holes, and the file ends there. */
static void packed(struct run *r)
{
	struct img_vdi_look l;

	assert_false(r->pack.left);
	assert_true(r->pack.moved == r->last_total || !r->calls);
	vs_content(&r->s);
	r->s.hook = NULL;
	assert_int_equal(vd_end_write(r->s.chain), 0);
	l = vs_look(&r->s);
	assert_true(l.used == l.high && l.counter == l.high);
	assert_true(vs_length(&r->s) == r->s.v.data_pos + l.used * r->s.v.slot);
	vs_content(&r->s);
}

static void complete(void **state)
{
	struct run r;
	u64 seed, n;

	for (seed = 1; seed < 14; seed++) {
		u64 grain = 512 << seed % 7;

		make(&r, ut_disk_random(90 * grain, grain, seed, true),
		     (struct img_vdi){ .seed = seed, .holes = (u32)(seed - 1) * 9 });
		n = to_move(&r);
		assert_int_equal(vd_fill_holes(r.s.chain, &r.pack), 0);
		assert_true(r.pack.moved == n);
		packed(&r);
		finish(&r);
	}
}

/* After discards, and without "always": what somebody has freed. */
static void after_discards(void **state)
{
	struct run r;
	u64 b, n = 0;

	make(&r, ut_disk_random(200 * 4096, 4096, 5, false), (struct img_vdi){ .seed = 2 });
	r.pack.always = false;
	assert_int_equal(vd_fill_holes(r.s.chain, &r.pack), 0);
	assert_false(r.pack.left);
	assert_true(r.s.changes == 0);
	for (b = 0; b < 200; b += 1 + b % 5) {
		if (r.s.d->state[b] != UT_DATA)
			continue;
		assert_int_equal(vd_discard(r.s.chain, b * 4096, 4096), 0);
		ut_disk_set(r.s.d, b, UT_ZERO, 0);
	}
	/* And places that nobody has published. */
	for (b = 0; b < 200; b++)
		n += r.s.d->state[b] == UT_DATA;
	assert_int_equal(vd_fill_holes(r.s.chain, &r.pack), 0);
	assert_true(r.pack.moved > 0 && vs_look(&r.s).used == n);
	packed(&r);
	finish(&r);
}

/* Written only in place: there is nothing that it would have left. */
static void only_in_place(void **state)
{
	struct run r;
	u64 b;

	make(&r, ut_disk_random(50 * 4096, 4096, 5, false),
	     (struct img_vdi){ .seed = 2, .holes = 4 });
	r.s.hook = NULL;
	for (b = 0; r.s.d->state[b] != UT_DATA; b++)
		;
	ut_disk_set(r.s.d, b, UT_DATA, 78);
	assert_int_equal(vd_write(r.s.chain, b * 4096, r.s.d->data + b * 4096, 4096), 0);
	r.pack.always = false;
	assert_int_equal(vd_fill_holes(r.s.chain, &r.pack), 0);
	assert_true(r.pack.moved == 0 && r.s.changes == 1);
	finish(&r);
}

/* What a power cut leaves of the map is what there is. */
static void durable(struct run *r)
{
	u32 b;

	for (b = 0; b < r->s.v.blocks; b++)
		assert_int_equal(r->map[b], vs_entry(&r->s, b));
}

/* Stopped at every question, then gone on with; each time the file is as good as before. */
static void stopped(void **state)
{
	bool whole = false;
	struct run r;
	u64 stop;

	for (stop = 1; !whole; stop++) {
		make(&r, ut_disk_random(40 * 16384, 16384, 6, true),
		     (struct img_vdi){ .seed = 3, .holes = 6 });
		r.stop = stop;
		assert_int_equal(vd_fill_holes(r.s.chain, &r.pack), 0);
		whole = r.calls < stop;
		assert_int_equal(r.pack.left, !whole);
		assert_true(r.calls <= stop);
		vs_look(&r.s);
		vs_content(&r.s);
		assert_true(r.pack.moved <= r.last_total);
		durable(&r);
		if (stop % 3 == 0) {
			r.s.hook = NULL;
			assert_int_equal(vd_end_write(r.s.chain), 0);
			assert_int_equal(vs_counter(&r.s), vs_look(&r.s).high);
			vs_content(&r.s);
			remember(&r);
			r.s.hook = watch;
		}
		r.stop = 0;
		r.last_moved = r.last_total = r.calls = 0;
		assert_int_equal(vd_fill_holes(r.s.chain, &r.pack), 0);
		packed(&r);
		finish(&r);
	}
	assert_true(stop > 8);
}

/* A bit for each slot: more is not taken. */
static void memory(void **state)
{
	struct run r;
	u64 need;

	make(&r, ut_disk_random(200 * 4096, 4096, 7, false),
	     (struct img_vdi){ .seed = 4, .holes = 70 });
	need = (r.s.v.high + 63) / 64 * 8;
	assert_true(need > 8);
	r.pack.memory = need - 1;
	assert_int_equal(vd_fill_holes(r.s.chain, &r.pack), 0);
	assert_true(r.pack.left && !r.pack.moved && r.s.changes == 0);
	r.pack.memory = need;
	assert_int_equal(vd_fill_holes(r.s.chain, &r.pack), 0);
	assert_true(r.pack.moved);
	packed(&r);
	finish(&r);
	/* Where there is nothing to do no memory is missing. */
	make(&r, ut_disk_random(200 * 4096, 4096, 7, false), (struct img_vdi){ .seed = 4 });
	r.pack.memory = 0;
	assert_int_equal(vd_fill_holes(r.s.chain, &r.pack), 0);
	packed(&r);
	finish(&r);
}

/* --- failures --- */

static struct {
	struct vd_file_ops ops;
	const struct vd_file_ops *whole;
	u64 from;
	long countdown;
	int error;
} bad;

static int bad_write(struct vd_file *file, u64 pos, const void *buf, u32 len)
{
	if (pos >= bad.from && !--bad.countdown)
		return -bad.error;
	return bad.whole->write(file, pos, buf, len);
}

static s64 bad_read(struct vd_file *file, u64 pos, void *buf, u32 len)
{
	if (pos >= bad.from && !--bad.countdown)
		return -bad.error;
	return bad.whole->read(file, pos, buf, len);
}

static void spoil(struct run *r, bool read, long countdown, int error)
{
	struct vd_file *file = r->s.set.files[0];

	bad.whole = file->ops;
	bad.ops = *file->ops;
	if (read)
		bad.ops.read = bad_read;
	else
		bad.ops.write = bad_write;
	bad.from = r->s.v.data_pos;
	bad.countdown = countdown;
	bad.error = error;
	file->ops = &bad.ops;
}

/* A transfer of the @nth copy fails. False: there are not so many. */
static bool copy_fails(bool read, long nth, int error)
{
	struct run r;
	bool hit;
	int ret;

	make(&r, ut_disk_random(40 * 16384, 16384, 6, false),
	     (struct img_vdi){ .seed = 3, .holes = 6 });
	spoil(&r, read, nth, error);
	ret = vd_fill_holes(r.s.chain, &r.pack);
	hit = bad.countdown <= 0;
	if (!hit || error == ENOSPC)
		assert_int_equal(ret, 0);
	else
		assert_int_equal(ret, -error);
	assert_false(vd_failed(r.s.chain));
	if (hit && error == ENOSPC)
		assert_true(r.pack.left);
	r.s.set.files[0]->ops = bad.whole;
	assert_int_equal(vd_flush(r.s.chain), 0);
	vs_look(&r.s);
	vs_content(&r.s);
	r.last_moved = r.last_total = r.calls = 0;
	assert_int_equal(vd_fill_holes(r.s.chain, &r.pack), 0);
	packed(&r);
	finish(&r);
	return hit;
}

static void copies_fail(void **state)
{
	long nth;

	for (nth = 1; copy_fails(false, nth, ENOSPC); nth++)
		;
	assert_true(nth > 4);
	for (nth = 1; copy_fails(false, nth, EIO); nth++)
		;
	assert_true(nth > 4);
	for (nth = 1; copy_fails(true, nth, EIO); nth++)
		;
	assert_true(nth > 4);
}

/* Each allocation fails once: it is left, or an error is told, and nothing is lost. */
static void no_memory(void **state)
{
	struct run r;
	long i;
	bool hit = true;

	for (i = 1; hit; i++) {
		int ret;

		make(&r, ut_disk_random(40 * 16384, 16384, 6, true),
		     (struct img_vdi){ .seed = 3, .holes = 6 });
		ut_alloc_start(i, false);
		ret = vd_fill_holes(r.s.chain, &r.pack);
		ut_alloc_stop();
		hit = ut_alloc.failed;
		assert_true(!ret || (hit && ret == -ENOMEM));
		assert_int_equal(vd_flush(r.s.chain), 0);
		vs_content(&r.s);
		r.last_moved = r.last_total = r.calls = 0;
		assert_int_equal(vd_fill_holes(r.s.chain, &r.pack), 0);
		packed(&r);
		finish(&r);
	}
	assert_true(i > 6);
}

/* --- others at work --- */

/* A reader may still be about to read what was freed: then nothing moves. */
static void readers(void **state)
{
	unsigned int cookie;
	struct run r;
	u64 b;

	make(&r, ut_disk_random(40 * 4096, 4096, 8, false), (struct img_vdi){ .seed = 3 });
	for (b = 0; r.s.d->state[b] != UT_DATA; b++)
		;
	cookie = vd_io_enter(r.s.chain);
	assert_int_equal(vd_discard(r.s.chain, b * 4096, 4096), 0);
	ut_disk_set(r.s.d, b, UT_ZERO, 0);
	assert_int_equal(vd_fill_holes(r.s.chain, &r.pack), 0);
	assert_true(r.pack.left && !r.pack.moved && !r.calls);
	vs_content(&r.s);
	vd_io_leave(r.s.chain, cookie);
	assert_int_equal(vd_fill_holes(r.s.chain, &r.pack), 0);
	assert_true(r.pack.moved == 1);
	packed(&r);
	finish(&r);
}

/* One that began after all was freed holds up only what moves while it reads. */
static void late_reader(void **state)
{
	unsigned int cookie;
	struct run r;

	make(&r, ut_disk_random(40 * 4096, 4096, 8, false),
	     (struct img_vdi){ .seed = 3, .holes = 3 });
	cookie = vd_io_enter(r.s.chain);
	assert_int_equal(vd_fill_holes(r.s.chain, &r.pack), 0);
	assert_true(r.pack.moved && !r.pack.left);
	vs_content(&r.s);
	/* The old slots are still whole. */
	assert_true(r.zeroed == 0);
	vd_io_leave(r.s.chain, cookie);
	assert_int_equal(vd_flush(r.s.chain), 0);
	packed(&r);
	finish(&r);
}

/* Somebody has a place that no map shows: it would be taken for a hole. */
static void token(void **state)
{
	struct vd_alloc alloc;
	struct run r;
	u64 b;

	make(&r, ut_disk_random(40 * 4096, 4096, 8, false),
	     (struct img_vdi){ .seed = 3, .holes = 3 });
	for (b = 0; r.s.d->state[b] != UT_ABSENT; b++)
		;
	assert_int_equal(vd_reserve(r.s.chain, b * 4096, 4096, &alloc, NULL), 0);
	assert_int_equal(vd_fill_holes(r.s.chain, &r.pack), 0);
	assert_true(r.pack.left && !r.pack.moved);
	vd_abandon(r.s.chain, &alloc);
	assert_int_equal(vd_fill_holes(r.s.chain, &r.pack), 0);
	packed(&r);
	finish(&r);
}

/* --- what is copied --- */

/* Zeros in a slot take no space where it goes to. */
static void sparse(void **state)
{
	struct ut_disk *d = ut_disk_new(8 * 65536, 65536);
	struct run r;
	u64 b;

	for (b = 0; b < 8; b++)
		ut_disk_set(d, b, UT_DATA, 5);
	/* The last two move: one is zeros, of the other only the end is not. */
	memset(d->data + 7 * 65536, 0, 65536);
	memset(d->data + 6 * 65536, 0, 65536 - 4096);
	make(&r, d, (struct img_vdi){ .seed = 0 });
	assert_int_equal(vd_discard(r.s.chain, 0, 2 * 65536), 0);
	ut_disk_set(d, 0, UT_ZERO, 0);
	ut_disk_set(d, 1, UT_ZERO, 0);
	assert_int_equal(vd_flush(r.s.chain), 0);
	r.writes = r.zeroed = 0;
	assert_int_equal(vd_fill_holes(r.s.chain, &r.pack), 0);
	assert_true(r.pack.moved == 2);
	assert_true(r.writes == 1);
	packed(&r);
	finish(&r);
}

/* The last slot was cut short: what is not there is zeros. */
static void short_slot(void **state)
{
	struct ut_disk *d = ut_disk_random(20 * 8192 + 512, 8192, 9, false);
	struct run r;

	ut_disk_set(d, d->nr - 1, UT_DATA, 4);
	make(&r, d, (struct img_vdi){ .cut_last = true, .holes = 3 });
	assert_int_equal(vd_fill_holes(r.s.chain, &r.pack), 0);
	assert_true(r.pack.moved == 1);
	packed(&r);
	finish(&r);
}

/* And there is no room to make it whole: then nothing moves. */
static void short_slot_no_room(void **state)
{
	struct ut_disk *d = ut_disk_random(20 * 8192 + 512, 8192, 9, false);
	struct run r;

	memset(&r, 0, sizeof(r));
	ut_disk_set(d, d->nr - 1, UT_DATA, 4);
	r.s.d = d;
	r.s.v = (struct img_vdi){ .cut_last = true, .holes = 3 };
	img_vdi_write(&r.s.v, d);
	vs_open_patched(&r.s, true, NULL);
	prepare(&r);
	assert_int_equal(vd_fill_holes(r.s.chain, &r.pack), 0);
	assert_true(r.pack.left && !r.pack.moved);
	assert_true(r.writes + r.zeroed == 0);
	vs_content(&r.s);
	finish(&r);
}

/* Parents are not touched, and show through where they did. */
static void child(void **state)
{
	struct run r;

	memset(&r, 0, sizeof(r));
	vs_make(&r.s, (struct img_vdi){ .type = IMG_VDI_DIFF, .holes = 20, .seed = 8 });
	r.s.parent = ut_disk_new(VS_BLOCKS * VS_GRAIN, VS_GRAIN);
	memset(r.s.parent->data, 0x77, r.s.parent->size);
	memset(r.s.parent->state, UT_DATA, r.s.parent->nr);
	vs_open(&r.s);
	prepare(&r);
	assert_int_equal(vd_fill_holes(r.s.chain, &r.pack), 0);
	packed(&r);
	finish(&r);
}

/* A file that cannot end earlier is put in order all the same. */
static void device(void **state)
{
	struct img_vdi_look l;
	struct run r;
	u64 len;

	memset(&r, 0, sizeof(r));
	vs_make(&r.s, (struct img_vdi){ .holes = 9, .seed = 8 });
	len = r.s.v.buf.len;
	vs_open_patched(&r.s, true, NULL);
	prepare(&r);
	assert_int_equal(vd_fill_holes(r.s.chain, &r.pack), 0);
	assert_false(r.pack.left);
	assert_int_equal(vd_end_write(r.s.chain), 0);
	l = vs_look(&r.s);
	assert_true(l.used == 8 && l.high == 8 && l.counter == 8 && vs_length(&r.s) == len);
	vs_content(&r.s);
	finish(&r);
}

/* --- many --- */

/* At most so many moves are lost in a power cut. */
static void batches(void **state)
{
	struct ut_disk *d = ut_disk_new(2000 * 512, 512);
	struct run r;
	u64 b;

	for (b = 0; b < 2000; b += 2)
		ut_disk_set(d, b, UT_DATA, 3);
	make(&r, d, (struct img_vdi){ .seed = 7, .holes = 700 });
	assert_int_equal(vd_fill_holes(r.s.chain, &r.pack), 0);
	/* Two flushes for each 256 moves: data, then the map. */
	assert_true(r.flushes >= r.pack.moved / 256 * 2);
	packed(&r);
	finish(&r);
}

#define WIDE	41984U	/* entries: in 41 blocks of the cache, in three pieces of a walk */

static struct ut_disk *wide_disk(u64 step)
{
	struct ut_disk *d = ut_disk_new(WIDE * 512ULL, 512);
	u64 b;

	for (b = 5; b < WIDE; b += step)
		ut_disk_set(d, b, UT_DATA, b);
	return d;
}

/* Each move dirties another block of the map: there is no memory for all of them. */
static void many_tables(void **state)
{
	struct vd_chain_desc desc;
	struct vd_error err;
	struct run r;

	make(&r, wide_disk(512), (struct img_vdi){ .seed = 5, .holes = 400 });
	vd_chain_close(r.s.chain);
	desc = ut_set_desc(&r.s.set);
	desc.meta_blocks = 8;
	assert_int_equal(vd_chain_open(&desc, &r.s.chain, &err), 0);
	r.s.seg = &r.s.chain->images[0].segs[0];
	assert_int_equal(vd_fill_holes(r.s.chain, &r.pack), 0);
	packed(&r);
	finish(&r);
}

static void poke(struct run *r, u64 block, u32 value)
{
	u8 raw[4];

	put_unaligned_le32(value, raw);
	assert_int_equal(r->s.mem->ops->write(r->s.mem, img_vdi_entry(&r->s.v, block), raw, 4), 0);
}

static void poke_late(struct run *r)
{
	poke(r, WIDE - 1, r->s.v.high - 2);
	r->poke = NULL;
}

/* The map grows while it is read: an entry more than there are places. */
static void no_hole_left(void **state)
{
	struct run r;

	make(&r, wide_disk(2048), (struct img_vdi){ .seed = 0, .holes = 1 });
	r.poke = poke_late;
	r.s.hook = NULL;
	poke(&r, 5, r.s.v.high - 1);
	poke(&r, 5 + 20 * 2048, 0);
	r.s.v.high++;
	vs_heard("");
	assert_int_equal(vd_fill_holes(r.s.chain, &r.pack), -EUCLEAN);
	vs_heard("finds no hole");
	finish(&r);
}

/* Since the first write somebody else has put two blocks into one slot. */
static void damaged(void **state)
{
	struct run r;

	make(&r, ut_disk_random(40 * 4096, 4096, 8, false),
	     (struct img_vdi){ .seed = 3, .holes = 3 });
	assert_int_equal(vd_begin_write(r.s.chain), 0);
	poke(&r, 12, 1);
	poke(&r, 13, 1);
	r.s.changes = 0;
	assert_int_equal(vd_fill_holes(r.s.chain, &r.pack), -EUCLEAN);
	vs_heard("share their place in the file");
	assert_true(r.s.changes == 0);
	finish(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(complete),
		cmocka_unit_test(after_discards),
		cmocka_unit_test(only_in_place),
		cmocka_unit_test(stopped),
		cmocka_unit_test(memory),
		cmocka_unit_test(copies_fail),
		cmocka_unit_test(no_memory),
		cmocka_unit_test(readers),
		cmocka_unit_test(late_reader),
		cmocka_unit_test(token),
		cmocka_unit_test(sparse),
		cmocka_unit_test(short_slot),
		cmocka_unit_test(short_slot_no_room),
		cmocka_unit_test(child),
		cmocka_unit_test(device),
		cmocka_unit_test(batches),
		cmocka_unit_test(many_tables),
		cmocka_unit_test(no_hole_left),
		cmocka_unit_test(damaged),
	};

	return cmocka_run_group_tests_name("vdi-pack", tests, NULL, NULL);
}
