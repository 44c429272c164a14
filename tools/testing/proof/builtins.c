// SPDX-License-Identifier: GPL-2.0-only
/*
 * Are the bodies that include/builtins.h has for Frama-C what the compiler has built
 * in? Every pair of numbers around a power of two, and one after the other pair.
 */
#include <stdio.h>

#include "builtins.h"

#undef __builtin_add_overflow
#undef __builtin_mul_overflow
#undef __builtin_clzll

static unsigned long long edge[64 * 5];

static int differs(unsigned long long a, unsigned long long b)
{
	unsigned long long ours = 0, theirs = 0;

	if (proof_add_overflow(a, b, &ours) != __builtin_add_overflow(a, b, &theirs) ||
	    ours != theirs)
		return 1;
	if (proof_mul_overflow(a, b, &ours) != __builtin_mul_overflow(a, b, &theirs) ||
	    ours != theirs)
		return 1;
	return a && proof_clzll(a) != __builtin_clzll(a);
}

int main(void)
{
	unsigned long pairs = 0;
	unsigned int n = 0, i, j;

	for (i = 0; i < 64; i++)
		for (j = 0; j < 5; j++)
			edge[n++] = (1ULL << i) + j - 2;
	for (i = 0; i < n; i++) {
		for (j = 0; j < n; j++, pairs++) {
			if (differs(edge[i], edge[j])) {
				printf("%llu %llu\n", edge[i], edge[j]);
				return 1;
			}
		}
	}
	printf("%lu pairs\n", pairs);
	return 0;
}
