// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/block/vdiskN/vdisk/: one value a file. All in a group of its own: udev's
 * rules for virtio disks take an attribute "serial" of anything called vd*.
 */
#include <linux/blkdev.h>
#include <linux/capability.h>
#include <linux/device.h>
#include <linux/sysfs.h>

#include "vdisk.h"

static struct vdisk_device *to_vdisk(struct device *d)
{
	return dev_to_disk(d)->private_data;
}

#define VDISK_ATTR(name, fmt, ...)							\
static ssize_t name##_show(struct device *d, struct device_attribute *attr, char *buf)	\
{											\
	struct vdisk_device *dev = to_vdisk(d);						\
											\
	return sysfs_emit(buf, fmt "\n", __VA_ARGS__);					\
}											\
static DEVICE_ATTR_RO(name)

static bool vdisk_flag(struct vdisk_device *dev, u32 flag)
{
	return READ_ONCE(dev->flags) & flag;
}

static const char *vdisk_state_name(struct vdisk_device *dev)
{
	static const char * const names[] = { "new", "live", "dying" };

	return names[READ_ONCE(dev->state)];
}

/* File names are for the administrator. */
static ssize_t backing_file_show(struct device *d, struct device_attribute *attr, char *buf)
{
	struct vdisk_device *dev = to_vdisk(d);

	if (!capable(CAP_SYS_ADMIN) || !dev->paths[0])
		return sysfs_emit(buf, "\n");
	return sysfs_emit(buf, "%s\n", dev->paths[0]);
}
static DEVICE_ATTR_RO(backing_file);

VDISK_ATTR(format, "%s", vd_format_name(dev->images[0].format) ?: "");
VDISK_ATTR(name, "%s", dev->name);
VDISK_ATTR(uuid, "%s", dev->uuid);
VDISK_ATTR(state, "%s", vdisk_state_name(dev));
VDISK_ATTR(isolate, "%d", vdisk_flag(dev, VDISK_F_ISOLATE));
VDISK_ATTR(read_only, "%d", vdisk_flag(dev, VDISK_F_RDONLY));
VDISK_ATTR(autoclear, "%d", vdisk_flag(dev, VDISK_F_AUTOCLEAR));
VDISK_ATTR(discard, "%d", !vdisk_flag(dev, VDISK_F_NO_DISCARD));
VDISK_ATTR(flush, "%d", !vdisk_flag(dev, VDISK_F_NO_FLUSH));
VDISK_ATTR(dio, "%d", !vdisk_flag(dev, VDISK_F_BUFFERED));
VDISK_ATTR(chain, "%u", dev->chain_images);
VDISK_ATTR(errors, "%lld", atomic64_read(&dev->errors));
VDISK_ATTR(size_virtual, "%llu", dev->images[0].size);
VDISK_ATTR(inflight, "%u", vdisk_inflight(dev));
VDISK_ATTR(openers, "%u", disk_openers(dev->disk));

static struct attribute *vdisk_attrs[] = {
	&dev_attr_backing_file.attr,
	&dev_attr_format.attr,
	&dev_attr_name.attr,
	&dev_attr_uuid.attr,
	&dev_attr_state.attr,
	&dev_attr_isolate.attr,
	&dev_attr_read_only.attr,
	&dev_attr_autoclear.attr,
	&dev_attr_discard.attr,
	&dev_attr_flush.attr,
	&dev_attr_dio.attr,
	&dev_attr_chain.attr,
	&dev_attr_errors.attr,
	&dev_attr_size_virtual.attr,
	&dev_attr_inflight.attr,
	&dev_attr_openers.attr,
	NULL,
};

static const struct attribute_group vdisk_group = {
	.name = "vdisk",
	.attrs = vdisk_attrs,
};

const struct attribute_group *vdisk_groups[] = {
	&vdisk_group,
	NULL,
};
