// SPDX-License-Identifier: GPL-2.0-only
/*
 * depth BASE IMAGES SETS WHAT: a chain of IMAGES images, the base a sparse VMDK
 * whose grains lie in random order (BASE "sparse") or a raw file ("raw"), all above
 * it sparse VMDKs without a grain; or a dynamic VDI in random order and empty
 * differencing ones ("vdi"). What is in the base is read, or mapped (WHAT
 * "read" or "map"), 4 KiB at a time, at random places: until it is warm, and then
 * as often again, in measured(), which is what a profiler is to count. SETS: of the
 * table of resolved extents; 0: as usual; "none": there is no table. WHAT "top":
 * data of the top is read, which has all of it.
 *
 * Prints how many were measured; each is compared with what must be there.
 */
#include "img-sparse.h"
#include "img-vdi.h"

#define BLOCK		4096U
#define GRAIN		(64 * UT_KIB)
#define DISK		(40 * UT_MIB)
#define WORK_FROM	(4 * UT_MIB)	/* what is read */
#define WORK_LEN	(32 * UT_MIB)
#define ROUND		(u32)(WORK_LEN / BLOCK)

struct job {
	struct vd_chain *chain;
	const u8 *want;
	u64 pos[ROUND];
	u8 buf[ROUND][8];	/* the first bytes of each */
	bool map;
};

static void die(const char *text)
{
	fprintf(stderr, "depth: %s\n", text);
	exit(2);
}

/* A real file, as a tool has it: a copy within a process would be most of a read. */
static u32 add_file(struct ut_set *set, const void *data, size_t len)
{
	FILE *file = tmpfile();
	struct vd_error err = { 0 };

	if (!file || fwrite(data, 1, len, file) != len || fflush(file))
		die("no room for a file");
	return ut_set_file(set, vd_ufile_fd(fileno(file), false, &err));
}

static void add_sparse(struct ut_set *set, const struct ut_disk *disk, u64 seed)
{
	struct img_sparse form = { .version = 1, .flags = IMG_F_RGD, .seed = seed };

	img_sparse_write(&form, disk);
	ut_set_image(set, VDISK_FORMAT_VMDK, DISK);
	ut_set_seg(set, VDISK_SEG_VMDK_SPARSE, add_file(set, form.buf.data, form.buf.len), 0,
		   DISK, 0);
	ut_buf_free(&form.buf);
}

static void add_vdi(struct ut_set *set, const struct ut_disk *disk, u32 type)
{
	struct img_vdi form = { .type = type, .seed = 1 };

	img_vdi_write(&form, disk);
	ut_set_image(set, VDISK_FORMAT_VDI, DISK);
	ut_set_seg(set, VDISK_SEG_VDI, add_file(set, form.buf.data, form.buf.len), 0, DISK, 0);
	ut_buf_free(&form.buf);
}

static void add_delta(struct ut_set *set, const struct ut_disk *disk, const char *kind)
{
	if (!strcmp(kind, "vdi"))
		add_vdi(set, disk, IMG_VDI_DIFF);
	else
		add_sparse(set, disk, 2);
}

static void add_base(struct ut_set *set, const struct ut_disk *disk, const char *kind)
{
	if (!strcmp(kind, "sparse")) {
		add_sparse(set, disk, 1);
	} else if (!strcmp(kind, "raw")) {
		ut_set_image(set, VDISK_FORMAT_RAW, DISK);
		ut_set_seg(set, VDISK_SEG_RAW, add_file(set, disk->data, DISK), 0, DISK, 0);
	} else if (!strcmp(kind, "vdi")) {
		add_vdi(set, disk, IMG_VDI_DYNAMIC);
	} else {
		die("BASE is sparse, raw or vdi");
	}
}

static void choose(struct job *j, struct ut_rng *rng)
{
	u32 i;

	for (i = 0; i < ROUND; i++)
		j->pos[i] = WORK_FROM + ut_below(rng, ROUND) * BLOCK;
}

static int one(const struct job *j, u64 pos, u8 *buf)
{
	struct vd_extent ext;

	if (!j->map)
		return vd_read(j->chain, NULL, pos, buf, BLOCK);
	return vd_map(j->chain, pos, BLOCK, VD_MAP_NOWAIT, &ext);
}

/* Nothing but what is to be counted, and a loop around it. */
__attribute__((noinline)) void measured(struct job *j, u8 *buf);
void measured(struct job *j, u8 *buf)
{
	u32 i;

	for (i = 0; i < ROUND; i++) {
		if (one(j, j->pos[i], buf))
			die("cannot be read");
		memcpy(j->buf[i], buf, sizeof(j->buf[i]));
	}
}

static void warm(struct job *j, u8 *buf)
{
	u32 i;

	j->map = false;
	for (i = 0; i < ROUND; i++)
		if (one(j, j->pos[i], buf) || memcmp(buf, j->want + j->pos[i], BLOCK))
			die("reads something else");
}

static void run(struct job *j, bool map)
{
	struct ut_rng rng = { 7 };
	u8 buf[BLOCK];
	u32 i;

	for (i = 0; i < 4; i++) {
		choose(j, &rng);
		warm(j, buf);
	}
	choose(j, &rng);
	j->map = map;
	measured(j, buf);
	for (i = 0; !map && i < ROUND; i++)
		if (memcmp(j->buf[i], j->want + j->pos[i], sizeof(j->buf[i])))
			die("read something else");
	printf("%u\n", ROUND);
}

int main(int argc, char **argv)
{
	struct ut_disk *full = ut_disk_new(DISK, GRAIN), *empty = ut_disk_new(DISK, GRAIN);
	struct job *j = ut_xalloc(sizeof(*j));
	struct vd_error err = { 0 };
	struct vd_chain_desc desc;
	struct ut_set set = { 0 };
	u32 i, images, g;
	bool top;

	if (argc != 5)
		die("needs BASE IMAGES SETS WHAT");
	images = (u32)atoi(argv[2]);
	top = !strcmp(argv[4], "top");
	for (g = 0; g < full->nr; g++)
		ut_disk_set(full, g, UT_DATA, 1);
	for (i = 1; i < images; i++)
		add_delta(&set, top && i == 1 ? full : empty, argv[1]);
	add_base(&set, full, argv[1]);
	desc = ut_set_desc(&set);
	desc.resolve_sets = strcmp(argv[3], "none") ? (u32)atoi(argv[3]) : VD_RESOLVE_NONE;
	if (vd_chain_open(&desc, &j->chain, &err))
		die(err.text);
	j->want = full->data;
	run(j, !strcmp(argv[4], "map"));
	vd_chain_close(j->chain);
	ut_set_free(&set);
	ut_disk_free(full);
	ut_disk_free(empty);
	free(j);
	return 0;
}
