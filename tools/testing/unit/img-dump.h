/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Images written to a directory, for other programs to judge: image0.vmdk is a
 * descriptor of the whole, its parents are image1.vmdk and so on.
 */
#ifndef IMG_DUMP_H
#define IMG_DUMP_H

#include "ut.h"

static inline FILE *img_dump_create(const char *dir, const char *name)
{
	char path[4200];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	if (!f) {
		perror(path);
		exit(2);
	}
	return f;
}

static inline void img_dump_finish(FILE *f)
{
	if (ferror(f) || fclose(f)) {
		perror("dump");
		exit(2);
	}
}

static inline void img_dump_member(const char *dir, u32 i, const void *data, u64 len)
{
	char name[32];
	FILE *f;

	snprintf(name, sizeof(name), "file%u.vmdk", i);
	f = img_dump_create(dir, name);
	fwrite(data, 1, len, f);
	img_dump_finish(f);
}

static inline void img_dump_extent(FILE *f, const struct vdisk_segment_desc *seg)
{
	u64 sectors = seg->len / VD_SECTOR;

	switch (seg->kind) {
	case VDISK_SEG_VMDK_SPARSE:
		fprintf(f, "RW %llu SPARSE \"file%u.vmdk\"\n", sectors, seg->member);
		break;
	case VDISK_SEG_VMDK_COWD:
		fprintf(f, "RW %llu VMFSSPARSE \"file%u.vmdk\"\n", sectors, seg->member);
		break;
	default:
		fprintf(f, "RW %llu FLAT \"file%u.vmdk\" %llu\n", sectors, seg->member,
			(u64)seg->offset / VD_SECTOR);
	}
}

static inline const char *img_dump_type(const struct ut_set *set, u32 image)
{
	const char *type = "twoGbMaxExtentFlat";
	u32 i;

	for (i = 0; i < set->nr_segs; i++) {
		if (set->segs[i].image != image)
			continue;
		if (set->segs[i].kind == VDISK_SEG_VMDK_COWD)
			type = "vmfsSparse";
		else if (set->segs[i].kind == VDISK_SEG_VMDK_SPARSE)
			type = "twoGbMaxExtentSparse";
	}
	return type;
}

static inline void img_dump_descriptor(const struct ut_set *set, const char *dir, u32 image)
{
	bool parent = image + 1 < set->nr_images;
	char name[32];
	FILE *f;
	u32 i;

	snprintf(name, sizeof(name), "image%u.vmdk", image);
	f = img_dump_create(dir, name);
	fprintf(f, "# Disk DescriptorFile\nversion=1\nCID=%08x\nparentCID=%08x\n", 0x1000 + image,
		parent ? 0x1001 + image : 0xffffffff);
	fprintf(f, "createType=\"%s\"\n", img_dump_type(set, image));
	if (parent)
		fprintf(f, "parentFileNameHint=\"image%u.vmdk\"\n", image + 1);
	for (i = 0; i < set->nr_segs; i++) {
		if (set->segs[i].image == image)
			img_dump_extent(f, &set->segs[i]);
	}
	fprintf(f, "ddb.adapterType = \"lsilogic\"\n");
	img_dump_finish(f);
}

#endif /* IMG_DUMP_H */
