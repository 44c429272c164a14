// SPDX-License-Identifier: GPL-2.0-only
/*
 * mark N: tell the counting plugin (count.c) that something begins or ends.
 * One no-op whose displacement is a number that no compiler would choose.
 */
#include <stdlib.h>

#include "mark.h"

int main(int argc, char **argv)
{
	int label = argc == 2 ? atoi(argv[1]) : 0;

	/* The label is in a register that the plugin cannot read: N no-ops. */
	__asm__ volatile(MARK_BEGIN);
	for (; label > 0; label--)
		__asm__ volatile(MARK_STEP);
	__asm__ volatile(MARK_END);
	return 0;
}
