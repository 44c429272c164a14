// SPDX-License-Identifier: GPL-2.0-only
/*
 * vdctl check: are an image's tables sound; and repairing them
 *
 * The first look never writes, and a file is opened for writing only if that
 * look found something to repair in it.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <uuid/uuid.h>
#include "check.h"

/* Numbers of qemu-img check, which scripts know. */
enum {
	CHECK_CLEAN	= 0,
	CHECK_NOT_DONE	= 1,
	CHECK_CORRUPT	= 2,
	CHECK_LEAKS	= 3,
	CHECK_NONE	= 63,
};

enum { OPT_REPAIR = 400, OPT_CHAIN, OPT_VMWARE, OPT_CHILDREN };

static const struct ctl_opt opts[] = {
	{ OPT_REPAIR, "repair", "=merge|all", "repair all (default), or merge: only what a crash leaves" },
	{ 'n', "dry-run", NULL, "with --repair: write nothing, say what would be repaired" },
	{ OPT_CHAIN, "chain", NULL, "the parents too" },
	{ OPT_CHILDREN, "ignore-children", NULL, "repair although snapshots of the image are spoilt by that" },
	{ OPT_VMWARE, "ignore-vmware-lock", NULL, "although VMware's FILE.lck says that it is in use" },
	{ 'J', "json", NULL, "JSON" },
	{ 0 }
};

/**
 * struct run - the verb at work
 * @before, @share: bytes of the extents that are done, and of this one
 */
struct run {
	struct set_options image;
	struct image_set set;
	struct check_report report;
	struct check_extent *current;
	struct progress progress;
	u64 before;
	u64 share;
	bool chain;
};

u64 check_found(const struct check_report *r, enum vd_finding kind, bool last)
{
	u64 n = 0;
	u32 i;

	for (i = 0; i < r->nr; i++)
		n += last ? r->extents[i].last.found[kind] : r->extents[i].first.found[kind];
	return n;
}

u64 check_repairable(const struct check_report *r, enum vd_finding kind)
{
	u64 n = 0;
	u32 i;

	for (i = 0; i < r->nr; i++)
		n += r->extents[i].first.repaired[kind];
	return n;
}

/* --- collecting --- */

static void keep(void *ctx, enum vd_finding kind, const char *text)
{
	struct run *run = ctx;
	struct check_extent *e = run->current;

	e->list = xrealloc(e->list, e->nr + 1, sizeof(*e->list));
	e->list[e->nr++] = (struct check_finding) { kind, xstrdup(text) };
}

static bool go_on(void *ctx, u64 done, u64 total)
{
	struct run *run = ctx;

	progress_step(&run->progress, run->before +
		      (total ? (u64)((double)run->share * (double)done / (double)total) : 0));
	return !stop_wanted();
}

static void changed(void *ctx, enum vd_change how, u64 pos, u64 len)
{
	struct run *run = ctx;
	struct check_extent *e = run->current;
	struct check_change *last = e->nr_changes ? &e->changes[e->nr_changes - 1] : NULL;
	u64 end = min(pos + len, e->seg->len);

	if (pos >= end)
		return;
	pos += e->seg->start;
	end += e->seg->start;
	if (last && last->how == how && last->start + last->len == pos) {
		last->len = end - last->start;
		return;
	}
	e->changes = xrealloc(e->changes, e->nr_changes + 1, sizeof(*e->changes));
	e->changes[e->nr_changes++] = (struct check_change) { how, pos, end - pos };
}

static struct check_extent *add_extent(struct run *run, u32 image,
				       const struct vdisk_segment_desc *seg, const char *path)
{
	struct check_report *r = &run->report;
	struct check_extent *e;

	r->extents = xrealloc(r->extents, r->nr + 1, sizeof(*r->extents));
	e = &r->extents[r->nr++];
	memset(e, 0, sizeof(*e));
	e->image = image;
	e->seg = seg;
	e->path = path;
	run->current = e;
	return e;
}

