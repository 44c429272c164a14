// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every kind of image that can be written, under random I/O of several threads
 * against a shadow. Afterwards the files are what QEMU, and readers of the
 * tests' own, take for a sound image with the shadow's content.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "blk.h"
#include "chain.h"
#include "shadow.h"
#include "tap.h"

/* An odd size: no multiple of any grain, nor of a page. */
#define SMALL		(8 * MIB + 37 * SECTOR)
#define LARGE		(34 * MIB + 5 * SECTOR)
/* With QEMU's speed for grains of one sector in mind. */
#define TINY		(3 * MIB + 37 * SECTOR)
#define OPS		50

/**
 * struct kind - an arrangement of files to be written to
 * @flags: of ATTACH
 * @ops: operations of each thread
 */
struct kind {
	const char *name;
	struct chain chain;
	u32 flags;
	unsigned int ops;
};

static struct nl nl;
static struct nl_reply reply;
static u64 seed;

static u32 largest_unit(const struct image *image)
{
	u64 unit = 0;
	unsigned int i;

	for (i = 0; i < image->nr; i++)
		unit = image->extents[i].unit > unit ? image->extents[i].unit : unit;
	return unit;
}

/* ------------------------------------------------------------------ storms */

/*
 * Four threads, each on its part. The parts meet inside of units, so threads
 * need places for one unit at once; only the first one has pages in the cache,
 * and its part ends with one.
 */
static bool storm(struct kind *k, const struct vdev *dev, struct shadow *s)
{
	u64 quarter = s->size / 4 / 4096 * 4096;
	const u64 starts[5] = { 0, quarter + 4096, 2 * quarter + 3 * SECTOR,
				3 * quarter + 5 * SECTOR, s->size };
	struct storm storms[4] = {
		{ .mixed = true, .depth = 1 },
		{ .direct = true, .depth = 1 },
		{ .direct = true, .depth = 8 },
		{ .direct = true, .depth = 16 },
	};
	unsigned int i;

	for (i = 0; i < 4; i++) {
		storms[i].path = dev->path;
		storms[i].shadow = s;
		storms[i].pos = starts[i];
		storms[i].len = starts[i + 1] - starts[i];
		storms[i].seed = seed++;
		storms[i].ops = i < 2 ? k->ops : 2 * k->ops;
		storms[i].modify = true;
		storms[i].align = SECTOR;
		storms[i].unit = largest_unit(&k->chain.images[0]);
	}
	return storm_run(storms, 4);
}

/* --------------------------------------------------------------- neighbours */

#define NEIGHBOURS	4
#define SLOT		(2 * KIB)

/* A thread that writes its own one of every four slots, at random. */
struct neighbour {
	pthread_t thread;
	const char *path;
	struct shadow *shadow;
	u64 from;
	u64 slots;
	unsigned int index;
	u64 seed;
	int err;
};

static void *neighbour_thread(void *arg)
{
	struct neighbour *n = arg;
	int fd = open(n->path, O_RDWR | O_DIRECT | O_CLOEXEC);
	u8 *buf = xalloc(SLOT);
	struct rng rng;
	unsigned int i;
	u64 pos, where;

	rng_seed(&rng, n->seed);
	for (i = 0; i < 80 && !n->err; i++) {
		pos = rng_below(&rng, n->slots / NEIGHBOURS) * NEIGHBOURS + n->index;
		pos = n->from + pos * SLOT;
		rng_fill(&rng, buf, SLOT);
		if (!pwrite_all(fd, buf, SLOT, pos))
			n->err = errno;
		shadow_write(n->shadow, pos, buf, SLOT);
		if (!pread_all(fd, buf, SLOT, pos) ||
		    !shadow_check(n->shadow, pos, buf, SLOT, &where))
			n->err = n->err ? n->err : EILSEQ;
	}
	free(buf);
	close(fd);
	return NULL;
}

