// SPDX-License-Identifier: GPL-2.0-only
/* Raw and split raw against a shadow: any cut into files, any request. */
#include <unistd.h>
#include "ut.h"

struct model {
	struct ut_set set;
	struct vd_chain *chain;
	u8 *shadow;
	u64 size;
};

/* @parts files of random sizes, each with a random part of it used. */
static void make(struct model *m, u64 seed, unsigned int parts, bool writable)
{
	struct ut_rng rng = { seed };
	u64 len[UT_MAX_FILES], off[UT_MAX_FILES], pos = 0;
	unsigned int i;

	memset(m, 0, sizeof(*m));
	for (i = 0; i < parts; i++) {
		len[i] = (1 + ut_below(&rng, 200)) * 512;
		off[i] = ut_below(&rng, 3) ? 0 : ut_below(&rng, 40) * 512;
		m->size += len[i];
	}
	m->shadow = ut_xalloc(m->size);
	ut_pattern(m->shadow, m->size, 0, seed);
	ut_set_image(&m->set, VDISK_FORMAT_RAW, m->size);
	for (i = 0; i < parts; i++) {
		u64 tail = ut_below(&rng, 3) * 512;
		u8 *file = ut_xalloc(off[i] + len[i] + tail);

		memset(file, 0xee, off[i] + len[i] + tail);
		memcpy(file + off[i], m->shadow + pos, len[i]);
		ut_set_seg(&m->set, VDISK_SEG_RAW,
			   ut_set_mem(&m->set, file, off[i] + len[i] + tail, writable),
			   pos, len[i], off[i]);
		pos += len[i];
		free(file);
	}
	m->chain = ut_open(&m->set);
}

/* Bytes that belong to no segment are nobody's to change. */
static void check_margins(const struct model *m)
{
	size_t len, i;
	u32 s;

	for (s = 0; s < m->set.nr_segs; s++) {
		const struct vdisk_segment_desc *seg = &m->set.segs[s];
		const u8 *data = vd_ufile_mem_data(m->set.files[seg->member], &len);

		for (i = 0; i < len; i++) {
			if (i == seg->offset)
				i += seg->len;
			if (i < len)
				assert_int_equal(data[i], 0xee);
		}
	}
}

static void drop(struct model *m)
{
	vd_chain_close(m->chain);
	ut_set_free(&m->set);
	free(m->shadow);
}

static void reads(void **state)
{
	struct model m;
	u64 seed;

	for (seed = 1; seed <= 12; seed++) {
		make(&m, seed, 1 + seed % 7 * 5, false);
		ut_check(m.chain, m.shadow, m.size);
		drop(&m);
	}
}

static void range(struct ut_rng *rng, u64 size, u64 *pos, u64 *len)
{
	u64 sectors = size / 512;

	*pos = ut_below(rng, sectors) * 512;
	*len = (1 + ut_below(rng, min_t(u64, 260, sectors - *pos / 512))) * 512;
}

static void writes_discards_zeroes(void **state)
{
	struct model m;
	u64 seed, pos, len;
	u8 *buf = ut_xalloc(300 * 512);
	int i;

	for (seed = 1; seed <= 8; seed++) {
		struct ut_rng rng = { seed + 1000 };

		make(&m, seed, 1 + seed % 4 * 6, true);
		for (i = 0; i < 400; i++) {
			range(&rng, m.size, &pos, &len);
			switch (ut_below(&rng, 5)) {
			case 0:
			case 1:
				ut_pattern(buf, len, pos, seed * 1000 + i);
				memcpy(m.shadow + pos, buf, len);
				assert_int_equal(vd_write(m.chain, pos, buf, (u32)len), 0);
				break;
			case 2:
				memset(m.shadow + pos, 0, len);
				assert_int_equal(vd_discard(m.chain, pos, len), 0);
				break;
			case 3:
				memset(m.shadow + pos, 0, len);
				assert_int_equal(vd_write_zeroes(m.chain, pos, len, false), 0);
				break;
			default:
				assert_int_equal(vd_read(m.chain, NULL, pos, buf, (u32)len), 0);
				ut_same(buf, m.shadow + pos, pos, len, "read between writes");
			}
			if (i % 100 == 99)
				assert_int_equal(vd_flush(m.chain), 0);
		}
		ut_check(m.chain, m.shadow, m.size);
		check_margins(&m);
		drop(&m);
	}
	free(buf);
}

