// SPDX-License-Identifier: GPL-2.0-only
/*
 * The machine suspends, and the file system below an image is frozen, while a
 * disk is written to. Nothing fails, nothing is lost, and what only memory had is
 * in the file before the machine sleeps.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "blk.h"
#include "chain.h"
#include "load.h"
#include "shadow.h"
#include "tap.h"

#define DISK	(24 * MIB)
#define TRIES	8

/* Before the engine's own commit, at 5 s, could have been it. */
#define EARLY_MS	4000

/* What a forced detach may take, and the machine's own. */
#define FORCE_MS	(2000 + 500)

static struct nl nl;
static struct nl_reply reply;

static void attach(struct chain *c, struct vdev *dev)
{
	chain_must_attach(&nl, c, VDISK_F_NO_PARTSCAN, dev, &reply);
}

/* Everything is done but the sleep itself: processes and work queues stop and go on. */
static bool suspend(void)
{
	return write_text("/sys/power/state", "freeze");
}

static void frozen(const char *dir, bool yes)
{
	int fd = xopen(dir, O_RDONLY | O_DIRECTORY);

	if (ioctl(fd, yes ? FIFREEZE : FITHAW, 0))
		bail("cannot %s %s: %s", yes ? "freeze" : "thaw", dir, err_name(errno));
	close(fd);
}

/* --------------------------------------------------------------- the machine */

static void test_suspend_load(struct chain c, const char *name)
{
	bool good = true;
	struct shadow s;
	struct vdev dev;
	struct load l;
	unsigned int i;

	chain_make(&c, 41);
	chain_load(&c, &s);
	attach(&c, &dev);
	load_start(&l, &dev, DISK, 1);
	for (i = 0; good && i < 5; i++)
		good = load_goes_on(&l, 20) && suspend();
	ok(good && load_goes_on(&l, 20), "%s: suspended five times under load", name);
	load_stop(&l);
	is_num(l.errors, 0, "%s: no write failed", name);
	load_apply(&l, &s, l.done);
	is_err(vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply), 0, "%s: detach", name);
	ok(chain_sound(&c, 0) && chain_equals(&c, &s), "%s: sound, clean and right", name);
	chain_ask_qemu(&c, &s, name);
	chain_remove(&c);
	shadow_free(&s);
}

/* One write, then sleep: true if its place was in memory only, and is in the file now. */
static bool suspend_commits(const struct extent *e, int fd, unsigned int i, u8 *buf)
{
	u64 before = extent_units(e), start = now_ms();
	bool only_memory;

	if (!pwrite_all(fd, buf, 4096, i * MIB))
		bail("write: %s", err_name(errno));
	only_memory = extent_units(e) == before;
	if (!suspend())
		bail("suspend: %s", err_name(errno));
	if (!only_memory || now_ms() - start > EARLY_MS) {
		diag("too late: it took %llu ms", (unsigned long long)(now_ms() - start));
		return false;
	}
	return extent_units(e) > before && now_ms() - start < EARLY_MS;
}

static void test_suspend_commits(struct chain c, const char *name)
{
	const struct extent *e = &c.images[0].extents[0];
	u8 *buf = xalloc(4096), *got = xalloc(4096);
	bool seen = false;
	struct vdev dev;
	unsigned int i;
	int fd;

	chain_make(&c, 42);
	attach(&c, &dev);
	fd = vdev_open(&dev, O_RDWR | O_DIRECT);
	memset(buf, 0x5c, 4096);
	/* A slow machine may be too late; that says nothing. */
	for (i = 0; !seen && i < TRIES; i++)
		seen = suspend_commits(e, fd, i, buf);
	ok(seen, "%s: what nobody has flushed is in the file when the machine sleeps", name);
	ok(chain_read(&c, (i - 1) * MIB, got, 4096) && !memcmp(buf, got, 4096),
	   "%s: with its content", name);
	close(fd);
	is_err(vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply), 0, "%s: detach", name);
	ok(chain_sound(&c, 0), "%s: sound and clean", name);
	chain_remove(&c);
	free(buf);
	free(got);
}

/* ----------------------------------------------------------- the file system */

/* Nothing was done while we looked; @l has one request at a time. */
static bool load_stands(struct load *l)
{
	unsigned int done = l->done;

	return !wait_until(l->done != done, 300);
}

