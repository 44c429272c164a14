// SPDX-License-Identifier: GPL-2.0-only
/* vdctl attach --dry-run: what would happen to which file */
#include <json-c/json.h>
#include "image-set.h"
#include "netlink.h"

static const char *lock_name(const struct image_set *set, const struct set_member *m)
{
	if (set->opts->lock == SET_LOCK_NO)
		return "none";
	return m->writable ? "write" : "read";
}

static const char *patch_name(const struct image_set *set, const struct vdisk_patch *p)
{
	const struct vd_layout *l = set->images[0].layout;

	if (l->cid_len && p->offset == l->cid_pos)
		return "cid";
	return l->long_cid_len && p->offset == l->long_cid_pos ? "long-content-id" :
								  "modification-uuid";
}

/* The new modification UUID of a format that stores it as bytes. */
static bool patch_is_binary(const struct image_set *set, const struct vdisk_patch *p)
{
	const struct vd_layout *l = set->images[0].layout;

	return l->mod_uuid_len == VD_UUID_BYTES && p->offset == l->mod_uuid_pos;
}

/* What a patch writes, in letters. */
static void patch_text(const struct image_set *set, const struct vdisk_patch *p,
		       char text[2 * VDISK_PATCH_BYTES + 1])
{
	u32 i;

	if (!patch_is_binary(set, p)) {
		memcpy(text, p->bytes, p->len);
		text[p->len] = 0;
		return;
	}
	for (i = 0; i < p->len; i++)
		snprintf(text + 2 * i, 3, "%02x", p->bytes[i]);
}

static bool merges(const struct image_set *set)
{
	return set->writable && set->unclean;
}

static const char *log_name(const struct image_set *set)
{
	const struct vd_layout *l = set->images[0].layout;

	if (!set->drop_cbt || set->opts->cbt != SET_CBT_DELETE)
		return NULL;
	return vd_layout_str(l, l->cbt_name);
}

static void add(struct json_object *o, const char *key, const char *s)
{
	json_object_object_add(o, key, s ? json_text(s) : NULL);
}

static struct json_object *json_files(const struct image_set *set)
{
	struct json_object *list = json_object_new_array();
	u32 i;

	for (i = 0; i < set->nr_members; i++) {
		const struct set_member *m = &set->members[i];
		struct json_object *o = json_object_new_object();

		add(o, "filename", m->path);
		json_object_object_add(o, "image", json_object_new_int64(m->image));
		add(o, "mode", m->writable ? "rw" : "ro");
		add(o, "lock", lock_name(set, m));
		json_object_array_add(list, o);
	}
	return list;
}

static struct json_object *json_patches(const struct image_set *set)
{
	struct json_object *list = json_object_new_array();
	u32 i;

	for (i = 0; i < set->nr_patches; i++) {
		const struct vdisk_patch *p = &set->patches[i];
		struct json_object *o = json_object_new_object();
		char text[2 * VDISK_PATCH_BYTES + 1];

		patch_text(set, p, text);
		add(o, "filename", set->members[p->member].path);
		add(o, "what", patch_name(set, p));
		json_object_object_add(o, "offset", json_object_new_int64((int64_t)p->offset));
		json_object_object_add(o, "length", json_object_new_int64(p->len));
		add(o, patch_is_binary(set, p) ? "hex" : "text", text);
		json_object_array_add(list, o);
	}
	return list;
}

static void print_json(const struct image_set *set)
{
	struct json_object *top = json_top();

	add(top, "filename", set->images[0].path);
	add(top, "format", vd_format_name(set->images[0].format));
	add(top, "subformat", set_subformat(&set->images[0]));
	json_object_object_add(top, "writable", json_object_new_boolean(set->writable));
	add(top, "read-only-reason", set->ro_reason);
	json_object_object_add(top, "merge", json_object_new_boolean(merges(set)));
	json_object_object_add(top, "drop-cbt", json_object_new_boolean(set->drop_cbt));
	add(top, "delete", log_name(set));
	json_object_object_add(top, "files", json_files(set));
	json_object_object_add(top, "patches", json_patches(set));
	json_print(top);
}

static void print_line(const char *what, const char *path)
{
	printf("%s ", what);
	text_escape(stdout, path);
	putchar('\n');
}

static void print_text(const struct image_set *set)
{
	u32 i;

	print_line(set->writable ? "writable:  " : "read-only: ", set->images[0].path);
	if (set->ro_reason)
		print_line("because:   ", set->ro_reason);
	for (i = 0; i < set->nr_members; i++) {
		const struct set_member *m = &set->members[i];

		printf("open %s:   ", m->writable ? "rw" : "ro");
		text_escape(stdout, m->path);
		printf(" (lock: %s)\n", lock_name(set, m));
	}
	if (set->drop_cbt)
		print_line("untrack:   ", set->images[0].path);
	if (log_name(set))
		print_line("delete:    ", log_name(set));
	if (merges(set))
		print_line("merge:     ", set->images[0].path);
	for (i = 0; i < set->nr_patches; i++) {
		const struct vdisk_patch *p = &set->patches[i];

		printf("first write: %s, %u bytes at %llu of ", patch_name(set, p), p->len,
		       (unsigned long long)p->offset);
		text_escape(stdout, set->members[p->member].path);
		putchar('\n');
	}
}

void print_plan(const struct image_set *set)
{
	if (ctl.json)
		print_json(set);
	else
		print_text(set);
	fflush(stdout);
}
