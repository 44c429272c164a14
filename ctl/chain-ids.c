// SPDX-License-Identifier: GPL-2.0-only
/* What images say of themselves, and names by which they are found. */
#include <stdlib.h>
#include <strings.h>
#include "chain.h"

static void take_uuid(const struct vd_props *p, u32 bit, const u8 *from, u8 *to)
{
	if (p->mask & bit)
		memcpy(to, from, VD_UUID_BYTES);
}

/* VirtualBox writes "no parent" as the parent's CID, and means its UUIDs. */
static bool wants_cid(const struct vd_layout *l)
{
	return (l->flags & VD_LAYOUT_HAVE_CID) &&
	       (l->parent_cid != 0xffffffff || !(l->props.mask & VD_PROP_PARENT_UUID));
}

void layout_ids(const struct vd_layout *l, struct chain_ids *out)
{
	memset(out, 0, sizeof(*out));
	if (!l)
		return;
	out->parent = l->flags & VD_LAYOUT_PARENT;
	out->has_cid = l->flags & VD_LAYOUT_HAVE_CID;
	out->cid = l->cid;
	take_uuid(&l->props, VD_PROP_UUID, l->props.uuid, out->uuid);
	take_uuid(&l->props, VD_PROP_MOD_UUID, l->props.mod_uuid, out->mod_uuid);
	if (!out->parent)
		return;
	out->wants_cid = wants_cid(l);
	out->parent_cid = l->parent_cid;
	take_uuid(&l->props, VD_PROP_PARENT_UUID, l->props.parent_uuid, out->parent_uuid);
	take_uuid(&l->props, VD_PROP_PARENT_MOD_UUID, l->props.parent_mod_uuid,
		  out->parent_mod_uuid);
}

static bool has_extension(const char *name, const struct vd_format *f)
{
	const char *dot = strrchr(name, '.');
	const char *const *e;

	if (!dot || dot == name)
		return false;
	for (e = f->extensions; e && *e; e++)
		if (!strcasecmp(dot + 1, *e))
			return true;
	return false;
}

/* Only what is found by content can say who it is. */
static bool name_is(const char *name, bool found_by_content)
{
	const struct vd_format *const *f;

	for (f = vd_formats(); *f; f++)
		if (!!((*f)->caps & VD_CAP_PROBE) == found_by_content && has_extension(name, *f))
			return true;
	return false;
}

bool name_is_image(const char *name)
{
	return name_is(name, true);
}

bool name_is_raw(const char *name)
{
	return name_is(name, false);
}

bool begins_as_image(const u8 *data, size_t len)
{
	const struct vd_format *const *f;
	const struct vd_magic *m;

	for (f = vd_formats(); *f; f++)
		for (m = (*f)->user ? (*f)->user->magic : NULL; m && m->len; m++)
			if (m->pos + m->len <= len && !memcmp(data + m->pos, m->bytes, m->len))
				return true;
	return false;
}

const char *hint_base(const char *hint)
{
	const char *p, *last = hint;

	for (p = hint; *p; p++)
		if ((*p == '/' || *p == '\\') && p[1])
			last = p + 1;
	return last;
}

static char *other_uuid(const char *what, const u8 want[16], const u8 have[16], const char *path)
{
	char w[37], h[37];

	format_uuid(want, w);
	format_uuid(have, h);
	return xasprintf("wants a parent with %s %s, but %s has %s", what, w, path, h);
}

char *ids_misfit(const struct chain_ids *child, const struct chain_ids *parent, const char *path)
{
	struct chain_link l = chain_compare(child, parent);
	char want[37];

	if (l.differs & LINK_UUID)
		return other_uuid("UUID", child->parent_uuid, parent->uuid, path);
	if (l.differs & LINK_CID)
		return xasprintf("wants a parent with CID %08x, but %s has CID %08x",
				 child->parent_cid, path, parent->cid);
	if (l.differs & LINK_MOD)
		return other_uuid("modification UUID", child->parent_mod_uuid, parent->mod_uuid,
				  path);
	if (!l.silent)
		return NULL;
	format_uuid(child->parent_uuid, want);
	return xasprintf("wants a parent with UUID %s, but %s has none", want, path);
}
