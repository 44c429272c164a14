// SPDX-License-Identifier: GPL-2.0-only
/*
 * Open an image as vdctl and the kernel do, and count what that costs:
 *
 *	hostile-open [-f raw] [--parent FILE] IMAGE
 *
 * prints "open ERRNO SENTENCE", and counts. Exit status 1 if anything costs
 * more than it may; that this is the whole of it, the sanitizers see.
 *
 * Whether a name may be followed is vdctl's to say, not asked here.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "vdisk/caps.h"
#include "vdisk/image.h"
#include "vdisk/layout.h"
#include "vdisk/ufile.h"

#include "ut-probe.h"

/* DESIGN's: what an image may cost more than a raw one of 1 MiB. */
#define MAX_HELD	(256U << 10)
/* But of very many segments the tables that are sent alone are more. */
#define MAX_HELD_SEG	512U
/* Of an image: magic, header, footer with two markers, descriptor; and each format's probe. */
#define MAX_LAYOUT_OPS	6U
/* Of a segment: magic, header, footer with two markers. */
#define MAX_OPEN_OPS	5U
/* Of one answer, in each image: two directories and two tables. */
#define MAX_MAP_OPS	4U
#define RANDOM_MAPS	1000U
#define WALK_CALLS	2000U
#define MIB		(1U << 20)

/* The sanitizer's; GCC brings no header for it. */
size_t __sanitizer_get_current_allocated_bytes(void);

static char dir[PATH_MAX];
static unsigned long ops;
static size_t largest;
static int failures;

static struct vdisk_image_desc images[VDISK_MAX_IMAGES];
static struct vdisk_segment_desc segs[VDISK_MAX_SEGMENTS];
static struct vd_file *plain[VDISK_MAX_MEMBERS], *files[VDISK_MAX_MEMBERS];
static int fds[VDISK_MAX_MEMBERS];
static struct vd_chain_desc desc = { .files = files, .images = images, .segments = segs };

static void at_most(const char *what, unsigned long found, unsigned long max)
{
	printf("%s %lu of %lu\n", what, found, max);
	if (found <= max)
		return;
	fprintf(stderr, "%s: %lu, at most %lu\n", what, found, max);
	failures++;
}

static void count_op(void *ctx, enum vd_file_op op, u64 pos, u64 len, const void *data)
{
	ops++;
	if (op != VD_OP_READ) {
		fprintf(stderr, "operation %d on a file that is only read\n", op);
		failures++;
	}
}

static bool note_size(size_t size)
{
	largest = max(largest, size);
	return true;
}

static int open_name(const char *name)
{
	char path[2 * PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", name[0] == '/' ? "" : dir, name);
	return open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | (desc.nr_files ? O_NOFOLLOW : 0));
}

/* As it is written, or its last part beside the image. */
static int open_hint(const char *name)
{
	int fd = open_name(name);
	const char *last = name, *p;

	for (p = name; *p; p++)
		if (*p == '/' || *p == '\\')
			last = p + 1;
	return fd < 0 && last != name ? open_name(last) : fd;
}

static struct vd_file *open_file(const char *name, struct vd_error *err)
{
	u32 n = desc.nr_files;

	fds[n] = open_hint(name);
	if (fds[n] < 0) {
		vd_fail(err, -errno, "%s cannot be opened", name);
		return NULL;
	}
	plain[n] = vd_ufile_fd(fds[n], false, err);
	files[n] = plain[n] ? vd_ufile_record(plain[n], count_op, NULL) : NULL;
	if (!files[n])
		return NULL;
	files[n]->index = n;
	desc.nr_files++;
	return files[n];
}

static void add_seg(const struct vdisk_segment_desc *seg)
{
	segs[desc.nr_segments] = *seg;
	segs[desc.nr_segments++].image = desc.nr_images;
}

