// SPDX-License-Identifier: GPL-2.0-only
/* Open and read, up to 1 MiB: whole, in pieces, and through units that are packed. */
#include <stdlib.h>

#include "fz.h"

#define READ_BYTES	(1U << 20)
#define READ_ONE	(64U << 10)

static u8 whole[READ_ONE], parts[READ_ONE];

static int read_at(struct fz_once *once, struct vd_chain *chain, struct vd_unit *unit, u64 pos,
		   u8 *buf, u32 len)
{
	int ret;

	fz_call(&once->io, "read", fz_read_cap(chain, len));
	ret = vd_read(chain, unit, pos, buf, len);
	if (ret > 0 || ret < -4095)
		fz_die("read: returned %d", ret);
	return ret;
}

/* What was not filled in shows, as the two buffers begin with other bytes. */
static void same_in_pieces(struct fz_once *once, struct vd_chain *chain, struct vd_unit *unit,
			   u64 pos, u32 len, struct fz_rng *rng)
{
	u32 done, step, i;

	memset(parts, 0x5a, len);
	for (done = 0; done < len; done += step) {
		step = (u32)(1 + fz_below(rng, (len - done) / VD_SECTOR)) * VD_SECTOR;
		if (read_at(once, chain, unit, pos + done, parts + done, step))
			fz_die("read: [%llu, +%u) fails, but was read", pos + done, step);
	}
	if (fz_mistake("unfilled"))
		parts[len - 1] = 0x5a;
	for (i = 0; i < len; i++)
		if (whole[i] != parts[i])
			fz_die("read: byte %llu is 0x%02x, then 0x%02x", pos + i, whole[i],
			       parts[i]);
}

/* Requests that no caller may make, and a reader without a place for units. */
static void bad_requests(struct fz_once *once, struct vd_chain *chain)
{
	struct vd_extent ext;

	if (!read_at(once, chain, NULL, chain->size, whole, VD_SECTOR) ||
	    !read_at(once, chain, NULL, 1, whole, VD_SECTOR) ||
	    !vd_map(chain, chain->size, VD_SECTOR, 0, &ext) || !vd_map(chain, 0, 0, 0, &ext))
		fz_die("read: past the end, or of no sector");
	read_at(once, chain, NULL, 0, whole, VD_SECTOR);
	if (vd_meta_count(chain->meta) > VD_META_MAX_BLOCKS)
		fz_die("read: %u blocks of metadata", vd_meta_count(chain->meta));
	vd_meta_shrink(chain->meta, once->in.ctl.seed % 64);
}

static void read_some(struct fz_once *once, struct vd_chain *chain)
{
	struct fz_rng rng = { once->in.ctl.seed };
	struct vd_unit unit = { 0 };
	u64 pos = 0;
	u32 left, len;
	int ret;

	for (left = READ_BYTES; left; left -= min(left, len + READ_ONE / 8)) {
		if (pos >= chain->size || fz_rand(&rng) & 1)
			pos = fz_some_pos(chain, &rng);
		len = (u32)(1 + fz_below(&rng, READ_ONE / VD_SECTOR)) * VD_SECTOR;
		len = (u32)min_t(u64, len, chain->size - pos);
		memset(whole, 0xa5, len);
		ret = read_at(once, chain, &unit, pos, whole, len);
		if (!ret && fz_honest(&once->io))
			same_in_pieces(once, chain, &unit, pos, len, &rng);
		pos += len;
	}
	vd_unit_release(&unit);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct fz_once *once = fz_begin(data, size);
	struct vd_chain *chain;

	if (!once)
		return -1;
	chain = fz_open(once);
	if (chain) {
		read_some(once, chain);
		bad_requests(once, chain);
		fz_close(chain);
	}
	fz_end(once);
	return 0;
}
