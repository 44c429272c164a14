// SPDX-License-Identifier: GPL-2.0-only
/*
 * Check of VDI: what it says of each thing that is wrong, word by word, and what a repair
 * makes of it.
 */
#include "ut-vdi-check.h"
#include "ut-far.h"

/* --- findings --- */

/**
 * struct spoilt - one way to spoil an image
 * @make: how the image is made
 * @spoil: what is done to its bytes and to the shadow of what a repair leaves; may be NULL
 * @text: what the check says
 * @notes, ...: how many findings of each kind
 * @fixed: of them all, those that a repair takes care of
 * @altered: blocks that read other than before
 */
struct spoilt {
	const char *text;
	struct img_vdi make;
	void (*spoil)(struct vk *k);
	u64 notes, leaks, unclean, corrupt, fixed, altered;
};

static void link_uuid(struct vk *k)
{
	img_vdi_put_uuid(&k->v.buf, IMG_VDI_LINK, 0x90);
}

static void no_link(struct vk *k)
{
	memset(k->v.buf.data + IMG_VDI_LINK, 0, 16);
}

static void no_uuid(struct vk *k)
{
	memset(k->v.buf.data + IMG_VDI_UUID, 0, 16);
}

static void no_mod_uuid(struct vk *k)
{
	memset(k->v.buf.data + IMG_VDI_MOD, 0, 16);
}

static void odd_sector(struct vk *k)
{
	ut_put32(&k->v.buf, IMG_VDI_OLD_SECTOR, 0);
}

/* Block 3 has a slot, 30 has none. */
static void far_entry(struct vk *k)
{
	img_vdi_set(&k->v, 30, k->v.high);
	ut_disk_set(k->d, 30, UT_ZERO, 0);
}

static void far_entries(struct vk *k)
{
	far_entry(k);
	img_vdi_set(&k->v, 31, IMG_VDI_ZERO - 1);
	img_vdi_set(&k->v, 33, 1U << 31);
	ut_disk_set(k->d, 31, UT_ZERO, 0);
	ut_disk_set(k->d, 33, UT_ZERO, 0);
}

static void far_entry_unused(struct vk *k)
{
	img_vdi_set(&k->v, VK_BLOCKS + 1, 1000);
}

static void same_slot(struct vk *k, u64 one, u64 two)
{
	img_vdi_set(&k->v, two, img_vdi_get(&k->v, one));
	ut_disk_set(k->d, two, UT_DATA, 0);
	memcpy(k->d->data + two * VK_GRAIN, k->d->data + one * VK_GRAIN, VK_GRAIN);
}

static void shared_slot(struct vk *k)
{
	same_slot(k, 3, 30);
}

static void shared_slots(struct vk *k)
{
	same_slot(k, 3, 30);
	same_slot(k, 3, 31);
	same_slot(k, 4, 33);
}

static void shared_unused(struct vk *k)
{
	img_vdi_set(&k->v, VK_BLOCKS + 1, 2);
}

static void all_kinds(struct vk *k)
{
	shared_slots(k);
	img_vdi_set(&k->v, 36, 999);
	ut_disk_set(k->d, 36, UT_ZERO, 0);
	no_uuid(k);
}

static void short_slot(struct vk *k)
{
	u64 cut = 3000;

	ut_buf_size(&k->v.buf, k->v.buf.len - cut);
	memset(k->d->data + vk_last(k) * VK_GRAIN + VK_GRAIN - cut, 0, cut);
}

#define V(...) { __VA_ARGS__ }

