// SPDX-License-Identifier: GPL-2.0-only
/* New extents: every field by the sheet, every size reads as zeros, every failure shows. */
#include "ut.h"
#include "../../../formats-common/vmdk/create.h"

static const char text[] = "# Disk DescriptorFile\nversion=1\n";

static struct vmdk_new new_of(u64 capacity, u32 grain, const char *descriptor)
{
	return (struct vmdk_new) {
		.capacity = capacity,
		.grain = grain,
		.text = descriptor,
		.text_len = descriptor ? (u32)strlen(descriptor) : 0,
	};
}

/* The written file as a buffer that ut_get_le() reads. */
static struct ut_buf written(const struct vmdk_new *new, bool cowd)
{
	struct vd_file *file = vd_ufile_mem(NULL, 0, true);
	struct vd_error err = { 0 };
	struct ut_buf b = { 0 };
	const void *data;
	size_t len;
	int ret;

	assert_non_null(file);
	ret = cowd ? cowd_new_write(file, new, &err) : vmdk_new_write(file, new, &err);
	if (ret)
		fail_msg("%d %s", ret, err.text);
	data = vd_ufile_mem_data(file, &len);
	ut_put(&b, 0, data, len);
	vd_ufile_free(file);
	return b;
}

/* A small disk: the numbers that VMware's own files have. */
static void hosted_fields(void **state)
{
	struct vmdk_new new = new_of(10 * UT_MIB, 65536, text);
	struct ut_buf b = written(&new, false);

	assert_memory_equal(b.data, "KDMV", 4);
	assert_int_equal(ut_get_le(&b, 4, 4), 1);
	assert_int_equal(ut_get_le(&b, 8, 4), 3);
	assert_true(ut_get_le(&b, 12, 8) == 20480);
	assert_true(ut_get_le(&b, 20, 8) == 128);
	assert_true(ut_get_le(&b, 28, 8) == 1);
	assert_true(ut_get_le(&b, 36, 8) == 20);
	assert_int_equal(ut_get_le(&b, 44, 4), 512);
	assert_true(ut_get_le(&b, 48, 8) == 21);
	assert_true(ut_get_le(&b, 56, 8) == 26);
	assert_true(ut_get_le(&b, 64, 8) == 128);
	assert_int_equal(ut_get_le(&b, 72, 1), 0);
	assert_memory_equal(b.data + 73, "\n \r\n", 4);
	assert_int_equal(ut_get_le(&b, 77, 2), 0);
	assert_string_equal((const char *)b.data + 512, text);
	assert_int_equal(ut_get_le(&b, 21 * 512, 4), 22);
	assert_int_equal(ut_get_le(&b, 26 * 512, 4), 27);
	assert_true(b.len == 65536);
	ut_buf_free(&b);
}

/* More tables than one block of the directory holds, no descriptor, zeroed grains. */
static void hosted_many_tables(void **state)
{
	struct vmdk_new new = new_of(1500 * 2 * UT_MIB + 512, 4096, NULL);
	u64 i, gts = 1501, dir = 12;
	struct ut_buf b;

	new.zeroed = true;
	new.allocate = true;
	b = written(&new, false);
	assert_int_equal(ut_get_le(&b, 4, 4), 2);
	assert_int_equal(ut_get_le(&b, 8, 4), 7);
	assert_true(ut_get_le(&b, 28, 8) == 0);
	assert_true(ut_get_le(&b, 36, 8) == 0);
	assert_true(ut_get_le(&b, 48, 8) == 1);
	assert_true(ut_get_le(&b, 56, 8) == 1 + dir + 4 * gts);
	for (i = 0; i < gts; i++) {
		assert_true(ut_get_le(&b, 512 + 4 * i, 4) == 1 + dir + 4 * i);
		assert_true(ut_get_le(&b, (1 + dir + 4 * gts) * 512 + 4 * i, 4) ==
			    1 + 2 * dir + 4 * gts + 4 * i);
	}
	assert_true(b.len == ut_get_le(&b, 64, 8) * 512);
	assert_true(b.len % 4096 == 0);
	ut_buf_free(&b);
}

static void cowd_fields(void **state)
{
	struct vmdk_new new = new_of(100 * UT_MIB, 512, NULL);
	struct ut_buf b = written(&new, true);

	assert_memory_equal(b.data, "COWD", 4);
	assert_int_equal(ut_get_le(&b, 4, 4), 1);
	assert_int_equal(ut_get_le(&b, 8, 4), 3);
	assert_int_equal(ut_get_le(&b, 12, 4), 204800);
	assert_int_equal(ut_get_le(&b, 16, 4), 1);
	assert_int_equal(ut_get_le(&b, 20, 4), 4);
	assert_int_equal(ut_get_le(&b, 24, 4), 50);
	assert_int_equal(ut_get_le(&b, 28, 4), 5);
	assert_int_equal(ut_get_le(&b, 1648, 4), 0);
	assert_true(b.len == 5 * 512);
	ut_buf_free(&b);
}

