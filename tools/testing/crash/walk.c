// SPDX-License-Identifier: GPL-2.0-only
/* Walk the log of a session, and enumerate the states at each place. */
#include "crash.h"

#define ALL_SUBSETS	10	/* pending ops up to which none is left out */
#define SAMPLES		48

void crash_walk_init(struct crash_walk *w, struct crash_session *s, struct crash_stats *stats)
{
	memset(w, 0, sizeof(*w));
	w->s = s;
	w->stats = stats;
	w->again_every = 64;
	w->limit = U64_MAX;
	w->shadow = ut_xalloc(s->c.size);
	crash_state_init(&w->st, s->fmt, &s->c);
	crash_oracle_init(&w->oracle, s->c.size);
	crash_set_init(&w->copy, s->fmt, &s->c);
	crash_log_init(&w->copy_log);
	crash_set_init(&w->next, s->fmt, &s->c);
}

void crash_walk_free(struct crash_walk *w)
{
	crash_state_free(&w->st);
	crash_oracle_free(&w->oracle);
	crash_set_free(&w->copy);
	crash_log_free(&w->copy_log);
	crash_set_free(&w->next);
	free(w->shadow);
}

/* --- a bad state --- */

static bool still_bad(struct crash_walk *w)
{
	bool good;

	crash_state_apply(&w->st);
	good = crash_judge(w, false);
	crash_state_undo(&w->st);
	return !good;
}

/* Leave out what the state is bad without: whole ops, then tearing. */
static void minimise(struct crash_walk *w)
{
	struct crash_state *st = &w->st;
	u32 i, frozen = st->frozen;

	st->frozen = 0;
	if (frozen && !still_bad(w))
		st->frozen = frozen;
	for (i = 0; i < st->nr; i++) {
		u8 how = st->how[i];

		if (how == CRASH_ABSENT)
			continue;
		st->how[i] = CRASH_ABSENT;
		if (still_bad(w))
			continue;
		st->how[i] = CRASH_FULL;
		if (how == CRASH_TORN && !still_bad(w))
			st->how[i] = CRASH_TORN;
	}
	still_bad(w);
}

/* Requests among what they did to the files; before the first one is the repair. */
static void print_again(const struct crash_walk *w)
{
	const struct crash_log *log = &w->copy_log;
	u32 i, k = 0;

	printf("# going on:\n");
	for (i = 0; i <= log->nr; i++) {
		for (; k < w->nr_requests && w->request[k].op == i; k++)
			printf("# %s [%llu, %llu)\n", w->request[k].what, w->request[k].pos,
			       w->request[k].pos + w->request[k].len);
		if (i < log->nr)
			crash_op_print(&log->op[i], i);
	}
}

static void print_bad(struct crash_walk *w)
{
	static const char *const how[] = { "lost", "there", "torn" };
	const struct crash_state *st = &w->st;
	u32 i, first = w->at > 40 ? w->at - 40 : 0;

	printf("# bad: %s\n", w->rule);
	printf("# after op %u; of what is not durable there is:\n", w->at - 1);
	for (i = 0; i < st->nr; i++) {
		printf("# %-5s", how[st->how[i]]);
		crash_op_print(st->pending[i], (u32)(st->pending[i] - w->s->log.op));
	}
	for (i = 0; i < st->set.nr; i++) {
		if (st->frozen & 1U << i)
			printf("# file %u has not grown\n", i);
	}
	printf("# the log before:\n");
	for (i = first; i < w->at; i++)
		crash_op_print(&w->s->log.op[i], i);
	if (w->nr_requests)
		print_again(w);
}

static bool bad(struct crash_walk *w)
{
	w->stats->bad++;
	if (w->quiet)
		return false;
	/* If only going on from it went wrong, that depends on every byte of it. */
	if (!w->nr_requests)
		minimise(w);
	print_bad(w);
	return false;
}

/* --- states --- */

/* Keep one of all states, each with the same chance, to begin another session with. */
static void keep_state(struct crash_walk *w)
{
	u32 i;

	if (ut_below(&w->rng, ++w->next_seen))
		return;
	for (i = 0; i < w->next.nr; i++)
		crash_file_copy(&w->next.file[i], &w->st.set.file[i]);
}

static bool try_state(struct crash_walk *w)
{
	bool good;

	if (w->stats->states >= w->limit)
		return true;
	w->nr_requests = 0;
	crash_state_apply(&w->st);
	good = crash_judge(w, w->again_every && !ut_below(&w->rng, w->again_every));
	if (good)
		keep_state(w);
	crash_state_undo(&w->st);
	w->stats->states++;
	w->stats->woven += w->s->woven;
	return good || bad(w);
}

/* The subset as it is, then without growth, then torn. */
static bool try_variants(struct crash_walk *w)
{
	struct crash_state *st = &w->st;
	u32 grows = 0, tears = 0, i;
	bool good;

	for (i = 0; i < st->nr; i++) {
		if (st->how[i] == CRASH_ABSENT)
			continue;
		if (crash_state_grows(st, i))
			grows |= 1U << st->pending[i]->file;
		tears += crash_state_tears(st, i);
	}
	good = try_state(w);
	if (good && grows) {
		st->frozen = grows;
		if (ut_below(&w->rng, 2))
			st->frozen &= (u32)ut_rand(&w->rng);
		if (st->frozen)
			good = try_state(w);
		if (good)
			st->frozen = 0;
	}
	if (!good || !tears)
		return good;
	st->torn = ut_rand(&w->rng);
	st->frozen = grows & (u32)ut_rand(&w->rng) & (u32)ut_rand(&w->rng);
	for (i = 0; i < st->nr; i++) {
		if (st->how[i] == CRASH_FULL && crash_state_tears(st, i) &&
		    (tears == 1 || ut_below(&w->rng, 2)))
			st->how[i] = CRASH_TORN;
	}
	good = try_state(w);
	if (good)
		st->frozen = 0;
	return good;
}

