/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The crash enumerator. A *trial* opens one small image for writing, runs a
 * script of guest requests through the library and logs what reaches the files,
 * in one order over all files. Then the log is walked, and at each place the
 * states are built that a power cut there can leave:
 *
 *	between two flushes of a file nothing is ordered: any subset of the
 *	changes since its last flush is there, each torn at multiples of 512
 *	bytes, and a file's growth is there or not, whatever else is;
 *	a flush makes that file's earlier changes durable, no other file's.
 *
 * Each state is judged (judge.c): by the format's rules, written down here a
 * second time (img-tables.h), by the library's check, and by what a guest was told
 * (oracle.c). Some are repaired, attached and written to (again.c).
 *
 * Requests come one after the other (work.c), or several are under way at once and
 * take turns (weave.c, flow.c). Single-threaded; --jobs makes processes.
 */
#ifndef CRASH_H
#define CRASH_H

#include "img-tables.h"
#include "vdisk/alloc.h"

#define CRASH_FILES	8
#define CRASH_ROOM	(8U << 20)	/* no file grows beyond */
#define CRASH_SECTORS	(CRASH_ROOM / VD_SECTOR)

/* --- memory that is given back all at once (log.c) --- */

struct crash_arena {
	u8 *base;
	size_t used;
	size_t room;
};

void crash_arena_init(struct crash_arena *arena, size_t room);
void *crash_take(struct crash_arena *arena, size_t len);
void crash_arena_free(struct crash_arena *arena);

/* --- the log (log.c) --- */

enum crash_what {
	/* changes of a file */
	CRASH_WRITE,
	CRASH_ZERO,		/* punched or zeroed */
	CRASH_GROW,		/* to @len, if it is shorter */
	CRASH_SIZE,		/* truncated to @len */
	CRASH_FLUSH,
	/* what the guest knows */
	CRASH_BEGIN,		/* a request: @data is what it writes, NULL zeros */
	CRASH_DONE,		/* it was acknowledged */
	CRASH_FLUSH_BEGIN,	/* @request is its number */
	CRASH_FLUSH_DONE,	/* the same; @len: others are in the library */
	CRASH_END_BEGIN,	/* vd_end_write() */
	CRASH_END_DONE,		/* @data: hashes of tables; @request: nothing is unused */
};

struct crash_op {
	u8 what;		/* enum crash_what */
	u8 file;
	bool patch;		/* a first-write patch */
	u32 request;
	u64 pos;
	u64 len;
	const u8 *data;
};

struct crash_log {
	struct crash_op *op;
	u32 nr;
	u32 room;
	struct crash_arena arena;	/* what ops point to */
	bool deaf;			/* drops flushes: a control */
};

void crash_log_init(struct crash_log *log);
void crash_log_reset(struct crash_log *log);
void crash_log_free(struct crash_log *log);
struct crash_op *crash_log_add(struct crash_log *log, enum crash_what what, u32 file, u64 pos,
			       u64 len, const void *data);
/* A control: what a flush orders goes to the files in the wrong order. */
void crash_log_swap_ranks(struct crash_log *log);
void crash_op_print(const struct crash_op *op, u32 index);

/* --- files in memory (file.c) --- */

/**
 * struct crash_file - a file of at most CRASH_ROOM bytes
 * @data: zeros from @len on
 * @space: for each sector: a write finds space there
 * @log: told each change; NULL: nobody is
 * @hook: called before a write, without any lock of the library if @hooked is
 *	the buffer that is written
 */
struct crash_file {
	struct vd_file file;
	u8 *data;
	u8 *space;
	u64 len;
	struct crash_log *log;
	void (*hook)(void *ctx);
	void *ctx;
	const u8 *hooked;
	u64 hooked_len;
};

void crash_file_init(struct crash_file *f, u32 index, bool writable, bool fixed);
void crash_file_free(struct crash_file *f);
void crash_file_copy(struct crash_file *to, const struct crash_file *from);
void crash_file_resize(struct crash_file *f, u64 len);
/* Space for all of the range, whatever the disk has by the time it is written? */
bool crash_file_secured(const struct vd_file *file, u64 pos, u64 len);
/* Where requests are under way at once, another goes on here one time in @one_in (flow.c). */
void crash_flow_turn(u32 one_in);

struct crash_format;

/**
 * struct crash_set - the files of an image set
 * @fmt: of the top image
 * @c: its tables
 * @file: the first @c->nr_top are the top image's
 */
