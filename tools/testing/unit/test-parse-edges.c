// SPDX-License-Identifier: GPL-2.0-only
/*
 * The edges of each check of a descriptor, one at a time: what is just legal, and
 * the errno and the sentence for what just is not. Often another check stands behind
 * the one meant and would refuse as well, in other words, so the words count.
 */
#include "img-sparse.h"
#include "ut-layout.h"
#include "../../../formats-common/vmdk/descriptor.h"
#include "../../../formats-common/vmdk/vmdk.h"

#define SIGNED	"# Disk DescriptorFile\n"
#define IDS	"CID=12345678\nparentCID=ffffffff\n"
#define HEAD	SIGNED "version=1\n" IDS "createType=\"custom\"\n"	/* 5 lines */
#define FLAT	"RW 2048 FLAT \"f\" 0\n"
#define UUID	"9c164d8e-1e37-447e-a57f-1439b7d6216d"

struct bad {
	const char *text;
	int code;
	const char *word;
};

/* Refused with this errno, and a sentence that has @word. */
static bool refused(const void *data, size_t len, int code, const char *word)
{
	struct vd_layout *l;
	struct vd_error err;
	int ret = ut_layout(data, len, &l, &err);

	vd_free(l);
	if (ret == code && strstr(err.text, word)) {
		ut_assert_sentence(&err, ret);
		return true;
	}
	print_error("layout: %d \"%s\", not %d \"%s\"\n", ret, err.text, code, word);
	return false;
}

static void refuse_all(const struct bad *bad, size_t nr)
{
	unsigned int wrong = 0;
	size_t i;

	for (i = 0; i < nr; i++) {
		if (refused(bad[i].text, strlen(bad[i].text), bad[i].code, bad[i].word))
			continue;
		print_error("that was: %s\n", bad[i].text);
		wrong++;
	}
	assert_int_equal(wrong, 0);
}

static void accept(const char *text)
{
	vd_free(ut_parse(text));
}

static bool warns(const struct vd_layout *l, const char *word)
{
	return l->flags & VD_LAYOUT_WARNING && strstr(vd_layout_str(l, l->warning), word);
}

/* A sparse extent of 1 MiB without a grain, and @area where its descriptor goes. */
static void hosted(struct ut_buf *buf, u32 version, u32 flags, const void *area, size_t len)
{
	struct img_sparse s = { .version = version, .flags = flags | IMG_F_NEWLINE };

	s.gd = 1;
	s.desc = 2;
	s.desc_sectors = img_div_up(len, VD_SECTOR);
	s.overhead = s.desc + s.desc_sectors;
	img_header(&s.buf, 0, &s, 2048, 128, s.gd);
	ut_buf_size(&s.buf, s.overhead * VD_SECTOR);
	ut_put(&s.buf, s.desc * VD_SECTOR, area, len);
	*buf = s.buf;
}

/* --- keys --- */

static void numbers_of_32_bits(void **state)
{
	static const struct bad bad[] = {
		{ SIGNED "version=4294967297\n" IDS FLAT, -EUCLEAN,
		  "line 2: version has the value '4294967297'" },
		{ SIGNED "version=18446744073709551617\n" IDS FLAT, -EUCLEAN,
		  "version has the value '18446744073709551617'" },
		{ SIGNED "version=one\n" IDS FLAT, -EUCLEAN, "version has the value 'one'" },
		{ SIGNED "version=\n" IDS FLAT, -EUCLEAN, "version has the value ''" },
		{ SIGNED "version=4294967295\n" IDS FLAT, -EOPNOTSUPP, "version is 4294967295" },
		{ SIGNED "version=4\n" IDS FLAT, -EOPNOTSUPP, "version is 4, legal is 1 to 3" },
		{ SIGNED "version=0\n" IDS FLAT, -EOPNOTSUPP, "version is 0, legal is 1 to 3" },
	};
	struct vd_layout *l;

	refuse_all(bad, ARRAY_SIZE(bad));
	accept(SIGNED "version=3\n" IDS FLAT);

	/* What is not about the data is left out, and that is said. */
	l = ut_parse(HEAD FLAT "ddb.geometry.cylinders=\"4294967295\"\n");
	assert_int_equal(l->props.pchs.c, 0xffffffff);
	assert_false(l->flags & VD_LAYOUT_WARNING);
	vd_free(l);
	l = ut_parse(HEAD FLAT "ddb.geometry.cylinders=\"4294967300\"\n");
	assert_int_equal(l->props.pchs.c, 0);
	assert_false(l->props.mask & VD_PROP_PCHS);
	assert_true(warns(l, "line 7: ddb.geometry.cylinders has the value '4294967300', ignored"));
	vd_free(l);
	l = ut_parse(HEAD FLAT "ddb.logicalSectorSize=\"4294967808\"\n");
	assert_true(warns(l, "ddb.logicalSectorSize has the value '4294967808', ignored"));
	vd_free(l);
}

