// SPDX-License-Identifier: GPL-2.0-only
/*
 * Names of formats. Which backends are there is each world's own matter: the
 * kernel loads modules, user space has a table of all (port/).
 */
#include "vdisk/format.h"

static const char *const names[] = {
	[VDISK_FORMAT_RAW] = "raw",
	[VDISK_FORMAT_VMDK] = "vmdk",
};

static_assert(ARRAY_SIZE(names) == __VDISK_FORMAT_END, "every format has a name");

const char *vd_format_name(u32 id)
{
	/* The unspecified format has no name, so its slot is NULL. */
	return id < ARRAY_SIZE(names) ? names[id] : NULL;
}
VD_EXPORT(vd_format_name);
