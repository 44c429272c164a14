/* SPDX-License-Identifier: GPL-2.0-only */
/* Threads that do different things at once, and how each of them says what is wrong. */
#ifndef VDT_CREW_H
#define VDT_CREW_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "tap.h"

/**
 * struct crew_member - a thread; may be the first member of something larger
 * @run: what it does, until crew_stopped() or it has done enough
 * @steps: grows as long as it is not stuck
 * @doing: for who wants to know where it was
 */
struct crew_member {
	void (*run)(struct crew_member *me);
	pthread_t thread;
	unsigned int nr;
	pid_t tid;
	atomic_uint steps;
	_Atomic(const char *) doing;
};

/* The next thing it does; @what stays where it is. */
void crew_step(struct crew_member *me, const char *what);
/* Something is wrong: all are to stop. */
void crew_fault(struct crew_member *me, const char *fmt, ...) TAP_PRINTF(2, 3);
bool crew_stopped(void);

/*
 * All of @nr, @size bytes apart, until they have ended. False, with diagnoses, if one
 * has found fault; bails when nothing moves for a minute.
 */
bool crew_run(void *members, size_t size, unsigned int nr);

#endif /* VDT_CREW_H */
