// SPDX-License-Identifier: GPL-2.0-only
/*
 * The control interface under messages that its specification makes, most of them
 * spoiled (nlfuzz/): one answer for each, in time, with a sentence if it is a
 * refusal; nothing for who may not; and in the end nothing is left.
 *
 * test-nlfuzz SEED,COUNT[,FIRST[,MODE]] sends the messages of a report again; in the
 * VM: kselftest --append nlfuzz=SEED,COUNT,FIRST,MODE nlfuzz
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "blk.h"
#include "nlfuzz/nlfuzz.h"
#include "tap.h"
#include "usage.h"

/* Messages between two looks at what there is. */
#define ROUND		2000
/* So often does a long run say how far it is. */
#define PROGRESS	50000
#define FULL		1000000
#define FULL_DEBUG	20000
#define SMOKE		8000
/* Of a hundred messages, so many go out without the right to change anything. */
#define POWERLESS	20
/* A leak of a few bytes for each message of a full run shows. */
#define SLACK_KIB	2048
#define SECRET		"/a/name/that/is/nobodys/business"

/* Who sends; all but the first may do nothing. */
enum mode {
	AS_ROOT,
	NO_CAPS,		/* without capabilities */
	NO_SYS_ADMIN,		/* with all but the one that it takes */
	NO_CAPS_OLD_SOCKET,	/* by a socket from when it had them */
	OLD_CAPS,		/* with capabilities, by a socket from when it had none */
	USER_NS,		/* with all capabilities in a user namespace of its own */
	USER_NET_NS,		/* and in a network namespace */
	USER_NS_OLD_SOCKET,
	NR_MODES,
};

static const char *const mode_names[] = {
	"root", "no capabilities", "all but CAP_SYS_ADMIN", "no capabilities, root's socket",
	"root by another's socket",
	"root of a user namespace", "root of a user and a network namespace",
	"root of a user namespace, root's socket",
};

static struct nl nl;
static struct nl_reply reply;
static struct fz_stats *stats;
static int refs;

/* ----------------------------------------------------- what is attached, all */

struct list {
	u32 ids[4096];
	unsigned int nr;
	unsigned int paths;
};

static void see_device(void *ctx, const struct nl_reply *msg)
{
	struct list *list = ctx;

	if (list->nr < ARRAY_SIZE(list->ids) &&
	    nl_get_u32(msg, VDISK_A_ID, &list->ids[list->nr]))
		list->nr++;
	list->paths += nl_attr(msg, VDISK_A_PATH, 0, NULL) != NULL;
}

static struct list *list_devices(void)
{
	static struct list list;
	struct nl_req req;

	memset(&list, 0, sizeof(list));
	nl_begin(&req, VDISK_CMD_GET);
	if (nl_dump(&nl, &req, see_device, &list))
		bail("the dump failed");
	nl_end(&req);
	return &list;
}

static bool in_list(const u32 *ids, unsigned int nr, u32 id)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		if (ids[i] == id)
			return true;
	return false;
}

/* What one thread knows to be attached, and what is. */
static bool same_devices(const u32 *known, unsigned int nr)
{
	const struct list *list = list_devices();
	unsigned int i;

	if (list->nr != nr)
		return false;
	for (i = 0; i < nr; i++)
		if (!in_list(list->ids, list->nr, known[i]))
			return false;
	return true;
}

/* Listed, and not on its way out: a message may have told it to go with its last user. */
static bool is_live(u32 id)
{
	u32 state = VDISK_STATE_NEW;

	if (vdev_get(&nl, id, &reply))
		return in_list(list_devices()->ids, list_devices()->nr, id);
	return nl_get_u32(&reply, VDISK_A_STATE, &state) && state == VDISK_STATE_LIVE;
}

