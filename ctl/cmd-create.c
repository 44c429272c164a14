// SPDX-License-Identifier: GPL-2.0-only
/* vdctl create: a new image that reads as zeros, or as its parent */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <strings.h>
#include <uuid/uuid.h>
#include "create.h"

enum { OPT_TYPE = 400, OPT_GRAIN, OPT_SPLIT, OPT_ADAPTER, OPT_HWVERSION, OPT_COMMENT, OPT_UUID,
       OPT_ZEROED, OPT_PREALLOC, OPT_FORCE, OPT_CHILDREN };

static const struct ctl_opt opts[] = {
	{ 'f', "format", "FMT", "raw or vmdk; default: .vmdk is VMDK, .img and .raw are raw" },
	{ 'b', "backing", "PARENT", "make a delta: what it lacks is read from PARENT" },
	{ OPT_TYPE, "type", "KIND", "sparse (default), split, flat, splitflat, esx, esxsparse" },
	{ OPT_PREALLOC, "prealloc", "HOW", "off (default), metadata, falloc, full" },
	{ OPT_GRAIN, "grain", "SIZE", "unit of allocation, 8K to 1M; default 64K" },
	{ OPT_SPLIT, "split-size", "SIZE", "bytes of each extent of a split disk; default 2047M" },
	{ OPT_ADAPTER, "adapter", "NAME", "ide (default), lsilogic, buslogic, legacyESX" },
	{ OPT_HWVERSION, "hwversion", "N", "virtual hardware version; default 4" },
	{ OPT_COMMENT, "comment", "TEXT", "a comment, as VirtualBox keeps it" },
	{ OPT_UUID, "uuid", "UUID", "the disk's UUID; default: a random one" },
	{ OPT_ZEROED, "zeroed-grain", NULL, "grains of zeros may take no space (version 2; not for VirtualBox)" },
	{ OPT_FORCE, "force", NULL, "replace files that are there" },
	{ OPT_CHILDREN, "ignore-children", NULL, "with --force: although snapshots of the old image are lost by that" },
	{ 'J', "json", NULL, NULL },
	{ 0 }
};

static const char *const formats[] = { "raw", "vmdk", NULL };
static const char *const kinds[] = {
	"sparse", "split", "flat", "splitflat", "esx", "esxsparse", NULL
};
static const char *const preallocs[] = { "off", "metadata", "falloc", "full", NULL };
static const char *const adapters[] = { "ide", "lsilogic", "buslogic", "legacyESX", NULL };

/* Which of @words is @s? */
static int parse_word(const char *what, const char *s, const char *const *words, u32 *out)
{
	char *list = xstrdup(words[0]), *more;
	u32 i;
	int ret;

	for (*out = 0; words[*out]; ++*out)
		if (!strcmp(words[*out], s))
			break;
	for (i = 1; words[i]; i++) {
		more = xasprintf("%s, %s", list, words[i]);
		free(list);
		list = more;
	}
	ret = words[*out] ? 0 :
	      ctl_error(CTL_USAGE, "usage", NULL, "%s: '%s' is none of %s", what, s, list);
	free(list);
	return ret;
}

static int parse_positive(const char *what, const char *s, u64 *out)
{
	int ret = parse_size(what, s, out);

	if (!ret && !*out)
		ret = ctl_error(CTL_USAGE, "usage", NULL, "%s: must be more than 0", what);
	return ret;
}

static int parse_uuid(struct create *c, const char *s)
{
	c->have_uuid = true;
	if (uuid_parse(s, c->uuid) || uuid_is_zero(c->uuid))
		return ctl_error(CTL_USAGE, "usage", NULL,
				 "--uuid: '%s' is no UUID, or the one of zeros that means none", s);
	return 0;
}

static int parse_hwversion(struct create *c, const char *s)
{
	int ret = parse_u32("--hwversion", s, 99, &c->hwversion);

	if (!ret && !c->hwversion)
		ret = ctl_error(CTL_USAGE, "usage", NULL, "--hwversion: must be more than 0");
	return ret;
}

/* Options that say something about a VMDK. */
static int vmdk_opt(struct create *c, int id, const char *arg)
{
	u32 word;
	int ret;

	switch (id) {
	case 'b':
		c->vmdk_option = "-b";
		c->backing = arg;
		return 0;
	case OPT_TYPE:
		c->vmdk_option = "--type";
		ret = parse_word("--type", arg, kinds, &word);
		c->kind = word;
		return ret;
	case OPT_GRAIN:
		c->vmdk_option = "--grain";
		return parse_positive("--grain", arg, &c->grain);
	case OPT_SPLIT:
		c->vmdk_option = "--split-size";
		return parse_positive("--split-size", arg, &c->split);
	case OPT_ADAPTER:
		c->vmdk_option = "--adapter";
		ret = parse_word("--adapter", arg, adapters, &word);
		c->adapter = adapters[word];
		return ret;
	case OPT_HWVERSION:
		c->vmdk_option = "--hwversion";
		return parse_hwversion(c, arg);
	case OPT_COMMENT:
		c->vmdk_option = "--comment";
		c->comment = arg;
		return descriptor_check_comment(arg);
	case OPT_UUID:
		c->vmdk_option = "--uuid";
		return parse_uuid(c, arg);
	case OPT_ZEROED:
		c->vmdk_option = "--zeroed-grain";
		c->zeroed_grain = true;
		return 0;
	default:
		return -1;
	}
}

