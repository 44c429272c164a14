/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a guest does to the files of a directory, by seed: who looks later knows it without
 * being told. Each thread has a directory and some names in it; each step makes a file,
 * replaces or removes one, and is over when that is durable.
 */
#ifndef POWERCUT_MODEL_H
#define POWERCUT_MODEL_H

#include "../../selftests/vdisk/util.h"
#include "../oracle.h"

#define MODEL_THREADS	PC_THREADS
#define MODEL_NAMES	12
#define MODEL_LONGEST	(160U << 10)

enum model_kind { MODEL_CREATE, MODEL_REPLACE, MODEL_REMOVE };

/**
 * struct model_step - one step of a thread
 * @name: which of its names; @version: of the content, which is the step's number
 */
struct model_step {
	enum model_kind kind;
	unsigned int name;
	unsigned int version;
	u32 len;
};

/* What a name has; @version 0: no file. */
struct model_file {
	unsigned int version;
	u32 len;
};

struct model {
	u64 seed;
	unsigned int thread;
	unsigned int done;
	struct model_file file[MODEL_NAMES];
};

void model_init(struct model *m, u64 seed, unsigned int thread);
/* The next step, which is number @done + 1. */
struct model_step model_next(const struct model *m);
void model_do(struct model *m, const struct model_step *step);
void model_content(const struct model *m, const struct model_step *step, u8 *buf);
/* DIR/THREAD/NAME; @end is put behind. */
const char *model_path(const struct model *m, const char *dir, unsigned int name,
		       const char *end);

/*
 * Are the files below @dir what steps up to @done made, and maybe a part of the next one?
 * False and a sentence.
 */
bool model_check(u64 seed, unsigned int thread, unsigned int done, const char *dir, char *rule,
		 size_t len);

#endif /* POWERCUT_MODEL_H */
