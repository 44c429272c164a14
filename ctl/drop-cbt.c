// SPDX-License-Identifier: GPL-2.0-only
/*
 * Giving up the change tracking of a VMDK: the descriptor no longer names a log
 * of changes, and nothing says version 3.
 *
 * Whatever stops this half way leaves a valid image, tracked or not. A
 * descriptor of its own is replaced by a rename. One inside an extent is
 * changed in place by steps of one byte that each leave a valid text: the line
 * becomes a comment, the version 1; only then are the comments made blank.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include "image-set.h"

#define KEY		"changeTrackPath"
#define HEADER_VERSION	4	/* byte of the field in a hosted sparse header */

static struct set_member *own_file(struct image_set *set)
{
	return &set->members[set->images[0].member];
}

static int put_bytes(const struct set_member *m, u64 pos, const void *data, size_t len)
{
	ssize_t n = pwrite(m->fd, data, len, (off_t)pos);

	if (n == (ssize_t)len)
		return 0;
	return ctl_errno(n < 0 ? errno : EIO, m->path, "giving up change tracking");
}

static int make_durable(int fd, const char *path)
{
	return fsync(fd) ? ctl_errno(errno, path, "giving up change tracking: fsync") : 0;
}

/* Reads the text and makes sure that it is still the one that was parsed. */
static int read_text(const struct set_member *m, u64 pos, size_t len, char **out)
{
	char *text = xrealloc(NULL, len + 1, 1);

	if (pread(m->fd, text, len, (off_t)pos) != (ssize_t)len) {
		free(text);
		return ctl_error(CTL_FAIL, "io", m->path, "its descriptor cannot be read");
	}
	text[len] = 0;
	*out = text;
	return 0;
}

static int changed(const struct set_member *m)
{
	return ctl_error(CTL_BUSY, "busy", m->path,
			 "its descriptor changed while it was being opened");
}

/* @line: what stands at cbt_pos. */
static bool is_track_line(const char *line)
{
	line += strspn(line, " \t");
	return !strncasecmp(line, KEY, strlen(KEY));
}

/* --- a descriptor inside an extent --- */

/* A comment with nothing in it, as long as the line that was there. */
static int blank_comment(const struct set_member *m, u64 pos, u32 len)
{
	char *line;
	u32 i;
	int ret;

	ret = read_text(m, pos, len, &line);
	if (ret)
		return ret;
	for (i = 0; i < len; i++)
		if (line[i] != '\r' && line[i] != '\n')
			line[i] = i ? ' ' : '#';
	ret = put_bytes(m, pos, line, len);
	free(line);
	return ret;
}

static int edit_track_line(const struct set_member *m, const struct vd_layout *l)
{
	char *line;
	int ret;

	if (!l->cbt_len)
		return 0;
	ret = read_text(m, l->cbt_pos, l->cbt_len, &line);
	if (ret)
		return ret;
	ret = is_track_line(line) ? put_bytes(m, l->cbt_pos, "#", 1) : changed(m);
	free(line);
	return ret ? ret : make_durable(m->fd, m->path);
}

static int edit_version(const struct set_member *m, const struct vd_layout *l)
{
	int ret;

	if (!l->version_pos || l->props.version != 3)
		return 0;
	ret = put_bytes(m, l->version_pos, "1", 1);
	return ret ? ret : make_durable(m->fd, m->path);
}

static int edit_in_place(const struct set_member *m, const struct vd_layout *l)
{
	int ret;

	ret = edit_track_line(m, l);
	if (!ret)
		ret = edit_version(m, l);
	if (!ret && l->cbt_note_len)
		ret = blank_comment(m, l->cbt_pos - l->cbt_note_len, l->cbt_note_len);
	if (!ret && l->cbt_len)
		ret = blank_comment(m, l->cbt_pos, l->cbt_len);
	return ret ? ret : make_durable(m->fd, m->path);
}

/* --- a descriptor of its own --- */

/* The new text in the place of the old; *@len shrinks. */
static int edit_text(const struct set_member *m, const struct vd_layout *l, char *text,
		     size_t *len)
{
	u64 from = l->cbt_pos - l->cbt_note_len, to = l->cbt_pos + l->cbt_len;

	if (l->props.version == 3 && l->version_pos) {
		if (l->version_pos >= *len || text[l->version_pos] != '3')
			return changed(m);
		text[l->version_pos] = '1';
	}
	if (!l->cbt_len)
		return 0;
	if (to > *len || !is_track_line(text + l->cbt_pos))
		return changed(m);
	memmove(text + from, text + to, *len - to);
	*len -= to - from;
	return 0;
}

