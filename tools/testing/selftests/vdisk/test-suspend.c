// SPDX-License-Identifier: GPL-2.0-only
/*
 * The machine goes to sleep under load: several disks at once, by every way to sleep
 * that it has. It comes back each time, no request fails, every byte is right, and a
 * file system on a disk has what was fsynced.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include <linux/fs.h>

#include "blk.h"
#include "chain.h"
#include "load.h"
#include "shadow.h"
#include "tap.h"

#define DISK	(8 * MIB)
#define STORMS	2
#define OPS	30
#define END_MS	60000

static struct nl nl;
static struct nl_reply reply;
static int refs;

/* ------------------------------------------------------------------- disks */

/**
 * struct busy - a disk with a thread that never leaves it alone
 * @rounds: storms that have ended
 */
struct busy {
	const char *name;
	struct chain c;
	u32 flags;
	struct shadow s;
	struct vdev dev;
	pthread_t thread;
	atomic_bool stop, failed;
	atomic_uint rounds;
};

static bool storm_once(struct busy *b, u64 seed)
{
	struct storm storms[STORMS];
	unsigned int i;

	for (i = 0; i < STORMS; i++) {
		storms[i] = (struct storm) {
			.path = b->dev.path, .shadow = &b->s, .pos = i * DISK / STORMS,
			.len = DISK / STORMS, .seed = seed * STORMS + i, .ops = OPS,
			.direct = true, .mixed = i % 2, .modify = true, .align = SECTOR,
			.unit = b->c.images[0].extents[0].unit,
		};
	}
	return storm_run(storms, STORMS);
}

static void *busy_thread(void *arg)
{
	struct busy *b = arg;

	while (!b->stop && !b->failed) {
		if (!storm_once(b, b->rounds + 1))
			b->failed = true;
		b->rounds++;
	}
	return NULL;
}

static void busy_start(struct busy *b)
{
	chain_make(&b->c, 51);
	chain_load(&b->c, &b->s);
	chain_must_attach(&nl, &b->c, b->flags | VDISK_F_NO_PARTSCAN, &b->dev, &reply);
	if (pthread_create(&b->thread, NULL, busy_thread, b))
		bail("no thread");
}

static bool busy_goes_on(struct busy *b)
{
	unsigned int goal = b->rounds + 1;

	return wait_until(b->rounds >= goal || b->failed, END_MS) && !b->failed;
}

static void busy_end(struct busy *b)
{
	b->stop = true;
	pthread_join(b->thread, NULL);
	ok(!b->failed, "%s: no request failed, in %u rounds", b->name, b->rounds);
	is_err(vdev_detach(&nl, b->dev.id, VDISK_DETACH_PLAIN, &reply), 0, "%s: detach", b->name);
	ok(chain_sound(&b->c, 0) && chain_equals(&b->c, &b->s), "%s: sound, clean and right",
	   b->name);
	chain_remove(&b->c);
	shadow_free(&b->s);
}

/* -------------------------------------------------------------------- sleep */

static bool can_sleep(const char *state)
{
	char states[128];

	return read_text("/sys/power/state", states, sizeof(states)) && strstr(states, state);
}

/* "disk" is a hibernation: here it ends where processes and work queues have stopped. */
static void sleep_once(struct busy *disks, unsigned int nr, const char *state)
{
	bool good;
	unsigned int i;

	if (!can_sleep(state)) {
		skip("this kernel cannot", "%s: the machine comes back", state);
		return;
	}
	good = write_text("/sys/power/state", state);
	if (!ok(good, "%s: the machine comes back", state))
		diag("%s", err_name(errno));
	for (i = 0; i < nr; i++)
		ok(busy_goes_on(&disks[i]), "%s: %s goes on", state, disks[i].name);
}

