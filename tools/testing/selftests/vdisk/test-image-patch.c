// SPDX-License-Identifier: GPL-2.0-only
/*
 * First-write patches: bytes of a descriptor or header that change, durably, before
 * anything else does; never when nothing is written; and refused when they
 * would touch what is not theirs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blk.h"
#include "chain.h"
#include "sha256.h"
#include "shadow.h"
#include "tap.h"

#define DISK		(4 * MIB)
#define MAX_FILES	6

static struct nl nl;
static struct nl_reply reply;

/**
 * struct change - bytes to be patched
 * @after: they follow this text; NULL: they are at @at
 * @rest: what follows them and must stay; NULL: not looked at
 */
struct change {
	const char *after;
	u64 at;
	const char *bytes;
	const char *rest;
};

static const struct change vmdk_changes[] = {
	{ "CID=", 0, "fedc1234", "\nparentCID=" },
	{ "ddb.longContentID = \"", 0, "89abcdef0123456789abcdeffedc1234", NULL },
};

/* The modification UUID. */
static const struct change vdi_changes[] = {
	{ NULL, 408, "sixteen bytes.. ", NULL },
};

/**
 * struct subject - a chain, and what is wanted of its attachment
 * @changes: of its format
 * @desc_member: index of the descriptor as a member of its own, ~0: it is
 *	inside of the first extent
 */
struct subject {
	struct chain c;
	const struct change *changes;
	unsigned int nr_changes;
	u32 flags;
	u32 desc_member;
	struct vdisk_patch patches[VDISK_MAX_PATCHES + 1];
	unsigned int nr_patches;
};

/* ------------------------------------------------------------------- files */

static const char *files_of(const struct subject *s, unsigned int i)
{
	const struct chain *c = &s->c;
	unsigned int image;

	for (image = 0; image < c->nr; image++) {
		if (i < c->images[image].nr)
			return c->images[image].extents[i].path;
		i -= c->images[image].nr;
		if (c->images[image].type && !i--)
			return c->images[image].path;
	}
	return NULL;
}

struct hashes {
	char hex[MAX_FILES][SHA256_HEX];
};

static void hash_all(const struct subject *s, struct hashes *h)
{
	unsigned int i;

	memset(h, 0, sizeof(*h));
	for (i = 0; i < MAX_FILES && files_of(s, i); i++) {
		if (!sha256_file(files_of(s, i), h->hex[i]))
			bail("cannot read %s", files_of(s, i));
	}
}

static bool same_files(const struct subject *s, const struct hashes *before)
{
	struct hashes now;

	hash_all(s, &now);
	return !memcmp(&now, before, sizeof(now));
}

/* Where @text stands in the top's descriptor file. */
static u64 find_text(const struct subject *s, const char *text)
{
	char buf[8192];
	int fd = xopen(s->c.images[0].path, O_RDONLY);
	ssize_t n = pread(fd, buf, sizeof(buf), 0);
	char *p;

	close(fd);
	if (n < 0)
		bail("%s: %s", s->c.images[0].path, err_name(errno));
	p = memmem(buf, n, text, strlen(text));
	if (!p)
		bail("no %s in %s", text, s->c.images[0].path);
	return p - buf;
}

static bool text_is(const struct subject *s, u64 pos, const char *want)
{
	char buf[64];
	int fd = xopen(s->c.images[0].path, O_RDONLY);
	bool same = pread_all(fd, buf, strlen(want), pos) && !memcmp(buf, want, strlen(want));

	close(fd);
	return same;
}

/* ------------------------------------------------------------------ attach */

static void add_patch(struct subject *s, u32 member, u64 offset, const char *text, u32 len)
{
	struct vdisk_patch *p = &s->patches[s->nr_patches++];

	memset(p, 0, sizeof(*p));
	p->member = member;
	p->offset = offset;
	p->len = len;
	memcpy(p->bytes, text, strlen(text));
}

