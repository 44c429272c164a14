// SPDX-License-Identifier: GPL-2.0-only
/* Is the state that the disk has one that a power cut may leave? */
#include <stdlib.h>

#include "powercut.h"
#include "ut-probe.h"

/* ------------------------------------------------------- the library's file */

struct part_file {
	struct vd_file file;
	struct pc_disk *disk;
};

static struct pc_disk *disk_of(struct vd_file *file)
{
	return container_of(file, struct part_file, file)->disk;
}

static s64 part_read(struct vd_file *file, u64 pos, void *buf, u32 len)
{
	struct pc_disk *d = disk_of(file);

	if (pos >= d->len)
		return 0;
	len = (u32)min_t(u64, len, d->len - pos);
	memcpy(buf, d->data + pos, len);
	return len;
}

static int part_write(struct vd_file *file, u64 pos, const void *buf, u32 len)
{
	if (pos + len > disk_of(file)->len)
		return -ENOSPC;
	pc_disk_put(disk_of(file), pos, buf, len);
	return 0;
}

static int part_zero(struct vd_file *file, u64 pos, u64 len)
{
	struct pc_disk *d = disk_of(file);

	if (pos < d->len)
		pc_disk_put(d, pos, NULL, min(len, d->len - pos));
	return 0;
}

static int part_flush(struct vd_file *file)
{
	return 0;
}

static int part_size(struct vd_file *file, u64 *size)
{
	*size = disk_of(file)->len;
	return 0;
}

static int part_truncate(struct vd_file *file, u64 size)
{
	return -EINVAL;
}

static int part_allocate(struct vd_file *file, u64 pos, u64 len)
{
	return pos + len > disk_of(file)->len ? -ENOSPC : 0;
}

static const struct vd_file_ops part_ops = {
	.read = part_read,
	.write = part_write,
	.flush = part_flush,
	.size = part_size,
	.truncate = part_truncate,
	.punch = part_zero,
	.zero = part_zero,
	.allocate = part_allocate,
};

static struct vd_file *part_file(struct pc_disk *d, bool writable)
{
	static struct part_file part;

	memset(&part, 0, sizeof(part));
	part.file.ops = &part_ops;
	part.file.size = d->len;
	part.file.writable = writable;
	part.file.fixed = true;
	part.disk = d;
	return &part.file;
}

/* ------------------------------------------------------------------ opening */

/* What the image is by now; the file has all of its one segment. */
static const struct vd_format *identify(struct vd_file *file, struct vdisk_segment_desc *seg,
					char *rule)
{
	const struct vd_format *format = ut_probe(file);
	struct vd_layout *l = NULL;
	struct vd_error err = { 0 };
	int ret;

	if (!format) {
		pc_bad(rule, "no image any more");
		return NULL;
	}
	ret = format->user->layout(file, &l, &err);
	if (ret || l->nr_segs != 1) {
		pc_bad(rule, "layout: error %d, %s", ret, err.text);
		vd_free(l);
		return NULL;
	}
	memset(seg, 0, sizeof(*seg));
	seg->kind = vd_layout_segs(l)->kind;
	seg->len = vd_layout_segs(l)->len;
	vd_free(l);
	return format;
}

struct vd_chain *pc_open(struct pc_disk *d, bool writable, char *rule)
{
	struct vd_file *file = part_file(d, writable);
	struct vdisk_segment_desc seg;
	const struct vd_format *format = identify(file, &seg, rule);
	struct vdisk_image_desc image;
	struct vd_chain_desc desc = {
		.files = &file, .nr_files = 1, .images = &image, .nr_images = 1,
		.segments = &seg, .nr_segments = 1,
	};
	struct vd_chain *chain = NULL;
	struct vd_error err = { 0 };
	int ret;

	if (!format)
		return NULL;
	image = (struct vdisk_image_desc){ .format = format->id, .size = seg.len };
	ret = vd_chain_open(&desc, &chain, &err);
	if (ret)
		pc_bad(rule, "open: error %d, %s", ret, err.text);
	return chain;
}

static void keep_report(void *ctx, enum vd_finding kind, const char *text)
{
	if (kind == VD_FINDING_CORRUPT)
		pc_bad(ctx, "check: %s", text);
}

bool pc_check(struct pc_disk *d, unsigned int flags, u64 *found, char *rule)
{
	struct vd_check check = { .flags = flags, .report = keep_report, .ctx = rule };
	struct vd_file *file = part_file(d, flags & VD_CHECK_REPAIR);
	struct vdisk_segment_desc seg;
	const struct vd_format *format = identify(file, &seg, rule);
	struct vd_error err = { 0 };
	int ret;

	if (!format)
		return false;
	ret = format->user->check(file, seg.kind, seg.len, &check, &err);
	memcpy(found, check.found, sizeof(check.found));
	return !ret || pc_bad(rule, "check: error %d, %s", ret, err.text);
}

/* ------------------------------------------------------------------- judging */

u64 pc_zones_len(u64 sectors)
{
	return sectors / PC_PIECE * PC_ZONE * PC_SECTOR;
}

bool pc_read_zones(struct vd_chain *chain, u64 sectors, u8 *buf, char *rule)
{
	u64 piece;
	int ret;

	for (piece = 0; piece < sectors / PC_PIECE; piece++) {
		ret = vd_read(chain, NULL, piece * PC_PIECE * PC_SECTOR,
			      buf + piece * PC_ZONE * PC_SECTOR, PC_ZONE * PC_SECTOR);
		if (ret)
			return pc_bad(rule, "vd_read of piece %llu: error %d", piece, ret);
	}
	return true;
}

bool pc_judge_zones(struct pc_walk *w, const u8 *zones)
{
	const struct pc_oracle *o = &w->oracle;
	u64 piece;

	for (piece = 0; piece < o->sectors / PC_PIECE; piece++) {
		if (!pc_oracle_judge(o, piece * PC_PIECE, PC_ZONE,
				     zones + piece * PC_ZONE * PC_SECTOR, w->rule))
			return false;
	}
	return true;
}

static bool judge_content(struct pc_walk *w)
{
	const struct pc_oracle *o = &w->oracle;
	struct vd_chain *chain = pc_open(&w->disk, false, w->rule);
	bool good;

	if (!chain)
		return false;
	good = chain->size == o->sectors * PC_SECTOR;
	if (!good)
		pc_bad(w->rule, "the disk has %llu bytes", chain->size);
	good = good && pc_read_zones(chain, o->sectors, w->buf, w->rule);
	vd_chain_close(chain);
	return good && pc_judge_zones(w, w->buf);
}

static bool judge_check(struct pc_walk *w)
{
	u64 found[VD_FINDING_CORRUPT + 1];

	if (!pc_check(&w->disk, 0, found, w->rule))
		return false;
	if (found[VD_FINDING_CORRUPT])
		return pc_bad(w->rule, "check finds it corrupt");
	if ((w->no_signs || w->settled) && found[VD_FINDING_UNCLEAN])
		return pc_bad(w->rule, "check finds signs of an unfinished writer");
	return true;
}

static bool is_due(const struct pc_walk *w, u32 every)
{
	return every && (w->settled || w->stats.states % every == 0);
}

bool pc_judge(struct pc_walk *w)
{
	return judge_check(w) && judge_content(w) &&
	       (!is_due(w, w->check_every) || pc_qemu_check(w)) &&
	       (!is_due(w, w->read_every) || pc_qemu_read(w)) &&
	       (!is_due(w, w->again_every) || pc_again(w));
}
