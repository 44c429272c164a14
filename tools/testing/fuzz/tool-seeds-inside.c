// SPDX-License-Identifier: GPL-2.0-only
/*
 * Extents with a descriptor inside, for those who change it: with room for another text,
 * with room past the end only, with none; over a parent; stopped half-way.
 */
#include "img-write.h"
#include "tool-seeds.h"

#define DISK	(64 * UT_KIB)
#define TEXT	(20U * VD_SECTOR)	/* the place of a descriptor: img-sparse.h */
#define CHOICES	3U			/* of what to change, for each extent */

#define HEAD "# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\nCID=12345678\n"
#define BASE HEAD "parentCID=ffffffff\ncreateType=\"monolithicSparse\"\n"
#define TAIL "RW 128 SPARSE \"disk.vmdk\"\n\n#DDB\nddb.adapterType = \"ide\"\n" \
	     "ddb.geometry.cylinders = \"1\"\nddb.geometry.heads = \"16\"\n" \
	     "ddb.geometry.sectors = \"63\"\n" \
	     "ddb.uuid.image=\"01234567-89ab-cdef-0123-456789abcdef\"\n"

/**
 * struct inside - one extent
 * @text: its descriptor, made @len bytes long by a comment
 * @cut: bytes of the last grain that the file does not have
 * @stops: the change of it that was begun fails at its so many-th operation, and all after
 * @faults: operations that fail while it is changed, one seed each; ends with 0
 */
struct inside {
	const char *name;
	const char *text;
	u32 len;
	bool fixed;
	bool stream;
	u32 cut;
	long stops;
	u16 faults[8];
};

static void save(const struct inside *in, const void *data, size_t len)
{
	const u16 *fault = in->faults;
	char name[80];
	u32 i;

	for (i = 0; i < CHOICES || *fault; i++) {
		seed_begin(ut_mix(i + in->len) & 0xffffff);
		seed_in.ctl.nr_images = seed_in.ctl.nr_segs = seed_in.ctl.nr_files = 1;
		seed_in.ctl.fault_at = *fault;
		seed_in.ctl.flags = *fault % 2 ? FZ_STICKY : 0;
		seed_in.images[0] = (struct vdisk_image_desc){ VDISK_FORMAT_VMDK, 0, DISK };
		seed_in.segs[0] = (struct vdisk_segment_desc){ .kind = VDISK_SEG_VMDK_SPARSE,
							       .len = DISK };
		seed_in.files[0].size = len;
		seed_in.files[0].flags = FZ_FILE_WRITABLE | (in->fixed ? FZ_FILE_FIXED : 0);
		fz_input_add_bytes(&seed_in, 0, 0, data, len);
		snprintf(name, sizeof(name), "inside-%s-%u", in->name, i);
		seed_save(name);
		fault += *fault ? 1 : 0;
	}
}

/* Another text, as far as that got. */
static void begin_change(struct vd_file *mem, const char *text, long stops)
{
	struct vd_fault fault = { .countdown = stops, .sticky = true, .error = EIO };
	struct vd_file *file = vd_ufile_fault(mem, &fault);
	struct vd_error err = { 0 };
	size_t half = strlen(text) / 2;
	char *other = ut_xalloc(strlen(text) + 1);

	strcpy(other, text);
	strstr(other, "CID=")[4] = 'a';
	other[half] = '\0';
	strcat(other, "\n# of another");
	if (!vd_format_vmdk.user->put_text(file, other, (u32)strlen(other), &err)) {
		fprintf(stderr, "seeds: a change was not stopped\n");
		exit(1);
	}
	free(other);
	vd_ufile_free(file);
}

static void make(const struct inside *in)
{
	struct ut_disk *d = ut_disk_random(DISK, 4096, in->len, false);
	struct img_stream st = { .footer = true, .level = 6 };
	struct img_sparse s = { .version = 1, .flags = IMG_F_RGD };
	char *text = ut_xalloc(TEXT);
	struct vd_file *mem;
	const void *data;
	size_t len;
	u32 i;

	strcpy(text, in->text);
	for (i = (u32)strlen(text); i < in->len; i++)
		text[i] = text[i - 1] == '\n' || i % 64 ? '#' : '\n';
	st.s.descriptor = s.descriptor = text;
	if (in->stream)
		img_stream_write(&st, d);
	else
		img_sparse_write(&s, d);
	if (in->cut)
		s.buf.len -= in->cut;
	mem = in->stream ? vd_ufile_mem(st.s.buf.data, st.s.buf.len, true) :
			   vd_ufile_mem(s.buf.data, s.buf.len, true);
	if (in->stops)
		begin_change(mem, text, in->stops);
	data = vd_ufile_mem_data(mem, &len);
	save(in, data, len);
	vd_ufile_free(mem);
	ut_buf_free(&s.buf);
	ut_buf_free(&st.s.buf);
	ut_disk_free(d);
	free(text);
}

void seeds_inside(void)
{
	static const struct inside all[] = {
		{ .name = "room", .text = BASE TAIL,
		  .faults = { 5, 6, 7, 8, 9, 10, 12 } },
		{ .name = "end", .text = BASE TAIL, .len = 7000,
		  .faults = { 5, 6, 7, 8, 9, 10, 12 } },
		{ .name = "cut", .text = BASE TAIL, .len = 7002, .cut = 3000,
		  .faults = { 5, 6, 7, 8, 9, 10, 12 } },
		{ .name = "full", .text = BASE TAIL, .len = TEXT - 30 },
		{ .name = "fixed", .text = BASE TAIL, .len = 7001, .fixed = true },
		{ .name = "stream", .text = BASE TAIL, .len = 3000, .stream = true },
		{ .name = "parent", .text = HEAD "parentCID=00000001\n"
		  "parentFileNameHint=\"up/base.vmdk\"\ncreateType=\"monolithicSparse\"\n" TAIL
		  "changeTrackPath=\"disk-ctk.vmdk\"\n"
		  "ddb.uuid.parent=\"21234567-89ab-cdef-0123-456789abcdef\"\n" },
		{ .name = "stopped", .text = BASE TAIL, .len = 3002, .stops = 10,
		  .faults = { 3, 4, 6 } },
		{ .name = "stopped-end", .text = BASE TAIL, .len = 9000, .stops = 10,
		  .faults = { 3, 4, 6 } },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(all); i++)
		make(&all[i]);
}
