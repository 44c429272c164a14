// SPDX-License-Identifier: GPL-2.0-only
#include <stdlib.h>

#include "fz-shadow.h"

void fz_shadow_init(struct fz_shadow *s)
{
	s->sectors = calloc(FZ_SHADOW_SECTORS, sizeof(*s->sectors));
	s->nr = 0;
	if (!s->sectors)
		abort();
}

void fz_shadow_release(struct fz_shadow *s)
{
	free(s->sectors);
	s->sectors = NULL;
}

struct fz_sector *fz_shadow_get(struct fz_shadow *s, u64 pos)
{
	u32 at = (u32)((pos / VD_SECTOR * 0x9e3779b97f4a7c15ULL) >> 40) % FZ_SHADOW_SECTORS;

	while (s->sectors[at].state != FZ_EMPTY && s->sectors[at].pos != pos)
		at = (at + 1) % FZ_SHADOW_SECTORS;
	if (s->sectors[at].state == FZ_EMPTY) {
		if (s->nr >= FZ_SHADOW_SECTORS / 4 * 3)
			return NULL;
		s->nr++;
		s->sectors[at].pos = pos;
	}
	return &s->sectors[at];
}