static void opens_as_zeros(const struct vmdk_new *new, bool cowd)
{
	u64 len = min_t(u64, new->capacity, UT_MIB);
	u8 *buf = ut_xalloc(len), *zeros = ut_xalloc(len);
	struct ut_buf b = written(new, cowd);
	struct vd_unit unit = { 0 };
	struct vd_extent ext;
	struct vd_chain *chain;
	struct ut_set set = { 0 };

	ut_set_buf(&set, &b);
	ut_set_image(&set, VDISK_FORMAT_VMDK, new->capacity);
	ut_set_seg(&set, cowd ? VDISK_SEG_VMDK_COWD : VDISK_SEG_VMDK_SPARSE, 0, 0, new->capacity,
		   0);
	chain = ut_open(&set);
	assert_int_equal(chain->unit, new->grain);
	memset(buf, 0xa5, len);
	assert_int_equal(vd_read(chain, &unit, new->capacity - len, buf, (u32)len), 0);
	assert_memory_equal(buf, zeros, len);
	assert_int_equal(vd_map(chain, 0, 512, 0, &ext), 0);
	assert_int_equal(ext.type, VD_EXT_HOLE);
	vd_chain_close(chain);
	ut_set_free(&set);
	ut_buf_free(&b);
	free(zeros);
	free(buf);
}

static void all_sizes(void **state)
{
	static const u64 sizes[] = { 512, 1024, 65536 - 512, 65536, UT_MIB + 512, 32 * UT_MIB,
				     32 * UT_MIB + 512, 1024 * UT_MIB };
	struct vmdk_new new;
	u32 grain;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (grain = 4096; grain <= UT_MIB; grain *= 4) {
			new = new_of(sizes[i], grain, NULL);
			opens_as_zeros(&new, false);
			new.text = text;
			new.text_len = sizeof(text) - 1;
			opens_as_zeros(&new, false);
		}
		new = new_of(sizes[i], 512, NULL);
		opens_as_zeros(&new, true);
	}
}

/* Table entries count 2^32 sectors: data, tables and header together. */
static void two_tebibytes(void **state)
{
	struct vmdk_new new = new_of(2048 * 1024 * UT_MIB, 65536, text);
	u64 tables = 65536ULL * 2048 * 2 + 2 * 65536 * 4 + 21 * 512;
	u64 over_head = (tables + 65535) / 65536 * 65536;

	assert_false(vmdk_new_fits(&new));
	new.capacity -= over_head - 2 * 65536;
	assert_false(vmdk_new_fits(&new));
	new.capacity -= 3 * 65536;
	assert_true(vmdk_new_fits(&new));
	new = new_of(2048 * 1024 * UT_MIB - 512, 512, NULL);
	assert_false(cowd_new_fits(&new));
	new.capacity -= 4 * UT_MIB + 4 * 512 + (1ULL << 20) * 16384;
	assert_true(cowd_new_fits(&new));
}

static void text_too_long(void **state)
{
	struct vd_file *file = vd_ufile_mem(NULL, 0, true);
	struct vmdk_new new = new_of(UT_MIB, 65536, text);
	struct vd_error err = { 0 };
	size_t len;

	assert_non_null(file);
	new.text_len = 20 * 512 + 1;
	assert_int_equal(vmdk_new_write(file, &new, &err), -E2BIG);
	assert_non_null(strstr(err.text, "descriptor"));
	vd_ufile_mem_data(file, &len);
	assert_int_equal(len, 0);
	vd_ufile_free(file);
}

/* Whatever fails is reported, and what is there then is no extent: the header comes last. */
static void each_failure(bool cowd, bool allocate)
{
	struct vmdk_new new = new_of(3 * 1024 * UT_MIB, 4096, cowd ? NULL : text);
	long n;

	new.allocate = allocate;
	for (n = 1;; n++) {
		struct vd_fault fault = { .countdown = n, .error = EIO };
		struct vd_file *lower = vd_ufile_mem(NULL, 0, true);
		struct vd_file *file = vd_ufile_fault(lower, &fault);
		struct vd_error err = { 0 };
		const u8 *data;
		size_t len;
		int ret;

		assert_non_null(file);
		ret = cowd ? cowd_new_write(file, &new, &err) : vmdk_new_write(file, &new, &err);
		data = vd_ufile_mem_data(lower, &len);
		assert_int_equal(ret, fault.fired ? -EIO : 0);
		assert_int_equal(!fault.fired, len >= 4 && (!memcmp(data, "KDMV", 4) ||
							    !memcmp(data, "COWD", 4)));
		if (ret)
			assert_true(err.text[0]);
		vd_ufile_free(file);
		vd_ufile_free(lower);
		if (!fault.fired)
			break;
	}
	assert_true(n > (cowd ? 2 : 5));
}

static void failures(void **state)
{
	each_failure(false, false);
	each_failure(false, true);
	each_failure(true, false);
	each_failure(true, true);
}

static void no_memory(void **state)
{
	struct vd_file *file = vd_ufile_mem(NULL, 1 << 20, true);
	struct vmdk_new new = new_of(UT_MIB, 65536, text);
	struct vd_error err = { 0 };

	assert_non_null(file);
	ut_alloc_start(1, true);
	assert_int_equal(vmdk_new_write(file, &new, &err), -ENOMEM);
	assert_int_equal(cowd_new_write(file, &new, &err), -ENOMEM);
	ut_alloc_stop();
	vd_ufile_free(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosted_fields),
		cmocka_unit_test(hosted_many_tables),
		cmocka_unit_test(cowd_fields),
		cmocka_unit_test(all_sizes),
		cmocka_unit_test(two_tebibytes),
		cmocka_unit_test(text_too_long),
		cmocka_unit_test(failures),
		cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests_name("create", tests, NULL, NULL);
}
