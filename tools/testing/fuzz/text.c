// SPDX-License-Identifier: GPL-2.0-only
/* Texts: lines, numbers, words. */
#include <stdio.h>
#include <stdlib.h>
#include "mutate.h"

static const char *const words[] = {
	"RW", "RDONLY", "NOACCESS", "SPARSE", "FLAT", "ZERO", "VMFS", "VMFSSPARSE", "SESPARSE",
	"VMFSRDM", "VMFSRAW", "version", "CID", "parentCID", "createType", "parentFileNameHint",
	"isNativeSnapshot", "changeTrackPath", "encoding", "ddb.", "ddb.uuid", "monolithicSparse",
	"monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "streamOptimized", "vmfs",
	"vmfsSparse", "seSparse", "custom", "fullDevice", "vmfsThin", "ffffffff", "yes", "no",
};

static const char *const lines[] = {
	"RW 8 ZERO\n", "RDONLY 8 ZERO\n", "NOACCESS 8 ZERO\n", "rw 8 FLAT \"file1.vmdk\" 0\n",
	"RW 8 FLAT \"file1.vmdk\"\n", "RW 8 VMFS \"file1.vmdk\" 0\n",
	"RW 8 SPARSE \"file1.vmdk\"\n", "RW 8 FLAT \"/dev/null\" 0\n",
	"RW 8 FLAT \"../file1.vmdk\" 0\n", "RW 8 SPARSE \"image0.vmdk\"\n", "\n", "#\n",
	"version=1\n", "CID=12345678\n", "parentCID=12345678\n", "isNativeSnapshot=\"yes\"\n",
	"parentFileNameHint=\"file1.vmdk\"\n", "changeTrackPath=\"c.vmdk\"\n",
	"ddb.logicalSectorSize = \"4096\"\n", "encryptionKeys=\"x\"\n", "nonsense\n", "=\n",
	"createType=\"custom\"\n", "ddb.comment = \"RW 8 ZERO\"\n", "encoding=\"Shift_JIS\"\n",
};

/* A text in its place; @room is how far it may grow. */
struct text {
	char *s;
	u32 len;
	u32 room;
};

/* [at, at + del) becomes @len bytes of @with; what does not fit falls off the end. */
static void splice(struct text *t, u32 at, u32 del, const char *with, u32 len)
{
	u32 tail = t->len - at - del;

	len = min(len, t->room - at);
	tail = min(tail, t->room - at - len);
	memmove(t->s + at + len, t->s + at + del, tail);
	if (len)
		memcpy(t->s + at, with, len);
	if (at + len + tail < t->len)
		memset(t->s + at + len + tail, 0, t->len - at - len - tail);
	t->len = at + len + tail;
}

/* The line around a random byte, with its end. */
static u32 line_at(const struct text *t, u32 at, u32 *len)
{
	u32 from = at, to = at;

	while (from && t->s[from - 1] != '\n')
		from--;
	while (to < t->len && t->s[to] != '\n')
		to++;
	*len = to + (to < t->len) - from;
	return from;
}

