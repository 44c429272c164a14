// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a VDI's header says: why an image is not opened, why it is not written, and
 * what it tells of itself.
 */
#include "img-vdi.h"
#include "ut-far.h"
#include "vdisk/alloc.h"

#define SIZE	(40 * 4096ULL)
#define TIB	(1ULL << 40)

static struct ut_disk *disk(void)
{
	return ut_disk_random(SIZE, 4096, 21, true);
}

static int layout(struct vd_file *file, struct vd_layout **l, struct vd_error *err)
{
	*l = NULL;
	memset(err, 0, sizeof(*err));
	return vd_format_vdi.user->layout(file, l, err);
}

/* --- refused --- */

/* Told by the layout, by the extent's state and by an open alike. */
static void refused_file(struct vd_file *file, int code, const char *text)
{
	struct vd_extent_state state;
	struct ut_set set = { 0 };
	struct vd_layout *l;
	struct vd_error err;
	int ret = layout(file, &l, &err);

	if (ret != code || !strstr(err.text, text))
		fail_msg("not %d \"%s\", but %d \"%s\"", code, text, ret, err.text);
	ut_assert_sentence(&err, code);
	assert_null(l);
	memset(&err, 0, sizeof(err));
	assert_int_equal(vd_format_vdi.user->extent(file, VDISK_SEG_VDI, &state, &err), code);
	assert_non_null(strstr(err.text, text));
	ut_set_file(&set, file);
	img_vdi_image(&set, SIZE);
	assert_int_equal(ut_try_open(&set, &err), code);
	assert_non_null(strstr(err.text, text));
}

static void refused(const struct ut_buf *b, int code, const char *text)
{
	struct vd_file *file = vd_ufile_mem(b->data, b->len, false);

	refused_file(file, code, text);
	vd_ufile_free(file);
}

struct lie {
	u32 pos;
	u32 bytes;
	u64 value;
	int code;
	const char *text;
};

static void told(struct img_vdi v, const struct lie *lie, size_t nr)
{
	struct ut_disk *d = disk();
	size_t i;

	img_vdi_write(&v, d);
	for (i = 0; i < nr; i++) {
		u64 was = ut_get_le(&v.buf, lie[i].pos, lie[i].bytes);

		ut_put_le(&v.buf, lie[i].pos, lie[i].value, lie[i].bytes);
		refused(&v.buf, lie[i].code, lie[i].text);
		ut_put_le(&v.buf, lie[i].pos, was, lie[i].bytes);
	}
	ut_buf_free(&v.buf);
	ut_disk_free(d);
}

