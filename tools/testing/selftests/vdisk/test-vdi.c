// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is VDI's own: files that become shorter, slots that move while the disk is
 * read, images that may only be read, and one that nobody may write to.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
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
#include "vdi-disk.h"

static struct nl nl;
static struct nl_reply reply;

static int start(struct chain *c, u32 flags, struct vdev *dev)
{
	chain_must_attach(&nl, c, flags | VDISK_F_NO_PARTSCAN, dev, &reply);
	return vdev_open(dev, (flags & VDISK_F_HARD_RDONLY ? O_RDONLY : O_RDWR) | O_DIRECT);
}

/* The answer comes before the end, if filling holes takes all of its time. */
static void detach(const struct vdev *dev, const char *name)
{
	if (!is_err(vdev_detach(&nl, dev->id, VDISK_DETACH_PLAIN, &reply), 0, "%s: detach", name))
		diag("%s", reply.text);
	else if (!wait_until(vdev_gone(&nl, dev->id), 20000))
		bail("%s: the device stays", name);
}

static void check_files(const struct chain *c, const struct shadow *s, const char *name)
{
	ok(chain_sound(c, 0), "%s: sound", name);
	ok(chain_renews(c) && chain_renewed(c), "%s: another modification UUID", name);
	ok(chain_equals(c, s), "%s: the file holds what it should", name);
	chain_ask_qemu(c, s, name);
}

static u64 file_size(const struct chain *c)
{
	struct stat st;

	if (stat(c->images[0].path, &st))
		bail("stat: %s", err_name(errno));
	return st.st_size;
}

static bool clear(int fd, struct shadow *s, u64 pos, u64 len)
{
	shadow_zero(s, pos, len);
	return !bdev_discard(fd, pos, len);
}

static bool put(int fd, struct shadow *s, u64 pos, u8 byte)
{
	u8 *buf = xalloc(4096);
	bool good;

	memset(buf, byte, 4096);
	good = pwrite_all(fd, buf, 4096, pos);
	shadow_write(s, pos, buf, 4096);
	free(buf);
	return good;
}

static u32 entry(const char *path, u64 pos)
{
	u32 value = 0;
	int fd = xopen(path, O_RDONLY);

	if (!pread_all(fd, &value, 4, pos))
		bail("%s: %s", path, err_name(errno));
	close(fd);
	return value;
}

/* ------------------------------------------------------------------- holes */

/* Whole blocks that are discarded make the file shorter by as much. */
static void test_shorter(const char *dir, u32 flags, const char *name)
{
	struct chain c = chain_single(dir, "h", vdi_blocks(24 * MIB, MIB, flags, 100));
	struct shadow s;
	struct vdev dev;
	u64 size;
	int fd;

	chain_make(&c, 10);
	chain_load(&c, &s);
	fd = start(&c, 0, &dev);
	size = c.images[0].extents[0].size;
	ok(clear(fd, &s, 3 * MIB, MIB) && clear(fd, &s, 7 * MIB, 6 * MIB) &&
	   clear(fd, &s, 20 * MIB, MIB), "%s: eight blocks are discarded", name);
	ok(shadow_equals(&s, fd, 0, s.size, 0), "%s: zeros there, data elsewhere", name);
	close(fd);
	detach(&dev, name);
	check_files(&c, &s, name);
	is_num(extent_units(&c.images[0].extents[0]), 16, "%s: eight have lost their place", name);
	if (!(flags & VDI_HOLES))
		is_num(file_size(&c), size - 8 * MIB, "%s: the file is 8 MiB shorter", name);
	chain_remove(&c);
	shadow_free(&s);
}

/*
 * All blocks have slots, and one that is given up gets another before anybody flushes: still
 * there are no more slots than VirtualBox takes.
 */
