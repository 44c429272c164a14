// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where in a file the texts stand that a writer of the disk changes: content
 * ids, version, change tracking. And what the header of an extent forbids.
 */
#include "img-esx.h"
#include "ut-layout.h"

#define HEAD	"# Disk DescriptorFile\nversion=1\n"
#define TAIL	"parentCID=ffffffff\ncreateType=\"monolithicFlat\"\nRW 2048 FLAT \"a\" 0\n"
#define LONG	"c30e9133f6a8e34df61188c51010a8cd"

static void stands_at(const void *data, u64 pos, u32 len, const char *want)
{
	assert_int_equal(len, strlen(want));
	assert_memory_equal((const char *)data + pos, want, len);
}

static void cid_of_every_width(void **state)
{
	/* what stands around the digits */
	static const char *const forms[][2] = {
		{ "CID=", "\n" }, { "CID=", " \t\n" }, { "CID = ", "\n" }, { "cid=\t", "\r\n" },
		{ "CID=\"", "\"\n" }, { "  CID=", "\n" },
	};
	static const char digits[] = "1a2B3c4D";
	char text[512], cid[16];
	struct vd_layout *l;
	size_t form;
	int width;

	for (form = 0; form < ARRAY_SIZE(forms); form++) {
		for (width = 1; width <= 8; width++) {
			snprintf(cid, sizeof(cid), "%.*s", width, digits);
			snprintf(text, sizeof(text), "%s%s%s%s%s", HEAD, forms[form][0], cid,
				 forms[form][1], TAIL);
			l = ut_parse(text);
			stands_at(text, l->cid_pos, l->cid_len, cid);
			assert_int_equal(l->cid, strtoul(cid, NULL, 16));
			assert_int_equal(l->long_cid_len, 0);
			assert_false(l->flags & VD_LAYOUT_RDONLY);
			vd_free(l);
		}
	}
}

static void bom_and_order(void **state)
{
	static const char text[] = "\xef\xbb\xbf" HEAD "parentCID=ffffffff\n"
		"ddb.longContentID = \"" LONG "\"\nRW 2048 FLAT \"a\" 0\n"
		"createType=\"monolithicFlat\"\nCID=1010a8cd";
	struct vd_layout *l = ut_parse(text);

	stands_at(text, l->cid_pos, l->cid_len, "1010a8cd");
	stands_at(text, l->long_cid_pos, l->long_cid_len, LONG);
	stands_at(text, l->version_pos, 1, "1");
	vd_free(l);
}

#define UUID "9c164d8e-1e37-447e-a57f-1439b7d6216d"

static void modification_uuid(void **state)
{
	/* between what is not it */
	static const char text[] = HEAD "CID=123\n" TAIL
		"ddb.uuid.image=\"7160a06a-81db-41b9-a25e-5058fd33c217\"\n"
		"ddb.uuid.modification=\"" UUID "\"\n"
		"ddb.uuid.parentmodification=\"00000000-0000-0000-0000-000000000000\"\n";
	struct vd_layout *l = ut_parse(text);

	stands_at(text, l->mod_uuid_pos, l->mod_uuid_len, UUID);
	assert_ptr_equal(text + l->mod_uuid_pos, strstr(text, UUID));
	vd_free(l);
	l = ut_parse(HEAD "CID=123\n" TAIL "ddb.uuid.modification=\"9c164d8e\"\n");
	assert_int_equal(l->mod_uuid_len, 0);
	vd_free(l);
}

/* In a form that is nobody's it stays as it is, and that is said. */
static void odd_modification_uuid(void **state)
{
	static const char *const forms[] = {
		"{" UUID "}", "9c164d8e1e37-447e-a57f-1439-b7d6216d",
		"9c164d8e 1e37-447e-a57f-1439b7d6216d", "9c164d8e1e37447ea57f1439b7d6216d",
	};
	char text[512];
	struct vd_layout *l;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(forms); i++) {
		snprintf(text, sizeof(text), HEAD "CID=123\n" TAIL
			 "ddb.uuid.modification=\"%s\"\n", forms[i]);
		l = ut_parse(text);
		assert_int_equal(l->mod_uuid_len, 0);
		assert_true(!l->mod_uuid_pos);
		assert_true(l->props.mask & VD_PROP_MOD_UUID);
		assert_true(l->flags & VD_LAYOUT_WARNING);
		assert_non_null(strstr(vd_layout_str(l, l->warning), "does not renew"));
		assert_int_equal(l->cid_len, 3);
		vd_free(l);
	}
	l = ut_parse(HEAD "CID=123\n" TAIL "ddb.uuid.modification=\"" UUID "\"\n");
	assert_false(l->flags & VD_LAYOUT_WARNING);
	vd_free(l);
}

