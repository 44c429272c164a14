// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writing COWD extents. As hosted sparse, with one copy of the tables, which
 * appear on demand, and a counter in the header that says where free space
 * begins: others believe it, so it is durable before anything refers to what it
 * counts; we do not.
 *
 *	unclean flag	durable before the first allocation, cleared at the end
 *	freeSector	rank 0
 *	data, new GT	flushed by the commit before
 *	GTE, GDE	rank 1: a new table is durable zeros before that
 */
#include "vdisk/caps.h"
#include "vdisk/checked.h"
#include "vdisk/format.h"
#include "vmdk.h"

#define COWD_RANK_FREE		0
#define COWD_RANK_TABLES	1
/* What freeSector can still name as the end. */
#define COWD_FILE_LIMIT		((u64)U32_MAX << VD_SECTOR_SHIFT)

/* --- begin and end --- */

static int cowd_mark_unclean(struct vd_segment *seg, bool unclean)
{
	u8 raw[4];

	put_unaligned_le32(unclean, raw);
	return vd_mark(seg->chain, seg->file, offsetof(struct cowd_disk_header, unclean_shutdown),
		       raw, sizeof(raw));
}

static int cowd_scan(struct vd_segment *seg, const struct cowd *c, struct vmdk_scan *scan)
{
	u64 i, pos;
	u32 gde;
	int ret = 0;

	for (i = 0; !ret && i < c->dir.count; i++) {
		ret = vd_table_get32(&c->dir, i, 0, &gde);
		if (ret || !gde)
			continue;
		pos = (u64)gde << VD_SECTOR_SHIFT;
		if (!cowd_table_ok(seg, c, pos))
			return vd_corrupt(seg, "entry %llu of the COWD directory is sector %u, where no grain table can be: the image cannot be written",
					  i, gde);
		ret = vmdk_scan_table(scan, pos, COWD_GT_BYTES);
	}
	return ret;
}

int cowd_begin(struct vd_segment *seg)
{
	struct cowd *c = seg->priv;
	struct vmdk_scan scan;
	int ret;

	ret = vmdk_scan_begin(&scan, seg, c->data_pos);
	if (ret)
		return ret;
	ret = vmdk_scan_end(&scan, cowd_scan(seg, c, &scan));
	if (!ret)
		ret = cowd_mark_unclean(seg, true);
	if (!ret && !c->space.file)
		vd_space_init(seg->chain, &c->space, seg->file, scan.end, COWD_FILE_LIMIT);
	return ret;
}

/* A hostile image may end past what the field can hold. */
static u32 cowd_free_sector(const struct cowd *c)
{
	return (u32)(min(c->space.end, COWD_FILE_LIMIT) >> VD_SECTOR_SHIFT);
}

int cowd_end(struct vd_segment *seg)
{
	struct cowd *c = seg->priv;
	u8 raw[4];
	int ret;

	c->free = cowd_free_sector(c);
	put_unaligned_le32(c->free, raw);
	ret = vd_mark(seg->chain, seg->file, offsetof(struct cowd_disk_header, free_sector), raw,
		      sizeof(raw));
	if (ret || c->unclean)
		return ret;
	return cowd_mark_unclean(seg, false);
}

/* --- reserve and publish --- */

static int cowd_pin(struct vd_segment *seg, u64 pos, u32 len, u32 rank, struct vd_meta_pin *pin)
{
	int ret = vd_meta_pin(seg->meta, seg->file, pos, len, rank, pin);

	return ret == -EAGAIN ? -EBUSY : ret;
}

/* The header counts everything that is reserved. */
static int cowd_count(struct vd_segment *seg, struct cowd *c)
{
	u32 end = cowd_free_sector(c);
	u64 pos = offsetof(struct cowd_disk_header, free_sector);
	struct vd_meta_pin pin;
	int ret;

	if (end <= c->free)
		return 0;
	ret = cowd_pin(seg, pos, 4, COWD_RANK_FREE, &pin);
	if (ret)
		return ret;
	vd_meta_set32(seg->meta, &pin, pos, end);
	vd_meta_unpin(seg->meta, &pin);
	c->free = end;
	return 0;
}

