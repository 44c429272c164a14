/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the fields of an image lie: what a mutator that knows formats needs.
 *
 * Written from the format sheets, without a line of the library: the fields of
 * an image must be found also when the library would refuse it. Adding a format
 * is one line in fz_formats[] and its functions.
 */
#ifndef FZ_FIELDS_H
#define FZ_FIELDS_H

#include "vd_port.h"

#define FZ_FILES	8
#define FZ_VISITS	32768	/* fields told of one view, so that a loop of tables ends */

enum fz_kind {
	FZ_SECTOR,	/* place in a file, in sectors */
	FZ_COUNT,	/* sectors, or things to count */
	FZ_ENTRY,	/* of a table */
	FZ_SIZE,	/* bytes */
	FZ_FLAGS,
	FZ_MAGIC,
	FZ_VERSION,
	FZ_PACKED,	/* compressed bytes: @len of them */
	FZ_TEXT,	/* @len bytes of text */
	FZ_KINDS,
};

/**
 * struct fz_field - one field of an image
 * @file: in the view; @pos: byte in that file
 * @len: of text and packed bytes, else 0
 * @width: bytes of a number, else 0
 * @big: big-endian
 * @kind: enum fz_kind
 */
struct fz_field {
	u32 file;
	u32 len;
	u64 pos;
	u8 width;
	bool big;
	u8 kind;
};

/**
 * struct fz_view_file - a file in memory, shorter perhaps than the image claims
 * @data: the caller's, @room bytes of it; those behind @len are zeros
 */
struct fz_view_file {
	u8 *data;
	u64 len;
	u64 room;
};

struct fz_view {
	u32 nr;
	struct fz_view_file file[FZ_FILES];
};

/* Embedded in whatever a listener needs. @left: visits before the listing stops. */
struct fz_sink {
	void (*put)(struct fz_sink *sink, const struct fz_field *field);
	u32 left;
};

/**
 * struct fz_format - what is known of a format's fields
 * @list: tells all fields that lie inside the files; false: none of the files is
 *	of this format
 * @fix: makes checksums fit again; NULL: the format has none
 */
struct fz_format {
	const char *name;
	bool (*list)(const struct fz_view *v, struct fz_sink *sink);
	void (*fix)(struct fz_view *v);
};

/* Ends with a line that recognises everything. */
extern const struct fz_format fz_formats[];

/* The fields of the first format that knows the files. */
const struct fz_format *fz_list(const struct fz_view *v, struct fz_sink *sink);

/* For list functions: tells the listener, if all of the field lies in its file. */
void fz_put(const struct fz_view *v, struct fz_sink *sink, struct fz_field field);

/* 0 past the end of the file. */
u64 fz_get(const struct fz_view *v, const struct fz_field *field);
/* Nothing happens past the end of the file. */
void fz_set(struct fz_view *v, const struct fz_field *field, u64 value);

/* vmdk.c */
bool fz_vmdk_list(const struct fz_view *v, struct fz_sink *sink);

#endif /* FZ_FIELDS_H */