/* All threads want places for the same units, again and again. */
static bool run_neighbours(const struct vdev *dev, struct shadow *s)
{
	struct neighbour n[NEIGHBOURS] = { 0 };
	unsigned int i;
	bool good = true;

	for (i = 0; i < NEIGHBOURS; i++) {
		n[i].path = dev->path;
		n[i].shadow = s;
		n[i].from = s->size / 2 / 4096 * 4096;
		n[i].slots = MIB / SLOT;
		n[i].index = i;
		n[i].seed = seed++;
		pthread_create(&n[i].thread, NULL, neighbour_thread, &n[i]);
	}
	for (i = 0; i < NEIGHBOURS; i++) {
		pthread_join(n[i].thread, NULL);
		if (!n[i].err)
			continue;
		diag("neighbour %u: %s", i, err_name(n[i].err));
		good = false;
	}
	return good;
}

/* ------------------------------------------------------------------ sessions */

/* A request of every few lengths across each border between extents. */
static bool cross_borders(const struct kind *k, const struct vdev *dev, struct shadow *s)
{
	const struct image *top = &k->chain.images[0];
	int fd = vdev_open(dev, O_RDWR | O_DIRECT);
	u64 border = 0, len = 24 * SECTOR, pos;
	u8 *buf = xalloc(len);
	bool good = true;
	unsigned int i;
	u32 cut;

	for (i = 0; i + 1 < top->nr; i++) {
		border += top->extents[i].len;
		for (cut = SECTOR; cut < len; cut += 5 * SECTOR) {
			pos = border - cut;
			memset(buf, (int)(0x21 + cut / SECTOR + 7 * i), len);
			good &= pwrite_all(fd, buf, len, pos);
			shadow_write(s, pos, buf, len);
			good &= shadow_equals(s, fd, pos - SECTOR, len + 2 * SECTOR, pos - SECTOR);
		}
	}
	close(fd);
	free(buf);
	return good;
}

/* The last sectors, and one that is on the medium when the write returns. */
static bool write_ends(const struct vdev *dev, struct shadow *s)
{
	int fd = vdev_open(dev, O_RDWR | O_DIRECT | O_DSYNC);
	u8 *buf = xalloc(4096);
	bool good;

	memset(buf, 0xe7, 4096);
	good = pwrite_all(fd, buf, SECTOR, s->size - SECTOR);
	shadow_write(s, s->size - SECTOR, buf, SECTOR);
	good &= pwrite_all(fd, buf, 4096, 0);
	shadow_write(s, 0, buf, 4096);
	good &= pwrite(fd, buf, 4096, s->size) <= 0;
	free(buf);
	close(fd);
	return good;
}

static bool attach(struct kind *k, u32 flags, struct vdev *dev)
{
	bool good = !chain_attach(&nl, &k->chain, flags | VDISK_F_NO_PARTSCAN, dev, &reply);

	if (!good)
		diag("attach: %s: %s", err_name(reply.error), reply.text);
	return good;
}

static bool device_equals(const struct vdev *dev, const struct shadow *s)
{
	int fd = vdev_open(dev, O_RDONLY | O_DIRECT);
	bool same = bdev_size(fd) == s->size && shadow_equals(s, fd, 0, s->size, 0);

	close(fd);
	return same;
}

static bool detach(const struct vdev *dev)
{
	bool good = !vdev_detach(&nl, dev->id, VDISK_DETACH_PLAIN, &reply);

	if (!good)
		diag("detach: %s: %s", err_name(reply.error), reply.text);
	return good;
}

/*
 * QEMU does not stop at the end of an extent that ends inside of a grain, and so
 * reads the first sectors of the next one from the grain's rest.
 */
static bool qemu_reads(const struct image *image)
{
	unsigned int i;

	for (i = 0; i + 1 < image->nr; i++) {
		if (image->extents[i].unit && image->extents[i].len % image->extents[i].unit)
			return false;
	}
	return true;
}

static void check_files(const struct kind *k, const struct shadow *s, const char *when)
{
	ok(chain_sound(&k->chain, 0), "%s: %s: the image is sound and clean", k->name, when);
	ok(chain_equals(&k->chain, s), "%s: %s: the files hold what was written", k->name, when);
	if (chain_renews(&k->chain))
		ok(chain_renewed(&k->chain), "%s: %s: another content ID", k->name, when);
}

static void ask_qemu(const struct kind *k, const struct shadow *s)
{
	if (!chain_qemu_opens(&k->chain))
		return;
	is_num(chain_qemu_check(&k->chain), 0, "%s: qemu-img check", k->name);
	if (qemu_reads(&k->chain.images[0]))
		ok(chain_qemu_equals(&k->chain, s), "%s: qemu-img compare", k->name);
}

