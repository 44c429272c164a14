// SPDX-License-Identifier: GPL-2.0-only
/* Writers of VMDK images: hosted sparse, COWD, flat, and their descriptors. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tap.h"
#include "vmdk.h"
#include "vmdk-disk.h"

#define DESCRIPTOR	(20 * SECTOR)	/* of the area for an embedded one */

/* --------------------------------------------------------------- helpers */

static void put(int fd, const void *buf, u64 len, u64 pos)
{
	if (!pwrite_all(fd, buf, len, pos))
		bail("cannot write an image: %s", err_name(errno));
}

static void put32(int fd, u32 value, u64 pos)
{
	put(fd, &value, sizeof(value), pos);
}

static u64 div_up(u64 n, u64 d)
{
	return (n + d - 1) / d;
}

static u64 round_up(u64 n, u64 d)
{
	return div_up(n, d) * d;
}

/* The end of a file; on a block device, what it held before is no table. */
static void set_size(int fd, u64 tables, u64 size)
{
	struct stat st;
	u8 *zero;

	if (fstat(fd, &st))
		bail("fstat: %s", err_name(errno));
	if (S_ISBLK(st.st_mode)) {
		zero = xalloc(tables);
		put(fd, zero, tables, 0);
		free(zero);
	} else if (ftruncate(fd, size)) {
		bail("cannot size an image: %s", err_name(errno));
	}
}

/* Does grain @g hold data at first? @want of a hundred do. */
static bool is_used(u64 seed, u64 g, unsigned int want)
{
	struct rng rng;

	rng_seed(&rng, seed * 7919 + g);
	rng_next(&rng);
	return rng_below(&rng, 100) < want;
}

static void random_grain(u64 seed, u64 g, u8 *buf, u64 len)
{
	struct rng rng;

	rng_seed(&rng, seed * 104729 + g);
	rng_fill(&rng, buf, len);
}

/* Grain @i in file order is guest grain order[i]: neighbours lie apart. */
static u64 *shuffled(u64 nr, u64 seed)
{
	u64 *order = xalloc(nr * sizeof(*order)), i, j, tmp;
	struct rng rng;

	rng_seed(&rng, seed);
	for (i = 0; i < nr; i++)
		order[i] = i;
	for (i = nr; i > 1; i--) {
		j = rng_below(&rng, i);
		tmp = order[i - 1];
		order[i - 1] = order[j];
		order[j] = tmp;
	}
	return order;
}

/* ------------------------------------------------------------ descriptors */

struct text {
	char *buf;
	size_t len;
	size_t cap;
};

static void say(struct text *t, const char *fmt, ...) TAP_PRINTF(2, 3);
static void say(struct text *t, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(t->buf + t->len, t->cap - t->len, fmt, args);
	va_end(args);
	if (n < 0 || t->len + n >= t->cap)
		bail("a descriptor is too long");
	t->len += n;
}

static void say_extent(struct text *t, const struct vmdk_extent *e)
{
	unsigned long long sectors = e->len / SECTOR;

	switch (e->kind) {
	case VDISK_SEG_RAW:
		say(t, "RW %llu FLAT \"%s\" %llu\n", sectors, e->path,
		    (unsigned long long)(e->offset / SECTOR));
		break;
	case VDISK_SEG_VMDK_COWD:
		say(t, "RW %llu VMFSSPARSE \"%s\"\n", sectors, e->path);
		break;
	default:
		say(t, "RW %llu SPARSE \"%s\"\n", sectors, e->path);
	}
}

