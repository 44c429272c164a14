// SPDX-License-Identifier: GPL-2.0-only
/*
 * Setting properties: the values that were asked for and not one other byte, or a
 * sentence and no byte at all; and a crash leaves the old ones or the new ones. What is
 * expected is written down here by hand.
 */
#include "img-esx.h"
#include "img-sparse.h"
#include "ut-layout.h"
#include "ut-tape.h"
#include "../../../formats-common/vmdk/edit.h"

#define HEAD	"# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n" \
		"createType=\"monolithicFlat\"\nRW 2048 FLAT \"a\" 0\n"
#define UUID	"00112233-4455-6677-8899-aabbccddeeff"

static const u8 uuid[16] = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
			     0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff };

/* --- texts --- */

struct edit_case {
	const char *before;
	struct vmdk_change changes[3];
	u32 nr;
	const char *after;
};

static void edit_ok(const struct edit_case *c)
{
	struct vd_error err = { 0 };
	char *out = NULL;
	u32 len = 0;

	assert_int_equal(vmdk_edit(c->before, (u32)strlen(c->before), c->changes, c->nr, &out,
				   &len, &err), 0);
	assert_string_equal(out, c->after);
	assert_int_equal(len, strlen(c->after));
	vd_free(out);
}

#define C(v)	{ { "ddb.comment", v } }, 1