static bool first_session(struct kind *k, struct shadow *s)
{
	struct vdev dev;
	bool good;

	if (!ok(attach(k, k->flags, &dev), "%s: attach", k->name))
		return false;
	diag("%s: %s, dio %s", k->name, dev.path, vdev_sysfs(&dev, "vdisk/dio"));
	ok(device_equals(&dev, s), "%s: reads what the files hold", k->name);
	good = ok(run_neighbours(&dev, s), "%s: neighbours in the same units", k->name);
	good &= ok(storm(k, &dev, s), "%s: storm", k->name);
	good &= ok(cross_borders(k, &dev, s) && write_ends(&dev, s), "%s: borders and ends",
		   k->name);
	good &= ok(vdev_settle(&dev, s), "%s: the disk equals the shadow", k->name);
	is_str(vdev_sysfs(&dev, "vdisk/errors"), "0", "%s: no failed request", k->name);
	return ok(detach(&dev), "%s: detach", k->name) && good;
}

/* Less, onto what the first one left behind; and nobody flushes at the end. */
static void second_session(struct kind *k, struct shadow *s)
{
	struct vdev dev;
	u8 *buf = xalloc(SECTOR);
	bool good;
	int fd;

	k->ops /= 3;
	if (!ok(attach(k, k->flags, &dev), "%s: attach again", k->name))
		goto out;
	good = storm(k, &dev, s) && vdev_settle(&dev, s);
	fd = vdev_open(&dev, O_RDWR | O_DIRECT);
	memset(buf, 0x5a, SECTOR);
	good &= pwrite_all(fd, buf, SECTOR, s->size / 3 / SECTOR * SECTOR);
	shadow_write(s, s->size / 3 / SECTOR * SECTOR, buf, SECTOR);
	close(fd);
	ok(good && detach(&dev), "%s: storm, a last write, detach", k->name);
	check_files(k, s, "second time");
	ask_qemu(k, s);

	if (ok(attach(k, VDISK_F_RDONLY | VDISK_F_HARD_RDONLY, &dev), "%s: attach read-only",
	       k->name)) {
		ok(device_equals(&dev, s), "%s: reads what was written", k->name);
		detach(&dev);
	}
out:
	free(buf);
}

static void run_kind(struct kind *k)
{
	u64 start = now_ms();
	struct shadow s;

	chain_make(&k->chain, seed++);
	chain_load(&k->chain, &s);
	if (first_session(k, &s)) {
		check_files(k, &s, "first time");
		second_session(k, &s);
	}
	vdev_detach_all(&nl);
	chain_remove(&k->chain);
	shadow_free(&s);
	diag("%s: %llu ms", k->name, (unsigned long long)(now_ms() - start));
}

static void run_chain(const char *name, u32 flags, struct chain chain)
{
	struct kind k = { .name = name, .flags = flags, .chain = chain, .ops = OPS };
	const char *only = getenv("VDT_ONLY");	/* by hand: part of a name */
	static unsigned int turn;

	if (brief_run() && turn++ % 2)
		return;
	if (!only || strstr(name, only))
		run_kind(&k);
}

/* -------------------------------------------------------------------- kinds */

static void hosted_kinds(const char *ext4, const char *xfs)
{
	run_chain("hosted, 4 KiB grains, ext4", 0,
		  chain_single(ext4, "w", vmdk_sparse(SMALL, 4096, VMDK_RGD, 40)));
	run_chain("hosted, 64 KiB grains, xfs", 0,
		  chain_single(xfs, "w", vmdk_sparse(LARGE, 64 * KIB, VMDK_RGD, 10)));
	run_chain("hosted, 64 KiB grains, ext4, buffered", VDISK_F_BUFFERED,
		  chain_single(ext4, "w", vmdk_sparse(LARGE, 64 * KIB, VMDK_RGD, 10)));
	run_chain("hosted, one copy, xfs, buffered", VDISK_F_BUFFERED,
		  chain_single(xfs, "w", vmdk_sparse(SMALL, 8192, 0, 30)));
	run_chain("hosted, zeroed grains, ext4", 0,
		  chain_single(ext4, "w", vmdk_sparse(SMALL, 4096, VMDK_RGD | VMDK_ZEROED, 30)));
	run_chain("hosted, no tables yet, ext4", 0,
		  chain_single(ext4, "w", vmdk_sparse(SMALL, 4096, VMDK_RGD | VMDK_NO_TABLES, 0)));
	run_chain("hosted, one copy, no tables yet, xfs", 0,
		  chain_single(xfs, "w", vmdk_sparse(SMALL, 4096, VMDK_NO_TABLES, 0)));
}

