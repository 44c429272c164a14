// SPDX-License-Identifier: GPL-2.0-only
/*
 * Checking one extent, and repairing it: the frame. Repair goes in an order
 * that may stop anywhere: entries one sector at a time, each of them right for
 * itself; then a flush, before the file grows and an entry past its old end
 * could come to lead somewhere; copies of grains, a flush, the entries that
 * show them; the same for tables; then a flush; then the mark of the unfinished
 * writer goes; then a flush. A second run finds what the first has left.
 */
#include "vdisk/caps.h"
#include "vdisk/checked.h"
#include "check.h"

bool vmdk_may_fix(const struct vmdk_check *c)
{
	return !c->packed && !(c->out->flags & VD_CHECK_MERGE);
}

int vmdk_check_write(struct vmdk_check *c, u64 pos, const void *buf, u32 len)
{
	return c->out->flags & VD_CHECK_REPAIR ? vd_fix_write(&c->fix, pos, buf, len) : 0;
}

int vmdk_check_patch(struct vmdk_check *c, u64 pos, const void *bytes, u32 len)
{
	return c->out->flags & VD_CHECK_REPAIR ? vd_fix_patch(&c->fix, pos, bytes, len) : 0;
}

void vmdk_check_end(struct vd_check *out, u64 end)
{
	out->end = max(out->end, end);
}

static void check_len(struct vmdk_check *c, u64 len)
{
	if (c->capacity < len)
		vd_check_found(c->out, VD_FINDING_CORRUPT, false,
			   "%sheader: capacity is %llu bytes, but the extent covers %llu", c->what,
			   c->capacity, len);
}

void vmdk_changed(struct vmdk_check *c, enum vd_change how, u64 grain, u64 n)
{
	u64 pos = grain << c->grain_shift;
	u64 end = min(c->capacity, (grain + n) << c->grain_shift);

	if (how == VD_CHANGE_ALTERED)
		c->out->altered++;
	if (c->out->changed && end > pos)
		c->out->changed(c->out->ctx, how, pos, end - pos);
}

/*
 * COWD keeps a cursor of the next free sector, written before what it covers
 * by some and after it by others. Behind the tables' highest place, new data
 * would go over old.
 */
int vmdk_check_cursor(struct vmdk_check *c, bool tell)
{
	u32 pos = offsetof(struct cowd_disk_header, free_sector);
	u64 want = vmdk_check_behind(c, VD_SECTOR_SHIFT) >> VD_SECTOR_SHIFT;
	u32 found;
	u8 raw[4];
	int ret;

	ret = vd_file_read(c->file, pos, raw, sizeof(raw));
	if (ret)
		return vd_fail(c->err, ret, "COWD header: cannot be read");
	found = get_unaligned_le32(raw);
	if ((u64)found << VD_SECTOR_SHIFT >= c->out->end || found == U32_MAX)
		return 0;
	if (tell)
		vd_check_found(c->out, VD_FINDING_UNCLEAN, true,
			   "COWD header: freeSector at byte %u is %u, but sectors up to %llu are in use",
			   pos, found, vd_ceil_shift(c->out->end, VD_SECTOR_SHIFT));
	put_unaligned_le32((u32)min_t(u64, want, U32_MAX), raw);
	return vmdk_check_patch(c, pos, raw, sizeof(raw));
}

/*
 * The mark goes last, and only if nothing is left that contradicts the format:
 * it is what makes the next reader look.
 */
static int clear_mark(struct vmdk_check *c)
{
	static const u8 zeros[4];
	struct vd_check *out = c->out;
	int ret;

	if (!c->unclean || c->packed ||
	    out->found[VD_FINDING_CORRUPT] != out->repaired[VD_FINDING_CORRUPT])
		return 0;
	out->repaired[VD_FINDING_UNCLEAN]++;
	ret = vmdk_check_patch(c, c->mark_pos, zeros, c->mark_len);
	return ret ? ret : vd_fix_flush(&c->fix);
}

static int check_tables(struct vmdk_check *c)
{
	int ret;

	if (c->unclean)
		vd_check_found(c->out, VD_FINDING_UNCLEAN, false,
			   "%sheader: marked as in use: its last writer did not end well", c->what);
	ret = vmdk_check_dirs(c);
	if (!ret)
		ret = vmdk_check_grains(c);
	if (!ret)
		ret = vmdk_check_leaks(c);
	/* Before it is raised over what a repair appends, or nobody would know. */
	if (!ret && c->cowd)
		ret = vmdk_check_cursor(c, true);
	if (!ret)
		ret = vmdk_copy_doubles(c);
	if (!ret)
		ret = vmdk_rebuild_dirs(c);
	if (!ret)
		ret = vd_fix_flush(&c->fix);
	if (!ret)
		ret = clear_mark(c);
	return ret;
}

