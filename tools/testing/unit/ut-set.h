/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sets of files and tables that become a chain, what a refusal must look like,
 * and the one comparison of a chain with its shadow. Part of ut.h.
 */
#ifndef UT_SET_H
#define UT_SET_H

#include "ut.h"

/* --- counting reads --- */

struct ut_count {
	u64 reads;
	u64 read_bytes;
	u64 others;
};

static inline void ut_count_fn(void *ctx, enum vd_file_op op, u64 pos, u64 len, const void *data)
{
	struct ut_count *count = ctx;

	if (op == VD_OP_READ) {
		__atomic_add_fetch(&count->reads, 1, __ATOMIC_RELAXED);
		__atomic_add_fetch(&count->read_bytes, len, __ATOMIC_RELAXED);
	} else {
		__atomic_add_fetch(&count->others, 1, __ATOMIC_RELAXED);
	}
}

/* --- sets of files and tables --- */

#define UT_MAX_FILES	96
#define UT_MAX_SEGS	160

struct ut_set {
	struct vd_file *files[UT_MAX_FILES];	/* what the chain sees */
	struct vd_file *lower[UT_MAX_FILES];	/* under a wrapper, or NULL */
	u32 nr_files;
	struct vdisk_image_desc images[VDISK_MAX_IMAGES + 2];
	u32 nr_images;
	struct vdisk_segment_desc segs[UT_MAX_SEGS];
	u32 nr_segs;
};

static inline u32 ut_set_file(struct ut_set *set, struct vd_file *file)
{
	assert_non_null(file);
	assert_true(set->nr_files < UT_MAX_FILES);
	file->index = set->nr_files;
	set->files[set->nr_files] = file;
	return set->nr_files++;
}

static inline u32 ut_set_mem(struct ut_set *set, const void *data, size_t len, bool writable)
{
	return ut_set_file(set, vd_ufile_mem(data, len, writable));
}

static inline u32 ut_set_buf(struct ut_set *set, const struct ut_buf *b)
{
	return ut_set_mem(set, b->data, b->len, false);
}

static inline u32 ut_set_image(struct ut_set *set, u32 format, u64 size)
{
	struct vdisk_image_desc *image = &set->images[set->nr_images];

	assert_true(set->nr_images < ARRAY_SIZE(set->images));
	memset(image, 0, sizeof(*image));
	image->format = format;
	image->size = size;
	return set->nr_images++;
}

static inline struct vdisk_segment_desc *ut_set_seg(struct ut_set *set, u32 kind, u32 member,
						    u64 start, u64 len, u64 offset)
{
	struct vdisk_segment_desc *seg = &set->segs[set->nr_segs];

	assert_true(set->nr_segs < UT_MAX_SEGS);
	memset(seg, 0, sizeof(*seg));
	seg->image = set->nr_images - 1;
	seg->kind = kind;
	seg->member = member;
	seg->start = start;
	seg->len = len;
	seg->offset = offset;
	set->nr_segs++;
	return seg;
}

static inline struct vd_chain_desc ut_set_desc(const struct ut_set *set)
{
	struct vd_chain_desc desc = {
		.files = (struct vd_file **)set->files, .nr_files = set->nr_files,
		.images = set->images, .nr_images = set->nr_images,
		.segments = set->segs, .nr_segments = set->nr_segs,
	};

	return desc;
}

/* Who checks a segment of this kind, in user space. */
static inline const struct vd_format_user *ut_user_of(u32 kind)
{
	const struct vd_format *format = vd_format_get(VDISK_SEG_FORMAT(kind));

	assert_non_null(format);
	vd_format_put(format);
	return format->user;
}

/* Put a wrapper around every file of the set. */
static inline void ut_set_count(struct ut_set *set, struct ut_count *count)
{
	u32 i;

	for (i = 0; i < set->nr_files; i++) {
		assert_null(set->lower[i]);
		set->lower[i] = set->files[i];
		set->files[i] = vd_ufile_record(set->lower[i], ut_count_fn, count);
		assert_non_null(set->files[i]);
		set->files[i]->index = i;
	}
}

