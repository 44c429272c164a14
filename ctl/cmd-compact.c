// SPDX-License-Identifier: GPL-2.0-only
/* vdctl compact: give back the space inside an image that nothing uses any more */
#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "image-set.h"
#include "netlink.h"
#include "vdisk/alloc.h"

#define COPY_BYTES	(1U << 20)
#define COPY_ALIGN	4096U

enum { OPT_VMWARE = 400 };

static const struct ctl_opt opts[] = {
	{ OPT_VMWARE, "ignore-vmware-lock", NULL, "although VMware's FILE.lck says that it is in use" },
	{ 'J', "json", NULL, "JSON" },
	{ 0 }
};

/**
 * struct compact - the verb at work
 * @before, @after: bytes of the file
 */
struct compact {
	struct set_options image;
	struct image_set set;
	struct vd_pack pack;
	struct progress progress;
	u64 before;
	u64 after;
};

static bool go_on(void *ctx, u64 moved, u64 total)
{
	struct compact *c = ctx;

	if (c->progress.total != total) {
		progress_end(&c->progress);
		progress_begin(&c->progress, total);
	}
	progress_step(&c->progress, moved);
	return !stop_wanted();
}

/* Only backends that can have holes know how to fill them. */
static int check_format(const struct image_set *set)
{
	const struct set_image *top = &set->images[0];
	const struct vd_format *format = vd_format_get(top->format);
	bool can = format && format->fill_holes;

	if (format)
		vd_format_put(format);
	if (can)
		return 0;
	return ctl_error(CTL_IMAGE, "unsupported", top->path,
			 "%s images cannot be compacted by moving data inside the file",
			 vd_format_name(top->format));
}

static u64 file_size(const struct image_set *set)
{
	struct stat st;

	return fstat(set->members[set->images[0].member].fd, &st) ? 0 : (u64)st.st_size;
}

/* Nothing that a guest can read changes, so no child is lost and no UUID renewed. */
static int pack(struct compact *c, struct vd_chain *chain)
{
	int ret, end;

	ret = vd_fill_holes(chain, &c->pack);
	end = vd_end_write(chain);
	progress_end(&c->progress);
	if (!ret)
		ret = end;
	return ret ? chain_error(ret, &c->set, 0) : 0;
}

static int run_pack(struct compact *c)
{
	struct open_chain open;
	int ret;

	c->set.nr_patches = 0;
	ret = chain_open(&c->set, &open);
	if (ret)
		return ret;
	c->pack.buf = aligned_alloc(COPY_ALIGN, COPY_BYTES);
	c->pack.size = COPY_BYTES;
	c->pack.memory = U64_MAX;
	c->pack.always = true;
	c->pack.go_on = go_on;
	c->pack.ctx = c;
	ret = c->pack.buf ? pack(c, open.chain) : ctl_nomem();
	free(c->pack.buf);
	chain_close(&open);
	return ret;
}

static void print_result(const struct compact *c)
{
	struct json_object *top;
	char gone[32];

	if (ctl.json) {
		top = json_top();
		json_object_object_add(top, "filename", json_text(c->set.images[0].path));
		json_object_object_add(top, "moved", json_object_new_int64((int64_t)c->pack.moved));
		json_object_object_add(top, "size-before",
				       json_object_new_int64((int64_t)c->before));
		json_object_object_add(top, "size-after", json_object_new_int64((int64_t)c->after));
		json_object_object_add(top, "complete", json_object_new_boolean(!c->pack.left));
		json_print(top);
		return;
	}
	if (ctl.quiet)
		return;
	format_size(c->before > c->after ? c->before - c->after : 0, gone, sizeof(gone));
	printf("moved %llu blocks; the file is %s smaller\n", (unsigned long long)c->pack.moved,
	       gone);
}

static int compact(struct compact *c, char *const *paths)
{
	int ret;

	ret = set_open(&c->set, &c->image, paths, 1);
	if (ret)
		return ret;
	ret = check_format(&c->set);
	if (!ret) {
		stop_catch();
		c->before = file_size(&c->set);
		ret = run_pack(c);
		c->after = file_size(&c->set);
	}
	if (!ret)
		print_result(c);
	if (!ret && c->pack.left)
		ret = stop_wanted() ? stop_asked() :
		      ctl_error(CTL_FAIL, "no_space", c->set.images[0].path,
				"not finished: there was no room for a copy");
	set_close(&c->set);
	return ret;
}

static int run(const struct cmd *cmd, int argc, char **argv)
{
	struct compact c = { .image = { .mode = SET_WRITE, .top_only = true,
					.ignore_children = true } };
	int id, ret = 0;

	while (!ret && (id = ctl_getopt(cmd, argc, argv)) != CTL_OPT_END) {
		if (id == CTL_OPT_HELP)
			goto out;
		if (id == OPT_VMWARE) {
			c.image.ignore_vmware_lock = true;
			continue;
		}
		ret = id == CTL_OPT_BAD ? CTL_USAGE : image_opt(&c.image, id, optarg);
		if (ret < 0)
			ret = 0;
	}
	if (!ret && argc - optind != 1)
		ret = cmd_usage(cmd, argc == optind ? "which image?" : "one image at a time");
	if (!ret)
		ret = compact(&c, argv + optind);
	if (ret)
		stop_raise();
out:
	free(c.image.parents);
	free(c.image.outside);
	return ret;
}

const struct cmd cmd_compact = {
	.name = "compact",
	.args = "IMAGE",
	.summary = "Move data into free space of the file, and cut its end off",
	.more = "What a guest reads stays the same. Detaching does it too, for two seconds; this\n"
		"finishes it, and may be stopped at any time. Needs neither root nor the kernel\n"
		"module.",
	.opts = { opts, image_opts },
	.run = run,
};
