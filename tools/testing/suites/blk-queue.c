// SPDX-License-Identifier: GPL-2.0-only
/* The request queue: what it says of itself, what it counts, what can be turned under I/O. */
#include <errno.h>
#include <fcntl.h>
#include <linux/blktrace_api.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "load.h"
#include "suite.h"

#define DISK	(16 * MIB)

/* ----------------------------------------------------------------- attributes */

static void check_attributes(const struct subject *s)
{
	const struct attribute {
		const char *name;
		const char *want;
		u64 number;
	} attributes[] = {
		{ "queue/rotational", NULL, 0 },
		{ "queue/logical_block_size", NULL, 512 },
		{ "queue/physical_block_size", NULL, 4096 },
		{ "queue/hw_sector_size", NULL, 512 },
		{ "queue/minimum_io_size", NULL, 4096 },
		{ "queue/write_cache", "write back", 0 },
		{ "queue/fua", NULL, 1 },
		{ "queue/dax", NULL, 0 },
		{ "queue/zoned", "none", 0 },
		{ "queue/io_poll", NULL, 0 },
		{ "queue/add_random", NULL, 0 },
		{ "removable", NULL, 0 },
		{ "hidden", NULL, 0 },
		{ "ro", NULL, 0 },
		{ "alignment_offset", NULL, 0 },
		{ "ext_range", NULL, 256 },
	};
	u64 hw = disk_get(disk_name(&s->dev), "queue/max_hw_sectors_kb");
	u64 unit = s->chain.images[0].extents[0].unit;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(attributes); i++) {
		const struct attribute *a = &attributes[i];

		if (a->want)
			is_str(vdev_sysfs(&s->dev, a->name), a->want, "%s: %s", s->what, a->name);
		else
			is_num(disk_get(disk_name(&s->dev), a->name), a->number, "%s: %s",
			       s->what, a->name);
	}
	is_num(disk_get(disk_name(&s->dev), "queue/optimal_io_size"), unit, "%s: optimal_io_size",
	       s->what);
	/* A file answers when it can: there is no time-out to be set. */
	is_num(disk_get(disk_name(&s->dev), "queue/io_timeout"), ~0ULL, "%s: no io_timeout",
	       s->what);
	ok(hw >= 1024 && disk_get(disk_name(&s->dev), "queue/max_sectors_kb") <= hw,
	   "%s: max_sectors_kb, of %llu", s->what, (unsigned long long)hw);
}

/* What ioctls say is what sysfs says. */
static void check_ioctls(const struct subject *s)
{
	int fd = vdev_open(&s->dev, O_RDONLY), size = 0;
	unsigned short rotational = 1;
	unsigned int value = 0;

	ok(!ioctl(fd, BLKSSZGET, &size) && size == 512, "%s: BLKSSZGET", s->what);
	ok(!ioctl(fd, BLKPBSZGET, &value) && value == 4096, "%s: BLKPBSZGET", s->what);
	ok(!ioctl(fd, BLKIOMIN, &value) && value == 4096, "%s: BLKIOMIN", s->what);
	ok(!ioctl(fd, BLKIOOPT, &value) &&
	   value == s->chain.images[0].extents[0].unit, "%s: BLKIOOPT", s->what);
	ok(!ioctl(fd, BLKROTATIONAL, &rotational) && !rotational, "%s: BLKROTATIONAL", s->what);
	close(fd);
}

/* A disk of ours protects and encrypts nothing. */
static void check_not_there(const struct subject *s)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/block/%s/queue/crypto", disk_name(&s->dev));
	ok(!exists(path), "%s: no inline encryption", s->what);
	snprintf(path, sizeof(path), "/sys/block/%s/integrity", disk_name(&s->dev));
	/* 6.12 has it on each disk. */
	ok(!exists(path) || !strcmp(vdev_sysfs(&s->dev, "integrity/format"), "none"),
	   "%s: no integrity", s->what);
}

