// SPDX-License-Identifier: GPL-2.0-only
/* The images of test-storm: of four kinds, in three places, half with a file system. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "uproar.h"

struct target targets[IMAGES];
u32 nr_targets;

bool target_life(struct target *t, struct life *l)
{
	bool attached;

	pthread_mutex_lock(&t->lock);
	attached = t->attached;
	*l = t->life;
	pthread_mutex_unlock(&t->lock);
	return attached;
}

/* Once for each life, that is a cycle. */
void target_bury(const struct life *l)
{
	struct target *t = &targets[l->image];

	lives_death(l);
	pthread_mutex_lock(&t->lock);
	if (t->attached && t->life.diskseq == l->diskseq) {
		t->attached = false;
		counts.cycles++;
	}
	pthread_mutex_unlock(&t->lock);
}

int target_lock(int fd, bool rw)
{
	struct flock lock = { .l_type = rw ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET,
			      .l_start = 200, .l_len = 1 };

	return fcntl(fd, F_OFD_SETLK, &lock) ? -errno : 0;
}

/* ------------------------------------------------------------------- making */

static struct extent extent_of(u32 i)
{
	struct extent e;

	switch (i % 4) {
	case 0:
		e = raw_file(TARGET_SIZE);
		break;
	case 1:
		e = vmdk_sparse(TARGET_SIZE, 64 * KIB, i & 4 ? VMDK_RGD : 0, 0);
		break;
	case 2:
		e = vdi_blocks(TARGET_SIZE, i & 4 ? MIB : 64 * KIB, 0, 0);
		break;
	default:
		e = vmdk_sparse(TARGET_SIZE, i & 4 ? 4096 : 64 * KIB, 0, 0);
	}
	e.used = 0;
	return e;
}

static void make_target(u32 i, const char *const *places)
{
	static const char *const kinds[] = { "raw", "VMDK", "VDI", "VMDK over a base" };
	static char names[IMAGES][16];
	struct target *t = &targets[i];

	snprintf(names[i], sizeof(names[0]), "s%u", i);
	t->nr = i;
	t->kind = kinds[i % 4];
	t->child = i % 4 == 3;
	t->fs = i / 4 % 2;
	pthread_mutex_init(&t->attaching, NULL);
	pthread_mutex_init(&t->lock, NULL);
	/* A base is one file for all that are over it. */
	t->chain = chain_single(places[t->child ? 0 : i / 8 % 3], names[i], extent_of(i));
	if (t->child)
		chain_add_parent(&t->chain, "base", extent_of(0));
	chain_make(&t->chain, t->child ? 1 : i + 2);
}

static void fill_base(void)
{
	u8 *buf = xalloc(PIECE);
	int fd = xopen(targets[3].chain.images[1].path, O_RDWR);

	piece_fill(buf, IMAGES, PLACE_BASE, 1);
	if (!pwrite_all(fd, buf, PIECE, TARGET_PIECES + PLACE_BASE * PIECE))
		bail("cannot write the base");
	close(fd);
	free(buf);
}

static u8 *make_filesystem(void)
{
	char *path = strdup(path_in(scratch_dir(), "template"));
	u8 *fs = xalloc(TARGET_PART_LEN);
	struct run r;
	int fd;

	close(make_file(path, TARGET_PART_LEN));
	if (run(&r, "mkfs.ext4", "-q", "-F", "-b", "1024", "-J", "size=1", "-O", "^resize_inode",
		"-E", "lazy_itable_init=0,lazy_journal_init=0", path, NULL))
		bail("mkfs.ext4: %s", r.err);
	fd = xopen(path, O_RDONLY);
	if (!pread_all(fd, fs, TARGET_PART_LEN, 0))
		bail("cannot read %s", path);
	close(fd);
	unlink(path);
	free(path);
	return fs;
}

/* One partition, at 1 MiB. */
static void put_table(int fd, u8 *buf)
{
	static const u8 entry[16] = {
		0, 0, 2, 0, 0x83, 0, 2, 0,
		TARGET_PART / SECTOR & 0xff, TARGET_PART / SECTOR >> 8, 0, 0,
		TARGET_PART_LEN / SECTOR & 0xff, TARGET_PART_LEN / SECTOR >> 8, 0, 0,
	};

	memset(buf, 0, PIECE);
	memcpy(buf + 446, entry, sizeof(entry));
	buf[510] = 0x55;
	buf[511] = 0xaa;
	if (!pwrite_all(fd, buf, SECTOR, 0))
		bail("cannot write a partition table");
}

