// SPDX-License-Identifier: GPL-2.0-only
/* Tables: every illegal one is refused with an errno and a sentence. */
#include "ut.h"

#define DISK (64 * UT_KIB)

/* A legal chain: a raw top of two halves over a raw parent. */
static void legal(struct ut_set *set)
{
	static u8 data[DISK];

	memset(set, 0, sizeof(*set));
	ut_set_mem(set, data, DISK / 2, false);
	ut_set_mem(set, data, DISK / 2, false);
	ut_set_mem(set, data, DISK, false);
	ut_set_image(set, VDISK_FORMAT_VMDK, DISK);
	ut_set_seg(set, VDISK_SEG_RAW, 0, 0, DISK / 2, 0);
	ut_set_seg(set, VDISK_SEG_RAW, 1, DISK / 2, DISK / 2, 0);
	ut_set_image(set, VDISK_FORMAT_RAW, DISK);
	ut_set_seg(set, VDISK_SEG_RAW, 2, 0, DISK, 0);
}

static void legal_one_opens(void **state)
{
	struct vd_chain *chain;
	struct ut_set set;

	legal(&set);
	chain = ut_open(&set);
	assert_true(chain->size == DISK);
	assert_int_equal(chain->nr_images, 2);
	assert_int_equal(chain->nr_segs, 3);
	assert_int_equal(chain->images[0].nr_segs, 2);
	assert_int_equal(chain->images[1].nr_segs, 1);
	assert_int_equal(chain->max_unit, 0);
	vd_chain_close(chain);
	ut_set_free(&set);
}

/* Run @change on a legal set and expect a refusal. */
static void expect(const char *what, void (*change)(struct ut_set *set))
{
	struct ut_set set;

	legal(&set);
	change(&set);
	ut_assert_refused(&set, what);
	ut_set_free(&set);
}

