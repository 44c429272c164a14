// SPDX-License-Identifier: GPL-2.0-only
/*
 * An image under write load becomes read-only and back, is detached plainly, by
 * force, and right after the last write: the image is always what was promised.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "blk.h"
#include "chain.h"
#include "load.h"
#include "sha256.h"
#include "shadow.h"
#include "tap.h"

#define DISK	(24 * MIB)

static struct nl nl;
static struct nl_reply reply;

/* ------------------------------------------------------------------ attaching */

static void attach(struct chain *c, struct vdev *dev)
{
	chain_must_attach(&nl, c, VDISK_F_NO_PARTSCAN, dev, &reply);
}

static int set(const struct vdev *dev, u32 flags)
{
	return vdev_set(&nl, dev->id, flags, VDISK_F_RDONLY, &reply);
}

static void hash_image(const struct chain *c, char hex[SHA256_HEX])
{
	if (!sha256_file(c->images[0].extents[0].path, hex))
		bail("cannot hash the image");
}

/* -------------------------------------------------------------------- tests */

/* Not every format has one. */
static void check_mark(const struct chain *c, bool set, const char *when)
{
	const struct extent *e = &c->images[0].extents[0];

	if (extent_has_mark(e))
		ok(extent_unclean(e) == set, "%s: %smarked as in use", when, set ? "" : "not ");
}

/* While read-only the image is as a clean detach leaves it, and stays so. */
static void check_read_only(const struct chain *c, struct load *l)
{
	char before[SHA256_HEX], after[SHA256_HEX];
	unsigned int errors;

	check_mark(c, false, "read-only");
	ok(chain_sound(c, 0), "read-only: the image is sound and clean");
	chain_ask_qemu(c, NULL, "read-only");
	hash_image(c, before);
	errors = l->errors;
	ok(wait_until(l->errors > errors + 10, 20000), "read-only: writes are tried in vain");
	ok(l->last_errno == EIO || l->last_errno == EROFS || l->last_errno == EPERM,
	   "read-only: they fail with %s", err_name(l->last_errno));
	hash_image(c, after);
	is_str(after, before, "read-only: no byte of the image changes");
}

static void test_switch(struct chain c)
{
	struct load l, again;
	struct shadow s;
	struct vdev dev;

	chain_make(&c, 21);
	chain_load(&c, &s);
	attach(&c, &dev);
	load_start(&l, &dev, DISK, 1);
	ok(load_goes_on(&l, 100), "writes into new units");
	check_mark(&c, true, "under load");
	is_err(set(&dev, VDISK_F_RDONLY), -EBUSY, "RW to RO while open for writing");
	ok(load_goes_on(&l, 20) && !l.errors, "writes go on unharmed");
	is_err(vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply), -EBUSY,
	       "plain detach under load");
	ok(load_goes_on(&l, 20), "writes go on");
	is_num(l.errors, 0, "no write has failed so far");
	is_err(set(&dev, VDISK_F_RDONLY | VDISK_F_FORCE), 0, "RW to RO by force, under load");
	check_read_only(&c, &l);
	load_stop(&l);
	load_apply(&l, &s, l.done);
	ok(load_settle(&l, &c, &s, l.done) && chain_equals(&c, &s),
	   "every write that succeeded is in the file");

	is_err(set(&dev, 0), 0, "back to RW");
	check_mark(&c, false, "before somebody writes");
	load_start(&again, &dev, DISK, 2);
	ok(load_goes_on(&again, 400), "writes");
	check_mark(&c, true, "when somebody has written");
	load_stop(&again);
	is_num(again.errors, 0, "none has failed");
	load_apply(&again, &s, again.done);
	is_err(vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply), 0, "detach");
	ok(chain_sound(&c, 0) && chain_equals(&c, &s), "the image is sound, clean and right");
	chain_ask_qemu(&c, &s, "detached");
	chain_remove(&c);
	shadow_free(&s);
}

