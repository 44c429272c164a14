/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vdisk: disk images as block devices, the kernel side.
 *
 * Lock order, outermost first:
 *
 *	vdisk_device.ctl_mutex	SET against SET, and who queues a device's works against
 *				detach; never held over add_disk or del_gendisk, nor
 *				over file I/O, never taken on the I/O path
 *	vdisk_device.fail_lock	a forced detach that fails requests, against the end
 *				of the chain; alone
 *	gendisk.open_mutex	the block core's; claiming a device for detach
 *	vdisk_device.fill_lock	the inflated unit for parts of units; workers
 *	the chain's alloc, commit and flush locks (alloc.h); workers
 *	vdisk_device.bounce_lock one misaligned metadata read of a direct file
 *	vdisk_claims_lock	mutex: which inode is a member of which device
 *	vdisk_queue.lock	spinlock: the rest of a batch
 *	vdisk_device.list_lock	spinlock: queued slow commands
 *	vdisk_device.unit_lock	spinlock: who has which inflated unit
 *	the chain's and the metadata cache's spinlocks; a token's end calls who
 *				waits for it with neither held
 *
 * No spinlock of ours is taken in interrupt context: completions touch only
 * atomics, the lock-free lists and, for a retry, an irq-safe list.
 *
 * A file system is entered from workers and the device's own threads, never
 * from queue_rq.
 */
#ifndef VDISK_H
#define VDISK_H

#include <linux/blk-mq.h>
#include <linux/completion.h>
#include <linux/fs.h>
#include <linux/kref.h>
#include <linux/llist.h>
#include <linux/mempool.h>
#include <linux/mutex.h>
#include <linux/uio.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/vdisk.h>

#include "vdisk/alloc.h"
#include "vdisk/image.h"

struct genl_info;
struct vdisk_rq;
struct vdisk_device;

#define VDISK_DEPTH		128
#define VDISK_SLOW_WORKERS	4
#define VDISK_UNITS		8
#define VDISK_BATCH_LOOK	32
#define VDISK_BATCH_TRUST	2048
#define VDISK_INLINE_BVECS	4
#define VDISK_MAX_DEVICES	(1U << 20)
#define VDISK_FILL_BYTES	65536U
#define VDISK_PACK_TIME		(2 * HZ)	/* filling holes when writing ends */
#define VDISK_PACK_BYTES	(16U << 20)	/* of memory for that */
#define VDISK_RETRY_MAX_MS	100
#define VDISK_READ_TRIES	50
#define VDISK_END_TRIES		50
#define VDISK_COMMIT_DELAY	(5 * HZ)

/**
 * struct vdisk_file - a member: vd_file over a struct file
 * @vf: what shared code sees
 * @file: reference held from attach to the end of detach
 * @inode: of the member; for a block device the bdev's own inode
 * @dev: device that claims it (claims list)
 * @claim: on the global list, under vdisk_claims_lock
 * @direct: every transfer is O_DIRECT, else every transfer is buffered
 * @nowait: the file system honours IOCB_NOWAIT for direct transfers
 * @denied: holds deny_write_access()
 * @dio_align, @dio_mem: offset and memory alignment of direct transfers
 * @blocked_writes: blocking writes under way: NOWAIT would only contend
 * @wb_since: write-back errors after this are ours
 */
struct vdisk_file {
	struct vd_file vf;
	struct file *file;
	struct inode *inode;
	struct vdisk_device *dev;
	struct list_head claim;
	bool direct;
	bool nowait;
	bool denied;
	u32 dio_align;
	u32 dio_mem;
	atomic_t blocked_writes;
	errseq_t wb_since;
};

static inline struct vdisk_file *to_vdisk_file(struct vd_file *vf)
{
	return container_of(vf, struct vdisk_file, vf);
}

