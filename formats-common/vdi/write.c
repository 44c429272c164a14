// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writing VDI (formats/vdi: write path). A block gets a slot that no entry of the
 * map names, and its entry when the slot is complete.
 *
 *	counter		rank 0: others append where it says, so it is durable before
 *			an entry names a slot that it does not count. It runs ahead,
 *			and is put right at the end; we never believe it
 *	data		flushed by the commit before
 *	map		rank 1
 *
 * A block that is given up becomes ZERO, never FREE: that would show what the parent
 * has. Its slot comes back when that is durable.
 */
#include "vdi.h"

/* How far the counter runs ahead: its sector is written once for so many slots. */
#define COUNT_AHEAD	32U
/* Entries are smaller than what they say when they name none. */
#define SLOTS_MAX	VDI_ZERO

/* --- begin and end --- */

static int add_hole(void *ctx, u32 slot, u32 n)
{
	struct vd_segment *seg = ctx;
	struct vdi *v = seg->priv;

	vd_space_return(seg->chain, &v->space, vdi_slot_pos(&v->header, slot), (u64)n * v->slot);
	return 0;
}

static int refuse(struct vd_segment *seg, const struct vdi_scan *scan)
{
	struct vd_error why = { 0 };

	if (!vdi_scan_verdict(scan, &why))
		return 0;
	return vd_corrupt(seg, "%s: the image cannot be written", why.text);
}

/*
 * Slots are the only thing past data_pos, so what the file has more is ours, unless it
 * was there before: a tail that no slot explains stays.
 */
static void init_space(struct vd_segment *seg, u32 high)
{
	struct vdi *v = seg->priv;
	u64 end = v->header.data_pos + high * v->slot;

	vd_space_init(seg->chain, &v->space, seg->file, end,
		      v->header.data_pos + SLOTS_MAX * v->slot);
	v->space.base = v->header.data_pos;
	if (seg->file->size <= end)
		v->space.floor = v->header.data_pos;
}

int vdi_begin_write(struct vd_segment *seg)
{
	struct vdi *v = seg->priv;
	struct vdi_scan scan = { .file = seg->file, .header = &v->header, .ctx = seg };
	int ret;

	ret = vdi_scan(&scan);
	if (!ret)
		ret = refuse(seg, &scan);
	if (ret)
		return ret;
	init_space(seg, scan.high);
	if (scan.high == scan.used)
		return 0;
	scan.hole = add_hole;
	ret = vdi_scan(&scan);
	if (ret) {
		vd_space_release(&v->space);
		memset(&v->space, 0, sizeof(v->space));
	}
	return ret;
}

/*
 * Nothing in the file says that somebody is at work. But others take a slot that a
 * writer has cut short for none at all: it becomes whole, if there is room.
 */
int vdi_begin_alloc(struct vd_segment *seg)
{
	struct vdi *v = seg->priv;
	int ret = vd_space_cover(seg->chain, &v->space, v->space.end);

	return vd_no_space(ret) ? 0 : ret;
}

/* Slots up to the frontier. */
static u32 vdi_slots(const struct vdi *v)
{
	return (u32)((v->space.end - v->header.data_pos) >> v->header.block_shift);
}

int vdi_end_write(struct vd_segment *seg)
{
	struct vdi *v = seg->priv;
	u32 slots = vdi_slots(v);
	u8 raw[4];
	int ret;

	if (slots == v->counted)
		return 0;
	put_unaligned_le32(slots, raw);
	ret = vd_mark(seg->chain, seg->file, VDI_ALLOCATED_POS, raw, sizeof(raw));
	if (!ret)
		v->counted = slots;
	return ret;
}

/* --- reserve and publish --- */

int vdi_pin(struct vd_segment *seg, u64 pos, u32 len, u32 rank, struct vd_meta_pin *pin)
{
	int ret = vd_meta_pin(seg->meta, seg->file, pos, len, rank, pin);

	return ret == -EAGAIN ? -EBUSY : ret;
}

