// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest that does not wait: up to four requests are under way at once, flushes,
 * commits and reads among them, each taking the steps of alloc.h by itself. A
 * step ends wherever another one can come in between: after each call of the
 * library, within it at each operation of a file, and where it waits for a lock.
 *
 * Requests that change the same sectors at once leave one or the other there, and
 * which, is read back as soon as one of them has ended. All else is known before.
 */
#include "flow.h"

#define AT_ONCE		4
#define BUF_BYTES	65536U
#define MAX_STEPS	200000	/* of one weave; some hundred are usual */

/* What a request does, beside the changes of enum crash_kind. */
enum { READ = CRASH_K_ZERO + 1, FLUSH, COMMIT, PACK };

struct weave;

/**
 * struct thread - a request under way
 * @what: enum crash_kind or one of the above
 * @since: place in the log where it began
 * @data: what it writes; of a read and a discard: what was there when it began
 * @alloc: its token, if @has_token
 * @mixed: another change of the same sectors was under way
 * @failed: it gave up
 * @holds: one epoch for all of it, as the kernel's engine does
 * @slow: many others come and go meanwhile
 * @woken: the token it waits for has ended
 */
struct thread {
	struct crash_flow flow;
	struct weave *v;
	u32 what;
	u64 pos;
	u64 len;
	u32 id;
	u32 since;
	const u8 *data;
	struct vd_alloc alloc;
	bool has_token;
	bool mixed;
	bool failed;
	bool holds;
	bool slow;
	struct vd_waiter waiter;
	bool woken;
	u8 *buf;
};

/* @packing: nobody writes, but units move. */
struct weave {
	struct crash_work *w;
	struct thread t[AT_ONCE];
	u32 nr;
	u64 last;
	bool packing;
};

static struct thread *thread_of(struct crash_flow *flow)
{
	return container_of(flow, struct thread, flow);
}

static void step(struct thread *t)
{
	crash_flow_step(&t->flow);
}

static int complain(struct thread *t, const char *what, int ret)
{
	if (!t->v->w->rule[0])
		img_bad(t->v->w->rule, "live: %s [%llu, %llu): error %d", what, t->pos,
			t->pos + t->len, ret);
	return ret;
}

/* --- what a reader may see --- */

/* Was @op, a request of the log's, under way at any time after place @since? */
static bool was_under_way(const struct crash_log *log, u32 begin, u32 since)
{
	u32 i;

	for (i = begin + 1; i < since; i++) {
		if (log->op[i].what == CRASH_DONE && log->op[i].request == log->op[begin].request)
			return false;
	}
	return true;
}

/* What a change puts there that was under way at any time since then. */
static bool seen_since(const struct crash_log *log, u32 since, u64 pos, const u8 *content)
{
	const u8 *data;
	u32 i;

	for (i = 0; i < log->nr; i++) {
		const struct crash_op *op = &log->op[i];

		if (op->what != CRASH_BEGIN || pos < op->pos || pos >= op->pos + op->len)
			continue;
		data = op->data ? op->data + (pos - op->pos) : crash_zeros;
		if (!memcmp(data, content, VD_SECTOR) && was_under_way(log, i, since))
			return true;
	}
	return false;
}

/* @t->data is what was there when it began. */
static int check_read(struct thread *t, u64 pos, u64 len)
{
	struct crash_work *w = t->v->w;
	u64 at;

	for (at = pos; at < pos + len; at += VD_SECTOR) {
		const u8 *got = t->buf + (at - pos);

		if (!memcmp(got, t->data + (at - t->pos), VD_SECTOR) ||
		    seen_since(&w->s->log, t->since, at, got))
			continue;
		img_bad(w->rule, "live: a read of sector %llu shows what nobody wrote there",
			at / VD_SECTOR);
		return -EIO;
	}
	return 0;
}

/* --- the end of a change --- */

/* What a sector holds is what it keeps, though something else was possible. */
static void settle(struct crash_work *w, u64 pos, const u8 *content)
{
	u32 id = ++w->s->requests;

	crash_note(w, CRASH_BEGIN, id, pos, VD_SECTOR, content);
	crash_note(w, CRASH_DONE, id, pos, VD_SECTOR, NULL);
}

static bool may_hold(const struct thread *t, u64 pos, const u8 *got)
{
	const u8 *data = t->data + (pos - t->pos);

	if (t->mixed || t->failed)
		return crash_oracle_may(&t->v->w->s->oracle, pos / VD_SECTOR, got);
	if (t->what == CRASH_K_WRITE)
		return !memcmp(got, data, VD_SECTOR);
	return !memcmp(got, crash_zeros, VD_SECTOR) ||
	       (t->what == CRASH_K_DISCARD && !memcmp(got, data, VD_SECTOR));
}

