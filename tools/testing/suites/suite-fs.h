/* SPDX-License-Identifier: GPL-2.0-only */
/* File systems on a subject, and files whose content is known. */
#ifndef VDT_SUITE_FS_H
#define VDT_SUITE_FS_H

#include "suite.h"

enum fs_type { FS_EXT4, FS_XFS, FS_TYPES };

/**
 * struct fs - a file system on a subject's disk
 * @what: for results: "ext4 on vmdk"
 * @root: where it is mounted
 */
struct fs {
	struct subject s;
	enum fs_type type;
	char what[32];
	char root[64];
	bool mounted;
};

#define FS_DISK		(64 * MIB)

/* A new image with a new file system in it, mounted with @options; bails. */
void fs_make(struct fs *fs, enum subject_kind kind, enum fs_type type, const char *options);
bool fs_mount(struct fs *fs, unsigned long flags, const char *options);
void fs_umount(struct fs *fs);
/* A result: its own checker, which changes nothing, has no complaint. */
void fs_check(struct fs *fs);
/* Unmount, check, and as subject_end(). */
void fs_end(struct fs *fs);
const char *fs_path(const struct fs *fs, const char *name);

/* A file of pattern(@seed); @sync: and fsync. */
bool fs_write(const struct fs *fs, const char *name, u64 len, u64 seed, bool sync);
bool fs_same(const struct fs *fs, const char *name, u64 len, u64 seed);

/* All combinations; in a smoke test @smoke of them, the next ones each time. */
void fs_each(void (*test)(struct fs *fs), const char *options, unsigned int smoke);

#endif /* VDT_SUITE_FS_H */
