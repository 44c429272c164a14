// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attach and detach, hundreds of times, beside a thread that asks for the list
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
#include "usage.h"

#define WARM_UP		60
#define CYCLES		500
#define CYCLES_FULL	2000
#define WATCHED		150
#define DISK		(2 * MIB)

/*
 * Slack: other parts of the kernel live, too. A leak of 2 KiB a cycle shows; in a full
 * run, of 400 bytes.
 */
#define SLACK_KIB	700

static struct nl nl;
static struct nl_reply reply;
static const char *raw_path, *vmdk_path;
static u64 vmdk_size;

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

int main(void)
{
	const unsigned int some = brief_run() ? CYCLES / 3 : CYCLES;
	const unsigned int cycles = scaled(full_run() ? CYCLES_FULL : some);
	const unsigned int watched = scaled(brief_run() ? WATCHED / 3 : WATCHED);
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
	usage_measure(&before);
	usage_show("before", &before);
	start = now_ms();
	is_num(cycle(cycles), cycles, "%u cycles of attach, read, detach", cycles);
	diag("%llu us each", (unsigned long long)(now_ms() - start) * 1000 / cycles);
	ok(wait_until(module_refs("vdisk") == before.refs, 5000), "all devices are gone");
	usage_measure(&after);
	usage_show("after", &after);
	usage_compare(&before, &after, SLACK_KIB);

	pthread_create(&thread, NULL, watcher, NULL);
	is_num(cycle(watched), watched, "%u cycles under the eyes of GET, SET and dumps", watched);
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
