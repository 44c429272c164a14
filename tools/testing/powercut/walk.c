// SPDX-License-Identifier: GPL-2.0-only
/* From the first request of a disk to the last, and the states on the way. */
#include <stdlib.h>

#include "powercut.h"

#define KEEP_BAD	5
#define SHOW_PENDING	24
#define EXPORT_BETWEEN	4	/* after each so many of an export's flushes, another state */

/* The mark in sector @i of a request: those of several threads may come in one. */
static const struct pc_mark *mark_of(const struct pc_walk *w, const struct pc_req *req, u64 i)
{
	const struct pc_part *p = &w->disk.marks;
	const struct pc_mark *mark = (const struct pc_mark *)req->data;

	if (req->what != PC_R_WRITE || i >= req->nr || req->sector < p->start ||
	    req->sector >= p->start + p->nr)
		return NULL;
	return mark[i].magic == PC_MARK ? mark + i : NULL;
}

/* The state is of a time before the next mark was on its way. */
static void look_ahead(struct pc_walk *w)
{
	const struct pc_mark *mark = NULL;

	if (w->next_mark > w->at)
		return;
	for (w->next_mark++; w->next_mark < w->ev.nr; w->next_mark++) {
		const struct pc_event *e = &w->ev.event[w->next_mark];

		mark = e->ended ? NULL : mark_of(w, e->req, 0);
		if (mark)
			break;
	}
	pc_oracle_next(&w->oracle, mark);
}

/* ------------------------------------------------------------------ one state */

static void apply(struct pc_walk *w)
{
	u32 i;

	for (i = 0; i < w->nr; i++)
		pc_disk_apply(&w->disk, w->pending[i].req, w->pending[i].how);
}

static void keep(struct pc_walk *w)
{
	char name[4096];
	FILE *f;

	snprintf(name, sizeof(name), "%s.%llu", w->keep, w->stats.bad);
	f = fopen(name, "we");
	if (!f || fwrite(w->disk.data, 1, w->disk.len, f) != w->disk.len || fclose(f))
		pc_die("%s cannot be written", name);
	printf("# kept as %s\n", name);
}

static const char *how_text(u64 how)
{
	return !how ? "absent" : how == PC_WHOLE ? "there" : "torn";
}

static void tell(struct pc_walk *w)
{
	u32 i;

	if (w->stats.bad > KEEP_BAD || w->control)
		return;
	printf("# bad: event %u of %u, flush %llu: %s\n", w->at, w->ev.nr, w->stats.flushes,
	       w->rule);
	for (i = w->nr > SHOW_PENDING ? w->nr - SHOW_PENDING : 0; i < w->nr; i++) {
		const struct pc_req *req = w->pending[i].req;

		printf("#   %s of %llu + %llu: %s\n", req->data ? "write" : "zeroes",
		       req->sector - w->disk.image.start, req->nr,
		       how_text(w->pending[i].how));
	}
	if (w->keep)
		keep(w);
}

static void look(struct pc_walk *w)
{
	w->rule[0] = '\0';
	w->stats.states++;
	apply(w);
	if (w->export.out) {
		pc_export_state(w);
	} else if (!pc_judge(w)) {
		w->stats.bad++;
		tell(w);
	}
	pc_disk_undo(&w->disk, 0);
}

/* ------------------------------------------------------------- which requests */

static void set_all(struct pc_walk *w, u64 how)
{
	u32 i;

	for (i = 0; i < w->nr; i++)
		w->pending[i].how = how;
}

/* Each with a probability of @of in 8. */
static void set_some(struct pc_walk *w, u64 of)
{
	u32 i;

	for (i = 0; i < w->nr; i++)
		w->pending[i].how = ut_below(&w->rng, 8) < of;
}

static void set_range(struct pc_walk *w, u32 from, u32 to, u64 how)
{
	for (; from < to; from++)
		w->pending[from].how = how;
}

static void tear(struct pc_walk *w)
{
	u32 i, one_in = 1 + (u32)ut_below(&w->rng, 4);

	for (i = 0; i < w->nr; i++) {
		if (!ut_below(&w->rng, one_in))
			w->pending[i].how = ut_rand(&w->rng) | 2;
	}
	w->stats.torn++;
}