static const struct spoilt spoilt[] = {
	{ "", V(.seed = 0), NULL, 0, 0, 0, 0, 0, 0 },
	{ "", V(.version = 0x00010007, .header_bytes = 384), NULL, 0, 0, 0, 0, 0, 0 },
	{ "", V(.type = IMG_VDI_DIFF, .flags = 1 << 9), NULL, 0, 0, 0, 0, 0, 0 },
	{ "", V(.type = IMG_VDI_UNDO), link_uuid, 0, 0, 0, 0, 0, 0 },
	{ "the image has no UUID", V(.seed = 1), no_uuid, 0, 0, 0, 1, 1, 0 },
	{ "has no modification UUID", V(.seed = 1), no_mod_uuid, 0, 0, 0, 1, 1, 0 },
	{ "has no modification UUID", V(.no_uuid = true), NULL, 0, 0, 0, 2, 2, 0 },
	{ "a differencing image that names no parent", V(.type = IMG_VDI_DIFF), no_link,
	  0, 0, 0, 1, 0, 0 },
	{ "the type says that it has no parent, but one is named", V(.seed = 1), link_uuid,
	  0, 0, 0, 1, 0, 0 },
	/* Its slots are there, but some blocks have none; the counter says all. */
	{ "the type says that it has no parent, but one is named", V(.type = IMG_VDI_FIXED),
	  link_uuid, 0, 2, 0, 1, 1, 0 },
	{ "flags 0x80000c00 are unknown", V(.flags = 3U << 10 | 1U << 31 | 1), NULL,
	  1, 0, 0, 0, 0, 0 },
	{ "flags 0x200 contradict the type, dynamic", V(.flags = 1 << 9), NULL, 0, 0, 0, 1, 0, 0 },
	{ "flags 0x100 contradict the type, differencing", V(.type = IMG_VDI_DIFF, .flags = 1 << 8),
	  NULL, 0, 0, 0, 1, 0, 0 },
	{ "the disk's 262145 bytes end inside a sector",
	  V(.disk_bytes = VK_BLOCKS * VK_GRAIN + 1, .blocks = VK_BLOCKS + 1), NULL,
	  1, 0, 0, 0, 0, 0 },
	{ "sectors of 0 bytes; others want 512 there", V(.seed = 1), odd_sector, 1, 0, 0, 0, 0, 0 },
	{ "70 blocks, more than the disk needs", V(.blocks = 70), NULL, 1, 0, 0, 0, 0, 0 },
	{ "past the end of the file; what it held is lost", V(.seed = 1), far_entry,
	  0, 0, 0, 1, 1, 1 },
	{ "past the end of the file; what it held is lost", V(.type = IMG_VDI_DIFF), far_entries,
	  0, 0, 0, 3, 3, 3 },
	{ "block 65 is in slot 1000, past the end", V(.blocks = 70), far_entry_unused,
	  1, 0, 0, 1, 1, 0 },
	{ "block 30 shares slot 3 with another one", V(.seed = 0), shared_slot, 0, 0, 0, 1, 1, 0 },
	{ "shares slot", V(.type = IMG_VDI_DIFF, .seed = 4, .holes = 5), shared_slots,
	  0, 1, 0, 3, 3, 0 },
	{ "block 65 shares slot 2 with another one", V(.blocks = 70), shared_unused,
	  1, 0, 0, 1, 1, 0 },
	{ "5 slots of the file are nobody's; vdctl compact gives them back", V(.holes = 5), NULL,
	  0, 1, 0, 0, 0, 0 },
	{ "counts 3 slots, but 8 are in use: other programs would write over some",
	  V(.lie = -5), NULL, 0, 0, 1, 0, 1, 0 },
	{ "counts 1008 slots, but the highest in use is number 8", V(.lie = 1000), NULL,
	  0, 1, 0, 0, 1, 0 },
	{ "inside its last slot, which ends at", V(.seed = 3), short_slot, 0, 0, 1, 0, 1, 0 },
	{ "counts 0 slots, but 12 are in use", V(.lie = -12, .seed = 5, .holes = 4), all_kinds,
	  0, 1, 1, 5, 6, 1 },
};

#undef V

static void make_spoilt(struct vk *k, const struct spoilt *s)
{
	vk_make(k, s->make);
	if (s->spoil)
		s->spoil(k);
}

