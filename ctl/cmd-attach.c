// SPDX-License-Identifier: GPL-2.0-only
/* vdctl attach: an image set becomes /dev/vdiskN */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include "image-set.h"
#include "netlink.h"

enum {
	OPT_RW = 400, OPT_NAME, OPT_DISCARD, OPT_FLUSH, OPT_NO_PARTSCAN, OPT_ACTIVATE,
	OPT_AUTOCLEAR, OPT_DIRECT_IO, OPT_QUEUES, OPT_NODE, OPT_LOCK, OPT_VMWARE, OPT_NO_WAIT,
	OPT_DROP_CBT, OPT_CHILDREN, OPT_DRY_RUN, OPT_NOTHING,
};

static const struct ctl_opt opts[] = {
	{ 'r', "read-only", NULL, "never write to the image; cannot be lifted later" },
	{ OPT_RW, "rw", NULL, "writable, or refuse" },
	{ OPT_DROP_CBT, "drop-cbt", "=delete", "give VMware's change tracking up; delete: its log goes too" },
	{ OPT_CHILDREN, "ignore-children", NULL, "write although snapshots of the image are spoilt by that" },
	{ OPT_DRY_RUN, "dry-run", NULL, "only tell what would be opened, locked and changed" },
	{ OPT_NAME, "name", "NAME", "stable name: /dev/disk/by-vdisk/NAME, and in 'vdctl list'" },
	{ OPT_NODE, "node", "vdiskN", "this number, or refuse" },
	{ 'b', "sector-size", "N", "logical sector size, 512 or 4096" },
	{ 'P', "partscan", NULL, "look for partitions (default)" },
	{ OPT_NO_PARTSCAN, "no-partscan", NULL, "do not" },
	{ OPT_ACTIVATE, "activate", NULL, "let the host activate LVM, RAID and the like on it" },
	{ OPT_AUTOCLEAR, "autoclear", NULL, "detach at last close" },
	{ OPT_DISCARD, "discard", "WHAT", "unmap (default) or ignore" },
	{ OPT_FLUSH, "flush", "on|off", "off: flushes do nothing; a crash loses data" },
	{ OPT_DIRECT_IO, "direct-io", "on|off", "off: through the page cache; on (default): where it can be" },
	{ OPT_QUEUES, "queues", "N", "hardware queues" },
	{ OPT_LOCK, "lock", "yes|no", "no: take no lock on the files" },
	{ OPT_VMWARE, "ignore-vmware-lock", NULL, "although VMware's FILE.lck says that it is in use" },
	{ OPT_NO_WAIT, "no-wait", NULL, "do not wait for /dev and udev" },
	{ 'J', "json", NULL, "print the device as JSON" },
	{ OPT_NOTHING, "find", NULL, NULL },
	{ OPT_NOTHING, "show", NULL, NULL },
	{ 0 }
};

struct attach {
	struct set_options image;
	struct attach_request req;
	bool read_only;
	bool rw;
	bool no_wait;
	bool direct_said;
};

static int node_number(const char *arg, u32 *id)
{
	const char *n = arg;

	if (!strncmp(n, "/dev/", 5))
		n += 5;
	if (!strncmp(n, "vdisk", 5))
		n += 5;
	return parse_u32("--node", n, (1U << 20) - 1, id);
}

/* --X=yes clears @flag, --X=no sets it. */
static int flag_choice(struct attach *a, const char *what, const char *arg, const char *yes,
		       const char *no, u32 flag)
{
	bool on;
	int ret = parse_choice(what, arg, yes, no, &on);

	if (!ret)
		a->req.flags = on ? a->req.flags & ~flag : a->req.flags | flag;
	return ret;
}

static int name_option(struct attach *a, const char *name)
{
	if (!*name || name[0] == '.' || strchr(name, '/') || strlen(name) > 255)
		return ctl_error(CTL_USAGE, "usage", NULL,
				 "--name: '%s' cannot be a file name in /dev", name);
	a->req.name = name;
	return 0;
}

static int drop_cbt_option(struct attach *a, const char *arg)
{
	if (arg && strcmp(arg, "delete"))
		return ctl_error(CTL_USAGE, "usage", NULL,
				 "--drop-cbt: '%s' is neither nothing nor 'delete'", arg);
	a->image.cbt = arg ? SET_CBT_DELETE : SET_CBT_DROP;
	return 0;
}

