// SPDX-License-Identifier: GPL-2.0-only
/* Messages to and from the module. */
#include <errno.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>
#include <stdlib.h>
#include <sys/socket.h>
#include "image-set.h"
#include "netlink.h"

#define SOCKET_BYTES	(1 << 20)

static struct nla_policy policy[VDISK_A_MAX + 1] = {
	[VDISK_A_ID] = { .type = NLA_U32 },
	[VDISK_A_FLAGS] = { .type = NLA_U32 },
	[VDISK_A_IMAGE] = { .minlen = sizeof(struct vdisk_image_desc) },
	[VDISK_A_SECTOR_SIZE] = { .type = NLA_U32 },
	[VDISK_A_CAPACITY] = { .type = NLA_U64 },
	[VDISK_A_DISKSEQ] = { .type = NLA_U64 },
	[VDISK_A_MAJOR] = { .type = NLA_U32 },
	[VDISK_A_MINOR] = { .type = NLA_U32 },
	[VDISK_A_OPENERS] = { .type = NLA_U32 },
	[VDISK_A_STATE] = { .type = NLA_U32 },
	[VDISK_A_INFLIGHT] = { .type = NLA_U32 },
	[VDISK_A_NAME] = { .type = NLA_STRING },
	[VDISK_A_UUID] = { .type = NLA_STRING },
	[VDISK_A_PATH] = { .type = NLA_STRING },
	[VDISK_A_EVENT] = { .type = NLA_U32 },
	[VDISK_A_QUEUES] = { .type = NLA_U32 },
	[VDISK_A_ERRORS] = { .type = NLA_U64 },
};

/* The extack sentence stands behind the error, as attributes. */
static int on_error(struct sockaddr_nl *who, struct nlmsgerr *e, void *arg)
{
	struct klink *nl = arg;
	const struct nlmsghdr *h = (const struct nlmsghdr *)(const void *)e - 1;
	size_t at = sizeof(*h) + sizeof(*e);
	struct nlattr *tb[NLMSGERR_ATTR_MAX + 1] = { NULL };

	nl->error = e->error;
	nl->done = true;
	if (h->nlmsg_flags & NLM_F_ACK_TLVS) {
		if (!(h->nlmsg_flags & NLM_F_CAPPED))
			at += e->msg.nlmsg_len - sizeof(e->msg);
		if (at < h->nlmsg_len)
			nla_parse(tb, NLMSGERR_ATTR_MAX,
				  (struct nlattr *)(void *)((char *)e - sizeof(*h) + at),
				  (int)(h->nlmsg_len - at), NULL);
	}
	if (tb[NLMSGERR_ATTR_MSG])
		nla_strlcpy(nl->extack, tb[NLMSGERR_ATTR_MSG], sizeof(nl->extack));
	return NL_STOP;
}

static int open_socket(struct klink *nl)
{
	int on = 1, bytes = SOCKET_BYTES;
	int fd;

	nl->sk = nl_socket_alloc();
	if (!nl->sk || genl_connect(nl->sk)) {
		klink_disconnect(nl);
		return ctl_error(CTL_FAIL, "failed", NULL, "cannot open a netlink socket");
	}
	fd = nl_socket_get_fd(nl->sk);
	setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	/* A table of 4,096 segments is one message; root may pass the limit. */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)))
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	/* Devices with long chains do not fit libnl's default of a page. */
	nl_socket_set_msg_buf_size(nl->sk, 256 << 10);
	return 0;
}

int klink_connect(struct klink *nl, enum klink_load load)
{
	int ret;

	memset(nl, 0, sizeof(*nl));
	if (load == KLINK_LOADED && !module_loaded())
		return -1;
	ret = open_socket(nl);
	if (ret)
		return ret;
	/* Asking for the family makes the kernel load the module, if it can. */
	nl->family = genl_ctrl_resolve(nl->sk, VDISK_GENL_NAME);
	if (nl->family < 0 && load == KLINK_LOAD) {
		ret = module_load();
		if (!ret)
			nl->family = genl_ctrl_resolve(nl->sk, VDISK_GENL_NAME);
	}
	if (!ret && nl->family < 0)
		ret = ctl_error(CTL_MODULE, "module_missing", NULL,
				"the vdisk module does not answer: %s", nl_geterror(nl->family));
	if (ret)
		klink_disconnect(nl);
	else
		nl_socket_modify_err_cb(nl->sk, NL_CB_CUSTOM, on_error, nl);
	return ret;
}

