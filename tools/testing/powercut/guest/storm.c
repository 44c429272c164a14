// SPDX-License-Identifier: GPL-2.0-only
/*
 * In the virtual machine: several threads write to a virtual disk, discard, zero and
 * flush; each request is written down, and after each flush that was acknowledged comes
 * a mark on a disk beside the image.
 *
 *	powercut-storm DISK MARKS LIST THREADS OPS SEED
 *
 * writes the list of requests to LIST when all are done.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../selftests/vdisk/blk.h"
#include "../../selftests/vdisk/tap.h"
#include "../oracle.h"

#define MAX_THREADS	16
#define MAX_SECTORS	(1024 * 2)	/* of a request */
#define LOCK_SECTORS	8		/* that have one lock */

static struct {
	int disk, sync, marks;
	uint64_t sectors, seed;
	unsigned int ops;
	struct pc_op *op;
	atomic_uint nr;
	atomic_ulong clock;
	pthread_mutex_t lock;
	pthread_cond_t freed;
	uint8_t *busy;
} w = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.freed = PTHREAD_COND_INITIALIZER,
};

struct writer {
	pthread_t thread;
	unsigned int id;
	struct rng rng;
	struct pc_stamp *buf;
	struct pc_mark *mark;
};

/* ------------------------------------------------------------- one at a time */

static bool is_free(uint64_t first, uint64_t last)
{
	for (; first <= last; first++) {
		if (w.busy[first])
			return false;
	}
	return true;
}

static void take(uint64_t sector, uint32_t nr)
{
	uint64_t first = sector / LOCK_SECTORS, last = (sector + nr - 1) / LOCK_SECTORS;

	pthread_mutex_lock(&w.lock);
	while (!is_free(first, last))
		pthread_cond_wait(&w.freed, &w.lock);
	memset(w.busy + first, 1, last - first + 1);
	pthread_mutex_unlock(&w.lock);
}

static void give(uint64_t sector, uint32_t nr)
{
	uint64_t first = sector / LOCK_SECTORS, last = (sector + nr - 1) / LOCK_SECTORS;

	pthread_mutex_lock(&w.lock);
	memset(w.busy + first, 0, last - first + 1);
	pthread_cond_broadcast(&w.freed);
	pthread_mutex_unlock(&w.lock);
}

/* ------------------------------------------------------------------ requests */

static int issue(struct writer *t, const struct pc_op *op, uint64_t number)
{
	uint64_t pos = op->sector * PC_SECTOR, len = (uint64_t)op->nr * PC_SECTOR;
	uint32_t i;

	switch (op->kind) {
	case PC_FLUSH:
		return fsync(w.disk) ? -errno : 0;
	case PC_ZERO:
		return bdev_zeroout(w.disk, pos, len);
	case PC_DISCARD:
		return bdev_discard(w.disk, pos, len);
	}
	for (i = 0; i < op->nr; i++)
		pc_stamp_make(&t->buf[i], w.seed, number, op->sector + i);
	return pwrite_all(op->kind == PC_WRITE ? w.disk : w.sync, t->buf, len, pos) ? 0 : -errno;
}

/* The log of the disk has it after all that the request made durable. */
static void mark(struct writer *t, uint64_t number)
{
	memset(t->mark, 0, sizeof(*t->mark));
	t->mark->magic = PC_MARK;
	t->mark->op = number;
	t->mark->seed = w.seed;
	if (!pwrite_all(w.marks, t->mark, sizeof(*t->mark), t->id * PC_SECTOR))
		bail("mark %llu: %s", (unsigned long long)number, err_name(errno));
}

/* False: the run has had its requests. */
static bool request(struct writer *t, uint32_t kind, uint64_t sector, uint32_t nr)
{
	unsigned int number = atomic_fetch_add(&w.nr, 1);
	struct pc_op *op = &w.op[number];
	int ret;

	if (number >= w.ops)
		return false;
	op->kind = kind;
	if (kind != PC_FLUSH) {
		op->sector = sector;
		op->nr = nr;
		take(sector, nr);
	}
	op->begin = atomic_fetch_add(&w.clock, 1);
	ret = issue(t, op, number);
	op->end = atomic_fetch_add(&w.clock, 1);
	if (kind != PC_FLUSH)
		give(sector, nr);
	if (ret)
		bail("request %u, kind %u at %llu + %u: %s", number, kind,
		     (unsigned long long)sector, nr, err_name(ret));
	if (kind == PC_FLUSH || kind == PC_WRITE_SYNC) {
		mark(t, number);
		op->marked = atomic_fetch_add(&w.clock, 1);
	}
	return true;
}

/* ------------------------------------------------------------------- choices */

static uint32_t some_length(struct rng *rng)
{
	static const uint32_t most[] = { 1, 2, 8, 8, 16, 64, 128, 256 };

	return 1 + (uint32_t)rng_below(rng, most[rng_below(rng, ARRAY_SIZE(most))]);
}

/* The first pieces are met more often, so that requests meet. */
static uint64_t some_zone(struct rng *rng)
{
	uint64_t pieces = w.sectors / PC_PIECE;

	if (rng_below(rng, 2))
		pieces = pieces < 6 ? pieces : 6;
	return rng_below(rng, pieces) * PC_PIECE;
}

