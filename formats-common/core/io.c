// SPDX-License-Identifier: GPL-2.0-only
/*
 * Synchronous I/O on top of the map, for tools and tests: the plainest possible
 * engine, against which the kernel's can be compared.
 */
#include "vdisk/checked.h"
#include "vdisk/image.h"

/* Zeros to write where a file cannot make them itself. */
static const u8 zeroes[VD_META_BLOCK];

static int check_range(const struct vd_chain *chain, u64 pos, u64 len)
{
	if ((pos | len) & (VD_SECTOR - 1) || !vd_inside(pos, len, chain->size))
		return -EINVAL;
	return 0;
}

/*
 * A unit that begins before the file's end reads as zeros past it; backends
 * refuse those that begin beyond, so all that is left here is such a tail.
 */
static int read_data(const struct vd_extent *ext, u8 *buf, u32 len)
{
	if (ext->file_pos >= ext->file->size) {
		memset(buf, 0, len);
		return 0;
	}
	return vd_file_read_tail(ext->file, ext->file_pos, buf, len);
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

	ret = check_range(chain, pos, len);
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

int vd_write(struct vd_chain *chain, u64 pos, const void *buf, u32 len)
{
	struct vd_extent ext;
	const u8 *from = buf;
	int ret;

	ret = check_range(chain, pos, len);
	while (!ret && len) {
		ret = vd_map(chain, pos, len, VD_MAP_WRITE, &ext);
		if (!ret)
			ret = vd_file_write(ext.file, ext.file_pos, from, (u32)ext.len);
		if (!ret) {
			from += ext.len;
			pos += ext.len;
			len -= (u32)ext.len;
		}
	}
	return ret;
}

int vd_flush(struct vd_chain *chain)
{
	const struct vd_image *top = &chain->images[0];
	const struct vd_file *last = NULL;
	int ret = 0;
	u32 i;

	/* Every file gets its flush, even after one failed; the first error counts. */
	for (i = 0; i < top->nr_segs; i++) {
		struct vd_file *file = top->segs[i].file;
		int err;

		if (!file || file == last)
			continue;
		last = file;
		err = vd_file_flush(file);
		if (!ret)
			ret = err;
	}
	return ret;
}

static int write_zero_bytes(struct vd_file *file, u64 pos, u64 len)
{
	while (len) {
		u32 step = (u32)min_t(u64, len, sizeof(zeroes));
		int ret = vd_file_write(file, pos, zeroes, step);

		if (ret)
			return ret;
		pos += step;
		len -= step;
	}
	return 0;
}

static int clear_file(struct vd_file *file, u64 pos, u64 len, bool unmap)
{
	int (*clear)(struct vd_file *file, u64 pos, u64 len);
	int ret = -EOPNOTSUPP;

	clear = unmap ? file->ops->punch : file->ops->zero;
	if (clear)
		ret = clear(file, pos, len);
	if (ret != -EOPNOTSUPP)
		return ret;
	return write_zero_bytes(file, pos, len);
}

/* Make a prefix of the range read zeros; *done says how much of it. */
static int clear_some(struct vd_chain *chain, u64 pos, u64 len, bool unmap, u64 *done)
{
	struct vd_extent ext;
	int ret;

	ret = vd_map(chain, pos, len, VD_MAP_WRITE, &ext);
	if (!ret) {
		*done = ext.len;
		return clear_file(ext.file, ext.file_pos, ext.len, unmap);
	}
	if (ret != -EOPNOTSUPP)
		return ret;

	/* No place of its own: fine if it reads zeros already. */
	ret = vd_map(chain, pos, len, 0, &ext);
	if (ret)
		return ret;
	if (ext.type != VD_EXT_HOLE && ext.type != VD_EXT_ZERO)
		return -EOPNOTSUPP;
	*done = ext.len;
	return 0;
}

static int clear_range(struct vd_chain *chain, u64 pos, u64 len, bool unmap)
{
	u64 done = 0;
	int ret;

	ret = check_range(chain, pos, len);
	while (!ret && len) {
		ret = clear_some(chain, pos, len, unmap, &done);
		if (!ret) {
			pos += done;
			len -= done;
		}
	}
	return ret;
}

int vd_discard(struct vd_chain *chain, u64 pos, u64 len)
{
	return clear_range(chain, pos, len, true);
}

int vd_write_zeroes(struct vd_chain *chain, u64 pos, u64 len)
{
	return clear_range(chain, pos, len, false);
}
