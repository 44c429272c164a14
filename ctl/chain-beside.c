// SPDX-License-Identifier: GPL-2.0-only
/*
 * Images beside a child, by UUID. A directory is read once, however many images of
 * the chain lie in it; what is found is looked at again when it is opened.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "chain.h"

#define MAX_LOOKED_AT	4096

struct neighbour {
	char *name;
	ino_t ino;
	u8 uuid[16];
};

/**
 * struct beside - the images of one directory that have a UUID
 * @dev, @ino: the directory
 */
struct beside {
	struct beside *next;
	dev_t dev;
	ino_t ino;
	struct neighbour *list;
	u32 nr;
};

/* Regular files only, and without waiting for anybody. */
static int open_neighbour(int dirfd, const char *name, struct stat *st)
{
	int path_fd, fd = -1;

	path_fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (path_fd < 0)
		return -1;
	if (!fstat(path_fd, st) && S_ISREG(st->st_mode) && st->st_size &&
	    reopen_checked(path_fd, name, false, &fd))
		fd = -1;
	close(path_fd);
	ctl_drop();
	return fd;
}

static void look_at(struct beside *b, int dirfd, const char *name)
{
	struct neighbour *n;
	struct parsed parsed;
	struct chain_ids ids;
	struct stat st;
	int fd = open_neighbour(dirfd, name, &st);

	if (fd < 0)
		return;
	memset(&ids, 0, sizeof(ids));
	if (!parse_confined(fd, name, NULL, true, &parsed))
		layout_ids(parsed.layout, &ids);
	ctl_drop();
	vd_free(parsed.layout);
	close(fd);
	if (uuid_is_zero(ids.uuid))
		return;
	b->list = xrealloc(b->list, b->nr + 1, sizeof(*n));
	n = &b->list[b->nr++];
	n->name = xstrdup(name);
	n->ino = st.st_ino;
	memcpy(n->uuid, ids.uuid, sizeof(n->uuid));
}

static void read_dir(struct beside *b, int dirfd, const struct set_image *child, const char *where)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	u32 seen = 0;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(dir))) {
		if (!name_is_image(entry->d_name))
			continue;
		if (seen++ == MAX_LOOKED_AT) {
			ctl_warn(child->path, "looked at %u images in %s/%s for its parent; there are more",
				 MAX_LOOKED_AT, child->dir, where);
			break;
		}
		look_at(b, fd, entry->d_name);
	}
	closedir(dir);
}

static const struct beside *directory(struct image_set *set, int dirfd,
				      const struct set_image *child, const char *where)
{
	struct beside *b;
	struct stat st;

	if (fstat(dirfd, &st))
		return NULL;
	for (b = set->beside; b; b = b->next)
		if (b->dev == st.st_dev && b->ino == st.st_ino)
			return b;
	b = xrealloc(NULL, 1, sizeof(*b));
	memset(b, 0, sizeof(*b));
	b->dev = st.st_dev;
	b->ino = st.st_ino;
	b->next = set->beside;
	set->beside = b;
	read_dir(b, dirfd, child, where);
	return b;
}

/* What policy keeps from the child is not there. */
static bool may_use(const struct image_set *set, const struct set_image *child, const char *name)
{
	struct opened file;

	if (reference_open(set, child, set->members[child->member].uid, "parent", name, false,
			   &file) != REF_OK) {
		ctl_drop();
		return false;
	}
	close(file.fd);
	free(file.path);
	return true;
}

static const struct beside *directory_of(struct image_set *set, const struct set_image *child,
					 const char *where)
{
	const struct beside *b;
	int fd = openat(child->dirfd, where, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return NULL;
	b = directory(set, fd, child, where);
	close(fd);
	return b;
}

int beside_find(struct image_set *set, u32 child, bool above, const u8 uuid[16],
		const char *names[2])
{
	const struct beside *b = directory_of(set, &set->images[child], above ? ".." : ".");
	ino_t first = 0;
	int nr = 0;
	u32 i;

	for (i = 0; b && i < b->nr; i++) {
		const struct neighbour *n = &b->list[i];

		if (memcmp(n->uuid, uuid, sizeof(n->uuid)) ||
		    (!above && !may_use(set, &set->images[child], n->name)))
			continue;
		/* Two names of one file are no choice. */
		if (nr && n->ino == first)
			continue;
		first = n->ino;
		if (nr < 2)
			names[nr] = n->name;
		nr++;
	}
	return nr;
}

void beside_free(struct beside *list)
{
	while (list) {
		struct beside *b = list;

		list = b->next;
		while (b->nr)
			free(b->list[--b->nr].name);
		free(b->list);
		free(b);
	}
}