static void edits(void **state)
{
	static const struct edit_case cases[] = {
		/* the value, and nothing around it */
		{ "a=1\nddb.comment = \"old\"\nb=2\n", C("new"),
		  "a=1\nddb.comment = \"new\"\nb=2\n" },
		{ "\tDDB.Comment\t=  \"old\"  \nb=2\n", C("new"),
		  "\tDDB.Comment\t=  \"new\"  \nb=2\n" },
		{ "ddb.comment=old\r\nb=2\n", C("new"), "ddb.comment=\"new\"\r\nb=2\n" },
		{ "ddb.comment=", C("new"), "ddb.comment=\"new\"" },
		{ "ddb.comment = \r\n", C("new"), "ddb.comment =\"new\" \r\n" },
		{ "ddb.comment=\"a\"b\"\n", C("new"), "ddb.comment=\"new\"\n" },
		/* twice there: both */
		{ "ddb.comment=\"1\"\nx=1\nddb.comment=\"2\"\n", C("new"),
		  "ddb.comment=\"new\"\nx=1\nddb.comment=\"new\"\n" },
		{ "ddb.comment=\"1\"\nx=1\nddb.comment=\"2\"\n", C(NULL), "x=1\n" },
		/* what only looks like it */
		{ "#ddb.comment=\"1\"\nRW 8 FLAT \"ddb.comment=\" 0\nddb.commentary=\"2\"\n"
		  "ddb.a=\"ddb.comment=3\"\n", C("new"),
		  "#ddb.comment=\"1\"\nRW 8 FLAT \"ddb.comment=\" 0\nddb.commentary=\"2\"\n"
		  "ddb.a=\"ddb.comment=3\"\nddb.comment = \"new\"\n" },
		{ "x=1\n", C(NULL), "x=1\n" },
		/* behind the last line of the data base, with its line end */
		{ "ddb.a=\"1\"\nddb.b=\"2\"\n\n# end\nx=1\n", C("new"),
		  "ddb.a=\"1\"\nddb.b=\"2\"\nddb.comment = \"new\"\n\n# end\nx=1\n" },
		{ "ddb.a=\"1\"\r\nx=1\r\n", C("new"),
		  "ddb.a=\"1\"\r\nddb.comment = \"new\"\r\nx=1\r\n" },
		{ "x=1\r\nddb.a=\"1\"\ny=1\r\n", C("new"),
		  "x=1\r\nddb.a=\"1\"\nddb.comment = \"new\"\ny=1\r\n" },
		{ "x=1\nddb.a=\"1\"", C("new"), "x=1\nddb.a=\"1\"\nddb.comment = \"new\"\n" },
		{ "x=1\r\nddb.a=\"1\"", C("new"),
		  "x=1\r\nddb.a=\"1\"\r\nddb.comment = \"new\"\r\n" },
		/* no data base yet */
		{ "x=1\n", C("new"),
		  "x=1\n\n# The Disk Data Base\n#DDB\n\nddb.comment = \"new\"\n" },
		{ "x=1", C("new"), "x=1\n\n# The Disk Data Base\n#DDB\n\nddb.comment = \"new\"\n" },
		/* a byte order mark */
		{ "\xef\xbb\xbf" "ddb.comment=\"1\"\n", C("new"),
		  "\xef\xbb\xbf" "ddb.comment=\"new\"\n" },
		/* several: one there, one new, one that goes and was the last */
		{ "ddb.a=\"1\"\nddb.c=\"3\"\n",
		  { { "ddb.a", "x" }, { "ddb.b", "y" }, { "ddb.c", NULL } }, 3,
		  "ddb.a=\"x\"\nddb.b = \"y\"\n" },
		{ "ddb.c=\"3\"", { { "ddb.b", "y" }, { "ddb.c", NULL } }, 2, "ddb.b = \"y\"\n" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++)
		edit_ok(&cases[i]);
}

/* What is behind the first NUL is not the text's. */
static void edit_ends(void **state)
{
	static const struct vmdk_change change = { "ddb.b", "y" };
	static const char text[] = "ddb.a=\"1\"\n\0ddb.b=\"2\"\n";
	struct vd_error err = { 0 };
	char *out;
	u32 len;

	assert_int_equal(vmdk_edit(text, sizeof(text) - 1, &change, 1, &out, &len, &err), 0);
	assert_string_equal(out, "ddb.a=\"1\"\nddb.b = \"y\"\n");
	vd_free(out);
}

static void edit_grows_too_long(void **state)
{
	static const struct vmdk_change change = { "ddb.b", "y" };
	u32 len = VMDK_CAP_DESCRIPTOR, new_len;
	char *text = ut_xalloc(len + 1), *out;
	struct vd_error err = { 0 };

	memset(text, '#', len);
	memcpy(text, "ddb.a=\"1\"\n", 10);
	assert_int_equal(vmdk_edit(text, len, &change, 1, &out, &new_len, &err), -E2BIG);
	assert_null(out);
	ut_assert_sentence(&err, -E2BIG);
	/* `ddb.b = "y"` and its line end are 12 bytes. */
	assert_int_equal(vmdk_edit(text, len - 12, &change, 1, &out, &new_len, &err), 0);
	assert_int_equal(new_len, len);
	vd_free(out);
	free(text);
}

/* --- files --- */

/* What a file holds after it was asked for @want, or the answer. */
struct outcome {
	int ret;
	struct vd_error err;
	struct ut_buf after;
	bool in_place;
};

static void outcome_free(struct outcome *o)
{
	ut_buf_free(&o->after);
}

static struct outcome set_bytes(const struct vd_format *format, const void *data, size_t len,
				const struct vd_props *want, const char *pool)
{
	struct vd_file *file = vd_ufile_mem(data, len, true);
	struct vd_content content = { NULL, 0 };
	struct vd_layout *now = NULL;
	struct outcome o = { 0 };
	const void *in_file;
	size_t after_len;

	assert_non_null(file);
	o.ret = format->user->layout(file, &now, &o.err);
	if (o.ret)
		fail_msg("layout: %s", o.err.text);
	o.ret = format->user->set_props(file, now, want, pool, &content, &o.err);
	in_file = vd_ufile_mem_data(file, &after_len);
	ut_put(&o.after, 0, in_file, after_len);
	o.in_place = !content.data;
	assert_int_equal(!content.data, !content.len);
	if (o.ret || content.data) {
		/* A file that is to be replaced is left alone. */
		assert_int_equal(o.after.len, len);
		assert_memory_equal(o.after.data, data, len);
	}
	if (o.ret)
		assert_null(content.data);
	if (content.data) {
		ut_buf_size(&o.after, 0);
		ut_put(&o.after, 0, content.data, content.len);
	}
	vd_free(content.data);
	vd_free(now);
	vd_ufile_free(file);
	return o;
}

static void set_gives(const char *before, const struct vd_props *want, const char *pool,
		      const char *after)
{
	struct outcome o = set_bytes(&vd_format_vmdk, before, strlen(before), want, pool);

	if (o.ret)
		fail_msg("%d %s", o.ret, o.err.text);
	assert_int_equal(o.after.len, strlen(after));
	assert_memory_equal(o.after.data, after, strlen(after));
	outcome_free(&o);
}

static void refused_with(const struct vd_format *format, const void *data, size_t len,
			 const struct vd_props *want, const char *pool, int code, const char *words)
{
	struct outcome o = set_bytes(format, data, len, want, pool);

	assert_int_equal(o.ret, code);
	ut_assert_sentence(&o.err, code);
	if (!strstr(o.err.text, words))
		fail_msg("'%s' does not say '%s'", o.err.text, words);
	outcome_free(&o);
}

static struct vd_props want_comment(const char *pool)
{
	return (struct vd_props) { .mask = VD_PROP_COMMENT, .comment = pool ? 1 : 0 };
}

static struct vd_props want_chs(u32 which, u32 c, u32 h, u32 s)
{
	struct vd_props p = { .mask = which };

	*(which == VD_PROP_PCHS ? &p.pchs : &p.lchs) = (struct vd_chs) { c, h, s };
	return p;
}

static void comments(void **state)
{
	static const struct { const char *plain, *spelled; } cases[] = {
		{ "\0plain", "plain" },
		{ "\0two\nlines\r\n", "two\\nlines\\r\\n" },
		{ "\0back\\slash", "back\\\\slash" },
		{ "\0tab\there", "tab\there" },
		{ "\0gr\xc3\xbc\xc3\x9f dich \xf0\x9f\x92\xbe",
		  "gr\xc3\xbc\xc3\x9f dich \xf0\x9f\x92\xbe" },
		{ "\0 blanks ", " blanks " },
	};
	struct vd_props want = want_comment("");
	char before[2048], after[2048];
	struct vd_layout *l;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		snprintf(before, sizeof(before), HEAD "ddb.comment = \"x\"\n");
		snprintf(after, sizeof(after), HEAD "ddb.comment = \"%s\"\n", cases[i].spelled);
		set_gives(before, &want, cases[i].plain, after);
		l = ut_parse(after);
		assert_string_equal(vd_layout_str(l, l->props.comment), cases[i].plain + 1);
		vd_free(l);
	}
	want = want_comment(NULL);
	set_gives(HEAD "ddb.comment = \"x\"\nddb.a=\"1\"\n", &want, "", HEAD "ddb.a=\"1\"\n");
}

