// SPDX-License-Identifier: GPL-2.0-only
/*
 * Durability: the first write, commits, the last write.
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

/*
 * Somebody else has made the file shorter: what was durable there is gone. Writing on
 * would give it its length back, and a map that nobody could tell from a good one. Who
 * has only read so far has nothing to do with it.
 */
static bool was_cut(struct vd_chain *chain, struct vd_file *file)
{
	u64 known = READ_ONCE(file->size), now;

	if (!file->writable || file->fixed || !vd_begun(chain))
		return false;
	vd_mb();
	if (vd_file_size(file, &now))
		return false;
	/* What we make shorter ourselves we know to be before it is. */
	vd_mb();
	return now < min(known, READ_ONCE(file->size));
}

int vd_writer_flush(struct vd_chain *chain, struct vd_file *file)
{
	struct vd_writer *w = chain->writer;
	bool cut = was_cut(chain, file);
	int ret;

	vd_mutex_lock(&w->flush_lock);
	ret = READ_ONCE(w->failed) || cut ? -EIO : vd_file_flush(file);
	if (vd_bug(VD_BUG_LATE_CLEAN))
		vd_atomic_set(&file->dirty, 0);
	if (ret)
		vd_writer_fail(chain, ret, cut ? "a file was cut, so a flush" : "a flush");
	vd_mutex_unlock(&w->flush_lock);
	return ret;
}

/* The first error counts. After it no file is flushed: nothing is promised any more. */
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

/*
 * A file that cannot promise space ahead, or needs some to overwrite, may be full
 * here. What is to be written is still in memory, and stays so until it fits.
 */
static int write_rank(struct vd_chain *chain, u32 rank)
{
	int ret = vd_meta_write_rank(chain->meta, rank);

	return ret && !vd_no_space(ret) ? vd_writer_fail(chain, ret, "writing tables") : ret;
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

/* The snapshot becomes durable. All of it may have been tried before. */
static int finish(struct vd_chain *chain)
{
	int ret = write_ranks(chain);

	if (ret)
		return ret;
	vd_meta_committed(chain->meta);
	vd_space_unmapped(chain);
	return 0;
}

/* Under commit_lock. */
static int commit_once(struct vd_chain *chain)
{
	int ret = 0;

	if (vd_failed(chain))
		return -EIO;
	if (vd_meta_committing(chain->meta))
		ret = finish(chain);
	if (ret)
		return ret;
	/* Ranges first: what unmapped them was done before, so it is in the snapshot. */
	vd_space_snapshot(chain);
	if (vd_meta_clean(chain->meta)) {
		ret = flush_files(chain);
		if (!ret)
			vd_space_unmapped(chain);
		return ret;
	}
	vd_meta_snapshot(chain->meta);
	return finish(chain);
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
	if (vd_bug(VD_BUG_SHARE_RUNNING) && w->started != w->done)
		wanted--;
	vd_mb();
	vd_mutex_lock(&w->commit_lock);
	if (READ_ONCE(w->failed)) {
		ret = -EIO;
	} else if ((int)(w->done - wanted) < 0) {
		WRITE_ONCE(w->started, w->started + 1);
		vd_mb();
		ret = commit_once(chain);
		w->done = w->started;
		w->result = ret;
	} else {
		/* The last one covers all before it. */
		ret = w->result;
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
	ret = READ_ONCE(w->failed) ? -EIO : 0;
	if (!ret && vd_meta_committing(chain->meta))
		ret = finish(chain);
	if (!ret)
		ret = vd_meta_write_through(chain->meta, file, pos, buf, len);
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

/* Before the patches, so that an image that cannot be written stays as it is. */
static int begin_segments(struct vd_chain *chain)
{
	struct vd_image *top = &chain->images[0];
	u32 i;
	int ret = 0;

	for (i = 0; !ret && i < top->nr_segs; i++) {
		struct vd_segment *seg = &top->segs[i];

		if (!seg->writable || seg->begun || !seg->format->begin_write)
			continue;
		ret = seg->refused ? -EUCLEAN : seg->format->begin_write(seg);
		seg->begun = !ret;
		/* It will not get better: the question may have cost a lot. */
		seg->refused = ret == -EUCLEAN;
	}
	return ret;
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
		ret = begin_segments(chain);
	if (!ret && !w->begun)
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
	WRITE_ONCE(seg->chain->writer->ended, false);
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

/* A place that is published after the mark is gone would be nobody's unfinished work. */
static bool has_tokens(struct vd_writer *w)
{
	bool some;

	vd_spin_lock(&w->lock);
	some = !list_empty(&w->tokens);
	vd_spin_unlock(&w->lock);
	return some;
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
	ret = vd_commit(chain);
	/* Nobody gets another one now, so the last commit is after all that was published. */
	if (!ret && has_tokens(w))
		ret = -EBUSY;
	/* It is for the ranges that the first one freed, too. */
	if (!ret)
		ret = vd_commit(chain);
	for (i = 0; !ret && i < top->nr_segs; i++)
		ret = end_segment(chain, &top->segs[i]);
	/* From here on the files stay as they are. */
	if (!ret)
		WRITE_ONCE(w->ended, true);
	vd_mutex_unlock(&w->alloc_lock);
	return ret;
}
VD_EXPORT(vd_end_write);
