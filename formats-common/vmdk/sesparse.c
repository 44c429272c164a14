// SPDX-License-Identifier: GPL-2.0-only
/*
 * SESparse: the delta disk of ESX on VMFS6, grains of 4 KiB. Areas for tables
 * and grains are laid out once and entries are indices into them. Read only:
 * a writer would have to keep journal, free bitmap and back map.
 */
#include "vdisk/caps.h"
#include "vdisk/checked.h"
#include "vdisk/format.h"
#include "vmdk.h"

static const char *const sesparse_area_names[SESPARSE_AREAS] = {
	"volatile header", "journal header", "journal", "grain directory", "grain tables",
	"free bitmap", "back map", "grains",
};

static int sesparse_check_fixed(const struct sesparse_disk_header *disk, struct sesparse *s,
				struct vd_error *err)
{
	static const struct {
		const char *name;
		u64 value;
	} fixed[] = {
		{ "magic", SESPARSE_MAGIC },
		{ "version", SESPARSE_VERSION },
		{ "capacity", 0 },
		{ "grainSize", SESPARSE_GRAIN_SECTORS },
		{ "grainTableSize", SESPARSE_GT_SECTORS },
		{ "flags", 0 }, { "reserved1", 0 }, { "reserved2", 0 }, { "reserved3", 0 },
		{ "reserved4", 0 },
	};
	u64 capacity = get_unaligned_le64(&disk->capacity);
	const u8 *bytes = (const u8 *)disk;
	u64 found;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(fixed); i++) {
		found = get_unaligned_le64(bytes + i * 8);
		if (i != 2 && found != fixed[i].value)
			return vd_fail(err, i ? -EOPNOTSUPP : -EUCLEAN,
				       "SESparse header: %s at byte %u is 0x%llx, legal is 0x%llx",
				       fixed[i].name, i * 8, found, fixed[i].value);
	}
	if (!capacity || !vd_sectors(capacity, &s->capacity) || s->capacity > VD_CAP_DISK_BYTES)
		return vd_fail(err, -EUCLEAN,
			       "SESparse header: capacity at byte 16 is %llu sectors, legal is 1 sector to 64 TiB",
			       capacity);
	return 0;
}

/*
 * Bytes of every area. Each begins inside the file, and all but the grains,
 * which grow into the space set aside for them, end there.
 */
static int sesparse_check_areas(const struct sesparse_disk_header *disk, struct vmdk_range *area,
				u64 file_size, struct vd_error *err)
{
	u64 off, size;
	u32 i, j;
	bool ok;

	for (i = 0; i < SESPARSE_AREAS; i++) {
		off = get_unaligned_le64(&disk->area[i].offset);
		size = get_unaligned_le64(&disk->area[i].size);
		ok = off && vd_sectors(off, &area[i].pos) && vd_sectors(size, &area[i].len);
		if (ok && i == SESPARSE_GRAINS)
			ok = vd_inside(area[i].pos, area[i].len, VD_CAP_FILE_BYTES) &&
			     !(off % SESPARSE_GRAIN_SECTORS);
		else if (ok)
			ok = vd_inside(area[i].pos, area[i].len, file_size);
		if (!ok)
			return vd_fail(err, -EUCLEAN,
				       "SESparse header: %s of %llu sectors at sector %llu does not fit the file's %llu bytes",
				       sesparse_area_names[i], size, off, file_size);
		for (j = 0; j < i; j++)
			if (vd_overlap(area[i].pos, area[i].len, area[j].pos, area[j].len))
				return vd_fail(err, -EUCLEAN,
					       "SESparse header: %s at sector %llu overlaps the %s",
					       sesparse_area_names[i], off,
					       sesparse_area_names[j]);
	}
	return 0;
}

static int sesparse_check_volatile(struct vd_file *file, const struct vmdk_range *area,
				   struct vd_error *err)
{
	struct sesparse_disk_volatile disk;
	int ret;

	ret = vd_file_read(file, area->pos, &disk, sizeof(disk));
	if (ret)
		return vd_fail(err, ret, "SESparse volatile header at byte %llu cannot be read",
			       area->pos);
	if (get_unaligned_le64(&disk.magic) != SESPARSE_VOLATILE_MAGIC)
		return vd_fail(err, -EUCLEAN,
			       "SESparse volatile header at byte %llu: magic is 0x%llx, legal is 0x%llx",
			       area->pos, get_unaligned_le64(&disk.magic), SESPARSE_VOLATILE_MAGIC);
	if (get_unaligned_le64(&disk.replay_journal))
		return vd_fail(err, -EOPNOTSUPP,
			       "SESparse volatile header at byte %llu: the journal has not been replayed; power the virtual machine on and off once",
			       area->pos);
	return 0;
}

static int sesparse_check(struct vd_file *file, const struct sesparse_disk_header *disk,
			  struct sesparse *s, struct vd_error *err)
{
	struct vmdk_range area[SESPARSE_AREAS];
	u64 need;
	int ret;

	ret = sesparse_check_fixed(disk, s, err);
	if (!ret)
		ret = sesparse_check_areas(disk, area, file->size, err);
	if (!ret)
		ret = sesparse_check_volatile(file, &area[SESPARSE_VOLATILE], err);
	if (ret)
		return ret;

