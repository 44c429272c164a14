/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What gcc has built in and Frama-C does not know. Included before everything
 * else, so that the sources stay as they are.
 */
#ifndef PROOF_BUILTINS_H
#define PROOF_BUILTINS_H

/* What Frama-C does know, before names are changed below. */
#include "__fc_gcc_builtins.h"

/* One thread at a time: see "What other threads do" in Documentation/proof.rst. */
#define __atomic_load_n(p, order)	(*(p))
#define __atomic_store_n(p, v, order)	((void)(*(p) = (v)))
#define __atomic_thread_fence(order)	((void)0)
#define __atomic_exchange_n(p, v, order)	proof_exchange(p, v)
#define __atomic_add_fetch(p, v, order)	(*(p) += (v))
#define __atomic_sub_fetch(p, v, order)	(*(p) -= (v))

/* Sums and products of u64 are all that the analysed code asks for. */
#define __builtin_add_overflow(a, b, d)	proof_add_overflow(a, b, d)
#define __builtin_mul_overflow(a, b, d)	proof_mul_overflow(a, b, d)
#define __builtin_clzll(n)		proof_clzll(n)

static inline int proof_exchange(int *p, int v)
{
	int old = *p;

	*p = v;
	return old;
}

/*
 * As GCC documents them, in the words that Frama-C's library has for the ones with
 * types in their names. The bodies are proved to do so, and compared with the
 * compiler's own by builtins.c.
 */

/*@ requires \valid(res);
    assigns \result, *res \from a, b;
    ensures *res == (unsigned long long)(a + b);
    ensures a + b == (unsigned long long)(a + b) ? \result == 0 : \result == 1; */
static inline _Bool proof_add_overflow(unsigned long long a, unsigned long long b,
				       unsigned long long *res)
{
	*res = a + b;
	return b > ~0ULL - a;
}

/*@ requires \valid(res);
    assigns \result, *res \from a, b;
    ensures *res == (unsigned long long)(a * b);
    ensures a * b == (unsigned long long)(a * b) ? \result == 0 : \result == 1; */
static inline _Bool proof_mul_overflow(unsigned long long a, unsigned long long b,
				       unsigned long long *res)
{
	*res = a * b;
	return b && a > ~0ULL / b;
}

/*@ requires n > 0;
    assigns \result \from n;
    ensures 0 <= \result < 64; */
static inline int proof_clzll(unsigned long long n)
{
	int zeros = 63;

	/*@ loop invariant -1 < zeros <= 63;
	    loop invariant 0 < n < 1 << (zeros + 1) || zeros == 63;
	    loop assigns n, zeros; */
	while (n > 1) {
		n >>= 1;
		zeros--;
	}
	return zeros;
}

#ifdef EACH_LENGTH
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Lengths of strings one by one, where a place and what is left of it must add up. */
size_t each_length(const char *s);
#define strlen(s) each_length(s)
#endif

#endif /* PROOF_BUILTINS_H */
