// SPDX-License-Identifier: GPL-2.0-only
/* Which change is asked for, and whether it is what has come of it. */
#include <stdio.h>

#include "fz-judge.h"

#define COMMENT_AT	1U
#define NO_VALUE	4U	/* of so many geometries and comments one is none */
#define WRONG		8U	/* of so many changes one is wrong */

/* --- what to ask for --- */

static const u32 settable[] = {
	VD_PROP_PCHS, VD_PROP_LCHS, VD_PROP_COMMENT, VD_PROP_UUID, VD_PROP_MOD_UUID,
	VD_PROP_PARENT_UUID, VD_PROP_PARENT_MOD_UUID,
};

static void choose_uuid(struct fz_rng *rng, u8 uuid[16])
{
	u32 i;

	for (i = 0; i < 16; i++)
		uuid[i] = (u8)fz_rand(rng);
	uuid[15] |= 1;
}

static struct vd_chs choose_chs(struct fz_rng *rng, struct vd_chs most)
{
	if (!fz_below(rng, NO_VALUE))
		return (struct vd_chs) { 0, 0, 0 };
	return (struct vd_chs) { 1 + (u32)fz_below(rng, most.c), 1 + (u32)fz_below(rng, most.h),
				 1 + (u32)fz_below(rng, most.s) };
}

static void choose_comment(struct fz_change *c, struct fz_rng *rng)
{
	static const char *const pieces[] = {
		"x", "\n", "\r", "\\", "=", "\t", "ddb.comment", "\xc3\xa4", "#", " ", "RW 8 ZERO",
	};
	char *to = c->pool + COMMENT_AT;
	u64 n = fz_below(rng, NO_VALUE) ? fz_below(rng, 100) : 0;

	*to = '\0';
	while (n--) {
		strcpy(to, pieces[fz_below(rng, ARRAY_SIZE(pieces))]);
		to += strlen(to);
	}
	c->want.comment = c->pool[COMMENT_AT] ? COMMENT_AT : 0;
}

#define QUOTES	3U	/* the first of these are only no text where quotes stand around it */

/* A comment that is no text, or longer than any format takes. */
static void choose_bad_comment(struct fz_change *c, const struct fz_backend *b,
			       struct fz_rng *rng)
{
	static const char *const bad[] = {
		"\"", "\x7f", "\x01", "\xff", "\x80", "\xc3", "\xc3(", "\xe0\x80\x80",
		"\xed\xa0\x80", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xe2\x82",
	};
	u32 first = b && b->any_comment ? QUOTES : 0;
	u64 which = first + fz_below(rng, ARRAY_SIZE(bad) - first + 1);

	c->want.mask |= VD_PROP_COMMENT;
	c->want.comment = COMMENT_AT;
	memset(c->pool + COMMENT_AT, 'x', 1025);
	if (which < ARRAY_SIZE(bad))
		strcpy(c->pool + COMMENT_AT + fz_below(rng, 100), bad[which]);
}

static void choose_wrong(struct fz_change *c, const struct fz_backend *b, struct fz_rng *rng)
{
	static const u32 never[] = {
		VD_PROP_VERSION, VD_PROP_SIZE, VD_PROP_FILE_SIZE, VD_PROP_FLAGS,
		VD_PROP_PARENT_NAME, VD_PROP_TIME, VD_PROP_PARENT_TIME,
	};

	c->wrong = true;
	switch (fz_below(rng, 4)) {
	case 0:
		choose_bad_comment(c, b, rng);
		break;
	case 1:
		c->want.mask |= VD_PROP_LCHS;
		c->want.lchs = (struct vd_chs) { 1, (u32)fz_below(rng, 2) * 256, 1 };
		break;
	case 2:
		c->want.mask |= VD_PROP_MOD_UUID;
		memset(c->want.mod_uuid, 0, 16);
		break;
	default:
		c->want.mask |= never[fz_below(rng, ARRAY_SIZE(never))];
	}
}

