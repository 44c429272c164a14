// SPDX-License-Identifier: GPL-2.0-only
/* A reader of VDI images, and what a sound one is. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "vdi-disk.h"

/**
 * struct areas - what the header says
 * @map, @data: byte of the map and of slot 0
 * @blocks: entries of the map
 * @allocated: the counter
 * @old: version 0.2
 */
struct areas {
	u64 map;
	u64 data;
	u32 blocks;
	u32 type;
	u32 allocated;
	bool old;
};

static struct areas *areas_of(const struct view *v)
{
	return v->priv;
}

static bool open_old(struct view *v, struct areas *a)
{
	struct vdi_v0 h;

	view_get(v, &h, sizeof(h), 0);
	a->map = sizeof(h);
	a->data = a->map + 4ULL * h.blocks;
	a->blocks = h.blocks;
	a->type = h.type;
	a->allocated = h.allocated;
	a->old = true;
	return (h.size == v->e->len && h.block == v->e->unit) ||
	       extent_wrong(v->e, "no header as it was");
}

static bool open_vdi(struct view *v)
{
	struct areas *a = xalloc(sizeof(*a));
	struct vdi_v1 h;

	v->priv = a;
	view_get(v, &h, sizeof(h), 0);
	if (h.magic == VDI_MAGIC && h.version == 2)
		return open_old(v, a);
	a->map = h.map;
	a->data = h.data;
	a->blocks = h.blocks;
	a->type = h.type;
	a->allocated = h.allocated;
	return (h.magic == VDI_MAGIC && h.version == 0x10001 && h.size == v->e->len &&
		h.block == v->e->unit && !h.extra && h.blocks >= v->nr) ||
	       extent_wrong(v->e, "no header as it was");
}

static u32 entry_of(struct view *v, u64 block)
{
	return view_get32(v, areas_of(v)->map + 4 * block);
}

static bool is_slot(u32 entry)
{
	return entry != VDI_FREE && entry != VDI_ZERO;
}

static u64 read_blocks(struct view *v, u64 pos, u8 *buf, u64 len, bool *hit)
{
	u64 in_block = pos % v->e->unit;
	u32 entry = entry_of(v, pos / v->e->unit);

	if (len > v->e->unit - in_block)
		len = v->e->unit - in_block;
	*hit = entry != VDI_FREE;
	memset(buf, 0, len);
	if (is_slot(entry))
		view_get(v, buf, len, areas_of(v)->data + entry * v->e->unit + in_block);
	return len;
}

static bool is_used(struct view *v, u64 block)
{
	return is_slot(entry_of(v, block));
}

static u64 entry_pos(struct view *v, u64 block)
{
	return areas_of(v)->map + 4 * block;
}

/* --------------------------------------------------------------- soundness */

/**
 * struct census - who is in the slots
 * @used: entries that name one
 * @high: one more than the highest of them
 */
struct census {
	u32 used;
	u32 high;
};

/* Also the entries past the end of the disk, if there are any. */
static bool count_slots(struct view *v, struct census *c)
{
	const struct areas *a = areas_of(v);
	u64 limit = v->size > a->data ? mk_div_up(v->size - a->data, v->e->unit) : 0;
	u8 *taken = xalloc(limit);
	bool good = true;
	u32 block, slot;

	*c = (struct census) { 0 };
	for (block = 0; good && block < a->blocks; block++) {
		slot = entry_of(v, block);
		if (!is_slot(slot))
			continue;
		if (slot >= limit)
			good = extent_wrong(v->e, "block %u: in slot %u of %llu", block, slot,
					    ULL(limit));
		else if (taken[slot]++)
			good = extent_wrong(v->e, "block %u: slot %u is another's", block, slot);
		c->used++;
		c->high = slot >= c->high ? slot + 1 : c->high;
	}
	free(taken);
	return good;
}

/* The file had more than slots then, and still has it. */
static void vdi_attached(struct view *v, struct extent *e)
{
	struct census c;

	if (count_slots(v, &c) && v->size > areas_of(v)->data + c.high * v->e->unit)
		e->floor = v->size;
}

#define MODIFY_POS	offsetof(struct vdi_v1, uuid_modify)

