// SPDX-License-Identifier: GPL-2.0-only
/*
 * Backing stores that fail and recover. What a flush had promised stays; a flush that
 * could not do what it had to is never followed by one that says all is well; a place
 * that cannot be read costs what is in it, and no more.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "blk.h"
#include "chain.h"
#include "load.h"
#include "shadow.h"
#include "store.h"
#include "tap.h"

#define DISK	(8 * MIB)
#define SURE	24U		/* pieces that are flushed before it fails */
#define MORE	24U
#define LEAKS	3		/* exit status of those who check */

static struct nl nl;
static struct nl_reply reply;
static struct run r;
static int refs;

/* ---------------------------------------------------------------- subjects */

/* Without holes: ext4 shows what was in a block before if filling a hole with it failed. */
static struct chain raw(void)
{
	struct extent e = raw_file(DISK);

	e.used = 100;
	return chain_single("", "r", e);
}

static struct chain hosted(void)
{
	return chain_single("", "h", vmdk_sparse(DISK, 4096, VMDK_RGD, 30));
}

static struct chain blocks(void)
{
	return chain_single("", "b", vdi_blocks(DISK, MIB, VDI_VIRTUALBOX, 30));
}

/* Small units: many entries, so tables of several blocks, and of each only one. */
static struct chain fine_blocks(unsigned int used)
{
	return chain_single("", "f", vdi_blocks(DISK, 4096, VDI_VIRTUALBOX, used));
}

static struct chain fine_grains(unsigned int used)
{
	return chain_single("", "g", vmdk_sparse(DISK, 4096, 0, used));
}

static struct chain empty(void)
{
	struct extent e = raw_file(DISK);

	e.used = 0;
	return chain_single("", "e", e);
}

static struct chain delta(void)
{
	return chain_delta("", vmdk_sparse(DISK, 64 * KIB, VMDK_RGD, 10), vmdk_flat(DISK));
}

static struct chain mixed(void)
{
	return chain_delta("", vdi_blocks(DISK, 64 * KIB, VDI_HOLES, 10), raw_file(DISK));
}

/* One disk of one image, from nothing to its end. */
struct disk {
	const char *name;
	struct store *st;
	struct chain c;
	struct shadow s;
	struct vdev dev;
	struct load l;
	int fd;
	u8 *buf;
};

static void attach(struct disk *d, u32 flags)
{
	chain_must_attach(&nl, &d->c, flags | VDISK_F_NO_PARTSCAN, &d->dev, &reply);
	d->fd = vdev_open(&d->dev, (flags & VDISK_F_HARD_RDONLY ? O_RDONLY : O_RDWR) | O_DIRECT);
	if (d->fd < 0)
		bail("%s: open: %s", d->name, err_name(d->fd));
}

static void start(struct disk *d, struct store *st, struct chain c, u32 flags, const char *name)
{
	*d = (struct disk) { .name = name, .st = st, .c = c, .buf = xalloc(64 * KIB) };
	store_place(st, &d->c);
	chain_make(&d->c, 7);
	chain_load(&d->c, &d->s);
	load_init(&d->l, DISK, 3);
	attach(d, flags);
}

/* The detach may say that something was lost; afterwards nothing is left. */
static int detach(struct disk *d)
{
	int ret;

	close(d->fd);
	ret = vdev_detach(&nl, d->dev.id, VDISK_DETACH_PLAIN, &reply);
	ok(wait_until(vdev_gone(&nl, d->dev.id), 20000), "%s: detached", d->name);
	ok(wait_until(module_refs("vdisk") == refs, 10000), "%s: no reference is left", d->name);
	return ret;
}

static void end(struct disk *d)
{
	chain_remove(&d->c);
	shadow_free(&d->s);
	free(d->buf);
}

/* The next @nr pieces, as far as they are accepted. */
static bool write_on(struct disk *d, unsigned int nr)
{
	for (; nr; nr--) {
		if (!load_piece(&d->l, d->fd, d->l.done, d->buf))
			return false;
		d->l.done++;
	}
	return true;
}

