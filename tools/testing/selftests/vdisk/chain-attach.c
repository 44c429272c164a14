// SPDX-License-Identifier: GPL-2.0-only
/* A chain of images as an ATTACH request, and QEMU's opinion of one. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kinds.h"

static void put_segment(struct nl_req *req, u32 image, u32 member, u64 start,
			const struct extent *e)
{
	const struct vdisk_segment_desc seg = {
		.image = image,
		.kind = e->kind->segment,
		.member = member,
		.start = start,
		.len = e->len,
		.offset = e->offset,
	};

	nl_put(req, VDISK_A_SEGMENT, &seg, sizeof(seg));
}

/* A writable block device is opened as vdctl does: nobody else may have it. */
static int open_extent(const struct extent *e, bool rw)
{
	struct stat st;
	bool bdev = !stat(e->path, &st) && S_ISBLK(st.st_mode);

	return xopen(e->path, rw ? O_RDWR | (bdev ? O_EXCL : 0) : O_RDONLY);
}

unsigned int chain_request(struct nl_req *req, struct chain *c, u32 flags, int *fds)
{
	unsigned int i, e, nr = 0;
	u64 start;

	nl_begin(req, VDISK_CMD_ATTACH);
	attach_flags(req, flags);
	for (i = 0; i < c->nr; i++) {
		bool rw = !i && !(flags & VDISK_F_HARD_RDONLY);

		attach_image(req, c->images[i].extents[0].kind->format->id, c->images[i].size);
		for (e = 0, start = 0; e < c->images[i].nr; e++) {
			struct extent *extent = &c->images[i].extents[e];

			fds[nr] = open_extent(extent, rw);
			extent_note(extent);
			attach_member(req, fds[nr], rw ? VDISK_MEMBER_RW : 0);
			put_segment(req, i, nr++, start, extent);
			start += extent->len;
		}
	}
	return nr;
}

/* As vdctl does; the top's first member is number 0. */
static void put_renewal(struct nl_req *req, struct extent *e)
{
	if (e->kind->renew)
		e->kind->renew(e, &e->patch);
	if (e->patch.len)
		nl_put(req, VDISK_A_PATCH, &e->patch, sizeof(e->patch));
}

int chain_attach(struct nl *nl, struct chain *c, u32 flags, struct vdev *dev,
		struct nl_reply *reply)
{
	int fds[CHAIN_MAX_IMAGES * CHAIN_MAX_EXTENTS], ret;
	struct nl_req req;
	unsigned int nr = chain_request(&req, c, flags, fds);

	if (!(flags & VDISK_F_HARD_RDONLY))
		put_renewal(&req, &c->images[0].extents[0]);
	ret = attach_send(nl, &req, dev, reply);
	while (nr)
		close(fds[--nr]);
	return ret;
}

/* -------------------------------------------------------------------- QEMU */

static struct run r;

static const struct format *top_format(const struct chain *c)
{
	return c->images[0].extents[0].kind->format;
}

bool chain_qemu_opens(const struct chain *c)
{
	return top_format(c)->qemu_opens(c);
}

/* On a slow kernel there is no time for all holes; the documentation says what to do then. */
static void fill_rest(const struct chain *c)
{
	if (!top_format(c)->fills_holes || !vdev_end_late())
		return;
	run(&r, "vdctl", "compact", c->images[0].path, NULL);
	diag("compact: status %d: %s%s", r.status, r.out, r.err);
}

int chain_qemu_check(const struct chain *c)
{
	fill_rest(c);
	run(&r, "qemu-img", "check", "-q", "-f", top_format(c)->name,
	    c->images[0].path, NULL);
	if (r.status)
		diag("qemu-img check: status %d: %s%s", r.status, r.out, r.err);
	return r.status;
}

bool chain_qemu_equals(const struct chain *c, const struct shadow *s)
{
	char path[128];
	bool same;

	snprintf(path, sizeof(path), "%s/shadow.raw", scratch_dir());
	shadow_dump(s, path);
	run(&r, "qemu-img", "compare", "-q", "-f", top_format(c)->name, "-F", "raw",
	    c->images[0].path, path, NULL);
	same = !r.status;
	if (!same)
		diag("qemu-img compare: status %d: %s%s", r.status, r.out, r.err);
	unlink(path);
	return same;
}

void chain_ask_qemu(const struct chain *c, const struct shadow *s, const char *name)
{
	if (!chain_qemu_opens(c))
		return;
	if (!top_format(c)->plain)
		is_num(chain_qemu_check(c), 0, "%s: qemu-img check", name);
	if (s)
		ok(chain_qemu_equals(c, s), "%s: qemu-img compare", name);
}

bool vdev_settle(const struct vdev *dev, struct shadow *s)
{
	int fd = vdev_open(dev, O_RDONLY | O_DIRECT);
	bool same = shadow_equals(s, fd, 0, s->size, 0);

	if (same)
		shadow_settle(s, fd);
	close(fd);
	return same;
}

void chain_must_attach(struct nl *nl, struct chain *c, u32 flags, struct vdev *dev,
		      struct nl_reply *reply)
{
	if (chain_attach(nl, c, flags, dev, reply))
		bail("attach: %s: %s", err_name(reply->error), reply->text);
}

void chain_begin(struct nl *nl, const char **ext4, const char **xfs)
{
	int ret = nl_open(nl);

	if (ret)
		bail("no vdisk family: %s", err_name(ret));
	*ext4 = place_ext4();
	*xfs = place_xfs();
	if (!*ext4 || !*xfs)
		bail("VDT_EXT4 and VDT_XFS are not set");
}
