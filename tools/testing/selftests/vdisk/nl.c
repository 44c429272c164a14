// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <linux/vdisk.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nl.h"
#include "tap.h"
#include "util.h"

#define HEADERS		(NLMSG_HDRLEN + GENL_HDRLEN)
#define RECV_BUF	(128 << 10)

/* ------------------------------------------------------------- requests */

static void *reserve(struct nl_req *req, size_t len)
{
	void *p;

	if (req->len + len > req->cap) {
		req->cap = (req->len + len) * 2;
		req->buf = realloc(req->buf, req->cap);
		if (!req->buf)
			bail("no memory for a netlink message");
	}
	p = req->buf + req->len;
	memset(p, 0, len);
	req->len += len;
	return p;
}

void nl_begin(struct nl_req *req, uint8_t cmd)
{
	struct genlmsghdr *genl;

	memset(req, 0, sizeof(*req));
	reserve(req, HEADERS);
	genl = (struct genlmsghdr *)(req->buf + NLMSG_HDRLEN);
	genl->cmd = cmd;
	genl->version = VDISK_GENL_VERSION;
}

void nl_put(struct nl_req *req, uint16_t type, const void *data, size_t len)
{
	struct nlattr *attr = reserve(req, NLA_HDRLEN + NLA_ALIGN(len));

	attr->nla_type = type;
	attr->nla_len = NLA_HDRLEN + len;
	if (len)
		memcpy((char *)attr + NLA_HDRLEN, data, len);
}

void nl_put_u32(struct nl_req *req, uint16_t type, uint32_t value)
{
	nl_put(req, type, &value, sizeof(value));
}

void nl_put_str(struct nl_req *req, uint16_t type, const char *value)
{
	nl_put(req, type, value, strlen(value) + 1);
}

void nl_end(struct nl_req *req)
{
	free(req->buf);
	memset(req, 0, sizeof(*req));
}

static int send_request(struct nl *nl, struct nl_req *req, uint16_t type, uint16_t flags)
{
	const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct nlmsghdr *hdr = (struct nlmsghdr *)req->buf;

	hdr->nlmsg_len = req->len;
	hdr->nlmsg_type = type;
	hdr->nlmsg_flags = NLM_F_REQUEST | flags;
	hdr->nlmsg_seq = ++nl->seq;
	if (sendto(nl->fd, req->buf, req->len, 0, (const struct sockaddr *)&kernel,
		   sizeof(kernel)) < 0)
		return -errno;
	return 0;
}

/* -------------------------------------------------------------- answers */

static const void *find_attr(const uint8_t *p, size_t len, uint16_t type, unsigned int nth,
			     size_t *out_len)
{
	const struct nlattr *attr;

	while (len >= NLA_HDRLEN) {
		attr = (const struct nlattr *)p;
		if (attr->nla_len < NLA_HDRLEN || attr->nla_len > len)
			return NULL;
		if ((attr->nla_type & NLA_TYPE_MASK) == type && !nth--) {
			if (out_len)
				*out_len = attr->nla_len - NLA_HDRLEN;
			return p + NLA_HDRLEN;
		}
		if ((size_t)NLA_ALIGN(attr->nla_len) >= len)
			return NULL;
		p += NLA_ALIGN(attr->nla_len);
		len -= NLA_ALIGN(attr->nla_len);
	}
	return NULL;
}

const void *nl_attr(const struct nl_reply *reply, uint16_t type, unsigned int nth, size_t *len)
{
	return find_attr(reply->payload, reply->len, type, nth, len);
}

bool nl_get_u32(const struct nl_reply *reply, uint16_t type, uint32_t *value)
{
	size_t len;
	const void *p = nl_attr(reply, type, 0, &len);

	if (!p || len != sizeof(*value))
		return false;
	memcpy(value, p, sizeof(*value));
	return true;
}

bool nl_get_u64(const struct nl_reply *reply, uint16_t type, uint64_t *value)
{
	size_t len;
	const void *p = nl_attr(reply, type, 0, &len);

	if (!p || len != sizeof(*value))
		return false;
	memcpy(value, p, sizeof(*value));
	return true;
}

