// SPDX-License-Identifier: GPL-2.0-only
/*
 * Space in files: where new units and tables go, how a file grows, and how a
 * freed range comes to its next use.
 *
 * A freed range goes a long way, because two kinds of readers may still believe
 * in it: the map on disk, until a commit has unmapped it there, and transfers
 * that asked the map before. So it waits for the commit (freed, unmapping), then
 * for everybody who had entered before that (limbo, draining); then its space is
 * given back, and it may be taken again.
 */
#include "writer.h"

void vd_space_init(struct vd_chain *chain, struct vd_space *space, struct vd_file *file, u64 end,
		   u64 limit)
{
	memset(space, 0, sizeof(*space));
	INIT_LIST_HEAD(&space->free);
	space->file = file;
	space->end = end;
	space->floor = file->size;
	space->chunk = chain->writer->chunk;
	/* What lies past @end was perhaps written by somebody who then lost power. */
	space->zeroed = file->size;
	space->limit = file->fixed ? min(limit, file->size) : limit;
}
VD_EXPORT(vd_space_init);

void vd_space_release(struct vd_space *space)
{
	struct vd_freed *f;

	while (space->file && !list_empty(&space->free)) {
		f = list_entry(space->free.next, struct vd_freed, node);
		list_del(&f->node);
		vd_free(f);
	}
}
VD_EXPORT(vd_space_release);

void vd_space_forget(struct vd_chain *chain, struct vd_space *space, u64 end)
{
	struct vd_space gone = { .file = space->file };

	INIT_LIST_HEAD(&gone.free);
	vd_spin_lock(&chain->writer->lock);
	list_splice_tail_init(&space->free, &gone.free);
	WRITE_ONCE(space->nr_free, 0);
	space->zeroed = max(space->zeroed, space->end);
	space->end = end;
	vd_spin_unlock(&chain->writer->lock);
	vd_space_release(&gone);
}
VD_EXPORT(vd_space_forget);

/* --- growth --- */

/* What is in the sector that the file ends in a guest may have written meanwhile. */
static u64 sector_end(const struct vd_file *file)
{
	return vd_ceil_shift(file->size, VD_SECTOR_SHIFT) << VD_SECTOR_SHIFT;
}

static int extend(struct vd_file *file, u64 size)
{
	u64 from = sector_end(file);
	int ret = from < size ? vd_file_extend(file, from, size - from) :
				vd_file_allocate(file, file->size, size - file->size);

	if (ret != -EOPNOTSUPP)
		return ret;
	return vd_file_truncate(file, size);
}

bool vd_no_space(int error)
{
	return error == -ENOSPC || error == -EDQUOT || error == -EFBIG;
}
VD_EXPORT(vd_no_space);

/*
 * An attempt to grow that failed may keep what it got so far: that goes back, or
 * we would be who fills the disk.
 */
static void cut_back(struct vd_file *file)
{
	u64 end = sector_end(file), now;

	if (!vd_file_size(file, &now) && now > end)
		vd_file_truncate(file, end);
}

/* As far ahead as there is space for, @need at least. */
static int extend_ahead(struct vd_space *space, u64 need, u64 *size)
{
	u64 ahead = space->chunk;
	int ret;

	for (;;) {
		*size = min(need + ahead, max(space->limit, need));
		ret = extend(space->file, *size);
		if (!vd_no_space(ret))
			return ret;
		cut_back(space->file);
		if (!ahead)
			return ret;
		ahead = ahead > VD_META_BLOCK ? ahead / 4 : 0;
	}
}

/*
 * What somebody else has appended to the file is there, and is no zeros: for files that
 * do not zero it when they are extended. With these, who appends between this look and
 * the growth is not noticed.
 */
static void mind_others(struct vd_space *space)
{
	u64 now;

	if (!vd_file_size(space->file, &now) && now > space->file->size)
		space->zeroed = max(space->zeroed, now);
}

/* The file has @need bytes, durably. */
static int grow(struct vd_chain *chain, struct vd_space *space, u64 need)
{
	struct vd_file *file = space->file;
	u64 old = file->size, size = 0;
	int ret;

	if (need <= old)
		return 0;
	if (file->fixed)
		return -ENOSPC;
	mind_others(space);
	ret = extend_ahead(space, need, &size);
	if (!ret && !vd_bug(VD_BUG_NO_GROW_FLUSH))
		ret = vd_writer_flush(chain, file);
	if (ret)
		return ret;
	WRITE_ONCE(file->size, size);
	vd_meta_grown(chain->meta, file, old);
	space->chunk = min(space->chunk * 2, (u64)chain->writer->chunk * 4);
	return 0;
}

int vd_space_cover(struct vd_chain *chain, struct vd_space *space, u64 end)
{
	return grow(chain, space, end);
}
VD_EXPORT(vd_space_cover);

