// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a guest range means: pick the segment of the top image, ask its backend,
 * and go down the chain while the answer is "not here". What was found below the
 * top is remembered (resolve.h), so that depth is paid for once.
 */
#include "resolve.h"
#include "writer.h"

/* Segments cover an image without gap, so the last that starts at or before @pos has it. */
struct vd_segment *vd_find_segment(const struct vd_image *image, u64 pos)
{
	u32 low = 0, high = image->nr_segs;

	while (high - low > 1) {
		u32 mid = low + (high - low) / 2;

		if (image->segs[mid].start <= pos)
			low = mid;
		else
			high = mid;
	}
	return &image->segs[low];
}

int vd_extent_unit(const struct vd_segment *seg, u64 unit_pos, u64 in_unit, u64 len,
		   struct vd_extent *ext)
{
	u64 size = READ_ONCE(seg->file->size), pos = unit_pos + in_unit, have;

	if (pos >= size)
		return vd_extent_zero(ext, len);
	have = vd_ceil_shift(size - pos, VD_SECTOR_SHIFT) << VD_SECTOR_SHIFT;
	return vd_extent_data(ext, seg->file, pos, min(len, have));
}
VD_EXPORT(vd_extent_unit);

static int check_data(const struct vd_segment *seg, const struct vd_extent *ext)
{
	if (!ext->file || !vd_inside(ext->file_pos, ext->len, VD_CAP_FILE_BYTES))
		return vd_corrupt(seg, "guest byte %llu lies at file byte %llu, past %llu",
				  ext->pos, ext->file_pos, VD_CAP_FILE_BYTES);
	return 0;
}

/* @ext->unit_pos is still relative to the segment. */
static int check_packed(const struct vd_segment *seg, const struct vd_extent *ext)
{
	u64 pos = ext->pos - seg->start;

	if (!seg->packed || !ext->file || !ext->unit_len || ext->unit_len > seg->max_unit)
		return vd_corrupt(seg, "packed unit of %u bytes at guest byte %llu, not 1 to %u",
				  ext->unit_len, ext->pos, seg->max_unit);
	if (!ext->packed_len || ext->packed_len > VD_CAP_PACKED_BYTES)
		return vd_corrupt(seg, "unit of %u packed bytes at guest byte %llu, not 1 to %u",
				  ext->packed_len, ext->pos, VD_CAP_PACKED_BYTES);
	if (ext->unit_pos > pos || !vd_inside(pos - ext->unit_pos, ext->len, ext->unit_len))
		return vd_corrupt(seg, "unit of %u bytes does not hold guest byte %llu",
				  ext->unit_len, ext->pos);
	if (!vd_inside(ext->file_pos, ext->packed_len, VD_CAP_FILE_BYTES))
		return vd_corrupt(seg, "unit at file byte %llu, past %llu", ext->file_pos,
				  VD_CAP_FILE_BYTES);
	return 0;
}

/* A backend computes with an image's numbers: believe nothing that would hurt the engine. */
static int check_answer(const struct vd_segment *seg, u64 len, struct vd_extent *ext)
{
	int ret;

	if (!ext->len || ext->len > len || ext->len & (VD_SECTOR - 1))
		return vd_corrupt(seg, "%llu bytes at guest byte %llu mapped, not 512 to %llu",
				  ext->len, ext->pos, len);

	switch (ext->type) {
	case VD_EXT_HOLE:
	case VD_EXT_ZERO:
		return 0;
	case VD_EXT_DATA:
		return check_data(seg, ext);
	case VD_EXT_PACKED:
		ret = check_packed(seg, ext);
		ext->unit_pos += seg->start;
		return ret;
	}
	return vd_corrupt(seg, "answer of unknown type %d at guest byte %llu", ext->type, ext->pos);
}

static int map_segment(struct vd_segment *seg, u64 len, unsigned int flags, struct vd_extent *ext)
{
	u64 pos = ext->pos - seg->start;
	int ret;

	len = min_t(u64, len, seg->len - pos);
	if (seg->kind == VDISK_SEG_NOACCESS)
		return -EACCES;
	if (seg->kind == VDISK_SEG_ZERO)
		return vd_extent_zero(ext, len);

	ret = seg->format->map(seg, pos, len, flags, ext);
	if (ret)
		return ret < 0 ? ret : -EIO;
	return check_answer(seg, len, ext);
}

/* May the top image's segment be written at all? Costs no look-up. */
int vd_check_writable(const struct vd_segment *seg)
{
	if (seg->kind == VDISK_SEG_NOACCESS)
		return -EACCES;
	if (seg->flags & VDISK_SEGF_RDONLY)
		return -EROFS;
	if (seg->kind == VDISK_SEG_ZERO)
		return -EOPNOTSUPP;
	return seg->writable ? 0 : -EROFS;
}

