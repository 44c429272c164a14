// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "suite-fs.h"

static const char *const fs_names[] = { "ext4", "xfs" };

static bool make_file_system(const struct fs *fs)
{
	const char *node = fs->s.dev.path;

	if (fs->type == FS_EXT4)
		return works("mkfs.ext4", "-q", "-F", "-b", "4096", "-J", "size=4",
			     "-E", "lazy_itable_init=0", node, NULL);
	/* The tool refuses what it calls too small; the kernel does not. */
	return works("mkfs.xfs", "-q", "-f", "--unsupported", "-l", "size=8m", node, NULL);
}

bool fs_mount(struct fs *fs, unsigned long flags, const char *options)
{
	int ret = mount(fs->s.dev.path, fs->root, fs_names[fs->type], flags, options) ? -errno : 0;

	fs->mounted = !ret;
	return is_err(ret, 0, "%s: mount%s%s", fs->what, options ? " -o " : "",
		      options ? options : "");
}

void fs_umount(struct fs *fs)
{
	if (!fs->mounted)
		return;
	is_err(umount(fs->root) ? -errno : 0, 0, "%s: umount", fs->what);
	fs->mounted = false;
}

void fs_make(struct fs *fs, enum subject_kind kind, enum fs_type type, const char *options)
{
	memset(fs, 0, sizeof(*fs));
	fs->type = type;
	subject_make(&fs->s, kind, FS_DISK, VDISK_F_NO_PARTSCAN);
	snprintf(fs->what, sizeof(fs->what), "%s on %s", fs_names[type], fs->s.what);
	snprintf(fs->root, sizeof(fs->root), "%s/mnt", scratch_dir());
	mkdir(fs->root, 0755);
	if (!make_file_system(fs) || !fs_mount(fs, 0, options))
		bail("%s cannot be made", fs->what);
}

void fs_check(struct fs *fs)
{
	const char *node = fs->s.dev.path;

	if (fs->type == FS_EXT4)
		ok(works("e2fsck", "-f", "-n", node, NULL), "%s: e2fsck", fs->what);
	else
		ok(works("xfs_repair", "-n", node, NULL), "%s: xfs_repair", fs->what);
}

void fs_end(struct fs *fs)
{
	fs_umount(fs);
	fs_check(fs);
	subject_end(&fs->s);
	rmdir(fs->root);
}

const char *fs_path(const struct fs *fs, const char *name)
{
	return path_in(fs->root, name);
}

bool fs_write(const struct fs *fs, const char *name, u64 len, u64 seed, bool sync)
{
	int fd = open(fs_path(fs, name), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	bool good = fd >= 0 && put_pattern(fd, 0, len, seed) && (!sync || !fsync(fd));

	if (fd >= 0)
		close(fd);
	return good;
}

bool fs_same(const struct fs *fs, const char *name, u64 len, u64 seed)
{
	int fd = open(fs_path(fs, name), O_RDONLY | O_CLOEXEC);
	struct stat st;
	bool same;

	if (fd < 0)
		return false;
	same = !fstat(fd, &st) && st.st_size == (off_t)len && has_pattern(fd, 0, len, seed);
	close(fd);
	return same;
}

void fs_each(void (*test)(struct fs *fs), const char *options, unsigned int smoke)
{
	static unsigned int turn;
	unsigned int i, nr = SUBJECT_KINDS * FS_TYPES;
	struct fs fs;

	/* Two and three have no common divisor: the turns come by all of them. */
	for (i = 0; i < (full_run() ? nr : smoke); i++, turn++) {
		fs_make(&fs, turn % SUBJECT_KINDS, turn % FS_TYPES, options);
		test(&fs);
		fs_end(&fs);
	}
}
