/* SPDX-License-Identifier: GPL-2.0-only */
/* Writer of VDI images, after the format's description. */
#ifndef IMG_VDI_H
#define IMG_VDI_H

#include "ut.h"

#define IMG_VDI_FREE		0xffffffffU
#define IMG_VDI_ZERO		0xfffffffeU
#define IMG_VDI_SIGNATURE	0xbeda107fU
#define IMG_VDI_0_2		0x00000002U
#define IMG_VDI_1_1		0x00010001U

enum img_vdi_type { IMG_VDI_DYNAMIC = 1, IMG_VDI_FIXED, IMG_VDI_UNDO, IMG_VDI_DIFF };

/* Field offsets: of all versions, of 1.x, of 0.2. */
enum img_vdi_hdr {
	IMG_VDI_SIGN = 64, IMG_VDI_VERSION = 68,
	IMG_VDI_HEADER = 72, IMG_VDI_TYPE = 76, IMG_VDI_FLAGS = 80, IMG_VDI_COMMENT = 84,
	IMG_VDI_MAP = 340, IMG_VDI_DATA = 344, IMG_VDI_OLD_CHS = 348, IMG_VDI_OLD_SECTOR = 360,
	IMG_VDI_DUMMY = 364, IMG_VDI_DISK = 368, IMG_VDI_BLOCK = 376, IMG_VDI_EXTRA = 380,
	IMG_VDI_BLOCKS = 384, IMG_VDI_COUNT = 388, IMG_VDI_UUID = 392, IMG_VDI_MOD = 408,
	IMG_VDI_LINK = 424, IMG_VDI_PARENT_MOD = 440, IMG_VDI_LCHS = 456, IMG_VDI_END = 472,
	IMG_VDI0_TYPE = 72, IMG_VDI0_FLAGS = 76, IMG_VDI0_COMMENT = 80, IMG_VDI0_CHS = 336,
	IMG_VDI0_DISK = 352, IMG_VDI0_BLOCK = 360, IMG_VDI0_BLOCKS = 364, IMG_VDI0_COUNT = 368,
	IMG_VDI0_UUID = 372, IMG_VDI0_MOD = 388, IMG_VDI0_LINK = 404, IMG_VDI0_END = 420,
};

/**
 * struct img_vdi - how to write, and afterwards where things went; 0 is the default
 * @version: 1.1
 * @header_bytes: 400
 * @type: dynamic; @flags: as on disk
 * @map_pos, @data_pos: directly behind each other, each at a sector
 * @extra: bytes before the data of each slot
 * @seed: not 0: slots in random order
 * @holes: slots that no block has, below the highest in use
 * @cut_last: the file ends with what the last slot's block shows
 * @disk_bytes: the disk's size; @blocks: as many as that needs
 * @lie: added to the counter of slots
 * @no_uuid: both are zeros
 * @banner: VirtualBox's
 */
struct img_vdi {
	u32 version;
	u32 header_bytes;
	u32 type;
	u32 flags;
	u64 map_pos;
	u64 data_pos;
	u32 extra;
	u64 seed;
	u32 holes;
	bool cut_last;
	u64 disk_bytes;
	u32 blocks;
	s32 lie;
	bool no_uuid;
	const char *banner;

	u64 slot;		/* bytes of one */
	u32 used;
	u32 high;		/* one more than the highest in use */
	struct ut_buf buf;
};

static const char img_vdi_banner[] = "<<< Oracle VM VirtualBox Disk Image >>>\n";

static inline u64 img_vdi_up(u64 n, u64 unit)
{
	return (n + unit - 1) / unit * unit;
}

/* Bytes that differ from each other, so that a swap of them shows. */
static inline void img_vdi_uuid(u8 uuid[16], u8 first)
{
	u32 i;

	for (i = 0; i < 16; i++)
		uuid[i] = (u8)(first + i);
}

static inline void img_vdi_put_uuid(struct ut_buf *b, u64 pos, u8 first)
{
	u8 uuid[16];

	img_vdi_uuid(uuid, first);
	ut_put(b, pos, uuid, sizeof(uuid));
}

/* --- the header --- */

static inline void img_vdi_defaults(struct img_vdi *v, const struct ut_disk *d)
{
	u64 end;

	v->version = v->version ? v->version : IMG_VDI_1_1;
	v->header_bytes = v->header_bytes ? v->header_bytes : 400;
	v->type = v->type ? v->type : IMG_VDI_DYNAMIC;
	v->disk_bytes = v->disk_bytes ? v->disk_bytes : d->size;
	v->blocks = v->blocks ? v->blocks : (u32)((v->disk_bytes + d->grain - 1) / d->grain);
	v->slot = d->grain + v->extra;
	v->banner = v->banner ? v->banner : img_vdi_banner;
	end = IMG_VDI_HEADER + (u64)v->header_bytes;
	if (v->version == IMG_VDI_0_2) {
		v->map_pos = IMG_VDI0_END;
		v->data_pos = v->map_pos + 4 * (u64)v->blocks;
	}
	v->map_pos = v->map_pos ? v->map_pos : img_vdi_up(end, VD_SECTOR);
	if (!v->data_pos)
		v->data_pos = img_vdi_up(v->map_pos + 4 * (u64)v->blocks, VD_SECTOR);
}

