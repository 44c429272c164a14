// SPDX-License-Identifier: GPL-2.0-only
/* What QEMU says of a state. */
#include <regex.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "powercut.h"

#define LEAKS	3	/* exit status of qemu-img check */
#define CORRUPT	2

static FILE * __printf(1, 2) start(const char *fmt, ...)
{
	char command[8192];
	va_list args;
	FILE *f;

	va_start(args, fmt);
	vsnprintf(command, sizeof(command), fmt, args);
	va_end(args);
	f = popen(command, "re");
	if (!f)
		pc_die("qemu-img does not start");
	return f;
}

static int end(FILE *f)
{
	int status = pclose(f);

	return WIFEXITED(status) ? WEXITSTATUS(status) : 127;
}

static bool is_excused(const struct pc_walk *w, const char *line)
{
	static regex_t regex;
	static bool ready;

	if (!w->excused || w->settled)
		return false;
	if (!ready && regcomp(&regex, w->excused, REG_EXTENDED | REG_NOSUB))
		pc_die("--excused: no regular expression");
	ready = true;
	return !regexec(&regex, line, 0, NULL, 0);
}

bool pc_qemu_check(struct pc_walk *w)
{
	FILE *f = start("qemu-img check -f %s '%s' 2>&1", w->format, w->path);
	bool excused = false, objected = false;
	char line[1024];
	int status;

	w->stats.checks++;
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "ERROR", 5))
			continue;
		if (is_excused(w, line))
			excused = true;
		else
			objected = true;
		if (objected)
			pc_bad(w->rule, "qemu-img check: %s", line);
	}
	status = end(f);
	if (!objected && (!status || (status == LEAKS && !w->settled) ||
			  (status == CORRUPT && excused)))
		return true;
	return pc_bad(w->rule, "qemu-img check: exit status %d", status);
}

/* Between the places that were written to nothing ever was. */
static bool judge_disk(struct pc_walk *w, const u8 *disk)
{
	const struct pc_oracle *o = &w->oracle;
	u64 s, nr;

	for (s = 0; s < o->sectors; s += nr) {
		nr = min_t(u64, PC_PIECE, o->sectors - s);
		if (!pc_oracle_judge(o, s, nr, disk + s * PC_SECTOR, w->rule))
			return false;
	}
	return true;
}

bool pc_qemu_read(struct pc_walk *w)
{
	FILE *f = start("qemu-img convert -q -f %s -O raw '%s' '%s' 2>&1", w->format, w->path,
			w->scratch);
	char line[PC_RULE / 2] = "";
	bool good;
	u8 *disk;
	u64 len;

	w->stats.reads++;
	if (fgets(line, sizeof(line), f))
		pc_bad(w->rule, "qemu-img convert: %s", line);
	if (end(f))
		return pc_bad(w->rule, "qemu-img convert failed");
	disk = pc_map_file(w->scratch, false, &len);
	good = len >= w->oracle.sectors * PC_SECTOR ? judge_disk(w, disk) :
	       pc_bad(w->rule, "QEMU: the disk has %llu bytes", len);
	munmap(disk, len);
	if (!good && strncmp(w->rule, "QEMU", 4)) {
		char text[PC_RULE];

		snprintf(text, sizeof(text), "QEMU reads: %.200s", w->rule);
		memcpy(w->rule, text, sizeof(text));
	}
	return good;
}
