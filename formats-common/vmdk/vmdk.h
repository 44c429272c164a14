/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VMDK in native form. Headers are read and judged once, at open; what stands
 * here afterwards is in bytes, lies inside the file and cannot wrap. Tables
 * are judged entry by entry, when map needs one.
 */
#ifndef VMDK_H
#define VMDK_H

#include "vdisk/alloc.h"
#include "vdisk/caps.h"
#include "vdisk/format.h"
#include "vmdk-disk.h"

/**
 * struct vmdk_header - a hosted sparse header that passed all checks
 * @capacity: guest bytes, a multiple of 512 but not always of @grain
 * @grain: bytes, a power of two; @grain_shift: its logarithm
 * @nr_gts: entries of the directory
 * @gd_pos, @rgd_pos: directories; @rgd_pos 0: there is one only
 * @data_pos: first byte where a grain may lie
 * @desc_pos, @desc_len: embedded descriptor; @desc_len 0: none
 * @odd_flags: bits that no known writer sets
 * @version, @flags: as in the file
 * @unclean: a writer did not finish
 */
struct vmdk_header {
	u64 capacity;
	u64 nr_gts;
	u64 gd_pos;
	u64 rgd_pos;
	u64 data_pos;
	u64 desc_pos;
	u64 desc_len;
	u32 grain;
	u32 grain_shift;
	u32 version;
	u32 flags;
	u32 odd_flags;
	bool unclean;
};

/**
 * struct vmdk_fields - a raw hosted sparse header in native byte order
 * @where, @base: what a complaint calls it: "header" or "footer", and its place
 *
 * Lives on the stack of an open, nothing in it is trusted.
 */
struct vmdk_fields {
	const char *where;
	u64 base;
	u64 capacity;
	u64 grain;
	u64 desc_off;
	u64 desc_size;
	u64 rgd;
	u64 gd;
	u64 over_head;
	u32 magic;
	u32 version;
	u32 flags;
	u32 gtes;
	u16 compress;
	u8 newline[4];
	bool unclean;
};

/* A piece of the file that no grain and no table may touch. */
struct vmdk_range {
	u64 pos;
	u64 len;
};

#define VMDK_RANGES 4	/* header, descriptor, directory, redundant directory */

/* Which reader a segment got; first member of every priv. */
enum vmdk_reader {
	VMDK_READER_SPARSE,
	VMDK_READER_COWD,
	VMDK_READER_SESPARSE,
};

/**
 * struct vmdk_sparse - priv of a hosted sparse extent; but for @space constant
 *	after open
 * @dirs, @nr_dirs: the directory, then the redundant one
 * @taken: see struct vmdk_range; @taken_end: where the last of them ends
 * @max_packed: compressed: most bytes that a grain and its marker may take
 * @space: valid once begin_alloc has run
 */
struct vmdk_sparse {
	enum vmdk_reader reader;
	struct vmdk_header header;
	struct vd_table dirs[2];
	u32 nr_dirs;
	u32 max_packed;
	struct vmdk_range taken[VMDK_RANGES];
	u64 taken_end;
	struct vd_space space;
};

/**
 * struct cowd - priv of a COWD extent; but for @space and @free constant after
 *	open
 * @capacity: guest bytes
 * @grain, @grain_shift: as in struct vmdk_header
 * @dir: grain directory
 * @data_pos: end of header and directory
 * @unclean: a writer did not finish
 * @free: freeSector as last written
 * @space: valid once begin_alloc has run
 */
struct cowd {
	enum vmdk_reader reader;
	u32 grain;
	u32 grain_shift;
	u64 capacity;
	u64 data_pos;
	struct vd_table dir;
	bool unclean;
	u32 free;
	struct vd_space space;
};

/**
 * struct sesparse - priv of an SESparse extent; constant after open
 * @gts_pos, @nr_gts: the array of grain tables
 * @grains_pos, @nr_grains: the array of grains; may end past the file
 */
struct sesparse {
	enum vmdk_reader reader;
	u64 capacity;
	u64 gts_pos;
	u64 nr_gts;
	u64 grains_pos;
	u64 nr_grains;
	struct vd_table dir;
};

/* Upper four bits of an SESparse table entry. */
enum sesparse_grain {
	SESPARSE_ABSENT,	/* then all other bits are 0 as well */
	SESPARSE_UNMAPPED,	/* was freed: zeros, also over a parent */
	SESPARSE_ZERO,
	SESPARSE_ALLOCATED,
};

/* An index is stored with its low 12 bits on top of the other 48. */
static inline u64 sesparse_index(u64 gte)
{
	return ((gte >> 48) & 0xfff) | (gte & 0xffffffffffffULL) << 12;
}

/* Read and judge the headers of a file; nothing is kept but *@out. May sleep. */
int vmdk_header_read(struct vd_file *file, struct vmdk_header *out, struct vd_error *err);
int cowd_header_read(struct vd_file *file, struct cowd *out, struct vd_error *err);
int sesparse_header_read(struct vd_file *file, struct sesparse *out, struct vd_error *err);

/* vmdk.c for stream.c: decode 512 bytes, and the checks that a footer shares. */
void vmdk_fields_decode(const struct vmdk_disk_header *disk, struct vmdk_fields *f);
int vmdk_fields_check(const struct vmdk_fields *f, struct vd_error *err);
void vmdk_taken(const struct vmdk_header *h, struct vmdk_range *taken);

