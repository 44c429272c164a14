// SPDX-License-Identifier: GPL-2.0-only
/*
 * Locks against QEMU's, in both orders, with vdctl long gone: the exact bytes
 * that are held on every file of a set, who is refused and who is not.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blk.h"
#include "images.h"
#include "tap.h"

static struct nl nl;
static struct nl_reply reply;
static struct run r;

/* What is attached how: the columns of the table. */
enum mode { RO, RW };

/* --------------------------------------------------------------------- ours */

static int vdctl_attach(const char *path, enum mode mode, const char *lock, struct vdev *dev)
{
	const char *argv[12] = { "vdctl", "-q", "attach", "--no-partscan" };
	unsigned int n = 4;

	if (!strstr(path, ".vmdk")) {
		argv[n++] = "-f";
		argv[n++] = "raw";
	}
	if (mode == RO)
		argv[n++] = "-r";
	if (lock)
		argv[n++] = lock;
	argv[n++] = path;
	memset(dev, 0, sizeof(*dev));
	run_argv(&r, argv);
	if (!r.status && sscanf(r.out, "/dev/vdisk%u", &dev->id) != 1)
		return -1;
	snprintf(dev->path, sizeof(dev->path), "/dev/vdisk%u", dev->id);
	return r.status;
}

static bool attached(const char *path, enum mode mode, struct vdev *dev, const char *name)
{
	if (!ok(!vdctl_attach(path, mode, NULL, dev), "%s: attach", name)) {
		diag("status %d: %s", r.status, r.err);
		return false;
	}
	return true;
}

static void detach(const struct vdev *dev)
{
	if (vdev_detach(&nl, dev->id, VDISK_DETACH_PLAIN, &reply))
		bail("detach: %s", reply.text);
}

/* ------------------------------------------------------------------- theirs */

/* qemu-io holds the image open until its stdin ends. */
static bool qemu_open(struct proc *p, const char *format, const char *path, enum mode mode)
{
	const char *rw[] = { "qemu-io", "-f", format, path, NULL };
	const char *ro[] = { "qemu-io", "-r", "-f", format, path, NULL };

	return proc_start(p, mode == RW ? rw : ro) && proc_expect(p, "qemu-io>", 30000);
}

/* May QEMU open it? Fails with its own message about locks, or as a writer is. */
static void qemu_may(const char *format, const char *path, enum mode mode, bool may,
		     const char *name)
{
	if (mode == RW)
		run(&r, "qemu-io", "-f", format, "-c", "length", path, NULL);
	else
		run(&r, "qemu-io", "-r", "-f", format, "-c", "length", path, NULL);
	if (may)
		ok(!r.status, "%s: QEMU may open it %s", name, mode == RW ? "RW" : "RO");
	else
		ok(r.status && (strstr(r.err, "lock") || strstr(r.err, "Text file busy")),
		   "%s: QEMU may not open it %s", name, mode == RW ? "RW" : "RO");
	if (!!r.status == may)
		diag("status %d: %s%s", r.status, r.out, r.err);
}

/* -------------------------------------------------------------------- bytes */

/* "100 201 203": which of the bytes that matter are locked. */
static const char *locked_bytes(const char *path)
{
	static char text[128];
	struct flock lock;
	int fd = xopen(path, O_RDONLY);
	size_t len = 0;
	unsigned int i;

	text[0] = 0;
	for (i = 100; i < 210; i++) {
		lock = (struct flock) { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = i,
					.l_len = 1 };
		if (fcntl(fd, F_OFD_GETLK, &lock))
			bail("F_OFD_GETLK: %s", err_name(errno));
		if (lock.l_type != F_UNLCK)
			len += snprintf(text + len, sizeof(text) - len, "%s%u", len ? " " : "", i);
	}
	close(fd);
	return text;
}

/* "none", "shared" or "exclusive". */
static const char *flock_state(const char *path)
{
	int fd = xopen(path, O_RDONLY);
	const char *state = "none";

	if (flock(fd, LOCK_EX | LOCK_NB))
		state = flock(fd, LOCK_SH | LOCK_NB) ? "exclusive" : "shared";
	close(fd);
	return state;
}

