// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "load.h"
#include "tap.h"

static u64 piece_pos(const struct load *l, u64 i)
{
	return i * l->stride % l->pieces * LOAD_PIECE;
}

static void piece_content(const struct load *l, u64 i, u8 *buf)
{
	struct rng rng;

	rng_seed(&rng, l->seed * l->pieces + i);
	rng_fill(&rng, buf, LOAD_PIECE);
}

void load_init(struct load *l, u64 size, u64 seed)
{
	/* The stride is a prime that no number of pieces here is a multiple of. */
	*l = (struct load) { .pieces = size / LOAD_PIECE, .stride = 1571, .seed = seed };
}

bool load_piece(struct load *l, int fd, u64 i, u8 *buf)
{
	piece_content(l, i, buf);
	return pwrite_all(fd, buf, LOAD_PIECE, piece_pos(l, i));
}

static void *load_thread(void *arg)
{
	struct load *l = arg;
	u8 *buf = xalloc(LOAD_PIECE);

	while (!l->stop && l->done < l->pieces) {
		if (!load_piece(l, l->fd, l->done, buf)) {
			l->last_errno = errno;
			l->errors++;
			nap();
			continue;
		}
		l->done++;
		if (l->done % 8 == 0 && !fsync(l->fd))
			l->synced = l->done;
	}
	free(buf);
	return NULL;
}

void load_start(struct load *l, const struct vdev *dev, u64 size, u64 seed)
{
	load_init(l, size, seed);
	l->fd = vdev_open(dev, O_RDWR | O_DIRECT);
	if (l->fd < 0 || pthread_create(&l->thread, NULL, load_thread, l))
		bail("no writer: %s", err_name(l->fd));
}

bool load_goes_on(struct load *l, unsigned int more)
{
	unsigned int goal = l->done + more;

	return wait_until(l->done >= goal || l->done == l->pieces, 20000);
}

bool load_over(const struct load *l)
{
	return l->done == l->pieces;
}

void load_stop(struct load *l)
{
	l->stop = true;
	pthread_join(l->thread, NULL);
	close(l->fd);
}

void load_apply(const struct load *l, struct shadow *s, unsigned int sure)
{
	unsigned int i;

	for (i = 0; i < sure; i++)
		piece_content(l, i, s->data + piece_pos(l, i));
}

bool load_settle(const struct load *l, const struct chain *c, struct shadow *s,
		 unsigned int sure)
{
	u8 *now = xalloc(LOAD_PIECE), *new = xalloc(LOAD_PIECE);
	unsigned int i, k;
	bool good = true;
	u64 pos;

	/* One more than were done: it was under way. */
	for (i = sure; good && i <= l->done && i < l->pieces; i++) {
		pos = piece_pos(l, i);
		piece_content(l, i, new);
		good = chain_read(c, pos, now, LOAD_PIECE);
		for (k = 0; good && k < LOAD_PIECE; k += SECTOR) {
			good = !memcmp(now + k, new + k, SECTOR) ||
			       !memcmp(now + k, s->data + pos + k, SECTOR);
		}
		if (!good)
			diag("piece %u at byte %llu is neither old nor new", i,
			     (unsigned long long)pos);
		memcpy(s->data + pos, now, LOAD_PIECE);
	}
	free(now);
	free(new);
	return good;
}
