// SPDX-License-Identifier: GPL-2.0-only
/* A new VMDK: which files it has, how large they are, what its parent is. */
#include <errno.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>
#include <uuid/uuid.h>
#include "create.h"
#include "../formats-common/vmdk/create.h"

#define DEFAULT_GRAIN	65536U
#define COWD_GRAIN	512U		/* what ESX makes */
#define MIN_GRAIN	8192U		/* hosted sparse: more than 8 sectors, says VMware */
#define MAX_GRAIN	(1U << 20)
#define DEFAULT_SPLIT	(2047ULL << 20)
#define MIN_SPLIT	(1ULL << 20)
#define NO_CID		0xffffffffU
#define MAX_EXTENTS	(VDISK_MAX_MEMBERS - 1)	/* the descriptor is a file, too */

/* In the order of the words that --type takes. */
enum vmdk_kind {
	KIND_SPARSE,
	KIND_SPLIT,
	KIND_FLAT,
	KIND_SPLITFLAT,
	KIND_ESX,
	KIND_ESXSPARSE,
};

static const char *const kinds[] = {
	"sparse", "split", "flat", "splitflat", "esx", "esxsparse", NULL
};

static const struct vmdk_type types[] = {
	[KIND_SPARSE] = { "sparse", "monolithicSparse", "SPARSE", "", TYPE_HOSTED | TYPE_EMBEDDED },
	[KIND_SPLIT] = { "split", "twoGbMaxExtentSparse", "SPARSE", "-s",
			 TYPE_HOSTED | TYPE_SPLIT },
	[KIND_FLAT] = { "flat", "monolithicFlat", "FLAT", "-flat", TYPE_FLAT },
	[KIND_SPLITFLAT] = { "splitflat", "twoGbMaxExtentFlat", "FLAT", "-f",
			     TYPE_FLAT | TYPE_SPLIT },
	[KIND_ESX] = { "esx", "vmfs", "VMFS", "-flat", TYPE_FLAT | TYPE_ESX },
	[KIND_ESXSPARSE] = { "esxsparse", "vmfsSparse", "VMFSSPARSE", "-delta",
			     TYPE_COWD | TYPE_ESX },
};

char *extent_name(const struct new_vmdk *v, u32 index)
{
	if (v->type->flags & TYPE_EMBEDDED)
		return xstrdup(path_base(v->c->path));
	if (v->type->flags & TYPE_SPLIT)
		return xasprintf("%s%s%03u.vmdk", v->stem, v->type->suffix, index + 1);
	return xasprintf("%s%s.vmdk", v->stem, v->type->suffix);
}

u64 extent_size(const struct new_vmdk *v, u32 index)
{
	return min(v->piece, v->size - index * v->piece);
}

/* --- is it possible? --- */

static int not_for_type(const struct new_vmdk *v, const char *option, const char *kinds)
{
	return ctl_error(CTL_USAGE, "usage", NULL, "%s is for %s, not for --type %s", option, kinds,
			 v->type->name);
}

static int choose_type(struct new_vmdk *v)
{
	const struct create *c = v->c;
	u32 kind = KIND_SPARSE;
	int ret = 0;

	if (c->type)
		ret = create_word("--type", c->type, kinds, &kind);
	if (!ret)
		ret = create_check_comment(c, vmdk_check_comment);
	if (ret)
		return ret;
	if (c->backing && kind == KIND_ESX)
		kind = KIND_ESXSPARSE;
	v->type = &types[kind];
	if (c->backing && v->type->flags & TYPE_FLAT) {
		ctl_error(CTL_USAGE, "usage", NULL,
			  "a delta is sparse: it cannot be of --type %s", v->type->name);
		ctl_hint("the parent may be of any type; the delta is --type sparse, split or esxsparse");
		return CTL_USAGE;
	}
	if (kind == KIND_ESXSPARSE && !c->backing) {
		ctl_error(CTL_USAGE, "usage", NULL,
			  "--type esxsparse is for snapshots: it needs a parent");
		ctl_hint("-b PARENT, or --type esx for a disk of its own");
		return CTL_USAGE;
	}
	if (c->grain && !(v->type->flags & TYPE_SPARSE))
		return not_for_type(v, "--grain", "sparse kinds");
	if (c->zeroed_grain && !(v->type->flags & TYPE_HOSTED))
		return not_for_type(v, "--zeroed-grain", "sparse and split");
	if (c->split && !(v->type->flags & TYPE_SPLIT))
		return not_for_type(v, "--split-size", "split and splitflat");
	if (c->prealloc == PREALLOC_METADATA && v->type->flags & TYPE_FLAT)
		return not_for_type(v, "--prealloc=metadata", "the sparse kinds, which have tables");
	if (c->prealloc < PREALLOC_FALLOC || v->type->flags & TYPE_FLAT)
		return 0;
	not_for_type(v, "--prealloc=falloc or full", "raw and the flat kinds");
	ctl_hint("a sparse image has no place for data that was never written; --prealloc=metadata reserves its tables");
	return CTL_USAGE;
}

