// SPDX-License-Identifier: GPL-2.0-only
/*
 * vdctl is killed: after a random time, before each of its system calls, and inside
 * of those that talk to the kernel. Then there is no device, or a complete one that
 * can be detached; the image is as it was and free; and the next attach works.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "blk.h"
#include "tap.h"

#define DISK		(4 * MIB)
#define PARTITIONS	3U
#define KILLS_FULL	300U
#define KILLS_SMOKE	14U
#define INSIDE_MORE	20U		/* tries until one is in time */
#define INSIDE_FULL	120U
#define INSIDE_SMOKE	6U
#define STEPS_SMOKE	4U	/* of the system calls of a verb */
#define QEMU_EVERY	25U

extern char **environ;

struct file {
	char path[96];
	u8 *bytes;		/* of the pristine file */
	u64 size;
};

static struct file vmdk, raw;
static struct nl nl;
static struct nl_reply reply;
static struct rng rng;
static u8 *content;
static unsigned int checks, complete, none;
static int refs;	/* to the module, with nothing attached */

/**
 * struct job - what vdctl is asked to do
 * @file: of the device, if there is one afterwards
 * @there: vdisk0 is attached before
 * @changes: the image, and may be stopped in the middle of that
 * @us: how long it takes
 */
static struct job {
	const char *name;
	const char *argv[6];
	struct file *file;
	bool there;
	bool changes;
	u64 us;
} jobs[] = {
	{ .name = "attach", .argv = { "vdctl", "attach", vmdk.path }, .file = &vmdk },
	{ .name = "attach --read-only", .argv = { "vdctl", "attach", "-r", vmdk.path },
	  .file = &vmdk },
	{ .name = "attach of a raw image", .argv = { "vdctl", "attach", "-f", "raw", raw.path },
	  .file = &raw },
	{ .name = "detach", .argv = { "vdctl", "detach", "/dev/vdisk0" }, .file = &raw,
	  .there = true },
	{ .name = "set --ro", .argv = { "vdctl", "set", "/dev/vdisk0", "--ro" }, .file = &raw,
	  .there = true },
	{ .name = "list", .argv = { "vdctl", "list" }, .file = &raw, .there = true },
	{ .name = "set --comment", .argv = { "vdctl", "set", vmdk.path, "--comment", "killed" },
	  .file = &vmdk, .changes = true },
};

enum { JOB_ATTACH = 0, JOB_ATTACH_RAW = 2, JOB_DETACH = 3 };

/* ------------------------------------------------------------------- images */

static void put_table(u8 *disk)
{
	static const u32 start[PARTITIONS] = { 2048, 3072, 4096 };
	static const u32 len[PARTITIONS] = { 1024, 1024, 2048 };
	unsigned int i;
	u8 *entry;

	memset(disk, 0, SECTOR);
	for (i = 0; i < PARTITIONS; i++) {
		entry = disk + 446 + 16 * i;
		entry[4] = 0x83;
		memcpy(entry + 8, &start[i], 4);
		memcpy(entry + 12, &len[i], 4);
	}
	disk[510] = 0x55;
	disk[511] = 0xaa;
}

static void remember(struct file *f)
{
	int fd = xopen(f->path, O_RDONLY);
	struct stat st;

	if (fstat(fd, &st))
		bail("%s: %s", f->path, err_name(errno));
	f->size = st.st_size;
	f->bytes = xalloc(f->size);
	if (!pread_all(fd, f->bytes, f->size, 0))
		bail("%s: %s", f->path, err_name(errno));
	close(fd);
}

static void restore(const struct file *f)
{
	int fd = xopen(f->path, O_RDWR | O_CREAT | O_TRUNC);

	if (!pwrite_all(fd, f->bytes, f->size, 0))
		bail("%s: %s", f->path, err_name(errno));
	close(fd);
}

static void make_images(void)
{
	struct run r;
	int fd;

	snprintf(raw.path, sizeof(raw.path), "%s/kill.raw", scratch_dir());
	snprintf(vmdk.path, sizeof(vmdk.path), "%s/kill.vmdk", scratch_dir());
	content = xalloc(DISK);
	rng_fill(&rng, content, DISK / 4);
	put_table(content);
	fd = make_file(raw.path, DISK);
	if (!pwrite_all(fd, content, DISK, 0))
		bail("cannot write %s", raw.path);
	close(fd);
	if (run(&r, "qemu-img", "convert", "-f", "raw", "-O", "vmdk", raw.path, vmdk.path, NULL))
		bail("qemu-img convert: %s", r.err);
	remember(&raw);
	remember(&vmdk);
}

/* ------------------------------------------------- what is there afterwards */

