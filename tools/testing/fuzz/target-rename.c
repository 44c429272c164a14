// SPDX-License-Identifier: GPL-2.0-only
/*
 * Other names for the files of an image: the text that comes of it, put in the place of
 * the old one, says the same but for the names that were asked for.
 */
#include <stdio.h>

#include "fz-keep.h"
#include "fz-layout.h"

/* A text of at most 1 MiB in pieces, twice; a place for another one, in zeros. */
#define RENAME_OPS	8192U
#define RENAME_MEMORY	(4ULL * VD_LAYOUT_MAX)

static struct fz_keep keep;

/**
 * struct request - which names
 * @n: points into the rest
 * @plain: any text can hold them
 */
struct request {
	struct vd_new_names n;
	char from[FZ_NAME];
	char to[FZ_NAME];
	char parent[FZ_NAME];
	bool plain;
};

/* --- names --- */

static bool is_plain(const char *s)
{
	for (; s && *s; s++)
		if ((u8)*s < 0x20 || (u8)*s > 0x7e || *s == '"')
			return false;
	return true;
}

/* One that the text has, or NULL. */
static const char *some_name(const struct vd_layout *l, struct fz_rng *rng)
{
	u64 which = fz_below(rng, l->nr_segs + 1ULL);

	if (which == l->nr_segs)
		return vd_layout_str(l, l->cbt_name);
	return vd_layout_str(l, vd_layout_segs(l)[which].name);
}

/* A dash or dot of @name before byte @end, or none: 0. */
static size_t joint_before(const char *name, size_t end)
{
	while (end && name[end] != '-' && name[end] != '.')
		end--;
	return end;
}

/* The image that such a file belongs to: "disk-s001.vmdk" to "disk.vmdk". */
static void choose_from(struct request *r, const struct vd_layout *l, struct fz_rng *rng)
{
	const char *name = fz_below(rng, 8) ? some_name(l, rng) : NULL;
	size_t len, cut;

	if (!name || strlen(name) > FZ_NAME / 2)
		name = "disk-flat.vmdk";
	if (strrchr(name, '/') && fz_below(rng, 8))
		name = strrchr(name, '/') + 1;
	len = strlen(name);
	cut = joint_before(name, len);
	while (cut && !fz_below(rng, 2))
		cut = joint_before(name, cut - 1);
	/* "dis.vmdk", which it does not belong to. */
	if (len && !fz_below(rng, 8))
		cut = fz_below(rng, len);
	cut = cut ? cut : len;
	snprintf(r->from, sizeof(r->from), "%.*s%s", (int)cut, name,
		 fz_below(rng, 4) ? ".vmdk" : name + cut);
	r->n.from = r->from;
	r->n.from_stem = (u32)cut;
}

static void choose_to(struct request *r, struct fz_rng *rng)
{
	static const char *const stems[] = {
		"d", "another disk", "-", "a=b#c", "\xc3\xa4", "disk", "q\"uote", "new\nline",
		"\x7f",
	};
	const char *stem = stems[fz_below(rng, ARRAY_SIZE(stems))];
	u64 times = fz_below(rng, 8) ? 1 : 1 + fz_below(rng, 16);

	r->to[0] = '\0';
	while (times--)
		strcat(r->to, stem);
	r->n.to = r->to;
	r->n.to_stem = (u32)strlen(r->to);
	if (fz_below(rng, 4))
		strcat(r->to, ".vmdk");
}

static void choose_parent(struct request *r, struct fz_rng *rng)
{
	static const char *const parents[] = {
		"p", "the base.vmdk", "\xc3\xb6.vdi", "q\"uote", "\t", "snapshots-of-last-year.vmdk",
	};

	r->n.parent_path = fz_below(rng, 2);
	snprintf(r->parent, sizeof(r->parent), "%s%s", r->n.parent_path ? "/a b/" : "",
		 parents[fz_below(rng, ARRAY_SIZE(parents))]);
	r->n.parent = r->parent;
}