static int option(struct attach *a, int id, const char *arg)
{
	bool yes;
	int ret;

	switch (id) {
	case 'r':
		a->read_only = true;
		return 0;
	case OPT_RW:
		a->rw = true;
		return 0;
	case OPT_DROP_CBT:
		return drop_cbt_option(a, arg);
	case OPT_CHILDREN:
		a->image.ignore_children = true;
		return 0;
	case OPT_DRY_RUN:
		a->image.dry_run = true;
		return 0;
	case OPT_NAME:
		return name_option(a, arg);
	case OPT_NODE:
		a->req.have_id = true;
		return node_number(arg, &a->req.id);
	case 'b':
		ret = parse_u32("--sector-size", arg, 4096, &a->req.sector_size);
		if (!ret && a->req.sector_size != 512 && a->req.sector_size != 4096)
			ret = ctl_error(CTL_USAGE, "usage", NULL, "--sector-size: 512 or 4096");
		return ret;
	case 'P':
		a->req.flags &= ~VDISK_F_NO_PARTSCAN;
		return 0;
	case OPT_NO_PARTSCAN:
		a->req.flags |= VDISK_F_NO_PARTSCAN;
		return 0;
	case OPT_ACTIVATE:
		a->req.flags &= ~VDISK_F_ISOLATE;
		return 0;
	case OPT_AUTOCLEAR:
		a->req.flags |= VDISK_F_AUTOCLEAR;
		return 0;
	case OPT_DISCARD:
		return flag_choice(a, "--discard", arg, "unmap", "ignore", VDISK_F_NO_DISCARD);
	case OPT_FLUSH:
		return flag_choice(a, "--flush", arg, "on", "off", VDISK_F_NO_FLUSH);
	case OPT_DIRECT_IO:
		a->direct_said = !strcmp(arg, "on");
		return flag_choice(a, "--direct-io", arg, "on", "off", VDISK_F_BUFFERED);
	case OPT_QUEUES:
		return parse_u32("--queues", arg, 64, &a->req.queues);
	case OPT_LOCK:
		ret = parse_choice("--lock", arg, "yes", "no", &yes);
		a->image.lock = yes ? SET_LOCK_YES : SET_LOCK_NO;
		return ret;
	case OPT_VMWARE:
		a->image.ignore_vmware_lock = true;
		return 0;
	case OPT_NO_WAIT:
		a->no_wait = true;
		return 0;
	default:
		return 0;	/* -J, --find, --show */
	}
}

/* The kernel says -EOPNOTSUPP for a format whose module it cannot load. */
static int refused(const struct klink *nl, const struct image_set *set)
{
	const char *path = set->images[0].path;
	struct vd_error err = { .code = nl->error };
	int ret;

	if (strstr(nl->extack, "is not available")) {
		ctl_error(CTL_MODULE, "module_missing", path, "%s", nl->extack);
		ctl_hint("modprobe vdisk-%s says why", vd_format_name(set->images[0].format));
		return CTL_MODULE;
	}
	ret = klink_error(nl, path);
	snprintf(err.text, sizeof(err.text), "%.*s", (int)sizeof(err.text) - 1, nl->extack);
	hint_extent(set, &err);
	if (nl->error == -EEXIST)
		ctl_hint("vdctl list; without --node the first free number is taken");
	return ret;
}

static int print_device(struct klink *nl, const struct device *reply, bool direct_said)
{
	const struct device *dev = NULL;
	struct devices devs;
	int ret = 0;

	if (ctl.json || direct_said) {
		if (klink_dump(nl, &devs))
			ret = klink_error(nl, NULL);
		dev = devices_by_id(&devs, reply->id);
		if (dev && direct_said && (dev->flags & VDISK_F_BUFFERED))
			ctl_warn(NULL, "vdisk%u: a file of the image cannot be used with direct I/O",
				 reply->id);
		if (!ret && ctl.json)
			json_devices(dev ? dev : reply, 1, NULL, 0);
		devices_free(&devs);
	}
	if (!ctl.json)
		printf("/dev/vdisk%u\n", reply->id);
	return ret;
}

/*
 * What the kernel would refuse: an attach that fails must not have changed the
 * image, so this comes before the change.
 */
