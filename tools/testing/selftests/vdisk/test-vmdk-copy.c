// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two gigabytes into a sparse VMDK, from end to end: many tables, growth in many
 * steps, more dirty entries than the cache may hold. QEMU compares it with the
 * file that it is a copy of.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blk.h"
#include "shadow.h"
#include "tap.h"
#include "vmdk.h"

#define DISK	(2048 * MIB)
#define CHUNK	MIB

static struct nl nl;
static struct nl_reply reply;
static struct run r;

/* Noise that is the same in each chunk but for where it lies: no sector is like another. */
static void stamp(u8 *buf, u64 pos)
{
	u64 i, at;

	for (i = 0; i < CHUNK; i += SECTOR) {
		at = (pos + i) * 0x9e3779b97f4a7c15ULL;
		memcpy(buf + i + i / SECTOR % 60 * 8, &at, sizeof(at));
	}
}

static bool copy(int source, int disk)
{
	u8 *buf = xalloc(CHUNK);
	struct rng rng;
	bool good = true;
	u64 pos;

	rng_seed(&rng, 2);
	rng_fill(&rng, buf, CHUNK);
	for (pos = 0; good && pos < DISK; pos += CHUNK) {
		stamp(buf, pos);
		good = pwrite_all(source, buf, CHUNK, pos) && pwrite_all(disk, buf, CHUNK, pos);
		if (!good)
			diag("at %llu: %s", (unsigned long long)pos, err_name(errno));
	}
	free(buf);
	return good;
}

/* The fastest of QEMU's ways when emulated: others switch threads for each grain. */
#define QEMU_FILE	"file.driver=file,file.aio=native,file.cache.direct=on,file.filename="

static void compare(const struct vmdk_chain *c, const char *source)
{
	char image[256], raw[256];
	u64 start = now_ms();

	snprintf(image, sizeof(image), "driver=vmdk," QEMU_FILE "%s", c->images[0].path);
	snprintf(raw, sizeof(raw), "driver=raw," QEMU_FILE "%s", source);
	run(&r, "qemu-img", "compare", "--image-opts", image, raw, NULL);
	if (!is_num(r.status, 0, "qemu-img compare with the source"))
		diag("%s%s", r.out, r.err);
	diag("compared in %llu ms", (unsigned long long)(now_ms() - start));
}

static void run_copy(struct vmdk_chain *c, const char *source)
{
	u64 start = now_ms();
	struct vdev dev;
	int from, to;

	vmdk_make(c, 1);
	if (!is_err(vmdk_attach(&nl, c, VDISK_F_NO_PARTSCAN, &dev, &reply), 0, "attach"))
		bail("%s", reply.text);
	from = make_file(source, 0);
	to = vdev_open(&dev, O_RDWR | O_DIRECT);
	ok(copy(from, to), "2 GiB are copied");
	ok(!fsync(to), "fsync");
	close(from);
	close(to);
	is_str(vdev_sysfs(&dev, "vdisk/errors"), "0", "no failed request");
	is_err(vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply), 0, "detach");
	diag("copied in %llu ms", (unsigned long long)(now_ms() - start));
	start = now_ms();
	ok(vmdk_sound(c, 0), "the image is sound and clean");
	is_num(vmdk_grains(&c->images[0].extents[0]), DISK / (64 * KIB), "each grain has a place");
	is_num(vmdk_qemu_check(c), 0, "qemu-img check");
	diag("checked in %llu ms", (unsigned long long)(now_ms() - start));
	compare(c, source);
}

int main(void)
{
	const char *dir = place_large();
	struct vmdk_chain c;
	char source[128];
	int ret;

	ret = nl_open(&nl);
	if (ret)
		bail("no vdisk family: %s", err_name(ret));
	if (!dir)
		bail("VDT_LARGE is not set");
	snprintf(source, sizeof(source), "%s/source", dir);
	c = vmdk_single(dir, "copy", vmdk_sparse(DISK, 64 * KIB, VMDK_RGD, 0));
	run_copy(&c, source);
	vmdk_remove(&c);
	unlink(source);
	is_num(vdev_count(&nl), 0, "nothing is left attached");
	vdev_detach_all(&nl);
	nl_close(&nl);
	return tap_done();
}
