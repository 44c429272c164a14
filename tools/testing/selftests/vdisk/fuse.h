/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A file system of one file, "disk", served by a child process over /dev/fuse:
 * stopped with SIGSTOP it is a server that hangs, killed one that died.
 */
#ifndef VDT_FUSE_H
#define VDT_FUSE_H

#include "util.h"

struct fuse_server {
	pid_t pid;
	char dir[128];
	char path[160];		/* of the file */
};

/* Mount at @dir (made here); the file has @size bytes of rng seed @seed. */
bool fuse_start(struct fuse_server *f, const char *dir, u64 size, u64 seed);
/* The same, with the kernel writing back from its page cache when it likes. */
bool fuse_start_cached(struct fuse_server *f, const char *dir, u64 size, u64 seed);
/* From here on writes fail with ENOSPC, or do so no more. */
void fuse_full(struct fuse_server *f, bool yes);
void fuse_hang(struct fuse_server *f);		/* returns when it is stopped */
void fuse_resume(struct fuse_server *f);
void fuse_kill(struct fuse_server *f);		/* hung or not; requests fail */
void fuse_end(struct fuse_server *f);		/* unmount, kill, remove @dir */

#endif /* VDT_FUSE_H */
