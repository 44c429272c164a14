// SPDX-License-Identifier: GPL-2.0-only
/*
 * Members of an image set: taking a caller's descriptor, claiming its inode,
 * and the vd_file operations that shared code reads metadata with.
 */
#include <linux/bio.h>
#include <linux/bvec.h>
#include <linux/delay.h>
#include <linux/falloc.h>
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/stat.h>
#include <linux/swap.h>

#include "compat.h"
#include "vdisk.h"

/* Which inode is a member of which device. */
static DEFINE_MUTEX(vdisk_claims_lock);
static LIST_HEAD(vdisk_claims);

bool vdisk_file_is_bdev(const struct vdisk_file *vfile)
{
	return S_ISBLK(file_inode(vfile->file)->i_mode);
}

/*
 * Where the bytes of a member end: a writable file may have grown since it was
 * attached, another one is held to what was validated.
 */
u64 vdisk_file_end(const struct vdisk_file *vfile)
{
	if (!vfile->vf.writable)
		return vfile->vf.size;
	return max_t(u64, vfile->vf.size, i_size_read(vfile->inode));
}

/* The iterator's direction says whether it is read or written. */
static s64 vdisk_file_xfer(struct vdisk_file *vfile, u64 pos, struct iov_iter *iter)
{
	struct file *file = vfile->file;
	struct kiocb iocb;
	s64 ret;

	init_sync_kiocb(&iocb, file);
	iocb.ki_pos = pos;
	iocb.ki_flags = vfile->direct ? IOCB_DIRECT : 0;
	if (iov_iter_rw(iter) == READ)
		return file->f_op->read_iter(&iocb, iter);
	if (S_ISREG(file_inode(file)->i_mode))
		file_start_write(file);
	ret = file->f_op->write_iter(&iocb, iter);
	if (S_ISREG(file_inode(file)->i_mode))
		file_end_write(file);
	return ret;
}

static s64 vdisk_file_direct(struct vdisk_file *vfile, int dir, u64 pos, const void *buf, u32 len)
{
	struct bio_vec bv;
	struct iov_iter iter;

	bvec_set_page(&bv, virt_to_page(buf), len, offset_in_page(buf));
	iov_iter_bvec(&iter, dir, &bv, 1, len);
	return vdisk_file_xfer(vfile, pos, &iter);
}

static s64 vdisk_file_buffered(struct vdisk_file *vfile, int dir, u64 pos, const void *buf, u32 len)
{
	struct kvec kv = { .iov_base = (void *)buf, .iov_len = len };
	struct iov_iter iter;

	iov_iter_kvec(&iter, dir, &kv, 1, len);
	return vdisk_file_xfer(vfile, pos, &iter);
}

/* One step through the bounce page: the aligned block that holds @pos. */
static s64 vdisk_file_read_bounce(struct vdisk_file *vfile, u64 pos, void *buf, u32 len)
{
	struct vdisk_device *dev = vfile->dev;
	u64 base = round_down(pos, PAGE_SIZE);
	u32 skip = pos - base;
	s64 ret;

	mutex_lock(&dev->bounce_lock);
	ret = vdisk_file_direct(vfile, ITER_DEST, base, dev->bounce, PAGE_SIZE);
	if (ret >= 0) {
		ret = ret > skip ? min_t(s64, ret - skip, len) : 0;
		memcpy(buf, dev->bounce + skip, ret);
	}
	mutex_unlock(&dev->bounce_lock);
	return ret;
}

/* Memory that virt_to_page() finds is in one piece, so one vector describes it. */
static bool vdisk_file_aligned(struct vdisk_file *vfile, u64 pos, const void *buf, u32 len)
{
	return virt_addr_valid(buf) && IS_ALIGNED(pos | len, vfile->dio_align) &&
	       IS_ALIGNED((unsigned long)buf, vfile->dio_mem);
}

static s64 vdisk_file_read_once(struct vdisk_file *vfile, u64 pos, void *buf, u32 len)
{
	if (!vfile->direct)
		return vdisk_file_buffered(vfile, ITER_DEST, pos, buf, len);
	if (vdisk_file_aligned(vfile, pos, buf, len))
		return vdisk_file_direct(vfile, ITER_DEST, pos, buf, len);
	return vdisk_file_read_bounce(vfile, pos, buf, len);
}

