// SPDX-License-Identifier: GPL-2.0-only
/*
 * Chains of 2 to 8 images, each of a format, a unit and a size of its own, built as users
 * build them: write to the top, put an empty delta over it, go on. After every step the
 * disk is what a shadow says, which knows nothing of formats.
 *
 * The images are made by the library's own code: what is asked here is whether formats
 * fit each other. That each is right for itself, others ask.
 */
#include "ut.h"
#include "../../../formats-common/vdi/vdi-user.h"
#include "../../../formats-common/vmdk/create.h"

#define TRIALS		120
#define MAX_DEPTH	8
#define MAX_SECTORS	2048
#define STEPS		24

enum kind { KIND_RAW, KIND_SPARSE, KIND_ZEROED, KIND_COWD, KIND_DYNAMIC, KIND_FIXED, KIND_DIFF,
	    KINDS };

static const char *const kind_names[KINDS] = {
	"raw", "sparse", "sparse with zeros", "cowd", "vdi", "fixed vdi", "vdi delta",
};

/**
 * struct link - one image of the chain
 * @data: its file
 * @unit: 0 of raw
 */
struct link {
	enum kind kind;
	u64 size;
	u32 unit;
	void *data;
	size_t len;
};

/**
 * struct chain - all of them, the base first
 * @shadow: what the top reads
 */
struct chain {
	struct link link[MAX_DEPTH];
	u32 nr;
	u8 *shadow;
	struct ut_rng rng;
};

static struct link *top_of(struct chain *c)
{
	return &c->link[c->nr - 1];
}

/* --- making --- */

static void make_vmdk(const struct link *l, struct vd_file *file)
{
	struct vmdk_new new = {
		.capacity = l->size, .grain = l->unit, .zeroed = l->kind == KIND_ZEROED,
	};
	struct vd_error err = { 0 };

	if (l->kind == KIND_COWD)
		assert_int_equal(cowd_new_write(file, &new, &err), 0);
	else
		assert_int_equal(vmdk_new_write(file, &new, &err), 0);
}

static void make_vdi(const struct link *l, struct vd_file *file)
{
	struct vdi_new new = {
		.size = l->size, .block = l->unit, .uuid = { 1 }, .mod_uuid = { 2 },
		.type = l->kind == KIND_DIFF ? VDI_TYPE_DIFF :
			l->kind == KIND_FIXED ? VDI_TYPE_FIXED : VDI_TYPE_DYNAMIC,
	};
	struct vd_error err = { 0 };

	if (l->kind == KIND_DIFF)
		new.parent_uuid[0] = 3;
	assert_int_equal(vdi_new_write(file, &new, &err), 0);
}

static void keep_file(struct link *l, struct vd_file *file)
{
	const void *data = vd_ufile_mem_data(file, &l->len);

	free(l->data);
	l->data = ut_xalloc(l->len);
	memcpy(l->data, data, l->len);
}

static void make_link(struct chain *c, struct link *l)
{
	struct vd_file *file = vd_ufile_mem(NULL, 0, true);
	u8 *bytes;

	assert_non_null(file);
	if (l->kind == KIND_RAW) {
		bytes = ut_xalloc(l->size);
		ut_pattern(bytes, l->size, 0, ut_rand(&c->rng));
		assert_int_equal(vd_file_write(file, 0, bytes, (u32)l->size), 0);
		memcpy(c->shadow, bytes, l->size);
		free(bytes);
	} else if (l->kind >= KIND_DYNAMIC) {
		make_vdi(l, file);
	} else {
		make_vmdk(l, file);
	}
	keep_file(l, file);
	vd_ufile_free(file);
}

static u64 random_size(struct chain *c)
{
	return (1 + ut_below(&c->rng, MAX_SECTORS)) * VD_SECTOR;
}