/* The header counts everything that is reserved. */
static int count_slots(struct vd_segment *seg, struct vdi *v)
{
	u32 rank = vd_bug(VD_BUG_LATE_COUNTER) ? VDI_RANK_MAP + 1 : VDI_RANK_COUNTER;
	u32 need = vdi_slots(v), ahead;
	struct vd_meta_pin pin;
	int ret;

	if (need <= v->counted)
		return 0;
	/* VirtualBox refuses a number above that of the blocks: not without need. */
	ahead = max(need, min(need + COUNT_AHEAD, v->header.blocks));
	ret = vdi_pin(seg, VDI_ALLOCATED_POS, 4, rank, &pin);
	if (ret)
		return ret;
	vd_meta_set32(seg->meta, &pin, VDI_ALLOCATED_POS, ahead);
	vd_meta_unpin(seg->meta, &pin);
	v->counted = ahead;
	return 0;
}

/* Entries from that of @pos on, as far as one block of the cache has them. */
static u32 run_at(const struct vdi *v, u64 pos, u64 len, u64 *entry)
{
	u64 n = vd_ceil_shift(len, v->header.block_shift);
	u64 block = pos >> v->header.block_shift;

	*entry = v->map.pos + 4 * block;
	n = min_t(u64, n, v->map.count - block);
	return (u32)min_t(u64, n, (VD_META_BLOCK - (*entry & (VD_META_BLOCK - 1))) / 4);
}

static int get_entry(struct vd_segment *seg, u64 entry, u32 i, u32 *value)
{
	u8 raw[4];
	int ret = vd_meta_read(seg->meta, seg->file, entry + 4 * (u64)i, raw, sizeof(raw), 0);

	if (!ret)
		*value = get_unaligned_le32(raw);
	return ret;
}

static int check_slot(const struct vd_segment *seg, const struct vdi *v, u32 slot)
{
	if (vdi_slot_ok(&v->header, slot, READ_ONCE(seg->file->size)))
		return 0;
	return vd_corrupt(seg, "a block is in slot %u, past the end of the file", slot);
}

/* A writer may have cut the file's last slot: now it becomes whole. */
static int complete_slot(struct vd_segment *seg, struct vdi *v, u32 slot)
{
	int ret = check_slot(seg, v, slot);

	if (!ret)
		ret = vd_space_cover(seg->chain, &v->space,
				     vdi_slot_pos(&v->header, slot) + v->header.block);
	return ret ? ret : -EAGAIN;
}

/* *@n ends where a block has a slot already. */
static int clip_free(struct vd_segment *seg, struct vdi *v, u64 entry, u32 *n)
{
	u32 i, value = 0;
	int ret;

	for (i = 0; i < *n; i++) {
		ret = get_entry(seg, entry, i, &value);
		if (ret)
			return ret;
		if (vdi_is_slot(value))
			break;
	}
	if (!i)
		return complete_slot(seg, v, value);
	*n = i;
	return 0;
}

/*
 * Where all blocks are in use and one that was given up gets its next slot before a commit,
 * that would be one more than there are blocks. VirtualBox refuses such an image until the
 * end of writing has filled the hole: so who can wait for the slot that was given up does.
 */
static int choose(struct vd_segment *seg, const struct vdi *v, struct vd_alloc *alloc)
{
	u32 slots = vdi_slots(v), blocks = v->header.blocks;

	if (READ_ONCE(v->space.nr_free))
		return 0;
	if (slots < blocks)
		alloc->room = min(alloc->room, (blocks - slots) * v->slot);
	else if (alloc->flags & VD_ALLOC_CHOOSY && vd_space_coming(seg->chain))
		return -EXFULL;
	return 0;
}

static int take_slots(struct vd_segment *seg, struct vdi *v, struct vd_alloc *alloc)
{
	bool zeroed = false;
	int ret;

	ret = choose(seg, v, alloc);
	if (ret)
		return ret;
	ret = vd_space_take(seg->chain, &v->space, v->slot, v->slot, &alloc->file_pos,
			    &alloc->room, &zeroed);
	if (ret)
		return ret;
	ret = count_slots(seg, v);
	if (ret) {
		vd_space_return(seg->chain, &v->space, alloc->file_pos, alloc->room);
		return ret;
	}
	alloc->file = seg->file;
	alloc->flags = zeroed ? VD_ALLOC_ZEROED : 0;
	return 0;
}

