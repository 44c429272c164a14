// SPDX-License-Identifier: GPL-2.0-only
/* Is this file a VDI? The signature says so; the banner is text for people. User space only. */
#include "vdi.h"

int vdi_probe(struct vd_file *file, struct vd_probe *out)
{
	struct vdi_disk_pre pre;
	int ret;

	out->score = 0;
	out->subformat = NULL;
	if (file->size < sizeof(pre))
		return 0;
	ret = vd_file_read(file, 0, &pre, sizeof(pre));
	if (!ret && get_unaligned_le32(&pre.signature) == VDI_SIGNATURE) {
		out->score = 100;
		out->subformat = "vdi";
	}
	return ret;
}
