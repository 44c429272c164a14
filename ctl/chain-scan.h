/* SPDX-License-Identifier: GPL-2.0-only */
/* vdctl chain --search: the files beneath a directory, and how they hang together. */
#ifndef VDCTL_CHAIN_SCAN_H
#define VDCTL_CHAIN_SCAN_H

#include "chain.h"

/**
 * struct scan_file - one regular file
 * @dir: number of its directory
 * @size: of the disk, for an image; else of the file
 * @format: 0: it is no image, but a raw parent can look like that
 * @hint, @parent_format: of its parent, as the image has them, or NULL
 * @error: why it cannot be read, or NULL
 * @twin: another one in its directory has the same UUID
 */
struct scan_file {
	char *path;
	dev_t dev;
	ino_t ino;
	uid_t uid;
	u32 dir;
	u32 format;
	u64 size;
	char *subformat;
	char *hint;
	char *parent_format;
	char *error;
	bool twin;
	struct chain_ids ids;
};

/**
 * struct scan - what was found
 * @root: the real name of the directory
 * @nodes: of chain_forest(), in the order of @files
 * @nr_entries: names that were looked at
 * @cut: a limit ended the search, there is more
 */
struct scan {
	char *root;
	dev_t dev;
	struct scan_file *files;
	struct chain_node *nodes;
	u32 nr;
	u32 nr_dirs;
	u32 nr_entries;
	u32 nr_images;
	bool cut;
	struct progress progress;
};

/* @image: one more file, wherever it is, or NULL; *@index: where it is in the list. */
int scan_dir(struct scan *scan, const char *dir, const char *image, u32 *index);
void scan_free(struct scan *scan);

#endif /* VDCTL_CHAIN_SCAN_H */
