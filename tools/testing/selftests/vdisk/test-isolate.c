// SPDX-License-Identifier: GPL-2.0-only
/*
 * With udevd running and our rules installed: what lies on an attached disk -
 * a volume group, an array member, a btrfs - is left alone, unless attach said
 * --activate. Each check is made both ways, so that it proves something.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "blk.h"
#include "tap.h"

#define VG	"vdtvg"
#define MD	"/dev/md77"
#define ROUNDS	5

static struct nl nl;
static struct run r;

/* ----------------------------------------------------------------- devices */

static bool attach(const char *path, bool activate, struct vdev *dev)
{
	memset(dev, 0, sizeof(*dev));
	if (activate)
		run(&r, "vdctl", "-q", "attach", "-f", "raw", "--activate", path, NULL);
	else
		run(&r, "vdctl", "-q", "attach", "-f", "raw", path, NULL);
	if (r.status || sscanf(r.out, "/dev/vdisk%u", &dev->id) != 1) {
		diag("attach of %s: status %d, %s", path, r.status, r.err);
		return false;
	}
	snprintf(dev->path, sizeof(dev->path), "/dev/vdisk%u", dev->id);
	return true;
}

static void settle(void)
{
	run(&r, "udevadm", "settle", "--timeout=60", NULL);
	if (r.status)
		diag("udevadm settle: %s", r.err);
}

static void detach(const struct vdev *dev, const char *name)
{
	run(&r, "vdctl", "detach", dev->path, NULL);
	if (!is_num(r.status, 0, "%s: detach", name))
		diag("%s", r.err);
}

/* Run a set-up command; false and a word about it if it fails. */
static bool setup(const char *const argv[])
{
	if (!run_argv(&r, argv))
		return true;
	diag("%s: status %d: %s%s", argv[0], r.status, r.out, r.err);
	return false;
}

#define SETUP(...) setup((const char *const[]) { __VA_ARGS__, NULL })

/* udev's opinion of a device: "" if it has no such property. */
static const char *udev_property(const struct vdev *dev, const char *key)
{
	static char value[4][256];
	static unsigned int next;
	char *buf = value[next++ % ARRAY_SIZE(value)];
	char want[64], *p = r.out, *line;
	size_t len;

	buf[0] = 0;
	len = snprintf(want, sizeof(want), "%s=", key);
	run(&r, "udevadm", "info", "-q", "property", dev->path, NULL);
	while ((line = strsep(&p, "\n"))) {
		if (!strncmp(line, want, len))
			snprintf(buf, sizeof(value[0]), "%s", line + len);
	}
	return buf;
}

/* ---------------------------------------------------------- what could happen */

static bool lvm_active(const struct vdev *devs)
{
	return exists("/dev/mapper/" VG "-lv");
}

static bool md_active(const struct vdev *devs)
{
	char text[4096];

	return read_text("/proc/mdstat", text, sizeof(text)) && strstr(text, devs->path + 5);
}

static int btrfs_control(unsigned long request, const char *path)
{
	struct btrfs_ioctl_vol_args args = { 0 };
	int fd = open("/dev/btrfs-control", O_RDWR | O_CLOEXEC), ret;

	if (fd < 0) {
		diag("/dev/btrfs-control: %s", err_name(errno));
		return -1;
	}
	snprintf(args.name, sizeof(args.name), "%s", path);
	ret = ioctl(fd, request, &args);
	close(fd);
	return ret;
}

static void btrfs_forget(const struct vdev *devs)
{
	btrfs_control(BTRFS_IOC_FORGET_DEV, devs[0].path);
	btrfs_control(BTRFS_IOC_FORGET_DEV, devs[1].path);
}

/*
 * Asking about one of the two registers that one, and answers 0 if then all are:
 * if somebody has registered the other.
 */
static bool btrfs_known(const struct vdev *devs)
{
	return btrfs_control(BTRFS_IOC_DEVICES_READY, devs[0].path) == 0;
}

