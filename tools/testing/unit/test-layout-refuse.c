// SPDX-License-Identifier: GPL-2.0-only
/* Descriptor texts that are refused, probe scores, and damaged layout blocks. */
#include "img-sparse.h"

#define HEAD	"# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n" \
		"createType=\"monolithicFlat\"\n"
#define TYPELESS "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n"
#define FLAT	"RW 2048 FLAT \"a-flat.vmdk\" 0\n"

static int layout_of(const void *data, size_t len, struct vd_layout **out, struct vd_error *err)
{
	struct vd_file *file = vd_ufile_mem(data, len, false);
	int ret;

	assert_non_null(file);
	memset(err, 0, sizeof(*err));
	*out = NULL;
	ut_alloc_start(-1, false);
	ret = vd_format_vmdk.user->layout(file, out, err);
	ut_alloc_stop();
	vd_ufile_free(file);
	if (!ret)
		assert_int_equal(vd_layout_check(*out, (*out)->total, err), 0);
	return ret;
}

/* Refused, with a sentence that holds @word (in any case) if that is not NULL. */
static bool refused(const char *what, const void *data, size_t len, const char *word)
{
	struct vd_error err;
	struct vd_layout *l;
	int ret = layout_of(data, len, &l, &err);

	vd_free(l);
	if (!ut_is_refusal(ret)) {
		print_error("%s: layout returned %d \"%s\"\n", what, ret, err.text);
		return false;
	}
	ut_assert_sentence(&err, ret);
	if (word && !strcasestr(err.text, word)) {
		print_error("%s: \"%s\" does not speak of \"%s\"\n", what, err.text, word);
		return false;
	}
	return true;
}

struct text {
	const char *text;
	const char *word;
};

static void refuse_all(const struct text *texts, size_t nr)
{
	unsigned int wrong = 0;
	size_t i;

	for (i = 0; i < nr; i++)
		wrong += !refused(texts[i].text, texts[i].text, strlen(texts[i].text),
				  texts[i].word);
	assert_int_equal(wrong, 0);
}

static void extent_lines(void **state)
{
	static const struct text texts[] = {
		{ HEAD, "extent" },
		{ HEAD "RW\n", NULL },
		{ HEAD "RW 2048\n", NULL },
		{ HEAD "RW FLAT \"f\" 0\n", NULL },
		{ HEAD "RW 0 FLAT \"f\" 0\n", NULL },
		{ HEAD "RW -1 FLAT \"f\" 0\n", NULL },
		{ HEAD "RW +1 FLAT \"f\" 0\n", NULL },
		{ HEAD "RW 0x800 FLAT \"f\" 0\n", NULL },
		{ HEAD "RW 2048k FLAT \"f\" 0\n", NULL },
		{ HEAD "RW 2048.5 FLAT \"f\" 0\n", NULL },
		{ HEAD "RW 18446744073709551616 FLAT \"f\" 0\n", NULL },
		{ HEAD "RW 18446744073709551615 FLAT \"f\" 0\n", NULL },
		{ HEAD "RW 99999999999999999999999 FLAT \"f\" 0\n", NULL },
		{ HEAD "RW 36028797018963968 ZERO\n", NULL },
		{ HEAD "RW 137438953472 ZERO\nRW 1 ZERO\n", NULL },	/* 64 TiB and a sector */
		{ HEAD "RW 2048 FLAT\n", NULL },
		{ HEAD "RW 2048 FLAT f 0\n", NULL },
		{ HEAD "RW 2048 FLAT \"f 0\n", NULL },
		{ HEAD "RW 2048 FLAT f\" 0\n", NULL },
		{ HEAD "RW 2048 FLAT \"\" 0\n", NULL },
		{ HEAD "RW 2048 FLAT \"f\" x\n", NULL },
		{ HEAD "RW 2048 FLAT \"f\" -5\n", NULL },
		{ HEAD "RW 2048 FLAT \"f\" 36028797018963968\n", NULL },
		{ HEAD "RW 2048 FLAT \"f\" 18446744073709551615\n", NULL },
		{ HEAD "RW 2048 VMFS \"f\" junk\n", NULL },
		{ HEAD "RW 2048 SPARSE\n", NULL },
		{ HEAD "RW 2048 SPARSE \"f\" 128\n", NULL },
		{ HEAD "RW 2048 VMFSSPARSE \"f\" 128\n", NULL },
		{ HEAD "RW 2048 SESPARSE \"f\" 128\n", NULL },
		{ HEAD "RW 2048 BOGUS \"f\" 0\n", "BOGUS" },
		{ HEAD "RW 2048 \"f\" 0\n", NULL },
		{ HEAD "RW 2048 VMFSRAWX \"f\"\n", NULL },
		{ HEAD FLAT "WO 2048 FLAT \"g\" 0\n", NULL },
		{ HEAD FLAT "READONLY 2048 FLAT \"g\" 0\n", NULL },
		{ HEAD FLAT "rdonly 2048 what \"g\" 0\n", NULL },
		{ HEAD FLAT "noaccess what\n", NULL },
		{ HEAD FLAT "RW2048 FLAT \"g\" 0\n", NULL },
		{ HEAD FLAT "2048 FLAT \"g\" 0\n", NULL },
		/* names that lead elsewhere by another system's rules */
		{ HEAD "RW 2048 FLAT \"C:\\vm\\f.vmdk\" 0\n", NULL },
		{ HEAD "RW 2048 FLAT \"sub\\f.vmdk\" 0\n", NULL },
		{ HEAD "RW 2048 FLAT \"\\\\.\\PhysicalDrive0\" 0\n", NULL },
	};

	refuse_all(texts, ARRAY_SIZE(texts));
}

