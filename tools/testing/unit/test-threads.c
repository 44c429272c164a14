// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads that write to one disk, for every kind that can be written: each to
 * sectors of its own, which share units with others', and all to some that are
 * nobody's. What a thread's own sectors hold is known at any time; a word of the
 * others is zeros, what it was at first, or names its sector. In the end the
 * image must be whole, without a mark, and QEMU must agree.
 *
 * Built with the address and, again, with the thread sanitizer.
 */
#include <pthread.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include "img-dump.h"
#include "img-tables.h"
#include "img-vdi-kinds.h"
#include "vdisk/alloc.h"
#include "vdisk/check.h"

#define THREADS		4U
#define ROUNDS		2000
#define CHUNK		3U	/* sectors of one thread between others' */
#define MAX_LEN		(24 * UT_KIB)
#define BUF_BYTES	65536U

/* --- files in memory whose bytes may change while they are read --- */

struct mem {
	struct vd_file file;
	u64 *words;
	u64 len;		/* with __atomic */
};

static struct mem *to_mem(struct vd_file *file)
{
	return container_of(file, struct mem, file);
}

/* A transfer takes long: others come in between, sometimes many. */
static void take_long(void)
{
	static __thread struct ut_rng rng;
	u64 dice = ut_below(&rng, 64);

	if (!dice)
		usleep(100);
	else if (dice < 32)
		sched_yield();
}

static u64 mem_len(const struct mem *m)
{
	return __atomic_load_n(&m->len, __ATOMIC_RELAXED);
}

/* Whole words at once where that is possible: a reader sees no half of one. */
static s64 mem_read(struct vd_file *file, u64 pos, void *buf, u32 len)
{
	struct mem *m = to_mem(file);
	u64 end = mem_len(m), i, word;
	u8 *to = buf;

	take_long();
	if (pos >= end)
		return 0;
	len = (u32)min_t(u64, len, end - pos);
	for (i = 0; i < len; pos++) {
		word = __atomic_load_n(&m->words[pos / 8], __ATOMIC_RELAXED);
		if (pos % 8 || len - i < 8) {
			to[i++] = (u8)(word >> pos % 8 * 8);
			continue;
		}
		memcpy(to + i, &word, 8);
		i += 8;
		pos += 7;
	}
	return len;
}

static void extend(struct mem *m, u64 end)
{
	u64 len = mem_len(m);

	while (len < end &&
	       !__atomic_compare_exchange_n(&m->len, &len, end, false, __ATOMIC_RELAXED,
					    __ATOMIC_RELAXED))
		;
}

/* Of a word that the range covers in part the rest stays; nobody else may write to it. */
static int mem_put(struct mem *m, u64 pos, const u8 *from, u64 len)
{
	u64 i, word, shift;

	if (pos + len > IMG_ROOM || (m->file.fixed && pos + len > mem_len(m)))
		return -ENOSPC;
	for (i = 0; i < len; i++, pos++) {
		shift = pos % 8 * 8;
		word = __atomic_load_n(&m->words[pos / 8], __ATOMIC_RELAXED);
		word = (word & ~(0xffULL << shift)) | (u64)(from ? from[i] : 0) << shift;
		__atomic_store_n(&m->words[pos / 8], word, __ATOMIC_RELAXED);
	}
	return 0;
}

static int mem_change(struct mem *m, u64 pos, const u8 *from, u64 len)
{
	u64 i, word = 0;

	if ((pos | len) % 8)
		return mem_put(m, pos, from, len);
	if (pos + len > IMG_ROOM || (m->file.fixed && pos + len > mem_len(m)))
		return -ENOSPC;
	for (i = 0; i < len; i += 8) {
		if (from)
			memcpy(&word, from + i, 8);
		__atomic_store_n(&m->words[(pos + i) / 8], word, __ATOMIC_RELAXED);
	}
	return 0;
}

static int mem_write(struct vd_file *file, u64 pos, const void *buf, u32 len)
{
	int ret;

	take_long();
	ret = mem_change(to_mem(file), pos, buf, len);
	if (!ret)
		extend(to_mem(file), pos + len);
	return ret;
}

static int mem_flush(struct vd_file *file)
{
	take_long();
	usleep(20);
	take_long();
	return 0;
}

static int mem_size(struct vd_file *file, u64 *size)
{
	*size = mem_len(to_mem(file));
	return 0;
}

static int mem_truncate(struct vd_file *file, u64 size)
{
	struct mem *m = to_mem(file);
	u64 old = mem_len(m);

	if (size > IMG_ROOM)
		return -ENOSPC;
	__atomic_store_n(&m->len, size, __ATOMIC_RELAXED);
	return size < old ? mem_put(m, size, NULL, old - size) : 0;
}

