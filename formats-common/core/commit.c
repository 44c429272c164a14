// SPDX-License-Identifier: GPL-2.0-only
/*
 * Durability: the first write, commits, the last write, and what remains of a
 * failure.
 *
 * A commit makes durable what the map says, in an order in which any crash
 * leaves a valid image:
 *
 *	1. snapshot of all dirty table entries, and of the ranges freed so far
 *	2. entries of rank 0, which nothing refers to yet; then flush every file
 *	   that was changed in any way: data is durable before a map shows it
 *	3. entries of rank 1, 2, ...: each rank durable before the next
 *	4. only now may the freed ranges get another use
 */
#include "writer.h"

int vd_writer_fail(struct vd_chain *chain, int error, const char *what)
{
	struct vd_error text = { 0 };

	if (!READ_ONCE(chain->writer->failed)) {
		vd_fail(&text, error, "%s failed (%d): writes fail until the image is opened again",
			what, error);
		vd_log(text.text);
	}
	WRITE_ONCE(chain->writer->failed, true);
	return error;
}

bool vd_failed(const struct vd_chain *chain)
{
	return chain->writer && READ_ONCE(chain->writer->failed);
}
VD_EXPORT(vd_failed);

void vd_set_failed(struct vd_chain *chain)
{
	if (chain->writer)
		vd_writer_fail(chain, -EIO, "a flush");
}
VD_EXPORT(vd_set_failed);

int vd_writer_flush(struct vd_chain *chain, struct vd_file *file)
{
	struct vd_writer *w = chain->writer;
	int ret;

	vd_mutex_lock(&w->flush_lock);
	ret = READ_ONCE(w->failed) ? -EIO : vd_file_flush(file);
	if (ret)
		vd_writer_fail(chain, ret, "a flush");
	vd_mutex_unlock(&w->flush_lock);
	return ret;
}

/* Every file gets its flush, even after one failed; the first error counts. */
static int flush_files(struct vd_chain *chain)
{
	struct vd_writer *w = chain->writer;
	int ret = 0, err;
	u32 i;

	for (i = 0; i < w->nr_files; i++) {
		err = vd_writer_flush(chain, w->files[i]);
		if (!ret)
			ret = err;
	}
	return ret;
}

static int write_rank(struct vd_chain *chain, u32 rank)
{
	int ret = vd_meta_write_rank(chain->meta, rank);

	return ret ? vd_writer_fail(chain, ret, "writing tables") : 0;
}

static int write_ranks(struct vd_chain *chain)
{
	int ret;
	u32 rank;

	ret = write_rank(chain, 0);
	if (!ret && !vd_bug(VD_BUG_NO_BARRIER))
		ret = flush_files(chain);
	for (rank = 1; !ret && rank < VD_META_RANKS; rank++) {
		if (!vd_meta_has_rank(chain->meta, rank))
			continue;
		ret = write_rank(chain, rank);
		if (!ret)
			ret = flush_files(chain);
	}
	return ret;
}

/* Under commit_lock. */
static int commit_once(struct vd_chain *chain)
{
	int ret;

	if (vd_failed(chain))
		return -EIO;
	/* Ranges first: what unmapped them was done before, so it is in the snapshot. */
	vd_space_snapshot(chain);
	if (vd_meta_clean(chain->meta)) {
		ret = flush_files(chain);
	} else {
		vd_meta_snapshot(chain->meta);
		ret = write_ranks(chain);
		if (!ret)
			vd_meta_committed(chain->meta);
	}
	if (!ret)
		vd_space_unmapped(chain);
	return ret;
}

int vd_commit(struct vd_chain *chain)
{
	struct vd_writer *w = chain->writer;
	unsigned int wanted;
	int ret = 0;

	if (!w)
		return 0;
	if (vd_bug(VD_BUG_NO_WAIT))
		return flush_files(chain);
	/* One that starts from here on covers us: the next, whoever runs it. */
	wanted = READ_ONCE(w->started) + 1;
	vd_mb();
	vd_mutex_lock(&w->commit_lock);
	if (READ_ONCE(w->failed)) {
		ret = -EIO;
	} else if ((int)(w->done - wanted) < 0) {
		WRITE_ONCE(w->started, w->started + 1);
		vd_mb();
		ret = commit_once(chain);
		w->done = w->started;
	}
	vd_mutex_unlock(&w->commit_lock);
	return ret;
}
VD_EXPORT(vd_commit);

bool vd_clean(const struct vd_chain *chain)
{
	return vd_meta_clean(chain->meta);
}
VD_EXPORT(vd_clean);

int vd_mark(struct vd_chain *chain, struct vd_file *file, u64 pos, const void *buf, u32 len)
{
	struct vd_writer *w = chain->writer;
	int ret;

	vd_mutex_lock(&w->commit_lock);
	ret = READ_ONCE(w->failed) ? -EIO :
	      vd_meta_write_through(chain->meta, file, pos, buf, len);
	if (!ret && !vd_bug(VD_BUG_NO_BEGIN))
		ret = vd_writer_flush(chain, file);
	vd_mutex_unlock(&w->commit_lock);
	return ret;
}
VD_EXPORT(vd_mark);

