/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every limit that an image is held to, in one place: parsers, the kernel's
 * re-validation, vdctl, fuzzers and the documentation use these.
 */
#ifndef VDISK_CAPS_H
#define VDISK_CAPS_H

#include <linux/vdisk.h>

#define VD_SECTOR_SHIFT		9
#define VD_SECTOR		512U

#define VD_CAP_DISK_BYTES	(1ULL << 46)	/* 64 TiB */
#define VD_CAP_FILE_BYTES	(1ULL << 62)
#define VD_CAP_MAP_STEPS	4096		/* merges in one vd_map() call */

/* Metadata cache, in blocks of VD_META_BLOCK bytes. */
#define VD_META_SHIFT		12
#define VD_META_BLOCK		4096U
#define VD_META_RESERVE		24		/* owned from open: progress without memory */
#define VD_META_MAX_BLOCKS	8192		/* 32 MiB */

#define VD_RESOLVE_BYTES	(128U << 10)	/* resolved extents of a chain, if it has parents */

/* How much of a file is made at once: writing into it needs no flush of its own. */
#define VD_GROW_CHUNK		(16U << 20)
#define VD_GROW_CHUNK_MAX	(64U << 20)
#define VD_CAP_FREE_RANGES	4096		/* remembered for reuse; more are given up */

/* A packed unit, unpacked and packed. */
#define VD_CAP_UNIT_BYTES	(2U << 20)
#define VD_CAP_PACKED_BYTES	(VD_CAP_UNIT_BYTES + VD_CAP_UNIT_BYTES / 8 + 1024)

/* VMDK */
#define VMDK_CAP_DESCRIPTOR	(1U << 20)	/* bytes of text */
#define VMDK_CAP_LINES		4096
#define VMDK_CAP_LINE		4096
#define VMDK_CAP_DESC_SECTORS	20480U		/* embedded descriptor area */
#define VMDK_CAP_GRAIN_SECTORS	2048U		/* 1 MiB */
#define VMDK_CAP_GD_ENTRIES	(1U << 20)	/* 4 MiB of directory */
#define VMDK_CAP_CHECK_BYTES	(512U << 20)	/* memory of a check, beside the directory */

#endif /* VDISK_CAPS_H */