static int mem_zero(struct vd_file *file, u64 pos, u64 len)
{
	struct mem *m = to_mem(file);
	u64 end = mem_len(m);

	take_long();
	return pos < end ? mem_change(m, pos, NULL, min(len, end - pos)) : 0;
}

static int mem_allocate(struct vd_file *file, u64 pos, u64 len)
{
	if (pos + len > IMG_ROOM || (file->fixed && pos + len > mem_len(to_mem(file))))
		return -ENOSPC;
	extend(to_mem(file), pos + len);
	return 0;
}

static const struct vd_file_ops mem_ops = {
	.read = mem_read,
	.write = mem_write,
	.flush = mem_flush,
	.size = mem_size,
	.truncate = mem_truncate,
	.punch = mem_zero,
	.zero = mem_zero,
	.allocate = mem_allocate,
};

/* --- the disk --- */

/**
 * struct disk - what the threads share
 * @own_end: sectors from there on are nobody's
 * @first: what the disk held at first; @shadow: what each owned sector holds
 */
struct disk {
	const char *name;
	struct img_case c;
	struct mem mem[UT_MAX_FILES];
	struct vd_file *files[UT_MAX_FILES];
	struct vd_chain *chain;
	u64 sectors;
	u64 from;
	u64 own_end;
	u8 *first;
	u8 *shadow;
};

struct thread {
	struct disk *d;
	u32 id;
	struct ut_rng rng;
	u8 *buf;
	u8 *data;
	struct vd_waiter waiter;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool woken;
	pthread_t pthread;
	char failure[200];
};

