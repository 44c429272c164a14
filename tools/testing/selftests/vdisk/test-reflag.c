// SPDX-License-Identifier: GPL-2.0-only
/*
 * Changing a live device: read-only and back, discard and flush on and off,
 * under running I/O, all or nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blk.h"
#include "tap.h"

#define DISK	(8 * MIB)

static struct nl nl;
static struct nl_reply reply;
static struct vdev dev;
static const char *path;

static int set(u32 flags, u32 mask)
{
	return vdev_set(&nl, dev.id, flags, mask, &reply);
}

/* ------------------------------------------------------------ running I/O */

/**
 * struct load - a thread that keeps the device busy
 * @fd: what it reads or writes, O_DIRECT
 * @done: requests that succeeded
 * @errors: that failed; @last_errno is the latest reason
 * @bad: reads that returned something else than the file's content
 */
struct load {
	pthread_t thread;
	int fd;
	bool write;
	const u8 *want;
	atomic_bool stop;
	atomic_uint done, errors, bad;
	atomic_int last_errno;
};

static void *load_thread(void *arg)
{
	struct load *load = arg;
	u8 *buf = xalloc(16 * KIB);
	struct rng rng;
	ssize_t n;
	u64 pos;

	rng_seed(&rng, load->write + 5);
	while (!load->stop) {
		/* Reads stay in the first half, writes in the second. */
		pos = rng_below(&rng, DISK / 2 / (16 * KIB)) * 16 * KIB;
		if (load->write)
			n = pwrite(load->fd, buf, 16 * KIB, DISK / 2 + pos);
		else
			n = pread(load->fd, buf, 16 * KIB, pos);
		if (n != 16 * KIB) {
			load->last_errno = n < 0 ? errno : ENODATA;
			load->errors++;
			continue;
		}
		if (!load->write && memcmp(buf, load->want + pos, 16 * KIB))
			load->bad++;
		load->done++;
	}
	free(buf);
	return NULL;
}

static void load_start(struct load *load)
{
	pthread_create(&load->thread, NULL, load_thread, load);
}

/* It makes progress: @more requests end well from now on. */
static bool load_goes_on(struct load *load, unsigned int more)
{
	unsigned int goal = load->done + more;

	return wait_until(load->done >= goal, 10000);
}

static void load_stop(struct load *load)
{
	load->stop = true;
	pthread_join(load->thread, NULL);
}

/* ------------------------------------------------------------------- tests */

static void test_read_only_under_load(const u8 *want)
{
	struct load reader = { .want = want }, writer = { .write = true };
	unsigned int errors_before;

	reader.fd = vdev_open(&dev, O_RDONLY | O_DIRECT);
	writer.fd = vdev_open(&dev, O_RDWR | O_DIRECT);
	load_start(&reader);
	load_start(&writer);
	ok(load_goes_on(&reader, 50) && load_goes_on(&writer, 50), "reads and writes run");

	is_err(set(VDISK_F_RDONLY, VDISK_F_RDONLY), -EBUSY, "RW to RO while open for writing");
	ok(reply.text[0], "says why not: %s", reply.text);
	ok(load_goes_on(&writer, 20) && !writer.errors, "writes go on unharmed");
	is_num(vdev_flags(&nl, dev.id) & VDISK_F_RDONLY, 0, "the flag is as before");

	is_err(set(VDISK_F_RDONLY | VDISK_F_FORCE, VDISK_F_RDONLY), 0, "RW to RO by force");
	ok(wait_until(writer.errors > 5, 10000), "writes fail from now on");
	diag("with %s", err_name(writer.last_errno));
	errors_before = reader.errors;
	ok(load_goes_on(&reader, 50) && reader.errors == errors_before, "reads go on");
	is_num(bdev_is_ro(reader.fd), 1, "the ioctl says read-only");
	is_str(vdev_sysfs(&dev, "vdisk/read_only"), "1", "sysfs says read-only");
	ok(vdev_open(&dev, O_RDWR) < 0, "no new open for writing");
	load_stop(&writer);
	close(writer.fd);

	is_err(set(0, VDISK_F_RDONLY), 0, "back to RW under running reads");
	writer = (struct load) { .write = true, .fd = vdev_open(&dev, O_RDWR | O_DIRECT) };
	ok(writer.fd >= 0, "it can be opened for writing");
	load_start(&writer);
	ok(load_goes_on(&writer, 50) && !writer.errors, "writes work again");
	load_stop(&writer);
	close(writer.fd);

	load_stop(&reader);
	is_num(reader.errors, 0, "no read has failed");
	is_num(reader.bad, 0, "no read was wrong");
	close(reader.fd);

	/* The block layer does not tell who of several openers was the writer. */
	reader = (struct load) { .want = want, .fd = vdev_open(&dev, O_RDONLY | O_DIRECT) };
	load_start(&reader);
	ok(load_goes_on(&reader, 20), "reads only");
	is_err(set(VDISK_F_RDONLY, VDISK_F_RDONLY), 0, "RW to RO while only read");
	ok(load_goes_on(&reader, 20), "reads go on");
	load_stop(&reader);
	ok(!reader.errors && !reader.bad, "and are right");
	close(reader.fd);
	is_err(set(0, VDISK_F_RDONLY), 0, "RW for what follows");
}

