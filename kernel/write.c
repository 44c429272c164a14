// SPDX-License-Identifier: GPL-2.0-only
/*
 * Changes that need more than a transfer: places for new data, discard and
 * zeroes, commits. All of it runs in workers; shared code decides what happens
 * (alloc.h), here is who waits for whom.
 *
 * A command that needs a place reserves one, completes the unit around its own
 * bytes, and hands them to the file like any other write. When that transfer has
 * ended the place is published and the command walks on. A command whose units
 * somebody else has at hand is parked on that token; no worker waits for it.
 */
#include <linux/blkdev.h>
#include <linux/delay.h>

#include "compat.h"
#include "trace.h"
#include "vdisk.h"

static inline struct vdisk_device *cmd_dev(struct vdisk_rq *cmd)
{
	return blk_mq_rq_from_pdu(cmd)->q->queuedata;
}

static u64 cmd_pos(struct vdisk_rq *cmd)
{
	return (blk_rq_pos(blk_mq_rq_from_pdu(cmd)) << SECTOR_SHIFT) + cmd->mapped;
}

static u32 cmd_left(struct vdisk_rq *cmd)
{
	return blk_rq_bytes(blk_mq_rq_from_pdu(cmd)) - cmd->mapped;
}

/* Something is dirty: it does not stay so for ever, even if nobody flushes. */
static void vdisk_commit_soon(struct vdisk_device *dev)
{
	if (vd_meta_pressed(dev->chain->meta))
		queue_work(dev->wq, &dev->commit_work);
	else if (!delayed_work_pending(&dev->commit_later))
		queue_delayed_work(dev->wq, &dev->commit_later, VDISK_COMMIT_DELAY);
}

/* --- waiting for a token --- */

static void vdisk_cmd_wake(struct vd_waiter *waiter)
{
	struct vdisk_rq *cmd = container_of(waiter, struct vdisk_rq, waiter);

	atomic_dec(&cmd->inside);
	vdisk_slow_queue(cmd_dev(cmd), cmd);
}

/* --- places for new data --- */

/* As vdisk_io_get(): who waits for a token's memory serves those that hold some. */
static struct vd_alloc *vdisk_alloc_get(struct vdisk_device *dev)
{
	struct vd_alloc *alloc;

	for (;;) {
		alloc = mempool_alloc(dev->alloc_pool, GFP_NOWAIT | __GFP_NOWARN);
		if (alloc)
			return alloc;
		if (!vdisk_retry_one(dev, VDISK_WRITES))
			schedule_timeout_uninterruptible(1);
	}
}

static int vdisk_alloc_fill(struct vdisk_device *dev, struct vd_alloc *alloc, u64 pos, u64 len)
{
	void *buf;
	int ret;

	if (!vd_fill_needed(dev->chain, alloc, pos, len))
		return 0;
	buf = mempool_alloc(dev->fill_pool, GFP_NOIO);
	if (dev->chain->max_unit)
		mutex_lock(&dev->fill_lock);
	ret = vd_fill(dev->chain, alloc, pos, len, buf, VDISK_FILL_BYTES, &dev->fill_unit);
	if (dev->chain->max_unit)
		mutex_unlock(&dev->fill_lock);
	mempool_free(buf, dev->fill_pool);
	return ret;
}

/* The command's reference to itself goes along with the transfer. */
static void vdisk_alloc_issue(struct vdisk_device *dev, struct vdisk_rq *cmd,
			      struct vd_alloc *alloc, u64 len)
{
	struct vdisk_io *io = vdisk_io_get(dev, cmd);

	io->file = to_vdisk_file(alloc->file);
	io->off = cmd->mapped;
	io->len = len;
	io->file_pos = alloc->file_pos + (cmd_pos(cmd) - alloc->pos);
	io->write = true;
	io->alloc = alloc;
	if (vdisk_rq_durable(dev, blk_mq_rq_from_pdu(cmd)))
		cmd->commit = true;
	cmd->mapped += len;
	atomic_inc(&cmd->remaining);
	atomic_dec(&cmd->inside);
	vdisk_io_issue(io, false);
}

/*
 * No space: once for each command that has no transfer under way, a commit may
 * give some. It leaves meanwhile, or it would be itself who uses what was freed.
 */
static bool vdisk_cmd_make_room(struct vdisk_device *dev, struct vdisk_rq *cmd, int error)
{
	bool room;

	if (cmd->made_room || atomic_read(&cmd->remaining) != 1)
		return false;
	cmd->made_room = true;
	vd_io_leave(dev->chain, cmd->epoch);
	room = vd_make_room(dev->chain, error);
	cmd->epoch = vd_io_enter(dev->chain);
	return room;
}

