// SPDX-License-Identifier: GPL-2.0-only
/* vdisk-raw.ko: makes the raw backend known to the core. */
#include <linux/module.h>

#include "vdisk/format.h"

static int __init vdisk_raw_init(void)
{
	return vd_format_register(&vd_format_raw);
}

static void __exit vdisk_raw_exit(void)
{
	vd_format_unregister(&vd_format_raw);
}

module_init(vdisk_raw_init);
module_exit(vdisk_raw_exit);
MODULE_ALIAS("vdisk-format-raw");
MODULE_DESCRIPTION("vdisk: raw images");
MODULE_LICENSE("GPL");