static void test_bytes(const char *raw, const char *chain_path)
{
	static const char *const chain_files[] = {
		"chain-3.vmdk", "chain-2.vmdk", "chain-1.vmdk", "chain-0.vmdk",
	};
	const char *dir = scratch_dir();
	struct vdev dev;
	char text[128];
	size_t i;

	if (attached(raw, RO, &dev, "raw RO")) {
		is_str(locked_bytes(raw), "100 201 203", "raw RO: bytes");
		is_str(flock_state(raw), "shared", "raw RO: flock");
		detach(&dev);
	}
	if (attached(raw, RW, &dev, "raw RW")) {
		is_str(locked_bytes(raw), "100 101 103 201 203", "raw RW: bytes");
		is_str(flock_state(raw), "exclusive", "raw RW: flock");
		detach(&dev);
	}
	is_str(locked_bytes(raw), "", "after detach: no bytes");
	is_str(flock_state(raw), "none", "after detach: no flock");

	if (attached(chain_path, RO, &dev, "chain")) {
		for (i = 0; i < ARRAY_SIZE(chain_files); i++) {
			snprintf(text, sizeof(text), "%s",
				 locked_bytes(path_in(dir, chain_files[i])));
			is_str(text, "100 201 203", "chain: bytes on %s", chain_files[i]);
		}
		detach(&dev);
	}
	if (!vdctl_attach(raw, RW, "--lock=no", &dev)) {
		is_str(locked_bytes(raw), "", "--lock=no: no bytes");
		detach(&dev);
	} else {
		ok(false, "--lock=no: %s", r.err);
	}
}

/* The descriptor and its extents, all of them. */
static void test_extents(void)
{
	const struct img_image *image = images_find("mess-monolithicFlat.vmdk");
	const char *path = strdup(images_stage(image, scratch_dir()));
	const char *flat = strdup(path_in(scratch_dir(), "mess-monolithicFlat-flat.vmdk"));
	struct vdev dev;

	if (attached(path, RO, &dev, "flat VMDK")) {
		is_str(locked_bytes(path), "100 201 203", "flat VMDK: bytes on the descriptor");
		is_str(locked_bytes(flat), "100 201 203", "flat VMDK: bytes on the extent");
		qemu_may("raw", flat, RW, false, "flat VMDK, its extent");
		detach(&dev);
	}
	images_unstage(image, scratch_dir());
}

/* --------------------------------------------------------------- both orders */

static void test_ours_first(const char *raw, const char *vmdk)
{
	struct vdev dev;

	if (attached(vmdk, RO, &dev, "ours VMDK RO")) {
		qemu_may("vmdk", vmdk, RO, true, "ours VMDK RO");
		qemu_may("vmdk", vmdk, RW, false, "ours VMDK RO");
		detach(&dev);
	}
	if (attached(raw, RO, &dev, "ours raw RO")) {
		qemu_may("raw", raw, RO, true, "ours raw RO");
		qemu_may("raw", raw, RW, false, "ours raw RO");
		detach(&dev);
	}
	if (attached(raw, RW, &dev, "ours raw RW")) {
		/* A reader of a raw image forbids nobody anything: QEMU's own rule. */
		qemu_may("raw", raw, RO, true, "ours raw RW");
		qemu_may("raw", raw, RW, false, "ours raw RW");
		detach(&dev);
	}
	qemu_may("raw", raw, RW, true, "after detach");
	qemu_may("vmdk", vmdk, RW, true, "after detach");
}

static void we_may(const char *path, enum mode mode, bool may, const char *name)
{
	struct vdev dev;
	int status = vdctl_attach(path, mode, NULL, &dev);

	if (!is_num(status, may ? 0 : 4, "%s: we %s attach it %s", name, may ? "may" : "may not",
		    mode == RW ? "RW" : "RO"))
		diag("%s", r.err);
	if (!status)
		detach(&dev);
	else if (!may)
		ok(r.err[0], "%s: the reason: %s", name, r.err);
}

