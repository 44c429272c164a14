// SPDX-License-Identifier: GPL-2.0-only
/*
 * Seeds of VDI, written from the format's sheet without a line of the library. Blocks
 * are small, so that a disk of a few has all that a large one has. Of a slot's data
 * there is one byte in each sector, so that a mistake in its place shows.
 */
#include "img-write.h"
#include "tool-seeds.h"

#define FREE	0xffffffffU
#define ZERO	0xfffffffeU
#define ENTRIES	24U

#define DYNAMIC	1U
#define FIXED	2U
#define UNDO	3U
#define DIFF	4U

/**
 * struct vdi - one image
 * @version, @header, @type, @flags: 0: 1.1 with 400 bytes, dynamic, none
 * @map, @data: places; 0: byte 512, and the next sector after the map
 * @block: bytes; 0: 4096
 * @blocks: entries; 0: @nr
 * @size: bytes of the disk; 0: @nr blocks
 * @entry: the first @nr entries; those after them are FREE
 * @allocated: -1: what the highest slot says
 * @tail: bytes that the file has more, or less, than its slots
 * @no_ids: no UUIDs; @parent: it names a parent; @endless: a comment without an end
 */
struct vdi {
	const char *name;
	u32 version, header, type, flags;
	u32 map, data, block, extra, blocks;
	u64 size;
	u32 nr, entry[ENTRIES];
	s32 allocated, tail;
	bool no_ids, parent, endless;
	u8 ctl;
};

static const struct vdi images[] = {
	{ .name = "sound", .nr = 8, .entry = { 0, FREE, 1, ZERO, 3, 2, FREE, 4 }, .allocated = -1 },
	{ .name = "empty", .nr = 6, .entry = { FREE, FREE, FREE, FREE, FREE, FREE },
	  .allocated = -1 },
	{ .name = "holes", .nr = 8, .entry = { 9, FREE, 7, ZERO, 3, 0, FREE, 12 },
	  .allocated = -1 },
	{ .name = "holes-fetch", .nr = 6, .entry = { 9, FREE, 7, ZERO, 3, 0 }, .allocated = -1,
	  .ctl = FZ_DOUBLE_FETCH },
	{ .name = "holes-plain", .nr = 6, .entry = { 5, FREE, 7, ZERO, 3, 0 }, .allocated = -1,
	  .ctl = FZ_NO_PUNCH | FZ_NO_ZERO },
	{ .name = "fixed", .type = FIXED, .nr = 6, .entry = { 0, 1, 2, 3, 4, 5 }, .allocated = -1 },
	{ .name = "fixed-sparse", .type = FIXED, .nr = 6, .entry = { 0, FREE, 2, ZERO, 4, 5 },
	  .allocated = -1 },
	{ .name = "vbox", .map = 1 << 20, .data = 2 << 20, .nr = 5, .block = 1 << 16,
	  .entry = { 1, FREE, 0, ZERO, FREE }, .allocated = -1 },
	{ .name = "small-blocks", .block = 512, .nr = 24, .entry = {
		0, 1, 2, FREE, 3, 4, 8, 9, ZERO, 6, 5, FREE, FREE, 12, 11, 14 }, .allocated = -1 },
	{ .name = "large-blocks", .block = 1 << 20, .nr = 3, .entry = { 1, FREE, 0 },
	  .allocated = -1 },
	{ .name = "old", .header = 384, .nr = 5, .entry = { 0, FREE, 1, ZERO, 2 },
	  .allocated = -1 },
	{ .name = "minor-3", .version = 0x10003, .nr = 4, .entry = { 0, FREE, 1, 2 },
	  .allocated = -1 },
	{ .name = "v0", .version = 2, .nr = 6, .entry = { 1, FREE, 0, ZERO, 2, 3 },
	  .allocated = -1 },
	{ .name = "extra", .extra = 512, .nr = 4, .entry = { 0, FREE, 2, 1 }, .allocated = -1 },
	{ .name = "extra-odd", .extra = 8, .nr = 4, .entry = { 0, FREE, 2, 1 }, .allocated = -1 },
	{ .name = "odd-size", .size = 3 * 4096 + 700, .nr = 4, .entry = { 0, FREE, 1, 2 },
	  .allocated = -1 },
	{ .name = "more-entries", .size = 2 * 4096, .nr = 6, .entry = { 0, FREE, 3, 2, FREE, 1 },
	  .allocated = -1 },
	{ .name = "cut", .nr = 4, .entry = { 0, FREE, 1, 2 }, .allocated = -1, .tail = -3001 },
	{ .name = "tail", .nr = 4, .entry = { 0, FREE, 1, 2 }, .allocated = -1, .tail = 5000 },
	{ .name = "count-low", .nr = 5, .entry = { 0, FREE, 4, 2, FREE }, .allocated = 1 },
	{ .name = "count-high", .nr = 5, .entry = { 0, FREE, 4, 2, FREE }, .allocated = 400 },
	{ .name = "shared", .nr = 6, .entry = { 0, 2, FREE, 2, 1, 0 }, .allocated = -1 },
	{ .name = "outside", .nr = 6, .entry = { 0, 77, FREE, FREE - 2, 1, 1 << 31 },
	  .allocated = 2, .tail = -8192 },
	{ .name = "no-ids", .nr = 4, .entry = { 0, FREE, 1, ZERO }, .allocated = -1,
	  .no_ids = true },
	{ .name = "comment", .endless = true, .nr = 1, .entry = { FREE }, .allocated = -1 },
	{ .name = "undo", .type = UNDO, .parent = true, .nr = 4, .entry = { 0, FREE, 1, ZERO },
	  .allocated = -1 },
	{ .name = "flags", .flags = 0x40301, .nr = 4, .entry = { 0, FREE, 1, ZERO },
	  .allocated = -1 },
	{ .name = "crowded", .map = 480, .data = 496, .nr = 4, .entry = { 0, FREE, 1, ZERO },
	  .allocated = -1 },
};

