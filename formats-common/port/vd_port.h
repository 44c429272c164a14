/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The one header that knows kernel from user space.
 *
 * Shared code includes this and nothing else of its surroundings: fixed-width
 * and endian types, unaligned accessors, overflow checks, memory, a spinlock,
 * bounded printing, a log line, the zlib codec. No libc name may appear
 * outside port/.
 */
#ifndef VD_PORT_H
#define VD_PORT_H

#ifdef __KERNEL__
#include "vd_port_kernel.h"
#else
#include "vd_port_user.h"
#endif

/**
 * vd_zalloc() - zeroed memory for open time
 * @size: bytes; callers check it against a cap first
 *
 * May sleep. NULL when there is none. Freed with vd_free().
 */
void *vd_zalloc(size_t size);
void vd_free(const void *p);

/**
 * vd_alloc_io() - one 4 KiB aligned block for the I/O path
 *
 * May sleep, never enters I/O or file system reclaim. NULL when there is none:
 * callers fall back to memory that they already own.
 */
void *vd_alloc_io(void);
void vd_free_io(void *p);

/* One line for the administrator; rate-limited in the kernel. */
void vd_log(const char *text);

/*
 * zlib stream (RFC 1950). @ws has vd_zlib_workspace() bytes. Returns the number
 * of bytes put into @out, -EUCLEAN for a stream that is damaged, truncated or
 * followed by other bytes, -E2BIG when it would not fit.
 */
size_t vd_zlib_workspace(void);
int vd_zlib_inflate(void *ws, const void *in, u32 in_len, void *out, u32 out_len);

#endif /* VD_PORT_H */
