// SPDX-License-Identifier: GPL-2.0-only
/* vdctl rename: an image, and the files that belong to it, get another name */
#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "netlink.h"
#include "rename.h"

enum { OPT_UPDATE = 400, OPT_IGNORE, OPT_DRY_RUN };

static const struct ctl_opt opts[] = {
	{ 'f', "format", "FMT", "format of the image: auto (default), or one of 'vdctl formats'" },
	{ OPT_UPDATE, "update-children", NULL, "tell the snapshots of it the new name" },
	{ OPT_IGNORE, "ignore-children", NULL, "although its snapshots no longer find it then" },
	{ OPT_DRY_RUN, "dry-run", NULL, "only say what would be renamed and rewritten" },
	{ 'J', "json", NULL, "JSON output" },
	{ 0 }
};

/* --- what is done --- */

static void print_move(const struct rename *r, const struct rename_file *f)
{
	char *from = rename_path(&r->from, f->from), *to = rename_path(&r->to, f->to);

	printf("rename:  ");
	text_escape(stdout, from);
	printf(" -> ");
	text_escape(stdout, to);
	printf(" (%s)\n", f->what);
	free(from);
	free(to);
}

static void print_line(const char *what, const char *path, const char *more)
{
	printf("%s", what);
	text_escape(stdout, path);
	printf("%s\n", more);
}

static void print_text(const struct rename *r)
{
	u32 i;

	print_move(r, &r->self);
	for (i = 0; i < r->nr_files; i++)
		print_move(r, &r->files[i]);
	if (rename_text_changes(&r->text))
		print_line("rewrite: ", r->new_full, " (names of its files)");
	for (i = 0; i < r->nr_children; i++)
		print_line("rewrite: ", r->children[i].path, " (name of its parent)");
	for (i = 0; i < r->nr_kept; i++)
		print_line("keep:    ", r->kept[i], "");
}

static struct json_object *json_move(const struct rename *r, const struct rename_file *f)
{
	char *from = rename_path(&r->from, f->from), *to = rename_path(&r->to, f->to);
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "what", json_text(f->what));
	json_object_object_add(o, "from", json_text(from));
	json_object_object_add(o, "to", json_text(to));
	free(from);
	free(to);
	return o;
}

static void print_json(const struct rename *r)
{
	struct json_object *top = json_top(), *files = json_object_new_array();
	struct json_object *rewrite = json_object_new_array(), *keep = json_object_new_array();
	u32 i;

	json_object_array_add(files, json_move(r, &r->self));
	for (i = 0; i < r->nr_files; i++)
		json_object_array_add(files, json_move(r, &r->files[i]));
	if (rename_text_changes(&r->text))
		json_object_array_add(rewrite, json_text(r->new_full));
	for (i = 0; i < r->nr_children; i++)
		json_object_array_add(rewrite, json_text(r->children[i].path));
	for (i = 0; i < r->nr_kept; i++)
		json_object_array_add(keep, json_text(r->kept[i]));
	json_object_object_add(top, "format", json_text(vd_format_name(r->text.format)));
	json_object_object_add(top, "dry-run", json_object_new_boolean(r->dry_run));
	json_object_object_add(top, "rename", files);
	json_object_object_add(top, "rewrite", rewrite);
	json_object_object_add(top, "keep", keep);
	json_print(top);
}

static void report(const struct rename *r)
{
	u32 i;

	if (ctl.json)
		print_json(r);
	else if (r->dry_run)
		print_text(r);
	for (i = 0; i < r->nr_kept && !r->dry_run; i++)
		ctl_note(r->new_full, "'%s' keeps its name", r->kept[i]);
}

/* --- the verb --- */

static int not_found(const struct rename *r)
{
	struct stat st;

	ctl_drop();
	ctl_error(CTL_NOTFOUND, "not_found", r->old_path, "no such file");
	if (!stat(r->new_full, &st))
		ctl_hint("%s is there, and nothing is left to be done for it", r->new_full);
	return CTL_NOTFOUND;
}

