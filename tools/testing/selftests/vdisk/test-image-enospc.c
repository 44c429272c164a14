// SPDX-License-Identifier: GPL-2.0-only
/*
 * The file system below an image fills up, at every point where that can happen:
 * when the file grows, when a table gets its place, when an entry goes into a
 * hole. The writer hears ENOSPC, what has a place goes on, nothing is lost, and
 * when there is space again all goes on.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "blk.h"
#include "chain.h"
#include "shadow.h"
#include "tap.h"

#define DISK		(6 * MIB + SECTOR)
#define MAX_GOOD	320		/* writes until somebody gives up */
#define MAX_FAILED	5

static struct nl nl;
static struct nl_reply reply;

/* ------------------------------------------------------------------- places */

/* A small file system; @filler is a file that leaves as much space as wanted. */
struct place {
	const char *name;
	const char *dir;
	char filler[128];	/* "" on tmpfs, whose size can be set */
};

static void tmpfs_leave(const struct place *p, u64 bytes)
{
	struct statvfs st;
	char text[64];
	u64 used;

	if (statvfs(p->dir, &st))
		bail("statvfs: %s", err_name(errno));
	used = (u64)(st.f_blocks - st.f_bfree) * st.f_frsize;
	snprintf(text, sizeof(text), "size=%lluk", (unsigned long long)(used + bytes) / 1024);
	if (mount("vdt", p->dir, "tmpfs", MS_REMOUNT, text))
		bail("remount tmpfs: %s", err_name(errno));
}

/*
 * Leave about @bytes free: take everything, and give some of it back. What a
 * file system calls free is more than anybody gets.
 */
static void leave(const struct place *p, u64 bytes)
{
	struct stat st;
	int fd;

	if (!p->filler[0]) {
		tmpfs_leave(p, bytes);
		return;
	}
	unlink(p->filler);
	sync();
	fd = xopen(p->filler, O_RDWR | O_CREAT);
	if (posix_fallocate(fd, 0, 64 * MIB) != ENOSPC || fstat(fd, &st) || !st.st_size)
		bail("cannot fill %s", p->dir);
	if (ftruncate(fd, (u64)st.st_size > bytes ? st.st_size - bytes : 0))
		bail("truncate: %s", err_name(errno));
	fsync(fd);
	close(fd);
}

/* ------------------------------------------------------------------- writer */

/**
 * struct writer - random direct writes until they fail
 * @pos, @len: of those that succeeded
 * @wrong: a failure that is not ENOSPC, or content that is neither old nor new
 */
struct writer {
	int fd;
	struct shadow *s;
	struct rng rng;
	u64 max;
	u64 pos[MAX_GOOD];
	u64 len[MAX_GOOD];
	unsigned int good;
	unsigned int failed;
	unsigned int flushes;
	char wrong[160];
};

static void complain(struct writer *w, const char *what, u64 pos, int err)
{
	if (!w->wrong[0])
		snprintf(w->wrong, sizeof(w->wrong), "%s at %llu: %s", what,
			 (unsigned long long)pos, err_name(err));
}

/* A request that failed has done some of its work: each sector is old or new. */
static void look_at_failed(struct writer *w, const u8 *new, u64 pos, u64 len)
{
	u8 *now = xalloc(len);
	u64 i;

	if (!pread_all(w->fd, now, len, pos)) {
		complain(w, "read after a failed write", pos, errno);
		free(now);
		return;
	}
	for (i = 0; i < len; i += SECTOR) {
		if (memcmp(now + i, new + i, SECTOR) &&
		    memcmp(now + i, w->s->data + pos + i, SECTOR))
			complain(w, "neither old nor new", pos + i, 0);
	}
	shadow_write(w->s, pos, now, len);
	free(now);
}

static bool write_at(struct writer *w, u8 *buf, u64 pos, u64 len)
{
	ssize_t n;
	int err;

	rng_fill(&w->rng, buf, len);
	n = pwrite(w->fd, buf, len, pos);
	err = errno;
	if (n == (ssize_t)len) {
		shadow_write(w->s, pos, buf, len);
		return true;
	}
	if (n < 0 && err != ENOSPC)
		complain(w, "write", pos, err);
	look_at_failed(w, buf, pos, len);
	return false;
}

static void flush(struct writer *w)
{
	w->flushes++;
	if (fsync(w->fd))
		complain(w, "fsync", 0, errno);
}

