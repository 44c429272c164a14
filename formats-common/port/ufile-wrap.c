// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files that stand before another one: a recorder that tells each operation,
 * and an injector that makes chosen ones fail. Neither owns the lower file.
 */
#include "ufile.h"

/* What a wrapper does before an operation goes down. */
struct wrapper {
	struct vd_ufile base;
	struct vd_file *lower;
	void (*fn)(void *ctx, enum vd_file_op op, u64 pos, u64 len, const void *data);
	void *ctx;
	struct vd_fault *fault;
};

static struct wrapper *to_wrapper(struct vd_file *file)
{
	return container_of(to_ufile(file), struct wrapper, base);
}

bool vd_fault_hit(struct vd_fault *fault)
{
	bool hit;

	fault->ops++;
	if (fault->countdown > 0)
		hit = --fault->countdown == 0;
	else
		hit = fault->countdown == 0 && fault->sticky && fault->fired;
	if (hit)
		fault->fired++;
	return hit;
}

/* 0, or the errno that the operation is to fail with. */
static int before(struct wrapper *w, enum vd_file_op op, u64 pos, u64 len, const void *data)
{
	if (w->fault && vd_fault_hit(w->fault))
		return w->fault->error ? -w->fault->error : -EIO;
	if (w->fn)
		w->fn(w->ctx, op, pos, len, data);
	return 0;
}

static s64 wrap_read(struct vd_file *file, u64 pos, void *buf, u32 len)
{
	struct wrapper *w = to_wrapper(file);
	int ret = before(w, VD_OP_READ, pos, len, NULL);

	if (ret && w->fault->short_read)
		len /= 2;
	else if (ret)
		return ret;
	return w->lower->ops->read(w->lower, pos, buf, len);
}

static int wrap_write(struct vd_file *file, u64 pos, const void *buf, u32 len)
{
	struct wrapper *w = to_wrapper(file);
	int ret = before(w, VD_OP_WRITE, pos, len, buf);

	return ret ? ret : w->lower->ops->write(w->lower, pos, buf, len);
}

static int wrap_flush(struct vd_file *file)
{
	struct wrapper *w = to_wrapper(file);
	int ret = before(w, VD_OP_FLUSH, 0, 0, NULL);

	if (ret || !w->lower->ops->flush)
		return ret;
	return w->lower->ops->flush(w->lower);
}

static int wrap_size(struct vd_file *file, u64 *size)
{
	struct wrapper *w = to_wrapper(file);

	return w->lower->ops->size(w->lower, size);
}

static int wrap_truncate(struct vd_file *file, u64 size)
{
	struct wrapper *w = to_wrapper(file);
	int ret = before(w, VD_OP_TRUNCATE, 0, size, NULL);

	if (ret)
		return ret;
	if (!w->lower->ops->truncate)
		return -EOPNOTSUPP;
	return w->lower->ops->truncate(w->lower, size);
}

static int wrap_punch(struct vd_file *file, u64 pos, u64 len)
{
	struct wrapper *w = to_wrapper(file);
	int ret = before(w, VD_OP_PUNCH, pos, len, NULL);

	if (ret)
		return ret;
	if (!w->lower->ops->punch)
		return -EOPNOTSUPP;
	return w->lower->ops->punch(w->lower, pos, len);
}

static int wrap_zero(struct vd_file *file, u64 pos, u64 len)
{
	struct wrapper *w = to_wrapper(file);
	int ret = before(w, VD_OP_ZERO, pos, len, NULL);

	if (ret)
		return ret;
	if (!w->lower->ops->zero)
		return -EOPNOTSUPP;
	return w->lower->ops->zero(w->lower, pos, len);
}

static int wrap_allocate(struct vd_file *file, u64 pos, u64 len)
{
	struct wrapper *w = to_wrapper(file);
	int ret = before(w, VD_OP_ALLOCATE, pos, len, NULL);

	if (ret)
		return ret;
	if (!w->lower->ops->allocate)
		return -EOPNOTSUPP;
	return w->lower->ops->allocate(w->lower, pos, len);
}

/* A kind of allocate, to who looks on. */
static int wrap_extend(struct vd_file *file, u64 pos, u64 len)
{
	struct wrapper *w = to_wrapper(file);
	int ret;

	if (!w->lower->ops->extend)
		return wrap_allocate(file, pos, len);
	ret = before(w, VD_OP_ALLOCATE, pos, len, NULL);
	return ret ? ret : w->lower->ops->extend(w->lower, pos, len);
}

static const struct vd_file_ops wrap_ops = {
	.read = wrap_read,
	.write = wrap_write,
	.flush = wrap_flush,
	.size = wrap_size,
	.truncate = wrap_truncate,
	.punch = wrap_punch,
	.zero = wrap_zero,
	.allocate = wrap_allocate,
	.extend = wrap_extend,
};

static struct wrapper *wrap(struct vd_file *lower)
{
	struct wrapper *w = vd_zalloc(sizeof(*w));

	if (!w)
		return NULL;
	w->base.file = *lower;
	w->base.file.ops = &wrap_ops;
	w->lower = lower;
	return w;
}

struct vd_file *vd_ufile_record(struct vd_file *lower,
				void (*fn)(void *ctx, enum vd_file_op op, u64 pos, u64 len,
					   const void *data),
				void *ctx)
{
	struct wrapper *w = wrap(lower);

	if (!w)
		return NULL;
	w->fn = fn;
	w->ctx = ctx;
	return &w->base.file;
}

struct vd_file *vd_ufile_fault(struct vd_file *lower, struct vd_fault *fault)
{
	struct wrapper *w = wrap(lower);

	if (!w)
		return NULL;
	w->fault = fault;
	return &w->base.file;
}

struct vd_file *vd_ufile_lower(const struct vd_file *file)
{
	if (file->ops != &wrap_ops)
		return NULL;
	return container_of(to_ufile(file), struct wrapper, base)->lower;
}
