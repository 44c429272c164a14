// SPDX-License-Identifier: GPL-2.0-only
/*
 * Errors, hints, warnings. Names come from images and directories, so all
 * text passes text_escape() before a terminal sees it.
 */
#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include "vdctl.h"

#define MAX_HINTS 12

static struct {
	int exit;
	const char *code;
	char *path;
	char *text;
	char *hints[MAX_HINTS];
	int nr_hints;
} pending;

int ctl_error(int exit, const char *code, const char *path, const char *fmt, ...)
{
	va_list args;

	if (pending.exit)
		return pending.exit;
	va_start(args, fmt);
	if (vasprintf(&pending.text, fmt, args) < 0)
		pending.text = NULL;
	va_end(args);
	pending.exit = exit;
	pending.code = code;
	pending.path = path ? xstrdup(path) : NULL;
	return exit;
}

void ctl_hint(const char *fmt, ...)
{
	va_list args;

	if (pending.nr_hints == MAX_HINTS)
		return;
	va_start(args, fmt);
	if (vasprintf(&pending.hints[pending.nr_hints], fmt, args) >= 0)
		pending.nr_hints++;
	va_end(args);
}

/* Which exit code and which word a script sees for an errno. */
static const struct {
	int err;
	int exit;
	const char *code;
} classes[] = {
	{ ENOENT, CTL_NOTFOUND, "not_found" },
	{ ENOTDIR, CTL_NOTFOUND, "not_found" },
	{ ENODEV, CTL_NOTFOUND, "not_found" },
	{ ENXIO, CTL_NOTFOUND, "not_found" },
	{ EBUSY, CTL_BUSY, "busy" },
	{ EEXIST, CTL_BUSY, "exists" },
	{ ETXTBSY, CTL_BUSY, "busy" },
	{ EAGAIN, CTL_BUSY, "busy" },
	{ EUCLEAN, CTL_IMAGE, "image_damaged" },
	{ EOPNOTSUPP, CTL_IMAGE, "unsupported" },
	{ EACCES, CTL_PERM, "permission" },
	{ EPERM, CTL_PERM, "permission" },
	{ EROFS, CTL_PERM, "read_only" },
	{ EIO, CTL_FAIL, "io" },
};

static int classify(int err, const char **code)
{
	size_t i;

	err = abs(err);
	for (i = 0; i < ARRAY_SIZE(classes); i++) {
		if (classes[i].err == err) {
			*code = classes[i].code;
			return classes[i].exit;
		}
	}
	*code = "failed";
	return CTL_FAIL;
}

int ctl_errno(int err, const char *path, const char *doing)
{
	const char *code;
	int exit = classify(err, &code);

	return ctl_error(exit, code, path, "%s%s%s", doing ? doing : "", doing ? ": " : "",
			 strerror(abs(err)));
}

int ctl_vd_error(const struct vd_error *err, const char *path)
{
	const char *code;
	int exit = classify(err->code, &code);

	return ctl_error(exit, code, path, "%s",
			 err->text[0] ? err->text : strerror(abs(err->code)));
}

int ctl_nomem(void)
{
	return ctl_error(CTL_FAIL, "no_memory", NULL, "out of memory");
}

bool ctl_pending(void)
{
	return pending.exit != 0;
}

char *ctl_pending_text(void)
{
	return xstrdup(pending.text ? pending.text : "out of memory");
}

void ctl_drop(void)
{
	int i;

	free(pending.path);
	free(pending.text);
	for (i = 0; i < pending.nr_hints; i++)
		free(pending.hints[i]);
	memset(&pending, 0, sizeof(pending));
}

char *ctl_take(void)
{
	char *text = xasprintf("%s%s%s", pending.path ? pending.path : "",
			       pending.path ? ": " : "", pending.text ? pending.text : "");

	ctl_drop();
	return text;
}

static void line(const char *path, const char *text)
{
	fprintf(stderr, "vdctl: ");
	if (ctl.verb)
		fprintf(stderr, "%s: ", ctl.verb);
	if (path) {
		text_escape(stderr, path);
		fputs(": ", stderr);
	}
	text_escape(stderr, text);
	fputc('\n', stderr);
}

static void print_hint(const char *text)
{
	fputs("hint: ", stderr);
	text_escape(stderr, text);
	fputc('\n', stderr);
}

