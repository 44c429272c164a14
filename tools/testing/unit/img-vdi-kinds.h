/* SPDX-License-Identifier: GPL-2.0-only */
/* VDI among the images that the tests of writing start from (img-write.h). */
#ifndef IMG_VDI_KINDS_H
#define IMG_VDI_KINDS_H

#include "img-vdi.h"
#include "img-write.h"

static inline void img_add_vdi(struct img_case *c, struct ut_disk *part, struct img_vdi form)
{
	img_vdi_write(&form, part);
	img_member(c, form.buf.data, form.buf.len);
	img_segment(c, VDISK_SEG_VDI, part, 0, 0);
	ut_buf_free(&form.buf);
	ut_disk_free(part);
}

#define IMG_VDI(...)	((struct img_vdi){ .seed = seed, __VA_ARGS__ })

/* As QEMU lays it out: map and counter in one block of the cache. */
static inline void img_w_vdi(struct img_case *c, u64 seed)
{
	img_image(c, VDISK_FORMAT_VDI, 128 * UT_KIB);
	img_add_vdi(c, img_thin(c->size, 4096, seed, true), IMG_VDI(.header_bytes = 384));
	img_patch(c, 0, IMG_VDI_MOD, seed, 16);
}

/* As VirtualBox does; slots that are nobody's, and a counter that is far ahead. */
static inline void img_w_vdi_holes(struct img_case *c, u64 seed)
{
	img_image(c, VDISK_FORMAT_VDI, 96 * UT_KIB + 512);
	img_add_vdi(c, img_thin(c->size, 4096, seed, true),
		    IMG_VDI(.map_pos = UT_MIB, .data_pos = 2 * UT_MIB, .holes = 5, .lie = 20));
}

/* One sector a block: each write touches many entries, in two blocks of the cache. */
static inline void img_w_vdi_small(struct img_case *c, u64 seed)
{
	img_image(c, VDISK_FORMAT_VDI, 480 * UT_KIB);
	img_add_vdi(c, img_thin(c->size, VD_SECTOR, seed, true), IMG_VDI(.map_pos = 512));
	c->from = 430 * UT_KIB;
}

/* The disk ends within a block, the file within its slot. */
static inline void img_w_vdi_cut(struct img_case *c, u64 seed)
{
	struct ut_disk *d;

	img_image(c, VDISK_FORMAT_VDI, 100 * UT_KIB + 1536);
	d = img_thin(c->size, 4096, seed, true);
	ut_disk_set(d, d->nr - 1, UT_DATA, seed);
	img_add_vdi(c, d, (struct img_vdi){ .cut_last = true });
}

/* Some blocks have no slot, as old programs left them. */
static inline void img_w_vdi_fixed(struct img_case *c, u64 seed)
{
	struct ut_disk *d;

	img_image(c, VDISK_FORMAT_VDI, 96 * UT_KIB);
	d = ut_disk_random(c->size, 4096, seed, true);
	ut_disk_set(d, d->nr - 1, UT_DATA, seed);
	img_add_vdi(c, d, IMG_VDI(.type = IMG_VDI_FIXED));
}

/* Never grows, and what is free holds somebody's old data. */
static inline void img_w_vdi_device(struct img_case *c, u64 seed)
{
	struct img_vdi form = IMG_VDI(.holes = 3);
	struct ut_disk *d;
	u64 used;

	img_image(c, VDISK_FORMAT_VDI, 96 * UT_KIB);
	d = img_thin(c->size, 4096, seed, true);
	img_vdi_write(&form, d);
	used = form.buf.len;
	ut_buf_size(&form.buf, 512 * UT_KIB);
	ut_pattern(form.buf.data + used, form.buf.len - used, 2, seed);
	img_member(c, form.buf.data, form.buf.len);
	c->set.files[0]->fixed = true;
	img_segment(c, VDISK_SEG_VDI, d, 0, 0);
	ut_buf_free(&form.buf);
	ut_disk_free(d);
}

/* Over one of its kind over a flat one that ends early. */
static inline void img_w_vdi_delta(struct img_case *c, u64 seed)
{
	img_image(c, VDISK_FORMAT_VDI, 100 * UT_KIB + 512);
	img_add_vdi(c, img_thin(c->size, 4096, seed, true), IMG_VDI(.type = IMG_VDI_DIFF));
	img_patch(c, 0, IMG_VDI_MOD, seed, 16);
	img_image(c, VDISK_FORMAT_VDI, 110 * UT_KIB);
	img_add_vdi(c, ut_disk_random(110 * UT_KIB, 8192, seed + 1, true),
		    IMG_VDI(.type = IMG_VDI_DIFF));
	img_image(c, VDISK_FORMAT_RAW, 90 * UT_KIB + 512);
	img_add_flat(c, img_full(90 * UT_KIB + 512, seed + 2), 0, 0);
}

static const struct img_kind img_vdi_kinds[] = {
	{ "vdi", img_w_vdi },
	{ "vdi-holes", img_w_vdi_holes },
	{ "vdi-small", img_w_vdi_small },
	{ "vdi-cut", img_w_vdi_cut },
	{ "vdi-fixed", img_w_vdi_fixed },
	{ "vdi-device", img_w_vdi_device },
	{ "vdi-delta", img_w_vdi_delta },
};

/* Kinds of all formats, for a test that takes them one by one. */
#define IMG_ALL_KINDS	(ARRAY_SIZE(img_kinds) + ARRAY_SIZE(img_vdi_kinds))

static inline const struct img_kind *img_any_kind(u32 i)
{
	return i < ARRAY_SIZE(img_kinds) ? &img_kinds[i] :
	       &img_vdi_kinds[i - ARRAY_SIZE(img_kinds)];
}

#endif /* IMG_VDI_KINDS_H */
