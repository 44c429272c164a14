// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hosted sparse headers that lie. Each is refused at open with the right kind
 * of errno and a sentence, after few reads and with little memory, whatever
 * number the header holds.
 */
#include "img-sparse.h"

#define GRAIN		(64 * UT_KIB)
#define DISK		(10 * UT_MIB)
/* DESIGN's promise for attach: what a hostile image may cost on top of a valid one. */
#define MEMORY_BUDGET	(512 * UT_KIB)
#define READ_BUDGET	64

enum verdict {
	DAMAGED = 1,		/* -EUCLEAN */
	UNSUPPORTED = 2,	/* -EOPNOTSUPP */
	EITHER = 3,
};

struct lie {
	const char *what;
	u32 off;
	u32 bytes;
	u64 value;
	enum verdict verdict;
};

static const struct lie lies[] = {
	{ "magic", IMG_H_MAGIC, 4, 0x564d444a, EITHER },
	{ "magic of a file in progress", IMG_H_MAGIC, 4, 0x766d646b, EITHER },
	{ "version 0", IMG_H_VERSION, 4, 0, EITHER },
	{ "version 4", IMG_H_VERSION, 4, 4, UNSUPPORTED },
	{ "version huge", IMG_H_VERSION, 4, 0xffffffff, UNSUPPORTED },
	{ "unknown flag, bit 18", IMG_H_FLAGS, 4, 0x3 | 1U << 18, UNSUPPORTED },
	{ "unknown flag, bit 31", IMG_H_FLAGS, 4, 0x3 | 1U << 31, UNSUPPORTED },
	{ "markers without compression", IMG_H_FLAGS, 4, 0x3 | IMG_F_MARKERS, EITHER },
	{ "compression flag alone", IMG_H_FLAGS, 4, 0x3 | IMG_F_COMPRESSED, EITHER },
	{ "capacity 0", IMG_H_CAPACITY, 8, 0, DAMAGED },
	{ "capacity below the disk", IMG_H_CAPACITY, 8, DISK / 512 - 1, DAMAGED },
	{ "capacity 2^44", IMG_H_CAPACITY, 8, 1ULL << 44, EITHER },
	{ "capacity 2^55", IMG_H_CAPACITY, 8, 1ULL << 55, EITHER },
	{ "capacity all ones", IMG_H_CAPACITY, 8, UINT64_MAX, EITHER },
	{ "capacity just past the directory cap", IMG_H_CAPACITY, 8,
	  VMDK_CAP_GD_ENTRIES * 512ULL * 128 + 1, EITHER },
	{ "grain size 0", IMG_H_GRAIN, 8, 0, DAMAGED },
	{ "grain size 3", IMG_H_GRAIN, 8, 3, DAMAGED },
	{ "grain size 129", IMG_H_GRAIN, 8, 129, DAMAGED },
	{ "grain size past the cap", IMG_H_GRAIN, 8, 2 * VMDK_CAP_GRAIN_SECTORS, EITHER },
	{ "grain size 2^21", IMG_H_GRAIN, 8, 1ULL << 21, EITHER },
	{ "grain size 2^32", IMG_H_GRAIN, 8, 1ULL << 32, EITHER },
	{ "grain size 2^55", IMG_H_GRAIN, 8, 1ULL << 55, EITHER },
	{ "grain size 2^63", IMG_H_GRAIN, 8, 1ULL << 63, EITHER },
	{ "entries 0", IMG_H_GTES, 4, 0, EITHER },
	{ "entries 256", IMG_H_GTES, 4, 256, EITHER },
	{ "entries 513", IMG_H_GTES, 4, 513, EITHER },
	{ "entries 1024", IMG_H_GTES, 4, 1024, EITHER },
	{ "entries 2^31", IMG_H_GTES, 4, 1U << 31, EITHER },
	{ "entries all ones", IMG_H_GTES, 4, 0xffffffff, EITHER },
	{ "redundant directory 0 with its flag", IMG_H_RGD, 8, 0, DAMAGED },
	{ "redundant directory past the file", IMG_H_RGD, 8, 1ULL << 40, DAMAGED },
	{ "redundant directory wraps", IMG_H_RGD, 8, (1ULL << 55) + 21, DAMAGED },
	{ "redundant directory in the header", IMG_H_RGD, 8, 1ULL << 63, DAMAGED },
	{ "directory 0", IMG_H_GD, 8, 0, DAMAGED },
	{ "directory past the file", IMG_H_GD, 8, 1ULL << 31, DAMAGED },
	{ "directory wraps to a good one", IMG_H_GD, 8, (1ULL << 55) + 26, DAMAGED },
	{ "directory wraps", IMG_H_GD, 8, UINT64_MAX - 1, DAMAGED },
	{ "directory at the end without a footer", IMG_H_GD, 8, IMG_GD_AT_END, EITHER },
	{ "overhead past the file", IMG_H_OVERHEAD, 8, 1ULL << 31, DAMAGED },
	{ "overhead wraps", IMG_H_OVERHEAD, 8, 1ULL << 55, DAMAGED },
	{ "overhead all ones", IMG_H_OVERHEAD, 8, UINT64_MAX, DAMAGED },
	{ "text transfer", IMG_H_NEWLINE, 4, 0x0a0a0a20, DAMAGED },
	{ "CR LF turned into LF", IMG_H_NEWLINE, 4, 0x000a200a, DAMAGED },
	{ "compression 2", IMG_H_COMPRESS, 2, 2, UNSUPPORTED },
	{ "compression all ones", IMG_H_COMPRESS, 2, 0xffff, UNSUPPORTED },
	{ "compression without its flag", IMG_H_COMPRESS, 2, 1, EITHER },
};