static void header_keys(void **state)
{
	static const struct text texts[] = {
		{ "# Disk DescriptorFile\nversion=0\nCID=1\nparentCID=ffffffff\n"
		  "createType=\"monolithicFlat\"\n" FLAT, "version" },
		{ "# Disk DescriptorFile\nversion=4\nCID=1\nparentCID=ffffffff\n"
		  "createType=\"monolithicFlat\"\n" FLAT, "version" },
		{ "# Disk DescriptorFile\nversion=one\nCID=1\nparentCID=ffffffff\n"
		  "createType=\"monolithicFlat\"\n" FLAT, "version" },
		{ "# Disk DescriptorFile\nversion=1\nCID=xyz\nparentCID=ffffffff\n"
		  "createType=\"monolithicFlat\"\n" FLAT, "CID" },
		{ "# Disk DescriptorFile\nversion=1\nCID=123456789\nparentCID=ffffffff\n"
		  "createType=\"monolithicFlat\"\n" FLAT, "CID" },
		{ "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=fffffffff\n"
		  "createType=\"monolithicFlat\"\n" FLAT, "CID" },
		/* half a parent */
		{ HEAD "parentFileNameHint=\"b.vmdk\"\n" FLAT, "parent" },
		/* two lines that do not agree: readers differ in which they believe */
		{ HEAD "CID=87654321\n" FLAT, "CID" },
		{ HEAD "parentCID=12345678\n" FLAT, "parentCID" },
		{ HEAD "version=2\n" FLAT, "version" },
		{ HEAD FLAT "createType=\"vmfs\"\n", "createType" },
		{ HEAD "isNativeSnapshot=\"yes\"\n" FLAT, "snapshot" },
		/* unknown extents under an unknown type */
		{ TYPELESS "createType=\"future\"\nRW 2048 FUTURE \"f\"\n", NULL },
		{ HEAD FLAT "ddb.logicalSectorSize = \"8192\"\n", NULL },
		/* lines as in a descriptor, but nothing that says so */
		{ "CID=1\nversion=1\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n" FLAT,
		  NULL },
		{ FLAT, NULL },
		/* not a descriptor at all */
		{ "hello world\n", NULL },
		{ "# Disk\nversion=1\n", NULL },
		{ "", NULL },
		{ "\n\n\n", NULL },
	};

	refuse_all(texts, ARRAY_SIZE(texts));
}

