// SPDX-License-Identifier: GPL-2.0-only
/*
 * vdctl attach and what follows from it: modules loaded on demand, the node, its
 * partitions and attributes at the moment of return, and file systems whose
 * every file has the hash that the host noted when it made them.
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
static struct run r;
static char mnt[128];

/* /dev/vdiskN from the one line that attach prints; false: something else. */
static bool parse_node(struct vdev *dev)
{
	char end;

	memset(dev, 0, sizeof(*dev));
	if (r.status || sscanf(r.out, "/dev/vdisk%u%c", &dev->id, &end) != 2 || end != '\n')
		return false;
	snprintf(dev->path, sizeof(dev->path), "/dev/vdisk%u", dev->id);
	return strchr(r.out, '\n') == r.out + strlen(r.out) - 1;
}

static bool attached(struct vdev *dev, const char *name)
{
	bool good = parse_node(dev);

	if (!ok(good, "%s: attach prints the node", name))
		diag("status %d, stdout: %s, stderr: %s", r.status, r.out, r.err);
	return good;
}

static void detached(const struct vdev *dev, const char *name)
{
	run(&r, "vdctl", "detach", dev->path, NULL);
	if (!ok(!r.status && !exists(dev->path), "%s: detach, and the node is gone", name))
		diag("status %d, stderr: %s", r.status, r.err);
}

/* --------------------------------------------------------- what is on it */

static u64 part_number(const struct vdev *dev, unsigned int nr, const char *attr)
{
	char path[64];

	snprintf(path, sizeof(path), "vdisk%up%u/%s", dev->id, nr, attr);
	return strtoull(vdev_sysfs(dev, path), NULL, 10);
}

static void check_partitions(const struct vdev *dev, const char *disk, const char *name)
{
	const struct images *all = images_load();
	unsigned int i;
	char node[64];
	struct stat st;

	for (i = 0; i < all->nr_parts; i++) {
		const struct img_part *part = &all->parts[i];

		if (strcmp(part->disk, disk))
			continue;
		snprintf(node, sizeof(node), "%sp%u", dev->path, part->nr);
		ok(part_number(dev, part->nr, "start") * SECTOR == part->start &&
		   part_number(dev, part->nr, "size") * SECTOR == part->size &&
		   !stat(node, &st) && S_ISBLK(st.st_mode),
		   "%s: partition %u is there, where and as large as it should be", name,
		   part->nr);
	}
}

static bool has_filesystem(const char *fs)
{
	char text[4096];

	if (!read_text("/proc/filesystems", text, sizeof(text)))
		return false;
	return strstr(text, fs);
}

/*
 * Debian's 6.1 has no ntfs3; ntfs-3g reads it in user space then, from the same
 * partition.
 */
static bool mount_partition(const char *node, const char *fs)
{
	const char *type = strcmp(fs, "ntfs") ? fs : "ntfs3";

	if (!mount(node, mnt, type, MS_RDONLY | MS_NODEV | MS_NOSUID, NULL))
		return true;
	if (strcmp(fs, "ntfs") || has_filesystem("ntfs3")) {
		diag("mount %s as %s: %s", node, type, err_name(errno));
		return false;
	}
	diag("this kernel has no ntfs3: ntfs-3g");
	if (run(&r, "ntfs-3g", "-o", "ro", node, mnt, NULL)) {
		diag("ntfs-3g: %s", r.err);
		return false;
	}
	return true;
}

static void unmount(const char *name)
{
	/* ntfs-3g lets go of the device a moment after the unmount. */
	if (!ok(wait_until(!umount(mnt), 5000), "%s: unmount", name))
		diag("%s", err_name(errno));
}

static void check_files(const char *disk, unsigned int part, const char *name)
{
	const struct images *all = images_load();
	unsigned int i, good = 0, want = 0;
	char hex[SHA256_HEX];
	struct stat st;

	for (i = 0; i < all->nr_files; i++) {
		const struct img_file *f = &all->files[i];
		const char *path = path_in(mnt, f->path);

		if (strcmp(f->disk, disk) || f->part != part)
			continue;
		want++;
		if (stat(path, &st) || (u64)st.st_size != f->size || !sha256_file(path, hex) ||
		    strcmp(hex, f->sha256))
			diag("%s: %s is wrong", name, f->path);
		else
			good++;
	}
	ok(good == want && want, "%s: %u of %u files have the host's size and hash", name, good,
	   want);
}

static void check_filesystems(const struct vdev *dev, const char *disk, const char *image)
{
	const struct images *all = images_load();
	char node[64], name[128];
	unsigned int i;

	for (i = 0; i < all->nr_parts; i++) {
		const struct img_part *part = &all->parts[i];

		if (strcmp(part->disk, disk) || !strcmp(part->fs, "none"))
			continue;
		snprintf(node, sizeof(node), "%sp%u", dev->path, part->nr);
		snprintf(name, sizeof(name), "%s, %s", image, part->fs);
		if (!ok(mount_partition(node, part->fs), "%s: mount", name))
			continue;
		check_files(disk, part->nr, name);
		unmount(name);
	}
}

/* ------------------------------------------------------------------- tests */