static void no_content_id(void **state)
{
	struct vd_layout *l = ut_parse(HEAD TAIL);

	assert_int_equal(l->cid_len, 0);
	assert_true(!l->cid_pos);
	assert_false(l->flags & VD_LAYOUT_HAVE_CID);
	vd_free(l);
	/* In any other form than 32 digits it stays as it is. */
	l = ut_parse(HEAD "CID=1\n" TAIL
		  "ddb.longContentID=\"c30e9133-f6a8-e34d-f611-88c51010a8cd\"\n");
	assert_int_equal(l->cid_len, 1);
	assert_int_equal(l->long_cid_len, 0);
	assert_false(l->flags & VD_LAYOUT_RDONLY);
	vd_free(l);
	l = ut_parse(HEAD "CID=1\n" TAIL "ddb.longContentID=\"c30e\"\n");
	assert_int_equal(l->long_cid_len, 0);
	vd_free(l);
	l = ut_parse("# Disk DescriptorFile\nCID=1\n" TAIL);
	assert_true(!l->version_pos);
	vd_free(l);
}

/* One of two lines would go stale. */
static void twice(void **state)
{
	static const char *const texts[] = {
		HEAD "CID=123\nCID=123\n" TAIL,
		HEAD "version=1\nCID=123\n" TAIL,
		HEAD "CID=123\n" TAIL "ddb.longContentID=\"" LONG "\"\n"
			"ddb.longContentID=\"" LONG "\"\n",
		HEAD "CID=123\n" TAIL "ddb.uuid.modification=\"" UUID "\"\n"
			"ddb.uuid.modification=\"" UUID "\"\n",
		HEAD "CID=123\nchangeTrackPath=\"a\"\nchangeTrackPath=\"b\"\n" TAIL,
	};
	struct vd_layout *l;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(texts); i++) {
		l = ut_parse(texts[i]);
		assert_true(l->flags & VD_LAYOUT_RDONLY);
		assert_false(l->flags & VD_LAYOUT_ONLY_CBT);
		assert_non_null(strstr(vd_layout_str(l, l->ro_reason), "twice"));
		assert_int_equal(l->cid_len, 0);
		assert_int_equal(l->cbt_len, 0);
		vd_free(l);
	}
}

static void change_tracking(void **state)
{
	static const struct {
		const char *text, *line;
		u32 note;
	} cases[] = {
		{ "# Disk DescriptorFile\nversion=3\nCID=123\n" TAIL
		  "\n# Change Tracking File\nchangeTrackPath=\"a-ctk.vmdk\"\n\n# The Disk Data Base\n",
		  "changeTrackPath=\"a-ctk.vmdk\"\n", 23 },
		{ "# Disk DescriptorFile\r\nversion=3\r\nCID=123\r\n" TAIL
		  "# change tracking file \r\nchangeTrackPath = \"a-ctk.vmdk\" \r\n",
		  "changeTrackPath = \"a-ctk.vmdk\" \r\n", 25 },
		{ HEAD "CID=123\n" TAIL "# something else\nchangeTrackPath=\"a-ctk.vmdk\"",
		  "changeTrackPath=\"a-ctk.vmdk\"", 0 },
		{ HEAD "CID=123\n" TAIL
		  "# Change Tracking File\n\n  changeTrackPath=\"a-ctk.vmdk\"\n",
		  "  changeTrackPath=\"a-ctk.vmdk\"\n", 0 },
	};
	struct vd_layout *l;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		l = ut_parse(cases[i].text);
		assert_true(l->flags & VD_LAYOUT_CBT);
		assert_true(l->flags & VD_LAYOUT_ONLY_CBT);
		assert_string_equal(vd_layout_str(l, l->cbt_name), "a-ctk.vmdk");
		stands_at(cases[i].text, l->cbt_pos, l->cbt_len, cases[i].line);
		assert_int_equal(l->cbt_note_len, cases[i].note);
		if (cases[i].note)
			assert_int_equal(cases[i].text[l->cbt_pos - l->cbt_note_len], '#');
		stands_at(cases[i].text, l->cid_pos, l->cid_len, "123");
		vd_free(l);
	}
	/* Another reason stays when tracking goes. */
	l = ut_parse(HEAD "CID=123\nchangeTrackPath=\"c\"\n" TAIL
		     "ddb.iofilters = \"vmwarelwd\"\n");
	assert_true(l->flags & VD_LAYOUT_CBT && l->flags & VD_LAYOUT_RDONLY);
	assert_false(l->flags & VD_LAYOUT_ONLY_CBT);
	vd_free(l);
}

