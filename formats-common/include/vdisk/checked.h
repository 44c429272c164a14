/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Arithmetic on numbers that an image supplied. Everything is u64; a helper
 * returns false instead of wrapping, so a forgotten check does not compile
 * away (results are only reachable through the out parameter).
 */
#ifndef VDISK_CHECKED_H
#define VDISK_CHECKED_H

#include "vd_port.h"
#include "vdisk/caps.h"

static inline bool __must_check vd_add(u64 a, u64 b, u64 *out)
{
	return !check_add_overflow(a, b, out);
}

static inline bool __must_check vd_mul(u64 a, u64 b, u64 *out)
{
	return !check_mul_overflow(a, b, out);
}

/* Sectors to bytes. */
static inline bool __must_check vd_sectors(u64 sectors, u64 *bytes)
{
	return vd_mul(sectors, VD_SECTOR, bytes);
}

/* Does [pos, pos + len) lie inside [0, size)? An empty range at size does. */
static inline bool __must_check vd_inside(u64 pos, u64 len, u64 size)
{
	return pos <= size && len <= size - pos;
}

/* Do two ranges that are known not to wrap share a byte? */
static inline bool vd_overlap(u64 a, u64 alen, u64 b, u64 blen)
{
	return alen && blen && a < b + blen && b < a + alen;
}

/* ceil(n / d) without wrapping, d a power of two given as shift. */
static inline u64 vd_ceil_shift(u64 n, unsigned int shift)
{
	return (n >> shift) + !!(n & ((1ULL << shift) - 1));
}

#endif /* VDISK_CHECKED_H */