static void encrypted(void **state)
{
	static const struct text texts[] = {
		{ HEAD "encryptionKeys=\"vmware:key/list/(pair/(...))\"\n" FLAT, "encrypt" },
		{ HEAD "ENCRYPTIONKEYS=\"x\"\n" FLAT, "encrypt" },
		{ HEAD "keyID=\"1\"\n" FLAT, "encrypt" },
		{ HEAD "KeyId = 1\n" FLAT, "encrypt" },
		{ HEAD "encryptionSomething=\"x\"\n" FLAT, "encrypt" },
		{ HEAD FLAT "ddb.encryption = \"AES\"\n", "encrypt" },
		{ HEAD FLAT "ddb.iofilters = \"vmwarevmcrypt\"\n", "encrypt" },
		{ HEAD FLAT "ddb.iofilters = \"other,VMwareVMcrypt\"\n", "encrypt" },
		{ HEAD FLAT "ddb.whatever = \"vmware:key/list/()\"\n", "encrypt" },
		{ HEAD "something=vmware:KEY/list\n" FLAT, "encrypt" },
	};
	struct vd_error err;
	struct vd_layout *l;
	size_t i;

	refuse_all(texts, ARRAY_SIZE(texts));
	for (i = 0; i < ARRAY_SIZE(texts); i++)
		assert_int_equal(layout_of(texts[i].text, strlen(texts[i].text), &l, &err),
				 -EOPNOTSUPP);
}

/* The same words where a user has his say, or names a file. */
static void not_encrypted(void **state)
{
	static const char *const texts[] = {
		HEAD FLAT "ddb.comment = \"not vmware:key/ but vmwarevmcrypt\"\n",
		HEAD "RW 2048 FLAT \"vmwarevmcrypt.vmdk\" 0\n",
		HEAD "RW 2048 FLAT \"vmware:key/flat.vmdk\" 0\n",
		"# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=2\ncreateType=\"custom\"\n"
			"parentFileNameHint=\"vmwarevmcrypt/base.vmdk\"\n" FLAT,
		HEAD "changeTrackPath=\"vmwarevmcrypt-ctk.vmdk\"\n" FLAT,
	};
	struct vd_error err;
	struct vd_layout *l;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(texts); i++) {
		if (layout_of(texts[i], strlen(texts[i]), &l, &err))
			fail_msg("%s: %s", texts[i], err.text);
		vd_free(l);
	}
}

/* Devices: refused here, or marked so that the caller's policy refuses. */
static void devices(void **state)
{
	static const char *const texts[] = {
		TYPELESS "createType=\"vmfsRaw\"\nRW 2048 VMFSRAW \"/dev/sda\"\n",
		TYPELESS "createType=\"vmfsRawDeviceMap\"\nRW 2048 VMFSRDM \"a-rdm.vmdk\"\n",
		TYPELESS "createType=\"vmfsPassthroughRawDeviceMap\"\n"
		"RW 2048 VMFSRDM \"a-rdmp.vmdk\"\n",
		TYPELESS "createType=\"monolithicFlat\"\nRW 2048 FLAT \"/dev/sda\" 0\n",
		TYPELESS "createType=\"fullDevice\"\nRW 2048 FLAT \"/dev/sda\" 0\n",
		TYPELESS "createType=\"partitionedDevice\"\nRW 63 FLAT \"pt.vmdk\" 0\n"
		"RW 2048 FLAT \"/dev/sda\" 63\n",
	};
	unsigned int wrong = 0;
	size_t i;
	u32 s;

	for (i = 0; i < ARRAY_SIZE(texts); i++) {
		struct vd_error err;
		struct vd_layout *l;
		int ret = layout_of(texts[i], strlen(texts[i]), &l, &err);
		bool marked = false;

		if (ret) {
			assert_true(ut_is_refusal(ret));
			ut_assert_sentence(&err, ret);
			continue;
		}
		for (s = 0; s < l->nr_segs; s++)
			marked |= !!(vd_layout_segs(l)[s].flags & VD_LSEG_DEVICE);
		if (!marked) {
			print_error("not refused, not marked: %s\n", texts[i]);
			wrong++;
		}
		vd_free(l);
	}
	assert_int_equal(wrong, 0);
}

