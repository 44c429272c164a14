// SPDX-License-Identifier: GPL-2.0-only
/* The part of a disk that holds the image, in a file that others can read. */
#include <stdlib.h>

#include "powercut.h"

#define MBR_ENTRY	446
#define MBR_ENTRY_LEN	16
#define MBR_START	8
#define MBR_NR		12

struct saved {
	u64 pos;
	u64 len;
};

static struct pc_part partition(const u8 *mbr, u32 n)
{
	const u8 *p = mbr + MBR_ENTRY + n * MBR_ENTRY_LEN;
	struct pc_part part = {
		.start = get_unaligned_le32(p + MBR_START), .nr = get_unaligned_le32(p + MBR_NR),
	};

	return part;
}

void pc_disk_init(struct pc_disk *d, const char *base, const char *path)
{
	u64 len;
	const u8 *from = pc_map_file(base, false, &len);
	FILE *f = fopen(path, "we");

	d->marks = partition(from, 0);
	d->image = partition(from, 1);
	d->len = d->image.nr * PC_SECTOR;
	if (!d->marks.nr || !d->len || (d->image.start + d->image.nr) * PC_SECTOR > len)
		pc_die("%s has no two partitions", base);
	if (!f || fwrite(from + d->image.start * PC_SECTOR, 1, d->len, f) != d->len || fclose(f))
		pc_die("%s cannot be written", path);
	d->data = pc_map_file(path, true, &len);
}

static void save(struct pc_disk *d, u64 pos, u64 len)
{
	struct saved s = { pos, len };

	if (d->undo_len + len + sizeof(s) > d->undo_room) {
		d->undo_room = 2 * (d->undo_len + len + sizeof(s));
		d->undo = realloc(d->undo, d->undo_room);
		if (!d->undo)
			pc_die("no memory");
	}
	memcpy(d->undo + d->undo_len, d->data + pos, len);
	memcpy(d->undo + d->undo_len + len, &s, sizeof(s));
	d->undo_len += len + sizeof(s);
}

static void put(struct pc_disk *d, u64 pos, const void *buf, u64 len)
{
	if (buf)
		memcpy(d->data + pos, buf, len);
	else
		memset(d->data + pos, 0, len);
}

void pc_disk_put(struct pc_disk *d, u64 pos, const void *buf, u64 len)
{
	save(d, pos, len);
	put(d, pos, buf, len);
}

void pc_disk_undo(struct pc_disk *d, u64 undo_len)
{
	struct saved s;

	while (d->undo_len > undo_len) {
		memcpy(&s, d->undo + d->undo_len - sizeof(s), sizeof(s));
		d->undo_len -= sizeof(s) + s.len;
		memcpy(d->data + s.pos, d->undo + d->undo_len, s.len);
	}
}

void pc_disk_changes(const struct pc_disk *d, void (*each)(void *ctx, u64 pos, u64 len), void *ctx)
{
	u64 at = d->undo_len;
	struct saved s;

	while (at) {
		memcpy(&s, d->undo + at - sizeof(s), sizeof(s));
		at -= sizeof(s) + s.len;
		each(ctx, s.pos, s.len);
	}
}

bool pc_disk_touched(const struct pc_disk *d, const struct pc_req *req)
{
	return req->what != PC_R_FLUSH && req->sector < d->image.start + d->image.nr &&
	       req->sector + req->nr > d->image.start;
}

static const u8 *data_at(const struct pc_req *req, u64 sector)
{
	return req->data ? req->data + (sector - req->sector) * PC_SECTOR : NULL;
}

void pc_disk_write(struct pc_disk *d, const struct pc_req *req)
{
	u64 first = max(req->sector, d->image.start);
	u64 end = min(req->sector + req->nr, d->image.start + d->image.nr);

	if (first < end)
		put(d, (first - d->image.start) * PC_SECTOR, data_at(req, first),
		    (end - first) * PC_SECTOR);
}

void pc_disk_apply(struct pc_disk *d, const struct pc_req *req, u64 how)
{
	u64 s, first = max(req->sector, d->image.start);
	u64 end = min(req->sector + req->nr, d->image.start + d->image.nr);

	if (!how || first >= end)
		return;
	if (how == PC_WHOLE) {
		pc_disk_put(d, (first - d->image.start) * PC_SECTOR, data_at(req, first),
			    (end - first) * PC_SECTOR);
		return;
	}
	for (s = first; s < end; s++) {
		if (ut_mix(how ^ s) & 1)
			pc_disk_put(d, (s - d->image.start) * PC_SECTOR, data_at(req, s),
				    PC_SECTOR);
	}
}