/* The first attach finds nothing loaded; the kernel fetches what it needs. */
static void test_autoload(void)
{
	struct vdev dev;
	struct nl_reply reply;
	const char *path = images_path("parts-sparse.vmdk");

	is_err(unload_all(), 0, "unload what is loaded");
	ok(!module_loaded("vdisk"), "no vdisk module is loaded");
	run(&r, "vdctl", "attach", path, NULL);
	if (!attached(&dev, "first attach"))
		return;
	ok(module_loaded("vdisk") && module_loaded("vdisk_vmdk"), "its modules are loaded");
	ok(!module_loaded("vdisk_raw"), "others are not");
	ok(module_unload("vdisk_vmdk") < 0, "a format in use cannot be unloaded");
	ok(module_unload("vdisk") < 0, "nor can vdisk");
	if (nl_open(&nl))
		bail("no vdisk family");
	is_err(vdev_get(&nl, dev.id, &reply), 0, "the device is unharmed");
	nl_close(&nl);
	detached(&dev, "first attach");
	is_err(unload_all(), 0, "all modules can be unloaded again");
}

static void check_attributes(const struct vdev *dev, const struct img_image *image)
{
	const struct img_disk *disk = images_disk(image->disk);
	char text[512], real[512];

	is_num(strtoull(vdev_sysfs(dev, "size"), NULL, 10) * SECTOR, disk->size, "size");
	is_num(strtoull(vdev_sysfs(dev, "vdisk/size_virtual"), NULL, 10), disk->size,
	       "vdisk/size_virtual");
	is_str(vdev_sysfs(dev, "ro"), "0", "ro");
	is_str(vdev_sysfs(dev, "vdisk/read_only"), "0", "vdisk/read_only");
	is_str(vdev_sysfs(dev, "vdisk/format"), image->format, "vdisk/format");
	is_str(vdev_sysfs(dev, "vdisk/state"), "live", "vdisk/state");
	is_str(vdev_sysfs(dev, "vdisk/isolate"), "1", "vdisk/isolate");
	is_str(vdev_sysfs(dev, "vdisk/autoclear"), "0", "vdisk/autoclear");
	is_str(vdev_sysfs(dev, "vdisk/chain"), "1", "vdisk/chain");
	is_str(vdev_sysfs(dev, "vdisk/errors"), "0", "vdisk/errors");
	is_str(vdev_sysfs(dev, "vdisk/openers"), "0", "vdisk/openers");
	is_str(vdev_sysfs(dev, "vdisk/inflight"), "0", "vdisk/inflight");
	is_str(vdev_sysfs(dev, "vdisk/name"), "the one", "vdisk/name");
	is_str(vdev_sysfs(dev, "queue/rotational"), "0", "queue/rotational");
	is_str(vdev_sysfs(dev, "queue/logical_block_size"), "512", "queue/logical_block_size");
	snprintf(text, sizeof(text), "%s", vdev_sysfs(dev, "vdisk/backing_file"));
	if (!realpath(images_path(image->file), real))
		bail("%s: %s", image->file, err_name(errno));
	is_str(text, real, "vdisk/backing_file");
}

static void test_vmdk(void)
{
	const struct img_image *image = images_find("parts-sparse.vmdk");
	struct vdev dev;

	run(&r, "vdctl", "attach", "--name", "the one", images_path(image->file), NULL);
	if (!attached(&dev, "VMDK"))
		return;
	ok(!strstr(r.err, "read-only"), "VMDK: nothing on stderr of read-only: %s", r.err);
	check_partitions(&dev, image->disk, "VMDK");
	check_attributes(&dev, image);
	check_filesystems(&dev, image->disk, "VMDK");
	detached(&dev, "VMDK");
}

static void test_stream(void)
{
	const struct img_image *image = images_find("parts-stream.vmdk");
	struct vdev dev;

	run(&r, "vdctl", "attach", images_path(image->file), NULL);
	if (!attached(&dev, "stream VMDK"))
		return;
	ok(strstr(r.err, "read-only") && strstr(r.err, "compressed"),
	   "stream VMDK: stderr says that it is read-only, and why: %s", r.err);
	is_str(vdev_sysfs(&dev, "ro"), "1", "stream VMDK: ro");
	is_str(vdev_sysfs(&dev, "vdisk/read_only"), "1", "stream VMDK: vdisk/read_only");
	check_partitions(&dev, image->disk, "stream VMDK");
	check_filesystems(&dev, image->disk, "stream VMDK");
	detached(&dev, "stream VMDK");
}

