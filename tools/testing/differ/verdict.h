/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What explains a difference. A verdict is not a pattern of texts: it looks at the
 * image, and holds only if what it says of the image is so.
 */
#ifndef DIFFER_VERDICT_H
#define DIFFER_VERDICT_H

#include "model.h"

/**
 * struct df_rule - one reader refuses an image, or breaks, the other opens it
 * @says: part of the sentence of that one
 * @holds: is the image like that? @text: the sentence
 * @verdict: and what that means
 */
struct df_rule {
	const char *says;
	bool (*holds)(const struct df_image *img, const char *text);
	const char *verdict;
};

/* All of one class; ends with a rule that says nothing. */
extern const struct df_rule df_header_rules[];	/* what we refuse: binary headers */
extern const struct df_rule df_text_rules[];	/* ... descriptors */
extern const struct df_rule df_file_rules[];	/* ... sets of files */
extern const struct df_rule df_qemu_rules[];	/* what QEMU refuses */
extern const struct df_rule df_broken_rules[];	/* where QEMU breaks */

/* Index of the verdict, or -1. */
int df_rule_verdict(const struct df_image *img, enum df_class class, const char *text);

/* descriptor.c: the descriptor that a sentence is about. */
#define DF_LINE 600

struct df_text {
	const char *s;
	u64 len;
};

/* Of file @file: all of it, or what is inside a sparse extent; up to a NUL. */
bool df_descriptor(const struct df_image *img, u32 file, struct df_text *t);
/* Of the file whose name is in @sentence. */
bool df_descriptor_of(const struct df_image *img, const char *sentence, struct df_text *t);
/* The next line, trimmed; false: no more. Takes it off @t. */
bool df_next_line(struct df_text *t, char *line);
/* Line "descriptor line N" of @sentence, with its line end's CR gone, not trimmed. */
bool df_said_line(const struct df_image *img, const char *sentence, char *line);
/* @line is "key = value": false, or both parts, trimmed. */
bool df_key(const char *line, char *key, char *value);
/* The value of @key in the descriptor of a file, without quotes. */
bool df_value_in(const struct df_image *img, u32 file, const char *key, char *value);
/* The first value of @key in any descriptor of the image, without quotes. */
bool df_value(const struct df_image *img, const char *key, char *value);
/* Does a line begin with RW, RDONLY or NOACCESS, in any case? */
bool df_is_extent(const char *line);
/* Is it the first line of a descriptor? */
bool df_signature(const char *line);
/* The words of an extent line; @word[i] has 40 bytes; returns how many, 4 at most. */
u32 df_words(const char *line, char word[4][40]);
bool df_decimal(const char *s, u64 *n);

#endif /* DIFFER_VERDICT_H */
