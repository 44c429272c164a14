// SPDX-License-Identifier: GPL-2.0-only
/* Files that are the disk's bytes and nothing else: raw, and VMDK's flat extents. */
#include <errno.h>
#include <stdlib.h>
#include "create.h"

#define PIECE		(1U << 20)
#define RESERVE_PIECE	(1ULL << 30)	/* between two looks for a signal */
#define FLUSH_PIECE	(256ULL << 20)	/* so that the last flush is a short one */

static int fill_failed(const struct new_file *f, int err)
{
	int ret = ctl_errno(err, f->path, "cannot write");

	if (err == -EFBIG)
		ctl_hint("the file system, or ulimit -f, does not allow a file as large; --type splitflat and split make several");
	return ret;
}

static int reserve(struct new_file *f, u64 size, struct fill *fill)
{
	u64 pos, len;
	int ret = 0;

	for (pos = 0; !ret && pos < size; pos += len) {
		if (stop_asked())
			return -EINTR;
		len = min(size - pos, RESERVE_PIECE);
		ret = vd_file_allocate(f->file, pos, len);
		/* Before zeros that is the smaller part, and not counted. */
		if (fill->how == PREALLOC_FALLOC) {
			fill->done += len;
			progress_step(&fill->progress, fill->done);
		}
	}
	return ret;
}

static int write_zeros(struct new_file *f, u64 size, struct fill *fill)
{
	static u8 zeros[PIECE];
	u64 pos, len;
	int ret = 0;

	for (pos = 0; !ret && pos < size; pos += len) {
		if (stop_asked())
			return -EINTR;
		len = min_t(u64, size - pos, PIECE);
		ret = vd_file_write(f->file, pos, zeros, (u32)len);
		if (!ret && !((pos + len) % FLUSH_PIECE))
			ret = vd_file_flush(f->file);
		fill->done += len;
		progress_step(&fill->progress, fill->done);
	}
	return ret;
}

/* Space is reserved first in any case: a full disk shows at once, not at the end. */
int fill_reserve(struct new_file *f, u64 size, struct fill *fill)
{
	int ret;

	ret = vd_file_truncate(f->file, size);
	if (!ret && fill->how >= PREALLOC_FALLOC) {
		ret = reserve(f, size, fill);
		if (ret == -EOPNOTSUPP && fill->how == PREALLOC_FALLOC) {
			ret = ctl_errno(ret, f->path, "the file system cannot reserve space");
			ctl_hint("--prealloc=full writes zeros instead");
			return ret;
		}
		if (ret == -EOPNOTSUPP)
			ret = 0;
	}
	return ret ? fill_failed(f, ret) : 0;
}

int fill_zeros(struct new_file *f, u64 size, struct fill *fill)
{
	int ret = fill->how == PREALLOC_FULL ? write_zeros(f, size, fill) : 0;

	return ret ? fill_failed(f, ret) : 0;
}

static int make_raw(const struct create *c, struct new_files *files)
{
	struct fill fill = { .how = c->prealloc };
	int ret;

	ret = new_files_add(files, path_base(c->path), NULL);
	if (ret)
		return ret;
	stop_catch();
	ret = new_file_open(files, 0);
	if (ret)
		return ret;
	progress_begin(&fill.progress, c->size);
	ret = fill_reserve(&files->files[0], c->size, &fill);
	if (!ret)
		ret = fill_zeros(&files->files[0], c->size, &fill);
	progress_end(&fill.progress);
	if (!ret)
		ret = new_file_done(&files->files[0]);
	return ret ? ret : new_files_commit(files);
}

static int create_raw(const struct create *c)
{
	struct new_files files;
	int ret;

	ret = c->force ? path_check_children(c->path, c->ignore_children) : 0;
	if (ret)
		return ret;
	ret = new_files_begin(&files, c->path, c->force);
	if (!ret)
		ret = make_raw(c, &files);
	new_files_end(&files);
	return ret;
}

static const char *const suffixes[] = { ".img", ".raw", NULL };

const struct creator creator_raw = {
	.format = "raw",
	.title = "raw",
	.suffixes = suffixes,
	.create = create_raw,
};
