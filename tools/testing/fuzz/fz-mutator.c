// SPDX-License-Identifier: GPL-2.0-only
/*
 * From one input to the next. A third are changes of bytes that know nothing; the
 * others change one part of an input and leave it an input: a field of an image
 * (mutate.c), the tables, what happens beside, or the bytes of one run.
 */
#include "fz.h"
#include "fz-mutator.h"
#include "mutate.h"

#define VIEW_BYTES	(128U << 10)	/* of a file, from its begin */
#define WIRE_BYTES	(2U << 20)

static struct fz_input in, other;
static u8 view_bytes[FZ_FILES][VIEW_BYTES];
static u8 run_bytes[VIEW_BYTES];
static u8 wire[WIRE_BYTES];

/* A part of the runs can be replaced while this many are there. */
static struct fz_run runs[FZ_MAX_RUNS];

__attribute__((weak)) bool fz_input_is_text(void)
{
	return false;
}

/* --- files --- */

static void load_view(struct fz_view *v)
{
	u32 i, r;

	memset(v, 0, sizeof(*v));
	v->nr = min_t(u32, in.ctl.nr_files, FZ_FILES);
	for (i = 0; i < v->nr; i++) {
		const struct fz_member *m = &in.files[i];
		struct fz_view_file *f = &v->file[i];

		f->data = view_bytes[i];
		f->room = VIEW_BYTES;
		f->len = min_t(u64, m->size, VIEW_BYTES);
		memset(f->data, 0, VIEW_BYTES);
		for (r = m->first_run; r < m->first_run + m->nr_runs; r++) {
			const struct fz_run *run = &in.runs[r];

			if (run->pos < f->len && run->len)
				memcpy(f->data + run->pos, run->data,
				       min_t(u64, run->len, f->len - run->pos));
		}
	}
}

/* Runs of the old file @m that lie behind what the view shows, in whole or in part. */
static void keep_tail(struct fz_member *m, const struct fz_run *old, u32 nr, u64 seen)
{
	u32 r, cut;

	for (r = 0; r < nr && in.nr_runs < FZ_MAX_RUNS; r++) {
		if (old[r].pos + old[r].len <= seen)
			continue;
		cut = old[r].pos < seen ? (u32)(seen - old[r].pos) : 0;
		in.runs[in.nr_runs++] = (struct fz_run){ old[r].pos + cut, old[r].len - cut,
							 old[r].data + cut };
		m->nr_runs++;
	}
}

static void store_view(const struct fz_view *v)
{
	u32 i, nr;

	memcpy(runs, in.runs, in.nr_runs * sizeof(runs[0]));
	in.nr_runs = 0;
	for (i = 0; i < in.ctl.nr_files; i++) {
		struct fz_member *m = &in.files[i];
		const struct fz_run *old = runs + m->first_run;

		nr = m->nr_runs;
		m->first_run = in.nr_runs;
		m->nr_runs = 0;
		if (i < v->nr) {
			fz_input_add_bytes(&in, i, 0, v->file[i].data, v->file[i].len);
			if (m->size <= VIEW_BYTES)
				m->size = v->file[i].len;
			else
				keep_tail(m, old, nr, v->file[i].len);
		} else {
			keep_tail(m, old, nr, 0);
		}
	}
}

static void change_fields(struct ut_rng *rng)
{
	struct fz_view v;
	u32 n;

	load_view(&v);
	for (n = 1 + (u32)ut_below(rng, 3); n; n--)
		fz_mutate(&v, rng);
	store_view(&v);
}

static void change_run(struct ut_rng *rng)
{
	struct fz_run *run;

	if (!in.nr_runs)
		return;
	run = &in.runs[ut_below(rng, in.nr_runs)];
	if (!run->len || run->len > sizeof(run_bytes) / 2)
		return;
	memcpy(run_bytes, run->data, run->len);
	run->len = (u32)LLVMFuzzerMutate(run_bytes, run->len, 2 * run->len);
	run->data = run_bytes;
}

/* --- tables --- */

static u64 odd(struct ut_rng *rng)
{
	static const struct fz_view nothing;

	return fz_odd_number(&nothing, rng);
}

static u64 sectors(struct ut_rng *rng)
{
	return (1 + ut_below(rng, 1ULL << ut_below(rng, 24))) * VD_SECTOR;
}

