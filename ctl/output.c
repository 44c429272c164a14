// SPDX-License-Identifier: GPL-2.0-only
/* Columns of an attached disk, as text and as JSON. */
#include <json-c/json.h>
#include <stdlib.h>
#include "netlink.h"
#include "vdisk/format.h"

/* json-c wants UTF-8; what is none, or is a control character, is escaped. */
struct json_object *json_text(const char *s)
{
	struct json_object *o;
	char *safe;

	if (!s)
		return NULL;
	safe = text_escaped(s);
	o = json_object_new_string(safe);
	free(safe);
	return o;
}

static struct json_object *json_u64(u64 n)
{
	return json_object_new_int64((int64_t)n);
}

static const char *first_path(const struct device *dev)
{
	return dev->nr_paths ? dev->paths[0] : "";
}

static char *yes_no(bool yes)
{
	return xstrdup(yes ? "1" : "0");
}

static char *number(u64 n)
{
	return xasprintf("%llu", (unsigned long long)n);
}

/* The name the user gave, or the kernel's: either works as an argument. */
static char *text_name(const struct device *d, bool bytes)
{
	return d->name && *d->name ? xstrdup(d->name) : xasprintf("vdisk%u", d->id);
}

static struct json_object *json_name(const struct device *d)
{
	char *s = text_name(d, false);
	struct json_object *o = json_text(s);

	free(s);
	return o;
}

static char *text_node(const struct device *d, bool bytes)
{
	return xasprintf("/dev/vdisk%u", d->id);
}

static struct json_object *json_node(const struct device *d)
{
	char *s = text_node(d, false);
	struct json_object *o = json_text(s);

	free(s);
	return o;
}

static char *text_backing(const struct device *d, bool bytes)
{
	return xstrdup(first_path(d));
}

static struct json_object *json_backing(const struct device *d)
{
	return d->nr_paths ? json_text(d->paths[0]) : NULL;
}

static char *text_format(const struct device *d, bool bytes)
{
	return xstrdup(device_format(d));
}

static struct json_object *json_format(const struct device *d)
{
	return json_text(device_format(d));
}

static char *text_size(const struct device *d, bool bytes)
{
	char buf[32];

	if (bytes)
		return number(d->capacity);
	format_size(d->capacity, buf, sizeof(buf));
	return xstrdup(buf);
}

static struct json_object *json_size(const struct device *d)
{
	return json_u64(d->capacity);
}

/* A column that is one flag; @set says what the flag being there means. */
#define FLAG_COLUMN(id, flag, set)						\
static char *text_##id(const struct device *d, bool bytes)			\
{										\
	return yes_no(!!(d->flags & (flag)) == (set));				\
}										\
static struct json_object *json_##id(const struct device *d)			\
{										\
	return json_object_new_boolean(!!(d->flags & (flag)) == (set));		\
}

FLAG_COLUMN(ro, VDISK_F_RDONLY, true)
FLAG_COLUMN(dio, VDISK_F_BUFFERED, false)
FLAG_COLUMN(isolate, VDISK_F_ISOLATE, true)
FLAG_COLUMN(flush, VDISK_F_NO_FLUSH, false)
FLAG_COLUMN(autoclear, VDISK_F_AUTOCLEAR, true)

#define NUMBER_COLUMN(field)							\
static char *text_##field(const struct device *d, bool bytes)			\
{										\
	return number(d->field);						\
}										\
static struct json_object *json_##field(const struct device *d)			\
{										\
	return json_u64(d->field);						\
}

NUMBER_COLUMN(openers)
NUMBER_COLUMN(diskseq)
NUMBER_COLUMN(errors)
NUMBER_COLUMN(inflight)
NUMBER_COLUMN(queues)
NUMBER_COLUMN(sector_size)
NUMBER_COLUMN(major)
NUMBER_COLUMN(minor)

static char *text_state(const struct device *d, bool bytes)
{
	return xstrdup(device_state(d));
}

static struct json_object *json_state(const struct device *d)
{
	return json_text(device_state(d));
}

static const char *discard(const struct device *d)
{
	return d->flags & VDISK_F_NO_DISCARD ? "ignore" : "unmap";
}

static char *text_discard(const struct device *d, bool bytes)
{
	return xstrdup(discard(d));
}

