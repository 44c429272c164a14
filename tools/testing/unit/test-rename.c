// SPDX-License-Identifier: GPL-2.0-only
/* New names in the text of a descriptor: which of them follow, and that nothing else changes. */
#include "img-sparse.h"
#include "ut-layout.h"
#include "vdisk/rename.h"

/* From disk.vmdk to new.vmdk. */
static const struct vd_new_names plain = { "disk.vmdk", "new.vmdk", 4, 3, NULL, false };

static int renamed(const void *data, size_t len, const struct vd_new_names *names, char **text,
		   struct vd_error *err)
{
	struct vd_file *file = vd_ufile_mem(data, len, false);
	u32 n;
	int ret;

	assert_non_null(file);
	memset(err, 0, sizeof(*err));
	ret = vd_format_vmdk.user->renamed(file, names, text, &n, err);
	if (ret)
		assert_null(*text);
	else if (*text)
		assert_int_equal(n, strlen(*text));
	vd_ufile_free(file);
	return ret;
}

static void becomes(const char *from, const struct vd_new_names *names, const char *to)
{
	struct vd_error err;
	char *text;
	int ret = renamed(from, strlen(from), names, &text, &err);

	if (ret)
		fail_msg("%d %s", ret, err.text);
	assert_string_equal(text, to);
	vd_free(text);
}

#define HEAD "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n"

/* One line, in a descriptor that has an extent of another name as well. */
static void line_becomes(const char *from, const struct vd_new_names *names, const char *to)
{
	char old[512], new[512];

	snprintf(old, sizeof(old), HEAD "%s\nRW 8 FLAT \"other\" 0\n# disk-flat.vmdk\n", from);
	snprintf(new, sizeof(new), HEAD "%s\nRW 8 FLAT \"other\" 0\n# disk-flat.vmdk\n", to);
	becomes(old, names, new);
}

static const struct {
	const char *from;
	const char *to;
} names[] = {
	{ "disk-flat.vmdk", "new-flat.vmdk" },
	{ "disk-s001.vmdk", "new-s001.vmdk" },
	{ "disk-000001-delta.vmdk", "new-000001-delta.vmdk" },
	{ "disk.vmdk", "new.vmdk" },
	{ "disk.img", "new.img" },
	{ "disk-", "new-" },
	/* No followers. */
	{ "disk", "disk" },
	{ "disk2-flat.vmdk", "disk2-flat.vmdk" },
	{ "disk_flat.vmdk", "disk_flat.vmdk" },
	{ "Disk-flat.vmdk", "Disk-flat.vmdk" },
	{ "mydisk-flat.vmdk", "mydisk-flat.vmdk" },
	{ "dis", "dis" },
	/* Elsewhere. */
	{ "sub/disk-flat.vmdk", "sub/disk-flat.vmdk" },
	{ "disk-a/b.vmdk", "disk-a/b.vmdk" },
	{ "/vmfs/disk-flat.vmdk", "/vmfs/disk-flat.vmdk" },
};

static void extents(void **state)
{
	char from[256], to[256];
	u32 i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(from, sizeof(from), "  RW   8  FLAT\t\"%s\" 0  ", names[i].from);
		snprintf(to, sizeof(to), "  RW   8  FLAT\t\"%s\" 0  ", names[i].to);
		line_becomes(from, &plain, to);
	}
	/* Not opened, so not renamed. */
	line_becomes("NOACCESS 8 FLAT \"disk-flat.vmdk\" 0", &plain,
		     "NOACCESS 8 FLAT \"disk-flat.vmdk\" 0");
	line_becomes("RW 8 ZERO", &plain, "RW 8 ZERO");
}

static void others(void **state)
{
	const struct vd_new_names none = { 0 };
	const struct vd_new_names exact = { "disk", "new", 4, 3, NULL, false };

	line_becomes("changeTrackPath=\"disk-ctk.vmdk\"", &plain,
		     "changeTrackPath=\"new-ctk.vmdk\"");
	line_becomes("changeTrackPath = disk-ctk.vmdk", &plain, "changeTrackPath = new-ctk.vmdk");
	line_becomes("changeTrackPath=\"other-ctk.vmdk\"", &plain,
		     "changeTrackPath=\"other-ctk.vmdk\"");
	line_becomes("ddb.comment = \"disk-flat.vmdk\"", &plain,
		     "ddb.comment = \"disk-flat.vmdk\"");
	line_becomes("RW 8 FLAT \"disk-flat.vmdk\" 0\r", &none, "RW 8 FLAT \"disk-flat.vmdk\" 0\r");
	line_becomes("RW 8 FLAT \"disk\" 0", &exact, "RW 8 FLAT \"new\" 0");
	line_becomes("RW 8 FLAT \"disk-flat\" 0", &exact, "RW 8 FLAT \"new-flat\" 0");
	/* The order of the edits is that of the text. */
	line_becomes("RW 8 FLAT \"disk-1\" 0\nchangeTrackPath=\"disk-ctk\"\nRW 8 FLAT \"disk-2\" 0",
		     &plain,
		     "RW 8 FLAT \"new-1\" 0\nchangeTrackPath=\"new-ctk\"\nRW 8 FLAT \"new-2\" 0");
}

