// SPDX-License-Identifier: GPL-2.0-only
/*
 * Zeros and discards in VMDKs. A grain that is zeroed in a delta stays zeros,
 * whatever a parent has there and however it was asked for: VirtualBox once
 * showed the parent's data again. A discard keeps to whole grains.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blk.h"
#include "shadow.h"
#include "tap.h"
#include "vmdk.h"

#define DISK	(6 * MIB + 3 * SECTOR)

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

static int start(struct vmdk_chain *c, u32 flags, struct vdev *dev)
{
	vmdk_must_attach(&nl, c, flags | VDISK_F_NO_PARTSCAN, dev, &reply);
	return vdev_open(dev, (flags & VDISK_F_HARD_RDONLY ? O_RDONLY : O_RDWR) | O_DIRECT);
}

static void stop(const struct vdev *dev, int fd, const char *name)
{
	close(fd);
	if (!is_err(vdev_detach(&nl, dev->id, VDISK_DETACH_PLAIN, &reply), 0, "%s: detach", name))
		diag("%s", reply.text);
}

static void check_image(struct vmdk_chain *c, const struct shadow *s, const char *name)
{
	struct vdev dev;
	int fd;

	ok(vmdk_sound(c, 0), "%s: sound", name);
	ok(vmdk_equals(c, s), "%s: the files hold what they should", name);
	is_num(vmdk_qemu_check(c), 0, "%s: qemu-img check", name);
	ok(vmdk_qemu_equals(c, s), "%s: qemu-img compare", name);
	fd = start(c, VDISK_F_RDONLY | VDISK_F_HARD_RDONLY, &dev);
	ok(shadow_equals(s, fd, 0, s->size, 0), "%s: so does the disk, attached again", name);
	stop(&dev, fd, name);
}

static u64 largest(const struct vmdk_chain *c)
{
	return c->images[0].extents[0].grain;
}

/* ------------------------------------------------------------------- zeros */

