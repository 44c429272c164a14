/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VDI as it lies on disk. Everything is little-endian and nothing is sure to be
 * aligned: read fields with get_unaligned_le*(). Places and sizes are bytes, but for
 * the entries of the block map, which count slots.
 *
 *	0		pre-header: banner, signature, version
 *	72		header of that version
 *	offBlocks	block map: cBlocks entries of 32 bits
 *	offData		slot 0, slot 1, ...: each cbBlockExtra bytes, then cbBlock of data
 */
#ifndef VDI_DISK_H
#define VDI_DISK_H

#include "vd_port.h"
#include "vdisk/uuid.h"

#define VDI_SIGNATURE		0xbeda107fU

/* major << 16 | minor */
#define VDI_VERSION_0_1		0x00000001U
#define VDI_VERSION_0_2		0x00000002U
#define VDI_VERSION_1_1		0x00010001U
#define VDI_MAJOR(version)	((version) >> 16)

#define VDI_TYPE_DYNAMIC	1U
#define VDI_TYPE_FIXED		2U
#define VDI_TYPE_UNDO		3U
#define VDI_TYPE_DIFF		4U

#define VDI_FLAG_ZERO_EXPAND	(1U << 0)
#define VDI_FLAG_FIXED		(1U << 8)
#define VDI_FLAG_DIFF		(1U << 9)
#define VDI_FLAGS		(VDI_FLAG_ZERO_EXPAND | VDI_FLAG_FIXED | VDI_FLAG_DIFF)

/* Entries of the map that name no slot. */
#define VDI_FREE		0xffffffffU	/* the parent's, or zeros */
#define VDI_ZERO		0xfffffffeU	/* zeros, whatever the parent has */

#define VDI_BANNER_BYTES	64U
#define VDI_COMMENT_BYTES	256U

struct vdi_disk_geometry {
	__le32 cylinders;
	__le32 heads;
	__le32 sectors;
	__le32 sector_bytes;
} __attribute__((packed));

struct vdi_disk_pre {
	__u8 banner[VDI_BANNER_BYTES];	/* text for people */
	__le32 signature;
	__le32 version;
} __attribute__((packed));
static_assert(sizeof(struct vdi_disk_pre) == 72, "pre-header");

/* Version 0.2. The map follows, and data directly after the map. */
struct vdi_disk_v0 {
	struct vdi_disk_pre pre;
	__le32 type;
	__le32 flags;
	__u8 comment[VDI_COMMENT_BYTES];
	struct vdi_disk_geometry geometry;
	__le64 disk_bytes;
	__le32 block_bytes;
	__le32 blocks;
	__le32 allocated;
	__u8 uuid[VD_UUID_BYTES];
	__u8 mod_uuid[VD_UUID_BYTES];
	__u8 parent_uuid[VD_UUID_BYTES];
} __attribute__((packed));
static_assert(sizeof(struct vdi_disk_v0) == 420, "header 0.2");

/* Version 1.x, up to what all of them have. */
struct vdi_disk_v1 {
	struct vdi_disk_pre pre;
	__le32 header_bytes;		/* from here on */
	__le32 type;
	__le32 flags;
	__u8 comment[VDI_COMMENT_BYTES];
	__le32 map_pos;			/* offBlocks */
	__le32 data_pos;		/* offData */
	struct vdi_disk_geometry geometry;	/* of old; means nothing today */
	__le32 dummy;
	__le64 disk_bytes;
	__le32 block_bytes;
	__le32 extra_bytes;		/* cbBlockExtra */
	__le32 blocks;
	__le32 allocated;		/* cBlocksAllocated: where others put the next slot */
	__u8 uuid[VD_UUID_BYTES];
	__u8 mod_uuid[VD_UUID_BYTES];
	__u8 parent_uuid[VD_UUID_BYTES];
	__u8 parent_mod_uuid[VD_UUID_BYTES];
	struct vdi_disk_geometry lchs;	/* only if header_bytes covers it */
	__u8 pad[40];			/* of the sector; belongs to nobody */
} __attribute__((packed));
static_assert(sizeof(struct vdi_disk_v1) == 512, "header 1.x in its sector");
static_assert(offsetof(struct vdi_disk_v1, map_pos) == 340, "offBlocks");
static_assert(offsetof(struct vdi_disk_v1, disk_bytes) == 368, "cbDisk");
static_assert(offsetof(struct vdi_disk_v1, uuid) == 392, "uuidCreate");
static_assert(offsetof(struct vdi_disk_v1, lchs) == 456, "LCHS");

#define VDI_HEADER_BYTES	384U	/* without LCHS */
#define VDI_HEADER_BYTES_LCHS	400U

#endif /* VDI_DISK_H */
