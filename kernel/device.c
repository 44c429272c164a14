// SPDX-License-Identifier: GPL-2.0-only
/* A device's life: registry, open and close, changing flags, detach. */
#include <linux/blkdev.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/xarray.h>

#include "compat.h"
#include "trace.h"
#include "vdisk.h"

static DEFINE_XARRAY_ALLOC(vdisk_devices);

/* No command waits longer than this for a file system. */
#define VDISK_WAIT	(3 * HZ / 2)

int vdisk_register(struct vdisk_device *dev, s64 want)
{
	u32 id;
	int ret;

	if (want >= 0) {
		if (want >= VDISK_MAX_DEVICES)
			return -ENOSPC;
		dev->id = want;
		ret = xa_insert(&vdisk_devices, want, dev, GFP_KERNEL);
		return ret == -EBUSY ? -EEXIST : ret;
	}
	/* The id is in place before anybody can find the device. */
	xa_lock(&vdisk_devices);
	ret = __xa_alloc(&vdisk_devices, &id, NULL, XA_LIMIT(0, VDISK_MAX_DEVICES - 1),
			 GFP_KERNEL);
	if (!ret) {
		dev->id = id;
		__xa_store(&vdisk_devices, id, dev, GFP_KERNEL);
	}
	xa_unlock(&vdisk_devices);
	return ret == -EBUSY ? -ENOSPC : ret;
}

void vdisk_unregister(struct vdisk_device *dev)
{
	xa_erase(&vdisk_devices, dev->id);
}

/*
 * The gendisk outlives every reference to the device, and the device's memory
 * the gendisk: openers may hold that for longer. A disk that was never added
 * does not call ->free_disk.
 */
static void vdisk_kref_free(struct kref *refs)
{
	struct vdisk_device *dev = container_of(refs, struct vdisk_device, refs);
	bool added = dev->added;

	if (dev->disk)
		put_disk(dev->disk);
	if (!added)
		vdisk_device_free(dev);
}

void vdisk_put(struct vdisk_device *dev)
{
	kref_put(&dev->refs, vdisk_kref_free);
}

/* Only devices that are complete; under the registry's lock, which holds a reference. */
static bool vdisk_try_get(struct vdisk_device *dev)
{
	return smp_load_acquire(&dev->listed) && kref_get_unless_zero(&dev->refs);
}

struct vdisk_device *vdisk_get(u32 id)
{
	struct vdisk_device *dev;

	xa_lock(&vdisk_devices);
	dev = xa_load(&vdisk_devices, id);
	if (dev && !vdisk_try_get(dev))
		dev = NULL;
	xa_unlock(&vdisk_devices);
	return dev;
}

struct vdisk_device *vdisk_get_next(unsigned long *id)
{
	struct vdisk_device *dev;
	unsigned long index = *id;

	xa_lock(&vdisk_devices);
	dev = xa_find(&vdisk_devices, &index, ULONG_MAX, XA_PRESENT);
	while (dev && !vdisk_try_get(dev))
		dev = xa_find_after(&vdisk_devices, &index, ULONG_MAX, XA_PRESENT);
	xa_unlock(&vdisk_devices);
	*id = index;
	return dev;
}

/* --- before the machine sleeps or stops --- */

/* No image may keep the machine from it, though a frozen worker may. */
#define VDISK_SYNC_WAIT	(10 * HZ)

static atomic_t vdisk_syncing = ATOMIC_INIT(0);
static DECLARE_WAIT_QUEUE_HEAD(vdisk_sync_wait);

void vdisk_sync_fn(struct work_struct *work)
{
	struct vdisk_device *dev = container_of(work, struct vdisk_device, sync_work);
	struct vdisk_scope scope;

	vdisk_scope_enter(dev, &scope);
	if (READ_ONCE(dev->sync_ends))
		vd_end_write(dev->chain);
	else
		vd_commit(dev->chain);
	vdisk_scope_leave(&scope);
	if (atomic_dec_and_test(&vdisk_syncing))
		wake_up(&vdisk_sync_wait);
}

