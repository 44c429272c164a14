// SPDX-License-Identifier: GPL-2.0-only
/*
 * May the top image be written, and if so: its files become writable.
 *
 * A set is opened for reading first, so that whatever speaks against writing
 * is found before any file is open for it. Then the read locks become write
 * locks, the files are opened once more, and the locks move over. Nothing is
 * changed by that; what has to be is a step of its own, when all else is sure.
 */
#include <stdlib.h>
#include <unistd.h>
#include "image-set.h"

/**
 * struct verdict - the first reason not to write
 * @text: NULL: there is none
 * @only_cbt: change tracking, and nothing else so far
 */
struct verdict {
	char *text;
	bool only_cbt;
};

/* Any other reason outweighs change tracking, which a user can give up. */
static void verdict_add(struct verdict *v, char *text, bool only_cbt)
{
	if (v->text && (!v->only_cbt || only_cbt)) {
		free(text);
		return;
	}
	free(v->text);
	v->text = text;
	v->only_cbt = only_cbt;
}

static void judge_layout(struct image_set *set, struct verdict *v)
{
	const struct vd_layout *layout = set->images[0].layout;

	set->unclean = layout->flags & VD_LAYOUT_UNCLEAN;
	if (layout->flags & VD_LAYOUT_RDONLY)
		verdict_add(v, xstrdup(vd_layout_str(layout, layout->ro_reason)),
			    layout->flags & VD_LAYOUT_ONLY_CBT);
}

/*
 * A flat file whose last sector is cut short would have to grow. One that lacks
 * more cannot be read either: no reason for read-only.
 */
static int judge_flat(const struct set_image *top, const struct set_member *m,
		      const struct vdisk_segment_desc *seg, struct verdict *v)
{
	u64 end = seg->offset + seg->len;

	if (end <= m->size)
		return 0;
	if (end > ((m->size + 511) & ~511ULL))
		return ctl_error(CTL_IMAGE, "image_damaged", top->path,
				 "the flat extent %s ends at byte %llu, but the disk needs it up to byte %llu",
				 path_base(m->path), (unsigned long long)m->size,
				 (unsigned long long)end);
	verdict_add(v, xasprintf("the extent %s ends before the part of the disk that it holds",
				 path_base(m->path)), false);
	return 0;
}

static int judge_extent(struct image_set *set, const struct vdisk_segment_desc *seg,
			struct verdict *v)
{
	struct set_member *m = &set->members[seg->member];
	struct vd_extent_state state;
	int ret;

	ret = extent_confined(m->fd, m->path, seg->kind, &state);
	if (ret)
		return ret;
	if (state.flags & VD_LAYOUT_UNCLEAN)
		set->unclean = true;
	if (state.flags & VD_LAYOUT_ONLY_CBT)
		m->tracked = true;
	/* The layout has told what stands in the image's own header, but not what is behind. */
	if (state.flags & VD_LAYOUT_RDONLY && (seg->member != set->images[0].member ||
					       !(set->images[0].layout->flags & VD_LAYOUT_RDONLY)))
		verdict_add(v, xasprintf("%s: %s", path_base(m->path), state.ro_reason),
			    state.flags & VD_LAYOUT_ONLY_CBT);
	return 0;
}

static int judge(struct image_set *set, struct verdict *v)
{
	const struct set_image *top = &set->images[0];
	u32 i;
	int ret = 0;

	judge_layout(set, v);
	/* New grains would be filled up from whatever that is. */
	if (set->wrong_parent)
		verdict_add(v, xstrdup("a parent is not the one that it was made of (--force-parent)"),
			    false);
	for (i = 0; i < top->nr_segs && !ret && (!v->text || v->only_cbt); i++) {
		const struct vdisk_segment_desc *seg = &set->segs[top->first_seg + i];

		if (seg->member == VDISK_NO_MEMBER)
			continue;
		if (seg->kind == VDISK_SEG_RAW)
			ret = judge_flat(top, &set->members[seg->member], seg, v);
		else
			ret = judge_extent(set, seg, v);
	}
	return ret;
}

/* Other verbs that write have no way to do without. */
static void hint_read_only(void)
{
	if (ctl_attaches())
		ctl_hint("without --rw it is attached read-only");
}

/* Takes over @reason. */
static int stay_read_only(struct image_set *set, char *reason, bool only_cbt)
{
	const char *path = set->images[0].path;
	bool refuse = set->opts->mode == SET_WRITE;
	char *command = ctl_command_with("--drop-cbt", NULL);

	set->ro_reason = reason;
	if (refuse)
		ctl_error(CTL_IMAGE, "read_only", path, "cannot be written: %s", reason);
	else
		ctl_warn(path, "attached read-only: %s", reason);
	if (only_cbt && refuse)
		ctl_hint("to give change tracking up: %s", command);
	else if (only_cbt)
		ctl_hint_now("to give change tracking up: %s", command);
	else if (refuse)
		hint_read_only();
	free(command);
	return refuse ? CTL_IMAGE : 0;
}