/* Back and forth: each time a few writes, each time clean while read-only. */
static void test_toggles(struct chain c)
{
	bool good = true;
	struct shadow s;
	struct vdev dev;
	struct load l;
	unsigned int i;

	chain_make(&c, 22);
	chain_load(&c, &s);
	attach(&c, &dev);
	for (i = 0; good && i < 12; i++) {
		load_start(&l, &dev, DISK, 100 + i);
		good = load_goes_on(&l, 10);
		if (i % 2)
			load_stop(&l);
		good &= !set(&dev, VDISK_F_RDONLY | VDISK_F_FORCE);
		if (!(i % 2))
			load_stop(&l);
		load_apply(&l, &s, l.done);
		good &= chain_sound(&c, 0) && load_settle(&l, &c, &s, l.done) &&
			chain_equals(&c, &s) && !set(&dev, 0);
	}
	ok(good, "12 times to RO and back, with and without load");
	is_err(vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply), 0, "detach");
	ok(chain_sound(&c, 0) && chain_equals(&c, &s), "the image is sound, clean and right");
	chain_remove(&c);
	shadow_free(&s);
}

static void test_forced_detach(struct chain c, unsigned int more, const char *name)
{
	struct shadow s;
	struct vdev dev;
	struct load l;
	unsigned int sure;
	int status = 0;

	chain_make(&c, 23 + more);
	chain_load(&c, &s);
	attach(&c, &dev);
	load_start(&l, &dev, DISK, 7);
	ok(load_goes_on(&l, more), "%s: writes run", name);
	sure = l.synced;
	is_err(vdev_detach(&nl, dev.id, VDISK_DETACH_FORCE, &reply), 0, "%s: detach by force",
	       name);
	ok(wait_until(vdev_gone(&nl, dev.id), 20000), "%s: it is gone", name);
	ok(wait_until(l.errors, 20000), "%s: writes fail with %s", name, err_name(l.last_errno));
	load_stop(&l);
	if (chain_qemu_opens(&c)) {
		status = chain_qemu_check(&c);
		ok(!status || status == 3, "%s: qemu-img check: clean, or leaks", name);
	}
	ok(chain_sound(&c, CHAIN_MAY_LEAK), "%s: at most unclean, with leaks", name);
	if (l.synced > sure)
		sure = l.synced;
	load_apply(&l, &s, sure);
	ok(load_settle(&l, &c, &s, sure), "%s: %u pieces are sure, %u were written", name, sure,
	   l.done);
	ok(chain_equals(&c, &s), "%s: what was fsynced is there, the rest as before", name);
	chain_remove(&c);
	shadow_free(&s);
}

/* No fsync, no sync, no wait: the detach itself makes it durable. */
static void test_write_and_detach(struct chain c, int flags, const char *name)
{
	struct shadow s;
	struct vdev dev;
	struct load l;
	u8 *buf = xalloc(LOAD_PIECE);
	bool good = true;
	unsigned int i;
	int fd;

	chain_make(&c, 24);
	chain_load(&c, &s);
	attach(&c, &dev);
	fd = vdev_open(&dev, O_RDWR | flags);
	load_init(&l, DISK, 9);
	for (i = 0; good && i < 300; i++)
		good = load_piece(&l, fd, i, buf);
	close(fd);
	is_err(vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply), 0, "%s: writes, detach",
	       name);
	load_apply(&l, &s, 300);
	ok(good && chain_sound(&c, 0) && chain_equals(&c, &s), "%s: everything is in the file",
	   name);
	attach(&c, &dev);
	fd = vdev_open(&dev, O_RDONLY | O_DIRECT);
	ok(shadow_equals(&s, fd, 0, DISK, 0), "%s: and on the disk, attached again", name);
	close(fd);
	vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply);
	chain_remove(&c);
	shadow_free(&s);
	free(buf);
}

/* ------------------------------------------------------------------ flush off */

static bool file_has(const struct chain *c, u64 pos, const u8 *want)
{
	u8 *buf = xalloc(4096);
	bool same = chain_read(c, pos, buf, 4096) && !memcmp(buf, want, 4096);

	free(buf);
	return same;
}