static void test_fsfreeze_load(struct chain c, const char *dir, const char *name)
{
	u8 *buf = xalloc(LOAD_PIECE);
	struct shadow s;
	struct vdev dev;
	struct load l;
	int fd;

	chain_make(&c, 43);
	chain_load(&c, &s);
	attach(&c, &dev);
	load_start(&l, &dev, DISK, 2);
	ok(load_goes_on(&l, 50), "%s: writes run", name);
	frozen(dir, true);
	ok(wait_until(load_stands(&l), 20000), "%s: file system frozen: they stand", name);
	fd = vdev_open(&dev, O_RDONLY | O_DIRECT);
	load_apply(&l, &s, l.done);
	ok(pread_all(fd, buf, LOAD_PIECE, 0) && !memcmp(buf, s.data, LOAD_PIECE),
	   "%s: reads go on", name);
	close(fd);
	frozen(dir, false);
	ok(load_goes_on(&l, 50), "%s: thawed: they go on", name);
	load_stop(&l);
	is_num(l.errors, 0, "%s: none failed", name);
	load_apply(&l, &s, l.done);
	is_err(vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply), 0, "%s: detach", name);
	ok(chain_sound(&c, 0) && chain_equals(&c, &s), "%s: sound, clean and right", name);
	chain_ask_qemu(&c, NULL, name);
	chain_remove(&c);
	shadow_free(&s);
	free(buf);
}

#define STUCK	12

/* One request of its own thread. */
struct request {
	pthread_t thread;
	int fd;
	bool write;
	u64 pos;
	u8 *buf;
	atomic_bool ended;
	bool good;
};

static void *request_thread(void *arg)
{
	struct request *r = arg;

	r->good = r->write ? pwrite_all(r->fd, r->buf, 4096, r->pos) :
			     pread_all(r->fd, r->buf, 4096, r->pos);
	r->ended = true;
	return NULL;
}

static void request_start(struct request *r, int fd, bool write, u64 pos)
{
	*r = (struct request) { .fd = fd, .write = write, .pos = pos, .buf = xalloc(4096) };
	memset(r->buf, 0x77, 4096);
	if (pthread_create(&r->thread, NULL, request_thread, r))
		bail("no thread");
}

static bool request_end(struct request *r)
{
	pthread_join(r->thread, NULL);
	free(r->buf);
	return r->good;
}

/* More writes than there are workers stand; a read of a table that nobody has read goes on. */
static void test_fsfreeze_reads(struct chain c, const char *dir, const char *name)
{
	struct request w[STUCK], r;
	bool stuck = true, good = true;
	struct shadow s;
	struct vdev dev;
	unsigned int i;
	int fd;

	chain_make(&c, 46);
	chain_load(&c, &s);
	attach(&c, &dev);
	fd = vdev_open(&dev, O_RDWR | O_DIRECT);
	if (!pwrite_all(fd, s.data, 4096, 0))
		bail("write: %s", err_name(errno));
	frozen(dir, true);
	for (i = 0; i < STUCK; i++)
		request_start(&w[i], fd, true, (i + 1) * 64 * KIB);
	ok(!wait_until(w[0].ended || w[STUCK - 1].ended, 500), "%s: writes stand", name);
	request_start(&r, fd, false, 20 * MIB);
	ok(wait_until(r.ended, 20000), "%s: a read goes past them", name);
	ok(!memcmp(r.buf, s.data + 20 * MIB, 4096), "%s: with what is there", name);
	for (i = 0; i < STUCK; i++)
		stuck &= !w[i].ended;
	ok(stuck, "%s: all of them still stand", name);
	frozen(dir, false);
	good = request_end(&r);
	for (i = 0; i < STUCK; i++) {
		memset(s.data + w[i].pos, 0x77, 4096);
		good &= request_end(&w[i]);
	}
	ok(good, "%s: thawed: all end well", name);
	close(fd);
	is_err(vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply), 0, "%s: detach", name);
	ok(chain_sound(&c, 0) && chain_equals(&c, &s), "%s: sound, clean and right", name);
	chain_remove(&c);
	shadow_free(&s);
}