static bool lvm_prepare(const struct vdev *devs)
{
	return SETUP("lvm", "pvcreate", "-q", "-ff", "-y", devs[0].path) &&
	       SETUP("lvm", "vgcreate", "-q", VG, devs[0].path) &&
	       SETUP("lvm", "lvcreate", "-q", "-Wn", "-Zn", "-an", "-l", "1", "-n", "lv", VG);
}

static void lvm_stop(const struct vdev *devs)
{
	SETUP("lvm", "vgchange", "-q", "-an", VG);
}

static bool md_prepare(const struct vdev *devs)
{
	return SETUP("mdadm", "--create", MD, "--quiet", "--run", "--force", "--level=1",
		     "--raid-devices=1", "--metadata=1.2", devs[0].path) &&
	       SETUP("mdadm", "--stop", "--quiet", MD);
}

static void md_stop(const struct vdev *devs)
{
	/* Assembled from hotplug it has another number. */
	SETUP("mdadm", "--stop", "--quiet", "--scan");
}

static bool btrfs_prepare(const struct vdev *devs)
{
	bool done = SETUP("mkfs.btrfs", "-q", "-m", "raid1", "-d", "raid1", devs[0].path,
			  devs[1].path);

	btrfs_forget(devs);	/* mkfs has registered them */
	return done;
}

/**
 * struct stack - something that a host likes to pick up
 * @type: as blkid calls it
 * @nr_devs: how many disks it lies on
 * @prepare: put it on isolated devices, and leave it inactive
 * @active: did the host pick it up?
 * @stop: let it go again
 */
struct stack {
	const char *name;
	const char *type;
	unsigned int nr_devs;
	u64 size;
	bool (*prepare)(const struct vdev *devs);
	bool (*active)(const struct vdev *devs);
	void (*stop)(const struct vdev *devs);
};

static const struct stack stacks[] = {
	{ "LVM", "LVM2_member", 1, 24 * MIB, lvm_prepare, lvm_active, lvm_stop },
	{ "md", "linux_raid_member", 1, 16 * MIB, md_prepare, md_active, md_stop },
	{ "btrfs", "btrfs", 2, 128 * MIB, btrfs_prepare, btrfs_known, btrfs_forget },
};

static bool attach_all(const struct stack *s, bool activate, struct vdev *devs)
{
	char name[32];
	unsigned int i;

	for (i = 0; i < s->nr_devs; i++) {
		snprintf(name, sizeof(name), "%s%u", s->name, i);
		if (!attach(path_in(scratch_dir(), name), activate, &devs[i]))
			return false;
	}
	settle();
	return true;
}

static void detach_all(const struct stack *s, const struct vdev *devs, const char *name)
{
	unsigned int i;

	for (i = 0; i < s->nr_devs; i++)
		detach(&devs[i], name);
}

static void check_isolated(const struct stack *s, const struct vdev *devs)
{
	char link[64];

	ok(!s->active(devs), "%s: isolated: the host leaves it alone", s->name);
	is_str(udev_property(devs, "ID_FS_TYPE"), "", "%s: isolated: nobody probed its content",
	       s->name);
	is_str(udev_property(devs, "SYSTEMD_READY"), "0", "%s: isolated: SYSTEMD_READY", s->name);
	is_str(udev_property(devs, "UDISKS_IGNORE"), "1", "%s: isolated: UDISKS_IGNORE", s->name);
	snprintf(link, sizeof(link), "/dev/disk/by-diskseq/%s", vdev_sysfs(devs, "diskseq"));
	ok(exists(link), "%s: isolated: there is a link by disk sequence number", s->name);
}

