// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest: scripts of requests, whose effect is known beforehand. The disk is
 * compared with what it must hold while the image is still open, too.
 */
#include "crash.h"

#define MAX_DATA	(4U << 20)
#define PACK_BYTES	65536U
#define FEW_UNITS	12	/* of a disk: too small for a script */

#define WRITE		CRASH_K_WRITE
#define DISCARD		CRASH_K_DISCARD
#define ZERO_UNMAP	CRASH_K_UNMAP
#define ZERO_KEEP	CRASH_K_ZERO

static const char *const request_name[] = {
	"vd_write", "vd_discard", "vd_write_zeroes unmap", "vd_write_zeroes",
};

struct crash_op *crash_note(struct crash_work *w, enum crash_what what, u32 request, u64 pos,
			    u64 len, const void *data)
{
	struct crash_op *op = crash_log_add(&w->s->log, what, 0, pos, len, data);

	op->request = request;
	crash_oracle_step(&w->s->oracle, op);
	return op;
}

/* The disk as it is now against what it must hold. */
static bool compare(struct crash_work *w, u64 pos, u64 len)
{
	u64 s;
	int ret;

	ret = vd_read(w->chain, NULL, pos, w->s->buf, (u32)len);
	if (ret)
		return img_bad(w->rule, "live: vd_read at %llu: error %d", pos, ret);
	for (s = pos / VD_SECTOR; s < (pos + len) / VD_SECTOR; s++) {
		if (memcmp(w->s->buf + (s * VD_SECTOR - pos),
			   crash_oracle_now(&w->s->oracle, s), VD_SECTOR))
			return img_bad(w->rule, "live: sector %llu does not hold what was written",
					 s);
	}
	return true;
}

/*
 * A discard may do nothing, sector by sector; what it did is read back. From
 * then on the sector holds that, whatever comes.
 */
static bool settle_discard(struct crash_work *w, u64 pos, u64 len, const u8 *old)
{
	u64 at;
	int ret;

	ret = vd_read(w->chain, NULL, pos, w->s->buf, (u32)len);
	if (ret)
		return img_bad(w->rule, "live: vd_read after a discard at %llu: error %d", pos,
				 ret);
	for (at = 0; at < len; at += VD_SECTOR) {
		if (!memcmp(w->s->buf + at, crash_zeros, VD_SECTOR))
			continue;
		if (memcmp(w->s->buf + at, old + at, VD_SECTOR))
			return img_bad(w->rule,
					 "live: sector %llu is neither old nor zeros after a discard",
					 (pos + at) / VD_SECTOR);
		crash_note(w, CRASH_BEGIN, ++w->s->requests, pos + at, VD_SECTOR, old + at);
		crash_note(w, CRASH_DONE, w->s->requests, pos + at, VD_SECTOR, NULL);
	}
	return true;
}

static int issue(struct crash_work *w, enum crash_kind what, u64 pos, u64 len)
{
	switch (what) {
	case WRITE:
		return vd_write(w->chain, pos, w->data, (u32)len);
	case DISCARD:
		return vd_discard(w->chain, pos, len);
	case ZERO_UNMAP:
		return vd_write_zeroes(w->chain, pos, len, true);
	case ZERO_KEEP:
		return vd_write_zeroes(w->chain, pos, len, false);
	}
	return -EINVAL;
}

static bool request(struct crash_work *w, enum crash_kind what, u64 pos, u64 len)
{
	const u8 *data = NULL, *old = NULL;
	u32 id = ++w->s->requests;
	u64 at;
	u8 *copy;
	int ret;

	if (what == WRITE) {
		ut_pattern(w->data, len, pos, w->rng.state ^ id);
		data = w->data;
	} else if (what == DISCARD) {
		old = copy = crash_take(&w->s->log.arena, len);
		for (at = 0; at < len; at += VD_SECTOR)
			memcpy(copy + at, crash_oracle_now(&w->s->oracle, (pos + at) / VD_SECTOR),
			       VD_SECTOR);
	}
	crash_note(w, CRASH_BEGIN, id, pos, len, data);
	ret = issue(w, what, pos, len);
	if (ret)
		return img_bad(w->rule, "live: %s [%llu, %llu): error %d", request_name[what],
				 pos, pos + len, ret);
	if (what == DISCARD && !settle_discard(w, pos, len, old))
		return false;
	crash_note(w, CRASH_DONE, id, pos, len, NULL);
	if (ut_below(&w->rng, 4))
		return compare(w, pos, len);
	return compare(w, w->s->c.from, w->s->c.size - w->s->c.from);
}