/* One grain as a whole, half a grain, a run of grains and what surrounds it. */
static bool zero_places(int fd, enum way way, u64 base, u64 grain, struct shadow *s)
{
	const struct { u64 pos, len; } places[] = {
		{ base, grain },
		{ base + 2 * grain + SECTOR, grain > SECTOR ? grain / 2 : grain },
		{ base + 5 * grain - SECTOR, 3 * grain + 2 * SECTOR },
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
static void test_zeros(struct vmdk_chain c, u32 flags, const char *name)
{
	u64 grain = largest(&c), step;
	struct shadow s;
	struct vdev dev;
	enum way way;
	int fd;

	vmdk_make(&c, 77);
	vmdk_load(&c, &s);
	step = DISK / WAYS / grain * grain;
	fd = start(&c, flags, &dev);
	for (way = 0; way < WAYS; way++)
		ok(zero_places(fd, way, way * step, grain, &s), "%s: %s", name, way_names[way]);
	ok(shadow_equals(&s, fd, 0, s.size, 0), "%s: zeros there, data elsewhere", name);
	ok(!fsync(fd), "%s: fsync", name);
	stop(&dev, fd, name);
	check_image(&c, &s, name);
	vmdk_remove(&c);
	shadow_free(&s);
}

static void zero_kinds(const char *ext4, const char *xfs)
{
	struct vmdk_chain c;

	c = vmdk_single(ext4, "z", vmdk_sparse(DISK, 64 * KIB, VMDK_RGD, 0));
	vmdk_add_parent(&c, "p", vmdk_flat(DISK));
	c.images[1].extents[0].used = 100;
	test_zeros(c, 0, "delta");

	c.images[0].extents[0].flags |= VMDK_ZEROED;
	test_zeros(c, VDISK_F_BUFFERED, "delta with zeroed grains, buffered");

	c = vmdk_single(xfs, "z", vmdk_sparse(DISK, 4096, VMDK_RGD, 50));
	vmdk_add_parent(&c, "p", vmdk_sparse(DISK, 64 * KIB, VMDK_RGD, 100));
	test_zeros(c, 0, "delta that has half of the grains");

	c = vmdk_single(xfs, "z", vmdk_cowd(DISK, 4096, 20));
	vmdk_add_parent(&c, "p", vmdk_sparse(DISK, 64 * KIB, VMDK_RGD, 100));
	test_zeros(c, 0, "COWD delta");

	test_zeros(vmdk_single(ext4, "z", vmdk_sparse(DISK, 8192, VMDK_RGD, 100)), 0, "base");
}

/* ---------------------------------------------------------------- discards */

static u64 blocks_of(const struct vmdk_chain *c)
{
	struct stat st;

	return stat(c->images[0].extents[0].path, &st) ? 0 : st.st_blocks;
}

/* Without a parent: whole grains read zeros and give space back, others stay. */
static void test_base_discard(const char *dir)
{
	const u64 grain = 64 * KIB;
	struct vmdk_chain c = vmdk_single(dir, "d", vmdk_sparse(DISK, grain, VMDK_RGD, 100));
	u64 grains, blocks;
	struct shadow s;
	struct vdev dev;
	int fd;

	vmdk_make(&c, 78);
	vmdk_load(&c, &s);
	grains = vmdk_grains(&c.images[0].extents[0]);
	blocks = blocks_of(&c);
	fd = start(&c, 0, &dev);
	is_num(strtoull(vdev_sysfs(&dev, "queue/discard_granularity"), NULL, 10), grain,
	       "discard: the granularity is a grain");
	is_err(bdev_discard(fd, 10 * grain + SECTOR, 3 * grain - 2 * SECTOR), 0,
	       "discard: one grain and parts of two");
	shadow_zero(&s, 11 * grain, grain);
	is_err(bdev_discard(fd, 20 * grain + 4096, 8192), 0, "discard: part of one");
	ok(shadow_equals(&s, fd, 0, s.size, 0), "discard: the whole grain reads zeros, no other");
	is_err(bdev_discard(fd, 30 * grain, 20 * grain), 0, "discard: 20 grains");
	shadow_zero(&s, 30 * grain, 20 * grain);
	is_err(bdev_discard(fd, s.size / grain * grain, s.size % grain), 0,
	       "discard: the last grain, cut off by the disk's end");
	shadow_discard(&s, s.size / grain * grain, s.size % grain);
	ok(shadow_equals(&s, fd, 0, s.size, 0), "discard: zeros there, data elsewhere");
	shadow_settle(&s, fd);
	stop(&dev, fd, "discard");
	check_image(&c, &s, "discard");
	ok(vmdk_grains(&c.images[0].extents[0]) <= grains - 21, "discard: 21 grains have no place");
	ok(blocks_of(&c) <= blocks - 20 * grain / 512, "discard: %llu blocks, before %llu",
	   (unsigned long long)blocks_of(&c), (unsigned long long)blocks);
	vmdk_remove(&c);
	shadow_free(&s);
}

/* What is given back is used again, and by then nobody sees it any more. */
static void test_reuse(const char *dir)
{
	const u64 grain = 64 * KIB;
	struct vmdk_chain c = vmdk_single(dir, "d", vmdk_sparse(DISK, grain, VMDK_RGD, 100));
	u8 *buf = xalloc(SECTOR);
	struct shadow s;
	struct vdev dev;
	struct stat st;
	bool good = true;
	unsigned int i;
	u64 pos;
	int fd;

	vmdk_make(&c, 79);
	vmdk_load(&c, &s);
	fd = start(&c, 0, &dev);
	for (i = 0; i < 60; i++) {
		pos = i % 15 * 4 * grain;
		good &= !bdev_discard(fd, pos, 4 * grain) && !fsync(fd);
		shadow_zero(&s, pos, 4 * grain);
		memset(buf, (int)(i + 1), SECTOR);
		good &= pwrite_all(fd, buf, SECTOR, pos + grain + 8192);
		shadow_write(&s, pos + grain + 8192, buf, SECTOR);
		good &= shadow_equals(&s, fd, pos, 4 * grain, pos);
	}
	ok(good, "reuse: discard, fsync, write into what has no place, 60 times");
	stop(&dev, fd, "reuse");
	check_image(&c, &s, "reuse");
	if (stat(c.images[0].path, &st))
		bail("stat: %s", err_name(errno));
	is_num(st.st_size, c.images[0].extents[0].size, "reuse: the file did not grow");
	vmdk_remove(&c);
	shadow_free(&s);
	free(buf);
}

/* Zeroing that keeps the space, and a discard that is switched off. */
static void test_keep(const char *dir)
{
	const u64 grain = 64 * KIB;
	struct vmdk_chain c = vmdk_single(dir, "d", vmdk_sparse(DISK, grain, VMDK_RGD, 100));
	u64 grains, blocks;
	struct shadow s;
	struct vdev dev;
	int fd;

	vmdk_make(&c, 80);
	vmdk_load(&c, &s);
	grains = vmdk_grains(&c.images[0].extents[0]);
	blocks = blocks_of(&c);
	fd = start(&c, 0, &dev);
	is_err(make_zeros(fd, ZERO_RANGE, 8 * grain, 16 * grain), 0, "keep: ZERO_RANGE");
	shadow_zero(&s, 8 * grain, 16 * grain);
	is_err(vdev_set(&nl, dev.id, VDISK_F_NO_DISCARD, VDISK_F_NO_DISCARD, &reply), 0,
	       "keep: discard off");
	is_err(bdev_discard(fd, 40 * grain, 16 * grain), 0, "keep: a discard completes");
	ok(shadow_equals(&s, fd, 0, s.size, 0), "keep: zeros in one place, data in the other");
	stop(&dev, fd, "keep");
	check_image(&c, &s, "keep");
	is_num(vmdk_grains(&c.images[0].extents[0]), grains, "keep: no grain lost its place");
	ok(blocks_of(&c) + 64 >= blocks, "keep: nor the file its space");
	vmdk_remove(&c);
	shadow_free(&s);
}

/* In a delta a discard may do nothing, but what it did must last. */
static void test_delta_discard(const char *dir, u32 flags, const char *name)
{
	struct vmdk_chain c = vmdk_single(dir, "d", vmdk_sparse(DISK, 64 * KIB, flags, 50));
	struct shadow s;
	struct vdev dev;
	int fd;

	vmdk_add_parent(&c, "p", vmdk_flat(DISK));
	c.images[1].extents[0].used = 100;
	vmdk_make(&c, 81);
	vmdk_load(&c, &s);
	fd = start(&c, 0, &dev);
	is_err(bdev_discard(fd, MIB, 3 * MIB + 9 * SECTOR), 0, "%s: discard", name);
	shadow_discard(&s, MIB, 3 * MIB + 9 * SECTOR);
	ok(shadow_equals(&s, fd, 0, s.size, 0), "%s: old or zeros, never the parent's", name);
	shadow_settle(&s, fd);
	ok(shadow_equals(&s, fd, 0, s.size, 0), "%s: the same each time", name);
	stop(&dev, fd, name);
	check_image(&c, &s, name);
	vmdk_remove(&c);
	shadow_free(&s);
}

int main(void)
{
	const char *ext4, *xfs;

	vmdk_begin(&nl, &ext4, &xfs);
	zero_kinds(ext4, xfs);
	test_base_discard(ext4);
	test_reuse(xfs);
	test_keep(xfs);
	test_delta_discard(ext4, VMDK_RGD, "discard in a delta");
	test_delta_discard(xfs, VMDK_RGD | VMDK_ZEROED, "discard in a delta with zeroed grains");
	is_num(vdev_count(&nl), 0, "nothing is left attached");
	nl_close(&nl);
	return tap_done();
}