static inline void ut_set_fault(struct ut_set *set, struct vd_fault *fault)
{
	u32 i;

	for (i = 0; i < set->nr_files; i++) {
		assert_null(set->lower[i]);
		set->lower[i] = set->files[i];
		set->files[i] = vd_ufile_fault(set->lower[i], fault);
		assert_non_null(set->files[i]);
		set->files[i]->index = i;
	}
}

static inline void ut_set_free(struct ut_set *set)
{
	u32 i;

	for (i = 0; i < set->nr_files; i++) {
		vd_ufile_free(set->files[i]);
		/* Whether a wrapper owns its lower file is not promised; ours does not. */
		if (set->lower[i])
			vd_ufile_free(set->lower[i]);
	}
	memset(set, 0, sizeof(*set));
}

static inline struct vd_chain *ut_open(const struct ut_set *set)
{
	struct vd_chain_desc desc = ut_set_desc(set);
	struct vd_error err = { 0 };
	struct vd_chain *chain = NULL;
	int ret = vd_chain_open(&desc, &chain, &err);

	if (ret)
		print_error("open: %d %s\n", ret, err.text);
	assert_int_equal(ret, 0);
	assert_non_null(chain);
	return chain;
}

/* --- refusals --- */

/* A damaged, impossible or unsupported image or table, never a transfer error. */
static inline bool ut_is_refusal(int ret)
{
	switch (ret) {
	case -EINVAL:
	case -EUCLEAN:
	case -EOPNOTSUPP:
	case -E2BIG:
	case -ERANGE:
	case -EFBIG:
	case -EOVERFLOW:
	case -EBADF:
	case -EPERM:
	case -EROFS:
	case -EBUSY:
		return true;
	}
	return false;
}

/* One bounded sentence: printable, no line break, no final stop. */
static inline void ut_assert_sentence(const struct vd_error *err, int ret)
{
	size_t len = strnlen(err->text, sizeof(err->text));
	size_t i;

	assert_int_equal(err->code, ret);
	assert_true(len > 8);
	assert_true(len < sizeof(err->text));
	for (i = 0; i < len; i++) {
		if ((u8)err->text[i] < 0x20 || (u8)err->text[i] == 0x7f)
			fail_msg("byte %02x in error text \"%s\"", err->text[i], err->text);
	}
	if (err->text[len - 1] == '.')
		fail_msg("final stop in error text \"%s\"", err->text);
}

static inline int ut_try_open(const struct ut_set *set, struct vd_error *err)
{
	struct vd_chain_desc desc = ut_set_desc(set);
	struct vd_chain *chain = NULL;
	int ret;

	memset(err, 0, sizeof(*err));
	ret = vd_chain_open(&desc, &chain, err);
	if (ret)
		assert_null(chain);
	if (chain)
		vd_chain_close(chain);
	return ret;
}

static inline void ut_assert_refused(const struct ut_set *set, const char *what)
{
	struct vd_error err;
	int ret = ut_try_open(set, &err);

	if (!ut_is_refusal(ret))
		fail_msg("%s: open returned %d \"%s\"", what, ret, err.text);
	ut_assert_sentence(&err, ret);
}

/* --- the comparison --- */

static inline void ut_same(const u8 *got, const u8 *want, u64 pos, u64 len, const char *what)
{
	u64 i;

	if (!memcmp(got, want, len))
		return;
	for (i = 0; i < len && got[i] == want[i]; i++)
		;
	fail_msg("%s: byte %llu is %02x, should be %02x", what,
		 (unsigned long long)(pos + i), got[i], want[i]);
}

static inline bool ut_all_zero(const u8 *p, u64 len)
{
	return !len || (!p[0] && !memcmp(p, p + 1, len - 1));
}

/* What a DATA extent promises: these bytes of the file, zeros past its end. */
static inline void ut_read_place(struct vd_file *file, u64 pos, u8 *buf, u64 len)
{
	memset(buf, 0, len);
	while (len) {
		u32 want = (u32)min_t(u64, len, 1 << 20);
		s64 got = file->ops->read(file, pos, buf, want);

		assert_true(got >= 0);
		if (!got)
			break;
		pos += (u64)got;
		buf += got;
		len -= (u64)got;
	}
}

