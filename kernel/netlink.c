// SPDX-License-Identifier: GPL-2.0-only
/*
 * Generic netlink: the only way in. Policies check shapes, this file counts and
 * copies, shared code and attach.c check every number. All commands run in
 * parallel; none holds a lock of netlink's across I/O.
 */
#include <linux/blkdev.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <net/genetlink.h>
#include <net/sock.h>

#include "vdisk.h"

#define VDISK_PATHS_MAX	VDISK_MAX_IMAGES

static struct genl_family vdisk_family;

static const struct nla_policy vdisk_attach_policy[VDISK_A_MAX + 1] = {
	[VDISK_A_ID] = { .type = NLA_U32 },
	[VDISK_A_FLAGS] = NLA_POLICY_MASK(NLA_U32, VDISK_F_SETTABLE | VDISK_F_HARD_RDONLY |
					  VDISK_F_NO_PARTSCAN | VDISK_F_BUFFERED),
	[VDISK_A_MEMBER] = NLA_POLICY_EXACT_LEN(sizeof(struct vdisk_member)),
	[VDISK_A_IMAGE] = NLA_POLICY_EXACT_LEN(sizeof(struct vdisk_image_desc)),
	[VDISK_A_SEGMENT] = NLA_POLICY_EXACT_LEN(sizeof(struct vdisk_segment_desc)),
	[VDISK_A_SECTOR_SIZE] = { .type = NLA_U32 },
	[VDISK_A_NAME] = { .type = NLA_NUL_STRING, .len = 255 },
	[VDISK_A_UUID] = { .type = NLA_NUL_STRING, .len = 36 },
	[VDISK_A_PATH] = { .type = NLA_NUL_STRING, .len = VDISK_MAX_NAME - 1 },
	[VDISK_A_QUEUES] = { .type = NLA_U32 },
	[VDISK_A_PATCH] = NLA_POLICY_EXACT_LEN(sizeof(struct vdisk_patch)),
};

static const struct nla_policy vdisk_detach_policy[VDISK_A_MAX + 1] = {
	[VDISK_A_ID] = { .type = NLA_U32 },
	[VDISK_A_MODE] = NLA_POLICY_MAX(NLA_U32, VDISK_DETACH_FORCE),
};

static const struct nla_policy vdisk_set_policy[VDISK_A_MAX + 1] = {
	[VDISK_A_ID] = { .type = NLA_U32 },
	[VDISK_A_FLAGS] = { .type = NLA_U32 },
	[VDISK_A_FLAGS_MASK] = { .type = NLA_U32 },
};

static const struct nla_policy vdisk_get_policy[VDISK_A_MAX + 1] = {
	[VDISK_A_ID] = { .type = NLA_U32 },
};

/*
 * The ack is built after the handler returned, so its text must outlive it. The same
 * task builds it, before it can be refused again: so each has a text of its own, and
 * who was refused longest ago gives his up. Taking them in turn would not do: while
 * one task waits for the memory of its ack, another is refused a hundred times. Only
 * callers with CAP_SYS_ADMIN get here.
 */
struct vdisk_refusal {
	pid_t pid;
	u64 when;
	char text[VD_ERROR_TEXT];
};

static struct vdisk_refusal vdisk_refusals[64];
static DEFINE_SPINLOCK(vdisk_refusals_lock);

static struct vdisk_refusal *vdisk_refusal_of(pid_t pid)
{
	struct vdisk_refusal *oldest = vdisk_refusals;
	int i;

	for (i = 0; i < ARRAY_SIZE(vdisk_refusals); i++) {
		if (vdisk_refusals[i].pid == pid)
			return &vdisk_refusals[i];
		if (vdisk_refusals[i].when < oldest->when)
			oldest = &vdisk_refusals[i];
	}
	return oldest;
}

