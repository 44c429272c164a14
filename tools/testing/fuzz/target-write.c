// SPDX-License-Identifier: GPL-2.0-only
/*
 * Open for writing; write, discard, zero, flush, fill holes, end; open again. Where the
 * image was consistent and nobody interferes, every sector reads what it has to, those
 * beside the changes too, and the check finds nothing.
 */
#include <stdio.h>
#include <stdlib.h>

#include "fz-shadow.h"
#include "vdisk/alloc.h"

#define MAX_BYTES	(48U << 10)	/* of one change */
#define BESIDE		(8U * VD_SECTOR)
#define PACK_CALLS	512U		/* of go_on: copies are stopped after that */

/**
 * struct session - one disk, open for writing
 * @sure: the shadow is to be believed
 * @unit: for packed parents
 * @pack_calls: of go_on that are left
 * @unclean: findings of that kind before the first change
 * @packed: no hole is left, and nothing has been changed since
 */
struct session {
	struct fz_once *once;
	struct vd_chain *chain;
	struct fz_rng rng;
	struct fz_shadow shadow;
	struct vd_unit unit;
	u32 pack_calls;
	u64 unclean;
	bool sure;
	bool packed;
};

static u8 bytes[MAX_BYTES];
static u8 fill[65536];

static void check_ret(const char *what, int ret)
{
	if (ret > 0 || ret < -4095 || ret == -EAGAIN || ret == -ENODATA || ret == -EBUSY)
		fz_die("%s: returned %d", what, ret);
}

static void call(struct session *s, const char *what, u64 len)
{
	fz_call(&s->once->io, what, fz_write_cap(s->once, s->chain, len));
}

/* Tables that nobody would walk a thousand times a second. */
static bool too_long(struct fz_once *once, const struct vd_chain *chain)
{
	return fz_write_cap(once, chain, 0) >= FZ_TOO_LONG;
}

/* --- what is there --- */

static int read_sector(struct session *s, u64 pos, u8 *buf)
{
	fz_call(&s->once->io, "read", fz_read_cap(s->chain, VD_SECTOR));
	return vd_read(s->chain, &s->unit, pos, buf, VD_SECTOR);
}

/* The shadow knows [pos, pos + len) and what is beside it. */
static void learn(struct session *s, u64 pos, u64 len)
{
	u64 at = pos > BESIDE ? pos - BESIDE : 0, end = min(pos + len + BESIDE, s->chain->size);
	struct fz_sector *sector;

	for (; s->sure && at < end; at += VD_SECTOR) {
		sector = fz_shadow_get(&s->shadow, at);
		if (!sector)
			s->sure = false;
		else if (sector->state == FZ_EMPTY)
			sector->state = read_sector(s, at, sector->data) ? FZ_UNKNOWN : FZ_KNOWN;
	}
}

static void compare(struct session *s, const struct fz_sector *sector)
{
	static const u8 zeros[VD_SECTOR];
	u8 now[VD_SECTOR];
	int ret;

	if (sector->state == FZ_EMPTY || sector->state == FZ_UNKNOWN)
		return;
	ret = read_sector(s, sector->pos, now);
	if (ret)
		fz_die("write: byte %llu cannot be read any more (%d)", sector->pos, ret);
	if (!memcmp(now, sector->data, VD_SECTOR))
		return;
	if (sector->state == FZ_KNOWN || memcmp(now, zeros, VD_SECTOR))
		fz_die("write: byte %llu reads 0x%02x%02x%02x%02x..., not 0x%02x%02x%02x%02x...",
		       sector->pos, now[0], now[1], now[2], now[3], sector->data[0],
		       sector->data[1], sector->data[2], sector->data[3]);
}

static void compare_all(struct session *s)
{
	u32 i;

	for (i = 0; s->sure && i < FZ_SHADOW_SECTORS; i++)
		compare(s, &s->shadow.sectors[i]);
}

/* --- changes --- */

