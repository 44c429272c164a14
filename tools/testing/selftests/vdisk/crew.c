// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "crew.h"
#include "util.h"

#define STUCK_S	60

static sem_t ended;
static atomic_bool stop;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char faults[8][320];
static unsigned int nr_faults;

void crew_step(struct crew_member *me, const char *what)
{
	me->doing = what;
	me->steps++;
}

bool crew_stopped(void)
{
	return stop;
}

void crew_fault(struct crew_member *me, const char *fmt, ...)
{
	va_list args;
	char *text;
	int n;

	pthread_mutex_lock(&lock);
	if (nr_faults < ARRAY_SIZE(faults)) {
		text = faults[nr_faults++];
		n = snprintf(text, sizeof(faults[0]), "thread %u, %s: ", me->nr, me->doing);
		va_start(args, fmt);
		vsnprintf(text + n, sizeof(faults[0]) - n, fmt, args);
		va_end(args);
	}
	pthread_mutex_unlock(&lock);
	stop = true;
}

static void *member_thread(void *arg)
{
	struct crew_member *me = arg;

	me->tid = syscall(SYS_gettid);
	me->run(me);
	me->doing = "nothing more";
	sem_post(&ended);
	return NULL;
}

static struct crew_member *member(void *members, size_t size, unsigned int i)
{
	return (struct crew_member *)((char *)members + i * size);
}

static void say_stuck(void *members, size_t size, unsigned int nr)
{
	char path[64], stack[2048];
	unsigned int i;

	for (i = 0; i < nr; i++) {
		struct crew_member *m = member(members, size, i);

		diag("thread %u: %s, %u steps", i, m->doing, m->steps);
		snprintf(path, sizeof(path), "/proc/self/task/%d/stack", m->tid);
		if (read_text(path, stack, sizeof(stack)))
			diag("%s", stack);
	}
}

static void say_faults(void)
{
	unsigned int i;

	for (i = 0; i < nr_faults; i++)
		diag("%s", faults[i]);
}

static unsigned int all_steps(void *members, size_t size, unsigned int nr)
{
	unsigned int i, sum = 0;

	for (i = 0; i < nr; i++)
		sum += member(members, size, i)->steps;
	return sum;
}

/* Sleeps until one thread ends; false when nothing has moved for a minute. */
static bool wait_for_one(void *members, size_t size, unsigned int nr)
{
	unsigned int before, now = all_steps(members, size, nr);
	struct timespec until;
	int ret;

	do {
		before = now;
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += STUCK_S * scale();
		do {
			ret = sem_timedwait(&ended, &until);
		} while (ret && errno == EINTR);
		now = all_steps(members, size, nr);
	} while (ret && now != before);
	return !ret;
}

bool crew_run(void *members, size_t size, unsigned int nr)
{
	unsigned int i;

	sem_init(&ended, 0, 0);
	for (i = 0; i < nr; i++) {
		struct crew_member *m = member(members, size, i);

		m->nr = i;
		m->steps = 0;
		m->doing = "nothing yet";
		if (pthread_create(&m->thread, NULL, member_thread, m))
			bail("no thread");
	}
	for (i = 0; i < nr; i++) {
		if (wait_for_one(members, size, nr))
			continue;
		say_faults();
		say_stuck(members, size, nr);
		bail("no progress within %u s", STUCK_S * scale());
	}
	for (i = 0; i < nr; i++)
		pthread_join(member(members, size, i)->thread, NULL);
	say_faults();
	return !nr_faults;
}
