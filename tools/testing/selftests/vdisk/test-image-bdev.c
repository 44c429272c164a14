// SPDX-License-Identifier: GPL-2.0-only
/*
 * An image on a block device instead of in a file: the device's end is the limit,
 * and what the device held before shows through nowhere.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "blk.h"
#include "chain.h"
#include "shadow.h"
#include "tap.h"

#define CHUNK	(192 * KIB)

static struct nl nl;
static struct nl_reply reply;

/* Old content, none of it zeros, up to @len bytes from the start and at the end. */
static u64 soil(const char *path, u64 len)
{
	u8 *buf = xalloc(MIB);
	int fd = xopen(path, O_RDWR);
	u64 size = bdev_size(fd), pos;

	memset(buf, 0xee, MIB);
	for (pos = 0; pos < len; pos += MIB) {
		if (!pwrite_all(fd, buf, MIB, pos))
			bail("%s: %s", path, err_name(errno));
	}
	if (!pwrite_all(fd, buf, MIB, size - MIB) || fsync(fd))
		bail("%s: %s", path, err_name(errno));
	close(fd);
	free(buf);
	return size;
}

static int start(struct chain *c, u32 flags, struct vdev *dev)
{
	chain_must_attach(&nl, c, flags | VDISK_F_NO_PARTSCAN, dev, &reply);
	return vdev_open(dev, (flags & VDISK_F_HARD_RDONLY ? O_RDONLY : O_RDWR) | O_DIRECT);
}

/* Write on from @pos until there is no more space; returns where that was. */
static u64 fill(int fd, u64 pos, struct shadow *s)
{
	u8 *buf = xalloc(CHUNK);
	struct rng rng;

	rng_seed(&rng, 9);
	rng_fill(&rng, buf, CHUNK);
	errno = 0;
	for (; pos + CHUNK <= s->size; pos += CHUNK) {
		memcpy(buf, &pos, sizeof(pos));
		if (pwrite(fd, buf, CHUNK, pos) != (ssize_t)CHUNK)
			break;
		shadow_write(s, pos, buf, CHUNK);
	}
	free(buf);
	return pos;
}

/* Sectors of a failed write may be there or not. */
static void forgive(int fd, u64 pos, struct shadow *s)
{
	u8 *buf = xalloc(CHUNK);
	u64 len = s->size - pos < CHUNK ? s->size - pos : CHUNK;

	if (pread_all(fd, buf, len, pos))
		shadow_write(s, pos, buf, len);
	free(buf);
}

static void test_full(int fd, u64 from, struct shadow *s, const char *name)
{
	u8 *buf = xalloc(64 * KIB);
	u64 end = fill(fd, from, s);
	int err = errno;

	if (!ok(end < s->size - MIB && err == ENOSPC, "%s: ENOSPC when the device is full", name))
		diag("after %llu bytes: %s", (unsigned long long)end, err_name(err));
	forgive(fd, end, s);
	ok(!fsync(fd), "%s: fsync", name);
	memset(buf, 0x3d, 64 * KIB);
	ok(pwrite_all(fd, buf, 64 * KIB, from + 7 * SECTOR) && !fsync(fd),
	   "%s: what has a place can be written", name);
	shadow_write(s, from + 7 * SECTOR, buf, 64 * KIB);
	is_err(bdev_discard(fd, from + MIB, MIB), 0, "%s: a discard", name);
	shadow_zero(s, from + MIB, MIB);
	ok(!fsync(fd), "%s: fsync", name);
	err = pwrite_all(fd, buf, 64 * KIB, s->size - 128 * KIB) ? 0 : -errno;
	if (is_err(err, 0, "%s: makes room", name))
		shadow_write(s, s->size - 128 * KIB, buf, 64 * KIB);
	end = fill(fd, end, s);
	forgive(fd, end, s);
	is_err(bdev_discard(fd, from + 3 * MIB, MIB), 0, "%s: full again: a discard", name);
	shadow_zero(s, from + 3 * MIB, MIB);
	err = pwrite_all(fd, buf, 64 * KIB, s->size - 192 * KIB) ? 0 : -errno;
	if (is_err(err, 0, "%s: makes room, also without fsync", name))
		shadow_write(s, s->size - 192 * KIB, buf, 64 * KIB);
	free(buf);
}

/* Small writes into new units: their rest is zeros, not what the device held. */
static bool sprinkle(int fd, struct shadow *s, u64 from, unsigned int nr)
{
	u8 *buf = xalloc(SECTOR);
	bool good = true;
	unsigned int i;
	u64 pos;

	memset(buf, 0x61, SECTOR);
	for (i = 0; i < nr; i++) {
		pos = from + i * 64 * KIB + i % 128 * SECTOR;
		good &= pwrite_all(fd, buf, SECTOR, pos);
		shadow_write(s, pos, buf, SECTOR);
	}
	free(buf);
	return good && shadow_equals(s, fd, from, nr * 64 * KIB, from);
}

