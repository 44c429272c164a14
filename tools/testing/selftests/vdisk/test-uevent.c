// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel tells udev: the disk's ADD comes when its partitions and
 * attributes are there, once each; nothing is scanned twice.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <linux/fs.h>
#include <unistd.h>

#include "blk.h"
#include "images.h"
#include "tap.h"
#include "uevents.h"

static struct nl nl;
static struct nl_reply reply;

/* What was told about one disk and its partitions. */
struct tale {
	unsigned int disk_add, disk_change, disk_remove;
	unsigned int part_add, part_change, part_remove;
	bool parts_first;	/* partitions were there at the disk's ADD */
	bool attrs_first;	/* and so were our attributes */
	bool disk_before_parts;
	u64 diskseq;
};

static bool is_ours(const struct uevent *ev, const struct vdev *dev)
{
	const char *name = strrchr(uevent_property(ev, "DEVNAME"), '/');
	size_t len = strlen(dev->path + 5);

	name = name ? name + 1 : uevent_property(ev, "DEVNAME");
	return !strcmp(uevent_property(ev, "SUBSYSTEM"), "block") &&
	       !strncmp(name, dev->path + 5, len) && (name[len] == 'p' || !name[len]);
}

static void note_disk(struct tale *t, const struct uevent *ev, const struct vdev *dev,
		      unsigned int parts)
{
	const char *action = uevent_property(ev, "ACTION");

	if (!strcmp(action, "add")) {
		t->disk_add++;
		t->diskseq = strtoull(uevent_property(ev, "DISKSEQ"), NULL, 10);
		t->disk_before_parts = !t->part_add;
		t->parts_first = vdev_has_partition(dev, parts);
		t->attrs_first = !strcmp(vdev_sysfs(dev, "vdisk/state"), "live");
	} else if (!strcmp(action, "change")) {
		t->disk_change++;
	} else if (!strcmp(action, "remove")) {
		t->disk_remove++;
	}
}

static void note(struct tale *t, const struct uevent *ev, const struct vdev *dev,
		 unsigned int parts)
{
	const char *action = uevent_property(ev, "ACTION");

	if (!strcmp(uevent_property(ev, "DEVTYPE"), "disk"))
		note_disk(t, ev, dev, parts);
	else if (!strcmp(action, "add"))
		t->part_add++;
	else if (!strcmp(action, "change"))
		t->part_change++;
	else if (!strcmp(action, "remove"))
		t->part_remove++;
}

/*
 * Everything said so far: the kernel queues uevents within the call that causes
 * them, so what has happened by now can be read without waiting.
 */
static void listen_to(struct tale *t, const struct vdev *dev, unsigned int parts)
{
	static struct uevent ev;

	memset(t, 0, sizeof(*t));
	while (uevent_next(&ev, 0)) {
		if (is_ours(&ev, dev))
			note(t, &ev, dev, parts);
	}
}

/* ------------------------------------------------- at the very moment of ADD */

static void watch_attach(int fd, u64 size, u32 flags, unsigned int parts, struct vdev *dev,
			 struct tale *t)
{
	int ret = attach_raw(&nl, fd, size, flags, dev, &reply);

	if (ret)
		bail("attach: %s \"%s\"", err_name(ret), reply.text);
	listen_to(t, dev, parts);
}

static int open_parts_image(u64 *size)
{
	const struct img_disk *disk = images_disk("parts");

	*size = disk->size;
	return xopen(images_path("parts.raw"), O_RDONLY);
}

static unsigned int count_parts(const char *disk)
{
	const struct images *all = images_load();
	unsigned int i, n = 0;

	for (i = 0; i < all->nr_parts; i++)
		n += !strcmp(all->parts[i].disk, disk);
	return n;
}

