// SPDX-License-Identifier: GPL-2.0-only
/* Chains of images to be made, and what all makers of formats need. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kinds.h"

/* --------------------------------------------------------------- helpers */

void mk_put(int fd, const void *buf, u64 len, u64 pos)
{
	if (!pwrite_all(fd, buf, len, pos))
		bail("cannot write an image: %s", err_name(errno));
}

void mk_put32(int fd, u32 value, u64 pos)
{
	mk_put(fd, &value, sizeof(value), pos);
}

u64 mk_div_up(u64 n, u64 d)
{
	return (n + d - 1) / d;
}

u64 mk_round_up(u64 n, u64 d)
{
	return mk_div_up(n, d) * d;
}

void mk_set_size(int fd, u64 tables, u64 size)
{
	struct stat st;
	u8 *zero;

	if (fstat(fd, &st))
		bail("fstat: %s", err_name(errno));
	if (S_ISBLK(st.st_mode)) {
		zero = xalloc(tables);
		mk_put(fd, zero, tables, 0);
		free(zero);
	} else if (ftruncate(fd, size)) {
		bail("cannot size an image: %s", err_name(errno));
	}
}

bool mk_is_used(u64 seed, u64 g, unsigned int want)
{
	struct rng rng;

	rng_seed(&rng, seed * 7919 + g);
	rng_next(&rng);
	return rng_below(&rng, 100) < want;
}

void mk_random(u64 seed, u64 g, u8 *buf, u64 len)
{
	struct rng rng;

	rng_seed(&rng, seed * 104729 + g);
	rng_fill(&rng, buf, len);
}

u64 *mk_shuffled(u64 nr, u64 seed)
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

/* ----------------------------------------------------------------- chains */

static void name_files(struct image *image)
{
	const struct format *format = image->extents[0].kind->format;
	unsigned int i;

	image->size = 0;
	for (i = 0; i < image->nr; i++) {
		struct extent *e = &image->extents[i];

		if (!e->path[0])
			snprintf(e->path, sizeof(e->path), "%s/%s-%u.%s",
				 e->dir ? e->dir : image->dir, image->name, i, format->name);
		image->size += e->len;
	}
	if (image->type)
		snprintf(image->path, sizeof(image->path), "%s/%s.%s", image->dir, image->name,
			 format->name);
	else
		memcpy(image->path, image->extents[0].path, sizeof(image->path));
}

void chain_name(struct chain *c)
{
	unsigned int i;

	for (i = 0; i < c->nr; i++)
		name_files(&c->images[i]);
}

static void make_image(struct image *image, const struct image *parent, u64 seed)
{
	unsigned int i;

	name_files(image);
	image->id = 0x1000000 + (u32)(seed * 2654435761) % 0xe000000;
	image->extents[0].kind->format->make(image, parent, seed);
	for (i = 0; i < image->nr; i++)
		extent_note(&image->extents[i]);
}

void chain_make(struct chain *c, u64 seed)
{
	unsigned int i;

	for (i = c->nr; i; i--)
		make_image(&c->images[i - 1], i < c->nr ? &c->images[i] : NULL, seed * 4 + i);
}

void chain_remove(struct chain *c)
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

static void set_type(struct image *image)
{
	const struct format *format = image->extents[0].kind->format;

	image->type = format->type ? format->type(image) : NULL;
}

static void add_image(struct chain *c, const char *dir, const char *name, struct extent extent)
{
	struct image *image = &c->images[c->nr++];

	*image = (struct image) { .name = name, .dir = dir, .nr = 1 };
	image->extents[0] = extent;
	set_type(image);
}

struct chain chain_single(const char *dir, const char *name, struct extent extent)
{
	struct chain c = { .nr = 0 };

	add_image(&c, dir, name, extent);
	return c;
}

void chain_add_parent(struct chain *c, const char *name, struct extent extent)
{
	add_image(c, c->images[0].dir, name, extent);
}

struct chain chain_delta(const char *dir, struct extent top, struct extent base)
{
	struct chain c = chain_single(dir, "d", top);

	chain_add_parent(&c, "p", base);
	return c;
}

void chain_add_extent(struct chain *c, const char *dir, struct extent extent)
{
	struct image *image = &c->images[c->nr - 1];

	extent.dir = dir;
	image->extents[image->nr++] = extent;
	set_type(image);
}
