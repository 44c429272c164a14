// SPDX-License-Identifier: GPL-2.0-only
/*
 * QEMU's reading of an image: qemu-img convert to a raw file and qemu-img map.
 * A sector that cannot be read is named and passed over (--salvage), so that one
 * bad grain does not hide the rest of the disk.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "differ.h"

#define RAW_OUT "out.raw"

/* The first line that a program printed about its failure. */
static void first_error(char *to, size_t room)
{
	FILE *f = fopen("err", "r");

	to[0] = '\0';
	if (f && !fgets(to, (int)room, f))
		to[0] = '\0';
	to[strcspn(to, "\n")] = '\0';
	if (f)
		fclose(f);
}

static bool died(const struct df_run *run, struct df_answer *a)
{
	if (!run->late && !WIFSIGNALED(run->status))
		return false;
	a->broken = true;
	snprintf(a->text, sizeof(a->text), "qemu-img %s (signal %d)",
		 run->late ? "took too long" : "died", WTERMSIG(run->status));
	return true;
}

/*
 * Lines "error while reading offset N" and "... block status at offset N". After
 * the second, --salvage reads all the same; a convert without it ends there.
 */
static void take_bad(struct df_piece *p)
{
	FILE *f = fopen("err", "r");
	char line[DF_TEXT];
	unsigned long long pos;
	const char *at;

	while (f && fgets(line, sizeof(line), f)) {
		at = strstr(line, "error while reading ");
		at = at ? strstr(at, "offset ") : NULL;
		if (at && sscanf(at + 7, "%llu", &pos) == 1 && pos < p->len)
			p->bad[pos / DF_SECTOR] = 1;
	}
	if (f)
		fclose(f);
}

/* 0, or the size of what was written is not what was to be. */
static bool take_content(struct df_piece *p)
{
	struct stat st;
	int fd = open(RAW_OUT, O_RDONLY | O_CLOEXEC);
	bool good = fd >= 0 && !fstat(fd, &st) && (u64)st.st_size == p->len &&
		    pread(fd, p->data, p->len, 0) == (ssize_t)p->len;

	if (fd >= 0)
		close(fd);
	return good;
}

static const char *format(const struct df_image *img)
{
	return img->raw ? "raw" : "vmdk";
}

/* The whole disk. False: it could not be opened or is large; @a->text says. */
static bool convert_whole(const struct df_image *img, struct df_answer *a, struct df_run *run)
{
	const char *argv[] = { "qemu-img", "convert", "-U", "--salvage", "-f", format(img), "-O",
			       "raw", img->name[0], RAW_OUT, NULL };
	struct stat st;

	unlink(RAW_OUT);
	if (!df_run(argv, "out", "err", run))
		abort();
	if (died(run, a))
		return false;
	first_error(a->text, sizeof(a->text));
	if (run->status || stat(RAW_OUT, &st))
		return false;
	a->opened = true;
	if ((u64)st.st_size > DF_HEAD)
		return false;
	df_answer_pieces(a, (u64)st.st_size);
	take_bad(&a->pieces[0]);
	return take_content(&a->pieces[0]);
}

/* A part of a disk: through QEMU's raw driver, which can be given a place and a size. */
static bool convert_piece(const struct df_image *img, struct df_answer *a, struct df_piece *p)
{
	char node[512];
	const char *argv[] = { "qemu-img", "convert", "-U", "--salvage", "-O", "raw", node,
			       RAW_OUT, NULL };
	struct df_run run;

	snprintf(node, sizeof(node),
		 "json:{\"driver\":\"raw\",\"offset\":%llu,\"size\":%llu,"
		 "\"file\":{\"driver\":\"%s\",\"file\":"
		 "{\"driver\":\"file\",\"filename\":\"%s\"}}}",
		 p->pos, p->len, format(img), img->name[0]);
	unlink(RAW_OUT);
	if (!df_run(argv, "out", "err", &run))
		abort();
	if (died(&run, a))
		return false;
	first_error(a->text, sizeof(a->text));
	if (run.status)
		return false;
	take_bad(p);
	return take_content(p);
}

static u64 virtual_size(const struct df_image *img, struct df_answer *a)
{
	const char *argv[] = { "qemu-img", "info", "-U", "--output=json", "-f", format(img),
			       img->name[0], NULL };
	char line[DF_TEXT];
	/* Indented by four: of the disk, not of one of its extents. */
	static const char top[] = "    \"virtual-size\": ";
	unsigned long long size = 0;
	struct df_run run;
	FILE *f;

	if (!df_run(argv, "out", "err", &run))
		abort();
	if (died(&run, a))
		return 0;
	f = fopen("out", "r");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, top, strlen(top)))
			sscanf(line + strlen(top), "%llu", &size);
	if (f)
		fclose(f);
	return size;
}

static bool flag(const char *line, const char *name)
{
	const char *at = strstr(line, name);

	return at && !strncmp(at + strlen(name), ": true", 6);
}

static bool number(const char *line, const char *name, u64 *out)
{
	const char *at = strstr(line, name);
	unsigned long long n;

	if (!at || sscanf(at + strlen(name), ": %llu", &n) != 1)
		return false;
	*out = n;
	return true;
}

static void take_map(struct df_answer *a)
{
	FILE *f = fopen("out", "r");
	char line[DF_TEXT];

	while (f && fgets(line, sizeof(line), f)) {
		struct df_range r = { 0 };
		u64 depth = 0;

		if (!number(line, "\"start\"", &r.start) || !number(line, "\"length\"", &r.len))
			continue;
		number(line, "\"depth\"", &depth);
		r.depth = (u32)depth;
		r.zero = flag(line, "\"zero\"");
		r.data = flag(line, "\"data\"");
		r.has_offset = number(line, "\"offset\"", &r.offset);
		df_answer_range(a, &r);
	}
	if (f)
		fclose(f);
}

static void map(const struct df_image *img, struct df_answer *a)
{
	char length[40];
	const char *argv[] = { "qemu-img", "map", "-U", "--output=json", "-f", format(img), length,
			       img->name[0], NULL };
	struct df_run run;

	snprintf(length, sizeof(length), "--max-length=%llu", a->pieces[0].len);
	if (!df_run(argv, "out", "err", &run))
		abort();
	if (died(&run, a))
		return;
	take_map(a);
	if (run.status) {
		a->map_failed = true;
		first_error(a->map_text, sizeof(a->map_text));
	}
}

/*
 * @ours: a disk that we take for large is not written as a whole, to no avail.
 */
void df_qemu(const struct df_image *img, const struct df_answer *ours, struct df_answer *a)
{
	struct df_run run;
	u64 size;
	u32 i;

	df_answer_reset(a);
	if (!convert_whole(img, a, &run)) {
		if (a->broken || strstr(a->text, "Could not open"))
			return;
		size = virtual_size(img, a);
		if (!size || a->broken)
			return;
		a->opened = true;
		df_answer_pieces(a, size);
		/* What we refuse has nothing to be compared with. */
		for (i = 0; ours->opened && i < a->nr_pieces; i++) {
			if (!convert_piece(img, a, &a->pieces[i]) && !a->broken) {
				a->broken = true;
				return;
			}
		}
	}
	if (ours->opened && a->pieces[0].len && !a->broken)
		map(img, a);
}