static void comments_refused(void **state)
{
	static const char *const bad[] = {
		"\0a\"b", "\0bell\a", "\0del\x7f",
	};
	static const char *const no_utf8[] = {
		"\0\x80", "\0\xc1\x81", "\0\xc3", "\0\xe0\x80\x80", "\0\xed\xa0\x80",
		"\0\xf0\x8f\xbf\xbf",
		"\0\xf4\x90\x80\x80", "\0\xf5\x80\x80\x80", "\0\xff", "\0\xe2\x82", "\0\xc3(",
	};
	const struct vd_props want = want_comment("");
	char pool[1100] = "";
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		refused_with(&vd_format_vmdk, HEAD, strlen(HEAD), &want, bad[i], -EINVAL,
			     "cannot spell");
	for (i = 0; i < ARRAY_SIZE(no_utf8); i++)
		refused_with(&vd_format_vmdk, HEAD, strlen(HEAD), &want, no_utf8[i], -EINVAL,
			     "no UTF-8 at byte 0");
	/* 1024 bytes as they stand there; a backslash is two of them. */
	memset(pool + 1, 'x', 1025);
	refused_with(&vd_format_vmdk, HEAD, strlen(HEAD), &want, pool, -EINVAL, "1024");
	pool[1024] = '\\';
	pool[1025] = '\0';
	refused_with(&vd_format_vmdk, HEAD, strlen(HEAD), &want, pool, -EINVAL, "1024");
	pool[1023] = '\\';
	pool[1024] = '\0';
	{
		struct outcome o = set_bytes(&vd_format_vmdk, HEAD, strlen(HEAD), &want, pool);

		assert_int_equal(o.ret, 0);
		outcome_free(&o);
	}
}

