// SPDX-License-Identifier: GPL-2.0-only
/* Sending messages from several threads, and judging each answer. */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/vdisk.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../tap.h"
#include "nlfuzz.h"

/* Messages that one send can turn out to be; with more than that it is not judged. */
#define MAX_SEEN	64
#define BATCH		6
#define SOCKET_LIFE	48	/* sends by one socket */
/* In which an answer comes, however slow the kernel and its machine. */
#define PATIENCE_MS	60000
#define MAX_SHOWN	8
#define MAX_DUMPED	1024

/**
 * struct worker - a thread that sends
 * @n: number of the message at hand, the first of those in one send
 * @since: when the kernel got it, 0: it has nothing of ours
 * @targets: what the messages in @out attach, by their place
 * @lost: not all of the answers are there to be seen
 */
struct worker {
	pthread_t thread;
	const struct fz_run *run;
	unsigned int index;
	struct rng rng;
	int fd;
	unsigned int sends;
	struct fz_sender who;
	struct fz_msg msg;
	u8 *out, *in;
	size_t out_len;
	u64 n;
	int targets[BATCH];
	unsigned int nr_targets;
	struct fz_sent sent[MAX_SEEN];
	struct fz_got got[MAX_SEEN];
	unsigned int nr_sent;
	bool lost;
	_Atomic u64 since;
	bool good;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned int shown;

/* Of a run of one thread: nobody else attaches and detaches. */
static u32 live[4096];
static unsigned int nr_live;

/* ------------------------------------------------------------------ reports */

static void dump(const u8 *p, size_t len)
{
	size_t i, n = len < MAX_DUMPED ? len : MAX_DUMPED;
	char line[128];
	int used = 0;

	for (i = 0; i < n; i++) {
		used += snprintf(line + used, sizeof(line) - used, "%02x", p[i]);
		if (i % 32 == 31 || i + 1 == n) {
			diag("  %04zx %s", i - i % 32, line);
			used = 0;
		}
	}
	if (n < len)
		diag("  and %zu bytes more", len - n);
}

static void complain(struct worker *w, u32 seq, const char *why)
{
	w->good = false;
	w->run->stats->failures++;
	pthread_mutex_lock(&lock);
	if (shown++ < MAX_SHOWN) {
		diag("message %llu (sequence number %u, thread %u of %u): %s",
		     (unsigned long long)w->n, seq, w->index, w->run->threads, why);
		diag("again: kselftest --append nlfuzz=%llu,%llu,%llu,%u nlfuzz",
		     (unsigned long long)w->run->seed, (unsigned long long)w->run->count,
		     (unsigned long long)w->run->first, w->run->mode);
		dump(w->out, w->out_len);
	}
	pthread_mutex_unlock(&lock);
}

static void complain_got(struct worker *w, unsigned int i, const char *why)
{
	const struct fz_got *got = &w->got[i];
	char text[900];

	snprintf(text, sizeof(text), "%s; %u ends, %u data, %s \"%s\"", why, got->ends, got->data,
		 err_name(got->error), got->text);
	complain(w, w->sent[i].seq, text);
}

/* ------------------------------------------------------------------ sockets */

static int new_socket(struct worker *w, bool *texts)
{
	const int one = 1, bytes = 4 << 20;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);

	if (fd < 0)
		bail("socket: %s", err_name(errno));
	*texts = rng_below(&w->rng, 8);
	if (*texts)
		setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	if (rng_below(&w->rng, 4))
		setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	if (!rng_below(&w->rng, 4))
		setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof(one));
	/* Who may not do the one may do the other. */
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	return fd;
}

static void renew_socket(struct worker *w)
{
	if (w->run->socket >= 0 || (w->sends++ % SOCKET_LIFE && !w->lost))
		return;
	if (w->fd >= 0)
		close(w->fd);
	w->fd = new_socket(w, &w->who.texts);
}

static unsigned int cmd_index(const struct fz_sent *sent)
{
	const struct spec_cmd *cmd = spec_cmd(sent->cmd);

	return cmd && cmd - spec.cmds < RUN_CMDS - 1 ? cmd - spec.cmds : RUN_CMDS - 1;
}

static u64 now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000ULL + ts.tv_nsec / 1000;
}