/* A table of zeros, durable before the directory says so; it may stay unused. */
static int cowd_new_table(struct vd_segment *seg, struct cowd *c, u64 index, u64 *pos)
{
	struct vd_meta_pin pin;
	u64 len = COWD_GT_BYTES;
	bool zeroed = false;
	int ret;

	ret = cowd_pin(seg, c->dir.pos + 4 * index, 4, COWD_RANK_TABLES, &pin);
	if (ret)
		return ret;
	ret = vd_space_take(seg->chain, &c->space, len, VD_META_BLOCK, pos, &len, &zeroed);
	if (ret)
		goto unpin;
	if (!zeroed)
		ret = vd_file_zero(seg->file, *pos, len, false);
	if (!ret)
		ret = cowd_count(seg, c);
	if (ret) {
		vd_space_return(seg->chain, &c->space, *pos, len);
		goto unpin;
	}
	vd_meta_drop(seg->meta, seg->file, *pos, len);
	vd_meta_set32(seg->meta, &pin, pin.pos, (u32)(*pos >> VD_SECTOR_SHIFT));
unpin:
	vd_meta_unpin(seg->meta, &pin);
	return ret;
}

/* The table of @index; *@pos 0: there is none. */
static int cowd_table(struct vd_segment *seg, const struct cowd *c, u64 index, u64 *pos)
{
	u32 gde;
	int ret;

	ret = vd_table_get32(&c->dir, index, 0, &gde);
	if (ret)
		return ret;
	*pos = (u64)gde << VD_SECTOR_SHIFT;
	if (gde && !cowd_table_ok(seg, c, *pos))
		return vd_corrupt(seg, "entry %llu of the COWD directory is sector %u, where no grain table can be",
				  index, gde);
	return 0;
}

/* The entries for [pos, pos + len), as far as one block of the cache has them. */
static u32 cowd_run(const struct cowd *c, u64 pos, u64 len, u64 table, u64 *entry)
{
	u64 n = vd_ceil_shift(len, c->grain_shift);
	u32 index = (u32)((pos >> c->grain_shift) & (COWD_GTES - 1));

	*entry = table + 4 * (u64)index;
	return vmdk_clip_run(*entry, (u32)min_t(u64, n, COWD_GTES - index));
}

static int cowd_entry(struct vd_segment *seg, u64 entry, u32 i, u32 *gte)
{
	u8 raw[4];
	int ret = vd_meta_read(seg->meta, seg->file, entry + 4 * (u64)i, raw, sizeof(raw), 0);

	if (!ret)
		*gte = get_unaligned_le32(raw);
	return ret;
}

/* A writer may have cut the file's last grain: now it becomes whole. */
static int cowd_complete(struct vd_segment *seg, struct cowd *c, u32 gte)
{
	u64 pos = (u64)gte << VD_SECTOR_SHIFT;
	int ret;

	if (!cowd_grain_ok(seg, c, pos))
		return vd_corrupt(seg, "a COWD grain is at sector %u, where none can be", gte);
	ret = vd_space_cover(seg->chain, &c->space, pos + c->grain);
	return ret ? ret : -EAGAIN;
}

static int cowd_clip_free(struct vd_segment *seg, struct cowd *c, u64 entry, u32 *n)
{
	u32 i, gte = 0;
	int ret;

	for (i = 0; i < *n; i++) {
		ret = cowd_entry(seg, entry, i, &gte);
		if (ret)
			return ret;
		if (gte)
			break;
	}
	if (!i)
		return cowd_complete(seg, c, gte);
	*n = i;
	return 0;
}

static int cowd_take(struct vd_segment *seg, struct cowd *c, struct vd_alloc *alloc)
{
	bool zeroed = false;
	int ret;

	ret = vd_space_take(seg->chain, &c->space, c->grain, c->grain, &alloc->file_pos,
			    &alloc->room, &zeroed);
	if (ret)
		return ret;
	ret = cowd_count(seg, c);
	if (ret) {
		vd_space_return(seg->chain, &c->space, alloc->file_pos, alloc->room);
		return ret;
	}
	alloc->file = seg->file;
	alloc->flags = zeroed ? VD_ALLOC_ZEROED : 0;
	return 0;
}

