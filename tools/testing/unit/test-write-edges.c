// SPDX-License-Identifier: GPL-2.0-only
/*
 * What writing trusts in tables. Each part is asked alone: that the map, or the
 * scan before the first allocation, has looked at the same entry before is no
 * reason to believe it later. And the ends: of files, and of writing.
 */
#include "img-write.h"
#include "ut-far.h"
#include "vdisk/alloc.h"

#define TIB2	(1ULL << 41)

static char said[VD_ERROR_TEXT];

static void listen(const char *text)
{
	snprintf(said, sizeof(said), "%s", text);
}

static void heard(const char *what, const char *text)
{
	if (!strstr(said, text))
		fail_msg("%s: said \"%s\", not \"%s\"", what, said, text);
	said[0] = '\0';
}

/**
 * struct subject - an image under writing
 * @b: its file's bytes while it is made
 * @gd, @rgd, @gt: bytes in it; @rgd 0: none. @gt is the first table
 * @nr_gtes: entries of a table
 */
struct subject {
	struct ut_set set;
	struct ut_buf b;
	struct ut_disk *d;
	struct vd_chain *chain;
	struct vd_segment *seg;
	u32 kind;
	u64 gd, rgd, gt;
	u64 gtes;
	u32 hits;
};

/* Two tables; in the first, grain 0 has a place and grain 1 has none. */
static void hosted(struct subject *s, u32 flags)
{
	struct img_sparse form = { .flags = flags, .version = 2, .holes = true };

	memset(s, 0, sizeof(*s));
	s->d = ut_disk_new(IMG_GTES * 1024 + 4096, 1024);
	ut_disk_set(s->d, 0, UT_DATA, 5);
	ut_disk_set(s->d, 2, UT_DATA, 5);
	img_sparse_write(&form, s->d);
	s->b = form.buf;
	s->gd = form.gd * VD_SECTOR;
	s->rgd = form.rgd * VD_SECTOR;
	s->gt = ut_get_le(&s->b, s->gd, 4) * VD_SECTOR;
	s->gtes = IMG_GTES;
	s->kind = VDISK_SEG_VMDK_SPARSE;
}

static void cowd(struct subject *s, u32 flags)
{
	struct img_cowd form = { 0 };

	memset(s, 0, sizeof(*s));
	s->d = ut_disk_new(IMG_COWD_GTES * 1024 + 4096, 1024);
	ut_disk_set(s->d, 0, UT_DATA, 5);
	ut_disk_set(s->d, 2, UT_DATA, 5);
	img_cowd_write(&form, s->d);
	s->b = form.buf;
	s->gd = form.gd * VD_SECTOR;
	s->gt = ut_get_le(&s->b, s->gd, 4) * VD_SECTOR;
	s->gtes = IMG_COWD_GTES;
	s->kind = VDISK_SEG_VMDK_COWD;
}

typedef void make_fn(struct subject *s, u32 flags);

static void open_files(struct subject *s)
{
	said[0] = '\0';
	vd_log_hook = listen;
	s->chain = ut_open(&s->set);
	s->seg = &s->chain->images[0].segs[0];
}

static void add_image(struct subject *s)
{
	ut_set_image(&s->set, VDISK_FORMAT_VMDK, s->d->size);
	ut_set_seg(&s->set, s->kind, s->set.nr_files - 1, 0, s->d->size, 0);
}

static void open_it(struct subject *s)
{
	ut_set_mem(&s->set, s->b.data, s->b.len, true);
	add_image(s);
	open_files(s);
}

static void open_recorded(struct subject *s,
			  void (*fn)(void *ctx, enum vd_file_op op, u64 pos, u64 len,
				     const void *data),
			  void *ctx)
{
	ut_set_mem(&s->set, s->b.data, s->b.len, true);
	s->set.lower[0] = s->set.files[0];
	s->set.files[0] = vd_ufile_record(s->set.lower[0], fn, ctx);
	s->set.files[0]->index = 0;
	add_image(s);
	open_files(s);
}

