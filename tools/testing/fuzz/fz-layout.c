// SPDX-License-Identifier: GPL-2.0-only
/* Layouts: what a backend makes of a text, and what its reader may rely on. */
#include <stdlib.h>

#include "fz-layout.h"
#include "vdisk/checked.h"

/* Headers, a descriptor of 10 MiB in pieces at the worst, lines cost nothing. */
#define LAYOUT_READS	4096U
#define LAYOUT_MEMORY	(4ULL * VD_LAYOUT_MAX)

/* Every byte of it, so that the sanitizer sees where it ends. */
static size_t walk_string(const struct vd_layout *l, vd_str s)
{
	const char *text = vd_layout_str(l, s);

	return text ? strlen(text) : 0;
}

static void walk_place(const char *what, u64 pos, u64 len)
{
	if (!len && pos)
		fz_die("layout: %s at byte %llu, but there is none", what, pos);
	if (!vd_inside(pos, len, VD_CAP_FILE_BYTES + VD_LAYOUT_MAX))
		fz_die("layout: %s at byte %llu", what, pos);
}

void fz_layout_walk(const struct vd_layout *l)
{
	const struct vd_layout_seg *seg = vd_layout_segs(l);
	u64 end = 0;
	u32 i;

	for (i = 0; i < l->nr_segs; i++, seg++) {
		if (seg->start != end || !seg->len || seg->len & (VD_SECTOR - 1))
			fz_die("layout: extent %u is [%llu, +%llu), not from %llu on", i,
			       seg->start, seg->len, end);
		end += seg->len;
		if (walk_string(l, seg->name) >= VDISK_MAX_NAME)
			fz_die("layout: extent %u has a name too long for a path", i);
	}
	if (end != l->props.size || end > VD_CAP_DISK_BYTES)
		fz_die("layout: size %llu, but extents of %llu", l->props.size, end);
	walk_string(l, l->subformat);
	walk_string(l, l->props.parent_name);
	walk_string(l, l->props.comment);
	walk_string(l, l->adapter);
	walk_string(l, l->encoding);
	walk_string(l, l->ro_reason);
	walk_string(l, l->warning);
	walk_string(l, l->cbt_name);
	walk_string(l, l->parent_format);
	walk_place("content id", l->cid_pos, l->cid_len);
	walk_place("long content id", l->long_cid_pos, l->long_cid_len);
	walk_place("modification id", l->mod_uuid_pos, l->mod_uuid_len);
	walk_place("change tracking", l->cbt_pos, l->cbt_len);
}

/* The places are where the text has what they are said to be. */
static void check_digits(struct fz_once *once, u32 file, const struct vd_layout *l)
{
	char digits[16] = { 0 };

	if (!l->cid_len)
		return;
	if (l->cid_len >= sizeof(digits))
		fz_die("layout: content id of %u digits", l->cid_len);
	fz_peek(&once->io, file, l->cid_pos + (u64)fz_mistake("layout-place"), digits, l->cid_len);
	if (strspn(digits, "0123456789abcdefABCDEF") != l->cid_len ||
	    (u32)strtoul(digits, NULL, 16) != l->cid)
		fz_die("layout: content id 0x%x, but the text has '%s'", l->cid, digits);
}

/* A binary one is what the file has there, in the order that Windows keeps it in. */
static void check_mod_uuid(struct fz_once *once, u32 file, const struct vd_layout *l)
{
	u8 found[VD_UUID_BYTES], uuid[VD_UUID_BYTES];

	if (l->mod_uuid_len != VD_UUID_BYTES)
		return;
	fz_peek(&once->io, file, l->mod_uuid_pos + (u64)fz_mistake("layout-id"), found,
		sizeof(found));
	vd_uuid_from_guid(uuid, found);
	if (memcmp(uuid, l->props.mod_uuid, sizeof(uuid)))
		fz_die("layout: the modification id is not what is at byte %llu", l->mod_uuid_pos);
}

int fz_lay_out(struct fz_once *once, u32 file, const struct vd_format *format,
	       struct vd_layout **out, struct vd_error *err)
{
	struct vd_layout *l = NULL;
	int ret;

	*out = NULL;
	fz_call(&once->io, "layout", LAYOUT_READS);
	fz_memory_limit("layout", LAYOUT_MEMORY);
	ret = format->user->layout(&once->io.files[file].file, &l, err);
	fz_memory_limit("run", 0);
	if (ret) {
		fz_check_error("layout", ret, err);
		if (l)
			fz_die("layout: failed, but left one");
		return ret;
	}
	if (vd_layout_check(l, l->total, err))
		fz_die("layout: %s", err->text);
	if (l->format != format->id)
		fz_die("layout: of format %u, not %u", l->format, format->id);
	if (fz_mistake("layout-gap"))
		l->props.size += VD_SECTOR;
	fz_layout_walk(l);
	if (fz_honest(&once->io)) {
		check_digits(once, file, l);
		check_mod_uuid(once, file, l);
	}
	*out = l;
	return 0;
}

static void lay_out(struct fz_once *once, u32 file, const struct vd_format *format)
{
	struct vd_layout *l;
	struct vd_error err = { 0 };

	fz_lay_out(once, file, format, &l, &err);
	fz_renamed(once, file, format, l);
	vd_free(l);
}

static void extent_states(struct fz_once *once, u32 file, const struct fz_backend *b)
{
	const u32 *kind;

	for (kind = b->kinds; *kind != VDISK_NO_MEMBER; kind++) {
		struct vd_extent_state state;
		struct vd_error err = { 0 };
		u64 walk = fz_walk_cap(once, file, *kind);
		int ret;

		if (walk >= FZ_TOO_LONG)
			continue;
		fz_call(&once->io, "extent", 8 + walk);
		ret = b->format->user->extent(&once->io.files[file].file, *kind, &state, &err);
		if (ret)
			fz_check_error("extent", ret, &err);
		else if (strnlen(state.ro_reason, VD_REASON_TEXT) == VD_REASON_TEXT)
			fz_die("extent: a reason without end");
	}
}

void fz_layouts(struct fz_once *once, u32 file)
{
	const struct fz_backend *b;

	for (b = fz_backends; b->format; b++) {
		struct vd_probe probe = { 0 };

		fz_call(&once->io, "probe", 2);
		if (b->format->probe && !b->format->probe(&once->io.files[file].file, &probe) &&
		    (probe.score < 0 || probe.score > 100))
			fz_die("probe: score %d", probe.score);
		if (!b->format->user)
			continue;
		if (b->format->user->layout)
			lay_out(once, file, b->format);
		if (b->format->user->extent)
			extent_states(once, file, b);
	}
}