/* What was written stays when everything is closed and opened again. */
static void reopen(void **state)
{
	struct model m;
	u8 buf[4096];

	make(&m, 77, 9, true);
	ut_pattern(buf, sizeof(buf), 512, 99);
	memcpy(m.shadow + 512, buf, sizeof(buf));
	assert_int_equal(vd_write(m.chain, 512, buf, sizeof(buf)), 0);
	assert_int_equal(vd_flush(m.chain), 0);
	vd_chain_close(m.chain);
	m.chain = ut_open(&m.set);
	ut_check(m.chain, m.shadow, m.size);
	drop(&m);
}

static void read_only(void **state)
{
	struct ut_count count = { 0 };
	struct vd_extent ext;
	struct model m;
	u8 buf[512] = { 0 };

	make(&m, 5, 3, false);
	vd_chain_close(m.chain);
	ut_set_count(&m.set, &count);
	m.chain = ut_open(&m.set);
	assert_int_equal(vd_map(m.chain, 0, 512, VD_MAP_WRITE, &ext), -EROFS);
	assert_int_equal(vd_write(m.chain, 0, buf, 512), -EROFS);
	assert_true(vd_discard(m.chain, 0, 512) < 0);
	assert_true(vd_write_zeroes(m.chain, 0, 512, false) < 0);
	vd_flush(m.chain);
	ut_check(m.chain, m.shadow, m.size);
	assert_true(count.others == 0);
	vd_chain_close(m.chain);
	ut_set_free(&m.set);
	free(m.shadow);
}

/* A file that is writable, a segment that is not. */
static void read_only_segment(void **state)
{
	u8 data[8192], buf[512];
	struct vd_chain *chain;
	struct ut_set set = { 0 };
	struct vd_extent ext;

	memset(data, 3, sizeof(data));
	memset(buf, 4, sizeof(buf));
	ut_set_mem(&set, data, sizeof(data), true);
	ut_set_image(&set, VDISK_FORMAT_VMDK, sizeof(data));
	ut_set_seg(&set, VDISK_SEG_RAW, 0, 0, sizeof(data), 0)->flags = VDISK_SEGF_RDONLY;
	chain = ut_open(&set);
	assert_int_equal(vd_map(chain, 0, 512, VD_MAP_WRITE, &ext), -EROFS);
	assert_int_equal(vd_write(chain, 0, buf, 512), -EROFS);
	assert_true(vd_write_zeroes(chain, 0, 512, false) < 0);
	assert_int_equal(vd_read(chain, NULL, 0, buf, 512), 0);
	assert_int_equal(buf[0], 3);
	vd_chain_close(chain);
	ut_set_free(&set);
}

/* Zeros that have no place in a file: cleared already, but nowhere to write to. */
static void zero_extents(void **state)
{
	u8 data[16384], buf[16384];
	struct vd_chain *chain;
	struct ut_set set = { 0 };

	ut_pattern(data, sizeof(data), 0, 3);
	ut_set_mem(&set, data, 8192, true);
	ut_set_image(&set, VDISK_FORMAT_VMDK, 16384);
	ut_set_seg(&set, VDISK_SEG_ZERO, VDISK_NO_MEMBER, 0, 8192, 0);
	ut_set_seg(&set, VDISK_SEG_RAW, 0, 8192, 8192, 0);
	chain = ut_open(&set);
	memset(buf, 1, sizeof(buf));
	assert_true(vd_write(chain, 0, buf, 512) < 0);
	assert_true(vd_write(chain, 4096, buf, 8192) < 0);
	assert_int_equal(vd_read(chain, NULL, 0, buf, 8192), 0);
	assert_true(ut_all_zero(buf, 8192));
	assert_int_equal(vd_write_zeroes(chain, 4096, 8192, false), 0);
	assert_int_equal(vd_discard(chain, 0, 8192 + 4096), 0);
	assert_int_equal(vd_read(chain, NULL, 0, buf, 16384), 0);
	assert_true(ut_all_zero(buf, 8192 + 4096));
	assert_memory_equal(buf + 12288, data + 4096, 4096);
	vd_chain_close(chain);
	ut_set_free(&set);
}

