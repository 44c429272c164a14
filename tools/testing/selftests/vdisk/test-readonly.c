// SPDX-License-Identifier: GPL-2.0-only
/*
 * Read-only means that nothing is written: no byte, no time stamp, neither by
 * attach nor by a read-only mount; and nobody else writes meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blk.h"
#include "images.h"
#include "tap.h"

static struct nl nl;
static struct nl_reply reply;
static struct run r;
static char mnt[128];

/* All of stat that may not change, and the content. */
struct snapshot {
	struct stat st;
	char sha256[SHA256_HEX];
};

static void snap(const char *path, struct snapshot *s)
{
	if (stat(path, &s->st) || !sha256_file(path, s->sha256))
		bail("%s: %s", path, err_name(errno));
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static void unchanged(const char *path, const struct snapshot *before, const char *name)
{
	struct snapshot now;

	snap(path, &now);
	is_str(now.sha256, before->sha256, "%s: same bytes", name);
	ok(same_time(now.st.st_mtim, before->st.st_mtim), "%s: same mtime", name);
	ok(same_time(now.st.st_ctim, before->st.st_ctim), "%s: same ctime", name);
	ok(now.st.st_size == before->st.st_size && now.st.st_blocks == before->st.st_blocks,
	   "%s: same size and space", name);
}

/* ------------------------------------------------------------------ writers */

static void denied(int fd, const char *what, const char *name)
{
	int err = errno;

	ok(fd < 0 && err == ETXTBSY, "%s: %s gets ETXTBSY", name, what);
	if (fd >= 0)
		close(fd);
	else if (err != ETXTBSY)
		diag("got %s", err_name(err));
}

static void check_denial(const char *path, const char *name)
{
	char hard[600];

	snprintf(hard, sizeof(hard), "%s-link", path);
	denied(open(path, O_WRONLY | O_CLOEXEC), "open for writing", name);
	denied(open(path, O_RDWR | O_CLOEXEC), "open for reading and writing", name);
	denied(open(path, O_RDONLY | O_TRUNC | O_CLOEXEC), "O_TRUNC", name);
	denied(truncate(path, 0) ? -1 : 0, "truncate", name);
	if (link(path, hard))
		bail("link: %s", err_name(errno));
	denied(open(hard, O_WRONLY | O_CLOEXEC), "a hard link", name);
	unlink(hard);
}

static void check_released(const char *path, const char *name)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	ok(fd >= 0, "%s: after detach it can be opened for writing", name);
	close(fd);
}

/* ------------------------------------------------------------------- mounts */

/* Read something of everything, as a user would. */
static bool use_mount(void)
{
	char hex[SHA256_HEX];

	return exists(path_in(mnt, "docs")) && sha256_file(path_in(mnt, "docs/large.dat"), hex);
}

static void mount_and_use(const struct vdev *dev, const struct img_part *part, const char *name)
{
	char node[64];

	snprintf(node, sizeof(node), "%sp%u", dev->path, part->nr);
	if (!ok(!mount(node, mnt, part->fs, MS_RDONLY, NULL), "%s: mount %s", name, part->fs)) {
		diag("%s", err_name(errno));
		return;
	}
	ok(use_mount(), "%s: files can be read", name);
	ok(mount(NULL, mnt, NULL, MS_REMOUNT, NULL) < 0, "%s: no remount for writing", name);
	umount(mnt);
}

static void insist(const struct vdev *dev, const char *name)
{
	int fd = vdev_open(dev, O_RDONLY), zero = 0;

	ok(vdev_open(dev, O_RDWR) < 0, "%s: the device cannot be opened for writing", name);
	ok(ioctl(fd, BLKROSET, &zero) < 0 || bdev_is_ro(fd) == 1, "%s: nor made writable", name);
	ok(vdev_open(dev, O_WRONLY) < 0, "%s: not even then", name);
	ok(bdev_discard(fd, 0, MIB) < 0, "%s: nor discarded", name);
	close(fd);
}

/* ------------------------------------------------------------------ the tests */

static bool attach(const char *path, struct vdev *dev, const char *name)
{
	memset(dev, 0, sizeof(*dev));
	if (strstr(path, ".vmdk"))
		run(&r, "vdctl", "-q", "attach", "-r", path, NULL);
	else
		run(&r, "vdctl", "-q", "attach", "-r", "-f", "raw", path, NULL);
	if (!ok(!r.status && sscanf(r.out, "/dev/vdisk%u", &dev->id) == 1, "%s: attach", name)) {
		diag("status %d, stderr: %s", r.status, r.err);
		return false;
	}
	snprintf(dev->path, sizeof(dev->path), "/dev/vdisk%u", dev->id);
	return true;
}

