// SPDX-License-Identifier: GPL-2.0-only
/* The formats that the fuzzers know. A new one is one line of the table. */
#include "fz.h"
#include "../../../formats-common/vdi/vdi.h"
#include "../../../formats-common/vmdk/vmdk.h"

#define KINDS_END VDISK_NO_MEMBER

static const u32 raw_kinds[] = { VDISK_SEG_RAW, KINDS_END };
static const u32 vmdk_kinds[] = { VDISK_SEG_VMDK_SPARSE, VDISK_SEG_VMDK_COWD,
				  VDISK_SEG_VMDK_SESPARSE, KINDS_END };
static const u32 vdi_kinds[] = { VDISK_SEG_VDI, KINDS_END };

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

static u32 vdi_ranges(const struct vd_segment *seg, struct fz_range *out)
{
	const struct vdi_header *h = &((const struct vdi *)seg->priv)->header;

	out[0] = (struct fz_range){ 0, sizeof(struct vdi_disk_pre) + (u64)h->header_bytes };
	out[1] = (struct fz_range){ h->map_pos, 4 * (u64)h->blocks };
	return 2;
}

/* As many blocks as the file says that it has; if it says so each time. */
static u64 vdi_walk_bytes(struct fz_io *io, u32 file)
{
	u8 version[4], blocks[4];
	u64 size = io->files[file].size;

	if (!fz_honest(io))
		return size;
	fz_peek(io, file, offsetof(struct vdi_disk_pre, version), version, sizeof(version));
	fz_peek(io, file, get_unaligned_le32(version) == VDI_VERSION_0_2 ?
		offsetof(struct vdi_disk_v0, blocks) : offsetof(struct vdi_disk_v1, blocks),
		blocks, sizeof(blocks));
	return min(size, 4 * (u64)get_unaligned_le32(blocks));
}

/* What the eight bytes at @pos say in sectors. */
static u64 peek_bytes(struct fz_io *io, u32 file, u64 pos)
{
	u8 buf[8];

	fz_peek(io, file, pos, buf, sizeof(buf));
	return get_unaligned_le64(buf) << VD_SECTOR_SHIFT;
}

#define MOST_TABLES 4096U

/* Does a table of the directory at byte @dir lie in [@pos, +@len)? */
static bool table_in(struct fz_io *io, u32 file, u64 dir, u64 pos, u64 len)
{
	u64 table;
	u8 entry[4];
	u32 i;

	for (i = 0; i < MOST_TABLES; i++) {
		fz_peek(io, file, dir + 4 * i, entry, sizeof(entry));
		table = (u64)get_unaligned_le32(entry) << VD_SECTOR_SHIFT;
		if (table && vd_overlap(table, VMDK_GT_BYTES, pos, len))
			return true;
	}
	return false;
}

/*
 * The text inside of an extent is in its second place, at whose end a record says so. It
 * lies if tables are where it says that the text belongs: only somebody else writes that.
 */
static enum fz_pending vmdk_pending(struct fz_io *io, u32 file)
{
	const u64 end = peek_bytes(io, file, offsetof(struct vmdk_disk_header, descriptor_offset)) +
			peek_bytes(io, file, offsetof(struct vmdk_disk_header, descriptor_size));
	const u64 record = end - sizeof(struct vmdk_disk_moved);
	u8 magic[sizeof(VMDK_MOVED_MAGIC) - 1];
	u64 pos, len;

	fz_peek(io, file, record, magic, sizeof(magic));
	if (memcmp(magic, VMDK_MOVED_MAGIC, sizeof(magic)))
		return FZ_SETTLED;
	pos = peek_bytes(io, file, record + offsetof(struct vmdk_disk_moved, home));
	len = peek_bytes(io, file, record + offsetof(struct vmdk_disk_moved, home_size));
	if (table_in(io, file, peek_bytes(io, file, offsetof(struct vmdk_disk_header, gd_offset)),
		     pos, len) ||
	    table_in(io, file, peek_bytes(io, file, offsetof(struct vmdk_disk_header, rgd_offset)),
		     pos, len))
		return FZ_LYING;
	return FZ_PENDING;
}

const struct fz_backend fz_backends[] = {
	{ .format = &vd_format_raw, .kinds = raw_kinds },
	{ .format = &vd_format_vmdk, .kinds = vmdk_kinds, .taken = vmdk_ranges,
	  .pending = vmdk_pending },
	{ .format = &vd_format_vdi, .kinds = vdi_kinds, .taken = vdi_ranges,
	  .walk = vdi_walk_bytes, .renews = true, .any_comment = true },
	{ .format = NULL },
};

const struct fz_backend *fz_backend(const struct vd_format *format)
{
	const struct fz_backend *b;

	for (b = fz_backends; b->format; b++)
		if (b->format == format)
			return b;
	return NULL;
}

const struct fz_backend *fz_backend_of(u32 kind)
{
	const struct fz_backend *b;
	const u32 *k;

	for (b = fz_backends; b->format; b++)
		for (k = b->kinds; *k != KINDS_END; k++)
			if (*k == kind)
				return b;
	return NULL;
}

/*
 * A pass for all, one for each 32nd of what can be named, and that twice; then copies,
 * after another look each.
 */
#define WALK_PASSES	(2U * 33U + 4U)
#define WALK_STEP	65536U
#define WALK_MOST	(2U << 20)

u64 fz_walk_cap(struct fz_once *once, u32 file, u32 kind)
{
	const struct fz_backend *b = fz_backend_of(kind);
	u64 bytes = b && b->walk && file < once->io.nr_files ? b->walk(&once->io, file) : 0;

	if (bytes > WALK_MOST)
		return FZ_TOO_LONG;
	return bytes ? (bytes / WALK_STEP + 1) * WALK_PASSES : 0;
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
