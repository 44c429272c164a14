// SPDX-License-Identifier: GPL-2.0-only
/*
 * Properties of a VMDK are lines of its disk data base. Setting them changes those
 * lines and nothing else: no content id, no guest data. User space only.
 *
 * The extent around a descriptor is changed in place by embed.c. Of a descriptor that
 * is a file of its own, one sector can be written in place; more is for the caller to
 * put there as a whole.
 */
#include "vdisk/caps.h"
#include "vdisk/layout.h"
#include "create.h"
#include "edit.h"
#include "embed.h"
#include "vmdk.h"

#define SETTABLE	(VD_PROP_PCHS | VD_PROP_LCHS | VD_PROP_COMMENT | VD_PROP_UUID | \
			 VD_PROP_MOD_UUID | VD_PROP_PARENT_UUID | VD_PROP_PARENT_MOD_UUID)
#define OF_PARENT	(VD_PROP_PARENT_UUID | VD_PROP_PARENT_MOD_UUID)

#define COMMENT_MAX	1024U	/* bytes as they stand there: VirtualBox takes no more */
#define NUMBER_MAX	11U
#define MAX_LINES	11U

/**
 * struct lines - what shall stand in the disk data base
 * @uuid, @number, @comment: room for the values that @changes points to
 */
struct lines {
	struct vmdk_change changes[MAX_LINES];
	u32 nr;
	char uuid[4][VD_UUID_CHARS + 1];
	char number[6][NUMBER_MAX];
	char comment[COMMENT_MAX + 1];
};

/* --- values --- */

static void add_line(struct lines *l, const char *key, const char *value)
{
	l->changes[l->nr].key = key;
	l->changes[l->nr].value = value;
	l->nr++;
}

static void add_uuid(struct lines *l, u32 slot, const char *key, const u8 *uuid)
{
	vd_uuid_format(uuid, l->uuid[slot]);
	add_line(l, key, l->uuid[slot]);
}

static const char *number(char buf[NUMBER_MAX], u32 n)
{
	char *s = buf + NUMBER_MAX - 1;

	*s = '\0';
	do {
		*--s = (char)('0' + n % 10);
		n /= 10;
	} while (n);
	return s;
}

/* @keys: cylinders, heads, sectors. Without cylinders, no line at all. */
static void add_chs(struct lines *l, u32 slot, const char *const keys[3],
		    const struct vd_chs *chs)
{
	const u32 values[3] = { chs->c, chs->h, chs->s };
	u32 i;

	for (i = 0; i < 3; i++)
		add_line(l, keys[i], chs->c ? number(l->number[slot + i], values[i]) : NULL);
}

/*
 * As VirtualBox spells it. A quote has no spelling, nor do other control characters.
 * @to NULL: only whether that can be done.
 */
static int spell_comment(char *to, const char *s, struct vd_error *err)
{
	u32 n = 0;

	for (; *s; s++) {
		char letter = *s == '\\' ? '\\' : *s == '\n' ? 'n' : *s == '\r' ? 'r' : 0;

		if (*s == '"' || *s == 0x7f || ((u8)*s < 0x20 && !letter && *s != '\t'))
			return vd_fail(err, -EINVAL,
				       "comment: VMDK cannot spell a quote or control character");
		if (n + (letter ? 2 : 1) > COMMENT_MAX)
			return vd_fail(err, -EINVAL,
				       "comment: more than %u bytes as VMDK spells it",
				       COMMENT_MAX);
		if (to && letter)
			to[n] = '\\';
		n += letter != 0;
		if (to)
			to[n] = letter ? letter : *s;
		n++;
	}
	if (to)
		to[n] = '\0';
	return 0;
}

int vmdk_check_comment(const char *comment, struct vd_error *err)
{
	int ret = vd_props_check_comment(comment, err);

	return ret ? ret : spell_comment(NULL, comment, err);
}

static int add_comment(struct lines *l, const struct vd_layout *now, const char *comment,
		       struct vd_error *err)
{
	const char *encoding = vd_layout_str(now, now->encoding);
	struct vmdk_text t = { encoding, encoding ? (u32)strlen(encoding) : 0 };
	char shown[VMDK_SHOW];
	int ret;