static int attach(struct subject *s, struct vdev *dev)
{
	int fds[CHAIN_MAX_IMAGES * CHAIN_MAX_EXTENTS + 1], ret;
	struct nl_req req;
	unsigned int i, nr = chain_request(&req, &s->c, s->flags | VDISK_F_NO_PARTSCAN, fds);

	if (s->c.images[0].type) {
		fds[nr] = xopen(s->c.images[0].path, O_RDWR);
		attach_member(&req, fds[nr], s->flags & VDISK_F_HARD_RDONLY ? 0 : VDISK_MEMBER_RW);
		s->desc_member = nr++;
	}
	for (i = 0; i < s->nr_patches; i++)
		nl_put(&req, VDISK_A_PATCH, &s->patches[i], sizeof(s->patches[i]));
	ret = attach_send(&nl, &req, dev, &reply);
	while (nr)
		close(fds[--nr]);
	return ret;
}

static void detach(const struct vdev *dev, const char *name)
{
	if (!is_err(vdev_detach(&nl, dev->id, VDISK_DETACH_PLAIN, &reply), 0, "%s: detach", name))
		diag("%s", reply.text);
}

/* ----------------------------------------------------------------- changes */

static u64 place_of(const struct subject *s, const struct change *change)
{
	return change->after ? find_text(s, change->after) + strlen(change->after) : change->at;
}

static void add_changes(struct subject *s, unsigned int nr)
{
	unsigned int i;

	s->nr_patches = 0;
	for (i = 0; i < nr; i++)
		add_patch(s, s->desc_member, place_of(s, &s->changes[i]), s->changes[i].bytes,
			  strlen(s->changes[i].bytes));
}

/* So many of them are in the file, and what follows is as before. */
static unsigned int changed(const struct subject *s)
{
	unsigned int i, n = 0;

	for (i = 0; i < s->nr_changes; i++) {
		const struct change *change = &s->changes[i];
		u64 pos = place_of(s, change), end = pos + strlen(change->bytes);

		n += text_is(s, pos, change->bytes) &&
		     (!change->rest || text_is(s, end, change->rest));
	}
	return n;
}

/* ------------------------------------------------------------------- tests */

/* Reads, an fsync, RW to RO and back: nothing of it is a change. */
static void test_untouched(struct subject *s, const char *name)
{
	struct hashes before;
	u8 *buf = xalloc(64 * KIB);
	struct vdev dev;
	int fd;

	hash_all(s, &before);
	if (!is_err(attach(s, &dev), 0, "%s: attach", name))
		bail("%s", reply.text);
	fd = vdev_open(&dev, O_RDWR | O_DIRECT);
	ok(pread_all(fd, buf, 64 * KIB, MIB) && !fsync(fd), "%s: a read and an fsync", name);
	close(fd);
	is_err(vdev_set(&nl, dev.id, VDISK_F_RDONLY, VDISK_F_RDONLY, &reply), 0, "%s: set RO",
	       name);
	is_err(vdev_set(&nl, dev.id, 0, VDISK_F_RDONLY, &reply), 0, "%s: set RW", name);
	ok(same_files(s, &before), "%s: nobody wrote: no byte of any file has changed", name);
	detach(&dev, name);
	ok(same_files(s, &before), "%s: nor by the detach", name);
	free(buf);
}

/* In a file that is written past the cache. */
static void overwrite_bytes(int fd, u64 pos, const char *bytes, size_t len)
{
	u8 *buf = xalloc(4096);

	if (!pread_all(fd, buf, 4096, 0))
		bail("read: %s", err_name(errno));
	memcpy(buf + pos, bytes, len);
	if (!pwrite_all(fd, buf, 4096, 0) || fsync(fd))
		bail("write: %s", err_name(errno));
	free(buf);
}

/* The first change: a write, a discard or zeroes. */
static int change(int fd, unsigned int how)
{
	u8 *buf = xalloc(SECTOR);
	int ret;

	memset(buf, 0x44, SECTOR);
	switch (how) {
	case 0:
		ret = pwrite_all(fd, buf, SECTOR, MIB) && !fsync(fd) ? 0 : -errno;
		break;
	case 1:
		ret = bdev_zeroout(fd, MIB, 64 * KIB);
		break;
	default:
		ret = bdev_discard(fd, MIB, 64 * KIB);
	}
	free(buf);
	return ret;
}

