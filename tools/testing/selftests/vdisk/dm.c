// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "dm.h"

#define REMOVE_MS	10000

/* Request and answer; the table or the message follows the header. */
struct message {
	struct dm_ioctl head;
	u8 rest[2048];
};

static int control = -1;

bool dm_begin(const char *target)
{
	char module[32];
	struct run r;

	/* What is built in has no module, and modprobe does not mind. */
	run(&r, "modprobe", "-q", "dm-mod", NULL);
	if (control < 0)
		control = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
	if (control < 0 || !target)
		return control >= 0;
	snprintf(module, sizeof(module), "dm-%s", target);
	return !run(&r, "modprobe", "-q", module, NULL);
}

static void begin(struct message *m, const struct dm *d, u32 flags)
{
	memset(m, 0, sizeof(*m));
	m->head.version[0] = DM_VERSION_MAJOR;
	m->head.data_size = sizeof(*m);
	m->head.data_start = sizeof(m->head);
	m->head.flags = flags;
	snprintf(m->head.name, sizeof(m->head.name), "%s", d->name);
}

static void call(struct message *m, unsigned long cmd, const char *what)
{
	if (ioctl(control, cmd, m))
		bail("dm %s: %s: %s", m->head.name, what, err_name(errno));
}

/* One line of a table, at @at; returns where the next one goes. */
static size_t put_target(struct message *m, size_t at, const char *line, size_t len)
{
	struct dm_target_spec spec = { 0 };
	unsigned long long start, sectors;
	char text[DM_TABLE];
	int skip = 0;

	snprintf(text, sizeof(text), "%.*s", (int)len, line);
	if (sscanf(text, "%llu %llu %15s %n", &start, &sectors, spec.target_type, &skip) != 3)
		bail("no line of a table: %s", text);
	len = strlen(text + skip) + 1;
	spec.sector_start = start;
	spec.length = sectors;
	spec.next = (sizeof(spec) + len + 7) / 8 * 8;
	if (at + spec.next > sizeof(m->rest))
		bail("table too long");
	memcpy(m->rest + at, &spec, sizeof(spec));
	memcpy(m->rest + at + sizeof(spec), text + skip, len);
	return at + spec.next;
}

static void load(const struct dm *d, const char *table)
{
	struct message m;
	size_t at = 0, len;

	begin(&m, d, 0);
	for (; *table; table += len + (table[len] == '\n')) {
		len = strcspn(table, "\n");
		at = put_target(&m, at, table, len);
		m.head.target_count++;
	}
	call(&m, DM_TABLE_LOAD, "load");
}

static void suspend(const struct dm *d, u32 flags)
{
	struct message m;

	begin(&m, d, flags);
	call(&m, DM_DEV_SUSPEND, flags ? "suspend" : "resume");
}

void dm_create(struct dm *d, const char *name, const char *table)
{
	struct message m;

	snprintf(d->name, sizeof(d->name), "%s", name);
	snprintf(d->table, sizeof(d->table), "%s", table);
	begin(&m, d, 0);
	call(&m, DM_DEV_CREATE, "create");
	snprintf(d->path, sizeof(d->path), "/dev/dm-%u", minor(m.head.dev));
	load(d, table);
	dm_resume(d);
	if (!wait_until(exists(d->path), 10000))
		bail("no %s", d->path);
}

void dm_reload(struct dm *d, const char *table)
{
	load(d, table);
	dm_suspend(d);
	dm_resume(d);
}

void dm_heal(struct dm *d)
{
	dm_reload(d, d->table);
}

void dm_suspend(struct dm *d)
{
	suspend(d, DM_SUSPEND_FLAG | DM_NOFLUSH_FLAG | DM_SKIP_LOCKFS_FLAG);
}

void dm_resume(struct dm *d)
{
	suspend(d, 0);
}

void dm_message(struct dm *d, const char *text)
{
	struct dm_target_msg target = { 0 };
	struct message m;

	begin(&m, d, 0);
	memcpy(m.rest, &target, sizeof(target));
	snprintf((char *)m.rest + sizeof(target), sizeof(m.rest) - sizeof(target), "%s", text);
	call(&m, DM_TARGET_MSG, "message");
}

/* Who looks at it for a moment (a last write-back) holds it up. */
void dm_remove(struct dm *d)
{
	struct message m;

	begin(&m, d, 0);
	if (!wait_until(!ioctl(control, DM_DEV_REMOVE, &m) || errno != EBUSY, REMOVE_MS))
		bail("dm %s: is in use", d->name);
	d->name[0] = 0;
}
