// SPDX-License-Identifier: GPL-2.0-only
/*
 * VMDK: backend table, and open of hosted sparse extents (the sparse format of
 * Workstation, Fusion, VirtualBox and QEMU, and its compressed form for
 * streams). The text descriptor is none of the kernel's business: it gets the
 * list of extents as numbers.
 */
#include "vdisk/caps.h"
#include "vdisk/checked.h"
#include "vdisk/format.h"
#include "vmdk.h"

static const u8 vmdk_newline[4] = { '\n', ' ', '\r', '\n' };

void vmdk_fields_decode(const struct vmdk_disk_header *disk, struct vmdk_fields *f)
{
	f->magic = get_unaligned_le32(&disk->magic);
	f->version = get_unaligned_le32(&disk->version);
	f->flags = get_unaligned_le32(&disk->flags);
	f->capacity = get_unaligned_le64(&disk->capacity);
	f->grain = get_unaligned_le64(&disk->grain_size);
	f->desc_off = get_unaligned_le64(&disk->descriptor_offset);
	f->desc_size = get_unaligned_le64(&disk->descriptor_size);
	f->gtes = get_unaligned_le32(&disk->num_gtes_per_gt);
	f->rgd = get_unaligned_le64(&disk->rgd_offset);
	f->gd = get_unaligned_le64(&disk->gd_offset);
	f->over_head = get_unaligned_le64(&disk->over_head);
	f->unclean = disk->unclean_shutdown;
	memcpy(f->newline, disk->newline, sizeof(f->newline));
	f->compress = get_unaligned_le16(&disk->compress_algorithm);
}

/* One sentence for a field that is out of its range. */
static int vmdk_field_bad(const struct vmdk_fields *f, struct vd_error *err, int code,
			  const char *field, u32 off, u64 found, const char *legal)
{
	return vd_fail(err, code, "%s: %s at byte %llu is %llu, legal is %s", f->where, field,
		       f->base + off, found, legal);
}

static int vmdk_check_flags(const struct vmdk_fields *f, struct vd_error *err)
{
	u32 unknown = f->flags & 0xffff0000 & ~VMDK_FLAGS_HIGH;
	bool compressed = f->flags & VMDK_FLAG_COMPRESSED;

	if (unknown)
		return vd_fail(err, -EOPNOTSUPP,
			       "%s: flags at byte %llu have unknown bits 0x%x that change the layout",
			       f->where, f->base + 8, unknown);
	if (f->compress != VMDK_COMPRESS_NONE && f->compress != VMDK_COMPRESS_DEFLATE)
		return vmdk_field_bad(f, err, -EOPNOTSUPP, "compressAlgorithm", 77, f->compress,
				      "0 (none) or 1 (deflate)");
	if (compressed != (f->compress == VMDK_COMPRESS_DEFLATE))
		return vd_fail(err, -EUCLEAN,
			       "%s: flags 0x%x at byte %llu contradict compressAlgorithm %u",
			       f->where, f->flags, f->base + 8, f->compress);
	if (f->flags & VMDK_FLAG_MARKERS && !compressed)
		return vd_fail(err, -EOPNOTSUPP,
			       "%s: flags 0x%x at byte %llu: markers without compression",
			       f->where, f->flags, f->base + 8);
	return 0;
}

/* What can be said about a header without knowing the size of the file. */
int vmdk_fields_check(const struct vmdk_fields *f, struct vd_error *err)
{
	if (f->magic == VMDK_MAGIC_UNFINISHED)
		return vd_fail(err, -EUCLEAN,
			       "%s: marked as unfinished (kdmv): the program that wrote it has not ended well",
			       f->where);
	if (f->magic != VMDK_MAGIC)
		return vd_fail(err, -EUCLEAN, "%s: no sparse extent at byte %llu: magic is 0x%x, not 0x%x",
			       f->where, f->base, f->magic, VMDK_MAGIC);
	if (!f->version || f->version > 3)
		return vmdk_field_bad(f, err, -EOPNOTSUPP, "version", 4, f->version, "1 to 3");
	if (f->flags & VMDK_FLAG_NEWLINE &&
	    memcmp(f->newline, vmdk_newline, sizeof(vmdk_newline)))
		return vd_fail(err, -EUCLEAN,
			       "%s: line ends at byte %llu are changed: damaged by a text-mode transfer",
			       f->where, f->base + 73);
	if (!is_power_of_2(f->grain))
		return vmdk_field_bad(f, err, -EUCLEAN, "grainSize", 20, f->grain,
				      "a power of two from 1 to 2048");
	if (f->grain > VMDK_CAP_GRAIN_SECTORS)
		return vmdk_field_bad(f, err, -EOPNOTSUPP, "grainSize", 20, f->grain,
				      "a power of two from 1 to 2048");
	if (f->gtes != VMDK_GTES)
		return vmdk_field_bad(f, err, -EOPNOTSUPP, "numGTEsPerGT", 44, f->gtes, "512");
	if (f->desc_size > VMDK_CAP_DESC_SECTORS)
		return vmdk_field_bad(f, err, -EUCLEAN, "descriptorSize", 36, f->desc_size,
				      "0 to 20480");
	return vmdk_check_flags(f, err);
}

