// SPDX-License-Identifier: GPL-2.0-only
/* Descriptor texts that are legal, rule by rule, and what they mean. */
#include "img-sparse.h"
#include "ut-layout.h"

/* A descriptor from parts: header lines, extent lines, data base lines. */
#define HEAD	"# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n" \
		"createType=\"monolithicFlat\"\n"
#define FLAT	"RW 2048 FLAT \"a-flat.vmdk\" 0\n"

static void seg_is(const struct vd_layout *l, u32 i, u32 kind, u64 sectors, const char *name,
		   u64 offset, u32 flags)
{
	const struct vd_layout_seg *seg = &vd_layout_segs(l)[i];
	const char *got = vd_layout_str(l, seg->name);

	assert_true(i < l->nr_segs);
	assert_int_equal(seg->kind, kind);
	assert_true(seg->len == sectors * 512);
	assert_true(seg->offset == offset);
	assert_int_equal(seg->flags, flags);
	if (name) {
		assert_non_null(got);
		assert_string_equal(got, name);
	} else {
		assert_null(got);
	}
}

static void simplest(void **state)
{
	struct vd_layout *l = ut_parse(HEAD FLAT);

	assert_true(l->props.size == UT_MIB);
	assert_int_equal(l->nr_segs, 1);
	seg_is(l, 0, VDISK_SEG_RAW, 2048, "a-flat.vmdk", 0, 0);
	assert_int_equal(l->props.version, 1);
	assert_true(l->flags & VD_LAYOUT_HAVE_CID);
	assert_int_equal(l->cid, 0x12345678);
	assert_false(l->flags & VD_LAYOUT_PARENT);
	assert_string_equal(vd_layout_str(l, l->subformat), "monolithicFlat");
	assert_null(vd_layout_str(l, l->props.parent_name));
	vd_free(l);
}

/* A tab is legal anywhere in a line: in a value and in a name too. */
static void tabs(void **state)
{
	struct vd_layout *l = ut_parse(HEAD "RW 2048 FLAT \"a\tb.vmdk\" 0\n"
				       "ddb.adapterType = \"id\te\"\n");

	seg_is(l, 0, VDISK_SEG_RAW, 2048, "a\tb.vmdk", 0, 0);
	assert_string_equal(vd_layout_str(l, l->adapter), "id\te");
	vd_free(l);
}

/* Each of these says the same as the simplest one. */
static void same_meaning(void **state)
{
	static const char *const texts[] = {
		/* line ends */
		"# Disk DescriptorFile\r\nversion=1\r\nCID=12345678\r\nparentCID=ffffffff\r\n"
		"createType=\"monolithicFlat\"\r\n\r\nRW 2048 FLAT \"a-flat.vmdk\" 0\r\n",
		/* no line end at the end of the file */
		HEAD "RW 2048 FLAT \"a-flat.vmdk\" 0",
		/* blanks around "=", at the ends of lines, between words; tabs */
		"# Disk DescriptorFile \nversion = 1 \nCID=\t12345678\t \nparentCID =ffffffff \n"
		"createType = \"monolithicFlat\"  \n  RW\t2048   FLAT \"a-flat.vmdk\"  0 \t\n",
		/* case of keys, words and the signature */
		"# disk descriptorfile\nVERSION=1\ncid=12345678\nPARENTCID=FFFFFFFF\n"
		"CREATETYPE=\"monolithicFlat\"\nrw 2048 flat \"a-flat.vmdk\" 0\n",
		"#DISKDESCRIPTORFILE\nversion=1\nCID=12345678\nparentCID=ffffffff\n"
		"createType=\"monolithicFlat\"\nRw 2048 Flat \"a-flat.vmdk\" 0\n",
		/* blank lines and blanks before the signature, byte order mark */
		"\n\n  \n   # Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n"
		"createType=\"monolithicFlat\"\n" FLAT,
		"\xef\xbb\xbf# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n"
		"createType=\"monolithicFlat\"\n" FLAT,
		/* first line is the version */
		"version=1\nCID=12345678\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n" FLAT,
		/* comments anywhere; bare values */
		HEAD "# Extent description\n\n" FLAT "# The Disk Data Base \n#DDB\n",
		"# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n"
		"createType=monolithicFlat\n" FLAT,
		"# Disk DescriptorFile\nversion=\"1\"\nCID=12345678\nparentCID=ffffffff\n"
		"createType=\"monolithicFlat\"\n" FLAT,
		/* any order of sections */
		"# Disk DescriptorFile\nddb.adapterType = \"ide\"\n" FLAT
		"version=1\ncreateType=\"monolithicFlat\"\nparentCID=ffffffff\nCID=12345678\n",
		/* keys nobody knows */
		HEAD "somethingNew=\"yes\"\nother.thing = 5\n" FLAT "ddb.futureKey = \"x\"\n",
		/* FLAT without an offset means 0; partition and device words may follow one */
		HEAD "RW 2048 FLAT \"a-flat.vmdk\"\n",
		HEAD "isNativeSnapshot=\"no\"\n" FLAT,
		HEAD "RW 2048 VMFS \"a-flat.vmdk\"\n",
		HEAD "RW 2048 VMFS \"a-flat.vmdk\" 0\n",
		HEAD "encoding=\"UTF-8\"\n" FLAT "ddb.encoding = \"UTF-8\"\n",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(texts); i++) {
		struct vd_layout *l = ut_parse(texts[i]);

		if (l->props.size != UT_MIB || l->cid != 0x12345678 || l->flags & VD_LAYOUT_PARENT)
			fail_msg("text %zu is understood in another way", i);
		seg_is(l, 0, VDISK_SEG_RAW, 2048, "a-flat.vmdk", 0, 0);
		assert_string_equal(vd_layout_str(l, l->subformat), "monolithicFlat");
		assert_false(l->flags & VD_LAYOUT_RDONLY);
		vd_free(l);
	}
}

