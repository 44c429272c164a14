// SPDX-License-Identifier: GPL-2.0-only
/*
 * Detach: refused while busy and saying who, lazily, at the last close, and by
 * force even when the file system below hangs; and what others find afterwards.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <unistd.h>

#include "blk.h"
#include "fuse.h"
#include "images.h"
#include "tap.h"

#define DISK	(8 * MIB)

/* What a forced detach may take, and a little for a slow machine. */
#define FORCE_MS	(2000 + 500)

#define LOCK_ROUNDS	50
#define PROGRAM_ROUNDS	50

static struct nl nl;
static struct nl_reply reply;

static void attach(const char *path, u32 flags, struct vdev *dev)
{
	int fd = xopen(path, flags & VDISK_F_HARD_RDONLY ? O_RDONLY : O_RDWR);
	int ret = attach_raw(&nl, fd, DISK, flags, dev, &reply);

	close(fd);
	if (ret)
		bail("attach of %s: %s \"%s\"", path, err_name(ret), reply.text);
}

static int detach(const struct vdev *dev, u32 mode)
{
	return vdev_detach(&nl, dev->id, mode, &reply);
}

/* -------------------------------------------------------------------- busy */

static void test_busy(const char *path)
{
	struct vdev dev;
	char pid[32];
	struct run r;
	int fd;

	attach(path, 0, &dev);
	fd = vdev_open(&dev, O_RDONLY);
	is_err(detach(&dev, VDISK_DETACH_PLAIN), -EBUSY, "detach of an open device");
	ok(strstr(reply.text, "opener"), "speaks of openers: %s", reply.text);
	is_err(module_unload("vdisk") ? -EBUSY : 0, -EBUSY, "the module cannot be unloaded");

	run(&r, "vdctl", "detach", dev.path, NULL);
	is_num(r.status, 4, "vdctl detach: busy");
	snprintf(pid, sizeof(pid), "%d", getpid());
	if (!ok(strstr(r.err, pid) && strstr(r.err, "test-detach"), "names the process"))
		diag("stderr: %s", r.err);
	close(fd);
	is_err(detach(&dev, VDISK_DETACH_PLAIN), 0, "detach once it is closed");
	ok(vdev_open(&dev, O_RDONLY) < 0, "the node is gone");
	ok(detach(&dev, VDISK_DETACH_PLAIN) < 0 && reply.text[0], "a second detach: %s",
	   reply.text);
}

static void test_mounted(void)
{
	const char *dir = path_in(scratch_dir(), "mnt");
	const struct img_part *part = &images_load()->parts[0];
	const struct img_disk *disk = images_disk(part->disk);
	char node[64];
	struct vdev dev;
	struct run r;
	int fd;

	fd = xopen(images_path("parts.raw"), O_RDONLY);
	if (!is_err(attach_raw(&nl, fd, disk->size, VDISK_F_RDONLY | VDISK_F_HARD_RDONLY, &dev,
			       &reply), 0, "attach a partitioned image"))
		diag("%s", reply.text);
	close(fd);
	mkdir(dir, 0700);
	snprintf(node, sizeof(node), "%sp%u", dev.path, part->nr);
	if (mount(node, dir, part->fs, MS_RDONLY, NULL)) {
		ok(false, "mount %s: %s", node, err_name(errno));
	} else {
		is_err(detach(&dev, VDISK_DETACH_PLAIN), -EBUSY, "detach of a mounted device");
		run(&r, "vdctl", "detach", dev.path, NULL);
		if (!ok(r.status == 4 && strstr(r.err, dir), "vdctl names the mount point"))
			diag("status %d, stderr: %s", r.status, r.err);
		umount(dir);
	}
	is_err(detach(&dev, VDISK_DETACH_PLAIN), 0, "detach once it is unmounted");
	rmdir(dir);
}

static void test_swap(const char *path)
{
	struct vdev dev;
	struct run r;
	int fd = xopen(path, O_RDWR);

	write_swap_header(fd, DISK);
	close(fd);
	attach(path, 0, &dev);
	if (!ok(!swapon(dev.path, 0), "swap on the device"))
		diag("%s", err_name(errno));
	run(&r, "vdctl", "detach", dev.path, NULL);
	if (!ok(r.status == 4 && strstr(r.err, "swap"), "vdctl speaks of swap"))
		diag("status %d, stderr: %s", r.status, r.err);
	swapoff(dev.path);
	is_err(detach(&dev, VDISK_DETACH_PLAIN), 0, "detach after swapoff");
}

/* --------------------------------------------------------- lazy, autoclear */

