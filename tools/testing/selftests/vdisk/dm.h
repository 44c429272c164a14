/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Devices of the device mapper over another one, by ioctl: backing stores that
 * fail, stand still or fill up when a test wants them to.
 *
 * A table is lines of "START SECTORS TARGET PARAMETERS", as dmsetup takes them.
 */
#ifndef VDT_DM_H
#define VDT_DM_H

#include "tap.h"
#include "util.h"

#define DM_TABLE	512

struct dm {
	char name[32];
	char path[32];		/* /dev/dm-N */
	char table[DM_TABLE];	/* as it was made */
};

/* The device mapper, and module dm-@target unless it is NULL; false: not in this kernel. */
bool dm_begin(const char *target);
/* Bails, like all that follows. */
void dm_create(struct dm *d, const char *name, const char *table);
/* Another table from one request to the next: nothing is flushed, nothing frozen. */
void dm_reload(struct dm *d, const char *table);
/* Back to the table that it was made with. */
void dm_heal(struct dm *d);
/* Requests wait from here on; no file system is asked first. */
void dm_suspend(struct dm *d);
void dm_resume(struct dm *d);
void dm_message(struct dm *d, const char *text);
void dm_remove(struct dm *d);

#endif /* VDT_DM_H */
