/* SPDX-License-Identifier: GPL-2.0-only */
/* VDI on disk, as the tests' own maker and reader of images see it. Little-endian. */
#ifndef VDT_VDI_DISK_H
#define VDT_VDI_DISK_H

#include "kinds.h"

#define VDI_MAGIC	0xbeda107fU
#define VDI_FREE	0xffffffffU	/* the parent's */
#define VDI_ZERO	0xfffffffeU	/* zeros */
#define VDI_DYNAMIC	1U
#define VDI_STATIC	2U
#define VDI_DIFF	4U

/* Byte 72 of version 1; positions below count from the file's first byte. */
struct vdi_v1 {
	char banner[64];
	u32 magic;
	u32 version;
	u32 header_size;
	u32 type;
	u32 flags;
	char comment[256];
	u32 map;
	u32 data;
	u32 chs[3];
	u32 sector;
	u32 unused;
	u64 size;
	u32 block;
	u32 extra;
	u32 blocks;
	u32 allocated;
	u8 uuid[16];
	u8 uuid_modify[16];
	u8 uuid_parent[16];
	u8 uuid_parent_modify[16];
	u32 lchs[3];
	u32 lchs_sector;
	u8 pad[40];
} __attribute__((packed));

/* Version 0.2: the map follows at once, then the data. */
struct vdi_v0 {
	char banner[64];
	u32 magic;
	u32 version;
	u32 type;
	u32 flags;
	char comment[256];
	u32 chs[3];
	u32 sector;
	u64 size;
	u32 block;
	u32 blocks;
	u32 allocated;
	u8 uuid[16];
	u8 uuid_modify[16];
	u8 uuid_parent[16];
} __attribute__((packed));

_Static_assert(sizeof(struct vdi_v1) == 512, "VDI header");
_Static_assert(__builtin_offsetof(struct vdi_v1, map) == 340, "VDI map");
_Static_assert(__builtin_offsetof(struct vdi_v1, allocated) == 388, "VDI counter");
_Static_assert(__builtin_offsetof(struct vdi_v1, uuid_modify) == 408, "VDI modification");
_Static_assert(__builtin_offsetof(struct vdi_v1, lchs) == 456, "VDI LCHS");
_Static_assert(sizeof(struct vdi_v0) == 420, "VDI header of old");

/* vdi-make.c, of the struct format in vdi-read.c */
void vdi_make(struct image *image, const struct image *parent, u64 seed);

#endif /* VDT_VDI_DISK_H */