static void choose(struct request *r, const struct vd_layout *l, struct fz_rng *rng)
{
	memset(r, 0, sizeof(*r));
	if (fz_below(rng, 4)) {
		choose_from(r, l, rng);
		choose_to(r, rng);
	}
	if (fz_below(rng, 2))
		choose_parent(r, rng);
	r->plain = is_plain(r->n.to) && is_plain(r->n.parent);
}

/* --- one file --- */

static bool is_inside(const struct fz_keep *k)
{
	return vd_layout_segs(k->layout)[0].flags & VD_LSEG_SELF;
}

static int renamed(struct fz_keep *k, const struct request *r, char **text, u32 *len,
		   struct vd_error *err)
{
	struct fz_file *f = &k->once->io.files[k->file];
	int ret;

	k->once->io.may_write = false;
	fz_call(&k->once->io, "renamed", RENAME_OPS);
	fz_memory_limit("renamed", RENAME_MEMORY);
	ret = k->b->format->user->renamed(&f->file, &r->n, text, len, err);
	fz_memory_limit("run", 0);
	if (ret && *text)
		fz_die("renamed: failed, but left a text");
	if (*text && (*text)[*len])
		fz_die("renamed: no NUL behind it");
	if (*text && fz_mistake("rename-more"))
		(*text)[0] ^= 1;
	return ret;
}

static int put_text(struct fz_keep *k, const char *text, u32 len, struct vd_error *err)
{
	struct fz_file *f = &k->once->io.files[k->file];
	int ret;

	k->once->io.may_write = true;
	fz_call(&k->once->io, "put_text", RENAME_OPS);
	fz_memory_limit("put_text", RENAME_MEMORY);
	ret = k->b->format->user->put_text(&f->file, text, len, err);
	fz_memory_limit("run", 0);
	return ret;
}

/* As a file of its own; vdctl reads it before it makes one, and refuses what is none. */
static bool reads_as_text(struct fz_keep *k, const char *text, u32 len)
{
	struct vd_error err = { 0 };
	struct vd_layout *l = NULL;
	bool twice;

	fz_io_replace(&k->once->io, k->file, text, len);
	fz_lay_out(k->once, k->file, k->b->format, &l, &err);
	/* A line that was there twice: one of them is renamed, and both are none. */
	twice = !l && strstr(err.text, "twice");
	if (!l && !twice)
		fz_die("renamed: the new text is none: %s", err.text);
	vd_free(l);
	return !twice;
}

static void put_inside(struct fz_keep *k, const struct fz_change *c, const char *text, u32 len)
{
	struct vd_error err = { 0 };
	int ret;

	ret = put_text(k, text, len, &err);
	fz_keep_calm(k);
	if (ret)
		fz_check_error("put_text", ret, &err);
	if (!fz_keep_honest(k))
		return;
	if (ret)
		fz_keep_refused(k, c);
	else
		fz_keep_changed(k, c);
}

static void rename_file(struct fz_keep *k, const struct request *r)
{
	const struct fz_change c = { .names = &r->n };
	struct vd_error err = { 0 };
	char *text = NULL;
	u32 len = 0;
	int ret;

	fz_keep_disturb(k);
	ret = renamed(k, r, &text, &len, &err);
	if (!ret && text && is_inside(k) && k->b->format->user->put_text) {
		put_inside(k, &c, text, len);
	} else {
		fz_keep_calm(k);
		if (ret)
			fz_check_error("renamed", ret, &err);
		if (ret && ret != -E2BIG && r->plain && fz_keep_honest(k) &&
		    !k->once->in.ctl.fault_at && !k->once->in.ctl.alloc_at)
			fz_die("renamed: refused, but nothing stands in the way: %s", err.text);
		if (text && fz_keep_honest(k) && reads_as_text(k, text, len))
			fz_keep_changed(k, &c);
	}
	vd_free(text);
}

static void one_file(struct fz_once *once, u32 file, const struct fz_backend *b)
{
	static struct request r;
	struct fz_rng rng = { once->in.ctl.seed };

	if (fz_keep_begin(&keep, once, file, b, "rename")) {
		choose(&r, keep.layout, &rng);
		rename_file(&keep, &r);
	}
	fz_keep_end(&keep);
}

static bool can(const struct vd_format_user *user)
{
	return user->renamed;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	return fz_keep_each(data, size, can, one_file);
}