static const struct vdi child = {
	.type = DIFF, .parent = true, .nr = 8, .allocated = -1,
	.entry = { 0, FREE, ZERO, 2, FREE, 1, FREE, FREE },
};

static const struct vdi parent = {
	.block = 8192, .nr = 4, .allocated = -1, .entry = { 1, 0, FREE, 2 },
};

/* --- one image --- */

static u64 either(u64 value, u64 other)
{
	return value ? value : other;
}

static u32 high_of(const struct vdi *v)
{
	u32 i, high = 0;

	for (i = 0; i < v->nr; i++)
		if (v->entry[i] < 1000)
			high = max(high, v->entry[i] + 1);
	return high;
}

static u64 size_of(const struct vdi *v)
{
	return either(v->size, v->nr * either(v->block, 4096)) & ~511ULL;
}

static void put_ids(const struct vdi *v, struct ut_buf *b, u64 pos, bool mod_parent)
{
	u32 i;

	for (i = 0; i < 16 && !v->no_ids; i++) {
		ut_put8(b, pos + i, (u8)(0x10 + i));
		ut_put8(b, pos + 16 + i, (u8)(0x40 + i));
	}
	for (i = 0; i < 16 && v->parent; i++) {
		ut_put8(b, pos + 32 + i, (u8)(0x70 + i));
		if (mod_parent)
			ut_put8(b, pos + 48 + i, (u8)(0xa0 + i));
	}
}

static u32 count_of(const struct vdi *v)
{
	return v->allocated < 0 ? high_of(v) : (u32)v->allocated;
}

static void put_header_0(const struct vdi *v, struct ut_buf *b)
{
	ut_put32(b, 72, (u32)either(v->type, DYNAMIC));
	ut_put32(b, 76, v->flags);
	ut_put(b, 80, "of old", 6);
	ut_put64(b, 352, size_of(v));
	ut_put32(b, 360, (u32)either(v->block, 4096));
	ut_put32(b, 364, v->nr);
	ut_put32(b, 368, count_of(v));
	put_ids(v, b, 372, false);
}

