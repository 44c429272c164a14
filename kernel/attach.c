// SPDX-License-Identifier: GPL-2.0-only
/* Building a device out of a checked ATTACH message, step by step. */
#include <linux/blkdev.h>
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/pagemap.h>

#include "compat.h"
#include "trace.h"
#include "vdisk.h"
#include "vdisk/caps.h"

static void vdisk_free_arrays(struct vdisk_device *dev)
{
	u32 i;

	for (i = 0; dev->paths && i < dev->chain_images; i++)
		kfree(dev->paths[i]);
	kfree(dev->paths);
	kfree(dev->images);
	kfree(dev->name);
	kfree(dev->uuid);
	kvfree(dev->files);
	kvfree(dev->vfiles);
	kfree(dev->queues);
	free_page((unsigned long)dev->bounce);
}

/* Nothing refers to the device any more: only memory is left. */
void vdisk_device_free(struct vdisk_device *dev)
{
	if (dev->have_set)
		blk_mq_free_tag_set(&dev->set);
	vdisk_free_arrays(dev);
	kfree(dev);
	module_put(THIS_MODULE);
}

static int vdisk_alloc_parts(struct vdisk_device *dev, struct vdisk_attach *a)
{
	u32 i;

	dev->chain_images = a->nr_images;
	dev->images = kmemdup(a->images, a->nr_images * sizeof(*a->images), GFP_KERNEL);
	dev->name = kstrdup(a->name ?: "", GFP_KERNEL);
	dev->uuid = kstrdup(a->uuid ?: "", GFP_KERNEL);
	dev->paths = kcalloc(a->nr_images, sizeof(*dev->paths), GFP_KERNEL);
	dev->bounce = (void *)__get_free_page(GFP_KERNEL);
	if (!dev->bounce || !dev->images || !dev->name || !dev->uuid || !dev->paths)
		return -ENOMEM;
	for (i = 0; i < min(a->nr_paths, a->nr_images); i++) {
		dev->paths[i] = kstrdup(a->paths[i], GFP_KERNEL);
		if (!dev->paths[i])
			return -ENOMEM;
	}
	return 0;
}

static struct vdisk_device *vdisk_device_alloc(struct vdisk_attach *a)
{
	struct vdisk_device *dev = kzalloc(sizeof(*dev), GFP_KERNEL);
	int i;

	if (!dev)
		return ERR_PTR(-ENOMEM);
	/* The caller has a reference. */
	__module_get(THIS_MODULE);
	kref_init(&dev->refs);
	dev->state = VDISK_STATE_NEW;
	dev->flags = a->flags & (VDISK_F_SETTABLE | VDISK_F_HARD_RDONLY | VDISK_F_NO_PARTSCAN |
				 VDISK_F_BUFFERED);
	dev->sector_size = a->sector_size;
	spin_lock_init(&dev->list_lock);
	spin_lock_init(&dev->unit_lock);
	init_waitqueue_head(&dev->unit_wait);
	init_waitqueue_head(&dev->rescue_wait);
	vdisk_slow_setup(dev);
	mutex_init(&dev->ctl_mutex);
	mutex_init(&dev->fail_lock);
	vdisk_write_setup(dev);
	mutex_init(&dev->bounce_lock);
	init_completion(&dev->gone);
	init_completion(&dev->closed);
	init_completion(&dev->quiet_done);
	complete_all(&dev->quiet_done);
	INIT_WORK(&dev->quiet_work, vdisk_quiet_fn);
	INIT_WORK(&dev->sync_work, vdisk_sync_fn);
	INIT_WORK(&dev->error_work, vdisk_error_fn);
	INIT_WORK(&dev->detach_work, vdisk_detach_fn);
	for (i = 0; i < VDISK_SLOW_WORKERS; i++) {
		dev->slow[i].dev = dev;
		INIT_WORK(&dev->slow[i].work, vdisk_slow_fn);
	}
	if (vdisk_alloc_parts(dev, a)) {
		vdisk_device_free(dev);
		return ERR_PTR(-ENOMEM);
	}
	return dev;
}