int cowd_reserve(struct vd_segment *seg, u64 pos, u64 len, struct vd_alloc *alloc)
{
	struct cowd *c = seg->priv;
	u64 index = pos >> (c->grain_shift + COWD_GTES_SHIFT);
	u64 table, entry;
	u32 n;
	int ret;

	ret = cowd_table(seg, c, index, &table);
	if (!ret && !table)
		ret = cowd_new_table(seg, c, index, &table);
	if (ret)
		return ret;
	n = cowd_run(c, pos, len, table, &entry);
	ret = cowd_clip_free(seg, c, entry, &n);
	if (!ret)
		ret = cowd_pin(seg, entry, 4 * n, COWD_RANK_TABLES, &alloc->pin[0]);
	if (ret)
		return ret;
	alloc->room = (u64)n << c->grain_shift;
	ret = cowd_take(seg, c, alloc);
	if (ret) {
		vd_meta_unpin(seg->meta, &alloc->pin[0]);
		return ret;
	}
	return 0;
}

void cowd_publish(struct vd_segment *seg, struct vd_alloc *alloc)
{
	const struct cowd *c = seg->priv;
	const struct vd_meta_pin *pin = &alloc->pin[0];
	u32 n = (u32)(alloc->room >> c->grain_shift);
	u32 i, gte = (u32)(alloc->file_pos >> VD_SECTOR_SHIFT);

	for (i = 0; i < n; i++, gte += c->grain >> VD_SECTOR_SHIFT)
		vd_meta_set32(seg->meta, pin, pin->pos + 4 * (u64)i, gte);
}

/* --- discard --- */

static int cowd_clear_entry(struct vd_segment *seg, struct cowd *c, const struct vd_meta_pin *pin,
			    u32 i, u64 guest)
{
	u64 pos;
	u32 gte;
	int ret;

	ret = cowd_entry(seg, pin->pos, i, &gte);
	if (ret || !gte)
		return ret;
	pos = (u64)gte << VD_SECTOR_SHIFT;
	if (!cowd_grain_ok(seg, c, pos))
		return vd_corrupt(seg, "a COWD grain is at sector %u, where none can be", gte);
	vd_meta_set32(seg->meta, pin, pin->pos + 4 * (u64)i, 0);
	vd_space_free(seg->chain, &c->space, pos, c->grain, guest);
	return 0;
}

/* A run that has nothing to clear costs no write. */
static int cowd_has_work(struct vd_segment *seg, u64 entry, u32 n)
{
	u32 i, gte;
	int ret;

	for (i = 0; i < n; i++) {
		ret = cowd_entry(seg, entry, i, &gte);
		if (ret || gte)
			return ret ? ret : 1;
	}
	return 0;
}

/* An absent grain is the parent's, and nothing else says zeros. */
int cowd_discard(struct vd_segment *seg, u64 pos, u64 len, unsigned int flags, u64 *done)
{
	struct cowd *c = seg->priv;
	u64 covered = (u64)c->grain << COWD_GTES_SHIFT;
	struct vd_meta_pin pin;
	u64 table, entry;
	u32 n, i;
	int ret;

	if (seg->chain->nr_images > 1)
		return -EOPNOTSUPP;
	ret = cowd_table(seg, c, pos >> (c->grain_shift + COWD_GTES_SHIFT), &table);
	if (ret)
		return ret;
	if (!table) {
		*done = min(len, covered - (pos & (covered - 1)));
		return 0;
	}
	n = cowd_run(c, pos, len, table, &entry);
	*done = min(len, (u64)n << c->grain_shift);
	ret = cowd_has_work(seg, entry, n);
	if (ret <= 0)
		return ret;
	ret = cowd_pin(seg, entry, 4 * n, COWD_RANK_TABLES, &pin);
	if (ret)
		return ret;
	for (i = 0; !ret && i < n; i++)
		ret = cowd_clear_entry(seg, c, &pin, i, pos + ((u64)i << c->grain_shift));
	vd_meta_unpin(seg->meta, &pin);
	return ret;
}