static void put_header_1(const struct vdi *v, struct ut_buf *b, u64 map, u64 data)
{
	u32 i;

	ut_put32(b, 72, (u32)either(v->header, 400));
	ut_put32(b, 76, (u32)either(v->type, DYNAMIC));
	ut_put32(b, 80, v->flags);
	ut_put(b, 84, "a comment", 9);
	for (i = 0; i < 256 && v->endless; i++)
		ut_put8(b, 84 + i, (u8)('a' + i % 26));
	ut_put32(b, 340, (u32)map);
	ut_put32(b, 344, (u32)data);
	ut_put32(b, 360, 512);
	ut_put64(b, 368, either(v->size, size_of(v)));
	ut_put32(b, 376, (u32)either(v->block, 4096));
	ut_put32(b, 380, v->extra);
	ut_put32(b, 384, (u32)either(v->blocks, v->nr));
	ut_put32(b, 388, count_of(v));
	put_ids(v, b, 392, true);
	if (!v->header)
		ut_put32(b, 468, 512);
}

static void put_data(const struct vdi *v, struct ut_buf *b, u64 data)
{
	u64 slot = either(v->block, 4096) + v->extra, high = high_of(v), pos;
	/* In large ones, now and then. */
	u64 step = slot > 32768 ? slot / 4 : 512;

	for (pos = 0; pos < high * slot; pos += step)
		ut_put8(b, data + v->extra + pos, (u8)(1 + (pos / step) % 251));
	ut_buf_size(b, data + high * slot + (u64)v->tail);
}

static void make(const struct vdi *v, struct ut_buf *b)
{
	bool old = v->version == 2;
	u64 map = old ? 420 : either(v->map, 512), end = map + 4 * v->nr;
	u64 data = old ? end : either(v->data, (end + 511) & ~511ULL);
	u32 i;

	ut_put(b, 0, "<<< a VDI >>>\n", 14);
	ut_put32(b, 64, 0xbeda107f);
	ut_put32(b, 68, (u32)either(v->version, 0x10001));
	if (old)
		put_header_0(v, b);
	else
		put_header_1(v, b, map, data);
	put_data(v, b, data);
	for (i = 0; i < v->nr; i++)
		ut_put32(b, map + 4 * i, v->entry[i]);
}

/* --- sets --- */

static void add_image(u32 format, u32 kind, u64 size, struct ut_buf *b)
{
	struct fz_control *ctl = &seed_in.ctl;
	u8 image = ctl->nr_images++;

	seed_in.images[image] = (struct vdisk_image_desc){ format, 0, size };
	seed_in.segs[ctl->nr_segs++] = (struct vdisk_segment_desc) {
		.image = image, .kind = kind, .member = ctl->nr_files, .len = size };
	seed_in.files[ctl->nr_files].size = b->len;
	seed_in.files[ctl->nr_files].flags = image ? 0 : FZ_FILE_WRITABLE;
	fz_input_add_bytes(&seed_in, ctl->nr_files++, 0, b->data, b->len);
}

static void add_vdi(const struct vdi *v, struct ut_buf *b)
{
	make(v, b);
	add_image(VDISK_FORMAT_VDI, VDISK_SEG_VDI, size_of(v), b);
}

static void save_image(const struct vdi *v, u32 seed)
{
	struct ut_buf b = { 0 };
	char name[80];

	/* target-check: a multiple of 4 is a repair of all. */
	seed_begin(seed);
	seed_in.ctl.flags = v->ctl;
	add_vdi(v, &b);
	snprintf(name, sizeof(name), "vdi-%s-%u", v->name, seed);
	seed_save(name);
	ut_buf_free(&b);
}