static u64 all_repaired(const struct vd_check *c)
{
	return c->repaired[VD_FINDING_NOTE] + c->repaired[VD_FINDING_LEAK] +
	       c->repaired[VD_FINDING_UNCLEAN] + c->repaired[VD_FINDING_CORRUPT];
}

static void counts(const struct spoilt *s, const struct vd_check *c)
{
	const u64 *f = c->found;

	if (f[VD_FINDING_NOTE] != s->notes || f[VD_FINDING_LEAK] != s->leaks ||
	    f[VD_FINDING_UNCLEAN] != s->unclean || f[VD_FINDING_CORRUPT] != s->corrupt ||
	    all_repaired(c) != s->fixed || c->altered != s->altered)
		fail_msg("\"%s\": %llu notes, %llu leaks, %llu unclean, %llu corrupt, %llu fixed, %llu altered",
			 s->text, f[VD_FINDING_NOTE], f[VD_FINDING_LEAK], f[VD_FINDING_UNCLEAN],
			 f[VD_FINDING_CORRUPT], all_repaired(c), c->altered);
}

/* Said in a dry run and by a repair; then all that can be repaired is. */
static void findings(void **state)
{
	struct vd_check c;
	struct vk k;
	size_t i;
	u64 left;

	for (i = 0; i < ARRAY_SIZE(spoilt); i++) {
		const struct spoilt *s = &spoilt[i];

		make_spoilt(&k, s);
		assert_int_equal(vk_run(&k, 0, &c), 0);
		counts(s, &c);
		if (s->text[0])
			vk_heard(s->text);
		else
			assert_int_equal(vk_said.nr, 0);
		assert_int_equal(vk_run(&k, VD_CHECK_REPAIR, &c), 0);
		counts(s, &c);
		left = c.found[VD_FINDING_CORRUPT] - c.repaired[VD_FINDING_CORRUPT];
		vk_content(&k);
		assert_int_equal(vk_run(&k, 0, &c), 0);
		assert_int_equal(all_repaired(&c), 0);
		assert_true(c.found[VD_FINDING_CORRUPT] == left);
		assert_true(!c.found[VD_FINDING_UNCLEAN] && !c.altered);
		vk_free(&k);
	}
}

/* What a repair does not have to change stays, byte by byte. */
static void rest_is_kept(void **state)
{
	struct vd_check c;
	struct vk k, was;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(spoilt); i++) {
		make_spoilt(&k, &spoilt[i]);
		vk_copy(&was, &k);
		assert_int_equal(vk_run(&k, VD_CHECK_REPAIR, &c), 0);
		if (!spoilt[i].fixed)
			assert_int_equal(k.writes, 0);
		ut_same(k.v.buf.data, was.v.buf.data, 0, IMG_VDI_COUNT, "header");
		ut_same(k.v.buf.data + IMG_VDI_LINK, was.v.buf.data + IMG_VDI_LINK, IMG_VDI_LINK,
			k.v.map_pos - IMG_VDI_LINK, "header behind the UUIDs");
		if (!k.v.no_uuid && spoilt[i].spoil != no_uuid && spoilt[i].spoil != all_kinds)
			ut_same(k.v.buf.data + IMG_VDI_UUID, was.v.buf.data + IMG_VDI_UUID,
				IMG_VDI_UUID, 16, "UUID");
		if (!k.v.no_uuid && spoilt[i].spoil != no_mod_uuid)
			ut_same(k.v.buf.data + IMG_VDI_MOD, was.v.buf.data + IMG_VDI_MOD,
				IMG_VDI_MOD, 16, "modification UUID");
		/* Slots that were there hold what they held. */
		ut_same(k.v.buf.data + k.v.data_pos, was.v.buf.data + k.v.data_pos, k.v.data_pos,
			was.v.buf.len - k.v.data_pos, "slots");
		vk_free(&k);
		ut_buf_free(&was.v.buf);
	}
}

