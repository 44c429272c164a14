// SPDX-License-Identifier: GPL-2.0-only
/*
 * A backing store that answers nothing any more, with requests of every kind inside:
 * a forced detach answers all the same, for each disk on it, others do not notice, and
 * when the store goes on everything is let go of.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "blk.h"
#include "chain.h"
#include "fuse.h"
#include "shadow.h"
#include "store.h"
#include "tap.h"

#define DISK		(16 * MIB)
#define HALF		(DISK / 2)	/* requests that hang are above it */
#define FORCE_MS	(2000 + 500)
#define END_MS		30000
#define EACH		3		/* requests of a kind */
#define APART		(256 * KIB)
#define UPPER		(4 * MIB)	/* above HALF, written before: there are requests */

extern char **environ;

static struct nl nl;
static struct nl_reply reply;
static int refs;

/* ---------------------------------------------------------------- requests */

enum op { READ, WRITE, FLUSH, DISCARD, ZERO, KINDS, SCAN };

struct request {
	pthread_t thread;
	enum op op;
	int fd;
	u64 pos;
	atomic_bool ended;
};

static void *request_thread(void *arg)
{
	struct request *q = arg;
	u8 *buf = xalloc(64 * KIB);

	memset(buf, 0x44, 64 * KIB);
	switch (q->op) {
	case READ:
		pread_all(q->fd, buf, 64 * KIB, q->pos);
		break;
	case WRITE:
		pwrite_all(q->fd, buf, 64 * KIB, q->pos);
		break;
	case FLUSH:
		fsync(q->fd);
		break;
	case SCAN:
		ioctl(q->fd, BLKRRPART, 0);
		break;
	case DISCARD:
		bdev_discard(q->fd, q->pos, 128 * KIB);
		break;
	default:
		bdev_zeroout(q->fd, q->pos, 64 * KIB);
	}
	free(buf);
	q->ended = true;
	return NULL;
}

/**
 * struct disk - one that is about to hang
 * @scan: somebody looks for partitions when it hangs, and holds its mutex
 * @requests: of each kind; a disk that cannot be written has only reads
 */
struct disk {
	struct chain c;
	struct shadow s;
	struct vdev dev;
	u32 flags;
	bool scan;
	int fd;
	struct request requests[1 + KINDS * EACH];
	unsigned int nr;
};

_Static_assert((1 + KINDS * EACH) * APART <= UPPER, "each has its own place");

static bool writable(const struct disk *d)
{
	return !(d->flags & VDISK_F_HARD_RDONLY);
}

static void start(struct disk *d, const char *name)
{
	u8 *buf = xalloc(UPPER);

	chain_must_attach(&nl, &d->c, d->flags | (d->scan ? 0 : VDISK_F_NO_PARTSCAN), &d->dev,
			  &reply);
	d->fd = vdev_open(&d->dev, (writable(d) ? O_RDWR : O_RDONLY) | O_DIRECT);
	if (writable(d)) {
		memset(buf, 0x55, UPPER);
		/* What a scan reads is in the file, too. */
		ok(pwrite_all(d->fd, buf, MIB, 2 * MIB) && pwrite_all(d->fd, buf, 64 * KIB, 0) &&
		   pwrite_all(d->fd, buf, UPPER, HALF) && !fsync(d->fd),
		   "%s: three writes, flushed", name);
		shadow_write(&d->s, 2 * MIB, buf, MIB);
		shadow_write(&d->s, 0, buf, 64 * KIB);
	}
	free(buf);
}

/* What is in memory nobody would wait for. */
static void forget_content(void)
{
	sync();
	write_text("/proc/sys/vm/drop_caches", "1");
}

static void start_request(struct disk *d, enum op op)
{
	struct request *q = &d->requests[d->nr];

	q->op = op;
	q->fd = d->fd;
	q->pos = HALF + d->nr * APART;
	q->ended = false;
	if (pthread_create(&q->thread, NULL, request_thread, q))
		bail("no thread");
	d->nr++;
}

