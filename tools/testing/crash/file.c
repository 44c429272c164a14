// SPDX-License-Identifier: GPL-2.0-only
/* Files in memory that log what is done to them, and sets of them. */
#include "crash.h"

static struct crash_file *to_crash_file(const struct vd_file *file)
{
	return container_of((struct vd_file *)(uintptr_t)file, struct crash_file, file);
}

static void log_change(struct crash_file *f, enum crash_what what, u64 pos, u64 len,
		       const void *data)
{
	if (f->log)
		crash_log_add(f->log, what, f->file.index, pos, len, data);
}

/* Parts of sectors are no space to write a sector to, and none to give back. */
static void set_space(struct crash_file *f, u64 pos, u64 end, bool space)
{
	u64 first = (pos + VD_SECTOR - 1) / VD_SECTOR, last = end / VD_SECTOR;

	if (last > first)
		memset(f->space + first, space, last - first);
}

bool crash_file_secured(const struct vd_file *file, u64 pos, u64 len)
{
	const struct crash_file *f = to_crash_file(file);
	u64 s;

	if (pos + len > f->len)
		return false;
	for (s = pos / VD_SECTOR; s * VD_SECTOR < pos + len; s++) {
		if (!f->space[s])
			return false;
	}
	return true;
}

static s64 file_read(struct vd_file *file, u64 pos, void *buf, u32 len)
{
	struct crash_file *f = to_crash_file(file);

	crash_flow_turn(8);
	if (pos >= f->len)
		return 0;
	len = (u32)min_t(u64, len, f->len - pos);
	memcpy(buf, f->data + pos, len);
	return len;
}

static int file_write(struct vd_file *file, u64 pos, const void *buf, u32 len)
{
	struct crash_file *f = to_crash_file(file);
	const u8 *from = buf;

	if (pos + len > CRASH_ROOM || (file->fixed && pos + len > f->len))
		return -ENOSPC;
	if (f->hook && from >= f->hooked && from < f->hooked + f->hooked_len)
		f->hook(f->ctx);
	crash_flow_turn(2);
	log_change(f, CRASH_WRITE, pos, len, buf);
	memcpy(f->data + pos, buf, len);
	f->len = max_t(u64, f->len, pos + len);
	set_space(f, pos, pos + len, true);
	crash_flow_turn(4);
	return 0;
}

/* A flush takes long: much happens before it does its work, and after. */
static void take_turns(void)
{
	u32 i;

	for (i = 0; i < 6; i++)
		crash_flow_turn(2);
}

static int file_flush(struct vd_file *file)
{
	struct crash_file *f = to_crash_file(file);

	take_turns();
	if (!f->log || !f->log->deaf)
		log_change(f, CRASH_FLUSH, 0, 0, NULL);
	take_turns();
	return 0;
}

static int file_size(struct vd_file *file, u64 *size)
{
	*size = to_crash_file(file)->len;
	return 0;
}

void crash_file_resize(struct crash_file *f, u64 len)
{
	if (len < f->len) {
		memset(f->data + len, 0, f->len - len);
		set_space(f, len, f->len, false);
	}
	f->len = len;
}

static int file_truncate(struct vd_file *file, u64 size)
{
	struct crash_file *f = to_crash_file(file);

	if (size > CRASH_ROOM)
		return -ENOSPC;
	if (file->fixed)
		return -EINVAL;
	crash_flow_turn(2);
	log_change(f, CRASH_SIZE, 0, size, NULL);
	crash_file_resize(f, size);
	return 0;
}

static int file_zero(struct vd_file *file, u64 pos, u64 len)
{
	struct crash_file *f = to_crash_file(file);

	crash_flow_turn(2);
	if (pos >= f->len)
		return 0;
	len = min_t(u64, len, f->len - pos);
	log_change(f, CRASH_ZERO, pos, len, NULL);
	memset(f->data + pos, 0, len);
	return 0;
}

static int file_punch(struct vd_file *file, u64 pos, u64 len)
{
	struct crash_file *f = to_crash_file(file);

	file_zero(file, pos, len);
	set_space(f, pos, min(pos + len, f->len), false);
	return 0;
}

