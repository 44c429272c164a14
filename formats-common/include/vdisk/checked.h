/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Arithmetic on numbers that an image supplied. Everything is u64; a helper
 * returns false instead of wrapping, so a forgotten check does not compile
 * away (results are only reachable through the out parameter).
 *
 * What each promises is said in ACSL, about numbers without bounds, and proved by
 * "make prove".
 */
#ifndef VDISK_CHECKED_H
#define VDISK_CHECKED_H

#include "vd_port.h"
#include "vdisk/caps.h"

/*@ requires \valid(out);
    assigns *out \from a, b;
    ensures \result <==> a + b <= U64_MAX;
    ensures \result ==> *out == a + b; */
static inline bool __must_check vd_add(u64 a, u64 b, u64 *out)
{
	return !check_add_overflow(a, b, out);
}

/*@ requires \valid(out);
    assigns *out \from a, b;
    ensures \result <==> a * b <= U64_MAX;
    ensures \result ==> *out == a * b; */
static inline bool __must_check vd_mul(u64 a, u64 b, u64 *out)
{
	return !check_mul_overflow(a, b, out);
}

/* Sectors to bytes. */
/*@ requires \valid(bytes);
    assigns *bytes \from sectors;
    ensures \result <==> sectors * VD_SECTOR <= U64_MAX;
    ensures \result ==> *bytes == sectors * VD_SECTOR; */
static inline bool __must_check vd_sectors(u64 sectors, u64 *bytes)
{
	return vd_mul(sectors, VD_SECTOR, bytes);
}

/* Does [pos, pos + len) lie inside [0, size)? An empty range at size does. */
/*@ assigns \result \from pos, len, size;
    ensures \result <==> pos + len <= size; */
static inline bool __must_check vd_inside(u64 pos, u64 len, u64 size)
{
	return pos <= size && len <= size - pos;
}

/* Do two ranges share a byte? Where they end need not fit 64 bits. */
/*@ assigns \result \from a, alen, b, blen;
    ensures \result <==> \exists integer x; a <= x < a + alen && b <= x < b + blen; */
static inline bool vd_overlap(u64 a, u64 alen, u64 b, u64 blen)
{
	return alen && blen && (a < b ? b - a < alen : a - b < blen);
}

/* ceil(n / d) without wrapping, d a power of two given as shift. */
/*@ requires shift < 64;
    assigns \result \from n, shift;
    ensures n <= \result * (1 << shift);
    ensures \result * (1 << shift) < n + (1 << shift); */
static inline u64 vd_ceil_shift(u64 n, unsigned int shift)
{
	return (n >> shift) + !!(n & ((1ULL << shift) - 1));
}

#endif /* VDISK_CHECKED_H */
