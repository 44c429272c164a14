/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vdctl rename: the files of one image get other names, all or none.
 *
 * An image is either one file that may have a text inside, which then is what gets the
 * new name ("the image itself" below); or a text in a file of its own, which is written
 * anew under the new name. Beside it are files that it names: extents, a log of changes.
 */
#ifndef VDCTL_RENAME_H
#define VDCTL_RENAME_H

#include "image-set.h"
#include "vdisk/rename.h"

/**
 * struct rename_dir - where names are
 * @fd: open for reading, so that it can be made durable
 * @path: real, without a slash at its end but for the root
 */
struct rename_dir {
	int fd;
	char *path;
	dev_t dev;
	ino_t ino;
};

/**
 * struct rename_file - one file that gets another name
 * @from, @to: in the old and in the new directory
 * @what: for people
 * @dev, @ino: which file it is
 * @there: an earlier run has given it the new name already
 * @made: this one has
 */
struct rename_file {
	char *from;
	char *to;
	const char *what;
	dev_t dev;
	ino_t ino;
	bool there;
	bool made;
};

/**
 * struct rename_text - a text that changes
 * @fd: the file, locked as a writer does
 * @format: of the image
 * @inside: it is a part of the file; else it is all of it
 * @optional: what changes is only what the file calls itself
 * @old, @new: NUL-terminated, from vd_zalloc(); @old NULL: there is none
 */
struct rename_text {
	int fd;
	u32 format;
	bool inside;
	bool optional;
	char *old;
	char *new;
	u32 old_len;
	u32 new_len;
};

/**
 * struct rename_child - a snapshot that gets to know the new name of its parent
 * @dir: its directory; @name: of the file there
 * @done: that has happened
 */
struct rename_child {
	struct rename_dir dir;
	char *name;
	char *path;
	struct rename_text text;
	bool done;
};

/**
 * struct rename - the whole
 * @old_path, @new_path: as they were typed; @new_full: with a directory and a name
 * @from, @from_name, @to, @to_name: the same, resolved
 * @rest: the image is open under its new name
 * @set: the image alone, locked
 * @text: its text; @text_done: it has the new names already; @text_tried: it may have
 *	been changed
 * @backwards: snapshots are to get the old name
 * @self: the image itself
 * @files: those that it names and that move along; not @self
 * @kept: names of those that do not
 * @new_fd: the new file of a text of its own, once it is there; @keep_new: an earlier
 *	run has made it, and it is as good as the old one, or better
 * @temp: its name meanwhile, in @to; @journal: see rename-journal.c
 */
struct rename {
	struct set_options opts;
	const char *old_path;
	const char *new_path;
	char *new_full;
	bool update_children;
	bool ignore_children;
	bool dry_run;
	struct rename_dir from;
	struct rename_dir to;
	char *from_name;
	char *to_name;
	struct image_set set;
	bool open;
	bool rest;
	bool text_done;
	bool text_tried;
	bool backwards;
	bool keep_new;
	struct rename_text text;
	struct rename_file self;
	struct rename_file *files;
	u32 nr_files;
	char **kept;
	u32 nr_kept;
	struct rename_child *children;
	u32 nr_children;
	char *temp;
	char *journal;
	int new_fd;
};

/* Is there a text in a file of its own, which gets its new name by being written anew? */
static inline bool rename_writes_self(const struct rename *r)
{
	return r->text.old && !r->text.inside;
}

/* rename-plan.c */
/* Where the names lead; *@gone: there is nothing under the old one. */
int rename_resolve(struct rename *r, bool *gone);
/* Open @path, which is the image under one of its names, and lock all of it. */
int rename_open(struct rename *r, const char *path);
/* What is to be done. Changes nothing. */
int rename_plan(struct rename *r);
/* Files under names that an earlier run has left: the image is complete under the new one. */
int rename_plan_rest(struct rename *r);
void rename_close(struct rename *r);
char *rename_path(const struct rename_dir *dir, const char *name);
int rename_dir_open(struct rename_dir *dir, const char *path);
void rename_dir_close(struct rename_dir *dir);
int rename_exists(const char *path);

/* rename-text.c */
/* Names that nothing changes. */
extern const struct vd_new_names rename_no_names;
void rename_names(struct vd_new_names *names, u32 format, const char *from, const char *to);
/* The text in @fd as it is, and with @names in it. */
int rename_read_text(struct rename_text *t, const char *path, const struct vd_new_names *names);
void rename_text_free(struct rename_text *t);
/* What the text says. */
int rename_parse(const char *text, u32 len, u32 format, const char *path, struct vd_layout **out);
bool rename_text_changes(const struct rename_text *t);
/* Put @text inside of the file in the place of what is there. */
int rename_put_inside(const struct rename_text *t, const char *path, const char *text, u32 len);
/* A complete, durable and locked file @temp in @dir, with the rights of @like. */
int rename_write_temp(const struct rename_dir *dir, const char *temp, int like, const char *text,
		      u32 len, int *fd);
/* An earlier run may have left one; somebody else may be writing it now. */
int rename_remove_stale(const struct rename_dir *dir, const char *temp);
/* What a file is called while it is being written. */
char *rename_temp_name(const char *name);

/* rename-children.c */
int rename_find_children(struct rename *r);
/* All or none. */
int rename_tell_children(struct rename *r);
/* False, with hints: some may have the new name still. */
bool rename_untell_children(struct rename *r);
void rename_child_free(struct rename_child *c);

/* rename-links.c */
int rename_sync_dir(const struct rename_dir *dir);
int rename_apply(struct rename *r);
/* Remove the old names of files that have their new ones. */
int rename_drop_old(struct rename *r);
int rename_sync(const struct rename *r);
/* Replaces nothing: 0 or -errno. */
int rename_move(const struct rename_dir *from, const char *name, const struct rename_dir *to,
		const char *new_name);

/* rename-journal.c */
/* Where a file cannot have two names. */
int rename_apply_journaled(struct rename *r);
/* Has a run of this kind been stopped? */
bool rename_journal_there(const struct rename *r);
/* All is as it was before that run. */
int rename_recover(struct rename *r);
/* It had done all but remove its journal; the image is open under its new name. */
int rename_drop_journal(const struct rename *r);

#endif /* VDCTL_RENAME_H */
