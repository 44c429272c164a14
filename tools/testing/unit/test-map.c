// SPDX-License-Identifier: GPL-2.0-only
/* The map walk: merging, clipping, parents of other sizes, what hides what. */
#include "img-sparse.h"

#define GRAIN (4 * UT_KIB)

static u32 add_sparse(struct ut_set *set, const struct ut_disk *d, u64 seed, bool zeros)
{
	struct img_sparse s = { .seed = seed, .flags = IMG_F_RGD };
	u32 member;

	if (zeros) {
		s.flags |= IMG_F_ZERO_GTE;
		s.version = 2;
	}
	img_sparse_write(&s, d);
	member = ut_set_buf(set, &s.buf);
	ut_buf_free(&s.buf);
	return member;
}

/* One image of one sparse extent. */
static void push_sparse(struct ut_set *set, const struct ut_disk *d, u64 seed, bool zeros)
{
	u32 member = add_sparse(set, d, seed, zeros);

	ut_set_image(set, VDISK_FORMAT_VMDK, d->size);
	ut_set_seg(set, VDISK_SEG_VMDK_SPARSE, member, 0, d->size, 0);
}

static void check_chain(struct ut_disk *const *disks, unsigned int nr)
{
	struct vd_chain *chain;
	struct ut_set set = { 0 };
	u8 *want = ut_flatten(disks, nr);
	unsigned int i;

	for (i = 0; i < nr; i++)
		push_sparse(&set, disks[i], i + 1, true);
	chain = ut_open(&set);
	ut_check(chain, want, disks[0]->size);
	vd_chain_close(chain);
	ut_set_free(&set);
	free(want);
}

static void chains_of_any_size(void **state)
{
	static const u64 size[][3] = {
		{ 1 * UT_MIB, 1 * UT_MIB, 1 * UT_MIB },
		{ 1 * UT_MIB, 512 * UT_KIB, 2 * UT_MIB },
		{ 1 * UT_MIB + 512, 1 * UT_MIB - 512, 512 },
		{ 3 * 512, 5 * 512, 1 * UT_MIB },
		{ 1 * UT_MIB, 300 * 512, 301 * 512 },
	};
	struct ut_disk *disks[3];
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(size); i++) {
		for (j = 0; j < 3; j++)
			disks[j] = ut_disk_random(size[i][j], GRAIN << j, 100 * i + j + 1, true);
		check_chain(disks, 3);
		for (j = 0; j < 3; j++)
			ut_disk_free(disks[j]);
	}
}

/* One table lookup decides three different answers over a full parent. */
static void zero_hides_the_parent(void **state)
{
	struct ut_disk *top = ut_disk_new(3 * GRAIN, GRAIN), *base = ut_disk_new(3 * GRAIN, GRAIN);
	struct ut_disk *disks[2] = { top, base };
	struct vd_chain *chain;
	struct ut_set set = { 0 };
	struct vd_extent ext;
	u8 *want;
	u64 g;

	for (g = 0; g < 3; g++)
		ut_disk_set(base, g, UT_DATA, 7);
	ut_disk_set(top, 1, UT_ZERO, 0);
	want = ut_flatten(disks, 2);
	push_sparse(&set, top, 0, true);
	push_sparse(&set, base, 0, false);
	chain = ut_open(&set);
	assert_int_equal(vd_map(chain, 0, 3 * GRAIN, 0, &ext), 0);
	assert_int_equal(ext.type, VD_EXT_DATA);
	assert_true(ext.len == GRAIN);
	assert_ptr_equal(ext.file, set.files[1]);
	assert_int_equal(vd_map(chain, GRAIN, 2 * GRAIN, 0, &ext), 0);
	assert_int_equal(ext.type, VD_EXT_ZERO);
	assert_true(ext.len == GRAIN);
	assert_int_equal(vd_map(chain, 2 * GRAIN + 512, GRAIN, 0, &ext), 0);
	assert_int_equal(ext.type, VD_EXT_DATA);
	assert_true(ext.len == GRAIN - 512);	/* clipped at the disk's end */
	ut_check(chain, want, top->size);
	vd_chain_close(chain);
	ut_set_free(&set);
	free(want);
	ut_disk_free(top);
	ut_disk_free(base);
}