static void uuids_that_are_none(void **state)
{
	static const struct { const char *key; u32 flag; } keys[] = {
		{ "ddb.uuid", VD_PROP_UUID },
		{ "ddb.uuid.image", VD_PROP_UUID },
		{ "ddb.uuid.modification", VD_PROP_MOD_UUID },
		{ "ddb.uuid.parent", VD_PROP_PARENT_UUID },
		{ "ddb.uuid.parentmodification", VD_PROP_PARENT_MOD_UUID },
	};
	/* the first is legal; then a digit less, one more, another letter, nothing */
	static const char *const values[] = {
		UUID, "9c164d8e-1e37-447e-a57f-1439b7d6216", UUID "0",
		"9c164d8e-1e37-447e-a57f-1439b7d6216g", "",
	};
	char text[512], said[128];
	struct vd_layout *l;
	size_t k, v;

	for (k = 0; k < ARRAY_SIZE(keys); k++) {
		for (v = 0; v < ARRAY_SIZE(values); v++) {
			snprintf(text, sizeof(text), HEAD FLAT "%s=\"%s\"\n", keys[k].key,
				 values[v]);
			snprintf(said, sizeof(said), "line 7: %s has the value '%s', ignored",
				 keys[k].key, values[v]);
			l = ut_parse(text);
			assert_int_equal(!!(l->props.mask & keys[k].flag), !v);
			assert_int_equal(!!(l->flags & VD_LAYOUT_PARENT), !v && k == 3);
			assert_int_equal(warns(l, said), !!v);
			vd_free(l);
		}
	}
}

static void content_id_that_is_none(void **state)
{
	struct vd_layout *l = ut_parse(HEAD FLAT "ddb.longContentID=\""
				       "c30e9133f6a8e34df61188c51010a8cg\"\n");

	assert_int_equal(l->long_cid_len, 0);
	assert_true(warns(l, "ddb.longContentID has the value"));
	vd_free(l);
	l = ut_parse(HEAD FLAT "ddb.longContentID=\"c30e9133f6a8e34df61188c51010a8cd\"\n");
	assert_int_equal(l->long_cid_len, 32);
	assert_false(l->flags & VD_LAYOUT_WARNING);
	vd_free(l);
}

