// SPDX-License-Identifier: GPL-2.0-only
/* The third reader: descriptors, by the grammar or as QEMU scans them. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include "model.h"

#define LINE 1024

static bool quirk(const struct dm_model *m, enum dm_quirk q)
{
	return m->quirks & 1U << q;
}

static const struct {
	const char *name;
	enum dm_kind kind;
} types[] = {
	{ "FLAT", DM_FLAT }, { "VMFS", DM_FLAT }, { "SPARSE", DM_HOSTED },
	{ "VMFSSPARSE", DM_COWD }, { "SESPARSE", DM_SESPARSE }, { "ZERO", DM_ZERO },
};

static bool find_file(const struct df_image *img, const char *name, u32 *file)
{
	while (!strncmp(name, "./", 2))
		name += 2;
	for (*file = 0; *file < img->view.nr; (*file)++)
		if (!strcmp(img->name[*file], name))
			return true;
	return false;
}

/* An extent line in its four parts. */
struct parts {
	char access[16], type[16], name[512];
	long long sectors, offset;
	int nr;
};

static void split(const char *line, struct parts *p)
{
	memset(p, 0, sizeof(*p));
	p->nr = sscanf(line, "%10s %lld %10s \"%511[^\n\r\"]\" %lld", p->access, &p->sectors,
		       p->type, p->name, &p->offset);
}

/* 0: no extent; 1: one; -1: it should be one. */
static int take_extent(const struct dm_model *m, const char *line, struct dm_image *image)
{
	struct dm_seg *s = &image->segs[image->nr];
	bool qemu = quirk(m, DM_SKIP_LINES);
	struct parts p;
	size_t i;

	split(line, &p);
	if (p.nr < 3 || (strcasecmp(p.access, "RW") && strcasecmp(p.access, "RDONLY") &&
			 strcasecmp(p.access, "NOACCESS")))
		return p.nr >= 1 && !strcasecmp(p.access, "NOACCESS") ? -1 : 0;
	if (qemu && (p.nr < 4 || strcmp(p.access, "RW") || p.sectors <= 0))
		return 0;
	for (i = 0; i < ARRAY_SIZE(types); i++)
		if (!(qemu ? strcmp : strcasecmp)(p.type, types[i].name))
			break;
	if (i == ARRAY_SIZE(types))
		return qemu ? 0 : -1;
	if (image->nr == DM_SEGS || p.sectors <= 0)
		return -1;
	s->kind = strcasecmp(p.access, "NOACCESS") ? types[i].kind : DM_NOACCESS;
	s->len = (u64)p.sectors;
	s->offset = (u64)p.offset;
	if (qemu && s->kind == DM_ZERO)
		return 0;
	if (s->kind != DM_ZERO && s->kind != DM_NOACCESS && !find_file(m->img, p.name, &s->file) &&
	    !(image->nr == 0 && s->kind == DM_HOSTED))
		return -1;
	image->nr++;
	return 1;
}

/* The value of "key = value", without quotes and blanks. */
static bool value_of(const char *line, const char *key, char *to, size_t room)
{
	size_t len = strlen(key);

	if (strncasecmp(line, key, len))
		return false;
	line += len;
	line += strspn(line, " \t");
	if (*line++ != '=')
		return false;
	line += strspn(line, " \t\"");
	snprintf(to, room, "%s", line);
	len = strlen(to);
	while (len && strchr(" \t\"", to[len - 1]))
		to[--len] = '\0';
	return true;
}

static void take_key(const char *line, struct dm_image *image)
{
	char value[LINE];

	if (value_of(line, "CID", value, sizeof(value)))
		image->cid = (u32)strtoul(value, NULL, 16);
	if (value_of(line, "parentCID", value, sizeof(value)))
		image->parent_cid = (u32)strtoul(value, NULL, 16);
}

/* @rest: the text from @line on. */
static bool take_line(const struct dm_model *m, char *line, const char *rest,
		      struct dm_image *image)
{
	size_t len = strlen(line);
	int ret;

	if (len && line[len - 1] == '\r')
		line[--len] = '\0';
	line += strspn(line, " \t");
	if (quirk(m, DM_SCANF))
		ret = take_extent(m, rest, image);
	else
		ret = *line == '#' || !*line ? 0 : take_extent(m, line, image);
	if (!ret && *line != '#')
		take_key(line, image);
	return ret >= 0;
}

/* As QEMU looks for it, in a descriptor that is a file of its own. */
u32 dm_first_cid(const struct df_image *img, u32 file)
{
	const struct fz_view_file *f = &img->view.file[file];
	const char *at = memmem(f->data, f->len, "CID=", 4);

	/* Room behind the file's end holds zeros. */
	return at ? (u32)strtoul(at + 4, NULL, 16) : 0;
}

bool dm_text(struct dm_model *m, u32 file, u64 pos, u64 len, struct dm_image *image)
{
	const struct fz_view_file *f = &m->img->view.file[file];
	const char *text = (const char *)f->data + pos;
	char line[LINE];
	u64 at = 0, n;

	if (pos >= f->len)
		return false;
	len = min(len, f->len - pos);
	if (len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
		at = 3;
	while (at < len && text[at]) {
		for (n = 0; at + n < len && text[at + n] && text[at + n] != '\n'; n++)
			;
		snprintf(line, sizeof(line), "%.*s", (int)min(n, (u64)LINE - 1), text + at);
		if (!take_line(m, line, text + at, image))
			return false;
		at += n;
		if (at < len && text[at] == '\n')
			at++;
	}
	image->has_parent = image->parent_cid != ~0U;
	return image->nr;
}
