/* SPDX-License-Identifier: GPL-2.0-only */
/* What the tests of the check of VDI share: one image, its shadow, what was said. */
#ifndef UT_VDI_CHECK_H
#define UT_VDI_CHECK_H

#include "img-vdi.h"
#include "vdisk/check.h"

#define VK_GRAIN	4096ULL
#define VK_BLOCKS	64U
#define VK_TEXTS	24

static struct {
	char text[VK_TEXTS][VD_ERROR_TEXT];
	u32 nr;
} vk_said;

/**
 * struct vk - an image, and what a guest must read from it once it is repaired
 * @len: of the segment; 0: the disk's
 * @writes: changes of the last run; @copied, @altered: what it told of
 * @unflushed: slots were written, and nothing says yet that they are durable
 */
struct vk {
	struct img_vdi v;
	struct ut_disk *d;
	u64 len;
	u64 writes;
	u64 copied;
	u64 altered;
	struct vd_file *mem;
	bool unflushed;
};

/* Blocks 0 to 5, 40 and 41 have slots, 8 is ZERO. */
static inline void vk_make(struct vk *k, struct img_vdi v)
{
	u64 g;

	memset(k, 0, sizeof(*k));
	k->d = ut_disk_new(VK_BLOCKS * VK_GRAIN, VK_GRAIN);
	for (g = 0; g < 8; g++)
		ut_disk_set(k->d, g < 6 ? g : g + 34, UT_DATA, 41);
	ut_disk_set(k->d, 8, UT_ZERO, 0);
	k->v = v;
	img_vdi_write(&k->v, k->d);
}

static inline void vk_free(struct vk *k)
{
	ut_buf_free(&k->v.buf);
	ut_disk_free(k->d);
}

/* The bytes; the disk is shared. */
static inline void vk_copy(struct vk *to, const struct vk *from)
{
	*to = *from;
	memset(&to->v.buf, 0, sizeof(to->v.buf));
	ut_put(&to->v.buf, 0, from->v.buf.data, from->v.buf.len);
}

/* The block in the highest slot. */
static inline u64 vk_last(const struct vk *k)
{
	u64 b;

	for (b = 0; b < VK_BLOCKS; b++)
		if (img_vdi_get(&k->v, b) == k->v.high - 1)
			return b;
	fail_msg("nobody is in the last slot");
	return 0;
}

/* --- running --- */

static inline u8 vk_random(u32 i)
{
	return (u8)(0xff - 5 * i);
}

static inline void vk_report(void *ctx, enum vd_finding kind, const char *text)
{
	struct vd_error err = { .code = -1 };

	assert_true(kind <= VD_FINDING_CORRUPT);
	snprintf(err.text, sizeof(err.text), "%s", text);
	ut_assert_sentence(&err, -1);
	if (vk_said.nr < VK_TEXTS)
		snprintf(vk_said.text[vk_said.nr++], VD_ERROR_TEXT, "%s", text);
}

static inline void vk_heard(const char *text)
{
	u32 i;

	for (i = 0; i < vk_said.nr; i++)
		if (strstr(vk_said.text[i], text))
			return;
	fail_msg("nothing says \"%s\", but \"%s\"", text, vk_said.nr ? vk_said.text[0] : "nothing");
}

static inline void vk_changed(void *ctx, enum vd_change how, u64 pos, u64 len)
{
	struct vk *k = ctx;

	assert_true(len && pos % VK_GRAIN == 0 && pos + len <= k->d->size && len <= VK_GRAIN);
	k->copied += how == VD_CHANGE_COPIED;
	k->altered += how == VD_CHANGE_ALTERED;
}

/* What the file's counter says, and the highest slot of a map in which @data stands at @pos. */
static inline void vk_watch_map(struct vk *k, u64 pos, u64 len, const u8 *data)
{
	size_t size;
	const u8 *file = vd_ufile_mem_data(k->mem, &size);
	u32 b, counter = get_unaligned_le32(file + IMG_VDI_COUNT);

	for (b = 0; b < k->v.blocks; b++) {
		u64 at = img_vdi_entry(&k->v, b);
		u32 was = get_unaligned_le32(file + at), slot;

		if (at < pos || at >= pos + len)
			continue;
		slot = get_unaligned_le32(data + (at - pos));
		if (slot != was && slot < IMG_VDI_ZERO)
			assert_true(slot < counter && !k->unflushed);
	}
}

