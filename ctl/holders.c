// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who holds a lock on a file. OFD locks have no owner in /proc/locks, but a
 * process's fdinfo lists the locks of each descriptor. A lock that no process
 * has belongs to an attached disk: its descriptors live in the kernel.
 */
#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "busy.h"
#include "image-set.h"

#define MAX_NAMED 4

/* "lock: 1: OFDLCK ADVISORY READ -1 fe:00:1234 100 100": is it this inode's? */
static bool lock_line(const char *line, const struct stat *st)
{
	unsigned int major, minor;
	unsigned long ino;
	char type[16], mode[16], access[16];
	const char *p = strstr(line, ": ");
	int pid;

	if (p && !strncmp(line, "lock:", 5))
		p = strchr(line + 5, ':');
	if (!p || sscanf(p + 1, " %15s %15s %15s %d %x:%x:%lu", type, mode, access, &pid, &major,
			 &minor, &ino) != 7)
		return false;
	return major == major(st->st_dev) && minor == minor(st->st_dev) && ino == st->st_ino;
}

static bool file_has_lock(const char *path, const struct stat *st)
{
	FILE *f = fopen(path, "re");
	char line[256];
	bool yes = false;

	if (!f)
		return false;
	while (!yes && fgets(line, sizeof(line), f))
		yes = lock_line(line, st);
	fclose(f);
	return yes;
}

static bool process_holds(const char *pid, const struct stat *st)
{
	char path[80];
	struct dirent *entry;
	bool yes = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%.20s/fdinfo", pid);
	dir = opendir(path);
	if (!dir)
		return false;
	while (!yes && (entry = readdir(dir))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "/proc/%.20s/fdinfo/%.20s", pid, entry->d_name);
		yes = file_has_lock(path, st);
	}
	closedir(dir);
	return yes;
}

static int hint_processes(const struct stat *st)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	int found = 0;

	if (!dir)
		return 0;
	while (found < MAX_NAMED && (entry = readdir(dir))) {
		char comm[64];

		if (!isdigit((unsigned char)entry->d_name[0]) || atoi(entry->d_name) == getpid())
			continue;
		if (!process_holds(entry->d_name, st))
			continue;
		process_name(entry->d_name, comm, sizeof(comm));
		ctl_hint("held by process %s (%s)", entry->d_name, comm);
		found++;
	}
	closedir(dir);
	return found;
}

/* Does an attached disk name this file as its image? Root only can see. */
static bool hint_device(const struct stat *st)
{
	DIR *dir = opendir("/sys/block");
	struct dirent *entry;
	bool found = false;

	if (!dir)
		return false;
	while (!found && (entry = readdir(dir))) {
		char path[320], backing[PATH_MAX];
		struct stat other;

		if (strncmp(entry->d_name, "vdisk", 5))
			continue;
		snprintf(path, sizeof(path), "/sys/block/%s/vdisk/backing_file", entry->d_name);
		if (!read_line(path, backing, sizeof(backing)) || stat(backing, &other))
			continue;
		if (other.st_dev != st->st_dev || other.st_ino != st->st_ino)
			continue;
		ctl_hint("it is attached as /dev/%s", entry->d_name);
		found = true;
	}
	closedir(dir);
	return found;
}

void hint_lock_holders(int fd)
{
	struct stat st;

	if (fstat(fd, &st) || hint_processes(&st) || hint_device(&st))
		return;
	if (geteuid())
		ctl_hint("root can see who holds it: lslocks, vdctl list");
	else
		ctl_hint("no process holds it: an attached disk (vdctl list), or another machine");
}
