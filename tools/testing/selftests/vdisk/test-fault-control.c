// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each single allocation of attach, detach, set, list, open and of loading the
 * modules fails once. The operation succeeds all the same, or says that there is no
 * memory; what it had begun is undone: no device, no reference to a module, no claim
 * on a file is left, and flags are the old or the new ones.
 *
 * Wherever our module is in the call stack an allocation counts as inside, so those
 * of the block layer and the file systems below are among them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "blk.h"
#include "chain.h"
#include "images.h"
#include "kinds.h"
#include "leaks.h"
#include "sites.h"
#include "tap.h"

#define DISK		(4 * MIB)
#define ALL_FLAGS	(VDISK_F_RDONLY | VDISK_F_NO_DISCARD | VDISK_F_NO_FLUSH | VDISK_F_ISOLATE)

static struct nl nl;
static struct nl_reply reply;
static struct inject_text text;
static int idle_refs;

/* ------------------------------------------------------------- what is left */

static bool refs_are_back(void)
{
	return wait_until(module_refs("vdisk") == idle_refs, 5000);
}

/* Nobody holds it for reading only, nor for writing alone. */
static bool is_free(const struct chain *c)
{
	unsigned int i, e;
	int fd;

	for (i = 0; i < c->nr; i++) {
		for (e = 0; e < c->images[i].nr; e++) {
			fd = open(c->images[i].extents[e].path, O_RDWR | O_CLOEXEC);
			if (fd < 0) {
				diag("%s: %s", c->images[i].extents[e].path, err_name(errno));
				return false;
			}
			close(fd);
		}
	}
	return true;
}

static bool nothing_is_left(const struct chain *c)
{
	int count = vdev_count(&nl);

	if (count)
		diag("%d devices", count);
	if (!refs_are_back()) {
		diag("%d references to the module", module_refs("vdisk"));
		return false;
	}
	return !count && is_free(c);
}

/* An answer of ours says why; one that netlink itself gives need not. */
static bool says_why(int ret, enum side side)
{
	if (!ret || side == SIDE_AROUND || ret == -ENOBUFS)
		return true;
	if (reply.text[0] && !strstr(reply.text, "memory") && !strstr(reply.text, "-12"))
		diag("for want of memory: %s", reply.text);
	if (reply.text[0])
		return true;
	diag("%s without a word", err_name(ret));
	return false;
}

/* -------------------------------------------------------------------- attach */

struct attaching {
	struct chain chain;
	u32 flags;
	struct nl_req req;
	int fds[CHAIN_MAX_IMAGES * CHAIN_MAX_EXTENTS];
	unsigned int nr;
	struct vdev dev;
};

static void put_patch(struct attaching *a)
{
	struct extent *e = &a->chain.images[0].extents[0];

	e->patch.len = 0;
	if (e->kind->renew && !(a->flags & VDISK_F_HARD_RDONLY))
		e->kind->renew(e, &e->patch);
	if (e->patch.len)
		nl_put(&a->req, VDISK_A_PATCH, &e->patch, sizeof(e->patch));
}

static void attach_prepare(void *ctx)
{
	struct attaching *a = ctx;

	a->nr = chain_request(&a->req, &a->chain, a->flags, a->fds);
	put_patch(a);
	nl_put_str(&a->req, VDISK_A_NAME, "name");
	nl_put_str(&a->req, VDISK_A_PATH, "path");
}

static int attach_act(void *ctx)
{
	struct attaching *a = ctx;

	return attach_send(&nl, &a->req, &a->dev, &reply);
}

static bool attach_settle(void *ctx, int ret, enum side side)
{
	struct attaching *a = ctx;
	bool good = says_why(ret, side);

	while (a->nr)
		close(a->fds[--a->nr]);
	/* The acknowledgement may be what was lost: netlink says ENOBUFS then. */
	if (!ret || side == SIDE_AROUND || ret == -ENOBUFS)
		vdev_detach_all(&nl);
	return nothing_is_left(&a->chain) && good;
}

static void run_attach(const char *name, struct chain chain, u32 flags, enum side side,
		       unsigned int least)
{
	static struct attaching a;
	const struct operation op = { name, &text, attach_prepare, attach_act, attach_settle, &a };

	a = (struct attaching) { .chain = chain, .flags = flags };
	chain_make(&a.chain, 11);
	sites_run(&op, side, least);
	if (side == SIDE_INSIDE) {
		sites_run(&op, SIDE_AROUND, 3);
		/* Where it takes place otherwise, and is answered from. */
		sites_run(&op, SIDE_WORKERS, 20);
	}
	chain_remove(&a.chain);
}