/**
 * struct vdisk_io - one transfer of a command to or from one file
 * @iocb: the kernel's; lives until both submitter and completion let go (@ref)
 * @off: byte of the command where it begins
 * @file_pos, @len: where in the file, how much
 * @done: bytes transferred so far; short transfers go on from there
 * @nowait: issued so; -EAGAIN then means "try again where you may block"
 * @dsync: durable when it ends
 * @ended: on the retry list not to be issued again, but to end where that may
 *	sleep
 * @alloc: token whose place it fills; the command walks on when it has ended
 */
struct vdisk_io {
	struct kiocb iocb;
	struct vdisk_rq *cmd;
	struct vdisk_file *file;
	struct llist_node retry;
	u64 file_pos;
	u32 off;
	u32 len;
	u32 done;
	bool nowait;
	bool write;
	bool dsync;
	bool ended;
	u8 attempts;
	struct vd_alloc *alloc;
	long ret;
	atomic_t ref;
};

/**
 * struct vdisk_rq - a request's private data
 * @node: on a hardware queue's batch
 * @slow: on the device's list of commands that wait, under list_lock
 * @inside: transfers and slow operations that a file has now
 * @remaining: transfers under way plus one for whoever maps
 * @mapped: bytes mapped and handed out so far
 * @bvec: the request's pages: its only bio's array, @inline_bvec, a mempool
 *	element, or allocated
 * @bvec_skip: bytes of bvec[0] before the request's first
 * @bvec_owned: @bvec goes back at the end
 * @error: first errno that failed it, 0 so far
 * @entered, @epoch: it uses the map's answers, see vd_io_enter()
 * @commit: durable only after a commit; it waits for one at its end
 * @made_room: it has asked for space that was freed
 * @waiter: for a token that somebody else has
 * @ext: answer that queue_rq got, if @have_ext
 * @io: the first transfer; others come from a mempool
 */
struct vdisk_rq {
	struct llist_node node;
	struct list_head slow;
	atomic_t remaining;
	atomic_t inside;
	int error;
	u32 mapped;
	u32 nr_bvec;
	struct bio_vec *bvec;
	u32 bvec_skip;
	bool bvec_owned;
	bool have_ext;
	bool io_used;
	bool entered;
	bool commit;
	bool made_room;
	unsigned int epoch;
	struct vd_waiter waiter;
	struct vd_extent ext;
	struct bio_vec inline_bvec[VDISK_INLINE_BVECS];
	struct vdisk_io io;
};

/*
 * A hardware queue: commands collected by queue_rq, drained as one batch by a
 * thread of its own. @todo is the rest of the batch under way, in order, under
 * @lock: a forced detach can fail it while the thread is stuck. @batching, @wakes,
 * @cmds: the thread's own, see vdisk_queue_adapt().
 */
struct vdisk_queue {
	struct llist_head batch;
	spinlock_t lock;
	struct llist_node *todo;
	struct task_struct *task;
	struct vdisk_device *dev;
	bool batching;
	u32 wakes;
	u32 cmds;
};

/**
 * struct vdisk_waiting - what waits for a worker
 * @retry: transfers that have begun; any context
 * @todo: the rest of those taken from @retry, in order of arrival (list_lock)
 * @cmds: commands (list_lock)
 * @runs: counts what was served: the rescuer sees whether anybody does
 *
 * Reads and writes wait apart: a write may sit in a file system for as long as
 * that is frozen, and reads have a worker that takes nothing else.
 */
struct vdisk_waiting {
	struct llist_head retry;
	struct llist_node *todo;
	struct list_head cmds;
	unsigned long runs;
};

enum { VDISK_READS, VDISK_WRITES, VDISK_CLASSES };

struct vdisk_slow {
	struct work_struct work;
	struct vdisk_device *dev;
	bool busy;
};

/* An inflated unit; busy while somebody fills or copies from it. */
struct vdisk_unit {
	struct vd_unit unit;
	bool busy;
	bool prepared;
	unsigned long stamp;
};

