// SPDX-License-Identifier: GPL-2.0-only
/* vdctl list: a table of the attached disks */
#include <getopt.h>
#include <libsmartcols.h>
#include <stdlib.h>
#include <strings.h>
#include "netlink.h"
#include "vdisk/format.h"

#define MAX_COLUMNS 64

enum { OPT_TREE = 400 };

static const struct ctl_opt opts[] = {
	{ 'o', "output", "COLUMNS", "which columns, separated by commas; +COLUMNS adds to the default" },
	{ 'O', "output-all", NULL, "every column" },
	{ 'n', "noheadings", NULL, "no heading" },
	{ 'r', "raw", NULL, "one blank between columns" },
	{ 'b', "bytes", NULL, "sizes in bytes" },
	{ OPT_TREE, "tree", NULL, "the images below each disk too" },
	{ 'J', "json", NULL, "JSON: {\"schema\":1,\"vdisks\":[...]}" },
	{ 0 }
};

static const char *const default_columns = "NAME,NODE,SIZE,FORMAT,RO,STATE,BACKING";

struct list {
	int cols[MAX_COLUMNS];
	int nr_cols;
	bool chosen;
	bool noheadings;
	bool raw;
	bool bytes;
	bool tree;
};

static int find_column(const char *name, size_t len)
{
	int i;

	for (i = 0; i < nr_columns; i++)
		if (strlen(columns[i].name) == len && !strncasecmp(columns[i].name, name, len))
			return i;
	return -1;
}

static int add_columns(struct list *l, const char *names)
{
	while (*names) {
		size_t len = strcspn(names, ",");
		int i = find_column(names, len);

		if (i < 0 || l->nr_cols == MAX_COLUMNS)
			return ctl_error(CTL_USAGE, "usage", NULL, "there is no column '%.*s'",
					 (int)len, names);
		l->cols[l->nr_cols++] = i;
		names += len;
		if (*names == ',')
			names++;
	}
	return 0;
}

static int choose(struct list *l, const char *names)
{
	l->chosen = true;
	l->nr_cols = 0;
	if (*names == '+') {
		add_columns(l, default_columns);
		names++;
	}
	return add_columns(l, names);
}

static void choose_all(struct list *l)
{
	l->chosen = true;
	for (l->nr_cols = 0; l->nr_cols < nr_columns; l->nr_cols++)
		l->cols[l->nr_cols] = l->nr_cols;
}

static struct libscols_table *make_table(const struct list *l)
{
	struct libscols_table *table = scols_new_table();
	int i;

	if (!table)
		return NULL;
	scols_table_enable_noheadings(table, l->noheadings);
	scols_table_enable_raw(table, l->raw);
	for (i = 0; i < l->nr_cols; i++) {
		const struct column *c = &columns[l->cols[i]];
		int flags = c->right ? SCOLS_FL_RIGHT : 0;

		if (l->tree && !strcmp(c->name, "BACKING"))
			flags |= SCOLS_FL_TREE;
		if (!scols_table_new_column(table, c->name, 0, flags)) {
			scols_unref_table(table);
			return NULL;
		}
	}
	return table;
}

/* Rows below a disk: its parents, each hanging from its child. */
static void add_parents(struct libscols_table *table, const struct list *l, const struct device *d,
			struct libscols_line *above)
{
	u32 n;
	int i;

	for (n = 1; n < d->nr_images; n++) {
		struct libscols_line *line = scols_table_new_line(table, above);
		struct device image = { .capacity = d->images[n].size };

		for (i = 0; line && i < l->nr_cols; i++) {
			const struct column *c = &columns[l->cols[i]];

			if (!strcmp(c->name, "BACKING"))
				scols_line_set_data(line, (size_t)i,
						    n < d->nr_paths ? d->paths[n] : "");
			else if (!strcmp(c->name, "FORMAT"))
				scols_line_set_data(line, (size_t)i,
						    vd_format_name(d->images[n].format));
			else if (!strcmp(c->name, "SIZE"))
				scols_line_refer_data(line, (size_t)i, c->text(&image, l->bytes));
		}
		above = line;
	}
}

static int print_table(const struct list *l, const struct devices *devs)
{
	struct libscols_table *table = make_table(l);
	u32 n;
	int i;

	if (!table)
		return ctl_nomem();
	for (n = 0; n < devs->nr; n++) {
		struct libscols_line *line = scols_table_new_line(table, NULL);

		/* refer: the table frees the text */
		for (i = 0; line && i < l->nr_cols; i++)
			scols_line_refer_data(line, (size_t)i,
					      columns[l->cols[i]].text(&devs->list[n], l->bytes));
		if (line && l->tree)
			add_parents(table, l, &devs->list[n], line);
	}
	scols_print_table(table);
	scols_unref_table(table);
	return 0;
}

static int list(const struct list *l)
{
	struct devices devs;
	struct klink nl = { 0 };
	int ret;

	ret = devices_get(&nl, &devs);
	if (!ret && ctl.json)
		json_devices(devs.list, devs.nr, l->chosen ? l->cols : NULL, l->nr_cols);
	else if (!ret && devs.nr)
		ret = print_table(l, &devs);
	devices_free(&devs);
	klink_disconnect(&nl);
	return ret;
}

static int run(const struct cmd *cmd, int argc, char **argv)
{
	struct list l = { 0 };
	int id, ret = 0;

	add_columns(&l, default_columns);
	while (!ret && (id = ctl_getopt(cmd, argc, argv)) != CTL_OPT_END) {
		switch (id) {
		case CTL_OPT_BAD:
			return CTL_USAGE;
		case CTL_OPT_HELP:
			return 0;
		case 'o':
			ret = choose(&l, optarg);
			break;
		case 'O':
			choose_all(&l);
			break;
		case 'n':
			l.noheadings = true;
			break;
		case 'r':
			l.raw = true;
			break;
		case 'b':
			l.bytes = true;
			break;
		case OPT_TREE:
			l.tree = true;
			break;
		}
	}
	if (!ret && optind < argc)
		ret = cmd_usage(cmd, "list takes no argument; see 'vdctl status'");
	if (!ret && l.tree && !ctl.json) {
		int i, backing = find_column("BACKING", 7);

		for (i = 0; i < l.nr_cols && l.cols[i] != backing; i++)
			;
		if (i == l.nr_cols)
			ret = add_columns(&l, "BACKING");
	}
	return ret ? ret : list(&l);
}

const struct cmd cmd_list = {
	.name = "list",
	.args = "",
	.summary = "List the attached disks",
	.more = "Columns: NAME NODE BACKING FORMAT SIZE RO STATE OPENERS DIO ISOLATE DISCARD FLUSH\n"
		"AUTOCLEAR DISKSEQ ERRORS PARENTS UUID SECTOR-SIZE QUEUES INFLIGHT MAJOR MINOR.",
	.opts = { opts },
	.run = run,
};
