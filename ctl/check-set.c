// SPDX-License-Identifier: GPL-2.0-only
/*
 * Checks of an image set's extents, for the verbs check and attach. The table
 * code is the backends'; it sees files and numbers, never a path.
 */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>
#include "image-set.h"
#include "vdisk/check.h"
#include "vdisk/ufile.h"

int check_extent(const struct image_set *set, const struct vdisk_segment_desc *seg,
		 struct vd_check *check, struct vd_error *err)
{
	const struct set_member *m = &set->members[seg->member];
	const struct vd_format *format = vd_format_get(VDISK_SEG_FORMAT(seg->kind));
	struct vd_file *file;
	int ret;

	if (!format || !format->user || !format->user->check)
		return vd_fail(err, -EOPNOTSUPP, "there is no check for this kind of extent");
	file = vd_ufile_fd(m->fd, m->writable, err);
	if (!file)
		return err->code;
	ret = format->user->check(file, seg->kind, seg->offset + seg->len, check, err);
	vd_ufile_free(file);
	vd_format_put(format);
	return ret;
}

static bool same_state(const struct stat *a, const struct stat *b)
{
	return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/*
 * A reader's locks stand in the way of a writer's, so they go first. Whoever
 * slips in between either holds a lock then, or has changed the file.
 */
int member_reopen_writable(struct image_set *set, u32 index)
{
	struct set_member *m = &set->members[index];
	struct stat before, after;
	int fd, ret;

	if (m->writable)
		return 0;
	ret = reopen_checked(m->fd, m->path, true, &fd);
	if (ret)
		return ret;
	if (fstat(fd, &before))
		memset(&before, 0, sizeof(before));
	close(m->fd);
	m->fd = fd;
	m->writable = true;
	ret = lock_file(fd, m->path, true, m->block);
	if (ret)
		return ret;
	if (fstat(fd, &after) || !same_state(&before, &after))
		return ctl_error(CTL_BUSY, "busy", m->path, "somebody else has just changed it");
	return 0;
}

/* --- after a crash --- */

/**
 * struct merge - one extent that was left in mid-work
 * @path: of its file
 * @told: findings that went to the user
 */
struct merge {
	const char *path;
	u32 told;
};

static void tell(void *ctx, enum vd_finding kind, const char *text)
{
	struct merge *m = ctx;

	if (kind == VD_FINDING_CORRUPT && m->told++ < VD_CHECK_REPORTS)
		ctl_warn(m->path, "%s", text);
}

static int refuse(const struct image_set *set, const char *path, u64 nr)
{
	ctl_error(CTL_IMAGE, "image_damaged", path,
		  "its last writer did not end well, and its tables contradict themselves in %llu place%s",
		  (unsigned long long)nr, nr == 1 ? "" : "s");
	ctl_hint("vdctl check --repair %s", set->images[0].path);
	return CTL_IMAGE;
}

static int merge_extent(struct image_set *set, const struct vdisk_segment_desc *seg, bool dry_run)
{
	struct merge m = { .path = set->members[seg->member].path };
	struct vd_check check = {
		.flags = VD_CHECK_MERGE | VD_CHECK_IF_MARKED,
		.report = tell,
		.ctx = &m,
	};
	struct vd_error err = { 0 };
	u64 unclean;

	if (check_extent(set, seg, &check, &err))
		return ctl_vd_error(&err, m.path);
	unclean = check.found[VD_FINDING_UNCLEAN];
	if (!unclean)
		return 0;
	if (check.found[VD_FINDING_CORRUPT])
		return refuse(set, m.path, check.found[VD_FINDING_CORRUPT]);
	/* One of the findings is the mark itself. */
	ctl_note(m.path, "its last writer did not end well; %s %llu place%s of its tables",
		 dry_run ? "would merge" : "merging", (unsigned long long)unclean - 1,
		 unclean == 2 ? "" : "s");
	if (dry_run)
		return 0;
	check.flags |= VD_CHECK_REPAIR;
	check.report = NULL;
	return check_extent(set, seg, &check, &err) ? ctl_vd_error(&err, m.path) : 0;
}

int set_merge_unclean(struct image_set *set, bool dry_run)
{
	const struct set_image *top = &set->images[0];
	u32 i;
	int ret;

	for (i = top->first_seg; i < top->first_seg + top->nr_segs; i++) {
		const struct vdisk_segment_desc *seg = &set->segs[i];

		if (seg->member == VDISK_NO_MEMBER || !set->members[seg->member].writable)
			continue;
		ret = merge_extent(set, seg, dry_run);
		if (ret)
			return ret;
	}
	return 0;
}
