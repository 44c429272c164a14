// SPDX-License-Identifier: GPL-2.0-only
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tap.h"

static unsigned int nr_run;
static unsigned int nr_failed;

static bool report(bool pass, const char *fmt, va_list args)
{
	char text[1024];

	nr_run++;
	if (!pass)
		nr_failed++;
	/* A result is one line, whatever a program printed. */
	vsnprintf(text, sizeof(text), fmt, args);
	text[strcspn(text, "\n")] = 0;
	printf("%sok %u - %s\n", pass ? "" : "not ", nr_run, text);
	fflush(stdout);
	return pass;
}

bool ok(bool pass, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	report(pass, fmt, args);
	va_end(args);
	return pass;
}

bool is_num(uint64_t got, uint64_t want, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	report(got == want, fmt, args);
	va_end(args);
	if (got != want)
		diag("got %llu, expected %llu", (unsigned long long)got,
		     (unsigned long long)want);
	return got == want;
}

bool is_str(const char *got, const char *want, const char *fmt, ...)
{
	bool same = !strcmp(got, want);
	va_list args;

	va_start(args, fmt);
	report(same, fmt, args);
	va_end(args);
	if (!same)
		diag("got \"%s\", expected \"%s\"", got, want);
	return same;
}

bool is_err(int got, int want, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	report(got == want, fmt, args);
	va_end(args);
	if (got != want)
		diag("got %s, expected %s", err_name(got), err_name(want));
	return got == want;
}

void skip(const char *reason, const char *fmt, ...)
{
	va_list args;

	printf("ok %u - ", ++nr_run);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf(" # SKIP %s\n", reason);
	fflush(stdout);
}

void diag(const char *fmt, ...)
{
	char text[4096], *p = text, *line;
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	while ((line = strsep(&p, "\n"))) {
		if (*line || line == text)
			printf("# %s\n", line);
	}
	fflush(stdout);
}

void bail(const char *fmt, ...)
{
	va_list args;

	printf("Bail out! ");
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
	exit(1);
}

const char *err_name(int err)
{
	const char *name;

	if (!err)
		return "0";
	name = strerrorname_np(err < 0 ? -err : err);
	return name ? name : "an unknown error";
}

int tap_done(void)
{
	printf("1..%u\n", nr_run);
	fflush(stdout);
	return nr_failed ? 1 : 0;
}
