// SPDX-License-Identifier: GPL-2.0-only
/*
 * The modules go and come while others resolve the family, list, attach and open:
 * they stay as long as something uses them, go when nothing does, and who meets the
 * moment between finds no family, no device or no format, and nothing worse.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "blk.h"
#include "crew.h"
#include "images.h"
#include "marked.h"
#include "tap.h"
#include "usage.h"

#define USERS		3U
#define DISK		MIB
#define UNLOADS_FULL	1000U
#define UNLOADS_SMOKE	4U
#define BY_PROGRAM	6U	/* loads that the kernel asks modprobe for */
#define SLACK_KIB	1024

#define MODPROBE	"/proc/sys/kernel/modprobe"

enum { CORE, RAW, VMDK, VDI, NR_MODULES };

static const struct {
	const char *name;
	const char *file;
} modules[NR_MODULES] = {
	{ "vdisk", "vdisk.ko" },
	{ "vdisk_raw", "vdisk-raw.ko" },
	{ "vdisk_vmdk", "vdisk-vmdk.ko" },
	{ "vdisk_vdi", "vdisk-vdi.ko" },
};

/**
 * struct holders - devices that need a module, from the answer to ATTACH on
 * @nr: now
 * @ends: how many there were that do so no more
 */
struct holders {
	atomic_uint nr;
	atomic_uint ends;
};

static struct holders holders[NR_MODULES];
static atomic_uint loads[NR_MODULES], unloads[NR_MODULES], in_use, attaches, misses, lists, opens;
static unsigned int wanted;
static const char *vmdk_path;
static u64 vmdk_size;
static struct crew_member crew[USERS + 3];

static bool enough(void)
{
	return crew_stopped() || (unloads[CORE] >= wanted && attaches >= wanted / 2);
}

static bool one_of(int err, const int *list)
{
	while (*list && *list != err)
		list++;
	return *list;
}

/* ---------------------------------------------------------- load and unload */

static int load(unsigned int m)
{
	struct utsname name;
	char path[256];
	int fd, ret;

	uname(&name);
	snprintf(path, sizeof(path), "/lib/modules/%s/extra/%s", name.release, modules[m].file);
	fd = xopen(path, O_RDONLY);
	ret = syscall(SYS_finit_module, fd, "", 0) ? -errno : 0;
	close(fd);
	return ret;
}

static void unload_one(struct crew_member *me, unsigned int m)
{
	unsigned int used = holders[m].nr, ends = holders[m].ends;
	int ret = module_unload(modules[m].name);

	crew_step(me, modules[m].name);
	if (!ret && used && ends == holders[m].ends)
		crew_fault(me, "is gone, with %u devices that need it", used);
	if (!ret)
		unloads[m]++;
	else if (ret == -EAGAIN)
		in_use++;
	else if (ret != -ENOENT && ret != -EBUSY)
		crew_fault(me, "unload: %s", err_name(ret));
}

static void load_one(struct crew_member *me, unsigned int m)
{
	int ret = load(m);

	crew_step(me, modules[m].name);
	if (!ret)
		loads[m]++;
	else if (ret != -EEXIST && ret != -EBUSY)
		crew_fault(me, "load: %s", err_name(ret));
}

/*
 * Down until the core is gone, and up again: the core first, as a format needs its
 * symbols. Half of the time somebody gets to use them before they go again.
 */
static void mover(struct crew_member *me)
{
	unsigned int m = VDI, before;
	struct rng rng;

	rng_seed(&rng, now_ms());
	while (!enough()) {
		for (before = unloads[CORE]; before == unloads[CORE] && !enough();
		     m = (m + NR_MODULES - 1) % NR_MODULES)
			unload_one(me, m);
		for (m = CORE; m < NR_MODULES; m++)
			load_one(me, m);
		m = VDI;
		before = attaches;
		if (rng_below(&rng, 2))
			wait_until(enough() || attaches != before, 2000);
	}
}

/* -------------------------------------------------------------------- users */

struct user {
	struct crew_member *me;
	struct nl nl;
	bool open;
	struct nl_reply reply;
	struct rng rng;
	char path[96];
	u8 *buf;
};

/* A family that is gone, going, or has another number by now. */
static const int no_family[] = { ENOENT, EPROTONOSUPPORT, 0 };

static bool resolve(struct user *u)
{
	int ret;

	if (u->open)
		return true;
	ret = nl_open(&u->nl);
	if (ret && ret != -ENOENT)
		crew_fault(u->me, "no family: %s", err_name(ret));
	u->open = !ret;
	misses += !!ret;
	return u->open;
}

/* The number of the family was of its former life. */
static void forget(struct user *u)
{
	if (u->open)
		nl_close(&u->nl);
	u->open = false;
	misses++;
}