static int check_request(const struct attach *a, const struct image_set *set, struct klink *nl)
{
	const char *path = set->images[0].path, *format;
	struct devices devs;
	int ret = 0;
	u32 i;

	if (a->req.sector_size && set->images[0].size % a->req.sector_size)
		return ctl_error(CTL_FAIL, "failed", path,
				 "the disk's size %llu is no multiple of %u bytes",
				 (unsigned long long)set->images[0].size, a->req.sector_size);
	for (i = 0; i < set->nr_images && !ret; i++)
		ret = module_load_format(vd_format_name(set->images[i].format));
	/* A flat extent of another format is raw's. */
	for (i = 0; i < set->nr_segs && !ret; i++) {
		format = vd_format_name(VDISK_SEG_FORMAT(set->segs[i].kind));
		if (format)
			ret = module_load_format(format);
	}
	if (!ret)
		ret = set_check_parents_still(set);
	if (ret || !a->req.have_id)
		return ret;
	if (klink_dump(nl, &devs)) {
		ret = klink_error(nl, NULL);
	} else if (devices_by_id(&devs, a->req.id)) {
		ret = ctl_error(CTL_BUSY, "exists", path, "vdisk%u exists already", a->req.id);
		ctl_hint("vdctl list; without --node the first free number is taken");
	}
	devices_free(&devs);
	return ret;
}

/* All that the kernel asks for is there: change the image, and give it away. */
static int hand_over(struct attach *a, struct image_set *set, struct klink *nl)
{
	struct device reply = { 0 };
	int ret = 0;

	if (set_to_change(set))
		ret = check_request(a, set, nl);
	if (!ret)
		ret = set_change(set);
	if (ret)
		return ret;
	if (!set->writable)
		a->req.flags |= VDISK_F_RDONLY | VDISK_F_HARD_RDONLY;
	a->req.set = set;
	if (klink_attach(nl, &a->req, &reply))
		return refused(nl, set);
	set_delete_log(set);
	if (!a->no_wait)
		node_wait(&reply);
	ret = print_device(nl, &reply, a->direct_said);
	device_clear(&reply);
	return ret;
}

/* What the kernel would refuse, the plan must not promise. */
static int tell_plan(const struct image_set *set)
{
	struct open_chain open;
	int ret = chain_open(set, &open);

	if (ret)
		return ret;
	chain_close(&open);
	print_plan(set);
	return 0;
}

static int attach(struct attach *a, char *const *paths, int nr)
{
	struct image_set set;
	struct klink nl;
	int ret;

	ret = set_open(&set, &a->image, paths, nr);
	if (ret)
		return ret;
	if (a->image.dry_run) {
		ret = tell_plan(&set);
		goto out_set;
	}
	ret = klink_connect(&nl, KLINK_LOAD);
	if (ret)
		goto out_set;
	ret = hand_over(a, &set, &nl);
	klink_disconnect(&nl);
out_set:
	/* Our descriptors go; the kernel's, with their locks, stay. */
	set_close(&set);
	return ret;
}

static int run(const struct cmd *cmd, int argc, char **argv)
{
	struct attach a = { .req.flags = VDISK_F_ISOLATE };
	int id, ret = 0;

	while (!ret && (id = ctl_getopt(cmd, argc, argv)) != CTL_OPT_END) {
		if (id == CTL_OPT_HELP)
			goto out;
		ret = id == CTL_OPT_BAD ? CTL_USAGE : image_opt(&a.image, id, optarg);
		if (ret < 0)
			ret = option(&a, id, optarg);
	}
	if (!ret && optind == argc)
		ret = cmd_usage(cmd, "which image?");
	if (!ret && a.read_only && a.rw)
		ret = cmd_usage(cmd, "-r and --rw exclude each other");
	if (!ret && a.read_only && a.image.cbt != SET_CBT_RESPECT)
		ret = cmd_usage(cmd, "--drop-cbt changes the image: not with -r");
	a.image.mode = a.read_only ? SET_READ : a.rw ? SET_WRITE : SET_DEFAULT;
	if (!ret && !a.image.dry_run)
		ret = need_admin();
	if (!ret)
		ret = attach(&a, argv + optind, argc - optind);
	if (ret)
		stop_raise();
out:
	free(a.image.parents);
	free(a.image.outside);
	return ret;
}

const struct cmd cmd_attach = {
	.name = "attach",
	.args = "IMAGE...",
	.summary = "Make a disk image a block device, and print its node",
	.more = "A VMDK is writable unless something speaks against it, and that is told. Raw\n"
		"images are writable when -f raw is given, else read-only. Several files with\n"
		"-f raw are the parts of one disk.",
	.opts = { opts, image_opts, raw_opts },
	.run = run,
};