static void vdisk_extack(struct genl_info *info, const struct vd_error *err)
{
	struct vdisk_refusal *refusal;
	static u64 clock;

	if (!info->extack || !err->text[0])
		return;
	spin_lock(&vdisk_refusals_lock);
	refusal = vdisk_refusal_of(task_pid_nr(current));
	refusal->pid = task_pid_nr(current);
	refusal->when = ++clock;
	strscpy(refusal->text, err->text, VD_ERROR_TEXT);
	spin_unlock(&vdisk_refusals_lock);
	info->extack->_msg = refusal->text;
}

/* The family's flag is only CAP_NET_ADMIN. */
static int vdisk_may(struct sk_buff *skb, struct genl_info *info)
{
	if (netlink_capable(skb, CAP_SYS_ADMIN))
		return 0;
	/* A constant: who may not get further cannot take a text from others either. */
	NL_SET_ERR_MSG(info->extack, "needs CAP_SYS_ADMIN in the initial user namespace");
	return -EPERM;
}

/* --- ATTACH --- */

struct vdisk_counts {
	u32 members;
	u32 images;
	u32 segments;
	u32 paths;
	u32 patches;
};

static int vdisk_count_attrs(struct genl_info *info, struct vdisk_counts *n, struct vd_error *err)
{
	struct nlattr *attr;
	int rem;

	nlmsg_for_each_attr(attr, info->nlhdr, GENL_HDRLEN, rem) {
		switch (nla_type(attr)) {
		case VDISK_A_MEMBER:
			n->members++;
			break;
		case VDISK_A_IMAGE:
			n->images++;
			break;
		case VDISK_A_SEGMENT:
			n->segments++;
			break;
		case VDISK_A_PATH:
			n->paths++;
			break;
		case VDISK_A_PATCH:
			n->patches++;
			break;
		}
	}
	if (n->members > VDISK_MAX_MEMBERS)
		return vd_fail(err, -E2BIG, "%u members, at most %u", n->members,
			       VDISK_MAX_MEMBERS);
	if (n->images > VDISK_MAX_IMAGES)
		return vd_fail(err, -E2BIG, "a chain of %u images, at most %u", n->images,
			       VDISK_MAX_IMAGES);
	if (n->segments > VDISK_MAX_SEGMENTS)
		return vd_fail(err, -E2BIG, "%u segments, at most %u", n->segments,
			       VDISK_MAX_SEGMENTS);
	if (n->paths > VDISK_PATHS_MAX)
		return vd_fail(err, -E2BIG, "%u paths, at most %u", n->paths, VDISK_PATHS_MAX);
	if (n->patches > VDISK_MAX_PATCHES)
		return vd_fail(err, -E2BIG, "%u patches, at most %u", n->patches,
			       VDISK_MAX_PATCHES);
	return 0;
}

static void vdisk_attach_release(struct vdisk_attach *a)
{
	kvfree(a->members);
	kvfree(a->images);
	kvfree(a->segments);
	kvfree(a->paths);
}

static int vdisk_copy_attrs(struct genl_info *info, const struct vdisk_counts *n,
			    struct vdisk_attach *a, struct vd_error *err)
{
	struct nlattr *attr;
	int rem;

	a->members = kvcalloc(max(n->members, 1U), sizeof(*a->members), GFP_KERNEL);
	a->images = kvcalloc(max(n->images, 1U), sizeof(*a->images), GFP_KERNEL);
	a->segments = kvcalloc(max(n->segments, 1U), sizeof(*a->segments), GFP_KERNEL);
	a->paths = kvcalloc(max(n->paths, 1U), sizeof(*a->paths), GFP_KERNEL);
	if (!a->members || !a->images || !a->segments || !a->paths)
		return vd_fail(err, -ENOMEM, "no memory for the tables");
	nlmsg_for_each_attr(attr, info->nlhdr, GENL_HDRLEN, rem) {
		switch (nla_type(attr)) {
		case VDISK_A_MEMBER:
			nla_memcpy(&a->members[a->nr_members++], attr, sizeof(*a->members));
			break;
		case VDISK_A_IMAGE:
			nla_memcpy(&a->images[a->nr_images++], attr, sizeof(*a->images));
			break;
		case VDISK_A_SEGMENT:
			nla_memcpy(&a->segments[a->nr_segments++], attr, sizeof(*a->segments));
			break;
		case VDISK_A_PATH:
			/* Points into the message; attach copies it. */
			a->paths[a->nr_paths++] = nla_data(attr);
			break;
		case VDISK_A_PATCH:
			nla_memcpy(&a->patches[a->nr_patches++], attr, sizeof(*a->patches));
			break;
		}
	}
	return 0;
}