static void test_load(const char *ext4, const char *xfs, unsigned int rounds)
{
	static const char *const states[] = { "freeze", "mem", "disk" };
	struct busy disks[] = {
		{ .name = "raw", .c = chain_single(ext4, "sr", raw_file(DISK)) },
		{ .name = "VMDK, buffered", .flags = VDISK_F_BUFFERED,
		  .c = chain_single(xfs, "sh", vmdk_sparse(DISK, 4096, VMDK_RGD, 10)) },
		{ .name = "VDI on tmpfs", .c = chain_single(scratch_dir(), "sb",
							    vdi_blocks(DISK, 64 * KIB, 0, 10)) },
		{ .name = "delta", .c = chain_delta(xfs, vmdk_sparse(DISK, 64 * KIB, 0, 10),
						    vmdk_flat(DISK)) },
	};
	unsigned int i, k;

	for (i = 0; i < ARRAY_SIZE(disks); i++)
		busy_start(&disks[i]);
	for (i = 0; i < rounds; i++)
		for (k = 0; k < ARRAY_SIZE(states); k++)
			sleep_once(disks, ARRAY_SIZE(disks), states[k]);
	for (i = 0; i < ARRAY_SIZE(disks); i++)
		busy_end(&disks[i]);
}

/* -------------------------------------------------------- a file system on it */

#define FILES		24U
#define FILE_SIZE	(16 * KIB)

/* File @i, opened so, and in @buf what it holds. */
static int open_file(const char *dir, unsigned int i, int flags, u8 *buf)
{
	char name[32];
	struct rng rng;

	rng_seed(&rng, i);
	rng_fill(&rng, buf, FILE_SIZE);
	snprintf(name, sizeof(name), "file-%u", i);
	return open(path_in(dir, name), flags | O_CLOEXEC, 0600);
}

static bool write_file(const char *dir, unsigned int i)
{
	u8 *buf = xalloc(FILE_SIZE);
	int fd = open_file(dir, i, O_RDWR | O_CREAT, buf);
	bool good = fd >= 0 && pwrite_all(fd, buf, FILE_SIZE, 0) && !fsync(fd);

	close(fd);
	free(buf);
	return good;
}

static bool file_is_right(const char *dir, unsigned int i)
{
	u8 *buf = xalloc(FILE_SIZE);
	int fd = open_file(dir, i, O_RDONLY, buf);
	bool good = fd >= 0 && same_content(fd, buf, FILE_SIZE, 0);

	close(fd);
	free(buf);
	return good;
}

struct filer {
	pthread_t thread;
	const char *dir;
	atomic_uint done;
	atomic_bool failed;
};

static void *filer_thread(void *arg)
{
	struct filer *f = arg;

	for (; f->done < FILES && !f->failed; f->done++)
		f->failed = !write_file(f->dir, f->done);
	return NULL;
}

static void test_mounted(struct chain c, const char *name)
{
	struct filer f = { .dir = path_in(scratch_dir(), "mnt") };
	unsigned int i, good = 0;
	struct vdev dev;
	struct run r;

	chain_make(&c, 52);
	chain_must_attach(&nl, &c, VDISK_F_NO_PARTSCAN, &dev, &reply);
	f.dir = strdup(f.dir);
	mkdir(f.dir, 0700);
	if (run(&r, "mkfs.ext4", "-q", "-F", "-b", "4096", dev.path, NULL))
		bail("mkfs: %s", r.err);
	if (mount(dev.path, f.dir, "ext4", 0, NULL))
		bail("mount: %s", err_name(errno));
	if (pthread_create(&f.thread, NULL, filer_thread, &f))
		bail("no thread");
	for (i = 0; i < 3; i++) {
		unsigned int goal = f.done + FILES / 6;

		good += wait_until(f.done >= goal || f.done == FILES || f.failed, END_MS) &&
			write_text("/sys/power/state", "freeze");
	}
	is_num(good, 3, "%s: three times the machine comes back", name);
	pthread_join(f.thread, NULL);
	ok(!f.failed, "%s: all files are written and fsynced", name);
	umount(f.dir);
	is_err(vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply), 0, "%s: detach", name);
	chain_must_attach(&nl, &c, VDISK_F_NO_PARTSCAN, &dev, &reply);
	if (mount(dev.path, f.dir, "ext4", MS_RDONLY, NULL))
		bail("mount: %s", err_name(errno));
	for (i = 0, good = 0; i < f.done; i++)
		good += file_is_right(f.dir, i);
	is_num(good, FILES, "%s: attached again, all are right", name);
	umount(f.dir);
	rmdir(f.dir);
	is_err(vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply), 0, "%s: detach", name);
	ok(chain_sound(&c, 0), "%s: sound and clean", name);
	chain_remove(&c);
}

