// SPDX-License-Identifier: GPL-2.0-only
/* Open, read, write, scan and mount, while others may take the device away. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "uproar.h"

/* What a request that ends with the device may say; the list ends with 0. */
static const int dead_errors[] = { EIO, ENXIO, ENODEV, ENOSPC, ENODATA, 0 };
static const int readonly_errors[] = { EIO, EROFS, EPERM, EACCES, 0 };
static const int gone_errors[] = { ENOENT, ENXIO, ENODEV, 0 };

/* ------------------------------------------------------------- open and I/O */

static void close_device(int fd, u32 id, bool excl)
{
	close(fd);
	doing_end(id, DOING_OPEN);
	if (excl)
		doing_end(id, DOING_EXCL);
}

static bool may_not_open(const struct life *l, int flags, int err,
			 struct busy_mark excl)
{
	if (one_of(err, gone_errors))
		return life_may_end(l);
	if (err == EROFS || err == EACCES)
		return (flags & O_RDWR) && ((l->flags & VDISK_F_RDONLY) || life_may_end(l) ||
					    life_may_have(l, DOING_READONLY));
	return err == EBUSY && (flags & O_EXCL) && busy_since(l->id, DOING_EXCL, excl, 1);
}

/* Which life is it? The one that attached it may not have noted that yet. */
static bool find_life(struct worker *w, int fd, const struct life *l, struct life *got)
{
	u64 diskseq = 0;

	if (ioctl(fd, BLKGETDISKSEQ, &diskseq)) {
		crew_fault(&w->me, "BLKGETDISKSEQ: %s", err_name(errno));
		return false;
	}
	if (!wait_until(crew_stopped() || lives_find(diskseq, got), 10000) ||
	    got->diskseq != diskseq) {
		if (!crew_stopped())
			crew_fault(&w->me, "vdisk%u has diskseq %llu, that nobody has attached",
				   l->id, (unsigned long long)diskseq);
		return false;
	}
	/* A node's number may have become that of a partition, even of the next such disk. */
	if (got->id == l->id && bdev_size(fd) != TARGET_PART_LEN)
		return true;
	counts.strays++;
	if (got->id != l->id && !life_may_end(l))
		crew_fault(&w->me, "vdisk%u has the diskseq of vdisk%u", l->id, got->id);
	return false;
}

/* A descriptor and whose it is, or -1. To be closed by close_device(). */
static int open_device(struct worker *w, const struct life *l, int flags, struct life *got)
{
	struct busy_mark excl = busy_mark(l->id, DOING_EXCL);
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/dev/vdisk%u", l->id);
	doing_begin(l->id, DOING_OPEN);
	if (flags & O_EXCL)
		doing_begin(l->id, DOING_EXCL);
	fd = open(path, flags | O_CLOEXEC);
	if (fd < 0 && !may_not_open(l, flags, errno, excl))
		unexpected(w, l, errno);
	got->id = l->id;
	if (fd >= 0 && find_life(w, fd, l, got))
		return fd;
	close_device(fd, l->id, flags & O_EXCL);
	if (got->id != l->id)
		stray_open(got->id);
	return -1;
}

static void io_failed(struct worker *w, const struct life *l, int err, bool write)
{
	if (life_may_have(l, DOING_FORCE) && one_of(err, dead_errors))
		return;
	if (write && life_may_have(l, DOING_READONLY) && one_of(err, readonly_errors))
		return;
	unexpected(w, l, err);
}

static bool read_piece(struct worker *w, int fd, const struct life *l, u64 pos)
{
	ssize_t n = pread(fd, w->buf, PIECE, pos);

	counts.ios++;
	if (n == PIECE)
		return true;
	io_failed(w, l, n < 0 ? errno : ENODATA, false);
	return false;
}

static void check_disk(struct worker *w, int fd, const struct life *l)
{
	struct target *t = &targets[l->image];
	u32 place = rng_below(&w->rng, PLACE_BASE + (t->child ? 1 : 0));
	const char *wrong;

	if (!read_piece(w, fd, l, TARGET_PIECES + place * PIECE))
		return;
	if (place == w->me.nr)
		wrong = piece_wrong(w->buf, t->nr, place, &t->piece[place]);
	else
		wrong = piece_foreign(w->buf, place == PLACE_BASE ? IMAGES : t->nr, place);
	if (wrong)
		crew_fault(&w->me, "vdisk%u, diskseq %llu, image %u, %s: %s", l->id,
			   (unsigned long long)l->diskseq, t->nr, t->kind, wrong);
}

