// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "suite.h"
#include "uevents.h"

struct nl nl;
struct nl_reply reply;

static const char *ext4, *xfs;

static bool wanted(const char *name, int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], name))
			return true;
	}
	return argc < 2;
}

int suite_main(int argc, char **argv, const char *topic, const struct contract *contracts,
	       size_t nr)
{
	u64 start;
	size_t i;

	if (argc == 2 && !strcmp(argv[1], "--list")) {
		for (i = 0; i < nr; i++)
			printf("%s/%s\n", topic, contracts[i].name);
		return 0;
	}
	chain_begin(&nl, &ext4, &xfs);
	uevents_open();
	for (i = 0; i < nr; i++) {
		if (!wanted(contracts[i].name, argc, argv))
			continue;
		diag("%s/%s", topic, contracts[i].name);
		start = now_ms();
		contracts[i].run();
		is_num(vdev_count(&nl), 0, "%s/%s: nothing is left attached", topic,
		       contracts[i].name);
		diag("%s/%s took %llu ms", topic, contracts[i].name,
		     (unsigned long long)(now_ms() - start));
		vdev_detach_all(&nl);
	}
	nl_close(&nl);
	return tap_done();
}

/* ----------------------------------------------------------------- subjects */

void subject_attach(struct subject *s, u32 flags)
{
	chain_must_attach(&nl, &s->chain, flags, &s->dev, &reply);
}

void subject_make(struct subject *s, enum subject_kind kind, u64 size, u32 flags)
{
	const char *dir = kind == SUBJECT_VMDK ? xfs : ext4;
	struct extent e;

	memset(s, 0, sizeof(*s));
	if (kind == SUBJECT_RAW)
		e = raw_file(size);
	else if (kind == SUBJECT_VMDK)
		e = vmdk_sparse(size, 64 * KIB, VMDK_RGD, 0);
	else
		e = vdi_blocks(size, MIB, 0, 0);
	e.used = 0;
	s->what = kind == SUBJECT_RAW ? "raw" : kind == SUBJECT_VMDK ? "vmdk" : "vdi";
	s->size = size;
	s->unit = e.unit ? e.unit : 4096;
	s->chain = chain_single(dir, "subject", e);
	chain_make(&s->chain, 1);
	subject_attach(s, flags);
}

void subject_detach(struct subject *s)
{
	if (!is_err(vdev_detach(&nl, s->dev.id, VDISK_DETACH_PLAIN, &reply), 0, "%s: detach",
		    s->what))
		diag("%s", reply.text);
	/* On a slow machine the answer may be that it is under way. */
	else
		wait_until(vdev_gone(&nl, s->dev.id), 20000);
}

void subject_end(struct subject *s)
{
	subject_detach(s);
	ok(chain_sound(&s->chain, 0), "%s: the image is sound", s->what);
	/* There is nothing to check in a raw image. */
	if (s->chain.images[0].extents[0].unit)
		chain_ask_qemu(&s->chain, NULL, s->what);
	chain_remove(&s->chain);
}

u64 subject_space(const struct subject *s)
{
	struct stat st;

	return stat(s->chain.images[0].path, &st) ? 0 : st.st_blocks * 512ULL;
}

/* ------------------------------------------------------------------- sundry */

const char *disk_name(const struct vdev *dev)
{
	return dev->path + strlen("/dev/");
}

struct blk_stat blk_stat(const char *disk)
{
	struct blk_stat s = { 0 };
	char path[128], text[512];

	snprintf(path, sizeof(path), "/sys/block/%s/stat", disk);
	read_text(path, text, sizeof(text));
	/* Merges and milliseconds are nobody's promise. */
	if (sscanf(text, "%lu %*u %lu %*u %lu %*u %lu %*u %lu %*u %*u %lu %*u %lu %*u %lu",
		   &s.reads, &s.read_sectors, &s.writes, &s.write_sectors, &s.in_flight,
		   &s.discards, &s.discard_sectors, &s.flushes) != 8)
		bail("cannot read %s", path);
	return s;
}

bool blk_idle(const struct vdev *dev)
{
	const char *disk = disk_name(dev);
	char want[32] = "       0        0";

	return wait_until(!blk_stat(disk).in_flight &&
			  !strcmp(vdev_sysfs(dev, "inflight"), want), 5000);
}

struct blk_stat blk_rest(const struct vdev *dev)
{
	if (!blk_idle(dev))
		diag("%s does not come to rest", dev->path);
	return blk_stat(disk_name(dev));
}

int disk_set(const char *disk, const char *attr, const char *value)
{
	char path[160];

	snprintf(path, sizeof(path), "/sys/block/%s/%s", disk, attr);
	return write_text(path, value) ? 0 : -errno;
}

u64 disk_get(const char *disk, const char *attr)
{
	char path[160], text[64];

	snprintf(path, sizeof(path), "/sys/block/%s/%s", disk, attr);
	if (!read_text(path, text, sizeof(text)))
		return ~0ULL;
	return strtoull(text, NULL, 10);
}

bool works(const char *prog, ...)
{
	static struct run r;
	const char *argv[40] = { prog };
	unsigned int n = 0;
	va_list args;

	va_start(args, prog);
	while (argv[n] && n + 1 < ARRAY_SIZE(argv))
		argv[++n] = va_arg(args, const char *);
	va_end(args);
	if (!run_argv(&r, argv))
		return true;
	diag("%s %s: status %d: %s%s", prog, argv[1] ? argv[1] : "", r.status, r.out, r.err);
	return false;
}

void pattern(void *buf, u64 len, u64 pos, u64 seed)
{
	u64 done, n, within;
	u8 sector[SECTOR];
	struct rng rng;

	for (done = 0; done < len; done += n) {
		within = (pos + done) % SECTOR;
		n = SECTOR - within < len - done ? SECTOR - within : len - done;
		rng_seed(&rng, seed << 40 ^ (pos + done) / SECTOR);
		rng_fill(&rng, sector, SECTOR);
		memcpy((u8 *)buf + done, sector + within, n);
	}
}

bool is_pattern(const void *buf, u64 len, u64 pos, u64 seed)
{
	u8 *want = xalloc(len);
	bool same;

	pattern(want, len, pos, seed);
	same = !memcmp(buf, want, len);
	free(want);
	return same;
}

bool is_zero(const void *buf, u64 len)
{
	const u8 *p = buf;

	return !len || (!p[0] && !memcmp(p, p + 1, len - 1));
}

bool put_pattern(int fd, u64 pos, u64 len, u64 seed)
{
	u8 *buf = xalloc(len);
	bool good;

	pattern(buf, len, pos, seed);
	good = pwrite_all(fd, buf, len, pos);
	if (!good)
		diag("write of %llu bytes at %llu: %s", (unsigned long long)len,
		     (unsigned long long)pos, err_name(errno));
	free(buf);
	return good;
}

bool has_pattern(int fd, u64 pos, u64 len, u64 seed)
{
	u8 *want = xalloc(len);
	bool same;

	pattern(want, len, pos, seed);
	same = same_content(fd, want, len, pos);
	free(want);
	return same;
}

bool has_zeros(int fd, u64 pos, u64 len)
{
	u8 *zero = xalloc(len);
	bool same = same_content(fd, zero, len, pos);

	free(zero);
	return same;
}
