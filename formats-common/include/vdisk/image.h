/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Images and chains: what a guest sector means.
 *
 * A chain is a list of images, the top first; each image is a sorted list of
 * segments. Parents are addressed in disk-absolute offsets, clipped at the
 * parent's end, zeros beyond.
 */
#ifndef VDISK_IMAGE_H
#define VDISK_IMAGE_H

#include <linux/vdisk.h>
#include "vdisk/format.h"

struct vd_image {
	u32 format;
	u64 size;
	u32 nr_segs;
	struct vd_segment *segs;	/* into the chain's array */
};

/**
 * struct vd_chain - an open set of images
 * @size: size of the top image: the disk's
 * @unit: largest allocation unit of the top image, 0 if none
 * @max_unit: largest packed unit in the chain, 0 if nothing is packed
 * @writer: what writing needs; NULL when no segment of the top can be written
 * @resolve: what was found below the top; NULL without parents
 *
 * Immutable after open but for @meta, @writer and @resolve, so readers take no lock of
 * the chain. The owner closes it after the last reader left.
 */
struct vd_writer;
struct vd_resolve;

struct vd_chain {
	u64 size;
	u32 unit;
	u32 max_unit;
	u32 nr_images;
	u32 nr_segs;
	struct vd_image *images;
	struct vd_segment *segs;
	struct vd_meta *meta;
	struct vd_writer *writer;
	struct vd_resolve *resolve;
};

/**
 * struct vd_chain_desc - the numeric tables, as they cross netlink
 * @files: member table; RW members are those with vd_file.writable
 * @images: [0] is the top
 * @segments: sorted by (image, start), each image covered without gap
 * @patches: bytes that change, durably, before anything else does
 * @meta_blocks, @grow_chunk: for tests: blocks of the metadata cache, bytes that
 *	a file grows by; 0: the defaults
 * @resolve_sets: for tests: sets of the table of resolved extents, rounded down to
 *	a power of two, but two at least; 0: the default; VD_RESOLVE_NONE: no table
 */
#define VD_RESOLVE_NONE	U32_MAX

struct vd_chain_desc {
	struct vd_file **files;
	u32 nr_files;
	const struct vdisk_image_desc *images;
	u32 nr_images;
	const struct vdisk_segment_desc *segments;
	u32 nr_segments;
	const struct vdisk_patch *patches;
	u32 nr_patches;
	u32 meta_blocks;
	u32 grow_chunk;
	u32 resolve_sets;
};

/*
 * Validate every number of @desc, open every segment. May sleep. On error
 * nothing stays behind and *@err says why. The kernel and vdctl both call
 * this: what user space can read is what the kernel attaches.
 */
int vd_chain_open(const struct vd_chain_desc *desc, struct vd_chain **out, struct vd_error *err);
void vd_chain_close(struct vd_chain *chain);

/**
 * vd_map() - the longest extent from @pos with one answer
 * @pos: multiple of 512, below the disk's size
 * @len: multiple of 512, > 0; clipped at the disk's end
 * @flags: VD_MAP_*
 *
 * Merges neighbours that are contiguous in the file, as far as their tables are
 * in memory: what follows the first answer never waits, so an extent may end
 * before its neighbour does. HOLE means that no image
 * has it. -EAGAIN (NOWAIT only), -EUCLEAN, -EIO, -EROFS (WRITE), -ENODATA (WRITE:
 * the top has no place for it yet, see alloc.h), -EACCES (a NOACCESS segment).
 * Without NOWAIT it may sleep.
 */
int vd_map(struct vd_chain *chain, u64 pos, u64 len, unsigned int flags, struct vd_extent *ext);

/**
 * struct vd_unit - the last inflated unit, for sequential readers
 *
 * Zero-initialised by its owner, one user at a time; vd_unit_release() before
 * its chain is closed.
 */
struct vd_unit {
	const struct vd_segment *seg;
	u64 pos;
	u32 len;
	u32 max_unit;		/* room that vd_unit_prepare() made */
	u8 *data;
	u8 *raw;
	void *ws;
};

/* Buffers for units of up to @max_unit bytes. May sleep. 0 or -ENOMEM. */
int vd_unit_prepare(struct vd_unit *unit, u32 max_unit);
/* Make @unit hold the unit of PACKED @ext, reading and inflating if needed. May sleep. */
int vd_unit_load(struct vd_unit *unit, const struct vd_extent *ext);
void vd_unit_release(struct vd_unit *unit);

/*
 * Synchronous I/O on top of the map, for tools and tests, one user at a time;
 * any alignment of 512. Reads fill @buf completely or fail. Writes, discards and
 * zeroes go to the top image and are durable after vd_flush(). vd_end_write()
 * before the chain is closed. Errors: those of vd_map() and vd_reserve().
 */
int vd_read(struct vd_chain *chain, struct vd_unit *unit, u64 pos, void *buf, u32 len);
int vd_write(struct vd_chain *chain, u64 pos, const void *buf, u32 len);
int vd_flush(struct vd_chain *chain);
/* Reads zeros or what it was; space given back where that can be. */
int vd_discard(struct vd_chain *chain, u64 pos, u64 len);
/* Reads zeros afterwards; @unmap: its space may go. */
int vd_write_zeroes(struct vd_chain *chain, u64 pos, u64 len, bool unmap);

#endif /* VDISK_IMAGE_H */
