/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a repair writes. User space only.
 *
 * Before its first write, what a dead writer left in the page cache is made durable: it
 * may be what the repair refers to.
 */
#ifndef VDISK_FIX_H
#define VDISK_FIX_H

#include "vd_port.h"
#include "vdisk/error.h"
#include "vdisk/file.h"

/**
 * struct vd_fix - the writes of one repair to one file
 * @err: where sentences go, for all of these functions
 * @begun: something has been written, with a flush before it
 */
struct vd_fix {
	struct vd_file *file;
	struct vd_error *err;
	bool begun;
};

/* 0 or a negative error number, of which @fix->err has the sentence. */

/* Writes @len bytes at @pos; a file that is shorter grows. */
int vd_fix_write(struct vd_fix *fix, u64 pos, const void *buf, u32 len);
/* Changes @len bytes, all of one sector, and writes what the file has of that. */
int vd_fix_patch(struct vd_fix *fix, u64 pos, const void *bytes, u32 len);
/* The file ends at @end, if it did not reach that far; what is new reads as zeros. */
int vd_fix_extend(struct vd_fix *fix, u64 end);
/* The same, with space for all of [@pos, @end) where the file system can do that. */
int vd_fix_allocate(struct vd_fix *fix, u64 pos, u64 end);
/* Durable what was written so far. */
int vd_fix_flush(struct vd_fix *fix);

#endif /* VDISK_FIX_H */
