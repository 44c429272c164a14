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

static const struct fz_part hosted_header[] = {
	{ 0, 4, FZ_MAGIC }, { 4, 4, FZ_VERSION }, { 8, 4, FZ_FLAGS }, { 12, 8, FZ_COUNT },
	{ 20, 8, FZ_COUNT }, { 28, 8, FZ_SECTOR }, { 36, 8, FZ_COUNT }, { 44, 4, FZ_COUNT },
	{ 48, 8, FZ_SECTOR }, { 56, 8, FZ_SECTOR }, { 64, 8, FZ_SECTOR }, { 72, 1, FZ_FLAGS },
	{ 73, 4, FZ_MAGIC }, { 77, 2, FZ_VERSION },
};

static const struct fz_part cowd_header[] = {
	{ 0, 4, FZ_MAGIC }, { 4, 4, FZ_VERSION }, { 8, 4, FZ_FLAGS }, { 12, 4, FZ_COUNT },
	{ 16, 4, FZ_COUNT }, { 20, 4, FZ_SECTOR }, { 24, 4, FZ_COUNT }, { 28, 4, FZ_SECTOR },
	{ 1648, 4, FZ_FLAGS },
};

/* Then eight pairs of a place and a size. */
static const struct fz_part sesparse_header[] = {
	{ 0, 8, FZ_MAGIC }, { 8, 8, FZ_VERSION }, { 16, 8, FZ_COUNT }, { 24, 8, FZ_COUNT },
	{ 32, 8, FZ_COUNT }, { 40, 8, FZ_FLAGS }, { 48, 8, FZ_FLAGS },
};

static const struct fz_part sesparse_volatile[] = {
	{ 0, 8, FZ_MAGIC }, { 8, 8, FZ_COUNT }, { 16, 8, FZ_COUNT }, { 24, 8, FZ_FLAGS },
};

/* Value, size, and of metadata the type. */
static const struct fz_part marker[] = {
	{ 0, 8, FZ_SECTOR }, { 8, 4, FZ_SIZE }, { 12, 4, FZ_VERSION },
};

static bool is_zero(u64 entry)
{
	return !entry;
}

/* Past any file rather than wrapped around. */
static u64 bytes(u64 sectors)
{
	return sectors > AT_END / SECTOR ? AT_END : sectors * SECTOR;
}

/* What a table's entry leads to in a compressed extent. */
static void list_packed(const struct fz_walk *w, u64 pos, u32 flags)
{
	u64 skip = flags & F_MARKERS ? 12 : 4;

	if (flags & F_MARKERS)
		fz_put_parts(w, pos, marker, 2);
	else
		fz_put(w, pos, 4, FZ_SIZE);
	fz_put_bytes(w, pos + skip, fz_number(w, pos + skip - 4, 4), FZ_PACKED);
}

static void list_hosted_table(const struct fz_walk *w, u64 pos, u32 flags)
{
	u32 i, entry;

	if (flags & F_MARKERS && pos >= SECTOR)
		fz_put_parts(w, pos - SECTOR, marker, ARRAY_SIZE(marker));
	for (i = 0; i < 512 && w->sink->left; i++) {
		entry = (u32)fz_put_entry(w, pos + i * 4, 4, is_zero);
		if (flags & F_COMPRESSED && entry > 1)
			list_packed(w, bytes(entry), flags);
	}
}

static void list_hosted_dir(const struct fz_walk *w, u64 pos, u64 tables, u32 flags)
{
	u64 i, entry;

	if (flags & F_MARKERS && pos >= SECTOR)
		fz_put_parts(w, pos - SECTOR, marker, ARRAY_SIZE(marker));
	tables = min(tables, (u64)MAX_ENTRIES);
	for (i = 0; i < tables && w->sink->left && pos < w->v->file[w->file].len; i++) {
		fz_put(w, pos + i * 4, 4, FZ_SECTOR);
		entry = fz_number(w, pos + i * 4, 4);
		if (entry)
			list_hosted_table(w, bytes(entry), flags);
	}
}