/* In one turn: what is read here is what the guest would read now. */
static void end_change(struct thread *t)
{
	struct crash_work *w = t->v->w;
	bool known = t->what != CRASH_K_DISCARD && !t->mixed && !t->failed;
	u8 *buf = w->s->buf;
	u64 at;
	int ret;

	t->flow.still = true;
	ret = vd_read(w->chain, NULL, t->pos, buf, (u32)t->len);
	t->flow.still = false;
	if (ret) {
		complain(t, "vd_read after a change", ret);
		return;
	}
	for (at = 0; at < t->len; at += VD_SECTOR) {
		if (!may_hold(t, t->pos + at, buf + at)) {
			img_bad(w->rule, "live: sector %llu does not hold what was written",
				(t->pos + at) / VD_SECTOR);
			return;
		}
		if (!known)
			settle(w, t->pos + at, buf + at);
	}
	crash_note(w, CRASH_DONE, t->id, t->pos, t->len, NULL);
}

/* --- steps of a write --- */

static void wake(struct vd_waiter *waiter)
{
	struct thread *t = container_of(waiter, struct thread, waiter);

	t->woken = true;
	t->flow.parked = false;
}

/* After -EBUSY: until the token of another one has ended, which may be so by now. */
static void park(struct thread *t)
{
	t->flow.parked = !t->woken;
	crash_flow_park(&t->flow);
}

/* In two pieces, so that one may be there without the other. */
static int put_bytes(struct thread *t, struct vd_file *file, u64 file_pos, u64 pos, u64 len)
{
	const u8 *data = t->data + (pos - t->pos);
	u64 half = len / VD_SECTOR / 2 * VD_SECTOR;
	int ret = 0;

	if (half && ut_below(t->flow.rng, 2)) {
		ret = vd_file_write(file, file_pos, data, (u32)half);
		step(t);
	} else {
		half = 0;
	}
	if (!ret)
		ret = vd_file_write(file, file_pos + half, data + half, (u32)(len - half));
	step(t);
	return ret;
}

/* What vd_reserve() promised: the place is ours alone and has space, as have the tables. */
static int check_token(struct thread *t)
{
	const struct vd_alloc *a = &t->alloc;
	char *rule = t->v->w->rule;
	u32 i;

	for (i = 0; i < AT_ONCE; i++) {
		const struct thread *o = &t->v->t[i];

		if (o == t || !o->has_token || o->alloc.file != a->file)
			continue;
		if (vd_overlap(o->alloc.file_pos, o->alloc.room, a->file_pos, a->room))
			img_bad(rule, "live: two tokens have byte %llu of file %u", a->file_pos,
				a->file->index);
	}
	if (!a->file->fixed && !crash_file_secured(a->file, a->file_pos, a->room))
		img_bad(rule, "live: no space for byte %llu of file %u, which was reserved",
			a->file_pos, a->file->index);
	for (i = 0; i < VD_ALLOC_PINS; i++) {
		if (a->pin[i].block && !a->file->fixed &&
		    !crash_file_secured(a->file, a->pin[i].pos / VD_SECTOR * VD_SECTOR, VD_SECTOR))
			img_bad(rule, "live: no space for the table at byte %llu of file %u",
				a->pin[i].pos, a->file->index);
	}
	return rule[0] ? -EIO : 0;
}

static int fill_and_write(struct thread *t, u64 pos, u64 len)
{
	struct vd_unit unit = { 0 };
	struct vd_alloc *a = &t->alloc;
	int ret;

	ret = vd_fill(t->v->w->chain, a, pos, len, t->buf, BUF_BYTES, &unit);
	step(t);
	vd_unit_release(&unit);
	if (!ret)
		ret = put_bytes(t, a->file, a->file_pos + (pos - a->pos), pos, len);
	return ret;
}

/* Sometimes the transfer fails: then the place goes back, and the guest may try again. */
static int write_new(struct thread *t, u64 pos, u64 *len)
{
	struct vd_chain *chain = t->v->w->chain;
	int ret;

	t->woken = false;
	ret = vd_reserve(chain, pos, *len, &t->alloc, &t->waiter);
	if (ret == -EBUSY)
		park(t);
	if (ret)
		return ret == -EBUSY ? -EAGAIN : ret;
	t->has_token = true;
	*len = min(*len, t->alloc.pos + t->alloc.len - pos);
	ret = check_token(t);
	step(t);
	if (!ret)
		ret = fill_and_write(t, pos, *len);
	if (!ret && !ut_below(t->flow.rng, 12)) {
		ret = -EAGAIN;
		t->failed = !ut_below(t->flow.rng, 2);
	}
	t->has_token = false;
	if (ret)
		vd_abandon(chain, &t->alloc);
	else
		vd_publish(chain, &t->alloc);
	return ret;
}

