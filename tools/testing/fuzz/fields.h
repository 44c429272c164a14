/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the fields of an image lie: what a mutator that knows formats needs.
 *
 * Written from the format sheets, without a line of the library: the fields of
 * an image must be found also when the library would refuse it. Adding a format
 * is one line in fz_formats[] and its function.
 */
#ifndef FZ_FIELDS_H
#define FZ_FIELDS_H

#include "vd_port.h"

#define FZ_FILES	8
#define FZ_VISITS	32768	/* fields told of one view, so that a loop of tables ends */

enum fz_kind {
	FZ_SECTOR,	/* place in a file, in sectors */
	FZ_BYTE,	/* the same in bytes */
	FZ_COUNT,	/* sectors, or things to count */
	FZ_ENTRY,	/* of a table */
	FZ_SIZE,	/* bytes */
	FZ_FLAGS,
	FZ_MAGIC,
	FZ_VERSION,
	FZ_ID,		/* half of a UUID */
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
 * @empty: an entry that leads nowhere, as most of a table do
 * @kind: enum fz_kind
 */
struct fz_field {
	u32 file;
	u32 len;
	u64 pos;
	u8 width;
	bool big;
	bool empty;
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

/* One file that is being listed. */
struct fz_walk {
	const struct fz_view *v;
	struct fz_sink *sink;
	u32 file;
};

/* A number at a known place of a structure. */
struct fz_part {
	u16 off;
	u8 width;
	u8 kind;
};

/**
 * struct fz_format - what is known of a format's fields
 * @list: tells all fields of one file; false: it is not of this format
 * @fix: makes that file's checksums fit again; NULL: the format has none
 */
struct fz_format {
	const char *name;
	bool (*list)(const struct fz_walk *w);
	void (*fix)(struct fz_view *v, u32 file);
};

/* Ends with a line that recognises everything. */
extern const struct fz_format fz_formats[];

/* The fields of each file, by the first format that knows it. */
void fz_list(const struct fz_view *v, struct fz_sink *sink);
/* What a change of any of them may have made wrong. */
void fz_fix(struct fz_view *v);

/* 0 past the end of the file. */
u64 fz_get(const struct fz_view *v, const struct fz_field *field);
/* Nothing happens past the end of the file. */
void fz_set(struct fz_view *v, const struct fz_field *field, u64 value);

/* For list functions: each tells the listener, if all of the field lies in the file. */
void fz_put(const struct fz_walk *w, u64 pos, u8 width, enum fz_kind kind);
void fz_put_parts(const struct fz_walk *w, u64 base, const struct fz_part *parts, u32 nr);
/* As far as the file has them. */
void fz_put_bytes(const struct fz_walk *w, u64 pos, u64 len, enum fz_kind kind);
/* Up to its NUL or the end of its area. */
void fz_put_text(const struct fz_walk *w, u64 pos, u64 room);
/* An entry of a table that leads nowhere if it is @empty. Returns its value. */
u64 fz_put_entry(const struct fz_walk *w, u64 pos, u8 width, bool (*empty)(u64 value));
/* 0 past the end of the file. */
u64 fz_number(const struct fz_walk *w, u64 pos, u8 width);

/* vmdk.c, vdi.c */
bool fz_vmdk_list(const struct fz_walk *w);
bool fz_vdi_list(const struct fz_walk *w);

#endif /* FZ_FIELDS_H */