/* One that is listed is there for all else: GET, its node, a read and a write. */
static bool use_device(u32 id)
{
	struct vdev dev = { .id = id };
	static u8 buf[4096] __attribute__((aligned(4096)));
	u32 flags;
	int fd;

	if (!is_live(id))
		return true;
	snprintf(dev.path, sizeof(dev.path), "/dev/vdisk%u", id);
	flags = vdev_flags(&nl, id);
	fd = open(dev.path, (flags & VDISK_F_RDONLY ? O_RDONLY : O_RDWR) | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		return !is_live(id);
	/* What the image is decides whether these succeed. They end. */
	if (pread(fd, buf, sizeof(buf), 0) == sizeof(buf) && !(flags & VDISK_F_RDONLY))
		pwrite(fd, buf, sizeof(buf), 0);
	close(fd);
	return true;
}

/* After a round: all that is there is used once and detached. */
static bool clean_up(u64 first)
{
	const struct list *list = list_devices();
	u32 ids[ARRAY_SIZE(list->ids)];
	unsigned int nr = list->nr, i;
	bool good = true;

	memcpy(ids, list->ids, sizeof(ids));
	files_drop_device();
	for (i = 0; i < nr; i++) {
		if (use_device(ids[i]))
			continue;
		diag("vdisk%u of the messages from %llu on is listed, and not there", ids[i],
		     (unsigned long long)first);
		good = false;
	}
	vdev_detach_all(&nl);
	if (!wait_until(!vdev_count(&nl) && module_refs("vdisk") == refs, 30000)) {
		diag("after the messages from %llu on: %d devices, %d references",
		     (unsigned long long)first, vdev_count(&nl), module_refs("vdisk"));
		good = false;
	}
	return good;
}

/* An image that messages attach, here as it is, under a name to hide. */
static int attach_target(unsigned int n, struct vdev *dev)
{
	const struct fz_target *t = files_target(n);
	struct nl_req req = { .len = t->req.len, .cap = t->req.len };

	req.buf = xalloc(req.len);
	memcpy(req.buf, t->req.buf, req.len);
	nl_put_str(&req, VDISK_A_PATH, SECRET);
	return attach_send(&nl, &req, dev, &reply);
}

/* A device that messages meet from the start, open. */
static u32 attach_resident(unsigned int n)
{
	struct vdev dev;
	int fd;

	if (attach_target(n % files_targets(), &dev))
		bail("cannot attach: %s", reply.text);
	fd = vdev_open(&dev, O_RDONLY);
	if (fd < 0)
		bail("cannot open %s: %s", dev.path, err_name(fd));
	files_set_device(fd);
	close(fd);
	return dev.id;
}

/* ------------------------------------------------------------------ as root */

static bool run_round(u64 seed, u64 first, u64 count)
{
	static const u8 counts[] = { 4, 1, 3, 4, 2, 4, 3, 4 };
	const unsigned int threads = counts[(first / ROUND + seed) % ARRAY_SIZE(counts)];
	const struct fz_run run = {
		.seed = seed, .first = first, .count = count, .threads = threads,
		.who = { .may = true }, .mode = AS_ROOT, .family = nl.family, .socket = -1,
		.addressed = true, .stats = stats,
	};
	u32 known[4096], resident;
	unsigned int nr;
	bool good;

	files_refresh();
	resident = attach_resident(first / ROUND);
	good = run_messages(&run);
	if (threads == 1) {
		nr = run_live(known, ARRAY_SIZE(known) - 1);
		/* Its detach, by the number it got here, is no message's doing alone. */
		if (in_list(list_devices()->ids, list_devices()->nr, resident) &&
		    !in_list(known, nr, resident))
			known[nr++] = resident;
		if (!wait_until(same_devices(known, nr), 10000)) {
			diag("after messages %llu to %llu: %u devices, %u expected",
			     (unsigned long long)first, (unsigned long long)(first + count - 1),
			     list_devices()->nr, nr);
			good = false;
		}
	}
	return clean_up(first) && good;
}

static bool run_rounds(u64 seed, u64 first, u64 count)
{
	u64 end = first + count, n;
	bool good = true;

	for (; first < end && good; first += n) {
		n = end - first < ROUND ? end - first : ROUND;
		good = run_round(seed, first, n);
		if (first / PROGRESS != (first + n) / PROGRESS)
			diag("%llu messages", (unsigned long long)(first + n));
	}
	return good;
}

/* ------------------------------------------------------------- as nobody much */

static void cap_call(long nr, struct __user_cap_data_struct caps[2])
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };

	if (syscall(nr, &head, caps))
		bail("capabilities: %s", err_name(errno));
}