/* The image has 40 blocks of 4096 bytes, its map at 512, data at 1024. */
static void lies(void **state)
{
	static const struct lie lie[] = {
		{ 64, 4, 0xbeda107e, -EUCLEAN, "signature at byte 64 is 0xbeda107e, not 0xbeda107f" },
		{ 68, 4, 0, -EOPNOTSUPP, "version at byte 68 is 0.0, legal are 0.2 and 1.x" },
		{ 68, 4, 1, -EOPNOTSUPP, "version at byte 68 is 0.1, legal" },
		{ 68, 4, 3, -EOPNOTSUPP, "version at byte 68 is 0.3, legal" },
		{ 68, 4, 0x20000, -EOPNOTSUPP, "version at byte 68 is 2.0, legal" },
		{ 68, 4, 0xffff0001, -EOPNOTSUPP, "version at byte 68 is 65535.1, legal" },
		{ 72, 4, 0, -EUCLEAN, "cbHeader is 0, legal are 384 and more" },
		{ 72, 4, 348, -EUCLEAN, "cbHeader is 348, legal are 384 and more" },
		{ 72, 4, 383, -EUCLEAN, "cbHeader is 383, legal are 384 and more" },
		{ 72, 4, 441, -EUCLEAN, "begins at byte 512, inside the header, which ends at 513" },
		{ 72, 4, 0xffffffff, -EUCLEAN, "inside the header, which ends at 4294967367" },
		{ 76, 4, 0, -EUCLEAN, "image type is 0, legal are 1 to 4" },
		{ 76, 4, 5, -EUCLEAN, "image type is 5, legal are 1 to 4" },
		{ 76, 4, 0x80000001, -EUCLEAN, "image type is 2147483649, legal are 1 to 4" },
		{ 340, 4, 0, -EUCLEAN, "begins at byte 0, inside the header, which ends at 472" },
		{ 340, 4, 468, -EUCLEAN, "begins at byte 468, inside the header" },
		{ 340, 4, 474, -EOPNOTSUPP, "begins at byte 474, which is no multiple of 4" },
		{ 340, 4, 0x7ffffffc, -EUCLEAN, "data begins at byte 1024, inside the map" },
		{ 344, 4, 512 + 159, -EUCLEAN, "begins at byte 671, inside the map, which ends at 672" },
		{ 344, 4, 0, -EUCLEAN, "data begins at byte 0, inside the map" },
		{ 368, 8, 0, -EUCLEAN, "the disk has 0 bytes, legal are 512 and more" },
		{ 368, 8, 511, -EUCLEAN, "the disk has 511 bytes, legal are 512 and more" },
		{ 368, 8, 64 * TIB + 1, -EOPNOTSUPP, "70368744177665 bytes, more than 64 TiB" },
		{ 368, 8, U64_MAX, -EOPNOTSUPP, "18446744073709551615 bytes, more than 64 TiB" },
		{ 368, 8, SIZE + 1, -EUCLEAN, "40 blocks of 4096 bytes are less than the disk's 163841" },
		{ 368, 8, 64 * TIB, -EUCLEAN, "are less than the disk's 70368744177664 bytes" },
		{ 376, 4, 0, -EUCLEAN, "blocks of 0 bytes, legal are powers of two from 512" },
		{ 376, 4, 256, -EUCLEAN, "blocks of 256 bytes, legal are powers of two from 512" },
		{ 376, 4, 4097, -EUCLEAN, "blocks of 4097 bytes, legal are powers of two" },
		{ 376, 4, 6144, -EUCLEAN, "blocks of 6144 bytes, legal are powers of two" },
		{ 376, 4, 512 << 20, -EOPNOTSUPP, "blocks of 536870912 bytes, more than 256 MiB" },
		{ 376, 4, 1U << 31, -EOPNOTSUPP, "blocks of 2147483648 bytes, more than 256 MiB" },
		{ 376, 4, 2048, -EUCLEAN, "40 blocks of 2048 bytes are less than the disk's" },
		{ 380, 4, 3, -EUCLEAN, "3 extra bytes a block, legal are 0 and powers of two" },
		{ 380, 4, 0xffffffff, -EUCLEAN, "4294967295 extra bytes a block, legal are 0" },
		{ 384, 4, 0, -EUCLEAN, "0 blocks of 4096 bytes are less than the disk's" },
		{ 384, 4, 39, -EUCLEAN, "39 blocks of 4096 bytes are less than the disk's" },
		{ 384, 4, 129, -EUCLEAN, "begins at byte 1024, inside the map, which ends at 1028" },
		{ 384, 4, 1U << 30, -EUCLEAN, "inside the map, which ends at 4294967808" },
		{ 384, 4, 0xffffffff, -EUCLEAN, "inside the map, which ends at 17179869692" },
	};

	told((struct img_vdi){ .seed = 1 }, lie, ARRAY_SIZE(lie));
}

static void lies_of_0_2(void **state)
{
	static const struct lie lie[] = {
		{ 72, 4, 0, -EUCLEAN, "image type is 0, legal are 1 to 4" },
		{ 72, 4, 5, -EUCLEAN, "image type is 5, legal are 1 to 4" },
		{ 352, 8, 511, -EUCLEAN, "the disk has 511 bytes, legal are 512 and more" },
		{ 352, 8, SIZE + 1, -EUCLEAN, "40 blocks of 4096 bytes are less than the disk's" },
		{ 360, 4, 5000, -EUCLEAN, "blocks of 5000 bytes, legal are powers of two" },
		{ 364, 4, 39, -EUCLEAN, "39 blocks of 4096 bytes are less than the disk's" },
		{ 364, 4, 0xffffffff, -EUCLEAN, "the map ends at byte 17179869600, past the file's" },
	};

	told((struct img_vdi){ .version = IMG_VDI_0_2 }, lie, ARRAY_SIZE(lie));
}

