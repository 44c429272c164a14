// SPDX-License-Identifier: GPL-2.0-only
/*
 * ATTACH. Its handler takes what only its caller's task has, the files behind the
 * descriptors; a worker does the rest and answers. For an attach reads images, and
 * a file's server may hang for ever: whoever waits in a handler has generic netlink's
 * lock, behind which the first module that registers a family of its own would stop
 * everybody's commands, and a detach by force with them.
 */
#include <linux/blkdev.h>
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/module.h>
#include <net/genetlink.h>
#include <net/sock.h>

#include "compat.h"
#include "netlink.h"
#include "vdisk.h"

#define VDISK_PATHS_MAX	VDISK_MAX_IMAGES

static struct workqueue_struct *vdisk_attach_wq;

/**
 * struct vdisk_job - an attach on its way from the handler to the answer
 * @work: does it
 * @a: what is asked for
 * @request: the message, which a.name, a.uuid and a.paths point into
 * @nlh: its header
 * @answer: NULL once it is sent
 * @net: whose socket it came by
 * @asker: that socket; gone if it is dead
 * @cred: of the caller
 * @err: why not
 *
 * Holds a reference to each of them, and to the module.
 */
struct vdisk_job {
	struct work_struct work;
	struct vdisk_attach a;
	struct sk_buff *request;
	struct nlmsghdr *nlh;
	struct sk_buff *answer;
	struct net *net;
	struct sock *asker;
	const struct cred *cred;
	struct vd_error err;
};

/* ------------------------------------------------------------- the message */

struct vdisk_counts {
	u32 members;
	u32 images;
	u32 segments;
	u32 paths;
	u32 patches;
};

static int vdisk_count_attrs(struct genl_info *info, struct vdisk_counts *n, struct vd_error *err)
{
	struct nlattr *attr;
	int rem;

	nlmsg_for_each_attr(attr, info->nlhdr, GENL_HDRLEN, rem) {
		switch (nla_type(attr)) {
		case VDISK_A_MEMBER:
			n->members++;
			break;
		case VDISK_A_IMAGE:
			n->images++;
			break;
		case VDISK_A_SEGMENT:
			n->segments++;
			break;
		case VDISK_A_PATH:
			n->paths++;
			break;
		case VDISK_A_PATCH:
			n->patches++;
			break;
		}
	}
	if (n->members > VDISK_MAX_MEMBERS)
		return vd_fail(err, -E2BIG, "%u members, at most %u", n->members,
			       VDISK_MAX_MEMBERS);
	if (n->images > VDISK_MAX_IMAGES)
		return vd_fail(err, -E2BIG, "a chain of %u images, at most %u", n->images,
			       VDISK_MAX_IMAGES);
	if (n->segments > VDISK_MAX_SEGMENTS)
		return vd_fail(err, -E2BIG, "%u segments, at most %u", n->segments,
			       VDISK_MAX_SEGMENTS);
	if (n->paths > VDISK_PATHS_MAX)
		return vd_fail(err, -E2BIG, "%u paths, at most %u", n->paths, VDISK_PATHS_MAX);
	if (n->patches > VDISK_MAX_PATCHES)
		return vd_fail(err, -E2BIG, "%u patches, at most %u", n->patches,
			       VDISK_MAX_PATCHES);
	return 0;
}

static int vdisk_copy_attrs(struct genl_info *info, const struct vdisk_counts *n,
			    struct vdisk_attach *a, struct vd_error *err)
{
	struct nlattr *attr;
	int rem;

