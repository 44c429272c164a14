// SPDX-License-Identifier: GPL-2.0-only
/* Is this state one that a crash may leave? */
#include "crash.h"

/* What another writer left is not for us to put right at once, but it becomes no worse. */
bool crash_judge_worn(struct crash_walk *w, u32 i, const struct crash_tables *now)
{
	const struct crash_tables *first = &w->s->first[i];

	if (now->uncounted > first->uncounted)
		return img_bad(w->rule, "extent %u: %llu places in use are not counted", i,
			       now->uncounted);
	if (now->cut > first->cut)
		return img_bad(w->rule, "extent %u: the last place lacks %llu bytes", i, now->cut);
	if (now->rest != first->rest)
		return img_bad(w->rule, "extent %u: bytes have changed that are nobody's", i);
	return true;
}

/* The mark is set as long as the tables differ from those of a clean image. */
static bool judge_mark(struct crash_walk *w, u32 i, const struct crash_tables *now)
{
	w->marked += now->marked;
	if (now->marked || now->hash == w->clean[i])
		return true;
	if (!w->ending)
		return img_bad(w->rule, "extent %u: tables have changed, no mark", i);
	if (now->hash != w->next_clean[i])
		return img_bad(w->rule, "extent %u: no mark, tables are not final", i);
	return true;
}

static bool judge_tables(struct crash_walk *w)
{
	struct crash_tables now;
	u32 i;

	w->marked = 0;
	for (i = 0; i < crash_nr_extents(&w->st.set); i++) {
		if (!crash_set_look(&w->st.set, i, &now, w->rule))
			return false;
		if (w->settled && !now.same)
			return img_bad(w->rule, "extent %u: a copy is behind after a flush", i);
		if (!crash_judge_worn(w, i, &now))
			return false;
		w->marked += !!now.uncounted + !!now.cut;
		if (w->s->fmt->marks && !judge_mark(w, i, &now))
			return false;
	}
	return true;
}

/* Patches come before anything else, as a whole. */
static bool judge_patches(struct crash_walk *w)
{
	const struct img_case *c = &w->s->c;
	bool other = w->st.other;
	u32 i;

	for (i = 0; i < w->st.nr && !other; i++)
		other = w->st.how[i] != CRASH_ABSENT && !w->st.pending[i]->patch;
	for (i = 0; other && i < c->nr_patches; i++) {
		const struct vdisk_patch *p = &c->patches[i];

		if (memcmp(w->st.set.file[p->member].data + p->offset, p->bytes, p->len))
			return img_bad(w->rule, "patch %u is not done, but something else is",
					 i);
	}
	return true;
}

bool crash_judge_content(struct crash_walk *w)
{
	const struct img_case *c = &w->s->c;
	u64 bad, from = w->whole ? 0 : c->from;
	struct vd_chain *chain;
	int ret;

	chain = crash_set_open(&w->st.set, false, w->rule);
	if (!chain)
		return false;
	ret = vd_read(chain, NULL, from, w->s->buf + from, (u32)(c->size - from));
	vd_chain_close(chain);
	if (ret)
		return img_bad(w->rule, "vd_read: error %d", ret);
	if (w->s->fmt->read) {
		w->s->fmt->read(&w->st.set, w->s->below, w->s->other);
		if (memcmp(w->s->buf + from, w->s->other + from, c->size - from))
			return img_bad(w->rule, "vd_read: not what the tables say");
	}
	bad = crash_oracle_judge(&w->oracle, w->s->buf, from);
	if (bad == U64_MAX)
		return true;
	return img_bad(w->rule, "sector %llu: neither what was flushed nor written since", bad);
}

bool crash_judge_check(struct crash_walk *w)
{
	u64 found[VD_FINDING_CORRUPT + 1];

	if (!crash_set_check(&w->st.set, 0, found, w->rule))
		return false;
	if (found[VD_FINDING_CORRUPT])
		return img_bad(w->rule, "check finds it corrupt");
	/* The check must see a crash where there is one, and none where there is none. */
	if ((w->settled || !w->s->fmt->marks) && found[VD_FINDING_UNCLEAN] > w->marked)
		return img_bad(w->rule, "check: %llu findings of a crash%s",
			       found[VD_FINDING_UNCLEAN], w->settled ? " after a flush" : "");
	return true;
}

bool crash_judge(struct crash_walk *w, bool deep)
{
	if (w->tally)
		return crash_tally_state(w);
	w->rule[0] = '\0';
	return judge_tables(w) && judge_patches(w) && crash_judge_content(w) &&
	       crash_judge_check(w) && (!deep || crash_again(w));
}
