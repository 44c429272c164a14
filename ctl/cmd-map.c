// SPDX-License-Identifier: GPL-2.0-only
/* vdctl map: which guest bytes live where */
#include <getopt.h>
#include <stdlib.h>
#include "image-set.h"

enum { OPT_START = 400, OPT_LENGTH };

static const struct ctl_opt opts[] = {
	{ OPT_START, "start", "N", "first byte of the disk to look at" },
	{ OPT_LENGTH, "length", "N", "how many bytes" },
	{ 'J', "json", NULL, "JSON, in the schema of 'qemu-img map --output=json'" },
	{ 0 }
};

struct map {
	struct set_options image;
	u64 start;
	u64 length;
	bool have_length;
};

/**
 * struct range - neighbours that have one answer
 * @depth: image of the chain that answered, 0 the top
 * @pos: where the bytes are in @file (DATA)
 */
struct range {
	u64 start;
	u64 len;
	enum vd_extent_type type;
	u32 depth;
	const struct vd_file *file;
	u64 pos;
};

static const char *type_name(enum vd_extent_type type)
{
	switch (type) {
	case VD_EXT_ZERO: return "zero";
	case VD_EXT_DATA: return "data";
	case VD_EXT_PACKED: return "packed";
	default: return "hole";
	}
}

static bool continues(const struct range *r, const struct range *next)
{
	return r->len && r->type == next->type && r->depth == next->depth &&
	       r->file == next->file &&
	       (r->type != VD_EXT_DATA || r->pos + r->len == next->pos);
}

static void print_json(const struct range *r, bool first)
{
	bool data = r->type == VD_EXT_DATA || r->type == VD_EXT_PACKED;

	printf("%s{ \"start\": %llu, \"length\": %llu, \"depth\": %u,", first ? "[" : ",\n",
	       (unsigned long long)r->start, (unsigned long long)r->len, r->depth);
	printf(" \"present\": %s, \"zero\": %s, \"data\": %s, \"compressed\": %s",
	       r->type != VD_EXT_HOLE ? "true" : "false", data ? "false" : "true",
	       data ? "true" : "false", r->type == VD_EXT_PACKED ? "true" : "false");
	if (r->type == VD_EXT_DATA)
		printf(", \"offset\": %llu", (unsigned long long)r->pos);
	printf("}");
}

static void print_text(const struct image_set *set, const struct range *r, bool first)
{
	if (first)
		printf("%16s %16s %-6s %5s %16s %s\n", "START", "LENGTH", "TYPE", "DEPTH", "OFFSET",
		       "FILE");
	printf("%16llu %16llu %-6s %5u", (unsigned long long)r->start, (unsigned long long)r->len,
	       type_name(r->type), r->depth);
	if (r->file) {
		if (r->type == VD_EXT_DATA)
			printf(" %16llu ", (unsigned long long)r->pos);
		else
			printf(" %16s ", "-");
		text_escape(stdout, set->members[r->file->index].path);
	}
	putchar('\n');
}

struct printer {
	const struct image_set *set;
	struct range last;
	bool any;
};

static void flush(struct printer *p)
{
	if (!p->last.len)
		return;
	if (ctl.json)
		print_json(&p->last, !p->any);
	else
		print_text(p->set, &p->last, !p->any);
	p->any = true;
	p->last.len = 0;
}

static void take(struct printer *p, const struct range *next)
{
	if (continues(&p->last, next)) {
		p->last.len += next->len;
		return;
	}
	flush(p);
	p->last = *next;
}

static void to_range(const struct image_set *set, const struct vd_extent *ext, struct range *r)
{
	memset(r, 0, sizeof(*r));
	r->start = ext->pos;
	r->len = ext->len;
	r->type = ext->type;
	/* Nobody has a hole: the bottom of the chain was the last to be asked. */
	r->depth = ext->type != VD_EXT_HOLE && ext->seg ? ext->seg->image : set->nr_images - 1;
	if (ext->type == VD_EXT_DATA || ext->type == VD_EXT_PACKED)
		r->file = ext->file;
	if (ext->type == VD_EXT_DATA)
		r->pos = ext->file_pos;
}

static int walk(const struct image_set *set, struct vd_chain *chain, u64 pos, u64 end)
{
	struct printer p = { .set = set };
	struct vd_extent ext;
	struct range r;
	int ret = 0;

	while (pos < end) {
		ret = vd_map(chain, pos, end - pos, 0, &ext);
		if (ret)
			break;
		to_range(set, &ext, &r);
		take(&p, &r);
		pos += ext.len;
		if (ferror(stdout))
			break;	/* a reader that had enough, or main() says what */
	}
	flush(&p);
	if (ctl.json)
		printf("%s]\n", p.any ? "" : "[");
	return ret ? chain_error(ret, set, pos) : 0;
}

static int map(struct map *m, char *const *paths, int nr)
{
	struct open_chain open;
	struct image_set set;
	u64 end;
	int ret;

	ret = set_open(&set, &m->image, paths, nr);
	if (ret)
		return ret;
	ret = chain_open(&set, &open);
	if (ret)
		goto out;
	if (m->start % 512 || m->length % 512 || m->start > open.chain->size) {
		ret = ctl_error(CTL_USAGE, "usage", set.images[0].path,
				"--start and --length must be multiples of 512 inside the disk");
	} else {
		end = open.chain->size;
		if (m->have_length)
			end = m->start + min(m->length, end - m->start);
		ret = walk(&set, open.chain, m->start, end);
	}
	chain_close(&open);
out:
	set_close(&set);
	return ret;
}

static int run(const struct cmd *cmd, int argc, char **argv)
{
	struct map m = { 0 };
	int id, ret = 0;

	while (!ret && (id = ctl_getopt(cmd, argc, argv)) != CTL_OPT_END) {
		if (id == CTL_OPT_HELP)
			goto out;
		ret = id == CTL_OPT_BAD ? CTL_USAGE : image_opt(&m.image, id, optarg);
		if (ret >= 0)
			continue;
		ret = 0;
		if (id == OPT_START)
			ret = parse_size("--start", optarg, &m.start);
		if (id == OPT_LENGTH) {
			m.have_length = true;
			ret = parse_size("--length", optarg, &m.length);
		}
	}
	if (!ret && optind == argc)
		ret = cmd_usage(cmd, "which image?");
	if (!ret)
		ret = map(&m, argv + optind, argc - optind);
out:
	free(m.image.parents);
	free(m.image.outside);
	return ret;
}

const struct cmd cmd_map = {
	.name = "map",
	.args = "IMAGE",
	.summary = "Tell where each part of the disk lies",
	.more = "Types: hole (no image has it, reads zeros), zero, data, packed (compressed). DEPTH is\n"
		"the image of the chain, 0 the top. Needs neither root nor the kernel module.",
	.opts = { opts, image_opts, raw_opts, share_opts },
	.run = run,
};
