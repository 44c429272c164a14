// SPDX-License-Identifier: GPL-2.0-only
/* COWD extents: content, headers that lie, entries that lead nowhere. */
#include "img-esx.h"

static void set_of(struct ut_set *set, const struct ut_buf *b, u64 size)
{
	memset(set, 0, sizeof(*set));
	ut_set_buf(set, b);
	ut_set_image(set, VDISK_FORMAT_VMDK, size);
	ut_set_seg(set, VDISK_SEG_VMDK_COWD, 0, 0, size, 0);
}

static void check_image(struct img_cowd *c, const struct ut_disk *d)
{
	struct vd_chain *chain;
	struct ut_set set;

	img_cowd_write(c, d);
	set_of(&set, &c->buf, d->size);
	chain = ut_open(&set);
	ut_check(chain, d->data, d->size);
	vd_chain_close(chain);
	ut_set_free(&set);
	ut_buf_free(&c->buf);
}

static void grain_sizes(void **state)
{
	u64 grain;

	for (grain = 512; grain <= 1 * UT_MIB; grain *= 4) {
		struct ut_disk *d = ut_disk_random(5 * UT_MIB + 512, grain, grain + 3, false);
		struct img_cowd in_order = { 0 }, shuffled = { .seed = 4 };
		struct img_cowd cut = { .cut_last = true };

		check_image(&in_order, d);
		check_image(&shuffled, d);
		check_image(&cut, d);
		ut_disk_free(d);
	}
}

/* One sector a grain: a table covers 2 MiB; some tables are not there. */
static void tables_on_demand(void **state)
{
	struct ut_disk *d = ut_disk_new(16 * UT_MIB, 512);
	struct img_cowd c = { .seed = 9 };
	u64 g;

	for (g = 0; g < d->nr; g++) {
		if (g / 4096 % 3 == 1 && g % 7 == 0)
			ut_disk_set(d, g, UT_DATA, 2);
	}
	check_image(&c, d);
	ut_disk_free(d);
}

static void empty(void **state)
{
	struct ut_disk *d = ut_disk_new(3 * UT_MIB, 512);
	struct img_cowd c = { 0 };

	check_image(&c, d);
	ut_disk_free(d);
}

/* As a delta: absent shows the parent, wherever the delta was cut. */
static void over_a_parent(void **state)
{
	struct ut_disk *top = ut_disk_random(4 * UT_MIB, 512, 7, false);
	struct ut_disk *base = ut_disk_random(4 * UT_MIB, 65536, 8, false);
	struct ut_disk *disks[2] = { top, base };
	struct img_cowd c = { .seed = 1 };
	struct vd_chain *chain;
	struct ut_set set;
	u8 *want = ut_flatten(disks, 2);

	img_cowd_write(&c, top);
	set_of(&set, &c.buf, top->size);
	ut_set_mem(&set, base->data, base->size, false);
	ut_set_image(&set, VDISK_FORMAT_VMDK, base->size);
	ut_set_seg(&set, VDISK_SEG_RAW, 1, 0, base->size, 0);
	chain = ut_open(&set);
	ut_check(chain, want, top->size);
	vd_chain_close(chain);
	ut_set_free(&set);
	ut_buf_free(&c.buf);
	free(want);
	ut_disk_free(top);
	ut_disk_free(base);
}

/* Only the extent's own count of the header says how long it is; a wrong free hint is harmless. */
static void free_sector_is_a_hint(void **state)
{
	static const u32 hints[] = { 0, 1, 4, 0x7fffffff, 0xffffffff };
	struct ut_disk *d = ut_disk_random(3 * UT_MIB, 512, 5, false);
	struct img_cowd c = { .seed = 2 };
	struct vd_chain *chain;
	struct ut_set set;
	size_t i;

	img_cowd_write(&c, d);
	for (i = 0; i < ARRAY_SIZE(hints); i++) {
		ut_put32(&c.buf, 28, hints[i]);
		set_of(&set, &c.buf, d->size);
		chain = ut_open(&set);
		ut_check_reads(chain, d->data, 20, 1);
		vd_chain_close(chain);
		ut_set_free(&set);
	}
	ut_buf_free(&c.buf);
	ut_disk_free(d);
}

static void lies(void **state)
{
	static const struct { const char *what; u32 off; u32 value; } bad[] = {
		{ "magic", 0, 0x44574f44 },
		{ "version 0", 4, 0 },
		{ "version 2", 4, 2 },
		{ "unknown flags", 8, 7 },
		{ "unknown high flag", 8, 1U << 31 | 3 },
		{ "no sectors", 12, 0 },
		{ "fewer sectors than the extent", 12, 6143 },
		{ "more sectors than the directory holds", 12, 0xffffffff },
		{ "grain size 0", 16, 0 },
		{ "grain size 3", 16, 3 },
		{ "grain size past the cap", 16, 4096 },
		{ "grain size 2^31", 16, 1U << 31 },
		{ "directory 0", 20, 0 },
		{ "directory in the header", 20, 3 },
		{ "directory past the file", 20, 0x00ffffff },
		{ "directory at the highest sector", 20, 0xffffffff },
		{ "no directory entries", 24, 0 },
		{ "too few directory entries", 24, 1 },
		{ "more directory entries than the file", 24, 0x10000000 },
		{ "directory entries wrap", 24, 0xffffffff },
	};
	struct ut_disk *d = ut_disk_random(3 * UT_MIB, 512, 5, false);
	struct ut_count count = { 0 };
	struct img_cowd c = { 0 };
	struct vd_error err;
	struct ut_set set;
	unsigned int wrong = 0;
	size_t i;

	img_cowd_write(&c, d);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		u32 was = (u32)ut_get_le(&c.buf, bad[i].off, 4);
		int ret;

		ut_put32(&c.buf, bad[i].off, bad[i].value);
		set_of(&set, &c.buf, d->size);
		memset(&count, 0, sizeof(count));
		ut_set_count(&set, &count);
		ut_alloc_start(-1, false);
		ret = ut_try_open(&set, &err);
		ut_alloc_stop();
		if (ret != -EUCLEAN && ret != -EOPNOTSUPP) {
			print_error("%s: open returned %d \"%s\"\n", bad[i].what, ret, err.text);
			wrong++;
		} else {
			ut_assert_sentence(&err, ret);
		}
		assert_true(count.reads <= 16 && ut_alloc.bytes <= 512 * UT_KIB);
		ut_set_free(&set);
		ut_put32(&c.buf, bad[i].off, was);
	}
	assert_int_equal(wrong, 0);
	ut_buf_free(&c.buf);
	ut_disk_free(d);
}

