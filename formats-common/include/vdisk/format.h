/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The backend interface. A backend maps guest ranges to places in files; it
 * never moves guest data, never locks, never caches: engine, chain, metadata
 * cache and file layer do.
 */
#ifndef VDISK_FORMAT_H
#define VDISK_FORMAT_H

#include <linux/vdisk.h>
#include "vd_port.h"
#include "vdisk/error.h"
#include "vdisk/extent.h"
#include "vdisk/file.h"
#include "vdisk/meta.h"

/* What a backend can do: struct vd_format.caps. */
#define VD_CAP_WRITE		(1ULL << 0)	/* overwrites in place */
#define VD_CAP_DIFF		(1ULL << 1)	/* images with a parent */
#define VD_CAP_DISCARD		(1ULL << 2)
#define VD_CAP_ZERO		(1ULL << 3)
#define VD_CAP_PROBE		(1ULL << 4)	/* found by content */
#define VD_CAP_ALLOC		(1ULL << 5)	/* writes may need a place first */

struct vd_alloc;
struct vd_chain;
struct vd_pack;

/**
 * struct vd_segment - one reader over one file
 * @image: index of the image in its chain, 0 is the top
 * @start: first guest byte, disk-absolute
 * @len: bytes
 * @kind: enum vdisk_segment_kind
 * @flags: VDISK_SEGF_*
 * @file: borrowed from the chain's member table; NULL for ZERO and NOACCESS
 * @file_off: raw: byte of @start in @file
 * @meta: the chain's cache
 * @format: backend that serves it; NULL for ZERO and NOACCESS
 * @packed: set by open: map may answer PACKED (such a file is read buffered)
 * @max_unit: set by open when @packed: largest unpacked unit
 * @unit: set by open: allocation unit in bytes, for io_opt and discard; 0 none
 * @unaligned: set by open: data may begin anywhere (such a file is read buffered)
 * @chain: whose segment it is
 * @writable: set by open: this reader can write (VD_CAP_WRITE says some can)
 * @begun: begin_write succeeded; under the chain's alloc_lock
 * @refused: it said -EUCLEAN; same lock
 * @alloc_begun: begin_alloc succeeded; same lock
 * @alloc_ending: end_write was tried since: its mark may be gone; same lock
 * @priv: the backend's, freed by its close
 *
 * Constant after open but for @begun, @refused, @alloc_begun and @alloc_ending, so map
 * needs no lock.
 */
struct vd_segment {
	u32 image;
	u32 kind;
	u32 flags;
	u64 start;
	u64 len;
	struct vd_file *file;
	u64 file_off;
	struct vd_meta *meta;
	const struct vd_format *format;
	bool packed;
	u32 max_unit;
	u32 unit;
	bool unaligned;
	struct vd_chain *chain;
	bool writable;
	bool begun;
	bool refused;
	bool alloc_begun;
	bool alloc_ending;
	void *priv;
};

/* What a packed unit holds, as its own header says it. */
struct vd_payload {
	u32 offset;	/* of the compressed bytes in the raw unit */
	u32 len;
	bool stored;	/* not compressed */
};

/* Answer of a probe: how sure (0 no, 100 certain), and a name for humans. */
struct vd_probe {
	int score;
	const char *subformat;
};

struct vd_format_user;

/**
 * struct vd_format - a backend; const, registered once
 * @name: as users type it after -f
 * @id: enum vdisk_format
 * @caps: VD_CAP_*
 * @extensions: NULL-terminated list for humans; never decides alone
 * @host_align: guaranteed alignment of data and of every table in a file
 * @probe: looks at content; 0 or -errno for a failed read. May sleep.
 * @open: read and validate headers, fill @priv, @packed, @unit. May sleep. On
 *	error leaves nothing behind.
 * @close: undo open; no I/O.
 * @map: guest range [pos, pos + len), relative to the segment, len > 0 and
 *	inside it. Fills type, len (1 <= ext->len <= len), file, file_pos and
 *	the PACKED fields (unit_pos segment-relative: the core makes it
 *	disk-absolute). Lock-free, no allocation. With NOWAIT never sleeps.
 * @unpack: check the raw bytes of a unit and say where its payload is.
 *
 * With VD_CAP_ALLOC, for writable segments of the top image; positions relative
 * to the segment, all but publish called with the chain's alloc_lock held:
 *
 * @begin_write: once, before anything of the image changes: may it be written, which
 *	space is in use? NULL: nothing to ask
 * @begin_alloc: before the first allocation: find the end of what the tables
 *	refer to, make the mark of use durable.
 * @reserve: find a place for a prefix of the units of [pos, pos + len), @pos at a
 *	unit's start, none of which has one. Fills file, file_pos, room (bytes
 *	there; the last unit may reach past the segment), flags and pins. -EAGAIN:
 *	the unit has a place by now; -EBUSY: a commit first. On error nothing is
 *	kept.
 * @publish: the map's words say so, through the pins. Cannot fail or sleep.
 * @discard: whole units lose their place, or get none, if that can be done so that
 *	they read zeros; *done says how far it came. @flags: VD_CLEAR_ZERO: those
 *	that have no place must read zeros too. -EOPNOTSUPP: not in this image.
 *	-EBUSY: a commit first.
 * @end_write: remove the mark of use, durably. Everything else is.
 * @fill_holes: move units into free space below, see vd_fill_holes(). NULL: there is no
 *	need for it
 * @space: where the segment's new units go; what end_write may cut off.
 */
