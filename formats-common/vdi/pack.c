// SPDX-License-Identifier: GPL-2.0-only
/*
 * Filling holes (formats/vdi: trim at close). With n slots in use, blocks whose slot is
 * number n or higher move into the holes below, and the file can end after n.
 *
 * Each move is a write like any other: the copy is durable before the entry says so, and
 * the old slot is free after that. Stopping between two moves leaves fewer holes.
 */
#include "vdi.h"

/* Moves between two commits: at most so many, or so many bytes. */
#define BATCH_MOVES	256U
#define BATCH_BYTES	(64U << 20)

/**
 * struct packing - one run
 * @seg: the image
 * @v: its own part
 * @pack: what the caller wants
 * @bits: slots below @high that are in use, or have been when it began
 * @high: one more than the highest slot in use then
 * @keep: slots that there will be
 * @hole: all below it are in use
 * @total: moves that there will have been
 * @batch: moves that no commit has seen
 * @stopped: go_on said so
 */
struct packing {
	struct vd_segment *seg;
	struct vdi *v;
	struct vd_pack *pack;
	u64 *bits;
	u32 high;
	u32 keep;
	u32 hole;
	u64 total;
	u32 batch;
	bool stopped;
};

static bool in_use(const struct packing *p, u32 slot)
{
	return p->bits[slot / 64] >> slot % 64 & 1;
}

static int note_slot(void *ctx, u32 block, u32 value)
{
	struct packing *p = ctx;

	if (vdi_is_slot(value) && value < p->high)
		p->bits[value / 64] |= 1ULL << value % 64;
	return 0;
}

static bool go_on(struct packing *p)
{
	struct vd_pack *pack = p->pack;

	if (!p->stopped && pack->go_on && !pack->go_on(pack->ctx, pack->moved, p->total))
		p->stopped = true;
	return !p->stopped;
}

static bool all_zero(const void *buf, u32 len)
{
	const u8 *b = buf;
	u32 i;

	for (i = 0; i < len; i++)
		if (b[i])
			return false;
	return true;
}

/*
 * -EINTR: asked to stop, and nothing says yet that there is a copy. The cache of metadata
 * may have sectors of slots beside those of the map; nobody reads them there.
 */
static int copy_slot(struct packing *p, u32 from, u32 to)
{
	const struct vdi_header *h = &p->v->header;
	u64 src = vdi_slot_pos(h, from), dst = vdi_slot_pos(h, to);
	struct vd_file *file = p->seg->file;
	struct vd_pack *pack = p->pack;
	u32 done, step;
	int ret = 0;

	for (done = 0; !ret && done < h->block; done += step) {
		step = min(h->block - done, pack->size);
		if (!go_on(p))
			return -EINTR;
		ret = vd_file_read(file, src + done, pack->buf, step);
		if (ret)
			break;
		if (all_zero(pack->buf, step))
			ret = vd_file_zero(file, dst + done, step, true);
		else
			ret = vd_file_write(file, dst + done, pack->buf, step);
	}
	return ret;
}

/* A commit makes room for the entry, if anything does. */
static int pin_entry(struct packing *p, u32 block, struct vd_meta_pin *pin)
{
	u64 pos = p->v->map.pos + 4 * (u64)block;
	int ret = vdi_pin(p->seg, pos, 4, VDI_RANK_MAP, pin);

	if (ret != -EBUSY && ret != -ENOMEM)
		return ret;
	p->batch = 0;
	ret = vd_commit(p->seg->chain);
	return ret ? ret : vdi_pin(p->seg, pos, 4, VDI_RANK_MAP, pin);
}

static int move_block(struct packing *p, u32 block, u32 slot, u32 to)
{
	struct vd_segment *seg = p->seg;
	struct vd_meta_pin pin;
	int ret;

	ret = pin_entry(p, block, &pin);
	if (ret)
		return ret;
	if (vd_bug(VD_BUG_EARLY_MOVE))
		vd_meta_set32(seg->meta, &pin, pin.pos, to);
	ret = copy_slot(p, slot, to);
	if (!ret)
		vd_meta_set32(seg->meta, &pin, pin.pos, to);
	vd_meta_unpin(seg->meta, &pin);
	if (ret)
		return ret;
	vd_space_free(seg->chain, &p->v->space, vdi_slot_pos(&p->v->header, slot), p->v->slot,
		      (u64)block << p->v->header.block_shift);
	if (vd_bug(VD_BUG_EARLY_PUNCH))
		vd_file_punch(seg->file, vdi_slot_pos(&p->v->header, slot), p->v->slot);
	p->pack->moved++;
	p->batch++;
	return 0;
}

