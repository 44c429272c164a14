// SPDX-License-Identifier: GPL-2.0-only
/* The judge on trial: answers as they must not be. */
#include <errno.h>
#include <linux/genetlink.h>
#include <stdio.h>
#include <string.h>

#include "../tap.h"
#include "nlfuzz.h"

#define FAMILY	0x20
#define SEQ	77

static u8 buf[4096];

static const struct fz_sender root = { .may = true, .texts = true };
static const struct fz_sender nobody = { .may = false, .texts = true };
static const struct fz_sender heard = { .heard = true, .texts = true };

static u8 cmd_number(const char *name)
{
	unsigned int i;

	for (i = 0; i < spec.nr_cmds; i++)
		if (!strcmp(spec.cmds[i].name, name))
			return spec.cmds[i].number;
	bail("the specification has no command %s", name);
}

static struct fz_sent asked(const char *cmd, u32 id, u16 flags)
{
	struct fz_sent sent = {
		.seq = SEQ, .cmd = cmd_number(cmd), .answers = true, .nl_type = FAMILY,
		.has_id = true, .id = id, .ack = flags & NLM_F_ACK,
		.dump = (flags & NLM_F_DUMP) == NLM_F_DUMP,
	};

	return sent;
}

static void put_attr(struct nlmsghdr *hdr, u16 type, const void *data, size_t len)
{
	const struct nlattr attr = { .nla_len = NLA_HDRLEN + len, .nla_type = type };
	u8 *p = buf + hdr->nlmsg_len;

	memset(p, 0, NLA_HDRLEN + NLA_ALIGN(len));
	memcpy(p, &attr, sizeof(attr));
	memcpy(p + NLA_HDRLEN, data, len);
	hdr->nlmsg_len += NLA_HDRLEN + NLA_ALIGN(len);
}

static void end(struct fz_got *got, const struct fz_sent *sent, int error, const char *text)
{
	struct nlmsghdr *hdr = (void *)buf;
	struct nlmsgerr *err = NLMSG_DATA(hdr);

	memset(buf, 0, sizeof(buf));
	hdr->nlmsg_type = NLMSG_ERROR;
	hdr->nlmsg_seq = SEQ;
	hdr->nlmsg_flags = NLM_F_CAPPED | (text ? NLM_F_ACK_TLVS : 0);
	hdr->nlmsg_len = NLMSG_HDRLEN + sizeof(*err);
	err->error = error;
	if (text)
		put_attr(hdr, NLMSGERR_ATTR_MSG, text, strlen(text) + 1);
	replies_take(got, sent, &root, hdr);
}

static void data(struct fz_got *got, const struct fz_sent *sent, const struct fz_sender *who,
		 u32 id, const char *more)
{
	struct nlmsghdr *hdr = (void *)buf;
	struct genlmsghdr *genl = NLMSG_DATA(hdr);

	memset(buf, 0, sizeof(buf));
	hdr->nlmsg_type = FAMILY;
	hdr->nlmsg_seq = SEQ;
	hdr->nlmsg_len = NLMSG_HDRLEN + GENL_HDRLEN;
	genl->cmd = sent->cmd;
	put_attr(hdr, spec_number("id"), &id, sizeof(id));
	if (more)
		put_attr(hdr, spec_number(more), "text", 5);
	replies_take(got, sent, who, hdr);
}

static void verdict(const struct fz_sent *sent, const struct fz_sender *who,
		    const struct fz_got *got, bool want, const char *name)
{
	char why[200];

	if (!ok(replies_good(sent, who, got, why, sizeof(why)) == want, "the judge: %s is %s", name,
		want ? "right" : "wrong"))
		diag("%s", why);
}

static void test_counts(void)
{
	const struct fz_sent set = asked("set", 3, NLM_F_ACK), get = asked("get", 3, NLM_F_ACK);
	struct fz_got got = { 0 };

	verdict(&set, &root, &got, false, "no acknowledgement");
	end(&got, &set, 0, NULL);
	verdict(&set, &root, &got, true, "one acknowledgement");
	end(&got, &set, 0, NULL);
	verdict(&set, &root, &got, false, "a second one");

	got = (struct fz_got) { 0 };
	end(&got, &get, 0, NULL);
	verdict(&get, &root, &got, false, "success without data");
	data(&got, &get, &root, 3, NULL);
	verdict(&get, &root, &got, true, "success with data");
	data(&got, &get, &root, 3, NULL);
	verdict(&get, &root, &got, false, "data twice");
}

static void test_contents(void)
{
	const struct fz_sent get = asked("get", 3, NLM_F_ACK);
	struct fz_got got = { 0 };

	data(&got, &get, &root, 4, NULL);
	end(&got, &get, 0, NULL);
	verdict(&get, &root, &got, false, "another device's data");
	got = (struct fz_got) { 0 };
	data(&got, &get, &root, 3, "path");
	end(&got, &get, 0, NULL);
	verdict(&get, &root, &got, true, "a path for root");
	got = (struct fz_got) { 0 };
	data(&got, &get, &nobody, 3, "path");
	end(&got, &get, 0, NULL);
	verdict(&get, &nobody, &got, false, "a path for somebody else");
	got = (struct fz_got) { 0 };
	data(&got, &get, &root, 3, "mode");
	end(&got, &get, 0, NULL);
	verdict(&get, &root, &got, false, "an attribute of requests");
	got = (struct fz_got) { 0 };
	data(&got, &get, &root, 3, "queues");
	end(&got, &get, 0, NULL);
	verdict(&get, &root, &got, false, "a number of five bytes");
}

static void refusal(const char *cmd, const struct fz_sender *who, int error, const char *text,
		    bool want, const char *name)
{
	const struct fz_sent sent = asked(cmd, 3, NLM_F_ACK);
	struct fz_got got = { 0 };

	end(&got, &sent, error, text);
	verdict(&sent, who, &got, want, name);
}

void replies_selftest(void)
{
	char longer[300];

	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = 0;
	test_counts();
	test_contents();
	refusal("detach", &root, -ENODEV, "vdisk3 is not attached", true, "a refusal");
	refusal("detach", &root, -ENODEV, NULL, false, "a refusal without text");
	refusal("detach", &root, -ENODEV, "vdisk4 is not attached", false, "another's text");
	refusal("detach", &root, -ENODEV, "a\nb", false, "a text of two lines");
	refusal("detach", &root, -ENODEV, "a\xff", false, "a text that is no UTF-8");
	refusal("detach", &root, -ENODEV, longer, false, "a text too long");
	refusal("attach", &nobody, -EPERM, NULL, true, "EPERM for who may not");
	refusal("attach", &nobody, -EINVAL, "what?", false, "anything else");
	refusal("set", &nobody, 0, NULL, false, "success for who may not");
	refusal("set", &heard, 0, NULL, false, "success for who has CAP_NET_ADMIN only");
	refusal("set", &heard, -ENODEV, "vdisk3 is not attached", false, "knowledge for him");
	refusal("set", &heard, -EPERM, NULL, false, "EPERM without text for him");
	refusal("event", &root, -EINVAL, "what?", false, "a command that is none, with EINVAL");
}
