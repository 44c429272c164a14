// SPDX-License-Identifier: GPL-2.0-only
/*
 * Repair of VDI: stopped anywhere, by whoever asks or by a failure, it leaves an image
 * that is no worse, and a second run does what the first has left.
 */
#include "ut-vdi-check.h"

static void share(struct vk *k, u64 one, u64 two)
{
	img_vdi_set(&k->v, two, img_vdi_get(&k->v, one));
	ut_disk_set(k->d, two, UT_DATA, 0);
	memcpy(k->d->data + two * VK_GRAIN, k->d->data + one * VK_GRAIN, VK_GRAIN);
}

/* All that a repair takes care of, in one image. */
static void spoil(struct vk *k)
{
	u64 cut = 3000, last;

	vk_make(k, (struct img_vdi){ .seed = 6, .holes = 3, .lie = -7, .type = IMG_VDI_DIFF });
	share(k, 2, 20);
	share(k, 2, 21);
	share(k, 40, 50);
	img_vdi_set(&k->v, 30, 5000);
	img_vdi_set(&k->v, 63, IMG_VDI_ZERO - 1);
	ut_disk_set(k->d, 30, UT_ZERO, 0);
	ut_disk_set(k->d, 63, UT_ZERO, 0);
	memset(k->v.buf.data + IMG_VDI_UUID, 0, 16);
	last = vk_last(k);
	ut_buf_size(&k->v.buf, k->v.buf.len - cut);
	memset(k->d->data + last * VK_GRAIN + VK_GRAIN - cut, 0, cut);
	if (last == 2 || last == 40)
		fail_msg("the last slot is shared");
}

/* Blocks whose slot another one has, or that have none in the file: they get fewer. */
static u64 wrong_entries(const struct vk *k)
{
	u64 b, c, n = 0;

	for (b = 0; b < VK_BLOCKS; b++) {
		u32 slot = img_vdi_get(&k->v, b);
		bool wrong = slot < IMG_VDI_ZERO && img_vdi_slot(&k->v, slot) >= k->v.buf.len;

		for (c = 0; c < b; c++)
			wrong |= slot < IMG_VDI_ZERO && img_vdi_get(&k->v, c) == slot;
		n += wrong;
	}
	return n;
}

/* What can be read of the image as it is, and must be: all but lost blocks. */
static void readable(const struct vk *k)
{
	struct vd_chain *chain;
	struct ut_set set = { 0 };
	u8 buf[VK_GRAIN];
	u64 b;

	img_vdi_add(&set, &k->v, k->d->size, false);
	chain = ut_open(&set);
	for (b = 0; b < VK_BLOCKS; b++) {
		int ret = vd_read(chain, NULL, b * VK_GRAIN, buf, VK_GRAIN);

		if (ret) {
			assert_true(ret == -EUCLEAN && (b == 30 || b == 63));
			continue;
		}
		ut_same(buf, k->d->data + b * VK_GRAIN, b * VK_GRAIN, VK_GRAIN, "in mid-repair");
	}
	vd_chain_close(chain);
	ut_set_free(&set);
}

/* From whatever a run has left: the next one makes it whole. */
static void whole(struct vk *k)
{
	struct img_vdi_look l;
	struct vd_check c;

	readable(k);
	k->v.high = 0;
	assert_int_equal(vk_run(k, VD_CHECK_REPAIR, &c), 0);
	vk_content(k);
	assert_int_equal(vk_run(k, 0, &c), 0);
	assert_true(!c.found[VD_FINDING_CORRUPT] && !c.found[VD_FINDING_UNCLEAN]);
	l = img_vdi_look(&k->v, k->v.buf.data, k->v.buf.len);
	assert_int_equal(l.counter, l.high);
	assert_false(ut_all_zero(k->v.buf.data + IMG_VDI_UUID, 16));
}

/* --- failures --- */

/* The @nth operation fails, and if @sticky all later ones. False: there are not so many. */
static bool interrupted(long nth, bool sticky, u32 flags)
{
	struct vd_fault fault = { .countdown = nth, .sticky = sticky, .error = EIO };
	struct vd_file *file;
	struct vd_check c;
	struct vk k;
	u64 wrong;
	int ret;

	spoil(&k);
	wrong = wrong_entries(&k);
	k.mem = vd_ufile_mem(k.v.buf.data, k.v.buf.len, true);
	file = vd_ufile_fault(k.mem, &fault);
	vk_prepare(&k, flags, &c);
	ret = vk_run_file(&k, file, &c);
	assert_int_equal(ret, fault.fired ? -EIO : 0);
	vk_take(&k, k.mem);
	vd_ufile_free(file);
	vd_ufile_free(k.mem);
	assert_true(wrong_entries(&k) <= wrong);
	whole(&k);
	vk_free(&k);
	return fault.fired;
}

