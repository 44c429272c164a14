// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the proof of checked.h rests on. Its provers know numbers, not bits: what
 * shifts and masks are in numbers stands here, as axioms that bits.sh has proved
 * by a solver that does know bits.
 */

/*@ axiomatic Bits {
	axiom power: \forall integer s; 0 <= s < 64 ==>
		1 <= 1 << s <= 0x8000000000000000;
	axiom split: \forall integer n, s; 0 <= n <= 0xffffffffffffffff && 0 <= s < 64 ==>
		n == (n >> s) * (1 << s) + (n & (1 << s) - 1);
	axiom rest: \forall integer n, s; 0 <= n <= 0xffffffffffffffff && 0 <= s < 64 ==>
		0 <= (n & (1 << s) - 1) < 1 << s;
	axiom small: \forall integer n, s; 0 <= n <= 0xffffffffffffffff && 0 <= s < 64 ==>
		0 <= n >> s <= n - (n & (1 << s) - 1);
	axiom single: \forall integer n; 0 < n <= 0xffffffffffffffff ==>
		((n & n - 1) == 0 <==> \exists integer i; 0 <= i < 64 && n == 1 << i);
    }
*/

#include "vdisk/checked.h"