static void parents(void **state)
{
	const struct vd_new_names name = { .parent = "base.vmdk" };
	const struct vd_new_names path = { .parent = "dir/base.vmdk", .parent_path = true };

	line_becomes("parentFileNameHint=\"disk.vmdk\"", &name,
		     "parentFileNameHint=\"base.vmdk\"");
	line_becomes("parentFileNameHint=\"../x/disk.vmdk\"", &name,
		     "parentFileNameHint=\"../x/base.vmdk\"");
	line_becomes("parentFileNameHint=\"C:\\vm\\disk.vmdk\"", &name,
		     "parentFileNameHint=\"C:\\vm\\base.vmdk\"");
	line_becomes("parentFileNameHint=\"../x/disk.vmdk\"", &path,
		     "parentFileNameHint=\"dir/base.vmdk\"");
	line_becomes("parentFileNameHint=\"disk.vmdk\"", &plain,
		     "parentFileNameHint=\"disk.vmdk\"");
	line_becomes("parentFileNameHint=\"\"", &name, "parentFileNameHint=\"\"");
}

/* Bytes behind a NUL are a file's own business; a text inside ends there. */
static void inside(void **state)
{
	struct ut_disk *d = ut_disk_new(4096, 4096);
	struct img_sparse s = { .flags = IMG_F_RGD };
	struct vd_error err;
	char *text;

	s.descriptor = HEAD "createType=\"monolithicSparse\"\nRW 8 SPARSE \"was.vmdk\"\n"
		       "changeTrackPath=\"disk-ctk.vmdk\"\n";
	img_sparse_write(&s, d);
	assert_int_equal(renamed(s.buf.data, s.buf.len, &plain, &text, &err), 0);
	assert_string_equal(text, HEAD "createType=\"monolithicSparse\"\nRW 8 SPARSE \"new.vmdk\"\n"
			    "changeTrackPath=\"new-ctk.vmdk\"\n");
	vd_free(text);
	ut_put64(&s.buf, IMG_H_DESC_SIZE, 0);
	assert_int_equal(renamed(s.buf.data, s.buf.len, &plain, &text, &err), -EOPNOTSUPP);
	ut_buf_free(&s.buf);
	ut_disk_free(d);
}

/* A first line that is none of the extent around it has no name to change. */
static void inside_zero(void **state)
{
	static const char zero[] = HEAD "RW 8 ZERO\nRW 8 FLAT \"disk-flat.vmdk\" 0\n";
	struct ut_disk *d = ut_disk_new(4096, 4096);
	struct img_sparse s = { .flags = IMG_F_RGD, .descriptor = zero };
	struct vd_error err;
	char *text;

	img_sparse_write(&s, d);
	assert_int_equal(renamed(s.buf.data, s.buf.len, &plain, &text, &err), 0);
	assert_string_equal(text, HEAD "RW 8 ZERO\nRW 8 FLAT \"new-flat.vmdk\" 0\n");
	vd_free(text);
	ut_buf_free(&s.buf);
	ut_disk_free(d);
}

/* What has no text names nothing. */
static void bare(void **state)
{
	static const u8 cowd[512] = "COWD", sesparse[512] = { 0xbe, 0xba, 0xfe, 0xca };
	struct vd_error err;
	char *text;

	assert_int_equal(renamed(cowd, sizeof(cowd), &plain, &text, &err), 0);
	assert_null(text);
	assert_int_equal(renamed(sesparse, sizeof(sesparse), &plain, &text, &err), 0);
	assert_null(text);
}

static void refuses(const char *text, const struct vd_new_names *n, int code, const char *word)
{
	struct vd_error err;
	char *out;

	assert_int_equal(renamed(text, strlen(text), n, &out, &err), code);
	if (!strstr(err.text, word))
		fail_msg("no '%s' in: %s", word, err.text);
}

