// SPDX-License-Identifier: GPL-2.0-only
/*
 * With VD_STORM set, one in three system calls on a file is interrupted by a signal,
 * and one in three transfers moves less than was asked: both are nothing that a caller
 * of the library may notice, so every test passes as before. At the end it tells how
 * many there were.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

#include "ut.h"

ssize_t __real_pread64(int fd, void *buf, size_t len, off_t pos);
ssize_t __wrap_pread64(int fd, void *buf, size_t len, off_t pos);
ssize_t __real_pwrite64(int fd, const void *buf, size_t len, off_t pos);
ssize_t __wrap_pwrite64(int fd, const void *buf, size_t len, off_t pos);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_ftruncate64(int fd, off_t len);
int __wrap_ftruncate64(int fd, off_t len);
int __real_fallocate64(int fd, int mode, off_t pos, off_t len);
int __wrap_fallocate64(int fd, int mode, off_t pos, off_t len);

static unsigned long nr_interrupted, nr_short;

static void report(void)
{
	printf("# storm: %lu calls interrupted, %lu cut short\n", nr_interrupted, nr_short);
}

static void __attribute__((constructor)) begin(void)
{
	if (getenv("VD_STORM"))
		atexit(report);
}

static u64 dice(u64 sides)
{
	static u64 calls;

	return ut_mix(__atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED)) % sides;
}

static bool interrupted(void)
{
	if (!getenv("VD_STORM") || dice(3))
		return false;
	__atomic_add_fetch(&nr_interrupted, 1, __ATOMIC_RELAXED);
	errno = EINTR;
	return true;
}

static size_t less(size_t len)
{
	if (len <= 1 || !getenv("VD_STORM") || dice(3))
		return len;
	__atomic_add_fetch(&nr_short, 1, __ATOMIC_RELAXED);
	return len / 2;
}

ssize_t __wrap_pread64(int fd, void *buf, size_t len, off_t pos)
{
	return interrupted() ? -1 : __real_pread64(fd, buf, less(len), pos);
}

ssize_t __wrap_pwrite64(int fd, const void *buf, size_t len, off_t pos)
{
	return interrupted() ? -1 : __real_pwrite64(fd, buf, less(len), pos);
}

int __wrap_fdatasync(int fd)
{
	return interrupted() ? -1 : __real_fdatasync(fd);
}

int __wrap_ftruncate64(int fd, off_t len)
{
	return interrupted() ? -1 : __real_ftruncate64(fd, len);
}

int __wrap_fallocate64(int fd, int mode, off_t pos, off_t len)
{
	return interrupted() ? -1 : __real_fallocate64(fd, mode, pos, len);
}
