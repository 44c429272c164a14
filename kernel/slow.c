// SPDX-License-Identifier: GPL-2.0-only
/*
 * Everything that may wait: cold metadata, inflate, flush, discard, zeroing,
 * transfers that the file would not take without waiting.
 *
 * A few workers serve the device's lists, one of them only reads. Each device
 * also owns a thread that serves them when no worker starts for 100 ms, so that
 * progress never depends on the system having memory for a new worker.
 * Unfinished transfers come first: they need no memory of ours, so they always
 * bring back what others wait for.
 */
#include <linux/blk-cgroup.h>
#include <linux/blkdev.h>
#include <linux/bvec.h>
#include <linux/cred.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>

#include "compat.h"
#include "trace.h"
#include "vdisk.h"

#define VDISK_RESCUE_TICK	(HZ / 10)

void vdisk_scope_enter(struct vdisk_device *dev, struct vdisk_scope *scope)
{
	scope->pf = current->flags & PF_LOCAL_THROTTLE;
	current->flags |= PF_LOCAL_THROTTLE;
	scope->noio = memalloc_noio_save();
	scope->cred = override_creds(dev->cred);
}

void vdisk_scope_leave(struct vdisk_scope *scope)
{
	revert_creds(scope->cred);
	memalloc_noio_restore(scope->noio);
	current->flags = (current->flags & ~PF_LOCAL_THROTTLE) | scope->pf;
}

/*
 * A request of the root group needs nothing: only a submitter in a group of its
 * own costs a few references.
 */
void vdisk_group_enter(struct request *rq, struct vdisk_group *group)
{
	struct cgroup_subsys_state *css = rq->bio ? bio_blkcg_css(rq->bio) : NULL;

	group->blkcg = css && css->parent;
	group->memcg = NULL;
	if (!group->blkcg)
		return;
	kthread_associate_blkcg(css);
#ifdef CONFIG_MEMCG
	group->memcg = cgroup_get_e_css(css->cgroup, &memory_cgrp_subsys);
	group->old = set_active_memcg(mem_cgroup_from_css(group->memcg));
#endif
}

void vdisk_group_leave(struct vdisk_group *group)
{
	if (!group->blkcg)
		return;
	kthread_associate_blkcg(NULL);
	if (group->memcg) {
		set_active_memcg(group->old);
		css_put(group->memcg);
	}
}

/* --- what waits --- */

void vdisk_slow_ran(struct vdisk_device *dev, int rw)
{
	struct vdisk_waiting *w = &dev->waiting[rw];

	WRITE_ONCE(w->runs, READ_ONCE(w->runs) + 1);
}

static bool vdisk_slow_idle(struct vdisk_device *dev, int i)
{
	return !READ_ONCE(dev->slow[i].busy);
}

/*
 * An idle worker if there is one. If all are busy, all: one that is inside a
 * file may stay there, and one that is about to leave has looked already. Reads
 * always have the first: another may take a write before them.
 */
static void vdisk_slow_kick(struct vdisk_device *dev, int rw)
{
	bool idle = vdisk_slow_idle(dev, 0);
	int i;

	if (rw == VDISK_READS && queue_work(dev->wq, &dev->slow[0].work) && idle)
		goto out;
	for (i = 1; i < VDISK_SLOW_WORKERS; i++)
		if (vdisk_slow_idle(dev, i) && queue_work(dev->wq, &dev->slow[i].work))
			goto out;
	for (i = 1; i < VDISK_SLOW_WORKERS; i++)
		queue_work(dev->wq, &dev->slow[i].work);
out:
	/* The list is written before the thread's flag is read; pairs with the thread's. */
	smp_mb();
	vdisk_watch(dev);
}

void vdisk_slow_queue(struct vdisk_device *dev, struct vdisk_rq *cmd)
{
	struct request *rq = blk_mq_rq_from_pdu(cmd);
	int rw = vdisk_class(cmd);

	trace_vdisk_slow(dev->id, req_op(rq), blk_rq_pos(rq) << SECTOR_SHIFT, blk_rq_bytes(rq));
	/* Once on the list it may end, and with it the device: see vdisk_teardown(). */
	rcu_read_lock();
	spin_lock(&dev->list_lock);
	list_add_tail(&cmd->slow, &dev->waiting[rw].cmds);
	spin_unlock(&dev->list_lock);
	vdisk_slow_kick(dev, rw);
	rcu_read_unlock();
}

/* It failed where it could wait: the same again at once would fail again. */
static void vdisk_retry_later(struct vdisk_device *dev, struct vdisk_io *io)
{
	unsigned long delay = msecs_to_jiffies(min(10 * ++io->attempts, VDISK_RETRY_MAX_MS));

	llist_add(&io->retry, &dev->later);
	queue_delayed_work(dev->wq, &dev->later_work, delay);
	smp_mb();
	vdisk_watch(dev);
}

