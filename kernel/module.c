// SPDX-License-Identifier: GPL-2.0-only
#include <linux/blkdev.h>
#include <linux/module.h>
#include <net/genetlink.h>
#include <linux/workqueue.h>

#include "vdisk.h"

/* Detach runs here: one device's slow file system must not hold up another's. */
struct workqueue_struct *vdisk_ctl_wq;

static int __init vdisk_init(void)
{
	int ret;

	vdisk_ctl_wq = alloc_workqueue("vdisk-ctl", WQ_UNBOUND, 0);
	if (!vdisk_ctl_wq)
		return -ENOMEM;
	ret = vdisk_netlink_init();
	if (ret)
		destroy_workqueue(vdisk_ctl_wq);
	return ret;
}

/* Each device holds a module reference, so none is left here. */
static void __exit vdisk_exit(void)
{
	vdisk_netlink_exit();
	destroy_workqueue(vdisk_ctl_wq);
}

module_init(vdisk_init);
module_exit(vdisk_exit);
MODULE_ALIAS_GENL_FAMILY(VDISK_GENL_NAME);
MODULE_DESCRIPTION("Virtual machine disk images as block devices");
MODULE_LICENSE("GPL");
