// SPDX-License-Identifier: GPL-2.0-only
/*
 * The block that a layout op answers with: how it is built, and how its
 * receiver makes sure that it is one. User space only.
 */
#include "vdisk/caps.h"
#include "vdisk/checked.h"
#include "vdisk/format.h"
#include "vdisk/layout.h"

#define LAYOUT_SEGF	(VD_LSEG_SELF | VD_LSEG_RDONLY | VD_LSEG_DEVICE)
#define LAYOUT_FLAGS	(VD_LAYOUT_ONLY_CBT | (VD_LAYOUT_ONLY_CBT - 1))

/* Digits of content ids; a line of a descriptor with its end. */
#define LAYOUT_CID	8U
#define LAYOUT_LONG_CID	32U
#define LAYOUT_LINE	(VMDK_CAP_LINE + 2U)

/**
 * struct vd_layout_builder - a layout in the making
 * @head: counts and offsets are kept current; strings are offsets into @pool
 * @segs, @max_segs: what vd_layout_add_seg() appends to, and its room
 * @pool, @max_pool: strings; byte 0 is a NUL so that offset 0 can mean none
 * @error: first failure, reported by vd_layout_finish()
 *
 * Owned by one backend call, freed by finish or abort.
 */
struct vd_layout_builder {
	struct vd_layout head;
	struct vd_layout_seg *segs;
	u32 max_segs;
	char *pool;
	u32 max_pool;
	int error;
};

/* Room for @need units of @unit bytes; *@max and *@mem change together. */
static int layout_room(void **mem, u32 *max, u32 used, u32 need, u32 unit)
{
	u32 more = *max ? *max : 16;
	void *p;

	if (need <= *max)
		return 0;
	while (more < need)
		more *= 2;
	p = vd_zalloc((size_t)more * unit);
	if (!p)
		return -ENOMEM;
	if (used)
		memcpy(p, *mem, (size_t)used * unit);
	vd_free(*mem);
	*mem = p;
	*max = more;
	return 0;
}

struct vd_layout_builder *vd_layout_begin(u32 format)
{
	struct vd_layout_builder *b = vd_zalloc(sizeof(*b));

	if (!b)
		return NULL;
	b->head.magic = VD_LAYOUT_MAGIC;
	b->head.format = format;
	return b;
}

struct vd_layout *vd_layout_head(struct vd_layout_builder *b)
{
	return &b->head;
}

/* 0 for an empty string, and after an error. */
vd_str vd_layout_add_str(struct vd_layout_builder *b, const char *s, size_t len)
{
	struct vd_layout *head = &b->head;
	u32 at = max_t(u32, head->pool_len, 1);
	void *pool = b->pool;

	if (!len || b->error)
		return 0;
	if (len >= VD_LAYOUT_MAX || at + len >= VD_LAYOUT_MAX) {
		b->error = -E2BIG;
		return 0;
	}
	b->error = layout_room(&pool, &b->max_pool, head->pool_len, at + (u32)len + 1, 1);
	if (b->error)
		return 0;
	b->pool = pool;
	memcpy(b->pool + at, s, len);
	b->pool[at + len] = '\0';
	head->pool_len = at + (u32)len + 1;
	return at;
}

int vd_layout_add_seg(struct vd_layout_builder *b, u64 len, u32 kind, u32 flags, vd_str name,
		      u64 offset)
{
	struct vd_layout *head = &b->head;
	void *segs = b->segs;

	if (b->error)
		return b->error;
	if (head->nr_segs >= VDISK_MAX_SEGMENTS || len > VD_CAP_DISK_BYTES - head->props.size) {
		b->error = -E2BIG;
		return b->error;
	}
	b->error = layout_room(&segs, &b->max_segs, head->nr_segs, head->nr_segs + 1,
			       sizeof(*b->segs));
	if (b->error)
		return b->error;
	b->segs = segs;
	b->segs[head->nr_segs++] = (struct vd_layout_seg) {
		.start = head->props.size,
		.len = len,
		.offset = offset,
		.kind = kind,
		.flags = flags,
		.name = name,
	};
	vd_props_put(&head->props, VD_PROP_SIZE, head->props.size + len);
	return 0;
}

/* Ends the life of @b, whatever it returns. */
int vd_layout_finish(struct vd_layout_builder *b, struct vd_layout **out, struct vd_error *err)
{
	size_t segs = b->head.nr_segs * sizeof(*b->segs);
	size_t total = sizeof(b->head) + segs + b->head.pool_len;
	struct vd_layout *l = NULL;
	int ret = b->error;

	*out = NULL;
	if (ret == -E2BIG || (!ret && total > VD_LAYOUT_MAX)) {
		ret = vd_fail(err, -EOPNOTSUPP,
			      "the image has more than %u extents, 64 TiB or %u MiB of names",
			      VDISK_MAX_SEGMENTS, VD_LAYOUT_MAX >> 20);
		goto out;
	}
	if (!ret)
		l = vd_zalloc(total);
	if (!l) {
		ret = vd_fail(err, -ENOMEM, "out of memory");
		goto out;
	}
	b->head.total = (u32)total;
	if (b->head.flags & VD_LAYOUT_PARENT)
		vd_props_put(&b->head.props, VD_PROP_FLAGS, b->head.props.flags | VD_IMAGE_DIFF);
	memcpy(l, &b->head, sizeof(*l));
	if (segs)
		memcpy(l + 1, b->segs, segs);
	if (l->pool_len)
		memcpy((char *)(l + 1) + segs, b->pool, l->pool_len);
	ret = vd_layout_check(l, total, err);
	if (ret)
		vd_free(l);
	else
		*out = l;
out:
	vd_layout_abort(b);
	return ret;
}

