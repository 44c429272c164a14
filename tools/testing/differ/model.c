// SPDX-License-Identifier: GPL-2.0-only
/* The third reader: headers, tables, grains. */
#include <stdlib.h>
#include <zlib.h>
#include "model.h"

#define AT_END 0xffffffffffffffffULL

static bool quirk(const struct dm_model *m, enum dm_quirk q)
{
	return m->quirks & 1U << q;
}

u64 dm_number(const struct df_image *img, u32 file, u64 pos, u32 width)
{
	const struct fz_view_file *f = &img->view.file[file];
	u64 n = 0;
	u32 i;

	for (i = 0; i < width; i++)
		if (pos < f->len && i < f->len - pos)
			n |= (u64)f->data[pos + i] << 8 * i;
	return n;
}

static u64 ceil_div(u64 n, u64 by)
{
	return by ? n / by + !!(n % by) : 0;
}

static u64 file_len(const struct dm_model *m, const struct dm_seg *s)
{
	return m->img->view.file[s->file].len;
}

/* --- headers --- */

bool dm_hosted(const struct df_image *img, u32 file, struct dm_seg *seg)
{
	u64 end = img->view.file[file].len & ~(DF_SECTOR - 1), at = 0;
	u64 flags;

	seg->desc = dm_number(img, file, 28, 8);
	seg->desc_len = dm_number(img, file, 36, 8);
	if (dm_number(img, file, 56, 8) == AT_END) {
		if (end < 4 * DF_SECTOR)
			return false;
		at = end - 2 * DF_SECTOR;
	}
	if (dm_number(img, file, at, 4) != 0x564d444b)
		return false;
	flags = dm_number(img, file, at + 8, 4);
	seg->kind = DM_HOSTED;
	seg->file = file;
	seg->capacity = dm_number(img, file, at + 12, 8);
	seg->grain = dm_number(img, file, at + 20, 8);
	seg->gd = dm_number(img, file, at + 56, 8);
	seg->rgd = flags & 2 ? dm_number(img, file, at + 48, 8) : 0;
	seg->over_head = dm_number(img, file, at + 64, 8);
	seg->zero_entries = flags & 4;
	seg->packed = dm_number(img, file, at + 77, 2) == 1;
	seg->markers = flags & 1U << 17;
	seg->tables = ceil_div(ceil_div(seg->capacity, seg->grain), 512);
	return seg->grain && seg->capacity;
}

static bool cowd_header(const struct df_image *img, u32 file, struct dm_seg *seg)
{
	if (dm_number(img, file, 0, 4) != 0x44574f43)
		return false;
	seg->kind = DM_COWD;
	seg->file = file;
	seg->capacity = dm_number(img, file, 12, 4);
	seg->grain = dm_number(img, file, 16, 4);
	seg->gd = dm_number(img, file, 20, 4);
	seg->tables = dm_number(img, file, 24, 4);
	return seg->grain && seg->capacity;
}

static bool sesparse_header(const struct df_image *img, u32 file, struct dm_seg *seg)
{
	if (dm_number(img, file, 0, 8) != 0xcafebabe)
		return false;
	seg->kind = DM_SESPARSE;
	seg->file = file;
	seg->capacity = dm_number(img, file, 16, 8);
	seg->grain = 8;
	seg->gd = dm_number(img, file, 128, 8);
	seg->tables = dm_number(img, file, 136, 8) * 64;
	seg->gts = dm_number(img, file, 144, 8);
	seg->nr_gts = dm_number(img, file, 152, 8) / 64;
	seg->grains = dm_number(img, file, 192, 8);
	seg->nr_grains = dm_number(img, file, 200, 8) / 8;
	return seg->capacity;
}

/* What a file that an extent line calls sparse really is. */
static bool any_header(const struct df_image *img, u32 file, struct dm_seg *seg)
{
	return seg->kind == DM_SESPARSE ? sesparse_header(img, file, seg) :
	       cowd_header(img, file, seg) || dm_hosted(img, file, seg);
}

/* Lines became extents: give them headers, places and lengths. */
static bool place_segs(struct dm_model *m, struct dm_image *image)
{
	struct dm_seg *s;
	u32 i;

	image->sectors = 0;
	for (i = 0; i < image->nr; i++) {
		s = &image->segs[i];
		if (s->kind == DM_HOSTED || s->kind == DM_COWD || s->kind == DM_SESPARSE) {
			if (!any_header(m->img, s->file, s))
				return false;
			if (quirk(m, DM_CAPACITY))
				s->len = s->capacity;
		}
		s->start = image->sectors;
		image->sectors += s->len;
	}
	return image->nr;
}

