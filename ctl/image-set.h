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
	SET_DEFAULT,		/* writable if -f raw says so, and the file can be */
	SET_WRITE,		/* writable or refused */
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
 * @top_only: do not open parents
 */
struct set_options {
	const char *format;
	const char **parents;
	int nr_parents;
	const char **outside;
	int nr_outside;
	bool no_references;
	bool ignore_cid;
	bool ignore_vmware_lock;
	bool top_only;
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
};

/**
 * struct set_image - one image of the chain, the top first
 * @path: as named by the user or resolved from a reference
 * @dir: real directory of its descriptor: where its references must lie
 * @dirfd: O_PATH on @dir
 * @member: its own file (raw: the first)
 * @layout: what its text says; NULL for raw
 * @guessed: raw because nothing else claimed it
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
};

struct image_set {
	const struct set_options *opts;
	int parents_used;
	bool writable;
	struct set_member *members;
	u32 nr_members;
	struct set_image images[VDISK_MAX_IMAGES];
	u32 nr_images;
	struct vdisk_segment_desc *segs;
	u32 nr_segs;
};

/* locate.c */
int set_open(struct image_set *set, const struct set_options *opts, char *const *paths, int nr);
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

/* layout.c */
int set_open_image(struct image_set *set, struct opened *file, const char *format);
int set_add_extents(struct image_set *set, u32 index);
int set_add_segment(struct image_set *set, u32 image, const struct vdisk_segment_desc *seg);

/* parents.c */
int set_open_parents(struct image_set *set);

/* raw-set.c */
int set_add_raw(struct image_set *set, char *const *paths, int nr);
int set_describe_raw(struct image_set *set, u32 index);

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
void set_tables(const struct image_set *set, struct vdisk_image_desc *images);

/* image-opts.c */
extern const struct ctl_opt image_opts[];
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
};
/* @want_layout false: only find out the format. */
int parse_confined(int fd, const char *path, const char *format, bool want_layout,
		   struct parsed *out);

/* sandbox.c */
int sandbox_enter(int in_fd, int out_fd);

/* lock.c */
int lock_file(int fd, const char *path, bool rw, bool block);
int vmware_lock_check(const struct image_set *set);

/* holders.c */
void hint_lock_holders(int fd);

#endif /* VDCTL_IMAGE_SET_H */