static int vdisk_open_members(struct vdisk_device *dev, struct vdisk_attach *a,
			      struct vd_error *err)
{
	int ret;

	dev->files = kvcalloc(a->nr_members, sizeof(*dev->files), GFP_KERNEL);
	dev->vfiles = kvcalloc(a->nr_members, sizeof(*dev->vfiles), GFP_KERNEL);
	if (!dev->files || !dev->vfiles)
		return vd_fail(err, -ENOMEM, "no memory for %u members", a->nr_members);
	while (dev->nr_files < a->nr_members) {
		u32 i = dev->nr_files;

		ret = vdisk_file_open(dev, &a->members[i], &a->files[i], i, &dev->files[i],
				      err);
		if (ret)
			return ret;
		dev->vfiles[i] = &dev->files[i]->vf;
		dev->nr_files++;
	}
	dev->cred = get_cred(dev->files[0]->file->f_cred);
	return 0;
}

/* Files, caches and locks end here, after the last request. May sleep. */
void vdisk_release_members(struct vdisk_device *dev)
{
	vdisk_units_release(dev);
	if (dev->shrinker)
		vdisk_shrinker_free(dev->shrinker, dev->shrinker_on);
	dev->shrinker = NULL;
	if (dev->chain)
		vd_chain_close(dev->chain);
	dev->chain = NULL;
	while (dev->nr_files)
		vdisk_file_close(dev->files[--dev->nr_files]);
	if (dev->cred)
		put_cred(dev->cred);
	dev->cred = NULL;
}

/* A device that writes needs members that the whole top image may write. */
static int vdisk_check_mode(struct vdisk_device *dev, struct vd_error *err)
{
	struct vd_image *top = &dev->chain->images[0];
	bool writable = true;
	u32 i;

	for (i = 0; i < top->nr_segs; i++) {
		struct vd_segment *seg = &top->segs[i];

		if (!seg->writable)
			writable = false;
	}
	if (writable || (dev->flags & VDISK_F_HARD_RDONLY))
		return 0;
	return vd_fail(err, -EROFS,
		       "the image cannot be written in place; attach it read-only");
}

static int vdisk_open_chain(struct vdisk_device *dev, struct vdisk_attach *a,
			    struct vd_error *err)
{
	struct vd_chain_desc desc = {
		.files = dev->vfiles, .nr_files = dev->nr_files,
		.images = a->images, .nr_images = a->nr_images,
		.segments = a->segments, .nr_segments = a->nr_segments,
		.patches = a->patches, .nr_patches = a->nr_patches,
	};
	u32 i;
	int ret;

	/* Headers are read before the mode is known to suit: that is buffered. */
	ret = vd_chain_open(&desc, &dev->chain, err);
	if (ret)
		return ret;
	if (!dev->chain->size || !IS_ALIGNED(dev->chain->size, dev->sector_size))
		return vd_fail(err, -EINVAL, "the disk's size %llu is no multiple of %u bytes",
			       dev->chain->size, dev->sector_size);
	for (i = 0; i < dev->chain->nr_segs; i++)
		dev->map_inline |= VDISK_SEG_FORMAT(dev->chain->segs[i].kind) != VDISK_FORMAT_RAW;
	return vdisk_check_mode(dev, err);
}

static bool vdisk_has_segment(struct vdisk_device *dev, struct vdisk_file *vfile)
{
	u32 i;

	for (i = 0; i < dev->chain->nr_segs; i++)
		if (dev->chain->segs[i].file == &vfile->vf)
			return true;
	return false;
}

/* May data and tables of every segment on this file be reached by direct I/O? */
static bool vdisk_wants_direct(struct vdisk_device *dev, struct vdisk_file *vfile)
{
	u32 i;

	if (dev->flags & VDISK_F_BUFFERED)
		return false;
	for (i = 0; i < dev->chain->nr_segs; i++) {
		struct vd_segment *seg = &dev->chain->segs[i];

		if (seg->file != &vfile->vf)
			continue;
		if (seg->packed || seg->unaligned || !IS_ALIGNED(seg->file_off, dev->io_align) ||
		    seg->format->host_align % dev->io_align)
			return false;
	}
	return true;
}