void fz_choose(struct fz_change *c, const struct fz_backend *b, const struct vd_layout *now,
	       struct fz_rng *rng)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(settable); i++)
		if (fz_below(rng, 2))
			c->want.mask |= settable[i];
	/* Mostly nothing that is refused at once. */
	if (!(now->flags & VD_LAYOUT_PARENT) && fz_below(rng, 4))
		c->want.mask &= ~(u32)(VD_PROP_PARENT_UUID | VD_PROP_PARENT_MOD_UUID);
	c->want.pchs = choose_chs(rng, VD_PCHS_MAX);
	c->want.lchs = choose_chs(rng, VD_LCHS_MAX);
	choose_uuid(rng, c->want.uuid);
	choose_uuid(rng, c->want.mod_uuid);
	choose_uuid(rng, c->want.parent_uuid);
	choose_uuid(rng, c->want.parent_mod_uuid);
	choose_comment(c, rng);
	if (!fz_below(rng, WRONG))
		choose_wrong(c, b, rng);
}

/* --- properties --- */

/**
 * struct judge - one verdict
 * @reason: what is wrong, "" so far
 */
struct judge {
	const struct fz_change *c;
	const struct vd_layout *before;
	const struct vd_layout *after;
	char *reason;
	size_t room;
};

static void object(struct judge *j, const char *what, u32 which, bool asked)
{
	if (!j->reason[0])
		snprintf(j->reason, j->room, "%s 0x%x: %s", what, which,
			 asked ? "not what was asked for" : "nobody asked for that");
}

/* Bit @which, and a value of @len bytes. */
static void check_value(struct judge *j, u32 which, const void *before, const void *after,
			const void *want, size_t len)
{
	static const u8 none[16];
	bool asked = j->c->want.mask & which;
	const void *expect = asked ? want : before;

	if (!(j->after->props.mask & which) == !!memcmp(expect, none, len) ||
	    memcmp(after, expect, len))
		object(j, "property", which, asked);
}

static bool same_text(const char *a, const char *b)
{
	return !a == !b && (!a || !strcmp(a, b));
}

static void check_comment(struct judge *j)
{
	const char *expect = vd_layout_str(j->before, j->before->props.comment);
	const struct vd_props *want = &j->c->want;

	if (want->mask & VD_PROP_COMMENT)
		expect = want->comment ? j->c->pool + want->comment : NULL;
	if (!same_text(expect, vd_layout_str(j->after, j->after->props.comment)))
		object(j, "property", VD_PROP_COMMENT, want->mask & VD_PROP_COMMENT);
}

static void check_props(struct judge *j)
{
	const struct vd_props *b = &j->before->props, *a = &j->after->props, *w = &j->c->want;

	check_value(j, VD_PROP_PCHS, &b->pchs, &a->pchs, &w->pchs, sizeof(w->pchs));
	check_value(j, VD_PROP_LCHS, &b->lchs, &a->lchs, &w->lchs, sizeof(w->lchs));
	check_value(j, VD_PROP_UUID, b->uuid, a->uuid, w->uuid, 16);
	check_value(j, VD_PROP_MOD_UUID, b->mod_uuid, a->mod_uuid, w->mod_uuid, 16);
	check_value(j, VD_PROP_PARENT_UUID, b->parent_uuid, a->parent_uuid, w->parent_uuid, 16);
	check_value(j, VD_PROP_PARENT_MOD_UUID, b->parent_mod_uuid, a->parent_mod_uuid,
		    w->parent_mod_uuid, 16);
	check_comment(j);
}

/* --- names --- */

static bool has_slash(const char *name)
{
	return strpbrk(name, "/\\") != NULL;
}

const char *fz_new_name(const struct vd_new_names *n, const char *name, char *buf)
{
	size_t stem = n ? n->from_stem : 0;

	if (!name || !n || !n->from || has_slash(name))
		return name;
	if (!strcmp(name, n->from))
		return n->to;
	if (strncmp(name, n->from, stem) || (name[stem] != '-' && name[stem] != '.'))
		return name;
	snprintf(buf, FZ_NAME, "%.*s%s", (int)n->to_stem, n->to, name + stem);
	return buf;
}