	need = vd_ceil_shift(s->capacity, SESPARSE_GRAIN_SHIFT + SESPARSE_GTES_SHIFT);
	if (area[SESPARSE_GD].len / 8 < need)
		return vd_fail(err, -EUCLEAN,
			       "SESparse header: grain directory has room for %llu entries, the capacity needs %llu",
			       area[SESPARSE_GD].len / 8, need);
	s->dir.file = file;
	s->dir.pos = area[SESPARSE_GD].pos;
	s->dir.count = need;
	s->gts_pos = area[SESPARSE_GTS].pos;
	s->nr_gts = area[SESPARSE_GTS].len / (SESPARSE_GT_SECTORS * VD_SECTOR);
	s->grains_pos = area[SESPARSE_GRAINS].pos;
	s->nr_grains = area[SESPARSE_GRAINS].len >> SESPARSE_GRAIN_SHIFT;
	return 0;
}

int sesparse_header_read(struct vd_file *file, struct sesparse *out, struct vd_error *err)
{
	struct sesparse_disk_header disk;
	int ret;

	memset(out, 0, sizeof(*out));
	if (file->size < sizeof(disk))
		return vd_fail(err, -EUCLEAN,
			       "SESparse header: the file has %llu bytes, a header needs 512",
			       file->size);
	ret = vd_file_read(file, 0, &disk, sizeof(disk));
	if (ret)
		return vd_fail(err, ret, "SESparse header: cannot be read");
	return sesparse_check(file, &disk, out, err);
}

int sesparse_open(struct vd_segment *seg, struct vd_error *err)
{
	struct sesparse *s;
	int ret;

	s = vd_zalloc(sizeof(*s));
	if (!s)
		return vd_fail(err, -ENOMEM, "out of memory");
	ret = sesparse_header_read(seg->file, s, err);
	if (!ret && s->capacity < seg->len)
		ret = vd_fail(err, -EUCLEAN,
			      "SESparse header: capacity is %llu bytes, but the extent covers %llu",
			      s->capacity, seg->len);
	if (ret) {
		vd_free(s);
		return ret;
	}
	s->reader = VMDK_READER_SESPARSE;
	s->dir.meta = seg->meta;
	seg->unit = 1U << SESPARSE_GRAIN_SHIFT;
	seg->priv = s;
	return 0;
}

/* 1: *@gte is the table entry of @grain; 0: there is no table; or -errno. */
static int sesparse_find(struct vd_segment *seg, const struct sesparse *s, u64 grain,
			 unsigned int flags, u64 *gte)
{
	struct vd_table gt = { .meta = seg->meta, .file = seg->file, .count = SESPARSE_GTES };
	u64 index = grain >> SESPARSE_GTES_SHIFT;
	u64 gde;
	int ret;

	ret = vd_table_get64(&s->dir, index, flags, &gde);
	if (ret || !gde)
		return ret;
	if (gde >> 32 != SESPARSE_GDE_TAG || (u32)gde >= s->nr_gts)
		return vd_corrupt(seg, "entry %llu of the SESparse directory is 0x%llx, legal is 0 or 0x%x and a table below %llu",
				  index, gde, SESPARSE_GDE_TAG, s->nr_gts);
	gt.pos = s->gts_pos + (u64)(u32)gde * (SESPARSE_GT_SECTORS * VD_SECTOR);
	ret = vd_table_get64(&gt, grain & (SESPARSE_GTES - 1), flags, gte);
	return ret ? ret : 1;
}

static int sesparse_allocated(struct vd_segment *seg, const struct sesparse *s, u64 grain, u64 gte,
			      u64 in_grain, u64 len, struct vd_extent *ext)
{
	u64 index = sesparse_index(gte);
	u64 file_pos;

	if (index >= s->nr_grains)
		return vd_corrupt(seg, "SESparse grain %llu is number %llu in the file, legal is below %llu",
				  grain, index, s->nr_grains);
	file_pos = s->grains_pos + (index << SESPARSE_GRAIN_SHIFT);
	if (file_pos >= seg->file->size)
		return vd_corrupt(seg, "SESparse grain %llu is at byte %llu, past the file's %llu",
				  grain, file_pos, seg->file->size);
	return vd_extent_unit(seg, file_pos, in_grain, len, ext);
}

int sesparse_map(struct vd_segment *seg, u64 pos, u64 len, unsigned int flags,
		 struct vd_extent *ext)
{
	const struct sesparse *s = seg->priv;
	u64 grain = pos >> SESPARSE_GRAIN_SHIFT;
	u64 in_grain = pos & ((1U << SESPARSE_GRAIN_SHIFT) - 1);
	u64 covered = 1ULL << (SESPARSE_GRAIN_SHIFT + SESPARSE_GTES_SHIFT);
	u64 gte;
	int ret;

	ret = sesparse_find(seg, s, grain, flags, &gte);
	if (ret < 0)
		return ret;
	if (!ret)
		return vd_extent_hole(ext, min(len, covered - (pos & (covered - 1))));

	len = min(len, (1U << SESPARSE_GRAIN_SHIFT) - in_grain);
	switch (gte >> 60) {
	case SESPARSE_ABSENT:
		if (!gte)
			return vd_extent_hole(ext, len);
		break;
	case SESPARSE_UNMAPPED:
	case SESPARSE_ZERO:
		return vd_extent_zero(ext, len);
	case SESPARSE_ALLOCATED:
		return sesparse_allocated(seg, s, grain, gte, in_grain, len, ext);
	}
	return vd_corrupt(seg, "SESparse grain %llu has table entry 0x%llx of an unknown kind",
			  grain, gte);
}
