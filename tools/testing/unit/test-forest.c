// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which image is whose parent. Forests that are known are taken apart and must
 * come out as they were; in those where every id is there several times, the
 * choice is compared with one that holds each image against each.
 */
#include "ut.h"
#include "../../../ctl/forest.c"

static void id(u8 to[16], u64 n)
{
	memset(to, 0, 16);
	if (n)
		memcpy(to, &n, sizeof(n));
}

static struct chain_node lone(const char *name)
{
	return (struct chain_node) { .name = name, .hint_node = CHAIN_NONE };
}

static struct chain_node child_of(const char *name, u64 uuid, u64 mod)
{
	struct chain_node n = lone(name);

	n.ids.parent = true;
	id(n.ids.parent_uuid, uuid);
	id(n.ids.parent_mod_uuid, mod);
	return n;
}

static struct chain_node image(const char *name, u64 uuid, u64 mod)
{
	struct chain_node n = lone(name);

	id(n.ids.uuid, uuid);
	id(n.ids.mod_uuid, mod);
	return n;
}

static void expect(const struct chain_node *n, u32 parent, enum chain_state state, u32 link)
{
	assert_int_equal(n->parent, parent);
	assert_int_equal(n->state, state);
	assert_int_equal(n->link & (LINK_UUID | LINK_MOD | LINK_CID | LINK_NAME | LINK_PATH), link);
}

static void test_by_uuid(void **state)
{
	struct chain_node n[] = { child_of("c", 7, 8), image("x", 9, 8), image("p", 7, 8) };

	assert_int_equal(chain_forest(n, 3), 0);
	expect(&n[0], 2, CHAIN_FITS, LINK_UUID | LINK_MOD);
	expect(&n[1], CHAIN_NONE, CHAIN_BASE, 0);
	assert_int_equal(n[2].nr_children, 1);
	assert_int_equal(n[0].nr_others, 0);
}

/* The disk is the right one, but was written to. */
static void test_changed(void **state)
{
	struct chain_node n[] = { child_of("c", 7, 8), image("p", 7, 9) };

	assert_int_equal(chain_forest(n, 2), 0);
	expect(&n[0], 1, CHAIN_CHANGED, LINK_UUID);
}

/* Of two copies, the one that was not written to; the other is told. */
static void test_prefers_modification(void **state)
{
	struct chain_node n[] = { child_of("c", 7, 8), image("a", 7, 9), image("b", 7, 8) };

	assert_int_equal(chain_forest(n, 3), 0);
	expect(&n[0], 2, CHAIN_FITS, LINK_UUID | LINK_MOD);
	assert_false(n[0].ambiguous);
	assert_int_equal(n[0].nr_others, 1);
	assert_int_equal(n[0].others[0], 1);
}

/* Of two that fit, each by another id, the one by that which is no coincidence. */
static void test_weight(void **state)
{
	struct chain_node n[] = { child_of("c", 7, 8), image("a", 7, 0), image("b", 7, 8) };

	n[0].ids.wants_cid = n[1].ids.has_cid = true;
	n[0].ids.parent_cid = n[1].ids.cid = 5;
	assert_int_equal(chain_forest(n, 3), 0);
	expect(&n[0], 2, CHAIN_FITS, LINK_UUID | LINK_MOD);
	assert_false(n[0].ambiguous);
	assert_int_equal(n[0].others[0], 1);
}

static void test_ambiguous(void **state)
{
	struct chain_node n[] = { child_of("c", 7, 8), image("a", 7, 8), image("b", 7, 8) };
	u32 *list;

	assert_int_equal(chain_forest(n, 3), 0);
	assert_int_equal(n[0].state, CHAIN_FITS);
	assert_true(n[0].ambiguous);
	assert_int_equal(chain_duplicates(n, 3, &list), 2);
	assert_int_equal(list[0] + list[1], 3);
	free(list);
}

