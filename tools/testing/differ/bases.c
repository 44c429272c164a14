// SPDX-License-Identifier: GPL-2.0-only
/* Valid images of every kind, small, from the writers of the unit tests. */
#include "img-sparse.h"
#include "img-esx.h"
#include "differ.h"

#define MAX_SECTORS 3000U

void df_image_reset(struct df_image *img)
{
	u32 i;

	for (i = 0; i < img->view.nr; i++)
		memset(img->view.file[i].data, 0, img->view.file[i].len);
	img->view.nr = 0;
	img->raw = false;
}

void df_image_free(struct df_image *img)
{
	u32 i;

	for (i = 0; i < FZ_FILES; i++)
		free(img->view.file[i].data);
	memset(img, 0, sizeof(*img));
}

void df_image_add(struct df_image *img, const char *name, const void *data, u64 len)
{
	struct fz_view_file *f = &img->view.file[img->view.nr];

	if (img->view.nr == FZ_FILES || len > DF_ROOM)
		abort();
	if (!f->data)
		f->data = ut_xalloc(DF_ROOM);
	f->room = DF_ROOM;
	f->len = len;
	memcpy(f->data, data, len);
	snprintf(img->name[img->view.nr++], DF_NAME, "%s", name);
}

static void add_buf(struct df_image *img, const char *name, struct ut_buf *b)
{
	df_image_add(img, name, b->data, b->len);
	ut_buf_free(b);
}

/* A text under construction. */
struct text {
	char s[2048];
	size_t len;
};

static void __printf(2, 3) add(struct text *t, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	t->len += (size_t)vsnprintf(t->s + t->len, sizeof(t->s) - t->len, fmt, args);
	va_end(args);
}

static void begin_text(struct text *t, const char *type, u32 cid, u32 parent)
{
	t->len = 0;
	add(t, "# Disk DescriptorFile\nversion=1\nCID=%08x\nparentCID=%08x\ncreateType=\"%s\"\n",
	    cid, parent, type);
	if (parent != 0xffffffff)
		add(t, "parentFileNameHint=\"image1.vmdk\"\n");
	add(t, "\n# Extent description\n");
}

static void end_text(struct df_image *img, const char *name, struct text *t)
{
	add(t, "\n# The Disk Data Base\n#DDB\n\nddb.virtualHWVersion = \"4\"\n");
	add(t, "ddb.adapterType = \"ide\"\nddb.geometry.cylinders = \"20\"\n");
	df_image_add(img, name, t->s, t->len);
}

static u64 some_sectors(struct ut_rng *rng)
{
	return 16 + ut_below(rng, MAX_SECTORS - 16);
}

static u64 some_grain(struct ut_rng *rng)
{
	static const u64 sectors[] = { 1, 2, 8, 16, 16, 128 };

	return sectors[ut_below(rng, ARRAY_SIZE(sectors))] * VD_SECTOR;
}

static struct ut_disk *some_disk(struct ut_rng *rng, u64 sectors, u64 grain, bool zeros)
{
	return ut_disk_random(sectors * VD_SECTOR, grain, ut_rand(rng), zeros);
}

static void embedded(struct text *t, const char *type, const struct ut_disk *d)
{
	begin_text(t, type, 0x1234abcd, 0xffffffff);
	add(t, "RW %llu SPARSE \"" TOP_NAME "\"\n", d->size / VD_SECTOR);
	add(t, "\n# The Disk Data Base\n#DDB\n\nddb.adapterType = \"ide\"\n");
}

/* --- one file --- */

static void make_raw(struct df_image *img, struct ut_rng *rng)
{
	struct ut_disk *d = some_disk(rng, some_sectors(rng), 4096, false);

	img->raw = true;
	df_image_add(img, "image0.raw", d->data, d->size - (ut_below(rng, 4) ? 0 : 100));
	ut_disk_free(d);
}