static void quotes(void **state)
{
	static const struct bad bad[] = {
		{ SIGNED IDS "createType=\"custom\n" FLAT, -EUCLEAN,
		  "line 4: quotes do not match: 'createType=\"custom'" },
		{ SIGNED IDS "createType=custom\"\n" FLAT, -EUCLEAN, "quotes do not match" },
		{ SIGNED IDS "createType=\"\n" FLAT, -EUCLEAN, "quotes do not match" },
		{ SIGNED IDS "createType=\"cus\"tom\"\n" FLAT, -EUCLEAN, "quotes do not match" },
		{ SIGNED IDS "createType=\"custom\"x\n" FLAT, -EUCLEAN, "quotes do not match" },
		{ HEAD "future=\"x\n" FLAT, -EUCLEAN, "quotes do not match" },
		{ HEAD "future=x\"\n" FLAT, -EUCLEAN, "quotes do not match" },
		{ HEAD FLAT "ddb.comment=\"a\n", -EUCLEAN, "quotes do not match" },
		{ HEAD FLAT "ddb.comment=\"\n", -EUCLEAN, "quotes do not match" },
	};
	struct vd_layout *l;

	refuse_all(bad, ARRAY_SIZE(bad));
	accept(SIGNED IDS "createType=custom\n" FLAT);
	accept(HEAD "future=\"\"\n" FLAT);
	/* Users' own quotes, which VirtualBox does not escape. */
	l = ut_parse(HEAD FLAT "ddb.comment=\"a\"b\"\n");
	assert_string_equal(vd_layout_str(l, l->props.comment), "a\"b");
	vd_free(l);
	l = ut_parse(HEAD FLAT "ddb.comment=\"\"\"\n");
	assert_string_equal(vd_layout_str(l, l->props.comment), "\"");
	vd_free(l);
}

/* --- extent lines --- */

static void drive_letters(void **state)
{
	static const char letters[] = "azAZc", others[] = "09@[`{.\xc3";
	char text[512];
	size_t i;

	for (i = 0; letters[i]; i++) {
		snprintf(text, sizeof(text), HEAD "RW 2048 FLAT \"%c:f.vmdk\" 0\n", letters[i]);
		assert_true(refused(text, strlen(text), -EOPNOTSUPP,
				    "line 6: the extent's name is a Windows path"));
		snprintf(text, sizeof(text), HEAD "RW 2048 FLAT \"%c:\" 0\n", letters[i]);
		assert_true(refused(text, strlen(text), -EOPNOTSUPP, "is a Windows path"));
		snprintf(text, sizeof(text), HEAD "RW 2048 FLAT \"%c\" 0\n", letters[i]);
		accept(text);
		snprintf(text, sizeof(text), HEAD "RW 2048 FLAT \"f%c:f\" 0\n", letters[i]);
		accept(text);
		snprintf(text, sizeof(text), HEAD "RW 2048 FLAT \"%cf:f\" 0\n", letters[i]);
		accept(text);
	}
	for (i = 0; others[i]; i++) {
		snprintf(text, sizeof(text), HEAD "RW 2048 FLAT \"%c:f.vmdk\" 0\n", others[i]);
		accept(text);
	}
}

/* No name can be too long that stands in a line of legal length. */
static void longest_name(void **state)
{
	static const char before[] = "RW 2048 FLAT \"";
	char text[sizeof(HEAD) + 2 * VMDK_CAP_LINE];
	u32 len = VMDK_CAP_LINE - (u32)strlen(before) - 1;
	struct vd_layout *l;
	const char *name;

	memset(text, 0, sizeof(text));
	strcpy(text, HEAD);
	strcat(text, before);
	memset(text + strlen(text), 'n', len);
	strcat(text, "\"\n");
	l = ut_parse(text);
	name = vd_layout_str(l, vd_layout_segs(l)[0].name);
	assert_int_equal(strlen(name), len);
	assert_int_equal(strspn(name, "n"), len);
	vd_free(l);

	strcpy(text + strlen(text) - 2, "n\"\n");
	assert_true(refused(text, strlen(text), -EUCLEAN, "line 6 is longer than 4096 bytes"));
}