/* Numbers of bytes and tables that follow from capacity and grain size. */
static int vmdk_check_geometry(const struct vmdk_fields *f, struct vmdk_header *h,
			       struct vd_error *err)
{
	if (!f->capacity)
		return vmdk_field_bad(f, err, -EUCLEAN, "capacity", 12, 0, "1 sector and more");
	if (!vd_sectors(f->capacity, &h->capacity) || h->capacity > VD_CAP_DISK_BYTES)
		return vmdk_field_bad(f, err, -EUCLEAN, "capacity", 12, f->capacity,
				      "at most 64 TiB in sectors");
	h->grain = (u32)f->grain << VD_SECTOR_SHIFT;
	h->grain_shift = (u32)ilog2(h->grain);
	h->nr_gts = vd_ceil_shift(h->capacity, h->grain_shift + VMDK_GTES_SHIFT);
	if (h->nr_gts > VMDK_CAP_GD_ENTRIES)
		return vd_fail(err, -EUCLEAN,
			       "%s: capacity %llu and grainSize %llu need %llu grain tables, legal is at most %u",
			       f->where, f->capacity, f->grain, h->nr_gts, VMDK_CAP_GD_ENTRIES);
	return 0;
}

/* One directory: after the header, inside the file. */
static int vmdk_check_dir(const struct vmdk_fields *f, const char *field, u32 off, u64 sector,
			  u64 nr_gts, u64 file_size, u64 *pos, struct vd_error *err)
{
	if (!sector)
		return vmdk_field_bad(f, err, -EUCLEAN, field, off, sector, "1 sector and more");
	if (!vd_sectors(sector, pos) || !vd_inside(*pos, nr_gts * 4, file_size))
		return vd_fail(err, -EUCLEAN,
			       "%s: %s at byte %llu is sector %llu, its %llu entries end past the file's %llu bytes",
			       f->where, field, f->base + off, sector, nr_gts, file_size);
	return 0;
}

static int vmdk_check_descriptor(const struct vmdk_fields *f, struct vmdk_header *h, u64 file_size,
				 struct vd_error *err)
{
	if (!f->desc_off || !f->desc_size)
		return 0;
	h->desc_len = f->desc_size << VD_SECTOR_SHIFT;
	if (!vd_sectors(f->desc_off, &h->desc_pos) ||
	    !vd_inside(h->desc_pos, h->desc_len, file_size))
		return vd_fail(err, -EUCLEAN,
			       "%s: descriptor of %llu sectors at sector %llu ends past the file's %llu bytes",
			       f->where, f->desc_size, f->desc_off, file_size);
	return 0;
}

void vmdk_taken(const struct vmdk_header *h, struct vmdk_range *taken)
{
	u64 dir = vd_ceil_shift(h->nr_gts * 4, VD_SECTOR_SHIFT) << VD_SECTOR_SHIFT;

	taken[0] = (struct vmdk_range) { 0, VD_SECTOR };
	taken[1] = (struct vmdk_range) { h->desc_pos, h->desc_len };
	taken[2] = (struct vmdk_range) { h->gd_pos, dir };
	taken[3] = (struct vmdk_range) { h->rgd_pos, h->rgd_pos ? dir : 0 };
}

static int vmdk_check_overlap(const struct vmdk_header *h, struct vd_error *err)
{
	static const char *const names[VMDK_RANGES] = {
		"header", "descriptor", "grain directory", "redundant grain directory",
	};
	struct vmdk_range taken[VMDK_RANGES];
	u32 i, j;

	vmdk_taken(h, taken);
	for (i = 0; i < VMDK_RANGES; i++)
		for (j = 0; j < i; j++)
			if (vd_overlap(taken[i].pos, taken[i].len, taken[j].pos, taken[j].len))
				return vd_fail(err, -EUCLEAN,
					       "header: the %s at byte %llu overlaps the %s at byte %llu",
					       names[i], taken[i].pos, names[j], taken[j].pos);
	return 0;
}

