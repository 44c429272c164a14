// SPDX-License-Identifier: GPL-2.0-only
/*
 * Opening a chain: check every number of the tables, then let each segment's
 * backend read its headers. In the kernel this is the one gate between what a
 * caller claims and what the I/O path computes with.
 */
#include "resolve.h"
#include "writer.h"

static int check_counts(const struct vd_chain_desc *desc, struct vd_error *err)
{
	if (!desc->nr_images || desc->nr_images > VDISK_MAX_IMAGES)
		return vd_fail(err, -EINVAL, "chain of %u images, legal are 1 to %u",
			       desc->nr_images, VDISK_MAX_IMAGES);
	if (!desc->nr_segments || desc->nr_segments > VDISK_MAX_SEGMENTS)
		return vd_fail(err, -EINVAL, "%u segments, legal are 1 to %u", desc->nr_segments,
			       VDISK_MAX_SEGMENTS);
	if (desc->nr_files > VDISK_MAX_MEMBERS)
		return vd_fail(err, -EINVAL, "%u member files, legal are 0 to %u", desc->nr_files,
			       VDISK_MAX_MEMBERS);
	return 0;
}

static int check_files(const struct vd_chain_desc *desc, struct vd_error *err)
{
	u32 i;

	for (i = 0; i < desc->nr_files; i++) {
		if (!desc->files[i])
			return vd_fail(err, -EINVAL, "member %u is missing", i);
		if (desc->files[i]->size > VD_CAP_FILE_BYTES)
			return vd_fail(err, -EFBIG,
				       "member %u has %llu bytes, legal are up to %llu", i,
				       desc->files[i]->size, VD_CAP_FILE_BYTES);
	}
	return 0;
}

static int check_images(const struct vd_chain_desc *desc, struct vd_error *err)
{
	u32 i;

	for (i = 0; i < desc->nr_images; i++) {
		const struct vdisk_image_desc *image = &desc->images[i];

		if (!vd_format_name(image->format))
			return vd_fail(err, -EINVAL, "image %u: unknown format %u", i,
				       image->format);
		if (image->flags)
			return vd_fail(err, -EINVAL, "image %u: unknown flags 0x%x", i,
				       image->flags);
		if (!image->size || image->size > VD_CAP_DISK_BYTES ||
		    image->size & (VD_SECTOR - 1))
			return vd_fail(err, -EINVAL,
				       "image %u: size %llu, legal are multiples of 512 up to %llu",
				       i, image->size, VD_CAP_DISK_BYTES);
	}
	return 0;
}

/* The member of segment @i: there if the kind reads a file, and ours to use. */
static int check_member(const struct vd_chain_desc *desc, u32 i, struct vd_error *err)
{
	const struct vdisk_segment_desc *seg = &desc->segments[i];
	bool fileless = seg->kind == VDISK_SEG_ZERO || seg->kind == VDISK_SEG_NOACCESS;

	if (fileless) {
		if (seg->member != VDISK_NO_MEMBER)
			return vd_fail(err, -EINVAL,
				       "image %u, segment %u: kind %u has no file, but member %u",
				       seg->image, i, seg->kind, seg->member);
		return 0;
	}
	if (!vd_format_name(VDISK_SEG_FORMAT(seg->kind)))
		return vd_fail(err, -EINVAL, "image %u, segment %u: unknown kind 0x%x", seg->image,
			       i, seg->kind);
	if (seg->member >= desc->nr_files)
		return vd_fail(err, -EINVAL, "image %u, segment %u: member %u, but there are %u",
			       seg->image, i, seg->member, desc->nr_files);
	if (seg->image && desc->files[seg->member]->writable)
		return vd_fail(err, -EINVAL,
			       "image %u, segment %u: member %u is writable, not for a parent",
			       seg->image, i, seg->member);
	return 0;
}

static int check_offset(const struct vdisk_segment_desc *seg, u32 i, struct vd_error *err)
{
	if (seg->kind != VDISK_SEG_RAW) {
		if (seg->offset)
			return vd_fail(err, -EINVAL,
				       "image %u, segment %u: offset %llu, must be 0 for kind 0x%x",
				       seg->image, i, seg->offset, seg->kind);
		return 0;
	}
	if (seg->offset & (VD_SECTOR - 1) || !vd_inside(seg->offset, seg->len, VD_CAP_FILE_BYTES))
		return vd_fail(err, -EINVAL,
			       "image %u, segment %u: offset %llu, legal: multiples of 512 to %llu",
			       seg->image, i, seg->offset, VD_CAP_FILE_BYTES - seg->len);
	return 0;
}

static int check_fields(const struct vd_chain_desc *desc, u32 i, struct vd_error *err)
{
	const struct vdisk_segment_desc *seg = &desc->segments[i];
	int ret;

	if (seg->flags & ~VDISK_SEGF_FLAGS)
		return vd_fail(err, -EINVAL, "image %u, segment %u: unknown flags 0x%x", seg->image,
			       i, seg->flags);
	ret = check_member(desc, i, err);
	if (ret)
		return ret;
	return check_offset(seg, i, err);
}

