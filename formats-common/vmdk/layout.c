// SPDX-License-Identifier: GPL-2.0-only
/*
 * From one VMDK file to the list of its extents: a text descriptor, a sparse
 * extent with a descriptor inside, or a bare delta of ESX. User space only.
 */
#include "vdisk/caps.h"
#include "vdisk/checked.h"
#include "vdisk/layout.h"
#include "descriptor.h"
#include "embed.h"
#include "vmdk.h"

#define NO_CID 0xffffffffU
#define LONG_CID_DIGITS 32U

static const char reason_tracked[] =
	"change tracking is on: writes that it does not see would spoil incremental backups";

/**
 * struct answer - a layout in the making
 * @d: what the text says
 * @text, @base: the text, and where in the file it stands
 * @header: of the extent that holds the descriptor; NULL: a text file
 * @ro_reason: first reason not to write, NULL when there is none
 * @flags: VD_IMAGE_*
 */
struct answer {
	struct vmdk_descriptor *d;
	const char *text;
	u64 base;
	const struct vmdk_header *header;
	struct vd_layout_builder *b;
	const char *ro_reason;
	u32 flags;
};

static void read_only(struct answer *a, const char *reason)
{
	if (!a->ro_reason)
		a->ro_reason = reason;
}

static vd_str add_text(struct answer *a, struct vmdk_text t)
{
	return vd_layout_add_str(a->b, t.s, t.len);
}

static vd_str add_string(struct answer *a, const char *s)
{
	return vd_layout_add_str(a->b, s, strlen(s));
}

/* --- createType --- */

/* For a device or a raw device mapping. */
#define CREATE_DEVICE	(1U << 31)

/* @flags: VD_IMAGE_*, but for those that the lines tell; or CREATE_DEVICE */
static const struct {
	const char *name;
	u32 flags;
} create_types[] = {
	{ "monolithicSparse", 0 },
	{ "monolithicFlat", 0 },
	{ "twoGbMaxExtentSparse", VD_IMAGE_SPLIT },
	{ "2GbMaxExtentSparse", VD_IMAGE_SPLIT },
	{ "twoGbMaxExtentFlat", VD_IMAGE_SPLIT },
	{ "2GbMaxExtentFlat", VD_IMAGE_SPLIT },
	{ "streamOptimized", VD_IMAGE_STREAM },
	{ "vmfs", VD_IMAGE_ESX },
	{ "vmfsPreallocated", VD_IMAGE_ESX },
	{ "vmfsEagerZeroedThick", VD_IMAGE_ESX },
	{ "vmfsThick", VD_IMAGE_ESX },
	{ "vmfsThin", VD_IMAGE_ESX },
	{ "vmfsSparse", VD_IMAGE_ESX },
	{ "seSparse", VD_IMAGE_ESX },
	{ "vmfsSeSparse", VD_IMAGE_ESX },
	{ "custom", 0 },
	{ "fullDevice", CREATE_DEVICE },
	{ "partitionedDevice", CREATE_DEVICE },
	{ "vmfsRDM", CREATE_DEVICE },
	{ "vmfsRawDeviceMap", CREATE_DEVICE },
	{ "vmfsRDMP", CREATE_DEVICE },
	{ "vmfsPassthroughRawDeviceMap", CREATE_DEVICE },
	{ "vmfsRaw", CREATE_DEVICE },
};

static int judge_create_type(struct answer *a, struct vd_error *err)
{
	struct vmdk_text type = a->d->create_type;
	char shown[VMDK_SHOW];
	u32 i;

	for (i = 0; i < ARRAY_SIZE(create_types); i++)
		if (vmdk_text_is(type, create_types[i].name))
			break;
	if (i == ARRAY_SIZE(create_types)) {
		vmdk_descriptor_warn(a->d, "unknown createType '%s'", vmdk_text_show(type, shown));
		read_only(a, "its createType is unknown");
	} else if (create_types[i].flags & CREATE_DEVICE) {
		return vd_fail(err, -EOPNOTSUPP,
			       "descriptor: createType %s stands for a device or a raw device mapping; attach that device itself",
			       create_types[i].name);
	} else {
		a->flags |= create_types[i].flags;
	}
	if (a->flags & VD_IMAGE_STREAM)
		read_only(a, VMDK_REASON_COMPRESSED);
	return 0;
}

/* --- properties --- */