static void lone_carriage_return(void **state)
{
	static const char text[] = "# Disk DescriptorFile\rversion=1\rCID=1\rparentCID=ffffffff\r"
		"createType=\"monolithicFlat\"\rRW 2048 FLAT \"a\" 0\r";
	static const char inside[] = HEAD "RW 2048 FLAT \"a\rb\" 0\n";

	assert_true(refused("CR line ends", text, strlen(text), NULL));
	assert_true(refused("CR in a name", inside, strlen(inside), NULL));
}

/* Just past each cap; memory stays bounded meanwhile. */
static void past_the_caps(void **state)
{
	size_t room = 2 * VMDK_CAP_DESCRIPTOR, at, n;
	char *text = ut_xalloc(room);
	struct vd_error err;
	struct vd_layout *l;

	at = (size_t)sprintf(text, HEAD FLAT);
	memset(text + at, '\n', room - at);
	assert_true(refused("2 MiB", text, room, NULL));
	assert_true(refused("1 MiB and a byte", text, VMDK_CAP_DESCRIPTOR + 1, NULL));

	/* One byte decides: no other cap is near. */
	at = (size_t)sprintf(text, HEAD FLAT);
	memset(text + at, '#', room - at);
	for (n = at - 1; n < room; n += 1000)
		text[n] = '\n';
	assert_int_equal(layout_of(text, VMDK_CAP_DESCRIPTOR, &l, &err), 0);
	vd_free(l);
	assert_true(refused("1 MiB and a byte of comments", text, VMDK_CAP_DESCRIPTOR + 1, NULL));

	at = (size_t)sprintf(text, HEAD FLAT);
	for (n = 0; n < VMDK_CAP_LINES; n++)
		at += (size_t)sprintf(text + at, "#\n");
	assert_true(refused("lines", text, at, "line"));

	at = (size_t)sprintf(text, HEAD FLAT "# ");
	memset(text + at, 'x', VMDK_CAP_LINE + 1);
	at += VMDK_CAP_LINE + 1;
	text[at++] = '\n';
	assert_true(refused("a long line", text, at, "line"));

	at = (size_t)sprintf(text, HEAD);
	for (n = 0; n < VDISK_MAX_SEGMENTS + 1; n++)
		at += (size_t)sprintf(text + at, "RW 1 ZERO\n");
	assert_true(refused("extents", text, at, NULL));

	at = (size_t)sprintf(text, HEAD "RW 2048 FLAT \"");
	memset(text + at, 'n', 4096);
	at += 4096;
	at += (size_t)sprintf(text + at, "\" 0\n");
	assert_true(refused("a long name", text, at, NULL));

	/* The longest legal text costs at most a small multiple of itself. */
	at = (size_t)sprintf(text, HEAD);
	for (n = 0; n < VDISK_MAX_SEGMENTS - 8; n++)
		at += (size_t)sprintf(text + at, "RW 1 FLAT \"%0200zu\" 0\n", n);
	assert_int_equal(layout_of(text, at, &l, &err), 0);
	assert_true(ut_alloc.bytes <= VD_LAYOUT_MAX + 4 * VMDK_CAP_DESCRIPTOR);
	vd_free(l);
	free(text);
}

