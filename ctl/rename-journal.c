// SPDX-License-Identifier: GPL-2.0-only
/*
 * Renaming where no file can have two names (FAT and some others). A single file is
 * renamed at a stroke. Several cannot be; so a journal says first, durably, that they
 * are on their way. It holds no more than what the text of the image and the two names
 * lead to again, so nothing in it has to be believed: it either is that, or is another's.
 *
 * The image's own text stays under the old name until all else is done. What was
 * stopped before is undone by the next run with the same names, which then begins anew.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "rename.h"

/* --- the journal --- */

static char *journal_begin(const struct rename *r)
{
	return xasprintf("vdctl rename\nfrom %s/%s\nto %s/%s\n", r->from.path, r->from_name,
			 r->to.path, r->to_name);
}

static char *journal_add(char *text, const char *from, const char *to)
{
	char *more = xasprintf("%sfile %s\nas %s\n", text, from, to);

	free(text);
	return more;
}

static int write_journal(const struct rename *r)
{
	char *text = journal_begin(r);
	int fd, ret;
	u32 i;

	for (i = 0; i < r->nr_files; i++)
		text = journal_add(text, r->files[i].from, r->files[i].to);
	ret = rename_write_temp(&r->to, r->temp, r->text.fd, text, (u32)strlen(text), &fd);
	free(text);
	if (ret)
		return ret;
	close(fd);
	if (!renameat(r->to.fd, r->temp, r->to.fd, r->journal))
		return rename_sync(r);
	ret = ctl_errno(errno, r->to.path, "cannot write a journal there");
	unlinkat(r->to.fd, r->temp, 0);
	return ret;
}

static int remove_journal(const struct rename *r)
{
	if (unlinkat(r->to.fd, r->journal, 0) && errno != ENOENT)
		return ctl_errno(errno, r->to.path, "cannot remove the journal of the renaming");
	return rename_sync(r);
}

bool rename_journal_there(const struct rename *r)
{
	struct stat st;

	return !fstatat(r->to.fd, r->journal, &st, AT_SYMLINK_NOFOLLOW);
}

#define JOURNAL_MAX (8U << 20)

static char *read_journal(const struct rename *r)
{
	struct stat st;
	char *text = NULL;
	int fd;

	fd = openat(r->to.fd, r->journal,
		    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size < JOURNAL_MAX) {
		text = xrealloc(NULL, (size_t)st.st_size + 1, 1);
		if (pread(fd, text, (size_t)st.st_size, 0) != st.st_size)
			st.st_size = 0;
		text[st.st_size] = 0;
	}
	if (fd >= 0)
		close(fd);
	return text;
}

static int not_ours(const struct rename *r)
{
	char *path = rename_path(&r->to, r->journal);

	ctl_error(CTL_BUSY, "journal", path,
		  "is the journal of a renaming that was stopped, but not of this one");
	ctl_hint("give the command again that was stopped; if it is unknown, the file says the names");
	free(path);
	return CTL_BUSY;
}

/* --- forwards --- */

static int move_files(struct rename *r)
{
	int ret = 0;
	u32 i;

	for (i = 0; i < r->nr_files && !ret; i++) {
		struct rename_file *f = &r->files[i];

		ret = stop_asked();
		if (ret)
			return ret;
		ret = rename_move(&r->from, f->from, &r->to, f->to);
		if (ret)
			return ctl_errno(ret, f->from, "cannot be renamed");
		f->made = true;
	}
	return ret ? ret : rename_sync(r);
}

static int put_text(struct rename *r)
{
	const struct rename_text *t = &r->text;
	int ret;

	if (!rename_writes_self(r)) {
		if (!rename_text_changes(t))
			return 0;
		r->text_tried = true;
		return rename_put_inside(t, r->old_path, t->new, t->new_len);
	}
	ret = rename_write_temp(&r->to, r->temp, t->fd, t->new, t->new_len, &r->new_fd);
	if (ret)
		return ret;
	ret = rename_move(&r->to, r->temp, &r->to, r->to_name);
	if (ret) {
		unlinkat(r->to.fd, r->temp, 0);
		return ctl_errno(ret, r->new_full, "cannot give that name");
	}
	r->self.made = true;
	return rename_sync(r);
}

/* Afterwards nothing can be undone. */
static int commit(struct rename *r)
{
	int ret;

	ret = stop_asked();
	if (ret)
		return ret;
	if (rename_writes_self(r))
		ret = unlinkat(r->from.fd, r->from_name, 0) ? -errno : 0;
	else
		ret = rename_move(&r->from, r->from_name, &r->to, r->to_name);
	return ret ? ctl_errno(ret, r->old_path, "cannot be renamed") : 0;
}

static bool undo_files(struct rename *r)
{
	bool good = true;
	u32 i;

	for (i = r->nr_files; i-- > 0;) {
		struct rename_file *f = &r->files[i];

		if (!f->made || !rename_move(&r->to, f->to, &r->from, f->from))
			continue;
		ctl_hint("what was %s is now %s", f->from, f->to);
		good = false;
	}
	return good;
}

