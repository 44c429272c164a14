// SPDX-License-Identifier: GPL-2.0-only
/*
 * Synchronous I/O on top of the map, for tools and tests: the plainest possible
 * engine, against which the kernel's can be compared.
 */
#include "vdisk/alloc.h"
#include "vdisk/checked.h"
#include "vdisk/image.h"

#define FILL_BYTES 65536U

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

VD_EXPORT(vd_read);

/* --- writing: the plainest order of the steps that alloc.h lists --- */

/* What one call to change the disk carries along; @buf has FILL_BYTES. */
struct sync {
	void *buf;
	struct vd_unit unit;
};

static int sync_begin(struct sync *s, struct vd_chain *chain, u64 pos, u64 len)
{
	int ret;

	memset(s, 0, sizeof(*s));
	ret = check_range(chain, pos, len);
	if (ret)
		return ret;
	if (vd_failed(chain))
		return -EIO;
	s->buf = vd_zalloc(FILL_BYTES);
	return s->buf ? 0 : -ENOMEM;
}

static void sync_end(struct sync *s)
{
	vd_unit_release(&s->unit);
	vd_free(s->buf);
}

/* @len becomes what was written. */
static int write_new(struct vd_chain *chain, struct sync *s, u64 pos, const void *buf, u64 *len)
{
	struct vd_alloc alloc;
	int ret;

	ret = vd_reserve(chain, pos, *len, &alloc, NULL);
	if (ret)
		return ret;
	*len = min(*len, alloc.pos + alloc.len - pos);
	if (vd_bug(VD_BUG_EARLY_PUBLISH)) {
		struct vd_alloc early = alloc;

		alloc.seg->format->publish(alloc.seg, &early);
		vd_commit(chain);
	}
	ret = vd_fill(chain, &alloc, pos, *len, s->buf, FILL_BYTES, &s->unit);
	if (!ret)
		ret = vd_file_write(alloc.file, alloc.file_pos + (pos - alloc.pos), buf, (u32)*len);
	if (ret)
		vd_abandon(chain, &alloc);
	else
		vd_publish(chain, &alloc);
	return ret;
}

static int write_some(struct vd_chain *chain, struct sync *s, u64 pos, const void *buf, u64 *len)
{
	unsigned int epoch = vd_io_enter(chain);
	struct vd_extent ext;
	int ret;

	do {
		ret = vd_map(chain, pos, *len, VD_MAP_WRITE, &ext);
		if (!ret) {
			*len = ext.len;
			ret = vd_file_write(ext.file, ext.file_pos, buf, (u32)ext.len);
		} else if (ret == -ENODATA) {
			ret = write_new(chain, s, pos, buf, len);
		}
	} while (ret == -EAGAIN);
	vd_io_leave(chain, epoch);
	return ret;
}

int vd_write(struct vd_chain *chain, u64 pos, const void *buf, u32 len)
{
	const u8 *from = buf;
	struct sync s;
	u64 step;
	int ret;

	ret = sync_begin(&s, chain, pos, len);
	if (!ret)
		ret = vd_begin_write(chain);
	for (; !ret && len; len -= (u32)step) {
		step = len;
		ret = write_some(chain, &s, pos, from, &step);
		if (!ret) {
			from += step;
			pos += step;
		} else {
			break;
		}
	}
	sync_end(&s);
	return ret;
}

int vd_flush(struct vd_chain *chain)
{
	return vd_commit(chain);
}

static int clear_range(struct vd_chain *chain, u64 pos, u64 len, unsigned int flags)
{
	unsigned int epoch;
	u64 done = 0;
	struct sync s;
	int ret;

	ret = sync_begin(&s, chain, pos, len);
	for (; !ret && len; len -= done) {
		epoch = vd_io_enter(chain);
		ret = vd_clear(chain, pos, len, flags, s.buf, FILL_BYTES, &s.unit, NULL, &done);
		vd_io_leave(chain, epoch);
		pos += done;
	}
	sync_end(&s);
	return ret;
}

int vd_discard(struct vd_chain *chain, u64 pos, u64 len)
{
	return clear_range(chain, pos, len, 0);
}

int vd_write_zeroes(struct vd_chain *chain, u64 pos, u64 len, bool unmap)
{
	return clear_range(chain, pos, len, VD_CLEAR_ZERO | (unmap ? 0 : VD_CLEAR_KEEP));
}