static int vdisk_check_request(const struct vdisk_attach *a, struct vd_error *err)
{
	u32 i;

	for (i = 0; i < a->nr_members; i++)
		if (a->members[i].flags & ~VDISK_MEMBER_FLAGS)
			return vd_fail(err, -EINVAL, "member %u: unknown flags %#x", i,
				       a->members[i].flags & ~VDISK_MEMBER_FLAGS);
	/* udev makes a link of this name. */
	if (a->name && (strchr(a->name, '/') || a->name[0] == '.'))
		return vd_fail(err, -EINVAL, "the name must not hold '/' or begin with '.'");
	return 0;
}

static int vdisk_put_ids(struct sk_buff *msg, struct vdisk_device *dev)
{
	if (nla_put_u32(msg, VDISK_A_ID, dev->id) ||
	    nla_put_u64_64bit(msg, VDISK_A_DISKSEQ, dev->diskseq, VDISK_A_PAD) ||
	    nla_put_u32(msg, VDISK_A_MAJOR, dev->major) ||
	    nla_put_u32(msg, VDISK_A_MINOR, dev->minor) ||
	    nla_put_u32(msg, VDISK_A_STATE, READ_ONCE(dev->state)))
		return -EMSGSIZE;
	return 0;
}

/*
 * Before anything is done: who gets no answer would not know what was. Reclaim could
 * wait for the very file that hangs, and whose device is to be detached by force.
 */
static struct sk_buff *vdisk_new_reply(struct vd_error *err)
{
	struct sk_buff *msg = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_NOIO);

	if (!msg)
		vd_fail(err, -ENOMEM, "no memory for the answer");
	return msg;
}

/*
 * Takes @msg over. The scan for partitions ends early when its process is killed, and
 * says nothing: such a disk is not answered for.
 */
static int vdisk_reply_attach(struct genl_info *info, struct vdisk_device *dev,
			      struct sk_buff *msg)
{
	void *hdr = genlmsg_put_reply(msg, info, &vdisk_family, 0, VDISK_CMD_ATTACH);
	int ret = 0;

	if (!hdr || vdisk_put_ids(msg, dev))
		ret = -EMSGSIZE;
	else if (fatal_signal_pending(current))
		ret = -EINTR;
	if (ret) {
		nlmsg_free(msg);
		return ret;
	}
	genlmsg_end(msg, hdr);
	return genlmsg_reply(msg, info);
}

static int vdisk_nl_attach(struct sk_buff *skb, struct genl_info *info)
{
	struct vdisk_attach a = { .id = -1, .sector_size = SECTOR_SIZE };
	struct vdisk_counts n = {};
	struct vd_error err = {};
	struct nlattr **attrs = info->attrs;
	struct vdisk_device *dev;
	struct sk_buff *msg;
	int ret;

	ret = vdisk_may(skb, info);
	if (!ret)
		ret = vdisk_count_attrs(info, &n, &err);
	if (!ret)
		ret = vdisk_copy_attrs(info, &n, &a, &err);
	if (ret)
		goto out;
	if (attrs[VDISK_A_ID])
		a.id = nla_get_u32(attrs[VDISK_A_ID]);
	if (attrs[VDISK_A_FLAGS])
		a.flags = nla_get_u32(attrs[VDISK_A_FLAGS]);
	if (attrs[VDISK_A_SECTOR_SIZE])
		a.sector_size = nla_get_u32(attrs[VDISK_A_SECTOR_SIZE]);
	if (attrs[VDISK_A_QUEUES])
		a.queues = nla_get_u32(attrs[VDISK_A_QUEUES]);
	if (attrs[VDISK_A_NAME])
		a.name = nla_data(attrs[VDISK_A_NAME]);
	if (attrs[VDISK_A_UUID])
		a.uuid = nla_data(attrs[VDISK_A_UUID]);
	ret = vdisk_check_request(&a, &err);
	if (ret)
		goto out;
	msg = vdisk_new_reply(&err);
	if (!msg) {
		ret = -ENOMEM;
		goto out;
	}
	dev = vdisk_attach(&a, &err);
	if (IS_ERR(dev)) {
		nlmsg_free(msg);
		ret = PTR_ERR(dev);
		goto out;
	}
	ret = vdisk_reply_attach(info, dev, msg);
	if (ret)	/* nobody would know its number */
		vdisk_detach(dev, VDISK_DETACH_FORCE, &err);
	vdisk_put(dev);
out:
	vdisk_attach_release(&a);
	if (ret)
		vdisk_extack(info, &err);
	return ret;
}

