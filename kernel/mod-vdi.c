// SPDX-License-Identifier: GPL-2.0-only
/* vdisk-vdi.ko: makes the vdi backend known to the core. */
#include <linux/module.h>

#include "vdisk/format.h"

static int __init vdisk_vdi_init(void)
{
	return vd_format_register(&vd_format_vdi);
}

static void __exit vdisk_vdi_exit(void)
{
	vd_format_unregister(&vd_format_vdi);
}

module_init(vdisk_vdi_init);
module_exit(vdisk_vdi_exit);
MODULE_ALIAS("vdisk-format-vdi");
MODULE_DESCRIPTION("vdisk: vdi images");
MODULE_LICENSE("GPL");
