// SPDX-License-Identifier: GPL-2.0-only
/* The fields of VMDK: hosted sparse with footer and markers, COWD, SESparse, text. */
#include "fields.h"

#define SECTOR		512ULL
#define HOSTED		0x564d444bU
#define UNFINISHED	0x766d646bU
#define COWD		0x44574f43U
#define SESPARSE	0xcafebabeULL
#define AT_END		0xffffffffffffffffULL

#define F_REDUNDANT	2U
#define F_COMPRESSED	0x10000U
#define F_MARKERS	0x20000U

#define MAX_ENTRIES	8192U	/* of one table or directory that are told */

struct part {
	u16 off;
	u8 width;
	u8 kind;
};

static const struct part hosted_header[] = {
	{ 0, 4, FZ_MAGIC }, { 4, 4, FZ_VERSION }, { 8, 4, FZ_FLAGS }, { 12, 8, FZ_COUNT },
	{ 20, 8, FZ_COUNT }, { 28, 8, FZ_SECTOR }, { 36, 8, FZ_COUNT }, { 44, 4, FZ_COUNT },
	{ 48, 8, FZ_SECTOR }, { 56, 8, FZ_SECTOR }, { 64, 8, FZ_SECTOR }, { 72, 1, FZ_FLAGS },
	{ 73, 4, FZ_MAGIC }, { 77, 2, FZ_VERSION },
};

static const struct part cowd_header[] = {
	{ 0, 4, FZ_MAGIC }, { 4, 4, FZ_VERSION }, { 8, 4, FZ_FLAGS }, { 12, 4, FZ_COUNT },
	{ 16, 4, FZ_COUNT }, { 20, 4, FZ_SECTOR }, { 24, 4, FZ_COUNT }, { 28, 4, FZ_SECTOR },
	{ 1648, 4, FZ_FLAGS },
};

/* Then eight pairs of a place and a size. */
static const struct part sesparse_header[] = {
	{ 0, 8, FZ_MAGIC }, { 8, 8, FZ_VERSION }, { 16, 8, FZ_COUNT }, { 24, 8, FZ_COUNT },
	{ 32, 8, FZ_COUNT }, { 40, 8, FZ_FLAGS }, { 48, 8, FZ_FLAGS },
};

static const struct part sesparse_volatile[] = {
	{ 0, 8, FZ_MAGIC }, { 8, 8, FZ_COUNT }, { 16, 8, FZ_COUNT }, { 24, 8, FZ_FLAGS },
};

/* Value, size, and of metadata the type. */
static const struct part marker[] = {
	{ 0, 8, FZ_SECTOR }, { 8, 4, FZ_SIZE }, { 12, 4, FZ_VERSION },
};

/* One file that is being listed. */
struct walk {
	const struct fz_view *v;
	struct fz_sink *sink;
	u32 file;
};

static void put(const struct walk *w, u64 pos, u8 width, enum fz_kind kind)
{
	fz_put(w->v, w->sink, (struct fz_field) {
		.file = w->file, .pos = pos, .width = width, .kind = (u8)kind });
}

static void put_bytes(const struct walk *w, u64 pos, u64 len, enum fz_kind kind)
{
	u64 end = w->v->file[w->file].len;

	if (pos < end)
		fz_put(w->v, w->sink, (struct fz_field) {
			.file = w->file, .pos = pos, .len = (u32)min(len, end - pos),
			.kind = (u8)kind });
}

static void put_parts(const struct walk *w, u64 base, const struct part *parts, u32 nr)
{
	u32 i;

	for (i = 0; i < nr; i++)
		put(w, base + parts[i].off, parts[i].width, (enum fz_kind)parts[i].kind);
}

static u64 number(const struct walk *w, u64 pos, u8 width)
{
	struct fz_field f = { .file = w->file, .pos = pos, .width = width };

	return fz_get(w->v, &f);
}

/* Past any file rather than wrapped around. */
static u64 bytes(u64 sectors)
{
	return sectors > AT_END / SECTOR ? AT_END : sectors * SECTOR;
}

/* Up to its NUL or the end of its area. */
static void put_text(const struct walk *w, u64 pos, u64 room)
{
	const struct fz_view_file *f = &w->v->file[w->file];
	u64 len = 0;

	if (pos >= f->len)
		return;
	room = min(room, f->len - pos);
	while (len < room && f->data[pos + len])
		len++;
	if (len)
		put_bytes(w, pos, len, FZ_TEXT);
}

/* What a table's entry leads to in a compressed extent. */
static void list_packed(const struct walk *w, u64 pos, u32 flags)
{
	u64 skip = flags & F_MARKERS ? 12 : 4;

	if (flags & F_MARKERS)
		put_parts(w, pos, marker, 2);
	else
		put(w, pos, 4, FZ_SIZE);
	put_bytes(w, pos + skip, number(w, pos + skip - 4, 4), FZ_PACKED);
}

static void list_hosted_table(const struct walk *w, u64 pos, u32 flags)
{
	u32 i, entry;

	if (flags & F_MARKERS && pos >= SECTOR)
		put_parts(w, pos - SECTOR, marker, ARRAY_SIZE(marker));
	for (i = 0; i < 512 && w->sink->left; i++) {
		put(w, pos + i * 4, 4, FZ_ENTRY);
		entry = (u32)number(w, pos + i * 4, 4);
		if (flags & F_COMPRESSED && entry > 1)
			list_packed(w, bytes(entry), flags);
	}
}