/* Somebody else changes 4 bytes of the file, and the cache is told to forget. */
static void poke(struct subject *s, u64 pos, u32 value)
{
	struct vd_file *file = s->set.files[0];
	u8 raw[4];

	put_unaligned_le32(value, raw);
	assert_int_equal(file->ops->write(file, pos, raw, sizeof(raw)), 0);
	vd_meta_drop(s->chain->meta, file, pos & ~511ULL, VD_SECTOR);
}

static void poke_both(struct subject *s, u64 index, u32 value)
{
	poke(s, s->gt + 4 * index, value);
	if (s->rgd)
		poke(s, ut_get_le(&s->b, s->rgd, 4) * VD_SECTOR + 4 * index, value);
}

static void done(struct subject *s)
{
	vd_log_hook = NULL;
	vd_chain_close(s->chain);
	ut_set_free(&s->set);
	ut_buf_free(&s->b);
	ut_disk_free(s->d);
}

/* --- before the first allocation --- */

static void begin_fails(struct subject *s, const char *what, const char *text)
{
	open_it(s);
	assert_int_equal(s->seg->format->begin_alloc(s->seg), -EUCLEAN);
	heard(what, text);
	assert_int_equal(vd_atomic_read(&s->set.files[0]->dirty), 0);
	done(s);
}

static void bad_tables(void **state)
{
	static const char no_table[] = "where no grain table can be: the image cannot be written";
	struct subject s;

	hosted(&s, IMG_F_RGD);
	ut_put32(&s.b, s.gd, (u32)(s.gd / VD_SECTOR));
	begin_fails(&s, "table in the directory", no_table);
	hosted(&s, IMG_F_RGD);
	ut_put32(&s.b, s.rgd, (u32)(s.b.len / VD_SECTOR) - 1);
	begin_fails(&s, "second copy past the end", no_table);
	cowd(&s, 0);
	ut_put32(&s.b, s.gd, 3);
	begin_fails(&s, "COWD table in the header", no_table);
	cowd(&s, 0);
	ut_put32(&s.b, s.gd, (u32)(s.b.len / VD_SECTOR) - 1);
	begin_fails(&s, "COWD table past the end", no_table);
}

static void bad_grains(void **state)
{
	static const char no_grain[] = "where no grain can be: the image cannot be written";
	struct subject s;

	hosted(&s, 0);
	ut_put32(&s.b, s.gt + 4, (u32)(s.gd / VD_SECTOR));
	begin_fails(&s, "grain in the directory", no_grain);
	hosted(&s, 0);
	ut_put32(&s.b, s.gt + 4 * 511, (u32)(s.b.len / VD_SECTOR));
	begin_fails(&s, "grain past the end", no_grain);
	hosted(&s, 0);
	ut_put32(&s.b, s.gt + 4, 1);
	begin_fails(&s, "entry 1 without the flag for zeros", no_grain);
	cowd(&s, 0);
	ut_put32(&s.b, s.gt + 4, 4);
	begin_fails(&s, "COWD grain in the directory", no_grain);
}

/* With data right behind the header sector 1 can be a grain's, but for its number. */
static void sector_one(void **state)
{
	struct subject s;
	u64 at;

	hosted(&s, 0);
	at = s.b.len;
	ut_put(&s.b, at, s.b.data + s.gd, VD_SECTOR);
	ut_put64(&s.b, IMG_H_GD, at / VD_SECTOR);
	ut_put64(&s.b, IMG_H_OVERHEAD, 1);
	ut_put32(&s.b, s.gt + 4, 1);
	begin_fails(&s, "sector 1", "is sector 1, where no grain can be");

	/* The same entry where the header says that it means zeros. */
	hosted(&s, IMG_F_ZERO_GTE);
	ut_put32(&s.b, s.gt + 4, 1);
	open_it(&s);
	assert_int_equal(s.seg->format->begin_alloc(s.seg), 0);
	done(&s);
}

