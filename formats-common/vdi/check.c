// SPDX-License-Identifier: GPL-2.0-only
/* Checking a VDI (formats/vdi: check). User space only. */
#include "check.h"

bool vdi_check_take(struct vdi_check *c, u32 slot)
{
	u64 bit = 1ULL << slot % 64;
	bool taken = c->bits[slot / 64] & bit;

	c->bits[slot / 64] |= bit;
	return taken;
}

/* Of the oldest headers nothing is written. */
static bool can_write(const struct vdi_check *c)
{
	return c->header.version != VDI_VERSION_0_2;
}

void vdi_check_changed(struct vdi_check *c, enum vd_change how, u32 block)
{
	u64 pos = (u64)block << c->header.block_shift;
	u64 end = min(c->header.size, pos + c->header.block);

	/* Entries past the disk's end are nobody's. */
	if (end <= pos || !can_write(c))
		return;
	if (how == VD_CHANGE_ALTERED)
		c->out->altered++;
	if (c->out->changed)
		c->out->changed(c->out->ctx, how, pos, end - pos);
}

/* --- the header --- */

static void check_uuids(struct vdi_check *c)
{
	const struct vdi_header *h = &c->header;

	if (vd_uuid_is_none(h->uuid))
		vd_check_found(c->out, VD_FINDING_CORRUPT, can_write(c),
			       "header: the image has no UUID");
	if (vd_uuid_is_none(h->mod_uuid))
		vd_check_found(c->out, VD_FINDING_CORRUPT, can_write(c),
			       "header: the image has no modification UUID");
	if (h->type == VDI_TYPE_DIFF && vd_uuid_is_none(h->parent_uuid))
		vd_check_found(c->out, VD_FINDING_CORRUPT, false,
			       "header: a differencing image that names no parent");
	if (h->type != VDI_TYPE_DIFF && h->type != VDI_TYPE_UNDO &&
	    !vd_uuid_is_none(h->parent_uuid))
		vd_check_found(c->out, VD_FINDING_CORRUPT, false,
			       "header: the type says that it has no parent, but one is named");
}

static void check_header(struct vdi_check *c, u64 len)
{
	const struct vdi_header *h = &c->header;

	if (h->size < len)
		vd_check_found(c->out, VD_FINDING_CORRUPT, false,
			       "header: the disk has %llu bytes, but the segment covers %llu",
			       h->size, len);
	check_uuids(c);
	if (h->flags & ~VDI_FLAGS)
		vd_check_found(c->out, VD_FINDING_NOTE, false, "header: flags 0x%x are unknown",
			       h->flags & ~VDI_FLAGS);
	if (!!(h->flags & VDI_FLAG_DIFF) > (h->type == VDI_TYPE_DIFF) ||
	    (h->flags & VDI_FLAG_FIXED && h->type == VDI_TYPE_DIFF))
		vd_check_found(c->out, VD_FINDING_CORRUPT, false,
			       "header: flags 0x%x contradict the type, %s", h->flags,
			       vdi_type_name(h->type));
	if (h->disk_bytes != h->size)
		vd_check_found(c->out, VD_FINDING_NOTE, false,
			       "header: the disk's %llu bytes end inside a sector", h->disk_bytes);
	if (h->old_sector != VD_SECTOR)
		vd_check_found(c->out, VD_FINDING_NOTE, false,
			       "header: sectors of %u bytes; others want 512 there", h->old_sector);
	if (h->blocks > vd_ceil_shift(h->disk_bytes, h->block_shift))
		vd_check_found(c->out, VD_FINDING_NOTE, false,
			       "header: %u blocks, more than the disk needs", h->blocks);
}

/* --- the map --- */

