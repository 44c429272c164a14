// SPDX-License-Identifier: GPL-2.0-only
/*
 * The I/O engine's fast path.
 *
 * queue_rq only collects: it answers what needs no file, and puts the rest on
 * its hardware queue's list. The queue's thread drains a batch under one plug,
 * maps each command without waiting and hands the request's own pages to the
 * file. What would wait goes to the slow workers (slow.c).
 */
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/bvec.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/sched.h>
#include <uapi/linux/sched/types.h>

#include "compat.h"
#include "trace.h"
#include "vdisk.h"

static inline struct vdisk_device *cmd_dev(struct vdisk_rq *cmd)
{
	return blk_mq_rq_from_pdu(cmd)->q->queuedata;
}

/* A file system's errno must not become one of the block layer's private codes. */
static blk_status_t vdisk_status(int error)
{
	switch (error) {
	case 0:
		return BLK_STS_OK;
	case -ENOSPC:
	case -EDQUOT:
	case -EFBIG:
		return BLK_STS_NOSPC;
	case -EOPNOTSUPP:
		return BLK_STS_NOTSUPP;
	case -ETIMEDOUT:
		return BLK_STS_TIMEOUT;
	default:
		return BLK_STS_IOERR;
	}
}

static void vdisk_cmd_release(struct vdisk_device *dev, struct vdisk_rq *cmd)
{
	if (!cmd->bvec_owned)
		return;
	if (cmd->nr_bvec <= VDISK_RQ_SEGMENTS)
		mempool_free(cmd->bvec, dev->bvec_pool);
	else
		kvfree(cmd->bvec);
	cmd->bvec_owned = false;
}

/* The first error makes an event; a worker sends it. Any context. */
static void vdisk_count_error(struct vdisk_device *dev)
{
	if (atomic64_inc_return(&dev->errors) != 1)
		return;
	kref_get(&dev->refs);
	if (!queue_work(vdisk_ctl_wq, &dev->error_work))
		vdisk_put(dev);
}

/* Drops one of cmd->remaining; the last one ends the request. Any context. */
void vdisk_cmd_put(struct vdisk_rq *cmd)
{
	struct request *rq = blk_mq_rq_from_pdu(cmd);
	struct vdisk_device *dev = cmd_dev(cmd);

	if (!atomic_dec_and_test(&cmd->remaining))
		return;
	if (cmd->entered) {
		cmd->entered = false;
		vd_io_leave(dev->chain, cmd->epoch);
	}
	if (cmd->commit && !cmd->error) {
		cmd->commit = false;
		atomic_set(&cmd->remaining, 1);
		vdisk_flush_queue(dev, cmd);
		return;
	}
	vdisk_cmd_release(dev, cmd);
	if (unlikely(cmd->error)) {
		vdisk_count_error(dev);
		trace_vdisk_error(dev->id, req_op(rq), blk_rq_pos(rq) << SECTOR_SHIFT,
				  blk_rq_bytes(rq), cmd->error);
	}
	if (likely(!blk_should_fake_timeout(rq->q)))
		blk_mq_end_request(rq, vdisk_status(cmd->error));
}

/* The first error stays. */
void vdisk_cmd_fail(struct vdisk_rq *cmd, int error)
{
	cmpxchg(&cmd->error, 0, error);
}

/* An iterator over bytes [off, off + len) of the command. */
void vdisk_cmd_iter(struct vdisk_rq *cmd, int dir, u32 off, u32 len, struct iov_iter *iter)
{
	iov_iter_bvec(iter, dir, cmd->bvec, cmd->nr_bvec, off + len);
	iter->iov_offset = cmd->bvec_skip;
	if (off)
		iov_iter_advance(iter, off);
}

void vdisk_cmd_zero(struct vdisk_rq *cmd, u32 off, u32 len)
{
	struct iov_iter iter;

	vdisk_cmd_iter(cmd, ITER_DEST, off, len, &iter);
	iov_iter_zero(len, &iter);
}

/* One bio: its own array serves, from where the block core has got to. */
static void vdisk_cmd_borrow(struct vdisk_rq *cmd, struct bio *bio)
{
	struct bio_vec *first = &bio->bi_io_vec[bio->bi_iter.bi_idx];
	struct bio_vec now = mp_bvec_iter_bvec(bio->bi_io_vec, bio->bi_iter);
	u32 left = bio->bi_iter.bi_size;
	u32 nr = 1;

	cmd->bvec = first;
	cmd->bvec_skip = now.bv_offset - first->bv_offset;
	for (left -= min(left, now.bv_len); left; left -= min(left, first[nr++].bv_len))
		;
	cmd->nr_bvec = nr;
}