/**
 * struct vdisk_device - /dev/vdiskN
 * @refs: the registry, look-ups, works; the last one puts the gendisk, whose
 *	->free_disk frees the memory
 * @added: device_add_disk() succeeded
 * @listed: look-ups find it (release/acquire); not before it is complete
 * @state: enum vdisk_state; LIVE to DYING under open_mutex
 * @dead: forced detach: fail whatever no file has yet
 * @slow: workers; the first takes only reads
 * @later: transfers that failed for a reason that will pass; @later_work lets
 *	them be tried again
 * @flushes: commands that wait for a commit; @commit_work serves them, and
 *	@commit_later what nobody asks for
 * @alloc_pool, @fill_pool: NULL if nothing is ever allocated
 * @fill_unit, @fill_lock: for packed parents of a unit in the making
 * @flags: VDISK_F_*, one word swapped whole; writers hold ctl_mutex
 * @cred: of the opener of the files; all I/O runs with it
 * @write_opens: somebody opened it for writing since it was last fully closed
 *	(under open_mutex)
 * @armed: AUTOCLEAR may act: asked for by a lazy detach, or somebody has held
 *	the disk exclusively since (a mount; not udev having a look)
 * @drained: no request is left, and the chain may go (fail_lock)
 * @detach_error, @detach_lost: of the last commit; was anything lost with it?
 * @sync_work: commits, or (@sync_ends) ends all writing, before sleep and reboot
 * @quiet_work: ends writing for a SET; under way while @quieting (ctl_mutex), then
 *	@quiet_done; on an error (@quiet_err) @quiet_changed flags change back
 * @bounce: one page for misaligned metadata reads of direct files
 * @bounce_lock: its user, across one read; nothing else is taken under it
 * @opened: somebody has had it open, attach's scan for partitions to begin with
 * @closed: completed when nobody has it open any more
 * @gone: completed when files are closed and locks released
 */
struct vdisk_device {
	struct kref refs;
	u32 id;
	int state;
	bool dead;
	bool map_inline;
	bool added;
	bool listed;
	u32 flags;
	struct gendisk *disk;
	struct blk_mq_tag_set set;
	bool have_set;
	struct vdisk_queue *queues;
	u32 nr_queues;

	struct workqueue_struct *wq;
	struct vdisk_slow slow[VDISK_SLOW_WORKERS];
	spinlock_t list_lock;
	struct vdisk_waiting waiting[VDISK_CLASSES];
	struct llist_head later;
	struct delayed_work later_work;
	struct llist_head flushes;
	struct work_struct commit_work;
	struct delayed_work commit_later;
	struct task_struct *rescuer;
	wait_queue_head_t rescue_wait;
	bool watch;

	mempool_t *io_pool[VDISK_CLASSES];
	mempool_t *bvec_pool;
	mempool_t *alloc_pool;
	mempool_t *fill_pool;
	struct vd_unit fill_unit;
	struct mutex fill_lock;
	const struct cred *cred;
	void *bounce;
	struct mutex bounce_lock;

	struct vd_chain *chain;
	struct vdisk_file **files;
	struct vd_file **vfiles;
	u32 nr_files;
	struct vdisk_unit units[VDISK_UNITS];
	spinlock_t unit_lock;
	wait_queue_head_t unit_wait;
	struct shrinker *shrinker;
	bool shrinker_on;

	struct mutex ctl_mutex;
	struct mutex fail_lock;
	bool drained;
	struct work_struct error_work;
	struct work_struct detach_work;
	int detach_error;
	bool detach_lost;
	struct work_struct sync_work;
	bool sync_ends;
	struct work_struct quiet_work;
	bool quieting;
	u32 quiet_changed;
	struct vd_error quiet_err;
	struct completion quiet_done;
	bool write_opens;
	bool armed;
	bool opened;
	struct completion closed;
	struct completion gone;

