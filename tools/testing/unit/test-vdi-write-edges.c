// SPDX-License-Identifier: GPL-2.0-only
/*
 * The edges of writing to VDI: images that must not be written, ends of numbers and of
 * files. Each check is asked alone: that one before it has looked is no reason to
 * believe it later.
 */
#include "ut-vdi.h"
#include "ut-far.h"

/* --- what must not be written --- */

static const struct vdisk_patch uuid_patch = {
	.member = 0, .offset = IMG_VDI_MOD, .len = 16, .bytes = "0123456789abcdef",
};

static void never_written(struct vs *s, const char *text)
{
	const u8 *file;
	u8 buf[VS_GRAIN];
	size_t len;
	u32 i;

	vs_open_patched(s, false, &uuid_patch);
	memset(buf, 0x5a, sizeof(buf));
	for (i = 0; i < 2; i++) {
		/* In place, where nothing is wrong, too. */
		assert_int_equal(vd_write(s->chain, 0, buf, VS_GRAIN), -EUCLEAN);
		/* Looked at once, said once. */
		if (!i)
			vs_heard(text);
		assert_string_equal(vs_said, "");
		assert_int_equal(vd_write(s->chain, 20 * VS_GRAIN, buf, VS_GRAIN), -EUCLEAN);
		assert_string_equal(vs_said, "");
		assert_int_equal(vd_discard(s->chain, 0, VS_GRAIN), -EUCLEAN);
		assert_int_equal(vd_discard(s->chain, 9 * VS_GRAIN, VS_GRAIN), -EUCLEAN);
		assert_int_equal(vd_write_zeroes(s->chain, 0, VS_GRAIN, i), -EUCLEAN);
		assert_int_equal(vd_write_zeroes(s->chain, 0, 512, i), -EUCLEAN);
		assert_int_equal(vd_flush(s->chain), 0);
		assert_int_equal(vd_end_write(s->chain), 0);
	}
	assert_int_equal(s->changes, 0);
	file = vs_bytes(s, &len);
	assert_true(len == s->v.buf.len);
	ut_same(file, s->v.buf.data, 0, len, "an image that must not be written");
	vs_content(s);
	vs_done(s);
}

static void damaged(void **state)
{
	static const char shared[] = "share their place in the file with others: the image cannot";
	static const char outside[] = "lie past the end of the file: the image cannot be written";
	struct vs s;

	VS_MAKE(&s, .seed = 0);
	img_vdi_set(&s.v, 50, 3);
	ut_disk_set(s.d, 50, UT_DATA, 0);
	memcpy(s.d->data + 50 * VS_GRAIN, s.d->data + 3 * VS_GRAIN, VS_GRAIN);
	never_written(&s, "1 blocks of its map, block 50 the first, share");
	VS_MAKE(&s, .seed = 0);
	img_vdi_set(&s.v, 7, 6);
	memcpy(s.d->data + 7 * VS_GRAIN, s.d->data + 6 * VS_GRAIN, VS_GRAIN);
	img_vdi_set(&s.v, 79, 6);
	ut_disk_set(s.d, 79, UT_DATA, 0);
	memcpy(s.d->data + 79 * VS_GRAIN, s.d->data + 6 * VS_GRAIN, VS_GRAIN);
	never_written(&s, "2 blocks of its map, block 7 the first, share");
	/* In an entry that the disk does not need. */
	VS_MAKE(&s, .blocks = VS_BLOCKS + 9);
	img_vdi_set(&s.v, VS_BLOCKS + 3, 0);
	never_written(&s, shared);
	VS_MAKE(&s, .blocks = VS_BLOCKS + 9);
	img_vdi_set(&s.v, VS_BLOCKS + 3, 8);
	never_written(&s, "1 blocks of its map, block 83 the first, lie past");
	VS_MAKE(&s, .blocks = VS_BLOCKS + 9);
	img_vdi_set(&s.v, VS_BLOCKS + 3, IMG_VDI_ZERO - 1);
	img_vdi_set(&s.v, VS_BLOCKS + 4, 1U << 31);
	never_written(&s, outside);
}