/* Behind the header of any length the map may begin, not one byte earlier. */
static void header_lengths(void **state)
{
	static const struct { u32 bytes; u32 map; bool good; } one[] = {
		{ 384, 456, true }, { 400, 472, true }, { 400, 468, false }, { 384, 452, false },
		{ 440, 512, true }, { 444, 512, false }, { 444, 516, true },
		/* Between the two: what the shorter one has. */
		{ 399, 456, true }, { 399, 452, false }, { 385, 456, true },
	};
	struct ut_disk *d = disk();
	size_t i;

	for (i = 0; i < ARRAY_SIZE(one); i++) {
		struct img_vdi v = { .header_bytes = one[i].bytes };
		struct vd_layout *l;
		struct vd_error err;
		struct vd_file *file;

		img_vdi_write(&v, d);
		ut_put32(&v.buf, IMG_VDI_MAP, one[i].map);
		file = vd_ufile_mem(v.buf.data, v.buf.len, false);
		assert_int_equal(layout(file, &l, &err), one[i].good ? 0 : -EUCLEAN);
		vd_free(l);
		vd_ufile_free(file);
		ut_buf_free(&v.buf);
	}
	ut_disk_free(d);
}

/* Files that end within a header, or within the map. */
static void cut(struct img_vdi v, u32 header)
{
	struct ut_disk *d = disk();
	u64 len, map_end;

	img_vdi_write(&v, d);
	map_end = v.map_pos + 4 * v.blocks;
	for (len = 0; len < map_end; len++) {
		v.buf.len = len;
		if (len < 72)
			refused(&v.buf, -EUCLEAN, "bytes, a header needs more");
		else if (len < header)
			refused(&v.buf, -EUCLEAN, header == 420 ? "a header needs 420" :
				"a header needs 456");
		else
			refused(&v.buf, -EUCLEAN, "the map ends at byte");
	}
	ut_buf_free(&v.buf);
	ut_disk_free(d);
}

static void cut_files(void **state)
{
	cut((struct img_vdi){ .header_bytes = 384, .map_pos = 456 }, 456);
	cut((struct img_vdi){ .header_bytes = 400 }, 456);
	cut((struct img_vdi){ .version = IMG_VDI_0_2 }, 420);
}

/* All blocks are free, and the file ends with its map; the sector of the header may be cut. */
static void no_data(void **state)
{
	struct ut_disk *d = ut_disk_new(4096, 4096);
	struct img_vdi v = { .header_bytes = 384, .map_pos = 456 };
	struct vd_chain *chain;
	struct ut_set set = { 0 };

	img_vdi_write(&v, d);
	ut_buf_size(&v.buf, 460);
	img_vdi_add(&set, &v, d->size, false);
	chain = ut_open(&set);
	ut_check(chain, d->data, d->size);
	vd_chain_close(chain);
	ut_set_free(&set);
	ut_buf_free(&v.buf);
	ut_disk_free(d);
}

/* A table that contradicts the file. */
static void wrong_tables(void **state)
{
	struct ut_disk *d = disk();
	struct img_vdi v = { .disk_bytes = SIZE + 511, .blocks = 41 };
	struct ut_set set = { 0 };
	struct vd_error err;

	img_vdi_write(&v, d);
	img_vdi_add(&set, &v, SIZE, false);
	assert_int_equal(ut_try_open(&set, &err), 0);
	set.images[0].size = set.segs[0].len = SIZE + 512;
	assert_int_equal(ut_try_open(&set, &err), -EUCLEAN);
	assert_non_null(strstr(err.text, "163840 bytes, but the segment covers 164352"));
	set.images[0].size = set.segs[0].len = SIZE;
	set.segs[0].kind = VDISK_SEG(VDISK_FORMAT_VDI, 1);
	assert_int_equal(ut_try_open(&set, &err), -EINVAL);
	assert_non_null(strstr(err.text, "segment kind 0x301"));
	ut_set_free(&set);
	ut_buf_free(&v.buf);
	ut_disk_free(d);
}