static void write_and_flush(struct disk *d)
{
	ok(write_on(d, SURE) && !fsync(d->fd), "%s: writes and a flush", d->name);
	d->l.synced = d->l.done;
	load_apply(&d->l, &d->s, d->l.synced);
}

/* Content that was flushed; @all: none of it may be unreadable. */
static void check_flushed(struct disk *d, bool all)
{
	u8 *want = xalloc(LOAD_PIECE);
	unsigned int i, bad = 0, wrong = 0;
	u64 pos;

	for (i = 0; i < d->l.synced; i++) {
		pos = i * d->l.stride % d->l.pieces * LOAD_PIECE;
		if (!pread_all(d->fd, d->buf, LOAD_PIECE, pos))
			bad++;
		else if (memcmp(d->buf, d->s.data + pos, LOAD_PIECE))
			wrong++;
	}
	free(want);
	is_num(wrong, 0, "%s: what was flushed is not read wrong", d->name);
	if (all)
		is_num(bad, 0, "%s: and all of it can be read", d->name);
}

/* Nothing is acknowledged any more, though the store is well. */
static void check_sticky(struct disk *d)
{
	ok(fsync(d->fd), "%s: the flush fails, though all is well again", d->name);
	ok(fsync(d->fd), "%s: so does the next", d->name);
	memset(d->buf, 0x11, LOAD_PIECE);
	ok(!pwrite_all(d->fd, d->buf, LOAD_PIECE, 0), "%s: writes are refused", d->name);
	ok(strtoul(vdev_sysfs(&d->dev, "vdisk/errors"), NULL, 10) > 0, "%s: errors are counted",
	   d->name);
}

/* At most the mark of a writer that did not end well, and space that nobody refers to. */
static void check_unclean(struct disk *d)
{
	const struct image *top = &d->c.images[0];
	int status;

	/* On a device, a descriptor's name for itself is another's. */
	if (!top->extents[0].unit || !d->st->fs)
		return;
	status = run(&r, "vdctl", "check", "-q", top->path, NULL);
	if (!ok(!status || status == LEAKS || (status == 2 && !strstr(r.out, "corrupt")),
		"%s: vdctl check finds nothing corrupt", d->name))
		diag("status %d: %s%s", status, r.out, r.err);
}

static void check_clean(struct disk *d)
{
	int status;

	if (!d->c.images[0].extents[0].unit || !chain_qemu_opens(&d->c))
		return;
	status = chain_qemu_check(&d->c);
	ok(!status || status == LEAKS, "%s: qemu-img check finds no more than leaks", d->name);
}

/* After the store was renewed: what the files hold, and that all goes on from there. */
static void check_again(struct disk *d)
{
	ok(load_settle(&d->l, &d->c, &d->s, d->l.synced), "%s: each other sector is old or new",
	   d->name);
	ok(chain_equals(&d->c, &d->s), "%s: what was flushed is there, the rest as before",
	   d->name);
	check_unclean(d);
	attach(d, 0);
	ok(shadow_equals(&d->s, d->fd, 0, DISK, 0), "%s: attached again, the disk has it, too",
	   d->name);
	d->l.seed++;
	d->l.done = 0;
	write_and_flush(d);
	is_err(detach(d), 0, "%s: well", d->name);
	ok(chain_sound(&d->c, CHAIN_MAY_LEAK) && chain_equals(&d->c, &d->s),
	   "%s: sound and right", d->name);
	check_clean(d);
}

/* ----------------------------------------------------------- writes that fail */

/* The files' own write-back meets the error, and somebody else is told of it. */
static bool others_hear(struct disk *d)
{
	int fd = xopen(d->c.images[0].extents[0].path, O_RDONLY);
	bool failed = fsync(fd);

	close(fd);
	return failed;
}

