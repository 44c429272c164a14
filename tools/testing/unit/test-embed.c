// SPDX-License-Identifier: GPL-2.0-only
/*
 * A descriptor inside an extent is replaced: whatever part of the writes since the last
 * flush reaches the disk, there is the old text or the new one, nothing else has
 * changed, and another try ends well. The judge itself is tried on two ways to do it
 * wrongly.
 */
#include "img-sparse.h"
#include "ut-layout.h"
#include "ut-tape.h"
#include "../../../formats-common/vmdk/embed.h"

/* --- texts --- */

/* A descriptor of exactly @len bytes; @cid tells them apart. */
static char *text_of(u32 cid, u32 len, u64 sectors)
{
	char *text = ut_xalloc(len + 1);
	u32 n;

	n = (u32)snprintf(text, len + 1,
			  "# Disk DescriptorFile\nversion=1\nCID=%08x\nparentCID=ffffffff\n"
			  "createType=\"monolithicSparse\"\nRW %llu SPARSE \"disk.vmdk\"\n", cid,
			  (unsigned long long)sectors);
	assert_true(n <= len);
	for (; n < len; n++)
		text[n] = n % 61 ? (char)('a' + (n + cid) % 26) : '\n';
	/* Lines of filling are comments. */
	for (n = (u32)(strstr(text, "vmdk\"\n") - text) + 6; n < len; n++)
		if (text[n - 1] == '\n')
			text[n] = '#';
	return text;
}

/* --- files --- */

/**
 * struct trial - one replacement
 * @old, @new: texts
 * @image: the file before
 * @home, @room: bytes of the place of its descriptor
 * @fixed: the file cannot grow
 */
struct trial {
	char *old;
	char *new;
	struct ut_buf image;
	u64 home;
	u64 room;
	bool fixed;
};

#define DISK_BYTES (16 * UT_KIB)

static void trial_init(struct trial *t, u32 old_len, u32 new_len, bool stream)
{
	struct ut_disk *d = ut_disk_new(DISK_BYTES, 4096);
	struct img_stream st = { .footer = true, .level = 6 };
	struct img_sparse s = { .flags = IMG_F_RGD };

	memset(t, 0, sizeof(*t));
	ut_disk_set(d, 0, UT_DATA, 1);
	ut_disk_set(d, 2, UT_DATA, 2);
	t->old = text_of(0x01d01d01, old_len, DISK_BYTES / VD_SECTOR);
	t->new = text_of(0x2e72e72e, new_len, DISK_BYTES / VD_SECTOR);
	s.descriptor = t->old;
	st.s.descriptor = t->old;
	if (stream)
		img_stream_write(&st, d);
	else
		img_sparse_write(&s, d);
	t->image = stream ? st.s.buf : s.buf;
	t->home = ut_get_le(&t->image, IMG_H_DESC, 8) * VD_SECTOR;
	t->room = ut_get_le(&t->image, IMG_H_DESC_SIZE, 8) * VD_SECTOR;
	ut_disk_free(d);
}

static void trial_free(struct trial *t)
{
	free(t->old);
	free(t->new);
	ut_buf_free(&t->image);
}

static struct vd_file *file_of(const struct trial *t, const struct ut_buf *b)
{
	struct vd_file *file = vd_ufile_mem(b->data, b->len, true);

	assert_non_null(file);
	file->fixed = t->fixed;
	return file;
}

static struct ut_buf buf_of(const struct vd_file *file)
{
	struct ut_buf b = { 0 };
	size_t len;
	const void *data = vd_ufile_mem_data(file, &len);

	ut_put(&b, 0, data, len);
	return b;
}

/* --- the judge --- */

/* The text in force, by the header's two fields alone; NULL: none. */
static const char *text_in(const struct ut_buf *b)
{
	u64 pos = ut_get_le(b, IMG_H_DESC, 8) * VD_SECTOR;
	u64 len = ut_get_le(b, IMG_H_DESC_SIZE, 8) * VD_SECTOR;

	if (pos + len > b->len || !memchr(b->data + pos, 0, len))
		return NULL;
	return (const char *)b->data + pos;
}

