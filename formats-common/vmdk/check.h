/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Inside of the check of one extent. User space only. What a caller sees is
 * vdisk/check.h.
 *
 *	check.c			headers, findings, writes and their order, the mark
 *	check-dirs.c		directories: where the tables are
 *	check-grains.c		table entries: where the grains are; leaks
 *	check-copies.c		what a repair appends: room for it, grains that
 *				shared a place with another
 *	check-sesparse.c	the same for SESparse, without repair
 *	check-space.c		who takes what of the file
 *
 * Hosted sparse and COWD are one case: COWD has tables of 4096 entries, no
 * second copy and no entry for zeros.
 */
#ifndef VMDK_CHECK_H
#define VMDK_CHECK_H

#include "vdisk/check.h"
#include "vdisk/fix.h"
#include "check-space.h"
#include "vmdk.h"

#define VMDK_COPIES	2U	/* the directory and its tables; the redundant ones */

/* struct vmdk_check.state of one directory index; bit d: copy d */
#define VMDK_DIR_BAD(d)	((u8)(1U << (d)))	/* entry leads to no table of its own */
#define VMDK_DIR_DIFFER	((u8)(1U << 2))		/* the copies of the table differ */
#define VMDK_DIR_LONE	((u8)(1U << 3))		/* one copy has a table, the other none yet */

/* An entry whose grain gets a place of its own: @sector is where another one is. */
struct vmdk_double {
	u64 grain;
	u32 sector;
};

/**
 * struct vmdk_check - one run; on the stack of vmdk_check()
 * @out: what the caller sees
 * @err: why the check could not be done
 * @what: for sentences: "" or "COWD "
 * @capacity ... @taken: as in struct vmdk_sparse, for either kind
 * @nr_dirs: copies of the directory
 * @gt_shift: logarithm of the entries of a table; @gt_bytes: its bytes
 * @zeroed: entry 1 stands for zeros
 * @packed: compressed: nothing is repaired; @marked: grains know their address
 * @mark_pos, @mark_len: where the mark of an unfinished writer is
 * @dir: entries of each directory
 * @state: VMDK_DIR_* for each index
 * @meta: sorted places that no grain may touch: sector in the upper half, in
 *	the lower one VMDK_META_TAKEN and an index into @taken, or a table
 * @meta_end: end of the highest of them
 * @table: one table of each copy
 * @changed: bit for each sector of @table that is to be written
 * @arena: the memory of the five above
 * @doubles, @nr_doubles, @max_doubles: entries that check-copies.c deals with; only
 *	collected for a repair
 * @zero_pos, @zero_end: from the first to the last appended table that is all
 *	zeros, and so not written; @zero_end 0: none
 */
struct vmdk_check {
	struct vd_file *file;
	struct vd_check *out;
	struct vd_error *err;
	struct vd_fix fix;
	const char *what;
	struct vmdk_space space;
	u64 capacity;
	u64 data_pos;
	u64 nr_gts;
	u64 dir_pos[VMDK_COPIES];
	struct vmdk_range taken[VMDK_RANGES];
	u32 grain;
	u32 grain_shift;
	u32 gt_shift;
	u32 gt_bytes;
	u32 nr_dirs;
	u32 max_packed;
	u32 mark_pos;
	u32 mark_len;
	bool cowd;
	bool zeroed;
	bool packed;
	bool marked;
	bool unclean;
	u32 *dir[VMDK_COPIES];
	u8 *state;
	u64 *meta;
	u64 nr_meta;
	u64 meta_end;
	u8 *table[VMDK_COPIES];
	u32 changed[VMDK_COPIES];
	void *arena;
	struct vmdk_double *doubles;
	u64 nr_doubles;
	u64 max_doubles;
	u64 zero_pos;
	u64 zero_end;
};

#define VMDK_META_TAKEN	(1U << 30)
#define VMDK_META_COPY	(1U << 31)	/* a table of the redundant directory */

/* check.c */

/* Is a repair of more than what a crash leaves asked for and possible? */
bool vmdk_may_fix(const struct vmdk_check *c);
/* vd_fix_write() and vd_fix_patch(), and nothing without VD_CHECK_REPAIR. */
int vmdk_check_write(struct vmdk_check *c, u64 pos, const void *buf, u32 len);
int vmdk_check_patch(struct vmdk_check *c, u64 pos, const void *bytes, u32 len);
/* Raise the end of what is in use. */
void vmdk_check_end(struct vd_check *out, u64 end);
/* Tell that a repair changes @n grains from @grain on. */
void vmdk_changed(struct vmdk_check *c, enum vd_change how, u64 grain, u64 n);
/* COWD: raise the cursor of the next free sector over all that is in use, or see that it is. */
int vmdk_check_cursor(struct vmdk_check *c, bool tell);

/* check-copies.c */

/* First byte, in steps of 1 << @shift, behind all that is in use and (a file) the end. */
u64 vmdk_check_behind(const struct vmdk_check *c, u32 shift);
/* Is there room for @len bytes at *@pos, which is vmdk_check_behind()? For @what. */
int vmdk_check_room(struct vmdk_check *c, u64 len, u32 shift, const char *what, u64 *pos);
/* The grain of an entry that is at @sector, as another is, gets its own place later. */
int vmdk_add_double(struct vmdk_check *c, u64 grain, u32 sector);
/* Now: after all grains are known, before the directories are rebuilt. */
int vmdk_copy_doubles(struct vmdk_check *c);

/* check-dirs.c */

/* Read and judge the directories; fills @dir, @state, @meta. */
int vmdk_check_dirs(struct vmdk_check *c);
/* Full repair: a table of its own for every entry without one. After all grains are known. */
int vmdk_rebuild_dirs(struct vmdk_check *c);
/* Has copy @d of table @t a place? */
static inline bool vmdk_has_table(const struct vmdk_check *c, u32 d, u64 t)
{
	return d < c->nr_dirs && c->dir[d][t] && !(c->state[t] & VMDK_DIR_BAD(d));
}
/* Does [@pos, @pos + @len) keep clear of header, descriptor, directories and tables? */
bool vmdk_meta_clear(const struct vmdk_check *c, u64 pos, u64 len);
/* First of @meta that ends behind @pos; its number, @nr_meta if none. */
u64 vmdk_meta_after(const struct vmdk_check *c, u64 pos);
void vmdk_meta_range(const struct vmdk_check *c, u64 index, struct vmdk_range *out);

/* check-grains.c */
int vmdk_check_grains(struct vmdk_check *c);
int vmdk_check_leaks(struct vmdk_check *c);

/* check-sesparse.c */
int sesparse_check_file(struct vd_file *file, u64 len, struct vd_check *out, struct vd_error *err);

#endif /* VMDK_CHECK_H */
