// SPDX-License-Identifier: GPL-2.0-only
/* The properties of an image, for people and as JSON. */
#include <json-c/json.h>
#include <sys/stat.h>
#include <time.h>
#include "info.h"

static const struct {
	u32 flag;
	const char *name;
} flag_names[] = {
	{ VD_IMAGE_FIXED, "fixed" },
	{ VD_IMAGE_DIFF, "diff" },
	{ VD_IMAGE_SPLIT, "split" },
	{ VD_IMAGE_STREAM, "stream" },
	{ VD_IMAGE_ESX, "esx" },
	{ VD_IMAGE_UNDO, "undo" },
	{ VD_IMAGE_ZERO_EXPAND, "zero-expand" },
};

/* The newest of the image's files. A format may note a time of its own: that is left. */
static void add_time(const struct image_set *set, u32 index, struct vd_props *p)
{
	struct stat st;
	u32 i;

	if (p->mask & VD_PROP_TIME)
		return;
	for (i = 0; i < set->nr_members; i++)
		if (set->members[i].image == index && !fstat(set->members[i].fd, &st) &&
		    st.st_mtim.tv_sec > p->time)
			vd_props_put(p, VD_PROP_TIME, (u64)st.st_mtim.tv_sec);
}

void info_props(const struct image_set *set, u32 index, struct vd_props *p)
{
	const struct set_image *image = &set->images[index];
	u64 bytes = 0;
	u32 i;

	memset(p, 0, sizeof(*p));
	/* What nothing describes is a disk from its first byte to its last. */
	if (image->layout)
		*p = image->layout->props;
	else
		vd_props_put(p, VD_PROP_FLAGS, VD_IMAGE_FIXED);
	for (i = 0; i < set->nr_members; i++)
		if (set->members[i].image == index)
			bytes += set->members[i].size;
	vd_props_put(p, VD_PROP_SIZE, image->size);
	vd_props_put(p, VD_PROP_FILE_SIZE, bytes);
	add_time(set, index, p);
}

static bool time_text(s64 seconds, char *buf, size_t len)
{
	time_t t = (time_t)seconds;
	struct tm tm;

	return gmtime_r(&t, &tm) && strftime(buf, len, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static void add_u64(struct json_object *o, const char *key, u64 n)
{
	json_object_object_add(o, key, json_object_new_int64((int64_t)n));
}

static void json_uuid(struct json_object *o, const char *key, bool have, const u8 uuid[16])
{
	char text[VD_UUID_CHARS + 1];

	if (!have)
		return;
	format_uuid(uuid, text);
	json_object_object_add(o, key, json_text(text));
}

static void json_chs(struct json_object *o, const char *key, bool have, const struct vd_chs *chs)
{
	struct json_object *geometry;

	if (!have)
		return;
	geometry = json_object_new_object();
	add_u64(geometry, "cylinders", chs->c);
	add_u64(geometry, "heads", chs->h);
	add_u64(geometry, "sectors", chs->s);
	json_object_object_add(o, key, geometry);
}

static void json_time(struct json_object *o, const char *key, bool have, s64 seconds)
{
	char text[64];

	if (have && time_text(seconds, text, sizeof(text)))
		json_object_object_add(o, key, json_text(text));
}

static void json_flags(struct json_object *o, u32 flags)
{
	struct json_object *list = json_object_new_array();
	size_t i;

	for (i = 0; i < ARRAY_SIZE(flag_names); i++)
		if (flags & flag_names[i].flag)
			json_object_array_add(list, json_text(flag_names[i].name));
	json_object_object_add(o, "image-flags", list);
}

void json_sizes(struct json_object *o, const struct vd_props *p)
{
	add_u64(o, "virtual-size", p->size);
	add_u64(o, "file-size", p->file_size);
}

void json_props(struct json_object *o, const struct vd_props *p, const char *comment)
{
	if (p->mask & VD_PROP_VERSION)
		add_u64(o, "version", p->version);
	json_flags(o, p->flags);
	json_uuid(o, "uuid", p->mask & VD_PROP_UUID, p->uuid);
	json_uuid(o, "modification-uuid", p->mask & VD_PROP_MOD_UUID, p->mod_uuid);
	json_uuid(o, "parent-uuid", p->mask & VD_PROP_PARENT_UUID, p->parent_uuid);
	json_uuid(o, "parent-modification-uuid", p->mask & VD_PROP_PARENT_MOD_UUID,
		  p->parent_mod_uuid);
	json_chs(o, "geometry", p->mask & VD_PROP_PCHS, &p->pchs);
	json_chs(o, "lchs", p->mask & VD_PROP_LCHS, &p->lchs);
	if (comment)
		json_object_object_add(o, "comment", json_text(comment));
	json_time(o, "modified", p->mask & VD_PROP_TIME, p->time);
	json_time(o, "parent-modified", p->mask & VD_PROP_PARENT_TIME, p->parent_time);
}

void print_text(const char *key, const char *value)
{
	if (!value)
		return;
	printf("%-18s ", key);
	text_escape(stdout, value);
	putchar('\n');
}

static void print_uuid(const char *key, bool have, const u8 uuid[16])
{
	char text[VD_UUID_CHARS + 1];

	if (!have)
		return;
	format_uuid(uuid, text);
	print_text(key, text);
}

static void print_chs(const char *key, bool have, const struct vd_chs *chs)
{
	if (have)
		printf("%-18s %u/%u/%u\n", key, chs->c, chs->h, chs->s);
}

static void print_time(const char *key, bool have, s64 seconds)
{
	char text[64];

	if (have && time_text(seconds, text, sizeof(text)))
		print_text(key, text);
}

static void print_version(const struct vd_props *p)
{
	if (p->version >> 16)
		printf("%-18s %u.%u\n", "version:", p->version >> 16, p->version & 0xffff);
	else if (p->mask & VD_PROP_VERSION)
		printf("%-18s %u\n", "version:", p->version);
}

static void print_flags(u32 flags)
{
	size_t i;

	if (!flags)
		return;
	printf("%-18s", "image flags:");
	for (i = 0; i < ARRAY_SIZE(flag_names); i++)
		if (flags & flag_names[i].flag)
			printf(" %s", flag_names[i].name);
	putchar('\n');
}

void print_size(const char *key, u64 bytes)
{
	char size[32];

	format_size(bytes, size, sizeof(size));
	printf("%-18s %s (%llu bytes)\n", key, size, (unsigned long long)bytes);
}

void print_sizes(const struct vd_props *p)
{
	print_size("virtual size:", p->size);
	print_size("file size:", p->file_size);
}

void print_props(const struct vd_props *p, const char *comment)
{
	print_version(p);
	print_flags(p->flags);
	print_uuid("uuid:", p->mask & VD_PROP_UUID, p->uuid);
	print_uuid("modification uuid:", p->mask & VD_PROP_MOD_UUID, p->mod_uuid);
	print_uuid("parent uuid:", p->mask & VD_PROP_PARENT_UUID, p->parent_uuid);
	print_uuid("parent mod. uuid:", p->mask & VD_PROP_PARENT_MOD_UUID, p->parent_mod_uuid);
	print_chs("geometry:", p->mask & VD_PROP_PCHS, &p->pchs);
	print_chs("lchs:", p->mask & VD_PROP_LCHS, &p->lchs);
	print_text("comment:", comment);
	print_time("modified:", p->mask & VD_PROP_TIME, p->time);
	print_time("parent modified:", p->mask & VD_PROP_PARENT_TIME, p->parent_time);
}