static void describe(struct text *t, const struct vmdk_image *image,
		     const struct vmdk_image *parent)
{
	unsigned int i;

	say(t, "# Disk DescriptorFile\nversion=1\nCID=%08x\nparentCID=%08x\ncreateType=\"%s\"\n",
	    image->cid, parent ? parent->cid : 0xffffffff,
	    image->type ? image->type : "monolithicSparse");
	if (parent)
		say(t, "parentFileNameHint=\"%s\"\n", parent->path);
	say(t, "\n# Extent description\n");
	for (i = 0; i < image->nr; i++)
		say_extent(t, &image->extents[i]);
	say(t, "\n# The Disk Data Base\n#DDB\n\nddb.virtualHWVersion = \"4\"\n");
	say(t, "ddb.adapterType = \"ide\"\n");
	say(t, "ddb.longContentID = \"0123456789abcdef01234567%08x\"\n", image->cid);
}

/* ----------------------------------------------------------------- extents */

/* Table entries of a new extent, and where its grains begin and end. */
struct grains {
	u32 *gte;
	u64 nr;
	u64 end;
};

static void write_grains(int fd, const struct vmdk_extent *e, u64 seed, struct grains *gr)
{
	u64 *order = shuffled(gr->nr, seed), i;
	u8 *buf = xalloc(e->grain);

	for (i = 0; i < gr->nr; i++) {
		if (!is_used(seed, order[i], e->used))
			continue;
		random_grain(seed, order[i], buf, e->grain);
		put(fd, buf, e->grain, gr->end);
		gr->gte[order[i]] = gr->end / SECTOR;
		gr->end += e->grain;
	}
	free(buf);
	free(order);
}

/* Some of the grains that hold nothing hide what a parent has. */
static void mark_zeros(const struct vmdk_extent *e, u64 seed, struct grains *gr)
{
	u64 g;

	for (g = 0; g < gr->nr; g++) {
		if (!gr->gte[g] && is_used(seed + 1, g, e->used))
			gr->gte[g] = VMDK_GTE_ZERO;
	}
}

static bool table_used(const u32 *gte, u64 n)
{
	while (n) {
		if (gte[--n])
			return true;
	}
	return false;
}

/*
 * A table of which nothing is in use is a hole in the file, if it is there at
 * all: writing the first entry takes space.
 */
static void write_tables(int fd, const struct vmdk_extent *e, u64 gd, u64 gt,
			 const struct grains *gr)
{
	u64 t, n;

	for (t = 0; t * VMDK_GTES < gr->nr; t++) {
		n = gr->nr - t * VMDK_GTES;
		if (n > VMDK_GTES)
			n = VMDK_GTES;
		if (table_used(gr->gte + t * VMDK_GTES, n))
			put(fd, gr->gte + t * VMDK_GTES, n * 4, (gt + 4 * t) * SECTOR);
		else if (e->flags & VMDK_NO_TABLES)
			continue;
		put32(fd, gt + 4 * t, gd * SECTOR + 4 * t);
	}
}

static void write_hosted(int fd, const struct vmdk_extent *e, u64 seed, const struct text *desc)
{
	struct vmdk_hosted h = {
		.magic = VMDK_MAGIC, .version = e->flags & VMDK_ZEROED ? 2 : 1,
		.flags = 1 | (e->flags & VMDK_RGD ? 2 : 0) | (e->flags & VMDK_ZEROED ? 4 : 0),
		.capacity = e->len / SECTOR, .grain_size = e->grain / SECTOR,
		.descriptor = desc ? 1 : 0, .descriptor_size = desc ? DESCRIPTOR / SECTOR : 0,
		.gtes = VMDK_GTES, .newline = "\n \r\n",
	};
	struct grains gr = { .nr = div_up(e->len, e->grain) };
	u64 nr_gt = div_up(gr.nr, VMDK_GTES), gd_len = div_up(nr_gt * 4, SECTOR);
	u64 at = 1 + h.descriptor_size;

	if (e->flags & VMDK_RGD) {
		h.rgd = at;
		at += gd_len + 4 * nr_gt;
	}
	h.gd = at;
	at += gd_len + 4 * nr_gt;
	h.overhead = round_up(at, h.grain_size);
	gr.gte = xalloc(gr.nr * 4);
	gr.end = h.overhead * SECTOR;
	set_size(fd, gr.end, gr.end);
	write_grains(fd, e, seed, &gr);
	if (e->flags & VMDK_ZEROED)
		mark_zeros(e, seed, &gr);
	put(fd, &h, sizeof(h), 0);
	if (desc)
		put(fd, desc->buf, desc->len, SECTOR);
	if (h.rgd)
		write_tables(fd, e, h.rgd, h.rgd + gd_len, &gr);
	write_tables(fd, e, h.gd, h.gd + gd_len, &gr);
	free(gr.gte);
}

