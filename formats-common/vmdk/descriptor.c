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
#include "create.h"
#include "descriptor.h"

#define MAX_KEYS 32

/**
 * struct parser - one call's worth of context
 * @number: of the line, from 1
 * @line: that line as it stands there, with its end
 * @note: the line before it, if that is a comment
 * @seen: value of keys[i] when it first came; s is NULL before
 */
struct parser {
	struct vmdk_descriptor *d;
	struct vd_error *err;
	u32 number;
	struct vmdk_text line;
	struct vmdk_text note;
	struct vmdk_text seen[MAX_KEYS];
};

/**
 * struct key - a key that means something to us
 * @take: stores the value; -EINVAL when it is malformed
 * @field: offset in struct vmdk_descriptor
 * @have: VMDK_HAVE_* that it sets
 * @strict: malformed or contradicting doubles are damage; otherwise a warning
 */
struct key {
	const char *name;
	int (*take)(struct parser *p, const struct key *key, struct vmdk_text value);
	size_t field;
	u32 have;
	bool strict;
};

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

static void *key_field(struct parser *p, const struct key *key)
{
	return (char *)p->d + key->field;
}

static int take_text(struct parser *p, const struct key *key, struct vmdk_text value)
{
	*(struct vmdk_text *)key_field(p, key) = value;
	return 0;
}

static int take_hex(struct parser *p, const struct key *key, struct vmdk_text value)
{
	return vmdk_text_hex32(value, key_field(p, key)) ? 0 : -EINVAL;
}

static int take_number(struct parser *p, const struct key *key, struct vmdk_text value)
{
	u64 n;

	if (!vmdk_text_decimal(value, &n) || n != (u32)n)
		return -EINVAL;
	*(u32 *)key_field(p, key) = (u32)n;
	return 0;
}

static int take_uuid(struct parser *p, const struct key *key, struct vmdk_text value)
{
	u8 uuid[16];

	if (!vmdk_text_uuid(value, uuid))
		return -EINVAL;
	memcpy(key_field(p, key), uuid, sizeof(uuid));
	return 0;
}

/* Where something stands that a writer of the disk changes. */
static void note_place(struct parser *p, struct vmdk_text *at, struct vmdk_text found)
{
	if (at->s)
		p->d->doubled = true;
	*at = found;
}

static int take_version(struct parser *p, const struct key *key, struct vmdk_text value)
{
	note_place(p, &p->d->version_at, value);
	return take_number(p, key, value);
}

static int take_cid(struct parser *p, const struct key *key, struct vmdk_text value)
{
	note_place(p, &p->d->cid_at, value);
	return take_hex(p, key, value);
}

static int take_content_id(struct parser *p, const struct key *key, struct vmdk_text value)
{
	note_place(p, &p->d->content_id_at, value);
	return take_uuid(p, key, value);
}

static int take_mod_uuid(struct parser *p, const struct key *key, struct vmdk_text value)
{
	note_place(p, &p->d->mod_uuid_at, value);
	return take_uuid(p, key, value);
}

static int take_change_track(struct parser *p, const struct key *key, struct vmdk_text value)
{
	note_place(p, &p->d->track_line, p->line);
	if (vmdk_text_has(p->note, "change track"))
		p->d->track_note = p->note;
	return take_text(p, key, value);
}

/* An array took the snapshot: what this file shows is not the disk. */
static int take_native(struct parser *p, const struct key *key, struct vmdk_text value)
{
	if (vmdk_text_is(value, "no"))
		return 0;
	return vd_fail(p->err, -EOPNOTSUPP,
		       "descriptor line %u: a native snapshot of a storage array (isNativeSnapshot): its data is not in these files",
		       p->number);
}

#define KEY(n, t, f, h, s) { n, t, offsetof(struct vmdk_descriptor, f), h, s }