static void test_by_cid_and_name(void **state)
{
	struct chain_node n[] = { lone("c"), lone("a"), lone("b") };

	n[0].ids.parent = n[0].ids.wants_cid = true;
	n[0].ids.parent_cid = 5;
	n[0].hint = "b";
	n[1].ids.has_cid = n[2].ids.has_cid = true;
	n[1].ids.cid = n[2].ids.cid = 5;
	assert_int_equal(chain_forest(n, 3), 0);
	expect(&n[0], 2, CHAIN_FITS, LINK_CID | LINK_NAME);
	assert_false(n[0].ambiguous);

	/* Renamed, it is found by what is in it. */
	n[2].name = "elsewhere";
	n[1].ids.cid = 6;
	assert_int_equal(chain_forest(n, 3), 0);
	expect(&n[0], 2, CHAIN_FITS, LINK_CID);

	/* The name alone, and another content. */
	n[2].ids.cid = 6;
	n[1].name = "b";
	assert_int_equal(chain_forest(n, 3), 0);
	expect(&n[0], 1, CHAIN_CHANGED, LINK_NAME);
}

/* A file without ids can be meant by name only, and not by who names a UUID. */
static void test_plain(void **state)
{
	struct chain_node n[] = { lone("c"), lone("base.raw") };

	n[0].ids.parent = n[0].ids.wants_cid = n[1].plain = true;
	n[0].hint = "base.raw";
	assert_int_equal(chain_forest(n, 2), 0);
	expect(&n[0], 1, CHAIN_NAMED, LINK_NAME);
	id(n[0].ids.parent_uuid, 7);
	assert_int_equal(chain_forest(n, 2), 0);
	expect(&n[0], CHAIN_NONE, CHAIN_MISSING, 0);
}

/* A CID vouches for a parent that lost its UUIDs; another UUID is another disk. */
static void test_uuid_lost(void **state)
{
	struct chain_node n[] = { child_of("c", 7, 8), lone("p") };

	n[0].ids.wants_cid = n[1].ids.has_cid = true;
	n[0].ids.parent_cid = n[1].ids.cid = 5;
	assert_int_equal(chain_forest(n, 2), 0);
	expect(&n[0], 1, CHAIN_FITS, LINK_CID);
	id(n[1].ids.uuid, 9);
	assert_int_equal(chain_forest(n, 2), 0);
	expect(&n[0], CHAIN_NONE, CHAIN_MISSING, 0);
}

static void test_loops(void **state)
{
	struct chain_node n[4] = { child_of("a", 2, 0), child_of("b", 1, 0), child_of("c", 1, 0),
				   child_of("d", 4, 0) };
	u32 i;

	for (i = 0; i < 4; i++)
		id(n[i].ids.uuid, i + 1);
	assert_int_equal(chain_forest(n, 4), 0);
	assert_int_equal(n[0].state, CHAIN_LOOP);
	assert_int_equal(n[1].state, CHAIN_LOOP);
	/* On its way into a loop, but not part of it. */
	assert_int_equal(n[2].state, CHAIN_FITS);
	/* Its own parent, and so without one. */
	expect(&n[3], CHAIN_NONE, CHAIN_LOOP, 0);
	assert_int_equal(n[3].nr_children, 0);
	/* Another file will do, and then it is that. */
	id(n[2].ids.uuid, 4);
	assert_int_equal(chain_forest(n, 4), 0);
	assert_int_equal(n[3].parent, 2);
	assert_int_equal(n[3].state, CHAIN_FITS);
}

/* --- known forests --- */

#define TREE	200

struct tree {
	struct chain_node nodes[TREE];
	u32 truth[TREE];
	char names[TREE][16];
	u32 nr;
};

/* The ways in which formats and programs tie a child to its parent. */
static void tie(struct tree *t, u32 child, u32 parent, struct ut_rng *rng)
{
	struct chain_node *c = &t->nodes[child], *p = &t->nodes[parent];
	u32 how = (u32)ut_below(rng, 3);

	c->ids.parent = true;
	if (how != 0) {
		id(p->ids.uuid, 1000 + parent);
		id(p->ids.mod_uuid, 5000 + parent);
		memcpy(c->ids.parent_uuid, p->ids.uuid, 16);
		if (ut_below(rng, 2))
			memcpy(c->ids.parent_mod_uuid, p->ids.mod_uuid, 16);
	}
	if (how != 1) {
		p->ids.has_cid = c->ids.wants_cid = true;
		p->ids.cid = c->ids.parent_cid = 70000 + parent;
	}
	if (how != 1 && ut_below(rng, 2))
		c->hint = t->names[parent];
	/* Names lie: after a move, another file has it. */
	if (!ut_below(rng, 8) && c->hint)
		c->hint = t->names[ut_below(rng, t->nr)];
}