/* --- only read --- */

/* Everybody says why, and nobody changes a byte. */
static void only_read(struct vd_file *file, const char *text)
{
	struct vd_extent_state state = { 0 };
	struct ut_count count = { 0 };
	struct ut_set set = { 0 };
	struct vd_error err = { 0 };
	struct vd_chain *chain;
	struct vd_layout *l;
	u8 buf[4096] = { 1 };

	assert_int_equal(layout(file, &l, &err), 0);
	if (!(l->flags & VD_LAYOUT_RDONLY) || !strstr(vd_layout_str(l, l->ro_reason), text))
		fail_msg("not \"%s\", but \"%s\"", text, vd_layout_str(l, l->ro_reason));
	vd_free(l);
	assert_int_equal(vd_format_vdi.user->extent(file, VDISK_SEG_VDI, &state, &err), 0);
	assert_int_equal(state.flags, VD_LAYOUT_RDONLY);
	assert_non_null(strstr(state.ro_reason, text));
	ut_set_file(&set, vd_ufile_record(file, ut_count_fn, &count));
	img_vdi_image(&set, 4096);
	chain = ut_open(&set);
	assert_false(chain->segs[0].writable);
	assert_true(vd_write(chain, 0, buf, 4096) < 0);
	assert_true(vd_discard(chain, 0, 4096) < 0);
	assert_true(vd_write_zeroes(chain, 0, 4096, true) < 0);
	assert_int_equal(vd_end_write(chain), 0);
	vd_chain_close(chain);
	assert_true(count.others == 0);
	ut_set_free(&set);
}

static void written(const struct img_vdi *v)
{
	struct vd_file *file = vd_ufile_mem(v->buf.data, v->buf.len, true);
	struct vd_extent_state state = { 0 };
	struct ut_set set = { 0 };
	struct vd_error err = { 0 };
	struct vd_chain *chain;
	struct vd_layout *l;
	u8 buf[4096] = { 1 };

	assert_int_equal(layout(file, &l, &err), 0);
	assert_false(l->flags & VD_LAYOUT_RDONLY);
	assert_null(vd_layout_str(l, l->ro_reason));
	vd_free(l);
	assert_int_equal(vd_format_vdi.user->extent(file, VDISK_SEG_VDI, &state, &err), 0);
	assert_int_equal(state.flags, 0);
	ut_set_file(&set, file);
	img_vdi_image(&set, 4096);
	chain = ut_open(&set);
	assert_int_equal(vd_write(chain, 0, buf, 4096), 0);
	assert_int_equal(vd_end_write(chain), 0);
	vd_chain_close(chain);
	ut_set_free(&set);
}

/* One field is changed; NULL @text: can be written. */
static void reason(struct img_vdi v, u64 pos, u64 value, u32 bytes, const char *text)
{
	struct ut_disk *d = disk();

	img_vdi_write(&v, d);
	if (bytes)
		ut_put_le(&v.buf, pos, value, bytes);
	if (text) {
		struct vd_file *file = vd_ufile_mem(v.buf.data, v.buf.len, true);

		only_read(file, text);
		vd_ufile_free(file);
	} else {
		written(&v);
	}
	ut_buf_free(&v.buf);
	ut_disk_free(d);
}

#define V(...) ((struct img_vdi){ __VA_ARGS__ })