static int file_allocate(struct vd_file *file, u64 pos, u64 len)
{
	struct crash_file *f = to_crash_file(file);

	if (pos + len > f->len && (file->fixed || pos + len > CRASH_ROOM))
		return -ENOSPC;
	crash_flow_turn(2);
	set_space(f, pos, pos + len, true);
	if (pos + len <= f->len)
		return 0;
	log_change(f, CRASH_GROW, 0, pos + len, NULL);
	f->len = pos + len;
	return 0;
}

static const struct vd_file_ops file_ops = {
	.read = file_read,
	.write = file_write,
	.flush = file_flush,
	.size = file_size,
	.truncate = file_truncate,
	.punch = file_punch,
	.zero = file_zero,
	.allocate = file_allocate,
};

void crash_file_init(struct crash_file *f, u32 index, bool writable, bool fixed)
{
	memset(f, 0, sizeof(*f));
	f->data = ut_xalloc(CRASH_ROOM);
	f->space = ut_xalloc(CRASH_SECTORS);
	f->file.ops = &file_ops;
	f->file.index = index;
	f->file.writable = writable;
	f->file.fixed = fixed;
}

void crash_file_free(struct crash_file *f)
{
	free(f->data);
	free(f->space);
}

void crash_file_copy(struct crash_file *to, const struct crash_file *from)
{
	crash_file_resize(to, min_t(u64, to->len, from->len));
	memcpy(to->data, from->data, from->len);
	to->len = from->len;
	/* Of what is there at first nobody knows whether it is a hole. */
	memset(to->space, 0, CRASH_SECTORS);
}

void crash_set_init(struct crash_set *set, const struct crash_format *fmt,
		    const struct img_case *c)
{
	u32 i;

	assert_true(c->set.nr_files <= CRASH_FILES);
	set->fmt = fmt;
	set->c = c;
	set->nr = c->set.nr_files;
	for (i = 0; i < set->nr; i++) {
		const struct vd_file *from = c->set.files[i];
		const void *data;
		size_t len;

		crash_file_init(&set->file[i], i, i < c->nr_top, from->fixed);
		set->files[i] = &set->file[i].file;
		data = vd_ufile_mem_data(from, &len);
		assert_true(len <= CRASH_ROOM);
		memcpy(set->file[i].data, data, len);
		set->file[i].len = len;
	}
}

void crash_set_free(struct crash_set *set)
{
	u32 i;

	for (i = 0; i < set->nr; i++)
		crash_file_free(&set->file[i]);
}

struct vd_chain *crash_set_open(struct crash_set *set, bool writable, char *rule)
{
	struct vd_chain_desc desc = img_case_desc(set->c);
	struct vd_chain *chain = NULL;
	struct vd_error err = { 0 };
	u32 i;
	int ret;

	for (i = 0; i < set->nr; i++) {
		set->files[i]->size = set->file[i].len;
		set->files[i]->writable = writable && i < set->c->nr_top;
		vd_atomic_set(&set->files[i]->dirty, 0);
	}
	desc.files = set->files;
	/* A patch wants a file that can be written. */
	if (!writable)
		desc.nr_patches = 0;
	ret = vd_chain_open(&desc, &chain, &err);
	if (ret)
		img_bad(rule, "open: error %d, %s", ret, err.text);
	return chain;
}

static void keep_report(void *ctx, enum vd_finding kind, const char *text)
{
	char *rule = ctx;

	if (kind == VD_FINDING_CORRUPT && !rule[0])
		snprintf(rule, IMG_RULE, "check: %s", text);
}

bool crash_set_check(struct crash_set *set, unsigned int flags, u64 *found, char *rule)
{
	const struct vdisk_segment_desc *seg = set->c->set.segs;
	u32 i, k;
	int ret;

	memset(found, 0, (VD_FINDING_CORRUPT + 1) * sizeof(*found));
	for (i = 0; i < crash_nr_extents(set); i++) {
		struct vd_check check = { .flags = flags, .report = keep_report, .ctx = rule };
		struct vd_file *file = set->files[seg[i].member];
		struct vd_error err = { 0 };

		if (seg[i].kind == VDISK_SEG_RAW)
			continue;
		file->size = set->file[seg[i].member].len;
		file->writable = flags & VD_CHECK_REPAIR;
		ret = set->fmt->vd->user->check(file, seg[i].kind, seg[i].len, &check, &err);
		if (ret)
			return img_bad(rule, "check: error %d, %s", ret, err.text);
		for (k = 0; k <= VD_FINDING_CORRUPT; k++)
			found[k] += check.found[k];
	}
	return true;
}