static void attributes(void)
{
	struct subject s;
	unsigned int i;

	for (i = 0; i < SUBJECT_KINDS; i++) {
		subject_make(&s, i, DISK, VDISK_F_NO_PARTSCAN);
		check_attributes(&s);
		check_ioctls(&s);
		check_not_there(&s);
		subject_end(&s);
	}
}

/* ------------------------------------------------------------------- counters */

static void counters(void)
{
	struct blk_stat a, b;
	struct subject s;
	unsigned int i;
	int fd, sync;
	u8 *buf = xalloc(64 * KIB);

	subject_make(&s, SUBJECT_VMDK, DISK, VDISK_F_NO_PARTSCAN);
	fd = vdev_open(&s.dev, O_RDWR | O_DIRECT);
	a = blk_rest(&s.dev);
	for (i = 0; i < 10; i++)
		pwrite_all(fd, buf, 64 * KIB, i * MIB);
	for (i = 0; i < 20; i++)
		pread_all(fd, buf, 4096, i * 4096);
	for (i = 0; i < 3; i++)
		fsync(fd);
	bdev_discard(fd, 0, 2 * MIB);
	b = blk_rest(&s.dev);
	/* The block layer counts what asks for a flush as a write of nothing. */
	is_num(b.writes - a.writes, 10 + 3, "writes");
	is_num(b.write_sectors - a.write_sectors, 10 * 128, "their sectors");
	is_num(b.reads - a.reads, 20, "reads");
	is_num(b.read_sectors - a.read_sectors, 20 * 8, "their sectors");
	is_num(b.flushes - a.flushes, 3, "flushes");
	is_num(b.discards - a.discards, 1, "discards");
	is_num(b.discard_sectors - a.discard_sectors, 4096, "their sectors");
	ok(blk_idle(&s.dev), "nothing is under way");

	sync = vdev_open(&s.dev, O_RDWR | O_DIRECT | O_DSYNC);
	a = blk_rest(&s.dev);
	for (i = 0; i < 5; i++)
		pwrite_all(sync, buf, 4096, i * 4096);
	b = blk_rest(&s.dev);
	/* The fsync that follows each is the block layer's; one more would be FUA done without. */
	is_num(b.writes - a.writes, 5 + 5, "synchronous writes");
	is_num(b.flushes - a.flushes, 5, "FUA needs no flush of its own");
	is_err(disk_set(disk_name(&s.dev), "queue/iostats", "0"), 0, "no counting");
	pread_all(fd, buf, 4096, 0);
	is_num(blk_rest(&s.dev).reads, b.reads, "then nothing is counted");
	is_err(disk_set(disk_name(&s.dev), "queue/iostats", "1"), 0, "counting again");
	pread_all(fd, buf, 4096, 0);
	is_num(blk_rest(&s.dev).reads, b.reads + 1, "one is counted");
	close(sync);
	close(fd);
	subject_end(&s);
	free(buf);
}

/* Who says that there is no cache gets no flush; the detach commits all the same. */
static void write_through(void)
{
	struct blk_stat a, b;
	struct subject s;
	int fd;

	subject_make(&s, SUBJECT_VDI, DISK, VDISK_F_NO_PARTSCAN);
	fd = vdev_open(&s.dev, O_RDWR | O_DIRECT);
	is_err(disk_set(disk_name(&s.dev), "queue/write_cache", "write through"), 0,
	       "write through");
	a = blk_rest(&s.dev);
	ok(put_pattern(fd, 0, MIB, 1) && !fsync(fd), "written and synced");
	b = blk_rest(&s.dev);
	is_num(b.flushes - a.flushes, 0, "no flush comes");
	is_err(disk_set(disk_name(&s.dev), "queue/write_cache", "write back"), 0, "write back");
	ok(put_pattern(fd, MIB, MIB, 1) && !fsync(fd), "written and synced");
	is_num(blk_rest(&s.dev).flushes - b.flushes, 1, "one flush comes");
	close(fd);
	subject_detach(&s);
	subject_attach(&s, 0);
	fd = vdev_open(&s.dev, O_RDONLY);
	ok(has_pattern(fd, 0, 2 * MIB, 1), "all of it is in the image");
	close(fd);
	subject_end(&s);
}

