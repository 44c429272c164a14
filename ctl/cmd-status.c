// SPDX-License-Identifier: GPL-2.0-only
/* vdctl status: everything about one attached disk */
#include <getopt.h>
#include <stdlib.h>
#include "netlink.h"
#include "vdisk/format.h"

static const struct ctl_opt opts[] = {
	{ 'J', "json", NULL, "JSON, as 'vdctl list -J' of this one disk" },
	{ 0 }
};

static void print_line(const char *key, const char *value)
{
	printf("%-12s ", key);
	text_escape(stdout, value);
	putchar('\n');
}

static void print_chain(const struct device *dev)
{
	char size[32];
	u32 i;

	for (i = 0; i < dev->nr_images; i++) {
		const char *format = vd_format_name(dev->images[i].format);

		format_size(dev->images[i].size, size, sizeof(size));
		printf("%-12s %u: %s %s ", i ? "" : "chain:", i, format ? format : "?", size);
		text_escape(stdout, i < dev->nr_paths ? dev->paths[i] : "");
		putchar('\n');
	}
}

static void print_text(const struct device *dev)
{
	int i;

	for (i = 0; i < nr_columns; i++) {
		char *value = columns[i].text(dev, false);
		char key[32];
		size_t n;

		/* The chain below says this better. */
		if (strcmp(columns[i].name, "PARENTS") && *value) {
			for (n = 0; columns[i].name[n]; n++)
				key[n] = (char)(columns[i].name[n] | 0x20);
			key[n++] = ':';
			key[n] = 0;
			print_line(key, value);
		}
		free(value);
	}
	print_chain(dev);
}

static int run(const struct cmd *cmd, int argc, char **argv)
{
	const struct device *dev;
	struct devices devs;
	struct klink nl = { 0 };
	int id, ret;

	while ((id = ctl_getopt(cmd, argc, argv)) != CTL_OPT_END)
		if (id < 0)
			return id == CTL_OPT_BAD ? CTL_USAGE : 0;
	if (argc - optind != 1)
		return cmd_usage(cmd, "which disk?");

	ret = devices_get(&nl, &devs);
	if (!ret)
		ret = devices_find(&devs, argv[optind], &dev);
	if (!ret && ctl.json)
		json_devices(dev, 1, NULL, 0);
	else if (!ret)
		print_text(dev);
	devices_free(&devs);
	klink_disconnect(&nl);
	return ret;
}

const struct cmd cmd_status = {
	.name = "status",
	.args = "DISK",
	.summary = "Tell everything about an attached disk",
	.more = "DISK is a node (/dev/vdisk0), a number, a name, or the image file.",
	.opts = { opts },
	.run = run,
};
