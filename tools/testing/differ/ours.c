// SPDX-License-Identifier: GPL-2.0-only
/*
 * vdisk's reading of an image: the very code of vdctl from the path on, but for
 * the cage of the parser. That one would cost a process for every file, and what
 * it lets through is what the parser says.
 */
#include <signal.h>
#include <stdlib.h>
#include "image-set.h"
#include "vdisk/ufile.h"
#include "differ.h"

struct ctl ctl = { .quiet = true };
enum df_wrong df_ours_wrong;

static char complaint[DF_TEXT];

static void keep_complaint(const char *text)
{
	if (!complaint[0])
		snprintf(complaint, sizeof(complaint), "%s", text);
}

static const struct vd_format *format_of(struct vd_file *file, const char *name)
{
	const struct vd_format *const *f, *best = NULL;
	int score = 0;

	for (f = vd_formats(); *f; f++) {
		struct vd_probe probe = { 0 };

		if (name && !strcmp((*f)->name, name))
			return *f;
		if (name || !((*f)->caps & VD_CAP_PROBE) || (*f)->probe(file, &probe))
			continue;
		if ((int)probe.score > score)
			best = *f;
		score = max(score, (int)probe.score);
	}
	return best;
}

static int parse(struct vd_file *file, const char *path, const char *name, struct parsed *out)
{
	const struct vd_format *format = format_of(file, name);
	struct vd_error err = { 0 };

	out->format = format ? format->id : VDISK_FORMAT_RAW;
	if (!format || !format->user->layout)
		return 0;
	if (format->user->layout(file, &out->layout, &err))
		return ctl_vd_error(&err, path);
	if (vd_layout_check(out->layout, out->layout->total, &err))
		return ctl_vd_error(&err, path);
	return 0;
}

/* Stands in for the one of vdctl, which does the same in a child process. */
int parse_confined(int fd, const char *path, const char *format, bool want_layout,
		   struct parsed *out)
{
	struct vd_error err = { 0 };
	struct vd_file *file = vd_ufile_fd(fd, false, &err);
	int ret;

	memset(out, 0, sizeof(*out));
	if (!file)
		return ctl_vd_error(&err, path);
	ret = parse(file, path, format, out);
	vd_ufile_free(file);
	return ret;
}

/* Of images that are opened for writing. */
int extent_confined(int fd, const char *path, u32 kind, struct vd_extent_state *out)
{
	abort();
}

static void refused(struct df_answer *a)
{
	char *text = ctl_take();

	snprintf(a->text, sizeof(a->text), "%s", text);
	free(text);
}

static void bad_sectors(struct df_piece *p, u64 pos, u64 len)
{
	memset(p->data + (pos - p->pos), 0, len);
	memset(p->bad + (pos - p->pos) / DF_SECTOR, 1, len / DF_SECTOR);
}

static void read_piece(struct vd_chain *chain, struct vd_unit *unit, struct df_answer *a,
		       struct df_piece *p)
{
	u64 pos = p->pos, end = p->pos + p->len;
	struct vd_extent ext;

	for (; pos < end; pos += ext.len) {
		complaint[0] = '\0';
		if (vd_map(chain, pos, end - pos, 0, &ext)) {
			ext.len = DF_SECTOR;
			bad_sectors(p, pos, ext.len);
		} else if (vd_read(chain, unit, pos, p->data + (pos - p->pos), (u32)ext.len)) {
			bad_sectors(p, pos, ext.len);
		}
		if (complaint[0] && !a->text[0])
			snprintf(a->text, sizeof(a->text), "%s", complaint);
	}
}

static void map_head(struct vd_chain *chain, struct df_answer *a)
{
	u64 end = a->pieces[0].len, pos;
	struct vd_extent ext;

	for (pos = 0; pos < end; pos += ext.len) {
		struct df_range r = { .start = pos };

		if (vd_map(chain, pos, end - pos, 0, &ext)) {
			ext.len = DF_SECTOR;
			a->map_failed = true;
			continue;
		}
		r.len = ext.len;
		r.data = ext.type == VD_EXT_DATA || ext.type == VD_EXT_PACKED;
		r.zero = !r.data;
		r.has_offset = ext.type == VD_EXT_DATA;
		r.offset = ext.file_pos;
		r.depth = ext.seg ? ext.seg->image : chain->nr_images - 1;
		df_answer_range(a, &r);
	}
}

/* For the controls: a bit of the first data. */
static void spoil_content(struct df_piece *p)
{
	u64 i;

	for (i = 0; i < p->len; i++) {
		if (!p->data[i])
			continue;
		p->data[i] ^= 0x80;
		return;
	}
}

/* A place in the map, one sector off. */
static void spoil_map(struct df_answer *a)
{
	u32 i;

	for (i = 0; i < a->nr_map; i++) {
		if (!a->map[i].has_offset)
			continue;
		a->map[i].offset += DF_SECTOR;
		return;
	}
}

/* Or a refusal whose reason is not so. */
static void spoil(struct df_answer *a)
{
	switch (df_ours_wrong) {
	case DF_RIGHT:
		break;
	case DF_WRONG_CONTENT:
		spoil_content(&a->pieces[0]);
		break;
	case DF_WRONG_MAP:
		spoil_map(a);
		break;
	case DF_WRONG_REFUSAL:
		a->opened = false;
		snprintf(a->text, sizeof(a->text),
			 "header: numGTEsPerGT at byte 44 is 511, legal is 512");
		break;
	case DF_WRONG_CRASH:
		raise(SIGSEGV);
	}
}

static void read_disk(const struct image_set *set, struct df_answer *a)
{
	struct vd_unit unit = { 0 };
	struct open_chain open;
	u32 i;

	if (chain_open(set, &open))
		return refused(a);
	vd_log_hook = keep_complaint;
	a->opened = true;
	df_answer_pieces(a, open.chain->size);
	for (i = 0; i < a->nr_pieces; i++)
		read_piece(open.chain, &unit, a, &a->pieces[i]);
	map_head(open.chain, a);
	vd_unit_release(&unit);
	chain_close(&open);
	spoil(a);
}

void df_ours(const struct df_image *img, struct df_answer *a)
{
	struct set_options opts = { .format = img->raw ? "raw" : "vmdk", .lock = SET_LOCK_NO };
	char *path = (char *)img->name[0];
	struct image_set set;

	df_answer_reset(a);
	if (set_open(&set, &opts, &path, 1)) {
		refused(a);
		return;
	}
	read_disk(&set, a);
	set_close(&set);
}