static int write_some(struct thread *t, u64 pos, u64 *len)
{
	struct vd_chain *chain = t->v->w->chain;
	unsigned int epoch = vd_io_enter(chain);
	struct vd_extent ext;
	u64 want = *len;
	int ret;

	do {
		*len = want;
		ret = vd_map(chain, pos, want, VD_MAP_WRITE, &ext);
		step(t);
		if (!ret) {
			*len = ext.len;
			ret = put_bytes(t, ext.file, ext.file_pos, pos, ext.len);
		} else if (ret == -ENODATA) {
			ret = write_new(t, pos, len);
		}
	} while (ret == -EAGAIN && !t->failed);
	vd_io_leave(chain, epoch);
	return ret;
}

static int do_write(struct thread *t)
{
	int ret = vd_begin_write(t->v->w->chain);
	u64 pos = t->pos, len;

	for (; !ret && pos < t->pos + t->len; pos += len) {
		len = t->pos + t->len - pos;
		ret = write_some(t, pos, &len);
		step(t);
	}
	return t->failed ? 0 : ret;
}

/* --- the other requests --- */

static int do_clear(struct thread *t)
{
	static const unsigned int flags[] = {
		[CRASH_K_DISCARD] = 0,
		[CRASH_K_UNMAP] = VD_CLEAR_ZERO,
		[CRASH_K_ZERO] = VD_CLEAR_ZERO | VD_CLEAR_KEEP,
	};
	struct vd_chain *chain = t->v->w->chain;
	struct vd_unit unit = { 0 };
	u64 pos = t->pos, done = 0;
	unsigned int epoch;
	int ret = 0;

	while (!ret && pos < t->pos + t->len) {
		epoch = vd_io_enter(chain);
		t->woken = false;
		ret = vd_clear(chain, pos, t->pos + t->len - pos, flags[t->what], t->buf,
			       BUF_BYTES, &unit, &t->waiter, &done);
		vd_io_leave(chain, epoch);
		if (ret == -EBUSY) {
			park(t);
			ret = 0;
			continue;
		}
		pos += done;
		step(t);
	}
	vd_unit_release(&unit);
	return ret;
}

/* The map may be old when its answer is used, but not too old. */
static int read_some(struct thread *t, u64 pos, u64 *len)
{
	struct vd_chain *chain = t->v->w->chain;
	unsigned int epoch = vd_io_enter(chain);
	struct vd_extent ext;
	int ret;

	ret = vd_map(chain, pos, min_t(u64, *len, BUF_BYTES), 0, &ext);
	step(t);
	if (!ret) {
		*len = ext.len;
		if (ext.type == VD_EXT_DATA)
			ret = vd_file_read_tail(ext.file, ext.file_pos, t->buf, (u32)ext.len);
		else
			memset(t->buf, 0, ext.len);
	}
	if (!ret)
		ret = check_read(t, pos, ext.len);
	vd_io_leave(chain, epoch);
	return ret;
}

static int do_read(struct thread *t)
{
	u64 pos = t->pos, len;
	int ret = 0;

	for (; !ret && pos < t->pos + t->len; pos += len) {
		len = t->pos + t->len - pos;
		ret = read_some(t, pos, &len);
		step(t);
	}
	return ret;
}

static bool others_inside(const struct thread *t)
{
	u32 i;

	for (i = 0; i < AT_ONCE; i++) {
		const struct thread *o = &t->v->t[i];

		if (o != t && o->flow.live && o->flow.inside)
			return true;
	}
	return false;
}

static int do_flush(struct thread *t)
{
	struct crash_work *w = t->v->w;
	u32 number = w->s->oracle.flush_epoch;
	int ret;

	crash_note(w, CRASH_FLUSH_BEGIN, number, 0, 0, NULL);
	ret = vd_commit(w->chain);
	if (!ret)
		crash_note(w, CRASH_FLUSH_DONE, number, 0, others_inside(t), NULL);
	return ret;
}

static int do_pack(struct thread *t)
{
	struct crash_pack p;

	crash_pack_init(&p, t->flow.rng, t->v->w->chain, t->buf);
	return vd_fill_holes(t->v->w->chain, &p.pack);
}