/* --- the first write --- */

bool vd_begun(const struct vd_chain *chain)
{
	return vd_load_acquire(&chain->writer->begun);
}
VD_EXPORT(vd_begun);

static int apply_patches(struct vd_chain *chain)
{
	struct vd_writer *w = chain->writer;
	u32 i, step, done;
	int ret = 0;

	for (i = 0; i < w->nr_patches; i++) {
		const struct vdisk_patch *p = &w->patches[i];

		/* A patch may lie across a cached block's end. */
		for (done = 0; !ret && done < p->len; done += step) {
			u64 pos = p->offset + done;

			step = min_t(u32, p->len - done,
				     VD_META_BLOCK - (u32)(pos & (VD_META_BLOCK - 1)));
			ret = vd_mark(chain, w->files[p->member], pos, p->bytes + done, step);
		}
		if (ret)
			return ret;
	}
	return 0;
}

int vd_begin_write(struct vd_chain *chain)
{
	struct vd_writer *w = chain->writer;
	int ret = 0;

	if (!w)
		return -EROFS;
	if (vd_begun(chain))
		return 0;
	vd_mutex_lock(&w->alloc_lock);
	if (READ_ONCE(w->failed))
		ret = -EIO;
	else if (!w->begun)
		ret = apply_patches(chain);
	if (!ret)
		vd_store_release(&w->begun, true);
	vd_mutex_unlock(&w->alloc_lock);
	return ret;
}
VD_EXPORT(vd_begin_write);

int vd_begin_alloc(struct vd_segment *seg)
{
	int ret;

	if (seg->alloc_begun)
		return 0;
	ret = seg->format->begin_alloc(seg);
	if (!ret)
		seg->alloc_begun = true;
	return ret;
}

/* --- the last write --- */

static int end_segment(struct vd_chain *chain, struct vd_segment *seg)
{
	int ret;

	if (!seg->alloc_begun && !seg->alloc_ending)
		return 0;
	ret = vd_space_trim(chain, seg->format->space(seg));
	if (!ret)
		ret = vd_writer_flush(chain, seg->file);
	if (ret)
		return ret;
	/* If that fails the mark may be gone or not: set it again before more is allocated. */
	seg->alloc_begun = false;
	seg->alloc_ending = true;
	ret = seg->format->end_write(seg);
	if (!ret)
		seg->alloc_ending = false;
	return ret;
}

int vd_end_write(struct vd_chain *chain)
{
	struct vd_image *top = &chain->images[0];
	struct vd_writer *w = chain->writer;
	int ret;
	u32 i;

	if (!w)
		return 0;
	vd_mutex_lock(&w->alloc_lock);
	/* The second one is for the ranges that the first one freed. */
	ret = vd_commit(chain);
	if (!ret)
		ret = vd_commit(chain);
	for (i = 0; !ret && i < top->nr_segs; i++)
		ret = end_segment(chain, &top->segs[i]);
	vd_mutex_unlock(&w->alloc_lock);
	return ret;
}
VD_EXPORT(vd_end_write);

/* --- who is using the map's answers --- */

unsigned int vd_io_enter(struct vd_chain *chain)
{
	struct vd_writer *w = chain->writer;
	unsigned int epoch;

	if (!vd_allocates(chain))
		return 0;
	for (;;) {
		epoch = READ_ONCE(w->epoch);
		vd_atomic_inc(&w->active[epoch]);
		vd_mb();
		if (likely(READ_ONCE(w->epoch) == epoch))
			return epoch;
		/* It changed, and whoever changed it may have seen nobody in the old one. */
		vd_atomic_dec(&w->active[epoch]);
	}
}
VD_EXPORT(vd_io_enter);

void vd_io_leave(struct vd_chain *chain, unsigned int cookie)
{
	struct vd_writer *w = chain->writer;

	if (!vd_allocates(chain))
		return;
	vd_mb();
	vd_atomic_dec(&w->active[cookie]);
}
VD_EXPORT(vd_io_leave);

/* --- life --- */

static int check_patch(const struct vd_chain_desc *desc, u32 i, struct vd_error *err)
{
	const struct vdisk_patch *p = &desc->patches[i];

	if (p->member >= desc->nr_files || !desc->files[p->member]->writable)
		return vd_fail(err, -EINVAL, "patch %u: member %u is not one that can be written",
			       i, p->member);
	if (!p->len || p->len > VDISK_PATCH_BYTES)
		return vd_fail(err, -EINVAL, "patch %u: %u bytes, legal are 1 to %u", i, p->len,
			       VDISK_PATCH_BYTES);
	if (!vd_inside(p->offset, p->len, desc->files[p->member]->size))
		return vd_fail(err, -EINVAL,
			       "patch %u: byte %llu, but member %u has %llu bytes", i, p->offset,
			       p->member, desc->files[p->member]->size);
	return 0;
}

