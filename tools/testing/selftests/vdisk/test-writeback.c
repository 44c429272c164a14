// SPDX-License-Identifier: GPL-2.0-only
/*
 * Data that was accepted into the page cache of an image's file, and could not be
 * written from there: the next flush says so, whoever else has been told.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "blk.h"
#include "fuse.h"
#include "tap.h"

#define DISK	(4 * MIB)

static struct nl nl;
static struct nl_reply reply;

static bool put(int fd, u64 pos)
{
	u8 *buf = xalloc(4096);
	bool good;

	memset(buf, 0x5a, 4096);
	good = pwrite_all(fd, buf, 4096, pos);
	free(buf);
	return good;
}

/* A write that syncs is told first of what became of the write before it. */
static void test_lost(const char *name, bool others_hear)
{
	struct fuse_server fuse;
	int file, fd, durable, err;
	struct vdev dev;

	if (!fuse_start_cached(&fuse, path_in(scratch_dir(), "fuse"), DISK, 5))
		bail("no FUSE");
	file = xopen(fuse.path, O_RDWR);
	if (attach_raw(&nl, file, DISK, VDISK_F_BUFFERED | VDISK_F_NO_PARTSCAN, &dev, &reply))
		bail("attach: %s: %s", err_name(reply.error), reply.text);
	fd = vdev_open(&dev, O_RDWR | O_DIRECT);
	durable = vdev_open(&dev, O_RDWR | O_DIRECT | O_DSYNC);
	ok(put(fd, 0) && !fsync(fd), "%s: a write and a flush", name);
	/* First, for the kernel may begin to write back at once. */
	fuse_full(&fuse, true);
	ok(put(fd, MIB), "%s: a write is accepted", name);
	if (others_hear) {
		ok(fsync(file) && errno == ENOSPC, "%s: it cannot be written back", name);
	} else {
		err = put(durable, 2 * MIB) ? 0 : errno;
		ok(err == ENOSPC || err == EIO, "%s: a durable write fails with %s", name,
		   err_name(err));
	}
	fuse_full(&fuse, false);
	ok(fsync(fd), "%s: the flush does not claim that all is well: %s", name,
	   err_name(errno));
	ok(fsync(fd), "%s: nor does the next", name);
	ok(!put(fd, 3 * MIB), "%s: and writes are refused", name);
	close(durable);
	close(fd);
	vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply);
	ok(wait_until(vdev_gone(&nl, dev.id), 20000), "%s: detached", name);
	close(file);
	fuse_end(&fuse);
}

int main(void)
{
	int ret = nl_open(&nl);

	if (ret)
		bail("no vdisk family: %s", err_name(ret));
	test_lost("told to a write", false);
	test_lost("told to another program", true);
	is_num(vdev_count(&nl), 0, "nothing is left attached");
	nl_close(&nl);
	return tap_done();
}
