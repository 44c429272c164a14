// SPDX-License-Identifier: GPL-2.0-only
/* Pieces of a descriptor's text: words, quotes, numbers. User space only. */
#include "text.h"

static char text_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool text_blank(char c)
{
	return c == ' ' || c == '\t';
}

bool vmdk_text_begins(struct vmdk_text t, const char *word)
{
	u32 i;

	for (i = 0; word[i]; i++)
		if (i >= t.len || text_lower(t.s[i]) != text_lower(word[i]))
			return false;
	return true;
}

bool vmdk_text_is(struct vmdk_text t, const char *word)
{
	return strlen(word) == t.len && vmdk_text_begins(t, word);
}

bool vmdk_text_has(struct vmdk_text t, const char *word)
{
	for (; t.len; t.s++, t.len--)
		if (vmdk_text_begins(t, word))
			return true;
	return false;
}

bool vmdk_text_fits(struct vmdk_text encoding, struct vmdk_text s)
{
	u32 i;

	if (!encoding.len || vmdk_text_begins(encoding, "utf-8") ||
	    vmdk_text_begins(encoding, "utf8"))
		return true;
	for (i = 0; i < s.len; i++)
		if ((u8)s.s[i] >= 0x80)
			return false;
	return true;
}

bool vmdk_text_same(struct vmdk_text a, struct vmdk_text b)
{
	return a.len == b.len && (!a.len || !memcmp(a.s, b.s, a.len));
}

struct vmdk_text vmdk_text_begin(const char *text, size_t len)
{
	static const char bom[3] = { '\xef', '\xbb', '\xbf' };
	struct vmdk_text t = { text, (u32)len };

	if (len >= sizeof(bom) && !memcmp(text, bom, sizeof(bom))) {
		t.s += sizeof(bom);
		t.len -= (u32)sizeof(bom);
	}
	return t;
}

struct vmdk_text vmdk_text_line(struct vmdk_text *rest)
{
	struct vmdk_text line = *rest;
	u32 i;

	for (i = 0; i < rest->len && rest->s[i] && rest->s[i] != '\n'; i++)
		;
	line.len = i;
	if (i < rest->len && rest->s[i]) {
		rest->s += i + 1;
		rest->len -= i + 1;
	} else {
		rest->len = 0;
	}
	return line;
}

struct vmdk_text vmdk_text_trim(struct vmdk_text t)
{
	while (t.len && text_blank(t.s[0])) {
		t.s++;
		t.len--;
	}
	while (t.len && text_blank(t.s[t.len - 1]))
		t.len--;
	return t;
}

struct vmdk_text vmdk_text_word(struct vmdk_text *rest)
{
	struct vmdk_text word = vmdk_text_trim(*rest);
	u32 i;

	for (i = 0; i < word.len && !text_blank(word.s[i]); i++)
		;
	rest->s = word.s + i;
	rest->len = word.len - i;
	*rest = vmdk_text_trim(*rest);
	word.len = i;
	return word;
}

bool vmdk_text_quoted(struct vmdk_text *rest, struct vmdk_text *out)
{
	u32 i;

	if (!rest->len || rest->s[0] != '"')
		return false;
	for (i = 1; i < rest->len && rest->s[i] != '"'; i++)
		;
	if (i == rest->len || (i + 1 < rest->len && !text_blank(rest->s[i + 1])))
		return false;
	*out = (struct vmdk_text) { rest->s + 1, i - 1 };
	rest->s += i + 1;
	rest->len -= i + 1;
	*rest = vmdk_text_trim(*rest);
	return true;
}

bool vmdk_text_decimal(struct vmdk_text t, u64 *out)
{
	u64 n = 0;
	u32 i;

	for (i = 0; i < t.len; i++) {
		if (t.s[i] < '0' || t.s[i] > '9')
			return false;
		if (check_mul_overflow(n, 10ULL, &n) ||
		    check_add_overflow(n, (u64)(t.s[i] - '0'), &n))
			return false;
	}
	*out = n;
	return t.len > 0;
}

static int text_hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = text_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool vmdk_text_hex32(struct vmdk_text t, u32 *out)
{
	u32 n = 0;
	u32 i;

	for (i = 0; i < t.len; i++) {
		if (text_hex(t.s[i]) < 0)
			return false;
		n = n << 4 | (u32)text_hex(t.s[i]);
	}
	*out = n;
	return t.len > 0 && t.len <= 8;
}

bool vmdk_text_uuid(struct vmdk_text t, u8 *out)
{
	u32 digits = 0;
	u32 i;
	int hex;

	for (i = 0; i < t.len; i++) {
		if (text_blank(t.s[i]) || t.s[i] == '-' || t.s[i] == '{' || t.s[i] == '}')
			continue;
		hex = text_hex(t.s[i]);
		if (hex < 0 || digits == 32)
			return false;
		out[digits / 2] = (u8)(digits % 2 ? out[digits / 2] | hex : hex << 4);
		digits++;
	}
	return digits == 32;
}

const char *vmdk_text_show(struct vmdk_text t, char buf[VMDK_SHOW])
{
	u32 i;

	for (i = 0; i < t.len && i < VMDK_SHOW - 1; i++)
		buf[i] = (char)(t.s[i] >= 0x20 && t.s[i] < 0x7f ? t.s[i] : '?');
	buf[i] = '\0';
	return buf;
}
