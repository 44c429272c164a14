// SPDX-License-Identifier: GPL-2.0-only
/*
 * What writing to a chain needs beside its parts: its life, the check of the
 * patches, what remains of a failure, and who is using the map's answers.
 */
#include "writer.h"

/* --- failure --- */

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