static void mark(struct session *s, u64 pos, u64 len, enum fz_state state, const u8 *data)
{
	struct fz_sector *sector;
	u64 at;

	for (at = 0; s->sure && at < len; at += VD_SECTOR) {
		sector = fz_shadow_get(&s->shadow, pos + at);
		if (!sector || (state == FZ_EITHER && sector->state == FZ_UNKNOWN))
			continue;
		sector->state = state;
		if (state == FZ_KNOWN && data)
			memcpy(sector->data, data + at, VD_SECTOR);
		else if (state == FZ_KNOWN)
			memset(sector->data, 0, VD_SECTOR);
	}
}

static void do_write(struct session *s, u64 pos, u32 len)
{
	u32 i;
	int ret;

	for (i = 0; i < len; i += 8)
		memcpy(bytes + i, &(u64){ fz_rand(&s->rng) }, 8);
	call(s, "write", len);
	ret = vd_write(s->chain, pos, bytes, len);
	check_ret("write", ret);
	mark(s, pos, len, ret ? FZ_UNKNOWN : FZ_KNOWN, bytes);
}

static void do_discard(struct session *s, u64 pos, u32 len)
{
	int ret;

	call(s, "discard", len);
	ret = vd_discard(s->chain, pos, len);
	check_ret("discard", ret);
	mark(s, pos, len, ret ? FZ_UNKNOWN : FZ_EITHER, NULL);
}

static void do_zero(struct session *s, u64 pos, u32 len)
{
	int ret;

	call(s, "zero", len);
	ret = vd_write_zeroes(s->chain, pos, len, fz_rand(&s->rng) & 1);
	check_ret("zero", ret);
	mark(s, pos, len, ret ? FZ_UNKNOWN : FZ_KNOWN, NULL);
}

static void wake(struct vd_waiter *waiter)
{
}

static void check_token(const char *what, int ret)
{
	if (ret != -EAGAIN && ret != -EBUSY)
		check_ret(what, ret);
}

/* Somewhere else, or at its edge. */
static void second_token(struct session *s, const struct vd_alloc *alloc)
{
	u64 end = alloc->pos + alloc->len, pos = fz_some_pos(s->chain, &s->rng);
	struct vd_alloc other;
	int ret;

	if (fz_rand(&s->rng) & 1 && end < s->chain->size)
		pos = end;
	if (fz_rand(&s->rng) & 1 && alloc->pos)
		pos = alloc->pos - VD_SECTOR;
	call(s, "reserve", MAX_BYTES);
	ret = vd_reserve(s->chain, pos, min_t(u64, MAX_BYTES, s->chain->size - pos), &other, NULL);
	if (ret)
		check_token("reserve", ret);
	else if (other.pos < end && alloc->pos < other.pos + other.len)
		fz_die("reserve: two tokens for [%llu, +%llu)", other.pos, other.len);
	else
		vd_abandon(s->chain, &other);
}

/* While a token is in flight: what must wait says so, the rest goes on. */
static void other_token(struct session *s, const struct vd_alloc *alloc, struct vd_waiter *waiter)
{
	struct vd_alloc other;
	u64 done;
	int ret;

	call(s, "reserve", alloc->len);
	ret = vd_reserve(s->chain, alloc->pos, VD_SECTOR, &other, waiter);
	if (ret != -EBUSY && ret != -EIO && ret != -ENOMEM)
		fz_die("reserve: %d under another token", ret);
	call(s, "clear", alloc->len);
	ret = vd_clear(s->chain, alloc->pos, alloc->len, 0, fill, sizeof(fill), &s->unit, NULL,
		       &done);
	check_token("clear", ret);
	second_token(s, alloc);
	call(s, "commit", 0);
	check_ret("commit", vd_commit(s->chain));
	if (fz_rand(&s->rng) & 1)
		vd_wake_all(s->chain);
	call(s, "end_write", 0);
	check_token("end_write", vd_end_write(s->chain));
	vd_meta_shrink(s->chain->meta, (u32)fz_below(&s->rng, 32));
}

static bool pack_on(void *ctx, u64 moved, u64 total)
{
	struct session *s = ctx;

	if (moved > total)
		fz_die("fill_holes: %llu of %llu moved", moved, total);
	return s->pack_calls && --s->pack_calls;
}

