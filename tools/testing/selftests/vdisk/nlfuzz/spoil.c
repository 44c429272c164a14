// SPDX-License-Identifier: GPL-2.0-only
/* Ways in which a message can be wrong. */
#include <linux/genetlink.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "../tap.h"
#include "make.h"

#define MAX_PAYLOAD	(0xffff - NLA_HDRLEN)

static struct fz_attr *any(struct fz_msg *msg, struct rng *rng)
{
	return msg->nr ? &msg->attrs[rng_below(rng, msg->nr)] : NULL;
}

static const struct spec_attr *spec_of(const struct fz_attr *attr)
{
	return spec_attr(&spec.sets[0], attr->type & NLA_TYPE_MASK);
}

/* -------------------------------------------------------- which attributes */

static void spoil_drop(struct fz_msg *msg, struct rng *rng)
{
	struct fz_attr *attr = any(msg, rng);

	if (attr)
		*attr = msg->attrs[--msg->nr];
}

static void spoil_duplicate(struct fz_msg *msg, struct rng *rng)
{
	struct fz_attr *attr = any(msg, rng);

	if (!attr || msg->nr == MSG_ATTRS)
		return;
	msg->attrs[msg->nr++] = *attr;
}

static void spoil_repeat(struct fz_msg *msg, struct rng *rng)
{
	static const u16 often[] = { 2, 8, 9, 63, 64, 65, 200, 4095, 4096, 4097 };
	struct fz_attr *attr = any(msg, rng);

	if (attr)
		attr->repeat = often[rng_below(rng, rng_below(rng, 8) ? 7 : ARRAY_SIZE(often))];
}

static void spoil_swap(struct fz_msg *msg, struct rng *rng)
{
	struct fz_attr *a = any(msg, rng), *b = any(msg, rng), tmp;

	if (!a)
		return;
	tmp = *a;
	*a = *b;
	*b = tmp;
}

static void spoil_shuffle(struct fz_msg *msg, struct rng *rng)
{
	unsigned int i;

	for (i = 0; i < msg->nr; i++)
		spoil_swap(msg, rng);
}

static void spoil_foreign(struct fz_msg *msg, struct rng *rng)
{
	sane_attr(msg, rng, &spec.sets[0].attrs[rng_below(rng, spec.sets[0].nr)]);
}

/* ------------------------------------------------------------ their headers */

static void spoil_type(struct fz_msg *msg, struct rng *rng)
{
	struct fz_attr *attr = any(msg, rng);

	if (!attr)
		return;
	switch (rng_below(rng, 4)) {
	case 0:
		attr->type = 0;
		break;
	case 1:
		attr->type = spec.sets[0].attrs[spec.sets[0].nr - 1].number + 1;
		break;
	case 2:
		attr->type = rng_next(rng);
		break;
	default:
		attr->type = spec.sets[0].attrs[rng_below(rng, spec.sets[0].nr)].number;
	}
}

static void spoil_type_flags(struct fz_msg *msg, struct rng *rng)
{
	static const u16 flags[] = { NLA_F_NESTED, NLA_F_NET_BYTEORDER,
				     NLA_F_NESTED | NLA_F_NET_BYTEORDER };
	struct fz_attr *attr = any(msg, rng);

	if (attr)
		attr->type ^= flags[rng_below(rng, ARRAY_SIZE(flags))];
}

static void spoil_claim(struct fz_msg *msg, struct rng *rng)
{
	struct fz_attr *attr = any(msg, rng);
	int len;

	if (!attr)
		return;
	len = NLA_HDRLEN + (int)attr->len;
	const int claims[] = { 0, 1, NLA_HDRLEN - 1, NLA_HDRLEN, len - 1, len + 1, len + 4,
			       len + 64, 0x7fff, 0xffff };

	attr->claim = claims[rng_below(rng, ARRAY_SIZE(claims))] & 0xffff;
}

