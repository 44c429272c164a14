// SPDX-License-Identifier: GPL-2.0-only
/*
 * VDI: images to begin with, and the format's rules and its reading, once more and
 * without a line of the library's.
 */
#include "crash.h"
#include "img-vdi.h"

/* --- images --- */

/* The top's modification UUID is to be changed before anything else. */
static void add_buf(struct img_case *c, struct ut_disk *part, struct img_vdi *form, u64 seed)
{
	bool top = c->nr == 1;

	img_member(c, form->buf.data, form->buf.len);
	img_segment(c, VDISK_SEG_VDI, part, 0, 0);
	if (top)
		img_patch(c, 0, IMG_VDI_MOD, seed, 16);
	ut_buf_free(&form->buf);
	ut_disk_free(part);
}

static void add(struct img_case *c, struct ut_disk *part, u64 seed, struct img_vdi form)
{
	img_vdi_write(&form, part);
	add_buf(c, part, &form, seed);
}

#define FORM(...)	((struct img_vdi){ .seed = seed, __VA_ARGS__ })

/* Laid out as QEMU does: the map shares a block of the cache with the header. */
static void make_plain(struct img_case *c, u64 seed)
{
	img_image(c, VDISK_FORMAT_VDI, 64 * UT_KIB);
	add(c, img_thin(c->size, 4096, seed, true), seed, FORM(.header_bytes = 384));
}

/* As VirtualBox does. */
static void make_vbox(struct img_case *c, u64 seed)
{
	img_image(c, VDISK_FORMAT_VDI, 96 * UT_KIB);
	add(c, img_thin(c->size, 8192, seed, true), seed,
	    FORM(.map_pos = UT_MIB, .data_pos = 2 * UT_MIB));
}

/* All slots in order, or, as old tools left them, some missing. */
static void make_fixed(struct img_case *c, u64 seed)
{
	struct ut_disk *d;
	u64 g;

	img_image(c, VDISK_FORMAT_VDI, 64 * UT_KIB);
	d = ut_disk_new(c->size, 4096);
	for (g = 0; g < d->nr; g++) {
		if (seed & 1 && !(ut_mix(seed + g) % 4))
			ut_disk_set(d, g, ut_mix(seed + g) & 8 ? UT_ABSENT : UT_ZERO, 0);
		else
			ut_disk_set(d, g, UT_DATA, seed);
	}
	add(c, d, seed, FORM(.type = IMG_VDI_FIXED));
}

/* Blocks of a sector: runs of entries, which end where a block of the cache does. */
static void make_sectors(struct img_case *c, u64 seed)
{
	img_image(c, VDISK_FORMAT_VDI, 464 * UT_KIB);
	add(c, img_thin(c->size, VD_SECTOR, seed, true), seed, FORM(.header_bytes = 384));
	c->from = 432 * UT_KIB;
}

/* The disk ends within a block, the file within its slot, which is the last one. */
static void make_cut(struct img_case *c, u64 seed)
{
	struct img_vdi form = { .cut_last = true, .lie = (s32)(seed % 3) };
	struct ut_disk *d;

	img_image(c, VDISK_FORMAT_VDI, 60 * UT_KIB + 1536);
	d = img_thin(c->size, 4096, seed, true);
	ut_disk_set(d, d->nr - 1, UT_DATA, seed);
	img_vdi_write(&form, d);
	add_buf(c, d, &form, seed);
}

/* Slots that nobody has, and a counter above, sometimes above all blocks. */
static void make_holes(struct img_case *c, u64 seed)
{
	img_image(c, VDISK_FORMAT_VDI, 64 * UT_KIB);
	add(c, img_thin(c->size, 4096, seed, true), seed,
	    FORM(.holes = 1 + seed % 5, .lie = (s32)(seed % 7) * 3));
}

