/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vdctl: what every verb shares.
 *
 * A function that can fail returns 0 or one of enum ctl_exit, after it has
 * recorded why with ctl_error(). The record is printed once, when the verb
 * ends (or earlier by ctl_flush(), where a verb goes on with its next
 * argument), so that a hint found later still stands beside its error.
 */
#ifndef VDCTL_H
#define VDCTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "vd_port.h"
#include "vdisk/error.h"

#define VDCTL_VERSION	"0.1"

enum ctl_exit {
	CTL_OK		= 0,
	CTL_FAIL	= 1,
	CTL_USAGE	= 2,
	CTL_NOTFOUND	= 3,
	CTL_BUSY	= 4,
	CTL_IMAGE	= 5,
	CTL_PERM	= 6,
	CTL_MODULE	= 7,
};

/**
 * struct ctl - the one invocation
 * @verb_index: where the verb stands in @argv, for hints that repeat the command
 * @json: -J was given: errors are JSON too
 */
struct ctl {
	const char *verb;
	int argc;
	char **argv;
	int verb_index;
	bool quiet;
	int verbose;
	bool json;
};

extern struct ctl ctl;

/* error.c */
int ctl_error(int exit, const char *code, const char *path, const char *fmt, ...) __printf(4, 5);
void ctl_hint(const char *fmt, ...) __printf(1, 2);
/* Beside a warning, which has no error to stand with. */
void ctl_hint_now(const char *fmt, ...) __printf(1, 2);
int ctl_errno(int err, const char *path, const char *doing);
int ctl_vd_error(const struct vd_error *err, const char *path);
int ctl_nomem(void);
bool ctl_pending(void);
/* The recorded sentence, for the caller to free. */
char *ctl_pending_text(void);
/* What was recorded, as "path: text", and nothing is recorded any more. Caller frees. */
char *ctl_take(void);
void ctl_flush(void);
void ctl_drop(void);
void ctl_warn(const char *path, const char *fmt, ...) __printf(2, 3);
void ctl_note(const char *path, const char *fmt, ...) __printf(2, 3);
/* As one word of a shell's command line; control characters as bash spells them. */
void shell_quote(FILE *to, const char *s);
/* The command that was typed, with "@option @value" put in after the verb. */
char *ctl_command_with(const char *option, const char *value);

/* text.c */
void text_escape(FILE *to, const char *s);
char *text_escaped(const char *s);
/* Is there nothing to escape? */
bool text_is_plain(const char *s);
int parse_size(const char *what, const char *s, u64 *out);
int parse_u32(const char *what, const char *s, u32 max, u32 *out);
int parse_choice(const char *what, const char *s, const char *yes, const char *no, bool *out);
void format_size(u64 bytes, char *buf, size_t len);
void format_uuid(const u8 uuid[16], char buf[37]);
bool uuid_is_zero(const u8 uuid[16]);
char *xasprintf(const char *fmt, ...) __printf(1, 2);
char *xstrdup(const char *s);
void *xrealloc(void *p, size_t n, size_t size);
char *path_dir(const char *path);

/* The verb is attach, the one that can do with less than writing. */
bool ctl_attaches(void);

/*
 * dir.c: the names in a directory are durable, 0 or -errno. Some file systems have nothing to
 * do for that, and say EINVAL: that is no error.
 */
int dir_sync(int fd);
const char *path_base(const char *path);

/**
 * struct ctl_opt - one option of a verb: parsing, help and completion
 * @id: its short letter, or a number from 256 on; 0 ends a table
 * @name: long name, NULL for none
 * @arg: name of its value, NULL for none; "=NAME" for one that may be left out
 * @help: NULL hides it
 */
struct ctl_opt {
	int id;
	const char *name;
	const char *arg;
	const char *help;
};

#define CTL_OPT_TABLES 4

struct cmd {
	const char *name;
	const char *args;
	const char *summary;
	const char *more;	/* further paragraphs of the help, may be NULL */
	const struct ctl_opt *opts[CTL_OPT_TABLES];
	int (*run)(const struct cmd *cmd, int argc, char **argv);
};

/* options.c */
#define CTL_OPT_END	(-1)
#define CTL_OPT_BAD	(-2)	/* reported */
#define CTL_OPT_HELP	(-3)	/* printed: leave with 0 */
int ctl_getopt(const struct cmd *cmd, int argc, char **argv);
void cmd_help(const struct cmd *cmd, FILE *to);
void cmd_list_options(const struct cmd *cmd);
int cmd_usage(const struct cmd *cmd, const char *fmt, ...) __printf(2, 3);

extern const struct cmd cmd_attach, cmd_detach, cmd_list, cmd_status, cmd_info, cmd_map;
extern const struct cmd cmd_cat, cmd_probe, cmd_set, cmd_formats, cmd_monitor, cmd_check;
extern const struct cmd cmd_create, cmd_compact, cmd_chain, cmd_rename;

/* stop.c */
/* From now on a signal only asks to stop. */
void stop_catch(void);
/* No more. */
void stop_release(void);
bool stop_wanted(void);
/* 0, or an exit code: it was asked for. */
int stop_asked(void);
/* Die of the signal that was caught, if one was, with what is recorded printed. */
void stop_raise(void);

/* progress.c */
struct progress {
	u64 total;
	u64 done;
	u64 started;	/* ms */
	u64 drawn;	/* ms */
	bool on;
	bool shown;
};

void progress_begin(struct progress *p, u64 total);
void progress_step(struct progress *p, u64 done);
/* Of a job whose end is not known: so many files seen, so many images among them. */
void progress_files(struct progress *p, u32 files, u32 images);
void progress_end(struct progress *p);

#endif /* VDCTL_H */
