/* SPDX-License-Identifier: GPL-2.0-only */
/* VDI: what open learns, and the functions that share it. */
#ifndef VDI_H
#define VDI_H

#include "vdisk/alloc.h"
#include "vdisk/caps.h"
#include "vdisk/checked.h"
#include "vdisk/format.h"
#include "vdisk/uuid.h"
#include "vdi-disk.h"

/**
 * struct vdi_header - the header in numbers that are sure to fit each other
 * @version: as on disk
 * @header_bytes: cbHeader, or that of 0.2 as if it had one
 * @disk_bytes: cbDisk as on disk; @size: in whole sectors
 * @map_pos, @data_pos: of the map, of slot 0
 * @block: bytes of guest data in a slot; a power of two
 * @extra: bytes before it in the slot
 * @blocks: entries of the map
 * @allocated: cBlocksAllocated; only a hint
 * @legacy, @lchs: geometries; cylinders 0: none
 * @old_sector: sector size beside @legacy
 * @uuid, ...: 16 bytes in the order of the text form
 */
struct vdi_header {
	u32 version;
	u32 header_bytes;
	u32 type;
	u32 flags;
	u64 disk_bytes;
	u64 size;
	u64 map_pos;
	u64 data_pos;
	u32 block;
	u32 block_shift;
	u32 extra;
	u32 blocks;
	u32 allocated;
	u32 legacy[3];
	u32 lchs[3];
	u32 old_sector;
	u8 uuid[VD_UUID_BYTES];
	u8 mod_uuid[VD_UUID_BYTES];
	u8 parent_uuid[VD_UUID_BYTES];
	u8 parent_mod_uuid[VD_UUID_BYTES];
};

/**
 * struct vdi - one open image
 * @map: the block map, in the metadata cache
 * @slot: bytes of a slot, @header.extra and @header.block
 * @counted: what the header's counter says or will say with the next commit
 * @space: slots; its places are multiples of a slot past data_pos
 */
struct vdi {
	struct vdi_header header;
	struct vd_table map;
	u64 slot;
	u32 counted;
	struct vd_space space;
};

/* header.c */

/* Read and check it, also against the size of the file. 0 or -errno with *@err. */
int vdi_header_read(struct vd_file *file, struct vdi_header *out, struct vd_error *err);
/* Other minor versions have something else behind the first 384 bytes, if anything. */
static inline bool vdi_has_lchs(const struct vdi_header *h)
{
	return h->version == VDI_VERSION_1_1 && h->header_bytes >= VDI_HEADER_BYTES_LCHS;
}

/* Why nobody should write to such an image, or NULL. */
const char *vdi_header_reason(const struct vdi_header *h);
/* What is missing is another image's. */
bool vdi_has_parent(const struct vdi_header *h);
/* Slots that a file of @size bytes has, the last perhaps cut; at most as many as have a number. */
u32 vdi_slots_in(const struct vdi_header *h, u64 size);

/* Where cBlocksAllocated lies; the header has version 1. */
#define VDI_ALLOCATED_POS	offsetof(struct vdi_disk_v1, allocated)

/* The first guest byte of slot @slot in the file. Any 32-bit number fits. */
static inline u64 vdi_slot_pos(const struct vdi_header *h, u32 slot)
{
	return h->data_pos + (u64)slot * ((u64)h->block + h->extra) + h->extra;
}

static inline bool vdi_is_slot(u32 entry)
{
	return entry < VDI_ZERO;
}

/* Does it begin inside a file of @size bytes? Its writer may have cut the last one. */
static inline bool vdi_slot_ok(const struct vdi_header *h, u32 slot, u64 size)
{
	return vdi_slot_pos(h, slot) < size;
}

/* map.c */
int vdi_map(struct vd_segment *seg, u64 pos, u64 len, unsigned int flags, struct vd_extent *ext);

/* scan.c: what the whole map says about slots */

/**
 * struct vdi_scan - one look at all of the map
 * @file, @header: whose
 * @go_on: called now and then; false ends it with -EINTR. May be NULL
 * @total: entries that will be looked at, all passes together; for @go_on
 * @used: entries that name a slot
 * @high: one more than the highest slot that is named
 * @outside: entries that name a slot past the file's end, the first of them in
 *	block @outside_block
 * @shared: entries that name a slot that one before them has, the first of them in
 *	block @shared_block
 * @hole: told each run of slots below @high that none names, in order. May be NULL
 *
 * All from @used to @shared_block are set by the scan.
 */
struct vdi_scan {
	struct vd_file *file;
	const struct vdi_header *header;
	bool (*go_on)(void *ctx, u64 done, u64 total);
	int (*hole)(void *ctx, u32 slot, u32 n);
	void *ctx;
	u64 total;
	u64 done;
	u32 used;
	u32 high;
	u32 outside;
	u32 outside_block;
	u32 shared;
	u32 shared_block;
};

/*
 * Reads the map from the file, past the cache: nothing of it may be dirty. May
 * sleep. 0, -ENOMEM, -EINTR, or what reading gave.
 */
int vdi_scan(struct vdi_scan *scan);
/* May an image that was found so be written? 0, or -EUCLEAN with *@err. */
int vdi_scan_verdict(const struct vdi_scan *scan, struct vd_error *err);

/* Call @entry for each of the map's entries, in order, until it returns other than 0. */
int vdi_walk(struct vd_file *file, const struct vdi_header *h,
	     int (*entry)(void *ctx, u32 block, u32 value), void *ctx);

/* write.c */
int vdi_begin_write(struct vd_segment *seg);
int vdi_begin_alloc(struct vd_segment *seg);
int vdi_reserve(struct vd_segment *seg, u64 pos, u64 len, struct vd_alloc *alloc);
void vdi_publish(struct vd_segment *seg, struct vd_alloc *alloc);
int vdi_discard(struct vd_segment *seg, u64 pos, u64 len, unsigned int flags, u64 *done);
int vdi_end_write(struct vd_segment *seg);
int vdi_pin(struct vd_segment *seg, u64 pos, u32 len, u32 rank, struct vd_meta_pin *pin);

#define VDI_RANK_COUNTER	0
#define VDI_RANK_MAP		1

/* pack.c */
int vdi_fill_holes(struct vd_segment *seg, struct vd_pack *pack);

/* User space only. */
struct vd_format_user;
extern const struct vd_format_user vdi_user;
int vdi_probe(struct vd_file *file, struct vd_probe *out);

#endif /* VDI_H */