/* The next image; the shadow is clipped, or goes on with zeros. */
static void push(struct chain *c)
{
	static const enum kind bases[] = { KIND_RAW, KIND_SPARSE, KIND_ZEROED, KIND_DYNAMIC,
					   KIND_FIXED };
	static const enum kind deltas[] = { KIND_SPARSE, KIND_ZEROED, KIND_COWD, KIND_DIFF };
	struct link *l = &c->link[c->nr];
	u64 old = c->nr ? top_of(c)->size : 0;

	memset(l, 0, sizeof(*l));
	l->kind = c->nr ? deltas[ut_below(&c->rng, ARRAY_SIZE(deltas))] :
			  bases[ut_below(&c->rng, ARRAY_SIZE(bases))];
	l->size = c->nr && ut_below(&c->rng, 2) ? old : random_size(c);
	l->unit = l->kind == KIND_COWD ? 512U << ut_below(&c->rng, 6) :
		  l->kind == KIND_RAW ? 0 : 4096U << ut_below(&c->rng, 5);
	if (l->kind >= KIND_SPARSE && l->kind <= KIND_ZEROED)
		l->unit = max_t(u32, l->unit, 8192);
	if (l->size > old)
		memset(c->shadow + old, 0, l->size - old);
	make_link(c, l);
	c->nr++;
}

/* --- opening --- */

static u32 segment_kind(enum kind kind)
{
	switch (kind) {
	case KIND_RAW:
		return VDISK_SEG_RAW;
	case KIND_SPARSE:
	case KIND_ZEROED:
		return VDISK_SEG_VMDK_SPARSE;
	case KIND_COWD:
		return VDISK_SEG_VMDK_COWD;
	default:
		return VDISK_SEG_VDI;
	}
}

static struct vd_chain *open_links(struct chain *c, struct ut_set *set, bool writable)
{
	struct vd_error err = { 0 };
	struct vd_chain_desc desc;
	struct vd_chain *chain;
	u32 i;

	memset(set, 0, sizeof(*set));
	for (i = c->nr; i--;) {
		const struct link *l = &c->link[i];
		u32 kind = segment_kind(l->kind);
		u32 member = ut_set_mem(set, l->data, l->len, writable && i + 1 == c->nr);

		ut_set_image(set, VDISK_SEG_FORMAT(kind), l->size);
		ut_set_seg(set, kind, member, 0, l->size, 0);
	}
	desc = ut_set_desc(set);
	desc.grow_chunk = 65536;
	assert_int_equal(vd_chain_open(&desc, &chain, &err), 0);
	return chain;
}

static void close_links(struct vd_chain *chain, struct ut_set *set)
{
	vd_chain_close(chain);
	while (set->nr_files)
		vd_ufile_free(set->files[--set->nr_files]);
}

/* --- using --- */

static void explain(const struct chain *c, u64 pos)
{
	u32 i;

	print_message("byte %llu differs in a chain, from the base on:\n", pos);
	for (i = 0; i < c->nr; i++)
		print_message("  %s, %llu bytes, unit %u\n", kind_names[c->link[i].kind],
			      c->link[i].size, c->link[i].unit);
}

static void compare(struct chain *c, struct vd_chain *chain)
{
	u64 size = top_of(c)->size, pos;
	struct vd_unit unit = { 0 };
	u8 *buf = ut_xalloc(size);

	assert_int_equal(vd_read(chain, &unit, 0, buf, (u32)size), 0);
	vd_unit_release(&unit);
	for (pos = 0; pos < size && buf[pos] == c->shadow[pos]; pos++)
		;
	if (pos < size)
		explain(c, pos);
	assert_int_equal(pos, size);
	free(buf);
}

/* Sector by sector, what a discard leaves is zeros or what was there. */
static void take_discarded(struct chain *c, struct vd_chain *chain, u64 pos, u64 len)
{
	static const u8 zeros[VD_SECTOR];
	struct vd_unit unit = { 0 };
	u8 buf[VD_SECTOR];

	for (; len; pos += VD_SECTOR, len -= VD_SECTOR) {
		assert_int_equal(vd_read(chain, &unit, pos, buf, VD_SECTOR), 0);
		if (!memcmp(buf, zeros, VD_SECTOR))
			memset(c->shadow + pos, 0, VD_SECTOR);
		else
			assert_memory_equal(buf, c->shadow + pos, VD_SECTOR);
	}
	vd_unit_release(&unit);
}

