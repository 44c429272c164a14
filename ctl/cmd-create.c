// SPDX-License-Identifier: GPL-2.0-only
/* vdctl create: a new image that reads as zeros, or as its parent */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <strings.h>
#include <uuid/uuid.h>
#include "create.h"

enum {
	OPT_TYPE = 400, OPT_GRAIN, OPT_BLOCK, OPT_SPLIT, OPT_ADAPTER, OPT_HWVERSION,
	OPT_COMMENT, OPT_UUID, OPT_ZEROED, OPT_PREALLOC, OPT_FORCE, OPT_CHILDREN,
};

static const struct ctl_opt opts[] = {
	{ 'f', "format", "FMT", "raw, vmdk or vdi; default: what the name ends in" },
	{ 'b', "backing", "PARENT", "make a delta: what it lacks is read from PARENT" },
	{ 'F', "backing-format", "FMT", "format of PARENT; default: its content tells" },
	{ OPT_TYPE, "type", "KIND", "VMDK: sparse (default), split, flat, splitflat, esx, esxsparse; VDI: dynamic (default), fixed" },
	{ OPT_PREALLOC, "prealloc", "HOW", "off (default), metadata, falloc, full" },
	{ OPT_GRAIN, "grain", "SIZE", "VMDK: unit of allocation, 8K to 1M; default 64K" },
	{ OPT_BLOCK, "block", "SIZE", "VDI: unit of allocation, 4K to 64M; default 1M, the only one QEMU knows" },
	{ OPT_SPLIT, "split-size", "SIZE", "VMDK: bytes of each extent of a split disk; default 2047M" },
	{ OPT_ADAPTER, "adapter", "NAME", "VMDK: ide (default), lsilogic, buslogic, legacyESX" },
	{ OPT_HWVERSION, "hwversion", "N", "VMDK: virtual hardware version; default 4" },
	{ OPT_COMMENT, "comment", "TEXT", "a comment, as VirtualBox keeps it" },
	{ OPT_UUID, "uuid", "UUID", "the disk's UUID; default: a random one" },
	{ OPT_ZEROED, "zeroed-grain", NULL, "VMDK: grains of zeros may take no space (version 2; not for VirtualBox)" },
	{ OPT_FORCE, "force", NULL, "replace files that are there" },
	{ OPT_CHILDREN, "ignore-children", NULL, "with --force: although snapshots of the old image are lost by that" },
	{ 'J', "json", NULL, NULL },
	{ 0 }
};

static const struct creator *const creators[] = { &creator_raw, &creator_vmdk, &creator_vdi };

/* Names of CREATE_*, from the lowest bit on. */
static const char *const given_names[] = {
	"-b", "--type", "--grain", "--split-size", "--adapter", "--hwversion", "--comment",
	"--uuid", "--zeroed-grain", "--block", "--prealloc=metadata",
};

static const char *const preallocs[] = { "off", "metadata", "falloc", "full", NULL };
static const char *const adapters[] = { "ide", "lsilogic", "buslogic", "legacyESX", NULL };

int create_word(const char *what, const char *s, const char *const *words, u32 *out)
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

