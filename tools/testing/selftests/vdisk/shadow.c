// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "blk.h"
#include "shadow.h"
#include "tap.h"

void shadow_init(struct shadow *s, u64 size)
{
	s->size = size;
	s->data = xalloc(size);
	s->maybe_zero = xalloc(size / SECTOR);
}

void shadow_free(struct shadow *s)
{
	free(s->data);
	free(s->maybe_zero);
	memset(s, 0, sizeof(*s));
}

void shadow_load(struct shadow *s, int fd, u64 pos)
{
	if (!pread_all(fd, s->data, s->size, pos))
		bail("cannot read the file under test: %s", err_name(errno));
	memset(s->maybe_zero, 0, s->size / SECTOR);
}

static void mark(struct shadow *s, u64 pos, u64 len, u8 value)
{
	memset(s->maybe_zero + pos / SECTOR, value, len / SECTOR);
}

void shadow_write(struct shadow *s, u64 pos, const void *buf, u64 len)
{
	memcpy(s->data + pos, buf, len);
	mark(s, pos, len, 0);
}

void shadow_zero(struct shadow *s, u64 pos, u64 len)
{
	memset(s->data + pos, 0, len);
	mark(s, pos, len, 0);
}

void shadow_discard(struct shadow *s, u64 pos, u64 len)
{
	mark(s, pos, len, 1);
}

bool shadow_check(const struct shadow *s, u64 pos, const void *buf, u64 len, u64 *where)
{
	static const u8 zero[SECTOR];
	const u8 *p = buf;
	u64 i;

	if (!memcmp(s->data + pos, buf, len))
		return true;
	for (i = 0; i < len; i += SECTOR) {
		if (!memcmp(s->data + pos + i, p + i, SECTOR))
			continue;
		if (s->maybe_zero[(pos + i) / SECTOR] && !memcmp(zero, p + i, SECTOR))
			continue;
		*where = pos + i + first_difference(s->data + pos + i, p + i, SECTOR);
		return false;
	}
	return true;
}

bool shadow_equals(const struct shadow *s, int fd, u64 pos, u64 len, u64 fd_pos)
{
	u8 *buf = xalloc(256 * KIB);
	bool same = true;
	u64 done, n, where;

	for (done = 0; same && done < len; done += n) {
		n = len - done < 256 * KIB ? len - done : 256 * KIB;
		if (!pread_all(fd, buf, n, fd_pos + done)) {
			diag("read at %llu: %s", (unsigned long long)(fd_pos + done),
			     err_name(errno));
			same = false;
		} else if (!shadow_check(s, pos + done, buf, n, &where)) {
			diag("disk byte %llu differs from what was written",
			     (unsigned long long)where);
			same = false;
		}
	}
	free(buf);
	return same;
}