static void test_theirs_first(const char *raw, const char *vmdk)
{
	static const struct {
		const char *name, *format;
		enum mode theirs;
		bool ro, rw;
	} rows[] = {
		{ "QEMU has VMDK RO", "vmdk", RO, true, false },
		{ "QEMU has VMDK RW", "vmdk", RW, false, false },
		{ "QEMU has raw RO", "raw", RO, true, true },
		{ "QEMU has raw RW", "raw", RW, false, false },
	};
	struct proc qemu;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		bool is_raw = !strcmp(rows[i].format, "raw");
		const char *path = is_raw ? raw : vmdk;

		if (!ok(qemu_open(&qemu, rows[i].format, path, rows[i].theirs), "%s",
			rows[i].name))
			continue;
		we_may(path, RO, rows[i].ro, rows[i].name);
		if (is_raw)
			we_may(path, RW, rows[i].rw, rows[i].name);
		proc_end(&qemu);
	}
	we_may(raw, RW, true, "once QEMU is gone");
}

/* What scripts and systemd use. */
static void test_flock(const char *raw)
{
	int fd = xopen(raw, O_RDONLY);

	if (flock(fd, LOCK_SH))
		bail("flock: %s", err_name(errno));
	we_may(raw, RO, true, "somebody's flock, shared");
	we_may(raw, RW, false, "somebody's flock, shared");
	if (flock(fd, LOCK_EX))
		bail("flock: %s", err_name(errno));
	we_may(raw, RO, false, "somebody's flock, exclusive");
	we_may(raw, RW, false, "somebody's flock, exclusive");
	close(fd);
}

/* VMware leaves a directory beside a disk that it has open. */
static void test_vmware(const char *raw)
{
	const char *mark = path_in(scratch_dir(), "disk.raw.lck");
	const char *file = path_in(mark, "M12345.lck");
	struct vdev dev;

	mkdir(mark, 0700);
	close(make_file(file, 0));
	we_may(raw, RW, false, "VMware's mark");
	is_num(vdctl_attach(raw, RO, NULL, &dev), 0, "VMware's mark: RO is fine");
	if (!r.status)
		detach(&dev);
	is_num(vdctl_attach(raw, RW, "--ignore-vmware-lock", &dev), 0,
	       "VMware's mark: --ignore-vmware-lock");
	if (!r.status)
		detach(&dev);
	unlink(file);
	rmdir(mark);
}

/* Looking at what is in use. */
static void test_force_share(const char *raw)
{
	struct vdev dev;

	if (!attached(raw, RW, &dev, "in use RW"))
		return;
	run(&r, "vdctl", "info", "-f", "raw", raw, NULL);
	is_num(r.status, 4, "vdctl info of what is in use: locked");
	run(&r, "vdctl", "info", "-U", "-f", "raw", raw, NULL);
	is_num(r.status, 0, "vdctl info -U");
	run(&r, "qemu-img", "info", "-U", "-f", "raw", raw, NULL);
	is_num(r.status, 0, "qemu-img info -U");
	detach(&dev);
}

int main(void)
{
	const struct img_image *image, *chain;
	const char *raw, *vmdk, *chain_path;
	int ret;

	ret = nl_open(&nl);
	if (ret)
		bail("no vdisk family: %s", err_name(ret));
	images_load();
	image = images_find("mess-monolithicSparse.vmdk");
	vmdk = strdup(images_stage(image, scratch_dir()));
	chain = images_find("chain-3.vmdk");
	chain_path = strdup(images_stage(chain, scratch_dir()));
	raw = strdup(path_in(scratch_dir(), "disk.raw"));
	close(make_random_file(raw, 4 * MIB, 1));

	test_bytes(raw, chain_path);
	test_extents();
	test_ours_first(raw, vmdk);
	test_theirs_first(raw, vmdk);
	test_flock(raw);
	test_vmware(raw);
	test_force_share(raw);

	is_num(vdev_count(&nl), 0, "nothing is left attached");
	vdev_detach_all(&nl);
	nl_close(&nl);
	return tap_done();
}
