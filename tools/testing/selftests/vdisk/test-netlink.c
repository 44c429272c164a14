// SPDX-License-Identifier: GPL-2.0-only
/*
 * The control interface as a clumsy or hostile caller sees it: every malformed
 * table and attribute is refused with a sentence and leaves nothing behind.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "blk.h"
#include "tap.h"

#define DISK	(8 * MIB)
#define NONE	VDISK_NO_MEMBER

static struct nl nl;
static struct nl_reply reply;

/* Descriptors that tables name: regular files of DISK bytes. */
enum which { FD_A, FD_B, FD_RO, FD_SHORT, NR_FDS };
static int fds[NR_FDS];

/* ---------------------------------------------------------------- tables */

struct table {
	const char *name;
	u32 nr_members, nr_images, nr_segs;
	struct { enum which which; u32 flags; } members[3];
	struct vdisk_image_desc images[3];
	struct vdisk_segment_desc segs[4];
};

#define RW		VDISK_MEMBER_RW
#define IMG(bytes)	{ .format = VDISK_FORMAT_RAW, .size = (bytes) }
#define SEG(i, k, m, s, l, o) \
	{ .image = (i), .kind = (k), .member = (m), .start = (s), .len = (l), .offset = (o) }
#define RAWSEG(m, s, l, o)	SEG(0, VDISK_SEG_RAW, m, s, l, o)
#define ONE_MEMBER	.nr_members = 1, .members = { { FD_A, RW } }
#define ONE_IMAGE	.nr_images = 1, .images = { IMG(DISK) }
#define ONE_SEG(...)	.nr_segs = 1, .segs = { __VA_ARGS__ }