/* Is all as it was before, and durable? Goes as far as it gets. */
static bool undo(struct rename *r)
{
	bool good = rename_untell_children(r);

	if (r->text_tried &&
	    rename_put_inside(&r->text, r->old_path, r->text.old, r->text.old_len)) {
		ctl_hint("the text inside %s may have the new name", r->old_path);
		good = false;
	}
	if (r->self.made && unlinkat(r->to.fd, r->to_name, 0))
		good = false;
	good &= undo_files(r);
	if (dir_sync(r->to.fd))
		good = false;
	if (dir_sync(r->from.fd))
		good = false;
	return good;
}

/* What the journal says is true as long as anything of it is left. */
static void give_up(struct rename *r)
{
	char *path;

	if (undo(r) && (!unlinkat(r->to.fd, r->journal, 0) || errno == ENOENT))
		return;
	path = rename_path(&r->to, r->journal);
	ctl_hint("not all could be undone; what is left to be undone is in %s: give the same command again, which undoes it and begins anew",
		 path);
	free(path);
}

/* The journal finds them only beside the image. */
static int check_children(const struct rename *r)
{
	u32 i;

	for (i = 0; i < r->nr_children; i++)
		if (r->children[i].dir.ino != r->from.ino || r->children[i].dir.dev != r->from.dev)
			return ctl_error(CTL_FAIL, "unsupported", r->children[i].path,
					 "the file system has no hard links: there a snapshot in another directory cannot be told the new name safely");
	return 0;
}

static int run_journaled(struct rename *r)
{
	int ret;

	ret = write_journal(r);
	if (!ret)
		ret = move_files(r);
	if (!ret)
		ret = put_text(r);
	if (!ret)
		ret = rename_tell_children(r);
	if (!ret)
		ret = commit(r);
	if (ret) {
		give_up(r);
		return ret;
	}
	ret = rename_sync(r);
	return ret ? ret : remove_journal(r);
}

int rename_apply_journaled(struct rename *r)
{
	int ret;

	ret = check_children(r);
	if (ret)
		return ret;
	if (r->nr_files || r->nr_children || rename_writes_self(r))
		return run_journaled(r);
	ret = put_text(r);
	if (!ret)
		ret = commit(r);
	if (ret) {
		undo(r);
		return ret;
	}
	return rename_sync(r);
}

/* --- backwards --- */

/* What the text names may be anywhere now: only the text itself is opened. */
static int open_text(struct rename *r)
{
	struct set_image *image = &r->set.images[0];
	struct opened file;
	struct parsed parsed;
	int ret;

	memset(&r->set, 0, sizeof(r->set));
	r->opts.lock = SET_LOCK_NO;
	r->set.opts = &r->opts;
	image->dirfd = -1;
	ret = open_named(r->old_path, false, &file);
	if (ret)
		return ret;
	image->path = xstrdup(file.path);
	r->set.nr_images = 1;
	r->open = true;
	ret = set_add_member(&r->set, &file, 0, &image->member);
	if (ret)
		return ret;
	r->text.fd = r->set.members[image->member].fd;
	ret = lock_file(r->text.fd, image->path, true, false);
	if (!ret)
		ret = parse_confined(r->text.fd, image->path, r->opts.format, true, &parsed);
	if (ret)
		return ret;
	image->layout = parsed.layout;
	image->format = parsed.format;
	r->text.format = parsed.format;
	r->text.inside = parsed.layout &&
			 vd_layout_segs(parsed.layout)[0].flags & VD_LSEG_SELF;
	return image_set_dir(image, r->text.fd, image->path);
}

static const char *seg_name(const struct vd_layout *l, u32 i)
{
	return i < l->nr_segs ? vd_layout_str(l, vd_layout_segs(l)[i].name) :
				vd_layout_str(l, l->cbt_name);
}

static void add_pair(struct rename *r, const char *from, const char *to, bool all)
{
	u32 i;

	if (strchr(from, '/') || (!all && !strcmp(from, to)))
		return;
	for (i = 0; i < r->nr_files; i++)
		if (!strcmp(r->files[i].from, from))
			return;
	r->files = xrealloc(r->files, r->nr_files + 1, sizeof(*r->files));
	r->files[r->nr_files++] = (struct rename_file) {
		.from = xstrdup(from), .to = xstrdup(to),
	};
}

static void drop_pairs(struct rename *r)
{
	while (r->nr_files) {
		r->nr_files--;
		free(r->files[r->nr_files].from);
		free(r->files[r->nr_files].to);
	}
}

