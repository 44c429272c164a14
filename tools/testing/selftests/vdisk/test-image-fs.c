// SPDX-License-Identifier: GPL-2.0-only
/*
 * File systems in a fresh image that QEMU made: a tree with known hashes is
 * there after detach and attach, fsck has no complaint, and what is deleted and
 * trimmed gives its space back.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blk.h"
#include "chain.h"
#include "sha256.h"
#include "shadow.h"
#include "tap.h"

#define DISK		(64 * MIB)
#define BULK		(16 * MIB)	/* of the file that is deleted again */
#define NR_FILES	40

static struct nl nl;
static struct nl_reply reply;
static struct run r;

/**
 * struct fs - a file system and its tools
 * @mkfs, @fsck: the device's node is appended
 */
struct fs {
	const char *type;
	const char *mkfs[12];
	const char *fsck[6];
};

static const struct fs filesystems[] = {
	{ "ext4", { "mkfs.ext4", "-q", "-F", NULL }, { "e2fsck", "-f", "-n", NULL } },
	/* The tool refuses what it calls too small; the kernel does not. */
	{ "xfs", { "mkfs.xfs", "-q", "-f", "--unsupported", "-l", "size=8m", NULL },
	  { "xfs_repair", "-n", NULL } },
	{ "vfat", { "mkfs.vfat", NULL }, { "fsck.vfat", "-n", NULL } },
};

static bool run_on(const char *const *words, const char *node)
{
	const char *argv[16];
	unsigned int n;

	for (n = 0; words[n]; n++)
		argv[n] = words[n];
	argv[n++] = node;
	argv[n] = NULL;
	if (!run_argv(&r, argv))
		return true;
	diag("%s: status %d: %s%s", words[0], r.status, r.out, r.err);
	return false;
}

/* -------------------------------------------------------------------- trees */

struct tree {
	char root[64];
	char hex[NR_FILES][SHA256_HEX];
	u64 size[NR_FILES];
};

static void file_path(const struct tree *t, unsigned int i, char *path, size_t len)
{
	snprintf(path, len, "%s/dir-%u/sub-%u/file-%u", t->root, i % 3, i % 7 % 2, i);
}

static void make_dirs(const struct tree *t)
{
	char path[160];
	unsigned int i, k;

	for (i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/dir-%u", t->root, i);
		mkdir(path, 0755);
		for (k = 0; k < 2; k++) {
			snprintf(path, sizeof(path), "%s/dir-%u/sub-%u", t->root, i, k);
			mkdir(path, 0755);
		}
	}
}

/* Sizes from nothing to 300 KiB; the hash is of what was meant to be written. */
static bool write_tree(struct tree *t, u64 seed)
{
	u8 *buf = xalloc(300 * KIB);
	struct sha256 ctx;
	bool good = true;
	char path[160];
	struct rng rng;
	unsigned int i;
	int fd;

	rng_seed(&rng, seed);
	make_dirs(t);
	for (i = 0; good && i < NR_FILES; i++) {
		t->size[i] = i ? rng_below(&rng, i % 4 ? 40 * KIB : 300 * KIB) : 0;
		rng_fill(&rng, buf, t->size[i]);
		sha256_init(&ctx);
		sha256_update(&ctx, buf, t->size[i]);
		sha256_final(&ctx, t->hex[i]);
		file_path(t, i, path, sizeof(path));
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
		good = fd >= 0 && pwrite_all(fd, buf, t->size[i], 0);
		close(fd);
	}
	if (!good)
		diag("%s: %s", path, err_name(errno));
	free(buf);
	return good;
}

static bool same_tree(const struct tree *t)
{
	char path[160], hex[SHA256_HEX];
	unsigned int i;

	for (i = 0; i < NR_FILES; i++) {
		file_path(t, i, path, sizeof(path));
		if (!sha256_file(path, hex) || strcmp(hex, t->hex[i])) {
			diag("%s has not its hash", path);
			return false;
		}
	}
	return true;
}

/* A large file, so that there is something to be trimmed later. */
static bool write_bulk(const struct tree *t)
{
	const char *path = path_in(t->root, "bulk");
	u8 *buf = xalloc(MIB);
	bool good = true;
	struct rng rng;
	u64 pos;
	int fd;

	rng_seed(&rng, 99);
	rng_fill(&rng, buf, MIB);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	for (pos = 0; good && pos < BULK; pos += MIB)
		good = pwrite_all(fd, buf, MIB, pos);
	close(fd);
	free(buf);
	return good;
}

/* ----------------------------------------------------------------- sessions */

static bool start(struct chain *c, u32 flags, struct vdev *dev, const char *name)
{
	int ret = chain_attach(&nl, c, flags | VDISK_F_NO_PARTSCAN, dev, &reply);

	if (!is_err(ret, 0, "%s: attach", name))
		diag("%s", reply.text);
	return !ret;
}

static bool mount_it(const struct vdev *dev, const struct fs *fs, const struct tree *t,
		     unsigned long flags)
{
	mkdir(t->root, 0755);
	return ok(!mount(dev->path, t->root, fs->type, flags, NULL), "%s: mount", fs->type);
}

