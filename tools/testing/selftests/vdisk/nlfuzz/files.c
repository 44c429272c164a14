// SPDX-License-Identifier: GPL-2.0-only
/* Images to attach, and what they were before. */
#include <errno.h>
#include <fcntl.h>
#include <linux/vdisk.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../chain.h"
#include "../sha256.h"
#include "../tap.h"
#include "pool.h"

#define DISK		(256 * KIB)
#define READ_ONLY	(VDISK_F_RDONLY | VDISK_F_HARD_RDONLY | VDISK_F_NO_PARTSCAN)
#define WRITABLE	VDISK_F_NO_PARTSCAN

/* A file as it was made: @content, or for one that nobody writes its hash only. */
struct kept {
	char path[160];
	u64 size;
	u8 *content;
	char hash[SHA256_HEX];
};

static struct fz_target targets[32];
static unsigned int nr_targets;
static struct kept kept[64];
static unsigned int nr_kept;
static struct chain chains[32];
static unsigned int nr_chains;

const struct fz_target *files_target(unsigned int n)
{
	return &targets[n];
}

unsigned int files_targets(void)
{
	return nr_targets;
}

/* ------------------------------------------------------------------- images */

static void keep(const char *path, bool writable)
{
	struct kept *k = &kept[nr_kept++];
	int fd = xopen(path, O_RDONLY);
	struct stat st;

	if (nr_kept == ARRAY_SIZE(kept) || fstat(fd, &st))
		bail("cannot keep %s", path);
	snprintf(k->path, sizeof(k->path), "%s", path);
	k->size = st.st_size;
	if (!sha256_file(path, k->hash))
		bail("cannot read %s", path);
	if (writable) {
		k->content = xalloc(k->size);
		if (!pread_all(fd, k->content, k->size, 0))
			bail("cannot read %s", path);
	}
	close(fd);
}

static struct fz_target *new_target(const char *name, bool writable)
{
	struct fz_target *t = &targets[nr_targets++];

	if (nr_targets == ARRAY_SIZE(targets))
		bail("too many images");
	snprintf(t->name, sizeof(t->name), "%s", name);
	t->writable = writable;
	return t;
}

static void add_chain(struct chain *c, bool writable)
{
	struct fz_target *t = new_target(c->images[0].name, writable);
	int fds[CHAIN_MAX_IMAGES * CHAIN_MAX_EXTENTS];
	unsigned int i, e, nr;

	chain_make(c, nr_targets);
	for (i = 0; i < c->nr; i++)
		for (e = 0; e < c->images[i].nr; e++)
			keep(c->images[i].extents[e].path, writable && !i);
	nr = chain_request(&t->req, c, writable ? WRITABLE : READ_ONLY, fds);
	for (i = 0; i < nr; i++)
		pool_add(c->images[0].name, fds[i]);
	chains[nr_chains++] = *c;
}

static void add_single(const char *dir, const char *name, struct extent extent, bool writable)
{
	struct chain c = chain_single(dir, name, extent);

	add_chain(&c, writable);
}

static void add_delta(const char *dir, const char *name, struct extent top, const char *below,
		      struct extent base, bool writable)
{
	struct chain c = chain_single(dir, name, top);

	chain_add_parent(&c, below, base);
	add_chain(&c, writable);
}

/* One file, whatever it is, as a raw image of @size bytes. */
static void add_plain(const char *name, int fd, u64 size, bool writable)
{
	struct fz_target *t = new_target(name, writable);

	nl_begin(&t->req, VDISK_CMD_ATTACH);
	attach_flags(&t->req, writable ? WRITABLE : READ_ONLY);
	attach_member(&t->req, fd, writable ? VDISK_MEMBER_RW : 0);
	attach_image(&t->req, VDISK_FORMAT_RAW, size);
	attach_segment(&t->req, VDISK_SEG_RAW, 0, 0, size, 0);
	pool_add(name, fd);
}