/* --- giving back --- */

/* The last range that begins before @pos, or the list's head. */
static struct list_head *find_before(struct vd_space *space, u64 pos)
{
	struct list_head *before = &space->free;
	struct vd_freed *f;

	list_for_each_entry(f, &space->free, node) {
		if (f->pos > pos)
			break;
		before = &f->node;
	}
	return before;
}

static bool joins(const struct vd_freed *a, const struct vd_freed *b)
{
	return a->zeroed == b->zeroed && a->pos + a->len == b->pos;
}

/* Takes over @f, which is on no list. */
static void add_free(struct vd_chain *chain, struct vd_freed *f)
{
	struct vd_space *space = f->space;
	struct list_head *before;
	struct vd_freed *old = NULL;

	vd_spin_lock(&chain->writer->lock);
	before = find_before(space, f->pos);
	if (before != &space->free)
		old = list_entry(before, struct vd_freed, node);
	if (old && joins(old, f)) {
		old->len += f->len;
	} else if (space->nr_free < VD_CAP_FREE_RANGES) {
		list_add(&f->node, before);
		WRITE_ONCE(space->nr_free, space->nr_free + 1);
		f = NULL;
	}
	vd_spin_unlock(&chain->writer->lock);
	vd_free(f);
}

static struct vd_freed *new_range(struct vd_space *space, u64 pos, u64 len)
{
	struct vd_freed *f = vd_zalloc(sizeof(*f));

	if (f) {
		f->space = space;
		f->pos = pos;
		f->len = len;
	}
	return f;
}

/* Without memory to remember it the place is lost until somebody compacts the image. */
void vd_space_return(struct vd_chain *chain, struct vd_space *space, u64 pos, u64 len)
{
	struct vd_freed *f = new_range(space, pos, len);

	if (f)
		add_free(chain, f);
}
VD_EXPORT(vd_space_return);

/* Neighbours in the file that were neighbours on the disk are one range. */
static bool extends(struct list_head *list, const struct vd_freed *f)
{
	struct vd_freed *last;

	if (list_empty(list))
		return false;
	last = list_entry(list->prev, struct vd_freed, node);
	if (last->space != f->space || last->pos + last->len != f->pos ||
	    last->guest + last->len != f->guest)
		return false;
	last->len += f->len;
	return true;
}

void vd_space_free(struct vd_chain *chain, struct vd_space *space, u64 pos, u64 len, u64 guest)
{
	struct vd_freed *f = new_range(space, pos, len);
	struct vd_writer *w = chain->writer;

	if (f && vd_bug(VD_BUG_EARLY_REUSE)) {
		add_free(chain, f);
		return;
	}
	vd_spin_lock(&w->lock);
	if (f) {
		f->guest = guest;
		if (!extends(&w->freed, f)) {
			list_add_tail(&f->node, &w->freed);
			f = NULL;
		}
	} else if (!vd_bug(VD_BUG_FORGET)) {
		w->forgot = true;
	}
	vd_spin_unlock(&w->lock);
	vd_free(f);
}
VD_EXPORT(vd_space_free);

static bool on_list(const struct list_head *list, const struct vd_space *space, u64 guest, u64 len)
{
	const struct vd_freed *f;

	list_for_each_entry(f, list, node)
		if (f->space == space && vd_overlap(f->guest, f->len, guest, len))
			return true;
	return false;
}

bool vd_space_pending(struct vd_chain *chain, const struct vd_space *space, u64 guest, u64 len)
{
	struct vd_writer *w = chain->writer;
	bool pending;

	if (vd_bug(VD_BUG_EARLY_REUSE))
		return false;
	vd_spin_lock(&w->lock);
	pending = w->forgot || w->forgot_unmapping || on_list(&w->freed, space, guest, len) ||
		  on_list(&w->unmapping, space, guest, len);
	vd_spin_unlock(&w->lock);
	return pending;
}
VD_EXPORT(vd_space_pending);

bool vd_space_coming(struct vd_chain *chain)
{
	struct vd_writer *w = chain->writer;
	bool coming;

	vd_spin_lock(&w->lock);
	coming = !list_empty(&w->freed) || !list_empty(&w->unmapping) ||
		 !list_empty(&w->limbo) || !list_empty(&w->draining);
	vd_spin_unlock(&w->lock);
	return coming;
}
VD_EXPORT(vd_space_coming);

bool vd_make_room(struct vd_chain *chain, int error)
{
	if (!vd_no_space(error) && error != -EXFULL)
		return false;
	return vd_space_coming(chain) && !vd_commit(chain);
}
VD_EXPORT(vd_make_room);