static const struct key keys[] = {
	KEY("version", take_version, version, VMDK_HAVE_VERSION, true),
	KEY("CID", take_cid, cid, VMDK_HAVE_CID, true),
	KEY("parentCID", take_hex, parent_cid, VMDK_HAVE_PARENT_CID, true),
	KEY("createType", take_text, create_type, 0, true),
	KEY("parentFileNameHint", take_text, parent_hint, 0, true),
	KEY("encoding", take_text, encoding, 0, true),
	KEY("isNativeSnapshot", take_native, have, 0, true),
	KEY("changeTrackPath", take_change_track, change_track, 0, false),
	KEY("ddb.adapterType", take_text, adapter, 0, false),
	KEY("ddb.geometry.cylinders", take_number, geometry[0], 0, false),
	KEY("ddb.geometry.heads", take_number, geometry[1], 0, false),
	KEY("ddb.geometry.sectors", take_number, geometry[2], 0, false),
	KEY("ddb.geometry.biosCylinders", take_number, bios[0], 0, false),
	KEY("ddb.geometry.biosHeads", take_number, bios[1], 0, false),
	KEY("ddb.geometry.biosSectors", take_number, bios[2], 0, false),
	KEY("ddb.uuid", take_uuid, uuid, VMDK_HAVE_UUID, false),
	KEY("ddb.uuid.image", take_uuid, image_uuid, VMDK_HAVE_IMAGE_UUID, false),
	KEY("ddb.uuid.modification", take_mod_uuid, mod_uuid, VMDK_HAVE_MOD_UUID, false),
	KEY("ddb.uuid.parent", take_uuid, parent_uuid, VMDK_HAVE_PARENT_UUID, false),
	KEY("ddb.uuid.parentmodification", take_uuid, parent_mod_uuid,
	    VMDK_HAVE_PARENT_MOD_UUID, false),
	KEY("ddb.longContentID", take_content_id, content_id, VMDK_HAVE_CONTENT_ID, false),
	KEY("ddb.encoding", take_text, ddb_encoding, 0, false),
	KEY("ddb.comment", take_text, comment, 0, false),
	KEY("ddb.iofilters", take_text, filters, 0, false),
	KEY("ddb.sidecars", take_text, sidecars, 0, false),
	KEY(VMDK_PARENT_FORMAT, take_text, parent_format, 0, true),
	KEY("ddb.logicalSectorSize", take_number, sector_size, 0, false),
};

static_assert(ARRAY_SIZE(keys) <= MAX_KEYS, "struct parser.seen has room for each");

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
	struct vmdk_text *seen = &p->seen[key - keys];
	char shown[VMDK_SHOW];
	int ret;

	if (key->strict && seen->s && !vmdk_text_same(*seen, value))
		return vd_fail(p->err, -EUCLEAN,
			       "descriptor line %u: %s is there twice, with different values",
			       p->number, key->name);
	*seen = value;
	ret = key->take(p, key, value);
	if (ret == -EINVAL && key->strict)
		return vd_fail(p->err, -EUCLEAN, "descriptor line %u: %s has the value '%s'",
			       p->number, key->name, vmdk_text_show(value, shown));
	if (ret == -EINVAL) {
		vmdk_descriptor_warn(p->d, "descriptor line %u: %s has the value '%s', ignored",
				     p->number, key->name, vmdk_text_show(value, shown));
		return 0;
	}
	if (!ret)
		p->d->have |= key->have;
	return ret;
}

static bool key_encrypts(struct vmdk_text key)
{
	return vmdk_text_begins(key, "encryption") || vmdk_text_is(key, "keyID") ||
	       vmdk_text_begins(key, "ddb.encryption");
}

/*
 * What VMware's encryption leaves in values. Texts that a user chose can hold the
 * same words and mean nothing by them.
 */
static bool value_encrypts(struct vmdk_text key, struct vmdk_text value)
{
	if (vmdk_text_is(key, "ddb.comment") || vmdk_text_is(key, "parentFileNameHint") ||
	    vmdk_text_is(key, "changeTrackPath"))
		return false;
	return vmdk_text_has(value, "vmware:key/") || vmdk_text_has(value, "vmwarevmcrypt");
}

/* @line has no blanks around it. False: it is no key with a value. */
static bool split_key(struct vmdk_text line, struct vmdk_text *key, struct vmdk_text *value)
{
	struct vmdk_text word;
	u32 i;

	for (i = 0; i < line.len && line.s[i] != '='; i++)
		;
	if (i == line.len)
		return false;
	*key = vmdk_text_trim((struct vmdk_text) { line.s, i });
	*value = vmdk_text_trim((struct vmdk_text) { line.s + i + 1, line.len - i - 1 });
	word = *key;
	return key->len && vmdk_text_word(&word).len == key->len && !vmdk_text_has(*key, "\"");
}