/* Walk the map: covers the disk, every answer is true, neighbours were merged. */
static inline void ut_check_map(struct vd_chain *chain, const u8 *want)
{
	struct vd_extent ext, last;
	struct vd_unit unit = { 0 };
	u8 *buf;
	u64 pos;

	memset(&last, 0, sizeof(last));
	if (chain->max_unit)
		assert_int_equal(vd_unit_prepare(&unit, chain->max_unit), 0);
	for (pos = 0; pos < chain->size; pos += ext.len) {
		memset(&ext, 0xa5, sizeof(ext));
		assert_int_equal(vd_map(chain, pos, chain->size - pos, 0, &ext), 0);
		assert_true(ext.pos == pos);
		assert_true(ext.len > 0 && ext.len % VD_SECTOR == 0);
		assert_true(ext.len <= chain->size - pos);
		switch (ext.type) {
		case VD_EXT_HOLE:
		case VD_EXT_ZERO:
			if (!ut_all_zero(want + pos, ext.len))
				fail_msg("zeros promised at %llu", (unsigned long long)pos);
			break;
		case VD_EXT_DATA:
			assert_non_null(ext.file);
			buf = ut_xalloc(ext.len);
			ut_read_place(ext.file, ext.file_pos, buf, ext.len);
			ut_same(buf, want + pos, pos, ext.len, "place of a data extent");
			free(buf);
			break;
		case VD_EXT_PACKED:
			assert_non_null(ext.file);
			assert_true(ext.unit_pos <= pos);
			assert_true(ext.unit_len <= chain->max_unit);
			assert_true(pos + ext.len <= ext.unit_pos + ext.unit_len);
			assert_int_equal(vd_unit_load(&unit, &ext), 0);
			ut_same(unit.data + (pos - ext.unit_pos), want + pos, pos, ext.len,
				"packed unit");
			break;
		default:
			fail_msg("extent type %d", (int)ext.type);
		}
		if (pos && last.type == ext.type && last.seg == ext.seg &&
		    (ext.type != VD_EXT_DATA ||
		     (last.file == ext.file && last.file_pos + last.len == ext.file_pos)) &&
		    ext.type != VD_EXT_PACKED)
			fail_msg("extents at %llu and %llu were not merged",
				 (unsigned long long)last.pos, (unsigned long long)pos);
		last = ext;
	}
	assert_true(pos == chain->size);
	vd_unit_release(&unit);
}

static inline void ut_check_reads(struct vd_chain *chain, const u8 *want, unsigned int reads,
				  u64 seed)
{
	struct ut_rng rng = { seed };
	struct vd_unit unit = { 0 };
	u64 pos, len, max = 1 << 20;
	u8 *buf = ut_xalloc(max);
	unsigned int i;

	if (chain->max_unit)
		assert_int_equal(vd_unit_prepare(&unit, chain->max_unit), 0);
	for (pos = 0; pos < chain->size; pos += len) {
		len = min_t(u64, max, chain->size - pos);
		memset(buf, 0x5a, len);
		assert_int_equal(vd_read(chain, &unit, pos, buf, (u32)len), 0);
		ut_same(buf, want + pos, pos, len, "sequential read");
	}
	for (i = 0; i < reads; i++) {
		u64 sectors = chain->size / VD_SECTOR;
		u64 s = ut_below(&rng, sectors);

		pos = s * VD_SECTOR;
		len = (1 + ut_below(&rng, min_t(u64, 300, sectors - s))) * VD_SECTOR;
		memset(buf, 0x5a, len);
		assert_int_equal(vd_read(chain, &unit, pos, buf, (u32)len), 0);
		ut_same(buf, want + pos, pos, len, "random read");
	}
	vd_unit_release(&unit);
	free(buf);
}

static inline void ut_check(struct vd_chain *chain, const u8 *want, u64 size)
{
	assert_true(chain->size == size);
	ut_check_reads(chain, want, 200, size);
	ut_check_map(chain, want);
}

#endif /* UT_SET_H */