void vdisk_retry_queue(struct vdisk_device *dev, struct vdisk_io *io)
{
	int rw = vdisk_class(io->cmd);

	/* Once on the list it may end, and with it the device: see vdisk_teardown(). */
	rcu_read_lock();
	if (!io->ended && !io->nowait && io->ret < 0) {
		vdisk_retry_later(dev, io);
	} else {
		llist_add(&io->retry, &dev->waiting[rw].retry);
		vdisk_slow_kick(dev, rw);
	}
	rcu_read_unlock();
}

/* Back to those that can be tried. */
static void vdisk_later_now(struct vdisk_device *dev)
{
	struct llist_node *list = llist_reverse_order(llist_del_all(&dev->later));
	struct vdisk_io *io, *next;

	llist_for_each_entry_safe(io, next, list, retry)
		llist_add(&io->retry, &dev->waiting[vdisk_class(io->cmd)].retry);
}

static void vdisk_later_kick(struct vdisk_device *dev)
{
	int rw;

	if (llist_empty(&dev->later))
		return;
	vdisk_later_now(dev);
	for (rw = 0; rw < VDISK_CLASSES; rw++)
		vdisk_slow_kick(dev, rw);
}

static void vdisk_later_fn(struct work_struct *work)
{
	vdisk_later_kick(container_of(to_delayed_work(work), struct vdisk_device, later_work));
}

void vdisk_slow_setup(struct vdisk_device *dev)
{
	int rw;

	for (rw = 0; rw < VDISK_CLASSES; rw++) {
		init_llist_head(&dev->waiting[rw].retry);
		INIT_LIST_HEAD(&dev->waiting[rw].cmds);
	}
	init_llist_head(&dev->later);
	INIT_DELAYED_WORK(&dev->later_work, vdisk_later_fn);
}

/* In order of arrival: the oldest must not wait for ever under load. */
static struct vdisk_io *vdisk_retry_pop(struct vdisk_device *dev, int rw)
{
	struct vdisk_waiting *w = &dev->waiting[rw];
	struct llist_node *node;

	if (llist_empty(&w->retry) && !READ_ONCE(w->todo))
		return NULL;
	spin_lock(&dev->list_lock);
	if (!w->todo)
		w->todo = llist_reverse_order(llist_del_all(&w->retry));
	node = w->todo;
	if (node)
		WRITE_ONCE(w->todo, node->next);
	spin_unlock(&dev->list_lock);
	return node ? llist_entry(node, struct vdisk_io, retry) : NULL;
}

static struct vdisk_rq *vdisk_slow_pop(struct vdisk_device *dev, int rw)
{
	struct vdisk_rq *cmd;

	spin_lock(&dev->list_lock);
	cmd = list_first_entry_or_null(&dev->waiting[rw].cmds, struct vdisk_rq, slow);
	if (cmd)
		list_del(&cmd->slow);
	spin_unlock(&dev->list_lock);
	return cmd;
}

static bool vdisk_waits(struct vdisk_device *dev, int rw)
{
	struct vdisk_waiting *w = &dev->waiting[rw];

	if (!llist_empty(&w->retry) || READ_ONCE(w->todo) || !list_empty_careful(&w->cmds))
		return true;
	return rw == VDISK_WRITES && vdisk_commit_pending(dev);
}

/* --- inflated units --- */

static struct vdisk_unit *vdisk_unit_pick(struct vdisk_device *dev, const struct vd_extent *ext)
{
	struct vdisk_unit *u, *best = NULL;
	int i;

	spin_lock(&dev->unit_lock);
	for (i = 0; i < VDISK_UNITS; i++) {
		u = &dev->units[i];
		if (u->unit.seg == ext->seg && u->unit.pos == ext->unit_pos && u->unit.len) {
			best = u->busy ? NULL : u;
			break;
		}
		if (u->busy)
			continue;
		/* An unused buffer before an old one, the oldest before others. */
		if (!best || (best->prepared && time_before(u->stamp, best->stamp)))
			best = u;
	}
	if (best)
		best->busy = true;
	spin_unlock(&dev->unit_lock);
	return best;
}

static void vdisk_unit_done(struct vdisk_device *dev, struct vdisk_unit *u)
{
	spin_lock(&dev->unit_lock);
	u->busy = false;
	u->stamp = jiffies;
	spin_unlock(&dev->unit_lock);
	wake_up(&dev->unit_wait);
}

/* A buffer for @ext's unit; the first was made at attach, so one always comes. */
static struct vdisk_unit *vdisk_unit_get(struct vdisk_device *dev, const struct vd_extent *ext)
{
	struct vdisk_unit *u;

