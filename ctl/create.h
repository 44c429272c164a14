/* SPDX-License-Identifier: GPL-2.0-only */
/* Making images: what cmd-create.c and create-*.c share. */
#ifndef VDCTL_CREATE_H
#define VDCTL_CREATE_H

#include <sys/types.h>
#include "image-set.h"
#include "vdisk/caps.h"

enum prealloc {
	PREALLOC_OFF,		/* holes */
	PREALLOC_METADATA,	/* tables have their space, data has none */
	PREALLOC_FALLOC,	/* all space is reserved */
	PREALLOC_FULL,		/* zeros are written */
};

/* struct create.given: options that only some formats have. */
#define CREATE_BACKING		(1U << 0)
#define CREATE_TYPE		(1U << 1)
#define CREATE_GRAIN		(1U << 2)
#define CREATE_SPLIT		(1U << 3)
#define CREATE_ADAPTER		(1U << 4)
#define CREATE_HWVERSION	(1U << 5)
#define CREATE_COMMENT		(1U << 6)
#define CREATE_UUID		(1U << 7)
#define CREATE_ZEROED		(1U << 8)
#define CREATE_BLOCK		(1U << 9)
#define CREATE_METADATA		(1U << 10)	/* --prealloc=metadata */

/**
 * struct create - what the user asked for
 * @creator: the format's
 * @given: CREATE_*
 * @size: bytes; @have_size false: the parent's
 * @parent: how to look for the files of the parent
 * @grain, @split, @block, @hwversion: 0: the default
 * @type, @adapter, @comment: NULL: not given
 */
struct create {
	const char *path;
	const char *backing;
	const char *type;
	const char *adapter;
	const char *comment;
	const struct creator *creator;
	u32 given;
	enum prealloc prealloc;
	u64 size;
	u64 grain;
	u64 split;
	u64 block;
	u32 hwversion;
	u8 uuid[16];
	bool have_size;
	bool have_uuid;
	bool zeroed_grain;
	bool force;
	bool ignore_children;
	struct set_options parent;
};

/**
 * struct creator - who makes images of one format
 * @format: its name; @title: for sentences
 * @suffixes: of file names that stand for it
 * @options: CREATE_* that it understands
 */
struct creator {
	const char *format;
	const char *title;
	const char *const *suffixes;
	u32 options;
	int (*create)(const struct create *c);
};

extern const struct creator creator_raw, creator_vmdk, creator_vdi;

/* Which of @words, up to a NULL, is @s? A usage error if none. */
int create_word(const char *what, const char *s, const char *const *words, u32 *out);
/* The comment, if one was given, by its format's @check; a usage error. */
int create_check_comment(const struct create *c,
			 int (*check)(const char *comment, struct vd_error *err));

/**
 * struct new_file - one file of an image in the making
 * @path: what it will be called; @name: the last part of it
 * @temp: what it is called now; empty: it is not there
 * @aside: where the file is that it replaces, until all is done; empty: nowhere
 * @old_fd: that file, locked; -1: there was none
 * @fd, @file: open for writing; -1 and NULL before and after
 */
struct new_file {
	char *path;
	const char *name;
	char temp[40];
	char aside[40];
	int old_fd;
	int fd;
	struct vd_file *file;
	bool published;
};

/**
 * struct new_files - all files of an image in the making, [0] is the image itself
 * @dir: the real directory that they are made in; @dirfd: open on it
 * @uid, @gid, @mode: of the image that is replaced, if @have_owner
 */
struct new_files {
	char *dir;
	int dirfd;
	bool force;
	bool have_owner;
	uid_t uid;
	gid_t gid;
	mode_t mode;
	struct new_file *files;
	u32 nr;
};

/* create-files.c: whatever fails, new_files_end() leaves everything as it was. */
int new_files_begin(struct new_files *set, const char *image, bool force);
/* @parent, may be NULL: a set of which no file may be replaced. */
int new_files_add(struct new_files *set, const char *name, const struct image_set *parent);
int new_file_open(struct new_files *set, u32 index);
/* After new_file_done(): its content is to go on. */
int new_file_reopen(struct new_files *set, u32 index);
/* Durable and closed. */
int new_file_done(struct new_file *f);
/* Reports that a backend could not lay it out. */
int new_file_failed(const struct new_file *f, int ret, const struct vd_error *err);
int new_files_commit(struct new_files *set);
void new_files_end(struct new_files *set);

/* create-parent.c: the chain of create.backing; the caller closes @set, after errors too. */
int create_parent_open(const struct create *c, struct image_set *set, u64 *size);
/* Could the new image, of so many files and extents, be opened with its parents? */
int create_parent_room(const struct create *c, const struct image_set *set, u32 nr_files,
		       u32 nr_segs);
/* Once the child is there. @id: what tells it that the parent was changed, or NULL. */
void create_parent_warn(const struct create *c, const struct image_set *set, const char *id);

/* create-flat.c */
struct fill {
	enum prealloc how;
	struct progress progress;
	u64 done;
};
/* Size and space of a file, then its zeros: two steps, so that all have their space first. */
int fill_reserve(struct new_file *f, u64 size, struct fill *fill);
int fill_zeros(struct new_file *f, u64 size, struct fill *fill);

/**
 * struct new_vmdk - a VMDK in the making
 * @stem: the image's name without .vmdk
 * @size: bytes of the disk; @piece: of each extent but the last
 * @set: the parent's chain, if create.backing
 * @hint: the parent's name as it will be written, @parent_cid its content id
 */
struct new_vmdk {
	const struct create *c;
	const struct vmdk_type *type;
	struct image_set set;
	struct new_files files;
	char *stem;
	char *hint;
	u64 size;
	u64 piece;
	u32 grain;
	u32 nr_extents;
	u32 cid;
	u32 parent_cid;
	u8 content_id[16];
	u8 uuid[16];
	u8 mod_uuid[16];
};

/* struct vmdk_type.flags */
#define TYPE_HOSTED	(1U << 0)	/* hosted sparse extents */
#define TYPE_COWD	(1U << 1)
#define TYPE_FLAT	(1U << 2)
#define TYPE_SPLIT	(1U << 3)
#define TYPE_EMBEDDED	(1U << 4)	/* the descriptor is inside the only extent */
#define TYPE_ESX	(1U << 5)
#define TYPE_SPARSE	(TYPE_HOSTED | TYPE_COWD)

/**
 * struct vmdk_type - what a word after --type stands for
 * @suffix: follows the image's stem in the names of extents; split kinds add
 *	three digits
 */
struct vmdk_type {
	const char *name;
	const char *create_type;
	const char *extent;
	const char *suffix;
	u32 flags;
};

/* create-vmdk.c */
char *extent_name(const struct new_vmdk *v, u32 index);
u64 extent_size(const struct new_vmdk *v, u32 index);

/* create-descriptor.c: what a descriptor cannot hold is a usage error. */
int descriptor_check_name(const char *path, const char *what, const char *name);
/* From malloc(). */
char *descriptor_text(const struct new_vmdk *v);

#endif /* VDCTL_CREATE_H */