/* Accepted into a page cache, and lost from there once. */
static void test_write_back(struct store *st, struct chain c, const char *name)
{
	struct disk d;

	start(&d, st, c, VDISK_F_BUFFERED, name);
	write_and_flush(&d);
	store_break_all(st, STORE_ERROR_WRITES);
	/* The old content once more: that surely is accepted. */
	ok(load_piece(&d.l, d.fd, 0, d.buf), "%s: a write is accepted", name);
	write_on(&d, MORE);
	ok(others_hear(&d), "%s: writing back fails", name);
	store_heal(st);
	check_sticky(&d);
	check_flushed(&d, !st->fs);
	ok(detach(&d), "%s: which is told that something was lost", name);
	store_renew(st);
	check_again(&d);
	end(&d);
}

/* Direct: whoever writes is told himself. What was acknowledged, a good flush makes sure. */
static void test_direct(struct store *st, struct chain c, const char *name)
{
	unsigned int failed;
	struct disk d;

	start(&d, st, c, 0, name);
	write_and_flush(&d);
	store_break_all(st, STORE_ERROR_WRITES);
	failed = !write_on(&d, MORE);
	failed += !!fsync(d.fd);
	ok(failed, "%s: a write or the flush fails", name);
	store_heal(st);
	write_on(&d, MORE);
	failed = !!fsync(d.fd);
	diag("%s: of %u writes were accepted %u, and the last flush %s", name,
	     SURE + 2 * MORE, d.l.done, failed ? "failed" : "went well");
	if (!failed) {
		d.l.synced = d.l.done;
		load_apply(&d.l, &d.s, d.l.synced);
	}
	check_flushed(&d, !st->fs);
	if (failed)
		check_sticky(&d);
	detach(&d);
	store_renew(st);
	check_again(&d);
	end(&d);
}

/* A write of data that failed is the writer's business; unless it was to be durable. */
static void test_data(struct store *st, struct chain c, const char *name)
{
	struct disk d;
	int durable;

	start(&d, st, c, 0, name);
	write_and_flush(&d);
	store_break_all(st, STORE_ERROR_WRITES);
	memset(d.buf, 0x22, LOAD_PIECE);
	ok(!pwrite_all(d.fd, d.buf, LOAD_PIECE, 0) && errno == EIO,
	   "%s: a write to what has a place fails", name);
	store_heal(st);
	memset(d.buf, 0x33, LOAD_PIECE);
	ok(pwrite_all(d.fd, d.buf, LOAD_PIECE, 0) && !fsync(d.fd), "%s: the next one does not",
	   name);
	memcpy(d.s.data, d.buf, LOAD_PIECE);
	durable = vdev_open(&d.dev, O_RDWR | O_DIRECT | O_DSYNC);
	store_break_all(st, STORE_ERROR_WRITES);
	memset(d.buf, 0x33, LOAD_PIECE);
	ok(!pwrite_all(durable, d.buf, LOAD_PIECE, 0), "%s: a durable write fails", name);
	store_heal(st);
	close(durable);
	check_sticky(&d);
	check_flushed(&d, true);
	detach(&d);
	store_renew(st);
	check_again(&d);
	end(&d);
}

/* Nothing fails but the flush itself: @loop has a write cache. */
static void test_flush(struct chain c, const char *loop, const char *name)
{
	struct store st;
	struct disk d;

	store_make(&st, NULL, loop);
	start(&d, &st, c, 0, name);
	write_and_flush(&d);
	ok(write_on(&d, MORE), "%s: writes are accepted", name);
	store_break_all(&st, STORE_ERROR_WRITES);
	ok(fsync(d.fd), "%s: they cannot be flushed", name);
	store_heal(&st);
	check_sticky(&d);
	check_flushed(&d, true);
	ok(detach(&d), "%s: which is told that something was lost", name);
	store_renew(&st);
	check_again(&d);
	end(&d);
	store_end(&st);
}

