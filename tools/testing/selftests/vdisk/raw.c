// SPDX-License-Identifier: GPL-2.0-only
/* Bytes as they are: raw images, and extents of other formats that are so. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "kinds.h"

void mk_flat(int fd, const struct extent *e, u64 seed)
{
	u64 pos, len, end = e->offset + e->len;
	u8 *buf = xalloc(64 * KIB);

	mk_set_size(fd, 0, end);
	for (pos = 0; pos < end; pos += len) {
		len = end - pos < 64 * KIB ? end - pos : 64 * KIB;
		if (pos >= e->offset && !mk_is_used(seed, pos / (64 * KIB), e->used))
			continue;
		mk_random(seed, pos / (64 * KIB), buf, len);
		mk_put(fd, buf, len, pos);
	}
	free(buf);
}

bool flat_open(struct view *v)
{
	return v->e->offset + v->e->len <= v->size || extent_wrong(v->e, "is too short");
}

u64 flat_read(struct view *v, u64 pos, u8 *buf, u64 len, bool *hit)
{
	view_get(v, buf, len, v->e->offset + pos);
	*hit = true;
	return len;
}

bool flat_sound(struct view *v, unsigned int flags)
{
	return v->size == v->e->size || extent_wrong(v->e, "changed its size");
}

static void make_raw(struct image *image, const struct image *parent, u64 seed)
{
	const struct extent *e = &image->extents[0];
	int fd = xopen(e->path, O_RDWR | O_CREAT | O_TRUNC);

	mk_flat(fd, e, seed);
	if (fsync(fd))
		bail("cannot write %s: %s", e->path, err_name(errno));
	close(fd);
}

static bool qemu_opens(const struct chain *c)
{
	return c->nr == 1;
}

static const struct format raw = {
	.id = VDISK_FORMAT_RAW,
	.name = "raw",
	.make = make_raw,
	.qemu_opens = qemu_opens,
	.plain = true,
};

static const struct kind raw_kind = {
	.segment = VDISK_SEG_RAW,
	.format = &raw,
	.open = flat_open,
	.read = flat_read,
	.sound = flat_sound,
};

struct extent raw_file(u64 len)
{
	return (struct extent) { .kind = &raw_kind, .len = len, .used = 60 };
}
