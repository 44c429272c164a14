// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every file beneath a directory. Links are not followed, other file systems not
 * entered; what may be an image is read by the confined parser, one child process
 * a file, so the first bytes decide whether that is worth it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "chain-scan.h"

#define MAX_ENTRIES	65536
#define MAX_DEPTH	32

/* --- one file --- */

static char *copy_str(const struct vd_layout *l, vd_str s)
{
	const char *text = vd_layout_str(l, s);

	return text ? xstrdup(text) : NULL;
}

static void take_layout(struct scan_file *f, const struct vd_layout *l)
{
	layout_ids(l, &f->ids);
	f->size = l->props.size;
	f->subformat = copy_str(l, l->subformat);
	f->hint = copy_str(l, l->props.parent_name);
	f->parent_format = copy_str(l, l->parent_format);
}

static void parse(struct scan *scan, struct scan_file *f, int fd, bool named_so)
{
	struct parsed parsed;

	if (parse_confined(fd, f->path, NULL, true, &parsed)) {
		f->error = ctl_pending_text();
		ctl_drop();
		return;
	}
	if (parsed.layout) {
		f->format = parsed.format;
		take_layout(f, parsed.layout);
		scan->nr_images++;
	} else if (named_so) {
		f->error = xstrdup("it is in no format that vdctl recognises");
	}
	vd_free(parsed.layout);
}

static bool worth_it(int fd)
{
	u8 data[VD_MAGIC_END];
	ssize_t n = pread(fd, data, sizeof(data), 0);

	return n > 0 && begins_as_image(data, (size_t)n);
}

/* @path is taken over. */
static struct scan_file *add_file(struct scan *scan, char *path, const struct stat *st, u32 dir)
{
	struct scan_file *f;

	if (!(scan->nr & (scan->nr - 1)))
		scan->files = xrealloc(scan->files, scan->nr ? 2 * (size_t)scan->nr : 1,
				       sizeof(*f));
	f = &scan->files[scan->nr++];
	*f = (struct scan_file) {
		.path = path,
		.dev = st->st_dev,
		.ino = st->st_ino,
		.uid = st->st_uid,
		.size = (u64)st->st_size,
		.dir = dir,
	};
	return f;
}

static void look_at(struct scan *scan, struct scan_file *f, int path_fd)
{
	bool named_so = name_is_image(f->path);
	int fd;

	if (!f->size)
		return;
	if (reopen_checked(path_fd, f->path, false, &fd)) {
		f->error = ctl_pending_text();
		ctl_drop();
		return;
	}
	if (named_so || worth_it(fd))
		parse(scan, f, fd, named_so);
	close(fd);
}

/* --- the walk --- */

static int walk(struct scan *scan, int fd, const char *path, u32 depth);

static void walk_below(struct scan *scan, int dirfd, const char *name, const char *path, u32 depth)
{
	int fd;

	if (depth == MAX_DEPTH) {
		ctl_warn(path, "is %u directories deep; what is below is not looked at", MAX_DEPTH);
		scan->cut = true;
		return;
	}
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		ctl_warn(path, "cannot look into it: %s", strerror(errno));
	else
		walk(scan, fd, path, depth);
}

static void entry(struct scan *scan, int dirfd, const char *name, const char *dir, u32 number,
		  u32 depth)
{
	int fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	char *path;
	struct stat st;

	if (fd < 0)
		return;
	if (fstat(fd, &st) || st.st_dev != scan->dev) {
		close(fd);
		return;
	}
	path = xasprintf("%s/%s", strcmp(dir, "/") ? dir : "", name);
	if (S_ISREG(st.st_mode)) {
		look_at(scan, add_file(scan, path, &st, number), fd);
	} else {
		if (S_ISDIR(st.st_mode))
			walk_below(scan, dirfd, name, path, depth + 1);
		free(path);
	}
	close(fd);
}