/* A finding about an image that no extent has. */
static void image_finding(struct run *run, u32 image, enum vd_finding kind, const char *text)
{
	struct check_extent *e = add_extent(run, image, NULL, run->set.images[image].path);

	e->first.found[kind]++;
	e->last.found[kind]++;
	keep(run, kind, text);
}

/* Once: while they are made, or if they will not be. */
static bool tell_changes(const struct run *run, u32 flags)
{
	const struct check_report *r = &run->report;

	return flags & VD_CHECK_REPAIR || (r->dry_run && r->mode == CHECK_ALL);
}

/* Tables as they were before a repair, in a file beside the image. */
static int save(void *ctx, struct vd_file *file, u64 pos, u64 len, struct vd_error *err)
{
	struct run *run = ctx;

	return check_save(run->current->path, file, pos, len, err);
}

static void one_pass(struct run *run, struct check_extent *e, struct vd_check *check, bool tell,
		     u32 flags)
{
	struct vd_error err = { 0 };

	run->current = e;
	run->share = e->seg->len;
	check->flags = flags | (run->report.mode == CHECK_MERGE ? VD_CHECK_MERGE : 0);
	check->report = tell ? keep : NULL;
	check->progress = go_on;
	check->changed = tell_changes(run, flags) ? changed : NULL;
	check->save = save;
	check->ctx = run;
	uuid_generate_random(check->random);
	uuid_generate_random(check->random + sizeof(uuid_t));
	if (check_extent(&run->set, e->seg, check, &err) && !e->failed)
		e->failed = vd_error_text(&err);
}

/* --- the passes --- */

static bool has_check(const struct vdisk_segment_desc *seg)
{
	return seg->member != VDISK_NO_MEMBER;
}

static u32 images_to_check(const struct run *run)
{
	return run->chain ? run->set.nr_images : 1;
}

static void begin_pass(struct run *run)
{
	u32 i;
	u64 total = 0;

	for (i = 0; i < run->set.nr_segs; i++)
		if (has_check(&run->set.segs[i]) &&
		    run->set.segs[i].image < images_to_check(run))
			total += run->set.segs[i].len;
	run->before = 0;
	progress_begin(&run->progress, total);
}

static void look(struct run *run)
{
	const struct image_set *set = &run->set;
	struct check_extent *e;
	u32 i;

	begin_pass(run);
	for (i = 0; i < set->nr_segs && !stop_wanted(); i++) {
		const struct vdisk_segment_desc *seg = &set->segs[i];

		if (!has_check(seg) || seg->image >= images_to_check(run))
			continue;
		e = add_extent(run, seg->image, seg, set->members[seg->member].path);
		one_pass(run, e, &e->first, true, 0);
		e->last = e->first;
		run->before += seg->len;
	}
	progress_end(&run->progress);
}

static bool to_repair(const struct check_extent *e)
{
	return e->seg && !e->failed &&
	       (e->first.repaired[VD_FINDING_CORRUPT] || e->first.repaired[VD_FINDING_UNCLEAN]);
}

/**
 * struct job - what a repair has to do with one image
 * @any: something
 * @marked: an extent says that it is in use
 * @alters: parts of the disk will read other than before
 */
struct job {
	bool any;
	bool marked;
	bool alters;
};

static struct job job_of(const struct run *run, u32 image)
{
	const struct check_report *r = &run->report;
	struct job job = { 0 };
	u32 i;

	for (i = 0; i < r->nr; i++) {
		const struct check_extent *e = &r->extents[i];

		if (e->image != image || !e->seg)
			continue;
		job.marked |= e->first.found[VD_FINDING_UNCLEAN] > 0;
		if (!to_repair(e))
			continue;
		job.any = true;
		job.alters |= e->first.altered > 0;
	}
	return job;
}

/*
 * May image @image be repaired? Whoever has it open for writing may have more in
 * mind than the file says; children live on what it reads.
 */
static int may_repair(const struct run *run, u32 image, const struct job *job)
{
	int ret;

	ret = set_check_writers(&run->set, image, job->marked);
	if (!ret && job->alters && run->set.images[image].layout)
		ret = set_check_children(&run->set, image);
	return ret;
}