/* After a repair each block has a slot of its own, which the counter counts. */
static void repaired(void **state)
{
	struct img_vdi_look l;
	struct vd_check c;
	struct vk k;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(spoilt); i++) {
		make_spoilt(&k, &spoilt[i]);
		assert_int_equal(vk_run(&k, VD_CHECK_REPAIR, &c), 0);
		l = img_vdi_look(&k.v, k.v.buf.data, k.v.buf.len);
		assert_int_equal(l.counter, l.high);
		assert_true(k.v.buf.len >= k.v.data_pos + l.high * VK_GRAIN);
		vk_free(&k);
	}
}

/* --- numbers --- */

static void numbers(void **state)
{
	struct vd_check c;
	struct vk k;

	vk_make(&k, (struct img_vdi){ .holes = 5, .seed = 2 });
	assert_int_equal(vk_run(&k, 0, &c), 0);
	assert_true(c.unit == VK_GRAIN && c.units == VK_BLOCKS && c.used_units == 8);
	assert_true(c.end == k.v.data_pos + 13 * VK_GRAIN && c.leaked == 5 * VK_GRAIN && !c.lone);
	vk_free(&k);
	vk_make(&k, (struct img_vdi){ .extra = 512, .holes = 1 });
	assert_int_equal(vk_run(&k, 0, &c), 0);
	assert_true(c.end == k.v.data_pos + 9 * (VK_GRAIN + 512) && c.leaked == VK_GRAIN + 512);
	assert_true(!c.found[VD_FINDING_CORRUPT] && !c.found[VD_FINDING_UNCLEAN]);
	vk_free(&k);
	/* Over more of the map than one piece of a walk. */
	vk_make(&k, (struct img_vdi){ .blocks = 70000 });
	img_vdi_set(&k.v, 69999, 3);
	img_vdi_set(&k.v, 65536, 4);
	assert_int_equal(vk_run(&k, 0, &c), 0);
	assert_true(c.found[VD_FINDING_CORRUPT] == 2);
	vk_heard("block 69999 shares slot 3");
	vk_heard("block 65536 shares slot 4");
	vk_free(&k);
}

/* A file without a single slot, and one that ends before the first could begin. */
static void no_slots(void **state)
{
	struct ut_disk *d = ut_disk_new(VK_BLOCKS * VK_GRAIN, VK_GRAIN);
	struct vd_check c;
	struct vk k;
	u32 i;

	for (i = 0; i < 4; i++) {
		memset(&k, 0, sizeof(k));
		k.d = d;
		k.v.data_pos = 8192;
		img_vdi_write(&k.v, d);
		ut_buf_size(&k.v.buf, i % 2 ? 5000 : 8192);
		if (i >= 2)
			img_vdi_set(&k.v, 7, 0);
		assert_int_equal(vk_run(&k, 0, &c), 0);
		assert_true(c.found[VD_FINDING_CORRUPT] == i / 2 && c.used_units == 0);
		assert_true(!c.found[VD_FINDING_UNCLEAN] && c.end == (i % 2 ? 5000 : 8192));
		assert_int_equal(vk_run(&k, VD_CHECK_REPAIR, &c), 0);
		if (i >= 2)
			assert_true(img_vdi_get(&k.v, 7) == IMG_VDI_ZERO);
		assert_int_equal(vk_run(&k, 0, &c), 0);
		assert_true(c.found[VD_FINDING_CORRUPT] == 0);
		ut_buf_free(&k.v.buf);
	}
	ut_disk_free(d);
}

static void fixed(void **state)
{
	struct vd_check c;
	struct vk k;
	u64 g;

	memset(&k, 0, sizeof(k));
	k.d = ut_disk_new(VK_BLOCKS * VK_GRAIN, VK_GRAIN);
	for (g = 0; g < k.d->nr; g++)
		ut_disk_set(k.d, g, UT_DATA, 4);
	k.v = (struct img_vdi){ .type = IMG_VDI_FIXED, .flags = 1 << 8 };
	img_vdi_write(&k.v, k.d);
	assert_int_equal(vk_run(&k, VD_CHECK_REPAIR, &c), 0);
	assert_true(vk_said.nr == 0 && k.writes == 0 && c.used_units == VK_BLOCKS);
	vk_free(&k);
}

