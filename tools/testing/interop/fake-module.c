// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel module's side of netlink, for tests without it: preloaded into
 * vdctl. FAKE_ANSWER says what becomes of an ATTACH, "yes" or "no". There is
 * one device already, vdisk3, with the image FAKE_PATH.
 */
#include <dlfcn.h>
#include <errno.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/vdisk.h>

#define FAMILY 99

static nl_recvmsg_msg_cb_t on_valid, on_ack, on_finish;
static void *valid_arg, *ack_arg, *finish_arg;
static nl_recvmsg_err_cb_t on_error;
static void *error_arg;
static int asked;

int genl_ctrl_resolve(struct nl_sock *sk, const char *name)
{
	return FAMILY;
}

int nl_socket_modify_cb(struct nl_sock *sk, enum nl_cb_type type, enum nl_cb_kind kind,
			nl_recvmsg_msg_cb_t func, void *arg)
{
	if (type == NL_CB_VALID) {
		on_valid = func;
		valid_arg = arg;
	} else if (type == NL_CB_ACK) {
		on_ack = func;
		ack_arg = arg;
	} else if (type == NL_CB_FINISH) {
		on_finish = func;
		finish_arg = arg;
	}
	return 0;
}

int nl_socket_modify_err_cb(struct nl_sock *sk, enum nl_cb_kind kind, nl_recvmsg_err_cb_t func,
			    void *arg)
{
	on_error = func;
	error_arg = arg;
	return 0;
}

int nl_send_auto(struct nl_sock *sk, struct nl_msg *msg)
{
	asked = genlmsg_hdr(nlmsg_hdr(msg))->cmd;
	return 0;
}

static void one_device(void)
{
	struct nl_msg *msg = nlmsg_alloc();
	const char *path = getenv("FAKE_PATH");

	genlmsg_put(msg, 0, 0, FAMILY, 0, 0, VDISK_CMD_GET, VDISK_GENL_VERSION);
	nla_put_u32(msg, VDISK_A_ID, 3);
	if (path)
		nla_put_string(msg, VDISK_A_PATH, path);
	on_valid(msg, valid_arg);
	nlmsg_free(msg);
	on_finish(NULL, finish_arg);
}

static void no(void)
{
	struct {
		struct nlmsghdr h;
		struct nlmsgerr e;
	} msg = { .e.error = -ENOTUNIQ };

	msg.h.nlmsg_len = sizeof(msg);
	on_error(NULL, &msg.e, error_arg);
}

int nl_recvmsgs_default(struct nl_sock *sk)
{
	const char *answer = getenv("FAKE_ANSWER");

	if (asked == VDISK_CMD_GET)
		one_device();
	else if (answer && !strcmp(answer, "yes"))
		on_ack(NULL, ack_arg);
	else
		no();
	return 0;
}

/* Modules of formats seem to be there, and the one that they belong to if it is asked for disks. */
int access(const char *path, int mode)
{
	int (*real)(const char *, int) = (int (*)(const char *, int))dlsym(RTLD_NEXT, "access");

	if (getenv("FAKE_PATH") && !strcmp(path, "/sys/module/vdisk"))
		return 0;
	return strncmp(path, "/sys/module/vdisk_", 18) ? real(path, mode) : 0;
}