/* A small file, a directory that names one table for each of its entries. */
static void one_table_for_all(void **state)
{
	struct img_cowd form = { 0 };
	struct subject s;
	u64 i, nr = 64;

	memset(&s, 0, sizeof(s));
	s.d = ut_disk_new(IMG_COWD_GTES * nr * VD_SECTOR, VD_SECTOR);
	ut_disk_set(s.d, 0, UT_DATA, 5);
	img_cowd_write(&form, s.d);
	s.b = form.buf;
	s.kind = VDISK_SEG_VMDK_COWD;
	for (i = 1; i < nr; i++)
		ut_put32(&s.b, form.gd * VD_SECTOR + 4 * i,
			 (u32)ut_get_le(&s.b, form.gd * VD_SECTOR, 4));
	begin_fails(&s, "one table", "more tables than the file has room for");
}

/* --- a place for a grain --- */

/* One commit may have to come first, where words of two ranks share a block. */
static int reserve(struct subject *s, u64 grain, struct vd_alloc *alloc)
{
	int ret = -EBUSY;
	u32 tries;

	for (tries = 0; ret == -EBUSY && tries < 2; tries++) {
		if (tries)
			assert_int_equal(vd_commit(s->chain), 0);
		memset(alloc, 0, sizeof(*alloc));
		ret = s->seg->format->reserve(s->seg, grain * s->d->grain, s->d->grain, alloc);
	}
	return ret;
}

static void unpin(struct subject *s, struct vd_alloc *alloc)
{
	vd_meta_unpin(s->chain->meta, &alloc->pin[0]);
	vd_meta_unpin(s->chain->meta, &alloc->pin[1]);
}

static void open_begun(struct subject *s, make_fn *make, u32 flags)
{
	make(s, flags);
	open_it(s);
	assert_int_equal(s->seg->format->begin_alloc(s->seg), 0);
}

static void reserve_fails(make_fn *make, u32 flags)
{
	struct vd_alloc alloc;
	struct subject s;

	open_begun(&s, make, flags);
	/* It has a place by now: no error. */
	assert_int_equal(reserve(&s, 0, &alloc), -EAGAIN);
	assert_int_equal(reserve(&s, 1, &alloc), 0);
	assert_true(alloc.file_pos >= s.b.len && alloc.room == s.d->grain);
	unpin(&s, &alloc);
	done(&s);

	open_begun(&s, make, flags);
	poke_both(&s, 0, (u32)(s.gd / VD_SECTOR));
	assert_int_equal(reserve(&s, 0, &alloc), -EUCLEAN);
	heard("grain in the directory", "where none can be");
	poke(&s, s.gd, (u32)(s.gd / VD_SECTOR));
	assert_int_equal(reserve(&s, 1, &alloc), -EUCLEAN);
	heard("table in the directory", "where no grain table can be");
	done(&s);
}

static void bad_at_reserve(void **state)
{
	reserve_fails(hosted, 0);
	reserve_fails(hosted, IMG_F_RGD);
	reserve_fails(hosted, IMG_F_RGD | IMG_F_ZERO_GTE);
	reserve_fails(cowd, 0);
}

/* One directory has the table and the other has none, or both have the one table. */
static void directories_disagree(void **state)
{
	static u8 buf[1024];
	struct subject s;
	u32 i;

	for (i = 0; i < 3; i++) {
		hosted(&s, IMG_F_RGD);
		if (i == 0)
			ut_put32(&s.b, s.rgd, 0);
		else if (i == 1)
			ut_put32(&s.b, s.gd, 0);
		else
			ut_put32(&s.b, s.rgd, (u32)(s.gt / VD_SECTOR));
		open_it(&s);
		assert_int_equal(vd_write(s.chain, s.d->grain, buf, sizeof(buf)), -EUCLEAN);
		heard("write", "the grain directories disagree about table 0");
		assert_int_equal(vd_discard(s.chain, 0, s.d->grain), -EUCLEAN);
		heard("discard", "the grain directories disagree about table 0");
		done(&s);
	}
}

/* --- taking a place away --- */