struct vd_format {
	const char *name;
	u32 id;
	u64 caps;
	const char *const *extensions;
	u32 host_align;

	int (*probe)(struct vd_file *file, struct vd_probe *out);
	int (*open)(struct vd_segment *seg, struct vd_error *err);
	void (*close)(struct vd_segment *seg);
	int (*map)(struct vd_segment *seg, u64 pos, u64 len, unsigned int flags,
		   struct vd_extent *ext);
	int (*unpack)(struct vd_segment *seg, const struct vd_extent *ext, const void *raw,
		      u32 len, struct vd_payload *out);

	int (*begin_write)(struct vd_segment *seg);
	int (*begin_alloc)(struct vd_segment *seg);
	int (*reserve)(struct vd_segment *seg, u64 pos, u64 len, struct vd_alloc *alloc);
	void (*publish)(struct vd_segment *seg, struct vd_alloc *alloc);
	int (*discard)(struct vd_segment *seg, u64 pos, u64 len, unsigned int flags, u64 *done);
	int (*end_write)(struct vd_segment *seg);
	int (*fill_holes)(struct vd_segment *seg, struct vd_pack *pack);
	struct vd_space *(*space)(struct vd_segment *seg);

	const struct vd_format_user *user;
	struct module *owner;
};

/*
 * Registry. Kernel: backends register at module load; get pins the module and
 * may load "vdisk-format-<name>" on demand (may sleep). User space: a static
 * table of all.
 */
const struct vd_format *vd_format_get(u32 id);
void vd_format_put(const struct vd_format *fmt);
const char *vd_format_name(u32 id);	/* NULL: no such id */
/* Of enum vdisk_segment_kind, for people; NULL: no such kind. */
const char *vd_kind_name(u32 kind);

#ifdef VD_USER
const struct vd_format *const *vd_formats(void);	/* NULL-terminated */
#else
int vd_format_register(const struct vd_format *fmt);
void vd_format_unregister(const struct vd_format *fmt);
#endif

/* Log and return -EUCLEAN: the image contradicts itself at map time. */
int vd_corrupt(const struct vd_segment *seg, const char *fmt, ...) __printf(2, 3);

/* Answers of a map, in a backend's words. @len is what the answer covers. */
static inline int vd_extent_hole(struct vd_extent *ext, u64 len)
{
	ext->type = VD_EXT_HOLE;
	ext->len = len;
	return 0;
}

static inline int vd_extent_zero(struct vd_extent *ext, u64 len)
{
	ext->type = VD_EXT_ZERO;
	ext->len = len;
	return 0;
}

static inline int vd_extent_data(struct vd_extent *ext, struct vd_file *file, u64 file_pos, u64 len)
{
	ext->type = VD_EXT_DATA;
	ext->file = file;
	ext->file_pos = file_pos;
	ext->len = len;
	return 0;
}

/*
 * [@in_unit, @in_unit + @len) of a unit that begins at @unit_pos of the segment's file,
 * before its end. What a writer cut off reads as zeros.
 */
int vd_extent_unit(const struct vd_segment *seg, u64 unit_pos, u64 in_unit, u64 len,
		   struct vd_extent *ext);

extern const struct vd_format vd_format_raw;
extern const struct vd_format vd_format_vmdk;
extern const struct vd_format vd_format_vdi;

#endif /* VDISK_FORMAT_H */