static void failures(void **state)
{
	u32 sticky;
	long nth;

	for (sticky = 0; sticky < 2; sticky++) {
		for (nth = 1; interrupted(nth, sticky, VD_CHECK_REPAIR); nth++)
			;
		assert_true(nth > 20);
		for (nth = 1; interrupted(nth, sticky, VD_CHECK_REPAIR | VD_CHECK_MERGE); nth++)
			;
		assert_true(nth > 5);
	}
}

static void no_memory(void **state)
{
	struct vd_file *mem;
	struct vd_check c;
	struct vk k;
	long i;
	int ret = 1;

	for (i = 1; ret; i++) {
		spoil(&k);
		mem = vd_ufile_mem(k.v.buf.data, k.v.buf.len, true);
		vk_prepare(&k, VD_CHECK_REPAIR, &c);
		ut_alloc_start(i, false);
		ret = vk_run_file(&k, mem, &c);
		ut_alloc_stop();
		/* A file in memory needs some to grow. */
		assert_true(ut_alloc.failed ? ret == -ENOMEM || ret == -ENOSPC : !ret);
		vk_take(&k, mem);
		vd_ufile_free(mem);
		whole(&k);
		vk_free(&k);
	}
	assert_true(i > 4);
}

/* --- stopped by who asks --- */

static struct {
	u64 calls;
	u64 stop;
} progress;

static bool may_go_on(void *ctx, u64 done, u64 total)
{
	assert_true(done <= total && total);
	return ++progress.calls != progress.stop;
}

/* A map of many pieces: entries are asked about all the way. */
static void wide(struct vk *k)
{
	u32 blocks = 140000;

	vk_make(k, (struct img_vdi){ .seed = 6, .blocks = blocks, .lie = -3 });
	share(k, 2, 20);
	share(k, 4, 21);
	img_vdi_set(&k->v, 30, 5000);
	ut_disk_set(k->d, 30, UT_ZERO, 0);
	/* Behind the end of the disk, one in each piece. */
	img_vdi_set(&k->v, 70000, img_vdi_get(&k->v, 1));
	img_vdi_set(&k->v, 135000, img_vdi_get(&k->v, 3));
}

static bool stopped(u64 stop, u64 *done)
{
	struct vd_file *mem, *file;
	struct img_vdi_look l;
	struct vd_check c;
	struct vk k;
	int ret;

	wide(&k);
	k.mem = mem = vd_ufile_mem(k.v.buf.data, k.v.buf.len, true);
	file = vd_ufile_record(mem, vk_watch, &k);
	vk_prepare(&k, VD_CHECK_REPAIR, &c);
	c.progress = may_go_on;
	progress.calls = 0;
	progress.stop = stop;
	ret = vk_run_file(&k, file, &c);
	assert_int_equal(ret, progress.calls >= stop ? -EINTR : 0);
	assert_true(progress.calls <= stop);
	/* What was copied by then is shown, and durable. */
	assert_false(k.unflushed);
	vk_take(&k, mem);
	vd_ufile_free(file);
	vd_ufile_free(mem);
	readable(&k);
	k.v.high = 0;
	*done = k.v.buf.len;
	assert_int_equal(vk_run(&k, VD_CHECK_REPAIR, &c), 0);
	vk_content(&k);
	l = img_vdi_look(&k.v, k.v.buf.data, k.v.buf.len);
	/* Each copy was made once. */
	assert_true(l.high == 12 && l.used == 12 && l.counter == 12);
	vk_free(&k);
	return ret;
}

static void stops(void **state)
{
	u64 stop, done, most = 0;

	for (stop = 1; stopped(stop, &done); stop++)
		most = max(most, done);
	/* Three times while it looks, and more often while it repairs. */
	assert_true(stop > 20);
	assert_true(most == done);
}

/* --- many --- */