static void tree_make(struct tree *t, struct ut_rng *rng)
{
	u32 order_of[TREE], i;

	memset(t, 0, sizeof(*t));
	t->nr = 2 + (u32)ut_below(rng, TREE - 1);
	for (i = 0; i < t->nr; i++) {
		u32 j = (u32)ut_below(rng, i + 1);

		order_of[i] = order_of[j];
		order_of[j] = i;
		snprintf(t->names[i], sizeof(t->names[i]), "image%u", i);
		t->nodes[i] = lone(t->names[i]);
		t->truth[i] = CHAIN_NONE;
	}
	for (i = 1; i < t->nr; i++)
		if (ut_below(rng, 5)) {
			t->truth[order_of[i]] = order_of[ut_below(rng, i)];
			tie(t, order_of[i], t->truth[order_of[i]], rng);
		}
}

static void test_known(void **state)
{
	struct ut_rng rng = { 5 };
	struct tree *t = ut_xalloc(sizeof(*t));
	u32 round, i;

	for (round = 0; round < 500; round++) {
		tree_make(t, &rng);
		assert_int_equal(chain_forest(t->nodes, t->nr), 0);
		for (i = 0; i < t->nr; i++) {
			assert_int_equal(t->nodes[i].parent, t->truth[i]);
			assert_int_equal(t->nodes[i].state,
					 t->truth[i] == CHAIN_NONE ? CHAIN_BASE : CHAIN_FITS);
			assert_false(t->nodes[i].ambiguous);
		}
	}
	free(t);
}

/* --- forests of few ids: each against each --- */

#define FEW	30

static void few_make(struct chain_node *n, u32 nr, struct ut_rng *rng)
{
	static const char *const names[] = { "a", "b", "c", "d" };
	u32 i, range = 1 + (u32)ut_below(rng, 6);

	for (i = 0; i < nr; i++) {
		n[i] = child_of(names[ut_below(rng, 4)], ut_below(rng, range),
				ut_below(rng, range));
		id(n[i].ids.uuid, ut_below(rng, range));
		id(n[i].ids.mod_uuid, ut_below(rng, range));
		n[i].ids.parent = ut_below(rng, 8);
		n[i].ids.has_cid = ut_below(rng, 2);
		n[i].ids.wants_cid = ut_below(rng, 2);
		n[i].ids.cid = (u32)ut_below(rng, range);
		n[i].ids.parent_cid = (u32)ut_below(rng, range);
		n[i].hint = ut_below(rng, 2) ? names[ut_below(rng, 4)] : NULL;
		n[i].hint_node = ut_below(rng, 4) ? CHAIN_NONE : (u32)ut_below(rng, nr);
		n[i].dir = (u32)ut_below(rng, 2);
	}
}

static bool in_loop(const struct chain_node *n, u32 i, u32 nr)
{
	u32 at = n[i].parent, steps;

	for (steps = 0; at != CHAIN_NONE && steps < nr; steps++) {
		if (at == i)
			return true;
		at = n[at].parent;
	}
	return false;
}

static bool its_own(const struct chain_node *n, u32 i)
{
	static const u8 zeros[16];

	return n->hint_node == i || (!memcmp(n->ids.uuid, n->ids.parent_uuid, 16) &&
				     memcmp(n->ids.uuid, zeros, 16));
}

static void compare_with_all(const struct chain_node *n, u32 nr, u32 i)
{
	u32 best = 0, as_good = 0, any = 0, link, chosen = 0, j;
	enum chain_state s = CHAIN_BASE, states = 0;

	for (j = 0; j < nr; j++) {
		u32 rank = chain_rank(n, i, j, &s, &link);

		any += rank > 0;
		if (rank > best) {
			best = rank;
			as_good = 0;
		}
		as_good += rank && rank == best;
		if (j == n[i].parent) {
			chosen = rank;
			states = s;
			assert_int_equal(n[i].link, link);
		}
	}
	assert_int_equal(chosen, best);
	assert_int_equal(n[i].ambiguous, as_good > 1);
	assert_int_equal(n[i].nr_others, any ? any - 1 : 0);
	if (in_loop(n, i, nr) || (!best && n[i].ids.parent && its_own(&n[i], i)))
		states = CHAIN_LOOP;
	else if (!best)
		states = n[i].ids.parent ? CHAIN_MISSING : CHAIN_BASE;
	assert_int_equal(n[i].state, states);
}

