/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where an image lies when its backing store is to misbehave: a device of the device
 * mapper over VDT_BDEV, or a file system on one.
 */
#ifndef VDT_STORE_H
#define VDT_STORE_H

#include "chain.h"
#include "dm.h"

#define STORE_SIZE	(96 * MIB)

/* All requests fail; writes do; writes are lost, and nobody hears. */
enum store_fault { STORE_ERROR, STORE_ERROR_WRITES, STORE_DROP_WRITES };

/**
 * struct store - a backing store
 * @fs: "ext4" or "xfs", mounted at @dir; NULL: the image is on the device itself
 * @under: the device below
 */
struct store {
	const char *fs;
	const char *under;
	struct dm dm;
	char dir[128];
};

/* Over @under, NULL: VDT_BDEV. Bails. */
void store_make(struct store *st, const char *fs, const char *under);
void store_end(struct store *st);
/* Sectors [from, to) of the device, or all of it, do that until it is healed. */
void store_break(struct store *st, enum store_fault fault, u64 from, u64 to);
void store_break_all(struct store *st, enum store_fault fault);
void store_heal(struct store *st);
/* What a reboot would do: nothing in memory is left of it. */
void store_renew(struct store *st);
/* The only file of @c, or its files, go there. */
void store_place(const struct store *st, struct chain *c);

#endif /* VDT_STORE_H */
