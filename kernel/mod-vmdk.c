// SPDX-License-Identifier: GPL-2.0-only
/* vdisk-vmdk.ko: makes the vmdk backend known to the core. */
#include <linux/module.h>

#include "vdisk/format.h"

static int __init vdisk_vmdk_init(void)
{
	return vd_format_register(&vd_format_vmdk);
}

static void __exit vdisk_vmdk_exit(void)
{
	vd_format_unregister(&vd_format_vmdk);
}

module_init(vdisk_vmdk_init);
module_exit(vdisk_vmdk_exit);
MODULE_ALIAS("vdisk-format-vmdk");
MODULE_DESCRIPTION("vdisk: vmdk images");
MODULE_LICENSE("GPL");
