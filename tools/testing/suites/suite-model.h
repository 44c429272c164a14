/* SPDX-License-Identifier: GPL-2.0-only */
/* What files there must be and what is in them, in memory beside the file system. */
#ifndef VDT_FS_MODEL_H
#define VDT_FS_MODEL_H

#include "suite-fs.h"

#define MODEL_NAMES	48
#define MODEL_INODES	24
#define MODEL_MAX	(256 * KIB)	/* bytes of a file */
#define MODEL_DIRS	3

/**
 * struct inode - a file, whatever its names
 * @links: of its names; 0: free
 */
struct inode {
	u8 *data;
	u64 size;
	unsigned int links;
};

/**
 * struct model - of a tree
 * @names: index of each name's inode, -1: no such file
 * @failed: what went wrong first, "" if nothing
 */
struct model {
	const struct fs *fs;
	struct rng rng;
	int names[MODEL_NAMES];
	struct inode inodes[MODEL_INODES];
	unsigned int ops;
	char failed[160];
};

void model_init(struct model *m, const struct fs *fs, u64 seed);
void model_free(struct model *m);
/* One operation at random, on both. */
void model_step(struct model *m);
/* Names, links, sizes, bytes; and nothing else is there. */
bool model_verify(struct model *m);

#endif /* VDT_FS_MODEL_H */
