// SPDX-License-Identifier: GPL-2.0-only
/* Random I/O against the shadow model. */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "blk.h"
#include "shadow.h"
#include "tap.h"

#define STORM_MAX_IO	(128 * KIB)
#define STORM_MAX_DEPTH	16

/* What the next operation does to which bytes. */
enum storm_op { STORM_READ, STORM_WRITE, STORM_DISCARD, STORM_ZERO, STORM_FLUSH };

/* Ways to ask for zeros: may unmap, may not, and whatever BLKZEROOUT asks for. */
enum storm_zero { STORM_PUNCH, STORM_ZERO_RANGE, STORM_ZEROOUT, STORM_ZERO_WAYS };

struct storm_step {
	enum storm_op op;
	enum storm_zero how;
	u64 pos;
	u64 len;
};

static void fail(struct storm *st, const struct storm_step *step, const char *what, int err)
{
	static const char *const names[] = { "read", "write", "discard", "zero", "flush" };

	if (!st->failed[0])
		snprintf(st->failed, sizeof(st->failed), "%s of %llu bytes at %llu: %s%s%s",
			 names[step->op], (unsigned long long)step->len,
			 (unsigned long long)step->pos, what, err ? " " : "",
			 err ? err_name(err) : "");
}

/* Memory may be what the program's own call did not get. */
static bool again(const struct storm *st, int err)
{
	if (!st->patient || err != ENOMEM)
		return false;
	nap();
	return true;
}

/* Small and large, aligned to 4096 and not, more often than pure chance. */
static void next_range(struct storm *st, struct rng *rng, struct storm_step *step)
{
	u64 max = st->len < STORM_MAX_IO ? st->len : STORM_MAX_IO;
	u64 align = rng_below(rng, 4) || st->align > 4096 ? st->align : 4096;

	if (rng_below(rng, 8))
		max = max < 16 * KIB ? max : 16 * KIB;
	if (st->len < 2 * align)
		align = st->align;
	step->len = (1 + rng_below(rng, max / align)) * align;
	step->pos = st->pos + rng_below(rng, (st->len - step->len) / align + 1) * align;
}

/* Whole units around the range, if they are all ours: only those give space back. */
static void widen(struct storm *st, struct storm_step *step)
{
	u64 from = step->pos / st->unit * st->unit;
	u64 to = (step->pos + step->len + st->unit - 1) / st->unit * st->unit;

	if (from < st->pos || to > st->pos + st->len)
		return;
	step->pos = from;
	step->len = to - from;
}

static void next_step(struct storm *st, struct rng *rng, struct storm_step *step)
{
	u64 dice = rng_below(rng, 100);

	next_range(st, rng, step);
	step->how = rng_below(rng, STORM_ZERO_WAYS);
	if (!st->modify || dice < 42)
		step->op = STORM_READ;
	else if (dice < 84)
		step->op = STORM_WRITE;
	else if (dice < 89)
		step->op = STORM_DISCARD;
	else if (dice < 95)
		step->op = STORM_ZERO;
	else
		step->op = STORM_FLUSH;
	if (st->unit && (step->op == STORM_DISCARD || step->op == STORM_ZERO) && dice % 2)
		widen(st, step);
}

static void check_read(struct storm *st, const struct storm_step *step, const void *buf)
{
	char text[64];
	u64 where;

	st->reads++;
	if (shadow_check(st->shadow, step->pos, buf, step->len, &where))
		return;
	snprintf(text, sizeof(text), "wrong content at byte %llu", (unsigned long long)where);
	fail(st, step, text, 0);
}

/*
 * Pages of the cache that were not yet written are dropped by a discard, and then
 * a device that does not care for it shows what was there before them.
 */
static int discard(const struct storm *st, const struct storm_step *step, int fd)
{
	if ((st->mixed || !st->direct) && st->depth <= 1 && fsync(fd))
		return -errno;
	return bdev_discard(fd, step->pos, step->len);
}

static int zero(int fd, const struct storm_step *step)
{
	int mode = step->how == STORM_PUNCH ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;

	if (step->how == STORM_ZEROOUT)
		return bdev_zeroout(fd, step->pos, step->len);
	return fallocate(fd, mode | FALLOC_FL_KEEP_SIZE, step->pos, step->len) ? -errno : 0;
}