static void reasons(void **state)
{
	static const char odd_flags[] = "its type says that it has no parent, its flags that it has";
	static const char odd_place[] = "its data does not begin at a sector of its own";
	u32 bit;

	reason(V(.version = IMG_VDI_0_2), 0, 0, 0, "of version 0.2, which is only read");
	reason(V(.type = IMG_VDI_UNDO), 0, 0, 0, "it is an undo image, which is only read");
	reason(V(.seed = 0), IMG_VDI_LINK + 15, 1, 1, "has no parent, its header names one");
	reason(V(.type = IMG_VDI_FIXED), IMG_VDI_LINK, 1, 1, "has no parent, its header names one");
	reason(V(.flags = 1 << 9), 0, 0, 0, odd_flags);
	reason(V(.type = IMG_VDI_FIXED, .flags = 3 << 8), 0, 0, 0, odd_flags);
	reason(V(.type = IMG_VDI_DIFF, .flags = 1 << 8), 0, 0, 0, "its flags say that it is fixed");
	for (bit = 1; bit < 32; bit++)
		if (bit != 8 && bit != 9)
			reason(V(.flags = 1U << bit), 0, 0, 0, "has flags that are unknown");
	reason(V(.extra = 512), 0, 0, 0, "its blocks carry extra data, whose meaning is unknown");
	reason(V(.no_uuid = true), IMG_VDI_UUID, 1, 1, "its UUID or modification UUID is missing");
	reason(V(.no_uuid = true), IMG_VDI_MOD, 1, 1, "its UUID or modification UUID is missing");
	reason(V(.data_pos = 1025), 0, 0, 0, odd_place);
	reason(V(.data_pos = 672), 0, 0, 0, odd_place);
	reason(V(.map_pos = 472, .data_pos = 472 + 160), 0, 0, 0, odd_place);
	reason(V(.data_pos = 1024 + 8), 0, 0, 0, odd_place);
}

static void no_reason(void **state)
{
	reason(V(.seed = 0), 0, 0, 0, NULL);
	reason(V(.header_bytes = 384), 0, 0, 0, NULL);
	reason(V(.version = 0x00010000), 0, 0, 0, NULL);
	reason(V(.version = 0x0001ffff, .header_bytes = 384), 0, 0, 0, NULL);
	reason(V(.type = IMG_VDI_FIXED), 0, 0, 0, NULL);
	reason(V(.type = IMG_VDI_FIXED, .flags = 1 << 8 | 1), 0, 0, 0, NULL);
	reason(V(.type = IMG_VDI_DIFF), 0, 0, 0, NULL);
	reason(V(.type = IMG_VDI_DIFF, .flags = 1 << 9), 0, 0, 0, NULL);
	reason(V(.flags = 1), 0, 0, 0, NULL);
	reason(V(.map_pos = 472, .data_pos = 1024), 0, 0, 0, NULL);
	reason(V(.data_pos = 512 * 77), 0, 0, 0, NULL);
	reason(V(.seed = 0), IMG_VDI_OLD_SECTOR, 77, 4, NULL);
	reason(V(.seed = 0), IMG_VDI_DUMMY, 0xffffffff, 4, NULL);
}

/* Blocks, and maps, larger than a test has memory for. */
static void large(u32 block, u32 blocks, const char *text)
{
	struct ut_disk d = { .size = 4096, .grain = block };
	struct img_vdi v = { .blocks = 8 };
	struct vd_extent_state state = { 0 };
	struct vd_error err = { 0 };
	struct vd_layout *l;
	struct ut_far far;
	struct vd_file *file;
	u64 map_end = 512 + 4ULL * blocks;

	img_vdi_write(&v, &d);
	ut_put32(&v.buf, IMG_VDI_BLOCKS, blocks);
	ut_put32(&v.buf, IMG_VDI_DATA, (u32)img_vdi_up(map_end, 512));
	file = ut_far_open(&far, &v.buf, map_end, map_end + 4096);
	assert_int_equal(layout(file, &l, &err), 0);
	if (text) {
		assert_true(l->flags & VD_LAYOUT_RDONLY);
		assert_non_null(strstr(vd_layout_str(l, l->ro_reason), text));
		assert_int_equal(vd_format_vdi.user->extent(file, VDISK_SEG_VDI, &state, &err), 0);
		assert_int_equal(state.flags, VD_LAYOUT_RDONLY);
	} else {
		assert_false(l->flags & VD_LAYOUT_RDONLY);
	}
	vd_free(l);
	ut_buf_free(&far.high);
	ut_buf_free(&v.buf);
}