/* Another writer died between the map and the counter. */
static void make_low(struct img_case *c, u64 seed)
{
	struct img_vdi form = FORM(.holes = seed % 3);
	struct ut_disk *d;

	img_image(c, VDISK_FORMAT_VDI, 64 * UT_KIB);
	d = img_thin(c->size, 4096, seed, true);
	ut_disk_set(d, 3, UT_DATA, seed);
	img_vdi_write(&form, d);
	ut_put32(&form.buf, IMG_VDI_COUNT, (u32)(ut_mix(seed) % form.high));
	add_buf(c, d, &form, seed);
}

/* Behind the last slot lies what a dead writer left. */
static void make_tail(struct img_case *c, u64 seed)
{
	struct img_vdi form = FORM(.lie = (s32)(seed & 1));
	struct ut_disk *d;
	u8 junk[11 * VD_SECTOR];

	img_image(c, VDISK_FORMAT_VDI, 64 * UT_KIB + 512);
	d = img_thin(c->size, 4096, seed, false);
	img_vdi_write(&form, d);
	ut_pattern(junk, sizeof(junk), 1, seed);
	ut_put(&form.buf, form.buf.len, junk, sizeof(junk));
	add_buf(c, d, &form, seed);
}

/* On a block device: never grows, and what is free holds somebody's old data. */
static void make_device(struct img_case *c, u64 seed)
{
	struct img_vdi form = FORM(.holes = seed % 3);
	struct ut_disk *d;
	u64 used;

	img_image(c, VDISK_FORMAT_VDI, 64 * UT_KIB);
	d = img_thin(c->size, 4096, seed, true);
	img_vdi_write(&form, d);
	used = form.buf.len;
	ut_buf_size(&form.buf, 512 * UT_KIB);
	ut_pattern(form.buf.data + used, form.buf.len - used, 2, seed);
	add_buf(c, d, &form, seed);
	c->set.files[0]->fixed = true;
}

/* Map and data where VirtualBox had them once. */
static void make_16k(struct img_case *c, u64 seed)
{
	img_image(c, VDISK_FORMAT_VDI, 160 * UT_KIB + 1024);
	add(c, img_thin(c->size, 16384, seed, true), seed,
	    FORM(.map_pos = 4096, .data_pos = 8192, .holes = seed & 1));
}

static void make_64k(struct img_case *c, u64 seed)
{
	img_image(c, VDISK_FORMAT_VDI, 256 * UT_KIB + 1536);
	add(c, img_thin(c->size, 65536, seed, true), seed, FORM(.holes = seed & 1));
}

/* The only size of blocks that QEMU knows. */
static void make_1m(struct img_case *c, u64 seed)
{
	img_image(c, VDISK_FORMAT_VDI, 2 * UT_MIB + 512);
	add(c, img_thin(c->size, UT_MIB, seed, true), seed, FORM(.header_bytes = 384));
	c->foreign = true;
}

#define DIFF(...)	FORM(.type = IMG_VDI_DIFF, .flags = 0x200, __VA_ARGS__)

/* Over another VDI with larger blocks, which has zeros of its own. */
static void make_delta(struct img_case *c, u64 seed)
{
	img_image(c, VDISK_FORMAT_VDI, 64 * UT_KIB);
	add(c, img_thin(c->size, 4096, seed, true), seed, DIFF(.header_bytes = 384));
	img_image(c, VDISK_FORMAT_VDI, c->size);
	add(c, ut_disk_random(c->size, 8192, seed + 1, true), seed + 1, FORM());
}

/* Over a raw disk that is larger, and ends within a block. */
static void make_delta_more(struct img_case *c, u64 seed)
{
	img_image(c, VDISK_FORMAT_VDI, 50 * UT_KIB + 512);
	add(c, img_thin(c->size, 4096, seed, true), seed,
	    DIFF(.lie = (s32)(seed % 3), .holes = seed % 2));
	img_image(c, VDISK_FORMAT_RAW, 71 * UT_KIB + 1024);
	img_add_flat(c, img_full(71 * UT_KIB + 1024, seed + 1), 0, 0);
}

