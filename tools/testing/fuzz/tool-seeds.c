// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where the fuzzers start: the unit tests' images as inputs, without the guest's
 * data, which no parser looks at.
 *
 *	seeds DIRECTORY			one file each, in set/ and text/
 *	seeds DIRECTORY IMAGE...	besides, these files, each a disk by itself
 */
#include <sys/stat.h>
#include <fcntl.h>
#include <unistd.h>

#include "img-write.h"
#include "tool-seeds.h"

#define LARGE		(256U << 10)
#define DEVICE_USED	(112U << 10)	/* of the image on a device: the rest is old data */
#define SEED_MAX	(1U << 20)
#define IMAGE_MAX	(32U << 10)	/* of a given image: from its begin, and its end */
#define IMAGE_TAIL	(4U << 10)

static const char *directory;
struct fz_input seed_in;

static void save_bytes(const char *name, const void *data, size_t len)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	f = fopen(path, "wb");
	if (!f || fwrite(data, 1, len, f) != len || fclose(f)) {
		perror(path);
		exit(1);
	}
}

void seed_save(const char *name)
{
	static u8 out[SEED_MAX];
	size_t len = fz_input_write(&seed_in, out, sizeof(out));
	char path[128];

	if (!len) {
		fprintf(stderr, "seeds: %s is too large\n", name);
		exit(1);
	}
	snprintf(path, sizeof(path), "set/%s", name);
	save_bytes(path, out, len);
}

static void make_directory(const char *name)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	if (mkdir(path, 0777) && errno != EEXIST) {
		perror(path);
		exit(1);
	}
}

/* --- the guest's data --- */

static bool is_data(const struct ut_disk *const *disks, unsigned int nr, const u8 *sector)
{
	unsigned int i;
	u64 pos;

	for (i = 0; i < nr; i++)
		for (pos = 0; pos + VD_SECTOR <= disks[i]->size; pos += VD_SECTOR)
			if (!memcmp(disks[i]->data + pos, sector, VD_SECTOR))
				return true;
	return false;
}

/*
 * Of a sector of data the first bytes stay, so that a mistake in its place shows;
 * in a large file, of one in 16. Past @used there is nothing but data.
 */
static void thin_out(u8 *data, size_t len, size_t used, struct ut_disk *const *disks,
		     unsigned int nr)
{
	size_t pos, keep;

	for (pos = 0; pos + VD_SECTOR <= len; pos += VD_SECTOR) {
		if (ut_all_zero(data + pos, VD_SECTOR) ||
		    (pos < used && !is_data((const struct ut_disk *const *)disks, nr, data + pos)))
			continue;
		keep = len > LARGE && pos / VD_SECTOR % 16 ? 0 : 4;
		memset(data + pos + keep, 0, VD_SECTOR - keep);
	}
}

/* --- sets --- */

static void add_file(struct vd_file *file, struct ut_disk *const *disks, unsigned int nr)
{
	struct fz_member *m = &seed_in.files[seed_in.ctl.nr_files];
	const void *data;
	u8 *copy;
	size_t len;

	data = vd_ufile_mem_data(file, &len);
	copy = ut_xalloc(len);
	memcpy(copy, data, len);
	thin_out(copy, len, file->fixed ? DEVICE_USED : len, disks, nr);
	memset(m, 0, sizeof(*m));
	m->size = len;
	m->flags = (file->writable ? FZ_FILE_WRITABLE : 0) | (file->fixed ? FZ_FILE_FIXED : 0);
	fz_input_add_bytes(&seed_in, seed_in.ctl.nr_files++, 0, copy, len);
}

void seed_begin(u32 seed)
{
	memset(&seed_in, 0, sizeof(seed_in));
	seed_in.ctl.seed = seed;
	seed_in.ctl.grow = 4;
}

static void from_set(const struct ut_set *set, struct ut_disk *const *disks, unsigned int nr)
{
	u32 i;

	seed_in.ctl.nr_images = (u8)set->nr_images;
	seed_in.ctl.nr_segs = (u8)set->nr_segs;
	memcpy(seed_in.images, set->images, set->nr_images * sizeof(seed_in.images[0]));
	memcpy(seed_in.segs, set->segs, set->nr_segs * sizeof(seed_in.segs[0]));
	for (i = 0; i < set->nr_files; i++)
		add_file(set->files[i], disks, nr);
}