#define SPARSE	"# Disk DescriptorFile\nversion=1\nCID=123\nparentCID=ffffffff\n" \
		"createType=\"monolithicSparse\"\nRW 2048 SPARSE \"x\"\n" \
		"ddb.longContentID=\"" LONG "\"\n"

static void sparse_image(struct ut_buf *buf, u32 version, u32 flags, const char *text)
{
	struct ut_disk *d = ut_disk_random(UT_MIB, 65536, 1, false);
	struct img_sparse s = { .descriptor = text, .version = version, .flags = flags };

	img_sparse_write(&s, d);
	*buf = s.buf;
	ut_disk_free(d);
}

static void embedded(void **state)
{
	struct ut_buf buf;
	struct vd_layout *l;

	sparse_image(&buf, 1, IMG_F_RGD, SPARSE);
	l = ut_parse_bytes(buf.data, buf.len);
	assert_true(l->cid_pos >= 512);
	stands_at(buf.data, l->cid_pos, l->cid_len, "123");
	stands_at(buf.data, l->long_cid_pos, l->long_cid_len, LONG);
	stands_at(buf.data, l->version_pos, 1, "1");
	assert_false(l->flags & VD_LAYOUT_RDONLY);
	vd_free(l);
	ut_buf_free(&buf);

	/* The header alone: somebody may be counting on a log of changes. */
	sparse_image(&buf, 3, IMG_F_RGD, SPARSE);
	l = ut_parse_bytes(buf.data, buf.len);
	assert_true(l->flags & VD_LAYOUT_ONLY_CBT);
	assert_false(l->flags & VD_LAYOUT_CBT);
	assert_int_equal(l->cbt_len, 0);
	vd_free(l);
	ut_buf_free(&buf);
}

static void state_is(const struct ut_buf *buf, u32 kind, u32 flags, const char *word)
{
	struct vd_file *file = vd_ufile_mem(buf->data, buf->len, false);
	struct vd_extent_state s;
	struct vd_error err = { 0 };

	assert_int_equal(vd_format_vmdk.user->extent(file, kind, &s, &err), 0);
	assert_int_equal(s.flags, flags);
	if (word)
		assert_non_null(strstr(s.ro_reason, word));
	else
		assert_string_equal(s.ro_reason, "");
	vd_ufile_free(file);
}

static void extent_headers(void **state)
{
	static const struct {
		u32 version, flags, answer;
		const char *word;
	} cases[] = {
		{ 1, IMG_F_NEWLINE | IMG_F_RGD, 0, NULL },
		{ 2, IMG_F_RGD | IMG_F_ZERO_GTE, 0, NULL },
		{ 3, IMG_F_RGD, VD_LAYOUT_RDONLY | VD_LAYOUT_ONLY_CBT, "version 3" },
		{ 1, IMG_F_RGD | 1U << 9, VD_LAYOUT_RDONLY, "flags" },
		{ 3, IMG_F_RGD | 1U << 9, VD_LAYOUT_RDONLY, "flags" },
		{ 1, IMG_F_COMPRESSED, VD_LAYOUT_RDONLY, "compressed" },
		{ 3, IMG_F_COMPRESSED | IMG_F_MARKERS, VD_LAYOUT_RDONLY, "compressed" },
	};
	struct ut_buf buf;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		sparse_image(&buf, cases[i].version, cases[i].flags, NULL);
		state_is(&buf, VDISK_SEG_VMDK_SPARSE, cases[i].answer, cases[i].word);
		ut_put8(&buf, IMG_H_UNCLEAN, 1);
		state_is(&buf, VDISK_SEG_VMDK_SPARSE, cases[i].answer | VD_LAYOUT_UNCLEAN,
			 cases[i].word);
		state_is(&buf, VDISK_SEG_RAW, 0, NULL);
		ut_buf_free(&buf);
	}
}

