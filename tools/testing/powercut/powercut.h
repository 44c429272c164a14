/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Power cuts of a whole machine, after the fact. QEMU logged what a disk was told to
 * write, with the data (log.c), and traced when each request came and when the guest was
 * told of its end (trace.c). From these come the states that the disk can have at any time
 * (walk.c):
 *
 *	a request that had ended when a flush came is durable once that flush has ended;
 *	any other is there or not, each by itself, and torn at multiples of 512 bytes.
 *
 * Each state of a disk that is an image is judged (judge.c) by the library's check, by
 * what the guest was told (oracle.c), by QEMU (qemu.c), and some by going on (again.c).
 * States of a disk that holds a file system go into a file, for a VM to look at (export.c).
 */
#ifndef POWERCUT_H
#define POWERCUT_H

#include <stdio.h>

#include "vdisk/alloc.h"
#include "vdisk/check.h"
#include "vdisk/image.h"
#include "vdisk/layout.h"
#include "oracle.h"
#include "ut-rng.h"

#define PC_RULE		240	/* bytes of a sentence about what is wrong */
#define PC_NEVER	U64_MAX

void pc_die(const char *fmt, ...) __printf(1, 2) __attribute__((noreturn));
/* Zeroed memory, or the end. */
void *pc_alloc(size_t len);
/* A file in memory; @writable: changes go to it. */
void *pc_map_file(const char *path, bool writable, u64 *len);
/* The first sentence stays in @rule; false. */
bool pc_bad(char *rule, const char *fmt, ...) __printf(2, 3);

/* --- when (trace.c) --- */

enum pc_what { PC_R_OTHER, PC_R_WRITE, PC_R_ZERO, PC_R_DISCARD, PC_R_FLUSH };

/**
 * struct pc_req - a request to a disk
 * @what: enum pc_what
 * @queue: of the disk
 * @data: NULL: zeros, or whatever a discard leaves
 * @taken: the log has it
 * @came, @ended: places in the trace; @ended PC_NEVER: it did not
 */
struct pc_req {
	u8 what;
	u64 queue;
	u64 sector;
	u64 nr;
	const u8 *data;
	bool taken;
	u64 came;
	u64 ended;
};

#define PC_DISKS	64

/**
 * struct pc_trace - all requests, to whatever QEMU has
 * @queue: those that are of a disk
 */
struct pc_trace {
	struct pc_req *req;
	u32 nr;
	u64 queue[PC_DISKS];
	u32 disks;
};

void pc_trace_read(struct pc_trace *trace, const char *path);

/* --- what reached the disk (log.c) --- */

/* At one place of the trace. */
struct pc_event {
	const struct pc_req *req;
	bool ended;
};

struct pc_events {
	struct pc_event *event;
	u32 nr;
	u32 writes;
};

/* The requests of the disk of which the log at @path is, in order, with their data. */
void pc_events_read(struct pc_events *ev, struct pc_trace *trace, const char *path);

/* --- the disk (disk.c) --- */

/* In sectors. */
struct pc_part {
	u64 start;
	u64 nr;
};

/**
 * struct pc_disk - the part of a disk that is looked at, in a file
 * @undo: what apply overwrote
 */
struct pc_disk {
	u8 *data;
	u64 len;
	struct pc_part marks;
	struct pc_part image;
	u8 *undo;
	u64 undo_len;
	u64 undo_room;
};

/* From the whole disk as it was at first; the part goes to the new file @path. */
void pc_disk_init(struct pc_disk *d, const char *base, const char *path);
/* A range of sectors of the whole disk, as far as it is in the part. */
void pc_disk_write(struct pc_disk *d, const struct pc_req *req);
/*
 * What can be undone: a request that is there as a whole, or torn: of each sector a number
 * made of @how says whether it is there. 0: none is.
 */
#define PC_WHOLE	1U

void pc_disk_apply(struct pc_disk *d, const struct pc_req *req, u64 how);
/* Bytes of the part; can be undone. */
void pc_disk_put(struct pc_disk *d, u64 pos, const void *buf, u64 len);
void pc_disk_undo(struct pc_disk *d, u64 undo_len);
/* Tell of each range that can be undone. */
void pc_disk_changes(const struct pc_disk *d, void (*each)(void *ctx, u64 pos, u64 len), void *ctx);
/* Does request @req change the part? */
bool pc_disk_touched(const struct pc_disk *d, const struct pc_req *req);

/* --- what the guest knows (oracle.c) --- */

/**
 * struct pc_oracle - what each sector of the virtual disk may hold
 * @by_end: requests in the order of their ends
 * @sure: requests that ended before that time are durable
 * @last: requests that began later are not known of
 * @base: when the durable content of a sector began
 * @zeros: when the last request began that zeroed it or may have
 * @base_zero: the durable content is zeros
 */
