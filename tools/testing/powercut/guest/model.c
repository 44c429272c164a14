// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model.h"

static struct rng rng_of(const struct model *m, u64 what)
{
	struct rng rng;

	rng_seed(&rng, (m->seed << 40) ^ ((u64)m->thread << 32) ^ what);
	rng_next(&rng);
	return rng;
}

void model_init(struct model *m, u64 seed, unsigned int thread)
{
	memset(m, 0, sizeof(*m));
	m->seed = seed;
	m->thread = thread;
}

static u32 some_length(struct rng *rng)
{
	switch (rng_below(rng, 4)) {
	case 0:
		return (u32)rng_below(rng, 200);
	case 1:
		return (u32)rng_below(rng, MODEL_LONGEST);
	default:
		return (u32)rng_below(rng, 20000);
	}
}

struct model_step model_next(const struct model *m)
{
	struct rng rng = rng_of(m, m->done + 1);
	struct model_step step = {
		.name = (unsigned int)rng_below(&rng, MODEL_NAMES), .version = m->done + 1,
		.len = some_length(&rng),
	};

	if (!m->file[step.name].version)
		step.kind = MODEL_CREATE;
	else
		step.kind = rng_below(&rng, 3) ? MODEL_REPLACE : MODEL_REMOVE;
	return step;
}

void model_do(struct model *m, const struct model_step *step)
{
	struct model_file *file = &m->file[step->name];

	m->done = step->version;
	file->version = step->kind == MODEL_REMOVE ? 0 : step->version;
	file->len = step->len;
}

void model_content(const struct model *m, const struct model_step *step, u8 *buf)
{
	struct rng rng = rng_of(m, 1ULL << 31 | step->version);

	rng_fill(&rng, buf, step->len);
}

const char *model_path(const struct model *m, const char *dir, unsigned int name,
		       const char *end)
{
	static _Thread_local char path[2][256];
	static _Thread_local unsigned int turn;

	turn ^= 1;
	snprintf(path[turn], sizeof(path[turn]), "%s/%u/%u%s", dir, m->thread, name, end);
	return path[turn];
}

/* ------------------------------------------------------------------ looking */

static bool has_version(const struct model *m, const char *path, unsigned int version, u32 len)
{
	struct model_step step = { .version = version, .len = len };
	static u8 want[MODEL_LONGEST], got[MODEL_LONGEST];
	struct stat st;
	bool good;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (!version)
		return fd < 0 ? errno == ENOENT : (close(fd), false);
	if (fd < 0)
		return false;
	model_content(m, &step, want);
	good = !fstat(fd, &st) && st.st_size == (off_t)len && pread_all(fd, got, len, 0) &&
	       !memcmp(got, want, len);
	close(fd);
	return good;
}

/* A step that is not over may have been done, or half of a file that it makes. */
static bool may_be(const struct model *m, const struct model_step *step, const char *path)
{
	if (step->kind == MODEL_CREATE)
		return true;
	return has_version(m, path, step->kind == MODEL_REMOVE ? 0 : step->version, step->len);
}

bool model_check(u64 seed, unsigned int thread, unsigned int done, const char *dir, char *rule,
		 size_t len)
{
	struct model_step step;
	struct model m;
	unsigned int n;

	model_init(&m, seed, thread);
	while (m.done < done) {
		step = model_next(&m);
		model_do(&m, &step);
	}
	step = model_next(&m);
	for (n = 0; n < MODEL_NAMES; n++) {
		const char *path = model_path(&m, dir, n, "");

		if (has_version(&m, path, m.file[n].version, m.file[n].len) ||
		    (n == step.name && may_be(&m, &step, path)))
			continue;
		snprintf(rule, len, "%s is not of step %u, of %u that are over", path,
			 m.file[n].version, done);
		return false;
	}
	return true;
}