static void stops_at_nul(void **state)
{
	static const char text[] = HEAD FLAT "\0\0\0RW 4096 ZERO\nnot a line at all\n";
	char padded[1536] = { 0 };
	struct vd_layout *l = ut_parse_bytes(text, sizeof(text));

	assert_int_equal(l->nr_segs, 1);
	vd_free(l);
	memcpy(padded, text, strlen(text));
	l = ut_parse_bytes(padded, sizeof(padded));
	assert_int_equal(l->nr_segs, 1);
	vd_free(l);
}

static void every_kind(void **state)
{
	struct vd_layout *l = ut_parse(
		"# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n"
		"createType=\"custom\"\n"
		"RW 63 FLAT \"mbr.vmdk\" 0\n"
		"RW 1 ZERO\n"
		"RW 2048 SPARSE \"s001.vmdk\"\n"
		"RW 4096 VMFS \"flat.vmdk\"\n"
		"RW 128 VMFSSPARSE \"delta.vmdk\"\n"
		"RW 512 SESPARSE \"se.vmdk\"\n"
		"RW 100 FLAT \"mbr.vmdk2\" 12345678901\n");

	assert_int_equal(l->nr_segs, 7);
	assert_true(l->props.size == (63 + 1 + 2048 + 4096 + 128 + 512 + 100) * 512ULL);
	seg_is(l, 0, VDISK_SEG_RAW, 63, "mbr.vmdk", 0, 0);
	seg_is(l, 1, VDISK_SEG_ZERO, 1, NULL, 0, 0);
	seg_is(l, 2, VDISK_SEG_VMDK_SPARSE, 2048, "s001.vmdk", 0, 0);
	seg_is(l, 3, VDISK_SEG_RAW, 4096, "flat.vmdk", 0, 0);
	seg_is(l, 4, VDISK_SEG_VMDK_COWD, 128, "delta.vmdk", 0, 0);
	seg_is(l, 5, VDISK_SEG_VMDK_SESPARSE, 512, "se.vmdk", 0, 0);
	seg_is(l, 6, VDISK_SEG_RAW, 100, "mbr.vmdk2", 12345678901ULL * 512, 0);
	assert_int_equal(l->cid, 1);
	vd_free(l);
}

/* The case that QEMU 7.2 gets wrong: it drops the line, and the disk shrinks. */
static void zero_extent_keeps_its_place(void **state)
{
	struct vd_layout *l = ut_parse(HEAD "RW 2048 ZERO\n" "RW 2048 FLAT \"f\" 0\n");

	assert_true(l->props.size == 2 * UT_MIB);
	assert_int_equal(l->nr_segs, 2);
	assert_true(vd_layout_segs(l)[1].start == UT_MIB);
	vd_free(l);
}

