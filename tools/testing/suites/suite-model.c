// SPDX-License-Identifier: GPL-2.0-only
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "suite-model.h"

static u8 *bounce;

static void fail(struct model *m, const char *what, unsigned int name)
{
	if (!m->failed[0])
		snprintf(m->failed, sizeof(m->failed), "operation %u, name %u: %s: %s", m->ops,
			 name, what, err_name(errno));
}

static const char *name_path(const struct model *m, unsigned int name)
{
	static char paths[4][128];
	static unsigned int next;
	char *path = paths[next++ % ARRAY_SIZE(paths)];

	snprintf(path, sizeof(paths[0]), "%s/d%u/n%u", m->fs->root, name % MODEL_DIRS, name);
	return path;
}

void model_init(struct model *m, const struct fs *fs, u64 seed)
{
	char path[128];
	unsigned int i;

	memset(m, 0, sizeof(*m));
	m->fs = fs;
	rng_seed(&m->rng, seed);
	memset(m->names, 0xff, sizeof(m->names));
	for (i = 0; i < MODEL_INODES; i++)
		m->inodes[i].data = xalloc(MODEL_MAX);
	for (i = 0; i < MODEL_DIRS; i++) {
		snprintf(path, sizeof(path), "%s/d%u", fs->root, i);
		if (mkdir(path, 0755))
			bail("%s: %s", path, err_name(errno));
	}
	if (!bounce)
		bounce = xalloc(MODEL_MAX);
}

void model_free(struct model *m)
{
	unsigned int i;

	for (i = 0; i < MODEL_INODES; i++)
		free(m->inodes[i].data);
}

/* ----------------------------------------------------------------- operations */

/* @fd is the file, open for both; its inode, and a range. */
struct step {
	struct model *m;
	unsigned int name;
	struct inode *inode;
	int fd;
	u64 pos, len;
};

static u64 below(struct step *st, u64 limit)
{
	return rng_below(&st->m->rng, limit);
}

static void expect(struct step *st, bool good, const char *what)
{
	if (!good)
		fail(st->m, what, st->name);
}

static void range(struct step *st, u64 align)
{
	u64 max = below(st, 4) ? 16 * KIB : MODEL_MAX;

	st->len = (1 + below(st, max / align)) * align;
	st->pos = below(st, (MODEL_MAX - st->len) / align + 1) * align;
}

static void extend(struct inode *inode, u64 size)
{
	if (size > inode->size)
		inode->size = size;
}

static void new_data(struct step *st)
{
	rng_fill(&st->m->rng, bounce, st->len);
	memcpy(st->inode->data + st->pos, bounce, st->len);
}

static void op_write(struct step *st)
{
	range(st, 1);
	new_data(st);
	extend(st->inode, st->pos + st->len);
	expect(st, pwrite_all(st->fd, bounce, st->len, st->pos), "write");
}

static void op_direct(struct step *st)
{
	int fd = open(name_path(st->m, st->name), O_RDWR | O_DIRECT | O_CLOEXEC);

	range(st, 4096);
	new_data(st);
	extend(st->inode, st->pos + st->len);
	expect(st, fd >= 0 && pwrite_all(fd, bounce, st->len, st->pos), "direct write");
	if (fd >= 0)
		close(fd);
}

static void op_mmap(struct step *st)
{
	u8 *map;

	range(st, 1);
	if (st->pos + st->len > st->inode->size)
		return;
	map = mmap(NULL, MODEL_MAX, PROT_READ | PROT_WRITE, MAP_SHARED, st->fd, 0);
	if (map == MAP_FAILED) {
		fail(st->m, "mmap", st->name);
		return;
	}
	expect(st, !memcmp(map + st->pos, st->inode->data + st->pos, st->len), "read by mmap");
	new_data(st);
	memcpy(map + st->pos, bounce, st->len);
	if (below(st, 2))
		expect(st, !msync(map, st->inode->size, MS_SYNC), "msync");
	munmap(map, MODEL_MAX);
}

static void op_truncate(struct step *st)
{
	u64 size = below(st, MODEL_MAX + 1);

	if (size < st->inode->size)
		memset(st->inode->data + size, 0, st->inode->size - size);
	st->inode->size = size;
	expect(st, !ftruncate(st->fd, size), "truncate");
}

static void op_allocate(struct step *st)
{
	bool keep = below(st, 2);

	range(st, 1);
	if (!keep)
		extend(st->inode, st->pos + st->len);
	expect(st, !fallocate(st->fd, keep ? FALLOC_FL_KEEP_SIZE : 0, st->pos, st->len),
	       "fallocate");
}

static void op_zero(struct step *st)
{
	int mode = below(st, 2) ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;

	range(st, below(st, 2) ? 4096 : 1);
	memset(st->inode->data + st->pos, 0, st->len);
	expect(st, !fallocate(st->fd, mode | FALLOC_FL_KEEP_SIZE, st->pos, st->len),
	       "punch or zero");
}