static void discard_fails(make_fn *make, u32 flags)
{
	struct subject s;
	u64 got;

	open_begun(&s, make, flags);
	poke_both(&s, 0, (u32)(s.gd / VD_SECTOR));
	assert_int_equal(s.seg->format->discard(s.seg, 0, s.d->grain, 0, &got), -EUCLEAN);
	heard("discard", "can be");
	/* Nobody may take the directory's place for free. */
	assert_false(vd_space_pending(s.chain, s.seg->format->space(s.seg), 0, s.d->size));
	done(&s);

	open_begun(&s, make, flags);
	poke(&s, s.gd, (u32)(s.gd / VD_SECTOR));
	assert_int_equal(s.seg->format->discard(s.seg, 2 * s.d->grain, s.d->grain, 0, &got),
			 -EUCLEAN);
	heard("discard", "where no grain table can be");
	done(&s);
}

static void bad_at_discard(void **state)
{
	discard_fails(hosted, 0);
	discard_fails(hosted, IMG_F_RGD);
	discard_fails(hosted, IMG_F_RGD | IMG_F_ZERO_GTE);
	discard_fails(cowd, 0);
}

static void count_changes(void *ctx, enum vd_file_op op, u64 pos, u64 len, const void *data)
{
	struct subject *s = ctx;

	s->hits += op != VD_OP_READ && op != VD_OP_FLUSH;
}

/* What reads zeros already costs no write, no table and no pinned block. */
static void nothing_to_discard(make_fn *make, u32 flags)
{
	struct vd_meta_pin pin[IMG_META_BLOCKS];
	struct subject s;
	u64 got;

	make(&s, flags);
	open_recorded(&s, count_changes, &s);
	assert_int_equal(s.seg->format->begin_alloc(s.seg), 0);
	s.hits = 0;
	/* No table, then a table with nothing in these entries. */
	assert_int_equal(s.seg->format->discard(s.seg, s.gtes * s.d->grain, 4096, 0, &got), 0);
	assert_true(got == 4096);
	assert_int_equal(s.seg->format->discard(s.seg, 3 * s.d->grain, 4096, 0, &got), 0);
	assert_true(got == 4096);
	assert_int_equal(vd_flush(s.chain), 0);
	assert_int_equal(s.hits, 0);
	/* Had it been pinned, its place would have been secured by then. */
	assert_int_equal(vd_meta_pin(s.chain->meta, s.set.files[0], s.gt, 4, 2, &pin[0]), 0);
	assert_int_equal(s.hits, 1);
	vd_meta_unpin(s.chain->meta, &pin[0]);
	done(&s);
}

static void no_work(void **state)
{
	nothing_to_discard(hosted, 0);
	nothing_to_discard(hosted, IMG_F_RGD);
	nothing_to_discard(hosted, IMG_F_RGD | IMG_F_ZERO_GTE);
	nothing_to_discard(cowd, 0);
}

/* The mark of somebody who died stays when we have ended. */
static void mark_of_others(void **state)
{
	static const u8 bytes[1024];
	struct subject s;
	const u8 *data;
	size_t len;
	u32 i;

	for (i = 0; i < 4; i++) {
		u32 at = i < 2 ? IMG_H_UNCLEAN : 1648;	/* uncleanShutdown of COWD */

		if (i < 2)
			hosted(&s, IMG_F_RGD);
		else
			cowd(&s, 0);
		s.b.data[at] = i % 2;
		open_it(&s);
		assert_int_equal(vd_write(s.chain, s.d->grain, bytes, sizeof(bytes)), 0);
		data = vd_ufile_mem_data(s.set.files[0], &len);
		assert_int_equal(data[at], 1);
		assert_int_equal(vd_end_write(s.chain), 0);
		data = vd_ufile_mem_data(s.set.files[0], &len);
		assert_int_equal(data[at], i % 2);
		done(&s);
	}
}

/* --- the map --- */