/* All, all but one, only one, up to one, from one on, any; half of the time torn. */
static void choose(struct pc_walk *w)
{
	u32 one = (u32)ut_below(&w->rng, w->nr);

	switch (ut_below(&w->rng, 8)) {
	case 0:
		set_all(w, PC_WHOLE);
		w->pending[one].how = 0;
		break;
	case 1:
		set_all(w, 0);
		w->pending[one].how = PC_WHOLE;
		break;
	case 2:
		set_all(w, 0);
		set_range(w, 0, one + 1, PC_WHOLE);
		break;
	case 3:
		set_all(w, 0);
		set_range(w, one, w->nr, PC_WHOLE);
		break;
	default:
		set_some(w, 1 + ut_below(&w->rng, 7));
	}
	if (ut_below(&w->rng, 2))
		tear(w);
}

/* ------------------------------------------------------------------ the walk */

/* How many there are to be by now. */
static u64 due(const struct pc_walk *w)
{
	u32 from = w->export.begin;

	return w->want * (w->at - from + 1) / (w->ev.nr - from);
}

/* Another state of an export, if the time has come. */
static bool take_turn(struct pc_walk *w)
{
	if (!pc_export_begun(w) || w->export.taken >= due(w))
		return false;
	w->export.owed |= w->export.taken++ % EXPORT_BETWEEN == 0;
	return true;
}

static void look_between(struct pc_walk *w)
{
	if (!w->export.owed || !w->nr || ut_below(&w->rng, 4))
		return;
	choose(w);
	look(w);
	w->export.owed = false;
}

static void look_at_some(struct pc_walk *w)
{
	if (w->export.out) {
		look_between(w);
		return;
	}
	while (w->nr && w->stats.states < due(w)) {
		choose(w);
		look(w);
	}
}

/* A judge has time for each flush, and for two states. */
static void look_at_flush(struct pc_walk *w)
{
	if (w->export.out && !take_turn(w))
		return;
	set_all(w, 0);
	look(w);
	if (!w->export.out && w->nr) {
		set_all(w, PC_WHOLE);
		look(w);
	}
}

static bool is_data(const struct pc_req *req)
{
	const struct pc_stamp *stamp = (const struct pc_stamp *)req->data;

	return stamp && stamp->magic == PC_MAGIC;
}

/* What a flush makes of a request that had ended when it came; true: it is not pending. */
static bool settle(struct pc_walk *w, struct pc_pending *p)
{
	if (w->control == PC_LOSES_FLUSHED && !ut_below(&w->rng, 4))
		return true;
	if (w->control == PC_DATA_LATE && is_data(p->req) && !p->late) {
		p->late = true;
		return false;
	}
	pc_disk_write(&w->disk, p->req);
	if (w->export.out)
		pc_export_durable(w, p->req);
	return true;
}

static void flushed(struct pc_walk *w, const struct pc_req *flush)
{
	u32 i, left = 0;

	for (i = 0; i < w->nr; i++) {
		if (w->pending[i].req->ended > flush->came || !settle(w, &w->pending[i]))
			w->pending[left++] = w->pending[i];
	}
	w->nr = left;
	w->stats.flushes++;
	look_at_flush(w);
}

static void marked(struct pc_walk *w, const struct pc_mark *mark)
{
	w->stats.marks++;
	if (w->export.out)
		pc_export_mark(w, mark);
	else
		pc_oracle_mark(&w->oracle, mark);
}

static void came(struct pc_walk *w, const struct pc_req *req)
{
	const struct pc_mark *mark;
	u64 i;

	for (i = 0; (mark = mark_of(w, req, i)); i++)
		marked(w, mark);
	if (i || !pc_disk_touched(&w->disk, req))
		return;
	w->pending[w->nr++] = (struct pc_pending){ .req = req };
	w->stats.most = max_t(u64, w->stats.most, w->nr);
}

static void detached(struct pc_walk *w)
{
	w->rule[0] = '\0';
	if (w->nr && pc_bad(w->rule, "detached, but %u requests are not durable", w->nr)) {
		w->stats.bad++;
		tell(w);
	}
	w->settled = true;
	pc_oracle_end(&w->oracle);
	set_all(w, 0);
	look(w);
}

void pc_walk_run(struct pc_walk *w)
{
	w->pending = pc_alloc((w->ev.nr + 1) * sizeof(*w->pending));
	for (w->at = 0; w->at < w->ev.nr; w->at++) {
		const struct pc_event *e = &w->ev.event[w->at];

		if (!w->export.out)
			look_ahead(w);
		if (!e->ended)
			came(w, e->req);
		else if (e->req->what == PC_R_FLUSH)
			flushed(w, e->req);
		look_at_some(w);
	}
	if (w->detached)
		detached(w);
}
