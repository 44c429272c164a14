// SPDX-License-Identifier: GPL-2.0-only
/*
 * One flat table of 32-bit slot numbers: FREE falls through to the parent, ZERO
 * hides it, anything else is a slot of the file (formats/vdi: read path).
 */
#include "vdi.h"

int vdi_map(struct vd_segment *seg, u64 pos, u64 len, unsigned int flags, struct vd_extent *ext)
{
	const struct vdi *v = seg->priv;
	const struct vdi_header *h = &v->header;
	u64 block = pos >> h->block_shift, in_block = pos & (h->block - 1);
	u64 size;
	u32 slot;
	int ret;

	ret = vd_table_get32(&v->map, block, flags, &slot);
	if (ret)
		return ret;
	len = min(len, h->block - in_block);
	if (slot == VDI_FREE)
		return vd_extent_hole(ext, len);
	if (slot == VDI_ZERO)
		return vd_extent_zero(ext, len);
	/* Not before the entry: who has published it meanwhile may have grown the file for it. */
	size = READ_ONCE(seg->file->size);
	if (!vdi_slot_ok(h, slot, size))
		return vd_corrupt(seg, "block %llu is in slot %u, past the end of the file (%llu bytes)",
				  block, slot, size);
	return vd_extent_unit(seg, vdi_slot_pos(h, slot), in_block, len, ext);
}
