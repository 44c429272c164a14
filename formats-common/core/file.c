// SPDX-License-Identifier: GPL-2.0-only
/* Whole transfers on top of what a file's ops promise. */
#include "vdisk/checked.h"
#include "vdisk/file.h"

/* No file operation ever sees a position that a signed 64-bit offset cannot hold. */
static bool range_is_sane(u64 pos, u64 len)
{
	return vd_inside(pos, len, VD_CAP_FILE_BYTES);
}

int vd_file_read(struct vd_file *file, u64 pos, void *buf, u32 len)
{
	u8 *to = buf;

	if (!range_is_sane(pos, len))
		return -EIO;

	while (len) {
		s64 got = file->ops->read(file, pos, to, len);

		if (got < 0)
			return (int)got;
		if (!got || got > len)
			return -EIO;
		to += got;
		pos += (u64)got;
		len -= (u32)got;
	}
	return 0;
}
VD_EXPORT(vd_file_read);

int vd_file_read_tail(struct vd_file *file, u64 pos, void *buf, u32 len)
{
	u32 have = len;
	int ret;

	if (pos >= file->size)
		return -EIO;
	if (have > file->size - pos)
		have = (u32)(file->size - pos);

	ret = vd_file_read(file, pos, buf, have);
	if (ret)
		return ret;
	memset((u8 *)buf + have, 0, len - have);
	return 0;
}
VD_EXPORT(vd_file_read_tail);

int vd_file_write(struct vd_file *file, u64 pos, const void *buf, u32 len)
{
	if (!file->writable || !file->ops->write)
		return -EROFS;
	if (!range_is_sane(pos, len))
		return -EFBIG;
	return file->ops->write(file, pos, buf, len);
}
VD_EXPORT(vd_file_write);

int vd_file_flush(struct vd_file *file)
{
	/* Nothing of a file that is never written can be waiting. */
	if (!file->writable || !file->ops->flush)
		return 0;
	return file->ops->flush(file);
}
VD_EXPORT(vd_file_flush);