/* The operations that are never asynchronous. */
static int control(struct storm *st, const struct storm_step *step, int fd)
{
	switch (step->op) {
	case STORM_DISCARD:
		shadow_discard(st->shadow, step->pos, step->len);
		return discard(st, step, fd);
	case STORM_ZERO:
		shadow_zero(st->shadow, step->pos, step->len);
		return zero(fd, step);
	default:
		return fsync(fd) ? -errno : 0;
	}
}

static void do_control(struct storm *st, const struct storm_step *step, int fd)
{
	int ret;

	do {
		ret = control(st, step, fd);
	} while (ret && again(st, -ret));
	st->discards += step->op == STORM_DISCARD;
	st->zeroes += step->op == STORM_ZERO;
	st->flushes += step->op == STORM_FLUSH;
	if (ret)
		fail(st, step, "failed:", ret);
}

static bool transfer(struct storm *st, const struct storm_step *step, int fd, u8 *buf)
{
	bool done;

	do {
		done = step->op == STORM_READ ? pread_all(fd, buf, step->len, step->pos) :
						pwrite_all(fd, buf, step->len, step->pos);
	} while (!done && again(st, errno));
	return done;
}

static void do_sync(struct storm *st, struct rng *rng, const struct storm_step *step, int fd,
		    u8 *buf)
{
	switch (step->op) {
	case STORM_READ:
		if (transfer(st, step, fd, buf))
			check_read(st, step, buf);
		else
			fail(st, step, "failed:", errno);
		return;
	case STORM_WRITE:
		rng_fill(rng, buf, step->len);
		st->writes++;
		if (!transfer(st, step, fd, buf))
			fail(st, step, "failed:", errno);
		shadow_write(st->shadow, step->pos, buf, step->len);
		return;
	default:
		do_control(st, step, fd);
	}
}

static int open_device(const struct storm *st, int flags)
{
	int fd = open(st->path, (st->modify ? O_RDWR : O_RDONLY) | O_CLOEXEC | flags);

	/*
	 * No read-ahead: it would cache pages of a neighbour's range that the
	 * neighbour is writing with O_DIRECT, which nobody keeps coherent.
	 */
	if (fd >= 0 && !(flags & O_DIRECT))
		posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
	return fd;
}

static void run_sync(struct storm *st, struct rng *rng)
{
	const struct storm_step start = { .op = STORM_READ }, flush = { .op = STORM_FLUSH };
	int plain = open_device(st, 0), direct = open_device(st, O_DIRECT);
	u8 *buf = xalloc(STORM_MAX_IO);
	unsigned int ops = scaled(st->ops), i;
	struct storm_step step;
	int fd;

	if (plain < 0 || direct < 0)
		fail(st, &start, "cannot open:", errno);
	for (i = 0; i < ops && !st->failed[0]; i++) {
		next_step(st, rng, &step);
		fd = (st->mixed ? rng_below(rng, 2) : st->direct) ? direct : plain;
		do_sync(st, rng, &step, fd, buf);
	}
	if (st->modify && plain >= 0)
		do_control(st, &flush, plain);
	free(buf);
	close(plain);
	close(direct);
}

/* One request under way; its range is busy until it is reaped. */
struct slot {
	struct iocb cb;
	struct storm_step step;
	u8 *buf;
	bool busy;
};

struct aio {
	aio_context_t ctx;
	struct slot slots[STORM_MAX_DEPTH];
	unsigned int busy;
};

static bool overlaps_busy(const struct aio *aio, unsigned int depth, const struct storm_step *step)
{
	const struct slot *s;

	for (s = aio->slots; s < aio->slots + depth; s++) {
		if (s->busy && step->pos < s->step.pos + s->step.len &&
		    s->step.pos < step->pos + step->len)
			return true;
	}
	return false;
}

/* The whole batch in one system call, so that it arrives as one. */
static void submit(struct storm *st, struct aio *aio, struct iocb **batch, unsigned int nr)
{
	unsigned int done = 0;
	long n;

	while (done < nr) {
		n = syscall(SYS_io_submit, aio->ctx, (long)(nr - done), batch + done);
		if (n <= 0 && errno != EAGAIN && !again(st, errno)) {
			fail(st, &aio->slots[0].step, "io_submit:", errno);
			aio->busy -= nr - done;
			return;
		}
		done += n > 0 ? n : 0;
	}
}

