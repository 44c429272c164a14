// SPDX-License-Identifier: GPL-2.0-only
/*
 * The layout of each file of a set; and a block as a broken child could send it
 * through the pipe: a file's bytes, taken for one.
 */
#include <stdlib.h>

#include "fz-layout.h"

#define BLOCK_MAX 65536U

/* Half of the time with those numbers right that any random block has wrong. */
static void block_from_pipe(struct fz_once *once, u32 file)
{
	u32 len = (u32)min_t(u64, once->io.files[file].size, BLOCK_MAX);
	struct vd_layout *l = malloc(len ? len : 1);
	struct vd_error err = { 0 };
	int ret;

	if (!l)
		abort();
	fz_peek(&once->io, file, 0, l, len);
	if (len >= sizeof(*l) && once->in.ctl.kind & 1) {
		l->magic = VD_LAYOUT_MAGIC;
		l->total = len;
		l->nr_segs %= 8;
		l->pool_len = len - (u32)sizeof(*l) -
			      l->nr_segs * (u32)sizeof(struct vd_layout_seg);
	}
	ret = vd_layout_check(l, len, &err);
	if (ret)
		fz_check_error("layout", ret, &err);
	else
		fz_layout_walk(l);
	free(l);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct fz_once *once = fz_begin(data, size);
	u32 i;

	if (!once)
		return -1;
	for (i = 0; i < once->io.nr_files; i++) {
		fz_layouts(once, i);
		block_from_pipe(once, i);
	}
	fz_end(once);
	return 0;
}
