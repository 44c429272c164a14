// SPDX-License-Identifier: GPL-2.0-only
/*
 * The descriptor inside a hosted sparse extent, replaced so that a crash leaves the
 * old text or the new one. User space only.
 *
 * A sector is written whole or not at all. If the texts differ in one only, that is
 * all. Else the new text goes to a second place first:
 *
 *	1. the second place: behind the NUL of the old text, or past the end of the
 *	   file and its last grain; with a record of where the descriptor belongs
 *	2. the header names the second place: from here on the new text is in force
 *	3. the first place: the new text
 *	4. the header names the first place again
 *	5. the second place is zeros, or cut off
 *
 * Each step is durable before the next. What was stopped between 2 and 4 is finished
 * by the next call, before anything else. A stop before 2 or after 4 may leave sectors
 * that nothing refers to.
 */
#include "vdisk/caps.h"
#include "vdisk/checked.h"
#include "vdisk/layout.h"
#include "embed.h"
#include "vmdk.h"

#define SECTORS(bytes)	((u64)(bytes) >> VD_SECTOR_SHIFT)

/* Some bytes of the file; whole sectors. */
struct place {
	u64 pos;
	u64 len;
};

/**
 * struct embed - an extent whose descriptor is replaced
 * @h: its header
 * @home: where the descriptor belongs
 * @second: where it is, or will be, meanwhile
 * @file_size: without the second place if that is past the end; else 0
 * @area: what is in @home, @area_len bytes, and a NUL
 * @want: what shall be there
 */
struct embed {
	struct vd_file *file;
	struct vd_error *err;
	struct vmdk_header h;
	struct place home;
	struct place second;
	u64 file_size;
	char *area;
	char *want;
	u32 area_len;
};

static int no_write(struct embed *e, int ret)
{
	return vd_fail(e->err, ret, "the descriptor inside the extent cannot be written");
}

/* How many sectors a text and its NUL take. */
static u64 text_sectors(u32 len)
{
	return SECTORS(len) + 1;
}

static int read_area(struct vd_file *file, const struct place *at, char **out, u32 *len,
		     struct vd_error *err)
{
	int ret;

	*len = (u32)min_t(u64, at->len, VMDK_CAP_DESCRIPTOR);
	*out = vd_zalloc(*len + 1);
	if (!*out)
		return vd_fail(err, -ENOMEM, "out of memory");
	ret = vd_file_read(file, at->pos, *out, *len);
	if (!ret)
		return 0;
	vd_free(*out);
	*out = NULL;
	return vd_fail(err, ret, "descriptor at byte %llu cannot be read", at->pos);
}

static int open_header(struct vd_file *file, struct vmdk_header *h, struct vd_error *err)
{
	int ret;

	ret = vmdk_header_read(file, h, err);
	if (!ret && !h->desc_len)
		ret = vd_fail(err, -EOPNOTSUPP, "the extent has no descriptor inside");
	return ret;
}

int vmdk_embed_read(struct vd_file *file, char **text, u32 *len, struct vd_error *err)
{
	struct vmdk_header h;
	struct place at;
	int ret;

	*text = NULL;
	ret = open_header(file, &h, err);
	if (ret)
		return ret;
	at = (struct place) { h.desc_pos, h.desc_len };
	ret = read_area(file, &at, text, len, err);
	if (!ret)
		*len = (u32)strlen(*text);
	return ret;
}

/* --- steps --- */

static int write_durably(struct embed *e, u64 pos, const void *data, u32 len)
{
	int ret;

	ret = vd_file_write(e->file, pos, data, len);
	if (!ret)
		ret = vd_file_flush(e->file);
	return ret ? no_write(e, ret) : 0;
}

/* Both fields lie in one sector. */
static int point_header(struct embed *e, const struct place *at)
{
	u8 fields[16];

	static_assert(offsetof(struct vmdk_disk_header, descriptor_size) ==
		      offsetof(struct vmdk_disk_header, descriptor_offset) + 8, "neighbours");
	put_unaligned_le64(SECTORS(at->pos), fields);
	put_unaligned_le64(SECTORS(at->len), fields + 8);
	return write_durably(e, offsetof(struct vmdk_disk_header, descriptor_offset), fields,
			     sizeof(fields));
}

/* The file gets the end that it had, unless somebody went on behind that meanwhile. */
static int cut_second(struct embed *e)
{
	u64 now;
	int ret;

	ret = vd_file_size(e->file, &now);
	if (ret)
		return no_write(e, ret);
	if (now == e->second.pos + e->second.len) {
		ret = vd_file_truncate(e->file, e->file_size);
		if (!ret)
			ret = vd_file_flush(e->file);
	}
	if (ret)
		return no_write(e, ret);
	e->file->size = now == e->second.pos + e->second.len ? e->file_size : now;
	return 0;
}