/* --- DETACH, SET --- */

static struct vdisk_device *vdisk_nl_device(struct genl_info *info, struct vd_error *err)
{
	struct vdisk_device *dev;
	u32 id;

	if (!info->attrs[VDISK_A_ID])
		return ERR_PTR(vd_fail(err, -EINVAL, "which device? the ID is missing"));
	id = nla_get_u32(info->attrs[VDISK_A_ID]);
	dev = vdisk_get(id);
	if (!dev)
		return ERR_PTR(vd_fail(err, -ENODEV, "vdisk%u is not attached", id));
	return dev;
}

/* Takes @msg over. */
static int vdisk_reply_detach(struct genl_info *info, struct vdisk_device *dev,
			      struct sk_buff *msg)
{
	void *hdr = genlmsg_put_reply(msg, info, &vdisk_family, 0, VDISK_CMD_DETACH);
	bool gone = completion_done(&dev->gone);

	if (!hdr || nla_put_u32(msg, VDISK_A_ID, dev->id) ||
	    nla_put_u32(msg, VDISK_A_STATE, gone ? VDISK_STATE_NEW : READ_ONCE(dev->state)) ||
	    nla_put_u32(msg, VDISK_A_INFLIGHT, gone ? 0 : vdisk_inflight(dev))) {
		nlmsg_free(msg);
		return -EMSGSIZE;
	}
	genlmsg_end(msg, hdr);
	return genlmsg_reply(msg, info);
}

static int vdisk_nl_detach(struct sk_buff *skb, struct genl_info *info)
{
	struct vd_error err = {};
	struct vdisk_device *dev;
	struct sk_buff *msg;
	u32 mode = VDISK_DETACH_PLAIN;
	int ret = vdisk_may(skb, info);

	if (ret)
		goto out;
	dev = vdisk_nl_device(info, &err);
	if (IS_ERR(dev)) {
		ret = PTR_ERR(dev);
		goto out;
	}
	if (info->attrs[VDISK_A_MODE])
		mode = nla_get_u32(info->attrs[VDISK_A_MODE]);
	msg = vdisk_new_reply(&err);
	ret = msg ? vdisk_detach(dev, mode, &err) : -ENOMEM;
	if (!ret)
		ret = vdisk_reply_detach(info, dev, msg);
	else
		nlmsg_free(msg);
	vdisk_put(dev);
out:
	if (ret)
		vdisk_extack(info, &err);
	return ret;
}

