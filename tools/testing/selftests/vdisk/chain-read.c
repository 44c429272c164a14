// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading chains for the tests alone. Readers take their facts from the formats'
 * descriptions, not from the code under test.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kinds.h"

bool extent_wrong(const struct extent *e, const char *fmt, ...)
{
	char text[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	diag("%s: %s", e->path, text);
	return false;
}

/* ------------------------------------------------------------------- views */

static u64 file_size(int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		return 0;
	return S_ISBLK(st.st_mode) ? bdev_size(fd) : (u64)st.st_size;
}

void view_get(const struct view *v, void *buf, u64 len, u64 pos)
{
	u64 n = pos >= v->size ? 0 : v->size - pos < len ? v->size - pos : len;

	memset(buf, 0, len);
	if (n && !pread_all(v->fd, buf, n, pos))
		bail("cannot read %s at %llu: %s", v->e->path, ULL(pos), err_name(errno));
}

u32 view_get32(struct view *v, u64 pos)
{
	u64 block = pos / VIEW_BLOCK, slot = block % VIEW_BLOCKS;
	u32 value;

	if (v->cached[slot] != block + 1)
		view_get(v, v->cache[slot], VIEW_BLOCK, block * VIEW_BLOCK);
	v->cached[slot] = block + 1;
	memcpy(&value, v->cache[slot] + pos % VIEW_BLOCK, 4);
	return value;
}

bool view_open(struct view *v, const struct extent *e)
{
	memset(v, 0, sizeof(*v));
	v->e = e;
	v->fd = xopen(e->path, O_RDONLY);
	v->size = file_size(v->fd);
	v->nr = e->unit ? (e->len + e->unit - 1) / e->unit : 0;
	return e->kind->open(v);
}

void view_close(struct view *v)
{
	if (v->fd > 0)
		close(v->fd);
	free(v->priv);
	v->fd = 0;
	v->priv = NULL;
}

/* A file that is no image any more is left to others. */
void extent_note(struct extent *e)
{
	struct view v;
	bool good = view_open(&v, e);

	e->size = v.size;
	e->floor = 0;
	memset(&e->patch, 0, sizeof(e->patch));
	view_get(&v, e->head, sizeof(e->head), 0);
	if (good && e->kind->attached)
		e->kind->attached(&v, e);
	view_close(&v);
}

/* ----------------------------------------------------------------- content */

struct reader {
	const struct chain *c;
	struct view views[CHAIN_MAX_IMAGES][CHAIN_MAX_EXTENTS];
};

static void reader_close(struct reader *r)
{
	unsigned int i, e;

	for (i = 0; i < CHAIN_MAX_IMAGES; i++)
		for (e = 0; e < CHAIN_MAX_EXTENTS; e++)
			view_close(&r->views[i][e]);
	free(r);
}

static struct reader *reader_open(const struct chain *c)
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

/* [pos, pos + len) of image @i and those below; addresses are the disk's. */
static void read_image(struct reader *r, unsigned int i, u64 pos, u8 *buf, u64 len)
{
	const struct image *image = &r->c->images[i];
	u64 start = 0, n;
	unsigned int e;
	bool hit;

	for (e = 0; len && e < image->nr; start += image->extents[e++].len) {
		const struct kind *kind = image->extents[e].kind;
		u64 end = start + image->extents[e].len;

		for (; len && pos < end; pos += n, buf += n, len -= n) {
			n = end - pos < len ? end - pos : len;
			n = kind->read(&r->views[i][e], pos - start, buf, n, &hit);
			if (!hit && i + 1 < r->c->nr)
				read_image(r, i + 1, pos, buf, n);
		}
	}
	/* Past the end of a smaller parent. */
	memset(buf, 0, len);
}

bool chain_read(const struct chain *c, u64 pos, void *buf, u64 len)
{
	struct reader *r = reader_open(c);

	if (!r)
		return false;
	read_image(r, 0, pos, buf, len);
	reader_close(r);
	return true;
}

void chain_load(const struct chain *c, struct shadow *s)
{
	shadow_init(s, c->images[0].size);
	if (!chain_read(c, 0, s->data, s->size))
		bail("%s: cannot be read as it was made", c->images[0].path);
}

bool chain_equals(const struct chain *c, const struct shadow *s)
{
	u8 *buf = xalloc(s->size);
	u64 where = 0;
	bool same = chain_read(c, 0, buf, s->size);

	if (same && !shadow_check(s, 0, buf, s->size, &where)) {
		diag("%s: disk byte %llu differs", c->images[0].path, ULL(where));
		same = false;
	}
	free(buf);
	return same;
}

/* --------------------------------------------------------------- soundness */

bool chain_sound(const struct chain *c, unsigned int flags)
{
	bool good = true;
	struct view v;
	unsigned int e;

	for (e = 0; e < c->images[0].nr; e++) {
		good &= view_open(&v, &c->images[0].extents[e]) &&
			v.e->kind->sound(&v, flags);
		view_close(&v);
	}
	return good;
}

bool chain_renews(const struct chain *c)
{
	return c->images[0].extents[0].patch.len;
}

bool chain_renewed(const struct chain *c)
{
	const struct extent *e = &c->images[0].extents[0];
	u8 now[VDISK_PATCH_BYTES];
	struct view v;
	bool good = view_open(&v, e);

	view_get(&v, now, e->patch.len, e->patch.offset);
	view_close(&v);
	return good && !memcmp(now, e->patch.bytes, e->patch.len);
}

bool extent_has_mark(const struct extent *e)
{
	return e->kind->unclean != NULL;
}

bool extent_unclean(const struct extent *e)
{
	struct view v;
	bool unclean;

	unclean = view_open(&v, e) && e->kind->unclean && e->kind->unclean(&v);
	view_close(&v);
	return unclean;
}

static void view_must_open(struct view *v, const struct extent *e)
{
	if (!view_open(v, e))
		bail("%s is no image any more", e->path);
}

bool extent_is_used(const struct extent *e, u64 n)
{
	struct view v;
	bool used;

	view_must_open(&v, e);
	used = e->kind->is_used(&v, n);
	view_close(&v);
	return used;
}

u64 extent_entry(const struct extent *e, u64 n)
{
	struct view v;
	u64 pos;

	view_must_open(&v, e);
	pos = e->kind->entry(&v, n);
	view_close(&v);
	return pos;
}

u64 extent_units(const struct extent *e)
{
	struct view v;
	u64 i, n = 0;

	view_must_open(&v, e);
	for (i = 0; i < v.nr; i++)
		n += e->kind->is_used(&v, i);
	view_close(&v);
	return n;
}
