// SPDX-License-Identifier: GPL-2.0-only
/* Attached disks: listing, and which one an argument means. */
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "image-set.h"
#include "netlink.h"
#include "vdisk/format.h"

int devices_get(struct klink *nl, struct devices *out)
{
	int ret;

	memset(out, 0, sizeof(*out));
	ret = klink_connect(nl, KLINK_LOADED);
	if (ret)
		return ret < 0 ? 0 : ret;
	if (klink_dump(nl, out))
		return klink_error(nl, NULL);
	return 0;
}

const struct device *devices_by_id(const struct devices *devs, u32 id)
{
	u32 i;

	for (i = 0; i < devs->nr; i++)
		if (devs->list[i].id == id)
			return &devs->list[i];
	return NULL;
}

/* "7", "vdisk7", "/dev/vdisk7" */
static bool number_of(const char *what, u32 *id)
{
	char *end;

	if (!strncmp(what, "/dev/", 5))
		what += 5;
	if (!strncmp(what, "vdisk", 5))
		what += 5;
	if (*what < '0' || *what > '9')
		return false;
	*id = (u32)strtoul(what, &end, 10);
	return !*end;
}

static int by_node(const struct devices *devs, const char *what, dev_t rdev,
		   const struct device **dev)
{
	char path[64];
	u32 i;

	for (i = 0; i < devs->nr; i++) {
		*dev = &devs->list[i];
		if ((*dev)->major == major(rdev) && (*dev)->minor == minor(rdev))
			return 0;
	}
	*dev = NULL;
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/partition", major(rdev), minor(rdev));
	if (!access(path, F_OK))
		return ctl_error(CTL_USAGE, "usage", what, "is a partition; name the disk");
	return 0;
}

/* The image of a disk: its top file. Not one of several disks by chance. */
static int by_image(const struct devices *devs, const char *what, const struct stat *st,
		    const struct device **dev)
{
	const struct device *found = NULL;
	struct stat other;
	u32 i;

	for (i = 0; i < devs->nr; i++) {
		const struct device *d = &devs->list[i];

		if (!d->nr_paths || stat(d->paths[0], &other) || other.st_dev != st->st_dev ||
		    other.st_ino != st->st_ino)
			continue;
		if (found)
			return ctl_error(CTL_USAGE, "ambiguous", what,
					 "is attached as vdisk%u and as vdisk%u: name the disk",
					 found->id, d->id);
		found = d;
	}
	*dev = found;
	return 0;
}

static const struct device *by_name(const struct devices *devs, const char *what)
{
	u32 i;

	for (i = 0; i < devs->nr; i++)
		if (devs->list[i].name && *what && !strcmp(devs->list[i].name, what))
			return &devs->list[i];
	return NULL;
}

static int not_found(const char *what, bool exists)
{
	int ret = ctl_error(CTL_NOTFOUND, "not_attached", what, "is not attached%s",
			    exists ? "" : ", and there is no such file");

	if (!have_admin())
		ctl_hint("only root sees which images are attached");
	else
		ctl_hint("vdctl list");
	return ret;
}

int devices_find(const struct devices *devs, const char *what, const struct device **dev)
{
	struct stat st;
	bool exists;
	u32 id;
	int ret = 0;

	*dev = by_name(devs, what);
	if (*dev)
		return 0;
	if (number_of(what, &id)) {
		*dev = devices_by_id(devs, id);
		return *dev ? 0 : ctl_error(CTL_NOTFOUND, "not_attached", what, "is not attached");
	}
	exists = !stat(what, &st);
	if (exists && S_ISBLK(st.st_mode))
		ret = by_node(devs, what, st.st_rdev, dev);
	if (!ret && exists && !*dev)
		ret = by_image(devs, what, &st, dev);
	if (ret || *dev)
		return ret;
	return not_found(what, exists);
}

const char *device_format(const struct device *dev)
{
	const char *name = dev->nr_images ? vd_format_name(dev->images[0].format) : NULL;

	return name ? name : "";
}

const char *device_state(const struct device *dev)
{
	static const char *const names[] = { "new", "live", "dying" };

	return dev->state < ARRAY_SIZE(names) ? names[dev->state] : "?";
}

static bool has_path(const struct device *dev, const struct set_member *m)
{
	struct stat st;
	u32 i;

	for (i = 0; i < dev->nr_paths; i++)
		if (!stat(dev->paths[i], &st) && st.st_dev == m->dev && st.st_ino == m->ino)
			return true;
	return false;
}

int device_check_unattached(const struct set_member *m)
{
	struct devices devs = { 0 };
	struct klink nl = { 0 };
	u32 i;
	int ret = 0;

	if (have_admin() && devices_get(&nl, &devs))
		ctl_drop();
	for (i = 0; i < devs.nr && !ret; i++)
		if (has_path(&devs.list[i], m))
			ret = ctl_error(CTL_BUSY, "in_use", m->path, "is attached as vdisk%u",
					devs.list[i].id);
	devices_free(&devs);
	klink_disconnect(&nl);
	return ret;
}