/* ----------------------------------------------- with something attached */

/**
 * struct attached - a disk to do something with
 * @held: open while it is done; -1: nobody has it open
 * @mode: of a detach
 * @await: a detach ends with its work; what waits may fail nothing of its own
 * @flags, @mask: of a set
 * @before: flags before it
 */
struct attached {
	struct chain chain;
	struct shadow shadow;
	struct vdev dev;
	bool there;
	bool hold;
	int held;
	u32 mode;
	bool await;
	u32 flags;
	u32 mask;
	u32 before;
	unsigned int round;
};

static void must_attach(struct attached *a)
{
	if (a->there)
		return;
	chain_must_attach(&nl, &a->chain, VDISK_F_NO_PARTSCAN, &a->dev, &reply);
	a->there = true;
}

/* So that there is something to be committed, in units that had no place. */
static void write_some(struct attached *a)
{
	int fd = vdev_open(&a->dev, O_RDWR | O_DIRECT);
	u64 pos = a->round++ * 7 * 64 * KIB % (DISK - 4096);
	u8 *buf = xalloc(4096);

	pos = pos / 4096 * 4096;
	memset(buf, (int)(1 + a->round % 200), 4096);
	if (fd < 0 || !pwrite_all(fd, buf, 4096, pos))
		bail("cannot write: %s", err_name(errno));
	shadow_write(&a->shadow, pos, buf, 4096);
	close(fd);
	free(buf);
}

static bool must_detach(struct attached *a)
{
	int ret = vdev_detach(&nl, a->dev.id, VDISK_DETACH_PLAIN, &reply);

	a->there = false;
	if (ret && ret != -ENODEV)
		diag("detach: %s \"%s\"", err_name(ret), reply.text);
	return (!ret || ret == -ENODEV) && wait_until(vdev_gone(&nl, a->dev.id), 20000);
}

/*
 * Without memory to remember a place it may be nobody's for ever; by force, what only
 * memory had may be lost.
 */
static bool image_is_right(const struct attached *a)
{
	if (!chain_sound(&a->chain, CHAIN_MAY_LEAK))
		return false;
	return a->mode == VDISK_DETACH_FORCE ||
	       (!extent_unclean(&a->chain.images[0].extents[0]) &&
		chain_equals(&a->chain, &a->shadow));
}

static struct attached attached_to(struct chain chain, u64 seed)
{
	struct attached a = { .chain = chain, .held = -1 };

	chain_make(&a.chain, seed);
	chain_load(&a.chain, &a.shadow);
	return a;
}

static void attached_end(struct attached *a, const char *name)
{
	ok(!a->there || must_detach(a), "%s: detached", name);
	ok(image_is_right(a) && nothing_is_left(&a->chain), "%s: the image is right, and free",
	   name);
	chain_remove(&a->chain);
	shadow_free(&a->shadow);
}

/* -------------------------------------------------------------------- detach */

static void detach_prepare(void *ctx)
{
	struct attached *a = ctx;

	must_attach(a);
	write_some(a);
	if (a->hold) {
		a->held = vdev_open(&a->dev, O_RDONLY);
		if (a->held < 0)
			bail("open: %s", err_name(a->held));
	}
}

/* A lazy one takes place when the holder goes. */
static int detach_act(void *ctx)
{
	struct attached *a = ctx;
	int ret = vdev_detach(&nl, a->dev.id, a->mode, &reply);

	if (a->held >= 0)
		close(a->held);
	a->held = -1;
	if (!ret && a->await)
		wait_until(vdev_gone(&nl, a->dev.id), 20000);
	return ret;
}

static bool detach_settle(void *ctx, int ret, enum side side)
{
	struct attached *a = ctx;
	bool good = says_why(ret, side);

	if (ret)
		return must_detach(a) && image_is_right(a) && nothing_is_left(&a->chain) && good;
	a->there = false;
	return wait_until(vdev_gone(&nl, a->dev.id), 20000) && image_is_right(a) &&
	       nothing_is_left(&a->chain);
}

static void run_detach(const char *name, struct chain chain, u32 mode, bool hold,
		       unsigned int least_worker)
{
	static struct attached a;
	const struct operation op = { name, &text, detach_prepare, detach_act, detach_settle, &a };

	a = attached_to(chain, 12);
	a.mode = mode;
	a.hold = hold;
	sites_run(&op, SIDE_INSIDE, 1);
	sites_run(&op, SIDE_AROUND, 2);
	a.await = true;
	sites_run(&op, SIDE_WORKERS, least_worker);
	attached_end(&a, name);
}