/* Where a slot begins in the file's last byte it is there; one byte less, and it is not. */
static void last_byte(void **state)
{
	struct vs s;
	u32 i;

	for (i = 0; i < 2; i++) {
		VS_MAKE(&s, .seed = 0);
		ut_buf_size(&s.v.buf, img_vdi_slot(&s.v, 7) + 1 - i);
		if (i)
			memset(s.d->data + 7 * VS_GRAIN, 0, VS_GRAIN);
		else
			memset(s.d->data + 7 * VS_GRAIN + 1, 0, VS_GRAIN - 1);
		if (i) {
			ut_disk_set(s.d, 7, UT_ABSENT, 0);
			vs_open(&s);
			assert_int_equal(vd_write(s.chain, 0, s.d->data, VS_GRAIN), -EUCLEAN);
			vs_heard("1 blocks of its map, block 7 the first, lie past the end");
		} else {
			vs_open(&s);
			vs_fill(&s, 20, 5);
			assert_int_equal(vd_flush(s.chain), 0);
			assert_int_equal(vs_entry(&s, 20), 8);
			vs_content(&s);
		}
		vs_done(&s);
	}
}

/* The map is looked through once, and not before somebody writes. */
static void asked_once(void **state)
{
	struct vs s;
	u64 reads;

	VS_MAKE(&s, .map_pos = 4096);
	vs_open(&s);
	vs_content(&s);
	reads = s.map_reads;
	assert_true(reads <= 1);
	vs_fill(&s, 3, 5);
	assert_int_equal(s.map_reads, reads + 2);
	reads = s.map_reads;
	vs_fill(&s, 20, 5);
	assert_int_equal(vd_end_write(s.chain), 0);
	vs_fill(&s, 21, 5);
	assert_int_equal(vd_discard(s.chain, 3 * VS_GRAIN, VS_GRAIN), 0);
	assert_true(s.map_reads <= reads + 1);
	vs_done(&s);
}

/* --- a chain that is written, ended and written again --- */

static void two_sessions(void **state)
{
	struct vs s;
	u32 i;

	VS_MAKE(&s, .holes = 3, .seed = 3);
	vs_open(&s);
	for (i = 0; i < 20; i++) {
		vs_fill(&s, 10 + 3 * i, i);
		if (i % 2)
			assert_int_equal(vd_discard(s.chain, (i / 2) * VS_GRAIN, VS_GRAIN), 0);
		if (i % 2)
			ut_disk_set(s.d, i / 2, UT_ZERO, 0);
		assert_int_equal(vd_end_write(s.chain), 0);
		assert_int_equal(vs_counter(&s), vs_look(&s).high);
		assert_true(vs_length(&s) == s.v.data_pos + (u64)vs_counter(&s) * VS_GRAIN);
		vs_content(&s);
	}
	vs_done(&s);
}

/* --- ends of files --- */

/* What no slot explains stays as long as it is; new slots go over it. */
static void foreign_tail(void **state)
{
	struct vs s;
	u64 len, pos;
	u32 i;

	for (i = 0; i < 2; i++) {
		VS_MAKE(&s, .seed = 0);
		pos = s.v.buf.len;
		len = pos + 20000;
		ut_buf_size(&s.v.buf, len);
		ut_pattern(s.v.buf.data + pos, 20000, 0, 4711);
		vs_open(&s);
		assert_int_equal(vd_discard(s.chain, 0, 8 * VS_GRAIN), 0);
		ut_disk_set(s.d, 7, UT_ZERO, 0);
		if (i)
			vs_fill(&s, 30, 6);
		assert_int_equal(vd_end_write(s.chain), 0);
		assert_true(vs_length(&s) == len);
		if (i)
			pos += VS_GRAIN;
		ut_same(vs_at(&s, pos), s.v.buf.data + pos, pos, len - pos, "tail");
		vs_done(&s);
	}
}

/* The file ends with the last slot in use, also when that was not the end before. */
static void cut_at_the_end(void **state)
{
	struct vs s;

	VS_MAKE(&s, .seed = 0);
	vs_open(&s);
	assert_int_equal(vd_discard(s.chain, 5 * VS_GRAIN, 3 * VS_GRAIN), 0);
	assert_int_equal(vd_end_write(s.chain), 0);
	assert_true(vs_length(&s) == img_vdi_slot(&s.v, 5));
	assert_int_equal(vs_counter(&s), 5);
	assert_int_equal(vd_discard(s.chain, 0, 8 * VS_GRAIN), 0);
	assert_int_equal(vd_end_write(s.chain), 0);
	assert_true(vs_length(&s) == s.v.data_pos);
	assert_int_equal(vs_counter(&s), 0);
	vs_done(&s);
}