	a->members = kvcalloc(max(n->members, 1U), sizeof(*a->members), GFP_KERNEL);
	a->images = kvcalloc(max(n->images, 1U), sizeof(*a->images), GFP_KERNEL);
	a->segments = kvcalloc(max(n->segments, 1U), sizeof(*a->segments), GFP_KERNEL);
	a->paths = kvcalloc(max(n->paths, 1U), sizeof(*a->paths), GFP_KERNEL);
	a->files = kvcalloc(max(n->members, 1U), sizeof(*a->files), GFP_KERNEL);
	if (!a->members || !a->images || !a->segments || !a->paths || !a->files)
		return vd_fail(err, -ENOMEM, "no memory for the tables");
	nlmsg_for_each_attr(attr, info->nlhdr, GENL_HDRLEN, rem) {
		switch (nla_type(attr)) {
		case VDISK_A_MEMBER:
			nla_memcpy(&a->members[a->nr_members++], attr, sizeof(*a->members));
			break;
		case VDISK_A_IMAGE:
			nla_memcpy(&a->images[a->nr_images++], attr, sizeof(*a->images));
			break;
		case VDISK_A_SEGMENT:
			nla_memcpy(&a->segments[a->nr_segments++], attr, sizeof(*a->segments));
			break;
		case VDISK_A_PATH:
			/* Points into the message, which stays; attach copies it. */
			a->paths[a->nr_paths++] = nla_data(attr);
			break;
		case VDISK_A_PATCH:
			nla_memcpy(&a->patches[a->nr_patches++], attr, sizeof(*a->patches));
			break;
		}
	}
	return 0;
}

static void vdisk_copy_scalars(struct nlattr **attrs, struct vdisk_attach *a)
{
	a->id = -1;
	if (attrs[VDISK_A_ID])
		a->id = nla_get_u32(attrs[VDISK_A_ID]);
	a->sector_size = SECTOR_SIZE;
	if (attrs[VDISK_A_SECTOR_SIZE])
		a->sector_size = nla_get_u32(attrs[VDISK_A_SECTOR_SIZE]);
	if (attrs[VDISK_A_FLAGS])
		a->flags = nla_get_u32(attrs[VDISK_A_FLAGS]);
	if (attrs[VDISK_A_QUEUES])
		a->queues = nla_get_u32(attrs[VDISK_A_QUEUES]);
	if (attrs[VDISK_A_NAME])
		a->name = nla_data(attrs[VDISK_A_NAME]);
	if (attrs[VDISK_A_UUID])
		a->uuid = nla_data(attrs[VDISK_A_UUID]);
}

static int vdisk_check_request(const struct vdisk_attach *a, struct vd_error *err)
{
	u32 i;

	for (i = 0; i < a->nr_members; i++)
		if (a->members[i].flags & ~VDISK_MEMBER_FLAGS)
			return vd_fail(err, -EINVAL, "member %u: unknown flags %#x", i,
				       a->members[i].flags & ~VDISK_MEMBER_FLAGS);
	/* udev makes a link of this name. */
	if (a->name && (strchr(a->name, '/') || a->name[0] == '.'))
		return vd_fail(err, -EINVAL, "the name must not hold '/' or begin with '.'");
	return 0;
}

/* ----------------------------------------------------------------- the job */

static void vdisk_job_files(struct vdisk_job *job)
{
	u32 i;

	for (i = 0; job->a.files && i < job->a.nr_members; i++) {
		if (job->a.files[i])
			vdisk_fput(job->a.files[i]);
		job->a.files[i] = NULL;
	}
}

static void vdisk_job_free(struct vdisk_job *job)
{
	vdisk_job_files(job);
	kvfree(job->a.members);
	kvfree(job->a.images);
	kvfree(job->a.segments);
	kvfree(job->a.paths);
	kvfree(job->a.files);
	nlmsg_free(job->answer);
	put_cred(job->cred);
	sock_put(job->asker);
	/* Its memory is accounted to a socket of the net. */
	consume_skb(job->request);
	put_net(job->net);
	kvfree(job);
}

static int vdisk_answer(struct vdisk_job *job, struct vdisk_device *dev)
{
	u32 portid = NETLINK_CB(job->request).portid;
	struct sk_buff *answer = job->answer;
	void *hdr = genlmsg_put(answer, portid, job->nlh->nlmsg_seq, &vdisk_family, 0,
				VDISK_CMD_ATTACH);

	if (!hdr || vdisk_put_ids(answer, dev))
		return -EMSGSIZE;
	genlmsg_end(answer, hdr);
	if (sock_flag(job->asker, SOCK_DEAD))
		return -ECONNREFUSED;
	job->answer = NULL;
	return genlmsg_unicast(job->net, answer, portid);
}