/* ----------------------------------------------- with a frozen file system below */

static void frozen(const char *dir, bool yes)
{
	int fd = xopen(dir, O_RDONLY | O_DIRECTORY);

	if (ioctl(fd, yes ? FIFREEZE : FITHAW, 0))
		bail("cannot %s %s: %s", yes ? "freeze" : "thaw", dir, err_name(errno));
	close(fd);
}

static bool load_stands(struct load *l)
{
	unsigned int done = l->done;

	return !wait_until(l->done != done, 300);
}

/* A task waits for a disk, as with any: no sleep, but nothing breaks by the attempt. */
static void test_frozen(struct chain c, const char *dir, const char *name)
{
	char timeout[32];
	struct shadow s;
	struct vdev dev;
	struct load l;

	if (!read_text("/sys/power/pm_freeze_timeout", timeout, sizeof(timeout)) ||
	    !write_text("/sys/power/pm_freeze_timeout", "2000"))
		bail("pm_freeze_timeout: %s", err_name(errno));
	chain_make(&c, 53);
	chain_load(&c, &s);
	chain_must_attach(&nl, &c, VDISK_F_NO_PARTSCAN, &dev, &reply);
	load_start(&l, &dev, DISK, 4);
	ok(load_goes_on(&l, 20), "%s: writes run", name);
	frozen(dir, true);
	ok(wait_until(load_stands(&l), END_MS), "%s: frozen: they stand", name);
	ok(!write_text("/sys/power/state", "freeze") && errno == EBUSY,
	   "%s: the machine does not sleep", name);
	frozen(dir, false);
	ok(load_goes_on(&l, 20), "%s: thawed: they go on", name);
	ok(write_text("/sys/power/state", "freeze"), "%s: and it sleeps", name);
	ok(load_goes_on(&l, 20), "%s: and they go on", name);
	load_stop(&l);
	is_num(l.errors, 0, "%s: none failed", name);
	load_apply(&l, &s, l.done);
	is_err(vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply), 0, "%s: detach", name);
	ok(chain_sound(&c, 0) && chain_equals(&c, &s), "%s: sound, clean and right", name);
	chain_remove(&c);
	shadow_free(&s);
	write_text("/sys/power/pm_freeze_timeout", timeout);
}

int main(void)
{
	const char *ext4, *xfs;

	chain_begin(&nl, &ext4, &xfs);
	refs = module_refs("vdisk");
	if (!write_text("/sys/power/pm_test", "freezer") ||
	    !write_text("/sys/module/suspend/parameters/pm_test_delay", "0")) {
		skip("it has no pm_test", "sleeping under load");
		nl_close(&nl);
		return tap_done();
	}
	test_load(ext4, xfs, full_run() ? scaled(20) : 1);
	test_mounted(chain_single(ext4, "sm", vmdk_sparse(3 * DISK, 64 * KIB, VMDK_RGD, 0)),
		     "ext4 on VMDK");
	if (full_run()) {
		test_frozen(chain_single(ext4, "sf", vmdk_sparse(DISK, 64 * KIB, VMDK_RGD, 0)),
			    ext4, "frozen ext4");
		test_frozen(chain_single(xfs, "sf", vdi_blocks(DISK, 64 * KIB, 0, 0)), xfs,
			    "frozen xfs");
	}
	is_num(module_refs("vdisk"), refs, "no reference is left");
	is_num(vdev_count(&nl), 0, "nothing is left attached");
	nl_close(&nl);
	return tap_done();
}