/* "Again" from one who was told that we can wait is taken at its word, not for ever. */
static s64 vdisk_file_op_read(struct vd_file *vf, u64 pos, void *buf, u32 len)
{
	struct vdisk_file *vfile = to_vdisk_file(vf);
	u32 done = 0, tries = 0;
	s64 ret;

	while (done < len) {
		ret = vdisk_file_read_once(vfile, pos + done, buf + done, len - done);
		if (ret == -EAGAIN && ++tries < VDISK_READ_TRIES && !READ_ONCE(vfile->dev->dead)) {
			msleep(VDISK_RETRY_MAX_MS);
			continue;
		}
		if (ret < 0)
			return ret;
		if (!ret)
			break;
		done += ret;
	}
	return done;
}

/*
 * Tables and the parts of units around a guest's write. No memory inside the
 * file system is no verdict: try again, as for the guest's own data.
 */
static int vdisk_file_op_write(struct vd_file *vf, u64 pos, const void *buf, u32 len)
{
	struct vdisk_file *vfile = to_vdisk_file(vf);
	s64 ret;

	if (vfile->direct && !vdisk_file_aligned(vfile, pos, buf, len))
		return -EINVAL;
	while (len) {
		if (vfile->direct)
			ret = vdisk_file_direct(vfile, ITER_SOURCE, pos, buf, len);
		else
			ret = vdisk_file_buffered(vfile, ITER_SOURCE, pos, buf, len);
		if ((ret == -ENOMEM || ret == -EAGAIN) && !READ_ONCE(vfile->dev->dead)) {
			msleep(VDISK_RETRY_MAX_MS);
			continue;
		}
		if (ret <= 0)
			return ret ? ret : -EIO;
		pos += ret;
		buf += ret;
		len -= ret;
	}
	return 0;
}

static int vdisk_file_op_truncate(struct vd_file *vf, u64 size)
{
	return vfs_truncate(&to_vdisk_file(vf)->file->f_path, size);
}

static int vdisk_fallocate(struct vd_file *vf, int mode, u64 pos, u64 len)
{
	struct file *file = to_vdisk_file(vf)->file;

	if (!file->f_op->fallocate)
		return -EOPNOTSUPP;
	return vfs_fallocate(file, mode, pos, len);
}

/* What a block device can zero or discard: whole blocks of its own. */
static bool vdisk_file_whole_blocks(struct vdisk_file *vfile, u64 pos, u64 len)
{
	return !vdisk_file_is_bdev(vfile) ||
	       IS_ALIGNED(pos | len, bdev_logical_block_size(I_BDEV(vfile->inode)));
}

static int vdisk_file_op_punch(struct vd_file *vf, u64 pos, u64 len)
{
	if (!vdisk_file_whole_blocks(to_vdisk_file(vf), pos, len))
		return -EOPNOTSUPP;
	return vdisk_fallocate(vf, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, pos, len);
}

/* Zeros by writing them, for files that cannot zero a range. */
static int vdisk_write_zero_pages(struct vdisk_file *vfile, u64 pos, u64 len)
{
	struct bio_vec bv[16];
	struct iov_iter iter;
	s64 ret;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(bv); i++)
		bvec_set_page(&bv[i], ZERO_PAGE(0), PAGE_SIZE, 0);
	while (len) {
		if (READ_ONCE(vfile->dev->dead))
			return -EIO;
		iov_iter_bvec(&iter, ITER_SOURCE, bv, ARRAY_SIZE(bv),
			      min_t(u64, len, ARRAY_SIZE(bv) * PAGE_SIZE));
		ret = vdisk_file_xfer(vfile, pos, &iter);
		if (ret == -ENOMEM || ret == -EAGAIN) {
			msleep(VDISK_RETRY_MAX_MS);
			continue;
		}
		if (ret <= 0)
			return ret ? ret : -EIO;
		pos += ret;
		len -= ret;
		cond_resched();
	}
	return 0;
}

static int vdisk_file_op_zero(struct vd_file *vf, u64 pos, u64 len)
{
	int ret = -EOPNOTSUPP;

	if (vdisk_file_whole_blocks(to_vdisk_file(vf), pos, len))
		ret = vdisk_fallocate(vf, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, pos, len);
	return ret == -EOPNOTSUPP ? vdisk_write_zero_pages(to_vdisk_file(vf), pos, len) : ret;
}

static int vdisk_file_op_allocate(struct vd_file *vf, u64 pos, u64 len)
{
	return vdisk_fallocate(vf, 0, pos, len);
}

