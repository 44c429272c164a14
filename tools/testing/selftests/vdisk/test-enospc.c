// SPDX-License-Identifier: GPL-2.0-only
/*
 * A sparse raw image on a file system that fills up: writes that need space
 * fail with ENOSPC, everything else goes on, and nothing is lost.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "blk.h"
#include "shadow.h"
#include "tap.h"

#define DISK	(48 * MIB)
#define CHUNK	(128 * KIB)

static struct nl nl;
static struct nl_reply reply;

/* Write chunk after chunk until it fails; how many bytes went well. */
static u64 fill(int fd, struct shadow *s, int *err)
{
	u8 *buf = xalloc(CHUNK);
	struct rng rng;
	ssize_t n;
	u64 pos;

	rng_seed(&rng, 11);
	*err = 0;
	for (pos = 0; pos < DISK; pos += CHUNK) {
		rng_fill(&rng, buf, CHUNK);
		n = pwrite(fd, buf, CHUNK, pos);
		if (n > 0)
			shadow_write(s, pos, buf, n);
		if (n != (ssize_t)CHUNK) {
			*err = n < 0 ? errno : 0;
			/* How much of it arrived is nobody's business. */
			shadow_discard(s, pos, CHUNK);
			if (!*err)
				continue;
			break;
		}
	}
	free(buf);
	return pos;
}

/* Any of the two contents that an interrupted write may leave. */
static bool intact(int fd, const struct shadow *s, u64 len)
{
	return shadow_equals(s, fd, 0, len, 0);
}

static void check_full(int fd, struct shadow *s, u64 written, const char *name)
{
	u8 *buf = xalloc(CHUNK);
	unsigned int i;
	bool good = true;

	ok(intact(fd, s, written), "%s: what was written before is intact", name);
	for (i = 0; i < 5; i++)
		good &= pwrite(fd, buf, CHUNK, DISK - CHUNK * (i + 1)) < 0 && errno == ENOSPC;
	ok(good, "%s: and so fails each further write that needs space", name);
	memset(buf, 0x3c, CHUNK);
	ok(pwrite_all(fd, buf, CHUNK, CHUNK), "%s: space that is allocated can be written", name);
	shadow_write(s, CHUNK, buf, CHUNK);
	ok(!fsync(fd), "%s: and flushed", name);
	ok(intact(fd, s, written), "%s: all is as it should be", name);
	free(buf);
}

/* A discard gives space to those who want it. */
static void check_discard(int fd, struct shadow *s, u64 written, const char *name)
{
	u8 *buf = xalloc(CHUNK);
	u64 pos = DISK - 4 * CHUNK;

	memset(buf, 0x4d, CHUNK);
	is_err(bdev_discard(fd, 0, 8 * CHUNK), 0, "%s: discard of 1 MiB", name);
	shadow_discard(s, 0, 8 * CHUNK);
	ok(pwrite_all(fd, buf, CHUNK, pos), "%s: makes room for a write elsewhere", name);
	ok(same_content(fd, buf, CHUNK, pos), "%s: which can be read", name);
	ok(intact(fd, s, written), "%s: the rest is intact", name);
	free(buf);
}

static void run_on(const char *dir, u32 flags, const char *name)
{
	const char *path = path_in(dir, "full");
	int file = make_file(path, DISK), fd, err;
	struct shadow s;
	struct vdev dev;
	u64 written;

	if (!is_err(attach_raw(&nl, file, DISK, flags | VDISK_F_NO_PARTSCAN, &dev, &reply), 0,
		    "%s: attach", name)) {
		diag("%s", reply.text);
		return;
	}
	close(file);
	shadow_init(&s, DISK);
	fd = vdev_open(&dev, O_RDWR | O_DIRECT);
	written = fill(fd, &s, &err);
	if (!ok(written && written < DISK && err == ENOSPC, "%s: a write fails with ENOSPC", name))
		diag("%llu bytes written, %s", (unsigned long long)written, err_name(err));
	diag("%s: full after %llu KiB, dio %s", name, (unsigned long long)written / 1024,
	     vdev_sysfs(&dev, "vdisk/dio"));
	check_full(fd, &s, written, name);
	check_discard(fd, &s, written, name);
	ok(strcmp(vdev_sysfs(&dev, "vdisk/errors"), "0"), "%s: failed requests are counted", name);
	close(fd);
	is_err(vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply), 0, "%s: detach", name);
	file = xopen(path, O_RDONLY);
	ok(intact(file, &s, written), "%s: the file holds it all", name);
	close(file);
	unlink(path);
	shadow_free(&s);
}

int main(void)
{
	const char *dir = strdup(path_in(scratch_dir(), "tmpfs"));
	int ret;

	ret = nl_open(&nl);
	if (ret)
		bail("no vdisk family: %s", err_name(ret));
	mkdir(dir, 0700);
	if (mount("vdt", dir, "tmpfs", 0, "size=12m"))
		bail("mount tmpfs: %s", err_name(errno));
	run_on(dir, 0, "tmpfs");
	umount(dir);
	rmdir(dir);
	if (place_small()) {
		run_on(place_small(), 0, "ext4");
		run_on(place_small(), VDISK_F_BUFFERED, "ext4, buffered");
	} else {
		skip("VDT_SMALL is not set", "ENOSPC on ext4");
	}
	is_num(vdev_count(&nl), 0, "nothing is left attached");
	vdev_detach_all(&nl);
	nl_close(&nl);
	return tap_done();
}