static void zeros_in_no_file(void **state)
{
	static const struct bad bad[] = {
		{ HEAD "RW 8 ZERO \"f\"\n", -EUCLEAN,
		  "line 6: extent 1: a ZERO extent has no file, but '\"f\"'" },
		{ HEAD FLAT "RW 8 ZERO \"f\" 0\n", -EUCLEAN,
		  "extent 2: a ZERO extent has no file, but '\"f\" 0'" },
		{ HEAD "RW 8 ZERO 0\n", -EUCLEAN, "a ZERO extent has no file, but '0'" },
		{ HEAD "RW 8 ZERO f\n", -EUCLEAN, "a ZERO extent has no file, but 'f'" },
		{ HEAD "NOACCESS 8 ZERO \"f\"\n", -EUCLEAN, "a ZERO extent has no file, but" },
	};

	refuse_all(bad, ARRAY_SIZE(bad));
	accept(HEAD "RW 8 ZERO\n");
	accept(HEAD "RW 8 ZERO \t \n");
	accept(HEAD "NOACCESS 8 ZERO\n");
}

static void names_in_quotes(void **state)
{
	static const struct bad bad[] = {
		{ HEAD "RW 8 FLAT\n", -EUCLEAN,
		  "line 6: extent 1: needs a file name in quotes, found ''" },
		{ HEAD "RW 8 SPARSE\n", -EUCLEAN, "needs a file name in quotes, found ''" },
		{ HEAD "RW 8 FLAT f 0\n", -EUCLEAN, "needs a file name in quotes, found 'f 0'" },
		{ HEAD "RW 8 FLAT 0\n", -EUCLEAN, "needs a file name in quotes, found '0'" },
		{ HEAD "RW 8 FLAT f\" 0\n", -EUCLEAN, "needs a file name in quotes" },
		{ HEAD "RW 8 FLAT \"f 0\n", -EUCLEAN, "needs a file name in quotes" },
		{ HEAD "RW 8 FLAT \"f\"0\n", -EUCLEAN, "needs a file name in quotes" },
		{ HEAD "RW 8 FLAT \"\n", -EUCLEAN, "needs a file name in quotes" },
		{ HEAD "RW 8 FLAT \"\"\n", -EUCLEAN, "needs a file name in quotes" },
		{ HEAD "RW 8 FLAT \"\" 0\n", -EUCLEAN, "needs a file name in quotes" },
		{ HEAD "NOACCESS 8 FLAT f\n", -EUCLEAN, "needs a file name in quotes" },
		{ HEAD "NOACCESS 8 FLAT \"\"\n", -EUCLEAN, "needs a file name in quotes" },
	};

	refuse_all(bad, ARRAY_SIZE(bad));
	accept(HEAD "RW 8 FLAT \"f\"\n");
	accept(HEAD "RW 8 FLAT \" \" 0\n");
	accept(HEAD "NOACCESS 8 FLAT\n");
}

static void sizes(void **state)
{
	/* the wrapped ones are 1 sector, 64 TiB and 0 if only bytes are looked at */
	static const char *const bad[] = {
		"0", "000", "137438953473", "36028797018963969", "36028934457917440",
		"36028797018963968", "18446744073709551615", "18446744073709551617", "-1",
		"+1", "0x10", "8s", "x",
	};
	char text[512], said[128];
	struct vd_layout *l;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(text, sizeof(text), HEAD "RW %s ZERO\n", bad[i]);
		snprintf(said, sizeof(said),
			 "line 6: extent 1: size must be 1 sector to 64 TiB, found '%s'", bad[i]);
		assert_true(refused(text, strlen(text), -EUCLEAN, said));
	}
	l = ut_parse(HEAD "RW 1 ZERO\n");
	assert_true(l->props.size == 512);
	vd_free(l);
	l = ut_parse(HEAD "RW 137438953472 ZERO\n");
	assert_true(l->props.size == 1ULL << 46);
	vd_free(l);
	/* Together they have one too many. */
	assert_true(refused(HEAD "RW 137438953472 ZERO\nRW 1 ZERO\n",
			    strlen(HEAD "RW 137438953472 ZERO\nRW 1 ZERO\n"), -EOPNOTSUPP,
			    "64 TiB"));
}