	char *name;
	char *uuid;
	char **paths;			/* one for each image, display only */
	struct vdisk_image_desc *images;
	u32 chain_images;		/* entries of paths and images */
	u32 sector_size;
	u32 io_align;			/* of the file looked at, during attach */
	bool stable_writes;
	u64 diskseq;
	u32 major;
	u32 minor;
	atomic64_t errors;
};

/* Everything an ATTACH message holds, owned by its job. */
struct vdisk_attach {
	s64 id;				/* wanted N, or -1 */
	u32 flags;
	u32 sector_size;
	u32 queues;
	const char *name;
	const char *uuid;
	char **paths;
	u32 nr_paths;
	struct vdisk_member *members;
	struct file **files;		/* of members[].fd, or NULL; attach takes them over */
	u32 nr_members;
	struct vdisk_image_desc *images;
	u32 nr_images;
	struct vdisk_segment_desc *segments;
	u32 nr_segments;
	struct vdisk_patch patches[VDISK_MAX_PATCHES];
	u32 nr_patches;
};

/* Is it to be durable when it is answered? */
static inline bool vdisk_rq_durable(struct vdisk_device *dev, const struct request *rq)
{
	return (rq->cmd_flags & REQ_FUA) && !(READ_ONCE(dev->flags) & VDISK_F_NO_FLUSH);
}

/* module.c */
extern struct workqueue_struct *vdisk_ctl_wq;

/* file.c: may sleep, except where said */
/* Takes *@file over, which becomes NULL, if it is one. */
int vdisk_file_open(struct vdisk_device *dev, const struct vdisk_member *member,
		    struct file **file, u32 index, struct vdisk_file **out, struct vd_error *err);
void vdisk_fput(struct file *file);	/* at once, where a kernel thread does it */
void vdisk_file_close(struct vdisk_file *vfile);
void vdisk_file_probe_dio(struct vdisk_file *vfile);
void vdisk_file_set_mode(struct vdisk_file *vfile, bool want_direct);
u64 vdisk_file_end(const struct vdisk_file *vfile);	/* any context */
bool vdisk_file_is_bdev(const struct vdisk_file *vfile);
extern const struct block_device_operations vdisk_fops;

/* attach.c */
void vdisk_device_free(struct vdisk_device *dev);
void vdisk_stop_engine(struct vdisk_device *dev);
struct vdisk_device *vdisk_attach(struct vdisk_attach *a, struct vd_error *err);
void vdisk_release_members(struct vdisk_device *dev);

/* device.c */
struct vdisk_device *vdisk_get(u32 id);			/* NULL: no such device */
struct vdisk_device *vdisk_get_next(unsigned long *id);	/* from *id on, for dumps */
/* Commit all of them, or end all writing. Sleeps, at most for ten seconds. */
void vdisk_sync_all(bool end);
void vdisk_sync_fn(struct work_struct *work);
void vdisk_quiet_fn(struct work_struct *work);
void vdisk_put(struct vdisk_device *dev);
int vdisk_register(struct vdisk_device *dev, s64 want);	/* 0, -EEXIST, -ENOSPC, -ENOMEM */
void vdisk_unregister(struct vdisk_device *dev);
int vdisk_detach(struct vdisk_device *dev, int mode, struct vd_error *err);
int vdisk_set(struct vdisk_device *dev, u32 flags, u32 mask, bool force, struct vd_error *err);
u32 vdisk_inflight(struct vdisk_device *dev);		/* requests inside a file */
void vdisk_detach_fn(struct work_struct *work);
void vdisk_error_fn(struct work_struct *work);