static void one_sparse(struct df_image *img, struct ut_rng *rng, u32 version, u32 flags)
{
	bool zeros = flags & IMG_F_ZERO_GTE;
	struct ut_disk *d = some_disk(rng, some_sectors(rng), some_grain(rng), zeros);
	struct text t;
	struct img_sparse s = {
		.version = version, .flags = flags, .seed = ut_below(rng, 3),
		.holes = ut_below(rng, 2), .cut_last = !ut_below(rng, 4), .descriptor = t.s,
		.extra_capacity = ut_below(rng, 8) ? 0 : ut_below(rng, 200),
	};

	embedded(&t, "monolithicSparse", d);
	img_sparse_write(&s, d);
	add_buf(img, TOP_NAME, &s.buf);
	ut_disk_free(d);
}

static void make_sparse(struct df_image *img, struct ut_rng *rng)
{
	one_sparse(img, rng, 1, ut_below(rng, 3) ? IMG_F_RGD : 0);
}

static void make_zeroed(struct df_image *img, struct ut_rng *rng)
{
	one_sparse(img, rng, 2, IMG_F_ZERO_GTE | (ut_below(rng, 2) ? IMG_F_RGD : 0));
}

static void one_stream(struct df_image *img, struct ut_rng *rng, struct img_stream *st)
{
	struct ut_disk *d = some_disk(rng, some_sectors(rng), some_grain(rng), false);
	struct text t;

	embedded(&t, "streamOptimized", d);
	st->s.descriptor = t.s;
	st->s.seed = ut_below(rng, 3);
	st->keep_empty = ut_below(rng, 2);
	st->full_last = ut_below(rng, 2);
	st->level = (int)ut_below(rng, 10);
	img_stream_write(st, d);
	add_buf(img, TOP_NAME, &st->s.buf);
	ut_disk_free(d);
}

static void make_stream_footer(struct df_image *img, struct ut_rng *rng)
{
	one_stream(img, rng, &(struct img_stream) { .footer = true });
}

static void make_stream_front(struct df_image *img, struct ut_rng *rng)
{
	one_stream(img, rng, &(struct img_stream) {
		.s.flags = ut_below(rng, 2) ? IMG_F_RGD : 0 });
}

static void make_stream_tail(struct df_image *img, struct ut_rng *rng)
{
	one_stream(img, rng, &(struct img_stream) { .tail_dir = true });
}

static void make_stream_plain(struct df_image *img, struct ut_rng *rng)
{
	one_stream(img, rng, &(struct img_stream) { .no_markers = true });
}

/* --- a descriptor and its extents --- */

static void add_flat(struct df_image *img, const char *name, const struct ut_disk *d, u64 from,
		     u64 len, u64 before)
{
	struct ut_buf b = { 0 };

	ut_buf_size(&b, before + len);
	ut_put(&b, before, d->data + from, len);
	add_buf(img, name, &b);
}

static void one_flat(struct df_image *img, struct ut_rng *rng, const char *type, const char *kind,
		     bool offset)
{
	struct ut_disk *d = some_disk(rng, some_sectors(rng), 4096, false);
	u64 before = offset && !ut_below(rng, 4) ? ut_below(rng, 32) : 0;
	struct text t;

	begin_text(&t, type, 0x1234abcd, 0xffffffff);
	add(&t, "RW %llu %s \"file1.vmdk\"", d->size / VD_SECTOR, kind);
	if (offset)
		add(&t, " %llu", before);
	add(&t, "\n");
	end_text(img, TOP_NAME, &t);
	add_flat(img, "file1.vmdk", d, 0, d->size, before * VD_SECTOR);
	ut_disk_free(d);
}

static void make_flat(struct df_image *img, struct ut_rng *rng)
{
	one_flat(img, rng, "monolithicFlat", "FLAT", true);
}

static void make_vmfs(struct df_image *img, struct ut_rng *rng)
{
	one_flat(img, rng, "vmfs", "VMFS", false);
}