static int add_extents(const struct vd_layout *l, u32 self, struct vd_error *err)
{
	const struct vd_layout_seg *from = vd_layout_segs(l);
	u32 i;

	for (i = 0; i < l->nr_segs; i++, from++) {
		struct vdisk_segment_desc seg = {
			.kind = from->kind,
			.member = from->flags & VD_LSEG_SELF ? self : VDISK_NO_MEMBER,
			.start = from->start,
			.len = from->len,
			.offset = from->offset,
		};

		if (from->name) {
			struct vd_file *file = open_file(vd_layout_str(l, from->name), err);

			if (!file)
				return err->code;
			seg.member = file->index;
		}
		add_seg(&seg);
	}
	return 0;
}

static unsigned long layout_ops(void)
{
	const struct vd_format *const *f;
	unsigned long n = MAX_LAYOUT_OPS;

	for (f = vd_formats(); *f; f++)
		n += !!((*f)->caps & VD_CAP_PROBE);
	return n;
}

/* What the user says instead of the image; used once. */
static const char *given;

/* Copy of the name of the next image, or NULL. */
static char *next_of(const struct vd_layout *l)
{
	const char *name = vd_layout_str(l, l->props.parent_name);

	if (!(l->flags & VD_LAYOUT_PARENT))
		return NULL;
	if (!name) {
		name = given;
		given = NULL;
	}
	return name ? strdup(name) : NULL;
}

/* *@parent: as next_of(). */
static int add_image(const char *name, bool raw, char **parent, struct vd_error *err)
{
	struct vd_file *file = open_file(name, err);
	const struct vd_format *format;
	struct vd_layout *l = NULL;
	int ret;

	*parent = NULL;
	if (!file)
		return err->code;
	format = raw ? NULL : ut_probe(file);
	if (!format)
		format = &vd_format_raw;
	ret = format->user->layout(file, &l, err);
	if (ret)
		return ret;
	images[desc.nr_images].format = format->id;
	images[desc.nr_images].size = l->props.size;
	ret = add_extents(l, file->index, err);
	if (!ret)
		*parent = next_of(l);
	vd_free(l);
	desc.nr_images++;
	return ret;
}

static int add_chain(const char *name, bool raw, struct vd_error *err)
{
	char *parent = NULL, *next = strdup(name);
	int ret = 0;

	while (next && !ret) {
		if (desc.nr_images == VDISK_MAX_IMAGES)
			ret = vd_fail(err, -EOPNOTSUPP, "the chain is too deep");
		else
			ret = add_image(next, raw, &parent, err);
		free(next);
		next = parent;
		parent = NULL;
	}
	free(next);
	return ret;
}

/* What a valid raw image of 1 MiB costs. */
static size_t raw_cost(void)
{
	struct vd_file *file = vd_ufile_mem(NULL, 0, false);
	struct vdisk_image_desc image = { .format = VDISK_FORMAT_RAW, .size = MIB };
	struct vdisk_segment_desc seg = { .kind = VDISK_SEG_RAW, .len = MIB };
	struct vd_chain_desc d = { .files = &file, .nr_files = 1, .images = &image,
				   .nr_images = 1, .segments = &seg, .nr_segments = 1 };
	struct vd_chain *chain = NULL;
	struct vd_error err = { 0 };
	size_t before, held;

	file->size = MIB;
	before = __sanitizer_get_current_allocated_bytes();
	if (vd_chain_open(&d, &chain, &err)) {
		fprintf(stderr, "raw: %s\n", err.text);
		exit(1);
	}
	held = __sanitizer_get_current_allocated_bytes() - before;
	vd_chain_close(chain);
	vd_ufile_free(file);
	return held;
}

