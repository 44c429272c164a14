// SPDX-License-Identifier: GPL-2.0-only
/*
 * What attach, I/O and detach of each kind take they give back, also when an allocation
 * of theirs fails: the kernel's own search for memory that nothing points to any more
 * finds none that our modules allocated. For kernels that were booted with kmemleak=on.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "blk.h"
#include "chain.h"
#include "inject.h"
#include "leaks.h"
#include "tap.h"

#define DISK	(4 * MIB)
#define ROUNDS	3

static struct nl nl;
static struct nl_reply reply;
static struct inject_text text;

static bool read_and_write(const struct vdev *dev)
{
	int fd = vdev_open(dev, O_RDWR | O_DIRECT);
	u8 *buf = xalloc(64 * KIB);
	bool good = fd >= 0;
	u64 pos;

	memset(buf, 0xc5, 4096);
	for (pos = 0; good && pos < DISK; pos += 256 * KIB)
		good = pwrite_all(fd, buf, 4096, pos) && pread_all(fd, buf, 64 * KIB, pos);
	good = good && !bdev_discard(fd, MIB, MIB) && !bdev_zeroout(fd, 2 * MIB, MIB) &&
	       !fsync(fd);
	close(fd);
	free(buf);
	return good;
}

static bool set_back_and_forth(const struct vdev *dev)
{
	return !vdev_set(&nl, dev->id, VDISK_F_RDONLY, VDISK_F_RDONLY, &reply) &&
	       !vdev_set(&nl, dev->id, 0, VDISK_F_RDONLY, &reply) &&
	       vdev_count(&nl) == 1;
}

static bool detach(const struct vdev *dev, u32 mode)
{
	int fd = mode == VDISK_DETACH_PLAIN ? -1 : vdev_open(dev, O_RDONLY);
	int ret = vdev_detach(&nl, dev->id, mode, &reply);

	if (fd >= 0)
		close(fd);
	if (ret)
		diag("detach: %s \"%s\"", err_name(ret), reply.text);
	return !ret && wait_until(vdev_gone(&nl, dev->id), 20000);
}

static bool round_trip(struct chain *c, u32 mode)
{
	struct vdev dev;

	chain_must_attach(&nl, c, 0, &dev, &reply);
	return read_and_write(&dev) && set_back_and_forth(&dev) && detach(&dev, mode);
}

/* Each allocation of ours fails once; what had been done for it is undone. */
static unsigned int failing_attaches(struct chain *c)
{
	struct vdev dev;
	unsigned int n;
	bool hit = true;
	int ret;

	inject_filter(INJECT_OWN, &text);
	for (n = 0; hit; n++) {
		struct nl_req req;
		int fds[CHAIN_MAX_IMAGES * CHAIN_MAX_EXTENTS];
		unsigned int nr = chain_request(&req, c, 0, fds);

		nth_arm(n + 1);
		ret = attach_send(&nl, &req, &dev, &reply);
		hit = nth_disarm();
		while (nr)
			close(fds[--nr]);
		if (!ret && !detach(&dev, VDISK_DETACH_PLAIN))
			bail("it stays");
	}
	return n - 1;
}

static void run_kind(const char *name, struct chain c)
{
	static const u32 modes[ROUNDS] = {
		VDISK_DETACH_PLAIN, VDISK_DETACH_LAZY, VDISK_DETACH_FORCE
	};
	unsigned int i, sites;
	bool good = true;

	chain_make(&c, 31);
	for (i = 0; good && i < ROUNDS; i++)
		good = round_trip(&c, modes[i]);
	ok(good, "%s: attached, used, detached", name);
	sites = failing_attaches(&c);
	ok(sites > 10, "%s: attached without memory for one of %u things", name, sites);
	chain_remove(&c);
}

/* The detector knows the memory of our module, to the byte. */
static void check_detector(void)
{
	char line[64];

	snprintf(line, sizeof(line), "dump=0x%llx", (unsigned long long)text.start);
	ok(write_text("/sys/kernel/debug/kmemleak", line), "kmemleak knows the module's memory");
	snprintf(line, sizeof(line), "dump=0x%llx", (unsigned long long)text.start + 8);
	ok(!write_text("/sys/kernel/debug/kmemleak", line), "and where it begins");
}

static void load_formats(void)
{
	static struct run r;

	if (run(&r, "modprobe", "-a", "vdisk-raw", "vdisk-vmdk", "vdisk-vdi", NULL))
		bail("modprobe: %s", r.err);
}

int main(void)
{
	const struct extent vmdk = vmdk_sparse(DISK, 64 * KIB, VMDK_RGD, 20);
	const struct extent vdi = vdi_blocks(DISK, 64 * KIB, 0, 20);
	const char *ext4, *xfs;

	if (!leaks_watched())
		bail("no kmemleak here: boot with kmemleak=on");
	inject_init();
	chain_begin(&nl, &ext4, &xfs);
	load_formats();
	text = inject_module();
	check_detector();
	run_kind("raw", chain_single(ext4, "k", raw_file(DISK)));
	run_kind("VMDK", chain_single(ext4, "k", vmdk));
	run_kind("VDI", chain_single(xfs, "k", vdi));
	run_kind("VMDK over VDI", chain_delta(ext4, vmdk, vdi));
	run_kind("VDI over raw", chain_delta(xfs, vdi, raw_file(DISK)));
	is_num(vdev_count(&nl), 0, "nothing is left attached");
	leaks_check();
	nl_close(&nl);
	is_err(unload_all(), 0, "the modules can be unloaded");
	/* Whose code it was cannot be told any more. */
	ok(leaks_scan(), "kmemleak has scanned again");
	is_num(leaks_all(), 0, "no leak at all");
	return tap_done();
}