static void note_time(const struct worker *w, u64 us)
{
	struct fz_stats *stats = w->run->stats;

	stats->sends++;
	if (us > stats->slowest_us) {
		stats->slowest_us = us;
		stats->slowest_n = w->n;
	}
	if (w->nr_sent != 1 || !w->who.may)
		return;
	stats->alone[cmd_index(&w->sent[0])]++;
	stats->us[cmd_index(&w->sent[0])] += us;
}

/* Without an address, netlink looks at who opened the socket, too. */
static ssize_t send_out(struct worker *w, int fd)
{
	const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	u64 start = now_us();
	ssize_t ret;

	w->since = now_ms();
	if (w->run->addressed && rng_below(&w->rng, 2))
		ret = sendto(fd, w->out, w->out_len, 0, (const struct sockaddr *)&kernel,
			     sizeof(kernel));
	else
		ret = send(fd, w->out, w->out_len, 0);
	w->since = 0;
	note_time(w, now_us() - start);
	return ret;
}

/* ------------------------------------------------------------------ answers */

/* Of two with one number, which only damaged headers make, the one without an end. */
static int find_sent(const struct worker *w, u32 seq)
{
	unsigned int i;
	int found = -1;

	for (i = 0; i < w->nr_sent; i++) {
		if (w->sent[i].seq != seq)
			continue;
		if (!w->got[i].ends)
			return i;
		found = i;
	}
	return found;
}

static void take(struct worker *w, ssize_t len)
{
	const struct nlmsghdr *hdr;
	int i;

	for (hdr = (void *)w->in; NLMSG_OK(hdr, len); hdr = NLMSG_NEXT(hdr, len)) {
		i = find_sent(w, hdr->nlmsg_seq);
		if (w->lost)
			continue;
		if (i < 0)
			complain(w, hdr->nlmsg_seq, "an answer to nothing");
		else
			replies_take(&w->got[i], &w->sent[i], &w->who, hdr);
	}
	if (len)
		complain(w, 0, "an answer with bytes left over");
}

/* An attach that is under way. */
static bool awaited(const struct worker *w)
{
	unsigned int i;

	for (i = 0; i < w->nr_sent && !w->lost; i++)
		if (w->sent[i].answers && w->sent[i].cmd == VDISK_CMD_ATTACH &&
		    !w->got[i].ends && (w->sent[i].ack || !w->got[i].data))
			return true;
	return false;
}

/* For as long as it takes: check_progress() looks at the clock. */
static void await(struct worker *w)
{
	struct pollfd pfd = { .fd = w->fd, .events = POLLIN };

	w->since = now_ms();
	while (poll(&pfd, 1, -1) < 0 && errno == EINTR)
		;
	w->since = 0;
}

/*
 * All but the answers to an attach are there when the send returns; a dump goes on with
 * each receive.
 */
static void receive(struct worker *w)
{
	ssize_t len;

	for (;;) {
		w->since = now_ms();
		len = recv(w->fd, w->in, MSG_BYTES, MSG_DONTWAIT | MSG_TRUNC);
		w->since = 0;
		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0 && errno == EAGAIN) {
			if (!awaited(w))
				return;
			await(w);
			continue;
		}
		/* Only who has a right to it gets a buffer in which all find room. */
		if (len < 0 && errno == ENOBUFS && !w->who.may) {
			w->lost = true;
			continue;
		}
		if (len < 0 || (size_t)len > MSG_BYTES) {
			complain(w, 0, len < 0 ? err_name(errno) : "an endless answer");
			return;
		}
		w->run->stats->datagrams++;
		take(w, len);
	}
}

static void forget_live(u32 id)
{
	unsigned int i;

	for (i = 0; i < nr_live; i++)
		if (live[i] == id)
			live[i--] = live[--nr_live];
}

static void note_device(struct worker *w, unsigned int i)
{
	const struct spec_cmd *cmd = spec_cmd(w->sent[i].cmd);
	const struct fz_got *got = &w->got[i];

	if (!cmd || got->error || got->data != 1)
		return;
	if (!strcmp(cmd->name, "attach")) {
		if (i < w->nr_targets && w->targets[i] >= 0)
			w->run->stats->attached[w->targets[i]]++;
		if (w->run->threads == 1 && nr_live < ARRAY_SIZE(live))
			live[nr_live++] = got->id;
	}
	if (!strcmp(cmd->name, "detach") && w->run->threads == 1)
		forget_live(got->id);
}