/* Whatever the text says that it is. */
static void devices(void **state)
{
	static const struct bad bad[] = {
		{ HEAD "RW 8 VMFSRDM \"f\"\n", -EOPNOTSUPP,
		  "line 6: extent 1 is a device or a raw device mapping" },
		{ HEAD "RW 8 VMFSRAW \"f\"\n", -EOPNOTSUPP,
		  "line 6: extent 1 is a device or a raw device mapping" },
		{ HEAD "RW 8 vmfsrdm \"f\" 0\n", -EOPNOTSUPP, "extent 1 is a device" },
		{ HEAD "RW 8 VMFSRDM\n", -EOPNOTSUPP, "extent 1 is a device" },
		{ HEAD "NOACCESS 8 VMFSRDM\n", -EOPNOTSUPP, "extent 1 is a device" },
		{ HEAD "NOACCESS 8 VMFSRAW \"f\"\n", -EOPNOTSUPP, "extent 1 is a device" },
		{ HEAD FLAT "RW 8 VMFSRAW \"f\"\n", -EOPNOTSUPP, "extent 2 is a device" },
		{ HEAD "RW 8 FLAT \"f\" 0 part\n", -EOPNOTSUPP, "extent 1 is a device" },
		{ HEAD "RW 8 VMFSRA \"f\"\n", -EOPNOTSUPP, "unknown type 'VMFSRA'" },
		{ HEAD "RW 8 FLAT \"/dev/sda\" 0\n", -EOPNOTSUPP,
		  "line 6: the extent is a device; attach" },
		{ HEAD "RW 8 FLAT \"/dev/\" 0\n", -EOPNOTSUPP, "the extent is a device; attach" },
		{ HEAD "RW 8 FLAT \"\\\\.\\D0\" 0\n", -EOPNOTSUPP, "the extent is a device; attach" },
	};

	refuse_all(bad, ARRAY_SIZE(bad));
	accept(HEAD "RW 8 VMFS \"f\"\n");
	accept(HEAD "RW 8 FLAT \"/dev\" 0\n");
	accept(HEAD "RW 8 FLAT \"x/dev/sda\" 0\n");
}

/* Each has a line, so the cap of lines is theirs too. */
static void as_many_extents_as_lines(void **state)
{
	char *text = ut_xalloc(VMDK_CAP_DESCRIPTOR);
	struct ut_buf buf;
	struct vd_layout *l;
	size_t len;
	u32 i;

	len = (size_t)sprintf(text, "RW 8 SPARSE \"x\"");
	for (i = 1; i < VMDK_CAP_LINES; i++)
		len += (size_t)sprintf(text + len, "\nRW %u ZERO", i);
	hosted(&buf, 1, 0, text, len);
	l = ut_parse_bytes(buf.data, buf.len);
	assert_int_equal(l->nr_segs, VDISK_MAX_SEGMENTS);
	for (i = 1; i < VMDK_CAP_LINES; i++)
		assert_true(vd_layout_segs(l)[i].len == i * 512ULL);
	vd_free(l);
	ut_buf_free(&buf);

	/* The end of the last line makes no line of what pads the area. */
	len += (size_t)sprintf(text + len, "\n");
	hosted(&buf, 1, 0, text, len);
	vd_free(ut_parse_bytes(buf.data, buf.len));
	ut_buf_free(&buf);

	len += (size_t)sprintf(text + len, "RW 8 ZERO");
	hosted(&buf, 1, 0, text, len);
	assert_true(refused(buf.data, buf.len, -EOPNOTSUPP, "more than 4096 lines"));
	ut_buf_free(&buf);
	free(text);
}

/* --- the text itself --- */

