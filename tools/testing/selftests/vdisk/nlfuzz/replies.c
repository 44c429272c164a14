// SPDX-License-Identifier: GPL-2.0-only
/* What netlink owes for a message, and whether what came is that. */
#include <ctype.h>
#include <errno.h>
#include <linux/genetlink.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../tap.h"
#include "nlfuzz.h"

#define HEADERS		(NLMSG_HDRLEN + GENL_HDRLEN)
/* What a refusal's sentence may have: VD_ERROR_TEXT without its NUL. */
#define TEXT_MAX	255
/* Flags that generic netlink knows for a command. */
#define FLAGS_KNOWN	(NLM_F_REQUEST | NLM_F_ACK | NLM_F_ECHO | NLM_F_DUMP)

/* ------------------------------------------------------------- what is sent */

/* The last one counts. */
static void find_id(struct fz_sent *sent, const u8 *p, size_t len)
{
	const u16 wanted = spec_number("id");
	struct nlattr attr;

	while (len >= NLA_HDRLEN) {
		memcpy(&attr, p, sizeof(attr));
		if (attr.nla_len < NLA_HDRLEN || attr.nla_len > len)
			return;
		if ((attr.nla_type & NLA_TYPE_MASK) == wanted && attr.nla_len == NLA_HDRLEN + 4) {
			memcpy(&sent->id, p + NLA_HDRLEN, 4);
			sent->has_id = true;
		}
		if ((size_t)NLA_ALIGN(attr.nla_len) >= len)
			return;
		p += NLA_ALIGN(attr.nla_len);
		len -= NLA_ALIGN(attr.nla_len);
	}
}