static int check_entry(void *ctx, u32 block, u32 slot)
{
	struct vdi_check *c = ctx;
	int ret = 0;

	if (!(block & 0xffff))
		ret = vd_check_progress(c->out, c->err, block, c->header.blocks);
	if (ret || !vdi_is_slot(slot))
		return ret;
	if (slot >= c->slots) {
		vd_check_found(c->out, VD_FINDING_CORRUPT, can_write(c),
			       "block %u is in slot %u, past the end of the file; what it held is lost",
			       block, slot);
		vdi_check_changed(c, VD_CHANGE_ALTERED, block);
		return 0;
	}
	c->out->used_units++;
	if (vdi_check_take(c, slot)) {
		c->doubles++;
		vd_check_found(c->out, VD_FINDING_CORRUPT, can_write(c),
			       "block %u shares slot %u with another one", block, slot);
		vdi_check_changed(c, VD_CHANGE_COPIED, block);
	}
	c->high = max(c->high, slot + 1);
	return 0;
}

/* Slots below the highest that nobody has. */
static u32 count_holes(const struct vdi_check *c)
{
	u64 i, words = ((u64)c->high + 63) / 64, bits;
	u32 used = 0;

	for (i = 0; i < words; i++)
		for (bits = c->bits[i]; bits; bits &= bits - 1)
			used++;
	return c->high - used;
}

static void check_space(struct vdi_check *c)
{
	const struct vdi_header *h = &c->header;
	u64 slot = (u64)h->block + h->extra;
	u32 holes = count_holes(c);

	/* Without a slot the file may end earlier than the first would begin. */
	c->out->end = c->high ? h->data_pos + c->high * slot : min(h->data_pos, c->file->size);
	c->out->leaked = holes * slot;
	if (holes)
		vd_check_found(c->out, VD_FINDING_LEAK, false,
			       "%u slots of the file are nobody's; vdctl compact gives them back",
			       holes);
	if (h->allocated < c->high)
		vd_check_found(c->out, VD_FINDING_UNCLEAN, can_write(c),
			       "header: counts %u slots, but %u are in use: other programs would write over some of them",
			       h->allocated, c->high);
	else if (h->allocated > c->high)
		vd_check_found(c->out, VD_FINDING_LEAK, can_write(c),
			       "header: counts %u slots, but the highest in use is number %u",
			       h->allocated, c->high);
	if (c->out->end > c->file->size)
		vd_check_found(c->out, VD_FINDING_UNCLEAN, can_write(c),
			       "the file ends at byte %llu, inside its last slot, which ends at %llu",
			       c->file->size, c->out->end);
}

/* --- the run --- */

static int init_slots(struct vdi_check *c)
{
	c->slots = vdi_slots_in(&c->header, c->file->size);
	c->bits = vd_zalloc(vdi_check_bytes(c));
	return c->bits ? 0 : vd_fail(c->err, -ENOMEM, "no memory for %u slots", c->slots);
}

static int run(struct vdi_check *c, u64 len)
{
	int ret;

	check_header(c, len);
	c->out->unit = c->header.block;
	c->out->units = vd_ceil_shift(c->header.size, c->header.block_shift);
	ret = vdi_walk(c->file, &c->header, check_entry, c);
	/* Who was asked to stop has said so; a file may fail with any error. */
	if (ret)
		return vd_fail(c->err, ret, "the map cannot be read");
	check_space(c);
	return c->out->flags & VD_CHECK_REPAIR && can_write(c) ? vdi_repair(c) : 0;
}

int vdi_check(struct vd_file *file, u32 kind, u64 len, struct vd_check *check, struct vd_error *err)
{
	struct vdi_check c = {
		.file = file, .out = check, .err = err, .fix = { .file = file, .err = err },
	};
	int ret;

	vd_check_begin(check);
	if (kind != VDISK_SEG_VDI)
		return vd_fail(err, -EINVAL, "vdi has no segment kind 0x%x", kind);
	/* Nothing in the file says that a writer was at work. */
	if (check->flags & VD_CHECK_IF_MARKED)
		return 0;
	if (check->flags & VD_CHECK_REPAIR && !file->writable)
		return vd_fail(err, -EROFS, "the file is not open for writing");
	ret = vdi_header_read(file, &c.header, err);
	if (!ret)
		ret = init_slots(&c);
	if (!ret)
		ret = run(&c, len);
	vd_free(c.bits);
	return ret;
}
