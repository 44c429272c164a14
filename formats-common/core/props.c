// SPDX-License-Identifier: GPL-2.0-only
/*
 * Properties of an image: how a backend puts them together, and what may be asked of
 * one. User space only.
 */
#include "vdisk/props.h"

#define PROPS_SIZE_MAX	(~0ULL >> 1)	/* what a signed 64-bit number can say */

void vd_props_put(struct vd_props *p, u32 which, u64 value)
{
	if (!value)
		return;
	switch (which) {
	case VD_PROP_VERSION:
		p->version = (u32)value;
		break;
	case VD_PROP_SIZE:
		p->size = value;
		break;
	case VD_PROP_FILE_SIZE:
		p->file_size = value;
		break;
	case VD_PROP_FLAGS:
		p->flags = (u32)value;
		break;
	case VD_PROP_TIME:
		p->time = (s64)value;
		break;
	case VD_PROP_PARENT_TIME:
		p->parent_time = (s64)value;
		break;
	default:
		return;
	}
	p->mask |= which;
}

void vd_props_put_text(struct vd_props *p, u32 which, vd_str text)
{
	if (!text)
		return;
	if (which == VD_PROP_COMMENT)
		p->comment = text;
	else if (which == VD_PROP_PARENT_NAME)
		p->parent_name = text;
	else
		return;
	p->mask |= which;
}

void vd_props_put_chs(struct vd_props *p, u32 which, u32 c, u32 h, u32 s)
{
	const struct vd_chs chs = { .c = c, .h = h, .s = s };

	if (!c)
		return;
	if (which == VD_PROP_PCHS)
		p->pchs = chs;
	else if (which == VD_PROP_LCHS)
		p->lchs = chs;
	else
		return;
	p->mask |= which;
}

void vd_props_put_uuid(struct vd_props *p, u32 which, const u8 uuid[VD_UUID_BYTES])
{
	u8 *to;

	if (vd_uuid_is_none(uuid))
		return;
	if (which == VD_PROP_UUID)
		to = p->uuid;
	else if (which == VD_PROP_MOD_UUID)
		to = p->mod_uuid;
	else if (which == VD_PROP_PARENT_UUID)
		to = p->parent_uuid;
	else if (which == VD_PROP_PARENT_MOD_UUID)
		to = p->parent_mod_uuid;
	else
		return;
	memcpy(to, uuid, VD_UUID_BYTES);
	p->mask |= which;
}

static bool props_agree(const struct vd_props *p, u32 which, bool something)
{
	return !(p->mask & which) == !something;
}

static bool props_chs_ok(const struct vd_props *p, u32 which, const struct vd_chs *chs)
{
	return props_agree(p, which, chs->c) && (chs->c || (!chs->h && !chs->s));
}

static bool props_uuids_ok(const struct vd_props *p)
{
	return props_agree(p, VD_PROP_UUID, !vd_uuid_is_none(p->uuid)) &&
	       props_agree(p, VD_PROP_MOD_UUID, !vd_uuid_is_none(p->mod_uuid)) &&
	       props_agree(p, VD_PROP_PARENT_UUID, !vd_uuid_is_none(p->parent_uuid)) &&
	       props_agree(p, VD_PROP_PARENT_MOD_UUID, !vd_uuid_is_none(p->parent_mod_uuid));
}

bool vd_props_ok(const struct vd_props *p)
{
	if (p->mask & ~VD_PROP_ALL || p->flags & ~VD_IMAGE_ALL || p->pad)
		return false;
	if (p->size > PROPS_SIZE_MAX || p->file_size > PROPS_SIZE_MAX)
		return false;
	return props_agree(p, VD_PROP_VERSION, p->version) &&
	       props_agree(p, VD_PROP_SIZE, p->size) &&
	       props_agree(p, VD_PROP_FILE_SIZE, p->file_size) &&
	       props_agree(p, VD_PROP_FLAGS, p->flags) &&
	       props_agree(p, VD_PROP_COMMENT, p->comment) &&
	       props_agree(p, VD_PROP_PARENT_NAME, p->parent_name) &&
	       props_agree(p, VD_PROP_TIME, p->time) &&
	       props_agree(p, VD_PROP_PARENT_TIME, p->parent_time) &&
	       props_chs_ok(p, VD_PROP_PCHS, &p->pchs) &&
	       props_chs_ok(p, VD_PROP_LCHS, &p->lchs) && props_uuids_ok(p);
}

