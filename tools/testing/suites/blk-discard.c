// SPDX-License-Identifier: GPL-2.0-only
/*
 * Discard and zeroing: what sysfs promises is what happens. A discarded sector reads
 * as zeros or as before; what gives its space back are whole units; a zeroed range
 * is zero, to the byte.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "suite.h"

#define DISK	(8 * MIB + 5 * SECTOR)	/* the last unit is a short one */
#define FULL	(8 * MIB)

static void each_kind(void (*test)(struct subject *s, int fd))
{
	struct subject s;
	unsigned int i;
	int fd;

	for (i = 0; i < SUBJECT_KINDS; i++) {
		subject_make(&s, i, DISK, VDISK_F_NO_PARTSCAN);
		fd = vdev_open(&s.dev, O_RDWR | O_DIRECT);
		put_pattern(fd, 0, DISK, 3);
		fsync(fd);
		test(&s, fd);
		close(fd);
		subject_end(&s);
	}
}

/* Each sector of [pos, pos + len) is as put_pattern() left it, or zero. */
static bool old_or_zero(int fd, u64 pos, u64 len)
{
	u8 *buf = xalloc(len);
	bool good = pread_all(fd, buf, len, pos);
	u64 i;

	for (i = 0; good && i < len; i += SECTOR)
		good = is_zero(buf + i, SECTOR) || is_pattern(buf + i, SECTOR, pos + i, 3);
	if (!good)
		diag("around byte %llu", (unsigned long long)(pos + i));
	free(buf);
	return good;
}

static u64 units(const struct subject *s)
{
	return s->chain.images[0].extents[0].unit ?
		extent_units(&s->chain.images[0].extents[0]) : subject_space(s) / 4096;
}

/* ------------------------------------------------------------------- promises */

static void check_limits(struct subject *s, int fd)
{
	const char *disk = disk_name(&s->dev);
	u32 granularity = disk_get(disk, "queue/discard_granularity");
	u32 align = 1, zeroes = 1;

	is_num(granularity, s->unit, "%s: discard_granularity is a unit", s->what);
	is_num(disk_get(disk, "discard_alignment"), 0, "%s: aligned to the disk", s->what);
	ok(disk_get(disk, "queue/discard_max_bytes") >= granularity, "%s: discard_max_bytes",
	   s->what);
	is_num(disk_get(disk, "queue/discard_max_bytes"),
	       disk_get(disk, "queue/discard_max_hw_bytes"), "%s: all that the driver takes",
	       s->what);
	ok(disk_get(disk, "queue/write_zeroes_max_bytes") >= granularity,
	   "%s: write_zeroes_max_bytes", s->what);
	ok(!ioctl(fd, BLKDISCARDZEROES, &zeroes) && !zeroes, "%s: no promise of zeros", s->what);
	ok(!ioctl(fd, BLKALIGNOFF, &align) && !align, "%s: BLKALIGNOFF", s->what);
}

static void limits(void)
{
	each_kind(check_limits);
}

/* -------------------------------------------------------------------- discard */

static void check_below(struct subject *s, int fd)
{
	u64 before = units(s);

	is_err(bdev_discard(fd, s->unit + SECTOR, SECTOR), 0, "%s: a sector", s->what);
	is_err(bdev_discard(fd, 2 * s->unit + SECTOR, s->unit - SECTOR), 0,
	       "%s: nearly a unit", s->what);
	ok(old_or_zero(fd, 0, 4 * s->unit), "%s: old bytes or zeros, nothing else", s->what);
	ok(has_pattern(fd, 0, s->unit + SECTOR, 3) &&
	   has_pattern(fd, s->unit + 2 * SECTOR, s->unit - SECTOR, 3) &&
	   has_pattern(fd, 3 * s->unit, s->unit, 3), "%s: the bytes around it stay", s->what);
	fsync(fd);
	is_num(units(s), before, "%s: no unit is given up", s->what);
}

static void below(void)
{
	each_kind(check_below);
}

