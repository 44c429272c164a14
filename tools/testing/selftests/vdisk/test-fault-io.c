// SPDX-License-Identifier: GPL-2.0-only
/*
 * I/O while memory is refused: to what our modules allocate themselves, always; to that
 * and to the file systems and the block layer below them, for a while, each 17th time
 * and one of ten times; and to one of ten allocations of the whole machine. No request
 * fails, no byte is wrong. Only calls of this program itself may fail for memory, with
 * ENOMEM, which no block device can say; they are made again.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blk.h"
#include "chain.h"
#include "inject.h"
#include "shadow.h"
#include "tap.h"

#define DISK	(8 * MIB)
#define OPS	1200
#define STORMS	3

static struct nl nl;
static struct nl_reply reply;
static struct inject_text text;
static u64 seed = 1;

/**
 * struct fault - what is refused
 * @enough: so many times, then there is memory again; 0: for the whole time
 * @hits: in all images together
 */
struct fault {
	const char *name;
	enum inject_kind kind;
	enum inject_where where;
	unsigned int percent;
	unsigned int interval;
	unsigned int enough;
	unsigned int hits;
};

/*
 * A period must be longer than what any request takes at a time, else there is one that
 * never gets all of it: to punch a hole into a file of many pieces takes more than 20.
 */
static struct fault faults[] = {
	{ "all our slab objects", INJECT_SLAB, INJECT_OWN, 100, 1, 0, 0 },
	{ "all our pages", INJECT_PAGES, INJECT_OWN, 100, 1, 0, 0 },
	{ "no slab object for a while", INJECT_SLAB, INJECT_INSIDE, 100, 1, 100, 0 },
	{ "no page for a while", INJECT_PAGES, INJECT_INSIDE, 100, 1, 100, 0 },
	{ "each 67th slab object", INJECT_SLAB, INJECT_INSIDE, 100, 67, 0, 0 },
	{ "each 67th page", INJECT_PAGES, INJECT_INSIDE, 100, 67, 0, 0 },
	{ "10 % of slab objects", INJECT_SLAB, INJECT_INSIDE, 10, 1, 0, 0 },
	{ "10 % of pages", INJECT_PAGES, INJECT_INSIDE, 10, 1, 0, 0 },
	{ "10 % of all slab objects", INJECT_SLAB, INJECT_ANYWHERE, 10, 1, 0, 0 },
	{ "10 % of all pages", INJECT_PAGES, INJECT_ANYWHERE, 10, 1, 0, 0 },
};

/* --------------------------------------------------------------------- storm */

struct storms {
	struct storm s[STORMS];
	atomic_bool ended;
	bool good;
};

static void storms_prepare(struct storms *all, const struct vdev *dev, struct shadow *shadow,
			   u32 unit)
{
	u64 third = shadow->size / STORMS / 4096 * 4096;
	unsigned int i;

	for (i = 0; i < STORMS; i++) {
		all->s[i] = (struct storm) {
			.path = dev->path, .shadow = shadow, .seed = seed++, .ops = OPS,
			.pos = i * third,
			.len = i + 1 < STORMS ? third : shadow->size - i * third,
			.depth = i ? 4 * i : 1, .direct = i, .mixed = !i,
			.modify = true, .patient = true, .align = SECTOR, .unit = unit,
		};
	}
}

static void *storms_thread(void *arg)
{
	struct storms *all = arg;

	all->good = storm_run(all->s, STORMS);
	all->ended = true;
	return NULL;
}

static bool all_have_begun(const struct storms *all)
{
	unsigned int i, done;

	for (i = 0; i < STORMS; i++) {
		done = __atomic_load_n(&all->s[i].reads, __ATOMIC_RELAXED) +
		       __atomic_load_n(&all->s[i].writes, __ATOMIC_RELAXED);
		if (!done)
			return false;
	}
	return true;
}

/* Threads and their memory are there before anything is refused. */
static bool storm_under(struct fault *f, struct storms *all, unsigned int *hits)
{
	pthread_t thread;
	bool begun;

	inject_filter(f->where, &text);
	if (pthread_create(&thread, NULL, storms_thread, all))
		bail("no thread");
	begun = wait_until(all_have_begun(all), 20000);
	inject_start(f->kind, f->percent, f->interval);
	if (f->enough) {
		wait_until(all->ended || inject_hits(f->kind) >= f->enough, 10000);
		inject_stop(f->kind);
	}
	pthread_join(thread, NULL);
	*hits = inject_stop(f->kind);
	return begun && all->good;
}

/* -------------------------------------------------------------------- images */

static unsigned int hits_of_attach(const struct fault *f, int fd)
{
	unsigned int hits;
	struct vdev dev;

	inject_start(f->kind, f->percent, f->interval);
	attach_raw(&nl, fd, MIB, 0, &dev, &reply);
	hits = inject_stop(f->kind);
	if (!reply.error)
		vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply);
	return hits;
}

/* What takes no memory cannot be refused any; then attach shows that the filter works. */
static unsigned int control_hits(const struct fault *f)
{
	int fd = make_file(path_in(scratch_dir(), "control"), MIB);
	unsigned int hits = 0, tries;

	inject_filter(f->where, &text);
	for (tries = 0; !hits && tries < (f->interval > 20 ? f->interval : 20); tries++)
		hits = hits_of_attach(f, fd);
	close(fd);
	return hits;
}

