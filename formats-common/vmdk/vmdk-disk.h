/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VMDK as it lies on disk. Everything is little-endian and nothing is sure to
 * be aligned: read fields with get_unaligned_le*(). A sector is 512 bytes, also
 * for guests with larger ones.
 */
#ifndef VMDK_DISK_H
#define VMDK_DISK_H

#include "vd_port.h"

/* Hosted sparse extent: header, at the begin of the file and as stream footer. */
#define VMDK_MAGIC		0x564d444bU	/* "KDMV" */
#define VMDK_MAGIC_UNFINISHED	0x766d646bU	/* "kdmv": a writer is at work, or died */

#define VMDK_VERSION_TRACKED	3U	/* uncompressed: change tracking was turned on */

#define VMDK_FLAG_NEWLINE	(1U << 0)	/* the newline test bytes are valid */
#define VMDK_FLAG_REDUNDANT	(1U << 1)	/* second directory and tables in use */
#define VMDK_FLAG_ZEROED	(1U << 2)	/* table entry 1 is a grain of zeros */
#define VMDK_FLAG_COMPRESSED	(1U << 16)
#define VMDK_FLAG_MARKERS	(1U << 17)	/* grains carry their address */
#define VMDK_FLAGS_LOW		(VMDK_FLAG_NEWLINE | VMDK_FLAG_REDUNDANT | VMDK_FLAG_ZEROED)
#define VMDK_FLAGS_HIGH		(VMDK_FLAG_COMPRESSED | VMDK_FLAG_MARKERS)

#define VMDK_GD_AT_END		0xffffffffffffffffULL	/* gd: look at the footer */
#define VMDK_COMPRESS_NONE	0
#define VMDK_COMPRESS_DEFLATE	1
#define VMDK_GTES		512U		/* entries of a grain table */
#define VMDK_GTES_SHIFT		9
#define VMDK_GT_BYTES		(VMDK_GTES * 4U)
#define VMDK_GTE_ABSENT		0U
#define VMDK_GTE_ZERO		1U		/* with VMDK_FLAG_ZEROED */

struct vmdk_disk_header {
	__le32 magic;
	__le32 version;
	__le32 flags;
	__le64 capacity;		/* sectors, as all places and sizes here */
	__le64 grain_size;
	__le64 descriptor_offset;	/* 0: no embedded descriptor */
	__le64 descriptor_size;
	__le32 num_gtes_per_gt;
	__le64 rgd_offset;
	__le64 gd_offset;
	__le64 over_head;		/* where grains may begin */
	__u8 unclean_shutdown;
	__u8 newline[4];		/* "\n \r\n", broken by text-mode transfers */
	__le16 compress_algorithm;
	__u8 pad[433];
} __attribute__((packed));
static_assert(sizeof(struct vmdk_disk_header) == 512, "header is one sector");
static_assert(offsetof(struct vmdk_disk_header, gd_offset) == 56, "gd_offset");
static_assert(offsetof(struct vmdk_disk_header, compress_algorithm) == 77, "compress_algorithm");

/* Before each grain and each piece of metadata of a stream, sector-aligned. */
#define VMDK_MARKER_EOS		0U
#define VMDK_MARKER_GT		1U
#define VMDK_MARKER_GD		2U
#define VMDK_MARKER_FOOTER	3U
#define VMDK_MARKER_PROGRESS	4U

struct vmdk_disk_marker {
	__le64 val;		/* grain: its first sector; metadata: sectors that follow */
	__le32 size;		/* grain: compressed bytes; metadata: 0 */
	__le32 type;		/* metadata only; a grain's data begins here */
} __attribute__((packed));
static_assert(sizeof(struct vmdk_disk_marker) == 16, "marker");
#define VMDK_GRAIN_MARKER_BYTES	12U
#define VMDK_GRAIN_SIZE_BYTES	4U	/* compressed without markers: the size alone */

