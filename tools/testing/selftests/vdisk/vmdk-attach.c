// SPDX-License-Identifier: GPL-2.0-only
/* A chain of VMDK images as an ATTACH request, and QEMU's opinion of one. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tap.h"
#include "vmdk.h"

static u64 size_of(int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		bail("fstat: %s", err_name(errno));
	return S_ISBLK(st.st_mode) ? bdev_size(fd) : (u64)st.st_size;
}

static void put_segment(struct nl_req *req, u32 image, u32 member, u64 start,
			const struct vmdk_extent *e)
{
	const struct vdisk_segment_desc seg = {
		.image = image,
		.kind = e->kind,
		.member = member,
		.start = start,
		.len = e->len,
		.offset = e->offset,
	};

	nl_put(req, VDISK_A_SEGMENT, &seg, sizeof(seg));
}

/* A writable block device is opened as vdctl does: nobody else may have it. */
static int open_extent(const struct vmdk_extent *e, bool rw)
{
	struct stat st;
	bool bdev = !stat(e->path, &st) && S_ISBLK(st.st_mode);

	return xopen(e->path, rw ? O_RDWR | (bdev ? O_EXCL : 0) : O_RDONLY);
}

unsigned int vmdk_request(struct nl_req *req, struct vmdk_chain *c, u32 flags, int *fds)
{
	unsigned int i, e, nr = 0;
	u64 start;

	nl_begin(req, VDISK_CMD_ATTACH);
	attach_flags(req, flags);
	for (i = 0; i < c->nr; i++) {
		bool rw = !i && !(flags & VDISK_F_HARD_RDONLY);

		attach_image(req, VDISK_FORMAT_VMDK, c->images[i].size);
		for (e = 0, start = 0; e < c->images[i].nr; e++) {
			struct vmdk_extent *extent = &c->images[i].extents[e];

			fds[nr] = open_extent(extent, rw);
			extent->size = size_of(fds[nr]);
			attach_member(req, fds[nr], rw ? VDISK_MEMBER_RW : 0);
			put_segment(req, i, nr++, start, extent);
			start += extent->len;
		}
	}
	return nr;
}

int vmdk_attach(struct nl *nl, struct vmdk_chain *c, u32 flags, struct vdev *dev,
		struct nl_reply *reply)
{
	int fds[VMDK_MAX_IMAGES * VMDK_MAX_EXTENTS], ret;
	struct nl_req req;
	unsigned int nr = vmdk_request(&req, c, flags, fds);

	ret = attach_send(nl, &req, dev, reply);
	while (nr)
		close(fds[--nr]);
	return ret;
}

/* -------------------------------------------------------------------- QEMU */

static struct run r;

int vmdk_qemu_check(const struct vmdk_chain *c)
{
	run(&r, "qemu-img", "check", "-q", "-f", "vmdk", c->images[0].path, NULL);
	if (r.status)
		diag("qemu-img check: status %d: %s%s", r.status, r.out, r.err);
	return r.status;
}

bool vmdk_qemu_equals(const struct vmdk_chain *c, const struct shadow *s)
{
	char path[128];
	bool same;

	snprintf(path, sizeof(path), "%s/shadow.raw", scratch_dir());
	shadow_dump(s, path);
	run(&r, "qemu-img", "compare", "-q", "-f", "vmdk", "-F", "raw", c->images[0].path, path,
	    NULL);
	same = !r.status;
	if (!same)
		diag("qemu-img compare: status %d: %s%s", r.status, r.out, r.err);
	unlink(path);
	return same;
}

void vmdk_must_attach(struct nl *nl, struct vmdk_chain *c, u32 flags, struct vdev *dev,
		      struct nl_reply *reply)
{
	if (vmdk_attach(nl, c, flags, dev, reply))
		bail("attach: %s: %s", err_name(reply->error), reply->text);
}

void vmdk_begin(struct nl *nl, const char **ext4, const char **xfs)
{
	int ret = nl_open(nl);

	if (ret)
		bail("no vdisk family: %s", err_name(ret));
	*ext4 = place_ext4();
	*xfs = place_xfs();
	if (!*ext4 || !*xfs)
		bail("VDT_EXT4 and VDT_XFS are not set");
}