static void control_characters(void **state)
{
	/* what comes before and after the character: a comment, a value that nobody reads */
	static const char *const forms[][2] = { { "# a", "b\n" }, { "future=\"a", "b\"\n" } };
	char text[512], said[128];
	u32 form;
	int c;

	for (form = 0; form < ARRAY_SIZE(forms); form++) {
		for (c = 1; c < 256; c++) {
			if (c == '\n' || (c == '"' && form))
				continue;
			snprintf(text, sizeof(text), HEAD "%s%c%s" FLAT, forms[form][0], c,
				 forms[form][1]);
			snprintf(said, sizeof(said),
				 "line 6: control character 0x%02x: not a text", c);
			if (c == '\t' || (c >= 0x20 && c != 0x7f))
				accept(text);
			else
				assert_true(refused(text, strlen(text), -EUCLEAN, said));
		}
	}
	accept(HEAD "# a\r\n" FLAT);
	assert_true(refused(HEAD "# a\r\r\n" FLAT, strlen(HEAD "# a\r\r\n" FLAT), -EUCLEAN,
			    "control character 0x0d"));
}

/* A text may end anywhere, and what lies behind it is not its own. */
static void signature_cut_short(void **state)
{
	static const struct { const char *text; u32 len; } cases[] = {
		{ "version=1\n", 8 }, { "version =1\n", 9 }, { "\r\nVersion\t=", 11 },
		{ "\xef\xbb\xbfversion=1\n", 11 }, { SIGNED, 21 },
		{ "#diskdescriptorfile", 19 },
	};
	u32 i, len;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		for (len = 0; len < cases[i].len; len++)
			assert_false(vmdk_descriptor_signature(cases[i].text, len));
		for (; len <= strlen(cases[i].text); len++)
			assert_true(vmdk_descriptor_signature(cases[i].text, len));
	}
	assert_false(vmdk_descriptor_signature("version \n=1\n", 12));
}

/* One byte decides: no other cap is near. */
static void text_of_a_mebibyte(void **state)
{
	size_t room = VMDK_CAP_DESCRIPTOR + 1, at = strlen(HEAD FLAT);
	char *text = ut_xalloc(room);
	struct vd_error err = { 0 };
	struct vmdk_descriptor d;
	size_t n;

	memset(text, '#', room);
	memcpy(text, HEAD FLAT, at);
	for (n = at + 1000; n < room; n += 1000)
		text[n] = '\n';
	assert_int_equal(vmdk_descriptor_parse(text, VMDK_CAP_DESCRIPTOR, &d, &err), 0);
	assert_int_equal(d.nr_lines, 1);
	vmdk_descriptor_free(&d);
	assert_int_equal(vmdk_descriptor_parse(text, room, &d, &err), -EOPNOTSUPP);
	assert_int_equal(d.nr_lines, 0);
	ut_assert_sentence(&err, -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "descriptor of 1048577 bytes"));
	vmdk_descriptor_free(&d);
	free(text);
}

/* --- where the texts stand --- */

static void modification_uuid(void **state)
{
	/* 32 digits and dashes, one of which is elsewhere, or one thing more */
	static const char *const forms[] = {
		"9c164d8-e1e37-447e-a57f-1439b7d6216d", "9c164d8e-1e374-47e-a57f-1439b7d6216d",
		"9c164d8e-1e3-7447e-a57f-1439b7d6216d", "9c164d8e-1e37-447ea-57f-1439b7d6216d",
		"9c164d8e-1e37-447e-a57f1-439b7d6216d", "9c164d8e-1e37-447e-a57-f1439b7d6216d",
		UUID "-", UUID "}", "9c164d8e-1e37-447e-a57f-1439b7d6216-d",
		"9c164d8e-1e37-447e-a57f-1439b7 d6216d",
	};
	char text[512];
	struct vd_layout *l;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(forms); i++) {
		snprintf(text, sizeof(text), HEAD FLAT "ddb.uuid.modification=\"%s\"\n", forms[i]);
		l = ut_parse(text);
		assert_true(l->props.mask & VD_PROP_MOD_UUID);
		assert_int_equal(l->mod_uuid_len, 0);
		assert_true(!l->mod_uuid_pos);
		assert_true(warns(l, "does not renew"));
		vd_free(l);
	}
	l = ut_parse(HEAD FLAT "ddb.uuid.modification=\"" UUID "\"\n");
	assert_int_equal(l->mod_uuid_len, 36);
	assert_true(l->mod_uuid_pos == strlen(HEAD FLAT "ddb.uuid.modification=\""));
	assert_false(l->flags & VD_LAYOUT_WARNING);
	vd_free(l);
}

