/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Files in memory that know two contents: what a reader sees now, and what is
 * there after a power cut. Each kind of operation can be made to fail, and to
 * have done a part of its work by then.
 */
#ifndef UT_POWER_H
#define UT_POWER_H

#include "img-tables.h"

#define POWER_FILES	8
#define POWER_OPS	(VD_OP_ALLOCATE + 1)

/**
 * struct power_file - one file
 * @now, @now_len: what a reader sees; zeros from its end to IMG_ROOM
 * @safe, @safe_len: what was there when it was last flushed, likewise
 * @set: owner
 */
struct power_file {
	struct vd_file file;
	u8 *now;
	u8 *safe;
	u64 now_len;
	u64 safe_len;
	struct power_set *set;
};

/**
 * struct power_set - files that lose their power together
 * @fault: for each enum vd_file_op
 * @partial: what fails has done half of its work
 * @changes: operations that came to a file to change it, failed ones too
 * @hit: told of what is about to fail, before it does; may be NULL
 */
struct power_set {
	struct power_file f[POWER_FILES];
	struct vd_file *files[POWER_FILES];
	u32 nr;
	struct vd_fault fault[POWER_OPS];
	bool partial;
	u64 changes;
	void (*hit)(void *ctx, struct power_file *f, enum vd_file_op op, u64 pos,
		    const void *data);
	void *ctx;
};

static inline struct power_file *power_of(struct vd_file *file)
{
	return container_of(file, struct power_file, file);
}

static inline bool power_fails(struct power_file *f, enum vd_file_op op, u64 pos, const void *data)
{
	f->set->changes += op != VD_OP_READ;
	if (!vd_fault_hit(&f->set->fault[op]))
		return false;
	if (f->set->hit)
		f->set->hit(f->set->ctx, f, op, pos, data);
	return true;
}

static inline int power_error(const struct power_file *f, enum vd_file_op op)
{
	return -f->set->fault[op].error;
}

static inline void power_resize(struct power_file *f, u64 len)
{
	if (len < f->now_len)
		memset(f->now + len, 0, f->now_len - len);
	f->now_len = len;
}

/* Bytes, or zeros for NULL @data; of a torn change every other sector. */
static inline void power_put(struct power_file *f, u64 pos, const u8 *data, u64 len, bool torn)
{
	u64 end = pos + len, from = pos, next;

	for (; pos < end; pos = next) {
		next = min_t(u64, end, (pos / VD_SECTOR + 1) * VD_SECTOR);
		if (torn && pos / VD_SECTOR % 2)
			continue;
		if (data)
			memcpy(f->now + pos, data + (pos - from), next - pos);
		else
			memset(f->now + pos, 0, next - pos);
		f->now_len = max(f->now_len, next);
	}
}

static inline s64 power_read(struct vd_file *file, u64 pos, void *buf, u32 len)
{
	struct power_file *f = power_of(file);

	if (power_fails(f, VD_OP_READ, pos, NULL)) {
		if (!f->set->fault[VD_OP_READ].short_read)
			return power_error(f, VD_OP_READ);
		len /= 2;
	}
	if (pos >= f->now_len)
		return 0;
	len = (u32)min_t(u64, len, f->now_len - pos);
	memcpy(buf, f->now + pos, len);
	return len;
}

static inline int power_write(struct vd_file *file, u64 pos, const void *buf, u32 len)
{
	struct power_file *f = power_of(file);
	bool fails = power_fails(f, VD_OP_WRITE, pos, buf);

	if (pos + len > IMG_ROOM || (file->fixed && pos + len > f->now_len))
		return -ENOSPC;
	if (!fails || f->set->partial)
		power_put(f, pos, buf, len, fails);
	return fails ? power_error(f, VD_OP_WRITE) : 0;
}

static inline int power_flush(struct vd_file *file)
{
	struct power_file *f = power_of(file);

	if (power_fails(f, VD_OP_FLUSH, 0, NULL))
		return power_error(f, VD_OP_FLUSH);
	memcpy(f->safe, f->now, max(f->now_len, f->safe_len));
	f->safe_len = f->now_len;
	return 0;
}

static inline int power_size(struct vd_file *file, u64 *size)
{
	*size = power_of(file)->now_len;
	return 0;
}

static inline int power_truncate(struct vd_file *file, u64 size)
{
	struct power_file *f = power_of(file);

	if (power_fails(f, VD_OP_TRUNCATE, size, NULL))
		return power_error(f, VD_OP_TRUNCATE);
	if (size > IMG_ROOM || file->fixed)
		return -EINVAL;
	power_resize(f, size);
	return 0;
}

