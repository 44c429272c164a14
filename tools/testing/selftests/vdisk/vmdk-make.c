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

#include "kinds.h"
#include "vmdk-disk.h"

#define DESCRIPTOR	(20 * SECTOR)	/* of the area for an embedded one */

/* --------------------------------------------------------------- helpers */

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

static void say_extent(struct text *t, const struct extent *e)
{
	unsigned long long sectors = e->len / SECTOR;

	switch (e->kind->segment) {
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

static void describe(struct text *t, const struct image *image,
		     const struct image *parent)
{
	unsigned int i;

	say(t, "# Disk DescriptorFile\nversion=1\nCID=%08x\nparentCID=%08x\ncreateType=\"%s\"\n",
	    image->id, parent ? parent->id : 0xffffffff,
	    image->type ? image->type : "monolithicSparse");
	if (parent)
		say(t, "parentFileNameHint=\"%s\"\n", parent->path);
	say(t, "\n# Extent description\n");
	for (i = 0; i < image->nr; i++)
		say_extent(t, &image->extents[i]);
	say(t, "\n# The Disk Data Base\n#DDB\n\nddb.virtualHWVersion = \"4\"\n");
	say(t, "ddb.adapterType = \"ide\"\n");
	say(t, "ddb.longContentID = \"0123456789abcdef01234567%08x\"\n", image->id);
}

/* ----------------------------------------------------------------- extents */

/* Table entries of a new extent, and where its grains begin and end. */
struct grains {
	u32 *gte;
	u64 nr;
	u64 end;
};

static void write_grains(int fd, const struct extent *e, u64 seed, struct grains *gr)
{
	u64 *order = mk_shuffled(gr->nr, seed), i;
	u8 *buf = xalloc(e->unit);

	for (i = 0; i < gr->nr; i++) {
		if (!mk_is_used(seed, order[i], e->used))
			continue;
		mk_random(seed, order[i], buf, e->unit);
		mk_put(fd, buf, e->unit, gr->end);
		gr->gte[order[i]] = gr->end / SECTOR;
		gr->end += e->unit;
	}
	free(buf);
	free(order);
}

/* Some of the grains that hold nothing hide what a parent has. */
static void mark_zeros(const struct extent *e, u64 seed, struct grains *gr)
{
	u64 g;

	for (g = 0; g < gr->nr; g++) {
		if (!gr->gte[g] && mk_is_used(seed + 1, g, e->used))
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
static void write_tables(int fd, const struct extent *e, u64 gd, u64 gt,
			 const struct grains *gr)
{
	u64 t, n;

	for (t = 0; t * VMDK_GTES < gr->nr; t++) {
		n = gr->nr - t * VMDK_GTES;
		if (n > VMDK_GTES)
			n = VMDK_GTES;
		if (table_used(gr->gte + t * VMDK_GTES, n))
			mk_put(fd, gr->gte + t * VMDK_GTES, n * 4, (gt + 4 * t) * SECTOR);
		else if (e->flags & VMDK_NO_TABLES)
			continue;
		mk_put32(fd, gt + 4 * t, gd * SECTOR + 4 * t);
	}
}

static void write_hosted(int fd, const struct extent *e, u64 seed, const struct text *desc)
{
	struct vmdk_hosted h = {
		.magic = VMDK_MAGIC, .version = e->flags & VMDK_ZEROED ? 2 : 1,
		.flags = 1 | (e->flags & VMDK_RGD ? 2 : 0) | (e->flags & VMDK_ZEROED ? 4 : 0),
		.capacity = e->len / SECTOR, .grain_size = e->unit / SECTOR,
		.descriptor = desc ? 1 : 0, .descriptor_size = desc ? DESCRIPTOR / SECTOR : 0,
		.gtes = VMDK_GTES, .newline = "\n \r\n",
	};
	struct grains gr = { .nr = mk_div_up(e->len, e->unit) };
	u64 nr_gt = mk_div_up(gr.nr, VMDK_GTES), gd_len = mk_div_up(nr_gt * 4, SECTOR);
	u64 at = 1 + h.descriptor_size;

	if (e->flags & VMDK_RGD) {
		h.rgd = at;
		at += gd_len + 4 * nr_gt;
	}
	h.gd = at;
	at += gd_len + 4 * nr_gt;
	h.overhead = mk_round_up(at, h.grain_size);
	gr.gte = xalloc(gr.nr * 4);
	gr.end = h.overhead * SECTOR;
	mk_set_size(fd, gr.end, gr.end);
	write_grains(fd, e, seed, &gr);
	if (e->flags & VMDK_ZEROED)
		mark_zeros(e, seed, &gr);
	mk_put(fd, &h, sizeof(h), 0);
	if (desc)
		mk_put(fd, desc->buf, desc->len, SECTOR);
	if (h.rgd)
		write_tables(fd, e, h.rgd, h.rgd + gd_len, &gr);
	write_tables(fd, e, h.gd, h.gd + gd_len, &gr);
	free(gr.gte);
}

static void write_cowd(int fd, const struct extent *e, u64 seed)
{
	struct vmdk_cowd_header h = {
		.magic = VMDK_COWD_MAGIC, .version = 1, .flags = 3,
		.sectors = e->len / SECTOR, .grain_size = e->unit / SECTOR, .gd = 4,
		.nr_gd = mk_div_up(e->len, e->unit * VMDK_COWD_GTES),
		.cylinders = 1, .heads = 64, .gt_sectors = 32,
	};
	struct grains gr = { .nr = mk_div_up(e->len, e->unit) };
	u64 t, n, at = mk_round_up(4 * SECTOR + h.nr_gd * 4, e->unit < 4096 ? 4096 : e->unit);

	gr.gte = xalloc(gr.nr * 4);
	gr.end = at + (e->used ? h.nr_gd * VMDK_COWD_GTES * 4 : 0);
	gr.end = mk_round_up(gr.end, e->unit);
	mk_set_size(fd, gr.end, gr.end);
	write_grains(fd, e, seed, &gr);
	for (t = 0; e->used && t < h.nr_gd; t++) {
		n = gr.nr - t * VMDK_COWD_GTES;
		if (n > VMDK_COWD_GTES)
			n = VMDK_COWD_GTES;
		mk_put(fd, gr.gte + t * VMDK_COWD_GTES, n * 4, at + t * VMDK_COWD_GTES * 4);
		mk_put32(fd, (at + t * VMDK_COWD_GTES * 4) / SECTOR, 4 * SECTOR + 4 * t);
	}
	h.free_sector = gr.end / SECTOR;
	mk_put(fd, &h, sizeof(h), 0);
	free(gr.gte);
}

/* ------------------------------------------------------------------- images */

static void make_extent(struct extent *e, u64 seed, const struct text *desc)
{
	int fd = xopen(e->path, O_RDWR | O_CREAT | O_TRUNC);

	switch (e->kind->segment) {
	case VDISK_SEG_RAW:
		mk_flat(fd, e, seed);
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

void vmdk_make(struct image *image, const struct image *parent, u64 seed)
{
	struct text desc = { .buf = xalloc(DESCRIPTOR), .cap = DESCRIPTOR };
	unsigned int i;
	int fd;

	describe(&desc, image, parent);
	for (i = 0; i < image->nr; i++)
		make_extent(&image->extents[i], seed * 16 + i, image->type ? NULL : &desc);
	if (image->type) {
		fd = xopen(image->path, O_RDWR | O_CREAT | O_TRUNC);
		mk_put(fd, desc.buf, desc.len, 0);
		close(fd);
	}
	free(desc.buf);
}

/* As QEMU calls it: it knows no "custom", but reads such extents all the same. */
const char *vmdk_type(const struct image *image)
{
	switch (image->extents[0].kind->segment) {
	case VDISK_SEG_RAW:
		return image->nr > 1 ? "twoGbMaxExtentFlat" : "monolithicFlat";
	case VDISK_SEG_VMDK_COWD:
		return "vmfsSparse";
	}
	return image->nr > 1 ? "twoGbMaxExtentSparse" : NULL;
}
