// SPDX-License-Identifier: GPL-2.0-only
/* vdctl probe: which format a file has, by its content */
#include <getopt.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <unistd.h>
#include "image-set.h"
#include "netlink.h"

static const struct ctl_opt opts[] = {
	{ 'J', "json", NULL, "JSON" },
	{ 0 }
};

static void print_json(const char *path, const struct parsed *found)
{
	struct json_object *top = json_top();

	json_object_object_add(top, "filename", json_text(path));
	json_object_object_add(top, "format", json_text(vd_format_name(found->format)));
	json_object_object_add(top, "subformat",
			       found->subformat[0] ? json_text(found->subformat) : NULL);
	json_object_object_add(top, "score", json_object_new_int(found->score));
	json_print(top);
}

static void print_text(const char *path, const struct parsed *found)
{
	printf("%s", vd_format_name(found->format));
	if (found->subformat[0] && strcmp(found->subformat, vd_format_name(found->format))) {
		putchar(' ');
		text_escape(stdout, found->subformat);
	}
	putchar('\n');
	if (!found->score)
		ctl_warn(path, "no format recognises its content: raw is only a guess");
}

static int probe(const struct set_options *options, const char *path)
{
	struct opened file;
	struct parsed found;
	int ret;

	ret = open_named(path, false, &file);
	if (ret)
		return ret;
	/* Only the start is looked at, so no lock is needed. */
	ret = parse_confined(file.fd, file.path, options->format, false, &found);
	if (!ret && options->format && !found.score)
		ret = ctl_error(CTL_IMAGE, "unsupported", file.path, "is no %s image",
				options->format);
	if (!ret && ctl.json)
		print_json(file.path, &found);
	else if (!ret)
		print_text(file.path, &found);
	close(file.fd);
	free(file.path);
	return ret;
}

static int run(const struct cmd *cmd, int argc, char **argv)
{
	struct set_options options = { 0 };
	int id, ret = 0;

	while (!ret && (id = ctl_getopt(cmd, argc, argv)) != CTL_OPT_END) {
		if (id == CTL_OPT_HELP)
			goto out;
		ret = id == CTL_OPT_BAD ? CTL_USAGE : image_opt(&options, id, optarg);
		if (ret < 0)
			ret = 0;
	}
	if (!ret && argc - optind != 1)
		ret = cmd_usage(cmd, "which image?");
	if (!ret)
		ret = probe(&options, argv[optind]);
out:
	free(options.parents);
	free(options.outside);
	return ret;
}

const struct cmd cmd_probe = {
	.name = "probe",
	.args = "IMAGE",
	.summary = "Tell the format of an image, by its content",
	.more = "Needs neither root nor the kernel module.",
	.opts = { opts, image_opts, raw_opts, share_opts },
	.run = run,
};