static void spoil_length(struct fz_msg *msg, struct rng *rng)
{
	struct fz_attr *attr = any(msg, rng), old;
	void *p;

	if (!attr)
		return;
	old = *attr;
	const u32 lens[] = { 0, 1, old.len - 1, old.len + 1, 2 * old.len, old.len / 2, 4096,
			     MAX_PAYLOAD };

	p = msg_room(msg, attr, lens[rng_below(rng, ARRAY_SIZE(lens) - !!rng_below(rng, 4))] %
		     (MAX_PAYLOAD + 1));
	if (!p) {
		*attr = old;
		return;
	}
	memset(p, rng_below(rng, 2) ? 'x' : 0, attr->len);
	memcpy(p, msg->arena + old.off, old.len < attr->len ? old.len : attr->len);
}

/* ------------------------------------------------------------- their values */

/* Numbers at which something may end. */
static u64 edge(struct rng *rng)
{
	const struct spec_enum *e = &spec.enums[rng_below(rng, spec.nr_enums)];
	u64 near = rng_below(rng, 3) - 1;

	switch (rng_below(rng, 6)) {
	case 0:
		return near;
	case 1:
		return spec.consts[rng_below(rng, spec.nr_consts)].value + near;
	case 2:
		return e->values[rng_below(rng, e->nr)].value + near;
	case 3:
		return rng_next(rng);
	default:
		return (1ULL << rng_below(rng, 64)) + near;
	}
}

static u64 edge_of(struct rng *rng, const struct spec_attr *attr)
{
	if (attr->max && !rng_below(rng, 3))
		return attr->max + rng_below(rng, 2);
	if (attr->min && !rng_below(rng, 3))
		return attr->min - rng_below(rng, 2);
	return edge(rng);
}

static void spoil_field(struct fz_msg *msg, struct rng *rng, const struct fz_attr *attr,
			const struct spec_attr *known)
{
	const struct spec_field *f = &known->fields[rng_below(rng, known->nr_fields)];
	u8 *p = msg->arena + attr->off + f->offset;

	if (f->offset + (u32)f->size * f->count > attr->len)
		return;
	if (f->count > 1)
		rng_fill(rng, p, (size_t)f->size * f->count);
	else if (!strcmp(f->name, "fd") && rng_below(rng, 8))
		put_number(p, files_any_fd(rng), f->size);
	else if (f->enum_nr >= 0 && rng_below(rng, 2))
		put_number(p, sane_enum(rng, &spec.enums[f->enum_nr]), f->size);
	else
		put_number(p, edge(rng), f->size);
}

static void spoil_text(struct fz_msg *msg, struct rng *rng, struct fz_attr *attr,
		       const struct spec_attr *known)
{
	static const char *const texts[] = { "", ".", "..", "/", "a/b", "\xff\xfe", "\n", "%s%n",
					     "\xc3\xa4", "\x1b[0m", " " };
	const char *text = texts[rng_below(rng, ARRAY_SIZE(texts))];
	u32 max = known->max_len ? known->max_len : 64;
	const u32 lens[] = { max - 1, max, max + 1, max + 2 };
	u8 *p;

	switch (rng_below(rng, 4)) {
	case 0:		/* without an end */
		memset(msg->arena + attr->off, 'y', attr->len);
		break;
	case 1:		/* as long as it may be, and longer */
		p = msg_room(msg, attr, lens[rng_below(rng, ARRAY_SIZE(lens))]);
		if (!p)
			return;
		memset(p, 'z', attr->len);
		p[attr->len - 1] = 0;
		break;
	case 2:
		p = msg_room(msg, attr, strlen(text) + 1);
		if (p)
			memcpy(p, text, attr->len);
		break;
	default:	/* one that ends earlier */
		if (attr->len)
			msg->arena[attr->off + rng_below(rng, attr->len)] = 0;
	}
}

static void spoil_value(struct fz_msg *msg, struct rng *rng)
{
	struct fz_attr *attr = any(msg, rng);
	const struct spec_attr *known = attr ? spec_of(attr) : NULL;
	unsigned int width;

	if (!known)
		return;
	width = spec_width(known->type);
	if (width && attr->len >= width)
		put_number(msg->arena + attr->off, edge_of(rng, known), width);
	else if (known->nr_fields)
		spoil_field(msg, rng, attr, known);
	else if (known->type == SPEC_STRING)
		spoil_text(msg, rng, attr, known);
}