	for (;;) {
		wait_event(dev->unit_wait, (u = vdisk_unit_pick(dev, ext)));
		if (u->prepared)
			return u;
		u->prepared = !vd_unit_prepare(&u->unit, dev->chain->max_unit);
		if (u->prepared)
			return u;
		/* No memory for another: share the ones that exist. */
		vdisk_unit_done(dev, u);
		schedule_timeout_uninterruptible(1);
	}
}

int vdisk_cmd_unpack(struct vdisk_device *dev, struct vdisk_rq *cmd, const struct vd_extent *ext)
{
	struct vdisk_unit *u = vdisk_unit_get(dev, ext);
	u64 skip = ext->pos - ext->unit_pos;
	struct iov_iter iter;
	int ret;

	ret = vd_unit_load(&u->unit, ext);
	if (!ret && (skip > u->unit.len || ext->len > u->unit.len - skip))
		ret = -EUCLEAN;
	if (!ret) {
		vdisk_cmd_iter(cmd, ITER_DEST, cmd->mapped, ext->len, &iter);
		if (copy_to_iter(u->unit.data + skip, ext->len, &iter) != ext->len)
			ret = -EIO;
	}
	vdisk_unit_done(dev, u);
	return ret;
}

void vdisk_units_release(struct vdisk_device *dev)
{
	int i;

	for (i = 0; i < VDISK_UNITS; i++)
		vd_unit_release(&dev->units[i].unit);
}

/* --- workers --- */

static void vdisk_slow_cmd(struct vdisk_device *dev, struct vdisk_rq *cmd)
{
	struct request *rq = blk_mq_rq_from_pdu(cmd);
	int ret;

	atomic_inc(&cmd->inside);
	if (req_op(rq) == REQ_OP_READ || req_op(rq) == REQ_OP_WRITE) {
		vdisk_cmd_map(cmd, false);
		return;
	}
	ret = vdisk_cmd_clear(dev, cmd);
	if (ret > 0)
		return;
	if (ret)
		vdisk_cmd_fail(cmd, ret);
	atomic_dec(&cmd->inside);
	vdisk_cmd_put(cmd);
}

static void vdisk_retry_io(struct vdisk_io *io)
{
	if (io->ended) {
		vdisk_alloc_finish(io);
		return;
	}
	io->ret = 0;
	vdisk_io_issue(io, false);
}

/* Serve one transfer that could not end where it was tried. May sleep. */
bool vdisk_retry_one(struct vdisk_device *dev, int rw)
{
	struct vdisk_io *io = vdisk_retry_pop(dev, rw);
	struct vdisk_group group;

	if (!io)
		return false;
	vdisk_group_enter(blk_mq_rq_from_pdu(io->cmd), &group);
	vdisk_retry_io(io);
	vdisk_group_leave(&group);
	return true;
}

/* Transfers first: they need no memory of ours, and bring back what others wait for. */
static bool vdisk_slow_one(struct vdisk_device *dev, int rw)
{
	struct vdisk_group group;
	struct vdisk_rq *cmd;

	if (vdisk_retry_one(dev, rw))
		return true;
	cmd = vdisk_slow_pop(dev, rw);
	if (!cmd)
		return false;
	if (READ_ONCE(dev->dead)) {
		vdisk_cmd_fail(cmd, -EIO);
		vdisk_cmd_put(cmd);
	} else {
		vdisk_group_enter(blk_mq_rq_from_pdu(cmd), &group);
		vdisk_slow_cmd(dev, cmd);
		vdisk_group_leave(&group);
	}
	return true;
}

static bool vdisk_slow_run(struct vdisk_device *dev, int rw)
{
	bool ran = vdisk_slow_one(dev, rw);

	if (ran)
		vdisk_slow_ran(dev, rw);
	return ran;
}

/* What the first worker leaves to the others is what may stay in a file system. */
void vdisk_slow_fn(struct work_struct *work)
{
	struct vdisk_slow *slow = container_of(work, struct vdisk_slow, work);
	struct vdisk_device *dev = slow->dev;
	bool all = slow != &dev->slow[0], ran;
	struct vdisk_scope scope;

	WRITE_ONCE(slow->busy, true);
	vdisk_slow_ran(dev, all ? VDISK_WRITES : VDISK_READS);
	vdisk_scope_enter(dev, &scope);
	do {
		ran = (all && vdisk_slow_run(dev, VDISK_WRITES)) ||
		      vdisk_slow_run(dev, VDISK_READS);
		cond_resched();
	} while (ran);
	vdisk_scope_leave(&scope);
	WRITE_ONCE(slow->busy, false);
}

/* --- the device's own thread --- */