/* @flags: of struct fz_control. */
static void save_case(const struct img_kind *kind, u64 seed, u8 flags)
{
	struct img_case c;
	char name[80];

	img_case_make(&c, kind, seed);
	seed_begin((u32)seed);
	seed_in.ctl.flags = flags;
	seed_in.ctl.quota = seed % 4 ? 0 : 8;
	seed_in.ctl.nr_patches = (u8)c.nr_patches;
	memcpy(seed_in.patches, c.patches, c.nr_patches * sizeof(seed_in.patches[0]));
	from_set(&c.set, c.disk, c.nr);
	snprintf(name, sizeof(name), "%s-%llu-%02x", kind->name, seed, flags);
	seed_save(name);
	img_case_free(&c);
}

/* One extent, read-only. */
static void save_extent(const char *name, u32 kind, struct ut_buf *b, struct ut_disk *d)
{
	struct ut_set set = { 0 };

	ut_set_image(&set, VDISK_FORMAT_VMDK, d->size);
	ut_set_mem(&set, b->data, b->len, true);
	ut_set_seg(&set, kind, 0, 0, d->size, 0);
	seed_begin((u32)ut_mix(b->len) & ~3U);	/* target-check: a full repair */
	from_set(&set, &d, 1);
	seed_in.ctl.kind = (u8)(1 + (kind & 0xff));	/* fz_kind() */
	seed_save(name);
	ut_set_free(&set);
	ut_buf_free(b);
	ut_disk_free(d);
}

/* Where a descriptor should be, there is noise. */
static void encrypted(void)
{
	char noise[1024];
	struct img_sparse s = { .version = 2, .descriptor = noise };
	struct ut_disk *d = ut_disk_new(64 * UT_KIB, 4096);
	u32 i;

	for (i = 0; i < sizeof(noise) - 1; i++)
		noise[i] = (char)(0x80 | ut_mix(i));
	noise[i] = '\0';
	img_sparse_write(&s, d);
	save_extent("encrypted", VDISK_SEG_VMDK_SPARSE, &s.buf, d);
}

/* --- damage that a check repairs --- */

/*
 * As a crash leaves it: marked, an entry in one copy of a table only. @twice: two
 * entries for one place, too; @table: no table where the directory says.
 */
static void damaged(const char *name, u32 flags, bool twice, bool table)
{
	struct img_sparse s = { .version = 1, .flags = flags };
	struct ut_disk *d = ut_disk_random(700 * UT_KIB, 1024, 77, false);
	u64 gt, last;

	img_sparse_write(&s, d);
	if (flags & IMG_F_RGD)
		ut_put8(&s.buf, IMG_H_UNCLEAN, 1);
	gt = ut_get_le(&s.buf, s.gd * VD_SECTOR, 4) * VD_SECTOR;
	for (last = 100; d->state[last] != UT_DATA; last++)
		;
	ut_put32(&s.buf, gt + last * 4, 0);
	if (twice)
		ut_put32(&s.buf, gt + 4 * 4, (u32)ut_get_le(&s.buf, gt + (last + 40) * 4, 4));
	if (table)
		ut_put32(&s.buf, s.gd * VD_SECTOR + 4, 1);
	save_extent(name, VDISK_SEG_VMDK_SPARSE, &s.buf, d);
}

static void damaged_cowd(void)
{
	struct img_cowd c = { 0 };
	struct ut_disk *d = ut_disk_random(100 * UT_KIB, 1024, 78, false);

	img_cowd_write(&c, d);
	ut_put32(&c.buf, 1648, 1);
	ut_put32(&c.buf, 28, 5);
	save_extent("damaged-cowd", VDISK_SEG_VMDK_COWD, &c.buf, d);
}

static const char descriptor[] =
	"# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n"
	"createType=\"streamOptimized\"\nRW 512 SPARSE \"x.vmdk\"\n"
	"ddb.adapterType = \"ide\"\n"
	"ddb.uuid = \"60 00 C2 9a 00 01 02 03-04 05 06 07 08 09 0a 0b\"\n";

