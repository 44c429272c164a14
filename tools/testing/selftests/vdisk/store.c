// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store.h"

#define SECTORS	(STORE_SIZE / SECTOR)
#define BUSY_MS	20000

static void make_fs(const struct store *st)
{
	struct run r;

	if (!strcmp(st->fs, "ext4"))
		run(&r, "mkfs.ext4", "-q", "-F", "-b", "4096", "-E", "nodiscard", "-J", "size=4",
		    st->dm.path, NULL);
	else
		run(&r, "mkfs.xfs", "-q", "-f", "-K", "--unsupported", "-l", "size=8m",
		    st->dm.path, NULL);
	if (r.status)
		bail("no %s: %s", st->fs, r.err);
}

static void mount_fs(const struct store *st)
{
	if (mount(st->dm.path, st->dir, st->fs, 0, NULL))
		bail("mount %s: %s", st->fs, err_name(errno));
}

/* The last reference to a file may still be on its way. */
static void unmount_fs(const struct store *st)
{
	if (!wait_until(!umount(st->dir) || errno != EBUSY, BUSY_MS))
		bail("%s is in use", st->dir);
}

void store_make(struct store *st, const char *fs, const char *under)
{
	char table[DM_TABLE];

	memset(st, 0, sizeof(*st));
	st->fs = fs;
	st->under = under ? under : place_bdev();
	if (!st->under || !dm_begin("flakey"))
		bail("VDT_BDEV is not set, or there is no dm-flakey");
	snprintf(table, sizeof(table), "0 %llu linear %s 0", SECTORS, st->under);
	dm_create(&st->dm, "vdt-store", table);
	snprintf(st->dir, sizeof(st->dir), "%s/store", scratch_dir());
	mkdir(st->dir, 0700);
	if (fs) {
		make_fs(st);
		mount_fs(st);
	}
}

void store_end(struct store *st)
{
	if (st->fs)
		unmount_fs(st);
	dm_remove(&st->dm);
	rmdir(st->dir);
}

/* All of it, but @target for sectors [from, to), which knows the device below if it has @params. */
static void lay(struct store *st, const char *target, const char *params, u64 from, u64 to)
{
	char table[DM_TABLE];
	int n = 0;

	if (from)
		n = snprintf(table, sizeof(table), "0 %llu linear %s 0\n",
			     (unsigned long long)from, st->under);
	n += snprintf(table + n, sizeof(table) - n, "%llu %llu %s", (unsigned long long)from,
		      (unsigned long long)(to - from), target);
	if (params)
		n += snprintf(table + n, sizeof(table) - n, " %s %llu %s", st->under,
			      (unsigned long long)from, params);
	if (to < SECTORS)
		snprintf(table + n, sizeof(table) - n, "\n%llu %llu linear %s %llu",
			 (unsigned long long)to, (unsigned long long)(SECTORS - to), st->under,
			 (unsigned long long)to);
	dm_reload(&st->dm, table);
}

void store_break(struct store *st, enum store_fault fault, u64 from, u64 to)
{
	if (fault == STORE_ERROR)
		lay(st, "error", NULL, from, to);
	else
		lay(st, "flakey", fault == STORE_DROP_WRITES ? "0 10000 1 drop_writes" :
							       "0 10000 1 error_writes", from, to);
}

void store_break_all(struct store *st, enum store_fault fault)
{
	store_break(st, fault, 0, SECTORS);
}

void store_heal(struct store *st)
{
	dm_heal(&st->dm);
}

void store_renew(struct store *st)
{
	store_heal(st);
	if (!st->fs)
		return;
	unmount_fs(st);
	mount_fs(st);
}

void store_place(const struct store *st, struct chain *c)
{
	unsigned int i;

	for (i = 0; i < c->nr; i++)
		c->images[i].dir = st->dir;
	if (!st->fs)
		snprintf(c->images[0].extents[0].path, sizeof(c->images[0].extents[0].path), "%s",
			 st->dm.path);
}
