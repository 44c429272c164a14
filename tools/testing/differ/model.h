/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The third reader. Written from the description of the format, it shares no line
 * with the library. Strict (no quirks), it must see what vdisk sees. With all of
 * enum dm_quirk, each of them one way in which QEMU leaves the rules, it must see
 * what QEMU sees, byte for byte: then the quirks that make a difference for a
 * sector are the verdict on that sector, and nothing else is.
 */
#ifndef DIFFER_MODEL_H
#define DIFFER_MODEL_H

#include "differ.h"

enum dm_quirk {
	DM_SKIP_LINES,	/* extent lines that are not "RW", or ZERO, are passed over */
	DM_SCANF,	/* an extent line after an empty line counts twice */
	DM_CAPACITY,	/* an extent is as long as its header says, not its line */
	DM_EMBEDDED,	/* a sparse file is the whole disk, whatever its descriptor lists */
	DM_OVER_END,	/* an extent's last grain goes on where the next extent begins */
	DM_ONE_DIR,	/* the redundant directory is never asked */
	DM_ANY_TABLE,	/* tables may lie anywhere, past the end they are zeros */
	DM_ANY_GRAIN,	/* grains may lie anywhere, past the end they are zeros */
	DM_TAIL_PLACE,	/* past the file's end, a grain's tail has a place; zeros all the same */
	DM_NO_LBA,	/* a marker's address is not looked at */
	DM_SHORT,	/* what a grain does not unpack to cannot be read */
	DM_TRAILING,	/* bytes behind the end of a packed stream are no damage */
	DM_PACK_ROOM,	/* packed bytes up to twice the grain, zeros past the end */
	DM_NO_PREFIX,	/* without markers there is no length in front of a grain */
	DM_SE_ANY,	/* SESparse tables and grains out of their areas */
	DM_PARENT_CID,	/* a parent's CID is the first "CID=" in its text */
	DM_NO_PARENT,	/* the parent is looked up in another place of the text */
	DM_QUIRKS,
};

#define DM_ALL ((1U << DM_QUIRKS) - 1)
#define DM_SEGS 64
#define DM_IMAGES 4

enum dm_kind { DM_FLAT, DM_HOSTED, DM_COWD, DM_SESPARSE, DM_ZERO, DM_NOACCESS };

/* An extent; all in sectors of 512 bytes. */
struct dm_seg {
	enum dm_kind kind;
	u32 file;
	u64 start, len;
	u64 offset;		/* flat */
	u64 capacity, grain;	/* the rest: of what has tables */
	u64 gd, rgd, tables;
	u64 desc, desc_len, over_head;
	u64 gts, nr_gts, grains, nr_grains;
	bool zero_entries, packed, markers;
};

struct dm_image {
	u32 nr;
	u64 sectors;
	u32 cid, parent_cid;
	bool has_parent, wrong_parent;
	struct dm_seg segs[DM_SEGS];
};

struct dm_model {
	const struct df_image *img;
	u32 quirks;
	u32 nr;
	struct dm_image images[DM_IMAGES];
};

enum dm_what { DM_BAD, DM_HOLE, DM_ZEROS, DM_PLACE, DM_PACKED };

/**
 * struct dm_hit - what a sector is
 * @depth: image that has it
 * @pos: DM_PLACE: byte in the file
 * @bytes: content; zeros if bad
 */
struct dm_hit {
	enum dm_what what;
	u32 depth;
	u64 pos;
	u8 bytes[DF_SECTOR];
};

/* The files have other content now: what was kept of the last image is forgotten. */
void dm_new_image(void);
/* False: by this reading it is no disk. */
bool dm_open(struct dm_model *m, const struct df_image *img, u32 quirks);
void dm_sector(const struct dm_model *m, u64 sector, struct dm_hit *hit);
static inline u64 dm_sectors(const struct dm_model *m)
{
	return m->images[0].sectors;
}

/* Little-endian; zeros past the end of the file. */
u64 dm_number(const struct df_image *img, u32 file, u64 pos, u32 width);
bool dm_hosted(const struct df_image *img, u32 file, struct dm_seg *seg);

/* model-text.c */
u32 dm_first_cid(const struct df_image *img, u32 file);
bool dm_text(struct dm_model *m, u32 file, u64 pos, u64 len, struct dm_image *image);

#endif /* DIFFER_MODEL_H */
