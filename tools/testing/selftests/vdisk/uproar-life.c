// SPDX-License-Identifier: GPL-2.0-only
/* Attach, detach, set, get and list, while others do the same. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "uproar.h"

struct counts counts;

void unexpected(struct worker *w, const struct life *l, int err)
{
	crew_fault(&w->me, "%s, vdisk%u of image %u (diskseq %llu, flags %#x): %s \"%s\"",
		   targets[l->image].kind, l->id, l->image, (unsigned long long)l->diskseq,
		   l->flags, err_name(err), w->reply.text);
	w->reply.text[0] = 0;
}

bool one_of(int err, const int *list)
{
	while (*list && *list != err)
		list++;
	return *list;
}

/* -------------------------------------------------------------------- lives */

/* Ask for the device: is it still the one? */
static bool still_there(struct worker *w, const struct life *l)
{
	int ret = vdev_get(&w->nl, l->id, &w->reply);
	u64 diskseq = 0, size = 0;

	if (ret && ret != -ENODEV)
		unexpected(w, l, ret);
	if (!ret)
		nl_get_u64(&w->reply, VDISK_A_DISKSEQ, &diskseq);
	if (!ret && diskseq == l->diskseq) {
		if (!nl_get_u64(&w->reply, VDISK_A_CAPACITY, &size) || size != TARGET_SIZE)
			crew_fault(&w->me, "GET of vdisk%u: capacity %llu", l->id,
				   (unsigned long long)size);
		return true;
	}
	if (!life_may_end(l))
		crew_fault(&w->me, "vdisk%u of image %u is gone, and nobody asked for that", l->id,
			   l->image);
	target_bury(l);
	return false;
}

/* ------------------------------------------------------------------- attach */

static u32 choose_flags(struct worker *w)
{
	static const u32 some[] = {
		0, 0, 0, VDISK_F_RDONLY, VDISK_F_AUTOCLEAR, VDISK_F_NO_PARTSCAN,
		VDISK_F_NO_DISCARD, VDISK_F_NO_FLUSH, VDISK_F_BUFFERED, VDISK_F_ISOLATE,
		VDISK_F_RDONLY | VDISK_F_HARD_RDONLY, VDISK_F_RDONLY | VDISK_F_HARD_RDONLY,
		VDISK_F_AUTOCLEAR | VDISK_F_RDONLY | VDISK_F_HARD_RDONLY,
	};

	return some[rng_below(&w->rng, ARRAY_SIZE(some))];
}

