// SPDX-License-Identifier: GPL-2.0-only
/*
 * Zeros and discards in images. A unit that is zeroed in a delta stays zeros,
 * whatever a parent has there and however it was asked for: VirtualBox once
 * showed the parent's data again. A discard keeps to whole units.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blk.h"
#include "chain.h"
#include "shadow.h"
#include "tap.h"

#define DISK	(6 * MIB + 3 * SECTOR)
#define LARGE	(37 * MIB + 5 * SECTOR)	/* for units of 1 MiB */

static struct nl nl;
static struct nl_reply reply;

enum way { ZEROOUT, PUNCH, ZERO_RANGE, WRITE_ZEROS, WAYS };

static const char *const way_names[] = {
	"BLKZEROOUT", "PUNCH_HOLE", "ZERO_RANGE", "written zeros",
};

static int make_zeros(int fd, enum way way, u64 pos, u64 len)
{
	u8 *zero;
	int ret;

	switch (way) {
	case ZEROOUT:
		return bdev_zeroout(fd, pos, len);
	case PUNCH:
		ret = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, pos, len);
		return ret ? -errno : 0;
	case ZERO_RANGE:
		ret = fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, pos, len);
		return ret ? -errno : 0;
	default:
		zero = xalloc(len);
		ret = pwrite_all(fd, zero, len, pos) ? 0 : -errno;
		free(zero);
		return ret;
	}
}

static int start(struct chain *c, u32 flags, struct vdev *dev)
{
	chain_must_attach(&nl, c, flags | VDISK_F_NO_PARTSCAN, dev, &reply);
	return vdev_open(dev, (flags & VDISK_F_HARD_RDONLY ? O_RDONLY : O_RDWR) | O_DIRECT);
}

static void stop(const struct vdev *dev, int fd, const char *name)
{
	close(fd);
	if (!is_err(vdev_detach(&nl, dev->id, VDISK_DETACH_PLAIN, &reply), 0, "%s: detach", name))
		diag("%s", reply.text);
}

static void check_image(struct chain *c, const struct shadow *s, const char *name)
{
	struct vdev dev;
	int fd;

	ok(chain_sound(c, 0), "%s: sound", name);
	ok(chain_equals(c, s), "%s: the files hold what they should", name);
	chain_ask_qemu(c, s, name);
	fd = start(c, VDISK_F_RDONLY | VDISK_F_HARD_RDONLY, &dev);
	ok(shadow_equals(s, fd, 0, s->size, 0), "%s: so does the disk, attached again", name);
	stop(&dev, fd, name);
}

static u64 unit_of(const struct chain *c)
{
	return c->images[0].extents[0].unit;
}

/* ------------------------------------------------------------------- zeros */

/* One unit as a whole, half a unit, a run of units and what surrounds it. */
static bool zero_places(int fd, enum way way, u64 base, u64 unit, struct shadow *s)
{
	const struct { u64 pos, len; } places[] = {
		{ base, unit },
		{ base + 2 * unit + SECTOR, unit > SECTOR ? unit / 2 : unit },
		{ base + 5 * unit - SECTOR, 3 * unit + 2 * SECTOR },
	};
	bool good = true;
	size_t i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(places); i++) {
		ret = make_zeros(fd, way, places[i].pos, places[i].len);
		if (ret) {
			diag("%s at %llu: %s", way_names[way], (unsigned long long)places[i].pos,
			     err_name(ret));
			good = false;
		}
		shadow_zero(s, places[i].pos, places[i].len);
	}
	return good;
}