static void comments_in_other_encodings(void **state)
{
	const struct vd_props want = want_comment("");
	static const char latin[] = HEAD "encoding=\"windows-1252\"\nddb.comment=\"\xe4\"\n";

	refused_with(&vd_format_vmdk, latin, strlen(latin), &want, "\0gr\xc3\xbc\xc3\x9f", -EINVAL,
		     "windows-1252");
	set_gives(latin, &want, "\0ASCII",
		  HEAD "encoding=\"windows-1252\"\nddb.comment=\"ASCII\"\n");
	set_gives(HEAD "encoding=\"utf-8\"\n", &want, "\0\xc3\xbc",
		  HEAD "encoding=\"utf-8\"\n\n# The Disk Data Base\n#DDB\n\n"
		  "ddb.comment = \"\xc3\xbc\"\n");
}

#define PCHS(c, h, s)	"ddb.geometry.cylinders = \"" c "\"\nddb.geometry.heads = \"" h \
			"\"\nddb.geometry.sectors = \"" s "\"\n"
#define LCHS(c, h, s)	"ddb.geometry.biosCylinders = \"" c "\"\nddb.geometry.biosHeads = \"" h \
			"\"\nddb.geometry.biosSectors = \"" s "\"\n"

static void geometries(void **state)
{
	static const char old[] = HEAD PCHS("20", "16", "63");
	struct vd_props want = want_chs(VD_PROP_PCHS, 16383, 16, 63);

	set_gives(old, &want, "", HEAD PCHS("16383", "16", "63"));
	want = want_chs(VD_PROP_PCHS, 1, 1, 1);
	set_gives(old, &want, "", HEAD PCHS("1", "1", "1"));
	want = want_chs(VD_PROP_PCHS, 0, 0, 0);
	set_gives(old, &want, "", HEAD);
	want = want_chs(VD_PROP_LCHS, 1024, 255, 63);
	set_gives(old, &want, "", HEAD PCHS("20", "16", "63") LCHS("1024", "255", "63"));
	want.mask |= VD_PROP_PCHS;
	set_gives(old, &want, "", HEAD LCHS("1024", "255", "63"));
	/* Not all of it was there. */
	want = want_chs(VD_PROP_PCHS, 7, 8, 9);
	set_gives(HEAD "ddb.geometry.heads = \"1\"\n", &want, "",
		  HEAD "ddb.geometry.heads = \"8\"\nddb.geometry.cylinders = \"7\"\n"
		  "ddb.geometry.sectors = \"9\"\n");
	/* A SCSI disk has more heads and cylinders than an IDE disk. */
	want = want_chs(VD_PROP_PCHS, 4294967295U, 255, 63);
	set_gives(HEAD "ddb.adapterType=\"lsilogic\"\n" PCHS("1", "1", "1"), &want, "",
		  HEAD "ddb.adapterType=\"lsilogic\"\n" PCHS("4294967295", "255", "63"));
}

static void geometries_refused(void **state)
{
	static const struct { u32 which, c, h, s; } bad[] = {
		{ VD_PROP_PCHS, 16384, 16, 63 }, { VD_PROP_PCHS, 1, 17, 63 },
		{ VD_PROP_PCHS, 1, 16, 64 }, { VD_PROP_PCHS, 1, 0, 1 }, { VD_PROP_PCHS, 1, 1, 0 },
		{ VD_PROP_LCHS, 1025, 255, 63 }, { VD_PROP_LCHS, 1, 256, 63 },
		{ VD_PROP_LCHS, 1, 255, 64 }, { VD_PROP_LCHS, 1, 0, 1 }, { VD_PROP_LCHS, 1, 1, 0 },
	};
	static const char scsi[] = HEAD "ddb.adapterType=\"lsilogic\"\n";
	struct vd_props want;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		want = want_chs(bad[i].which, bad[i].c, bad[i].h, bad[i].s);
		refused_with(&vd_format_vmdk, HEAD, strlen(HEAD), &want, "", -EINVAL,
			     bad[i].which == VD_PROP_PCHS ? "16383/16/63" : "1024/255/63");
	}
	want = want_chs(VD_PROP_PCHS, 1, 256, 63);
	refused_with(&vd_format_vmdk, scsi, strlen(scsi), &want, "", -EINVAL, "/255/63");
}