const char *nl_get_str(const struct nl_reply *reply, uint16_t type, unsigned int nth)
{
	size_t len;
	const char *p = nl_attr(reply, type, nth, &len);

	return p && len && !p[len - 1] ? p : NULL;
}

static void store_data(struct nl_reply *reply, const struct nlmsghdr *hdr)
{
	const struct genlmsghdr *genl = NLMSG_DATA(hdr);
	size_t len;

	if (hdr->nlmsg_len < HEADERS)
		return;
	len = hdr->nlmsg_len - HEADERS;
	if (len > sizeof(reply->payload))
		bail("a netlink answer of %zu bytes", len);
	reply->cmd = genl->cmd;
	reply->len = len;
	memcpy(reply->payload, (const uint8_t *)hdr + HEADERS, len);
}

/* The extack attributes follow the error and, without a cap, its request. */
static void store_ack(struct nl_reply *reply, const struct nlmsghdr *hdr)
{
	const struct nlmsgerr *err = NLMSG_DATA(hdr);
	size_t skip = NLMSG_HDRLEN + sizeof(*err);
	size_t len = 0;
	const char *text;

	reply->error = err->error;
	if (!(hdr->nlmsg_flags & NLM_F_CAPPED))
		skip += err->msg.nlmsg_len - NLMSG_HDRLEN;
	if (!(hdr->nlmsg_flags & NLM_F_ACK_TLVS) || hdr->nlmsg_len <= skip)
		return;
	text = find_attr((const uint8_t *)hdr + skip, hdr->nlmsg_len - skip, NLMSGERR_ATTR_MSG,
			 0, &len);
	if (!text)
		return;
	if (len >= sizeof(reply->text))
		len = sizeof(reply->text) - 1;
	memcpy(reply->text, text, len);
	reply->text[len] = 0;
}

