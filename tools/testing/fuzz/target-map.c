// SPDX-License-Identifier: GPL-2.0-only
/* Probe, open, and the whole map, asked in every way that it can be asked. */
#include "fz.h"

/*
 * What a walk may cost: a step is 8, as it is up to five look-ups, and each 256 KiB of an
 * answer one more. So a map of up to 4096 answers is walked whole, if they are short.
 */
#define COST 32768U
#define CALLS 20U	/* at random */
#define SHORT (32U * VD_SECTOR)	/* of all but one look-up at a place */

static void probe_all(struct fz_once *once)
{
	const struct fz_backend *b;
	u32 i;

	for (b = fz_backends; b->format; b++) {
		for (i = 0; b->format->probe && i < once->io.nr_files; i++) {
			struct vd_probe probe = { 0 };

			fz_call(&once->io, "probe", 2);
			if (!b->format->probe(&once->io.files[i].file, &probe) &&
			    (probe.score < 0 || probe.score > 100))
				fz_die("probe: score %d", probe.score);
		}
	}
}

/* What is in memory is what a reader would have waited for. */
static void same_answer(struct vd_chain *chain, const struct vd_extent *a,
			const struct vd_extent *b, u64 ahead)
{
	if (a->type != b->type || a->seg != b->seg || a->file != b->file)
		fz_die("map: byte %llu has another answer the second time", b->pos);
	if (a->type == VD_EXT_DATA && a->file_pos + ahead != b->file_pos)
		fz_die("map: byte %llu is at %llu, then at %llu", b->pos, a->file_pos + ahead,
		       b->file_pos);
	if (a->type == VD_EXT_PACKED && (a->file_pos != b->file_pos || a->unit_pos != b->unit_pos))
		fz_die("map: byte %llu is in another unit the second time", b->pos);
}

/* Segments of an extent that was merged over several of them differ. */
static bool comparable(const struct vd_extent *ext)
{
	return ext->type == VD_EXT_DATA || ext->type == VD_EXT_PACKED;
}

static void ask_again(struct fz_once *once, struct vd_chain *chain, const struct vd_extent *ext,
		      struct fz_rng *rng)
{
	u64 ahead = fz_below(rng, ext->len / VD_SECTOR) * VD_SECTOR;
	u64 len = min_t(u64, ext->len, SHORT);
	struct vd_extent other;
	int ret;

	ret = fz_map(once, chain, ext->pos, len, VD_MAP_NOWAIT, &other);
	if (ret && ret != -EAGAIN)
		fz_die("map: byte %llu fails with %d the second time", ext->pos, ret);
	if (!ret && comparable(ext))
		same_answer(chain, ext, &other, 0);
	ret = fz_map(once, chain, ext->pos + ahead, min(len, ext->len - ahead), 0, &other);
	if (ret)
		fz_die("map: byte %llu fails with %d, but was answered", ext->pos + ahead, ret);
	if (comparable(ext) && ext->seg == other.seg)
		same_answer(chain, ext, &other, ahead);
	else if (ext->type != other.type)
		fz_die("map: byte %llu has another type the second time", ext->pos + ahead);
}

/* Returns how far the answer reaches; a sector where there is none. */
static u64 ask(struct fz_once *once, struct vd_chain *chain, u64 pos, u64 len, struct fz_rng *rng)
{
	struct vd_extent ext, other;
	int ret;

	if (fz_rand(rng) & 1)
		fz_map(once, chain, pos, SHORT, VD_MAP_NOWAIT, &ext);
	ret = fz_map(once, chain, pos, len, 0, &ext);
	fz_map(once, chain, pos, SHORT, VD_MAP_WRITE, &other);
	if (ret)
		return VD_SECTOR;
	if (fz_honest(&once->io))
		ask_again(once, chain, &ext, rng);
	return ext.len;
}

static u64 some_len(struct fz_rng *rng, u64 rest)
{
	u64 len = (1 + fz_below(rng, 1ULL << fz_below(rng, 12))) * VD_SECTOR;

	return fz_rand(rng) & 3 ? rest : min(len, rest);
}

static void walk(struct fz_once *once, struct vd_chain *chain)
{
	struct fz_rng rng = { once->in.ctl.seed };
	u32 cost = COST, calls;
	u64 pos, got;

	/* A long answer may have been put together from one for each table. */
	for (pos = 0; pos < chain->size && cost; pos += got) {
		got = ask(once, chain, pos, some_len(&rng, chain->size - pos), &rng);
		cost -= min_t(u64, cost, 8 + (got >> VD_SECTOR_SHIFT >> VD_SECTOR_SHIFT));
	}
	for (calls = CALLS; calls; calls--) {
		pos = fz_some_pos(chain, &rng);
		ask(once, chain, pos, some_len(&rng, chain->size - pos), &rng);
	}
	vd_meta_shrink(chain->meta, 4);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct fz_once *once = fz_begin(data, size);
	struct vd_chain *chain;

	if (!once)
		return -1;
	probe_all(once);
	chain = fz_open(once);
	if (chain) {
		walk(once, chain);
		fz_close(chain);
	}
	fz_end(once);
	return 0;
}