static const struct table malformed[] = {
	{ "nothing at all", .nr_members = 0 },
	{ "no member", .nr_members = 0, ONE_IMAGE, ONE_SEG(RAWSEG(0, 0, DISK, 0)) },
	{ "no image", ONE_MEMBER, .nr_images = 0, ONE_SEG(RAWSEG(0, 0, DISK, 0)) },
	{ "no segment", ONE_MEMBER, ONE_IMAGE, .nr_segs = 0 },
	{ "unknown member flag", .nr_members = 1, .members = { { FD_A, RW | 4 } }, ONE_IMAGE,
	  ONE_SEG(RAWSEG(0, 0, DISK, 0)) },
	{ "image without a format", ONE_MEMBER, .nr_images = 1,
	  .images = { { .format = VDISK_FORMAT_UNSPEC, .size = DISK } },
	  ONE_SEG(RAWSEG(0, 0, DISK, 0)) },
	{ "unknown image format", ONE_MEMBER, .nr_images = 1,
	  .images = { { .format = 200, .size = DISK } }, ONE_SEG(RAWSEG(0, 0, DISK, 0)) },
	{ "image flag", ONE_MEMBER, .nr_images = 1,
	  .images = { { .format = VDISK_FORMAT_RAW, .flags = 1, .size = DISK } },
	  ONE_SEG(RAWSEG(0, 0, DISK, 0)) },
	{ "image of size 0", ONE_MEMBER, .nr_images = 1, .images = { IMG(0) },
	  ONE_SEG(RAWSEG(0, 0, 0, 0)) },
	{ "image size no multiple of 512", ONE_MEMBER, .nr_images = 1, .images = { IMG(DISK - 1) },
	  ONE_SEG(RAWSEG(0, 0, DISK - 1, 0)) },
	{ "image of 2^63 bytes", ONE_MEMBER, .nr_images = 1, .images = { IMG(1ULL << 63) },
	  ONE_SEG(SEG(0, VDISK_SEG_ZERO, NONE, 0, 1ULL << 63, 0)) },
	{ "image beyond 64 TiB", ONE_MEMBER, .nr_images = 1, .images = { IMG((1ULL << 46) + 512) },
	  ONE_SEG(SEG(0, VDISK_SEG_ZERO, NONE, 0, (1ULL << 46) + 512, 0)) },
	{ "segment of an image that is not there", ONE_MEMBER, ONE_IMAGE,
	  ONE_SEG(SEG(1, VDISK_SEG_RAW, 0, 0, DISK, 0)) },
	{ "image without segments", ONE_MEMBER, .nr_images = 2, .images = { IMG(DISK), IMG(DISK) },
	  ONE_SEG(RAWSEG(0, 0, DISK, 0)) },
	{ "gap at the start", ONE_MEMBER, ONE_IMAGE, ONE_SEG(RAWSEG(0, 512, DISK - 512, 0)) },
	{ "gap at the end", ONE_MEMBER, ONE_IMAGE, ONE_SEG(RAWSEG(0, 0, DISK - 512, 0)) },
	{ "gap in the middle", ONE_MEMBER, ONE_IMAGE, .nr_segs = 2,
	  .segs = { RAWSEG(0, 0, 4096, 0), RAWSEG(0, 8192, DISK - 8192, 8192) } },
	{ "overlapping segments", ONE_MEMBER, ONE_IMAGE, .nr_segs = 2,
	  .segs = { RAWSEG(0, 0, 8192, 0), RAWSEG(0, 4096, DISK - 4096, 4096) } },
	{ "unsorted segments", ONE_MEMBER, ONE_IMAGE, .nr_segs = 2,
	  .segs = { RAWSEG(0, 4096, DISK - 4096, 4096), RAWSEG(0, 0, 4096, 0) } },
	{ "unsorted images", .nr_members = 2, .members = { { FD_A, RW }, { FD_RO, 0 } },
	  .nr_images = 2, .images = { IMG(DISK), IMG(DISK) }, .nr_segs = 2,
	  .segs = { SEG(1, VDISK_SEG_RAW, 1, 0, DISK, 0), SEG(0, VDISK_SEG_RAW, 0, 0, DISK, 0) } },
	{ "segment past the end of the image", ONE_MEMBER, ONE_IMAGE,
	  ONE_SEG(RAWSEG(0, 0, DISK + 512, 0)) },
	{ "segment length 0", ONE_MEMBER, ONE_IMAGE, .nr_segs = 2,
	  .segs = { RAWSEG(0, 0, 0, 0), RAWSEG(0, 0, DISK, 0) } },
	{ "segment length no multiple of 512", ONE_MEMBER, ONE_IMAGE, .nr_segs = 2,
	  .segs = { RAWSEG(0, 0, 1000, 0), RAWSEG(0, 1000, DISK - 1000, 1000) } },
	{ "segment end wraps", ONE_MEMBER, ONE_IMAGE, .nr_segs = 2,
	  .segs = { RAWSEG(0, 0, 4096, 0), RAWSEG(0, 4096, ~0ULL - 4095, 0) } },
	{ "file offset wraps", ONE_MEMBER, ONE_IMAGE, ONE_SEG(RAWSEG(0, 0, DISK, ~0ULL - 511)) },
	{ "file offset no multiple of 512", ONE_MEMBER, .nr_images = 1, .images = { IMG(4096) },
	  ONE_SEG(RAWSEG(0, 0, 4096, 100)) },
	{ "segment past the end of the file", ONE_MEMBER, ONE_IMAGE,
	  ONE_SEG(RAWSEG(0, 0, DISK, 512)) },
	{ "file shorter than its segment", .nr_members = 1, .members = { { FD_SHORT, RW } },
	  ONE_IMAGE, ONE_SEG(RAWSEG(0, 0, DISK, 0)) },
	{ "unknown kind of segment", ONE_MEMBER, ONE_IMAGE,
	  ONE_SEG(SEG(0, VDISK_SEG(VDISK_FORMAT_VMDK, 77), 0, 0, DISK, 0)) },
	{ "kind of an unknown format", ONE_MEMBER, ONE_IMAGE,
	  ONE_SEG(SEG(0, VDISK_SEG(99, 0), 0, 0, DISK, 0)) },
	{ "kind of no format", ONE_MEMBER, ONE_IMAGE, ONE_SEG(SEG(0, 2, NONE, 0, DISK, 0)) },
	{ "kind with high bits", ONE_MEMBER, ONE_IMAGE,
	  ONE_SEG(SEG(0, 0x80000000U | VDISK_SEG_RAW, 0, 0, DISK, 0)) },
	{ "member index out of range", ONE_MEMBER, ONE_IMAGE, ONE_SEG(RAWSEG(1, 0, DISK, 0)) },
	{ "raw segment without member", ONE_MEMBER, ONE_IMAGE,
	  ONE_SEG(RAWSEG(NONE, 0, DISK, 0)) },
	{ "zero segment with a member", ONE_MEMBER, ONE_IMAGE,
	  ONE_SEG(SEG(0, VDISK_SEG_ZERO, 0, 0, DISK, 0)) },
	{ "unknown segment flag", ONE_MEMBER, ONE_IMAGE,
	  ONE_SEG({ .kind = VDISK_SEG_RAW, .len = DISK, .flags = 8 }) },
	{ "sparse segment with a file offset", .nr_members = 1, .members = { { FD_RO, 0 } },
	  .nr_images = 1, .images = { { .format = VDISK_FORMAT_VMDK, .size = DISK } },
	  ONE_SEG(SEG(0, VDISK_SEG_VMDK_SPARSE, 0, 0, DISK, 4096)) },
	{ "sparse segment over a file that is none", .nr_members = 1, .members = { { FD_RO, 0 } },
	  .nr_images = 1, .images = { { .format = VDISK_FORMAT_VMDK, .size = DISK } },
	  ONE_SEG(SEG(0, VDISK_SEG_VMDK_SPARSE, 0, 0, DISK, 0)) },
	{ "COWD segment over a file that is none", .nr_members = 1, .members = { { FD_RO, 0 } },
	  .nr_images = 1, .images = { { .format = VDISK_FORMAT_VMDK, .size = DISK } },
	  ONE_SEG(SEG(0, VDISK_SEG_VMDK_COWD, 0, 0, DISK, 0)) },
	{ "SESparse segment over a file that is none", .nr_members = 1,
	  .members = { { FD_RO, 0 } }, .nr_images = 1,
	  .images = { { .format = VDISK_FORMAT_VMDK, .size = DISK } },
	  ONE_SEG(SEG(0, VDISK_SEG_VMDK_SESPARSE, 0, 0, DISK, 0)) },
	{ "parent that may be written", .nr_members = 2, .members = { { FD_A, RW }, { FD_B, RW } },
	  .nr_images = 2, .images = { IMG(DISK), IMG(DISK) }, .nr_segs = 2,
	  .segs = { SEG(0, VDISK_SEG_RAW, 0, 0, DISK, 0), SEG(1, VDISK_SEG_RAW, 1, 0, DISK, 0) } },
};

