// SPDX-License-Identifier: GPL-2.0-only
/*
 * Images as they are on disk after a flush, for other programs to judge:
 * DIR/N/image0.vmdk is a descriptor of the whole, if the format has such, file0.vmdk
 * the first of its files, want.raw what it holds. With a file "tidy" nobody may find
 * anything at all.
 */
#include <sys/stat.h>

#include "crash.h"
#include "img-dump.h"

void crash_dump(struct crash_walk *w)
{
	const struct crash_set *set = &w->st.set;
	char dir[4096];
	u64 s;
	FILE *f;

	if (!w->s->c.foreign || w->st.nr || !*w->dump_left || !crash_oracle_is_sure(&w->oracle))
		return;
	/* Those are rare, and more is asked of them. */
	if (w->skip && !w->tidy && ut_below(&w->rng, 8))
		return;
	(*w->dump_left)--;
	snprintf(dir, sizeof(dir), "%s.%u", w->dump, w->dumped++);
	if (mkdir(dir, 0777)) {
		perror(dir);
		exit(2);
	}
	crash_write_files(set, dir);
	if (w->tidy)
		img_dump_finish(img_dump_create(dir, "tidy"));
	f = img_dump_create(dir, "want.raw");
	for (s = 0; s < w->oracle.sectors; s++)
		fwrite(w->oracle.sure[s], 1, VD_SECTOR, f);
	img_dump_finish(f);
}