static void change_segment(struct ut_rng *rng)
{
	static const u32 others[] = { VDISK_SEG_ZERO, VDISK_SEG_NOACCESS, 0x777 };
	struct vdisk_segment_desc *seg;

	if (!in.ctl.nr_segs)
		return;
	seg = &in.segs[ut_below(rng, in.ctl.nr_segs)];
	switch (ut_below(rng, 9)) {
	case 0:
		seg->kind = ut_below(rng, 2) ? others[ut_below(rng, ARRAY_SIZE(others))] :
					       fz_kind((u32)ut_below(rng, 64));
		break;
	case 1:
		seg->member = (u32)ut_below(rng, in.ctl.nr_files + 1U);
		break;
	case 2:
		seg->flags ^= VDISK_SEGF_RDONLY;
		break;
	case 3:
		seg->start = odd(rng);
		break;
	case 4:
		seg->len = odd(rng);
		break;
	case 5:
		seg->offset = ut_below(rng, 2) ? odd(rng) : sectors(rng);
		break;
	case 6:
		seg->image = (u32)ut_below(rng, in.ctl.nr_images + 1U);
		break;
	case 7:
		seg->len = sectors(rng);
		break;
	case 8:
		seg->flags = (u32)odd(rng);
		break;
	}
}

static void change_image(struct ut_rng *rng)
{
	struct vdisk_image_desc *image;

	if (!in.ctl.nr_images)
		return;
	image = &in.images[ut_below(rng, in.ctl.nr_images)];
	switch (ut_below(rng, 4)) {
	case 0:
		image->format = (u32)ut_below(rng, __VDISK_FORMAT_END + 1);
		break;
	case 1:
		image->flags = (u32)odd(rng);
		break;
	case 2:
		image->size = odd(rng);
		break;
	case 3:
		image->size = sectors(rng);
		break;
	}
}

static void change_patch(struct ut_rng *rng)
{
	struct vdisk_patch *p;

	if (!in.ctl.nr_patches || !ut_below(rng, 4)) {
		in.ctl.nr_patches = (u8)ut_below(rng, ARRAY_SIZE(in.patches) + 1);
		return;
	}
	p = &in.patches[ut_below(rng, in.ctl.nr_patches)];
	switch (ut_below(rng, 4)) {
	case 0:
		p->member = (u32)ut_below(rng, in.ctl.nr_files + 1U);
		break;
	case 1:
		p->len = (u32)ut_below(rng, VDISK_PATCH_BYTES + 2);
		break;
	case 2:
		p->offset = ut_below(rng, 2) ? odd(rng) : ut_below(rng, 4096);
		break;
	case 3:
		p->bytes[ut_below(rng, sizeof(p->bytes))] = (u8)ut_rand(rng);
		break;
	}
}

/* One more segment like another, or one less. */
static void change_count(struct ut_rng *rng)
{
	u32 at;

	if (ut_below(rng, 3) && in.ctl.nr_segs && in.ctl.nr_segs < FZ_MAX_TABLE) {
		at = (u32)ut_below(rng, in.ctl.nr_segs);
		memmove(&in.segs[at + 1], &in.segs[at],
			(in.ctl.nr_segs - at) * sizeof(in.segs[0]));
		in.ctl.nr_segs++;
	} else if (in.ctl.nr_segs > 1) {
		in.ctl.nr_segs--;
	}
}

/* Make the tables right again: segments one after the other, images as long as these. */
static void mend_tables(void)
{
	u64 end[FZ_MAX_TABLE] = { 0 };
	u32 i, image = 0;

	for (i = 0; i < in.ctl.nr_segs; i++) {
		struct vdisk_segment_desc *seg = &in.segs[i];

		if (seg->image > image && image + 1 < in.ctl.nr_images)
			image++;
		seg->image = image;
		seg->start = end[image];
		seg->len = max_t(u64, VD_SECTOR, seg->len & ~(u64)(VD_SECTOR - 1));
		seg->flags &= VDISK_SEGF_FLAGS;
		if (seg->kind == VDISK_SEG_ZERO || seg->kind == VDISK_SEG_NOACCESS)
			seg->member = VDISK_NO_MEMBER;
		else if (seg->member == VDISK_NO_MEMBER)
			seg->member = 0;
		if (seg->kind != VDISK_SEG_RAW)
			seg->offset = 0;
		end[image] += seg->len;
	}
	for (i = 0; i < in.ctl.nr_images; i++) {
		in.images[i].size = end[i];
		in.images[i].flags = 0;
	}
	for (i = 0; i < in.ctl.nr_files; i++)
		if (in.ctl.nr_images > 1)
			in.files[i].flags &= ~FZ_FILE_WRITABLE;
	for (i = 0; i < in.ctl.nr_segs; i++)
		if (!in.segs[i].image && in.segs[i].member < in.ctl.nr_files)
			in.files[in.segs[i].member].flags |= FZ_FILE_WRITABLE;
}

static void change_tables(struct ut_rng *rng)
{
	switch (ut_below(rng, 6)) {
	case 0:
		change_image(rng);
		break;
	case 1:
		change_patch(rng);
		break;
	case 2:
		change_count(rng);
		break;
	default:
		change_segment(rng);
		break;
	}
	if (ut_below(rng, 4))
		mend_tables();
}

/* --- what happens beside --- */

