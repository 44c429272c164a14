// SPDX-License-Identifier: GPL-2.0-only
/*
 * The log of a disk, in the format of the kernel's dm-log-writes target: a sector with
 * the header, then each entry in a sector of its own, with its data behind it. An entry
 * is written when the request has reached the disk, before the guest is told.
 */
#include <stdlib.h>

#include "powercut.h"

#define LOG_MAGIC	0x6a736677736872ULL

/* Places in the header and in an entry. */
#define SUPER_ENTRIES	16
#define SUPER_SECTOR	24
#define ENTRY_NR	8
#define ENTRY_FLAGS	16

#define FLAG_FLUSH	1U
#define FLAG_DISCARD	4U

static u64 word(const u8 *p)
{
	return get_unaligned_le64(p);
}

static bool is_zero(const u8 *p, u64 len)
{
	return !len || (!p[0] && !memcmp(p, p + 1, len - 1));
}

struct log {
	const u8 *p;
	u64 len;
	u64 pos;
	u64 entries;
	u64 owed;
};

static void open_log(struct log *log, const char *path)
{
	log->p = pc_map_file(path, false, &log->len);
	if (log->len < PC_SECTOR || word(log->p) != LOG_MAGIC ||
	    get_unaligned_le32(log->p + SUPER_SECTOR) != PC_SECTOR)
		pc_die("%s is no log of sectors of 512 bytes", path);
	log->entries = word(log->p + SUPER_ENTRIES);
}

/* ------------------------------------------------------- requests of one disk */

/* @req: of the disk, in the order of their ends; those before @first are taken. */
struct wanted {
	struct pc_req **req;
	u32 nr;
	u32 first;
};

static int compare_ends(const void *a, const void *b)
{
	u64 one = (*(struct pc_req *const *)a)->ended, two = (*(struct pc_req *const *)b)->ended;

	return one < two ? -1 : one > two;
}

/* Requests that never ended, as the machine stopped, are of no use: nobody waited for them. */
static void find_wanted(struct wanted *wanted, const struct pc_trace *t, u64 queue)
{
	u32 i;

	wanted->nr = wanted->first = 0;
	for (i = 0; i < t->nr; i++) {
		struct pc_req *req = &t->req[i];

		req->taken = req->what == PC_R_FLUSH;
		if (req->queue == queue && req->what != PC_R_OTHER && req->ended != PC_NEVER)
			wanted->req[wanted->nr++] = req;
	}
	qsort(wanted->req, wanted->nr, sizeof(*wanted->req), compare_ends);
}

static bool fits(const struct pc_req *req, u64 sector, u64 nr, u64 flags)
{
	if (req->taken)
		return false;
	if (req->what == PC_R_DISCARD || flags & FLAG_DISCARD)
		return req->what == PC_R_DISCARD && flags & FLAG_DISCARD;
	return req->sector == sector && req->nr == nr;
}

static struct pc_req *take(struct wanted *wanted, u64 sector, u64 nr, u64 flags)
{
	u32 i;

	while (wanted->first < wanted->nr && wanted->req[wanted->first]->taken)
		wanted->first++;
	for (i = wanted->first; i < wanted->nr; i++) {
		if (fits(wanted->req[i], sector, nr, flags)) {
			wanted->req[i]->taken = true;
			return wanted->req[i];
		}
	}
	return NULL;
}

static bool take_entry(struct log *log, struct wanted *wanted)
{
	const u8 *p = log->p + log->pos;
	u64 sector = word(p), nr = word(p + ENTRY_NR), flags = word(p + ENTRY_FLAGS);
	struct pc_req *req;

	log->pos += PC_SECTOR;
	if (flags & FLAG_FLUSH)
		return true;
	req = take(wanted, sector, nr, flags);
	if (!req)
		return false;
	req->sector = sector;
	req->nr = nr;
	if (req->what == PC_R_ZERO) {
		log->owed += nr;
	} else if (req->what == PC_R_WRITE) {
		req->data = p + PC_SECTOR;
		log->pos += nr * PC_SECTOR;
	}
	return log->pos <= log->len;
}

/*
 * QEMU writes an entry of zeros, then the zeros, and others may come between. So of these
 * only the number of sectors is known that are to come somewhere; no entry is all zeros.
 * False: the log is of another disk.
 */
static bool take_all(struct log *log, struct wanted *wanted)
{
	u64 i;

	log->pos = PC_SECTOR;
	log->owed = 0;
	for (i = 0; i < log->entries; i++) {
		while (log->owed && log->pos < log->len && is_zero(log->p + log->pos, PC_SECTOR)) {
			log->pos += PC_SECTOR;
			log->owed--;
		}
		if (log->pos >= log->len || !take_entry(log, wanted))
			return false;
	}
	for (i = 0; i < wanted->nr && wanted->req[i]->taken; i++)
		;
	return i == wanted->nr;
}

/* ---------------------------------------------------------- all in one order */

static u64 event_place(const struct pc_event *e)
{
	return e->ended ? e->req->ended : e->req->came;
}

static int compare_events(const void *a, const void *b)
{
	u64 one = event_place(a), two = event_place(b);

	return one < two ? -1 : one > two;
}

static void make_events(struct pc_events *ev, const struct wanted *wanted)
{
	u32 i;

	ev->event = pc_alloc(2 * (wanted->nr + 1) * sizeof(*ev->event));
	for (i = 0; i < wanted->nr; i++) {
		const struct pc_req *req = wanted->req[i];

		ev->event[ev->nr++] = (struct pc_event){ req, false };
		ev->event[ev->nr++] = (struct pc_event){ req, true };
		ev->writes += req->what != PC_R_FLUSH;
	}
	qsort(ev->event, ev->nr, sizeof(*ev->event), compare_events);
}

void pc_events_read(struct pc_events *ev, struct pc_trace *trace, const char *path)
{
	struct wanted wanted = { .req = pc_alloc((trace->nr + 1) * sizeof(*wanted.req)) };
	struct log log = { 0 };
	u32 i;

	open_log(&log, path);
	for (i = 0; i < trace->disks; i++) {
		find_wanted(&wanted, trace, trace->queue[i]);
		if (take_all(&log, &wanted))
			break;
	}
	if (i == trace->disks)
		pc_die("no disk of the trace had the requests of %s", path);
	make_events(ev, &wanted);
	free(wanted.req);
}
