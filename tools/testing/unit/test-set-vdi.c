// SPDX-License-Identifier: GPL-2.0-only
/*
 * Properties of a VDI: fields of its header at the places that the format's sheet
 * gives, read and set; one write of one sector, and no other byte.
 */
#include "ut.h"
#include "ut-tape.h"

/* Byte of each field. */
enum { V_SIGNATURE = 64, V_VERSION = 68, V_HEADER = 72, V_TYPE = 76, V_FLAGS = 80, V_COMMENT = 84,
       V_MAP = 340, V_DATA = 344, V_PCHS = 348, V_DISK = 368, V_BLOCK = 376, V_BLOCKS = 384,
       V_UUID = 392, V_MOD = 408, V_PARENT = 424, V_PARENT_MOD = 440, V_LCHS = 456 };

#define ALL	(VD_PROP_COMMENT | VD_PROP_PCHS | VD_PROP_LCHS | VD_PROP_UUID | \
		 VD_PROP_MOD_UUID | VD_PROP_PARENT_UUID | VD_PROP_PARENT_MOD_UUID)

/* 00112233-4455-6677-8899-aabbccddeeff, and how a VDI has it */
static const u8 text_order[16] = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
				   0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff };
static const u8 file_order[16] = { 0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66,
				   0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff };

/* A disk of 4 MiB without a block in the file; its parent's UUID begins with @parent. */
static struct ut_buf image(u32 header_bytes, u8 parent)
{
	struct ut_buf b = { 0 };

	ut_put32(&b, V_SIGNATURE, 0xbeda107f);
	ut_put32(&b, V_VERSION, 0x00010001);
	ut_put32(&b, V_HEADER, header_bytes);
	ut_put32(&b, V_TYPE, parent ? 4 : 1);
	ut_put(&b, V_COMMENT, "old", 3);
	ut_put32(&b, V_MAP, 512);
	ut_put32(&b, V_DATA, 1024);
	ut_put32(&b, V_PCHS + 12, 512);
	ut_put64(&b, V_DISK, 4 * UT_MIB);
	ut_put32(&b, V_BLOCK, UT_MIB);
	ut_put32(&b, V_BLOCKS, 4);
	ut_put8(&b, V_UUID, 0xa0);
	ut_put8(&b, V_MOD, 0xa1);
	ut_put8(&b, V_PARENT, parent);
	ut_put8(&b, V_PARENT_MOD, parent);
	ut_put32(&b, V_LCHS + 12, header_bytes >= 400 ? 512 : 0);
	ut_put(&b, 480, "somebody's", 10);
	ut_put(&b, 512, "\xff\xff\xff\xff\xfe\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 16);
	ut_buf_size(&b, 1024);
	return b;
}

static struct vd_layout *layout_of(struct vd_file *file)
{
	struct vd_error err = { 0 };
	struct vd_layout *l;
	int ret = vd_format_vdi.user->layout(file, &l, &err);

	if (ret)
		fail_msg("%d %s", ret, err.text);
	assert_int_equal(vd_layout_check(l, l->total, &err), 0);
	return l;
}

static int set_in(struct vd_file *file, const struct vd_props *want, const char *pool,
		  struct vd_error *err)
{
	struct vd_layout *now = layout_of(file);
	struct vd_content content;
	int ret;

	ret = vd_format_vdi.user->set_props(file, now, want, pool, &content, err);
	assert_null(content.data);
	vd_free(now);
	return ret;
}

/* @b becomes what it is with @want. */
static void set_ok(struct ut_buf *b, const struct vd_props *want, const char *pool)
{
	struct vd_file *file = vd_ufile_mem(b->data, b->len, true);
	struct vd_error err = { 0 };
	const void *data;
	size_t len;

	if (set_in(file, want, pool, &err))
		fail_msg("%s", err.text);
	data = vd_ufile_mem_data(file, &len);
	assert_int_equal(len, b->len);
	memcpy(b->data, data, len);
	vd_ufile_free(file);
}

static void refused(struct ut_buf *b, const struct vd_props *want, const char *pool, int code,
		    const char *words)
{
	struct vd_file *file = vd_ufile_mem(b->data, b->len, true);
	struct vd_error err = { 0 };
	const void *data;
	size_t len;

	assert_int_equal(set_in(file, want, pool, &err), code);
	ut_assert_sentence(&err, code);
	if (!strstr(err.text, words))
		fail_msg("'%s' does not say '%s'", err.text, words);
	data = vd_ufile_mem_data(file, &len);
	assert_int_equal(len, b->len);
	assert_memory_equal(data, b->data, len);
	vd_ufile_free(file);
}

static struct vd_props want_all(void)
{
	struct vd_props want = { .mask = ALL, .comment = 1, .pchs = { 20, 16, 63 },
				 .lchs = { 1024, 255, 63 } };

