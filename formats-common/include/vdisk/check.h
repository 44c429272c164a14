/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Checking the tables of one extent, and repairing them. User space only.
 */
#ifndef VDISK_CHECK_H
#define VDISK_CHECK_H

#include "vd_port.h"
#include "vdisk/error.h"
#include "vdisk/file.h"

/* struct vd_check.flags */
#define VD_CHECK_REPAIR	(1U << 0)	/* write; without it nothing is written */
#define VD_CHECK_MERGE	(1U << 1)	/* repair only what a crash can leave: one of
					 * two copies of a table not written, the
					 * mark of an unfinished writer */
#define VD_CHECK_IF_MARKED (1U << 2)	/* without that mark: look no further */

/* What a repair of damage does to a part of the disk. */
enum vd_change {
	VD_CHANGE_COPIED,	/* shared its place, has a copy of its own now; reads as before */
	VD_CHANGE_ALTERED,	/* reads other than before, if it could be read at all */
};

enum vd_finding {
	VD_FINDING_NOTE,	/* legal, worth telling */
	VD_FINDING_LEAK,	/* space that nothing refers to */
	VD_FINDING_UNCLEAN,	/* what a crash may leave; MERGE repairs it */
	VD_FINDING_CORRUPT,	/* contradicts the format's rules */
};

/**
 * struct vd_check - one run over one extent
 * @flags: VD_CHECK_*
 * @report: told each finding, as a sentence without final stop; may be NULL.
 *	After VD_CHECK_REPORTS findings of one kind they are only counted.
 * @progress: called now and then; false stops the check with -EINTR. May be
 *	NULL. A repair that is stopped leaves an image that is no worse.
 * @changed: told [pos, pos + len) of the extent, for each part that a repair of
 *	damage changes, or without REPAIR would change. May be NULL
 * @save: called before a repair of damage writes: keep [pos, pos + len) of the file, which
 *	may change; an error stops it. May be NULL
 * @random: for a repair that makes new UUIDs: two
 * @found: findings of each kind
 * @repaired: how many of them were (or without REPAIR: would be) repaired
 * @units, @used_units: allocation units of the extent, and how many have a
 *	place in the file
 * @end: end of the highest place that the tables refer to; past the end of the
 *	file when its last unit was cut short
 * @unit: bytes of a unit
 * @leaked: bytes between units in use that nothing refers to
 * @altered: how often @changed was, or would have been, told of VD_CHANGE_ALTERED
 * @lone: tables that only one of two directories has
 *
 * All but the first seven fields are set by the check, from 0.
 */
struct vd_check {
	unsigned int flags;
	void (*report)(void *ctx, enum vd_finding kind, const char *text);
	bool (*progress)(void *ctx, u64 done, u64 total);
	void (*changed)(void *ctx, enum vd_change how, u64 pos, u64 len);
	int (*save)(void *ctx, struct vd_file *file, u64 pos, u64 len, struct vd_error *err);
	void *ctx;
	u8 random[32];
	u64 found[VD_FINDING_CORRUPT + 1];
	u64 repaired[VD_FINDING_CORRUPT + 1];
	u64 units;
	u64 used_units;
	u64 end;
	u64 leaked;
	u64 altered;
	u64 lone;
	u32 unit;
};

#define VD_CHECK_REPORTS 20

/* For backends. */

/* All that the check sets, to 0. */
void vd_check_begin(struct vd_check *check);
/* One finding; @fixable: a repair takes care of it, if that is asked for. */
void vd_check_found(struct vd_check *check, enum vd_finding kind, bool fixable,
		    const char *fmt, ...) __printf(4, 5);
/* -EINTR: stop. */
int vd_check_progress(struct vd_check *check, struct vd_error *err, u64 done, u64 total);

#endif /* VDISK_CHECK_H */