/* request.c */
extern const struct blk_mq_ops vdisk_mq_ops;
int vdisk_queue_thread(void *data);
struct vdisk_rq *vdisk_queue_pop(struct vdisk_queue *q);
void vdisk_cmd_map(struct vdisk_rq *cmd, bool nowait);
void vdisk_cmd_put(struct vdisk_rq *cmd);
void vdisk_cmd_fail(struct vdisk_rq *cmd, int error);
void vdisk_io_issue(struct vdisk_io *io, bool nowait);
void vdisk_io_free(struct vdisk_io *io);
struct vdisk_io *vdisk_io_get(struct vdisk_device *dev, struct vdisk_rq *cmd);
void vdisk_cmd_zero(struct vdisk_rq *cmd, u32 off, u32 len);
void vdisk_cmd_iter(struct vdisk_rq *cmd, int dir, u32 off, u32 len, struct iov_iter *iter);

/* Whom a command waits with: VDISK_READS or VDISK_WRITES. */
static inline int vdisk_class(struct vdisk_rq *cmd)
{
	return op_is_write(req_op(blk_mq_rq_from_pdu(cmd))) ? VDISK_WRITES : VDISK_READS;
}

/* slow.c */
void vdisk_slow_fn(struct work_struct *work);
void vdisk_slow_queue(struct vdisk_device *dev, struct vdisk_rq *cmd);
void vdisk_retry_queue(struct vdisk_device *dev, struct vdisk_io *io);	/* any context */
bool vdisk_retry_one(struct vdisk_device *dev, int rw);
void vdisk_slow_setup(struct vdisk_device *dev);
void vdisk_slow_ran(struct vdisk_device *dev, int rw);
void vdisk_watch(struct vdisk_device *dev);
int vdisk_rescuer(void *data);
void vdisk_fail_queued(struct vdisk_device *dev);
int vdisk_cmd_unpack(struct vdisk_device *dev, struct vdisk_rq *cmd, const struct vd_extent *ext);
void vdisk_units_release(struct vdisk_device *dev);
/* Process context for file I/O: credentials, reclaim flags. */
struct vdisk_scope {
	const struct cred *cred;
	unsigned int noio;
	unsigned int pf;
};
/* Whom a command's I/O and memory are charged to, while a worker handles it. */
struct vdisk_group {
	bool blkcg;
	struct cgroup_subsys_state *memcg;
	struct mem_cgroup *old;
};
void vdisk_group_enter(struct request *rq, struct vdisk_group *group);
void vdisk_group_leave(struct vdisk_group *group);
void vdisk_scope_enter(struct vdisk_device *dev, struct vdisk_scope *scope);
void vdisk_scope_leave(struct vdisk_scope *scope);

/* write.c: places for new data, discard, commits */
void vdisk_write_setup(struct vdisk_device *dev);
int vdisk_write_init(struct vdisk_device *dev);
void vdisk_write_stop(struct vdisk_device *dev);	/* no command is left */
void vdisk_write_exit(struct vdisk_device *dev);	/* no worker either, writing has ended */
/*
 * No place for the command's next bytes yet: 0 mapped again; 1 somebody else
 * goes on with the command, which must not be touched any more; or -errno.
 */
int vdisk_cmd_alloc(struct vdisk_device *dev, struct vdisk_rq *cmd);
void vdisk_alloc_end(struct vdisk_io *io);		/* any context */
void vdisk_alloc_finish(struct vdisk_io *io);		/* may sleep */
int vdisk_cmd_clear(struct vdisk_device *dev, struct vdisk_rq *cmd);	/* as vdisk_cmd_alloc() */
void vdisk_flush_queue(struct vdisk_device *dev, struct vdisk_rq *cmd);	/* any context */
bool vdisk_commit_pending(struct vdisk_device *dev);
void vdisk_commit_run(struct vdisk_device *dev);	/* may sleep */
int vdisk_end_write(struct vdisk_device *dev);		/* may sleep */

/* nl-attach.c */
int vdisk_attach_init(void);
void vdisk_attach_exit(void);

/* netlink.c */
int vdisk_netlink_init(void);
void vdisk_netlink_exit(void);
void vdisk_event(struct vdisk_device *dev, u32 event);	/* may sleep */

/* sysfs.c */
extern const struct attribute_group *vdisk_groups[];

#endif /* VDISK_H */
