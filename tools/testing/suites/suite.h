/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A program here is one topic and a table of contracts, each of which has a name,
 * TOPIC/NAME. Documentation/suites.md says which group of a public suite it stands for.
 */
#ifndef VDT_SUITE_H
#define VDT_SUITE_H

#include "chain.h"
#include "tap.h"

/**
 * struct contract - what is promised, and the test of it
 * @run: reports by tap.h; detaches what it attaches
 */
struct contract {
	const char *name;
	void (*run)(void);
};

/* To the module; open while contracts run. */
extern struct nl nl;
extern struct nl_reply reply;

/*
 * main() of a topic: all contracts, or those that are named; --list only lists. Each ends
 * with a result that has its name.
 */
int suite_main(int argc, char **argv, const char *topic, const struct contract *contracts,
	       size_t nr);

/* ----------------------------------------------------------------- subjects */

enum subject_kind { SUBJECT_RAW, SUBJECT_VMDK, SUBJECT_VDI, SUBJECT_KINDS };

/**
 * struct subject - an image of some kind, attached
 * @what: for results
 * @unit: that gets its place together; raw: 4096
 */
struct subject {
	const char *what;
	struct chain chain;
	struct vdev dev;
	u64 size;
	u64 unit;
};

/* Empty, on ext4 or XFS, attached with @flags. Bails. */
void subject_make(struct subject *s, enum subject_kind kind, u64 size, u32 flags);
void subject_attach(struct subject *s, u32 flags);
/* A result for detach, one for the image, one for QEMU's opinion; then it is removed. */
void subject_detach(struct subject *s);
void subject_end(struct subject *s);
/* Bytes that the image's file has on the file system. */
u64 subject_space(const struct subject *s);

/* ------------------------------------------------------------------- events */

/**
 * struct tale - what uevents said of one disk and its partitions
 * @resize: CHANGE with RESIZE=1
 */
struct tale {
	unsigned int disk_add, disk_change, disk_remove, resize;
	unsigned int part_add, part_change, part_remove;
};

/* The kernel queues them within the call that causes them: nothing is waited for. */
void tale_read(struct tale *t, const struct vdev *dev);

/* ------------------------------------------------------------------- sundry */

/* /sys/block/vdiskN/stat, by the names of Documentation/block/stat.rst of the kernel. */
struct blk_stat {
	u64 reads, read_sectors, writes, write_sectors, in_flight, discards, discard_sectors,
		flushes;
};

struct blk_stat blk_stat(const char *disk);
/* When nothing is under way: who waits for a request is woken before it is counted. */
struct blk_stat blk_rest(const struct vdev *dev);
/* Nothing is under way any more: waits for counters that lag behind the completion. */
bool blk_idle(const struct vdev *dev);
const char *disk_name(const struct vdev *dev);
/* /sys/block/DISK/ATTR = VALUE; 0 or -errno. */
int disk_set(const char *disk, const char *attr, const char *value);
u64 disk_get(const char *disk, const char *attr);
/* Run a program; says what it printed if its status is not 0. */
bool works(const char *prog, ...) __attribute__((sentinel));
/* Bytes that differ in every sector of every @seed. */
void pattern(void *buf, u64 len, u64 pos, u64 seed);
/* Is @buf pattern(@pos, @seed)? */
bool is_pattern(const void *buf, u64 len, u64 pos, u64 seed);
bool is_zero(const void *buf, u64 len);
/* Over a descriptor; say where not. */
bool put_pattern(int fd, u64 pos, u64 len, u64 seed);
bool has_pattern(int fd, u64 pos, u64 len, u64 seed);
bool has_zeros(int fd, u64 pos, u64 len);

#endif /* VDT_SUITE_H */