static void large_numbers(void **state)
{
	large(64 << 20, 8, NULL);
	large(128 << 20, 8, "its blocks are larger than 64 MiB");
	large(256 << 20, 8, "its blocks are larger than 64 MiB");
	large(512, 1 << 28, NULL);
	large(512, (1 << 28) + 1, "its map has more than 268435456 blocks");
}

/* What no header says, but the map does. */
static void doubles(void **state)
{
	struct ut_disk *d = disk();
	u32 i;

	for (i = 0; i < 2; i++) {
		struct img_vdi v = { .seed = 3 };
		struct vd_extent_state state = { 0 };
		struct vd_error err = { 0 };
		struct vd_file *file;

		img_vdi_write(&v, d);
		img_vdi_set(&v, 30, i ? 1 : v.high);
		img_vdi_set(&v, 31, i ? 1 : v.high);
		img_vdi_set(&v, 20, i ? 1 : IMG_VDI_FREE);
		file = vd_ufile_mem(v.buf.data, v.buf.len, true);
		assert_int_equal(vd_format_vdi.user->extent(file, VDISK_SEG_VDI, &state, &err), 0);
		assert_int_equal(state.flags, VD_LAYOUT_RDONLY);
		assert_non_null(strstr(state.ro_reason, i ? "share their place in the file" :
				       "2 blocks of its map, block 30 the first, lie past the end"));
		vd_ufile_free(file);
		ut_buf_free(&v.buf);
	}
	ut_disk_free(d);
}

/* --- what it tells --- */

/* On disk the first three groups are little-endian. */
static void assert_uuid(const u8 *got, u8 first)
{
	static const u8 order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };
	u8 disk_form[16];
	u32 i;

	img_vdi_uuid(disk_form, first);
	for (i = 0; i < 16; i++)
		assert_int_equal(got[i], disk_form[order[i]]);
}

static struct vd_layout *layout_of(struct img_vdi *v, const struct ut_disk *d,
				   void (*spoil)(struct ut_buf *b))
{
	struct vd_error err = { 0 };
	struct vd_layout *l;
	struct vd_file *file;

	img_vdi_write(v, d);
	if (spoil)
		spoil(&v->buf);
	file = vd_ufile_mem(v->buf.data, v->buf.len, false);
	if (layout(file, &l, &err))
		fail_msg("layout: %s", err.text);
	assert_int_equal(vd_layout_check(l, l->total, &err), 0);
	assert_int_equal(l->format, VDISK_FORMAT_VDI);
	assert_int_equal(l->nr_segs, 1);
	assert_int_equal(vd_layout_segs(l)->kind, VDISK_SEG_VDI);
	assert_int_equal(vd_layout_segs(l)->flags, VD_LSEG_SELF);
	assert_true(vd_layout_segs(l)->len == d->size);
	assert_true(l->props.size == d->size && l->props.file_size == v->buf.len);
	vd_ufile_free(file);
	ut_buf_free(&v->buf);
	return l;
}

static void long_comment(struct ut_buf *b)
{
	memset(b->data + IMG_VDI_COMMENT, 'x', 256);
	ut_put32(b, IMG_VDI_OLD_CHS, 1023);
	ut_put32(b, IMG_VDI_OLD_CHS + 4, 15);
	ut_put32(b, IMG_VDI_OLD_CHS + 8, 62);
	/* Sectors of another size: this geometry means nothing. */
	ut_put32(b, IMG_VDI_LCHS + 12, 4096);
}

static void no_comment(struct ut_buf *b)
{
	memset(b->data + IMG_VDI_COMMENT, 0, 256);
}