/* ------------------------------------------------------------- turned under I/O */

/* @turn is called again and again while somebody writes; then all is compared. */
static void under_load(enum subject_kind kind, const char *what,
		       unsigned int (*turn)(const struct subject *s, unsigned int i),
		       unsigned int turns)
{
	struct shadow shadow;
	unsigned int i, bad = 0;
	struct subject s;
	struct load l;

	subject_make(&s, kind, DISK, VDISK_F_NO_PARTSCAN);
	shadow_init(&shadow, DISK);
	load_start(&l, &s.dev, DISK, 11);
	load_goes_on(&l, 10);
	for (i = 0; i < turns && !load_over(&l); i++) {
		bad += turn(&s, i);
		ok(load_goes_on(&l, 8), "%s: %s %u: I/O goes on", s.what, what, i);
	}
	/* A fast machine writes all there is to be written sooner. */
	ok(i >= turns / 4 && i > 1, "%s: %s: %u times under I/O", s.what, what, i);
	load_stop(&l);
	is_num(l.errors, 0, "%s: %s: no request failed", s.what, what);
	is_num(bad, 0, "%s: %s: all could be set", s.what, what);
	ok(blk_idle(&s.dev), "%s: %s: nothing is under way", s.what, what);
	diag("%u writes", l.done);
	load_apply(&l, &shadow, l.done);
	subject_detach(&s);
	ok(chain_equals(&s.chain, &shadow), "%s: %s: the image holds all writes", s.what, what);
	chain_remove(&s.chain);
	shadow_free(&shadow);
}

static unsigned int turn_scheduler(const struct subject *s, unsigned int i)
{
	static const char *const names[] = { "mq-deadline", "bfq", "kyber", "none" };
	const char *name = names[i % ARRAY_SIZE(names)];
	char shown[32];

	if (disk_set(disk_name(&s->dev), "queue/scheduler", name))
		return 1;
	snprintf(shown, sizeof(shown), "[%s]", name);
	return !strstr(vdev_sysfs(&s->dev, "queue/scheduler"), shown);
}

static void scheduler(void)
{
	run(&(struct run) { 0 }, "modprobe", "-a", "bfq", "kyber-iosched", NULL);
	under_load(SUBJECT_VMDK, "scheduler", turn_scheduler, full_run() ? 80 : scaled(8));
}

static unsigned int turn_depth(const struct subject *s, unsigned int i)
{
	static const struct {
		const char *attr, *value;
	} turns[] = {
		{ "queue/nr_requests", "4" }, { "queue/max_sectors_kb", "4" },
		{ "queue/nomerges", "2" }, { "queue/nr_requests", "64" },
		{ "queue/max_sectors_kb", "1024" }, { "queue/nomerges", "0" },
		{ "queue/rq_affinity", "2" }, { "queue/wbt_lat_usec", "1000" },
		{ "queue/read_ahead_kb", "0" }, { "queue/rq_affinity", "1" },
	};
	const char *attr = turns[i % ARRAY_SIZE(turns)].attr;
	const char *value = turns[i % ARRAY_SIZE(turns)].value;

	if (disk_set(disk_name(&s->dev), attr, value))
		diag("%s=%s: not taken", attr, value);
	return strcmp(vdev_sysfs(&s->dev, attr), value) != 0;
}

static void attributes_turned(void)
{
	under_load(SUBJECT_VDI, "attribute", turn_depth, full_run() ? 100 : 10);
}

static unsigned int turn_cpu(const struct subject *s, unsigned int i)
{
	return !write_text("/sys/devices/system/cpu/cpu1/online", i % 2 ? "1" : "0");
}