static bool is_running(const char *pid)
{
	char path[300], text[512];
	const char *state;

	snprintf(path, sizeof(path), "/proc/%s/stat", pid);
	if (!read_text(path, text, sizeof(text)) || !strstr(text, "(vdctl)"))
		return false;
	state = strrchr(text, ')') + 2;
	return *state != 'Z' && *state != 'X';
}

/* Its child that reads what is hostile does not outlive it for long. */
static bool nobody_runs(void)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	bool nobody = true;

	while (dir && nobody && (entry = readdir(dir)))
		nobody = !isdigit((unsigned char)entry->d_name[0]) || !is_running(entry->d_name);
	if (dir)
		closedir(dir);
	return nobody;
}

static u32 device_state(void)
{
	u32 state = VDISK_STATE_NEW;

	if (!vdev_get(&nl, 0, &reply))
		nl_get_u32(&reply, VDISK_A_STATE, &state);
	return state;
}

/* Its detach goes on without it, and its attach, up to the answer that nobody takes. */
static bool nothing_is_under_way(void)
{
	return device_state() != VDISK_STATE_DYING &&
	       module_refs("vdisk") == refs + vdev_count(&nl);
}

static bool wrong(const char *name, const char *fmt, ...) TAP_PRINTF(2, 3);
static bool wrong(const char *name, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	diag("%s: %s", name, text);
	return false;
}

static bool is_complete(const struct vdev *dev, const char *name)
{
	unsigned int i;
	bool good;
	int fd;

	for (i = 1; i <= PARTITIONS; i++)
		if (!vdev_has_partition(dev, i))
			return wrong(name, "partition %u is missing", i);
	fd = vdev_open(dev, O_RDONLY | O_DIRECT);
	if (fd < 0)
		return wrong(name, "cannot be opened: %s", err_name(fd));
	good = same_content(fd, content, DISK, 0);
	close(fd);
	return good;
}

static bool is_free(const struct file *f, const char *name)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = open(f->path, O_RDWR | O_CLOEXEC);
	bool good = fd >= 0 && !fcntl(fd, F_OFD_SETLK, &lock) && !flock(fd, LOCK_EX | LOCK_NB);

	if (!good)
		wrong(name, "%s is not free: %s", f->path, err_name(errno));
	close(fd);
	return good;
}

static bool is_pristine(const struct file *f, const char *name)
{
	int fd = xopen(f->path, O_RDONLY);
	struct stat st;
	bool good = !fstat(fd, &st) && (u64)st.st_size == f->size &&
		    same_content(fd, f->bytes, f->size, 0);

	close(fd);
	return good || wrong(name, "%s has changed", f->path);
}

static bool detach(const struct vdev *dev, const char *name)
{
	int ret = vdev_detach(&nl, dev->id, VDISK_DETACH_PLAIN, &reply);

	return !ret || wrong(name, "cannot be detached: %s \"%s\"", err_name(ret), reply.text);
}

static int attach(const struct file *f, struct vdev *dev)
{
	int fd = xopen(f->path, O_RDWR), ret;
	struct nl_req req;

	if (f == &raw) {
		ret = attach_raw(&nl, fd, DISK, 0, dev, &reply);
	} else {
		nl_begin(&req, VDISK_CMD_ATTACH);
		attach_flags(&req, 0);
		attach_member(&req, fd, VDISK_MEMBER_RW);
		attach_image(&req, VDISK_FORMAT_VMDK, DISK);
		attach_segment(&req, VDISK_SEG_VMDK_SPARSE, 0, 0, DISK, 0);
		ret = attach_send(&nl, &req, dev, &reply);
	}
	close(fd);
	return ret;
}

static bool attaches_again(const struct job *job, const char *name)
{
	struct vdev dev;
	int ret = attach(job->file, &dev);

	if (ret)
		return wrong(name, "next attach: %s \"%s\"", err_name(ret), reply.text);
	return is_complete(&dev, name) && detach(&dev, name);
}

static bool qemu_agrees(const char *name)
{
	struct run r;

	return !run(&r, "qemu-img", "check", "-q", vmdk.path, NULL) ||
	       wrong(name, "qemu-img check: %s%s", r.out, r.err);
}

static bool check_after(const struct job *job, const char *name)
{
	struct vdev dev = { .path = "/dev/vdisk0" };
	int nr;

	if (!wait_until(nobody_runs(), 10000))
		return wrong(name, "something of it still runs");
	if (!wait_until(nothing_is_under_way(), 10000))
		return wrong(name, "something is under way for ever");
	nr = vdev_count(&nl);
	if (nr > 1 || nr < 0)
		return wrong(name, "%d devices", nr);
	complete += nr;
	none += !nr;
	if (nr && (!is_complete(&dev, name) || !detach(&dev, name)))
		return false;
	if (!is_free(job->file, name) || (!job->changes && !is_pristine(job->file, name)))
		return false;
	if (++checks % QEMU_EVERY == 0 && !qemu_agrees(name))
		return false;
	return attaches_again(job, name);
}

