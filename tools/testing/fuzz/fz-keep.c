// SPDX-License-Identifier: GPL-2.0-only
/* What has to be as it was after an image was told to say something else of itself. */
#include <stdlib.h>

#include "fz-keep.h"
#include "fz-layout.h"

#define NO_FILE		FZ_MAX_FILES
#define OTHER_LEN	(1U << 20)	/* of a file that the tables do not name */

/* --- files --- */

static void note_files(struct fz_keep *k)
{
	u32 i;

	for (i = 0; i < k->once->io.nr_files; i++) {
		k->digests[i] = fz_io_digest(&k->once->io, i);
		k->sizes[i] = k->once->io.files[i].size;
	}
}

/* All files but @but. */
static void compare_files(const struct fz_keep *k, u32 but)
{
	u32 i;

	for (i = 0; i < k->once->io.nr_files; i++)
		if (i != but && (k->once->io.files[i].size != k->sizes[i] ||
				 fz_io_digest(&k->once->io, i) != k->digests[i]))
			fz_die("%s: file %u has changed: it must not, whatever comes of file %u",
			       k->what, i, k->file);
}

/* --- the disk --- */

static int read_sample(struct fz_keep *k, struct vd_chain *chain, struct vd_unit *unit,
		       struct fz_sample *s)
{
	fz_call(&k->once->io, "read", fz_read_cap(chain, VD_SECTOR));
	return vd_read(chain, unit, s->pos, s->data, VD_SECTOR);
}

/* Whoever takes the file for one of another kind reads its description as data, say. */
static bool of_format(const struct fz_keep *k)
{
	const struct fz_backend *b;
	u32 i;

	for (i = 0; i < k->once->in.ctl.nr_segs; i++) {
		b = fz_backend_of(k->once->in.segs[i].kind);
		if (k->once->in.segs[i].member == k->file && b && b->format != k->b->format)
			return false;
	}
	return true;
}

static void take_samples(struct fz_keep *k)
{
	struct fz_rng rng = { k->once->in.ctl.seed };
	struct vd_chain *chain = fz_open(k->once);
	struct vd_unit unit = { 0 };
	struct fz_sample *s;

	k->nr_samples = 0;
	k->opened = chain && of_format(k);
	while (k->opened && k->nr_samples < FZ_SAMPLES) {
		s = &k->samples[k->nr_samples++];
		s->pos = fz_some_pos(chain, &rng);
		s->ret = read_sample(k, chain, &unit, s);
	}
	vd_unit_release(&unit);
	vd_chain_close(chain);
}

static void compare_samples(struct fz_keep *k)
{
	struct vd_chain *chain = k->opened ? fz_open(k->once) : NULL;
	struct vd_unit unit = { 0 };
	struct fz_sample now;
	u32 i;

	if (k->opened && !chain)
		fz_die("%s: the disk cannot be opened any more", k->what);
	for (i = 0; i < k->nr_samples; i++) {
		const struct fz_sample *s = &k->samples[i];

		/* A place that nobody has, past the end of the file say, may become one. */
		if (s->ret)
			continue;
		now.pos = s->pos;
		if (read_sample(k, chain, &unit, &now) || memcmp(now.data, s->data, VD_SECTOR))
			fz_die("%s: byte %llu of the disk reads other than before", k->what,
			       s->pos);
	}
	vd_unit_release(&unit);
	vd_chain_close(chain);
}

/* --- the check --- */

static bool go_on(void *ctx, u64 done, u64 total)
{
	return true;
}

/* As what the tables open the file, or as the control says. */
static int check(struct fz_keep *k, u64 found[VD_FINDING_CORRUPT + 1])
{
	struct vd_check c = { .progress = go_on };
	u32 kind = fz_kind(k->once->in.ctl.kind), i;
	const struct fz_backend *b;
	u64 len = OTHER_LEN;
	int ret;

	for (i = 0; i < k->once->in.ctl.nr_segs; i++) {
		if (k->once->in.segs[i].member != k->file)
			continue;
		kind = k->once->in.segs[i].kind;
		len = k->once->in.segs[i].len;
	}
	b = fz_backend_of(kind);
	if (!b || b->format != k->b->format)
		return -EOPNOTSUPP;
	len = max_t(u64, VD_SECTOR, len & ~(u64)(VD_SECTOR - 1));
	ret = fz_check(k->once, k->file, kind, len, &c);
	for (i = 0; i <= VD_FINDING_CORRUPT; i++)
		found[i] = c.found[i];
	return ret;
}