/* Whole blocks taken out of the middle, or put in. */
static void op_shift(struct step *st)
{
	u64 size = st->inode->size, rest;
	bool insert = below(st, 2);
	u8 *at;

	range(st, 4096);
	if (st->pos >= size || (insert ? size + st->len > MODEL_MAX : st->pos + st->len >= size))
		return;
	at = st->inode->data + st->pos;
	if (insert) {
		memmove(at + st->len, at, size - st->pos);
		memset(at, 0, st->len);
		st->inode->size += st->len;
	} else {
		rest = size - st->pos - st->len;
		memmove(at, at + st->len, rest);
		memset(at + rest, 0, st->len);
		st->inode->size -= st->len;
	}
	expect(st, !fallocate(st->fd, insert ? FALLOC_FL_INSERT_RANGE : FALLOC_FL_COLLAPSE_RANGE,
			      st->pos, st->len), "insert or collapse");
}

static void op_read(struct step *st)
{
	ssize_t n, want;

	range(st, 1);
	n = pread(st->fd, bounce, st->len, st->pos);
	want = st->pos >= st->inode->size ? 0 :
		(ssize_t)(st->len < st->inode->size - st->pos ? st->len :
			  st->inode->size - st->pos);
	expect(st, n == want && !memcmp(bounce, st->inode->data + st->pos, n), "read");
}

static void op_sync(struct step *st)
{
	expect(st, !(below(st, 2) ? fsync(st->fd) : fdatasync(st->fd)), "sync");
}

/* ---------------------------------------------------------------------- names */

static void drop(struct model *m, unsigned int name)
{
	struct inode *inode = &m->inodes[m->names[name]];

	m->names[name] = -1;
	if (--inode->links)
		return;
	memset(inode->data, 0, MODEL_MAX);
	inode->size = 0;
}

static void op_unlink(struct step *st)
{
	expect(st, !unlink(name_path(st->m, st->name)), "unlink");
	drop(st->m, st->name);
}

static void op_rename(struct step *st)
{
	unsigned int to = below(st, MODEL_NAMES);
	struct model *m = st->m;
	int moved = m->names[st->name];

	expect(st, !rename(name_path(m, st->name), name_path(m, to)), "rename");
	/* Of two names of one file, rename does nothing. */
	if (m->names[to] == moved)
		return;
	if (m->names[to] >= 0)
		drop(m, to);
	m->names[to] = moved;
	m->names[st->name] = -1;
}

static void op_link(struct step *st)
{
	unsigned int to = below(st, MODEL_NAMES);
	struct model *m = st->m;

	if (m->names[to] >= 0) {
		expect(st, link(name_path(m, st->name), name_path(m, to)) && errno == EEXIST,
		       "link over a file");
		return;
	}
	expect(st, !link(name_path(m, st->name), name_path(m, to)), "link");
	m->names[to] = m->names[st->name];
	st->inode->links++;
}

static void create(struct model *m, unsigned int name)
{
	unsigned int i;
	int fd;

	for (i = 0; i < MODEL_INODES && m->inodes[i].links; i++)
		;
	if (i == MODEL_INODES)
		return;
	fd = open(name_path(m, name), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0) {
		fail(m, "create", name);
		return;
	}
	close(fd);
	m->names[name] = i;
	m->inodes[i].links = 1;
}

void model_step(struct model *m)
{
	/* Each as often as it is here. */
	static void (*const ops[])(struct step *st) = {
		op_write, op_write, op_write, op_direct, op_direct, op_mmap, op_mmap, op_truncate,
		op_allocate, op_zero, op_zero, op_shift, op_read, op_read, op_sync, op_unlink,
		op_rename, op_link,
	};
	struct step st = { .m = m, .name = rng_below(&m->rng, MODEL_NAMES) };

	m->ops++;
	if (m->names[st.name] < 0) {
		create(m, st.name);
		return;
	}
	st.inode = &m->inodes[m->names[st.name]];
	st.fd = open(name_path(m, st.name), O_RDWR | O_CLOEXEC);
	if (st.fd < 0) {
		fail(m, "open", st.name);
		return;
	}
	ops[below(&st, ARRAY_SIZE(ops))](&st);
	close(st.fd);
}

/* --------------------------------------------------------------------- verdict */

static bool same_file(struct model *m, unsigned int name)
{
	const struct inode *inode = &m->inodes[m->names[name]];
	int fd = open(name_path(m, name), O_RDONLY | O_CLOEXEC);
	struct stat st;
	bool same;

	if (fd < 0)
		return false;
	same = !fstat(fd, &st) && st.st_size == (off_t)inode->size &&
		st.st_nlink == inode->links && same_content(fd, inode->data, inode->size, 0);
	close(fd);
	return same;
}

static unsigned int count_entries(const struct model *m)
{
	struct dirent *entry;
	unsigned int i, n = 0;
	char path[128];
	DIR *dir;

	for (i = 0; i < MODEL_DIRS; i++) {
		snprintf(path, sizeof(path), "%s/d%u", m->fs->root, i);
		dir = opendir(path);
		while (dir && (entry = readdir(dir)))
			n += entry->d_name[0] != '.';
		if (dir)
			closedir(dir);
	}
	return n;
}

bool model_verify(struct model *m)
{
	unsigned int i, names = 0;

	if (m->failed[0]) {
		diag("%s", m->failed);
		return false;
	}
	for (i = 0; i < MODEL_NAMES; i++) {
		if (m->names[i] < 0)
			continue;
		names++;
		if (!same_file(m, i)) {
			diag("operation %u: name %u is not as it must be", m->ops, i);
			return false;
		}
	}
	if (count_entries(m) == names)
		return true;
	diag("%u entries, %u expected", count_entries(m), names);
	return false;
}
