// SPDX-License-Identifier: GPL-2.0-only
/* Is this file a VMDK, and which of its kinds? By content only. User space only. */
#include "vdisk/caps.h"
#include "vdisk/format.h"
#include "descriptor.h"
#include "vmdk.h"

#define PROBE_BYTES 2048

static const char *probe_hosted(const u8 *data, u32 len)
{
	const struct vmdk_disk_header *disk = (const void *)data;

	if (len >= sizeof(*disk) && get_unaligned_le32(&disk->flags) & VMDK_FLAG_COMPRESSED)
		return "streamOptimized";
	return "sparse";
}

static const char *probe_kind(const u8 *data, u32 len)
{
	u32 magic = len >= 4 ? get_unaligned_le32(data) : 0;

	if (magic == VMDK_MAGIC || magic == VMDK_MAGIC_UNFINISHED)
		return probe_hosted(data, len);
	if (magic == COWD_MAGIC)
		return "vmfsSparse";
	if (len >= 8 && get_unaligned_le64(data) == SESPARSE_MAGIC)
		return "seSparse";
	if (vmdk_descriptor_signature((const char *)data, len))
		return "descriptor";
	return NULL;
}

int vmdk_probe(struct vd_file *file, struct vd_probe *out)
{
	u32 len = (u32)min_t(u64, file->size, PROBE_BYTES);
	u8 *data;
	int ret = 0;

	out->score = 0;
	data = vd_zalloc(PROBE_BYTES);
	if (!data)
		return -ENOMEM;
	if (len)
		ret = vd_file_read(file, 0, data, len);
	if (!ret) {
		out->subformat = probe_kind(data, len);
		out->score = out->subformat ? 100 : 0;
	}
	vd_free(data);
	return ret;
}