/* Is it of each extent that it fills holes in? Not of those that are only read. */
static bool all_packed(const struct vd_image *top)
{
	u32 i;

	for (i = 0; i < top->nr_segs; i++)
		if (top->segs[i].format && top->segs[i].format->fill_holes &&
		    !top->segs[i].alloc_begun)
			return false;
	return true;
}

/* Each call of go_on is a piece: read, and written. Nobody writes meanwhile, but some read. */
static void do_pack(struct session *s, bool whole)
{
	struct vd_pack pack = { .go_on = pack_on, .ctx = s, .buf = fill, .size = sizeof(fill),
				.memory = 1 << 20, .always = true };
	bool reader = !whole && fz_below(&s->rng, 8) == 0;
	unsigned int cookie = reader ? vd_io_enter(s->chain) : 0;
	int ret;

	s->pack_calls = PACK_CALLS;
	if (!whole) {
		/* Half of the time it has to stop before much has moved. */
		s->pack_calls = (u32)fz_below(&s->rng, PACK_CALLS);
		if (s->pack_calls & 1)
			s->pack_calls = s->pack_calls / 2 % 4;
		pack.size = 4096U << fz_below(&s->rng, 5);
		pack.memory = fz_below(&s->rng, 8) ? pack.memory : 8;
		pack.always = fz_rand(&s->rng) & 1;
	}
	call(s, "fill_holes", (u64)PACK_CALLS * sizeof(fill));
	ret = fz_mistake("no-pack") ? 0 : vd_fill_holes(s->chain, &pack);
	check_ret("fill_holes", ret);
	if (reader)
		vd_io_leave(s->chain, cookie);
	s->packed = whole && !ret && !pack.left &&
		    (fz_mistake("no-pack") || all_packed(&s->chain->images[0]));
}

static void do_end(struct session *s)
{
	call(s, "end_write", 0);
	check_ret("end_write", vd_end_write(s->chain));
}

/*
 * As the kernel does it: others go on while a place is filled. What they do there
 * waits for the token, so what it covers is unknown to the shadow.
 */
static void do_token(struct session *s, u64 pos, u32 len)
{
	struct vd_waiter waiter = { .wake = wake };
	struct vd_alloc alloc;
	u32 step;
	int ret;

	call(s, "reserve", len);
	ret = vd_reserve(s->chain, pos, len, &alloc, NULL);
	if (ret) {
		check_token("reserve", ret);
		return;
	}
	learn(s, alloc.pos, min_t(u64, alloc.len, MAX_BYTES));
	other_token(s, &alloc, &waiter);
	step = (u32)min_t(u64, len, alloc.pos + alloc.len - pos);
	memset(bytes, 0x77, step);
	call(s, "fill", alloc.len);
	ret = vd_fill(s->chain, &alloc, pos, step, fill, sizeof(fill), &s->unit);
	if (!ret)
		ret = vd_file_write(alloc.file, alloc.file_pos + (pos - alloc.pos), bytes, step);
	call(s, "publish", 0);
	if (ret || fz_rand(&s->rng) & 1) {
		vd_abandon(s->chain, &alloc);
	} else {
		vd_publish(s->chain, &alloc);
		mark(s, pos, step, FZ_KNOWN, bytes);
	}
}

static void one_change(struct session *s)
{
	u64 pos = fz_some_pos(s->chain, &s->rng);
	u64 most = min_t(u64, MAX_BYTES, s->chain->size - pos) / VD_SECTOR;
	u32 len = (u32)(1 + fz_below(&s->rng, 1ULL << fz_below(&s->rng, 7)));

	len = (u32)min_t(u64, len, most) * VD_SECTOR;
	learn(s, pos, len);
	if (fz_below(&s->rng, 200) == 0) {
		vd_set_failed(s->chain);
		call(s, "write", len);
		if (!vd_write(s->chain, pos, bytes, len) || !vd_flush(s->chain))
			fz_die("write: goes on after a failure");
		return;
	}
	switch (fz_below(&s->rng, 13)) {
	case 12:
		do_pack(s, false);
		return;
	case 0:
		call(s, "flush", 0);
		check_ret("flush", vd_flush(s->chain));
		return;
	case 1:
		do_end(s);
		return;
	case 2:
	case 3:
		do_discard(s, pos, len);
		return;
	case 4:
	case 5:
		do_zero(s, pos, len);
		return;
	case 6:
	case 7:
		do_token(s, pos, len);
		return;
	}
	do_write(s, pos, len);
}

