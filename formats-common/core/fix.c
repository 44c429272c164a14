// SPDX-License-Identifier: GPL-2.0-only
/* What a repair writes, see vdisk/fix.h. User space only. */
#include "vdisk/checked.h"
#include "vdisk/fix.h"

static int begin(struct vd_fix *fix)
{
	int ret = 0;

	if (!fix->begun && fix->file->ops->flush)
		ret = fix->file->ops->flush(fix->file);
	fix->begun = true;
	return ret;
}

static void reaches(struct vd_fix *fix, u64 end)
{
	if (end > fix->file->size)
		WRITE_ONCE(fix->file->size, end);
}

int vd_fix_write(struct vd_fix *fix, u64 pos, const void *buf, u32 len)
{
	int ret = begin(fix);

	if (!ret)
		ret = vd_file_write(fix->file, pos, buf, len);
	if (ret)
		return vd_fail(fix->err, ret, "%u bytes at byte %llu cannot be written", len, pos);
	reaches(fix, pos + len);
	return 0;
}

int vd_fix_patch(struct vd_fix *fix, u64 pos, const void *bytes, u32 len)
{
	u32 in_sector = (u32)(pos & (VD_SECTOR - 1));
	u64 base = pos - in_sector;
	u32 end = in_sector + len;
	u8 sector[VD_SECTOR];
	int ret;

	/* A table may end the file, in the middle of a sector: there it stays. */
	ret = vd_file_read_tail(fix->file, base, sector, sizeof(sector));
	if (ret)
		return vd_fail(fix->err, ret, "sector at byte %llu cannot be read", base);
	memcpy(sector + in_sector, bytes, len);
	if (fix->file->size > base)
		end = (u32)max_t(u64, end, min_t(u64, fix->file->size - base, sizeof(sector)));
	return vd_fix_write(fix, base, sector, end);
}

int vd_fix_extend(struct vd_fix *fix, u64 end)
{
	int ret;

	if (end <= fix->file->size)
		return 0;
	ret = begin(fix);
	if (!ret)
		ret = vd_file_truncate(fix->file, end);
	if (ret)
		return vd_fail(fix->err, ret, "the file cannot become %llu bytes long", end);
	reaches(fix, end);
	return 0;
}

int vd_fix_allocate(struct vd_fix *fix, u64 pos, u64 end)
{
	int ret = begin(fix);

	if (!ret)
		ret = vd_file_allocate(fix->file, pos, end - pos);
	if (ret == -EOPNOTSUPP)
		return vd_fix_extend(fix, end);
	if (ret)
		return vd_fail(fix->err, ret, "%llu bytes at byte %llu cannot be added", end - pos,
			       pos);
	reaches(fix, end);
	return 0;
}

int vd_fix_flush(struct vd_fix *fix)
{
	int ret = fix->begun ? vd_file_flush(fix->file) : 0;

	return ret ? vd_fail(fix->err, ret, "what was repaired cannot be made durable") : 0;
}
