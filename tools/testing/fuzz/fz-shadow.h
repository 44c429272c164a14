/* SPDX-License-Identifier: GPL-2.0-only */
/* What a disk must read after changes, sector by sector, where they were. */
#ifndef FZ_SHADOW_H
#define FZ_SHADOW_H

#include "fz.h"

#define FZ_SHADOW_SECTORS 8192U

enum fz_state {
	FZ_EMPTY,
	FZ_KNOWN,
	FZ_EITHER,	/* what is here, or zeros */
	FZ_UNKNOWN,	/* a change of it failed, or it could not be read */
};

struct fz_sector {
	u64 pos;
	enum fz_state state;
	u8 data[VD_SECTOR];
};

/* @nr: in use; past three quarters nothing is added, and nothing compared. */
struct fz_shadow {
	struct fz_sector *sectors;
	u32 nr;
};

void fz_shadow_init(struct fz_shadow *s);
void fz_shadow_release(struct fz_shadow *s);
/* NULL: full. A new one is FZ_EMPTY. */
struct fz_sector *fz_shadow_get(struct fz_shadow *s, u64 pos);

#endif /* FZ_SHADOW_H */