static void put_table(struct nl_req *req, const struct table *t)
{
	u32 i;

	nl_begin(req, VDISK_CMD_ATTACH);
	for (i = 0; i < t->nr_members; i++)
		attach_member(req, fds[t->members[i].which], t->members[i].flags);
	for (i = 0; i < t->nr_images; i++)
		nl_put(req, VDISK_A_IMAGE, &t->images[i], sizeof(t->images[i]));
	for (i = 0; i < t->nr_segs; i++)
		nl_put(req, VDISK_A_SEGMENT, &t->segs[i], sizeof(t->segs[i]));
}

/* @req is refused, with a sentence, and nothing appears. @want 0: any errno. */
static void refused(struct nl_req *req, int want, const char *name)
{
	struct vdev dev;
	int ret = attach_send(&nl, req, &dev, &reply);
	int count = vdev_count(&nl);

	if (!ok(ret && (!want || ret == -want) && reply.text[0] && !count, "refused: %s", name))
		diag("answer %s \"%s\", %d devices", err_name(ret), reply.text, count);
	if (!ret)
		vdev_detach_all(&nl);
}

static void test_tables(void)
{
	struct nl_req req;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(malformed); i++) {
		put_table(&req, &malformed[i]);
		refused(&req, 0, malformed[i].name);
	}
}