static void run_chain(struct chain *c, u32 flags, const char *name, bool all)
{
	struct extent *e = &c->images[0].extents[0];
	u64 size = soil(e->path, all ? 0 : 8 * MIB);
	struct shadow s;
	struct vdev dev;
	int fd;

	chain_make(c, 90);
	chain_load(c, &s);
	fd = start(c, flags, &dev);
	diag("%s: dio %s", name, vdev_sysfs(&dev, "vdisk/dio"));
	ok(shadow_equals(&s, fd, 0, MIB, 0), "%s: reads what is on the device", name);
	ok(sprinkle(fd, &s, 2 * MIB, 16), "%s: small writes", name);
	is_err(bdev_zeroout(fd, 2 * MIB + 3 * SECTOR, 70 * KIB), 0, "%s: zeroes, odd places",
	       name);
	shadow_zero(&s, 2 * MIB + 3 * SECTOR, 70 * KIB);
	ok(!fsync(fd), "%s: fsync", name);
	if (extent_has_mark(e))
		ok(extent_unclean(e), "%s: the image is marked as in use", name);
	if (all)
		test_full(fd, 8 * MIB, &s, name);
	close(fd);
	is_err(vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply), 0, "%s: detach", name);
	fd = xopen(e->path, O_RDONLY);
	is_num(bdev_size(fd), size, "%s: the device has its size", name);
	close(fd);
	e->size = size;
	ok(chain_sound(c, 0), "%s: the image is sound and clean", name);
	ok(chain_equals(c, &s), "%s: the device holds what was written", name);
	chain_ask_qemu(c, NULL, name);
	fd = start(c, VDISK_F_RDONLY | VDISK_F_HARD_RDONLY, &dev);
	ok(shadow_equals(&s, fd, 0, s.size, 0), "%s: attached again, so does the disk", name);
	close(fd);
	vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply);
	shadow_free(&s);
}

/* Blocks of 4096 bytes, which is more than the format's sectors. */
static const char *large_blocks(const char *dir)
{
	static struct run r;

	close(make_file(path_in(dir, "4kn"), 32 * MIB));
	if (run(&r, "losetup", "--sector-size", "4096", "--find", "--show", path_in(dir, "4kn"),
		NULL))
		bail("losetup: %s", r.err);
	r.out[strcspn(r.out, "\n")] = 0;
	return r.out;
}

static void no_large_blocks(const char *dir, const char *loop)
{
	struct run r;

	is_num(run(&r, "losetup", "--detach", loop, NULL), 0, "losetup --detach %s", r.err);
	unlink(path_in(dir, "4kn"));
}

static struct chain on_device(struct extent extent, const char *dir, const char *dev)
{
	struct chain c = chain_single(dir, "b", extent);

	snprintf(c.images[0].extents[0].path, sizeof(c.images[0].extents[0].path), "%s",
		 dev);
	return c;
}

int main(void)
{
	const char *dir = scratch_dir(), *loop;
	struct chain c;
	int ret;

	ret = nl_open(&nl);
	if (ret)
		bail("no vdisk family: %s", err_name(ret));
	if (!place_bdev() || !place_xfs())
		bail("VDT_BDEV and VDT_XFS are not set");
	c = on_device(vmdk_sparse(6 * MIB, 64 * KIB, VMDK_RGD, 10), dir, place_bdev());
	run_chain(&c, 0, "hosted", false);
	c = on_device(vmdk_cowd(6 * MIB, 4096, 10), dir, place_bdev());
	run_chain(&c, VDISK_F_BUFFERED, "COWD, buffered", false);
	c = on_device(vmdk_sparse(136 * MIB, 64 * KIB, VMDK_RGD, 0), dir, place_bdev());
	run_chain(&c, 0, "larger than the device", true);
	c = on_device(vdi_blocks(6 * MIB, MIB, 0, 30), dir, place_bdev());
	run_chain(&c, 0, "VDI", false);
	c = on_device(vdi_blocks(136 * MIB, 64 * KIB, VDI_VIRTUALBOX, 0), dir, place_bdev());
	run_chain(&c, VDISK_F_BUFFERED, "VDI larger than the device", true);
	loop = large_blocks(place_xfs());
	c = on_device(vdi_blocks(6 * MIB, MIB, VDI_HOLES, 30), dir, loop);
	run_chain(&c, 0, "VDI, blocks of 4 KiB", false);
	c = on_device(vmdk_sparse(6 * MIB, 64 * KIB, VMDK_RGD, 10), dir, loop);
	run_chain(&c, 0, "blocks of 4 KiB", false);
	c = on_device(vmdk_sparse(6 * MIB, 4096, VMDK_RGD | VMDK_NO_TABLES, 10), dir, loop);
	run_chain(&c, 0, "blocks of 4 KiB, missing tables", false);
	no_large_blocks(place_xfs(), loop);
	is_num(vdev_count(&nl), 0, "nothing is left attached");
	nl_close(&nl);
	return tap_done();
}
