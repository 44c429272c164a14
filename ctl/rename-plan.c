// SPDX-License-Identifier: GPL-2.0-only
/* vdctl rename: where the names lead, and which files get which. Changes nothing. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "netlink.h"
#include "rename.h"

/* --- directories and names --- */

char *rename_path(const struct rename_dir *dir, const char *name)
{
	return xasprintf("%s/%s", strcmp(dir->path, "/") ? dir->path : "", name);
}

int rename_dir_open(struct rename_dir *dir, const char *path)
{
	struct stat st;

	dir->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir->fd < 0)
		return ctl_errno(errno, path, "cannot open the directory");
	dir->path = realpath(path, NULL);
	if (!dir->path || fstat(dir->fd, &st))
		return ctl_errno(errno, path, "cannot open the directory");
	dir->dev = st.st_dev;
	dir->ino = st.st_ino;
	return 0;
}

void rename_dir_close(struct rename_dir *dir)
{
	if (dir->fd >= 0)
		close(dir->fd);
	free(dir->path);
	dir->fd = -1;
	dir->path = NULL;
}

static bool same_dir(const struct rename *r)
{
	return r->from.dev == r->to.dev && r->from.ino == r->to.ino;
}

static bool is_name(const char *base)
{
	return *base && strcmp(base, ".") && strcmp(base, "..");
}

static int split(const char *path, struct rename_dir *dir, char **name)
{
	char *parent = path_dir(path);
	int ret;

	*name = xstrdup(path_base(path));
	ret = is_name(*name) ? rename_dir_open(dir, parent) :
	      ctl_error(CTL_USAGE, "usage", path, "is no name for a file");
	free(parent);
	return ret;
}

static int resolve_old(struct rename *r, bool *gone)
{
	struct stat st;
	char *real;
	int ret;

	*gone = false;
	ret = split(r->old_path, &r->from, &r->from_name);
	if (ret)
		return ret;
	if (fstatat(r->from.fd, r->from_name, &st, AT_SYMLINK_NOFOLLOW)) {
		*gone = errno == ENOENT;
		return *gone ? 0 : ctl_errno(errno, r->old_path, NULL);
	}
	if (S_ISREG(st.st_mode))
		return 0;
	if (!S_ISLNK(st.st_mode))
		return ctl_error(CTL_FAIL, "not_an_image", r->old_path,
				 "is no regular file, and nothing else is renamed");
	ctl_error(CTL_FAIL, "symlink", r->old_path, "is a symbolic link");
	real = realpath(r->old_path, NULL);
	if (real)
		ctl_hint("the image itself is %s", real);
	free(real);
	return CTL_FAIL;
}

/* Into a directory under the old name, as mv(1) does. */
static int resolve_new(struct rename *r)
{
	struct stat st;

	if (stat(r->new_path, &st) || !S_ISDIR(st.st_mode))
		return split(r->new_path, &r->to, &r->to_name);
	r->to_name = xstrdup(r->from_name);
	return rename_dir_open(&r->to, r->new_path);
}

int rename_resolve(struct rename *r, bool *gone)
{
	int ret;

	ret = resolve_old(r, gone);
	if (!ret)
		ret = resolve_new(r);
	if (ret)
		return ret;
	if (same_dir(r) && !strcmp(r->from_name, r->to_name))
		return ctl_error(CTL_USAGE, "usage", r->old_path, "that is its name already");
	if (r->from.dev != r->to.dev) {
		ctl_error(CTL_FAIL, "other_file_system", r->old_path,
			  "%s is on another file system: a file can be renamed only within its own",
			  r->to.path);
		ctl_hint("copy all of its files there, compare, and delete the old ones");
		return CTL_FAIL;
	}
	r->new_full = rename_path(&r->to, r->to_name);
	r->self.from = xstrdup(r->from_name);
	r->self.to = xstrdup(r->to_name);
	r->self.what = "image";
	r->temp = rename_temp_name(r->to_name);
	r->journal = xasprintf(".%.200s.vdctl-rename", r->to_name);
	return 0;
}

int rename_exists(const char *path)
{
	ctl_error(CTL_BUSY, "exists", path, "exists already");
	ctl_hint("rename replaces nothing; move that file away first");
	return CTL_BUSY;
}

