// SPDX-License-Identifier: GPL-2.0-only
/* Which check is removed: the number in VD_MUTANT; 0 or nothing: none. */
#include <stdlib.h>

int vd_keep(int check);

int vd_keep(int check)
{
	static int removed = -1;

	if (removed < 0) {
		const char *text = getenv("VD_MUTANT");

		removed = text ? atoi(text) : 0;
	}
	return check != removed;
}