static void uuids(void **state)
{
	static const char child[] =
		"# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=00000001\n"
		"createType=\"monolithicSparse\"\nparentFileNameHint=\"p.vmdk\"\n"
		"RW 2048 SPARSE \"a\"\nddb.uuid.parent=\"10112233-4455-6677-8899-aabbccddeeff\"\n"
		"ddb.uuid = \"60 00 C2 9a 1d 7b 49 44-dc 53 e6 d3 e5 89 7b 0d\"\n";
	struct vd_props want = { .mask = VD_PROP_UUID | VD_PROP_MOD_UUID | VD_PROP_PARENT_UUID |
					 VD_PROP_PARENT_MOD_UUID };
	struct vd_layout *l;
	struct outcome o;

	memcpy(want.uuid, uuid, 16);
	memcpy(want.mod_uuid, uuid, 16);
	memcpy(want.parent_uuid, uuid, 16);
	memcpy(want.parent_mod_uuid, uuid, 16);
	want.mod_uuid[0] = 0xa1;
	want.parent_uuid[0] = 0xa2;
	want.parent_mod_uuid[0] = 0xa3;
	o = set_bytes(&vd_format_vmdk, child, strlen(child), &want, "");
	assert_int_equal(o.ret, 0);
	l = ut_parse_bytes(o.after.data, o.after.len);
	assert_memory_equal(l->props.uuid, want.uuid, 16);
	assert_memory_equal(l->props.mod_uuid, want.mod_uuid, 16);
	assert_memory_equal(l->props.parent_uuid, want.parent_uuid, 16);
	assert_memory_equal(l->props.parent_mod_uuid, want.parent_mod_uuid, 16);
	assert_int_equal(l->cid, 0x12345678);
	assert_int_equal(l->parent_cid, 1);
	/* VMware's identity of the disk is not VirtualBox' of the image. */
	ut_put8(&o.after, o.after.len, 0);
	assert_non_null(strstr((char *)o.after.data, "\nddb.uuid = \"60 00 C2 9a 1d 7b 49 44-dc 53 "));
	assert_non_null(strstr((char *)o.after.data, "\nddb.uuid.image = \"" UUID "\"\n"));
	assert_non_null(strstr((char *)o.after.data,
			       "\nddb.uuid.parent=\"a2112233-4455-6677-8899-aabbccddeeff\"\n"));
	vd_free(l);
	outcome_free(&o);
}

static void uuids_refused(void **state)
{
	static const u32 all[] = { VD_PROP_UUID, VD_PROP_MOD_UUID };
	struct vd_props want = { .mask = VD_PROP_PARENT_UUID };
	size_t i;

	memcpy(want.parent_uuid, uuid, 16);
	memcpy(want.parent_mod_uuid, uuid, 16);
	refused_with(&vd_format_vmdk, HEAD, strlen(HEAD), &want, "", -EOPNOTSUPP,
		     "a vmdk image like this one cannot be given the UUID of a parent");
	want.mask = VD_PROP_PARENT_MOD_UUID;
	refused_with(&vd_format_vmdk, HEAD, strlen(HEAD), &want, "", -EOPNOTSUPP,
		     "cannot be given the modification UUID of a parent");
	for (i = 0; i < ARRAY_SIZE(all); i++) {
		want = (struct vd_props) { .mask = all[i] };
		refused_with(&vd_format_vmdk, HEAD, strlen(HEAD), &want, "", -EINVAL, "zeros");
	}
}