static void vdisk_choose_modes(struct vdisk_device *dev)
{
	struct vdisk_file *vfile;
	u32 i;

	for (i = 0; i < dev->nr_files; i++) {
		vfile = dev->files[i];
		/* A descriptor: a few bytes of text, of any length. */
		if (!vdisk_has_segment(dev, vfile)) {
			vdisk_file_set_mode(vfile, false);
			continue;
		}
		vdisk_file_probe_dio(vfile);
		dev->io_align = vfile->dio_align ?: SECTOR_SIZE;
		vdisk_file_set_mode(vfile, vfile->dio_align <= dev->sector_size &&
					   vdisk_wants_direct(dev, vfile));
		if (!vfile->direct)
			dev->flags |= VDISK_F_BUFFERED;
		if (mapping_stable_writes(vfile->file->f_mapping))
			dev->stable_writes = true;
	}
}

static unsigned long vdisk_shrink_count(struct shrinker *s, struct shrink_control *sc)
{
	struct vdisk_device *dev = vdisk_shrinker_data(s);
	u32 count = vd_meta_count(dev->chain->meta);

	/* The reserve keeps its memory whatever it holds. */
	return count > VD_META_RESERVE ? count - VD_META_RESERVE : SHRINK_EMPTY;
}

static unsigned long vdisk_shrink_scan(struct shrinker *s, struct shrink_control *sc)
{
	struct vdisk_device *dev = vdisk_shrinker_data(s);

	return vd_meta_shrink(dev->chain->meta, sc->nr_to_scan);
}

static int vdisk_start_shrinker(struct vdisk_device *dev)
{
	int ret;

	dev->shrinker = vdisk_shrinker_new(dev);
	if (!dev->shrinker)
		return -ENOMEM;
	dev->shrinker->count_objects = vdisk_shrink_count;
	dev->shrinker->scan_objects = vdisk_shrink_scan;
	dev->shrinker->seeks = DEFAULT_SEEKS;
	ret = vdisk_shrinker_register(dev->shrinker);
	dev->shrinker_on = !ret;
	return ret;
}

static int vdisk_start_thread(struct task_struct **task, int (*fn)(void *), void *data,
			      const char *what, u32 id)
{
	struct task_struct *t = kthread_run(fn, data, "vdisk%u-%s", id, what);

	if (IS_ERR(t))
		return PTR_ERR(t);
	*task = t;
	return 0;
}

static int vdisk_start_threads(struct vdisk_device *dev)
{
	char name[16];
	u32 i;
	int ret;

	for (i = 0; i < dev->nr_queues; i++) {
		snprintf(name, sizeof(name), "q%u", i);
		ret = vdisk_start_thread(&dev->queues[i].task, vdisk_queue_thread, &dev->queues[i],
					 name, dev->id);
		if (ret)
			return ret;
	}
	return vdisk_start_thread(&dev->rescuer, vdisk_rescuer, dev, "slow", dev->id);
}

static int vdisk_start_engine(struct vdisk_device *dev)
{
	int rw, ret;

	for (rw = 0; rw < VDISK_CLASSES; rw++) {
		dev->io_pool[rw] = mempool_create_kmalloc_pool(VDISK_SLOW_WORKERS * 2,
							       sizeof(struct vdisk_io));
		if (!dev->io_pool[rw])
			return -ENOMEM;
	}
	dev->bvec_pool = mempool_create_kmalloc_pool(2, VDISK_RQ_SEGMENTS * sizeof(struct bio_vec));
	if (!dev->bvec_pool)
		return -ENOMEM;
	ret = vdisk_write_init(dev);
	if (ret)
		return ret;
	if (dev->chain->max_unit) {
		ret = vd_unit_prepare(&dev->units[0].unit, dev->chain->max_unit);
		if (ret)
			return ret;
		dev->units[0].prepared = true;
	}
	dev->wq = alloc_workqueue("vdisk%u", WQ_UNBOUND | WQ_FREEZABLE, 0, dev->id);
	if (!dev->wq)
		return -ENOMEM;
	ret = vdisk_start_threads(dev);
	if (ret)
		return ret;
	return vdisk_start_shrinker(dev);
}