/* 0, or the error of open, lock or ATTACH. */
static int try_attach(struct worker *w, struct target *t, u32 flags, int id, struct vdev *dev)
{
	int fds[CHAIN_MAX_IMAGES * CHAIN_MAX_EXTENTS], ret;
	bool rw = !(flags & VDISK_F_HARD_RDONLY);
	struct nl_req req;
	unsigned int nr;

	w->reply.text[0] = 0;
	ret = open(t->chain.images[0].path, (rw ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	if (ret < 0)
		return -errno;
	close(ret);
	nr = chain_request(&req, &t->chain, flags, fds);
	if (id >= 0)
		nl_put_u32(&req, VDISK_A_ID, id);
	ret = target_lock(fds[0], rw);
	if (ret)
		nl_end(&req);
	else
		ret = attach_send(&w->nl, &req, dev, &w->reply);
	while (nr)
		close(fds[--nr]);
	return ret;
}

/* Others may have the partitions read again, or detach it, at any moment. */
static void look_at_partition(struct worker *w, const struct life *l)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/block/vdisk%u/vdisk%up1", l->id, l->id);
	if (exists(path) != !(l->flags & VDISK_F_NO_PARTSCAN) && !life_may_end(l) &&
	    !life_may_have(l, DOING_SCAN))
		crew_fault(&w->me, "vdisk%u of image %u: partition 1 %s", l->id, l->image,
			   exists(path) ? "is there" : "is not there");
}

static void born(struct worker *w, struct target *t, const struct vdev *dev, u32 flags,
		 const struct all_marks *marks, u64 newest)
{
	struct life l = { .image = t->nr, .id = dev->id, .diskseq = dev->diskseq, .flags = flags };

	if (l.diskseq <= newest)
		crew_fault(&w->me, "diskseq %llu after %llu", (unsigned long long)l.diskseq,
			   (unsigned long long)newest);
	if (!lives_birth(&l, marks))
		crew_fault(&w->me, "vdisk%u was given to image %u, and is somebody else's", l.id,
			   l.image);
	pthread_mutex_lock(&t->lock);
	t->attached = true;
	t->life = l;
	pthread_mutex_unlock(&t->lock);
	counts.attaches++;
	look_at_partition(w, &l);
}

/* @there: another device has the image, or so it was a moment ago. */
static void attach(struct worker *w, struct target *t, bool there)
{
	u32 flags = there ? 0 : choose_flags(w);
	int id = rng_below(&w->rng, 10) ? -1 : (int)rng_below(&w->rng, 100);
	struct all_marks *marks = xalloc(sizeof(*marks));
	u64 newest = lives_newest();
	struct life old = t->life;
	struct vdev dev;
	int ret;

	lives_mark(marks);
	ret = try_attach(w, t, flags, id, &dev);
	if (!ret && there && !life_may_end(&old))
		crew_fault(&w->me, "image %u is attached twice", t->nr);
	if (!ret && there)
		target_bury(&old);
	if (!ret)
		born(w, t, &dev, flags, marks, newest);
	else if (there && one_of(-ret, (const int[]){ EBUSY, ETXTBSY, EAGAIN, 0 }))
		counts.refused++;
	else if (ret != -EEXIST || id < 0)
		crew_fault(&w->me, "image %u, %s%s, flags %#x: %s \"%s\"", t->nr, t->kind,
			   there ? " (attached)" : "", flags, err_name(ret), w->reply.text);
	free(marks);
}

void op_attach(struct worker *w, struct target *t, const struct life *l)
{
	struct life now;

	if (pthread_mutex_trylock(&t->attaching))
		return;
	attach(w, t, target_life(t, &now) && still_there(w, &now));
	pthread_mutex_unlock(&t->attaching);
}

/* ------------------------------------------------------------------- detach */

static void detached(struct worker *w, struct target *t, const struct life *l, u32 mode)
{
	u32 state = ~0U;

	nl_get_u32(&w->reply, VDISK_A_STATE, &state);
	if (state > VDISK_STATE_DYING || (mode != VDISK_DETACH_LAZY && state == VDISK_STATE_LIVE))
		crew_fault(&w->me, "vdisk%u says state %u", l->id, state);
	counts.said[state % ARRAY_SIZE(counts.said)]++;
	if (!still_there(w, l))
		return;
	if (state == VDISK_STATE_NEW)
		crew_fault(&w->me, "vdisk%u of image %u says that it is gone, but is there", l->id,
			   l->image);
	if (state != VDISK_STATE_LIVE)
		return;
	pthread_mutex_lock(&t->lock);
	t->lazy = l->diskseq;
	pthread_mutex_unlock(&t->lock);
}

/* Scans, or commands that wait for them, kept it waiting: no command waits for long. */
static bool waited_long(const struct worker *w)
{
	return strstr(w->reply.text, "is being scanned") ||
	       strstr(w->reply.text, "another command waits");
}

static void detach(struct worker *w, struct target *t, const struct life *l, u32 mode)
{
	struct busy_mark opens = busy_mark(l->id, DOING_OPEN);
	int ret;

	doing_begin(l->id, DOING_DETACH);
	if (mode == VDISK_DETACH_FORCE)
		doing_begin(l->id, DOING_FORCE);
	ret = vdev_detach(&w->nl, l->id, mode, &w->reply);
	if (mode == VDISK_DETACH_FORCE)
		doing_end(l->id, DOING_FORCE);
	doing_end(l->id, DOING_DETACH);

	if (!ret)
		detached(w, t, l, mode);
	else if (ret == -EBUSY &&
		 (waited_long(w) || (mode == VDISK_DETACH_PLAIN &&
				     busy_since(l->id, DOING_OPEN, opens, 0))))
		counts.refused++;
	else if (ret != -ENODEV || !((l->flags & VDISK_F_AUTOCLEAR) ||
				     doing_since(l->id, DOING_DETACH, l->marks[DOING_DETACH], 1)))
		unexpected(w, l, ret);
}

void op_detach(struct worker *w, struct target *t, const struct life *l)
{
	detach(w, t, l, VDISK_DETACH_PLAIN);
}

void op_lazy(struct worker *w, struct target *t, const struct life *l)
{
	detach(w, t, l, VDISK_DETACH_LAZY);
}

void op_force(struct worker *w, struct target *t, const struct life *l)
{
	detach(w, t, l, VDISK_DETACH_FORCE);
}

/* ----------------------------------------------------------- set, get, list */

static bool may_not_set(const struct worker *w, const struct life *l, u32 flags, u32 mask, int err,
			struct busy_mark opens)
{
	bool was_ro = (l->flags & VDISK_F_HARD_RDONLY) || life_may_end(l);

	switch (err) {
	case ENODEV:
		return life_may_end(l);
	case EBUSY:
		return waited_long(w) || ((mask & flags & VDISK_F_RDONLY) &&
					  busy_since(l->id, DOING_OPEN, opens, 0));
	case EROFS:
		return (mask & ~flags & VDISK_F_RDONLY) && was_ro;
	case EINPROGRESS:
		return life_may_have(l, DOING_READONLY);
	case EIO:
		return (mask & VDISK_F_RDONLY) && life_may_have(l, DOING_FORCE);
	}
	return false;
}

void op_set(struct worker *w, struct target *t, const struct life *l)
{
	static const u32 masks[] = {
		VDISK_F_RDONLY, VDISK_F_RDONLY, VDISK_F_NO_DISCARD, VDISK_F_NO_FLUSH,
		VDISK_F_ISOLATE, VDISK_F_NO_FLUSH | VDISK_F_NO_DISCARD, VDISK_F_AUTOCLEAR,
	};
	u32 mask = masks[rng_below(&w->rng, ARRAY_SIZE(masks))];
	u32 flags = mask == VDISK_F_AUTOCLEAR || rng_below(&w->rng, 2) ? mask : 0;
	bool force = (mask & flags & VDISK_F_RDONLY) && rng_below(&w->rng, 2);
	struct busy_mark opens = busy_mark(l->id, DOING_OPEN);
	int ret;

	/* With AUTOCLEAR it goes at some last close. */
	if (mask & VDISK_F_RDONLY)
		doing_begin(l->id, DOING_READONLY);
	if (mask & VDISK_F_AUTOCLEAR)
		doing_begin(l->id, DOING_DETACH);
	ret = vdev_set(&w->nl, l->id, flags | (force ? VDISK_F_FORCE : 0), mask, &w->reply);
	if (mask & VDISK_F_RDONLY)
		doing_end(l->id, DOING_READONLY);
	if (mask & VDISK_F_AUTOCLEAR)
		doing_end(l->id, DOING_DETACH);
	if (ret && !may_not_set(w, l, flags, mask, -ret, opens))
		unexpected(w, l, ret);
}

void op_get(struct worker *w, struct target *t, const struct life *l)
{
	still_there(w, l);
}

struct listed {
	struct worker *w;
	const struct life *look_for;
	int last;
	bool found;
};

static void list_one(void *ctx, const struct nl_reply *msg)
{
	struct listed *list = ctx;
	struct life l;
	u64 diskseq = 0;
	u32 id = ~0U;

	nl_get_u32(msg, VDISK_A_ID, &id);
	nl_get_u64(msg, VDISK_A_DISKSEQ, &diskseq);
	if ((int)id <= list->last)
		crew_fault(&list->w->me, "vdisk%u after vdisk%d", id, list->last);
	list->last = id;
	if (lives_find(diskseq, &l) && l.id != id)
		crew_fault(&list->w->me, "vdisk%u has the diskseq of vdisk%u", id, l.id);
	if (id == list->look_for->id && diskseq == list->look_for->diskseq)
		list->found = true;
}

void op_list(struct worker *w, struct target *t, const struct life *l)
{
	struct listed list = { .w = w, .look_for = l, .last = -1 };
	struct nl_req req;
	int ret;

	nl_begin(&req, VDISK_CMD_GET);
	ret = nl_dump(&w->nl, &req, list_one, &list);
	nl_end(&req);
	if (ret)
		crew_fault(&w->me, "%s", err_name(ret));
	else if (!list.found && !life_may_end(l))
		crew_fault(&w->me, "vdisk%u of image %u is not listed", l->id, l->image);
}