/* Apart from the place of the descriptor and the header's fields for it. */
static bool rest_is_same(const struct trial *t, const struct ut_buf *b)
{
	const struct ut_buf *a = &t->image;
	u64 end = t->home + t->room;

	return b->len >= a->len && !memcmp(a->data, b->data, IMG_H_DESC) &&
	       !memcmp(a->data + IMG_H_GTES, b->data + IMG_H_GTES, t->home - IMG_H_GTES) &&
	       !memcmp(a->data + end, b->data + end, a->len - end);
}

static bool layout_agrees(const struct ut_buf *b, const char *text)
{
	struct vd_layout *l;
	struct vd_error err;
	char cid[16];
	bool yes;

	if (ut_layout(b->data, b->len, &l, &err))
		return false;
	snprintf(cid, sizeof(cid), "CID=%08x\n", l->cid);
	yes = strstr(text, cid) && l->props.size == DISK_BYTES;
	vd_free(l);
	return yes;
}

static bool at_home(const struct trial *t, const struct ut_buf *b)
{
	return !memcmp(t->image.data + IMG_H_DESC, b->data + IMG_H_DESC, 16);
}

/* Another try: the new text in its place, the header as it was, no longer than before. */
static bool ends_well(const struct trial *t, const struct ut_buf *b, const char *text)
{
	struct vd_file *file = file_of(t, b);
	struct vd_error err = { 0 };
	struct ut_buf after;
	u64 most = at_home(t, b) ? b->len : t->image.len;
	bool yes;

	yes = !vmdk_embed_replace(file, text, (u32)strlen(text), &err);
	after = buf_of(file);
	yes = yes && at_home(t, &after) && rest_is_same(t, &after) && after.len <= most &&
	      !strcmp((char *)after.data + t->home, text) && file->size == after.len;
	vd_ufile_free(file);
	ut_buf_free(&after);
	return yes;
}

static bool state_good(const struct trial *t, const struct ut_buf *b)
{
	const char *text = text_in(b);

	return text && (!strcmp(text, t->old) || !strcmp(text, t->new)) &&
	       layout_agrees(b, text) && rest_is_same(t, b) && ends_well(t, b, t->new) &&
	       ends_well(t, b, t->old);
}

/* --- what a power cut leaves --- */

/**
 * struct verdict - of all states that were tried
 * @old, @new, @moved: good ones with the old text, the new one, in the second place
 */
struct verdict {
	const struct trial *t;
	u64 states;
	u64 bad;
	u64 old;
	u64 new;
	u64 moved;
};

static void judge(void *ctx, const struct ut_buf *b)
{
	struct verdict *v = ctx;

	v->states++;
	if (!state_good(v->t, b)) {
		v->bad++;
	} else {
		v->old += !strcmp(text_in(b), v->t->old);
		v->new += !strcmp(text_in(b), v->t->new);
		v->moved += !at_home(v->t, b);
	}
}

typedef int (*replacer)(struct vd_file *file, const char *text, u32 len, struct vd_error *err);

static struct verdict run_recorded(const struct trial *t, replacer replace, bool no_flush)
{
	struct tape tape = { .no_flush = no_flush };
	struct vd_file *mem = file_of(t, &t->image);
	struct vd_file *file = vd_ufile_record(mem, tape_fn, &tape);
	struct vd_error err = { 0 };
	struct verdict v = { .t = t };
	int ret;

	assert_non_null(file);
	file->fixed = t->fixed;
	ret = replace(file, t->new, (u32)strlen(t->new), &err);
	if (ret)
		fail_msg("%d %s", ret, err.text);
	assert_true(tape.nr > 0);
	assert_true(no_flush || tape.ops[tape.nr - 1].op == VD_OP_FLUSH);
	tape_walk(&tape, &t->image, judge, &v);
	tape_free(&tape);
	vd_ufile_free(file);
	vd_ufile_free(mem);
	return v;
}