void klink_disconnect(struct klink *nl)
{
	nl_socket_free(nl->sk);
	nl->sk = NULL;
}

void device_clear(struct device *dev)
{
	free(dev->name);
	free(dev->uuid);
	while (dev->nr_paths)
		free(dev->paths[--dev->nr_paths]);
	free(dev->paths);
	memset(dev, 0, sizeof(*dev));
}

void devices_free(struct devices *devs)
{
	while (devs->nr)
		device_clear(&devs->list[--devs->nr]);
	free(devs->list);
	devs->list = NULL;
}

static u32 get_u32(struct nlattr *const *tb, int attr)
{
	return tb[attr] ? nla_get_u32(tb[attr]) : 0;
}

static u64 get_u64(struct nlattr *const *tb, int attr)
{
	return tb[attr] ? nla_get_u64(tb[attr]) : 0;
}

static char *get_text(struct nlattr *const *tb, int attr)
{
	return tb[attr] ? nla_strdup(tb[attr]) : NULL;
}

/* IMAGE and PATH come once for each image. */
static void parse_repeated(struct nlmsghdr *h, struct device *dev)
{
	struct nlattr *nla;
	int rem;

	nla_for_each_attr(nla, genlmsg_attrdata(nlmsg_data(h), 0),
			  genlmsg_attrlen(nlmsg_data(h), 0), rem) {
		if (nla_type(nla) == VDISK_A_IMAGE && dev->nr_images < VDISK_MAX_IMAGES &&
		    nla_len(nla) >= (int)sizeof(dev->images[0])) {
			memcpy(&dev->images[dev->nr_images++], nla_data(nla),
			       sizeof(dev->images[0]));
		} else if (nla_type(nla) == VDISK_A_PATH) {
			dev->paths = xrealloc(dev->paths, dev->nr_paths + 1, sizeof(*dev->paths));
			dev->paths[dev->nr_paths++] = nla_strdup(nla);
		}
	}
}

static u32 parse_device(struct nl_msg *msg, struct device *dev)
{
	struct nlmsghdr *h = nlmsg_hdr(msg);
	struct nlattr *tb[VDISK_A_MAX + 1];

	memset(dev, 0, sizeof(*dev));
	if (genlmsg_parse(h, 0, tb, VDISK_A_MAX, policy))
		return 0;
	dev->id = get_u32(tb, VDISK_A_ID);
	dev->flags = get_u32(tb, VDISK_A_FLAGS);
	dev->major = get_u32(tb, VDISK_A_MAJOR);
	dev->minor = get_u32(tb, VDISK_A_MINOR);
	dev->openers = get_u32(tb, VDISK_A_OPENERS);
	dev->state = get_u32(tb, VDISK_A_STATE);
	dev->inflight = get_u32(tb, VDISK_A_INFLIGHT);
	dev->sector_size = get_u32(tb, VDISK_A_SECTOR_SIZE);
	dev->queues = get_u32(tb, VDISK_A_QUEUES);
	dev->capacity = get_u64(tb, VDISK_A_CAPACITY);
	dev->diskseq = get_u64(tb, VDISK_A_DISKSEQ);
	dev->errors = get_u64(tb, VDISK_A_ERRORS);
	dev->name = get_text(tb, VDISK_A_NAME);
	dev->uuid = get_text(tb, VDISK_A_UUID);
	parse_repeated(h, dev);
	return get_u32(tb, VDISK_A_EVENT);
}

static int on_reply(struct nl_msg *msg, void *arg)
{
	struct device *reply = arg;

	if (reply) {
		device_clear(reply);
		parse_device(msg, reply);
	}
	return NL_OK;
}

static int on_dump(struct nl_msg *msg, void *arg)
{
	struct devices *devs = arg;

	devs->list = xrealloc(devs->list, devs->nr + 1, sizeof(*devs->list));
	parse_device(msg, &devs->list[devs->nr++]);
	return NL_OK;
}

static int on_done(struct nl_msg *msg, void *arg)
{
	struct klink *nl = arg;

	nl->done = true;
	return NL_STOP;
}

static int fail(struct klink *nl, int err, const char *doing, int ret)
{
	nl->error = err;
	snprintf(nl->extack, sizeof(nl->extack), "%s: %s", doing, nl_geterror(ret));
	return err;
}