static int parse_key(struct parser *p, struct vmdk_text line)
{
	struct vmdk_text key, value;
	char shown[VMDK_SHOW];
	u32 i;

	if (!split_key(line, &key, &value))
		return vd_fail(p->err, -EUCLEAN,
			       "descriptor line %u is neither an extent nor a key with a value: '%s'",
			       p->number, vmdk_text_show(line, shown));
	if (key_encrypts(key) || value_encrypts(key, value))
		return vmdk_encrypted(p->err);

	if (!unquote(&value) ||
	    (vmdk_text_has(value, "\"") && !vmdk_text_begins(key, "ddb.")))
		return vd_fail(p->err, -EUCLEAN, "descriptor line %u: quotes do not match: '%s'",
			       p->number, vmdk_text_show(line, shown));
	for (i = 0; i < ARRAY_SIZE(keys); i++)
		if (vmdk_text_is(key, keys[i].name))
			return take_key(p, &keys[i], value);
	return 0;
}

/* --- extent lines --- */

#define KIND_DEVICE 0xffffffffU

static const struct {
	const char *name;
	u32 kind;
	bool offset;	/* a place in the file may follow the name */
} extent_types[] = {
	{ "FLAT", VDISK_SEG_RAW, true },
	{ "SPARSE", VDISK_SEG_VMDK_SPARSE, false },
	{ "ZERO", VDISK_SEG_ZERO, false },
	{ "VMFS", VDISK_SEG_RAW, true },
	{ "VMFSSPARSE", VDISK_SEG_VMDK_COWD, false },
	{ "SESPARSE", VDISK_SEG_VMDK_SESPARSE, false },
	{ "VMFSRDM", KIND_DEVICE, true },
	{ "VMFSRAW", KIND_DEVICE, true },
};

static bool parse_access(struct vmdk_text word, enum vmdk_access *access)
{
	if (vmdk_text_is(word, "RW"))
		*access = VMDK_RW;
	else if (vmdk_text_is(word, "RDONLY"))
		*access = VMDK_RDONLY;
	else if (vmdk_text_is(word, "NOACCESS"))
		*access = VMDK_NOACCESS;
	else
		return false;
	return true;
}

static int extent_bad(struct parser *p, int code, const char *what, struct vmdk_text found)
{
	char shown[VMDK_SHOW];

	return vd_fail(p->err, code, "descriptor line %u: extent %u: %s '%s'", p->number,
		       p->d->nr_lines + 1, what, vmdk_text_show(found, shown));
}

static int extent_device(struct parser *p)
{
	return vd_fail(p->err, -EOPNOTSUPP,
		       "descriptor line %u: extent %u is a device or a raw device mapping; attach that device itself",
		       p->number, p->d->nr_lines + 1);
}

/*
 * In the double-byte encodings the second byte of a character can look like a
 * backslash.
 */
static bool name_has_backslash(const struct vmdk_descriptor *d, struct vmdk_text name)
{
	struct vmdk_text enc = d->encoding.len ? d->encoding : d->ddb_encoding;
	bool pairs = vmdk_text_is(enc, "Shift_JIS") || vmdk_text_is(enc, "Big5") ||
		     vmdk_text_begins(enc, "GB") || vmdk_text_begins(enc, "windows-93") ||
		     vmdk_text_is(enc, "windows-949") || vmdk_text_is(enc, "windows-950");
	u32 i;

	for (i = 0; i < name.len; i++) {
		if (name.s[i] == '\\')
			return true;
		if (pairs && (u8)name.s[i] > 0x80 &&
		    !(vmdk_text_is(enc, "Shift_JIS") && (u8)name.s[i] >= 0xa0 &&
		      (u8)name.s[i] <= 0xdf))
			i++;
	}
	return false;
}

static bool name_has_drive(struct vmdk_text name)
{
	return name.len >= 2 && name.s[1] == ':' &&
	       ((name.s[0] >= 'a' && name.s[0] <= 'z') || (name.s[0] >= 'A' && name.s[0] <= 'Z'));
}

static_assert(VMDK_CAP_LINE <= VDISK_MAX_NAME, "a name is shorter than its line");

/* Once all lines are read: the encoding may stand behind the extents. */
static int check_name(struct vmdk_descriptor *d, const struct vmdk_line *line,
		      struct vd_error *err)
{
	if (vmdk_text_begins(line->name, "\\\\.\\") || vmdk_text_begins(line->name, "/dev/"))
		return vd_fail(err, -EOPNOTSUPP,
			       "descriptor line %u: the extent is a device; attach that device itself",
			       line->number);
	if (name_has_backslash(d, line->name) || name_has_drive(line->name))
		return vd_fail(err, -EOPNOTSUPP,
			       "descriptor line %u: the extent's name is a Windows path; edit the line to name the file beside the descriptor",
			       line->number);
	return 0;
}