static void access_words(void **state)
{
	struct vd_layout *l = ut_parse(HEAD "RDONLY 2048 FLAT \"f\" 0\nRW 2048 FLAT \"g\" 0\n");

	assert_true(l->flags & VD_LAYOUT_RDONLY);
	assert_non_null(vd_layout_str(l, l->ro_reason));
	seg_is(l, 0, VDISK_SEG_RAW, 2048, "f", 0, VD_LSEG_RDONLY);
	seg_is(l, 1, VDISK_SEG_RAW, 2048, "g", 0, 0);
	vd_free(l);

	l = ut_parse(HEAD "RW 2048 FLAT \"f\" 0\nNOACCESS 100 FLAT \"secret\" 0\nNOACCESS 3 ZERO\n");
	assert_int_equal(l->nr_segs, 3);
	assert_true(l->props.size == (2048 + 100 + 3) * 512ULL);
	assert_int_equal(vd_layout_segs(l)[1].kind, VDISK_SEG_NOACCESS);
	assert_int_equal(vd_layout_segs(l)[2].kind, VDISK_SEG_NOACCESS);
	/* Nobody needs to open what nobody may read. */
	assert_null(vd_layout_str(l, vd_layout_segs(l)[1].name));
	vd_free(l);
}

static void names_as_written(void **state)
{
	static const char *const names[] = {
		"with blanks in it.vmdk", " leading", "trailing ", "sub/dir/x", "../up.vmdk",
		"/etc/passwd", "RW 1 ZERO", "a=b", "#hash", "\xc3\xa4\xc3\xb6.vmdk",
	};
	char text[512];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		struct vd_layout *l;

		snprintf(text, sizeof(text), HEAD "RW 2048 FLAT \"%s\" 0\n", names[i]);
		l = ut_parse(text);
		assert_string_equal(vd_layout_str(l, vd_layout_segs(l)[0].name), names[i]);
		assert_int_equal(l->nr_segs, 1);
		vd_free(l);
	}
}

/* In some encodings the second byte of a letter is a backslash's; in others that is a path. */
static void names_in_other_encodings(void **state)
{
	struct vd_layout *l = ut_parse(
		"# Disk DescriptorFile\nversion=1\nencoding=\"Shift_JIS\"\nCID=1\n"
		"parentCID=ffffffff\ncreateType=\"monolithicFlat\"\n"
		"RW 2048 FLAT \"\x95\x5c.vmdk\" 0\n");

	assert_int_equal(l->nr_segs, 1);
	assert_string_equal(vd_layout_str(l, l->encoding), "Shift_JIS");
	vd_free(l);
	l = ut_parse("# Disk DescriptorFile\nversion=1\nencoding=\"windows-1252\"\nCID=1\n"
		  "parentCID=ffffffff\ncreateType=\"monolithicFlat\"\n"
		  "RW 2048 FLAT \"\xe4.vmdk\" 0\n");
	assert_int_equal(l->nr_segs, 1);
	vd_free(l);
}