static void test_flushes(void)
{
	const char *file = path_in(scratch_dir(), "loop");
	char loop[64];

	close(make_file(file, STORE_SIZE));
	if (run(&r, "losetup", "--find", "--show", file, NULL))
		bail("losetup: %s", r.err);
	snprintf(loop, sizeof(loop), "%.60s", r.out);
	loop[strcspn(loop, "\n")] = 0;
	test_flush(raw(), loop, "flush, raw");
	test_flush(hosted(), loop, "flush, VMDK");
	test_flush(blocks(), loop, "flush, VDI");
	is_num(run(&r, "losetup", "--detach", loop, NULL), 0, "losetup --detach %s", r.err);
	unlink(path_in(scratch_dir(), "loop"));
}

/* ---------------------------------------------------------------- dropped writes */

/*
 * A store that lies: what was written meanwhile is lost. What was flushed before, in the
 * lower half, and what is written after it, is not.
 */
static void test_dropped(struct store *st, struct chain c, const char *name)
{
	u8 *buf = xalloc(64 * KIB);
	struct rng rng;
	struct disk d;
	bool good;
	u64 pos;

	rng_seed(&rng, 17);
	start(&d, st, c, 0, name);
	for (pos = 0, good = true; pos < DISK / 2; pos += 320 * KIB) {
		rng_fill(&rng, buf, 64 * KIB);
		good &= pwrite_all(d.fd, buf, 64 * KIB, pos);
		shadow_write(&d.s, pos, buf, 64 * KIB);
	}
	ok(good && !fsync(d.fd), "%s: writes and a flush", name);
	store_break_all(st, STORE_DROP_WRITES);
	for (pos = DISK / 2, good = true; pos < DISK; pos += 256 * KIB)
		good &= pwrite_all(d.fd, buf, 64 * KIB, pos);
	ok(good && !fsync(d.fd), "%s: nobody hears that writes are lost", name);
	store_heal(st);
	rng_fill(&rng, buf, 64 * KIB);
	ok(pwrite_all(d.fd, buf, 64 * KIB, MIB) && !fsync(d.fd), "%s: one more write", name);
	shadow_write(&d.s, MIB, buf, 64 * KIB);
	is_err(detach(&d), 0, "%s: well", name);
	attach(&d, VDISK_F_RDONLY | VDISK_F_HARD_RDONLY);
	ok(shadow_equals(&d.s, d.fd, 0, DISK / 2, 0), "%s: what is not lost is right", name);
	for (pos = DISK / 2; pos < DISK; pos += 64 * KIB)
		pread_all(d.fd, buf, 64 * KIB, pos);
	detach(&d);
	end(&d);
	free(buf);
}

/* ------------------------------------------------------------- reads that fail */

struct sector {
	u64 key;	/* its first bytes, which are random */
	u64 nr;
};

static int by_key(const void *a, const void *b)
{
	const struct sector *p = a, *q = b;

	return p->key < q->key ? -1 : p->key > q->key;
}

/* All sectors of the disk that are not zeros, to be found by their content. */
static struct sector *index_disk(const struct shadow *s, u64 *nr)
{
	struct sector *all = xalloc(DISK / SECTOR * sizeof(*all));
	u64 i;

	for (i = *nr = 0; i < DISK / SECTOR; i++) {
		memcpy(&all[*nr].key, s->data + i * SECTOR, sizeof(all->key));
		all[*nr].nr = i;
		*nr += all[*nr].key != 0;
	}
	qsort(all, *nr, sizeof(*all), by_key);
	return all;
}

/* Which sector of the disk is @buf? DISK / SECTOR: none. */
static u64 find_sector(const struct shadow *s, const struct sector *all, u64 nr, const u8 *buf)
{
	const struct sector *hit;
	struct sector key;

	memcpy(&key.key, buf, sizeof(key.key));
	hit = bsearch(&key, all, nr, sizeof(*all), by_key);
	return hit && !memcmp(s->data + hit->nr * SECTOR, buf, SECTOR) ? hit->nr : DISK / SECTOR;
}

