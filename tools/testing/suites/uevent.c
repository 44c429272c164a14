// SPDX-License-Identifier: GPL-2.0-only
/* What the kernel tells udev of a disk. */
#include <string.h>

#include "suite.h"
#include "uevents.h"

static void note_disk(struct tale *t, const struct uevent *ev)
{
	const char *action = uevent_property(ev, "ACTION");

	t->disk_add += !strcmp(action, "add");
	t->disk_change += !strcmp(action, "change");
	t->disk_remove += !strcmp(action, "remove");
	t->resize += !strcmp(uevent_property(ev, "RESIZE"), "1");
}

static void note_part(struct tale *t, const struct uevent *ev)
{
	const char *action = uevent_property(ev, "ACTION");

	t->part_add += !strcmp(action, "add");
	t->part_change += !strcmp(action, "change");
	t->part_remove += !strcmp(action, "remove");
}

void tale_read(struct tale *t, const struct vdev *dev)
{
	const char *disk = disk_name(dev), *name;
	size_t len = strlen(disk);
	static struct uevent ev;

	memset(t, 0, sizeof(*t));
	while (uevent_next(&ev, 0)) {
		name = strrchr(uevent_property(&ev, "DEVPATH"), '/');
		if (!name || strcmp(uevent_property(&ev, "SUBSYSTEM"), "block"))
			continue;
		name++;
		if (!strcmp(name, disk))
			note_disk(t, &ev);
		else if (!strncmp(name, disk, len) && name[len] == 'p')
			note_part(t, &ev);
	}
}