static void test_lazy(const char *path)
{
	struct vdev dev;
	u8 buf[4096];
	int fd;

	attach(path, 0, &dev);
	is_err(detach(&dev, VDISK_DETACH_LAZY), 0, "lazy detach of an idle device");
	ok(vdev_gone(&nl, dev.id), "is a detach");

	attach(path, 0, &dev);
	fd = vdev_open(&dev, O_RDONLY);
	is_err(detach(&dev, VDISK_DETACH_LAZY), 0, "lazy detach of an open device");
	ok(!vdev_gone(&nl, dev.id), "leaves it");
	ok(pread_all(fd, buf, sizeof(buf), 0), "and it can be read");
	close(fd);
	ok(wait_until(vdev_gone(&nl, dev.id), 10000), "it goes at the last close");
}

static void test_autoclear(const char *path)
{
	struct vdev dev;
	int fd, second;

	/* udev and its like have a look at every new disk; that is not its use. */
	attach(path, VDISK_F_AUTOCLEAR, &dev);
	ok(!vdev_gone(&nl, dev.id), "autoclear: it stays until it is used");
	close(vdev_open(&dev, O_RDONLY));
	fd = vdev_open(&dev, O_RDONLY | O_EXCL);
	ok(fd >= 0, "autoclear: it outlives a look at it");
	second = vdev_open(&dev, O_RDONLY);
	close(fd);
	ok(!vdev_gone(&nl, dev.id), "autoclear: it stays while one has it open");
	close(second);
	ok(wait_until(vdev_gone(&nl, dev.id), 10000), "autoclear: it goes at the last close");
}

/* -------------------------------------------------------------------- force */

static void test_force_idle(const char *path)
{
	struct vdev dev, again;
	u8 buf[4096];
	int fd;

	attach(path, 0, &dev);
	fd = vdev_open(&dev, O_RDWR);
	is_err(detach(&dev, VDISK_DETACH_FORCE), 0, "forced detach of an open device");
	ok(wait_until(vdev_gone(&nl, dev.id), 5000), "it is gone");
	ok(pread(fd, buf, sizeof(buf), MIB) <= 0, "who has it open cannot read");
	ok(pwrite(fd, buf, sizeof(buf), MIB) <= 0 || fsync(fd), "nor write");
	attach(path, 0, &again);
	ok(again.diskseq != dev.diskseq, "the file can be attached anew meanwhile");
	close(fd);
	is_err(detach(&again, VDISK_DETACH_PLAIN), 0, "and that is detached");
}

/* The last close of what a lazy detach left, after force has taken it away. */
static void test_force_after_lazy(const char *path)
{
	int refs = module_refs("vdisk"), fd;
	struct vdev dev;

	attach(path, 0, &dev);
	fd = vdev_open(&dev, O_RDONLY | O_EXCL);
	is_err(detach(&dev, VDISK_DETACH_LAZY), 0, "lazy detach of an open device");
	is_err(detach(&dev, VDISK_DETACH_FORCE), 0, "then by force");
	ok(wait_until(vdev_gone(&nl, dev.id), 5000), "it is gone");
	close(fd);
	ok(wait_until(module_refs("vdisk") == refs, 5000), "the last close ends it for good");
	attach(path, 0, &dev);
	is_err(detach(&dev, VDISK_DETACH_PLAIN), 0, "and devices come and go as before");
}

/* A thread stuck inside the device. */
struct stuck {
	pthread_t thread;
	int fd;
	bool write;
	atomic_bool ended;
	ssize_t result;
};

static void *stuck_thread(void *arg)
{
	struct stuck *s = arg;
	u8 *buf = xalloc(64 * KIB);

	s->result = s->write ? pwrite(s->fd, buf, 64 * KIB, MIB) :
			       pread(s->fd, buf, 64 * KIB, MIB);
	s->ended = true;
	free(buf);
	return NULL;
}

static u32 get_u32(u32 id, u16 attr)
{
	u32 value = ~0U;

	if (vdev_get(&nl, id, &reply) || !nl_get_u32(&reply, attr, &value))
		return ~0U;
	return value;
}

static bool is_inside(u32 id)
{
	u32 value = get_u32(id, VDISK_A_INFLIGHT);

	return value && value != ~0U;
}

static void hung_detach(const struct vdev *dev, const char *name)
{
	u64 start = now_ms(), took;
	u32 state = ~0U, inflight = 0;
	int ret = detach(dev, VDISK_DETACH_FORCE);

	took = now_ms() - start;
	nl_get_u32(&reply, VDISK_A_STATE, &state);
	nl_get_u32(&reply, VDISK_A_INFLIGHT, &inflight);
	is_err(ret, 0, "%s: forced detach", name);
	ok(took <= FORCE_MS * scale(), "%s: answers within 2 s", name);
	diag("%s: %llu ms, state %u, %u in flight", name, (unsigned long long)took, state,
	     inflight);
	is_num(state, VDISK_STATE_DYING, "%s: says that the device is dying", name);
	ok(inflight > 0, "%s: and that requests are inside a file", name);
	is_num(get_u32(dev->id, VDISK_A_STATE), VDISK_STATE_DYING, "%s: so says GET", name);
	ok(vdev_open(dev, O_RDONLY) < 0, "%s: nobody can open it any more", name);
}