/* Cut short by its writer: it becomes whole when somebody writes to it. */
static void short_slot(void **state)
{
	struct vs s;
	u8 sector[VD_SECTOR] = { 7 };

	VS_MAKE(&s, .seed = 0);
	ut_buf_size(&s.v.buf, img_vdi_slot(&s.v, 7) + 700);
	memset(s.d->data + 7 * VS_GRAIN + 700, 0, VS_GRAIN - 700);
	vs_open(&s);
	vs_content(&s);
	memcpy(s.d->data + 8 * VS_GRAIN - 512, sector, 512);
	assert_int_equal(vd_write(s.chain, 8 * VS_GRAIN - 512, sector, 512), 0);
	vs_content(&s);
	assert_int_equal(vd_end_write(s.chain), 0);
	assert_int_equal(vs_entry(&s, 7), 7);
	assert_true(vs_length(&s) == img_vdi_slot(&s.v, 8));
	vs_content(&s);
	vs_done(&s);
}

/* Blocks 0 to 6 in slots 0 to 6, block 7 in slot 8, of which the file has @bytes. */
static void short_behind_hole(struct vs *s, u32 bytes)
{
	VS_MAKE(s, .holes = 1);
	assert_int_equal(img_vdi_get(&s->v, 7), 8);
	ut_buf_size(&s->v.buf, img_vdi_slot(&s->v, 8) + bytes);
	memset(s->d->data + 7 * VS_GRAIN + bytes, 0, VS_GRAIN - bytes);
}

/* Also when all that is written goes elsewhere, and needs no longer file. */
static void short_slot_left_alone(void **state)
{
	struct vs s;

	short_behind_hole(&s, 700);
	vs_open(&s);
	vs_fill(&s, 20, 3);
	assert_int_equal(vd_flush(s.chain), 0);
	assert_int_equal(vs_entry(&s, 20), 7);
	assert_int_equal(vd_end_write(s.chain), 0);
	assert_true(vs_length(&s) == img_vdi_slot(&s.v, 9));
	vs_content(&s);
	vs_done(&s);
}

/* Where the first attempt found no room: all of the slot, to the byte. */
static void short_slot_later(void **state)
{
	struct vd_alloc alloc;
	struct vs s;

	short_behind_hole(&s, 1);
	s.chunk = 1;
	vs_open(&s);
	assert_int_equal(vd_begin_write(s.chain), 0);
	assert_int_equal(vs_reserve(&s, 7, &alloc), -EAGAIN);
	assert_true(vs_length(&s) >= img_vdi_slot(&s.v, 9));
	vs_content(&s);
	vs_done(&s);
}

/* Only its free slots can be used, and then it is full. */
static void block_device(void **state)
{
	struct vs s;
	u8 buf[VS_GRAIN] = { 3 };
	u32 i;

	VS_MAKE(&s, .seed = 0);
	ut_buf_size(&s.v.buf, s.v.buf.len + 3 * VS_GRAIN + 512);
	ut_pattern(s.v.buf.data + img_vdi_slot(&s.v, 8), 3 * VS_GRAIN + 512, 0, 9);
	vs_open_patched(&s, true, NULL);
	for (i = 0; i < 3; i++)
		assert_int_equal(vd_write(s.chain, (20 + i) * VS_GRAIN + 1024, buf, 512), 0);
	assert_int_equal(vd_write(s.chain, 30 * VS_GRAIN, buf, VS_GRAIN), -ENOSPC);
	for (i = 0; i < 3; i++) {
		ut_disk_set(s.d, 20 + i, UT_DATA, 0);
		memset(s.d->data + (20 + i) * VS_GRAIN, 0, VS_GRAIN);
		s.d->data[(20 + i) * VS_GRAIN + 1024] = 3;
	}
	assert_int_equal(vd_flush(s.chain), 0);
	vs_content(&s);
	assert_int_equal(vs_entry(&s, 30), IMG_VDI_FREE);
	assert_int_equal(vd_discard(s.chain, 2 * VS_GRAIN, VS_GRAIN), 0);
	ut_disk_set(s.d, 2, UT_ZERO, 0);
	assert_int_equal(vd_write(s.chain, 30 * VS_GRAIN, buf, VS_GRAIN), 0);
	ut_disk_set(s.d, 30, UT_DATA, 0);
	memset(s.d->data + 30 * VS_GRAIN, 0, VS_GRAIN);
	s.d->data[30 * VS_GRAIN] = 3;
	assert_int_equal(vd_end_write(s.chain), 0);
	assert_int_equal(vs_entry(&s, 30), 2);
	assert_int_equal(vs_counter(&s), 11);
	assert_true(vs_length(&s) == s.v.buf.len);
	vs_content(&s);
	vs_done(&s);
}