static void hole_in_every_image(void **state)
{
	struct ut_disk *disks[3];
	struct vd_chain *chain;
	struct ut_set set = { 0 };
	struct vd_extent ext;
	int i;

	for (i = 0; i < 3; i++) {
		disks[i] = ut_disk_new(512 * UT_KIB, GRAIN);
		push_sparse(&set, disks[i], 0, false);
	}
	chain = ut_open(&set);
	assert_int_equal(vd_map(chain, 0, 512 * UT_KIB, 0, &ext), 0);
	assert_int_equal(ext.type, VD_EXT_HOLE);
	assert_null(ext.seg);
	assert_true(ext.len == 512 * UT_KIB);
	vd_chain_close(chain);
	ut_set_free(&set);
	for (i = 0; i < 3; i++)
		ut_disk_free(disks[i]);
}

/* Grains that follow each other in the file are one answer, others are not. */
static void merges_neighbours(void **state)
{
	struct ut_disk *d = ut_disk_new(256 * GRAIN, GRAIN);
	struct vd_chain *chain;
	struct ut_set set = { 0 };
	struct vd_extent ext;
	u64 g;

	for (g = 0; g < d->nr; g++)
		ut_disk_set(d, g, g == 100 ? UT_ABSENT : UT_DATA, 3);
	push_sparse(&set, d, 0, false);
	chain = ut_open(&set);
	/* Merging is free look-ahead: it stops where it would have to read a table. */
	ut_check_reads(chain, d->data, 0, 0);
	assert_int_equal(vd_map(chain, 0, d->size, 0, &ext), 0);
	assert_true(ext.len == 100 * GRAIN);
	assert_int_equal(vd_map(chain, 512, 2 * GRAIN, 0, &ext), 0);
	assert_true(ext.len == 2 * GRAIN);	/* clipped at what was asked */
	assert_int_equal(vd_map(chain, 101 * GRAIN, d->size, 0, &ext), 0);
	assert_true(ext.len == 155 * GRAIN);
	vd_chain_close(chain);
	ut_set_free(&set);
	ut_disk_free(d);
}

