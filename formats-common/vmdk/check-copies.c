// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a repair of an extent appends. A grain whose place another grain has, in
 * whole or in part, gets a copy of what is there: both parts of the disk read as
 * before, and a write to one no longer changes the other.
 *
 * Entries that were put right in place are durable before the file grows, or one
 * that led past its old end might lead somewhere. Copies are durable before an
 * entry shows them. Two tables may show the one the old place and the other the
 * new one when that is interrupted: then the old is taken, and the new one wins.
 */
#include "vdisk/caps.h"
#include "vdisk/checked.h"
#include "check.h"

#define FIRST_DOUBLES	64U

u64 vmdk_check_behind(const struct vmdk_check *c, u32 shift)
{
	u64 end = c->out->end;

	/* The size of a block device says nothing; who wrote it keeps to grains there. */
	if (c->file->fixed)
		shift = c->grain_shift;
	else
		end = max(end, c->file->size);
	return vd_ceil_shift(end, shift) << shift;
}

int vmdk_check_room(struct vmdk_check *c, u64 len, u32 shift, const char *what, u64 *pos)
{
	*pos = vmdk_check_behind(c, shift);
	if ((*pos + len) >> VD_SECTOR_SHIFT > U32_MAX)
		return vd_fail(c->err, -EFBIG,
			       "no place for %s at byte %llu: tables cannot name it", what, *pos);
	if (c->file->fixed && !vd_inside(*pos, len, c->file->size))
		return vd_fail(c->err, -ENOSPC,
			       "no place for %s at byte %llu: the device has %llu bytes", what,
			       *pos, c->file->size);
	return 0;
}

static int more_doubles(struct vmdk_check *c)
{
	u64 n = c->max_doubles ? c->max_doubles * 2 : FIRST_DOUBLES;
	u64 more = (n - c->max_doubles) * sizeof(*c->doubles);
	struct vmdk_double *list = NULL;

	if (c->space.budget >= more)
		list = vd_zalloc((size_t)n * sizeof(*list));
	if (!list)
		return vd_fail(c->err, -ENOMEM, "the check needs more than %u MiB of memory",
			       VMDK_CAP_CHECK_BYTES >> 20);
	c->space.budget -= more;
	if (c->nr_doubles)
		memcpy(list, c->doubles, (size_t)c->nr_doubles * sizeof(*list));
	vd_free(c->doubles);
	c->doubles = list;
	c->max_doubles = n;
	return 0;
}

int vmdk_add_double(struct vmdk_check *c, u64 grain, u32 sector)
{
	int ret;

	if (!vmdk_may_fix(c))
		return 0;
	/* It may reach further than the grain that has its place. */
	vmdk_check_end(c->out, ((u64)sector << VD_SECTOR_SHIFT) + c->grain);
	if (!(c->out->flags & VD_CHECK_REPAIR)) {
		vmdk_changed(c, VD_CHANGE_COPIED, grain, 1);
		return 0;
	}
	if (c->nr_doubles == c->max_doubles) {
		ret = more_doubles(c);
		if (ret)
			return ret;
	}
	c->doubles[c->nr_doubles++] = (struct vmdk_double) { grain, sector };
	return 0;
}

/* The copy's place takes the place of the old one in the list. */
static int copy_grain(struct vmdk_check *c, struct vmdk_double *twin, u8 *buf)
{
	u64 from = (u64)twin->sector << VD_SECTOR_SHIFT, pos;
	int ret;

	ret = vmdk_check_room(c, c->grain, c->grain_shift, "the copy of a grain", &pos);
	if (ret)
		return ret;
	ret = vd_file_read_tail(c->file, from, buf, c->grain);
	if (ret)
		return vd_fail(c->err, ret, "grain at byte %llu cannot be read", from);
	ret = vmdk_check_write(c, pos, buf, c->grain);
	if (ret)
		return ret;
	vmdk_check_end(c->out, pos + c->grain);
	twin->sector = (u32)(pos >> VD_SECTOR_SHIFT);
	return 0;
}

static int copy_all(struct vmdk_check *c)
{
	u8 *buf = vd_zalloc(c->grain);
	int ret = 0;
	u64 i;

	if (!buf)
		return vd_fail(c->err, -ENOMEM, "out of memory");
	for (i = 0; !ret && i < c->nr_doubles; i++) {
		ret = copy_grain(c, &c->doubles[i], buf);
		if (!ret)
			ret = vd_check_progress(c->out, c->err, i, c->nr_doubles);
	}
	vd_free(buf);
	return ret;
}

static int show_copy(struct vmdk_check *c, const struct vmdk_double *twin)
{
	u64 t = twin->grain >> c->gt_shift;
	u64 at = (twin->grain & ((1ULL << c->gt_shift) - 1)) * 4;
	int ret = 0;
	u8 raw[4];
	u32 d;

	put_unaligned_le32(twin->sector, raw);
	for (d = 0; !ret && d < c->nr_dirs; d++)
		if (vmdk_has_table(c, d, t))
			ret = vmdk_check_patch(c, ((u64)c->dir[d][t] << VD_SECTOR_SHIFT) + at,
					       raw, sizeof(raw));
	if (!ret)
		vmdk_changed(c, VD_CHANGE_COPIED, twin->grain, 1);
	return ret;
}

int vmdk_copy_doubles(struct vmdk_check *c)
{
	int ret;
	u64 i;

	if (!c->nr_doubles)
		return 0;
	ret = vd_fix_flush(&c->fix);
	if (!ret)
		ret = copy_all(c);
	/* Before an entry leads there: what follows the cursor is free to others. */
	if (!ret && c->cowd)
		ret = vmdk_check_cursor(c, false);
	if (!ret)
		ret = vd_fix_flush(&c->fix);
	for (i = 0; !ret && i < c->nr_doubles; i++)
		ret = show_copy(c, &c->doubles[i]);
	return ret;
}
