// SPDX-License-Identifier: GPL-2.0-only
/*
 * Checks of an image set's extents, for the verbs check and attach. The table
 * code is the backends'; it sees files and numbers, never a path.
 */
#include <errno.h>
#include <stdlib.h>
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
	if (!ret)
		ret = member_check_there(m);
	if (ret)
		return ret;
	if (fstat(fd, &after) || !same_state(&before, &after))
		return ctl_error(CTL_BUSY, "busy", m->path, "somebody else has just changed it");
	return 0;
}

/* --- after a crash --- */

#define MAX_TOLD	6	/* findings in the hints of an error */
#define MAX_LONE	1024	/* tables that an attach makes without being told to */

/**
 * struct merge - all extents that were left in mid-work
 * @path: of the file that is being looked at
 * @told, @nr_told: the first findings of damage
 * @before, @share: bytes of the extents that are done, and of this one
 */
struct merge {
	const char *path;
	char *told[MAX_TOLD];
	u32 nr_told;
	struct progress progress;
	u64 before;
	u64 share;
	bool write;
};

static void tell(void *ctx, enum vd_finding kind, const char *text)
{
	struct merge *m = ctx;

	if (kind == VD_FINDING_CORRUPT && m->nr_told < MAX_TOLD)
		m->told[m->nr_told++] = xstrdup(text);
}

static bool go_on(void *ctx, u64 done, u64 total)
{
	struct merge *m = ctx;

	progress_step(&m->progress, m->before +
		      (total ? (u64)((double)m->share * (double)done / (double)total) : 0));
	return !stop_wanted();
}

char *vd_error_text(const struct vd_error *err)
{
	const char *why = strerror(abs(err->code));

	if (!err->text[0])
		return xstrdup(why);
	/* What is wrong with an image, the sentence says itself. */
	if (err->code == -EUCLEAN || err->code == -EOPNOTSUPP || err->code == -EINTR)
		return xstrdup(err->text);
	return xasprintf("%s: %s", err->text, why);
}

static int failed(const struct merge *m, const struct vd_error *err)
{
	struct vd_error full = { .code = err->code };
	char *text;

	if (err->code == -EINTR && stop_wanted())
		return stop_asked();
	text = vd_error_text(err);
	snprintf(full.text, sizeof(full.text), "%s", text);
	free(text);
	return ctl_vd_error(&full, m->path);
}

static int refuse_damage(const struct image_set *set, const struct merge *m, u64 nr)
{
	const char *image = set->images[0].path;
	u32 i;

	ctl_error(CTL_IMAGE, "image_damaged", m->path,
		  "its last writer did not end well, and its tables contradict themselves in %llu place%s",
		  (unsigned long long)nr, nr == 1 ? "" : "s");
	for (i = 0; i < m->nr_told; i++)
		ctl_hint("%s", m->told[i]);
	if (nr > m->nr_told)
		ctl_hint("and %llu more", (unsigned long long)(nr - m->nr_told));
	ctl_hint("all of them, and what a repair would change: vdctl check --repair --dry-run %s",
		 image);
	return CTL_IMAGE;
}

static int refuse_lone(const struct image_set *set, const struct merge *m, u64 nr)
{
	ctl_error(CTL_IMAGE, "image_unclean", m->path,
		  "its last writer did not end well, and %llu of its tables lack their second copy: more than a crash leaves",
		  (unsigned long long)nr);
	ctl_hint("to make them all the same: vdctl check --repair=merge %s", set->images[0].path);
	return CTL_IMAGE;
}

static int merge_extent(struct image_set *set, const struct vdisk_segment_desc *seg,
			struct merge *m)
{
	struct vd_check check = {
		.flags = VD_CHECK_MERGE | VD_CHECK_IF_MARKED | (m->write ? VD_CHECK_REPAIR : 0),
		.report = tell,
		.progress = go_on,
		.ctx = m,
	};
	struct vd_error err = { 0 };
	u64 unclean;

	if (check_extent(set, seg, &check, &err))
		return failed(m, &err);
	unclean = check.found[VD_FINDING_UNCLEAN];
	if (!unclean)
		return 0;
	if (check.found[VD_FINDING_CORRUPT])
		return refuse_damage(set, m, check.found[VD_FINDING_CORRUPT]);
	if (!m->write && check.lone > MAX_LONE)
		return refuse_lone(set, m, check.lone);
	/* One of the findings is the mark itself. */
	if (m->write || set->opts->dry_run)
		ctl_warn(m->path, "its last writer did not end well; %s %llu place%s of its tables and clear%s its mark",
			 m->write ? "merged" : "would merge", (unsigned long long)unclean - 1,
			 unclean == 2 ? "" : "s", m->write ? "ed" : "");
	return 0;
}

static bool may_merge(const struct image_set *set, const struct vdisk_segment_desc *seg)
{
	return seg->member != VDISK_NO_MEMBER && set->members[seg->member].writable;
}

int set_merge_unclean(struct image_set *set, bool write)
{
	const struct set_image *top = &set->images[0];
	struct merge m = { .write = write };
	u32 i;
	int ret = 0;

	progress_begin(&m.progress, top->size);
	for (i = top->first_seg; i < top->first_seg + top->nr_segs && !ret; i++) {
		const struct vdisk_segment_desc *seg = &set->segs[i];

		if (!may_merge(set, seg))
			continue;
		m.path = set->members[seg->member].path;
		m.share = seg->len;
		ret = merge_extent(set, seg, &m);
		m.before += seg->len;
	}
	progress_end(&m.progress);
	while (m.nr_told)
		free(m.told[--m.nr_told]);
	return ret;
}