static void judge(struct worker *w)
{
	struct fz_stats *stats = w->run->stats;
	unsigned int i, err;
	char why[200];

	for (i = 0; i < w->nr_sent; i++) {
		if (!replies_good(&w->sent[i], &w->who, &w->got[i], why, sizeof(why)))
			complain_got(w, i, why);
		if (!w->sent[i].answers) {
			stats->unanswered++;
			continue;
		}
		err = -w->got[i].error;
		stats->results[w->who.may][cmd_index(&w->sent[i])]
			      [err < RUN_ERRNOS ? err : RUN_ERRNOS - 1]++;
		stats->texts += !!w->got[i].text_len;
		note_device(w, i);
	}
}

/* ----------------------------------------------------------------- sending */

static void add_message(struct worker *w, u64 n)
{
	message_make(&w->msg, w->run->seed, n, w->run->family);
	w->targets[w->nr_targets++] = w->msg.target;
	w->out_len += message_write(&w->msg, w->out + w->out_len, 0x10000 + (u32)n);
	/* Where the next one begins. */
	while (w->out_len % NLMSG_ALIGNTO)
		w->out[w->out_len++] = 0;
	w->run->stats->messages++;
}

/* Answers that nobody reads, for which there may not even be room. */
static void send_unread(struct worker *w)
{
	const int tiny = 1;
	bool texts;
	int fd = new_socket(w, &texts);
	u64 i, times = 1 + rng_below(&w->rng, 6);

	w->nr_sent = 0;
	if (rng_below(&w->rng, 2))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &tiny, sizeof(tiny));
	for (i = 0; i < times; i++)
		send_out(w, fd);
	if (rng_below(&w->rng, 2))
		recv(fd, w->in, MSG_BYTES, MSG_DONTWAIT);
	w->run->stats->unanswered += times;
	close(fd);
}

/* Two with one number, which only damaged headers make, one of which is answered late. */
static bool twins(const struct worker *w)
{
	unsigned int i, k;

	for (i = 0; i < w->nr_sent; i++)
		for (k = 0; w->sent[i].cmd == VDISK_CMD_ATTACH && k < w->nr_sent; k++)
			if (k != i && w->sent[k].seq == w->sent[i].seq)
				return true;
	return false;
}

static void send_read(struct worker *w)
{
	ssize_t ret;

	renew_socket(w);
	w->nr_sent = replies_expect(w->out, w->out_len, w->run->family, w->sent, MAX_SEEN);
	memset(w->got, 0, w->nr_sent * sizeof(w->got[0]));
	w->lost = w->nr_sent == MAX_SEEN || twins(w);
	ret = send_out(w, w->fd);
	/* Who may not have a large buffer cannot send all of them. */
	if (ret < 0 && (errno == EMSGSIZE || errno == ENOBUFS)) {
		w->run->stats->unanswered += w->nr_sent;
		return;
	}
	if (ret != (ssize_t)w->out_len) {
		complain(w, 0, err_name(errno));
		return;
	}
	receive(w);
	if (w->lost)
		w->run->stats->unanswered += w->nr_sent;
	else
		judge(w);
}

/* Numbers of this thread from @n on that go together; returns how many. */
static unsigned int fill(struct worker *w, u64 n, u64 end)
{
	unsigned int want = rng_below(&w->rng, 8) ? 1 : 2 + rng_below(&w->rng, BATCH - 1), nr;

	/* An attach ends when it likes: whether before the next message nobody could tell. */
	if (w->run->threads == 1)
		want = 1;
	w->n = n;
	w->out_len = 0;
	w->nr_targets = 0;
	for (nr = 0; nr < want && n < end && w->out_len < MSG_BYTES / 8; nr++) {
		add_message(w, n);
		n += w->run->threads;
	}
	return nr;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	const struct fz_run *r = w->run;
	u64 n = r->first + w->index, end = r->first + r->count;
	/* One thread alone knows what there is only if it reads each answer. */
	bool unread = r->threads > 1;

	while (n < end) {
		rng_seed(&w->rng, r->seed * 31 + n);
		rng_next(&w->rng);
		n += (u64)fill(w, n, end) * r->threads;
		if (unread && !rng_below(&w->rng, 25))
			send_unread(w);
		else
			send_read(w);
	}
	return NULL;
}

