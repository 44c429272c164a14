// SPDX-License-Identifier: GPL-2.0-only
/*
 * A descriptor with other values for some keys of its disk data base. It works on
 * bytes of lines, so that whatever it does not understand stays as it is. User space
 * only.
 */
#include "vdisk/caps.h"
#include "descriptor.h"
#include "edit.h"

/**
 * struct edit - a text in the making
 * @changes, @nr: what is asked for
 * @seen: which of them have a line
 * @last: where in the old text the last line of the disk data base begins; NULL: none
 * @s, @len: the new text, so far; @s NULL: it is only measured
 * @end: its last byte
 * @crlf: the line before ends as on Windows
 * @full: it is longer than a descriptor may be
 */
struct edit {
	const struct vmdk_change *changes;
	u32 nr;
	u32 seen;
	const char *last;
	char *s;
	u32 len;
	char end;
	bool crlf;
	bool full;
};

static void put(struct edit *e, const char *s, u32 len)
{
	if (e->full || len > VMDK_CAP_DESCRIPTOR - e->len) {
		e->full = true;
		return;
	}
	if (!len)
		return;
	if (e->s)
		memcpy(e->s + e->len, s, len);
	e->len += len;
	e->end = s[len - 1];
}

static void put_string(struct edit *e, const char *s)
{
	put(e, s, (u32)strlen(s));
}

static void put_end(struct edit *e)
{
	put_string(e, e->crlf ? "\r\n" : "\n");
}

static void put_quoted(struct edit *e, const char *value)
{
	put_string(e, "\"");
	put_string(e, value);
	put_string(e, "\"");
}

/* @line: with its end. @bare: without its LF. False: there is none. */
static bool next(struct vmdk_text *rest, struct vmdk_text *line, struct vmdk_text *bare)
{
	if (!rest->len || !rest->s[0])
		return false;
	*bare = vmdk_text_line(rest);
	*line = *bare;
	/* Unless it is the last, @rest has gone on past its end. */
	if (rest->s > bare->s)
		line->len = (u32)(rest->s - bare->s);
	return true;
}

/* Which change is it that this line has to undergo? NULL: none. */
static const struct vmdk_change *change_of(const struct edit *e, struct vmdk_text bare,
					   struct vmdk_text *value)
{
	struct vmdk_text key;
	u32 i;

	if (!vmdk_descriptor_key(bare, &key, value))
		return NULL;
	for (i = 0; i < e->nr; i++)
		if (vmdk_text_is(key, e->changes[i].key))
			return &e->changes[i];
	return NULL;
}

static void scan(struct edit *e, struct vmdk_text rest)
{
	struct vmdk_text line, bare, key, value;
	const struct vmdk_change *change;

	while (next(&rest, &line, &bare)) {
		change = change_of(e, bare, &value);
		if (change)
			e->seen |= 1U << (change - e->changes);
		if (vmdk_descriptor_key(bare, &key, &value) && vmdk_text_begins(key, "ddb."))
			e->last = line.s;
	}
}

static void put_line(struct edit *e, struct vmdk_text line, struct vmdk_text bare)
{
	struct vmdk_text old;
	const struct vmdk_change *change = change_of(e, bare, &old);
	const char *end;

	if (line.len > bare.len)
		e->crlf = bare.len && bare.s[bare.len - 1] == '\r';
	if (!change) {
		put(e, line.s, line.len);
	} else if (change->value) {
		end = old.s + old.len;
		put(e, line.s, (u32)(old.s - line.s));
		put_quoted(e, change->value);
		put(e, end, (u32)(line.s + line.len - end));
	}
}

/* Those that have no line, and shall have one. */
static u32 missing(const struct edit *e)
{
	u32 i, mask = 0;

	for (i = 0; i < e->nr; i++)
		if (e->changes[i].value)
			mask |= 1U << i;
	return mask & ~e->seen;
}

static void put_heading(struct edit *e)
{
	put_end(e);
	put_string(e, "# The Disk Data Base");
	put_end(e);
	put_string(e, "#DDB");
	put_end(e);
	put_end(e);
}

static void put_new(struct edit *e)
{
	u32 i, mask = missing(e);

	if (!mask)
		return;
	/* The line before may be the last of all, without an end. */
	if (e->len && e->end != '\n')
		put_end(e);
	if (!e->last)
		put_heading(e);
	for (i = 0; i < e->nr; i++) {
		if (!(mask & 1U << i))
			continue;
		put_string(e, e->changes[i].key);
		put_string(e, " = ");
		put_quoted(e, e->changes[i].value);
		put_end(e);
	}
}

static void build(struct edit *e, const char *text, struct vmdk_text rest)
{
	struct vmdk_text line, bare;

	e->len = 0;
	e->crlf = false;
	put(e, text, (u32)(rest.s - text));
	while (next(&rest, &line, &bare)) {
		put_line(e, line, bare);
		if (line.s == e->last)
			put_new(e);
	}
	if (!e->last)
		put_new(e);
}

int vmdk_edit(const char *text, u32 len, const struct vmdk_change *changes, u32 nr, char **out,
	      u32 *out_len, struct vd_error *err)
{
	struct edit e = { .changes = changes, .nr = nr };
	struct vmdk_text rest = vmdk_text_begin(text, len);

	*out = NULL;
	scan(&e, rest);
	build(&e, text, rest);
	if (e.full)
		return vd_fail(err, -E2BIG, "the descriptor would have more than %u bytes",
			       VMDK_CAP_DESCRIPTOR);
	e.s = vd_zalloc(e.len + 1);
	if (!e.s)
		return vd_fail(err, -ENOMEM, "out of memory");
	build(&e, text, rest);
	*out = e.s;
	*out_len = e.len;
	return 0;
}
