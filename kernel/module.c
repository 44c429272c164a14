// SPDX-License-Identifier: GPL-2.0-only
#include <linux/blkdev.h>
#include <linux/module.h>
#include <linux/reboot.h>
#include <linux/suspend.h>
#include <net/genetlink.h>
#include <linux/workqueue.h>

#include "vdisk.h"

/* Detach runs here: one device's slow file system must not hold up another's. */
struct workqueue_struct *vdisk_ctl_wq;

/* Tables that are dirty in memory only would be lost: nobody flushes any more. */
static int vdisk_pm_event(struct notifier_block *nb, unsigned long event, void *data)
{
	if (event == PM_SUSPEND_PREPARE || event == PM_HIBERNATION_PREPARE)
		vdisk_sync_all(false);
	return NOTIFY_DONE;
}

static int vdisk_reboot_event(struct notifier_block *nb, unsigned long event, void *data)
{
	vdisk_sync_all(true);
	return NOTIFY_DONE;
}

static struct notifier_block vdisk_pm_nb = { .notifier_call = vdisk_pm_event };
static struct notifier_block vdisk_reboot_nb = { .notifier_call = vdisk_reboot_event };

static int __init vdisk_init(void)
{
	int ret;

	vdisk_ctl_wq = alloc_workqueue("vdisk-ctl", WQ_UNBOUND, 0);
	if (!vdisk_ctl_wq)
		return -ENOMEM;
	ret = vdisk_attach_init();
	if (ret)
		goto out_wq;
	ret = register_pm_notifier(&vdisk_pm_nb);
	if (ret)
		goto out_attach;
	ret = register_reboot_notifier(&vdisk_reboot_nb);
	if (ret)
		goto out_pm;
	ret = vdisk_netlink_init();
	if (ret)
		goto out_reboot;
	return 0;

out_reboot:
	unregister_reboot_notifier(&vdisk_reboot_nb);
out_pm:
	unregister_pm_notifier(&vdisk_pm_nb);
out_attach:
	vdisk_attach_exit();
out_wq:
	destroy_workqueue(vdisk_ctl_wq);
	return ret;
}

/* Each device and each attach holds a module reference, so none is left here. */
static void __exit vdisk_exit(void)
{
	vdisk_netlink_exit();
	vdisk_attach_exit();
	unregister_reboot_notifier(&vdisk_reboot_nb);
	unregister_pm_notifier(&vdisk_pm_nb);
	destroy_workqueue(vdisk_ctl_wq);
}

module_init(vdisk_init);
module_exit(vdisk_exit);
MODULE_ALIAS_GENL_FAMILY(VDISK_GENL_NAME);
MODULE_DESCRIPTION("Virtual machine disk images as block devices");
MODULE_LICENSE("GPL");
