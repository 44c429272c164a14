/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The images that the tests of writing start from: one of each kind that can be
 * written, small, so that the states that a crash can leave are small too. Each
 * comes with what a guest reads from it.
 */
#ifndef IMG_WRITE_H
#define IMG_WRITE_H

#include "img-esx.h"

#define IMG_PARTS	4
#define IMG_META_BLOCKS	64
#define IMG_GROW_CHUNK	(16 * 1024U)

/**
 * struct img_case - one disk that can be written
 * @set: its files and tables; the first @nr_top files are the top image's
 * @disk: what each image holds, sector by sector, the top first
 * @from: first byte that is worth a write
 * @unit: allocation unit of the top's first segment that has one
 * @patches: to be done before the first change
 * @foreign: qemu-img understands it
 */
struct img_case {
	struct ut_set set;
	u32 nr_top;
	struct ut_disk *disk[IMG_PARTS];
	unsigned int nr;
	u64 size;
	u64 from;
	u64 unit;
	struct vdisk_patch patches[3];
	u32 nr_patches;
	bool foreign;
};

struct img_kind {
	const char *name;
	void (*make)(struct img_case *c, u64 seed);
};

static inline void img_case_free(struct img_case *c)
{
	unsigned int i;

	for (i = 0; i < c->nr; i++)
		ut_disk_free(c->disk[i]);
	ut_set_free(&c->set);
	memset(c, 0, sizeof(*c));
}

/* Mostly absent, so that there is something to allocate. */
static inline struct ut_disk *img_thin(u64 size, u64 grain, u64 seed, bool zeros)
{
	struct ut_disk *d = ut_disk_new(size, grain);
	struct ut_rng rng = { seed };
	u64 g;

	for (g = 0; g < d->nr; g++) {
		u64 dice = ut_below(&rng, 8);

		if (dice < 2)
			ut_disk_set(d, g, UT_DATA, seed);
		else if (dice == 2 && zeros)
			ut_disk_set(d, g, UT_ZERO, 0);
	}
	return d;
}

static inline struct ut_disk *img_full(u64 size, u64 seed)
{
	struct ut_disk *d = ut_disk_new(size, VD_SECTOR);
	u64 g;

	for (g = 0; g < d->nr; g++)
		ut_disk_set(d, g, UT_DATA, seed);
	return d;
}

/* The next image of the chain: a disk by sectors that its segments are added to. */
static inline void img_image(struct img_case *c, u32 format, u64 size)
{
	assert_true(c->nr < IMG_PARTS);
	c->disk[c->nr++] = ut_disk_new(size, VD_SECTOR);
	ut_set_image(&c->set, format, size);
	if (c->nr == 1)
		c->size = size;
}

static inline void img_segment(struct img_case *c, u32 kind, const struct ut_disk *part, u64 start,
			       u64 offset)
{
	struct ut_disk *all = c->disk[c->nr - 1];
	u64 pos;

	ut_set_seg(&c->set, kind, c->set.nr_files - 1, start, part->size, offset);
	if (c->nr == 1 && !c->unit && kind != VDISK_SEG_RAW)
		c->unit = part->grain;
	for (pos = 0; pos < part->size; pos += VD_SECTOR)
		all->state[(start + pos) / VD_SECTOR] = part->state[pos / part->grain];
	memcpy(all->data + start, part->data, part->size);
}

static inline void img_member(struct img_case *c, const void *data, u64 len)
{
	ut_set_mem(&c->set, data, len, c->nr == 1);
	if (c->nr == 1)
		c->nr_top++;
}

static inline void img_add_sparse(struct img_case *c, struct ut_disk *part, u64 start,
				  struct img_sparse form)
{
	img_sparse_write(&form, part);
	img_member(c, form.buf.data, form.buf.len);
	img_segment(c, VDISK_SEG_VMDK_SPARSE, part, start, 0);
	ut_buf_free(&form.buf);
	ut_disk_free(part);
}