static void embedded_places(void **state)
{
	static const struct { const char *what; u64 off, size; } bad[] = {
		{ "no descriptor: a part of a split disk", 0, 0 },
		{ "no sectors", 1, 0 },
		{ "past the cap", 1, VMDK_CAP_DESC_SECTORS + 1 },
		{ "past the end", 1ULL << 30, 20 },
		{ "wraps", 1ULL << 55, 20 },
		{ "wraps to sector 1", (1ULL << 55) + 1, 20 },
		{ "size wraps", 1, 1ULL << 55 },
		{ "all ones", UINT64_MAX, UINT64_MAX },
		{ "in the tables", 60, 1 },
	};
	struct ut_disk *d = ut_disk_random(UT_MIB, 65536, 1, false);
	struct img_sparse s = { .flags = IMG_F_RGD, .descriptor =
		"# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n"
		"createType=\"monolithicSparse\"\nRW 2048 SPARSE \"x\"\n" };
	unsigned int wrong = 0;
	size_t i;

	img_sparse_write(&s, d);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		ut_put64(&s.buf, IMG_H_DESC, bad[i].off);
		ut_put64(&s.buf, IMG_H_DESC_SIZE, bad[i].size);
		wrong += !refused(bad[i].what, s.buf.data, s.buf.len, NULL);
		assert_true(ut_alloc.bytes < 4 * UT_MIB);
	}
	assert_int_equal(wrong, 0);
	ut_put64(&s.buf, IMG_H_DESC, 1);
	ut_put64(&s.buf, IMG_H_DESC_SIZE, 20);
	memcpy(s.buf.data, "kdmv", 4);
	assert_true(refused("file in progress", s.buf.data, s.buf.len, NULL));
	memcpy(s.buf.data, "KDMV", 4);
	ut_put32(&s.buf, IMG_H_VERSION, 4);
	assert_true(refused("version 4", s.buf.data, s.buf.len, "version"));
	ut_put32(&s.buf, IMG_H_VERSION, 1);
	/* "A descriptor area that is not text": what full encryption leaves. */
	ut_pattern(s.buf.data + 512, 20 * 512, 0, 99);
	assert_true(refused("noise", s.buf.data, s.buf.len, NULL));
	ut_put32(&s.buf, IMG_H_VERSION, 2);
	assert_true(refused("noise under version 2", s.buf.data, s.buf.len, "encrypt"));
	ut_buf_free(&s.buf);
	ut_disk_free(d);
}

static bool embedded_refused(const char *what, const char *lines, const char *word)
{
	struct ut_disk *d = ut_disk_random(UT_MIB, 65536, 1, false);
	struct img_sparse s = { .flags = IMG_F_RGD };
	char text[1024];
	bool ret;

	snprintf(text, sizeof(text), TYPELESS "createType=\"monolithicSparse\"\n%s", lines);
	s.descriptor = text;
	img_sparse_write(&s, d);
	ret = refused(what, s.buf.data, s.buf.len, word);
	ut_buf_free(&s.buf);
	ut_disk_free(d);
	return ret;
}

/* The text must be about the extent that it lies in. */
static void embedded_texts(void **state)
{
	assert_true(embedded_refused("another kind", "RW 2048 FLAT \"x\" 0\n", "SPARSE"));
	assert_true(embedded_refused("zeros first", "RW 1 ZERO\nRW 2048 SPARSE \"x\"\n", "SPARSE"));
	assert_true(embedded_refused("more sectors than the header", "RW 2049 SPARSE \"x\"\n",
				     "2049"));
	assert_true(embedded_refused("no extent", "", "extent"));
	assert_true(embedded_refused("COWD", "RW 2048 VMFSSPARSE \"x\"\n", NULL));
}

