// SPDX-License-Identifier: GPL-2.0-only
/* Images that qemu-img itself wrote: made once, then kept in memory. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include "img-sparse.h"
#include "differ.h"

#define BASE_SECTORS 1500U

static const char *const options[DF_QEMU_BASES] = {
	"subformat=monolithicSparse",
	"subformat=monolithicSparse,zeroed_grain=on",
	"subformat=streamOptimized",
	"subformat=monolithicFlat",
	"subformat=twoGbMaxExtentSparse",
	"subformat=twoGbMaxExtentFlat",
};

static struct df_image bases[DF_QEMU_BASES];

static bool load(struct df_image *img, const char *name)
{
	struct ut_buf b = { 0 };
	FILE *f = fopen(name, "r");
	long len;
	bool good;

	if (!f)
		return false;
	good = !fseek(f, 0, SEEK_END) && (len = ftell(f)) >= 0 && !fseek(f, 0, SEEK_SET);
	if (good) {
		ut_buf_size(&b, (u64)len);
		good = fread(b.data, 1, b.len, f) == b.len;
	}
	fclose(f);
	if (good)
		df_image_add(img, name, b.data, b.len);
	ut_buf_free(&b);
	return good;
}

/* What lies beside the descriptor. */
static bool load_all(struct df_image *img)
{
	struct dirent *e;
	DIR *dir;
	bool good = load(img, TOP_NAME);

	dir = opendir(".");
	while (good && dir && (e = readdir(dir))) {
		if (strncmp(e->d_name, "image0-", 7))
			continue;
		good = load(img, e->d_name) && !unlink(e->d_name);
	}
	if (dir)
		closedir(dir);
	unlink(TOP_NAME);
	return good && dir;
}

static bool make(u32 i)
{
	const char *argv[] = { "qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", options[i],
			       "from.raw", TOP_NAME, NULL };
	struct df_run run;

	if (!df_run(argv, "out", "err", &run) || run.late || run.status)
		return false;
	return load_all(&bases[i]);
}

bool df_qemu_bases(void)
{
	struct ut_disk *d = ut_disk_random(BASE_SECTORS * VD_SECTOR, 4096, 4711, false);
	FILE *f = fopen("from.raw", "w");
	bool good = f && fwrite(d->data, 1, d->size, f) == d->size;
	u32 i;

	if (f && fclose(f))
		good = false;
	for (i = 0; good && i < DF_QEMU_BASES; i++)
		good = make(i);
	unlink("from.raw");
	ut_disk_free(d);
	return good;
}

void df_qemu_base(struct df_image *img, u32 which)
{
	const struct df_image *from = &bases[which];
	u32 i;

	for (i = 0; i < from->view.nr; i++)
		df_image_add(img, from->name[i], from->view.file[i].data, from->view.file[i].len);
}
