// SPDX-License-Identifier: GPL-2.0-only
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tap.h"
#include "util.h"

u64 now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ULL + ts.tv_nsec / 1000000;
}

void nap(void)
{
	const struct timespec ts = { .tv_nsec = 2000000 };

	nanosleep(&ts, NULL);
}

unsigned int scale(void)
{
	const char *text = getenv("VDT_SCALE");
	int value = text ? atoi(text) : 1;

	return value > 1 ? (unsigned int)value : 1;
}

unsigned int scaled(unsigned int count)
{
	return count > scale() ? count / scale() : 1;
}

bool full_run(void)
{
	const char *text = getenv("VDT_FULL");

	return text && *text;
}

bool brief_run(void)
{
	const char *text = getenv("VDT_BRIEF");

	return text && *text && !full_run();
}

void rng_seed(struct rng *rng, u64 seed)
{
	rng->state = seed * 0x9e3779b97f4a7c15ULL + 0x632be59bd9b4e019ULL;
	if (!rng->state)
		rng->state = 1;
}

u64 rng_next(struct rng *rng)
{
	u64 x = rng->state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	rng->state = x;
	return x * 0x2545f4914f6cdd1dULL;
}

u64 rng_below(struct rng *rng, u64 limit)
{
	return (rng_next(rng) >> 11) % limit;
}

void rng_fill(struct rng *rng, void *buf, size_t len)
{
	u8 *p = buf;
	u64 word;

	for (; len >= sizeof(word); p += sizeof(word), len -= sizeof(word)) {
		word = rng_next(rng);
		memcpy(p, &word, sizeof(word));
	}
	word = rng_next(rng);
	memcpy(p, &word, len);
}

static char scratch[64];

static void remove_scratch(void)
{
	struct dirent *entry;
	DIR *dir = opendir(scratch);

	while (dir && (entry = readdir(dir)))
		unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir)
		closedir(dir);
	rmdir(scratch);
}

const char *scratch_dir(void)
{
	static pid_t owner;

	if (owner)
		return scratch;
	snprintf(scratch, sizeof(scratch), "/tmp/vdt-%d", getpid());
	if (mkdir(scratch, 0700))
		bail("cannot make a directory in /tmp: %s", err_name(errno));
	owner = getpid();
	atexit(remove_scratch);
	return scratch;
}

const char *path_in(const char *dir, const char *name)
{
	static char paths[8][512];
	static unsigned int next;
	char *path = paths[next++ % ARRAY_SIZE(paths)];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

const char *place_ext4(void)
{
	return getenv("VDT_EXT4");
}

const char *place_xfs(void)
{
	return getenv("VDT_XFS");
}

const char *place_small(void)
{
	return getenv("VDT_SMALL");
}

const char *place_bdev(void)
{
	return getenv("VDT_BDEV");
}

const char *place_large(void)
{
	return getenv("VDT_LARGE");
}

void *xalloc(size_t len)
{
	void *p;

	if (posix_memalign(&p, 4096, len ? len : 1))
		bail("no memory for %zu bytes", len);
	memset(p, 0, len);
	return p;
}

int xopen(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd < 0)
		bail("cannot open %s: %s", path, err_name(errno));
	return fd;
}

int make_file(const char *path, u64 size)
{
	int fd = xopen(path, O_RDWR | O_CREAT | O_TRUNC);

	if (ftruncate(fd, size))
		bail("cannot make %s %llu bytes long: %s", path, (unsigned long long)size,
		     err_name(errno));
	return fd;
}

int make_random_file(const char *path, u64 size, u64 seed)
{
	int fd = make_file(path, size);
	u8 *buf = xalloc(MIB);
	struct rng rng;
	u64 pos, len;

	rng_seed(&rng, seed);
	for (pos = 0; pos < size; pos += len) {
		len = size - pos < MIB ? size - pos : MIB;
		rng_fill(&rng, buf, len);
		if (!pwrite_all(fd, buf, len, pos))
			bail("cannot write %s: %s", path, err_name(errno));
	}
	free(buf);
	return fd;
}

