// SPDX-License-Identifier: GPL-2.0-only
/* A file in memory. */
#include <stdlib.h>

#include "ufile.h"

struct mem_file {
	struct vd_ufile base;
	u8 *data;
	size_t len;
	size_t room;
};

static struct mem_file *to_mem_file(const struct vd_file *file)
{
	return container_of(to_ufile(file), struct mem_file, base);
}

static s64 mem_read(struct vd_file *file, u64 pos, void *buf, u32 len)
{
	struct mem_file *m = to_mem_file(file);

	if (pos >= m->len)
		return 0;
	len = (u32)min_t(u64, len, m->len - pos);
	if (len)
		memcpy(buf, m->data + pos, len);
	return len;
}

static int mem_set_len(struct mem_file *m, u64 len)
{
	size_t room = m->room;
	u8 *data;

	if (len > SIZE_MAX / 4)
		return -EFBIG;
	if (len > room) {
		room = (size_t)len + (size_t)len / 2;
		data = vd_zalloc(room);
		if (!data)
			return -ENOSPC;
		if (m->len)
			memcpy(data, m->data, m->len);
		vd_free(m->data);
		m->data = data;
		m->room = room;
	}
	if (len < m->len)
		memset(m->data + len, 0, m->len - (size_t)len);
	m->len = (size_t)len;
	return 0;
}

static int mem_write(struct vd_file *file, u64 pos, const void *buf, u32 len)
{
	struct mem_file *m = to_mem_file(file);
	int ret;

	if (!len)
		return 0;
	if (pos + len > m->len) {
		ret = mem_set_len(m, pos + len);
		if (ret)
			return ret;
	}
	memcpy(m->data + pos, buf, len);
	return 0;
}

static int mem_flush(struct vd_file *file)
{
	return 0;
}

static int mem_size(struct vd_file *file, u64 *size)
{
	*size = to_mem_file(file)->len;
	return 0;
}

static int mem_truncate(struct vd_file *file, u64 size)
{
	return mem_set_len(to_mem_file(file), size);
}

static int mem_zero(struct vd_file *file, u64 pos, u64 len)
{
	struct mem_file *m = to_mem_file(file);

	if (pos < m->len)
		memset(m->data + pos, 0, (size_t)min_t(u64, len, m->len - pos));
	return 0;
}

static int mem_allocate(struct vd_file *file, u64 pos, u64 len)
{
	struct mem_file *m = to_mem_file(file);

	return pos + len > m->len ? mem_set_len(m, pos + len) : 0;
}

static int mem_extend(struct vd_file *file, u64 pos, u64 len)
{
	mem_zero(file, pos, len);
	return mem_allocate(file, pos, len);
}

static const struct vd_file_ops mem_ops = {
	.read = mem_read,
	.write = mem_write,
	.flush = mem_flush,
	.size = mem_size,
	.truncate = mem_truncate,
	.punch = mem_zero,
	.zero = mem_zero,
	.allocate = mem_allocate,
	.extend = mem_extend,
};

static void mem_release(struct vd_ufile *u)
{
	vd_free(container_of(u, struct mem_file, base)->data);
}

struct vd_file *vd_ufile_mem(const void *data, size_t len, bool writable)
{
	struct mem_file *m = vd_zalloc(sizeof(*m));

	if (!m)
		return NULL;
	m->base.file.ops = &mem_ops;
	m->base.file.size = len;
	m->base.file.writable = writable;
	m->base.release = mem_release;
	/* No spare room: a sanitizer then sees each access past the end. */
	m->data = vd_zalloc(len);
	if (!m->data) {
		vd_free(m);
		return NULL;
	}
	m->room = len;
	m->len = len;
	if (len && data)
		memcpy(m->data, data, len);
	return &m->base.file;
}

const void *vd_ufile_mem_data(const struct vd_file *file, size_t *len)
{
	const struct mem_file *m = to_mem_file(file);

	if (len)
		*len = m->len;
	return m->data;
}