static void list_hosted_tables(const struct fz_walk *w, u64 header)
{
	u32 flags = (u32)fz_number(w, header + 8, 4);
	u64 capacity = fz_number(w, header + 12, 8), grain = fz_number(w, header + 20, 8);
	u64 span = grain && grain < 1ULL << 40 ? grain * 512 : 512;
	u64 tables = capacity / span + !!(capacity % span);

	list_hosted_dir(w, bytes(fz_number(w, header + 56, 8)), tables, flags);
	if (flags & F_REDUNDANT)
		list_hosted_dir(w, bytes(fz_number(w, header + 48, 8)), tables, flags);
}

/* The footer is a header too, between two markers. */
static void list_hosted(const struct fz_walk *w)
{
	u64 end = w->v->file[w->file].len & ~(SECTOR - 1), header = 0;

	fz_put_parts(w, 0, hosted_header, ARRAY_SIZE(hosted_header));
	if (fz_number(w, 36, 8))
		fz_put_text(w, bytes(fz_number(w, 28, 8)), bytes(fz_number(w, 36, 8)));
	if (fz_number(w, 56, 8) == AT_END && end >= 4 * SECTOR) {
		header = end - 2 * SECTOR;
		fz_put_parts(w, header - SECTOR, marker, ARRAY_SIZE(marker));
		fz_put_parts(w, header, hosted_header, ARRAY_SIZE(hosted_header));
		fz_put_parts(w, header + SECTOR, marker, ARRAY_SIZE(marker));
	}
	list_hosted_tables(w, header);
}

static void list_cowd(const struct fz_walk *w)
{
	u64 dir = bytes(fz_number(w, 20, 4)), i, at;
	u64 nr = min(fz_number(w, 24, 4), (u64)MAX_ENTRIES);
	u32 j;

	fz_put_parts(w, 0, cowd_header, ARRAY_SIZE(cowd_header));
	for (i = 0; i < nr && w->sink->left && dir < w->v->file[w->file].len; i++) {
		fz_put(w, dir + i * 4, 4, FZ_SECTOR);
		at = bytes(fz_number(w, dir + i * 4, 4));
		for (j = 0; at && j < 4096 && w->sink->left; j++)
			fz_put_entry(w, at + j * 4, 4, is_zero);
	}
}

static void list_sesparse(const struct fz_walk *w)
{
	u64 dir = bytes(fz_number(w, 128, 8)), gts = bytes(fz_number(w, 144, 8)), gde, at;
	u64 nr = min(fz_number(w, 136, 8), (u64)MAX_ENTRIES / 64) * 64, i;
	u32 j;

	fz_put_parts(w, 0, sesparse_header, ARRAY_SIZE(sesparse_header));
	for (i = 80; i < 208; i += 16) {
		fz_put(w, i, 8, FZ_SECTOR);
		fz_put(w, i + 8, 8, FZ_COUNT);
	}
	fz_put_parts(w, bytes(fz_number(w, 80, 8)), sesparse_volatile,
		     ARRAY_SIZE(sesparse_volatile));
	for (i = 0; i < nr && w->sink->left && dir < w->v->file[w->file].len; i++) {
		gde = fz_number(w, dir + i * 8, 8);
		if (gde || i < 2)
			fz_put(w, dir + i * 8, 8, FZ_SECTOR);
		at = gts + (gde & 0xffffffff) * 64 * SECTOR;
		for (j = 0; gde && at >= gts && j < 4096 && w->sink->left; j++)
			fz_put_entry(w, at + j * 8, 8, is_zero);
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

bool fz_vmdk_list(const struct fz_walk *w)
{
	u32 magic = (u32)fz_number(w, 0, 4);

	if (magic == HOSTED || magic == UNFINISHED)
		list_hosted(w);
	else if (magic == COWD)
		list_cowd(w);
	else if (fz_number(w, 0, 8) == SESPARSE)
		list_sesparse(w);
	else if (is_text(&w->v->file[w->file]))
		fz_put_text(w, 0, w->v->file[w->file].len);
	else
		return false;
	return true;
}