int vdi_reserve(struct vd_segment *seg, u64 pos, u64 len, struct vd_alloc *alloc)
{
	struct vdi *v = seg->priv;
	u64 entry;
	u32 n = run_at(v, pos, len, &entry);
	int ret;

	ret = clip_free(seg, v, entry, &n);
	if (!ret)
		ret = vdi_pin(seg, entry, 4 * n, VDI_RANK_MAP, &alloc->pin[0]);
	if (ret)
		return ret;
	alloc->room = (u64)n << v->header.block_shift;
	ret = take_slots(seg, v, alloc);
	if (ret)
		vd_meta_unpin(seg->meta, &alloc->pin[0]);
	return ret;
}

void vdi_publish(struct vd_segment *seg, struct vd_alloc *alloc)
{
	const struct vdi *v = seg->priv;
	const struct vd_meta_pin *pin = &alloc->pin[0];
	u32 n = (u32)(alloc->room >> v->header.block_shift);
	u32 i, slot = (u32)((alloc->file_pos - v->header.data_pos) >> v->header.block_shift);

	for (i = 0; i < n; i++)
		vd_meta_set32(seg->meta, pin, pin->pos + 4 * (u64)i, slot + i);
}

/* --- discard --- */

/* What entry @value becomes, or itself. Without a parent a free block reads zeros. */
static u32 cleared(const struct vd_segment *seg, u32 value, unsigned int flags)
{
	const struct vdi *v = seg->priv;
	bool parent = seg->chain->nr_images > 1 || vdi_has_parent(&v->header);

	if (vdi_is_slot(value))
		return VDI_ZERO;
	return value == VDI_FREE && parent && flags & VD_CLEAR_ZERO ? VDI_ZERO : value;
}

static int clear_entry(struct vd_segment *seg, struct vdi *v, const struct vd_meta_pin *pin, u32 i,
		       u64 guest, unsigned int flags)
{
	u32 value;
	int ret;

	ret = get_entry(seg, pin->pos, i, &value);
	if (ret || cleared(seg, value, flags) == value)
		return ret;
	if (vdi_is_slot(value))
		ret = check_slot(seg, v, value);
	if (ret)
		return ret;
	vd_meta_set32(seg->meta, pin, pin->pos + 4 * (u64)i,
		      vd_bug(VD_BUG_FREE_ENTRY) ? VDI_FREE : VDI_ZERO);
	if (vdi_is_slot(value))
		vd_space_free(seg->chain, &v->space, vdi_slot_pos(&v->header, value), v->slot,
			      guest);
	return 0;
}

/* A run that has nothing to clear costs no write. */
static int has_work(struct vd_segment *seg, u64 entry, u32 n, unsigned int flags)
{
	u32 i, value;
	int ret;

	for (i = 0; i < n; i++) {
		ret = get_entry(seg, entry, i, &value);
		if (ret || cleared(seg, value, flags) != value)
			return ret ? ret : 1;
	}
	return 0;
}

int vdi_discard(struct vd_segment *seg, u64 pos, u64 len, unsigned int flags, u64 *done)
{
	struct vdi *v = seg->priv;
	struct vd_meta_pin pin;
	u64 entry;
	u32 i, n;
	int ret;

	/* A fixed image keeps its slots; they are zeroed where they are. */
	if (v->header.type == VDI_TYPE_FIXED)
		return -EOPNOTSUPP;
	n = run_at(v, pos, len, &entry);
	*done = min(len, (u64)n << v->header.block_shift);
	ret = has_work(seg, entry, n, flags);
	if (ret <= 0)
		return ret;
	ret = vdi_pin(seg, entry, 4 * n, VDI_RANK_MAP, &pin);
	if (ret)
		return ret;
	for (i = 0; !ret && i < n; i++)
		ret = clear_entry(seg, v, &pin, i, pos + ((u64)i << v->header.block_shift), flags);
	vd_meta_unpin(seg->meta, &pin);
	return ret;
}