void vdisk_stop_engine(struct vdisk_device *dev)
{
	int rw;
	u32 i;

	for (i = 0; dev->queues && i < dev->nr_queues; i++) {
		if (dev->queues[i].task)
			kthread_stop(dev->queues[i].task);
		dev->queues[i].task = NULL;
	}
	if (dev->rescuer)
		kthread_stop(dev->rescuer);
	dev->rescuer = NULL;
	cancel_delayed_work_sync(&dev->later_work);
	vdisk_write_stop(dev);
	if (dev->wq)
		destroy_workqueue(dev->wq);
	dev->wq = NULL;
	for (rw = 0; rw < VDISK_CLASSES; rw++) {
		mempool_destroy(dev->io_pool[rw]);
		dev->io_pool[rw] = NULL;
	}
	mempool_destroy(dev->bvec_pool);
	dev->bvec_pool = NULL;
}

static int vdisk_alloc_queues(struct vdisk_device *dev, u32 wanted)
{
	u32 i;
	int ret;

	dev->nr_queues = wanted ?: min_t(u32, num_online_cpus(), 8);
	dev->queues = kcalloc(dev->nr_queues, sizeof(*dev->queues), GFP_KERNEL);
	if (!dev->queues)
		return -ENOMEM;
	for (i = 0; i < dev->nr_queues; i++) {
		dev->queues[i].dev = dev;
		init_llist_head(&dev->queues[i].batch);
		spin_lock_init(&dev->queues[i].lock);
	}
	dev->set.ops = &vdisk_mq_ops;
	dev->set.nr_hw_queues = dev->nr_queues;
	dev->set.queue_depth = VDISK_DEPTH;
	dev->set.numa_node = NUMA_NO_NODE;
	dev->set.cmd_size = sizeof(struct vdisk_rq);
	dev->set.flags = VDISK_TAG_FLAGS;
	dev->set.driver_data = dev;
	ret = blk_mq_alloc_tag_set(&dev->set);
	dev->have_set = !ret;
	return ret;
}

static void vdisk_fill_limits(struct vdisk_device *dev, struct vdisk_limits *lim)
{
	bool writable = !(dev->flags & VDISK_F_HARD_RDONLY);

	memset(lim, 0, sizeof(*lim));
	lim->logical_block_size = dev->sector_size;
	lim->physical_block_size = max_t(u32, dev->sector_size, 4096);
	lim->io_opt = dev->chain->unit;
	lim->dma_alignment = SECTOR_SIZE - 1;
	lim->stable_writes = dev->stable_writes;
	if (!writable)
		return;
	lim->write_cache = true;
	lim->discard_granularity = max3(dev->sector_size, 4096U, dev->chain->unit);
	/* One request's table walk stays short. */
	lim->max_discard_sectors = 256U << (20 - SECTOR_SHIFT);
	lim->max_write_zeroes_sectors = 256U << (20 - SECTOR_SHIFT);
}

static int vdisk_alloc_gendisk(struct vdisk_device *dev)
{
	struct vdisk_limits lim;
	struct gendisk *disk;

	vdisk_fill_limits(dev, &lim);
	disk = vdisk_alloc_disk(&dev->set, &lim, dev);
	if (IS_ERR(disk))
		return PTR_ERR(disk);
	disk->fops = &vdisk_fops;
	disk->private_data = dev;
	snprintf(disk->disk_name, DISK_NAME_LEN, "vdisk%u", dev->id);
	set_capacity(disk, dev->chain->size >> SECTOR_SHIFT);
	if (dev->flags & VDISK_F_NO_PARTSCAN)
		set_bit(GD_SUPPRESS_PART_SCAN, &disk->state);
	set_disk_ro(disk, !!(dev->flags & VDISK_F_RDONLY));
	dev->disk = disk;
	dev->diskseq = disk->diskseq;
	return 0;
}