/* @split: two extents with content in files of their own, else one of zeros between. */
static void make_split_flat(struct df_image *img, struct ut_rng *rng)
{
	struct ut_disk *d = some_disk(rng, some_sectors(rng) + 16, 4096, false);
	u64 first = (1 + ut_below(rng, d->size / VD_SECTOR - 1)) * VD_SECTOR;
	struct text t;

	begin_text(&t, "twoGbMaxExtentFlat", 0x1234abcd, 0xffffffff);
	add(&t, "RW %llu FLAT \"file1.vmdk\" 0\n", first / VD_SECTOR);
	add(&t, "RW %llu FLAT \"file2.vmdk\" 0\n", (d->size - first) / VD_SECTOR);
	end_text(img, TOP_NAME, &t);
	add_flat(img, "file1.vmdk", d, 0, first, 0);
	add_flat(img, "file2.vmdk", d, first, d->size - first, 0);
	ut_disk_free(d);
}

static void make_zero_extent(struct df_image *img, struct ut_rng *rng)
{
	struct ut_disk *d = some_disk(rng, some_sectors(rng), 4096, false);
	struct text t;

	begin_text(&t, "twoGbMaxExtentFlat", 0x1234abcd, 0xffffffff);
	if (ut_below(rng, 2))
		add(&t, "RW %llu ZERO\n", 1 + ut_below(rng, 64));
	add(&t, "%s %llu FLAT \"file1.vmdk\" 0\n", ut_below(rng, 2) ? "RW" : "RDONLY",
	    d->size / VD_SECTOR);
	add(&t, "RW %llu ZERO\n", 1 + ut_below(rng, 64));
	end_text(img, TOP_NAME, &t);
	add_flat(img, "file1.vmdk", d, 0, d->size, 0);
	ut_disk_free(d);
}

static void add_sparse(struct df_image *img, struct ut_rng *rng, const char *name,
		       const struct ut_disk *d)
{
	struct img_sparse s = { .flags = IMG_F_RGD, .seed = ut_below(rng, 3) };

	img_sparse_write(&s, d);
	add_buf(img, name, &s.buf);
}

static void make_split_sparse(struct df_image *img, struct ut_rng *rng)
{
	u64 grain = some_grain(rng);
	struct ut_disk *d = some_disk(rng, some_sectors(rng) + 256, grain, false);
	u64 first = (1 + ut_below(rng, d->size / grain - 1)) * grain;
	struct ut_disk *a = ut_disk_slice(d, 0, first);
	struct ut_disk *b = ut_disk_slice(d, first, d->size - first);
	struct text t;

	begin_text(&t, "twoGbMaxExtentSparse", 0x1234abcd, 0xffffffff);
	add(&t, "RW %llu SPARSE \"file1.vmdk\"\n", a->size / VD_SECTOR);
	add(&t, "RW %llu SPARSE \"file2.vmdk\"\n", b->size / VD_SECTOR);
	end_text(img, TOP_NAME, &t);
	add_sparse(img, rng, "file1.vmdk", a);
	add_sparse(img, rng, "file2.vmdk", b);
	ut_disk_free(a);
	ut_disk_free(b);
	ut_disk_free(d);
}

static void cowd_file(struct df_image *img, struct ut_rng *rng, const char *name,
		      const struct ut_disk *d)
{
	struct img_cowd c = { .seed = ut_below(rng, 3), .cut_last = !ut_below(rng, 4) };

	img_cowd_write(&c, d);
	add_buf(img, name, &c.buf);
}

static void make_cowd(struct df_image *img, struct ut_rng *rng)
{
	struct ut_disk *d = some_disk(rng, some_sectors(rng), some_grain(rng), false);
	struct text t;

	begin_text(&t, "vmfsSparse", 0x1234abcd, 0xffffffff);
	add(&t, "RW %llu VMFSSPARSE \"file1.vmdk\"\n", d->size / VD_SECTOR);
	end_text(img, TOP_NAME, &t);
	cowd_file(img, rng, "file1.vmdk", d);
	ut_disk_free(d);
}