void vd_space_snapshot(struct vd_chain *chain)
{
	struct vd_writer *w = chain->writer;

	vd_spin_lock(&w->lock);
	list_splice_tail_init(&w->freed, &w->unmapping);
	w->forgot_unmapping |= w->forgot;
	w->forgot = false;
	vd_spin_unlock(&w->lock);
}

/* Those who entered before the last change of the epoch are gone. */
static bool drained(const struct vd_writer *w)
{
	return !vd_atomic_read(&w->active[!w->epoch]) || vd_bug(VD_BUG_NO_DRAIN);
}

/* Under the lock: move to @ready what nobody can be using any more. */
static void collect_ready(struct vd_writer *w, struct list_head *ready)
{
	if (!drained(w))
		return;
	list_splice_tail_init(&w->draining, ready);
	w->forgot_draining = false;
	if (list_empty(&w->limbo) && !w->forgot_limbo)
		return;
	list_splice_tail_init(&w->limbo, &w->draining);
	w->forgot_draining = w->forgot_limbo;
	w->forgot_limbo = false;
	WRITE_ONCE(w->epoch, !w->epoch);
	/* Who enters now either sees the new epoch or is seen here; see vd_io_enter(). */
	vd_mb();
	if (!drained(w))
		return;
	list_splice_tail_init(&w->draining, ready);
	w->forgot_draining = false;
}

/* Ranges that nobody uses any more become free, and their space goes back. */
static void reclaim(struct vd_chain *chain)
{
	struct vd_writer *w = chain->writer;
	struct vd_freed *f;
	LIST_HEAD(ready);

	if (READ_ONCE(w->ended))
		return;
	vd_spin_lock(&w->lock);
	collect_ready(w, &ready);
	vd_spin_unlock(&w->lock);

	while (!list_empty(&ready)) {
		f = list_entry(ready.next, struct vd_freed, node);
		list_del(&f->node);
		f->zeroed = !vd_file_punch(f->space->file, f->pos, f->len);
		add_free(chain, f);
	}
}

void vd_space_unmapped(struct vd_chain *chain)
{
	struct vd_writer *w = chain->writer;

	vd_spin_lock(&w->lock);
	list_splice_tail_init(&w->unmapping, &w->limbo);
	if (vd_bug(VD_BUG_LATE_FREED))
		list_splice_tail_init(&w->freed, &w->limbo);
	w->forgot_limbo |= w->forgot_unmapping;
	w->forgot_unmapping = false;
	vd_spin_unlock(&w->lock);
	reclaim(chain);
}

/* --- taking --- */

/* The next place at a multiple of @align past the base, which is not above @pos. */
static u64 align_up(const struct vd_space *space, u64 pos, u64 align)
{
	return ((pos - space->base + align - 1) & ~(align - 1)) + space->base;
}

/* The range's tail past what was taken, and what alignment left before it. */
static void take_from(struct vd_chain *chain, struct vd_space *space, struct vd_freed *f, u64 pos,
		      u64 len)
{
	struct vd_freed *tail = NULL;
	u64 end;

	/* Without memory for a second piece the tail is given up. */
	if (pos > f->pos)
		tail = vd_zalloc(sizeof(*tail));
	vd_spin_lock(&chain->writer->lock);
	/* Never less, though a damaged image named one place twice. */
	space->end = max(space->end, pos + len);
	end = f->pos + f->len;
	if (pos > f->pos) {
		f->len = pos - f->pos;
		if (tail && pos + len < end) {
			tail->space = space;
			tail->pos = pos + len;
			tail->len = end - tail->pos;
			tail->zeroed = f->zeroed;
			list_add(&tail->node, &f->node);
			WRITE_ONCE(space->nr_free, space->nr_free + 1);
			tail = NULL;
		}
		f = NULL;
	} else {
		f->pos += len;
		f->len -= len;
		if (f->len) {
			f = NULL;
		} else {
			list_del(&f->node);
			WRITE_ONCE(space->nr_free, space->nr_free - 1);
		}
	}
	vd_spin_unlock(&chain->writer->lock);
	vd_free(tail);
	vd_free(f);
}

/* The first free range that holds a unit. Only we take, so it stays when the lock goes. */
static struct vd_freed *find_free(struct vd_chain *chain, struct vd_space *space, u64 unit,
				  u64 align, u64 *pos)
{
	struct vd_freed *f, *found = NULL;

	vd_spin_lock(&chain->writer->lock);
	list_for_each_entry(f, &space->free, node) {
		*pos = align_up(space, f->pos, align);
		if (*pos >= f->pos && *pos + unit <= f->pos + f->len) {
			found = f;
			break;
		}
	}
	vd_spin_unlock(&chain->writer->lock);
	return found;
}

