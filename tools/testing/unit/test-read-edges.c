// SPDX-License-Identifier: GPL-2.0-only
/*
 * Headers, markers and numbers whose refusal has a reason of its own: a later rule
 * would refuse most of them too, and say something that is not so.
 */
#include "../../../formats-common/vmdk/text.h"
#include "img-esx.h"

#define DISK	(UT_MIB + 4096)
#define GRAIN	65536U

static char said[VD_ERROR_TEXT];

static void listen(const char *text)
{
	snprintf(said, sizeof(said), "%s", text);
}

/* --- headers --- */

static void set_of(struct ut_set *set, const struct ut_buf *b, u32 kind)
{
	memset(set, 0, sizeof(*set));
	ut_set_buf(set, b);
	ut_set_image(set, VDISK_FORMAT_VMDK, DISK);
	ut_set_seg(set, kind, 0, 0, DISK, 0);
}

static void refused(const struct ut_buf *b, u32 kind, int want, const char *text)
{
	struct vd_error err;
	struct ut_set set;
	int ret;

	set_of(&set, b, kind);
	ret = ut_try_open(&set, &err);
	if (ret != want || !strstr(err.text, text))
		fail_msg("open returned %d \"%s\", not %d \"%s\"", ret, err.text, want, text);
	ut_assert_sentence(&err, ret);
	ut_set_free(&set);
}

static void hosted_header(void **state)
{
	struct img_sparse s = { .flags = IMG_F_RGD };
	struct ut_disk *d = ut_disk_random(DISK, GRAIN, 4, false);
	u64 capacity;

	img_sparse_write(&s, d);
	capacity = ut_get_le(&s.buf, IMG_H_CAPACITY, 8);
	ut_put(&s.buf, 0, "kdmv", 4);
	refused(&s.buf, VDISK_SEG_VMDK_SPARSE, -EUCLEAN, "marked as unfinished");
	ut_put(&s.buf, 0, "KDMV", 4);
	ut_put64(&s.buf, IMG_H_CAPACITY, 0);
	refused(&s.buf, VDISK_SEG_VMDK_SPARSE, -EUCLEAN, "capacity at byte 12 is 0, legal is 1 ");
	/* 64 TiB and a sector, in grains so large that the tables would not be too many. */
	ut_put64(&s.buf, IMG_H_GRAIN, VMDK_CAP_GRAIN_SECTORS);
	ut_put64(&s.buf, IMG_H_CAPACITY, (VD_CAP_DISK_BYTES >> VD_SECTOR_SHIFT) + 1);
	refused(&s.buf, VDISK_SEG_VMDK_SPARSE, -EUCLEAN, "legal is at most 64 TiB");
	ut_put64(&s.buf, IMG_H_CAPACITY, 1ULL << 55);
	refused(&s.buf, VDISK_SEG_VMDK_SPARSE, -EUCLEAN, "legal is at most 64 TiB");
	ut_put64(&s.buf, IMG_H_GRAIN, GRAIN / VD_SECTOR);
	ut_put64(&s.buf, IMG_H_CAPACITY, capacity - 1);
	refused(&s.buf, VDISK_SEG_VMDK_SPARSE, -EUCLEAN, "but the extent covers");
	ut_buf_free(&s.buf);
	ut_disk_free(d);
}

static void cowd_header(void **state)
{
	struct img_cowd c = { 0 };
	struct ut_disk *d = ut_disk_random(DISK, 512, 4, false);

	img_cowd_write(&c, d);
	ut_put32(&c.buf, 12, 0);
	refused(&c.buf, VDISK_SEG_VMDK_COWD, -EUCLEAN, "numSectors at byte 12 is 0, legal is 1 ");
	ut_put32(&c.buf, 12, DISK / VD_SECTOR - 1);
	refused(&c.buf, VDISK_SEG_VMDK_COWD, -EUCLEAN, "but the extent covers");
	ut_buf_free(&c.buf);
	ut_disk_free(d);
}

