/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The shadow model: what a disk must hold, kept in memory beside the device.
 *
 * A discarded sector may read as zeros or as before, and either again, until
 * it is written: such sectors are marked.
 */
#ifndef VDT_SHADOW_H
#define VDT_SHADOW_H

#include "util.h"

struct shadow {
	u64 size;
	u8 *data;
	u8 *maybe_zero;		/* one a sector */
};

void shadow_init(struct shadow *s, u64 size);
void shadow_free(struct shadow *s);
/* Take over the first @size bytes of @fd. */
void shadow_load(struct shadow *s, int fd, u64 pos);
void shadow_write(struct shadow *s, u64 pos, const void *buf, u64 len);
void shadow_zero(struct shadow *s, u64 pos, u64 len);
void shadow_discard(struct shadow *s, u64 pos, u64 len);
/* May a read at @pos have returned @buf? @where gets the first bad byte. */
bool shadow_check(const struct shadow *s, u64 pos, const void *buf, u64 len, u64 *where);
/* Compare [pos, pos + len) of the shadow with @fd at @fd_pos. Says where not. */
bool shadow_equals(const struct shadow *s, int fd, u64 pos, u64 len, u64 fd_pos);
/*
 * A disk that shadow_equals() has accepted: what its discarded sectors read now
 * is what they hold from now on.
 */
void shadow_settle(struct shadow *s, int fd);
/* Into a new file, with holes. */
void shadow_dump(const struct shadow *s, const char *path);

/**
 * struct storm - random I/O on one range of a device, by one thread
 * @path: the device; @direct says how it is opened
 * @shadow: shared by all threads; their ranges are disjoint
 * @pos, @len: the range, multiples of 64 KiB unless it ends with the device
 * @ops: how many
 * @depth: above 1: native AIO, which implies @direct
 * @mixed: each operation takes the buffered or the direct descriptor
 * @modify: write, discard, zero and flush; else only reads
 * @align: offsets and lengths are multiples of it (512 or 4096)
 * @unit: not 0: half of the discards and zeroes are whole units
 * @patient: what fails with ENOMEM is done again: a device has no such error
 * @failed: what went wrong first, "" if nothing
 * @reads ...: what was done
 */
struct storm {
	const char *path;
	struct shadow *shadow;
	u64 pos;
	u64 len;
	u64 seed;
	unsigned int ops;
	unsigned int depth;
	bool direct;
	bool mixed;
	bool modify;
	bool patient;
	u32 align;
	u32 unit;
	char failed[160];
	unsigned int reads, writes, discards, zeroes, flushes;
};

/* All of @storms at once, a thread each; true if none failed. */
bool storm_run(struct storm *storms, unsigned int nr);

#endif /* VDT_SHADOW_H */