static int choose_grain(struct new_vmdk *v)
{
	bool cowd = v->type->flags & TYPE_COWD;
	u64 grain = v->c->grain;

	if (!grain)
		grain = cowd ? COWD_GRAIN : DEFAULT_GRAIN;
	if (!is_power_of_2(grain) || grain > MAX_GRAIN || grain < (cowd ? COWD_GRAIN : MIN_GRAIN))
		return ctl_error(CTL_USAGE, "usage", NULL,
				 "--grain: %llu is no power of two from %s to 1M",
				 (unsigned long long)grain, cowd ? "512" : "8K");
	v->grain = (u32)grain;
	return 0;
}

static int choose_pieces(struct new_vmdk *v)
{
	u64 piece = v->c->split ? v->c->split : DEFAULT_SPLIT;
	u64 unit = v->type->flags & TYPE_SPARSE ? v->grain : VD_SECTOR;

	v->piece = v->size;
	v->nr_extents = 1;
	if (!(v->type->flags & TYPE_SPLIT))
		return 0;
	if (piece < MIN_SPLIT || piece % unit)
		return ctl_error(CTL_USAGE, "usage", NULL,
				 "--split-size: %llu is not 1M or more, in steps of %llu",
				 (unsigned long long)piece, (unsigned long long)unit);
	v->piece = piece;
	if ((v->size + piece - 1) / piece > MAX_EXTENTS) {
		ctl_error(CTL_USAGE, "too_large", v->c->path,
			  "would have %llu extents, at most %u are possible",
			  (unsigned long long)((v->size + piece - 1) / piece), MAX_EXTENTS);
		ctl_hint("a larger --split-size, or --type flat");
		return CTL_USAGE;
	}
	v->nr_extents = (u32)((v->size + piece - 1) / piece);
	return 0;
}

static struct vmdk_new new_extent(const struct new_vmdk *v, u32 index)
{
	return (struct vmdk_new) {
		.capacity = extent_size(v, index),
		.grain = v->grain,
		.zeroed = v->c->zeroed_grain,
		.allocate = v->c->prealloc == PREALLOC_METADATA,
	};
}

static int check_fits(const struct new_vmdk *v)
{
	struct vmdk_new new = new_extent(v, 0);
	bool fits;

	if (!(v->type->flags & TYPE_SPARSE))
		return 0;
	if (v->type->flags & TYPE_EMBEDDED)
		new.text = "";
	fits = v->type->flags & TYPE_COWD ? cowd_new_fits(&new) : vmdk_new_fits(&new);
	if (fits)
		return 0;
	ctl_error(CTL_USAGE, "too_large", v->c->path,
		  "a sparse extent of %llu bytes does not fit: with its tables it must stay below 2 TiB",
		  (unsigned long long)new.capacity);
	if (v->type->flags & TYPE_SPLIT)
		ctl_hint("a smaller --split-size");
	else
		ctl_hint("--type split can hold it%s", v->c->backing ? "" : ", and so can flat");
	return CTL_USAGE;
}

/* Names of extents end up in the descriptor, where not every character can stand. */
static int choose_names(struct new_vmdk *v)
{
	const char *base = path_base(v->c->path);
	size_t len = strlen(base);

	if (len > 5 && !strcasecmp(base + len - 5, ".vmdk"))
		len -= 5;
	v->stem = xasprintf("%.*s", (int)len, base);
	if (strchr(base, '\\') || (base[0] && base[1] == ':'))
		return ctl_error(CTL_USAGE, "usage", v->c->path,
				 "a name with a backslash or a drive letter is one of Windows to other programs");
	return descriptor_check_name(v->c->path, "the name", base);
}

static int choose_ids(struct new_vmdk *v)
{
	const struct create *c = v->c;

	do {
		if (getrandom(v->content_id, sizeof(v->content_id), 0) != sizeof(v->content_id))
			return ctl_errno(errno, NULL, "no random numbers");
		v->cid = (u32)v->content_id[12] << 24 | (u32)v->content_id[13] << 16 |
			 (u32)v->content_id[14] << 8 | v->content_id[15];
	} while (!v->cid || v->cid >= 0xfffffffe || v->cid == v->parent_cid);
	uuid_generate_random(v->uuid);
	if (c->have_uuid)
		memcpy(v->uuid, c->uuid, sizeof(v->uuid));
	uuid_generate_random(v->mod_uuid);
	return 0;
}

