/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VMDK images that tests write to: made here, attached with writable members,
 * and read again by a reader that shares no code with what is tested. QEMU says
 * whether reader and maker agree with the rest of the world.
 */
#ifndef VDT_VMDK_H
#define VDT_VMDK_H

#include "blk.h"
#include "shadow.h"

#define VMDK_MAX_EXTENTS	4
#define VMDK_MAX_IMAGES		4

/* struct vmdk_extent.flags */
#define VMDK_RGD	(1U << 0)	/* hosted: a second copy of all tables */
#define VMDK_ZEROED	(1U << 1)	/* hosted: version 2, entry 1 means zeros */
#define VMDK_NO_TABLES	(1U << 2)	/* hosted: tables without a grain are left out */

/**
 * struct vmdk_extent - guest bytes of an image, in a file
 * @kind: VDISK_SEG_RAW, VDISK_SEG_VMDK_SPARSE or VDISK_SEG_VMDK_COWD
 * @len: guest bytes
 * @grain: bytes, of the kinds that have grains
 * @offset: flat: where in the file the extent begins
 * @used: so many of a hundred grains (flat: of 64 KiB) hold data at first
 * @dir: where the file goes; NULL: where the image is
 * @path: of the file; the caller's to be a block device, else made by vmdk_make()
 * @size: of the file when it was made or attached
 */
struct vmdk_extent {
	u32 kind;
	u64 len;
	u64 grain;
	u32 flags;
	u64 offset;
	unsigned int used;
	const char *dir;
	char path[160];
	u64 size;
};

/**
 * struct vmdk_image - one link of a chain
 * @name: of its files
 * @type: createType; NULL: monolithicSparse, the descriptor inside the extent
 * @path: what QEMU opens
 * @size: sum of its extents
 */
struct vmdk_image {
	const char *name;
	const char *dir;
	const char *type;
	struct vmdk_extent extents[VMDK_MAX_EXTENTS];
	unsigned int nr;
	char path[160];
	u64 size;
	u32 cid;
};

/* images[0] is the top. */
struct vmdk_chain {
	struct vmdk_image images[VMDK_MAX_IMAGES];
	unsigned int nr;
};

/* ---------------------------------------------------------------- making */

/* Write all files; the same @seed gives the same bytes. Bails. */
void vmdk_make(struct vmdk_chain *c, u64 seed);
void vmdk_remove(struct vmdk_chain *c);
/* Only paths and sizes: somebody else makes the files. */
void vmdk_name(struct vmdk_chain *c);
/* Shorthands for an extent of the usual kinds. */
struct vmdk_extent vmdk_sparse(u64 len, u64 grain, u32 flags, unsigned int used);
struct vmdk_extent vmdk_cowd(u64 len, u64 grain, unsigned int used);
struct vmdk_extent vmdk_flat(u64 len);
/* The usual chain: one image in one extent. */
struct vmdk_chain vmdk_single(const char *dir, const char *name, struct vmdk_extent extent);
/* One more image below, in the same directory. */
void vmdk_add_parent(struct vmdk_chain *c, const char *name, struct vmdk_extent extent);
/* One more extent for the lowest image, in @dir. */
void vmdk_add_extent(struct vmdk_chain *c, const char *dir, struct vmdk_extent extent);

/* ------------------------------------------------------------- attaching */

/*
 * An ATTACH request for @c, members of the top writable unless @flags have
 * VDISK_F_HARD_RDONLY; @fds get them, one an extent, the top's first. Sets each
 * extent's size.
 */
unsigned int vmdk_request(struct nl_req *req, struct vmdk_chain *c, u32 flags, int *fds);
int vmdk_attach(struct nl *nl, struct vmdk_chain *c, u32 flags, struct vdev *dev,
		struct nl_reply *reply);

/* The same; bails. */
void vmdk_must_attach(struct nl *nl, struct vmdk_chain *c, u32 flags, struct vdev *dev,
		      struct nl_reply *reply);
/* What a test on ext4 and XFS begins with: the family, and the two places. Bails. */
void vmdk_begin(struct nl *nl, const char **ext4, const char **xfs);

/* --------------------------------------------------------------- reading */

/*
 * What the files hold now. Opens them for each call, so that nothing of theirs
 * stays in use; false with a diagnosis if tables lead nowhere.
 */
bool vmdk_read(const struct vmdk_chain *c, u64 pos, void *buf, u64 len);
/* The whole disk, into a new shadow. */
void vmdk_load(const struct vmdk_chain *c, struct shadow *s);
bool vmdk_equals(const struct vmdk_chain *c, const struct shadow *s);

#define VMDK_MAY_LEAK	(1U << 0)	/* unclean, trailing space, copies that differ */

/*
 * Is the top image as its format and a clean detach want it: both copies of the
 * tables equal, every grain in the file, none twice, none over a table; not
 * marked unclean; the file no longer than it was or than its last grain.
 */
bool vmdk_sound(const struct vmdk_chain *c, unsigned int flags);
/* Is an extent's mark of use set? */
bool vmdk_unclean(const struct vmdk_extent *e);
/* How many grains have a place. */
u64 vmdk_grains(const struct vmdk_extent *e);

/* ------------------------------------------------------------------ QEMU */

/* Exit status of qemu-img check on the top image; shows what it says if not 0. */
int vmdk_qemu_check(const struct vmdk_chain *c);
/* Does QEMU read the shadow's content? */
bool vmdk_qemu_equals(const struct vmdk_chain *c, const struct shadow *s);

#endif /* VDT_VMDK_H */
