// SPDX-License-Identifier: GPL-2.0-only
/* vdctl chain --search: chains put together again, and the command that opens each */
#include <json-c/json.h>
#include <stdlib.h>
#include "chain-rows.h"
#include "chain-scan.h"
#include "chain-search.h"
#include "netlink.h"

/**
 * struct found - one chain
 * @complete: down to an image that has no parent
 * @changed: a parent was written to after its child was made
 * @command: that opens it, or NULL
 */
struct found {
	struct chain_rows rows;
	u32 members[VDISK_MAX_IMAGES];
	u32 nr;
	bool complete;
	bool changed;
	char *command;
};

static bool in_walk(const struct found *c, u32 index)
{
	u32 i;

	for (i = 0; i < c->nr; i++)
		if (c->members[i] == index)
			return true;
	return false;
}

/* The first of the other files that would do, and how many more there are. */
static char *others(const struct scan *scan, const struct chain_node *n)
{
	u32 shown = min_t(u32, n->nr_others, CHAIN_OTHERS), i;
	char *text = NULL;
	size_t len;
	FILE *to;

	if (!n->nr_others)
		return NULL;
	to = open_memstream(&text, &len);
	if (!to)
		return NULL;
	fputs(n->ambiguous ? "its parent could as well be " : "of its parent there is also ", to);
	for (i = 0; i < shown; i++)
		fprintf(to, "%s%s", i ? ", " : "", scan->files[n->others[i]].path);
	if (n->nr_others > shown)
		fprintf(to, " and %u more", n->nr_others - shown);
	fclose(to);
	return text;
}

static const char *state_of(const struct scan_file *f, enum chain_state above)
{
	if (f->error)
		return "unreadable";
	switch (above) {
	case CHAIN_NAMED: return "by name";
	case CHAIN_CHANGED: return "changed";
	default: return "ok";
	}
}

static void add_row(const struct scan *scan, struct found *c, u32 index, enum chain_state above)
{
	const struct scan_file *f = &scan->files[index];
	const struct chain_node *n = &scan->nodes[index];
	struct chain_row *row = rows_add(&c->rows);

	row->file = xstrdup(f->path);
	row->format = vd_format_name(f->format ? f->format : VDISK_FORMAT_RAW);
	row->subformat = f->subformat;
	row->size = f->size;
	row->ids = f->ids;
	row->state = state_of(f, above);
	row->note = f->error ? xstrdup(f->error) : others(scan, n);
	if (n->link & (LINK_NAME | LINK_PATH))
		row_link(row, "name");
	row_link_ids(row, n->link);
	c->members[c->nr++] = index;
	c->changed |= above == CHAIN_CHANGED;
}

/* What follows the last image that is there. */
static void finish(const struct scan *scan, struct found *c, u32 at)
{
	const u32 end = c->members[c->nr - 1];
	const struct scan_file *last = &scan->files[end];

	if (scan->nodes[end].state == CHAIN_LOOP && at == CHAIN_NONE)
		at = end;
	if (at != CHAIN_NONE)
		rows_add_wanted(&c->rows, &last->ids, scan->files[at].path,
				in_walk(c, at) ? "loop" : "too deep");
	else if (last->ids.parent)
		rows_add_wanted(&c->rows, &last->ids, last->hint, "missing");
	else
		c->complete = !last->error;
}

static void walk(const struct scan *scan, struct found *c, u32 top)
{
	enum chain_state above = CHAIN_BASE;
	u32 at = top;

	while (at != CHAIN_NONE && c->nr < VDISK_MAX_IMAGES && !in_walk(c, at)) {
		add_row(scan, c, at, above);
		above = scan->nodes[at].state;
		at = scan->nodes[at].parent;
	}
	finish(scan, c, at);
}

/* --- the command --- */

/* Would the parent be found without being named? See parents.c. */
static bool found_alone(const struct scan *scan, u32 child)
{
	const struct chain_node *n = &scan->nodes[child];
	const struct scan_file *c = &scan->files[child], *p = &scan->files[n->parent];

	if (c->uid != p->uid || (n->state == CHAIN_NAMED && !c->parent_format))
		return false;
	if (n->link & LINK_PATH)
		return true;
	if (!(n->link & LINK_BESIDE))
		return false;
	if (n->link & LINK_NAME && n->hint_node == CHAIN_NONE)
		return true;
	return n->link & LINK_UUID && name_is_image(p->path) && !p->twin;
}