/* A write that is to be durable, to where nothing is yet; then: does the file have it? */
static bool durable_write(const struct chain *c, const struct vdev *dev, u64 pos, const u8 *buf)
{
	int fd = vdev_open(dev, O_RDWR | O_DIRECT | O_DSYNC);
	bool good = pwrite_all(fd, buf, 4096, pos);

	close(fd);
	if (!good)
		bail("a write fails: %s", err_name(errno));
	return file_has(c, pos, buf);
}

/* Not sooner than by itself, and that may be at once: so it is tried in more places. */
static void test_flush_off(struct chain c)
{
	u8 *buf = xalloc(4096);
	struct vdev dev;
	u64 pos;
	int fd;

	memset(buf, 0x5a, 4096);
	chain_make(&c, 1);
	attach(&c, &dev);
	ok(durable_write(&c, &dev, 0, buf), "flush on: a durable write is in the file");
	is_err(vdev_set(&nl, dev.id, VDISK_F_NO_FLUSH, VDISK_F_NO_FLUSH, &reply), 0, "flush off");
	for (pos = MIB; pos < 9 * MIB && durable_write(&c, &dev, pos, buf); pos += MIB)
		;
	ok(pos < 9 * MIB, "a durable write is not waited for");
	is_err(vdev_set(&nl, dev.id, 0, VDISK_F_NO_FLUSH, &reply), 0, "flush on");
	fd = vdev_open(&dev, O_RDWR);
	ok(!fsync(fd) && file_has(&c, pos, buf), "an fsync brings it there");
	close(fd);
	is_err(vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply), 0, "detach");
	chain_remove(&c);
	free(buf);
}

static struct chain delta(const char *dir)
{
	return chain_delta(dir, vmdk_sparse(DISK, 64 * KIB, VMDK_RGD, 0), vmdk_flat(DISK));
}

static struct chain vdi(const char *dir, u64 block)
{
	return chain_single(dir, "f", vdi_blocks(DISK, block, VDI_HOLES, 10));
}

static struct chain vdi_delta(const char *dir)
{
	return chain_delta(dir, vdi_blocks(DISK, 64 * KIB, 0, 0), raw_file(DISK));
}

static void more_kinds(const char *ext4, const char *xfs)
{
	test_toggles(chain_single(xfs, "f", vmdk_cowd(DISK, 4096, 0)));
	test_forced_detach(chain_single(ext4, "f", vmdk_sparse(DISK, 4096, VMDK_RGD, 0)), 60,
			   "forced detach");
	test_forced_detach(delta(xfs), 150, "forced detach of a delta");
	test_write_and_detach(chain_single(ext4, "f", vmdk_sparse(DISK, 4096, VMDK_RGD, 0)),
			      O_DIRECT, "direct");
	test_switch(vdi(xfs, 64 * KIB));
	test_forced_detach(vdi(ext4, 4096), 60, "forced detach, VDI");
	test_write_and_detach(vdi_delta(ext4), 0, "VDI delta, buffered");
	test_flush_off(vdi(xfs, 64 * KIB));
}

int main(void)
{
	const char *ext4, *xfs;

	chain_begin(&nl, &ext4, &xfs);
	test_switch(chain_single(ext4, "f", vmdk_sparse(DISK, 4096, VMDK_RGD, 0)));
	test_forced_detach(chain_single(xfs, "f", vmdk_cowd(DISK, SECTOR, 0)), 30,
			   "forced detach, COWD");
	test_write_and_detach(delta(xfs), 0, "delta, buffered");
	test_toggles(vdi(ext4, 4096));
	test_forced_detach(vdi_delta(xfs), 150, "forced detach of a VDI delta");
	test_write_and_detach(vdi(xfs, MIB), O_DIRECT, "VDI, direct");
	test_flush_off(chain_single(ext4, "f", vmdk_sparse(DISK, 64 * KIB, VMDK_RGD, 0)));
	if (!brief_run())
		more_kinds(ext4, xfs);
	is_num(vdev_count(&nl), 0, "nothing is left attached");
	nl_close(&nl);
	return tap_done();
}
