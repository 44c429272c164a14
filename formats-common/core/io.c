// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writing through the map, synchronously, for tools and tests: the plainest order
 * of the steps that alloc.h lists, against which the kernel's can be compared. Not
 * in the kernel.
 */
#include "writer.h"

#define FILL_BYTES 65536U

/* What one call to change the disk carries along; @buf has FILL_BYTES; room is made once. */
struct sync {
	void *buf;
	struct vd_unit unit;
	bool made_room;
};

static int sync_begin(struct sync *s, struct vd_chain *chain, u64 pos, u64 len)
{
	int ret;

	memset(s, 0, sizeof(*s));
	ret = vd_check_range(chain, pos, len);
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

	ret = s->made_room ? vd_reserve(chain, pos, *len, &alloc, NULL) :
			    vd_try_reserve(chain, pos, *len, &alloc, NULL);
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

static int write_once(struct vd_chain *chain, struct sync *s, u64 pos, const void *buf, u64 *len)
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

static int write_some(struct vd_chain *chain, struct sync *s, u64 pos, const void *buf, u64 *len)
{
	int ret;

	s->made_room = false;
	ret = write_once(chain, s, pos, buf, len);
	if (!vd_make_room(chain, ret) && ret != -EXFULL)
		return ret;
	s->made_room = true;
	return write_once(chain, s, pos, buf, len);
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
