// SPDX-License-Identifier: GPL-2.0-only
/*
 * The check of one extent, and its repair: what a dry run announces is what the
 * repair does, afterwards there is nothing left of it, and a guest reads what it
 * read before, but where the repair said that it would not.
 */
#include <stdio.h>
#include <stdlib.h>

#include "fz.h"

#define SAMPLES		48U
#define MAX_CHANGES	256U
#define COPY_MOST	(64U << 20)

/* A sector of the extent, before the repair. */
struct sample {
	u64 pos;
	int ret;
	u8 data[VD_SECTOR];
};

struct change {
	u64 pos;
	u64 len;
};

/**
 * struct round - one extent and what is known of it
 * @len: of the segment
 * @stop_after: calls of progress before it says stop; 0: never
 * @changes, @nr_changes: what the repair alters; more than fit: nothing is compared
 * @copied: bytes that get a place of their own
 * @writes: changes of files before this run; @no_save: what is to be kept cannot be
 * @saved: it was asked to keep something
 */
struct round {
	struct fz_once *once;
	u32 file;
	u32 kind;
	u64 len;
	u32 stop_after;
	struct change changes[MAX_CHANGES];
	u32 nr_changes;
	u64 copied;
	u64 writes;
	bool no_save;
	bool saved;
	struct sample samples[SAMPLES];
	u32 nr_samples;
};

static struct round state;

static void report(void *ctx, enum vd_finding kind, const char *text)
{
	struct vd_error err = { .code = -EUCLEAN };

	if (kind > VD_FINDING_CORRUPT)
		fz_die("check: a finding of kind %d", kind);
	memcpy(err.text, text, strnlen(text, VD_ERROR_TEXT));
	fz_check_error("check", -EUCLEAN, &err);
	if (getenv("FZ_VERBOSE"))
		fprintf(stderr, "finding of kind %d: %s\n", kind, text);
}

static bool progress(void *ctx, u64 done, u64 total)
{
	struct round *r = ctx;

	if (done > total)
		fz_die("check: %llu of %llu done", done, total);
	return !r->stop_after || --r->stop_after;
}

static void changed(void *ctx, enum vd_change how, u64 pos, u64 len)
{
	struct round *r = ctx;

	if (!len || (pos | len) & (VD_SECTOR - 1))
		fz_die("check: [%llu, +%llu) changes", pos, len);
	if (how == VD_CHANGE_COPIED)
		r->copied += len;
	if (how != VD_CHANGE_ALTERED)
		return;
	if (r->nr_changes < MAX_CHANGES)
		r->changes[r->nr_changes] = (struct change){ pos, len };
	r->nr_changes++;
}

static int save(void *ctx, struct vd_file *file, u64 pos, u64 len, struct vd_error *err)
{
	struct round *r = ctx;

	if (r->once->io.writes != r->writes)
		fz_die("check: wants to keep [%llu, +%llu) after a change", pos, len);
	if (!len || pos >= file->size)
		fz_die("check: wants to keep [%llu, +%llu) of %llu bytes", pos, len, file->size);
	r->saved = true;
	return r->no_save ? vd_fail(err, -EDQUOT, "there is no room for a copy") : 0;
}

static int run(struct round *r, unsigned int flags, struct vd_check *out)
{
	int ret;

	memset(out, 0xa5, sizeof(*out));
	out->flags = flags;
	out->report = report;
	out->progress = progress;
	out->changed = changed;
	out->save = save;
	out->ctx = r;
	r->writes = r->once->io.writes;
	r->saved = false;
	r->nr_changes = 0;
	r->copied = 0;
	if (getenv("FZ_VERBOSE"))
		fprintf(stderr, "check with flags 0x%x\n", flags);
	ret = fz_check(r->once, r->file, r->kind, r->len, out);
	if (!(flags & VD_CHECK_REPAIR) && (r->saved || r->once->io.writes != r->writes))
		fz_die("check: a dry run has written, or would keep something");
	if (r->saved && r->no_save && (!ret || r->once->io.writes != r->writes))
		fz_die("check: goes on though nothing could be kept");
	return ret;
}

/* --- what a guest reads --- */

static struct vd_chain *open_extent(struct round *r)
{
	struct vd_file *file = &r->once->io.files[r->file].file;
	struct vdisk_image_desc image = { VDISK_SEG_FORMAT(r->kind), 0, r->len };
	struct vdisk_segment_desc seg = { .kind = r->kind, .len = r->len };
	struct vd_chain_desc desc = {
		.files = &file, .nr_files = 1, .images = &image, .nr_images = 1,
		.segments = &seg, .nr_segments = 1,
	};
	struct vd_chain *chain;
	u32 index = file->index;

	fz_call(&r->once->io, "open", 8);
	if (vd_chain_open(&desc, &chain, NULL))
		return NULL;
	file->index = index;
	return chain;
}

static int read_sector(struct round *r, struct vd_chain *chain, struct vd_unit *unit, u64 pos,
		       u8 *buf)
{
	fz_call(&r->once->io, "read", fz_read_cap(chain, VD_SECTOR));
	return vd_read(chain, unit, pos, buf, VD_SECTOR);
}

