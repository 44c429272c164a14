// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading VDI: every version and layout that writers have made, maps of all kinds of
 * entries, slots cut short and slots that are not there, chains.
 */
#include "img-vdi.h"
#include "ut-far.h"

static char said[VD_ERROR_TEXT];

static void listen(const char *text)
{
	snprintf(said, sizeof(said), "%s", text);
}

static void check_image(struct img_vdi v, const struct ut_disk *d)
{
	struct vd_chain *chain;
	struct ut_set set = { 0 };

	img_vdi_write(&v, d);
	img_vdi_add(&set, &v, d->size, false);
	chain = ut_open(&set);
	assert_true(chain->segs[0].unit == d->grain);
	assert_int_equal(chain->segs[0].unaligned,
			 (v.data_pos % VD_SECTOR || v.extra % VD_SECTOR) != 0);
	ut_check(chain, d->data, d->size);
	vd_chain_close(chain);
	ut_set_free(&set);
	ut_buf_free(&v.buf);
}

#define IMAGE(d, ...) check_image((struct img_vdi){ __VA_ARGS__ }, d)

/* --- versions and layouts --- */

static void versions(void **state)
{
	static const u32 minors[] = { 0x00010000, 0x00010001, 0x00010002, 0x0001ffff };
	static const u32 headers[] = { 384, 385, 399, 400, 401, 440, 512, 5000 };
	struct ut_disk *d = ut_disk_random(300 * UT_KIB, 4096, 1, true);
	size_t m, h;

	for (m = 0; m < ARRAY_SIZE(minors); m++) {
		for (h = 0; h < ARRAY_SIZE(headers); h++)
			IMAGE(d, .version = minors[m], .header_bytes = headers[h], .seed = m + h);
	}
	ut_disk_free(d);
}

/* Data directly behind the map, which is nowhere near a sector. */
static void version_0_2(void **state)
{
	u64 grain, n;

	for (grain = 512; grain <= 65536; grain *= 4) {
		for (n = 0; n < 4; n++) {
			struct ut_disk *d = ut_disk_random(300 * UT_KIB + n * 512, grain, n, true);

			IMAGE(d, .version = IMG_VDI_0_2, .seed = n);
			IMAGE(d, .version = IMG_VDI_0_2, .cut_last = true);
			ut_disk_free(d);
		}
	}
}

static void layouts(void **state)
{
	static const char innotek[] = "<<< innotek VirtualBox Disk Image >>>\n";
	static const char qemu[] = "<<< QEMU VM Virtual Disk Image >>>\n";
	struct ut_disk *d = ut_disk_random(5 * UT_MIB + 512, UT_MIB, 2, true);

	IMAGE(d, .banner = qemu, .header_bytes = 384, .map_pos = 512, .data_pos = 1024);
	IMAGE(d, .banner = innotek, .header_bytes = 384, .map_pos = 512);
	IMAGE(d, .header_bytes = 384, .map_pos = 456);
	IMAGE(d, .map_pos = 472, .data_pos = 472 + 24);
	IMAGE(d, .banner = "<<< Sun xVM VirtualBox Disk Image >>>\n", .map_pos = 4096);
	IMAGE(d, .map_pos = UT_MIB, .data_pos = 2 * UT_MIB);
	IMAGE(d, .banner = "", .map_pos = 1536, .data_pos = 12345);
	ut_disk_free(d);
}

static void block_sizes(void **state)
{
	u64 grain, size;

	for (grain = 512; grain <= 4 * UT_MIB; grain *= 2) {
		size = min_t(u64, 700 * grain, 9 * UT_MIB) + 512;
		struct ut_disk *d = ut_disk_random(size, grain, grain + 3, true);

		IMAGE(d, .seed = 0);
		IMAGE(d, .seed = 4, .holes = 3);
		IMAGE(d, .seed = 5, .cut_last = true);
		ut_disk_free(d);
	}
}

/* A counter of slots says nothing about what is where. */
static void counters(void **state)
{
	static const s32 lies[] = { -1, -40, 1, 1000, 0x7fffff00 };
	struct ut_disk *d = ut_disk_random(300 * UT_KIB, 4096, 5, true);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(lies); i++)
		IMAGE(d, .seed = 3, .holes = 2, .lie = lies[i]);
	ut_disk_free(d);
}