static inline void img_add_cowd(struct img_case *c, struct ut_disk *part, u64 seed)
{
	struct img_cowd form = { .seed = seed };

	img_cowd_write(&form, part);
	img_member(c, form.buf.data, form.buf.len);
	img_segment(c, VDISK_SEG_VMDK_COWD, part, 0, 0);
	ut_buf_free(&form.buf);
	ut_disk_free(part);
}

static inline void img_add_flat(struct img_case *c, struct ut_disk *part, u64 start, u64 offset)
{
	struct ut_buf b = { 0 };

	ut_buf_size(&b, offset);
	ut_put(&b, offset, part->data, part->size);
	img_member(c, b.data, b.len);
	img_segment(c, VDISK_SEG_RAW, part, start, offset);
	ut_buf_free(&b);
	ut_disk_free(part);
}

#define IMG_V2(...)	((struct img_sparse){ .version = 2, __VA_ARGS__ })
#define IMG_V1(...)	((struct img_sparse){ .version = 1, __VA_ARGS__ })

static inline void img_w_rgd(struct img_case *c, u64 seed)
{
	img_image(c, VDISK_FORMAT_VMDK, 128 * UT_KIB);
	img_add_sparse(c, img_thin(c->size, 4096, seed, false), 0,
		       IMG_V1(.flags = IMG_F_RGD, .seed = seed));
	c->foreign = true;
}

static inline void img_w_plain(struct img_case *c, u64 seed)
{
	img_image(c, VDISK_FORMAT_VMDK, 128 * UT_KIB);
	img_add_sparse(c, img_thin(c->size, 4096, seed, false), 0, IMG_V1(.seed = seed));
	c->foreign = true;
}

static inline void img_w_zero(struct img_case *c, u64 seed)
{
	img_image(c, VDISK_FORMAT_VMDK, 128 * UT_KIB);
	img_add_sparse(c, img_thin(c->size, 4096, seed, true), 0,
		       IMG_V2(.flags = IMG_F_RGD | IMG_F_ZERO_GTE, .seed = seed));
	c->foreign = true;
}

/* Two tables, of which each write touches many entries. */
static inline void img_w_small(struct img_case *c, u64 seed)
{
	img_image(c, VDISK_FORMAT_VMDK, 288 * UT_KIB);
	img_add_sparse(c, img_thin(c->size, VD_SECTOR, seed, false), 0,
		       IMG_V1(.flags = IMG_F_RGD, .seed = seed));
	c->from = 224 * UT_KIB;
	c->foreign = true;
}

/* The second table does not exist. */
static inline void img_w_missing(struct img_case *c, u64 seed)
{
	struct ut_disk *d;

	img_image(c, VDISK_FORMAT_VMDK, 288 * UT_KIB);
	d = img_thin(c->size, VD_SECTOR, seed, false);
	memset(d->state + IMG_GTES, UT_ABSENT, d->nr - IMG_GTES);
	memset(d->data + IMG_GTES * VD_SECTOR, 0, (d->nr - IMG_GTES) * VD_SECTOR);
	img_add_sparse(c, d, 0, IMG_V1(.flags = IMG_F_RGD, .holes = true));
	c->from = 224 * UT_KIB;
}

/* The disk ends within a grain, the file within that grain's place. */
static inline void img_w_cut(struct img_case *c, u64 seed)
{
	struct ut_disk *d;

	img_image(c, VDISK_FORMAT_VMDK, 100 * UT_KIB + 1536);
	d = img_thin(c->size, 4096, seed, false);
	ut_disk_set(d, d->nr - 1, UT_DATA, seed);
	img_add_sparse(c, d, 0, IMG_V1(.flags = IMG_F_RGD, .cut_last = true));
	c->foreign = true;
}

