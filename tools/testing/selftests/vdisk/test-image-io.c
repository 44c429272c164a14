// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every kind of image through /dev/vdiskN: the whole disk and random direct and
 * buffered reads of several threads equal the reference that other tools made,
 * on file systems with direct I/O and without.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "blk.h"
#include "images.h"
#include "shadow.h"
#include "tap.h"

/* Disks above this are read where they hold data, and at random elsewhere. */
#define WHOLE_MAX	(64 * MIB)

static struct nl nl;
static struct run r;

static bool attach(const char *path, struct vdev *dev, const char *name)
{
	memset(dev, 0, sizeof(*dev));
	run(&r, "vdctl", "-q", "attach", "-r", "--no-partscan", path, NULL);
	if (!ok(!r.status && sscanf(r.out, "/dev/vdisk%u", &dev->id) == 1, "%s: attach", name)) {
		diag("status %d, stderr: %s", r.status, r.err);
		return false;
	}
	snprintf(dev->path, sizeof(dev->path), "/dev/vdisk%u", dev->id);
	return true;
}

/* The first and last MiB, and 4 MiB around the 2 GiB border. */
static bool same_islands(int fd, const u8 *want, u64 size)
{
	const u64 border = 2048 * MIB;

	return same_content(fd, want, MIB, 0) &&
	       same_content(fd, want + border - 2 * MIB, 4 * MIB, border - 2 * MIB) &&
	       same_content(fd, want + size - MIB, MIB, size - MIB);
}

static void check_content(const struct vdev *dev, const struct img_disk *disk, const u8 *want,
			  const char *name)
{
	static const struct { int flags; const char *name; } modes[] = {
		{ O_DIRECT, "direct" }, { 0, "buffered" },
	};
	bool same;
	size_t i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		fd = vdev_open(dev, O_RDONLY | modes[i].flags);
		if (!i)
			is_num(bdev_size(fd), disk->size, "%s: size", name);
		same = disk->size <= WHOLE_MAX ? same_content(fd, want, disk->size, 0) :
						 same_islands(fd, want, disk->size);
		ok(same, "%s: %s reads equal the reference", name, modes[i].name);
		close(fd);
	}
}

/* Random reads by 4 threads, two of them with many requests at once. */
static void check_random(const struct vdev *dev, const struct img_disk *disk, const u8 *want,
			 const char *name)
{
	u64 base = disk->size <= WHOLE_MAX ? 0 : 2048 * MIB - 4 * MIB;
	struct shadow shadow = {
		.size = disk->size,
		.data = (u8 *)want,
		.maybe_zero = xalloc(disk->size / SECTOR),
	};
	struct storm storms[4];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(storms); i++) {
		storms[i] = (struct storm) {
			.path = dev->path,
			.shadow = &shadow,
			.pos = base,
			.len = disk->size - base,
			.seed = 900 + i + disk->size,
			.ops = 120,
			.direct = true,
			.mixed = i == 0,
			.depth = i < 2 ? 1 : 8,
			.align = SECTOR,
		};
	}
	ok(storm_run(storms, ARRAY_SIZE(storms)), "%s: random reads of 4 threads", name);
	free(shadow.maybe_zero);
}

static void check_image(const struct img_image *image, const char *path, const char *where)
{
	const struct img_disk *disk = images_disk(image->disk);
	const u8 *want = images_reference(disk);
	char name[128];
	struct vdev dev;

	snprintf(name, sizeof(name), "%s on %s", image->file, where);
	if (!attach(path, &dev, name))
		return;
	diag("%s: dio %s, chain of %s", name, vdev_sysfs(&dev, "vdisk/dio"),
	     vdev_sysfs(&dev, "vdisk/chain"));
	check_content(&dev, disk, want, name);
	check_random(&dev, disk, want, name);
	is_str(vdev_sysfs(&dev, "vdisk/errors"), "0", "%s: no failed request", name);
	run(&r, "vdctl", "detach", dev.path, NULL);
	if (!is_num(r.status, 0, "%s: detach", name))
		diag("stderr: %s", r.err);
}

static void staged(const struct img_image *image, const char *dir, const char *where)
{
	const char *path;

	if (!dir) {
		skip("its place is not set", "%s on %s", image->file, where);
		return;
	}
	path = strdup(images_stage(image, dir));
	check_image(image, path, where);
	images_unstage(image, dir);
}

/* A chain tells its depth, and its parents are protected like the top. */
static void test_chain(void)
{
	const struct img_image *image = images_find("chain-3.vmdk");
	const char *dir = scratch_dir();
	const char *path = strdup(images_stage(image, dir));
	struct vdev dev;
	int fd;

	if (!attach(path, &dev, "chain"))
		return;
	is_str(vdev_sysfs(&dev, "vdisk/chain"), "4", "chain: four images");
	fd = open(path_in(dir, "chain-1.vmdk"), O_WRONLY | O_CLOEXEC);
	ok(fd < 0 && errno == ETXTBSY, "chain: a parent cannot be opened for writing");
	if (fd >= 0)
		close(fd);
	run(&r, "vdctl", "detach", dev.path, NULL);
	is_num(r.status, 0, "chain: detach");
	fd = open(path_in(dir, "chain-1.vmdk"), O_WRONLY | O_CLOEXEC);
	ok(fd >= 0, "chain: afterwards it can");
	if (fd >= 0)
		close(fd);

	unlink(path_in(dir, "chain-1.vmdk"));
	run(&r, "vdctl", "attach", path, NULL);
	is_num(r.status, 3, "chain: a missing parent");
	ok(strstr(r.err, "chain-1.vmdk"), "chain: is named: %s", r.err);
	images_unstage(image, dir);
}

int main(void)
{
	const struct images *all = images_load();
	const struct img_image *image;
	unsigned int i;

	for (i = 0; i < all->nr_images; i++) {
		image = &all->images[i];
		if (!strcmp(image->format, "raw") || !strncmp(image->file, "parts", 5))
			continue;
		/* The overlay over 9p below us; and, if they are not too large: */
		if (images_disk(image->disk)->size > WHOLE_MAX)
			check_image(image, images_path(image->file), "the host's file system");
		else
			staged(image, i % 3 ? place_ext4() : place_xfs(), i % 3 ? "ext4" : "xfs");
	}
	staged(images_find("mess-monolithicSparse.vmdk"), scratch_dir(), "tmpfs");
	check_image(images_find("mess-streamOptimized.vmdk"),
		    images_path("mess-streamOptimized.vmdk"), "the host's file system");
	test_chain();

	if (nl_open(&nl))
		bail("no vdisk family");
	is_num(vdev_count(&nl), 0, "nothing is left attached");
	vdev_detach_all(&nl);
	nl_close(&nl);
	return tap_done();
}
