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

/* A forced detach answers within this, whatever a file system does. */
#define VDISK_FORCE_WAIT	(3 * HZ / 2)

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

static void vdisk_kref_free(struct kref *refs)
{
	vdisk_device_free(container_of(refs, struct vdisk_device, refs));
}

void vdisk_put(struct vdisk_device *dev)
{
	kref_put(&dev->refs, vdisk_kref_free);
}

struct vdisk_device *vdisk_get(u32 id)
{
	struct vdisk_device *dev;

	xa_lock(&vdisk_devices);
	dev = xa_load(&vdisk_devices, id);
	if (dev && (READ_ONCE(dev->state) == VDISK_STATE_NEW || !kref_get_unless_zero(&dev->refs)))
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
	while (dev && (READ_ONCE(dev->state) == VDISK_STATE_NEW ||
		       !kref_get_unless_zero(&dev->refs)))
		dev = xa_find_after(&vdisk_devices, &index, ULONG_MAX, XA_PRESENT);
	xa_unlock(&vdisk_devices);
	*id = index;
	return dev;
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
	return 0;
}

static void vdisk_release(VDISK_RELEASE_ARGS)
{
	struct vdisk_device *dev = disk->private_data;

	if (disk_openers(disk))
		return;
	dev->write_opens = false;
	if (dev->armed && (READ_ONCE(dev->flags) & VDISK_F_AUTOCLEAR))
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
	vdisk_put(disk->private_data);
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

	if (READ_ONCE(cmd->inside))
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

/* LIVE to DYING, so that no open succeeds any more. Forced: whoever has it open. */
static bool vdisk_claim_for_detach(struct vdisk_device *dev, bool force, u32 *openers)
{
	struct gendisk *disk = dev->disk;
	bool ok = false;

	mutex_lock(&disk->open_mutex);
	*openers = disk_openers(disk);
	if (READ_ONCE(dev->state) == VDISK_STATE_LIVE && (force || !*openers)) {
		WRITE_ONCE(dev->state, VDISK_STATE_DYING);
		ok = true;
	}
	mutex_unlock(&disk->open_mutex);
	return ok;
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
	vdisk_stop_engine(dev);
	dev->detach_error = vdisk_flush_files(dev);
	vdisk_release_members(dev);
	put_disk(dev->disk);
	vdisk_unregister(dev);
	trace_vdisk_detach(dev->id, size);
	/* As before it was there: who still holds a reference finds no device. */
	WRITE_ONCE(dev->state, VDISK_STATE_NEW);
	vdisk_event(dev, VDISK_EVENT_DETACH);
	complete_all(&dev->gone);
	vdisk_put(dev);		/* the registry's */
}

/* Holds one reference on entry. */
void vdisk_detach_fn(struct work_struct *work)
{
	struct vdisk_device *dev = container_of(work, struct vdisk_device, detach_work);
	u32 openers;

	if (READ_ONCE(dev->state) == VDISK_STATE_DYING ||
	    vdisk_claim_for_detach(dev, false, &openers))
		vdisk_teardown(dev);
	vdisk_put(dev);
}

static int vdisk_detach_lazy(struct vdisk_device *dev)
{
	u32 openers;

	mutex_lock(&dev->ctl_mutex);
	WRITE_ONCE(dev->flags, dev->flags | VDISK_F_AUTOCLEAR);
	mutex_lock(&dev->disk->open_mutex);
	dev->armed = true;
	mutex_unlock(&dev->disk->open_mutex);
	mutex_unlock(&dev->ctl_mutex);
	if (!vdisk_claim_for_detach(dev, false, &openers))
		return 0;
	vdisk_start_detach(dev);
	wait_for_completion_killable(&dev->gone);
	return dev->detach_error;
}

static int vdisk_detach_force(struct vdisk_device *dev)
{
	u32 openers;

	WRITE_ONCE(dev->dead, true);
	/* Pairs with the list additions: what slips past is failed by its server. */
	smp_mb();
	vdisk_fail_queued(dev);
	if (vdisk_claim_for_detach(dev, true, &openers))
		vdisk_start_detach(dev);
	wait_for_completion_timeout(&dev->gone, VDISK_FORCE_WAIT);
	return 0;
}

/* 0, or -errno with a sentence. The device may still be dying after 0: see state. */
int vdisk_detach(struct vdisk_device *dev, int mode, struct vd_error *err)
{
	u32 openers;

	if (mode == VDISK_DETACH_FORCE)
		return vdisk_detach_force(dev);
	if (mode == VDISK_DETACH_LAZY)
		return vdisk_detach_lazy(dev);
	if (!vdisk_claim_for_detach(dev, false, &openers)) {
		if (READ_ONCE(dev->state) == VDISK_STATE_DYING)
			return vd_fail(err, -EBUSY, "vdisk%u is being detached already", dev->id);
		return vd_fail(err, -EBUSY, "vdisk%u is busy: %u opener%s", dev->id, openers,
			       openers == 1 ? "" : "s");
	}
	vdisk_start_detach(dev);
	if (wait_for_completion_killable(&dev->gone))
		return vd_fail(err, -EINTR, "interrupted; vdisk%u is still detaching", dev->id);
	if (dev->detach_error)
		return vd_fail(err, dev->detach_error,
			       "vdisk%u is detached, but its last flush failed (%d): recent writes may be lost",
			       dev->id, dev->detach_error);
	return 0;
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
static int vdisk_drain_writes(struct vdisk_device *dev)
{
	u32 writes;

	for (;;) {
		writes = 0;
		blk_mq_tagset_busy_iter(&dev->set, vdisk_count_write, &writes);
		if (!writes)
			return vdisk_flush_files(dev);
		if (schedule_timeout_killable(1) && fatal_signal_pending(current))
			return -EINTR;
	}
}

int vdisk_set(struct vdisk_device *dev, u32 flags, u32 mask, bool force, struct vd_error *err)
{
	bool to_ro, to_rw;
	int ret;

	mutex_lock(&dev->ctl_mutex);
	mutex_lock(&dev->disk->open_mutex);
	if (READ_ONCE(dev->state) != VDISK_STATE_LIVE)
		ret = vd_fail(err, -ENODEV, "vdisk%u is being detached", dev->id);
	else
		ret = vdisk_check_set(dev, flags, mask, force, err);
	if (!ret) {
		to_ro = (mask & flags & VDISK_F_RDONLY) && !(dev->flags & VDISK_F_RDONLY);
		to_rw = (mask & ~flags & VDISK_F_RDONLY) && (dev->flags & VDISK_F_RDONLY);
		WRITE_ONCE(dev->flags, (dev->flags & ~mask) | (flags & mask));
	}
	mutex_unlock(&dev->disk->open_mutex);
	if (ret)
		goto out;
	if (to_ro || to_rw)
		set_disk_ro(dev->disk, to_ro);
	if (to_ro)
		ret = vdisk_drain_writes(dev);
	if (ret)
		vd_fail(err, ret, "vdisk%u is read-only now, but its flush failed (%d)", dev->id,
			ret);
	disk_uevent(dev->disk, KOBJ_CHANGE);
	vdisk_event(dev, VDISK_EVENT_CHANGE);
out:
	mutex_unlock(&dev->ctl_mutex);
	return ret;
}