static void make_command(const struct scan *scan, struct found *c)
{
	size_t len;
	FILE *to;
	u32 i;

	if (!c->complete)
		return;
	to = open_memstream(&c->command, &len);
	if (!to)
		return;
	fputs("vdctl attach", to);
	if (c->changed)
		fputs(" --force-parent", to);
	for (i = 0; i + 1 < c->nr; i++) {
		if (found_alone(scan, c->members[i]))
			continue;
		fputs(" --parent ", to);
		shell_quote(to, scan->files[c->members[i + 1]].path);
	}
	fputc(' ', to);
	shell_quote(to, scan->files[c->members[0]].path);
	fclose(to);
}

/* --- answers --- */

struct answer {
	const struct scan *scan;
	struct json_object *chains;
	struct found *one;
	bool *shown;
	u32 nr_chains;
	u32 nr_incomplete;
	int ret;
};

static void clear(struct found *c)
{
	rows_clear(&c->rows);
	free(c->command);
	memset(c, 0, sizeof(*c));
}

static struct json_object *found_json(const struct found *c)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "complete", json_object_new_boolean(c->complete));
	json_object_object_add(o, "command", c->command ? json_text(c->command) : NULL);
	json_object_object_add(o, "chain", rows_json(&c->rows));
	return o;
}

static void found_print(const struct found *c, u32 nr)
{
	printf("%schain %u: %s\n", nr > 1 ? "\n" : "", nr, c->complete ? "complete" : "incomplete");
	rows_print(&c->rows);
	if (!c->command)
		return;
	printf("to open it: ");
	text_escape(stdout, c->command);
	putchar('\n');
}

static void show(struct answer *a, u32 top)
{
	struct found *c = a->one;
	u32 i;

	walk(a->scan, c, top);
	make_command(a->scan, c);
	a->nr_chains++;
	a->nr_incomplete += !c->complete;
	for (i = 0; a->shown && i < c->nr; i++)
		a->shown[c->members[i]] = true;
	if (a->chains)
		json_object_array_add(a->chains, found_json(c));
	else
		found_print(c, a->nr_chains);
}

static bool is_top(const struct chain_node *n)
{
	return n->ids.parent && !n->nr_children;
}

/* A loop that no child leads into has no top: the first of its files stands for it. */
static void show_loops(struct answer *a)
{
	u32 i;

	for (i = 0; i < a->scan->nr && !stop_wanted(); i++) {
		if (a->shown[i] || a->scan->nodes[i].state != CHAIN_LOOP)
			continue;
		show(a, i);
		clear(a->one);
	}
}

static void show_all(struct answer *a)
{
	u32 i;

	a->shown = xrealloc(NULL, (size_t)a->scan->nr + 1, sizeof(*a->shown));
	memset(a->shown, 0, ((size_t)a->scan->nr + 1) * sizeof(*a->shown));
	for (i = 0; i < a->scan->nr && !stop_wanted(); i++) {
		if (!is_top(&a->scan->nodes[i]))
			continue;
		show(a, i);
		clear(a->one);
	}
	show_loops(a);
	free(a->shown);
	a->shown = NULL;
}

static u32 count_alone(const struct scan *scan)
{
	u32 i, n = 0;

	for (i = 0; i < scan->nr; i++)
		n += scan->files[i].format && !scan->nodes[i].ids.parent &&
		     !scan->nodes[i].nr_children;
	return n;
}

/* --- images with one UUID --- */

/* VMware gives a disk and its snapshots one: that is no copy. */
static bool is_copy(const struct scan *scan, u32 index)
{
	u32 parent = scan->nodes[index].parent;

	return parent == CHAIN_NONE ||
	       memcmp(scan->files[parent].ids.uuid, scan->files[index].ids.uuid, 16);
}

static u32 group_end(const struct scan *scan, const u32 *list, u32 from, u32 nr)
{
	u32 i = from + 1;

	while (i < nr && !memcmp(scan->files[list[i]].ids.uuid, scan->files[list[from]].ids.uuid,
				 16))
		i++;
	return i;
}

static void show_group(const struct scan *scan, const u32 *list, u32 from, u32 end,
		       struct json_object *json)
{
	struct json_object *o = NULL, *files = NULL;
	char uuid[37];
	u32 i;

