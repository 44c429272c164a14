// SPDX-License-Identifier: GPL-2.0-only
/*
 * In the virtual machine: make the states of a disk that holds a file system, one after the
 * other, and look whether all recovers: the file system, the image in it, the file
 * system in that, and its files.
 *
 *	powercut-recover STATES DISK COW TYPE IMAGE SEED
 *
 * STATES is what powercut --export wrote, for DISK as it was at first. Each state is looked
 * at on a snapshot, whose changes go to COW, so that the next one is not of a disk that had
 * been mounted. TYPE is of the file system, IMAGE the name in it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../selftests/vdisk/blk.h"
#include "../../selftests/vdisk/tap.h"
#include "model.h"

#define NAME	"powercut"
#define NODE	"/dev/dm-0"	/* no other is there; nobody makes /dev/mapper/NAME */
#define OUTER	"/run/powercut/outer"
#define INNER	"/run/powercut/inner"

/* What vdctl check says by its exit status. */
#define DAMAGE	2
#define LEAKS	3

/* What is to be written to the snapshot. */
struct piece {
	u64 pos;
	u64 len;
	u8 *data;
};

static struct {
	FILE *script;
	int origin;
	const char *disk, *cow, *type, *image;
	u64 seed;
	struct piece *piece;
	unsigned int nr;
	unsigned int states, bad, refuted;
	char node[64];
	char rule[512];
	struct run run;
} r;

static bool __attribute__((format(printf, 1, 2))) bad(const char *fmt, ...)
{
	va_list args;

	if (r.rule[0])
		return false;
	va_start(args, fmt);
	vsnprintf(r.rule, sizeof(r.rule), fmt, args);
	va_end(args);
	return false;
}

/* ----------------------------------------------------------------- snapshots */

static void make_snapshot(void)
{
	char table[256];
	unsigned int i;
	int fd;

	if (fsync(r.origin))
		bail("%s: %s", r.disk, err_name(errno));
	snprintf(table, sizeof(table), "0 %llu snapshot %s %s N 8",
		 (unsigned long long)(bdev_size(r.origin) / SECTOR), r.disk, r.cow);
	if (run(&r.run, "dmsetup", "create", "--noudevsync", NAME, "--table", table, NULL))
		bail("dmsetup create: %s", r.run.err);
	fd = xopen(NODE, O_WRONLY);
	for (i = 0; i < r.nr; i++) {
		if (!pwrite_all(fd, r.piece[i].data, r.piece[i].len, r.piece[i].pos))
			bail("%s: %s", NODE, err_name(errno));
		free(r.piece[i].data);
	}
	r.nr = 0;
	if (fsync(fd))
		bail("%s: %s", NODE, err_name(errno));
	close(fd);
}

static void remove_snapshot(void)
{
	if (run(&r.run, "dmsetup", "remove", "--noudevsync", NAME, NULL))
		bail("dmsetup remove: %s", r.run.err);
}

/* ------------------------------------------------------------------- looking */

/* The sign of an unfinished writer is no damage. */
static bool check_image(const char *when)
{
	int status = run(&r.run, "vdctl", "check", path_in(OUTER, r.image), NULL);

	if (!status || status == LEAKS ||
	    (status == DAMAGE && strstr(r.run.out, "unclean:") && !strstr(r.run.out, "corrupt:")))
		return true;
	return bad("vdctl check %s: status %d, %s %s", when, status, r.run.out, r.run.err);
}

/* Half of the images, as nobody must. */
static bool repair_image(void)
{
	int status;

	if (r.states % 2)
		return true;
	status = run(&r.run, "vdctl", "check", "--repair=merge", path_in(OUTER, r.image), NULL);
	return !status || status == LEAKS ||
	       bad("vdctl check --repair=merge: status %d, %s %s", status, r.run.out, r.run.err);
}