int create_check_comment(const struct create *c,
			 int (*check)(const char *comment, struct vd_error *err))
{
	struct vd_error err = { 0 };

	if (!c->comment || !check(c->comment, &err))
		return 0;
	return ctl_error(CTL_USAGE, "usage", c->path, "%s", err.text);
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

static int parse_format(struct create *c, const char *s)
{
	const char *names[ARRAY_SIZE(creators) + 1] = { NULL };
	u32 i, word;
	int ret;

	for (i = 0; i < ARRAY_SIZE(creators); i++)
		names[i] = creators[i]->format;
	ret = create_word("--format", s, names, &word);
	if (!ret)
		c->creator = creators[word];
	return ret;
}

/* Options that only some formats understand. */
static int format_opt(struct create *c, int id, const char *arg)
{
	u32 word;
	int ret;

	switch (id) {
	case 'b':
		c->given |= CREATE_BACKING;
		c->backing = arg;
		return 0;
	case 'F':
		c->given |= CREATE_BACKING;
		c->parent.format = strcmp(arg, "auto") ? arg : NULL;
		return 0;
	case OPT_TYPE:
		c->given |= CREATE_TYPE;
		c->type = arg;
		return 0;
	case OPT_GRAIN:
		c->given |= CREATE_GRAIN;
		return parse_positive("--grain", arg, &c->grain);
	case OPT_BLOCK:
		c->given |= CREATE_BLOCK;
		return parse_positive("--block", arg, &c->block);
	case OPT_SPLIT:
		c->given |= CREATE_SPLIT;
		return parse_positive("--split-size", arg, &c->split);
	case OPT_ADAPTER:
		c->given |= CREATE_ADAPTER;
		ret = create_word("--adapter", arg, adapters, &word);
		c->adapter = adapters[word];
		return ret;
	case OPT_HWVERSION:
		c->given |= CREATE_HWVERSION;
		return parse_hwversion(c, arg);
	case OPT_COMMENT:
		c->given |= CREATE_COMMENT;
		c->comment = arg;
		return 0;
	case OPT_UUID:
		c->given |= CREATE_UUID;
		return parse_uuid(c, arg);
	case OPT_ZEROED:
		c->given |= CREATE_ZEROED;
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
		return parse_format(c, arg);
	case OPT_PREALLOC:
		ret = create_word("--prealloc", arg, preallocs, &word);
		c->prealloc = word;
		if (c->prealloc == PREALLOC_METADATA)
			c->given |= CREATE_METADATA;
		return ret;
	case OPT_FORCE:
		c->force = true;
		return 0;
	case OPT_CHILDREN:
		c->ignore_children = true;
		return 0;
	}
	ret = format_opt(c, id, arg);
	return ret < 0 ? image_opt(&c->parent, id, arg) : ret;
}

static bool ends_with(const char *path, const char *ext)
{
	size_t n = strlen(path), len = strlen(ext);

	return n > len && !strcasecmp(path + n - len, ext);
}

static bool has_suffix(const struct creator *creator, const char *base)
{
	const char *const *suffix;

	for (suffix = creator->suffixes; *suffix; suffix++)
		if (ends_with(base, *suffix))
			return true;
	return false;
}

static int choose_format(struct create *c)
{
	const char *base = path_base(c->path);
	u32 i;

	if (!*base || !strcmp(base, ".") || !strcmp(base, ".."))
		return ctl_error(CTL_USAGE, "usage", c->path, "is no name for a file");
	for (i = 0; !c->creator && i < ARRAY_SIZE(creators); i++)
		if (has_suffix(creators[i], base))
			c->creator = creators[i];
	if (c->creator)
		return 0;
	ctl_error(CTL_USAGE, "format_not_said", c->path,
		  "the name ends in that of no format (.vmdk, .vdi, .img, .raw), so the format must be said");
	ctl_hint("-f vmdk, -f vdi or -f raw");
	return CTL_USAGE;
}

/* What was said must mean something. */
static int check_given(const struct create *c)
{
	u32 odd = c->given & ~c->creator->options, i;
	char *list = xstrdup(""), *more;
	int bit, ret;

	if (!odd) {
		free(list);
		return 0;
	}
	bit = ilog2(odd & -odd);
	for (i = 0; i < ARRAY_SIZE(creators); i++) {
		if (!(creators[i]->options >> bit & 1))
			continue;
		more = xasprintf("%s%s%s", list, *list ? " and " : "", creators[i]->title);
		free(list);
		list = more;
	}
	ret = ctl_error(CTL_USAGE, "usage", c->path, "%s is for %s, and this is %s",
			given_names[bit], list, c->creator->title);
	free(list);
	return ret;
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
	ret = check_given(c);
	return ret ? ret : c->creator->create(c);
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
	if (c->parent.format && !c->backing)
		return cmd_usage(cmd, "-F is for -b");
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