	format_uuid(scan->files[list[from]].ids.uuid, uuid);
	if (json) {
		o = json_object_new_object();
		files = json_object_new_array();
		json_object_object_add(o, "uuid", json_text(uuid));
		json_object_object_add(o, "files", files);
		json_object_array_add(json, o);
	} else {
		printf("\nthe same UUID %s:\n", uuid);
	}
	for (i = from; i < end; i++) {
		if (json) {
			json_object_array_add(files, json_text(scan->files[list[i]].path));
			continue;
		}
		fputs("  ", stdout);
		text_escape(stdout, scan->files[list[i]].path);
		putchar('\n');
	}
}

static int show_duplicates(const struct scan *scan, struct json_object *json)
{
	u32 *list, i, n = 0, end;
	int nr = chain_duplicates(scan->nodes, scan->nr, &list);

	if (nr < 0)
		return ctl_nomem();
	for (i = 0; i < (u32)nr; i++)
		if (is_copy(scan, list[i]))
			list[n++] = list[i];
	for (i = 0; i < n; i = end) {
		end = group_end(scan, list, i, n);
		if (end - i > 1)
			show_group(scan, list, i, end, json);
	}
	free(list);
	return 0;
}

/* --- */

static void print_summary(const struct answer *a)
{
	u32 alone = count_alone(a->scan);

	printf("%s%u names looked at, %u images: %u chains, %u of them incomplete; %u images without parent or child\n",
	       a->nr_chains ? "\n" : "", a->scan->nr_entries, a->scan->nr_images, a->nr_chains,
	       a->nr_incomplete, alone);
}

static int answer_all(struct answer *a)
{
	struct json_object *top = NULL, *doubles = NULL;
	int ret;

	if (ctl.json) {
		top = json_top();
		a->chains = json_object_new_array();
		doubles = json_object_new_array();
		json_object_object_add(top, "directory", json_text(a->scan->root));
		json_object_object_add(top, "names", json_object_new_int64(a->scan->nr_entries));
		json_object_object_add(top, "images", json_object_new_int64(a->scan->nr_images));
		json_object_object_add(top, "alone", json_object_new_int64(count_alone(a->scan)));
		json_object_object_add(top, "cut", json_object_new_boolean(a->scan->cut));
		json_object_object_add(top, "chains", a->chains);
		json_object_object_add(top, "duplicates", doubles);
	}
	show_all(a);
	ret = show_duplicates(a->scan, doubles);
	if (!ret)
		ret = stop_asked();
	if (top)
		json_print(top);
	else if (!ret)
		print_summary(a);
	return ret;
}

static int incomplete(const struct scan *scan, const struct found *c)
{
	const struct chain_row *last = &c->rows.row[c->rows.nr - 1];
	const char *path = scan->files[c->members[0]].path;

	if (!strcmp(last->state, "missing"))
		return ctl_error(CTL_NOTFOUND, "parent_missing", path,
				 "its chain is incomplete: in %s is no parent for %s", scan->root,
				 scan->files[c->members[c->nr - 1]].path);
	if (!strcmp(last->state, "loop"))
		return ctl_error(CTL_IMAGE, "chain_loops", path, "the chain is a loop");
	if (!strcmp(last->state, "too deep"))
		return ctl_error(CTL_IMAGE, "unsupported", path,
				 "the chain is deeper than %u images", VDISK_MAX_IMAGES);
	return ctl_error(CTL_IMAGE, "image_damaged", path, "its parent %s cannot be read",
			 last->file);
}

static int answer_one(struct answer *a, u32 index)
{
	struct json_object *top;
	int ret = 0;

	if (ctl.json)
		a->chains = json_object_new_array();
	show(a, index);
	if (ctl.json) {
		top = json_top();
		json_object_object_add(top, "directory", json_text(a->scan->root));
		json_object_object_add(top, "cut", json_object_new_boolean(a->scan->cut));
		json_object_object_add(top, "chains", a->chains);
		json_print(top);
	}
	if (!a->one->complete)
		ret = incomplete(a->scan, a->one);
	return ret;
}

int chain_search(const char *dir, const char *image)
{
	struct scan scan = { 0 };
	struct answer a = { .scan = &scan };
	u32 index;
	int ret;

	stop_catch();
	ret = scan_dir(&scan, dir, image, &index);
	if (!ret) {
		a.one = xrealloc(NULL, 1, sizeof(*a.one));
		memset(a.one, 0, sizeof(*a.one));
		ret = image ? answer_one(&a, index) : answer_all(&a);
		clear(a.one);
		free(a.one);
	}
	scan_free(&scan);
	return ret;
}