static void refused(void **state)
{
	static const char one[] = HEAD "RW 8 FLAT \"disk-flat.vmdk\" 0\n";
	static const char latin[] =
		HEAD "encoding=\"windows-1252\"\nRW 8 FLAT \"disk-flat.vmdk\" 0\n";
	static const char utf[] = HEAD "encoding=\"UTF-8\"\nRW 8 FLAT \"disk-flat.vmdk\" 0\n";
	static const char ddb[] = HEAD "RW 8 FLAT \"disk-flat.vmdk\" 0\nddb.encoding = \"GBK\"\n";
	const struct vd_new_names quote = { "disk.vmdk", "n\"w.vmdk", 4, 3, NULL, false };
	const struct vd_new_names line = { "disk.vmdk", "n\nw.vmdk", 4, 3, NULL, false };
	const struct vd_new_names del = { "disk.vmdk", "n\177w.vmdk", 4, 3, NULL, false };
	const struct vd_new_names accent = { "disk.vmdk", "n\xc3\xa9.vmdk", 4, 3, NULL, false };
	const struct vd_new_names other = { "other.vmdk", "n\xc3\xa9.vmdk", 5, 3, NULL, false };
	char *huge = ut_xalloc(1200000);

	refuses(one, &quote, -EINVAL, "quotes");
	refuses(one, &line, -EINVAL, "control");
	refuses(one, &del, -EINVAL, "control");
	refuses(latin, &accent, -EINVAL, "windows-1252");
	refuses(ddb, &accent, -EINVAL, "GBK");
	refuses("no descriptor", &plain, -EUCLEAN, "neither");
	becomes(utf, &accent,
		HEAD "encoding=\"UTF-8\"\nRW 8 FLAT \"n\xc3\xa9-flat.vmdk\" 0\n");
	becomes(one, &accent, HEAD "RW 8 FLAT \"n\xc3\xa9-flat.vmdk\" 0\n");
	/* Nothing follows, so nothing is wrong. */
	becomes(latin, &other, latin);
	memset(huge, '\n', 1200000 - 1);
	refuses(huge, &plain, -EOPNOTSUPP, "legal is at most");
	free(huge);
}

/* So close to the limit that the new names do not fit. */
static void too_long(void **state)
{
	static const char one[] = HEAD "RW 8 FLAT \"disk-flat.vmdk\" 0\n";
	const struct vd_new_names longer = { "disk.vmdk", "longer-name.vmdk", 4, 11, NULL, false };
	u32 len = 1048576, i;
	char *text = ut_xalloc(len + 1);

	memset(text, '#', len);
	memcpy(text, one, strlen(one));
	for (i = (u32)strlen(one) + 1000; i < len; i += 1000)
		text[i] = '\n';
	refuses(text, &longer, -E2BIG, "too long");
	free(text);
}

/* A flat extent by mistake: its size does not fit what reads a text. */
static void too_large(void **state)
{
	static const char one[] = HEAD "RW 8 FLAT \"disk-flat.vmdk\" 0\n";
	struct vd_file *file = vd_ufile_mem(one, strlen(one), false);
	struct vd_error err = { 0 };
	char *text;
	u32 len;

	file->size = (1ULL << 32) + strlen(one);
	assert_int_equal(vd_format_vmdk.user->renamed(file, &plain, &text, &len, &err),
			 -EOPNOTSUPP);
	vd_ufile_free(file);
}

static void no_memory(void **state)
{
	static const char one[] = HEAD "RW 8 FLAT \"disk-flat.vmdk\" 0\n";
	char *text = NULL;
	long at;
	int ret;

	for (at = 1;; at++) {
		struct vd_file *file = vd_ufile_mem(one, strlen(one), false);
		struct vd_error err = { 0 };
		u32 len;

		ut_alloc_start(at, false);
		ret = vd_format_vmdk.user->renamed(file, &plain, &text, &len, &err);
		ut_alloc_stop();
		vd_ufile_free(file);
		assert_int_equal(ret, ut_alloc.failed ? -ENOMEM : 0);
		if (!ret)
			break;
		assert_null(text);
	}
	assert_true(at > 3);
	vd_free(text);
}

static void read_fails(void **state)
{
	static const char one[] = HEAD "RW 8 FLAT \"disk-flat.vmdk\" 0\n";
	struct vd_file *mem = vd_ufile_mem(one, strlen(one), false);
	char *text;
	u32 len;
	long at;

	for (at = 1; at <= 2; at++) {
		struct vd_fault fault = { .countdown = at, .error = EIO };
		struct vd_file *file = vd_ufile_fault(mem, &fault);
		struct vd_error err = { 0 };

		assert_int_equal(vd_format_vmdk.user->renamed(file, &plain, &text, &len, &err),
				 -EIO);
		assert_null(text);
		vd_ufile_free(file);
	}
	vd_ufile_free(mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(extents),	cmocka_unit_test(others),
		cmocka_unit_test(parents),	cmocka_unit_test(inside),
		cmocka_unit_test(inside_zero),	cmocka_unit_test(bare),
		cmocka_unit_test(refused),
		cmocka_unit_test(too_long),	cmocka_unit_test(too_large),
		cmocka_unit_test(no_memory),	cmocka_unit_test(read_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