static void properties(void **state)
{
	struct ut_disk *d = disk();
	struct img_vdi v = { .disk_bytes = SIZE + 300 };
	struct vd_layout *l = layout_of(&v, d, NULL);
	const struct vd_props *p = &l->props;

	assert_string_equal(vd_layout_str(l, l->subformat), "dynamic");
	assert_int_equal(p->version, 0x10001);
	assert_string_equal(vd_layout_str(l, p->comment), "a comment");
	assert_uuid(p->uuid, 0x10);
	assert_uuid(p->mod_uuid, 0x30);
	assert_false(p->mask & (VD_PROP_PARENT_UUID | VD_PROP_PARENT_MOD_UUID | VD_PROP_PCHS |
				VD_PROP_FLAGS));
	assert_true(p->lchs.c == 100 && p->lchs.h == 16 && p->lchs.s == 63);
	assert_int_equal(l->flags, 0);
	assert_true(l->mod_uuid_pos == 408 && l->mod_uuid_len == 16);
	vd_free(l);

	v = V(.type = IMG_VDI_DIFF, .flags = 1 << 9 | 1);
	l = layout_of(&v, d, long_comment);
	p = &l->props;
	assert_string_equal(vd_layout_str(l, l->subformat), "differencing");
	assert_int_equal(strlen(vd_layout_str(l, p->comment)), 255);
	assert_uuid(p->parent_uuid, 0x50);
	assert_uuid(p->parent_mod_uuid, 0x70);
	assert_true(p->pchs.c == 1023 && p->pchs.h == 15 && p->pchs.s == 62);
	assert_false(p->mask & VD_PROP_LCHS);
	assert_int_equal(l->flags, VD_LAYOUT_PARENT);
	assert_int_equal(p->flags, VD_IMAGE_DIFF | VD_IMAGE_ZERO_EXPAND);
	vd_free(l);
	ut_disk_free(d);
}

static void properties_of_old(void **state)
{
	struct ut_disk *d = disk();
	struct img_vdi v = { .version = IMG_VDI_0_2, .type = IMG_VDI_DIFF };
	struct vd_layout *l = layout_of(&v, d, NULL);

	assert_int_equal(l->props.version, 2);
	assert_string_equal(vd_layout_str(l, l->props.comment), "zero two");
	assert_uuid(l->props.uuid, 0x10);
	assert_uuid(l->props.mod_uuid, 0x30);
	assert_uuid(l->props.parent_uuid, 0x50);
	assert_false(l->props.mask & VD_PROP_PARENT_MOD_UUID);
	assert_int_equal(l->flags, VD_LAYOUT_PARENT | VD_LAYOUT_RDONLY);
	assert_int_equal(l->mod_uuid_len, 0);
	vd_free(l);

	/* Another minor number, or a shorter header, has no second geometry. */
	v = V(.version = 0x00010003, .type = IMG_VDI_FIXED);
	l = layout_of(&v, d, no_comment);
	assert_string_equal(vd_layout_str(l, l->subformat), "fixed");
	assert_false(l->props.mask & (VD_PROP_LCHS | VD_PROP_COMMENT));
	assert_int_equal(l->props.flags, VD_IMAGE_FIXED);
	vd_free(l);
	v = V(.header_bytes = 399, .map_pos = 512, .type = IMG_VDI_UNDO);
	l = layout_of(&v, d, NULL);
	assert_string_equal(vd_layout_str(l, l->subformat), "undo");
	assert_false(l->props.mask & VD_PROP_LCHS);
	assert_int_equal(l->props.flags, VD_IMAGE_UNDO);
	assert_int_equal(l->flags, VD_LAYOUT_RDONLY);
	vd_free(l);
	ut_disk_free(d);
}

/* Nobody made it renewable: there is none to renew. */
static void no_uuid(void **state)
{
	struct ut_disk *d = disk();
	struct img_vdi v = { .no_uuid = true };
	struct vd_layout *l = layout_of(&v, d, NULL);

	assert_false(l->props.mask & (VD_PROP_UUID | VD_PROP_MOD_UUID));
	assert_int_equal(l->mod_uuid_len, 0);
	vd_free(l);
	ut_disk_free(d);
}