/* Put right what is left, so that the next check means something. */
static bool checked(const struct job *job, const char *name)
{
	bool good = check_after(job, name);

	if (!good)
		vdev_detach_all(&nl);
	if (!good || job->changes)
		restore(job->file);
	return good;
}

static void prepare(const struct job *job)
{
	struct vdev dev;
	int ret;

	if (!job->there)
		return;
	ret = attach(job->file, &dev);
	if (ret || dev.id)
		bail("attach: %s \"%s\", vdisk%u", err_name(ret), reply.text, dev.id);
}

/* ------------------------------------------------------------ random moments */

static u64 now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000ULL + ts.tv_nsec / 1000;
}

/* The moment is what is tested, not something that is waited for. */
static void let_pass(u64 us)
{
	const struct timespec ts = { .tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000 };

	nanosleep(&ts, NULL);
}

static pid_t start(const struct job *job)
{
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int ret, fd;

	posix_spawn_file_actions_init(&actions);
	for (fd = 0; fd < 3; fd++)
		posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
	ret = posix_spawnp(&pid, job->argv[0], &actions, NULL, (char *const *)job->argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (ret)
		bail("cannot start %s: %s", job->argv[0], err_name(ret));
	return pid;
}

static int wait_for(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

static bool calibrate(void)
{
	unsigned int good = 0;
	struct job *job;
	int status;
	u64 begun;

	for (job = jobs; job < jobs + ARRAY_SIZE(jobs); job++) {
		prepare(job);
		begun = now_us();
		status = wait_for(start(job));
		job->us = now_us() - begun;
		diag("%s: %llu us", job->name, (unsigned long long)job->us);
		good += !status && checked(job, job->name);
	}
	return good == ARRAY_SIZE(jobs);
}

/* True if it was killed: it may have been through before. */
static bool kill_once(struct job *job, bool *good)
{
	u64 us = rng_below(&rng, job->us + job->us / 8);
	char name[96];
	pid_t pid;
	int status;

	prepare(job);
	pid = start(job);
	let_pass(us);
	kill(pid, SIGKILL);
	status = wait_for(pid);
	snprintf(name, sizeof(name), "%s, killed after %llu us", job->name,
		 (unsigned long long)us);
	*good = checked(job, name);
	return WIFSIGNALED(status);
}

static void test_random(unsigned int wanted)
{
	unsigned int killed = 0, bad = 0, i;
	bool good;

	complete = none = 0;
	for (i = 0; killed < wanted && i < 4 * wanted; i++) {
		killed += kill_once(&jobs[i % ARRAY_SIZE(jobs)], &good);
		bad += !good;
	}
	is_num(killed, wanted, "killed %u times at random", wanted);
	is_num(bad, 0, "no device or a complete one, the image free and unharmed, each time");
	diag("%u times a device, %u times none", complete, none);
}

/* ---------------------------------------------------- before a system call */

static pid_t start_traced(const struct job *job)
{
	pid_t pid = fork();
	int fd;

	if (pid < 0)
		bail("fork: %s", err_name(errno));
	if (pid) {
		wait_for(pid);	/* stopped by its exec */
		ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
		return pid;
	}
	fd = open("/dev/null", O_RDWR);
	dup2(fd, 0);
	dup2(fd, 1);
	dup2(fd, 2);
	ptrace(PTRACE_TRACEME, 0, 0, 0);
	execvp(job->argv[0], (char *const *)job->argv);
	_exit(127);
}

/* On to the next entry of a system call; its number, or -1 when the process has ended. */
static long next_call(pid_t pid, bool *inside)
{
	struct user_regs_struct regs;
	long sig = 0;
	int status;

	for (;;) {
		if (ptrace(PTRACE_SYSCALL, pid, 0, sig))
			return -1;
		status = wait_for(pid);
		if (!WIFSTOPPED(status))
			return -1;
		sig = WSTOPSIG(status);
		if (sig != (SIGTRAP | 0x80)) {
			sig = sig == SIGTRAP ? 0 : sig;
			continue;
		}
		sig = 0;
		*inside = !*inside;
		if (*inside && !ptrace(PTRACE_GETREGS, pid, 0, &regs))
			return (long)regs.orig_rax;
	}
}

/* How many system calls there are; or kill it before the @nth of them. */
static unsigned int trace(const struct job *job, unsigned int nth, bool *killed)
{
	pid_t pid = start_traced(job);
	unsigned int count = 0;
	bool inside = false;

	*killed = false;
	while (next_call(pid, &inside) >= 0) {
		if (++count != nth)
			continue;
		kill(pid, SIGKILL);
		*killed = WIFSIGNALED(wait_for(pid));
		break;
	}
	return count;
}

static void test_each_call(struct job *job)
{
	unsigned int calls, n, step = 1, bad = 0, kills = 0;
	char name[96];
	bool killed;

	prepare(job);
	calls = trace(job, 0, &killed);
	bad += !checked(job, job->name);
	if (!full_run())
		step = calls / scaled(STEPS_SMOKE) + 1;
	for (n = 1 + rng_below(&rng, step); n <= calls + 1; n += step) {
		prepare(job);
		trace(job, n, &killed);
		kills += killed;
		snprintf(name, sizeof(name), "%s, killed before call %u", job->name, n);
		bad += !checked(job, name);
	}
	ok(kills > 0, "%s: killed before %u of its %u system calls", job->name, kills, calls);
	is_num(bad, 0, "%s: no device or a complete one, the image free and unharmed", job->name);
}

/* ------------------------------------------------------ inside of a request */

static bool is_request(long call)
{
	return call == SYS_sendto || call == SYS_sendmsg;
}

/* Some are answered while they are sent, others are waited for. */
static bool is_waiting(long call)
{
	return call == SYS_recvmsg || call == SYS_recvfrom || call == SYS_poll;
}

/* How many requests there are, and how long the last one takes: the verb's own. */
static unsigned int count_requests(const struct job *job, u64 *us)
{
	pid_t pid = start_traced(job);
	unsigned int count = 0;
	bool inside = false;
	u64 begun = 0;
	long call;

	while ((call = next_call(pid, &inside)) >= 0) {
		if (begun)
			*us = now_us() - begun;
		if (is_request(call))
			begun = now_us();
		else if (!is_waiting(call))
			begun = 0;
		count += is_request(call);
	}
	return count;
}

/* Kill it @us after request number @nth has begun. */
static bool kill_inside(const struct job *job, unsigned int nth, u64 us)
{
	pid_t pid = start_traced(job);
	unsigned int count = 0;
	bool inside = false;
	long call;

	while (count < nth && (call = next_call(pid, &inside)) >= 0)
		count += is_request(call);
	if (count < nth)
		return false;
	ptrace(PTRACE_CONT, pid, 0, 0);
	let_pass(us);
	kill(pid, SIGKILL);
	return WIFSIGNALED(wait_for(pid));
}

static void test_inside(struct job *job, unsigned int wanted)
{
	unsigned int i, requests, kills = 0, bad = 0;
	char name[96];
	u64 us = 0, most = 0;

	prepare(job);
	requests = count_requests(job, &most);
	bad += !checked(job, job->name);
	complete = none = 0;
	most += most / 8;
	/* Without us it is faster than it was while we looked on. */
	for (i = 0; i < wanted || (!kills && i < wanted + INSIDE_MORE); i++) {
		prepare(job);
		us = rng_below(&rng, most + 1);
		if (kill_inside(job, requests, us))
			kills++;
		else if (!kills)
			most = us;
		snprintf(name, sizeof(name), "%s, killed %llu us into its request", job->name,
			 (unsigned long long)us);
		bad += !checked(job, name);
	}
	ok(kills > 0, "%s: killed %u times in its last request of %u", job->name, kills, requests);
	is_num(bad, 0, "%s: no device or a complete one, the image free and unharmed", job->name);
	diag("it takes %llu us; %u times a device, %u times none", (unsigned long long)most,
	     complete, none);
}

int main(void)
{
	unsigned int kills = scaled(full_run() ? KILLS_FULL : KILLS_SMOKE);
	unsigned int inside = scaled(full_run() ? INSIDE_FULL : INSIDE_SMOKE);
	u64 seed = getenv("VDT_SEED") ? strtoull(getenv("VDT_SEED"), NULL, 0) : now_us();
	int ret = nl_open(&nl);

	if (ret)
		bail("no vdisk family: %s", err_name(ret));
	diag("seed %llu", (unsigned long long)seed);
	rng_seed(&rng, seed);
	make_images();
	refs = module_refs("vdisk");
	ok(calibrate(), "each verb works when it is not killed");
	test_random(kills);
	test_each_call(&jobs[JOB_ATTACH]);
	test_each_call(&jobs[JOB_DETACH]);
	test_inside(&jobs[JOB_ATTACH], inside / 2);
	test_inside(&jobs[JOB_ATTACH_RAW], inside / 2);
	test_inside(&jobs[JOB_DETACH], inside);
	ok(qemu_agrees("at the end"), "qemu-img check has nothing to say");
	is_num(vdev_count(&nl), 0, "nothing is left attached");
	ok(wait_until(module_refs("vdisk") == refs, 10000), "nor does anything hold the module");
	nl_close(&nl);
	return tap_done();
}
