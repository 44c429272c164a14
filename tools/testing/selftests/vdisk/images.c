// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "images.h"
#include "tap.h"

static struct images all;

static void parse_line(char *line)
{
	char *field[8] = { NULL };
	unsigned int n = 0;
	char *p;

	for (p = line; n < ARRAY_SIZE(field) && (field[n] = strsep(&p, "\t")); n++)
		;
#define NEXT(table) (all.nr_##table < ARRAY_SIZE(all.table) ? &all.table[all.nr_##table++] : NULL)
#define COPY(to, from) snprintf(to, sizeof(to), "%s", from)
	if (!strcmp(field[0], "disk") && n == 4) {
		struct img_disk *d = NEXT(disks);

		if (!d)
			goto full;
		COPY(d->name, field[1]);
		d->size = strtoull(field[2], NULL, 10);
		COPY(d->sha256, field[3]);
	} else if (!strcmp(field[0], "image") && n == 6) {
		struct img_image *i = NEXT(images);

		if (!i)
			goto full;
		COPY(i->file, field[1]);
		COPY(i->disk, field[2]);
		COPY(i->format, field[3]);
		COPY(i->subformat, field[4]);
		COPY(i->files, field[5]);
	} else if (!strcmp(field[0], "part") && n == 6) {
		struct img_part *d = NEXT(parts);

		if (!d)
			goto full;
		COPY(d->disk, field[1]);
		d->nr = atoi(field[2]);
		COPY(d->fs, field[3]);
		d->start = strtoull(field[4], NULL, 10);
		d->size = strtoull(field[5], NULL, 10);
	} else if (!strcmp(field[0], "file") && n == 6) {
		struct img_file *f = NEXT(files);

		if (!f)
			goto full;
		COPY(f->disk, field[1]);
		f->part = atoi(field[2]);
		COPY(f->path, field[3]);
		f->size = strtoull(field[4], NULL, 10);
		COPY(f->sha256, field[5]);
	} else {
		bail("manifest: a line with %u fields that begins with \"%s\"", n, field[0]);
	}
#undef NEXT
#undef COPY
	return;
full:
	bail("manifest: too many lines of the kind \"%s\"", field[0]);
}

const struct images *images_load(void)
{
	const char *dir = getenv("VDT_IMAGES");
	char line[1024];
	FILE *f;

	if (all.nr_disks)
		return &all;
	snprintf(all.dir, sizeof(all.dir), "%s", dir ? dir : "build/guest-images");
	f = fopen(path_in(all.dir, "MANIFEST.tsv"), "re");
	if (!f)
		bail("no manifest in %s: run tools/testing/guest-prepare", all.dir);
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		if (line[0] && line[0] != '#')
			parse_line(line);
	}
	fclose(f);
	return &all;
}

const struct img_disk *images_disk(const char *name)
{
	unsigned int i;

	for (i = 0; i < all.nr_disks; i++) {
		if (!strcmp(all.disks[i].name, name))
			return &all.disks[i];
	}
	bail("manifest: no disk %s", name);
}

const struct img_image *images_find(const char *file)
{
	unsigned int i;

	for (i = 0; i < all.nr_images; i++) {
		if (!strcmp(all.images[i].file, file))
			return &all.images[i];
	}
	bail("manifest: no image %s", file);
}

const char *images_path(const char *file)
{
	return path_in(all.dir, file);
}

static void for_each_file(const struct img_image *image, const char *dir,
			  void (*fn)(const char *from, const char *to))
{
	char list[sizeof(image->files)], *p = list, *name;

	memcpy(list, image->files, sizeof(list));
	while ((name = strsep(&p, ",")))
		fn(images_path(name), path_in(dir, name));
}

const char *images_stage(const struct img_image *image, const char *dir)
{
	for_each_file(image, dir, copy_file);
	return path_in(dir, image->file);
}

static void remove_copy(const char *from, const char *to)
{
	unlink(to);
}

void images_unstage(const struct img_image *image, const char *dir)
{
	for_each_file(image, dir, remove_copy);
}

const u8 *images_reference(const struct img_disk *disk)
{
	static const u8 *maps[ARRAY_SIZE(all.disks)];
	size_t index = disk - all.disks;
	char name[64], hex[SHA256_HEX];
	struct sha256 ctx;
	int fd;

	if (maps[index])
		return maps[index];
	snprintf(name, sizeof(name), "%s.raw", disk->name);
	fd = xopen(images_path(name), O_RDONLY);
	maps[index] = mmap(NULL, disk->size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (maps[index] == MAP_FAILED)
		bail("cannot map %s: %s", name, err_name(errno));
	/* A large sparse one would take minutes to hash in an emulated VM. */
	if (disk->size <= 256 * MIB) {
		sha256_init(&ctx);
		sha256_update(&ctx, maps[index], disk->size);
		sha256_final(&ctx, hex);
		if (strcmp(hex, disk->sha256))
			bail("%s does not have the hash of the manifest", name);
	}
	return maps[index];
}
