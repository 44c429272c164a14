/* SPDX-License-Identifier: GPL-2.0-only */
/* vdctl chain: a chain as a table and as JSON. */
#ifndef VDCTL_CHAIN_ROWS_H
#define VDCTL_CHAIN_ROWS_H

#include "chain.h"

struct json_object;

/**
 * struct chain_row - one image of a chain, the top first
 * @file: its name; of a parent that is missing, the one that its child has for it; or
 *	NULL
 * @format, @subformat: NULL: not known
 * @size: of the disk; 0: not known
 * @ids: of a parent that is missing, what its child wants
 * @link: what ties it to the next, as words with commas; "" if nothing
 * @state: one word or two
 * @note: more about @state, or NULL
 */
struct chain_row {
	char *file;
	const char *format;
	const char *subformat;
	u64 size;
	struct chain_ids ids;
	char link[64];
	const char *state;
	char *note;
};

struct chain_rows {
	struct chain_row row[VDISK_MAX_IMAGES + 1];
	u32 nr;
};

struct chain_row *rows_add(struct chain_rows *rows);
void rows_clear(struct chain_rows *rows);
/* One more word of @row->link. */
void row_link(struct chain_row *row, const char *word);
/* The words for LINK_UUID, _MOD and _CID. */
void row_link_ids(struct chain_row *row, u32 link);
/* A row that stands for the parent that a child with @ids and @hint lacks. */
void rows_add_wanted(struct chain_rows *rows, const struct chain_ids *ids, const char *hint,
		     const char *state);
int rows_print(const struct chain_rows *rows);
struct json_object *rows_json(const struct chain_rows *rows);

#endif /* VDCTL_CHAIN_ROWS_H */