static void cpu_hotplug(void)
{
	if (!exists("/sys/devices/system/cpu/cpu1/online")) {
		skip("one processor", "a processor goes and comes");
		return;
	}
	under_load(SUBJECT_VMDK, "processor", turn_cpu, 2 * (full_run() ? 20 : scaled(3)));
	write_text("/sys/devices/system/cpu/cpu1/online", "1");
}

/* --------------------------------------------------------------------- tracing */

static bool trace_setup(int fd)
{
	struct blk_user_trace_setup setup = {
		.act_mask = 0xffff, .buf_size = 64 * KIB, .buf_nr = 4,
	};

	return !ioctl(fd, BLKTRACESETUP, &setup) && !ioctl(fd, BLKTRACESTART);
}

/* How many events of @action with @sector there are in a processor's file. */
static unsigned int trace_count(const char *disk, unsigned int cpu, u32 action, u64 sector)
{
	size_t len = 0, pos, max = 256 * KIB;
	unsigned int found = 0;
	u8 *buf = xalloc(max);
	struct blk_io_trace t;
	char path[128];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/sys/kernel/debug/block/%s/trace%u", disk, cpu);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && len < max && (n = read(fd, buf + len, max - len)) > 0)
		len += n;
	for (pos = 0; pos + sizeof(t) <= len; pos += sizeof(t) + t.pdu_len) {
		memcpy(&t, buf + pos, sizeof(t));
		if ((t.magic & 0xffffff00) != BLK_IO_TRACE_MAGIC)
			bail("%s: no trace at byte %zu", path, pos);
		found += (t.action & 0xffff) == action && t.sector == sector;
	}
	if (fd >= 0)
		close(fd);
	free(buf);
	return found;
}

static void check_traced(const struct subject *s, int fd, u32 action, const char *name)
{
	u8 *buf = xalloc(4096);
	unsigned int found;

	ok(trace_setup(fd), "tracing starts");
	pwrite_all(fd, buf, 4096, 3 * MIB);
	ioctl(fd, BLKTRACESTOP);
	found = trace_count(disk_name(&s->dev), 0, action, 3 * MIB / SECTOR) +
		trace_count(disk_name(&s->dev), 1, action, 3 * MIB / SECTOR);
	is_num(found, 1, "a write shows as %s, once", name);
	is_err(ioctl(fd, BLKTRACETEARDOWN) ? -errno : 0, 0, "tracing ends");
	free(buf);
}

static void trace(void)
{
	struct subject s;
	int fd;

	subject_make(&s, SUBJECT_VMDK, DISK, VDISK_F_NO_PARTSCAN);
	fd = vdev_open(&s.dev, O_RDWR | O_DIRECT);
	check_traced(&s, fd, __BLK_TA_QUEUE, "queued");
	check_traced(&s, fd, __BLK_TA_ISSUE, "issued");
	check_traced(&s, fd, __BLK_TA_COMPLETE, "completed");
	/* Pulled out while it is traced: nothing of the trace stays behind. */
	ok(trace_setup(fd), "tracing starts");
	is_err(vdev_detach(&nl, s.dev.id, VDISK_DETACH_FORCE, &reply), 0, "detach by force");
	close(fd);
	ok(wait_until(!exists(path_in("/sys/kernel/debug/block", disk_name(&s.dev))), 5000),
	   "the trace goes with the disk");
	subject_attach(&s, 0);
	fd = vdev_open(&s.dev, O_RDWR | O_DIRECT);
	check_traced(&s, fd, __BLK_TA_QUEUE, "queued");
	close(fd);
	subject_end(&s);
}

static const struct contract contracts[] = {
	{ "attributes", attributes },
	{ "counters", counters },
	{ "write-through", write_through },
	{ "scheduler", scheduler },
	{ "attributes-turned", attributes_turned },
	{ "cpu-hotplug", cpu_hotplug },
	{ "trace", trace },
};

int main(int argc, char **argv)
{
	return suite_main(argc, argv, "queue", contracts, ARRAY_SIZE(contracts));
}
