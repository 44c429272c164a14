// SPDX-License-Identifier: GPL-2.0-only
/* Arrays of words on disk, on top of the metadata cache. */
#include "vdisk/checked.h"
#include "vdisk/meta.h"

/* Where is entry @index of @width bytes? */
static int entry_pos(const struct vd_table *table, u64 index, u32 width, u64 *pos)
{
	u64 offset;

	if (index >= table->count || !vd_mul(index, width, &offset) ||
	    !vd_add(table->pos, offset, pos))
		return -EIO;
	return 0;
}

int vd_table_get32(const struct vd_table *table, u64 index, unsigned int flags, u32 *value)
{
	u8 raw[sizeof(u32)];
	u64 pos;
	int ret;

	ret = entry_pos(table, index, sizeof(raw), &pos);
	if (!ret)
		ret = vd_meta_read(table->meta, table->file, pos, raw, sizeof(raw), flags);
	if (!ret)
		*value = get_unaligned_le32(raw);
	return ret;
}
VD_EXPORT(vd_table_get32);

int vd_table_get64(const struct vd_table *table, u64 index, unsigned int flags, u64 *value)
{
	u8 raw[sizeof(u64)];
	u64 pos;
	int ret;

	ret = entry_pos(table, index, sizeof(raw), &pos);
	if (!ret)
		ret = vd_meta_read(table->meta, table->file, pos, raw, sizeof(raw), flags);
	if (!ret)
		*value = get_unaligned_le64(raw);
	return ret;
}
VD_EXPORT(vd_table_get64);