static int drop_second(struct embed *e)
{
	int ret;

	if (e->file_size)
		return cut_second(e);
	ret = vd_file_zero(e->file, e->second.pos, e->second.len, false);
	if (!ret)
		ret = vd_file_flush(e->file);
	return ret ? no_write(e, ret) : 0;
}

/* Steps 3 to 5: the header names the second place, which has the text too. */
static int go_home(struct embed *e, const char *text, u32 len)
{
	int ret;

	ret = write_durably(e, e->home.pos, text, len);
	if (!ret)
		ret = point_header(e, &e->home);
	return ret ? ret : drop_second(e);
}

/* --- what an earlier call left --- */

static bool record_valid(const struct embed *e, const struct vmdk_disk_moved *disk)
{
	struct vmdk_range taken[VMDK_RANGES];
	u64 end = e->h.desc_pos + e->h.desc_len;
	u32 i;

	if (memcmp(disk->magic, VMDK_MOVED_MAGIC, sizeof(disk->magic)) ||
	    get_unaligned_le64(&disk->self) != SECTORS(e->h.desc_pos))
		return false;
	/* It lies below all grains, so no writer has put anything there meanwhile. */
	if (!e->home.len || !vd_inside(e->home.pos, e->home.len, e->h.data_pos))
		return false;
	if (e->file_size ? e->file_size > e->h.desc_pos || e->file_size < e->h.data_pos :
	    e->h.desc_pos <= e->home.pos || end > e->home.pos + e->home.len)
		return false;
	vmdk_taken(&e->h, taken);
	for (i = 0; i < VMDK_RANGES; i++)
		if (i != 1 && vd_overlap(taken[i].pos, taken[i].len, e->home.pos, e->home.len))
			return false;
	return true;
}

/* Is the descriptor in a second place? Then @e says all about it. */
static int find_record(struct embed *e, bool *moved)
{
	struct vmdk_disk_moved disk;
	int ret;

	*moved = false;
	e->second = (struct place) { e->h.desc_pos, e->h.desc_len };
	e->home = e->second;
	ret = vd_file_read(e->file, e->second.pos + e->second.len - sizeof(disk), &disk,
			   sizeof(disk));
	if (ret)
		return vd_fail(e->err, ret, "descriptor at byte %llu cannot be read",
			       e->h.desc_pos);
	if (!vd_sectors(get_unaligned_le64(&disk.home), &e->home.pos) ||
	    !vd_sectors(get_unaligned_le64(&disk.home_size), &e->home.len))
		return 0;
	e->file_size = get_unaligned_le64(&disk.file_size);
	*moved = record_valid(e, &disk);
	return 0;
}

static int finish_move(struct embed *e)
{
	u32 len, padded;
	char *text;
	int ret;

	ret = read_area(e->file, &e->second, &text, &len, e->err);
	if (ret)
		return ret;
	padded = (u32)text_sectors((u32)strlen(text)) << VD_SECTOR_SHIFT;
	if (padded >= len || padded > e->home.len)
		ret = vd_fail(e->err, -EUCLEAN, "the descriptor at byte %llu has no end",
			      e->h.desc_pos);
	else
		ret = go_home(e, text, padded);
	vd_free(text);
	return ret;
}

/* Afterwards the descriptor is where it belongs, and @e->home says where. */
static int put_in_order(struct embed *e)
{
	bool moved;
	int ret;

	ret = find_record(e, &moved);
	if (!ret && moved)
		ret = finish_move(e);
	if (!moved)
		e->home = e->second;
	e->file_size = 0;
	return ret;
}

/* --- a new text --- */

static int check_text(struct embed *e, const char *text, u32 len)
{
	struct vd_layout *layout;
	int ret;

	if (len >= e->area_len)
		return vd_fail(e->err, -E2BIG,
			       "the new descriptor has %u bytes, there is room for %u inside the extent",
			       len, e->area_len - 1);
	if (memchr(text, 0, len))
		return vd_fail(e->err, -EINVAL, "the new descriptor holds a NUL");
	ret = vmdk_layout_text(text, len, &e->h, &layout, e->err);
	if (!ret)
		vd_free(layout);
	return ret;
}

/* The whole of the first place as it shall be; what is behind both texts stays. */
static int make_want(struct embed *e, const char *text, u32 len)
{
	u32 end = max(len, (u32)strlen(e->area));

	e->want = vd_zalloc(e->area_len);
	if (!e->want)
		return vd_fail(e->err, -ENOMEM, "out of memory");
	end = (u32)min_t(u64, text_sectors(end) << VD_SECTOR_SHIFT, e->area_len);
	memcpy(e->want + end, e->area + end, e->area_len - end);
	memcpy(e->want, text, len);
	return 0;
}

