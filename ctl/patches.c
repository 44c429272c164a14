// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the first write to a disk changes before anything else: its content
 * ids, so that a child which was made of the old content no longer fits.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>
#include <uuid/uuid.h>
#include "image-set.h"

#define LONG_DIGITS	32
#define CID_DIGITS	8

static int get_random(void *buf, size_t len)
{
	/* So few bytes come whole or not at all. */
	if (getrandom(buf, len, 0) != (ssize_t)len)
		return ctl_errno(errno, NULL, "getrandom");
	return 0;
}

/* A new id of at most @digits digits: none of those that mean something. */
static int new_cid(u32 old, u32 digits, u32 *cid)
{
	u32 mask = digits < CID_DIGITS ? (1U << 4 * digits) - 1 : 0xffffffff;
	int ret;

	do {
		ret = get_random(cid, sizeof(*cid));
		*cid &= mask;
	} while (!ret && (!*cid || *cid == old || *cid >= 0xfffffffe));
	return ret;
}

static int descriptor_changed(const struct set_member *m)
{
	return ctl_error(CTL_BUSY, "busy", m->path,
			 "its descriptor changed while it was being opened");
}

/*
 * The text may have been changed since it was parsed, unless the file is
 * locked; a patch must not hit anything else.
 */
static int check_place(const struct set_member *m, u64 pos, u32 len, const u32 *want)
{
	char text[LONG_DIGITS + 1] = "";

	if (pread(m->fd, text, len, (off_t)pos) != (ssize_t)len ||
	    strspn(text, "0123456789abcdefABCDEF") != len ||
	    (want && strtoul(text, NULL, 16) != *want))
		return descriptor_changed(m);
	return 0;
}

static void add_patch(struct image_set *set, u32 image, u64 pos, const void *bytes, u32 len)
{
	struct vdisk_patch *p = &set->patches[set->nr_patches++];

	memset(p, 0, sizeof(*p));
	p->member = set->images[image].member;
	p->offset = pos;
	p->len = len;
	memcpy(p->bytes, bytes, len);
}

static int add_cid(struct image_set *set, u32 image, u32 *cid)
{
	const struct vd_layout *l = set->images[image].layout;
	const struct set_member *m = &set->members[set->images[image].member];
	char text[CID_DIGITS + 1];
	int ret;

	ret = check_place(m, l->cid_pos, l->cid_len, &l->cid);
	if (!ret)
		ret = new_cid(l->cid, l->cid_len, cid);
	if (ret)
		return ret;
	snprintf(text, sizeof(text), "%0*x", (int)l->cid_len, *cid);
	add_patch(set, image, l->cid_pos, text, l->cid_len);
	return 0;
}

/* Random, but for its end, where VMware repeats the short one. */
static int add_long_cid(struct image_set *set, u32 image, u32 cid)
{
	const struct vd_layout *l = set->images[image].layout;
	const struct set_member *m = &set->members[set->images[image].member];
	char text[LONG_DIGITS + 1];
	u32 words[3];
	int ret;

	ret = check_place(m, l->long_cid_pos, l->long_cid_len, NULL);
	if (!ret)
		ret = get_random(words, sizeof(words));
	if (ret)
		return ret;
	snprintf(text, sizeof(text), "%08x%08x%08x%08x", words[0], words[1], words[2], cid);
	add_patch(set, image, l->long_cid_pos, text, l->long_cid_len);
	return 0;
}

/* A UUID in the form that it has in the file: by its length, a text or 16 bytes. */
static void put_uuid(char *raw, u32 len, const uuid_t uuid)
{
	if (len == VD_UUID_BYTES)
		vd_uuid_to_guid((u8 *)raw, uuid);
	else
		uuid_unparse_lower(uuid, raw);
}

static bool get_uuid(uuid_t uuid, const char *raw, u32 len)
{
	if (len != VD_UUID_BYTES)
		return !uuid_parse(raw, uuid);
	vd_uuid_from_guid(uuid, (const u8 *)raw);
	return true;
}

/* VirtualBox renews it before its first write, and children must have the parent's. */
static int add_mod_uuid(struct image_set *set, u32 image)
{
	const struct vd_layout *l = set->images[image].layout;
	const struct set_member *m = &set->members[set->images[image].member];
	char raw[VD_UUID_CHARS + 1] = "";
	u32 len = l->mod_uuid_len;
	uuid_t uuid = { 0 };

	if (pread(m->fd, raw, len, (off_t)l->mod_uuid_pos) != (ssize_t)len ||
	    !get_uuid(uuid, raw, len) || memcmp(uuid, l->props.mod_uuid, sizeof(uuid)))
		return descriptor_changed(m);
	uuid_generate_random(uuid);
	put_uuid(raw, len, uuid);
	add_patch(set, image, l->mod_uuid_pos, raw, len);
	return 0;
}

static int add_patches(struct image_set *set, u32 image)
{
	const struct vd_layout *l = set->images[image].layout;
	u32 cid;
	int ret = 0;

	set->nr_patches = 0;
	if (l->cid_len) {
		ret = add_cid(set, image, &cid);
		if (!ret && l->long_cid_len)
			ret = add_long_cid(set, image, cid);
	}
	if (!ret && l->mod_uuid_len)
		ret = add_mod_uuid(set, image);
	return ret;
}

int set_add_patches(struct image_set *set)
{
	return add_patches(set, 0);
}

int set_renew_ids(struct image_set *set, u32 image)
{
	const struct set_member *m = &set->members[set->images[image].member];
	int ret;
	u32 i;

	ret = add_patches(set, image);
	for (i = 0; !ret && i < set->nr_patches; i++) {
		const struct vdisk_patch *p = &set->patches[i];

		if (pwrite(m->fd, p->bytes, p->len, (off_t)p->offset) != (ssize_t)p->len)
			ret = ctl_errno(errno, m->path, "cannot renew its content ID");
	}
	if (!ret && set->nr_patches && fsync(m->fd))
		ret = ctl_errno(errno, m->path, "cannot renew its content ID");
	set->nr_patches = 0;
	return ret;
}
