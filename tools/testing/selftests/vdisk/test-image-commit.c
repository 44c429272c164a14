// SPDX-License-Identifier: GPL-2.0-only
/*
 * When what was written is in the image file, seen through another descriptor
 * while the disk is attached: at once after fsync and O_DSYNC writes, and after
 * a while if nobody ever asks.
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

#define DISK	(8 * MIB)
#define ROUNDS	12

/* The engine's own promise is about 5 s; an emulated machine may stand still. */
#define PATIENCE_MS	20000

static struct nl nl;
static struct nl_reply reply;

static bool in_file(const struct chain *c, const u8 *want, u64 pos, u64 len)
{
	u8 *buf = xalloc(len);
	bool same = chain_read(c, pos, buf, len) && !memcmp(buf, want, len);

	free(buf);
	return same;
}

/* @ROUNDS writes into new units, each of them followed by @sync. */
static bool write_and_look(const struct chain *c, const struct vdev *dev, int flags,
			   int (*sync)(int fd), u64 from)
{
	int fd = vdev_open(dev, O_RDWR | flags);
	u8 *buf = xalloc(3 * KIB);
	bool good = fd >= 0;
	struct rng rng;
	unsigned int i;
	u64 pos;

	rng_seed(&rng, from);
	for (i = 0; good && i < ROUNDS; i++) {
		pos = from + i * 70 * KIB;
		rng_fill(&rng, buf, 3 * KIB);
		good = pwrite_all(fd, buf, 3 * KIB, pos) && (!sync || !sync(fd));
		if (good && !in_file(c, buf, pos, 3 * KIB)) {
			diag("byte %llu is not in the file", (unsigned long long)pos);
			good = false;
		}
	}
	free(buf);
	close(fd);
	return good;
}

/* Overwriting what has a place, on a disk without anything to be committed. */
static bool overwrite_and_look(const struct chain *c, const struct vdev *dev)
{
	int fd = vdev_open(dev, O_RDWR | O_DIRECT | O_DSYNC);
	u8 *buf = xalloc(2 * KIB);
	bool good;

	fsync(fd);
	memset(buf, 0x71, 2 * KIB);
	good = pwrite_all(fd, buf, 2 * KIB, 0) && in_file(c, buf, 0, 2 * KIB);
	free(buf);
	close(fd);
	return good;
}

static void test_background(const struct chain *c, const struct vdev *dev, const char *name)
{
	const struct extent *e = &c->images[0].extents[0];
	int fd = vdev_open(dev, O_RDWR | O_DIRECT);
	u64 grains = extent_units(e), start = now_ms();
	u8 *buf = xalloc(4096);
	bool seen;

	memset(buf, 0xb6, 4096);
	ok(pwrite_all(fd, buf, 4096, DISK - MIB), "%s: a write, and no fsync", name);
	if (extent_units(e) != grains)
		diag("it is in the file after %llu ms", (unsigned long long)(now_ms() - start));
	seen = wait_until(extent_units(e) > grains, PATIENCE_MS);
	ok(seen, "%s: is in the file's tables after a while", name);
	diag("%s: after %llu ms", name, (unsigned long long)(now_ms() - start));
	ok(in_file(c, buf, DISK - MIB, 4096), "%s: with its content", name);
	if (extent_has_mark(e))
		ok(extent_unclean(e), "%s: the image is marked as in use", name);
	free(buf);
	close(fd);
}

#define TRACING	"/sys/kernel/tracing/"
#define EVENT	TRACING "events/xfs/xfs_file_direct_write/"

/* Direct writes of the file, as XFS saw them since the trace was cleared. */
static unsigned int direct_writes(void)
{
	unsigned int nr = 0;
	char line[512];
	FILE *f = fopen(TRACING "trace", "re");

	if (!f)
		bail("no trace: %s", err_name(errno));
	while (fgets(line, sizeof(line), f))
		nr += strstr(line, "xfs_file_direct_write:") != NULL;
	fclose(f);
	return nr;
}