static void many_kinds_in_one_image(void **state)
{
	struct ut_disk *disk = ut_disk_new(4 * 64 * UT_KIB, GRAIN), *part;
	struct vd_extent ext;
	struct vd_chain *chain;
	struct ut_set set = { 0 };
	u8 *raw = ut_xalloc(100 * UT_KIB), buf[512];
	u64 g;

	/* sparse, zero, flat at an offset, no access */
	for (g = 0; g < 16; g += 2)
		ut_disk_set(disk, g, UT_DATA, 9);
	part = ut_disk_slice(disk, 0, 64 * UT_KIB);
	ut_pattern(raw, 100 * UT_KIB, 0, 10);
	add_sparse(&set, part, 4, false);
	ut_set_mem(&set, raw, 100 * UT_KIB, false);
	ut_set_image(&set, VDISK_FORMAT_VMDK, 256 * UT_KIB);
	ut_set_seg(&set, VDISK_SEG_VMDK_SPARSE, 0, 0, 64 * UT_KIB, 0);
	ut_set_seg(&set, VDISK_SEG_ZERO, VDISK_NO_MEMBER, 64 * UT_KIB, 64 * UT_KIB, 0);
	ut_set_seg(&set, VDISK_SEG_RAW, 1, 128 * UT_KIB, 64 * UT_KIB, 20 * UT_KIB);
	ut_set_seg(&set, VDISK_SEG_NOACCESS, VDISK_NO_MEMBER, 192 * UT_KIB, 64 * UT_KIB, 0);
	memcpy(disk->data + 128 * UT_KIB, raw + 20 * UT_KIB, 64 * UT_KIB);
	chain = ut_open(&set);
	assert_true(chain->size == 256 * UT_KIB);

	assert_int_equal(vd_map(chain, 64 * UT_KIB, 192 * UT_KIB, 0, &ext), 0);
	assert_int_equal(ext.type, VD_EXT_ZERO);
	assert_true(ext.len == 64 * UT_KIB);
	assert_int_equal(vd_map(chain, 128 * UT_KIB, 128 * UT_KIB, 0, &ext), 0);
	assert_int_equal(ext.type, VD_EXT_DATA);
	assert_true(ext.len == 64 * UT_KIB && ext.file_pos == 20 * UT_KIB);
	assert_int_equal(vd_map(chain, 192 * UT_KIB, 512, 0, &ext), -EACCES);
	assert_int_equal(vd_map(chain, 256 * UT_KIB - 512, 512, 0, &ext), -EACCES);
	assert_true(vd_read(chain, NULL, 192 * UT_KIB, buf, 512) < 0);
	/* A read that runs into it fails as a whole, and leaves the rest readable. */
	assert_true(vd_read(chain, NULL, 192 * UT_KIB - 512, raw, 1024) < 0);
	chain->size = 192 * UT_KIB;
	ut_check(chain, disk->data, 192 * UT_KIB);
	chain->size = 256 * UT_KIB;
	vd_chain_close(chain);
	ut_set_free(&set);
	ut_disk_free(part);
	ut_disk_free(disk);
	free(raw);
}

/* NOACCESS in a parent: only what the child does not have. */
static void noaccess_parent(void **state)
{
	struct ut_disk *top = ut_disk_new(2 * GRAIN, GRAIN);
	struct vd_chain *chain;
	struct ut_set set = { 0 };
	u8 buf[GRAIN];

	ut_disk_set(top, 0, UT_DATA, 5);
	push_sparse(&set, top, 0, false);
	ut_set_image(&set, VDISK_FORMAT_VMDK, 2 * GRAIN);
	ut_set_seg(&set, VDISK_SEG_NOACCESS, VDISK_NO_MEMBER, 0, 2 * GRAIN, 0);
	chain = ut_open(&set);
	assert_int_equal(vd_read(chain, NULL, 0, buf, GRAIN), 0);
	assert_memory_equal(buf, top->data, GRAIN);
	assert_int_equal(vd_read(chain, NULL, GRAIN, buf, 512), -EACCES);
	vd_chain_close(chain);
	ut_set_free(&set);
	ut_disk_free(top);
}

/*
 * A delta split in three over a parent split otherwise: parent data is found
 * by the address on the disk, not by the address inside the extent.
 */
static void disk_absolute_parent(void **state)
{
	u64 size = 3 * UT_MIB, cuts[] = { 0, 1 * UT_MIB, 2 * UT_MIB, 3 * UT_MIB };
	struct ut_disk *top = ut_disk_random(size, GRAIN, 21, true), *part;
	struct ut_disk *base = ut_disk_random(size, 8 * GRAIN, 22, false);
	struct ut_disk *disks[2] = { top, base };
	struct vd_chain *chain;
	struct ut_set set = { 0 };
	u8 *want = ut_flatten(disks, 2);
	u64 at, len;
	int i;

	ut_set_image(&set, VDISK_FORMAT_VMDK, size);
	for (i = 0; i < 3; i++) {
		part = ut_disk_slice(top, cuts[i], cuts[i + 1] - cuts[i]);
		ut_set_seg(&set, VDISK_SEG_VMDK_SPARSE, add_sparse(&set, part, 30 + i, true),
			   cuts[i], part->size, 0);
		ut_disk_free(part);
	}
	ut_set_image(&set, VDISK_FORMAT_VMDK, size);
	for (at = 0, i = 0; at < size; at += len, i++) {
		len = min_t(u64, 5 * 8 * GRAIN, size - at);
		part = ut_disk_slice(base, at, len);
		ut_set_seg(&set, VDISK_SEG_VMDK_SPARSE, add_sparse(&set, part, 0, false),
			   at, len, 0);
		ut_disk_free(part);
	}
	chain = ut_open(&set);
	ut_check(chain, want, size);
	vd_chain_close(chain);
	ut_set_free(&set);
	free(want);
	ut_disk_free(top);
	ut_disk_free(base);
}