/* A flat extent is all data: no patch may change what a guest reads. */
static int check_patch_data(const struct vd_chain *chain, const struct vd_chain_desc *desc, u32 i,
			    struct vd_error *err)
{
	const struct vdisk_patch *p = &desc->patches[i];
	const struct vd_image *top = &chain->images[0];
	u32 s;

	for (s = 0; s < top->nr_segs; s++) {
		const struct vd_segment *seg = &top->segs[s];

		if (seg->file != desc->files[p->member] || seg->kind != VDISK_SEG_RAW)
			continue;
		if (vd_overlap(seg->file_off, seg->len, p->offset, p->len))
			return vd_fail(err, -EINVAL, "patch %u: byte %llu of member %u is data", i,
				       p->offset, p->member);
	}
	return 0;
}

static int copy_patches(struct vd_chain *chain, const struct vd_chain_desc *desc,
			struct vd_error *err)
{
	struct vd_writer *w = chain->writer;
	u32 i;
	int ret;

	if (!desc->nr_patches)
		return 0;
	w->patches = vd_zalloc(desc->nr_patches * sizeof(*w->patches));
	if (!w->patches)
		return vd_fail(err, -ENOMEM, "no memory for %u patches", desc->nr_patches);
	for (i = 0; i < desc->nr_patches; i++) {
		ret = check_patch(desc, i, err);
		if (!ret)
			ret = check_patch_data(chain, desc, i, err);
		if (ret)
			return ret;
		w->patches[i] = desc->patches[i];
	}
	w->nr_patches = desc->nr_patches;
	return 0;
}

static bool has_writable(const struct vd_chain_desc *desc)
{
	u32 i;

	for (i = 0; i < desc->nr_files; i++)
		if (desc->files[i]->writable)
			return true;
	return false;
}

static struct vd_writer *alloc_writer(const struct vd_chain_desc *desc)
{
	struct vd_writer *w = vd_zalloc(sizeof(*w));

	if (!w)
		return NULL;
	w->files = vd_zalloc(desc->nr_files * sizeof(*w->files));
	if (!w->files) {
		vd_free(w);
		return NULL;
	}
	memcpy(w->files, desc->files, desc->nr_files * sizeof(*w->files));
	w->nr_files = desc->nr_files;
	vd_mutex_init(&w->alloc_lock);
	vd_mutex_init(&w->commit_lock);
	vd_mutex_init(&w->flush_lock);
	vd_spin_init(&w->lock);
	INIT_LIST_HEAD(&w->tokens);
	INIT_LIST_HEAD(&w->freed);
	INIT_LIST_HEAD(&w->unmapping);
	INIT_LIST_HEAD(&w->limbo);
	INIT_LIST_HEAD(&w->draining);
	w->chunk = desc->grow_chunk ? desc->grow_chunk : VD_GROW_CHUNK;
	return w;
}

int vd_writer_create(struct vd_chain *chain, const struct vd_chain_desc *desc,
		     struct vd_error *err)
{
	u32 i;

	if (desc->nr_patches > VDISK_MAX_PATCHES)
		return vd_fail(err, -EINVAL, "%u patches, at most %u", desc->nr_patches,
			       VDISK_MAX_PATCHES);
	if (!has_writable(desc)) {
		if (desc->nr_patches)
			return vd_fail(err, -EINVAL, "patches, but no member can be written");
		return 0;
	}
	chain->writer = alloc_writer(desc);
	if (!chain->writer)
		return vd_fail(err, -ENOMEM, "no memory for writing");
	for (i = 0; i < chain->images[0].nr_segs; i++) {
		const struct vd_segment *seg = &chain->images[0].segs[i];

		if (seg->writable && seg->format->caps & VD_CAP_ALLOC)
			chain->writer->allocates = true;
	}
	return copy_patches(chain, desc, err);
}

static void drop_ranges(struct list_head *list)
{
	struct vd_freed *f;

	while (!list_empty(list)) {
		f = list_entry(list->next, struct vd_freed, node);
		list_del(&f->node);
		vd_free(f);
	}
}

void vd_writer_destroy(struct vd_chain *chain)
{
	struct vd_writer *w = chain->writer;

	if (!w)
		return;
	chain->writer = NULL;
	drop_ranges(&w->freed);
	drop_ranges(&w->unmapping);
	drop_ranges(&w->limbo);
	drop_ranges(&w->draining);
	vd_spin_destroy(&w->lock);
	vd_mutex_destroy(&w->flush_lock);
	vd_mutex_destroy(&w->commit_lock);
	vd_mutex_destroy(&w->alloc_lock);
	vd_free(w->patches);
	vd_free(w->files);
	vd_free(w);
}
