// SPDX-License-Identifier: GPL-2.0-only
/*
 * States of a set of files: the durable content, changed by a choice of pending
 * ops and then changed back. Only the bytes that those ops touch are copied.
 */
#include "crash.h"

/* Bytes of a file as they were; several in a row, the last first to be undone. */
struct undo {
	u32 file;
	u32 len;
	u64 pos;
	u8 bytes[];
};

void crash_state_init(struct crash_state *st, const struct crash_format *fmt,
		      const struct img_case *c)
{
	memset(st, 0, sizeof(*st));
	crash_set_init(&st->set, fmt, c);
	crash_arena_init(&st->undo, 512 << 20);
}

void crash_state_free(struct crash_state *st)
{
	crash_set_free(&st->set);
	crash_arena_free(&st->undo);
	free(st->pending);
	free(st->how);
}

void crash_state_start(struct crash_state *st, const struct crash_set *start)
{
	u32 i;

	for (i = 0; i < start->nr; i++)
		crash_file_copy(&st->set.file[i], &start->file[i]);
	st->nr = 0;
	st->other = false;
	st->frozen = 0;
}

void crash_state_add(struct crash_state *st, const struct crash_op *op)
{
	if (st->nr == st->room) {
		st->room = st->room ? st->room * 2 : 256;
		st->pending = realloc(st->pending, st->room * sizeof(*st->pending));
		st->how = realloc(st->how, st->room);
		if (!st->pending || !st->how)
			abort();
	}
	st->pending[st->nr] = op;
	st->how[st->nr++] = CRASH_ABSENT;
}

bool crash_state_grows(const struct crash_state *st, u32 i)
{
	const struct crash_op *op = st->pending[i];

	return op->what != CRASH_ZERO && op->pos + op->len > st->set.file[op->file].len;
}

bool crash_state_tears(const struct crash_state *st, u32 i)
{
	const struct crash_op *op = st->pending[i];

	return op->what <= CRASH_ZERO &&
	       (op->pos + op->len - 1) / VD_SECTOR != op->pos / VD_SECTOR;
}

/* Change bytes; with @undo so that it can be taken back. */
static void put(struct crash_state *st, u32 file, u64 pos, const u8 *data, u64 len, bool undo)
{
	struct crash_file *f = &st->set.file[file];
	struct undo *u;
	size_t need = sizeof(*u) + len + sizeof(need);

	if (!len)
		return;
	if (undo) {
		need = (need + 15) & ~(size_t)15;
		u = crash_take(&st->undo, need);
		u->file = file;
		u->pos = pos;
		u->len = (u32)len;
		memcpy(u->bytes, f->data + pos, len);
		memcpy((u8 *)u + need - sizeof(need), &need, sizeof(need));
		st->undo_nr++;
	}
	if (data)
		memcpy(f->data + pos, data, len);
	else
		memset(f->data + pos, 0, len);
}

static void resize(struct crash_state *st, u32 file, u64 len, bool undo)
{
	struct crash_file *f = &st->set.file[file];

	if (len < f->len)
		put(st, file, len, NULL, f->len - len, undo);
	f->len = len;
}

/* Bytes of an op that go to the file as it is; a frozen file does not grow. */
static void put_clipped(struct crash_state *st, const struct crash_op *op, u64 pos, u64 end,
			bool undo)
{
	struct crash_file *f = &st->set.file[op->file];

	if (end > f->len) {
		if (op->what == CRASH_WRITE && !(st->frozen & 1U << op->file))
			f->len = end;
		else
			end = f->len;
	}
	if (pos < end)
		put(st, op->file, pos, op->data ? op->data + (pos - op->pos) : NULL, end - pos,
		    undo);
}

/* Some of its sectors are there; the file may have grown for all of them. */
static void put_torn(struct crash_state *st, const struct crash_op *op, u64 seed)
{
	u64 end = op->pos + op->len, pos, next, dice = 0;
	struct crash_file *f = &st->set.file[op->file];
	u32 n = 0;

	for (pos = op->pos; pos < end; pos = next, n++) {
		next = min_t(u64, end, (pos / VD_SECTOR + 1) * VD_SECTOR);
		if (n % 32 == 0)
			dice = ut_mix(seed + n);
		if (dice >> (n % 32) & 1)
			put_clipped(st, op, pos, next, true);
	}
	if (op->what == CRASH_WRITE && end > f->len && !(st->frozen & 1U << op->file) &&
	    dice >> 63)
		f->len = end;
}

static void apply(struct crash_state *st, const struct crash_op *op, bool undo)
{
	struct crash_file *f = &st->set.file[op->file];

	switch (op->what) {
	case CRASH_WRITE:
	case CRASH_ZERO:
		put_clipped(st, op, op->pos, op->pos + op->len, undo);
		break;
	case CRASH_GROW:
	case CRASH_SIZE:
		if (op->len < f->len && op->what == CRASH_GROW)
			break;
		if (op->len < f->len || !(st->frozen & 1U << op->file))
			resize(st, op->file, op->len, undo);
		break;
	}
}

void crash_state_apply(struct crash_state *st)
{
	u32 i;

	st->undo.used = 0;
	st->undo_nr = 0;
	for (i = 0; i < st->set.nr; i++)
		st->len[i] = st->set.file[i].len;
	for (i = 0; i < st->nr; i++) {
		if (st->how[i] == CRASH_FULL)
			apply(st, st->pending[i], true);
		else if (st->how[i] == CRASH_TORN)
			put_torn(st, st->pending[i], st->torn + i * 0x1000);
	}
}

void crash_state_undo(struct crash_state *st)
{
	u32 i;

	while (st->undo_nr) {
		u8 *end = st->undo.base + st->undo.used;
		struct undo *u;
		size_t need;

		memcpy(&need, end - sizeof(need), sizeof(need));
		u = (struct undo *)(void *)(end - need);
		memcpy(st->set.file[u->file].data + u->pos, u->bytes, u->len);
		st->undo.used -= need;
		st->undo_nr--;
	}
	for (i = 0; i < st->set.nr; i++)
		st->set.file[i].len = st->len[i];
}

void crash_state_flush(struct crash_state *st, u32 file)
{
	u32 frozen = st->frozen, i, n = 0;

	st->frozen = 0;
	for (i = 0; i < st->nr; i++) {
		const struct crash_op *op = st->pending[i];

		if (op->file != file) {
			st->pending[n++] = op;
			continue;
		}
		apply(st, op, false);
		if (!op->patch)
			st->other = true;
	}
	st->nr = n;
	st->frozen = frozen;
}