static bool flush(struct crash_work *w)
{
	u32 number = w->s->oracle.flush_epoch;
	int ret;

	crash_note(w, CRASH_FLUSH_BEGIN, number, 0, 0, NULL);
	ret = vd_flush(w->chain);
	if (ret)
		return img_bad(w->rule, "live: vd_flush: error %d", ret);
	crash_note(w, CRASH_FLUSH_DONE, number, 0, 0, NULL);
	return true;
}

/* --- the end of writing --- */

/* Asked between two moves, and while one is copied: a commit may come there. */
static bool pack_on(void *ctx, u64 moved, u64 total)
{
	struct crash_pack *p = ctx;

	if (!ut_below(p->rng, 4))
		vd_commit(p->chain);
	if (p->left == U32_MAX)
		return true;
	return p->left && --p->left;
}

void crash_pack_init(struct crash_pack *p, struct ut_rng *rng, struct vd_chain *chain, void *buf)
{
	memset(p, 0, sizeof(*p));
	p->rng = rng;
	p->chain = chain;
	p->left = ut_below(rng, 2) ? U32_MAX : (u32)ut_below(rng, 16);
	p->pack.go_on = pack_on;
	p->pack.ctx = p;
	p->pack.buf = buf;
	p->pack.size = ut_below(rng, 2) ? 4096 : PACK_BYTES;
	p->pack.memory = ut_below(rng, 16) ? UT_MIB : 0;
	p->pack.always = ut_below(rng, 2);
}

/* Units move down. @all: none is left that could. */
static bool pack(struct crash_work *w, bool *all)
{
	struct crash_pack p;
	void *buf = ut_xalloc(PACK_BYTES);
	int ret;

	crash_pack_init(&p, &w->rng, w->chain, buf);
	ret = vd_fill_holes(w->chain, &p.pack);
	free(buf);
	*all = p.pack.always && !p.pack.left;
	return !ret || img_bad(w->rule, "live: vd_fill_holes: error %d", ret);
}

/*
 * What others find then. @all: with nothing that is unused. A file's end from before
 * stays, whoever left it there.
 */
static bool is_tidy(struct crash_work *w, u32 i, const struct crash_tables *now, bool all)
{
	const struct crash_session *s = w->s;
	u32 member = s->c.set.segs[i].member;
	u64 len = s->set.file[member].len;

	if (now->marked)
		return img_bad(w->rule, "live: marked after vd_end_write");
	/* Only who allocates puts right what somebody else left. */
	if (!all && now->hash == s->clean[i])
		return true;
	if (now->uncounted || now->cut)
		return img_bad(w->rule, "live: vd_end_write leaves %llu not counted, %llu cut",
			       now->uncounted, now->cut);
	/* What was forgotten is lost until somebody looks for it. */
	if (s->forgetful)
		return true;
	if (all && now->unused)
		return img_bad(w->rule, "live: vd_end_write leaves %llu unused", now->unused);
	if (!s->fmt->marks && !s->set.files[member]->fixed && len != now->end &&
	    len != s->start.file[member].len)
		return img_bad(w->rule, "live: vd_end_write leaves %llu bytes, used are %llu", len,
			       now->end);
	return true;
}

/* What the tables say at a clean end goes with the mark of it. */
static bool end_write(struct crash_work *w)
{
	struct crash_tables now;
	u64 hash[CRASH_PARTS] = { 0 };
	u32 number = w->s->oracle.flush_epoch, i;
	bool all = false;
	int ret;

	if (crash_packs(w->s->fmt) && !pack(w, &all))
		return false;
	crash_note(w, CRASH_END_BEGIN, 0, 0, 0, NULL);
	crash_note(w, CRASH_FLUSH_BEGIN, number, 0, 0, NULL);
	ret = vd_end_write(w->chain);
	if (ret)
		return img_bad(w->rule, "live: vd_end_write: error %d", ret);
	for (i = 0; i < crash_nr_extents(&w->s->set); i++) {
		if (!crash_set_look(&w->s->set, i, &now, w->rule) || !is_tidy(w, i, &now, all))
			return false;
		hash[i] = now.hash;
	}
	crash_note(w, CRASH_FLUSH_DONE, number, 0, 0, NULL);
	all &= !w->s->forgetful;
	crash_note(w, CRASH_END_DONE, all, 0, sizeof(hash), hash);
	return true;
}

/* A commit may run at any time: also between the steps of a write. */
static void commit_now(void *ctx)
{
	struct crash_work *w = ctx;
	int ret;

	if (ut_below(&w->rng, 6) || w->rule[0])
		return;
	ret = vd_commit(w->chain);
	if (ret)
		img_bad(w->rule, "live: vd_commit: error %d", ret);
}

/* --- scripts --- */