static void vdisk_sync_start(struct vdisk_device *dev, bool end)
{
	/* Its holder may wait for an opener who waits for a file. */
	if (!mutex_trylock(&dev->ctl_mutex)) {
		pr_warn("vdisk%u: busy, not written\n", dev->id);
		return;
	}
	if (READ_ONCE(dev->state) == VDISK_STATE_LIVE && !READ_ONCE(dev->dead)) {
		WRITE_ONCE(dev->sync_ends, end);
		atomic_inc(&vdisk_syncing);
		if (!queue_work(dev->wq, &dev->sync_work))
			atomic_dec(&vdisk_syncing);
	}
	mutex_unlock(&dev->ctl_mutex);
}

/* Nobody is going to ask for what is in memory only. All at once, for none may be slow. */
void vdisk_sync_all(bool end)
{
	struct vdisk_device *dev;
	unsigned long id = 0;

	for (; (dev = vdisk_get_next(&id)); id++) {
		vdisk_sync_start(dev, end);
		vdisk_put(dev);
	}
	if (!wait_event_timeout(vdisk_sync_wait, !atomic_read(&vdisk_syncing), VDISK_SYNC_WAIT))
		pr_warn("vdisk: %d disks could not be written in time\n",
			atomic_read(&vdisk_syncing));
}

/* The work takes a reference over. Any context. */
static void vdisk_start_detach(struct vdisk_device *dev)
{
	kref_get(&dev->refs);
	if (!queue_work(vdisk_ctl_wq, &dev->detach_work))
		vdisk_put(dev);
}

void vdisk_error_fn(struct work_struct *work)
{
	struct vdisk_device *dev = container_of(work, struct vdisk_device, error_work);

	vdisk_event(dev, VDISK_EVENT_ERROR);
	vdisk_put(dev);
}

/* --- block device operations; open_mutex is held in open and release --- */

static int vdisk_open(VDISK_OPEN_ARGS)
{
	struct vdisk_device *dev = VDISK_OPEN_DISK->private_data;

	if (READ_ONCE(dev->state) != VDISK_STATE_LIVE)
		return -ENXIO;
	if (VDISK_MODE_WRITES(mode)) {
		if (READ_ONCE(dev->flags) & VDISK_F_RDONLY)
			return -EROFS;
		dev->write_opens = true;
	}
	if (VDISK_MODE_EXCL(mode))
		dev->armed = true;
	WRITE_ONCE(dev->opened, true);
	return 0;
}

static void vdisk_release(VDISK_RELEASE_ARGS)
{
	struct vdisk_device *dev = disk->private_data;

	if (disk_openers(disk))
		return;
	complete_all(&dev->closed);
	dev->write_opens = false;
	if (dev->armed && READ_ONCE(dev->listed) && READ_ONCE(dev->state) == VDISK_STATE_LIVE &&
	    (READ_ONCE(dev->flags) & VDISK_F_AUTOCLEAR))
		vdisk_start_detach(dev);
}

/* blockdev --setrw must not lift what attach made read-only for good. */
static int vdisk_set_read_only(struct block_device *bdev, bool ro)
{
	struct vdisk_device *dev = bdev->bd_disk->private_data;

	return !ro && (READ_ONCE(dev->flags) & VDISK_F_RDONLY) ? -EACCES : 0;
}

static void vdisk_free_disk(struct gendisk *disk)
{
	vdisk_device_free(disk->private_data);
}

const struct block_device_operations vdisk_fops = {
	.owner = THIS_MODULE,
	.open = vdisk_open,
	.release = vdisk_release,
	.set_read_only = vdisk_set_read_only,
	.free_disk = vdisk_free_disk,
};

/* --- detach --- */

