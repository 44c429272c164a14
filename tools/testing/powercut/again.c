// SPDX-License-Identifier: GPL-2.0-only
/* Go on from a state: check, merge, write, end; what the disk held must stay. */
#include <stdlib.h>

#include "powercut.h"

#define LONGEST	128	/* sectors of a request */

static u8 *at(u8 *zones, u64 sector)
{
	return zones + (sector / PC_PIECE * PC_ZONE + sector % PC_PIECE) * PC_SECTOR;
}

static bool repair(struct pc_walk *w)
{
	u64 found[VD_FINDING_CORRUPT + 1];

	if (!pc_check(&w->disk, 0, found, w->rule))
		return false;
	if (!found[VD_FINDING_UNCLEAN])
		return true;
	if (!pc_check(&w->disk, VD_CHECK_REPAIR | VD_CHECK_MERGE, found, w->rule) ||
	    !pc_check(&w->disk, 0, found, w->rule))
		return false;
	if (found[VD_FINDING_UNCLEAN] || found[VD_FINDING_CORRUPT])
		return pc_bad(w->rule, "again: check finds things after the repair");
	return true;
}

static int issue(struct pc_walk *w, struct vd_chain *chain, u64 sector, u64 nr)
{
	u8 *shadow = at(w->shadow, sector);
	u64 i;

	switch (ut_below(&w->rng, 4)) {
	case 0:
		memset(shadow, 0, nr * PC_SECTOR);
		return vd_write_zeroes(chain, sector * PC_SECTOR, nr * PC_SECTOR,
				       ut_below(&w->rng, 2));
	case 1:
		return vd_flush(chain);
	}
	for (i = 0; i < nr; i++)
		pc_stamp_make((struct pc_stamp *)(shadow + i * PC_SECTOR), w->oracle.seed + 1,
			      w->stats.states, sector + i);
	return vd_write(chain, sector * PC_SECTOR, shadow, (u32)(nr * PC_SECTOR));
}

static bool same(struct pc_walk *w, struct vd_chain *chain, const char *when)
{
	u64 len = pc_zones_len(w->oracle.sectors), i;

	if (!pc_read_zones(chain, w->oracle.sectors, w->buf, w->rule))
		return false;
	for (i = 0; i < len && !memcmp(w->buf + i, w->shadow + i, PC_SECTOR); i += PC_SECTOR)
		;
	return i == len || pc_bad(w->rule, "again: sector %llu of the zones has changed %s",
				  i / PC_SECTOR, when);
}

/* What was not flushed may be another of those that may be, once copies are merged. */
static bool read_first(struct pc_walk *w, struct vd_chain *chain)
{
	return pc_read_zones(chain, w->oracle.sectors, w->shadow, w->rule) &&
	       pc_judge_zones(w, w->shadow);
}

static bool write_more(struct pc_walk *w)
{
	struct vd_chain *chain = pc_open(&w->disk, true, w->rule);
	bool good = chain && read_first(w, chain);
	u64 sector, nr, n;
	int ret = 0;

	for (n = 4 + ut_below(&w->rng, 5); good && !ret && n; n--) {
		nr = 1 + ut_below(&w->rng, LONGEST);
		sector = ut_below(&w->rng, w->oracle.sectors / PC_PIECE) * PC_PIECE +
			 ut_below(&w->rng, PC_ZONE - nr);
		ret = issue(w, chain, sector, nr);
	}
	good = good && same(w, chain, "by writing");
	if (good && !ret)
		ret = vd_end_write(chain);
	if (chain)
		vd_chain_close(chain);
	return !ret ? good : pc_bad(w->rule, "again: error %d", ret);
}

static bool reopen(struct pc_walk *w)
{
	u64 found[VD_FINDING_CORRUPT + 1];
	struct vd_chain *chain;
	bool good;

	if (!pc_check(&w->disk, 0, found, w->rule))
		return false;
	if (found[VD_FINDING_CORRUPT] || found[VD_FINDING_UNCLEAN])
		return pc_bad(w->rule, "again: check finds things after an orderly end");
	chain = pc_open(&w->disk, false, w->rule);
	good = chain && same(w, chain, "by the end");
	if (chain)
		vd_chain_close(chain);
	return good;
}

bool pc_again(struct pc_walk *w)
{
	w->stats.again++;
	return repair(w) && write_more(w) && reopen(w);
}