/* How far check_segments() has come: @image is covered up to @end. */
struct coverage {
	u32 image;
	u64 end;
};

static int check_place(const struct vd_chain_desc *desc, u32 i, struct coverage *at,
		       struct vd_error *err)
{
	const struct vdisk_segment_desc *seg = &desc->segments[i];
	u64 size = desc->images[at->image].size;

	if (at->end == size && at->image + 1 < desc->nr_images) {
		at->image++;
		at->end = 0;
		size = desc->images[at->image].size;
	}
	if (seg->image != at->image)
		return vd_fail(err, -EINVAL,
			       "segment %u: of image %u, but image %u ends at %llu of %llu", i,
			       seg->image, at->image, at->end, size);
	if (seg->start != at->end)
		return vd_fail(err, -EINVAL,
			       "image %u, segment %u: starts at %llu, must start at %llu",
			       at->image, i, seg->start, at->end);
	if (!seg->len || seg->len & (VD_SECTOR - 1) || seg->len > size - at->end)
		return vd_fail(err, -EINVAL,
			       "image %u, segment %u: length %llu, legal: multiples of 512 to %llu",
			       at->image, i, seg->len, size - at->end);
	at->end += seg->len;
	return 0;
}

/* Segments come image by image, each image covered from 0 to its size. */
static int check_segments(const struct vd_chain_desc *desc, struct vd_error *err)
{
	struct coverage at = { 0 };
	u64 size;
	u32 i;
	int ret;

	for (i = 0; i < desc->nr_segments; i++) {
		ret = check_place(desc, i, &at, err);
		if (!ret)
			ret = check_fields(desc, i, err);
		if (ret)
			return ret;
	}
	size = desc->images[at.image].size;
	if (at.end != size)
		return vd_fail(err, -EINVAL, "image %u: segments end at %llu, must end at %llu",
			       at.image, at.end, size);
	if (at.image + 1 != desc->nr_images)
		return vd_fail(err, -EINVAL, "image %u of %u has no segments", at.image + 1,
			       desc->nr_images);
	return 0;
}

/* Do two segments over one file claim a common byte? A table format claims the file. */
static bool share_bytes(const struct vdisk_segment_desc *a, const struct vdisk_segment_desc *b)
{
	if (a->kind != VDISK_SEG_RAW || b->kind != VDISK_SEG_RAW)
		return true;
	return vd_overlap(a->offset, a->len, b->offset, b->len);
}

/* Two segments over one member; @j comes before @i. */
static int check_shared(const struct vd_chain_desc *desc, u32 j, u32 i, struct vd_error *err)
{
	const struct vdisk_segment_desc *a = &desc->segments[j], *b = &desc->segments[i];

	if (a->image != b->image)
		return vd_fail(err, -EINVAL, "segments %u and %u: member %u is in images %u and %u",
			       j, i, a->member, a->image, b->image);
	if (desc->files[a->member]->writable && share_bytes(a, b))
		return vd_fail(err, -EINVAL, "segments %u and %u share bytes of writable member %u",
			       j, i, a->member);
	return 0;
}

/*
 * A file belongs to one image, and bytes that can be written to one guest
 * range. Quadratic, but over VDISK_MAX_SEGMENTS at most, and once.
 */
static int check_sharing(const struct vd_chain_desc *desc, struct vd_error *err)
{
	const struct vdisk_segment_desc *segs = desc->segments;
	u32 i, j;
	int ret;

	for (i = 0; i < desc->nr_segments; i++) {
		if (segs[i].member == VDISK_NO_MEMBER)
			continue;
		for (j = 0; j < i; j++) {
			ret = segs[j].member == segs[i].member ? check_shared(desc, j, i, err) : 0;
			if (ret)
				return ret;
		}
	}
	return 0;
}

static int check_desc(const struct vd_chain_desc *desc, struct vd_error *err)
{
	int ret;

	ret = check_counts(desc, err);
	if (!ret)
		ret = check_files(desc, err);
	if (!ret)
		ret = check_images(desc, err);
	if (!ret)
		ret = check_segments(desc, err);
	if (!ret)
		ret = check_sharing(desc, err);
	return ret;
}

static struct vd_chain *alloc_chain(const struct vd_chain_desc *desc)
{
	struct vd_chain *chain = vd_zalloc(sizeof(*chain));

	if (!chain)
		return NULL;
	/* nr_segs counts opened segments, so that vd_chain_close() can unwind any state. */
	chain->nr_images = desc->nr_images;
	chain->size = desc->images[0].size;
	chain->images = vd_zalloc(desc->nr_images * sizeof(*chain->images));
	chain->segs = vd_zalloc(desc->nr_segments * sizeof(*chain->segs));
	chain->meta = vd_meta_create(desc->meta_blocks);
	if (!chain->images || !chain->segs || !chain->meta) {
		vd_chain_close(chain);
		return NULL;
	}
	return chain;
}