static bool open_embedded(struct dm_model *m, u32 file, struct dm_image *image)
{
	struct dm_seg self = { 0 };
	bool text;

	if (!dm_hosted(m->img, file, &self))
		return false;
	text = dm_text(m, file, quirk(m, DM_NO_PARENT) ? DF_SECTOR : self.desc * DF_SECTOR,
		       quirk(m, DM_NO_PARENT) ? 20 * DF_SECTOR : self.desc_len * DF_SECTOR, image);
	if (quirk(m, DM_EMBEDDED)) {
		image->nr = 1;
		image->segs[0].kind = DM_HOSTED;
		/* As long as its line says, unless that is another quirk's to say. */
		if (!text || !image->segs[0].len)
			image->segs[0].len = self.capacity;
	} else if (!text) {
		return false;
	}
	image->segs[0].file = file;
	return place_segs(m, image);
}

static bool open_bare_cowd(struct dm_model *m, u32 file, struct dm_image *image)
{
	image->nr = 1;
	if (!cowd_header(m->img, file, &image->segs[0]))
		return false;
	image->segs[0].len = image->segs[0].capacity;
	return place_segs(m, image);
}

static bool open_image(struct dm_model *m, u32 file, struct dm_image *image)
{
	memset(image, 0, sizeof(*image));
	image->parent_cid = ~0U;
	switch (dm_number(m->img, file, 0, 4)) {
	case 0x564d444b:
		return open_embedded(m, file, image);
	case 0x44574f43:
		return open_bare_cowd(m, file, image);
	}
	return dm_text(m, file, 0, m->img->view.file[file].len, image) && place_segs(m, image);
}

static bool open_raw(struct dm_model *m)
{
	struct dm_image *image = &m->images[0];

	memset(image, 0, sizeof(*image));
	image->nr = 1;
	image->segs[0].kind = DM_FLAT;
	image->segs[0].len = ceil_div(m->img->view.file[0].len, DF_SECTOR);
	return place_segs(m, image);
}

/* Images have one parent at most here, and it is a file of its own. */
bool dm_open(struct dm_model *m, const struct df_image *img, u32 quirks)
{
	u32 i;

	m->img = img;
	m->quirks = quirks;
	m->nr = 1;
	if (img->raw)
		return open_raw(m);
	if (!open_image(m, 0, &m->images[0]))
		return false;
	while (m->images[m->nr - 1].has_parent) {
		if (m->nr == DM_IMAGES)
			return false;
		for (i = 0; i < img->view.nr && strcmp(img->name[i], "image1.vmdk"); i++)
			;
		if (i == img->view.nr || !open_image(m, i, &m->images[m->nr]))
			return false;
		m->images[m->nr - 1].wrong_parent =
			quirk(m, DM_PARENT_CID) &&
			dm_first_cid(img, i) != m->images[m->nr - 1].parent_cid;
		m->nr++;
	}
	return true;
}

/* --- hosted sparse --- */

static bool apart(u64 a, u64 a_len, u64 b, u64 b_len)
{
	return !a_len || !b_len || a >= b + b_len || b >= a + a_len;
}

/* Not in the header, the descriptor or a directory. */
static bool clear(const struct dm_seg *s, u64 sector, u64 len)
{
	u64 dir = ceil_div(s->tables * 4, DF_SECTOR);

	return apart(sector, len, 0, 1) && apart(sector, len, s->gd, dir) &&
	       apart(sector, len, s->desc, s->desc ? s->desc_len : 0) &&
	       apart(sector, len, s->rgd, s->rgd ? dir : 0);
}

/* 1: *@gte; 0: there is no table; -1: it cannot be. */
static int ask(const struct dm_model *m, const struct dm_seg *s, u64 dir, u64 grain, u64 *gte)
{
	u64 gt = dm_number(m->img, s->file, dir * DF_SECTOR + grain / 512 * 4, 4);

	if (!gt)
		return 0;
	if (!quirk(m, DM_ANY_TABLE) &&
	    (gt * DF_SECTOR + 2048 > file_len(m, s) || !clear(s, gt, 4)))
		return -1;
	*gte = dm_number(m->img, s->file, gt * DF_SECTOR + grain % 512 * 4, 4);
	return 1;
}

