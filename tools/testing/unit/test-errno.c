// SPDX-License-Identifier: GPL-2.0-only
/*
 * Numbers that a file may answer with and that mean something else here: "no
 * place yet", "somebody has it", "ask again", "damaged image". From a file they
 * are a plain error, at every operation of every file, and no loop turns on them.
 */
#include "img-write.h"
#include "vdisk/alloc.h"

static const int numbers[] = { -ENODATA, -ENOENT, -EBUSY, -EAGAIN, -EXFULL, -EUCLEAN, 1 };

/* What one run has: @op of every file answers @number, when @on. */
static struct {
	enum vd_file_op op;
	int number;
	bool on;
	u32 hits;
	const struct vd_file_ops *whole;
} odd;

static bool answers(enum vd_file_op op)
{
	if (!odd.on || odd.op != op)
		return false;
	/* A loop would stay here. */
	assert_true(++odd.hits < 1000);
	return true;
}

static s64 odd_read(struct vd_file *file, u64 pos, void *buf, u32 len)
{
	/* A positive one is a length. */
	return answers(VD_OP_READ) && odd.number < 0 ? odd.number :
						       odd.whole->read(file, pos, buf, len);
}

static int odd_write(struct vd_file *file, u64 pos, const void *buf, u32 len)
{
	return answers(VD_OP_WRITE) ? odd.number : odd.whole->write(file, pos, buf, len);
}

static int odd_truncate(struct vd_file *file, u64 size)
{
	return answers(VD_OP_TRUNCATE) ? odd.number : odd.whole->truncate(file, size);
}

static int odd_punch(struct vd_file *file, u64 pos, u64 len)
{
	return answers(VD_OP_PUNCH) ? odd.number : odd.whole->punch(file, pos, len);
}

static int odd_zero(struct vd_file *file, u64 pos, u64 len)
{
	return answers(VD_OP_ZERO) ? odd.number : odd.whole->zero(file, pos, len);
}

static int odd_allocate(struct vd_file *file, u64 pos, u64 len)
{
	return answers(VD_OP_ALLOCATE) ? odd.number : odd.whole->allocate(file, pos, len);
}

static int odd_extend(struct vd_file *file, u64 pos, u64 len)
{
	return answers(VD_OP_ALLOCATE) ? odd.number : odd.whole->extend(file, pos, len);
}

static int odd_flush(struct vd_file *file)
{
	return answers(VD_OP_FLUSH) ? odd.number : odd.whole->flush(file);
}

static void plain(int ret)
{
	assert_true(ret == 0 || ret == -EIO);
}

/* Reads and writes of all sorts, each of which may hit the odd operation. */
static void requests(struct vd_chain *chain, const struct img_case *c, u8 *buf)
{
	u64 pos;

	for (pos = c->from; pos + c->unit <= c->size; pos += c->unit) {
		plain(vd_read(chain, NULL, pos, buf, (u32)c->unit));
		plain(vd_write(chain, pos, buf, VD_SECTOR));
		plain(vd_write_zeroes(chain, pos, c->unit, pos & c->unit));
		plain(vd_write(chain, pos, buf, (u32)c->unit));
		plain(vd_discard(chain, pos, c->unit));
	}
	plain(vd_flush(chain));
	plain(vd_end_write(chain));
}

static void one(const struct img_kind *kind, enum vd_file_op op, int number)
{
	struct vd_file_ops ops = {
		.read = odd_read, .write = odd_write, .truncate = odd_truncate,
		.punch = odd_punch, .zero = odd_zero, .allocate = odd_allocate,
		.extend = odd_extend, .flush = odd_flush,
	};
	struct vd_chain_desc desc;
	struct vd_chain *chain;
	struct vd_error err = { 0 };
	struct img_case c;
	u8 *buf;
	u32 i;

	memset(&odd, 0, sizeof(odd));
	odd.op = op;
	odd.number = number;
	img_case_make(&c, kind, 3);
	odd.whole = c.set.files[0]->ops;
	ops.size = odd.whole->size;
	for (i = 0; i < c.set.nr_files; i++)
		c.set.files[i]->ops = &ops;
	desc = img_case_desc(&c);
	if (vd_chain_open(&desc, &chain, &err))
		fail_msg("open: %s", err.text);
	buf = ut_xalloc(c.unit);
	odd.on = true;
	requests(chain, &c, buf);
	odd.on = false;
	vd_chain_close(chain);
	for (i = 0; i < c.set.nr_files; i++)
		c.set.files[i]->ops = odd.whole;
	free(buf);
	img_case_free(&c);
}

static void every_operation(void **state)
{
	static const enum vd_file_op ops[] = {
		VD_OP_READ, VD_OP_WRITE, VD_OP_FLUSH, VD_OP_TRUNCATE, VD_OP_PUNCH, VD_OP_ZERO,
		VD_OP_ALLOCATE,
	};
	static const struct img_kind kinds[] = {
		{ "sparse-rgd", img_w_rgd }, { "cowd", img_w_cowd },
		{ "delta", img_w_delta }, { "flat", img_w_flat },
	};
	u32 reached = 0, k, o, n;

	for (k = 0; k < ARRAY_SIZE(kinds); k++) {
		for (o = 0; o < ARRAY_SIZE(ops); o++) {
			for (n = 0; n < ARRAY_SIZE(numbers); n++) {
				one(&kinds[k], ops[o], numbers[n]);
				reached += odd.hits > 0;
			}
		}
	}
	assert_true(reached > ARRAY_SIZE(kinds) * 4 * ARRAY_SIZE(numbers));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(every_operation) };

	return cmocka_run_group_tests_name("errno", tests, NULL, NULL);
}
