/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a format brings along to be written to by the tests: a struct format, a
 * struct kind for each of its kinds of extents, and shorthands for these in chain.h.
 * FORMAT-make.c and FORMAT-read.c have it all; nothing else names a format.
 */
#ifndef VDT_KINDS_H
#define VDT_KINDS_H

#include "chain.h"
#include "tap.h"

#define ULL(n) ((unsigned long long)(n))

/* ------------------------------------------------------------------ formats */

/**
 * struct format - a kind of images
 * @id: enum vdisk_format
 * @name: the end of its files' names, and what QEMU calls it
 * @type: what struct image.type has; NULL: nothing
 * @make: writes the files of @image, of which names, sizes and @id are set
 * @qemu_opens: has QEMU a driver for the top of @c, and for what it says of its parents?
 * @plain: nothing but content, so that there is nothing for a check to look at
 * @fills_holes: when writing ends, if there is time; QEMU objects to those that stay
 */
struct format {
	u32 id;
	const char *name;
	const char *(*type)(const struct image *image);
	void (*make)(struct image *image, const struct image *parent, u64 seed);
	bool (*qemu_opens)(const struct chain *c);
	bool plain;
	bool fills_holes;
};

/* -------------------------------------------------------------------- views */

#define VIEW_BLOCK	4096U
#define VIEW_BLOCKS	8U

/**
 * struct view - a file of the set, for one look at it
 * @size: of the file
 * @cached: which blocks of the file @cache holds, + 1
 * @nr: units
 * @priv: of the kind; freed with the view
 */
struct view {
	const struct extent *e;
	int fd;
	u64 size;
	u64 cached[VIEW_BLOCKS];
	u8 cache[VIEW_BLOCKS][VIEW_BLOCK];
	u64 nr;
	void *priv;
};

/**
 * struct kind - a kind of extents
 * @segment: enum vdisk_segment_kind
 * @format: whose images it is the first extent of
 * @open: what the file says of itself
 * @attached: the file is about to be attached; sets @floor. May be NULL
 * @renew: what the first write is to change, @p->member set; leaves @p->len 0 if nothing.
 *	NULL: nothing ever
 * @read: up to @len bytes, returns how many; *@hit false: the parent's
 * @sound: see chain_sound()
 * @unclean: is the mark of use set? NULL: there is none
 * @is_used: has unit @n a place? NULL: there are no units
 * @entry: byte of the 32-bit word that says where unit @n is; 0: it has none
 */
struct kind {
	u32 segment;
	const struct format *format;
	bool (*open)(struct view *v);
	void (*attached)(struct view *v, struct extent *e);
	void (*renew)(const struct extent *e, struct vdisk_patch *p);
	u64 (*read)(struct view *v, u64 pos, u8 *buf, u64 len, bool *hit);
	bool (*sound)(struct view *v, unsigned int flags);
	bool (*unclean)(struct view *v);
	bool (*is_used)(struct view *v, u64 n);
	u64 (*entry)(struct view *v, u64 n);
};

bool view_open(struct view *v, const struct extent *e);
void view_close(struct view *v);
/* Past the file's end there are zeros. */
void view_get(const struct view *v, void *buf, u64 len, u64 pos);
u32 view_get32(struct view *v, u64 pos);
/* Says what is wrong with an extent; false. */
bool extent_wrong(const struct extent *e, const char *fmt, ...) TAP_PRINTF(2, 3);

/* ------------------------------------------------------------------- making */

void mk_put(int fd, const void *buf, u64 len, u64 pos);
void mk_put32(int fd, u32 value, u64 pos);
u64 mk_div_up(u64 n, u64 d);
u64 mk_round_up(u64 n, u64 d);
/* The end of a file; on a block device, what it held before is no table. */
void mk_set_size(int fd, u64 tables, u64 size);
/* Does unit @n hold data at first? @want of a hundred do. */
bool mk_is_used(u64 seed, u64 n, unsigned int want);
void mk_random(u64 seed, u64 n, u8 *buf, u64 len);
/* Unit @i in file order is guest unit order[i]: neighbours lie apart. */
u64 *mk_shuffled(u64 nr, u64 seed);

/* Flat extents: bytes before the extent are somebody else's. */
void mk_flat(int fd, const struct extent *e, u64 seed);
bool flat_open(struct view *v);
u64 flat_read(struct view *v, u64 pos, u8 *buf, u64 len, bool *hit);
bool flat_sound(struct view *v, unsigned int flags);

#endif /* VDT_KINDS_H */