static int map_write(struct vd_segment *seg, u64 len, unsigned int flags, struct vd_extent *ext)
{
	int ret;

	ret = vd_check_writable(seg);
	if (ret)
		return ret;
	ret = map_segment(seg, len, flags, ext);
	if (ret)
		return ret;
	return ext->type == VD_EXT_DATA ? 0 : -ENODATA;
}

/* From the first image that has an answer. @budget: backend calls left. */
static int walk_down(struct vd_chain *chain, u64 pos, u64 len, unsigned int flags, u32 *budget,
		     struct vd_extent *ext)
{
	u32 i;

	for (i = 0; i < chain->nr_images; i++) {
		const struct vd_image *image = &chain->images[i];
		struct vd_segment *seg;
		int ret;

		/* A smaller parent hides what its own parents have beyond its end. */
		if (pos >= image->size)
			break;
		len = min_t(u64, len, image->size - pos);
		seg = vd_find_segment(image, pos);

		memset(ext, 0, sizeof(*ext));
		ext->pos = pos;
		ext->seg = seg;
		if (*budget)
			(*budget)--;
		if (flags & VD_MAP_WRITE)
			return map_write(seg, len, flags, ext);
		ret = map_segment(seg, len, flags, ext);
		if (ret || ext->type != VD_EXT_HOLE)
			return ret;
		len = ext->len;
	}

	memset(ext, 0, sizeof(*ext));
	ext->pos = pos;
	return vd_extent_hole(ext, len);
}

void vd_extent_slice(struct vd_extent *ext, u64 pos, u64 len)
{
	u64 skip = pos - ext->pos;

	ext->pos = pos;
	ext->len = min(ext->len - skip, len);
	if (ext->type == VD_EXT_DATA)
		ext->file_pos += skip;
}

/*
 * The piece that holds @pos, all of it that can be remembered, if it reaches to @end.
 * Where its unit begins it costs no more to ask; but another image's piece, or
 * trouble, may end in between.
 */
static int walk_around(struct vd_chain *chain, u64 pos, u64 end, unsigned int flags, u32 *budget,
		       struct vd_extent *ext)
{
	u64 from = vd_resolve_begin(chain->resolve, pos);
	int ret;

	end = max(end, vd_resolve_end(chain->resolve, pos, chain->size));
	ret = walk_down(chain, from, end - from, flags, budget, ext);
	if (from == pos || (!ret && pos - from < ext->len))
		return ret;
	return walk_down(chain, pos, end - pos, flags, budget, ext);
}

/* One answer. */
static int map_one(struct vd_chain *chain, u64 pos, u64 len, unsigned int flags, u32 *budget,
		   struct vd_extent *ext)
{
	struct vd_resolve_walk walk;
	int ret;

	if (!chain->resolve || flags & VD_MAP_WRITE)
		return walk_down(chain, pos, len, flags, budget, ext);
	if (vd_resolve_get(chain->resolve, pos, len, ext, &walk)) {
		if (*budget)
			(*budget)--;
		return 0;
	}
	ret = walk_around(chain, pos, pos + len, flags, budget, ext);
	if (ret)
		return ret;
	if (!ext->seg || ext->seg->image)
		vd_resolve_put(chain->resolve, &walk, ext);
	vd_extent_slice(ext, pos, len);
	return 0;
}

bool vd_extent_continues(const struct vd_extent *ext, const struct vd_extent *next)
{
	if (ext->type != next->type || ext->type == VD_EXT_PACKED)
		return false;
	if (ext->type != VD_EXT_DATA)
		return true;
	return ext->file == next->file && ext->file_pos + ext->len == next->file_pos;
}

int vd_map(struct vd_chain *chain, u64 pos, u64 len, unsigned int flags, struct vd_extent *ext)
{
	u32 budget = VD_CAP_MAP_STEPS;
	struct vd_extent next;
	int ret;

	if (!len || pos >= chain->size || (pos | len) & (VD_SECTOR - 1))
		return -EINVAL;
	len = min_t(u64, len, chain->size - pos);

	ret = map_one(chain, pos, len, flags, &budget, ext);
	if (ret)
		return ret;

	/* What follows is a gift: it may neither wait nor fail the call. */
	while (ext->len < len && ext->type != VD_EXT_PACKED && budget) {
		if (map_one(chain, pos + ext->len, len - ext->len, flags | VD_MAP_NOWAIT, &budget,
			    &next) ||
		    !vd_extent_continues(ext, &next))
			break;
		ext->len += next.len;
	}
	return 0;
}
VD_EXPORT(vd_map);