/* No partial success: a request that leaves the disk or is unaligned fails. */
static void bad_requests(void **state)
{
	struct model m;
	struct vd_extent ext;
	u8 buf[2048];

	make(&m, 6, 2, true);
	assert_true(vd_read(m.chain, NULL, m.size - 512, buf, 1024) < 0);
	assert_true(vd_read(m.chain, NULL, m.size, buf, 512) < 0);
	assert_true(vd_read(m.chain, NULL, UINT64_MAX - 511, buf, 512) < 0);
	assert_true(vd_read(m.chain, NULL, UINT64_MAX - 511, buf, 1024) < 0);
	assert_true(vd_write(m.chain, m.size - 512, buf, 1024) < 0);
	assert_true(vd_write(m.chain, UINT64_MAX - 511, buf, 1024) < 0);
	assert_true(vd_discard(m.chain, m.size - 512, 1024) < 0);
	assert_true(vd_discard(m.chain, 512, UINT64_MAX - 511) < 0);
	assert_true(vd_write_zeroes(m.chain, m.size, 512, false) < 0);
	assert_true(vd_map(m.chain, m.size, 512, 0, &ext) < 0);
	assert_true(vd_map(m.chain, UINT64_MAX - 511, 512, 0, &ext) < 0);
	assert_int_equal(vd_map(m.chain, m.size - 512, UINT64_MAX - 511, 0, &ext), 0);
	assert_true(ext.len == 512);
	ut_check(m.chain, m.shadow, m.size);
	check_margins(&m);
	drop(&m);
}

/* A file that shrank since it was opened gives an error, never zeros. */
static void shrunk_file(void **state)
{
	u8 data[16384], buf[16384];
	struct vd_chain *chain;
	struct ut_set set = { 0 };
	struct vd_file *f;

	ut_pattern(data, sizeof(data), 0, 8);
	ut_set_mem(&set, data, sizeof(data), true);
	f = set.files[0];
	ut_set_image(&set, VDISK_FORMAT_RAW, sizeof(data));
	ut_set_seg(&set, VDISK_SEG_RAW, 0, 0, sizeof(data), 0);
	chain = ut_open(&set);
	assert_int_equal(f->ops->truncate(f, 8192), 0);
	assert_int_equal(vd_read(chain, NULL, 0, buf, 8192), 0);
	assert_memory_equal(buf, data, 8192);
	assert_int_equal(vd_read(chain, NULL, 8192, buf, 512), -EIO);
	assert_int_equal(vd_read(chain, NULL, 0, buf, 16384), -EIO);
	vd_chain_close(chain);
	ut_set_free(&set);
}

/* The file holds a part of the last sector; once that was written, all of it. */
static void part_of_a_sector(void **state)
{
	u8 data[1024], buf[1024];
	struct vd_chain *chain;
	struct ut_set set = { 0 };

	ut_pattern(data, sizeof(data), 0, 8);
	ut_set_mem(&set, data, 600, true);
	ut_set_image(&set, VDISK_FORMAT_RAW, sizeof(data));
	ut_set_seg(&set, VDISK_SEG_RAW, 0, 0, sizeof(data), 0);
	chain = ut_open(&set);
	assert_int_equal(vd_read(chain, NULL, 0, buf, 1024), 0);
	assert_memory_equal(buf, data, 600);
	assert_true(ut_all_zero(buf + 600, 424));
	assert_int_equal(vd_write(chain, 512, data + 512, 512), 0);
	assert_int_equal(vd_read(chain, NULL, 0, buf, 1024), 0);
	assert_memory_equal(buf, data, 1024);
	vd_chain_close(chain);
	ut_set_free(&set);
}

