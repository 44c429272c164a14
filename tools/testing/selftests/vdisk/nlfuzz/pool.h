/* SPDX-License-Identifier: GPL-2.0-only */
/* Descriptors of every kind; files_any_fd() chooses among them. */
#ifndef VDT_NLFUZZ_POOL_H
#define VDT_NLFUZZ_POOL_H

#include "nlfuzz.h"

/* Takes @fd over; a negative one is not there on this kernel. */
void pool_add(const char *what, int fd);
/* Starts the FUSE server, which is to have no descriptors of others; path of its file. */
const char *pool_fuse(void);
void pool_make(void);
void pool_end(void);

#endif /* VDT_NLFUZZ_POOL_H */