/* Random places; every few writes an fsync, as a commit needs space, too. */
static void write_until_full(struct writer *w)
{
	u8 *buf = xalloc(w->max);
	u64 pos, len;

	while (w->good < MAX_GOOD && w->failed < MAX_FAILED && !w->wrong[0]) {
		len = (1 + rng_below(&w->rng, w->max / SECTOR)) * SECTOR;
		pos = rng_below(&w->rng, (w->s->size - len) / SECTOR) * SECTOR;
		if (!write_at(w, buf, pos, len)) {
			w->failed++;
		} else {
			w->pos[w->good] = pos;
			w->len[w->good++] = len;
		}
		if (!rng_below(&w->rng, 5))
			flush(w);
	}
	flush(w);
	free(buf);
}

/* What has a place needs no space. */
static bool overwrite(struct writer *w)
{
	u8 *buf = xalloc(w->max);
	unsigned int i, k;
	bool good = true;

	for (i = 0; w->good && i < 8; i++) {
		k = rng_below(&w->rng, w->good);
		good &= write_at(w, buf, w->pos[k], w->len[k]);
	}
	flush(w);
	free(buf);
	return good;
}

/* With space again, writes anywhere succeed. */
static bool write_on(struct writer *w)
{
	u64 sectors = (w->s->size - w->max) / SECTOR;
	u8 *buf = xalloc(w->max);
	bool good = true;
	unsigned int i;

	for (i = 0; i < 8; i++)
		good &= write_at(w, buf, rng_below(&w->rng, sectors) * SECTOR, w->max);
	flush(w);
	free(buf);
	return good;
}

/* -------------------------------------------------------------------- cases */

/* One kind of image, once for each amount of free space. */
struct subject {
	const char *name;
	struct chain (*make)(const char *dir);
	u64 max;
};

static struct chain make_holes(const char *dir)
{
	return chain_single(dir, "n", vmdk_sparse(DISK, 4096, VMDK_RGD, 0));
}

static struct chain make_no_tables(const char *dir)
{
	return chain_single(dir, "n", vmdk_sparse(DISK, 4096, VMDK_RGD | VMDK_NO_TABLES, 0));
}

static struct chain make_large(const char *dir)
{
	return chain_single(dir, "n", vmdk_sparse(DISK, 64 * KIB, VMDK_RGD, 0));
}

static struct chain make_cowd(const char *dir)
{
	return chain_single(dir, "n", vmdk_cowd(DISK, SECTOR, 0));
}

/* The parent lies elsewhere. */
static struct chain make_delta(const char *dir)
{
	struct chain c = chain_single(dir, "n", vmdk_sparse(DISK, 8192,
								VMDK_RGD | VMDK_ZEROED, 0));

	chain_add_parent(&c, "p", vmdk_flat(DISK));
	c.images[1].dir = scratch_dir();
	return c;
}

static struct chain make_vdi(const char *dir)
{
	return chain_single(dir, "n", vdi_blocks(DISK, 4096, 0, 0));
}

static struct chain make_vdi_delta(const char *dir)
{
	struct chain c = chain_delta(dir, vdi_blocks(DISK, 64 * KIB, 0, 0), raw_file(DISK));

	c.images[1].dir = scratch_dir();
	return c;
}

static const struct subject subjects[] = {
	{ "hosted, tables are holes", make_holes, 24 * KIB },
	{ "hosted, no tables", make_no_tables, 24 * KIB },
	{ "COWD, 512-byte grains", make_cowd, 16 * KIB },
	{ "delta with zeroed grains", make_delta, 24 * KIB },
	{ "hosted, 64 KiB grains", make_large, 64 * KIB },
	{ "VDI, 4 KiB blocks", make_vdi, 24 * KIB },
	{ "VDI delta, 64 KiB blocks", make_vdi_delta, 64 * KIB },
};

/* What all the cases of one subject came to. */
struct outcome {
	unsigned int cases, never_full;
	unsigned int good, failed;
	bool errors, overwrites, content, goes_on, detaches, sound, files, qemu;
	bool asked_qemu;
};

static void note(bool *all, bool good, const struct subject *sub, u64 space, const char *what)
{
	if (!good && *all)
		diag("%s, %llu KiB free: %s", sub->name, (unsigned long long)space / 1024, what);
	*all &= good;
}

static void run_case(const struct place *p, const struct subject *sub, u64 space, u32 flags,
		     struct outcome *o)
{
	struct chain c = sub->make(p->dir);
	struct writer w = { .max = sub->max };
	struct shadow s;
	struct vdev dev;