/*
 * A parent shows in three ways. VMware and QEMU write its content id and its
 * name, VirtualBox its UUID and perhaps neither of the others.
 */
static int judge_parent(struct answer *a, struct vd_layout *head, struct vd_error *err)
{
	struct vmdk_descriptor *d = a->d;
	bool by_cid = d->parent_cid != NO_CID;
	bool by_uuid = d->have & VMDK_HAVE_PARENT_UUID && !vd_uuid_is_none(d->parent_uuid);

	head->parent_cid = d->parent_cid;
	if (d->parent_hint.len && !by_cid && !by_uuid)
		return vd_fail(err, -EUCLEAN,
			       "descriptor: parentFileNameHint without parentCID: it is unknown which state of the parent this disk needs");
	if (!by_cid && !by_uuid)
		return 0;
	head->flags |= VD_LAYOUT_PARENT;
	if (!d->parent_hint.len && !by_uuid)
		vmdk_descriptor_warn(d, "the disk has a parent, but does not name its file");
	vd_props_put_text(&head->props, VD_PROP_PARENT_NAME, add_text(a, d->parent_hint));
	head->parent_format = add_text(a, d->parent_format);
	return 0;
}

/* Those that the text does not have are zeros. The image's has two spellings. */
static void add_uuids(const struct vmdk_descriptor *d, struct vd_props *props)
{
	vd_props_put_uuid(props, VD_PROP_UUID, d->uuid);
	vd_props_put_uuid(props, VD_PROP_UUID, d->image_uuid);
	vd_props_put_uuid(props, VD_PROP_MOD_UUID, d->mod_uuid);
	vd_props_put_uuid(props, VD_PROP_PARENT_UUID, d->parent_uuid);
	vd_props_put_uuid(props, VD_PROP_PARENT_MOD_UUID, d->parent_mod_uuid);
}

/* VirtualBox escapes line ends and the backslash itself. */
static u32 unescape(char *to, struct vmdk_text t)
{
	u32 i, n = 0;

	for (i = 0; i < t.len; i++) {
		char c = t.s[i];

		if (c == '\\' && i + 1 < t.len) {
			c = t.s[++i];
			if (c == 'n')
				c = '\n';
			else if (c == 'r')
				c = '\r';
		}
		to[n++] = c;
	}
	return n;
}

static int add_comment(struct answer *a, struct vd_layout *head, struct vd_error *err)
{
	struct vmdk_text t = a->d->comment;
	char *plain;

	if (!t.len)
		return 0;
	plain = vd_zalloc(t.len);
	if (!plain)
		return vd_fail(err, -ENOMEM, "out of memory");
	vd_props_put_text(&head->props, VD_PROP_COMMENT,
			  vd_layout_add_str(a->b, plain, unescape(plain, t)));
	vd_free(plain);
	return 0;
}

/* Things that live beside the disk and would go wrong if it changed behind them. */
static void judge_companions(struct answer *a)
{
	const struct vmdk_descriptor *d = a->d;

	if (d->filters.len)
		read_only(a, "an I/O filter (ddb.iofilters) must see every write");
	if (d->sidecars.len)
		read_only(a, "it has sidecar files (ddb.sidecars) that must see every write");
}

static int judge_sector_size(struct vmdk_descriptor *d, struct vd_error *err)
{
	if (!d->sector_size || d->sector_size == VD_SECTOR)
		return 0;
	if (d->sector_size != 4096)
		return vd_fail(err, -EOPNOTSUPP,
			       "descriptor: ddb.logicalSectorSize is %u, legal is 512 or 4096",
			       d->sector_size);
	vmdk_descriptor_warn(d, "the disk has sectors of 4096 bytes: attach it with -b 4096");
	return 0;
}

static u64 place(const struct answer *a, struct vmdk_text t)
{
	return a->base + (u64)(t.s - a->text);
}

/* Its 32 digits are known to be there: where are the dashes? */
static bool uuid_is_canonical(struct vmdk_text t)
{
	return t.len == VD_UUID_CHARS && t.s[8] == '-' && t.s[13] == '-' && t.s[18] == '-' &&
	       t.s[23] == '-';
}

static void add_mod_uuid(struct answer *a, struct vd_layout *head)
{
	if (!(a->d->have & VMDK_HAVE_MOD_UUID))
		return;
	if (!uuid_is_canonical(a->d->mod_uuid_at)) {
		vmdk_descriptor_warn(a->d,
				     "ddb.uuid.modification is spelled in an unusual way: a write does not renew it");
		return;
	}
	head->mod_uuid_pos = place(a, a->d->mod_uuid_at);
	head->mod_uuid_len = VD_UUID_CHARS;
}