/* What changes nothing that a guest could see. */
static int do_other(struct thread *t)
{
	switch (t->what) {
	case READ:
		return do_read(t);
	case FLUSH:
		return do_flush(t);
	case PACK:
		return do_pack(t);
	}
	return vd_commit(t->v->w->chain);
}

static void run(struct crash_flow *flow)
{
	static const char *const name[] = {
		"write", "vd_clear discard", "vd_clear unmap", "vd_clear zero", "read", "flush",
		"vd_commit", "vd_fill_holes",
	};
	struct thread *t = thread_of(flow);
	struct vd_chain *chain = t->v->w->chain;
	unsigned int epoch = 0;
	int ret;

	flow->inside = true;
	t->holds = t->what <= READ && ut_below(flow->rng, 2);
	if (t->holds)
		epoch = vd_io_enter(chain);
	if (t->what == CRASH_K_WRITE)
		ret = do_write(t);
	else if (t->what <= CRASH_K_ZERO)
		ret = do_clear(t);
	else
		ret = do_other(t);
	if (t->holds)
		vd_io_leave(chain, epoch);
	if (ret)
		complain(t, name[t->what], ret);
	else if (t->what <= CRASH_K_ZERO)
		end_change(t);
	flow->inside = false;
}

/* --- which requests --- */

static u32 random_kind(struct ut_rng *rng)
{
	static const u8 share[] = { 52, 12, 6, 4, 10, 11, 5 };	/* of 100 */
	u64 dice = ut_below(rng, 100);
	u32 what;

	for (what = 0; dice >= share[what]; what++)
		dice -= share[what];
	return what;
}

/* One moves units, the others do what may be done meanwhile. */
static u32 random_other(struct weave *v)
{
	u32 i;

	for (i = 0; i < AT_ONCE; i++) {
		if (v->t[i].flow.live && v->t[i].what == PACK)
			return READ + !ut_below(&v->w->rng, 3) + !ut_below(&v->w->rng, 6);
	}
	return PACK;
}

/* What the disk holds there now, where it will stay. */
static const u8 *content_now(struct crash_work *w, u64 pos, u64 len)
{
	u8 *copy = crash_take(&w->s->log.arena, len);
	u64 at;

	for (at = 0; at < len; at += VD_SECTOR)
		memcpy(copy + at, crash_oracle_now(&w->s->oracle, (pos + at) / VD_SECTOR),
		       VD_SECTOR);
	return copy;
}

/* Others that change the same sectors: rarely wanted, but then both know. */
static bool meets(struct weave *v, struct thread *t, bool tell)
{
	bool met = false;
	u32 i;

	for (i = 0; i < AT_ONCE; i++) {
		struct thread *o = &v->t[i];

		if (o == t || !o->flow.live || o->what > CRASH_K_ZERO ||
		    !vd_overlap(o->pos, o->len, t->pos, t->len))
			continue;
		met = true;
		if (tell)
			o->mixed = t->mixed = true;
	}
	return met;
}

/* What somebody slow is using goes away, or comes back, under its eyes. */
static bool choose_slow(struct weave *v, struct thread *t)
{
	u64 unit = v->w->s->c.unit;
	u32 i;

	for (i = 0; i < AT_ONCE; i++) {
		struct thread *o = &v->t[i];

		if (o == t || !o->flow.live || !o->slow || o->what > READ)
			continue;
		t->pos = o->pos - o->pos % unit;
		t->len = min_t(u64, v->w->s->c.size - t->pos, unit);
		return true;
	}
	return false;
}

/* Other sectors of a unit that somebody is writing to. */
static bool choose_neighbour(struct weave *v, struct thread *t)
{
	u64 unit = v->w->s->c.unit, size = v->w->s->c.size, head, end;
	u32 i;

	for (i = 0; i < AT_ONCE; i++) {
		const struct thread *o = &v->t[i];

		if (o == t || !o->flow.live || o->what != CRASH_K_WRITE)
			continue;
		head = o->pos % unit;
		end = o->pos + o->len;
		t->pos = head ? o->pos - head : end;
		t->len = head ? head : unit - end % unit;
		t->len = min_t(u64, t->len, size - t->pos);
		if ((head || end % unit) && t->len)
			return true;
	}
	return false;
}

