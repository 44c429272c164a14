// SPDX-License-Identifier: GPL-2.0-only
/* New VDI images: every field by the sheet, every size and kind reads as it must. */
#include "img-vdi.h"
#include "vdisk/alloc.h"
#include "vdisk/check.h"
#include "../../../formats-common/vdi/vdi-user.h"

static struct vdi_new new_of(u64 size, u32 block, u32 type)
{
	struct vdi_new new = { .size = size, .block = block, .type = type };

	img_vdi_uuid(new.uuid, 0x10);
	img_vdi_uuid(new.mod_uuid, 0x30);
	if (type == IMG_VDI_DIFF) {
		img_vdi_uuid(new.parent_uuid, 0x50);
		img_vdi_uuid(new.parent_mod_uuid, 0x70);
	}
	return new;
}

/* The written file as a buffer that ut_get_le() reads. */
static struct ut_buf written(const struct vdi_new *new)
{
	struct vd_file *file = vd_ufile_mem(NULL, 0, true);
	struct vd_error err = { 0 };
	struct ut_buf b = { 0 };
	const void *data;
	size_t len;

	assert_true(vdi_new_fits(new));
	if (vdi_new_write(file, new, &err))
		fail_msg("%s", err.text);
	data = vd_ufile_mem_data(file, &len);
	ut_put(&b, 0, data, len);
	vd_ufile_free(file);
	assert_true(b.len == vdi_new_file_size(new));
	return b;
}

/* On disk the first three groups are little-endian. */
static void uuid_at(const struct ut_buf *b, u64 pos, u8 first)
{
	static const u8 order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };
	u32 i;

	for (i = 0; i < 16; i++)
		assert_int_equal(b->data[pos + i], first ? first + order[i] : 0);
}

static void zeros(const struct ut_buf *b, u64 from, u64 to)
{
	assert_true(to <= b->len && ut_all_zero(b->data + from, to - from));
}

static void fields(void **state)
{
	static const char banner[] = "<<< Oracle VM VirtualBox Disk Image >>>\n";
	static const u32 types[] = { IMG_VDI_DYNAMIC, IMG_VDI_FIXED, IMG_VDI_DIFF };
	size_t i;
	u32 n;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		struct vdi_new new = new_of(10 * UT_MIB + 512, UT_MIB, types[i]);
		struct ut_buf b = written(&new);
		bool diff = types[i] == IMG_VDI_DIFF, fixed = types[i] == IMG_VDI_FIXED;

		assert_memory_equal(b.data, banner, sizeof(banner));
		zeros(&b, sizeof(banner), 64);
		assert_true(ut_get_le(&b, 64, 4) == 0xbeda107f);
		assert_true(ut_get_le(&b, 68, 4) == 0x00010001);
		assert_true(ut_get_le(&b, 72, 4) == 400);
		assert_true(ut_get_le(&b, 76, 4) == types[i]);
		/* Flags and comment. */
		zeros(&b, 80, 340);
		assert_true(ut_get_le(&b, 340, 4) == UT_MIB);
		assert_true(ut_get_le(&b, 344, 4) == 2 * UT_MIB);
		zeros(&b, 348, 360);
		assert_true(ut_get_le(&b, 360, 4) == 512);
		zeros(&b, 364, 368);
		assert_true(ut_get_le(&b, 368, 8) == 10 * UT_MIB + 512);
		assert_true(ut_get_le(&b, 376, 4) == UT_MIB);
		assert_true(ut_get_le(&b, 380, 4) == 0);
		assert_true(ut_get_le(&b, 384, 4) == 11);
		assert_true(ut_get_le(&b, 388, 4) == (fixed ? 11 : 0));
		uuid_at(&b, 392, 0x10);
		uuid_at(&b, 408, 0x30);
		uuid_at(&b, 424, diff ? 0x50 : 0);
		uuid_at(&b, 440, diff ? 0x70 : 0);
		zeros(&b, 456, 468);
		assert_true(ut_get_le(&b, 468, 4) == 512);
		zeros(&b, 472, UT_MIB);
		for (n = 0; n < 11; n++)
			assert_true(ut_get_le(&b, UT_MIB + 4 * n, 4) ==
				    (fixed ? n : IMG_VDI_FREE));
		zeros(&b, UT_MIB + 44, b.len);
		assert_true(b.len == (fixed ? 13 : 2) * UT_MIB);
		ut_buf_free(&b);
	}
}