struct crash_set {
	const struct crash_format *fmt;
	const struct img_case *c;
	struct crash_file file[CRASH_FILES];
	struct vd_file *files[CRASH_FILES];
	u32 nr;
};

void crash_set_init(struct crash_set *set, const struct crash_format *fmt,
		    const struct img_case *c);
void crash_set_free(struct crash_set *set);
/* @writable: the top image's files. NULL and a sentence in @rule on failure. */
struct vd_chain *crash_set_open(struct crash_set *set, bool writable, char *rule);
/* The library's check of each extent of the top; adds up what it finds. */
bool crash_set_check(struct crash_set *set, unsigned int flags, u64 *found, char *rule);

/* --- what a guest may read (oracle.c) --- */

struct crash_choice;

/**
 * struct crash_oracle - what each sector may hold
 * @sure: content as of the last flush
 * @choice: what was written since, the last first; NULL: nothing
 */
struct crash_oracle {
	u64 sectors;
	const u8 **sure;
	struct crash_choice **choice;
	u32 flush_epoch;
	struct crash_arena arena;
};

extern const u8 crash_zeros[VD_SECTOR];

void crash_oracle_init(struct crash_oracle *o, u64 size);
void crash_oracle_free(struct crash_oracle *o);
/* All is durable and holds @content, which must stay where it is. */
void crash_oracle_set(struct crash_oracle *o, const u8 *content);
/* An op of the log that says what the guest knows. */
void crash_oracle_step(struct crash_oracle *o, const struct crash_op *op);
/* What a reader sees unless a request is under way there. */
const u8 *crash_oracle_now(const struct crash_oracle *o, u64 sector);
/* The first sector, from byte @from on, of @buf that holds what it may not, or ~0. */
u64 crash_oracle_judge(const struct crash_oracle *o, const u8 *buf, u64 from);
bool crash_oracle_may(const struct crash_oracle *o, u64 sector, const u8 *content);
/* Is there one answer for each sector? */
bool crash_oracle_is_sure(const struct crash_oracle *o);

/* --- formats (formats.c, and a file for each that needs more than the unit tests have) --- */

#define CRASH_PARTS	8

/**
 * struct crash_tables - what a look at one extent tells
 * @marked: the mark of an unfinished writer is set
 * @same: both copies say the same, or there is only one
 * @hash: over all tables
 * @rest: over bytes beside them that no writer changes
 * @uncounted: places in use that the file's own counter of them does not cover, @cut: bytes
 *	that the last place lacks. Others may leave either; ours never makes it more
 * @unused: places below the highest in use that nobody has, or that only the counter has
 * @end: where the highest place ends
 */
struct crash_tables {
	bool marked;
	bool same;
	u64 hash;
	u64 rest;
	u64 uncounted;
	u64 cut;
	u64 unused;
	u64 end;
};

/**
 * struct crash_format - a format that is tested: one entry of crash_formats[]
 * @name: of the option --format
 * @vd: whose check is asked; its other segments are raw
 * @kind, @nr: images to begin with; @share: how many of the states each gets, in
 *	proportion. NULL: all the same
 * @bugs: bits of vd_bugs that are mistakes in this format, and not in every one
 * @marks: an unfinished writer leaves a mark, and no changed tables without it
 * @descriptor: an image is told by a text beside its files
 * @qemu: what QEMU calls it, @image: name of the file, of those of a set, to tell it
 * @excused: what qemu-img check calls an error, though it is none while somebody writes
 * @look: the format's rules for extent @seg, in @file of @len bytes; false and a sentence
 * @read: what the top's extents say the disk holds, over @below. NULL: ask the library
 * @table: bytes of guest data that one table, or one part of it, has entries for
 */
struct crash_format {
	const char *name;
	const struct vd_format *vd;
	const struct img_kind *kind;
	const u8 *share;
	u32 nr;
	unsigned int bugs;
	bool marks;
	bool descriptor;
	const char *qemu;
	const char *image;
	const char *const *excused;
	bool (*look)(const u8 *file, u64 len, const struct vdisk_segment_desc *seg,
		     struct crash_tables *out, char *rule);
	void (*read)(const struct crash_set *set, const u8 *below, u8 *out);
	u64 (*table)(const struct img_case *c);
};

extern const struct crash_format crash_vdi;
extern const struct crash_format *const crash_formats[];
extern const u32 crash_nr_formats;

/* Units move at the end of writing. */
static inline bool crash_packs(const struct crash_format *fmt)
{
	return fmt->vd->fill_holes;
}

/*
 * The format's rules for extent @i of the top. False and a sentence in @rule: it
 * breaks one.
 */