static u64 sector(u64 pos)
{
	return pos / VD_SECTOR * VD_SECTOR;
}

/* A write that is clipped at the disk's end. */
static bool write_at(struct crash_work *w, u64 pos, u64 len)
{
	return request(w, WRITE, pos, min_t(u64, len, w->s->c.size - pos));
}

/* Where extents, tables or the disk meet: byte @n of a short list. */
static u64 edge(struct crash_work *w, u64 n)
{
	const struct img_case *c = &w->s->c;
	u64 table = w->s->fmt->table(c);
	u32 segs = crash_nr_extents(&w->s->set);

	n %= segs + 1;
	if (n && n < segs)
		return c->set.segs[n].start;
	if (!n && table < c->size && table > c->from)
		return table;
	return c->size - c->unit;
}

/* The first write of all, the last unit, pieces of one unit, an edge, a clean end. */
static bool script_first(struct crash_work *w)
{
	const struct img_case *c = &w->s->c;
	u64 last = c->size - VD_SECTOR, at = edge(w, 0);

	return request(w, WRITE, last, VD_SECTOR) && flush(w) &&
	       request(w, WRITE, c->from, VD_SECTOR) &&
	       request(w, WRITE, c->from + 2 * VD_SECTOR, VD_SECTOR) && flush(w) &&
	       write_at(w, at - 2 * VD_SECTOR, 4 * VD_SECTOR) && flush(w) &&
	       end_write(w) && request(w, WRITE, c->from, 2 * VD_SECTOR) && flush(w);
}

/* Neighbours in one sector of a table, then one of them goes and comes back. */
static bool script_reuse(struct crash_work *w)
{
	const struct img_case *c = &w->s->c;
	u64 unit = c->unit, at = c->from + unit * (1 + ut_below(&w->rng, 4));
	enum crash_kind gone = (enum crash_kind)(DISCARD + ut_below(&w->rng, 2));

	return write_at(w, at, unit) && write_at(w, at + unit, unit) && flush(w) &&
	       request(w, gone, at, unit) && write_at(w, at + 4 * unit, unit) && flush(w) &&
	       write_at(w, at + 5 * unit, unit) && write_at(w, at, sector(unit / 2) + VD_SECTOR) &&
	       request(w, gone, at + unit, unit) && write_at(w, at + unit, VD_SECTOR) &&
	       flush(w) && end_write(w);
}

/* Across every edge, both ways. */
static bool script_edges(struct crash_work *w)
{
	const struct img_case *c = &w->s->c;
	u64 at, i;

	for (i = 0; i < 4; i++) {
		at = edge(w, i) - 3 * VD_SECTOR;
		if (!write_at(w, at, c->unit + 4 * VD_SECTOR) || !flush(w) ||
		    !request(w, i & 1 ? DISCARD : ZERO_UNMAP, at - VD_SECTOR,
			     4 * VD_SECTOR) ||
		    !write_at(w, at + VD_SECTOR, VD_SECTOR))
			return false;
	}
	return flush(w) && end_write(w);
}

/* Everything, in order: the file grows more than once. */
static bool script_fill(struct crash_work *w)
{
	const struct img_case *c = &w->s->c;
	u64 pos, step = 3 * c->unit + VD_SECTOR;
	u32 n = 0;

	for (pos = c->from; pos < c->size; pos += step) {
		if (!write_at(w, pos, step) || (++n % 6 == 0 && !flush(w)))
			return false;
	}
	return flush(w) && end_write(w);
}

/* All goes, all comes back, in one session and the next. */
static bool script_again(struct crash_work *w)
{
	const struct img_case *c = &w->s->c;
	u64 len = min_t(u64, c->size - c->from, 8 * c->unit);

	return write_at(w, c->from, len) && flush(w) && request(w, DISCARD, c->from, len) &&
	       write_at(w, c->from + len / 2 / VD_SECTOR * VD_SECTOR, 2 * c->unit) && flush(w) &&
	       end_write(w) && write_at(w, c->from, len) && flush(w) &&
	       request(w, ZERO_UNMAP, c->from, len) && write_at(w, c->from, c->unit) &&
	       end_write(w) && request(w, ZERO_KEEP, c->from, len) && flush(w);
}

u64 crash_random_len(struct crash_work *w)
{
	u64 unit = w->s->c.unit;

	switch (ut_below(&w->rng, 6)) {
	case 0:
		return VD_SECTOR;
	case 1:
		return unit;
	case 2:
		return 2 * unit;
	case 3:
		return VD_SECTOR * (1 + ut_below(&w->rng, 8));
	case 4:
		return VD_SECTOR * (1 + ut_below(&w->rng, 5 * unit / VD_SECTOR));
	}
	return unit + VD_SECTOR;
}