/* ---------------------------------------------------------------- all of it */

static struct worker *new_worker(const struct fz_run *r, unsigned int index)
{
	struct worker *w = xalloc(sizeof(*w));

	w->run = r;
	w->index = index;
	w->who = r->who;
	w->fd = r->socket;
	w->out = xalloc(2 * MSG_BYTES);
	w->in = xalloc(MSG_BYTES);
	w->good = true;
	return w;
}

static bool end_worker(struct worker *w)
{
	bool good = w->good;

	if (w->run->socket < 0 && w->fd >= 0)
		close(w->fd);
	free(w->out);
	free(w->in);
	free(w);
	return good;
}

static void check_progress(struct worker *w)
{
	u64 since = w->since;

	if (!since || now_ms() < since + (u64)PATIENCE_MS * scale())
		return;
	complain(w, 0, "no end in sight");
	bail("the kernel does not answer");
}

static void join(struct worker **workers, unsigned int nr, unsigned int i)
{
	struct timespec ts;
	unsigned int k;

	for (;;) {
		clock_gettime(CLOCK_REALTIME, &ts);
		ts.tv_sec++;
		if (!pthread_timedjoin_np(workers[i]->thread, NULL, &ts))
			return;
		for (k = i; k < nr; k++)
			check_progress(workers[k]);
	}
}

bool run_messages(const struct fz_run *r)
{
	struct worker *workers[8];
	bool good = true;
	unsigned int i;

	nr_live = 0;
	for (i = 0; i < r->threads; i++) {
		workers[i] = new_worker(r, i);
		if (pthread_create(&workers[i]->thread, NULL, work, workers[i]))
			bail("no thread");
	}
	for (i = 0; i < r->threads; i++)
		join(workers, r->threads, i);
	for (i = 0; i < r->threads; i++)
		good = end_worker(workers[i]) && good;
	return good;
}

unsigned int run_live(u32 *ids, unsigned int max)
{
	unsigned int i;

	for (i = 0; i < nr_live && i < max; i++)
		ids[i] = live[i];
	return nr_live;
}

/* ------------------------------------------------------------------- shares */

static void show_command(const struct fz_stats *stats, bool may, unsigned int cmd)
{
	const _Atomic u64 *results = stats->results[may][cmd];
	char text[900];
	unsigned int i;
	u64 all = 0;
	int used;

	for (i = 0; i < RUN_ERRNOS; i++)
		all += results[i];
	if (!all)
		return;
	used = snprintf(text, sizeof(text), "%s%s: %llu", may ? "" : "may not, ",
			cmd < spec.nr_cmds ? spec.cmds[cmd].name : "no command",
			(unsigned long long)all);
	for (i = 0; i < RUN_ERRNOS && used < (int)sizeof(text) - 40; i++)
		if (results[i])
			used += snprintf(text + used, sizeof(text) - used, ", %s %.2f %%",
					 i ? err_name(i) : "success", 100.0 * results[i] / all);
	diag("%s", text);
	if (may && stats->alone[cmd])
		diag("  %llu us each", (unsigned long long)(stats->us[cmd] / stats->alone[cmd]));
}

void run_show(const struct fz_stats *stats)
{
	unsigned int i;

	for (i = 0; i < RUN_CMDS; i++)
		show_command(stats, true, i);
	for (i = 0; i < RUN_CMDS; i++)
		show_command(stats, false, i);
	diag("%llu messages in %llu sends; %llu of them not for the family or not read",
	     (unsigned long long)stats->messages, (unsigned long long)stats->sends,
	     (unsigned long long)stats->unanswered);
	diag("%llu datagrams of answers, %llu refusals with a sentence",
	     (unsigned long long)stats->datagrams, (unsigned long long)stats->texts);
	diag("the slowest send, from message %llu on, took %llu ms",
	     (unsigned long long)stats->slowest_n, (unsigned long long)stats->slowest_us / 1000);
}