bool crash_set_look(const struct crash_set *set, u32 i, struct crash_tables *out, char *rule);
/* The top's: the first segments. */
u32 crash_nr_extents(const struct crash_set *set);

/* --- one session of a trial --- */

/**
 * struct crash_session - from an open to the power cut or the end
 * @start: the files as they were before it; @set: as the library left them
 * @content: what the guest reads at first; @below: what the parents hold
 * @first: each extent as it is in @start; @clean: hash of its tables when the guest begins
 * @repair_end: ops [0, repair_end) of the log repair what an earlier crash left
 * @woven: requests are under way at once
 * @forgetful: small allocations fail, one in four
 */
struct crash_session {
	const struct crash_format *fmt;
	struct img_case c;
	struct crash_set start;
	struct crash_set set;
	struct crash_log log;
	struct crash_oracle oracle;
	u8 *content;
	u8 *below;
	u8 *buf;
	u8 *other;
	struct crash_tables first[CRASH_PARTS];
	u64 clean[CRASH_PARTS];
	u32 requests;
	u32 repair_end;
	bool woven;
	bool forgetful;
};

void crash_session_init(struct crash_session *s, const struct crash_format *fmt,
			const struct img_kind *kind, u64 seed);
void crash_session_free(struct crash_session *s);
/* Begin another one with the files of @from. */
bool crash_session_from(struct crash_session *s, const struct crash_set *from, bool repair,
			char *rule);

/* --- the guest (work.c, weave.c) --- */

enum crash_kind { CRASH_K_WRITE, CRASH_K_DISCARD, CRASH_K_UNMAP, CRASH_K_ZERO };

struct crash_work {
	struct crash_session *s;
	struct vd_chain *chain;
	struct ut_rng rng;
	u8 *data;
	char *rule;
};

#define CRASH_SCRIPTS	5	/* with a plan; any higher number: random requests */

/* Tell the log and the oracle what the guest does. */
struct crash_op *crash_note(struct crash_work *w, enum crash_what what, u32 request, u64 pos,
			    u64 len, const void *data);
/* A place for a request that is worth one. @last: where the last one was */
u64 crash_random_pos(struct crash_work *w, u64 last);
u64 crash_random_len(struct crash_work *w);
/* Requests that take turns; all have ended when it returns. */
bool crash_weave(struct crash_work *w);
/**
 * struct crash_pack - how far units move
 * @left: calls of go_on until it says stop; ~0: never
 */
struct crash_pack {
	struct vd_pack pack;
	struct ut_rng *rng;
	struct vd_chain *chain;
	u32 left;
};

/* Choose how to; @buf has 64 KiB. */
void crash_pack_init(struct crash_pack *p, struct ut_rng *rng, struct vd_chain *chain, void *buf);
/* Run a script with @s->set. False: the library failed, @rule says how. */
bool crash_work_run(struct crash_session *s, u64 seed, u32 script, char *rule);

/* --- states --- */

enum crash_how { CRASH_ABSENT, CRASH_FULL, CRASH_TORN };

/**
 * struct crash_state - the files at one place of the log, and a state of them
 * @set: durable content; while a state is applied: the state
 * @pending: ops that are not durable, in order
 * @how: for each of them, enum crash_how
 * @torn: seed of which sectors of torn ops are there
 * @frozen: bit for each file: no op makes it grow
 * @other: something else than a patch is durable
 */
struct crash_state {
	struct crash_set set;
	const struct crash_op **pending;
	u8 *how;
	u32 nr;
	u32 room;
	u64 torn;
	u32 frozen;
	bool other;
	u64 len[CRASH_FILES];
	struct crash_arena undo;
	u32 undo_nr;
};

void crash_state_init(struct crash_state *st, const struct crash_format *fmt,
		      const struct img_case *c);
void crash_state_free(struct crash_state *st);
void crash_state_start(struct crash_state *st, const struct crash_set *start);
void crash_state_add(struct crash_state *st, const struct crash_op *op);
void crash_state_flush(struct crash_state *st, u32 file);
void crash_state_apply(struct crash_state *st);
void crash_state_undo(struct crash_state *st);
/* Can op @i make its file longer? Is it torn in more than one way? */
bool crash_state_grows(const struct crash_state *st, u32 i);
bool crash_state_tears(const struct crash_state *st, u32 i);

/* --- faults by their sort (tally.c) --- */

#define CRASH_CLASSES	64
#define CRASH_CLASS	120

