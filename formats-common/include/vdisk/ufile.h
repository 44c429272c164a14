/* SPDX-License-Identifier: GPL-2.0-only */
/* Files of user space: a descriptor, memory, a recorder, a fault injector. */
#ifndef VDISK_UFILE_H
#define VDISK_UFILE_H

#include "vdisk/file.h"

/*
 * Wrap @fd (regular file or block device). The wrapper does not own @fd. NULL
 * and *@err on failure. Freed with vd_ufile_free().
 */
struct vd_file *vd_ufile_fd(int fd, bool writable, struct vd_error *err);
/* A file in memory that starts with a copy of @data and grows by writes. */
struct vd_file *vd_ufile_mem(const void *data, size_t len, bool writable);
const void *vd_ufile_mem_data(const struct vd_file *file, size_t *len);
void vd_ufile_free(struct vd_file *file);	/* any of this header; NULL is fine */

enum vd_file_op { VD_OP_READ, VD_OP_WRITE, VD_OP_FLUSH, VD_OP_TRUNCATE, VD_OP_PUNCH, VD_OP_ZERO,
		  VD_OP_ALLOCATE };

/* Recorder: each op on @lower is told to @fn before it runs. @lower stays the caller's. */
struct vd_file *vd_ufile_record(struct vd_file *lower,
				void (*fn)(void *ctx, enum vd_file_op op, u64 pos, u64 len,
					   const void *data),
				void *ctx);

/**
 * struct vd_fault - shared by any number of injecting files and the allocator
 * @countdown: the op that brings it to 0 fails; 1 is the next; 0 or negative: never
 * @sticky: all later ones fail too
 * @short_read: instead of failing, a read returns half of what was asked
 * @error: errno to fail with (positive)
 * @ops: counts every op seen
 * @fired: how many were failed
 */
struct vd_fault {
	long countdown;
	bool sticky;
	bool short_read;
	int error;
	unsigned long ops;
	unsigned long fired;
};

/* Counts one op: is it to fail? For a vd_alloc_hook that shares the countdown. */
bool vd_fault_hit(struct vd_fault *fault);
/* @lower stays the caller's. */
struct vd_file *vd_ufile_fault(struct vd_file *lower, struct vd_fault *fault);
/* What a recorder or an injector wraps; NULL: @file is neither. */
struct vd_file *vd_ufile_lower(const struct vd_file *file);

#endif /* VDISK_UFILE_H */
