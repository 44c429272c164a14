// SPDX-License-Identifier: GPL-2.0-only
#include <linux/vdisk.h>
#include <pthread.h>
#include <stdatomic.h>

#include "lives.h"
#include "tap.h"

#define REMEMBERED	8192U

struct doings {
	atomic_uint begun;
	atomic_uint ended;
};

static struct doings doings[LIVES_IDS][NR_DOINGS];
static atomic_uint strays[LIVES_IDS];

/* Guards what follows. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct life remembered[REMEMBERED];	/* by diskseq */
static struct life current[LIVES_IDS];		/* diskseq 0: nobody */
static u64 newest;

static struct doings *find(u32 id, enum doing what)
{
	if (id >= LIVES_IDS)
		bail("a device number of %u, for a few devices", id);
	return &doings[id][what];
}

void doing_begin(u32 id, enum doing what)
{
	atomic_fetch_add(&find(id, what)->begun, 1);
}

void doing_end(u32 id, enum doing what)
{
	atomic_fetch_add(&find(id, what)->ended, 1);
}

u32 doing_mark(u32 id, enum doing what)
{
	return atomic_load(&find(id, what)->ended);
}

bool doing_since(u32 id, enum doing what, u32 mark, u32 mine)
{
	return (int)(atomic_load(&find(id, what)->begun) - mine - mark) > 0;
}

void stray_open(u32 id)
{
	find(id, DOING_OPEN);
	strays[id]++;
}

struct busy_mark busy_mark(u32 id, enum doing what)
{
	return (struct busy_mark) { .ended = doing_mark(id, what), .strays = strays[id] };
}

bool busy_since(u32 id, enum doing what, struct busy_mark mark, u32 mine)
{
	return doing_since(id, what, mark.ended, mine) ||
	       wait_until(strays[id] != mark.strays, 2000);
}

void lives_mark(struct all_marks *marks)
{
	unsigned int id, what;

	for (id = 0; id < LIVES_IDS; id++)
		for (what = 0; what < NR_DOINGS; what++)
			marks->of[id][what] = doing_mark(id, what);
}

u64 lives_newest(void)
{
	u64 value;

	pthread_mutex_lock(&lock);
	value = newest;
	pthread_mutex_unlock(&lock);
	return value;
}

bool lives_birth(struct life *l, const struct all_marks *marks)
{
	unsigned int what;
	struct life *old;
	bool good;

	for (what = 0; what < NR_DOINGS; what++) {
		find(l->id, what);
		l->marks[what] = marks->of[l->id][what];
	}
	pthread_mutex_lock(&lock);
	old = &current[l->id];
	if (old->diskseq > l->diskseq) {
		/* It ended, and the next one came, before its ATTACH was looked at. */
		good = life_may_end(l);
	} else {
		good = !old->diskseq || life_may_end(old);
		*old = *l;
	}
	remembered[l->diskseq % REMEMBERED] = *l;
	if (l->diskseq > newest)
		newest = l->diskseq;
	pthread_mutex_unlock(&lock);
	return good;
}

void lives_death(const struct life *l)
{
	pthread_mutex_lock(&lock);
	if (current[l->id].diskseq == l->diskseq)
		current[l->id].diskseq = 0;
	pthread_mutex_unlock(&lock);
}

bool lives_find(u64 diskseq, struct life *l)
{
	bool found;

	pthread_mutex_lock(&lock);
	*l = remembered[diskseq % REMEMBERED];
	found = l->diskseq == diskseq;
	pthread_mutex_unlock(&lock);
	return found;
}

bool life_may_have(const struct life *l, enum doing what)
{
	return doing_since(l->id, what, l->marks[what], 0);
}

bool life_may_end(const struct life *l)
{
	return (l->flags & VDISK_F_AUTOCLEAR) || life_may_have(l, DOING_DETACH);
}