static void bad_entries(void **state)
{
	struct ut_disk *d = ut_disk_new(6 * UT_MIB, 512);
	struct img_cowd c = { 0 };
	u8 *buf = ut_xalloc(2 * UT_MIB);
	struct vd_chain *chain;
	struct ut_set set;
	u64 g, gt, end;
	size_t i;
	int ret;

	for (g = 0; g < d->nr; g += 3)
		ut_disk_set(d, g, UT_DATA, 6);
	img_cowd_write(&c, d);
	end = c.buf.len / 512;
	gt = ut_get_le(&c.buf, c.gd * 512 + 4, 4);
	const u32 bad[] = { 1, 3, 4, (u32)end, (u32)end + 100, 0x80000000, 0xffffffff };

	for (i = 0; i < 2 * ARRAY_SIZE(bad); i++) {
		bool dir = i & 1;
		u64 at = dir ? c.gd * 512 + 4 : gt * 512 + 33 * 4;	/* grain 4096 + 33 */
		u32 was = (u32)ut_get_le(&c.buf, at, 4);
		u64 victim = 4096 + 33;

		ut_put32(&c.buf, at, bad[i / 2]);
		set_of(&set, &c.buf, d->size);
		chain = ut_open(&set);
		ret = vd_read(chain, NULL, victim * 512, buf, 512);
		if (ret != -EUCLEAN && ret != -EIO)
			fail_msg("%s entry %u: read returned %d", dir ? "directory" : "table",
				 bad[i / 2], ret);
		assert_int_equal(vd_read(chain, NULL, 0, buf, 2 * UT_MIB), 0);
		ut_same(buf, d->data, 0, 2 * UT_MIB, "other table");
		assert_int_equal(vd_read(chain, NULL, 4 * UT_MIB, buf, 2 * UT_MIB), 0);
		ut_same(buf, d->data + 4 * UT_MIB, 4 * UT_MIB, 2 * UT_MIB, "other table");
		if (!dir) {
			assert_int_equal(vd_read(chain, NULL, (victim + 3) * 512, buf, 512), 0);
			ut_same(buf, d->data + (victim + 3) * 512, 0, 512, "other grain");
		}
		vd_chain_close(chain);
		ut_set_free(&set);
		ut_put32(&c.buf, at, was);
	}
	free(buf);
	ut_buf_free(&c.buf);
	ut_disk_free(d);
}

static void truncated(void **state)
{
	struct ut_disk *d = ut_disk_random(1 * UT_MIB, 4096, 5, false);
	struct img_cowd c = { 0 };
	struct vd_error err;
	struct ut_set set;
	size_t full, len;

	img_cowd_write(&c, d);
	full = c.buf.len;
	for (len = 0; len < 2048 + 4; len += 61) {
		c.buf.len = len;
		set_of(&set, &c.buf, d->size);
		ut_assert_refused(&set, "header cut");
		ut_set_free(&set);
	}
	for (; len < full; len += 7777) {
		c.buf.len = len;
		set_of(&set, &c.buf, d->size);
		ut_try_open(&set, &err);
		ut_set_free(&set);
	}
	c.buf.len = full;
	ut_buf_free(&c.buf);
	ut_disk_free(d);
}

/* A descriptor may call it SPARSE: old hosted split disks did. */
static void found_by_magic(void **state)
{
	struct ut_disk *d = ut_disk_random(1 * UT_MIB, 512, 6, false);
	struct img_cowd c = { 0 };
	struct vd_chain *chain;
	struct ut_set set;

	img_cowd_write(&c, d);
	set_of(&set, &c.buf, d->size);
	set.segs[0].kind = VDISK_SEG_VMDK_SPARSE;
	chain = ut_open(&set);
	ut_check(chain, d->data, d->size);
	vd_chain_close(chain);
	ut_set_free(&set);
	ut_buf_free(&c.buf);
	ut_disk_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grain_sizes),
		cmocka_unit_test(tables_on_demand),
		cmocka_unit_test(empty),
		cmocka_unit_test(over_a_parent),
		cmocka_unit_test(free_sector_is_a_hint),
		cmocka_unit_test(lies),
		cmocka_unit_test(bad_entries),
		cmocka_unit_test(truncated),
		cmocka_unit_test(found_by_magic),
	};

	return cmocka_run_group_tests_name("cowd", tests, NULL, NULL);
}
