/* SPDX-License-Identifier: GPL-2.0-only */
/* VMDK on disk, as the tests' own maker and reader of images see it. Little-endian. */
#ifndef VDT_VMDK_DISK_H
#define VDT_VMDK_DISK_H

#include "kinds.h"

#define VMDK_MAGIC		0x564d444bU	/* "KDMV" */
#define VMDK_GTES		512U
#define VMDK_GTE_ZERO		1U
#define VMDK_COWD_MAGIC		0x44574f43U	/* "COWD" */
#define VMDK_COWD_GTES		4096U

/* Offsets and lengths are in sectors. */
struct vmdk_hosted {
	u32 magic;
	u32 version;
	u32 flags;
	u64 capacity;
	u64 grain_size;
	u64 descriptor;
	u64 descriptor_size;
	u32 gtes;
	u64 rgd;
	u64 gd;
	u64 overhead;
	u8 unclean;
	char newline[4];
	u16 compression;
	u8 pad[433];
} __attribute__((packed));

struct vmdk_cowd_header {
	u32 magic;
	u32 version;
	u32 flags;
	u32 sectors;
	u32 grain_size;
	u32 gd;
	u32 nr_gd;
	u32 free_sector;
	u32 cylinders;
	u32 heads;
	u32 gt_sectors;
	u8 names[1604];
	u32 unclean;
	u8 pad[396];
} __attribute__((packed));

/* vmdk-make.c, of the struct format in vmdk-read.c */
void vmdk_make(struct image *image, const struct image *parent, u64 seed);
const char *vmdk_type(const struct image *image);

_Static_assert(sizeof(struct vmdk_hosted) == 512, "hosted header");
_Static_assert(sizeof(struct vmdk_cowd_header) == 2048, "COWD header");
_Static_assert(__builtin_offsetof(struct vmdk_hosted, unclean) == 72, "hosted unclean flag");
_Static_assert(__builtin_offsetof(struct vmdk_cowd_header, unclean) == 1648, "COWD unclean flag");

#endif /* VDT_VMDK_DISK_H */