struct pc_oracle {
	const struct pc_op *op;
	u64 nr;
	u64 seed;
	u64 sectors;
	u32 *by_end;
	u32 *by_begin;
	u32 ends_done;
	u32 begins_done;
	u64 sure;
	u64 last;
	u64 *base;
	u64 *zeros;
	u8 *base_zero;
};

void pc_oracle_read(struct pc_oracle *o, const char *path);
/* A mark is on its way to the disk. */
void pc_oracle_mark(struct pc_oracle *o, const struct pc_mark *mark);
/* The next one that will be: what began after it was written is not there yet. NULL: none. */
void pc_oracle_next(struct pc_oracle *o, const struct pc_mark *mark);
/* All is durable, and everything is known. */
void pc_oracle_end(struct pc_oracle *o);
/* False and a sentence: @buf, sectors from @sector on, has what it may not. */
bool pc_oracle_judge(const struct pc_oracle *o, u64 sector, u64 nr, const u8 *buf, char *rule);

/* --- states (walk.c) --- */

/* Mistakes of the disk, to see whether they are noticed. */
enum pc_control {
	PC_NO_CONTROL,
	PC_LOSES_FLUSHED,	/* one of four writes that a flush made durable is lost */
	PC_DATA_LATE,		/* data becomes durable a flush later than all else */
};

struct pc_stats {
	u64 states;
	u64 flushes;
	u64 marks;
	u64 torn;
	u64 most;		/* requests that were not durable */
	u64 checks;		/* by QEMU */
	u64 reads;		/* by QEMU */
	u64 again;
	u64 bad;
};

/* A request that is not durable. @how: of it, in the state that is looked at. */
struct pc_pending {
	const struct pc_req *req;
	u64 how;
	bool late;
};

/**
 * struct pc_export - states are written, and judged by others
 * @out: NULL: they are judged
 * @known: bits of threads that had a mark; @done: the last of each
 * @begin: event that was the first mark of the last of them
 * @taken: states that were due; @owed: there is to be one between these
 */
struct pc_export {
	FILE *out;
	u32 known;
	u64 done[PC_THREADS];
	u32 begin;
	u64 taken;
	bool owed;
};

/**
 * struct pc_walk - from the first request to the last
 * @want: states to look at; of an export: flushes
 * @check_every, @read_every, @again_every: QEMU's check, QEMU's reader, going on; 0: never
 * @no_signs: the format has no mark of an unfinished writer: nothing must show that there
 *	was one
 * @detached: the guest let go of the disk at the end
 * @settled: nothing is left, of a detached disk
 * @trace: QEMU's
 * @path, @format: of the disk's part; @scratch: a file for QEMU to write
 * @excused: what QEMU's check calls an error, though it is none while somebody writes
 * @keep: where bad states go to
 */
struct pc_walk {
	struct pc_events ev;
	struct pc_disk disk;
	struct pc_oracle oracle;
	struct pc_export export;
	struct ut_rng rng;
	enum pc_control control;
	struct pc_pending *pending;
	u32 nr;
	u32 at;
	u32 next_mark;
	u64 want;
	u32 check_every;
	u32 read_every;
	u32 again_every;
	bool no_signs;
	bool detached;
	bool settled;
	const char *trace;
	const char *path;
	const char *format;
	const char *scratch;
	const char *excused;
	const char *keep;
	u8 *buf;
	u8 *shadow;
	struct pc_stats stats;
	char rule[PC_RULE];
};

/* Look at @want states, or more where flushes are many and the states are judged. */
void pc_walk_run(struct pc_walk *w);

/* --- judging --- */

/* Is the state that the disk has one that may be? A sentence in @rule if not. */
bool pc_judge(struct pc_walk *w);
/* What the library's check finds; @flags: VD_CHECK_*. */
bool pc_check(struct pc_disk *d, unsigned int flags, u64 *found, char *rule);
struct vd_chain *pc_open(struct pc_disk *d, bool writable, char *rule);

/* All places that the guest wrote to, one after the other. */
u64 pc_zones_len(u64 sectors);
bool pc_read_zones(struct vd_chain *chain, u64 sectors, u8 *buf, char *rule);
bool pc_judge_zones(struct pc_walk *w, const u8 *zones);

/* Go on as a user would: check, merge, write, end. */
bool pc_again(struct pc_walk *w);

bool pc_qemu_check(struct pc_walk *w);
bool pc_qemu_read(struct pc_walk *w);

/* --- for others to judge (export.c) --- */

/* It has just been written to the disk. */
void pc_export_durable(struct pc_walk *w, const struct pc_req *req);
void pc_export_mark(struct pc_walk *w, const struct pc_mark *mark);
/* Is there anything that is known to be over? */
bool pc_export_begun(const struct pc_walk *w);
/* The state that the disk has. */
void pc_export_state(struct pc_walk *w);

#endif /* POWERCUT_H */