/* COWD: copy-on-write disk of ESX and of old hosted products. */
#define COWD_MAGIC		0x44574f43U	/* "COWD" */
#define COWD_VERSION		1U
#define COWD_FLAGS		3U
#define COWD_GTES_SHIFT		12
#define COWD_GTES		(1U << COWD_GTES_SHIFT)
#define COWD_GT_BYTES		(COWD_GTES * 4U)
#define COWD_HEADER_SECTORS	4U

struct cowd_disk_header {
	__le32 magic;
	__le32 version;
	__le32 flags;
	__le32 num_sectors;
	__le32 grain_size;
	__le32 gd_offset;
	__le32 num_gd_entries;
	__le32 free_sector;
	__u8 parent[1028];	/* legacy name or geometry: the descriptor knows better */
	__le32 generation;
	__u8 name[60];
	__u8 description[512];
	__le32 saved_generation;
	__u8 reserved[8];
	__le32 unclean_shutdown;
	__u8 pad[396];
} __attribute__((packed));
static_assert(sizeof(struct cowd_disk_header) == 2048, "header is four sectors");
static_assert(offsetof(struct cowd_disk_header, generation) == 1060, "generation");
static_assert(offsetof(struct cowd_disk_header, unclean_shutdown) == 1648, "unclean_shutdown");

/* SESparse: space-efficient delta of VMFS6. */
#define SESPARSE_MAGIC		0x00000000cafebabeULL
#define SESPARSE_VERSION	0x0000000200000001ULL
#define SESPARSE_VOLATILE_MAGIC	0x00000000cafecafeULL
#define SESPARSE_GRAIN_SECTORS	8U
#define SESPARSE_GRAIN_SHIFT	12
#define SESPARSE_GT_SECTORS	64U
#define SESPARSE_GTES_SHIFT	12
#define SESPARSE_GTES		(1U << SESPARSE_GTES_SHIFT)
#define SESPARSE_GDE_TAG	0x10000000U	/* high half of a directory entry in use */

enum sesparse_area {
	SESPARSE_VOLATILE,
	SESPARSE_JOURNAL_HEADER,
	SESPARSE_JOURNAL,
	SESPARSE_GD,
	SESPARSE_GTS,
	SESPARSE_FREE_BITMAP,
	SESPARSE_BACKMAP,
	SESPARSE_GRAINS,
	SESPARSE_AREAS,
};

struct sesparse_disk_header {
	__le64 magic;
	__le64 version;
	__le64 capacity;
	__le64 grain_size;
	__le64 grain_table_size;
	__le64 flags;
	__le64 reserved[4];
	struct {
		__le64 offset;
		__le64 size;
	} __attribute__((packed)) area[SESPARSE_AREAS];
	__u8 pad[304];
} __attribute__((packed));
static_assert(sizeof(struct sesparse_disk_header) == 512, "header is one sector");
static_assert(offsetof(struct sesparse_disk_header, area) == 80, "area");

struct sesparse_disk_volatile {
	__le64 magic;
	__le64 free_gt_number;
	__le64 next_txn_seq;
	__le64 replay_journal;
} __attribute__((packed));
static_assert(sizeof(struct sesparse_disk_volatile) == 32, "volatile header");

/*
 * Ours: last sector of a second place of the descriptor, which a header names only while
 * the first one is being written (embed.c). Behind the text's NUL, so nobody reads it.
 */
#define VMDK_MOVED_MAGIC	"\nvdisk: moved \n\n"

struct vmdk_disk_moved {
	__u8 magic[16];
	__le64 self;		/* sector of the place that this is the end of */
	__le64 home;		/* sectors: where the descriptor belongs */
	__le64 home_size;
	__le64 file_size;	/* bytes without the second place; 0: it is inside the first */
	__u8 pad[464];
} __attribute__((packed));
static_assert(sizeof(struct vmdk_disk_moved) == 512, "record is one sector");

#endif /* VMDK_DISK_H */
