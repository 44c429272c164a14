// SPDX-License-Identifier: GPL-2.0-only
/* Other drivers on our disks, as they stand on any disk. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "suite.h"

#define DISK	(24 * MIB)

static int node_open(const char *node)
{
	int fd = open(node, O_RDWR | O_DIRECT | O_CLOEXEC);

	if (fd < 0)
		bail("%s: %s", node, err_name(errno));
	return fd;
}

/* A node above is filled, discarded in part and read again. */
static void exercise(const char *what, const char *node)
{
	int fd = node_open(node);
	u64 size = full_run() ? 8 * MIB : 2 * MIB;

	ok(put_pattern(fd, 0, size, 21), "%s: written", what);
	is_err(fsync(fd) ? -errno : 0, 0, "%s: synced", what);
	ok(has_pattern(fd, 0, size, 21), "%s: read", what);
	is_err(bdev_zeroout(fd, MIB, MIB / 2 + SECTOR), 0, "%s: zeroed", what);
	ok(has_pattern(fd, 0, MIB, 21) && has_zeros(fd, MIB, MIB / 2 + SECTOR) &&
	   has_pattern(fd, MIB * 3 / 2 + SECTOR, size - MIB * 3 / 2 - SECTOR, 21),
	   "%s: what was asked for", what);
	close(fd);
}

/* Held by the driver above: it is not detached. */
static void held(const char *what, const struct subject *s)
{
	is_err(vdev_detach(&nl, s->dev.id, VDISK_DETACH_PLAIN, &reply), -EBUSY,
	       "%s: the disk is held", what);
}

static void crypt_above(void)
{
	const char *key = path_in(scratch_dir(), "key");
	u8 *buf = xalloc(4096);
	struct subject s;
	int fd = xopen(key, O_RDWR | O_CREAT);

	pattern(buf, 64, 0, 1);
	pwrite_all(fd, buf, 64, 0);
	close(fd);
	subject_make(&s, SUBJECT_VMDK, DISK, VDISK_F_NO_PARTSCAN);
	ok(works("cryptsetup", "open", "--type", "plain", "--cipher", "aes-xts-plain64",
		 "--key-size", "512", "--key-file", key, "--allow-discards", s.dev.path,
		 "vdt-crypt", NULL), "dm-crypt: opened");
	held("dm-crypt", &s);
	exercise("dm-crypt", "/dev/mapper/vdt-crypt");
	fd = vdev_open(&s.dev, O_RDONLY | O_DIRECT);
	ok(pread_all(fd, buf, 4096, 0) && !is_zero(buf, 4096) &&
	   !is_pattern(buf, 4096, 0, 21), "dm-crypt: below, it is something else");
	close(fd);
	ok(works("cryptsetup", "close", "vdt-crypt", NULL), "dm-crypt: closed");
	subject_end(&s);
	free(buf);
}

static const char lvm_config[] =
	"activation { udev_sync=0 udev_rules=0 verify_udev_operations=0 } "
	"devices { obtain_device_list_from_udev=0 use_devicesfile=0 scan=[\"/dev\"] "
	"types=[\"blkext\",16] } global { locking_dir=\"/run/lock/lvm\" event_activation=0 } "
	"backup { backup=0 archive=0 }";

static bool lvm(const char *verb, const char *a, const char *b, const char *c, const char *d)
{
	return works("lvm", verb, "--config", lvm_config, "-y", a, b, c, d, NULL);
}

/* A volume over two of our disks of different formats. */
static void lvm_above(void)
{
	struct subject one, two;

	subject_make(&one, SUBJECT_VDI, DISK, VDISK_F_NO_PARTSCAN);
	subject_make(&two, SUBJECT_RAW, DISK, VDISK_F_NO_PARTSCAN);
	ok(lvm("vgcreate", "vdt", one.dev.path, two.dev.path, NULL), "LVM: a group of two disks");
	ok(lvm("lvcreate", "-nlinear", "-l100%FREE", "vdt", NULL), "LVM: a volume");
	held("LVM", &one);
	held("LVM", &two);
	exercise("LVM", "/dev/vdt/linear");
	ok(lvm("vgchange", "-an", "vdt", NULL, NULL), "LVM: deactivated");
	subject_detach(&two);
	subject_attach(&two, VDISK_F_NO_PARTSCAN);
	ok(lvm("vgchange", "-ay", "vdt", NULL, NULL), "LVM: found again after a new attach");
	ok(lvm("vgremove", "-f", "vdt", NULL, NULL), "LVM: removed");
	subject_end(&one);
	subject_end(&two);
}

static const char *md_state(const char *attr)
{
	static char text[64];

	read_text(path_in("/sys/block/md77/md", attr), text, sizeof(text));
	return text;
}

/* md refuses while it has requests for the member, and forgets it a while later. */
static bool md_forgets(const struct subject *member)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/block/md77/md/dev-vdisk%u/state", member->dev.id);
	write_text(path, "remove");
	return !exists(path);
}