/* What no format lets anybody set, what raw has no place for, what a bare delta has not. */
static void no_place(void **state)
{
	static const struct { u32 which; const char *words; } cases[] = {
		{ VD_PROP_VERSION, "version" }, { VD_PROP_SIZE, "another size" },
		{ VD_PROP_FILE_SIZE, "size of its file" }, { VD_PROP_FLAGS, "flags" },
		{ VD_PROP_PARENT_NAME, "the name of a parent" }, { VD_PROP_TIME, "a time stamp" },
		{ VD_PROP_PARENT_TIME, "the time stamp of a parent" },
		{ VD_PROP_PCHS, "a geometry" }, { VD_PROP_LCHS, "a logical geometry" },
		{ VD_PROP_COMMENT, "a comment" }, { VD_PROP_UUID, "a UUID" },
		{ VD_PROP_MOD_UUID, "a modification UUID" },
		{ VD_PROP_PARENT_UUID, "the UUID of a parent" },
		{ VD_PROP_PARENT_MOD_UUID, "the modification UUID of a parent" },
	};
	static const u8 raw[1024] = { 1 };
	struct vd_props want = { 0 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		want.mask = cases[i].which;
		refused_with(&vd_format_raw, raw, sizeof(raw), &want, "", -EOPNOTSUPP,
			     "a raw image like this one cannot be given ");
		refused_with(&vd_format_raw, raw, sizeof(raw), &want, "", -EOPNOTSUPP,
			     cases[i].words);
		if (i >= 7)
			continue;
		refused_with(&vd_format_vmdk, HEAD, strlen(HEAD), &want, "", -EOPNOTSUPP,
			     cases[i].words);
	}
}

static void bare_delta(void **state)
{
	const struct vd_props want = want_comment("");
	struct ut_disk *d = ut_disk_new(UT_MIB, 4096);
	struct img_cowd c = { 0 };

	img_cowd_write(&c, d);
	refused_with(&vd_format_vmdk, c.buf.data, c.buf.len, &want, "\0x", -EOPNOTSUPP,
		     "without a descriptor");
	ut_buf_free(&c.buf);
	ut_disk_free(d);
}

/* --- what is behind the text --- */

static void padding(void **state)
{
	static const char text[] = HEAD "ddb.comment = \"old\"\n";
	const struct vd_props want = want_comment("");
	char file[1024] = "", expect[1024] = "", pool[900] = "";
	struct outcome o;

	/* As QEMU leaves it: the file keeps its size, and one sector is written. */
	memcpy(file, text, sizeof(text));
	memcpy(expect, HEAD "ddb.comment = \"longer\"\n", strlen(HEAD) + 23);
	o = set_bytes(&vd_format_vmdk, file, 512, &want, "\0longer");
	assert_int_equal(o.ret, 0);
	assert_true(o.in_place);
	assert_int_equal(o.after.len, 512);
	assert_memory_equal(o.after.data, expect, 512);
	outcome_free(&o);
	/* Until there is no room any more. */
	memset(pool + 1, 'x', 600);
	o = set_bytes(&vd_format_vmdk, file, 512, &want, pool);
	assert_int_equal(o.ret, 0);
	assert_false(o.in_place);
	assert_int_equal(o.after.len, strlen(HEAD) + 17 + 600);
	outcome_free(&o);
	/* What is no padding stays, behind the new text. */
	memcpy(file + 400, "something", 9);
	o = set_bytes(&vd_format_vmdk, file, 512, &want, "\0longer");
	assert_int_equal(o.ret, 0);
	assert_int_equal(o.after.len, 515);
	assert_memory_equal(o.after.data, expect, strlen(expect) + 1);
	assert_memory_equal(o.after.data + 403, "something", 9);
	outcome_free(&o);
}

static void nothing_to_do(void **state)
{
	static const char text[] = HEAD "ddb.comment = \"same\"\n";
	const struct vd_props want = want_comment("");
	struct outcome o = set_bytes(&vd_format_vmdk, text, strlen(text), &want, "\0same");

	assert_int_equal(o.ret, 0);
	assert_true(o.in_place);
	assert_int_equal(o.after.len, strlen(text));
	assert_memory_equal(o.after.data, text, strlen(text));
	outcome_free(&o);
}

/* --- inside an extent --- */

#define SPARSE	"# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n" \
		"createType=\"monolithicSparse\"\nRW 32 SPARSE \"a\"\n"

static struct ut_buf sparse_image(const char *text, bool stream)
{
	struct ut_disk *d = ut_disk_new(16 * UT_KIB, 4096);
	struct img_stream st = { .footer = true, .level = 6, .s.descriptor = text };
	struct img_sparse s = { .flags = IMG_F_RGD, .descriptor = text };

	ut_disk_set(d, 0, UT_DATA, 1);
	ut_disk_set(d, 2, UT_DATA, 2);
	if (stream)
		img_stream_write(&st, d);
	else
		img_sparse_write(&s, d);
	ut_disk_free(d);
	return stream ? st.s.buf : s.buf;
}