/* Old programs put both kinds of entries without a slot into fixed images. */
static void fixed(void **state)
{
	struct ut_disk *d = ut_disk_random(2 * UT_MIB, 65536, 6, true);

	IMAGE(d, .type = IMG_VDI_FIXED);
	IMAGE(d, .type = IMG_VDI_FIXED, .flags = 1 << 8);
	ut_disk_free(d);
}

static void undo(void **state)
{
	struct ut_disk *d = ut_disk_random(2 * UT_MIB, 65536, 7, true);

	IMAGE(d, .type = IMG_VDI_UNDO, .seed = 1);
	ut_disk_free(d);
}

static void extra_data(void **state)
{
	u32 extra;

	for (extra = 1; extra <= 65536; extra *= 4) {
		struct ut_disk *d = ut_disk_random(400 * UT_KIB + 1536, 8192, extra, true);

		IMAGE(d, .extra = extra, .seed = 7);
		IMAGE(d, .extra = extra, .cut_last = true);
		ut_disk_free(d);
	}
}

/* In whole sectors; blocks that the disk does not need are nobody's, wherever they lead. */
static void sizes(void **state)
{
	struct ut_disk *d = ut_disk_random(90 * UT_KIB + 512, 4096, 8, true);
	struct img_vdi v = { .blocks = 40, .disk_bytes = d->size + 511 };
	struct vd_chain *chain;
	struct ut_set set = { 0 };
	u64 b;

	IMAGE(d, .disk_bytes = d->size + 1);
	IMAGE(d, .disk_bytes = d->size + 511, .seed = 2);
	IMAGE(d, .blocks = 1000, .seed = 3);
	img_vdi_write(&v, d);
	for (b = d->nr; b < 40; b++)
		img_vdi_set(&v, b, b % 2 ? 0x1000000 : 0);
	img_vdi_add(&set, &v, d->size, false);
	chain = ut_open(&set);
	ut_check(chain, d->data, d->size);
	vd_chain_close(chain);
	ut_set_free(&set);
	ut_buf_free(&v.buf);
	ut_disk_free(d);
}

/* The last block ends one sector into the next. */
static void one_sector(void **state)
{
	struct ut_disk *d = ut_disk_new(512, 512);

	IMAGE(d, .seed = 0);
	ut_disk_set(d, 0, UT_DATA, 1);
	IMAGE(d, .seed = 0);
	IMAGE(d, .disk_bytes = 1023);
	ut_disk_free(d);
}

/* --- ends of files --- */

/* Cut anywhere inside the last slot: what is there is there, the rest is zeros. */
static void last_slot(void **state)
{
	struct ut_disk *d = ut_disk_new(8 * 8192, 8192);
	struct img_vdi v = { .seed = 0 };
	u64 g, cut, full;

	for (g = 0; g < d->nr; g++)
		ut_disk_set(d, g, UT_DATA, 9);
	img_vdi_write(&v, d);
	full = v.buf.len;
	for (cut = 1; cut < 8192; cut = cut * 2 + 1) {
		u8 *want = ut_xalloc(d->size);
		struct ut_set set = { 0 };
		struct vd_chain *chain;

		memcpy(want, d->data, d->size - cut);
		ut_set_mem(&set, v.buf.data, full - cut, false);
		img_vdi_image(&set, d->size);
		chain = ut_open(&set);
		ut_check(chain, want, d->size);
		vd_chain_close(chain);
		ut_set_free(&set);
		free(want);
	}
	ut_buf_free(&v.buf);
	ut_disk_free(d);
}