/* Drop @which, from those it may take again, too, if @permitted. */
static void drop_caps(u64 which, bool permitted)
{
	struct __user_cap_data_struct caps[2];
	unsigned int i;

	cap_call(SYS_capget, caps);
	for (i = 0; i < 2; i++) {
		caps[i].effective &= ~(u32)(which >> 32 * i);
		if (permitted)
			caps[i].permitted &= ~(u32)(which >> 32 * i);
	}
	cap_call(SYS_capset, caps);
}

static void raise_caps(void)
{
	struct __user_cap_data_struct caps[2];
	unsigned int i;

	cap_call(SYS_capget, caps);
	for (i = 0; i < 2; i++)
		caps[i].effective = caps[i].permitted;
	cap_call(SYS_capset, caps);
}

static int plain_socket(void)
{
	const int one = 1;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);

	if (fd < 0)
		bail("socket: %s", err_name(errno));
	setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	return fd;
}

static void enter_user_ns(int more)
{
	if (unshare(CLONE_NEWUSER | more))
		bail("unshare: %s", err_name(errno));
	if (!write_text("/proc/self/setgroups", "deny") ||
	    !write_text("/proc/self/uid_map", "0 0 1") ||
	    !write_text("/proc/self/gid_map", "0 0 1"))
		bail("cannot map users: %s", err_name(errno));
}

/* Become who @mode is; a socket to send by, or -1. */
static int become(enum mode mode)
{
	int fd = -1;

	if (mode == NO_CAPS_OLD_SOCKET || mode == USER_NS_OLD_SOCKET)
		fd = plain_socket();
	switch (mode) {
	case NO_CAPS:
	case NO_CAPS_OLD_SOCKET:
		drop_caps(~0ULL, true);
		break;
	case NO_SYS_ADMIN:
		drop_caps(1ULL << CAP_SYS_ADMIN, true);
		break;
	case OLD_CAPS:
		drop_caps(~0ULL, false);
		fd = plain_socket();
		raise_caps();
		break;
	case USER_NET_NS:
		enter_user_ns(CLONE_NEWNET);
		break;
	default:
		enter_user_ns(0);
	}
	return fd;
}