/* Near what others do: in the same table, often in the same unit. */
static void choose_place(struct weave *v, struct thread *t)
{
	struct crash_work *w = v->w;
	u32 tries;

	if ((t->what == CRASH_K_DISCARD || t->what == CRASH_K_UNMAP) && ut_below(&w->rng, 2) &&
	    choose_slow(v, t))
		return;
	if (t->what == CRASH_K_WRITE && !ut_below(&w->rng, 3) && choose_neighbour(v, t))
		return;
	for (tries = 0; tries < 8; tries++) {
		t->pos = crash_random_pos(w, v->last);
		t->len = min_t(u64, crash_random_len(w), w->s->c.size - t->pos);
		if (t->what == CRASH_K_DISCARD && ut_below(&w->rng, 2)) {
			t->pos -= t->pos % w->s->c.unit;
			t->len = min_t(u64, w->s->c.size - t->pos, w->s->c.unit);
		}
		if (!meets(v, t, false) || !ut_below(&w->rng, 6))
			break;
	}
	v->last = t->pos;
}

static void begin(struct weave *v, struct thread *t)
{
	struct crash_work *w = v->w;
	struct crash_op *op;

	t->what = v->packing ? random_other(v) : random_kind(&w->rng);
	t->mixed = false;
	t->failed = false;
	t->slow = !ut_below(&w->rng, 4);
	t->id = ++w->s->requests;
	choose_place(v, t);
	t->since = w->s->log.nr;
	if (t->what == CRASH_K_WRITE)
		ut_pattern(w->data, t->len, t->pos, w->rng.state ^ t->id);
	else if (t->what <= READ)
		t->data = content_now(w, t->pos, t->len);
	if (t->what <= CRASH_K_ZERO) {
		meets(v, t, true);
		op = crash_note(w, CRASH_BEGIN, t->id, t->pos, t->len,
				t->what == CRASH_K_WRITE ? w->data : NULL);
		if (op->data)
			t->data = op->data;
	}
	crash_flow_begin(&t->flow, run);
}

/* --- turns --- */

/* One that can go on, each with the same chance, but slow ones seldom. */
static struct thread *choose(struct weave *v, u32 *live)
{
	struct thread *chosen = NULL, *slow = NULL;
	u32 i, n = 0;

	*live = 0;
	for (i = 0; i < AT_ONCE; i++) {
		struct thread *t = &v->t[i];

		*live += t->flow.live;
		if (!t->flow.live || t->flow.parked)
			continue;
		if (t->slow && ut_below(&v->w->rng, 32))
			slow = t;
		else if (!ut_below(&v->w->rng, ++n))
			chosen = t;
	}
	return chosen ? chosen : slow;
}

static struct thread *unused(struct weave *v)
{
	u32 i;

	for (i = 0; i < v->nr; i++) {
		if (!v->t[i].flow.live)
			return &v->t[i];
	}
	return NULL;
}

static bool is_changing(const struct weave *v)
{
	u32 i;

	for (i = 0; i < AT_ONCE; i++) {
		if (v->t[i].flow.live && v->t[i].what <= CRASH_K_ZERO)
			return true;
	}
	return false;
}

/*
 * After a failure no new request begins; those under way end, as they hold locks.
 * @all: else it returns as soon as nothing changes any more.
 */
static bool run_all(struct weave *v, u64 requests, bool all)
{
	struct crash_work *w = v->w;
	struct thread *t;
	u32 live, steps;

	for (steps = 0; steps < MAX_STEPS; steps++) {
		t = choose(v, &live);
		if (requests && !w->rule[0] && live < v->nr &&
		    (live < 2 || !ut_below(&w->rng, 8))) {
			begin(v, unused(v));
			requests--;
			continue;
		}
		if (!live)
			return !w->rule[0];
		if (!all && !requests && !w->rule[0] && !is_changing(v))
			return true;
		if (!t)
			break;
		crash_flow_run(&t->flow);
	}
	if (w->rule[0])
		return false;
	return img_bad(w->rule, "live: requests wait for each other for ever");
}

bool crash_weave(struct crash_work *w)
{
	struct weave v = { .w = w, .last = w->s->c.from };
	bool good, packs;
	u32 i;

	v.nr = 2 + (u32)ut_below(&w->rng, AT_ONCE - 1);
	for (i = 0; i < AT_ONCE; i++) {
		crash_flow_init(&v.t[i].flow, &w->rng);
		v.t[i].v = &v;
		v.t[i].waiter.wake = wake;
		v.t[i].buf = ut_xalloc(BUF_BYTES);
	}
	vd_wait_hook = crash_flow_wait;
	packs = crash_packs(w->s->fmt) && ut_below(&w->rng, 2);
	good = run_all(&v, 8 + ut_below(&w->rng, 12), !packs);
	if (packs && good) {
		v.packing = true;
		good = run_all(&v, 4 + ut_below(&w->rng, 8), true);
	}
	vd_wait_hook = NULL;
	for (i = 0; i < AT_ONCE; i++) {
		crash_flow_free(&v.t[i].flow);
		free(v.t[i].buf);
	}
	return good;
}