/* One disk of a mirror is pulled out: the array goes on without it, and takes it back. */
static void raid1_loses_one(void)
{
	struct subject one, two;
	int fd;

	subject_make(&one, SUBJECT_VMDK, DISK, VDISK_F_NO_PARTSCAN);
	subject_make(&two, SUBJECT_VDI, DISK, VDISK_F_NO_PARTSCAN);
	ok(works("mdadm", "--create", "/dev/md77", "--run", "--quiet", "--level=1",
		 "--metadata=1.2", "--raid-devices=2", "--assume-clean", one.dev.path,
		 two.dev.path, NULL),
	   "md: a mirror");
	held("md", &one);
	exercise("md", "/dev/md77");
	is_str(md_state("degraded"), "0", "md: whole");
	fd = node_open("/dev/md77");
	is_err(vdev_detach(&nl, one.dev.id, VDISK_DETACH_FORCE, &reply), 0,
	       "md: one disk detached by force");
	ok(put_pattern(fd, 9 * MIB, MIB, 22) && !fsync(fd), "md: writing goes on");
	ok(wait_until(!strcmp(md_state("degraded"), "1"), 10000), "md: degraded");
	ok(has_pattern(fd, 0, MIB, 21) && has_pattern(fd, 9 * MIB, MIB, 22), "md: all data are there");
	close(fd);

	ok(wait_until(md_forgets(&one) && vdev_gone(&nl, one.dev.id), 20000),
	   "md: it lets the dead disk go");
	subject_attach(&one, VDISK_F_NO_PARTSCAN);
	ok(works("mdadm", "--quiet", "/dev/md77", "--add", one.dev.path, NULL),
	   "md: it comes back");
	ok(wait_until(!strcmp(md_state("degraded"), "0") &&
		      !strcmp(md_state("sync_action"), "idle"), 60000), "md: whole again");
	/* md writes to the other one before it lets this one go. */
	ok(works("mdadm", "--quiet", "/dev/md77", "--fail", two.dev.path, NULL) &&
	   wait_until(md_forgets(&two), 20000), "md: the other one goes");
	fd = node_open("/dev/md77");
	ok(has_pattern(fd, 0, MIB, 21) && has_pattern(fd, 9 * MIB, MIB, 22),
	   "md: the one that came back has it all");
	close(fd);
	ok(works("mdadm", "--quiet", "--stop", "/dev/md77", NULL), "md: stopped");
	subject_end(&one);
	subject_end(&two);
}

/* A snapshot's worth of dm: writes go elsewhere, the image stays. */
static void snapshot_above(void)
{
	struct subject s;
	char table[160];
	int fd;

	subject_make(&s, SUBJECT_VMDK, DISK, VDISK_F_NO_PARTSCAN);
	fd = vdev_open(&s.dev, O_RDWR | O_DIRECT);
	put_pattern(fd, 0, 8 * MIB, 20);
	close(fd);
	snprintf(table, sizeof(table), "0 %llu snapshot %s %s N 8",
		 (unsigned long long)(DISK / SECTOR), s.dev.path, place_bdev());
	ok(works("modprobe", "dm-snapshot", NULL) &&
	   works("dmsetup", "create", "vdt-snap", "--table", table, NULL), "dm-snapshot: made");
	exercise("dm-snapshot", "/dev/mapper/vdt-snap");
	ok(works("dmsetup", "remove", "vdt-snap", NULL), "dm-snapshot: removed");
	fd = vdev_open(&s.dev, O_RDONLY | O_DIRECT);
	ok(has_pattern(fd, 0, 8 * MIB, 20), "dm-snapshot: the disk is as it was");
	close(fd);
	subject_end(&s);
}

/* A loop device on our disk; and ours refuses to stand on itself. */
static void loop_above(void)
{
	struct run r = { 0 };
	struct subject s;
	struct vdev dev;
	char node[64];
	int fd;

	subject_make(&s, SUBJECT_VDI, DISK, VDISK_F_NO_PARTSCAN);
	run(&r, "losetup", "--find", "--show", "--direct-io=on", s.dev.path, NULL);
	is_num(r.status, 0, "loop: made");
	snprintf(node, sizeof(node), "%.*s", (int)strcspn(r.out, "\n"), r.out);
	held("loop", &s);
	exercise("loop", node);
	ok(works("losetup", "--detach", node, NULL), "loop: removed");
	fd = vdev_open(&s.dev, O_RDWR);
	is_err(attach_raw(&nl, fd, DISK, 0, &dev, &reply), -EINVAL, "ours on ours: refused");
	close(fd);
	ok(wait_until(!vdev_detach(&nl, s.dev.id, VDISK_DETACH_PLAIN, &reply), 5000),
	   "loop: the disk is free");
	subject_attach(&s, 0);
	subject_end(&s);
}

static const struct contract contracts[] = {
	{ "dm-crypt", crypt_above },
	{ "lvm", lvm_above },
	{ "raid1", raid1_loses_one },
	{ "dm-snapshot", snapshot_above },
	{ "loop", loop_above },
};

int main(int argc, char **argv)
{
	return suite_main(argc, argv, "stack", contracts, ARRAY_SIZE(contracts));
}