/* Over a VMDK that is smaller, and ends within a block. */
static void make_delta_less(struct img_case *c, u64 seed)
{
	img_image(c, VDISK_FORMAT_VDI, 96 * UT_KIB);
	add(c, img_thin(c->size, 8192, seed, true), seed, DIFF(.map_pos = 4096, .data_pos = 8192));
	img_image(c, VDISK_FORMAT_VMDK, 59 * UT_KIB + 512);
	img_add_sparse(c, img_thin(59 * UT_KIB + 512, 4096, seed + 1, true), 0,
		       IMG_V2(.flags = IMG_F_ZERO_GTE, .seed = seed));
}

/* Over a COWD over a VDI that has less than either. */
static void make_delta_3(struct img_case *c, u64 seed)
{
	img_image(c, VDISK_FORMAT_VDI, 100 * UT_KIB + 512);
	add(c, img_thin(c->size, 8192, seed, true), seed, DIFF());
	img_image(c, VDISK_FORMAT_VMDK, 90 * UT_KIB);
	img_add_cowd(c, img_thin(90 * UT_KIB, 1024, seed + 1, false), seed);
	img_image(c, VDISK_FORMAT_VDI, 70 * UT_KIB + 512);
	add(c, img_full(70 * UT_KIB + 512, seed + 2), seed + 2, FORM());
}

static const struct img_kind kinds[] = {
	{ "vdi", make_plain },
	{ "vdi-vbox", make_vbox },
	{ "vdi-fixed", make_fixed },
	{ "vdi-sectors", make_sectors },
	{ "vdi-cut", make_cut },
	{ "vdi-holes", make_holes },
	{ "vdi-low", make_low },
	{ "vdi-tail", make_tail },
	{ "vdi-device", make_device },
	{ "vdi-16k", make_16k },
	{ "vdi-64k", make_64k },
	{ "vdi-1m", make_1m },
	{ "vdi-delta", make_delta },
	{ "vdi-delta-more", make_delta_more },
	{ "vdi-delta-less", make_delta_less },
	{ "vdi-delta-3", make_delta_3 },
};

/* What is large is slow. */
static const u8 shares[] = {
	200, 200, 200, 100, 200, 200, 200, 200, 200, 100, 40, 4, 200, 200, 200, 200,
};

static_assert(ARRAY_SIZE(kinds) == ARRAY_SIZE(shares), "a share for each");

/* --- rules --- */

#define SLOTS	(CRASH_SECTORS + 1)	/* that any file can have */

/* The header in numbers. */
struct header {
	u64 map, data, block;
	u32 blocks, counter;
};

static void read_header(const u8 *file, struct header *h)
{
	h->map = get_unaligned_le32(file + IMG_VDI_MAP);
	h->data = get_unaligned_le32(file + IMG_VDI_DATA);
	h->block = get_unaligned_le32(file + IMG_VDI_BLOCK);
	h->blocks = get_unaligned_le32(file + IMG_VDI_BLOCKS);
	h->counter = get_unaligned_le32(file + IMG_VDI_COUNT);
}

static u64 hash_bytes(u64 hash, const u8 *p, u64 len)
{
	u64 word;

	for (; len >= 8; p += 8, len -= 8) {
		memcpy(&word, p, 8);
		hash = ut_mix(hash ^ word);
	}
	while (len--)
		hash = ut_mix(hash ^ *p++);
	return hash;
}

/*
 * The header but for counter and modification UUID, and what the map's last sector has
 * behind its entries.
 */
static u64 hash_rest(const u8 *file, const struct header *h)
{
	u64 map_end = h->map + 4 * (u64)h->blocks, hash;

	hash = hash_bytes(1, file, IMG_VDI_COUNT);
	hash = hash_bytes(hash, file + IMG_VDI_UUID, IMG_VDI_MOD - IMG_VDI_UUID);
	hash = hash_bytes(hash, file + IMG_VDI_LINK, VD_SECTOR - IMG_VDI_LINK);
	return hash_bytes(hash, file + map_end, img_vdi_up(map_end, VD_SECTOR) - map_end);
}