/* By four bytes alone, and in no file that is shorter. */
static void probe(void **state)
{
	u8 bytes[72] = { 0 };
	struct vd_probe p;
	struct vd_file *file;
	size_t len;

	put_unaligned_le32(IMG_VDI_SIGNATURE, bytes + 64);
	for (len = 0; len <= sizeof(bytes); len++) {
		file = vd_ufile_mem(bytes, len, false);
		memset(&p, 0xa5, sizeof(p));
		assert_int_equal(vd_format_vdi.probe(file, &p), 0);
		assert_int_equal(p.score, len == sizeof(bytes) ? 100 : 0);
		if (p.score)
			assert_string_equal(p.subformat, "vdi");
		else
			assert_null(p.subformat);
		vd_ufile_free(file);
	}
	bytes[67] ^= 1;
	file = vd_ufile_mem(bytes, sizeof(bytes), false);
	assert_int_equal(vd_format_vdi.probe(file, &p), 0);
	assert_int_equal(p.score, 0);
	vd_ufile_free(file);
}

/* --- faults --- */

typedef int faulty_fn(struct vd_file *file);

static int try_layout(struct vd_file *file)
{
	struct vd_error err;
	struct vd_layout *l;
	int ret = layout(file, &l, &err);

	if (ret) {
		assert_null(l);
		ut_assert_sentence(&err, ret);
	}
	vd_free(l);
	return ret;
}

static int try_extent(struct vd_file *file)
{
	struct vd_extent_state state;
	struct vd_error err = { 0 };
	int ret = vd_format_vdi.user->extent(file, VDISK_SEG_VDI, &state, &err);

	if (ret)
		ut_assert_sentence(&err, ret);
	return ret;
}

static int try_probe(struct vd_file *file)
{
	struct vd_probe p;

	return vd_format_vdi.probe(file, &p);
}

/* Each read and each allocation fails: it is told as what it is, and nothing leaks. */
static void faults(void **state)
{
	static faulty_fn *const fns[] = { try_layout, try_extent, try_probe };
	struct ut_disk *d = disk();
	struct img_vdi v = { .seed = 4 };
	size_t f;
	long i;
	int ret;

	img_vdi_write(&v, d);
	for (f = 0; f < ARRAY_SIZE(fns); f++) {
		struct vd_file *mem = vd_ufile_mem(v.buf.data, v.buf.len, false);
		struct vd_fault fault = { .fired = 1 };
		struct vd_file *file = vd_ufile_fault(mem, &fault);

		for (i = 1; fault.fired; i++) {
			fault = (struct vd_fault){ .countdown = i, .error = EIO };
			ret = fns[f](file);
			assert_int_equal(ret, fault.fired ? -EIO : 0);
		}
		assert_true(i > 2);
		fault = (struct vd_fault){ .countdown = -1 };
		ut_alloc.failed = 1;
		for (i = 1; ut_alloc.failed; i++) {
			ut_alloc_start(i, false);
			ret = fns[f](file);
			ut_alloc_stop();
			assert_int_equal(ret, ut_alloc.failed ? -ENOMEM : 0);
		}
		assert_true(i > 2 || fns[f] == try_probe);
		vd_ufile_free(file);
		vd_ufile_free(mem);
	}
	ut_buf_free(&v.buf);
	ut_disk_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lies),
		cmocka_unit_test(lies_of_0_2),
		cmocka_unit_test(header_lengths),
		cmocka_unit_test(cut_files),
		cmocka_unit_test(no_data),
		cmocka_unit_test(wrong_tables),
		cmocka_unit_test(reasons),
		cmocka_unit_test(no_reason),
		cmocka_unit_test(large_numbers),
		cmocka_unit_test(doubles),
		cmocka_unit_test(properties),
		cmocka_unit_test(properties_of_old),
		cmocka_unit_test(no_uuid),
		cmocka_unit_test(probe),
		cmocka_unit_test(faults),
	};

	return cmocka_run_group_tests_name("vdi-refuse", tests, NULL, NULL);
}