static inline void img_vdi_header_0(struct img_vdi *v, const struct ut_disk *d)
{
	struct ut_buf *b = &v->buf;

	ut_put32(b, IMG_VDI0_TYPE, v->type);
	ut_put32(b, IMG_VDI0_FLAGS, v->flags);
	ut_put(b, IMG_VDI0_COMMENT, "zero two", 9);
	ut_put32(b, IMG_VDI0_CHS + 12, VD_SECTOR);
	ut_put64(b, IMG_VDI0_DISK, v->disk_bytes);
	ut_put32(b, IMG_VDI0_BLOCK, (u32)d->grain);
	ut_put32(b, IMG_VDI0_BLOCKS, v->blocks);
	ut_put32(b, IMG_VDI0_COUNT, (u32)((s64)v->high + v->lie));
	if (!v->no_uuid) {
		img_vdi_put_uuid(b, IMG_VDI0_UUID, 0x10);
		img_vdi_put_uuid(b, IMG_VDI0_MOD, 0x30);
	}
	if (v->type == IMG_VDI_DIFF)
		img_vdi_put_uuid(b, IMG_VDI0_LINK, 0x50);
}

/* What belongs to nobody is filled, too: it must stay. */
static inline void img_vdi_header_1(struct img_vdi *v, const struct ut_disk *d)
{
	struct ut_buf *b = &v->buf;
	u8 rest[VD_SECTOR - IMG_VDI_LCHS];

	ut_put32(b, IMG_VDI_HEADER, v->header_bytes);
	ut_put32(b, IMG_VDI_TYPE, v->type);
	ut_put32(b, IMG_VDI_FLAGS, v->flags);
	ut_put(b, IMG_VDI_COMMENT, "a comment", 10);
	ut_put32(b, IMG_VDI_MAP, (u32)v->map_pos);
	ut_put32(b, IMG_VDI_DATA, (u32)v->data_pos);
	ut_put32(b, IMG_VDI_OLD_SECTOR, VD_SECTOR);
	ut_put64(b, IMG_VDI_DISK, v->disk_bytes);
	ut_put32(b, IMG_VDI_BLOCK, (u32)d->grain);
	ut_put32(b, IMG_VDI_EXTRA, v->extra);
	ut_put32(b, IMG_VDI_BLOCKS, v->blocks);
	ut_put32(b, IMG_VDI_COUNT, (u32)((s64)v->high + v->lie));
	if (!v->no_uuid) {
		img_vdi_put_uuid(b, IMG_VDI_UUID, 0x10);
		img_vdi_put_uuid(b, IMG_VDI_MOD, 0x30);
	}
	if (v->type == IMG_VDI_DIFF) {
		img_vdi_put_uuid(b, IMG_VDI_LINK, 0x50);
		img_vdi_put_uuid(b, IMG_VDI_PARENT_MOD, 0x70);
	}
	ut_pattern(rest, sizeof(rest), 0, 456);
	ut_put(b, IMG_VDI_LCHS, rest, min_t(u64, sizeof(rest), v->map_pos - IMG_VDI_LCHS));
	if (v->header_bytes >= 400) {
		ut_put32(b, IMG_VDI_LCHS, 100);
		ut_put32(b, IMG_VDI_LCHS + 4, 16);
		ut_put32(b, IMG_VDI_LCHS + 8, 63);
		ut_put32(b, IMG_VDI_LCHS + 12, VD_SECTOR);
	}
}

/* --- map and slots --- */

static inline u64 img_vdi_entry(const struct img_vdi *v, u64 block)
{
	return v->map_pos + 4 * block;
}

static inline u32 img_vdi_get(const struct img_vdi *v, u64 block)
{
	return (u32)ut_get_le(&v->buf, img_vdi_entry(v, block), 4);
}

static inline void img_vdi_set(struct img_vdi *v, u64 block, u32 entry)
{
	ut_put32(&v->buf, img_vdi_entry(v, block), entry);
}

/* The first guest byte of a slot. */
static inline u64 img_vdi_slot(const struct img_vdi *v, u32 slot)
{
	return v->data_pos + slot * v->slot + v->extra;
}