static void write_cowd(int fd, const struct vmdk_extent *e, u64 seed)
{
	struct vmdk_cowd_header h = {
		.magic = VMDK_COWD_MAGIC, .version = 1, .flags = 3,
		.sectors = e->len / SECTOR, .grain_size = e->grain / SECTOR, .gd = 4,
		.nr_gd = div_up(e->len, e->grain * VMDK_COWD_GTES),
		.cylinders = 1, .heads = 64, .gt_sectors = 32,
	};
	struct grains gr = { .nr = div_up(e->len, e->grain) };
	u64 t, n, at = round_up(4 * SECTOR + h.nr_gd * 4, e->grain < 4096 ? 4096 : e->grain);

	gr.gte = xalloc(gr.nr * 4);
	gr.end = at + (e->used ? h.nr_gd * VMDK_COWD_GTES * 4 : 0);
	gr.end = round_up(gr.end, e->grain);
	set_size(fd, gr.end, gr.end);
	write_grains(fd, e, seed, &gr);
	for (t = 0; e->used && t < h.nr_gd; t++) {
		n = gr.nr - t * VMDK_COWD_GTES;
		if (n > VMDK_COWD_GTES)
			n = VMDK_COWD_GTES;
		put(fd, gr.gte + t * VMDK_COWD_GTES, n * 4, at + t * VMDK_COWD_GTES * 4);
		put32(fd, (at + t * VMDK_COWD_GTES * 4) / SECTOR, 4 * SECTOR + 4 * t);
	}
	h.free_sector = gr.end / SECTOR;
	put(fd, &h, sizeof(h), 0);
	free(gr.gte);
}

/* Bytes before the extent are somebody else's. */
static void write_flat(int fd, const struct vmdk_extent *e, u64 seed)
{
	u64 pos, len, end = e->offset + e->len;
	u8 *buf = xalloc(64 * KIB);

	set_size(fd, 0, end);
	for (pos = 0; pos < end; pos += len) {
		len = end - pos < 64 * KIB ? end - pos : 64 * KIB;
		if (pos >= e->offset && !is_used(seed, pos / (64 * KIB), e->used))
			continue;
		random_grain(seed, pos / (64 * KIB), buf, len);
		put(fd, buf, len, pos);
	}
	free(buf);
}

/* ------------------------------------------------------------------- images */

static void name_files(struct vmdk_image *image)
{
	unsigned int i;

	image->size = 0;
	for (i = 0; i < image->nr; i++) {
		struct vmdk_extent *e = &image->extents[i];

		if (!e->path[0])
			snprintf(e->path, sizeof(e->path), "%s/%s-%u.vmdk",
				 e->dir ? e->dir : image->dir, image->name, i);
		image->size += e->len;
	}
	if (image->type)
		snprintf(image->path, sizeof(image->path), "%s/%s.vmdk", image->dir, image->name);
	else
		memcpy(image->path, image->extents[0].path, sizeof(image->path));
}

static void make_extent(struct vmdk_extent *e, u64 seed, const struct text *desc)
{
	int fd = xopen(e->path, O_RDWR | O_CREAT | O_TRUNC);

	switch (e->kind) {
	case VDISK_SEG_RAW:
		write_flat(fd, e, seed);
		break;
	case VDISK_SEG_VMDK_COWD:
		write_cowd(fd, e, seed);
		break;
	default:
		write_hosted(fd, e, seed, desc);
	}
	if (fsync(fd))
		bail("cannot write %s: %s", e->path, err_name(errno));
	close(fd);
}

