// SPDX-License-Identifier: GPL-2.0-only
/*
 * stress-ng's stressors of file systems, in groups, with its own verification; what they
 * leave is clean, and what lay beside them is as it was.
 */
#include <stdio.h>

#include "suite-fs.h"

#define BESIDE	(2 * MIB)

/*
 * Operations of each stressor, so that the machine's speed does not decide what is tested;
 * without --link, --symlink and --fpunch, which count thousands of calls as one.
 */
static const char *ops(void)
{
	return full_run() ? "2000" : scale() > 1 ? "10" : "100";
}

/* Of those that write a file each time. */
static const char *file_ops(void)
{
	return full_run() ? "100" : scale() > 1 ? "1" : "4";
}

static void names(struct fs *fs)
{
	const char *n = ops();

	ok(works("stress-ng", "--temp-path", fs->root, "--verify", "--quiet", "--rename", "2",
		 "--rename-ops", n, "--dir", "2", "--dir-ops", n, "--dentry", "1",
		 "--dentry-ops", n, "--xattr", "1", "--xattr-ops", file_ops(), NULL),
	   "%s: names, directories, attributes", fs->what);
}

static void data(struct fs *fs)
{
	const char *n = file_ops();

	ok(works("stress-ng", "--temp-path", fs->root, "--verify", "--quiet", "--hdd", "1",
		 "--hdd-bytes", "4m", "--hdd-ops", n, "--fallocate", "1", "--fallocate-bytes", "4m",
		 "--fallocate-ops", n, "--seek", "1", "--seek-size", "4m", "--seek-ops", n,
		 "--fiemap", "1", "--fiemap-bytes", "4m", "--fiemap-ops", n, NULL),
	   "%s: bytes, holes, extents", fs->what);
}

static void ways(struct fs *fs)
{
	const char *n = file_ops();

	ok(works("stress-ng", "--temp-path", fs->root, "--verify", "--quiet", "--aio", "1",
		 "--aio-ops", n, "--io-uring", "1", "--io-uring-ops", n, "--iomix", "1",
		 "--iomix-bytes", "4m", "--iomix-ops", n, "--sync-file", "1", "--sync-file-bytes",
		 "4m", "--sync-file-ops", n, "--msync", "1", "--msync-bytes", "1m", "--msync-ops",
		 n, NULL),
	   "%s: asynchronous, mapped, synced", fs->what);
}

static void stress(struct fs *fs)
{
	fs_write(fs, "beside", BESIDE, 8, true);
	names(fs);
	data(fs);
	ways(fs);
	ok(fs_same(fs, "beside", BESIDE, 8), "%s: a file beside them is as it was", fs->what);
	is_num(disk_get(disk_name(&fs->s.dev), "vdisk/errors"), 0, "%s: no request failed",
	       fs->what);
	fs_umount(fs);
	fs_check(fs);
	subject_detach(&fs->s);
	subject_attach(&fs->s, VDISK_F_NO_PARTSCAN);
	fs_mount(fs, 0, NULL);
	ok(fs_same(fs, "beside", BESIDE, 8), "%s: and after a new attach", fs->what);
}

static void stressors(void)
{
	fs_each(stress, NULL, 1);
}

static const struct contract contracts[] = {
	{ "stressors", stressors },
};

int main(int argc, char **argv)
{
	return suite_main(argc, argv, "stress", contracts, ARRAY_SIZE(contracts));
}
