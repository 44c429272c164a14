// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random operations on files, compared with a model of them in memory: while the file
 * system is mounted, after it was mounted anew, after the disk was attached anew.
 */
#include <stdio.h>
#include <string.h>

#include "suite-model.h"

static void steps(struct fs *fs, struct model *m, const char *when)
{
	unsigned int i, count = full_run() ? 4000 : scaled(250);

	for (i = 0; i < count && !m->failed[0]; i++) {
		model_step(m);
		if (i % 100 == 50)
			model_verify(m);
	}
	ok(model_verify(m), "%s: %s: %u operations, all as in the model", fs->what, when, m->ops);
}

/* A kind and a file system; three lives of the mount, two of the disk. */
static void random_ops(struct fs *fs)
{
	struct model m;

	model_init(&m, fs, fs->s.unit + fs->type + 1);
	steps(fs, &m, "first");
	fs_umount(fs);
	fs_mount(fs, 0, NULL);
	ok(model_verify(&m), "%s: the same when it is mounted again", fs->what);
	steps(fs, &m, "then");
	fs_umount(fs);
	fs_check(fs);
	subject_detach(&fs->s);
	subject_attach(&fs->s, VDISK_F_NO_PARTSCAN);
	fs_mount(fs, 0, NULL);
	ok(model_verify(&m), "%s: the same when the disk is attached again", fs->what);
	model_free(&m);
}

static void plain(void)
{
	fs_each(random_ops, NULL, 3);
}

/* Each block that is freed is discarded under the next operation's feet. */
static void discarding(void)
{
	struct fs fs;

	fs_make(&fs, SUBJECT_VMDK, FS_EXT4, "discard");
	random_ops(&fs);
	fs_end(&fs);
	if (!full_run())
		return;
	fs_make(&fs, SUBJECT_VDI, FS_XFS, "discard");
	random_ops(&fs);
	fs_end(&fs);
}

/* Would the model notice? A byte that it does not know of, a name too many. */
static void control(void)
{
	struct model m;
	struct fs fs;
	unsigned int i;

	fs_make(&fs, SUBJECT_RAW, FS_EXT4, NULL);
	model_init(&m, &fs, 9);
	for (i = 0; i < 100; i++)
		model_step(&m);
	ok(model_verify(&m), "a right tree is accepted");
	fs_write(&fs, "d0/stranger", 1, 1, false);
	ok(!model_verify(&m), "a name too many is noticed");
	remove(fs_path(&fs, "d0/stranger"));
	ok(model_verify(&m), "without it, all is right");
	for (i = 0; !m.inodes[i].links || !m.inodes[i].size; i++)
		;
	m.inodes[i].data[m.inodes[i].size - 1] ^= 1;
	ok(!model_verify(&m), "a wrong bit is noticed");
	model_free(&m);
	fs_end(&fs);
}

static const struct contract contracts[] = {
	{ "control", control },
	{ "random", plain },
	{ "random-discard", discarding },
};

int main(int argc, char **argv)
{
	return suite_main(argc, argv, "files", contracts, ARRAY_SIZE(contracts));
}