static void change_control(struct ut_rng *rng)
{
	struct fz_control *ctl = &in.ctl;
	struct fz_member *m;

	switch (ut_below(rng, 11)) {
	case 10:
		ctl->quota = (u16)ut_below(rng, 1ULL << ut_below(rng, 9));
		break;
	case 0:
		ctl->flags ^= (u8)(1U << ut_below(rng, 8));
		break;
	case 1:
		ctl->flags = 0;
		ctl->fault_at = ctl->alloc_at = 0;
		break;
	case 2:
		ctl->fault_at = (u16)ut_below(rng, 1ULL << ut_below(rng, 10));
		ctl->error = (u8)ut_rand(rng);
		break;
	case 3:
		ctl->alloc_at = (u16)ut_below(rng, 1ULL << ut_below(rng, 8));
		break;
	case 4:
		ctl->meta_blocks = (u8)(ut_below(rng, 2) ? 24 + ut_below(rng, 16) : ut_rand(rng));
		break;
	case 5:
		ctl->grow = (u16)ut_below(rng, 16);
		break;
	case 6:
		if (!ctl->nr_files)
			break;
		m = &in.files[ut_below(rng, ctl->nr_files)];
		m->flags ^= 1U << ut_below(rng, 2);
		break;
	case 7:
		if (!ctl->nr_files)
			break;
		m = &in.files[ut_below(rng, ctl->nr_files)];
		m->size = ut_below(rng, 3) ? m->size + sectors(rng) - 1024 : odd(rng);
		break;
	case 8:
		ctl->kind = (u8)ut_below(rng, 8);
		break;
	case 9:
		ctl->seed = (u32)ut_rand(rng);
		break;
	}
}

/* --- the mutator --- */

static size_t mutate_text(u8 *data, size_t size, size_t max_size, struct ut_rng *rng)
{
	struct fz_view v = { .nr = 1 };

	if (ut_below(rng, 2) || max_size > VIEW_BYTES || size > max_size)
		return LLVMFuzzerMutate(data, size, max_size);
	memset(view_bytes[0], 0, VIEW_BYTES);
	memcpy(view_bytes[0], data, size);
	v.file[0] = (struct fz_view_file){ view_bytes[0], size, max_size };
	fz_mutate(&v, rng);
	memcpy(data, view_bytes[0], v.file[0].len);
	return v.file[0].len;
}

static void change_input(struct ut_rng *rng)
{
	switch (ut_below(rng, 10)) {
	case 0:
		change_control(rng);
		break;
	case 1:
	case 2:
		change_tables(rng);
		break;
	case 3:
		change_run(rng);
		break;
	case 4:
		in.ctl.seed = (u32)ut_rand(rng);
		change_fields(rng);
		break;
	default:
		change_fields(rng);
		break;
	}
}

size_t LLVMFuzzerCustomMutator(u8 *data, size_t size, size_t max_size, unsigned int seed)
{
	struct ut_rng rng = { seed };
	size_t len;

	if (fz_input_is_text())
		return mutate_text(data, size, max_size, &rng);
	if (!ut_below(&rng, 3) || max_size > sizeof(wire) || !fz_input_parse(&in, data, size))
		return LLVMFuzzerMutate(data, size, max_size);
	change_input(&rng);
	/* The runs are in @data, which must not change under them. */
	len = fz_input_write(&in, wire, max_size);
	if (!len)
		return LLVMFuzzerMutate(data, size, max_size);
	memcpy(data, wire, len);
	return len;
}

/* A file of one in the place of a file of the other. */
size_t LLVMFuzzerCustomCrossOver(const u8 *data1, size_t size1, const u8 *data2, size_t size2,
				 u8 *out, size_t max_size, unsigned int seed)
{
	struct ut_rng rng = { seed };
	struct fz_member *to;
	const struct fz_member *from;
	u32 r;

	if (fz_input_is_text() || !fz_input_parse(&in, data1, size1) ||
	    !fz_input_parse(&other, data2, size2) || !in.ctl.nr_files || !other.ctl.nr_files)
		return 0;
	to = &in.files[in.ctl.nr_files - 1];
	from = &other.files[ut_below(&rng, other.ctl.nr_files)];
	in.nr_runs = to->first_run;
	to->size = from->size;
	to->nr_runs = 0;
	for (r = from->first_run; r < from->first_run + from->nr_runs; r++) {
		if (in.nr_runs == FZ_MAX_RUNS)
			break;
		in.runs[in.nr_runs++] = other.runs[r];
		to->nr_runs++;
	}
	if (ut_below(&rng, 2) && other.ctl.nr_segs && in.ctl.nr_segs) {
		in.segs[in.ctl.nr_segs - 1].kind = other.segs[0].kind;
		in.segs[in.ctl.nr_segs - 1].len = other.segs[0].len;
		mend_tables();
	}
	return fz_input_write(&in, out, max_size);
}
