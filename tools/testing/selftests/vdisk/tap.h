/* SPDX-License-Identifier: GPL-2.0-only */
/* Test Anything Protocol on stdout. Only the main thread of a test reports. */
#ifndef VDT_TAP_H
#define VDT_TAP_H

#include <stdbool.h>
#include <stdint.h>

#define TAP_PRINTF(a, b) __attribute__((format(printf, a, b)))

/* One result line; returns @pass, so that a test can stop early. */
bool ok(bool pass, const char *fmt, ...) TAP_PRINTF(2, 3);

/* As ok(), and say both values when they differ. */
bool is_num(uint64_t got, uint64_t want, const char *fmt, ...) TAP_PRINTF(3, 4);
bool is_str(const char *got, const char *want, const char *fmt, ...) TAP_PRINTF(3, 4);

/* @got and @want are 0 or a negative errno; shown by name. */
bool is_err(int got, int want, const char *fmt, ...) TAP_PRINTF(3, 4);

/* A result that could not be had here, and why. */
void skip(const char *reason, const char *fmt, ...) TAP_PRINTF(2, 3);

void diag(const char *fmt, ...) TAP_PRINTF(1, 2);

/* The rest makes no sense any more. */
void bail(const char *fmt, ...) TAP_PRINTF(1, 2) __attribute__((noreturn));

/* "EBUSY" for -EBUSY or EBUSY, "0" for success. */
const char *err_name(int err);

/* Print the plan; the exit status of main(). */
int tap_done(void);

#endif /* VDT_TAP_H */
