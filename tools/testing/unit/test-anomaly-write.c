// SPDX-License-Identifier: GPL-2.0-only
/*
 * The anomaly loop for writing: for every kind of image that can be written, a
 * script of requests in which the i-th operation of one sort fails, once or from
 * then on, for i = 1, 2, ... until the script no longer comes that far.
 *
 *	a failed request fails alone: the same one succeeds when the fault is over
 *	a failed flush, or a table that could not be written, is for good: what
 *	changes the disk fails from then on and touches no file; reads go on
 *	each sector holds what was written or, where that failed, what was there
 *
 * Then the files are looked at as they are, as a power cut leaves them, and as
 * one with some luck does: after a merge they are whole, and nothing is missing
 * that a flush had promised.
 */
#include "img-vdi-kinds.h"
#include "ut-power.h"
#include "vdisk/alloc.h"

#define STEPS		40
#define LAST_TAG	62		/* what the disk is asked for when all is over */
#define BIT_OLD		(1ULL << 0)	/* what the image held at first */
#define BIT_ZEROS	(1ULL << 63)

enum request { WRITE, DISCARD, UNMAP, ZEROES, FLUSH, END };

static const char *const request_name[] = {
	"vd_write", "vd_discard", "vd_write_zeroes unmap", "vd_write_zeroes", "vd_flush",
	"vd_end_write",
};

struct step {
	enum request what;
	u64 pos;
	u64 len;
};

/* What fails. The last one is no file's operation: memory. */
struct anomaly {
	const char *name;
	int op;			/* enum vd_file_op or OP_MEMORY */
	int error;
	bool short_read;
};

#define OP_MEMORY	POWER_OPS

static const struct anomaly anomalies[] = {
	{ "read", VD_OP_READ, EIO, false },
	{ "short read", VD_OP_READ, EIO, true },
	{ "write", VD_OP_WRITE, EIO, false },
	{ "write without space", VD_OP_WRITE, ENOSPC, false },
	{ "flush", VD_OP_FLUSH, EIO, false },
	{ "truncate", VD_OP_TRUNCATE, EIO, false },
	{ "punch", VD_OP_PUNCH, EIO, false },
	{ "punch not known", VD_OP_PUNCH, EOPNOTSUPP, false },
	{ "zero", VD_OP_ZERO, EIO, false },
	{ "zero not known", VD_OP_ZERO, EOPNOTSUPP, false },
	{ "allocate", VD_OP_ALLOCATE, EIO, false },
	{ "allocate without space", VD_OP_ALLOCATE, ENOSPC, false },
	{ "allocate not known", VD_OP_ALLOCATE, EOPNOTSUPP, false },
	{ "memory", OP_MEMORY, ENOMEM, false },
};

/**
 * struct run - one run of the script
 * @where: for messages
 * @set: the files; @after: as they are found afterwards
 * @step, @nr_steps: the script
 * @live: for each sector, bits of the contents that a reader may see: bit n is
 *	what step n writes
 * @kept: bits of those that may be there after a power cut
 * @data: what is written
 * @flush_hit, @table_hit: something failed that must not be forgotten
 * @unsure_hit: something that may be of that sort
 * @header_hit: bits of extents whose header could not be written
 * @forever: it is not forgotten
 * @changes: of the files, when that began
 */
struct run {
	const char *name;
	struct img_case c;
	const struct anomaly *a;
	bool sticky;
	long i;
	u8 *want;
	struct power_set set;
	struct power_set after;
	struct vd_chain *chain;
	struct step step[STEPS];
	u32 nr_steps;
	u64 *live;
	u64 *kept;
	u8 *data;
	u8 *buf;
	bool flush_hit;
	bool table_hit;
	bool unsure_hit;
	u32 header_hit;
	bool forever;
	u64 changes;
	char where[160];
};

static unsigned long runs, sticky_runs;