static bool write_some(struct writer *t, uint32_t kind)
{
	uint32_t nr = some_length(&t->rng);
	uint64_t at = rng_below(&t->rng, PC_ZONE - nr + 1);

	return request(t, kind, some_zone(&t->rng) + at, nr);
}

/* Half of the time whole units of some size, which then lose their place. */
static bool clear_some(struct writer *t, uint32_t kind)
{
	uint64_t sector = some_zone(&t->rng) + rng_below(&t->rng, PC_ZONE);
	uint32_t nr = some_length(&t->rng);

	if (rng_below(&t->rng, 2)) {
		nr = rng_below(&t->rng, 4) ? 128 : MAX_SECTORS;
		sector = sector / nr * nr;
	}
	if (sector + nr > w.sectors)
		nr = (uint32_t)(w.sectors - sector);
	return request(t, kind, sector, nr);
}

static bool step(struct writer *t)
{
	switch (rng_below(&t->rng, 16)) {
	case 0:
	case 1:
		return request(t, PC_FLUSH, 0, 0);
	case 2:
		return clear_some(t, PC_ZERO);
	case 3:
	case 4:
		return clear_some(t, PC_DISCARD);
	case 5:
	case 6:
		return write_some(t, PC_WRITE_SYNC);
	default:
		return write_some(t, PC_WRITE);
	}
}

static void *run_writer(void *arg)
{
	while (step(arg))
		;
	return NULL;
}

/*
 * What no random number should have to find: the first write; neighbours in a unit of
 * which one is flushed; a unit that goes, comes back elsewhere, and goes again.
 */
static void scenario(struct writer *t)
{
	uint64_t last = w.sectors / PC_PIECE * PC_PIECE - PC_PIECE;

	request(t, PC_WRITE, 3, 1);
	request(t, PC_FLUSH, 0, 0);
	request(t, PC_WRITE, 4, 1);
	request(t, PC_WRITE, last + 1, 7);
	request(t, PC_WRITE_SYNC, 5, 1);
	request(t, PC_WRITE, 2, 128);
	request(t, PC_FLUSH, 0, 0);
	request(t, PC_DISCARD, 0, 256);
	request(t, PC_WRITE, 130, 2);
	request(t, PC_FLUSH, 0, 0);
	request(t, PC_WRITE, 0, 8);
	request(t, PC_ZERO, 0, 2048);
	request(t, PC_FLUSH, 0, 0);
	request(t, PC_WRITE_SYNC, 200, 16);
	request(t, PC_WRITE, last, 256);
	request(t, PC_DISCARD, 128, 128);
	request(t, PC_FLUSH, 0, 0);
}

/* ----------------------------------------------------------------- beginning */

static void prepare(char **argv, unsigned int threads)
{
	w.disk = xopen(argv[1], O_RDWR | O_DIRECT);
	w.sync = xopen(argv[1], O_RDWR | O_DIRECT | O_DSYNC);
	w.marks = xopen(argv[2], O_WRONLY | O_DIRECT);
	w.sectors = bdev_size(w.disk) / PC_SECTOR;
	w.ops = (unsigned int)strtoul(argv[5], NULL, 0);
	w.seed = strtoull(argv[6], NULL, 0);
	w.op = xalloc((w.ops + threads + 1) * sizeof(*w.op));
	w.busy = xalloc(w.sectors / LOCK_SECTORS + 1);
	atomic_store(&w.clock, 1);
}

static void save(const char *path)
{
	struct pc_list list = {
		.magic = PC_LIST, .seed = w.seed, .sectors = w.sectors, .ops = w.ops,
	};
	int fd = xopen(path, O_WRONLY | O_CREAT | O_TRUNC);

	if (!pwrite_all(fd, &list, sizeof(list), 0) ||
	    !pwrite_all(fd, w.op, w.ops * sizeof(*w.op), sizeof(list)) || close(fd))
		bail("%s: %s", path, err_name(errno));
}

int main(int argc, char **argv)
{
	struct writer t[MAX_THREADS];
	unsigned int threads, i;

	if (argc != 7)
		bail("usage: %s DISK MARKS LIST THREADS OPS SEED", argv[0]);
	threads = (unsigned int)strtoul(argv[4], NULL, 0);
	if (threads > MAX_THREADS)
		bail("%u threads are too many", threads);
	prepare(argv, threads);
	for (i = 0; i < threads; i++) {
		t[i].id = i;
		rng_seed(&t[i].rng, w.seed + i);
		t[i].buf = xalloc(MAX_SECTORS * PC_SECTOR);
		t[i].mark = xalloc(sizeof(*t[i].mark));
	}
	scenario(&t[0]);
	for (i = 0; i < threads; i++) {
		if (pthread_create(&t[i].thread, NULL, run_writer, &t[i]))
			bail("no thread");
	}
	for (i = 0; i < threads; i++)
		pthread_join(t[i].thread, NULL);
	save(argv[3]);
	return 0;
}