/* As if a writer had died: behind the last grain lies what no table shows. */
static inline void img_w_tail(struct img_case *c, u64 seed)
{
	struct img_sparse form = IMG_V1(.flags = IMG_F_RGD, .seed = seed);
	struct ut_disk *d;
	u8 junk[9 * VD_SECTOR];

	img_image(c, VDISK_FORMAT_VMDK, 96 * UT_KIB + 512);
	d = img_thin(c->size, 4096, seed, false);
	img_sparse_write(&form, d);
	ut_pattern(junk, sizeof(junk), 1, seed);
	ut_put(&form.buf, form.buf.len, junk, sizeof(junk));
	img_member(c, form.buf.data, form.buf.len);
	img_segment(c, VDISK_SEG_VMDK_SPARSE, d, 0, 0);
	ut_buf_free(&form.buf);
	ut_disk_free(d);
	c->foreign = true;
}

/* On a block device: never grows, and what is free holds somebody's old data. */
static inline void img_w_device(struct img_case *c, u64 seed)
{
	struct img_sparse form = IMG_V2(.flags = IMG_F_RGD | IMG_F_ZERO_GTE, .seed = seed);
	struct ut_disk *d;
	u64 used;

	img_image(c, VDISK_FORMAT_VMDK, 96 * UT_KIB);
	d = img_thin(c->size, 4096, seed, true);
	img_sparse_write(&form, d);
	used = form.buf.len;
	ut_buf_size(&form.buf, 512 * UT_KIB);
	ut_pattern(form.buf.data + used, form.buf.len - used, 2, seed);
	img_member(c, form.buf.data, form.buf.len);
	c->set.files[0]->fixed = true;
	img_segment(c, VDISK_SEG_VMDK_SPARSE, d, 0, 0);
	ut_buf_free(&form.buf);
	ut_disk_free(d);
}

/*
 * Sparse, flat and sparse, of which none ends at a multiple of anything, half of
 * the time. QEMU reads past the end of an extent that ends within a grain.
 */
static inline void img_w_split(struct img_case *c, u64 seed)
{
	u64 odd = seed & 1 ? 512 : 0;
	u64 a = 40 * UT_KIB + odd, b = 24 * UT_KIB + 512, e = 30 * UT_KIB + 1024;

	img_image(c, VDISK_FORMAT_VMDK, a + b + e);
	img_add_sparse(c, img_thin(a, 4096, seed, false), 0, IMG_V1(.flags = IMG_F_RGD));
	img_add_flat(c, img_full(b, seed + 1), a, 1536);
	img_add_sparse(c, img_thin(e, 2048, seed + 2, true), a + b,
		       IMG_V2(.flags = IMG_F_ZERO_GTE));
	c->foreign = !odd;
}

/* No tables, so nothing but the guest's own data can be lost. */
static inline void img_w_raw(struct img_case *c, u64 seed)
{
	img_image(c, VDISK_FORMAT_RAW, 64 * UT_KIB + 512);
	img_add_flat(c, img_full(c->size, seed), 0, 0);
}

static inline void img_w_flat(struct img_case *c, u64 seed)
{
	img_image(c, VDISK_FORMAT_VMDK, 64 * UT_KIB);
	img_add_flat(c, img_full(32 * UT_KIB, seed), 0, 0);
	img_add_flat(c, img_full(32 * UT_KIB, seed + 1), 32 * UT_KIB, 0);
	c->foreign = true;
}

/* sparse over sparse */
static inline void img_w_delta(struct img_case *c, u64 seed)
{
	img_image(c, VDISK_FORMAT_VMDK, 128 * UT_KIB);
	img_add_sparse(c, img_thin(c->size, 4096, seed, false), 0,
		       IMG_V1(.flags = IMG_F_RGD, .seed = seed));
	img_image(c, VDISK_FORMAT_VMDK, 128 * UT_KIB);
	img_add_sparse(c, ut_disk_random(c->size, 8192, seed + 1, false), 0, IMG_V1());
	c->foreign = true;
}