/* Segments with a file and without, in one image. */
static void add_pieces(const char *dir)
{
	int fd = make_random_file(path_in(dir, "pieces"), DISK, 3);
	struct fz_target *t = new_target("pieces", true);
	const u64 q = DISK / 4;

	nl_begin(&t->req, VDISK_CMD_ATTACH);
	attach_flags(&t->req, WRITABLE | VDISK_F_RDONLY);
	attach_member(&t->req, fd, VDISK_MEMBER_RW);
	attach_image(&t->req, VDISK_FORMAT_RAW, DISK);
	attach_segment(&t->req, VDISK_SEG_RAW, 0, 0, q, q);
	attach_segment(&t->req, VDISK_SEG_RAW, 0, q, 2 * q, 2 * q);
	attach_segment(&t->req, VDISK_SEG_RAW, 0, 3 * q, q, 0);
	pool_add("pieces", fd);
	keep(path_in(dir, "pieces"), true);
}

static void add_formats(const char *dir, const char *ext4)
{
	add_single(dir, "raw-ro", raw_file(DISK), false);
	add_single(dir, "raw-rw", raw_file(DISK), true);
	add_single(ext4, "raw-rw-ext4", raw_file(DISK), true);
	add_single(dir, "sparse-ro", vmdk_sparse(DISK, 4096, VMDK_RGD, 40), false);
	add_single(dir, "sparse-rw", vmdk_sparse(DISK, 4096, VMDK_RGD, 40), true);
	add_single(ext4, "sparse-rw-ext4", vmdk_sparse(DISK, 4096, 0, 40), true);
	add_single(dir, "cowd-ro", vmdk_cowd(DISK, 4096, 40), false);
	add_single(dir, "cowd-rw", vmdk_cowd(DISK, 4096, 40), true);
	add_single(dir, "vdi-ro", vdi_blocks(DISK, 4096, 0, 40), false);
	add_single(dir, "vdi-rw", vdi_blocks(DISK, 4096, 0, 40), true);
	add_single(ext4, "vdi-rw-ext4", vdi_blocks(DISK, 4096, VDI_VIRTUALBOX, 40), true);
	add_delta(dir, "vmdk-on-flat", vmdk_sparse(DISK, 4096, 0, 20), "flat", vmdk_flat(DISK),
		  true);
	add_delta(dir, "vdi-on-raw", vdi_blocks(DISK, 4096, 0, 20), "base", raw_file(DISK), true);
	add_delta(dir, "vmdk-on-vdi", vmdk_sparse(DISK, 4096, 0, 20), "base-vdi",
		  vdi_blocks(DISK, 4096, 0, 40), false);
}

void files_make(void)
{
	const char *dir = scratch_dir(), *ext4 = place_ext4(), *fuse;

	if (!ext4 || !place_bdev())
		bail("VDT_EXT4 and VDT_BDEV are not set");
	fuse = pool_fuse();
	add_formats(dir, ext4);
	add_pieces(dir);
	pool_make();
	add_plain("bdev-rw", xopen(place_bdev(), O_RDWR | O_EXCL), MIB, true);
	add_plain("fuse-rw", xopen(fuse, O_RDWR), DISK, true);
}

/* --------------------------------------------------------------- afterwards */

static void refresh(const struct kept *k)
{
	int fd = xopen(k->path, O_RDWR);
	u8 *now = xalloc(k->size);

	if (!pread_all(fd, now, k->size, 0) || memcmp(now, k->content, k->size)) {
		if (!pwrite_all(fd, k->content, k->size, 0))
			bail("cannot write %s: %s", k->path, err_name(errno));
	}
	if (ftruncate(fd, k->size))
		bail("cannot cut %s: %s", k->path, err_name(errno));
	free(now);
	close(fd);
}

void files_refresh(void)
{
	unsigned int i;

	for (i = 0; i < nr_kept; i++)
		if (kept[i].content)
			refresh(&kept[i]);
}

bool files_intact(void)
{
	char hash[SHA256_HEX];
	bool good = true;
	struct stat st;
	unsigned int i;

	for (i = 0; i < nr_kept; i++) {
		if (kept[i].content)
			continue;
		if (!sha256_file(kept[i].path, hash) || strcmp(hash, kept[i].hash) ||
		    stat(kept[i].path, &st) || (u64)st.st_size != kept[i].size) {
			diag("%s has changed", kept[i].path);
			good = false;
		}
	}
	return good;
}

void files_end(void)
{
	unsigned int i;

	pool_end();
	for (i = 0; i < nr_targets; i++)
		nl_end(&targets[i].req);
	for (i = 0; i < nr_chains; i++)
		chain_remove(&chains[i]);
	for (i = 0; i < nr_kept; i++)
		free(kept[i].content);
}
