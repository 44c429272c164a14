// SPDX-License-Identifier: GPL-2.0-only
/* Is this state one that a crash may leave? */
#include "crash.h"

/* The mark is set as long as the tables differ from those of a clean image. */
static bool judge_tables(struct crash_walk *w)
{
	const struct vdisk_segment_desc *seg = w->s->c.set.segs;
	struct img_tables now;
	u32 i;

	w->marked = 0;
	for (i = 0; i < w->s->c.set.nr_segs && !seg[i].image; i++) {
		if (!crash_set_look(&w->st.set, i, &now, w->rule))
			return false;
		if (w->settled && !now.same)
			return img_bad(w->rule, "extent %u: a copy is behind after a flush", i);
		w->marked += now.marked;
		if (now.marked || now.hash == w->clean[i])
			continue;
		if (!w->ending)
			return img_bad(w->rule, "extent %u: tables have changed, no mark", i);
		if (now.hash != w->next_clean[i])
			return img_bad(w->rule, "extent %u: no mark, tables are not final", i);
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
	if (w->settled && found[VD_FINDING_UNCLEAN] > w->marked)
		return img_bad(w->rule, "check: %llu findings of a crash after a flush",
				 found[VD_FINDING_UNCLEAN]);
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