static bool vdisk_count_inside(struct request *rq, void *data)
{
	struct vdisk_rq *cmd = blk_mq_rq_to_pdu(rq);

	if (atomic_read(&cmd->inside))
		(*(u32 *)data)++;
	return true;
}

u32 vdisk_inflight(struct vdisk_device *dev)
{
	u32 count = 0;

	if (dev->have_set)
		blk_mq_tagset_busy_iter(&dev->set, vdisk_count_inside, &count);
	return count;
}

static bool vdisk_claim(struct vdisk_device *dev)
{
	return cmpxchg(&dev->state, VDISK_STATE_LIVE, VDISK_STATE_DYING) == VDISK_STATE_LIVE;
}

/*
 * For commands: a scan for partitions holds open_mutex while it waits for a file, and
 * who holds ctl_mutex may wait for that. Returns 0, -EBUSY or -EINTR.
 */
static int vdisk_lock_soon(struct mutex *lock)
{
	unsigned long end = jiffies + VDISK_WAIT;

	while (!mutex_trylock(lock)) {
		if (fatal_signal_pending(current))
			return -EINTR;
		if (time_after(jiffies, end))
			return -EBUSY;
		schedule_timeout_killable(1);
	}
	return 0;
}

static int vdisk_lock_ctl(struct vdisk_device *dev, struct vd_error *err)
{
	int ret = vdisk_lock_soon(&dev->ctl_mutex);

	if (ret == -EINTR)
		return vd_fail(err, ret, "interrupted");
	return ret ? vd_fail(err, ret, "vdisk%u: another command waits for it", dev->id) : 0;
}

static int vdisk_lock_open(struct vdisk_device *dev, struct vd_error *err)
{
	int ret = vdisk_lock_soon(&dev->disk->open_mutex);

	if (ret == -EINTR)
		return vd_fail(err, ret, "interrupted");
	return ret ? vd_fail(err, ret, "vdisk%u is being scanned for partitions", dev->id) : 0;
}

/*
 * LIVE to DYING if nobody has it open; under open_mutex, so that no open comes
 * between. Returns 0, -EBUSY with the openers, -EALREADY, or -EINTR. @soon: as a
 * command needs it; who has that mutex for long has it open.
 */
static int vdisk_claim_unused(struct vdisk_device *dev, bool soon, u32 *openers)
{
	struct gendisk *disk = dev->disk;
	int ret = 0;

	*openers = 1;
	if (!soon)
		mutex_lock(&disk->open_mutex);
	else
		ret = vdisk_lock_soon(&disk->open_mutex);
	if (ret)
		return ret;
	*openers = disk_openers(disk);
	if (READ_ONCE(dev->state) != VDISK_STATE_LIVE)
		ret = -EALREADY;
	else if (*openers)
		ret = -EBUSY;
	else if (!vdisk_claim(dev))
		ret = -EALREADY;
	mutex_unlock(&disk->open_mutex);
	return ret;
}

/*
 * The long way down, in a worker of our own: it may wait for a file system for
 * as long as that takes, and being a kernel thread it drops the files' last
 * references synchronously.
 */
static void vdisk_teardown(struct vdisk_device *dev)
{
	u64 size = dev->chain->size;

	if (dev->dead)
		blk_mark_disk_dead(dev->disk);
	del_gendisk(dev->disk);
	/* A completion may have published its transfer and still be kicking workers. */
	synchronize_rcu();
	mutex_lock(&dev->fail_lock);
	dev->drained = true;
	mutex_unlock(&dev->fail_lock);
	/* Who found the device alive has queued its work; from here on nobody does. */
	mutex_lock(&dev->ctl_mutex);
	mutex_unlock(&dev->ctl_mutex);
	flush_work(&dev->quiet_work);
	flush_work(&dev->sync_work);
	vdisk_stop_engine(dev);
	dev->detach_error = vdisk_end_write(dev);
	/* The end takes memory from there, and workers, now gone, gave theirs back late. */
	vdisk_write_exit(dev);
	dev->detach_lost = vd_failed(dev->chain) || !vd_clean(dev->chain);
	vdisk_release_members(dev);
	trace_vdisk_detach(dev->id, size);
	/* As before it was there: who still holds a reference finds no device. */
	WRITE_ONCE(dev->state, VDISK_STATE_NEW);
	vdisk_event(dev, VDISK_EVENT_DETACH);
	vdisk_unregister(dev);
	complete_all(&dev->gone);
	vdisk_put(dev);		/* the registry's */
}