/* --- what is wanted --- */

int vd_props_refuse(const char *format, u32 mask, struct vd_error *err)
{
	static const struct { u32 which; const char *name; } names[] = {
		{ VD_PROP_VERSION, "another version" },
		{ VD_PROP_SIZE, "another size" },
		{ VD_PROP_FILE_SIZE, "another size of its file" },
		{ VD_PROP_FLAGS, "other flags" },
		{ VD_PROP_PCHS, "a geometry" },
		{ VD_PROP_LCHS, "a logical geometry" },
		{ VD_PROP_COMMENT, "a comment" },
		{ VD_PROP_UUID, "a UUID" },
		{ VD_PROP_MOD_UUID, "a modification UUID" },
		{ VD_PROP_PARENT_UUID, "the UUID of a parent" },
		{ VD_PROP_PARENT_MOD_UUID, "the modification UUID of a parent" },
		{ VD_PROP_PARENT_NAME, "the name of a parent" },
		{ VD_PROP_TIME, "a time stamp" },
		{ VD_PROP_PARENT_TIME, "the time stamp of a parent" },
	};
	const char *name = "that property";
	u32 i;

	for (i = ARRAY_SIZE(names); i-- > 0;)
		if (mask & names[i].which)
			name = names[i].name;
	return vd_fail(err, -EOPNOTSUPP, "a %s image like this one cannot be given %s", format,
		       name);
}

static int props_check_chs(const char *what, const struct vd_chs *chs, const struct vd_chs *most,
			   struct vd_error *err)
{
	if (!chs->c)
		return 0;
	if (chs->c <= most->c && chs->h && chs->h <= most->h && chs->s && chs->s <= most->s)
		return 0;
	return vd_fail(err, -EINVAL, "%s %u/%u/%u: legal is 1/1/1 to %u/%u/%u, and 0/0/0 for none",
		       what, chs->c, chs->h, chs->s, most->c, most->h, most->s);
}

/* Bytes of the character at @s; 0: it is none. */
static u32 utf8_len(const u8 *s)
{
	u32 len = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 :
		  s[0] < 0xf5 ? 4 : 0;
	u32 i;

	for (i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	/* Longer than need be, surrogates, past the last character. */
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return len;
}

int vd_props_check_comment(const char *comment, struct vd_error *err)
{
	const u8 *s = (const u8 *)comment;
	u32 len;

	while (*s) {
		len = utf8_len(s);
		if (!len)
			return vd_fail(err, -EINVAL, "the comment is no UTF-8 at byte %llu",
				       (u64)(s - (const u8 *)comment));
		s += len;
	}
	return 0;
}

static int props_check_uuid(const struct vd_props *want, u32 which, const u8 *uuid,
			    struct vd_error *err)
{
	if (want->mask & which && vd_uuid_is_none(uuid))
		return vd_fail(err, -EINVAL, "a UUID of zeros means that there is none");
	return 0;
}

int vd_props_check_want(const struct vd_props *want, const char *pool, const struct vd_chs *pchs,
			const struct vd_chs *lchs, struct vd_error *err)
{
	int ret = 0;

	if (want->mask & VD_PROP_PCHS)
		ret = props_check_chs("geometry", &want->pchs, pchs, err);
	if (!ret && want->mask & VD_PROP_LCHS)
		ret = props_check_chs("logical geometry", &want->lchs, lchs, err);
	if (!ret && want->mask & VD_PROP_COMMENT && want->comment)
		ret = vd_props_check_comment(pool + want->comment, err);
	if (!ret)
		ret = props_check_uuid(want, VD_PROP_UUID, want->uuid, err);
	if (!ret)
		ret = props_check_uuid(want, VD_PROP_MOD_UUID, want->mod_uuid, err);
	if (!ret)
		ret = props_check_uuid(want, VD_PROP_PARENT_UUID, want->parent_uuid, err);
	if (!ret)
		ret = props_check_uuid(want, VD_PROP_PARENT_MOD_UUID, want->parent_mod_uuid, err);
	return ret;
}

void vd_uuid_format(const u8 uuid[VD_UUID_BYTES], char text[VD_UUID_CHARS + 1])
{
	static const char digits[] = "0123456789abcdef";
	u32 i;

	for (i = 0; i < VD_UUID_BYTES; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*text++ = '-';
		*text++ = digits[uuid[i] >> 4];
		*text++ = digits[uuid[i] & 15];
	}
	*text = '\0';
}
