/* SPDX-License-Identifier: GPL-2.0-only */
/* What the kernel tells udev. */
#ifndef VDT_UEVENTS_H
#define VDT_UEVENTS_H

#include <stdbool.h>
#include <stddef.h>

/* A message: strings, one after another. */
struct uevent {
	char buf[8192];
	size_t len;
};

void uevents_open(void);	/* from here on they are kept; bails */
/* Waits for so long, 0: not at all. Bails if any were lost, for they are counted. */
bool uevent_next(struct uevent *ev, int timeout_ms);
const char *uevent_property(const struct uevent *ev, const char *key);	/* "": has none */

#endif /* VDT_UEVENTS_H */
