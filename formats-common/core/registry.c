// SPDX-License-Identifier: GPL-2.0-only
/*
 * Names of formats. Which backends are there is each world's own matter: the
 * kernel loads modules, user space has a table of all (port/).
 */
#include "vdisk/format.h"

static const char *const names[] = {
	[VDISK_FORMAT_RAW] = "raw",
	[VDISK_FORMAT_VMDK] = "vmdk",
	[VDISK_FORMAT_VDI] = "vdi",
};

static_assert(ARRAY_SIZE(names) == __VDISK_FORMAT_END, "every format has a name");

const char *vd_format_name(u32 id)
{
	/* The unspecified format has no name, so its slot is NULL. */
	return id < ARRAY_SIZE(names) ? names[id] : NULL;
}
VD_EXPORT(vd_format_name);

static const struct {
	u32 kind;
	const char *name;
} kinds[] = {
	{ VDISK_SEG_ZERO, "zero" },
	{ VDISK_SEG_NOACCESS, "noaccess" },
	{ VDISK_SEG_RAW, "flat" },
	{ VDISK_SEG_VMDK_SPARSE, "sparse" },
	{ VDISK_SEG_VMDK_COWD, "cowd" },
	{ VDISK_SEG_VMDK_SESPARSE, "sesparse" },
	{ VDISK_SEG_VDI, "vdi" },
};

const char *vd_kind_name(u32 kind)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		if (kinds[i].kind == kind)
			return kinds[i].name;
	return NULL;
}
