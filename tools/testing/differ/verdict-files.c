// SPDX-License-Identifier: GPL-2.0-only
/* Sets of files that we refuse and QEMU opens: names, sizes, parents. */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include "verdict.h"

/* What stands in single quotes in the sentence, after @mark. */
static bool quoted(const char *text, const char *mark, char *name)
{
	const char *from = strstr(text, mark), *end;

	if (!from)
		return false;
	from += strlen(mark);
	end = strchr(from, '\'');
	if (!end || end - from >= DF_LINE)
		return false;
	snprintf(name, DF_LINE, "%.*s", (int)(end - from), from);
	return true;
}

static bool is_file(const struct df_image *img, const char *name)
{
	u32 i;

	while (!strncmp(name, "./", 2))
		name += 2;
	for (i = 0; i < img->view.nr; i++)
		if (!strcmp(img->name[i], name))
			return true;
	return false;
}

static bool missing(const struct df_image *img, const char *text)
{
	char name[DF_LINE];

	return quoted(text, "extent '", name) && !is_file(img, name);
}

static bool outside(const struct df_image *img, const char *text)
{
	char name[DF_LINE];

	return (quoted(text, "extent '", name) || quoted(text, "parent '", name)) &&
	       (name[0] == '/' || strstr(name, ".."));
}

/* A parent is named, and there is no such file. */
static bool no_parent(const struct df_image *img, const char *text)
{
	char value[DF_LINE];

	if (!df_value(img, "parentCID", value) || !strcasecmp(value, "ffffffff"))
		return false;
	return !df_value(img, "parentFileNameHint", value) || !is_file(img, value);
}

/* Its text, if it is one, does not begin as a descriptor does. */
static bool parent_no_image(const struct df_image *img, const char *text)
{
	char line[DF_LINE] = "";
	struct df_text t;
	u32 i;

	for (i = 1; i < img->view.nr; i++) {
		if (strcmp(img->name[i], "image1.vmdk"))
			continue;
		if (!df_descriptor(img, i, &t))
			return true;
		while (!line[0] && df_next_line(&t, line))
			;
		return !df_signature(line);
	}
	return false;
}

static bool parent_cid(const struct df_image *img, const char *text)
{
	char parent[DF_LINE], value[DF_LINE];
	struct df_text t;
	char line[DF_LINE], key[DF_LINE];
	u32 i;

	if (!df_value(img, "parentCID", parent))
		return false;
	for (i = 1; i < img->view.nr; i++) {
		if (strcmp(img->name[i], "image1.vmdk") || !df_descriptor(img, i, &t))
			continue;
		while (df_next_line(&t, line))
			if (df_key(line, key, value) && !strcasecmp(key, "CID"))
				return strtoul(value, NULL, 16) != strtoul(parent, NULL, 16);
	}
	return false;
}

/* The name of an extent in line @line. */
static bool extent_name(const char *line, char *name)
{
	return df_is_extent(line) && sscanf(line, "%*s %*s %*s \"%511[^\"]\"", name) == 1;
}

/* How many extents, and descriptors, are in file @want? */
static u32 uses(const struct df_image *img, const char *want)
{
	char line[DF_LINE], name[DF_LINE];
	struct df_text t;
	u32 i, nr = 0;

	for (i = 0; i < img->view.nr; i++) {
		if (!df_descriptor(img, i, &t))
			continue;
		if (!i && !strcmp(want, TOP_NAME))
			nr++;
		while (df_next_line(&t, line))
			nr += extent_name(line, name) && !strcmp(name, want);
	}
	return nr;
}

static bool used_twice(const struct df_image *img, const char *text)
{
	u32 i;

	for (i = 0; i < img->view.nr; i++)
		if (strstr(text, img->name[i]) && uses(img, img->name[i]) > 1)
			return true;
	return false;
}

/* Is there a flat extent of which @is is true? */
static bool any_flat(const struct df_image *img,
		     bool (*is)(const struct df_image *img, const struct dm_seg *s))
{
	static struct dm_model m;
	u32 i, d;

	dm_open(&m, img, 0);
	for (d = 0; d < m.nr; d++)
		for (i = 0; i < m.images[d].nr; i++)
			if (m.images[d].segs[i].kind == DM_FLAT && is(img, &m.images[d].segs[i]))
				return true;
	return false;
}

static bool is_short(const struct df_image *img, const struct dm_seg *s)
{
	return (s->offset + s->len) * DF_SECTOR > ((img->view.file[s->file].len + 511) & ~511ULL);
}

static bool flat_short(const struct df_image *img, const char *text)
{
	return any_flat(img, is_short);
}

static bool is_beyond(const struct df_image *img, const struct dm_seg *s)
{
	return s->offset + s->len > 1ULL << 53;
}

static bool flat_beyond(const struct df_image *img, const char *text)
{
	return any_flat(img, is_beyond);
}

/* The lines' sizes, one by one and together. */
static bool too_large(const struct df_image *img, const char *text)
{
	char line[DF_LINE], w[4][40];
	struct df_text t;
	u64 sum, n;
	u32 i;

	for (i = 0; i < img->view.nr; i++) {
		if (!df_descriptor(img, i, &t))
			continue;
		for (sum = 0; df_next_line(&t, line);) {
			if (!df_is_extent(line) || df_words(line, w) < 2 || !df_decimal(w[1], &n))
				continue;
			sum += min(n, 1ULL << 54);
			if (sum > 1ULL << 37)
				return true;
		}
	}
	return false;
}

static bool empty(const struct df_image *img, const char *text)
{
	return !img->view.file[0].len;
}

const struct df_rule df_file_rules[] = {
	{ "flat extent needs", flat_short, "a flat extent is longer than its file: some of the disk is missing, and would read as zeros" },
	{ "legal: multiples of 512 to", flat_beyond, "a flat extent ends past any file" },
	{ "not found", missing, "the file of an extent is not there" },
	{ "has a parent, but names neither", no_parent, "it is unknown what the disk has where this file has nothing" },
	{ "parent with UUID", no_parent, "the parent is not there: what only it holds would read as zeros" },
	{ "parent '", no_parent, "the parent is not there: what only it holds would read as zeros" },
	{ "wants a parent with CID", parent_cid, "the parent's CID is not the one that the child was made of" },
	{ "is in no format that", parent_no_image, "the parent has not the signature of a descriptor" },
	{ "lies outside the image's directory", outside, "a name leads out of the image's directory: an image could name any file of the host" },
	{ "is used twice", used_twice, "one file is used for two parts of the disk" },
	{ "more than 4096 extents, 64 TiB", too_large, "the extents together are more than 64 TiB" },
	{ "is empty", empty, "a raw image of no bytes" },
	{ NULL, NULL, NULL },
};