#define bad(t, fmt, ...) \
	(snprintf((t)->failure, sizeof((t)->failure), fmt, ##__VA_ARGS__), false)

static void open_disk(struct disk *d, bool writable)
{
	struct vd_chain_desc desc = img_case_desc(&d->c);
	struct vd_error err = { 0 };
	u32 i;

	for (i = 0; i < d->c.set.nr_files; i++) {
		d->files[i]->size = mem_len(&d->mem[i]);
		d->files[i]->writable = writable && i < d->c.nr_top;
		vd_atomic_set(&d->files[i]->dirty, 0);
	}
	desc.files = d->files;
	if (!writable)
		desc.nr_patches = 0;
	if (vd_chain_open(&desc, &d->chain, &err))
		fail_msg("%s: open: %s", d->name, err.text);
}

static void make_disk(struct disk *d, const struct img_kind *kind)
{
	u32 i;

	memset(d, 0, sizeof(*d));
	d->name = kind->name;
	img_case_make(&d->c, kind, 5);
	for (i = 0; i < d->c.set.nr_files; i++) {
		const struct vd_file *from = d->c.set.files[i];
		struct mem *m = &d->mem[i];
		size_t len;
		const void *data = vd_ufile_mem_data(from, &len);

		assert_true(len <= IMG_ROOM);
		m->words = ut_xalloc(IMG_ROOM);
		memcpy(m->words, data, len);
		m->len = len;
		m->file.ops = &mem_ops;
		m->file.index = i;
		m->file.fixed = from->fixed;
		d->files[i] = &m->file;
	}
	d->sectors = d->c.size / VD_SECTOR;
	d->from = d->c.from / VD_SECTOR;
	d->own_end = d->from + (d->sectors - d->from) * 3 / 4;
	d->first = img_case_want(&d->c);
	d->shadow = img_case_want(&d->c);
}

static void free_disk(struct disk *d)
{
	u32 i;

	for (i = 0; i < d->c.set.nr_files; i++)
		free(d->mem[i].words);
	free(d->first);
	free(d->shadow);
	img_case_free(&d->c);
}

/* First a region for each thread, then chunks in turn, then what is nobody's: THREADS. */
static u32 owner(const struct disk *d, u64 sector)
{
	u64 half = d->from + (d->own_end - d->from) / 2, at = sector - d->from;

	if (sector < d->from || sector >= d->own_end)
		return THREADS;
	if (sector < half)
		return (u32)(at * THREADS / (half - d->from));
	return (u32)((sector - half) / CHUNK % THREADS);
}

/* --- what it may hold --- */

static u64 word_of(u64 sector, u64 tag)
{
	return tag << 32 | sector | 1ULL << 31;
}

static void fill_words(u8 *to, u64 sector, u64 tag)
{
	u64 i, word = word_of(sector, tag);

	for (i = 0; i < VD_SECTOR; i += 8)
		memcpy(to + i, &word, 8);
}

static bool is_legal(const struct disk *d, u64 sector, const u8 *got)
{
	u64 word, first, i;

	for (i = 0; i < VD_SECTOR; i += 8) {
		memcpy(&word, got + i, 8);
		memcpy(&first, d->first + sector * VD_SECTOR + i, 8);
		if (word && word != first && (u32)word != (u32)word_of(sector, 0))
			return false;
	}
	return true;
}

/* @id: whose sectors are known exactly; THREADS + 1: everybody's */
static u64 first_wrong(const struct disk *d, u32 id, u64 sector, u64 n, const u8 *got)
{
	u64 end = sector + n;
	bool known;

	for (; sector < end; sector++, got += VD_SECTOR) {
		u32 who = owner(d, sector);

		known = who == id || (id > THREADS && who < THREADS);
		if (known ? memcmp(got, d->shadow + sector * VD_SECTOR, VD_SECTOR) != 0 :
		    !is_legal(d, sector, got))
			return sector;
	}
	return U64_MAX;
}

/* --- requests --- */

static void wake(struct vd_waiter *waiter)
{
	struct thread *t = container_of(waiter, struct thread, waiter);

	pthread_mutex_lock(&t->lock);
	t->woken = true;
	pthread_cond_signal(&t->cond);
	pthread_mutex_unlock(&t->lock);
}

static void wait_for_token(struct thread *t)
{
	pthread_mutex_lock(&t->lock);
	while (!t->woken)
		pthread_cond_wait(&t->cond, &t->lock);
	t->woken = false;
	pthread_mutex_unlock(&t->lock);
}

/* As the kernel's engine: parked on the token of another one, then mapped again. */
static int write_new(struct thread *t, u64 pos, const u8 *data, u64 *len)
{
	struct vd_chain *chain = t->d->chain;
	struct vd_unit unit = { 0 };
	struct vd_alloc alloc;
	int ret;

	ret = vd_reserve(chain, pos, *len, &alloc, &t->waiter);
	if (ret == -EBUSY) {
		wait_for_token(t);
		return -EAGAIN;
	}
	if (ret)
		return ret;
	*len = min(*len, alloc.pos + alloc.len - pos);
	ret = vd_fill(chain, &alloc, pos, *len, t->buf, BUF_BYTES, &unit);
	if (!ret)
		ret = vd_file_write(alloc.file, alloc.file_pos + (pos - alloc.pos), data,
				    (u32)*len);
	/* A transfer that fails: again. */
	if (!ret && !ut_below(&t->rng, 16))
		ret = -EAGAIN;
	if (ret)
		vd_abandon(chain, &alloc);
	else
		vd_publish(chain, &alloc);
	vd_unit_release(&unit);
	return ret;
}

static int write_parked(struct thread *t, u64 pos, const u8 *data, u64 len)
{
	struct vd_chain *chain = t->d->chain;
	unsigned int epoch = vd_io_enter(chain);
	struct vd_extent ext;
	u64 step;
	int ret = vd_begin_write(chain);

	while (!ret && len) {
		step = len;
		ret = vd_map(chain, pos, len, VD_MAP_WRITE, &ext);
		if (!ret) {
			step = ext.len;
			ret = vd_file_write(ext.file, ext.file_pos, data, (u32)step);
		} else if (ret == -ENODATA) {
			ret = write_new(t, pos, data, &step);
		}
		if (ret == -EAGAIN) {
			ret = 0;
			continue;
		}
		pos += step;
		data += step;
		len -= step;
	}
	vd_io_leave(chain, epoch);
	return ret;
}

enum { WRITE, PARKED, DISCARD, ZERO, UNMAP };

static int issue(struct thread *t, u32 what, u64 pos, u64 len)
{
	struct vd_chain *chain = t->d->chain;

	switch (what) {
	case WRITE:
		return vd_write(chain, pos, t->data, (u32)len);
	case PARKED:
		return write_parked(t, pos, t->data, len);
	case DISCARD:
		return vd_discard(chain, pos, len);
	}
	return vd_write_zeroes(chain, pos, len, what == UNMAP);
}

/*
 * The synchronous engine waits for nobody. On a device that cannot grow all that
 * is free may be waiting for a commit, and for those who may have seen it in use.
 */
static int issue_again(struct thread *t, u32 what, u64 pos, u64 len)
{
	u32 full = 0;
	int ret;

	for (;;) {
		ret = issue(t, what, pos, len);
		if (ret == -ENOSPC && t->d->files[0]->fixed && full++ < 1000)
			ret = vd_flush(t->d->chain) ? -EIO : -EBUSY;
		if (ret != -EBUSY)
			return ret;
		sched_yield();
	}
}

/* vd_read() is for one user at a time: among others it is a transfer like any other. */
static int read_some(struct thread *t, u64 sector, u64 n)
{
	unsigned int epoch = vd_io_enter(t->d->chain);
	int ret;

	ret = vd_read(t->d->chain, NULL, sector * VD_SECTOR, t->buf, (u32)(n * VD_SECTOR));
	vd_io_leave(t->d->chain, epoch);
	return ret;
}

/* The shadow of what is our own; a discard may have left each sector as it was. */
static bool settle(struct thread *t, u32 what, u64 sector, u64 n)
{
	struct disk *d = t->d;
	u64 i;
	int ret;

	if (what == DISCARD) {
		ret = read_some(t, sector, n);
		if (ret)
			return bad(t, "vd_read after a discard: error %d", ret);
	}
	for (i = 0; i < n; i++) {
		u8 *own = d->shadow + (sector + i) * VD_SECTOR;

		if (what <= PARKED)
			memcpy(own, t->data + i * VD_SECTOR, VD_SECTOR);
		else if (what > DISCARD || ut_all_zero(t->buf + i * VD_SECTOR, VD_SECTOR))
			memset(own, 0, VD_SECTOR);
	}
	return true;
}

static bool change(struct thread *t, u64 sector, u64 n, u64 tag)
{
	static const u8 share[] = { WRITE, WRITE, PARKED, PARKED, PARKED, DISCARD, ZERO, UNMAP };
	u32 what = share[ut_below(&t->rng, ARRAY_SIZE(share))];
	u64 i;
	int ret;

	for (i = 0; what <= PARKED && i < n; i++)
		fill_words(t->data + i * VD_SECTOR, sector + i, tag);
	ret = issue_again(t, what, sector * VD_SECTOR, n * VD_SECTOR);
	if (ret)
		return bad(t, "request %u of %llu sectors at %llu: error %d", what, n, sector,
			   ret);
	return owner(t->d, sector) == THREADS || settle(t, what, sector, n);
}

static bool look(struct thread *t, u64 sector, u64 n)
{
	u64 wrong;
	int ret = read_some(t, sector, n);

	if (ret)
		return bad(t, "vd_read: error %d", ret);
	wrong = first_wrong(t->d, t->id, sector, n, t->buf);
	return wrong == U64_MAX || bad(t, "sector %llu does not hold what it must", wrong);
}

/* A run of sectors with one owner: ours or, one time in four, nobody. */
static u64 choose(struct thread *t, u64 *n)
{
	struct disk *d = t->d;
	u32 who = ut_below(&t->rng, 4) ? t->id : THREADS;
	u64 sector, max = 1 + ut_below(&t->rng, MAX_LEN / VD_SECTOR);

	do {
		sector = d->from + ut_below(&t->rng, d->sectors - d->from);
	} while (owner(d, sector) != who);
	for (*n = 1; *n < max && sector + *n < d->sectors && owner(d, sector + *n) == who; (*n)++)
		;
	return sector;
}

/* What an engine asks at any time, and who needs memory takes. */
static void disturb(struct thread *t)
{
	struct vd_chain *chain = t->d->chain;

	if (vd_clean(chain) || vd_meta_pressed(chain->meta))
		sched_yield();
	if (vd_meta_count(chain->meta))
		vd_meta_shrink(chain->meta, 4);
	vd_wake_all(chain);
}

static void *work(void *arg)
{
	struct thread *t = arg;
	u64 sector, n, i;
	bool good = true;
	int ret;

	for (i = 0; good && i < ROUNDS; i++) {
		u64 dice = ut_below(&t->rng, 16);

		sector = choose(t, &n);
		if (dice < 11) {
			good = change(t, sector, n, i * THREADS + t->id + 1);
		} else if (dice < 14) {
			sector = ut_below(&t->rng, t->d->sectors);
			n = min_t(u64, t->d->sectors - sector, MAX_LEN / VD_SECTOR);
			good = look(t, sector, n);
		} else if (dice == 14) {
			disturb(t);
		} else {
			ret = vd_flush(t->d->chain);
			good = !ret || bad(t, "vd_flush: error %d", ret);
		}
	}
	return NULL;
}

static void run_threads(struct disk *d)
{
	struct thread *t = ut_xalloc(THREADS * sizeof(*t));
	u32 i;

	for (i = 0; i < THREADS; i++) {
		t[i].d = d;
		t[i].id = i;
		t[i].rng.state = i;
		t[i].buf = ut_xalloc(BUF_BYTES);
		t[i].data = ut_xalloc(MAX_LEN);
		t[i].waiter.wake = wake;
		pthread_mutex_init(&t[i].lock, NULL);
		pthread_cond_init(&t[i].cond, NULL);
	}
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i].pthread, NULL, work, &t[i]), 0);
	for (i = 0; i < THREADS; i++)
		pthread_join(t[i].pthread, NULL);
	for (i = 0; i < THREADS; i++) {
		if (t[i].failure[0])
			fail_msg("%s: thread %u: %s", d->name, i, t[i].failure);
		pthread_mutex_destroy(&t[i].lock);
		pthread_cond_destroy(&t[i].cond);
		free(t[i].buf);
		free(t[i].data);
	}
	free(t);
}