/* Every file that will be written is open and locked before the first is written. */
static int open_repair(struct run *run, u32 image, const struct job *job)
{
	struct check_report *r = &run->report;
	u32 i;
	int ret = 0;

	for (i = 0; i < r->nr && !ret; i++)
		if (r->extents[i].image == image && to_repair(&r->extents[i]))
			ret = member_reopen_writable(&run->set, r->extents[i].seg->member);
	if (!ret && job->alters && run->set.images[image].layout)
		ret = member_reopen_writable(&run->set, run->set.images[image].member);
	return ret;
}

static int prepare_repair(struct run *run, bool *any)
{
	u32 i, nr = images_to_check(run);
	struct job job;
	int ret = 0;

	*any = false;
	for (i = 0; i < nr && !ret; i++) {
		job = job_of(run, i);
		if (!job.any)
			continue;
		*any = true;
		ret = may_repair(run, i, &job);
		if (!ret && !run->report.dry_run)
			ret = open_repair(run, i, &job);
	}
	return !ret && *any && !run->report.dry_run ? vmware_lock_check(&run->set, true) : ret;
}

/* A child that was made of what can no longer be read must not fit any more. */
static int renew_ids(struct run *run)
{
	u32 i, nr = images_to_check(run);
	struct job job;
	int ret = 0;

	for (i = 0; i < nr && !ret; i++) {
		job = job_of(run, i);
		if (job.alters && run->set.images[i].layout)
			ret = set_renew_ids(&run->set, i);
	}
	return ret;
}

static int repair(struct run *run)
{
	struct check_report *r = &run->report;
	struct vd_check check = { 0 };
	bool any;
	u32 i;
	int ret;

	ret = prepare_repair(run, &any);
	if (ret || !any || r->dry_run)
		return ret;
	ret = renew_ids(run);
	if (ret)
		return ret;
	begin_pass(run);
	r->wrote = true;
	for (i = 0; i < r->nr && !stop_wanted(); i++) {
		struct check_extent *e = &r->extents[i];

		if (!to_repair(e))
			continue;
		one_pass(run, e, &check, false, VD_CHECK_REPAIR);
		/* What it looks like now is for the tables to say. */
		if (!e->failed)
			one_pass(run, e, &e->last, false, 0);
		run->before += e->seg->len;
	}
	progress_end(&run->progress);
	return 0;
}

/*
 * A parent that does not fit is a finding; one that is not there is none of
 * this image's faults, unless it was to be checked too.
 */
static int open_parents(struct run *run)
{
	struct image_set *set = &run->set;
	char *text;
	int ret;

	if (!set->images[0].layout)
		return 0;
	ret = set_open_parents(set);
	if (!ret || (run->chain && ret != CTL_IMAGE))
		return ret;
	text = ctl_take();
	image_finding(run, set->nr_images - 1,
		      ret == CTL_IMAGE ? VD_FINDING_CORRUPT : VD_FINDING_NOTE, text);
	free(text);
	return 0;
}

static int verdict(const struct check_report *r)
{
	u32 i;

	for (i = 0; i < r->nr; i++)
		if (r->extents[i].failed)
			return CHECK_NOT_DONE;
	if (stop_wanted())
		return CHECK_NOT_DONE;
	if (check_found(r, VD_FINDING_CORRUPT, true) || check_found(r, VD_FINDING_UNCLEAN, true))
		return CHECK_CORRUPT;
	return check_found(r, VD_FINDING_LEAK, true) ? CHECK_LEAKS : CHECK_CLEAN;
}

/* Errors of other verbs have other numbers. */
static int not_done(int ret)
{
	return ret ? CHECK_NOT_DONE : 0;
}