/* Holds one reference on entry. Runs once for each time it was queued: look first. */
void vdisk_detach_fn(struct work_struct *work)
{
	struct vdisk_device *dev = container_of(work, struct vdisk_device, detach_work);
	u32 openers;

	if (READ_ONCE(dev->state) == VDISK_STATE_DYING ||
	    !vdisk_claim_unused(dev, false, &openers))
		vdisk_teardown(dev);
	vdisk_put(dev);
}

/*
 * The device is gone and its work about to drop the last references but the
 * caller's. With that done before the reply, the module can be removed after it.
 */
static void vdisk_end_work(struct vdisk_device *dev)
{
	flush_work(&dev->detach_work);
}

/*
 * Wait for the end, but not for ever: a command of generic netlink holds up the
 * registration of families while it runs. Who gets a DYING device asks again.
 */
static int vdisk_await(struct vdisk_device *dev, struct vd_error *err)
{
	long left = wait_for_completion_killable_timeout(&dev->gone, VDISK_WAIT);

	if (left < 0)
		return vd_fail(err, -EINTR, "interrupted; vdisk%u is still detaching", dev->id);
	if (left)
		vdisk_end_work(dev);
	if (!left || !dev->detach_error)
		return 0;
	if (dev->detach_lost)
		return vd_fail(err, dev->detach_error,
			       "vdisk%u is detached, but its last commit failed (%d): recent writes may be lost",
			       dev->id, dev->detach_error);
	return vd_fail(err, dev->detach_error,
		       "vdisk%u is detached and everything is written, but the image could not be closed (%d): the next attach checks it",
		       dev->id, dev->detach_error);
}

static int vdisk_detach_lazy(struct vdisk_device *dev, struct vd_error *err)
{
	u32 openers;
	int ret;

	ret = vdisk_lock_ctl(dev, err);
	if (ret)
		return ret;
	ret = vdisk_lock_open(dev, err);
	if (ret) {
		mutex_unlock(&dev->ctl_mutex);
		return ret;
	}
	WRITE_ONCE(dev->flags, dev->flags | VDISK_F_AUTOCLEAR);
	dev->quiet_changed &= ~VDISK_F_AUTOCLEAR;
	dev->armed = true;
	mutex_unlock(&dev->disk->open_mutex);
	ret = vdisk_claim_unused(dev, true, &openers);
	mutex_unlock(&dev->ctl_mutex);
	if (ret == -EBUSY)
		return 0;
	if (ret == -EINTR)
		return vd_fail(err, -EINTR, "interrupted");
	if (!ret)
		vdisk_start_detach(dev);
	return vdisk_await(dev, err);
}

/* No mutex here that a stuck file system could hold. */
static int vdisk_detach_force(struct vdisk_device *dev)
{
	struct vdisk_scope scope;

	WRITE_ONCE(dev->dead, true);
	/* Pairs with the list additions: what slips past is failed by its server. */
	smp_mb();
	mutex_lock(&dev->fail_lock);
	if (!dev->drained) {
		/* Reclaim could wait for the very file that hangs. */
		vdisk_scope_enter(dev, &scope);
		vdisk_fail_queued(dev);
		vdisk_scope_leave(&scope);
	}
	mutex_unlock(&dev->fail_lock);
	if (vdisk_claim(dev))
		vdisk_start_detach(dev);
	if (wait_for_completion_timeout(&dev->gone, VDISK_WAIT))
		vdisk_end_work(dev);
	return 0;
}

