// SPDX-License-Identifier: GPL-2.0-only
/*
 * Jobs that must not end in the middle of a step: from stop_catch() on, a signal
 * only asks to stop, and stop_asked() tells whether one has.
 */
#include <signal.h>
#include "vdctl.h"

static volatile sig_atomic_t stop_signal;

/* All whose default is to end a process, but for faults and what cannot be caught. */
static const int signals[] = {
	SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGALRM, SIGUSR1, SIGUSR2, SIGVTALRM, SIGPROF, SIGXCPU,
	SIGIO, SIGPWR,
};

static struct sigaction before[ARRAY_SIZE(signals)];

static void on_signal(int sig)
{
	stop_signal = sig;
}

void stop_catch(void)
{
	struct sigaction act = { .sa_handler = on_signal };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(signals); i++)
		if (!sigaction(signals[i], NULL, &before[i]) && before[i].sa_handler != SIG_IGN)
			sigaction(signals[i], &act, NULL);
	signal(SIGXFSZ, SIG_IGN);	/* EFBIG does */
}

void stop_release(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &before[i], NULL);
}

bool stop_wanted(void)
{
	return stop_signal != 0;
}

int stop_asked(void)
{
	return stop_signal ? ctl_error(CTL_FAIL, "interrupted", NULL, "interrupted") : 0;
}

/* A shell wants to see of what. */
void stop_raise(void)
{
	if (!stop_signal)
		return;
	ctl_flush();
	signal(stop_signal, SIG_DFL);
	raise(stop_signal);
}
