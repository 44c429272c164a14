/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where bytes live. Every byte that shared code reads or writes goes through
 * a vd_file, so every failure can be made to happen: the kernel wraps a
 * struct file, user space a descriptor, tests memory, a recorder or a fault
 * injector.
 */
#ifndef VDISK_FILE_H
#define VDISK_FILE_H

#include "vd_port.h"
#include "vdisk/error.h"

struct vd_file;

/**
 * struct vd_file_ops - what a kind of file can do
 * @read: up to @len bytes at @pos; returns the count, short only at the end of
 *	the file (0 at or past it), or -errno
 * @write: all of @len bytes or -errno; extends the file when needed
 * @flush: data and size reach stable storage
 * @size: the size now
 * @truncate: set the size; growth reads as zeros
 * @punch: range reads as zeros and its space is given back; -EOPNOTSUPP
 * @zero: range reads as zeros, space stays; -EOPNOTSUPP
 * @allocate: range has its space: writing into it cannot fail for want of it.
 *	Content stays, a range past the end reads as zeros, and the file grows to
 *	its end; -EOPNOTSUPP, -ENOSPC
 * @extend: like allocate, for a range past what is known of the file: what
 *	somebody else has put there by then reads as zeros, too, if that can be
 *	had without writing them. NULL: allocate will do
 *
 * All may sleep; callers hold no spinlock. Ops other than read and size are
 * NULL on a file that is never written.
 */
struct vd_file_ops {
	s64 (*read)(struct vd_file *file, u64 pos, void *buf, u32 len);
	int (*write)(struct vd_file *file, u64 pos, const void *buf, u32 len);
	int (*flush)(struct vd_file *file);
	int (*size)(struct vd_file *file, u64 *size);
	int (*truncate)(struct vd_file *file, u64 size);
	int (*punch)(struct vd_file *file, u64 pos, u64 len);
	int (*zero)(struct vd_file *file, u64 pos, u64 len);
	int (*allocate)(struct vd_file *file, u64 pos, u64 len);
	int (*extend)(struct vd_file *file, u64 pos, u64 len);
};

/**
 * struct vd_file - an open member of an image set
 * @ops: constant after creation
 * @size: size when it was opened (a block device: its capacity), and since then
 *	what we have made of it; mapping is checked against this, and a file
 *	that shrinks behind our back gives -EIO. Grows under the allocation lock,
 *	read with READ_ONCE
 * @index: position in the chain's member table
 * @writable: ops->write may be called
 * @fixed: its size cannot change (a block device)
 * @dirty: changed since its last flush began; set before a change is
 *	acknowledged, by whoever made it
 *
 * Embedded in the implementation's struct. Owned by whoever opened it; a chain
 * only borrows it and must be closed first.
 */
struct vd_file {
	const struct vd_file_ops *ops;
	u64 size;
	u32 index;
	bool writable;
	bool fixed;
	vd_atomic dirty;
};

/* All of @len bytes: 0 or -errno. The end of the file inside the range is -EIO. */
int vd_file_read(struct vd_file *file, u64 pos, void *buf, u32 len);

/*
 * As vd_file_read(), but bytes past the end that the file had at open read as
 * zeros if @pos lies before that end: a unit cut short by its writer. A file
 * that has shrunk since gives -EIO.
 */
int vd_file_read_tail(struct vd_file *file, u64 pos, void *buf, u32 len);

/* The size now, which vd_file.size need not be: 0 or -errno. */
int vd_file_size(struct vd_file *file, u64 *size);

/* These mark the file dirty, also when they fail: some of it may have happened. */
int vd_file_write(struct vd_file *file, u64 pos, const void *buf, u32 len);
int vd_file_truncate(struct vd_file *file, u64 size);
int vd_file_punch(struct vd_file *file, u64 pos, u64 len);
/* Zeros, by whatever way the file has. @unmap: its space may go. */
int vd_file_zero(struct vd_file *file, u64 pos, u64 len, bool unmap);
int vd_file_allocate(struct vd_file *file, u64 pos, u64 len);
int vd_file_extend(struct vd_file *file, u64 pos, u64 len);
/* Durable if anything was changed since the last call: 0 or -errno. */
int vd_file_flush(struct vd_file *file);

#endif /* VDISK_FILE_H */