bool pread_all(int fd, void *buf, size_t len, u64 pos)
{
	ssize_t n;

	for (; len; buf = (char *)buf + n, len -= n, pos += n) {
		n = pread(fd, buf, len, pos);
		if (!n)
			errno = ENODATA;
		if (n <= 0)
			return false;
	}
	return true;
}

bool pwrite_all(int fd, const void *buf, size_t len, u64 pos)
{
	ssize_t n;

	for (; len; buf = (const char *)buf + n, len -= n, pos += n) {
		n = pwrite(fd, buf, len, pos);
		if (n <= 0)
			return false;
	}
	return true;
}

void copy_file(const char *from, const char *to)
{
	static u8 buf[256 << 10];
	static const u8 zero[4096];
	int in = xopen(from, O_RDONLY);
	int out = xopen(to, O_RDWR | O_CREAT | O_TRUNC);
	size_t i, chunk;
	ssize_t n;
	u64 pos = 0;

	while ((n = read(in, buf, sizeof(buf))) > 0) {
		for (i = 0; i < (size_t)n; i += chunk, pos += chunk) {
			chunk = (size_t)n - i < sizeof(zero) ? (size_t)n - i : sizeof(zero);
			if (!memcmp(buf + i, zero, chunk))
				continue;
			if (!pwrite_all(out, buf + i, chunk, pos))
				bail("cannot write %s: %s", to, err_name(errno));
		}
	}
	if (n < 0 || ftruncate(out, pos))
		bail("cannot copy %s to %s: %s", from, to, err_name(errno));
	close(in);
	/* So that its time stamps and space are settled. */
	if (fsync(out) || close(out))
		bail("cannot write %s: %s", to, err_name(errno));
}

void write_swap_header(int fd, u64 size)
{
	u8 *page = xalloc(4096);
	const u32 version = 1, last = size / 4096 - 1;
	u64 pos;

	for (pos = 0; pos < size; pos += 4096)
		pwrite_all(fd, page, 4096, pos);
	memcpy(page + 1024, &version, 4);
	memcpy(page + 1028, &last, 4);
	memcpy(page + 4096 - 10, "SWAPSPACE2", 10);
	if (!pwrite_all(fd, page, 4096, 0) || fsync(fd))
		bail("cannot write a swap file: %s", err_name(errno));
	free(page);
}

bool exists(const char *path)
{
	struct stat st;

	return !lstat(path, &st);
}

bool read_text(const char *path, char *buf, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t have = 0;
	ssize_t n = -1;

	buf[0] = 0;
	if (fd < 0)
		return false;
	while (have + 1 < len && (n = read(fd, buf + have, len - 1 - have)) > 0)
		have += n;
	close(fd);
	buf[have] = 0;
	if (have && buf[have - 1] == '\n')
		buf[have - 1] = 0;
	return n >= 0;
}

bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool done;

	if (fd < 0)
		return false;
	done = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return done;
}

/* Writing there does nothing: to empty it is to open it so. */
bool empty_trace(void)
{
	int fd = open("/sys/kernel/tracing/trace", O_WRONLY | O_TRUNC | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

unsigned int count_open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int count = 0;

	while (dir && readdir(dir))
		count++;
	if (dir)
		closedir(dir);
	return count;
}

bool module_loaded(const char *name)
{
	return exists(path_in("/sys/module", name));
}

int module_refs(const char *name)
{
	char path[128], text[32];
	int holders = -2;	/* "." and ".." */
	DIR *dir;

	snprintf(path, sizeof(path), "/sys/module/%s/refcnt", name);
	if (!read_text(path, text, sizeof(text)))
		return -1;
	snprintf(path, sizeof(path), "/sys/module/%s/holders", name);
	dir = opendir(path);
	if (!dir)
		return -1;
	while (readdir(dir))
		holders++;
	closedir(dir);
	return atoi(text) - holders;
}

int module_unload(const char *name)
{
	return syscall(SYS_delete_module, name, O_NONBLOCK) ? -errno : 0;
}

int unload_all(void)
{
	static const char *const names[] = { "vdisk_vdi", "vdisk_vmdk", "vdisk_raw", "vdisk" };
	int ret, first = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		ret = module_loaded(names[i]) ? module_unload(names[i]) : 0;
		if (ret && !first)
			first = ret;
	}
	return first;
}