/* Have the thread look at the lists for a while. Any context, cheap when it does. */
void vdisk_watch(struct vdisk_device *dev)
{
	if (READ_ONCE(dev->watch))
		return;
	WRITE_ONCE(dev->watch, true);
	wake_up(&dev->rescue_wait);
}

static void vdisk_rescue(struct vdisk_device *dev, int rw)
{
	struct vdisk_scope scope;

	vdisk_scope_enter(dev, &scope);
	while (vdisk_retry_one(dev, rw))
		cond_resched();
	vdisk_slow_one(dev, rw);
	if (rw == VDISK_WRITES && vdisk_commit_pending(dev))
		vdisk_commit_run(dev);
	vdisk_scope_leave(&scope);
}

/*
 * Workers that are there, and sit in a file, need no help: the thread would sit
 * beside them when it is needed.
 */
static bool vdisk_served(struct vdisk_device *dev, int rw)
{
	int i;

	if (rw == VDISK_READS)
		return !vdisk_slow_idle(dev, 0);
	for (i = 1; i < VDISK_SLOW_WORKERS; i++)
		if (vdisk_slow_idle(dev, i))
			return false;
	return !vdisk_commit_pending(dev) || work_busy(&dev->commit_work) & WORK_BUSY_RUNNING;
}

/* Does anything wait? Serve what has waited for a whole tick without anybody. */
static bool vdisk_look(struct vdisk_device *dev, unsigned long *seen)
{
	bool pending = !llist_empty(&dev->later), quiet = true;
	bool stuck[VDISK_CLASSES];
	unsigned long runs;
	int rw;

	for (rw = 0; rw < VDISK_CLASSES; rw++) {
		runs = READ_ONCE(dev->waiting[rw].runs);
		stuck[rw] = vdisk_waits(dev, rw);
		pending |= stuck[rw];
		stuck[rw] &= runs == seen[rw] && !vdisk_served(dev, rw);
		quiet &= runs == seen[rw];
		seen[rw] = runs;
	}
	/* The work that ends their wait may not start; if no worker does, the next look sees it. */
	if (quiet)
		vdisk_later_kick(dev);
	for (rw = 0; rw < VDISK_CLASSES; rw++)
		if (stuck[rw])
			vdisk_rescue(dev, rw);
	return pending || !quiet;
}

int vdisk_rescuer(void *data)
{
	unsigned long seen[VDISK_CLASSES] = { 0 };
	struct vdisk_device *dev = data;
	int idle = 0;

	while (!kthread_should_stop()) {
		if (!READ_ONCE(dev->watch)) {
			wait_event_idle(dev->rescue_wait,
					READ_ONCE(dev->watch) || kthread_should_stop());
			idle = 0;
		}
		wait_event_idle_timeout(dev->rescue_wait, kthread_should_stop(),
					VDISK_RESCUE_TICK);
		if (vdisk_look(dev, seen)) {
			idle = 0;
		} else if (++idle > 10) {
			WRITE_ONCE(dev->watch, false);
			/* Something may have come just before: look once more. */
			smp_mb();
			if (vdisk_look(dev, seen))
				WRITE_ONCE(dev->watch, true);
		}
	}
	return 0;
}

static void vdisk_fail_class(struct vdisk_device *dev, int rw)
{
	struct vdisk_rq *cmd;
	struct vdisk_io *io;

	while ((cmd = vdisk_slow_pop(dev, rw))) {
		vdisk_cmd_fail(cmd, -EIO);
		vdisk_cmd_put(cmd);
	}
	/* A dead device's transfers are not issued again: this ends them. */
	while ((io = vdisk_retry_pop(dev, rw))) {
		if (io->ended)
			vdisk_alloc_finish(io);
		else
			vdisk_io_issue(io, true);
	}
}

/* Forced detach: end what no file has yet, whoever would have served it. May sleep. */
void vdisk_fail_queued(struct vdisk_device *dev)
{
	struct vdisk_rq *cmd, *next;
	int rw;
	u32 i;

	llist_for_each_entry_safe(cmd, next, llist_del_all(&dev->flushes), node) {
		vdisk_cmd_fail(cmd, -EIO);
		atomic_dec(&cmd->inside);
		vdisk_cmd_put(cmd);
	}
	/* Who waits for a token goes back to the slow list. */
	if (vd_allocates(dev->chain))
		vd_wake_all(dev->chain);

	for (i = 0; i < dev->nr_queues; i++) {
		while ((cmd = vdisk_queue_pop(&dev->queues[i]))) {
			vdisk_cmd_fail(cmd, -EIO);
			vdisk_cmd_put(cmd);
		}
	}
	vdisk_later_now(dev);
	for (rw = 0; rw < VDISK_CLASSES; rw++)
		vdisk_fail_class(dev, rw);
}