/* --- the parent --- */

/*
 * Of a parent that is no VMDK, nobody compares it; but none at all, and the value
 * that stands for none, mean that there is no parent. Renewed as the parent's ids are.
 */
static int invent_cid(const struct vd_layout *l, u32 *cid)
{
	u32 words[4] = { 0 };

	if (l && l->props.mask & VD_PROP_MOD_UUID)
		memcpy(words, l->props.mod_uuid, sizeof(words));
	else if (getrandom(words, sizeof(words), 0) != sizeof(words))
		return ctl_errno(errno, NULL, "no random numbers");
	*cid = words[0] ^ words[1] ^ words[2] ^ words[3];
	if (!*cid || *cid >= 0xfffffffe)
		*cid ^= 0x5a5a5a5a;
	return 0;
}

static int choose_parent_cid(struct new_vmdk *v)
{
	const struct set_image *parent = &v->set.images[0];
	const struct vd_layout *l = parent->layout;

	if (parent->format != VDISK_FORMAT_VMDK)
		return invent_cid(l, &v->parent_cid);
	if (!(l->flags & VD_LAYOUT_HAVE_CID) || l->cid == NO_CID)
		return ctl_error(CTL_IMAGE, "unsupported", parent->path,
				 "has no content ID (CID) by which a child could name it");
	v->parent_cid = l->cid;
	return 0;
}

static int open_parent(struct new_vmdk *v)
{
	int ret = create_parent_open(v->c, &v->set, &v->size);

	return ret ? ret : choose_parent_cid(v);
}

/* Relative if that leads downwards only: then the directory can be moved as a whole. */
static int choose_hint(struct new_vmdk *v)
{
	const struct set_image *parent = &v->set.images[0];
	const char *below = path_below(parent->path, v->files.dir);

	v->hint = xstrdup(below ? below : parent->path);
	return descriptor_check_name(v->c->path, "the parent's name", v->hint);
}

static const char *parents_id(const struct set_image *parent)
{
	if (parent->format == VDISK_FORMAT_VMDK)
		return "CID";
	return parent->layout && parent->layout->props.mask & VD_PROP_MOD_UUID ?
	       "modification UUID" : NULL;
}

/* What the user had better know, once the child is there. */
static void warn_of_parent(const struct new_vmdk *v)
{
	const struct set_image *parent = &v->set.images[0];
	uid_t owner = v->files.have_owner ? v->files.uid : geteuid();

	create_parent_warn(v->c, &v->set, parents_id(parent));
	if (v->hint[0] == '/')
		ctl_warn(v->c->path, "the parent is not beneath its directory: to open it takes --allow-outside %s",
			 parent->dir);
	else if (v->set.members[parent->member].uid != owner)
		ctl_warn(v->c->path, "the parent belongs to another user: to open it takes --allow-outside %s",
			 parent->dir);
}

/* --- writing it --- */

/* The image is the first file; extents in files of their own follow. */
static int add_files(struct new_vmdk *v)
{
	const struct image_set *set = v->c->backing ? &v->set : NULL;
	u32 i;
	int ret;

	ret = new_files_add(&v->files, path_base(v->c->path), set);
	if (v->type->flags & TYPE_EMBEDDED)
		return ret;
	for (i = 0; !ret && i < v->nr_extents; i++) {
		char *name = extent_name(v, i);

		ret = new_files_add(&v->files, name, set);
		free(name);
	}
	return ret;
}

static int write_sparse(const struct new_vmdk *v, struct new_file *f, u32 index, const char *text)
{
	struct vmdk_new new = new_extent(v, index);
	struct vd_error err = { 0 };
	int ret;

	new.text = text;
	new.text_len = text ? (u32)strlen(text) : 0;
	if (v->type->flags & TYPE_COWD)
		ret = cowd_new_write(f->file, &new, &err);
	else
		ret = vmdk_new_write(f->file, &new, &err);
	return ret ? new_file_failed(f, ret, &err) : 0;
}

