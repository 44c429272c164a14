/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a guest writes down of its requests, and how sectors tell who wrote them:
 * between the program that writes in the virtual machine and the one that judges
 * what a power cut left.
 */
#ifndef POWERCUT_ORACLE_H
#define POWERCUT_ORACLE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define PC_SECTOR	512
#define PC_MAGIC	0x31747563776f7063ULL	/* of a stamp */
#define PC_MARK		0x6b72616d776f7063ULL	/* of a mark */
#define PC_LIST		0x7473696c776f7063ULL	/* of the file of requests */

enum pc_kind { PC_WRITE, PC_WRITE_SYNC, PC_ZERO, PC_DISCARD, PC_FLUSH };

/**
 * struct pc_op - a request of the guest
 * @sector, @nr: of the virtual disk; 0 of a flush
 * @begin, @end: when, on a clock that counts these; @end 0: it did not end
 * @marked: when its mark had been written; 0: it has none
 *
 * Requests that share a sector are never under way at once. The number of a request is
 * its place in the file.
 */
struct pc_op {
	uint32_t kind;
	uint32_t nr;
	uint64_t sector;
	uint64_t begin;
	uint64_t end;
	uint64_t marked;
};

/* The file: this, then @ops of struct pc_op. */
struct pc_list {
	uint64_t magic;
	uint64_t seed;
	uint64_t sectors;
	uint64_t ops;
};

/* A sector beside the image, written after request @op has made something durable. */
struct pc_mark {
	uint64_t magic;
	uint64_t op;
	uint64_t seed;
	uint64_t thread;
	uint64_t pad[PC_SECTOR / 8 - 4];
};

/*
 * States of a disk with a file system: what becomes durable, then what else a state has,
 * then the state: for each thread, how many of its steps are over.
 */
enum pc_chunk_what { PC_DURABLE = 0x70635801, PC_PENDING, PC_STATE };

#define PC_THREADS	4

/* @len bytes follow. */
struct pc_chunk {
	uint64_t what;
	uint64_t pos;
	uint64_t len;
};

/* A sector of the virtual disk. */
struct pc_stamp {
	uint64_t magic;
	uint64_t op;
	uint64_t sector;
	uint64_t seed;
	uint64_t fill[PC_SECTOR / 8 - 4];
};

static inline void pc_stamp_make(struct pc_stamp *s, uint64_t seed, uint64_t op, uint64_t sector)
{
	uint64_t x = seed ^ op << 32 ^ sector;
	unsigned int i;

	s->magic = PC_MAGIC;
	s->op = op;
	s->sector = sector;
	s->seed = seed;
	for (i = 0; i < sizeof(s->fill) / sizeof(s->fill[0]); i++) {
		x = x * 0x5851f42d4c957f2dULL + 0x14057b7ef767814fULL;
		s->fill[i] = x;
	}
}

/* Is it the stamp that it says it is? */
static inline bool pc_stamp_whole(const struct pc_stamp *s)
{
	struct pc_stamp want;

	pc_stamp_make(&want, s->seed, s->op, s->sector);
	return !memcmp(s, &want, sizeof(want));
}

/*
 * Where writes go: so much of each piece of the disk, that a large disk has few places that
 * must be compared.
 */
#define PC_PIECE	(1552 * 2)	/* sectors; no multiple of a grain or a block */
#define PC_ZONE		(256 * 2)

#endif /* POWERCUT_ORACLE_H */