static void describe(struct fz_sent *sent, const u8 *p, const struct nlmsghdr *hdr, u16 family)
{
	struct genlmsghdr genl;

	memset(sent, 0, sizeof(*sent));
	sent->seq = hdr->nlmsg_seq;
	sent->nl_type = hdr->nlmsg_type;
	sent->ack = hdr->nlmsg_flags & NLM_F_ACK;
	sent->dump = (hdr->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
	sent->answers = hdr->nlmsg_flags & NLM_F_REQUEST && hdr->nlmsg_type == family &&
			hdr->nlmsg_len >= HEADERS;
	if (!sent->answers)
		return;
	memcpy(&genl, p + NLMSG_HDRLEN, sizeof(genl));
	sent->cmd = genl.cmd;
	sent->odd = genl.reserved || hdr->nlmsg_flags & ~FLAGS_KNOWN ||
		    (hdr->nlmsg_flags & NLM_F_DUMP && !sent->dump);
	find_id(sent, p + HEADERS, hdr->nlmsg_len - HEADERS);
}

unsigned int replies_expect(const u8 *buf, size_t len, u16 family, struct fz_sent *sent,
			    unsigned int max)
{
	struct nlmsghdr hdr;
	unsigned int nr = 0;

	while (len >= NLMSG_HDRLEN && nr < max) {
		memcpy(&hdr, buf, sizeof(hdr));
		if (hdr.nlmsg_len < NLMSG_HDRLEN || hdr.nlmsg_len > len)
			break;
		describe(&sent[nr++], buf, &hdr, family);
		if (NLMSG_ALIGN((size_t)hdr.nlmsg_len) >= len)
			break;
		buf += NLMSG_ALIGN(hdr.nlmsg_len);
		len -= NLMSG_ALIGN(hdr.nlmsg_len);
	}
	return nr;
}

/* ------------------------------------------------------------- what comes */

static bool TAP_PRINTF(2, 3) wrong(struct fz_got *got, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	if (!got->wrong[0])
		vsnprintf(got->wrong, sizeof(got->wrong), fmt, args);
	va_end(args);
	return false;
}

static void take_end(struct fz_got *got, const struct nlmsghdr *hdr)
{
	const struct nlmsgerr *err = NLMSG_DATA(hdr);
	size_t skip = NLMSG_HDRLEN + sizeof(*err);
	const u8 *p = (const u8 *)hdr;
	struct nlattr attr;

	got->ends++;
	if (hdr->nlmsg_type == NLMSG_DONE)
		skip = NLMSG_HDRLEN + sizeof(int);
	memcpy(&got->error, NLMSG_DATA(hdr), sizeof(int));
	if (hdr->nlmsg_type == NLMSG_ERROR && !(hdr->nlmsg_flags & NLM_F_CAPPED))
		skip += NLMSG_ALIGN(err->msg.nlmsg_len) - NLMSG_HDRLEN;
	if (!(hdr->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	while (skip + NLA_HDRLEN <= hdr->nlmsg_len) {
		memcpy(&attr, p + skip, sizeof(attr));
		if (attr.nla_len < NLA_HDRLEN || skip + attr.nla_len > hdr->nlmsg_len) {
			wrong(got, "an acknowledgement's attribute of %u bytes", attr.nla_len);
			return;
		}
		if (attr.nla_type == NLMSGERR_ATTR_MSG) {
			got->text_len = attr.nla_len - NLA_HDRLEN;
			snprintf(got->text, sizeof(got->text), "%.*s", (int)got->text_len,
				 (const char *)p + skip + NLA_HDRLEN);
		}
		skip += NLA_ALIGN(attr.nla_len);
	}
}

static bool is_reply_attr(const struct spec_cmd *cmd, u16 number)
{
	unsigned int i;

	for (i = 0; i < cmd->nr_reply; i++)
		if (cmd->reply[i] == number)
			return true;
	return false;
}

static bool is_string(const struct spec_attr *attr, const u8 *data, size_t len)
{
	return len && strnlen((const char *)data, len) == len - 1 &&
	       (!attr->max_len || len <= attr->max_len + 1);
}

/* One attribute of a reply, against the specification. */
static bool check_attr(struct fz_got *got, const struct spec_cmd *cmd, u16 number, const u8 *data,
		       size_t len, u64 *seen)
{
	const struct spec_attr *attr = spec_attr(&spec.sets[cmd->set], number);
	size_t width;

	if (!attr)
		return wrong(got, "attribute %u, which is none", number);
	if (attr->type == SPEC_PAD)
		return true;
	if (!is_reply_attr(cmd, number))
		return wrong(got, "%s is no part of this reply", attr->name);
	if (!attr->multi && *seen & 1ULL << (number % 64))
		return wrong(got, "%s twice", attr->name);
	*seen |= 1ULL << (number % 64);
	width = attr->exact_len ? attr->exact_len : spec_width(attr->type);
	if (width && len != width)
		return wrong(got, "%s of %zu bytes", attr->name, len);
	if (attr->type == SPEC_STRING && !is_string(attr, data, len))
		return wrong(got, "%s is no string", attr->name);
	return true;
}

static void note_attr(struct fz_got *got, u16 number, const u8 *data)
{
	if (number == spec_number("id"))
		memcpy(&got->id, data, 4);
	if (number == spec_number("state"))
		memcpy(&got->state, data, 4);
}

static bool take_data(struct fz_got *got, const struct fz_sent *sent, const struct fz_sender *who,
		      const struct nlmsghdr *hdr)
{
	const struct spec_cmd *cmd = spec_cmd(sent->cmd);
	const u8 *p = (const u8 *)hdr + HEADERS;
	const struct genlmsghdr *genl = NLMSG_DATA(hdr);
	size_t len = hdr->nlmsg_len - HEADERS;
	struct nlattr attr;
	u64 seen = 0;

	got->data++;
	if (hdr->nlmsg_type != sent->nl_type || hdr->nlmsg_len < HEADERS || !cmd ||
	    genl->cmd != sent->cmd)
		return wrong(got, "a message of type %u", hdr->nlmsg_type);
	while (len) {
		if (len < NLA_HDRLEN)
			return wrong(got, "%zu bytes at the end", len);
		memcpy(&attr, p, sizeof(attr));
		if (attr.nla_len < NLA_HDRLEN || NLA_ALIGN((size_t)attr.nla_len) > len)
			return wrong(got, "an attribute of %u bytes", attr.nla_len);
		if (!check_attr(got, cmd, attr.nla_type, p + NLA_HDRLEN, attr.nla_len - NLA_HDRLEN,
				&seen))
			return false;
		if (!who->may && attr.nla_type == spec_number("path"))
			return wrong(got, "a file's name for somebody who may not see it");
		note_attr(got, attr.nla_type, p + NLA_HDRLEN);
		p += NLA_ALIGN(attr.nla_len);
		len -= NLA_ALIGN(attr.nla_len);
	}
	if (sent->has_id && !sent->dump && got->id != sent->id)
		return wrong(got, "an answer about device %u instead of %u", got->id, sent->id);
	return true;
}

void replies_take(struct fz_got *got, const struct fz_sent *sent, const struct fz_sender *who,
		  const struct nlmsghdr *hdr)
{
	if (hdr->nlmsg_type == NLMSG_ERROR || hdr->nlmsg_type == NLMSG_DONE)
		take_end(got, hdr);
	else
		take_data(got, sent, who, hdr);
}

/* ------------------------------------------------------------------ verdict */

static bool is_utf8(const char *text)
{
	unsigned char c;
	int more;

	while ((c = *text++)) {
		if (c < 0x80) {
			if (!isprint(c))
				return false;
			continue;
		}
		more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc2 ? 1 : -1;
		if (more < 0 || c > 0xf4)
			return false;
		while (more--)
			if (((unsigned char)*text++ & 0xc0) != 0x80)
				return false;
	}
	return true;
}

/* Does it speak of another device than the one it was asked about? */
static bool names_another(const char *text, u32 id)
{
	char *end;

	while ((text = strstr(text, "vdisk"))) {
		text += 5;
		if (isdigit((unsigned char)*text) && strtoul(text, &end, 10) != id)
			return true;
	}
	return false;
}

static const char *judge_text(const struct fz_sent *sent, const struct fz_sender *who,
			      const struct fz_got *got)
{
	const struct spec_cmd *cmd = spec_cmd(sent->cmd);

	if (!got->text_len) {
		/* Netlink itself turned it away: no handler, no right, two dumps at once. */
		if (!who->texts || !got->error || got->error == -EOPNOTSUPP || sent->odd ||
		    (got->error == -EPERM && !who->may && !who->heard) ||
		    (got->error == -EBUSY && sent->dump))
			return NULL;
		return "a refusal without a sentence";
	}
	if (got->text_len > TEXT_MAX + 1 || got->text_len != strlen(got->text) + 1)
		return "a sentence of the wrong length";
	if (!is_utf8(got->text))
		return "a sentence that cannot be printed";
	/* ATTACH may speak of who has a file. */
	if (cmd && strcmp(cmd->name, "attach") && sent->has_id &&
	    names_another(got->text, sent->id))
		return "a sentence about another device";
	return NULL;
}

static const char *judge_right(const struct fz_sent *sent, const struct fz_sender *who,
			       const struct fz_got *got)
{
	const struct spec_cmd *cmd = spec_cmd(sent->cmd);

	if (!cmd || !(sent->dump ? cmd->has_dump : cmd->has_do)) {
		if (got->error == -EOPNOTSUPP || (sent->odd && got->error) ||
		    (got->error == -EPERM && !who->may))
			return NULL;
		return "no such command, and no EOPNOTSUPP";
	}
	if (who->may || !cmd->admin)
		return NULL;
	if (got->error == -EPERM || (sent->odd && got->error == -EINVAL))
		return NULL;
	/* Attributes are looked at before the handler is asked. */
	if (who->heard && (got->error == -EINVAL || got->error == -ERANGE))
		return NULL;
	return "no EPERM for somebody who may not";
}

static const char *judge_count(const struct fz_sent *sent, const struct fz_got *got)
{
	const struct spec_cmd *cmd = spec_cmd(sent->cmd);
	unsigned int data = cmd && cmd->replies && !got->error;

	if (got->ends > 1)
		return "more than one end";
	if ((sent->ack || sent->dump) && !got->ends)
		return "no end";
	if (!got->ends && got->error)
		return "an error from nowhere";
	if (!sent->dump && got->data != data)
		return got->data ? "data that nobody asked for" : "no data";
	return NULL;
}

bool replies_good(const struct fz_sent *sent, const struct fz_sender *who,
		  const struct fz_got *got, char *why, size_t len)
{
	const char *what = NULL;

	if (!sent->answers) {
		if (got->ends > 1 || (sent->ack && !got->ends) || got->data)
			what = "not one acknowledgement of what is no request of ours";
	} else {
		what = judge_count(sent, got);
		if (!what)
			what = judge_right(sent, who, got);
		if (!what)
			what = judge_text(sent, who, got);
	}
	if (!what && got->wrong[0])
		what = got->wrong;
	snprintf(why, len, "%s", what ? what : "");
	return !what;
}
