// SPDX-License-Identifier: GPL-2.0-only
/* Packed units: raw bytes in, guest bytes out, nothing believed on the way. */
#include "vdisk/checked.h"
#include "vdisk/image.h"

static void forget(struct vd_unit *unit)
{
	unit->seg = NULL;
	unit->pos = 0;
	unit->len = 0;
}

/*
 * Packed bytes of a unit that compression could not shrink: an eighth more than
 * unpacked, and room for headers. What a backend's bound says beyond that is
 * never payload.
 */
static u32 raw_bytes(u32 max_unit)
{
	return max_unit + max_unit / 8 + 2048;
}

int vd_unit_prepare(struct vd_unit *unit, u32 max_unit)
{
	size_t workspace = vd_zlib_workspace();

	if (!max_unit || max_unit > VD_CAP_UNIT_BYTES)
		return -EINVAL;

	vd_unit_release(unit);
	unit->data = vd_zalloc(max_unit);
	unit->raw = vd_zalloc(raw_bytes(max_unit));
	if (workspace)
		unit->ws = vd_zalloc(workspace);
	if (!unit->data || !unit->raw || (workspace && !unit->ws)) {
		vd_unit_release(unit);
		return -ENOMEM;
	}
	unit->max_unit = max_unit;
	return 0;
}

void vd_unit_release(struct vd_unit *unit)
{
	vd_free(unit->data);
	vd_free(unit->raw);
	vd_free(unit->ws);
	unit->data = NULL;
	unit->raw = NULL;
	unit->ws = NULL;
	unit->max_unit = 0;
	forget(unit);
}

/* Read what the file has of the unit's bytes; its last one may be cut by the file's end. */
static int read_raw(struct vd_unit *unit, const struct vd_extent *ext, u32 *len)
{
	if (ext->file_pos >= ext->file->size)
		return vd_corrupt(ext->seg,
				  "unit of guest byte %llu at byte %llu of a file of %llu",
				  ext->unit_pos, ext->file_pos, ext->file->size);

	*len = min_t(u32, ext->packed_len, raw_bytes(unit->max_unit));
	*len = (u32)min_t(u64, *len, ext->file->size - ext->file_pos);
	return vd_file_read(ext->file, ext->file_pos, unit->raw, *len);
}

static int find_payload(struct vd_unit *unit, const struct vd_extent *ext, u32 len,
			struct vd_payload *payload)
{
	struct vd_segment *seg = ext->seg;
	int ret;

	payload->offset = 0;
	payload->len = len;
	payload->stored = false;
	if (!seg->format->unpack)
		return 0;

	ret = seg->format->unpack(seg, ext, unit->raw, len, payload);
	if (ret)
		return ret < 0 ? ret : -EIO;
	if (!payload->len || !vd_inside(payload->offset, payload->len, len))
		return vd_corrupt(seg, "unit at file byte %llu: payload [%u, +%u) of %u bytes",
				  ext->file_pos, payload->offset, payload->len, len);
	return 0;
}

/* Returns how many bytes of @unit->data were filled. */
static int inflate_payload(struct vd_unit *unit, const struct vd_extent *ext,
			   const struct vd_payload *payload)
{
	const u8 *from = unit->raw + payload->offset;
	int got;

	if (payload->stored) {
		if (payload->len > ext->unit_len)
			return vd_corrupt(ext->seg, "unit at file byte %llu stores %u bytes of %u",
					  ext->file_pos, payload->len, ext->unit_len);
		memcpy(unit->data, from, payload->len);
		return (int)payload->len;
	}

	got = vd_zlib_inflate(unit->ws, from, payload->len, unit->data, ext->unit_len);
	if (got == -EUCLEAN)
		return vd_corrupt(ext->seg, "unit at file byte %llu: damaged or cut zlib stream",
				  ext->file_pos);
	if (got == -E2BIG)
		return vd_corrupt(ext->seg, "unit at file byte %llu inflates to more than %u bytes",
				  ext->file_pos, ext->unit_len);
	return got;
}

int vd_unit_load(struct vd_unit *unit, const struct vd_extent *ext)
{
	struct vd_payload payload;
	u32 len = 0;
	int ret;

	if (unit->seg == ext->seg && unit->seg && unit->pos == ext->unit_pos &&
	    unit->len == ext->unit_len)
		return 0;

	forget(unit);
	if (ext->type != VD_EXT_PACKED || !ext->unit_len || ext->unit_len > unit->max_unit)
		return -EINVAL;

	ret = read_raw(unit, ext, &len);
	if (ret)
		return ret;
	ret = find_payload(unit, ext, len, &payload);
	if (ret)
		return ret;
	ret = inflate_payload(unit, ext, &payload);
	if (ret < 0)
		return ret;

	/* Writers leave out the end of the last unit of a disk: zeros. */
	memset(unit->data + ret, 0, ext->unit_len - (u32)ret);
	unit->seg = ext->seg;
	unit->pos = ext->unit_pos;
	unit->len = ext->unit_len;
	return 0;
}
