// SPDX-License-Identifier: GPL-2.0-only
/* Chains as tables and as JSON. */
#include <json-c/json.h>
#include <libsmartcols.h>
#include <stdlib.h>
#include "chain-rows.h"
#include "netlink.h"

struct chain_row *rows_add(struct chain_rows *rows)
{
	struct chain_row *row = &rows->row[rows->nr++];

	memset(row, 0, sizeof(*row));
	return row;
}

void rows_clear(struct chain_rows *rows)
{
	while (rows->nr) {
		rows->nr--;
		free(rows->row[rows->nr].file);
		free(rows->row[rows->nr].note);
	}
}

void row_link(struct chain_row *row, const char *word)
{
	size_t n = strlen(row->link);

	snprintf(row->link + n, sizeof(row->link) - n, "%s%s", n ? "," : "", word);
}

void row_link_ids(struct chain_row *row, u32 link)
{
	if (link & LINK_UUID)
		row_link(row, "uuid");
	if (link & LINK_MOD)
		row_link(row, "modification");
	if (link & LINK_CID)
		row_link(row, "cid");
}

void rows_add_wanted(struct chain_rows *rows, const struct chain_ids *ids, const char *hint,
		     const char *state)
{
	struct chain_row *row = rows_add(rows);

	row->file = hint ? xstrdup(hint) : NULL;
	row->state = state;
	row->ids.has_cid = ids->wants_cid;
	row->ids.cid = ids->parent_cid;
	memcpy(row->ids.uuid, ids->parent_uuid, sizeof(row->ids.uuid));
	memcpy(row->ids.mod_uuid, ids->parent_mod_uuid, sizeof(row->ids.mod_uuid));
}

/* --- a table --- */

enum { COL_NR, COL_FILE, COL_FORMAT, COL_SIZE, COL_UUID, COL_CID, COL_LINK, COL_STATE };

static const char *const headings[] = { "NR", "FILE", "FORMAT", "SIZE", "UUID", "CID", "LINK",
					"STATE" };

static char *cell(const struct chain_row *row, u32 nr, size_t column)
{
	char buf[37] = "-";

	switch (column) {
	case COL_NR:
		return xasprintf("%u", nr);
	case COL_FILE:
		return row->file ? text_escaped(row->file) : xstrdup(buf);
	case COL_FORMAT:
		return xstrdup(row->format ? row->format : buf);
	case COL_SIZE:
		if (row->size)
			format_size(row->size, buf, sizeof(buf));
		return xstrdup(buf);
	case COL_UUID:
		if (!uuid_is_zero(row->ids.uuid))
			format_uuid(row->ids.uuid, buf);
		return xstrdup(buf);
	case COL_CID:
		if (row->ids.has_cid)
			snprintf(buf, sizeof(buf), "%08x", row->ids.cid);
		return xstrdup(buf);
	case COL_LINK:
		return xstrdup(row->link[0] ? row->link : buf);
	default:
		return xstrdup(row->state);
	}
}

static struct libscols_table *make_table(void)
{
	struct libscols_table *table = scols_new_table();
	size_t i;

	for (i = 0; table && i < ARRAY_SIZE(headings); i++) {
		int flags = i == COL_NR || i == COL_SIZE ? SCOLS_FL_RIGHT : 0;
		struct libscols_column *column;

		column = scols_table_new_column(table, headings[i], 0, flags);
		/* Names come here escaped; the library is not to escape that once more. */
		if (!column || scols_column_set_safechars(column, "\\")) {
			scols_unref_table(table);
			return NULL;
		}
	}
	return table;
}

int rows_print(const struct chain_rows *rows)
{
	struct libscols_table *table = make_table();
	size_t column;
	u32 i;

	if (!table)
		return ctl_nomem();
	for (i = 0; i < rows->nr; i++) {
		struct libscols_line *line = scols_table_new_line(table, NULL);

		/* refer: the table frees the text */
		for (column = 0; line && column < ARRAY_SIZE(headings); column++)
			scols_line_refer_data(line, column, cell(&rows->row[i], i, column));
	}
	scols_print_table(table);
	scols_unref_table(table);
	for (i = 0; i < rows->nr; i++) {
		if (!rows->row[i].note)
			continue;
		printf("%u: ", i);
		text_escape(stdout, rows->row[i].note);
		putchar('\n');
	}
	return 0;
}

/* --- JSON --- */

static void add_text(struct json_object *o, const char *key, const char *s)
{
	json_object_object_add(o, key, s ? json_text(s) : NULL);
}

static void add_uuid(struct json_object *o, const char *key, const u8 uuid[16])
{
	char text[37];

	if (uuid_is_zero(uuid))
		return;
	format_uuid(uuid, text);
	add_text(o, key, text);
}

static void add_cid(struct json_object *o, const char *key, bool have, u32 cid)
{
	char text[9];

	if (!have)
		return;
	snprintf(text, sizeof(text), "%08x", cid);
	add_text(o, key, text);
}

static struct json_object *json_row(const struct chain_row *row, u32 nr)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "number", json_object_new_int64(nr));
	add_text(o, "filename", row->file);
	add_text(o, "format", row->format);
	add_text(o, "subformat", row->subformat);
	json_object_object_add(o, "virtual-size", row->size ?
			       json_object_new_int64((int64_t)row->size) : NULL);
	add_cid(o, "cid", row->ids.has_cid, row->ids.cid);
	add_uuid(o, "uuid", row->ids.uuid);
	add_uuid(o, "modification-uuid", row->ids.mod_uuid);
	add_cid(o, "parent-cid", row->ids.wants_cid, row->ids.parent_cid);
	add_uuid(o, "parent-uuid", row->ids.parent_uuid);
	add_uuid(o, "parent-modification-uuid", row->ids.parent_mod_uuid);
	add_text(o, "link", row->link[0] ? row->link : NULL);
	add_text(o, "state", row->state);
	add_text(o, "note", row->note);
	return o;
}

struct json_object *rows_json(const struct chain_rows *rows)
{
	struct json_object *list = json_object_new_array();
	u32 i;

	for (i = 0; i < rows->nr; i++)
		json_object_array_add(list, json_row(&rows->row[i], i));
	return list;
}
