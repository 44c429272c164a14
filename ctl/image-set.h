/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An image set: every file that a disk needs, open, locked, and described by
 * the numeric tables that the kernel and vd_chain_open() take.
 */
#ifndef VDCTL_IMAGE_SET_H
#define VDCTL_IMAGE_SET_H

#include <sys/types.h>
#include "vdctl.h"
#include "vdisk/image.h"
#include "vdisk/layout.h"

enum set_mode {
	SET_READ,		/* never writable */
	SET_DEFAULT,		/* writable if nothing is against it; raw: if -f says so */
	SET_WRITE,		/* writable or refused */
};

enum set_cbt {
	SET_CBT_RESPECT,	/* change tracking makes an image read-only */
	SET_CBT_DROP,
	SET_CBT_DELETE,		/* and the log of changes goes too */
};

enum set_lock {
	SET_LOCK_YES,
	SET_LOCK_NO,		/* -U, --lock=no */
};

/**
 * struct set_options - what the user said about an image
 * @format: -f; NULL finds it by content
 * @parents: --parent, in order; strings of argv
 * @outside: --allow-outside, in order; strings of argv
 * @force_parent: take a parent that is not the one that its child was made of
 * @show_parents: the same without a word: set_image.misfit has it
 * @top_only: do not open parents
 * @dry_run: write nothing, but find out what would be written
 */
struct set_options {
	const char *format;
	const char **parents;
	int nr_parents;
	const char **outside;
	int nr_outside;
	bool no_references;
	bool force_parent;
	bool show_parents;
	bool ignore_vmware_lock;
	bool ignore_children;
	bool top_only;
	bool dry_run;
	enum set_cbt cbt;
	bool have_sizelimit;
	u64 offset;
	u64 sizelimit;
	enum set_mode mode;
	enum set_lock lock;
};

/**
 * struct set_member - one open file
 * @path: absolute where that is known, for people
 * @image: which image of the chain opened it first
 * @tracked: a sparse extent whose header says that change tracking may be on
 */
struct set_member {
	int fd;
	char *path;
	dev_t dev;
	ino_t ino;
	uid_t uid;
	u64 size;
	u64 allocated;
	u32 image;
	bool block;
	bool writable;
	bool tracked;
};

enum set_found {
	FOUND_NAME,		/* by its child's hint */
	FOUND_UUID,		/* beside its child */
	FOUND_GIVEN,		/* --parent */
};

/**
 * struct set_image - one image of the chain, the top first
 * @path: as named by the user or resolved from a reference
 * @dir: real directory of its descriptor: where its references must lie
 * @dirfd: O_PATH on @dir
 * @member: its own file (raw: the first)
 * @layout: what its text says; NULL for raw
 * @guessed: raw because nothing else claimed it
 * @found: how, for a parent; @link: which ids of its child say that it is the one
 * @misfit: why it is not the one that its child was made of, or NULL
 */
struct set_image {
	char *path;
	char *dir;
	int dirfd;
	u32 member;
	u32 format;
	u64 size;
	u32 first_seg;
	u32 nr_segs;
	struct vd_layout *layout;
	bool guessed;
	enum set_found found;
	u32 link;
	char *misfit;
};

/* Where VirtualBox keeps snapshots, below the directory of the disk that they are of. */
#define SNAPSHOTS_DIR	"Snapshots"

struct beside;

/**
 * struct image_set - see the top of the file
 * @writable: the top may be written, its files are open for that
 * @unclean: the last writer of the top did not finish
 * @wrong_parent: some parent is not the one that its child was made of
 * @drop_cbt: change tracking has been, or in a dry run would be, given up
 * @cbt_log: name of the log that set_drop_cbt() made useless, or NULL
 * @ro_reason: why the top is not writable although that was asked for, or NULL
 * @patches: what the first write changes before anything else
 * @beside: what was seen in directories where a parent was looked for
 */
struct image_set {
	const struct set_options *opts;
	int parents_used;
	bool writable;
	bool unclean;
	bool wrong_parent;
	bool drop_cbt;
	char *cbt_log;
	char *ro_reason;
	struct vdisk_patch patches[VDISK_MAX_PATCHES];
	u32 nr_patches;
	struct set_member *members;
	u32 nr_members;
	struct set_image images[VDISK_MAX_IMAGES];
	u32 nr_images;
	struct vdisk_segment_desc *segs;
	u32 nr_segs;
	struct beside *beside;
};