#define BAD	37U	/* sectors of the device that cannot be read */

/*
 * From the first sector with data past byte @from of the device on: marks which sectors
 * of the disk lie there.
 */
static u64 choose_bad(const struct disk *d, u64 from, u8 *bad)
{
	u64 nr, i, n, first = ~0ULL, hit;
	struct sector *all = index_disk(&d->s, &nr);
	u8 *buf = xalloc(MIB);
	int fd = xopen(d->st->under, O_RDONLY | O_DIRECT);

	for (i = 0; first == ~0ULL || i < first + BAD; i++) {
		n = i % (MIB / SECTOR);
		if (!n && !pread_all(fd, buf, MIB, from + i * SECTOR))
			bail("%s: %s", d->st->under, err_name(errno));
		hit = find_sector(&d->s, all, nr, buf + n * SECTOR);
		if (hit == DISK / SECTOR)
			continue;
		if (first == ~0ULL)
			first = i;
		bad[hit] = 1;
	}
	close(fd);
	free(buf);
	free(all);
	return from / SECTOR + first;
}

/* Each sector alone: wrong ones, those that fail and should not, and the reverse. */
static u64 misread(const struct disk *d, const u8 *bad, u64 pos, u64 len)
{
	u64 wrong = 0, i;
	bool got;

	for (i = pos; i < pos + len; i += SECTOR) {
		got = pread_all(d->fd, d->buf, SECTOR, i);
		wrong += got == bad[i / SECTOR] ||
			 (got && memcmp(d->buf, d->s.data + i, SECTOR));
	}
	return wrong;
}

static void check_reads(const struct disk *d, const u8 *bad, const char *what)
{
	u64 pos, wrong = 0, failed = 0, marked = 0;

	for (pos = 0; pos < DISK / SECTOR; pos++)
		marked += bad[pos];
	for (pos = 0; pos < DISK; pos += 64 * KIB) {
		if (!pread_all(d->fd, d->buf, 64 * KIB, pos)) {
			failed++;
			wrong += misread(d, bad, pos, 64 * KIB);
		} else {
			wrong += memcmp(d->buf, d->s.data + pos, 64 * KIB) ||
				 memchr(bad + pos / SECTOR, 1, 64 * KIB / SECTOR);
		}
	}
	is_num(wrong, 0, "%s: %s: %llu sectors fail, no other, and none is wrong", d->name, what,
	       (unsigned long long)marked);
	ok(failed && marked && marked < DISK / SECTOR, "%s: %s: some fail, not all", d->name,
	   what);
}

static bool rewrite(struct disk *d, u64 pos)
{
	return pwrite_all(d->fd, d->s.data + pos, 4096, pos);
}

/* A good one of the disk. */
static u64 good_place(const u8 *bad)
{
	u64 pos = 0;

	while (memchr(bad + pos / SECTOR, 1, 4096 / SECTOR))
		pos += 4096;
	return pos;
}

static void end_reads(struct disk *d)
{
	store_heal(d->st);
	ok(shadow_equals(&d->s, d->fd, 0, DISK, 0), "%s: all is well again, and read", d->name);
	is_err(detach(d), 0, "%s: well", d->name);
	ok(chain_sound(&d->c, CHAIN_MAY_LEAK) && chain_equals(&d->c, &d->s), "%s: sound and right",
	   d->name);
	end(d);
}

static void test_bad_data(struct store *st, struct chain c, const char *name)
{
	u8 *bad = xalloc(DISK / SECTOR);
	struct disk d;
	u64 first;

	start(&d, st, c, 0, name);
	first = choose_bad(&d, 3 * MIB / 2, bad);
	store_break(st, STORE_ERROR, first, first + BAD);
	check_reads(&d, bad, "data");
	ok(rewrite(&d, good_place(bad)) && !fsync(d.fd), "%s: writes elsewhere go on", name);
	end_reads(&d);
	free(bad);
}