/* Collect the request's pages once; every transfer iterates over this array. */
static void vdisk_cmd_bvecs(struct vdisk_device *dev, struct vdisk_rq *cmd)
{
	struct request *rq = blk_mq_rq_from_pdu(cmd);
	struct req_iterator iter;
	struct bio_vec bv;
	u32 nr = 0;

	if (cmd->bvec)
		return;
	if (rq->bio == rq->biotail) {
		vdisk_cmd_borrow(cmd, rq->bio);
		return;
	}
	rq_for_each_bvec(bv, rq, iter) {
		if (nr < VDISK_INLINE_BVECS)
			cmd->inline_bvec[nr] = bv;
		nr++;
	}
	cmd->nr_bvec = nr;
	if (nr <= VDISK_INLINE_BVECS) {
		cmd->bvec = cmd->inline_bvec;
		return;
	}
	cmd->bvec_owned = true;
	if (nr <= VDISK_RQ_SEGMENTS)
		cmd->bvec = mempool_alloc(dev->bvec_pool, GFP_NOIO);
	else	/* the queue's limits forbid it; never fail for memory all the same */
		cmd->bvec = kvmalloc_array(nr, sizeof(bv), GFP_NOIO | __GFP_NOFAIL);
	nr = 0;
	rq_for_each_bvec(bv, rq, iter)
		cmd->bvec[nr++] = bv;
}

struct vdisk_io *vdisk_io_get(struct vdisk_device *dev, struct vdisk_rq *cmd)
{
	struct vdisk_io *io = &cmd->io;
	int rw = vdisk_class(cmd);

	/*
	 * All elements may sit in transfers that wait to be tried again: who
	 * waits for one serves them, so one always comes back. Reads do not
	 * wait for writes.
	 */
	while (cmd->io_used) {
		io = mempool_alloc(dev->io_pool[rw], GFP_NOWAIT | __GFP_NOWARN);
		if (io)
			break;
		if (!vdisk_retry_one(dev, rw))
			schedule_timeout_uninterruptible(1);
	}
	cmd->io_used = true;
	io->cmd = cmd;
	io->done = 0;
	io->attempts = 0;
	io->ret = 0;
	io->nowait = true;
	io->dsync = false;
	io->ended = false;
	io->alloc = NULL;
	return io;
}

void vdisk_io_free(struct vdisk_io *io)
{
	struct vdisk_rq *cmd = io->cmd;

	if (io != &cmd->io)
		mempool_free(io, cmd_dev(cmd)->io_pool[vdisk_class(cmd)]);
	vdisk_cmd_put(cmd);
}

/*
 * Past the end of a file: zeros, as long as that is where the file ended when
 * it was attached. Returns false if the file has shrunk under us.
 */
static bool vdisk_io_pad(struct vdisk_io *io)
{
	if (io->file_pos + io->done < vdisk_file_end(io->file))
		return false;
	vdisk_cmd_zero(io->cmd, io->off + io->done, io->len - io->done);
	return true;
}

static bool vdisk_io_again(struct vdisk_io *io, long ret)
{
	if (ret == -EAGAIN)
		return true;
	/* No memory inside the file system is no verdict on the data. */
	return ret == -ENOMEM || (ret == -EOPNOTSUPP && io->nowait);
}

/*
 * A write that synced may have consumed the error of an earlier, acknowledged
 * one: files report those once. So its failure counts as a failed flush.
 */
static void vdisk_io_sticky(struct vdisk_io *io, long ret)
{
	struct vdisk_device *dev = cmd_dev(io->cmd);

	if (!io->write || !io->dsync || READ_ONCE(dev->dead))
		return;
	if (vdisk_status(ret) != BLK_STS_NOSPC)
		vd_set_failed(dev->chain);
}

/* No more of this transfer. Any context. */
static void vdisk_io_done(struct vdisk_io *io, long error)
{
	if (error) {
		io->ret = error;
		vdisk_cmd_fail(io->cmd, error);
	}
	if (io->alloc)
		vdisk_alloc_end(io);
	else
		vdisk_io_free(io);
}