static int write_extents(struct new_vmdk *v)
{
	struct fill fill = { .how = v->c->prealloc };
	int ret = 0;
	u32 i;

	progress_begin(&fill.progress, v->size);
	for (i = 0; !ret && i < v->nr_extents; i++) {
		struct new_file *f = &v->files.files[i + 1];

		ret = new_file_open(&v->files, i + 1);
		if (!ret && v->type->flags & TYPE_FLAT)
			ret = fill_reserve(f, extent_size(v, i), &fill);
		else if (!ret)
			ret = write_sparse(v, f, i, NULL);
		if (!ret)
			ret = new_file_done(f);
	}
	/* Now that there is space for all. */
	for (i = 0; !ret && i < v->nr_extents && v->c->prealloc == PREALLOC_FULL; i++) {
		ret = new_file_reopen(&v->files, i + 1);
		if (!ret)
			ret = fill_zeros(&v->files.files[i + 1], extent_size(v, i), &fill);
		if (!ret)
			ret = new_file_done(&v->files.files[i + 1]);
	}
	progress_end(&fill.progress);
	return ret;
}

static int write_image(struct new_vmdk *v, const char *text)
{
	struct new_file *f = &v->files.files[0];
	int ret;

	ret = new_file_open(&v->files, 0);
	if (ret)
		return ret;
	if (v->type->flags & TYPE_EMBEDDED) {
		ret = write_sparse(v, f, 0, text);
	} else {
		ret = vd_file_write(f->file, 0, text, (u32)strlen(text));
		if (ret)
			ret = ctl_errno(ret, f->path, "cannot write");
	}
	return ret ? ret : new_file_done(f);
}

/* What vdctl itself would not open is not made. */
static int check_text(const struct new_vmdk *v, const char *text)
{
	struct parsed parsed = { 0 };
	size_t len = strlen(text);
	int fd, ret;

	fd = memfd_create("descriptor", MFD_CLOEXEC);
	if (fd < 0 || write(fd, text, len) != (ssize_t)len)
		ret = ctl_errno(errno, v->c->path, "cannot check the descriptor");
	else
		ret = parse_confined(fd, v->c->path, "vmdk", true, &parsed);
	if (!ret && (!parsed.layout || parsed.layout->props.size != v->size))
		ret = ctl_error(CTL_FAIL, "failed", v->c->path,
				"the descriptor would not say what it should");
	if (!ret && parsed.layout->flags & VD_LAYOUT_WARNING)
		ctl_warn(v->c->path, "%s", vd_layout_str(parsed.layout, parsed.layout->warning));
	vd_free(parsed.layout);
	if (fd >= 0)
		close(fd);
	return ret;
}

static int make_files(struct new_vmdk *v)
{
	char *text;
	int ret;

	ret = add_files(v);
	if (!ret && v->c->backing)
		ret = choose_hint(v);
	if (ret)
		return ret;
	text = descriptor_text(v);
	if (!text)
		return ctl_nomem();
	stop_catch();
	ret = check_text(v, text);
	if (!ret && !(v->type->flags & TYPE_EMBEDDED))
		ret = write_extents(v);
	if (!ret)
		ret = write_image(v, text);
	if (!ret)
		ret = new_files_commit(&v->files);
	if (!ret && v->c->backing)
		warn_of_parent(v);
	free(text);
	return ret;
}

static int make(struct new_vmdk *v)
{
	int ret;

	ret = choose_grain(v);
	if (!ret)
		ret = choose_pieces(v);
	if (!ret && v->c->backing)
		ret = create_parent_room(v->c, &v->set, v->nr_extents + 1, v->nr_extents);
	if (!ret)
		ret = check_fits(v);
	if (!ret)
		ret = choose_names(v);
	if (!ret)
		ret = choose_ids(v);
	if (ret)
		return ret;
	want_descriptors();
	if (v->c->force)
		ret = path_check_children(v->c->path, v->c->ignore_children);
	if (ret)
		return ret;
	ret = new_files_begin(&v->files, v->c->path, v->c->force);
	if (!ret)
		ret = make_files(v);
	new_files_end(&v->files);
	return ret;
}

static int create_vmdk(const struct create *c)
{
	struct new_vmdk v = { .c = c, .size = c->size };
	int ret;

	ret = choose_type(&v);
	if (!ret && c->backing)
		ret = open_parent(&v);
	if (!ret)
		ret = make(&v);
	if (c->backing)
		set_close(&v.set);
	free(v.stem);
	free(v.hint);
	return ret;
}

static const char *const suffixes[] = { ".vmdk", NULL };

const struct creator creator_vmdk = {
	.format = "vmdk",
	.title = "VMDK",
	.suffixes = suffixes,
	.options = CREATE_BACKING | CREATE_TYPE | CREATE_GRAIN | CREATE_SPLIT | CREATE_ADAPTER |
		   CREATE_HWVERSION | CREATE_COMMENT | CREATE_UUID | CREATE_ZEROED |
		   CREATE_METADATA,
	.create = create_vmdk,
};
