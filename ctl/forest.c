// SPDX-License-Identifier: GPL-2.0-only
/*
 * The forest of children and parents. Each child is held against the images
 * that have the UUID it names, the CID it names, or the name it names, best
 * matches first. Every list is bounded, so that thousands of images with one
 * UUID cost no more than a sort.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "forest.h"

#define MAX_LOOKED_AT	32	/* of the files that share one key */

/* What a rank is made of, besides LINK_* shifted as below. */
#define RANK_FITS	4096U
#define RANK_NAMED	2048U
#define RANK_CHANGED	1024U

static const u8 no_uuid[16];

static bool none(const u8 uuid[16])
{
	return !memcmp(uuid, no_uuid, sizeof(no_uuid));
}

static void compare_uuid(struct chain_link *l, u32 bit, const u8 want[16], const u8 have[16])
{
	if (none(want) || none(have))
		return;
	if (memcmp(want, have, sizeof(no_uuid)))
		l->differs |= bit;
	else
		l->same |= bit;
}

struct chain_link chain_compare(const struct chain_ids *child, const struct chain_ids *parent)
{
	struct chain_link l = { 0 };

	compare_uuid(&l, LINK_UUID, child->parent_uuid, parent->uuid);
	compare_uuid(&l, LINK_MOD, child->parent_mod_uuid, parent->mod_uuid);
	if (child->wants_cid && parent->has_cid) {
		if (child->parent_cid == parent->cid)
			l.same |= LINK_CID;
		else
			l.differs |= LINK_CID;
	}
	l.silent = !none(child->parent_uuid) && none(parent->uuid) && !(l.same & LINK_CID);
	return l;
}

static u32 by_name(const struct chain_node *nodes, u32 child, u32 parent)
{
	const struct chain_node *c = &nodes[child], *p = &nodes[parent];
	u32 link = 0;

	if (c->hint_node == parent)
		link |= LINK_PATH;
	if (c->hint && p->name && !strcmp(c->hint, p->name))
		link |= LINK_NAME;
	if (c->dir == p->dir)
		link |= LINK_BESIDE;
	return link;
}

/* Ids before names, and of the ids the one that is least likely a coincidence. */
static u32 weigh(u32 link)
{
	static const u32 order[] = { LINK_BESIDE, LINK_NAME, LINK_PATH, LINK_CID, LINK_MOD,
				     LINK_UUID };
	u32 i, weight = 0;

	for (i = 0; i < ARRAY_SIZE(order); i++)
		if (link & order[i])
			weight |= 1U << i;
	return weight;
}

u32 chain_rank(const struct chain_node *nodes, u32 child, u32 parent, enum chain_state *state,
	       u32 *link)
{
	struct chain_link l;
	u32 names;

	if (child == parent || !nodes[child].ids.parent)
		return 0;
	l = chain_compare(&nodes[child].ids, &nodes[parent].ids);
	names = by_name(nodes, child, parent);
	*link = l.same | names;
	if (l.differs & LINK_UUID || l.silent)
		return 0;
	if (!l.differs && l.same & (LINK_UUID | LINK_CID)) {
		*state = CHAIN_FITS;
		return RANK_FITS + weigh(*link);
	}
	if (!(l.same & LINK_UUID) && !(names & (LINK_PATH | LINK_NAME)))
		return 0;
	if (!l.differs) {
		*state = CHAIN_NAMED;
		return RANK_NAMED + weigh(*link);
	}
	*state = CHAIN_CHANGED;
	return RANK_CHANGED + weigh(*link);
}

/* --- indices: node numbers in the order of one key --- */

struct index {
	u32 *list;
	u32 nr;
};

/* qsort_r(): one more argument, so no variable of the file. */
static int order(u32 a, u32 b)
{
	return a < b ? -1 : a > b;
}

static int compare_by_uuid(const void *a, const void *b, void *nodes)
{
	const struct chain_node *x = &((const struct chain_node *)nodes)[*(const u32 *)a];
	const struct chain_node *y = &((const struct chain_node *)nodes)[*(const u32 *)b];
	int d = memcmp(x->ids.uuid, y->ids.uuid, sizeof(no_uuid));

	if (!d)
		d = memcmp(x->ids.mod_uuid, y->ids.mod_uuid, sizeof(no_uuid));
	return d ? d : order(*(const u32 *)a, *(const u32 *)b);
}

static int compare_by_cid(const void *a, const void *b, void *nodes)
{
	const struct chain_node *x = &((const struct chain_node *)nodes)[*(const u32 *)a];
	const struct chain_node *y = &((const struct chain_node *)nodes)[*(const u32 *)b];
	int d = order(x->ids.cid, y->ids.cid);

	if (!d)
		d = strcmp(x->name, y->name);
	return d ? d : order(*(const u32 *)a, *(const u32 *)b);
}