/* How many sectors differ; *@first and *@end enclose them, as bytes of the area. */
static u32 count_changes(const struct embed *e, u32 *first, u32 *end)
{
	u32 pos, n = 0;

	*first = 0;
	*end = 0;
	for (pos = 0; pos < e->area_len; pos += VD_SECTOR) {
		if (!memcmp(e->area + pos, e->want + pos, VD_SECTOR))
			continue;
		if (!n++)
			*first = pos;
		*end = pos + VD_SECTOR;
	}
	return n;
}

/*
 * Behind both texts if that will do, or past the end of the file: so far past it that
 * the rest of a last grain, which the file need not hold, still reads as zeros.
 */
static int place_second(struct embed *e, u32 len)
{
	u64 used = text_sectors(max(len, (u32)strlen(e->area))) << VD_SECTOR_SHIFT;
	u64 now;
	int ret;

	e->second.len = (text_sectors(len) + 1) << VD_SECTOR_SHIFT;
	e->second.pos = e->home.pos + used;
	e->file_size = 0;
	if (vd_inside(used, e->second.len, e->area_len))
		return 0;
	ret = vd_file_size(e->file, &now);
	if (ret)
		return vd_fail(e->err, ret, "the size of the file cannot be told");
	if (e->file->fixed || e->h.flags & VMDK_FLAG_COMPRESSED ||
	    e->home.pos + e->home.len > e->h.data_pos || now < e->h.data_pos)
		return vd_fail(e->err, -ENOSPC,
			       "the descriptor cannot be changed safely: its %u bytes inside the extent have no room for the old text and the new one of %u bytes",
			       e->area_len, len);
	e->second.pos = (vd_ceil_shift(now, VD_SECTOR_SHIFT) << VD_SECTOR_SHIFT) +
			e->h.grain - VD_SECTOR;
	e->file_size = now;
	return 0;
}

static int write_second(struct embed *e, const char *text, u32 len)
{
	u32 bytes = (u32)e->second.len;
	struct vmdk_disk_moved *disk;
	char *buf;
	int ret;

	buf = vd_zalloc(bytes);
	if (!buf)
		return vd_fail(e->err, -ENOMEM, "out of memory");
	memcpy(buf, text, len);
	disk = (void *)(buf + bytes - sizeof(*disk));
	memcpy(disk->magic, VMDK_MOVED_MAGIC, sizeof(disk->magic));
	put_unaligned_le64(SECTORS(e->second.pos), &disk->self);
	put_unaligned_le64(SECTORS(e->home.pos), &disk->home);
	put_unaligned_le64(SECTORS(e->home.len), &disk->home_size);
	put_unaligned_le64(e->file_size, &disk->file_size);
	ret = write_durably(e, e->second.pos, buf, bytes);
	vd_free(buf);
	return ret;
}

/* What cannot be undone now harms nobody: nothing refers to it. */
static void undo_second(struct embed *e)
{
	struct vd_error *err = e->err;

	e->err = NULL;
	drop_second(e);
	e->err = err;
}

/* Which of the places the header names is unknown, unless it takes the first again. */
static void undo_header(struct embed *e)
{
	struct vd_error *err = e->err;
	int ret;

	e->err = NULL;
	ret = point_header(e, &e->home);
	e->err = err;
	if (!ret)
		undo_second(e);
}

static int replace_moving(struct embed *e, const char *text, u32 len, u32 end)
{
	int ret;

	ret = place_second(e, len);
	if (ret)
		return ret;
	ret = write_second(e, text, len);
	if (ret) {
		undo_second(e);
		return ret;
	}
	if (e->file_size)
		e->file->size = e->second.pos + e->second.len;
	ret = point_header(e, &e->second);
	if (ret) {
		undo_header(e);
		return ret;
	}
	return go_home(e, e->want, end);
}

static int replace(struct embed *e, const char *text, u32 len)
{
	u32 first, end, n;
	int ret;

	ret = check_text(e, text, len);
	if (!ret)
		ret = make_want(e, text, len);
	if (ret)
		return ret;
	n = count_changes(e, &first, &end);
	if (!n)
		return 0;
	if (n == 1)
		return write_durably(e, e->home.pos + first, e->want + first, VD_SECTOR);
	return replace_moving(e, text, len, end);
}

int vmdk_embed_replace(struct vd_file *file, const char *text, u32 len, struct vd_error *err)
{
	struct embed e = { .file = file, .err = err };
	int ret;

	ret = open_header(file, &e.h, err);
	if (!ret)
		ret = put_in_order(&e);
	if (!ret)
		ret = read_area(file, &e.home, &e.area, &e.area_len, err);
	if (!ret)
		ret = replace(&e, text, len);
	vd_free(e.area);
	vd_free(e.want);
	return ret;
}