/* What a writer of the disk replaces in the text. */
static void add_places(struct answer *a, struct vd_layout *head)
{
	const struct vmdk_descriptor *d = a->d;

	if (d->doubled)
		return;
	if (d->have & VMDK_HAVE_CID) {
		head->cid_pos = place(a, d->cid_at);
		head->cid_len = d->cid_at.len;
	}
	/* In another form, with blanks or dashes, it is nobody's. */
	if (d->have & VMDK_HAVE_CONTENT_ID && d->content_id_at.len == LONG_CID_DIGITS) {
		head->long_cid_pos = place(a, d->content_id_at);
		head->long_cid_len = LONG_CID_DIGITS;
	}
	add_mod_uuid(a, head);
	if (d->have & VMDK_HAVE_VERSION)
		head->version_pos = place(a, d->version_at) + d->version_at.len - 1;
}

/*
 * Last of all: it is the one reason that a user can do away with, if there is
 * no other.
 */
static void judge_tracking(struct answer *a)
{
	struct vd_layout *head = vd_layout_head(a->b);
	const struct vmdk_descriptor *d = a->d;
	bool only = !a->ro_reason;

	if (d->change_track.len) {
		head->flags |= VD_LAYOUT_CBT;
		read_only(a, reason_tracked);
		head->cbt_name = add_text(a, d->change_track);
		if (!d->doubled) {
			head->cbt_pos = place(a, d->track_line);
			head->cbt_len = d->track_line.len;
			head->cbt_note_len = d->track_note.len;
		}
	}
	if (a->header && vmdk_header_tracked(a->header))
		read_only(a, VMDK_REASON_TRACKED);
	if (only && a->ro_reason)
		head->flags |= VD_LAYOUT_ONLY_CBT;
}

static int add_properties(struct answer *a, struct vd_error *err)
{
	struct vd_layout *head = vd_layout_head(a->b);
	struct vmdk_descriptor *d = a->d;
	int ret;

	vd_props_put(&head->props, VD_PROP_VERSION, d->version);
	head->cid = d->cid;
	if (d->have & VMDK_HAVE_CID)
		head->flags |= VD_LAYOUT_HAVE_CID;
	vd_props_put_chs(&head->props, VD_PROP_PCHS, d->geometry[0], d->geometry[1],
			 d->geometry[2]);
	vd_props_put_chs(&head->props, VD_PROP_LCHS, d->bios[0], d->bios[1], d->bios[2]);
	add_uuids(d, &head->props);
	head->subformat = add_text(a, d->create_type);
	head->adapter = add_text(a, d->adapter);
	head->encoding = add_text(a, d->encoding.len ? d->encoding : d->ddb_encoding);

	ret = add_comment(a, head, err);
	if (!ret)
		ret = judge_create_type(a, err);
	if (!ret)
		ret = judge_parent(a, head, err);
	if (!ret)
		ret = judge_sector_size(d, err);
	if (ret)
		return ret;
	judge_companions(a);
	if (d->doubled)
		read_only(a, "its descriptor has a line twice that would have to be changed");
	add_places(a, head);
	return 0;
}

/* --- extents --- */

/* Nothing that will be written has to be given a place first. */
static bool is_fixed(const struct vmdk_descriptor *d)
{
	u32 i;

	for (i = 0; i < d->nr_lines; i++)
		if (d->lines[i].kind != VDISK_SEG_RAW && d->lines[i].kind != VDISK_SEG_ZERO)
			return false;
	return true;
}

static void judge_line(struct answer *a, const struct vmdk_line *line)
{
	if (line->access == VMDK_RDONLY)
		read_only(a, "its descriptor marks an extent RDONLY");
	if (line->access == VMDK_NOACCESS)
		read_only(a, "its descriptor marks an extent NOACCESS");
	if (line->kind == VDISK_SEG_ZERO)
		read_only(a, "it has a ZERO extent, which has no place for data");
	if (line->kind == VDISK_SEG_VMDK_SESPARSE)
		read_only(a, "SESparse extents are read only: their journal is undocumented");
}