/* --- the header around a text --- */

#define INSIDE	SIGNED "version=1\n" IDS "createType=\"monolithicSparse\"\nRW 2048 SPARSE \"x\"\n"

/* A descriptor whose first sector has @odd bytes that are @c in a comment. */
static void hosted_odd(struct ut_buf *buf, u32 version, char c, u32 odd)
{
	char area[1024] = INSIDE "#";
	size_t at = strlen(area);

	assert_true(at + odd < VD_SECTOR);
	memset(area + at, c, odd);
	area[at + odd] = '\n';
	/* In the second sector they do not count. */
	memset(area + at + odd + 1, '#', VD_SECTOR - at - odd - 1);
	memset(area + VD_SECTOR, '\xe4', VD_SECTOR - 1);
	hosted(buf, version, 0, area, sizeof(area));
}

static void noise_or_text(void **state)
{
	static const struct { u32 version; char c; u32 odd; const char *word; } cases[] = {
		{ 2, '\xe4', 128, NULL }, { 2, '\xe4', 129, "encrypted by VMware" },
		{ 2, '\x80', 129, "encrypted by VMware" }, { 2, '\x7e', 129, NULL },
		{ 2, '\t', 300, NULL }, { 2, '\n', 300, NULL },
		{ 2, '\x1f', 129, "encrypted by VMware" }, { 2, '\x1f', 128, "character 0x1f" },
		{ 1, '\xe4', 129, NULL }, { 1, '\xe4', 300, NULL },
		{ 3, '\xe4', 300, NULL }, { 1, '\x1f', 129, "character 0x1f" },
	};
	struct ut_buf buf;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		hosted_odd(&buf, cases[i].version, cases[i].c, cases[i].odd);
		if (!cases[i].word)
			vd_free(ut_parse_bytes(buf.data, buf.len));
		else
			assert_true(refused(buf.data, buf.len,
					    strstr(cases[i].word, "encrypt") ?
					    -EOPNOTSUPP : -EUCLEAN, cases[i].word));
		ut_buf_free(&buf);
	}
}

static void one_of_several_files(void **state)
{
	static const char said[] = "one extent of a disk in several files";
	struct ut_buf buf;

	hosted(&buf, 1, 0, "", 0);
	assert_true(refused(buf.data, buf.len, -EOPNOTSUPP, said));
	ut_buf_free(&buf);
	/* Half a place is none. */
	hosted(&buf, 1, 0, INSIDE, strlen(INSIDE));
	vd_free(ut_parse_bytes(buf.data, buf.len));
	ut_put64(&buf, IMG_H_DESC, 0);
	assert_true(refused(buf.data, buf.len, -EOPNOTSUPP, said));
	ut_put64(&buf, IMG_H_DESC, 2);
	ut_put64(&buf, IMG_H_DESC_SIZE, 0);
	assert_true(refused(buf.data, buf.len, -EOPNOTSUPP, said));
	ut_buf_free(&buf);
	/* There is a text, but it is empty: that is damage. */
	hosted(&buf, 1, 0, "", 1);
	assert_true(refused(buf.data, buf.len, -EUCLEAN, "lists no extents"));
	ut_buf_free(&buf);
}

