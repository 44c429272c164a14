// SPDX-License-Identifier: GPL-2.0-only
/* The properties of an image: what is read of them, and what of that is believed. */
#include "ut.h"
#include "ut-layout.h"

#define HEAD	"# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n"
#define FLAT	"createType=\"monolithicFlat\"\nRW 2048 FLAT \"a\" 0\n"

/* --- UUIDs that are stored as Windows does --- */

static void guid(void **state)
{
	/* 00112233-4455-6677-8899-aabbccddeeff */
	static const u8 uuid[16] = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
				     0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff };
	static const u8 raw[16] = { 0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66,
				    0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff };
	u8 out[16];

	vd_uuid_from_guid(out, raw);
	assert_memory_equal(out, uuid, 16);
	vd_uuid_to_guid(out, uuid);
	assert_memory_equal(out, raw, 16);
}

static void no_uuid(void **state)
{
	u8 uuid[16] = { 0 };
	int i;

	assert_true(vd_uuid_is_none(uuid));
	for (i = 0; i < 16; i++) {
		uuid[i] = 1;
		assert_false(vd_uuid_is_none(uuid));
		uuid[i] = 0;
	}
}

/* --- get --- */

static void vmdk_all(void **state)
{
	static const char text[] =
		HEAD FLAT
		"ddb.geometry.cylinders = \"301\"\nddb.geometry.heads = \"4\"\n"
		"ddb.geometry.sectors = \"17\"\nddb.geometry.biosCylinders = \"1023\"\n"
		"ddb.geometry.biosHeads = \"255\"\nddb.geometry.biosSectors = \"63\"\n"
		"ddb.uuid.image=\"00112233-4455-6677-8899-aabbccddeeff\"\n"
		"ddb.uuid.modification=\"10112233-4455-6677-8899-aabbccddeeff\"\n"
		"ddb.comment=\"one\\ntwo\"\n";
	struct vd_layout *l = ut_parse(text);
	const struct vd_props *p = &l->props;

	assert_int_equal(p->mask, VD_PROP_VERSION | VD_PROP_SIZE | VD_PROP_FILE_SIZE |
			 VD_PROP_FLAGS | VD_PROP_PCHS | VD_PROP_LCHS | VD_PROP_COMMENT |
			 VD_PROP_UUID | VD_PROP_MOD_UUID);
	assert_int_equal(p->version, 1);
	assert_int_equal(p->size, UT_MIB);
	assert_int_equal(p->file_size, sizeof(text) - 1);
	assert_int_equal(p->flags, VD_IMAGE_FIXED);
	assert_int_equal(p->pchs.c, 301);
	assert_int_equal(p->pchs.h, 4);
	assert_int_equal(p->pchs.s, 17);
	assert_int_equal(p->lchs.c, 1023);
	assert_int_equal(p->lchs.h, 255);
	assert_int_equal(p->lchs.s, 63);
	assert_memory_equal(p->uuid, "\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb", 12);
	assert_memory_equal(p->mod_uuid, "\x10\x11\x22\x33", 4);
	assert_string_equal(vd_layout_str(l, p->comment), "one\ntwo");
	vd_free(l);
}

/* No cylinders: the reader is left to find a geometry. */
static void vmdk_no_geometry(void **state)
{
	struct vd_layout *l = ut_parse(HEAD FLAT
		"ddb.geometry.cylinders = \"0\"\nddb.geometry.heads = \"4\"\n"
		"ddb.geometry.sectors = \"17\"\nddb.geometry.biosHeads = \"255\"\n");

	assert_false(l->props.mask & (VD_PROP_PCHS | VD_PROP_LCHS));
	assert_int_equal(l->props.pchs.h | l->props.pchs.s | l->props.lchs.h, 0);
	vd_free(l);
}

