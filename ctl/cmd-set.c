// SPDX-License-Identifier: GPL-2.0-only
/*
 * vdctl set: change how an attached disk behaves, under running I/O; or what an image
 * says of itself, while nobody uses it
 */
#include <errno.h>
#include <getopt.h>
#include "busy.h"
#include "netlink.h"
#include "set-props.h"

enum { OPT_RO = 400, OPT_RW, OPT_FORCE, OPT_DISCARD, OPT_FLUSH, OPT_AUTOCLEAR, OPT_ISOLATE };

static const struct ctl_opt opts[] = {
	{ OPT_RO, "ro", NULL, "refuse writes from now on" },
	{ OPT_RW, "rw", NULL, "accept writes again" },
	{ OPT_FORCE, "force", NULL, "with --ro: although somebody has it open for writing" },
	{ OPT_DISCARD, "discard", "WHAT", "unmap or ignore" },
	{ OPT_FLUSH, "flush", "on|off", "off: flushes do nothing; a crash loses data" },
	{ OPT_AUTOCLEAR, "autoclear", "on|off", "detach at last close" },
	{ OPT_ISOLATE, "isolate", "on|off", "off: let the host activate what is on it" },
	{ 0 }
};

struct change {
	u32 flags;
	u32 mask;
};

static void put(struct change *c, u32 flag, bool set)
{
	c->mask |= flag;
	c->flags = set ? c->flags | flag : c->flags & ~flag;
}

/* @set_if: which of the two words sets the flag. */
static int choice(struct change *c, const char *what, const char *arg, const char *yes,
		  const char *no, u32 flag, bool set_if)
{
	bool on;
	int ret = parse_choice(what, arg, yes, no, &on);

	if (!ret)
		put(c, flag, on == set_if);
	return ret;
}

static int option(struct change *c, int id, const char *arg)
{
	switch (id) {
	case OPT_RO:
	case OPT_RW:
		if ((c->mask & VDISK_F_RDONLY) && !(c->flags & VDISK_F_RDONLY) == (id == OPT_RO))
			return ctl_error(CTL_USAGE, "usage", NULL, "--ro and --rw exclude each other");
		put(c, VDISK_F_RDONLY, id == OPT_RO);
		return 0;
	case OPT_FORCE:
		c->flags |= VDISK_F_FORCE;
		return 0;
	case OPT_DISCARD:
		return choice(c, "--discard", arg, "unmap", "ignore", VDISK_F_NO_DISCARD, false);
	case OPT_FLUSH:
		return choice(c, "--flush", arg, "on", "off", VDISK_F_NO_FLUSH, false);
	case OPT_AUTOCLEAR:
		return choice(c, "--autoclear", arg, "on", "off", VDISK_F_AUTOCLEAR, true);
	case OPT_ISOLATE:
		return choice(c, "--isolate", arg, "on", "off", VDISK_F_ISOLATE, true);
	default:
		return 0;
	}
}

/* The kernel does not wait long for a file system; we do. */
static int set_flags(struct klink *nl, u32 id, const struct change *c)
{
	int ret;

	do {
		ret = klink_set(nl, id, c->flags, c->mask);
	} while (ret && nl->error == -EINPROGRESS);
	return ret;
}

static int apply(const struct change *c, const char *what)
{
	const struct device *dev;
	struct devices devs;
	struct klink nl = { 0 };
	int ret;

	ret = devices_get(&nl, &devs);
	if (!ret)
		ret = devices_find(&devs, what, &dev);
	if (!ret && set_flags(&nl, dev->id, c)) {
		ret = klink_error(&nl, what);
		if (nl.error == -EBUSY)
			hint_device_users(dev->id);
		if (!(c->flags & VDISK_F_RDONLY) && (c->mask & VDISK_F_RDONLY) &&
		    (dev->flags & VDISK_F_HARD_RDONLY))
			ctl_hint("it was attached read-only; to write, detach it and attach it again");
	}
	devices_free(&devs);
	klink_disconnect(&nl);
	return ret;
}

/* Not both at once: one is about a disk that is attached, one about a file that is not. */
static int check_usage(const struct cmd *cmd, const struct change *c,
		       const struct props_args *props, int nr)
{
	const char *option = props->option ? props->option : props->only;
	bool device = c->mask || c->flags;

	if (device && option)
		return cmd_usage(cmd, "%s is about an image that nobody uses, the others about an attached disk",
				 option);
	if (nr > 1)
		return cmd_usage(cmd, "one at a time; a UUID follows its option as in --uuid=UUID");
	if (!nr)
		return cmd_usage(cmd, option ? "which image?" : "which disk?");
	if (!c->mask && !props->option)
		return cmd_usage(cmd, "nothing to change");
	return 0;
}

static int run(const struct cmd *cmd, int argc, char **argv)
{
	struct props_args props = { 0 };
	struct change c = { 0 };
	int id, ret = 0;

	while (!ret && (id = ctl_getopt(cmd, argc, argv)) != CTL_OPT_END) {
		if (id < 0)
			return id == CTL_OPT_BAD ? CTL_USAGE : 0;
		ret = props_opt(&props, id, optarg);
		if (ret < 0)
			ret = option(&c, id, optarg);
	}
	if (!ret)
		ret = check_usage(cmd, &c, &props, argc - optind);
	if (ret)
		return ret;
	if (props.option)
		return props_set(&props, argv[optind]);
	ret = need_admin();
	return ret ? ret : apply(&c, argv[optind]);
}

const struct cmd cmd_set = {
	.name = "set",
	.args = "DISK|IMAGE",
	.summary = "Change flags of an attached disk, or properties of an image, all or none",
	.more = "DISK is a node (/dev/vdisk0), a number, a name, or the image file.\n"
		"IMAGE is a file that nobody uses; its options are those that say \"image:\".",
	.opts = { opts, props_opts },
	.run = run,
};