static void test_full(const char *dir)
{
	struct chain c = chain_single(dir, "h", vdi_blocks(16 * MIB, MIB, VDI_VIRTUALBOX, 100));
	u32 block, value, highest = 0;
	struct shadow s;
	struct vdev dev;
	bool good = true;
	int fd;

	chain_make(&c, 12);
	chain_load(&c, &s);
	fd = start(&c, 0, &dev);
	for (block = 0; good && block < 16; block++)
		good = clear(fd, &s, block * MIB, MIB) && put(fd, &s, block * MIB + 8192, 0x11);
	ok(good && !fsync(fd), "full: each block is discarded and written again");
	for (block = 0; block < 16; block++) {
		value = entry(c.images[0].path, MIB + 4 * block);
		if (value != VDI_ZERO && value > highest)
			highest = value;
	}
	is_num(highest, 15, "full: the highest slot is still the last");
	close(fd);
	detach(&dev, "full");
	check_files(&c, &s, "full");
	chain_remove(&c);
	shadow_free(&s);
}

/* More than can be moved in the time of a detach, perhaps: each one goes on. */
static void test_many(const char *dir)
{
	const u64 half = scaled(32) * MIB;
	struct chain c = chain_single(dir, "h", vdi_blocks(2 * half, 4096, 0, 100));
	struct shadow s;
	struct vdev dev;
	unsigned int i;
	char name[32];
	int fd;

	chain_make(&c, 11);
	chain_load(&c, &s);
	fd = start(&c, 0, &dev);
	ok(clear(fd, &s, 0, half), "many holes: half of the blocks are discarded");
	close(fd);
	detach(&dev, "many holes");
	/* More places came free than are remembered: the file may end later than it could. */
	ok(chain_sound(&c, CHAIN_MAY_LEAK), "many holes: at most with free slots");
	ok(chain_equals(&c, &s), "many holes: the file holds what it should");
	for (i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "many holes, again %u", i + 1);
		fd = start(&c, 0, &dev);
		ok(put(fd, &s, i * MIB, 0x41 + i), "%s: a write into a new block", name);
		close(fd);
		detach(&dev, name);
		check_files(&c, &s, name);
		is_num(extent_units(&c.images[0].extents[0]), half / 4096 + 1 + i, "%s: blocks",
		       name);
	}
	chain_remove(&c);
	shadow_free(&s);
}

/* ----------------------------------------------------------------- readers */

#define READERS	3
#define READ	(64 * KIB)

/* Reads all over the disk, one after another, until it is told to stop. */
struct reader {
	pthread_t thread;
	int fd;
	const struct shadow *s;
	u64 seed;
	atomic_bool stop, bad;
	atomic_uint reads;
};

static void *reader_thread(void *arg)
{
	struct reader *r = arg;
	u8 *buf = xalloc(READ);
	struct rng rng;
	u64 pos, where;

	rng_seed(&rng, r->seed);
	while (!r->stop && !r->bad) {
		pos = rng_below(&rng, (r->s->size - READ) / SECTOR) * SECTOR;
		if (!pread_all(r->fd, buf, READ, pos) ||
		    !shadow_check(r->s, pos, buf, READ, &where))
			r->bad = true;
		r->reads++;
	}
	free(buf);
	return NULL;
}

static void readers_start(struct reader *r, const struct vdev *dev, const struct shadow *s)
{
	unsigned int i;

	for (i = 0; i < READERS; i++) {
		r[i] = (struct reader) { .s = s, .seed = 90 + i };
		r[i].fd = vdev_open(dev, O_RDONLY | O_DIRECT);
		if (r[i].fd < 0 || pthread_create(&r[i].thread, NULL, reader_thread, &r[i]))
			bail("no reader");
	}
}

static bool readers_go_on(struct reader *r)
{
	unsigned int i, goal;
	bool good = true;

	for (i = 0; i < READERS; i++) {
		goal = r[i].reads + 20;
		good &= wait_until(r[i].reads >= goal || r[i].bad, 20000) && !r[i].bad;
	}
	return good;
}

static bool readers_stop(struct reader *r)
{
	unsigned int i;
	bool good = true;

	for (i = 0; i < READERS; i++) {
		r[i].stop = true;
		pthread_join(r[i].thread, NULL);
		close(r[i].fd);
		good &= !r[i].bad;
	}
	return good;
}

