// SPDX-License-Identifier: GPL-2.0-only
/*
 * vdctl check --repair: what a repair is going to change is kept first, so that whoever
 * knows better can put it back.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "check.h"

#define PIECE		65536U
#define MAX_NAMES	100

/* PATH.before-repair, or with a number behind: none that is there is touched. */
static int open_new(const char *path, char **name)
{
	int i, fd = -1;

	for (i = 0; i < MAX_NAMES && fd < 0; i++) {
		*name = i ? xasprintf("%s.before-repair-%d", path, i) :
			    xasprintf("%s.before-repair", path);
		fd = open(*name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd >= 0 || errno != EEXIST)
			break;
		free(*name);
		*name = NULL;
	}
	return fd >= 0 ? fd : -errno;
}

static bool all_zero(const u8 *p, u32 len)
{
	return !*p && !memcmp(p, p + 1, len - 1);
}

/* At the same place in the copy as in the file; what is zeros becomes a hole. */
static int copy(int fd, struct vd_file *file, u64 pos, u64 len)
{
	static u8 buf[PIECE];
	u64 end = pos + len;
	u32 step;
	int ret = 0;

	for (; !ret && pos < end; pos += step) {
		step = (u32)min_t(u64, end - pos, sizeof(buf));
		ret = vd_file_read(file, pos, buf, step);
		if (!ret && !all_zero(buf, step) &&
		    pwrite(fd, buf, step, (off_t)pos) != (ssize_t)step)
			ret = errno ? -errno : -EIO;
	}
	if (!ret && (ftruncate(fd, (off_t)end) || fsync(fd)))
		ret = -errno;
	return ret;
}

/* A file whose name is lost in a crash keeps nothing. */
static int keep_name(const char *name)
{
	char *dir = path_dir(name);
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int ret = fd < 0 ? -errno : dir_sync(fd);

	if (fd >= 0)
		close(fd);
	free(dir);
	return ret;
}

static void hint_restore(const char *name, const char *path)
{
	char *command = NULL;
	size_t len;
	FILE *to = open_memstream(&command, &len);

	if (!to)
		return;
	fputs("dd if=", to);
	shell_quote(to, name);
	fputs(" of=", to);
	shell_quote(to, path);
	fputs(" conv=notrunc", to);
	fclose(to);
	ctl_hint_now("to put them back: %s", command);
	free(command);
}

int check_save(const char *path, struct vd_file *file, u64 pos, u64 len, struct vd_error *err)
{
	char *name = NULL;
	int fd, ret;

	len = min(len, file->size - min(pos, file->size));
	fd = open_new(path, &name);
	ret = fd < 0 ? fd : copy(fd, file, pos, len);
	if (fd >= 0)
		close(fd);
	if (!ret)
		ret = keep_name(name);
	if (!ret) {
		ctl_warn(path, "its tables as they were before the repair are in %s", name);
		hint_restore(name, path);
	} else {
		if (fd >= 0)
			unlink(name);
		vd_fail(err, ret, "its tables could not be saved before the repair");
	}
	free(name);
	return ret;
}