static void image(struct img_sparse *s, struct ut_disk **disk)
{
	struct ut_disk *d = ut_disk_random(DISK, GRAIN, 3, false);

	memset(s, 0, sizeof(*s));
	s->flags = IMG_F_RGD;
	s->descriptor = "# Disk DescriptorFile\nversion=1\n";
	img_sparse_write(s, d);
	*disk = d;
}

static void set_of(struct ut_set *set, const struct ut_buf *b)
{
	memset(set, 0, sizeof(*set));
	ut_set_buf(set, b);
	ut_set_image(set, VDISK_FORMAT_VMDK, DISK);
	ut_set_seg(set, VDISK_SEG_VMDK_SPARSE, 0, 0, DISK, 0);
}

/* Open under count and account; the refusal or 0. */
static int measured_open(const struct ut_buf *b, struct vd_error *err, struct ut_count *count)
{
	struct ut_set set;
	int ret;

	memset(count, 0, sizeof(*count));
	set_of(&set, b);
	ut_set_count(&set, count);
	ut_alloc_start(-1, false);
	ret = ut_try_open(&set, err);
	ut_alloc_stop();
	assert_int_equal(count->others, 0);
	ut_set_free(&set);
	return ret;
}

static void the_honest_one(void **state)
{
	struct vd_chain *chain;
	struct img_sparse s;
	struct ut_disk *d;
	struct ut_set set;
	struct ut_count count;
	struct vd_error err;

	image(&s, &d);
	assert_int_equal(s.desc, 1);
	assert_int_equal(s.rgd, 21);	/* the canonical layout of a small disk */
	assert_int_equal(s.gd, 26);
	assert_int_equal(s.overhead, 128);
	assert_int_equal(measured_open(&s.buf, &err, &count), 0);
	assert_true(count.reads <= READ_BUDGET);
	assert_true(ut_alloc.bytes <= MEMORY_BUDGET);
	set_of(&set, &s.buf);
	chain = ut_open(&set);
	ut_check(chain, d->data, DISK);
	vd_chain_close(chain);
	ut_set_free(&set);
	ut_buf_free(&s.buf);
	ut_disk_free(d);
}