static void add_line(struct answer *a, const struct vmdk_line *line, bool self)
{
	u32 flags = line->access == VMDK_RDONLY ? VD_LSEG_RDONLY : 0;
	u64 len = line->sectors << VD_SECTOR_SHIFT;
	vd_str name = 0;

	judge_line(a, line);
	if (line->access == VMDK_NOACCESS) {
		vd_layout_add_seg(a->b, len, VDISK_SEG_NOACCESS, 0, 0, 0);
		return;
	}
	if (self)
		flags |= VD_LSEG_SELF;
	else
		name = add_text(a, line->name);
	vd_layout_add_seg(a->b, len, line->kind, flags, name, line->offset << VD_SECTOR_SHIFT);
}

/*
 * A descriptor inside an extent describes that extent in its first line,
 * whatever the file is called today.
 */
static int judge_self(struct answer *a, struct vd_error *err)
{
	const struct vmdk_line *line = &a->d->lines[0];

	if (line->kind != VDISK_SEG_VMDK_SPARSE)
		return vd_fail(err, -EUCLEAN,
			       "descriptor line %u: the first extent is not SPARSE, but the descriptor is inside a sparse extent",
			       line->number);
	if (line->sectors > a->header->capacity >> VD_SECTOR_SHIFT)
		return vd_fail(err, -EUCLEAN,
			       "descriptor line %u: %llu sectors, but the extent's header says %llu",
			       line->number, line->sectors,
			       a->header->capacity >> VD_SECTOR_SHIFT);
	if (vmdk_header_reason(a->header))
		read_only(a, vmdk_header_reason(a->header));
	if (a->header->unclean)
		vd_layout_head(a->b)->flags |= VD_LAYOUT_UNCLEAN;
	return 0;
}

static int fill(struct answer *a, struct vd_error *err)
{
	u32 i;
	int ret = 0;

	if (a->header)
		ret = judge_self(a, err);
	for (i = 0; !ret && i < a->d->nr_lines; i++)
		add_line(a, &a->d->lines[i], a->header && !i);
	if (!ret)
		ret = add_properties(a, err);
	if (ret)
		return ret;
	judge_tracking(a);
	if (is_fixed(a->d))
		a->flags |= VD_IMAGE_FIXED;
	vd_props_put(&vd_layout_head(a->b)->props, VD_PROP_FLAGS, a->flags);
	return 0;
}

/* Texts that were collected on the way; then the block is whole. */
static int finish(struct answer *a, struct vd_layout **out, struct vd_error *err)
{
	struct vd_layout *head = vd_layout_head(a->b);

	if (a->ro_reason) {
		head->flags |= VD_LAYOUT_RDONLY;
		head->ro_reason = add_string(a, a->ro_reason);
	}
	if (a->d->warning[0]) {
		head->flags |= VD_LAYOUT_WARNING;
		head->warning = add_string(a, a->d->warning);
	}
	return vd_layout_finish(a->b, out, err);
}

static int layout_build(struct vmdk_descriptor *d, const char *text,
			const struct vmdk_header *header, struct vd_layout **out,
			struct vd_error *err)
{
	struct answer a = { .d = d, .text = text, .header = header };
	int ret;

	if (header)
		a.base = header->desc_pos;
	a.b = vd_layout_begin(VDISK_FORMAT_VMDK);
	if (!a.b)
		return vd_fail(err, -ENOMEM, "out of memory");
	ret = fill(&a, err);
	if (ret) {
		vd_layout_abort(a.b);
		return ret;
	}
	return finish(&a, out, err);
}

int vmdk_layout_text(const char *text, u32 len, const struct vmdk_header *header,
		     struct vd_layout **out, struct vd_error *err)
{
	struct vmdk_descriptor d;
	int ret;

	ret = vmdk_descriptor_parse(text, len, &d, err);
	if (!ret)
		ret = layout_build(&d, text, header, out, err);
	vmdk_descriptor_free(&d);
	return ret;
}

/* --- kinds of files --- */