/* The transfer's outcome is in io->ret and nobody else looks at it. Any context. */
static void vdisk_io_end(struct vdisk_io *io)
{
	struct vdisk_device *dev = cmd_dev(io->cmd);
	long ret = io->ret;

	atomic_dec(&io->cmd->inside);
	if (ret > 0) {
		io->done += min_t(u32, ret, io->len - io->done);
		if (io->done < io->len && (io->write || !vdisk_io_pad(io))) {
			vdisk_retry_queue(dev, io);
			return;
		}
		ret = 0;
	} else if (!ret) {
		if (io->write || !vdisk_io_pad(io))
			ret = -EIO;
	} else if (vdisk_io_again(io, ret) && !READ_ONCE(dev->dead)) {
		vdisk_retry_queue(dev, io);
		return;
	} else {
		vdisk_io_sticky(io, ret);
	}
	vdisk_io_done(io, ret);
}

static void vdisk_io_put(struct vdisk_io *io)
{
	if (atomic_dec_and_test(&io->ref))
		vdisk_io_end(io);
}

static void vdisk_io_complete(struct kiocb *iocb, long ret)
{
	struct vdisk_io *io = container_of(iocb, struct vdisk_io, iocb);

	if (io->write) {
		/* Before the write is acknowledged: the next flush must see it. */
		atomic_set_release(&io->file->vf.dirty, 1);
		if (S_ISREG(file_inode(io->file->file)->i_mode))
			kiocb_end_write(iocb);
	}
	io->ret = ret;
	vdisk_io_put(io);
}

/*
 * Freeze protection, as the file system expects it from whoever writes. Never
 * waits: writes to a frozen file system must not hold up reads behind them.
 */
static bool vdisk_io_start_write(struct vdisk_io *io)
{
	struct inode *inode = file_inode(io->file->file);

	if (!S_ISREG(inode->i_mode))
		return true;
	if (!sb_start_write_trylock(inode->i_sb))
		return false;
	__sb_writers_release(inode->i_sb, SB_FREEZE_WRITE);
	return true;
}

/* May this transfer be tried without waiting? Buffered writes never can. */
static bool vdisk_io_may_nowait(struct vdisk_io *io)
{
	struct vdisk_file *file = io->file;

	if (!file->nowait)
		return false;
	if (!io->write)
		return true;
	return file->direct && !atomic_read(&file->blocked_writes);
}

/*
 * Give a prepared transfer to its file. With @nowait it may come back as
 * -EAGAIN and goes to the slow workers. Without, the caller can block.
 */
void vdisk_io_issue(struct vdisk_io *io, bool nowait)
{
	struct request *rq = blk_mq_rq_from_pdu(io->cmd);
	struct file *file = io->file->file;
	struct kiocb *iocb = &io->iocb;
	struct iov_iter iter;
	ssize_t ret;

	if (unlikely(READ_ONCE(cmd_dev(io->cmd)->dead))) {
		vdisk_io_done(io, -EIO);
		return;
	}
	if (nowait && !vdisk_io_may_nowait(io)) {
		vdisk_retry_queue(cmd_dev(io->cmd), io);
		return;
	}
	io->nowait = nowait;
	memset(iocb, 0, sizeof(*iocb));
	iocb->ki_filp = file;
	iocb->ki_pos = io->file_pos + io->done;
	iocb->ki_complete = vdisk_io_complete;
	iocb->ki_ioprio = req_get_ioprio(rq);
	if (io->file->direct)
		iocb->ki_flags |= IOCB_DIRECT;
	if (nowait)
		iocb->ki_flags |= IOCB_NOWAIT;
	if (io->dsync)
		iocb->ki_flags |= IOCB_DSYNC;
	if (io->write && !vdisk_io_start_write(io)) {
		io->ret = -EAGAIN;
		vdisk_retry_queue(cmd_dev(io->cmd), io);
		return;
	}
	vdisk_cmd_iter(io->cmd, io->write ? ITER_SOURCE : ITER_DEST, io->off + io->done,
		       io->len - io->done, &iter);
	atomic_inc(&io->cmd->inside);
	atomic_set(&io->ref, 2);
	if (io->write) {
		if (!nowait)
			atomic_inc(&io->file->blocked_writes);
		ret = file->f_op->write_iter(iocb, &iter);
		if (!nowait)
			atomic_dec(&io->file->blocked_writes);
	} else {
		ret = file->f_op->read_iter(iocb, &iter);
	}
	if (ret != -EIOCBQUEUED)
		vdisk_io_complete(iocb, ret);
	vdisk_io_put(io);
}