static void embedded(bool stream)
{
	static const char after[] = SPARSE "ddb.comment = \"new\"\n";
	const struct vd_props want = want_comment("");
	struct ut_buf b = sparse_image(SPARSE "ddb.comment = \"old one\"\n", stream);
	u64 at = ut_get_le(&b, IMG_H_DESC, 8) * VD_SECTOR;
	struct outcome o = set_bytes(&vd_format_vmdk, b.data, b.len, &want, "\0new");

	if (o.ret)
		fail_msg("%s", o.err.text);
	assert_true(o.in_place);
	/* The sector of the text is zeros behind it, all else as before. */
	memset(b.data + at, 0, VD_SECTOR);
	memcpy(b.data + at, after, sizeof(after));
	assert_int_equal(o.after.len, b.len);
	assert_memory_equal(o.after.data, b.data, b.len);
	outcome_free(&o);
	ut_buf_free(&b);
}

static void embedded_sparse(void **state)
{
	embedded(false);
}

static void embedded_stream(void **state)
{
	embedded(true);
}

/* --- crashes --- */

/**
 * struct cut - what states of a file are judged by
 * @old, @new: comments
 */
struct cut {
	const char *old;
	const char *new;
	u64 olds;
	u64 news;
	u64 bad;
};

static void judge(void *ctx, const struct ut_buf *b)
{
	struct cut *cut = ctx;
	const char *comment = NULL;
	struct vd_layout *l;
	struct vd_error err;

	if (!ut_layout(b->data, b->len, &l, &err))
		comment = vd_layout_str(l, l->props.comment);
	if (comment && l->cid == 0x12345678 && !strcmp(comment, cut->old))
		cut->olds++;
	else if (comment && l->cid == 0x12345678 && !strcmp(comment, cut->new))
		cut->news++;
	else
		cut->bad++;
	vd_free(l);
}

/* @no_flush: a negative control, as if nothing were ever flushed */
static struct cut cut_at(const struct ut_buf *b, const char *old, const char *pool, bool no_flush)
{
	const struct vd_props want = want_comment("");
	struct tape tape = { .no_flush = no_flush };
	struct vd_file *mem = vd_ufile_mem(b->data, b->len, true);
	struct vd_file *file = vd_ufile_record(mem, tape_fn, &tape);
	struct cut cut = { .old = old, .new = pool + 1 };
	struct vd_layout *now = NULL;
	struct vd_error err = { 0 };
	struct vd_content content;

	assert_non_null(file);
	assert_int_equal(vd_format_vmdk.user->layout(file, &now, &err), 0);
	assert_int_equal(vd_format_vmdk.user->set_props(file, now, &want, pool, &content, &err), 0);
	assert_null(content.data);
	assert_true(tape.nr > 0);
	assert_true(no_flush || tape.ops[tape.nr - 1].op == VD_OP_FLUSH);
	tape_walk(&tape, b, judge, &cut);
	tape_free(&tape);
	vd_free(now);
	vd_ufile_free(file);
	vd_ufile_free(mem);
	return cut;
}

static void survives(const struct ut_buf *b, const char *old, const char *pool)
{
	struct cut cut = cut_at(b, old, pool, false);

	assert_int_equal(cut.bad, 0);
	assert_true(cut.olds > 0);
	assert_true(cut.news > 0);
}

static void power_cuts(void **state)
{
	char old[701] = "", text[2048], pool[802] = "";
	struct ut_buf b = { 0 };

	memset(old, 'o', 700);
	memset(pool + 1, 'n', 800);
	/* One sector of a text file. */
	ut_put(&b, 0, HEAD "ddb.comment = \"old\"\n", strlen(HEAD) + 20);
	survives(&b, "old", "\0new");
	ut_buf_free(&b);
	/* One sector of an extent, several. */
	b = sparse_image(SPARSE "ddb.comment = \"old\"\n", false);
	survives(&b, "old", "\0new");
	ut_buf_free(&b);
	snprintf(text, sizeof(text), SPARSE "ddb.comment = \"%s\"\n", old);
	b = sparse_image(text, false);
	survives(&b, old, pool);
	/* The judge sees what lacks its flushes. */
	assert_true(cut_at(&b, old, pool, true).bad > 0);
	ut_buf_free(&b);
}

