// SPDX-License-Identifier: GPL-2.0-only
/* The fields of VDI: pre-header, headers 0.2 and 1.x, the map. */
#include "fields.h"

#define SIGNATURE	0xbeda107fU
#define VERSION_0_2	2U
#define FREE		0xffffffffU
#define ZERO		0xfffffffeU

#define MAX_ENTRIES	16384U	/* of the map that are told */

static const struct fz_part pre_header[] = {
	{ 64, 4, FZ_MAGIC }, { 68, 4, FZ_VERSION },
};

static const struct fz_part header_0[] = {
	{ 72, 4, FZ_VERSION }, { 76, 4, FZ_FLAGS }, { 336, 4, FZ_COUNT }, { 340, 4, FZ_COUNT },
	{ 344, 4, FZ_COUNT }, { 348, 4, FZ_SIZE }, { 352, 8, FZ_SIZE }, { 360, 4, FZ_SIZE },
	{ 364, 4, FZ_COUNT }, { 368, 4, FZ_COUNT }, { 372, 8, FZ_ID }, { 380, 8, FZ_ID },
	{ 388, 8, FZ_ID }, { 396, 8, FZ_ID }, { 404, 8, FZ_ID }, { 412, 8, FZ_ID },
};

static const struct fz_part header_1[] = {
	{ 72, 4, FZ_SIZE }, { 76, 4, FZ_VERSION }, { 80, 4, FZ_FLAGS }, { 340, 4, FZ_BYTE },
	{ 344, 4, FZ_BYTE }, { 348, 4, FZ_COUNT }, { 352, 4, FZ_COUNT }, { 356, 4, FZ_COUNT },
	{ 360, 4, FZ_SIZE }, { 364, 4, FZ_FLAGS }, { 368, 8, FZ_SIZE }, { 376, 4, FZ_SIZE },
	{ 380, 4, FZ_SIZE }, { 384, 4, FZ_COUNT }, { 388, 4, FZ_COUNT }, { 392, 8, FZ_ID },
	{ 400, 8, FZ_ID }, { 408, 8, FZ_ID }, { 416, 8, FZ_ID }, { 424, 8, FZ_ID },
	{ 432, 8, FZ_ID }, { 440, 8, FZ_ID }, { 448, 8, FZ_ID }, { 456, 4, FZ_COUNT },
	{ 460, 4, FZ_COUNT }, { 464, 4, FZ_COUNT }, { 468, 4, FZ_SIZE },
};

static bool is_no_slot(u64 entry)
{
	return entry == FREE || entry == ZERO;
}

static void list_map(const struct fz_walk *w, u64 pos, u64 blocks)
{
	u64 i, nr = min(blocks, (u64)MAX_ENTRIES);

	for (i = 0; i < nr && w->sink->left && pos + 4 * i < w->v->file[w->file].len; i++)
		fz_put_entry(w, pos + 4 * i, 4, is_no_slot);
}

bool fz_vdi_list(const struct fz_walk *w)
{
	if (fz_number(w, 64, 4) != SIGNATURE)
		return false;
	fz_put_parts(w, 0, pre_header, ARRAY_SIZE(pre_header));
	if (fz_number(w, 68, 4) == VERSION_0_2) {
		fz_put_parts(w, 0, header_0, ARRAY_SIZE(header_0));
		fz_put_text(w, 80, 256);
		list_map(w, 420, fz_number(w, 364, 4));
	} else {
		fz_put_parts(w, 0, header_1, ARRAY_SIZE(header_1));
		fz_put_text(w, 84, 256);
		list_map(w, fz_number(w, 340, 4), fz_number(w, 384, 4));
	}
	return true;
}
