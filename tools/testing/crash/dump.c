// SPDX-License-Identifier: GPL-2.0-only
/*
 * Images as they are on disk after a flush, for other programs to judge:
 * DIR/N/image0.vmdk is a descriptor of the whole, DIR/N/want.raw what it holds.
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
	u32 i;

	if (!w->s->c.foreign || w->st.nr || !*w->dump_left || !crash_oracle_is_sure(&w->oracle))
		return;
	(*w->dump_left)--;
	snprintf(dir, sizeof(dir), "%s.%u", w->dump, w->dumped++);
	if (mkdir(dir, 0777)) {
		perror(dir);
		exit(2);
	}
	for (i = 0; i < set->nr; i++)
		img_dump_member(dir, i, set->file[i].data, set->file[i].len);
	for (i = 0; i < set->c->set.nr_images; i++)
		img_dump_descriptor(&set->c->set, dir, i);
	f = img_dump_create(dir, "want.raw");
	for (s = 0; s < w->oracle.sectors; s++)
		fwrite(w->oracle.sure[s], 1, VD_SECTOR, f);
	img_dump_finish(f);
}