/* With the newest op of those that are pending, or (@all) also without. */
static bool all_subsets(struct crash_walk *w, bool all)
{
	struct crash_state *st = &w->st;
	u32 mask, i, top = st->nr ? 1U << (st->nr - 1) : 0;

	for (mask = all ? 0 : top; mask < (top ? top * 2 : 1); mask++) {
		for (i = 0; i < st->nr; i++)
			st->how[i] = mask >> i & 1 ? CRASH_FULL : CRASH_ABSENT;
		if (!try_variants(w))
			return false;
	}
	return true;
}

/* How likely each op is to be there: different ones find different mistakes. */
static void choose(struct crash_walk *w, u32 sample)
{
	static const u8 chance[] = { 4, 1, 7, 2, 6 };	/* of 8 */
	struct crash_state *st = &w->st;
	u32 i, only = (u32)ut_below(&w->rng, w->st.set.nr + 1);

	for (i = 0; i < st->nr; i++) {
		bool there = ut_below(&w->rng, 8) < chance[sample % ARRAY_SIZE(chance)];

		/* Sometimes all of a file and nothing of the others, or all but one op. */
		if (sample % 8 == 6)
			there = st->pending[i]->file == only;
		else if (sample % 8 == 7)
			there = i != sample % st->nr;
		st->how[i] = there ? CRASH_FULL : CRASH_ABSENT;
	}
}

static bool some_subsets(struct crash_walk *w, bool all)
{
	struct crash_state *st = &w->st;
	u32 sample;

	for (sample = 0; sample < SAMPLES; sample++) {
		if (sample < 2)
			memset(st->how, sample ? CRASH_FULL : CRASH_ABSENT, st->nr);
		else
			choose(w, sample);
		if (!all)
			st->how[st->nr - 1] = CRASH_FULL;
		if (!try_variants(w))
			return false;
	}
	return true;
}

static bool enumerate(struct crash_walk *w, bool all)
{
	bool good;

	if (w->skip)
		return true;
	w->st.frozen = 0;
	if (w->st.nr <= ALL_SUBSETS)
		good = all_subsets(w, all);
	else
		good = some_subsets(w, all);
	return good;
}

/* --- the walk --- */

/* What the tables will be at the end of the vd_end_write() that begins at op @i. */
static void look_ahead(struct crash_walk *w, u32 i)
{
	const struct crash_log *log = &w->s->log;

	while (i < log->nr && log->op[i].what != CRASH_END_DONE)
		i++;
	if (i == log->nr)
		return;
	memcpy(w->next_clean, log->op[i].data, sizeof(w->next_clean));
	w->ending = true;
	w->tidy = log->op[i].request;
}

/*
 * A file grows by itself, durably; only then is anything written there. Otherwise
 * it is the write that finds the disk full, long after the place was promised. A
 * repair promises nothing to anybody: what it appends is its own to fail.
 */
static bool place_is_durable(struct crash_walk *w, const struct crash_op *op)
{
	u64 len = w->st.set.file[op->file].len;

	if (w->lenient || w->tally || w->at <= w->s->repair_end || op->what != CRASH_WRITE ||
	    op->pos + op->len <= len)
		return true;
	w->rule[0] = '\0';
	img_bad(w->rule, "file %u is written up to %llu, durable are %llu bytes", op->file,
		  op->pos + op->len, len);
	memset(w->st.how, CRASH_ABSENT, w->st.nr);
	w->stats->bad++;
	if (!w->quiet)
		print_bad(w);
	return false;
}

/*
 * Without a new change there are no new states, but after a flush more is asked
 * of those that are left.
 */
static bool step(struct crash_walk *w, const struct crash_op *op)
{
	bool good = true;

	w->stats->ops += op->what <= CRASH_FLUSH;
	crash_oracle_step(&w->oracle, op);
	switch (op->what) {
	case CRASH_WRITE:
	case CRASH_ZERO:
	case CRASH_GROW:
	case CRASH_SIZE:
		crash_state_add(&w->st, op);
		return place_is_durable(w, op) && enumerate(w, false);
	case CRASH_FLUSH:
		w->stats->flushes++;
		crash_state_flush(&w->st, op->file);
		break;
	case CRASH_FLUSH_DONE:
		w->settled = !op->len;
		w->whole = true;
		good = enumerate(w, true);
		w->settled = w->whole = false;
		if (good && w->dump)
			crash_dump(w);
		break;
	case CRASH_END_BEGIN:
		look_ahead(w, w->at);
		break;
	case CRASH_END_DONE:
		memcpy(w->clean, w->next_clean, sizeof(w->clean));
		w->ending = w->tidy = false;
		good = enumerate(w, true);
		break;
	}
	return good;
}

bool crash_walk_log(struct crash_walk *w, u64 seed)
{
	struct crash_session *s = w->s;

	w->rng.state = seed;
	w->ending = w->tidy = false;
	w->next_seen = 0;
	memcpy(w->clean, s->clean, sizeof(w->clean));
	crash_state_start(&w->st, &s->start);
	crash_oracle_set(&w->oracle, s->content);
	for (w->at = 1; w->at <= s->log.nr; w->at++) {
		if (w->stats->states >= w->limit)
			break;
		if (!step(w, &s->log.op[w->at - 1]))
			return false;
	}
	return true;
}