/* stream.c */
int vmdk_footer_read(struct vd_file *file, const struct vmdk_fields *header,
		     struct vmdk_fields *footer, struct vd_error *err);
int vmdk_unpack(struct vd_segment *seg, const struct vd_extent *ext, const void *raw, u32 len,
		struct vd_payload *out);

/* cowd.c, sesparse.c: struct vd_format.open for their reader. */
int cowd_open(struct vd_segment *seg, struct vd_error *err);
int sesparse_open(struct vd_segment *seg, struct vd_error *err);

/* map.c, cowd.c, sesparse.c: struct vd_format.map for their reader. */
int vmdk_sparse_map(struct vd_segment *seg, u64 pos, u64 len, unsigned int flags,
		    struct vd_extent *ext);
int cowd_map(struct vd_segment *seg, u64 pos, u64 len, unsigned int flags, struct vd_extent *ext);
int sesparse_map(struct vd_segment *seg, u64 pos, u64 len, unsigned int flags,
		 struct vd_extent *ext);
/* map.c: may a table, a grain lie there? Header, descriptor and directories are taken. */
bool vmdk_table_ok(const struct vd_segment *seg, const struct vmdk_sparse *v, u64 pos);
bool vmdk_grain_ok(const struct vd_segment *seg, const struct vmdk_sparse *v, u64 file_pos);
bool cowd_table_ok(const struct vd_segment *seg, const struct cowd *c, u64 pos);
bool cowd_grain_ok(const struct vd_segment *seg, const struct cowd *c, u64 file_pos);

/*
 * scan.c: the highest byte that any table refers to.
 * @tables: bytes of all tables so far; more than the file has: some are the same
 */
struct vmdk_scan {
	struct vd_segment *seg;
	u64 end;
	u64 tables;
	u8 *buf;
	u64 pending;
	u32 pending_len;
};

#define VMDK_SCAN_BYTES 65536U

/* Sectors fit 32 bits, so no byte of an extent lies further. */
#define VMDK_FILE_LIMIT (1ULL << (32 + VD_SECTOR_SHIFT))

int vmdk_scan_begin(struct vmdk_scan *scan, struct vd_segment *seg, u64 end);
int vmdk_scan_table(struct vmdk_scan *scan, u64 pos, u32 len);
int vmdk_scan_end(struct vmdk_scan *scan, int error);	/* frees; 0 or the first error */

/* Entries of @n that lie in one block of the metadata cache from byte @pos on. */
static inline u32 vmdk_clip_run(u64 pos, u32 n)
{
	return min_t(u32, n, (VD_META_BLOCK - (u32)(pos & (VD_META_BLOCK - 1))) / 4);
}

/* write.c */
int vmdk_sparse_begin(struct vd_segment *seg);
int vmdk_sparse_reserve(struct vd_segment *seg, u64 pos, u64 len, struct vd_alloc *alloc);
void vmdk_sparse_publish(struct vd_segment *seg, struct vd_alloc *alloc);
int vmdk_sparse_discard(struct vd_segment *seg, u64 pos, u64 len, unsigned int flags, u64 *done);
int vmdk_sparse_end(struct vd_segment *seg);

/* cowd-write.c */
int cowd_begin(struct vd_segment *seg);
int cowd_reserve(struct vd_segment *seg, u64 pos, u64 len, struct vd_alloc *alloc);
void cowd_publish(struct vd_segment *seg, struct vd_alloc *alloc);
int cowd_discard(struct vd_segment *seg, u64 pos, u64 len, unsigned int flags, u64 *done);
int cowd_end(struct vd_segment *seg);

/* User space only: probe.c, layout.c, extent-state.c. */
#define VMDK_REASON_COMPRESSED \
	"streamOptimized extents are compressed and cannot be changed in place"
#define VMDK_REASON_TRACKED \
	"version 3 in the extent's header says that change tracking may be on"

struct vd_extent_state;
/* Why the extent must not be written, other than for change tracking; or NULL. */
const char *vmdk_header_reason(const struct vmdk_header *h);
bool vmdk_header_tracked(const struct vmdk_header *h);
int vmdk_extent_state(struct vd_file *file, u32 kind, struct vd_extent_state *out,
		      struct vd_error *err);
/* User space only: probe.c, layout.c, check.c, rename.c. */
struct vd_check;
int vmdk_probe(struct vd_file *file, struct vd_probe *out);
int vmdk_check(struct vd_file *file, u32 kind, u64 len, struct vd_check *check,
	       struct vd_error *err);
struct vd_layout;
/* What the text of a descriptor says. @header: of the extent around it, or NULL. */
int vmdk_layout_text(const char *text, u32 len, const struct vmdk_header *header,
		     struct vd_layout **out, struct vd_error *err);
/* props.c */
struct vd_content;
struct vd_props;
int vmdk_set_props(struct vd_file *file, const struct vd_layout *now,
		   const struct vd_props *want, const char *pool, struct vd_content *out,
		   struct vd_error *err);
struct vd_new_names;
int vmdk_renamed(struct vd_file *file, const struct vd_new_names *names, char **text, u32 *len,
		 struct vd_error *err);
extern const struct vd_format_user vmdk_user;

#endif /* VMDK_H */
