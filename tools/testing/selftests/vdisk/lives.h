/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Bookkeeping for many threads that attach, use and detach the same few devices:
 * which device a number meant when, and so what may have happened to it.
 *
 * A request names a device by its number, and that may have been given to another
 * device by the time the request arrives. So what is done is counted for the
 * number: it may have hit each device that had the number between the request's
 * begin and its end, and nothing else may have happened to a device than that.
 */
#ifndef VDT_LIVES_H
#define VDT_LIVES_H

#include "util.h"

#define LIVES_IDS	256U

/**
 * enum doing - what a thread does to a device number
 * @DOING_DETACH: any request after which the device may go
 * @DOING_FORCE: a forced detach
 * @DOING_READONLY: a SET that takes the right to write away
 * @DOING_OPEN: opens the device, has it open, or mounted
 * @DOING_EXCL: the same, alone
 * @DOING_SCAN: has the partitions read again
 */
enum doing {
	DOING_DETACH, DOING_FORCE, DOING_READONLY, DOING_OPEN, DOING_EXCL, DOING_SCAN,
	NR_DOINGS
};

void doing_begin(u32 id, enum doing what);
void doing_end(u32 id, enum doing what);
/* Something to compare with, taken before the time that is of interest. */
u32 doing_mark(u32 id, enum doing what);
/* Has anybody done it at any time since @mark, beside the @mine caller's own that go on? */
bool doing_since(u32 id, enum doing what, u32 mark, u32 mine);

/*
 * A node's device number may be given to another disk between the look-up of the
 * node and its open, which then is one of that disk, and makes that busy.
 */
void stray_open(u32 id);

/* What may have made a device busy: others, or a stray, which is soon known. */
struct busy_mark {
	u32 ended;
	u32 strays;
};

struct busy_mark busy_mark(u32 id, enum doing what);
bool busy_since(u32 id, enum doing what, struct busy_mark mark, u32 mine);

/**
 * struct life - a device from attach to detach
 * @image: the caller's number for what is attached
 * @flags: of the ATTACH
 * @marks: of before the ATTACH
 */
struct life {
	u32 image;
	u32 id;
	u64 diskseq;
	u32 flags;
	u32 marks[NR_DOINGS];
};

/* Marks for every number: which one an ATTACH will get, only its answer tells. */
struct all_marks {
	u32 of[LIVES_IDS][NR_DOINGS];
};

void lives_mark(struct all_marks *marks);
/* The highest number in the order of all disks that was ever seen. */
u64 lives_newest(void);
/*
 * An ATTACH has answered: fills @l->marks, and lets lives_find() find it. False if
 * the number is that of another device, which nobody has asked to go.
 */
bool lives_birth(struct life *l, const struct all_marks *marks);
void lives_death(const struct life *l);
bool lives_find(u64 diskseq, struct life *l);

/* May this have happened to the device? */
bool life_may_have(const struct life *l, enum doing what);
bool life_may_end(const struct life *l);

#endif /* VDT_LIVES_H */