/* --- afterwards --- */

static void compare(struct disk *d, const char *when)
{
	u8 *buf = ut_xalloc(d->c.size);
	u64 wrong;

	assert_int_equal(vd_read(d->chain, NULL, 0, buf, (u32)d->c.size), 0);
	wrong = first_wrong(d, THREADS + 1, 0, d->sectors, buf);
	if (wrong != U64_MAX)
		fail_msg("%s: %s: sector %llu does not hold what it must", d->name, when, wrong);
	free(buf);
}

static void check(struct disk *d)
{
	const struct vdisk_segment_desc *seg = d->c.set.segs;
	u32 i;

	for (i = 0; i < d->c.set.nr_segs && !seg[i].image; i++) {
		struct vd_check check = { 0 };
		struct vd_error err = { 0 };
		struct img_tables tables;
		struct mem *m = &d->mem[seg[i].member];
		char rule[IMG_RULE] = "";

		if (seg[i].kind == VDISK_SEG_RAW)
			continue;
		m->file.size = mem_len(m);
		if (ut_user_of(seg[i].kind)->check(&m->file, seg[i].kind, seg[i].len, &check, &err))
			fail_msg("%s: check: %s", d->name, err.text);
		if (check.found[VD_FINDING_CORRUPT] || check.found[VD_FINDING_UNCLEAN])
			fail_msg("%s: check: %llu corrupt, %llu unclean", d->name,
				 check.found[VD_FINDING_CORRUPT],
				 check.found[VD_FINDING_UNCLEAN]);
		if (!img_tables_look((u8 *)m->words, m->len, seg[i].kind, seg[i].len, &tables,
				     rule))
			fail_msg("%s: %s", d->name, rule);
		assert_false(tables.marked);
	}
}