static void check_across(struct subject *s, int fd)
{
	u64 from = s->unit + SECTOR, to = 4 * s->unit + 3 * SECTOR, before = units(s);

	is_err(bdev_discard(fd, from, to - from), 0, "%s: parts of units and two whole ones",
	       s->what);
	ok(has_zeros(fd, 2 * s->unit, 2 * s->unit), "%s: the whole ones are empty", s->what);
	ok(old_or_zero(fd, 0, 6 * s->unit), "%s: the parts are old or zero", s->what);
	ok(has_pattern(fd, 0, from, 3) && has_pattern(fd, to, DISK - to, 3),
	   "%s: the bytes around them stay", s->what);
	fsync(fd);
	ok(wait_until(units(s) + 2 <= before, 15000), "%s: the whole ones' space is free",
	   s->what);
	ok(put_pattern(fd, 2 * s->unit, 2 * s->unit, 4) &&
	   has_pattern(fd, 2 * s->unit, 2 * s->unit, 4), "%s: they can be written again", s->what);
}

static void across(void)
{
	each_kind(check_across);
}

static void check_end(struct subject *s, int fd)
{
	is_err(bdev_discard(fd, FULL - 2 * SECTOR, DISK - FULL + 2 * SECTOR), 0,
	       "%s: the last sectors", s->what);
	ok(has_pattern(fd, 0, FULL - 2 * SECTOR, 3), "%s: what is before them stays", s->what);
	ok(old_or_zero(fd, FULL - 2 * SECTOR, DISK - FULL + 2 * SECTOR), "%s: they are gone",
	   s->what);
	is_err(bdev_discard(fd, DISK, SECTOR), -EINVAL, "%s: past the end: EINVAL", s->what);
	is_err(bdev_discard(fd, FULL, 2 * MIB), -EINVAL, "%s: over it: EINVAL", s->what);
	is_err(bdev_discard(fd, 100, SECTOR), -EINVAL, "%s: at byte 100: EINVAL", s->what);
	is_err(bdev_discard(fd, 0, 100), -EINVAL, "%s: of 100 bytes: EINVAL", s->what);
	is_err(bdev_discard(fd, ~0ULL - 511, 4096), -EINVAL, "%s: at the end of time: EINVAL",
	       s->what);
	ok(has_pattern(fd, 0, FULL - 2 * SECTOR, 3), "%s: and nothing was done", s->what);
}

static void end(void)
{
	each_kind(check_end);
}

static void check_refused(struct subject *s, int fd)
{
	u64 range[2] = { 0, MIB };
	int ro;

	ok(ioctl(fd, BLKSECDISCARD, range) && errno == EOPNOTSUPP, "%s: no secure erase", s->what);
	ro = vdev_open(&s->dev, O_RDONLY);
	ok(ioctl(ro, BLKDISCARD, range) && errno == EBADF, "%s: not by who may only read", s->what);
	ok(ioctl(ro, BLKZEROOUT, range) && errno == EBADF, "%s: nor zeroing", s->what);
	close(ro);
	is_err(disk_set(disk_name(&s->dev), "queue/discard_max_bytes", "0"), 0,
	       "%s: discard switched off in sysfs", s->what);
	is_err(bdev_discard(fd, 0, MIB), -EOPNOTSUPP, "%s: then it is refused", s->what);
	is_err(bdev_zeroout(fd, 0, 64 * KIB), 0, "%s: zeroing is not", s->what);
	ok(has_zeros(fd, 0, 64 * KIB) && has_pattern(fd, 64 * KIB, DISK - 64 * KIB, 3),
	   "%s: it is done", s->what);
}

static void refused(void)
{
	each_kind(check_refused);
}