static inline int power_clear(struct power_file *f, enum vd_file_op op, u64 pos, u64 len)
{
	bool fails = power_fails(f, op, pos, NULL);

	len = pos < f->now_len ? min_t(u64, len, f->now_len - pos) : 0;
	if (!fails || (f->set->partial && f->set->fault[op].error != EOPNOTSUPP))
		power_put(f, pos, NULL, len, fails);
	return fails ? power_error(f, op) : 0;
}

static inline int power_punch(struct vd_file *file, u64 pos, u64 len)
{
	return power_clear(power_of(file), VD_OP_PUNCH, pos, len);
}

static inline int power_zero(struct vd_file *file, u64 pos, u64 len)
{
	return power_clear(power_of(file), VD_OP_ZERO, pos, len);
}

/* One that fails may have got part of the way. */
static inline int power_allocate(struct vd_file *file, u64 pos, u64 len)
{
	struct power_file *f = power_of(file);
	bool fails = power_fails(f, VD_OP_ALLOCATE, pos, NULL);
	u64 end = pos + len;

	if (!fails && end > f->now_len && (file->fixed || end > IMG_ROOM))
		return -ENOSPC;
	if (fails && f->set->partial && f->set->fault[VD_OP_ALLOCATE].error != EOPNOTSUPP)
		end = (f->now_len + end) / 2 / VD_SECTOR * VD_SECTOR;
	else if (fails)
		end = 0;
	f->now_len = max(f->now_len, end);
	return fails ? power_error(f, VD_OP_ALLOCATE) : 0;
}

static const struct vd_file_ops power_ops = {
	.read = power_read,
	.write = power_write,
	.flush = power_flush,
	.size = power_size,
	.truncate = power_truncate,
	.punch = power_punch,
	.zero = power_zero,
	.allocate = power_allocate,
};

/* Nothing fails from here on. */
static inline void power_heal(struct power_set *set)
{
	u32 op;

	for (op = 0; op < POWER_OPS; op++)
		set->fault[op] = (struct vd_fault){ .countdown = -1, .error = EIO };
	set->partial = false;
}

/* Files as large as those of @c, of which the first @c->nr_top can be written. */
static inline void power_init(struct power_set *set, const struct img_case *c)
{
	u32 i;

	memset(set, 0, sizeof(*set));
	assert_true(c->set.nr_files <= POWER_FILES);
	set->nr = c->set.nr_files;
	for (i = 0; i < set->nr; i++) {
		struct power_file *f = &set->f[i];

		f->now = ut_xalloc(IMG_ROOM);
		f->safe = ut_xalloc(IMG_ROOM);
		f->set = set;
		f->file.ops = &power_ops;
		f->file.index = i;
		f->file.fixed = c->set.files[i]->fixed;
		f->file.writable = i < c->nr_top;
		set->files[i] = &f->file;
	}
	power_heal(set);
}

static inline void power_free(struct power_set *set)
{
	u32 i;

	for (i = 0; i < set->nr; i++) {
		free(set->f[i].now);
		free(set->f[i].safe);
	}
}

/* A file holds @data, durably. */
static inline void power_load(struct power_file *f, const u8 *data, u64 len)
{
	assert_true(len <= IMG_ROOM);
	power_resize(f, min(len, f->now_len));
	memcpy(f->now, data, len);
	f->now_len = len;
	memcpy(f->safe, f->now, max(len, f->safe_len));
	f->safe_len = len;
}

enum power_cut {
	POWER_STAYS,	/* a reader sees what he saw */
	POWER_SAFE,	/* only what was flushed */
	POWER_MIX,	/* some of the sectors that were not flushed too */
	POWER_CUTS,
};

/* @to becomes what @from is after this kind of end. */
static inline void power_cut(struct power_set *to, const struct power_set *from, enum power_cut cut,
			     u64 seed)
{
	struct ut_rng rng = { seed };
	u64 pos;
	u32 i;

	for (i = 0; i < from->nr; i++) {
		const struct power_file *f = &from->f[i];

		if (cut == POWER_STAYS) {
			power_load(&to->f[i], f->now, f->now_len);
			continue;
		}
		power_load(&to->f[i], f->safe, f->safe_len);
		if (cut == POWER_SAFE)
			continue;
		if (ut_below(&rng, 2))
			power_resize(&to->f[i], f->now_len);
		for (pos = 0; pos < min(f->now_len, to->f[i].now_len); pos += VD_SECTOR) {
			u64 len = min_t(u64, VD_SECTOR, min(f->now_len, to->f[i].now_len) - pos);

			if (ut_below(&rng, 2))
				memcpy(to->f[i].now + pos, f->now + pos, len);
		}
	}
}

#endif /* UT_POWER_H */