/* In a disk whose every byte is data, of its own or of a parent. */
static void test_zeros(struct chain c, u32 flags, const char *name)
{
	u64 unit = unit_of(&c), step;
	static unsigned int turn;
	struct shadow s;
	struct vdev dev;
	enum way way;
	int fd;

	if (brief_run() && turn++ % 2)
		return;
	chain_make(&c, 77);
	chain_load(&c, &s);
	step = s.size / WAYS / unit * unit;
	fd = start(&c, flags, &dev);
	for (way = 0; way < WAYS; way++)
		ok(zero_places(fd, way, way * step, unit, &s), "%s: %s", name, way_names[way]);
	ok(shadow_equals(&s, fd, 0, s.size, 0), "%s: zeros there, data elsewhere", name);
	ok(!fsync(fd), "%s: fsync", name);
	stop(&dev, fd, name);
	check_image(&c, &s, name);
	chain_remove(&c);
	shadow_free(&s);
}

/* Every byte of @base is data. */
static struct chain over(const char *dir, struct extent top, struct extent base)
{
	base.used = 100;
	return chain_delta(dir, top, base);
}

static void vmdk_zero_kinds(const char *ext4, const char *xfs)
{
	struct extent top = vmdk_sparse(DISK, 64 * KIB, VMDK_RGD, 0);

	test_zeros(over(ext4, top, vmdk_flat(DISK)), 0, "delta");
	top.flags |= VMDK_ZEROED;
	test_zeros(over(ext4, top, vmdk_flat(DISK)), VDISK_F_BUFFERED,
		   "delta with zeroed grains, buffered");
	test_zeros(over(xfs, vmdk_sparse(DISK, 4096, VMDK_RGD, 50),
			vmdk_sparse(DISK, 64 * KIB, VMDK_RGD, 0)), 0,
		   "delta that has half of the grains");
	test_zeros(over(xfs, vmdk_cowd(DISK, 4096, 20), vmdk_sparse(DISK, 64 * KIB, VMDK_RGD, 0)),
		   0, "COWD delta");
	test_zeros(chain_single(ext4, "z", vmdk_sparse(DISK, 8192, VMDK_RGD, 100)), 0, "base");
	test_zeros(over(ext4, vmdk_sparse(LARGE, MIB, VMDK_RGD, 0), raw_file(LARGE)), 0,
		   "delta, 1 MiB grains");
}

static void vdi_zero_kinds(const char *ext4, const char *xfs)
{
	test_zeros(over(ext4, vdi_blocks(LARGE, MIB, VDI_VIRTUALBOX, 0),
			vdi_blocks(LARGE, MIB, 0, 0)), 0, "VDI delta, 1 MiB blocks");
	test_zeros(over(xfs, vdi_blocks(DISK, 64 * KIB, VDI_ZEROED, 50), raw_file(DISK)),
		   VDISK_F_BUFFERED, "VDI delta that has half of the blocks, buffered");
	test_zeros(over(ext4, vdi_blocks(DISK, 4096, VDI_HOLES, 20),
			vmdk_sparse(DISK, 64 * KIB, VMDK_RGD, 0)), 0, "VDI delta over VMDK");
	test_zeros(over(xfs, vmdk_sparse(DISK, 64 * KIB, VMDK_RGD, 10),
			vdi_blocks(DISK, MIB, 0, 0)), 0, "VMDK delta over VDI");
	test_zeros(chain_single(xfs, "z", vdi_blocks(DISK, 8192, 0, 100)), 0, "VDI base");
	test_zeros(chain_single(ext4, "z", vdi_blocks(LARGE, MIB, VDI_FIXED, 100)), 0,
		   "VDI, fixed");
}

/* ---------------------------------------------------------------- discards */

static u64 blocks_of(const struct chain *c)
{
	struct stat st;

	return stat(c->images[0].extents[0].path, &st) ? 0 : st.st_blocks;
}