static void every_lie(void **state)
{
	struct ut_count count;
	struct vd_error err;
	struct img_sparse s;
	struct ut_disk *d;
	unsigned int bad = 0;
	size_t i;

	image(&s, &d);
	for (i = 0; i < ARRAY_SIZE(lies); i++) {
		const struct lie *lie = &lies[i];
		u64 was = ut_get_le(&s.buf, lie->off, lie->bytes);
		bool right;
		int ret;

		ut_put_le(&s.buf, lie->off, lie->value, lie->bytes);
		ret = measured_open(&s.buf, &err, &count);
		right = (ret == -EUCLEAN && lie->verdict & DAMAGED) ||
			(ret == -EOPNOTSUPP && lie->verdict & UNSUPPORTED);
		if (!right || !err.text[0]) {
			print_error("%s: open returned %d \"%s\"\n", lie->what, ret, err.text);
			bad++;
		} else {
			ut_assert_sentence(&err, ret);
		}
		if (count.reads > READ_BUDGET || ut_alloc.bytes > MEMORY_BUDGET) {
			print_error("%s: %llu reads, %llu bytes of memory\n", lie->what,
				    (unsigned long long)count.reads,
				    (unsigned long long)ut_alloc.bytes);
			bad++;
		}
		ut_put_le(&s.buf, lie->off, was, lie->bytes);
	}
	assert_int_equal(bad, 0);
	ut_buf_free(&s.buf);
	ut_disk_free(d);
}

/* Structures that share sectors. */
static void overlaps(void **state)
{
	static const struct { const char *what; u32 off; u64 value; } twins[] = {
		{ "directory in the header", IMG_H_GD, 0 },
		{ "both directories are one", IMG_H_RGD, 26 },
		{ "directory in the descriptor", IMG_H_GD, 5 },
		{ "redundant directory in the descriptor", IMG_H_RGD, 20 },
		{ "descriptor over the directories", IMG_H_DESC, 10 },
		{ "descriptor over the header", IMG_H_DESC_SIZE, 1ULL << 55 },
	};
	struct ut_count count;
	struct vd_error err;
	struct img_sparse s;
	struct ut_disk *d;
	unsigned int bad = 0;
	size_t i;

	image(&s, &d);
	for (i = 0; i < ARRAY_SIZE(twins); i++) {
		u64 was = ut_get_le(&s.buf, twins[i].off, 8);
		int ret;

		ut_put64(&s.buf, twins[i].off, twins[i].value);
		ret = measured_open(&s.buf, &err, &count);
		if (ret != -EUCLEAN) {
			print_error("%s: open returned %d \"%s\"\n", twins[i].what, ret, err.text);
			bad++;
		}
		ut_put64(&s.buf, twins[i].off, was);
	}
	assert_int_equal(bad, 0);
	ut_buf_free(&s.buf);
	ut_disk_free(d);
}

/* Any length of file: clean refusal, or a chain whose every read is right or fails. */
static void truncated_files(void **state)
{
	u8 *buf = ut_xalloc(GRAIN);
	struct vd_chain *chain;
	struct img_sparse s;
	struct vd_error err;
	struct ut_disk *d;
	struct ut_set set;
	u64 len, g;

	image(&s, &d);
	for (len = 0; len < s.buf.len; len = len < 128 * 512 ? len + 251 : len + 130000) {
		struct ut_buf cut = { .data = s.buf.data, .len = len };
		struct vd_chain_desc desc;

		set_of(&set, &cut);
		desc = ut_set_desc(&set);
		memset(&err, 0, sizeof(err));
		chain = NULL;
		if (vd_chain_open(&desc, &chain, &err)) {
			/* Reads all worked: that something is missing is damage. */
			assert_int_equal(err.code, -EUCLEAN);
			ut_assert_sentence(&err, err.code);
			ut_set_free(&set);
			continue;
		}
		assert_true(len > 26 * 512);
		for (g = 0; g < d->nr; g++) {
			if (vd_read(chain, NULL, g * GRAIN, buf, GRAIN))
				continue;
			/* The one grain that the cut went through may end in zeros. */
			if (memcmp(buf, d->data + g * GRAIN, GRAIN)) {
				u64 same = 0;

				while (buf[same] == d->data[g * GRAIN + same])
					same++;
				assert_true(ut_all_zero(buf + same, GRAIN - same));
				assert_true(d->state[g] == UT_DATA);
			}
		}
		vd_chain_close(chain);
		ut_set_free(&set);
	}
	free(buf);
	ut_buf_free(&s.buf);
	ut_disk_free(d);
}

