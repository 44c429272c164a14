// SPDX-License-Identifier: GPL-2.0-only
/* A writer of VDI images: as QEMU lays them out, as VirtualBox does, and worse. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vdi-disk.h"

/**
 * struct slots - where a new image has what
 * @entry: the map
 * @nr: entries of it
 * @map, @data: byte of the map and of slot 0
 * @used: entries that name a slot
 * @high: one more than the highest slot of them
 */
struct slots {
	u32 *entry;
	u32 nr;
	u64 map;
	u64 data;
	u32 used;
	u32 high;
};

static void place_areas(const struct extent *e, struct slots *s)
{
	s->nr = mk_div_up(e->len, e->unit);
	if (e->flags & VDI_OLD) {
		s->map = sizeof(struct vdi_v0);
		s->data = s->map + 4ULL * s->nr;
		return;
	}
	s->map = e->flags & VDI_VIRTUALBOX ? MIB : SECTOR;
	s->data = mk_round_up(s->map + 4ULL * s->nr, s->map);
	if (e->flags & VDI_ODD)
		s->data += 4;
}

static u64 slot_pos(const struct extent *e, const struct slots *s, u32 slot)
{
	return s->data + slot * e->unit;
}

/* What nobody may ever see. */
static void write_old_bytes(int fd, const struct extent *e, const struct slots *s, u32 slot)
{
	u8 *buf = xalloc(e->unit);

	memset(buf, 0xdb, e->unit);
	mk_put(fd, buf, e->unit, slot_pos(e, s, slot));
	free(buf);
}

/* The slot of a block, the next one unless each has its own. */
static u32 next_slot(int fd, const struct extent *e, struct slots *s, u32 block)
{
	if (e->flags & VDI_FIXED)
		return block;
	if (e->flags & VDI_HOLES && s->high % 3 == 1)
		write_old_bytes(fd, e, s, s->high++);
	return s->high;
}

static void write_blocks(int fd, const struct extent *e, u64 seed, struct slots *s)
{
	u64 *order = mk_shuffled(s->nr, seed);
	u8 *buf = xalloc(e->unit);
	u32 i, slot, block;

	for (i = 0; i < s->nr; i++) {
		block = order[i];
		s->entry[block] = VDI_FREE;
		if (!(e->flags & VDI_FIXED) && !mk_is_used(seed, block, e->used))
			continue;
		slot = next_slot(fd, e, s, block);
		s->entry[block] = slot;
		s->used++;
		s->high = slot >= s->high ? slot + 1 : s->high;
		if (!mk_is_used(seed, block, e->used))
			continue;
		mk_random(seed, block, buf, e->unit);
		mk_put(fd, buf, e->unit, slot_pos(e, s, slot));
	}
	free(buf);
	free(order);
}

/* Some of the blocks that hold nothing hide what a parent has. */
static void mark_zeros(const struct extent *e, u64 seed, struct slots *s)
{
	u32 i;

	for (i = 0; e->flags & VDI_ZEROED && i < s->nr; i++) {
		if (s->entry[i] == VDI_FREE && mk_is_used(seed + 1, i, 30))
			s->entry[i] = VDI_ZERO;
	}
}

static void end_file(int fd, const struct extent *e, const struct slots *s)
{
	u64 end = slot_pos(e, s, s->high);

	if (e->flags & VDI_SHORT && s->high)
		end -= e->unit / 2;
	mk_set_size(fd, s->data, end);
	if (e->flags & VDI_TAIL)
		mk_put(fd, "somebody else's bytes", 21, end + 1000);
}

static u32 counter(const struct extent *e, const struct slots *s)
{
	if (e->flags & VDI_COUNT_LOW)
		return s->used / 2;
	if (e->flags & VDI_COUNT_HIGH)
		return s->high + 3 < s->nr ? s->high + 3 : s->nr;
	return s->high;
}

static void make_uuid(u8 uuid[16], u32 id, u8 use)
{
	struct rng rng;

	rng_seed(&rng, id * 256ULL + use);
	rng_fill(&rng, uuid, 16);
}

static void write_old_header(int fd, const struct image *image, const struct slots *s)
{
	const struct extent *e = &image->extents[0];
	struct vdi_v0 h = {
		.banner = "<<< innotek VirtualBox Disk Image >>>\n",
		.magic = VDI_MAGIC, .version = 2, .type = VDI_DYNAMIC, .sector = SECTOR,
		.size = e->len, .block = e->unit, .blocks = s->nr, .allocated = counter(e, s),
	};

	make_uuid(h.uuid, image->id, 1);
	make_uuid(h.uuid_modify, image->id, 2);
	mk_put(fd, &h, sizeof(h), 0);
}

static void write_header(int fd, const struct image *image, const struct image *parent,
			 const struct slots *s)
{
	const struct extent *e = &image->extents[0];
	bool vbox = e->flags & VDI_VIRTUALBOX;
	struct vdi_v1 h = {
		.banner = "<<< an image of the tests >>>\n",
		.magic = VDI_MAGIC, .version = 0x10001, .header_size = vbox ? 400 : 384,
		.type = parent ? VDI_DIFF : e->flags & VDI_FIXED ? VDI_STATIC : VDI_DYNAMIC,
		.comment = "all of this stays as it is", .map = s->map, .data = s->data,
		.sector = SECTOR, .size = e->len, .block = e->unit, .blocks = s->nr,
		.allocated = counter(e, s), .lchs = { 7, 16, 63 }, .lchs_sector = SECTOR,
	};

	make_uuid(h.uuid, image->id, 1);
	make_uuid(h.uuid_modify, image->id, 2);
	if (parent) {
		make_uuid(h.uuid_parent, parent->id, 1);
		make_uuid(h.uuid_parent_modify, parent->id, 2);
	}
	memset(h.pad, 0x99, sizeof(h.pad));
	mk_put(fd, &h, sizeof(h), 0);
}

void vdi_make(struct image *image, const struct image *parent, u64 seed)
{
	const struct extent *e = &image->extents[0];
	int fd = xopen(e->path, O_RDWR | O_CREAT | O_TRUNC);
	struct slots s = { 0 };

	place_areas(e, &s);
	s.entry = xalloc(s.nr * 4ULL);
	mk_set_size(fd, s.data, s.data);
	write_blocks(fd, e, seed, &s);
	mark_zeros(e, seed, &s);
	end_file(fd, e, &s);
	mk_put(fd, s.entry, s.nr * 4ULL, s.map);
	if (e->flags & VDI_OLD)
		write_old_header(fd, image, &s);
	else
		write_header(fd, image, parent, &s);
	if (fsync(fd))
		bail("cannot write %s: %s", e->path, err_name(errno));
	close(fd);
	free(s.entry);
}