	leave(p, 4 * MIB);
	chain_make(&c, 55 + space);
	chain_load(&c, &s);
	leave(p, space);
	chain_must_attach(&nl, &c, flags | VDISK_F_NO_PARTSCAN, &dev, &reply);
	w.s = &s;
	w.fd = vdev_open(&dev, O_RDWR | O_DIRECT);
	rng_seed(&w.rng, space + sub->max);
	write_until_full(&w);
	o->cases++;
	o->good += w.good;
	o->failed += w.failed;
	o->never_full += !w.failed;
	note(&o->overwrites, overwrite(&w), sub, space, "overwriting failed");
	note(&o->content, shadow_equals(&s, w.fd, 0, s.size, 0), sub, space, "content");
	if (o->cases % 2) {
		leave(p, 3 * MIB);
		note(&o->goes_on, write_on(&w), sub, space, "no write with space again");
	}
	note(&o->errors, !w.wrong[0], sub, space, w.wrong);
	close(w.fd);
	note(&o->detaches, !vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply), sub, space,
	     reply.text);
	note(&o->sound, chain_sound(&c, 0), sub, space, "not sound");
	note(&o->files, chain_equals(&c, &s), sub, space, "the files' content");
	o->asked_qemu = chain_qemu_opens(&c);
	if (o->asked_qemu && o->cases % 6 == 1)
		note(&o->qemu, !chain_qemu_check(&c) && chain_qemu_equals(&c, &s), sub, space,
		     "QEMU");
	vdev_detach_all(&nl);
	chain_remove(&c);
	shadow_free(&s);
}

static void report(const struct place *p, const struct subject *sub, const struct outcome *o)
{
	diag("%s: %s: %u cases, %u writes, %u failed", p->name, sub->name, o->cases, o->good,
	     o->failed);
	is_num(o->never_full, 0, "%s: %s: each time a write fails", p->name, sub->name);
	ok(o->errors, "%s: %s: with ENOSPC, and each fsync succeeds", p->name, sub->name);
	ok(o->overwrites, "%s: %s: what has a place can be written", p->name, sub->name);
	ok(o->content, "%s: %s: the disk's content", p->name, sub->name);
	ok(o->goes_on, "%s: %s: with space again, writes go on", p->name, sub->name);
	ok(o->detaches, "%s: %s: detach, full or not", p->name, sub->name);
	ok(o->sound, "%s: %s: the image is sound and clean", p->name, sub->name);
	ok(o->files, "%s: %s: the files' content", p->name, sub->name);
	if (o->asked_qemu)
		ok(o->qemu, "%s: %s: qemu-img check and compare", p->name, sub->name);
}

static void run_place(const struct place *p, u32 flags)
{
	static const u64 spaces[] = { 0, 4, 8, 12, 20, 28, 40, 64, 100, 1500 };
	size_t i, k;

	for (i = 0; i < ARRAY_SIZE(subjects); i++) {
		struct outcome o = {
			.errors = true, .overwrites = true, .content = true, .goes_on = true,
			.detaches = true, .sound = true, .files = true, .qemu = true,
		};

		/* Steps of 1 KiB between the subjects: not all points are multiples of 4. */
		for (k = brief_run() ? i % 2 : 0; k < ARRAY_SIZE(spaces); k += brief_run() ? 2 : 1)
			run_case(p, &subjects[i], spaces[k] * KIB + (p->filler[0] ? i : 0) * KIB,
				 k % 3 == 2 ? flags ^ VDISK_F_BUFFERED : flags, &o);
		report(p, &subjects[i], &o);
	}
}

int main(void)
{
	struct place tmp = { .name = "tmpfs" }, small = { .name = "ext4", .dir = place_small() };
	int ret;

	ret = nl_open(&nl);
	if (ret)
		bail("no vdisk family: %s", err_name(ret));
	if (!small.dir)
		bail("VDT_SMALL is not set");
	tmp.dir = strdup(path_in(scratch_dir(), "tmpfs"));
	if (mkdir(tmp.dir, 0700) || mount("vdt", tmp.dir, "tmpfs", 0, "size=4m"))
		bail("mount tmpfs: %s", err_name(errno));
	run_place(&tmp, 0);
	umount(tmp.dir);
	rmdir(tmp.dir);
	snprintf(small.filler, sizeof(small.filler), "%s/filler", small.dir);
	run_place(&small, 0);
	unlink(small.filler);
	is_num(vdev_count(&nl), 0, "nothing is left attached");
	nl_close(&nl);
	return tap_done();
}