static int find_entry(const struct dm_model *m, const struct dm_seg *s, u64 grain, u64 *gte)
{
	int one = ask(m, s, s->gd, grain, gte), two;

	if (one > 0 || !s->rgd || quirk(m, DM_ONE_DIR))
		return one;
	two = ask(m, s, s->rgd, grain, gte);
	return two > 0 ? two : one;
}

static void place(const struct dm_model *m, const struct dm_seg *s, u64 pos, struct dm_hit *hit)
{
	const struct fz_view_file *f = &m->img->view.file[s->file];

	/* A last sector that is there in part counts. */
	if (pos >= ((f->len + DF_SECTOR - 1) & ~(DF_SECTOR - 1)) && !quirk(m, DM_TAIL_PLACE)) {
		hit->what = DM_ZEROS;
		return;
	}
	hit->what = DM_PLACE;
	hit->pos = pos;
	if (pos < f->len)
		memcpy(hit->bytes, f->data + pos, min(DF_SECTOR, f->len - pos));
}

/* The last stream that was inflated, for the next sector of it. */
static struct {
	const u8 *from;
	u64 len, got;
	u8 *to;
	bool good, trailing;
} last;

#define UNPACKED_MAX (2U << 20)

void dm_new_image(void)
{
	last.from = NULL;
}

/* One zlib stream: whole, and into no more than @room bytes. */
static void inflate_into(u8 *from, u64 len, u64 room)
{
	z_stream z = { .next_in = from, .avail_in = (uInt)len, .next_out = last.to,
		       .avail_out = (uInt)room };

	last.good = inflateInit(&z) == Z_OK && inflate(&z, Z_FINISH) == Z_STREAM_END;
	last.trailing = z.avail_in;
	last.got = z.total_out;
	inflateEnd(&z);
}

/*
 * From @len bytes, zeros behind the end of the file among them; false: no whole
 * stream.
 */
static bool inflate_at(const struct fz_view_file *f, u64 pos, u64 len, u64 room)
{
	u8 *from = f->data + pos;

	/* The buffer of a file has zeros behind its end, and room enough for all. */
	len = min(len, f->room - pos);
	if (last.from == from && last.len == len)
		return last.good;
	if (!last.to)
		last.to = malloc(UNPACKED_MAX);
	if (!last.to)
		abort();
	inflate_into(from, len, min(room, (u64)UNPACKED_MAX));
	last.from = from;
	last.len = len;
	return last.good;
}

static void packed(const struct dm_model *m, const struct dm_seg *s, u64 grain, u64 gte,
		   u64 in_grain, struct dm_hit *hit)
{
	const struct fz_view_file *f = &m->img->view.file[s->file];
	u64 bytes = s->grain * DF_SECTOR, pos = gte * DF_SECTOR, at = in_grain * DF_SECTOR;
	u64 skip = s->markers ? 12 : 4, size, most = bytes + bytes / 8 + 1024 - skip;
	bool room = quirk(m, DM_PACK_ROOM);

	hit->what = DM_BAD;
	if (s->markers && !quirk(m, DM_NO_LBA) &&
	    dm_number(m->img, s->file, pos, 8) != grain * s->grain)
		return;
	size = dm_number(m->img, s->file, pos + skip - 4, 4);
	if (!s->markers && quirk(m, DM_NO_PREFIX)) {
		skip = 0;
		size = 2 * bytes;
	}
	if (!size || (room ? size > 2 * bytes : size > most || pos + skip + size > f->len))
		return;
	if (pos + skip >= f->len || !inflate_at(f, pos + skip, size, bytes))
		return;
	if (last.trailing && !quirk(m, DM_TRAILING))
		return;
	if (quirk(m, DM_SHORT) && at + DF_SECTOR > last.got)
		return;
	hit->what = DM_PACKED;
	if (at < last.got)
		memcpy(hit->bytes, last.to + at, min(DF_SECTOR, last.got - at));
}

static void hosted(const struct dm_model *m, const struct dm_seg *s, u64 sector,
		   struct dm_hit *hit)
{
	u64 grain = sector / s->grain, in_grain = sector % s->grain, gte = 0;
	int ret = find_entry(m, s, grain, &gte);
	bool good;

	if (ret < 0)
		return;
	hit->what = DM_HOLE;
	if (!ret || !gte)
		return;
	if (gte == 1 && s->zero_entries) {
		hit->what = DM_ZEROS;
		return;
	}
	good = gte != 1 && gte >= s->over_head && gte * DF_SECTOR < file_len(m, s) &&
	       clear(s, gte, s->packed ? 1 : s->grain);
	if (!good && !quirk(m, DM_ANY_GRAIN))
		hit->what = DM_BAD;
	else if (s->packed)
		packed(m, s, grain, gte, in_grain, hit);
	else
		place(m, s, (gte + in_grain) * DF_SECTOR, hit);
}