static int vdisk_check_args(const struct vdisk_attach *a, struct vd_error *err)
{
	if (!a->nr_members || !a->nr_images || !a->nr_segments)
		return vd_fail(err, -EINVAL,
			       "an ATTACH needs members, images and segments; got %u, %u, %u",
			       a->nr_members, a->nr_images, a->nr_segments);
	if (a->sector_size != 512 && a->sector_size != 4096)
		return vd_fail(err, -EINVAL, "sector size %u is neither 512 nor 4096",
			       a->sector_size);
	if (a->queues > 64)
		return vd_fail(err, -EINVAL, "%u queues, at most 64", a->queues);
	if ((a->flags & VDISK_F_HARD_RDONLY) && !(a->flags & VDISK_F_RDONLY))
		return vd_fail(err, -EINVAL, "HARD_RDONLY without RDONLY");
	return 0;
}

/*
 * A worker closes a little later what the scan for partitions has opened. Who is told of
 * the disk is not to find it in use; but this is not worth to wait for ever.
 */
static int vdisk_add_disk(struct vdisk_device *dev)
{
	int ret = device_add_disk(NULL, dev->disk, vdisk_groups);

	/* It does not look whether there was memory for the name, and misses that later. */
	if (ret == -EINVAL && !dev_name(disk_to_dev(dev->disk)))
		ret = -ENOMEM;
	if (!ret && READ_ONCE(dev->opened) && (current->flags & PF_KTHREAD))
		wait_for_completion_timeout(&dev->closed, HZ);
	return ret;
}

/*
 * Make the device, up to a live disk with its partitions scanned. On error
 * nothing stays behind. On success the caller holds a reference.
 */
struct vdisk_device *vdisk_attach(struct vdisk_attach *a, struct vd_error *err)
{
	struct vdisk_device *dev;
	int ret;

	ret = vdisk_check_args(a, err);
	if (ret)
		return ERR_PTR(ret);
	dev = vdisk_device_alloc(a);
	if (IS_ERR(dev))
		return ERR_PTR(vd_fail(err, PTR_ERR(dev), "no memory for a device"));
	ret = vdisk_register(dev, a->id);
	if (ret == -ENOMEM)
		vd_fail(err, ret, "no memory for a device number");
	else if (ret)
		vd_fail(err, ret, ret == -EEXIST ? "vdisk%lld exists already" :
			"no device number free (wanted %lld)", a->id);
	if (ret)
		goto out_free;
	ret = vdisk_open_members(dev, a, err);
	if (!ret)
		ret = vdisk_open_chain(dev, a, err);
	if (ret)
		goto out_members;
	vdisk_choose_modes(dev);
	ret = vdisk_alloc_queues(dev, a->queues);
	if (!ret)
		ret = vdisk_start_engine(dev);
	if (!ret)
		ret = vdisk_alloc_gendisk(dev);
	if (ret) {
		vd_fail(err, ret, "cannot set up the block device (%d)", ret);
		goto out_engine;
	}
	WRITE_ONCE(dev->state, VDISK_STATE_LIVE);
	ret = vdisk_add_disk(dev);
	if (ret) {
		WRITE_ONCE(dev->state, VDISK_STATE_DYING);
		vd_fail(err, ret, "cannot add the disk (%d)", ret);
		goto out_engine;
	}
	dev->added = true;
	dev->major = MAJOR(disk_devt(dev->disk));
	dev->minor = MINOR(disk_devt(dev->disk));
	trace_vdisk_attach(dev->id, dev->chain->size);
	kref_get(&dev->refs);
	/* From here on others find it, and may detach it. */
	smp_store_release(&dev->listed, true);
	vdisk_event(dev, VDISK_EVENT_ATTACH);
	return dev;

out_engine:
	vdisk_stop_engine(dev);
	vdisk_write_exit(dev);
out_members:
	vdisk_release_members(dev);
	vdisk_unregister(dev);
out_free:
	vdisk_put(dev);
	return ERR_PTR(ret);
}