static void reap(struct storm *st, struct aio *aio, unsigned int min)
{
	struct io_event events[STORM_MAX_DEPTH];
	struct iocb *cb;
	struct slot *s;
	long nr, i;

	if (!aio->busy)
		return;
	do {
		nr = syscall(SYS_io_getevents, aio->ctx, (long)min, (long)STORM_MAX_DEPTH, events,
			     NULL);
	} while (nr < 0 && errno == EINTR);
	for (i = 0; i < nr; i++) {
		s = (struct slot *)(uintptr_t)events[i].data;
		cb = &s->cb;
		if (events[i].res < 0 && again(st, (int)-events[i].res)) {
			submit(st, aio, &cb, 1);
			continue;
		}
		s->busy = false;
		aio->busy--;
		if (events[i].res != (long long)s->step.len)
			fail(st, &s->step, "failed:", events[i].res < 0 ? (int)events[i].res : EIO);
		else if (s->step.op == STORM_READ)
			check_read(st, &s->step, s->buf);
	}
}

static void prepare(struct storm *st, struct rng *rng, struct slot *s,
		    const struct storm_step *step, int fd)
{
	s->step = *step;
	s->busy = true;
	memset(&s->cb, 0, sizeof(s->cb));
	s->cb.aio_data = (uintptr_t)s;
	s->cb.aio_fildes = fd;
	s->cb.aio_buf = (uintptr_t)s->buf;
	s->cb.aio_nbytes = step->len;
	s->cb.aio_offset = step->pos;
	s->cb.aio_lio_opcode = step->op == STORM_READ ? IOCB_CMD_PREAD : IOCB_CMD_PWRITE;
	if (step->op == STORM_READ)
		return;
	rng_fill(rng, s->buf, step->len);
	shadow_write(st->shadow, step->pos, s->buf, step->len);
	st->writes++;
}

/* Fill the free slots; returns how many operations that took. */
static unsigned int fill_slots(struct storm *st, struct rng *rng, struct aio *aio, int fd)
{
	struct iocb *batch[STORM_MAX_DEPTH];
	unsigned int i, nr = 0, used = 0;
	struct storm_step step;

	for (i = 0; i < st->depth; i++) {
		if (aio->slots[i].busy)
			continue;
		next_step(st, rng, &step);
		used++;
		if (overlaps_busy(aio, st->depth, &step))
			continue;
		if (step.op > STORM_WRITE) {
			do_control(st, &step, fd);
			continue;
		}
		prepare(st, rng, &aio->slots[i], &step, fd);
		aio->busy++;
		batch[nr++] = &aio->slots[i].cb;
	}
	submit(st, aio, batch, nr);
	return used;
}

static void run_aio(struct storm *st, struct rng *rng)
{
	const struct storm_step start = { .op = STORM_READ };
	int fd = open_device(st, O_DIRECT);
	unsigned int ops = scaled(st->ops), i, used = 0;
	struct aio aio = { 0 };

	if (fd < 0 || syscall(SYS_io_setup, STORM_MAX_DEPTH, &aio.ctx)) {
		fail(st, &start, "cannot set up:", errno);
		close(fd);
		return;
	}
	for (i = 0; i < st->depth; i++)
		aio.slots[i].buf = xalloc(STORM_MAX_IO);
	while (used < ops && !st->failed[0]) {
		used += fill_slots(st, rng, &aio, fd);
		reap(st, &aio, 1);
	}
	while (aio.busy)
		reap(st, &aio, 1);
	syscall(SYS_io_destroy, aio.ctx);
	for (i = 0; i < st->depth; i++)
		free(aio.slots[i].buf);
	close(fd);
}

static void *storm_thread(void *arg)
{
	struct storm *st = arg;
	struct rng rng;

	rng_seed(&rng, st->seed);
	if (st->depth > 1)
		run_aio(st, &rng);
	else
		run_sync(st, &rng);
	return NULL;
}

bool storm_run(struct storm *storms, unsigned int nr)
{
	pthread_t threads[16];
	bool good = true;
	unsigned int i;

	for (i = 0; i < nr; i++) {
		storms[i].failed[0] = 0;
		if (pthread_create(&threads[i], NULL, storm_thread, &storms[i]))
			bail("no thread");
	}
	for (i = 0; i < nr; i++)
		pthread_join(threads[i], NULL);
	for (i = 0; i < nr; i++) {
		if (!storms[i].failed[0])
			continue;
		diag("thread %u, seed %llu: %s", i, (unsigned long long)storms[i].seed,
		     storms[i].failed);
		good = false;
	}
	return good;
}
