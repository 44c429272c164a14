// SPDX-License-Identifier: GPL-2.0-only
/*
 * Somebody else at the files of a disk while it is in use, who does not destroy what is
 * in them: the disk does not notice, and every byte is right. Files that are only read
 * cannot be changed at all.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blk.h"
#include "chain.h"
#include "shadow.h"
#include "store.h"
#include "tap.h"
#include "victim.h"

static struct nl nl;

#define STORMS	2
#define OPS	80

/* ------------------------------------------------------- what does no harm */

/* Again and again: the file must grow while a piece is on its way. */
static int append(struct victim *v)
{
	int fd = open(v->path, O_WRONLY | O_APPEND | O_CLOEXEC), ret = 0;
	unsigned int i;
	u8 *buf;

	if (fd < 0)
		return -errno;
	buf = xalloc(MIB);
	memset(buf, 0xee, MIB);
	for (i = 0; i < 12 && !ret; i++)
		ret = act_result(write(fd, buf, MIB) == (ssize_t)MIB ? 0 : -1);
	close(fd);
	free(buf);
	return ret;
}

static int extend(struct victim *v)
{
	struct stat st;

	/* The image grows meanwhile, by less than that, and is not to be cut. */
	if (stat(v->path, &st))
		return -errno;
	return act_result(truncate(v->path, st.st_size + 64 * MIB + 512));
}

static int decoy(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, MIB))
		return -errno;
	close(fd);
	return 0;
}

static int move_away(struct victim *v)
{
	char to[200];
	int ret;

	snprintf(to, sizeof(to), "%.150s.away", v->path);
	if (rename(v->path, to))
		return -errno;
	ret = decoy(v->path);
	snprintf(v->path, sizeof(v->path), "%.159s", to);
	return ret;
}

static int replace(struct victim *v)
{
	const char *new = path_in(v->dir, "new");
	int fd = open(v->path, O_RDONLY), ret = decoy(new);

	if (!ret)
		ret = act_result(rename(new, v->path));
	snprintf(v->path, sizeof(v->path), "/proc/self/fd/%d", fd);
	return ret;
}

static int take_away(struct victim *v)
{
	int fd = open(v->path, O_RDONLY), ret = act_result(unlink(v->path));

	snprintf(v->path, sizeof(v->path), "/proc/self/fd/%d", fd);
	return ret;
}

static int restrict_it(struct victim *v)
{
	int ret = act_result(chown(v->path, 65534, 65534));

	return ret ? ret : act_result(chmod(v->path, 0));
}

static int stamp(struct victim *v)
{
	const struct timespec times[2] = { { .tv_sec = 1 }, { .tv_sec = 2 } };

	return act_result(utimensat(AT_FDCWD, v->path, times, 0));
}

static const struct act harmless[] = {
	{ "append", true, append },
	{ "extend", true, extend },
	{ "rename", false, move_away },
	{ "rename another over it", false, replace },
	{ "unlink", false, take_away },
	{ "chmod and chown", false, restrict_it },
	{ "time stamps", false, stamp },
};

static atomic_bool storm_over;
static unsigned int acts, under_io;

static void *storm_thread(void *arg)
{
	struct storm *storms = arg;
	bool good = storm_run(storms, STORMS);

	storm_over = true;
	return good ? arg : NULL;
}

static bool all_have_begun(const struct storm *storms)
{
	unsigned int i;

	for (i = 0; i < STORMS; i++)
		if (!__atomic_load_n(&storms[i].reads, __ATOMIC_RELAXED) &&
		    !__atomic_load_n(&storms[i].writes, __ATOMIC_RELAXED))
			return false;
	return true;
}

static void set_storms(struct victim *v, struct storm *storms, u64 seed)
{
	unsigned int i;

	for (i = 0; i < STORMS; i++) {
		storms[i] = (struct storm) {
			.path = v->dev.path, .shadow = &v->s, .pos = i * VICTIM_DISK / STORMS,
			.len = VICTIM_DISK / STORMS, .seed = seed + i, .ops = OPS,
			.mixed = i % 2, .direct = true, .modify = !(v->flags & VDISK_F_HARD_RDONLY),
			.align = SECTOR, .unit = victim_file(v, 0)->unit,
		};
	}
}

/* During the act, and once more after it; what the storm wrote is read back by it. */
static int storm_around(struct victim *v, int (*fn)(struct victim *v))
{
	struct storm storms[STORMS];
	pthread_t thread;
	bool begun, over;
	void *good;
	int ret;

	set_storms(v, storms, 100);
	storm_over = false;
	if (pthread_create(&thread, NULL, storm_thread, storms))
		bail("no thread");
	begun = wait_until(all_have_begun(storms), 20000);
	ret = fn(v);
	over = storm_over;
	pthread_join(thread, &good);
	ok(begun, "%s: I/O has begun", v->name);
	acts++;
	under_io += !over;
	ok(good, "%s: I/O goes on", v->name);
	set_storms(v, storms, 200);
	ok(storm_run(storms, STORMS), "%s: and on", v->name);
	return ret;
}

/* The file is right, wherever it is now. */
static void check_content(struct victim *v, unsigned int image)
{
	snprintf(victim_file(v, image)->path, sizeof(victim_file(v, image)->path), "%s", v->path);
	/* What is raw all through has no tables, and any size. */
	ok((!victim_file(v, 0)->unit || chain_sound(&v->c, CHAIN_MAY_LEAK)) &&
	   chain_equals(&v->c, &v->s),
	   "%s: sound and right", v->name);
}

