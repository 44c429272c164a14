// SPDX-License-Identifier: GPL-2.0-only
/* The log of a session, and the memory that its ops point to. */
#include <sys/mman.h>

#include "crash.h"

void crash_arena_init(struct crash_arena *arena, size_t room)
{
	arena->used = 0;
	arena->room = room;
	arena->base = mmap(NULL, room, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (arena->base == MAP_FAILED)
		abort();
}

void *crash_take(struct crash_arena *arena, size_t len)
{
	u8 *p = arena->base + arena->used;

	len = (len + 15) & ~(size_t)15;
	if (len > arena->room - arena->used) {
		fprintf(stderr, "a trial needs more memory than it should\n");
		abort();
	}
	arena->used += len;
	return p;
}

void crash_arena_free(struct crash_arena *arena)
{
	munmap(arena->base, arena->room);
}

void crash_log_init(struct crash_log *log)
{
	memset(log, 0, sizeof(*log));
	crash_arena_init(&log->arena, 1 << 30);
}

void crash_log_reset(struct crash_log *log)
{
	log->nr = 0;
	log->arena.used = 0;
}

void crash_log_free(struct crash_log *log)
{
	free(log->op);
	crash_arena_free(&log->arena);
}

struct crash_op *crash_log_add(struct crash_log *log, enum crash_what what, u32 file, u64 pos,
			       u64 len, const void *data)
{
	struct crash_op *op;

	if (log->nr == log->room) {
		log->room = log->room ? log->room * 2 : 1024;
		log->op = realloc(log->op, log->room * sizeof(*log->op));
		if (!log->op)
			abort();
	}
	op = &log->op[log->nr++];
	*op = (struct crash_op){ .what = (u8)what, .file = (u8)file, .pos = pos, .len = len };
	if (data)
		op->data = memcpy(crash_take(&log->arena, len), data, len);
	return op;
}

/* The next flush of a file in [i, end), or @end. */
static u32 next_flush(const struct crash_log *log, u32 i, u32 end)
{
	while (i < end && log->op[i].what != CRASH_FLUSH)
		i++;
	return i;
}

static bool is_change(const struct crash_op *op)
{
	return op->what < CRASH_FLUSH;
}

/*
 * Within what a guest's flush did, lies a first group of changes before a flush
 * of a file and a second one before another: let the second be durable before
 * the first. The first may have begun before the guest's flush.
 */
static void swap_groups(struct crash_log *log, u32 from, u32 begin, u32 end)
{
	struct crash_op *out = crash_take(&log->arena, (end - from) * sizeof(*out));
	u32 first = next_flush(log, begin, end), second = next_flush(log, first + 1, end);
	u32 i, n = 0;

	if (second >= end)
		return;
	for (i = from; i < first; i++) {
		if (!is_change(&log->op[i]))
			out[n++] = log->op[i];
	}
	for (i = first + 1; i < second; i++)
		out[n++] = log->op[i];
	out[n++] = log->op[second];
	for (i = from; i < first; i++) {
		if (is_change(&log->op[i]))
			out[n++] = log->op[i];
	}
	out[n++] = log->op[first];
	memcpy(&log->op[from], out, n * sizeof(*out));
}

void crash_log_swap_ranks(struct crash_log *log)
{
	u32 from = 0, begin = 0, i;
	bool flushing = false;

	for (i = 0; i < log->nr; i++) {
		if (log->op[i].what == CRASH_FLUSH_BEGIN) {
			begin = i;
			flushing = true;
		} else if (log->op[i].what == CRASH_FLUSH_DONE) {
			swap_groups(log, from, begin, i);
			from = i + 1;
			flushing = false;
		} else if (log->op[i].what == CRASH_FLUSH && !flushing) {
			/* Growth and marks: nothing before them moves. */
			from = i + 1;
		}
	}
}

void crash_op_print(const struct crash_op *op, u32 index)
{
	static const char *const name[] = {
		"write", "zero", "grow", "truncate", "flush", "request", "done", "vd_flush",
		"vd_flush done", "vd_end_write", "vd_end_write done",
	};

	printf("#   %4u %s", index, name[op->what]);
	if (op->what <= CRASH_FLUSH)
		printf(" file %u", op->file);
	if (op->what == CRASH_GROW || op->what == CRASH_SIZE)
		printf(" to %llu", op->len);
	else if (op->what < CRASH_FLUSH)
		printf(" [%llu, %llu)%s", op->pos, op->pos + op->len, op->patch ? " patch" : "");
	if (op->what == CRASH_BEGIN || op->what == CRASH_DONE)
		printf(" %u: [%llu, %llu)%s", op->request, op->pos, op->pos + op->len,
		       op->data ? "" : " zeros");
	putchar('\n');
}