static int vdisk_job_attach(struct vdisk_job *job)
{
	const struct cred *cred = override_creds(job->cred);
	struct vdisk_device *dev = vdisk_attach(&job->a, &job->err);
	struct vd_error err = {};
	int ret = PTR_ERR_OR_ZERO(dev);

	if (!ret) {
		ret = vdisk_answer(job, dev);
		/* Nobody would know its number. */
		if (ret) {
			vd_fail(&job->err, ret, "the answer cannot be delivered (%d)", ret);
			vdisk_detach(dev, VDISK_DETACH_FORCE, &err);
		}
		vdisk_put(dev);
	}
	revert_creds(cred);
	return ret;
}

static void vdisk_attach_fn(struct work_struct *work)
{
	struct vdisk_job *job = container_of(work, struct vdisk_job, work);
	struct netlink_ext_ack extack = {};
	int ret = vdisk_job_attach(job);

	/* Who hears of it finds nothing of it: the end of the module waits for the rest. */
	vdisk_job_files(job);
	module_put(THIS_MODULE);
	if (ret && job->err.text[0])
		extack._msg = job->err.text;
	/* Another socket may have the number of a dead one: it gets nothing. */
	if (!sock_flag(job->asker, SOCK_DEAD) && (ret || (job->nlh->nlmsg_flags & NLM_F_ACK)))
		netlink_ack(job->request, job->nlh, ret, &extack);
	vdisk_job_free(job);
}

static struct vdisk_job *vdisk_job_new(struct sk_buff *skb, struct genl_info *info)
{
	struct vdisk_job *job = kvzalloc(sizeof(*job), GFP_KERNEL);

	if (!job)
		return NULL;
	INIT_WORK(&job->work, vdisk_attach_fn);
	job->request = skb_get(skb);
	job->nlh = (struct nlmsghdr *)info->nlhdr;	/* for netlink_ack(), which only reads it */
	job->net = get_net(genl_info_net(info));
	job->asker = NETLINK_CB(skb).sk;
	sock_hold(job->asker);
	job->cred = get_current_cred();
	return job;
}

static int vdisk_job_fill(struct vdisk_job *job, struct genl_info *info,
			  const struct vdisk_counts *n, struct vd_error *err)
{
	struct vdisk_attach *a = &job->a;
	int ret = vdisk_copy_attrs(info, n, a, err);
	u32 i;

	if (ret)
		return ret;
	vdisk_copy_scalars(info->attrs, a);
	ret = vdisk_check_request(a, err);
	if (ret)
		return ret;
	job->answer = vdisk_new_reply(err);
	if (!job->answer)
		return -ENOMEM;
	/* What is no descriptor is said when its turn comes. */
	for (i = 0; i < a->nr_members; i++)
		a->files[i] = fget(a->members[i].fd);
	return 0;
}

int vdisk_nl_attach(struct sk_buff *skb, struct genl_info *info)
{
	struct vdisk_counts n = {};
	struct vd_error err = {};
	struct vdisk_job *job = NULL;
	int ret = vdisk_may(skb, info);

	if (!ret)
		ret = vdisk_count_attrs(info, &n, &err);
	if (ret)
		goto out;
	job = vdisk_job_new(skb, info);
	ret = job ? vdisk_job_fill(job, info, &n, &err) :
		    vd_fail(&err, -ENOMEM, "no memory for the request");
	/* Its end has begun, but not that of the family. */
	if (!ret && !try_module_get(THIS_MODULE))
		ret = vd_fail(&err, -ENODEV, "the module is being unloaded");
	if (ret)
		goto out;
	if (vdisk_counts_failures())
		vdisk_attach_fn(&job->work);
	else
		queue_work(vdisk_attach_wq, &job->work);
	/* This one answer netlink does not acknowledge by itself. */
	return -EINTR;

out:
	if (job)
		vdisk_job_free(job);
	vdisk_extack(info, &err);
	return ret;
}

/*
 * Frozen with the devices' own: no disk comes and no file is written back in the
 * middle of a suspend. As many at once as there can be: those of files that hang
 * do not keep others from theirs.
 */
int vdisk_attach_init(void)
{
	vdisk_attach_wq = alloc_workqueue("vdisk-attach", WQ_UNBOUND | WQ_FREEZABLE,
					  WQ_MAX_ACTIVE);
	return vdisk_attach_wq ? 0 : -ENOMEM;
}

void vdisk_attach_exit(void)
{
	destroy_workqueue(vdisk_attach_wq);
}