static void vdisk_cmd_data(struct vdisk_device *dev, struct vdisk_rq *cmd,
			   const struct vd_extent *ext, bool nowait)
{
	struct vdisk_file *file = to_vdisk_file(ext->file);
	bool write = op_is_write(req_op(blk_mq_rq_from_pdu(cmd)));
	struct vdisk_io *io;

	if (!write && ext->file_pos >= vdisk_file_end(file)) {
		vdisk_cmd_zero(cmd, cmd->mapped, ext->len);
		return;
	}
	io = vdisk_io_get(dev, cmd);
	io->file = file;
	io->off = cmd->mapped;
	io->len = ext->len;
	io->file_pos = ext->file_pos;
	io->write = write;
	if (write && vdisk_rq_durable(dev, blk_mq_rq_from_pdu(cmd))) {
		/* What it writes to may be mapped only in memory so far. */
		io->dsync = vd_clean(dev->chain);
		if (!io->dsync)
			cmd->commit = true;
	}
	atomic_inc(&cmd->remaining);
	vdisk_io_issue(io, nowait);
}

/* The first change of all, and what has no place yet, are for workers. */
static int vdisk_cmd_map_write(struct vdisk_device *dev, struct vdisk_rq *cmd, bool nowait)
{
	struct request *rq = blk_mq_rq_from_pdu(cmd);
	int ret = 0;

	if (unlikely(!vd_begun(dev->chain)))
		ret = nowait ? -EAGAIN : vd_begin_write(dev->chain);
	if (!ret)
		ret = vd_map(dev->chain, (blk_rq_pos(rq) << SECTOR_SHIFT) + cmd->mapped,
			     blk_rq_bytes(rq) - cmd->mapped,
			     (nowait ? VD_MAP_NOWAIT : 0) | VD_MAP_WRITE, &cmd->ext);
	return ret == -ENODATA && nowait ? -EAGAIN : ret;
}

/*
 * Returns -EAGAIN when the command must go to a worker that may wait, 1 when it
 * belongs to somebody else by now.
 */
static int vdisk_cmd_step(struct vdisk_device *dev, struct vdisk_rq *cmd, bool nowait)
{
	struct request *rq = blk_mq_rq_from_pdu(cmd);
	bool write = op_is_write(req_op(rq));
	struct vd_extent *ext = &cmd->ext;
	int ret;

	if (!cmd->have_ext) {
		if (write)
			ret = vdisk_cmd_map_write(dev, cmd, nowait);
		else
			ret = vd_map(dev->chain, (blk_rq_pos(rq) << SECTOR_SHIFT) + cmd->mapped,
				     blk_rq_bytes(rq) - cmd->mapped,
				     nowait ? VD_MAP_NOWAIT : 0, ext);
		if (write && ret == -ENODATA)
			return vdisk_cmd_alloc(dev, cmd);
		if (ret)
			return ret;
		cmd->have_ext = true;
	}
	if (ext->type == VD_EXT_PACKED && nowait)
		return -EAGAIN;
	trace_vdisk_map(dev->id, ext->pos, ext->len, ext->type,
			ext->file ? (int)ext->file->index : -1);
	cmd->have_ext = false;
	switch (ext->type) {
	case VD_EXT_DATA:
		vdisk_cmd_data(dev, cmd, ext, nowait);
		break;
	case VD_EXT_PACKED:
		ret = vdisk_cmd_unpack(dev, cmd, ext);
		if (ret)
			return ret;
		break;
	default:
		vdisk_cmd_zero(cmd, cmd->mapped, ext->len);
	}
	cmd->mapped += ext->len;
	return 0;
}

/*
 * Map and hand out what is left of a read or write. The caller holds one of
 * cmd->remaining and loses it here, unless the command moves to the slow list
 * with it; without @nowait it also holds one of cmd->inside.
 */