/* Forced read-only in the middle of writes: nothing is written afterwards. */
static void test_nothing_after(void)
{
	struct load writer = { .write = true };
	u8 *before = xalloc(DISK);
	unsigned int errors;
	int fd;

	writer.fd = vdev_open(&dev, O_RDWR | O_DIRECT);
	load_start(&writer);
	load_goes_on(&writer, 30);
	is_err(set(VDISK_F_RDONLY | VDISK_F_FORCE, VDISK_F_RDONLY), 0, "RO by force again");
	fd = xopen(path, O_RDONLY);
	if (!pread_all(fd, before, DISK, 0))
		bail("cannot read the image: %s", err_name(errno));
	errors = writer.errors;
	ok(wait_until(writer.errors > errors + 20, 10000), "writes are tried in vain");
	ok(same_content(fd, before, DISK, 0), "no byte of the file changes");
	close(fd);
	load_stop(&writer);
	close(writer.fd);
	is_err(set(0, VDISK_F_RDONLY), 0, "RW again");
	free(before);
}

static u64 file_blocks(void)
{
	struct stat st;

	return stat(path, &st) ? 0 : st.st_blocks;
}

static void test_discard(void)
{
	u8 *buf = xalloc(MIB), *zero = xalloc(MIB);
	int fd = vdev_open(&dev, O_RDWR | O_DIRECT);
	u64 before;

	memset(buf, 0xa5, MIB);
	pwrite_all(fd, buf, MIB, MIB);
	fsync(fd);
	is_err(set(VDISK_F_NO_DISCARD, VDISK_F_NO_DISCARD), 0, "discard off");
	is_str(vdev_sysfs(&dev, "vdisk/discard"), "0", "sysfs says so");
	before = file_blocks();
	is_err(bdev_discard(fd, MIB, MIB), 0, "a discard completes");
	is_num(file_blocks(), before, "the file keeps its space");
	ok(same_content(fd, buf, MIB, MIB), "and its content");
	is_err(bdev_zeroout(fd, MIB, 64 * KIB), 0, "zeroing is no discard");
	ok(same_content(fd, zero, 64 * KIB, MIB), "it zeroes all the same");

	is_err(set(0, VDISK_F_NO_DISCARD), 0, "discard on");
	before = file_blocks();
	is_err(bdev_discard(fd, MIB, MIB), 0, "a discard");
	ok(file_blocks() + MIB / 512 / 2 < before, "gives space back: %llu blocks, then %llu",
	   (unsigned long long)before, (unsigned long long)file_blocks());
	close(fd);
	free(buf);
	free(zero);
}

static void test_flush(void)
{
	int fd = vdev_open(&dev, O_RDWR | O_DIRECT);
	u8 *buf = xalloc(4096);

	is_err(set(VDISK_F_NO_FLUSH, VDISK_F_NO_FLUSH), 0, "flush off");
	is_str(vdev_sysfs(&dev, "vdisk/flush"), "0", "sysfs says so");
	ok(pwrite_all(fd, buf, 4096, 0) && !fsync(fd), "fsync completes");
	is_err(set(0, VDISK_F_NO_FLUSH), 0, "flush on");
	ok(pwrite_all(fd, buf, 4096, 0) && !fsync(fd), "fsync completes");
	close(fd);
	free(buf);
}

static void test_all_or_nothing(void)
{
	u32 before = vdev_flags(&nl, dev.id);

	ok(set(~0U & ~VDISK_F_FORCE, VDISK_F_NO_FLUSH | VDISK_F_HARD_RDONLY) < 0,
	   "a SET with one flag that cannot be set: %s", reply.text);
	is_num(vdev_flags(&nl, dev.id), before, "changes nothing");
	is_err(set(VDISK_F_ISOLATE | VDISK_F_NO_FLUSH, VDISK_F_ISOLATE | VDISK_F_NO_FLUSH), 0,
	       "two flags at once");
	is_num(vdev_flags(&nl, dev.id), before | VDISK_F_ISOLATE | VDISK_F_NO_FLUSH,
	       "both are set, no other");
	is_str(vdev_sysfs(&dev, "vdisk/isolate"), "1", "sysfs has one of them");
	is_err(set(0, VDISK_F_ISOLATE | VDISK_F_NO_FLUSH), 0, "and back");
}

