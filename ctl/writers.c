// SPDX-License-Identifier: GPL-2.0-only
/*
 * Programs that have a file of an image open for writing and take no lock, as
 * VirtualBox does: two writers spoil a disk, and while a virtual machine runs,
 * the mark of an unfinished writer is its own.
 */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "busy.h"
#include "image-set.h"

#define MAX_NAMED 4

struct writer {
	char pid[24];
	char comm[64];
	const struct set_member *file;
};

/* Of image @image, the one that descriptor @name in @fds is open on, or NULL. */
static const struct set_member *file_of(const struct image_set *set, u32 image, int fds,
					const char *name)
{
	struct statx stx;
	bool block;
	dev_t dev;
	ino_t ino;
	int at;

	/* Not from a server that may be gone. */
	if (statx(fds, name, AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO, &stx))
		return NULL;
	block = S_ISBLK(stx.stx_mode);
	dev = block ? makedev(stx.stx_rdev_major, stx.stx_rdev_minor) :
		      makedev(stx.stx_dev_major, stx.stx_dev_minor);
	ino = block ? 0 : (ino_t)stx.stx_ino;
	at = set_find_member(set, dev, ino, block);
	return at >= 0 && set->members[at].image == image ? &set->members[at] : NULL;
}

static bool open_for_writing(const char *pid, const char *fd)
{
	char path[80], line[128];
	unsigned int flags = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%.20s/fdinfo/%.20s", pid, fd);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "flags: %o", &flags) == 1)
			break;
	fclose(f);
	return (flags & O_ACCMODE) == O_RDWR || (flags & O_ACCMODE) == O_WRONLY;
}

static const struct set_member *writes_to(const struct image_set *set, u32 image, const char *pid)
{
	const struct set_member *file, *found = NULL;
	struct dirent *entry;
	char path[64];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
	dir = opendir(path);
	if (!dir)
		return NULL;
	while (!found && (entry = readdir(dir))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		file = file_of(set, image, dirfd(dir), entry->d_name);
		if (file && open_for_writing(pid, entry->d_name))
			found = file;
	}
	closedir(dir);
	return found;
}

static u32 find_writers(const struct image_set *set, u32 image, struct writer *list)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	u32 nr = 0;

	while (dir && nr < MAX_NAMED && (entry = readdir(dir))) {
		struct writer *w = &list[nr];

		if (!isdigit((unsigned char)entry->d_name[0]) || atoi(entry->d_name) == getpid())
			continue;
		w->file = writes_to(set, image, entry->d_name);
		if (!w->file)
			continue;
		snprintf(w->pid, sizeof(w->pid), "%.20s", entry->d_name);
		process_name(w->pid, w->comm, sizeof(w->comm));
		nr++;
	}
	if (dir)
		closedir(dir);
	return nr;
}

static int refuse(const struct writer *list, u32 nr)
{
	char *command;
	u32 i;

	ctl_error(CTL_BUSY, "in_use", list[0].file->path,
		  "it was not closed by its last writer, and process %s (%s) has it open for writing",
		  list[0].pid, list[0].comm);
	for (i = 1; i < nr; i++)
		ctl_hint("process %s (%s) has %s open for writing, too", list[i].pid, list[i].comm,
			 list[i].file->path);
	ctl_hint("end that program first: the disk of a virtual machine that runs looks like this");
	if (ctl_attaches()) {
		command = ctl_command_with("--lock=no", NULL);
		ctl_hint("if it is sure not to write any more: %s", command);
		free(command);
	}
	return CTL_BUSY;
}

int set_check_parents_still(const struct image_set *set)
{
	struct writer list[MAX_NAMED];
	u32 i;

	for (i = 1; i < set->nr_images; i++) {
		if (!find_writers(set, i, list))
			continue;
		ctl_error(CTL_BUSY, "in_use", list[0].file->path,
			  "it is a parent, and process %s (%s) has it open for writing",
			  list[0].pid, list[0].comm);
		ctl_hint("end that program first");
		return CTL_BUSY;
	}
	return 0;
}

int set_check_unused(const struct image_set *set, u32 image)
{
	struct writer list[MAX_NAMED];

	if (!find_writers(set, image, list))
		return 0;
	ctl_error(CTL_BUSY, "in_use", list[0].file->path,
		  "process %s (%s) has it open for writing", list[0].pid, list[0].comm);
	ctl_hint("end that program first");
	return CTL_BUSY;
}

int set_check_writers(const struct image_set *set, u32 image, bool marked)
{
	struct writer list[MAX_NAMED];
	u32 i, nr = find_writers(set, image, list);

	if (nr && marked && set->opts->lock == SET_LOCK_YES)
		return refuse(list, nr);
	for (i = 0; i < nr; i++)
		ctl_warn(list[i].file->path,
			 "process %s (%s) has it open for writing; if both write, the disk is spoilt",
			 list[i].pid, list[i].comm);
	return 0;
}
