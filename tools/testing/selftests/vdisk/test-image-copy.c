// SPDX-License-Identifier: GPL-2.0-only
/*
 * Gigabytes into a sparse image, from end to end: many tables, growth in many
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
#include "chain.h"
#include "shadow.h"
#include "tap.h"

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

static bool copy(int source, int disk, u64 size)
{
	u8 *buf = xalloc(CHUNK);
	struct rng rng;
	bool good = true;
	u64 pos;

	rng_seed(&rng, 2);
	rng_fill(&rng, buf, CHUNK);
	for (pos = 0; good && pos < size; pos += CHUNK) {
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

static void compare(const struct chain *c, const char *format, const char *source)
{
	char image[256], raw[256];
	u64 start = now_ms();

	snprintf(image, sizeof(image), "driver=%s," QEMU_FILE "%s", format,
		 c->images[0].path);
	snprintf(raw, sizeof(raw), "driver=raw," QEMU_FILE "%s", source);
	run(&r, "qemu-img", "compare", "--image-opts", image, raw, NULL);
	if (!is_num(r.status, 0, "%s: qemu-img compare with the source", format))
		diag("%s%s", r.out, r.err);
	diag("compared in %llu ms", (unsigned long long)(now_ms() - start));
}

static void run_copy(const char *dir, const char *format, struct extent extent)
{
	struct chain c = chain_single(dir, "copy", extent);
	u64 start = now_ms();
	struct vdev dev;
	char source[128];
	int from, to;

	snprintf(source, sizeof(source), "%s/source", dir);
	chain_make(&c, 1);
	if (!is_err(chain_attach(&nl, &c, VDISK_F_NO_PARTSCAN, &dev, &reply), 0, "%s: attach",
		    format))
		bail("%s", reply.text);
	from = make_file(source, 0);
	to = vdev_open(&dev, O_RDWR | O_DIRECT);
	ok(copy(from, to, extent.len), "%s: %llu MiB are copied", format,
	   (unsigned long long)(extent.len / MIB));
	ok(!fsync(to), "%s: fsync", format);
	close(from);
	close(to);
	is_str(vdev_sysfs(&dev, "vdisk/errors"), "0", "%s: no failed request", format);
	is_err(vdev_detach(&nl, dev.id, VDISK_DETACH_PLAIN, &reply), 0, "%s: detach", format);
	diag("copied in %llu ms", (unsigned long long)(now_ms() - start));
	start = now_ms();
	ok(chain_sound(&c, 0), "%s: the image is sound and clean", format);
	is_num(extent_units(&c.images[0].extents[0]), extent.len / extent.unit,
	       "%s: each unit has a place", format);
	is_num(chain_qemu_check(&c), 0, "%s: qemu-img check", format);
	diag("checked in %llu ms", (unsigned long long)(now_ms() - start));
	compare(&c, format, source);
	chain_remove(&c);
	unlink(source);
}

int main(void)
{
	const unsigned int part = brief_run() ? 4 : 1;
	const char *dir = place_large();
	int ret;

	ret = nl_open(&nl);
	if (ret)
		bail("no vdisk family: %s", err_name(ret));
	if (!dir)
		bail("VDT_LARGE is not set");
	run_copy(dir, "vmdk", vmdk_sparse(scaled(2048 / part) * MIB, 64 * KIB, VMDK_RGD, 0));
	run_copy(dir, "vdi", vdi_blocks(scaled(512 / part) * MIB, MIB, VDI_VIRTUALBOX, 0));
	is_num(vdev_count(&nl), 0, "nothing is left attached");
	vdev_detach_all(&nl);
	nl_close(&nl);
	return tap_done();
}