static bool attach(void)
{
	if (run(&r.run, "vdctl", "attach", path_in(OUTER, r.image), NULL))
		return bad("vdctl attach: %s", r.run.err);
	r.run.out[strcspn(r.run.out, "\n")] = '\0';
	snprintf(r.node, sizeof(r.node), "%.60s", r.run.out);
	return true;
}

/* That more has been done must be seen not to be true, or nothing is compared at all. */
static void claim_more(const u64 *done)
{
	char rule[sizeof(r.rule)];

	r.refuted += !model_check(r.seed, 0, (unsigned int)done[0] + 3, INNER, rule,
				  sizeof(rule));
}

static bool look_at_files(const u64 *done)
{
	unsigned int i;
	bool good = true;

	if (mount(r.node, INNER, "ext4", 0, NULL))
		return bad("the file system in the image: %s", err_name(errno));
	for (i = 0; good && i < MODEL_THREADS; i++)
		good = model_check(r.seed, i, (unsigned int)done[i], INNER, r.rule,
				   sizeof(r.rule));
	claim_more(done);
	if (umount2(INNER, 0))
		bail("umount: %s", err_name(errno));
	if (good && run(&r.run, "e2fsck", "-fn", r.node, NULL))
		return bad("e2fsck: %s %s", r.run.out, r.run.err);
	return good;
}

static bool look_at_image(const u64 *done)
{
	bool good;

	if (!check_image("at first") || !repair_image() || !attach())
		return false;
	good = look_at_files(done);
	if (run(&r.run, "vdctl", "detach", r.node, NULL))
		good = bad("vdctl detach: %s", r.run.err);
	return good && check_image("at the end");
}

static void look(const u64 *done)
{
	bool good;

	r.rule[0] = '\0';
	r.states++;
	make_snapshot();
	good = !mount(NODE, OUTER, r.type, 0, NULL);
	if (good) {
		good = look_at_image(done);
		if (umount2(OUTER, 0))
			bail("umount: %s", err_name(errno));
	} else {
		bad("mount: %s", err_name(errno));
	}
	remove_snapshot();
	if (good)
		return;
	r.bad++;
	printf("state %u: %s\n", r.states, r.rule);
}

/* -------------------------------------------------------------------- states */

static u8 *read_data(u64 len)
{
	u8 *buf = malloc(len);

	if (!buf || fread(buf, 1, len, r.script) != len)
		bail("the states end early");
	return buf;
}

static void add_piece(u64 pos, u64 len, u8 *data)
{
	r.piece = realloc(r.piece, (r.nr + 1) * sizeof(*r.piece));
	if (!r.piece)
		bail("no memory");
	r.piece[r.nr++] = (struct piece){ pos, len, data };
}

static void take(const struct pc_chunk *chunk)
{
	u8 *data = read_data(chunk->len);

	switch (chunk->what) {
	case PC_DURABLE:
		if (!pwrite_all(r.origin, data, chunk->len, chunk->pos))
			bail("%s: %s", r.disk, err_name(errno));
		break;
	case PC_PENDING:
		add_piece(chunk->pos, chunk->len, data);
		return;
	case PC_STATE:
		look((const u64 *)(const void *)data);
		break;
	default:
		bail("no file of states");
	}
	free(data);
}

int main(int argc, char **argv)
{
	struct pc_chunk chunk;

	if (argc != 7)
		bail("usage: %s STATES DISK COW TYPE IMAGE SEED", argv[0]);
	r.script = fopen(argv[1], "re");
	r.disk = argv[2];
	r.cow = argv[3];
	r.type = argv[4];
	r.image = argv[5];
	r.seed = strtoull(argv[6], NULL, 0);
	r.origin = xopen(r.disk, O_RDWR);
	mkdir("/run/powercut", 0700);
	mkdir(OUTER, 0700);
	mkdir(INNER, 0700);
	while (r.script && fread(&chunk, sizeof(chunk), 1, r.script) == 1)
		take(&chunk);
	printf("states %u bad %u refuted %u\n", r.states, r.bad, r.refuted);
	return !r.states;
}
