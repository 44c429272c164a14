// SPDX-License-Identifier: GPL-2.0-only
/* Properties put into a text that is a file of its own. */
#include "fz-edit.h"
#include "fz-judge.h"
#include "vdisk/ufile.h"

static void judge(struct fz_change *c, const struct vd_layout *before, const struct vd_file *file,
		  const struct vd_content *content)
{
	size_t len = content->len;
	const void *data = content->data ? content->data : vd_ufile_mem_data(file, &len);
	struct vd_file *again = vd_ufile_mem(data, len, false);
	struct vd_layout *after = NULL;
	struct vd_error err = { 0 };
	const char *reason;

	if (!again || vd_format_vmdk.user->layout(again, &after, &err))
		fz_die("edit: cannot be read any more: %s", err.text);
	if (fz_mistake("edit-lost"))
		c->want.uuid[0]++;
	if (fz_mistake("edit-more"))
		after->cid++;
	reason = fz_judge(c, before, after);
	if (reason)
		fz_die("edit: %s", reason);
	vd_free(after);
	vd_ufile_free(again);
}

static void check_untouched(const struct vd_file *file, const u8 *data, size_t size)
{
	const u8 *now;
	size_t len;

	now = vd_ufile_mem_data(file, &len);
	if (len != size || memcmp(now, data, size))
		fz_die("edit: refused, but the file has changed");
}

static void set(struct fz_change *c, const struct vd_layout *before, struct vd_file *file,
		const u8 *data, size_t size)
{
	struct vd_content content = { NULL, 0 };
	struct vd_error err = { 0 };
	int ret;

	ret = vd_format_vmdk.user->set_props(file, before, &c->want, c->pool, &content, &err);
	if (fz_mistake("edit-torn")) {
		vd_file_write(file, 0, "*", 1);
		err = (struct vd_error) { .code = -EIO, .text = "torn" };
		ret = -EIO;
	}
	if (ret) {
		fz_check_error("edit", ret, &err);
		check_untouched(file, data, size);
	} else if (c->wrong) {
		fz_die("edit: took what is no value, properties 0x%x", c->want.mask);
	} else {
		judge(c, before, file, &content);
	}
	vd_free(content.data);
}

void fz_edit(const u8 *data, size_t size)
{
	bool extent = size >= 4 && !memcmp(data, "KDMV", 4);
	struct vd_file *file = extent ? NULL : vd_ufile_mem(data, size, true);
	struct fz_change c = { 0 };
	struct fz_rng rng = { size };
	struct vd_layout *before = NULL;
	struct vd_error err = { 0 };
	size_t i;

	/* What is changed inside of an extent has a target of its own. */
	if (!file)
		return;
	for (i = 0; i < size; i++)
		rng.state = (rng.state ^ data[i]) * 0x100000001b3ULL;
	if (!vd_format_vmdk.user->layout(file, &before, &err)) {
		fz_choose(&c, NULL, before, &rng);
		set(&c, before, file, data, size);
	}
	vd_free(before);
	vd_ufile_free(file);
}
