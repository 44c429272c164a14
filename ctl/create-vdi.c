// SPDX-License-Identifier: GPL-2.0-only
/* A new VDI: one file, with or without a parent that it names by UUID. */
#include <errno.h>
#include <stdlib.h>
#include <uuid/uuid.h>
#include "chain.h"
#include "create.h"
#include "../formats-common/vdi/vdi-user.h"

#define DEFAULT_BLOCK	(1U << 20)
#define MIN_BLOCK	4096U
#define MAX_BLOCK	(64U << 20)

static const char *const kinds[] = { "dynamic", "fixed", NULL };

/**
 * struct new_image - a VDI in the making
 * @set: the parent's chain, if create.backing
 */
struct new_image {
	const struct create *c;
	struct vdi_new new;
	struct image_set set;
	struct new_files files;
};

static int choose_type(struct new_image *v)
{
	const struct create *c = v->c;
	u32 kind = 0;
	int ret = 0;

	if (c->type)
		ret = create_word("--type", c->type, kinds, &kind);
	if (ret)
		return ret;
	v->new.type = c->backing ? VDI_TYPE_DIFF : kind ? VDI_TYPE_FIXED : VDI_TYPE_DYNAMIC;
	if (c->backing && kind)
		return ctl_error(CTL_USAGE, "usage", NULL,
				 "a delta grows as it is written: it cannot be of --type fixed");
	if (c->prealloc >= PREALLOC_FALLOC && !kind) {
		ctl_error(CTL_USAGE, "usage", NULL,
			  "--prealloc=falloc and full are for --type fixed; a dynamic VDI has no place for data that was never written");
		ctl_hint("--prealloc=metadata reserves its map");
		return CTL_USAGE;
	}
	return 0;
}

static int choose_block(struct new_image *v)
{
	u64 block = v->c->block ? v->c->block : DEFAULT_BLOCK;

	if (!is_power_of_2(block) || block < MIN_BLOCK || block > MAX_BLOCK)
		return ctl_error(CTL_USAGE, "usage", NULL,
				 "--block: %llu is no power of two from 4K to 64M",
				 (unsigned long long)block);
	v->new.block = (u32)block;
	if (block != DEFAULT_BLOCK)
		ctl_warn(v->c->path, "QEMU opens no VDI but with blocks of 1M");
	return 0;
}

static void choose_ids(struct new_image *v)
{
	uuid_generate_random(v->new.uuid);
	if (v->c->have_uuid)
		memcpy(v->new.uuid, v->c->uuid, sizeof(v->new.uuid));
	uuid_generate_random(v->new.mod_uuid);
}

/* --- the parent --- */

static int name_parent(struct new_image *v)
{
	const struct set_image *parent = &v->set.images[0];
	const struct vd_props *p = parent->layout ? &parent->layout->props : NULL;

	if (!p || !(p->mask & VD_PROP_UUID)) {
		ctl_error(CTL_USAGE, "usage", parent->path,
			  "has no UUID, and a VDI names its parent by nothing else");
		ctl_hint("a delta over it can be a VMDK, which names a file: vdctl create -f vmdk -b PARENT IMAGE");
		return CTL_USAGE;
	}
	memcpy(v->new.parent_uuid, p->uuid, sizeof(v->new.parent_uuid));
	if (p->mask & VD_PROP_MOD_UUID)
		memcpy(v->new.parent_mod_uuid, p->mod_uuid, sizeof(v->new.parent_mod_uuid));
	return 0;
}

static int open_parent(struct new_image *v)
{
	int ret;

	ret = create_parent_open(v->c, &v->set, &v->new.size);
	if (!ret)
		ret = name_parent(v);
	return ret ? ret : create_parent_room(v->c, &v->set, 1, 1);
}

