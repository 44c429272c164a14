// SPDX-License-Identifier: GPL-2.0-only
/* Headers that we refuse and QEMU opens: is the field as we say? */
#include <stdio.h>
#include "verdict.h"

#define HOSTED		0x564d444bU
#define COMPRESSED	(1U << 16)

/* One header of a file: the one in front, or the footer. */
struct head {
	const struct df_image *img;
	u32 file;
	u64 at;
};

static u64 field(const struct head *h, u64 off, u32 width)
{
	return dm_number(h->img, h->file, h->at + off, width);
}

static u64 file_len(const struct head *h)
{
	return h->img->view.file[h->file].len;
}

/* Is there a hosted header of which @is is true? */
static bool any_hosted(const struct df_image *img, bool (*is)(const struct head *h))
{
	struct head h = { .img = img };
	u64 end;

	for (h.file = 0; h.file < img->view.nr; h.file++) {
		h.at = 0;
		if (field(&h, 0, 4) != HOSTED)
			continue;
		if (is(&h))
			return true;
		end = file_len(&h) & ~(DF_SECTOR - 1);
		if (field(&h, 56, 8) != ~0ULL || end < 4 * DF_SECTOR)
			continue;
		h.at = end - 2 * DF_SECTOR;
		if (is(&h))
			return true;
	}
	return false;
}