static bool batch_full(const struct packing *p)
{
	return p->batch >= BATCH_MOVES || (u64)p->batch * p->v->slot >= BATCH_BYTES;
}

static int pack_entry(void *ctx, u32 block, u32 value)
{
	struct packing *p = ctx;
	int ret;

	if (!vdi_is_slot(value) || value < p->keep)
		return 0;
	while (p->hole < p->keep && in_use(p, p->hole))
		p->hole++;
	/* Slots in use are as many as it keeps, so this one has a hole. */
	if (p->hole == p->keep)
		return vd_corrupt(p->seg, "block %u in slot %u finds no hole", block, value);
	if (!go_on(p))
		return -EINTR;
	ret = move_block(p, block, value, p->hole);
	if (ret)
		return ret;
	p->bits[p->hole / 64] |= 1ULL << p->hole % 64;
	if (!batch_full(p))
		return 0;
	p->batch = 0;
	return vd_commit(p->seg->chain);
}

/* What is a hole still. Slots that were left come back by themselves. */
static void return_holes(struct packing *p)
{
	u32 slot, from = 0;

	for (slot = 0; slot < p->high; slot++) {
		if (!in_use(p, slot))
			continue;
		if (from < slot)
			vd_space_return(p->seg->chain, &p->v->space,
					vdi_slot_pos(&p->v->header, from),
					(u64)(slot - from) * p->v->slot);
		from = slot + 1;
	}
}

static u32 count_moves(const struct packing *p)
{
	u32 slot, n = 0;

	for (slot = 0; slot < p->keep; slot++)
		n += !in_use(p, slot);
	return n;
}

/* The map is the truth: what is free but was forgotten comes to light, too. */
static int run(struct packing *p)
{
	struct vd_segment *seg = p->seg;
	struct vdi *v = p->v;
	int ret;

	ret = vdi_walk(seg->file, &v->header, note_slot, p);
	if (!ret)
		ret = vd_space_cover(seg->chain, &v->space, vdi_slot_pos(&v->header, p->high));
	if (ret)
		return ret;
	vd_space_forget(seg->chain, &v->space, vdi_slot_pos(&v->header, p->high));
	p->total = p->pack->moved + count_moves(p);
	ret = vdi_walk(seg->file, &v->header, pack_entry, p);
	return_holes(p);
	return ret;
}

static bool scan_goes_on(void *ctx, u64 done, u64 total)
{
	return go_on(ctx);
}

int vdi_fill_holes(struct vd_segment *seg, struct vd_pack *pack)
{
	struct vdi *v = seg->priv;
	struct packing p = {
		.seg = seg, .v = v, .pack = pack, .total = pack->moved,
	};
	struct vdi_scan scan = {
		.file = seg->file, .header = &v->header, .go_on = scan_goes_on, .ctx = &p,
	};
	struct vd_error why = { 0 };
	u64 bytes;
	int ret;

	ret = vdi_scan(&scan);
	if (ret)
		return ret;
	if (vdi_scan_verdict(&scan, &why))
		return vd_corrupt(seg, "%s", why.text);
	p.high = scan.high;
	p.keep = scan.used;
	bytes = ((u64)p.high + 63) / 64 * sizeof(*p.bits);
	pack->left = p.keep < p.high;
	if (!pack->left) {
		/* What lies behind may be free, and forgotten. */
		vd_space_forget(seg->chain, &v->space, vdi_slot_pos(&v->header, p.high));
		return 0;
	}
	if (bytes > pack->memory)
		return 0;
	p.bits = bytes <= SIZE_MAX ? vd_zalloc((size_t)bytes) : NULL;
	if (!p.bits)
		return -ENOMEM;
	ret = run(&p);
	if (!ret)
		pack->left = false;
	vd_free(p.bits);
	return ret;
}
