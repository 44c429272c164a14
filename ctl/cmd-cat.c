// SPDX-License-Identifier: GPL-2.0-only
/* vdctl cat: the disk's bytes to standard output */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <unistd.h>
#include "image-set.h"

#define PIECE (1U << 20)

enum { OPT_OFFSET = 400, OPT_LENGTH };

static const struct ctl_opt opts[] = {
	{ OPT_OFFSET, "offset", "N", "begin at byte N of the disk" },
	{ OPT_LENGTH, "length", "N", "at most N bytes" },
	{ 'J', "json", NULL, NULL },
	{ 0 }
};

/* Here --offset counts in the disk; the raw option keeps its short form. */
static const struct ctl_opt short_offset[] = {
	{ 'o', NULL, "N", "raw: the disk begins at byte N of the file" },
	{ 0 }
};

struct cat {
	struct set_options image;
	u64 offset;
	u64 length;
	bool have_length;
};

/* 1: the reader has had enough. */
static int put_all(const u8 *buf, size_t len)
{
	while (len) {
		ssize_t n = write(STDOUT_FILENO, buf, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EPIPE ? 1 : -errno;
		buf += n;
		len -= (size_t)n;
	}
	return 0;
}

/*
 * *@len becomes how far it can be read; a byte of damage in a piece takes no other
 * byte with it. The last that is asked is the sector that cannot be read.
 */
static int read_piece(struct vd_chain *chain, struct vd_unit *unit, u64 pos, u8 *buf, u32 *len)
{
	u32 good = 0, left = *len, half;
	int ret = vd_read(chain, unit, pos, buf, left);

	while (ret && left > 512) {
		half = left / 2 & ~511U;
		if (vd_read(chain, unit, pos + good, buf + good, half)) {
			left = half;
		} else {
			good += half;
			left -= half;
		}
		if (left == 512)
			ret = vd_read(chain, unit, pos + good, buf + good, left);
	}
	*len = ret ? good : good + left;
	return ret;
}

/* Whole sectors are read; what lies outside [pos, end) is cut off. */
static int copy(struct vd_chain *chain, struct vd_unit *unit, u8 *buf, u64 pos, u64 end,
		const struct image_set *set)
{
	struct progress progress;
	u64 start = pos;
	int error = 0, ret = 0;

	progress_begin(&progress, end - pos);
	while (!error && pos < end) {
		u32 head = (u32)(pos % 512);
		u64 from = pos - head;
		u32 len = (u32)min_t(u64, PIECE, ((end + 511) & ~511ULL) - from);
		u64 take;

		error = read_piece(chain, unit, from, buf, &len);
		take = len > head ? min_t(u64, len - head, end - pos) : 0;
		ret = put_all(buf + head, (size_t)take);
		if (ret) {
			ret = ret > 0 ? 0 : ctl_errno(ret, NULL, "writing the answer");
			break;
		}
		pos += take;
		progress_step(&progress, pos - start);
		if (error)
			ret = chain_error(error, set, from + len);
	}
	progress_end(&progress);
	return ret;
}

static int cat_chain(const struct cat *c, struct vd_chain *chain, const struct image_set *set)
{
	struct vd_unit unit = { 0 };
	u64 end = chain->size;
	u8 *buf;
	int ret;

	if (c->offset > end)
		return ctl_error(CTL_USAGE, "usage", set->images[0].path,
				 "--offset %llu lies behind the end of the disk, %llu",
				 (unsigned long long)c->offset, (unsigned long long)end);
	if (c->have_length)
		end = c->offset + min(c->length, end - c->offset);
	buf = aligned_alloc(4096, PIECE);
	if (!buf)
		return ctl_nomem();
	ret = chain->max_unit ? vd_unit_prepare(&unit, chain->max_unit) : 0;
	ret = ret ? ctl_nomem() : copy(chain, &unit, buf, c->offset, end, set);
	vd_unit_release(&unit);
	free(buf);
	return ret;
}

static int cat(const struct cat *c, char *const *paths, int nr)
{
	struct open_chain open;
	struct image_set set;
	int ret;

	ret = set_open(&set, &c->image, paths, nr);
	if (ret)
		return ret;
	ret = chain_open(&set, &open);
	if (!ret) {
		ret = cat_chain(c, open.chain, &set);
		chain_close(&open);
	}
	set_close(&set);
	return ret;
}

static int run(const struct cmd *cmd, int argc, char **argv)
{
	struct cat c = { 0 };
	int id, ret = 0;

	while (!ret && (id = ctl_getopt(cmd, argc, argv)) != CTL_OPT_END) {
		if (id == CTL_OPT_HELP)
			goto out;
		ret = id == CTL_OPT_BAD ? CTL_USAGE : image_opt(&c.image, id, optarg);
		if (ret >= 0)
			continue;
		ret = 0;
		if (id == OPT_OFFSET)
			ret = parse_size("--offset", optarg, &c.offset);
		if (id == OPT_LENGTH) {
			c.have_length = true;
			ret = parse_size("--length", optarg, &c.length);
		}
	}
	if (!ret && optind == argc)
		ret = cmd_usage(cmd, "which image?");
	if (!ret && isatty(STDOUT_FILENO))
		ret = cmd_usage(cmd, "will not write a disk to a terminal");
	if (!ret)
		ret = cat(&c, argv + optind, argc - optind);
out:
	free(c.image.parents);
	free(c.image.outside);
	return ret;
}

const struct cmd cmd_cat = {
	.name = "cat",
	.args = "IMAGE",
	.summary = "Write the bytes of the disk to standard output",
	.more = "Needs neither root nor the kernel module.",
	.opts = { opts, image_opts, short_offset, share_opts },
	.run = run,
};