/* Sixty-four deltas: everything at every depth, and still bounded work. */
static void deep_chain(void **state)
{
	struct ut_disk *disks[VDISK_MAX_IMAGES];
	struct vd_chain *chain;
	struct ut_count count = { 0 };
	struct ut_set set = { 0 };
	u8 *want;
	u32 i;

	for (i = 0; i < VDISK_MAX_IMAGES; i++) {
		disks[i] = ut_disk_new(64 * GRAIN, GRAIN);
		ut_disk_set(disks[i], (i * 29) % 64, UT_DATA, i + 1);
		ut_disk_set(disks[i], (i * 29 + 7) % 64, i % 3 ? UT_DATA : UT_ZERO, i + 100);
		push_sparse(&set, disks[i], 0, true);
	}
	want = ut_flatten(disks, VDISK_MAX_IMAGES);
	ut_set_count(&set, &count);
	chain = ut_open(&set);
	/* Opening reads headers, not tables of what nobody asked for. */
	assert_true(count.reads <= 16 * VDISK_MAX_IMAGES);
	ut_check(chain, want, disks[0]->size);
	vd_chain_close(chain);
	assert_true(count.others == 0);
	ut_set_free(&set);
	free(want);
	for (i = 0; i < VDISK_MAX_IMAGES; i++)
		ut_disk_free(disks[i]);
}

/* NOWAIT never reads; after one waiting call it answers from the cache. */
static void nowait(void **state)
{
	struct ut_disk *d = ut_disk_random(4 * UT_MIB, GRAIN, 41, true);
	struct ut_count count = { 0 };
	struct vd_chain *chain;
	struct ut_set set = { 0 };
	struct vd_extent a, b;
	u64 pos, reads;
	int ret;

	push_sparse(&set, d, 41, true);
	ut_set_count(&set, &count);
	chain = ut_open(&set);
	reads = count.reads;
	ret = vd_map(chain, 2 * UT_MIB, 4096, VD_MAP_NOWAIT, &a);
	assert_true(ret == -EAGAIN || ret == 0);
	assert_true(count.reads == reads);
	for (pos = 0; pos < d->size; pos += a.len) {
		assert_int_equal(vd_map(chain, pos, d->size - pos, 0, &a), 0);
		reads = count.reads;
		ret = vd_map(chain, pos, a.len, VD_MAP_NOWAIT, &b);
		assert_true(count.reads == reads);
		assert_int_equal(ret, 0);
		assert_true(b.type == a.type && b.file_pos == a.file_pos && b.len == a.len);
	}
	vd_chain_close(chain);
	ut_set_free(&set);
	ut_disk_free(d);
}

/* A NOWAIT walk over a half-cached range gives the known prefix or -EAGAIN, never a guess. */
static void nowait_never_lies(void **state)
{
	struct ut_disk *d = ut_disk_random(4 * UT_MIB, GRAIN, 43, true);
	struct vd_chain *chain;
	struct ut_set set = { 0 };
	struct vd_extent nw, full;
	struct ut_rng rng = { 44 };
	u64 pos;
	int i;

	push_sparse(&set, d, 43, true);
	chain = ut_open(&set);
	for (i = 0; i < 400; i++) {
		pos = ut_below(&rng, d->size / 512) * 512;
		if (!vd_map(chain, pos, d->size - pos, VD_MAP_NOWAIT, &nw)) {
			assert_int_equal(vd_map(chain, pos, nw.len, 0, &full), 0);
			assert_true(full.type == nw.type && full.len == nw.len);
			if (nw.type == VD_EXT_DATA)
				assert_true(full.file_pos == nw.file_pos && full.file == nw.file);
		} else if (i % 8 == 0) {
			assert_int_equal(vd_map(chain, pos, 512, 0, &full), 0);
		}
	}
	vd_chain_close(chain);
	ut_set_free(&set);
	ut_disk_free(d);
}