static void test_few_ids(void **state)
{
	struct ut_rng rng = { 6 };
	struct chain_node n[FEW];
	u32 round, nr, i, *list, children, loops = 0;
	int pairs;

	for (round = 0; round < 20000; round++) {
		nr = (u32)ut_below(&rng, FEW + 1);
		few_make(n, nr, &rng);
		assert_int_equal(chain_forest(n, nr), 0);
		for (i = 0, children = 0; i < nr; i++) {
			compare_with_all(n, nr, i);
			children += n[i].nr_children;
			loops += n[i].state == CHAIN_LOOP;
		}
		for (i = 0; i < nr; i++)
			children -= n[i].parent != CHAIN_NONE;
		assert_int_equal(children, 0);
		pairs = chain_duplicates(n, nr, &list);
		assert_in_range(pairs, 0, nr);
		assert_int_not_equal(pairs, 1);
		free(list);
	}
	assert_true(loops > 1000);
}

/* As many as a search looks at, all with one UUID, each the child of all others. */
static void test_many(void **state)
{
	u32 nr = 65536, i;
	struct chain_node *n = ut_xalloc(nr * sizeof(*n));

	for (i = 0; i < nr; i++) {
		n[i] = child_of("x", 7, 8);
		id(n[i].ids.uuid, 7);
		n[i].hint = "x";
	}
	assert_int_equal(chain_forest(n, nr), 0);
	for (i = 0; i < nr; i++) {
		assert_int_not_equal(n[i].parent, CHAIN_NONE);
		assert_int_not_equal(n[i].parent, i);
		assert_true(n[i].ambiguous);
	}
	free(n);
}

/* The one that fits is found among more than are looked at. */
static void test_among_many(void **state)
{
	enum { MANY = 500 };
	struct chain_node n[MANY];
	u32 i;

	for (i = 1; i < MANY; i++)
		n[i] = image("x", 7, i == MANY - 20 ? 9 : 2 + i % 7);
	n[0] = child_of("c", 7, 9);
	assert_int_equal(chain_forest(n, MANY), 0);
	expect(&n[0], MANY - 20, CHAIN_FITS, LINK_UUID | LINK_MOD);

	for (i = 1; i < MANY; i++) {
		bool it = i == MANY - 20;

		n[i] = lone(it || i % 2 ? "wanted" : "a");
		n[i].ids.has_cid = true;
		n[i].ids.cid = it || !(i % 2) ? 5 : 6;
	}
	n[0] = lone("c");
	n[0].ids.parent = n[0].ids.wants_cid = true;
	n[0].ids.parent_cid = 5;
	n[0].hint = "wanted";
	assert_int_equal(chain_forest(n, MANY), 0);
	expect(&n[0], MANY - 20, CHAIN_FITS, LINK_CID | LINK_NAME);

	/* Where the hint leads beats the order, too. */
	n[0].hint_node = 250;
	n[250].name = "wanted";
	assert_int_equal(chain_forest(n, MANY), 0);
	expect(&n[0], 250, CHAIN_FITS, LINK_CID | LINK_NAME | LINK_PATH);
}

static void test_none(void **state)
{
	struct chain_node n[] = { child_of("c", 0, 0) };
	u32 *list;

	assert_int_equal(chain_forest(n, 0), 0);
	assert_int_equal(chain_forest(n, 1), 0);
	expect(&n[0], CHAIN_NONE, CHAIN_MISSING, 0);
	assert_int_equal(chain_duplicates(n, 1, &list), 0);
	free(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_uuid),
		cmocka_unit_test(test_changed),
		cmocka_unit_test(test_prefers_modification),
		cmocka_unit_test(test_weight),
		cmocka_unit_test(test_ambiguous),
		cmocka_unit_test(test_by_cid_and_name),
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_uuid_lost),
		cmocka_unit_test(test_loops),
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_few_ids),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_among_many),
		cmocka_unit_test(test_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