/* Cut where a reader needs its end. */
static void comments(void **state)
{
	char text[400];
	u32 len;

	memset(text, 'c', sizeof(text));
	for (len = 254; len < 258; len++) {
		struct vdi_new new = new_of(UT_MIB, UT_MIB, IMG_VDI_DYNAMIC);
		struct ut_buf b;

		text[len] = '\0';
		new.comment = text;
		b = written(&new);
		text[len] = 'c';
		assert_memory_equal(b.data + 84, text, min(len, 255U));
		zeros(&b, 84 + min(len, 255U), 340);
		ut_buf_free(&b);
	}
}

/* A map of more than one step, and of more than one MiB. */
static void large_maps(void **state)
{
	static const struct { u64 blocks, data_mib; } one[] = {
		{ 1, 2 }, { 16384, 2 }, { 16385, 2 }, { 262143, 2 }, { 262144, 2 }, { 262145, 3 },
		{ 600000, 4 },
	};
	size_t i;
	u64 n;

	for (i = 0; i < ARRAY_SIZE(one); i++) {
		struct vdi_new new = new_of(one[i].blocks * 4096, 4096, IMG_VDI_DYNAMIC);
		struct ut_buf b = written(&new);

		assert_true(ut_get_le(&b, 344, 4) == one[i].data_mib * UT_MIB);
		assert_true(ut_get_le(&b, 384, 4) == one[i].blocks);
		assert_true(b.len == one[i].data_mib * UT_MIB);
		for (n = 0; n < one[i].blocks; n++)
			assert_true(ut_get_le(&b, UT_MIB + 4 * n, 4) == IMG_VDI_FREE);
		zeros(&b, UT_MIB + 4 * n, b.len);
		ut_buf_free(&b);
	}
}

/* Nothing is found wrong, all reads zeros, and what is written is read. */
static void use(struct vdi_new new)
{
	struct ut_buf b = written(&new);
	struct vd_check c = { 0 };
	struct vd_error err = { 0 };
	struct ut_set set = { 0 };
	struct vd_chain *chain;
	u8 *want = ut_xalloc(new.size);

	ut_set_mem(&set, b.data, b.len, true);
	assert_int_equal(vd_format_vdi.user->check(set.files[0], VDISK_SEG_VDI, new.size, &c, &err),
			 0);
	assert_true(!c.found[VD_FINDING_NOTE] && !c.found[VD_FINDING_LEAK] &&
		    !c.found[VD_FINDING_UNCLEAN] && !c.found[VD_FINDING_CORRUPT]);
	img_vdi_image(&set, new.size);
	chain = ut_open(&set);
	ut_check(chain, want, new.size);
	ut_pattern(want + new.size - 512, 512, 0, 3);
	assert_int_equal(vd_write(chain, new.size - 512, want + new.size - 512, 512), 0);
	assert_int_equal(vd_end_write(chain), 0);
	ut_check(chain, want, new.size);
	vd_chain_close(chain);
	ut_set_free(&set);
	ut_buf_free(&b);
	free(want);
}

static void in_use(void **state)
{
	static const u64 sizes[] = { 512, 4096, 65536, UT_MIB, UT_MIB + 512, 3 * UT_MIB - 512 };
	static const u32 blocks[] = { 4096, 65536, UT_MIB };
	u32 type, i, k;

	for (type = IMG_VDI_DYNAMIC; type <= IMG_VDI_FIXED; type++)
		for (i = 0; i < ARRAY_SIZE(sizes); i++)
			for (k = 0; k < ARRAY_SIZE(blocks); k++)
				use(new_of(sizes[i], blocks[k], type));
	use(new_of(UT_MIB, 65536, IMG_VDI_DIFF));
}

