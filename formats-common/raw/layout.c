// SPDX-License-Identifier: GPL-2.0-only
/* Raw in user space: a file that nothing else claims, all of it the disk. */
#include "vdisk/caps.h"
#include "vdisk/checked.h"
#include "vdisk/layout.h"
#include "raw.h"

int raw_probe(struct vd_file *file, struct vd_probe *out)
{
	out->score = 1;
	out->subformat = "raw";
	return 0;
}

static int raw_layout(struct vd_file *file, struct vd_layout **out, struct vd_error *err)
{
	struct vd_layout_builder *b;
	struct vd_layout *head;

	if (!file->size)
		return vd_fail(err, -EUCLEAN, "the file is empty");
	if (file->size > VD_CAP_DISK_BYTES)
		return vd_fail(err, -EOPNOTSUPP, "the file has %llu bytes, more than 64 TiB",
			       file->size);

	b = vd_layout_begin(VDISK_FORMAT_RAW);
	if (!b)
		return vd_fail(err, -ENOMEM, "out of memory");
	head = vd_layout_head(b);
	head->subformat = vd_layout_add_str(b, "raw", 3);
	vd_props_put(&head->props, VD_PROP_FILE_SIZE, file->size);
	vd_props_put(&head->props, VD_PROP_FLAGS, VD_IMAGE_FIXED);
	vd_layout_add_seg(b, vd_ceil_shift(file->size, VD_SECTOR_SHIFT) << VD_SECTOR_SHIFT,
			  VDISK_SEG_RAW, VD_LSEG_SELF, 0, 0);
	return vd_layout_finish(b, out, err);
}

/* A flat extent has no tables: all that can be wrong is that some of it is missing. */
static int raw_check(struct vd_file *file, u32 kind, u64 len, struct vd_check *check,
		     struct vd_error *err)
{
	u64 size = vd_ceil_shift(file->size, VD_SECTOR_SHIFT) << VD_SECTOR_SHIFT;
	struct vd_error text = { 0 };

	vd_check_begin(check);
	check->unit = VD_SECTOR;
	check->units = vd_ceil_shift(len, VD_SECTOR_SHIFT);
	check->used_units = vd_ceil_shift(min(len, size), VD_SECTOR_SHIFT);
	check->end = len;
	if (len <= size || check->flags & VD_CHECK_IF_MARKED)
		return 0;
	check->found[VD_FINDING_CORRUPT] = 1;
	vd_fail(&text, -EUCLEAN, "flat extent ends at byte %llu, but the file has only %llu", len,
		file->size);
	if (check->report)
		check->report(check->ctx, VD_FINDING_CORRUPT, text.text);
	return 0;
}

#define WRITTEN (VD_CAN_READ | VD_CAN_WRITE)

static const struct vd_support raw_support[] = {
	{ "raw file", "raw", WRITTEN | VD_CAN_CREATE, "``-f raw`` for writing" },
	{ "raw block device", NULL, WRITTEN, "``-f raw`` for writing" },
	{ "raw with offset or size limit", NULL, WRITTEN, "``--offset``, ``--sizelimit``" },
	{ "raw in several files", NULL, WRITTEN, "all names on the command line" },
	{ NULL },
};

/* Not one byte of the file is about the disk. */
static int raw_set_props(struct vd_file *file, const struct vd_layout *now,
			 const struct vd_props *want, const char *pool, struct vd_content *out,
			 struct vd_error *err)
{
	*out = (struct vd_content) { NULL, 0 };
	return want->mask ? vd_props_refuse("raw", want->mask, err) : 0;
}

const struct vd_format_user raw_user = {
	.support = raw_support,
	.layout = raw_layout,
	.check = raw_check,
	.set_props = raw_set_props,
};
