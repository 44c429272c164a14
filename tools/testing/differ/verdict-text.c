// SPDX-License-Identifier: GPL-2.0-only
/* Descriptors that we refuse and QEMU opens: is the line as we say? */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include "verdict.h"

/* A rule about the line that the sentence names. */
#define LINE_RULE(name, condition)						\
static bool name(const struct df_image *img, const char *text)			\
{										\
	char line[DF_LINE];							\
										\
	return df_said_line(img, text, line) && (condition);			\
}

/* A rule about an extent line and its words. */
#define WORD_RULE(name, nr, condition)						\
static bool name(const struct df_image *img, const char *text)			\
{										\
	char line[DF_LINE], w[4][40] = { "" };					\
										\
	return df_said_line(img, text, line) && df_words(line, w) >= (nr) && (condition); \
}

static bool has_control(const char *line)
{
	for (; *line; line++)
		if (((u8)*line < 0x20 && *line != '\t') || *line == 0x7f)
			return true;
	return false;
}

/* No "=", nothing in front of it, or more than a word. */
static bool no_key(const char *line)
{
	char key[DF_LINE], value[DF_LINE];

	return !df_key(line, key, value) || strpbrk(key, " \t\"");
}

static bool odd_quotes(const char *line)
{
	char key[DF_LINE], value[DF_LINE];
	size_t len;

	if (!df_key(line, key, value))
		return false;
	len = strlen(value);
	if (value[0] != '"')
		return strchr(value, '"');
	if (len < 2 || value[len - 1] != '"')
		return true;
	value[len - 1] = '\0';
	return strchr(value + 1, '"');
}

/* The word before @mark in the sentence. */
static bool said_key(const char *text, const char *mark, char *key)
{
	const char *end = strstr(text, mark), *from = end;

	while (end && from > text && from[-1] != ' ')
		from--;
	if (!end || end - from >= DF_LINE)
		return false;
	snprintf(key, DF_LINE, "%.*s", (int)(end - from), from);
	return true;
}

static bool hex(const char *s)
{
	size_t len = strlen(s);

	return len && len <= 8 && strspn(s, "0123456789abcdefABCDEF") == len;
}

static bool bad_value(const struct df_image *img, const char *text)
{
	char line[DF_LINE], want[DF_LINE], key[DF_LINE], value[DF_LINE], *v = value;
	u64 n;

	if (!df_said_line(img, text, line) || !said_key(text, " has the value", want) ||
	    !df_key(line, key, value) || strcasecmp(key, want))
		return false;
	if (v[0] == '"' && v[1]) {
		v[strlen(v) - 1] = '\0';
		v++;
	}
	return strcasecmp(key, "version") ? !hex(v) : !df_decimal(v, &n) || n > 0xffffffff;
}

/* Two lines with the key, and not with the same value. */
static bool twice(const struct df_image *img, const char *text)
{
	char line[DF_LINE], want[DF_LINE], key[DF_LINE], value[DF_LINE], first[DF_LINE] = "";
	struct df_text t;
	bool seen = false;

	if (!said_key(text, " is there twice", want) || !df_descriptor_of(img, text, &t))
		return false;
	while (df_next_line(&t, line)) {
		if (!df_key(line, key, value) || strcasecmp(key, want))
			continue;
		if (seen && strcmp(first, value))
			return true;
		memcpy(first, value, sizeof(first));
		seen = true;
	}
	return false;
}

static bool bad_size(const char *word)
{
	u64 n;

	return !df_decimal(word, &n) || !n || n > 1ULL << 37;
}

static bool bad_type(const char *word)
{
	static const char *const types[] = {
		"FLAT", "SPARSE", "ZERO", "VMFS", "VMFSSPARSE", "SESPARSE", "VMFSRDM", "VMFSRAW",
	};
	u32 i;

	for (i = 0; i < ARRAY_SIZE(types); i++)
		if (!strcasecmp(word, types[i]))
			return false;
	return true;
}

/* What follows the third word. */
static const char *after_type(const char *line)
{
	u32 i;

	for (i = 0; i < 3; i++) {
		line += strspn(line, " \t");
		line += strcspn(line, " \t");
	}
	return line + strspn(line, " \t");
}

/* "name", then nothing or a blank. */
static const char *after_name(const char *line)
{
	const char *p = after_type(line), *end;

	if (*p != '"' || p[1] == '"')
		return NULL;
	end = strchr(p + 1, '"');
	if (!end || (end[1] && !strchr(" \t", end[1])))
		return NULL;
	return end + 1 + strspn(end + 1, " \t");
}