/* Zeros in one step with the growth: between two, somebody else could append. */
static int vdisk_file_op_extend(struct vd_file *vf, u64 pos, u64 len)
{
	int ret = vdisk_fallocate(vf, FALLOC_FL_ZERO_RANGE, pos, len);

	return ret == -EOPNOTSUPP ? vdisk_fallocate(vf, 0, pos, len) : ret;
}

/*
 * A file tells an error of its write-back once, to whoever comes first, and that
 * may have been a write of ours. So there is a second look that tells always.
 */
static int vdisk_file_op_flush(struct vd_file *vf)
{
	struct vdisk_file *vfile = to_vdisk_file(vf);
	int ret = vfs_fsync_range(vfile->file, 0, LLONG_MAX, 1);

	return ret ? ret : filemap_check_wb_err(vfile->file->f_mapping, vfile->wb_since);
}

static int vdisk_file_op_size(struct vd_file *vf, u64 *size)
{
	*size = i_size_read(to_vdisk_file(vf)->inode);
	return 0;
}

static const struct vd_file_ops vdisk_file_ops = {
	.read = vdisk_file_op_read,
	.write = vdisk_file_op_write,
	.truncate = vdisk_file_op_truncate,
	.punch = vdisk_file_op_punch,
	.zero = vdisk_file_op_zero,
	.allocate = vdisk_file_op_allocate,
	.extend = vdisk_file_op_extend,
	.flush = vdisk_file_op_flush,
	.size = vdisk_file_op_size,
};

/* RW excludes any other use of an inode, RO is shared among devices. */
static int vdisk_claim(struct vdisk_file *vfile, struct vd_error *err)
{
	struct vdisk_file *other;
	int ret = 0;

	mutex_lock(&vdisk_claims_lock);
	list_for_each_entry(other, &vdisk_claims, claim) {
		if (other->inode != vfile->inode)
			continue;
		if (other->dev == vfile->dev) {
			ret = vd_fail(err, -EINVAL,
				      "members %u and %u are the same file: no two may share an inode",
				      other->vf.index, vfile->vf.index);
			break;
		}
		if (other->vf.writable || vfile->vf.writable) {
			ret = vd_fail(err, -EBUSY, "member %u is in use by vdisk%u%s",
				      vfile->vf.index, other->dev->id,
				      other->vf.writable ? ", which writes to it" : "");
			break;
		}
	}
	if (!ret)
		list_add_tail(&vfile->claim, &vdisk_claims);
	mutex_unlock(&vdisk_claims_lock);
	return ret;
}

static void vdisk_unclaim(struct vdisk_file *vfile)
{
	mutex_lock(&vdisk_claims_lock);
	if (!list_empty(&vfile->claim))
		list_del_init(&vfile->claim);
	mutex_unlock(&vdisk_claims_lock);
}

static int vdisk_file_check_bdev(struct vdisk_file *vfile, u32 index, struct vd_error *err)
{
	struct block_device *bdev = I_BDEV(vfile->inode);

	if (bdev->bd_disk->fops == &vdisk_fops)
		return vd_fail(err, -EINVAL, "member %u is itself a vdisk device", index);
	return 0;
}

static int vdisk_file_check_write(struct vdisk_file *vfile, u32 index, struct vd_error *err)
{
	struct inode *inode = vfile->inode;

	if (!(vfile->file->f_mode & FMODE_WRITE) || !vfile->file->f_op->write_iter)
		return vd_fail(err, -EBADF, "member %u: the descriptor is not open for writing",
			       index);
	if (IS_APPEND(inode) || IS_IMMUTABLE(inode))
		return vd_fail(err, -EPERM, "member %u: the file is append-only or immutable",
			       index);
	if (IS_SWAPFILE(inode))
		return vd_fail(err, -ETXTBSY, "member %u: the file is in use as swap", index);
	return 0;
}

static int vdisk_file_check(struct vdisk_file *vfile, const struct vdisk_member *member,
			    u32 index, struct vd_error *err)
{
	struct file *file = vfile->file;
	umode_t mode = file_inode(file)->i_mode;

	if (!S_ISREG(mode) && !S_ISBLK(mode))
		return vd_fail(err, -EINVAL,
			       "member %u is neither a regular file nor a block device", index);
	vfile->inode = file->f_mapping->host;
	if (!(file->f_mode & FMODE_READ) || !file->f_op->read_iter)
		return vd_fail(err, -EBADF, "member %u: the descriptor cannot be read", index);
	if (S_ISBLK(mode) && vdisk_file_check_bdev(vfile, index, err))
		return err->code;
	if (member->flags & VDISK_MEMBER_RW)
		return vdisk_file_check_write(vfile, index, err);
	if (file->f_mode & FMODE_WRITE)
		return vd_fail(err, -EBADF,
			       "member %u is read-only but its descriptor is open for writing",
			       index);
	return 0;
}

