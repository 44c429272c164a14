// SPDX-License-Identifier: GPL-2.0-only
/* Messages by the specification, with values that make sense. */
#include <linux/genetlink.h>
#include <linux/vdisk.h>
#include <stdio.h>
#include <string.h>

#include "../tap.h"
#include "make.h"

/* Small, so that a number is often one of a device that is there. */
#define IDS		16
/* -------------------------------------------------------------- the message */

void *msg_room(struct fz_msg *msg, struct fz_attr *attr, u32 len)
{
	if (msg->used + len > MSG_ARENA)
		return NULL;
	attr->off = msg->used;
	attr->len = len;
	msg->used += len;
	memset(msg->arena + attr->off, 0, len);
	return msg->arena + attr->off;
}

struct fz_attr *msg_add(struct fz_msg *msg, u16 type, const void *data, u32 len)
{
	struct fz_attr *attr = &msg->attrs[msg->nr];
	void *p;

	if (msg->nr == MSG_ATTRS)
		return NULL;
	*attr = (struct fz_attr) { .type = type, .repeat = 1, .claim = -1 };
	p = msg_room(msg, attr, len);
	if (!p)
		return NULL;
	if (data)
		memcpy(p, data, len);
	msg->nr++;
	return attr;
}

static bool has_attr(const struct fz_msg *msg, u16 type)
{
	unsigned int i;

	for (i = 0; i < msg->nr; i++)
		if (msg->attrs[i].type == type)
			return true;
	return false;
}

static size_t write_attr(const struct fz_msg *msg, const struct fz_attr *attr, u8 *p, size_t room)
{
	const struct nlattr hdr = {
		.nla_len = attr->claim >= 0 ? attr->claim : (int)(NLA_HDRLEN + attr->len),
		.nla_type = attr->type,
	};
	size_t each = NLA_HDRLEN + NLA_ALIGN(attr->len), len = 0;
	unsigned int i;

	for (i = 0; i < attr->repeat && len + each <= room; i++, len += each) {
		memset(p + len, 0, each);
		memcpy(p + len, &hdr, sizeof(hdr));
		memcpy(p + len + NLA_HDRLEN, msg->arena + attr->off, attr->len);
	}
	return len;
}

size_t message_write(const struct fz_msg *msg, u8 *buf, u32 seq)
{
	const struct genlmsghdr genl = {
		.cmd = msg->cmd, .version = msg->version, .reserved = msg->reserved,
	};
	struct nlmsghdr hdr = {
		.nlmsg_type = msg->nl_type, .nlmsg_flags = msg->nl_flags, .nlmsg_seq = seq,
	};
	size_t len = NLMSG_HDRLEN + GENL_HDRLEN;
	unsigned int i;

	memcpy(buf + NLMSG_HDRLEN, &genl, sizeof(genl));
	for (i = 0; i < msg->nr; i++)
		len += write_attr(msg, &msg->attrs[i], buf + len, MSG_BYTES - 64 - len);
	memset(buf + len, 0x5a, msg->tail);
	len += msg->tail;
	hdr.nlmsg_len = len + msg->nl_claim;
	memcpy(buf, &hdr, sizeof(hdr));
	return len;
}

/* ------------------------------------------------------------- sane values */

/* One of an enum, or a few of the flags. */
u64 sane_enum(struct rng *rng, const struct spec_enum *e)
{
	u64 value = e->values[rng_below(rng, e->nr)].value;

	if (!e->is_flags || !rng_below(rng, 4))
		return e->is_flags && rng_below(rng, 2) ? 0 : value;
	while (!rng_below(rng, 3))
		value |= e->values[rng_below(rng, e->nr)].value;
	return value;
}

/* What the specification says in words only. */
static u64 sane_number(struct rng *rng, const char *name)
{
	static const u64 sizes[] = { 512, 4096 };

	if (!strcmp(name, "id"))
		return rng_below(rng, IDS);
	if (!strcmp(name, "sector-size"))
		return sizes[!rng_below(rng, 4)];
	if (!strcmp(name, "offset") || !strcmp(name, "start"))
		return rng_below(rng, 16) * 512;
	if (!strcmp(name, "size") || !strcmp(name, "len"))
		return (1 + rng_below(rng, 600)) * 512;
	return rng_below(rng, 3);
}

static u64 sane_value(struct rng *rng, const char *name, int enum_nr)
{
	if (enum_nr >= 0)
		return sane_enum(rng, &spec.enums[enum_nr]);
	return sane_number(rng, name);
}

static void sane_string(struct fz_msg *msg, struct rng *rng, const struct spec_attr *attr)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-_ ABC";
	u32 max = attr->max_len ? attr->max_len : 64, len, i;
	char text[64];

	max = max < 40 ? max : 40;
	len = rng_below(rng, 16) ? rng_below(rng, max + 1) : max;
	for (i = 0; i < len; i++)
		text[i] = letters[rng_below(rng, sizeof(letters) - 1)];
	text[len] = 0;
	msg_add(msg, attr->number, text, len + 1);
}

void put_number(u8 *p, u64 value, unsigned int size)
{
	memcpy(p, &value, size);	/* little-endian machines only, as all of the tests */
}

