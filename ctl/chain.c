// SPDX-License-Identifier: GPL-2.0-only
/* An image set as a vd_chain of this process: info, map, cat. */
#include <errno.h>
#include <stdlib.h>
#include "image-set.h"
#include "vdisk/ufile.h"

void set_tables(const struct image_set *set, struct vdisk_image_desc *images)
{
	u32 i;

	memset(images, 0, set->nr_images * sizeof(*images));
	for (i = 0; i < set->nr_images; i++) {
		images[i].format = set->images[i].format;
		images[i].size = set->images[i].size;
	}
}

/*
 * Damage that is found while mapping is told to the log, and only its errno to
 * the caller; keep the sentence for whoever reports. The last one: those before
 * it did no harm, as there was another copy to ask.
 */
static char complaint[VD_ERROR_TEXT];

static void keep_complaint(const char *text)
{
	snprintf(complaint, sizeof(complaint), "%s", text);
}

/* The segment that an error's text is about, or nr_segs. */
static u32 find_segment(const struct image_set *set, const struct vd_error *err)
{
	unsigned long long start;
	unsigned int image, nr;

	if (sscanf(err->text, "image %u, segment at byte %llu:", &image, &start) == 2) {
		for (nr = 0; nr < set->nr_segs; nr++)
			if (set->segs[nr].image == image && set->segs[nr].start == start)
				break;
		return nr;
	}
	if (sscanf(err->text, "image %u, segment %u:", &image, &nr) == 2)
		return min(nr, set->nr_segs);
	/* Where there is one only, its number is left out. */
	return set->nr_segs == 1 && (err->code == -EUCLEAN || err->code == -EOPNOTSUPP) ? 0 :
	       set->nr_segs;
}

/* Core and kernel know segments by number or place; the user knows files. */
void hint_extent(const struct image_set *set, const struct vd_error *err)
{
	u32 nr = find_segment(set, err);
	u32 member = nr < set->nr_segs ? set->segs[nr].member : VDISK_NO_MEMBER;

	if (member < set->nr_members && member != set->images[0].member)
		ctl_hint("that extent is %s", set->members[member].path);
}

int chain_error(int err, const struct image_set *set, u64 pos)
{
	struct vd_error found = { .code = err };
	bool damaged = err == -EUCLEAN;
	int ret;

	if (err == -EACCES)
		return ctl_error(CTL_FAIL, "no_access", set->images[0].path,
				 "at byte %llu of the disk: an extent that the image marks NOACCESS",
				 (unsigned long long)pos);
	ret = ctl_error(damaged ? CTL_IMAGE : CTL_FAIL, damaged ? "image_damaged" : "io",
			set->images[0].path,
			"at byte %llu of the disk: %s%s%s", (unsigned long long)pos,
			damaged ? complaint : "", damaged && complaint[0] ? ": " : "",
			strerror(-err));
	if (damaged) {
		memcpy(found.text, complaint, sizeof(found.text));
		hint_extent(set, &found);
	}
	return ret;
}

int chain_open(const struct image_set *set, struct open_chain *out)
{
	struct vdisk_image_desc images[VDISK_MAX_IMAGES];
	struct vd_error err = { 0 };
	struct vd_chain_desc desc = {
		.images = images,
		.nr_images = set->nr_images,
		.segments = set->segs,
		.nr_segments = set->nr_segs,
		.patches = set->patches,
		.nr_patches = set->nr_patches,
	};
	u32 i;
	int ret;

	vd_log_hook = keep_complaint;
	memset(out, 0, sizeof(*out));
	out->files = xrealloc(NULL, set->nr_members + 1, sizeof(*out->files));
	for (i = 0; i < set->nr_members; i++) {
		out->files[i] = vd_ufile_fd(set->members[i].fd, set->members[i].writable, &err);
		if (!out->files[i])
			goto err;
		out->files[i]->index = i;
		out->nr_files++;
	}
	set_tables(set, images);
	desc.files = out->files;
	desc.nr_files = out->nr_files;
	if (!vd_chain_open(&desc, &out->chain, &err))
		return 0;
err:
	chain_close(out);
	ret = ctl_vd_error(&err, set->images[0].path);
	hint_extent(set, &err);
	return ret;
}

void chain_close(struct open_chain *open)
{
	if (open->chain)
		vd_chain_close(open->chain);
	while (open->nr_files)
		vd_ufile_free(open->files[--open->nr_files]);
	free(open->files);
	memset(open, 0, sizeof(*open));
}