/* A change of several sectors of a text file is not for this to write. */
static void no_torn_text(void **state)
{
	char old[701] = "", text[2048], pool[702] = "";
	const struct vd_props want = want_comment("");
	struct outcome o;

	memset(old, 'o', 700);
	memset(pool + 1, 'n', 700);
	snprintf(text, sizeof(text), HEAD "ddb.comment = \"%s\"\n", old);
	o = set_bytes(&vd_format_vmdk, text, strlen(text), &want, pool);
	assert_int_equal(o.ret, 0);
	assert_false(o.in_place);
	assert_int_equal(o.after.len, strlen(text));
	outcome_free(&o);
}

/* Each operation fails, each allocation. */
static void faults(void **state)
{
	const struct vd_props want = want_comment("");
	struct ut_buf b = sparse_image(SPARSE "ddb.comment = \"old\"\n", false);
	struct cut cut = { .old = "old", .new = "new" };
	long at;

	for (at = 1; at < 100; at++) {
		struct vd_fault fault = { .countdown = -1, .error = EIO };
		struct vd_file *mem = vd_ufile_mem(b.data, b.len, true);
		struct vd_file *file = vd_ufile_fault(mem, &fault);
		struct vd_content content;
		struct vd_error err = { 0 };
		struct vd_layout *now;
		struct ut_buf after = { 0 };
		const void *in_file;
		size_t len;
		int ret;

		assert_int_equal(vd_format_vmdk.user->layout(file, &now, &err), 0);
		fault.countdown = at;
		ret = vd_format_vmdk.user->set_props(file, now, &want, "\0new", &content, &err);
		assert_int_equal(ret, fault.fired ? -EIO : 0);
		if (ret)
			ut_assert_sentence(&err, -EIO);
		in_file = vd_ufile_mem_data(mem, &len);
		ut_put(&after, 0, in_file, len);
		judge(&cut, &after);
		ut_buf_free(&after);
		vd_free(now);
		vd_ufile_free(file);
		vd_ufile_free(mem);
		if (!fault.fired)
			break;
	}
	assert_true(at > 3 && at < 100);
	assert_int_equal(cut.bad, 0);
	ut_buf_free(&b);
}

static void no_memory(void **state)
{
	static const char text[] = HEAD "ddb.comment = \"old\"\n";
	const struct vd_props want = want_comment("");
	struct vd_file *file = vd_ufile_mem(text, strlen(text), true);
	struct vd_content content;
	struct vd_error err = { 0 };
	struct vd_layout *now;
	long at;
	int ret;

	assert_int_equal(vd_format_vmdk.user->layout(file, &now, &err), 0);
	for (at = 1;; at++) {
		ut_alloc_start(at, false);
		ret = vd_format_vmdk.user->set_props(file, now, &want, "\0longer", &content, &err);
		ut_alloc_stop();
		assert_int_equal(ret, ut_alloc.failed ? -ENOMEM : 0);
		if (!ret)
			break;
		assert_null(content.data);
	}
	assert_true(at > 4);
	assert_non_null(content.data);
	vd_free(content.data);
	vd_free(now);
	vd_ufile_free(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(edits),
		cmocka_unit_test(edit_ends),
		cmocka_unit_test(edit_grows_too_long),
		cmocka_unit_test(comments),
		cmocka_unit_test(comments_refused),
		cmocka_unit_test(comments_in_other_encodings),
		cmocka_unit_test(geometries),
		cmocka_unit_test(geometries_refused),
		cmocka_unit_test(uuids),
		cmocka_unit_test(uuids_refused),
		cmocka_unit_test(no_place),
		cmocka_unit_test(bare_delta),
		cmocka_unit_test(padding),
		cmocka_unit_test(nothing_to_do),
		cmocka_unit_test(embedded_sparse),
		cmocka_unit_test(embedded_stream),
		cmocka_unit_test(power_cuts),
		cmocka_unit_test(no_torn_text),
		cmocka_unit_test(faults),
		cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests_name("set-props", tests, NULL, NULL);
}