#define REFUSE(name, code)						\
	static void name##_change(struct ut_set *set) { code; }		\
	static void name(void **state) { expect(#name, name##_change); }

REFUSE(no_images, set->nr_images = 0; set->nr_segs = 0)
REFUSE(no_segments, set->nr_segs = 0)
REFUSE(image_without_segments, set->nr_segs = 2)
REFUSE(format_unspec, set->images[0].format = VDISK_FORMAT_UNSPEC)
REFUSE(format_unknown, set->images[0].format = 77)
REFUSE(format_huge, set->images[1].format = UINT32_MAX)
REFUSE(image_flags, set->images[0].flags = 1)
REFUSE(size_zero, set->images[1].size = 0)
REFUSE(size_unaligned, set->images[1].size = DISK - 1)
REFUSE(size_too_small, set->images[1].size = DISK - 512)
REFUSE(size_too_big, set->images[1].size = DISK + 512)
REFUSE(size_over_cap, set->images[1].size = VD_CAP_DISK_BYTES + 512;
	set->segs[2].kind = VDISK_SEG_ZERO; set->segs[2].member = VDISK_NO_MEMBER;
	set->segs[2].len = VD_CAP_DISK_BYTES + 512)
REFUSE(size_wraps, set->images[1].size = UINT64_MAX - 511; set->segs[2].len = UINT64_MAX - 511)
REFUSE(segment_of_no_image, set->segs[2].image = 2)
REFUSE(segment_image_huge, set->segs[2].image = UINT32_MAX)
REFUSE(images_not_sorted, set->segs[0].image = 1)
REFUSE(segments_swapped, struct vdisk_segment_desc tmp = set->segs[0];
	set->segs[0] = set->segs[1]; set->segs[1] = tmp)
REFUSE(starts_late, set->segs[0].start = 512; set->segs[0].len -= 512)
REFUSE(gap, set->segs[0].len -= 512)
REFUSE(overlap, set->segs[1].start -= 512)
REFUSE(overlap_longer, set->segs[0].len = DISK)
REFUSE(len_zero, set->segs[2].len = 0)
REFUSE(len_unaligned, set->segs[2].len = DISK - 100; set->images[1].size = DISK - 100)
/* Nothing else is wrong: the segments meet, the sum is the size. */
REFUSE(start_unaligned, set->segs[0].len -= 100; set->segs[1].start -= 100;
	set->segs[1].len += 100; set->segs[1].member = set->segs[2].member;
	set->segs[2].member = 1; set->segs[2].len = DISK / 2; set->images[1].size = DISK / 2)
REFUSE(offset_unaligned, set->segs[0].len -= 512; set->segs[1].start -= 512;
	set->segs[1].len += 512; set->segs[1].member = set->segs[2].member;
	set->segs[2].member = 1; set->segs[2].len = DISK / 2; set->images[1].size = DISK / 2;
	set->segs[0].offset = 100)
REFUSE(len_zero_between, set->segs[3] = set->segs[2]; set->segs[2] = set->segs[1];
	set->segs[1].len = 0; set->segs[1].kind = VDISK_SEG_ZERO;
	set->segs[1].member = VDISK_NO_MEMBER; set->nr_segs = 4)
REFUSE(start_wraps, set->segs[1].len = UINT64_MAX - DISK / 2 + 513)
REFUSE(kind_unknown, set->segs[2].kind = 0xdead)
REFUSE(kind_small, set->segs[2].kind = 2; set->segs[2].member = VDISK_NO_MEMBER)
REFUSE(kind_raw_variant, set->segs[2].kind = VDISK_SEG(VDISK_FORMAT_RAW, 9))
REFUSE(kind_vmdk_variant, set->segs[0].kind = VDISK_SEG(VDISK_FORMAT_VMDK, 9))
REFUSE(raw_image_with_vmdk_segment, set->segs[2].kind = VDISK_SEG_VMDK_SPARSE)
REFUSE(member_out_of_table, set->segs[2].member = 3)
REFUSE(member_huge, set->segs[2].member = 0x80000000U)
REFUSE(raw_without_member, set->segs[2].member = VDISK_NO_MEMBER)
REFUSE(sparse_without_member, set->segs[0].kind = VDISK_SEG_VMDK_SPARSE;
	set->segs[0].member = VDISK_NO_MEMBER)
REFUSE(zero_with_member, set->segs[0].kind = VDISK_SEG_ZERO)
REFUSE(noaccess_with_member, set->segs[0].kind = VDISK_SEG_NOACCESS)
REFUSE(segment_flags, set->segs[0].flags = 1U << 7)
REFUSE(segment_flags_high, set->segs[0].flags = 1U << 31)
REFUSE(offset_wraps, set->segs[2].offset = UINT64_MAX - 511)
REFUSE(offset_over_cap, set->segs[2].offset = VD_CAP_FILE_BYTES)
REFUSE(offset_past_file, set->segs[2].offset = DISK)
REFUSE(zero_with_offset, set->segs[0].kind = VDISK_SEG_ZERO;
	set->segs[0].member = VDISK_NO_MEMBER; set->segs[0].offset = 512)
/* One file is one place: an alias would make two guest ranges share bytes. */
REFUSE(member_in_two_images, set->segs[2].member = 0; set->segs[2].len = DISK / 2;
	set->images[1].size = DISK / 2)
/* Two guest ranges over the same bytes, in a file that can be written. */
REFUSE(writable_bytes_twice, set->files[0]->writable = true; set->segs[1].member = 0)
REFUSE(writable_tables_twice, set->files[0]->writable = true; set->segs[1].member = 0;
	set->segs[0].kind = VDISK_SEG_VMDK_SPARSE)
REFUSE(member_is_null, vd_ufile_free(set->files[1]); set->files[1] = NULL)
REFUSE(member_past_the_cap, set->files[2]->size = VD_CAP_FILE_BYTES + 1)
/* Only the top may be written. */
REFUSE(writable_parent, set->files[2]->writable = true)

static void too_many_images(void **state)
{
	struct ut_set set;
	u32 i;

	memset(&set, 0, sizeof(set));
	for (i = 0; i < VDISK_MAX_IMAGES + 1; i++) {
		ut_set_image(&set, VDISK_FORMAT_VMDK, 512);
		ut_set_seg(&set, VDISK_SEG_ZERO, VDISK_NO_MEMBER, 0, 512, 0);
	}
	ut_assert_refused(&set, "65 images");
	set.nr_images--;
	set.nr_segs--;
	vd_chain_close(ut_open(&set));
	ut_set_free(&set);
}

static void too_many_members(void **state)
{
	struct vd_file **files = ut_xalloc((VDISK_MAX_MEMBERS + 1) * sizeof(*files));
	struct vd_chain *chain = NULL;
	struct vd_error err = { 0 };
	struct vd_chain_desc desc;
	struct ut_set set;
	u32 i;

	legal(&set);
	desc = ut_set_desc(&set);
	for (i = 0; i <= VDISK_MAX_MEMBERS; i++)
		files[i] = set.files[i < 3 ? i : 0];
	desc.files = files;
	desc.nr_files = VDISK_MAX_MEMBERS + 1;
	assert_true(ut_is_refusal(vd_chain_open(&desc, &chain, &err)));
	ut_assert_sentence(&err, err.code);
	assert_null(chain);
	ut_set_free(&set);
	free(files);
}

/* One read-only file may be used piece by piece: a disk's partitions. */
static void one_file_in_pieces(void **state)
{
	struct vd_chain *chain;
	struct ut_set set;

	legal(&set);
	set.segs[0].len = DISK / 4;
	set.segs[1] = set.segs[0];
	set.segs[1].start = DISK / 4;
	set.segs[1].offset = DISK / 4;
	set.images[0].size = DISK / 2;
	chain = ut_open(&set);
	vd_chain_close(chain);
	set.files[0]->writable = true;
	chain = ut_open(&set);
	vd_chain_close(chain);
	ut_set_free(&set);
}

static void too_many_segments(void **state)
{
	struct vdisk_segment_desc *segs = ut_xalloc((VDISK_MAX_SEGMENTS + 1) * sizeof(*segs));
	struct vdisk_image_desc image = { .format = VDISK_FORMAT_VMDK };
	struct vd_chain_desc desc = { .images = &image, .nr_images = 1, .segments = segs };
	struct vd_error err = { 0 };
	struct vd_chain *chain = NULL;
	u32 i;
	int ret;

	for (i = 0; i <= VDISK_MAX_SEGMENTS; i++) {
		segs[i].kind = VDISK_SEG_ZERO;
		segs[i].member = VDISK_NO_MEMBER;
		segs[i].start = (u64)i * 512;
		segs[i].len = 512;
	}
	image.size = (u64)(VDISK_MAX_SEGMENTS + 1) * 512;
	desc.nr_segments = VDISK_MAX_SEGMENTS + 1;
	ret = vd_chain_open(&desc, &chain, &err);
	assert_true(ut_is_refusal(ret));
	ut_assert_sentence(&err, ret);
	image.size -= 512;
	desc.nr_segments--;
	memset(&err, 0, sizeof(err));
	assert_int_equal(vd_chain_open(&desc, &chain, &err), 0);
	vd_chain_close(chain);
	free(segs);
}

/* The biggest legal disk opens; the size is the cap itself. */
static void biggest_disk(void **state)
{
	struct vd_chain *chain;
	struct vd_extent ext;
	struct ut_set set;

	memset(&set, 0, sizeof(set));
	ut_set_image(&set, VDISK_FORMAT_VMDK, VD_CAP_DISK_BYTES);
	ut_set_seg(&set, VDISK_SEG_ZERO, VDISK_NO_MEMBER, 0, VD_CAP_DISK_BYTES, 0);
	chain = ut_open(&set);
	assert_true(chain->size == VD_CAP_DISK_BYTES);
	assert_int_equal(vd_map(chain, VD_CAP_DISK_BYTES - 512, 512, 0, &ext), 0);
	assert_int_equal(ext.type, VD_EXT_ZERO);
	vd_chain_close(chain);
	ut_set_free(&set);
}

/* Nothing stays behind when memory ends anywhere in open (ASan sees leaks). */
static void open_without_memory(void **state)
{
	struct vd_error err;
	struct ut_set set;
	long i;
	int ret;

	legal(&set);
	for (i = 1;; i++) {
		ut_alloc_start(i, false);
		ret = ut_try_open(&set, &err);
		ut_alloc_stop();
		if (!ut_alloc.failed)
			break;
		if (ret) {
			assert_int_equal(ret, -ENOMEM);
			ut_assert_sentence(&err, ret);
		}
	}
	assert_true(i > 1);
	ut_set_free(&set);
}

static void err_may_be_null(void **state)
{
	struct vd_chain_desc desc;
	struct vd_chain *chain = NULL;
	struct ut_set set;

	legal(&set);
	set.segs[0].len = 0;
	desc = ut_set_desc(&set);
	assert_true(ut_is_refusal(vd_chain_open(&desc, &chain, NULL)));
	assert_null(chain);
	vd_chain_close(NULL);
	ut_set_free(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(legal_one_opens),
		cmocka_unit_test(no_images),
		cmocka_unit_test(no_segments),
		cmocka_unit_test(image_without_segments),
		cmocka_unit_test(format_unspec),
		cmocka_unit_test(format_unknown),
		cmocka_unit_test(format_huge),
		cmocka_unit_test(image_flags),
		cmocka_unit_test(size_zero),
		cmocka_unit_test(size_unaligned),
		cmocka_unit_test(size_too_small),
		cmocka_unit_test(size_too_big),
		cmocka_unit_test(size_over_cap),
		cmocka_unit_test(size_wraps),
		cmocka_unit_test(segment_of_no_image),
		cmocka_unit_test(segment_image_huge),
		cmocka_unit_test(images_not_sorted),
		cmocka_unit_test(segments_swapped),
		cmocka_unit_test(starts_late),
		cmocka_unit_test(gap),
		cmocka_unit_test(overlap),
		cmocka_unit_test(overlap_longer),
		cmocka_unit_test(len_zero),
		cmocka_unit_test(len_unaligned),
		cmocka_unit_test(start_unaligned),
		cmocka_unit_test(start_wraps),
		cmocka_unit_test(kind_unknown),
		cmocka_unit_test(kind_small),
		cmocka_unit_test(kind_raw_variant),
		cmocka_unit_test(kind_vmdk_variant),
		cmocka_unit_test(raw_image_with_vmdk_segment),
		cmocka_unit_test(member_out_of_table),
		cmocka_unit_test(member_huge),
		cmocka_unit_test(raw_without_member),
		cmocka_unit_test(sparse_without_member),
		cmocka_unit_test(zero_with_member),
		cmocka_unit_test(noaccess_with_member),
		cmocka_unit_test(segment_flags),
		cmocka_unit_test(segment_flags_high),
		cmocka_unit_test(offset_wraps),
		cmocka_unit_test(offset_over_cap),
		cmocka_unit_test(offset_past_file),
		cmocka_unit_test(zero_with_offset),
		cmocka_unit_test(member_in_two_images),
		cmocka_unit_test(writable_parent),
		cmocka_unit_test(too_many_images),
		cmocka_unit_test(offset_unaligned),
		cmocka_unit_test(len_zero_between),
		cmocka_unit_test(writable_bytes_twice),
		cmocka_unit_test(writable_tables_twice),
		cmocka_unit_test(member_is_null),
		cmocka_unit_test(member_past_the_cap),
		cmocka_unit_test(too_many_members),
		cmocka_unit_test(one_file_in_pieces),
		cmocka_unit_test(too_many_segments),
		cmocka_unit_test(biggest_disk),
		cmocka_unit_test(open_without_memory),
		cmocka_unit_test(err_may_be_null),
	};

	return cmocka_run_group_tests_name("chain", tests, NULL, NULL);
}