static void vmdk_flags(void **state)
{
	static const struct { const char *rest; u32 flags; } cases[] = {
		{ "createType=\"monolithicFlat\"\nRW 8 FLAT \"a\" 0\n", VD_IMAGE_FIXED },
		{ "createType=\"monolithicSparse\"\nRW 8 SPARSE \"a\"\n", 0 },
		{ "createType=\"twoGbMaxExtentFlat\"\nRW 8 FLAT \"a\" 0\nRW 8 FLAT \"b\" 0\n",
		  VD_IMAGE_FIXED | VD_IMAGE_SPLIT },
		{ "createType=\"2GbMaxExtentSparse\"\nRW 8 SPARSE \"a\"\n", VD_IMAGE_SPLIT },
		{ "createType=\"streamOptimized\"\nRDONLY 8 SPARSE \"a\"\n", VD_IMAGE_STREAM },
		{ "createType=\"vmfs\"\nRW 8 VMFS \"a\"\n", VD_IMAGE_FIXED | VD_IMAGE_ESX },
		{ "createType=\"vmfsSparse\"\nRW 8 VMFSSPARSE \"a\"\n", VD_IMAGE_ESX },
		{ "createType=\"seSparse\"\nRW 8 SESPARSE \"a\"\n", VD_IMAGE_ESX },
		{ "createType=\"custom\"\nRW 8 FLAT \"a\" 0\nRW 8 ZERO\n", VD_IMAGE_FIXED },
		{ "createType=\"custom\"\nRW 8 FLAT \"a\" 0\nRW 8 SPARSE \"b\"\n", 0 },
		{ "createType=\"none of ours\"\nRW 8 FLAT \"a\" 0\n", VD_IMAGE_FIXED },
		{ "createType=\"monolithicSparse\"\nRW 8 SPARSE \"a\"\n"
		  "ddb.uuid.parent=\"00112233-4455-6677-8899-aabbccddeeff\"\n", VD_IMAGE_DIFF },
	};
	char text[1024];
	struct vd_layout *l;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		snprintf(text, sizeof(text), HEAD "%s", cases[i].rest);
		l = ut_parse(text);
		assert_int_equal(l->props.flags, cases[i].flags);
		assert_int_equal(!!(l->props.mask & VD_PROP_FLAGS), !!cases[i].flags);
		vd_free(l);
	}
}

static void raw_all(void **state)
{
	static const u8 data[1000];
	struct vd_file *file = vd_ufile_mem(data, sizeof(data), false);
	struct vd_error err = { 0 };
	struct vd_layout *l = NULL;

	assert_non_null(file);
	assert_int_equal(vd_format_raw.user->layout(file, &l, &err), 0);
	assert_int_equal(l->props.mask, VD_PROP_SIZE | VD_PROP_FILE_SIZE | VD_PROP_FLAGS);
	assert_int_equal(l->props.size, 1024);
	assert_int_equal(l->props.file_size, 1000);
	assert_int_equal(l->props.flags, VD_IMAGE_FIXED);
	vd_free(l);
	vd_ufile_free(file);
}

/* What the confined child answers is not trusted. */
static void spoilt(void **state)
{
	struct vd_layout *l = ut_parse(HEAD FLAT "ddb.comment=\"x\"\n"
		"ddb.geometry.cylinders=\"1\"\n"
		"ddb.uuid.image=\"00112233-4455-6677-8899-aabbccddeeff\"\n");
	struct vd_layout *copy = ut_xalloc(l->total);
	struct vd_error err;

#define SPOIL(change) do {							\
		memcpy(copy, l, l->total);					\
		change;								\
		memset(&err, 0, sizeof(err));					\
		assert_int_equal(vd_layout_check(copy, l->total, &err), -EINVAL); \
		assert_non_null(strstr(err.text, "layout: "));			\
	} while (0)
	SPOIL(copy->props.mask |= VD_PROP_PARENT_TIME << 1);
	SPOIL(copy->props.mask ^= VD_PROP_VERSION);
	SPOIL(copy->props.mask ^= VD_PROP_SIZE);
	SPOIL(copy->props.mask ^= VD_PROP_FILE_SIZE);
	SPOIL(copy->props.mask ^= VD_PROP_FLAGS);
	SPOIL(copy->props.mask ^= VD_PROP_PCHS);
	SPOIL(copy->props.mask ^= VD_PROP_LCHS);
	SPOIL(copy->props.mask ^= VD_PROP_COMMENT);
	SPOIL(copy->props.mask ^= VD_PROP_UUID);
	SPOIL(copy->props.mask ^= VD_PROP_MOD_UUID);
	SPOIL(copy->props.mask ^= VD_PROP_PARENT_UUID);
	SPOIL(copy->props.mask ^= VD_PROP_PARENT_MOD_UUID);
	SPOIL(copy->props.mask ^= VD_PROP_PARENT_NAME);
	SPOIL(copy->props.mask ^= VD_PROP_TIME);
	SPOIL(copy->props.mask ^= VD_PROP_PARENT_TIME);
	SPOIL(copy->props.flags |= VD_IMAGE_ZERO_EXPAND << 1);
	SPOIL(copy->props.flags |= VD_IMAGE_DIFF);	/* but no parent */
	SPOIL(copy->props.lchs.s = 63);
	SPOIL(copy->props.file_size = 1ULL << 63);
	SPOIL(copy->props.comment = copy->pool_len);
	SPOIL(copy->props.pad = 1);
#undef SPOIL
	free(copy);
	vd_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(guid),
		cmocka_unit_test(no_uuid),
		cmocka_unit_test(vmdk_all),
		cmocka_unit_test(vmdk_no_geometry),
		cmocka_unit_test(vmdk_flags),
		cmocka_unit_test(raw_all),
		cmocka_unit_test(spoilt),
	};

	return cmocka_run_group_tests_name("props", tests, NULL, NULL);
}
