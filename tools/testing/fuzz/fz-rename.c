// SPDX-License-Identifier: GPL-2.0-only
/* Texts with other names in them: made of anything, and worth what the first ones were. */
#include <stdlib.h>

#include "fz-layout.h"
#include "vdisk/rename.h"
#include "vdisk/ufile.h"

#define RENAME_READS	4096U

/* Shorter ones, so that no limit stands in the way of the new text. */
static const struct vd_new_names shorter = {
	.from = "disk.vmdk", .to = "d.vmdk", .from_stem = 4, .to_stem = 1, .parent = "p",
};

/* What could be laid out can be again, with as many extents in the same places. */
static void compare(const struct vd_format *format, const struct vd_layout *old, const char *text,
		    u32 len)
{
	struct vd_file *file = vd_ufile_mem(text, len, false);
	struct vd_layout *new = NULL;
	struct vd_error err = { 0 };
	u32 i;

	if (!file)
		return;
	if (format->user->layout(file, &new, &err)) {
		/* A line that was there twice: one of them is renamed, and both are none. */
		if (!strstr(err.text, "twice"))
			fz_die("renamed: the new text is none: %s", err.text);
		vd_ufile_free(file);
		return;
	}
	if (new->nr_segs != old->nr_segs)
		fz_die("renamed: %u extents, not %u", new->nr_segs, old->nr_segs);
	for (i = 0; i < old->nr_segs; i++) {
		const struct vd_layout_seg *a = &vd_layout_segs(old)[i];
		const struct vd_layout_seg *b = &vd_layout_segs(new)[i];

		if (a->start != b->start || a->kind != b->kind || a->offset != b->offset)
			fz_die("renamed: extent %u is another one", i);
	}
	vd_free(new);
	vd_ufile_free(file);
}

void fz_renamed(struct fz_once *once, u32 file, const struct vd_format *format,
		const struct vd_layout *l)
{
	struct vd_error err = { 0 };
	char *text = NULL;
	u32 len = 0;
	int ret;

	if (!format->user->renamed)
		return;
	fz_call(&once->io, "renamed", RENAME_READS);
	ret = format->user->renamed(&once->io.files[file].file, &shorter, &text, &len, &err);
	if (ret) {
		fz_check_error("renamed", ret, &err);
		if (text)
			fz_die("renamed: failed, but left a text");
		return;
	}
	if (text && text[len])
		fz_die("renamed: no NUL behind it");
	if (text && l && fz_honest(&once->io) && !(vd_layout_segs(l)[0].flags & VD_LSEG_SELF))
		compare(format, l, text, len);
	vd_free(text);
}