static bool is_dots(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

/* Takes over @fd. */
static int walk(struct scan *scan, int fd, const char *path, u32 depth)
{
	DIR *dir = fdopendir(fd);
	u32 number = scan->nr_dirs++;
	struct dirent *e;

	if (!dir) {
		close(fd);
		return ctl_errno(errno, path, "cannot look into it");
	}
	while (!stop_wanted() && (e = readdir(dir))) {
		if (is_dots(e->d_name))
			continue;
		if (scan->nr_entries == MAX_ENTRIES) {
			scan->cut = true;
			break;
		}
		scan->nr_entries++;
		entry(scan, fd, e->d_name, path, number, depth);
		progress_files(&scan->progress, scan->nr_entries, scan->nr_images);
	}
	closedir(dir);
	return 0;
}

static int walk_root(struct scan *scan, const char *dir)
{
	struct stat st;
	int fd, ret;

	scan->root = realpath(dir, NULL);
	fd = scan->root ? open(scan->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (fd < 0 || fstat(fd, &st)) {
		ret = ctl_errno(errno, dir, NULL);
		if (fd >= 0)
			close(fd);
		return ret;
	}
	scan->dev = st.st_dev;
	progress_begin(&scan->progress, 0);
	ret = walk(scan, fd, scan->root, 0);
	progress_end(&scan->progress);
	if (!ret)
		ret = stop_asked();
	if (!ret && scan->nr_entries == MAX_ENTRIES && scan->cut)
		ctl_warn(dir, "looked at %u names; there are more", MAX_ENTRIES);
	return ret;
}

/* --- the order --- */

static int compare_inode(const void *a, const void *b)
{
	const struct scan_file *x = a, *y = b;

	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	return strcmp(x->path, y->path);
}

static int compare_path(const void *a, const void *b)
{
	return strcmp(((const struct scan_file *)a)->path, ((const struct scan_file *)b)->path);
}

static void free_file(struct scan_file *f)
{
	free(f->path);
	free(f->subformat);
	free(f->hint);
	free(f->parent_format);
	free(f->error);
}

/* A file with several names is one file. */
static void sort(struct scan *scan)
{
	u32 i, n = 0;

	if (!scan->nr)
		return;
	qsort(scan->files, scan->nr, sizeof(*scan->files), compare_inode);
	for (i = 1; i < scan->nr; i++) {
		if (scan->files[i].dev == scan->files[n].dev &&
		    scan->files[i].ino == scan->files[n].ino)
			free_file(&scan->files[i]);
		else
			scan->files[++n] = scan->files[i];
	}
	scan->nr = n + 1;
	qsort(scan->files, scan->nr, sizeof(*scan->files), compare_path);
}

static u32 find_path(const struct scan *scan, char *path)
{
	struct scan_file key = { .path = path };
	const struct scan_file *f;

	f = bsearch(&key, scan->files, scan->nr, sizeof(key), compare_path);
	return f ? (u32)(f - scan->files) : CHAIN_NONE;
}

/* A hint that climbs is left to the other ways to find a parent. */
static u32 hint_node(const struct scan *scan, const struct scan_file *f)
{
	const char *hint = f->hint;
	char *dir, *path;
	u32 node;

	if (!hint || !*hint || strstr(hint, ".."))
		return CHAIN_NONE;
	while (!strncmp(hint, "./", 2))
		hint += 2;
	dir = path_dir(f->path);
	path = *hint == '/' ? xstrdup(hint) : xasprintf("%s/%s", dir, hint);
	node = find_path(scan, path);
	free(path);
	free(dir);
	return node;
}

static int compare_twins(const void *a, const void *b)
{
	const struct scan_file *x = *(const struct scan_file *const *)a;
	const struct scan_file *y = *(const struct scan_file *const *)b;

	if (x->dir != y->dir)
		return x->dir < y->dir ? -1 : 1;
	return memcmp(x->ids.uuid, y->ids.uuid, sizeof(x->ids.uuid));
}

static void find_twins(struct scan *scan)
{
	struct scan_file **list = xrealloc(NULL, (size_t)scan->nr + 1, sizeof(struct scan_file *));
	u32 i;

	for (i = 0; i < scan->nr; i++)
		list[i] = &scan->files[i];
	qsort(list, scan->nr, sizeof(struct scan_file *), compare_twins);
	for (i = 1; i < scan->nr; i++)
		if (!compare_twins(&list[i - 1], &list[i]))
			list[i - 1]->twin = list[i]->twin = true;
	free(list);
}

static int make_forest(struct scan *scan)
{
	u32 i;

	scan->nodes = xrealloc(NULL, (size_t)scan->nr + 1, sizeof(*scan->nodes));
	memset(scan->nodes, 0, ((size_t)scan->nr + 1) * sizeof(*scan->nodes));
	for (i = 0; i < scan->nr; i++) {
		const struct scan_file *f = &scan->files[i];
		struct chain_node *n = &scan->nodes[i];

		n->ids = f->ids;
		n->name = path_base(f->path);
		n->hint = f->hint ? hint_base(f->hint) : NULL;
		n->hint_node = hint_node(scan, f);
		n->dir = f->dir;
		n->plain = !f->format;
	}
	find_twins(scan);
	return chain_forest(scan->nodes, scan->nr) ? ctl_nomem() : 0;
}

/* The image that the user named, which may lie elsewhere. */
static int add_image(struct scan *scan, const char *image, struct stat *st)
{
	int fd = open(image, O_PATH | O_CLOEXEC);
	char *path = realpath(image, NULL);
	struct scan_file *f;
	int ret = 0;

	if (fd < 0 || !path || fstat(fd, st)) {
		ret = ctl_errno(errno, image, NULL);
	} else if (!S_ISREG(st->st_mode)) {
		ret = ctl_error(CTL_FAIL, "not_an_image", image, "is no regular file");
	} else {
		f = add_file(scan, path, st, scan->nr_dirs++);
		path = NULL;
		look_at(scan, f, fd);
		if (f->error || !f->format)
			ret = ctl_error(CTL_IMAGE, "image_damaged", image, "%s", f->error ?
					f->error : "it is in no format that vdctl recognises");
	}
	free(path);
	if (fd >= 0)
		close(fd);
	return ret;
}

/* In the walk it was perhaps met by another name. */
static bool was_met(const struct scan *scan, const char *image)
{
	struct stat st;
	u32 i;

	if (stat(image, &st))
		return false;
	for (i = 0; i < scan->nr; i++)
		if (scan->files[i].dev == st.st_dev && scan->files[i].ino == st.st_ino)
			return scan->files[i].format;
	return false;
}

static int find_image(struct scan *scan, const char *image, u32 *index)
{
	struct stat st;
	u32 i;

	if (stat(image, &st))
		return ctl_errno(errno, image, NULL);
	for (i = 0; i < scan->nr; i++)
		if (scan->files[i].dev == st.st_dev && scan->files[i].ino == st.st_ino)
			*index = i;
	return 0;
}

int scan_dir(struct scan *scan, const char *dir, const char *image, u32 *index)
{
	struct stat st;
	int ret;

	*index = CHAIN_NONE;
	ret = walk_root(scan, dir);
	if (!ret && image && !was_met(scan, image))
		ret = add_image(scan, image, &st);
	if (ret)
		return ret;
	sort(scan);
	if (image)
		ret = find_image(scan, image, index);
	return ret ? ret : make_forest(scan);
}

void scan_free(struct scan *scan)
{
	while (scan->nr)
		free_file(&scan->files[--scan->nr]);
	free(scan->files);
	free(scan->nodes);
	free(scan->root);
}