static void stop(struct chain *c, const struct vdev *dev, const struct fs *fs)
{
	ok(run_on(fs->fsck, dev->path), "%s: %s has no complaint", fs->type, fs->fsck[0]);
	if (!is_err(vdev_detach(&nl, dev->id, VDISK_DETACH_PLAIN, &reply), 0, "%s: detach",
		    fs->type))
		diag("%s", reply.text);
	ok(chain_sound(c, 0), "%s: the image is sound and clean", fs->type);
	is_num(chain_qemu_check(c), 0, "%s: qemu-img check", fs->type);
}

static u64 blocks_of(const struct chain *c)
{
	struct stat st;

	return stat(c->images[0].path, &st) ? 0 : st.st_blocks;
}

static void first_session(struct chain *c, const struct fs *fs, struct tree *t)
{
	struct vdev dev;

	if (!start(c, 0, &dev, fs->type))
		return;
	ok(run_on(fs->mkfs, dev.path), "%s: %s", fs->type, fs->mkfs[0]);
	if (mount_it(&dev, fs, t, 0)) {
		ok(write_tree(t, 5) && write_bulk(t), "%s: files are written", fs->type);
		is_err(umount(t->root) ? -errno : 0, 0, "%s: umount", fs->type);
	}
	stop(c, &dev, fs);
}

/* What was deleted is free for good only after a new mount: XFS takes its time. */
static void delete_and_trim(const struct vdev *dev, const struct fs *fs, struct tree *t)
{
	struct fstrim_range range = { .len = ~0ULL };
	int fd;

	unlink(path_in(t->root, "bulk"));
	is_err(umount(t->root) ? -errno : 0, 0, "%s: umount", fs->type);
	if (!mount_it(dev, fs, t, 0))
		return;
	fd = open(t->root, O_RDONLY | O_CLOEXEC);
	is_err(ioctl(fd, FITRIM, &range) ? -errno : 0, 0, "%s: fstrim", fs->type);
	close(fd);
	is_err(umount(t->root) ? -errno : 0, 0, "%s: umount", fs->type);
}

/* The rest of the tree is as it was. */
static void second_session(struct chain *c, const struct fs *fs, struct tree *t)
{
	const struct extent *e = &c->images[0].extents[0];
	u64 before = blocks_of(c), units = extent_units(e);
	struct vdev dev;

	if (!start(c, 0, &dev, fs->type))
		return;
	if (mount_it(&dev, fs, t, 0)) {
		ok(same_tree(t), "%s: all hashes are right", fs->type);
		delete_and_trim(&dev, fs, t);
	}
	stop(c, &dev, fs);
	diag("%s: %llu KiB in the file, then %llu", fs->type, (unsigned long long)before / 2,
	     (unsigned long long)blocks_of(c) / 2);
	ok(extent_units(e) + BULK * 3 / 4 / e->unit < units,
	   "%s: most of the deleted file's units are free", fs->type);
	ok(blocks_of(c) + BULK * 3 / 4 / 512 < before, "%s: and their space is, too", fs->type);
}

static void last_session(struct chain *c, const struct fs *fs, struct tree *t)
{
	struct vdev dev;

	if (!start(c, VDISK_F_RDONLY | VDISK_F_HARD_RDONLY, &dev, fs->type))
		return;
	if (mount_it(&dev, fs, t, MS_RDONLY)) {
		ok(same_tree(t), "%s: attached read-only, all hashes are right", fs->type);
		umount(t->root);
	}
	vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply);
}

static void run_fs(const struct fs *fs, const char *dir, const char *format, struct extent e)
{
	struct chain c = chain_single(dir, fs->type, e);
	struct tree t;

	diag("%s on %s", fs->type, format);
	chain_name(&c);
	snprintf(t.root, sizeof(t.root), "%s/mnt", scratch_dir());
	run(&r, "qemu-img", "create", "-q", "-f", format, c.images[0].path, "64M", NULL);
	if (!is_num(r.status, 0, "%s on %s: qemu-img create", fs->type, format))
		return;
	first_session(&c, fs, &t);
	second_session(&c, fs, &t);
	last_session(&c, fs, &t);
	chain_remove(&c);
	rmdir(t.root);
}

int main(void)
{
	const char *ext4, *xfs;
	size_t i;

	chain_begin(&nl, &ext4, &xfs);
	for (i = 0; i < ARRAY_SIZE(filesystems); i++)
		run_fs(&filesystems[i], i % 2 ? ext4 : xfs, "vmdk",
		       vmdk_sparse(DISK, 64 * KIB, VMDK_RGD, 0));
	for (i = 0; i < ARRAY_SIZE(filesystems); i += brief_run() ? 2 : 1)
		run_fs(&filesystems[i], i % 2 ? xfs : ext4, "vdi", vdi_blocks(DISK, MIB, 0, 0));
	is_num(vdev_count(&nl), 0, "nothing is left attached");
	vdev_detach_all(&nl);
	nl_close(&nl);
	return tap_done();
}