/* --- the image --- */

static int lock_all(const struct rename *r)
{
	u32 i;
	int ret = 0;

	for (i = 0; i < r->set.nr_members && !ret; i++) {
		const struct set_member *m = &r->set.members[i];

		if (!m->block && vmware_locked(m->path)) {
			ctl_error(CTL_BUSY, "locked", m->path, "VMware has it open, says %s.lck",
				  path_base(m->path));
			ctl_hint("if that is stale, remove the directory %s.lck", m->path);
			return CTL_BUSY;
		}
		ret = lock_file(m->fd, m->path, true, m->block);
		if (!ret)
			ret = device_check_unattached(m);
	}
	return ret ? ret : set_check_unused(&r->set, 0);
}

/* What was parsed before the locks were there is still what it says. */
static int check_same(const struct rename *r)
{
	const struct set_image *image = &r->set.images[0];
	struct parsed parsed;
	bool same;
	int ret;

	if (!image->layout)
		return 0;
	ret = parse_confined(r->text.fd, image->path, vd_format_name(image->format), true, &parsed);
	if (ret)
		return ret;
	same = parsed.layout && parsed.layout->total == image->layout->total &&
	       !memcmp(parsed.layout, image->layout, image->layout->total);
	vd_free(parsed.layout);
	return same ? 0 : ctl_error(CTL_BUSY, "busy", image->path,
				    "somebody else has just changed it");
}

/* Nor has another file taken the name before: that one nobody has locked. */
static int check_name(const struct rename *r)
{
	struct stat st;

	if (!fstatat(r->from.fd, r->from_name, &st, AT_SYMLINK_NOFOLLOW) &&
	    st.st_dev == r->self.dev && st.st_ino == r->self.ino)
		return 0;
	return ctl_error(CTL_BUSY, "busy", r->old_path, "somebody else has just replaced it");
}

static int refuse_extent(void *ctx, struct child_found *user)
{
	const struct rename *r = ctx;

	ctl_error(CTL_FAIL, "extent", r->old_path, "is a part of the image %s/%s", user->dir,
		  user->name);
	ctl_hint("rename that one, and this follows");
	return CTL_FAIL;
}

/* What says nothing of itself may be an extent, that its image would miss. */
static int check_no_extent(struct rename *r)
{
	struct set_image *image = &r->set.images[0];
	int ret = 0;

	if (image->dirfd < 0)
		ret = image_set_dir(image, r->text.fd, image->path);
	return ret ? ret : set_find_users(&r->set, 0, refuse_extent, r);
}

int rename_open(struct rename *r, const char *path)
{
	const struct set_image *image = &r->set.images[0];
	char *paths[1] = { (char *)path };
	int ret;

	/* As a writer does, but only once all of it is known. */
	r->opts.lock = SET_LOCK_NO;
	r->opts.mode = SET_READ;
	r->opts.top_only = true;
	r->opts.ignore_vmware_lock = true;
	ret = set_open(&r->set, &r->opts, paths, 1);
	if (ret)
		return ret;
	r->open = true;
	r->text.fd = r->set.members[image->member].fd;
	r->text.format = image->format;
	r->text.inside = image->layout &&
			 vd_layout_segs(image->layout)[0].flags & VD_LSEG_SELF;
	r->self.dev = r->set.members[image->member].dev;
	r->self.ino = r->set.members[image->member].ino;
	ret = lock_all(r);
	if (!ret && path == r->old_path)
		ret = check_name(r);
	return ret ? ret : check_same(r);
}

void rename_close(struct rename *r)
{
	u32 i;

	for (i = 0; i < r->nr_files; i++) {
		free(r->files[i].from);
		free(r->files[i].to);
	}
	for (i = 0; i < r->nr_kept; i++)
		free(r->kept[i]);
	for (i = 0; i < r->nr_children; i++)
		rename_child_free(&r->children[i]);
	free(r->files);
	free(r->kept);
	free(r->children);
	free(r->self.from);
	free(r->self.to);
	rename_text_free(&r->text);
	if (r->open)
		set_close(&r->set);
	if (r->new_fd >= 0)
		close(r->new_fd);
	rename_dir_close(&r->from);
	rename_dir_close(&r->to);
	free(r->from_name);
	free(r->to_name);
	free(r->temp);
	free(r->journal);
	free(r->new_full);
}