/* ----------------------------------------------------------------------- set */

static void must_set(struct attached *a, u32 flags, u32 mask)
{
	if (vdev_set(&nl, a->dev.id, flags, mask, &reply))
		bail("set: %s \"%s\"", err_name(reply.error), reply.text);
}

static void set_prepare(void *ctx)
{
	struct attached *a = ctx;

	must_attach(a);
	must_set(a, 0, VDISK_F_RDONLY);
	write_some(a);
	must_set(a, ~a->flags & a->mask, a->mask);
	a->before = vdev_flags(&nl, a->dev.id);
}

static int set_act(void *ctx)
{
	struct attached *a = ctx;

	return vdev_set(&nl, a->dev.id, a->flags, a->mask, &reply);
}

/* All or none; a lost answer leaves open which. */
static bool set_settle(void *ctx, int ret, enum side side)
{
	struct attached *a = ctx;
	u32 now, new = (a->before & ~a->mask) | a->flags;
	bool good = says_why(ret, side);

	now = vdev_flags(&nl, a->dev.id);
	if (now == new || (ret && now == a->before))
		return good;
	diag("flags %#x, were %#x, wanted %#x", now, a->before, new);
	return false;
}

static void run_set(const char *name, struct attached *a, u32 flags, u32 mask)
{
	const struct operation op = { name, &text, set_prepare, set_act, set_settle, a };

	a->flags = flags;
	a->mask = mask;
	sites_run(&op, SIDE_INSIDE, 1);
	sites_run(&op, SIDE_AROUND, 2);
	if (flags & VDISK_F_RDONLY)
		sites_run(&op, SIDE_WORKERS, 1);
}

/* ------------------------------------------------------------- list and open */

static void nothing_to_do(void *ctx)
{
}

static int list_act(void *ctx)
{
	struct attached *a = ctx;

	return vdev_get(&nl, a->dev.id, &reply);
}

static void count_one(void *ctx, const struct nl_reply *msg)
{
	++*(unsigned int *)ctx;
}

static int dump_act(void *ctx)
{
	unsigned int count = 0;
	struct nl_req req;
	int ret;

	nl_begin(&req, VDISK_CMD_GET);
	ret = nl_dump(&nl, &req, count_one, &count);
	nl_end(&req);
	/* One that went well is complete. */
	return ret ? ret : count == 1 ? 0 : -EILSEQ;
}

static bool list_settle(void *ctx, int ret, enum side side)
{
	return vdev_count(&nl) == 1;
}

static int open_act(void *ctx)
{
	struct attached *a = ctx;
	int fd = vdev_open(&a->dev, O_RDWR);

	return fd < 0 ? fd : close(fd) ? -errno : 0;
}

static bool has_no_openers(u32 id)
{
	u32 openers = 1;

	return !vdev_get(&nl, id, &reply) && nl_get_u32(&reply, VDISK_A_OPENERS, &openers) &&
	       !openers;
}

static bool open_settle(void *ctx, int ret, enum side side)
{
	struct attached *a = ctx;

	return wait_until(has_no_openers(a->dev.id), 5000);
}

static void run_attached(const char *ext4)
{
	static struct attached a;
	const struct operation get = { "get", &text, nothing_to_do, list_act, list_settle, &a };
	const struct operation dump = { "dump", &text, nothing_to_do, dump_act, list_settle, &a };
	const struct operation opens = { "open", &text, nothing_to_do, open_act, open_settle, &a };

	a = attached_to(chain_single(ext4, "s", vmdk_sparse(DISK, 64 * KIB, VMDK_RGD, 20)), 13);
	must_attach(&a);
	sites_run(&get, SIDE_INSIDE, 1);
	sites_run(&get, SIDE_AROUND, 2);
	sites_run(&dump, SIDE_AROUND, 2);
	sites_run(&opens, SIDE_AROUND, 1);
	run_set("set: read-only", &a, VDISK_F_RDONLY, VDISK_F_RDONLY);
	run_set("set: writable", &a, 0, VDISK_F_RDONLY);
	run_set("set: no discard", &a, VDISK_F_NO_DISCARD, VDISK_F_NO_DISCARD);
	run_set("set: no flush", &a, VDISK_F_NO_FLUSH, VDISK_F_NO_FLUSH);
	run_set("set: isolate", &a, VDISK_F_ISOLATE, VDISK_F_ISOLATE);
	run_set("set: autoclear", &a, VDISK_F_AUTOCLEAR, VDISK_F_AUTOCLEAR);
	run_set("set: all at once", &a, ALL_FLAGS, ALL_FLAGS);
	run_set("set: none of all", &a, 0, ALL_FLAGS);
	must_set(&a, 0, VDISK_F_SETTABLE);
	attached_end(&a, "set");
}