static int compare_by_name(const void *a, const void *b, void *nodes)
{
	const struct chain_node *x = &((const struct chain_node *)nodes)[*(const u32 *)a];
	const struct chain_node *y = &((const struct chain_node *)nodes)[*(const u32 *)b];
	int d = strcmp(x->name, y->name);

	return d ? d : order(*(const u32 *)a, *(const u32 *)b);
}

static bool has_uuid(const struct chain_node *n)
{
	return !none(n->ids.uuid);
}

static bool has_cid(const struct chain_node *n)
{
	return n->ids.has_cid;
}

static bool has_name(const struct chain_node *n)
{
	return n->name;
}

static int index_make(struct index *x, struct chain_node *nodes, u32 nr,
		      bool (*takes)(const struct chain_node *n),
		      int (*compare)(const void *a, const void *b, void *nodes))
{
	u32 i;

	x->nr = 0;
	x->list = calloc((size_t)nr + 1, sizeof(*x->list));
	if (!x->list)
		return -ENOMEM;
	for (i = 0; i < nr; i++)
		if (takes(&nodes[i]))
			x->list[x->nr++] = i;
	qsort_r(x->list, x->nr, sizeof(*x->list), compare, nodes);
	return 0;
}

/*
 * A key to be looked up: below, at or above? With @exact the second part counts,
 * too, which is the best of those that share the first.
 */
typedef int key_compare(const struct chain_node *child, const struct chain_node *n, bool exact);

static int key_uuid(const struct chain_node *child, const struct chain_node *n, bool exact)
{
	int d = memcmp(n->ids.uuid, child->ids.parent_uuid, sizeof(no_uuid));

	if (!d && exact)
		d = memcmp(n->ids.mod_uuid, child->ids.parent_mod_uuid, sizeof(no_uuid));
	return d;
}

static int key_cid(const struct chain_node *child, const struct chain_node *n, bool exact)
{
	int d = order(n->ids.cid, child->ids.parent_cid);

	if (!d && exact)
		d = strcmp(n->name, child->hint ? child->hint : "");
	return d;
}

static int key_name(const struct chain_node *child, const struct chain_node *n, bool exact)
{
	return strcmp(n->name, child->hint);
}