static void make_image(struct vmdk_image *image, const struct vmdk_image *parent, u64 seed)
{
	struct text desc = { .buf = xalloc(DESCRIPTOR), .cap = DESCRIPTOR };
	unsigned int i;
	int fd;

	name_files(image);
	image->cid = 0x1000000 + (u32)(seed * 2654435761) % 0xe000000;
	describe(&desc, image, parent);
	for (i = 0; i < image->nr; i++)
		make_extent(&image->extents[i], seed * 16 + i, image->type ? NULL : &desc);
	if (image->type) {
		fd = xopen(image->path, O_RDWR | O_CREAT | O_TRUNC);
		put(fd, desc.buf, desc.len, 0);
		close(fd);
	}
	free(desc.buf);
}

void vmdk_name(struct vmdk_chain *c)
{
	unsigned int i;

	for (i = 0; i < c->nr; i++)
		name_files(&c->images[i]);
}

void vmdk_make(struct vmdk_chain *c, u64 seed)
{
	unsigned int i;

	for (i = c->nr; i; i--)
		make_image(&c->images[i - 1], i < c->nr ? &c->images[i] : NULL, seed * 4 + i);
}

void vmdk_remove(struct vmdk_chain *c)
{
	struct stat st;
	unsigned int i, e;

	for (i = 0; i < c->nr; i++) {
		for (e = 0; e < c->images[i].nr; e++) {
			const char *path = c->images[i].extents[e].path;

			if (!stat(path, &st) && S_ISREG(st.st_mode))
				unlink(path);
		}
		if (c->images[i].type)
			unlink(c->images[i].path);
	}
}

struct vmdk_extent vmdk_sparse(u64 len, u64 grain, u32 flags, unsigned int used)
{
	return (struct vmdk_extent) { .kind = VDISK_SEG_VMDK_SPARSE, .len = len, .grain = grain,
				      .flags = flags, .used = used };
}

struct vmdk_extent vmdk_cowd(u64 len, u64 grain, unsigned int used)
{
	return (struct vmdk_extent) { .kind = VDISK_SEG_VMDK_COWD, .len = len, .grain = grain,
				      .used = used };
}

struct vmdk_extent vmdk_flat(u64 len)
{
	return (struct vmdk_extent) { .kind = VDISK_SEG_RAW, .len = len, .used = 60 };
}

/* As QEMU calls it: it knows no "custom", but reads such extents all the same. */
static const char *create_type(const struct vmdk_image *image)
{
	switch (image->extents[0].kind) {
	case VDISK_SEG_RAW:
		return image->nr > 1 ? "twoGbMaxExtentFlat" : "monolithicFlat";
	case VDISK_SEG_VMDK_COWD:
		return "vmfsSparse";
	}
	return image->nr > 1 ? "twoGbMaxExtentSparse" : NULL;
}

static void add_image(struct vmdk_chain *c, const char *dir, const char *name,
		      struct vmdk_extent extent)
{
	struct vmdk_image *image = &c->images[c->nr++];

	*image = (struct vmdk_image) { .name = name, .dir = dir, .nr = 1 };
	image->extents[0] = extent;
	image->type = create_type(image);
}

struct vmdk_chain vmdk_single(const char *dir, const char *name, struct vmdk_extent extent)
{
	struct vmdk_chain c = { .nr = 0 };

	add_image(&c, dir, name, extent);
	return c;
}

void vmdk_add_parent(struct vmdk_chain *c, const char *name, struct vmdk_extent extent)
{
	add_image(c, c->images[0].dir, name, extent);
}

void vmdk_add_extent(struct vmdk_chain *c, const char *dir, struct vmdk_extent extent)
{
	struct vmdk_image *image = &c->images[c->nr - 1];

	extent.dir = dir;
	image->extents[image->nr++] = extent;
	image->type = create_type(image);
}