/*
 * Sends @msg (eaten) and takes answers until the last: the acknowledgement, an
 * error, the end of a dump. An answer and its acknowledgement are two reads.
 */
static int talk(struct klink *nl, struct nl_msg *msg, nl_recvmsg_msg_cb_t valid, void *arg)
{
	int ret;

	nl->error = 0;
	nl->done = false;
	nl->extack[0] = 0;
	nl_socket_modify_cb(nl->sk, NL_CB_VALID, NL_CB_CUSTOM, valid, arg);
	nl_socket_modify_cb(nl->sk, NL_CB_ACK, NL_CB_CUSTOM, on_done, nl);
	nl_socket_modify_cb(nl->sk, NL_CB_FINISH, NL_CB_CUSTOM, on_done, nl);
	ret = nl_send_auto(nl->sk, msg);
	nlmsg_free(msg);
	if (ret < 0)
		return fail(nl, ret == -NLE_PERM ? -EPERM : -EIO, "sending to the module", ret);
	while (!nl->done) {
		ret = nl_recvmsgs_default(nl->sk);
		if (ret < 0 && !nl->done)
			return fail(nl, -EIO, "the answer of the module", ret);
	}
	return nl->error;
}

static struct nl_msg *request(const struct klink *nl, u8 cmd, int flags, size_t bytes)
{
	struct nl_msg *msg = nlmsg_alloc_size(bytes);

	if (!msg || !genlmsg_put(msg, NL_AUTO_PORT, NL_AUTO_SEQ, nl->family, 0, flags, cmd,
				 VDISK_GENL_VERSION)) {
		fputs("vdctl: out of memory\n", stderr);
		exit(CTL_FAIL);
	}
	return msg;
}

static int put_members(struct nl_msg *msg, const struct image_set *set)
{
	int ret = 0;
	u32 i;

	for (i = 0; i < set->nr_members && !ret; i++) {
		struct vdisk_member m = {
			.fd = set->members[i].fd,
			.flags = set->members[i].writable ? VDISK_MEMBER_RW : 0,
		};

		ret = nla_put(msg, VDISK_A_MEMBER, sizeof(m), &m);
	}
	return ret;
}

static int put_tables(struct nl_msg *msg, const struct image_set *set)
{
	struct vdisk_image_desc images[VDISK_MAX_IMAGES];
	int ret = 0;
	u32 i;

	set_tables(set, images);
	for (i = 0; i < set->nr_images && !ret; i++)
		ret = nla_put(msg, VDISK_A_IMAGE, sizeof(images[i]), &images[i]);
	for (i = 0; i < set->nr_segs && !ret; i++)
		ret = nla_put(msg, VDISK_A_SEGMENT, sizeof(set->segs[i]), &set->segs[i]);
	for (i = 0; i < set->nr_images && !ret; i++)
		ret = nla_put_string(msg, VDISK_A_PATH, set->images[i].path);
	return ret;
}

/* What the module changes in the files before the first change of the disk. */
static int put_patches(struct nl_msg *msg, const struct image_set *set)
{
	int ret = 0;
	u32 i;

	for (i = 0; i < set->nr_patches && !ret; i++)
		ret = nla_put(msg, VDISK_A_PATCH, sizeof(set->patches[i]), &set->patches[i]);
	return ret;
}

static int put_uuid(struct nl_msg *msg, const struct image_set *set)
{
	const struct vd_layout *layout = set->images[0].layout;
	char text[37];

	if (!layout || !(layout->props.mask & VD_PROP_UUID))
		return 0;
	format_uuid(layout->props.uuid, text);
	return nla_put_string(msg, VDISK_A_UUID, text);
}