static void segment_too_long(void **state)
{
	struct vd_check c;
	struct vk k;

	vk_make(&k, (struct img_vdi){ .seed = 0 });
	k.len = k.d->size + VD_SECTOR;
	assert_int_equal(vk_run(&k, 0, &c), 0);
	assert_true(c.found[VD_FINDING_CORRUPT] == 1 && !all_repaired(&c));
	vk_heard("the disk has 262144 bytes, but the segment covers 262656");
	vk_free(&k);
}

/* --- UUIDs --- */

/* Random, of version 4, in the order that the format has; each from bytes of its own. */
static void new_uuids(void **state)
{
	struct vd_check c;
	struct vk k;
	u32 i, j;

	vk_make(&k, (struct img_vdi){ .no_uuid = true });
	assert_int_equal(vk_run(&k, VD_CHECK_REPAIR, &c), 0);
	for (i = 0; i < 2; i++) {
		const u8 *uuid = k.v.buf.data + (i ? IMG_VDI_MOD : IMG_VDI_UUID);

		for (j = 0; j < 16; j++) {
			u8 want = vk_random(i * 16 + j);

			if (j == 7)
				want = (want & 0x0f) | 0x40;
			if (j == 8)
				want = (want & 0x3f) | 0x80;
			assert_int_equal(uuid[j], want);
		}
	}
	vk_free(&k);
}

/* --- modes --- */

/* Only what a crash can leave: the counter and the short slot, no damage and no UUID. */
static void merge(void **state)
{
	struct vd_check c;
	struct vk k, was;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(spoilt); i++) {
		make_spoilt(&k, &spoilt[i]);
		vk_copy(&was, &k);
		assert_int_equal(vk_run(&k, VD_CHECK_REPAIR | VD_CHECK_MERGE, &c), 0);
		ut_same(k.v.buf.data, was.v.buf.data, 0, IMG_VDI_COUNT, "header");
		ut_same(k.v.buf.data + IMG_VDI_UUID, was.v.buf.data + IMG_VDI_UUID, IMG_VDI_UUID,
			was.v.buf.len - IMG_VDI_UUID, "all behind the counter");
		assert_int_equal(vk_run(&k, 0, &c), 0);
		assert_true(!c.found[VD_FINDING_UNCLEAN]);
		assert_true(c.found[VD_FINDING_CORRUPT] == spoilt[i].corrupt);
		vk_free(&k);
		ut_buf_free(&was.v.buf);
	}
}

static int run_bytes(const struct vk *k, bool writable, u32 kind, u32 flags, struct vd_check *c,
		     struct vd_error *err, struct ut_count *count)
{
	struct vd_file *mem = vd_ufile_mem(k->v.buf.data, k->v.buf.len, writable);
	struct vd_file *file = vd_ufile_record(mem, ut_count_fn, count);
	int ret;

	memset(c, 0, sizeof(*c));
	memset(err, 0, sizeof(*err));
	memset(count, 0, sizeof(*count));
	c->flags = flags;
	ret = vd_format_vdi.user->check(file, kind, k->d->size, c, err);
	vd_ufile_free(file);
	vd_ufile_free(mem);
	return ret;
}

