/* SPDX-License-Identifier: GPL-2.0-only */
/* Repeatable numbers, for programs that are no unit test too. */
#ifndef UT_RNG_H
#define UT_RNG_H

#include "vd_port.h"

static inline u64 ut_mix(u64 x)
{
	x += 0x9e3779b97f4a7c15ULL;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

struct ut_rng {
	u64 state;
};

static inline u64 ut_rand(struct ut_rng *rng)
{
	rng->state += 0x9e3779b97f4a7c15ULL;
	return ut_mix(rng->state);
}

/* 0 <= result < n */
static inline u64 ut_below(struct ut_rng *rng, u64 n)
{
	return ut_rand(rng) % n;
}

#endif /* UT_RNG_H */
