// SPDX-License-Identifier: GPL-2.0-only
/* States of a disk that holds a file system, for a virtual machine to look at. */
#include "powercut.h"

static void put(struct pc_export *x, u32 what, u64 pos, const void *data, u64 len)
{
	struct pc_chunk chunk = { .what = what, .pos = pos, .len = len };

	if (fwrite(&chunk, sizeof(chunk), 1, x->out) != 1 || fwrite(data, 1, len, x->out) != len)
		pc_die("the states cannot be written");
}

void pc_export_durable(struct pc_walk *w, const struct pc_req *req)
{
	u64 start = w->disk.image.start;
	u64 first = max(req->sector, start), end = min(req->sector + req->nr,
						       start + w->disk.image.nr);

	if (first < end)
		put(&w->export, PC_DURABLE, (first - start) * PC_SECTOR,
		    w->disk.data + (first - start) * PC_SECTOR, (end - first) * PC_SECTOR);
}

static void put_change(void *ctx, u64 pos, u64 len)
{
	struct pc_walk *w = ctx;

	put(&w->export, PC_PENDING, pos, w->disk.data + pos, len);
}

bool pc_export_begun(const struct pc_walk *w)
{
	return w->export.known == (1U << PC_THREADS) - 1;
}

void pc_export_mark(struct pc_walk *w, const struct pc_mark *mark)
{
	if (mark->thread >= PC_THREADS)
		pc_die("a mark of nobody");
	if (!pc_export_begun(w))
		w->export.begin = w->at;
	w->export.known |= 1U << mark->thread;
	w->export.done[mark->thread] = mark->op;
}

void pc_export_state(struct pc_walk *w)
{
	pc_disk_changes(&w->disk, put_change, w);
	put(&w->export, PC_STATE, 0, w->export.done, sizeof(w->export.done));
}