static void test_image(const char *file, const char *dir)
{
	const struct img_image *image = images_find(file);
	const char *path = strdup(images_stage(image, dir));
	const struct images *all = images_load();
	struct snapshot before;
	struct vdev dev;
	unsigned int i;

	snap(path, &before);
	if (!attach(path, &dev, file))
		return;
	check_denial(path, file);
	/* The link above has changed the ctime. */
	if (stat(path, &before.st))
		bail("%s: %s", path, err_name(errno));
	for (i = 0; i < all->nr_parts; i++) {
		if (!strcmp(all->parts[i].disk, image->disk) && strcmp(all->parts[i].fs, "ntfs"))
			mount_and_use(&dev, &all->parts[i], file);
	}
	insist(&dev, file);
	is_err(vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply), 0, "%s: detach", file);
	unchanged(path, &before, file);
	check_released(path, file);
	images_unstage(image, dir);
}

/* A journal that wants to be replayed: the mount fails or does without. */
static void test_dirty_journal(const char *dir)
{
	const struct img_image *image = images_find("parts.raw");
	const struct img_part *part = &images_load()->parts[0];
	const char *path = strdup(images_stage(image, dir));
	struct snapshot before;
	struct vdev dev;
	char node[64];
	u32 incompat;
	int fd, ret;

	/* EXT4_FEATURE_INCOMPAT_RECOVER in the superblock. */
	fd = xopen(path, O_RDWR);
	pread_all(fd, &incompat, 4, part->start + 1024 + 0x60);
	incompat |= 4;
	pwrite_all(fd, &incompat, 4, part->start + 1024 + 0x60);
	fsync(fd);
	close(fd);

	snap(path, &before);
	if (!attach(path, &dev, "journal"))
		return;
	snprintf(node, sizeof(node), "%sp%u", dev.path, part->nr);
	ret = mount(node, mnt, "ext4", MS_RDONLY, NULL);
	diag("mount: %s", ret ? err_name(errno) : "done");
	if (!ret)
		umount(mnt);
	is_err(vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply), 0, "journal: detach");
	unchanged(path, &before, "journal");
	images_unstage(image, dir);
}

/* The image lies where nothing can be written, as on a DVD. */
static void test_read_only_mount(void)
{
	const struct img_image *image = images_find("mess-monolithicSparse.vmdk");
	const struct img_disk *disk = images_disk(image->disk);
	const char *dir = strdup(path_in(scratch_dir(), "ro"));
	const char *path;
	struct vdev dev;
	int fd;

	mkdir(dir, 0700);
	if (mount("vdt", dir, "tmpfs", 0, NULL))
		bail("mount tmpfs: %s", err_name(errno));
	path = strdup(images_stage(image, dir));
	chmod(path, 0444);
	if (mount(NULL, dir, NULL, MS_REMOUNT | MS_RDONLY, NULL))
		bail("remount: %s", err_name(errno));
	if (attach(path, &dev, "read-only mount")) {
		fd = vdev_open(&dev, O_RDONLY);
		ok(same_content(fd, images_reference(disk), disk->size, 0),
		   "read-only mount: content");
		close(fd);
		is_err(vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply), 0,
		       "read-only mount: detach");
	}
	ok(!umount(dir), "read-only mount: nothing holds it");
	rmdir(dir);
}

int main(void)
{
	const char *dir = place_ext4() ? place_ext4() : scratch_dir();
	int ret;

	ret = nl_open(&nl);
	if (ret)
		bail("no vdisk family: %s", err_name(ret));
	images_load();
	snprintf(mnt, sizeof(mnt), "%s/mnt", scratch_dir());
	mkdir(mnt, 0700);

	test_image("parts.raw", dir);
	test_image("parts-sparse.vmdk", dir);
	test_image("parts-stream.vmdk", scratch_dir());
	test_dirty_journal(dir);
	test_read_only_mount();

	is_num(vdev_count(&nl), 0, "nothing is left attached");
	vdev_detach_all(&nl);
	nl_close(&nl);
	rmdir(mnt);
	return tap_done();
}