/*
 * Sectors that change and no others; a copy is durable before an entry names it, and its
 * number is counted by then.
 */
static inline void vk_watch(void *ctx, enum vd_file_op op, u64 pos, u64 len, const void *data)
{
	struct vk *k = ctx;
	u8 old[VD_SECTOR] = { 0 };

	if (op == VD_OP_FLUSH)
		k->unflushed = false;
	if (op == VD_OP_READ || op == VD_OP_FLUSH)
		return;
	k->writes++;
	if (op == VD_OP_TRUNCATE) {
		assert_true(len > k->v.buf.len);
		return;
	}
	assert_int_equal(op, VD_OP_WRITE);
	if (pos >= k->v.data_pos) {
		assert_true(pos >= k->v.data_pos + k->v.high * k->v.slot);
		k->unflushed = true;
		return;
	}
	assert_true(pos % VD_SECTOR == 0 && len <= VD_SECTOR);
	k->mem->ops->read(k->mem, pos, old, VD_SECTOR);
	assert_true(memcmp(old, data, len));
	if (pos >= k->v.map_pos / VD_SECTOR * VD_SECTOR)
		vk_watch_map(k, pos, len, data);
}

static inline void vk_prepare(struct vk *k, u32 flags, struct vd_check *out)
{
	u32 i;

	memset(&vk_said, 0, sizeof(vk_said));
	memset(out, 0xa5, sizeof(*out));
	out->flags = flags;
	out->report = vk_report;
	out->progress = NULL;
	out->changed = vk_changed;
	out->save = NULL;
	out->ctx = k;
	for (i = 0; i < sizeof(out->random); i++)
		out->random[i] = vk_random(i);
	k->writes = k->copied = k->altered = 0;
	k->unflushed = false;
}

static inline int vk_run_file(struct vk *k, struct vd_file *file, struct vd_check *out)
{
	struct vd_error err = { 0 };
	int ret;

	ret = vd_format_vdi.user->check(file, VDISK_SEG_VDI, k->len ? k->len : k->d->size, out,
					&err);
	if (ret)
		ut_assert_sentence(&err, ret);
	else if (out->changed)
		assert_true(k->altered == out->altered);
	return ret;
}

/* What is in @mem becomes the image. */
static inline void vk_take(struct vk *k, const struct vd_file *mem)
{
	size_t len;
	const void *data = vd_ufile_mem_data(mem, &len);

	ut_buf_size(&k->v.buf, len);
	ut_put(&k->v.buf, 0, data, len);
}

/* Check a copy of the image; with REPAIR the result becomes the image. */
static inline int vk_run(struct vk *k, u32 flags, struct vd_check *out)
{
	struct vd_file *file;
	int ret;

	k->mem = vd_ufile_mem(k->v.buf.data, k->v.buf.len, true);
	file = vd_ufile_record(k->mem, vk_watch, k);
	vk_prepare(k, flags, out);
	ret = vk_run_file(k, file, out);
	assert_false(k->unflushed);
	if (flags & VD_CHECK_REPAIR)
		vk_take(k, k->mem);
	else
		assert_int_equal(k->writes, 0);
	vd_ufile_free(file);
	vd_ufile_free(k->mem);
	return ret;
}

/* Everything a guest reads is what the shadow says. */
static inline void vk_content(const struct vk *k)
{
	struct vd_chain *chain;
	struct ut_set set = { 0 };

	img_vdi_add(&set, &k->v, k->d->size, false);
	chain = ut_open(&set);
	ut_check_reads(chain, k->d->data, 0, 1);
	vd_chain_close(chain);
	ut_set_free(&set);
}

#endif /* UT_VDI_CHECK_H */