/* Something that is no number, or a number where the type has no place for one. */
static bool odd_behind(const char *line, const char *type)
{
	const char *p = after_name(line);
	char word[40] = "";
	u64 n;

	if (!p || !*p)
		return false;
	snprintf(word, sizeof(word), "%.*s", (int)min(strcspn(p, " \t"), (size_t)39), p);
	return (strcasecmp(type, "FLAT") && strcasecmp(type, "VMFS")) || !df_decimal(word, &n);
}

/* Five words and more behind the type: a partition of a device. */
static bool is_device(const char *line, const char *type)
{
	const char *p = after_name(line);

	return !strncasecmp(type, "VMFSR", 5) || !strncasecmp(after_type(line), "\"/dev/", 6) ||
	       !strncmp(after_type(line), "\"\\\\.\\", 5) ||
	       (p && p[strcspn(p, " \t")]);
}

static bool is_windows(const char *line)
{
	const char *p = after_type(line);

	return strchr(p, '\\') || (*p == '"' && p[1] && p[2] == ':');
}

/* Has a descriptor of the image @key with such a value? */
static bool any_value(const struct df_image *img, const char *key, bool (*is)(const char *value))
{
	char value[DF_LINE];
	u32 i;

	for (i = 0; i < img->view.nr; i++)
		if (df_value_in(img, i, key, value) && is(value))
			return true;
	return false;
}

static bool is_odd_version(const char *value)
{
	u64 n;

	return !df_decimal(value, &n) || !n || n > 3;
}

static bool version_odd(const struct df_image *img, const char *text)
{
	return any_value(img, "version", is_odd_version);
}

/* In any of the descriptors: the sentence does not always say which. */
static u32 extents(const struct df_image *img, const char *text)
{
	char line[DF_LINE];
	struct df_text t;
	u32 nr = 0;

	if (!df_descriptor_of(img, text, &t))
		return 0;
	while (df_next_line(&t, line))
		nr += df_is_extent(line);
	return nr;
}

static bool no_extents(const struct df_image *img, const char *text)
{
	return !extents(img, text);
}

/* The extents of a sparse file: the first is the file itself. */
static bool first_not_sparse(const struct df_image *img, const char *text)
{
	char line[DF_LINE], w[4][40];
	struct df_text t;

	if (!df_descriptor_of(img, text, &t))
		return false;
	while (df_next_line(&t, line))
		if (df_is_extent(line))
			return df_words(line, w) >= 3 && strcasecmp(w[2], "SPARSE");
	return false;
}

static bool is_not_no(const char *value)
{
	return strcasecmp(value, "no");
}

static bool native(const struct df_image *img, const char *text)
{
	return any_value(img, "isNativeSnapshot", is_not_no);
}

static bool hint_alone(const struct df_image *img, const char *text)
{
	char value[DF_LINE];
	u32 i;

	for (i = 0; i < img->view.nr; i++)
		if (df_value_in(img, i, "parentFileNameHint", value) &&
		    (!df_value_in(img, i, "parentCID", value) || !strcasecmp(value, "ffffffff")))
			return true;
	return false;
}

static bool is_odd_sector(const char *value)
{
	u64 n;

	return df_decimal(value, &n) && n != 512 && n != 4096;
}

static bool sector_size(const struct df_image *img, const char *text)
{
	return any_value(img, "ddb.logicalSectorSize", is_odd_sector);
}

static bool is_device_type(const char *value)
{
	static const char *const types[] = {
		"fullDevice", "partitionedDevice", "vmfsRDM", "vmfsRawDeviceMap", "vmfsRDMP",
		"vmfsPassthroughRawDeviceMap", "vmfsRaw",
	};
	u32 i;

	for (i = 0; i < ARRAY_SIZE(types); i++)
		if (!strcasecmp(value, types[i]))
			return true;
	return false;
}

static bool device_type(const struct df_image *img, const char *text)
{
	return any_value(img, "createType", is_device_type);
}

static bool key_encrypts(const struct df_image *img, const char *text)
{
	char line[DF_LINE], key[DF_LINE], value[DF_LINE];
	struct df_text t;

	if (!df_descriptor_of(img, text, &t))
		return false;
	while (df_next_line(&t, line))
		if (df_key(line, key, value) &&
		    (!strncasecmp(key, "encryption", 10) || !strcasecmp(key, "keyID") ||
		     !strncasecmp(key, "ddb.encryption", 14)))
			return true;
	return false;
}