/* --- is it consistent? --- */

static void say(void *ctx, enum vd_finding kind, const char *text)
{
	if (getenv("FZ_VERBOSE"))
		fprintf(stderr, "finding of kind %d: %s\n", kind, text);
}

/* *@unclean: what a crash left, as far as a writer puts it right by the way. */
static bool segment_is_sound(struct fz_once *once, const struct vdisk_segment_desc *seg,
			     bool packed, u64 *unclean)
{
	const struct fz_backend *b = fz_backend_of(seg->kind);
	struct vd_check c = { .report = say };

	if (seg->member == VDISK_NO_MEMBER)
		return true;
	if (fz_check(once, seg->member, seg->kind, seg->len, &c))
		return false;
	if (packed && b->format->fill_holes && c.found[VD_FINDING_LEAK])
		return false;
	if (b->renews)
		*unclean += c.found[VD_FINDING_UNCLEAN];
	else if (c.found[VD_FINDING_UNCLEAN])
		return false;
	return !c.found[VD_FINDING_CORRUPT];
}

static bool is_sound(struct fz_once *once, u32 images, bool packed, u64 *unclean)
{
	u32 i;

	*unclean = 0;
	for (i = 0; i < once->in.ctl.nr_segs; i++)
		if (once->in.segs[i].image < images &&
		    !segment_is_sound(once, &once->in.segs[i], packed, unclean))
			return false;
	return true;
}

/* The patches first: they may hit anything, and the disk is what they leave. */
static bool patched(struct fz_once *once)
{
	struct vd_chain *chain = fz_open(once);
	int ret = -EROFS;

	if (!chain)
		return false;
	if (chain->writer) {
		once->io.may_write = true;
		fz_call(&once->io, "begin_write", fz_write_cap(once, chain, 0));
		ret = too_long(once, chain) ? -EFBIG : vd_begin_write(chain);
		check_ret("begin_write", ret);
	}
	fz_close(chain);
	fz_io_reopen(&once->io, true);
	return !ret;
}

/* --- sessions --- */

static void changes(struct session *s)
{
	u32 n;

	s->once->io.may_write = true;
	for (n = 3 + (u32)fz_below(&s->rng, 12); n; n--) {
		one_change(s);
		if (fz_below(&s->rng, 8) == 0)
			compare_all(s);
	}
	compare_all(s);
	if (fz_rand(&s->rng) & 1)
		do_pack(s, true);
	if (vd_failed(s->chain) || s->once->io.full)
		s->sure = false;
	call(s, "end_write", 0);
	if (vd_end_write(s->chain))
		s->sure = false;
	compare_all(s);
	vd_unit_release(&s->unit);
	fz_close(s->chain);
}

static void look_again(struct session *s)
{
	u64 unclean;

	fz_io_reopen(&s->once->io, false);
	s->once->in.ctl.nr_patches = 0;
	if (!s->sure)
		return;
	if (!is_sound(s->once, 1, s->packed, &unclean) || unclean > s->unclean)
		fz_die("write: the check does not like what was written");
	s->chain = fz_open(s->once);
	if (!s->chain)
		fz_die("write: the disk cannot be opened any more");
	compare_all(s);
	vd_unit_release(&s->unit);
	fz_close(s->chain);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct fz_once *once = fz_begin(data, size);
	static struct session session;
	struct session *s = &session;

	if (!once)
		return -1;
	memset(s, 0, sizeof(*s));
	s->once = once;
	s->rng.state = once->in.ctl.seed;
	if (patched(once)) {
		s->sure = fz_honest(&once->io) &&
			  is_sound(once, VDISK_MAX_IMAGES, false, &s->unclean);
		s->chain = fz_open(once);
	}
	if (s->chain && too_long(once, s->chain)) {
		fz_close(s->chain);
	} else if (s->chain) {
		fz_shadow_init(&s->shadow);
		changes(s);
		look_again(s);
		fz_shadow_release(&s->shadow);
	}
	fz_end(once);
	return 0;
}
