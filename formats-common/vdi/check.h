/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside of check and repair. User space only. */
#ifndef VDI_CHECK_H
#define VDI_CHECK_H

#include "vdisk/fix.h"
#include "vdi-user.h"

/**
 * struct vdi_check - one run
 * @bits: slots that some block has, as far as the walk has come; slots that would lie past
 *	the file's end have none
 * @slots: that the file has, the last perhaps cut short
 * @high: one more than the highest that is named
 * @doubles: blocks whose slot another one before them has
 * @next: where a repair puts the next copy
 */
struct vdi_check {
	struct vd_file *file;
	struct vd_check *out;
	struct vd_error *err;
	struct vd_fix fix;
	struct vdi_header header;
	u64 *bits;
	u32 slots;
	u32 high;
	u32 doubles;
	u32 next;
};

/* Of the bitmap; never none. */
static inline size_t vdi_check_bytes(const struct vdi_check *c)
{
	return ((size_t)c->slots / 64 + 1) * sizeof(*c->bits);
}

/* Notes @slot; had somebody it before? */
bool vdi_check_take(struct vdi_check *c, u32 slot);
void vdi_check_changed(struct vdi_check *c, enum vd_change how, u32 block);

/*
 * repair.c: entries that lead nowhere, blocks that share a slot, after a walk that has
 * counted them; then all that stands in the header. Each step leaves an image that is no
 * worse.
 */
int vdi_repair(struct vdi_check *c);

#endif /* VDI_CHECK_H */
