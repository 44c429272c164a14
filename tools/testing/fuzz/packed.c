// SPDX-License-Identifier: GPL-2.0-only
/* Compressed pieces: other data, other lengths, other containers, cut short. */
#include <stdlib.h>
#include <zlib.h>
#include "mutate.h"

#define PLAIN_MAX	(256U << 10)

/* Bytes that compress to a half or so, and never the same again. */
static void fill(u8 *to, u32 len, struct ut_rng *rng)
{
	u32 i;

	for (i = 0; i < len; i++)
		to[i] = i % 16 ? (u8)(to[i - 1] + 1) : (u8)ut_rand(rng);
}

/* Into @room bytes at @to; returns how many, 0 if they do not suffice. */
static u32 pack(u8 *to, u32 room, u8 *from, u32 len, int window, int level)
{
	z_stream z = { .next_in = from, .avail_in = len, .next_out = to, .avail_out = room };
	bool done;

	if (deflateInit2(&z, level, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return 0;
	done = deflate(&z, Z_FINISH) == Z_STREAM_END;
	deflateEnd(&z);
	return done ? (u32)z.total_out : 0;
}

/* How many bytes a stream holds, or a common number where it is none. */
static u32 unpacked(const u8 *from, u32 len)
{
	uLongf room = PLAIN_MAX;
	u8 *plain = malloc(room);
	bool good = plain && uncompress(plain, &room, from, len) == Z_OK;

	free(plain);
	return good && room ? (u32)room : 4096;
}

/*
 * The length stands right before the bytes. What was there behind a shorter
 * stream stays; a longer one takes what follows.
 */
static void repack(struct fz_view *v, const struct fz_field *f, struct ut_rng *rng)
{
	struct fz_view_file *file = &v->file[f->file];
	struct fz_field size = { .file = f->file, .pos = f->pos - 4, .width = 4 };
	u32 now = unpacked(file->data + f->pos, f->len), packed;
	const u32 lengths[] = { now, now - 1, now + 1, 0, now / 2, now * 2, 512, now };
	const int windows[] = { 15, 15, 15, 15, -15, 31, 9, 12 };
	u32 len = min(lengths[ut_below(rng, ARRAY_SIZE(lengths))], PLAIN_MAX);
	int window = windows[ut_below(rng, ARRAY_SIZE(windows))];
	u8 *plain = calloc(1, len + 1);

	if (!plain)
		return;
	if (ut_below(rng, 4))
		fill(plain, len, rng);
	packed = pack(file->data + f->pos, (u32)min(file->len - f->pos, (u64)PLAIN_MAX), plain, len,
		      window, (int)ut_below(rng, 10));
	free(plain);
	fz_set(v, &size, packed);
	fz_say("file %u byte %llu: %u other bytes, packed to %u, window %d", f->file, f->pos, len,
	       packed, window);
}

void fz_mutate_packed(struct fz_view *v, const struct fz_field *f, struct ut_rng *rng)
{
	struct fz_field size = { .file = f->file, .pos = f->pos - 4, .width = 4 };
	u64 at = f->len ? ut_below(rng, f->len) : 0, old = fz_get(v, &size);

	switch (ut_below(rng, 4)) {
	case 0:
		if (f->len)
			v->file[f->file].data[f->pos + at] ^= (u8)(1U << ut_below(rng, 8));
		fz_say("file %u byte %llu: a bit of packed byte %llu", f->file, f->pos, at);
		break;
	case 1:
		fz_set(v, &size, ut_below(rng, 2) ? at : old + ut_below(rng, 33) - 16);
		fz_say("file %u byte %llu: packed length %llu becomes %llu", f->file, f->pos, old,
		       fz_get(v, &size));
		break;
	default:
		repack(v, f, rng);
	}
}