static void test_harmless(const struct subject *sub, const char *dir, unsigned int image,
			  const struct act *act)
{
	struct victim v;
	int ret;

	victim_start(&v, sub, dir, image, act->name);
	ret = storm_around(&v, act->fn);
	is_err(ret, image && act->writes ? -ETXTBSY : 0, "%s: what the other one hears", v.name);
	is_err(victim_detach(&v), 0, "%s: well", v.name);
	check_content(&v, image);
	victim_end(&v);
}

/* ------------------------------------------------- mounts, and what is read only */

static int remount(struct victim *v)
{
	return act_result(mount(NULL, v->dir, NULL, MS_REMOUNT | MS_RDONLY, NULL));
}

static int lazy_unmount(struct victim *v)
{
	return act_result(umount2(v->dir, MNT_DETACH));
}

/* Through a mount of its own, which goes away while the file is in use. */
static void test_lazy_unmount(const struct subject *sub, const char *real)
{
	const char *dir = strdup(path_in(scratch_dir(), "bind"));
	struct victim v;

	mkdir(dir, 0700);
	if (mount(real, dir, NULL, MS_BIND, NULL))
		bail("bind: %s", err_name(errno));
	victim_start(&v, sub, dir, 0, "lazy unmount");
	is_err(storm_around(&v, lazy_unmount), 0, "%s: it is unmounted", v.name);
	is_err(victim_detach(&v), 0, "%s: well", v.name);
	snprintf(v.path, sizeof(v.path), "%s/%s", real, strrchr(victim_file(&v, 0)->path, '/') + 1);
	v.c.images[0].dir = real;
	if (v.c.nr > 1)
		bail("only for one image");
	check_content(&v, 0);
	victim_end(&v);
	rmdir(dir);
}

static int writers_denied(struct victim *v)
{
	int fd;

	fd = open(v->path, O_WRONLY | O_CLOEXEC);
	ok(fd < 0 && errno == ETXTBSY, "%s: open for writing gets ETXTBSY", v->name);
	fd = open(v->path, O_RDWR | O_CLOEXEC);
	ok(fd < 0 && errno == ETXTBSY, "%s: open for both, too", v->name);
	fd = open(v->path, O_RDONLY | O_TRUNC | O_CLOEXEC);
	ok(fd < 0 && errno == ETXTBSY, "%s: O_TRUNC, too", v->name);
	return act_result(truncate(v->path, 0));
}

/* Neither through another name of the file, nor through one that it gets later. */
static int links_denied(struct victim *v)
{
	char hard[200];
	int ret, fd;

	snprintf(hard, sizeof(hard), "%.150s.link", v->path);
	ret = act_result(link(v->path, hard));
	if (ret)
		return ret;
	fd = open(hard, O_RDWR | O_CLOEXEC);
	ok(fd < 0 && errno == ETXTBSY, "%s: another name", v->name);
	ret = act_result(truncate(hard, 512));
	unlink(hard);
	return ret;
}

static void test_denied(const struct subject *sub, const char *dir, unsigned int image)
{
	static const struct act acts[] = {
		{ "writers", true, writers_denied },
		{ "links", true, links_denied },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(acts); i++)
		test_harmless(sub, dir, image, &acts[i]);
}

/* A disk that is only read does not keep its file system writable; one that is written does. */
static void test_remount(const struct subject *sub, const char *dir)
{
	struct subject ro = *sub;
	struct victim v;

	victim_start(&v, sub, dir, 0, "remount");
	is_err(storm_around(&v, remount), -EBUSY, "%s: is refused", v.name);
	is_err(victim_detach(&v), 0, "%s: well", v.name);
	check_content(&v, 0);
	victim_end(&v);
	ro.flags |= VDISK_F_RDONLY | VDISK_F_HARD_RDONLY;
	victim_start(&v, &ro, dir, 0, "remount, read-only disk");
	is_err(storm_around(&v, remount), 0, "%s: is done", v.name);
	is_err(victim_detach(&v), 0, "%s: well", v.name);
	if (mount(NULL, dir, NULL, MS_REMOUNT, NULL))
		bail("remount: %s", err_name(errno));
	check_content(&v, 0);
	victim_end(&v);
}

/* --------------------------------------------------------------------- main */

static void test_subject(unsigned int i, const char *ext4, const char *xfs)
{
	const struct subject *sub = &subjects[i];
	bool chain = sub->make(xfs).nr > 1;
	const char *dir;
	unsigned int k;

	for (k = 0; k < ARRAY_SIZE(harmless); k++) {
		dir = (i + k / 2) % 2 ? xfs : ext4;
		/* Another size is what an image that grows must not stumble over. */
		if (!full_run() && !harmless[k].writes && (i + k) % 3)
			continue;
		test_harmless(sub, dir, 0, &harmless[k]);
		if (chain)
			test_harmless(sub, dir, 1, &harmless[k]);
	}
	if (chain)
		test_denied(sub, i % 2 ? xfs : ext4, 1);
	else
		test_lazy_unmount(sub, ext4);
}

int main(void)
{
	unsigned int rounds = full_run() ? scaled(5) : 1, i, k;
	const char *ext4, *xfs;
	struct store st;

	chain_begin(&nl, &ext4, &xfs);
	store_make(&st, "xfs", NULL);
	for (i = 0; i < rounds; i++) {
		for (k = 0; k < SUBJECTS; k++)
			test_subject(k, ext4, st.dir);
		test_remount(&subjects[SUBJECT_VMDK_BUFFERED], ext4);
		test_remount(&subjects[SUBJECT_VDI], st.dir);
	}
	store_end(&st);
	/* A storm is short, and may be over before anything is done to its file. */
	ok(under_io * 2 > acts, "of %u deeds %u were done under I/O", acts, under_io);
	is_num(vdev_count(&nl), 0, "nothing is left attached");
	nl_close(&nl);
	return tap_done();
}