static u64 noise(void)
{
	static u64 x = 88172645463325252ULL;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

static unsigned long map_once(struct vd_chain *chain, u64 pos, u64 len, u64 *got)
{
	unsigned long before = ops;
	struct vd_extent ext;
	int ret = vd_map(chain, pos, len, 0, &ext);

	*got = ret ? 0 : ext.len;
	if (!ret && (ext.pos != pos || !ext.len || ext.len > len)) {
		fprintf(stderr, "map of %llu + %llu gives %llu + %llu\n", pos, len, ext.pos,
			ext.len);
		failures++;
	}
	return ops - before;
}

static void count_maps(struct vd_chain *chain)
{
	unsigned long most = 0;
	u64 got, pos = 0;
	u32 i;

	for (i = 0; i < RANDOM_MAPS; i++)
		most = max(most, map_once(chain, noise() % (chain->size / 512) * 512, 512, &got));
	at_most("map", most, MAX_MAP_OPS * desc.nr_images);

	/* The whole disk, or as much as so many answers cover. */
	for (i = 0, most = 0; i < WALK_CALLS && pos < chain->size; i++) {
		most = max(most, map_once(chain, pos, chain->size - pos, &got));
		pos += got ? got : max_t(u64, chain->size / 4096 & ~511ULL, 512);
	}
	at_most("walk", most, MAX_MAP_OPS * desc.nr_images);
}

static void count_read(struct vd_chain *chain, u64 pos)
{
	u32 len = (u32)min_t(u64, MIB, chain->size - pos);
	struct vd_unit unit = { 0 };
	void *buf = malloc(MIB);
	unsigned long before = ops;

	if (!buf || vd_read(chain, &unit, pos, buf, len) > 0)
		failures++;
	at_most("read", ops - before, len / 512 * (MAX_MAP_OPS * desc.nr_images + 1));
	vd_unit_release(&unit);
	free(buf);
}

static void count_open(struct vd_error *err)
{
	size_t base = raw_cost(), before = __sanitizer_get_current_allocated_bytes();
	struct vd_chain *chain = NULL;
	unsigned long held;

	ops = 0;
	largest = 0;
	vd_chain_open(&desc, &chain, err);
	at_most("open-ops", ops, MAX_OPEN_OPS * desc.nr_segments);
	at_most("open-largest", largest, max(MAX_HELD, MAX_HELD_SEG * desc.nr_segments));
	held = __sanitizer_get_current_allocated_bytes() - before;
	if (!chain) {
		at_most("held", held, 0);
		return;
	}
	at_most("held", held > base ? held - base : 0,
		max(MAX_HELD, MAX_HELD_SEG * desc.nr_segments));
	count_maps(chain);
	count_read(chain, 0);
	count_read(chain, chain->size > MIB ? chain->size - MIB : 0);
	vd_chain_close(chain);
	at_most("left", __sanitizer_get_current_allocated_bytes() - before, 0);
}

static void split_path(const char *path, char *name)
{
	const char *slash = strrchr(path, '/');

	snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
	snprintf(name, PATH_MAX, "%s", slash ? slash + 1 : path);
}

int main(int argc, char **argv)
{
	struct vd_error err = { 0 };
	char name[PATH_MAX];
	bool raw = false;
	u32 i;
	int arg;

	for (arg = 1; arg + 2 < argc; arg += 2) {
		if (!strcmp(argv[arg], "--parent"))
			given = argv[arg + 1];
		else
			raw = !strcmp(argv[arg + 1], "raw");
	}
	if (arg + 1 != argc)
		return 2;
	split_path(argv[arg], name);
	vd_alloc_hook = note_size;
	if (!add_chain(name, raw, &err)) {
		at_most("layout-ops", ops, layout_ops() * desc.nr_images);
		/* The text, and what it says. */
		at_most("layout-largest", largest, VMDK_CAP_DESCRIPTOR + 1);
		count_open(&err);
	}
	printf("open %d %s\n", -err.code, err.text);
	for (i = 0; i < desc.nr_files; i++) {
		vd_ufile_free(files[i]);
		vd_ufile_free(plain[i]);
		close(fds[i]);
	}
	return failures ? 1 : 0;
}