/* @rescue: the server goes on instead of dying. */
static void test_hung(const char *other, bool write, bool rescue, const char *name)
{
	struct stuck stuck = { .write = write };
	struct fuse_server fuse;
	struct vdev dev, busy;
	int refs = module_refs("vdisk");

	if (!fuse_start(&fuse, path_in(scratch_dir(), "fuse"), DISK, 5)) {
		ok(false, "%s: a FUSE file system", name);
		return;
	}
	attach(fuse.path, write ? 0 : VDISK_F_RDONLY | VDISK_F_HARD_RDONLY, &dev);
	stuck.fd = vdev_open(&dev, (write ? O_RDWR : O_RDONLY) | O_DIRECT);
	fuse_hang(&fuse);
	pthread_create(&stuck.thread, NULL, stuck_thread, &stuck);
	ok(wait_until(is_inside(dev.id), 10000), "%s: a request hangs inside the file", name);
	is_err(detach(&dev, VDISK_DETACH_PLAIN), -EBUSY, "%s: plain detach", name);
	hung_detach(&dev, name);

	attach(other, 0, &busy);
	is_err(detach(&busy, VDISK_DETACH_PLAIN), 0, "%s: other devices come and go", name);

	if (rescue)
		fuse_resume(&fuse);
	else
		fuse_kill(&fuse);
	ok(wait_until(stuck.ended, 10000), "%s: the request ends with its server's %s", name,
	   rescue ? "return" : "death");
	if (!rescue)
		ok(stuck.result < 0, "%s: it fails", name);
	pthread_join(stuck.thread, NULL);
	close(stuck.fd);
	ok(wait_until(vdev_gone(&nl, dev.id), 10000), "%s: the device is gone", name);
	ok(wait_until(module_refs("vdisk") == refs, 10000), "%s: and all that it held", name);
	fuse_end(&fuse);
}

/* ------------------------------------------------------------ shared files */

