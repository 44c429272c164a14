/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which image is whose parent, by what images say of themselves. No files, no
 * output: the tests run the same code over forests that they make up.
 */
#ifndef VDCTL_FOREST_H
#define VDCTL_FOREST_H

#include <stdbool.h>
#include "vd_port.h"

/**
 * struct chain_ids - what one image says of itself and of its parent
 * @parent: it has one
 * @has_cid: @cid counts
 * @wants_cid: @parent_cid counts
 * @uuid ...: zeros: none
 */
struct chain_ids {
	bool parent;
	bool has_cid;
	bool wants_cid;
	u32 cid;
	u32 parent_cid;
	u8 uuid[16];
	u8 mod_uuid[16];
	u8 parent_uuid[16];
	u8 parent_mod_uuid[16];
};

/* What can tie a child to its parent. */
#define LINK_UUID	(1U << 0)
#define LINK_MOD	(1U << 1)	/* modification UUID */
#define LINK_CID	(1U << 2)	/* content id */
#define LINK_NAME	(1U << 3)	/* the child's hint ends in the parent's name */
#define LINK_PATH	(1U << 4)	/* the child's hint leads to that very file */
#define LINK_BESIDE	(1U << 5)	/* the same directory */

/**
 * struct chain_link - a child held against a possible parent
 * @same, @differs: LINK_UUID, _MOD, _CID: where both have one
 * @silent: the child names a UUID and the other has none, nor does a CID vouch
 */
struct chain_link {
	u32 same;
	u32 differs;
	bool silent;
};

struct chain_link chain_compare(const struct chain_ids *child, const struct chain_ids *parent);

#define CHAIN_NONE	(~0U)
#define CHAIN_OTHERS	4

enum chain_state {
	CHAIN_BASE,		/* has no parent */
	CHAIN_FITS,		/* @parent is it: an id says so */
	CHAIN_NAMED,		/* @parent has the name, and nothing speaks against it */
	CHAIN_CHANGED,		/* @parent is the disk, but was written to since */
	CHAIN_MISSING,
	CHAIN_LOOP,		/* the image is its own ancestor, or its parent: then no @parent */
};

/**
 * struct chain_node - one file; the caller fills the upper half
 * @name: last part of its name
 * @hint: last part of the parent's name as the image has it; NULL: none
 * @hint_node: the node that the hint as written leads to, or CHAIN_NONE
 * @dir: files of one directory have the same number
 * @plain: nothing is known of it but its name
 * @parent: index, or CHAIN_NONE
 * @link: LINK_*: what ties it to @parent
 * @nr_others: how many other files would do as well or nearly so; the first
 *	CHAIN_OTHERS are in @others
 * @ambiguous: one of them does just as well
 */
struct chain_node {
	struct chain_ids ids;
	const char *name;
	const char *hint;
	u32 hint_node;
	u32 dir;
	bool plain;

	u32 parent;
	u32 link;
	enum chain_state state;
	bool ambiguous;
	u32 nr_children;
	u32 nr_others;
	u32 others[CHAIN_OTHERS];
};

/*
 * How well @nodes[parent] would do as the parent of @nodes[child]: 0 not at all.
 * *@state and *@link as they would be.
 */
u32 chain_rank(const struct chain_node *nodes, u32 child, u32 parent, enum chain_state *state,
	       u32 *link);

/* Finds each node's parent. 0 or -ENOMEM. */
int chain_forest(struct chain_node *nodes, u32 nr);

/*
 * Groups of images with one UUID: indices, group after group, those of two and
 * more only. The count; *@out is from malloc(), or NULL; -ENOMEM.
 */
int chain_duplicates(const struct chain_node *nodes, u32 nr, u32 **out);

#endif /* VDCTL_FOREST_H */