static void write_disk(struct worker *w, int fd, const struct life *l)
{
	struct piece *p = &targets[l->image].piece[w->me.nr];

	piece_fill(w->buf, l->image, w->me.nr, ++p->tried);
	counts.ios++;
	if (pwrite(fd, w->buf, PIECE, TARGET_PIECES + w->me.nr * PIECE) == PIECE)
		p->sure = p->tried;
	else
		io_failed(w, l, errno, true);
}

static void use_device(struct worker *w, int fd, const struct life *l, bool rw)
{
	check_disk(w, fd, l);
	if (rw && rng_below(&w->rng, 2))
		write_disk(w, fd, l);
	check_disk(w, fd, l);
}

void op_io(struct worker *w, struct target *t, const struct life *l)
{
	bool rw = rng_below(&w->rng, 3);
	struct life got;
	int fd = open_device(w, l, (rw ? O_RDWR : O_RDONLY) | O_DIRECT, &got);

	if (fd < 0)
		return;
	use_device(w, fd, &got, rw);
	close_device(fd, l->id, false);
}

/* Descriptors that outlive other operations, and the device perhaps. */
void op_hold(struct worker *w, struct target *t, const struct life *l)
{
	struct held *h = &w->held[rng_below(&w->rng, HELD)];
	bool rw = rng_below(&w->rng, 2);

	if (h->fd >= 0) {
		use_device(w, h->fd, &h->life, h->rw);
		close_device(h->fd, h->life.id, false);
	}
	h->rw = rw;
	h->fd = open_device(w, l, (rw ? O_RDWR : O_RDONLY) | O_DIRECT, &h->life);
}

void op_held(struct worker *w, struct target *t, const struct life *l)
{
	struct held *h = &w->held[rng_below(&w->rng, HELD)];

	if (h->fd < 0)
		return;
	use_device(w, h->fd, &h->life, h->rw);
	if (rng_below(&w->rng, 2))
		return;
	close_device(h->fd, h->life.id, false);
	h->fd = -1;
}

void op_excl(struct worker *w, struct target *t, const struct life *l)
{
	struct life got;
	int fd = open_device(w, l, O_RDONLY | O_EXCL, &got);

	if (fd < 0)
		return;
	/* Through the page cache: names only, for others write beside it. */
	if (read_piece(w, fd, &got, TARGET_PIECES + PLACE_FIXED * PIECE) &&
	    piece_foreign(w->buf, got.image, PLACE_FIXED))
		crew_fault(&w->me, "image %u, cached: %s", got.image,
			   piece_foreign(w->buf, got.image, PLACE_FIXED));
	close_device(fd, l->id, true);
}

/* Like whoever looks at each new disk, until it is gone. */
void op_burst(struct worker *w, struct target *t, const struct life *l)
{
	unsigned int i;
	struct life got;
	int fd;

	for (i = 0; i < 16; i++) {
		fd = open_device(w, l, O_RDONLY, &got);
		if (fd < 0)
			return;
		close_device(fd, l->id, false);
	}
}

/* -------------------------------------------------------------- partitions */

static bool may_not_scan(const struct life *l, int err, struct busy_mark excl)
{
	if (err == EBUSY)
		return busy_since(l->id, DOING_EXCL, excl, 0);
	if (err == EINVAL)
		return l->flags & VDISK_F_NO_PARTSCAN;
	return life_may_have(l, DOING_FORCE) && (one_of(err, dead_errors) || err == ENOMEDIUM);
}

void op_scan(struct worker *w, struct target *t, const struct life *l)
{
	struct life got;
	int fd = open_device(w, l, O_RDONLY, &got);
	struct busy_mark excl;

	if (fd < 0)
		return;
	excl = busy_mark(l->id, DOING_EXCL);
	doing_begin(l->id, DOING_SCAN);
	if (ioctl(fd, BLKRRPART) && !may_not_scan(&got, errno, excl))
		unexpected(w, &got, errno);
	doing_end(l->id, DOING_SCAN);
	close_device(fd, l->id, false);
}

/* ------------------------------------------------------------- file systems */

static void fs_failed(struct worker *w, const struct life *l, const char *what, int err)
{
	if (life_may_have(l, DOING_FORCE) || life_may_have(l, DOING_READONLY))
		return;
	crew_fault(&w->me, "image %u, %s on its file system: %s", l->image, what, err_name(err));
}

static void write_file(struct worker *w, int fd, const struct life *l)
{
	struct piece *p = &targets[l->image].file[w->me.nr];

	piece_fill(w->buf, l->image, PLACE_FILE + w->me.nr, ++p->tried);
	if (pwrite(fd, w->buf, PIECE, 0) != PIECE || fsync(fd))
		fs_failed(w, l, "write", errno);
	else
		p->sure = p->tried;
}