/* Nothing that is not opened for writing, and nothing but the top ever. */
static void write_maps(void **state)
{
	struct ut_disk *d = ut_disk_new(2 * GRAIN, GRAIN);
	struct vd_chain *chain;
	struct ut_set set = { 0 };
	struct vd_extent ext;
	u8 raw[2 * GRAIN], buf[512] = { 0 };
	const u8 *before, *after;
	size_t len;
	int top_rw;

	memset(raw, 1, sizeof(raw));
	ut_disk_set(d, 1, UT_DATA, 4);
	for (top_rw = 0; top_rw < 2; top_rw++) {
		memset(&set, 0, sizeof(set));
		push_sparse(&set, d, 0, false);
		set.files[0]->writable = top_rw;
		ut_set_mem(&set, raw, sizeof(raw), false);
		ut_set_image(&set, VDISK_FORMAT_RAW, sizeof(raw));
		ut_set_seg(&set, VDISK_SEG_RAW, 1, 0, sizeof(raw), 0);
		chain = ut_open(&set);
		if (top_rw) {
			/* A place of the top, and none: never the parent's. */
			assert_int_equal(vd_map(chain, 0, 512, VD_MAP_WRITE, &ext), -ENODATA);
			assert_int_equal(vd_map(chain, GRAIN, 512, VD_MAP_WRITE, &ext), 0);
			assert_ptr_equal(ext.file, set.files[0]);
			vd_chain_close(chain);
			ut_set_free(&set);
			continue;
		}
		before = vd_ufile_mem_data(set.files[0], &len);
		/* Shows through from a parent, and is in the top itself. */
		assert_int_equal(vd_map(chain, 0, 512, VD_MAP_WRITE, &ext), -EROFS);
		assert_int_equal(vd_map(chain, GRAIN, 512, VD_MAP_WRITE, &ext), -EROFS);
		assert_int_equal(vd_write(chain, 0, buf, 512), -EROFS);
		assert_int_equal(vd_write(chain, GRAIN, buf, 512), -EROFS);
		assert_true(vd_write_zeroes(chain, 0, 512, false) < 0);
		assert_true(vd_discard(chain, GRAIN, 512) < 0);
		assert_int_equal(vd_read(chain, NULL, 0, buf, 512), 0);
		assert_int_equal(buf[17], 1);
		after = vd_ufile_mem_data(set.files[0], &len);
		assert_ptr_equal(before, after);
		ut_same(raw, vd_ufile_mem_data(set.files[1], &len), 0, sizeof(raw), "the parent");
		vd_chain_close(chain);
		ut_set_free(&set);
	}

	memset(&set, 0, sizeof(set));
	ut_set_image(&set, VDISK_FORMAT_VMDK, 1024);
	ut_set_seg(&set, VDISK_SEG_ZERO, VDISK_NO_MEMBER, 0, 512, 0);
	ut_set_seg(&set, VDISK_SEG_NOACCESS, VDISK_NO_MEMBER, 512, 512, 0);
	chain = ut_open(&set);
	assert_true(vd_map(chain, 0, 512, VD_MAP_WRITE, &ext) < 0);
	assert_int_equal(vd_map(chain, 512, 512, VD_MAP_WRITE, &ext), -EACCES);
	assert_true(vd_write(chain, 512, buf, 512) < 0);
	vd_chain_close(chain);
	ut_set_free(&set);
	ut_disk_free(d);
}