static void start_requests(struct disk *d)
{
	unsigned int i, k, kinds = writable(d) ? KINDS : WRITE;

	for (i = 0; i < EACH; i++) {
		for (k = 0; k < kinds; k++)
			start_request(d, k);
	}
}

static bool all_ended(const struct disk *d)
{
	unsigned int i;

	for (i = 0; i < d->nr; i++) {
		if (!d->requests[i].ended)
			return false;
	}
	return true;
}

static void end_requests(struct disk *d, const char *name)
{
	unsigned int i;

	if (!ok(wait_until(all_ended(d), END_MS), "%s: all %u requests end", name, d->nr))
		bail("threads that hang cannot be ended");
	for (i = 0; i < d->nr; i++)
		pthread_join(d->requests[i].thread, NULL);
	close(d->fd);
}

/* ---------------------------------------------------------------- the hang */

static u32 get_u32(u32 id, u16 attr)
{
	u32 value = ~0U;

	if (vdev_get(&nl, id, &reply) || !nl_get_u32(&reply, attr, &value))
		return ~0U;
	return value;
}

static bool is_inside(const struct disk *d)
{
	u32 value = get_u32(d->dev.id, VDISK_A_INFLIGHT);

	return value && value != ~0U;
}

static unsigned int unended(const struct disk *d, enum op op)
{
	unsigned int i, n = 0;

	for (i = 0; i < d->nr; i++)
		n += d->requests[i].op == op && !d->requests[i].ended;
	return n;
}

/*
 * Of a disk that can be written, some of both that need the file. Flushes may find nothing
 * to do, and zeros may be no more than an entry.
 */
static bool kinds_inside(const struct disk *d)
{
	return is_inside(d) && unended(d, READ) && (!writable(d) || unended(d, WRITE));
}

static void force(struct disk *d, const char *name)
{
	u64 start = now_ms(), took;
	int ret = vdev_detach(&nl, d->dev.id, VDISK_DETACH_FORCE, &reply);

	took = now_ms() - start;
	is_err(ret, 0, "%s: forced detach", name);
	if (!ok(took <= FORCE_MS * scale(), "%s: answers within 2 s", name))
		diag("%llu ms", (unsigned long long)took);
	is_num(get_u32(d->dev.id, VDISK_A_STATE), VDISK_STATE_DYING, "%s: it is dying", name);
	/* Who opens it waits for the scan first. */
	if (!d->scan)
		ok(vdev_open(&d->dev, O_RDONLY) < 0, "%s: nobody can open it any more", name);
}

/* Neither a plain detach nor a SET waits for it: they would hold up all commands. */
static void hang_scan(struct disk *d, const char *name)
{
	u64 start;

	start_request(d, SCAN);
	ok(wait_until(is_inside(d), 10000), "%s: a scan for partitions hangs", name);
	start = now_ms();
	is_err(vdev_detach(&nl, d->dev.id, VDISK_DETACH_PLAIN, &reply), -EBUSY,
	       "%s: plain detach: %s", name, reply.text);
	is_err(vdev_set(&nl, d->dev.id, VDISK_F_NO_DISCARD, VDISK_F_NO_DISCARD, &reply), -EBUSY,
	       "%s: set: %s", name, reply.text);
	is_err(vdev_detach(&nl, d->dev.id, VDISK_DETACH_LAZY, &reply), -EBUSY,
	       "%s: lazy detach: %s", name, reply.text);
	ok(now_ms() - start <= 3 * FORCE_MS * scale(), "%s: each within 2 s", name);
}

