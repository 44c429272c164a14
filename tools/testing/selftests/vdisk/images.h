/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The images that tools/testing/guest-prepare made on the host with other
 * people's tools, and its MANIFEST.tsv that says what is in them.
 */
#ifndef VDT_IMAGES_H
#define VDT_IMAGES_H

#include "sha256.h"

/* Content of a disk; NAME.raw beside it has it in full. */
struct img_disk {
	char name[32];
	u64 size;
	char sha256[SHA256_HEX];
};

/* An image of a disk: @file is what one attaches, @files all it consists of. */
struct img_image {
	char file[64];
	char disk[32];
	char format[16];
	char subformat[32];
	char files[512];	/* separated by commas */
};

/* A partition of a disk, in bytes. */
struct img_part {
	char disk[32];
	unsigned int nr;
	char fs[16];
	u64 start;
	u64 size;
};

/* A file of the file system in a partition. */
struct img_file {
	char disk[32];
	unsigned int part;
	char path[160];
	u64 size;
	char sha256[SHA256_HEX];
};

struct images {
	char dir[256];
	struct img_disk disks[16];
	unsigned int nr_disks;
	struct img_image images[64];
	unsigned int nr_images;
	struct img_part parts[16];
	unsigned int nr_parts;
	struct img_file files[128];
	unsigned int nr_files;
};

/* From VDT_IMAGES, else build/guest-images. Bails when there is no manifest. */
const struct images *images_load(void);
const struct img_disk *images_disk(const char *name);
const struct img_image *images_find(const char *file);
/* PATH of a file in the images' directory. */
const char *images_path(const char *file);
/* Copy all files of @image to @dir; path of what to attach there. */
const char *images_stage(const struct img_image *image, const char *dir);
/* Remove what images_stage() made. */
void images_unstage(const struct img_image *image, const char *dir);

/* The reference content of a disk, mapped for good; its hash is checked once. */
const u8 *images_reference(const struct img_disk *disk);

#endif /* VDT_IMAGES_H */