static void test_applied(struct subject *s, unsigned int how, const char *name)
{
	static const char *const hows[] = { "a write", "zeroes", "a discard" };
	struct vdev dev;
	int fd;

	add_changes(s, s->nr_changes);
	if (!is_err(attach(s, &dev), 0, "%s: attach", name))
		bail("%s", reply.text);
	is_num(changed(s), 0, "%s: the old bytes are there", name);
	fd = vdev_open(&dev, O_RDWR | O_DIRECT);
	is_err(change(fd, how), 0, "%s: %s", name, hows[how]);
	is_num(changed(s), s->nr_changes, "%s: the new bytes are in the file", name);
	close(fd);
	detach(&dev, name);
	is_num(changed(s), s->nr_changes, "%s: after the detach, too", name);
	ok(chain_sound(&s->c, 0), "%s: sound and clean", name);
	chain_ask_qemu(&s->c, NULL, name);
}

static void run_subject(struct subject *s, const char *name)
{
	struct vdev dev;
	unsigned int how;

	for (how = 0; how < 3; how++) {
		chain_make(&s->c, 60 + how);
		if (!how) {
			/* The first attachment tells which member the descriptor is. */
			if (attach(s, &dev))
				bail("attach: %s", reply.text);
			vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply);
			add_changes(s, 1);
			test_untouched(s, name);
		}
		test_applied(s, how, name);
		chain_remove(&s->c);
	}
}

/* ------------------------------------------------------------- once, and first */

/* Somebody else's bytes in the same place stay there: nobody writes them again. */
static void test_once(const char *dir)
{
	struct subject s = { .c = chain_single(dir, "1", vdi_blocks(DISK, MIB, VDI_FIXED, 60)),
			     .changes = vdi_changes, .nr_changes = 1 };
	static const char theirs[] = "changed meantime";
	struct vdev dev;
	int fd, file;

	chain_make(&s.c, 65);
	add_changes(&s, 1);
	if (attach(&s, &dev))
		bail("attach: %s", reply.text);
	fd = vdev_open(&dev, O_RDWR | O_DIRECT);
	ok(!change(fd, 0) && changed(&s) == 1, "once: a write changes the bytes");
	file = xopen(s.c.images[0].path, O_RDWR | O_DIRECT);
	overwrite_bytes(file, 408, theirs, strlen(theirs));
	ok(!change(fd, 0) && text_is(&s, 408, theirs), "once: the next write does not");
	close(fd);
	is_err(vdev_set(&nl, dev.id, VDISK_F_RDONLY, VDISK_F_RDONLY, &reply), 0, "once: set RO");
	is_err(vdev_set(&nl, dev.id, 0, VDISK_F_RDONLY, &reply), 0, "once: set RW");
	fd = vdev_open(&dev, O_RDWR | O_DIRECT);
	ok(!change(fd, 0) && text_is(&s, 408, theirs), "once: nor the first one after set RW");
	close(fd);
	close(file);
	detach(&dev, "once");
	ok(text_is(&s, 408, theirs), "once: nor the detach");
	chain_remove(&s.c);
}

#define TRACING	"/sys/kernel/tracing/"
#define EVENTS	TRACING "events/xfs/"

static const char *const events[] = {
	"xfs_file_direct_write", "xfs_file_buffered_write", "xfs_file_fsync",
};

static void trace_file(const char *path)
{
	char filter[64];
	struct stat st;
	size_t i;

	if (stat(path, &st))
		bail("stat: %s", err_name(errno));
	snprintf(filter, sizeof(filter), "ino == %llu", (unsigned long long)st.st_ino);
	for (i = 0; i < ARRAY_SIZE(events); i++) {
		char name[128];

		snprintf(name, sizeof(name), EVENTS "%s/filter", events[i]);
		if (!write_text(name, filter))
			bail("%s: %s", name, err_name(errno));
		snprintf(name, sizeof(name), EVENTS "%s/enable", events[i]);
		if (!write_text(name, "1"))
			bail("%s: %s", name, err_name(errno));
	}
	if (!empty_trace())
		bail("no trace: %s", err_name(errno));
}