/* Where things lie. @f is the footer of a stream; the descriptor never is in that one. */
static int vmdk_check_places(const struct vmdk_fields *f, const struct vmdk_fields *first,
			     struct vmdk_header *h, u64 file_size, struct vd_error *err)
{
	int ret;

	ret = vmdk_check_descriptor(first, h, file_size, err);
	if (!ret)
		ret = vmdk_check_dir(f, "gdOffset", 56, f->gd, h->nr_gts, file_size, &h->gd_pos,
				     err);
	if (!ret && f->flags & VMDK_FLAG_REDUNDANT)
		ret = vmdk_check_dir(f, "rgdOffset", 48, f->rgd, h->nr_gts, file_size,
				     &h->rgd_pos, err);
	if (ret)
		return ret;
	if (f->over_head > vd_ceil_shift(file_size, VD_SECTOR_SHIFT))
		return vd_fail(err, -EUCLEAN,
			       "%s: overHead at byte %llu is %llu sectors, past the file's %llu bytes: is it cut short?",
			       f->where, f->base + 64, f->over_head, file_size);
	h->data_pos = max_t(u64, f->over_head, 1) << VD_SECTOR_SHIFT;
	return vmdk_check_overlap(h, err);
}

int vmdk_header_read(struct vd_file *file, struct vmdk_header *out, struct vd_error *err)
{
	struct vmdk_fields first = { .where = "header" };
	struct vmdk_fields footer = { .where = "footer" };
	const struct vmdk_fields *f = &first;
	struct vmdk_disk_header disk;
	int ret;

	memset(out, 0, sizeof(*out));
	if (file->size < sizeof(disk))
		return vd_fail(err, -EUCLEAN, "header: the file has %llu bytes, a header needs 512",
			       file->size);
	ret = vd_file_read(file, 0, &disk, sizeof(disk));
	if (ret)
		return vd_fail(err, ret, "header: cannot be read");
	vmdk_fields_decode(&disk, &first);
	ret = vmdk_fields_check(&first, err);
	if (ret)
		return ret;

	if (first.gd == VMDK_GD_AT_END) {
		ret = vmdk_footer_read(file, &first, &footer, err);
		if (ret)
			return ret;
		f = &footer;
	}
	out->version = f->version;
	out->flags = f->flags;
	out->odd_flags = f->flags & 0xffff & ~VMDK_FLAGS_LOW;
	out->unclean = first.unclean;
	ret = vmdk_check_geometry(f, out, err);
	if (ret)
		return ret;
	return vmdk_check_places(f, &first, out, file->size, err);
}

static void vmdk_sparse_init(struct vmdk_sparse *v, struct vd_segment *seg)
{
	const struct vmdk_header *h = &v->header;
	u32 i;

	v->reader = VMDK_READER_SPARSE;
	vmdk_taken(h, v->taken);
	for (i = 0; i < VMDK_RANGES; i++)
		v->taken_end = max(v->taken_end, v->taken[i].pos + v->taken[i].len);
	v->dirs[0] = (struct vd_table) { seg->meta, seg->file, h->gd_pos, h->nr_gts };
	v->dirs[1] = (struct vd_table) { seg->meta, seg->file, h->rgd_pos, h->nr_gts };
	v->nr_dirs = h->rgd_pos ? 2 : 1;
	/* Deflate never grows a grain by more; the same bound sizes the engine's buffers. */
	v->max_packed = h->grain + h->grain / 8 + 1024;
	seg->unit = h->grain;
	if (h->flags & VMDK_FLAG_COMPRESSED) {
		seg->packed = true;
		seg->max_unit = h->grain;
	}
	/* What an unknown flag asks of a writer is unknown. */
	seg->writable = !seg->packed && !h->odd_flags;
	seg->priv = v;
}

static int vmdk_sparse_open(struct vd_segment *seg, struct vd_error *err)
{
	struct vmdk_sparse *v;
	int ret;

	v = vd_zalloc(sizeof(*v));
	if (!v)
		return vd_fail(err, -ENOMEM, "out of memory");
	ret = vmdk_header_read(seg->file, &v->header, err);
	if (ret)
		goto out_free;
	ret = -EUCLEAN;
	if (v->header.capacity < seg->len) {
		vd_fail(err, ret, "header: capacity is %llu bytes, but the extent covers %llu",
			v->header.capacity, seg->len);
		goto out_free;
	}
	vmdk_sparse_init(v, seg);
	return 0;

out_free:
	vd_free(v);
	return ret;
}

