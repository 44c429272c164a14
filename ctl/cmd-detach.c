// SPDX-License-Identifier: GPL-2.0-only
/* vdctl detach */
#include <errno.h>
#include <getopt.h>
#include "busy.h"
#include "netlink.h"

static const struct ctl_opt opts[] = {
	{ 'a', "all", NULL, "every disk" },
	{ 'l', "lazy", NULL, "if it is in use: when the last user closes it" },
	{ 'F', "force", NULL, "now: requests fail, who has it open sees errors" },
	{ 0 }
};

static void hint_busy(u32 id)
{
	hint_device_users(id);
	ctl_hint("vdctl detach --lazy %u detaches it when the last user is gone", id);
}

/*
 * The kernel answers in bounded time; a disk that is still writing out is DYING
 * then, and asking again waits again. Gone between two questions is gone.
 */
static int detach_wait(struct klink *nl, u32 id, enum vdisk_detach_mode mode, struct device *reply)
{
	int ret = klink_detach(nl, id, mode, reply);

	while (!ret && mode != VDISK_DETACH_FORCE && reply->state == VDISK_STATE_DYING) {
		device_clear(reply);
		ret = klink_detach(nl, id, VDISK_DETACH_PLAIN, reply);
		if (ret && nl->error == -ENODEV)
			return 0;
	}
	return ret;
}

static int detach_one(struct klink *nl, const struct device *dev, enum vdisk_detach_mode mode)
{
	struct device reply = { 0 };
	char node[32];
	int ret = 0;

	snprintf(node, sizeof(node), "/dev/vdisk%u", dev->id);
	if (detach_wait(nl, dev->id, mode, &reply)) {
		ret = klink_error(nl, node);
		if (nl->error == -EBUSY)
			hint_busy(dev->id);
	} else if (mode == VDISK_DETACH_FORCE && reply.state == VDISK_STATE_DYING) {
		ctl_error(CTL_BUSY, "dying", node, "dying: %u requests inside %s", reply.inflight,
			  dev->nr_paths ? dev->paths[0] : "its files");
		ctl_hint("it goes when they return; until then its files stay open and locked");
		ret = CTL_BUSY;
	} else if (mode == VDISK_DETACH_LAZY && reply.state != VDISK_STATE_NEW) {
		ctl_note(node, "is in use; it goes at last close");
	}
	device_clear(&reply);
	return ret;
}

/* Goes on after a failure; the first decides the exit code. */
static void keep_first(int *ret, int one)
{
	if (one && !*ret)
		*ret = one;
	ctl_flush();
}

static int detach_all(struct klink *nl, const struct devices *devs, enum vdisk_detach_mode mode)
{
	int ret = 0;
	u32 i;

	for (i = 0; i < devs->nr; i++)
		keep_first(&ret, detach_one(nl, &devs->list[i], mode));
	return ret;
}

static int detach_named(struct klink *nl, const struct devices *devs, enum vdisk_detach_mode mode,
			char *const *names, int nr)
{
	const struct device *dev;
	int i, one, ret = 0;

	for (i = 0; i < nr; i++) {
		one = devices_find(devs, names[i], &dev);
		if (!one)
			one = detach_one(nl, dev, mode);
		keep_first(&ret, one);
	}
	return ret;
}

static int run(const struct cmd *cmd, int argc, char **argv)
{
	enum vdisk_detach_mode mode = VDISK_DETACH_PLAIN;
	bool all = false, lazy = false, force = false;
	struct devices devs;
	struct klink nl = { 0 };
	int id, ret;

	while ((id = ctl_getopt(cmd, argc, argv)) != CTL_OPT_END) {
		if (id < 0)
			return id == CTL_OPT_BAD ? CTL_USAGE : 0;
		all |= id == 'a';
		lazy |= id == 'l';
		force |= id == 'F';
	}
	if (lazy && force)
		return cmd_usage(cmd, "--lazy and --force exclude each other");
	if (all == (optind < argc))
		return cmd_usage(cmd, all ? "--all takes no name" : "which disk?");
	if (lazy || force)
		mode = lazy ? VDISK_DETACH_LAZY : VDISK_DETACH_FORCE;

	ret = need_admin();
	if (ret)
		return ret;
	ret = devices_get(&nl, &devs);
	if (!ret)
		ret = all ? detach_all(&nl, &devs, mode) :
			    detach_named(&nl, &devs, mode, argv + optind, argc - optind);
	devices_free(&devs);
	klink_disconnect(&nl);
	return ret;
}

const struct cmd cmd_detach = {
	.name = "detach",
	.args = "DISK...|--all",
	.summary = "Remove disks; all their files are closed when it returns",
	.more = "DISK is a node (/dev/vdisk0), a number, a name, or the image file.",
	.opts = { opts },
	.run = run,
};