/* A descriptor area of the largest legal size, full of text: past the cap of a text. */
static void embedded_too_long(void **state)
{
	static const char first[] = TYPELESS "createType=\"monolithicSparse\"\n"
		"RW 2048 SPARSE \"x\"\n#";
	struct img_sparse s = { .version = 1, .flags = IMG_F_NEWLINE };
	u64 i, area = (u64)VMDK_CAP_DESC_SECTORS * 512;

	s.desc = 6;
	s.desc_sectors = VMDK_CAP_DESC_SECTORS;
	s.gd = 1;
	s.overhead = 6 + VMDK_CAP_DESC_SECTORS;
	img_header(&s.buf, 0, &s, 2048, 128, s.gd);
	ut_buf_size(&s.buf, 6 * 512 + area);
	memset(s.buf.data + 6 * 512, '#', area);
	for (i = 6 * 512 + 999; i < s.buf.len; i += 1000)
		s.buf.data[i] = '\n';
	ut_put(&s.buf, 6 * 512, first, strlen(first));
	assert_true(refused("10 MiB of text", s.buf.data, s.buf.len, NULL));
	assert_true(ut_alloc.bytes < 4 * UT_MIB);
	ut_buf_free(&s.buf);
}

static int score(const void *data, size_t len)
{
	struct vd_file *file = vd_ufile_mem(data, len, false);
	struct vd_probe probe = { 0 };

	assert_int_equal(vd_format_vmdk.probe(file, &probe), 0);
	vd_ufile_free(file);
	assert_true(probe.score >= 0 && probe.score <= 100);
	return probe.score;
}

static void probes(void **state)
{
	static const char *const yes[] = {
		"KDMV................................................................",
		"COWD................................................................",
		"\xbe\xba\xfe\xca\0\0\0\0........................................",
		HEAD FLAT, "\n \n# disk DESCRIPTORfile\n", "version=1\nCID=1\n",
		"\xef\xbb\xbf# Disk DescriptorFile\n",
	};
	static const char *const no[] = {
		"", "K", "KDM", "VMDK", "KDMW", "COWE", "\0\0\0\0KDMV", "hello\n",
		"#!/bin/sh\n# Disk DescriptorFile\n", "versionX=1\n", "\xbe\xba\xfe\xca\1\0\0\0",
	};
	u8 *zeros = ut_xalloc(2 * UT_MIB);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(yes); i++) {
		size_t len = i == 2 ? 40 : strlen(yes[i]);

		if (score(yes[i], len) < 50)
			fail_msg("yes[%zu] scored %d", i, score(yes[i], len));
	}
	for (i = 0; i < ARRAY_SIZE(no); i++) {
		size_t len = i == 6 || i == 10 ? 8 : strlen(no[i]);

		if (score(no[i], len))
			fail_msg("no[%zu] scored %d", i, score(no[i], len));
	}
	assert_int_equal(score(zeros, 2 * UT_MIB), 0);
	/* Text in a big file: a disk whose guest wrote a descriptor into sector 0. */
	memset(zeros, '\n', 2 * UT_MIB);
	memcpy(zeros, HEAD FLAT, strlen(HEAD FLAT));
	assert_true(!score(zeros, 2 * UT_MIB) || refused("big file", zeros, 2 * UT_MIB, NULL));
	free(zeros);
	/* Raw never wins by content. */
	if (vd_format_raw.probe) {
		struct vd_file *file = vd_ufile_mem("abcd", 4, false);
		struct vd_probe probe = { 0 };

		assert_int_equal(vd_format_raw.probe(file, &probe), 0);
		assert_true(probe.score < 50);
		vd_ufile_free(file);
	}
}