/* Slots move when the disk becomes read-only; who reads sees nothing of it. */
static void test_readers(const char *dir, u32 flags, const char *name)
{
	struct chain c = chain_single(dir, "h", vdi_blocks(24 * MIB, 64 * KIB, 0, 100));
	struct reader r[READERS];
	struct shadow s;
	struct vdev dev;
	int fd, ret;

	chain_make(&c, 12);
	chain_load(&c, &s);
	fd = start(&c, flags, &dev);
	ok(clear(fd, &s, 4 * MIB, 12 * MIB), "%s: half of the blocks are discarded", name);
	close(fd);
	readers_start(r, &dev, &s);
	ok(readers_go_on(r), "%s: reads run", name);
	/* Filling holes may take longer than an answer may. */
	wait_until((ret = vdev_set(&nl, dev.id, VDISK_F_RDONLY, VDISK_F_RDONLY, &reply)) !=
		   -EINPROGRESS, 20000);
	is_err(ret, 0, "%s: set RO", name);
	ok(readers_go_on(r), "%s: they go on, and are right", name);
	/* Old places are not used again before every read has ended: some may stay. */
	ok(chain_sound(&c, CHAIN_MAY_LEAK), "%s: at most with holes", name);
	ok(chain_equals(&c, &s), "%s: the file holds what it should", name);
	diag("%s: the file has %llu KiB, had %llu", name, (unsigned long long)file_size(&c) / 1024,
	     (unsigned long long)c.images[0].extents[0].size / 1024);
	is_err(vdev_set(&nl, dev.id, 0, VDISK_F_RDONLY, &reply), 0, "%s: set RW", name);
	ok(readers_go_on(r) && readers_stop(r), "%s: no read was wrong", name);
	fd = vdev_open(&dev, O_RDWR | O_DIRECT);
	ok(put(fd, &s, 5 * MIB, 0x77), "%s: a write into a new block", name);
	close(fd);
	detach(&dev, name);
	check_files(&c, &s, name);
	chain_remove(&c);
	shadow_free(&s);
}

/* ------------------------------------------------- images that are not written */

static void hash_file(const struct chain *c, char hex[SHA256_HEX])
{
	if (!sha256_file(c->images[0].path, hex))
		bail("cannot hash %s", c->images[0].path);
}

static void set_entry(const char *path, u64 pos, u32 value)
{
	int fd = xopen(path, O_RDWR);

	if (!pwrite_all(fd, &value, 4, pos) || fsync(fd))
		bail("%s: %s", path, err_name(errno));
	close(fd);
}

/* Each kind of change fails, and nothing comes of it. */
static void try_changes(int fd, const struct shadow *s, const char *name)
{
	u8 *buf = xalloc(4096);

	errno = 0;
	ok(!pwrite_all(fd, buf, 4096, MIB) && errno == EIO, "%s: a write fails: %s", name,
	   err_name(errno));
	is_err(bdev_zeroout(fd, 2 * MIB, 64 * KIB), -EIO, "%s: zeroes", name);
	is_err(bdev_discard(fd, 2 * MIB, 64 * KIB), -EIO, "%s: a discard", name);
	ok(!pwrite_all(fd, buf, 4096, MIB), "%s: a write fails again", name);
	ok(shadow_equals(s, fd, 0, s->size, 0), "%s: all of it can be read", name);
	free(buf);
}

/* Attached for writing, and read: the modification UUID is what children must find. */
static void test_unwritten(const char *dir)
{
	struct chain c = chain_single(dir, "u", vdi_blocks(4 * MIB, 64 * KIB, VDI_HOLES, 60));
	char before[SHA256_HEX], after[SHA256_HEX];
	struct shadow s;
	struct vdev dev;
	int fd;

	chain_make(&c, 22);
	chain_load(&c, &s);
	hash_file(&c, before);
	fd = start(&c, 0, &dev);
	ok(shadow_equals(&s, fd, 0, s.size, 0) && !fsync(fd), "not written: read and flushed");
	close(fd);
	detach(&dev, "not written");
	ok(chain_renews(&c) && !chain_renewed(&c), "not written: the same modification UUID");
	hash_file(&c, after);
	is_str(after, before, "not written: no byte of the image has changed");
	chain_remove(&c);
	shadow_free(&s);
}

