// SPDX-License-Identifier: GPL-2.0-only
/* Reading through the map, synchronously: tools, tests, and the parts of units. */
#include "vdisk/checked.h"
#include "writer.h"

int vd_check_range(const struct vd_chain *chain, u64 pos, u64 len)
{
	if ((pos | len) & (VD_SECTOR - 1) || !vd_inside(pos, len, chain->size))
		return -EINVAL;
	return 0;
}

/*
 * Where the bytes of a file end. A write to its last sector, of which it held only
 * a part, has made it longer than it was at open.
 */
static int data_end(struct vd_file *file, u64 *end)
{
	u64 now = 0;
	int ret = 0;

	if (file->writable)
		ret = vd_file_size(file, &now);
	*end = max(READ_ONCE(file->size), now);
	return ret;
}

/*
 * A unit that begins before the file's end reads as zeros past it; backends
 * refuse those that begin beyond, so all that is left here is such a tail.
 */
static int read_data(const struct vd_extent *ext, u8 *buf, u32 len)
{
	u64 end = READ_ONCE(ext->file->size);
	u32 have;
	int ret = 0;

	if (!vd_inside(ext->file_pos, len, end))
		ret = data_end(ext->file, &end);
	if (ret)
		return ret;
	have = ext->file_pos < end ? (u32)min_t(u64, len, end - ext->file_pos) : 0;
	if (have)
		ret = vd_file_read(ext->file, ext->file_pos, buf, have);
	memset(buf + have, 0, len - have);
	return ret;
}

static int read_packed(struct vd_chain *chain, struct vd_unit *unit, const struct vd_extent *ext,
		       u8 *buf, u32 len)
{
	int ret;

	if (!unit)
		return -EINVAL;
	if (!unit->data) {
		ret = vd_unit_prepare(unit, chain->max_unit);
		if (ret)
			return ret;
	}
	ret = vd_unit_load(unit, ext);
	if (ret)
		return ret;
	memcpy(buf, unit->data + (ext->pos - ext->unit_pos), len);
	return 0;
}

static int read_extent(struct vd_chain *chain, struct vd_unit *unit, const struct vd_extent *ext,
		       u8 *buf)
{
	u32 len = (u32)ext->len;

	switch (ext->type) {
	case VD_EXT_DATA:
		return read_data(ext, buf, len);
	case VD_EXT_PACKED:
		return read_packed(chain, unit, ext, buf, len);
	case VD_EXT_HOLE:
	case VD_EXT_ZERO:
		memset(buf, 0, len);
		return 0;
	}
	return -EIO;
}

int vd_read(struct vd_chain *chain, struct vd_unit *unit, u64 pos, void *buf, u32 len)
{
	struct vd_extent ext;
	u8 *to = buf;
	int ret;

	ret = vd_check_range(chain, pos, len);
	while (!ret && len) {
		ret = vd_map(chain, pos, len, 0, &ext);
		if (!ret)
			ret = read_extent(chain, unit, &ext, to);
		if (!ret) {
			to += ext.len;
			pos += ext.len;
			len -= (u32)ext.len;
		}
	}
	return ret;
}

VD_EXPORT(vd_read);