/* Without a parent: whole units read zeros and give space back, others stay. */
static void test_base_discard(struct chain c, const char *name)
{
	const u64 unit = unit_of(&c);
	u64 units, blocks;
	struct shadow s;
	struct vdev dev;
	int fd;

	chain_make(&c, 78);
	chain_load(&c, &s);
	units = extent_units(&c.images[0].extents[0]);
	blocks = blocks_of(&c);
	fd = start(&c, 0, &dev);
	is_num(strtoull(vdev_sysfs(&dev, "queue/discard_granularity"), NULL, 10), unit,
	       "%s, discard: the granularity is a unit", name);
	is_err(bdev_discard(fd, 10 * unit + SECTOR, 3 * unit - 2 * SECTOR), 0,
	       "%s, discard: one unit and parts of two", name);
	shadow_zero(&s, 11 * unit, unit);
	is_err(bdev_discard(fd, 20 * unit + 4096, 8192), 0, "%s, discard: part of one", name);
	ok(shadow_equals(&s, fd, 0, s.size, 0), "%s, discard: the whole unit reads zeros, no other",
	   name);
	is_err(bdev_discard(fd, 30 * unit, 20 * unit), 0, "%s, discard: 20 units", name);
	shadow_zero(&s, 30 * unit, 20 * unit);
	is_err(bdev_discard(fd, s.size / unit * unit, s.size % unit), 0,
	       "%s, discard: the last unit, cut off by the disk's end", name);
	shadow_discard(&s, s.size / unit * unit, s.size % unit);
	ok(shadow_equals(&s, fd, 0, s.size, 0), "%s, discard: zeros there, data elsewhere", name);
	shadow_settle(&s, fd);
	stop(&dev, fd, name);
	check_image(&c, &s, name);
	ok(extent_units(&c.images[0].extents[0]) <= units - 21,
	   "%s, discard: 21 units have no place", name);
	ok(blocks_of(&c) <= blocks - 20 * unit / 512, "%s, discard: %llu blocks, before %llu", name,
	   (unsigned long long)blocks_of(&c), (unsigned long long)blocks);
	chain_remove(&c);
	shadow_free(&s);
}

/* What is given back is used again, and by then nobody sees it any more. */
static void test_reuse(struct chain c, const char *name)
{
	const u64 unit = unit_of(&c);
	u8 *buf = xalloc(SECTOR);
	struct shadow s;
	struct vdev dev;
	struct stat st;
	bool good = true;
	unsigned int i;
	u64 pos;
	int fd;

	chain_make(&c, 79);
	chain_load(&c, &s);
	fd = start(&c, 0, &dev);
	for (i = 0; i < 60; i++) {
		pos = i % 15 * 4 * unit;
		good &= !bdev_discard(fd, pos, 4 * unit) && !fsync(fd);
		shadow_zero(&s, pos, 4 * unit);
		memset(buf, (int)(i + 1), SECTOR);
		good &= pwrite_all(fd, buf, SECTOR, pos + unit + 8192);
		shadow_write(&s, pos + unit + 8192, buf, SECTOR);
		good &= shadow_equals(&s, fd, pos, 4 * unit, pos);
	}
	ok(good, "%s, reuse: discard, fsync, write into what has no place, 60 times", name);
	stop(&dev, fd, name);
	check_image(&c, &s, name);
	if (stat(c.images[0].path, &st))
		bail("stat: %s", err_name(errno));
	ok((u64)st.st_size <= c.images[0].extents[0].size, "%s, reuse: the file did not grow",
	   name);
	chain_remove(&c);
	shadow_free(&s);
	free(buf);
}