/* --- which file gets which name --- */

/**
 * struct named - one name in the text, as it is and as it would be
 * @now, @forth, @back: with nothing changed, renamed, and renamed the other way
 */
struct named {
	const char *now;
	const char *forth;
	const char *back;
	const char *what;
	const struct set_member *member;
};

static bool known(const struct rename *r, const char *from)
{
	u32 i;

	for (i = 0; i < r->nr_files; i++)
		if (!strcmp(r->files[i].from, from))
			return true;
	for (i = 0; i < r->nr_kept; i++)
		if (!strcmp(r->kept[i], from))
			return true;
	return false;
}

static void add_file(struct rename *r, const char *from, const char *to, const char *what,
		     const struct stat *st)
{
	struct rename_file *f;

	r->files = xrealloc(r->files, r->nr_files + 1, sizeof(*f));
	f = &r->files[r->nr_files++];
	*f = (struct rename_file) {
		.from = xstrdup(from), .to = xstrdup(to), .what = what,
		.dev = st->st_dev, .ino = st->st_ino,
	};
}

static int keep(struct rename *r, const char *name)
{
	if (name[0] != '/' && !same_dir(r))
		return ctl_error(CTL_FAIL, "not_beside", r->old_path,
				 "names '%s', which would not be found from another directory",
				 name);
	if (known(r, name))
		return 0;
	r->kept = xrealloc(r->kept, r->nr_kept + 1, sizeof(*r->kept));
	r->kept[r->nr_kept++] = xstrdup(name);
	return 0;
}

static bool lstat_in(const struct rename_dir *dir, const char *name, struct stat *st)
{
	return !fstatat(dir->fd, name, st, AT_SYMLINK_NOFOLLOW);
}