static u64 entry_block(const struct disk *d, u64 unit)
{
	return extent_entry(&d->c.images[0].extents[0], unit) / 4096;
}

/* The block with the last unit's entry. What its other entries are about fails, too. */
static void test_bad_table(struct store *st, struct chain c, const char *name)
{
	const u64 unit = c.images[0].extents[0].unit, last = DISK / unit - 1;
	u8 *bad = xalloc(DISK / SECTOR);
	struct disk d;
	u64 block, n;

	start(&d, st, c, 0, name);
	block = entry_block(&d, last);
	for (n = 0; n <= last; n++)
		memset(bad + n * unit / SECTOR, entry_block(&d, n) == block, unit / SECTOR);
	ok(rewrite(&d, 0) && !fsync(d.fd), "%s: a write and a flush", name);
	store_break(st, STORE_ERROR, block * 8, block * 8 + 8);
	if (!write_text("/proc/sys/vm/drop_caches", "3"))
		bail("drop_caches: %s", err_name(errno));
	check_reads(&d, bad, "table");
	ok(!rewrite(&d, last * unit), "%s: a write there fails", name);
	ok(rewrite(&d, good_place(bad)) && !fsync(d.fd), "%s: writes elsewhere go on", name);
	store_heal(st);
	ok(rewrite(&d, last * unit) && !fsync(d.fd), "%s: healed, a write there goes on", name);
	end_reads(&d);
	free(bad);
}

/* ------------------------------------------------------------ a full thin pool */

#define POOL	(4 * MIB / SECTOR)	/* at first, in sectors; blocks of 64 KiB */

/**
 * struct thin - a store that promises more than it has
 * @data: as large as the pool can become
 */
struct thin {
	struct dm meta, data, pool, dev;
};

static const char *pool_table(const struct thin *t, u64 sectors)
{
	static char table[DM_TABLE];

	snprintf(table, sizeof(table), "0 %llu thin-pool %s %s 128 0 1 error_if_no_space",
		 (unsigned long long)sectors, t->meta.path, t->data.path);
	return table;
}

static void thin_make(struct thin *t)
{
	char table[DM_TABLE];
	u8 *zero = xalloc(4096);
	int fd;

	snprintf(table, sizeof(table), "0 8192 linear %s 0", place_bdev());
	dm_create(&t->meta, "vdt-meta", table);
	snprintf(table, sizeof(table), "0 131072 linear %s 8192", place_bdev());
	dm_create(&t->data, "vdt-data", table);
	fd = xopen(t->meta.path, O_RDWR | O_DIRECT);
	if (!pwrite_all(fd, zero, 4096, 0))
		bail("%s: %s", t->meta.path, err_name(errno));
	close(fd);
	free(zero);
	dm_create(&t->pool, "vdt-pool", pool_table(t, POOL));
	dm_message(&t->pool, "create_thin 0");
	snprintf(table, sizeof(table), "0 131072 thin %s 0", t->pool.path);
	dm_create(&t->dev, "vdt-thin", table);
}

static void thin_end(struct thin *t)
{
	dm_remove(&t->dev);
	dm_remove(&t->pool);
	dm_remove(&t->data);
	dm_remove(&t->meta);
}

/* Until it fails, or the disk ends; what failed is old or new. */
static u64 fill(struct disk *d, u64 pos)
{
	struct rng rng;

	rng_seed(&rng, pos + 1);
	for (errno = 0; pos < DISK; pos += 64 * KIB) {
		rng_fill(&rng, d->buf, 64 * KIB);
		if (!pwrite_all(d->fd, d->buf, 64 * KIB, pos))
			break;
		shadow_write(&d->s, pos, d->buf, 64 * KIB);
	}
	return pos;
}