/* Each block that has a slot has one in the file, and no other block has it. */
static bool look_map(const u8 *file, u64 len, const struct header *h, struct crash_tables *out,
		     u32 *high, u32 *used, char *rule)
{
	static u8 taken[SLOTS];
	u32 b, slot;

	memset(taken, 0, min_t(u64, SLOTS, (len - h->data) / h->block + 1));
	for (b = 0; b < h->blocks; b++) {
		slot = get_unaligned_le32(file + h->map + 4 * (u64)b);
		out->hash = ut_mix(out->hash ^ slot);
		if (slot >= IMG_VDI_ZERO)
			continue;
		if (h->data + slot * h->block >= len)
			return img_bad(rule, "block %u in slot %u, but the file ends at %llu", b,
				       slot, len);
		if (taken[slot])
			return img_bad(rule, "block %u in slot %u, as another one", b, slot);
		taken[slot] = 1;
		*high = max(*high, slot + 1);
		(*used)++;
	}
	return true;
}

static bool vdi_look(const u8 *file, u64 len, const struct vdisk_segment_desc *seg,
		     struct crash_tables *out, char *rule)
{
	struct header h;
	u32 high = 0, used = 0;

	if (len < VD_SECTOR || get_unaligned_le32(file + IMG_VDI_SIGN) != IMG_VDI_SIGNATURE)
		return img_bad(rule, "the header is gone");
	read_header(file, &h);
	if (h.data > len)
		return img_bad(rule, "data at %llu, but the file ends at %llu", h.data, len);
	out->rest = hash_rest(file, &h);
	if (!look_map(file, len, &h, out, &high, &used, rule))
		return false;
	out->end = h.data + high * h.block;
	out->cut = out->end > len ? out->end - len : 0;
	/* Others append there. */
	out->uncounted = high > h.counter ? high - h.counter : 0;
	out->unused = max(high, h.counter) - used;
	return true;
}

/* What a guest reads, in a second way. */
static void vdi_read(const struct crash_set *set, const u8 *below, u8 *out)
{
	const struct crash_file *f = &set->file[0];
	u64 pos, len, at, size = set->c->size;
	struct header h;
	u32 slot;

	read_header(f->data, &h);
	for (pos = 0; pos < size; pos += len) {
		len = min(h.block, size - pos);
		slot = get_unaligned_le32(f->data + h.map + 4 * (pos / h.block));
		at = h.data + slot * h.block;
		if (slot == IMG_VDI_FREE)
			memcpy(out + pos, below + pos, len);
		else if (slot == IMG_VDI_ZERO)
			memset(out + pos, 0, len);
		else
			/* Zeros from its end on. */
			memcpy(out + pos, f->data + at, len);
	}
}

/* As far as the first block of the cache goes, if the header lies in it. */
static u64 vdi_table(const struct img_case *c)
{
	return c->unit * ((4096 - VD_SECTOR) / 4);
}

/* The counter runs ahead; a slot that is freed is not used again before a commit. */
static const char *const excused[] = { "allocated blocks mismatch", "too large, is", NULL };

const struct crash_format crash_vdi = {
	.name		= "vdi",
	.vd		= &vd_format_vdi,
	.kind		= kinds,
	.share		= shares,
	.nr		= ARRAY_SIZE(kinds),
	.bugs		= VD_BUG_LATE_COUNTER | VD_BUG_FREE_ENTRY | VD_BUG_EARLY_MOVE |
			  VD_BUG_EARLY_PUNCH,
	.qemu		= "vdi",
	.image		= "file0.vmdk",
	.excused	= excused,
	.look		= vdi_look,
	.read		= vdi_read,
	.table		= vdi_table,
};