/* A parent of another format, and the begin of a child. */
static void add_raw(struct ut_buf *b)
{
	u32 pos;

	for (pos = 0; pos < 30000; pos += 512)
		ut_put8(b, pos, (u8)(pos / 512 + 1));
	add_image(VDISK_FORMAT_RAW, VDISK_SEG_RAW, 29696, b);
}

static void add_vmdk(struct ut_buf *b)
{
	struct img_sparse s = { .version = 1 };
	struct ut_disk *d = ut_disk_random(36864, 1024, 5, false);

	img_sparse_write(&s, d);
	*b = s.buf;
	add_image(VDISK_FORMAT_VMDK, VDISK_SEG_VMDK_SPARSE, d->size, b);
	ut_disk_free(d);
}

static void add_parent(struct ut_buf *b)
{
	add_vdi(&parent, b);
}

static void add_child(struct ut_buf *b)
{
	add_vdi(&child, b);
}

#define CHAIN 3

static void chains(void)
{
	static const struct {
		const char *name;
		void (*add[CHAIN])(struct ut_buf *b);
	} list[] = {
		{ "raw", { add_child, add_raw } },
		{ "vdi", { add_child, add_parent } },
		{ "vmdk", { add_child, add_vmdk } },
		{ "under-vmdk", { add_vmdk, add_parent } },
		{ "three", { add_child, add_child, add_vmdk } },
	};
	struct ut_buf b[CHAIN];
	char name[80];
	u32 i, j, seed;

	for (i = 0; i < ARRAY_SIZE(list); i++) {
		for (seed = 40; seed < 44; seed++) {
			memset(b, 0, sizeof(b));
			seed_begin(seed);
			for (j = 0; j < CHAIN && list[i].add[j]; j++)
				list[i].add[j](&b[j]);
			/* A patch of the modification UUID, as vdctl makes it. */
			if (seed % 2 && list[i].add[0] == add_child) {
				seed_in.ctl.nr_patches = 1;
				seed_in.patches[0] = (struct vdisk_patch) {
					.offset = 408, .len = 16, .bytes = "0123456789abcdef" };
			}
			snprintf(name, sizeof(name), "vdi-over-%s-%u", list[i].name, seed);
			seed_save(name);
			for (j = 0; j < CHAIN; j++)
				ut_buf_free(&b[j]);
		}
	}
}

/* A map of many blocks, whose file ends 60 TiB out. */
static void huge(void)
{
	struct ut_buf b = { 0 };
	struct vdi v = { .name = "huge", .block = 1 << 26, .nr = 2, .entry = { FREE, FREE },
			 .blocks = 1 << 20, .size = VD_CAP_DISK_BYTES, .allocated = 0,
			 .data = 8 << 20 };

	seed_begin(60);
	make(&v, &b);
	ut_put32(&b, 512 + 4 * 77, 900000);
	ut_put32(&b, 512 + 4 * 78, 3);
	add_image(VDISK_FORMAT_VDI, VDISK_SEG_VDI, VD_CAP_DISK_BYTES, &b);
	seed_in.files[0].size = 1ULL << 46;
	seed_save("vdi-huge");
	ut_buf_free(&b);
}

/* The last slot that has a number, in the largest file. */
static void far(void)
{
	static const struct vdi v = { .block = 1 << 28, .nr = 4, .allocated = 0,
				      .entry = { FREE, ZERO, FREE, ZERO } };
	struct ut_buf b = { 0 };

	seed_begin(61);
	make(&v, &b);
	ut_put32(&b, 512, ZERO - 1);
	ut_put32(&b, 516, 1U << 31);
	add_image(VDISK_FORMAT_VDI, VDISK_SEG_VDI, size_of(&v), &b);
	seed_in.files[0].size = VD_CAP_FILE_BYTES;
	seed_save("vdi-far");
	ut_buf_free(&b);
}

void seeds_vdi(void)
{
	u32 i, seed;

	for (i = 0; i < ARRAY_SIZE(images); i++)
		for (seed = 20; seed < 24; seed++)
			save_image(&images[i], seed);
	chains();
	huge();
	far();
}