int klink_attach(struct klink *nl, const struct attach_request *req, struct device *reply)
{
	const struct image_set *set = req->set;
	size_t bytes = 64 << 10;
	struct nl_msg *msg;
	int ret;
	u32 i;

	for (i = 0; i < set->nr_images; i++)
		bytes += strlen(set->images[i].path) + 64;
	bytes += set->nr_members * 16UL + set->nr_segs * (sizeof(set->segs[0]) + 8);
	msg = request(nl, VDISK_CMD_ATTACH, NLM_F_ACK, bytes);
	ret = nla_put_u32(msg, VDISK_A_FLAGS, req->flags);
	if (!ret && req->have_id)
		ret = nla_put_u32(msg, VDISK_A_ID, req->id);
	if (!ret && req->sector_size)
		ret = nla_put_u32(msg, VDISK_A_SECTOR_SIZE, req->sector_size);
	if (!ret && req->queues)
		ret = nla_put_u32(msg, VDISK_A_QUEUES, req->queues);
	if (!ret && req->name)
		ret = nla_put_string(msg, VDISK_A_NAME, req->name);
	if (!ret)
		ret = put_uuid(msg, set);
	if (!ret)
		ret = put_members(msg, set);
	if (!ret)
		ret = put_tables(msg, set);
	if (!ret)
		ret = put_patches(msg, set);
	if (ret) {
		nlmsg_free(msg);
		nl->error = -E2BIG;
		snprintf(nl->extack, sizeof(nl->extack), "the image set does not fit a message");
		return nl->error;
	}
	return talk(nl, msg, on_reply, reply);
}

int klink_detach(struct klink *nl, u32 id, enum vdisk_detach_mode mode, struct device *reply)
{
	struct nl_msg *msg = request(nl, VDISK_CMD_DETACH, NLM_F_ACK, 256);

	nla_put_u32(msg, VDISK_A_ID, id);
	nla_put_u32(msg, VDISK_A_MODE, mode);
	return talk(nl, msg, on_reply, reply);
}

int klink_set(struct klink *nl, u32 id, u32 flags, u32 mask)
{
	struct nl_msg *msg = request(nl, VDISK_CMD_SET, NLM_F_ACK, 256);

	nla_put_u32(msg, VDISK_A_ID, id);
	nla_put_u32(msg, VDISK_A_FLAGS, flags);
	nla_put_u32(msg, VDISK_A_FLAGS_MASK, mask);
	return talk(nl, msg, on_reply, NULL);
}

int klink_dump(struct klink *nl, struct devices *out)
{
	memset(out, 0, sizeof(*out));
	return talk(nl, request(nl, VDISK_CMD_GET, NLM_F_DUMP, 256), on_dump, out);
}

static int on_event(struct nl_msg *msg, void *arg)
{
	void (*event)(u32 event, const struct device *dev) =
		(void (*)(u32, const struct device *))arg;
	struct device dev;
	u32 what = parse_device(msg, &dev);

	event(what, &dev);
	device_clear(&dev);
	return NL_OK;
}

static int no_sequence(struct nl_msg *msg, void *arg)
{
	return NL_OK;
}

int klink_listen(struct klink *nl, void (*event)(u32 event, const struct device *dev))
{
	int group = genl_ctrl_resolve_grp(nl->sk, VDISK_GENL_NAME, VDISK_GENL_MCGRP);
	int ret;

	if (group < 0)
		return ctl_error(CTL_FAIL, "failed", NULL, "the module sends no events: %s",
				 nl_geterror(group));
	ret = nl_socket_add_membership(nl->sk, group);
	if (ret)
		return ctl_error(ret == -NLE_PERM ? CTL_PERM : CTL_FAIL, "failed", NULL,
				 "cannot listen to events: %s", nl_geterror(ret));
	nl_socket_modify_cb(nl->sk, NL_CB_SEQ_CHECK, NL_CB_CUSTOM, no_sequence, NULL);
	nl_socket_modify_cb(nl->sk, NL_CB_VALID, NL_CB_CUSTOM, on_event, (void *)event);
	for (;;) {
		ret = nl_recvmsgs_default(nl->sk);
		/* Too slow a reader has lost events; say so and go on. */
		if (ret == -NLE_NOMEM)
			ctl_warn(NULL, "events were lost");
		else if (ret < 0)
			return ctl_error(CTL_FAIL, "failed", NULL, "receiving events: %s",
					 nl_geterror(ret));
	}
}

int klink_error(const struct klink *nl, const char *path)
{
	struct vd_error err = { .code = nl->error };

	/* Netlink itself turns away who lacks CAP_NET_ADMIN, without a word. */
	if (nl->error == -EPERM && !nl->extack[0])
		return ctl_error(CTL_PERM, "permission", path,
				 "the kernel lets only root of the host do this, no container");
	snprintf(err.text, sizeof(err.text), "%.*s", (int)sizeof(err.text) - 1, nl->extack);
	return ctl_vd_error(&err, path);
}