/* Several extents: borders that are no multiple of a grain, different grains. */
static void split_kinds(const char *ext4, const char *xfs)
{
	struct chain c;

	c = chain_single(ext4, "w", vmdk_sparse(3 * MIB + 3 * SECTOR, 4096, VMDK_RGD, 30));
	chain_add_extent(&c, xfs, vmdk_sparse(2 * MIB + 11 * SECTOR, 64 * KIB, VMDK_RGD, 20));
	chain_add_extent(&c, ext4, vmdk_sparse(3 * MIB - 7 * SECTOR, 8192,
					      VMDK_RGD | VMDK_NO_TABLES, 0));
	run_chain("three hosted extents, ext4 and xfs", 0, c);

	c = chain_single(ext4, "w", vmdk_flat(4 * MIB + SECTOR));
	chain_add_extent(&c, xfs, vmdk_flat(4 * MIB - SECTOR));
	run_chain("two flat extents, ext4 and xfs", 0, c);

	c = chain_single(xfs, "w", vmdk_flat(3 * MIB + 7 * SECTOR));
	c.images[0].extents[0].offset = 5 * SECTOR;
	chain_add_extent(&c, xfs, vmdk_sparse(3 * MIB, 4096, VMDK_RGD, 30));
	chain_add_extent(&c, xfs, vmdk_flat(2 * MIB));
	run_chain("flat, hosted, flat, xfs, buffered", VDISK_F_BUFFERED, c);
}

static void flat_and_cowd_kinds(const char *ext4, const char *xfs)
{
	run_chain("flat, ext4", 0, chain_single(ext4, "w", vmdk_flat(SMALL)));
	run_chain("COWD, 512-byte grains, ext4", 0,
		  chain_single(ext4, "w", vmdk_cowd(TINY, SECTOR, 30)));
	run_chain("COWD, 512-byte grains, empty, xfs, buffered", VDISK_F_BUFFERED,
		  chain_single(xfs, "w", vmdk_cowd(TINY, SECTOR, 0)));
	run_chain("COWD, 8 KiB grains, xfs", 0,
		  chain_single(xfs, "w", vmdk_cowd(SMALL, 8192, 20)));
}

static void delta_kinds(const char *ext4, const char *xfs)
{
	struct chain c;

	c = chain_single(ext4, "w", vmdk_sparse(SMALL, 64 * KIB, VMDK_RGD, 5));
	chain_add_parent(&c, "p", vmdk_flat(SMALL));
	run_chain("delta over flat, ext4", 0, c);

	c = chain_single(xfs, "w", vmdk_sparse(SMALL, 64 * KIB, VMDK_RGD | VMDK_ZEROED, 10));
	chain_add_parent(&c, "p", vmdk_sparse(SMALL, 4096, VMDK_RGD, 60));
	run_chain("delta with zeroed grains, 64 KiB, xfs", 0, c);

	c = chain_single(xfs, "w", vmdk_sparse(SMALL, 4096, VMDK_RGD, 20));
	chain_add_parent(&c, "m", vmdk_cowd(SMALL, 4096, 30));
	chain_add_parent(&c, "p", vmdk_sparse(SMALL, 64 * KIB, VMDK_RGD, 60));
	run_chain("three deep, sparse over COWD over sparse, xfs", 0, c);

	c = chain_single(ext4, "w", vmdk_sparse(SMALL, 64 * KIB, VMDK_RGD | VMDK_NO_TABLES, 0));
	chain_add_parent(&c, "p", vmdk_flat(5 * MIB + 9 * SECTOR));
	run_chain("delta larger than its parent, ext4, buffered", VDISK_F_BUFFERED, c);

	c = chain_single(ext4, "w", vmdk_cowd(TINY, SECTOR, 10));
	chain_add_parent(&c, "p", vmdk_sparse(TINY, 64 * KIB, VMDK_RGD, 60));
	run_chain("COWD delta over hosted, ext4", 0, c);

	/* Parents are addressed by the disk, not by the extent. */
	c = chain_single(ext4, "w", vmdk_sparse(4 * MIB, 64 * KIB, VMDK_RGD, 5));
	chain_add_extent(&c, xfs, vmdk_sparse(4 * MIB, 4096, VMDK_RGD | VMDK_ZEROED, 5));
	chain_add_parent(&c, "p", vmdk_flat(8 * MIB));
	run_chain("split delta, ext4 and xfs", 0, c);
}