static void spoil_fd(struct fz_msg *msg, struct rng *rng)
{
	const u16 member = spec_number("member");
	unsigned int i;

	for (i = 0; i < msg->nr; i++)
		if (msg->attrs[i].type == member && msg->attrs[i].len >= 4 && rng_below(rng, 4))
			put_number(msg->arena + msg->attrs[i].off, files_any_fd(rng), 4);
}

/* The value of an attribute in another one. */
static void spoil_exchange(struct fz_msg *msg, struct rng *rng)
{
	struct fz_attr *a = any(msg, rng), *b = any(msg, rng);

	if (!a)
		return;
	a->off = b->off;
	a->len = b->len;
}

static void spoil_bytes(struct fz_msg *msg, struct rng *rng)
{
	struct fz_attr *attr = any(msg, rng);

	if (attr && attr->len)
		msg->arena[attr->off + rng_below(rng, attr->len)] ^= 1 << rng_below(rng, 8);
}

/* Attributes within attributes, a few or very many. */
static void spoil_nest(struct fz_msg *msg, struct rng *rng)
{
	struct fz_attr *attr = any(msg, rng), old;
	u32 depth = rng_below(rng, 4) ? 1 + rng_below(rng, 12) : 1000, i;
	struct nlattr hdr;
	u8 *p;

	if (!attr)
		return;
	old = *attr;
	if (old.len > 256)
		return;
	p = msg_room(msg, attr, old.len + depth * NLA_HDRLEN);
	if (!p)
		return;
	for (i = 0; i < depth; i++, p += NLA_HDRLEN) {
		hdr.nla_len = attr->len - i * NLA_HDRLEN;
		hdr.nla_type = old.type | (rng_below(rng, 2) ? NLA_F_NESTED : 0);
		memcpy(p, &hdr, sizeof(hdr));
	}
	memcpy(p, msg->arena + old.off, old.len);
	attr->type |= rng_below(rng, 2) ? NLA_F_NESTED : 0;
}

/* ------------------------------------------------------------- the message */

static void spoil_flags(struct fz_msg *msg, struct rng *rng)
{
	static const u16 flags[] = { NLM_F_DUMP, NLM_F_DUMP, NLM_F_ROOT, NLM_F_MATCH, NLM_F_ATOMIC,
				     NLM_F_REQUEST, NLM_F_ACK, NLM_F_ECHO, NLM_F_MULTI,
				     NLM_F_CREATE };

	msg->nl_flags ^= flags[rng_below(rng, ARRAY_SIZE(flags))];
}

static void spoil_header(struct fz_msg *msg, struct rng *rng)
{
	switch (rng_below(rng, 4)) {
	case 0:
		msg->version = rng_next(rng);
		break;
	case 1:
		msg->reserved = rng_next(rng);
		break;
	case 2:
		msg->cmd = rng_next(rng);
		break;
	default:
		msg->nl_type = rng_below(rng, 2) ? rng_below(rng, NLMSG_MIN_TYPE) : 0xffff;
	}
}

static void spoil_end(struct fz_msg *msg, struct rng *rng)
{
	static const int claims[] = { -1, -3, -4, -8, -20, 1, 4, 64, 0x10000, INT_MIN };

	if (rng_below(rng, 2))
		msg->tail = 1 + rng_below(rng, 60);
	else
		msg->nl_claim = claims[rng_below(rng, ARRAY_SIZE(claims))];
}

void message_spoil(struct fz_msg *msg, struct rng *rng)
{
	static void (*const ways[])(struct fz_msg *msg, struct rng *rng) = {
		spoil_drop, spoil_drop, spoil_duplicate, spoil_repeat, spoil_swap, spoil_shuffle,
		spoil_foreign, spoil_type, spoil_type_flags, spoil_claim, spoil_length,
		spoil_value, spoil_value, spoil_value, spoil_value, spoil_value, spoil_value,
		spoil_fd, spoil_fd, spoil_exchange, spoil_bytes, spoil_nest, spoil_flags,
		spoil_header, spoil_end,
	};

	ways[rng_below(rng, ARRAY_SIZE(ways))](msg, rng);
}