static bool of_top(const struct set_member *m)
{
	return !m->image;
}

static void unlock_writing(struct image_set *set)
{
	u32 i;

	for (i = 0; i < set->nr_members && set->opts->lock == SET_LOCK_YES; i++)
		if (of_top(&set->members[i]))
			lock_downgrade(set->members[i].fd, set->members[i].block);
}

static int lock_writing(struct image_set *set)
{
	u32 i;
	int ret = 0;

	for (i = 0; i < set->nr_members && set->opts->lock == SET_LOCK_YES && !ret; i++) {
		const struct set_member *m = &set->members[i];

		if (!of_top(m))
			continue;
		ret = lock_file(m->fd, m->path, true, m->block);
		if (!ret)
			ret = member_check_there(m);
	}
	return ret;
}

static void close_fds(int *fds, u32 nr)
{
	while (nr--)
		if (fds[nr] >= 0)
			close(fds[nr]);
	free(fds);
}

/* Each file of the top once more, for writing; nothing changes if one fails. */
static int reopen_all(struct image_set *set, int **out)
{
	int *fds = xrealloc(NULL, set->nr_members, sizeof(*fds));
	int ret;
	u32 i;

	for (i = 0; i < set->nr_members; i++) {
		const struct set_member *m = &set->members[i];

		fds[i] = -1;
		if (!of_top(m))
			continue;
		ret = reopen_checked(m->fd, m->path, true, &fds[i]);
		if (ret) {
			fds[i] = -1;
			close_fds(fds, i + 1);
			return ret;
		}
	}
	*out = fds;
	return 0;
}

static int move_in(struct image_set *set, int *fds)
{
	int ret = 0;
	u32 i;

	for (i = 0; i < set->nr_members; i++) {
		struct set_member *m = &set->members[i];

		if (!of_top(m))
			continue;
		if (!ret && set->opts->lock == SET_LOCK_YES)
			ret = lock_move(m->fd, fds[i], m->path, m->block);
		else
			close(m->fd);
		m->fd = fds[i];
		m->writable = true;
		fds[i] = -1;
	}
	free(fds);
	return ret;
}

/* Nobody may write there: then read-only will do, unless --rw was said. */
static int not_permitted(struct image_set *set)
{
	if (set->opts->mode == SET_WRITE) {
		hint_read_only();
		return CTL_PERM;
	}
	set->ro_reason = ctl_pending_text();
	ctl_drop();
	ctl_warn(set->images[0].path, "attached read-only: %s", set->ro_reason);
	unlock_writing(set);
	set->drop_cbt = false;
	return 0;
}

static int make_writable(struct image_set *set)
{
	int *fds = NULL;
	int ret;

	ret = set_check_children(set, 0);
	if (!ret && set->opts->lock == SET_LOCK_YES)
		ret = vmware_lock_check(set, true);
	if (!ret)
		ret = lock_writing(set);
	if (!ret)
		ret = set_check_writers(set, 0, set->unclean);
	if (ret)
		return ret;
	ret = reopen_all(set, &fds);
	if (ret)
		return ret == CTL_PERM ? not_permitted(set) : ret;
	ret = move_in(set, fds);
	if (ret)
		return ret;
	set->writable = true;
	if (set->unclean)
		ret = set_merge_unclean(set, false);
	return ret ? ret : set_add_patches(set);
}

bool set_to_change(const struct image_set *set)
{
	return set->writable && (set->unclean || set->drop_cbt);
}

int set_change(struct image_set *set)
{
	int ret = 0;

	if (!set_to_change(set))
		return 0;
	stop_catch();
	if (set->unclean)
		ret = set_merge_unclean(set, true);
	if (!ret)
		ret = stop_asked();
	if (!ret && set->drop_cbt)
		ret = set_drop_cbt(set);
	/* Their places may have moved. */
	if (!ret)
		ret = set_add_patches(set);
	stop_release();
	return ret ? ret : stop_asked();
}

int set_make_writable(struct image_set *set)
{
	struct verdict v = { NULL, false };
	int ret;

	if (set->opts->mode == SET_READ || !set->images[0].layout)
		return 0;
	ret = judge(set, &v);
	if (ret) {
		free(v.text);
		return ret;
	}
	set->drop_cbt = v.text && v.only_cbt && set->opts->cbt != SET_CBT_RESPECT;
	if (v.text && !set->drop_cbt)
		return stay_read_only(set, v.text, v.only_cbt);
	free(v.text);
	return make_writable(set);
}