/* A table that begins inside the file and ends past it, though the entry is there. */
static void table_over_the_end(void **state)
{
	struct vd_extent ext;
	struct subject s;
	u32 i;

	for (i = 0; i < 3; i++) {
		if (i < 2)
			hosted(&s, i ? IMG_F_RGD : 0);
		else
			cowd(&s, 0);
		ut_buf_size(&s.b, s.b.len + VD_SECTOR);
		ut_put32(&s.b, s.gd, (u32)(s.b.len / VD_SECTOR) - 1);
		if (s.rgd)
			ut_put32(&s.b, s.rgd, (u32)(s.b.len / VD_SECTOR) - 1);
		open_it(&s);
		assert_int_equal(vd_map(s.chain, 0, 1024, 0, &ext), -EUCLEAN);
		heard("map", "where no grain table can be");
		done(&s);
	}
}

/* --- the end of what can be named --- */

static void far_begin(struct subject *s, struct ut_far *far, u64 high_pos, u64 size)
{
	ut_set_file(&s->set, ut_far_open(far, &s->b, high_pos, size));
	add_image(s);
	open_files(s);
	assert_int_equal(s->seg->format->begin_alloc(s->seg), 0);
}

static void far_done(struct subject *s, struct ut_far *far)
{
	vd_log_hook = NULL;
	vd_chain_close(s->chain);
	ut_buf_free(&far->high);
	ut_buf_free(&s->b);
	ut_disk_free(s->d);
}

/* A grain in the last sector of 2 TiB: nothing goes behind, and freeSector does not wrap. */
static void last_sector(void **state)
{
	struct vd_alloc alloc;
	struct ut_far far;
	struct subject s;

	cowd(&s, 0);
	ut_put32(&s.b, s.gt, U32_MAX);
	ut_put32(&s.b, 28, U32_MAX);
	far_begin(&s, &far, TIB2 - VD_SECTOR, TIB2);
	assert_int_equal(reserve(&s, 1, &alloc), -ENOSPC);
	assert_int_equal(s.seg->format->end_write(s.seg), 0);
	assert_true(ut_get_le(&s.b, 28, 4) == U32_MAX);
	far_done(&s, &far);
}

/* The last grain that freeSector can stand behind, and none after it. */
static void last_grain(void **state)
{
	u64 last = ((u64)U32_MAX << VD_SECTOR_SHIFT) / 1024 * 1024 - 1024;
	struct vd_alloc alloc;
	struct ut_far far;
	struct subject s;

	cowd(&s, 0);
	ut_put32(&s.b, s.gt, (u32)(last / VD_SECTOR) - 2);
	far_begin(&s, &far, last - 1024, last);
	assert_int_equal(reserve(&s, 1, &alloc), 0);
	assert_true(alloc.file_pos == last);
	unpin(&s, &alloc);
	assert_int_equal(reserve(&s, 3, &alloc), -ENOSPC);
	assert_int_equal(vd_commit(s.chain), 0);
	assert_int_equal(s.seg->format->end_write(s.seg), 0);
	assert_true(ut_get_le(&s.b, 28, 4) == (last + 1024) / VD_SECTOR);
	far_done(&s, &far);
}

/* --- the end of the file --- */

static struct {
	struct vd_file_ops ops;
	const struct vd_file_ops *whole;
} full;

/* Gets half of the way. */
static int full_allocate(struct vd_file *file, u64 pos, u64 len)
{
	u64 size = 0;

	assert_int_equal(full.whole->size(file, &size), 0);
	if (pos + len <= size)
		return full.whole->allocate(file, pos, len);
	full.whole->truncate(file, size + (pos + len - size) / 2);
	return -ENOSPC;
}

/*
 * The file ends in a sector that a guest has written since: no attempt to grow that
 * fails takes that away, and none keeps what it got.
 */