/* What is looked for by UUID must be there once. */
static void warn_of_twins(struct new_image *v)
{
	const char *names[2];

	if (beside_find(&v->set, 0, false, v->new.parent_uuid, names) < 2)
		return;
	ctl_warn(v->c->path, "two images beside it have the UUID of its parent: %s and %s; to open it takes --parent %s",
		 names[0], names[1], v->set.images[0].path);
}

static void warn_of_parent(struct new_image *v)
{
	const struct set_image *parent = &v->set.images[0];

	create_parent_warn(v->c, &v->set, parent->layout->props.mask & VD_PROP_MOD_UUID ?
			   "modification UUID" : NULL);
	if (strcmp(parent->dir, v->files.dir))
		ctl_warn(v->c->path, "the parent is not in its directory, where it is looked for: to open it takes --parent %s",
			 parent->path);
	else if (!name_is_image(parent->path))
		ctl_warn(v->c->path, "the parent's name does not end as those of images do, among which it is looked for: to open it takes --parent %s",
			 parent->path);
	else
		warn_of_twins(v);
}

/* --- writing it --- */

static int check_fits(const struct new_image *v)
{
	if (vdi_new_fits(&v->new))
		return 0;
	ctl_error(CTL_USAGE, "too_large", v->c->path,
		  "%llu bytes do not fit: the map of so many blocks is more than a VDI can have",
		  (unsigned long long)v->new.size);
	ctl_hint("larger blocks: --block");
	return CTL_USAGE;
}

static int write_image(struct new_image *v, struct new_file *f)
{
	struct fill fill = { .how = v->c->prealloc };
	struct vd_error err = { 0 };
	u64 size = vdi_new_file_size(&v->new);
	int ret;

	/* A map that has its space needs no more than the file's begin. */
	if (fill.how == PREALLOC_METADATA)
		fill.how = PREALLOC_OFF;
	progress_begin(&fill.progress, size);
	ret = fill_reserve(f, size, &fill);
	if (!ret)
		ret = fill_zeros(f, size, &fill);
	progress_end(&fill.progress);
	if (ret)
		return ret;
	ret = vdi_new_write(f->file, &v->new, &err);
	return ret ? new_file_failed(f, ret, &err) : 0;
}

static int make_file(struct new_image *v)
{
	struct new_file *f;
	int ret;

	ret = new_files_add(&v->files, path_base(v->c->path), v->c->backing ? &v->set : NULL);
	if (ret)
		return ret;
	f = &v->files.files[0];
	stop_catch();
	ret = new_file_open(&v->files, 0);
	if (!ret)
		ret = write_image(v, f);
	if (!ret)
		ret = new_file_done(f);
	if (!ret)
		ret = new_files_commit(&v->files);
	if (!ret && v->c->backing)
		warn_of_parent(v);
	return ret;
}

static int make(struct new_image *v)
{
	int ret;

	ret = choose_block(v);
	if (!ret)
		ret = create_check_comment(v->c, vdi_check_comment);
	if (!ret)
		ret = check_fits(v);
	if (!ret && v->c->force)
		ret = path_check_children(v->c->path, v->c->ignore_children);
	if (ret)
		return ret;
	v->new.comment = v->c->comment;
	choose_ids(v);
	ret = new_files_begin(&v->files, v->c->path, v->c->force);
	if (!ret)
		ret = make_file(v);
	new_files_end(&v->files);
	return ret;
}

static int create_vdi(const struct create *c)
{
	struct new_image v = { .c = c, .new = { .size = c->size } };
	int ret;

	ret = choose_type(&v);
	if (!ret && c->backing)
		ret = open_parent(&v);
	if (!ret)
		ret = make(&v);
	if (c->backing)
		set_close(&v.set);
	return ret;
}

static const char *const suffixes[] = { ".vdi", NULL };

const struct creator creator_vdi = {
	.format = "vdi",
	.title = "VDI",
	.suffixes = suffixes,
	.options = CREATE_BACKING | CREATE_TYPE | CREATE_BLOCK | CREATE_COMMENT | CREATE_UUID |
		   CREATE_METADATA,
	.create = create_vdi,
};
