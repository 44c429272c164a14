/* SPDX-License-Identifier: GPL-2.0-only */
/* vdctl check: what was found, between the verb and its report. */
#ifndef VDCTL_CHECK_H
#define VDCTL_CHECK_H

#include "image-set.h"
#include "vdisk/check.h"

enum check_mode {
	CHECK_LOOK,
	CHECK_MERGE,
	CHECK_ALL,
};

struct check_finding {
	enum vd_finding kind;
	char *text;
};

/* What a repair did to a part of an extent, in bytes of the disk. */
struct check_change {
	enum vd_change how;
	u64 start;
	u64 len;
};

/**
 * struct check_extent - one extent, or (@seg NULL) the text of an image
 * @image: number in the chain
 * @path: file that it is about
 * @first: as it was found
 * @last: as it is now
 * @failed: why it was not checked to its end, or NULL
 * @list, @nr: what @first counts, in words, as far as they were told
 * @changes, @nr_changes: in order; neighbours are one
 */
struct check_extent {
	u32 image;
	const struct vdisk_segment_desc *seg;
	const char *path;
	struct vd_check first;
	struct vd_check last;
	char *failed;
	struct check_finding *list;
	u32 nr;
	struct check_change *changes;
	u32 nr_changes;
};

/**
 * struct check_report - one run of the verb
 * @wrote: a repair has been made
 * @extents: in the order of the chain
 */
struct check_report {
	const struct image_set *set;
	enum check_mode mode;
	bool dry_run;
	bool wrote;
	struct check_extent *extents;
	u32 nr;
};

/* Sum of @found or @repaired over all extents, before or after a repair. */
u64 check_found(const struct check_report *r, enum vd_finding kind, bool last);
u64 check_repairable(const struct check_report *r, enum vd_finding kind);

/* check-save.c: 0 or -errno with @err. */
int check_save(const char *path, struct vd_file *file, u64 pos, u64 len, struct vd_error *err);

/* check-report.c */
void check_print(const struct check_report *r);
void check_print_json(const struct check_report *r);

#endif /* VDCTL_CHECK_H */