/* What nothing refers to is a leak, or only the end of the file once a second text is gone. */
static void compare_check(struct fz_keep *k)
{
	u32 i = k->pending ? VD_FINDING_UNCLEAN : VD_FINDING_NOTE;
	u64 found[VD_FINDING_CORRUPT + 1];

	if (k->check)
		return;
	if (check(k, found))
		fz_die("%s: the check fails where it did not before", k->what);
	for (; i <= VD_FINDING_CORRUPT; i++)
		if (found[i] > k->found[i])
			fz_die("%s: the check finds %llu of kind %u, before that %llu", k->what,
			       found[i], i, k->found[i]);
}

/* --- one call --- */

bool fz_keep_begin(struct fz_keep *k, struct fz_once *once, u32 file, const struct fz_backend *b,
		   const char *what)
{
	struct vd_error err = { 0 };

	memset(k, 0, sizeof(*k));
	k->once = once;
	k->file = file;
	k->b = b;
	k->what = what;
	k->writable = once->io.files[file].file.writable;
	fz_keep_calm(k);
	if (fz_lay_out(once, file, b->format, &k->layout, &err))
		return false;
	k->pending = b->pending ? b->pending(&once->io, file) : FZ_SETTLED;
	k->check = -EOPNOTSUPP;
	note_files(k);
	if (k->pending != FZ_LYING) {
		take_samples(k);
		k->check = check(k, k->found);
	}
	return true;
}

void fz_keep_end(struct fz_keep *k)
{
	vd_free(k->layout);
	k->layout = NULL;
}

void fz_keep_disturb(struct fz_keep *k)
{
	fz_io_disturb(&k->once->io, &k->once->in.ctl);
	fz_memory_fail(k->once->in.ctl.alloc_at);
	k->once->io.files[k->file].file.writable = true;
	k->once->io.may_write = true;
}

/* The files are as long as they are: who looks at them now opens them anew. */
void fz_keep_calm(struct fz_keep *k)
{
	fz_memory_fail(0);
	fz_io_calm(&k->once->io);
	fz_io_reopen(&k->once->io, true);
	k->once->io.files[k->file].file.writable = k->writable;
}

bool fz_keep_honest(const struct fz_keep *k)
{
	return !(k->once->in.ctl.flags & FZ_DOUBLE_FETCH);
}

static struct vd_layout *lay_out_again(struct fz_keep *k)
{
	struct vd_layout *now;
	struct vd_error err = { 0 };

	if (fz_lay_out(k->once, k->file, k->b->format, &now, &err))
		fz_die("%s: cannot be read any more: %s", k->what, err.text);
	return now;
}

void fz_keep_refused(struct fz_keep *k, const struct fz_change *c)
{
	const struct fz_control *ctl = &k->once->in.ctl;
	struct vd_layout *now;

	if (!k->once->io.faults && !ctl->alloc_at && !k->pending) {
		compare_files(k, NO_FILE);
		return;
	}
	compare_files(k, k->file);
	now = lay_out_again(k);
	if (!fz_old_or_new(c, k->layout, now))
		fz_die("%s: refused, but half of it is done", k->what);
	vd_free(now);
	compare_samples(k);
}

void fz_keep_changed(struct fz_keep *k, const struct fz_change *c)
{
	struct vd_layout *now;
	const char *reason;

	compare_files(k, k->file);
	now = lay_out_again(k);
	reason = fz_judge(c, k->layout, now);
	if (reason)
		fz_die("%s: %s", k->what, reason);
	vd_free(now);
	compare_samples(k);
	compare_check(k);
}

int fz_keep_each(const u8 *data, size_t size, bool (*can)(const struct vd_format_user *user),
		 void (*fn)(struct fz_once *once, u32 file, const struct fz_backend *b))
{
	struct fz_once *once = fz_begin(data, size);
	const struct fz_backend *b;
	u32 i;

	if (!once)
		return -1;
	for (i = 0; i < once->io.nr_files; i++)
		for (b = fz_backends; b->format; b++)
			if (b->format->user && can(b->format->user))
				fn(once, i, b);
	fz_end(once);
	return 0;
}
