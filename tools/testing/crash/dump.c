// SPDX-License-Identifier: GPL-2.0-only
/*
 * Images as they are on disk after a flush, for other programs to judge:
 * DIR/N/image0.vmdk is a descriptor of the whole, DIR/N/want.raw what it holds.
 */
#include <sys/stat.h>

#include "crash.h"

static FILE *create(const char *dir, const char *name)
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

static void finish(FILE *f)
{
	if (ferror(f) || fclose(f)) {
		perror("dump");
		exit(2);
	}
}

static void write_extent(FILE *f, const struct vdisk_segment_desc *seg)
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

static const char *create_type(const struct vdisk_segment_desc *seg, u32 nr, u32 image)
{
	const char *type = "twoGbMaxExtentFlat";
	u32 i;

	for (i = 0; i < nr; i++) {
		if (seg[i].image != image)
			continue;
		if (seg[i].kind == VDISK_SEG_VMDK_COWD)
			type = "vmfsSparse";
		else if (seg[i].kind == VDISK_SEG_VMDK_SPARSE)
			type = "twoGbMaxExtentSparse";
	}
	return type;
}

static void write_descriptor(const struct crash_set *set, const char *dir, u32 image)
{
	const struct ut_set *tables = &set->c->set;
	bool parent = image + 1 < tables->nr_images;
	char name[32];
	FILE *f;
	u32 i;

	snprintf(name, sizeof(name), "image%u.vmdk", image);
	f = create(dir, name);
	fprintf(f, "# Disk DescriptorFile\nversion=1\nCID=%08x\nparentCID=%08x\n", 0x1000 + image,
		parent ? 0x1001 + image : 0xffffffff);
	fprintf(f, "createType=\"%s\"\n", create_type(tables->segs, tables->nr_segs, image));
	if (parent)
		fprintf(f, "parentFileNameHint=\"image%u.vmdk\"\n", image + 1);
	for (i = 0; i < tables->nr_segs; i++) {
		if (tables->segs[i].image == image)
			write_extent(f, &tables->segs[i]);
	}
	fprintf(f, "ddb.adapterType = \"lsilogic\"\n");
	finish(f);
}

void crash_dump(struct crash_walk *w)
{
	const struct crash_set *set = &w->st.set;
	char dir[4096], name[32];
	u64 s;
	FILE *f;
	u32 i;

	if (!w->s->c.foreign || w->st.nr || !*w->dump_left || !crash_oracle_is_sure(&w->oracle))
		return;
	(*w->dump_left)--;
	snprintf(dir, sizeof(dir), "%s.%u", w->dump, w->dumped++);
	if (mkdir(dir, 0777)) {
		perror(dir);
		exit(2);
	}
	for (i = 0; i < set->nr; i++) {
		snprintf(name, sizeof(name), "file%u.vmdk", i);
		f = create(dir, name);
		fwrite(set->file[i].data, 1, set->file[i].len, f);
		finish(f);
	}
	for (i = 0; i < set->c->set.nr_images; i++)
		write_descriptor(set, dir, i);
	f = create(dir, "want.raw");
	for (s = 0; s < w->oracle.sectors; s++)
		fwrite(w->oracle.sure[s], 1, VD_SECTOR, f);
	finish(f);
}
