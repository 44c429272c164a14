// SPDX-License-Identifier: GPL-2.0-only
/* The formats that the fuzzers know. A new one is one line of the table. */
#include "fz.h"
#include "../../../formats-common/vmdk/vmdk.h"

#define KINDS_END VDISK_NO_MEMBER

static const u32 raw_kinds[] = { VDISK_SEG_RAW, KINDS_END };
static const u32 vmdk_kinds[] = { VDISK_SEG_VMDK_SPARSE, VDISK_SEG_VMDK_COWD,
				  VDISK_SEG_VMDK_SESPARSE, KINDS_END };

static u32 cowd_ranges(const struct cowd *c, struct fz_range *out)
{
	out[0] = (struct fz_range){ 0, sizeof(struct cowd_disk_header) };
	out[1] = (struct fz_range){ c->dir.pos, c->dir.count * 4 };
	return 2;
}

static u32 sesparse_ranges(const struct sesparse *s, struct fz_range *out)
{
	out[0] = (struct fz_range){ 0, sizeof(struct sesparse_disk_header) };
	out[1] = (struct fz_range){ s->dir.pos, s->dir.count * 8 };
	out[2] = (struct fz_range){ s->gts_pos, s->nr_gts * SESPARSE_GT_SECTORS * VD_SECTOR };
	return 3;
}

static u32 sparse_ranges(const struct vmdk_sparse *v, struct fz_range *out)
{
	const struct vmdk_header *h = &v->header;

	out[0] = (struct fz_range){ 0, sizeof(struct vmdk_disk_header) };
	out[1] = (struct fz_range){ h->desc_pos, h->desc_len };
	out[2] = (struct fz_range){ h->gd_pos, h->nr_gts * 4 };
	out[3] = (struct fz_range){ h->rgd_pos, h->rgd_pos ? h->nr_gts * 4 : 0 };
	return 4;
}

static u32 vmdk_ranges(const struct vd_segment *seg, struct fz_range *out)
{
	switch (*(const enum vmdk_reader *)seg->priv) {
	case VMDK_READER_SPARSE:
		return sparse_ranges(seg->priv, out);
	case VMDK_READER_COWD:
		return cowd_ranges(seg->priv, out);
	case VMDK_READER_SESPARSE:
		return sesparse_ranges(seg->priv, out);
	}
	return 0;
}

const struct fz_backend fz_backends[] = {
	{ &vd_format_raw, raw_kinds, NULL },
	{ &vd_format_vmdk, vmdk_kinds, vmdk_ranges },
	{ NULL, NULL, NULL },
};

const struct fz_backend *fz_backend(const struct vd_format *format)
{
	const struct fz_backend *b;

	for (b = fz_backends; b->format; b++)
		if (b->format == format)
			return b;
	return NULL;
}

u32 fz_kind(u32 n)
{
	const struct fz_backend *b;
	const u32 *kind;
	u32 nr = 0;

	for (b = fz_backends; b->format; b++)
		for (kind = b->kinds; *kind != KINDS_END; kind++)
			nr++;
	n %= nr;
	for (b = fz_backends;; b++)
		for (kind = b->kinds; *kind != KINDS_END; kind++)
			if (!n--)
				return *kind;
}
