/* SPDX-License-Identifier: GPL-2.0-only */
/* Who uses a file or a device. */
#ifndef VDCTL_BUSY_H
#define VDCTL_BUSY_H

#include "vdctl.h"

bool read_line(const char *path, char *buf, size_t len);
void process_name(const char *pid, char *buf, size_t len);
/* One hint for each user of /dev/vdiskN and its partitions. */
void hint_device_users(u32 id);

#endif /* VDCTL_BUSY_H */
