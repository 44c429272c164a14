// SPDX-License-Identifier: GPL-2.0-only
/* Looking at descriptors, for the verdicts. */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include "verdict.h"

bool df_descriptor(const struct df_image *img, u32 file, struct df_text *t)
{
	const struct fz_view_file *f = &img->view.file[file];
	u64 pos = 0, len = f->len;

	if (dm_number(img, file, 0, 4) == 0x564d444b) {
		pos = dm_number(img, file, 28, 8);
		len = dm_number(img, file, 36, 8);
		if (pos > f->len / DF_SECTOR || len > 20480)
			return false;
		pos *= DF_SECTOR;
		len = min(len * DF_SECTOR, f->len - pos);
	}
	t->s = (const char *)f->data + pos;
	if (len >= 3 && !memcmp(t->s, "\xef\xbb\xbf", 3)) {
		t->s += 3;
		len -= 3;
	}
	t->len = strnlen(t->s, len);
	return t->len;
}

bool df_descriptor_of(const struct df_image *img, const char *sentence, struct df_text *t)
{
	u32 i;

	for (i = 0; i < img->view.nr; i++)
		if (strstr(sentence, img->name[i]))
			return df_descriptor(img, i, t);
	return df_descriptor(img, 0, t);
}

static void trim(char *s)
{
	size_t len = strlen(s), skip = strspn(s, " \t\r");

	while (len > skip && strchr(" \t\r", s[len - 1]))
		len--;
	memmove(s, s + skip, len - skip);
	s[len - skip] = '\0';
}

static bool whole_line(struct df_text *t, char *line)
{
	u64 n;

	if (!t->len)
		return false;
	for (n = 0; n < t->len && t->s[n] != '\n'; n++)
		;
	snprintf(line, DF_LINE, "%.*s", (int)min(n, (u64)DF_LINE - 1), t->s);
	n += n < t->len;
	t->s += n;
	t->len -= n;
	return true;
}

bool df_next_line(struct df_text *t, char *line)
{
	if (!whole_line(t, line))
		return false;
	trim(line);
	return true;
}

bool df_said_line(const struct df_image *img, const char *sentence, char *line)
{
	const char *at = strstr(sentence, "descriptor line ");
	struct df_text t;
	size_t len;
	u32 n;

	if (!at || sscanf(at + 16, "%u", &n) != 1 || !df_descriptor_of(img, sentence, &t))
		return false;
	while (n--)
		if (!whole_line(&t, line))
			return false;
	len = strlen(line);
	if (len && line[len - 1] == '\r')
		line[len - 1] = '\0';
	return true;
}

bool df_key(const char *line, char *key, char *value)
{
	const char *eq = strchr(line, '=');

	if (!eq || line[0] == '#')
		return false;
	snprintf(key, DF_LINE, "%.*s", (int)(eq - line), line);
	snprintf(value, DF_LINE, "%s", eq + 1);
	trim(key);
	trim(value);
	return key[0];
}

bool df_value_in(const struct df_image *img, u32 file, const char *want, char *value)
{
	char line[DF_LINE], key[DF_LINE];
	struct df_text t;
	size_t len;

	if (!df_descriptor(img, file, &t))
		return false;
	while (df_next_line(&t, line)) {
		if (!df_key(line, key, value) || strcasecmp(key, want))
			continue;
		len = strlen(value);
		if (len > 1 && value[0] == '"' && value[len - 1] == '"') {
			value[len - 1] = '\0';
			memmove(value, value + 1, len - 1);
		}
		return true;
	}
	return false;
}

bool df_value(const struct df_image *img, const char *key, char *value)
{
	u32 i;

	for (i = 0; i < img->view.nr; i++)
		if (df_value_in(img, i, key, value))
			return true;
	return false;
}

bool df_signature(const char *line)
{
	static const char want[] = "#diskdescriptorfile";
	char key[DF_LINE], value[DF_LINE];
	size_t n = 0;

	if (df_key(line, key, value) && !strcasecmp(key, "version"))
		return true;
	for (; *line && want[n]; line++) {
		if (*line == ' ' || *line == '\t')
			continue;
		if (strncasecmp(line, want + n++, 1))
			return false;
	}
	return !want[n];
}

u32 df_words(const char *line, char word[4][40])
{
	return (u32)max(0, sscanf(line, "%39s %39s %39s %39s", word[0], word[1], word[2],
				  word[3]));
}

bool df_is_extent(const char *line)
{
	char word[4][40];

	return df_words(line, word) && (!strcasecmp(word[0], "RW") ||
					!strcasecmp(word[0], "RDONLY") ||
					!strcasecmp(word[0], "NOACCESS"));
}

bool df_decimal(const char *s, u64 *n)
{
	char *end;

	if (!*s || strspn(s, "0123456789") != strlen(s))
		return false;
	errno = 0;
	*n = strtoull(s, &end, 10);
	return !errno;
}