/* What a backend's open left in @seg, before anybody computes with it. */
static int check_opened(const struct vd_segment *seg, struct vd_error *err)
{
	if (seg->writable && seg->format->caps & VD_CAP_ALLOC && !is_power_of_2(seg->unit))
		return vd_fail(err, -EUCLEAN, "allocation unit of %u bytes, no power of two",
			       seg->unit);
	if (seg->packed && (!seg->max_unit || seg->max_unit > VD_CAP_UNIT_BYTES))
		return vd_fail(err, -EUCLEAN, "packed units of %u bytes, legal are 1 to %u",
			       seg->max_unit, VD_CAP_UNIT_BYTES);
	return 0;
}

static int open_backend(struct vd_segment *seg, struct vd_error *err)
{
	u32 format = VDISK_SEG_FORMAT(seg->kind);
	int ret;

	seg->format = vd_format_get(format);
	if (!seg->format)
		return vd_fail(err, -EOPNOTSUPP, "format %s is not available",
			       vd_format_name(format));

	ret = seg->format->open(seg, err);
	if (ret) {
		ret = vd_fail(err, ret < 0 ? ret : -EIO, "format %s: error %d while opening",
			      seg->format->name, ret);
		goto put;
	}
	ret = check_opened(seg, err);
	if (ret)
		goto close;
	seg->writable = !seg->image && seg->file->writable && !seg->packed &&
			!(seg->flags & VDISK_SEGF_RDONLY) && seg->writable;
	return 0;

close:
	seg->format->close(seg);
put:
	vd_format_put(seg->format);
	seg->format = NULL;
	return ret;
}

static int open_segment(struct vd_chain *chain, const struct vd_chain_desc *desc, u32 i,
			struct vd_error *err)
{
	const struct vdisk_segment_desc *from = &desc->segments[i];
	struct vd_segment *seg = &chain->segs[i];
	struct vd_error why = { 0 };
	int ret;

	seg->image = from->image;
	seg->start = from->start;
	seg->len = from->len;
	seg->kind = from->kind;
	seg->flags = from->flags;
	seg->file_off = from->offset;
	seg->meta = chain->meta;
	seg->chain = chain;
	if (from->member == VDISK_NO_MEMBER)
		return 0;

	seg->file = desc->files[from->member];
	ret = open_backend(seg, &why);
	if (!ret)
		return 0;
	/* Where it happened helps only if there is a choice. */
	if (desc->nr_segments == 1)
		return vd_fail(err, ret, "%s", why.text);
	return vd_fail(err, ret, "image %u, segment %u: %s", from->image, i, why.text);
}

/* Opened segments become part of their images and of the chain's limits. */
static void adopt_segment(struct vd_chain *chain, struct vd_segment *seg)
{
	struct vd_image *image = &chain->images[seg->image];

	if (!image->segs)
		image->segs = seg;
	image->nr_segs++;
	chain->nr_segs++;
	if (!seg->image)
		chain->unit = max_t(u32, chain->unit, seg->unit);
	if (seg->packed)
		chain->max_unit = max_t(u32, chain->max_unit, seg->max_unit);
}

/* Without parents a walk has one step. */
static int open_resolve(struct vd_chain *chain, const struct vd_chain_desc *desc,
			struct vd_error *err)
{
	if (chain->nr_images == 1 || desc->resolve_sets == VD_RESOLVE_NONE)
		return 0;
	chain->resolve = vd_resolve_create(chain, desc->resolve_sets);
	if (!chain->resolve)
		return vd_fail(err, -ENOMEM, "no memory for resolved extents");
	return 0;
}

int vd_chain_open(const struct vd_chain_desc *desc, struct vd_chain **out, struct vd_error *err)
{
	struct vd_chain *chain;
	u32 i;
	int ret;

	*out = NULL;
	ret = check_desc(desc, err);
	if (ret)
		return ret;

	chain = alloc_chain(desc);
	if (!chain)
		return vd_fail(err, -ENOMEM, "no memory for %u images with %u segments",
			       desc->nr_images, desc->nr_segments);

	for (i = 0; i < desc->nr_images; i++) {
		chain->images[i].format = desc->images[i].format;
		chain->images[i].size = desc->images[i].size;
	}
	for (i = 0; i < desc->nr_segments; i++) {
		ret = open_segment(chain, desc, i, err);
		if (ret)
			goto close;
		adopt_segment(chain, &chain->segs[i]);
	}
	ret = vd_writer_create(chain, desc, err);
	if (!ret)
		ret = open_resolve(chain, desc, err);
	if (ret)
		goto close;
	*out = chain;
	return 0;

close:
	vd_chain_close(chain);
	return ret;
}

void vd_chain_close(struct vd_chain *chain)
{
	if (!chain)
		return;

	while (chain->nr_segs) {
		struct vd_segment *seg = &chain->segs[--chain->nr_segs];

		if (!seg->format)
			continue;
		seg->format->close(seg);
		vd_format_put(seg->format);
	}
	vd_writer_destroy(chain);
	vd_resolve_destroy(chain->resolve);
	vd_meta_destroy(chain->meta);
	vd_free(chain->segs);
	vd_free(chain->images);
	vd_free(chain);
}