/* @moves: is a second place needed? */
static void survives(u32 old_len, u32 new_len, bool stream, bool moves, u32 odd)
{
	struct trial t;
	struct verdict v;

	trial_init(&t, old_len, new_len, stream);
	if (odd)
		ut_buf_size(&t.image, t.image.len - odd);
	v = run_recorded(&t, vmdk_embed_replace, false);
	if (v.bad)
		fail_msg("%llu of %llu states are bad", (unsigned long long)v.bad,
			 (unsigned long long)v.states);
	assert_true(v.old > 0);
	assert_true(v.new > 0);
	assert_int_equal(v.moved > 0, moves);
	trial_free(&t);
}

static void one_sector(void **state)
{
	survives(400, 400, false, false, 0);
	survives(300, 500, false, false, 0);
	survives(500, 300, false, false, 0);
	survives(400, 400, true, false, 0);
}

static void several_sectors(void **state)
{
	survives(900, 900, false, true, 0);
	survives(400, 1400, false, true, 0);
	survives(1400, 400, false, true, 0);
	survives(1400, 1500, true, true, 0);
	/* The old one, the new one and the record take the place to the last sector. */
	survives(4600, 4600, false, true, 0);
}

static void sector_ends(void **state)
{
	survives(512, 512, false, false, 0);
	survives(511, 512, false, false, 0);
	survives(512, 511, false, false, 0);
	survives(1024, 1024, false, true, 0);
	survives(512, 1024, false, true, 0);
}

/* No room for both inside: the second place is past the end of the file. */
static void appended(void **state)
{
	survives(4600, 5200, false, true, 0);
	survives(5000, 10000, false, true, 0);
	survives(10239, 10239, false, true, 0);
	survives(6000, 6001, false, true, 100);
}

/* --- the judge sees what is wrong --- */

static int replace_in_place(struct vd_file *file, const char *text, u32 len, struct vd_error *err)
{
	int ret;

	ret = vd_file_write(file, VD_SECTOR, text, len + 1);
	return ret ? ret : vd_file_flush(file);
}

static void control(void **state)
{
	struct trial t;

	trial_init(&t, 900, 900, false);
	assert_true(run_recorded(&t, replace_in_place, false).bad > 0);
	assert_true(run_recorded(&t, vmdk_embed_replace, true).bad > 0);
	trial_free(&t);
}

/* --- operations that fail --- */

/* Operation @at fails; false: there are not so many. */
static bool fails_well(const struct trial *t, long at, bool sticky)
{
	struct vd_fault fault = { .countdown = at, .sticky = sticky, .error = EIO };
	struct vd_file *mem = file_of(t, &t->image);
	struct vd_file *file = vd_ufile_fault(mem, &fault);
	struct vd_error err = { 0 };
	struct ut_buf after;
	int ret;

	assert_non_null(file);
	ret = vmdk_embed_replace(file, t->new, (u32)strlen(t->new), &err);
	after = buf_of(mem);
	if (!state_good(t, &after))
		fail_msg("operation %ld fails: the file is bad", at);
	if (fault.fired) {
		assert_int_equal(ret, -EIO);
		assert_true(err.text[0]);
	} else {
		assert_int_equal(ret, 0);
		assert_string_equal(text_in(&after), t->new);
	}
	ut_buf_free(&after);
	vd_ufile_free(file);
	vd_ufile_free(mem);
	return fault.fired;
}

static void faults(void **state)
{
	static const u32 lens[][2] = { { 400, 400 }, { 900, 1400 }, { 6000, 6000 } };
	struct trial t;
	long at;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		trial_init(&t, lens[i][0], lens[i][1], false);
		for (at = 1; fails_well(&t, at, false); at++)
			;
		assert_true(at > 4);
		for (at = 1; fails_well(&t, at, true); at++)
			;
		trial_free(&t);
	}
}

static void no_memory(void **state)
{
	struct vd_error err = { 0 };
	struct ut_buf after;
	struct trial t;
	long at;
	int ret;

	trial_init(&t, 900, 1400, false);
	for (at = 1;; at++) {
		struct vd_file *file = file_of(&t, &t.image);

		ut_alloc_start(at, false);
		ret = vmdk_embed_replace(file, t.new, 1400, &err);
		ut_alloc_stop();
		after = buf_of(file);
		assert_int_equal(ret, ut_alloc.failed ? -ENOMEM : 0);
		assert_true(state_good(&t, &after));
		ut_buf_free(&after);
		vd_ufile_free(file);
		if (!ut_alloc.failed)
			break;
	}
	assert_true(at > 4);
	trial_free(&t);
}