void vd_layout_abort(struct vd_layout_builder *b)
{
	if (!b)
		return;
	vd_free(b->segs);
	vd_free(b->pool);
	vd_free(b);
}

static int layout_check_sizes(const struct vd_layout *l, size_t len, struct vd_error *err)
{
	if (len < sizeof(*l) || len > VD_LAYOUT_MAX || l->magic != VD_LAYOUT_MAGIC)
		return vd_fail(err, -EINVAL, "layout: no such block in %llu bytes", (u64)len);
	if (l->total != len)
		return vd_fail(err, -EINVAL, "layout: says %u bytes, has %llu", l->total, (u64)len);
	if (!l->nr_segs || l->nr_segs > VDISK_MAX_SEGMENTS)
		return vd_fail(err, -EINVAL, "layout: %u extents, legal is 1 to %u", l->nr_segs,
			       VDISK_MAX_SEGMENTS);
	/* Both counts are small, so nothing here can wrap. */
	if (l->pool_len != len - sizeof(*l) - l->nr_segs * sizeof(struct vd_layout_seg) ||
	    len < sizeof(*l) + l->nr_segs * sizeof(struct vd_layout_seg))
		return vd_fail(err, -EINVAL, "layout: string pool of %u bytes does not fit",
			       l->pool_len);
	if (l->flags & ~LAYOUT_FLAGS)
		return vd_fail(err, -EINVAL, "layout: flags 0x%x", l->flags);
	if (l->format <= VDISK_FORMAT_UNSPEC || l->format >= __VDISK_FORMAT_END)
		return vd_fail(err, -EINVAL, "layout: format %u", l->format);
	return 0;
}

/*
 * In the pool, at the begin of a string. With @name: what may be shown and
 * passed to open(), so neither control characters, but for the tab that a text
 * may have, nor more than a path's length.
 */
static bool layout_str_ok(const struct vd_layout *l, vd_str s, bool name)
{
	const char *pool = (const char *)(vd_layout_segs(l) + l->nr_segs);
	u32 len = 0;

	if (!s)
		return true;
	if (s >= l->pool_len || pool[s - 1])
		return false;
	for (; pool[s + len]; len++)
		if (name && (((u8)pool[s + len] < 0x20 && pool[s + len] != '\t') ||
			     pool[s + len] == 0x7f))
			return false;
	return !name || len < VDISK_MAX_NAME;
}

static int layout_check_strings(const struct vd_layout *l, struct vd_error *err)
{
	const char *pool = (const char *)(vd_layout_segs(l) + l->nr_segs);
	u32 i;

	if (l->pool_len && (pool[0] || pool[l->pool_len - 1]))
		return vd_fail(err, -EINVAL, "layout: string pool does not end");
	if (!layout_str_ok(l, l->subformat, true) ||
	    !layout_str_ok(l, l->props.parent_name, true) ||
	    !layout_str_ok(l, l->props.comment, false) || !layout_str_ok(l, l->adapter, true) ||
	    !layout_str_ok(l, l->encoding, true) || !layout_str_ok(l, l->ro_reason, true) ||
	    !layout_str_ok(l, l->warning, true) || !layout_str_ok(l, l->cbt_name, true) ||
	    !layout_str_ok(l, l->parent_format, true))
		return vd_fail(err, -EINVAL, "layout: a string is no string");
	for (i = 0; i < l->nr_segs; i++)
		if (!layout_str_ok(l, vd_layout_segs(l)[i].name, true))
			return vd_fail(err, -EINVAL, "layout: name of extent %u is no string", i);
	if ((l->props.parent_name || l->parent_format) && !(l->flags & VD_LAYOUT_PARENT))
		return vd_fail(err, -EINVAL,
			       "layout: name or format of a parent without a parent");
	if (!l->ro_reason != !(l->flags & VD_LAYOUT_RDONLY) ||
	    !l->warning != !(l->flags & VD_LAYOUT_WARNING))
		return vd_fail(err, -EINVAL, "layout: a flag lacks its text");
	if (l->flags & VD_LAYOUT_ONLY_CBT && !(l->flags & VD_LAYOUT_RDONLY))
		return vd_fail(err, -EINVAL, "layout: change tracking stops nothing");
	return 0;
}

