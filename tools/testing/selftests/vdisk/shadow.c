// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* Of the sectors from @where on in @buf, which begins at @pos: what is in them instead? */
static const char *describe(const struct shadow *s, const u8 *buf, u64 pos, u64 len, u64 where)
{
	static const u8 zero[SECTOR];
	static char text[160];
	u64 i, bad = 0, zeros = 0, wanted = 0;

	for (i = where / SECTOR * SECTOR; i < pos + len; i += SECTOR) {
		if (!memcmp(s->data + i, buf + (i - pos), SECTOR))
			continue;
		bad++;
		zeros += !memcmp(zero, buf + (i - pos), SECTOR);
		wanted += !memcmp(zero, s->data + i, SECTOR);
	}
	snprintf(text, sizeof(text), "%llu sectors near by, %llu are zeros, %llu should be",
		 (unsigned long long)bad, (unsigned long long)zeros, (unsigned long long)wanted);
	return text;
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
			diag("disk byte %llu differs from what was written: %s",
			     (unsigned long long)where,
			     describe(s, buf, pos + done, n, where));
			same = false;
		}
	}
	free(buf);
	return same;
}

void shadow_settle(struct shadow *s, int fd)
{
	if (!pread_all(fd, s->data, s->size, 0))
		bail("cannot read the disk under test: %s", err_name(errno));
	memset(s->maybe_zero, 0, s->size / SECTOR);
}

void shadow_dump(const struct shadow *s, const char *path)
{
	static const u8 zero[64 * KIB];
	int fd = make_file(path, s->size);
	u64 pos, n;

	for (pos = 0; pos < s->size; pos += n) {
		n = s->size - pos < sizeof(zero) ? s->size - pos : sizeof(zero);
		if (memcmp(s->data + pos, zero, n) && !pwrite_all(fd, s->data + pos, n, pos))
			bail("cannot write %s: %s", path, err_name(errno));
	}
	close(fd);
}