static void test_order(void)
{
	unsigned int parts = count_parts("parts"), i;
	struct vdev dev;
	struct tale t;
	u64 size;
	int fd = open_parts_image(&size);

	watch_attach(fd, size, VDISK_F_RDONLY | VDISK_F_HARD_RDONLY, parts, &dev, &t);
	is_num(t.disk_add, 1, "one ADD of the disk");
	is_num(t.part_add, parts, "one ADD of each partition");
	ok(t.disk_before_parts, "the disk's comes first");
	is_num(t.part_remove + t.disk_remove + t.part_change, 0,
	       "nothing is removed or scanned anew");
	is_num(t.disk_change, 0, "no CHANGE follows");
	is_num(t.diskseq, dev.diskseq, "DISKSEQ is what ATTACH answered");
	for (i = 1; i <= parts; i++)
		ok(vdev_has_partition(&dev, i), "partition %u exists when ATTACH has answered", i);

	is_err(vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply), 0, "detach");
	listen_to(&t, &dev, parts);
	is_num(t.disk_remove, 1, "one REMOVE of the disk");
	is_num(t.part_remove, parts, "one REMOVE of each partition");
	is_num(t.disk_add + t.part_add, 0, "nothing is added again");
	close(fd);
}

static void test_no_partscan(void)
{
	struct vdev dev;
	struct tale t;
	u64 size;
	int fd = open_parts_image(&size), dfd;

	watch_attach(fd, size, VDISK_F_RDONLY | VDISK_F_HARD_RDONLY | VDISK_F_NO_PARTSCAN, 1, &dev,
		     &t);
	is_num(t.disk_add, 1, "NO_PARTSCAN: the disk is added");
	is_num(t.part_add, 0, "NO_PARTSCAN: no partition");
	dfd = vdev_open(&dev, O_RDONLY);
	ioctl(dfd, BLKRRPART, 0);
	ok(!vdev_has_partition(&dev, 1), "NO_PARTSCAN: not even on request");
	close(dfd);
	vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply);
	listen_to(&t, &dev, 1);
	close(fd);
}

/* Listening in another process, which looks when the message arrives. */
static void test_moment(void)
{
	static struct uevent ev;
	unsigned int parts = count_parts("parts");
	struct tale t = { 0 };
	struct vdev dev = { .id = 77, .path = "/dev/vdisk77" };
	int answer[2], seen[2] = { 0 };
	struct nl_req req;
	u64 size;
	pid_t pid;
	int fd = open_parts_image(&size);

	if (pipe(answer))
		bail("no pipe");
	pid = fork();
	if (!pid) {
		while (!t.disk_add && uevent_next(&ev, 20000)) {
			if (is_ours(&ev, &dev))
				note(&t, &ev, &dev, parts);
		}
		seen[0] = t.parts_first;
		seen[1] = t.attrs_first;
		_exit(write(answer[1], seen, sizeof(seen)) != sizeof(seen));
	}
	nl_begin(&req, VDISK_CMD_ATTACH);
	attach_flags(&req, VDISK_F_RDONLY | VDISK_F_HARD_RDONLY);
	attach_member(&req, fd, 0);
	attach_image(&req, VDISK_FORMAT_RAW, size);
	attach_segment(&req, VDISK_SEG_RAW, 0, 0, size, 0);
	nl_put_u32(&req, VDISK_A_ID, dev.id);
	is_err(attach_send(&nl, &req, &dev, &reply), 0, "attach while somebody listens");
	close(answer[1]);
	if (read(answer[0], seen, sizeof(seen)) != sizeof(seen))
		diag("the listener did not answer");
	close(answer[0]);
	ok(seen[0], "at the disk's ADD, its partitions exist");
	ok(seen[1], "at the disk's ADD, its vdisk/ attributes exist and say live");
	vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply);
	listen_to(&t, &dev, parts);
	close(fd);
}

static void test_change(void)
{
	const char *path = path_in(scratch_dir(), "disk");
	int fd = make_file(path, MIB);
	struct vdev dev;
	struct tale t;

	watch_attach(fd, MIB, 0, 1, &dev, &t);
	vdev_set(&nl, dev.id, VDISK_F_ISOLATE, VDISK_F_ISOLATE, &reply);
	listen_to(&t, &dev, 1);
	ok(t.disk_change >= 1, "SET of isolate tells udev by a CHANGE");
	vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply);
	close(fd);
}

int main(void)
{
	int ret;

	ret = nl_open(&nl);
	if (ret)
		bail("no vdisk family: %s", err_name(ret));
	images_load();
	uevents_open();
	test_order();
	test_no_partscan();
	test_moment();
	test_change();
	is_num(vdev_count(&nl), 0, "nothing is left attached");
	vdev_detach_all(&nl);
	nl_close(&nl);
	return tap_done();
}