static void run_fault(const char *name, struct fault *f, const struct vdev *dev,
		      struct shadow *s, u32 unit)
{
	unsigned int hits, control = 0, i, ops = 0;
	u64 start = now_ms();
	struct storms all = { .ended = false };

	storms_prepare(&all, dev, s, unit);
	ok(storm_under(f, &all, &hits), "%s: %s: no request fails", name, f->name);
	ok(vdev_settle(dev, s), "%s: %s: each byte is right", name, f->name);
	is_str(vdev_sysfs(dev, "vdisk/errors"), "0", "%s: %s: no error counted", name, f->name);
	for (i = 0; i < STORMS; i++)
		ops += all.s[i].reads + all.s[i].writes + all.s[i].discards + all.s[i].zeroes +
		       all.s[i].flushes;
	f->hits += hits;
	if (!hits)
		control = control_hits(f);
	diag("%s: %s: %u refused in %u operations; %llu ms", name, f->name, hits, ops,
	     (unsigned long long)(now_ms() - start));
	ok(hits || control, "%s: %s: took place%s", name, f->name,
	   hits ? "" : ", in an attach: this I/O takes no such memory");
}

static void run_image(const char *name, struct chain c, u32 flags)
{
	struct shadow s;
	struct vdev dev;
	size_t i;
	int ret;

	chain_make(&c, seed++);
	chain_load(&c, &s);
	chain_must_attach(&nl, &c, flags | VDISK_F_NO_PARTSCAN, &dev, &reply);
	diag("%s: dio %s", name, vdev_sysfs(&dev, "vdisk/dio"));
	for (i = 0; i < ARRAY_SIZE(faults); i++)
		run_fault(name, &faults[i], &dev, &s, (u32)c.images[0].extents[0].unit);
	ret = vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply);
	if (!is_err(ret, 0, "%s: detach", name))
		diag("%s", reply.text);
	else if (!wait_until(vdev_gone(&nl, dev.id), 20000))
		bail("%s: the device stays", name);
	/* Without memory to remember a place it may be nobody's for ever. */
	ok(chain_sound(&c, CHAIN_MAY_LEAK) && !extent_unclean(&c.images[0].extents[0]),
	   "%s: sound and clean", name);
	ok(chain_equals(&c, &s), "%s: the files hold what was written", name);
	if (chain_qemu_opens(&c))
		ok(chain_qemu_equals(&c, &s), "%s: and QEMU reads it", name);
	chain_remove(&c);
	shadow_free(&s);
}

static void run_images(const char *ext4, const char *xfs)
{
	const struct extent vmdk = vmdk_sparse(DISK, 4096, VMDK_RGD, 5);
	const struct extent vdi = vdi_blocks(DISK, 64 * KIB, VDI_HOLES, 10);
	const struct {
		const char *name;
		struct chain chain;
		u32 flags;
	} images[] = {
		{ "raw, ext4", chain_single(ext4, "f", raw_file(DISK)), 0 },
		{ "raw, xfs, buffered", chain_single(xfs, "f", raw_file(DISK)), VDISK_F_BUFFERED },
		{ "VMDK, ext4", chain_single(ext4, "f", vmdk), 0 },
		{ "VMDK, ext4, buffered", chain_single(ext4, "f", vmdk), VDISK_F_BUFFERED },
		{ "VDI, xfs", chain_single(xfs, "f", vdi), 0 },
		{ "VDI over VMDK, ext4", chain_delta(ext4, vdi, vmdk), 0 },
		{ "VMDK over VDI, xfs, buffered", chain_delta(xfs, vmdk, vdi), VDISK_F_BUFFERED },
	};
	const char *only = getenv("VDT_ONLY");	/* by hand: part of a name */
	size_t i;

	for (i = 0; i < ARRAY_SIZE(images); i++)
		if (!only || strstr(images[i].name, only))
			run_image(images[i].name, images[i].chain, images[i].flags);
}

/* Without a journal: one that is refused memory at the wrong moment ends itself for good. */
static const char *make_ext4(void)
{
	const char *dir = strdup(path_in(scratch_dir(), "ext4"));
	struct run r;

	if (!place_bdev())
		bail("VDT_BDEV is not set");
	if (run(&r, "mkfs.ext4", "-q", "-F", "-b", "4096", "-O", "^has_journal", "-E", "nodiscard",
		place_bdev(), NULL))
		bail("mkfs.ext4: %s", r.err);
	mkdir(dir, 0700);
	if (mount(place_bdev(), dir, "ext4", 0, NULL))
		bail("mount: %s", err_name(errno));
	return dir;
}

int main(void)
{
	const char *ext4, *xfs;
	size_t i;

	inject_init();
	chain_begin(&nl, &ext4, &xfs);
	ext4 = make_ext4();
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		bail("mlockall: %s", err_name(errno));
	text = inject_module();
	run_images(ext4, xfs);
	/* Our own tables may have had all their pages since attach. */
	for (i = 0; i < ARRAY_SIZE(faults); i++)
		ok(faults[i].hits || faults[i].where == INJECT_OWN, "%s: %u refused in all",
		   faults[i].name, faults[i].hits);
	is_num(vdev_count(&nl), 0, "nothing is left attached");
	ok(wait_until(!umount(ext4), 20000), "no file is held");
	rmdir(ext4);
	return tap_done();
}