static void stream(const char *name, struct img_stream st)
{
	struct ut_disk *d = ut_disk_new(60 * UT_KIB, 8 * UT_KIB);
	u64 g, pos;

	for (g = 0; g < d->nr; g += 1 + g % 2)
		ut_disk_set(d, g, UT_DATA, 3);
	/* Data that packs well, but for one grain. */
	for (pos = 8 * UT_KIB; pos < d->size; pos += VD_SECTOR)
		if (d->state[pos / d->grain] == UT_DATA)
			memset(d->data + pos, (int)(pos / VD_SECTOR), VD_SECTOR);
	img_stream_write(&st, d);
	save_extent(name, VDISK_SEG_VMDK_SPARSE, &st.s.buf, d);
}

static void streams(void)
{
	stream("stream", (struct img_stream){ .footer = true, .level = 9 });
	stream("stream-text", (struct img_stream){ .footer = true, .level = 1,
						   .s = { .descriptor = descriptor } });
	stream("stream-tail", (struct img_stream){ .tail_dir = true, .level = 6 });
	stream("stream-front", (struct img_stream){ .keep_empty = true, .level = 6 });
	stream("stream-plain", (struct img_stream){ .no_markers = true, .level = 6 });
	stream("stream-full", (struct img_stream){ .footer = true, .full_last = true, .level = 6,
						   .s = { .flags = IMG_F_RGD, .seed = 5 } });
}

/* The first entry in use of the table at byte @gt. */
static u64 first_entry(const struct img_sesparse *s, u64 gt)
{
	u64 i = 0;

	while (!ut_get_le(&s->buf, gt + 8 * i, 8))
		i++;
	return i;
}

static void esx(void)
{
	struct img_sesparse se = { .seed = 1, .first_slot = 2 };
	struct img_sesparse se2 = { 0 }, twice = { 0 };
	struct img_cowd cowd = { .seed = 1, .cut_last = true };
	struct ut_disk *d = ut_disk_random(300 * UT_KIB, 4096, 4, true);
	u64 gt;

	img_sesparse_write(&se, d);
	save_extent("sesparse", VDISK_SEG_VMDK_SESPARSE, &se.buf, d);
	d = ut_disk_random(33 * UT_MIB, 4096, 5, true);
	memset(d->state + 40, UT_ABSENT, d->nr - 60);
	img_sesparse_write(&se2, d);
	save_extent("sesparse-two", VDISK_SEG_VMDK_SESPARSE, &se2.buf, d);
	/* Two entries for one grain; two for one table. */
	d = ut_disk_random(40 * UT_MIB, 4096, 7, false);
	memset(d->state + 20, UT_ABSENT, d->nr - 20);
	ut_disk_set(d, 5000, UT_DATA, 7);
	img_sesparse_write(&twice, d);
	gt = (twice.gt + IMG_SE_GT) * VD_SECTOR;
	ut_put64(&twice.buf, gt + 8 * 18,
		 ut_get_le(&twice.buf, gt + 8 * first_entry(&twice, gt), 8));
	ut_put64(&twice.buf, twice.gd * VD_SECTOR + 16,
		 ut_get_le(&twice.buf, twice.gd * VD_SECTOR, 8));
	save_extent("damaged-sesparse", VDISK_SEG_VMDK_SESPARSE, &twice.buf, d);
	d = ut_disk_random(100 * UT_KIB, 512, 6, false);
	img_cowd_write(&cowd, d);
	save_extent("cowd-cut", VDISK_SEG_VMDK_COWD, &cowd.buf, d);
}