/* Tables longer than the caps. Content does not matter: they are counted first. */
static void test_caps(void)
{
	struct nl_req req;
	u32 i;

	nl_begin(&req, VDISK_CMD_ATTACH);
	for (i = 0; i <= VDISK_MAX_MEMBERS; i++)
		attach_member(&req, fds[FD_RO], 0);
	attach_image(&req, VDISK_FORMAT_RAW, DISK);
	attach_segment(&req, VDISK_SEG_RAW, 0, 0, DISK, 0);
	refused(&req, 0, "one member too many");

	nl_begin(&req, VDISK_CMD_ATTACH);
	attach_member(&req, fds[FD_RO], 0);
	for (i = 0; i <= VDISK_MAX_IMAGES; i++)
		attach_image(&req, VDISK_FORMAT_RAW, DISK);
	attach_segment(&req, VDISK_SEG_RAW, 0, 0, DISK, 0);
	refused(&req, 0, "one image too many");

	nl_begin(&req, VDISK_CMD_ATTACH);
	attach_member(&req, fds[FD_RO], 0);
	attach_image(&req, VDISK_FORMAT_RAW, (VDISK_MAX_SEGMENTS + 1) * 512);
	for (i = 0; i <= VDISK_MAX_SEGMENTS; i++)
		attach_segment(&req, VDISK_SEG_RAW, 0, i * 512, 512, i * 512);
	refused(&req, 0, "one segment too many");
}

/* As many segments as are allowed: that must work. */
static void test_long_table(void)
{
	const u32 n = VDISK_MAX_SEGMENTS;
	struct nl_req req;
	struct vdev dev;
	u32 i;
	int fd;

	nl_begin(&req, VDISK_CMD_ATTACH);
	attach_flags(&req, VDISK_F_RDONLY | VDISK_F_HARD_RDONLY | VDISK_F_NO_PARTSCAN);
	attach_member(&req, fds[FD_RO], 0);
	attach_image(&req, VDISK_FORMAT_RAW, n * 512);
	for (i = 0; i < n; i++)		/* backwards, so that nothing merges */
		attach_segment(&req, VDISK_SEG_RAW, 0, i * 512, 512, (n - 1 - i) * 512);
	if (!is_err(attach_send(&nl, &req, &dev, &reply), 0, "a table of %u segments", n)) {
		diag("%s", reply.text);
		return;
	}
	fd = vdev_open(&dev, O_RDONLY);
	is_num(bdev_size(fd), n * 512, "its size");
	close(fd);
	is_err(vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply), 0, "and its detach");
}

/* ------------------------------------------------------ single attributes */

static void valid_base(struct nl_req *req)
{
	nl_begin(req, VDISK_CMD_ATTACH);
	attach_member(req, fds[FD_A], RW);
	attach_image(req, VDISK_FORMAT_RAW, DISK);
	attach_segment(req, VDISK_SEG_RAW, 0, 0, DISK, 0);
}

static void refused_u32(u16 type, u32 value, const char *name)
{
	struct nl_req req;

	valid_base(&req);
	nl_put_u32(&req, type, value);
	refused(&req, 0, name);
}