u64 crash_random_pos(struct crash_work *w, u64 last)
{
	const struct img_case *c = &w->s->c;
	u64 pos, back;

	switch (ut_below(&w->rng, 5)) {
	case 0:
		pos = edge(w, ut_below(&w->rng, 8));
		back = ut_below(&w->rng, 4) * VD_SECTOR;
		return pos >= c->from + back ? pos - back : pos;
	case 1:
		return last;
	case 2:
		pos = last + c->unit;
		return pos < c->size ? pos : c->from;
	case 3:
		pos = c->from + ut_below(&w->rng, (c->size - c->from) / c->unit) * c->unit;
		return sector(pos);
	}
	return c->from + ut_below(&w->rng, (c->size - c->from) / VD_SECTOR) * VD_SECTOR;
}

static bool random_request(struct crash_work *w, u64 *last)
{
	u64 pos = crash_random_pos(w, *last);
	u64 len = min_t(u64, crash_random_len(w), w->s->c.size - pos);
	u64 dice = ut_below(&w->rng, 100);
	bool all;
	int ret;

	*last = pos;
	if (crash_packs(w->s->fmt) && !ut_below(&w->rng, 24))
		return pack(w, &all);
	if (dice < 55)
		return request(w, WRITE, pos, len);
	if (dice < 67)
		return request(w, DISCARD, pos, len);
	if (dice < 75)
		return request(w, ZERO_UNMAP, pos, len);
	if (dice < 80)
		return request(w, ZERO_KEEP, pos, len);
	if (dice < 95)
		return flush(w);
	ret = vd_commit(w->chain);
	return !ret || img_bad(w->rule, "live: vd_commit: error %d", ret);
}

static bool script_random(struct crash_work *w)
{
	u64 n = 8 + ut_below(&w->rng, 16), last = w->s->c.from;

	while (n--) {
		if (!random_request(w, &last))
			return false;
	}
	if (ut_below(&w->rng, 3) && !flush(w))
		return false;
	return ut_below(&w->rng, 2) || end_write(w);
}

/* Several at once, twice, and often a clean end. */
static bool script_woven(struct crash_work *w)
{
	u32 n;

	for (n = 0; n < 2; n++) {
		if (!crash_weave(w) || !compare(w, 0, w->s->c.size))
			return false;
		if (ut_below(&w->rng, 2) && !end_write(w))
			return false;
	}
	return ut_below(&w->rng, 2) || flush(w);
}

static bool (*const scripts[CRASH_SCRIPTS])(struct crash_work *w) = {
	script_first, script_reuse, script_edges, script_fill, script_again,
};

static struct ut_rng memory_rng;

/* Only places that go and come back take so little; each may be lost, no request fails. */
static bool scarce_memory(size_t size)
{
	return size > 128 || ut_below(&memory_rng, 4);
}

static bool run_script(struct crash_work *w, u64 seed, u32 script)
{
	u32 i;
	bool good;

	for (i = 0; i < w->s->set.nr; i++) {
		w->s->set.file[i].hook = commit_now;
		w->s->set.file[i].ctx = w;
		w->s->set.file[i].hooked = w->data;
		w->s->set.file[i].hooked_len = MAX_DATA;
	}
	/* It remembers for good what it takes memory for, and fails for want of it. */
	if (w->s->forgetful && !w->s->fmt->marks && vd_begin_write(w->chain))
		return img_bad(w->rule, "live: vd_begin_write fails");
	memory_rng.state = seed;
	vd_alloc_hook = w->s->forgetful ? scarce_memory : NULL;
	if (w->s->c.size < FEW_UNITS * w->s->c.unit)
		script = U32_MAX;
	if (w->s->woven)
		good = script_woven(w);
	else
		good = script < CRASH_SCRIPTS ? scripts[script](w) : script_random(w);
	vd_alloc_hook = NULL;
	for (i = 0; i < w->s->set.nr; i++)
		w->s->set.file[i].hook = NULL;
	return good && !w->rule[0];
}

bool crash_work_run(struct crash_session *s, u64 seed, u32 script, char *rule)
{
	struct crash_work w = { .s = s, .rng = { seed }, .rule = rule };
	bool good;

	rule[0] = '\0';
	w.chain = crash_set_open(&s->set, true, rule);
	if (!w.chain)
		return false;
	w.data = ut_xalloc(MAX_DATA);
	good = compare(&w, 0, s->c.size);
	good = good && run_script(&w, seed, script) && compare(&w, 0, s->c.size);
	vd_chain_close(w.chain);
	free(w.data);
	return good;
}