	memcpy(want.uuid, text_order, 16);
	memcpy(want.mod_uuid, text_order, 16);
	memcpy(want.parent_uuid, text_order, 16);
	memcpy(want.parent_mod_uuid, text_order, 16);
	return want;
}

static void every_field(void **state)
{
	const struct vd_props want = want_all();
	struct ut_buf b = image(400, 0xb0), expect = image(400, 0xb0);
	struct vd_file *file;
	struct vd_layout *l;

	set_ok(&b, &want, "\0n\xc3\xa4w");
	ut_put(&expect, V_COMMENT, "n\xc3\xa4w", 5);
	ut_put(&expect, V_PCHS, "\x14\0\0\0\x10\0\0\0\x3f\0\0\0\0\x02\0\0", 16);
	ut_put(&expect, V_LCHS, "\0\x04\0\0\xff\0\0\0\x3f\0\0\0\0\x02\0\0", 16);
	ut_put(&expect, V_UUID, file_order, 16);
	ut_put(&expect, V_MOD, file_order, 16);
	ut_put(&expect, V_PARENT, file_order, 16);
	ut_put(&expect, V_PARENT_MOD, file_order, 16);
	assert_memory_equal(b.data, expect.data, b.len);
	/* And so it is read. */
	file = vd_ufile_mem(b.data, b.len, false);
	l = layout_of(file);
	assert_int_equal(l->props.mask & ALL, ALL);
	assert_string_equal(vd_layout_str(l, l->props.comment), "n\xc3\xa4w");
	assert_int_equal(l->props.pchs.c, 20);
	assert_int_equal(l->props.lchs.h, 255);
	assert_memory_equal(l->props.uuid, text_order, 16);
	assert_memory_equal(l->props.parent_mod_uuid, text_order, 16);
	vd_free(l);
	vd_ufile_free(file);
	ut_buf_free(&b);
	ut_buf_free(&expect);
}

static void one_field(void **state)
{
	struct vd_props want = { .mask = VD_PROP_COMMENT };
	struct ut_buf b = image(400, 0), expect = image(400, 0);

	/* None: the whole field is zeros. */
	set_ok(&b, &want, "");
	ut_put(&expect, V_COMMENT, "\0\0\0", 3);
	assert_memory_equal(b.data, expect.data, b.len);
	want = (struct vd_props) { .mask = VD_PROP_LCHS };
	ut_put(&b, V_LCHS, "\x01\0\0\0\x01\0\0\0\x01\0\0\0", 12);
	set_ok(&b, &want, "");
	assert_memory_equal(b.data, expect.data, b.len);
	ut_buf_free(&b);
	ut_buf_free(&expect);
}

static void limits(void **state)
{
	struct vd_props want = { .mask = VD_PROP_COMMENT, .comment = 1 };
	struct ut_buf b = image(400, 0), old = image(384, 0);
	char pool[300] = "";

	memset(pool + 1, 'x', 256);
	refused(&b, &want, pool, -EINVAL, "256 bytes, a VDI has room for 255");
	pool[256] = '\0';
	set_ok(&b, &want, pool);
	assert_memory_equal(b.data + V_COMMENT, pool + 1, 256);
	refused(&b, &want, "\0\xff", -EINVAL, "no UTF-8");
	want = (struct vd_props) { .mask = VD_PROP_LCHS, .lchs = { 1025, 1, 1 } };
	refused(&b, &want, "", -EINVAL, "1024/255/63");
	want = (struct vd_props) { .mask = VD_PROP_PCHS, .pchs = { 1, 17, 1 } };
	refused(&b, &want, "", -EINVAL, "16383/16/63");
	want = (struct vd_props) { .mask = VD_PROP_UUID };
	refused(&b, &want, "", -EINVAL, "zeros");
	/* A header that has no place for it. */
	want = (struct vd_props) { .mask = VD_PROP_LCHS, .lchs = { 1, 1, 1 } };
	refused(&old, &want, "", -EOPNOTSUPP, "a vdi image like this one cannot be given a logical");
	/* Nobody would find it there: only 1.1 keeps it behind the first 384 bytes. */
	ut_put32(&b, V_VERSION, 0x00010002);
	refused(&b, &want, "", -EOPNOTSUPP, "a vdi image like this one cannot be given a logical");
	ut_put32(&b, V_VERSION, 0x00010001);
	want = want_all();
	want.mask = VD_PROP_PARENT_UUID;
	refused(&b, &want, "", -EOPNOTSUPP, "the UUID of a parent");
	want.mask = VD_PROP_TIME;
	refused(&b, &want, "", -EOPNOTSUPP, "a time stamp");
	ut_buf_free(&b);
	ut_buf_free(&old);
}

/* What such headers are is known, but nobody writes them any more. */
static void version_0_2(void **state)
{
	const struct vd_props want = { .mask = VD_PROP_COMMENT };
	struct ut_buf b = { 0 };

	ut_put32(&b, V_SIGNATURE, 0xbeda107f);
	ut_put32(&b, V_VERSION, 2);
	ut_put32(&b, 72, 1);		/* dynamic */
	ut_put64(&b, 352, UT_MIB);
	ut_put32(&b, 360, UT_MIB);
	ut_put32(&b, 364, 1);
	ut_put8(&b, 372, 1);
	ut_put8(&b, 388, 1);
	ut_put32(&b, 420, 0xffffffff);
	refused(&b, &want, "", -EOPNOTSUPP, "version 0.2");
	ut_buf_free(&b);
}

static void judge(void *ctx, const struct ut_buf *b)
{
	u32 *seen = ctx;
	bool comment = !memcmp(b->data + V_COMMENT, "new", 4);
	bool uuid = !memcmp(b->data + V_UUID, file_order, 16);

	seen[comment == uuid ? comment : 2]++;
}

/* All of them, or none. */
static void power_cuts(void **state)
{
	const struct vd_props want = want_all();
	struct ut_buf b = image(400, 0xb0);
	struct vd_file *mem = vd_ufile_mem(b.data, b.len, true);
	struct tape tape = { 0 };
	struct vd_file *file = vd_ufile_record(mem, tape_fn, &tape);
	struct vd_error err = { 0 };
	u32 seen[3] = { 0 };

	assert_int_equal(set_in(file, &want, "\0new", &err), 0);
	assert_int_equal(tape.nr, 2);
	assert_int_equal(tape.ops[1].op, VD_OP_FLUSH);
	tape_walk(&tape, &b, judge, seen);
	assert_int_equal(seen[2], 0);
	assert_true(seen[0] > 0 && seen[1] > 0);
	tape_free(&tape);
	vd_ufile_free(file);
	vd_ufile_free(mem);
	ut_buf_free(&b);
}

static void faults(void **state)
{
	const struct vd_props want = want_all();
	struct ut_buf b = image(400, 0xb0);
	struct vd_content content;
	long at;

	for (at = 1;; at++) {
		struct vd_fault fault = { .countdown = -1, .error = EIO };
		struct vd_file *mem = vd_ufile_mem(b.data, b.len, true);
		struct vd_file *file = vd_ufile_fault(mem, &fault);
		struct vd_layout *now = layout_of(file);
		struct vd_error err = { 0 };
		int ret;

		fault.countdown = at;
		ret = vd_format_vdi.user->set_props(file, now, &want, "\0new", &content, &err);
		assert_int_equal(ret, fault.fired ? -EIO : 0);
		if (ret)
			ut_assert_sentence(&err, -EIO);
		vd_free(now);
		vd_ufile_free(file);
		vd_ufile_free(mem);
		if (!ret)
			break;
	}
	/* the header twice, its write, a flush */
	assert_true(at > 4);
	ut_buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_field),
		cmocka_unit_test(one_field),
		cmocka_unit_test(limits),
		cmocka_unit_test(version_0_2),
		cmocka_unit_test(power_cuts),
		cmocka_unit_test(faults),
	};

	return cmocka_run_group_tests_name("set-vdi", tests, NULL, NULL);
}