/* Tables as far out as they go: 64 TiB, and files to match. */
static void huge(void)
{
	u64 size = VD_CAP_DISK_BYTES - 512;
	struct img_sparse s = { .version = 1, .desc_sectors = 0, .gd = 100, .overhead = 20000 };
	struct ut_buf *b = &s.buf;

	seed_begin(9);
	img_header(b, 0, &s, size / VD_SECTOR, 2048, s.gd);
	ut_put32(b, s.gd * VD_SECTOR + 400, 9000);
	ut_put32(b, 9000 * VD_SECTOR + 2044, 0xfffff000U);
	seed_in.ctl.nr_images = seed_in.ctl.nr_segs = seed_in.ctl.nr_files = 1;
	seed_in.images[0] = (struct vdisk_image_desc){ VDISK_FORMAT_VMDK, 0, size };
	seed_in.segs[0] = (struct vdisk_segment_desc){ .kind = VDISK_SEG_VMDK_SPARSE, .len = size };
	seed_in.files[0].size = 1ULL << 41;
	seed_in.files[0].flags = FZ_FILE_WRITABLE;
	fz_input_add_bytes(&seed_in, 0, 0, b->data, b->len);
	seed_save("huge-sparse");
	ut_buf_free(b);

	seed_begin(10);
	seed_in.ctl.nr_images = seed_in.ctl.nr_files = 1;
	seed_in.ctl.nr_segs = 3;
	seed_in.images[0] = (struct vdisk_image_desc){ VDISK_FORMAT_RAW, 0, VD_CAP_DISK_BYTES };
	seed_in.segs[0] = (struct vdisk_segment_desc){ .kind = VDISK_SEG_RAW };
	seed_in.segs[0].len = size / 2 & ~511ULL;
	seed_in.segs[1] = (struct vdisk_segment_desc){ .kind = VDISK_SEG_ZERO, .len = 1 << 20,
						  .member = VDISK_NO_MEMBER,
						  .start = seed_in.segs[0].len };
	seed_in.segs[2] = (struct vdisk_segment_desc){ .kind = VDISK_SEG_NOACCESS,
						  .member = VDISK_NO_MEMBER,
						  .start = seed_in.segs[0].len + (1 << 20) };
	seed_in.segs[2].len = VD_CAP_DISK_BYTES - seed_in.segs[2].start;
	seed_in.files[0].size = VD_CAP_FILE_BYTES;
	seed_in.files[0].flags = FZ_FILE_WRITABLE;
	seed_save("huge-raw");
}

/* --- text --- */

/* As it is, for the fuzzer of texts, and as a file of a set. */
static void text_file(const char *name, const char *text)
{
	size_t len = strlen(text);
	char path[128];

	snprintf(path, sizeof(path), "text/%s", name);
	save_bytes(path, text, len);
	seed_begin(11);
	seed_in.ctl.nr_files = 1;
	seed_in.files[0].size = len;
	fz_input_add_bytes(&seed_in, 0, 0, (const u8 *)text, len);
	snprintf(path, sizeof(path), "text-%s", name);
	seed_save(path);
}

/* What the parser's child sends when it has read such a text. */
static void block(const char *name, const char *text)
{
	struct vd_file *file = vd_ufile_mem(text, strlen(text), false);
	struct vd_error err = { 0 };
	struct vd_layout *l;
	char path[128];

	if (vd_format_vmdk.user->layout(file, &l, &err)) {
		fprintf(stderr, "seeds: %s: %s\n", name, err.text);
		exit(1);
	}
	seed_begin(13);
	seed_in.ctl.kind = 1;
	seed_in.ctl.nr_files = 1;
	seed_in.files[0].size = l->total;
	fz_input_add_bytes(&seed_in, 0, 0, (const u8 *)l, l->total);
	snprintf(path, sizeof(path), "block-%s", name);
	seed_save(path);
	vd_free(l);
	vd_ufile_free(file);
}

#define HEAD "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n"

/* More lines than a descriptor may have. */
static void many_lines(void)
{
	static char text[sizeof(HEAD) + VMDK_CAP_LINES + 100];

	strcpy(text, HEAD);
	memset(text + sizeof(HEAD) - 1, '\n', VMDK_CAP_LINES + 10);
	text_file("lines", text);
}

