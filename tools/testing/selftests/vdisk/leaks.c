// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "leaks.h"
#include "tap.h"

#define REPORT	"/sys/kernel/debug/kmemleak"

/* An object must have been there for 5 s to be called leaked. */
#define OLD_MS	6000

/* The file is there, and can be read, without it; but it takes no command. */
bool leaks_watched(void)
{
	int fd = open(REPORT, O_WRONLY | O_CLOEXEC);
	bool watched;

	if (fd < 0)
		return false;
	/* There is no object at 0. */
	watched = write(fd, "dump=0", 6) < 0 && errno == EINVAL;
	close(fd);
	return watched;
}

bool leaks_scan(void)
{
	u64 start = now_ms();
	unsigned int scans;

	for (scans = 0; scans < 2 || now_ms() - start < 2 * OLD_MS; scans++)
		if (!write_text(REPORT, "scan"))
			return false;
	return true;
}

/* Of the objects in the report, how many have @code in their backtrace? */
static unsigned int count_reports(const char *code)
{
	FILE *f = fopen(REPORT, "re");
	bool counted = false;
	unsigned int nr = 0;
	char line[256];

	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		diag("%s", line);
		if (!strncmp(line, "unreferenced object", 19))
			counted = false;
		if (!counted && strstr(line, code)) {
			counted = true;
			nr++;
		}
	}
	if (f)
		fclose(f);
	return nr;
}

unsigned int leaks_ours(void)
{
	return count_reports("[vdisk");
}

unsigned int leaks_all(void)
{
	return count_reports("unreferenced object");
}

void leaks_check(void)
{
	if (!leaks_watched())
		return;
	ok(leaks_scan(), "kmemleak has scanned");
	is_num(leaks_ours(), 0, "no leak of ours");
}