/* locate.c */
void want_descriptors(void);
int set_open(struct image_set *set, const struct set_options *opts, char *const *paths, int nr);
/*
 * The image's own file alone, into a @set of zeros with @opts: what its text names is not
 * touched, and may be gone. The caller closes it, also after an error.
 */
int set_open_own(struct image_set *set, const char *path, bool rw);
/* The top image alone, to be read; set_open_parents() can follow. */
int set_open_top(struct image_set *set, const struct set_options *opts, const char *path);
/* Is there a --parent that nothing was done with? */
int set_check_parents_used(const struct image_set *set);
void set_close(struct image_set *set);
void set_pop_images(struct image_set *set, u32 keep, u32 keep_members);
const char *set_subformat(const struct set_image *image);

/* member.c */
struct opened {
	int fd;
	bool writable;
	char *path;
};
int open_named(const char *path, bool rw, struct opened *out);
int reopen_checked(int path_fd, const char *path, bool rw, int *fd);
int set_add_member(struct image_set *set, struct opened *file, u32 image, u32 *member);
int set_find_member(const struct image_set *set, dev_t dev, ino_t ino, bool block);
/* After it was locked: has another file taken its name meanwhile? */
int member_check_there(const struct set_member *m);
void set_pop_members(struct image_set *set, u32 keep);
int image_set_dir(struct set_image *image, int fd, const char *path);

/* references.c */
enum ref_result {
	REF_OK,
	REF_MISSING,		/* policy has nothing against it, but it is not there */
	REF_REFUSED,		/* policy: error and hint are recorded */
	REF_FAILED,		/* other: recorded */
};
enum ref_result reference_open(const struct image_set *set, const struct set_image *from,
			       uid_t owner, const char *what, const char *name, bool rw,
			       struct opened *out);

/* The part of @path below @dir, or NULL; both as strings. */
const char *path_below(const char *path, const char *dir);

/* layout.c */
int set_open_image(struct image_set *set, struct opened *file, const char *format);
int set_add_extents(struct image_set *set, u32 index);
int set_add_segment(struct image_set *set, u32 image, const struct vdisk_segment_desc *seg);

/* parents.c */
/* On error the images that were found stay. */
int set_open_parents(struct image_set *set);
/* Is that file one of the parents? */
bool set_in_chain(const struct image_set *set, const char *path);

/* raw-set.c */
int set_add_raw(struct image_set *set, char *const *paths, int nr);
int set_describe_raw(struct image_set *set, u32 index);

/* writable.c */
/* Open and lock for writing, or say why not. Changes nothing. */
int set_make_writable(struct image_set *set);
/* Will set_change() change something? */
bool set_to_change(const struct image_set *set);
/*
 * What has to be done to the files before the disk can be written: merge what a
 * crash left, drop change tracking. May be stopped by a signal.
 */
int set_change(struct image_set *set);

/* writers.c */
/*
 * Warns of processes that have a file of image @image open for writing. With
 * @marked, that is if the image says that it is in use, they are a reason to
 * refuse, unless locks are not to be minded.
 */
int set_check_writers(const struct image_set *set, u32 image, bool marked);
/* Refuses if somebody has a file of image @image open for writing. */
int set_check_unused(const struct image_set *set, u32 image);
/* The kernel takes no parent that anybody has open for writing, locks or not. */
int set_check_parents_still(const struct image_set *set);

/* children.c */
/* Refuses if there is an image near image @image that has it as its parent. */
int set_check_children(const struct image_set *set, u32 image);
/**
 * struct child_found - an image that has another one as its parent
 * @dir, @name: where it is; @dirfd: that directory
 * @fd: open for reading; whoever is told may keep it, and sets it to -1 then
 * @hinted: it says what its parent is called; else it knows the UUID alone
 */
struct child_found {
	char *dir;
	int dirfd;
	const char *name;
	u32 format;
	int fd;
	bool hinted;
};

/* Tells @fn each of them near image @image until it returns something else than 0. */
int set_find_children(const struct image_set *set, u32 image,
		      int (*fn)(void *ctx, struct child_found *child), void *ctx);
/* The same for images beside image @image that have its file as an extent. */
int set_find_users(const struct image_set *set, u32 image,
		   int (*fn)(void *ctx, struct child_found *user), void *ctx);
/* As set_check_children(), for a file that is no part of a set, and may be no image. */
int path_check_children(const char *path, bool ignore);

/* drop-cbt.c */
int set_drop_cbt(struct image_set *set);
/* If that was asked for. */
void set_delete_log(const struct image_set *set);