static void check_activated(const struct stack *s, const struct vdev *devs)
{
	is_str(udev_property(devs, "ID_FS_TYPE"), s->type, "%s: --activate: udev knows its type",
	       s->name);
	ok(strcmp(udev_property(devs, "UDISKS_IGNORE"), "1"), "%s: --activate: no UDISKS_IGNORE",
	   s->name);
	ok(strcmp(udev_property(devs, "DM_UDEV_DISABLE_OTHER_RULES_FLAG"), "1"),
	   "%s: --activate: no DM_UDEV_DISABLE_OTHER_RULES_FLAG", s->name);
	/* The rules of btrfs set it themselves while a disk is missing. */
	if (s->nr_devs == 1)
		ok(strcmp(udev_property(devs, "SYSTEMD_READY"), "0"),
		   "%s: --activate: SYSTEMD_READY is not 0", s->name);
	ok(wait_until(s->active(devs), 20000), "%s: --activate: the host picks it up", s->name);
	s->stop(devs);
	settle();
}

static void test_stack(const struct stack *s)
{
	struct vdev devs[2];
	char name[32];
	unsigned int i;

	for (i = 0; i < s->nr_devs; i++) {
		snprintf(name, sizeof(name), "%s%u", s->name, i);
		close(make_file(path_in(scratch_dir(), name), s->size));
	}
	if (!attach_all(s, false, devs) || !ok(s->prepare(devs), "%s: prepare", s->name))
		return;
	settle();
	detach_all(s, devs, s->name);

	if (!ok(attach_all(s, false, devs), "%s: attach", s->name))
		return;
	check_isolated(s, devs);
	if (s->stop == btrfs_forget)
		btrfs_forget(devs);	/* the check has registered one */
	detach_all(s, devs, s->name);

	if (!ok(attach_all(s, true, devs), "%s: attach --activate", s->name))
		return;
	check_activated(s, devs);
	detach_all(s, devs, s->name);
}

/* udevd looks at each new disk; that must not make a script's detach fail. */
static void test_hasty(void)
{
	const char *path = path_in(scratch_dir(), "hasty");
	unsigned int i, good = 0;
	struct vdev dev;

	close(make_random_file(path, 4 * MIB, 1));
	for (i = 0; i < ROUNDS; i++) {
		if (!attach(path, i % 2, &dev))
			break;
		run(&r, "vdctl", "detach", dev.path, NULL);
		if (r.status) {
			diag("round %u: %s", i, r.err);
			settle();
			run(&r, "vdctl", "detach", dev.path, NULL);
			continue;
		}
		good++;
	}
	is_num(good, ROUNDS, "%u times attach and at once detach, with udevd about", ROUNDS);
}

static void test_names(void)
{
	const char *path = path_in(scratch_dir(), "named");
	struct vdev dev;

	close(make_file(path, 4 * MIB));
	memset(&dev, 0, sizeof(dev));
	run(&r, "vdctl", "-q", "attach", "-f", "raw", "--name", "my-disk", path, NULL);
	if (!ok(sscanf(r.out, "/dev/vdisk%u", &dev.id) == 1, "attach --name"))
		return;
	snprintf(dev.path, sizeof(dev.path), "/dev/vdisk%u", dev.id);
	ok(wait_until(exists("/dev/disk/by-vdisk/my-disk"), 20000), "there is a link of that name");
	settle();
	detach(&dev, "--name");
	settle();
	ok(!exists("/dev/disk/by-vdisk/my-disk"), "which goes with the device");
}

int main(void)
{
	size_t i;
	int ret;

	ret = nl_open(&nl);
	if (ret)
		bail("no vdisk family: %s", err_name(ret));
	run(&r, "udevadm", "control", "--ping", NULL);
	if (r.status)
		bail("udevd is not running");
	test_names();
	for (i = 0; i < ARRAY_SIZE(stacks); i++)
		if (!brief_run() || !strcmp(stacks[i].name, "md"))
			test_stack(&stacks[i]);
	test_hasty();
	is_num(vdev_count(&nl), 0, "nothing is left attached");
	vdev_detach_all(&nl);
	nl_close(&nl);
	return tap_done();
}
