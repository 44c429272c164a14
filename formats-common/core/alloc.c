// SPDX-License-Identifier: GPL-2.0-only
/*
 * Allocating writes: tokens, and what happens between reservation and
 * publication. What a place is and how the map tells of it is the backend's.
 */
#include "resolve.h"
#include "writer.h"

/* Attempts with a commit between them; each makes room, so the first is nearly always enough. */
#define ALLOC_TRIES 8

/* --- tokens --- */

int vd_token_begin(struct vd_chain *chain, struct vd_alloc *alloc, struct vd_waiter *waiter)
{
	struct vd_writer *w = chain->writer;
	struct vd_alloc *other;
	int ret = 0;

	INIT_LIST_HEAD(&alloc->waiters);
	vd_spin_lock(&w->lock);
	list_for_each_entry(other, &w->tokens, node) {
		if (!vd_overlap(other->pos, other->len, alloc->pos, alloc->len) ||
		    vd_bug(VD_BUG_NO_TOKEN))
			continue;
		if (other->pos > alloc->pos) {
			/* Both begin and end at units: what is before it is ours. */
			alloc->len = other->pos - alloc->pos;
			continue;
		}
		if (waiter)
			list_add_tail(&waiter->node, &other->waiters);
		ret = -EBUSY;
		break;
	}
	if (!ret)
		list_add_tail(&alloc->node, &w->tokens);
	vd_spin_unlock(&w->lock);
	return ret;
}

/* With no lock held: who is woken may be gone, or wait again, at once. */
static void wake_waiters(struct list_head *woken)
{
	struct vd_waiter *waiter;

	while (!list_empty(woken)) {
		waiter = list_entry(woken->next, struct vd_waiter, node);
		list_del(&waiter->node);
		waiter->wake(waiter);
	}
}

/* The map's words have changed, if they do: before anybody is told, nobody remembers the old. */
void vd_token_end(struct vd_chain *chain, struct vd_alloc *alloc)
{
	LIST_HEAD(woken);

	vd_resolve_drop(chain->resolve, alloc->pos, alloc->len);
	vd_spin_lock(&chain->writer->lock);
	list_del(&alloc->node);
	list_splice_tail_init(&alloc->waiters, &woken);
	vd_spin_unlock(&chain->writer->lock);
	wake_waiters(&woken);
}

void vd_wake_all(struct vd_chain *chain)
{
	struct vd_alloc *alloc;
	LIST_HEAD(woken);

	vd_spin_lock(&chain->writer->lock);
	list_for_each_entry(alloc, &chain->writer->tokens, node)
		list_splice_tail_init(&alloc->waiters, &woken);
	vd_spin_unlock(&chain->writer->lock);
	wake_waiters(&woken);
}
VD_EXPORT(vd_wake_all);

bool vd_allocates(const struct vd_chain *chain)
{
	return chain->writer && chain->writer->allocates;
}
VD_EXPORT(vd_allocates);

/* --- reservation --- */

/* The units of [pos, pos + len), as far as the segment has them. */
static void cover_units(struct vd_segment *seg, u64 pos, u64 len, struct vd_alloc *alloc)
{
	u64 mask = seg->unit - 1;
	u64 from = (pos - seg->start) & ~mask;
	u64 to = min(pos - seg->start + len, seg->len);

	to = min((to + mask) & ~mask, seg->len);
	memset(alloc, 0, sizeof(*alloc));
	alloc->seg = seg;
	alloc->pos = seg->start + from;
	alloc->len = to - from;
}

static int reserve_once(struct vd_chain *chain, struct vd_alloc *alloc)
{
	struct vd_segment *seg = alloc->seg;
	u64 pos = alloc->pos - seg->start, len = alloc->len;
	int ret;

	vd_mutex_lock(&chain->writer->alloc_lock);
	ret = vd_failed(chain) ? -EIO : vd_begin_alloc(seg);
	if (!ret) {
		ret = seg->format->reserve(seg, pos, len, alloc);
		/* What was made ahead for data may be what a table lacks. */
		if (vd_no_space(ret) && vd_space_relent(chain, seg->format->space(seg)))
			ret = seg->format->reserve(seg, pos, len, alloc);
	}
	vd_mutex_unlock(&chain->writer->alloc_lock);
	return ret;
}

static int reserve_units(struct vd_chain *chain, struct vd_alloc *alloc)
{
	int tries, ret;

	for (tries = 0;; tries++) {
		ret = reserve_once(chain, alloc);
		/* All memory for tables may be waiting to be written. */
		if (ret != -EBUSY && (ret != -ENOMEM || vd_clean(chain)))
			return ret;
		if (tries == ALLOC_TRIES)
			return -ENOMEM;
		ret = vd_commit(chain);
		if (ret)
			return ret;
	}
}

/* The token covers what got a place. Others compare theirs with it all the time. */
static void clip_token(struct vd_chain *chain, struct vd_alloc *alloc)
{
	u64 left = alloc->seg->start + alloc->seg->len - alloc->pos;

	vd_spin_lock(&chain->writer->lock);
	alloc->len = min(alloc->room, left);
	vd_spin_unlock(&chain->writer->lock);
}