static void other_disk(const char *name)
{
	const char *path = path_in(scratch_dir(), "other");
	struct vdev dev;
	int fd = make_random_file(path, MIB, 3);

	is_err(attach_raw(&nl, fd, MIB, VDISK_F_NO_PARTSCAN, &dev, &reply), 0,
	       "%s: another disk is attached", name);
	close(fd);
	fd = vdev_open(&dev, O_RDWR | O_DIRECT);
	ok(!fsync(fd), "%s: and works", name);
	close(fd);
	is_err(vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply), 0, "%s: and detached", name);
	unlink(path_in(scratch_dir(), "other"));
}

static void hang(struct disk *disks, unsigned int nr, const char *name)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (disks[i].scan)
			hang_scan(&disks[i], name);
		start_requests(&disks[i]);
	}
	for (i = 0; i < nr; i++) {
		if (!ok(wait_until(kinds_inside(&disks[i]), 10000),
			"%s: disk %u hangs inside its file", name, i))
			diag("%u reads, %u writes", unended(&disks[i], READ),
			     unended(&disks[i], WRITE));
		is_err(vdev_detach(&nl, disks[i].dev.id, VDISK_DETACH_PLAIN, &reply), -EBUSY,
		       "%s: plain detach of disk %u", name, i);
	}
	other_disk(name);
	for (i = 0; i < nr; i++)
		force(&disks[i], name);
	if (full_run())
		is_err(vdev_detach(&nl, disks[0].dev.id, VDISK_DETACH_FORCE, &reply), 0,
		       "%s: once more by force", name);
	other_disk(name);
}

static void recover(struct disk *disks, unsigned int nr, const char *name)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		end_requests(&disks[i], name);
		ok(wait_until(vdev_gone(&nl, disks[i].dev.id), END_MS), "%s: disk %u is gone",
		   name, i);
	}
	ok(wait_until(module_refs("vdisk") == refs, END_MS), "%s: and all that it held", name);
}

/* Only what hung may have changed. */
static bool lower_half_equals(const struct disk *d)
{
	u8 *buf = xalloc(HALF);
	u64 where = 0;
	bool same;

	same = chain_read(&d->c, 0, buf, HALF) && shadow_check(&d->s, 0, buf, HALF, &where);
	if (!same)
		diag("disk byte %llu differs", (unsigned long long)where);
	free(buf);
	return same;
}

static void check(struct disk *d, const char *name)
{
	ok(chain_sound(&d->c, CHAIN_MAY_LEAK), "%s: at most unclean, with leaks", name);
	ok(lower_half_equals(d), "%s: what was flushed is there", name);
	chain_must_attach(&nl, &d->c, d->flags | VDISK_F_NO_PARTSCAN, &d->dev, &reply);
	d->fd = vdev_open(&d->dev, O_RDWR | O_DIRECT);
	ok(shadow_equals(&d->s, d->fd, 0, HALF, 0) && !fsync(d->fd),
	   "%s: attached again, so says the disk", name);
	close(d->fd);
	is_err(vdev_detach(&nl, d->dev.id, VDISK_DETACH_PLAIN, &reply), 0, "%s: detach", name);
	chain_remove(&d->c);
	shadow_free(&d->s);
}

/* ------------------------------------------------- an attach from there meanwhile */

/**
 * struct attacher - who attaches an image of one file
 * @pid: instead of a thread
 * @fd: of the file: to open it might already be to wait
 */
struct attacher {
	pthread_t thread;
	pid_t pid;
	struct chain c;
	struct vdev dev;
	struct nl_req req;
	int fd;
	int ret;
	atomic_bool ended;
};

static void *attach_thread(void *arg)
{
	struct nl_reply *answer = xalloc(sizeof(*answer));
	struct attacher *a = arg;
	struct nl own;

	a->ret = nl_open(&own);
	if (!a->ret) {
		a->ret = attach_send(&own, &a->req, &a->dev, answer);
		nl_close(&own);
	}
	free(answer);
	a->ended = true;
	return NULL;
}