/* sparse with zero entries over flat */
static inline void img_w_delta_flat(struct img_case *c, u64 seed)
{
	img_image(c, VDISK_FORMAT_VMDK, 100 * UT_KIB + 512);
	img_add_sparse(c, img_thin(c->size, 4096, seed, true), 0,
		       IMG_V2(.flags = IMG_F_RGD | IMG_F_ZERO_GTE, .seed = seed));
	img_image(c, VDISK_FORMAT_VMDK, c->size);
	img_add_flat(c, img_full(c->size, seed + 1), 0, 0);
	c->foreign = true;
}

/* sparse over cowd over flat, each smaller than its child, ending within grains */
static inline void img_w_delta3(struct img_case *c, u64 seed)
{
	img_image(c, VDISK_FORMAT_VMDK, 120 * UT_KIB);
	img_add_sparse(c, img_thin(c->size, 8192, seed, false), 0, IMG_V1(.flags = IMG_F_RGD));
	img_image(c, VDISK_FORMAT_VMDK, 110 * UT_KIB);
	img_add_cowd(c, img_thin(110 * UT_KIB, 1024, seed + 1, false), seed);
	img_image(c, VDISK_FORMAT_VMDK, 90 * UT_KIB + 512);
	img_add_flat(c, img_full(90 * UT_KIB + 512, seed + 2), 0, 0);
	c->foreign = true;
}

/* a child that is smaller than its parent */
static inline void img_w_delta_less(struct img_case *c, u64 seed)
{
	img_image(c, VDISK_FORMAT_VMDK, 66 * UT_KIB + 512);
	img_add_sparse(c, img_thin(c->size, 4096, seed, false), 0, IMG_V1(.seed = seed));
	img_image(c, VDISK_FORMAT_VMDK, 128 * UT_KIB);
	img_add_sparse(c, ut_disk_random(128 * UT_KIB, 2048, seed + 1, true), 0,
		       IMG_V2(.flags = IMG_F_ZERO_GTE));
	c->foreign = true;
}

/* split over flat: what is filled in comes from the disk's address, not the extent's */
static inline void img_w_delta_split(struct img_case *c, u64 seed)
{
	u64 odd = seed & 1 ? 512 : 0, a = 32 * UT_KIB + odd, b = 40 * UT_KIB;

	img_image(c, VDISK_FORMAT_VMDK, a + b);
	img_add_sparse(c, img_thin(a, 4096, seed, false), 0, IMG_V1(.flags = IMG_F_RGD));
	img_add_sparse(c, img_thin(b, 4096, seed + 1, false), a, IMG_V1(.flags = IMG_F_RGD));
	img_image(c, VDISK_FORMAT_VMDK, c->size);
	img_add_flat(c, img_full(c->size, seed + 2), 0, 0);
	c->foreign = !odd;
}

static inline void img_w_cowd(struct img_case *c, u64 seed)
{
	img_image(c, VDISK_FORMAT_VMDK, 64 * UT_KIB);
	img_add_cowd(c, img_thin(c->size, VD_SECTOR, seed, false), seed);
	c->foreign = true;
}

/* without a single table */
static inline void img_w_cowd_empty(struct img_case *c, u64 seed)
{
	img_image(c, VDISK_FORMAT_VMDK, 64 * UT_KIB);
	img_add_cowd(c, ut_disk_new(c->size, 4096), seed);
	c->foreign = true;
}

/* two tables of one sector a grain, over flat */
static inline void img_w_cowd_delta(struct img_case *c, u64 seed)
{
	struct ut_disk *d;
	u64 edge = IMG_COWD_GTES * VD_SECTOR, g;

	img_image(c, VDISK_FORMAT_VMDK, edge + 32 * UT_KIB);
	c->from = edge - 32 * UT_KIB;
	d = ut_disk_new(c->size, VD_SECTOR);
	for (g = 0; g < d->nr; g += 1 + ut_mix(seed + g) % 300)
		ut_disk_set(d, g, UT_DATA, seed);
	if (seed & 1) {
		memset(d->state + IMG_COWD_GTES, UT_ABSENT, d->nr - IMG_COWD_GTES);
		memset(d->data + edge, 0, c->size - edge);
	}
	img_add_cowd(c, d, seed);
	img_image(c, VDISK_FORMAT_VMDK, c->size);
	img_add_flat(c, img_full(c->size, seed + 1), 0, 0);
	c->foreign = true;
}