void vdisk_cmd_map(struct vdisk_rq *cmd, bool nowait)
{
	struct request *rq = blk_mq_rq_from_pdu(cmd);
	struct vdisk_device *dev = cmd_dev(cmd);
	u32 len = blk_rq_bytes(rq);
	int ret;

	vdisk_cmd_bvecs(dev, cmd);
	while (cmd->mapped < len) {
		if (unlikely(READ_ONCE(dev->dead))) {
			vdisk_cmd_fail(cmd, -EIO);
			break;
		}
		ret = vdisk_cmd_step(dev, cmd, nowait);
		if (ret > 0)
			return;
		if (ret == -EAGAIN && nowait) {
			vdisk_slow_queue(dev, cmd);
			return;
		}
		if (ret == -ENOMEM && !nowait) {
			/* Others are giving some back; never an I/O error. */
			msleep(VDISK_RETRY_MAX_MS / 10);
			continue;
		}
		if (ret) {
			vdisk_cmd_fail(cmd, ret);
			break;
		}
	}
	if (!nowait)
		atomic_dec(&cmd->inside);
	vdisk_cmd_put(cmd);
}

static void vdisk_batch_one(struct vdisk_rq *cmd)
{
	struct vdisk_group group;

	vdisk_group_enter(blk_mq_rq_from_pdu(cmd), &group);
	vdisk_cmd_map(cmd, true);
	vdisk_group_leave(&group);
}

/* The next command in order of arrival. */
struct vdisk_rq *vdisk_queue_pop(struct vdisk_queue *q)
{
	struct llist_node *node;

	spin_lock(&q->lock);
	if (!q->todo)
		q->todo = llist_reverse_order(llist_del_all(&q->batch));
	node = q->todo;
	if (node)
		q->todo = node->next;
	spin_unlock(&q->lock);
	return node ? llist_entry(node, struct vdisk_rq, node) : NULL;
}

static u32 vdisk_queue_run(struct vdisk_queue *q)
{
	struct vdisk_rq *cmd;
	struct blk_plug plug;
	u32 nr = 0;

	blk_start_plug(&plug);
	for (; (cmd = vdisk_queue_pop(q)); nr++)
		vdisk_batch_one(cmd);
	blk_finish_plug(&plug);
	return nr;
}

static void vdisk_queue_policy(struct vdisk_queue *q, bool batch)
{
	const struct sched_attr attr = {
		.size = sizeof(attr),
		.sched_policy = batch ? SCHED_BATCH : SCHED_NORMAL,
	};

	sched_setattr_nocheck(current, &attr);
	q->batching = batch;
	q->wakes = 0;
	q->cmds = 0;
}

/*
 * SCHED_BATCH: our wake-up does not take the processor from a submitter that has
 * more to submit, so batches form by themselves and their cost is shared. One
 * who has no more only falls asleep before we start, which costs him more than
 * being preempted. Which of them it is shows in the batches; while we preempt,
 * none can show, so now and then we try.
 */
static void vdisk_queue_adapt(struct vdisk_queue *q, u32 nr)
{
	q->wakes++;
	q->cmds += nr;
	if (q->batching && q->wakes == VDISK_BATCH_LOOK) {
		if (q->cmds < VDISK_BATCH_LOOK + VDISK_BATCH_LOOK / 4) {
			vdisk_queue_policy(q, false);
		} else {
			q->wakes = 0;
			q->cmds = 0;
		}
	} else if (!q->batching && q->wakes == VDISK_BATCH_TRUST) {
		vdisk_queue_policy(q, true);
	}
}

/*
 * A queue's thread. It is there from attach, so no request ever waits for the
 * memory of a new worker.
 */
int vdisk_queue_thread(void *data)
{
	struct vdisk_queue *q = data;
	struct vdisk_scope scope;

	vdisk_queue_policy(q, true);
	vdisk_scope_enter(q->dev, &scope);
	while (!kthread_should_stop()) {
		set_current_state(TASK_IDLE);
		if (llist_empty(&q->batch) && !kthread_should_stop())
			schedule();
		__set_current_state(TASK_RUNNING);
		vdisk_queue_adapt(q, vdisk_queue_run(q));
	}
	vdisk_scope_leave(&scope);
	return 0;
}

static inline void vdisk_kick(struct vdisk_queue *q)
{
	wake_up_process(q->task);
}

/*
 * Reads that the tables, already in memory, answer with zeros end here; a data
 * answer travels along, so the worker does not look it up again.
 */