static int check_open_set(struct run *run)
{
	int ret;

	ret = open_parents(run);
	if (ret)
		return not_done(ret);
	look(run);
	if (run->report.mode != CHECK_LOOK && !stop_wanted()) {
		ret = repair(run);
		/* A dry run tells what stands in the way, but first what it is about. */
		if (ret && !run->report.dry_run)
			return not_done(ret);
	}
	if (ctl.json)
		check_print_json(&run->report);
	else
		check_print(&run->report);
	if (stop_wanted())
		ctl_error(CHECK_NOT_DONE, "interrupted", run->set.images[0].path,
			  "stopped before its end");
	return verdict(&run->report);
}

static bool checkable(const struct run *run)
{
	u32 i;

	for (i = 0; i < images_to_check(run); i++)
		if (run->set.images[i].format != VDISK_FORMAT_RAW)
			return true;
	return false;
}

static void free_report(struct check_report *r)
{
	u32 i, k;

	for (i = 0; i < r->nr; i++) {
		for (k = 0; k < r->extents[i].nr; k++)
			free(r->extents[i].list[k].text);
		free(r->extents[i].list);
		free(r->extents[i].changes);
		free(r->extents[i].failed);
	}
	free(r->extents);
}

static int check(struct run *run, char *const *paths, int nr)
{
	int ret;

	/* Parents are opened on their own, as their absence is judged here. */
	run->image.top_only = true;
	ret = set_open(&run->set, &run->image, paths, nr);
	if (ret)
		return not_done(ret);
	run->report.set = &run->set;
	if (checkable(run)) {
		stop_catch();
		ret = check_open_set(run);
	} else {
		ret = ctl_error(CHECK_NONE, "no_check", run->set.images[0].path,
				"a raw image has no tables: there is nothing to check");
	}
	free_report(&run->report);
	set_close(&run->set);
	return ret;
}

/* --- the command line --- */

static int repair_option(struct run *run, const char *arg)
{
	if (!arg || !strcmp(arg, "all"))
		run->report.mode = CHECK_ALL;
	else if (!strcmp(arg, "merge"))
		run->report.mode = CHECK_MERGE;
	else
		return ctl_error(CTL_USAGE, "usage", NULL, "--repair=%s: it is merge or all", arg);
	return 0;
}

static int option(struct run *run, int id, const char *arg)
{
	int ret = image_opt(&run->image, id, arg);

	if (ret >= 0)
		return ret;
	switch (id) {
	case OPT_REPAIR:
		return repair_option(run, arg);
	case 'n':
		run->report.dry_run = true;
		return 0;
	case OPT_CHAIN:
		run->chain = true;
		return 0;
	case OPT_CHILDREN:
		run->image.ignore_children = true;
		return 0;
	case OPT_VMWARE:
		run->image.ignore_vmware_lock = true;
		return 0;
	}
	return 0;
}

static int judge_options(const struct cmd *cmd, const struct run *run, int nr)
{
	if (!nr)
		return cmd_usage(cmd, "which image?");
	if (run->image.lock == SET_LOCK_NO && run->report.mode != CHECK_LOOK &&
	    !run->report.dry_run)
		return cmd_usage(cmd, "a repair wants the image for itself: -U is for looking");
	return 0;
}

static int run(const struct cmd *cmd, int argc, char **argv)
{
	struct run run = { 0 };
	int id, ret = 0;

	while (!ret && (id = ctl_getopt(cmd, argc, argv)) != CTL_OPT_END) {
		if (id == CTL_OPT_HELP)
			goto out;
		ret = id == CTL_OPT_BAD ? CTL_USAGE : option(&run, id, optarg);
	}
	if (!ret)
		ret = judge_options(cmd, &run, argc - optind);
	ret = ret ? not_done(ret) : check(&run, argv + optind, argc - optind);
out:
	free(run.image.parents);
	free(run.image.outside);
	return ret;
}

const struct cmd cmd_check = {
	.name = "check",
	.args = "IMAGE",
	.summary = "Check an image's tables, and repair them",
	.more = "Needs neither root nor the kernel module. Without --repair nothing is written.\n\n"
		"Exit codes are those of qemu-img check: 0 clean, 1 not completed, 2 corrupt,\n"
		"3 leaked space only, 63 no check for this format.",
	.opts = { opts, image_opts, share_opts },
	.run = run,
};