static void put_filesystem(int fd, const u8 *fs)
{
	static const u8 zero[PIECE];
	u64 pos;

	for (pos = 0; pos < TARGET_PART_LEN; pos += PIECE) {
		if (memcmp(fs + pos, zero, PIECE) &&
		    !pwrite_all(fd, fs + pos, PIECE, TARGET_PART + pos))
			bail("cannot write a file system");
	}
}

/* The file system's own name, and the first content of each piece. */
static void put_which(const struct vdev *dev, struct target *t, const char *mnt, u8 *buf)
{
	char node[48];
	int fd;

	snprintf(node, sizeof(node), "%sp1", dev->path);
	if (mount(node, mnt, "ext4", 0, NULL))
		bail("mount %s: %s", node, err_name(errno));
	fd = xopen(path_in(mnt, "which"), O_RDWR | O_CREAT);
	piece_fill(buf, t->nr, PLACE_WHICH, 1);
	if (!pwrite_all(fd, buf, PIECE, 0) || fsync(fd))
		bail("cannot write to %s", node);
	close(fd);
	umount(mnt);
}

static void fill_target(struct nl *nl, struct target *t, const char *mnt, const u8 *fs)
{
	struct nl_reply *reply = xalloc(sizeof(*reply));
	u8 *buf = xalloc(PIECE);
	struct vdev dev;
	u32 place;
	int fd;

	chain_must_attach(nl, &t->chain, 0, &dev, reply);
	fd = vdev_open(&dev, O_RDWR);
	put_table(fd, buf);
	for (place = 0; place <= PLACE_FIXED; place++) {
		piece_fill(buf, t->nr, place, 1);
		if (!pwrite_all(fd, buf, PIECE, TARGET_PIECES + place * PIECE))
			bail("cannot write to %s", dev.path);
	}
	for (place = 0; place < THREADS; place++)
		t->piece[place] = (struct piece) { .sure = 1, .tried = 1 };
	if (t->fs)
		put_filesystem(fd, fs);
	if (fsync(fd) || ioctl(fd, BLKRRPART))
		bail("%s: %s", dev.path, err_name(errno));
	close(fd);
	if (t->fs)
		put_which(&dev, t, mnt, buf);
	if (vdev_detach(nl, dev.id, VDISK_DETACH_PLAIN, reply))
		bail("%s: %s", dev.path, reply->text);
	free(reply);
	free(buf);
}

void targets_make(struct nl *nl, u32 nr, const char *mnt)
{
	const char *places[] = { scratch_dir(), place_ext4(), place_xfs() };
	u8 *fs = make_filesystem();
	u32 i;

	for (i = 1; i < ARRAY_SIZE(places); i++)
		places[i] = places[i] ?: places[0];
	nr_targets = nr;
	for (i = 0; i < nr; i++)
		make_target(i, places);
	fill_base();
	for (i = 0; i < nr; i++)
		fill_target(nl, &targets[i], mnt, fs);
	free(fs);
}

void targets_remove(void)
{
	u32 i;

	for (i = 0; i < nr_targets; i++)
		chain_remove(&targets[i].chain);
}

/* -------------------------------------------------------------- afterwards */

unsigned int targets_sound(void)
{
	unsigned int i, good = 0;
	struct target *t;
	u8 *buf = xalloc(PIECE);
	int fd;
	u32 p;

	for (i = 0; i < nr_targets; i++) {
		const char *wrong = NULL;

		t = &targets[i];
		fd = open(t->chain.images[0].path, O_RDWR | O_CLOEXEC);
		if (fd < 0 || target_lock(fd, true))
			wrong = err_name(errno);
		close(fd);
		for (p = 0; p < THREADS && !wrong; p++) {
			if (!chain_read(&t->chain, TARGET_PIECES + p * PIECE, buf, PIECE))
				wrong = "cannot be read";
			else
				wrong = piece_wrong(buf, t->nr, p, &t->piece[p]);
		}
		if (!wrong && !chain_sound(&t->chain, CHAIN_MAY_LEAK))
			wrong = "is not sound";
		if (wrong)
			diag("image %u, %s: %s", t->nr, t->kind, wrong);
		good += !wrong;
	}
	free(buf);
	return good;
}