/* A huge but legal directory costs nothing until somebody reads through it. */
static void huge_directory(void **state)
{
	struct img_sparse s = { .version = 1, .flags = IMG_F_NEWLINE };
	u64 size = VMDK_CAP_GD_ENTRIES * 512ULL * 128 * 512;
	struct ut_count count = { 0 };
	struct vd_chain *chain;
	struct vd_extent ext;
	struct ut_set set = { 0 };

	s.gd = 1;
	s.overhead = 1 + VMDK_CAP_GD_ENTRIES * 4 / 512;
	s.overhead = (s.overhead + 127) / 128 * 128;
	img_header(&s.buf, 0, &s, size / 512, 128, s.gd);
	ut_buf_size(&s.buf, s.overhead * 512);
	ut_set_buf(&set, &s.buf);
	ut_set_image(&set, VDISK_FORMAT_VMDK, size);
	ut_set_seg(&set, VDISK_SEG_VMDK_SPARSE, 0, 0, size, 0);
	ut_set_count(&set, &count);
	ut_alloc_start(-1, false);
	chain = ut_open(&set);
	assert_true(count.reads <= READ_BUDGET);
	assert_true(ut_alloc.bytes <= MEMORY_BUDGET);
	/* One map call does a bounded number of steps. */
	assert_int_equal(vd_map(chain, 0, size, 0, &ext), 0);
	assert_int_equal(ext.type, VD_EXT_HOLE);
	assert_true(count.reads <= READ_BUDGET + VD_CAP_MAP_STEPS);
	ut_alloc_stop();
	assert_int_equal(vd_map(chain, size - 512, 512, 0, &ext), 0);
	vd_chain_close(chain);
	ut_set_free(&set);
	ut_buf_free(&s.buf);
}

/* One table more than the cap, in a file that has room for it all. */
static void too_huge_directory(void **state)
{
	struct img_sparse s = { .version = 1, .flags = IMG_F_NEWLINE };
	u64 size = VMDK_CAP_GD_ENTRIES * 512ULL * 8 * 512 + 512;
	struct ut_set set = { 0 };

	s.gd = 1;
	s.overhead = 8 * (VMDK_CAP_GD_ENTRIES * 4 / 512 / 8 + 2);
	img_header(&s.buf, 0, &s, size / 512, 8, s.gd);
	ut_buf_size(&s.buf, s.overhead * 512);
	ut_set_buf(&set, &s.buf);
	ut_set_image(&set, VDISK_FORMAT_VMDK, size);
	ut_set_seg(&set, VDISK_SEG_VMDK_SPARSE, 0, 0, size, 0);
	ut_assert_refused(&set, "one grain table too many");
	ut_put64(&s.buf, IMG_H_CAPACITY, size / 512 - 1);
	vd_ufile_free(set.files[0]);
	set.files[0] = vd_ufile_mem(s.buf.data, s.buf.len, false);
	set.images[0].size = set.segs[0].len = size - 512;
	vd_chain_close(ut_open(&set));
	ut_set_free(&set);
	ut_buf_free(&s.buf);
}

/* Random bytes over header and tables: any answer but a wrong kind of one. */
static void mutations(void **state)
{
	struct ut_rng rng = { 2024 };
	u8 *buf = ut_xalloc(DISK);
	struct ut_count count;
	struct img_sparse s;
	struct ut_disk *d;
	u8 keep[128 * 512];
	int i, j;

	image(&s, &d);
	memcpy(keep, s.buf.data, sizeof(keep));
	for (i = 0; i < 400; i++) {
		struct vd_chain_desc desc;
		struct vd_chain *chain = NULL;
		struct vd_error err = { 0 };
		struct ut_set set;
		u64 pos;

		for (j = (int)ut_below(&rng, 4); j >= 0; j--) {
			pos = ut_below(&rng, 3) ? ut_below(&rng, 80) : ut_below(&rng, sizeof(keep));
			s.buf.data[pos] = ut_below(&rng, 2) ? (u8)ut_rand(&rng) :
				(u8)(s.buf.data[pos] ^ 1 << ut_below(&rng, 8));
		}
		memset(&count, 0, sizeof(count));
		set_of(&set, &s.buf);
		ut_set_count(&set, &count);
		desc = ut_set_desc(&set);
		ut_alloc_start(-1, false);
		if (vd_chain_open(&desc, &chain, &err)) {
			assert_true(err.code == -EUCLEAN || err.code == -EOPNOTSUPP ||
				    err.code == -EIO || err.code == -EINVAL);
			ut_assert_sentence(&err, err.code);
		} else {
			struct vd_unit unit = { 0 };

			if (chain->max_unit)
				assert_int_equal(vd_unit_prepare(&unit, chain->max_unit), 0);
			for (pos = 0; pos < DISK; pos += 256 * UT_KIB)
				vd_read(chain, &unit, pos, buf, 256 * UT_KIB);
			vd_unit_release(&unit);
			vd_chain_close(chain);
		}
		ut_alloc_stop();
		assert_true(count.reads < 20000);
		ut_set_free(&set);
		memcpy(s.buf.data, keep, sizeof(keep));
	}
	free(buf);
	ut_buf_free(&s.buf);
	ut_disk_free(d);
}