/* Does what @old calls the files and what @new does make the journal? */
static bool fits(struct rename *r, const char *journal, const struct vd_layout *old,
		 const struct vd_layout *new)
{
	bool all = r->from.ino != r->to.ino || r->from.dev != r->to.dev, yes;
	char *text;
	u32 i;

	drop_pairs(r);
	for (i = r->text.inside; i <= old->nr_segs; i++)
		if (seg_name(old, i) && seg_name(new, i))
			add_pair(r, seg_name(old, i), seg_name(new, i), all);
	text = journal_begin(r);
	for (i = 0; i < r->nr_files; i++)
		text = journal_add(text, r->files[i].from, r->files[i].to);
	yes = !strcmp(text, journal);
	free(text);
	return yes;
}

/* Without a text there is only the image itself, and those that name it. */
static int find_none(const struct rename *r, const char *journal)
{
	char *text = journal_begin(r);
	bool yes = !strcmp(text, journal);

	free(text);
	return yes ? 0 : not_ours(r);
}

/*
 * The text has the old names, or those inside of an image the new ones already. In
 * @text.old is what shall be there again.
 */
static int find_pairs(struct rename *r, const char *journal)
{
	struct vd_layout *old = NULL, *new = NULL;
	struct vd_new_names names;
	int ret;

	rename_names(&names, r->text.format, r->from_name, r->to_name);
	ret = rename_read_text(&r->text, r->old_path, &names);
	if (!ret && !r->text.old)
		return find_none(r, journal);
	if (!ret)
		ret = rename_parse(r->text.old, r->text.old_len, r->text.format, r->old_path, &old);
	if (!ret)
		ret = rename_parse(r->text.new, r->text.new_len, r->text.format, r->old_path, &new);
	if (!ret && !fits(r, journal, old, new))
		ret = -1;
	vd_free(old);
	vd_free(new);
	return ret;
}

static int find_pairs_back(struct rename *r, const char *journal)
{
	struct vd_layout *old = NULL, *new = NULL;
	struct vd_new_names names;
	int ret;

	rename_text_free(&r->text);
	rename_names(&names, r->text.format, r->to_name, r->from_name);
	ret = rename_read_text(&r->text, r->old_path, &names);
	if (!ret)
		ret = rename_parse(r->text.new, r->text.new_len, r->text.format, r->old_path, &old);
	if (!ret)
		ret = rename_parse(r->text.old, r->text.old_len, r->text.format, r->old_path, &new);
	if (!ret && !fits(r, journal, old, new))
		ret = not_ours(r);
	if (!ret)
		ret = rename_put_inside(&r->text, r->old_path, r->text.new, r->text.new_len);
	vd_free(old);
	vd_free(new);
	return ret;
}

static int move_back(const struct rename *r)
{
	struct stat st;
	u32 i;
	int ret;

	for (i = 0; i < r->nr_files; i++) {
		const struct rename_file *f = &r->files[i];

		if (!fstatat(r->from.fd, f->from, &st, AT_SYMLINK_NOFOLLOW) ||
		    fstatat(r->to.fd, f->to, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		ret = rename_move(&r->to, f->to, &r->from, f->from);
		if (ret)
			return ctl_errno(ret, f->to, "cannot get its old name back");
	}
	return 0;
}

/* Snapshots beside it that name it either way. */
static int children_back(struct rename *r)
{
	bool update = r->update_children;
	u32 i;
	int ret;

	r->backwards = true;
	r->update_children = true;
	r->self.there = true;
	ret = rename_find_children(r);
	if (!ret)
		ret = rename_tell_children(r);
	for (i = 0; i < r->nr_children; i++)
		rename_child_free(&r->children[i]);
	r->nr_children = 0;
	r->backwards = false;
	r->update_children = update;
	r->self.there = false;
	return ret;
}

/* The new text under the new name: there is the old one still. */
static int remove_new_text(const struct rename *r)
{
	if (!rename_writes_self(r) || !unlinkat(r->to.fd, r->to_name, 0) || errno == ENOENT)
		return 0;
	return ctl_errno(errno, r->new_full, "cannot be removed");
}

static int recover(struct rename *r, const char *journal)
{
	int ret;

	ret = open_text(r);
	if (!ret)
		ret = find_pairs(r, journal);
	if (ret < 0)
		ret = r->text.inside ? find_pairs_back(r, journal) : not_ours(r);
	if (!ret)
		ret = children_back(r);
	if (!ret)
		ret = remove_new_text(r);
	if (!ret)
		ret = move_back(r);
	if (!ret)
		ret = rename_sync(r);
	return ret ? ret : remove_journal(r);
}

int rename_recover(struct rename *r)
{
	char *journal = read_journal(r);
	int ret;

	ret = journal ? recover(r, journal) : not_ours(r);
	free(journal);
	drop_pairs(r);
	rename_text_free(&r->text);
	if (r->open)
		set_close(&r->set);
	r->open = false;
	return ret;
}

int rename_drop_journal(const struct rename *r)
{
	char *text = journal_begin(r), *journal = read_journal(r);
	bool ours = journal && !strncmp(journal, text, strlen(text));

	free(text);
	free(journal);
	return ours ? remove_journal(r) : not_ours(r);
}
