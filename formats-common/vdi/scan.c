// SPDX-License-Identifier: GPL-2.0-only
/*
 * What does the whole map say about slots? Asked before the first write: neither the
 * header's counter nor the size of the file says which slots are in use, and two
 * blocks in one slot would change together.
 *
 * A bitmap of the slots shows doubles and holes. It covers a window of them, and for
 * each window that has any the map is read again, so that memory has a bound
 * whatever numbers an image is made of.
 */
#include "vdi.h"

#define SCAN_BYTES	65536U
/* Slots in a window: 16 MiB of bitmap, 128 TiB of usual blocks. */
#define WINDOW_SHIFT	27
#define WINDOWS		(1U << (32 - WINDOW_SHIFT))

int vdi_walk(struct vd_file *file, const struct vdi_header *h,
	     int (*entry)(void *ctx, u32 block, u32 value), void *ctx)
{
	u32 block = 0, i, n;
	int ret = 0;
	u8 *buf;

	buf = vd_zalloc(SCAN_BYTES);
	if (!buf)
		return -ENOMEM;
	for (; !ret && block < h->blocks; block += n) {
		n = min(h->blocks - block, SCAN_BYTES / 4);
		ret = vd_file_read(file, h->map_pos + 4 * (u64)block, buf, 4 * n);
		for (i = 0; !ret && i < n; i++)
			ret = entry(ctx, block + i, get_unaligned_le32(buf + 4 * (u64)i));
	}
	vd_free(buf);
	return ret;
}

/**
 * struct pass - one reading of the map
 * @scan: whose
 * @bits: which slots of the window are taken; NULL in the first pass
 * @slots: that the file has
 * @first: slot that the window begins with
 * @nr: slots of the window
 * @windows: the first pass: those that any slot is in
 */
struct pass {
	struct vdi_scan *scan;
	u64 *bits;
	u32 slots;
	u32 first;
	u32 nr;
	bool windows[WINDOWS];
};

static bool go_on(struct vdi_scan *scan)
{
	scan->done++;
	return (scan->done & 0xffff) || !scan->go_on ||
	       scan->go_on(scan->ctx, scan->done, scan->total);
}

static int find_windows(void *ctx, u32 block, u32 value)
{
	struct pass *p = ctx;
	struct vdi_scan *scan = p->scan;

	if (!go_on(scan))
		return -EINTR;
	if (!vdi_is_slot(value))
		return 0;
	if (value >= p->slots) {
		if (!scan->outside++)
			scan->outside_block = block;
		return 0;
	}
	scan->used++;
	scan->high = max(scan->high, value + 1);
	p->windows[value >> WINDOW_SHIFT] = true;
	return 0;
}

static int find_doubles(void *ctx, u32 block, u32 value)
{
	struct pass *p = ctx;
	struct vdi_scan *scan = p->scan;
	u32 bit = value - p->first;

	if (!go_on(scan))
		return -EINTR;
	if (!vdi_is_slot(value) || value < p->first || bit >= p->nr)
		return 0;
	if (p->bits[bit / 64] >> bit % 64 & 1) {
		if (!scan->shared++)
			scan->shared_block = block;
	}
	p->bits[bit / 64] |= 1ULL << bit % 64;
	return 0;
}

static int tell_hole(const struct vdi_scan *scan, u32 from, u32 to)
{
	return from < to && scan->hole ? scan->hole(scan->ctx, from, to - from) : 0;
}

/* Runs of clear bits; one that reaches the window's end goes on in the next. */
static int find_holes(const struct pass *p, u32 *hole)
{
	u32 i;
	int ret = 0;

	for (i = 0; !ret && i < p->nr; i++) {
		if (!(i % 64) && !p->bits[i / 64]) {
			i += 63;
			continue;
		}
		if (!(p->bits[i / 64] >> i % 64 & 1))
			continue;
		ret = tell_hole(p->scan, *hole, p->first + i);
		*hole = p->first + i + 1;
	}
	return ret;
}

/* For one bit each; a window has no more than fit. */
static size_t words(u32 slots)
{
	return slots / 64 + !!(slots % 64);
}

static int scan_window(struct pass *p, u32 *hole)
{
	int ret;

	memset(p->bits, 0, words(p->nr) * sizeof(*p->bits));
	ret = vdi_walk(p->scan->file, p->scan->header, find_doubles, p);
	return ret ? ret : find_holes(p, hole);
}

static int scan_windows(struct pass *p)
{
	struct vdi_scan *scan = p->scan;
	u32 size = min(scan->high, 1U << WINDOW_SHIFT), hole = 0, i;
	int ret = 0;

	p->bits = vd_zalloc(words(size) * sizeof(*p->bits));
	if (!p->bits)
		return -ENOMEM;
	for (i = 0; !ret && i < WINDOWS; i++) {
		if (!p->windows[i])
			continue;
		p->first = i << WINDOW_SHIFT;
		p->nr = min(scan->high - p->first, 1U << WINDOW_SHIFT);
		ret = scan_window(p, &hole);
	}
	vd_free(p->bits);
	return ret;
}

int vdi_scan(struct vdi_scan *scan)
{
	struct pass p = { .scan = scan, .slots = vdi_slots_in(scan->header, scan->file->size) };
	u32 i;
	int ret;

	scan->used = 0;
	scan->high = 0;
	scan->outside = 0;
	scan->shared = 0;
	scan->done = 0;
	scan->total = 2 * (u64)scan->header->blocks;
	ret = vdi_walk(scan->file, scan->header, find_windows, &p);
	if (ret || !scan->high)
		return ret;
	for (i = 1; i < WINDOWS; i++)
		scan->total += p.windows[i] ? scan->header->blocks : 0;
	return scan_windows(&p);
}

int vdi_scan_verdict(const struct vdi_scan *scan, struct vd_error *err)
{
	if (scan->shared)
		return vd_fail(err, -EUCLEAN,
			       "%u blocks of its map, block %u the first, share their place in the file with others",
			       scan->shared, scan->shared_block);
	if (scan->outside)
		return vd_fail(err, -EUCLEAN,
			       "%u blocks of its map, block %u the first, lie past the end of the file",
			       scan->outside, scan->outside_block);
	return 0;
}
