// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a guest may find in each sector after a crash: what it held when the last
 * flush was acknowledged, or what any request that began later puts there.
 */
#include "crash.h"

const u8 crash_zeros[VD_SECTOR];

/* Something that a sector may hold. @epoch: first flush that covers it, 0 while under way. */
struct crash_choice {
	struct crash_choice *older;
	const u8 *content;
	u32 request;
	u32 epoch;
};

void crash_oracle_init(struct crash_oracle *o, u64 size)
{
	memset(o, 0, sizeof(*o));
	o->sectors = size / VD_SECTOR;
	o->sure = ut_xalloc(o->sectors * sizeof(*o->sure));
	o->choice = ut_xalloc(o->sectors * sizeof(*o->choice));
	crash_arena_init(&o->arena, 64 << 20);
}

void crash_oracle_free(struct crash_oracle *o)
{
	free(o->sure);
	free(o->choice);
	crash_arena_free(&o->arena);
}

void crash_oracle_set(struct crash_oracle *o, const u8 *content)
{
	u64 s;

	for (s = 0; s < o->sectors; s++) {
		o->sure[s] = content + s * VD_SECTOR;
		o->choice[s] = NULL;
	}
	o->flush_epoch = 1;
	o->arena.used = 0;
}

static void begin(struct crash_oracle *o, const struct crash_op *op)
{
	u64 s, first = op->pos / VD_SECTOR;

	for (s = first; s < first + op->len / VD_SECTOR; s++) {
		struct crash_choice *choice = crash_take(&o->arena, sizeof(*choice));

		choice->older = o->choice[s];
		choice->content = op->data ? op->data + (s - first) * VD_SECTOR : crash_zeros;
		choice->request = op->request;
		choice->epoch = 0;
		o->choice[s] = choice;
	}
}

/* Any flush that begins from now on covers it. */
static void done(struct crash_oracle *o, const struct crash_op *op)
{
	u64 s, first = op->pos / VD_SECTOR;
	struct crash_choice *choice;

	for (s = first; s < first + op->len / VD_SECTOR; s++) {
		for (choice = o->choice[s]; choice; choice = choice->older) {
			if (choice->request == op->request)
				choice->epoch = o->flush_epoch;
		}
	}
}

/*
 * Of what was acknowledged before flush @epoch began, only the last remains. What
 * is under way may have begun earlier.
 */
static void flushed_sector(struct crash_oracle *o, u64 s, u32 epoch)
{
	struct crash_choice *choice, **link = &o->choice[s];
	bool found = false;

	while ((choice = *link)) {
		if (!choice->epoch || choice->epoch > epoch) {
			link = &choice->older;
			continue;
		}
		if (!found)
			o->sure[s] = choice->content;
		found = true;
		*link = choice->older;
	}
}

static void flushed(struct crash_oracle *o, u32 epoch)
{
	u64 s;

	for (s = 0; s < o->sectors; s++) {
		if (o->choice[s])
			flushed_sector(o, s, epoch);
	}
}

void crash_oracle_step(struct crash_oracle *o, const struct crash_op *op)
{
	switch (op->what) {
	case CRASH_BEGIN:
		begin(o, op);
		break;
	case CRASH_DONE:
		done(o, op);
		break;
	case CRASH_FLUSH_BEGIN:
		o->flush_epoch++;
		break;
	case CRASH_FLUSH_DONE:
		flushed(o, op->request);
		break;
	}
}

const u8 *crash_oracle_now(const struct crash_oracle *o, u64 sector)
{
	const struct crash_choice *choice = o->choice[sector];

	while (choice && !choice->epoch)
		choice = choice->older;
	return choice ? choice->content : o->sure[sector];
}

bool crash_oracle_may(const struct crash_oracle *o, u64 sector, const u8 *content)
{
	const struct crash_choice *choice;

	if (!memcmp(content, o->sure[sector], VD_SECTOR))
		return true;
	for (choice = o->choice[sector]; choice; choice = choice->older) {
		if (!memcmp(content, choice->content, VD_SECTOR))
			return true;
	}
	return false;
}

bool crash_oracle_is_sure(const struct crash_oracle *o)
{
	u64 s;

	for (s = 0; s < o->sectors && !o->choice[s]; s++)
		;
	return s == o->sectors;
}

u64 crash_oracle_judge(const struct crash_oracle *o, const u8 *buf, u64 from)
{
	u64 s;

	for (s = from / VD_SECTOR; s < o->sectors; s++) {
		if (!crash_oracle_may(o, s, buf + s * VD_SECTOR))
			return s;
	}
	return U64_MAX;
}