/* The old name is gone: did an earlier run get that far? */
static int finish(struct rename *r)
{
	bool journal = rename_journal_there(r);
	struct stat st;
	int ret;

	if (stat(r->new_full, &st))
		return not_found(r);
	ret = rename_open(r, r->new_full);
	if (!ret)
		ret = rename_plan_rest(r);
	if (ret)
		return ret;
	if (!journal && !r->nr_files)
		return not_found(r);
	if (r->dry_run) {
		report(r);
		return 0;
	}
	ret = rename_drop_old(r);
	if (!ret && journal)
		ret = rename_drop_journal(r);
	if (!ret)
		ctl_note(r->new_full, "an earlier run had renamed it; what was left of that is done");
	if (!ret)
		report(r);
	return ret;
}

/* A delta that is taken away from its parent: it may follow, or have gone before. */
static void warn_parent(const struct rename *r)
{
	const struct set_image *image = &r->set.images[0];

	if (!image->layout || !(image->layout->flags & VD_LAYOUT_PARENT) ||
	    (r->from.dev == r->to.dev && r->from.ino == r->to.ino))
		return;
	ctl_warn(r->new_full, "has a parent, which is looked for from its new directory now");
}

static int rename_image(struct rename *r)
{
	bool gone;
	int ret;

	ret = rename_resolve(r, &gone);
	if (ret)
		return ret;
	if (gone)
		return finish(r);
	if (rename_journal_there(r)) {
		if (r->dry_run)
			ctl_warn(r->old_path, "an earlier run was stopped, and would be undone first");
		ret = r->dry_run ? CTL_OK : rename_recover(r);
	}
	if (!ret)
		ret = rename_open(r, r->old_path);
	if (!ret)
		ret = rename_plan(r);
	if (!ret && !r->dry_run)
		ret = rename_apply(r);
	if (ret)
		return ret;
	warn_parent(r);
	report(r);
	return 0;
}

static int option(struct rename *r, int id, const char *arg)
{
	switch (id) {
	case CTL_OPT_BAD:
		return CTL_USAGE;
	case 'J':
		return 0;
	case OPT_UPDATE:
		r->update_children = true;
		return 0;
	case OPT_IGNORE:
		r->ignore_children = true;
		return 0;
	case OPT_DRY_RUN:
		r->dry_run = true;
		return 0;
	}
	return image_opt(&r->opts, id, arg);
}

static int arguments(const struct cmd *cmd, struct rename *r, int argc, char **argv)
{
	int nr = argc - optind;

	if (nr < 2)
		return cmd_usage(cmd, nr ? "which new name?" : "which image?");
	if (nr > 2)
		return cmd_usage(cmd, "too many arguments");
	if (r->update_children && r->ignore_children)
		return cmd_usage(cmd, "--update-children and --ignore-children exclude each other");
	r->old_path = argv[optind];
	r->new_path = argv[optind + 1];
	return 0;
}

static int run(const struct cmd *cmd, int argc, char **argv)
{
	struct rename r = { .new_fd = -1, .from.fd = -1, .to.fd = -1 };
	int id, ret = 0;

	while (!ret && (id = ctl_getopt(cmd, argc, argv)) != CTL_OPT_END) {
		if (id == CTL_OPT_HELP)
			goto out;
		ret = option(&r, id, optarg);
	}
	if (!ret)
		ret = arguments(cmd, &r, argc, argv);
	if (!ret)
		ret = rename_image(&r);
	rename_close(&r);
	if (ret)
		stop_raise();
out:
	free(r.opts.parents);
	free(r.opts.outside);
	return ret;
}

const struct cmd cmd_rename = {
	.name = "rename",
	.args = "IMAGE NEW",
	.summary = "Give an image and its files another name",
	.more = "NEW is a name, or a directory of the same file system. Files that the image names and\n"
		"that are called after it follow. All or nothing: an error or a signal leaves\n"
		"everything as it was, and after a crash the same command goes on. Needs neither root\n"
		"nor the kernel module.",
	.opts = { opts, reference_opts },
	.run = run,
};
