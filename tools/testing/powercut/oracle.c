// SPDX-License-Identifier: GPL-2.0-only
/* What the guest's list of requests says of each sector of the virtual disk. */
#include <stdlib.h>

#include "powercut.h"

static const struct pc_op *ops;		/* for qsort() */

static int compare_ends(const void *a, const void *b)
{
	u64 one = ops[*(const u32 *)a].end, two = ops[*(const u32 *)b].end;

	return one < two ? -1 : one > two;
}

static int compare_begins(const void *a, const void *b)
{
	u64 one = ops[*(const u32 *)a].begin, two = ops[*(const u32 *)b].begin;

	return one < two ? -1 : one > two;
}

static u32 *sorted(const struct pc_oracle *o, int (*compare)(const void *, const void *))
{
	u32 *list = pc_alloc((o->nr + 1) * sizeof(*list));
	u32 i;

	for (i = 0; i < o->nr; i++)
		list[i] = i;
	qsort(list, o->nr, sizeof(*list), compare);
	return list;
}

void pc_oracle_read(struct pc_oracle *o, const char *path)
{
	const struct pc_list *list;
	u64 len;
	u32 i;

	list = pc_map_file(path, false, &len);
	if (len < sizeof(*list) || list->magic != PC_LIST ||
	    len != sizeof(*list) + list->ops * sizeof(*o->op))
		pc_die("%s is no list of requests", path);
	memset(o, 0, sizeof(*o));
	o->op = (const struct pc_op *)(list + 1);
	o->nr = list->ops;
	o->seed = list->seed;
	o->sectors = list->sectors;
	ops = o->op;
	for (i = 0; i < o->nr; i++) {
		if (!ops[i].end || ops[i].sector + ops[i].nr > o->sectors)
			pc_die("%s: request %u has no end, or no place", path, i);
	}
	o->by_end = sorted(o, compare_ends);
	o->by_begin = sorted(o, compare_begins);
	o->base = pc_alloc(o->sectors * sizeof(*o->base));
	o->zeros = pc_alloc(o->sectors * sizeof(*o->zeros));
	o->base_zero = pc_alloc(o->sectors);
	memset(o->base_zero, 1, o->sectors);
}

/* It is durable: nothing older is what its sectors hold. */
static void settle(struct pc_oracle *o, const struct pc_op *op)
{
	u64 s;

	/* What is discarded may stay as it was. */
	if (op->kind == PC_FLUSH || op->kind == PC_DISCARD)
		return;
	for (s = op->sector; s < op->sector + op->nr; s++) {
		if (o->base[s] < op->begin) {
			o->base[s] = op->begin;
			o->base_zero[s] = op->kind == PC_ZERO;
		}
	}
}

static void settle_until(struct pc_oracle *o, u64 time)
{
	while (o->ends_done < o->nr && o->op[o->by_end[o->ends_done]].end < time)
		settle(o, &o->op[o->by_end[o->ends_done++]]);
}

static void know_until(struct pc_oracle *o, u64 time)
{
	u64 s;

	while (o->begins_done < o->nr && o->op[o->by_begin[o->begins_done]].begin < time) {
		const struct pc_op *op = &o->op[o->by_begin[o->begins_done++]];

		if (op->kind != PC_ZERO && op->kind != PC_DISCARD)
			continue;
		for (s = op->sector; s < op->sector + op->nr; s++)
			o->zeros[s] = op->begin;
	}
	o->last = max(o->last, time);
}

static const struct pc_op *op_of(const struct pc_oracle *o, const struct pc_mark *mark)
{
	if (mark->seed != o->seed || mark->op >= o->nr || !o->op[mark->op].marked)
		pc_die("a mark of request %llu, which has none", (unsigned long long)mark->op);
	return &o->op[mark->op];
}

void pc_oracle_mark(struct pc_oracle *o, const struct pc_mark *mark)
{
	const struct pc_op *op = op_of(o, mark);

	if (op->kind != PC_FLUSH)
		settle(o, op);
	else
		settle_until(o, op->begin);
}

void pc_oracle_next(struct pc_oracle *o, const struct pc_mark *mark)
{
	know_until(o, mark ? op_of(o, mark)->marked : PC_NEVER);
}

void pc_oracle_end(struct pc_oracle *o)
{
	know_until(o, PC_NEVER);
	settle_until(o, PC_NEVER);
}

static bool judge_sector(const struct pc_oracle *o, u64 s, const u8 *buf, char *rule)
{
	const struct pc_stamp *stamp = (const struct pc_stamp *)buf;
	const struct pc_op *op;

	if (!buf[0] && !memcmp(buf, buf + 1, PC_SECTOR - 1)) {
		if (o->base_zero[s] || o->zeros[s] >= o->base[s])
			return true;
		return pc_bad(rule, "sector %llu: zeros, but what was written at %llu was flushed",
			      s, o->base[s]);
	}
	if (stamp->magic != PC_MAGIC || !pc_stamp_whole(stamp) || stamp->seed != o->seed ||
	    stamp->op >= o->nr)
		return pc_bad(rule, "sector %llu: what nobody wrote", s);
	op = &o->op[stamp->op];
	if (stamp->sector != s || op->kind > PC_WRITE_SYNC)
		return pc_bad(rule, "sector %llu: what was written to sector %llu", s,
			      (unsigned long long)stamp->sector);
	if (op->begin < o->base[s])
		return pc_bad(rule, "sector %llu: of time %llu, but what came at %llu was flushed",
			      s, (unsigned long long)op->begin, o->base[s]);
	if (op->begin >= o->last)
		return pc_bad(rule, "sector %llu: of time %llu, which is to come", s,
			      (unsigned long long)op->begin);
	return true;
}

bool pc_oracle_judge(const struct pc_oracle *o, u64 sector, u64 nr, const u8 *buf, char *rule)
{
	u64 i;

	for (i = 0; i < nr; i++) {
		if (!judge_sector(o, sector + i, buf + i * PC_SECTOR, rule))
			return false;
	}
	return true;
}
