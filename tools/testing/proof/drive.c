// SPDX-License-Identifier: GPL-2.0-only
/*
 * Opens a chain of which nothing is known but the kinds of its segments, and asks
 * its map for whatever there is to ask.
 *
 * KIND: of the segment; NEXT: of another one, if there is; IMAGES: how many images
 * have them; NR_FILES, PATCHES: how many of these the caller has; WRONG: he may also
 * have wrong counts. FILE_SIZE: if it is defined, the size of every file, and the map
 * must not lead past it.
 */
#include "any.h"
#include "vdisk/caps.h"
#include "vdisk/image.h"

#define FILES	IMAGES
#ifndef NR_FILES
#define NR_FILES FILES
#endif
#ifndef WRONG
#define WRONG	0
#endif
#ifndef PATCHES
#define PATCHES	0
#endif
/* Kinds that nobody knows. */
#define UNKNOWN_LOW	any_of(VDISK_SEG_NOACCESS + 1, VDISK_SEG_RAW - 1)
#define UNKNOWN_RAW	any_of(VDISK_SEG_RAW + 1, VDISK_SEG_VMDK_SPARSE - 1)
#define UNKNOWN_VMDK	any_of(VDISK_SEG_VMDK_SESPARSE + 1, VDISK_SEG_VDI - 1)
#define UNKNOWN_HIGH	any_of(VDISK_SEG_VDI + 1, U32_MAX)

#ifdef NEXT
#define SEGMENTS 2U
#else
#define SEGMENTS 1U
#define NEXT	KIND
#endif

static void any_files(struct vd_file *file, struct vd_file **files)
{
	u32 i;

	for (i = 0; i < FILES; i++) {
#ifdef FILE_SIZE
		file[i].size = FILE_SIZE;
#else
		file[i].size = any_u64();
#endif
		file[i].index = i;
		file[i].writable = maybe();
		file[i].fixed = maybe();
		files[i] = maybe() ? &file[i] : NULL;
	}
}

static void any_images(struct vdisk_image_desc *images)
{
	u32 i;

	for (i = 0; i < IMAGES; i++) {
		images[i].format = any_u32();
		images[i].flags = any_u32();
		images[i].size = any_u64();
	}
}

static void any_segments(struct vdisk_segment_desc *segments)
{
	u32 i;

	for (i = 0; i < SEGMENTS; i++) {
		segments[i].image = min(i, IMAGES - 1U);
		segments[i].kind = i ? NEXT : KIND;
		segments[i].member = any_u32();
		segments[i].flags = any_u32();
		segments[i].start = any_u64();
		segments[i].len = any_u64();
		segments[i].offset = any_u64();
	}
}

/*
 * What an engine may rely on, whatever the image says. The analysis does not know
 * which of the types it is here, but fields that a type does not have are 0.
 */
static void check_extent(const struct vd_extent *ext)
{
	/*@ assert ext->type <= VD_EXT_PACKED; */
	/*@ assert ext->len % 512 == 0; */
	/*@ assert ext->file == \null || \valid_read(ext->file); */
	/*@ assert ext->file_pos <= VD_CAP_FILE_BYTES; */
	/*@ assert ext->unit_len <= VD_CAP_UNIT_BYTES; */
	/*@ assert ext->packed_len <= VD_CAP_PACKED_BYTES; */
#ifdef FILE_SIZE
	/*@ assert ext->file_pos < FILE_SIZE; */
#endif
}

/*
 * Tables of a length that is not allowed, or a segment that is not of the image
 * whose turn it is: no further than that.
 */
static int open_wrong(struct vd_chain_desc *desc, struct vdisk_segment_desc *segments)
{
	struct vd_error err = { 0 };
	struct vd_chain *chain;
	int ret;

	switch (any_of(0, 7)) {
	case 0:
		desc->nr_images = maybe() ? 0 : any_of(VDISK_MAX_IMAGES + 1, U32_MAX);
		break;
	case 1:
		desc->nr_segments = 0;
		break;
	case 2:
		desc->nr_segments = any_of(VDISK_MAX_SEGMENTS + 1, U32_MAX);
		break;
	case 3:
		desc->nr_files = maybe() ? 0 : any_of(VDISK_MAX_MEMBERS + 1, U32_MAX);
		break;
	case 4:
		segments[0].image = any_of(1, U32_MAX);
		break;
	case 5:
		segments[SEGMENTS - 1].image = any_of(IMAGES, U32_MAX);
		break;
#if IMAGES > 1
	case 6:
		segments[SEGMENTS - 1].image = any_of(0, IMAGES - 2);
		break;
#endif
	default:
		desc->nr_patches = any_of(VDISK_MAX_PATCHES + 1, U32_MAX);
	}
	ret = vd_chain_open(desc, &chain, &err);
	/*@ assert ret < 0; */
	return ret;
}

/* The bytes of a packed unit, as many as there are said to be, or as can matter. */
static void unpack_any(struct vd_segment *seg, const struct vd_extent *ext)
{
	struct vd_payload payload;
	u8 raw[12], some[4];

	if (!seg->format || !seg->format->unpack || !seg->packed)
		return;
	Frama_C_make_unknown((char *)raw, sizeof(raw));
	Frama_C_make_unknown((char *)some, sizeof(some));
	Frama_C_show_each_unpack(seg->format->unpack(seg, ext, NULL, any_of(0, 3), &payload));
	Frama_C_show_each_unpack(seg->format->unpack(seg, ext, some, any_of(4, 11), &payload));
	Frama_C_show_each_unpack(seg->format->unpack(seg, ext, raw, any_of(12, U32_MAX),
						     &payload));
}

static int map_any(struct vd_chain *chain)
{
	struct vd_extent ext;
	int ret;

	ret = vd_map(chain, any_u64(), any_u64(), any_u32(), &ext);
	Frama_C_show_each_map(ret);
	if (ret)
		return ret;
	Frama_C_show_each_extent(ext.type);
	check_extent(&ext);
	unpack_any(&chain->segs[0], &ext);
	return 0;
}

int main(void)
{
	struct vd_file file[FILES];
	struct vd_file *files[FILES];
	struct vdisk_image_desc images[IMAGES];
	struct vdisk_segment_desc segments[SEGMENTS];
	struct vdisk_patch patches[2];
	struct vd_chain_desc desc = {
		.files = files, .images = images, .segments = segments, .patches = patches,
	};
	struct vd_error err = { 0 };
	struct vd_chain *chain;
	int ret;

	any_files(file, files);
	any_images(images);
	any_segments(segments);
	Frama_C_make_unknown((char *)patches, sizeof(patches));
	desc.nr_files = NR_FILES;
	desc.nr_images = IMAGES;
	desc.nr_segments = SEGMENTS;
	desc.nr_patches = PATCHES;
	desc.meta_blocks = any_u32();
	desc.grow_chunk = any_u32();
	/* That it gives back what was put in is a matter of pairs of numbers, not of ranges. */
	desc.resolve_sets = VD_RESOLVE_NONE;
	if (WRONG && maybe())
		return open_wrong(&desc, segments);

	ret = vd_chain_open(&desc, &chain, &err);
	Frama_C_show_each_open(ret);
	if (ret)
		return ret;
	ret = map_any(chain);
	vd_chain_close(chain);
	return ret;
}