/* replace.c */
/*
 * Durably gives the top image's own file, which is open for writing, other content: a
 * new file takes its name, its locks and the place in the set. @doing: for messages.
 */
int set_replace_own(struct image_set *set, const void *data, size_t len, const char *doing);

/* Access lists, labels and the like; @path: of the first, for warnings. */
void copy_xattrs(int from, int to, const char *path);

/* patches.c */
int set_add_patches(struct image_set *set);
/* Do at once, and durably, what the first write to image @image would do. */
int set_renew_ids(struct image_set *set, u32 image);

/* chain.c */
struct open_chain {
	struct vd_chain *chain;
	struct vd_file **files;
	u32 nr_files;
};
int chain_open(const struct image_set *set, struct open_chain *out);
void chain_close(struct open_chain *open);
/* Reports that vd_map() or vd_read() at @pos gave @err. */
int chain_error(int err, const struct image_set *set, u64 pos);
/* If an error of the core or the kernel is about an extent: a hint which file that is. */
void hint_extent(const struct image_set *set, const struct vd_error *err);
void set_tables(const struct image_set *set, struct vdisk_image_desc *images);

/* check-set.c */
struct vd_check;
/*
 * Check extent @seg of the set through its open file. 0 or -errno; the
 * callbacks, flags and findings of @check are vdisk/check.h's.
 */
int check_extent(const struct image_set *set, const struct vdisk_segment_desc *seg,
		 struct vd_check *check, struct vd_error *err);
/* Open the file of member @index again, to write, with a writer's locks. */
int member_reopen_writable(struct image_set *set, u32 index);
/*
 * Of an open set whose top is writable: bring the tables of extents that a
 * writer left behind in mid-work to one state, or refuse if they are damaged.
 * Only the header of an extent is read if nobody did. Unless @write, nothing is
 * written, but all is said.
 */
int set_merge_unclean(struct image_set *set, bool write);
/* The sentence, with the errno if that says more. Caller frees. */
char *vd_error_text(const struct vd_error *err);

/* image-opts.c */
extern const struct ctl_opt image_opts[];
extern const struct ctl_opt reference_opts[];	/* part of image_opts */
extern const struct ctl_opt raw_opts[];
extern const struct ctl_opt share_opts[];
/* Takes @id if it is an option of images. 0, an exit code, or -1: not one. */
int image_opt(struct set_options *opts, int id, const char *arg);

/* parse-child.c */
struct parsed {
	u32 format;
	int score;
	char subformat[64];
	struct vd_layout *layout;	/* NULL: the format has none */
	struct vd_extent_state state;
};
/* @want_layout false: only find out the format. */
int parse_confined(int fd, const char *path, const char *format, bool want_layout,
		   struct parsed *out);

/* What the header of a file says that holds a segment of @kind. */
int extent_confined(int fd, const char *path, u32 kind, struct vd_extent_state *out);

/*
 * vd_format_user.set_props of the image in @fd, which is open for writing and locked.
 * What is asked for has been checked only as to its form.
 */
int set_props_confined(int fd, const char *path, u32 format, const struct vd_props *want,
		       const char *pool, struct vd_content *out);

struct vd_new_names;
/*
 * The text of the image in @fd with other names in it, from vd_zalloc() and with a NUL
 * behind it; *text NULL: it has none, or its format names no files.
 */
int renamed_confined(int fd, const char *path, u32 format, const struct vd_new_names *names,
		     char **text, u32 *len);

/* sandbox.c */
/* @write_limit: to which byte the file may be written; 0: it must not be. */
int sandbox_enter(int in_fd, int out_fd, u64 write_limit);

/* lock.c */
int lock_file(int fd, const char *path, bool rw, bool block);
/* From a writer's locks to a reader's. */
void lock_downgrade(int fd, bool block);
/*
 * @to, another open of the same file, takes over the writer's locks of @from,
 * which is closed.
 */
int lock_move(int from, int to, const char *path, bool block);
/* VMware marks an open disk by a directory FILE.lck with files in it. */
bool vmware_locked(const char *path);
/* @rw: the files of the top image are or will be written. */
int vmware_lock_check(const struct image_set *set, bool rw);

/* plan.c */
/* What attaching @set would open, lock and change. */
void print_plan(const struct image_set *set);

/* holders.c */
void hint_lock_holders(int fd);

#endif /* VDCTL_IMAGE_SET_H */