static void list_hosted_dir(const struct walk *w, u64 pos, u64 tables, u32 flags)
{
	u64 i, entry;

	if (flags & F_MARKERS && pos >= SECTOR)
		put_parts(w, pos - SECTOR, marker, ARRAY_SIZE(marker));
	tables = min(tables, (u64)MAX_ENTRIES);
	for (i = 0; i < tables && w->sink->left && pos < w->v->file[w->file].len; i++) {
		put(w, pos + i * 4, 4, FZ_SECTOR);
		entry = number(w, pos + i * 4, 4);
		if (entry)
			list_hosted_table(w, bytes(entry), flags);
	}
}

static void list_hosted_tables(const struct walk *w, u64 header)
{
	u32 flags = (u32)number(w, header + 8, 4);
	u64 capacity = number(w, header + 12, 8), grain = number(w, header + 20, 8);
	u64 span = grain && grain < 1ULL << 40 ? grain * 512 : 512;
	u64 tables = capacity / span + !!(capacity % span);

	list_hosted_dir(w, bytes(number(w, header + 56, 8)), tables, flags);
	if (flags & F_REDUNDANT)
		list_hosted_dir(w, bytes(number(w, header + 48, 8)), tables, flags);
}

/* The footer is a header too, between two markers. */
static void list_hosted(const struct walk *w)
{
	u64 end = w->v->file[w->file].len & ~(SECTOR - 1), header = 0;

	put_parts(w, 0, hosted_header, ARRAY_SIZE(hosted_header));
	if (number(w, 36, 8))
		put_text(w, bytes(number(w, 28, 8)), bytes(number(w, 36, 8)));
	if (number(w, 56, 8) == AT_END && end >= 4 * SECTOR) {
		header = end - 2 * SECTOR;
		put_parts(w, header - SECTOR, marker, ARRAY_SIZE(marker));
		put_parts(w, header, hosted_header, ARRAY_SIZE(hosted_header));
		put_parts(w, header + SECTOR, marker, ARRAY_SIZE(marker));
	}
	list_hosted_tables(w, header);
}

static void list_cowd(const struct walk *w)
{
	u64 dir = bytes(number(w, 20, 4)), nr = min(number(w, 24, 4), (u64)MAX_ENTRIES), i, at;
	u32 j;

	put_parts(w, 0, cowd_header, ARRAY_SIZE(cowd_header));
	for (i = 0; i < nr && w->sink->left && dir < w->v->file[w->file].len; i++) {
		put(w, dir + i * 4, 4, FZ_SECTOR);
		at = bytes(number(w, dir + i * 4, 4));
		for (j = 0; at && j < 4096 && w->sink->left; j++)
			put(w, at + j * 4, 4, FZ_ENTRY);
	}
}

static void list_sesparse(const struct walk *w)
{
	u64 dir = bytes(number(w, 128, 8)), gts = bytes(number(w, 144, 8)), gde, at;
	u64 nr = min(number(w, 136, 8), (u64)MAX_ENTRIES / 64) * 64, i;
	u32 j;

	put_parts(w, 0, sesparse_header, ARRAY_SIZE(sesparse_header));
	for (i = 80; i < 208; i += 16) {
		put(w, i, 8, FZ_SECTOR);
		put(w, i + 8, 8, FZ_COUNT);
	}
	put_parts(w, bytes(number(w, 80, 8)), sesparse_volatile, ARRAY_SIZE(sesparse_volatile));
	for (i = 0; i < nr && w->sink->left && dir < w->v->file[w->file].len; i++) {
		gde = number(w, dir + i * 8, 8);
		if (gde || i < 2)
			put(w, dir + i * 8, 8, FZ_SECTOR);
		at = gts + (gde & 0xffffffff) * 64 * SECTOR;
		for (j = 0; gde && at >= gts && j < 4096 && w->sink->left; j++)
			put(w, at + j * 8, 8, FZ_ENTRY);
	}
}

/* A text that could be a descriptor: it says so within its first lines. */
static bool is_text(const struct fz_view_file *f)
{
	u64 i, len = min(f->len, (u64)256);

	for (i = 0; i + 10 <= len && f->data[i]; i++)
		if (!memcmp(f->data + i, "Descriptor", 10) || !memcmp(f->data + i, "version=", 8))
			return true;
	return false;
}

static bool list_file(const struct walk *w)
{
	u32 magic = (u32)number(w, 0, 4);

	if (magic == HOSTED || magic == UNFINISHED)
		list_hosted(w);
	else if (magic == COWD)
		list_cowd(w);
	else if (number(w, 0, 8) == SESPARSE)
		list_sesparse(w);
	else if (is_text(&w->v->file[w->file]))
		put_text(w, 0, w->v->file[w->file].len);
	else
		return false;
	return true;
}

bool fz_vmdk_list(const struct fz_view *v, struct fz_sink *sink)
{
	struct walk w = { .v = v, .sink = sink };
	bool any = false;

	for (w.file = 0; w.file < v->nr; w.file++)
		any |= list_file(&w);
	return any;
}
