// SPDX-License-Identifier: GPL-2.0-only
/*
 * Discard and zero. In this order: whole units lose their place, if the format
 * can say "zeros" without one; what has a place is zeroed there; what has none
 * and reads zeros is left alone; what only a parent has gets a place with zeros.
 */
#include "writer.h"

/* One vd_clear(); @pos and @len lie in @seg. */
struct clear {
	struct vd_chain *chain;
	struct vd_segment *seg;
	u64 pos;
	u64 len;
	unsigned int flags;
	void *buf;
	u32 size;
	struct vd_unit *unit;
	struct vd_waiter *waiter;
};

static bool zeroing(const struct clear *c)
{
	return c->flags & VD_CLEAR_ZERO;
}

/* Bytes that have a place of their own. A discard is advice: a file may know no holes. */
static int clear_place(const struct clear *c, const struct vd_extent *ext, bool unmap)
{
	int ret;

	if (zeroing(c))
		return vd_file_zero(ext->file, ext->file_pos, ext->len, unmap);
	ret = vd_file_punch(ext->file, ext->file_pos, ext->len);
	return ret == -EOPNOTSUPP ? 0 : ret;
}

/* A new place that holds zeros in [pos, pos + len), and around it what is there now. */
static int zeros_in_new_place(const struct clear *c, u64 len, u64 *done)
{
	struct vd_alloc alloc;
	int ret;

	ret = vd_reserve(c->chain, c->pos, len, &alloc, c->waiter);
	if (ret)
		return ret;
	*done = min(len, alloc.pos + alloc.len - c->pos);
	ret = vd_fill(c->chain, &alloc, c->pos, *done, c->buf, c->size, c->unit);
	if (!ret && !(alloc.flags & VD_ALLOC_ZEROED))
		ret = vd_file_zero(alloc.file, alloc.file_pos + (c->pos - alloc.pos), *done, false);
	if (ret)
		vd_abandon(c->chain, &alloc);
	else
		vd_publish(c->chain, &alloc);
	return ret;
}

/* Not by unmapping: @len bytes from c->pos, whole units or part of one. */
static int clear_in_place(const struct clear *c, u64 len, bool unmap, u64 *done)
{
	struct vd_extent ext;
	int ret;

	ret = vd_map(c->chain, c->pos, len, VD_MAP_WRITE, &ext);
	if (!ret) {
		*done = ext.len;
		return clear_place(c, &ext, unmap);
	}
	if (ret != -ENODATA)
		return ret;
	ret = vd_map(c->chain, c->pos, len, 0, &ext);
	if (ret)
		return ret;
	*done = ext.len;
	if (!zeroing(c) || ext.type == VD_EXT_HOLE || ext.type == VD_EXT_ZERO)
		return 0;
	return zeros_in_new_place(c, ext.len, done);
}

static int discard_once(const struct clear *c, struct vd_alloc *token, u64 *done)
{
	struct vd_segment *seg = c->seg;
	int ret;

	vd_mutex_lock(&c->chain->writer->alloc_lock);
	ret = vd_failed(c->chain) ? -EIO : vd_begin_alloc(seg);
	if (!ret)
		ret = seg->format->discard(seg, token->pos - seg->start, token->len, c->flags,
					   done);
	vd_mutex_unlock(&c->chain->writer->alloc_lock);
	return ret;
}

/* Nobody may get a place for these units meanwhile. */
static int clear_units(const struct clear *c, u64 len, u64 *done)
{
	struct vd_alloc token = { .seg = c->seg, .pos = c->pos, .len = len };
	int tries, ret;

	if (!c->seg->format->discard)
		return -EOPNOTSUPP;
	ret = vd_token_begin(c->chain, &token, c->waiter);
	if (ret)
		return ret;
	for (tries = 0;; tries++) {
		ret = discard_once(c, &token, done);
		if (ret != -EBUSY && (ret != -ENOMEM || vd_clean(c->chain)))
			break;
		ret = tries < 8 ? vd_commit(c->chain) : -ENOMEM;
		if (ret)
			break;
	}
	vd_token_end(c->chain, &token);
	return ret;
}

static int clear_mapped(const struct clear *c, u64 *done)
{
	u64 unit = c->seg->unit, from = c->pos - c->seg->start;
	u64 head = from & (unit - 1), len = c->len;
	int ret;

	if (from + len != c->seg->len)
		len -= (from + len) & (unit - 1);
	if (head || !len || len > c->len) {
		/* Part of one unit. */
		len = min(c->len, unit - head);
		*done = len;
		return zeroing(c) ? clear_in_place(c, len, false, done) : 0;
	}
	if (!(c->flags & VD_CLEAR_KEEP)) {
		ret = clear_units(c, len, done);
		if (ret != -EOPNOTSUPP)
			return ret;
	}
	return clear_in_place(c, len, !(c->flags & VD_CLEAR_KEEP), done);
}

int vd_clear(struct vd_chain *chain, u64 pos, u64 len, unsigned int flags, void *buf, u32 size,
	     struct vd_unit *unit, struct vd_waiter *waiter, u64 *done)
{
	struct clear c = {
		.chain = chain, .pos = pos, .flags = flags,
		.buf = buf, .size = size, .unit = unit, .waiter = waiter,
	};
	int ret;

	*done = 0;
	ret = vd_begin_write(chain);
	if (ret)
		return ret;
	if (vd_failed(chain))
		return -EIO;
	c.seg = vd_find_segment(&chain->images[0], pos);
	c.len = min(len, c.seg->start + c.seg->len - pos);
	if (c.seg->kind == VDISK_SEG_ZERO) {
		*done = c.len;
		return 0;
	}
	ret = vd_check_writable(c.seg);
	if (ret)
		return ret;
	do {
		if (c.seg->format->caps & VD_CAP_ALLOC)
			ret = clear_mapped(&c, done);
		else
			ret = clear_in_place(&c, c.len, !(flags & VD_CLEAR_KEEP), done);
	} while (ret == -EAGAIN);	/* got a place meanwhile: it is zeroed there */
	return ret;
}
VD_EXPORT(vd_clear);