/* One line a kind: unit, flags, used. */
static void vdi_kinds(const char *ext4, const char *xfs)
{
	const struct {
		const char *name;
		const char *dir;
		u32 flags;
		struct extent extent;
	} kinds[] = {
		{ "VDI as QEMU's, ext4", ext4, 0, vdi_blocks(SMALL, MIB, 0, 50) },
		{ "VDI as VirtualBox's, holes, xfs", xfs, 0,
		  vdi_blocks(SMALL, MIB, VDI_VIRTUALBOX | VDI_ZEROED | VDI_HOLES, 50) },
		{ "VDI, 4 KiB blocks, holes, counter too small, xfs", xfs, 0,
		  vdi_blocks(SMALL, 4096, VDI_HOLES | VDI_COUNT_LOW, 40) },
		{ "VDI, 64 KiB blocks, counter too large, a tail, ext4, buffered",
		  ext4, VDISK_F_BUFFERED,
		  vdi_blocks(LARGE, 64 * KIB, VDI_VIRTUALBOX | VDI_COUNT_HIGH | VDI_TAIL, 10) },
		{ "VDI, 512-byte blocks, empty, ext4", ext4, 0, vdi_blocks(TINY, SECTOR, 0, 0) },
		{ "VDI, last slot cut, xfs", xfs, 0,
		  vdi_blocks(SMALL, 64 * KIB, VDI_SHORT | VDI_HOLES, 30) },
		{ "VDI, fixed, ext4", ext4, 0, vdi_blocks(SMALL, MIB, VDI_FIXED, 50) },
		{ "VDI, fixed, 8 KiB blocks, xfs, buffered", xfs, VDISK_F_BUFFERED,
		  vdi_blocks(SMALL, 8192, VDI_FIXED | VDI_VIRTUALBOX, 30) },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		run_chain(kinds[i].name, kinds[i].flags,
			  chain_single(kinds[i].dir, "w", kinds[i].extent));
}

/* Formats, sizes and units of all sorts in one chain. */
static void mixed_kinds(const char *ext4, const char *xfs)
{
	struct chain c;

	run_chain("VDI delta over VDI, 1 MiB, ext4", 0,
		  chain_delta(ext4, vdi_blocks(SMALL, MIB, VDI_VIRTUALBOX | VDI_ZEROED, 30),
			      vdi_blocks(SMALL, MIB, 0, 60)));
	run_chain("VDI delta over raw, 4 KiB, larger, xfs", 0,
		  chain_delta(xfs, vdi_blocks(SMALL, 4096, VDI_ZEROED | VDI_HOLES, 20),
			      raw_file(5 * MIB + 9 * SECTOR)));

	c = chain_delta(ext4, vdi_blocks(SMALL, 64 * KIB, VDI_ZEROED, 10),
			vmdk_sparse(6 * MIB + SECTOR, 4096, VMDK_RGD, 50));
	chain_add_parent(&c, "r", raw_file(SMALL + MIB));
	run_chain("VDI over VMDK over raw, ext4", 0, c);

	c = chain_delta(xfs, vmdk_sparse(SMALL, 64 * KIB, VMDK_RGD | VMDK_ZEROED, 10),
			vdi_blocks(SMALL - 3 * SECTOR, MIB, VDI_ZEROED, 40));
	chain_add_parent(&c, "r", vdi_blocks(7 * MIB, 8192, VDI_FIXED | VDI_OLD, 60));
	run_chain("VMDK over VDI over VDI 0.2, xfs, buffered", VDISK_F_BUFFERED, c);
}

/* ------------------------------------------------------------------- oracle */

static void poke(const char *path, u64 pos, const void *buf, u64 len)
{
	int fd = xopen(path, O_RDWR);

	if (!pwrite_all(fd, buf, len, pos))
		bail("%s: %s", path, err_name(errno));
	close(fd);
}

/* Would anybody notice? @what is done to a good image. */
static void spoil(struct chain *c, const char *what, u64 pos, const void *buf, u64 len)
{
	poke(c->images[0].path, pos, buf, len);
	diag("the next complaint is wanted");
	ok(!chain_sound(c, 0), "the oracle sees %s", what);
	chain_make(c, 5);
}

/* The first entry of the table at @table that is not @empty. */
static u64 first_entry(const char *path, u64 table, u32 empty)
{
	int fd = xopen(path, O_RDONLY);
	u32 entry = empty;

	while (pread_all(fd, &entry, 4, table) && entry == empty)
		table += 4;
	close(fd);
	return table;
}

/* The maker, the reader and QEMU agree. */
static void ask_all(struct chain *c, const char *name)
{
	struct shadow s;

	chain_make(c, 5);
	chain_load(c, &s);
	ok(chain_sound(c, 0), "a fresh %s is sound", name);
	is_num(chain_qemu_check(c), 0, "to QEMU, too");
	ok(chain_qemu_equals(c, &s), "which reads what the test reads");
	s.data[7777777] ^= 1;
	ok(!chain_qemu_equals(c, &s) && !chain_equals(c, &s), "the oracles see one wrong bit");
	shadow_free(&s);
}

static void test_vmdk_oracle(const char *dir)
{
	struct chain c = chain_single(dir, "o", vmdk_sparse(SMALL, 4096, VMDK_RGD, 50));
	/* Behind header and descriptor, directory and 5 tables, another directory. */
	const u64 gt = (1 + 20 + 1 + 4 * 5 + 1) * SECTOR;
	const u32 elsewhere = 40000, one = 1;

	ask_all(&c, "VMDK");
	spoil(&c, "a mark of use", 72, &one, 1);
	spoil(&c, "an entry in one table only", first_entry(c.images[0].path, gt, 0), &elsewhere,
	      4);
	chain_remove(&c);
}

static void test_vdi_oracle(const char *dir)
{
	struct chain c = chain_single(dir, "o", vdi_blocks(SMALL, MIB, 0, 70));
	const u64 map = SECTOR, counter = 388, comment = 84;
	const u32 free = ~0U, outside = 9, few = 1;
	u64 first;
	u32 last;

	ask_all(&c, "VDI");
	last = extent_units(&c.images[0].extents[0]) - 1;
	first = first_entry(c.images[0].path, map, free);
	spoil(&c, "a wrong counter", counter, &few, 4);
	spoil(&c, "a slot outside of the file", first, &outside, 4);
	spoil(&c, "a block that was lost", first, &free, 4);
	spoil(&c, "a changed comment", comment, "A", 1);
	spoil(&c, "a byte past the last slot", SECTOR * 2 + (last + 1) * MIB, "A", 1);
	poke(c.images[0].path, first, &last, 4);
	spoil(&c, "two blocks in one slot", first_entry(c.images[0].path, first + 4, free), &last,
	      4);
	chain_remove(&c);
}

int main(void)
{
	const char *ext4 = place_ext4(), *xfs = place_xfs();
	int ret;

	seed = getenv("VDT_SEED") ? strtoull(getenv("VDT_SEED"), NULL, 10) : now_ms();
	diag("first seed %llu", (unsigned long long)seed);
	test_vmdk_oracle(scratch_dir());
	test_vdi_oracle(scratch_dir());
	ret = nl_open(&nl);
	if (ret)
		bail("no vdisk family: %s", err_name(ret));
	if (!ext4 || !xfs)
		bail("VDT_EXT4 and VDT_XFS are not set");
	hosted_kinds(ext4, xfs);
	split_kinds(ext4, xfs);
	flat_and_cowd_kinds(ext4, xfs);
	delta_kinds(ext4, xfs);
	vdi_kinds(ext4, xfs);
	mixed_kinds(ext4, xfs);
	is_num(vdev_count(&nl), 0, "nothing is left attached");
	nl_close(&nl);
	return tap_done();
}
