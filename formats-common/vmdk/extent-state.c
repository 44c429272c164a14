// SPDX-License-Identifier: GPL-2.0-only
/*
 * May an extent be written, as far as its own header tells? Every extent of a
 * disk has a header, and they need not agree. User space only.
 */
#include "vdisk/layout.h"
#include "vmdk.h"

const char *vmdk_header_reason(const struct vmdk_header *h)
{
	if (h->flags & VMDK_FLAG_COMPRESSED)
		return VMDK_REASON_COMPRESSED;
	if (h->odd_flags)
		return "the extent's header has flags that are unknown";
	return NULL;
}

/* Writers of streams use the same number for something else. */
bool vmdk_header_tracked(const struct vmdk_header *h)
{
	return h->version == VMDK_VERSION_TRACKED && !(h->flags & VMDK_FLAG_COMPRESSED);
}

static void state_read_only(struct vd_extent_state *out, const char *reason)
{
	out->flags |= VD_LAYOUT_RDONLY;
	memcpy(out->ro_reason, reason, min(strlen(reason), sizeof(out->ro_reason) - 1));
}

static int state_hosted(struct vd_file *file, struct vd_extent_state *out, struct vd_error *err)
{
	struct vmdk_header h;
	int ret;

	ret = vmdk_header_read(file, &h, err);
	if (ret)
		return ret;
	if (h.unclean)
		out->flags |= VD_LAYOUT_UNCLEAN;
	if (vmdk_header_reason(&h)) {
		state_read_only(out, vmdk_header_reason(&h));
	} else if (vmdk_header_tracked(&h)) {
		state_read_only(out, VMDK_REASON_TRACKED);
		out->flags |= VD_LAYOUT_ONLY_CBT;
	}
	return 0;
}

static int state_cowd(struct vd_file *file, struct vd_extent_state *out, struct vd_error *err)
{
	struct cowd c;
	int ret;

	ret = cowd_header_read(file, &c, err);
	if (!ret && c.unclean)
		out->flags |= VD_LAYOUT_UNCLEAN;
	return ret;
}

int vmdk_extent_state(struct vd_file *file, u32 kind, struct vd_extent_state *out,
		      struct vd_error *err)
{
	u8 magic[4] = { 0 };
	int ret = 0;

	memset(out, 0, sizeof(*out));
	if (kind == VDISK_SEG_VMDK_COWD)
		return state_cowd(file, out, err);
	if (kind != VDISK_SEG_VMDK_SPARSE)
		return 0;
	if (file->size >= sizeof(magic))
		ret = vd_file_read(file, 0, magic, sizeof(magic));
	if (ret)
		return vd_fail(err, ret, "header cannot be read");
	if (get_unaligned_le32(magic) == COWD_MAGIC)
		return state_cowd(file, out, err);
	return state_hosted(file, out, err);
}