/* What direct I/O on this file asks for; 0 alignment: no direct I/O. */
void vdisk_file_probe_dio(struct vdisk_file *vfile)
{
	struct file *file = vfile->file;
	struct super_block *sb = vfile->inode->i_sb;
	struct kstat stat;

	vfile->dio_align = 0;
	vfile->dio_mem = SECTOR_SIZE;
	if (!(file->f_mode & FMODE_CAN_ODIRECT))
		return;
	if (vdisk_file_is_bdev(vfile)) {
		vfile->dio_align = bdev_logical_block_size(I_BDEV(vfile->inode));
		vfile->dio_mem = bdev_dma_alignment(I_BDEV(vfile->inode)) + 1;
		return;
	}
	if (!vfs_getattr(&file->f_path, &stat, STATX_DIOALIGN, AT_STATX_SYNC_AS_STAT) &&
	    (stat.result_mask & STATX_DIOALIGN)) {
		vfile->dio_align = stat.dio_offset_align;
		vfile->dio_mem = max_t(u32, stat.dio_mem_align, 1);
		return;
	}
	if (sb->s_bdev)
		vfile->dio_align = bdev_logical_block_size(sb->s_bdev);
}

/*
 * Direct or buffered for the whole life of the device, never mixed on a file:
 * a buffered neighbour could write a stale copy over a direct write.
 */
void vdisk_file_set_mode(struct vdisk_file *vfile, bool want_direct)
{
	vfile->direct = want_direct && vfile->dio_align && is_power_of_2(vfile->dio_align) &&
			vfile->dio_mem <= SECTOR_SIZE && vfile->dio_align <= PAGE_SIZE;
	vfile->nowait = vfile->file->f_mode & FMODE_NOWAIT;
	/* Dirty pages from before would cost every direct read a write-back. */
	if (vfile->direct)
		filemap_write_and_wait(vfile->file->f_mapping);
	vfile->wb_since = filemap_sample_wb_err(vfile->file->f_mapping);
}

/* Who sees an answer finds the locks of a file that was closed gone. */
void vdisk_fput(struct file *file)
{
	if (current->flags & PF_KTHREAD)
		__fput_sync(file);
	else
		fput(file);
}

int vdisk_file_open(struct vdisk_device *dev, const struct vdisk_member *member,
		    struct file **file, u32 index, struct vdisk_file **out, struct vd_error *err)
{
	struct vdisk_file *vfile = kzalloc(sizeof(*vfile), GFP_KERNEL);
	int ret;

	if (!vfile)
		return vd_fail(err, -ENOMEM, "no memory for member %u", index);
	INIT_LIST_HEAD(&vfile->claim);
	vfile->dev = dev;
	vfile->vf.index = index;
	vfile->vf.ops = &vdisk_file_ops;
	vfile->vf.writable = member->flags & VDISK_MEMBER_RW;
	atomic_set(&vfile->vf.dirty, 0);
	vfile->file = *file;
	*file = NULL;
	if (!vfile->file) {
		ret = vd_fail(err, -EBADF, "member %u: %d is no open file descriptor", index,
			      member->fd);
		goto out_free;
	}
	ret = vdisk_file_check(vfile, member, index, err);
	if (ret)
		goto out_put;
	if (!vfile->vf.writable && S_ISREG(file_inode(vfile->file)->i_mode)) {
		ret = deny_write_access(vfile->file);
		if (ret) {
			vd_fail(err, ret, "member %u is open for writing elsewhere", index);
			goto out_put;
		}
		vfile->denied = true;
	}
	ret = vdisk_claim(vfile, err);
	if (ret)
		goto out_allow;
	vfile->vf.size = i_size_read(vfile->inode);
	vfile->vf.fixed = vdisk_file_is_bdev(vfile);
	*out = vfile;
	return 0;

out_allow:
	if (vfile->denied)
		allow_write_access(vfile->file);
out_put:
	vdisk_fput(vfile->file);
out_free:
	kfree(vfile);
	return ret;
}

/* Releases everything, the file last. */
void vdisk_file_close(struct vdisk_file *vfile)
{
	vdisk_unclaim(vfile);
	if (vfile->denied)
		allow_write_access(vfile->file);
	vdisk_fput(vfile->file);
	kfree(vfile);
}