static inline void img_patch(struct img_case *c, u32 member, u64 offset, u64 seed, u32 len)
{
	static const char digits[] = "0123456789abcdef";
	struct vdisk_patch *p = &c->patches[c->nr_patches++];
	u32 i;

	p->member = member;
	p->offset = offset;
	p->len = len;
	for (i = 0; i < len; i++)
		p->bytes[i] = (u8)digits[ut_mix(seed + i) % 16];
}

/* A descriptor of its own, and ids to change in it; the second across a sector's end. */
static inline void img_w_patches(struct img_case *c, u64 seed)
{
	char text[1400];

	img_image(c, VDISK_FORMAT_VMDK, 64 * UT_KIB);
	img_add_sparse(c, img_thin(c->size, 4096, seed, false), 0, IMG_V1(.flags = IMG_F_RGD));
	memset(text, '#', sizeof(text));
	img_member(c, text, sizeof(text));
	img_patch(c, 1, 70, seed, 8);
	img_patch(c, 1, 500, seed + 8, 32);
	c->foreign = true;
}

/* Ids in the descriptor that is part of the extent, over a parent. */
static inline void img_w_embedded(struct img_case *c, u64 seed)
{
	char text[1400];

	memset(text, '#', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	img_image(c, VDISK_FORMAT_VMDK, 64 * UT_KIB);
	img_add_sparse(c, img_thin(c->size, 4096, seed, false), 0,
		       IMG_V1(.flags = IMG_F_RGD, .descriptor = text));
	img_patch(c, 0, 512 + 70, seed, 8);
	img_patch(c, 0, 512 + 1010, seed + 8, 32);
	img_image(c, VDISK_FORMAT_VMDK, c->size);
	img_add_flat(c, img_full(c->size, seed + 1), 0, 0);
	c->foreign = true;
}

static const struct img_kind img_kinds[] __attribute__((unused)) = {
	{ "sparse", img_w_plain },
	{ "sparse-rgd", img_w_rgd },
	{ "sparse-zero", img_w_zero },
	{ "sparse-small", img_w_small },
	{ "sparse-missing", img_w_missing },
	{ "sparse-cut", img_w_cut },
	{ "sparse-tail", img_w_tail },
	{ "sparse-device", img_w_device },
	{ "split", img_w_split },
	{ "raw", img_w_raw },
	{ "flat", img_w_flat },
	{ "delta", img_w_delta },
	{ "delta-flat", img_w_delta_flat },
	{ "delta-3", img_w_delta3 },
	{ "delta-less", img_w_delta_less },
	{ "delta-split", img_w_delta_split },
	{ "cowd", img_w_cowd },
	{ "cowd-empty", img_w_cowd_empty },
	{ "cowd-delta", img_w_cowd_delta },
	{ "patches", img_w_patches },
	{ "embedded", img_w_embedded },
};

/* What a guest reads from the whole. Caller frees. */
static inline u8 *img_case_want(const struct img_case *c)
{
	return ut_flatten((struct ut_disk *const *)c->disk, c->nr);
}

static inline void img_case_make(struct img_case *c, const struct img_kind *kind, u64 seed)
{
	memset(c, 0, sizeof(*c));
	kind->make(c, seed);
	if (!c->unit)
		c->unit = 4096;
}

static inline struct vd_chain_desc img_case_desc(const struct img_case *c)
{
	struct vd_chain_desc desc = ut_set_desc(&c->set);

	desc.patches = c->patches;
	desc.nr_patches = c->nr_patches;
	desc.meta_blocks = IMG_META_BLOCKS;
	desc.grow_chunk = IMG_GROW_CHUNK;
	return desc;
}

#endif /* IMG_WRITE_H */