/* One entry leads past the end: this block cannot be read, all others can. */
static void past_the_end(void **state)
{
	struct ut_disk *d = ut_disk_random(40 * 4096, 4096, 11, true);
	const u32 far_slots[] = { 0, 1, 1000, 0x7fffffff, 0x80000000, IMG_VDI_ZERO - 1 };
	struct img_vdi v = { .seed = 2 };
	u8 buf[4096];
	size_t i;
	u64 g;

	img_vdi_write(&v, d);
	for (i = 0; i < ARRAY_SIZE(far_slots); i++) {
		u32 was = img_vdi_get(&v, 17), slot = max(far_slots[i], v.high + far_slots[i]);
		struct ut_set set = { 0 };
		struct vd_chain *chain;

		img_vdi_set(&v, 17, min(slot, IMG_VDI_ZERO - 1));
		img_vdi_add(&set, &v, d->size, false);
		chain = ut_open(&set);
		vd_log_hook = listen;
		for (g = 0; g < d->nr; g++) {
			if (g == 17) {
				assert_int_equal(vd_read(chain, NULL, g * 4096, buf, 4096),
						 -EUCLEAN);
				assert_non_null(strstr(said, "block 17 is in slot"));
				assert_non_null(strstr(said, "past the end of the file"));
				continue;
			}
			assert_int_equal(vd_read(chain, NULL, g * 4096, buf, 4096), 0);
			ut_same(buf, d->data + g * 4096, g * 4096, 4096, "another block");
		}
		vd_log_hook = NULL;
		vd_chain_close(chain);
		ut_set_free(&set);
		img_vdi_set(&v, 17, was);
	}
	ut_buf_free(&v.buf);
	ut_disk_free(d);
}

/* Two blocks in one slot read the same. */
static void shared(void **state)
{
	struct ut_disk *d = ut_disk_new(8 * 4096, 4096);
	struct img_vdi v = { .seed = 0 };
	struct vd_chain *chain;
	struct ut_set set = { 0 };
	u64 g;

	for (g = 0; g < d->nr; g += 2)
		ut_disk_set(d, g, UT_DATA, 12);
	img_vdi_write(&v, d);
	img_vdi_set(&v, 3, img_vdi_get(&v, 2));
	ut_disk_set(d, 3, UT_DATA, 0);
	memcpy(d->data + 3 * 4096, d->data + 2 * 4096, 4096);
	img_vdi_add(&set, &v, d->size, false);
	chain = ut_open(&set);
	ut_check_reads(chain, d->data, 50, 1);
	vd_chain_close(chain);
	ut_set_free(&set);
	ut_buf_free(&v.buf);
	ut_disk_free(d);
}

/* --- larger than memory --- */

/* @slot of blocks of @block bytes holds the fourth block; a sector at @at in it is asked for. */
static void far_slot(u32 block, u32 slot, u64 at)
{
	struct ut_disk d = { .size = 5ULL * block, .grain = block };
	struct img_vdi v = { .blocks = 5 };
	struct vd_chain *chain;
	struct ut_set set = { 0 };
	struct ut_far far;
	u8 want[VD_SECTOR], got[VD_SECTOR];

	img_vdi_write(&v, &d);
	img_vdi_set(&v, 3, slot);
	img_vdi_set(&v, 4, IMG_VDI_ZERO);
	ut_set_file(&set, ut_far_open(&far, &v.buf, img_vdi_slot(&v, slot),
				      img_vdi_slot(&v, slot) + block));
	img_vdi_image(&set, d.size);
	ut_pattern(want, sizeof(want), at, 5);
	ut_put(&far.high, at, want, sizeof(want));
	chain = ut_open(&set);
	assert_int_equal(vd_read(chain, NULL, 3ULL * block + at, got, sizeof(got)), 0);
	ut_same(got, want, at, sizeof(got), "in a far slot");
	assert_int_equal(vd_read(chain, NULL, 4ULL * block + at, got, sizeof(got)), 0);
	assert_true(ut_all_zero(got, sizeof(got)));
	assert_int_equal(vd_read(chain, NULL, 2ULL * block + at, got, sizeof(got)), 0);
	assert_true(ut_all_zero(got, sizeof(got)));
	vd_chain_close(chain);
	ut_buf_free(&far.high);
	ut_buf_free(&v.buf);
}

static void far_away(void **state)
{
	far_slot(64 << 20, 3, 12 << 20);
	far_slot(256 << 20, 200, 3 << 20);
	far_slot(1 << 20, 0x00ffffff, 1 << 19);
	far_slot(1 << 20, IMG_VDI_ZERO - 1, 1 << 19);
	far_slot(256 << 20, IMG_VDI_ZERO - 1, 5 << 20);
	far_slot(512, IMG_VDI_ZERO - 1, 0);
}

/* --- chains --- */

struct layer {
	struct ut_disk *d;
	struct img_vdi v;
};

