// SPDX-License-Identifier: GPL-2.0-only
/* vdctl info: what an image says about itself */
#include <getopt.h>
#include <json-c/json.h>
#include <stdlib.h>
#include "info.h"

enum { OPT_CHAIN = 400 };

static const struct ctl_opt opts[] = {
	{ OPT_CHAIN, "chain", NULL, "the parents too" },
	{ 'J', "json", NULL, "JSON; with --chain, the images from the top in \"chain\"" },
	{ 0 }
};

static const char *text_of(const struct set_image *image, vd_str s)
{
	return image->layout ? vd_layout_str(image->layout, s) : NULL;
}

/* Bytes that the image's own files occupy. */
static u64 actual_size(const struct image_set *set, u32 index)
{
	u64 bytes = 0;
	u32 i;

	for (i = 0; i < set->nr_members; i++)
		if (set->members[i].image == index)
			bytes += set->members[i].allocated;
	return bytes;
}

static void add_text(struct json_object *o, const char *key, const char *s)
{
	if (s)
		json_object_object_add(o, key, json_text(s));
}

static void add_u64(struct json_object *o, const char *key, u64 n)
{
	json_object_object_add(o, key, json_object_new_int64((int64_t)n));
}

static struct json_object *json_extents(const struct image_set *set, const struct set_image *image)
{
	struct json_object *list = json_object_new_array();
	u32 i;

	for (i = image->first_seg; i < image->first_seg + image->nr_segs; i++) {
		const struct vdisk_segment_desc *seg = &set->segs[i];
		struct json_object *o = json_object_new_object();

		add_u64(o, "start", seg->start);
		add_u64(o, "length", seg->len);
		add_text(o, "kind", vd_kind_name(seg->kind));
		if (seg->member != VDISK_NO_MEMBER) {
			add_text(o, "filename", set->members[seg->member].path);
			add_u64(o, "offset", seg->offset);
		}
		json_object_array_add(list, o);
	}
	return list;
}

static void json_layout(struct json_object *o, const struct set_image *image)
{
	const struct vd_layout *l = image->layout;
	char cid[16];

	if (l->flags & VD_LAYOUT_HAVE_CID) {
		snprintf(cid, sizeof(cid), "%08x", l->cid);
		add_text(o, "cid", cid);
	}
	if (l->flags & VD_LAYOUT_PARENT) {
		add_text(o, "parent-hint", text_of(image, l->props.parent_name));
		snprintf(cid, sizeof(cid), "%08x", l->parent_cid);
		if (l->flags & VD_LAYOUT_HAVE_CID)
			add_text(o, "parent-cid", cid);
	}
	add_text(o, "adapter", text_of(image, l->adapter));
	add_text(o, "encoding", text_of(image, l->encoding));
	add_text(o, "read-only-reason", text_of(image, l->ro_reason));
	add_text(o, "warning", text_of(image, l->warning));
	json_object_object_add(o, "change-tracking",
			       json_object_new_boolean(!!(l->flags & VD_LAYOUT_CBT)));
	json_object_object_add(o, "unclean",
			       json_object_new_boolean(!!(l->flags & VD_LAYOUT_UNCLEAN)));
}

static void json_image(struct json_object *o, const struct image_set *set, u32 index)
{
	const struct set_image *image = &set->images[index];
	struct vd_props props;

	info_props(set, index, &props);
	add_text(o, "filename", image->path);
	add_text(o, "format", vd_format_name(image->format));
	add_text(o, "subformat", set_subformat(image));
	json_sizes(o, &props);
	add_u64(o, "actual-size", actual_size(set, index));
	if (image->layout)
		json_layout(o, image);
	json_props(o, &props, text_of(image, props.comment));
	if (index + 1 < set->nr_images)
		add_text(o, "parent-filename", set->images[index + 1].path);
	json_object_object_add(o, "extents", json_extents(set, image));
}

static void print_json(const struct image_set *set, bool chain)
{
	struct json_object *top = json_top();
	struct json_object *list;
	u32 i;

	json_image(top, set, 0);
	if (chain) {
		list = json_object_new_array();
		for (i = 0; i < set->nr_images; i++) {
			struct json_object *o = json_object_new_object();

			json_image(o, set, i);
			json_object_array_add(list, o);
		}
		json_object_object_add(top, "chain", list);
	}
	json_print(top);
}

