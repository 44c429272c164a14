// SPDX-License-Identifier: GPL-2.0-only
/* Whole transfers on top of what a file's ops promise. */
#include "vdisk/checked.h"
#include "vdisk/file.h"

/* No file operation ever sees a position that a signed 64-bit offset cannot hold. */
static bool range_is_sane(u64 pos, u64 len)
{
	return vd_inside(pos, len, VD_CAP_FILE_BYTES);
}

/*
 * Some numbers are answers of ours ("no place yet", "parked", "not cached",
 * "ask again", "a better place is coming", "damaged image") and loops turn on
 * them. From a file they are an error.
 */
static int from_file(int ret)
{
	switch (ret) {
	case -ENODATA:
	case -ENOENT:
	case -EBUSY:
	case -EAGAIN:
	case -EXFULL:
	case -EUCLEAN:
		return -EIO;
	}
	return ret > 0 ? -EIO : ret;
}

int vd_file_read(struct vd_file *file, u64 pos, void *buf, u32 len)
{
	u8 *to = buf;

	if (!range_is_sane(pos, len))
		return -EIO;

	while (len) {
		s64 got = file->ops->read(file, pos, to, len);

		if (got < 0)
			return from_file((int)got);
		if (!got || got > len)
			return -EIO;
		to += got;
		pos += (u64)got;
		len -= (u32)got;
	}
	return 0;
}
VD_EXPORT(vd_file_read);

int vd_file_size(struct vd_file *file, u64 *size)
{
	return from_file(file->ops->size(file, size));
}
VD_EXPORT(vd_file_size);

int vd_file_read_tail(struct vd_file *file, u64 pos, void *buf, u32 len)
{
	u64 size = READ_ONCE(file->size);
	u32 have = len;
	int ret;

	if (pos >= size)
		return -EIO;
	if (have > size - pos)
		have = (u32)(size - pos);

	ret = vd_file_read(file, pos, buf, have);
	if (ret)
		return ret;
	memset((u8 *)buf + have, 0, len - have);
	return 0;
}
VD_EXPORT(vd_file_read_tail);

static int may_write(const struct vd_file *file, u64 pos, u64 len)
{
	if (!file->writable)
		return -EROFS;
	return range_is_sane(pos, len) ? 0 : -EFBIG;
}

int vd_file_write(struct vd_file *file, u64 pos, const void *buf, u32 len)
{
	int ret = may_write(file, pos, len);

	if (ret)
		return ret;
	ret = from_file(file->ops->write(file, pos, buf, len));
	vd_atomic_set(&file->dirty, 1);
	return ret;
}
VD_EXPORT(vd_file_write);

int vd_file_truncate(struct vd_file *file, u64 size)
{
	int ret = may_write(file, 0, size);

	if (ret)
		return ret;
	if (file->fixed || !file->ops->truncate)
		return -EOPNOTSUPP;
	ret = from_file(file->ops->truncate(file, size));
	vd_atomic_set(&file->dirty, 1);
	return ret;
}
VD_EXPORT(vd_file_truncate);

int vd_file_punch(struct vd_file *file, u64 pos, u64 len)
{
	int ret = may_write(file, pos, len);

	if (ret)
		return ret;
	if (!file->ops->punch)
		return -EOPNOTSUPP;
	ret = from_file(file->ops->punch(file, pos, len));
	vd_atomic_set(&file->dirty, 1);
	return ret;
}
VD_EXPORT(vd_file_punch);

/* Zeros to write where a file cannot make them itself. */
static const u8 zeroes[VD_META_BLOCK] __attribute__((aligned(VD_META_BLOCK)));

static int write_zeroes(struct vd_file *file, u64 pos, u64 len)
{
	while (len) {
		u32 step = (u32)min_t(u64, len, sizeof(zeroes));
		int ret = vd_file_write(file, pos, zeroes, step);

		if (ret)
			return ret;
		pos += step;
		len -= step;
	}
	return 0;
}

int vd_file_zero(struct vd_file *file, u64 pos, u64 len, bool unmap)
{
	int ret = may_write(file, pos, len);

	if (ret)
		return ret;
	ret = -EOPNOTSUPP;
	if (unmap && file->ops->punch)
		ret = from_file(file->ops->punch(file, pos, len));
	if (ret == -EOPNOTSUPP && file->ops->zero)
		ret = from_file(file->ops->zero(file, pos, len));
	if (ret == -EOPNOTSUPP)
		return write_zeroes(file, pos, len);
	vd_atomic_set(&file->dirty, 1);
	return ret;
}
VD_EXPORT(vd_file_zero);

int vd_file_allocate(struct vd_file *file, u64 pos, u64 len)
{
	int ret = may_write(file, pos, len);

	if (ret)
		return ret;
	if (!file->ops->allocate)
		return -EOPNOTSUPP;
	ret = from_file(file->ops->allocate(file, pos, len));
	vd_atomic_set(&file->dirty, 1);
	return ret;
}
VD_EXPORT(vd_file_allocate);

int vd_file_extend(struct vd_file *file, u64 pos, u64 len)
{
	int ret = may_write(file, pos, len);

	if (ret)
		return ret;
	if (!file->ops->extend)
		return vd_file_allocate(file, pos, len);
	ret = from_file(file->ops->extend(file, pos, len));
	vd_atomic_set(&file->dirty, 1);
	return ret;
}

/*
 * The mark goes first: what is changed while the flush runs marks the file
 * again. After a failure it does not come back, as a file tells such an error
 * once: the caller must not try again and call that success.
 */
int vd_file_flush(struct vd_file *file)
{
	if (!file->writable || !vd_atomic_xchg(&file->dirty, 0))
		return 0;
	return from_file(file->ops->flush(file));
}
VD_EXPORT(vd_file_flush);
