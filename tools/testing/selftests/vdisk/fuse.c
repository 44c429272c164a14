// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuse.h"
#include "tap.h"

#define FILE_NODE	2
#define MAX_WRITE	(128U << 10)
#define FOREVER		3600

/* What the child serves. */
struct store {
	int dev;
	u8 *data;
	u64 size;
	bool cached;
};

static volatile sig_atomic_t full;

static void on_signal(int sig)
{
	full = sig == SIGUSR1;
}

static void answer(const struct store *s, u64 unique, int error, const void *data, size_t len)
{
	struct fuse_out_header out = {
		.len = sizeof(out) + len,
		.error = -error,
		.unique = unique,
	};
	struct iovec iov[2] = {
		{ .iov_base = &out, .iov_len = sizeof(out) },
		{ .iov_base = (void *)data, .iov_len = len },
	};

	/* ENOENT: the request was interrupted meanwhile. */
	if (writev(s->dev, iov, len ? 2 : 1) < 0 && errno != ENOENT)
		_exit(1);
}

static void fill_attr(const struct store *s, u64 node, struct fuse_attr *attr)
{
	memset(attr, 0, sizeof(*attr));
	attr->ino = node;
	attr->nlink = 1;
	attr->blksize = 4096;
	attr->mode = node == FILE_NODE ? S_IFREG | 0600 : S_IFDIR | 0700;
	if (node == FILE_NODE) {
		attr->size = s->size;
		attr->blocks = s->size / 512;
	}
}

static void do_lookup(const struct store *s, const struct fuse_in_header *in, const char *name)
{
	struct fuse_entry_out out = {
		.nodeid = FILE_NODE,
		.entry_valid = FOREVER,
		.attr_valid = FOREVER,
	};

	if (strcmp(name, "disk")) {
		answer(s, in->unique, ENOENT, NULL, 0);
		return;
	}
	fill_attr(s, FILE_NODE, &out.attr);
	answer(s, in->unique, 0, &out, sizeof(out));
}

static void do_read(const struct store *s, const struct fuse_in_header *in,
		    const struct fuse_read_in *arg)
{
	u64 len = 0;

	if (arg->offset < s->size)
		len = arg->size < s->size - arg->offset ? arg->size : s->size - arg->offset;
	answer(s, in->unique, 0, s->data + arg->offset, len);
}

static void do_write(const struct store *s, const struct fuse_in_header *in,
		     const struct fuse_write_in *arg)
{
	struct fuse_write_out out = { .size = arg->size };

	if (full || arg->offset > s->size || arg->size > s->size - arg->offset) {
		answer(s, in->unique, ENOSPC, NULL, 0);
		return;
	}
	memcpy(s->data + arg->offset, arg + 1, arg->size);
	answer(s, in->unique, 0, &out, sizeof(out));
}

static void do_init(const struct store *s, const struct fuse_in_header *in)
{
	const struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
		.max_write = MAX_WRITE,
		.max_readahead = MAX_WRITE,
		.max_background = 16,
		.congestion_threshold = 12,
		.flags = s->cached ? FUSE_WRITEBACK_CACHE | FUSE_BIG_WRITES : 0,
	};

	answer(s, in->unique, 0, &out, sizeof(out));
}

static void dispatch(const struct store *s, const struct fuse_in_header *in, const void *arg)
{
	struct fuse_attr_out attr = { .attr_valid = FOREVER };
	const struct fuse_open_out open = { 0 };
	const struct fuse_statfs_out stat = { .st = { .bsize = 4096, .namelen = 255 } };

	switch (in->opcode) {
	case FUSE_INIT:
		do_init(s, in);
		break;
	case FUSE_LOOKUP:
		do_lookup(s, in, arg);
		break;
	case FUSE_GETATTR:
	case FUSE_SETATTR:
		fill_attr(s, in->nodeid, &attr.attr);
		answer(s, in->unique, 0, &attr, sizeof(attr));
		break;
	case FUSE_OPEN:
		answer(s, in->unique, 0, &open, sizeof(open));
		break;
	case FUSE_READ:
		do_read(s, in, arg);
		break;
	case FUSE_WRITE:
		do_write(s, in, arg);
		break;
	case FUSE_STATFS:
		answer(s, in->unique, 0, &stat, sizeof(stat));
		break;
	case FUSE_FSYNC:
	case FUSE_FLUSH:
	case FUSE_RELEASE:
	case FUSE_DESTROY:
		answer(s, in->unique, 0, NULL, 0);
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break;	/* these have no answer */
	default:
		answer(s, in->unique, ENOSYS, NULL, 0);
	}
}

static void serve(const struct store *s)
{
	static u8 buf[MAX_WRITE + 8192] __attribute__((aligned(8)));
	const struct fuse_in_header *in = (const void *)buf;
	ssize_t n;

	for (;;) {
		n = read(s->dev, buf, sizeof(buf));
		if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT))
			continue;
		if (n < (ssize_t)sizeof(*in))
			_exit(0);	/* unmounted */
		dispatch(s, in, in + 1);
	}
}

static bool start(struct fuse_server *f, const char *dir, u64 size, u64 seed, bool cached)
{
	struct store s = { .size = size, .cached = cached };
	struct rng rng;
	char opts[128];

	snprintf(f->dir, sizeof(f->dir), "%s", dir);
	snprintf(f->path, sizeof(f->path), "%s/disk", f->dir);
	mkdir(dir, 0700);
	s.dev = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (s.dev < 0) {
		diag("/dev/fuse: %s", err_name(errno));
		return false;
	}
	snprintf(opts, sizeof(opts), "fd=%d,rootmode=40000,user_id=0,group_id=0", s.dev);
	if (mount("vdt", dir, "fuse", MS_NOSUID | MS_NODEV, opts)) {
		diag("mount of fuse: %s", err_name(errno));
		close(s.dev);
		return false;
	}

	/* Only the child may hold the device, or its death would go unnoticed. */
	f->pid = fork();
	if (!f->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGUSR1, on_signal);
		signal(SIGUSR2, on_signal);
		s.data = xalloc(size);
		rng_seed(&rng, seed);
		rng_fill(&rng, s.data, size);
		serve(&s);
	}
	close(s.dev);
	return f->pid > 0;
}

bool fuse_start(struct fuse_server *f, const char *dir, u64 size, u64 seed)
{
	return start(f, dir, size, seed, false);
}

bool fuse_start_cached(struct fuse_server *f, const char *dir, u64 size, u64 seed)
{
	return start(f, dir, size, seed, true);
}

void fuse_full(struct fuse_server *f, bool yes)
{
	kill(f->pid, yes ? SIGUSR1 : SIGUSR2);
}

void fuse_hang(struct fuse_server *f)
{
	int status;

	kill(f->pid, SIGSTOP);
	waitpid(f->pid, &status, WUNTRACED);
}

void fuse_resume(struct fuse_server *f)
{
	kill(f->pid, SIGCONT);
}

void fuse_kill(struct fuse_server *f)
{
	int status;

	if (f->pid <= 0)
		return;
	kill(f->pid, SIGKILL);
	waitpid(f->pid, &status, 0);
	f->pid = 0;
}

void fuse_end(struct fuse_server *f)
{
	umount2(f->dir, MNT_DETACH);
	fuse_kill(f);
	rmdir(f->dir);
}