static void test_raw(void)
{
	const struct img_image *image = images_find("parts.raw");
	const char *copy = strdup(images_stage(image, scratch_dir()));
	const struct img_disk *disk = images_disk(image->disk);
	struct vdev dev;
	int fd;

	run(&r, "vdctl", "attach", copy, NULL);
	if (attached(&dev, "raw, found by content")) {
		is_str(vdev_sysfs(&dev, "ro"), "1", "raw, found by content: read-only");
		ok(strstr(r.err, "-f raw"), "and stderr says how to write: %s", r.err);
		detached(&dev, "raw, found by content");
	}

	run(&r, "vdctl", "attach", "-f", "raw", "--no-partscan", copy, NULL);
	if (attached(&dev, "raw without partitions")) {
		ok(!vdev_has_partition(&dev, 1), "raw without partitions: has none");
		detached(&dev, "raw without partitions");
	}

	run(&r, "vdctl", "attach", "-f", "raw", copy, NULL);
	if (!attached(&dev, "raw"))
		return;
	is_str(vdev_sysfs(&dev, "ro"), "0", "raw: read-write");
	check_partitions(&dev, image->disk, "raw");
	check_filesystems(&dev, image->disk, "raw");
	detached(&dev, "raw");
	fd = xopen(copy, O_RDONLY);
	ok(same_content(fd, images_reference(disk), disk->size, 0),
	   "raw: mounting read-only has changed nothing");
	close(fd);
}

/* One partition of a disk of 4096-byte sectors, only seen with these. */
static void test_4k(void)
{
	const char *path = images_path("parts4k.raw");
	struct vdev dev;

	run(&r, "vdctl", "attach", "-r", "-f", "raw", "-b", "4096", path, NULL);
	if (!attached(&dev, "4096-byte sectors"))
		return;
	is_str(vdev_sysfs(&dev, "queue/logical_block_size"), "4096", "4096-byte sectors: limit");
	check_partitions(&dev, "parts4k", "4096-byte sectors");
	detached(&dev, "4096-byte sectors");
}

/* A window of the disk image is the file system of its first partition. */
static void test_window(void)
{
	const struct img_part *part = &images_load()->parts[0];
	char offset[32], size[32];
	struct vdev dev;

	snprintf(offset, sizeof(offset), "%llu", (unsigned long long)part->start);
	snprintf(size, sizeof(size), "%llus", (unsigned long long)part->size / SECTOR);
	run(&r, "vdctl", "attach", "-r", "-f", "raw", "-o", offset, "--sizelimit", size,
	    images_path("parts.raw"), NULL);
	if (!attached(&dev, "window"))
		return;
	is_num(strtoull(vdev_sysfs(&dev, "size"), NULL, 10) * SECTOR, part->size, "window: size");
	if (ok(mount_partition(dev.path, part->fs), "window: mount")) {
		check_files(part->disk, part->nr, "window");
		unmount("window");
	}
	detached(&dev, "window");
}

/* Other verbs, by the node, the number or the file. */
static void test_verbs(void)
{
	const char *path = images_path("parts-sparse.vmdk");
	struct vdev dev;
	char id[16];

	run(&r, "vdctl", "attach", "--node", "vdisk9", "-J", path, NULL);
	ok(!r.status && strstr(r.out, "vdisk9"), "attach --node -J: %s", r.out);
	snprintf(dev.path, sizeof(dev.path), "/dev/vdisk9");
	run(&r, "vdctl", "list", "-J", NULL);
	if (!ok(!r.status && strstr(r.out, "\"schema\"") && strstr(r.out, "vdisk9") &&
		strstr(r.out, "parts-sparse.vmdk"), "list -J shows it"))
		diag("status %d: %s%s", r.status, r.out, r.err);
	run(&r, "vdctl", "status", dev.path, NULL);
	ok(!r.status && strstr(r.out, "vmdk"), "status speaks of vmdk");
	snprintf(id, sizeof(id), "%d", 9);
	run(&r, "vdctl", "detach", id, NULL);
	is_num(r.status, 0, "detach by number");

	run(&r, "vdctl", "attach", path, NULL);
	ok(parse_node(&dev), "attach once more");
	run(&r, "vdctl", "detach", path, NULL);
	is_num(r.status, 0, "detach by file");
	run(&r, "vdctl", "detach", path, NULL);
	is_num(r.status, 3, "detach of what is not attached");
	run(&r, "vdctl", "attach", "/nonexistent.vmdk", NULL);
	is_num(r.status, 3, "attach of a file that is not there");
	run(&r, "vdctl", "attach", "--rw", path, NULL);
	ok(!r.status && parse_node(&dev), "attach --rw of a VMDK");
	run(&r, "vdctl", "detach", path, NULL);
	is_num(r.status, 0, "detach it");
	run(&r, "vdctl", "attach", "--rw", images_path("parts-stream.vmdk"), NULL);
	is_num(r.status, 5, "attach --rw of a compressed VMDK");
	run(&r, "vdctl", "attach", NULL);
	is_num(r.status, 2, "attach of nothing");
	run(&r, "vdctl", "detach", "--all", NULL);
	is_num(r.status, 0, "detach --all of nothing");
}

int main(void)
{
	snprintf(mnt, sizeof(mnt), "%s/mnt", scratch_dir());
	mkdir(mnt, 0700);
	images_load();

	test_autoload();
	test_vmdk();
	test_stream();
	test_raw();
	test_4k();
	test_window();
	test_verbs();

	if (nl_open(&nl))
		bail("no vdisk family");
	is_num(vdev_count(&nl), 0, "nothing is left attached");
	vdev_detach_all(&nl);
	nl_close(&nl);
	rmdir(mnt);
	return tap_done();
}