static bool same_inode(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* The text has the new name already, and the file has both: an earlier run was stopped. */
static bool left_over(const struct rename *r, const struct named *n)
{
	struct stat old, new;

	if (same_dir(r) && !strcmp(n->back, n->now))
		return false;
	return lstat_in(&r->from, n->back, &old) && lstat_in(&r->to, n->now, &new) &&
	       same_inode(&old, &new) && new.st_nlink > 1;
}

/* The name must be the very file that was opened, or (a log, that is not) a file at all. */
static int check_named(const struct rename *r, const struct named *n, const struct stat *st)
{
	const struct set_member *m = n->member;

	if (S_ISREG(st->st_mode) && (!m || (m->dev == st->st_dev && m->ino == st->st_ino)))
		return 0;
	return ctl_error(CTL_FAIL, "not_beside", r->old_path,
			 "'%s' is reached through a symbolic link, or has just been replaced",
			 n->now);
}

static int plan_name(struct rename *r, const struct named *n)
{
	struct stat st;
	int ret;

	if (known(r, n->now) || known(r, n->back))
		return 0;
	if ((r->text.inside || r->rest) && !strchr(n->now, '/') && left_over(r, n)) {
		fstatat(r->from.fd, n->back, &st, AT_SYMLINK_NOFOLLOW);
		add_file(r, n->back, n->now, n->what, &st);
		r->text_done = true;
		return 0;
	}
	if (r->rest)
		return 0;
	if (strchr(n->now, '/'))
		return keep(r, n->now);
	if (!strcmp(n->now, n->forth) && same_dir(r))
		return keep(r, n->now);
	if (!lstat_in(&r->from, n->now, &st))
		return n->member ? ctl_errno(errno, n->now, NULL) : 0;
	ret = check_named(r, n, &st);
	if (!ret)
		add_file(r, n->now, n->forth, n->what, &st);
	return ret;
}

/* --- the three texts --- */

/* What the text says now, and what with the new names and with the old ones in it. */
struct texts {
	struct vd_layout *now;
	struct vd_layout *forth;
	struct vd_layout *back;
};

static void texts_free(struct texts *t)
{
	vd_free(t->now);
	vd_free(t->forth);
	vd_free(t->back);
}

static int read_texts(struct rename *r, struct texts *t)
{
	struct vd_new_names names;
	u32 format = r->text.format, len;
	char *back = NULL;
	int ret;

	rename_names(&names, format, r->from_name, r->to_name);
	ret = rename_read_text(&r->text, r->old_path, &names);
	if (ret || !r->text.old)
		return ret;
	rename_names(&names, format, r->to_name, r->from_name);
	ret = renamed_confined(r->text.fd, r->old_path, format, &names, &back, &len);
	if (!ret)
		ret = rename_parse(r->text.old, r->text.old_len, format, r->old_path, &t->now);
	if (!ret)
		ret = rename_parse(r->text.new, r->text.new_len, format, r->new_full, &t->forth);
	if (!ret)
		ret = rename_parse(back, len, format, r->old_path, &t->back);
	vd_free(back);
	return ret;
}

static bool same_extents(const struct vd_layout *a, const struct vd_layout *b)
{
	const struct vd_layout_seg *x = vd_layout_segs(a), *y = vd_layout_segs(b);
	u32 i;

	for (i = 0; a->nr_segs == b->nr_segs && i < a->nr_segs; i++)
		if (x[i].start != y[i].start || x[i].len != y[i].len || x[i].kind != y[i].kind ||
		    x[i].offset != y[i].offset || !x[i].name != !y[i].name)
			return false;
	return a->nr_segs == b->nr_segs && !a->cbt_name == !b->cbt_name;
}

/* Two names of one must not become one name of two. */
static int check_texts(const struct rename *r, const struct texts *t)
{
	if (same_extents(t->now, t->forth) && same_extents(t->now, t->back) &&
	    t->now->nr_segs == r->set.images[0].nr_segs)
		return 0;
	return ctl_error(CTL_IMAGE, "image_damaged", r->old_path,
			 "its text cannot be renamed without a change of its meaning");
}

static struct named named_seg(const struct rename *r, const struct texts *t, u32 i)
{
	u32 member = r->set.segs[r->set.images[0].first_seg + i].member;

	return (struct named) {
		.now = vd_layout_str(t->now, vd_layout_segs(t->now)[i].name),
		.forth = vd_layout_str(t->forth, vd_layout_segs(t->forth)[i].name),
		.back = vd_layout_str(t->back, vd_layout_segs(t->back)[i].name),
		.what = "extent",
		.member = member == VDISK_NO_MEMBER ? NULL : &r->set.members[member],
	};
}

static int plan_names(struct rename *r, const struct texts *t)
{
	struct named log = {
		.now = vd_layout_str(t->now, t->now->cbt_name),
		.forth = vd_layout_str(t->forth, t->forth->cbt_name),
		.back = vd_layout_str(t->back, t->back->cbt_name),
		.what = "log of changes",
	};
	int ret = 0;
	u32 i;

	r->text.optional = r->text.inside;
	for (i = r->text.inside; i < t->now->nr_segs && !ret; i++) {
		struct named n = named_seg(r, t, i);

		if (n.now && n.member)
			ret = plan_name(r, &n);
		r->text.optional &= !n.now || !strcmp(n.now, n.forth);
	}
	if (log.now && !ret) {
		ret = plan_name(r, &log);
		r->text.optional &= !strcmp(log.now, log.forth);
	}
	return ret;
}

/* It has the new names already. */
static int keep_text(struct rename *r)
{
	vd_free(r->text.new);
	r->text.new_len = r->text.old_len;
	r->text.new = vd_zalloc(r->text.old_len + 1);
	if (!r->text.new)
		return ctl_nomem();
	memcpy(r->text.new, r->text.old, r->text.old_len);
	return 0;
}

static int plan_files(struct rename *r)
{
	struct texts t = { 0 };
	int ret;

	ret = read_texts(r, &t);
	if (!ret && r->text.old)
		ret = check_texts(r, &t);
	if (!ret && r->text.old)
		ret = plan_names(r, &t);
	if (!ret && r->text_done)
		ret = keep_text(r);
	texts_free(&t);
	return ret;
}

/* --- are the new names free? --- */

/* On a file system that ignores case two names may be one. */
static bool listed(const struct rename_dir *dir, const char *name)
{
	int fd = openat(dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	bool yes = false;

	while (d && !yes && (entry = readdir(d)))
		yes = !strcmp(entry->d_name, name);
	if (d)
		closedir(d);
	else if (fd >= 0)
		close(fd);
	return yes;
}

static int check_target(const struct rename *r, struct rename_file *f)
{
	char *path = rename_path(&r->to, f->to);
	struct stat st;
	int ret = 0;

	if (fstatat(r->to.fd, f->to, &st, AT_SYMLINK_NOFOLLOW)) {
		if (errno != ENOENT)
			ret = ctl_errno(errno, path, NULL);
	} else if (st.st_dev != f->dev || st.st_ino != f->ino) {
		ret = rename_exists(path);
	} else if (st.st_nlink < 2 || !listed(&r->to, f->to)) {
		ret = ctl_error(CTL_BUSY, "exists", path,
				"is the same name to the file system as %s", f->from);
	} else {
		f->there = true;
	}
	free(path);
	return ret;
}

/* Does the text that was found name the same files for the same extents as ours will? */
static bool names_same(const struct vd_layout *want, const struct vd_layout *found)
{
	u32 i;

	if (!same_extents(found, want))
		return false;
	for (i = 0; i < want->nr_segs; i++) {
		const char *a = vd_layout_str(want, vd_layout_segs(want)[i].name);
		const char *b = vd_layout_str(found, vd_layout_segs(found)[i].name);

		if (a && strcmp(a, b))
			return false;
	}
	return true;
}

/* Files with both names prove it; without any it must be the same state of the disk. */
static bool is_earlier(const struct rename *r, const struct vd_layout *found)
{
	struct vd_layout *want;
	u32 i, there = 0;
	bool yes;

	if (rename_parse(r->text.new, r->text.new_len, r->text.format, r->new_full, &want))
		return false;
	for (i = 0; i < r->nr_files; i++)
		there += r->files[i].there;
	yes = found && names_same(want, found) &&
	      (r->nr_files ? there == r->nr_files : found->cid == want->cid);
	vd_free(want);
	return yes;
}

/*
 * The disk may have been written to since, under either name; then that text has a new
 * content id, and is the younger one.
 */
static bool younger(int a, int b)
{
	struct stat x, y;

	if (fstat(a, &x) || fstat(b, &y))
		return false;
	return x.st_mtim.tv_sec > y.st_mtim.tv_sec ||
	       (x.st_mtim.tv_sec == y.st_mtim.tv_sec && x.st_mtim.tv_nsec > y.st_mtim.tv_nsec);
}

/* Is the file there what an earlier run made of the text? Then it is locked, too. */
static int check_new_text(struct rename *r)
{
	struct parsed parsed = { 0 };
	struct opened file;
	int ret;

	ret = open_named(r->new_full, false, &file);
	if (ret)
		return ret;
	free(file.path);
	r->new_fd = file.fd;
	r->self.there = !parse_confined(r->new_fd, r->new_full, vd_format_name(r->text.format),
					true, &parsed) &&
			is_earlier(r, parsed.layout);
	ctl_drop();
	vd_free(parsed.layout);
	if (!r->self.there)
		return rename_exists(r->new_full);
	r->keep_new = !younger(r->text.fd, r->new_fd);
	return lock_file(r->new_fd, r->new_full, true, false);
}

static int check_self(struct rename *r)
{
	struct stat st;

	if (!rename_writes_self(r))
		return check_target(r, &r->self);
	if (fstatat(r->to.fd, r->to_name, &st, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? 0 : ctl_errno(errno, r->new_full, NULL);
	if (!S_ISREG(st.st_mode) || (st.st_dev == r->self.dev && st.st_ino == r->self.ino))
		return rename_exists(r->new_full);
	return check_new_text(r);
}

static int check_targets(struct rename *r)
{
	u32 i;
	int ret = 0;

	for (i = 0; i < r->nr_files && !ret; i++)
		ret = check_target(r, &r->files[i]);
	return ret ? ret : check_self(r);
}

int rename_plan(struct rename *r)
{
	int ret;

	ret = plan_files(r);
	if (!ret && !r->text.old)
		ret = check_no_extent(r);
	if (!ret)
		ret = check_targets(r);
	if (!ret && !r->ignore_children)
		ret = rename_find_children(r);
	return ret;
}

int rename_plan_rest(struct rename *r)
{
	u32 i;
	int ret;

	r->rest = true;
	ret = plan_files(r);
	for (i = 0; i < r->nr_files; i++)
		r->files[i].there = true;
	return ret;
}