int vdisk_cmd_alloc(struct vdisk_device *dev, struct vdisk_rq *cmd)
{
	struct vd_alloc *alloc = vdisk_alloc_get(dev);
	u64 pos = cmd_pos(cmd), len;
	int ret;

	cmd->waiter.wake = vdisk_cmd_wake;
	/* Who cannot leave takes what there is. */
	if (cmd->made_room || atomic_read(&cmd->remaining) != 1)
		ret = vd_reserve(dev->chain, pos, cmd_left(cmd), alloc, &cmd->waiter);
	else
		ret = vd_try_reserve(dev->chain, pos, cmd_left(cmd), alloc, &cmd->waiter);
	if (ret) {
		mempool_free(alloc, dev->alloc_pool);
		if (ret == -EBUSY)
			return 1;
		if (ret == -EAGAIN || vdisk_cmd_make_room(dev, cmd, ret) || ret == -EXFULL)
			return 0;
		return ret;
	}
	len = min_t(u64, cmd_left(cmd), alloc->pos + alloc->len - pos);
	ret = vdisk_alloc_fill(dev, alloc, pos, len);
	if (ret) {
		vd_abandon(dev->chain, alloc);
		mempool_free(alloc, dev->alloc_pool);
		return ret;
	}
	vdisk_alloc_issue(dev, cmd, alloc, len);
	return 1;
}

/* Publish, or give the place back; then the command goes on. */
void vdisk_alloc_finish(struct vdisk_io *io)
{
	struct vdisk_rq *cmd = io->cmd;
	struct vdisk_device *dev = cmd_dev(cmd);
	struct vd_alloc *alloc = io->alloc;
	bool failed = io->ret < 0;

	if (failed) {
		vdisk_cmd_fail(cmd, io->ret);
		vd_abandon(dev->chain, alloc);
	} else {
		vd_publish(dev->chain, alloc);
		vdisk_commit_soon(dev);
	}
	mempool_free(alloc, dev->alloc_pool);
	io->alloc = NULL;
	/* Drops the transfer's share of the command, not the one that came along. */
	vdisk_io_free(io);
	if (!failed && cmd_left(cmd))
		vdisk_slow_queue(dev, cmd);
	else
		vdisk_cmd_put(cmd);
}

/* A place is published where it is safe to take the map's spinlock, given back in a worker. */
void vdisk_alloc_end(struct vdisk_io *io)
{
	if (io->ret >= 0 && in_task() && !irqs_disabled()) {
		vdisk_alloc_finish(io);
		return;
	}
	io->ended = true;
	vdisk_retry_queue(cmd_dev(io->cmd), io);
}

/* --- discard and zeroes --- */

static unsigned int vdisk_clear_flags(struct request *rq)
{
	if (req_op(rq) == REQ_OP_DISCARD)
		return 0;
	return VD_CLEAR_ZERO | (rq->cmd_flags & REQ_NOUNMAP ? VD_CLEAR_KEEP : 0);
}

static int vdisk_clear_some(struct vdisk_device *dev, struct vdisk_rq *cmd, void *buf, u64 *done)
{
	unsigned int flags = vdisk_clear_flags(blk_mq_rq_from_pdu(cmd));
	int ret;

	if (dev->chain->max_unit)
		mutex_lock(&dev->fill_lock);
	ret = vd_clear(dev->chain, cmd_pos(cmd), cmd_left(cmd), flags, buf, VDISK_FILL_BYTES,
		       &dev->fill_unit, &cmd->waiter, done);
	if (dev->chain->max_unit)
		mutex_unlock(&dev->fill_lock);
	return ret;
}

int vdisk_cmd_clear(struct vdisk_device *dev, struct vdisk_rq *cmd)
{
	struct request *rq = blk_mq_rq_from_pdu(cmd);
	void *buf = NULL;
	u64 done = 0;
	int ret = 0;

	if (req_op(rq) == REQ_OP_DISCARD && (READ_ONCE(dev->flags) & VDISK_F_NO_DISCARD))
		return 0;
	if (dev->fill_pool)
		buf = mempool_alloc(dev->fill_pool, GFP_NOIO);
	cmd->waiter.wake = vdisk_cmd_wake;
	while (!ret && cmd_left(cmd)) {
		ret = READ_ONCE(dev->dead) ? -EIO : vdisk_clear_some(dev, cmd, buf, &done);
		if (!ret)
			cmd->mapped += done;
		if (ret == -ENOMEM) {
			msleep(VDISK_RETRY_MAX_MS / 10);
			ret = 0;
		}
		cond_resched();
	}
	if (buf)
		mempool_free(buf, dev->fill_pool);
	if (ret == -EBUSY)
		return 1;	/* parked: it may have ended already */
	if (!vd_clean(dev->chain))
		vdisk_commit_soon(dev);
	if (!ret && vdisk_rq_durable(dev, rq))
		cmd->commit = true;
	return ret;
}

/* --- commits --- */

bool vdisk_commit_pending(struct vdisk_device *dev)
{
	return !llist_empty(&dev->flushes);
}

/* What there was no space for is tried again. */
static int vdisk_commit(struct vdisk_device *dev)
{
	int ret = vd_commit(dev->chain);

	if (ret && !vd_failed(dev->chain))
		queue_delayed_work(dev->wq, &dev->commit_later, VDISK_COMMIT_DELAY);
	return ret;
}