static void tail_is_kept(void **state)
{
	u8 mine[VD_SECTOR], got[VD_SECTOR];
	struct subject s;
	u64 size = 0;

	hosted(&s, IMG_F_RGD);
	ut_buf_size(&s.b, s.b.len - VD_SECTOR - 488);
	open_it(&s);
	memset(mine, 0xab, sizeof(mine));
	assert_int_equal(vd_write(s.chain, 2 * s.d->grain, mine, sizeof(mine)), 0);
	assert_int_equal(vd_flush(s.chain), 0);

	full.whole = s.set.files[0]->ops;
	full.ops = *full.whole;
	full.ops.allocate = full_allocate;
	full.ops.extend = full_allocate;
	s.set.files[0]->ops = &full.ops;
	assert_int_equal(vd_write(s.chain, 8 * s.d->grain, mine, sizeof(mine)), -ENOSPC);
	assert_int_equal(vd_read(s.chain, NULL, 2 * s.d->grain, got, sizeof(got)), 0);
	ut_same(got, mine, 2 * s.d->grain, sizeof(got), "after a write without space");
	assert_int_equal(full.whole->size(s.set.files[0], &size), 0);
	assert_true(size == s.b.len + 488);
	assert_int_equal(vd_end_write(s.chain), 0);
	assert_int_equal(vd_read(s.chain, NULL, 2 * s.d->grain, got, sizeof(got)), 0);
	ut_same(got, mine, 2 * s.d->grain, sizeof(got), "at the end");
	s.set.files[0]->ops = full.whole;
	done(&s);
}

/*
 * What somebody else has appended to the file meanwhile is not the rest of a new grain,
 * though a file may know no way to zero it.
 */
static void appended_meanwhile(void **state)
{
	u8 mine[VD_SECTOR], others[8192], got[1024], want[1024] = { 0 };
	const struct vd_file_ops *ops;
	struct subject s;
	u64 size = 0;

	hosted(&s, IMG_F_RGD);
	open_it(&s);
	memset(mine, 0xab, sizeof(mine));
	memset(others, 0xee, sizeof(others));
	ops = s.set.files[0]->ops;
	full.ops = *ops;
	full.ops.extend = NULL;
	s.set.files[0]->ops = &full.ops;
	assert_int_equal(ops->size(s.set.files[0], &size), 0);
	assert_int_equal(ops->write(s.set.files[0], size, others, sizeof(others)), 0);
	assert_int_equal(vd_write(s.chain, 8 * s.d->grain, mine, sizeof(mine)), 0);
	memcpy(want, mine, sizeof(mine));
	assert_int_equal(vd_read(s.chain, NULL, 8 * s.d->grain, got, sizeof(got)), 0);
	ut_same(got, want, 8 * s.d->grain, sizeof(got), "where somebody else has appended");
	s.set.files[0]->ops = ops;
	done(&s);
}

/* Just before the file grows to @end: after every look at its size. */
static void append_others(struct vd_file *file, u64 end)
{
	u8 others[8192];
	u64 size = 0;

	memset(others, 0xee, sizeof(others));
	assert_int_equal(full.whole->size(file, &size), 0);
	if (end > size)
		assert_int_equal(full.whole->write(file, size, others, sizeof(others)), 0);
}

static int append_and_allocate(struct vd_file *file, u64 pos, u64 len)
{
	append_others(file, pos + len);
	return full.whole->allocate(file, pos, len);
}

static int append_and_extend(struct vd_file *file, u64 pos, u64 len)
{
	append_others(file, pos + len);
	return full.whole->extend(file, pos, len);
}

static void appended_at_the_last_moment(void **state)
{
	u8 mine[VD_SECTOR], got[1024], want[1024] = { 0 };
	struct subject s;

	hosted(&s, IMG_F_RGD);
	open_it(&s);
	memset(mine, 0xab, sizeof(mine));
	full.whole = s.set.files[0]->ops;
	full.ops = *full.whole;
	full.ops.allocate = append_and_allocate;
	full.ops.extend = append_and_extend;
	s.set.files[0]->ops = &full.ops;
	assert_int_equal(vd_write(s.chain, 8 * s.d->grain, mine, sizeof(mine)), 0);
	memcpy(want, mine, sizeof(mine));
	assert_int_equal(vd_read(s.chain, NULL, 8 * s.d->grain, got, sizeof(got)), 0);
	ut_same(got, want, 8 * s.d->grain, sizeof(got), "where somebody else has appended");
	s.set.files[0]->ops = full.whole;
	done(&s);
}

/*
 * Two grains at one place, which is free twice once both are gone. Whoever gets it
 * the second time keeps it: the next new place is behind it.
 */