/*
 * 0, or -errno with a sentence. After 0 the device may still be there: waiting
 * for its last close (lazy) or for a file (DYING); the state tells.
 */
int vdisk_detach(struct vdisk_device *dev, int mode, struct vd_error *err)
{
	u32 openers;
	int ret;

	if (mode == VDISK_DETACH_FORCE)
		return vdisk_detach_force(dev);
	if (mode == VDISK_DETACH_LAZY)
		return vdisk_detach_lazy(dev, err);
	ret = vdisk_claim_unused(dev, true, &openers);
	if (ret == -EBUSY)
		return vd_fail(err, ret, "vdisk%u is busy: %u opener%s", dev->id, openers,
			       openers == 1 ? "" : "s");
	if (ret == -EINTR)
		return vd_fail(err, ret, "interrupted");
	if (!ret)
		vdisk_start_detach(dev);
	return vdisk_await(dev, err);
}

/* --- changing flags --- */

static int vdisk_check_set(struct vdisk_device *dev, u32 flags, u32 mask, bool force,
			   struct vd_error *err)
{
	bool was_ro = dev->flags & VDISK_F_RDONLY;

	if (mask & ~VDISK_F_SETTABLE)
		return vd_fail(err, -EINVAL, "flags %#x cannot be changed",
			       mask & ~VDISK_F_SETTABLE);
	if (!(mask & VDISK_F_RDONLY))
		return 0;
	if (was_ro && !(flags & VDISK_F_RDONLY) && (dev->flags & VDISK_F_HARD_RDONLY))
		return vd_fail(err, -EROFS,
			       "vdisk%u was attached read-only; making it writable needs a new attach",
			       dev->id);
	if (!was_ro && (flags & VDISK_F_RDONLY) && dev->write_opens && !force)
		return vd_fail(err, -EBUSY, "vdisk%u is open for writing", dev->id);
	return 0;
}

static bool vdisk_count_write(struct request *rq, void *data)
{
	if (op_is_write(req_op(rq)))
		(*(u32 *)data)++;
	return true;
}

/*
 * Writes that passed the check before the flag changed end here. New ones are
 * refused, so the count can only fall; reads go on, nothing is frozen.
 */
static int vdisk_drain_writes(struct vdisk_device *dev, struct vd_error *err)
{
	unsigned long end = jiffies + VDISK_WAIT;
	u32 writes;

	/* Who read the old flags in queue_rq has started its request by then. */
	synchronize_rcu();
	for (;;) {
		writes = 0;
		blk_mq_tagset_busy_iter(&dev->set, vdisk_count_write, &writes);
		if (!writes)
			return 0;
		if (time_after(jiffies, end))
			return vd_fail(err, -EBUSY, "vdisk%u: %u writes are still inside a file",
				       dev->id, writes);
		schedule_timeout_uninterruptible(1);
	}
}

/*
 * The end of writing, for a SET that makes the disk read-only. In a worker: a
 * signal to whoever asked must not become an error of the files, and generic
 * netlink must not wait for them.
 */
void vdisk_quiet_fn(struct work_struct *work)
{
	struct vdisk_device *dev = container_of(work, struct vdisk_device, quiet_work);
	int ret;

	ret = vdisk_drain_writes(dev, &dev->quiet_err);
	if (!ret && vdisk_end_write(dev))
		ret = vd_fail(&dev->quiet_err, -EIO,
			      "vdisk%u: the commit before read-only failed", dev->id);
	mutex_lock(&dev->ctl_mutex);
	if (ret) {
		WRITE_ONCE(dev->flags, dev->flags ^ dev->quiet_changed);
		set_disk_ro(dev->disk, false);
	} else {
		disk_uevent(dev->disk, KOBJ_CHANGE);
		vdisk_event(dev, VDISK_EVENT_CHANGE);
	}
	dev->quieting = false;
	complete_all(&dev->quiet_done);
	mutex_unlock(&dev->ctl_mutex);
}