static int vdisk_nl_set(struct sk_buff *skb, struct genl_info *info)
{
	struct vd_error err = {};
	struct vdisk_device *dev;
	u32 flags, mask;
	int ret = vdisk_may(skb, info);

	if (ret)
		goto out;
	dev = vdisk_nl_device(info, &err);
	if (IS_ERR(dev)) {
		ret = PTR_ERR(dev);
		goto out;
	}
	if (!info->attrs[VDISK_A_FLAGS] || !info->attrs[VDISK_A_FLAGS_MASK]) {
		ret = vd_fail(&err, -EINVAL, "a SET needs FLAGS and FLAGS_MASK");
	} else {
		flags = nla_get_u32(info->attrs[VDISK_A_FLAGS]);
		mask = nla_get_u32(info->attrs[VDISK_A_FLAGS_MASK]);
		ret = vdisk_set(dev, flags & ~VDISK_F_FORCE, mask & ~VDISK_F_FORCE,
				flags & VDISK_F_FORCE, &err);
	}
	vdisk_put(dev);
out:
	if (ret)
		vdisk_extack(info, &err);
	return ret;
}

/* --- GET --- */

static int vdisk_put_chain(struct sk_buff *msg, struct vdisk_device *dev, bool admin)
{
	u32 i;

	for (i = 0; i < dev->chain_images; i++)
		if (nla_put(msg, VDISK_A_IMAGE, sizeof(*dev->images), &dev->images[i]))
			return -EMSGSIZE;
	for (i = 0; admin && i < dev->chain_images; i++)
		if (nla_put_string(msg, VDISK_A_PATH, dev->paths[i] ?: ""))
			return -EMSGSIZE;
	return 0;
}

static int vdisk_put_device(struct sk_buff *msg, struct vdisk_device *dev, bool admin)
{
	if (vdisk_put_ids(msg, dev) ||
	    nla_put_u32(msg, VDISK_A_FLAGS, READ_ONCE(dev->flags)) ||
	    nla_put_u64_64bit(msg, VDISK_A_CAPACITY, dev->images[0].size, VDISK_A_PAD) ||
	    nla_put_u32(msg, VDISK_A_OPENERS, dev->disk ? disk_openers(dev->disk) : 0) ||
	    nla_put_u32(msg, VDISK_A_INFLIGHT, vdisk_inflight(dev)) ||
	    nla_put_u32(msg, VDISK_A_SECTOR_SIZE, dev->sector_size) ||
	    nla_put_u32(msg, VDISK_A_QUEUES, dev->nr_queues) ||
	    nla_put_string(msg, VDISK_A_NAME, dev->name) ||
	    nla_put_string(msg, VDISK_A_UUID, dev->uuid) ||
	    nla_put_u64_64bit(msg, VDISK_A_ERRORS, atomic64_read(&dev->errors), VDISK_A_PAD))
		return -EMSGSIZE;
	return vdisk_put_chain(msg, dev, admin);
}

/* Room for the longest chain with the longest names would be 260 KiB; ask for what it takes. */
static size_t vdisk_reply_size(const struct vdisk_device *dev)
{
	size_t size = 1024;
	u32 i;

	for (i = 0; i < dev->chain_images; i++)
		size += 64 + (dev->paths[i] ? strlen(dev->paths[i]) : 0);
	return size;
}

static int vdisk_nl_get(struct sk_buff *skb, struct genl_info *info)
{
	bool admin = netlink_capable(skb, CAP_SYS_ADMIN);
	struct vdisk_device *dev;
	struct sk_buff *msg;
	void *hdr;
	int ret;

	if (!info->attrs[VDISK_A_ID]) {
		NL_SET_ERR_MSG(info->extack, "which device? the ID is missing");
		return -EINVAL;
	}
	dev = vdisk_get(nla_get_u32(info->attrs[VDISK_A_ID]));
	if (!dev) {
		NL_SET_ERR_MSG(info->extack, "no such vdisk device");
		return -ENODEV;
	}
	ret = -ENOMEM;
	msg = genlmsg_new(vdisk_reply_size(dev), GFP_KERNEL);
	if (!msg) {
		NL_SET_ERR_MSG(info->extack, "no memory for the answer");
		goto out;
	}
	ret = -EMSGSIZE;
	hdr = genlmsg_put_reply(msg, info, &vdisk_family, 0, VDISK_CMD_GET);
	if (!hdr || vdisk_put_device(msg, dev, admin)) {
		nlmsg_free(msg);
		goto out;
	}
	genlmsg_end(msg, hdr);
	ret = genlmsg_reply(msg, info);
out:
	vdisk_put(dev);
	return ret;
}