static void print_layout(const struct set_image *image)
{
	const struct vd_layout *l = image->layout;
	const char *hint = text_of(image, l->props.parent_name);

	if (l->flags & VD_LAYOUT_HAVE_CID)
		printf("%-18s %08x\n", "cid:", l->cid);
	if (l->flags & VD_LAYOUT_PARENT) {
		print_text("parent:", hint ? hint : "(by UUID)");
		if (l->flags & VD_LAYOUT_HAVE_CID)
			printf("%-18s %08x\n", "parent cid:", l->parent_cid);
	}
	print_text("adapter:", text_of(image, l->adapter));
	print_text("encoding:", text_of(image, l->encoding));
	print_text("read-only:", text_of(image, l->ro_reason));
	print_text("warning:", text_of(image, l->warning));
	if (l->flags & VD_LAYOUT_CBT)
		print_text("change tracking:", "on");
	if (l->flags & VD_LAYOUT_UNCLEAN)
		print_text("unclean:", "its last writer did not close it");
}

static void print_extents(const struct image_set *set, const struct set_image *image)
{
	u32 i;

	for (i = 0; i < image->nr_segs; i++) {
		const struct vdisk_segment_desc *seg = &set->segs[image->first_seg + i];

		printf("%-18s %llu+%llu %s", i ? "" : "extents:", (unsigned long long)seg->start,
		       (unsigned long long)seg->len, vd_kind_name(seg->kind));
		if (seg->member != VDISK_NO_MEMBER) {
			putchar(' ');
			text_escape(stdout, set->members[seg->member].path);
			if (seg->offset)
				printf(" at %llu", (unsigned long long)seg->offset);
		}
		putchar('\n');
	}
}

static void print_image(const struct image_set *set, u32 index)
{
	const struct set_image *image = &set->images[index];
	const char *sub = set_subformat(image);
	struct vd_props props;

	info_props(set, index, &props);
	if (index)
		putchar('\n');
	print_text("image:", image->path);
	printf("%-18s %s", "format:", vd_format_name(image->format));
	if (sub) {
		printf(" (");
		text_escape(stdout, sub);
		putchar(')');
	}
	putchar('\n');
	print_sizes(&props);
	print_size("disk size:", actual_size(set, index));
	if (image->layout)
		print_layout(image);
	print_props(&props, text_of(image, props.comment));
	print_extents(set, image);
}

static int info(const struct set_options *options, char *const *paths, int nr, bool chain)
{
	struct open_chain open;
	struct image_set set;
	int ret;
	u32 i;

	ret = set_open(&set, options, paths, nr);
	if (ret)
		return ret;
	/* Opening the tables finds what the text alone does not tell. */
	ret = chain_open(&set, &open);
	if (!ret && ctl.json)
		print_json(&set, chain);
	for (i = 0; !ret && !ctl.json && i < set.nr_images; i++)
		print_image(&set, i);
	if (!ret)
		chain_close(&open);
	set_close(&set);
	return ret;
}

static int run(const struct cmd *cmd, int argc, char **argv)
{
	struct set_options options = { .top_only = true };
	int id, ret = 0;

	while (!ret && (id = ctl_getopt(cmd, argc, argv)) != CTL_OPT_END) {
		if (id == CTL_OPT_HELP)
			goto out;
		ret = id == CTL_OPT_BAD ? CTL_USAGE : image_opt(&options, id, optarg);
		if (ret < 0) {
			ret = 0;
			if (id == OPT_CHAIN)
				options.top_only = false;
		}
	}
	if (!ret && optind == argc)
		ret = cmd_usage(cmd, "which image?");
	if (!ret)
		ret = info(&options, argv + optind, argc - optind, !options.top_only);
out:
	free(options.parents);
	free(options.outside);
	return ret;
}

const struct cmd cmd_info = {
	.name = "info",
	.args = "IMAGE",
	.summary = "Tell what an image is",
	.more = "Needs neither root nor the kernel module.",
	.opts = { opts, image_opts, raw_opts, share_opts },
	.run = run,
};