static void flush_text(void)
{
	int i;

	line(pending.path, pending.text ? pending.text : "out of memory");
	for (i = 0; i < pending.nr_hints; i++)
		print_hint(pending.hints[i]);
}

/* json-c wants UTF-8; a name that is none is shown escaped. */
static struct json_object *json_text(const char *s)
{
	char *safe = text_escaped(s);
	struct json_object *o = json_object_new_string(safe);

	free(safe);
	return o;
}

static void flush_json(void)
{
	struct json_object *top = json_object_new_object();
	struct json_object *e = json_object_new_object();
	char *hints = xstrdup("");
	int i;

	for (i = 0; i < pending.nr_hints; i++) {
		char *safe = text_escaped(pending.hints[i]);
		char *more = xasprintf("%s%s%s", hints, i ? "\n" : "", safe);

		free(safe);
		free(hints);
		hints = more;
	}
	json_object_object_add(e, "code", json_text(pending.code));
	json_object_object_add(e, "message", json_text(pending.text ? pending.text : ""));
	json_object_object_add(e, "hint", pending.nr_hints ?
			       json_object_new_string(hints) : NULL);
	json_object_object_add(e, "path", pending.path ? json_text(pending.path) : NULL);
	json_object_object_add(top, "error", e);
	fprintf(stderr, "%s\n",
		json_object_to_json_string_ext(top, JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(top);
	free(hints);
}

void ctl_flush(void)
{
	if (!pending.exit)
		return;
	fflush(stdout);
	if (ctl.json)
		flush_json();
	else
		flush_text();
	ctl_drop();
}

static void vline(const char *path, const char *fmt, va_list args) __printf(2, 0);
static void vline(const char *path, const char *fmt, va_list args)
{
	char *text;

	if (vasprintf(&text, fmt, args) < 0)
		return;
	line(path, text);
	free(text);
}

void ctl_warn(const char *path, const char *fmt, ...)
{
	va_list args;

	if (ctl.quiet)
		return;
	va_start(args, fmt);
	vline(path, fmt, args);
	va_end(args);
}

void ctl_hint_now(const char *fmt, ...)
{
	va_list args;
	char *text;
	int n;

	if (ctl.quiet)
		return;
	va_start(args, fmt);
	n = vasprintf(&text, fmt, args);
	va_end(args);
	if (n < 0)
		return;
	print_hint(text);
	free(text);
}

void ctl_note(const char *path, const char *fmt, ...)
{
	va_list args;

	if (!ctl.verbose)
		return;
	va_start(args, fmt);
	vline(path, fmt, args);
	va_end(args);
}

/* $'...': for what a terminal must not see as it is. */
static void shell_quote_bytes(FILE *to, const char *s)
{
	fputs("$'", to);
	for (; *s; s++) {
		if ((unsigned char)*s < 0x20 || (unsigned char)*s >= 0x7f)
			fprintf(to, "\\x%02x", (unsigned char)*s);
		else if (*s == '\'' || *s == '\\')
			fprintf(to, "\\%c", *s);
		else
			fputc(*s, to);
	}
	fputc('\'', to);
}

void shell_quote(FILE *to, const char *s)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789_./:=+,@%-";

	if (*s && strspn(s, plain) == strlen(s)) {
		fputs(s, to);
		return;
	}
	if (!text_is_plain(s)) {
		shell_quote_bytes(to, s);
		return;
	}
	fputc('\'', to);
	for (; *s; s++) {
		if (*s == '\'')
			fputs("'\\''", to);
		else
			fputc(*s, to);
	}
	fputc('\'', to);
}

char *ctl_command_with(const char *option, const char *value)
{
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);
	int i;

	if (!to)
		return xstrdup("vdctl");
	fputs("vdctl", to);
	for (i = 1; i < ctl.argc; i++) {
		fputc(' ', to);
		shell_quote(to, ctl.argv[i]);
		if (i == ctl.verb_index && option) {
			fprintf(to, " %s", option);
			if (value) {
				fputc(' ', to);
				shell_quote(to, value);
			}
		}
	}
	fclose(to);
	return text;
}

bool ctl_attaches(void)
{
	return !strcmp(ctl.verb, "attach");
}
