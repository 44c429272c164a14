// SPDX-License-Identifier: GPL-2.0-only
/* Filling holes: what has to be so before a backend moves its units. */
#include "writer.h"

/* Each commit turns the epoch: who was there before the first is gone after a few. */
#define SETTLE_TRIES 4

static bool settled(struct vd_writer *w)
{
	bool yes;

	vd_spin_lock(&w->lock);
	yes = list_empty(&w->tokens) && list_empty(&w->freed) && list_empty(&w->unmapping) &&
	      list_empty(&w->limbo) && list_empty(&w->draining) && !w->forgot &&
	      !w->forgot_unmapping && !w->forgot_limbo && !w->forgot_draining;
	vd_spin_unlock(&w->lock);
	return yes;
}

/* All that was freed is free, and all that is in the map is on disk. */
static int settle(struct vd_chain *chain)
{
	int tries, ret = 0;

	for (tries = 0; !ret && tries < SETTLE_TRIES; tries++) {
		ret = vd_commit(chain);
		if (!ret && settled(chain->writer) && vd_clean(chain))
			return 0;
	}
	return ret ? ret : -EBUSY;
}

/*
 * More units may have moved than can be remembered one by one: when the places that they
 * left are nobody's any more, the backend looks once more where the end is.
 */
static int pack_all(struct vd_segment *seg, struct vd_pack *pack)
{
	int ret = settle(seg->chain);

	if (!ret)
		ret = seg->format->fill_holes(seg, pack);
	if (ret || pack->left || !pack->moved)
		return ret;
	ret = settle(seg->chain);
	/* Readers that do not end: all has moved, only the file stays long for now. */
	if (ret)
		return ret == -EBUSY ? 0 : ret;
	return seg->format->fill_holes(seg, pack);
}

static int pack_segment(struct vd_segment *seg, struct vd_pack *pack)
{
	int ret = 0;

	if (!seg->writable || !seg->format->fill_holes)
		return 0;
	if (pack->always)
		ret = vd_begin_alloc(seg);
	if (ret || !seg->alloc_begun)
		return ret;
	ret = pack_all(seg, pack);
	/* Readers that do not end, asked to stop, no room for a copy: what is done is done. */
	if (ret == -EBUSY || ret == -EINTR || ret == -ENOMEM || vd_no_space(ret)) {
		pack->left = true;
		ret = 0;
	}
	return ret;
}

int vd_fill_holes(struct vd_chain *chain, struct vd_pack *pack)
{
	struct vd_image *top = &chain->images[0];
	int ret = 0;
	u32 i;

	pack->moved = 0;
	pack->left = false;
	if (!vd_allocates(chain))
		return 0;
	if (pack->always)
		ret = vd_begin_write(chain);
	if (ret || !vd_begun(chain))
		return ret;
	vd_mutex_lock(&chain->writer->alloc_lock);
	for (i = 0; !ret && i < top->nr_segs && !vd_failed(chain); i++)
		ret = pack_segment(&top->segs[i], pack);
	if (!ret)
		ret = vd_commit(chain);
	vd_mutex_unlock(&chain->writer->alloc_lock);
	return ret;
}
VD_EXPORT(vd_fill_holes);