/* Everything that hangs on the size of grains and tables; then the check itself. */
static int check_run(struct vmdk_check *c, u64 len)
{
	u64 sectors = min_t(u64, vd_ceil_shift(c->file->size, VD_SECTOR_SHIFT), 1ULL << 32);
	int ret;

	if (c->out->flags & VD_CHECK_IF_MARKED && !c->unclean)
		return 0;
	c->gt_bytes = 4U << c->gt_shift;
	c->out->unit = c->grain;
	c->out->units = vd_ceil_shift(c->capacity, c->grain_shift);
	check_len(c, len);
	/* Compressed grains have no size of their own: each sector is a window. */
	ret = vmdk_space_init(&c->space, sectors,
			      c->packed ? 0 : c->grain_shift - VD_SECTOR_SHIFT);
	if (ret)
		vd_fail(c->err, ret, "out of memory");
	else
		ret = check_tables(c);
	vmdk_space_release(&c->space);
	vd_free(c->doubles);
	vd_free(c->arena);
	return ret;
}

static int check_cowd(struct vmdk_check *c, u64 len)
{
	struct cowd h;
	int ret;

	ret = cowd_header_read(c->file, &h, c->err);
	if (ret)
		return ret;
	c->what = "COWD ";
	c->cowd = true;
	c->capacity = h.capacity;
	c->grain = h.grain;
	c->grain_shift = h.grain_shift;
	c->gt_shift = COWD_GTES_SHIFT;
	c->nr_gts = h.dir.count;
	c->nr_dirs = 1;
	c->dir_pos[0] = h.dir.pos;
	c->data_pos = COWD_HEADER_SECTORS * VD_SECTOR;
	c->taken[0] = (struct vmdk_range) { 0, c->data_pos };
	c->taken[1] = (struct vmdk_range) { h.dir.pos, h.data_pos - h.dir.pos };
	c->unclean = h.unclean;
	c->mark_pos = offsetof(struct cowd_disk_header, unclean_shutdown);
	c->mark_len = 4;
	return check_run(c, len);
}

static int check_hosted(struct vmdk_check *c, u64 len)
{
	struct vmdk_header h;
	int ret;

	ret = vmdk_header_read(c->file, &h, c->err);
	if (ret)
		return ret;
	c->what = "";
	c->capacity = h.capacity;
	c->grain = h.grain;
	c->grain_shift = h.grain_shift;
	c->gt_shift = VMDK_GTES_SHIFT;
	c->nr_gts = h.nr_gts;
	c->nr_dirs = h.rgd_pos ? 2 : 1;
	c->dir_pos[0] = h.gd_pos;
	c->dir_pos[1] = h.rgd_pos;
	c->data_pos = h.data_pos;
	vmdk_taken(&h, c->taken);
	c->zeroed = h.flags & VMDK_FLAG_ZEROED;
	c->packed = h.flags & VMDK_FLAG_COMPRESSED;
	c->marked = h.flags & VMDK_FLAG_MARKERS;
	c->max_packed = h.grain + h.grain / 8 + 1024;
	c->unclean = h.unclean;
	c->mark_pos = offsetof(struct vmdk_disk_header, unclean_shutdown);
	c->mark_len = 1;
	return check_run(c, len);
}

int vmdk_check(struct vd_file *file, u32 kind, u64 len, struct vd_check *check,
	       struct vd_error *err)
{
	struct vmdk_check c;
	u8 magic[4] = { 0 };
	int ret = 0;

	vd_check_begin(check);
	if (check->flags & VD_CHECK_REPAIR && !file->writable)
		return vd_fail(err, -EROFS, "the file is not open for writing");
	if (kind == VDISK_SEG_VMDK_SESPARSE && check->flags & VD_CHECK_IF_MARKED)
		return 0;	/* a journal that waits for its replay is refused at open */
	if (kind == VDISK_SEG_VMDK_SESPARSE)
		return sesparse_check_file(file, len, check, err);
	if (kind != VDISK_SEG_VMDK_SPARSE && kind != VDISK_SEG_VMDK_COWD)
		return vd_fail(err, -EINVAL, "vmdk has no segment kind 0x%x", kind);

	memset(&c, 0, sizeof(c));
	c.file = file;
	c.out = check;
	c.err = err;
	c.fix = (struct vd_fix) { .file = file, .err = err };
	if (kind == VDISK_SEG_VMDK_SPARSE && file->size >= sizeof(magic))
		ret = vd_file_read(file, 0, magic, sizeof(magic));
	if (ret)
		return vd_fail(err, ret, "header: cannot be read");
	/* Old hosted products wrote COWD files for extents that are called SPARSE. */
	if (kind == VDISK_SEG_VMDK_COWD || get_unaligned_le32(magic) == COWD_MAGIC)
		return check_cowd(&c, len);
	return check_hosted(&c, len);
}