static void attacher_make(struct attacher *a, const struct store *st, u32 flags,
			  const char *file)
{
	*a = (struct attacher) { .ret = -1 };
	a->c = chain_single("", file, vmdk_sparse(DISK, 64 * KIB, VMDK_RGD, 10));
	store_place(st, &a->c);
	chain_make(&a->c, 9);
	chain_request(&a->req, &a->c, flags | VDISK_F_NO_PARTSCAN, &a->fd);
}

/* It is inside when the module has two more reasons to stay: the work, and its device. */
static void wait_inside(int before, const char *name)
{
	ok(wait_until(module_refs("vdisk") == before + 2, 10000), "%s: an attach from there begins",
	   name);
}

static void attacher_start(struct attacher *a, const char *name)
{
	int before = module_refs("vdisk");

	if (pthread_create(&a->thread, NULL, attach_thread, a))
		bail("no thread");
	wait_inside(before, name);
}

/* In a process that is killed: it ends, the attach does not. */
static void attacher_kill(struct attacher *a, const char *name)
{
	int before = module_refs("vdisk");

	a->pid = fork();
	if (a->pid < 0)
		bail("fork: %s", err_name(errno));
	if (!a->pid) {
		attach_thread(a);
		_exit(0);
	}
	wait_inside(before, name);
	kill(a->pid, SIGKILL);
	ok(wait_until(waitpid(a->pid, NULL, WNOHANG) == a->pid, 10000),
	   "%s: killed, its process ends", name);
	is_num(module_refs("vdisk"), before + 2, "%s: but the attach goes on", name);
}

/* Its disk would be nobody's. */
static void attacher_forgotten(struct attacher *a, const char *name)
{
	ok(chain_sound(&a->c, 0), "%s: the image of the killed one is as it was", name);
	close(a->fd);
	chain_remove(&a->c);
}

/*
 * Who registers a family of generic netlink waits for all handlers, and all commands
 * that come later wait for him.
 */
static void other_family(const char *name)
{
	static char *const argv[] = { "modprobe", "nbd", "nbds_max=0", NULL };
	int status = -1, ret;
	struct run r;
	pid_t pid;

	ret = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);
	if (ret)
		bail("cannot start modprobe: %s", err_name(ret));
	ok(wait_until(waitpid(pid, &status, WNOHANG) == pid, 10000) && !status,
	   "%s: a module with a family of its own is loaded meanwhile", name);
	ok(!run(&r, "modprobe", "-r", "nbd", NULL), "%s: and unloaded", name);
}

static void attacher_end(struct attacher *a, const char *name)
{
	if (!ok(wait_until(a->ended, END_MS), "%s: an attach from there ends", name))
		bail("a thread that hangs cannot be ended");
	pthread_join(a->thread, NULL);
	close(a->fd);
	is_err(a->ret, 0, "%s: well", name);
	is_err(vdev_detach(&nl, a->dev.id, VDISK_DETACH_PLAIN, &reply), 0, "%s: its detach", name);
	chain_remove(&a->c);
}

/* ------------------------------------------------------------------- stores */

static void test_suspended(const char *fs, struct chain first, struct chain second, u32 flags,
			   const char *name)
{
	struct disk *disks = xalloc(2 * sizeof(*disks));
	unsigned int nr = fs ? 2 : 1, i;
	struct attacher third, killed;
	struct store st;

	store_make(&st, fs, NULL);
	disks[0].c = first;
	disks[1].c = second;
	for (i = 0; i < nr; i++) {
		disks[i].flags = flags;
		disks[i].scan = fs && !i;
		store_place(&st, &disks[i].c);
		chain_make(&disks[i].c, 5 + i);
		chain_load(&disks[i].c, &disks[i].s);
		start(&disks[i], name);
	}
	if (fs) {
		attacher_make(&third, &st, flags, "third");
		attacher_make(&killed, &st, flags, "killed");
	}
	forget_content();
	dm_suspend(&st.dm);
	if (fs) {
		attacher_start(&third, name);
		attacher_kill(&killed, name);
		other_family(name);
	}
	hang(disks, nr, name);
	if (fs)
		ok(!third.ended, "%s: the attach from there waits still", name);
	dm_resume(&st.dm);
	if (fs)
		attacher_end(&third, name);
	recover(disks, nr, name);
	if (fs)
		attacher_forgotten(&killed, name);
	for (i = 0; i < nr; i++)
		check(&disks[i], name);
	store_end(&st);
	free(disks);
}

