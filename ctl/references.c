// SPDX-License-Identifier: GPL-2.0-only
/*
 * The one policy for names that stand in images.
 *
 * An image may come from anybody, so what it names must lie beneath its own
 * directory, be reached without a symbolic link, be a regular file and belong
 * to the owner of the image. --allow-outside DIR adds directories that are
 * trusted by name; there only the first and third rule hold, for DIR.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "image-set.h"

static int open_beneath(int dirfd, const char *name)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	int fd, tries;

	/* EAGAIN: somebody renamed a directory while ".." was walked. */
	for (tries = 0; tries < 16; tries++) {
		fd = (int)syscall(SYS_openat2, dirfd, name, &how, sizeof(how));
		if (fd >= 0 || errno != EAGAIN)
			break;
	}
	return fd >= 0 ? fd : -errno;
}

const char *path_below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	while (len > 1 && dir[len - 1] == '/')
		len--;
	if (len == 1 && dir[0] == '/')
		return path[0] == '/' && path[1] ? path + 1 : NULL;
	if (strncmp(path, dir, len) || path[len] != '/')
		return NULL;
	path += len;
	while (*path == '/')
		path++;
	return *path ? path : NULL;
}

/* Removes "." and ".." without looking at the file system. */
static char *lexical(const char *path)
{
	char *out = xrealloc(NULL, strlen(path) + 2, 1);
	size_t n = 0;

	while (*path) {
		size_t len;

		path += strspn(path, "/");
		len = strcspn(path, "/");
		if (len == 2 && !memcmp(path, "..", 2)) {
			while (n && out[--n] != '/')
				;
		} else if (len && !(len == 1 && *path == '.')) {
			out[n++] = '/';
			memcpy(out + n, path, len);
			n += len;
		}
		path += len;
	}
	if (!n)
		out[n++] = '/';
	out[n] = 0;
	return out;
}

static char *absolute(const struct set_image *from, const char *name)
{
	if (name[0] == '/')
		return xstrdup(name);
	return xasprintf("%s/%s", from->dir, name);
}

static void hint_allow(const char *dir)
{
	char *command = ctl_command_with("--allow-outside", dir);

	ctl_hint("if you trust it: %s", command);
	free(command);
}

static enum ref_result refuse_outside(const struct set_image *from, const char *what,
				      const char *name, bool symlink)
{
	char *abs = absolute(from, name);
	char *real = symlink ? realpath(abs, NULL) : NULL;
	char *target = real ? real : lexical(abs);
	char *dir = path_dir(target);

	ctl_error(CTL_PERM, "reference_refused", from->path,
		  symlink ? "%s '%s' is reached through a symbolic link" :
		  "%s '%s' lies outside the image's directory", what, name);
	hint_allow(dir);
	free(dir);
	free(target);
	free(abs);
	return REF_REFUSED;
}

/* Last checks on the very file, then open it for real. Eats @path_fd. */
static enum ref_result finish(const struct set_image *from, int path_fd, char *path, uid_t owner,
			      bool check_owner, const char *what, bool rw, struct opened *out)
{
	struct stat st;
	char *dir;

	if (fstat(path_fd, &st)) {
		ctl_errno(errno, path, NULL);
		goto err;
	}
	if (!S_ISREG(st.st_mode)) {
		ctl_error(CTL_PERM, "reference_refused", from->path, "%s '%s' is no regular file",
			  what, path);
		goto err;
	}
	if (check_owner && st.st_uid != owner) {
		ctl_error(CTL_PERM, "reference_refused", from->path,
			  "%s '%s' belongs to user %u, the image that names it to user %u", what,
			  path, st.st_uid, owner);
		dir = path_dir(path);
		hint_allow(dir);
		free(dir);
		goto err;
	}
	if (reopen_checked(path_fd, path, rw, &out->fd))
		goto err;
	close(path_fd);
	out->path = path;
	out->writable = rw;
	return REF_OK;
err:
	close(path_fd);
	free(path);
	return REF_FAILED;
}

/* Is the file in one of the directories that the user listed? */
static enum ref_result try_outside(const struct image_set *set, const struct set_image *from,
				   const char *what, const char *name, bool rw, struct opened *out,
				   bool *listed)
{
	enum ref_result result = REF_MISSING;
	char *abs = absolute(from, name);
	char *real = realpath(abs, NULL);
	char *path = real ? xstrdup(real) : lexical(abs);
	int i;

	*listed = false;
	for (i = 0; i < set->opts->nr_outside && !*listed; i++) {
		char *dir = realpath(set->opts->outside[i], NULL);
		const char *rest = dir ? path_below(path, dir) : NULL;
		int dirfd, fd;

		if (rest) {
			*listed = true;
			dirfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
			fd = dirfd < 0 ? -errno : open_beneath(dirfd, rest);
			if (dirfd >= 0)
				close(dirfd);
			if (fd >= 0) {
				result = finish(from, fd, xstrdup(path), 0, false, what, rw, out);
			} else if (fd != -ENOENT && fd != -ENOTDIR) {
				ctl_errno(fd, path, NULL);
				result = REF_FAILED;
			}
		}
		free(dir);
	}
	free(path);
	free(real);
	free(abs);
	return result;
}

static bool looks_remote(const char *name)
{
	return strstr(name, "://") || !strncasecmp(name, "json:", 5);
}

enum ref_result reference_open(const struct image_set *set, const struct set_image *from,
			       uid_t owner, const char *what, const char *name, bool rw,
			       struct opened *out)
{
	const char *rel = name[0] == '/' ? path_below(name, from->dir) : name;
	enum ref_result result;
	bool listed;
	int fd;

	if (!*name || looks_remote(name)) {
		ctl_error(CTL_PERM, "reference_refused", from->path, "%s '%s' is no file name",
			  what, name);
		return REF_FAILED;
	}
	if (set->opts->no_references) {
		ctl_error(CTL_PERM, "reference_refused", from->path,
			  "refers to %s '%s', and --no-references forbids that", what, name);
		return REF_REFUSED;
	}

	fd = rel ? open_beneath(from->dirfd, rel) : -EXDEV;
	if (fd == -ENOENT || fd == -ENOTDIR || fd == -ENAMETOOLONG)
		return REF_MISSING;
	if (fd < 0 && fd != -EXDEV && fd != -ELOOP) {
		char *path = absolute(from, name);

		ctl_errno(fd, path, "cannot open");
		free(path);
		return REF_FAILED;
	}

	/* A listed directory also lifts the owner rule for what lies in it. */
	result = try_outside(set, from, what, name, rw, out, &listed);
	if (listed) {
		if (fd >= 0)
			close(fd);
		return result;
	}
	if (fd < 0)
		return refuse_outside(from, what, name, fd == -ELOOP);
	return finish(from, fd, absolute(from, rel), owner, true, what, rw, out);
}