static int layout_text_file(struct vd_file *file, struct vd_layout **out, struct vd_error *err)
{
	u32 len = (u32)min_t(u64, file->size, VMDK_CAP_DESCRIPTOR);
	char *text;
	int ret;

	text = vd_zalloc(VMDK_CAP_DESCRIPTOR + 1);
	if (!text)
		return vd_fail(err, -ENOMEM, "out of memory");
	ret = len ? vd_file_read(file, 0, text, len) : 0;
	if (ret)
		vd_fail(err, ret, "descriptor cannot be read");
	else if (!vmdk_descriptor_signature(text, len))
		ret = vd_fail(err, -EUCLEAN,
			      "neither a sparse extent nor a descriptor of VMDK; a flat extent is opened through the descriptor beside it");
	else if (file->size > VMDK_CAP_DESCRIPTOR)
		ret = vd_fail(err, -EOPNOTSUPP, "descriptor of %llu bytes, legal is at most %u",
			      file->size, VMDK_CAP_DESCRIPTOR);
	else
		ret = vmdk_layout_text(text, len, NULL, out, err);
	vd_free(text);
	return ret;
}

/*
 * Full encryption by Workstation leaves a header of version 2 and noise. Noise
 * has more than half of its bytes outside ASCII, a text next to none.
 */
static bool looks_encrypted(const struct vmdk_header *h, const char *text, u32 len)
{
	u32 i, odd = 0;

	len = min_t(u32, len, VD_SECTOR);
	for (i = 0; i < len; i++)
		odd += (u8)text[i] >= 0x80 || ((u8)text[i] < 0x20 && text[i] && text[i] != '\n' &&
					       text[i] != '\r' && text[i] != '\t');
	return h->version == 2 && odd > len / 4;
}

static int layout_hosted(struct vd_file *file, struct vd_layout **out, struct vd_error *err)
{
	struct vmdk_header h;
	char *text;
	u32 len;
	int ret;

	ret = vmdk_header_read(file, &h, err);
	if (ret)
		return ret;
	if (!h.desc_len)
		return vd_fail(err, -EOPNOTSUPP,
			       "one extent of a disk in several files; open the descriptor that lists it (the small .vmdk file beside it)");
	len = (u32)min_t(u64, h.desc_len, VMDK_CAP_DESCRIPTOR);
	text = vd_zalloc(len);
	if (!text)
		return vd_fail(err, -ENOMEM, "out of memory");
	ret = vd_file_read(file, h.desc_pos, text, len);
	if (ret)
		vd_fail(err, ret, "descriptor at byte %llu cannot be read", h.desc_pos);
	else if (looks_encrypted(&h, text, len))
		ret = vmdk_encrypted(err);
	else if (h.desc_len > len && text[len - 1])
		ret = vd_fail(err, -EOPNOTSUPP, "descriptor is longer than %u bytes",
			      VMDK_CAP_DESCRIPTOR);
	else
		ret = vmdk_layout_text(text, len, &h, out, err);
	vd_free(text);
	return ret;
}

/* What the header of a delta tells. */
struct bare {
	u64 size;
	u32 kind;
	u32 version;
	const char *subformat;
	bool unclean;
};

/* A delta of ESX without its descriptor: one extent, of an unknown parent. */
static int layout_bare(const struct bare *bare, struct vd_layout **out, struct vd_error *err)
{
	struct vd_layout_builder *b = vd_layout_begin(VDISK_FORMAT_VMDK);
	static const char reason[] = "it was opened without its descriptor";
	static const char warning[] =
		"opened without its descriptor: if it has a parent, what only the parent holds reads as zeros";
	struct vd_layout *head;

	if (!b)
		return vd_fail(err, -ENOMEM, "out of memory");
	head = vd_layout_head(b);
	head->flags = VD_LAYOUT_RDONLY | VD_LAYOUT_WARNING;
	if (bare->unclean)
		head->flags |= VD_LAYOUT_UNCLEAN;
	head->parent_cid = NO_CID;
	vd_props_put(&head->props, VD_PROP_VERSION, bare->version);
	vd_props_put(&head->props, VD_PROP_FLAGS, VD_IMAGE_ESX);
	head->subformat = vd_layout_add_str(b, bare->subformat, strlen(bare->subformat));
	head->ro_reason = vd_layout_add_str(b, reason, sizeof(reason) - 1);
	head->warning = vd_layout_add_str(b, warning, sizeof(warning) - 1);
	vd_layout_add_seg(b, bare->size, bare->kind, VD_LSEG_SELF, 0, 0);
	return vd_layout_finish(b, out, err);
}

static int layout_cowd(struct vd_file *file, struct vd_layout **out, struct vd_error *err)
{
	struct bare bare = {
		.kind = VDISK_SEG_VMDK_COWD, .version = COWD_VERSION, .subformat = "vmfsSparse",
	};
	struct cowd c;
	int ret;

	ret = cowd_header_read(file, &c, err);
	if (ret)
		return ret;
	bare.size = c.capacity;
	bare.unclean = c.unclean;
	return layout_bare(&bare, out, err);
}