/* One commit for all that have come; those who come meanwhile share the next. */
void vdisk_commit_run(struct vdisk_device *dev)
{
	struct llist_node *list = llist_del_all(&dev->flushes);
	struct vdisk_rq *cmd, *next;
	int ret;

	ret = READ_ONCE(dev->dead) ? -EIO : vdisk_commit(dev);
	vdisk_slow_ran(dev, VDISK_WRITES);
	llist_for_each_entry_safe(cmd, next, list, node) {
		if (ret)
			vdisk_cmd_fail(cmd, ret);
		atomic_dec(&cmd->inside);
		vdisk_cmd_put(cmd);
	}
}

static void vdisk_commit_fn(struct work_struct *work)
{
	struct vdisk_device *dev = container_of(work, struct vdisk_device, commit_work);
	struct vdisk_scope scope;

	vdisk_scope_enter(dev, &scope);
	do {
		vdisk_commit_run(dev);
	} while (vdisk_commit_pending(dev));
	vdisk_scope_leave(&scope);
}

static void vdisk_commit_later_fn(struct work_struct *work)
{
	struct vdisk_device *dev = container_of(to_delayed_work(work), struct vdisk_device,
						commit_later);
	struct vdisk_scope scope;

	vdisk_scope_enter(dev, &scope);
	if (!READ_ONCE(dev->dead) && !vd_failed(dev->chain))
		vdisk_commit(dev);
	vdisk_scope_leave(&scope);
}

void vdisk_flush_queue(struct vdisk_device *dev, struct vdisk_rq *cmd)
{
	/* Once on the list it may end, and with it the device: see vdisk_teardown(). */
	rcu_read_lock();
	atomic_inc(&cmd->inside);
	llist_add(&cmd->node, &dev->flushes);
	queue_work(dev->wq, &dev->commit_work);
	/* The list is written before the thread's flag is read; pairs with the thread's. */
	smp_mb();
	vdisk_watch(dev);
	rcu_read_unlock();
}

static bool vdisk_pack_go_on(void *ctx, u64 moved, u64 total)
{
	const unsigned long *deadline = ctx;

	cond_resched();
	return time_before(jiffies, *deadline);
}

/*
 * As much as can be done in a time that nobody minds; vdctl compact does the rest. It
 * may fail: then there are holes.
 */
static void vdisk_pack(struct vdisk_device *dev)
{
	unsigned long deadline = jiffies + VDISK_PACK_TIME;
	struct vd_pack pack = {
		.go_on = vdisk_pack_go_on,
		.ctx = &deadline,
		.size = VDISK_FILL_BYTES,
		.memory = VDISK_PACK_BYTES,
	};

	if (!dev->fill_pool || READ_ONCE(dev->dead))
		return;
	pack.buf = mempool_alloc(dev->fill_pool, GFP_NOIO);
	vd_fill_holes(dev->chain, &pack);
	mempool_free(pack.buf, dev->fill_pool);
}

/*
 * Everything durable, files at their size, marks of use removed. May sleep. What lacks
 * memory inside a file system now may have it soon, and nothing asks again later.
 */
int vdisk_end_write(struct vdisk_device *dev)
{
	struct vdisk_scope scope;
	u32 tries = 0;
	int ret;

	vdisk_scope_enter(dev, &scope);
	vdisk_pack(dev);
	ret = vd_end_write(dev->chain);
	while (ret == -ENOMEM && ++tries < VDISK_END_TRIES && !READ_ONCE(dev->dead)) {
		msleep(VDISK_RETRY_MAX_MS);
		ret = vd_end_write(dev->chain);
	}
	vdisk_scope_leave(&scope);
	return ret;
}

/* --- life --- */

void vdisk_write_setup(struct vdisk_device *dev)
{
	init_llist_head(&dev->flushes);
	mutex_init(&dev->fill_lock);
	INIT_WORK(&dev->commit_work, vdisk_commit_fn);
	INIT_DELAYED_WORK(&dev->commit_later, vdisk_commit_later_fn);
}

int vdisk_write_init(struct vdisk_device *dev)
{
	if (!vd_allocates(dev->chain))
		return 0;
	dev->alloc_pool = mempool_create_kmalloc_pool(VDISK_SLOW_WORKERS * 2,
						      sizeof(struct vd_alloc));
	dev->fill_pool = mempool_create_kmalloc_pool(1, VDISK_FILL_BYTES);
	if (!dev->alloc_pool || !dev->fill_pool)
		return -ENOMEM;
	return dev->chain->max_unit ? vd_unit_prepare(&dev->fill_unit, dev->chain->max_unit) : 0;
}

void vdisk_write_stop(struct vdisk_device *dev)
{
	/* In this order: the first may ask for the second. */
	cancel_work_sync(&dev->commit_work);
	cancel_delayed_work_sync(&dev->commit_later);
}

void vdisk_write_exit(struct vdisk_device *dev)
{
	mempool_destroy(dev->alloc_pool);
	mempool_destroy(dev->fill_pool);
	dev->alloc_pool = NULL;
	dev->fill_pool = NULL;
	vd_unit_release(&dev->fill_unit);
}