static void test_refused(struct chain *c, const char *name)
{
	char before[SHA256_HEX], after[SHA256_HEX];
	struct shadow s;
	struct vdev dev;
	int fd;

	chain_load(c, &s);
	hash_file(c, before);
	fd = start(c, 0, &dev);
	try_changes(fd, &s, name);
	close(fd);
	detach(&dev, name);
	hash_file(c, after);
	is_str(after, before, "%s: no byte of the image has changed", name);
	chain_remove(c);
	shadow_free(&s);
}

/* The map of an image as QEMU lays it out begins here; all of its blocks have slots. */
#define MAP	SECTOR

static void test_shared(const char *dir)
{
	struct chain c = chain_single(dir, "x", vdi_blocks(4 * MIB, 64 * KIB, 0, 100));
	const char *path;

	chain_make(&c, 20);
	path = c.images[0].path;
	set_entry(path, MAP + 4 * 40, entry(path, MAP + 4 * 7));
	test_refused(&c, "two blocks in one slot");
}

/* Dynamic: there is something to be done; fixed: data would be written in place. */
static void test_shared_fixed(const char *dir)
{
	struct chain c = chain_single(dir, "x", vdi_blocks(4 * MIB, 64 * KIB, VDI_FIXED, 100));

	chain_make(&c, 21);
	set_entry(c.images[0].path, MAP + 4 * 63, 0);
	test_refused(&c, "two blocks in one slot, fixed");
}

static void test_read_only(const char *dir, struct extent extent, const char *dio,
			   const char *name)
{
	struct chain c = chain_single(dir, "o", extent);
	char before[SHA256_HEX], after[SHA256_HEX];
	struct shadow s;
	struct vdev dev;
	int fd, ret;

	chain_make(&c, 30);
	chain_load(&c, &s);
	hash_file(&c, before);
	ret = chain_attach(&nl, &c, VDISK_F_NO_PARTSCAN, &dev, &reply);
	is_err(ret, -EROFS, "%s: cannot be attached for writing: %s", name, reply.text);
	if (!ret)
		vdev_detach(&nl, dev.id, VDISK_DETACH_FORCE, &reply);
	fd = start(&c, VDISK_F_RDONLY | VDISK_F_HARD_RDONLY, &dev);
	is_str(vdev_sysfs(&dev, "vdisk/dio"), dio, "%s: direct I/O of the file", name);
	ok(shadow_equals(&s, fd, 0, s.size, 0), "%s: reads what it should", name);
	close(fd);
	detach(&dev, name);
	hash_file(&c, after);
	is_str(after, before, "%s: no byte of the image has changed", name);
	chain_remove(&c);
	shadow_free(&s);
}

static void read_only_kinds(const char *ext4, const char *xfs)
{
	const u64 odd = 3 * MIB + 7 * SECTOR;

	test_read_only(xfs, vdi_blocks(odd, 64 * KIB, VDI_OLD, 60), "0", "version 0.2");
	test_read_only(ext4, vdi_blocks(odd, SECTOR, VDI_OLD, 60), "0", "version 0.2, small");
	/* 23 entries after 420 bytes of header: slot 0 is at a sector. */
	test_read_only(xfs, vdi_blocks(23 * 64 * KIB, 64 * KIB, VDI_OLD | VDI_HOLES, 60), "1",
		       "version 0.2, aligned by chance");
	test_read_only(xfs, vdi_blocks(odd, 8192, VDI_ODD | VDI_ZEROED, 60), "0", "odd data");
	test_read_only(ext4, vdi_blocks(odd, MIB, VDI_ODD | VDI_SHORT, 100), "0",
		       "odd data, last slot cut");
}

int main(void)
{
	const char *ext4, *xfs;

	chain_begin(&nl, &ext4, &xfs);
	test_shorter(ext4, VDI_VIRTUALBOX, "shorter");
	test_shorter(xfs, VDI_HOLES, "shorter, holes before");
	test_full(ext4);
	test_many(xfs);
	test_readers(ext4, 0, "readers");
	test_readers(xfs, VDISK_F_BUFFERED, "readers, buffered");
	test_unwritten(ext4);
	test_shared(ext4);
	test_shared_fixed(xfs);
	read_only_kinds(ext4, xfs);
	is_num(vdev_count(&nl), 0, "nothing is left attached");
	nl_close(&nl);
	return tap_done();
}