/* What XFS saw: "w" for a write of the file's first sector, "W" for another, "s" for a sync. */
static void trace_read(char *what, size_t len)
{
	unsigned long long pos;
	char line[512], *p;
	FILE *f = fopen(TRACING "trace", "re");
	size_t n = 0;

	if (!f)
		bail("no trace: %s", err_name(errno));
	while (fgets(line, sizeof(line), f) && n + 1 < len) {
		if (strstr(line, "xfs_file_fsync:"))
			what[n++] = 's';
		if (!strstr(line, "_write:"))
			continue;
		/* The field's name depends on the kernel. */
		p = strstr(line, " pos 0x");
		if (!p)
			p = strstr(line, " offset 0x");
		if (p && sscanf(strstr(p, "0x"), "0x%llx", &pos) == 1)
			what[n++] = pos < SECTOR ? 'w' : 'W';
	}
	what[n] = 0;
	fclose(f);
}

static void trace_stop(void)
{
	char name[128];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(events); i++) {
		snprintf(name, sizeof(name), EVENTS "%s/enable", events[i]);
		write_text(name, "0");
	}
}

/* The header is written and synced before anything else of the file is written. */
static void test_first(const char *xfs, struct extent extent, u32 flags, const char *name)
{
	struct subject s = { .c = chain_single(xfs, "2", extent), .flags = flags,
			     .changes = vdi_changes, .nr_changes = 1 };
	struct vdev dev;
	char what[128];
	int fd;

	chain_make(&s.c, 66);
	add_changes(&s, 1);
	if (attach(&s, &dev))
		bail("attach: %s", reply.text);
	trace_file(s.c.images[0].path);
	fd = vdev_open(&dev, O_RDWR | O_DIRECT);
	ok(!change(fd, 0), "%s: a write and an fsync", name);
	trace_read(what, sizeof(what));
	trace_stop();
	ok(!strncmp(what, "ws", 2) && strchr(what, 'W'), "%s: the header first, and a sync: %s",
	   name, what);
	close(fd);
	detach(&dev, name);
	chain_remove(&s.c);
}

/* ----------------------------------------------------------------- refusals */

static void refused(struct subject *s, const struct hashes *before, const char *what)
{
	struct vdev dev;
	int ret = attach(s, &dev);

	if (!ok(ret < 0 && reply.text[0] && !vdev_count(&nl), "refused: %s: %s", what, reply.text))
		diag("%s", err_name(ret));
	if (!ret)
		vdev_detach(&nl, dev.id, VDISK_DETACH_FORCE, &reply);
	if (!same_files(s, before))
		ok(false, "refused: %s: a file has changed", what);
	s->nr_patches = 0;
	s->flags = 0;
}

static void refuse_ranges(struct subject *s, const struct hashes *before, u64 size)
{
	add_patch(s, s->desc_member, size, "x", 1);
	refused(s, before, "at the end of the file");
	add_patch(s, s->desc_member, size - 4, "fedc1234", 8);
	refused(s, before, "across the end of the file");
	add_patch(s, s->desc_member, ~0ULL - 3, "fedc1234", 8);
	refused(s, before, "an offset that overflows");
	add_patch(s, s->desc_member, 40, "", 0);
	refused(s, before, "no bytes");
	add_patch(s, s->desc_member, 40, "x", VDISK_PATCH_BYTES + 1);
	refused(s, before, "too many bytes");
	add_patch(s, s->desc_member, 40, "x", ~0U);
	refused(s, before, "far too many bytes");
}

static void refuse_members(struct subject *s, const struct hashes *before, u64 size)
{
	unsigned int i;

	add_patch(s, s->desc_member + 1, 40, "x", 1);
	refused(s, before, "a member that is none");
	add_patch(s, VDISK_NO_MEMBER, 40, "x", 1);
	refused(s, before, "no member");
	add_patch(s, 2, 40, "x", 1);
	refused(s, before, "a parent, which is read-only");
	add_patch(s, 1, 4096, "x", 1);
	refused(s, before, "data of a flat extent");
	for (i = 0; i <= VDISK_MAX_PATCHES; i++)
		add_patch(s, s->desc_member, 40 + i, "x", 1);
	refused(s, before, "one patch too many");
	add_patch(s, s->desc_member, 40, "x", 1);
	add_patch(s, s->desc_member, size, "x", 1);
	refused(s, before, "the second of two");
	s->flags = VDISK_F_RDONLY | VDISK_F_HARD_RDONLY;
	add_patch(s, s->desc_member, 40, "x", 1);
	refused(s, before, "a disk that cannot be written");
}