static void nothing(void *ctx, const struct nl_reply *msg)
{
}

static void list(struct user *u)
{
	struct nl_req req;
	int ret;

	crew_step(u->me, "list");
	if (!resolve(u))
		return;
	nl_begin(&req, VDISK_CMD_GET);
	ret = nl_dump(&u->nl, &req, nothing, NULL);
	nl_end(&req);
	if (ret && !one_of(-ret, no_family))
		crew_fault(u->me, "%s", err_name(ret));
	if (ret)
		forget(u);
	else
		lists++;
}

static void hold(unsigned int format, int by)
{
	holders[CORE].nr += by;
	holders[format].nr += by;
	if (by < 0) {
		holders[CORE].ends++;
		holders[format].ends++;
	}
}

static void use(struct user *u, unsigned int format, const struct vdev *dev)
{
	int fd = vdev_open(dev, O_RDONLY | O_DIRECT);

	if (fd < 0) {
		crew_fault(u->me, "open %s: %s", dev->path, err_name(fd));
		return;
	}
	if (pread(fd, u->buf, PIECE, 0) != PIECE)
		crew_fault(u->me, "read %s: %s", dev->path, err_name(errno));
	else if (format == RAW && piece_foreign(u->buf, u->me->nr, 0))
		crew_fault(u->me, "%s: %s", dev->path, piece_foreign(u->buf, u->me->nr, 0));
	close(fd);
}

static void end(struct user *u, unsigned int format, const struct vdev *dev)
{
	u32 id = dev->id, mode = rng_below(&u->rng, 3);
	int ret;

	hold(format, -1);
	ret = vdev_detach(&u->nl, id, mode, &u->reply);
	/* Who looks at every device may have it open. */
	while (ret == -EBUSY && !crew_stopped())
		ret = vdev_detach(&u->nl, id, VDISK_DETACH_PLAIN, &u->reply);
	if (ret)
		crew_fault(u->me, "detach: %s \"%s\"", err_name(ret), u->reply.text);
	/* Lazily, or while a request was inside the file. */
	else if (!wait_until(vdev_gone(&u->nl, id), 10000))
		crew_fault(u->me, "vdisk%u is still there", id);
}

/* Nothing but what a module that is gone or going causes. */
static bool may_not_attach(int err)
{
	return one_of(err, no_family) || err == EOPNOTSUPP || err == ENODEV;
}

static void attach(struct user *u)
{
	unsigned int format = rng_below(&u->rng, 2) ? RAW : VMDK;
	struct vdev dev;
	int fd, ret;

	crew_step(u->me, "attach");
	if (!resolve(u))
		return;
	fd = xopen(format == RAW ? u->path : vmdk_path, format == RAW ? O_RDWR : O_RDONLY);
	if (format == RAW)
		ret = attach_raw(&u->nl, fd, DISK, 0, &dev, &u->reply);
	else
		ret = attach_sparse(&u->nl, fd, vmdk_size, &dev, &u->reply);
	close(fd);
	if (ret) {
		if (!may_not_attach(-ret))
			crew_fault(u->me, "%s \"%s\"", err_name(ret), u->reply.text);
		if (one_of(-ret, no_family))
			forget(u);
		misses++;
		return;
	}
	hold(format, 1);
	attaches++;
	use(u, format, &dev);
	list(u);
	end(u, format, &dev);
}

static void user(struct crew_member *me)
{
	struct user *u = xalloc(sizeof(*u));

	u->me = me;
	u->buf = xalloc(PIECE);
	rng_seed(&u->rng, me->nr + now_ms());
	snprintf(u->path, sizeof(u->path), "%s/raw%u", scratch_dir(), me->nr);
	while (!enough()) {
		/* They must all be idle now and then, for the core to go. */
		if (rng_below(&u->rng, 4))
			list(u);
		else
			attach(u);
	}
	if (u->open)
		nl_close(&u->nl);
	free(u->buf);
	free(u);
}

/* Resolves anew for each dump. */
static void lister(struct crew_member *me)
{
	struct user *u = xalloc(sizeof(*u));

	u->me = me;
	while (!enough()) {
		list(u);
		if (u->open)
			nl_close(&u->nl);
		u->open = false;
	}
	free(u);
}

/* Whatever nodes there are; the device may outlive its number. */
static void opener(struct crew_member *me)
{
	u8 *buf = xalloc(PIECE);
	struct vdev dev;
	u32 id = 0;
	int fd;

	while (!enough()) {
		crew_step(me, "open");
		snprintf(dev.path, sizeof(dev.path), "/dev/vdisk%u", id++ % USERS);
		fd = vdev_open(&dev, O_RDONLY);
		if (fd >= 0) {
			opens++;
			if (pread(fd, buf, PIECE, 0) < 0 &&
			    !one_of(errno, (const int[]){ EIO, ENXIO, ENODEV, 0 }))
				crew_fault(me, "read %s: %s", dev.path, err_name(errno));
			close(fd);
		} else if (!one_of(-fd, (const int[]){ ENOENT, ENXIO, ENODEV, 0 })) {
			crew_fault(me, "%s: %s", dev.path, err_name(fd));
		}
	}
	free(buf);
}

