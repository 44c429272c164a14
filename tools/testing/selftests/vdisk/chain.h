/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Images that tests write to, whatever their format: made here, attached with
 * writable members, and read again by readers that share no code with what is
 * tested. QEMU says whether readers and makers agree with the rest of the world.
 *
 * What a format brings along is in kinds.h.
 */
#ifndef VDT_CHAIN_H
#define VDT_CHAIN_H

#include "blk.h"
#include "shadow.h"

#define CHAIN_MAX_EXTENTS	4
#define CHAIN_MAX_IMAGES	4

/* struct extent.flags of VMDK */
#define VMDK_RGD	(1U << 0)	/* hosted: a second copy of all tables */
#define VMDK_ZEROED	(1U << 1)	/* hosted: version 2, entry 1 means zeros */
#define VMDK_NO_TABLES	(1U << 2)	/* hosted: tables without a grain are left out */

/* struct extent.flags of VDI; without any: as QEMU makes it */
#define VDI_VIRTUALBOX	(1U << 0)	/* the map at 1 MiB, data at the next; longer header */
#define VDI_FIXED	(1U << 1)	/* each block has the slot of its number */
#define VDI_ZEROED	(1U << 2)	/* some of the blocks without data are marked as zeros */
#define VDI_HOLES	(1U << 3)	/* each third slot is nobody's, and full of old bytes */
#define VDI_COUNT_LOW	(1U << 4)	/* the counter is too small */
#define VDI_COUNT_HIGH	(1U << 5)	/* or too large */
#define VDI_TAIL	(1U << 6)	/* the file goes on after the last slot */
#define VDI_SHORT	(1U << 7)	/* the file ends inside of the last slot */
#define VDI_OLD		(1U << 8)	/* header of version 0.2 */
#define VDI_ODD		(1U << 9)	/* data begins 4 bytes off a sector */

struct kind;

/**
 * struct extent - guest bytes of an image, in a file
 * @len: guest bytes
 * @unit: bytes that get their place together; 0: the kind has no units
 * @flags: of its format
 * @offset: flat: where in the file the extent begins
 * @used: so many of a hundred units (flat: of 64 KiB) hold data at first
 * @dir: where the file goes; NULL: where the image is
 * @path: of the file; the caller's to be a block device, else made by chain_make()
 * @size: of the file when it was made or attached
 * @floor: what the file had then and nobody may take away
 * @head: the file's first sector then
 * @patch: what chain_attach() has the first write change; @patch.len 0: nothing
 */
struct extent {
	const struct kind *kind;
	u64 len;
	u64 unit;
	u32 flags;
	u64 offset;
	unsigned int used;
	const char *dir;
	char path[160];
	u64 size;
	u64 floor;
	u8 head[SECTOR];
	struct vdisk_patch patch;
};

/**
 * struct image - one link of a chain
 * @name: of its files
 * @type: VMDK: createType; NULL: the only extent's file is all there is
 * @path: what QEMU opens
 * @size: sum of its extents
 * @id: of its content, different in each image that is made
 */
struct image {
	const char *name;
	const char *dir;
	const char *type;
	struct extent extents[CHAIN_MAX_EXTENTS];
	unsigned int nr;
	char path[160];
	u64 size;
	u32 id;
};

/* images[0] is the top. */
struct chain {
	struct image images[CHAIN_MAX_IMAGES];
	unsigned int nr;
};

/* ---------------------------------------------------------------- making */

/* Write all files; the same @seed gives the same bytes. Bails. */
void chain_make(struct chain *c, u64 seed);
void chain_remove(struct chain *c);
/* Only paths and sizes: somebody else makes the files. */
void chain_name(struct chain *c);
/* Shorthands for an extent of the usual kinds. */
struct extent vmdk_sparse(u64 len, u64 grain, u32 flags, unsigned int used);
struct extent vmdk_cowd(u64 len, u64 grain, unsigned int used);
struct extent vmdk_flat(u64 len);
struct extent vdi_blocks(u64 len, u64 block, u32 flags, unsigned int used);
struct extent raw_file(u64 len);
/* The usual chain: one image in one extent. */
struct chain chain_single(const char *dir, const char *name, struct extent extent);
/* One more image below, in the same directory. */
void chain_add_parent(struct chain *c, const char *name, struct extent extent);
/* @top over @base. */
struct chain chain_delta(const char *dir, struct extent top, struct extent base);
/* One more extent for the lowest image, in @dir. */
void chain_add_extent(struct chain *c, const char *dir, struct extent extent);

/* ------------------------------------------------------------- attaching */

/*
 * An ATTACH request for @c, members of the top writable unless @flags have
 * VDISK_F_HARD_RDONLY; @fds get them, one an extent, the top's first. Notes what
 * each extent is.
 */
unsigned int chain_request(struct nl_req *req, struct chain *c, u32 flags, int *fds);
/* If the top can be written, with another ID of its content for the first write. */
int chain_attach(struct nl *nl, struct chain *c, u32 flags, struct vdev *dev,
		 struct nl_reply *reply);

/* The same; bails. */
void chain_must_attach(struct nl *nl, struct chain *c, u32 flags, struct vdev *dev,
		       struct nl_reply *reply);
/* What a test on ext4 and XFS begins with: the family, and the two places. Bails. */
void chain_begin(struct nl *nl, const char **ext4, const char **xfs);

/* --------------------------------------------------------------- reading */

/*
 * What the files hold now. Opens them for each call, so that nothing of theirs
 * stays in use; false with a diagnosis if tables lead nowhere.
 */
bool chain_read(const struct chain *c, u64 pos, void *buf, u64 len);
/* The whole disk, into a new shadow. */
void chain_load(const struct chain *c, struct shadow *s);
/* Does all of the disk read as it should? Then that is what the files must hold later. */
bool vdev_settle(const struct vdev *dev, struct shadow *s);
bool chain_equals(const struct chain *c, const struct shadow *s);

#define CHAIN_MAY_LEAK	(1U << 0)	/* unclean, trailing space, holes, copies that differ */

/*
 * Is the top image as its format and a clean detach want it: every unit in the
 * file, none twice, none over a table; copies of tables equal; not marked
 * unclean; the file no longer than it was or than its last unit.
 */
bool chain_sound(const struct chain *c, unsigned int flags);
/* What a file is now is what chain_sound() compares with: done when made or attached. */
void extent_note(struct extent *e);
/* Was the top attached with another ID for its first write, and has it that one now? */
bool chain_renews(const struct chain *c);
bool chain_renewed(const struct chain *c);
/* Has its format a mark of use, and is it set? */
bool extent_has_mark(const struct extent *e);
bool extent_unclean(const struct extent *e);
/* How many units have a place. */
u64 extent_units(const struct extent *e);
bool extent_is_used(const struct extent *e, u64 n);
/* In the file, the word that says where unit @n is; 0: there is none. */
u64 extent_entry(const struct extent *e, u64 n);

/* ------------------------------------------------------------------ QEMU */

/* Has QEMU a driver for each image of it? */
bool chain_qemu_opens(const struct chain *c);
/* Exit status of qemu-img check on the top image; shows what it says if not 0. */
int chain_qemu_check(const struct chain *c);
/* Does QEMU read the shadow's content? */
bool chain_qemu_equals(const struct chain *c, const struct shadow *s);
/* A result for each of the two, but none if QEMU has no driver; @s may be NULL. */
void chain_ask_qemu(const struct chain *c, const struct shadow *s, const char *name);

#endif /* VDT_CHAIN_H */
