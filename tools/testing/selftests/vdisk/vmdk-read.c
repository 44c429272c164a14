// SPDX-License-Identifier: GPL-2.0-only
/*
 * A reader of VMDK images for the tests alone, and what a sound image is. It
 * takes its facts from the format's description, not from the code under test.
 */
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

#define CACHE_BLOCK	4096U
#define CACHE_BLOCKS	8U

/**
 * struct view - a file of the set, for one look at it
 * @cached: which blocks of the file @cache holds, + 1
 * @gd, @rgd: byte of each directory; @rgd 0: none
 * @gtes: entries of a table
 * @nr: grains
 * @data: no grain lies before it
 */
struct view {
	const struct vmdk_extent *e;
	int fd;
	u64 size;
	u64 cached[CACHE_BLOCKS];
	u8 cache[CACHE_BLOCKS][CACHE_BLOCK];
	u64 gd;
	u64 rgd;
	u64 gtes;
	u64 nr;
	u64 data;
	bool zeroed;
};

static bool wrong(const struct vmdk_extent *e, const char *fmt, ...) TAP_PRINTF(2, 3);
static bool wrong(const struct vmdk_extent *e, const char *fmt, ...)
{
	char text[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	diag("%s: %s", e->path, text);
	return false;
}

#define ULL(n) ((unsigned long long)(n))

/* ------------------------------------------------------------------- views */

static u64 file_size(int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		return 0;
	return S_ISBLK(st.st_mode) ? bdev_size(fd) : (u64)st.st_size;
}

/* Past the file's end there are zeros. */
static void get(const struct view *v, void *buf, u64 len, u64 pos)
{
	u64 n = pos >= v->size ? 0 : v->size - pos < len ? v->size - pos : len;

	memset(buf, 0, len);
	if (n && !pread_all(v->fd, buf, n, pos))
		bail("cannot read %s at %llu: %s", v->e->path, ULL(pos), err_name(errno));
}

static u32 load32(struct view *v, u64 pos)
{
	u64 block = pos / CACHE_BLOCK, slot = block % CACHE_BLOCKS;
	u32 value;

	if (v->cached[slot] != block + 1)
		get(v, v->cache[slot], CACHE_BLOCK, block * CACHE_BLOCK);
	v->cached[slot] = block + 1;
	memcpy(&value, v->cache[slot] + pos % CACHE_BLOCK, 4);
	return value;
}

static bool view_hosted(struct view *v)
{
	struct vmdk_hosted h;

	get(v, &h, sizeof(h), 0);
	if (h.magic != VMDK_MAGIC || h.gtes != VMDK_GTES || h.grain_size * SECTOR != v->e->grain)
		return wrong(v->e, "no header as it was");
	v->gd = h.gd * SECTOR;
	v->rgd = h.flags & 2 ? h.rgd * SECTOR : 0;
	v->gtes = VMDK_GTES;
	v->data = h.overhead * SECTOR;
	v->zeroed = h.flags & 4;
	return true;
}

static bool view_cowd(struct view *v)
{
	struct vmdk_cowd_header h;

	get(v, &h, sizeof(h), 0);
	if (h.magic != VMDK_COWD_MAGIC || h.grain_size * SECTOR != v->e->grain)
		return wrong(v->e, "no header as it was");
	v->gd = h.gd * SECTOR;
	v->gtes = VMDK_COWD_GTES;
	v->data = v->gd + h.nr_gd * 4;
	return true;
}

static bool view_open(struct view *v, const struct vmdk_extent *e)
{
	memset(v, 0, sizeof(*v));
	v->e = e;
	v->fd = xopen(e->path, O_RDONLY);
	v->size = file_size(v->fd);
	if (e->kind == VDISK_SEG_RAW)
		return e->offset + e->len <= v->size || wrong(e, "is too short");
	if (v->size < 2048)
		return wrong(e, "has %llu bytes", ULL(v->size));
	v->nr = (e->len + e->grain - 1) / e->grain;
	return e->kind == VDISK_SEG_VMDK_COWD ? view_cowd(v) : view_hosted(v);
}

static void view_close(struct view *v)
{
	if (v->fd > 0)
		close(v->fd);
	v->fd = 0;
}

/* Byte of the table for grain @g according to the directory at @gd; 0: none. */
static u64 table_of(struct view *v, u64 gd, u64 g)
{
	return (u64)load32(v, gd + g / v->gtes * 4) * SECTOR;
}

static u32 entry_of(struct view *v, u64 gd, u64 g)
{
	u64 table = table_of(v, gd, g);

	return table ? load32(v, table + g % v->gtes * 4) : 0;
}

static bool is_data(const struct view *v, u32 gte)
{
	return gte > VMDK_GTE_ZERO || (gte && !v->zeroed);
}

/* ----------------------------------------------------------------- content */

struct reader {
	const struct vmdk_chain *c;
	struct view views[VMDK_MAX_IMAGES][VMDK_MAX_EXTENTS];
};

static void reader_close(struct reader *r)
{
	unsigned int i, e;

	for (i = 0; i < VMDK_MAX_IMAGES; i++)
		for (e = 0; e < VMDK_MAX_EXTENTS; e++)
			view_close(&r->views[i][e]);
	free(r);
}

static struct reader *reader_open(const struct vmdk_chain *c)
{
	struct reader *r = xalloc(sizeof(*r));
	bool good = true;
	unsigned int i, e;

	r->c = c;
	for (i = 0; i < c->nr; i++)
		for (e = 0; e < c->images[i].nr; e++)
			good &= view_open(&r->views[i][e], &c->images[i].extents[e]);
	if (good)
		return r;
	reader_close(r);
	return NULL;
}

/* Up to @len bytes from an extent; @hit false: the parent's. Returns how many. */
static u64 read_extent(struct view *v, u64 pos, u8 *buf, u64 len, bool *hit)
{
	u64 in_grain;
	u32 gte;

	*hit = true;
	if (v->e->kind == VDISK_SEG_RAW) {
		get(v, buf, len, v->e->offset + pos);
		return len;
	}
	in_grain = pos % v->e->grain;
	if (len > v->e->grain - in_grain)
		len = v->e->grain - in_grain;
	gte = entry_of(v, v->gd, pos / v->e->grain);
	*hit = gte != 0;
	memset(buf, 0, len);
	if (is_data(v, gte))
		get(v, buf, len, (u64)gte * SECTOR + in_grain);
	return len;
}

/* [pos, pos + len) of image @i and those below; addresses are the disk's. */
static void read_image(struct reader *r, unsigned int i, u64 pos, u8 *buf, u64 len)
{
	const struct vmdk_image *image = &r->c->images[i];
	u64 start = 0, n;
	unsigned int e;
	bool hit;

	for (e = 0; len && e < image->nr; start += image->extents[e++].len) {
		u64 end = start + image->extents[e].len;

		for (; len && pos < end; pos += n, buf += n, len -= n) {
			n = end - pos < len ? end - pos : len;
			n = read_extent(&r->views[i][e], pos - start, buf, n, &hit);
			if (!hit && i + 1 < r->c->nr)
				read_image(r, i + 1, pos, buf, n);
		}
	}
	/* Past the end of a smaller parent. */
	memset(buf, 0, len);
}

bool vmdk_read(const struct vmdk_chain *c, u64 pos, void *buf, u64 len)
{
	struct reader *r = reader_open(c);

	if (!r)
		return false;
	read_image(r, 0, pos, buf, len);
	reader_close(r);
	return true;
}

void vmdk_load(const struct vmdk_chain *c, struct shadow *s)
{
	shadow_init(s, c->images[0].size);
	if (!vmdk_read(c, 0, s->data, s->size))
		bail("%s: cannot be read as it was made", c->images[0].path);
}

bool vmdk_equals(const struct vmdk_chain *c, const struct shadow *s)
{
	u8 *buf = xalloc(s->size);
	u64 where = 0;
	bool same = vmdk_read(c, 0, buf, s->size);

	if (same && !shadow_check(s, 0, buf, s->size, &where)) {
		diag("%s: disk byte %llu differs", c->images[0].path, ULL(where));
		same = false;
	}
	free(buf);
	return same;
}

/* --------------------------------------------------------------- soundness */

/* A range of the file that something refers to. */
struct range {
	u64 pos;
	u64 len;
	u64 grain;	/* ~0: no grain, a table */
};

struct ranges {
	struct range *r;
	u64 nr;
};

static void add_range(struct ranges *all, u64 pos, u64 len, u64 grain)
{
	all->r[all->nr++] = (struct range) { pos, len, grain };
}

static int by_pos(const void *a, const void *b)
{
	const struct range *p = a, *q = b;

	return p->pos < q->pos ? -1 : p->pos > q->pos;
}

/* The tables of one directory, and the directory itself. */
static void add_tables(struct view *v, struct ranges *all, u64 gd)
{
	u64 t, nr = (v->nr + v->gtes - 1) / v->gtes, pos;

	add_range(all, gd, nr * 4, ~0ULL);
	for (t = 0; t < nr; t++) {
		pos = table_of(v, gd, t * v->gtes);
		if (pos)
			add_range(all, pos, v->gtes * 4, ~0ULL);
	}
}

/* Fills @all; false if an entry is none or the copies differ. */
static bool add_grains(struct view *v, struct ranges *all, unsigned int flags)
{
	bool good = true;
	u32 gte, copy;
	u64 g;

	for (g = 0; good && g < v->nr; g++) {
		gte = entry_of(v, v->gd, g);
		copy = v->rgd ? entry_of(v, v->rgd, g) : gte;
		if (copy != gte && !(flags & VMDK_MAY_LEAK && (!copy || !gte)))
			good = wrong(v->e, "grain %llu: %u in one table, %u in the other", ULL(g),
				     gte, copy);
		if (v->rgd && !table_of(v, v->gd, g) != !table_of(v, v->rgd, g))
			good = wrong(v->e, "grain %llu: one table of two", ULL(g));
		if (!is_data(v, gte))
			continue;
		if (gte == VMDK_GTE_ZERO || (u64)gte * SECTOR < v->data)
			good = wrong(v->e, "grain %llu: at sector %u", ULL(g), gte);
		add_range(all, (u64)gte * SECTOR, v->e->grain, g);
	}
	return good;
}

static bool check_ranges(const struct view *v, struct ranges *all, unsigned int flags)
{
	u64 i, end = 0, limit;

	qsort(all->r, all->nr, sizeof(*all->r), by_pos);
	for (i = 0; i < all->nr; i++) {
		const struct range *r = &all->r[i];

		if (r->pos < end)
			return wrong(v->e, "byte %llu is in use twice (grain %lld)", ULL(r->pos),
				     (long long)r->grain);
		end = r->pos + r->len;
	}
	/* What was cut off a last grain when the image was made may still be missing. */
	if (end > v->size)
		return wrong(v->e, "in use up to byte %llu, but has %llu", ULL(end), ULL(v->size));
	/* New tables come in whole blocks of 4096 bytes. */
	limit = (end + 4095) / 4096 * 4096;
	if (limit < v->e->size)
		limit = v->e->size;
	if (v->size > limit && !(flags & VMDK_MAY_LEAK))
		return wrong(v->e, "has %llu bytes, in use are %llu, it had %llu", ULL(v->size),
			     ULL(end), ULL(v->e->size));
	return true;
}

static u32 unclean_flag(struct view *v)
{
	if (v->e->kind == VDISK_SEG_VMDK_COWD)
		return load32(v, __builtin_offsetof(struct vmdk_cowd_header, unclean));
	return load32(v, __builtin_offsetof(struct vmdk_hosted, unclean)) & 0xff;
}

static bool view_sound(struct view *v, unsigned int flags)
{
	struct ranges all = { .r = xalloc((3 * v->nr + 8) * sizeof(*all.r)) };
	bool good;

	if (v->e->kind == VDISK_SEG_RAW) {
		free(all.r);
		return v->size == v->e->size || wrong(v->e, "changed its size");
	}
	add_tables(v, &all, v->gd);
	if (v->rgd)
		add_tables(v, &all, v->rgd);
	good = add_grains(v, &all, flags) && check_ranges(v, &all, flags);
	if (unclean_flag(v) && !(flags & VMDK_MAY_LEAK))
		good = wrong(v->e, "is marked unclean");
	free(all.r);
	return good;
}

bool vmdk_sound(const struct vmdk_chain *c, unsigned int flags)
{
	bool good = true;
	struct view v;
	unsigned int e;

	for (e = 0; e < c->images[0].nr; e++) {
		good &= view_open(&v, &c->images[0].extents[e]) && view_sound(&v, flags);
		view_close(&v);
	}
	return good;
}

bool vmdk_unclean(const struct vmdk_extent *e)
{
	struct view v;
	bool unclean;

	unclean = view_open(&v, e) && e->kind != VDISK_SEG_RAW && unclean_flag(&v);
	view_close(&v);
	return unclean;
}

u64 vmdk_grains(const struct vmdk_extent *e)
{
	struct view v;
	u64 g, n = 0;

	if (!view_open(&v, e))
		bail("%s is no image any more", e->path);
	for (g = 0; g < v.nr; g++)
		n += is_data(&v, entry_of(&v, v.gd, g));
	view_close(&v);
	return n;
}
