/* SPDX-License-Identifier: GPL-2.0-only */
/* What the kernel's own detector of leaks knows; it runs only with kmemleak=on. */
#ifndef VDT_LEAKS_H
#define VDT_LEAKS_H

#include "util.h"

bool leaks_watched(void);
/* Scan until what is old enough has been looked at twice; false: it cannot. */
bool leaks_scan(void);
/* How many of the reported objects have our code in their backtrace; and all. Shows them. */
unsigned int leaks_ours(void);
unsigned int leaks_all(void);
/* If leaks are watched: a result, that there are none of ours. */
void leaks_check(void);

#endif /* VDT_LEAKS_H */