static void texts(void)
{
	text_file("flat", HEAD "createType=\"monolithicFlat\"\n"
		  "RW 2048 FLAT \"a-flat.vmdk\" 0\nRW 2048 ZERO\n");
	text_file("delta", "# Disk DescriptorFile\nversion=3\nencoding=\"UTF-8\"\nCID=1\n"
		  "parentCID=2\nparentFileNameHint=\"p.vmdk\"\ncreateType=\"seSparse\"\n"
		  "RW 2048 SESPARSE \"a-se.vmdk\"\nRDONLY 8 VMFSSPARSE \"c.vmdk\"\n"
		  "NOACCESS 8 SPARSE \"d.vmdk\"\n# Change Tracking File\n"
		  "changeTrackPath=\"x-ctk.vmdk\"\nddb.longContentID = "
		  "\"0123456789abcdef0123456789abcdef\"\n");
	text_file("split", "\xef\xbb\xbf# Disk DescriptorFile \r\nversion = 1\r\nCID = 12345678\r\n"
		  "parentCID=ffffffff\r\nisNativeSnapshot=\"no\"\r\n"
		  "createType=\"twoGbMaxExtentSparse\"\r\n"
		  "RW 4192256 SPARSE \"d-s001.vmdk\"\r\nRW 2 SPARSE \"d-s002.vmdk\"\r\n\r\n"
		  "#DDB\r\nddb.adapterType = \"lsilogic\"\r\nddb.geometry.cylinders = \"261\"\r\n"
		  "ddb.geometry.heads = \"255\"\r\nddb.geometry.sectors = \"63\"\r\n"
		  "ddb.virtualHWVersion = \"4\"\r\nddb.toolsVersion = \"2147483647\"\r\n");
	text_file("vbox", HEAD "createType=\"monolithicSparse\"\nRW 8 SPARSE \"v.vmdk\"\n"
		  "ddb.uuid.image=\"01234567-89ab-cdef-0123-456789abcdef\"\n"
		  "ddb.uuid.modification=\"11234567-89ab-cdef-0123-456789abcdef\"\n"
		  "ddb.uuid.parent=\"21234567-89ab-cdef-0123-456789abcdef\"\n"
		  "ddb.uuid.parentmodification=\"00000000-0000-0000-0000-000000000000\"\n"
		  "ddb.comment=\"one\\ntwo\\\\three\\rfour\"\nddb.encoding = \"UTF-8\"\n");
	text_file("vmfs", HEAD "createType=\"vmfsThin\"\nRW 2048 VMFS \"v-flat.vmdk\"\n"
		  "ddb.thinProvisioned = \"1\"\nddb.logicalSectorSize = \"4096\"\n"
		  "ddb.uuid = \"60 00 C2 9a 00 01 02 03-04 05 06 07 08 09 0a 0b\"\n");
	text_file("sidecars", HEAD "createType=\"vmfs\"\nRW 8 VMFS \"a\"\n"
		  "ddb.sidecars = \"a.vmfd;\"\nddb.nativeParentHint = \"x\"\n");
	text_file("drive", HEAD "createType=\"custom\"\nRW 8 FLAT \"C:\\a.vmdk\" 0\n"
		  "RW 8 SPARSE \"d:b\"\nRW 8 SPARSE \"..\\c\"\n");
	many_lines();
	text_file("device", HEAD "createType=\"partitionedDevice\"\n"
		  "RW 63 FLAT \"mbr.vmdk\" 0\nRW 8 FLAT \"\\\\.\\PhysicalDrive0\" 63\n"
		  "RW 8 FLAT \"/dev/sda\" 0 partitionUUID /dev/sda1\n");
	text_file("others", HEAD "createType=\"vmfsPassthroughRawDeviceMap\"\n"
		  "RW 8 VMFSRDM \"x.vmdk\"\nRW 8 VMFSRAW \"y\"\nRW 8 VMFSRDMP \"z\"\n");
	text_file("crypt", HEAD "createType=\"monolithicSparse\"\nRW 8 SPARSE \"e.vmdk\"\n"
		  "encryptionKeys=\"vmware:key/list\"\nddb.iofilters = \"vmwarelwd\"\n"
		  "ddb.sidecars = \"a.vmfd;\"\nKeyID=\"x\"\n");
	block("flat", HEAD "createType=\"monolithicFlat\"\nRW 8 FLAT \"a\" 0\n");
	block("zero", HEAD "createType=\"custom\"\nRW 1 ZERO\nRW 8 SPARSE \"s\"\n");
	text_file("names", "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=2\n"
		  "createType=\"custom\"\nchangeTrackPath=\"disk-ctk.vmdk\"\n"
		  "RW 8 FLAT \"disk-flat.vmdk\" 0\nRW 8 FLAT \"disk2-flat.vmdk\" 0\n"
		  "RW 8 FLAT \"sub/disk-flat.vmdk\" 0\nRW 8 FLAT \"disk.vmdk\" 8\n"
		  "RW 8 FLAT \"disk.old-flat.vmdk\" 0\nparentFileNameHint=\"..\\disk.vmdk\"\n");
	text_file("empty", HEAD);
	text_file("twice", HEAD "CID=1\nCID=2\nversion=2\ncreateType=\"custom\"\nRW 1 ZERO\n");
}