/* Receive datagrams until @msg says that it has seen enough. */
static int receive(struct nl *nl, bool (*msg)(void *ctx, const struct nlmsghdr *hdr), void *ctx)
{
	static __thread uint8_t buf[RECV_BUF] __attribute__((aligned(8)));
	const struct nlmsghdr *hdr;
	bool done = false;
	ssize_t len;

	while (!done) {
		len = recv(nl->fd, buf, sizeof(buf), 0);
		if (len < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		for (hdr = (void *)buf; NLMSG_OK(hdr, len); hdr = NLMSG_NEXT(hdr, len)) {
			if (hdr->nlmsg_seq == nl->seq)
				done = msg(ctx, hdr);
		}
	}
	return 0;
}

static bool call_message(void *ctx, const struct nlmsghdr *hdr)
{
	struct nl_reply *reply = ctx;

	if (hdr->nlmsg_type != NLMSG_ERROR) {
		store_data(reply, hdr);
		return false;
	}
	store_ack(reply, hdr);
	return true;
}

static int call_type(struct nl *nl, struct nl_req *req, uint16_t type, struct nl_reply *reply)
{
	int ret;

	memset(reply, 0, sizeof(*reply));
	ret = send_request(nl, req, type, NLM_F_ACK);
	if (!ret)
		ret = receive(nl, call_message, reply);
	if (ret)
		reply->error = ret;
	return reply->error;
}

int nl_call(struct nl *nl, struct nl_req *req, struct nl_reply *reply)
{
	return call_type(nl, req, nl->family, reply);
}

int nl_call_end(struct nl *nl, struct nl_req *req, struct nl_reply *reply)
{
	nl_call(nl, req, reply);
	nl_end(req);
	return reply->error;
}

struct dump {
	void (*each)(void *ctx, const struct nl_reply *reply);
	void *ctx;
	struct nl_reply reply;
};

static bool dump_message(void *ctx, const struct nlmsghdr *hdr)
{
	struct dump *dump = ctx;

	memset(&dump->reply, 0, sizeof(dump->reply));
	if (hdr->nlmsg_type == NLMSG_DONE) {
		memcpy(&dump->reply.error, NLMSG_DATA(hdr), sizeof(int));
		return true;
	}
	if (hdr->nlmsg_type == NLMSG_ERROR) {
		store_ack(&dump->reply, hdr);
		return true;
	}
	store_data(&dump->reply, hdr);
	dump->each(dump->ctx, &dump->reply);
	return false;
}

int nl_dump(struct nl *nl, struct nl_req *req,
	    void (*each)(void *ctx, const struct nl_reply *reply), void *ctx)
{
	struct dump dump = { .each = each, .ctx = ctx };
	int ret;

	ret = send_request(nl, req, nl->family, NLM_F_DUMP);
	if (!ret)
		ret = receive(nl, dump_message, &dump);
	return ret ? ret : dump.reply.error;
}

/* --------------------------------------------------------------- events */

int nl_subscribe(struct nl *nl)
{
	if (setsockopt(nl->fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &nl->group,
		       sizeof(nl->group)))
		return -errno;
	return 0;
}

int nl_event(struct nl *nl, struct nl_reply *event, int timeout_ms)
{
	struct pollfd pfd = { .fd = nl->fd, .events = POLLIN };
	static uint8_t buf[RECV_BUF] __attribute__((aligned(8)));
	const struct nlmsghdr *hdr = (void *)buf;
	ssize_t len;

	memset(event, 0, sizeof(*event));
	if (poll(&pfd, 1, timeout_ms * (int)scale()) != 1)
		return -EAGAIN;
	len = recv(nl->fd, buf, sizeof(buf), 0);
	if (len < 0)
		return -errno;
	if (!NLMSG_OK(hdr, len))
		return -EBADMSG;
	store_data(event, hdr);
	return 0;
}

/* --------------------------------------------------------------- family */

static void find_group(struct nl *nl, const struct nl_reply *reply)
{
	size_t len, entry_len, value_len;
	const uint8_t *groups, *entry, *value;
	unsigned int i;

	groups = nl_attr(reply, CTRL_ATTR_MCAST_GROUPS, 0, &len);
	if (!groups)
		return;
	for (i = 1; i < 64; i++) {
		entry = find_attr(groups, len, i, 0, &entry_len);
		if (!entry)
			continue;
		value = find_attr(entry, entry_len, CTRL_ATTR_MCAST_GRP_NAME, 0, &value_len);
		if (!value || strcmp((const char *)value, VDISK_GENL_MCGRP))
			continue;
		value = find_attr(entry, entry_len, CTRL_ATTR_MCAST_GRP_ID, 0, &value_len);
		if (value && value_len == sizeof(nl->group))
			memcpy(&nl->group, value, sizeof(nl->group));
	}
}

static int resolve(struct nl *nl)
{
	struct nl_reply *reply = calloc(1, sizeof(*reply));
	struct nl_req req;
	const void *id;
	size_t len;
	int ret;

	if (!reply)
		return -ENOMEM;
	nl_begin(&req, CTRL_CMD_GETFAMILY);
	nl_put_str(&req, CTRL_ATTR_FAMILY_NAME, VDISK_GENL_NAME);
	ret = call_type(nl, &req, GENL_ID_CTRL, reply);
	nl_end(&req);
	if (!ret) {
		id = nl_attr(reply, CTRL_ATTR_FAMILY_ID, 0, &len);
		if (id && len == sizeof(nl->family))
			memcpy(&nl->family, id, sizeof(nl->family));
		else
			ret = -EBADMSG;
		find_group(nl, reply);
	}
	free(reply);
	return ret;
}

int nl_open(struct nl *nl)
{
	const int one = 1, bytes = 8 << 20;
	int ret;

	memset(nl, 0, sizeof(*nl));
	nl->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	if (nl->fd < 0)
		return -errno;
	setsockopt(nl->fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	setsockopt(nl->fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	setsockopt(nl->fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
	setsockopt(nl->fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	ret = resolve(nl);
	if (ret)
		nl_close(nl);
	return ret;
}

void nl_close(struct nl *nl)
{
	if (nl->fd >= 0)
		close(nl->fd);
	nl->fd = -1;
}
