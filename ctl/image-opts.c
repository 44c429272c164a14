// SPDX-License-Identifier: GPL-2.0-only
/* Options that attach, info, map, cat and probe share. */
#include "image-set.h"

enum { OPT_PARENT = 300, OPT_OUTSIDE, OPT_NO_REFERENCES, OPT_FORCE_PARENT, OPT_SIZELIMIT };

#define HELP_PARENT \
	"where a parent is that its child's name does not find; may be repeated"
#define HELP_OUTSIDE \
	"files named by the image may lie beneath DIR too; may be repeated"
#define HELP_FORCE_PARENT \
	"accept a parent that is not as it was when its child was made"

/* Rows of two tables. */
#define REFERENCE_OPTS \
	{ OPT_PARENT, "parent", "PATH", HELP_PARENT }, \
	{ OPT_OUTSIDE, "allow-outside", "DIR", HELP_OUTSIDE }, \
	{ OPT_NO_REFERENCES, "no-references", NULL, "refuse an image that names other files" }, \
	{ OPT_FORCE_PARENT, "force-parent", NULL, HELP_FORCE_PARENT }, \
	{ OPT_FORCE_PARENT, "ignore-cid", NULL, NULL }	/* its name until now */

const struct ctl_opt image_opts[] = {
	{ 'f', "format", "FMT", "format of the image: auto (default), or one of 'vdctl formats'" },
	REFERENCE_OPTS,
	{ OPT_SIZELIMIT, "sizelimit", "N", "raw: the disk has N bytes" },
	{ 0 }
};

const struct ctl_opt reference_opts[] = {
	REFERENCE_OPTS,
	{ 0 }
};

const struct ctl_opt raw_opts[] = {
	{ 'o', "offset", "N", "raw: the disk begins at byte N of the file" },
	{ 0 }
};

const struct ctl_opt share_opts[] = {
	{ 'U', "force-share", NULL, "take no lock: read although somebody may be writing" },
	{ 0 }
};

static void append(const char ***list, int *nr, const char *arg)
{
	*list = xrealloc(*list, (size_t)*nr + 1, sizeof(**list));
	(*list)[(*nr)++] = arg;
}

int image_opt(struct set_options *opts, int id, const char *arg)
{
	switch (id) {
	case 'f':
		opts->format = strcmp(arg, "auto") ? arg : NULL;
		return 0;
	case OPT_PARENT:
		append(&opts->parents, &opts->nr_parents, arg);
		return 0;
	case OPT_OUTSIDE:
		append(&opts->outside, &opts->nr_outside, arg);
		return 0;
	case OPT_NO_REFERENCES:
		opts->no_references = true;
		return 0;
	case OPT_FORCE_PARENT:
		opts->force_parent = true;
		return 0;
	case OPT_SIZELIMIT:
		opts->have_sizelimit = true;
		return parse_size("--sizelimit", arg, &opts->sizelimit);
	case 'o':
		return parse_size("--offset", arg, &opts->offset);
	case 'U':
		opts->lock = SET_LOCK_NO;
		return 0;
	default:
		return -1;
	}
}