/* --- images of others --- */

/* As what an image is opened, by its name's end; the first if there is none of these. */
static const struct {
	const char *extension;
	u32 format;
	u32 kind;
} others[] = {
	{ ".vmdk", VDISK_FORMAT_VMDK, VDISK_SEG_VMDK_SPARSE },
	{ ".vdi", VDISK_FORMAT_VDI, VDISK_SEG_VDI },
};

static u32 kind_of(const char *name)
{
	size_t len = strlen(name), end;
	u32 i;

	for (i = ARRAY_SIZE(others) - 1; i; i--) {
		end = strlen(others[i].extension);
		if (len > end && !strcmp(name + len - end, others[i].extension))
			break;
	}
	return i;
}

/* Its first part, and its end, where a stream has its footer. */
static void save_image(const char *path, int nr)
{
	static u8 head[IMAGE_MAX], tail[IMAGE_TAIL];
	const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	ssize_t len = fd < 0 ? -1 : pread(fd, head, sizeof(head), 0), end = 0;
	u32 kind = kind_of(base);
	char name[128];

	if (len <= 0 || fstat(fd, &st)) {
		fprintf(stderr, "seeds: %s cannot be read\n", path);
		exit(1);
	}
	seed_begin(12);
	seed_in.ctl.nr_images = seed_in.ctl.nr_segs = seed_in.ctl.nr_files = 1;
	seed_in.images[0] = (struct vdisk_image_desc){ others[kind].format, 0, 64 << 10 };
	seed_in.segs[0] = (struct vdisk_segment_desc){ .kind = others[kind].kind, .len = 64 << 10 };
	seed_in.files[0].size = (u64)st.st_size;
	fz_input_add_bytes(&seed_in, 0, 0, head, (size_t)len);
	if (st.st_size > IMAGE_MAX + IMAGE_TAIL) {
		end = pread(fd, tail, sizeof(tail), st.st_size - IMAGE_TAIL);
		fz_input_add_bytes(&seed_in, 0, (u64)st.st_size - IMAGE_TAIL, tail, (size_t)end);
	}
	close(fd);
	snprintf(name, sizeof(name), "image-%d-%s", nr, base);
	seed_save(name);
}

/* Formats that bring seeds of their own. */
static void (*const seed_formats[])(void) = { seeds_vdi, seeds_inside };

int main(int argc, char **argv)
{
	size_t i;
	int arg;

	if (argc < 2) {
		fprintf(stderr, "usage: seeds DIRECTORY [IMAGE...]\n");
		return 2;
	}
	directory = argv[1];
	make_directory("");
	make_directory("set");
	make_directory("text");
	for (i = 0; i < ARRAY_SIZE(img_kinds); i++) {
		save_case(&img_kinds[i], 2, 0);
		save_case(&img_kinds[i], 3, 0);
		save_case(&img_kinds[i], 4, FZ_DOUBLE_FETCH);
		save_case(&img_kinds[i], 5, (u8)(1U << i % 8));
	}
	streams();
	esx();
	encrypted();
	damaged("damaged-mark", IMG_F_RGD, false, false);
	damaged("damaged-twice", IMG_F_RGD, true, false);
	damaged("damaged-table", IMG_F_RGD, true, true);
	damaged("damaged-plain", 0, true, true);
	damaged_cowd();
	huge();
	texts();
	for (i = 0; i < ARRAY_SIZE(seed_formats); i++)
		seed_formats[i]();
	for (arg = 2; arg < argc; arg++)
		save_image(argv[arg], arg - 1);
	return 0;
}