/* --- refused, nothing changed --- */

static void refuses(const struct trial *t, const char *text, u32 len, int code, const char *word)
{
	struct vd_file *file = file_of(t, &t->image);
	struct vd_error err = { 0 };
	struct ut_buf after;

	assert_int_equal(vmdk_embed_replace(file, text, len, &err), code);
	if (!strstr(err.text, word))
		fail_msg("no '%s' in: %s", word, err.text);
	after = buf_of(file);
	assert_true(after.len == t->image.len);
	assert_memory_equal(after.data, t->image.data, after.len);
	ut_buf_free(&after);
	vd_ufile_free(file);
}

static void refused(void **state)
{
	char *long_text = text_of(1, 10240, DISK_BYTES / VD_SECTOR);
	char *large = text_of(1, 400, DISK_BYTES / VD_SECTOR + 1);
	static const char noise[] = "not a descriptor";
	struct trial t;

	trial_init(&t, 400, 400, false);
	refuses(&t, long_text, 10240, -E2BIG, "10239");
	refuses(&t, noise, sizeof(noise) - 1, -EUCLEAN, "neither");
	refuses(&t, large, 400, -EUCLEAN, "sectors");
	refuses(&t, t.new, 401, -EINVAL, "NUL");
	trial_free(&t);

	/* What cannot grow, and what must not. */
	trial_init(&t, 6000, 6000, false);
	t.fixed = true;
	refuses(&t, t.new, 6000, -ENOSPC, "safely");
	trial_free(&t);
	trial_init(&t, 6000, 6000, true);
	refuses(&t, t.new, 6000, -ENOSPC, "safely");
	trial_free(&t);

	/* A descriptor among the grains could be anything's neighbour. */
	trial_init(&t, 6000, 6000, false);
	ut_put64(&t.image, IMG_H_OVERHEAD, 20);
	refuses(&t, t.new, 6000, -ENOSPC, "safely");
	ut_put64(&t.image, IMG_H_DESC_SIZE, 0);
	refuses(&t, t.new, 6000, -EOPNOTSUPP, "no descriptor");
	ut_put64(&t.image, 0, 0);
	refuses(&t, t.new, 6000, -EUCLEAN, "magic");
	trial_free(&t);
	free(long_text);
	free(large);
}

static void same_text(void **state)
{
	struct vd_error err = { 0 };
	struct vd_file *file;
	struct trial t;
	char *text;
	u32 len;

	trial_init(&t, 900, 900, false);
	file = file_of(&t, &t.image);
	assert_int_equal(vmdk_embed_read(file, &text, &len, &err), 0);
	assert_int_equal(len, 900);
	assert_string_equal(text, t.old);
	file->writable = false;	/* nothing is written */
	assert_int_equal(vmdk_embed_replace(file, text, len, &err), 0);
	vd_free(text);
	vd_ufile_free(file);
	ut_put64(&t.image, IMG_H_DESC, 0);
	file = file_of(&t, &t.image);
	assert_int_equal(vmdk_embed_read(file, &text, &len, &err), -EOPNOTSUPP);
	assert_null(text);
	vd_ufile_free(file);
	trial_free(&t);
}

/* --- what a record may say --- */

/* The state after step 2, with the second place past the end. */
static struct ut_buf moved_state(const struct trial *t)
{
	u32 len = (u32)strlen(t->new);
	u64 at = t->image.len / VD_SECTOR, size = len / VD_SECTOR + 2;
	struct ut_buf b = tape_copy(&t->image);
	u64 record = (at + size - 1) * VD_SECTOR;

	ut_put(&b, at * VD_SECTOR, t->new, len + 1);
	ut_put(&b, record, "\nvdisk: moved \n\n", 16);
	ut_put64(&b, record + 16, at);
	ut_put64(&b, record + 24, 1);
	ut_put64(&b, record + 32, 20);
	ut_put64(&b, record + 40, t->image.len);
	ut_put8(&b, record + 511, 0);
	ut_put64(&b, IMG_H_DESC, at);
	ut_put64(&b, IMG_H_DESC_SIZE, size);
	return b;
}