static struct json_object *json_discard(const struct device *d)
{
	return json_text(discard(d));
}

static char *text_parents(const struct device *d, bool bytes)
{
	char *all = xstrdup("");
	u32 i;

	for (i = 1; i < d->nr_paths; i++) {
		char *more = xasprintf("%s%s%s", all, i > 1 ? ", " : "", d->paths[i]);

		free(all);
		all = more;
	}
	return all;
}

static struct json_object *json_parents(const struct device *d)
{
	struct json_object *list = json_object_new_array();
	u32 i;

	for (i = 1; i < d->nr_images; i++) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "backing",
				       i < d->nr_paths ? json_text(d->paths[i]) : NULL);
		json_object_object_add(o, "format", json_text(vd_format_name(d->images[i].format)));
		json_object_object_add(o, "size", json_u64(d->images[i].size));
		json_object_array_add(list, o);
	}
	return list;
}

static char *text_uuid(const struct device *d, bool bytes)
{
	return xstrdup(d->uuid ? d->uuid : "");
}

static struct json_object *json_uuid(const struct device *d)
{
	return d->uuid && *d->uuid ? json_text(d->uuid) : NULL;
}

#define COLUMN(NAME, id, help, right) { NAME, help, right, text_##id, json_##id }

const struct column columns[] = {
	COLUMN("NAME", name, "name given with --name, or vdiskN", false),
	COLUMN("NODE", node, "device node", false),
	COLUMN("BACKING", backing, "image file (root only)", false),
	COLUMN("FORMAT", format, "format of the image", false),
	COLUMN("SIZE", size, "size of the disk", true),
	COLUMN("RO", ro, "read-only", true),
	COLUMN("STATE", state, "live, or dying after a forced detach", false),
	COLUMN("OPENERS", openers, "how many have it open", true),
	COLUMN("DIO", dio, "every file is read and written directly", true),
	COLUMN("ISOLATE", isolate, "the host does not activate what is on it", true),
	COLUMN("DISCARD", discard, "unmap or ignore", false),
	COLUMN("FLUSH", flush, "flushes reach the files", true),
	COLUMN("AUTOCLEAR", autoclear, "detaches at last close", true),
	COLUMN("DISKSEQ", diskseq, "number that no other disk since boot had", true),
	COLUMN("ERRORS", errors, "requests that failed", true),
	COLUMN("PARENTS", parents, "images below the top (root only)", false),
	COLUMN("UUID", uuid, "UUID of the image", false),
	COLUMN("SECTOR-SIZE", sector_size, "logical sector size", true),
	COLUMN("QUEUES", queues, "hardware queues", true),
	COLUMN("INFLIGHT", inflight, "requests inside files", true),
	COLUMN("MAJOR", major, "device number", true),
	COLUMN("MINOR", minor, "device number", true),
};

const int nr_columns = ARRAY_SIZE(columns);

/* "SECTOR-SIZE" is "sector_size" in JSON. */
static void json_key(const char *name, char *key, size_t len)
{
	size_t i;

	for (i = 0; name[i] && i < len - 1; i++)
		key[i] = name[i] == '-' ? '_' : (char)(name[i] | 0x20);
	key[i] = 0;
}

struct json_object *device_json(const struct device *dev, const int *cols, int nr)
{
	struct json_object *o = json_object_new_object();
	char key[32];
	int i;

	for (i = 0; i < nr; i++) {
		const struct column *c = &columns[cols ? cols[i] : i];

		json_key(c->name, key, sizeof(key));
		json_object_object_add(o, key, c->json(dev));
	}
	return o;
}

struct json_object *json_top(void)
{
	struct json_object *top = json_object_new_object();

	json_object_object_add(top, "schema", json_object_new_int(1));
	return top;
}

void json_print(struct json_object *o)
{
	printf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY |
						      JSON_C_TO_STRING_SPACED |
						      JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

/* @cols NULL: every column. */
int json_devices(const struct device *list, u32 nr, const int *cols, int nr_cols)
{
	struct json_object *top = json_top();
	struct json_object *array = json_object_new_array();
	u32 i;

	for (i = 0; i < nr; i++)
		json_object_array_add(array, device_json(&list[i], cols,
							 cols ? nr_cols : nr_columns));
	json_object_object_add(top, "vdisks", array);
	json_print(top);
	return 0;
}