static bool vdisk_answer(struct vdisk_device *dev, struct vdisk_rq *cmd, struct request *rq)
{
	struct vd_extent *ext = &cmd->ext;

	if (vd_map(dev->chain, blk_rq_pos(rq) << SECTOR_SHIFT, blk_rq_bytes(rq), VD_MAP_NOWAIT,
		   ext))
		return false;
	cmd->have_ext = true;
	if (ext->type != VD_EXT_HOLE && ext->type != VD_EXT_ZERO)
		return false;
	if (ext->len < blk_rq_bytes(rq) || blk_rq_nr_phys_segments(rq) > VDISK_INLINE_BVECS)
		return false;
	vdisk_cmd_bvecs(dev, cmd);
	vdisk_cmd_zero(cmd, 0, ext->len);
	vdisk_cmd_put(cmd);
	return true;
}

static blk_status_t vdisk_refuse(struct vdisk_device *dev, struct request *rq)
{
	if (READ_ONCE(dev->dead))
		return BLK_STS_IOERR;
	if (!op_is_write(req_op(rq)) && req_op(rq) != REQ_OP_FLUSH)
		return BLK_STS_OK;
	/* The block core only warns about writes to a read-only disk. */
	if (req_op(rq) != REQ_OP_FLUSH && (READ_ONCE(dev->flags) & VDISK_F_RDONLY))
		return BLK_STS_IOERR;
	return vd_failed(dev->chain) ? BLK_STS_IOERR : BLK_STS_OK;
}

static blk_status_t vdisk_queue_rq(struct blk_mq_hw_ctx *hctx, const struct blk_mq_queue_data *bd)
{
	struct vdisk_queue *q = hctx->driver_data;
	struct request *rq = bd->rq;
	struct vdisk_rq *cmd = blk_mq_rq_to_pdu(rq);
	struct vdisk_device *dev = q->dev;
	blk_status_t status = vdisk_refuse(dev, rq);

	if (unlikely(status))
		return status;
	blk_mq_start_request(rq);
	atomic_set(&cmd->remaining, 1);
	atomic_set(&cmd->inside, 0);
	cmd->error = 0;
	cmd->mapped = 0;
	cmd->bvec = NULL;
	cmd->bvec_skip = 0;
	cmd->bvec_owned = false;
	cmd->have_ext = false;
	cmd->io_used = false;
	cmd->commit = false;
	cmd->made_room = false;
	/* A flush asks no map: it must not keep its own commit from reclaiming. */
	cmd->entered = req_op(rq) != REQ_OP_FLUSH && vd_allocates(dev->chain);
	if (cmd->entered)
		cmd->epoch = vd_io_enter(dev->chain);

	switch (req_op(rq)) {
	case REQ_OP_READ:
		if (dev->map_inline && vdisk_answer(dev, cmd, rq))
			break;
		fallthrough;
	case REQ_OP_WRITE:
		llist_add(&cmd->node, &q->batch);
		break;
	case REQ_OP_FLUSH:
		if (READ_ONCE(dev->flags) & VDISK_F_NO_FLUSH)
			vdisk_cmd_put(cmd);
		else
			vdisk_flush_queue(dev, cmd);
		break;
	case REQ_OP_DISCARD:
	case REQ_OP_WRITE_ZEROES:
		vdisk_slow_queue(dev, cmd);
		break;
	default:
		vdisk_cmd_fail(cmd, -EOPNOTSUPP);
		vdisk_cmd_put(cmd);
	}
	if (bd->last && !llist_empty(&q->batch))
		vdisk_kick(q);
	return BLK_STS_OK;
}

static void vdisk_commit_rqs(struct blk_mq_hw_ctx *hctx)
{
	struct vdisk_queue *q = hctx->driver_data;

	if (!llist_empty(&q->batch))
		vdisk_kick(q);
}

static int vdisk_init_hctx(struct blk_mq_hw_ctx *hctx, void *data, unsigned int index)
{
	struct vdisk_device *dev = data;

	hctx->driver_data = &dev->queues[index];
	return 0;
}

const struct blk_mq_ops vdisk_mq_ops = {
	.queue_rq = vdisk_queue_rq,
	.commit_rqs = vdisk_commit_rqs,
	.init_hctx = vdisk_init_hctx,
};