/* Zeroing that keeps the space, and a discard that is switched off. */
static void test_keep(struct chain c, const char *name)
{
	const u64 unit = unit_of(&c);
	u64 units, blocks;
	struct shadow s;
	struct vdev dev;
	int fd;

	chain_make(&c, 80);
	chain_load(&c, &s);
	units = extent_units(&c.images[0].extents[0]);
	blocks = blocks_of(&c);
	fd = start(&c, 0, &dev);
	is_err(make_zeros(fd, ZERO_RANGE, 8 * unit, 16 * unit), 0, "%s, keep: ZERO_RANGE", name);
	shadow_zero(&s, 8 * unit, 16 * unit);
	is_err(vdev_set(&nl, dev.id, VDISK_F_NO_DISCARD, VDISK_F_NO_DISCARD, &reply), 0,
	       "%s, keep: discard off", name);
	is_err(bdev_discard(fd, 40 * unit, 16 * unit), 0, "%s, keep: a discard completes", name);
	ok(shadow_equals(&s, fd, 0, s.size, 0), "%s, keep: zeros in one place, data in the other",
	   name);
	stop(&dev, fd, name);
	check_image(&c, &s, name);
	is_num(extent_units(&c.images[0].extents[0]), units, "%s, keep: no unit lost its place",
	       name);
	ok(blocks_of(&c) + 64 >= blocks, "%s, keep: nor the file its space", name);
	chain_remove(&c);
	shadow_free(&s);
}

/* In a delta a discard may do nothing, but what it did must last. */
static void test_delta_discard(struct chain c, const char *name)
{
	struct shadow s;
	struct vdev dev;
	int fd;

	chain_make(&c, 81);
	chain_load(&c, &s);
	fd = start(&c, 0, &dev);
	is_err(bdev_discard(fd, MIB, 3 * MIB + 9 * SECTOR), 0, "%s: discard", name);
	shadow_discard(&s, MIB, 3 * MIB + 9 * SECTOR);
	ok(shadow_equals(&s, fd, 0, s.size, 0), "%s: old or zeros, never the parent's", name);
	shadow_settle(&s, fd);
	ok(shadow_equals(&s, fd, 0, s.size, 0), "%s: the same each time", name);
	stop(&dev, fd, name);
	check_image(&c, &s, name);
	chain_remove(&c);
	shadow_free(&s);
}

static void base_kinds(const char *ext4, const char *xfs)
{
	const struct {
		const char *name;
		struct extent extent;
	} kinds[] = {
		{ "VMDK", vmdk_sparse(DISK, 64 * KIB, VMDK_RGD, 100) },
		{ "VDI", vdi_blocks(DISK, 64 * KIB, 0, 100) },
		{ "VDI with holes", vdi_blocks(DISK, 64 * KIB, VDI_VIRTUALBOX | VDI_HOLES, 100) },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		test_base_discard(chain_single(ext4, "d", kinds[i].extent), kinds[i].name);
		test_reuse(chain_single(xfs, "d", kinds[i].extent), kinds[i].name);
	}
	/* Where nothing gets or loses its place, holes stay, too. */
	for (i = 0; i < 2; i++)
		test_keep(chain_single(ext4, "d", kinds[i].extent), kinds[i].name);
}

static void delta_kinds(const char *ext4, const char *xfs)
{
	test_delta_discard(over(ext4, vmdk_sparse(DISK, 64 * KIB, VMDK_RGD, 50), vmdk_flat(DISK)),
			   "discard in a delta");
	test_delta_discard(over(xfs, vmdk_sparse(DISK, 64 * KIB, VMDK_RGD | VMDK_ZEROED, 50),
				vmdk_flat(DISK)), "discard in a delta with zeroed grains");
	test_delta_discard(over(xfs, vdi_blocks(DISK, 64 * KIB, 0, 50), raw_file(DISK)),
			   "discard in a VDI delta");
	test_delta_discard(chain_single(ext4, "d", vdi_blocks(DISK, 64 * KIB, VDI_FIXED, 100)),
			   "discard in a fixed VDI");
}

int main(void)
{
	const char *ext4, *xfs;

	chain_begin(&nl, &ext4, &xfs);
	vmdk_zero_kinds(ext4, xfs);
	vdi_zero_kinds(ext4, xfs);
	base_kinds(ext4, xfs);
	delta_kinds(ext4, xfs);
	is_num(vdev_count(&nl), 0, "nothing is left attached");
	nl_close(&nl);
	return tap_done();
}