/* What comes out of the parser's child process is hostile as well. */
static void damaged_blocks(void **state)
{
	static const char text[] = TYPELESS "createType=\"custom\"\nRW 63 FLAT \"a\" 0\nRW 1 ZERO\n"
		"RW 2048 SPARSE \"b\"\n";
	struct ut_rng rng = { 17 };
	struct vd_error err;
	struct vd_layout *l, *copy;
	size_t len, i;
	int n;

	assert_int_equal(layout_of(text, strlen(text), &l, &err), 0);
	len = l->total;
	copy = ut_xalloc(len);
	for (i = 0; i < len; i++) {
		u8 *cut = ut_xalloc(i);		/* ASan sees a read past the end */

		memcpy(cut, l, i);
		assert_true(vd_layout_check((const void *)cut, i, &err) < 0);
		free(cut);
	}
#define SPOIL(change) do {							\
		memcpy(copy, l, len);						\
		change;								\
		memset(&err, 0, sizeof(err));					\
		assert_true(vd_layout_check(copy, len, &err) < 0);		\
		ut_assert_sentence(&err, err.code);				\
	} while (0)
#define SEG(i) ((struct vd_layout_seg *)(void *)(copy + 1) + (i))
	SPOIL(copy->magic++);
	SPOIL(copy->total++);
	SPOIL(copy->total--);
	SPOIL(copy->total = 0);
	SPOIL(copy->nr_segs++);
	SPOIL(copy->nr_segs = 0xffffffff);
	SPOIL(copy->nr_segs = 0);
	SPOIL(copy->pool_len = 0xffffffff);
	SPOIL(copy->pool_len++);
	SPOIL(copy->props.size += 512);
	SPOIL(copy->props.size = UINT64_MAX);
	SPOIL(copy->subformat = copy->pool_len);
	SPOIL(copy->subformat = 0xffffffff);
	SPOIL(copy->warning = 0x80000000);
	SPOIL(SEG(0)->name = copy->pool_len);
	SPOIL(SEG(0)->start = 512);
	SPOIL(SEG(1)->start += 512);
	SPOIL(SEG(2)->len = UINT64_MAX - 511);
	SPOIL(SEG(2)->len = 0);
	SPOIL(SEG(1)->len = 100);
	SPOIL(((char *)copy)[len - 1] = 'x');	/* last string without its end */
	SPOIL(copy->flags |= 1U << 31);
	SPOIL(copy->flags ^= VD_LAYOUT_RDONLY);	/* text and flag go together */
	SPOIL(copy->flags ^= VD_LAYOUT_WARNING);
	SPOIL(copy->ro_reason = copy->ro_reason ? 0 : copy->subformat);
	SPOIL(copy->props.parent_name = copy->subformat);
	SPOIL(copy->parent_format = copy->subformat);	/* of no parent */
	SPOIL(copy->format = VDISK_FORMAT_UNSPEC);
	SPOIL(copy->format = __VDISK_FORMAT_END);
	SPOIL(SEG(0)->kind = 0xdead);
	SPOIL(SEG(0)->kind = 2);
	SPOIL(SEG(0)->flags = 1U << 31);
	SPOIL(SEG(0)->flags = VD_LSEG_SELF);	/* this file, and a name */
	SPOIL(SEG(0)->pad = 1);
	SPOIL(SEG(0)->name = 0);		/* a file without a name */
	SPOIL(SEG(1)->name = SEG(0)->name);	/* zeros with a name */
	SPOIL(SEG(0)->offset = 100);
	SPOIL(SEG(0)->offset = UINT64_MAX - 511);
	SPOIL(SEG(2)->offset = 512);		/* a table format begins at 0 */
	SPOIL(SEG(0)->name++);			/* "": inside a string, at its end */
	SPOIL(((char *)(SEG(3)))[SEG(0)->name] = '\n');
	SPOIL(((char *)(SEG(3)))[SEG(0)->name] = '\x7f');
#undef SEG
#undef SPOIL
	/* Any damage: no crash, and what passes can be walked without leaving the block. */
	for (n = 0; n < 6000; n++) {
		u32 s;

		memcpy(copy, l, len);
		for (i = 0; i <= ut_below(&rng, 3); i++)
			((u8 *)copy)[ut_below(&rng, len)] = (u8)ut_rand(&rng);
		if (vd_layout_check(copy, len, &err))
			continue;
		for (s = 0; s < copy->nr_segs; s++) {
			const char *name = vd_layout_str(copy, vd_layout_segs(copy)[s].name);

			if (name)
				assert_true(name + strlen(name) < (char *)copy + len);
		}
	}
	free(copy);
	vd_free(l);
}