static bool take_free(struct vd_chain *chain, struct vd_space *space, u64 unit, u64 align,
		      u64 *pos, u64 *len, bool *zeroed)
{
	struct vd_freed *f;
	u64 room;
	int ret;

	if (!READ_ONCE(space->nr_free))
		reclaim(chain);
	if (!READ_ONCE(space->nr_free))
		return false;
	f = find_free(chain, space, unit, align, pos);
	if (!f)
		return false;
	/* A neighbour may join it meanwhile, at its end: it only gets longer. */
	vd_spin_lock(&chain->writer->lock);
	room = f->pos + f->len - *pos;
	*zeroed = f->zeroed;
	vd_spin_unlock(&chain->writer->lock);
	if (room < *len)
		*len = room & ~(unit - 1);
	/* The file may have ended inside a unit that its writer had cut short. */
	ret = grow(chain, space, *pos + *len);
	if (!ret && !space->file->fixed)
		ret = vd_file_allocate(space->file, *pos, *len);
	if (ret && ret != -EOPNOTSUPP)
		return false;
	vd_meta_drop(chain->meta, space->file, *pos, *len);
	take_from(chain, space, f, *pos, *len);
	return true;
}

/* What was not made by growing may be a hole. */
static int take_new(struct vd_chain *chain, struct vd_space *space, u64 pos, u64 len)
{
	int ret = grow(chain, space, pos + len);

	if (ret || space->file->fixed || pos >= space->zeroed)
		return ret;
	ret = vd_file_allocate(space->file, pos, len);
	return ret == -EOPNOTSUPP ? 0 : ret;
}

int vd_space_take(struct vd_chain *chain, struct vd_space *space, u64 unit, u64 align, u64 *pos,
		  u64 *len, bool *zeroed)
{
	int ret;

	if (take_free(chain, space, unit, align, pos, len, zeroed))
		return 0;
	*pos = align_up(space, space->end, align);
	if (*pos < space->end || *pos >= space->limit || space->limit - *pos < unit)
		return -ENOSPC;
	*len = min(*len, (space->limit - *pos) & ~(unit - 1));
	ret = take_new(chain, space, *pos, *len);
	if (vd_no_space(ret) && *len > unit) {
		*len = unit;
		ret = take_new(chain, space, *pos, *len);
	}
	if (ret)
		return ret;
	*zeroed = *pos >= space->zeroed;
	vd_spin_lock(&chain->writer->lock);
	space->end = *pos + *len;
	vd_spin_unlock(&chain->writer->lock);
	return 0;
}
VD_EXPORT(vd_space_take);

/* --- the end of the file --- */

/* Free ranges at the end are no use any more. */
static void lower_end(struct vd_chain *chain, struct vd_space *space)
{
	struct vd_freed *last;
	LIST_HEAD(gone);

	vd_spin_lock(&chain->writer->lock);
	/* It was in use: neither zeros nor space is sure unless the file becomes shorter. */
	space->zeroed = max(space->zeroed, space->end);
	while (!list_empty(&space->free)) {
		last = list_entry(space->free.prev, struct vd_freed, node);
		if (last->pos + last->len != space->end)
			break;
		space->end = last->pos;
		WRITE_ONCE(space->nr_free, space->nr_free - 1);
		list_del(&last->node);
		list_add_tail(&last->node, &gone);
	}
	vd_spin_unlock(&chain->writer->lock);
	while (!list_empty(&gone)) {
		last = list_entry(gone.next, struct vd_freed, node);
		list_del(&last->node);
		vd_free(last);
	}
}

int vd_space_trim(struct vd_chain *chain, struct vd_space *space)
{
	struct vd_file *file = space->file;
	u64 old = file->size, size, now = old;
	int ret;

	lower_end(chain, space);
	size = max(space->floor, space->end);
	if (file->fixed || size > old)
		return 0;
	/* An attempt to grow may have got part of the way. */
	ret = vd_file_size(file, &now);
	if (ret || now <= size)
		return ret;
	/* Smaller in the cache's eyes before it is: nobody reads what goes. */
	WRITE_ONCE(file->size, size);
	vd_meta_drop(chain->meta, file, size, old - size);
	ret = vd_file_truncate(file, size);
	if (ret) {
		/* A file system may fail when the length is another one already. */
		if (vd_file_size(file, &now))
			now = old;
		WRITE_ONCE(file->size, max(size, min(now, old)));
		return ret;
	}
	space->zeroed = size;
	return 0;
}

bool vd_space_relent(struct vd_chain *chain, struct vd_space *space)
{
	u64 old = space->file ? space->file->size : 0;

	if (!space->file || vd_space_trim(chain, space))
		return false;
	space->chunk = min_t(u64, space->chunk, VD_META_BLOCK);
	return space->file->size < old;
}