static void test_attributes(void)
{
	char text[5000];
	struct nl_req req;

	refused_u32(VDISK_A_SECTOR_SIZE, 0, "sector size 0");
	refused_u32(VDISK_A_SECTOR_SIZE, 1024, "sector size 1024");
	refused_u32(VDISK_A_SECTOR_SIZE, 65536, "sector size 65536");
	refused_u32(VDISK_A_FLAGS, 1U << 20, "unknown flag");
	refused_u32(VDISK_A_FLAGS, VDISK_F_HARD_RDONLY, "read-only for good, but not read-only");
	refused_u32(VDISK_A_QUEUES, 100000, "100000 queues");
	refused_u32(VDISK_A_ID, 0xffffffff, "an absurd number for the device");
	refused_u32(VDISK_A_STATE, 1, "an attribute of other commands");
	refused_u32(200, 1, "an unknown attribute");

	valid_base(&req);
	nl_put(&req, VDISK_A_SECTOR_SIZE, "ab", 2);
	refused(&req, 0, "a number of 2 bytes");
	valid_base(&req);
	nl_put(&req, VDISK_A_MEMBER, text, sizeof(struct vdisk_member) - 1);
	refused(&req, 0, "a truncated member");
	valid_base(&req);
	nl_put(&req, VDISK_A_SEGMENT, text, sizeof(struct vdisk_segment_desc) + 8);
	refused(&req, 0, "an overlong segment");
	valid_base(&req);
	nl_put(&req, VDISK_A_IMAGE, text, 0);
	refused(&req, 0, "an empty image");

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = 0;
	valid_base(&req);
	nl_put_str(&req, VDISK_A_NAME, text);
	refused(&req, 0, "a name of 5000 bytes");
	valid_base(&req);
	nl_put(&req, VDISK_A_NAME, "abc", 3);
	refused(&req, 0, "a name without its end");
	valid_base(&req);
	nl_put_str(&req, VDISK_A_NAME, "../sda");
	refused(&req, 0, "a name with slashes");
	valid_base(&req);
	nl_put_str(&req, VDISK_A_NAME, ".hidden");
	refused(&req, 0, "a name that begins with a dot");
	valid_base(&req);
	nl_put_str(&req, VDISK_A_UUID, text);
	refused(&req, 0, "a UUID of 5000 bytes");

	/* Fine for 512-byte sectors only. */
	nl_begin(&req, VDISK_CMD_ATTACH);
	attach_member(&req, fds[FD_A], RW);
	attach_image(&req, VDISK_FORMAT_RAW, DISK - 512);
	attach_segment(&req, VDISK_SEG_RAW, 0, 0, DISK - 512, 0);
	nl_put_u32(&req, VDISK_A_SECTOR_SIZE, 4096);
	refused(&req, 0, "a size that is no multiple of the 4096-byte sector");
}

/* ---------------------------------------------------------- other commands */

static void test_commands(void)
{
	static const u8 unknown[] = { VDISK_CMD_UNSPEC, VDISK_CMD_EVENT, VDISK_CMD_MAX + 1, 200 };
	struct nl_req req;
	struct vdev dev;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(unknown); i++) {
		nl_begin(&req, unknown[i]);
		is_err(nl_call_end(&nl, &req, &reply), -EOPNOTSUPP, "command %u is none",
		       unknown[i]);
	}
	nl_begin(&req, VDISK_CMD_DETACH);
	ok(nl_call_end(&nl, &req, &reply) && reply.text[0], "DETACH of nothing: %s", reply.text);
	ok(vdev_detach(&nl, 4242, VDISK_DETACH_PLAIN, &reply) && reply.text[0],
	   "DETACH of a number that is not there: %s", reply.text);
	ok(vdev_get(&nl, 4242, &reply) && reply.text[0], "GET likewise: %s", reply.text);
	ok(vdev_set(&nl, 4242, 0, VDISK_F_AUTOCLEAR, &reply) && reply.text[0], "SET likewise: %s",
	   reply.text);

	if (attach_raw(&nl, fds[FD_A], DISK, 0, &dev, &reply))
		bail("cannot attach: %s", reply.text);
	ok(vdev_detach(&nl, dev.id, 17, &reply) && reply.text[0], "DETACH in mode 17: %s",
	   reply.text);
	ok(vdev_set(&nl, dev.id, 0, 1U << 20, &reply) && reply.text[0], "SET of no flag: %s",
	   reply.text);
	ok(vdev_set(&nl, dev.id, 0, VDISK_F_NO_PARTSCAN, &reply) && reply.text[0],
	   "SET of a flag of ATTACH's: %s", reply.text);
	nl_begin(&req, VDISK_CMD_SET);
	nl_put_u32(&req, VDISK_A_ID, dev.id);
	nl_put_u32(&req, VDISK_A_FLAGS, 0);
	ok(nl_call_end(&nl, &req, &reply) && reply.text[0], "SET without a mask: %s", reply.text);
	is_num(vdev_flags(&nl, dev.id) & VDISK_F_SETTABLE, 0, "none of these changed a flag");
	vdev_detach_all(&nl);
}