/* Everything is consistent but for the number of segments. */
static void too_many_segments(void **state)
{
	size_t len = sizeof(struct vd_layout) +
		(VDISK_MAX_SEGMENTS + 1) * sizeof(struct vd_layout_seg) + 2;
	struct vd_layout *l = ut_xalloc(len);
	struct vd_layout_seg *seg = (struct vd_layout_seg *)(void *)(l + 1);
	struct vd_error err = { 0 };
	u32 i;

	for (i = 0; i <= VDISK_MAX_SEGMENTS; i++)
		seg[i] = (struct vd_layout_seg){ .start = i * 512ULL, .len = 512 };
	*l = (struct vd_layout){ .magic = VD_LAYOUT_MAGIC, .format = VDISK_FORMAT_VMDK,
				 .nr_segs = VDISK_MAX_SEGMENTS, .pool_len = 2,
				 .props.mask = VD_PROP_SIZE,
				 .props.size = VDISK_MAX_SEGMENTS * 512ULL };
	l->total = (u32)(len - sizeof(*seg));
	assert_int_equal(vd_layout_check(l, l->total, &err), 0);
	l->total = (u32)len;
	l->nr_segs++;
	l->props.size += 512;
	assert_true(vd_layout_check(l, l->total, &err) < 0);
	free(l);
}

/* Random damage to texts: an answer, no crash, bounded memory. */
static void random_texts(void **state)
{
	static const char text[] = TYPELESS "createType=\"custom\"\nparentFileNameHint=\"p.vmdk\"\n"
		"RW 63 FLAT \"a\" 0\nRDONLY 1 ZERO\nNOACCESS 2048 SPARSE \"b\"\n"
		"ddb.uuid.image=\"3f5cde62-6d36-4c36-ad72-ad9f3f321eb0\"\n"
		"ddb.comment=\"a\\nb\\\\\"\nddb.geometry.cylinders = \"301\"\n";
	static const char dice[] = "\"\\ \t\r\n=#0159RWF\x80\xff";
	char buf[sizeof(text) + 8];
	struct ut_rng rng = { 18 };
	int n, i;

	for (n = 0; n < 6000; n++) {
		size_t len = sizeof(text) - 1, at;
		struct vd_error err;
		struct vd_layout *l;

		memcpy(buf, text, len);
		for (i = (int)ut_below(&rng, 5); i >= 0; i--) {
			at = ut_below(&rng, len);
			if (ut_below(&rng, 3))
				buf[at] = dice[ut_below(&rng, sizeof(dice))];
			else
				memmove(buf + at, buf + at + 1, --len - at);
		}
		if (!ut_below(&rng, 4))
			len = ut_below(&rng, len + 1);
		if (layout_of(buf, len, &l, &err))
			ut_assert_sentence(&err, err.code);
		vd_free(l);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(extent_lines),
		cmocka_unit_test(header_keys),
		cmocka_unit_test(encrypted),
		cmocka_unit_test(not_encrypted),
		cmocka_unit_test(devices),
		cmocka_unit_test(lone_carriage_return),
		cmocka_unit_test(past_the_caps),
		cmocka_unit_test(embedded_places),
		cmocka_unit_test(embedded_texts),
		cmocka_unit_test(embedded_too_long),
		cmocka_unit_test(probes),
		cmocka_unit_test(damaged_blocks),
		cmocka_unit_test(too_many_segments),
		cmocka_unit_test(random_texts),
	};

	return cmocka_run_group_tests_name("layout-refuse", tests, NULL, NULL);
}
