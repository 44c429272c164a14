// SPDX-License-Identifier: GPL-2.0-only
/*
 * Go on from a crash as a user would: check, merge, attach, write, detach. What
 * the disk held must stay, and the image must stay one.
 */
#include "crash.h"

struct again {
	struct crash_walk *w;
	struct crash_set *set;
	struct vd_chain *chain;
	u8 *shadow;
	u64 size;
};

static bool repair(struct again *a)
{
	u64 found[VD_FINDING_CORRUPT + 1];
	char *rule = a->w->rule;

	if (!crash_set_check(a->set, 0, found, rule))
		return false;
	/* Who sees no mark need not repair. */
	if (!found[VD_FINDING_UNCLEAN] || (!a->w->s->fmt->marks && ut_below(&a->w->rng, 2)))
		return true;
	if (!crash_set_check(a->set, VD_CHECK_REPAIR | VD_CHECK_MERGE, found, rule) ||
	    !crash_set_check(a->set, 0, found, rule))
		return false;
	if (found[VD_FINDING_UNCLEAN] || found[VD_FINDING_CORRUPT])
		return img_bad(rule, "again: check finds things after the repair");
	return true;
}

static bool same(struct again *a, u64 pos, u64 len, const char *when)
{
	u8 *buf = a->w->s->buf;
	u64 i;
	int ret;

	ret = vd_read(a->chain, NULL, pos, buf, (u32)len);
	if (ret)
		return img_bad(a->w->rule, "again: vd_read at %llu: error %d", pos, ret);
	for (i = 0; i < len; i += VD_SECTOR) {
		if (memcmp(buf + i, a->shadow + pos + i, VD_SECTOR))
			return img_bad(a->w->rule, "again: sector %llu has changed %s",
					 (pos + i) / VD_SECTOR, when);
	}
	return true;
}

/* It reads zeros or what it was, sector by sector, and keeps that. */
static int discard(struct again *a, u64 pos, u64 len)
{
	int ret = vd_discard(a->chain, pos, len);
	u8 *buf = a->w->s->buf;
	u64 i;

	if (!ret)
		ret = vd_read(a->chain, NULL, pos, buf, (u32)len);
	for (i = 0; !ret && i < len; i += VD_SECTOR) {
		if (!memcmp(buf + i, crash_zeros, VD_SECTOR))
			memset(a->shadow + pos + i, 0, VD_SECTOR);
	}
	return ret;
}

static int issue(struct again *a, u64 dice, u64 pos, u64 len)
{
	switch (dice) {
	case 0:
		return discard(a, pos, len);
	case 1:
	case 2:
		memset(a->shadow + pos, 0, len);
		return vd_write_zeroes(a->chain, pos, len, dice == 1);
	case 3:
		return vd_flush(a->chain);
	}
	ut_pattern(a->shadow + pos, len, pos, ut_rand(&a->w->rng));
	return vd_write(a->chain, pos, a->shadow + pos, (u32)len);
}

static void remember(struct again *a, const char *what, u64 pos, u64 len)
{
	struct crash_request *r = &a->w->request[a->w->nr_requests++];

	*r = (struct crash_request){ what, pos, len, a->w->copy_log.nr };
}

static bool request(struct again *a)
{
	static const char *const name[] = {
		"vd_discard", "vd_write_zeroes unmap", "vd_write_zeroes", "vd_flush", "vd_write",
	};
	const struct img_case *c = &a->w->s->c;
	struct ut_rng *rng = &a->w->rng;
	u64 pos = c->from + ut_below(rng, (c->size - c->from) / VD_SECTOR) * VD_SECTOR;
	u64 len = VD_SECTOR * (1 + ut_below(rng, 2 * c->unit / VD_SECTOR + 2));
	u64 dice = ut_below(rng, 8);
	int ret;

	len = min_t(u64, len, c->size - pos);
	remember(a, name[min(dice, 4ULL)], pos, len);
	ret = issue(a, dice, pos, len);
	if (ret)
		return img_bad(a->w->rule, "again: request at %llu: error %d", pos, ret);
	return same(a, pos, len, "at once");
}

static bool pack(struct again *a)
{
	void *buf = ut_xalloc(65536);
	struct crash_pack p;
	int ret;

	remember(a, "vd_fill_holes", 0, 0);
	crash_pack_init(&p, &a->w->rng, a->chain, buf);
	ret = vd_fill_holes(a->chain, &p.pack);
	free(buf);
	return !ret || img_bad(a->w->rule, "again: vd_fill_holes: error %d", ret);
}

static bool write_more(struct again *a)
{
	char *rule = a->w->rule;
	u64 bad, n;
	bool end;
	int ret;

	ret = vd_read(a->chain, NULL, 0, a->shadow, (u32)a->size);
	if (ret)
		return img_bad(rule, "again: vd_read of all: error %d", ret);
	bad = crash_oracle_judge(&a->w->oracle, a->shadow, 0);
	if (bad != U64_MAX)
		return img_bad(rule, "again: sector %llu is wrong after the repair", bad);
	for (n = 4 + ut_below(&a->w->rng, 5); n; n--) {
		if (!request(a))
			return false;
	}
	end = ut_below(&a->w->rng, 2);
	if (end && crash_packs(a->w->s->fmt) && !pack(a))
		return false;
	remember(a, end ? "vd_end_write" : "vd_flush", 0, 0);
	ret = end ? vd_end_write(a->chain) : vd_flush(a->chain);
	return !ret || img_bad(rule, "again: the last flush: error %d", ret);
}

static bool reopen(struct again *a)
{
	struct crash_tables now;
	bool good;
	u32 i;

	for (i = 0; i < crash_nr_extents(a->set); i++) {
		if (!crash_set_look(a->set, i, &now, a->w->rule))
			return false;
	}
	a->chain = crash_set_open(a->set, false, a->w->rule);
	if (!a->chain)
		return false;
	good = same(a, 0, a->size, "after all");
	vd_chain_close(a->chain);
	return good;
}

bool crash_again(struct crash_walk *w)
{
	struct again a = {
		.w = w, .set = &w->copy, .shadow = w->shadow, .size = w->s->c.size,
	};
	bool good;
	u32 i;

	w->stats->again++;
	w->nr_requests = 0;
	crash_log_reset(&w->copy_log);
	for (i = 0; i < a.set->nr; i++) {
		crash_file_copy(&a.set->file[i], &w->st.set.file[i]);
		a.set->file[i].log = &w->copy_log;
	}
	if (!repair(&a))
		return false;
	a.chain = crash_set_open(a.set, true, w->rule);
	if (!a.chain)
		return false;
	good = write_more(&a);
	vd_chain_close(a.chain);
	return good && reopen(&a);
}