static void sesparse_header(void **state)
{
	static const u64 bad[] = {
		0, (VD_CAP_DISK_BYTES >> VD_SECTOR_SHIFT) + 1, 1ULL << 55, U64_MAX,
	};
	struct img_sesparse s = { 0 };
	struct ut_disk *d = ut_disk_random(DISK, 4096, 4, false);
	u32 i;

	img_sesparse_write(&s, d);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		ut_put64(&s.buf, 16, bad[i]);
		refused(&s.buf, VDISK_SEG_VMDK_SESPARSE, -EUCLEAN, "legal is 1 sector to 64 TiB");
	}
	ut_buf_free(&s.buf);
	ut_disk_free(d);
}

static void footer(void **state)
{
	struct img_stream st = { .footer = true, .level = 6 };
	struct ut_disk *d = ut_disk_random(DISK, GRAIN, 4, false);

	img_stream_write(&st, d);
	ut_put64(&st.s.buf, st.s.buf.len - 2 * VD_SECTOR + IMG_H_GD, IMG_GD_AT_END);
	refused(&st.s.buf, VDISK_SEG_VMDK_SPARSE, -EUCLEAN, "does not know the directory either");
	ut_buf_free(&st.s.buf);
	ut_disk_free(d);
}

/* --- raw units --- */

struct marker {
	bool markers;
	u64 lba;
	u32 size;
	u32 len;	/* of what there is, marker included */
	const char *text;
};

/* What unpack is handed is the file's; each length in it is looked at against what is there. */
static void unpack_one(struct vd_chain *chain, const struct marker *m, u32 max)
{
	struct vd_segment *seg = &chain->images[0].segs[0];
	struct vd_extent ext = { .unit_pos = GRAIN, .file_pos = 4096 };
	struct vd_payload out = { 0 };
	u32 skip = m->markers ? 12 : 4;
	u32 size = m->size == U32_MAX ? max - skip : m->size == U32_MAX - 1 ? max - skip + 1 :
		   m->size;
	u32 len = m->len ? m->len : skip + size;
	u8 *raw = ut_xalloc(16);
	int ret;

	if (m->markers)
		put_unaligned_le64(m->lba, raw);
	put_unaligned_le32(size, raw + skip - 4);
	said[0] = '\0';
	ret = seg->format->unpack(seg, &ext, raw, len, &out);
	free(raw);
	if (m->text) {
		assert_int_equal(ret, -EUCLEAN);
		if (!strstr(said, m->text))
			fail_msg("said \"%s\", not \"%s\"", said, m->text);
		return;
	}
	assert_int_equal(ret, 0);
	assert_true(out.offset == skip && out.len == size && !out.stored);
}

static void unpack(void **state)
{
	/* U32_MAX: the most that is legal; U32_MAX - 1: one more. */
	static const struct marker cases[] = {
		{ true, 128, 100, 0, NULL },
		{ true, 128, 100, 5000, NULL },
		{ true, 128, 1, 0, NULL },
		{ true, 128, U32_MAX, 0, NULL },
		{ true, 128, U32_MAX - 1, 0, "legal is 1 to" },
		{ true, 128, 0, 5000, "has 0 bytes, legal is 1 to" },
		{ true, 128, 100, 111, "has 100 bytes, the file only 99" },
		{ true, 128, 100, 12, "has 100 bytes, the file only 0" },
		{ true, 128, 100, 11, "begins 11 bytes before the file's end" },
		{ true, 127, 100, 0, "is of sector 127, not 128" },
		{ false, 0, 100, 0, NULL },
		{ false, 0, U32_MAX, 0, NULL },
		{ false, 0, U32_MAX - 1, 0, "legal is 1 to" },
		{ false, 0, 0, 5000, "has 0 bytes, legal is 1 to" },
		{ false, 0, 100, 103, "has 100 bytes, the file only 99" },
		{ false, 0, 100, 3, "begins 3 bytes before the file's end" },
	};
	struct ut_disk *d = ut_disk_random(DISK, GRAIN, 4, false);
	struct vd_chain *chain;
	struct ut_set set;
	u32 i, markers;

	vd_log_hook = listen;
	for (markers = 0; markers < 2; markers++) {
		struct img_stream st = { .level = 6, .no_markers = !markers };

		img_stream_write(&st, d);
		set_of(&set, &st.s.buf, VDISK_SEG_VMDK_SPARSE);
		chain = ut_open(&set);
		/* vmdk.md: a grain, an eighth more, and 1024 bytes. */
		for (i = 0; i < ARRAY_SIZE(cases); i++)
			if (cases[i].markers == !!markers)
				unpack_one(chain, &cases[i], GRAIN + GRAIN / 8 + 1024);
		vd_chain_close(chain);
		ut_set_free(&set);
		ut_buf_free(&st.s.buf);
	}
	vd_log_hook = NULL;
	ut_disk_free(d);
}

