// SPDX-License-Identifier: GPL-2.0-only
/* A file over a descriptor. */
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ufile.h"

struct fd_file {
	struct vd_ufile base;
	int fd;
	bool is_bdev;
};

static struct fd_file *to_fd_file(struct vd_file *file)
{
	return container_of(to_ufile(file), struct fd_file, base);
}

static s64 fd_read(struct vd_file *file, u64 pos, void *buf, u32 len)
{
	int fd = to_fd_file(file)->fd;
	u32 done = 0;

	while (done < len) {
		ssize_t got = pread(fd, (u8 *)buf + done, len - done, (off_t)(pos + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got)
			break;
		done += (u32)got;
	}
	return done;
}

static int fd_write(struct vd_file *file, u64 pos, const void *buf, u32 len)
{
	int fd = to_fd_file(file)->fd;
	u32 done = 0;

	while (done < len) {
		ssize_t put = pwrite(fd, (const u8 *)buf + done, len - done, (off_t)(pos + done));

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -errno;
		if (!put)
			return -EIO;
		done += (u32)put;
	}
	return 0;
}

static int fd_flush(struct vd_file *file)
{
	int ret;

	/* Size and extent map are metadata that fdatasync() includes. */
	do {
		ret = fdatasync(to_fd_file(file)->fd);
	} while (ret && errno == EINTR);
	return ret ? -errno : 0;
}

static int fd_size(struct vd_file *file, u64 *size)
{
	/* Of a file or a device alike; and a confined process may ask it. */
	off_t end = lseek(to_fd_file(file)->fd, 0, SEEK_END);

	if (end < 0)
		return -errno;
	*size = (u64)end;
	return 0;
}

static int fd_truncate(struct vd_file *file, u64 size)
{
	int ret;

	do {
		ret = ftruncate(to_fd_file(file)->fd, (off_t)size);
	} while (ret && errno == EINTR);
	return ret ? -errno : 0;
}

static int fd_fallocate(struct vd_file *file, int mode, u64 pos, u64 len)
{
	int ret;

	do {
		ret = fallocate(to_fd_file(file)->fd, mode, (off_t)pos, (off_t)len);
	} while (ret && errno == EINTR);
	if (!ret)
		return 0;
	return errno == ENOSYS ? -EOPNOTSUPP : -errno;
}

static int fd_punch(struct vd_file *file, u64 pos, u64 len)
{
	return fd_fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, pos, len);
}

static int fd_zero(struct vd_file *file, u64 pos, u64 len)
{
	return fd_fallocate(file, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, pos, len);
}

static int fd_allocate(struct vd_file *file, u64 pos, u64 len)
{
	if (to_fd_file(file)->is_bdev)
		return pos + len > file->size ? -ENOSPC : 0;
	return fd_fallocate(file, 0, pos, len);
}

static int fd_extend(struct vd_file *file, u64 pos, u64 len)
{
	int ret = -EOPNOTSUPP;

	if (!to_fd_file(file)->is_bdev)
		ret = fd_fallocate(file, FALLOC_FL_ZERO_RANGE, pos, len);
	return ret == -EOPNOTSUPP ? fd_allocate(file, pos, len) : ret;
}

static const struct vd_file_ops fd_ops = {
	.read = fd_read,
	.write = fd_write,
	.flush = fd_flush,
	.size = fd_size,
	.truncate = fd_truncate,
	.punch = fd_punch,
	.zero = fd_zero,
	.allocate = fd_allocate,
	.extend = fd_extend,
};

static int check_fd(int fd, bool writable, bool *is_bdev, struct vd_error *err)
{
	struct stat st;
	int mode;

	if (fstat(fd, &st))
		return vd_fail(err, -errno, "descriptor %d: %s", fd, strerror(errno));
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return vd_fail(err, -EINVAL, "neither a regular file nor a block device");
	*is_bdev = S_ISBLK(st.st_mode);

	mode = fcntl(fd, F_GETFL);
	if (mode < 0)
		return vd_fail(err, -errno, "descriptor %d: %s", fd, strerror(errno));
	if ((mode & O_ACCMODE) == O_WRONLY || (writable && (mode & O_ACCMODE) != O_RDWR))
		return vd_fail(err, -EBADF, "descriptor %d is not open for %s", fd,
			       writable ? "reading and writing" : "reading");
	return 0;
}

struct vd_file *vd_ufile_fd(int fd, bool writable, struct vd_error *err)
{
	struct fd_file *f;
	bool is_bdev = false;
	int ret;

	if (check_fd(fd, writable, &is_bdev, err))
		return NULL;

	f = vd_zalloc(sizeof(*f));
	if (!f) {
		vd_fail(err, -ENOMEM, "no memory for a file");
		return NULL;
	}
	f->base.file.ops = &fd_ops;
	f->base.file.writable = writable;
	f->base.file.fixed = is_bdev;
	f->fd = fd;
	f->is_bdev = is_bdev;
	ret = fd_size(&f->base.file, &f->base.file.size);
	if (ret) {
		vd_fail(err, ret, "cannot tell the size: %s", strerror(-ret));
		vd_free(f);
		return NULL;
	}
	return &f->base.file;
}

void vd_ufile_free(struct vd_file *file)
{
	struct vd_ufile *u;

	if (!file)
		return;
	u = to_ufile(file);
	if (u->release)
		u->release(u);
	vd_free(u);
}