static void take_samples(struct round *r)
{
	struct fz_rng rng = { r->once->in.ctl.seed };
	struct vd_chain *chain = open_extent(r);
	struct vd_unit unit = { 0 };
	u32 i;

	r->nr_samples = 0;
	for (i = 0; chain && i < SAMPLES; i++) {
		struct sample *s = &r->samples[i];

		s->pos = fz_some_pos(chain, &rng);
		s->ret = read_sector(r, chain, &unit, s->pos, s->data);
		r->nr_samples++;
	}
	vd_unit_release(&unit);
	vd_chain_close(chain);
}

static bool was_altered(const struct round *r, u64 pos)
{
	u32 i;

	for (i = 0; i < r->nr_changes; i++)
		if (pos >= r->changes[i].pos && pos - r->changes[i].pos < r->changes[i].len)
			return true;
	return false;
}

static void compare_samples(struct round *r)
{
	struct vd_chain *chain = open_extent(r);
	struct vd_unit unit = { 0 };
	u8 now[VD_SECTOR];
	u32 i;

	if (!chain && r->nr_samples)
		fz_die("check: the repaired extent cannot be opened any more");
	for (i = 0; i < r->nr_samples && r->nr_changes <= MAX_CHANGES; i++) {
		const struct sample *s = &r->samples[i];

		if (s->ret || was_altered(r, s->pos))
			continue;
		if (read_sector(r, chain, &unit, s->pos, now))
			fz_die("check: byte %llu cannot be read after the repair", s->pos);
		if (memcmp(now, s->data, VD_SECTOR))
			fz_die("check: byte %llu reads other than before the repair", s->pos);
	}
	vd_unit_release(&unit);
	vd_chain_close(chain);
}

/* --- the rounds --- */

static void same_counts(const struct vd_check *a, const struct vd_check *b, const char *what)
{
	u32 i;

	for (i = 0; i <= VD_FINDING_CORRUPT; i++)
		if (a->found[i] != b->found[i] || a->repaired[i] != b->repaired[i])
			fz_die("check: %s: kind %u was %llu found, %llu repaired, now %llu, %llu",
			       what, i, a->found[i], a->repaired[i], b->found[i], b->repaired[i]);
	if (a->altered != b->altered)
		fz_die("check: %s: %llu alterations, now %llu", what, a->altered, b->altered);
}

static void nothing_left(const struct vd_check *c)
{
	u32 i;

	for (i = 0; i <= VD_FINDING_CORRUPT; i++)
		if (c->repaired[i])
			fz_die("check: %llu findings of kind %u could be repaired again",
			       c->repaired[i], i);
}

/* Whatever the files do, it ends, and leaves nothing behind. */
static void only_run(struct round *r, unsigned int flags)
{
	struct vd_check c;

	if (run(r, 0, &c) || r->copied > COPY_MOST)
		return;
	run(r, flags, &c);
	run(r, flags & ~VD_CHECK_REPAIR, &c);
}

static void repair(struct round *r, unsigned int flags)
{
	unsigned int dry = flags & ~VD_CHECK_REPAIR;
	struct vd_check before, again, after;
	struct fz_rng rng = { r->once->in.ctl.seed };

	/* What takes longer to copy than an input is worth. */
	if (run(r, dry, &before) || r->copied > COPY_MOST)
		return;
	if (run(r, dry, &again))
		fz_die("check: fails the second time");
	same_counts(&before, &again, "second dry run");
	/* What a crash left between two tables becomes one or the other. */
	if (!before.found[VD_FINDING_UNCLEAN])
		take_samples(r);
	if (fz_below(&rng, 4) == 0) {
		r->stop_after = 1 + (u32)fz_below(&rng, 3);
		run(r, flags, &again);
		r->stop_after = 0;
		compare_samples(r);
		return;
	}
	if (run(r, flags, &again))
		return;
	same_counts(&before, &again, "repair");
	compare_samples(r);
	if (run(r, dry, &after))
		fz_die("check: fails after the repair");
	nothing_left(&after);
}

static void one_file(struct fz_once *once, u32 file)
{
	static const unsigned int flags[] = {
		VD_CHECK_REPAIR, VD_CHECK_REPAIR | VD_CHECK_MERGE,
		VD_CHECK_REPAIR | VD_CHECK_IF_MARKED,
		VD_CHECK_REPAIR | VD_CHECK_MERGE | VD_CHECK_IF_MARKED,
	};
	struct round *r = &state;
	u32 i;

	memset(r, 0, sizeof(*r));
	r->once = once;
	r->file = file;
	r->kind = fz_kind(once->in.ctl.kind);
	r->len = 1 << 20;
	r->no_save = once->in.ctl.seed / 4 % 8 == 7;
	for (i = 0; i < once->in.ctl.nr_segs; i++) {
		if (once->in.segs[i].member != file)
			continue;
		r->kind = once->in.segs[i].kind;
		r->len = once->in.segs[i].len;
	}
	r->len = max_t(u64, VD_SECTOR, r->len & ~(u64)(VD_SECTOR - 1));
	if (fz_honest(&once->io))
		repair(r, flags[once->in.ctl.seed % ARRAY_SIZE(flags)]);
	else
		only_run(r, flags[once->in.ctl.seed % ARRAY_SIZE(flags)]);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct fz_once *once = fz_begin(data, size);
	u32 i;

	if (!once)
		return -1;
	for (i = 0; i < once->io.nr_files; i++)
		one_file(once, i);
	fz_end(once);
	return 0;
}
