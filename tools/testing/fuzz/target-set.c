// SPDX-License-Identifier: GPL-2.0-only
/* Other properties for each file of a set, in each format that makes something of it. */
#include "fz-keep.h"

/* A text of at most 1 MiB in pieces, twice; a place for another one, in zeros. */
#define SET_OPS		8192U
#define SET_MEMORY	(4ULL * VD_LAYOUT_MAX)

static struct fz_keep keep;

static int set_props(struct fz_keep *k, const struct fz_change *c, struct vd_error *err)
{
	struct fz_file *f = &k->once->io.files[k->file];
	struct vd_content content = { NULL, 0 };
	int ret;

	fz_keep_disturb(k);
	fz_call(&k->once->io, "set", SET_OPS);
	fz_memory_limit("set", SET_MEMORY);
	ret = k->b->format->user->set_props(&f->file, k->layout, &c->want, c->pool, &content, err);
	fz_memory_limit("run", 0);
	fz_keep_calm(k);
	if (fz_mistake("set-torn") && !ret)
		ret = vd_fail(err, -EIO, "torn");
	/* What vdctl does with it: a new file takes the place of the old one. */
	if (!ret && content.data)
		fz_io_replace(&k->once->io, k->file, content.data, content.len);
	vd_free(content.data);
	return ret;
}

static void one_file(struct fz_once *once, u32 file, const struct fz_backend *b)
{
	struct fz_rng rng = { once->in.ctl.seed };
	struct fz_change c = { 0 };
	struct fz_keep *k = &keep;
	struct vd_error err = { 0 };
	int ret;

	if (fz_keep_begin(k, once, file, b, "set")) {
		fz_choose(&c, b, k->layout, &rng);
		ret = set_props(k, &c, &err);
		if (ret)
			fz_check_error("set", ret, &err);
		else if (c.wrong)
			fz_die("set: took what is no value, properties 0x%x", c.want.mask);
		if (ret && fz_keep_honest(k))
			fz_keep_refused(k, &c);
		else if (fz_keep_honest(k))
			fz_keep_changed(k, &c);
	}
	fz_keep_end(k);
}

static bool can(const struct vd_format_user *user)
{
	return user->set_props;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	return fz_keep_each(data, size, can, one_file);
}
