/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A file that is larger than memory: two windows of it exist, one at its start and
 * one anywhere; the rest reads zeros and must not be written.
 */
#ifndef UT_FAR_H
#define UT_FAR_H

#include "ut.h"

/**
 * struct ut_far - the file
 * @low: its first bytes
 * @high, @high_pos: bytes from @high_pos on
 * @size: of the file
 */
struct ut_far {
	struct vd_file file;
	struct ut_buf *low;
	struct ut_buf high;
	u64 high_pos;
	u64 size;
};

static inline struct ut_far *ut_far_of(struct vd_file *file)
{
	return container_of(file, struct ut_far, file);
}

/* The part of [*@pos, +@len) that is in one window or in none; NULL: in none. */
static inline struct ut_buf *ut_far_window(struct ut_far *far, u64 *pos, u64 *len)
{
	if (*pos < far->low->len) {
		*len = min_t(u64, *len, far->low->len - *pos);
		return far->low;
	}
	if (*pos < far->high_pos) {
		*len = min_t(u64, *len, far->high_pos - *pos);
		return NULL;
	}
	*pos -= far->high_pos;
	return &far->high;
}

static inline s64 ut_far_read(struct vd_file *file, u64 pos, void *buf, u32 len)
{
	struct ut_far *far = ut_far_of(file);
	u64 done, n, at;

	len = pos < far->size ? (u32)min_t(u64, len, far->size - pos) : 0;
	memset(buf, 0, len);
	for (done = 0; done < len; done += n) {
		struct ut_buf *b;

		at = pos + done;
		n = len - done;
		b = ut_far_window(far, &at, &n);
		if (b && at < b->len)
			memcpy((u8 *)buf + done, b->data + at, min_t(u64, n, b->len - at));
	}
	return len;
}

static inline int ut_far_write(struct vd_file *file, u64 pos, const void *buf, u32 len)
{
	struct ut_far *far = ut_far_of(file);
	u64 n = len, at = pos;
	struct ut_buf *b = ut_far_window(far, &at, &n);

	assert_non_null(b);
	assert_true(n == len);
	ut_put(b, at, buf, len);
	far->size = max_t(u64, far->size, pos + len);
	return 0;
}

static inline int ut_far_flush(struct vd_file *file)
{
	return 0;
}

static inline int ut_far_size(struct vd_file *file, u64 *size)
{
	*size = ut_far_of(file)->size;
	return 0;
}

static inline int ut_far_truncate(struct vd_file *file, u64 size)
{
	ut_far_of(file)->size = size;
	return 0;
}

static inline int ut_far_clear(struct vd_file *file, u64 pos, u64 len)
{
	return -EOPNOTSUPP;
}

static inline int ut_far_allocate(struct vd_file *file, u64 pos, u64 len)
{
	struct ut_far *far = ut_far_of(file);

	far->size = max_t(u64, far->size, pos + len);
	return 0;
}

/* @low stays the caller's; ut_buf_free(&far->high) at the end. */
static inline struct vd_file *ut_far_open(struct ut_far *far, struct ut_buf *low, u64 high_pos,
					  u64 size)
{
	static const struct vd_file_ops ops = {
		.read = ut_far_read, .write = ut_far_write, .flush = ut_far_flush,
		.size = ut_far_size, .truncate = ut_far_truncate, .punch = ut_far_clear,
		.zero = ut_far_clear, .allocate = ut_far_allocate,
	};

	memset(far, 0, sizeof(*far));
	far->low = low;
	far->high_pos = high_pos;
	far->size = size;
	far->file = (struct vd_file) { .ops = &ops, .size = size, .writable = true };
	return &far->file;
}

#endif /* UT_FAR_H */