/* ------------------------------------------------------------------- events */

static void expect_event(struct nl *ev, u32 kind, u32 id, const char *name)
{
	struct nl_reply event;
	u32 got = 0, got_id = ~0U;
	int ret = nl_event(ev, &event, 5000);

	nl_get_u32(&event, VDISK_A_EVENT, &got);
	nl_get_u32(&event, VDISK_A_ID, &got_id);
	if (!ok(!ret && event.cmd == VDISK_CMD_EVENT && got == kind && got_id == id,
		"the event of %s", name))
		diag("%s, command %u, event %u, id %u", err_name(ret), event.cmd, got, got_id);
	ok(!nl_get_str(&event, VDISK_A_PATH, 0), "which carries no path");
}

static void test_events(void)
{
	struct vdev dev;
	struct nl ev;

	if (nl_open(&ev) || !ev.group || nl_subscribe(&ev)) {
		ok(false, "subscribing to events");
		return;
	}
	if (attach_raw(&nl, fds[FD_A], DISK, 0, &dev, &reply))
		bail("cannot attach: %s", reply.text);
	expect_event(&ev, VDISK_EVENT_ATTACH, dev.id, "ATTACH");
	vdev_set(&nl, dev.id, VDISK_F_NO_DISCARD, VDISK_F_NO_DISCARD, &reply);
	expect_event(&ev, VDISK_EVENT_CHANGE, dev.id, "SET");
	vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply);
	expect_event(&ev, VDISK_EVENT_DETACH, dev.id, "DETACH");
	nl_close(&ev);
}

/* ------------------------------------------------------------- GET and ids */

struct seen {
	unsigned int nr;
	bool sizes_good;
};

static void see_device(void *ctx, const struct nl_reply *msg)
{
	struct seen *seen = ctx;
	u64 size = 0;

	seen->nr++;
	if (!nl_get_u64(msg, VDISK_A_CAPACITY, &size) || size != DISK)
		seen->sizes_good = false;
}

static void check_get(const struct vdev *dev)
{
	static const u16 numbers[] = {
		VDISK_A_ID, VDISK_A_FLAGS, VDISK_A_MAJOR, VDISK_A_MINOR, VDISK_A_OPENERS,
		VDISK_A_STATE, VDISK_A_INFLIGHT, VDISK_A_SECTOR_SIZE, VDISK_A_QUEUES,
	};
	u32 value, missing = 0;
	u64 wide;
	size_t i;

	is_err(vdev_get(&nl, dev->id, &reply), 0, "GET of one device");
	for (i = 0; i < ARRAY_SIZE(numbers); i++)
		missing += !nl_get_u32(&reply, numbers[i], &value);
	missing += !nl_get_u64(&reply, VDISK_A_CAPACITY, &wide);
	missing += !nl_get_u64(&reply, VDISK_A_ERRORS, &wide);
	missing += !nl_get_u64(&reply, VDISK_A_DISKSEQ, &wide) || wide != dev->diskseq;
	missing += !nl_attr(&reply, VDISK_A_IMAGE, 0, NULL);
	is_num(missing, 0, "has every attribute");
	ok(nl_get_u32(&reply, VDISK_A_STATE, &value) && value == VDISK_STATE_LIVE, "says LIVE");
	ok(nl_get_str(&reply, VDISK_A_NAME, 0) &&
	   !strcmp(nl_get_str(&reply, VDISK_A_NAME, 0), "one"), "and the name");
}