/* Same, on real files of the file system. */
static void on_descriptors(void **state)
{
	struct ut_rng rng = { 4242 };
	struct vd_error err = { 0 };
	struct vd_chain *chain;
	struct ut_set set = { 0 };
	u64 size = 3 * 100 * UT_KIB, pos, len;
	u8 *shadow = ut_xalloc(size), *buf = ut_xalloc(300 * 512);
	int fd[3], i;

	ut_pattern(shadow, size, 0, 66);
	ut_set_image(&set, VDISK_FORMAT_RAW, size);
	for (i = 0; i < 3; i++) {
		FILE *tmp = tmpfile();

		assert_non_null(tmp);
		assert_int_equal(fwrite(shadow + i * 100 * UT_KIB, 100 * UT_KIB, 1, tmp), 1);
		assert_int_equal(fflush(tmp), 0);
		fd[i] = dup(fileno(tmp));
		fclose(tmp);
		assert_true(fd[i] >= 0);
		ut_set_file(&set, vd_ufile_fd(fd[i], true, &err));
		ut_set_seg(&set, VDISK_SEG_RAW, (u32)i, (u64)i * 100 * UT_KIB, 100 * UT_KIB, 0);
	}
	chain = ut_open(&set);
	for (i = 0; i < 300; i++) {
		range(&rng, size, &pos, &len);
		if (i % 3 == 0) {
			memset(shadow + pos, 0, len);
			assert_int_equal(vd_discard(chain, pos, len), 0);
		} else if (i % 3 == 1) {
			memset(shadow + pos, 0, len);
			assert_int_equal(vd_write_zeroes(chain, pos, len, false), 0);
		} else {
			ut_pattern(shadow + pos, len, pos, i);
			assert_int_equal(vd_write(chain, pos, shadow + pos, (u32)len), 0);
		}
	}
	assert_int_equal(vd_flush(chain), 0);
	ut_check(chain, shadow, size);
	vd_chain_close(chain);
	ut_set_free(&set);
	for (i = 0; i < 3; i++)
		close(fd[i]);
	free(shadow);
	free(buf);
}

/* A failed write fails the request and nothing else. */
static void write_errors(void **state)
{
	struct vd_fault fault = { .countdown = -1, .error = ENOSPC };
	struct model m;
	u8 buf[4096];

	make(&m, 31, 4, true);
	vd_chain_close(m.chain);
	ut_set_fault(&m.set, &fault);
	m.chain = ut_open(&m.set);
	memset(buf, 9, sizeof(buf));
	fault.countdown = 1;
	assert_int_equal(vd_write(m.chain, 0, buf, 512), -ENOSPC);
	ut_check(m.chain, m.shadow, m.size);
	assert_int_equal(vd_write(m.chain, 0, buf, 512), 0);
	memcpy(m.shadow, buf, 512);
	fault.countdown = 1;
	fault.error = EIO;
	assert_int_equal(vd_flush(m.chain), -EIO);
	ut_check(m.chain, m.shadow, m.size);
	vd_chain_close(m.chain);
	ut_set_free(&m.set);
	free(m.shadow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads),
		cmocka_unit_test(writes_discards_zeroes),
		cmocka_unit_test(reopen),
		cmocka_unit_test(read_only),
		cmocka_unit_test(read_only_segment),
		cmocka_unit_test(zero_extents),
		cmocka_unit_test(bad_requests),
		cmocka_unit_test(shrunk_file),
		cmocka_unit_test(part_of_a_sector),
		cmocka_unit_test(on_descriptors),
		cmocka_unit_test(write_errors),
	};

	return cmocka_run_group_tests_name("raw", tests, NULL, NULL);
}