static inline u32 *img_vdi_order(struct img_vdi *v)
{
	u32 n = v->used + v->holes, last, i;
	u32 *order = ut_xalloc(((u64)n + 1) * sizeof(*order));
	struct ut_rng rng = { v->seed };

	for (i = 0; i < n; i++)
		order[i] = i;
	for (i = n; v->seed && i > 1; i--) {
		u32 other = (u32)ut_below(&rng, i), was = order[i - 1];

		order[i - 1] = order[other];
		order[other] = was;
	}
	/* The highest is in use, so that holes are below it. */
	last = v->seed || !v->used ? 0 : v->used - 1;
	for (i = v->used; v->used && i < n; i++) {
		if (order[i] == n - 1) {
			order[i] = order[last];
			order[last] = n - 1;
		}
	}
	return order;
}

/* Slots hold somebody's old data where no block is, also in a block past the disk's end. */
static inline void img_vdi_data(struct img_vdi *v, const struct ut_disk *d)
{
	u32 *order = img_vdi_order(v), next = 0, slot;
	u64 g, end = v->data_pos;

	if (v->high) {
		ut_buf_size(&v->buf, v->data_pos + v->high * v->slot);
		ut_pattern(v->buf.data + v->data_pos, v->high * v->slot, 3, 0x01d);
	}
	for (g = 0; g < v->blocks; g++) {
		enum ut_state state = g < d->nr ? (enum ut_state)d->state[g] : UT_ABSENT;

		img_vdi_set(v, g, state == UT_ZERO ? IMG_VDI_ZERO : IMG_VDI_FREE);
		if (state != UT_DATA)
			continue;
		slot = v->type == IMG_VDI_FIXED ? (u32)g : order[next++];
		img_vdi_set(v, g, slot);
		ut_put(&v->buf, img_vdi_slot(v, slot), d->data + g * d->grain, ut_grain_len(d, g));
		if (slot + 1 == v->high)
			end = img_vdi_slot(v, slot) + ut_grain_len(d, g);
	}
	if (v->cut_last)
		ut_buf_size(&v->buf, end);
	free(order);
}

static inline void img_vdi_write(struct img_vdi *v, const struct ut_disk *d)
{
	u64 g;

	memset(&v->buf, 0, sizeof(v->buf));
	img_vdi_defaults(v, d);
	v->used = 0;
	for (g = 0; g < d->nr; g++)
		v->used += d->state[g] == UT_DATA;
	v->high = v->used ? v->used + v->holes : 0;
	if (v->type == IMG_VDI_FIXED)
		v->high = v->blocks;
	ut_buf_size(&v->buf, v->data_pos);
	ut_put(&v->buf, 0, v->banner, strlen(v->banner));
	ut_put32(&v->buf, IMG_VDI_SIGN, IMG_VDI_SIGNATURE);
	ut_put32(&v->buf, IMG_VDI_VERSION, v->version);
	if (v->version == IMG_VDI_0_2)
		img_vdi_header_0(v, d);
	else
		img_vdi_header_1(v, d);
	img_vdi_data(v, d);
}

/* --- what a look at the bytes says --- */

/**
 * struct img_vdi_look - numbers of an image, from its bytes alone
 * @counter: as the header has it
 * @high, @used: one more than the highest slot; entries that name one
 */
struct img_vdi_look {
	u32 counter;
	u32 high;
	u32 used;
};

/* Every slot in the file, and no two blocks in one. @v says where things lie. */
static inline struct img_vdi_look img_vdi_look(const struct img_vdi *v, const u8 *file, u64 len)
{
	struct img_vdi_look l = { 0 };
	u64 b, other;
	u8 *taken;

	assert_true(len >= v->data_pos);
	l.counter = get_unaligned_le32(file + IMG_VDI_COUNT);
	taken = ut_xalloc((len - v->data_pos) / v->slot + 2);
	for (b = 0; b < v->blocks; b++) {
		u32 slot = get_unaligned_le32(file + img_vdi_entry(v, b));

		if (slot >= IMG_VDI_ZERO)
			continue;
		other = img_vdi_slot(v, slot);
		if (other >= len)
			fail_msg("block %llu in slot %u, past the file's end", b, slot);
		if (taken[slot])
			fail_msg("block %llu in slot %u, as another one", b, slot);
		taken[slot] = 1;
		l.used++;
		l.high = max(l.high, slot + 1);
	}
	free(taken);
	return l;
}

/* --- sets --- */

static inline void img_vdi_image(struct ut_set *set, u64 size)
{
	ut_set_image(set, VDISK_FORMAT_VDI, size);
	ut_set_seg(set, VDISK_SEG_VDI, set->nr_files - 1, 0, size, 0);
}

/* The next image of @set's chain, from what @v has become. */
static inline void img_vdi_add(struct ut_set *set, const struct img_vdi *v, u64 size, bool writable)
{
	ut_set_mem(set, v->buf.data, v->buf.len, writable);
	img_vdi_image(set, size);
}

#endif /* IMG_VDI_H */