/*
 * One device a message. A chain whose names do not fit the dump's buffer comes
 * without them; GET by id has them all.
 */
static int vdisk_dump_one(struct sk_buff *skb, struct netlink_callback *cb,
			  struct vdisk_device *dev, bool admin)
{
	void *hdr = genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq, &vdisk_family,
				NLM_F_MULTI, VDISK_CMD_GET);

	if (!hdr)
		return -EMSGSIZE;
	if (vdisk_put_device(skb, dev, admin)) {
		genlmsg_cancel(skb, hdr);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, hdr);
	return 0;
}

static int vdisk_nl_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	bool admin = netlink_capable(cb->skb, CAP_SYS_ADMIN);
	unsigned long id = cb->args[0];
	struct vdisk_device *dev;
	bool first = !skb->len;
	int ret;

	while ((dev = vdisk_get_next(&id))) {
		ret = vdisk_dump_one(skb, cb, dev, admin);
		if (ret && first && admin)
			ret = vdisk_dump_one(skb, cb, dev, false);
		vdisk_put(dev);
		if (ret)
			break;
		first = false;
		id++;
	}
	cb->args[0] = id;
	return skb->len;
}

/* --- events --- */

void vdisk_event(struct vdisk_device *dev, u32 event)
{
	struct sk_buff *msg = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_KERNEL);
	void *hdr;

	if (!msg)
		return;
	hdr = genlmsg_put(msg, 0, 0, &vdisk_family, 0, VDISK_CMD_EVENT);
	if (!hdr || nla_put_u32(msg, VDISK_A_EVENT, event) || vdisk_put_ids(msg, dev) ||
	    nla_put_u32(msg, VDISK_A_FLAGS, READ_ONCE(dev->flags))) {
		nlmsg_free(msg);
		return;
	}
	genlmsg_end(msg, hdr);
	genlmsg_multicast_allns(&vdisk_family, msg, 0, 0);
}

static const struct genl_ops vdisk_ops[] = {
	{
		.cmd = VDISK_CMD_ATTACH,
		.doit = vdisk_nl_attach,
		.policy = vdisk_attach_policy,
		.maxattr = VDISK_A_MAX,
		.flags = GENL_ADMIN_PERM,
	},
	{
		.cmd = VDISK_CMD_DETACH,
		.doit = vdisk_nl_detach,
		.policy = vdisk_detach_policy,
		.maxattr = VDISK_A_MAX,
		.flags = GENL_ADMIN_PERM,
	},
	{
		.cmd = VDISK_CMD_SET,
		.doit = vdisk_nl_set,
		.policy = vdisk_set_policy,
		.maxattr = VDISK_A_MAX,
		.flags = GENL_ADMIN_PERM,
	},
	{
		.cmd = VDISK_CMD_GET,
		.doit = vdisk_nl_get,
		.dumpit = vdisk_nl_dump,
		.policy = vdisk_get_policy,
		.maxattr = VDISK_A_MAX,
	},
};

static const struct genl_multicast_group vdisk_groups_nl[] = {
	{ .name = VDISK_GENL_MCGRP },
};

static struct genl_family vdisk_family __ro_after_init = {
	.name = VDISK_GENL_NAME,
	.version = VDISK_GENL_VERSION,
	.maxattr = VDISK_A_MAX,
	.netnsok = true,
	.parallel_ops = true,
	.module = THIS_MODULE,
	.ops = vdisk_ops,
	.n_ops = ARRAY_SIZE(vdisk_ops),
	.mcgrps = vdisk_groups_nl,
	.n_mcgrps = ARRAY_SIZE(vdisk_groups_nl),
};

int vdisk_netlink_init(void)
{
	return genl_register_family(&vdisk_family);
}

void vdisk_netlink_exit(void)
{
	genl_unregister_family(&vdisk_family);
}