/* In the directory of the old one, unless the new name is a path. */
static const char *new_parent(const struct vd_new_names *n, const char *hint, char *buf)
{
	size_t dir = hint ? strlen(hint) : 0;

	if (!hint || !n || !n->parent)
		return hint;
	while (dir && !n->parent_path && hint[dir - 1] != '/' && hint[dir - 1] != '\\')
		dir--;
	snprintf(buf, FZ_NAME, "%.*s%s", n->parent_path ? 0 : (int)dir, hint, n->parent);
	return buf;
}

static void check_names(struct judge *j)
{
	const struct vd_layout *b = j->before, *a = j->after;
	const struct vd_new_names *n = j->c->names;
	static char buf[FZ_NAME];
	const char *was;
	u32 i;

	for (i = 0; i < min(a->nr_segs, b->nr_segs); i++) {
		was = vd_layout_str(b, vd_layout_segs(b)[i].name);
		if (!same_text(fz_new_name(n, was, buf),
			       vd_layout_str(a, vd_layout_segs(a)[i].name)))
			object(j, "name of extent", i, n);
	}
	was = vd_layout_str(b, b->cbt_name);
	if (!same_text(fz_new_name(n, was, buf), vd_layout_str(a, a->cbt_name)))
		object(j, "name of the log", 0, n);
	was = vd_layout_str(b, b->props.parent_name);
	if (!same_text(new_parent(n, was, buf), vd_layout_str(a, a->props.parent_name)))
		object(j, "name of the parent", 0, n && n->parent);
}

/* --- the rest --- */

static bool same_string(const struct judge *j, vd_str s, vd_str t)
{
	return same_text(vd_layout_str(j->before, s), vd_layout_str(j->after, t));
}

/* Once an id is there that was missing, that is no reason any more not to write. */
static bool same_rights(const struct judge *j)
{
	const struct vd_layout *b = j->before, *a = j->after;
	u32 ids = VD_PROP_UUID | VD_PROP_MOD_UUID | VD_PROP_PARENT_UUID | VD_PROP_PARENT_MOD_UUID;

	if (j->c->want.mask & ~b->props.mask & ids)
		return !(a->flags & ~b->flags & VD_LAYOUT_RDONLY);
	return !((a->flags ^ b->flags) & VD_LAYOUT_RDONLY) &&
	       same_string(j, b->ro_reason, a->ro_reason);
}

/* All that is neither; but a value that was replaced is no longer warned of. */
static void check_rest(struct judge *j)
{
	const u32 may = VD_LAYOUT_WARNING | VD_LAYOUT_RDONLY;
	const struct vd_layout *b = j->before, *a = j->after;
	const struct vd_layout_seg *s = vd_layout_segs(b), *t = vd_layout_segs(a);
	bool same;
	u32 i;

	same = a->cid == b->cid && a->parent_cid == b->parent_cid && a->nr_segs == b->nr_segs &&
	       (a->flags | may) == (b->flags | may) && same_rights(j) &&
	       a->props.size == b->props.size && a->props.flags == b->props.flags &&
	       a->props.version == b->props.version &&
	       same_string(j, b->subformat, a->subformat) &&
	       same_string(j, b->adapter, a->adapter) &&
	       same_string(j, b->encoding, a->encoding);
	for (i = 0; same && i < a->nr_segs; i++)
		same = s[i].start == t[i].start && s[i].len == t[i].len &&
		       s[i].kind == t[i].kind && s[i].flags == t[i].flags &&
		       s[i].offset == t[i].offset;
	if (!same)
		object(j, "the disk is another one", 0, false);
}

const char *fz_judge(const struct fz_change *c, const struct vd_layout *before,
		     const struct vd_layout *after)
{
	static char reason[128];
	struct judge j = { c, before, after, reason, sizeof(reason) };

	reason[0] = '\0';
	check_props(&j);
	check_names(&j);
	check_rest(&j);
	return reason[0] ? reason : NULL;
}

bool fz_old_or_new(const struct fz_change *c, const struct vd_layout *before,
		   const struct vd_layout *after)
{
	static const struct fz_change none;

	return !fz_judge(c, before, after) || !fz_judge(&none, before, after);
}