static int layout_sesparse(struct vd_file *file, struct vd_layout **out, struct vd_error *err)
{
	struct bare bare = {
		.kind = VDISK_SEG_VMDK_SESPARSE, .version = SESPARSE_VERSION >> 32,
		.subformat = "seSparse",
	};
	struct sesparse s;
	int ret;

	ret = sesparse_header_read(file, &s, err);
	if (ret)
		return ret;
	bare.size = s.capacity;
	return layout_bare(&bare, out, err);
}

/* What kind of file is it? */
static int layout_any(struct vd_file *file, struct vd_layout **out, struct vd_error *err)
{
	u8 magic[8] = { 0 };
	int ret = 0;

	*out = NULL;
	if (file->size >= sizeof(magic))
		ret = vd_file_read(file, 0, magic, sizeof(magic));
	if (ret)
		return vd_fail(err, ret, "header cannot be read");
	switch (get_unaligned_le32(magic)) {
	case VMDK_MAGIC:
	case VMDK_MAGIC_UNFINISHED:
		return layout_hosted(file, out, err);
	case COWD_MAGIC:
		return layout_cowd(file, out, err);
	}
	if (get_unaligned_le64(magic) == SESPARSE_MAGIC)
		return layout_sesparse(file, out, err);
	return layout_text_file(file, out, err);
}

static int vmdk_layout(struct vd_file *file, struct vd_layout **out, struct vd_error *err)
{
	int ret = layout_any(file, out, err);

	if (!ret)
		vd_props_put(&(*out)->props, VD_PROP_FILE_SIZE, file->size);
	return ret;
}

#define CHECKED (VD_CAN_READ | VD_CAN_CHECK)
#define WRITTEN (VD_CAN_READ | VD_CAN_WRITE | VD_CAN_CHECK | VD_CAN_REPAIR)
#define ALL (WRITTEN | VD_CAN_CREATE)

static const struct vd_support vmdk_support[] = {
	{ "VMDK monolithicSparse", "monolithicSparse sparse", ALL, NULL },
	{ "VMDK twoGbMaxExtentSparse", "twoGbMaxExtentSparse", ALL, NULL },
	{ "VMDK monolithicFlat", "monolithicFlat", ALL & ~VD_CAN_REPAIR, NULL },
	{ "VMDK twoGbMaxExtentFlat", "twoGbMaxExtentFlat", ALL & ~VD_CAN_REPAIR, NULL },
	{ "VMDK vmfs", "vmfs", ALL & ~VD_CAN_REPAIR, "the flat file beside it" },
	{ "VMDK vmfsThin, thick kinds",
	  "vmfsThin vmfsThick vmfsPreallocated vmfsEagerZeroedThick", WRITTEN & ~VD_CAN_REPAIR,
	  "the flat file beside it" },
	{ "VMDK custom, FLAT and SPARSE mixed", "custom", WRITTEN, NULL },
	{ "VMDK with ZERO, RDONLY, NOACCESS", NULL, CHECKED, NULL },
	{ "VMDK streamOptimized", "streamOptimized", CHECKED, "footer or front directory" },
	{ "VMDK vmfsSparse (COWD)", "vmfsSparse", ALL, "opened by its descriptor" },
	{ "VMDK seSparse, vmfsSeSparse", "seSparse vmfsSeSparse", CHECKED, "closed cleanly" },
	{ "VMDK deltas of any of these", NULL, ALL, "chains of up to 64 images; the top is written" },
	{ NULL },
};

/* Not all that the probe accepts: a descriptor may begin with blank lines. */
static const struct vd_magic vmdk_magic[] = {
	{ 0, 4, "KDMV" },
	{ 0, 4, "kdmv" },
	{ 0, 4, "COWD" },
	{ 0, 8, "\xbe\xba\xfe\xca\0\0\0\0" },
	{ 0, 6, "# Disk" },
	{ 0, 7, "version" },
	{ 0, 0, NULL }
};

const struct vd_format_user vmdk_user = {
	.support = vmdk_support,
	.layout = vmdk_layout,
	.extent = vmdk_extent_state,
	.check = vmdk_check,
	.magic = vmdk_magic,
	.set_props = vmdk_set_props,
	.renamed = vmdk_renamed,
	.put_text = vmdk_embed_replace,
};
