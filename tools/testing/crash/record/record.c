// SPDX-License-Identifier: GPL-2.0-only
/*
 * Preloaded into a program, this writes down what it does to regular files: the
 * other way into the log that the crash enumerator walks. A change is written down
 * before it is made, a flush after it has ended: while both are under way, the
 * flush promises nothing about the change.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "record.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = -1;

static void __attribute__((noreturn)) die(const char *what)
{
	perror(what);
	abort();
}

static void open_log(void)
{
	const char *name = getenv("VD_RECORD");

	if (!name)
		die("VD_RECORD");
	log_fd = open(name, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (log_fd < 0)
		die(name);
}

static void put(const void *data, size_t len)
{
	const char *p = data;
	ssize_t n;

	while (len) {
		n = write(log_fd, p, len);
		if (n < 0 && errno != EINTR)
			die("record");
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
}

static void note(int fd, enum crash_record_what what, off64_t pos, off64_t len,
		 const struct iovec *iov, int nr)
{
	struct crash_record rec = { .what = what, .pos = (uint64_t)pos, .len = (uint64_t)len };
	struct stat st;
	int i, saved = errno;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		goto out;
	rec.dev = st.st_dev;
	rec.ino = st.st_ino;
	pthread_mutex_lock(&lock);
	if (log_fd < 0)
		open_log();
	put(&rec, sizeof(rec));
	for (i = 0; i < nr; i++)
		put(iov[i].iov_base, iov[i].iov_len);
	pthread_mutex_unlock(&lock);
out:
	errno = saved;
}

static off64_t sum(const struct iovec *iov, int nr)
{
	off64_t len = 0;
	int i;

	for (i = 0; i < nr; i++)
		len += (off64_t)iov[i].iov_len;
	return len;
}

/* The next definition of the same name; it exists, or nothing here would have been called. */
#define NEXT(name)	((__typeof__(&name))next_of(#name))

static void *next_of(const char *name)
{
	void *fn = dlsym(RTLD_NEXT, name);

	if (!fn)
		die(name);
	return fn;
}

static ssize_t whole(ssize_t ret, off64_t len)
{
	/* A short write would make a lie of what was noted. */
	if (ret >= 0 && ret != len)
		die("short write");
	return ret;
}

ssize_t pwrite64(int fd, const void *buf, size_t len, off64_t pos)
{
	struct iovec iov = { (void *)(uintptr_t)buf, len };

	note(fd, CRASH_REC_WRITE, pos, (off64_t)len, &iov, 1);
	return whole(NEXT(pwrite64)(fd, buf, len, pos), (off64_t)len);
}

ssize_t pwritev64(int fd, const struct iovec *iov, int nr, off64_t pos)
{
	note(fd, CRASH_REC_WRITE, pos, sum(iov, nr), iov, nr);
	return whole(NEXT(pwritev64)(fd, iov, nr, pos), sum(iov, nr));
}

ssize_t pwritev64v2(int fd, const struct iovec *iov, int nr, off64_t pos, int flags)
{
	note(fd, CRASH_REC_WRITE, pos, sum(iov, nr), iov, nr);
	return whole(NEXT(pwritev64v2)(fd, iov, nr, pos, flags), sum(iov, nr));
}

int ftruncate64(int fd, off64_t len)
{
	note(fd, CRASH_REC_SIZE, 0, len, NULL, 0);
	return NEXT(ftruncate64)(fd, len);
}

int fallocate64(int fd, int mode, off64_t pos, off64_t len)
{
	int ret = NEXT(fallocate64)(fd, mode, pos, len);

	if (ret)
		return ret;
	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		note(fd, CRASH_REC_ZERO, pos, len, NULL, 0);
	if (!(mode & FALLOC_FL_KEEP_SIZE))
		note(fd, CRASH_REC_GROW, pos, len, NULL, 0);
	return ret;
}

int fdatasync(int fd)
{
	int ret = NEXT(fdatasync)(fd);

	if (!ret)
		note(fd, CRASH_REC_FLUSH, 0, 0, NULL, 0);
	return ret;
}

int fsync(int fd)
{
	int ret = NEXT(fsync)(fd);

	if (!ret)
		note(fd, CRASH_REC_FLUSH, 0, 0, NULL, 0);
	return ret;
}