/* A message whose attribute is not as long as the struct. */
static void refuse_short(struct subject *s, const struct hashes *before, int extra)
{
	int fds[CHAIN_MAX_IMAGES * CHAIN_MAX_EXTENTS];
	struct vdisk_patch p[2] = { { .len = 1, .offset = 40 } };
	struct nl_req req;
	struct vdev dev;
	unsigned int nr = chain_request(&req, &s->c, 0, fds);

	nl_put(&req, VDISK_A_PATCH, &p, sizeof(p[0]) + extra);
	ok(attach_send(&nl, &req, &dev, &reply) < 0, "refused: an attribute of %zu bytes",
	   sizeof(p[0]) + extra);
	while (nr)
		close(fds[--nr]);
	ok(same_files(s, before), "refused: no file has changed");
}

static void test_refusals(const char *dir)
{
	struct subject s = { .c = chain_single(dir, "r", vmdk_sparse(DISK, 4096, VMDK_RGD, 50)) };
	struct hashes before;
	struct vdev dev;
	struct stat st;

	chain_add_extent(&s.c, dir, vmdk_flat(MIB));
	chain_add_parent(&s.c, "p", vmdk_flat(DISK + MIB));
	chain_make(&s.c, 70);
	if (attach(&s, &dev))
		bail("attach: %s", reply.text);
	vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply);
	if (stat(s.c.images[0].path, &st))
		bail("stat: %s", err_name(errno));
	hash_all(&s, &before);
	refuse_ranges(&s, &before, st.st_size);
	refuse_members(&s, &before, st.st_size);
	refuse_short(&s, &before, -4);
	refuse_short(&s, &before, 4);
	is_err(attach(&s, &dev), 0, "the same without a patch is attached");
	detach(&dev, "refusals");
	chain_remove(&s.c);
}

static void run_kinds(const char *ext4, const char *xfs)
{
	struct subject s = { .changes = vmdk_changes, .nr_changes = ARRAY_SIZE(vmdk_changes) };

	s.c = chain_single(ext4, "s", vmdk_sparse(2 * MIB, 4096, VMDK_RGD, 30));
	chain_add_extent(&s.c, xfs, vmdk_sparse(2 * MIB, 64 * KIB, VMDK_RGD, 0));
	run_subject(&s, "a descriptor of its own");

	s = (struct subject) { .changes = s.changes, .nr_changes = s.nr_changes };
	s.c = chain_single(xfs, "e", vmdk_sparse(DISK, 64 * KIB, VMDK_RGD, 30));
	run_subject(&s, "an embedded descriptor");

	s = (struct subject) { .changes = s.changes, .nr_changes = s.nr_changes,
			       .flags = VDISK_F_BUFFERED };
	s.c = chain_single(ext4, "f", vmdk_flat(DISK));
	run_subject(&s, "flat, buffered");

	s = (struct subject) { .changes = vdi_changes, .nr_changes = ARRAY_SIZE(vdi_changes) };
	s.c = chain_single(ext4, "v", vdi_blocks(DISK, MIB, 0, 60));
	run_subject(&s, "VDI");

	s.nr_patches = 0;
	s.flags = VDISK_F_BUFFERED;
	s.c = chain_delta(xfs, vdi_blocks(DISK, 64 * KIB, VDI_VIRTUALBOX, 30), raw_file(DISK));
	run_subject(&s, "VDI delta, buffered");
}

int main(void)
{
	const char *ext4, *xfs;

	chain_begin(&nl, &ext4, &xfs);
	run_kinds(ext4, xfs);
	test_once(xfs);
	test_first(xfs, vdi_blocks(DISK, MIB, 0, 30), 0, "first");
	test_first(xfs, vdi_blocks(DISK, 64 * KIB, VDI_FIXED, 30), VDISK_F_BUFFERED,
		   "first, buffered");
	test_refusals(ext4);
	is_num(vdev_count(&nl), 0, "nothing is left attached");
	nl_close(&nl);
	return tap_done();
}