#define bad(r, fmt, ...) \
	fail_msg("%s: " fmt, (r)->where, ##__VA_ARGS__)

/* Where we are, for a failure's message. */
static void __printf(2, 3) say(struct run *r, const char *fmt, ...)
{
	va_list args;
	int len;

	len = snprintf(r->where, sizeof(r->where), "%s, %s %ld%s, ", r->name, r->a->name, r->i,
		       r->sticky ? " and all later ones" : "");
	va_start(args, fmt);
	vsnprintf(r->where + len, sizeof(r->where) - len, fmt, args);
	va_end(args);
}

/* --- what may be where --- */

static void content(const struct run *r, u32 bit, u64 sector, u8 *out)
{
	if (bit == 0)
		memcpy(out, r->want + sector * VD_SECTOR, VD_SECTOR);
	else if (bit == 63)
		memset(out, 0, VD_SECTOR);
	else
		ut_pattern(out, VD_SECTOR, sector * VD_SECTOR, bit);
}

/* Those of @bits that have this content. */
static u64 matching(const struct run *r, u64 bits, u64 sector, const u8 *got)
{
	u8 one[VD_SECTOR];
	u64 match = 0;
	u32 bit;

	for (bit = 0; bit < 64; bit++) {
		if (!(bits >> bit & 1))
			continue;
		content(r, bit, sector, one);
		if (!memcmp(one, got, VD_SECTOR))
			match |= 1ULL << bit;
	}
	return match;
}

/* A request puts @bit there, or (@maybe) leaves a sector as it is. */
static void change(struct run *r, const struct step *s, u64 bit, bool maybe)
{
	u64 i;

	for (i = s->pos / VD_SECTOR; i < (s->pos + s->len) / VD_SECTOR; i++) {
		r->live[i] = bit | (maybe ? r->live[i] : 0);
		r->kept[i] |= r->live[i];
	}
}

/* A flush has promised what a reader sees. */
static void keep(struct run *r)
{
	memcpy(r->kept, r->live, r->c.size / VD_SECTOR * sizeof(*r->kept));
}

/* The disk holds what it must; from then on it is known which of several things. */
static void look(struct run *r, u64 pos, u64 len)
{
	u64 i, match;
	int ret;

	ret = vd_read(r->chain, NULL, pos, r->buf, (u32)len);
	if (ret && r->a->op == VD_OP_READ && ret == -EIO) {
		if (r->sticky)
			return;
		ret = vd_read(r->chain, NULL, pos, r->buf, (u32)len);
	}
	if (ret)
		bad(r, "vd_read at %llu: error %d", pos, ret);
	for (i = 0; i < len / VD_SECTOR; i++) {
		match = matching(r, r->live[pos / VD_SECTOR + i], pos / VD_SECTOR + i,
				 r->buf + i * VD_SECTOR);
		if (!match)
			bad(r, "sector %llu holds what nobody wrote", pos / VD_SECTOR + i);
		r->live[pos / VD_SECTOR + i] = match;
	}
}

/* --- the script --- */

static void add(struct run *r, enum request what, u64 pos, u64 len)
{
	struct step *s = &r->step[r->nr_steps++];

	assert_true(r->nr_steps <= STEPS);
	pos = pos / VD_SECTOR * VD_SECTOR;
	pos = min(pos, r->c.size - VD_SECTOR);
	len = max_t(u64, len / VD_SECTOR * VD_SECTOR, VD_SECTOR);
	*s = (struct step){ what, pos, min(len, r->c.size - pos) };
}

/* Where two extents meet, or two tables; else somewhere. */
static u64 seam(const struct img_case *c)
{
	const struct vdisk_segment_desc *seg = c->set.segs;
	u64 table = c->unit * (seg[0].kind == VDISK_SEG_VMDK_COWD ? IMG_COWD_GTES : IMG_GTES);

	if (c->set.nr_segs > 1 && !seg[1].image)
		return seg[1].start;
	/* A map that begins at the second sector: where a block of the cache ends. */
	if (seg[0].kind == VDISK_SEG_VDI)
		table = c->unit * (VD_META_BLOCK - VD_SECTOR) / 4;
	return table < c->size ? table : c->from + 5 * c->unit;
}

static void write_script(struct run *r)
{
	u64 unit = r->c.unit, at = r->c.from, edge = seam(&r->c), all = r->c.size - at;

	add(r, WRITE, at, VD_SECTOR);
	add(r, WRITE, at + unit / 2, unit + 1024);
	add(r, FLUSH, 0, 0);
	add(r, WRITE, edge - 1024, 2048);
	add(r, DISCARD, at, 2 * unit);
	add(r, WRITE, at + unit, unit);
	add(r, UNMAP, at + 3 * unit, unit);
	add(r, WRITE, r->c.size - VD_SECTOR, VD_SECTOR);
	add(r, FLUSH, 0, 0);
	add(r, WRITE, at + 4 * unit, 6 * unit);
	add(r, ZEROES, at + VD_SECTOR, 3 * unit);
	add(r, END, 0, 0);
	add(r, WRITE, at + 2 * unit, VD_SECTOR);
	add(r, DISCARD, at + 4 * unit, 3 * unit);
	add(r, FLUSH, 0, 0);
	add(r, WRITE, at + 4 * unit, 2 * unit);
	add(r, WRITE, at + 8 * unit, unit);
	add(r, UNMAP, edge - unit, 2 * unit);
	add(r, FLUSH, 0, 0);
	add(r, DISCARD, at, all);
	add(r, WRITE, at, 3 * unit);
	add(r, END, 0, 0);
	add(r, WRITE, at + 5 * unit, unit + VD_SECTOR);
	add(r, WRITE, edge, VD_SECTOR);
	add(r, FLUSH, 0, 0);
}

static int issue(struct run *r, const struct step *s, u32 tag)
{
	switch (s->what) {
	case WRITE:
		ut_pattern(r->data, s->len, s->pos, tag);
		return vd_write(r->chain, s->pos, r->data, (u32)s->len);
	case DISCARD:
		return vd_discard(r->chain, s->pos, s->len);
	case UNMAP:
	case ZEROES:
		return vd_write_zeroes(r->chain, s->pos, s->len, s->what == UNMAP);
	case FLUSH:
		return vd_flush(r->chain);
	case END:
		return vd_end_write(r->chain);
	}
	return -EINVAL;
}

/* --- faults --- */

/* What is about to fail: guest data, or something that nobody may forget? */
static void note_hit(void *ctx, struct power_file *f, enum vd_file_op op, u64 pos,
		     const void *data)
{
	const u8 *from = data;
	struct run *r = ctx;
	u32 i;

	r->flush_hit |= op == VD_OP_FLUSH;
	if (op != VD_OP_WRITE || (from >= r->data && from < r->data + r->c.size))
		return;
	for (i = 0; i < r->c.set.nr_segs && !r->c.set.segs[i].image; i++) {
		const struct vdisk_segment_desc *seg = &r->c.set.segs[i];
		enum img_owner owner;

		if (seg->member != f->file.index)
			continue;
		owner = img_tables_owner(f->now, f->now_len, seg->kind, seg->len, pos);
		r->table_hit |= owner == IMG_TABLE;
		r->header_hit |= (owner == IMG_HEADER) << i;
		/* There a mark is written and a counter, and a table may come before its entry. */
		if (seg->kind == VDISK_SEG_VMDK_COWD)
			r->unsure_hit |= owner == IMG_HEADER || owner == IMG_NOBODY;
		/* There a counter is written with the tables, or to be put right at the end. */
		if (seg->kind == VDISK_SEG_VDI)
			r->unsure_hit |= owner == IMG_HEADER;
	}
}

static void arm(struct run *r)
{
	struct vd_fault *fault = &r->set.fault[r->a->op];

	if (r->a->op == OP_MEMORY) {
		ut_alloc_start(r->i, r->sticky);
		return;
	}
	fault->countdown = r->i;
	fault->sticky = r->sticky;
	fault->error = r->a->error;
	fault->short_read = r->a->short_read;
	/* So each of them is seen in both ways. */
	r->set.partial = (r->i & 1) == r->sticky;
}

static bool reached(const struct run *r)
{
	return r->a->op == OP_MEMORY ? ut_alloc.failed > 0 : r->set.fault[r->a->op].fired > 0;
}

static void disarm(struct run *r)
{
	ut_alloc_stop();
	power_heal(&r->set);
}

/* A table for which there is no space stays in memory until there is. */
static void check_forever(struct run *r)
{
	bool must = r->flush_hit || (r->table_hit && r->a->error != ENOSPC);

	if (must && !vd_failed(r->chain))
		bad(r, "a failed %s is forgotten", r->flush_hit ? "flush" : "table write");
	if (vd_failed(r->chain) && !must && !r->unsure_hit)
		bad(r, "for good, but only a request has failed");
	if (!vd_failed(r->chain))
		return;
	if (r->forever && r->set.changes != r->changes)
		bad(r, "a file is changed after the failure");
	r->forever = true;
	r->changes = r->set.changes;
}

static void check_error(struct run *r, int ret)
{
	if (!reached(r))
		bad(r, "error %d without a fault", ret);
	if (r->a->error == EOPNOTSUPP)
		bad(r, "error %d, but there is another way", ret);
	if (ret != -r->a->error && !(r->forever && ret == -EIO))
		bad(r, "error %d", ret);
}

/* --- a run --- */

static struct vd_chain *open_files(struct run *r, struct power_set *set, int *error)
{
	struct vd_chain_desc desc = img_case_desc(&r->c);
	struct vd_error err = { 0 };
	struct vd_chain *chain = NULL;
	u32 i;

	for (i = 0; i < set->nr; i++) {
		set->files[i]->size = set->f[i].now_len;
		set->files[i]->writable = i < r->c.nr_top;
		vd_atomic_set(&set->files[i]->dirty, 0);
	}
	desc.files = set->files;
	*error = vd_chain_open(&desc, &chain, &err);
	if (*error)
		ut_assert_sentence(&err, *error);
	return chain;
}

static void open_it(struct run *r)
{
	int ret;

	r->chain = open_files(r, &r->set, &ret);
	if (!ret)
		return;
	check_error(r, ret);
	if (r->sticky)
		disarm(r);
	r->chain = open_files(r, &r->set, &ret);
	if (ret)
		bad(r, "second open: error %d", ret);
}

static void settle(struct run *r, const struct step *s, u32 tag, int ret)
{
	switch (s->what) {
	case WRITE:
		change(r, s, 1ULL << tag, ret);
		break;
	case DISCARD:
		change(r, s, BIT_ZEROS, true);
		break;
	case UNMAP:
	case ZEROES:
		change(r, s, BIT_ZEROS, ret);
		break;
	case FLUSH:
	case END:
		if (!ret)
			keep(r);
		return;
	}
	look(r, s->pos, s->len);
}

/* @over: nothing fails any more; 0 unless it is too late for that. */
static int do_step(struct run *r, const struct step *s, u32 tag, bool over)
{
	bool was_forever = r->forever;
	int ret;

	ret = issue(r, s, tag);
	check_forever(r);
	if (was_forever && ret != -EIO)
		bad(r, "%s after the failure: error %d", request_name[s->what], ret);
	if (ret && !r->forever && over)
		bad(r, "%s when the fault is over: error %d", request_name[s->what], ret);
	if (ret && !was_forever)
		check_error(r, ret);
	/* What is refused at once changes nothing. */
	if (!was_forever)
		settle(r, s, tag, ret);
	else if (s->what < FLUSH)
		look(r, s->pos, s->len);
	return ret;
}

static void run_script(struct run *r)
{
	u32 i;

	for (i = 0; i < r->nr_steps; i++) {
		const struct step *s = &r->step[i];

		say(r, "step %u (%s [%llu, %llu))", i + 1, request_name[s->what], s->pos,
		    s->pos + s->len);
		if (do_step(r, s, i + 1, false) && !r->forever && !r->sticky)
			do_step(r, s, i + 1, true);
	}
}

/* All is well again, but for what is for good. */
static void go_on(struct run *r)
{
	struct step last[] = {
		{ WRITE, r->c.from, min_t(u64, 2 * r->c.unit, r->c.size - r->c.from) },
		{ FLUSH, 0, 0 },
		{ UNMAP, r->c.from, VD_SECTOR },
		{ END, 0, 0 },
	};
	u32 i;

	say(r, "and then on");
	for (i = 0; i < ARRAY_SIZE(last); i++)
		do_step(r, &last[i], LAST_TAG, true);
	look(r, 0, r->c.size);
}

/* --- afterwards --- */

static void check_rules(struct run *r, bool clean)
{
	const struct vdisk_segment_desc *seg = r->c.set.segs;
	char rule[IMG_RULE] = "";
	struct img_tables now;
	u32 i;

	for (i = 0; i < r->c.set.nr_segs && !seg[i].image; i++) {
		const struct power_file *f = &r->after.f[seg[i].member];

		if (!img_tables_look(f->now, f->now_len, seg[i].kind, seg[i].len, &now, rule))
			bad(r, "%s", rule);
		/* One whose mark failed to be written may have it. */
		if (clean && ((now.marked && !(r->header_hit >> i & 1)) || !now.same))
			bad(r, "extent %u is not clean", i);
	}
}

/* Findings of the library's own check. */
static u64 check_extents(struct run *r, unsigned int flags)
{
	const struct vdisk_segment_desc *seg = r->c.set.segs;
	u64 unclean = 0;
	u32 i;

	for (i = 0; i < r->c.set.nr_segs && !seg[i].image; i++) {
		struct power_file *f = &r->after.f[seg[i].member];
		struct vd_check check = { .flags = flags };
		struct vd_error err = { 0 };
		int ret;

		if (seg[i].kind == VDISK_SEG_RAW)
			continue;
		f->file.size = f->now_len;
		f->file.writable = true;
		ret = ut_user_of(seg[i].kind)->check(&f->file, seg[i].kind, seg[i].len, &check,
						     &err);
		if (ret)
			bad(r, "check: %s", err.text);
		if (check.found[VD_FINDING_CORRUPT])
			bad(r, "check: %llu findings of damage", check.found[VD_FINDING_CORRUPT]);
		unclean += check.found[VD_FINDING_UNCLEAN];
	}
	return unclean;
}

/* Nothing of what a flush promised is missing, nothing came from nowhere. */
static void check_kept(struct run *r, const u64 *bits)
{
	u64 i;

	assert_int_equal(vd_read(r->chain, NULL, 0, r->buf, (u32)r->c.size), 0);
	for (i = 0; i < r->c.size / VD_SECTOR; i++) {
		if (!matching(r, bits[i], i, r->buf + i * VD_SECTOR))
			bad(r, "sector %llu is neither what was flushed nor newer", i);
	}
}

static void check_after(struct run *r, enum power_cut cut)
{
	static const char *const name[] = { "as it is", "flushed", "partly flushed" };
	/* After a failure a reader saw what is not in the tables yet, and never will be. */
	const u64 *bits = cut == POWER_STAYS && !r->forever ? r->live : r->kept;
	int ret;

	say(r, "afterwards, %s", name[cut]);
	power_cut(&r->after, &r->set, cut, (u64)r->i);
	check_rules(r, false);
	check_extents(r, VD_CHECK_REPAIR | VD_CHECK_MERGE);
	r->header_hit = 0;
	if (check_extents(r, 0))
		bad(r, "check: unclean after the merge");
	check_rules(r, true);
	r->chain = open_files(r, &r->after, &ret);
	assert_int_equal(ret, 0);
	check_kept(r, bits);
	ut_pattern(r->data, r->c.size, 0, LAST_TAG);
	assert_int_equal(vd_write(r->chain, 0, r->data, (u32)r->c.size), 0);
	assert_int_equal(vd_end_write(r->chain), 0);
	assert_int_equal(vd_read(r->chain, NULL, 0, r->buf, (u32)r->c.size), 0);
	ut_same(r->buf, r->data, 0, r->c.size, r->where);
	vd_chain_close(r->chain);
	check_rules(r, true);
}

static void begin(struct run *r)
{
	u64 i;
	u32 k;

	for (k = 0; k < r->set.nr; k++) {
		size_t len;
		const void *data = vd_ufile_mem_data(r->c.set.files[k], &len);

		power_load(&r->set.f[k], data, len);
	}
	for (i = 0; i < r->c.size / VD_SECTOR; i++)
		r->live[i] = r->kept[i] = BIT_OLD;
	r->flush_hit = r->table_hit = r->unsure_hit = r->forever = false;
	r->header_hit = 0;
	r->set.changes = 0;
	r->set.hit = note_hit;
	r->set.ctx = r;
	say(r, "open");
}

/* False: the script does not come that far. */
static bool run_once(struct run *r)
{
	enum power_cut cut;
	bool hit;

	begin(r);
	arm(r);
	open_it(r);
	run_script(r);
	hit = reached(r);
	disarm(r);
	go_on(r);
	vd_chain_close(r->chain);
	runs++;
	sticky_runs += r->forever;
	if (!r->forever) {
		power_cut(&r->after, &r->set, POWER_STAYS, 0);
		check_rules(r, true);
		if (check_extents(r, 0) && !r->header_hit)
			bad(r, "check: unclean after a clean end");
	}
	for (cut = 0; cut < POWER_CUTS; cut++)
		check_after(r, cut);
	return hit;
}

static void loop(void **state)
{
	const struct img_kind *kind = *state;
	struct run r = { .name = kind->name };
	const bool brief = getenv("VDISK_BRIEF");
	u32 k;

	img_case_make(&r.c, kind, 1);
	power_init(&r.set, &r.c);
	power_init(&r.after, &r.c);
	r.want = img_case_want(&r.c);
	r.data = ut_xalloc(r.c.size);
	r.buf = ut_xalloc(r.c.size);
	r.live = ut_xalloc(r.c.size / VD_SECTOR * sizeof(*r.live));
	r.kept = ut_xalloc(r.c.size / VD_SECTOR * sizeof(*r.kept));
	write_script(&r);
	for (k = 0; k < ARRAY_SIZE(anomalies); k++) {
		r.a = &anomalies[k];
		for (r.sticky = false;; r.sticky = true) {
			for (r.i = 1; run_once(&r); r.i += brief && r.i > 16 ? 5 : 1)
				;
			/* It writes and flushes, reads tables and needs memory for that. */
			if (r.a->op == VD_OP_WRITE || r.a->op == VD_OP_FLUSH)
				assert_true(r.i > 4);
			if (r.sticky)
				break;
		}
	}
	power_free(&r.set);
	power_free(&r.after);
	free(r.want);
	free(r.data);
	free(r.buf);
	free(r.live);
	free(r.kept);
	img_case_free(&r.c);
}

static int report(void **state)
{
	print_message("# anomaly-write: %lu runs, %lu of them failed for good\n", runs,
		      sticky_runs);
	return 0;
}

int main(void)
{
	struct CMUnitTest tests[IMG_ALL_KINDS];
	u32 i;

	for (i = 0; i < IMG_ALL_KINDS; i++) {
		const struct img_kind *kind = img_any_kind(i);

		tests[i] = (struct CMUnitTest){ kind->name, loop, NULL, NULL,
						(void *)(uintptr_t)kind };
	}
	return cmocka_run_group_tests_name("anomaly-write", tests, NULL, report);
}