static void parents(void **state)
{
	static const char head[] = "# Disk DescriptorFile\nversion=1\nCID=abcdef01\n";
	char text[1024];
	struct vd_layout *l;
	size_t i;
	static const char *const hints[] = {
		"base.vmdk", "dir/base.vmdk", "/abs/base.vmdk", "C:\\vm\\base.vmdk",
		"[ds] vm/base.vmdk", "/vmfs/volumes/5f/x y/base.vmdk",
	};

	for (i = 0; i < ARRAY_SIZE(hints); i++) {
		snprintf(text, sizeof(text), "%sparentCID=0172E8a4\ncreateType=\"vmfsSparse\"\n"
			 "parentFileNameHint=\"%s\"\nRW 4096 VMFSSPARSE \"d\"\n", head, hints[i]);
		l = ut_parse(text);
		assert_true(l->flags & VD_LAYOUT_PARENT);
		assert_int_equal(l->parent_cid, 0x0172e8a4);
		assert_string_equal(vd_layout_str(l, l->props.parent_name), hints[i]);
		vd_free(l);
	}
	/* VirtualBox: no CID, no hint, only the parent's UUID. */
	l = ut_parse(HEAD "RW 2048 SPARSE \"x.vmdk\"\n"
		  "ddb.uuid.image=\"3f5cde62-6d36-4c36-ad72-ad9f3f321eb0\"\n"
		  "ddb.uuid.parent=\"8c2c3143-963f-405e-861e-4ea8ea68f1c1\"\n"
		  "ddb.uuid.modification=\"9c164d8e-1e37-447e-a57f-1439b7d6216d\"\n"
		  "ddb.uuid.parentmodification=\"7160a06a-81db-41b9-a25e-5058fd33c217\"\n");
	assert_true(l->flags & VD_LAYOUT_PARENT);
	assert_true(l->props.mask & VD_PROP_UUID);
	assert_true(l->props.mask & VD_PROP_PARENT_UUID);
	assert_true(l->props.mask & VD_PROP_MOD_UUID);
	assert_true(l->props.mask & VD_PROP_PARENT_MOD_UUID);
	assert_memory_equal(l->props.uuid, "\x3f\x5c\xde\x62\x6d\x36\x4c\x36\xad\x72\xad\x9f\x3f\x32"
			    "\x1e\xb0", 16);
	assert_memory_equal(l->props.parent_uuid, "\x8c\x2c\x31\x43\x96\x3f\x40\x5e\x86\x1e\x4e\xa8\xea"
			    "\x68\xf1\xc1", 16);
	assert_memory_equal(l->props.mod_uuid, "\x9c\x16\x4d\x8e", 4);
	assert_memory_equal(l->props.parent_mod_uuid, "\x71\x60\xa0\x6a", 4);
	vd_free(l);
	/* A content id without a hint: the caller can still be told the parent. */
	l = ut_parse("# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=2\n"
		  "createType=\"monolithicFlat\"\n" FLAT);
	assert_true(l->flags & VD_LAYOUT_PARENT);
	assert_int_equal(l->parent_cid, 2);
	assert_null(vd_layout_str(l, l->props.parent_name));
	vd_free(l);
	/* The zero UUID is none. */
	l = ut_parse(HEAD FLAT "ddb.uuid.image=\"3f5cde62-6d36-4c36-ad72-ad9f3f321eb0\"\n"
		  "ddb.uuid.parent=\"00000000-0000-0000-0000-000000000000\"\n");
	assert_false(l->flags & VD_LAYOUT_PARENT);
	assert_false(l->props.mask & VD_PROP_PARENT_UUID);
	vd_free(l);
}

static void content_ids(void **state)
{
	static const struct { const char *text; u32 value; } cids[] = {
		{ "0", 0 }, { "123", 0x123 }, { "DEADbeef", 0xdeadbeef },
		{ "fffffffe", 0xfffffffe }, { "00000000", 0 },
	};
	char text[512];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cids); i++) {
		struct vd_layout *l;

		snprintf(text, sizeof(text), "# Disk DescriptorFile\nversion=1\nCID=%s\n"
			 "parentCID=ffffffff\ncreateType=\"monolithicFlat\"\n" FLAT, cids[i].text);
		l = ut_parse(text);
		assert_true(l->flags & VD_LAYOUT_HAVE_CID);
		assert_int_equal(l->cid, cids[i].value);
		vd_free(l);
	}
}

static void data_base(void **state)
{
	struct vd_layout *l = ut_parse(HEAD FLAT
		"ddb.adapterType = \"lsilogic\"\n"
		"ddb.geometry.cylinders = \"301\"\nddb.geometry.heads=\"4\"\n"
		"ddb.geometry.sectors = \"17\"\n"
		"ddb.uuid = \"60 00 C2 9a 1d 7b 49 44-dc 53 e6 d3 e5 89 7b 0d\"\n"
		"ddb.longContentID = \"c30e9133f6a8e34df61188c51010a8cd\"\n"
		"ddb.comment=\"one\\\\two\\nthree\\rfour\"\n"
		"ddb.virtualHWVersion = \"21\"\nddb.toolsVersion = \"2147483647\"\n"
		"ddb.thinProvisioned = \"1\"\nddb.deletable = \"true\"\n");

	assert_string_equal(vd_layout_str(l, l->adapter), "lsilogic");
	assert_int_equal(l->props.pchs.c, 301);
	assert_int_equal(l->props.pchs.h, 4);
	assert_int_equal(l->props.pchs.s, 17);
	assert_string_equal(vd_layout_str(l, l->props.comment), "one\\two\nthree\rfour");
	vd_free(l);
}

/* A key of this project, which means something where there is a parent. */
static void format_of_parent(void **state)
{
	struct vd_layout *l = ut_parse("# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=2\n"
		"createType=\"custom\"\nparentFileNameHint=\"b.raw\"\n" FLAT
		"ddb.vdisk.parentFormat = \"raw\"\n");

	assert_string_equal(vd_layout_str(l, l->parent_format), "raw");
	vd_free(l);
	l = ut_parse(HEAD FLAT "ddb.vdisk.parentFormat = \"raw\"\n");
	assert_int_equal(l->parent_format, 0);
	vd_free(l);
}

