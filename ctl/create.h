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

/* In the order of the words that --type takes. */
enum vmdk_kind {
	KIND_SPARSE,
	KIND_SPLIT,
	KIND_FLAT,
	KIND_SPLITFLAT,
	KIND_ESX,
	KIND_ESXSPARSE,
};

enum create_format { CREATE_RAW, CREATE_VMDK };

/**
 * struct create - what the user asked for
 * @vmdk_option: name of an option that was given and means nothing for raw
 * @size: bytes; @have_size false: the parent's
 * @parent: how to look for the files of the parent
 * @grain, @split, @hwversion: 0: the default
 * @adapter, @comment: NULL: not given
 */
struct create {
	const char *path;
	const char *backing;
	const char *vmdk_option;
	const char *adapter;
	const char *comment;
	enum create_format format;
	enum vmdk_kind kind;
	enum prealloc prealloc;
	u64 size;
	u64 grain;
	u64 split;
	u32 hwversion;
	u8 uuid[16];
	bool have_format;
	bool have_size;
	bool have_uuid;
	bool zeroed_grain;
	bool force;
	bool ignore_children;
	struct set_options parent;
};

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
int new_files_commit(struct new_files *set);
void new_files_end(struct new_files *set);

/* create-flat.c */
struct fill {
	enum prealloc how;
	struct progress progress;
	u64 done;
};
/* Size and space of a file, then its zeros: two steps, so that all have their space first. */
int fill_reserve(struct new_file *f, u64 size, struct fill *fill);
int fill_zeros(struct new_file *f, u64 size, struct fill *fill);
int create_raw(const struct create *c);

/**
 * struct new_vmdk - a VMDK in the making
 * @stem: the image's name without .vmdk
 * @size: bytes of the disk; @piece: of each extent but the last
 * @set: the parent's chain, if create.backing
 * @hint: the parent's name as it will be written
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
int create_vmdk(const struct create *c);
char *extent_name(const struct new_vmdk *v, u32 index);
u64 extent_size(const struct new_vmdk *v, u32 index);

/* create-descriptor.c: what a descriptor cannot hold is a usage error. */
int descriptor_check_name(const char *path, const char *what, const char *name);
int descriptor_check_comment(const char *comment);
/* From malloc(). */
char *descriptor_text(const struct new_vmdk *v);

#endif /* VDCTL_CREATE_H */
