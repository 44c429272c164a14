// SPDX-License-Identifier: GPL-2.0-only
/* QEMU's trace: when requests came to a disk, and when the guest was told of their end. */
#include <stdlib.h>

#include "powercut.h"

/* Where QEMU keeps a request; used again when it has ended. */
struct slot {
	u64 elem;
	u32 req;
};

struct reader {
	struct pc_trace *t;
	u32 room;
	struct slot *slot;
	u32 nr_slots;
	u64 place;
	u32 newest;		/* request that came last; U32_MAX: nothing more is said of it */
};

static void *grow(void *p, u32 nr, u32 *room, size_t size)
{
	if (nr < *room)
		return p;
	*room = *room ? 2 * *room : 1024;
	p = realloc(p, *room * size);
	if (!p)
		pc_die("no memory");
	return p;
}

static struct pc_req *find_req(struct reader *r, u64 elem)
{
	u32 i;

	for (i = 0; i < r->nr_slots; i++) {
		if (r->slot[i].elem == elem)
			return &r->t->req[r->slot[i].req];
	}
	return NULL;
}

static void set_slot(struct reader *r, u64 elem, u32 req)
{
	u32 i;

	for (i = 0; i < r->nr_slots && r->slot[i].elem != elem; i++)
		;
	if (i == r->nr_slots) {
		r->slot = realloc(r->slot, ++r->nr_slots * sizeof(*r->slot));
		if (!r->slot)
			pc_die("no memory");
	}
	r->slot[i] = (struct slot){ elem, req };
}

/* A flush is a header and a status; a range to discard or to zero comes with a table. */
static void came(struct reader *r, u64 queue, u64 elem, u32 in, u32 out)
{
	struct pc_trace *t = r->t;
	struct pc_req req = { .queue = queue, .came = r->place, .ended = PC_NEVER };

	if (in == 1 && out <= 2)
		req.what = out == 1 ? PC_R_FLUSH : PC_R_DISCARD;
	t->req = grow(t->req, t->nr, &r->room, sizeof(req));
	t->req[t->nr] = req;
	set_slot(r, elem, t->nr);
	r->newest = t->nr++;
}

static bool is_disk(const struct pc_trace *t, u64 queue)
{
	u32 i;

	for (i = 0; i < t->disks; i++) {
		if (t->queue[i] == queue)
			return true;
	}
	return false;
}

static void transfer(struct reader *r, u64 elem, bool writes, u64 sector, u64 nr)
{
	struct pc_req *req = find_req(r, elem);
	struct pc_trace *t = r->t;

	if (!req)
		pc_die("the trace begins too late");
	req->what = writes ? PC_R_WRITE : PC_R_OTHER;
	req->sector = sector;
	req->nr = nr;
	if (is_disk(t, req->queue))
		return;
	if (t->disks == PC_DISKS)
		pc_die("too many disks");
	t->queue[t->disks++] = req->queue;
}

/* The first node that is told is the one below the disk's front end. */
static void zeroes(struct reader *r, u64 sector, u64 nr)
{
	struct pc_req *req = r->newest == U32_MAX ? NULL : &r->t->req[r->newest];

	if (req && req->what == PC_R_DISCARD) {
		req->what = PC_R_ZERO;
		req->sector = sector;
		req->nr = nr;
	}
	r->newest = U32_MAX;
}

static void ended(struct reader *r, u64 elem)
{
	struct pc_req *req = find_req(r, elem);

	if (req && req->ended == PC_NEVER)
		req->ended = r->place;
}

static void read_line(struct reader *r, const char *line)
{
	unsigned long long a, b, c, d;
	unsigned int in, out;

	r->place++;
	if (sscanf(line, "virtqueue_pop vq %llx elem %llx in_num %u out_num %u", &a, &b, &in,
		   &out) == 4)
		came(r, a, b, in, out);
	else if (sscanf(line, "virtqueue_fill vq %llx elem %llx", &a, &b) == 2)
		ended(r, b);
	else if (sscanf(line, "virtio_blk_handle_write vdev %llx req %llx sector %llu nsectors %llu",
			&a, &b, &c, &d) == 4)
		transfer(r, b, true, c, d);
	else if (sscanf(line, "virtio_blk_handle_read vdev %llx req %llx sector %llu nsectors %llu",
			&a, &b, &c, &d) == 4)
		transfer(r, b, false, c, d);
	else if (sscanf(line, "bdrv_co_pwrite_zeroes bs %llx offset %llu bytes %llu", &a, &b,
			&c) == 3)
		zeroes(r, b / PC_SECTOR, c / PC_SECTOR);
}

void pc_trace_read(struct pc_trace *trace, const char *path)
{
	struct reader r = { .t = trace, .newest = U32_MAX };
	FILE *f = fopen(path, "r");
	char line[512];

	if (!f)
		pc_die("%s cannot be read", path);
	while (fgets(line, sizeof(line), f))
		read_line(&r, line);
	fclose(f);
	free(r.slot);
}