/* Somebody went on writing behind it: that stays. */
static void grown_meanwhile(void **state)
{
	struct vd_error err = { 0 };
	struct ut_buf b, after;
	struct vd_file *file;
	struct trial t;
	u64 end;

	trial_init(&t, 6000, 6000, false);
	b = moved_state(&t);
	assert_true(state_good(&t, &b));
	end = b.len;
	ut_put(&b, end, "grain", 6);
	file = file_of(&t, &b);
	assert_int_equal(vmdk_embed_replace(file, t.new, 6000, &err), 0);
	after = buf_of(file);
	assert_true(after.len == b.len);
	assert_true(file->size == b.len);
	assert_string_equal((char *)after.data + end, "grain");
	assert_true(at_home(&t, &after));
	assert_true(rest_is_same(&t, &after));
	ut_buf_free(&after);
	ut_buf_free(&b);
	vd_ufile_free(file);
	trial_free(&t);
}

/**
 * struct lie - in a record
 * @at: byte of the record; @value: what stands there then
 */
static const struct lie {
	const char *what;
	u32 at;
	u64 value;
} lies[] = {
	{ "another magic", 0, 0 },
	{ "of another place", 16, 1 },
	{ "home is the header", 24, 0 },
	{ "home reaches into the directory", 32, 21 },
	{ "home ends among the grains", 32, 40 },
	{ "home wraps", 24, 1ULL << 60 },
	{ "home's size wraps", 32, 1ULL << 60 },
	{ "home is nothing", 32, 0 },
	{ "the file ended inside its tables", 40, 512 },
	{ "the file ended behind the second place", 40, 1ULL << 40 },
	{ "inside of what it is not in", 40, 0 },
};

/* Such a record is none: the place that the header names is the descriptor's. */
static void lying_records(void **state)
{
	struct vd_error err = { 0 };
	struct ut_buf b, after;
	struct vd_file *file;
	struct trial t;
	u64 second;
	u32 i;

	trial_init(&t, 400, 400, false);
	for (i = 0; i < ARRAY_SIZE(lies); i++) {
		b = moved_state(&t);
		second = ut_get_le(&b, IMG_H_DESC, 8) * VD_SECTOR;
		ut_put64(&b, b.len - VD_SECTOR + lies[i].at, lies[i].value);
		file = file_of(&t, &b);
		assert_int_equal(vmdk_embed_replace(file, t.old, 400, &err), 0);
		after = buf_of(file);
		if (after.len != b.len || memcmp(after.data, b.data, second))
			fail_msg("%s: was believed", lies[i].what);
		assert_string_equal(text_in(&after), t.old);
		ut_buf_free(&after);
		ut_buf_free(&b);
		vd_ufile_free(file);
	}
	trial_free(&t);
}

/* A text that runs into its record cannot be put home. */
static void no_end(void **state)
{
	struct vd_error err = { 0 };
	struct ut_buf b;
	struct vd_file *file;
	struct trial t;
	u64 at;

	trial_init(&t, 400, 400, false);
	b = moved_state(&t);
	for (at = t.image.len; at < b.len - VD_SECTOR; at++)
		if (!b.data[at])
			b.data[at] = '#';
	file = file_of(&t, &b);
	assert_int_equal(vmdk_embed_replace(file, t.old, 400, &err), -EUCLEAN);
	assert_non_null(strstr(err.text, "no end"));
	vd_ufile_free(file);
	ut_buf_free(&b);
	trial_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_sector),	cmocka_unit_test(several_sectors),
		cmocka_unit_test(sector_ends),	cmocka_unit_test(appended),
		cmocka_unit_test(control),	cmocka_unit_test(faults),
		cmocka_unit_test(no_memory),	cmocka_unit_test(refused),
		cmocka_unit_test(same_text),	cmocka_unit_test(grown_meanwhile),
		cmocka_unit_test(lying_records), cmocka_unit_test(no_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
