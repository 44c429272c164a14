// SPDX-License-Identifier: GPL-2.0-only
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tap.h"
#include "usage.h"
#include "util.h"

static long meminfo(const char *text, const char *key)
{
	const char *p = strstr(text, key);

	return p ? atol(p + strlen(key)) : 0;
}

/* Sum of all caches' active objects: what /proc/meminfo counts in whole slabs. */
static long slab_objects_kib(void)
{
	FILE *f = fopen("/proc/slabinfo", "re");
	unsigned long active, all, size;
	char line[512], name[64];
	unsigned long long bytes = 0;

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		/* Caches of names and inodes follow what else the guest does. */
		if (sscanf(line, "%63s %lu %lu %lu", name, &active, &all, &size) == 4 &&
		    !strstr(name, "inode") && strcmp(name, "dentry"))
			bytes += (unsigned long long)active * size;
	}
	fclose(f);
	return bytes / 1024;
}

static bool is_ours(const char *pid)
{
	char path[300], name[64];

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	if (!read_text(path, name, sizeof(name)) || strncmp(name, "vdisk", 5))
		return false;
	/* Threads of the kernel have no command line. */
	snprintf(path, sizeof(path), "/proc/%s/cmdline", pid);
	return read_text(path, name, sizeof(name)) && !name[0];
}

unsigned int count_kernel_threads(void)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	unsigned int count = 0;

	while (dir && (entry = readdir(dir))) {
		if (isdigit((unsigned char)entry->d_name[0]) && is_ours(entry->d_name))
			count++;
	}
	if (dir)
		closedir(dir);
	return count;
}

/*
 * KASAN keeps what was freed for a while, as if in use, up to a 32nd of the machine; what
 * it holds of a cache goes when that is shrunk.
 */
static void shrink_caches(void)
{
	DIR *dir = opendir("/sys/kernel/slab");
	struct dirent *entry;
	char path[320];

	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/sys/kernel/slab/%s/shrink", entry->d_name);
		write_text(path, "1\n");
	}
	if (dir)
		closedir(dir);
}

static void settle(void)
{
	sync();
	write_text("/proc/sys/vm/drop_caches", "3\n");
	/* Per-CPU partial slabs count as active until they are given back. */
	write_text("/proc/sys/vm/compact_memory", "1\n");
	shrink_caches();
}

long usage_slab_kib(void)
{
	settle();
	return slab_objects_kib();
}

void usage_measure(struct usage *u)
{
	char text[8192];

	settle();
	read_text("/proc/meminfo", text, sizeof(text));
	u->slab_kib = slab_objects_kib();
	u->unreclaimable_kib = meminfo(text, "SUnreclaim:");
	/* What no other line accounts for: pages that a driver took for itself. */
	u->used_kib = meminfo(text, "MemTotal:") - meminfo(text, "MemFree:") -
		      meminfo(text, "\nCached:") - meminfo(text, "Buffers:") -
		      meminfo(text, "AnonPages:") - meminfo(text, "\nSlab:") -
		      meminfo(text, "KernelStack:") - meminfo(text, "PageTables:") -
		      meminfo(text, "Percpu:");
	u->vmalloc_kib = meminfo(text, "VmallocUsed:");
	u->percpu_kib = meminfo(text, "Percpu:");
	u->stacks_kib = meminfo(text, "KernelStack:");
	u->refs = module_refs("vdisk");
	u->fds = count_open_fds();
	u->threads = count_kernel_threads();
}

void usage_show(const char *when, const struct usage *u)
{
	diag("%s, in KiB: slab objects %ld, unreclaimable slab %ld, all memory %ld", when,
	     u->slab_kib, u->unreclaimable_kib, u->used_kib);
	diag("%s, in KiB: vmalloc %ld, percpu %ld, stacks %ld", when, u->vmalloc_kib,
	     u->percpu_kib, u->stacks_kib);
}

void usage_compare(const struct usage *before, const struct usage *after, long slack_kib)
{
	is_num(after->refs, before->refs, "the module's use count");
	is_num(after->fds, before->fds, "open descriptors of this process");
	is_num(after->threads, before->threads, "threads of the kernel for devices");
	ok(after->slab_kib - before->slab_kib < slack_kib, "slab objects: %+ld KiB",
	   after->slab_kib - before->slab_kib);
	ok(after->unreclaimable_kib - before->unreclaimable_kib < 2 * slack_kib,
	   "unreclaimable slab: %+ld KiB",
	   after->unreclaimable_kib - before->unreclaimable_kib);
	ok(after->vmalloc_kib - before->vmalloc_kib < slack_kib, "vmalloc: %+ld KiB",
	   after->vmalloc_kib - before->vmalloc_kib);
	ok(after->percpu_kib - before->percpu_kib < slack_kib, "per-CPU memory: %+ld KiB",
	   after->percpu_kib - before->percpu_kib);
	ok(after->stacks_kib - before->stacks_kib < slack_kib, "kernel stacks: %+ld KiB",
	   after->stacks_kib - before->stacks_kib);
	/*
	 * The page cache's bookkeeping and the network file system under the root
	 * move this by megabytes either way, so it is shown and not judged.
	 */
	diag("memory that no line of meminfo accounts for: %+ld KiB",
	     after->used_kib - before->used_kib);
}