#define HOSTED_RULE(name, condition)						\
static bool is_##name(const struct head *h) { return (condition); }		\
static bool name(const struct df_image *img, const char *text)			\
{										\
	return any_hosted(img, is_##name);					\
}

static bool power_of_2(u64 n)
{
	return n && !(n & (n - 1));
}

static u64 tables(const struct head *h)
{
	u64 grain = field(h, 20, 8), span = grain * 512, capacity = field(h, 12, 8);

	return span ? capacity / span + !!(capacity % span) : 0;
}

/* A directory: not in sector 0, all of it in the file. */
static bool dir_bad(const struct head *h, u64 off)
{
	u64 sector = field(h, off, 8);

	return !sector || sector > file_len(h) / DF_SECTOR ||
	       sector * DF_SECTOR + tables(h) * 4 > file_len(h);
}

static bool descriptor_bad(const struct head *h)
{
	u64 at = field(h, 28, 8), len = field(h, 36, 8);

	return at && len && (at > file_len(h) / DF_SECTOR ||
			     (at + len) * DF_SECTOR > file_len(h));
}

/* Do two of header, descriptor and directories lie on one another? */
static bool overlap(const struct head *h)
{
	u64 dir = (tables(h) * 4 + DF_SECTOR - 1) / DF_SECTOR;
	struct head front = { h->img, h->file, 0 };
	const u64 at[] = { 0, field(&front, 28, 8), field(h, 56, 8), field(h, 48, 8) };
	const u64 len[] = { 1, at[1] ? field(&front, 36, 8) : 0, dir,
			    field(h, 8, 4) & 2 ? dir : 0 };
	u32 i, j;

	for (i = 0; i < 4; i++)
		for (j = 0; j < i; j++)
			if (len[i] && len[j] && at[i] < at[j] + len[j] && at[j] < at[i] + len[i])
				return true;
	return false;
}

static bool footer_differs(const struct head *h)
{
	struct head front = { h->img, h->file, 0 };

	return h->at && (field(h, 4, 4) != field(&front, 4, 4) ||
			 field(h, 8, 4) != field(&front, 8, 4) ||
			 field(h, 20, 8) != field(&front, 20, 8) ||
			 field(h, 77, 2) != field(&front, 77, 2));
}

/* Value, size and type of a marker; anything else there is no marker. */
static bool no_marker(const struct head *h, u64 off, u64 value, u64 type)
{
	return h->at && (field(h, off, 8) != value || field(h, off + 8, 4) ||
			 field(h, off + 12, 4) != type);
}

HOSTED_RULE(newline, field(h, 8, 4) & 1 && field(h, 73, 4) != 0x0a0d200a)
HOSTED_RULE(algorithm, field(h, 77, 2) > 1)
HOSTED_RULE(high_flags, field(h, 8, 4) & 0xfffc0000)
HOSTED_RULE(contradiction, !(field(h, 8, 4) & COMPRESSED) != !field(h, 77, 2))
HOSTED_RULE(markers, (field(h, 8, 4) >> 16 & 3) == 2)
HOSTED_RULE(version, !field(h, 4, 4) || field(h, 4, 4) > 3)
HOSTED_RULE(grain, !power_of_2(field(h, 20, 8)) || field(h, 20, 8) > 2048)
HOSTED_RULE(gtes, field(h, 44, 4) != 512)
HOSTED_RULE(descriptor_size, field(h, 36, 8) > 20480)
HOSTED_RULE(descriptor_long, field(h, 36, 8) > 2048)
HOSTED_RULE(descriptor_place, descriptor_bad(h))
HOSTED_RULE(no_descriptor, !field(h, 28, 8) || !field(h, 36, 8))
HOSTED_RULE(directory, dir_bad(h, 56))
HOSTED_RULE(redundant, field(h, 8, 4) & 2 && dir_bad(h, 48))
HOSTED_RULE(overlaps, overlap(h))
HOSTED_RULE(no_capacity, !field(h, 12, 8))
HOSTED_RULE(capacity, field(h, 12, 8) > 1ULL << 37)
HOSTED_RULE(many_tables, tables(h) > 1U << 20)
HOSTED_RULE(over_head, field(h, 64, 8) > (file_len(h) + 511) / DF_SECTOR)
HOSTED_RULE(footer, footer_differs(h))
HOSTED_RULE(footer_marker, no_marker(h, -DF_SECTOR, 1, 3))
HOSTED_RULE(end_marker, no_marker(h, DF_SECTOR, 0, 0))
HOSTED_RULE(footer_magic, h->at ? field(h, 0, 4) != HOSTED : false)

/* --- ESX --- */

static bool any_cowd(const struct df_image *img, bool (*is)(const struct head *h))
{
	struct head h = { .img = img };

	for (h.file = 0; h.file < img->view.nr; h.file++)
		if (field(&h, 0, 4) == 0x44574f43 && is(&h))
			return true;
	return false;
}

#define COWD_RULE(name, condition)						\
static bool is_##name(const struct head *h) { return (condition); }		\
static bool name(const struct df_image *img, const char *text)			\
{										\
	return any_cowd(img, is_##name);					\
}

static u64 cowd_tables(const struct head *h)
{
	u64 span = field(h, 16, 4) * 4096;

	return span ? (field(h, 12, 4) + span - 1) / span : 0;
}

COWD_RULE(cowd_version, field(h, 4, 4) != 1)
COWD_RULE(cowd_flags, field(h, 8, 4) > 3)
COWD_RULE(cowd_empty, !field(h, 12, 4))
COWD_RULE(cowd_grain, !power_of_2(field(h, 16, 4)) || field(h, 16, 4) > 2048)
COWD_RULE(cowd_dir, field(h, 20, 4) < 4)
COWD_RULE(cowd_entries, field(h, 24, 4) < cowd_tables(h) || field(h, 24, 4) > 1U << 20)
COWD_RULE(cowd_dir_end, field(h, 20, 4) * DF_SECTOR + field(h, 24, 4) * 4 > file_len(h))
COWD_RULE(cowd_short, file_len(h) < 2048)

static bool any_sesparse(const struct df_image *img, bool (*is)(const struct head *h))
{
	struct head h = { .img = img };

	for (h.file = 0; h.file < img->view.nr; h.file++)
		if (field(&h, 0, 8) == 0xcafebabe && is(&h))
			return true;
	return false;
}

#define SE_RULE(name, condition)						\
static bool is_##name(const struct head *h) { return (condition); }		\
static bool name(const struct df_image *img, const char *text)			\
{										\
	return any_sesparse(img, is_##name);					\
}

/* Area @i: a place and a size; @grains: it may end past the file. */
static bool area_bad(const struct head *h, u32 i)
{
	u64 at = field(h, 80 + i * 16, 8), len = field(h, 88 + i * 16, 8);
	u64 end = file_len(h) / DF_SECTOR, last = i == 7 ? 1ULL << 53 : end;

	return !at || at > last || len > last - at || (i == 7 && at % 8);
}

static bool any_area_bad(const struct head *h)
{
	u32 i;

	for (i = 0; i < 8; i++)
		if (area_bad(h, i))
			return true;
	return false;
}

static bool areas_overlap(const struct head *h)
{
	u32 i, j;

	for (i = 0; i < 8; i++)
		for (j = 0; j < i; j++) {
			u64 a = field(h, 80 + i * 16, 8), al = field(h, 88 + i * 16, 8);
			u64 b = field(h, 80 + j * 16, 8), bl = field(h, 88 + j * 16, 8);

			if (al && bl && a < b + bl && b < a + al)
				return true;
		}
	return false;
}

SE_RULE(se_area, any_area_bad(h))
SE_RULE(se_overlap, areas_overlap(h))
SE_RULE(se_reserved, field(h, 40, 8) || field(h, 48, 8) || field(h, 56, 8) || field(h, 64, 8) ||
	field(h, 72, 8))
SE_RULE(se_capacity, !field(h, 16, 8) || field(h, 16, 8) > 1ULL << 37)
SE_RULE(se_dir, field(h, 136, 8) * 64 < (field(h, 16, 8) + 32767) / 32768)
SE_RULE(se_magic, dm_number(h->img, h->file, field(h, 80, 8) * DF_SECTOR, 8) != 0xcafecafe)

/* --- a line and the header it leads to --- */

/* The model gives an extent its line's length, and knows its header's. */
static bool line_beyond_header(const struct df_image *img, const char *text)
{
	static struct dm_model m;
	u32 i, d;

	dm_open(&m, img, 0);
	for (d = 0; d < m.nr; d++)
		for (i = 0; i < m.images[d].nr; i++)
			if (m.images[d].segs[i].capacity &&
			    m.images[d].segs[i].capacity < m.images[d].segs[i].len)
				return true;
	return false;
}

const struct df_rule df_header_rules[] = {
	{ "line ends at byte", newline, "the newline bytes of a header are damaged: a text-mode transfer has changed more than these" },
	{ "COWD header: version", cowd_version, "a COWD version that nobody has described" },
	{ "COWD header: flags", cowd_flags, "COWD flags that nobody has described" },
	{ "COWD header: numSectors at", cowd_empty, "a COWD extent without sectors" },
	{ "COWD header: grainSize", cowd_grain, "a COWD grain size that is no power of two up to 2048" },
	{ "COWD header: gdOffset", cowd_dir, "the COWD directory lies in the header" },
	{ "COWD header: numGDEntries", cowd_entries, "the COWD directory is too small for the disk, or absurd" },
	{ "COWD header: grain directory", cowd_dir_end, "the COWD directory ends past the file" },
	{ "COWD header: the file has", cowd_short, "the file ends in the COWD header" },
	{ "SESparse header: capacity at", se_capacity, "an SESparse capacity of 0 or beyond 64 TiB" },
	{ "SESparse header: grain directory has", se_dir, "the SESparse directory is too small for the disk" },
	{ "does not fit the file", se_area, "an SESparse area lies outside the file" },
	{ "overlaps the", se_overlap, "SESparse areas overlap" },
	{ "SESparse header: ", se_reserved, "reserved SESparse fields are not 0" },
	{ "SESparse volatile header", se_magic, "there is no SESparse volatile header" },
	{ ": flags at byte", high_flags, "flags in the upper half that nobody has described change the layout" },
	{ "contradict compressAlgorithm", contradiction, "the compression flag and the algorithm contradict each other" },
	{ "compressAlgorithm at byte", algorithm, "a compression algorithm that does not exist" },
	{ "markers without compression", markers, "markers without compression" },
	{ ": version at byte", version, "a header version that does not exist" },
	{ ": grainSize at byte", grain, "a grain size that is no power of two up to 2048" },
	{ "numGTEsPerGT at byte", gtes, "tables of other than 512 entries: the format has no others" },
	{ "descriptorSize at byte", descriptor_size, "a descriptor of more than 20480 sectors" },
	{ "descriptor is longer than", descriptor_long, "an embedded descriptor of more than 1 MiB" },
	{ ": descriptor of", descriptor_place, "the embedded descriptor ends past the file" },
	{ "one extent of a disk in several", no_descriptor, "an extent without a descriptor is a part of a disk: its neighbours would be missing" },
	{ "gdOffset", directory, "the directory lies in sector 0 or past the file" },
	{ "rgdOffset", redundant, "the redundant directory lies in sector 0 or past the file" },
	{ "overlaps the", overlaps, "header, descriptor and directories overlap" },
	{ "capacity at byte", no_capacity, "a capacity of 0" },
	{ "capacity at byte", capacity, "a capacity beyond 64 TiB" },
	{ "grain tables, legal is at most", many_tables, "more than 2^20 grain tables" },
	{ "overHead at byte", over_head, "the data would begin past the file: it is cut short" },
	{ "no footer marker", footer_marker, "no footer marker where it must be" },
	{ "no end-of-stream marker", end_marker, "no end-of-stream marker where it must be" },
	{ "footer: no sparse extent", footer_magic, "no header in the footer" },
	{ "contradicts the header", footer, "footer and header contradict each other" },
	{ "but the extent covers", line_beyond_header, "an extent line is longer than its extent's header says" },
	{ "sectors, but the extent's header says", line_beyond_header, "the line of an embedded descriptor is longer than the header says" },
	{ NULL, NULL, NULL },
};