/* One that nobody has had: each byte is another. */
static void vdi_renew(const struct extent *e, struct vdisk_patch *p)
{
	unsigned int i;

	if (e->flags & VDI_OLD)
		return;
	p->offset = MODIFY_POS;
	p->len = sizeof(((struct vdi_v1 *)NULL)->uuid_modify);
	for (i = 0; i < p->len; i++)
		p->bytes[i] = e->head[MODIFY_POS + i] ^ (0x5a + i);
}

/* Who attached it without a new ID says himself what was to become of the old one. */
static bool same_or_renewed(const struct view *v, const u8 *now, const u8 *then, size_t len)
{
	const struct vdisk_patch *p = &v->e->patch;

	return !p->len || !memcmp(now, then, len) || !memcmp(now, p->bytes, len);
}

static bool same_header(struct view *v)
{
	struct vdi_v1 now, then;

	view_get(v, &now, sizeof(now), 0);
	memcpy(&then, v->e->head, sizeof(then));
	then.allocated = now.allocated;
	/* The map begins in this sector. */
	if (areas_of(v)->old)
		return true;
	if (!same_or_renewed(v, now.uuid_modify, then.uuid_modify, sizeof(now.uuid_modify)))
		return extent_wrong(v->e, "its modification UUID is neither the old nor the new");
	memcpy(then.uuid_modify, now.uuid_modify, sizeof(then.uuid_modify));
	return !memcmp(&now, &then, sizeof(now)) ||
	       extent_wrong(v->e, "more of the header has changed than the counter");
}

/* Each block of a fixed image has its own slot for good. */
static bool same_places(struct view *v)
{
	u32 block;

	for (block = 0; areas_of(v)->type == VDI_STATIC && block < v->nr; block++) {
		if (entry_of(v, block) != block)
			return extent_wrong(v->e, "fixed, and block %u in slot %u", block,
					    entry_of(v, block));
	}
	return true;
}

/* Others append where the counter says; they refuse one above the number of blocks. */
static bool may_leak(struct view *v, const struct census *c)
{
	const struct areas *a = areas_of(v);

	if (a->allocated < c->high)
		return extent_wrong(v->e, "the counter says %u, slots go up to %u", a->allocated,
				    c->high);
	return true;
}

static bool no_leak(struct view *v, const struct census *c)
{
	u64 end = areas_of(v)->data + c->high * v->e->unit;

	/* No more time to fill holes, or for the look that shows there are none left. */
	if (vdev_end_late()) {
		diag("%s: late: %u holes, counter %u", v->e->path, c->high - c->used,
		     areas_of(v)->allocated);
		return may_leak(v, c);
	}
	if (c->used != c->high)
		return extent_wrong(v->e, "%u blocks in slots up to %u", c->used, c->high);
	if (areas_of(v)->allocated != c->high)
		return extent_wrong(v->e, "the counter says %u, not %u", areas_of(v)->allocated,
				    c->high);
	if (end < v->e->floor)
		end = v->e->floor;
	return v->size == end || extent_wrong(v->e, "has %llu bytes, not %llu", ULL(v->size),
					      ULL(end));
}

static bool vdi_sound(struct view *v, unsigned int flags)
{
	struct census c;

	return count_slots(v, &c) && same_header(v) && same_places(v) &&
	       (flags & CHAIN_MAY_LEAK ? may_leak(v, &c) : no_leak(v, &c));
}

/* ------------------------------------------------------------------- kinds */

/* Its driver knows neither parents nor other sizes of blocks. */
static bool qemu_opens(const struct chain *c)
{
	const struct extent *e = &c->images[0].extents[0];

	return c->nr == 1 && e->unit == MIB && !(e->flags & (VDI_OLD | VDI_ODD));
}

static const struct format vdi = {
	.id = VDISK_FORMAT_VDI,
	.name = "vdi",
	.make = vdi_make,
	.qemu_opens = qemu_opens,
	.fills_holes = true,
};

static const struct kind vdi_kind = {
	.segment = VDISK_SEG_VDI,
	.format = &vdi,
	.open = open_vdi,
	.attached = vdi_attached,
	.renew = vdi_renew,
	.read = read_blocks,
	.sound = vdi_sound,
	.is_used = is_used,
	.entry = entry_pos,
};

struct extent vdi_blocks(u64 len, u64 block, u32 flags, unsigned int used)
{
	return (struct extent) { .kind = &vdi_kind, .len = len, .unit = block, .flags = flags,
				 .used = used };
}
