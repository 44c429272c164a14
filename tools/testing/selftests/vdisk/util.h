/* SPDX-License-Identifier: GPL-2.0-only */
/* What every test needs of its surroundings: files, programs, time. */
#ifndef VDT_UTIL_H
#define VDT_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define KIB		1024ULL
#define MIB		(1024ULL * KIB)
#define SECTOR		512U
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/* ------------------------------------------------------------------ time */

u64 now_ms(void);
void nap(void);		/* the pause of one poll step, 2 ms */

/*
 * VDT_SCALE, 1 if it is not set: on a kernel that is so much slower, what is done
 * again and again is done so many times less often, and all is waited for so many
 * times longer.
 */
unsigned int scale(void);
unsigned int scaled(unsigned int count);	/* at least 1 */
/* VDT_FULL: take the time that published figures need, not that of a smoke test. */
bool full_run(void);
/* VDT_BRIEF: of variations of the same thing, some. */
bool brief_run(void);

/* Poll for @cond; its value when it came true or @ms were over. */
#define wait_until(cond, ms) __extension__ ({			\
	u64 _end = now_ms() + (u64)(ms) * scale();		\
	bool _got;						\
								\
	while (!(_got = (cond)) && now_ms() < _end)		\
		nap();						\
	_got;							\
})

/* ---------------------------------------------------------------- random */

/* xorshift64*: tests print their seed, so that a run can be repeated. */
struct rng {
	u64 state;
};

void rng_seed(struct rng *rng, u64 seed);
u64 rng_next(struct rng *rng);
u64 rng_below(struct rng *rng, u64 limit);
void rng_fill(struct rng *rng, void *buf, size_t len);

/* ----------------------------------------------------------------- files */

/* A directory of this test alone, below the memory file system /tmp. */
const char *scratch_dir(void);
/* DIR/NAME in one of a few rotating buffers. */
const char *path_in(const char *dir, const char *name);

/*
 * Places that the guest driver prepares and names by environment variables.
 * NULL where a test runs by hand without it.
 */
const char *place_ext4(void);	/* VDT_EXT4: directory on ext4 */
const char *place_xfs(void);	/* VDT_XFS: directory on XFS */
const char *place_small(void);	/* VDT_SMALL: directory on a 16 MiB ext4 */
const char *place_bdev(void);	/* VDT_BDEV: a block device to overwrite */
const char *place_large(void);	/* VDT_LARGE: directory with room for 5 GiB */

void *xalloc(size_t len);		/* page-aligned, zeroed; bails */
int xopen(const char *path, int flags);	/* 0600, O_CLOEXEC; bails */
/* A new file of @size zero bytes, open read-write; bails. */
int make_file(const char *path, u64 size);
/* The same with random content. */
int make_random_file(const char *path, u64 size, u64 seed);
bool pread_all(int fd, void *buf, size_t len, u64 pos);
bool pwrite_all(int fd, const void *buf, size_t len, u64 pos);
/* What mkswap does, and no holes. */
void write_swap_header(int fd, u64 size);
/* Keeps holes. */
void copy_file(const char *from, const char *to);
bool exists(const char *path);
/* A small text file without its last newline; false if it cannot be read. */
bool read_text(const char *path, char *buf, size_t len);
bool write_text(const char *path, const char *text);
/* The kernel forgets what it has traced so far. */
bool empty_trace(void);
unsigned int count_open_fds(void);

/* -------------------------------------------------------------- programs */

/**
 * struct run - a program that ended
 * @status: exit status, 128 + signal, or -1 when it could not be started
 */
struct run {
	int status;
	char out[16384];
	char err[8192];
};

/* The list ends with NULL; the program is found in PATH. Returns status. */
int run(struct run *r, const char *prog, ...) __attribute__((sentinel));
int run_argv(struct run *r, const char *const argv[]);

/* A program that goes on, with pipes to its stdin and from its stdout. */
struct proc {
	pid_t pid;
	int in;
	int out;
};

bool proc_start(struct proc *p, const char *const argv[]);
/* Read stdout until @text was seen; false if it ended or @ms were over. */
bool proc_expect(struct proc *p, const char *text, int ms);
int proc_end(struct proc *p);	/* close stdin, wait; exit status as in run */

/* --------------------------------------------------------------- modules */

bool module_loaded(const char *name);
int module_refs(const char *name);	/* without other modules'; -1: not loaded */
int module_unload(const char *name);	/* 0 or -errno */
/* Unload vdisk and its format modules as far as they are loaded. */
int unload_all(void);

#endif /* VDT_UTIL_H */