/* @ro: two disks that share the only file. @rescue: the server goes on instead of dying. */
static void test_fuse(bool ro, bool rescue, const char *name)
{
	struct disk *disks = xalloc(2 * sizeof(*disks));
	unsigned int nr = ro ? 2 : 1, i;
	struct fuse_server fuse;

	if (!fuse_start(&fuse, path_in(scratch_dir(), "fuse"), DISK, 5))
		bail("no FUSE");
	for (i = 0; i < nr; i++) {
		struct extent *e = &disks[i].c.images[0].extents[0];

		disks[i].c = chain_single(fuse.dir, "f", raw_file(DISK));
		snprintf(e->path, sizeof(e->path), "%s", fuse.path);
		chain_name(&disks[i].c);
		disks[i].flags = ro ? VDISK_F_RDONLY | VDISK_F_HARD_RDONLY : 0;
		shadow_init(&disks[i].s, DISK);
		start(&disks[i], name);
	}
	forget_content();
	fuse_hang(&fuse);
	hang(disks, nr, name);
	if (rescue)
		fuse_resume(&fuse);
	else
		fuse_kill(&fuse);
	recover(disks, nr, name);
	for (i = 0; i < nr; i++)
		shadow_free(&disks[i].s);
	fuse_end(&fuse);
	free(disks);
}

/* --------------------------------------------------------------------- main */

static struct chain raw(void)
{
	return chain_single("", "r", raw_file(DISK));
}

static struct chain hosted(void)
{
	return chain_single("", "h", vmdk_sparse(DISK, 64 * KIB, VMDK_RGD, 30));
}

static struct chain blocks(void)
{
	return chain_single("", "b", vdi_blocks(DISK, 64 * KIB, VDI_VIRTUALBOX, 30));
}

static struct chain delta(void)
{
	return chain_delta("", vmdk_sparse(DISK, 4096, VMDK_RGD, 10), vmdk_flat(DISK));
}

/* The other half of the pairs. */
static void test_others(void)
{
	test_suspended("xfs", delta(), blocks(), 0, "xfs");
	test_suspended("xfs", raw(), hosted(), 0, "xfs, raw");
	test_suspended("ext4", blocks(), delta(), VDISK_F_BUFFERED, "ext4, buffered");
	test_suspended("ext4", raw(), hosted(), VDISK_F_BUFFERED, "ext4, raw, buffered");
	test_suspended(NULL, hosted(), raw(), VDISK_F_BUFFERED, "device, buffered");
	test_fuse(true, true, "FUSE, read-only, rescued");
	test_fuse(false, false, "FUSE, dead");
}

int main(void)
{
	unsigned int rounds = full_run() ? scaled(10) : 1, i;
	int ret = nl_open(&nl);

	if (ret)
		bail("no vdisk family: %s", err_name(ret));
	refs = module_refs("vdisk");
	for (i = 0; i < rounds; i++) {
		test_suspended("ext4", hosted(), raw(), 0, "ext4");
		test_suspended("xfs", blocks(), delta(), VDISK_F_BUFFERED, "xfs, buffered");
		test_suspended(NULL, blocks(), raw(), 0, "device");
		test_fuse(true, false, "FUSE, read-only, dead");
		test_fuse(false, true, "FUSE, rescued");
		if (full_run())
			test_others();
	}
	is_num(vdev_count(&nl), 0, "nothing is left attached");
	nl_close(&nl);
	return tap_done();
}