/* Version 3 means tracking, but not in a stream, where it is the usual one. */
static void tracked(void **state)
{
	struct vmdk_header h = { .version = 3 };
	struct vd_layout *l;
	struct ut_buf buf;

	assert_true(vmdk_header_tracked(&h));
	h.flags = VMDK_FLAG_COMPRESSED | VMDK_FLAG_MARKERS;
	assert_false(vmdk_header_tracked(&h));
	h = (struct vmdk_header){ .version = 2 };
	assert_false(vmdk_header_tracked(&h));

	hosted(&buf, 3, IMG_F_COMPRESSED | IMG_F_MARKERS, INSIDE, strlen(INSIDE));
	l = ut_parse_bytes(buf.data, buf.len);
	assert_int_equal(l->flags & (VD_LAYOUT_RDONLY | VD_LAYOUT_ONLY_CBT), VD_LAYOUT_RDONLY);
	assert_non_null(strstr(vd_layout_str(l, l->ro_reason), "compressed"));
	vd_free(l);
	ut_buf_free(&buf);
}

/* --- probes --- */

static const char *probed(const struct ut_buf *buf, size_t len)
{
	struct vd_file *file = vd_ufile_mem(buf->data, len, false);
	struct vd_probe probe = { 0 };

	assert_int_equal(vd_format_vmdk.probe(file, &probe), 0);
	assert_int_equal(probe.score, 100);
	vd_ufile_free(file);
	return probe.subformat;
}

static void probes_by_name(void **state)
{
	struct ut_buf buf;

	hosted(&buf, 3, IMG_F_COMPRESSED | IMG_F_MARKERS, INSIDE, strlen(INSIDE));
	assert_string_equal(probed(&buf, buf.len), "streamOptimized");
	assert_string_equal(probed(&buf, 512), "streamOptimized");
	assert_string_equal(probed(&buf, 511), "sparse");	/* flags of no whole header */
	ut_put32(&buf, IMG_H_FLAGS, IMG_F_NEWLINE);
	assert_string_equal(probed(&buf, 512), "sparse");
	memcpy(buf.data, "kdmv", 4);
	assert_string_equal(probed(&buf, 512), "sparse");
	memcpy(buf.data, "COWD", 4);
	assert_string_equal(probed(&buf, 512), "vmfsSparse");
	ut_buf_free(&buf);
	ut_put(&buf, 0, HEAD FLAT, strlen(HEAD FLAT));
	assert_string_equal(probed(&buf, buf.len), "descriptor");
	ut_buf_free(&buf);
}

static void probe_without_memory(void **state)
{
	struct vd_file *file = vd_ufile_mem(HEAD FLAT, strlen(HEAD FLAT), false);
	struct vd_probe probe = { .score = 7 };
	int ret;

	ut_alloc_start(1, true);
	ret = vd_format_vmdk.probe(file, &probe);
	ut_alloc_stop();
	assert_int_equal(ret, -ENOMEM);
	assert_int_equal(ut_alloc.failed, 1);
	assert_int_equal(probe.score, 0);
	assert_int_equal(vd_format_vmdk.probe(file, &probe), 0);
	assert_int_equal(probe.score, 100);
	vd_ufile_free(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_of_32_bits),
		cmocka_unit_test(uuids_that_are_none),
		cmocka_unit_test(content_id_that_is_none),
		cmocka_unit_test(quotes),
		cmocka_unit_test(drive_letters),
		cmocka_unit_test(longest_name),
		cmocka_unit_test(zeros_in_no_file),
		cmocka_unit_test(names_in_quotes),
		cmocka_unit_test(sizes),
		cmocka_unit_test(devices),
		cmocka_unit_test(as_many_extents_as_lines),
		cmocka_unit_test(control_characters),
		cmocka_unit_test(signature_cut_short),
		cmocka_unit_test(text_of_a_mebibyte),
		cmocka_unit_test(modification_uuid),
		cmocka_unit_test(noise_or_text),
		cmocka_unit_test(one_of_several_files),
		cmocka_unit_test(tracked),
		cmocka_unit_test(probes_by_name),
		cmocka_unit_test(probe_without_memory),
	};

	return cmocka_run_group_tests_name("parse-edges", tests, NULL, NULL);
}