/* What follows TYPE: name, offset, and for partitions of devices two more. */
static int parse_extent_file(struct parser *p, struct vmdk_line *line, bool offset,
			     struct vmdk_text rest)
{
	struct vmdk_text word;

	if (line->kind == VDISK_SEG_ZERO) {
		if (rest.len)
			return extent_bad(p, -EUCLEAN, "a ZERO extent has no file, but", rest);
		return 0;
	}
	if (line->access == VMDK_NOACCESS && !rest.len)
		return 0;
	if (!vmdk_text_quoted(&rest, &line->name) || !line->name.len)
		return extent_bad(p, -EUCLEAN, "needs a file name in quotes, found", rest);
	if (!rest.len)
		return 0;
	word = vmdk_text_word(&rest);
	if (!offset || !vmdk_text_decimal(word, &line->offset))
		return extent_bad(p, -EUCLEAN, "unexpected behind the file name:", word);
	return rest.len ? extent_device(p) : 0;
}

static_assert(VMDK_CAP_LINES <= VDISK_MAX_SEGMENTS, "an extent has a line of its own");

static int add_line(struct parser *p, const struct vmdk_line *line)
{
	struct vmdk_descriptor *d = p->d;
	u32 more = d->max_lines ? d->max_lines * 2 : 8;
	struct vmdk_line *lines;

	if (d->nr_lines == d->max_lines) {
		lines = vd_zalloc(more * sizeof(*lines));
		if (!lines)
			return vd_fail(p->err, -ENOMEM, "out of memory");
		if (d->nr_lines)
			memcpy(lines, d->lines, d->nr_lines * sizeof(*lines));
		vd_free(d->lines);
		d->lines = lines;
		d->max_lines = more;
	}
	d->lines[d->nr_lines++] = *line;
	return 0;
}

static int parse_extent(struct parser *p, struct vmdk_text rest)
{
	struct vmdk_line line = { .number = p->number };
	struct vmdk_text word;
	u32 i;
	int ret;

	word = vmdk_text_word(&rest);
	if (!parse_access(word, &line.access))
		return extent_bad(p, -EOPNOTSUPP, "unknown access", word);
	word = vmdk_text_word(&rest);
	if (!vmdk_text_decimal(word, &line.sectors) || !line.sectors ||
	    line.sectors > VD_CAP_DISK_BYTES >> VD_SECTOR_SHIFT)
		return extent_bad(p, -EUCLEAN, "size must be 1 sector to 64 TiB, found", word);
	word = vmdk_text_word(&rest);
	for (i = 0; i < ARRAY_SIZE(extent_types); i++)
		if (vmdk_text_is(word, extent_types[i].name))
			break;
	if (i == ARRAY_SIZE(extent_types))
		return extent_bad(p, -EOPNOTSUPP, "unknown type", word);
	if (extent_types[i].kind == KIND_DEVICE)
		return extent_device(p);

	line.kind = extent_types[i].kind;
	ret = parse_extent_file(p, &line, extent_types[i].offset, rest);
	if (ret)
		return ret;
	if (line.offset > VD_CAP_FILE_BYTES >> VD_SECTOR_SHIFT)
		return vd_fail(p->err, -EUCLEAN, "descriptor line %u: offset %llu is past any file",
			       p->number, line.offset);
	return add_line(p, &line);
}

/*
 * An extent line, or one that looks as if it were: "RW", or a word and a
 * number.
 */
static bool looks_like_extent(struct vmdk_text line)
{
	struct vmdk_text rest = line;
	struct vmdk_text word = vmdk_text_word(&rest);
	enum vmdk_access access;
	u64 n;

	if (parse_access(word, &access))
		return true;
	return !vmdk_text_has(word, "=") && vmdk_text_decimal(vmdk_text_word(&rest), &n);
}

/* --- lines --- */

/* Without its end, and without what a reader does not see. */
static struct vmdk_text bare_line(struct vmdk_text line)
{
	if (line.len && line.s[line.len - 1] == '\r')
		line.len--;
	return vmdk_text_trim(line);
}

bool vmdk_descriptor_key(struct vmdk_text line, struct vmdk_text *key, struct vmdk_text *value)
{
	line = bare_line(line);
	return line.len && line.s[0] != '#' && !looks_like_extent(line) &&
	       split_key(line, key, value);
}

