/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The files of an input, in memory, as the code under test sees them: hostile, and
 * watching. What must not happen ends the process.
 */
#ifndef FZ_FILE_H
#define FZ_FILE_H

#include "fz-input.h"
#include "vdisk/file.h"

#define FZ_PAGE		4096U
#define FZ_BUCKETS	1024U
#define FZ_MAX_PAGES	4096U	/* of all files; then there is no space */

struct fz_page;
struct fz_io;

struct fz_file {
	struct vd_file file;
	struct fz_io *io;
	u64 size;	/* what there really is */
	u64 limit;	/* of @size */
};

/**
 * struct fz_io - the files of one run
 * @ops, @cap, @what: operations since fz_call(), how many that call may need at most,
 *	and its name
 * @all_ops: over the whole run
 * @may_write: the code under test has been asked to change something
 * @writes: changes made
 * @full: there was no memory for a page
 * @faults: operations that were failed on purpose
 * @fetches: reads of each page, by a hash
 */
struct fz_io {
	struct fz_control ctl;
	struct fz_file files[FZ_MAX_FILES];
	u32 nr_files;
	struct fz_page *buckets[FZ_BUCKETS];
	u32 nr_pages;
	u64 ops;
	u64 cap;
	const char *what;
	u64 all_ops;
	bool may_write;
	u64 writes;
	bool full;
	u64 faults;
	u8 fetches[FZ_BUCKETS];
	u64 state;
};

void fz_io_init(struct fz_io *io, const struct fz_input *in);
void fz_io_release(struct fz_io *io);
/* The files again as they are now, for the next open; @writable: may it write them? */
void fz_io_reopen(struct fz_io *io, bool writable);
/* The next call of the code under test may need @cap file operations and no more. */
void fz_call(struct fz_io *io, const char *what, u64 cap);
/* Nothing that happens to the files is the input's doing: what is read is what is there. */
bool fz_honest(const struct fz_io *io);
/*
 * Nothing goes wrong from now on. What the control says is in fz_input still, and
 * fz_io_disturb() lets it happen from its first operation on.
 */
void fz_io_calm(struct fz_io *io);
void fz_io_disturb(struct fz_io *io, const struct fz_control *ctl);
/* The content of a file, in short: the same bytes give the same number. */
u64 fz_io_digest(const struct fz_io *io, u32 file);
/* All of a file's bytes are others. */
void fz_io_replace(struct fz_io *io, u32 file, const void *data, u32 len);
/* Past all schedules, and not counted. */
void fz_peek(struct fz_io *io, u32 file, u64 pos, void *buf, u32 len);

/*
 * Is this the mistake that FZ_MISTAKE in the environment asks for? The harness makes
 * it where the code under test could, and must notice it.
 */
bool fz_mistake(const char *name);

/* Say why, and end the process. */
void fz_die(const char *fmt, ...) __printf(1, 2) __attribute__((noreturn));

#endif /* FZ_FILE_H */
