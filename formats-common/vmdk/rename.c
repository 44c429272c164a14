// SPDX-License-Identifier: GPL-2.0-only
/*
 * The text of a descriptor with other names in it: of the extents, of the log of
 * changes, of the parent. All else stays byte for byte. User space only.
 */
#include "vdisk/caps.h"
#include "vdisk/layout.h"
#include "vdisk/rename.h"
#include "descriptor.h"
#include "embed.h"
#include "vmdk.h"

/* @at, which is a part of the text, becomes @with. */
struct edit {
	struct vmdk_text at;
	struct vmdk_text with;
};

/**
 * struct renaming - one text
 * @inside: it is inside of the extent that its first line describes
 * @edits: in the order of the text
 */
struct renaming {
	const struct vd_new_names *names;
	struct vmdk_descriptor *d;
	char *text;
	u32 len;
	bool inside;
	struct edit *edits;
	u32 nr;
	struct vd_error *err;
};

static struct vmdk_text text_of(const char *s, u32 len)
{
	return (struct vmdk_text) { s, len };
}

static void add_edit(struct renaming *r, struct vmdk_text at, struct vmdk_text with)
{
	u32 i = r->nr++;

	for (; i && r->edits[i - 1].at.s > at.s; i--)
		r->edits[i] = r->edits[i - 1];
	r->edits[i] = (struct edit) { at, with };
}

static bool beside(struct vmdk_text name)
{
	u32 i;

	for (i = 0; i < name.len; i++)
		if (name.s[i] == '/' || name.s[i] == '\\')
			return false;
	return true;
}

/* "disk-flat.vmdk" follows "disk.vmdk", and so does that itself; "disk2.vmdk" does not. */
static void rename_beside(struct renaming *r, struct vmdk_text name)
{
	const struct vd_new_names *n = r->names;

	if (!name.len || !beside(name))
		return;
	if (vmdk_text_same(name, text_of(n->from, (u32)strlen(n->from)))) {
		add_edit(r, name, text_of(n->to, (u32)strlen(n->to)));
		return;
	}
	if (name.len <= n->from_stem || memcmp(name.s, n->from, n->from_stem) ||
	    (name.s[n->from_stem] != '-' && name.s[n->from_stem] != '.'))
		return;
	name.len = n->from_stem;
	add_edit(r, name, text_of(n->to, n->to_stem));
}

/* The extent around the descriptor is called as it is, whatever the text has said. */
static void rename_self(struct renaming *r, struct vmdk_text name)
{
	if (name.len)
		add_edit(r, name, text_of(r->names->to, (u32)strlen(r->names->to)));
}

static void rename_parent(struct renaming *r, struct vmdk_text hint)
{
	struct vmdk_text with = text_of(r->names->parent, (u32)strlen(r->names->parent));
	u32 i;

	if (!hint.len)
		return;
	for (i = hint.len; !r->names->parent_path && i; i--)
		if (hint.s[i - 1] == '/' || hint.s[i - 1] == '\\') {
			hint.s += i;
			hint.len -= i;
			break;
		}
	add_edit(r, hint, with);
}

static void collect(struct renaming *r)
{
	const struct vmdk_descriptor *d = r->d;
	u32 i;

	if (r->names->parent)
		rename_parent(r, d->parent_hint);
	if (!r->names->from)
		return;
	for (i = 0; i < d->nr_lines; i++)
		if (r->inside && !i)
			rename_self(r, d->lines[i].name);
		else if (d->lines[i].access != VMDK_NOACCESS)
			rename_beside(r, d->lines[i].name);
	rename_beside(r, d->change_track);
}

static bool printable(struct vmdk_text t)
{
	u32 i;

	for (i = 0; i < t.len; i++)
		if ((u8)t.s[i] < 0x20 || t.s[i] == 0x7f || t.s[i] == '"')
			return false;
	return true;
}

