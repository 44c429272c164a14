/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the unit tests share: a repeatable random source, buffers to lay images
 * out in, and disks whose every sector says where it belongs. ut-set.h has the
 * rest: sets of files that become a chain, and the comparison of a chain with
 * its shadow.
 *
 * Nothing here uses code of the library to build an image: the writers follow
 * the format sheets on their own, so that reader and writer cannot share a
 * misunderstanding.
 */
#ifndef UT_H
#define UT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vdisk/checked.h"
#include "vdisk/image.h"
#include "vdisk/layout.h"
#include "vdisk/ufile.h"
#include "ut-rng.h"

#define UT_KIB		1024ULL
#define UT_MIB		(1024ULL * 1024ULL)

static inline void *ut_xalloc(size_t len)
{
	void *p = calloc(1, len ? len : 1);

	if (!p)
		abort();
	return p;
}

/* --- a growing byte buffer: an image file under construction --- */

struct ut_buf {
	u8 *data;
	size_t len;
	size_t room;
};

static inline void ut_buf_size(struct ut_buf *b, u64 len)
{
	if (len > b->room) {
		size_t room = len + len / 4 + 4096;
		u8 *data = realloc(b->data, room);

		if (!data)
			abort();
		memset(data + b->room, 0, room - b->room);
		b->data = data;
		b->room = room;
	}
	if (len < b->len)
		memset(b->data + len, 0, b->len - len);
	b->len = len;
}

static inline void ut_put(struct ut_buf *b, u64 pos, const void *data, size_t len)
{
	if (pos + len > b->len)
		ut_buf_size(b, pos + len);
	if (len)
		memcpy(b->data + pos, data, len);
}

static inline void ut_put_le(struct ut_buf *b, u64 pos, u64 value, unsigned int bytes)
{
	u8 raw[8];
	unsigned int i;

	for (i = 0; i < bytes; i++)
		raw[i] = (u8)(value >> (8 * i));
	ut_put(b, pos, raw, bytes);
}

static inline void ut_put8(struct ut_buf *b, u64 pos, u8 v)
{
	ut_put_le(b, pos, v, 1);
}

static inline void ut_put16(struct ut_buf *b, u64 pos, u16 v)
{
	ut_put_le(b, pos, v, 2);
}

static inline void ut_put32(struct ut_buf *b, u64 pos, u32 v)
{
	ut_put_le(b, pos, v, 4);
}

static inline void ut_put64(struct ut_buf *b, u64 pos, u64 v)
{
	ut_put_le(b, pos, v, 8);
}

static inline u64 ut_get_le(const struct ut_buf *b, u64 pos, unsigned int bytes)
{
	u64 v = 0;
	unsigned int i;

	assert_true(pos + bytes <= b->len);
	for (i = 0; i < bytes; i++)
		v |= (u64)b->data[pos + i] << (8 * i);
	return v;
}

static inline void ut_buf_free(struct ut_buf *b)
{
	free(b->data);
	memset(b, 0, sizeof(*b));
}

/* --- disks that carry their own oracle --- */

enum ut_state {
	UT_ABSENT,	/* this image does not have it: the parent shows */
	UT_ZERO,	/* reads zeros, hides the parent */
	UT_DATA,
};

/**
 * struct ut_disk - what one image of a chain holds
 * @size: bytes, multiple of 512
 * @grain: bytes that share a state
 * @data: content; zeros where absent
 * @state: enum ut_state for each grain
 */
struct ut_disk {
	u64 size;
	u64 grain;
	u64 nr;
	u8 *data;
	u8 *state;
};

/* Content that names its owner and place, so that a misplaced sector shows. */
static inline void ut_pattern(u8 *buf, u64 len, u64 pos, u64 tag)
{
	u64 i, word;

	for (i = 0; i + 8 <= len; i += 8) {
		word = ut_mix(tag * 0x10001 + ((pos + i) << 8));
		memcpy(buf + i, &word, 8);
	}
}

static inline u64 ut_grain_len(const struct ut_disk *d, u64 g)
{
	return min_t(u64, d->grain, d->size - g * d->grain);
}

