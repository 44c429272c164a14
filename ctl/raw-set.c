// SPDX-License-Identifier: GPL-2.0-only
/* Raw images: one file or several in a row, and the part of them that is the disk. */
#include <stdlib.h>
#include <unistd.h>
#include "image-set.h"

/* Bytes of the disk in a member: a last sector that is there in part counts. */
static int usable(const struct image_set *set, u32 member, bool last, u64 *bytes)
{
	const struct set_member *m = &set->members[member];
	u64 rest = m->size % 512;

	if (!m->size)
		return ctl_error(CTL_IMAGE, "image_damaged", m->path, "is empty");
	if (rest && !last)
		return ctl_error(CTL_IMAGE, "image_damaged", m->path,
				 "has %llu bytes, no multiple of 512; only the last part may",
				 (unsigned long long)m->size);
	*bytes = m->size + (rest ? 512 - rest : 0);
	return 0;
}

/* [skip, skip + size) of the files in a row becomes image @index. */
static int add_pieces(struct image_set *set, u32 index, u32 first, u32 nr, u64 skip, u64 size)
{
	u64 at = 0, start = 0;
	u32 i;
	int ret;

	for (i = 0; i < nr && start < size; i++) {
		u64 bytes = (set->members[first + i].size + 511) & ~511ULL;
		struct vdisk_segment_desc seg = {
			.kind = VDISK_SEG_RAW,
			.member = first + i,
			.start = start,
		};

		if (at + bytes > skip) {
			seg.offset = skip > at ? skip - at : 0;
			seg.len = min(bytes - seg.offset, size - start);
			ret = set_add_segment(set, index, &seg);
			if (ret)
				return ret;
			start += seg.len;
		}
		at += bytes;
	}
	return 0;
}

static int clip(const struct image_set *set, const char *path, u64 total, u64 *skip, u64 *size)
{
	const struct set_options *opts = set->opts;

	if (opts->offset % 512 || opts->sizelimit % 512)
		return ctl_error(CTL_USAGE, "usage", path,
				 "--offset and --sizelimit must be multiples of 512");
	if (opts->offset >= total)
		return ctl_error(CTL_USAGE, "usage", path,
				 "--offset %llu is not inside the %llu bytes of the image",
				 (unsigned long long)opts->offset, (unsigned long long)total);
	*skip = opts->offset;
	*size = total - opts->offset;
	if (!opts->have_sizelimit)
		return 0;
	if (!opts->sizelimit || opts->sizelimit > *size)
		return ctl_error(CTL_USAGE, "usage", path,
				 "--sizelimit %llu is not inside the %llu bytes from the offset on",
				 (unsigned long long)opts->sizelimit, (unsigned long long)*size);
	*size = opts->sizelimit;
	return 0;
}

/* Gives raw image @index, whose @nr members start at @first, its segments. */
static int describe(struct image_set *set, u32 index, u32 first, u32 nr, bool whole)
{
	struct set_image *image = &set->images[index];
	u64 total = 0, skip = 0, size, bytes = 0;
	u32 i;
	int ret;

	for (i = 0; i < nr; i++) {
		ret = usable(set, first + i, i == nr - 1, &bytes);
		if (ret)
			return ret;
		total += bytes;
	}
	size = total;
	if (!whole) {
		ret = clip(set, image->path, total, &skip, &size);
		if (ret)
			return ret;
	}
	image->size = size;
	image->first_seg = set->nr_segs;
	return add_pieces(set, index, first, nr, skip, size);
}

int set_describe_raw(struct image_set *set, u32 index)
{
	return describe(set, index, set->images[index].member, 1, index > 0);
}

static int open_parts(struct image_set *set, char *const *paths, int nr, bool rw)
{
	struct set_image *image = &set->images[0];
	u32 member;
	int i, ret = 0;

	memset(image, 0, sizeof(*image));
	image->dirfd = -1;
	image->format = VDISK_FORMAT_RAW;
	set->nr_images = 1;
	for (i = 0; i < nr; i++) {
		struct opened file;

		ret = open_named(paths[i], rw, &file);
		if (ret)
			return ret;
		if (!i)
			image->path = xstrdup(file.path);
		ret = set_add_member(set, &file, 0, &member);
		if (ret)
			return ret;
	}
	if (!set->members[0].block)
		ret = image_set_dir(image, set->members[0].fd, image->path);
	return ret ? ret : describe(set, 0, 0, (u32)nr, false);
}

int set_add_raw(struct image_set *set, char *const *paths, int nr)
{
	enum set_mode mode = set->opts->mode;
	bool rw = mode != SET_READ;
	char *reason;
	int ret;

	ret = open_parts(set, paths, nr, rw);
	if (ret == CTL_PERM && mode == SET_DEFAULT) {
		reason = ctl_pending_text();
		ctl_drop();
		set_close(set);
		rw = false;
		ret = open_parts(set, paths, nr, false);
		if (!ret)
			ctl_warn(set->images[0].path, "attached read-only: %s", reason);
		set->ro_reason = reason;
	}
	set->writable = !ret && rw;
	return ret;
}