/* Old hosted products wrote COWD files for extents that are called SPARSE. */
static int vmdk_open_hosted(struct vd_segment *seg, struct vd_error *err)
{
	u8 magic[4] = { 0 };
	int ret = 0;

	if (seg->file->size >= sizeof(magic))
		ret = vd_file_read(seg->file, 0, magic, sizeof(magic));
	if (ret)
		return vd_fail(err, ret, "header: cannot be read");
	if (get_unaligned_le32(magic) == COWD_MAGIC)
		return cowd_open(seg, err);
	return vmdk_sparse_open(seg, err);
}

static int vmdk_open(struct vd_segment *seg, struct vd_error *err)
{
	switch (seg->kind) {
	case VDISK_SEG_VMDK_SPARSE:
		return vmdk_open_hosted(seg, err);
	case VDISK_SEG_VMDK_COWD:
		return cowd_open(seg, err);
	case VDISK_SEG_VMDK_SESPARSE:
		return sesparse_open(seg, err);
	}
	return vd_fail(err, -EINVAL, "vmdk has no segment kind 0x%x", seg->kind);
}

static enum vmdk_reader vmdk_reader(const struct vd_segment *seg)
{
	return *(const enum vmdk_reader *)seg->priv;
}

/* Of the readers that can write. */
static struct vd_space *vmdk_space(struct vd_segment *seg)
{
	if (vmdk_reader(seg) == VMDK_READER_COWD)
		return &((struct cowd *)seg->priv)->space;
	return &((struct vmdk_sparse *)seg->priv)->space;
}

static void vmdk_close(struct vd_segment *seg)
{
	if (vmdk_reader(seg) != VMDK_READER_SESPARSE)
		vd_space_release(vmdk_space(seg));
	vd_free(seg->priv);
	seg->priv = NULL;
}

static int vmdk_map(struct vd_segment *seg, u64 pos, u64 len, unsigned int flags,
		    struct vd_extent *ext)
{
	switch (vmdk_reader(seg)) {
	case VMDK_READER_SPARSE:
		return vmdk_sparse_map(seg, pos, len, flags, ext);
	case VMDK_READER_COWD:
		return cowd_map(seg, pos, len, flags, ext);
	case VMDK_READER_SESPARSE:
		return sesparse_map(seg, pos, len, flags, ext);
	}
	return -EINVAL;
}

static int vmdk_begin_alloc(struct vd_segment *seg)
{
	return vmdk_reader(seg) == VMDK_READER_COWD ? cowd_begin(seg) : vmdk_sparse_begin(seg);
}

static int vmdk_reserve(struct vd_segment *seg, u64 pos, u64 len, struct vd_alloc *alloc)
{
	if (vmdk_reader(seg) == VMDK_READER_COWD)
		return cowd_reserve(seg, pos, len, alloc);
	return vmdk_sparse_reserve(seg, pos, len, alloc);
}

static void vmdk_publish(struct vd_segment *seg, struct vd_alloc *alloc)
{
	if (vmdk_reader(seg) == VMDK_READER_COWD)
		cowd_publish(seg, alloc);
	else
		vmdk_sparse_publish(seg, alloc);
}

static int vmdk_discard(struct vd_segment *seg, u64 pos, u64 len, unsigned int flags, u64 *done)
{
	if (vmdk_reader(seg) == VMDK_READER_COWD)
		return cowd_discard(seg, pos, len, flags, done);
	return vmdk_sparse_discard(seg, pos, len, flags, done);
}

static int vmdk_end_write(struct vd_segment *seg)
{
	return vmdk_reader(seg) == VMDK_READER_COWD ? cowd_end(seg) : vmdk_sparse_end(seg);
}

static const char *const vmdk_extensions[] = { "vmdk", NULL };

const struct vd_format vd_format_vmdk = {
	.name		= "vmdk",
	.id		= VDISK_FORMAT_VMDK,
	.caps		= VD_CAP_WRITE | VD_CAP_ALLOC | VD_CAP_DISCARD | VD_CAP_ZERO |
			  VD_CAP_DIFF | VD_CAP_PROBE,
	.extensions	= vmdk_extensions,
	.host_align	= VD_SECTOR,
	.probe		= VD_USER_OPS(vmdk_probe),
	.open		= vmdk_open,
	.close		= vmdk_close,
	.map		= vmdk_map,
	.unpack		= vmdk_unpack,
	.begin_alloc	= vmdk_begin_alloc,
	.reserve	= vmdk_reserve,
	.publish	= vmdk_publish,
	.discard	= vmdk_discard,
	.end_write	= vmdk_end_write,
	.space		= vmdk_space,
	.user		= VD_USER_OPS(vmdk_user),
	.owner		= VD_THIS_MODULE,
};
