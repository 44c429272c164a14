// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tap.h"
#include "victim.h"

#define DISK	VICTIM_DISK

static struct nl nl;
static struct nl_reply reply;
static int refs = -1;

static struct chain raw(const char *dir)
{
	return chain_single(dir, "r", raw_file(DISK));
}

static struct chain hosted(const char *dir)
{
	return chain_single(dir, "h", vmdk_sparse(DISK, 64 * KIB, VMDK_RGD, 40));
}

static struct chain blocks(const char *dir)
{
	return chain_single(dir, "b", vdi_blocks(DISK, 64 * KIB, 0, 40));
}

static struct chain delta(const char *dir)
{
	return chain_delta(dir, vmdk_sparse(DISK, 4096, VMDK_RGD, 20), vmdk_flat(DISK));
}

static struct chain mixed(const char *dir)
{
	return chain_delta(dir, vdi_blocks(DISK, 64 * KIB, VDI_VIRTUALBOX, 20),
			   vmdk_sparse(DISK, 64 * KIB, VMDK_RGD, 60));
}

const struct subject subjects[SUBJECTS] = {
	{ "raw", raw, 0 },
	{ "VMDK, buffered", hosted, VDISK_F_BUFFERED },
	{ "VDI", blocks, 0 },
	{ "delta", delta, 0 },
	{ "raw, buffered", raw, VDISK_F_BUFFERED },
	{ "VMDK", hosted, 0 },
	{ "VDI, buffered", blocks, VDISK_F_BUFFERED },
	{ "VDI over VMDK", mixed, 0 },
};

struct extent *victim_file(struct victim *v, unsigned int image)
{
	return &v->c.images[image].extents[0];
}

static void begin(void)
{
	if (refs >= 0)
		return;
	if (nl_open(&nl))
		bail("no vdisk family");
	refs = module_refs("vdisk");
}

void victim_start(struct victim *v, const struct subject *sub, const char *dir,
		  unsigned int image, const char *what)
{
	begin();
	memset(v, 0, sizeof(*v));
	v->dir = dir;
	v->flags = sub->flags | VDISK_F_NO_PARTSCAN;
	v->c = sub->make(dir);
	chain_make(&v->c, 11);
	chain_load(&v->c, &v->s);
	snprintf(v->path, sizeof(v->path), "%s", victim_file(v, image)->path);
	v->size = victim_file(v, image)->size;
	snprintf(v->name, sizeof(v->name), "%s: %s%s", sub->name, what, image ? " (base)" : "");
	chain_must_attach(&nl, &v->c, v->flags, &v->dev, &reply);
}

int victim_detach(struct victim *v)
{
	int ret = vdev_detach(&nl, v->dev.id, VDISK_DETACH_PLAIN, &reply);

	ok(wait_until(vdev_gone(&nl, v->dev.id), 20000) &&
	   wait_until(module_refs("vdisk") == refs, 10000), "%s: detached, nothing is left",
	   v->name);
	return ret;
}

void victim_end(struct victim *v)
{
	int fd;

	if (sscanf(v->path, "/proc/self/fd/%d", &fd) == 1)
		close(fd);
	chain_remove(&v->c);
	/* Decoys and what was moved away. */
	v->c.images[0].extents[0].path[0] = 0;
	v->c.images[1].extents[0].path[0] = 0;
	chain_name(&v->c);
	chain_remove(&v->c);
	shadow_free(&v->s);
}

int act_result(int ret)
{
	return ret < 0 ? -errno : 0;
}