static void sane_binary(struct fz_msg *msg, struct rng *rng, const struct spec_attr *attr)
{
	u32 len = attr->exact_len ? attr->exact_len : rng_below(rng, 64);
	struct fz_attr *made = msg_add(msg, attr->number, NULL, len);
	const struct spec_field *f;

	for (f = attr->fields; made && f < attr->fields + attr->nr_fields; f++) {
		if (f->count > 1 || f->offset + (u32)f->size > len)
			continue;
		put_number(msg->arena + made->off + f->offset,
			   strcmp(f->name, "fd") ? sane_value(rng, f->name, f->enum_nr) :
			   (u64)files_any_fd(rng), f->size);
	}
}

static void sane_nest(struct fz_msg *msg, struct rng *rng, const struct spec_attr *attr);

void sane_attr(struct fz_msg *msg, struct rng *rng, const struct spec_attr *attr)
{
	u8 bytes[8];

	switch (attr->type) {
	case SPEC_STRING:
		sane_string(msg, rng, attr);
		break;
	case SPEC_BINARY:
		sane_binary(msg, rng, attr);
		break;
	case SPEC_NEST:
		sane_nest(msg, rng, attr);
		break;
	default:
		put_number(bytes, sane_value(rng, attr->name, attr->enum_nr), sizeof(bytes));
		msg_add(msg, attr->number, bytes, spec_width(attr->type));
	}
}

/* Its attributes are made as if they stood alone, then put into one. */
static void sane_nest(struct fz_msg *msg, struct rng *rng, const struct spec_attr *attr)
{
	const struct spec_set *set = &spec.sets[attr->nested];
	static __thread u8 inner[4096];
	unsigned int first = msg->nr, i;
	size_t len = 0;

	for (i = 0; i < set->nr; i++)
		if (set->attrs[i].type != SPEC_NEST && rng_below(rng, 4))
			sane_attr(msg, rng, &set->attrs[i]);
	for (i = first; i < msg->nr; i++)
		len += write_attr(msg, &msg->attrs[i], inner + len, sizeof(inner) - len);
	msg->nr = first;
	msg_add(msg, attr->number | NLA_F_NESTED, inner, len);
}

/* ---------------------------------------------------------------- commands */

static void make_plain(struct fz_msg *msg, struct rng *rng, const struct spec_cmd *cmd)
{
	unsigned int i;

	for (i = 0; i < cmd->nr_request; i++)
		if (rng_below(rng, 10))
			sane_attr(msg, rng, spec_attr(&spec.sets[cmd->set], cmd->request[i]));
}

/* The attributes of a request that was put together elsewhere. */
static void copy_request(struct fz_msg *msg, const struct nl_req *req)
{
	const u8 *p = req->buf + NLMSG_HDRLEN + GENL_HDRLEN;
	const u8 *end = req->buf + req->len;
	struct nlattr attr;

	for (; p < end; p += NLA_ALIGN(attr.nla_len)) {
		memcpy(&attr, p, sizeof(attr));
		msg_add(msg, attr.nla_type, p + NLA_HDRLEN, attr.nla_len - NLA_HDRLEN);
	}
}

/* Images that are there, and some of what else one may say of them. */
static void make_target(struct fz_msg *msg, struct rng *rng, const struct spec_cmd *cmd)
{
	const struct spec_set *set = &spec.sets[cmd->set];
	unsigned int i;

	msg->target = rng_below(rng, files_targets());
	copy_request(msg, &files_target(msg->target)->req);
	for (i = 0; i < cmd->nr_request; i++)
		if (!has_attr(msg, cmd->request[i]) && !rng_below(rng, 8))
			sane_attr(msg, rng, spec_attr(set, cmd->request[i]));
}

static const struct spec_cmd *choose_command(struct rng *rng)
{
	const struct spec_cmd *cmd;

	do {
		cmd = &spec.cmds[rng_below(rng, spec.nr_cmds)];
	} while (!cmd->has_do && !cmd->has_dump && rng_below(rng, 8));
	return cmd;
}

/*
 * How many things to spoil: none at all in two of five. But making a disk and
 * removing it takes as long as a thousand refusals, so few of these may succeed.
 */
static unsigned int choose_faults(struct rng *rng, const struct fz_msg *msg)
{
	u64 dice = rng_below(rng, 100);

	if (msg->target >= 0)
		return dice < 1 ? 0 : dice < 6 ? 1 : 3 + rng_below(rng, 4);
	return dice < 40 ? 0 : dice < 75 ? 1 : 2 + rng_below(rng, 3);
}

void message_make(struct fz_msg *msg, u64 seed, u64 n, u16 family)
{
	const struct spec_cmd *cmd;
	unsigned int faults;
	struct rng rng;

	rng_seed(&rng, seed * 0x100000001b3ULL + n);
	for (faults = 0; faults < 4; faults++)
		rng_next(&rng);
	cmd = choose_command(&rng);
	msg->cmd = cmd->number;
	msg->version = VDISK_GENL_VERSION;
	msg->reserved = 0;
	msg->nl_type = family;
	msg->nl_flags = NLM_F_REQUEST | (rng_below(&rng, 20) ? NLM_F_ACK : 0);
	msg->nl_claim = 0;
	msg->tail = 0;
	msg->nr = 0;
	msg->used = 0;
	msg->target = -1;
	if (cmd->has_dump && rng_below(&rng, 2))
		msg->nl_flags |= NLM_F_DUMP;
	if (!strcmp(cmd->name, "attach") && rng_below(&rng, 10))
		make_target(msg, &rng, cmd);
	else
		make_plain(msg, &rng, cmd);
	for (faults = choose_faults(&rng, msg); faults; faults--)
		message_spoil(msg, &rng);
}