/* 0: no such work is under way. */
static int vdisk_await_quiet(struct vdisk_device *dev, struct vd_error *err)
{
	long left = wait_for_completion_killable_timeout(&dev->quiet_done, 2 * VDISK_WAIT);

	if (left < 0)
		return vd_fail(err, -EINTR, "interrupted; vdisk%u is still becoming read-only",
			       dev->id);
	if (!left)
		return vd_fail(err, -EINPROGRESS,
			       "vdisk%u is becoming read-only; its files are still being written",
			       dev->id);
	return 0;
}

static int vdisk_set_flags(struct vdisk_device *dev, u32 flags, u32 mask, bool force,
			   struct vd_error *err)
{
	int ret = vdisk_lock_open(dev, err);

	if (ret)
		return ret;
	if (READ_ONCE(dev->state) != VDISK_STATE_LIVE)
		ret = vd_fail(err, -ENODEV, "vdisk%u is being detached", dev->id);
	else
		ret = vdisk_check_set(dev, flags, mask, force, err);
	if (!ret)
		WRITE_ONCE(dev->flags, (dev->flags & ~mask) | (flags & mask));
	mutex_unlock(&dev->disk->open_mutex);
	return ret;
}

/* Of the work that has ended, unless somebody has started the next one. */
static int vdisk_quiet_result(struct vdisk_device *dev, struct vd_error *err)
{
	int ret = vdisk_lock_ctl(dev, err);

	if (ret)
		return ret;
	if (dev->quieting)
		ret = vd_fail(err, -EINPROGRESS, "vdisk%u is becoming read-only", dev->id);
	else if (dev->quiet_err.code)
		ret = vd_fail(err, dev->quiet_err.code, "%s", dev->quiet_err.text);
	mutex_unlock(&dev->ctl_mutex);
	return ret;
}

/* Under ctl_mutex: true if the end of writing goes on in a worker. */
static bool vdisk_set_locked(struct vdisk_device *dev, u32 old)
{
	u32 changed = old ^ dev->flags;

	if (changed & VDISK_F_RDONLY)
		set_disk_ro(dev->disk, !(old & VDISK_F_RDONLY));
	if (!(changed & ~old & VDISK_F_RDONLY)) {
		disk_uevent(dev->disk, KOBJ_CHANGE);
		vdisk_event(dev, VDISK_EVENT_CHANGE);
		return false;
	}
	dev->quieting = true;
	dev->quiet_changed = changed;
	memset(&dev->quiet_err, 0, sizeof(dev->quiet_err));
	reinit_completion(&dev->quiet_done);
	queue_work(dev->wq, &dev->quiet_work);
	return true;
}

/*
 * All of the flags or none of them. Waits for files, but not for long:
 * -EINPROGRESS asks for the same once more.
 */
int vdisk_set(struct vdisk_device *dev, u32 flags, u32 mask, bool force, struct vd_error *err)
{
	bool quiet = false;
	u32 old;
	int ret;

	ret = vdisk_await_quiet(dev, err);
	if (!ret)
		ret = vdisk_lock_ctl(dev, err);
	if (ret)
		return ret;
	old = dev->flags;
	if (dev->quieting)
		ret = vd_fail(err, -EINPROGRESS, "vdisk%u is becoming read-only", dev->id);
	else
		ret = vdisk_set_flags(dev, flags, mask, force, err);
	if (!ret)
		quiet = vdisk_set_locked(dev, old);
	mutex_unlock(&dev->ctl_mutex);
	if (!quiet)
		return ret;
	ret = vdisk_await_quiet(dev, err);
	return ret ? ret : vdisk_quiet_result(dev, err);
}