/* A file that says something else each time it is read: whoever owns it can do that. */
struct liar {
	struct vd_file file;
	struct vd_file *low;
	struct ut_rng rng;
	u64 reads;
};

static s64 liar_read(struct vd_file *file, u64 pos, void *buf, u32 len)
{
	struct liar *l = container_of(file, struct liar, file);
	s64 ret = l->low->ops->read(l->low, pos, buf, len);
	int i;

	for (i = 0; ret > 0 && l->reads % 2 && i < 3; i++)
		((u8 *)buf)[ut_below(&l->rng, (u64)ret)] = (u8)ut_rand(&l->rng);
	l->reads++;
	return ret;
}

static int liar_size(struct vd_file *file, u64 *size)
{
	*size = file->size;
	return 0;
}

static const struct vd_file_ops liar_ops = { .read = liar_read, .size = liar_size };

static void changing_file(void **state)
{
	u8 *buf = ut_xalloc(DISK);
	struct img_stream st = { .footer = true, .level = 6 };
	struct ut_disk *small = ut_disk_random(DISK, GRAIN, 8, false), *d;
	struct img_sparse s;
	int i;

	image(&s, &d);
	img_stream_write(&st, small);
	for (i = 0; i < 400; i++) {
		const struct ut_buf *b = i % 2 ? &s.buf : &st.s.buf;
		struct liar l = { .file = { .ops = &liar_ops, .size = b->len }, .rng = { i },
				  .reads = (u64)i / 2 };
		struct ut_set set = { .files = { &l.file }, .nr_files = 1 };
		struct vd_chain_desc desc;
		struct vd_chain *chain = NULL;
		struct vd_unit unit = { 0 };
		struct vd_error err = { 0 };
		u64 pos;

		l.low = vd_ufile_mem(b->data, b->len, false);
		ut_set_image(&set, VDISK_FORMAT_VMDK, DISK);
		ut_set_seg(&set, VDISK_SEG_VMDK_SPARSE, 0, 0, DISK, 0);
		desc = ut_set_desc(&set);
		if (!vd_chain_open(&desc, &chain, &err)) {
			if (chain->max_unit)
				assert_int_equal(vd_unit_prepare(&unit, chain->max_unit), 0);
			for (pos = 0; pos < DISK; pos += 512 * UT_KIB)
				vd_read(chain, &unit, pos, buf, 512 * UT_KIB);
			vd_unit_release(&unit);
			vd_chain_close(chain);
		}
		vd_ufile_free(l.low);
	}
	free(buf);
	ut_buf_free(&s.buf);
	ut_buf_free(&st.s.buf);
	ut_disk_free(d);
	ut_disk_free(small);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_honest_one),
		cmocka_unit_test(every_lie),
		cmocka_unit_test(overlaps),
		cmocka_unit_test(truncated_files),
		cmocka_unit_test(huge_directory),
		cmocka_unit_test(too_huge_directory),
		cmocka_unit_test(mutations),
		cmocka_unit_test(changing_file),
	};

	return cmocka_run_group_tests_name("hostile", tests, NULL, NULL);
}