static void test_get(void)
{
	struct seen seen = { .sizes_good = true };
	struct nl_req req;
	struct vdev a, b;
	int fd;

	valid_base(&req);
	nl_put_u32(&req, VDISK_A_ID, 17);
	nl_put_str(&req, VDISK_A_NAME, "one");
	nl_put_str(&req, VDISK_A_UUID, "01234567-89ab-cdef-0123-456789abcdef");
	is_err(attach_send(&nl, &req, &a, &reply), 0, "ATTACH as number 17");
	is_num(a.id, 17, "gets it");
	is_str(vdev_sysfs(&a, "vdisk/uuid"), "01234567-89ab-cdef-0123-456789abcdef",
	       "the UUID in sysfs");
	check_get(&a);
	fd = vdev_open(&a, O_RDONLY);
	is_num(bdev_size(fd), DISK, "the size of the device");
	close(fd);

	nl_begin(&req, VDISK_CMD_ATTACH);
	attach_member(&req, fds[FD_B], RW);
	attach_image(&req, VDISK_FORMAT_RAW, DISK);
	attach_segment(&req, VDISK_SEG_RAW, 0, 0, DISK, 0);
	nl_put_u32(&req, VDISK_A_ID, 17);
	ok(attach_send(&nl, &req, &b, &reply) && reply.text[0], "the number a second time: %s",
	   reply.text);
	is_err(attach_raw(&nl, fds[FD_B], DISK, 0, &b, &reply), 0, "a second device");
	ok(b.diskseq > a.diskseq, "has a later disk sequence number");

	nl_begin(&req, VDISK_CMD_GET);
	is_err(nl_dump(&nl, &req, see_device, &seen), 0, "a dump");
	nl_end(&req);
	ok(seen.nr == 2 && seen.sizes_good, "shows both, with their sizes");
	vdev_detach_all(&nl);
	is_num(vdev_count(&nl), 0, "and nothing after their detach");
}

/* Everybody wants number 5 and the same file; one gets it. */
static void *race_thread(void *arg)
{
	struct nl_reply *answer = xalloc(sizeof(*answer));
	int fd = xopen(path_in(scratch_dir(), "a"), O_RDWR);
	unsigned int *wins = arg;
	u64 end = now_ms() + 1000;
	struct nl_req req;
	struct vdev dev;
	struct nl mine;

	if (nl_open(&mine))
		return NULL;
	while (now_ms() < end) {
		nl_begin(&req, VDISK_CMD_ATTACH);
		attach_flags(&req, VDISK_F_NO_PARTSCAN);
		attach_member(&req, fd, RW);
		attach_image(&req, VDISK_FORMAT_RAW, DISK);
		attach_segment(&req, VDISK_SEG_RAW, 0, 0, DISK, 0);
		nl_put_u32(&req, VDISK_A_ID, 5);
		if (attach_send(&mine, &req, &dev, answer))
			continue;
		++*wins;
		if (vdev_detach(&mine, dev.id, VDISK_DETACH_PLAIN, answer))
			diag("DETACH in the race: %s", answer->text);
	}
	nl_close(&mine);
	close(fd);
	free(answer);
	return NULL;
}

static void test_race(void)
{
	unsigned int wins[4] = { 0 };
	pthread_t threads[4];
	size_t i;

	scratch_dir();
	for (i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_create(&threads[i], NULL, race_thread, &wins[i]);
	for (i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	diag("wins: %u %u %u %u", wins[0], wins[1], wins[2], wins[3]);
	ok(wins[0] + wins[1] + wins[2] + wins[3] > 0, "4 threads over one number and one file");
	is_num(vdev_count(&nl), 0, "leave nothing");
}

int main(void)
{
	const char *dir = scratch_dir();
	int refs, ret;

	ret = nl_open(&nl);
	if (ret)
		bail("no vdisk family: %s", err_name(ret));
	fds[FD_A] = make_file(path_in(dir, "a"), DISK);
	fds[FD_B] = make_file(path_in(dir, "b"), DISK);
	fds[FD_SHORT] = make_file(path_in(dir, "short"), 4 * MIB);
	close(make_file(path_in(dir, "ro"), DISK));
	fds[FD_RO] = xopen(path_in(dir, "ro"), O_RDONLY);
	refs = module_refs("vdisk");

	test_tables();
	test_caps();
	test_attributes();
	test_long_table();
	test_commands();
	test_events();
	test_get();
	test_race();

	ok(wait_until(module_refs("vdisk") == refs, 5000), "the module's use count is back at %d",
	   refs);
	nl_close(&nl);
	return tap_done();
}
