/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is done to a file, written down, and every state that a power cut on the way may
 * leave: of what was not flushed any part may have reached the disk, but a sector is
 * there whole or not at all.
 */
#ifndef UT_TAPE_H
#define UT_TAPE_H

#include "ut.h"

#define TAPE_OPS	64
#define TAPE_PENDING	64
#define TAPE_ALL	12	/* of so many pending sectors each subset is tried */
#define TAPE_RANDOM	2000

struct tape_op {
	enum vd_file_op op;
	u64 pos;
	u64 len;
	u8 *data;
};

/**
 * struct tape - what was done to a file
 * @no_flush: forget that it was flushed
 */
struct tape {
	struct tape_op ops[TAPE_OPS];
	u32 nr;
	bool no_flush;
};

static inline void tape_fn(void *ctx, enum vd_file_op op, u64 pos, u64 len, const void *data)
{
	struct tape *tape = ctx;
	struct tape_op *o = &tape->ops[tape->nr];

	if (op == VD_OP_READ || (op == VD_OP_FLUSH && tape->no_flush))
		return;
	assert_true(tape->nr < TAPE_OPS);
	tape->nr++;
	*o = (struct tape_op){ op, pos, len, NULL };
	/* The size, in whichever it is told. */
	if (op == VD_OP_TRUNCATE)
		*o = (struct tape_op){ op, max(pos, len), 0, NULL };
	if (op != VD_OP_WRITE && op != VD_OP_ZERO && op != VD_OP_PUNCH)
		return;
	o->data = ut_xalloc(len);
	if (op == VD_OP_WRITE)
		memcpy(o->data, data, len);
}

static inline void tape_free(struct tape *tape)
{
	while (tape->nr)
		free(tape->ops[--tape->nr].data);
}

/* What reaches the disk whole or not at all: up to a sector, or a new size. */
struct tape_piece {
	const struct tape_op *op;
	u64 pos;
	u64 len;
};

static inline u32 tape_pieces(const struct tape_op *op, struct tape_piece *to)
{
	u64 pos = op->pos, end = op->pos + op->len, next;
	u32 n = 0;

	if (op->op == VD_OP_TRUNCATE) {
		to[0] = (struct tape_piece){ op, op->pos, 0 };
		return 1;
	}
	for (; pos < end; pos = next) {
		next = min_t(u64, end, (pos / VD_SECTOR + 1) * VD_SECTOR);
		to[n++] = (struct tape_piece){ op, pos, next - pos };
	}
	return n;
}

static inline void tape_apply(struct ut_buf *b, const struct tape_piece *p)
{
	if (p->op->op == VD_OP_TRUNCATE)
		ut_buf_size(b, p->pos);
	else
		ut_put(b, p->pos, p->op->data + (p->pos - p->op->pos), p->len);
}

static inline struct ut_buf tape_copy(const struct ut_buf *from)
{
	struct ut_buf b = { 0 };

	ut_put(&b, 0, from->data, from->len);
	return b;
}

/* A state; @base with some of the pieces. */
typedef void (*tape_judge)(void *ctx, const struct ut_buf *state);

static inline void tape_state(const struct ut_buf *base, const struct tape_piece *p, u32 nr,
			      u64 subset, tape_judge judge, void *ctx)
{
	struct ut_buf b = tape_copy(base);
	u32 i;

	for (i = 0; i < nr; i++)
		if (subset >> i & 1)
			tape_apply(&b, &p[i]);
	judge(ctx, &b);
	ut_buf_free(&b);
}

/* Each subset of few pieces; of many each beginning, each one alone, and some. */
static inline void tape_subsets(const struct ut_buf *base, const struct tape_piece *p, u32 nr,
				tape_judge judge, void *ctx)
{
	struct ut_rng rng = { 11 };
	u64 i;

	assert_true(nr < 64);
	if (nr <= TAPE_ALL) {
		for (i = 0; i < 1ULL << nr; i++)
			tape_state(base, p, nr, i, judge, ctx);
		return;
	}
	for (i = 0; i < nr; i++) {
		tape_state(base, p, nr, (1ULL << i) - 1, judge, ctx);
		tape_state(base, p, nr, 1ULL << i, judge, ctx);
	}
	for (i = 0; i < TAPE_RANDOM / nr; i++)
		tape_state(base, p, nr, ut_below(&rng, 1ULL << nr), judge, ctx);
	tape_state(base, p, nr, (1ULL << nr) - 1, judge, ctx);
}

/* At each moment of @tape, on a file that was @image. */
static inline void tape_walk(const struct tape *tape, const struct ut_buf *image,
			     tape_judge judge, void *ctx)
{
	struct tape_piece pending[TAPE_PENDING];
	struct ut_buf base = tape_copy(image);
	u32 i, j, nr = 0;

	for (i = 0; i <= tape->nr; i++) {
		if (i == tape->nr || tape->ops[i].op == VD_OP_FLUSH) {
			tape_subsets(&base, pending, nr, judge, ctx);
			for (j = 0; j < nr; j++)
				tape_apply(&base, &pending[j]);
			nr = 0;
			continue;
		}
		assert_true(nr + tape->ops[i].len / VD_SECTOR + 2 < TAPE_PENDING);
		nr += tape_pieces(&tape->ops[i], pending + nr);
	}
	ut_buf_free(&base);
}

#endif /* UT_TAPE_H */