static void reasons_for_read_only(void **state)
{
	static const char *const texts[] = {
		HEAD "RDONLY 2048 FLAT \"f\" 0\n",
		HEAD FLAT "ddb.iofilters = \"vmwarelwd\"\n",
		HEAD FLAT "ddb.sidecars = \"x_1.vmfd;x_2.vmfd\"\n",
		"# Disk DescriptorFile\nversion=3\nCID=1\nparentCID=ffffffff\n"
		"createType=\"vmfs\"\nchangeTrackPath=\"a-ctk.vmdk\"\nRW 2048 VMFS \"f\"\n",
		"# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n"
		"createType=\"someNewType\"\n" FLAT,
	};
	struct vd_layout *l;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(texts); i++) {
		l = ut_parse(texts[i]);
		if (!(l->flags & VD_LAYOUT_RDONLY))
			fail_msg("text %zu may be written", i);
		assert_non_null(vd_layout_str(l, l->ro_reason));
		vd_free(l);
	}
	l = ut_parse(HEAD FLAT "ddb.logicalSectorSize = \"512\"\n");
	assert_false(l->flags & VD_LAYOUT_WARNING);
	vd_free(l);
	l = ut_parse(HEAD FLAT "ddb.logicalSectorSize = \"4096\"\n");
	assert_true(l->flags & VD_LAYOUT_WARNING);
	vd_free(l);
	l = ut_parse(texts[3]);
	assert_true(l->flags & VD_LAYOUT_CBT);
	assert_int_equal(l->props.version, 3);
	vd_free(l);
	l = ut_parse(texts[4]);
	assert_true(l->flags & VD_LAYOUT_WARNING);
	assert_non_null(vd_layout_str(l, l->warning));
	vd_free(l);
}

static void create_types_any_case(void **state)
{
	static const char *const types[] = {
		"monolithicFlat", "MONOLITHICFLAT", "twoGbMaxExtentFlat", "2GbMaxExtentFlat",
		"vmfs", "vmfsThin", "vmfsThick", "vmfsPreallocated", "vmfsEagerZeroedThick",
		"custom", "seSparse", "vmfsSeSparse",
	};
	char text[512];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		struct vd_layout *l;

		snprintf(text, sizeof(text), "# Disk DescriptorFile\nversion=1\nCID=1\n"
			 "parentCID=ffffffff\ncreateType=\"%s\"\n" FLAT, types[i]);
		l = ut_parse(text);
		assert_false(l->flags & VD_LAYOUT_RDONLY);
		assert_string_equal(vd_layout_str(l, l->subformat), types[i]);
		vd_free(l);
	}
}

static struct vd_layout *parse_embedded(const char *text, u32 version, u32 flags)
{
	struct ut_disk *d = ut_disk_random(UT_MIB, 65536, 1, false);
	struct img_sparse s = { .descriptor = text, .version = version, .flags = flags };
	struct vd_layout *l;

	img_sparse_write(&s, d);
	l = ut_parse_bytes(s.buf.data, s.buf.len);
	ut_buf_free(&s.buf);
	ut_disk_free(d);
	return l;
}

#define SPARSE_HEAD "# Disk DescriptorFile\nversion=1\nCID=77\nparentCID=ffffffff\n" \
		    "createType=\"monolithicSparse\"\n"

static void embedded(void **state)
{
	static const char *const texts[] = {
		SPARSE_HEAD "RW 2048 SPARSE \"this.vmdk\"\n",
		SPARSE_HEAD "RW 2048 SPARSE \"another name.vmdk\"\n",
		SPARSE_HEAD "RW 2048 SPARSE \"/somewhere/else.vmdk\"\n",
		/* inside an extent the signature is no matter: the magic said it */
		"# Description file created by VMDK stream converter\nversion=1 \nCID=77 \n"
		"parentCID=ffffffff \ncreateType=\"monolithicSparse\" \nRW 2048 SPARSE \"x\" \n",
	};
	struct vd_layout *l;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(texts); i++) {
		l = parse_embedded(texts[i], 1, IMG_F_RGD);
		assert_int_equal(l->nr_segs, 1);
		assert_int_equal(vd_layout_segs(l)[0].kind, VDISK_SEG_VMDK_SPARSE);
		assert_true(vd_layout_segs(l)[0].flags & VD_LSEG_SELF);
		assert_true(l->props.size == UT_MIB);
		assert_int_equal(l->cid, 0x77);
		vd_free(l);
	}
	/* More lines: only the first is this file. */
	l = parse_embedded(SPARSE_HEAD "RW 2048 SPARSE \"a\"\nRW 100 SPARSE \"b\"\nRW 5 ZERO\n", 1,
			   IMG_F_RGD);
	assert_int_equal(l->nr_segs, 3);
	assert_true(vd_layout_segs(l)[0].flags & VD_LSEG_SELF);
	assert_int_equal(vd_layout_segs(l)[1].flags, 0);
	assert_string_equal(vd_layout_str(l, vd_layout_segs(l)[1].name), "b");
	vd_free(l);
}