/* --- ESX --- */

static void cowd(const struct dm_model *m, const struct dm_seg *s, u64 sector, struct dm_hit *hit)
{
	u64 grain = sector / s->grain, in_grain = sector % s->grain, dir_end, gt, gte;

	gt = dm_number(m->img, s->file, s->gd * DF_SECTOR + grain / 4096 * 4, 4);
	dir_end = ceil_div(s->tables * 4, DF_SECTOR);
	hit->what = DM_HOLE;
	if (!gt)
		return;
	hit->what = DM_BAD;
	if (!quirk(m, DM_ANY_TABLE) &&
	    (gt < 4 || !apart(gt, 32, s->gd, dir_end) || gt * DF_SECTOR + 16384 > file_len(m, s)))
		return;
	gte = dm_number(m->img, s->file, gt * DF_SECTOR + grain % 4096 * 4, 4);
	if (!gte)
		hit->what = DM_HOLE;
	else if (quirk(m, DM_ANY_GRAIN) ||
		 (gte >= 4 && apart(gte, s->grain, s->gd, dir_end) &&
		  apart(gte, s->grain, gt, 32) && gte * DF_SECTOR < file_len(m, s)))
		place(m, s, (gte + in_grain) * DF_SECTOR, hit);
}

static void sesparse(const struct dm_model *m, const struct dm_seg *s, u64 sector,
		     struct dm_hit *hit)
{
	u64 grain = sector / 8, in_grain = sector % 8, gde, gte, index;
	bool any = quirk(m, DM_SE_ANY);

	gde = dm_number(m->img, s->file, s->gd * DF_SECTOR + grain / 4096 * 8, 8);
	hit->what = gde ? DM_BAD : DM_HOLE;
	if (gde >> 32 != 0x10000000 || (!any && (u32)gde >= s->nr_gts))
		return;
	gte = dm_number(m->img, s->file,
			(s->gts + (u64)(u32)gde * 64) * DF_SECTOR + grain % 4096 * 8, 8);
	index = (gte >> 48 & 0xfff) | (gte & 0xffffffffffff) << 12;
	switch (gte >> 60) {
	case 0:
		hit->what = gte ? DM_BAD : DM_HOLE;
		break;
	case 1:
	case 2:
		hit->what = DM_ZEROS;
		break;
	case 3:
		if (any || (index < s->nr_grains && (s->grains + index * 8) * DF_SECTOR <
						    file_len(m, s)))
			place(m, s, (s->grains + index * 8 + in_grain) * DF_SECTOR, hit);
	}
}

/* --- images --- */

static void ask_seg(const struct dm_model *m, const struct dm_seg *s, u64 sector,
		    struct dm_hit *hit)
{
	switch (s->kind) {
	case DM_FLAT:
		return place(m, s, (s->offset + sector) * DF_SECTOR, hit);
	case DM_HOSTED:
		return hosted(m, s, sector, hit);
	case DM_COWD:
		return cowd(m, s, sector, hit);
	case DM_SESPARSE:
		return sesparse(m, s, sector, hit);
	case DM_ZERO:
		hit->what = DM_ZEROS;
		return;
	case DM_NOACCESS:
		return;
	}
}

/* Where the next extent begins. */
static u64 seg_end(const struct dm_model *m, const struct dm_seg *s)
{
	u64 end = s->start + s->len;

	if (quirk(m, DM_OVER_END) && s->grain)
		end = s->start + ceil_div(s->len, s->grain) * s->grain;
	return end;
}

void dm_sector(const struct dm_model *m, u64 sector, struct dm_hit *hit)
{
	const struct dm_image *image;
	u32 i, d;

	memset(hit, 0, sizeof(*hit));
	for (d = 0; d < m->nr; d++) {
		image = &m->images[d];
		if (sector >= image->sectors)
			break;
		for (i = 0; i + 1 < image->nr && sector >= seg_end(m, &image->segs[i]); i++)
			;
		hit->depth = d;
		hit->what = DM_BAD;
		ask_seg(m, &image->segs[i], sector - image->segs[i].start, hit);
		if (hit->what == DM_HOLE && image->wrong_parent)
			hit->what = DM_BAD;
		if (hit->what != DM_HOLE)
			return;
	}
	hit->what = DM_HOLE;
}
