/* SPDX-License-Identifier: GPL-2.0-only */
/* Other values for keys of a descriptor's disk data base. User space only. */
#ifndef VMDK_EDIT_H
#define VMDK_EDIT_H

#include "vdisk/error.h"
#include "text.h"

/* @value: what shall stand between the quotes; NULL: the key shall not be there. */
struct vmdk_change {
	const char *key;	/* "ddb...." */
	const char *value;
};

/*
 * Apply @nr changes, at most 32, to a text that parses. It ends at its first NUL; no other byte
 * changes but the values, the lines that go, and new ones behind the last of the
 * disk data base, with line ends as that has them. A key that is there twice gets
 * its value twice: readers differ in which one they believe. *@out, freed with
 * vd_free(), is new even if nothing had to change, and has a NUL behind its end.
 */
int vmdk_edit(const char *text, u32 len, const struct vmdk_change *changes, u32 nr, char **out,
	      u32 *out_len, struct vd_error *err);

#endif /* VMDK_EDIT_H */
