// SPDX-License-Identifier: GPL-2.0-only
/* From what the user typed to an open image set. */
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include "chain.h"

/* A split disk has a file for every 2 GiB. */
void want_descriptors(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) || r.rlim_cur == r.rlim_max)
		return;
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
}

static bool raw_said(const struct set_options *opts)
{
	return opts->format && !strcmp(opts->format, "raw");
}

static int check_usage(const struct set_options *opts, int nr)
{
	if (nr > 1 && !raw_said(opts)) {
		ctl_error(CTL_USAGE, "usage", NULL, "several files are the parts of one raw disk");
		ctl_hint("then say -f raw; other formats name their parts themselves");
		return CTL_USAGE;
	}
	return 0;
}

/* After the top image is known: may it be used the way that was asked for? */
static int check_mode(struct image_set *set)
{
	const struct set_options *opts = set->opts;
	const struct set_image *top = &set->images[0];
	char *command;

	if (top->layout && (opts->offset || opts->have_sizelimit))
		return ctl_error(CTL_USAGE, "usage", top->path,
				 "--offset and --sizelimit are for raw images; this one is %s",
				 vd_format_name(top->format));
	if (opts->mode == SET_READ)
		return 0;
	if (top->guessed) {
		if (opts->mode == SET_WRITE) {
			ctl_error(CTL_USAGE, "format_not_said", top->path,
				  "no format is recognised; writing to a raw image wants -f raw");
			command = ctl_command_with("-f", "raw");
			ctl_hint("%s", command);
			free(command);
			return CTL_USAGE;
		}
		set->ro_reason = xstrdup("no format is recognised");
		ctl_warn(top->path, "no format is recognised: raw, read-only; -f raw makes it writable");
	}
	return 0;
}

/* A parent that the user named must not be passed over in silence. */
int set_check_parents_used(const struct image_set *set)
{
	const struct set_options *opts = set->opts;
	int i;

	for (i = set->parents_used; i < opts->nr_parents && !opts->top_only; i++) {
		if (set_in_chain(set, opts->parents[i]))
			continue;
		if (set->nr_images > 1)
			ctl_error(CTL_USAGE, "usage", set->images[0].path,
				  "--parent %s was not needed: the parent is %s, found %s",
				  opts->parents[i], set->images[1].path,
				  set->images[1].found == FOUND_UUID ? "by its UUID" :
				  "by its name");
		else
			ctl_error(CTL_USAGE, "usage", set->images[0].path,
				  "--parent %s: the image has no parent", opts->parents[i]);
		ctl_hint("--parent stands in for a parent that its child's name does not find, or that does not fit");
		return CTL_USAGE;
	}
	return 0;
}

static int open_top(struct image_set *set, const char *path)
{
	struct opened file;
	int ret;

	ret = open_named(path, false, &file);
	if (!ret)
		ret = set_open_image(set, &file, set->opts->format);
	if (!ret && !set->images[0].layout)
		ret = set_describe_raw(set, 0);
	return ret;
}

int set_open_top(struct image_set *set, const struct set_options *opts, const char *path)
{
	int ret;

	memset(set, 0, sizeof(*set));
	set->opts = opts;
	want_descriptors();
	ret = open_top(set, path);
	if (ret)
		set_close(set);
	return ret;
}

static int open_chain(struct image_set *set, const char *path)
{
	int ret = open_top(set, path);

	if (!ret)
		ret = check_mode(set);
	if (!ret && !set->opts->top_only)
		ret = set_open_parents(set);
	return ret;
}

static int check_raw_writable(const struct image_set *set)
{
	int ret = set_check_children(set, 0);

	return ret ? ret : set_check_writers(set, 0, false);
}

int set_open(struct image_set *set, const struct set_options *opts, char *const *paths, int nr)
{
	int ret;

	memset(set, 0, sizeof(*set));
	set->opts = opts;
	ret = check_usage(opts, nr);
	if (ret)
		return ret;
	want_descriptors();
	if (raw_said(opts))
		ret = set_add_raw(set, paths, nr);
	else
		ret = open_chain(set, paths[0]);
	if (!ret)
		ret = set_check_parents_used(set);
	if (!ret && !raw_said(opts))
		ret = set_make_writable(set);
	else if (!ret && set->writable)
		ret = check_raw_writable(set);
	/* What became writable there has been asked already. */
	if (!ret && opts->lock == SET_LOCK_YES && (raw_said(opts) || !set->writable))
		ret = vmware_lock_check(set, set->writable);
	if (ret)
		set_close(set);
	return ret;
}

int set_open_own(struct image_set *set, const char *path, bool rw)
{
	struct set_image *image = &set->images[0];
	struct opened file;
	struct parsed parsed;
	int ret;

	image->dirfd = -1;
	ret = open_named(path, rw, &file);
	if (ret)
		return ret;
	image->path = xstrdup(file.path);
	set->nr_images = 1;
	ret = set_add_member(set, &file, 0, &image->member);
	if (!ret)
		ret = parse_confined(set->members[image->member].fd, path, set->opts->format,
				     true, &parsed);
	if (ret)
		return ret;
	image->format = parsed.format;
	image->layout = parsed.layout;
	return image_set_dir(image, set->members[image->member].fd, path);
}

/* Drops the images from @keep on, with their files and segments. */
void set_pop_images(struct image_set *set, u32 keep, u32 keep_members)
{
	while (set->nr_images > keep) {
		struct set_image *image = &set->images[--set->nr_images];

		set->nr_segs = image->first_seg;
		vd_free(image->layout);
		free(image->path);
		free(image->dir);
		free(image->misfit);
		if (image->dirfd >= 0)
			close(image->dirfd);
	}
	set_pop_members(set, keep_members);
}

void set_close(struct image_set *set)
{
	set_pop_images(set, 0, 0);
	beside_free(set->beside);
	set->beside = NULL;
	free(set->members);
	free(set->segs);
	set->members = NULL;
	set->segs = NULL;
	set->nr_segs = 0;
	set->writable = false;
	free(set->ro_reason);
	set->ro_reason = NULL;
	free(set->cbt_log);
	set->cbt_log = NULL;
	set->nr_patches = 0;
}

const char *set_subformat(const struct set_image *image)
{
	return image->layout ? vd_layout_str(image->layout, image->layout->subformat) : NULL;
}
