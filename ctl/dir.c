// SPDX-License-Identifier: GPL-2.0-only
/* Directories */
#include <errno.h>
#include <unistd.h>
#include "vdctl.h"

int dir_sync(int fd)
{
	return !fsync(fd) || errno == EINVAL ? 0 : -errno;
}