static int option(struct create *c, int id, const char *arg)
{
	u32 word;
	int ret;

	switch (id) {
	case CTL_OPT_BAD:
		return CTL_USAGE;
	case 'J':
		return 0;
	case 'f':
		c->have_format = true;
		ret = parse_word("--format", arg, formats, &word);
		c->format = word;
		return ret;
	case OPT_PREALLOC:
		ret = parse_word("--prealloc", arg, preallocs, &word);
		c->prealloc = word;
		return ret;
	case OPT_FORCE:
		c->force = true;
		return 0;
	case OPT_CHILDREN:
		c->ignore_children = true;
		return 0;
	}
	ret = vmdk_opt(c, id, arg);
	return ret < 0 ? image_opt(&c->parent, id, arg) : ret;
}

static bool ends_with(const char *path, const char *ext)
{
	size_t n = strlen(path), len = strlen(ext);

	return n > len && !strcasecmp(path + n - len, ext);
}

static int choose_format(struct create *c)
{
	const char *base = path_base(c->path);

	if (!*base || !strcmp(base, ".") || !strcmp(base, ".."))
		return ctl_error(CTL_USAGE, "usage", c->path, "is no name for a file");
	if (c->have_format)
		return 0;
	if (ends_with(base, ".vmdk")) {
		c->format = CREATE_VMDK;
		return 0;
	}
	if (ends_with(base, ".img") || ends_with(base, ".raw")) {
		c->format = CREATE_RAW;
		return 0;
	}
	ctl_error(CTL_USAGE, "format_not_said", c->path,
		  "the name ends neither in .vmdk nor in .img or .raw, so the format must be said");
	ctl_hint("-f vmdk or -f raw");
	return CTL_USAGE;
}

static int check_size(struct create *c)
{
	u64 rest = c->size % VD_SECTOR;

	if (!c->have_size)
		return 0;
	if (!c->size)
		return ctl_error(CTL_USAGE, "usage", c->path, "the size is 0; a disk has at least 512 bytes");
	if (c->size > VD_CAP_DISK_BYTES)
		return ctl_error(CTL_USAGE, "too_large", c->path,
				 "%llu bytes: a disk has at most 64 TiB",
				 (unsigned long long)c->size);
	if (!rest)
		return 0;
	c->size += VD_SECTOR - rest;
	ctl_warn(c->path, "the size is rounded up to whole sectors: %llu bytes",
		 (unsigned long long)c->size);
	return 0;
}

static int create(struct create *c)
{
	int ret;

	ret = choose_format(c);
	if (!ret)
		ret = check_size(c);
	if (ret)
		return ret;
	if (c->format == CREATE_VMDK)
		return create_vmdk(c);
	if (c->vmdk_option)
		return ctl_error(CTL_USAGE, "usage", c->path, "%s is for VMDK, and this is raw",
				 c->vmdk_option);
	if (c->prealloc == PREALLOC_METADATA)
		return ctl_error(CTL_USAGE, "usage", c->path,
				 "--prealloc=metadata is for sparse images, and raw has no tables");
	return create_raw(c);
}

static int arguments(const struct cmd *cmd, struct create *c, int argc, char **argv)
{
	int nr = argc - optind;

	if (!nr)
		return cmd_usage(cmd, "which image?");
	if (nr == 1 && !c->backing)
		return cmd_usage(cmd, "how large?");
	if (nr > 2)
		return cmd_usage(cmd, "too many arguments");
	c->path = argv[optind];
	c->have_size = nr == 2;
	return nr == 2 ? parse_size("SIZE", argv[optind + 1], &c->size) : 0;
}

static int run(const struct cmd *cmd, int argc, char **argv)
{
	struct create c = { .parent = { .mode = SET_READ } };
	int id, ret = 0;

	while (!ret && (id = ctl_getopt(cmd, argc, argv)) != CTL_OPT_END) {
		if (id == CTL_OPT_HELP)
			goto out;
		ret = option(&c, id, optarg);
	}
	if (!ret)
		ret = arguments(cmd, &c, argc, argv);
	if (!ret)
		ret = create(&c);
	if (ret)
		stop_raise();
out:
	free(c.parent.parents);
	free(c.parent.outside);
	return ret;
}

const struct cmd cmd_create = {
	.name = "create",
	.args = "IMAGE [SIZE]",
	.summary = "Make an empty image, or a delta over another one",
	.more = "SIZE may be left out with -b: then it is the parent's. Needs neither root nor the\n"
		"kernel module.",
	.opts = { opts, reference_opts, share_opts },
	.run = run,
};