/* A difference to a parent has one, and nothing else. */
static int layout_check_props(const struct vd_layout *l, struct vd_error *err)
{
	bool diff = l->props.flags & VD_IMAGE_DIFF;

	if (!vd_props_ok(&l->props) || diff != !!(l->flags & VD_LAYOUT_PARENT))
		return vd_fail(err, -EINVAL, "layout: properties 0x%x, image flags 0x%x",
			       l->props.mask, l->props.flags);
	return 0;
}

/* [pos, pos + len) of some file, of a length that is legal; nothing at 0. */
static bool layout_place_ok(u64 pos, u32 len, u32 max)
{
	return len ? len <= max && pos <= VD_CAP_FILE_BYTES : !pos;
}

static bool layout_overlap(u64 pos, u32 len, u64 other, u32 other_len)
{
	return len && other_len && vd_overlap(pos, len, other, other_len);
}

/*
 * What is rewritten in the text. Whoever writes there looks first whether the
 * file has at these places what the layout says.
 */
static int layout_check_places(const struct vd_layout *l, struct vd_error *err)
{
	bool ok = layout_place_ok(l->cid_pos, l->cid_len, LAYOUT_CID) &&
		  layout_place_ok(l->long_cid_pos, l->long_cid_len, LAYOUT_LONG_CID) &&
		  layout_place_ok(l->mod_uuid_pos, l->mod_uuid_len, VD_UUID_CHARS) &&
		  layout_place_ok(l->cbt_pos, l->cbt_len, LAYOUT_LINE) &&
		  l->version_pos <= VD_CAP_FILE_BYTES;

	if (l->long_cid_len && l->long_cid_len != LAYOUT_LONG_CID)
		ok = false;
	if (l->mod_uuid_len && l->mod_uuid_len != VD_UUID_CHARS && l->mod_uuid_len != VD_UUID_BYTES)
		ok = false;
	if (l->cid_len && !(l->flags & VD_LAYOUT_HAVE_CID))
		ok = false;
	if (layout_overlap(l->cid_pos, l->cid_len, l->long_cid_pos, l->long_cid_len) ||
	    layout_overlap(l->cid_pos, l->cid_len, l->mod_uuid_pos, l->mod_uuid_len) ||
	    layout_overlap(l->long_cid_pos, l->long_cid_len, l->mod_uuid_pos, l->mod_uuid_len))
		ok = false;
	if (l->cbt_len ? !(l->flags & VD_LAYOUT_CBT) || !l->cbt_name : l->cbt_note_len)
		ok = false;
	if (l->cbt_note_len > LAYOUT_LINE || l->cbt_note_len > l->cbt_pos)
		ok = false;
	if (!ok)
		return vd_fail(err, -EINVAL,
			       "layout: %u digits of a CID at %llu, %u at %llu, %u of a UUID at %llu, change tracking in %u + %u bytes at %llu",
			       l->cid_len, l->cid_pos, l->long_cid_len, l->long_cid_pos,
			       l->mod_uuid_len, l->mod_uuid_pos, l->cbt_note_len, l->cbt_len,
			       l->cbt_pos);
	return 0;
}

static bool layout_seg_ok(const struct vd_layout_seg *seg)
{
	bool fileless = seg->kind == VDISK_SEG_ZERO || seg->kind == VDISK_SEG_NOACCESS;
	bool self = seg->flags & VD_LSEG_SELF;

	if (!vd_kind_name(seg->kind) || seg->flags & ~LAYOUT_SEGF || seg->pad)
		return false;
	if (fileless ? self || seg->name : self == !!seg->name)
		return false;
	if (seg->kind != VDISK_SEG_RAW)
		return !seg->offset;
	return !(seg->offset & (VD_SECTOR - 1)) && seg->offset <= VD_CAP_FILE_BYTES;
}

int vd_layout_check(const struct vd_layout *l, size_t len, struct vd_error *err)
{
	const struct vd_layout_seg *seg;
	u64 end = 0;
	u32 i;
	int ret;

	ret = layout_check_sizes(l, len, err);
	if (!ret)
		ret = layout_check_strings(l, err);
	if (!ret)
		ret = layout_check_props(l, err);
	if (!ret)
		ret = layout_check_places(l, err);
	if (ret)
		return ret;

	for (i = 0; i < l->nr_segs; i++) {
		seg = vd_layout_segs(l) + i;
		if (!layout_seg_ok(seg))
			return vd_fail(err, -EINVAL, "layout: extent %u: kind 0x%x, flags 0x%x, offset %llu",
				       i, seg->kind, seg->flags, seg->offset);
		if (seg->start != end || !seg->len || seg->len & (VD_SECTOR - 1) ||
		    seg->len > VD_CAP_DISK_BYTES - end)
			return vd_fail(err, -EINVAL, "layout: extent %u covers %llu bytes at %llu",
				       i, seg->len, seg->start);
		end += seg->len;
	}
	if (end != l->props.size)
		return vd_fail(err, -EINVAL, "layout: size %llu, but the extents have %llu",
			       l->props.size, end);
	return 0;
}
