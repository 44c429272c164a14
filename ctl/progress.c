// SPDX-License-Identifier: GPL-2.0-only
/* A progress line on a terminal, once a job has taken more than a second. */
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include "vdctl.h"

#define FIRST_MS	1000
#define REDRAW_MS	100

static u64 now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000 + (u64)ts.tv_nsec / 1000000;
}

void progress_begin(struct progress *p, u64 total)
{
	memset(p, 0, sizeof(*p));
	p->total = total;
	p->started = now_ms();
	p->on = !ctl.quiet && !ctl.json && isatty(STDERR_FILENO);
}

static bool time_to_draw(struct progress *p)
{
	u64 now;

	if (!p->on)
		return false;
	now = now_ms();
	if (now - p->started < FIRST_MS || now - p->drawn < REDRAW_MS)
		return false;
	p->drawn = now;
	p->shown = true;
	return true;
}

void progress_step(struct progress *p, u64 done)
{
	char at[24], of[24];

	p->done = done;
	if (!time_to_draw(p))
		return;
	format_size(done, at, sizeof(at));
	format_size(p->total, of, sizeof(of));
	fprintf(stderr, "\r\033[K%s of %s (%u%%)", at, of,
		p->total ? (unsigned int)((double)done * 100 / (double)p->total) : 100U);
	fflush(stderr);
}

void progress_files(struct progress *p, u32 files, u32 images)
{
	if (!time_to_draw(p))
		return;
	fprintf(stderr, "\r\033[K%u files, %u images", files, images);
	fflush(stderr);
}

void progress_end(struct progress *p)
{
	if (p->shown)
		fputs("\r\033[K", stderr);
}
