// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "blk.h"
#include "tap.h"

void attach_flags(struct nl_req *req, u32 flags)
{
	nl_put_u32(req, VDISK_A_FLAGS, flags);
}

void attach_member(struct nl_req *req, int fd, u32 flags)
{
	const struct vdisk_member member = { .fd = fd, .flags = flags };

	nl_put(req, VDISK_A_MEMBER, &member, sizeof(member));
}

void attach_image(struct nl_req *req, u32 format, u64 size)
{
	const struct vdisk_image_desc image = { .format = format, .size = size };

	nl_put(req, VDISK_A_IMAGE, &image, sizeof(image));
}

void attach_segment(struct nl_req *req, u32 kind, u32 member, u64 start, u64 len, u64 offset)
{
	const struct vdisk_segment_desc seg = {
		.kind = kind,
		.member = member,
		.start = start,
		.len = len,
		.offset = offset,
	};

	nl_put(req, VDISK_A_SEGMENT, &seg, sizeof(seg));
}

int attach_send(struct nl *nl, struct nl_req *req, struct vdev *dev, struct nl_reply *reply)
{
	memset(dev, 0, sizeof(*dev));
	if (nl_call_end(nl, req, reply))
		return reply->error;
	if (!nl_get_u32(reply, VDISK_A_ID, &dev->id) ||
	    !nl_get_u64(reply, VDISK_A_DISKSEQ, &dev->diskseq) ||
	    !nl_get_u32(reply, VDISK_A_MAJOR, &dev->major) ||
	    !nl_get_u32(reply, VDISK_A_MINOR, &dev->minor))
		bail("the answer to ATTACH lacks an attribute");
	snprintf(dev->path, sizeof(dev->path), "/dev/vdisk%u", dev->id);
	return 0;
}

int attach_raw(struct nl *nl, int fd, u64 size, u32 flags, struct vdev *dev,
	       struct nl_reply *reply)
{
	struct nl_req req;

	nl_begin(&req, VDISK_CMD_ATTACH);
	attach_flags(&req, flags);
	attach_member(&req, fd, flags & VDISK_F_HARD_RDONLY ? 0 : VDISK_MEMBER_RW);
	attach_image(&req, VDISK_FORMAT_RAW, size);
	attach_segment(&req, VDISK_SEG_RAW, 0, 0, size, 0);
	return attach_send(nl, &req, dev, reply);
}

int attach_sparse(struct nl *nl, int fd, u64 size, struct vdev *dev, struct nl_reply *reply)
{
	struct nl_req req;

	nl_begin(&req, VDISK_CMD_ATTACH);
	attach_flags(&req, VDISK_F_RDONLY | VDISK_F_HARD_RDONLY);
	attach_member(&req, fd, 0);
	attach_image(&req, VDISK_FORMAT_VMDK, size);
	attach_segment(&req, VDISK_SEG_VMDK_SPARSE, 0, 0, size, 0);
	return attach_send(nl, &req, dev, reply);
}

/* An answer comes after 1.5 s at the latest; less what clocks differ. */
#define LATE_MS		1400

static _Atomic u64 end_ms;

bool vdev_end_late(void)
{
	return end_ms >= LATE_MS;
}

static int timed_call(struct nl *nl, struct nl_req *req, struct nl_reply *reply)
{
	u64 start = now_ms();
	int ret = nl_call_end(nl, req, reply);

	end_ms = now_ms() - start;
	return ret;
}

int vdev_detach(struct nl *nl, u32 id, u32 mode, struct nl_reply *reply)
{
	struct nl_req req;

	nl_begin(&req, VDISK_CMD_DETACH);
	nl_put_u32(&req, VDISK_A_ID, id);
	nl_put_u32(&req, VDISK_A_MODE, mode);
	return timed_call(nl, &req, reply);
}

int vdev_set(struct nl *nl, u32 id, u32 flags, u32 mask, struct nl_reply *reply)
{
	struct nl_req req;

	nl_begin(&req, VDISK_CMD_SET);
	nl_put_u32(&req, VDISK_A_ID, id);
	nl_put_u32(&req, VDISK_A_FLAGS, flags);
	nl_put_u32(&req, VDISK_A_FLAGS_MASK, mask);
	return timed_call(nl, &req, reply);
}

