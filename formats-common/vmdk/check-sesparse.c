// SPDX-License-Identifier: GPL-2.0-only
/*
 * SESparse under check: entries must stay inside their areas, and two of them
 * must not mean the same place. Free space is the business of the bitmap and
 * the back map, which only their owner understands, and so is repair.
 */
#include "vdisk/caps.h"
#include "vdisk/checked.h"
#include "check.h"

#define GT_BYTES	(SESPARSE_GT_SECTORS * VD_SECTOR)
#define GD_CHUNK	512U	/* entries read at a time */

/**
 * struct ses_check - one run; on the stack
 * @tables, @grains: who has which; windows are table and grain numbers
 * @gd, @gt: buffers for GD_CHUNK entries and for one table
 */
struct ses_check {
	struct vd_file *file;
	struct vd_check *out;
	struct vd_error *err;
	struct sesparse h;
	struct vmdk_space tables;
	struct vmdk_space grains;
	u8 *gd;
	u8 *gt;
};

static int claim(struct ses_check *c, struct vmdk_space *space, u64 index)
{
	int ret = vmdk_space_claim(space, index);

	if (ret < 0)
		vd_fail(c->err, ret, "the check needs more than %u MiB of memory",
			VMDK_CAP_CHECK_BYTES >> 20);
	return ret;
}

static int check_place(struct ses_check *c, u64 grain, u64 gte)
{
	u64 index = sesparse_index(gte);
	u64 pos = c->h.grains_pos + (index << SESPARSE_GRAIN_SHIFT);
	int ret;

	if (index >= c->h.nr_grains || pos >= c->file->size) {
		vd_check_found(c->out, VD_FINDING_CORRUPT, false,
			   "SESparse grain %llu is number %llu in the file, legal is below %llu (file ends at byte %llu)",
			   grain, index, c->h.nr_grains, c->file->size);
		return 0;
	}
	ret = claim(c, &c->grains, index);
	if (ret < 0)
		return ret;
	if (!ret) {
		vd_check_found(c->out, VD_FINDING_CORRUPT, false,
			   "SESparse grain %llu is number %llu in the file, which another grain is too",
			   grain, index);
		return 0;
	}
	c->out->used_units++;
	vmdk_check_end(c->out, pos + (1U << SESPARSE_GRAIN_SHIFT));
	return 0;
}

static int check_entry(struct ses_check *c, u64 grain, u64 gte)
{
	switch (gte >> 60) {
	case SESPARSE_ABSENT:
		if (!gte)
			return 0;
		break;
	case SESPARSE_UNMAPPED:
	case SESPARSE_ZERO:
		return 0;
	case SESPARSE_ALLOCATED:
		return check_place(c, grain, gte);
	}
	vd_check_found(c->out, VD_FINDING_CORRUPT, false,
		   "SESparse grain %llu has table entry 0x%llx of an unknown kind", grain, gte);
	return 0;
}

static int check_table(struct ses_check *c, u64 t, u64 gde)
{
	u64 pos, grain = t << SESPARSE_GTES_SHIFT;
	u64 n = min_t(u64, SESPARSE_GTES, c->out->units - grain);
	u32 i;
	int ret;

	if (gde >> 32 != SESPARSE_GDE_TAG || (u32)gde >= c->h.nr_gts) {
		vd_check_found(c->out, VD_FINDING_CORRUPT, false,
			   "entry %llu of the SESparse directory is 0x%llx, legal is 0 or 0x%x and a table below %llu",
			   t, gde, SESPARSE_GDE_TAG, c->h.nr_gts);
		return 0;
	}
	ret = claim(c, &c->tables, (u32)gde);
	if (ret < 0)
		return ret;
	if (!ret) {
		vd_check_found(c->out, VD_FINDING_CORRUPT, false,
			   "entry %llu of the SESparse directory is table %u, which another entry is too",
			   t, (u32)gde);
		return 0;
	}
	pos = c->h.gts_pos + (u64)(u32)gde * GT_BYTES;
	ret = vd_file_read(c->file, pos, c->gt, GT_BYTES);
	if (ret)
		return vd_fail(c->err, ret, "SESparse table at byte %llu cannot be read", pos);
	for (i = 0; !ret && i < n; i++)
		ret = check_entry(c, grain + i, get_unaligned_le64(c->gt + i * 8));
	return ret;
}

static int check_chunk(struct ses_check *c, u64 first)
{
	u32 i, n = (u32)min_t(u64, GD_CHUNK, c->h.dir.count - first);
	u64 gde, pos = c->h.dir.pos + first * 8;
	int ret;

	ret = vd_file_read(c->file, pos, c->gd, n * 8);
	if (ret)
		return vd_fail(c->err, ret, "SESparse directory at byte %llu cannot be read", pos);
	for (i = 0; !ret && i < n; i++) {
		gde = get_unaligned_le64(c->gd + i * 8);
		if (gde)
			ret = check_table(c, first + i, gde);
		if (!ret && !(i % 16))
			ret = vd_check_progress(c->out, c->err, first + i, c->h.dir.count);
	}
	return ret;
}

static int check_all(struct ses_check *c)
{
	u64 t;
	int ret;

	ret = vmdk_space_init(&c->tables, c->h.nr_gts, 0);
	if (!ret)
		ret = vmdk_space_init(&c->grains, c->h.nr_grains, 0);
	c->gd = vd_zalloc(GD_CHUNK * 8 + GT_BYTES);
	if (ret || !c->gd)
		return vd_fail(c->err, -ENOMEM, "out of memory");
	c->gt = c->gd + GD_CHUNK * 8;
	for (t = 0; !ret && t < c->h.dir.count; t += GD_CHUNK)
		ret = check_chunk(c, t);
	return ret;
}

int sesparse_check_file(struct vd_file *file, u64 len, struct vd_check *out, struct vd_error *err)
{
	struct ses_check c = { .file = file, .out = out, .err = err };
	int ret;

	ret = sesparse_header_read(file, &c.h, err);
	if (ret)
		return ret;
	out->unit = 1U << SESPARSE_GRAIN_SHIFT;
	out->units = vd_ceil_shift(c.h.capacity, SESPARSE_GRAIN_SHIFT);
	out->end = min(c.h.grains_pos, file->size);
	if (c.h.capacity < len)
		vd_check_found(out, VD_FINDING_CORRUPT, false,
			   "SESparse header: capacity is %llu bytes, but the extent covers %llu",
			   c.h.capacity, len);
	ret = check_all(&c);
	vmdk_space_release(&c.tables);
	vmdk_space_release(&c.grains);
	vd_free(c.gd);
	return ret;
}
