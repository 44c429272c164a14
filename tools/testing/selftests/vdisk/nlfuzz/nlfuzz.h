/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A fuzzer of the control interface. The specification says what there is
 * (spec.py), message.c makes messages of it and spoils them, replies.c knows what
 * netlink owes for each, files.c has descriptors of every kind.
 */
#ifndef VDT_NLFUZZ_H
#define VDT_NLFUZZ_H

#include <linux/netlink.h>

#include "../nl.h"
#include "../util.h"

/* ----------------------------------------------------------- specification */

enum spec_type {
	SPEC_PAD, SPEC_U8, SPEC_U16, SPEC_U32, SPEC_U64, SPEC_S32, SPEC_S64, SPEC_STRING,
	SPEC_BINARY, SPEC_FLAG, SPEC_NEST,
};

struct spec_value {
	const char *name;
	u64 value;
};

struct spec_enum {
	const char *name;
	bool is_flags;
	const struct spec_value *values;
	unsigned int nr;
};

/* A part of a binary attribute; @enum_nr: index of its enum, -1: none. */
struct spec_field {
	const char *name;
	u16 offset;
	u8 size;
	u16 count;
	bool is_signed;
	int enum_nr;
};

/* Limits are 0 where the specification has none. */
struct spec_attr {
	const char *name;
	u16 number;
	enum spec_type type;
	bool multi;
	int enum_nr;
	const struct spec_field *fields;
	unsigned int nr_fields;
	u32 exact_len, max_len;
	u64 min, max;
	unsigned int nested;
};

struct spec_set {
	const char *name;
	const struct spec_attr *attrs;
	unsigned int nr;
};

/* @reply: of do and dump; @replies: does a do answer with more than an acknowledgement? */
struct spec_cmd {
	const char *name;
	u8 number;
	unsigned int set;
	bool admin, has_do, has_dump, replies;
	const u16 *request, *reply;
	unsigned int nr_request, nr_reply;
};

struct spec {
	const struct spec_enum *enums;
	const struct spec_value *consts;
	const struct spec_set *sets;
	const struct spec_cmd *cmds;
	unsigned int nr_enums, nr_consts, nr_sets, nr_cmds;
};

extern const struct spec spec;

const struct spec_cmd *spec_cmd(u8 number);		/* NULL: there is none */
const struct spec_attr *spec_attr(const struct spec_set *set, u16 number);
/* The number of an attribute or value that a test knows by its name; bails. */
u16 spec_number(const char *name);
/* Bytes of a number; 0 for what is none. */
unsigned int spec_width(enum spec_type type);

/* ---------------------------------------------------------------- messages */

#define MSG_ATTRS	96
#define MSG_ARENA	(192 * KIB)
#define MSG_BYTES	(1 * MIB)	/* of a message, written out */

/* @type with its flags; written @repeat times; @claim: nla_len if not -1 */
struct fz_attr {
	u16 type;
	u16 repeat;
	int claim;
	u32 off, len;
};

/* A message before it is written out. */
struct fz_msg {
	u8 cmd, version;
	u16 reserved;
	u16 nl_type, nl_flags;
	int nl_claim;		/* nlmsg_len is off by so much */
	int target;		/* whose images it attaches, -1: nobody's */
	u32 tail;		/* bytes after the last attribute */
	struct fz_attr attrs[MSG_ATTRS];
	unsigned int nr;
	u8 arena[MSG_ARENA];
	u32 used;
};

/* Message @n of the run of @seed: made, and spoiled or not. */
void message_make(struct fz_msg *msg, u64 seed, u64 n, u16 family);
/* Returns its length; at most MSG_BYTES. */
size_t message_write(const struct fz_msg *msg, u8 *buf, u32 seq);

/* ------------------------------------------------------------------- files */

/* An ATTACH of images that are there, its descriptors open. */
struct fz_target {
	char name[32];
	bool writable;
	struct nl_req req;
};

void files_make(void);
/* What was attached writable is again as it was. */
void files_refresh(void);
/* Are those that nobody may write the same? */
bool files_intact(void);
void files_end(void);
const struct fz_target *files_target(unsigned int n);
unsigned int files_targets(void);
/* A descriptor of some kind, or a number that is none. */
int files_any_fd(struct rng *rng);
/* Where the pool has a descriptor of a device of ours; @fd is copied. */
void files_set_device(int fd);
void files_drop_device(void);

/* ----------------------------------------------------------------- replies */

/* A message as the kernel will find it in what was sent. */
struct fz_sent {
	u32 seq;
	u8 cmd;
	bool answers;	/* a request of our family's, long enough for its header */
	bool ack, dump;
	bool odd;	/* generic netlink may refuse it for its header */
	bool has_id;
	u32 id;
	u16 nl_type;
};

/* Who sends, by which socket. */
struct fz_sender {
	bool may;	/* CAP_SYS_ADMIN in the initial user namespace */
	bool heard;	/* may not, but has CAP_NET_ADMIN there: the module looks at it */
	bool texts;	/* the socket has NETLINK_EXT_ACK */
};

/* All that came for one message. */
struct fz_got {
	unsigned int ends;	/* acknowledgements, errors, ends of dumps */
	unsigned int data;
	int error;
	char text[NL_TEXT];
	u32 text_len;
	u32 id, state;	/* of the device that the data is about */
	char wrong[160];	/* "" or what is wrong with a data message */
};

/* Split @len bytes as netlink does; returns how many messages it will see. */
unsigned int replies_expect(const u8 *buf, size_t len, u16 family, struct fz_sent *sent,
			    unsigned int max);
/* One message of what was received, for the one it answers. */
void replies_take(struct fz_got *got, const struct fz_sent *sent, const struct fz_sender *who,
		  const struct nlmsghdr *hdr);
/* Did @sent get what it should? Else a sentence in @why. */
bool replies_good(const struct fz_sent *sent, const struct fz_sender *who,
		  const struct fz_got *got, char *why, size_t len);
/* Wrong answers are seen to be wrong: results of the test. */
void replies_selftest(void);
/* Many threads, each refused @times times, get the sentences meant for them. */
void texts_test(unsigned int times);

/* ------------------------------------------------------------------- runs */

#define RUN_ERRNOS	136
#define RUN_CMDS	16	/* the last: commands that are none */

/* In shared memory: children count there, too. */
struct fz_stats {
	_Atomic u64 messages, sends, datagrams, failures, texts;
	_Atomic u64 results[2][RUN_CMDS][RUN_ERRNOS];	/* [may] */
	_Atomic u64 unanswered;		/* of those not read, or of no family */
	_Atomic u64 attached[32];	/* by target */
	_Atomic u64 slowest_us, slowest_n;
	_Atomic u64 alone[RUN_CMDS], us[RUN_CMDS];	/* sends of one message, and their time */
};

struct fz_run {
	u64 seed;
	u64 first, count;
	unsigned int threads;
	struct fz_sender who;
	unsigned int mode;	/* of the test, to say how to run it again */
	u16 family;
	int socket;		/* an open one to send by, or -1 */
	bool addressed;		/* some with the kernel's address */
	struct fz_stats *stats;
};

/* Send them all and judge the answers; true if all were right. */
bool run_messages(const struct fz_run *r);
void run_show(const struct fz_stats *stats);
/*
 * Devices that one thread alone attached and did not detach. Only after a
 * run_messages() of one thread.
 */
unsigned int run_live(u32 *ids, unsigned int max);

#endif /* VDT_NLFUZZ_H */
