// SPDX-License-Identifier: GPL-2.0-only
/*
 * Other properties for an image that nobody uses: comment, UUIDs, geometries. The
 * image's own file is all that is opened, with a writer's locks. The backend says in
 * the cage how it has to change; a crash leaves the old properties or the new ones.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <uuid/uuid.h>
#include "netlink.h"
#include "set-props.h"

enum {
	OPT_COMMENT = 500, OPT_UUID, OPT_MOD_UUID, OPT_PARENT_UUID, OPT_PARENT_MOD_UUID,
	OPT_GEOMETRY, OPT_LCHS, OPT_IGNORE_CHILDREN, OPT_IGNORE_VMWARE_LOCK,
};

const struct ctl_opt props_opts[] = {
	{ OPT_COMMENT, "comment", "TEXT", "image: its comment; \"\" for none" },
	{ OPT_UUID, "uuid", "=UUID", "image: its UUID; without one, or with new, a random one" },
	{ OPT_MOD_UUID, "modification-uuid", "=UUID", "image: that of its last change" },
	{ OPT_PARENT_UUID, "parent-uuid", "UUID", "image: that of its parent" },
	{ OPT_PARENT_MOD_UUID, "parent-modification-uuid", "UUID",
	  "image: that of its parent's last change" },
	{ OPT_GEOMETRY, "geometry", "C/H/S", "image: cylinders, heads, sectors; 0/0/0 for none" },
	{ OPT_LCHS, "lchs", "C/H/S", "image: the geometry that its BIOS shows" },
	{ 'f', "format", "FMT", "image: its format: auto (default), or one of 'vdctl formats'" },
	{ OPT_IGNORE_CHILDREN, "ignore-children", NULL,
	  "image: another UUID although a snapshot names this one" },
	{ OPT_IGNORE_VMWARE_LOCK, "ignore-vmware-lock", NULL,
	  "image: although VMware seems to have it open" },
	{ 0 }
};

/* @arg NULL: a random one. */
static int take_uuid(struct props_args *args, const char *option, u32 which, const char *arg)
{
	uuid_t uuid;

	if (!arg || !strcmp(arg, "new"))
		uuid_generate_random(uuid);
	else if (uuid_parse(arg, uuid) || uuid_is_zero(uuid))
		return ctl_error(CTL_USAGE, "usage", NULL,
				 "%s: '%s' is no UUID, or the one of zeros that means none",
				 option, arg);
	args->option = option;
	vd_props_put_uuid(&args->want, which, uuid);
	return 0;
}

/* A random UUID of a parent is that of no image. */
static int take_parent_uuid(struct props_args *args, const char *option, u32 which,
			    const char *arg)
{
	if (strcmp(arg, "new"))
		return take_uuid(args, option, which, arg);
	return ctl_error(CTL_USAGE, "usage", NULL,
			 "%s: 'new' is for --uuid and --modification-uuid; a parent's is what vdctl info says of the parent",
			 option);
}

static int take_chs(struct props_args *args, const char *option, u32 which, const char *arg)
{
	struct vd_chs *chs = which == VD_PROP_PCHS ? &args->want.pchs : &args->want.lchs;
	char *copy = xstrdup(arg), *rest = copy;
	u32 *const parts[] = { &chs->c, &chs->h, &chs->s };
	const char *part;
	int ret = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(parts) && !ret; i++) {
		part = strsep(&rest, "/");
		ret = part ? parse_u32(option, part, 0xffffffff, parts[i]) : CTL_USAGE;
	}
	if (!ret && rest)
		ret = CTL_USAGE;
	free(copy);
	if (ret && !ctl_pending())
		ctl_error(ret, "usage", NULL, "%s: '%s' is not CYLINDERS/HEADS/SECTORS", option,
			  arg);
	args->option = option;
	args->want.mask |= which;
	return ret;
}

int props_opt(struct props_args *args, int id, const char *arg)
{
	switch (id) {
	case OPT_COMMENT:
		args->option = "--comment";
		args->comment = arg;
		args->want.mask |= VD_PROP_COMMENT;
		return 0;
	case OPT_UUID:
		return take_uuid(args, "--uuid", VD_PROP_UUID, arg);
	case OPT_MOD_UUID:
		return take_uuid(args, "--modification-uuid", VD_PROP_MOD_UUID, arg);
	case OPT_PARENT_UUID:
		return take_parent_uuid(args, "--parent-uuid", VD_PROP_PARENT_UUID, arg);
	case OPT_PARENT_MOD_UUID:
		return take_parent_uuid(args, "--parent-modification-uuid",
					VD_PROP_PARENT_MOD_UUID, arg);
	case OPT_GEOMETRY:
		return take_chs(args, "--geometry", VD_PROP_PCHS, arg);
	case OPT_LCHS:
		return take_chs(args, "--lchs", VD_PROP_LCHS, arg);
	case 'f':
		args->only = "-f";
		args->format = strcmp(arg, "auto") ? arg : NULL;
		return 0;
	case OPT_IGNORE_CHILDREN:
		args->only = "--ignore-children";
		args->ignore_children = true;
		return 0;
	case OPT_IGNORE_VMWARE_LOCK:
		args->only = "--ignore-vmware-lock";
		args->ignore_vmware_lock = true;
		return 0;
	default:
		return -1;
	}
}

static int may_change(const struct image_set *set, const struct vd_props *want)
{
	const struct vd_layout *l = set->images[0].layout;
	int ret;

	ret = device_check_unattached(&set->members[set->images[0].member]);
	if (!ret)
		ret = vmware_lock_check(set, true);
	if (!ret)
		ret = set_check_writers(set, 0, l && l->flags & VD_LAYOUT_UNCLEAN);
	if (!ret && l && want->mask & (VD_PROP_UUID | VD_PROP_MOD_UUID))
		ret = set_check_children(set, 0);
	return ret;
}

static int change(struct image_set *set, const struct vd_props *want, const char *pool)
{
	const struct set_image *image = &set->images[0];
	const struct set_member *m = &set->members[image->member];
	struct vd_content content;
	int ret;

	stop_catch();
	ret = set_props_confined(m->fd, m->path, image->format, want, pool, &content);
	if (!ret && content.data)
		ret = set_replace_own(set, content.data, content.len, "setting properties");
	vd_free(content.data);
	stop_release();
	return ret ? ret : stop_asked();
}

int props_set(const struct props_args *args, const char *path)
{
	const struct set_options opts = {
		.format = args->format,
		.lock = SET_LOCK_YES,
		.ignore_children = args->ignore_children,
		.ignore_vmware_lock = args->ignore_vmware_lock,
	};
	struct image_set set = { .opts = &opts };
	struct vd_props want = args->want;
	char *pool = xasprintf(" %s", args->comment ? args->comment : "");
	int ret;

	/* Where strings are, byte 0 stands for none. */
	pool[0] = 0;
	want.comment = args->comment && *args->comment ? 1 : 0;
	ret = set_open_own(&set, path, true);
	if (!ret)
		ret = may_change(&set, &want);
	if (!ret)
		ret = change(&set, &want, pool);
	set_close(&set);
	free(pool);
	return ret;
}