static void make_cowd_bare(struct df_image *img, struct ut_rng *rng)
{
	struct ut_disk *d = some_disk(rng, some_sectors(rng), some_grain(rng), false);

	cowd_file(img, rng, TOP_NAME, d);
	ut_disk_free(d);
}

static void make_sesparse(struct df_image *img, struct ut_rng *rng)
{
	struct ut_disk *d = some_disk(rng, some_sectors(rng), 4096, true);
	struct img_sesparse s = { .seed = ut_below(rng, 3), .first_slot = ut_below(rng, 3) };
	struct text t;

	begin_text(&t, "seSparse", 0x1234abcd, 0xffffffff);
	add(&t, "RW %llu SESPARSE \"file1.vmdk\"\n", d->size / VD_SECTOR);
	end_text(img, TOP_NAME, &t);
	img_sesparse_write(&s, d);
	add_buf(img, "file1.vmdk", &s.buf);
	ut_disk_free(d);
}

/* A sparse child over a flat parent; the child may be a split one. */
static void make_child(struct df_image *img, struct ut_rng *rng)
{
	struct ut_disk *d = some_disk(rng, some_sectors(rng), some_grain(rng), false);
	struct ut_disk *p = some_disk(rng, d->size / VD_SECTOR, 4096, false);
	struct text t;

	begin_text(&t, "twoGbMaxExtentSparse", 0x1234abcd, 0x77777777);
	add(&t, "RW %llu SPARSE \"file1.vmdk\"\n", d->size / VD_SECTOR);
	end_text(img, TOP_NAME, &t);
	add_sparse(img, rng, "file1.vmdk", d);
	begin_text(&t, "monolithicFlat", 0x77777777, 0xffffffff);
	add(&t, "RW %llu FLAT \"file2.vmdk\" 0\n", p->size / VD_SECTOR);
	end_text(img, "image1.vmdk", &t);
	add_flat(img, "file2.vmdk", p, 0, p->size, 0);
	ut_disk_free(d);
	ut_disk_free(p);
}

#define QEMU(n, i) static void make_qemu_##n(struct df_image *img, struct ut_rng *rng) \
	{ df_qemu_base(img, i); }
QEMU(sparse, 0)
QEMU(zeroed, 1)
QEMU(stream, 2)
QEMU(flat, 3)
QEMU(split_sparse, 4)
QEMU(split_flat, 5)

const struct df_kind df_kinds[] = {
	{ "raw", make_raw },
	{ "monolithicSparse", make_sparse },
	{ "monolithicSparse, entries of zeros", make_zeroed },
	{ "streamOptimized, footer", make_stream_footer },
	{ "streamOptimized, directory in front", make_stream_front },
	{ "streamOptimized, directory behind", make_stream_tail },
	{ "streamOptimized, no markers", make_stream_plain },
	{ "monolithicFlat", make_flat },
	{ "vmfs", make_vmfs },
	{ "twoGbMaxExtentFlat", make_split_flat },
	{ "ZERO and RDONLY extents", make_zero_extent },
	{ "twoGbMaxExtentSparse", make_split_sparse },
	{ "vmfsSparse", make_cowd },
	{ "COWD without descriptor", make_cowd_bare },
	{ "seSparse", make_sesparse },
	{ "child and parent", make_child },
	{ "QEMU's monolithicSparse", make_qemu_sparse },
	{ "QEMU's zeroed_grain", make_qemu_zeroed },
	{ "QEMU's streamOptimized", make_qemu_stream },
	{ "QEMU's monolithicFlat", make_qemu_flat },
	{ "QEMU's twoGbMaxExtentSparse", make_qemu_split_sparse },
	{ "QEMU's twoGbMaxExtentFlat", make_qemu_split_flat },
};

u32 df_nr_kinds(void)
{
	return ARRAY_SIZE(df_kinds);
}
