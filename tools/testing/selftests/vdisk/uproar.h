/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What test-storm does to devices that others do something else to at the same
 * moment, and what may then be the answer.
 *
 * uproar-targets.c has the images, uproar-life.c what makes and ends a device and
 * asks for it, uproar-use.c what one does with it meanwhile.
 */
#ifndef VDT_UPROAR_H
#define VDT_UPROAR_H

#include "chain.h"
#include "crew.h"
#include "lives.h"
#include "marked.h"

#define THREADS		8U
#define IMAGES		64U	/* at most */
#define HELD		2U

#define TARGET_SIZE	(6 * MIB)
#define TARGET_PART	MIB			/* its only partition */
#define TARGET_PART_LEN	(4 * MIB)
#define TARGET_PIECES	(TARGET_SIZE - 256 * KIB)

/*
 * Places of marked pieces. On the disk, from TARGET_PIECES on: each thread's, one
 * that nobody changes, and one of the base; in the file system: each thread's file,
 * and one that tells whose file system it is.
 */
enum { PLACE_FIXED = THREADS, PLACE_BASE, PLACE_FILE = 16, PLACE_WHICH = 30 };

/**
 * struct target - an image, and the device that it is or was
 * @child: one of several over the same base
 * @attaching: held by the one thread that may open its files
 * @lock: for what follows
 * @lazy: diskseq of the life that a lazy detach will end at the last close
 * @piece, @file: of each thread, its own
 */
struct target {
	struct chain chain;
	const char *kind;
	u32 nr;
	bool fs;
	bool child;
	pthread_mutex_t attaching;
	pthread_mutex_t lock;
	bool attached;
	struct life life;
	u64 lazy;
	struct piece piece[THREADS];
	struct piece file[THREADS];
};

/* A descriptor that outlives an operation; fd is -1 if there is none. */
struct held {
	int fd;
	bool rw;
	struct life life;
};

struct worker {
	struct crew_member me;
	struct nl nl;
	struct nl_reply reply;
	struct rng rng;
	struct held held[HELD];
	u8 *buf;
	char mnt[96];
};

struct counts {
	atomic_uint cycles;	/* attaches whose device has ended */
	atomic_uint attaches, refused, mounts, ios;
	atomic_uint strays;
	atomic_uint said[3];	/* states, by a detach */
};

extern struct target targets[IMAGES];
extern u32 nr_targets;
extern struct counts counts;

/* ------------------------------------------------------------------ targets */

/* Make and fill @nr of them; @mnt is a directory to mount on. Bails. */
void targets_make(struct nl *nl, u32 nr, const char *mnt);
void targets_remove(void);
/* How many files can be opened and locked, are sound and have what was written. */
unsigned int targets_sound(void);

/* As vdctl does: a lock on the very description that the kernel gets. 0 or -errno. */
int target_lock(int fd, bool rw);
/* Its life, or the last one; false if it is over. */
bool target_life(struct target *t, struct life *l);
/* Seen to be over. */
void target_bury(const struct life *l);

/* --------------------------------------------------------------- operations */

/* An answer that the table of this operation does not allow. */
void unexpected(struct worker *w, const struct life *l, int err);
/* @list ends with 0. */
bool one_of(int err, const int *list);

/* @l: what the target was when the operation was chosen. */
typedef void uproar_op(struct worker *w, struct target *t, const struct life *l);

uproar_op op_attach, op_detach, op_lazy, op_force, op_set, op_get, op_list;
uproar_op op_io, op_hold, op_held, op_excl, op_burst, op_scan, op_mount;
void drop_held(struct worker *w);

#endif /* VDT_UPROAR_H */
