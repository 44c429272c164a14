// SPDX-License-Identifier: GPL-2.0-only
/* Formats that are tested; VMDK, whose images and rules are those of the unit tests. */
#include "crash.h"

static bool vmdk_look(const u8 *file, u64 len, const struct vdisk_segment_desc *seg,
		      struct crash_tables *out, char *rule)
{
	struct img_tables t;

	if (!img_tables_look(file, len, seg->kind, seg->len, &t, rule))
		return false;
	out->marked = t.marked;
	out->same = t.same;
	out->hash = t.hash;
	out->end = t.end;
	return true;
}

static u64 vmdk_table(const struct img_case *c)
{
	bool cowd = c->set.segs[0].kind == VDISK_SEG_VMDK_COWD;

	return c->unit * (cowd ? IMG_COWD_GTES : IMG_GTES);
}

static const char *const vmdk_excused[] = { NULL };

static const struct crash_format crash_vmdk = {
	.name		= "vmdk",
	.vd		= &vd_format_vmdk,
	.kind		= img_kinds,
	.nr		= ARRAY_SIZE(img_kinds),
	.bugs		= VD_BUG_ONE_COPY | VD_BUG_FORGET,
	.marks		= true,
	.descriptor	= true,
	.qemu		= "vmdk",
	.image		= "image0.vmdk",
	.excused	= vmdk_excused,
	.look		= vmdk_look,
	.table		= vmdk_table,
};

const struct crash_format *const crash_formats[] = { &crash_vmdk, &crash_vdi };
const u32 crash_nr_formats = ARRAY_SIZE(crash_formats);

u32 crash_nr_extents(const struct crash_set *set)
{
	const struct ut_set *s = &set->c->set;
	u32 i;

	for (i = 0; i < s->nr_segs && !s->segs[i].image; i++)
		;
	return i;
}

bool crash_set_look(const struct crash_set *set, u32 i, struct crash_tables *out, char *rule)
{
	const struct vdisk_segment_desc *seg = &set->c->set.segs[i];
	const struct crash_file *f = &set->file[seg->member];

	memset(out, 0, sizeof(*out));
	out->same = true;
	return set->fmt->look(f->data, f->len, seg, out, rule);
}