/* --- raw files --- */

static void raw_sizes(void **state)
{
	struct vd_file *file = vd_ufile_mem(NULL, 0, false);
	struct vd_layout *l = NULL;
	struct vd_error err = { 0 };

	assert_int_equal(vd_format_raw.user->layout(file, &l, &err), -EUCLEAN);
	assert_non_null(strstr(err.text, "the file is empty"));
	memset(&err, 0, sizeof(err));
	file->size = VD_CAP_DISK_BYTES + 1;
	assert_int_equal(vd_format_raw.user->layout(file, &l, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "more than 64 TiB"));
	assert_null(l);
	file->size = VD_CAP_DISK_BYTES;
	assert_int_equal(vd_format_raw.user->layout(file, &l, &err), 0);
	free(l);
	vd_ufile_free(file);
}

/* --- numbers and names --- */

static struct vmdk_text text(const char *s)
{
	return (struct vmdk_text) { s, (u32)strlen(s) };
}

static void numbers(void **state)
{
	u64 n = 7;
	u32 h = 7;

	assert_true(vmdk_text_decimal(text("18446744073709551615"), &n) && n == U64_MAX);
	assert_false(vmdk_text_decimal(text("18446744073709551616"), &n));
	assert_false(vmdk_text_decimal(text("18446744073709551625"), &n));
	assert_false(vmdk_text_decimal(text("184467440737095516150"), &n));
	assert_false(vmdk_text_decimal(text(""), &n));
	assert_true(vmdk_text_hex32(text("0"), &h) && h == 0);
	assert_true(vmdk_text_hex32(text("fffffffe"), &h) && h == 0xfffffffe);
	assert_false(vmdk_text_hex32(text("100000000"), &h));
	assert_false(vmdk_text_hex32(text(""), &h));
}

static void uuids(void **state)
{
	u8 *uuid = ut_xalloc(16);	/* of this size, for the sanitizer */

	assert_true(vmdk_text_uuid(text("00112233445566778899aabbccddeeff"), uuid));
	assert_int_equal(uuid[15], 0xff);
	assert_false(vmdk_text_uuid(text("00112233445566778899aabbccddeeff0"), uuid));
	assert_false(vmdk_text_uuid(text("00112233445566778899aabbccddeef"), uuid));
	assert_false(vmdk_text_uuid(text("00112233445566778899aabbccddeefg"), uuid));
	free(uuid);
}

static void same_text(void **state)
{
	assert_true(vmdk_text_same(text("ab"), text("ab")));
	assert_false(vmdk_text_same(text("ab"), text("abc")));
	assert_false(vmdk_text_same(text("ab"), text("ac")));
	assert_false(vmdk_text_same(text(""), text("a")));
	assert_true(vmdk_text_same(text(""), text("")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosted_header),
		cmocka_unit_test(cowd_header),
		cmocka_unit_test(sesparse_header),
		cmocka_unit_test(footer),
		cmocka_unit_test(unpack),
		cmocka_unit_test(raw_sizes),
		cmocka_unit_test(numbers),
		cmocka_unit_test(uuids),
		cmocka_unit_test(same_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
