// SPDX-License-Identifier: GPL-2.0-only
/* Who keeps an attached disk busy: mounts, swap, holders, open descriptors. */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <libmount/libmount.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "busy.h"

#define MAX_NODES 257
#define MAX_NAMED 4

/* The disk and its partitions. */
struct nodes {
	int nr;
	dev_t dev[MAX_NODES];
	char name[MAX_NODES][32];
};

bool read_line(const char *path, char *buf, size_t len)
{
	FILE *f = fopen(path, "re");
	bool ok;

	if (!f)
		return false;
	ok = fgets(buf, (int)len, f) != NULL;
	fclose(f);
	if (ok)
		buf[strcspn(buf, "\n")] = 0;
	return ok && buf[0];
}

void process_name(const char *pid, char *buf, size_t len)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
	if (!read_line(path, buf, len))
		snprintf(buf, len, "?");
}

static void add_node(struct nodes *nodes, const char *dir, const char *name)
{
	unsigned int major, minor;
	char path[600], line[32];

	snprintf(path, sizeof(path), "%s/dev", dir);
	if (nodes->nr == MAX_NODES || !read_line(path, line, sizeof(line)) ||
	    sscanf(line, "%u:%u", &major, &minor) != 2)
		return;
	nodes->dev[nodes->nr] = makedev(major, minor);
	snprintf(nodes->name[nodes->nr], sizeof(nodes->name[0]), "%.31s", name);
	nodes->nr++;
}

static void find_nodes(struct nodes *nodes, u32 id)
{
	char dir[64], path[400], disk[16];
	struct dirent *entry;
	DIR *d;

	nodes->nr = 0;
	snprintf(disk, sizeof(disk), "vdisk%u", id);
	snprintf(dir, sizeof(dir), "/sys/block/%s", disk);
	add_node(nodes, dir, disk);
	d = opendir(dir);
	if (!d)
		return;
	while ((entry = readdir(d))) {
		if (strncmp(entry->d_name, disk, strlen(disk)))
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		add_node(nodes, path, entry->d_name);
	}
	closedir(d);
}

static const char *is_ours(const struct nodes *nodes, dev_t dev)
{
	int i;

	for (i = 0; i < nodes->nr; i++)
		if (nodes->dev[i] == dev)
			return nodes->name[i];
	return NULL;
}

static const char *node_of_path(const struct nodes *nodes, const char *path)
{
	struct stat st;

	if (!path || path[0] != '/' || stat(path, &st) || !S_ISBLK(st.st_mode))
		return NULL;
	return is_ours(nodes, st.st_rdev);
}

static void hint_mounts(const struct nodes *nodes)
{
	struct libmnt_table *table = mnt_new_table_from_file("/proc/self/mountinfo");
	struct libmnt_iter *iter = mnt_new_iter(MNT_ITER_FORWARD);
	struct libmnt_fs *fs;

	while (table && iter && !mnt_table_next_fs(table, iter, &fs)) {
		const char *name = is_ours(nodes, mnt_fs_get_devno(fs));

		/* btrfs and its like have a device number of their own. */
		if (!name)
			name = node_of_path(nodes, mnt_fs_get_source(fs));
		if (name)
			ctl_hint("%s is mounted: umount %s", name, mnt_fs_get_target(fs));
	}
	mnt_free_iter(iter);
	mnt_unref_table(table);
}

static void hint_swap(const struct nodes *nodes)
{
	FILE *f = fopen("/proc/swaps", "re");
	char line[PATH_MAX], path[PATH_MAX];

	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		const char *name = NULL;

		if (sscanf(line, "%4095s", path) == 1)
			name = node_of_path(nodes, path);
		if (name)
			ctl_hint("%s is swap space: swapoff /dev/%s", name, name);
	}
	fclose(f);
}

static void hint_holders(const struct nodes *nodes)
{
	char path[128], dm[128];
	struct dirent *entry;
	DIR *dir;
	int i;

	for (i = 0; i < nodes->nr; i++) {
		snprintf(path, sizeof(path), "/sys/class/block/%s/holders", nodes->name[i]);
		dir = opendir(path);
		if (!dir)
			continue;
		while ((entry = readdir(dir))) {
			if (entry->d_name[0] == '.')
				continue;
			snprintf(path, sizeof(path), "/sys/class/block/%.40s/dm/name",
				 entry->d_name);
			if (read_line(path, dm, sizeof(dm)))
				ctl_hint("%s is part of %s (%s)", nodes->name[i], entry->d_name,
					 dm);
			else
				ctl_hint("%s is part of %s", nodes->name[i], entry->d_name);
		}
		closedir(dir);
	}
}

static const char *process_has(const struct nodes *nodes, const char *pid)
{
	char path[64];
	const char *name = NULL;
	struct dirent *entry;
	struct stat st;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
	dir = opendir(path);
	if (!dir)
		return NULL;
	while (!name && (entry = readdir(dir)))
		if (!fstatat(dirfd(dir), entry->d_name, &st, AT_NO_AUTOMOUNT) &&
		    S_ISBLK(st.st_mode))
			name = is_ours(nodes, st.st_rdev);
	closedir(dir);
	return name;
}

static void hint_processes(const struct nodes *nodes)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	int found = 0;

	while (dir && found < MAX_NAMED && (entry = readdir(dir))) {
		const char *name;
		char comm[64];

		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		name = process_has(nodes, entry->d_name);
		if (!name)
			continue;
		process_name(entry->d_name, comm, sizeof(comm));
		ctl_hint("%s is open in process %s (%s)", name, entry->d_name, comm);
		found++;
	}
	if (dir)
		closedir(dir);
}

void hint_device_users(u32 id)
{
	struct nodes *nodes = xrealloc(NULL, 1, sizeof(*nodes));

	find_nodes(nodes, id);
	hint_mounts(nodes);
	hint_swap(nodes);
	hint_holders(nodes);
	hint_processes(nodes);
	free(nodes);
}