/* More copies than are shown at once, of slots larger than the buffer. */
static void many(void **state)
{
	struct ut_disk *d = ut_disk_new(400 * 512, 512);
	struct img_vdi_look l;
	struct vd_check c;
	struct vk k = { .d = d };
	u64 b;

	for (b = 0; b < 100; b++)
		ut_disk_set(d, b * 4, UT_DATA, 9);
	k.v.seed = 3;
	img_vdi_write(&k.v, d);
	for (b = 0; b < 400; b++) {
		if (b % 4 == 0)
			continue;
		img_vdi_set(&k.v, b, img_vdi_get(&k.v, b / 4 * 4));
		memcpy(d->data + b * 512, d->data + b / 4 * 4 * 512, 512);
	}
	k.mem = vd_ufile_mem(k.v.buf.data, k.v.buf.len, true);
	vk_prepare(&k, VD_CHECK_REPAIR, &c);
	c.changed = NULL;
	assert_int_equal(vk_run_file(&k, k.mem, &c), 0);
	assert_true(c.found[VD_FINDING_CORRUPT] == 300 && c.repaired[VD_FINDING_CORRUPT] == 300);
	vk_take(&k, k.mem);
	vd_ufile_free(k.mem);
	l = img_vdi_look(&k.v, k.v.buf.data, k.v.buf.len);
	assert_true(l.high == 400 && l.used == 400 && l.counter == 400);
	vk_content(&k);
	vk_free(&k);
}

static void large_slots(void **state)
{
	struct ut_disk *d = ut_disk_new(4 * 262144, 262144);
	struct vd_check c;
	struct vk k = { .d = d };
	u32 extra;

	for (extra = 0; extra <= 512; extra += 512) {
		k.v = (struct img_vdi){ .extra = extra };
		ut_disk_set(d, 1, UT_DATA, 8);
		ut_disk_set(d, 2, UT_DATA, 9);
		img_vdi_write(&k.v, d);
		img_vdi_set(&k.v, 3, img_vdi_get(&k.v, 1));
		ut_disk_set(d, 3, UT_DATA, 8);
		memcpy(d->data + 3 * 262144, d->data + 262144, 262144);
		k.mem = vd_ufile_mem(k.v.buf.data, k.v.buf.len, true);
		vk_prepare(&k, VD_CHECK_REPAIR, &c);
		c.changed = NULL;
		assert_int_equal(vk_run_file(&k, k.mem, &c), 0);
		vk_take(&k, k.mem);
		vd_ufile_free(k.mem);
		assert_true(img_vdi_get(&k.v, 3) == 2);
		/* The extra data goes with it. */
		ut_same(k.v.buf.data + k.v.data_pos + 2 * k.v.slot, k.v.buf.data + k.v.data_pos, 0,
			k.v.slot, "copy");
		vk_content(&k);
		ut_buf_free(&k.v.buf);
		ut_disk_set(d, 3, UT_ABSENT, 0);
	}
	ut_disk_free(d);
}

/* --- what it tells --- */

struct told {
	u64 n;
	u64 pos[16];
	enum vd_change how[16];
	u64 len[16];
};

static void tell(void *ctx, enum vd_change how, u64 pos, u64 len)
{
	struct told *t = ctx;

	assert_true(t->n < 16);
	t->pos[t->n] = pos;
	t->len[t->n] = len;
	t->how[t->n++] = how;
}

/* Each part of the disk once, the same with and without a repair, to the disk's end. */
static void changes(void **state)
{
	static const struct { u64 block; enum vd_change how; u64 len; } want[] = {
		{ 20, VD_CHANGE_COPIED, VK_GRAIN }, { 30, VD_CHANGE_ALTERED, VK_GRAIN },
		{ 50, VD_CHANGE_COPIED, VK_GRAIN }, { 63, VD_CHANGE_ALTERED, 1024 },
	};
	u32 repair, i;

	for (repair = 0; repair < 2; repair++) {
		struct vd_file *mem;
		struct vd_error err = { 0 };
		struct vd_check c = { .flags = repair ? VD_CHECK_REPAIR : 0, .changed = tell };
		struct told t = { 0 };
		struct vk k;

		vk_make(&k, (struct img_vdi){ .seed = 6, .blocks = 67 });
		ut_put64(&k.v.buf, IMG_VDI_DISK, k.d->size - VK_GRAIN + 1024);
		share(&k, 2, 20);
		img_vdi_set(&k.v, 30, 5000);
		share(&k, 40, 50);
		img_vdi_set(&k.v, 63, 5001);
		img_vdi_set(&k.v, 65, 5001);
		img_vdi_set(&k.v, 66, 1);
		c.ctx = &t;
		mem = vd_ufile_mem(k.v.buf.data, k.v.buf.len, true);
		assert_int_equal(vd_format_vdi.user->check(mem, VDISK_SEG_VDI, 4096, &c, &err), 0);
		assert_int_equal(t.n, ARRAY_SIZE(want));
		assert_int_equal(c.altered, 2);
		for (i = 0; i < t.n; i++) {
			assert_int_equal(t.pos[i], want[i].block * VK_GRAIN);
			assert_int_equal(t.how[i], want[i].how);
			assert_int_equal(t.len[i], want[i].len);
		}
		vd_ufile_free(mem);
		vk_free(&k);
	}
}

