// SPDX-License-Identifier: GPL-2.0-only
/* Descriptors of every kind that a process can have. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/memfd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "../fuse.h"
#include "../tap.h"
#include "pool.h"

#define POOL_MAX	192

static int pool[POOL_MAX];
static unsigned int nr_pool;
static int device_slot = -1, null_fd, closed_fd;
static struct fuse_server server;
static char marked[2][160];	/* files with attributes that keep them from being removed */

void pool_add(const char *what, int fd)
{
	if (nr_pool == POOL_MAX)
		bail("too many descriptors");
	if (fd < 0)
		diag("no descriptor of the kind \"%s\" here: %s", what, err_name(errno));
	else
		pool[nr_pool++] = fd;
}

const char *pool_fuse(void)
{
	if (!fuse_start(&server, "/tmp/vdt-nlfuzz-fuse", 256 * KIB, 5))
		bail("no FUSE server");
	return server.path;
}

int files_any_fd(struct rng *rng)
{
	const int numbers[] = { -1, -2, INT_MIN, INT_MAX, 1 << 20, 65535, 4096, closed_fd };

	if (!rng_below(rng, 6))
		return numbers[rng_below(rng, ARRAY_SIZE(numbers))];
	return pool[rng_below(rng, nr_pool)];
}

void files_set_device(int fd)
{
	if (dup3(fd, device_slot, O_CLOEXEC) < 0)
		bail("dup3: %s", err_name(errno));
}

void files_drop_device(void)
{
	files_set_device(null_fd);
}

/* ----------------------------------------------------------------- by path */

static void add_path(const char *path, int flags)
{
	pool_add(path, open(path, flags | O_CLOEXEC | O_NONBLOCK));
}

static void add_both(const char *path)
{
	add_path(path, O_RDONLY);
	add_path(path, O_RDWR);
}

static void add_sized(const char *dir, const char *name, u64 size)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	close(make_file(path, size));
	add_both(path);
	unlink(path);
}

static void add_marked(const char *dir, unsigned int i, int mark)
{
	int fd, flags = mark;

	snprintf(marked[i], sizeof(marked[i]), "%s/marked%u", dir, i);
	fd = make_file(marked[i], 256 * KIB);
	if (ioctl(fd, FS_IOC_SETFLAGS, &flags))
		diag("cannot mark %s: %s", marked[i], err_name(errno));
	pool_add("marked, open before", fd);
	add_path(marked[i], O_RDONLY);
}

static void add_modes(const char *dir)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/modes", dir);
	close(make_random_file(path, 256 * KIB, 9));
	add_both(path);
	add_path(path, O_WRONLY);
	add_path(path, O_RDWR | O_APPEND);
	add_path(path, O_PATH);
	add_path(path, O_RDONLY | O_DIRECT);
	add_path(path, O_RDWR | O_DIRECT | O_SYNC);
	add_path(path, O_RDONLY | O_NOATIME);
	unlink(path);
	add_path(dir, O_RDONLY | O_DIRECTORY);
	add_path(dir, O_PATH);
	pool_add("O_TMPFILE", open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
}

static void add_special_files(const char *dir)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/fifo", dir);
	if (mkfifo(path, 0600))
		bail("mkfifo: %s", err_name(errno));
	add_both(path);
	unlink(path);
	add_both(place_bdev());
	add_path(place_bdev(), O_RDONLY | O_DIRECT);
	add_path("/dev/ram0", O_RDONLY);	/* mounted */
	add_both("/dev/null");
	add_both("/dev/zero");
	add_both("/dev/full");
	add_path("/dev/urandom", O_RDONLY);
	add_path("/proc/version", O_RDONLY);
	add_path("/proc/kcore", O_RDONLY);
	add_path("/proc/self/maps", O_RDONLY);
	add_path("/proc/self/ns/net", O_RDONLY);
	add_both("/proc/self/mem");
	add_path("/proc/sys/kernel/hostname", O_RDONLY);
	add_path("/sys/block/ram2/size", O_RDONLY);
	add_both("/sys/block/ram2/queue/read_ahead_kb");
	add_path("/sys/kernel/btf/vmlinux", O_RDONLY);
	add_path("/sys/fs/cgroup", O_RDONLY);
	add_both(server.path);
}

/* ------------------------------------------------------------- without one */

static int sealed(unsigned int flags, int seals, u64 size)
{
	int fd = memfd_create("nlfuzz", flags | MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0 && (ftruncate(fd, size) || fcntl(fd, F_ADD_SEALS, seals)))
		diag("memfd: %s", err_name(errno));
	return fd;
}

static void add_memfds(void)
{
	int fd = sealed(0, F_SEAL_SEAL, 256 * KIB);
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	pool_add("memfd", fd);
	pool_add("memfd for reading", open(path, O_RDONLY | O_CLOEXEC));
	pool_add("memfd, sealed", sealed(0, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK, 256 * KIB));
	pool_add("memfd, sealed later", sealed(0, F_SEAL_FUTURE_WRITE, 256 * KIB));
	pool_add("memfd of huge pages", sealed(MFD_HUGETLB, F_SEAL_SHRINK, 2 * MIB));
	pool_add("secret memory", syscall(SYS_memfd_secret, O_CLOEXEC));
}

static void add_anonymous(void)
{
	int pair[2];
	sigset_t none;

	sigemptyset(&none);
	if (pipe2(pair, O_CLOEXEC | O_NONBLOCK))
		bail("pipe: %s", err_name(errno));
	pool_add("pipe", pair[0]);
	pool_add("pipe", pair[1]);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		bail("socketpair: %s", err_name(errno));
	pool_add("socket", pair[0]);
	pool_add("socket", pair[1]);
	pool_add("netlink", socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC));
	pool_add("UDP", socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	pool_add("eventfd", eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK));
	pool_add("epoll", epoll_create1(EPOLL_CLOEXEC));
	pool_add("timerfd", timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
	pool_add("signalfd", signalfd(-1, &none, SFD_CLOEXEC | SFD_NONBLOCK));
	pool_add("inotify", inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
	pool_add("pidfd", syscall(SYS_pidfd_open, getpid(), 0));
	add_memfds();
}

/* -------------------------------------------------------------------- all */

void pool_make(void)
{
	const char *dir = scratch_dir(), *ext4 = place_ext4();

	add_modes(dir);
	add_modes(ext4);
	add_sized(dir, "empty", 0);
	add_sized(dir, "byte", 1);
	add_sized(dir, "odd", 256 * KIB - 1);
	add_sized(dir, "sector", 512);
	add_sized(dir, "huge", 1ULL << 62);
	add_sized(ext4, "large", 1ULL << 40);
	add_marked(ext4, 0, FS_IMMUTABLE_FL);
	add_marked(ext4, 1, FS_APPEND_FL);
	add_special_files(dir);
	add_anonymous();
	null_fd = xopen("/dev/null", O_RDWR);
	device_slot = xopen("/dev/null", O_RDWR);
	pool_add("a device of ours", device_slot);
	closed_fd = xopen("/dev/null", O_RDWR);
	close(closed_fd);
}

void pool_end(void)
{
	int fd, flags = 0;
	unsigned int i;

	while (nr_pool)
		close(pool[--nr_pool]);
	close(null_fd);
	for (i = 0; i < ARRAY_SIZE(marked); i++) {
		fd = open(marked[i], O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && ioctl(fd, FS_IOC_SETFLAGS, &flags))
			diag("cannot unmark %s: %s", marked[i], err_name(errno));
		close(fd);
		unlink(marked[i]);
	}
	fuse_end(&server);
}