static void modes(void **state)
{
	struct ut_count count;
	struct vd_error err;
	struct vd_check c;
	struct vk k;

	vk_make(&k, (struct img_vdi){ .lie = -3 });
	/* No mark in any file says that somebody was at work. */
	assert_int_equal(run_bytes(&k, true, VDISK_SEG_VDI, VD_CHECK_IF_MARKED | VD_CHECK_REPAIR,
				   &c, &err, &count), 0);
	assert_true(!count.reads && !count.others && !c.found[VD_FINDING_UNCLEAN]);
	assert_int_equal(run_bytes(&k, true, VDISK_SEG_VMDK_SPARSE, 0, &c, &err, &count), -EINVAL);
	assert_non_null(strstr(err.text, "vdi has no segment kind 0x200"));
	assert_int_equal(run_bytes(&k, false, VDISK_SEG_VDI, VD_CHECK_REPAIR, &c, &err, &count),
			 -EROFS);
	assert_non_null(strstr(err.text, "the file is not open for writing"));
	assert_true(!count.others);
	ut_put32(&k.v.buf, IMG_VDI_TYPE, 9);
	assert_int_equal(run_bytes(&k, true, VDISK_SEG_VDI, VD_CHECK_REPAIR, &c, &err, &count),
			 -EUCLEAN);
	assert_non_null(strstr(err.text, "image type is 9"));
	assert_true(!count.others);
	vk_free(&k);
}

/* Of version 0.2 nothing is written, not even the end of the last slot. */
static void old_version(void **state)
{
	struct vd_check c;
	struct vk k, was;
	u32 i;

	for (i = 0; i < 3; i++) {
		vk_make(&k, (struct img_vdi){ .version = IMG_VDI_0_2, .lie = i == 2 ? -3 : 0 });
		if (i == 0)
			short_slot(&k);
		if (i == 1)
			shared_slot(&k);
		vk_copy(&was, &k);
		assert_int_equal(vk_run(&k, 0, &c), 0);
		assert_true(c.found[VD_FINDING_CORRUPT] == (i == 1));
		assert_true(c.found[VD_FINDING_UNCLEAN] == (i != 1));
		assert_int_equal(all_repaired(&c), 0);
		assert_int_equal(vk_run(&k, VD_CHECK_REPAIR, &c), 0);
		assert_int_equal(all_repaired(&c), 0);
		assert_int_equal(k.v.buf.len, was.v.buf.len);
		ut_same(k.v.buf.data, was.v.buf.data, 0, was.v.buf.len, "all that was there");
		vk_content(&k);
		vk_free(&k);
		ut_buf_free(&was.v.buf);
	}
}

/* Numbers for slots end. */
static void no_numbers(void **state)
{
	struct vd_error err = { 0 };
	struct vd_check c = { .flags = VD_CHECK_REPAIR };
	struct ut_disk *d = ut_disk_new(64 * 512, 512);
	struct img_vdi v = { .seed = 0 };
	struct ut_far far;
	struct vd_file *file;

	img_vdi_write(&v, d);
	img_vdi_set(&v, 3, IMG_VDI_ZERO - 2);
	img_vdi_set(&v, 4, IMG_VDI_ZERO - 2);
	file = ut_far_open(&far, &v.buf, img_vdi_slot(&v, IMG_VDI_ZERO - 2),
			   img_vdi_slot(&v, IMG_VDI_ZERO));
	assert_int_equal(vd_format_vdi.user->check(file, VDISK_SEG_VDI, d->size, &c, &err), -EFBIG);
	assert_non_null(strstr(err.text, "there are no numbers for 1 more slots"));
	assert_true(ut_get_le(&v.buf, IMG_VDI_COUNT, 4) == 0);
	ut_buf_free(&far.high);
	ut_buf_free(&v.buf);
	ut_disk_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(findings),
		cmocka_unit_test(rest_is_kept),
		cmocka_unit_test(repaired),
		cmocka_unit_test(numbers),
		cmocka_unit_test(no_slots),
		cmocka_unit_test(fixed),
		cmocka_unit_test(segment_too_long),
		cmocka_unit_test(new_uuids),
		cmocka_unit_test(merge),
		cmocka_unit_test(modes),
		cmocka_unit_test(old_version),
		cmocka_unit_test(no_numbers),
	};

	return cmocka_run_group_tests_name("vdi-check", tests, NULL, NULL);
}