/* --- the end of numbers --- */

/* @slot is in use: is there a number for another one? */
static void far_begin(struct vs *s, struct ut_far *far, u32 slot)
{
	u32 b;

	VS_MAKE(s, .seed = 0);
	for (b = 1; b < 8; b++)
		img_vdi_set(&s->v, b, IMG_VDI_FREE);
	img_vdi_set(&s->v, 0, slot);
	ut_set_file(&s->set, ut_far_open(far, &s->v.buf, img_vdi_slot(&s->v, slot),
					 img_vdi_slot(&s->v, slot) + VS_GRAIN));
	img_vdi_image(&s->set, s->d->size);
	vs_open_chain(s, NULL);
	assert_int_equal(s->seg->format->begin_write(s->seg), 0);
	s->seg->begun = true;
	vd_space_forget(s->chain, s->seg->format->space(s->seg),
			img_vdi_slot(&s->v, slot) + VS_GRAIN);
}

static void far_done(struct vs *s, struct ut_far *far)
{
	vd_log_hook = NULL;
	vd_chain_close(s->chain);
	ut_buf_free(&far->high);
	ut_buf_free(&s->v.buf);
	ut_disk_free(s->d);
}

static void last_number(void **state)
{
	struct vd_alloc alloc;
	struct ut_far far;
	struct vs s;

	far_begin(&s, &far, IMG_VDI_ZERO - 2);
	assert_int_equal(vs_reserve(&s, 20, &alloc), 0);
	assert_true(alloc.file_pos == img_vdi_slot(&s.v, IMG_VDI_ZERO - 1));
	s.seg->format->publish(s.seg, &alloc);
	vd_meta_unpin(s.chain->meta, &alloc.pin[0]);
	assert_int_equal(vd_commit(s.chain), 0);
	assert_true(ut_get_le(&s.v.buf, img_vdi_entry(&s.v, 20), 4) == IMG_VDI_ZERO - 1);
	assert_true(ut_get_le(&s.v.buf, IMG_VDI_COUNT, 4) == IMG_VDI_ZERO);
	assert_int_equal(vs_reserve(&s, 21, &alloc), -ENOSPC);
	far_done(&s, &far);

	far_begin(&s, &far, IMG_VDI_ZERO - 1);
	assert_int_equal(vs_reserve(&s, 20, &alloc), -ENOSPC);
	far_done(&s, &far);
}

/* Slots on both sides of the edges of the scan's windows. */
static const u32 far_slots[] = { 0, 1, 63, 64, (1 << 27) - 1, 1 << 27, (5 << 27) + 130 };

#define FAR_LAST	((5U << 27) + 130)

static void far_open(struct vs *s, struct ut_far *far)
{
	u32 b;

	memset(s, 0, sizeof(*s));
	s->d = ut_disk_new(64 * 512, 512);
	img_vdi_write(&s->v, s->d);
	for (b = 0; b < ARRAY_SIZE(far_slots); b++)
		img_vdi_set(&s->v, b, far_slots[b * 3 % ARRAY_SIZE(far_slots)]);
	ut_set_file(&s->set, ut_far_open(far, &s->v.buf, img_vdi_slot(&s->v, FAR_LAST),
					 img_vdi_slot(&s->v, FAR_LAST) + 512));
	img_vdi_image(&s->set, s->d->size);
	vs_open_chain(s, NULL);
}

/* A hole over several windows is one. */
static void far_holes(void **state)
{
	struct vd_alloc alloc;
	struct ut_far far;
	struct vs s;
	u32 i;

	far_open(&s, &far);
	assert_int_equal(s.seg->format->begin_write(s.seg), 0);
	s.seg->begun = true;
	for (i = 0; i < 2; i++) {
		assert_int_equal(vs_reserve(&s, 20 + i, &alloc), 0);
		assert_true(alloc.file_pos == img_vdi_slot(&s.v, 2 + i));
		vd_meta_unpin(s.chain->meta, &alloc.pin[0]);
	}
	/* From 4, 65 and (1 << 27) + 1, each up to the next one in use. */
	assert_int_equal(s.seg->format->space(s.seg)->nr_free, 3);
	assert_true(s.seg->format->space(s.seg)->end == img_vdi_slot(&s.v, FAR_LAST + 1));
	far_done(&s, &far);
}