/* ------------------------------------------------------------------- modules */

struct loading {
	const char *module;
	int fd;
};

static void load_prepare(void *ctx)
{
	struct loading *l = ctx;

	if (module_loaded(l->module) && module_unload(l->module))
		bail("cannot unload %s", l->module);
}

static int load_act(void *ctx)
{
	struct loading *l = ctx;

	return syscall(SYS_finit_module, l->fd, "", 0) ? -errno : 0;
}

static bool load_settle(void *ctx, int ret, enum side side)
{
	struct loading *l = ctx;

	return wait_until(module_loaded(l->module) == !ret, 5000);
}

static void run_load(const char *module, const char *file, unsigned int least)
{
	static struct loading l;
	const struct inject_text init = inject_function("do_init_module");
	const struct operation op = { file, &init, load_prepare, load_act, load_settle, &l };
	struct utsname uts;
	char path[256];

	uname(&uts);
	snprintf(path, sizeof(path), "/lib/modules/%s/extra/%s", uts.release, file);
	l = (struct loading) { module, xopen(path, O_RDONLY) };
	/* What comes before is the loader's own, the same for each module. */
	sites_run(&op, SIDE_INSIDE, least);
	close(l.fd);
}

static void run_loads(void)
{
	nl_close(&nl);
	is_err(unload_all(), 0, "the modules can be unloaded");
	run_load("vdisk", "vdisk.ko", 10);
	run_load("vdisk_vmdk", "vdisk-vmdk.ko", 1);
	run_load("vdisk_vdi", "vdisk-vdi.ko", 1);
	run_load("vdisk_raw", "vdisk-raw.ko", 1);
	is_err(unload_all(), 0, "and again");
}

/* ---------------------------------------------------------------------- main */

/* Else the first attach would look for them. */
static void load_formats(void)
{
	static struct run r;

	if (run(&r, "modprobe", "-a", "vdisk-raw", "vdisk-vmdk", "vdisk-vdi", NULL))
		bail("modprobe: %s", r.err);
}

static void run_attaches(const char *ext4, const char *xfs)
{
	const struct extent vmdk = vmdk_sparse(DISK, 64 * KIB, VMDK_RGD, 20);
	const struct extent vdi = vdi_blocks(DISK, MIB, 0, 20);

	run_attach("attach: raw", chain_single(ext4, "a", raw_file(DISK)), 0, SIDE_INSIDE, 200);
	run_attach("attach: VMDK over VDI", chain_delta(ext4, vmdk, vdi), 0, SIDE_INSIDE, 200);
	/* What the block layer does is the same for all of them. */
	run_attach("attach: VMDK", chain_single(ext4, "a", vmdk), 0, SIDE_OWN, 20);
	run_attach("attach: VDI", chain_single(xfs, "a", vdi), 0, SIDE_OWN, 20);
	run_attach("attach: read-only", chain_delta(xfs, vdi, raw_file(DISK)),
		   VDISK_F_RDONLY | VDISK_F_HARD_RDONLY, SIDE_OWN, 20);
}

static void run_detaches(const char *ext4, const char *xfs)
{
	const struct extent vmdk = vmdk_sparse(DISK, 64 * KIB, VMDK_RGD, 20);
	const struct extent vdi = vdi_blocks(DISK, 64 * KIB, 0, 20);

	run_detach("detach: raw", chain_single(ext4, "d", raw_file(DISK)), VDISK_DETACH_PLAIN,
		   false, 1);
	run_detach("detach: VMDK", chain_single(ext4, "d", vmdk), VDISK_DETACH_PLAIN, false, 2);
	run_detach("detach: VDI", chain_single(xfs, "d", vdi), VDISK_DETACH_PLAIN, false, 2);
	run_detach("detach: lazy", chain_delta(xfs, vmdk, vdi), VDISK_DETACH_LAZY, true, 1);
	run_detach("detach: forced", chain_single(ext4, "d", vdi), VDISK_DETACH_FORCE, true, 2);
}

int main(void)
{
	const char *ext4, *xfs;

	inject_init();
	chain_begin(&nl, &ext4, &xfs);
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		bail("mlockall: %s", err_name(errno));
	load_formats();
	text = inject_module();
	idle_refs = module_refs("vdisk");
	run_attaches(ext4, xfs);
	run_detaches(ext4, xfs);
	run_attached(ext4);
	leaks_check();
	run_loads();
	return tap_done();
}
