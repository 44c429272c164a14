// SPDX-License-Identifier: GPL-2.0-only
/* One run, its memory, and the promises of an open and of the map. */
#include <sanitizer/allocator_interface.h>
#include <stdio.h>
#include <stdlib.h>

#include "fz.h"
#include "vdisk/checked.h"
#include "vdisk/layout.h"

/* --- numbers --- */

u64 fz_rand(struct fz_rng *rng)
{
	u64 x = rng->state += 0x9e3779b97f4a7c15ULL;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

u64 fz_below(struct fz_rng *rng, u64 n)
{
	return fz_rand(rng) % n;
}

/* --- memory --- */

#define BUDGET		(256U << 10)	/* of an attach, beyond that of a small raw image */
#define DENY		(64U << 20)	/* a machine may be out of memory, too */

static struct {
	const char *what;
	u64 limit;
	u64 used;
	u64 calls;
	u64 fail_at;
} memory;

static __thread long live;

static void count_malloc(const volatile void *p, size_t size)
{
	live++;
}

static void count_free(const volatile void *p)
{
	if (p)
		live--;
}

static bool alloc_hook(size_t size)
{
	memory.used += size;
	if (memory.limit && memory.used > memory.limit)
		fz_die("%s: %llu bytes of memory, more than %llu", memory.what, memory.used,
		       memory.limit);
	memory.calls++;
	return memory.calls != memory.fail_at && size <= DENY;
}

void fz_memory_limit(const char *what, u64 bytes)
{
	memory.what = what;
	memory.limit = bytes;
	memory.used = 0;
}

void fz_memory_fail(u64 at)
{
	memory.calls = 0;
	memory.fail_at = at;
}

u64 fz_memory_used(void)
{
	return memory.used;
}

long fz_memory_live(void)
{
	return live;
}

/* --- files and tables of one run --- */

static struct fz_once once_state;

static struct vd_chain_desc make_desc(struct fz_once *once, struct vd_file **files)
{
	const struct fz_control *ctl = &once->in.ctl;
	u32 i;

	for (i = 0; i < once->io.nr_files; i++)
		files[i] = &once->io.files[i].file;
	return (struct vd_chain_desc) {
		.files = files, .nr_files = once->io.nr_files,
		.images = once->in.images, .nr_images = ctl->nr_images,
		.segments = once->in.segs, .nr_segments = ctl->nr_segs,
		.patches = once->in.patches, .nr_patches = ctl->nr_patches,
		.meta_blocks = ctl->meta_blocks, .grow_chunk = ctl->grow * 4096U,
	};
}

/* What a raw image of 1 MiB takes: the yardstick for all others. */
static u64 raw_memory(void)
{
	static const struct vdisk_image_desc image = { VDISK_FORMAT_RAW, 0, 1 << 20 };
	static const struct vdisk_segment_desc seg = { .kind = VDISK_SEG_RAW, .len = 1 << 20 };
	struct vd_file file = { .size = 1 << 20 }, *files[] = { &file };
	struct vd_chain_desc desc = {
		.files = files, .nr_files = 1, .images = &image, .nr_images = 1,
		.segments = &seg, .nr_segments = 1,
	};
	struct vd_chain *chain;
	static u64 used;

	if (used)
		return used;
	fz_memory_limit("raw image", 0);
	if (vd_chain_open(&desc, &chain, NULL))
		fz_die("a raw image cannot be opened");
	used = fz_memory_used();
	vd_chain_close(chain);
	return used;
}

static void begin_process(void)
{
	static bool begun;

	if (begun)
		return;
	begun = true;
	__sanitizer_install_malloc_and_free_hooks(count_malloc, count_free);
	vd_alloc_hook = alloc_hook;
	raw_memory();
}

struct fz_once *fz_begin(const u8 *data, size_t size)
{
	struct fz_once *once = &once_state;

	begin_process();
	if (!fz_input_parse(&once->in, data, size))
		return NULL;
	once->mark = live;
	fz_memory_fail(once->in.ctl.alloc_at);
	fz_memory_limit("run", 0);
	fz_io_init(&once->io, &once->in);
	return once;
}

void fz_end(struct fz_once *once)
{
	fz_io_release(&once->io);
	fz_memory_fail(0);
	if (live != once->mark)
		fz_die("%ld allocations were not freed", live - once->mark);
}

/* --- errors --- */

void fz_check_error(const char *what, int ret, const struct vd_error *err)
{
	size_t len = strnlen(err->text, sizeof(err->text)), i;

	if (ret >= 0 || ret < -4095)
		fz_die("%s: returned %d", what, ret);
	if (err->code != ret)
		fz_die("%s: returned %d, but recorded %d", what, ret, err->code);
	if (!len || len == sizeof(err->text))
		fz_die("%s: error %d without a sentence", what, ret);
	for (i = 0; i < len; i++)
		if ((u8)err->text[i] < 0x20 || (u8)err->text[i] > 0x7e)
			fz_die("%s: byte 0x%02x in an error's text", what, err->text[i]);
}

/* --- opening --- */

/* Headers and footers of one extent: no table is read. */
#define OPEN_READS 8U

static void mistakes_of_open(struct fz_once *once, int ret, struct vd_error *err)
{
	struct vd_file *file = &once->io.files[0].file;

	if (fz_mistake("memory"))
		vd_free(vd_zalloc(raw_memory() + BUDGET));
	if (fz_mistake("write-at-open") && file->writable)
		file->ops->write(file, 0, "x", 1);
	if (fz_mistake("write-read-only") && !file->writable && once->io.nr_files) {
		once->io.may_write = true;
		file->ops->write(file, 0, "x", 1);
	}
	if (fz_mistake("no-sentence") && ret)
		err->text[0] = '\0';
	if (fz_mistake("garbled-sentence") && ret)
		err->text[0] = '\n';
}

struct vd_chain *fz_open(struct fz_once *once)
{
	struct vd_file *files[FZ_MAX_FILES];
	struct vd_chain_desc desc = make_desc(once, files);
	struct vd_error err = { 0 };
	struct vd_chain *chain = NULL;
	int ret;

	once->io.may_write = false;
	fz_call(&once->io, "open", OPEN_READS * desc.nr_segments);
	fz_memory_limit("open", raw_memory() + BUDGET);
	ret = vd_chain_open(&desc, &chain, &err);
	mistakes_of_open(once, ret, &err);
	fz_memory_limit("run", 0);
	if (ret) {
		fz_check_error("open", ret, &err);
		if (chain)
			fz_die("open: failed, but left a chain");
		return NULL;
	}
	if (chain->size != desc.images[0].size)
		fz_die("open: size %llu, not %llu", chain->size, desc.images[0].size);
	return chain;
}

void fz_close(struct vd_chain *chain)
{
	if (!fz_mistake("leak"))
		vd_chain_close(chain);
}

/* --- what calls may cost --- */

/* Two directories, of each an entry and that of a table; from every image. */
#define IMAGE_READS 4U

u64 fz_map_cap(const struct vd_chain *chain)
{
	return (u64)chain->nr_images * IMAGE_READS;
}

/* In the worst case each sector has a place of its own. */
u64 fz_read_cap(const struct vd_chain *chain, u64 len)
{
	return (len / VD_SECTOR + 1) * (fz_map_cap(chain) + 1);
}

/* Of the top image: the largest unit, and what walking its tables takes. */
static u64 top_cap(struct fz_once *once, const struct vd_chain *chain, u64 *unit)
{
	const struct vd_image *top = &chain->images[0];
	u64 cap = 0;
	u32 i;

	for (i = 0; i < top->nr_segs; i++) {
		const struct vd_segment *seg = &top->segs[i];

		*unit = max_t(u64, *unit, seg->unit);
		if (seg->file && seg->writable)
			cap += fz_walk_cap(once, seg->file->index, seg->kind);
	}
	return cap;
}

/*
 * Units are completed at either end. Before the first allocation all tables are
 * read, 1 GiB of entries at most if the file had them all; an input has not. A commit
 * writes what was changed, in up to two copies.
 */
u64 fz_write_cap(struct fz_once *once, const struct vd_chain *chain, u64 len)
{
	u64 unit = VD_CAP_UNIT_BYTES, walk = top_cap(once, chain, &unit);

	return walk + 2 * fz_read_cap(chain, len + 2 * unit) + (1U << 16);
}

/* --- the map --- */

static void check_place(const struct vd_segment *seg, u64 pos, u64 len)
{
	const struct fz_backend *b = fz_backend(seg->format);
	struct fz_range taken[FZ_TAKEN];
	u32 i, n = b && b->taken ? b->taken(seg, taken) : 0;

	for (i = 0; i < n; i++)
		if (vd_overlap(taken[i].pos, taken[i].len, pos, len))
			fz_die("map: file bytes [%llu, +%llu) are answered, where metadata is "
			       "[%llu, +%llu)", pos, len, taken[i].pos, taken[i].len);
}

static void check_data(const struct vd_segment *seg, unsigned int flags,
		       const struct vd_extent *ext)
{
	u64 size = ext->file->size, align = seg->unaligned ? 1 : seg->format->host_align;
	u64 end = seg->unaligned ? size + VD_SECTOR - 1 :
		  vd_ceil_shift(size, VD_SECTOR_SHIFT) << VD_SECTOR_SHIFT;

	if (!vd_inside(ext->file_pos, ext->len, end))
		fz_die("map: file bytes [%llu, +%llu), but the file has %llu", ext->file_pos,
		       ext->len, ext->file->size);
	if (ext->file_pos & (align - 1))
		fz_die("map: file byte %llu, not a multiple of %llu", ext->file_pos, align);
	if (flags & VD_MAP_WRITE &&
	    (!ext->file->writable || seg->image || !seg->writable || seg->unaligned))
		fz_die("map: for writing, but that is image %u, or read-only", seg->image);
	check_place(seg, ext->file_pos, ext->len);
}

static void check_packed(const struct vd_chain *chain, const struct vd_segment *seg,
			 const struct vd_extent *ext)
{
	if (!ext->unit_len || ext->unit_len > chain->max_unit || !seg->packed)
		fz_die("map: unit of %u bytes, not 1 to %u", ext->unit_len, chain->max_unit);
	if (ext->unit_pos > ext->pos || ext->unit_pos < seg->start ||
	    !vd_inside(ext->pos - ext->unit_pos, ext->len, ext->unit_len))
		fz_die("map: [%llu, +%llu) is not in the unit [%llu, +%u)", ext->pos, ext->len,
		       ext->unit_pos, ext->unit_len);
	if (!ext->packed_len || ext->packed_len > VD_CAP_PACKED_BYTES ||
	    !vd_inside(ext->file_pos, ext->packed_len, ext->file->size))
		fz_die("map: unit at file bytes [%llu, +%u), but the file has %llu",
		       ext->file_pos, ext->packed_len, ext->file->size);
	check_place(seg, ext->file_pos, 1);
}

void fz_check_extent(const struct vd_chain *chain, u64 pos, u64 len, unsigned int flags,
		     const struct vd_extent *ext)
{
	const struct vd_segment *seg = ext->seg;

	len = min(len, chain->size - pos);
	if (ext->pos != pos || !ext->len || ext->len > len || ext->len & (VD_SECTOR - 1))
		fz_die("map: asked for [%llu, +%llu), answered [%llu, +%llu)", pos, len, ext->pos,
		       ext->len);
	if (seg && (pos < seg->start || pos - seg->start >= seg->len))
		fz_die("map: byte %llu from a segment of [%llu, +%llu)", pos, seg->start, seg->len);
	switch (ext->type) {
	case VD_EXT_HOLE:
	case VD_EXT_ZERO:
		if (flags & VD_MAP_WRITE)
			fz_die("map: type %d for writing", ext->type);
		return;
	case VD_EXT_DATA:
	case VD_EXT_PACKED:
		if (!seg || !ext->file || ext->file != seg->file)
			fz_die("map: data of no file, or of another segment's");
		if (ext->type == VD_EXT_DATA)
			check_data(seg, flags, ext);
		else
			check_packed(chain, seg, ext);
		return;
	}
	fz_die("map: answer of type %d", ext->type);
}

static void mistakes_of_data(struct vd_extent *ext)
{
	if (fz_mistake("map-odd-place"))
		ext->file_pos++;
	if (fz_mistake("map-past-file"))
		ext->file_pos = (ext->file->size | (VD_SECTOR - 1)) + 1;
	if (fz_mistake("map-metadata") && ext->seg->kind != VDISK_SEG_RAW)
		ext->file_pos = 0;
	if (fz_mistake("map-no-file"))
		ext->file = NULL;
}

static void mistakes_of_map(unsigned int flags, struct vd_extent *ext)
{
	if (fz_mistake("map-nothing"))
		ext->len = 0;
	if (fz_mistake("map-more"))
		ext->len += 1ULL << 47;
	if (fz_mistake("map-odd-length"))
		ext->len--;
	if (ext->type == VD_EXT_DATA)
		mistakes_of_data(ext);
	if (fz_mistake("map-unit") && ext->type == VD_EXT_PACKED)
		ext->unit_pos = ext->pos + VD_SECTOR;
	if (fz_mistake("map-packed") && ext->type == VD_EXT_PACKED)
		ext->packed_len = VD_CAP_PACKED_BYTES + 1;
	if (fz_mistake("map-type") && !(flags & VD_MAP_NOWAIT))
		ext->type = ext->type == VD_EXT_ZERO ? VD_EXT_HOLE : VD_EXT_ZERO;
}

int fz_map(struct fz_once *once, struct vd_chain *chain, u64 pos, u64 len, unsigned int flags,
	   struct vd_extent *ext)
{
	int ret;

	fz_call(&once->io, "map", flags & VD_MAP_NOWAIT ? 0 : fz_map_cap(chain));
	memset(ext, 0xa5, sizeof(*ext));
	ret = vd_map(chain, pos, len, flags, ext);
	if (ret > 0 || ret < -4095)
		fz_die("map: returned %d", ret);
	if (ret == -EAGAIN && !(flags & VD_MAP_NOWAIT))
		fz_die("map: may wait, but says it must");
	if (ret == -ENODATA && !(flags & VD_MAP_WRITE))
		fz_die("map: no place, but nobody asked for one");
	if (!ret)
		mistakes_of_map(flags, ext);
	if (!ret)
		fz_check_extent(chain, pos, len, flags, ext);
	return ret;
}

u64 fz_some_pos(const struct vd_chain *chain, struct fz_rng *rng)
{
	const struct vd_segment *seg = &chain->segs[fz_below(rng, chain->nr_segs)];
	u64 near = fz_below(rng, 4) * VD_SECTOR, pos = seg->start + seg->len;

	switch (fz_below(rng, 4)) {
	case 0:
		pos = fz_below(rng, chain->size / VD_SECTOR) * VD_SECTOR;
		break;
	case 1:
		pos = pos > near ? pos - near : 0;
		break;
	case 2:
		pos = seg->start + fz_below(rng, seg->len / VD_SECTOR) * VD_SECTOR;
		break;
	case 3:
		pos = fz_below(rng, min_t(u64, 256, chain->size / VD_SECTOR)) * VD_SECTOR;
		break;
	}
	return min(pos, chain->size - VD_SECTOR);
}

/* --- the check --- */

/*
 * Each table that an entry leads to is read, in both copies, and the entries are
 * bytes of the input; directories of zeros are read in pieces. A repair reads and
 * writes grains that get a place of their own.
 */
#define CHECK_OPS	(1U << 18)
#define CHECK_MEMORY	(VMDK_CAP_CHECK_BYTES + 64ULL * VMDK_CAP_GD_ENTRIES)

int fz_check(struct fz_once *once, u32 file, u32 kind, u64 len, struct vd_check *out)
{
	const struct vd_format *format = vd_format_get(VDISK_SEG_FORMAT(kind));
	u64 walk = fz_walk_cap(once, file, kind);
	struct vd_error err = { 0 };
	int ret;

	if (!format || !format->user || !format->user->check || walk >= FZ_TOO_LONG)
		return -EOPNOTSUPP;
	once->io.may_write = out->flags & VD_CHECK_REPAIR;
	fz_call(&once->io, "check", CHECK_OPS + walk);
	fz_memory_limit("check", CHECK_MEMORY);
	if (fz_mistake("dry-write") && !once->io.may_write && once->io.files[file].file.writable)
		once->io.files[file].file.ops->write(&once->io.files[file].file, 0, "x", 1);
	if (fz_mistake("no-repair"))
		out->flags &= ~VD_CHECK_REPAIR;
	ret = format->user->check(&once->io.files[file].file, kind, len, out, &err);
	fz_memory_limit("run", 0);
	once->io.may_write = false;
	if (ret)
		fz_check_error("check", ret, &err);
	return ret;
}