/* --- ends of files --- */

/* A copy goes behind the last slot in use, where a device has room, or there is none. */
static void device(void **state)
{
	struct vd_check c;
	struct vk k;
	u32 i;

	for (i = 0; i < 3; i++) {
		vk_make(&k, (struct img_vdi){ .seed = 6 });
		share(&k, 2, 20);
		ut_buf_size(&k.v.buf, k.v.buf.len + (i ? VK_GRAIN : VK_GRAIN - 1));
		k.mem = vd_ufile_mem(k.v.buf.data, k.v.buf.len, true);
		k.mem->fixed = true;
		vk_prepare(&k, VD_CHECK_REPAIR, &c);
		assert_int_equal(vk_run_file(&k, k.mem, &c) != 0, i == 0);
		vk_take(&k, k.mem);
		assert_true(k.v.buf.len == k.v.data_pos + 9 * VK_GRAIN - !i);
		readable(&k);
		if (i)
			assert_true(img_vdi_get(&k.v, 20) == 8);
		vd_ufile_free(k.mem);
		vk_free(&k);
	}
}

/* Behind the last slot lies what is nobody's: a copy goes over it. */
static void tail(void **state)
{
	struct vd_check c;
	struct vk k;

	vk_make(&k, (struct img_vdi){ .seed = 6 });
	share(&k, 2, 20);
	ut_buf_size(&k.v.buf, k.v.buf.len + 30000);
	memset(k.v.buf.data + k.v.buf.len - 30000, 0x77, 30000);
	assert_int_equal(vk_run(&k, VD_CHECK_REPAIR, &c), 0);
	assert_true(img_vdi_get(&k.v, 20) == 8 && ut_get_le(&k.v.buf, IMG_VDI_COUNT, 4) == 9);
	assert_true(k.v.buf.len == k.v.data_pos + 8 * VK_GRAIN + 30000);
	vk_content(&k);
	vk_free(&k);
}

/* A map in the header's own sector, in a file that ends with it. */
static void tiny(void **state)
{
	struct ut_disk *d = ut_disk_new(4096, 4096);
	struct img_vdi v = { .header_bytes = 384, .map_pos = 456, .no_uuid = true };
	struct vd_check c;
	struct vk k = { .d = d };

	img_vdi_write(&v, d);
	ut_buf_size(&v.buf, 460);
	k.v = v;
	img_vdi_set(&k.v, 0, 0);
	k.mem = vd_ufile_mem(k.v.buf.data, k.v.buf.len, true);
	vk_prepare(&k, VD_CHECK_REPAIR, &c);
	c.changed = NULL;
	assert_int_equal(vk_run_file(&k, k.mem, &c), 0);
	vk_take(&k, k.mem);
	vd_ufile_free(k.mem);
	assert_true(k.v.buf.len == 460 && img_vdi_get(&k.v, 0) == IMG_VDI_ZERO);
	assert_false(ut_all_zero(k.v.buf.data + IMG_VDI_UUID, 16));
	vk_free(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failures),
		cmocka_unit_test(no_memory),
		cmocka_unit_test(stops),
		cmocka_unit_test(many),
		cmocka_unit_test(large_slots),
		cmocka_unit_test(changes),
		cmocka_unit_test(device),
		cmocka_unit_test(tail),
		cmocka_unit_test(tiny),
	};

	return cmocka_run_group_tests_name("vdi-repair", tests, NULL, NULL);
}