static inline void ut_disk_set(struct ut_disk *d, u64 g, enum ut_state state, u64 tag)
{
	d->state[g] = (u8)state;
	if (state == UT_DATA)
		ut_pattern(d->data + g * d->grain, ut_grain_len(d, g), g * d->grain, tag);
	else
		memset(d->data + g * d->grain, 0, ut_grain_len(d, g));
}

static inline struct ut_disk *ut_disk_new(u64 size, u64 grain)
{
	struct ut_disk *d = ut_xalloc(sizeof(*d));

	d->size = size;
	d->grain = grain;
	d->nr = (size + grain - 1) / grain;
	d->data = ut_xalloc(size);
	d->state = ut_xalloc(d->nr);
	return d;
}

/* Runs of 1 to 9 grains; @zeros: whether the format knows explicit zeros. */
static inline struct ut_disk *ut_disk_random(u64 size, u64 grain, u64 seed, bool zeros)
{
	struct ut_disk *d = ut_disk_new(size, grain);
	struct ut_rng rng = { seed };
	u64 g = 0;

	while (g < d->nr) {
		enum ut_state state = (enum ut_state)ut_below(&rng, 3);
		u64 run = 1 + ut_below(&rng, 9);

		if (state == UT_ZERO && !zeros)
			state = UT_DATA;
		for (; run-- && g < d->nr; g++)
			ut_disk_set(d, g, state, seed);
	}
	/* An all-zero data grain is data: it hides the parent too. */
	for (g = 0; g < d->nr; g += 17) {
		if (d->state[g] == UT_DATA)
			memset(d->data + g * d->grain, 0, ut_grain_len(d, g));
	}
	return d;
}

/* A part of @d as a disk of its own; @start and @len in bytes, grain-aligned start. */
static inline struct ut_disk *ut_disk_slice(const struct ut_disk *d, u64 start, u64 len)
{
	struct ut_disk *s = ut_disk_new(len, d->grain);

	memcpy(s->data, d->data + start, len);
	memcpy(s->state, d->state + start / d->grain, s->nr);
	return s;
}

static inline void ut_disk_free(struct ut_disk *d)
{
	if (!d)
		return;
	free(d->data);
	free(d->state);
	free(d);
}

/* What a guest sees: chain[0] on top. Caller frees. */
static inline u8 *ut_flatten(struct ut_disk *const *chain, unsigned int nr)
{
	const struct ut_disk *top = chain[0];
	u8 *out = ut_xalloc(top->size);
	u64 pos;
	unsigned int i;

	for (pos = 0; pos < top->size; pos += VD_SECTOR) {
		for (i = 0; i < nr; i++) {
			const struct ut_disk *d = chain[i];

			if (pos >= d->size)
				break;	/* clipped: zeros beyond a parent's end */
			if (d->state[pos / d->grain] == UT_ABSENT)
				continue;
			memcpy(out + pos, d->data + pos, VD_SECTOR);
			break;
		}
	}
	return out;
}

/* --- memory accounting and failing allocations --- */

struct ut_alloc {
	u64 bytes;
	u64 calls;
	long countdown;		/* the call that brings it to 0 fails; negative: never */
	bool sticky;
	u64 failed;
};

static struct ut_alloc ut_alloc __attribute__((unused)) = { .countdown = -1 };

static inline bool ut_alloc_hook(size_t size)
{
	long left;

	__atomic_add_fetch(&ut_alloc.calls, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&ut_alloc.bytes, size, __ATOMIC_RELAXED);
	if (ut_alloc.countdown < 0)
		return true;
	if (ut_alloc.countdown == 0 && !ut_alloc.sticky)
		return true;
	left = ut_alloc.countdown ? --ut_alloc.countdown : 0;
	if (left)
		return true;
	ut_alloc.failed++;
	return false;
}

static inline void ut_alloc_start(long countdown, bool sticky)
{
	memset(&ut_alloc, 0, sizeof(ut_alloc));
	ut_alloc.countdown = countdown;
	ut_alloc.sticky = sticky;
	vd_alloc_hook = ut_alloc_hook;
}

static inline void ut_alloc_stop(void)
{
	vd_alloc_hook = NULL;
}

#include "ut-set.h"

#endif /* UT_H */