/* COWD, also where an old descriptor calls it SPARSE. */
static void extent_headers_cowd(void **state)
{
	struct ut_disk *d = ut_disk_random(UT_MIB, 512, 1, false);
	struct img_cowd form = { 0 };

	img_cowd_write(&form, d);
	state_is(&form.buf, VDISK_SEG_VMDK_COWD, 0, NULL);
	state_is(&form.buf, VDISK_SEG_VMDK_SPARSE, 0, NULL);
	ut_put8(&form.buf, 1648, 1);
	state_is(&form.buf, VDISK_SEG_VMDK_COWD, VD_LAYOUT_UNCLEAN, NULL);
	ut_buf_free(&form.buf);
	ut_disk_free(d);
}

static void extent_headers_damaged(void **state)
{
	struct vd_extent_state s;
	struct vd_error err = { 0 };
	struct vd_file *file = vd_ufile_mem("KDMV", 4, false);

	assert_int_equal(vd_format_vmdk.user->extent(file, VDISK_SEG_VMDK_SPARSE, &s, &err),
			 -EUCLEAN);
	ut_assert_sentence(&err, -EUCLEAN);
	vd_ufile_free(file);
}

/* What the confined child answers is not trusted. */
static void damaged_places(void **state)
{
	static const char text[] = "# Disk DescriptorFile\nversion=3\nCID=123\n"
		"ddb.longContentID=\"" LONG "\"\nddb.uuid.modification=\"" UUID "\"\n"
		"# change tracking\nchangeTrackPath=\"c\"\n" TAIL;
	struct vd_layout *l = ut_parse(text), *copy = ut_xalloc(l->total);
	struct vd_error err;

#define SPOIL(change) do {							\
		memcpy(copy, l, l->total);					\
		change;								\
		memset(&err, 0, sizeof(err));					\
		assert_true(vd_layout_check(copy, l->total, &err) < 0);		\
		ut_assert_sentence(&err, err.code);				\
	} while (0)
	SPOIL(copy->cid_len = 9);
	SPOIL(copy->cid_len = 0xffffffff);
	SPOIL(copy->cid_len = 0);			/* a place without a length */
	SPOIL(copy->cid_pos = UINT64_MAX - 2);
	SPOIL(copy->flags &= ~VD_LAYOUT_HAVE_CID);
	SPOIL(copy->long_cid_len = 31);
	SPOIL(copy->long_cid_len = 33);
	SPOIL(copy->long_cid_pos = 1ULL << 63);
	SPOIL(copy->long_cid_pos = copy->cid_pos - 31);
	SPOIL(copy->mod_uuid_len = 35);
	SPOIL(copy->mod_uuid_len = 37);
	SPOIL(copy->mod_uuid_len = 15);
	SPOIL(copy->mod_uuid_len = 17);
	SPOIL(copy->mod_uuid_pos = UINT64_MAX);
	SPOIL(copy->mod_uuid_pos = copy->cid_pos);
	SPOIL(copy->mod_uuid_pos = copy->long_cid_pos - 35);
	SPOIL(copy->version_pos = UINT64_MAX);
	SPOIL(copy->cbt_len = 1U << 20);
	SPOIL(copy->cbt_len = 0);
	SPOIL(copy->cbt_pos = UINT64_MAX);
	SPOIL(copy->cbt_note_len = (u32)copy->cbt_pos + 1);
	SPOIL(copy->cbt_note_len = 0xffffffff);
	SPOIL(copy->cbt_name = 0);
	SPOIL(copy->cbt_name = copy->pool_len);
	SPOIL(copy->flags &= ~VD_LAYOUT_CBT);
	SPOIL(copy->flags &= ~VD_LAYOUT_RDONLY; copy->ro_reason = 0);
	SPOIL(copy->flags |= VD_LAYOUT_ONLY_CBT << 1);
#undef SPOIL
	/* As bytes, where a format has it so. */
	memcpy(copy, l, l->total);
	copy->mod_uuid_len = 16;
	assert_int_equal(vd_layout_check(copy, l->total, &err), 0);
	free(copy);
	vd_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cid_of_every_width),
		cmocka_unit_test(bom_and_order),
		cmocka_unit_test(modification_uuid),
		cmocka_unit_test(odd_modification_uuid),
		cmocka_unit_test(no_content_id),
		cmocka_unit_test(twice),
		cmocka_unit_test(change_tracking),
		cmocka_unit_test(embedded),
		cmocka_unit_test(extent_headers),
		cmocka_unit_test(extent_headers_cowd),
		cmocka_unit_test(extent_headers_damaged),
		cmocka_unit_test(damaged_places),
	};

	return cmocka_run_group_tests_name("layout-places", tests, NULL, NULL);
}