/* Flags change hundreds of times under I/O; nothing fails, nothing hangs. */
static void test_toggle_storm(const u8 *want)
{
	static const u32 masks[] = { VDISK_F_NO_FLUSH, VDISK_F_NO_DISCARD, VDISK_F_ISOLATE,
				     VDISK_F_RDONLY };
	struct load reader = { .want = want };
	unsigned int i, failed = 0;

	reader.fd = vdev_open(&dev, O_RDONLY | O_DIRECT);
	load_start(&reader);
	for (i = 0; i < 200; i++) {
		u32 mask = masks[i % ARRAY_SIZE(masks)];

		failed += set(i / ARRAY_SIZE(masks) % 2 ? 0 : mask, mask) != 0;
	}
	is_num(failed, 0, "200 changes under running reads");
	load_goes_on(&reader, 10);
	load_stop(&reader);
	ok(!reader.errors && !reader.bad, "no read failed or was wrong in %u", reader.done);
	close(reader.fd);
	set(0, VDISK_F_SETTABLE);
}

static void test_hard_read_only(void)
{
	int fd = xopen(path, O_RDONLY), zero = 0, dfd;

	is_err(attach_raw(&nl, fd, DISK, VDISK_F_RDONLY | VDISK_F_HARD_RDONLY, &dev, &reply), 0,
	       "attach read-only for good");
	close(fd);
	ok(set(0, VDISK_F_RDONLY) < 0 && reply.text[0], "cannot be lifted: %s", reply.text);
	ok(set(VDISK_F_FORCE, VDISK_F_RDONLY) < 0, "not by force");
	is_err(set(VDISK_F_RDONLY, VDISK_F_RDONLY), 0, "what is read-only can be made so");
	dfd = vdev_open(&dev, O_RDONLY);
	ok(ioctl(dfd, BLKROSET, &zero) != 0, "nor by blockdev --setrw");
	is_num(bdev_is_ro(dfd), 1, "still read-only");
	close(dfd);
	ok(vdev_open(&dev, O_RDWR) < 0, "no open for writing");
	vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply);
}

static void test_vdctl(void)
{
	static const struct { const char *arg, *attr, *value; } steps[] = {
		{ "--ro", "vdisk/read_only", "1" },
		{ "--rw", "vdisk/read_only", "0" },
		{ "--discard=ignore", "vdisk/discard", "0" },
		{ "--discard=unmap", "vdisk/discard", "1" },
		{ "--flush=off", "vdisk/flush", "0" },
		{ "--autoclear=on", "vdisk/autoclear", "1" },
		{ "--autoclear=off", "vdisk/autoclear", "0" },
	};
	struct run r;
	size_t i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(steps); i++) {
		run(&r, "vdctl", "set", dev.path, steps[i].arg, NULL);
		if (!ok(!r.status && !strcmp(vdev_sysfs(&dev, steps[i].attr), steps[i].value),
			"vdctl set %s", steps[i].arg))
			diag("status %d: %s", r.status, r.err);
	}
	fd = vdev_open(&dev, O_RDWR);
	run(&r, "vdctl", "set", dev.path, "--ro", NULL);
	is_num(r.status, 4, "vdctl set --ro while open for writing: busy");
	ok(r.err[0], "and a reason: %s", r.err);
	close(fd);
}

int main(void)
{
	const char *dir = place_ext4() ? place_ext4() : scratch_dir();
	u8 *want = xalloc(DISK);
	int fd, ret;

	ret = nl_open(&nl);
	if (ret)
		bail("no vdisk family: %s", err_name(ret));
	path = strdup(path_in(dir, "reflag"));
	fd = make_random_file(path, DISK, 3);
	if (!pread_all(fd, want, DISK, 0))
		bail("cannot read the image");
	if (!is_err(attach_raw(&nl, fd, DISK, 0, &dev, &reply), 0, "attach"))
		bail("%s", reply.text);
	close(fd);

	test_read_only_under_load(want);
	test_nothing_after();
	test_toggle_storm(want);
	test_all_or_nothing();
	test_discard();
	test_flush();
	test_vdctl();
	is_err(vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply), 0, "detach");
	test_hard_read_only();
	is_num(vdev_count(&nl), 0, "nothing is left attached");
	unlink(path);
	free(want);
	nl_close(&nl);
	return tap_done();
}