static void test_thin(struct chain c, const char *name)
{
	struct thin t;
	struct store st = { 0 };
	struct disk d;
	u64 end_pos;

	thin_make(&t);
	st.dm = t.dev;
	start(&d, &st, c, 0, name);
	end_pos = fill(&d, 0);
	if (!ok(end_pos < DISK && errno == ENOSPC, "%s: the pool is full: ENOSPC", name))
		diag("%s at %llu", err_name(errno), (unsigned long long)end_pos);
	ok(end_pos && pread_all(d.fd, d.buf, 64 * KIB, 0) &&
	   !memcmp(d.buf, d.s.data, 64 * KIB), "%s: reads go on", name);
	diag("%s: %llu KiB, a flush says %s", name, (unsigned long long)end_pos / KIB,
	     fsync(d.fd) ? err_name(errno) : "0");
	dm_reload(&t.pool, pool_table(&t, 131072));
	is_num(fill(&d, end_pos), DISK, "%s: with more space, writes go on", name);
	ok(!fsync(d.fd), "%s: and can be flushed", name);
	ok(shadow_equals(&d.s, d.fd, 0, DISK, 0), "%s: the disk is right", name);
	is_err(detach(&d), 0, "%s: well", name);
	ok(chain_sound(&d.c, CHAIN_MAY_LEAK) && chain_equals(&d.c, &d.s), "%s: sound and right",
	   name);
	end(&d);
	thin_end(&t);
}

/* -------------------------------------------------------------------- main */

static const struct {
	struct chain (*make)(void);
	const char *name;
} kinds[] = { { raw, "raw" }, { hosted, "VMDK" }, { blocks, "VDI" } };

/* In a short run each test has its turn, though not with each kind. */
static bool wanted(unsigned int turn)
{
	return full_run() || !(turn % 3);
}

static void test_fs(const char *fs, unsigned int turn)
{
	struct store st;
	unsigned int i;
	char name[64];

#define NAME(what) (snprintf(name, sizeof(name), "%s, " what ", %s", fs ? fs : "device",	\
			     kinds[i].name), name)
	store_make(&st, fs, NULL);
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (wanted(i + turn))
			test_write_back(&st, kinds[i].make(), NAME("write-back"));
		if (wanted(i + turn + 1))
			test_direct(&st, kinds[i].make(), NAME("direct"));
		if (!fs && wanted(i + turn + 2))
			test_data(&st, kinds[i].make(), NAME("data"));
		if (!fs)
			test_dropped(&st, kinds[i].make(), NAME("dropped"));
		if (!fs)
			test_bad_data(&st, kinds[i].make(), NAME("bad sectors"));
	}
	i = 0;
	if (fs && wanted(turn)) {
		test_write_back(&st, delta(), "write-back, delta");
		test_direct(&st, mixed(), "direct, VDI over raw");
	}
	if (!fs) {
		test_bad_table(&st, fine_grains(30), "bad table, VMDK");
		test_bad_table(&st, fine_blocks(30), "bad table, VDI");
	}
#undef NAME
	store_end(&st);
}

int main(void)
{
	unsigned int rounds = full_run() ? scaled(4) : 1, i;
	int ret = nl_open(&nl);

	if (ret)
		bail("no vdisk family: %s", err_name(ret));
	if (!dm_begin("flakey") || !dm_begin("thin-pool"))
		bail("no dm-flakey or dm-thin-pool");
	refs = module_refs("vdisk");
	for (i = 0; i < rounds; i++) {
		test_fs("ext4", 0);
		test_fs("xfs", 1);
		test_fs(NULL, 2);
		test_flushes();
		test_thin(empty(), "thin, raw");
		test_thin(fine_grains(0), "thin, VMDK");
		test_thin(fine_blocks(0), "thin, VDI");
	}
	is_num(vdev_count(&nl), 0, "nothing is left attached");
	nl_close(&nl);
	return tap_done();
}
