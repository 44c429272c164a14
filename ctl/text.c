// SPDX-License-Identifier: GPL-2.0-only
/* Text in and out: safe printing of foreign names, sizes, UUIDs, paths. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <uuid/uuid.h>
#include "vdctl.h"

/*
 * Length of the UTF-8 sequence at @s if it is well-formed and printable
 * enough: no control (C0, C1, DEL), no bidirectional override, no separator
 * that a terminal would take for a line end. 0 otherwise.
 */
static int utf8_safe(const unsigned char *s)
{
	u32 c;
	int n, i;

	if (s[0] < 0x80)
		return s[0] >= 0x20 && s[0] != 0x7f;
	n = s[0] >= 0xf0 && s[0] <= 0xf4 ? 4 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3 :
	    s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : 0;
	if (!n)
		return 0;
	c = s[0] & (0x7fU >> n);
	for (i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if ((n == 3 && c < 0x800) || (n == 4 && (c < 0x10000 || c > 0x10ffff)))
		return 0;
	if (c < 0xa0 || (c >= 0xd800 && c < 0xe000))
		return 0;
	if ((c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069))
		return 0;
	if (c == 0x200e || c == 0x200f)
		return 0;
	return n;
}

void text_escape(FILE *to, const char *s)
{
	const unsigned char *p = (const unsigned char *)s;

	while (*p) {
		int n = utf8_safe(p);

		if (n) {
			fwrite(p, 1, (size_t)n, to);
			p += n;
		} else {
			fprintf(to, "\\x%02x", *p++);
		}
	}
}

bool text_is_plain(const char *s)
{
	const unsigned char *p = (const unsigned char *)s;
	int n;

	for (; *p; p += n) {
		n = utf8_safe(p);
		if (!n)
			return false;
	}
	return true;
}

char *text_escaped(const char *s)
{
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	if (!to)
		return xstrdup("?");
	text_escape(to, s);
	fclose(to);
	return text;
}

static bool size_unit(const char *s, u64 *unit)
{
	static const char letters[] = "KMGTPE";
	const char *at;
	u64 base = 1024;
	long i;

	if (!*s || !strcmp(s, "B")) {
		*unit = 1;
		return true;
	}
	if (!strcmp(s, "s")) {
		*unit = 512;
		return true;
	}
	at = strchr(letters, toupper((unsigned char)*s));
	if (!at)
		return false;
	if (!strcmp(s + 1, "B"))
		base = 1000;
	else if (s[1] && strcmp(s + 1, "iB"))
		return false;
	*unit = 1;
	for (i = 0; i <= at - letters; i++)
		*unit *= base;
	return true;
}

int parse_size(const char *what, const char *s, u64 *out)
{
	unsigned long long n = 0;
	char *end = NULL;
	u64 unit;

	errno = 0;
	if (isdigit((unsigned char)*s))
		n = strtoull(s, &end, 10);
	if (!end || errno || !size_unit(end, &unit) || check_mul_overflow((u64)n, unit, out))
		return ctl_error(CTL_USAGE, "usage", NULL,
				 "%s: '%s' is no size (digits, then K M G T, KB MB ..., or s for sectors)",
				 what, s);
	return 0;
}

int parse_u32(const char *what, const char *s, u32 max, u32 *out)
{
	unsigned long n = 0;
	char *end = NULL;

	errno = 0;
	if (isdigit((unsigned char)*s))
		n = strtoul(s, &end, 10);
	if (!end || *end || errno || n > max)
		return ctl_error(CTL_USAGE, "usage", NULL, "%s: '%s' is no number up to %u",
				 what, s, max);
	*out = (u32)n;
	return 0;
}

int parse_choice(const char *what, const char *s, const char *yes, const char *no, bool *out)
{
	if (strcmp(s, yes) && strcmp(s, no))
		return ctl_error(CTL_USAGE, "usage", NULL, "%s: '%s' is neither %s nor %s", what, s,
				 yes, no);
	*out = !strcmp(s, yes);
	return 0;
}

/* As lsblk does: one decimal, binary units, one letter. */
void format_size(u64 bytes, char *buf, size_t len)
{
	static const char letters[] = "BKMGTPE";
	unsigned int shift = 0;
	u64 whole, tenth;

	while (shift < 60 && bytes >> shift >= 1024)
		shift += 10;
	whole = bytes >> shift;
	tenth = shift ? ((bytes & ((1ULL << shift) - 1)) >> (shift - 10)) * 10 / 1024 : 0;
	if (tenth)
		snprintf(buf, len, "%llu.%llu%c", (unsigned long long)whole,
			 (unsigned long long)tenth, letters[shift / 10]);
	else
		snprintf(buf, len, "%llu%c", (unsigned long long)whole, letters[shift / 10]);
}

void format_uuid(const u8 uuid[16], char buf[37])
{
	uuid_unparse_lower(uuid, buf);
}

bool uuid_is_zero(const u8 uuid[16])
{
	return uuid_is_null(uuid);
}

/* No verb can do anything useful without memory for a name. */
static void *checked(void *p)
{
	if (p)
		return p;
	fputs("vdctl: out of memory\n", stderr);
	exit(CTL_FAIL);
}

char *xasprintf(const char *fmt, ...)
{
	va_list args;
	char *text;
	int n;

	va_start(args, fmt);
	n = vasprintf(&text, fmt, args);
	va_end(args);
	return checked(n < 0 ? NULL : text);
}

char *xstrdup(const char *s)
{
	return checked(strdup(s));
}

void *xrealloc(void *p, size_t n, size_t size)
{
	return checked(reallocarray(p, n, size));
}

char *path_dir(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return xstrdup(".");
	if (slash == path)
		return xstrdup("/");
	return xasprintf("%.*s", (int)(slash - path), path);
}

const char *path_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}