static bool is_number(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
	return is_number(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* A run of what @is accepts, at or after a random byte. */
static bool run_at(const struct text *t, u32 at, bool (*is)(char c), u32 *from, u32 *len)
{
	u32 to;

	while (at < t->len && !is(t->s[at]))
		at++;
	while (at && at < t->len && is(t->s[at - 1]))
		at--;
	for (to = at; to < t->len && is(t->s[to]); to++)
		;
	*from = at;
	*len = to - at;
	return to > at;
}

static void double_line(struct text *t, u32 at, struct ut_rng *rng)
{
	u32 len, to_len, from = line_at(t, at, &len);
	u32 to = line_at(t, (u32)ut_below(rng, t->len), &to_len);
	char *copy = malloc(len + 1);

	if (!copy)
		return;
	memcpy(copy, t->s + from, len);
	/* The line moves half the time, and is there twice otherwise. */
	if (ut_below(rng, 2) && to + len <= t->len && to != from) {
		splice(t, from, len, NULL, 0);
		to = min(to, t->len);
		fz_say("text: a line moves to %u: %.*s", to, (int)min(len, 40U), copy);
	} else {
		fz_say("text: once more at %u: %.*s", to, (int)min(len, 40U), copy);
	}
	splice(t, to, 0, copy, len);
	free(copy);
}

static void edit_number(struct fz_view *v, struct text *t, u32 at, struct ut_rng *rng)
{
	char number[24];
	u32 from, len;
	int n;

	if (!run_at(t, at, is_number, &from, &len))
		return;
	n = snprintf(number, sizeof(number), "%llu", fz_odd_number(v, rng));
	fz_say("text: number '%.*s' becomes %s", (int)min(len, 40U), t->s + from, number);
	splice(t, from, len, number, (u32)n);
}

static void edit_word(struct text *t, u32 at, struct ut_rng *rng)
{
	const char *word = words[ut_below(rng, ARRAY_SIZE(words))];
	u32 from, len;

	if (!run_at(t, at, is_word, &from, &len))
		return;
	if (ut_below(rng, 3)) {
		fz_say("text: word '%.*s' becomes %s", (int)min(len, 40U), t->s + from, word);
		splice(t, from, len, word, (u32)strlen(word));
	} else {
		fz_say("text: case of '%.*s'", (int)min(len, 40U), t->s + from);
		t->s[from] ^= is_number(t->s[from]) ? 1 : 0x20;
	}
}

static void line_ends(struct text *t)
{
	u32 i;

	for (i = 0; i < t->len; i++) {
		if (t->s[i] != '\n')
			continue;
		splice(t, i, 0, "\r", 1);
		i++;
	}
	fz_say("text: lines end with CR LF");
}

static void insert_line(struct text *t, u32 at, struct ut_rng *rng)
{
	const char *line = lines[ut_below(rng, ARRAY_SIZE(lines))];
	u32 len;

	at = line_at(t, at, &len);
	splice(t, at, 0, line, (u32)strlen(line));
	fz_say("text: new at %u: %s", at, line);
}

static void delete_line(struct text *t, u32 at)
{
	u32 len, from = line_at(t, at, &len);

	fz_say("text: gone: %.*s", (int)min(len, 60U), t->s + from);
	splice(t, from, len, NULL, 0);
}

static void edit_byte(struct text *t, u32 at, struct ut_rng *rng)
{
	static const char odd[] = "\"\\=# \t\r\n\0\x7f\xff/:.-";
	char with = odd[ut_below(rng, sizeof(odd) - 1)];

	fz_say("text: byte %u: 0x%02x becomes 0x%02x", at, (u8)t->s[at], (u8)with);
	t->s[at] = with;
}

/*
 * A text of its own file may grow to that file's room, one inside an extent to
 * the zeros behind it.
 */
static u32 text_room(const struct fz_view_file *file, const struct fz_field *f)
{
	u64 end = f->pos + f->len;

	if (!f->pos)
		return (u32)min(file->room, (u64)f->len + 4096);
	while (end < file->len && !file->data[end])
		end++;
	return (u32)(end - f->pos);
}

void fz_mutate_text(struct fz_view *v, const struct fz_field *f, struct ut_rng *rng)
{
	struct fz_view_file *file = &v->file[f->file];
	struct text t = { (char *)file->data + f->pos, f->len, text_room(file, f) };
	u32 at = (u32)ut_below(rng, t.len);

	switch (ut_below(rng, 10)) {
	case 0: case 1:
		delete_line(&t, at);
		break;
	case 2: case 3:
		double_line(&t, at, rng);
		break;
	case 4: case 5:
		edit_number(v, &t, at, rng);
		break;
	case 6:
		edit_word(&t, at, rng);
		break;
	case 7:
		insert_line(&t, at, rng);
		break;
	case 8:
		edit_byte(&t, at, rng);
		break;
	default:
		line_ends(&t);
	}
	/* A file that is nothing but the text ends with it, padding stays. */
	if (!f->pos && (file->len == f->len || file->len < t.len))
		file->len = t.len;
}
