/* SPDX-License-Identifier: GPL-2.0-only */
/* Disks in use whose files somebody else tampers with. */
#ifndef VDT_VICTIM_H
#define VDT_VICTIM_H

#include "chain.h"
#include "shadow.h"

#define VICTIM_DISK	(4 * MIB)

/* What there is: each kind of image, through the page cache and past it, and chains. */
struct subject {
	const char *name;
	struct chain (*make)(const char *dir);
	u32 flags;
};

enum { SUBJECT_RAW, SUBJECT_VMDK_BUFFERED, SUBJECT_VDI, SUBJECT_DELTA, SUBJECT_RAW_BUFFERED,
       SUBJECT_VMDK, SUBJECT_VDI_BUFFERED, SUBJECT_MIXED, SUBJECTS };

extern const struct subject subjects[SUBJECTS];

/**
 * struct victim - a disk in use, and the file of it that is tampered with
 * @dir: where the files were made
 * @path: of the file, wherever it is now
 * @size: of the file at first
 * @name: subject and deed, for results
 */
struct victim {
	const char *dir;
	struct chain c;
	struct shadow s;
	struct vdev dev;
	u32 flags;
	char path[160];
	u64 size;
	char name[96];
};

/**
 * struct act - what is done to a file
 * @writes: it needs a file that may be written
 * @fn: 0 or -errno
 */
struct act {
	const char *name;
	bool writes;
	int (*fn)(struct victim *v);
};

/* Makes and attaches @sub in @dir; its image number @image is the one to suffer @what. Bails. */
void victim_start(struct victim *v, const struct subject *sub, const char *dir,
		  unsigned int image, const char *what);
/* The first file of an image. */
struct extent *victim_file(struct victim *v, unsigned int image);
/* By a plain detach, whose answer is returned; a result says whether all is let go of. */
int victim_detach(struct victim *v);
/* All files, those of their names, and what had been moved to @v->path. */
void victim_end(struct victim *v);
/* What a system call returned, as 0 or -errno. */
int act_result(int ret);

#endif /* VDT_VICTIM_H */