static u32 lower_bound(const struct index *x, const struct chain_node *nodes,
		       const struct chain_node *child, key_compare *key, bool exact)
{
	u32 low = 0, high = x->nr;

	while (low < high) {
		u32 mid = low + (high - low) / 2;

		if (key(child, &nodes[x->list[mid]], exact) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* --- the choice --- */

struct choice {
	u32 best;
	u32 rank;
	u32 seen[6 * MAX_LOOKED_AT + 1];
	u32 nr_seen;
};

static bool seen(struct choice *c, u32 candidate)
{
	u32 i;

	for (i = 0; i < c->nr_seen; i++)
		if (c->seen[i] == candidate)
			return true;
	c->seen[c->nr_seen++] = candidate;
	return false;
}

static void note_other(struct chain_node *n, u32 other)
{
	if (n->nr_others < CHAIN_OTHERS)
		n->others[n->nr_others] = other;
	n->nr_others++;
}

static void consider(struct chain_node *nodes, u32 child, u32 candidate, struct choice *c)
{
	struct chain_node *n = &nodes[child];
	enum chain_state state = CHAIN_MISSING;
	u32 link = 0, rank;

	rank = chain_rank(nodes, child, candidate, &state, &link);
	if (!rank || seen(c, candidate))
		return;
	if (rank <= c->rank) {
		note_other(n, candidate);
		n->ambiguous |= rank == c->rank;
		return;
	}
	if (c->best != CHAIN_NONE)
		note_other(n, c->best);
	n->ambiguous = false;
	c->best = candidate;
	c->rank = rank;
	n->state = state;
	n->link = link;
	n->parent = candidate;
}

static void consider_range(struct chain_node *nodes, u32 child, const struct index *x,
			   key_compare *key, bool exact, struct choice *c)
{
	u32 i = lower_bound(x, nodes, &nodes[child], key, exact);
	u32 left = MAX_LOOKED_AT;

	for (; left && i < x->nr && !key(&nodes[child], &nodes[x->list[i]], exact); i++, left--)
		consider(nodes, child, x->list[i], c);
}

struct indices {
	struct index uuid, cid, name;
};

static void choose(struct chain_node *nodes, u32 child, const struct indices *x, struct choice *c)
{
	const struct chain_node *n = &nodes[child];

	c->best = CHAIN_NONE;
	c->rank = 0;
	c->nr_seen = 0;
	if (n->hint_node != CHAIN_NONE)
		consider(nodes, child, n->hint_node, c);
	if (!none(n->ids.parent_uuid)) {
		consider_range(nodes, child, &x->uuid, key_uuid, true, c);
		consider_range(nodes, child, &x->uuid, key_uuid, false, c);
	}
	if (n->ids.wants_cid) {
		consider_range(nodes, child, &x->cid, key_cid, true, c);
		consider_range(nodes, child, &x->cid, key_cid, false, c);
	}
	if (n->hint)
		consider_range(nodes, child, &x->name, key_name, true, c);
}

/* --- loops --- */

enum { WHITE, GREY, BLACK };

/* Every node has one parent at most, so a walk that meets itself is a loop. */
static void mark_loop(struct chain_node *nodes, u32 start, u8 *colour)
{
	u32 at = start;

	while (at != CHAIN_NONE && colour[at] == WHITE) {
		colour[at] = GREY;
		at = nodes[at].parent;
	}
	if (at != CHAIN_NONE && colour[at] == GREY) {
		u32 first = at;

		do {
			nodes[at].state = CHAIN_LOOP;
			at = nodes[at].parent;
		} while (at != first);
	}
	for (at = start; at != CHAIN_NONE && colour[at] == GREY; at = nodes[at].parent)
		colour[at] = BLACK;
}

/* What it says of its parent is what it is itself. */
static bool names_itself(const struct chain_node *nodes, u32 i)
{
	const struct chain_node *n = &nodes[i];

	return n->hint_node == i || (!none(n->ids.parent_uuid) &&
				     !memcmp(n->ids.parent_uuid, n->ids.uuid, sizeof(no_uuid)));
}

static void reset(struct chain_node *n)
{
	n->parent = CHAIN_NONE;
	n->link = 0;
	n->state = n->ids.parent ? CHAIN_MISSING : CHAIN_BASE;
	n->ambiguous = false;
	n->nr_children = 0;
	n->nr_others = 0;
}

static void link_all(struct chain_node *nodes, u32 nr, const struct indices *x, struct choice *c,
		     u8 *colour)
{
	u32 i;

	for (i = 0; i < nr; i++)
		reset(&nodes[i]);
	for (i = 0; i < nr; i++)
		if (nodes[i].ids.parent)
			choose(nodes, i, x, c);
	for (i = 0; i < nr; i++)
		if (nodes[i].parent != CHAIN_NONE)
			nodes[nodes[i].parent].nr_children++;
	for (i = 0; i < nr; i++)
		mark_loop(nodes, i, colour);
	for (i = 0; i < nr; i++)
		if (nodes[i].state == CHAIN_MISSING && names_itself(nodes, i))
			nodes[i].state = CHAIN_LOOP;
}

int chain_forest(struct chain_node *nodes, u32 nr)
{
	u8 *colour = calloc((size_t)nr + 1, 1);
	struct choice *c = malloc(sizeof(*c));
	struct indices x = { 0 };
	int ret = colour && c ? 0 : -ENOMEM;

	if (!ret)
		ret = index_make(&x.uuid, nodes, nr, has_uuid, compare_by_uuid);
	if (!ret)
		ret = index_make(&x.cid, nodes, nr, has_cid, compare_by_cid);
	if (!ret)
		ret = index_make(&x.name, nodes, nr, has_name, compare_by_name);
	if (!ret)
		link_all(nodes, nr, &x, c, colour);
	free(x.uuid.list);
	free(x.cid.list);
	free(x.name.list);
	free(c);
	free(colour);
	return ret;
}

static bool same_uuid(const struct chain_node *nodes, const struct index *x, u32 a, u32 b)
{
	return b < x->nr && !memcmp(nodes[x->list[a]].ids.uuid, nodes[x->list[b]].ids.uuid,
				    sizeof(no_uuid));
}

int chain_duplicates(const struct chain_node *nodes, u32 nr, u32 **out)
{
	struct index x;
	u32 i, n = 0;

	*out = NULL;
	if (index_make(&x, (struct chain_node *)(uintptr_t)nodes, nr, has_uuid, compare_by_uuid))
		return -ENOMEM;
	for (i = 0; i < x.nr; i++)
		if (same_uuid(nodes, &x, i, i + 1) || (i && same_uuid(nodes, &x, i - 1, i)))
			x.list[n++] = x.list[i];
	*out = x.list;
	return (int)n;
}
