// SPDX-License-Identifier: GPL-2.0-only
/*
 * After ATTACH: wait until /dev has the disk and its partitions, and, where
 * udevd runs, until it is done with them. The kernel has scanned partitions
 * before it answered, so sysfs already knows them all.
 */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include "busy.h"
#include "netlink.h"

#define WAIT_MS		10000

static u64 now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000 + (u64)ts.tv_nsec / 1000000;
}

/* A socket file may be left over from a boot long ago; a listener answers. */
static bool udev_runs(void)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX, .sun_path = "/run/udev/control" };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool yes;

	if (fd < 0)
		return false;
	yes = !connect(fd, (struct sockaddr *)&to, sizeof(to)) || errno == EAGAIN;
	close(fd);
	return yes;
}

static bool node_there(const char *sysfs, const char *name, bool udev)
{
	unsigned int major, minor;
	char path[400], line[32];
	struct stat st;

	snprintf(path, sizeof(path), "%.300s/dev", sysfs);
	if (!read_line(path, line, sizeof(line)) || sscanf(line, "%u:%u", &major, &minor) != 2)
		return true;	/* gone again: nothing to wait for */
	snprintf(path, sizeof(path), "/dev/%.200s", name);
	if (stat(path, &st) || !S_ISBLK(st.st_mode) || st.st_rdev != makedev(major, minor))
		return false;
	if (!udev)
		return true;
	snprintf(path, sizeof(path), "/run/udev/data/b%u:%u", major, minor);
	return !access(path, F_OK);
}

static bool all_there(const char *disk, bool udev)
{
	char dir[64], path[400];
	struct dirent *entry;
	bool yes;
	DIR *d;

	snprintf(dir, sizeof(dir), "/sys/block/%s", disk);
	yes = node_there(dir, disk, udev);
	d = opendir(dir);
	if (!d)
		return yes;
	while (yes && (entry = readdir(d))) {
		if (strncmp(entry->d_name, disk, strlen(disk)))
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		yes = node_there(path, entry->d_name, udev);
	}
	closedir(d);
	return yes;
}

static void drain(int fd)
{
	char events[4096];

	while (read(fd, events, sizeof(events)) > 0)
		;
}

/* Watches are set before the first look, so nothing is missed between. */
static bool wait_for(const char *disk, bool udev)
{
	u64 end = now_ms() + WAIT_MS;
	struct pollfd p = { .events = POLLIN };
	bool yes;

	p.fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (p.fd >= 0) {
		inotify_add_watch(p.fd, "/dev", IN_CREATE | IN_ATTRIB | IN_MOVED_TO);
		if (udev)
			inotify_add_watch(p.fd, "/run/udev/data", IN_CREATE | IN_MOVED_TO);
	}
	while (!(yes = all_there(disk, udev))) {
		u64 now = now_ms();

		if (now >= end)
			break;
		/* Without inotify (p.fd < 0) poll is a plain timer. */
		poll(&p, 1, p.fd < 0 ? 20 : (int)(end - now));
		if (p.fd >= 0)
			drain(p.fd);
	}
	if (p.fd >= 0)
		close(p.fd);
	return yes;
}

int node_wait(const struct device *dev)
{
	bool udev = udev_runs();
	char disk[16];

	snprintf(disk, sizeof(disk), "vdisk%u", dev->id);
	if (wait_for(disk, udev))
		return 0;
	if (all_there(disk, false)) {
		ctl_warn(NULL, "udev has not finished with /dev/%s after %d s", disk,
			 WAIT_MS / 1000);
		return 0;
	}
	ctl_warn(NULL, "/dev/%s or a partition of it does not appear in /dev; the disk is block device %u:%u (mknod /dev/%s b %u %u)",
		 disk, dev->major, dev->minor, disk, dev->major, dev->minor);
	return 0;
}