/* Who asks for read-only may be killed; the asking again tells how it ended. */
static void test_fsfreeze_set(struct chain c, const char *dir, u32 flags, const char *name)
{
	struct shadow s;
	struct vdev dev;
	u8 *buf = xalloc(4096);
	pid_t pid;
	int fd, status = 0, ret;

	chain_make(&c, 47);
	chain_load(&c, &s);
	chain_must_attach(&nl, &c, flags | VDISK_F_NO_PARTSCAN, &dev, &reply);
	fd = vdev_open(&dev, O_RDWR | O_DIRECT);
	memset(buf, 0x4d, 4096);
	if (!pwrite_all(fd, buf, 4096, 7 * MIB))
		bail("write: %s", err_name(errno));
	shadow_write(&s, 7 * MIB, buf, 4096);
	close(fd);
	frozen(dir, true);
	pid = fork();
	if (!pid) {
		struct nl own;

		_exit(nl_open(&own) || vdev_set(&own, dev.id, VDISK_F_RDONLY, VDISK_F_RDONLY,
						&reply));
	}
	ok(wait_until(vdev_flags(&nl, dev.id) & VDISK_F_RDONLY, 20000), "%s: becomes read-only",
	   name);
	kill(pid, SIGKILL);
	ok(wait_until(waitpid(pid, &status, WNOHANG) == pid, 20000) && WIFSIGNALED(status),
	   "%s: who asked for it is killed", name);
	is_err(vdev_set(&nl, dev.id, VDISK_F_RDONLY, VDISK_F_RDONLY, &reply), -EINPROGRESS,
	       "%s: frozen: it is not yet so", name);
	frozen(dir, false);
	ok(wait_until((ret = vdev_set(&nl, dev.id, VDISK_F_RDONLY, VDISK_F_RDONLY, &reply)) !=
		      -EINPROGRESS, 20000), "%s: thawed: it ends", name);
	is_err(ret, 0, "%s: well", name);
	ok(chain_sound(&c, 0) && chain_equals(&c, &s), "%s: sound, clean and right", name);
	is_err(vdev_set(&nl, dev.id, 0, VDISK_F_RDONLY, &reply), 0, "%s: writable again", name);
	fd = vdev_open(&dev, O_RDWR | O_DIRECT);
	ok(pwrite_all(fd, buf, 4096, 9 * MIB) && !fsync(fd), "%s: nothing has failed for good",
	   name);
	shadow_write(&s, 9 * MIB, buf, 4096);
	close(fd);
	is_err(vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply), 0, "%s: detach", name);
	ok(chain_sound(&c, 0) && chain_equals(&c, &s), "%s: sound, clean and right, again", name);
	chain_remove(&c);
	shadow_free(&s);
	free(buf);
}

struct detacher {
	pthread_t thread;
	u32 id;
	atomic_bool ended;
	int ret;
};

static void *detach_thread(void *arg)
{
	struct detacher *d = arg;
	struct nl_reply *answer = xalloc(sizeof(*answer));
	struct nl own;

	d->ret = nl_open(&own);
	if (!d->ret) {
		d->ret = vdev_detach(&own, d->id, VDISK_DETACH_PLAIN, answer);
		nl_close(&own);
	}
	free(answer);
	d->ended = true;
	return NULL;
}

/*
 * What is dirty can only go where nothing goes now: the detach waits, and then ends. The
 * command waits for a while, no longer.
 */
static void test_fsfreeze_detach(struct chain c, const char *dir, const char *name)
{
	struct detacher d = { 0 };
	struct shadow s;
	struct vdev dev;
	u8 *buf = xalloc(4096);
	int fd;

	chain_make(&c, 44);
	chain_load(&c, &s);
	attach(&c, &dev);
	fd = vdev_open(&dev, O_RDWR | O_DIRECT);
	memset(buf, 0x3e, 4096);
	if (!pwrite_all(fd, buf, 4096, 5 * MIB))
		bail("write: %s", err_name(errno));
	shadow_write(&s, 5 * MIB, buf, 4096);
	frozen(dir, true);
	close(fd);
	d.id = dev.id;
	if (pthread_create(&d.thread, NULL, detach_thread, &d))
		bail("no thread");
	ok(!wait_until(vdev_gone(&nl, dev.id), 500), "%s: frozen: the detach waits", name);
	frozen(dir, false);
	ok(wait_until(d.ended && vdev_gone(&nl, dev.id), 20000), "%s: thawed: it ends", name);
	pthread_join(d.thread, NULL);
	is_err(d.ret, 0, "%s: well", name);
	ok(chain_sound(&c, 0) && chain_equals(&c, &s), "%s: sound, clean and right", name);
	chain_remove(&c);
	shadow_free(&s);
	free(buf);
}

