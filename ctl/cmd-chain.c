// SPDX-License-Identifier: GPL-2.0-only
/* vdctl chain: an image and its parents, as far as they can be found */
#include <getopt.h>
#include <json-c/json.h>
#include <stdlib.h>
#include "chain-rows.h"
#include "chain-search.h"
#include "netlink.h"

enum { OPT_SEARCH = 400 };

static const struct ctl_opt opts[] = {
	{ OPT_SEARCH, "search", "DIR", "look for lost parents in DIR and below; without IMAGE, for all chains" },
	{ 'J', "json", NULL, "JSON: the images from the top in \"chain\"" },
	{ 0 }
};

static const char *state_of(const struct set_image *image)
{
	return image->misfit ? "wrong parent" : "ok";
}

static const char *found_word(const struct set_image *parent)
{
	switch (parent->found) {
	case FOUND_NAME: return "name";
	case FOUND_UUID: return "beside";
	default: return "--parent";
	}
}

static void add_image(struct chain_rows *rows, const struct image_set *set, u32 index)
{
	const struct set_image *image = &set->images[index];
	struct chain_row *row = rows_add(rows);

	row->file = xstrdup(image->path);
	row->format = vd_format_name(image->format);
	row->subformat = set_subformat(image);
	row->size = image->size;
	layout_ids(image->layout, &row->ids);
	row->state = state_of(image);
	row->note = image->misfit ? xasprintf("its child %s", image->misfit) : NULL;
	if (index + 1 == set->nr_images)
		return;
	row_link(row, found_word(&image[1]));
	row_link_ids(row, image[1].link);
}

/* By what opening the parent ended with. */
static const char *stopped(int ret)
{
	switch (ret) {
	case CTL_NOTFOUND: return "missing";
	case CTL_BUSY: return "in use";
	case CTL_PERM: return "refused";
	case CTL_IMAGE: return "unusable";
	default: return "failed";
	}
}

static void collect(struct chain_rows *rows, const struct image_set *set, int ret)
{
	const struct set_image *last = &set->images[set->nr_images - 1];
	u32 i;

	for (i = 0; i < set->nr_images; i++)
		add_image(rows, set, i);
	if (ret)
		rows_add_wanted(rows, &rows->row[rows->nr - 1].ids,
				vd_layout_str(last->layout, last->layout->props.parent_name),
				stopped(ret));
}

static int print(const struct chain_rows *rows, bool complete)
{
	struct json_object *top;

	if (!ctl.json)
		return rows_print(rows);
	top = json_top();
	json_object_object_add(top, "complete", json_object_new_boolean(complete));
	json_object_object_add(top, "chain", rows_json(rows));
	json_print(top);
	return 0;
}

static int misfit(const struct image_set *set)
{
	u32 i;

	for (i = 1; i < set->nr_images && !set->images[i].misfit; i++)
		;
	if (i == set->nr_images || set->opts->force_parent)
		return 0;
	ctl_error(CTL_IMAGE, "parent_changed", set->images[i - 1].path, "%s",
		  set->images[i].misfit);
	ctl_hint("--force-parent reads it anyway");
	return CTL_IMAGE;
}

static int chain(const struct set_options *options, const char *path)
{
	struct chain_rows *rows;
	struct image_set set;
	int ret;

	ret = set_open_top(&set, options, path);
	if (ret)
		return ret;
	rows = xrealloc(NULL, 1, sizeof(*rows));
	rows->nr = 0;
	ret = set_open_parents(&set);
	collect(rows, &set, ret);
	if (!ret)
		ret = misfit(&set);
	print(rows, !ret);
	if (!ret)
		ret = set_check_parents_used(&set);
	rows_clear(rows);
	free(rows);
	set_close(&set);
	return ret;
}

static int check_arguments(const struct cmd *cmd, const char *dir,
			   const struct set_options *options, int nr)
{
	if (nr > 1)
		return cmd_usage(cmd, "one image at a time");
	if (!dir && !nr)
		return cmd_usage(cmd, "which image?");
	if (dir && options->nr_parents)
		return cmd_usage(cmd, "--search finds parents itself: no --parent");
	return 0;
}

static int run(const struct cmd *cmd, int argc, char **argv)
{
	struct set_options options = { .show_parents = true };
	const char *dir = NULL;
	int id, ret = 0;

	while (!ret && (id = ctl_getopt(cmd, argc, argv)) != CTL_OPT_END) {
		if (id == CTL_OPT_HELP)
			goto out;
		ret = id == CTL_OPT_BAD ? CTL_USAGE : image_opt(&options, id, optarg);
		if (ret < 0) {
			ret = 0;
			if (id == OPT_SEARCH)
				dir = optarg;
		}
	}
	if (!ret)
		ret = check_arguments(cmd, dir, &options, argc - optind);
	if (!ret && dir)
		ret = chain_search(dir, optind < argc ? argv[optind] : NULL);
	else if (!ret)
		ret = chain(&options, argv[optind]);
	if (ret)
		stop_raise();
out:
	free(options.parents);
	free(options.outside);
	return ret;
}

const struct cmd cmd_chain = {
	.name = "chain",
	.args = "IMAGE | --search DIR [IMAGE]",
	.summary = "Show an image and its parents, or find lost ones",
	.more = "LINK tells what ties an image to the next: how that was found (its name, beside its\n"
		"child, --parent), and which ids say that it is the right one. With --search nothing is\n"
		"locked. Needs neither root nor the kernel module.",
	.opts = { opts, reference_opts, share_opts },
	.run = run,
};
