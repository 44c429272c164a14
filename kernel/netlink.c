// SPDX-License-Identifier: GPL-2.0-only
/*
 * Generic netlink: the only way in. Policies check shapes, nl-attach.c counts and
 * copies, shared code and attach.c check every number. All commands run in
 * parallel, and their handlers return soon, whatever a file does: netlink's lock
 * is held around them.
 */
#include <linux/blkdev.h>
#include <linux/module.h>
#include <net/genetlink.h>

#include "netlink.h"
#include "vdisk.h"

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

void vdisk_extack(struct genl_info *info, const struct vd_error *err)
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
int vdisk_may(struct sk_buff *skb, struct genl_info *info)
{
	if (netlink_capable(skb, CAP_SYS_ADMIN))
		return 0;
	/* A constant: who may not get further cannot take a text from others either. */
	NL_SET_ERR_MSG(info->extack, "needs CAP_SYS_ADMIN in the initial user namespace");
	return -EPERM;
}

/* --- for all commands --- */

int vdisk_put_ids(struct sk_buff *msg, struct vdisk_device *dev)
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
struct sk_buff *vdisk_new_reply(struct vd_error *err)
{
	struct sk_buff *msg = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_NOIO);

	if (!msg)
		vd_fail(err, -ENOMEM, "no memory for the answer");
	return msg;
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
	u32 state = READ_ONCE(dev->state);

	/* Torn down, it is not gone as long as GET finds it, and the module is in use. */
	if (gone)
		state = VDISK_STATE_NEW;
	else if (state == VDISK_STATE_NEW)
		state = VDISK_STATE_DYING;
	if (!hdr || nla_put_u32(msg, VDISK_A_ID, dev->id) ||
	    nla_put_u32(msg, VDISK_A_STATE, state) ||
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

struct genl_family vdisk_family __ro_after_init = {
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
