/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One input of a fuzzer: a set of files, and the numeric tables that make a chain
 * of them, as they cross netlink. A file is its size and some runs of bytes, zeros
 * elsewhere, so that an image of 62 TiB is an input of two kilobytes.
 *
 *	struct fz_control
 *	struct vdisk_image_desc[], struct vdisk_segment_desc[], struct vdisk_patch[]
 *	for each file: struct fz_wire_file, and for each of its runs
 *		struct fz_wire_run and its bytes
 *
 * In host byte order: inputs do not travel between machines of different kinds.
 */
#ifndef FZ_INPUT_H
#define FZ_INPUT_H

#include "vdisk/caps.h"
#include "vd_port.h"

#define FZ_MAX_FILES	16U
#define FZ_MAX_RUNS	4096U
#define FZ_MAX_TABLE	255U		/* images, segments: what a byte can count */

/* struct fz_control.flags */
#define FZ_DOUBLE_FETCH	(1U << 0)	/* each later read of a page may find other bytes */
#define FZ_SHORT_READS	(1U << 1)
#define FZ_SHRUNK	(1U << 2)	/* the files are shorter than they were at open */
#define FZ_READ_ONLY	(1U << 3)	/* whatever the files say */
#define FZ_STICKY	(1U << 4)	/* after the first fault every operation fails */
#define FZ_NO_PUNCH	(1U << 5)
#define FZ_NO_ALLOCATE	(1U << 6)
#define FZ_NO_ZERO	(1U << 7)

/**
 * struct fz_control - what happens beside the files' content
 * @fault_at: the file operation that fails, counted over the whole run; 0: none
 * @alloc_at: the same for allocations
 * @error: which error it is
 * @kind: of the segment, for targets that look at one file
 * @grow: chunk, in units of 4 KiB; 0: the default
 * @quota: how much longer each file may become, in units of 1 KiB; 0: no limit
 */
struct fz_control {
	u8 nr_images;
	u8 nr_segs;
	u8 nr_patches;
	u8 nr_files;
	u8 flags;
	u8 meta_blocks;
	u8 error;
	u8 kind;
	u16 fault_at;
	u16 alloc_at;
	u32 seed;
	u16 grow;
	u16 quota;
} __attribute__((packed));

#define FZ_FILE_WRITABLE	(1U << 0)
#define FZ_FILE_FIXED		(1U << 1)

struct fz_wire_file {
	u64 size;
	u16 flags;
	u16 nr_runs;
} __attribute__((packed));

struct fz_wire_run {
	u64 pos;
	u32 len;
} __attribute__((packed));

/* @data points into what was parsed, or into memory of whoever made it. */
struct fz_run {
	u64 pos;
	u32 len;
	const u8 *data;
};

struct fz_member {
	u64 size;
	u32 flags;
	u32 first_run;
	u32 nr_runs;
};

struct fz_input {
	struct fz_control ctl;
	struct vdisk_image_desc images[FZ_MAX_TABLE];
	struct vdisk_segment_desc segs[FZ_MAX_TABLE];
	struct vdisk_patch patches[VDISK_MAX_PATCHES + 1];
	struct fz_member files[FZ_MAX_FILES];
	struct fz_run runs[FZ_MAX_RUNS];
	u32 nr_runs;
};

/* False: too short to mean anything. Runs are cut where the input ends. */
bool fz_input_parse(struct fz_input *in, const u8 *data, size_t size);
/* Bytes written; 0: it does not fit. @out must not hold the runs' bytes. */
size_t fz_input_write(const struct fz_input *in, u8 *out, size_t room);
/* Append the parts of @data that are not zeros as runs of file @file, which is the last. */
void fz_input_add_bytes(struct fz_input *in, u32 file, u64 pos, const u8 *data, size_t len);

#endif /* FZ_INPUT_H */
