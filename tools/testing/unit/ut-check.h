/* SPDX-License-Identifier: GPL-2.0-only */
/* What the tests of the check share: one extent, its shadow, and the rounds of a repair. */
#ifndef UT_CHECK_H
#define UT_CHECK_H

#include "img-esx.h"
#include "vdisk/check.h"

#define CK_GRAIN	1024ULL
#define CK_SIZE		(700 * UT_KIB + VD_SECTOR)

/**
 * struct ck - an extent, and what a guest must read from it once it is repaired
 * @gd, @rgd: bytes where the directories are; @rgd 0: none
 * @gtes: entries of a table
 */
struct ck {
	struct ut_buf buf;
	struct ut_disk *d;
	u32 kind;
	u64 gd, rgd;
	u64 gtes;
	u64 data;	/* byte of the first grain */
};

/* Every kind of grain, in order in the file, in two tables of two copies. */
static inline void ck_hosted(struct ck *k, u32 flags)
{
	struct img_sparse s = { .flags = flags, .version = 1 };

	memset(k, 0, sizeof(*k));
	k->d = ut_disk_random(CK_SIZE, CK_GRAIN, 77, flags & IMG_F_ZERO_GTE);
	img_sparse_write(&s, k->d);
	k->buf = s.buf;
	k->kind = VDISK_SEG_VMDK_SPARSE;
	k->gd = s.gd * VD_SECTOR;
	k->rgd = s.rgd * VD_SECTOR;
	k->gtes = IMG_GTES;
	k->data = s.overhead * VD_SECTOR;
}

static inline void ck_cowd(struct ck *k)
{
	struct img_cowd c = { 0 };

	memset(k, 0, sizeof(*k));
	k->d = ut_disk_random(2 * UT_MIB + 20 * UT_KIB, VD_SECTOR, 78, false);
	img_cowd_write(&c, k->d);
	k->buf = c.buf;
	k->kind = VDISK_SEG_VMDK_COWD;
	k->gd = c.gd * VD_SECTOR;
	k->gtes = IMG_COWD_GTES;
	k->data = 4 * VD_SECTOR;
}

static inline void ck_free(struct ck *k)
{
	ut_buf_free(&k->buf);
	ut_disk_free(k->d);
}

/* --- entries --- */

/* Place of the directory entry of grain @g in copy @copy. */
static inline u64 ck_gde(const struct ck *k, int copy, u64 g)
{
	return (copy ? k->rgd : k->gd) + g / k->gtes * 4;
}

static inline u64 ck_gte(const struct ck *k, int copy, u64 g)
{
	return ut_get_le(&k->buf, ck_gde(k, copy, g), 4) * VD_SECTOR + g % k->gtes * 4;
}

static inline u32 ck_get(const struct ck *k, int copy, u64 g)
{
	return (u32)ut_get_le(&k->buf, ck_gte(k, copy, g), 4);
}

static inline void ck_put(struct ck *k, int copy, u64 g, u32 value)
{
	ut_put32(&k->buf, ck_gte(k, copy, g), value);
}

static inline void ck_put_both(struct ck *k, u64 g, u32 value)
{
	ck_put(k, 0, g, value);
	if (k->rgd)
		ck_put(k, 1, g, value);
}

/* What a guest reads in grain @g is what is at its place in the first copy. */
static inline void ck_show(struct ck *k, u64 g)
{
	u64 at = (u64)ck_get(k, 0, g) * VD_SECTOR, len = ut_grain_len(k->d, g);

	ut_disk_set(k->d, g, UT_DATA, 0);
	memset(k->d->data + g * k->d->grain, 0, len);
	if (at < k->buf.len)
		memcpy(k->d->data + g * k->d->grain, k->buf.data + at,
		       min_t(u64, len, k->buf.len - at));
}

/* The @nth grain in state @state. */
static inline u64 ck_nth(const struct ck *k, enum ut_state state, u64 nth)
{
	u64 g;

	for (g = 0; g < k->d->nr; g++) {
		if (k->d->state[g] == state && !nth--)
			return g;
	}
	fail_msg("too few grains");
	return 0;
}

static inline u64 ck_used(const struct ck *k)
{
	u64 g, n = 0;

	for (g = 0; g < k->d->nr; g++)
		n += k->d->state[g] == UT_DATA;
	return n;
}

static inline u64 ck_last_data(const struct ck *k)
{
	u64 g, last = 0;

	for (g = 0; g < k->d->nr; g++) {
		if (k->d->state[g] == UT_DATA)
			last = g;
	}
	return last;
}

/* --- running --- */

struct ck_log {
	u64 writes;
	u64 flushes;
	u64 last_write;		/* position */
	u64 flushes_at_last;	/* how many had been before it */
	struct vd_file *lower;
	u64 size;		/* of the file, at first */
};

/* No more than the sectors that change, unless it is a new table behind the end. */
static inline void ck_log_fn(void *ctx, enum vd_file_op op, u64 pos, u64 len, const void *data)
{
	struct ck_log *log = ctx;
	u8 old[VD_SECTOR];

	if (op == VD_OP_READ)
		return;
	if (op == VD_OP_FLUSH) {
		log->flushes++;
		return;
	}
	log->writes++;
	log->last_write = pos;
	log->flushes_at_last = log->flushes;
	if (op == VD_OP_ALLOCATE) {
		assert_true(pos >= log->size);
		return;
	}
	assert_int_equal(op, VD_OP_WRITE);
	assert_true(pos % VD_SECTOR == 0);
	if (pos >= log->size)
		return;
	assert_true(len == VD_SECTOR);
	memset(old, 0, sizeof(old));
	log->lower->ops->read(log->lower, pos, old, VD_SECTOR);
	assert_true(memcmp(old, data, VD_SECTOR));
}

