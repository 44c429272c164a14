// SPDX-License-Identifier: GPL-2.0-only
/*
 * The text descriptor of VMDK: "key = value" lines and extent lines
 *
 *	ACCESS SECTORS TYPE ["file" [OFFSET [partition-uuid [device-id]]]]
 *
 * A line that is not understood is never skipped: a skipped extent would move
 * all that follow. User space only.
 */
#include <linux/vdisk.h>
#include "vdisk/caps.h"
#include "descriptor.h"

/* One call's worth of context. */
struct parser {
	struct vmdk_descriptor *d;
	struct vd_error *err;
	u32 number;	/* of the line, from 1 */
	u32 seen;	/* bit i: keys[i] was there */
};

/**
 * struct key - a key that means something to us
 * @take: stores the value; false when it is malformed
 * @field: offset in struct vmdk_descriptor
 * @have: VMDK_HAVE_* that it sets
 * @strict: malformed or contradicting doubles are damage; otherwise a warning
 */
struct key {
	const char *name;
	bool (*take)(struct parser *p, const struct key *key, struct vmdk_text value);
	size_t field;
	u32 have;
	bool strict;
};

static void *key_field(struct parser *p, const struct key *key)
{
	return (char *)p->d + key->field;
}

int vmdk_encrypted(struct vd_error *err)
{
	return vd_fail(err, -EOPNOTSUPP, "encrypted by VMware; decrypt it in VMware first");
}

static void warn_append(struct vmdk_descriptor *d, const char *fmt, va_list args)
{
	size_t used = strlen(d->warning);

	if (used && used + 3 < sizeof(d->warning)) {
		memcpy(d->warning + used, "; ", 3);
		used += 2;
	}
	vd_vsnprintf(d->warning + used, sizeof(d->warning) - used, fmt, args);
}

void vmdk_descriptor_warn(struct vmdk_descriptor *d, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	warn_append(d, fmt, args);
	va_end(args);
}

/* --- values --- */

static bool take_text(struct parser *p, const struct key *key, struct vmdk_text value)
{
	*(struct vmdk_text *)key_field(p, key) = value;
	return true;
}

static bool take_hex(struct parser *p, const struct key *key, struct vmdk_text value)
{
	return vmdk_text_hex32(value, key_field(p, key));
}

static bool take_number(struct parser *p, const struct key *key, struct vmdk_text value)
{
	u64 n;

	if (!vmdk_text_decimal(value, &n) || n > U32_MAX)
		return false;
	*(u32 *)key_field(p, key) = (u32)n;
	return true;
}

static bool take_uuid(struct parser *p, const struct key *key, struct vmdk_text value)
{
	u8 uuid[16];

	if (!vmdk_text_uuid(value, uuid))
		return false;
	memcpy(key_field(p, key), uuid, sizeof(uuid));
	return true;
}

/* An array took the snapshot: what this file shows is not the disk. */
static bool take_native(struct parser *p, const struct key *key, struct vmdk_text value)
{
	if (!vmdk_text_is(value, "no"))
		vd_fail(p->err, -EOPNOTSUPP,
			"descriptor line %u: a native snapshot of a storage array (isNativeSnapshot): its data is not in these files",
			p->number);
	return true;
}

#define KEY(n, t, f, h, s) { n, t, offsetof(struct vmdk_descriptor, f), h, s }

static const struct key keys[] = {
	KEY("version", take_number, version, VMDK_HAVE_VERSION, true),
	KEY("CID", take_hex, cid, VMDK_HAVE_CID, true),
	KEY("parentCID", take_hex, parent_cid, VMDK_HAVE_PARENT_CID, true),
	KEY("createType", take_text, create_type, 0, true),
	KEY("parentFileNameHint", take_text, parent_hint, 0, true),
	KEY("encoding", take_text, encoding, 0, true),
	KEY("isNativeSnapshot", take_native, have, 0, false),
	KEY("changeTrackPath", take_text, change_track, 0, false),
	KEY("ddb.adapterType", take_text, adapter, 0, false),
	KEY("ddb.geometry.cylinders", take_number, geometry[0], 0, false),
	KEY("ddb.geometry.heads", take_number, geometry[1], 0, false),
	KEY("ddb.geometry.sectors", take_number, geometry[2], 0, false),
	KEY("ddb.uuid", take_uuid, uuid, VMDK_HAVE_UUID, false),
	KEY("ddb.uuid.image", take_uuid, image_uuid, VMDK_HAVE_IMAGE_UUID, false),
	KEY("ddb.uuid.modification", take_uuid, mod_uuid, VMDK_HAVE_MOD_UUID, false),
	KEY("ddb.uuid.parent", take_uuid, parent_uuid, VMDK_HAVE_PARENT_UUID, false),
	KEY("ddb.uuid.parentmodification", take_uuid, parent_mod_uuid,
	    VMDK_HAVE_PARENT_MOD_UUID, false),
	KEY("ddb.longContentID", take_uuid, content_id, VMDK_HAVE_CONTENT_ID, false),
	KEY("ddb.encoding", take_text, ddb_encoding, 0, false),
	KEY("ddb.comment", take_text, comment, 0, false),
	KEY("ddb.iofilters", take_text, filters, 0, false),
	KEY("ddb.sidecars", take_text, sidecars, 0, false),
	KEY("ddb.logicalSectorSize", take_number, sector_size, 0, false),
};

static_assert(ARRAY_SIZE(keys) <= 32, "struct parser.seen has a bit for each");

/*
 * A quoted value ends with the line's last quote: VirtualBox puts comments in
 * quotes as they are.
 */
static bool unquote(struct vmdk_text *value)
{
	if (!value->len || value->s[0] != '"')
		return true;
	if (value->len < 2 || value->s[value->len - 1] != '"')
		return false;
	value->s++;
	value->len -= 2;
	return true;
}

/* Two lines for one key must agree: readers differ in which one they believe. */
static int take_key(struct parser *p, const struct key *key, struct vmdk_text value)
{
	u32 bit = 1U << (key - keys);
	struct vmdk_descriptor before = *p->d;
	char shown[VMDK_SHOW];

	if (!key->take(p, key, value)) {
		if (key->strict)
			return vd_fail(p->err, -EUCLEAN, "descriptor line %u: %s has the value '%s'",
				       p->number, key->name, vmdk_text_show(value, shown));
		vmdk_descriptor_warn(p->d, "descriptor line %u: %s has the value '%s', ignored",
				     p->number, key->name, vmdk_text_show(value, shown));
		return 0;
	}
	if (key->take == take_native)
		return p->err->code;
	p->d->have |= key->have;
	if (key->strict && p->seen & bit) {
		bool same = key->take == take_text ?
			vmdk_text_same(*(struct vmdk_text *)key_field(p, key),
				       *(struct vmdk_text *)((char *)&before + key->field)) :
			*(u32 *)key_field(p, key) == *(u32 *)((char *)&before + key->field);

		if (!same)
			return vd_fail(p->err, -EUCLEAN,
				       "descriptor line %u: %s is there twice, with different values",
				       p->number, key->name);
	}
	p->seen |= bit;
	return 0;
}