static int edit_file(struct image_set *set, const struct vd_layout *l)
{
	const struct set_member *m = own_file(set);
	size_t len = m->size;
	char *text;
	int ret;

	/* It may be the header of an extent alone that speaks of tracking. */
	if (!l->cbt_len && !(l->props.version == 3 && l->version_pos))
		return 0;
	ret = read_text(m, 0, len, &text);
	if (ret)
		return ret;
	ret = edit_text(m, l, text, &len);
	if (!ret)
		ret = set_replace_own(set, text, len, "giving up change tracking");
	free(text);
	return ret;
}

/* --- the rest --- */

static int edit_headers(struct image_set *set)
{
	static const u8 three[] = { 3, 0, 0, 0 }, one[] = { 1, 0, 0, 0 };
	u8 found[sizeof(three)];
	int ret = 0;
	u32 i;

	for (i = 0; i < set->nr_members && !ret; i++) {
		struct set_member *m = &set->members[i];

		if (!m->tracked || m->image)
			continue;
		if (pread(m->fd, found, sizeof(found), HEADER_VERSION) != sizeof(found) ||
		    memcmp(found, three, sizeof(found)))
			return changed(m);
		ret = put_bytes(m, HEADER_VERSION, one, sizeof(one));
		if (!ret)
			ret = make_durable(m->fd, m->path);
		m->tracked = ret;
	}
	return ret;
}

/* Places have moved, and what the text says is to be seen afresh. */
static int parse_again(struct image_set *set)
{
	const struct set_member *m = own_file(set);
	struct set_image *image = &set->images[0];
	struct parsed parsed;
	int ret;

	ret = parse_confined(m->fd, m->path, vd_format_name(image->format), true, &parsed);
	if (ret)
		return ret;
	if (parsed.layout->flags & VD_LAYOUT_RDONLY || parsed.layout->props.size != image->size ||
	    parsed.layout->nr_segs != image->layout->nr_segs) {
		vd_free(parsed.layout);
		return changed(m);
	}
	vd_free(image->layout);
	image->layout = parsed.layout;
	return 0;
}

/*
 * Only what is a log of changes and lies beside the image: the name comes from
 * the image, and might be that of anything.
 */
void set_delete_log(const struct image_set *set)
{
	static const u8 magic[] = { 0xa2, 0x72, 0x19, 0xf6 };
	const struct set_image *image = &set->images[0];
	const struct set_member *m = &set->members[image->member];
	const char *name = set->cbt_log;
	u8 found[sizeof(magic)];
	struct stat st;
	bool yes;
	int fd;

	if (!name || set->opts->cbt != SET_CBT_DELETE)
		return;
	fd = strchr(name, '/') ? -1 : openat(image->dirfd, name, O_RDONLY | O_NOFOLLOW |
					     O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	yes = fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_uid == m->uid &&
	      pread(fd, found, sizeof(found), 0) == sizeof(found) &&
	      !memcmp(found, magic, sizeof(found));
	if (!yes)
		ctl_warn(image->path, "'%s' is no log of changes beside it: left alone", name);
	else if (unlinkat(image->dirfd, name, 0))
		ctl_warn(image->path, "cannot delete %s: %s", name, strerror(errno));
	if (fd >= 0)
		close(fd);
}

int set_drop_cbt(struct image_set *set)
{
	const struct vd_layout *l = set->images[0].layout;
	bool embedded = vd_layout_segs(l)[0].flags & VD_LSEG_SELF;
	const char *name = vd_layout_str(l, l->cbt_name);
	char *log = name ? xstrdup(name) : NULL;
	int ret;

	ret = embedded ? edit_in_place(own_file(set), l) : edit_file(set, l);
	if (!ret)
		ret = edit_headers(set);
	if (!ret)
		ret = parse_again(set);
	if (ret) {
		free(log);
		return ret;
	}
	ctl_warn(set->images[0].path,
		 "change tracking is given up: the next incremental backup has to be a full one");
	set->cbt_log = log;
	return 0;
}