/* By force the command does not wait, and the device goes when it can. */
static void test_fsfreeze_force(struct chain c, const char *dir, const char *name)
{
	struct shadow s;
	struct vdev dev;
	struct load l;
	unsigned int sure;
	u64 began;

	chain_make(&c, 45);
	chain_load(&c, &s);
	attach(&c, &dev);
	load_start(&l, &dev, DISK, 3);
	ok(load_goes_on(&l, 50), "%s: writes run", name);
	frozen(dir, true);
	ok(wait_until(load_stands(&l), 20000), "%s: frozen: they stand", name);
	began = now_ms();
	is_err(vdev_detach(&nl, dev.id, VDISK_DETACH_FORCE, &reply), 0, "%s: the command ends",
	       name);
	ok(now_ms() - began <= FORCE_MS * scale(), "%s: within 2 s", name);
	frozen(dir, false);
	ok(wait_until(vdev_gone(&nl, dev.id), 20000), "%s: thawed: it is gone", name);
	load_stop(&l);
	sure = l.synced;
	ok(chain_sound(&c, CHAIN_MAY_LEAK), "%s: at most unclean, with leaks", name);
	load_apply(&l, &s, sure);
	ok(load_settle(&l, &c, &s, sure), "%s: each sector is old or new", name);
	ok(chain_equals(&c, &s), "%s: what was fsynced is there, the rest as before", name);
	chain_remove(&c);
	shadow_free(&s);
}

static struct chain delta(const char *dir)
{
	return chain_delta(dir, vmdk_sparse(DISK, 64 * KIB, VMDK_RGD, 0), vmdk_flat(DISK));
}

static struct chain vdi(const char *dir)
{
	return chain_single(dir, "z", vdi_blocks(DISK, 64 * KIB, 0, 0));
}

static struct chain vdi_delta(const char *dir)
{
	return chain_delta(dir, vdi_blocks(DISK, 4096, VDI_HOLES, 10), raw_file(DISK));
}

static struct chain raw(const char *dir)
{
	return chain_single(dir, "r", raw_file(DISK));
}

static struct chain hosted(const char *dir)
{
	return chain_single(dir, "z", vmdk_sparse(DISK, 4096, VMDK_RGD, 0));
}

static void more_kinds(const char *ext4, const char *xfs)
{
	test_suspend_commits(hosted(ext4), "suspend, ext4");
	test_suspend_commits(chain_single(xfs, "z", vmdk_cowd(DISK, 4096, 0)), "suspend, COWD");
	test_suspend_load(delta(xfs), "suspend, load, delta");
	test_fsfreeze_load(hosted(ext4), ext4, "frozen ext4");
	test_fsfreeze_load(delta(xfs), xfs, "frozen xfs, delta");
	test_fsfreeze_detach(hosted(xfs), xfs, "frozen xfs, detach");
	test_fsfreeze_reads(hosted(ext4), ext4, "frozen ext4, reads");
	test_fsfreeze_reads(hosted(xfs), xfs, "frozen xfs, reads");
	test_fsfreeze_set(hosted(xfs), xfs, 0, "frozen xfs, set");
	test_fsfreeze_force(delta(xfs), xfs, "frozen xfs, force");
	test_suspend_load(vdi(ext4), "suspend, load, VDI");
	test_fsfreeze_set(vdi(xfs), xfs, 0, "frozen xfs, set, VDI");
}

int main(void)
{
	const char *ext4, *xfs;

	chain_begin(&nl, &ext4, &xfs);
	if (!write_text("/sys/power/pm_test", "freezer") ||
	    !write_text("/sys/module/suspend/parameters/pm_test_delay", "0"))
		bail("this kernel cannot try out a suspend");
	test_suspend_load(hosted(ext4), "suspend, load");
	test_fsfreeze_load(raw(xfs), xfs, "frozen xfs, raw");
	test_fsfreeze_set(hosted(ext4), ext4, VDISK_F_BUFFERED, "frozen ext4, set, buffered");
	test_suspend_commits(chain_single(xfs, "z", vdi_blocks(DISK, 4096, 0, 0)), "suspend, VDI");
	test_fsfreeze_load(vdi_delta(ext4), ext4, "frozen ext4, VDI delta");
	test_fsfreeze_detach(vdi(xfs), xfs, "frozen xfs, detach, VDI");
	test_fsfreeze_reads(vdi(ext4), ext4, "frozen ext4, reads, VDI");
	test_fsfreeze_force(vdi_delta(xfs), xfs, "frozen xfs, force, VDI");
	if (!brief_run())
		more_kinds(ext4, xfs);
	is_num(vdev_count(&nl), 0, "nothing is left attached");
	nl_close(&nl);
	return tap_done();
}
