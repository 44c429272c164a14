// SPDX-License-Identifier: GPL-2.0-only
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hammer.h"
#include "tap.h"

#define PIECE	(16 * KIB)
#define WAIT_MS	30000

/* What no image holds and nobody writes, in each sector. */
static void put_canary(u8 *buf, u64 canary)
{
	u64 i;

	for (i = 0; i < PIECE; i += SECTOR)
		memcpy(buf + i, &canary, sizeof(canary));
}

static bool has_canary(const u8 *buf, u64 canary)
{
	u64 i;

	for (i = 0; i < PIECE; i += SECTOR) {
		if (!memcmp(buf + i, &canary, sizeof(canary)))
			return true;
	}
	return false;
}

static bool do_read(struct hammer *t, u8 *buf, u64 pos, u64 canary)
{
	put_canary(buf, canary);
	if (!pread_all(t->fd, buf, PIECE, pos))
		return false;
	if (has_canary(buf, canary))
		t->stale++;
	return true;
}

static bool do_one(struct hammer *t, struct rng *rng, u8 *buf)
{
	u64 pos = rng_below(rng, t->all->size / PIECE) * PIECE;
	u64 dice = rng_below(rng, 100);

	if (!t->all->write || dice < 45)
		return do_read(t, buf, pos, rng_next(rng));
	if (dice < 85) {
		memset(buf, 0x66 + t->nr, PIECE);
		return pwrite_all(t->fd, buf, PIECE, pos);
	}
	if (dice < 90)
		return !bdev_discard(t->fd, pos, PIECE);
	if (dice < 95)
		return !bdev_zeroout(t->fd, pos, PIECE);
	return !fsync(t->fd);
}

static void *hammer_thread(void *arg)
{
	struct hammer *t = arg;
	u8 *buf = xalloc(PIECE);
	struct rng rng;

	rng_seed(&rng, t->all->seed * HAMMERS + t->nr);
	while (!t->all->stop) {
		if (!do_one(t, &rng, buf))
			t->failed++;
		t->done++;
	}
	free(buf);
	t->ended = true;
	return NULL;
}

void hammer_start(struct hammering *h, const struct vdev *dev, u64 size, u64 seed, bool write)
{
	unsigned int i;

	memset(h, 0, sizeof(*h));
	h->size = size;
	h->seed = seed;
	h->write = write;
	for (i = 0; i < HAMMERS; i++) {
		struct hammer *t = &h->threads[i];

		t->all = h;
		t->nr = i;
		t->fd = vdev_open(dev, (write ? O_RDWR : O_RDONLY) | (i % 2 ? O_DIRECT : 0));
		if (t->fd < 0 || pthread_create(&t->thread, NULL, hammer_thread, t))
			bail("no thread for %s: %s", dev->path, err_name(t->fd));
	}
}

static bool all_past(const struct hammering *h, const unsigned int *goal)
{
	unsigned int i;

	for (i = 0; i < HAMMERS; i++) {
		if (h->threads[i].done < goal[i])
			return false;
	}
	return true;
}

bool hammer_goes_on(struct hammering *h, unsigned int more)
{
	unsigned int goal[HAMMERS], i;

	for (i = 0; i < HAMMERS; i++)
		goal[i] = h->threads[i].done + more;
	return wait_until(all_past(h, goal), WAIT_MS);
}

static bool all_ended(const struct hammering *h)
{
	unsigned int i;

	for (i = 0; i < HAMMERS; i++) {
		if (!h->threads[i].ended)
			return false;
	}
	return true;
}

bool hammer_stop(struct hammering *h)
{
	unsigned int i;

	h->stop = true;
	if (!wait_until(all_ended(h), WAIT_MS))
		return false;
	for (i = 0; i < HAMMERS; i++) {
		pthread_join(h->threads[i].thread, NULL);
		close(h->threads[i].fd);
	}
	return true;
}

unsigned int hammer_failed(const struct hammering *h)
{
	unsigned int i, n = 0;

	for (i = 0; i < HAMMERS; i++)
		n += h->threads[i].failed;
	return n;
}

unsigned int hammer_stale(const struct hammering *h)
{
	unsigned int i, n = 0;

	for (i = 0; i < HAMMERS; i++)
		n += h->threads[i].stale;
	return n;
}
