// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attach and detach, a thousand times, beside a thread that asks for the list
 * of devices all the while: memory, slab objects, descriptors, processes and
 * the modules' use counts come back to where they were.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "blk.h"
#include "images.h"
#include "tap.h"

#define WARM_UP		60
#define CYCLES		1000
#define DISK		(2 * MIB)

/* Slack: other parts of the kernel live, too. A leak of 1 KiB a cycle shows. */
#define SLACK_KIB	700

static struct nl nl;
static struct nl_reply reply;
static const char *raw_path, *vmdk_path;
static u64 vmdk_size;

/* --------------------------------------------------------------- resources */

struct usage {
	long slab_kib;
	long unreclaimable_kib;
	long used_kib;
	long vmalloc_kib;
	long percpu_kib;
	long stacks_kib;
	int refs;
	unsigned int fds;
};

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

static void settle(void)
{
	sync();
	write_text("/proc/sys/vm/drop_caches", "3\n");
	/* Per-CPU partial slabs count as active until they are given back. */
	write_text("/proc/sys/vm/compact_memory", "1\n");
}

static void measure(struct usage *u)
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
}

static void show(const char *when, const struct usage *u)
{
	diag("%s, in KiB: slab objects %ld, unreclaimable slab %ld, all memory %ld", when,
	     u->slab_kib, u->unreclaimable_kib, u->used_kib);
	diag("%s, in KiB: vmalloc %ld, percpu %ld, stacks %ld", when, u->vmalloc_kib,
	     u->percpu_kib, u->stacks_kib);
}

/* ------------------------------------------------------------------ cycles */

static bool cycle_once(unsigned int i)
{
	bool vmdk = i % 2;
	int fd = xopen(vmdk ? vmdk_path : raw_path, vmdk ? O_RDONLY : O_RDWR);
	char buf[4096];
	struct vdev dev;
	int ret, dfd;
	bool good;

	if (vmdk)
		ret = attach_sparse(&nl, fd, vmdk_size, &dev, &reply);
	else
		ret = attach_raw(&nl, fd, DISK, 0, &dev, &reply);
	close(fd);
	if (ret) {
		diag("cycle %u: attach: %s \"%s\"", i, err_name(ret), reply.text);
		return false;
	}
	dfd = vdev_open(&dev, O_RDONLY);
	good = dfd >= 0 && pread(dfd, buf, sizeof(buf), (i * 65536) % DISK) == sizeof(buf);
	if (!good)
		diag("cycle %u: cannot read", i);
	if (dfd >= 0)
		close(dfd);
	ret = vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply);
	if (ret)
		diag("cycle %u: detach: %s \"%s\"", i, err_name(ret), reply.text);
	return good && !ret;
}

static unsigned int cycle(unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count && cycle_once(i); i++)
		;
	return i;
}

static atomic_bool stop;
static atomic_uint dumps, dump_errors;

static void nothing(void *ctx, const struct nl_reply *msg)
{
}

/* Looks at devices at every moment of their lives. */
static void *watcher(void *arg)
{
	struct nl_reply *answer = xalloc(sizeof(*answer));
	struct nl_req req;
	struct nl mine;

	if (nl_open(&mine))
		return NULL;
	while (!stop) {
		nl_begin(&req, VDISK_CMD_GET);
		if (nl_dump(&mine, &req, nothing, NULL))
			dump_errors++;
		nl_end(&req);
		vdev_get(&mine, 0, answer);
		vdev_set(&mine, 0, 0, VDISK_F_NO_DISCARD, answer);
		dumps++;
	}
	nl_close(&mine);
	free(answer);
	return NULL;
}

static void compare(const struct usage *before, const struct usage *after)
{
	is_num(after->refs, before->refs, "the module's use count");
	is_num(after->fds, before->fds, "open descriptors of this process");
	ok(after->slab_kib - before->slab_kib < SLACK_KIB, "slab objects: %+ld KiB",
	   after->slab_kib - before->slab_kib);
	ok(after->unreclaimable_kib - before->unreclaimable_kib < 2 * SLACK_KIB,
	   "unreclaimable slab: %+ld KiB",
	   after->unreclaimable_kib - before->unreclaimable_kib);
	ok(after->vmalloc_kib - before->vmalloc_kib < SLACK_KIB, "vmalloc: %+ld KiB",
	   after->vmalloc_kib - before->vmalloc_kib);
	ok(after->percpu_kib - before->percpu_kib < SLACK_KIB, "per-CPU memory: %+ld KiB",
	   after->percpu_kib - before->percpu_kib);
	ok(after->stacks_kib - before->stacks_kib < SLACK_KIB, "kernel stacks: %+ld KiB",
	   after->stacks_kib - before->stacks_kib);
	/*
	 * The page cache's bookkeeping and the network file system under the root
	 * move this by megabytes either way, so it is shown and not judged.
	 */
	diag("memory that no line of meminfo accounts for: %+ld KiB",
	     after->used_kib - before->used_kib);
}

int main(void)
{
	const struct img_image *image;
	struct usage before, after;
	pthread_t thread;
	u64 start;
	int ret;

	ret = nl_open(&nl);
	if (ret)
		bail("no vdisk family: %s", err_name(ret));
	images_load();
	image = images_find("mess-monolithicSparse.vmdk");
	vmdk_size = images_disk(image->disk)->size;
	vmdk_path = strdup(images_stage(image, scratch_dir()));
	raw_path = strdup(path_in(scratch_dir(), "raw"));
	close(make_random_file(raw_path, DISK, 1));

	if (!is_num(cycle(WARM_UP), WARM_UP, "%u cycles to warm up", WARM_UP))
		return tap_done();
	measure(&before);
	show("before", &before);
	start = now_ms();
	is_num(cycle(CYCLES), CYCLES, "%u cycles of attach, read, detach", CYCLES);
	diag("%llu us each", (unsigned long long)(now_ms() - start) * 1000 / CYCLES);
	ok(wait_until(module_refs("vdisk") == before.refs, 5000), "all devices are gone");
	measure(&after);
	show("after", &after);
	compare(&before, &after);

	pthread_create(&thread, NULL, watcher, NULL);
	is_num(cycle(150), 150, "150 cycles under the eyes of GET, SET and dumps");
	stop = true;
	pthread_join(thread, NULL);
	diag("%u dumps", dumps);
	is_num(dump_errors, 0, "no dump failed");

	is_num(vdev_count(&nl), 0, "nothing is left attached");
	nl_close(&nl);
	is_err(unload_all(), 0, "the modules can be unloaded");
	ok(!module_loaded("vdisk"), "and are gone");
	return tap_done();
}