/* Larger than a request: in pieces, each counted. */
static void large(void)
{
	u64 size = 700 * MIB, max;
	struct blk_stat before, after;
	struct subject s;
	int fd;

	subject_make(&s, SUBJECT_VDI, size, VDISK_F_NO_PARTSCAN);
	fd = vdev_open(&s.dev, O_RDWR | O_DIRECT);
	max = disk_get(disk_name(&s.dev), "queue/discard_max_bytes");
	put_pattern(fd, 0, 64 * KIB, 3);
	put_pattern(fd, 300 * MIB, 64 * KIB, 3);
	put_pattern(fd, size - 64 * KIB, 64 * KIB, 3);
	fsync(fd);
	is_num(units(&s), 3, "three units of %llu MiB are used", (unsigned long long)(size / MIB));
	before = blk_rest(&s.dev);
	is_err(bdev_discard(fd, 0, size), 0, "all is discarded");
	after = blk_rest(&s.dev);
	is_num(after.discards - before.discards, (size + max - 1) / max,
	       "in as few requests as the limit allows");
	is_num((after.discard_sectors - before.discard_sectors) * SECTOR, size,
	       "which cover it once");
	ok(has_zeros(fd, 0, MIB) && has_zeros(fd, 300 * MIB, MIB) &&
	   has_zeros(fd, size - MIB, MIB), "all is empty");
	fsync(fd);
	is_num(units(&s), 0, "no unit is used");
	close(fd);
	subject_end(&s);
}

/* -------------------------------------------------------------------- zeroing */

/* How zeros are asked for; @frees: does it give up units? */
static const struct zero_way {
	const char *name;
	int mode;
	bool frees;
} zero_ways[] = {
	{ "BLKZEROOUT", 0, false },
	{ "ZERO_RANGE", FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, false },
	{ "PUNCH_HOLE", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, true },
};

static int zero_by(const struct zero_way *way, int fd, u64 pos, u64 len)
{
	if (!way->mode)
		return bdev_zeroout(fd, pos, len);
	return fallocate(fd, way->mode, pos, len) ? -errno : 0;
}

static void check_zeroes(struct subject *s, int fd)
{
	u64 from = s->unit + SECTOR, to = 4 * s->unit + 3 * SECTOR, before;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(zero_ways); i++) {
		const struct zero_way *way = &zero_ways[i];

		put_pattern(fd, 0, 6 * s->unit, 3);
		fsync(fd);
		before = units(s);
		is_err(zero_by(way, fd, from, to - from), 0, "%s: %s", s->what, way->name);
		ok(has_zeros(fd, from, to - from), "%s: %s: all zero", s->what, way->name);
		ok(has_pattern(fd, 0, from, 3) && has_pattern(fd, to, DISK - to, 3),
		   "%s: %s: the bytes around it stay", s->what, way->name);
		fsync(fd);
		if (way->frees)
			ok(wait_until(units(s) + 2 <= before, 15000), "%s: %s gives up units",
			   s->what, way->name);
		is_err(zero_by(way, fd, DISK - SECTOR, SECTOR), 0, "%s: %s: the last sector",
		       s->what, way->name);
		ok(has_zeros(fd, DISK - SECTOR, SECTOR), "%s: %s: it is zero", s->what, way->name);
		put_pattern(fd, DISK - SECTOR, SECTOR, 3);
		is_err(zero_by(way, fd, DISK, SECTOR), -EINVAL, "%s: %s: past the end", s->what,
		       way->name);
	}
}

static void zeroes(void)
{
	each_kind(check_zeroes);
}

/* The page cache must not keep what was zeroed or discarded under it. */
static void check_cache(struct subject *s, int fd)
{
	int cached = vdev_open(&s->dev, O_RDWR);

	ok(has_pattern(cached, 0, MIB, 3), "%s: read through the page cache", s->what);
	is_err(bdev_zeroout(fd, 64 * KIB, 64 * KIB), 0, "%s: zeroed", s->what);
	ok(has_zeros(cached, 64 * KIB, 64 * KIB), "%s: the page cache knows", s->what);
	put_pattern(cached, 256 * KIB, 64 * KIB, 9);
	is_err(bdev_zeroout(fd, 256 * KIB, 64 * KIB), 0, "%s: zeroed under dirty pages", s->what);
	fsync(cached);
	ok(has_zeros(fd, 256 * KIB, 64 * KIB), "%s: they do not come back", s->what);
	close(cached);
}

static void cache(void)
{
	each_kind(check_cache);
}

static const struct contract contracts[] = {
	{ "limits", limits },
	{ "below", below },
	{ "across", across },
	{ "end", end },
	{ "refused", refused },
	{ "large", large },
	{ "zeroes", zeroes },
	{ "page-cache", cache },
};

int main(int argc, char **argv)
{
	return suite_main(argc, argv, "discard", contracts, ARRAY_SIZE(contracts));
}
