// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <linux/netlink.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "tap.h"
#include "uevents.h"
#include "util.h"

static int uevents;

const char *uevent_property(const struct uevent *ev, const char *key)
{
	size_t len = strlen(key), pos;

	for (pos = 0; pos < ev->len; pos += strlen(ev->buf + pos) + 1) {
		if (!strncmp(ev->buf + pos, key, len) && ev->buf[pos + len] == '=')
			return ev->buf + pos + len + 1;
	}
	return "";
}

bool uevent_next(struct uevent *ev, int timeout_ms)
{
	struct pollfd pfd = { .fd = uevents, .events = POLLIN };
	ssize_t n;

	if (poll(&pfd, 1, timeout_ms * (int)scale()) != 1)
		return false;
	n = recv(uevents, ev->buf, sizeof(ev->buf) - 1, MSG_DONTWAIT);
	if (n < 0 && errno == ENOBUFS)
		bail("uevents are lost");
	if (n <= 0)
		return false;
	ev->buf[n] = 0;
	ev->len = n;
	return true;
}

void uevents_open(void)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	int bytes = 16 << 20;

	uevents = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
	if (uevents < 0 || setsockopt(uevents, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) ||
	    bind(uevents, (struct sockaddr *)&addr, sizeof(addr)))
		bail("no uevents: %s", err_name(errno));
}