/* --------------------------------------------------------------------- main */

static void make_images(void)
{
	const struct img_image *image;
	u8 *buf = xalloc(PIECE);
	char path[96];
	u32 i;
	int fd;

	images_load();
	image = images_find("mess-monolithicSparse.vmdk");
	vmdk_size = images_disk(image->disk)->size;
	vmdk_path = strdup(images_stage(image, scratch_dir()));
	for (i = 0; i < USERS; i++) {
		snprintf(path, sizeof(path), "%s/raw%u", scratch_dir(), i);
		fd = make_file(path, DISK);
		piece_fill(buf, i, 0, 1);
		if (!pwrite_all(fd, buf, PIECE, 0))
			bail("cannot write %s", path);
		close(fd);
	}
	free(buf);
}

static bool load_rest(void)
{
	unsigned int m, good = 0;

	for (m = 0; m < NR_MODULES; m++)
		good += module_loaded(modules[m].name) || !load(m);
	return good == NR_MODULES;
}

static bool storm(unsigned int count)
{
	static void (*const others[])(struct crew_member *) = { lister, opener, mover };
	unsigned int i;

	wanted = count;
	attaches = 0;
	for (i = 0; i < NR_MODULES; i++)
		loads[i] = unloads[i] = 0;
	for (i = 0; i < ARRAY_SIZE(crew); i++)
		crew[i].run = i < USERS ? user : others[i - USERS];
	return crew_run(crew, sizeof(crew[0]), ARRAY_SIZE(crew));
}

/* Of those who ask for the family at once, each finds it: modprobe has run. */
static void *ask(void *arg)
{
	struct nl_reply *answer = xalloc(sizeof(*answer));
	int *ret = arg;
	struct nl mine;

	*ret = nl_open(&mine);
	if (!*ret) {
		*ret = vdev_get(&mine, 0, answer) == -ENODEV ? 0 : -EBADMSG;
		nl_close(&mine);
	}
	free(answer);
	return NULL;
}

static void by_program(unsigned int rounds)
{
	unsigned int i, good = 0;
	pthread_t other;
	int ret[2];

	for (i = 0; i < rounds; i++) {
		if (!wait_until(!unload_all(), 5000))
			break;
		pthread_create(&other, NULL, ask, &ret[0]);
		ask(&ret[1]);
		pthread_join(other, NULL);
		if (ret[0] || ret[1])
			diag("round %u: %s, %s", i, err_name(ret[0]), err_name(ret[1]));
		else
			good++;
	}
	is_num(good, rounds, "%u times: gone, then asked for by two, and there", rounds);
}

int main(void)
{
	unsigned int count = full_run() ? scaled(UNLOADS_FULL) : scaled(UNLOADS_SMOKE);
	struct usage before, after;
	char modprobe[256];
	u64 start;

	make_images();
	if (!load_rest() || !read_text(MODPROBE, modprobe, sizeof(modprobe)))
		bail("cannot load the modules");
	by_program(full_run() ? 2 * BY_PROGRAM : BY_PROGRAM / 3);
	load_rest();

	/* It is we who load. */
	write_text(MODPROBE, "\n");
	ok(storm(scaled(10)) && load_rest(), "warmed up");
	usage_measure(&before);
	usage_show("before", &before);
	start = now_ms();
	ok(storm(count), "%u unloads of vdisk, half as many attaches: each answer is in order",
	   count);
	diag("%llu ms; unloads %u %u %u %u, refused %u, loads %u %u %u %u",
	     (unsigned long long)(now_ms() - start), unloads[0], unloads[1], unloads[2], unloads[3],
	     in_use, loads[0], loads[1], loads[2], loads[3]);
	diag("%u attaches, %u lists, %u opens, %u met no family or format", attaches, lists, opens,
	     misses);
	ok(unloads[CORE] >= count && loads[CORE] >= count - 1, "it went and came %u times",
	   unloads[CORE]);
	ok(in_use > 0, "it was in use %u times", in_use);
	ok(load_rest(), "all modules can be loaded again");
	write_text(MODPROBE, modprobe);
	ok(wait_until(!module_refs("vdisk"), 10000), "nothing refers to it");
	usage_measure(&after);
	usage_show("after", &after);
	usage_compare(&before, &after, SLACK_KIB);
	return tap_done();
}
