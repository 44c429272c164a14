// SPDX-License-Identifier: GPL-2.0-only
/*
 * Repairing a VDI (formats/vdi: repair). User space only.
 *
 *	the counter	over all that will be in use, durable: who opens the image now
 *			appends behind it
 *	copies		of slots that two blocks share, durable
 *	entries		that name the copies; those that lead nowhere become ZERO, for
 *			FREE would show what the parent has
 *	the header	counter, UUIDs, in one sector
 *
 * It may stop after each of them: a second run finds what the first has left.
 */
#include "check.h"

#define COPY_BYTES	65536U
#define BATCH		128U

/* --- writing --- */

static int patch32(struct vdi_check *c, u64 pos, u32 value)
{
	u8 raw[4];

	put_unaligned_le32(value, raw);
	return vd_fix_patch(&c->fix, pos, raw, sizeof(raw));
}

static int patch_entry(struct vdi_check *c, u32 block, u32 slot)
{
	return patch32(c, c->header.map_pos + 4 * (u64)block, slot);
}

/* --- shared slots --- */

/**
 * struct repair - the second walk
 * @batch: blocks whose copies are not shown yet; their slots are consecutive, the last
 *	before @c->next
 */
struct repair {
	struct vdi_check *c;
	u8 *buf;
	u32 batch[BATCH];
	u32 nr;
};

static int copy_slot(struct repair *r, u32 from, u32 to)
{
	struct vdi_check *c = r->c;
	const struct vdi_header *h = &c->header;
	u64 slot = (u64)h->block + h->extra, done;
	u64 src = h->data_pos + from * slot, dst = h->data_pos + to * slot;
	u32 step;
	int ret = vd_fix_extend(&c->fix, dst + slot);

	for (done = 0; !ret && done < slot; done += step) {
		step = (u32)min_t(u64, slot - done, COPY_BYTES);
		ret = vd_file_read(c->file, src + done, r->buf, step);
		if (!ret)
			ret = vd_fix_write(&c->fix, dst + done, r->buf, step);
		if (ret)
			vd_fail(c->err, ret, "slot %u cannot be copied to slot %u", from, to);
	}
	return ret;
}

static int show_batch(struct repair *r)
{
	struct vdi_check *c = r->c;
	u32 i;
	int ret = 0;

	if (!r->nr)
		return 0;
	ret = vd_fix_flush(&c->fix);
	for (i = 0; !ret && i < r->nr; i++)
		ret = patch_entry(c, r->batch[i], c->next - r->nr + i);
	r->nr = 0;
	return ret ? ret : vd_fix_flush(&c->fix);
}

static int repair_entry(void *ctx, u32 block, u32 slot)
{
	struct repair *r = ctx;
	struct vdi_check *c = r->c;
	int ret = 0;

	if (!(block & 0xfff))
		ret = vd_check_progress(c->out, c->err, block, c->header.blocks);
	if (ret || !vdi_is_slot(slot))
		return ret;
	if (slot >= c->slots)
		return patch_entry(c, block, VDI_ZERO);
	if (!vdi_check_take(c, slot))
		return 0;
	ret = copy_slot(r, slot, c->next);
	if (ret)
		return ret;
	r->batch[r->nr++] = block;
	c->next++;
	return r->nr < BATCH ? 0 : show_batch(r);
}

static int repair_map(struct vdi_check *c)
{
	struct repair r = { .c = c };
	int ret, last;

	r.buf = vd_zalloc(COPY_BYTES);
	if (!r.buf)
		return vd_fail(c->err, -ENOMEM, "out of memory");
	memset(c->bits, 0, vdi_check_bytes(c));
	ret = vdi_walk(c->file, &c->header, repair_entry, &r);
	/* Also when it was stopped: copies are made to be shown. */
	last = !ret || ret == -EINTR ? show_batch(&r) : 0;
	vd_free(r.buf);
	if (!ret)
		ret = last ? last : vd_fix_flush(&c->fix);
	return ret ? vd_fail(c->err, ret, "the map cannot be repaired") : 0;
}

/* --- the header --- */

/* Who opens it in mid-repair appends behind all of it. */
static int reserve(struct vdi_check *c)
{
	u64 need = (u64)c->high + c->doubles;
	int ret;

	c->next = c->high;
	if (need >= VDI_ZERO)
		return vd_fail(c->err, -EFBIG, "there are no numbers for %u more slots",
			       c->doubles);
	if (need <= c->header.allocated)
		return 0;
	ret = patch32(c, VDI_ALLOCATED_POS, (u32)need);
	return ret ? ret : vd_fix_flush(&c->fix);
}

static void make_uuid(const u8 *random, u8 *out)
{
	memcpy(out, random, VD_UUID_BYTES);
	/* Version 4, random; in the order that VDI keeps it in. */
	out[7] = (u8)((out[7] & 0x0f) | 0x40);
	out[8] = (u8)((out[8] & 0x3f) | 0x80);
}

/* Counter, UUID and modification UUID stand in a row, and are written at once. */
static int repair_header(struct vdi_check *c, bool merge)
{
	const u32 from = VDI_ALLOCATED_POS, uuid = offsetof(struct vdi_disk_v1, uuid) - from;
	const u32 mod_uuid = offsetof(struct vdi_disk_v1, mod_uuid) - from;
	const struct vdi_header *h = &c->header;
	u8 row[4 + 2 * VD_UUID_BYTES], old[sizeof(row)];
	int ret;

	static_assert(offsetof(struct vdi_disk_v1, mod_uuid) + VD_UUID_BYTES -
		      VDI_ALLOCATED_POS == sizeof(row));
	ret = vd_file_read(c->file, from, row, sizeof(row));
	if (ret)
		return vd_fail(c->err, ret, "header: cannot be read");
	memcpy(old, row, sizeof(row));
	put_unaligned_le32(max(c->next, c->high), row);
	if (!merge && vd_uuid_is_none(h->uuid))
		make_uuid(c->out->random, row + uuid);
	if (!merge && vd_uuid_is_none(h->mod_uuid))
		make_uuid(c->out->random + VD_UUID_BYTES, row + mod_uuid);
	if (!memcmp(old, row, sizeof(row)))
		return 0;
	ret = vd_fix_patch(&c->fix, from, row, sizeof(row));
	return ret ? ret : vd_fix_flush(&c->fix);
}

int vdi_repair(struct vdi_check *c)
{
	struct vd_check *out = c->out;
	bool merge = out->flags & VD_CHECK_MERGE;
	int ret = 0;

	c->next = c->high;
	if (out->save && !merge && out->repaired[VD_FINDING_CORRUPT])
		ret = out->save(out->ctx, c->file, 0, c->header.data_pos, c->err);
	if (!ret && out->end > c->file->size)
		ret = vd_fix_extend(&c->fix, out->end);
	if (!ret && !merge && out->repaired[VD_FINDING_CORRUPT]) {
		ret = reserve(c);
		if (!ret)
			ret = repair_map(c);
	}
	if (!ret)
		ret = repair_header(c, merge);
	return ret;
}
