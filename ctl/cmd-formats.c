// SPDX-License-Identifier: GPL-2.0-only
/* vdctl formats: what this vdctl was built with */
#include <getopt.h>
#include <json-c/json.h>
#include <libsmartcols.h>
#include <stdlib.h>
#include "netlink.h"
#include "vdisk/format.h"
#include "vdisk/layout.h"

static const struct ctl_opt opts[] = {
	{ 'J', "json", NULL, "JSON" },
	{ 0 }
};

/* What the tools offer now, which may be less than the backend could do. */
static const struct {
	const char *name;
	const char *key;
	u64 cap;
} abilities[] = {
	{ "WRITE", "write", VD_CAP_WRITE },
	{ "DIFF", "diff", VD_CAP_DIFF },
	{ "DISCARD", "discard", VD_CAP_DISCARD },
	{ "ZERO", "zero", VD_CAP_ZERO },
	{ "PROBE", "probe", VD_CAP_PROBE },
};

static bool can(const struct vd_format *f, size_t ability)
{
	return f->caps & abilities[ability].cap;
}

static const char *const uses[] = { "read", "write", "create", "check", "repair" };

static struct json_object *json_images(const struct vd_format *f)
{
	struct json_object *list = json_object_new_array();
	const struct vd_support *s;
	size_t i;

	for (s = f->user ? f->user->support : NULL; s && s->image; s++) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "image", json_text(s->image));
		for (i = 0; i < ARRAY_SIZE(uses); i++)
			json_object_object_add(o, uses[i],
					       json_object_new_boolean(s->can >> i & 1));
		json_object_object_add(o, "subformats",
				       s->subformats ? json_text(s->subformats) : NULL);
		json_object_object_add(o, "note", s->note ? json_text(s->note) : NULL);
		json_object_array_add(list, o);
	}
	return list;
}

static char *extensions_of(const struct vd_format *f)
{
	const char *const *e;
	char *all = xstrdup("");

	for (e = f->extensions; e && *e; e++) {
		char *more = xasprintf("%s%s%s", all, *all ? "," : "", *e);

		free(all);
		all = more;
	}
	return all;
}

static void print_json(void)
{
	struct json_object *top = json_top();
	struct json_object *list = json_object_new_array();
	const struct vd_format *const *f;
	const char *const *e;
	size_t i;

	for (f = vd_formats(); *f; f++) {
		struct json_object *o = json_object_new_object();
		struct json_object *extensions = json_object_new_array();

		json_object_object_add(o, "name", json_text((*f)->name));
		json_object_object_add(o, "read", json_object_new_boolean(true));
		for (i = 0; i < ARRAY_SIZE(abilities); i++)
			json_object_object_add(o, abilities[i].key,
					       json_object_new_boolean(can(*f, i)));
		for (e = (*f)->extensions; e && *e; e++)
			json_object_array_add(extensions, json_text(*e));
		json_object_object_add(o, "extensions", extensions);
		json_object_object_add(o, "images", json_images(*f));
		json_object_array_add(list, o);
	}
	json_object_object_add(top, "formats", list);
	json_print(top);
}

static int print_table(void)
{
	struct libscols_table *table = scols_new_table();
	const struct vd_format *const *f;
	size_t i;

	if (!table)
		return ctl_nomem();
	scols_table_new_column(table, "NAME", 0, 0);
	scols_table_new_column(table, "READ", 0, 0);
	for (i = 0; i < ARRAY_SIZE(abilities); i++)
		scols_table_new_column(table, abilities[i].name, 0, 0);
	scols_table_new_column(table, "EXTENSIONS", 0, 0);
	for (f = vd_formats(); *f; f++) {
		struct libscols_line *line = scols_table_new_line(table, NULL);

		if (!line)
			break;
		scols_line_set_data(line, 0, (*f)->name);
		scols_line_set_data(line, 1, "yes");
		for (i = 0; i < ARRAY_SIZE(abilities); i++)
			scols_line_set_data(line, i + 2, can(*f, i) ? "yes" : "no");
		scols_line_refer_data(line, ARRAY_SIZE(abilities) + 2, extensions_of(*f));
	}
	scols_print_table(table);
	scols_unref_table(table);
	return 0;
}

static int run(const struct cmd *cmd, int argc, char **argv)
{
	int id;

	while ((id = ctl_getopt(cmd, argc, argv)) != CTL_OPT_END)
		if (id < 0)
			return id == CTL_OPT_BAD ? CTL_USAGE : 0;
	if (optind < argc)
		return cmd_usage(cmd, "formats takes no argument");
	if (!ctl.json)
		return print_table();
	print_json();
	return 0;
}

const struct cmd cmd_formats = {
	.name = "formats",
	.args = "",
	.summary = "List the formats and what can be done with each",
	.opts = { opts },
	.run = run,
};