	if (!comment) {
		add_line(l, "ddb.comment", NULL);
		return 0;
	}
	if (!vmdk_text_fits(t, (struct vmdk_text) { comment, (u32)strlen(comment) }))
		return vd_fail(err, -EINVAL,
			       "comment: the descriptor is encoded in %s, so the comment may have nothing but ASCII",
			       vmdk_text_show(t, shown));
	ret = spell_comment(l->comment, comment, err);
	if (!ret)
		add_line(l, "ddb.comment", l->comment);
	return ret;
}

static int make_lines(struct lines *l, const struct vd_layout *now, const struct vd_props *want,
		      const char *pool, struct vd_error *err)
{
	static const char *const pchs[3] = {
		"ddb.geometry.cylinders", "ddb.geometry.heads", "ddb.geometry.sectors",
	};
	static const char *const lchs[3] = {
		"ddb.geometry.biosCylinders", "ddb.geometry.biosHeads", "ddb.geometry.biosSectors",
	};
	int ret = 0;

	l->nr = 0;
	if (want->mask & VD_PROP_PCHS)
		add_chs(l, 0, pchs, &want->pchs);
	if (want->mask & VD_PROP_LCHS)
		add_chs(l, 3, lchs, &want->lchs);
	if (want->mask & VD_PROP_UUID)
		add_uuid(l, 0, "ddb.uuid.image", want->uuid);
	if (want->mask & VD_PROP_MOD_UUID)
		add_uuid(l, 1, "ddb.uuid.modification", want->mod_uuid);
	if (want->mask & VD_PROP_PARENT_UUID)
		add_uuid(l, 2, "ddb.uuid.parent", want->parent_uuid);
	if (want->mask & VD_PROP_PARENT_MOD_UUID)
		add_uuid(l, 3, "ddb.uuid.parentmodification", want->parent_mod_uuid);
	if (want->mask & VD_PROP_COMMENT)
		ret = add_comment(l, now, want->comment ? pool + want->comment : NULL, err);
	return ret;
}

/* --- what may be asked of this image --- */

static bool is_ide(const struct vd_layout *now)
{
	const char *adapter = vd_layout_str(now, now->adapter);
	struct vmdk_text t = { adapter, adapter ? (u32)strlen(adapter) : 0 };

	return !t.len || vmdk_text_is(t, "ide");
}

static int check_want(const struct vd_layout *now, const struct vd_props *want, const char *pool,
		      struct vd_error *err)
{
	/* A SCSI disk has as many cylinders as it takes. */
	static const struct vd_chs scsi = { 0xffffffff, 255, 63 };
	struct vd_chs pchs = is_ide(now) ? VD_PCHS_MAX : scsi, lchs = VD_LCHS_MAX;

	if (want->mask & ~SETTABLE)
		return vd_props_refuse("vmdk", want->mask & ~SETTABLE, err);
	if (want->mask & OF_PARENT && !(now->flags & VD_LAYOUT_PARENT))
		return vd_props_refuse("vmdk", want->mask & OF_PARENT, err);
	return vd_props_check_want(want, pool, &pchs, &lchs, err);
}

/* --- a descriptor that is a file --- */

static bool is_zeros(const char *s, u32 len)
{
	return !s[0] && !memcmp(s, s + 1, len - 1);
}

/*
 * The text and what was behind the old one. Zeros there are padding: the file keeps
 * its size while they last.
 */
static int make_content(const char *old, u32 old_len, const char *text, u32 len,
			struct vd_content *out, struct vd_error *err)
{
	u32 end = (u32)strlen(old), tail = old_len - end;
	bool padded = tail && is_zeros(old + end, tail);

	out->len = padded ? max(len, old_len) : len + tail;
	out->data = vd_zalloc(max_t(u32, out->len, 1));
	if (!out->data)
		return vd_fail(err, -ENOMEM, "out of memory");
	memcpy(out->data, text, len);
	if (!padded)
		memcpy((char *)out->data + len, old + end, tail);
	return 0;
}

