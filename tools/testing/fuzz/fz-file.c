// SPDX-License-Identifier: GPL-2.0-only
/* Files in memory that lie, fail, and notice. */
#include <stdio.h>
#include <stdlib.h>

#include "fz-file.h"

struct fz_page {
	struct fz_page *next;
	u64 nr;
	u32 file;
	u8 data[FZ_PAGE];
};

void fz_die(const char *fmt, ...)
{
	va_list args;

	fputs("fuzz: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputs("\n", stderr);
	abort();
}

bool fz_mistake(const char *name)
{
	static const char *wanted;

	if (!wanted)
		wanted = getenv("FZ_MISTAKE") ? getenv("FZ_MISTAKE") : "";
	return *wanted && !strcmp(wanted, name);
}

/* --- pages --- */

static u32 bucket_of(u32 file, u64 nr)
{
	u64 h = (nr * FZ_MAX_FILES + file) * 0x9e3779b97f4a7c15ULL;

	return (u32)(h >> 32) % FZ_BUCKETS;
}

static struct fz_page *find_page(const struct fz_io *io, u32 file, u64 nr)
{
	struct fz_page *p = io->buckets[bucket_of(file, nr)];

	while (p && (p->nr != nr || p->file != file))
		p = p->next;
	return p;
}

static struct fz_page *make_page(struct fz_io *io, u32 file, u64 nr)
{
	struct fz_page *p = find_page(io, file, nr), **bucket;

	if (p || io->nr_pages == FZ_MAX_PAGES)
		return p;
	p = calloc(1, sizeof(*p));
	if (!p)
		abort();
	bucket = &io->buckets[bucket_of(file, nr)];
	p->nr = nr;
	p->file = file;
	p->next = *bucket;
	*bucket = p;
	io->nr_pages++;
	return p;
}

/* Zeros from @pos to @end; whole pages go. */
static void zero_range(struct fz_io *io, u32 file, u64 pos, u64 end)
{
	struct fz_page **link, *p;
	u32 b;

	for (b = 0; b < FZ_BUCKETS; b++) {
		for (link = &io->buckets[b]; (p = *link);) {
			u64 base = p->nr * FZ_PAGE;
			u64 from = max(base, pos), to = min(base + FZ_PAGE, end);

			if (p->file != file || from >= to) {
				link = &p->next;
			} else if (to - from == FZ_PAGE) {
				*link = p->next;
				free(p);
				io->nr_pages--;
			} else {
				memset(p->data + (from - base), 0, to - from);
				link = &p->next;
			}
		}
	}
}

static void copy_out(const struct fz_io *io, u32 file, u64 pos, u8 *to, u32 len)
{
	while (len) {
		u32 in_page = (u32)(pos % FZ_PAGE), step = min(len, FZ_PAGE - in_page);
		const struct fz_page *p = find_page(io, file, pos / FZ_PAGE);

		if (p)
			memcpy(to, p->data + in_page, step);
		else
			memset(to, 0, step);
		to += step;
		pos += step;
		len -= step;
	}
}

static int copy_in(struct fz_io *io, u32 file, u64 pos, const u8 *from, u32 len)
{
	while (len) {
		u32 in_page = (u32)(pos % FZ_PAGE), step = min(len, FZ_PAGE - in_page);
		struct fz_page *p = make_page(io, file, pos / FZ_PAGE);

		if (!p) {
			io->full = true;
			return -ENOSPC;
		}
		memcpy(p->data + in_page, from, step);
		from += step;
		pos += step;
		len -= step;
	}
	return 0;
}

/* --- what may go wrong --- */

static const int errors[] = { EIO, ENOSPC, EAGAIN, EBUSY, ENODATA, EUCLEAN, ENOMEM, EINTR };

static u64 dice(struct fz_io *io)
{
	u64 x = io->state += 0x9e3779b97f4a7c15ULL;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

/* Each operation begins here: 0, or the error that it has to fail with. */
static int begin_op(struct fz_io *io)
{
	io->all_ops++;
	if (++io->ops > io->cap)
		fz_die("%s: more than %llu file operations: a loop without bound", io->what,
		       io->cap);
	if (!io->ctl.fault_at)
		return 0;
	if (io->all_ops == io->ctl.fault_at ||
	    (io->ctl.flags & FZ_STICKY && io->all_ops > io->ctl.fault_at)) {
		io->faults++;
		return -errors[io->ctl.error % ARRAY_SIZE(errors)];
	}
	return 0;
}

static int begin_change(struct fz_file *f, const char *what)
{
	struct fz_io *io = f->io;

	if (!f->file.writable)
		fz_die("%s: %s on file %u, which is read-only", io->what, what, f->file.index);
	if (!io->may_write)
		fz_die("%s: %s on file %u, but nobody has asked for a change", io->what, what,
		       f->file.index);
	io->writes++;
	return begin_op(io);
}

/* A number near what it was, or far from it. */
static void spoil(struct fz_io *io, u8 *at, u32 width)
{
	u64 r = dice(io), v = 0;

	memcpy(&v, at, width);
	switch (r % 8) {
	case 0:
		v++;
		break;
	case 1:
		v--;
		break;
	case 2:
		v = 0;
		break;
	case 3:
		v = ~0ULL;
		break;
	case 4:
		v ^= 1ULL << (r >> 8) % (8 * width);
		break;
	case 5:
		v = v << 1 | 1;
		break;
	case 6:
		v = (r >> 8) % 64;
		break;
	case 7:
		v = r >> 8;
		break;
	}
	memcpy(at, &v, width);
}

/* Somebody else has written the page since it was read first. */
static void double_fetch(struct fz_io *io, u32 file, u64 pos, u8 *buf, u32 len)
{
	u8 *count = &io->fetches[bucket_of(file, pos / FZ_PAGE)];
	u32 n, width, at;

	/* The first one is what is there; who reads it again may find anything. */
	if (!*count || dice(io) & 1) {
		*count = 1;
		return;
	}
	for (n = 1 + (u32)dice(io) % 4; n; n--) {
		width = 1U << dice(io) % 4;
		if (width > len)
			continue;
		/* Headers are short, and stand at the begin of what is read. */
		at = dice(io) & 1 ? len : min(len, 96U);
		at = (u32)(dice(io) % (at - width + 1)) & ~(width - 1);
		spoil(io, buf + at, width);
	}
}

/* --- operations --- */

static struct fz_file *to_fz(struct vd_file *file)
{
	return container_of(file, struct fz_file, file);
}

static s64 fz_read(struct vd_file *file, u64 pos, void *buf, u32 len)
{
	struct fz_file *f = to_fz(file);
	struct fz_io *io = f->io;
	int ret = begin_op(io);

	if (ret)
		return ret;
	if (pos >= f->size)
		return 0;
	len = (u32)min_t(u64, len, f->size - pos);
	if (io->ctl.flags & FZ_SHORT_READS && len > 1 && dice(io) & 1)
		len -= len / 2;
	if (fz_mistake("loop"))
		len = 1;
	copy_out(io, file->index, pos, buf, len);
	if (io->ctl.flags & FZ_DOUBLE_FETCH)
		double_fetch(io, file->index, pos, buf, len);
	return len;
}

/* May the file end there? */
static int grow_to(const struct fz_file *f, u64 end)
{
	return end > f->size && end > f->limit ? -ENOSPC : 0;
}

static int fz_write(struct vd_file *file, u64 pos, const void *buf, u32 len)
{
	struct fz_file *f = to_fz(file);
	int ret = begin_change(f, "write");

	if (!ret)
		ret = grow_to(f, pos + len);
	if (!ret && !fz_mistake("lost-write"))
		ret = copy_in(f->io, file->index, pos, buf, len);
	if (!ret && len)
		f->size = max(f->size, pos + len);
	return ret;
}

static int fz_flush(struct vd_file *file)
{
	return begin_change(to_fz(file), "flush");
}

static int fz_size(struct vd_file *file, u64 *size)
{
	struct fz_file *f = to_fz(file);

	*size = f->size;
	return begin_op(f->io);
}

static int fz_truncate(struct vd_file *file, u64 size)
{
	struct fz_file *f = to_fz(file);
	int ret = begin_change(f, "truncate");

	if (!ret)
		ret = grow_to(f, size);
	if (ret)
		return ret;
	if (size < f->size)
		zero_range(f->io, file->index, size, U64_MAX);
	f->size = size;
	return 0;
}

static int zero_bytes(struct fz_file *f, const char *what, u64 pos, u64 len)
{
	int ret = begin_change(f, what);

	if (!ret)
		zero_range(f->io, f->file.index, pos, pos + len);
	return ret;
}

static int fz_zero(struct vd_file *file, u64 pos, u64 len)
{
	if (to_fz(file)->io->ctl.flags & FZ_NO_ZERO)
		return -EOPNOTSUPP;
	return zero_bytes(to_fz(file), "zero", pos, len);
}

static int fz_punch(struct vd_file *file, u64 pos, u64 len)
{
	if (to_fz(file)->io->ctl.flags & FZ_NO_PUNCH)
		return -EOPNOTSUPP;
	return zero_bytes(to_fz(file), "punch", pos, len);
}

static int fz_allocate(struct vd_file *file, u64 pos, u64 len)
{
	struct fz_file *f = to_fz(file);
	int ret = begin_change(f, "allocate");

	if (ret)
		return ret;
	if (f->io->ctl.flags & FZ_NO_ALLOCATE)
		return -EOPNOTSUPP;
	ret = grow_to(f, pos + len);
	if (ret)
		return ret;
	f->size = max(f->size, pos + len);
	return 0;
}

static const struct vd_file_ops fz_ops = {
	.read = fz_read,
	.write = fz_write,
	.flush = fz_flush,
	.size = fz_size,
	.truncate = fz_truncate,
	.punch = fz_punch,
	.zero = fz_zero,
	.allocate = fz_allocate,
};

/* --- life --- */

static void fill(struct fz_io *io, u32 file, const struct fz_run *run, u64 size)
{
	u64 len = run->len;

	if (run->pos >= size)
		return;
	copy_in(io, file, run->pos, run->data, (u32)min(len, size - run->pos));
}

void fz_io_init(struct fz_io *io, const struct fz_input *in)
{
	u32 i, r;

	memset(io, 0, sizeof(*io));
	io->ctl = in->ctl;
	io->state = in->ctl.seed;
	io->nr_files = in->ctl.nr_files;
	for (i = 0; i < io->nr_files; i++) {
		const struct fz_member *m = &in->files[i];
		struct fz_file *f = &io->files[i];

		f->io = io;
		/* No file has more. */
		f->size = min_t(u64, m->size, S64_MAX);
		f->limit = io->ctl.quota ? f->size + io->ctl.quota * 1024ULL : U64_MAX;
		f->file.ops = &fz_ops;
		f->file.index = i;
		f->file.size = f->size;
		f->file.writable = m->flags & FZ_FILE_WRITABLE && !(io->ctl.flags & FZ_READ_ONLY);
		f->file.fixed = m->flags & FZ_FILE_FIXED;
		if (io->ctl.flags & FZ_SHRUNK)
			f->size -= f->size / 4;
		for (r = m->first_run; r < m->first_run + m->nr_runs; r++)
			fill(io, i, &in->runs[r], f->file.size);
	}
}

void fz_io_release(struct fz_io *io)
{
	struct fz_page *p;
	u32 b;

	for (b = 0; b < FZ_BUCKETS; b++) {
		while ((p = io->buckets[b])) {
			io->buckets[b] = p->next;
			free(p);
		}
	}
	io->nr_pages = 0;
}

void fz_io_reopen(struct fz_io *io, bool writable)
{
	u32 i;

	for (i = 0; i < io->nr_files; i++) {
		io->files[i].file.size = io->files[i].size;
		io->files[i].file.writable &= writable;
	}
	io->may_write = false;
}

void fz_call(struct fz_io *io, const char *what, u64 cap)
{
	io->what = what;
	io->ops = 0;
	/* A read that comes in halves takes at most so many. */
	io->cap = io->ctl.flags & FZ_SHORT_READS ? cap * 24 : cap;
}

bool fz_honest(const struct fz_io *io)
{
	return !(io->ctl.flags & (FZ_DOUBLE_FETCH | FZ_SHRUNK)) && !io->ctl.fault_at &&
	       !io->ctl.alloc_at;
}

void fz_io_calm(struct fz_io *io)
{
	io->ctl.flags &= 0xff ^ (FZ_DOUBLE_FETCH | FZ_SHRUNK | FZ_STICKY);
	io->ctl.fault_at = 0;
	io->ctl.alloc_at = 0;
}

void fz_io_disturb(struct fz_io *io, const struct fz_control *ctl)
{
	io->ctl = *ctl;
	io->all_ops = 0;
	io->faults = 0;
}

/* Pages of zeros are as good as none. */
u64 fz_io_digest(const struct fz_io *io, u32 file)
{
	u64 sum = 0, word, h;
	const struct fz_page *p;
	u32 b, at;

	for (b = 0; b < FZ_BUCKETS; b++) {
		for (p = io->buckets[b]; p; p = p->next) {
			for (at = 0; p->file == file && at < FZ_PAGE; at += sizeof(word)) {
				memcpy(&word, p->data + at, sizeof(word));
				h = (p->nr * FZ_PAGE + at + 1) * 0x9e3779b97f4a7c15ULL ^ word;
				h = (h ^ (h >> 32)) * 0xbf58476d1ce4e5b9ULL;
				sum += word ? h ^ (h >> 29) : 0;
			}
		}
	}
	return sum;
}

void fz_io_replace(struct fz_io *io, u32 file, const void *data, u32 len)
{
	zero_range(io, file, 0, U64_MAX);
	copy_in(io, file, 0, data, len);
	io->files[file].size = len;
	io->files[file].file.size = len;
}

void fz_peek(struct fz_io *io, u32 file, u64 pos, void *buf, u32 len)
{
	copy_out(io, file, pos, buf, len);
}