static void far_doubles(void **state)
{
	struct ut_far far;
	struct vs s;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(far_slots); i++) {
		far_open(&s, &far);
		img_vdi_set(&s.v, 40, far_slots[i]);
		assert_int_equal(s.seg->format->begin_write(s.seg), -EUCLEAN);
		vs_heard("1 blocks of its map, block 40 the first, share");
		far_done(&s, &far);
	}
}

/* --- each check alone --- */

/* Somebody else changes an entry of the file, and the cache is told to forget. */
static void poke(struct vs *s, u64 block, u32 value)
{
	struct vd_file *file = s->set.files[0];
	u64 pos = img_vdi_entry(&s->v, block);
	u8 raw[4];

	put_unaligned_le32(value, raw);
	assert_int_equal(file->ops->write(file, pos, raw, sizeof(raw)), 0);
	vd_meta_drop(s->chain->meta, file, pos & ~511ULL, VD_SECTOR);
}

static void bad_entries(void **state)
{
	struct vd_alloc alloc;
	struct vd_extent ext;
	struct vs s;
	u64 got;

	VS_MAKE(&s, .map_pos = 8192);
	vs_open(&s);
	assert_int_equal(s.seg->format->begin_write(s.seg), 0);
	s.seg->begun = true;
	/* It has a place by now: no error. */
	assert_int_equal(vs_reserve(&s, 0, &alloc), -EAGAIN);
	poke(&s, 0, 8);
	assert_int_equal(vd_map(s.chain, 0, VS_GRAIN, 0, &ext), -EUCLEAN);
	vs_heard("block 0 is in slot 8, past the end of the file");
	assert_int_equal(vs_reserve(&s, 0, &alloc), -EUCLEAN);
	vs_heard("a block is in slot 8, past the end of the file");
	assert_int_equal(s.seg->format->discard(s.seg, 0, VS_GRAIN, 0, &got), -EUCLEAN);
	vs_heard("a block is in slot 8, past the end of the file");
	/* Nobody may take for free what is not there. */
	assert_false(vd_space_pending(s.chain, s.seg->format->space(s.seg), 0, s.d->size));
	vs_done(&s);
}

/* --- what fails at the beginning --- */

/* Nothing is kept of it: the next attempt begins anew. */
static void begin_again(void **state)
{
	struct vs s;
	u8 buf[VS_GRAIN] = { 1 };
	long i;

	VS_MAKE(&s, .holes = 3, .seed = 3);
	vs_open(&s);
	ut_alloc.failed = 1;
	for (i = 1; ut_alloc.failed; i++) {
		int ret;

		ut_alloc_start(i, false);
		ret = s.seg->format->begin_write(s.seg);
		ut_alloc_stop();
		/* Without memory for a hole it is not remembered. */
		assert_true(!ret || (ret == -ENOMEM && ut_alloc.failed));
		if (!ret)
			vd_space_release(s.seg->format->space(s.seg));
		else
			assert_null(s.seg->format->space(s.seg)->file);
	}
	assert_true(i > 4);
	assert_int_equal(vd_write(s.chain, 20 * VS_GRAIN, buf, VS_GRAIN), 0);
	assert_int_equal(vd_end_write(s.chain), 0);
	vs_done(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(damaged),
		cmocka_unit_test(last_byte),
		cmocka_unit_test(asked_once),
		cmocka_unit_test(two_sessions),
		cmocka_unit_test(foreign_tail),
		cmocka_unit_test(cut_at_the_end),
		cmocka_unit_test(short_slot),
		cmocka_unit_test(short_slot_left_alone),
		cmocka_unit_test(short_slot_later),
		cmocka_unit_test(block_device),
		cmocka_unit_test(last_number),
		cmocka_unit_test(far_holes),
		cmocka_unit_test(far_doubles),
		cmocka_unit_test(bad_entries),
		cmocka_unit_test(begin_again),
	};

	return cmocka_run_group_tests_name("vdi-write-edges", tests, NULL, NULL);
}