/* A sparse file of version 2 whose descriptor is no text, judged by its first sector. */
static bool noise(const struct df_image *img, const char *text)
{
	struct dm_seg seg = { 0 };
	u64 i, at, odd = 0;

	if (dm_number(img, 0, 4, 4) != 2 || !dm_hosted(img, 0, &seg))
		return false;
	at = seg.desc * DF_SECTOR;
	for (i = 0; i < DF_SECTOR; i++) {
		u64 c = dm_number(img, 0, at + i, 1);

		odd += c >= 0x80 || (c && c < 0x20 && c != '\n' && c != '\r' && c != '\t');
	}
	return odd > DF_SECTOR / 4;
}

/* No magic, and no signature in the first line that is not empty. */
static bool no_signature(const struct df_image *img, const char *text)
{
	char line[DF_LINE] = "";
	struct df_text t;

	if (!df_descriptor_of(img, text, &t))
		return true;
	while (!line[0] && df_next_line(&t, line))
		;
	return !df_signature(line);
}

LINE_RULE(control, has_control(line))
LINE_RULE(neither, no_key(line))
LINE_RULE(quotes, odd_quotes(line))
LINE_RULE(too_long, strlen(line) == DF_LINE - 1)
LINE_RULE(windows, is_windows(line))
WORD_RULE(size, 2, bad_size(w[1]))
WORD_RULE(no_size, 1, !w[1][0])
WORD_RULE(type, 3, bad_type(w[2]))
WORD_RULE(no_type, 2, !w[2][0])
WORD_RULE(access, 2, !df_is_extent(line))
WORD_RULE(name, 3, !after_name(line))
WORD_RULE(behind, 3, odd_behind(line, w[2]))
WORD_RULE(offset, 3, after_name(line) && df_decimal(after_name(line), &(u64) { 0 }) &&
	  strtoull(after_name(line), NULL, 10) > 1ULL << 53)
WORD_RULE(zero_file, 4, !strcasecmp(w[2], "ZERO"))
WORD_RULE(device, 3, is_device(line, w[2]))

const struct df_rule df_text_rules[] = {
	{ "control character", control, "a control character in a descriptor: it is no text, or its line ends are damaged" },
	{ "is neither an extent nor a key", neither, "a line that is neither comment nor extent nor \"key = value\": passing over it could pass over an extent" },
	{ "quotes do not match", quotes, "quotes that do not match" },
	{ "is longer than", too_long, "a line longer than any writer's" },
	{ "is there twice", twice, "a key twice with different values: readers differ in which one they believe" },
	{ "has the value", bad_value, "a CID or version that is no such number" },
	{ "size must be", size, "an extent's size is no number from 1 to 2^37" },
	{ "size must be", no_size, "an extent without a size" },
	{ "unknown type", type, "an extent of an unknown type: without it all that follows would move" },
	{ "unknown type", no_type, "an extent without a type" },
	{ "unknown access", access, "a word and a number as in an extent, but an unknown access" },
	{ "needs a file name", name, "an extent without a file name in quotes" },
	{ "unexpected behind the file name", behind, "something behind an extent's file name that is no offset" },
	{ "is past any file", offset, "an offset of more sectors than a file can have" },
	{ "a ZERO extent has no file", zero_file, "a ZERO extent with a file" },
	{ "is a device", device, "an extent that is a device of the host" },
	{ "Windows path", windows, "an extent named by a Windows path" },
	{ "stands for a device", device_type, "a disk that is a device of the host" },
	{ "descriptor: version is", version_odd, "a descriptor version that does not exist" },
	{ "lists no extents", no_extents, "a descriptor without extents" },
	{ "the first extent is not SPARSE", first_not_sparse, "a descriptor inside a sparse file whose first extent is not that file" },
	{ "native snapshot", native, "a storage array's snapshot: its data is not in these files" },
	{ "parentFileNameHint without", hint_alone, "the name of a parent without its CID" },
	{ "ddb.logicalSectorSize", sector_size, "a sector size that no disk has" },
	{ "encrypted by VMware", key_encrypts, "encrypted: read as it stands it is noise, and a write destroys it" },
	{ "encrypted by VMware", noise, "a header of version 2 and no text in the descriptor: the mark of full encryption" },
	{ "neither a sparse extent nor", no_signature, "a text without the signature of a descriptor" },
	{ NULL, NULL, NULL },
};