int vdev_get(struct nl *nl, u32 id, struct nl_reply *reply)
{
	struct nl_req req;

	nl_begin(&req, VDISK_CMD_GET);
	nl_put_u32(&req, VDISK_A_ID, id);
	return nl_call_end(nl, &req, reply);
}

u32 vdev_flags(struct nl *nl, u32 id)
{
	struct nl_reply reply;
	u32 flags;

	if (vdev_get(nl, id, &reply) || !nl_get_u32(&reply, VDISK_A_FLAGS, &flags))
		return ~0U;
	return flags;
}

bool vdev_gone(struct nl *nl, u32 id)
{
	struct nl_reply reply;

	return vdev_get(nl, id, &reply) != 0;
}

struct id_list {
	unsigned int nr;
	u32 ids[256];
};

static void collect_id(void *ctx, const struct nl_reply *reply)
{
	struct id_list *list = ctx;

	if (list->nr < ARRAY_SIZE(list->ids) &&
	    nl_get_u32(reply, VDISK_A_ID, &list->ids[list->nr]))
		list->nr++;
}

static int dump_ids(struct nl *nl, struct id_list *list)
{
	struct nl_req req;
	int ret;

	list->nr = 0;
	nl_begin(&req, VDISK_CMD_GET);
	ret = nl_dump(nl, &req, collect_id, list);
	nl_end(&req);
	return ret;
}

int vdev_count(struct nl *nl)
{
	struct id_list list;
	int ret = dump_ids(nl, &list);

	return ret ? ret : (int)list.nr;
}

void vdev_detach_all(struct nl *nl)
{
	struct nl_reply reply;
	struct id_list list;
	unsigned int i;

	if (dump_ids(nl, &list))
		return;
	for (i = 0; i < list.nr; i++) {
		if (vdev_detach(nl, list.ids[i], VDISK_DETACH_PLAIN, &reply))
			vdev_detach(nl, list.ids[i], VDISK_DETACH_FORCE, &reply);
	}
}

int vdev_open(const struct vdev *dev, int flags)
{
	int fd = open(dev->path, flags | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

const char *vdev_sysfs(const struct vdev *dev, const char *attr)
{
	static char text[4][512];
	static unsigned int next;
	char *buf = text[next++ % ARRAY_SIZE(text)];
	char path[256];

	snprintf(path, sizeof(path), "/sys/block/vdisk%u/%s", dev->id, attr);
	read_text(path, buf, sizeof(text[0]));
	return buf;
}

bool vdev_has_partition(const struct vdev *dev, unsigned int n)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/block/vdisk%u/vdisk%up%u", dev->id, dev->id, n);
	return exists(path);
}

u64 bdev_size(int fd)
{
	u64 size = 0;

	return ioctl(fd, BLKGETSIZE64, &size) ? 0 : size;
}

int bdev_is_ro(int fd)
{
	int ro = -1;

	return ioctl(fd, BLKROGET, &ro) ? -errno : ro;
}

int bdev_discard(int fd, u64 pos, u64 len)
{
	u64 range[2] = { pos, len };

	return ioctl(fd, BLKDISCARD, range) ? -errno : 0;
}

int bdev_zeroout(int fd, u64 pos, u64 len)
{
	u64 range[2] = { pos, len };

	return ioctl(fd, BLKZEROOUT, range) ? -errno : 0;
}

u64 first_difference(const void *a, const void *b, u64 len)
{
	const u8 *p = a, *q = b;
	u64 i;

	if (!memcmp(a, b, len))
		return len;
	for (i = 0; i < len && p[i] == q[i]; i++)
		;
	return i;
}

bool same_content(int fd, const void *want, u64 len, u64 pos)
{
	u8 *buf = xalloc(256 * KIB);
	bool same = true;
	u64 done, n, at;

	for (done = 0; same && done < len; done += n) {
		n = len - done < 256 * KIB ? len - done : 256 * KIB;
		if (!pread_all(fd, buf, n, pos + done)) {
			diag("read of %llu bytes at %llu: %s", (unsigned long long)n,
			     (unsigned long long)(pos + done), err_name(errno));
			same = false;
			break;
		}
		at = first_difference(buf, (const u8 *)want + done, n);
		if (at < n) {
			diag("byte %llu differs", (unsigned long long)(pos + done + at));
			same = false;
		}
	}
	free(buf);
	return same;
}