static void step(struct chain *c, struct vd_chain *chain)
{
	u64 sectors = top_of(c)->size / VD_SECTOR;
	u64 pos = ut_below(&c->rng, sectors);
	u64 len = 1 + ut_below(&c->rng, min_t(u64, sectors - pos, 1 + ut_below(&c->rng, 300)));
	u64 what = ut_below(&c->rng, 10);

	pos *= VD_SECTOR;
	len *= VD_SECTOR;
	if (what < 5) {
		ut_pattern(c->shadow + pos, len, pos, ut_rand(&c->rng));
		assert_int_equal(vd_write(chain, pos, c->shadow + pos, (u32)len), 0);
	} else if (what < 8) {
		memset(c->shadow + pos, 0, len);
		if (what == 7)
			assert_int_equal(vd_write(chain, pos, c->shadow + pos, (u32)len), 0);
		else
			assert_int_equal(vd_write_zeroes(chain, pos, len, what == 5), 0);
	} else if (what == 8) {
		assert_int_equal(vd_discard(chain, pos, len), 0);
		take_discarded(c, chain, pos, len);
	} else {
		assert_int_equal(vd_flush(chain), 0);
	}
}

static void fill_holes(struct vd_chain *chain)
{
	static u8 buf[8192] __attribute__((aligned(4096)));
	struct vd_pack pack = { .buf = buf, .size = sizeof(buf), .memory = U64_MAX };

	assert_int_equal(vd_fill_holes(chain, &pack), 0);
	assert_false(pack.left);
}

/* Write to the top for a while, and look at what is left of it in the file. */
static void use(struct chain *c)
{
	struct vd_chain *chain;
	struct ut_set set;
	u32 i;

	chain = open_links(c, &set, true);
	for (i = 0; i < STEPS; i++)
		step(c, chain);
	compare(c, chain);
	fill_holes(chain);
	compare(c, chain);
	assert_int_equal(vd_end_write(chain), 0);
	keep_file(top_of(c), set.files[0]);
	close_links(chain, &set);

	chain = open_links(c, &set, false);
	compare(c, chain);
	close_links(chain, &set);
}

static void check_top(struct chain *c)
{
	const struct link *l = top_of(c);
	u32 kind = segment_kind(l->kind);
	const struct vd_format *format = vd_format_get(VDISK_SEG_FORMAT(kind));
	struct vd_file *file = vd_ufile_mem(l->data, l->len, false);
	struct vd_error err = { 0 };
	struct vd_check check = { 0 };

	assert_int_equal(format->user->check(file, kind, l->size, &check, &err), 0);
	assert_int_equal(check.found[VD_FINDING_CORRUPT], 0);
	assert_int_equal(check.found[VD_FINDING_UNCLEAN], 0);
	if (kind == VDISK_SEG_VDI)
		assert_int_equal(check.found[VD_FINDING_LEAK], 0);
	vd_ufile_free(file);
}

static void one_chain(u64 seed)
{
	struct chain c = { .rng = { seed } };
	u32 depth = 2 + (u32)ut_below(&c.rng, MAX_DEPTH - 1);

	c.shadow = ut_xalloc(MAX_SECTORS * VD_SECTOR);
	while (c.nr < depth) {
		push(&c);
		use(&c);
		check_top(&c);
	}
	while (c.nr)
		free(c.link[--c.nr].data);
	free(c.shadow);
}

static void chains_of_mixed_formats(void **state)
{
	u64 seed;

	for (seed = 1; seed <= TRIALS; seed++)
		one_chain(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chains_of_mixed_formats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