static void unclean_mark(void **state)
{
	struct ut_disk *d = ut_disk_random(UT_MIB, 65536, 1, false);
	struct img_sparse s = { .descriptor = SPARSE_HEAD "RW 2048 SPARSE \"x\"\n" };
	struct vd_layout *l;

	img_sparse_write(&s, d);
	l = ut_parse_bytes(s.buf.data, s.buf.len);
	assert_false(l->flags & VD_LAYOUT_UNCLEAN);
	vd_free(l);
	ut_put8(&s.buf, IMG_H_UNCLEAN, 1);
	l = ut_parse_bytes(s.buf.data, s.buf.len);
	assert_true(l->flags & VD_LAYOUT_UNCLEAN);
	vd_free(l);
	ut_buf_free(&s.buf);
	ut_disk_free(d);
}

/* As many extents, lines and bytes as the caps allow. */
static void at_the_caps(void **state)
{
	size_t room = VMDK_CAP_DESCRIPTOR, at, n;
	char *text = ut_xalloc(room + 1);
	struct vd_layout *l;

	at = (size_t)sprintf(text, HEAD);
	for (n = 0; n < VDISK_MAX_SEGMENTS - 8; n++)	/* with the header below the cap of lines */
		at += (size_t)sprintf(text + at, "RW 1 FLAT \"f\" %zu\n", n);
	l = ut_parse_bytes(text, at);
	assert_int_equal(l->nr_segs, VDISK_MAX_SEGMENTS - 8);
	assert_true(l->props.size == (VDISK_MAX_SEGMENTS - 8) * 512ULL);
	vd_free(l);

	at = (size_t)sprintf(text, HEAD FLAT);
	while (at + 1000 < room) {
		memset(text + at, '#', 999);
		text[at + 999] = '\n';
		at += 1000;
	}
	l = ut_parse_bytes(text, at);
	assert_int_equal(l->nr_segs, 1);
	vd_free(l);
	free(text);
}

static void raw_layout(void **state)
{
	u8 data[4096 + 512] = { 0 };
	struct vd_file *file = vd_ufile_mem(data, sizeof(data), false);
	struct vd_error err = { 0 };
	struct vd_layout *l = NULL;

	assert_non_null(vd_format_raw.user);
	assert_int_equal(vd_format_raw.user->layout(file, &l, &err), 0);
	assert_int_equal(vd_layout_check(l, l->total, &err), 0);
	assert_int_equal(l->format, VDISK_FORMAT_RAW);
	assert_int_equal(l->nr_segs, 1);
	assert_int_equal(vd_layout_segs(l)[0].kind, VDISK_SEG_RAW);
	assert_true(l->props.size == sizeof(data));
	vd_free(l);
	vd_ufile_free(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(simplest),
		cmocka_unit_test(tabs),
		cmocka_unit_test(same_meaning),
		cmocka_unit_test(stops_at_nul),
		cmocka_unit_test(every_kind),
		cmocka_unit_test(zero_extent_keeps_its_place),
		cmocka_unit_test(access_words),
		cmocka_unit_test(names_as_written),
		cmocka_unit_test(names_in_other_encodings),
		cmocka_unit_test(parents),
		cmocka_unit_test(content_ids),
		cmocka_unit_test(data_base),
		cmocka_unit_test(format_of_parent),
		cmocka_unit_test(reasons_for_read_only),
		cmocka_unit_test(create_types_any_case),
		cmocka_unit_test(embedded),
		cmocka_unit_test(unclean_mark),
		cmocka_unit_test(at_the_caps),
		cmocka_unit_test(raw_layout),
	};

	return cmocka_run_group_tests_name("layout", tests, NULL, NULL);
}