/* A backend whose arithmetic went wrong: the engine must not see its answer. */
static struct vd_extent lie;
static int lie_ret;

static int lying_map(struct vd_segment *seg, u64 pos, u64 len, unsigned int flags,
		     struct vd_extent *ext)
{
	u64 at = ext->pos;

	*ext = lie;
	ext->pos = at;
	ext->seg = seg;
	return lie_ret;
}

static void lying_backend(void **state)
{
	struct vd_format fake = vd_format_raw;
	u8 data[8192] = { 0 };
	struct vd_chain *chain;
	struct vd_segment *seg;
	struct ut_set set = { 0 };
	struct vd_extent ext, good;
	const struct vd_format *was;
	struct vd_file *f;

	ut_set_mem(&set, data, sizeof(data), false);
	f = set.files[0];
	ut_set_image(&set, VDISK_FORMAT_RAW, sizeof(data));
	ut_set_seg(&set, VDISK_SEG_RAW, 0, 0, sizeof(data), 0);
	chain = ut_open(&set);
	seg = &chain->segs[0];
	was = seg->format;
	fake.map = lying_map;
	seg->format = &fake;
	lie_ret = 0;

#define LIE(change) do {						\
		lie = good;						\
		change;							\
		assert_true(vd_map(chain, 4096, 4096, 0, &ext) < 0);	\
	} while (0)
	good = (struct vd_extent){ .type = VD_EXT_DATA, .len = 512, .file = f };
	lie = good;
	assert_int_equal(vd_map(chain, 4096, 512, 0, &ext), 0);
	LIE(lie.len = 0);
	LIE(lie.len = 100);
	LIE(lie.len = 4096 + 512);
	LIE(lie.len = UINT64_MAX - 511);
	LIE(lie.type = (enum vd_extent_type)4);
	LIE(lie.type = (enum vd_extent_type)99);
	LIE(lie.file = NULL);
	LIE(lie.file_pos = VD_CAP_FILE_BYTES);
	LIE(lie.file_pos = UINT64_MAX - 511);
	LIE(lie_ret = 1);
	lie_ret = 0;

	/* packed: a unit that holds the bytes, of bounded size, in the file */
	seg->packed = true;
	seg->max_unit = 4096;
	good = (struct vd_extent){ .type = VD_EXT_PACKED, .len = 512, .file = f, .unit_pos = 4096,
				   .unit_len = 4096, .packed_len = 100 };
	lie = good;
	assert_int_equal(vd_map(chain, 4096, 512, 0, &ext), 0);
	LIE(lie.file = NULL);
	LIE(lie.unit_len = 0);
	LIE(lie.unit_len = 4096 + 512);
	LIE(lie.unit_pos = 4096 + 512);
	LIE(lie.unit_pos = 0);
	LIE(lie.unit_pos = 511);
	LIE(lie.unit_pos = UINT64_MAX - 511);
	LIE(lie.packed_len = 0);
	LIE(lie.packed_len = VD_CAP_PACKED_BYTES + 1);
	LIE(lie.file_pos = VD_CAP_FILE_BYTES);
	LIE(lie.file_pos = UINT64_MAX - 10);
	seg->packed = false;
	LIE((void)0);
#undef LIE
	seg->format = was;
	vd_chain_close(chain);
	ut_set_free(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chains_of_any_size),
		cmocka_unit_test(zero_hides_the_parent),
		cmocka_unit_test(hole_in_every_image),
		cmocka_unit_test(merges_neighbours),
		cmocka_unit_test(many_kinds_in_one_image),
		cmocka_unit_test(noaccess_parent),
		cmocka_unit_test(disk_absolute_parent),
		cmocka_unit_test(deep_chain),
		cmocka_unit_test(nowait),
		cmocka_unit_test(nowait_never_lies),
		cmocka_unit_test(write_maps),
		cmocka_unit_test(lying_backend),
	};

	return cmocka_run_group_tests_name("map", tests, NULL, NULL);
}