static int reserve(struct vd_chain *chain, u64 pos, u64 len, struct vd_alloc *alloc,
		   struct vd_waiter *waiter, unsigned int flags)
{
	struct vd_segment *seg;
	int ret;

	ret = vd_begin_write(chain);
	if (ret)
		return ret;
	seg = vd_find_segment(&chain->images[0], pos);
	ret = vd_check_writable(seg);
	if (ret)
		return ret;
	if (!(seg->format->caps & VD_CAP_ALLOC))
		return -EOPNOTSUPP;
	cover_units(seg, pos, len, alloc);
	alloc->flags = flags;
	ret = vd_token_begin(chain, alloc, waiter);
	if (ret)
		return ret;
	ret = reserve_units(chain, alloc);
	if (ret)
		vd_token_end(chain, alloc);
	else
		clip_token(chain, alloc);
	return ret;
}

int vd_reserve(struct vd_chain *chain, u64 pos, u64 len, struct vd_alloc *alloc,
	       struct vd_waiter *waiter)
{
	return reserve(chain, pos, len, alloc, waiter, 0);
}
VD_EXPORT(vd_reserve);

int vd_try_reserve(struct vd_chain *chain, u64 pos, u64 len, struct vd_alloc *alloc,
		   struct vd_waiter *waiter)
{
	return reserve(chain, pos, len, alloc, waiter, VD_ALLOC_CHOOSY);
}
VD_EXPORT(vd_try_reserve);

/* --- what a unit holds around the caller's bytes --- */

static u64 place_of(const struct vd_alloc *alloc, u64 pos)
{
	return alloc->file_pos + (pos - alloc->pos);
}

static int fill_zeroes(struct vd_alloc *alloc, u64 file_pos, u64 len)
{
	if (!len || alloc->flags & VD_ALLOC_ZEROED)
		return 0;
	return vd_file_zero(alloc->file, file_pos, len, false);
}

/* What the whole chain says about [from, to) now goes to its new place. */
static int fill_range(struct vd_chain *chain, struct vd_alloc *alloc, u64 from, u64 to, void *buf,
		      u32 size, struct vd_unit *unit)
{
	struct vd_extent ext;
	int ret = 0;
	u32 step;

	for (; !ret && from < to; from += ext.len) {
		ret = vd_map(chain, from, min_t(u64, to - from, size), 0, &ext);
		if (ret)
			break;
		if (ext.type == VD_EXT_HOLE || ext.type == VD_EXT_ZERO) {
			ret = fill_zeroes(alloc, place_of(alloc, from), ext.len);
			continue;
		}
		step = (u32)ext.len;
		ret = vd_read(chain, unit, from, buf, step);
		if (!ret)
			ret = vd_file_write(alloc->file, place_of(alloc, from), buf, step);
	}
	return ret;
}

bool vd_fill_needed(const struct vd_chain *chain, const struct vd_alloc *alloc, u64 pos, u64 len)
{
	if (alloc->flags & VD_ALLOC_ZEROED && chain->nr_images == 1)
		return false;
	return alloc->pos < pos || pos + len < alloc->pos + alloc->len || alloc->len < alloc->room;
}
VD_EXPORT(vd_fill_needed);

int vd_fill(struct vd_chain *chain, struct vd_alloc *alloc, u64 pos, u64 len, void *buf,
	    u32 size, struct vd_unit *unit)
{
	u64 end = alloc->pos + alloc->len;
	int ret;

	if (vd_bug(VD_BUG_NO_FILL) || !vd_fill_needed(chain, alloc, pos, len))
		return 0;
	ret = fill_range(chain, alloc, alloc->pos, pos, buf, size, unit);
	if (!ret)
		ret = fill_range(chain, alloc, pos + len, end, buf, size, unit);
	/* The disk ends inside the last unit; its rest is nobody's, but not garbage. */
	if (!ret)
		ret = fill_zeroes(alloc, place_of(alloc, end), alloc->room - alloc->len);
	return ret;
}
VD_EXPORT(vd_fill);

/* --- the end of a token --- */

static void unpin(struct vd_chain *chain, struct vd_alloc *alloc)
{
	u32 i;

	for (i = 0; i < VD_ALLOC_PINS; i++)
		vd_meta_unpin(chain->meta, &alloc->pin[i]);
}

void vd_publish(struct vd_chain *chain, struct vd_alloc *alloc)
{
	alloc->seg->format->publish(alloc->seg, alloc);
	unpin(chain, alloc);
	vd_token_end(chain, alloc);
}
VD_EXPORT(vd_publish);

void vd_abandon(struct vd_chain *chain, struct vd_alloc *alloc)
{
	struct vd_space *space = alloc->seg->format->space(alloc->seg);

	unpin(chain, alloc);
	vd_space_return(chain, space, alloc->file_pos, alloc->room);
	vd_token_end(chain, alloc);
}
VD_EXPORT(vd_abandon);