/* Exit status 3 is leaked clusters. */
static void ask_qemu(struct disk *d)
{
	char dir[64], command[200];
	int status;
	u32 i;

	if (!d->c.foreign || system("command -v qemu-img >/dev/null"))
		return;
	snprintf(dir, sizeof(dir), "/tmp/vdisk-threads.%d", getpid());
	assert_int_equal(mkdir(dir, 0700), 0);
	for (i = 0; i < d->c.set.nr_files; i++)
		img_dump_member(dir, i, d->mem[i].words, d->mem[i].len);
	for (i = 0; i < d->c.set.nr_images; i++)
		img_dump_descriptor(&d->c.set, dir, i);
	snprintf(command, sizeof(command),
		 "qemu-img check -q -f vmdk %s/image0.vmdk >%s/log 2>&1", dir, dir);
	status = system(command);
	if (status && status != 3 << 8)
		fail_msg("%s: qemu-img check: status %d, see %s", d->name, status, dir);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

static void threads(void **state)
{
	struct disk *d = ut_xalloc(sizeof(*d));

	make_disk(d, *state);
	open_disk(d, true);
	run_threads(d);
	compare(d, "at the end");
	assert_int_equal(vd_end_write(d->chain), 0);
	compare(d, "after vd_end_write");
	vd_chain_close(d->chain);
	open_disk(d, false);
	compare(d, "opened again");
	vd_chain_close(d->chain);
	check(d);
	ask_qemu(d);
	free_disk(d);
	free(d);
}

int main(void)
{
	struct CMUnitTest tests[IMG_ALL_KINDS];
	u32 i;

	for (i = 0; i < IMG_ALL_KINDS; i++) {
		const struct img_kind *kind = img_any_kind(i);

		tests[i] = (struct CMUnitTest){ kind->name, threads, NULL, NULL,
						(void *)(uintptr_t)kind };
	}
	return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