/* Thirty-two new units in one request are written as what they are: neighbours. */
static void test_merged(const char *dir, struct extent extent, const char *name)
{
	struct chain c = chain_single(dir, "c", extent);
	u8 *buf = xalloc(128 * KIB);
	unsigned int nr;
	struct vdev dev;
	char filter[64];
	struct stat st;
	int fd;

	chain_make(&c, 32);
	chain_must_attach(&nl, &c, VDISK_F_NO_PARTSCAN, &dev, &reply);
	fd = vdev_open(&dev, O_RDWR | O_DIRECT);
	memset(buf, 0x2b, 128 * KIB);
	/* What only the first write costs. */
	if (!pwrite_all(fd, buf, 4096, 0) || fsync(fd) || stat(c.images[0].extents[0].path, &st))
		bail("write: %s", err_name(errno));
	snprintf(filter, sizeof(filter), "ino == %llu", (unsigned long long)st.st_ino);
	if (!write_text(EVENT "filter", filter) || !empty_trace() ||
	    !write_text(EVENT "enable", "1"))
		bail("no tracepoint of XFS: %s", err_name(errno));
	ok(pwrite_all(fd, buf, 128 * KIB, MIB), "%s: 128 KiB into 32 new units", name);
	nr = direct_writes();
	/* A commit in the background may add its own. */
	ok(nr >= 1 && nr <= 8, "%s: %u writes of the file", name, nr);
	write_text(EVENT "enable", "0");
	ok(!fsync(fd) && in_file(&c, buf, MIB, 128 * KIB), "%s: with their content", name);
	close(fd);
	is_err(vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply), 0, "%s: detach", name);
	chain_remove(&c);
	free(buf);
}

static void run_chain(struct chain c, u32 flags, const char *name)
{
	static unsigned int turn;
	struct vdev dev;

	if (brief_run() && turn++ % 2)
		return;
	chain_make(&c, 31);
	chain_must_attach(&nl, &c, flags | VDISK_F_NO_PARTSCAN, &dev, &reply);
	if (extent_has_mark(&c.images[0].extents[0]))
		ok(!extent_unclean(&c.images[0].extents[0]), "%s: attached, not yet in use", name);
	ok(write_and_look(&c, &dev, O_DIRECT, fsync, 0), "%s: direct write, fsync", name);
	ok(write_and_look(&c, &dev, O_DIRECT, fdatasync, MIB + SECTOR),
	   "%s: direct write, fdatasync", name);
	ok(write_and_look(&c, &dev, 0, fsync, 2 * MIB + 5 * SECTOR), "%s: buffered write, fsync",
	   name);
	ok(write_and_look(&c, &dev, O_DIRECT | O_DSYNC, NULL, 3 * MIB), "%s: direct O_DSYNC write",
	   name);
	ok(write_and_look(&c, &dev, O_SYNC, NULL, 4 * MIB), "%s: buffered O_SYNC write", name);
	ok(overwrite_and_look(&c, &dev), "%s: O_DSYNC write over what is there", name);
	test_background(&c, &dev, name);
	is_err(vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply), 0, "%s: detach", name);
	ok(chain_sound(&c, 0), "%s: sound and clean", name);
	chain_ask_qemu(&c, NULL, name);
	chain_remove(&c);
}

int main(void)
{
	const char *ext4, *xfs;

	chain_begin(&nl, &ext4, &xfs);
	run_chain(chain_single(ext4, "c", vmdk_sparse(DISK, 4096, VMDK_RGD, 0)), 0, "hosted, ext4");
	run_chain(chain_single(xfs, "c", vmdk_cowd(DISK, 1024, 0)), VDISK_F_BUFFERED,
		  "COWD, xfs, buffered");
	run_chain(chain_delta(xfs, vmdk_sparse(DISK, 64 * KIB, VMDK_RGD | VMDK_NO_TABLES, 0),
			      vmdk_flat(DISK)), 0, "delta, xfs");
	run_chain(chain_single(ext4, "c", vdi_blocks(DISK, MIB, 0, 0)), 0, "VDI, ext4");
	run_chain(chain_delta(xfs, vdi_blocks(DISK, 4096, VDI_VIRTUALBOX, 0), raw_file(DISK)),
		  VDISK_F_BUFFERED, "VDI delta, xfs, buffered");
	test_merged(xfs, vmdk_sparse(DISK, 4096, VMDK_RGD, 0), "merged");
	test_merged(xfs, vdi_blocks(DISK, 4096, 0, 0), "merged, VDI");
	is_num(vdev_count(&nl), 0, "nothing is left attached");
	nl_close(&nl);
	return tap_done();
}