static void freed_twice(void **state)
{
	u8 mine[1024], other[1024], got[1024];
	struct subject s;
	u32 copy;

	hosted(&s, IMG_F_RGD);
	for (copy = 0; copy < 2; copy++) {
		u64 gt = ut_get_le(&s.b, copy ? s.rgd : s.gd, 4) * VD_SECTOR;

		ut_put32(&s.b, gt + 4 * 3, (u32)ut_get_le(&s.b, gt + 4 * 2, 4));
	}
	open_it(&s);
	assert_int_equal(vd_discard(s.chain, 2 * s.d->grain, 2 * s.d->grain), 0);
	assert_int_equal(vd_end_write(s.chain), 0);
	memset(mine, 0xab, sizeof(mine));
	memset(other, 0xcd, sizeof(other));
	assert_int_equal(vd_write(s.chain, 8 * s.d->grain, mine, sizeof(mine)), 0);
	assert_int_equal(vd_write(s.chain, 9 * s.d->grain, other, sizeof(other)), 0);
	assert_int_equal(vd_end_write(s.chain), 0);
	assert_int_equal(vd_read(s.chain, NULL, 8 * s.d->grain, got, sizeof(got)), 0);
	ut_same(got, mine, 8 * s.d->grain, sizeof(got), "at the place that was free twice");
	done(&s);
}

/* --- the end of writing --- */

static struct {
	struct vd_chain *chain;
	struct vd_alloc alloc;
	u32 flushes;
	u32 when;	/* 0: never */
	bool on;
} late;

static void publish_late(void *ctx, enum vd_file_op op, u64 pos, u64 len, const void *data)
{
	static const u8 bytes[1024];

	if (!late.on || op != VD_OP_FLUSH || ++late.flushes != late.when)
		return;
	late.on = false;
	assert_int_equal(vd_file_write(late.alloc.file, late.alloc.file_pos, bytes, 1024), 0);
	vd_publish(late.chain, &late.alloc);
}

/* One publishes at the @when'th flush of the end: that is over by then, or refused. */
static void end_with_token(u32 when)
{
	struct subject s;
	const u8 *data;
	size_t len;
	int ret;

	hosted(&s, IMG_F_RGD);
	memset(&late, 0, sizeof(late));
	open_recorded(&s, publish_late, NULL);
	late.chain = s.chain;
	/* Something for the commits to do. */
	assert_int_equal(vd_discard(s.chain, 0, s.d->grain), 0);
	assert_int_equal(vd_reserve(s.chain, 8 * s.d->grain, s.d->grain, &late.alloc, NULL), 0);
	late.when = when;
	late.on = true;
	ret = vd_end_write(s.chain);
	data = vd_ufile_mem_data(s.set.lower[0], &len);
	assert_true(ret == 0 || ret == -EBUSY);
	assert_int_equal(data[IMG_H_UNCLEAN], ret ? 1 : 0);
	if (!ret)
		assert_true(vd_clean(s.chain));
	if (late.on) {
		late.when = ++late.flushes + 1;
		publish_late(NULL, VD_OP_FLUSH, 0, 0, NULL);
	}
	assert_int_equal(vd_end_write(s.chain), 0);
	assert_true(vd_clean(s.chain));
	done(&s);
}

static void published_at_the_end(void **state)
{
	u32 when;

	for (when = 1; when < 8; when++)
		end_with_token(when);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_tables),
		cmocka_unit_test(bad_grains),
		cmocka_unit_test(sector_one),
		cmocka_unit_test(one_table_for_all),
		cmocka_unit_test(bad_at_reserve),
		cmocka_unit_test(directories_disagree),
		cmocka_unit_test(bad_at_discard),
		cmocka_unit_test(no_work),
		cmocka_unit_test(mark_of_others),
		cmocka_unit_test(table_over_the_end),
		cmocka_unit_test(last_sector),
		cmocka_unit_test(last_grain),
		cmocka_unit_test(tail_is_kept),
		cmocka_unit_test(appended_meanwhile),
		cmocka_unit_test(appended_at_the_last_moment),
		cmocka_unit_test(freed_twice),
		cmocka_unit_test(published_at_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