static inline void ck_sentence(void *ctx, enum vd_finding kind, const char *text)
{
	size_t i, len = strlen(text);

	assert_true(len > 8 && len < VD_ERROR_TEXT - 1);
	assert_true(text[len - 1] != '.');
	for (i = 0; i < len; i++)
		assert_true((u8)text[i] >= 0x20 && (u8)text[i] < 0x7f);
	assert_true(kind <= VD_FINDING_CORRUPT);
}

static inline int ck_run_file(struct vd_file *file, u32 kind, u64 len, u32 flags,
			      struct vd_check *out)
{
	struct vd_error err = { 0 };
	int ret;

	memset(out, 0xa5, sizeof(*out));
	out->flags = flags;
	out->report = ck_sentence;
	out->progress = NULL;
	out->changed = NULL;
	ret = vd_format_vmdk.user->check(file, kind, len, out, &err);
	if (ret)
		ut_assert_sentence(&err, ret);
	return ret;
}

/* Check a copy of the extent; with REPAIR the result becomes the extent. */
static inline int ck_run(struct ck *k, u32 flags, struct vd_check *out, struct ck_log *log)
{
	struct vd_file *mem = vd_ufile_mem(k->buf.data, k->buf.len, true), *file;
	struct ck_log own = { 0 };
	const void *data;
	size_t len;
	int ret;

	if (!log)
		log = &own;
	memset(log, 0, sizeof(*log));
	log->lower = mem;
	log->size = k->buf.len;
	file = vd_ufile_record(mem, ck_log_fn, log);
	ret = ck_run_file(file, k->kind, k->d->size, flags, out);
	data = vd_ufile_mem_data(mem, &len);
	if (flags & VD_CHECK_REPAIR) {
		ut_buf_size(&k->buf, len);
		ut_put(&k->buf, 0, data, len);
	} else {
		assert_int_equal(log->writes + log->flushes, 0);
		assert_true(len == k->buf.len && !memcmp(data, k->buf.data, len));
	}
	vd_ufile_free(file);
	vd_ufile_free(mem);
	return ret;
}

static inline void ck_expect(const struct vd_check *c, const char *what, u64 leaks, u64 unclean,
			     u64 corrupt)
{
	if (c->found[VD_FINDING_LEAK] != leaks || c->found[VD_FINDING_UNCLEAN] != unclean ||
	    c->found[VD_FINDING_CORRUPT] != corrupt)
		fail_msg("%s: found %llu leaks, %llu unclean, %llu corrupt; not %llu, %llu, %llu",
			 what, c->found[VD_FINDING_LEAK], c->found[VD_FINDING_UNCLEAN],
			 c->found[VD_FINDING_CORRUPT], leaks, unclean, corrupt);
}

/* Everything a guest reads is what the shadow says. */
static inline void ck_content(const struct ck *k)
{
	struct vd_chain *chain;
	struct ut_set set;

	memset(&set, 0, sizeof(set));
	ut_set_buf(&set, &k->buf);
	ut_set_image(&set, VDISK_FORMAT_VMDK, k->d->size);
	ut_set_seg(&set, k->kind, 0, 0, k->d->size, 0);
	chain = ut_open(&set);
	ut_check_reads(chain, k->d->data, 0, 1);
	vd_chain_close(chain);
	ut_set_free(&set);
}

static inline void ck_copy(struct ck *to, const struct ck *from)
{
	*to = *from;
	memset(&to->buf, 0, sizeof(to->buf));
	ut_put(&to->buf, 0, from->buf.data, from->buf.len);
}

/*
 * Stop a repair at its @nth operation, then do it again from what is there.
 * False: it had ended before.
 */
static inline bool ck_interrupted(const struct ck *k, u32 flags, long nth)
{
	struct vd_fault fault = { .countdown = nth, .sticky = true };
	struct vd_file *mem = vd_ufile_mem(k->buf.data, k->buf.len, true);
	struct vd_file *file = vd_ufile_fault(mem, &fault);
	struct vd_check c;
	struct ck again;
	const void *data;
	size_t len;
	int ret;

	ret = ck_run_file(file, k->kind, k->d->size, flags, &c);
	assert_true(fault.fired ? ret < 0 : !ret);
	data = vd_ufile_mem_data(mem, &len);
	again = *k;
	memset(&again.buf, 0, sizeof(again.buf));
	ut_put(&again.buf, 0, data, len);
	vd_ufile_free(file);
	vd_ufile_free(mem);
	assert_int_equal(ck_run(&again, flags, &c, NULL), 0);
	assert_int_equal(ck_run(&again, 0, &c, NULL), 0);
	assert_true(!c.found[VD_FINDING_UNCLEAN] && !c.found[VD_FINDING_CORRUPT]);
	ck_content(&again);
	ut_buf_free(&again.buf);
	return fault.fired;
}

#endif /* UT_CHECK_H */