/* Space that somebody has given it already stays; one that is too long is not cut. */
static void space_is_there(void **state)
{
	struct vdi_new new = new_of(4 * UT_MIB, UT_MIB, IMG_VDI_FIXED);
	struct vd_file *file = vd_ufile_mem(NULL, 0, true);
	struct ut_count count = { 0 };
	struct vd_error err = { 0 };
	struct vd_file *record;
	size_t len;

	assert_int_equal(vd_file_truncate(file, vdi_new_file_size(&new) + 4096), 0);
	file->size = vdi_new_file_size(&new) + 4096;
	record = vd_ufile_record(file, ut_count_fn, &count);
	assert_int_equal(vdi_new_write(record, &new, &err), 0);
	/* The map and the header. */
	assert_true(count.others == 2);
	vd_ufile_mem_data(file, &len);
	assert_true(len == vdi_new_file_size(&new) + 4096);
	vd_ufile_free(record);
	vd_ufile_free(file);
}

/* What others open, and what fits 32 bits. */
static void limits(void **state)
{
	static const struct { u64 blocks; u32 block; bool fits; } one[] = {
		{ 0x1fffff80, 4096, true }, { 0x1fffff81, 4096, false },
		{ 0x1fffff80, 64 << 20, true }, { 1, 64 << 20, true },
		{ 0x1fffff81, UT_MIB, false }, { 0x1fffff80, 1U << 31, false },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(one); i++) {
		struct vdi_new new = new_of(one[i].blocks * one[i].block, one[i].block,
					    IMG_VDI_DYNAMIC);

		assert_int_equal(vdi_new_fits(&new), one[i].fits);
	}
}

/* --- failures --- */

/* Which came last. */
struct order {
	u64 last;
	u64 writes;
};

static void note(void *ctx, enum vd_file_op op, u64 pos, u64 len, const void *data)
{
	struct order *o = ctx;

	o->writes++;
	o->last = pos;
}

/* The header comes last: who looks before that sees no image. */
static void header_last(void **state)
{
	struct vdi_new new = new_of(100 * UT_MIB, 4096, IMG_VDI_DYNAMIC);
	struct vd_file *mem = vd_ufile_mem(NULL, 0, true), *file;
	struct vd_error err = { 0 };
	struct order o = { 0 };

	file = vd_ufile_record(mem, note, &o);
	assert_int_equal(vdi_new_write(file, &new, &err), 0);
	assert_true(o.writes > 2 && o.last == 0);
	vd_ufile_free(file);
	vd_ufile_free(mem);
}

static void failures(void **state)
{
	struct vdi_new new = new_of(100 * UT_MIB, 4096, IMG_VDI_FIXED);
	struct vd_fault fault = { .fired = 1 };
	struct vd_file *mem, *file;
	struct vd_error err;
	long i;
	int ret;

	for (i = 1; fault.fired; i++) {
		fault = (struct vd_fault){ .countdown = i, .error = ENOSPC };
		mem = vd_ufile_mem(NULL, 0, true);
		file = vd_ufile_fault(mem, &fault);
		memset(&err, 0, sizeof(err));
		ret = vdi_new_write(file, &new, &err);
		assert_int_equal(ret, fault.fired ? -ENOSPC : 0);
		if (ret)
			ut_assert_sentence(&err, ret);
		vd_ufile_free(file);
		vd_ufile_free(mem);
	}
	assert_true(i > 4);
	memset(&err, 0, sizeof(err));
	mem = vd_ufile_mem(NULL, 0, true);
	ut_alloc_start(1, false);
	ret = vdi_new_write(mem, &new, &err);
	ut_alloc_stop();
	assert_int_equal(ret, -ENOMEM);
	ut_assert_sentence(&err, ret);
	vd_ufile_free(mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields),
		cmocka_unit_test(comments),
		cmocka_unit_test(large_maps),
		cmocka_unit_test(in_use),
		cmocka_unit_test(space_is_there),
		cmocka_unit_test(limits),
		cmocka_unit_test(header_last),
		cmocka_unit_test(failures),
	};

	return cmocka_run_group_tests_name("vdi-create", tests, NULL, NULL);
}