/* What was once synced is there, whatever has happened to the device since. */
static void use_file(struct worker *w, const struct life *l, bool rw)
{
	struct piece *p = &targets[l->image].file[w->me.nr];
	const char *wrong = NULL;
	char path[128];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/t%u", w->mnt, w->me.nr);
	fd = open(path, (rw ? O_RDWR | O_CREAT : O_RDONLY) | O_CLOEXEC, 0600);
	if (fd < 0) {
		if (p->sure || rw)
			fs_failed(w, l, "open", errno);
		return;
	}
	n = pread(fd, w->buf, PIECE, 0);
	if (n < 0 || (p->sure && n != PIECE))
		fs_failed(w, l, "read", n < 0 ? errno : ENODATA);
	else if (p->sure)
		wrong = piece_wrong(w->buf, l->image, PLACE_FILE + w->me.nr, p);
	if (wrong)
		crew_fault(&w->me, "image %u, its file system: %s", l->image, wrong);
	if (rw)
		write_file(w, fd, l);
	close(fd);
}

/* The one that is mounted now is not the one that was meant. */
static void stray_mount(struct worker *w, const struct life *l, const char *wrong)
{
	u32 image = piece_image(w->buf);
	struct life other;

	if (image < nr_targets && target_life(&targets[image], &other))
		stray_open(other.id);
	counts.strays++;
	if (!life_may_have(l, DOING_FORCE) && !life_may_have(l, DOING_SCAN))
		crew_fault(&w->me, "vdisk%up1 of image %u: %s", l->id, l->image, wrong);
}

/* Whose file system it is, a file in it tells. */
static bool is_its_own(struct worker *w, const struct life *l)
{
	const char *wrong = "cannot be read";
	char path[128];
	ssize_t n = -1;
	int fd;

	memset(w->buf, 0, PIECE);
	snprintf(path, sizeof(path), "%s/which", w->mnt);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		n = pread(fd, w->buf, PIECE, 0);
	close(fd);
	if (n == PIECE)
		wrong = piece_foreign(w->buf, l->image, PLACE_WHICH);
	if (wrong)
		stray_mount(w, l, wrong);
	return !wrong;
}

static bool may_not_mount(const struct life *l, int err, struct busy_mark excl, u32 scans)
{
	bool scanned = doing_since(l->id, DOING_SCAN, scans, 0);

	if (err == EBUSY)
		return busy_since(l->id, DOING_EXCL, excl, 1) || scanned;
	if (one_of(err, gone_errors))
		return life_may_have(l, DOING_FORCE) || scanned;
	/* Read-only with a journal to replay, or simply read-only. */
	if (err == EACCES || err == EROFS)
		return (l->flags & VDISK_F_RDONLY) || life_may_have(l, DOING_READONLY) ||
		       life_may_have(l, DOING_FORCE);
	return life_may_have(l, DOING_FORCE) || life_may_have(l, DOING_READONLY);
}

/* The whole disk is open meanwhile, so only force can end it. */
static void mount_partition(struct worker *w, const struct life *l, bool rw)
{
	struct busy_mark excl = busy_mark(l->id, DOING_EXCL);
	u32 scans = doing_mark(l->id, DOING_SCAN);
	char node[32];

	snprintf(node, sizeof(node), "/dev/vdisk%up1", l->id);
	doing_begin(l->id, DOING_EXCL);
	if (mount(node, w->mnt, "ext4", rw ? 0 : MS_RDONLY, NULL)) {
		if (!may_not_mount(l, errno, excl, scans))
			unexpected(w, l, errno);
	} else {
		counts.mounts++;
		if (is_its_own(w, l))
			use_file(w, l, rw);
		if (umount(w->mnt))
			crew_fault(&w->me, "umount: %s", err_name(errno));
	}
	doing_end(l->id, DOING_EXCL);
}

void op_mount(struct worker *w, struct target *t, const struct life *l)
{
	bool rw = rng_below(&w->rng, 3);
	struct life got;
	int fd = open_device(w, l, O_RDONLY, &got);

	if (fd < 0)
		return;
	if (targets[got.image].fs && !(got.flags & VDISK_F_NO_PARTSCAN))
		mount_partition(w, &got, rw);
	close_device(fd, l->id, false);
}

void drop_held(struct worker *w)
{
	struct held *h;

	for (h = w->held; h < w->held + HELD; h++) {
		if (h->fd >= 0)
			close_device(h->fd, h->life.id, false);
		h->fd = -1;
	}
}