static int try_attach(const char *path, u32 flags, struct vdev *dev)
{
	int fd = open(path, (flags & VDISK_F_HARD_RDONLY ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	int ret;

	if (fd < 0) {
		snprintf(reply.text, sizeof(reply.text), "open: %s", err_name(errno));
		return -errno;
	}
	ret = attach_raw(&nl, fd, DISK, flags, dev, &reply);
	close(fd);
	return ret;
}

static void test_shared(const char *path)
{
	const u32 ro = VDISK_F_RDONLY | VDISK_F_HARD_RDONLY;
	u8 *want = xalloc(DISK);
	struct vdev a, b, c;
	int fd;

	fd = xopen(path, O_RDONLY);
	if (!pread_all(fd, want, DISK, 0))
		bail("%s: %s", path, err_name(errno));
	close(fd);
	attach(path, ro, &a);
	attach(path, ro, &b);
	ok(a.id != b.id, "two devices on one read-only base");
	fd = vdev_open(&a, O_RDONLY | O_DIRECT);
	ok(same_content(fd, want, DISK, 0), "the first reads it");
	close(fd);
	fd = vdev_open(&b, O_RDONLY | O_DIRECT);
	ok(same_content(fd, want, DISK, 0), "the second reads it");
	is_err(detach(&a, VDISK_DETACH_PLAIN), 0, "the first goes");
	ok(same_content(fd, want + 3 * MIB, MIB, 3 * MIB), "the second reads on");
	close(fd);
	/* The file is denied to writers, so that is what an open says. */
	is_err(try_attach(path, 0, &c), -ETXTBSY, "RW beside RO");
	detach(&b, VDISK_DETACH_PLAIN);

	attach(path, 0, &a);
	is_err(try_attach(path, ro, &c), -ETXTBSY, "RO beside RW: %s", reply.text);
	is_err(try_attach(path, 0, &c), -EBUSY, "RW beside RW: %s", reply.text);
	is_err(detach(&a, VDISK_DETACH_PLAIN), 0, "detach");
	free(want);
}

/* On a block device, nothing but the table of claims keeps them apart. */
static void test_shared_bdev(const char *node)
{
	const u32 ro = VDISK_F_RDONLY | VDISK_F_HARD_RDONLY;
	struct vdev a, b;

	if (!node) {
		skip("VDT_BDEV is not set", "sharing a block device");
		return;
	}
	attach(node, ro, &a);
	is_err(try_attach(node, 0, &b), -EBUSY, "block device, RW beside RO: %s", reply.text);
	is_err(try_attach(node, ro, &b), 0, "block device, RO beside RO");
	detach(&b, VDISK_DETACH_PLAIN);
	detach(&a, VDISK_DETACH_PLAIN);
	attach(node, 0, &a);
	is_err(try_attach(node, ro, &b), -EBUSY, "block device, RO beside RW: %s", reply.text);
	ok(strstr(reply.text, a.path + 5), "and it names the device");
	is_err(detach(&a, VDISK_DETACH_PLAIN), 0, "detach");
}

/* ------------------------------------------------------------------ afterwards */

/* What is written through the page cache is in the file when detach returns. */
static void test_write_back(const char *path)
{
	u8 *want = xalloc(DISK);
	struct vdev dev;
	struct rng rng;
	int fd;

	rng_seed(&rng, 77);
	rng_fill(&rng, want, DISK);
	attach(path, 0, &dev);
	fd = vdev_open(&dev, O_RDWR);
	ok(pwrite_all(fd, want, DISK, 0), "buffered writes without fsync");
	close(fd);
	is_err(detach(&dev, VDISK_DETACH_PLAIN), 0, "close and detach");
	fd = xopen(path, O_RDONLY);
	ok(same_content(fd, want, DISK, 0), "the file has them all");
	close(fd);
	free(want);
}

/* Nothing of ours is on the file once detach has answered. */
static bool free_for_all(const char *path)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = open(path, O_RDWR | O_CLOEXEC);
	bool good = fd >= 0 && !fcntl(fd, F_OFD_SETLK, &lock) && !flock(fd, LOCK_EX | LOCK_NB);

	if (!good)
		diag("%s: %s", path, err_name(errno));
	close(fd);
	return good;
}

static void test_released_at_once(const char *path)
{
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 100,
			      .l_len = 200 };
	unsigned int rounds = scaled(brief_run() ? LOCK_ROUNDS / 4 : LOCK_ROUNDS), i, good = 0;
	struct vdev dev;
	int fd, ret;

	for (i = 0; i < rounds; i++) {
		bool ro = i % 2;

		fd = xopen(path, ro ? O_RDONLY : O_RDWR);
		fcntl(fd, F_OFD_SETLK, &lock);
		flock(fd, LOCK_SH);
		ret = attach_raw(&nl, fd, DISK, ro ? VDISK_F_RDONLY | VDISK_F_HARD_RDONLY : 0,
				 &dev, &reply);
		close(fd);
		if (ret) {
			diag("round %u: %s", i, reply.text);
			break;
		}
		if (detach(&dev, VDISK_DETACH_PLAIN) || !free_for_all(path))
			break;
		good++;
	}
	is_num(good, rounds, "%u times: detach, and at once no lock, no claim, no denial", rounds);
}

/* The same with the programs that users have: a script's `&&`. */
static void test_programs(void)
{
	const struct img_image *image = images_find("mess-monolithicSparse.vmdk");
	const char *vmdk = strdup(images_stage(image, scratch_dir()));
	const char *script =
		"n=0\n"
		"while [ $n -lt $2 ]; do\n"
		"	dev=$(vdctl -q attach \"$1\") || exit 1\n"
		"	vdctl detach \"$dev\" && qemu-img check -q \"$1\" || exit 2\n"
		"	n=$((n + 1))\n"
		"	echo $n\n"
		"done\n";
	unsigned int rounds = scaled(brief_run() ? PROGRAM_ROUNDS / 4 : PROGRAM_ROUNDS);
	char count[16];
	struct run r;
	u64 start = now_ms();

	snprintf(count, sizeof(count), "%u", rounds);
	run(&r, "sh", "-c", script, "sh", vmdk, count, NULL);
	if (!ok(!r.status, "%s times: vdctl detach && qemu-img check", count))
		diag("status %d, rounds: %s, stderr: %s", r.status, r.out, r.err);
	diag("%llu ms each", (unsigned long long)(now_ms() - start) / rounds);
}

int main(void)
{
	const char *path = strdup(path_in(scratch_dir(), "disk"));
	int ret;

	ret = nl_open(&nl);
	if (ret)
		bail("no vdisk family: %s", err_name(ret));
	close(make_random_file(path, DISK, 1));

	test_busy(path);
	test_mounted();
	test_swap(path);
	test_lazy(path);
	test_autoclear(path);
	test_force_idle(path);
	test_force_after_lazy(path);
	test_shared(path);
	test_shared_bdev(place_bdev());
	test_write_back(path);
	test_released_at_once(path);
	test_hung(path, false, false, "hung read");
	test_hung(path, true, false, "hung write");
	test_hung(path, false, true, "hung read, rescued");
	test_programs();
	is_num(vdev_count(&nl), 0, "nothing is left attached");
	nl_close(&nl);
	return tap_done();
}