/* What others read there is what the file is called? */
static int check_edits(const struct renaming *r)
{
	struct vmdk_text encoding = r->d->encoding.len ? r->d->encoding : r->d->ddb_encoding;
	char shown[VMDK_SHOW];
	u32 i;

	for (i = 0; i < r->nr; i++) {
		if (vmdk_text_same(r->edits[i].at, r->edits[i].with))
			continue;
		if (!printable(r->edits[i].with))
			return vd_fail(r->err, -EINVAL,
				       "a descriptor cannot hold a name with quotes or control characters");
		if (!vmdk_text_fits(encoding, r->edits[i].with))
			return vd_fail(r->err, -EINVAL,
				       "its descriptor is in %s: a name in it must be in ASCII",
				       vmdk_text_show(encoding, shown));
	}
	return 0;
}

static int apply(const struct renaming *r, char **out, u32 *len)
{
	const char *from = r->text;
	u64 room = r->len;
	char *to;
	u32 i;

	for (i = 0; i < r->nr; i++)
		room += r->edits[i].with.len;
	to = room > VMDK_CAP_DESCRIPTOR ? NULL : vd_zalloc((size_t)room + 1);
	if (!to)
		return room > VMDK_CAP_DESCRIPTOR ?
		       vd_fail(r->err, -E2BIG, "the descriptor would get too long") :
		       vd_fail(r->err, -ENOMEM, "out of memory");
	*out = to;
	for (i = 0; i < r->nr; i++) {
		const struct edit *e = &r->edits[i];

		memcpy(to, from, (size_t)(e->at.s - from));
		to += e->at.s - from;
		memcpy(to, e->with.s, e->with.len);
		to += e->with.len;
		from = e->at.s + e->at.len;
	}
	memcpy(to, from, (size_t)(r->text + r->len - from));
	*len = (u32)(to - *out + (r->text + r->len - from));
	return 0;
}

static int edit_text(struct renaming *r, char **out, u32 *len)
{
	int ret;

	ret = vmdk_descriptor_parse(r->text, r->len, r->d, r->err);
	if (ret)
		return ret;
	/* Every extent line, the log and the parent. */
	r->edits = vd_zalloc((r->d->nr_lines + 2) * sizeof(*r->edits));
	if (!r->edits)
		return vd_fail(r->err, -ENOMEM, "out of memory");
	collect(r);
	ret = check_edits(r);
	if (!ret)
		ret = apply(r, out, len);
	vd_free(r->edits);
	return ret;
}

static int read_file(struct vd_file *file, char **text, u32 *len, struct vd_error *err)
{
	int ret;

	if (file->size > VMDK_CAP_DESCRIPTOR)
		return vd_fail(err, -EOPNOTSUPP, "descriptor of %llu bytes, legal is at most %u",
			       file->size, VMDK_CAP_DESCRIPTOR);
	*len = (u32)file->size;
	*text = vd_zalloc(*len + 1);
	if (!*text)
		return vd_fail(err, -ENOMEM, "out of memory");
	ret = vd_file_read(file, 0, *text, *len);
	return ret ? vd_fail(err, ret, "descriptor cannot be read") : 0;
}

/* *@text stays NULL: an extent of ESX alone, which names nothing. */
static int read_text(struct vd_file *file, struct renaming *r)
{
	u8 magic[8] = { 0 };
	int ret = 0;

	if (file->size >= sizeof(magic))
		ret = vd_file_read(file, 0, magic, sizeof(magic));
	if (ret)
		return vd_fail(r->err, ret, "header cannot be read");
	r->inside = get_unaligned_le32(magic) == VMDK_MAGIC;
	if (r->inside)
		return vmdk_embed_read(file, &r->text, &r->len, r->err);
	if (get_unaligned_le32(magic) == COWD_MAGIC || get_unaligned_le64(magic) == SESPARSE_MAGIC)
		return 0;
	return read_file(file, &r->text, &r->len, r->err);
}

int vmdk_renamed(struct vd_file *file, const struct vd_new_names *names, char **text, u32 *len,
		 struct vd_error *err)
{
	struct renaming r = { .names = names, .err = err };
	int ret;

	*text = NULL;
	*len = 0;
	r.d = vd_zalloc(sizeof(*r.d));
	if (!r.d)
		return vd_fail(err, -ENOMEM, "out of memory");
	ret = read_text(file, &r);
	if (!ret && r.text)
		ret = edit_text(&r, text, len);
	vmdk_descriptor_free(r.d);
	vd_free(r.d);
	vd_free(r.text);
	return ret;
}