/**
 * struct crash_tally - what was wrong, and in how many states
 * @bad: anything; @tables: the format's rules; @content: what a guest reads
 * @asked: states that qemu-img check was asked about; @objected: it found more than leaks
 * @dir: for its files
 */
struct crash_tally {
	const char *dir;
	u64 asked;
	u64 objected;
	u64 bad;
	u64 tables;
	u64 content;
	u32 nr;
	struct {
		char name[CRASH_CLASS];
		u64 states;
	} class[CRASH_CLASSES];
};

struct crash_walk;
struct crash_stats;

/* Judge the state that is applied, to count; true. */
bool crash_tally_state(struct crash_walk *w);
void crash_tally_print(const struct crash_tally *tally, const char *writer,
		       const struct crash_stats *stats);

/* --- another writer (compare.c) --- */

#define CRASH_KINDS	64

/**
 * struct crash_compare - our writer and QEMU's, with the same requests
 * @fmt: its images; @foreign: QEMU knows it
 * @states: to look at, of each writer
 * @dir: for files that qemu-io writes
 * @shim: the recorder that is preloaded into it
 */
struct crash_compare {
	const struct crash_format *fmt;
	bool foreign[CRASH_KINDS];
	u64 states;
	u64 seed;
	const char *dir;
	const char *shim;
};

/* The files of @set, with descriptors, for other programs. */
void crash_write_files(const struct crash_set *set, const char *dir);
/* False and a line on stderr: something did not work at all. */
bool crash_compare(struct crash_compare *how);

/* --- walking the log (walk.c), judging a state (judge.c, again.c) --- */

struct crash_stats {
	u64 trials;
	u64 states;
	u64 woven;		/* of these */
	u64 ops;
	u64 flushes;
	u64 again;
	u64 bad;
	u64 usec;
};

/* What again.c does; @op: place in the log where its changes begin. */
#define CRASH_AGAIN	12

struct crash_request {
	const char *what;
	u64 pos;
	u64 len;
	u32 op;
};

/**
 * struct crash_walk - at one place of a session's log
 * @st: durable and pending
 * @oracle: what the guest knows there
 * @clean, @next_clean: hash of each extent's tables at the last clean moment,
 *	and at the one that vd_end_write() is about to bring
 * @ending: it is; @tidy: then nothing is unused
 * @settled: a flush was just acknowledged
 * @whole: compare the whole disk, not only where the script writes
 * @marked: marks of unfinished writers in the state
 * @copy, @copy_log, @shadow: for going on from a state
 * @again_every: one state of so many
 * @request, @nr_requests: what was asked of the last one
 * @next: a state to begin another session with; @next_seen: how many there were
 * @limit: states to judge
 * @tally: count what is wrong, and go on; NULL: end with the first
 * @skip: walk only, judge nothing
 * @lenient: of a control: only what a state shows is bad, not how it came to be
 * @dump: begin of names of directories for what a flush leaves, or NULL
 * @dump_left: how many there may be
 */
struct crash_walk {
	struct crash_session *s;
	struct crash_state st;
	struct crash_oracle oracle;
	struct ut_rng rng;
	u32 at;
	u64 clean[CRASH_PARTS];
	u64 next_clean[CRASH_PARTS];
	bool ending;
	bool tidy;
	bool settled;
	bool whole;
	u64 marked;
	struct crash_set copy;
	struct crash_log copy_log;
	u8 *shadow;
	u32 again_every;
	struct crash_request request[CRASH_AGAIN];
	u32 nr_requests;
	struct crash_set next;
	u64 next_seen;
	u64 limit;
	struct crash_tally *tally;
	bool skip;
	bool lenient;
	bool quiet;
	const char *dump;
	u32 *dump_left;
	u32 dumped;
	struct crash_stats *stats;
	char rule[IMG_RULE];
};

void crash_walk_init(struct crash_walk *w, struct crash_session *s, struct crash_stats *stats);
void crash_walk_free(struct crash_walk *w);
/* False: a bad state was found (and, unless quiet, printed). */
bool crash_walk_log(struct crash_walk *w, u64 seed);
/* Judge the state that is applied. @deep: also go on from it. */
bool crash_judge(struct crash_walk *w, bool deep);
/* Parts of it; a sentence in @rule. */
bool crash_judge_content(struct crash_walk *w);
bool crash_judge_check(struct crash_walk *w);
bool crash_judge_worn(struct crash_walk *w, u32 i, const struct crash_tables *now);
bool crash_again(struct crash_walk *w);
/* Write the durable state to a directory, for other programs. */
void crash_dump(struct crash_walk *w);

#endif /* CRASH_H */