static int parse_line(struct parser *p, struct vmdk_text line)
{
	u32 i;

	p->number++;
	if (p->number > VMDK_CAP_LINES)
		return vd_fail(p->err, -EOPNOTSUPP, "descriptor has more than %u lines",
			       VMDK_CAP_LINES);
	if (line.len && line.s[line.len - 1] == '\r')
		line.len--;
	if (line.len > VMDK_CAP_LINE)
		return vd_fail(p->err, -EUCLEAN, "descriptor line %u is longer than %u bytes",
			       p->number, VMDK_CAP_LINE);
	for (i = 0; i < line.len; i++)
		if (((u8)line.s[i] < 0x20 && line.s[i] != '\t') || line.s[i] == 0x7f)
			return vd_fail(p->err, -EUCLEAN,
				       "descriptor line %u: control character 0x%02x: not a text",
				       p->number, (u8)line.s[i]);
	line = vmdk_text_trim(line);
	if (!line.len || line.s[0] == '#')
		return 0;
	if (looks_like_extent(line))
		return parse_extent(p, line);
	return parse_key(p, line);
}

/* A line, and what the next one may want to know of it. */
static int parse_next(struct parser *p, struct vmdk_text *rest)
{
	struct vmdk_text line = vmdk_text_line(rest);
	int ret;

	/* Unless it is the last, @rest has gone on past its end. */
	p->line = line;
	if (rest->s > line.s)
		p->line.len = (u32)(rest->s - line.s);
	ret = parse_line(p, line);
	line = vmdk_text_trim(line);
	p->note = (struct vmdk_text) { NULL, 0 };
	if (line.len && line.s[0] == '#')
		p->note = p->line;
	return ret;
}

bool vmdk_descriptor_signature(const char *text, size_t len)
{
	static const char wanted[] = "#diskdescriptorfile";
	struct vmdk_text rest = vmdk_text_begin(text, len);
	struct vmdk_text line = { NULL, 0 };
	u32 i, n = 0;

	while (rest.len && !line.len) {
		line = vmdk_text_line(&rest);
		if (line.len && line.s[line.len - 1] == '\r')
			line.len--;
		line = vmdk_text_trim(line);
	}
	if (vmdk_text_begins(line, "version")) {
		line.s += 7;
		line.len -= 7;
		line = vmdk_text_trim(line);
		return line.len && line.s[0] == '=';
	}
	for (i = 0; i < line.len && wanted[n]; i++) {
		struct vmdk_text c = { line.s + i, 1 };
		char want[2] = { wanted[n], '\0' };

		if (line.s[i] == ' ' || line.s[i] == '\t')
			continue;
		if (!vmdk_text_is(c, want))
			return false;
		n++;
	}
	return !wanted[n];
}

static int check_whole(struct vmdk_descriptor *d, struct vd_error *err)
{
	u32 i;
	int ret;

	if (d->have & VMDK_HAVE_VERSION && (!d->version || d->version > 3))
		return vd_fail(err, -EOPNOTSUPP, "descriptor: version is %u, legal is 1 to 3",
			       d->version);
	if (!(d->have & VMDK_HAVE_VERSION)) {
		d->version = 1;
		vmdk_descriptor_warn(d, "the descriptor has no version");
	}
	if (!d->nr_lines)
		return vd_fail(err, -EUCLEAN, "descriptor lists no extents: is it cut short?");
	for (i = 0; i < d->nr_lines; i++) {
		ret = check_name(d, &d->lines[i], err);
		if (ret)
			return ret;
	}
	return 0;
}

int vmdk_descriptor_parse(const char *text, size_t len, struct vmdk_descriptor *out,
			  struct vd_error *err)
{
	struct parser p = { .d = out, .err = err };
	struct vmdk_text rest;
	int ret;

	memset(out, 0, sizeof(*out));
	out->parent_cid = 0xffffffff;
	if (len > VMDK_CAP_DESCRIPTOR)
		return vd_fail(err, -EOPNOTSUPP, "descriptor of %llu bytes, legal is at most %u",
			       (u64)len, VMDK_CAP_DESCRIPTOR);
	rest = vmdk_text_begin(text, len);
	while (rest.len && rest.s[0]) {
		ret = parse_next(&p, &rest);
		if (ret)
			return ret;
	}
	return check_whole(out, err);
}

void vmdk_descriptor_free(struct vmdk_descriptor *d)
{
	vd_free(d->lines);
	d->lines = NULL;
}