static void check_chain(struct layer *l, unsigned int nr)
{
	struct ut_disk *disks[4];
	struct ut_set set = { 0 };
	struct vd_chain *chain;
	unsigned int i;
	u8 *want;

	for (i = 0; i < nr; i++) {
		img_vdi_write(&l[i].v, l[i].d);
		img_vdi_add(&set, &l[i].v, l[i].d->size, false);
		disks[i] = l[i].d;
	}
	want = ut_flatten(disks, nr);
	chain = ut_open(&set);
	ut_check(chain, want, l[0].d->size);
	vd_chain_close(chain);
	ut_set_free(&set);
	free(want);
	for (i = 0; i < nr; i++) {
		ut_buf_free(&l[i].v.buf);
		ut_disk_free(l[i].d);
	}
}

static void chains(void **state)
{
	static const u64 parents[] = { 300 * UT_KIB, 200 * UT_KIB + 512, 400 * UT_KIB };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(parents); i++) {
		struct layer l[3] = {
			{ .d = ut_disk_random(300 * UT_KIB, 8192, i, true),
			  .v = { .type = IMG_VDI_DIFF, .seed = 3, .flags = 1 << 9 } },
			{ .d = ut_disk_random(parents[i], 2048, i + 20, true),
			  .v = { .type = IMG_VDI_DIFF, .seed = 4, .extra = i ? 512 : 0 } },
			{ .d = ut_disk_random(300 * UT_KIB, 65536, i + 40, true),
			  .v = { .type = i ? IMG_VDI_FIXED : IMG_VDI_DYNAMIC } },
		};

		if (i == 1)
			l[2].v.version = IMG_VDI_0_2;
		check_chain(l, 3);
	}
}

/* The child's ZERO hides the parent, its FREE does not. */
static void free_and_zero(void **state)
{
	struct layer l[2] = {
		{ .d = ut_disk_new(4 * 4096, 4096), .v = { .type = IMG_VDI_DIFF } },
		{ .d = ut_disk_new(4 * 4096, 4096) },
	};
	u64 g;

	for (g = 0; g < 4; g++)
		ut_disk_set(l[1].d, g, UT_DATA, 8);
	ut_disk_set(l[0].d, 1, UT_ZERO, 0);
	ut_disk_set(l[0].d, 2, UT_DATA, 9);
	check_chain(l, 2);
}

static struct {
	const struct vd_file_ops *ops;
	u64 size;
} grown;

static s64 read_and_grow(struct vd_file *file, u64 pos, void *buf, u32 len)
{
	s64 ret = grown.ops->read(file, pos, buf, len);

	WRITE_ONCE(file->size, grown.size);
	return ret;
}

/* The file grows, and a slot there is published, while somebody reads the map. */
static void grows_meanwhile(void **state)
{
	struct ut_disk *d = ut_disk_new(2 * 4096, 4096);
	struct img_vdi v = { 0 };
	struct ut_set set = { 0 };
	struct vd_file_ops ops;
	struct vd_chain *chain;
	struct vd_extent ext;
	struct vd_file *file;

	ut_disk_set(d, 0, UT_DATA, 1);
	img_vdi_write(&v, d);
	img_vdi_add(&set, &v, d->size, false);
	chain = ut_open(&set);
	file = chain->segs[0].file;
	grown.ops = file->ops;
	grown.size = file->size;
	ops = *file->ops;
	ops.read = read_and_grow;
	file->ops = &ops;
	file->size = v.data_pos;
	assert_int_equal(vd_map(chain, 0, 4096, 0, &ext), 0);
	assert_int_equal(ext.type, VD_EXT_DATA);
	file->ops = grown.ops;
	vd_chain_close(chain);
	ut_set_free(&set);
	ut_buf_free(&v.buf);
	ut_disk_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(versions),
		cmocka_unit_test(version_0_2),
		cmocka_unit_test(layouts),
		cmocka_unit_test(block_sizes),
		cmocka_unit_test(counters),
		cmocka_unit_test(fixed),
		cmocka_unit_test(undo),
		cmocka_unit_test(extra_data),
		cmocka_unit_test(sizes),
		cmocka_unit_test(one_sector),
		cmocka_unit_test(last_slot),
		cmocka_unit_test(past_the_end),
		cmocka_unit_test(shared),
		cmocka_unit_test(far_away),
		cmocka_unit_test(chains),
		cmocka_unit_test(free_and_zero),
		cmocka_unit_test(grows_meanwhile),
	};

	return cmocka_run_group_tests_name("vdi-read", tests, NULL, NULL);
}