/* The one sector that differs, as bytes of the file; false: there are more, or none. */
static bool one_sector(const char *a, const char *b, u32 len, u32 *from, u32 *bytes)
{
	u32 pos, n, found = 0;

	for (pos = 0; pos < len; pos += VD_SECTOR) {
		n = min_t(u32, VD_SECTOR, len - pos);
		if (!memcmp(a + pos, b + pos, n))
			continue;
		found++;
		*from = pos;
		*bytes = n;
	}
	return found == 1;
}

static int write_sector(struct vd_file *file, const struct vd_content *content, u32 from,
			u32 bytes, struct vd_error *err)
{
	int ret;

	ret = vd_file_write(file, from, (const char *)content->data + from, bytes);
	if (!ret)
		ret = vd_file_flush(file);
	return ret ? vd_fail(err, ret, "the descriptor cannot be written") : 0;
}

static int replace_text(struct vd_file *file, const char *old, u32 old_len, const char *text,
			u32 len, struct vd_content *out, struct vd_error *err)
{
	struct vd_layout *parsed = NULL;
	u32 from = 0, bytes = 0;
	int ret;

	ret = vmdk_layout_text(text, len, NULL, &parsed, err);
	vd_free(parsed);
	if (!ret)
		ret = make_content(old, old_len, text, len, out, err);
	if (ret || out->len != old_len || !one_sector(old, out->data, old_len, &from, &bytes))
		return ret;
	ret = write_sector(file, out, from, bytes, err);
	vd_free(out->data);
	*out = (struct vd_content) { NULL, 0 };
	return ret;
}

static int edit_file(struct vd_file *file, const struct lines *l, struct vd_content *out,
		     struct vd_error *err)
{
	u32 len = (u32)min_t(u64, file->size, VMDK_CAP_DESCRIPTOR), new_len = 0;
	char *old = vd_zalloc(len + 1), *text = NULL;
	int ret;

	if (!old)
		return vd_fail(err, -ENOMEM, "out of memory");
	ret = vd_file_read(file, 0, old, len);
	if (ret)
		vd_fail(err, ret, "descriptor cannot be read");
	else
		ret = vmdk_edit(old, (u32)strlen(old), l->changes, l->nr, &text, &new_len, err);
	if (!ret && (strlen(old) != new_len || memcmp(old, text, new_len)))
		ret = replace_text(file, old, len, text, new_len, out, err);
	vd_free(text);
	vd_free(old);
	return ret;
}

static int edit_embedded(struct vd_file *file, const struct lines *l, struct vd_error *err)
{
	char *old, *text = NULL;
	u32 len, new_len;
	int ret;

	ret = vmdk_embed_read(file, &old, &len, err);
	if (!ret)
		ret = vmdk_edit(old, len, l->changes, l->nr, &text, &new_len, err);
	if (!ret)
		ret = vmdk_embed_replace(file, text, new_len, err);
	vd_free(text);
	vd_free(old);
	return ret;
}

int vmdk_set_props(struct vd_file *file, const struct vd_layout *now,
		   const struct vd_props *want, const char *pool, struct vd_content *out,
		   struct vd_error *err)
{
	const struct vd_layout_seg *first = vd_layout_segs(now);
	struct lines *l;
	int ret;

	*out = (struct vd_content) { NULL, 0 };
	/* A delta of ESX alone: what could be changed stands in another file. */
	if (first->flags & VD_LSEG_SELF && first->kind != VDISK_SEG_VMDK_SPARSE)
		return vd_fail(err, -EOPNOTSUPP,
			       "an extent without a descriptor has no properties; set those of the descriptor that lists it");
	ret = check_want(now, want, pool, err);
	if (ret)
		return ret;
	l = vd_zalloc(sizeof(*l));
	if (!l)
		return vd_fail(err, -ENOMEM, "out of memory");
	ret = make_lines(l, now, want, pool, err);
	if (!ret)
		ret = first->flags & VD_LSEG_SELF ? edit_embedded(file, l, err) :
						    edit_file(file, l, out, err);
	vd_free(l);
	return ret;
}