/* In a process of its own, which does not come back from what it becomes. */
static bool run_powerless(enum mode mode, u64 seed, u64 first, u64 count)
{
	struct fz_run run = {
		.seed = seed, .first = first, .count = count,
		.who = { .texts = true, .heard = mode == NO_SYS_ADMIN },
		.mode = mode, .family = nl.family, .stats = stats,
		/* With an address it is enough that the sender may. */
		.addressed = mode != OLD_CAPS,
	};
	pid_t pid = fork();
	int status;

	if (pid < 0)
		bail("fork: %s", err_name(errno));
	if (!pid) {
		run.socket = become(mode);
		run.threads = run.socket < 0 ? 3 : 1;
		_exit(!run_messages(&run));
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && !WEXITSTATUS(status);
}

static void test_powerless(u64 seed, u64 count)
{
	u32 resident = attach_resident(0);
	const struct list *list = list_devices();
	u64 first = 0;
	unsigned int mode;

	ok(list->nr == 1 && list->paths == 1, "root sees a device, and its file's name");
	for (mode = AS_ROOT + 1; mode < NR_MODES; mode++) {
		ok(run_powerless(mode, seed, first, count), "%s: %llu messages", mode_names[mode],
		   (unsigned long long)count);
		list = list_devices();
		ok(list->nr == 1 && list->ids[0] == resident, "%s: nothing came, nothing went",
		   mode_names[mode]);
		first += count;
	}
	ok(clean_up(0), "its device is as it was");
}

/* --------------------------------------------------------------------- main */

/* Unspoiled, each of them can be attached: what is refused below is the messages' doing. */
static void test_targets(void)
{
	struct vdev dev;
	unsigned int i;

	for (i = 0; i < files_targets(); i++) {
		if (!is_err(attach_target(i, &dev), 0, "%s can be attached", files_target(i)->name))
			diag("%s", reply.text);
		vdev_detach_all(&nl);
	}
}

/* Enough of what is deep inside. */
static void check_depth(void)
{
	unsigned int i;
	u64 all = 0;

	run_show(stats);
	for (i = 0; i < files_targets(); i++) {
		diag("%s: attached %llu times", files_target(i)->name,
		     (unsigned long long)stats->attached[i]);
		all += stats->attached[i];
	}
	/* Of a slow kernel's few messages it may be none. */
	ok(all * 500 >= stats->messages || stats->messages < SMOKE,
	   "two messages in a thousand attach: %llu of %llu", (unsigned long long)all,
	   (unsigned long long)stats->messages);
}

/* Messages of a report: from the command line, the program's or the kernel's. */
struct replay {
	unsigned long long seed, count, first;
	unsigned int mode;
};

static bool wants_replay(struct replay *r, int argc, char **argv)
{
	char text[4096];
	const char *p;

	*r = (struct replay) { .first = 0 };
	if (argc > 1)
		snprintf(text, sizeof(text), "nlfuzz=%s", argv[1]);
	else
		read_text("/proc/cmdline", text, sizeof(text));
	p = strstr(text, "nlfuzz=");
	return p && sscanf(p, "nlfuzz=%llu,%llu,%llu,%u", &r->seed, &r->count, &r->first,
			   &r->mode) >= 2;
}

static void replay(const struct replay *r)
{
	if (r->mode == AS_ROOT) {
		ok(run_rounds(r->seed, r->first, r->count), "%llu messages", r->count);
	} else {
		attach_resident(0);
		ok(r->mode < NR_MODES && run_powerless(r->mode, r->seed, r->first, r->count),
		   "%llu messages", r->count);
		clean_up(r->first);
	}
	run_show(stats);
}

static u64 dose(void)
{
	if (full_run())
		return scale() > 1 ? FULL_DEBUG : FULL;
	return scaled(SMOKE);
}

static void test_all(u64 seed)
{
	const u64 all = dose(), powerless = all * POWERLESS / 100 / (NR_MODES - 1);
	const u64 warm = all / 10, rest = all - warm - powerless * (NR_MODES - 1);
	unsigned int fds = count_open_fds();
	u64 start = now_ms();
	long before, after;

	diag("seed %llu", (unsigned long long)seed);
	ok(run_rounds(seed, 0, warm), "%llu messages to warm up", (unsigned long long)warm);
	diag("%llu ms", (unsigned long long)(now_ms() - start));
	before = usage_slab_kib();
	ok(run_rounds(seed, warm, rest), "%llu messages more", (unsigned long long)rest);
	test_powerless(seed + 1, powerless);
	after = usage_slab_kib();
	diag("%llu ms; slab objects %ld KiB, then %ld KiB", (unsigned long long)(now_ms() - start),
	     before, after);
	check_depth();
	ok(files_intact(), "what was attached read-only is as it was");
	ok(after - before < SLACK_KIB, "slab objects: %+ld KiB", after - before);
	is_num(count_open_fds(), fds, "open descriptors");
	is_num(stats->failures, 0, "no answer was wrong");
}

int main(int argc, char **argv)
{
	struct replay again;
	int ret = nl_open(&nl);

	if (ret)
		bail("no vdisk family: %s", err_name(ret));
	stats = mmap(NULL, sizeof(*stats), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (stats == MAP_FAILED)
		bail("mmap: %s", err_name(errno));
	refs = module_refs("vdisk");
	files_make();
	if (wants_replay(&again, argc, argv)) {
		replay(&again);
	} else {
		replies_selftest();
		test_targets();
		texts_test(scaled(full_run() ? 5000 : 500));
		test_all(full_run() ? 1 : (u64)time(NULL));
	}
	is_num(vdev_count(&nl), 0, "nothing is attached");
	ok(wait_until(module_refs("vdisk") == refs, 5000), "the module's use count is back at %d",
	   refs);
	files_end();
	nl_close(&nl);
	return tap_done();
}
